//! Spark's error conditions: the name, SQLSTATE and exception class that a PySpark program sees.
//!
//! Every error that can reach a user carries one of these, made where the fault is known. It travels as the source of
//! whatever error type lies between (`ArrowError`, `DataFusionError`, `io::Error`) and is found again at the doors with
//! [`SparkError::find`]. Not here: how a door shows it (the protocol's `ErrorInfo`, an exit code).

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

/// Which of Spark's exception classes a client raises; the variant names follow the Java classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExceptionClass {
    /// A plan that cannot be resolved or is not supported.
    Analysis,
    /// SQL text, a type or an identifier that does not parse.
    Parse,
    /// A wrong argument or option.
    IllegalArgument,
    /// Overflow, division by zero.
    Arithmetic,
    /// A text that is no number, date or boolean where a cast wants one.
    NumberFormat,
    /// A date or time out of range.
    DateTime,
    /// An index outside an array.
    ArrayIndexOutOfBounds,
    /// An operation that the engine or a source refuses.
    UnsupportedOperation,
    /// A failure while rows are processed.
    Runtime,
    /// A result that changed between Spark versions.
    Upgrade,
    /// Something at the wrong time: a query that runs already.
    IllegalState,
    /// A key, setting or element that does not exist.
    NoSuchElement,
    /// A streaming query that ended with an error.
    StreamingQuery,
    /// User code that raised.
    Python,
    /// A plan that the protocol does not allow (`InvalidPlanInput`).
    InvalidPlan,
    /// Anything else.
    Spark,
}

/// An error as Spark reports it. One pointer wide, so that results that may hold it stay small.
#[derive(Debug, Clone)]
pub struct SparkError(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    class: ExceptionClass,
    condition: Option<String>,
    sql_state: Option<String>,
    message: String,
    parameters: BTreeMap<String, String>,
    location: Option<String>,
    of_storage: bool,
    cause: Option<SparkError>,
}

impl SparkError {
    /// An error with a condition (`DIVIDE_BY_ZERO`), its SQLSTATE (`22012`) and its sentence, without the bracketed
    /// condition in front and the SQLSTATE behind: [`fmt::Display`] adds both.
    pub fn new(class: ExceptionClass, condition: &str, sql_state: &str, message: impl Into<String>) -> Self {
        let mut error = Self::plain(class, message);
        error.0.condition = Some(condition.to_string());
        error.0.sql_state = (!sql_state.is_empty()).then(|| sql_state.to_string());
        error
    }

    /// An error for which Spark has no condition, only a class and a sentence.
    pub fn plain(class: ExceptionClass, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            class,
            condition: None,
            sql_state: None,
            message: message.into(),
            parameters: BTreeMap::new(),
            location: None,
            of_storage: false,
            cause: None,
        }))
    }

    /// A bug or a broken invariant: `INTERNAL_ERROR`, SQLSTATE `XX000`.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ExceptionClass::Spark, "INTERNAL_ERROR", "XX000", message)
    }

    /// A feature of Spark that is not served yet; `feature` completes "… is not supported by Millstream".
    pub fn unsupported(feature: impl fmt::Display) -> Self {
        Self::new(
            ExceptionClass::UnsupportedOperation,
            "UNSUPPORTED_FEATURE",
            "0A000",
            format!("{feature} is not supported by Millstream."),
        )
    }

    /// Adds a message parameter (`getMessageParameters` of the client's exception).
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.0.parameters.insert(key.to_string(), value.into());
        self
    }

    /// The same error with its sentence and parameters passed through `change`; for names that the place of the error does not
    /// know as users do.
    #[must_use]
    pub fn map_text(mut self, change: impl Fn(&str) -> String) -> Self {
        self.0.message = change(&self.0.message);
        for value in self.0.parameters.values_mut() {
            *value = change(value);
        }
        self
    }

    /// Says where in the text of a query it arose; shown behind the SQLSTATE (` (line 1, pos 3)`, `; line 1 pos 0`).
    #[must_use]
    pub fn at(mut self, location: impl Into<String>) -> Self {
        self.0.location = Some(location.into());
        self
    }

    /// Names the error that led to this one.
    #[must_use]
    pub fn caused_by(mut self, cause: SparkError) -> Self {
        self.0.cause = Some(cause);
        self
    }

    /// Says that a file could not be written, read or made: the fault of the machine, which may be mended.
    #[must_use]
    pub fn of_storage(mut self) -> Self {
        self.0.of_storage = true;
        self
    }

    /// Whether it was said to be [of storage](SparkError::of_storage).
    pub fn is_of_storage(&self) -> bool {
        self.0.of_storage
    }

    /// The exception class a client raises.
    pub fn class(&self) -> ExceptionClass {
        self.0.class
    }

    /// The condition name, absent where Spark itself has none.
    pub fn condition(&self) -> Option<&str> {
        self.0.condition.as_deref()
    }

    /// The SQLSTATE, five characters.
    pub fn sql_state(&self) -> Option<&str> {
        self.0.sql_state.as_deref()
    }

    /// The parameters of the message by name.
    pub fn parameters(&self) -> &BTreeMap<String, String> {
        &self.0.parameters
    }

    /// The error that led to this one.
    pub fn cause(&self) -> Option<&SparkError> {
        self.0.cause.as_ref()
    }

    /// The first `SparkError` in an error and its sources, also inside Arrow's and `io`'s wrappers.
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a SparkError> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<SparkError>() {
                return Some(found);
            }
            let inner = match error.downcast_ref::<arrow::error::ArrowError>() {
                Some(arrow::error::ArrowError::ExternalError(inner)) => Some(inner.as_ref() as &(dyn Error + 'static)),
                _ => error
                    .downcast_ref::<std::io::Error>()
                    .and_then(|e| e.get_ref())
                    .map(|e| e as &(dyn Error + 'static)),
            };
            if let Some(found) = inner.and_then(SparkError::find) {
                return Some(found);
            }
            next = error.source();
        }
        None
    }
}

impl fmt::Display for SparkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(condition) = &self.0.condition {
            write!(f, "[{condition}] ")?;
        }
        f.write_str(&self.0.message)?;
        if let Some(state) = &self.0.sql_state {
            write!(f, " SQLSTATE: {state}")?;
        }
        if let Some(location) = &self.0.location {
            f.write_str(location)?;
        }
        Ok(())
    }
}

impl Error for SparkError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.cause.as_ref().map(|e| e as _)
    }
}

impl From<SparkError> for arrow::error::ArrowError {
    fn from(error: SparkError) -> Self {
        arrow::error::ArrowError::ExternalError(Box::new(error))
    }
}

impl From<arrow::error::ArrowError> for SparkError {
    /// The error inside, or an internal one.
    fn from(error: arrow::error::ArrowError) -> Self {
        SparkError::find(&error).cloned().unwrap_or_else(|| SparkError::internal(error.to_string()))
    }
}
