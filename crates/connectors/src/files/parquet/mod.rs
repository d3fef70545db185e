//! The `parquet` format: columns by name, converted where Spark converts them, null where a file lacks them.
//!
//! Columns that the query does not use are not read. A column of a type that does not become the one declared fails the query
//! (`FAILED_READ_FILE.PARQUET_COLUMN_DATA_TYPE_MISMATCH`).

mod convert;
mod write;

use std::fmt::Display;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::{Field, Fields, Schema};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::record::as_nullable;
use millstream_formats::types;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::ParquetMetaData;

use super::format::{BATCH_ROWS, Block, Blocks, FileFormat, ReadError, check_types};
use super::listing::DataFile;
use super::settings;
use crate::options::Options;
use crate::source::Conf;

pub(crate) use write::ParquetOutput;

/// Where Spark keeps its schema in a file.
const SPARK_SCHEMA: &str = "org.apache.spark.sql.parquet.row.metadata";

/// Options of the format.
#[derive(Debug)]
pub(crate) struct ParquetFormat {
    merge_schema: bool,
    case_sensitive: bool,
}

impl ParquetFormat {
    /// Takes the options apart.
    pub fn new(options: &Options, conf: &Conf) -> Result<Self, SparkError> {
        for name in ["datetimeRebaseMode", "int96RebaseMode"] {
            if options.get(name).is_some_and(|mode| mode.eq_ignore_ascii_case("LEGACY")) {
                return Err(SparkError::unsupported(format!("The Parquet option {name}=LEGACY")));
            }
        }
        let merge = settings::flag(conf, "spark.sql.parquet.mergeSchema", false);
        Ok(Self {
            merge_schema: options.format_bool("mergeSchema", merge)?,
            case_sensitive: settings::flag(conf, "spark.sql.caseSensitive", false),
        })
    }

    /// Index of a column of the file.
    fn find(&self, schema: &Schema, name: &str) -> Option<usize> {
        let fields = schema.fields();
        let exact = fields.iter().position(|f| f.name() == name);
        exact.or_else(|| match self.case_sensitive {
            true => None,
            false => fields.iter().position(|f| f.name().eq_ignore_ascii_case(name)),
        })
    }
}

impl FileFormat for ParquetFormat {
    fn name(&self) -> &'static str {
        "Parquet"
    }

    fn read(&self, file: &DataFile, wanted: &Fields, _all: &Fields) -> Result<Blocks, ReadError> {
        let input = File::open(&file.path)?;
        let metadata = load_metadata(&input, file)?;
        let schema = Arc::clone(metadata.schema());
        let found: Vec<Option<usize>> = wanted.iter().map(|f| self.find(&schema, f.name())).collect();
        let mask = ProjectionMask::roots(metadata.parquet_schema(), found.iter().flatten().copied());
        // The reader gives the chosen columns in the order of the file.
        let mut chosen: Vec<usize> = found.iter().flatten().copied().collect();
        chosen.sort_unstable();
        chosen.dedup();
        for (field, index) in wanted.iter().zip(&found) {
            if let Some(index) = index {
                let actual = schema.field(*index);
                if !convert::converts(actual.data_type(), field.data_type()) {
                    let physical = convert::physical_name(metadata.parquet_schema(), *index);
                    return Err(super::read::column_mismatch(file, field.name(), field.data_type(), &physical).into());
                }
            }
        }
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(input, metadata);
        let builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
        let mut reader = Some(guarded(|| builder.build())?);
        let wanted = wanted.clone();
        Ok(Box::new(std::iter::from_fn(move || {
            let mut batches = reader.take()?;
            let batch = guarded(|| batches.next().transpose());
            if matches!(batch, Ok(Some(_))) {
                reader = Some(batches);
            }
            batch.transpose().map(|batch| block(&batch?, &wanted, &found, &chosen))
        })))
    }

    fn infer(&self, files: &[DataFile]) -> Result<Option<Fields>, SparkError> {
        let mut merged: Vec<Field> = Vec::new();
        let looked_at = if self.merge_schema { files.len() } else { 1 };
        for file in files.iter().take(looked_at) {
            let fields = schema_of(file).map_err(|e| super::read::failed(file, e))?;
            for field in &fields {
                match merged.iter().find(|f| f.name() == field.name()) {
                    None => merged.push(field.as_ref().clone()),
                    Some(known) if known.data_type() == field.data_type() => {}
                    Some(known) => return Err(cannot_merge(known, field)),
                }
            }
        }
        Ok(if files.is_empty() { None } else { Some(merged.into()) })
    }

    fn check(&self, fields: &Fields) -> Result<(), SparkError> {
        check_types(self.name(), fields, &convert::supported)
    }
}

