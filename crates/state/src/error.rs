//! Spark's errors of loading and writing state.

use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::files::FileError;
use millstream_formats::statefile::StateFileKind;

use crate::arena::Full;
use crate::location::StoreLocation;

const SQL_STATE: &str = "58030";

/// `CANNOT_LOAD_STATE_STORE` with a sub-condition and its sentence.
fn load(sub_condition: &str, sentence: &str) -> SparkError {
    SparkError::new(
        ExceptionClass::Spark,
        &format!("CANNOT_LOAD_STATE_STORE.{sub_condition}"),
        SQL_STATE,
        format!("An error occurred during loading state. {sentence}"),
    )
}

/// A state file that cannot be read.
pub(crate) fn unreadable(location: &StoreLocation, kind: StateFileKind, error: FileError) -> SparkError {
    let file = error.path().display().to_string();
    let sub_condition = match (&error, kind) {
        (FileError::Missing { .. }, StateFileKind::Delta) => "CANNOT_READ_DELTA_FILE_NOT_EXISTS",
        (FileError::Missing { .. }, StateFileKind::Snapshot) => "CANNOT_READ_MISSING_SNAPSHOT_FILE",
        _ => {
            let of_storage = error.is_of_storage();
            let error = load("UNCATEGORIZED", &format!("{error}.")).with("fileToRead", file);
            return if of_storage { error.of_storage() } else { error };
        }
    };
    let what = if kind == StateFileKind::Delta { "delta" } else { "snapshot" };
    load(sub_condition, &format!("Error reading {what} file {file} of {location}: {file} does not exist."))
        .with("fileToRead", file)
        .with("clazz", location.to_string())
}

/// Spark has no condition of its own for a fault of a replay from one snapshot.
pub(crate) fn uncategorized(cause: SparkError) -> SparkError {
    load("UNCATEGORIZED", &cause.to_string()).caused_by(cause)
}

/// A first row that is not of the types expected; `what` is `KEY` or `VALUE`.
pub(crate) fn row_format(what: &str, location: &StoreLocation, reason: impl ToString) -> SparkError {
    let message = format!(
        "The streaming query failed to validate written state for {} row in {location}: {}.",
        what.to_lowercase(),
        reason.to_string()
    );
    load(&format!("{what}_ROW_FORMAT_VALIDATION_FAILURE"), &message).with("msg", message)
}

/// A version that the files cannot give.
pub(crate) fn unexpected_version(version: u64) -> SparkError {
    load("UNEXPECTED_VERSION", &format!("Version {version} is beyond what a state store can hold."))
        .with("version", version.to_string())
}

/// State that could not be written.
pub(crate) fn unwritable(location: &StoreLocation, reason: impl ToString) -> SparkError {
    SparkError::new(
        ExceptionClass::Spark,
        "CANNOT_WRITE_STATE_STORE.CANNOT_COMMIT",
        SQL_STATE,
        format!(
            "Error writing state store files for provider {location}. Cannot perform commit during state checkpoint. {}.",
            reason.to_string()
        ),
    )
    .with("providerClass", location.to_string())
    .of_storage()
}

/// State that has no place.
pub(crate) fn full(location: &StoreLocation, full: Full) -> SparkError {
    match full {
        Full::Addresses => unwritable(location, "More than 32 GiB of state in one partition"),
        Full::Scratch(error) => unwritable(location, format!("The limit of memory for state is reached, and {error}")),
    }
}
