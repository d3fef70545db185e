//! What can go wrong in a stream.
//!
//! Texts are Spark's where Spark has one. An error of the user's own function is carried unharmed as [`StreamError::User`], so that a
//! front can raise the very same one again.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_formats::condition::SparkError;
use millstream_formats::files::FileError;

use crate::Time;

/// Why a call or a batch failed. Cheap to clone: an error of a batch is given to everyone who waits, each time.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// A demand on the arguments or the graph is not met.
    #[error("requirement failed: {0}")]
    Requirement(String),
    /// The call does not fit the state of the context.
    #[error("{0}")]
    IllegalState(String),
    /// The operation is not possible now.
    #[error("{0}")]
    UnsupportedOperation(String),
    /// The graph cannot give a batch.
    #[error("{0}")]
    Graph(String),
    /// A rule of the library that has no class of its own.
    #[error("{0}")]
    Invalid(String),
    /// A setting has a value that cannot be read.
    #[error("The value '{value}' of `{key}` is no {wanted}")]
    Setting {
        /// Name of the setting.
        key: String,
        /// What was found.
        value: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// A checkpoint cannot be read, or is that of another program.
    #[error("Checkpoint `{}`: {reason}", path.display())]
    Checkpoint {
        /// File or directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file or a directory cannot be read or written.
    #[error("{action} `{}`: {source}", path.display())]
    Io {
        /// What was tried (`read`, `write`, …).
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// What was wrong when something was done for a batch.
    #[error("Batch {batch}: {doing}: {source}")]
    Batch {
        /// The batch.
        batch: Time,
        /// What was done, such as `save a dataset`.
        doing: &'static str,
        /// What was wrong.
        source: Arc<StreamError>,
    },
    /// A connector refuses what it was asked for.
    #[error(transparent)]
    Connector(#[from] SparkError),
    /// A source of the connectors fails.
    #[error("Source `{name}`, {range}: {}", with_causes(cause))]
    Source {
        /// Name of the source: `FileSource[/in]`.
        name: String,
        /// The batch and its offsets, as far as they are known.
        range: String,
        /// What the connector says.
        cause: SparkError,
    },
    /// A row has no place in the type that it was to become.
    #[error("Row {row} of partition {partition} in the batch {batch} is no `{wanted}`: {}{reason}", in_column(column.as_deref()))]
    Row {
        /// The batch.
        batch: Time,
        /// Partition of the batch, from 0.
        partition: usize,
        /// Row of the partition, from 0.
        row: u64,
        /// The column, with those above it: `address.zip`. `None`: the library does not say.
        column: Option<String>,
        /// The Rust type.
        wanted: &'static str,
        /// What does not fit.
        reason: String,
    },
    /// A receiver cannot go on.
    #[error("{0}")]
    Receiver(String),
    /// A function of the user panicked.
    #[error("{0}")]
    Panic(String),
    /// An error of the user's function, or of what runs it.
    #[error(transparent)]
    User(Arc<dyn Error + Send + Sync>),
}

impl StreamError {
    /// Carries an error of the user's function.
    pub fn user(error: impl Error + Send + Sync + 'static) -> Self {
        StreamError::User(Arc::new(error))
    }

    /// A failed action on a file.
    pub fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        StreamError::Io { action, path: path.to_owned(), source: Arc::new(source) }
    }

    /// Says for which batch, if that is of use: an error of the program's own functions is left as it is.
    pub(crate) fn in_batch(self, batch: Time, doing: &'static str) -> Self {
        match self {
            StreamError::Io { .. } | StreamError::Checkpoint { .. } => self.of_batch(batch, doing),
            error => error,
        }
    }

    /// Says for which batch, whatever it is: for what the program has not asked for itself.
    pub(crate) fn of_batch(self, batch: Time, doing: &'static str) -> Self {
        StreamError::Batch { batch, doing, source: Arc::new(self) }
    }

    pub(crate) fn checkpoint(path: &Path, reason: impl Into<String>) -> Self {
        StreamError::Checkpoint { path: path.to_owned(), reason: reason.into() }
    }

    pub(crate) fn panic(payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        StreamError::Panic(text.unwrap_or_else(|| "a function of the program panicked".to_owned()))
    }

    /// The class that a JVM program would have seen.
    pub fn java_class(&self) -> &'static str {
        match self {
            StreamError::Requirement(_) | StreamError::Setting { .. } => "java.lang.IllegalArgumentException",
            StreamError::IllegalState(_) => "java.lang.IllegalStateException",
            StreamError::UnsupportedOperation(_) => "java.lang.UnsupportedOperationException",
            StreamError::Graph(_) | StreamError::Checkpoint { .. } | StreamError::Receiver(_) => {
                "org.apache.spark.SparkException"
            }
            StreamError::Invalid(_) => "java.lang.Exception",
            StreamError::Io { .. } => "java.io.IOException",
            StreamError::Batch { source, .. } => source.java_class(),
            StreamError::Connector(_) | StreamError::Source { .. } => "org.apache.spark.SparkException",
            StreamError::Panic(_) | StreamError::User(_) | StreamError::Row { .. } => "java.lang.RuntimeException",
        }
    }
}

impl From<FileError> for StreamError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Io { path, action, source } => StreamError::io(action, &path, source),
            FileError::Missing { path } => StreamError::io("read", &path, std::io::ErrorKind::NotFound.into()),
            error => StreamError::Checkpoint { path: error.path().to_owned(), reason: error.problem() },
        }
    }
}

/// An error with those that led to it: what a reader of files says of a record is behind what it says of the file.
fn with_causes(error: &SparkError) -> String {
    let causes = std::iter::successors(Some(error), |error| SparkError::cause(error));
    causes.map(ToString::to_string).collect::<Vec<_>>().join("; caused by: ")
}

fn in_column(column: Option<&str>) -> String {
    column.map(|column| format!("column `{column}`: ")).unwrap_or_default()
}

/// `require` of the JVM's library.
pub(crate) fn require(holds: bool, text: impl FnOnce() -> String) -> Result<(), StreamError> {
    if holds { Ok(()) } else { Err(StreamError::Requirement(text())) }
}
