//! Spark's error conditions of the sources of state (`STDS_…`).

use millstream_formats::condition::{ExceptionClass, SparkError};

use super::options::StateOptions;

fn runtime(condition: &str, sql_state: &str, message: String) -> SparkError {
    SparkError::new(ExceptionClass::Runtime, condition, sql_state, message)
}

/// An option that must be given.
pub(super) fn required(option: &str) -> SparkError {
    let message = format!("'{option}' must be specified.");
    runtime("STDS_REQUIRED_OPTION_UNSPECIFIED", "42601", message).with("optionName", option)
}

fn bad_option(kind: &str, option: &str, message: &str) -> SparkError {
    let text = format!("Invalid value for source option '{option}': {message}");
    runtime(&format!("STDS_INVALID_OPTION_VALUE.{kind}"), "42616", text).with("optionName", option)
}

pub(super) fn negative(option: &str) -> SparkError {
    bad_option("IS_NEGATIVE", option, "cannot be negative.")
}

pub(super) fn empty(option: &str) -> SparkError {
    bad_option("IS_EMPTY", option, "cannot be empty.")
}

pub(super) fn invalid(option: &str, message: &str) -> SparkError {
    bad_option("WITH_MESSAGE", option, message).with("message", message)
}

/// An option for operators with state variables.
pub(super) fn no_variables(option: &str, what: &str, operator: &str) -> SparkError {
    let message = format!(
        "{what} is only supported with the transformWithState operator. Found operator={operator}. Please remove this option and \
         re-run the query."
    );
    invalid(option, &message)
}

pub(super) fn conflict(options: &[&str]) -> SparkError {
    let list = options.iter().map(|option| format!("'{option}'")).collect::<Vec<_>>().join(", ");
    let message = format!("The options [{list}] cannot be specified together. Please specify the one.");
    runtime("STDS_CONFLICT_OPTIONS", "42613", message).with("options", format!("[{list}]"))
}

pub(super) fn no_committed_batch(location: &str) -> SparkError {
    let message = format!(
        "No committed batch found, checkpoint location: {location}. Ensure that the query has run and committed any microbatch \
         before stopping."
    );
    runtime("STDS_COMMITTED_BATCH_UNAVAILABLE", "KD006", message).with("checkpointLocation", location)
}

pub(super) fn no_offsets(batch: i64, location: &str) -> SparkError {
    let message = format!(
        "The offset log for {batch} does not exist, checkpoint location: {location}.\nPlease specify the batch ID which is \
         available for querying - you can query the available batch IDs via using state metadata data source."
    );
    runtime("STDS_OFFSET_LOG_UNAVAILABLE", "KD006", message)
        .with("batchId", batch.to_string())
        .with("checkpointLocation", location)
}

pub(super) fn state_schema(options: &StateOptions) -> SparkError {
    let message = format!(
        "Failed to read the state schema. Either the file does not exist, or the file is corrupted. options: {options}.\nRerun the \
         streaming query to construct the state schema, and report to the corresponding communities or vendors if the error \
         persists."
    );
    runtime("STDS_FAILED_TO_READ_STATE_SCHEMA", "42K03", message).with("sourceOptions", options.to_string())
}

pub(super) fn no_partitions(options: &StateOptions) -> SparkError {
    let message = format!(
        "The state does not have any partition. Please double check that the query points to the valid state. options: {options}"
    );
    runtime("STDS_NO_PARTITION_DISCOVERED_IN_STATE_STORE", "KD006", message).with("sourceOptions", options.to_string())
}

pub(super) fn no_snapshot_partition(partition: usize, options: &StateOptions) -> SparkError {
    let location = format!("file:{}/state", options.checkpoint.display());
    let message = format!(
        "An error occurred during loading state. Partition id {partition} not found for state of operator {} at {location}.",
        options.operator
    );
    runtime("CANNOT_LOAD_STATE_STORE.SNAPSHOT_PARTITION_ID_NOT_FOUND", "58030", message)
        .with("snapshotPartitionId", partition.to_string())
        .with("operatorId", options.operator.to_string())
        .with("checkpointLocation", location)
}

fn unsupported(condition: &str, message: String) -> SparkError {
    SparkError::new(ExceptionClass::UnsupportedOperation, condition, "", message)
}

pub(super) fn no_stream(source: &str) -> SparkError {
    let message = format!("Data source {source} does not support streamed reading.");
    unsupported("_LEGACY_ERROR_TEMP_2049", message).with("className", source).with("operator", "reading")
}

pub(super) fn user_schema(class: &str) -> SparkError {
    let message = format!("{class} source does not support user-specified schema.");
    unsupported("_LEGACY_ERROR_TEMP_2242", message).with("provider", class)
}
