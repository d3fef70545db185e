//! Rows into the files of a directory: one file per partition of the query, or per partition and directory `column=value`.
//!
//! Files are written under names that no one else uses. Dropped before [`TableWriter::finish`], a writer removes what it wrote.
//! Not here: what makes the files count (`sink`: the log, `batch_write`: moving them into place).

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::datatypes::{Field, Schema, SchemaRef};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::faults;
use millstream_formats::files::sync_dir;
use millstream_formats::text;
use millstream_formats::types;
use millstream_formats::zone::Zone;
use uuid::Uuid;

use super::output::{FileOutput, OutputFormat, ROLE};
use super::partition;
use crate::errors::io_error;

/// What is fixed for all batches of a writer.
pub(crate) struct Layout {
    pub format: Arc<OutputFormat>,
    /// Columns in the files.
    data: Vec<usize>,
    /// Columns in directory names, outermost first.
    partitions: Vec<usize>,
    names: Vec<String>,
    file_schema: SchemaRef,
    zone: Zone,
    fsync: bool,
}

impl Layout {
    /// A layout for rows of `schema`, with these columns in directory names.
    ///
    /// # Errors
    /// A partition column that does not exist or has no text, no column left for the files.
    pub fn new(
        format: OutputFormat,
        schema: &Schema,
        partition_by: &[String],
        zone: Zone,
        fsync: bool,
    ) -> Result<Self, SparkError> {
        let find = |name: &String| {
            let fields = schema.fields();
            let exact = fields.iter().position(|f| f.name() == name);
            exact
                .or_else(|| fields.iter().position(|f| f.name().eq_ignore_ascii_case(name)))
                .ok_or_else(|| not_found(name, schema))
        };
        let partitions = partition_by.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        for field in partitions.iter().map(|i| schema.field(*i)) {
            if !partition::is_partition_type(field.data_type()) {
                return Err(wrong_type(field));
            }
        }
        let data: Vec<usize> = (0..schema.fields().len()).filter(|i| !partitions.contains(i)).collect();
        if data.is_empty() && !partitions.is_empty() {
            return Err(SparkError::new(
                ExceptionClass::Analysis,
                "ALL_PARTITION_COLUMNS_NOT_ALLOWED",
                "KD005",
                "Cannot use all columns for partition columns.",
            ));
        }
        let names = partitions.iter().map(|i| schema.field(*i).name().clone()).collect();
        let file_schema = Arc::new(schema.project(&data)?);
        Ok(Self { format: Arc::new(format), data, partitions, names, file_schema, zone, fsync })
    }

    /// Checks that the format can hold the columns.
    ///
    /// # Errors
    /// See [`OutputFormat::check`].
    pub fn check(&self) -> Result<(), SparkError> {
        self.format.check(self.file_schema.fields())
    }

    /// The directory of each row below the table's: `d=2024-01-01/k=a`, empty without partition columns.
    fn directories(&self, rows: &RecordBatch) -> Result<Vec<String>, SparkError> {
        let mut directories = vec![String::new(); rows.num_rows()];
        for (index, name) in self.partitions.iter().zip(&self.names) {
            let column =
                rows.columns().get(*index).ok_or_else(|| SparkError::internal("a partition column is missing"))?;
            let texts = text::cast_to_string(column.as_ref(), &self.zone)?;
            let name = partition::escape(name);
            for (directory, value) in directories.iter_mut().zip(&texts) {
                let value = match value {
                    None | Some("") => partition::NULL_NAME.to_string(),
                    Some(value) => partition::escape(value),
                };
                if !directory.is_empty() {
                    directory.push('/');
                }
                directory.push_str(&format!("{name}={value}"));
            }
        }
        Ok(directories)
    }
}

fn not_found(name: &str, schema: &Schema) -> SparkError {
    let list = types::simple_string(&arrow::datatypes::DataType::Struct(schema.fields().clone()));
    SparkError::new(
        ExceptionClass::Analysis,
        "_LEGACY_ERROR_TEMP_1155",
        "",
        format!("Partition column `{name}` not found in schema {list}."),
    )
    .with("col", name)
    .with("schemaCatalog", list)
}

fn wrong_type(field: &Field) -> SparkError {
    let data_type = types::sql_name(field.data_type());
    SparkError::new(
        ExceptionClass::Analysis,
        "INVALID_PARTITION_COLUMN_DATA_TYPE",
        "0A000",
        format!("Cannot use \"{data_type}\" for partition column."),
    )
    .with("type", format!("\"{data_type}\""))
}

