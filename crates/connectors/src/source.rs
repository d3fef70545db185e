//! What a streaming source promises.
//!
//! ```text
//! latest_offset(start, limit) ─► end ─► [offsets/N written] ─► read(start, end) ─► rows … ─► [commits/N written] ─► commit(end)
//! ```
//!
//! A source is called by one thread at a time. An offset is Spark's JSON for that source, on one line.
//! Reading the same range twice gives the same rows, also after a restart, except from sources that Spark calls not recoverable
//! (socket): see [`Source::recoverable`].

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, SchemaRef};
use millstream_formats::condition::{ExceptionClass, SparkError};

use crate::options::Options;

/// An offset: one line of JSON in Spark's form, e.g. `{"logOffset":3}`, `16`.
pub type Offset = String;

/// Rows of one partition of a batch, in order. Runs on a computing thread; blocking is allowed.
pub type Rows = Box<dyn Iterator<Item = Result<RecordBatch, SparkError>> + Send>;

/// Settings of the session by name, with Spark's defaults.
pub type Conf = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What `readStream` says of a source.
#[derive(Clone)]
pub struct SourceSpec {
    /// `socket`, `json`, …, in any case.
    pub format: String,
    /// Columns the user asked for.
    pub schema: Option<SchemaRef>,
    /// Options of the reader.
    pub options: Options,
    /// Arguments of `load`; a `path` option is not among them.
    pub paths: Vec<String>,
    /// Settings of the session.
    pub conf: Conf,
    /// Cores (Spark's default parallelism).
    pub parallelism: usize,
}

impl SourceSpec {
    /// The same, if its path is said once: by an option or by `load`.
    ///
    /// # Errors
    /// It is said by both.
    pub fn with_one_path(self) -> Result<Self, SparkError> {
        if self.options.contains("path") && !self.paths.is_empty() {
            return Err(SparkError::new(
                ExceptionClass::Analysis,
                "_LEGACY_ERROR_TEMP_1188",
                "",
                "There is a 'path' option set and load() is called with a path parameter. Either remove the path option, or call \
                 load() without the parameter. To ignore this check, set 'spark.sql.legacy.pathOptionBehavior.enabled' to 'true'.",
            ));
        }
        Ok(self)
    }
}

/// What is fixed when the query starts.
#[derive(Clone)]
pub struct OpenContext {
    /// `<checkpoint>/sources/<i>`, the directory for the source's own log; it need not exist.
    pub metadata_dir: PathBuf,
    /// Columns the query uses, by name, `_metadata` among them if it is asked for; none means those of [`Origin::schema`].
    pub columns: Option<Vec<String>>,
    /// Settings of the session when the query started.
    pub conf: Conf,
}

/// A source that has been loaded: its columns are known, nothing runs yet.
pub trait Origin: Send + Sync {
    /// As `explain` shows it: `socket`, `FileSource[/in]`.
    fn name(&self) -> String;

    /// Columns, as the user sees them.
    fn schema(&self) -> SchemaRef;

    /// The hidden column `_metadata`, if there is one.
    fn metadata_column(&self) -> Option<FieldRef> {
        None
    }

    /// Whether [`Origin::open`] would refuse the options: what a front asks that opens the source much later than it loads it.
    ///
    /// # Errors
    /// Those that `open` would give. Nothing was opened or written.
    fn check(&self, _conf: &Conf) -> Result<(), SparkError> {
        Ok(())
    }

    /// Opens the source for a query that starts.
    ///
    /// # Errors
    /// Options that Spark checks only when the query runs.
    fn open(&self, context: OpenContext) -> Result<Box<dyn Source>, SparkError>;
}

/// A stream of rows that can be read by ranges of offsets.
pub trait Source: Send + Sync {
    /// Columns of the rows.
    fn schema(&self) -> SchemaRef;

    /// As in the progress: `FileStreamSource[file:/data/in]`.
    fn description(&self) -> String;

    /// How far a batch that begins after `start` (none: at the beginning) may go now, or `start` (none) again if there is
    /// nothing new. Applies the source's own limits unless `unlimited` (trigger `once`). May write to the source's log.
    fn latest_offset(&self, start: Option<&Offset>, unlimited: bool) -> Result<Option<Offset>, SparkError>;

    /// Whether another process can read the same range again.
    fn recoverable(&self) -> bool {
        true
    }

    /// Lets each later call of [`Source::latest_offset`] go at most `rows` rows beyond its start, beside the source's own limits.
    /// False: this source cannot count rows ahead, and has no such limit.
    fn limit_rows(&self, _rows: u64) -> bool {
        false
    }

    /// For the progress: the newest offset known, without limits.
    fn reported_latest(&self) -> Option<Offset> {
        None
    }

    /// The rows after `start` up to and including `end`, in at most `partitions` parts.
    fn read(&self, start: Option<&Offset>, end: &Offset, partitions: usize) -> Result<Vec<Rows>, SparkError>;

    /// Everything up to `end` has been committed and will not be read again.
    fn commit(&self, _end: &Offset) -> Result<(), SparkError> {
        Ok(())
    }

    /// Fixes the end at what is there now (trigger `availableNow`): later calls of `latest_offset` stop there.
    fn fix_end(&self) -> Result<(), SparkError>;

    /// Calls `wake` when data may have arrived, from any thread, until the source is stopped. A source that cannot know is
    /// polled.
    fn on_data(&self, _wake: Box<dyn Fn() + Send + Sync>) {}

    /// Releases threads, sockets and files. No call follows.
    fn stop(&self);
}
