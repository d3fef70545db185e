//! What Spark refuses of streaming plans, with its conditions.

use millstream_formats::condition::{ExceptionClass, SparkError};

/// The error for a stream where rows at rest are needed.
pub fn batch_only() -> SparkError {
    legacy(
        "Queries with streaming sources must be executed with writeStream.start(), or from a streaming table or flow definition \
         within a Spark Declarative Pipeline.;",
    )
}

fn legacy(message: impl Into<String>) -> SparkError {
    SparkError::new(ExceptionClass::Analysis, "_LEGACY_ERROR_TEMP_3102", "", message)
}
