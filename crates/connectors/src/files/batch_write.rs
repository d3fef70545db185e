//! `df.write`: the rows of a batch query into the files of a directory.
//!
//! Files are written into `_temporary` and moved when all are complete; then `_SUCCESS` is written. A write that fails leaves
//! what was there before.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_formats::condition::{ExceptionClass, SparkError};
use uuid::Uuid;

use super::output::OutputFormat;
use super::url::{display, user_path};
use super::writer::{Layout, TableWriter};
use super::{path_not_specified, settings};
use crate::errors::io_error;
use crate::options::Options;
use crate::sink::BatchWriter;
use crate::source::Conf;

/// What to do if the directory exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaveMode {
    /// Add files.
    Append,
    /// Replace what is there.
    Overwrite,
    /// Fail.
    ErrorIfExists,
    /// Do nothing.
    Ignore,
}

/// What `df.write` says.
#[derive(Clone)]
pub struct WriteSpec {
    /// `json`, `parquet`, …, in any case.
    pub format: String,
    /// Options of the writer.
    pub options: Options,
    /// The argument of `save`; wins over the option `path`.
    pub path: Option<String>,
    /// `partitionBy`.
    pub partition_by: Vec<String>,
    /// Columns of the rows.
    pub schema: SchemaRef,
    /// What to do if the directory exists.
    pub mode: SaveMode,
    /// Settings of the session.
    pub conf: Conf,
}

/// Begins to write; none if there is nothing to do ([`SaveMode::Ignore`]).
///
/// # Errors
/// `PATH_ALREADY_EXISTS`, `DATA_SOURCE_NOT_FOUND`, bad options, columns that the format does not have.
pub fn write_files(spec: &WriteSpec) -> Result<Option<Box<dyn BatchWriter>>, SparkError> {
    let Some(path) = spec.path.as_deref().or(spec.options.get("path")) else { return Err(path_not_specified()) };
    let path = user_path(path);
    let format = OutputFormat::new(&spec.format, &spec.options, &spec.conf)?;
    let layout = Layout::new(format, &spec.schema, &spec.partition_by, settings::zone(&spec.conf)?, false)?;
    layout.check()?;
    if path.exists() {
        match spec.mode {
            SaveMode::ErrorIfExists => return Err(already_exists(&path)),
            SaveMode::Ignore => return Ok(None),
            SaveMode::Append | SaveMode::Overwrite => {}
        }
    }
    let dynamic = spec.options.get("partitionOverwriteMode").map(str::to_string);
    let dynamic = dynamic.or_else(|| (spec.conf)("spark.sql.sources.partitionOverwriteMode"));
    let dynamic = dynamic.is_some_and(|mode| mode.eq_ignore_ascii_case("dynamic")) && !spec.partition_by.is_empty();
    let job = Uuid::new_v4();
    let temporary = path.join("_temporary").join(job.to_string());
    let writer = TableWriter::new(Arc::new(layout), &temporary, Some(job));
    let replace = match (spec.mode, dynamic) {
        (SaveMode::Overwrite, false) => Replace::All,
        (SaveMode::Overwrite, true) => Replace::Partitions,
        _ => Replace::Nothing,
    };
    Ok(Some(Box::new(FileWrite { writer: Some(writer), path, temporary, replace })))
}

fn already_exists(path: &Path) -> SparkError {
    let path = display(path);
    SparkError::new(
        ExceptionClass::Analysis,
        "PATH_ALREADY_EXISTS",
        "42K04",
        format!("Path {path} already exists. Set mode as \"overwrite\" to overwrite the existing path."),
    )
    .with("outputPath", path)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Replace {
    Nothing,
    All,
    /// Only the partitions that are written.
    Partitions,
}

struct FileWrite {
    writer: Option<TableWriter>,
    path: PathBuf,
    temporary: PathBuf,
    replace: Replace,
}

impl BatchWriter for FileWrite {
    fn write(&mut self, partition: usize, rows: RecordBatch) -> Result<(), SparkError> {
        match &mut self.writer {
            Some(writer) => writer.write(partition, &rows),
            None => Err(SparkError::internal("rows after the end of a write")),
        }
    }

    fn commit(mut self: Box<Self>) -> Result<(), SparkError> {
        let files = self.writer.take().map(TableWriter::finish).transpose()?.unwrap_or_default();
        match self.replace {
            Replace::Nothing => {}
            Replace::All => clear(&self.path)?,
            Replace::Partitions => {
                let directories: std::collections::BTreeSet<_> =
                    files.iter().filter_map(|f| f.relative.parent()).collect();
                for directory in directories {
                    clear(&self.path.join(directory))?;
                }
            }
        }
        for file in &files {
            let target = self.path.join(&file.relative);
            let moved = target.parent().map_or(Ok(()), std::fs::create_dir_all);
            let moved = moved.and_then(|()| std::fs::rename(self.temporary.join(&file.relative), &target));
            moved.map_err(|e| io_error("move a file to", &target, &e))?;
        }
        let success = self.path.join("_SUCCESS");
        std::fs::write(&success, b"").map_err(|e| io_error("write", &success, &e))
    }
}

impl Drop for FileWrite {
    fn drop(&mut self) {
        self.writer = None;
        // What cannot be removed is hidden from readers by its name.
        let _ = std::fs::remove_dir_all(&self.temporary);
        let _ = std::fs::remove_dir(self.path.join("_temporary"));
    }
}

/// Removes everything in a directory but the files under way.
fn clear(dir: &Path) -> Result<(), SparkError> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        // A file in place of a directory.
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            return std::fs::remove_file(dir).map_err(|e| io_error("remove", dir, &e));
        }
        Err(error) => return Err(io_error("list", dir, &error)),
    };
    for entry in entries {
        let path = entry.map_err(|e| io_error("list", dir, &e))?.path();
        if path.file_name().is_some_and(|name| name == "_temporary") {
            continue;
        }
        let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        removed.map_err(|e| io_error("remove", &path, &e))?;
    }
    Ok(())
}
