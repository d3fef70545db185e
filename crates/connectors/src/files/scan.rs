//! Files as a table at rest: listed once, read as often as wanted.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, SchemaRef};
use millstream_formats::condition::SparkError;

use super::format::{self, FileFormat};
use super::listing::{self, DataFile};
use super::read::{self, ReadPlan, TableSchema, Tolerance};
use super::url::user_path;
use super::{
    check_columns, modified_time, path_not_specified, settings, sink_log, stream_options, table_schema, tolerance,
};
use crate::source::{Rows, SourceSpec};

/// Files that have been listed and whose columns are known.
pub struct FileScan {
    format: Arc<dyn FileFormat>,
    table: TableSchema,
    files: Vec<DataFile>,
    zone: millstream_formats::zone::Zone,
    tolerance: Tolerance,
}

/// Lists the files of `spread.read` and finds their columns.
///
/// # Errors
/// `DATA_SOURCE_NOT_FOUND`, `PATH_NOT_FOUND`, `UNABLE_TO_INFER_SCHEMA`, bad options, columns the format does not have.
pub fn file_scan(spec: &SourceSpec) -> Result<FileScan, SparkError> {
    let mut paths = spec.paths.clone();
    paths.extend(spec.options.get("path").map(str::to_string));
    if paths.is_empty() {
        return Err(path_not_specified());
    }
    let format = format::open(&spec.format, &spec.options, &spec.conf)?;
    let mut filters = stream_options::filters(&spec.options)?;
    filters.after_ms = modified_time(&spec.options, "modifiedAfter", &spec.conf)?;
    filters.before_ms = modified_time(&spec.options, "modifiedBefore", &spec.conf)?;
    let files = listing::list(&paths, &filters)?;
    let mut table = table_schema(format.as_ref(), spec, &files)?;
    if let Some(user) = &spec.schema
        && paths.iter().any(|path| sink_log::is_sink_directory(&user_path(path)))
    {
        // Spark keeps the order of the user's columns only in directories that a stream has written.
        table.declared = user.fields().iter().map(|f| f.name().clone()).collect();
    }
    check_columns(&table.schema().fields().clone())?;
    format.check(&table.data)?;
    let (zone, tolerance) = (settings::zone(&spec.conf)?, tolerance(&spec.options, &spec.conf)?);
    Ok(FileScan { format, table, files, zone, tolerance })
}

impl FileScan {
    /// Columns: those in the files, then those in directory names.
    pub fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    /// The hidden column `_metadata`, which may be asked for by name.
    pub fn metadata_column(&self) -> FieldRef {
        read::metadata_field()
    }

    /// URLs of the files (`df.inputFiles`).
    pub fn input_files(&self) -> Vec<String> {
        self.files.iter().map(DataFile::url).collect()
    }

    /// Bytes of all files.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|f| f.size).sum()
    }

    /// The rows in at most `partitions` parts, with these columns or all.
    ///
    /// # Errors
    /// A name that is no column.
    pub fn rows(&self, columns: Option<&[String]>, partitions: usize) -> Result<Vec<Rows>, SparkError> {
        let plan = ReadPlan::new(Arc::clone(&self.format), &self.table, columns, self.zone, self.tolerance)?;
        Ok(Arc::new(plan).rows(self.files.clone(), partitions))
    }
}
