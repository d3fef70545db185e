//! Writing the rows of a batch query to files.

use millstream_connectors::{WriteSpec, write_files};
use millstream_formats::condition::SparkError;
use millstream_plan::ir::{Options, SaveMode};
use millstream_plan::resolved::ResolvedPlan;

use crate::analysis::connector_conf;
use crate::session::Session;

/// Where rows go.
pub(crate) struct FileTarget {
    pub(crate) format: String,
    /// Directory; none if only the options may have it.
    pub(crate) path: Option<String>,
    pub(crate) mode: SaveMode,
    pub(crate) options: Options,
    pub(crate) partition_by: Vec<String>,
}

/// Runs a query and writes its rows; the format `noop` only runs it.
///
/// # Errors
/// What the query or the writer says; files of a failed write are removed.
pub(crate) fn write(session: &Session, resolved: &ResolvedPlan, target: FileTarget) -> Result<(), SparkError> {
    if target.format.eq_ignore_ascii_case("noop") {
        return session.execute_resolved(resolved)?.collect().map(|_| ());
    }
    let in_options =
        target.options.iter().find(|(key, _)| key.eq_ignore_ascii_case("path")).map(|(_, path)| path.clone());
    let written = target.path.clone().or(in_options);
    let spec = WriteSpec {
        format: target.format,
        options: target.options.iter().collect(),
        path: target.path,
        partition_by: target.partition_by,
        schema: resolved.schema(),
        mode: match target.mode {
            SaveMode::ErrorIfExists => millstream_connectors::SaveMode::ErrorIfExists,
            SaveMode::Append => millstream_connectors::SaveMode::Append,
            SaveMode::Overwrite => millstream_connectors::SaveMode::Overwrite,
            SaveMode::Ignore => millstream_connectors::SaveMode::Ignore,
        },
        conf: connector_conf(session),
    };
    let Some(mut writer) = write_files(&spec)? else { return Ok(()) };
    for batch in session.execute_resolved(resolved)? {
        writer.write(0, batch?)?;
    }
    writer.commit()?;
    if let Some(path) = written {
        session.refresh_path(&path);
    }
    Ok(())
}
