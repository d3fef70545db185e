//! The rows of files: columns out of the file, out of its directory's name and out of its attributes.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray, StructArray, TimestampMicrosecondArray,
    UInt32Array,
};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::record::as_nullable;
use millstream_formats::types;
use millstream_formats::url::file_url_name;
use millstream_formats::zone::Zone;

use super::format::{Block, Blocks, FileFormat, ReadError};
use super::listing::DataFile;
use super::partition;
use crate::source::Rows;

/// Name of the hidden column.
pub(crate) const METADATA: &str = "_metadata";

/// The hidden column `_metadata`.
pub(crate) fn metadata_field() -> FieldRef {
    let fields = vec![
        Field::new("file_path", DataType::Utf8, false),
        Field::new("file_name", DataType::Utf8, false),
        Field::new("file_size", DataType::Int64, false),
        Field::new("file_block_start", DataType::Int64, false),
        Field::new("file_block_length", DataType::Int64, false),
        Field::new("file_modification_time", types::timestamp(), false),
    ];
    Arc::new(Field::new(METADATA, DataType::Struct(fields.into()), false))
}

/// Columns of files as they were found or declared: those in the files and those in directory names.
#[derive(Debug, Clone)]
pub(crate) struct TableSchema {
    /// In the files.
    pub data: Fields,
    /// In directory names.
    pub partitions: Vec<Field>,
    /// Names in the order the user declared, if it counts: else columns in directory names come last.
    pub declared: Vec<String>,
}

impl TableSchema {
    /// All columns, as the user sees them.
    pub fn schema(&self) -> SchemaRef {
        let unordered = self.unordered();
        if self.declared.is_empty() {
            return unordered;
        }
        let place = |f: &FieldRef| self.declared.iter().position(|n| n == f.name()).unwrap_or(usize::MAX);
        let mut fields: Vec<FieldRef> = unordered.fields().iter().cloned().collect();
        fields.sort_by_key(place);
        Arc::new(Schema::new(fields))
    }

    fn unordered(&self) -> SchemaRef {
        let data = self.data.iter().filter(|f| !self.is_partition(f.name()));
        let data = data.map(|f| f.as_ref().clone().with_data_type(as_nullable(f.data_type())).with_nullable(true));
        Arc::new(Schema::new(data.chain(self.partitions.iter().cloned()).collect::<Vec<_>>()))
    }

    fn is_partition(&self, name: &str) -> bool {
        self.partitions.iter().any(|p| p.name() == name)
    }
}

/// How to read files.
pub(crate) struct ReadPlan {
    format: Arc<dyn FileFormat>,
    all: Fields,
    wanted: Fields,
    output: Vec<Output>,
    schema: SchemaRef,
    zone: Zone,
    ignore_missing: bool,
    ignore_corrupt: bool,
}

/// Where a column of the result comes from.
enum Output {
    Data(usize),
    Partition(Field),
    Metadata,
}

/// What readers tolerate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tolerance {
    /// `ignoreMissingFiles`.
    pub missing: bool,
    /// `ignoreCorruptFiles`.
    pub corrupt: bool,
}

impl ReadPlan {
    /// A plan for these columns, all if none are named.
    ///
    /// # Errors
    /// A name that is no column.
    pub fn new(
        format: Arc<dyn FileFormat>,
        table: &TableSchema,
        columns: Option<&[String]>,
        zone: Zone,
        tolerance: Tolerance,
    ) -> Result<Self, SparkError> {
        let full = table.schema();
        let names: Vec<String> = match columns {
            Some(columns) => columns.to_vec(),
            None => full.fields().iter().map(|f| f.name().clone()).collect(),
        };
        let (mut wanted, mut output, mut fields): (Vec<FieldRef>, Vec<Output>, Vec<FieldRef>) = Default::default();
        for name in &names {
            if name == METADATA && full.field_with_name(name).is_err() {
                output.push(Output::Metadata);
                fields.push(metadata_field());
                continue;
            }
            let field = full.field_with_name(name)?;
            fields.push(Arc::new(field.clone()));
            if table.is_partition(name) {
                output.push(Output::Partition(field.clone()));
            } else {
                output.push(Output::Data(wanted.len()));
                wanted.push(Arc::new(field.clone()));
            }
        }
        Ok(Self {
            format,
            all: table.data.clone(),
            wanted: wanted.into(),
            output,
            schema: Arc::new(Schema::new(fields)),
            zone,
            ignore_missing: tolerance.missing,
            ignore_corrupt: tolerance.corrupt,
        })
    }