fn block(batch: &RecordBatch, wanted: &Fields, found: &[Option<usize>], chosen: &[usize]) -> Result<Block, SparkError> {
    let column = |(field, index): (&Arc<Field>, &Option<usize>)| -> Result<ArrayRef, SparkError> {
        let place = index.and_then(|index| chosen.iter().position(|c| *c == index));
        match place.and_then(|place| batch.columns().get(place)) {
            Some(array) => convert::convert(array, field.data_type()),
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        }
    };
    let columns = wanted.iter().zip(found).map(column).collect::<Result<Vec<_>, _>>()?;
    Ok(Block { columns, rows: batch.num_rows() })
}

fn load_metadata(input: &File, file: &DataFile) -> Result<ArrowReaderMetadata, ReadError> {
    // What Arrow wrote of its own types does not matter: Spark looks at the Parquet types.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let unreadable = |error| ReadError::Spark(unreadable_footer(file, error));
    let metadata = guarded(|| ArrowReaderMetadata::load(input, options.clone())).map_err(unreadable)?;
    match int96_as_micros(&metadata) {
        None => Ok(metadata),
        Some(schema) => {
            let parquet = Arc::clone(metadata.metadata());
            guarded(|| ArrowReaderMetadata::try_new(parquet, options.with_schema(Arc::new(schema)))).map_err(unreadable)
        }
    }
}

/// The schema with INT96 columns as instants in µs: as ns, which is the default, they would end in 2262. None if there are none.
fn int96_as_micros(metadata: &ArrowReaderMetadata) -> Option<Schema> {
    let roots = metadata.parquet_schema().root_schema().get_fields();
    let is_int96 = |index: usize| {
        roots.get(index).is_some_and(|f| f.is_primitive() && f.get_physical_type() == parquet::basic::Type::INT96)
    };
    if !(0..roots.len()).any(is_int96) {
        return None;
    }
    let field = |(index, field): (usize, &Arc<Field>)| match is_int96(index) {
        true => Arc::new(field.as_ref().clone().with_data_type(types::timestamp())),
        false => Arc::clone(field),
    };
    Some(Schema::new(metadata.schema().fields().iter().enumerate().map(field).collect::<Vec<_>>()))
}

fn unreadable_footer(file: &DataFile, cause: SparkError) -> SparkError {
    SparkError::new(
        ExceptionClass::Spark,
        "FAILED_READ_FILE.CANNOT_READ_FILE_FOOTER",
        "KD001",
        format!(
            "Encountered error while reading file {}. Could not read footer. Please ensure that the file is in either ORC or \
             Parquet format.\nIf not, please convert it to a valid format. If the file is in the valid format, please check if it \
             is corrupt.\nIf it is, you can choose to either ignore it or fix the corruption.",
            file.url()
        ),
    )
    .with("path", file.url())
    .caused_by(cause)
}

/// What `read` gives. The library panics on some files that contradict themselves; that is an error of the file.
fn guarded<T, E: Display>(read: impl FnOnce() -> Result<T, E>) -> Result<T, SparkError> {
    let failed = |text: String| SparkError::plain(ExceptionClass::Runtime, text);
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(|error| failed(error.to_string())),
        Err(panic) => {
            let text =
                panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            Err(failed(format!("Malformed Parquet file: {}", text.unwrap_or("it contradicts itself"))))
        }
    }
}

/// The columns of a file as Spark sees them.
fn schema_of(file: &DataFile) -> Result<Fields, ReadError> {
    let input = File::open(&file.path)?;
    let metadata = load_metadata(&input, file)?;
    if let Some(fields) = spark_schema(metadata.metadata()) {
        return Ok(fields);
    }
    let field = |f: &Arc<Field>| Ok(Field::new(f.name(), convert::spark_type(f)?, true));
    let fields: Result<Vec<Field>, SparkError> = metadata.schema().fields().iter().map(field).collect();
    Ok(fields?.into())
}

/// The schema that Spark wrote beside the columns: it knows more than they do.
fn spark_schema(metadata: &ParquetMetaData) -> Option<Fields> {
    let pairs = metadata.file_metadata().key_value_metadata()?;
    let text = pairs.iter().find(|pair| pair.key == SPARK_SCHEMA)?.value.as_deref()?;
    let fields = types::schema_from_json(text).ok()?;
    let nullable = |f: &Arc<Field>| f.as_ref().clone().with_data_type(as_nullable(f.data_type())).with_nullable(true);
    Some(fields.iter().map(nullable).collect::<Vec<_>>().into())
}

fn cannot_merge(a: &Field, b: &Field) -> SparkError {
    let (left, right) = (types::sql_name(a.data_type()), types::sql_name(b.data_type()));
    SparkError::new(
        ExceptionClass::Spark,
        "CANNOT_MERGE_SCHEMAS",
        "42KD9",
        format!("Failed merging schemas:\nInitial schema:\n\"{left}\"\nSchema that cannot be merged with the initial schema:\n\"{right}\"."),
    )
    .with("left", left)
    .with("right", right)
}
