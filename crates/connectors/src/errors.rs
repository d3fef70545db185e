//! Spark's error conditions that more than one connector raises.

use millstream_formats::condition::{ExceptionClass, SparkError};

/// Sources of Spark that are not served yet.
const UNSERVED: &[&str] =
    &["orc", "xml", "binaryfile", "avro", "jdbc", "kafka", "libsvm", "image", "statestore", "state-metadata"];

/// `DATA_SOURCE_NOT_FOUND`, or that Spark's source of this name is not served.
pub(crate) fn data_source_not_found(provider: &str) -> SparkError {
    if UNSERVED.contains(&provider.to_lowercase().as_str()) {
        return SparkError::unsupported(format!("The data source {provider}"));
    }
    SparkError::new(
        ExceptionClass::Spark,
        "DATA_SOURCE_NOT_FOUND",
        "42K02",
        format!(
            "Failed to find the data source: {provider}. Make sure the provider name is correct and the package is properly \
             registered and compatible with your Spark version."
        ),
    )
    .with("provider", provider)
}

/// A source with fixed columns was given a schema.
pub(crate) fn user_schema_refused(provider: &str) -> SparkError {
    SparkError::new(
        ExceptionClass::UnsupportedOperation,
        "_LEGACY_ERROR_TEMP_2242",
        "",
        format!("{provider} source does not support user-specified schema."),
    )
    .with("provider", provider)
}

/// A value out of range, in the words of the rate sources.
pub(crate) fn must_be_positive(option: &str, value: impl std::fmt::Display) -> SparkError {
    illegal_argument(format!("Invalid value '{value}'. The option '{option}' must be positive"))
}

/// `IllegalArgumentException` without a condition.
pub(crate) fn illegal_argument(message: impl Into<String>) -> SparkError {
    SparkError::plain(ExceptionClass::IllegalArgument, message)
}

/// An offset that is none of the source's own.
pub(crate) fn bad_offset(source: &str, offset: &str) -> SparkError {
    illegal_argument(format!("The offset `{offset}` is not one of the {source} source."))
}

/// The file system refuses something.
pub(crate) fn io_error(action: &str, path: &std::path::Path, error: &std::io::Error) -> SparkError {
    SparkError::plain(ExceptionClass::Spark, format!("Cannot {action} {}: {error}", path.display())).of_storage()
}
