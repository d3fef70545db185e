//! Errors as clients see them: a gRPC status with `google.rpc.ErrorInfo`, and the details they may fetch afterwards.
//!
//! The status carries what fits into HTTP/2 headers; message and parameters of any length follow with `FetchErrorDetails`,
//! asked for by the `errorId` that [`ErrorLog`] gives out.

use std::collections::{HashMap, VecDeque};

use millstream_formats::condition::{ExceptionClass, SparkError};
use parking_lot::Mutex;
use spark_connect_proto::fetch_error_details_response as details;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use uuid::Uuid;

/// Bytes of a message in a status; gRPC clients refuse headers of more than 8 KiB.
const MESSAGE_BYTES_MAX: usize = 1536;
/// Bytes of the parameters in a status; longer ones are left to `FetchErrorDetails`.
const PARAMETER_BYTES_MAX: usize = 1024;
/// Errors a session remembers for `FetchErrorDetails`.
const ERRORS_KEPT: usize = 256;

/// Names of a Java exception and its parents, most derived first, without the common tail.
fn classes(class: ExceptionClass) -> &'static [&'static str] {
    match class {
        ExceptionClass::Analysis => &["org.apache.spark.sql.AnalysisException"],
        ExceptionClass::Parse => {
            &["org.apache.spark.sql.catalyst.parser.ParseException", "org.apache.spark.sql.AnalysisException"]
        }
        ExceptionClass::IllegalArgument => {
            &["org.apache.spark.SparkIllegalArgumentException", "java.lang.IllegalArgumentException"]
        }
        ExceptionClass::Arithmetic => &["org.apache.spark.SparkArithmeticException", "java.lang.ArithmeticException"],
        ExceptionClass::NumberFormat => {
            &["org.apache.spark.SparkNumberFormatException", "java.lang.NumberFormatException"]
        }
        ExceptionClass::DateTime => &["org.apache.spark.SparkDateTimeException", "java.time.DateTimeException"],
        ExceptionClass::ArrayIndexOutOfBounds => {
            &["org.apache.spark.SparkArrayIndexOutOfBoundsException", "java.lang.ArrayIndexOutOfBoundsException"]
        }
        ExceptionClass::UnsupportedOperation => {
            &["org.apache.spark.SparkUnsupportedOperationException", "java.lang.UnsupportedOperationException"]
        }
        ExceptionClass::Runtime => &["org.apache.spark.SparkRuntimeException", "java.lang.RuntimeException"],
        ExceptionClass::Upgrade => &["org.apache.spark.SparkUpgradeException", "java.lang.RuntimeException"],
        ExceptionClass::NoSuchElement => {
            &["org.apache.spark.SparkNoSuchElementException", "java.util.NoSuchElementException"]
        }
        ExceptionClass::IllegalState => &["java.lang.IllegalStateException", "java.lang.RuntimeException"],
        ExceptionClass::StreamingQuery => &["org.apache.spark.sql.streaming.StreamingQueryException"],
        ExceptionClass::Python => {
            &["org.apache.spark.api.python.PythonException", "org.apache.spark.SparkRuntimeException"]
        }
        ExceptionClass::InvalidPlan => &["org.apache.spark.sql.connect.common.InvalidPlanInput"],
        _ => &["org.apache.spark.SparkException"],
    }
}

/// All names of an exception's class and its parents.
fn hierarchy(error: &SparkError) -> Vec<String> {
    let tail = ["java.lang.Exception", "java.lang.Throwable", "java.lang.Object"];
    let own = match (error.condition(), error.class()) {
        // The JVM raises this one as a ClassNotFoundException of its own, which clients do not know.
        (Some("DATA_SOURCE_NOT_FOUND"), _) => &["org.apache.spark.SparkClassNotFoundException"],
        (_, class) => classes(class),
    };
    own.iter().chain(&tail).map(|name| (*name).to_string()).collect()
}

/// The errors of a session by id, the newest [`ERRORS_KEPT`] of them.
#[derive(Default)]
pub struct ErrorLog {
    errors: Mutex<VecDeque<(String, SparkError)>>,
}

impl ErrorLog {
    /// The status for an error, and its details kept for later.
    pub fn status(&self, error: SparkError) -> Status {
        let id = Uuid::new_v4().to_string();
        let status = status(&error, Some(&id));
        let mut errors = self.errors.lock();
        if errors.len() >= ERRORS_KEPT {
            errors.pop_front();
        }
        errors.push_back((id, error));
        status
    }