    /// Columns of the rows.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The rows of files in at most `partitions` parts; the files of a part are read one after the other.
    pub fn rows(self: &Arc<Self>, files: Vec<DataFile>, partitions: usize) -> Vec<Rows> {
        let mut files = if self.format.splits() { split(files, partitions.max(1)) } else { files };
        // Spark reads the largest parts first, and programs see the order of rows.
        files.sort_by_key(|file| std::cmp::Reverse(file.length()));
        let parts = share(files, partitions.max(1));
        let rows = |files: Vec<DataFile>| {
            let plan = Arc::clone(self);
            Box::new(files.into_iter().flat_map(move |file| FileRows::open(Arc::clone(&plan), file))) as Rows
        };
        parts.into_iter().map(rows).collect()
    }

    fn batch(&self, block: Block, constants: &[Option<ArrayRef>]) -> Result<RecordBatch, SparkError> {
        let repeat = UInt32Array::from(vec![0; if constants.iter().any(Option::is_some) { block.rows } else { 0 }]);
        let column = |(output, constant): (&Output, &Option<ArrayRef>)| match (output, constant) {
            (Output::Data(index), _) => {
                block.columns.get(*index).cloned().ok_or_else(|| SparkError::internal("a file gave too few columns"))
            }
            (_, Some(value)) => Ok(arrow::compute::take(value.as_ref(), &repeat, None)?),
            (_, None) => Err(SparkError::internal("a constant column without value")),
        };
        let columns = self.output.iter().zip(constants).map(column).collect::<Result<Vec<_>, _>>()?;
        let rows = RecordBatchOptions::new().with_row_count(Some(block.rows));
        Ok(RecordBatch::try_new_with_options(self.schema(), columns, &rows)?)
    }

    /// The values that all rows of a file share, one row each.
    fn constants(&self, file: &DataFile) -> Result<Vec<Option<ArrayRef>>, SparkError> {
        let values = partition::values(file);
        let constant = |output: &Output| match output {
            Output::Data(_) => Ok(None),
            Output::Metadata => metadata(file).map(Some),
            Output::Partition(field) => {
                let text = values
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(field.name()))
                    .map(|(_, text)| text.as_str());
                partition::value(text, field, &self.zone).map(Some)
            }
        };
        self.output.iter().map(constant).collect()
    }

    /// Whether the file is passed over with this error.
    fn tolerates(&self, error: &ReadError) -> bool {
        match error {
            ReadError::Io(error) if error.kind() == std::io::ErrorKind::NotFound => self.ignore_missing,
            ReadError::Io(_) => self.ignore_corrupt,
            ReadError::Spark(_) => false,
        }
    }
}

/// The rows of one file.
struct FileRows {
    plan: Arc<ReadPlan>,
    file: DataFile,
    constants: Vec<Option<ArrayRef>>,
    blocks: Option<Blocks>,
    failure: Option<SparkError>,
}

impl FileRows {
    fn open(plan: Arc<ReadPlan>, file: DataFile) -> Self {
        let constants = plan.constants(&file);
        let (blocks, failure) = match plan.format.read(&file, &plan.wanted, &plan.all) {
            Ok(blocks) => (Some(blocks), None),
            Err(error) if plan.tolerates(&error) => {
                tracing::warn!("Skipped the file {}: {error:?}", file.url());
                (None, None)
            }
            Err(error) => (None, Some(failed(&file, error))),
        };
        match constants {
            Ok(constants) => Self { plan, file, constants, blocks, failure },
            Err(error) => Self { plan, file, constants: Vec::new(), blocks: None, failure: Some(error) },
        }
    }
}

impl Iterator for FileRows {
    type Item = Result<RecordBatch, SparkError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(failure) = self.failure.take() {
            return Some(Err(failure));
        }
        match self.blocks.as_mut()?.next()? {
            Ok(block) => Some(self.plan.batch(block, &self.constants)),
            Err(error) => {
                self.blocks = None;
                Some(Err(failed(&self.file, error.into())))
            }
        }
    }
}