/// A file that is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WrittenFile {
    /// Below the directory of the writer.
    pub relative: PathBuf,
    pub size: u64,
}

/// The files of one batch.
pub(crate) struct TableWriter {
    layout: Arc<Layout>,
    root: PathBuf,
    /// The same in the names of all files, or none if each has its own.
    job: Option<Uuid>,
    open: HashMap<(usize, String), (PathBuf, FileOutput)>,
    /// What to remove if the batch does not come to its end.
    created: Vec<PathBuf>,
    finished: bool,
}

impl TableWriter {
    /// A writer into `root`.
    pub fn new(layout: Arc<Layout>, root: &Path, job: Option<Uuid>) -> Self {
        let root = root.to_path_buf();
        Self { layout, root, job, open: HashMap::new(), created: Vec::new(), finished: false }
    }

    /// Adds rows of a partition of the query.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&mut self, partition: usize, rows: &RecordBatch) -> Result<(), SparkError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let data = rows.project(&self.layout.data)?;
        if self.layout.partitions.is_empty() {
            return self.output(partition, String::new())?.write(&data);
        }
        let mut groups: HashMap<String, Vec<u32>> = HashMap::new();
        for (row, directory) in self.layout.directories(rows)?.into_iter().enumerate() {
            groups.entry(directory).or_default().push(row as u32);
        }
        for (directory, indexes) in groups {
            let part = if indexes.len() == data.num_rows() { data.clone() } else { take(&data, indexes)? };
            self.output(partition, directory)?.write(&part)?;
        }
        Ok(())
    }

    fn output(&mut self, partition: usize, directory: String) -> Result<&mut FileOutput, SparkError> {
        match self.open.entry((partition, directory)) {
            Entry::Occupied(entry) => Ok(&mut entry.into_mut().1),
            Entry::Vacant(entry) => {
                let (_, directory) = entry.key();
                let id = self.job.unwrap_or_else(Uuid::new_v4);
                // Spark marks the count of files of a task with a dot in partition directories, with a dash elsewhere.
                let dash = if directory.is_empty() { '-' } else { '.' };
                let name = format!("part-{partition:05}-{id}{dash}c000{}", self.layout.format.ending());
                let relative = Path::new(directory).join(name);
                let path = self.root.join(&relative);
                let output = self.layout.format.create(&path, &self.layout.file_schema, self.layout.fsync)?;
                self.created.push(path);
                Ok(&mut entry.insert((relative, output)).1)
            }
        }
    }

    /// Ends all files. Without partition columns there is a file of the first partition even if it has no rows.
    ///
    /// # Errors
    /// What the file system says.
    pub fn finish(mut self) -> Result<Vec<WrittenFile>, SparkError> {
        if self.layout.partitions.is_empty() {
            self.output(0, String::new())?;
        }
        let mut files = Vec::with_capacity(self.open.len());
        for (_, (relative, output)) in std::mem::take(&mut self.open) {
            files.push(WrittenFile { relative, size: output.finish(self.layout.fsync)? });
        }
        files.sort_by(|a, b| a.relative.cmp(&b.relative));
        if self.layout.fsync {
            let directories: BTreeSet<&Path> = self.created.iter().filter_map(|path| path.parent()).collect();
            for directory in directories {
                sync_dir(ROLE, directory).map_err(|e| io_error("sync", directory, &e))?;
            }
        }
        self.finished = true;
        Ok(files)
    }
}

impl Drop for TableWriter {
    fn drop(&mut self) {
        if !self.finished {
            self.open.clear();
            for path in &self.created {
                // What cannot be removed is not in the log and does not count.
                if faults::step(ROLE, "remove", path).is_ok() {
                    let _ = std::fs::remove_file(path);
                }
            }
        }
    }
}

fn take(rows: &RecordBatch, indexes: Vec<u32>) -> Result<RecordBatch, SparkError> {
    let indexes = UInt32Array::from(indexes);
    let column = |c: &ArrayRef| arrow::compute::take(c.as_ref(), &indexes, None);
    let columns = rows.columns().iter().map(column).collect::<Result<Vec<_>, _>>()?;
    Ok(RecordBatch::try_new(rows.schema(), columns)?)
}