    /// The error of this id and its causes, each after the one it caused; nothing if it is not known.
    pub fn details(&self, id: &str) -> Option<Vec<details::Error>> {
        let errors = self.errors.lock();
        let (_, error) = errors.iter().find(|(known, _)| known == id)?;
        Some(chain(error))
    }
}

/// An error and its causes as messages.
fn chain(error: &SparkError) -> Vec<details::Error> {
    let mut messages = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        next = error.cause();
        let cause_idx = next.and(i32::try_from(messages.len() + 1).ok());
        messages.push(details::Error {
            error_type_hierarchy: hierarchy(error),
            message: error.to_string(),
            stack_trace: Vec::new(),
            cause_idx,
            spark_throwable: Some(details::SparkThrowable {
                error_class: error.condition().map(str::to_string),
                message_parameters: error.parameters().clone().into_iter().collect(),
                query_contexts: Vec::new(),
                sql_state: error.sql_state().map(str::to_string),
                breaking_change_info: None,
            }),
        });
    }
    messages
}

/// The status for an error of no session, or one whose details are kept under `id`.
pub fn status(error: &SparkError, id: Option<&str>) -> Status {
    let names = hierarchy(error);
    let reason = names.first().cloned().unwrap_or_default();
    let mut metadata = HashMap::from([("classes".to_string(), serde_json::json!(names).to_string())]);
    if let Some(condition) = error.condition() {
        metadata.insert("errorClass".into(), condition.to_string());
    }
    if let Some(state) = error.sql_state() {
        metadata.insert("sqlState".into(), state.to_string());
    }
    let parameters = serde_json::json!(error.parameters()).to_string();
    if parameters.len() <= PARAMETER_BYTES_MAX {
        metadata.insert("messageParameters".into(), parameters);
    }
    if let Some(id) = id {
        metadata.insert("errorId".into(), id.to_string());
    }
    let details = ErrorDetails::with_error_info(reason, "org.apache.spark", metadata);
    Status::with_error_details(Code::Internal, abbreviate(&error.to_string()), details)
}

fn abbreviate(text: &str) -> String {
    if text.len() <= MESSAGE_BYTES_MAX {
        return text.to_string();
    }
    let end = (0..=MESSAGE_BYTES_MAX - 3).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    format!("{}...", text.get(..end).unwrap_or_default())
}

/// `INVALID_HANDLE.…`: a session or operation that cannot be used.
pub fn invalid_handle(kind: &str, handle: &str, sentence: &str) -> SparkError {
    SparkError::new(
        ExceptionClass::Spark,
        &format!("INVALID_HANDLE.{kind}"),
        "HY000",
        format!("The handle {handle} is invalid. {sentence}"),
    )
    .with("handle", handle)
}

/// `INVALID_CURSOR.…`: a place in the responses of an operation that cannot be read from.
pub fn invalid_cursor(kind: &str, sentence: &str) -> SparkError {
    SparkError::new(
        ExceptionClass::Spark,
        &format!("INVALID_CURSOR.{kind}"),
        "HY109",
        format!("The cursor is invalid. {sentence}"),
    )
}

/// `OPERATION_CANCELED`.
pub fn canceled() -> SparkError {
    SparkError::new(ExceptionClass::Spark, "OPERATION_CANCELED", "HY008", "Operation has been canceled.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_names_condition_state_and_classes_and_its_details_can_be_fetched() {
        let log = ErrorLog::default();
        let cause = SparkError::new(ExceptionClass::Arithmetic, "DIVIDE_BY_ZERO", "22012", "Division by zero.");
        let text = "ä".repeat(4000);
        let error = SparkError::new(ExceptionClass::StreamingQuery, "STREAM_FAILED", "XXKST", text.clone())
            .with("id", "1")
            .caused_by(cause);
        let status = log.status(error);
        assert!(status.message().len() <= MESSAGE_BYTES_MAX && status.message().starts_with("[STREAM_FAILED] ä"));
        let info = status.get_error_details().error_info().cloned().expect("ErrorInfo");
        assert_eq!(info.metadata.get("errorClass").map(String::as_str), Some("STREAM_FAILED"));
        assert_eq!(info.metadata.get("sqlState").map(String::as_str), Some("XXKST"));
        assert!(info.metadata["classes"].starts_with("[\"org.apache.spark.sql.streaming.StreamingQueryException\""));
        let errors = log.details(&info.metadata["errorId"]).expect("details");
        assert!(errors[0].message.contains(&text));
        assert_eq!(errors[0].cause_idx, Some(1));
        assert!(errors[1].message.contains("DIVIDE_BY_ZERO") && errors[1].cause_idx.is_none());
        assert!(log.details("unknown").is_none());
    }
}