fn metadata(file: &DataFile) -> Result<ArrayRef, SparkError> {
    let size = i64::try_from(file.size).unwrap_or(i64::MAX);
    let DataType::Struct(fields) = metadata_field().data_type().clone() else {
        return Err(SparkError::internal("the metadata column is no struct"));
    };
    let long = |value: i64| Arc::new(Int64Array::from(vec![value])) as ArrayRef;
    let time = TimestampMicrosecondArray::from(vec![file.modified_ms.saturating_mul(1000)]).with_timezone("UTC");
    let (start, end) = file.part.unwrap_or((0, file.size));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![file.url()])),
        Arc::new(StringArray::from(vec![file_url_name(&file.path)])),
        long(size),
        long(i64::try_from(start).unwrap_or(i64::MAX)),
        long(i64::try_from(end - start).unwrap_or(i64::MAX)),
        Arc::new(time),
    ];
    Ok(Arc::new(StructArray::try_new(fields, columns, None)?))
}

/// What opening a file costs, in bytes, as Spark counts it; also the smallest part of a file.
const OPEN_COST: u64 = 4 << 20;
/// The largest part of a file (`spark.sql.files.maxPartitionBytes`).
const PART_MAX: u64 = 128 << 20;

/// Large files in parts, so that every core has something to do.
fn split(files: Vec<DataFile>, partitions: usize) -> Vec<DataFile> {
    let total: u64 = files.iter().map(|f| f.size + OPEN_COST).sum();
    let length = total.div_ceil(partitions as u64).clamp(OPEN_COST, PART_MAX);
    let parts = |file: DataFile| -> Vec<DataFile> {
        if file.size <= length || !super::input::is_splittable(&file.path) {
            return vec![file];
        }
        let starts = (0..file.size).step_by(usize::try_from(length).unwrap_or(usize::MAX));
        starts.map(|at| DataFile { part: Some((at, (at + length).min(file.size))), ..file.clone() }).collect()
    };
    files.into_iter().flat_map(parts).collect()
}

/// Files in order, in parts of about the same size.
fn share(files: Vec<DataFile>, partitions: usize) -> Vec<Vec<DataFile>> {
    let cost = |file: &DataFile| file.length() + OPEN_COST;
    let total: u64 = files.iter().map(cost).sum();
    let target = total.div_ceil(partitions as u64).max(1);
    let mut parts: Vec<Vec<DataFile>> = Vec::new();
    let mut used = 0;
    for file in files {
        if parts.is_empty() || (used >= target * parts.len() as u64 && parts.len() < partitions) {
            parts.push(Vec::new());
        }
        used += cost(&file);
        if let Some(part) = parts.last_mut() {
            part.push(file);
        }
    }
    parts
}

/// `FAILED_READ_FILE`.
pub(crate) fn failed(file: &DataFile, error: ReadError) -> SparkError {
    let path = file.url();
    let start = format!("Encountered error while reading file {path}. ");
    let new = |sub: &str, text: &str| {
        SparkError::new(ExceptionClass::Spark, &format!("FAILED_READ_FILE.{sub}"), "KD001", format!("{start}{text}"))
            .with("path", path.clone())
    };
    match error {
        ReadError::Io(error) if error.kind() == std::io::ErrorKind::NotFound => new(
            "FILE_NOT_EXIST",
            "File does not exist. It is possible the underlying files have been updated.\nYou can explicitly invalidate the cache \
             in Spark by running 'REFRESH TABLE tableName' command in SQL or by recreating the Dataset/DataFrame involved.",
        ),
        ReadError::Io(error) => match SparkError::find(&error) {
            Some(found) if error.kind() == std::io::ErrorKind::Unsupported => found.clone(),
            _ => new("NO_HINT", "").caused_by(SparkError::plain(ExceptionClass::Spark, error.to_string())),
        },
        ReadError::Spark(error) => match error.condition() {
            Some(condition)
                if condition.starts_with("FAILED_READ_FILE") || condition.starts_with("UNSUPPORTED_FEATURE") =>
            {
                error
            }
            _ => new("NO_HINT", "").caused_by(error),
        },
    }
}

/// `FAILED_READ_FILE.PARQUET_COLUMN_DATA_TYPE_MISMATCH`.
pub(crate) fn column_mismatch(file: &DataFile, column: &str, expected: &DataType, actual: &str) -> SparkError {
    let path = file.url();
    let expected = types::simple_string(expected);
    SparkError::new(
        ExceptionClass::Spark,
        "FAILED_READ_FILE.PARQUET_COLUMN_DATA_TYPE_MISMATCH",
        "KD001",
        format!(
            "Encountered error while reading file {path}. Data type mismatches when reading Parquet column [{column}]. Expected \
             Spark type {expected}, actual Parquet type {actual}."
        ),
    )
    .with("path", path)
    .with("column", format!("[{column}]"))
    .with("expectedType", expected)
    .with("actualType", actual)
}
