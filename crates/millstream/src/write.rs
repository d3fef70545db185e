//! Writing the rows of a batch query to files.

use millstream_formats::condition::SparkError;
use millstream_plan::ir::{Options, SaveMode};
use millstream_plan::resolved::ResolvedPlan;

use crate::session::Session;

/// Where rows go.
pub(crate) struct FileTarget {
    pub(crate) format: String,
    /// Directory; may be empty for formats that need none (`noop`).
    pub(crate) path: String,
    pub(crate) mode: SaveMode,
    pub(crate) options: Options,
    pub(crate) partition_by: Vec<String>,
}

/// Runs a query and writes its rows.
///
/// # Errors
/// What the query or the writer says; files of a failed write are removed.
pub(crate) fn write_files(_session: &Session, _resolved: &ResolvedPlan, target: FileTarget) -> Result<(), SparkError> {
    Err(SparkError::unsupported(format!("Writing a batch as `{}`", target.format)))
}
