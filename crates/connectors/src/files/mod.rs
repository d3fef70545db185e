//! Files as sources: streams of directories (`load_stream`) and tables at rest ([`file_scan`]), in the formats `json`, `text`,
//! `csv` and `parquet`.
//!
//! | option | meaning |
//! |---|---|
//! | `maxFilesPerTrigger`, `maxBytesPerTrigger` | limit of a batch |
//! | `latestFirst`, `maxFileAge`, `fileNameOnly` | order and identity of files |
//! | `cleanSource`, `sourceArchiveDir` | what becomes of files that are done |
//! | `pathGlobFilter`, `recursiveFileLookup`, `basePath` | which files |
//! | `ignoreMissingFiles`, `ignoreCorruptFiles` | what is tolerated |
//!
//! and those of the formats. Columns in directory names (`day=2024-01-01`) come after those in the files; the hidden column
//! `_metadata` tells of the file a row is from.

mod batch_write;
mod clean;
mod csv;
mod encoding;
mod format;
mod input;
mod json;
mod listing;
mod output;
mod parquet;
mod partition;
mod read;
mod scalar;
mod scan;
mod settings;
mod sink;
mod sink_log;
mod stream;
mod stream_options;
mod text;
mod url;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Fields, SchemaRef};
use millstream_formats::condition::{ExceptionClass, SparkError};

pub use batch_write::{SaveMode, WriteSpec, write_files};
pub(crate) use format::is_file_format;
pub use scan::{FileScan, file_scan};
pub(crate) use settings::zone;
pub(crate) use sink::open as open_sink;

use crate::errors::illegal_argument;
use crate::options::{Options, warn_unknown};
use crate::source::{Conf, OpenContext, Origin, Source, SourceSpec};
use format::FileFormat;
use listing::DataFile;
use read::{ReadPlan, TableSchema, Tolerance};
use stream_options::StreamOptions;

/// Finds the columns of a file stream.
pub(crate) fn load_stream(spec: SourceSpec) -> Result<Arc<dyn Origin>, SparkError> {
    let path = match (spec.paths.as_slice(), spec.options.get("path")) {
        ([path], _) => path.clone(),
        ([], Some(path)) => path.to_string(),
        ([], None) => return Err(path_not_specified()),
        (paths, _) => {
            let list = paths.join(", ");
            let message = format!("Expected exactly one path to be specified, but got: {list}.");
            return Err(SparkError::new(ExceptionClass::IllegalArgument, "_LEGACY_ERROR_TEMP_2050", "", message));
        }
    };
    let short = format::short_name(&spec.format);
    let inference = settings::flag(&spec.conf, "spark.sql.streaming.schemaInference", false);
    if spec.schema.is_none() && !inference && short != "text" {
        return Err(schema_required());
    }
    if !listing::is_glob(&path) && !url::user_path(&path).exists() {
        return Err(listing::path_not_found(&path));
    }
    let format = format::open(&spec.format, &spec.options, &spec.conf)?;
    let filters = stream_options::filters(&spec.options)?;
    let mut files = Vec::new();
    for root in listing::expand(&path)? {
        files.extend(listing::list_root(&root, &filters)?);
    }
    let table = table_schema(format.as_ref(), &spec, &files)?;
    Ok(Arc::new(FileOrigin { path, format_name: spec.format, options: spec.options, table }))
}

/// The columns of files: the user's or inferred ones, and those in directory names.
fn table_schema(format: &dyn FileFormat, spec: &SourceSpec, files: &[DataFile]) -> Result<TableSchema, SparkError> {
    let user: Option<Vec<Field>> =
        spec.schema.as_ref().map(|s| s.fields().iter().map(|f| f.as_ref().clone()).collect());
    let infer = settings::flag(&spec.conf, "spark.sql.sources.partitionColumnTypeInference.enabled", true);
    let recursive = spec.options.format_bool("recursiveFileLookup", false)?;
    let partitions = match recursive {
        true => Vec::new(),
        false => partition::columns(files, user.as_deref(), infer, &settings::zone(&spec.conf)?)?,
    };
    let data: Fields = match user {
        Some(fields) => fields.into(),
        None => format.infer(files)?.ok_or_else(|| unable_to_infer(format.name()))?,
    };
    let is_partition = |field: &&FieldRef| !partitions.iter().any(|p| p.name().eq_ignore_ascii_case(field.name()));
    Ok(TableSchema { data: data.iter().filter(is_partition).cloned().collect(), partitions, declared: Vec::new() })
}

/// A file stream that has been loaded.
struct FileOrigin {
    path: String,
    format_name: String,
    options: Options,
    table: TableSchema,
}

impl Origin for FileOrigin {
    fn name(&self) -> String {
        format!("FileSource[{}]", self.path)
    }

    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn metadata_column(&self) -> Option<FieldRef> {
        Some(read::metadata_field())
    }

    fn check(&self, conf: &Conf) -> Result<(), SparkError> {
        self.plan(None, conf).map(|_| ())
    }

    fn open(&self, context: OpenContext) -> Result<Box<dyn Source>, SparkError> {
        let known = [stream_options::KNOWN, format::known_options(&self.format_name)].concat();
        warn_unknown(&self.options, "file source", &known);
        let (options, plan) = self.plan(context.columns.as_deref(), &context.conf)?;
        Ok(Box::new(stream::FileStream::open(&self.path, options, plan, context.metadata_dir, &context.conf)?))
    }
}

impl FileOrigin {
    /// What the options say of the stream and of its files.
    fn plan(&self, columns: Option<&[String]>, conf: &Conf) -> Result<(StreamOptions, ReadPlan), SparkError> {
        let options = StreamOptions::parse(&self.options)?;
        let format = format::open(&self.format_name, &self.options, conf)?;
        check_columns(&self.table.data)?;
        format.check(&self.table.data)?;
        let tolerance = tolerance(&self.options, conf)?;
        Ok((options, ReadPlan::new(format, &self.table, columns, settings::zone(conf)?, tolerance)?))
    }
}

fn tolerance(options: &Options, conf: &Conf) -> Result<Tolerance, SparkError> {
    let missing = settings::flag(conf, "spark.sql.files.ignoreMissingFiles", false);
    let corrupt = settings::flag(conf, "spark.sql.files.ignoreCorruptFiles", false);
    Ok(Tolerance {
        missing: options.format_bool("ignoreMissingFiles", missing)?,
        corrupt: options.format_bool("ignoreCorruptFiles", corrupt)?,
    })
}

/// `COLUMN_ALREADY_EXISTS` for names that differ in case only.
fn check_columns(fields: &Fields) -> Result<(), SparkError> {
    let mut seen = std::collections::HashSet::new();
    match fields.iter().find(|f| !seen.insert(f.name().to_lowercase())) {
        None => Ok(()),
        Some(field) => {
            let name = format!("`{}`", field.name().to_lowercase());
            let message =
                format!("The column {name} already exists. Choose another name or rename the existing column.");
            Err(SparkError::new(ExceptionClass::Analysis, "COLUMN_ALREADY_EXISTS", "42711", message)
                .with("columnName", name))
        }
    }
}

/// `'path' is not specified.`
pub(crate) fn path_not_specified() -> SparkError {
    SparkError::new(ExceptionClass::IllegalArgument, "_LEGACY_ERROR_TEMP_2047", "", "'path' is not specified.")
}

fn schema_required() -> SparkError {
    SparkError::new(
        ExceptionClass::IllegalArgument,
        "_LEGACY_ERROR_TEMP_2048",
        "",
        "Schema must be specified when creating a streaming source DataFrame. If some files already exist in the directory, then \
         depending on the file format you may be able to create a static DataFrame on that directory with \
         'spark.read.load(directory)' and infer schema from it.",
    )
}

fn unable_to_infer(format: &str) -> SparkError {
    SparkError::new(
        ExceptionClass::Analysis,
        "UNABLE_TO_INFER_SCHEMA",
        "42KD9",
        format!("Unable to infer schema for {format}. It must be specified manually."),
    )
    .with("format", format)
}

/// A time in an option such as `modifiedAfter`, ms.
pub(crate) fn modified_time(options: &Options, name: &str, conf: &Conf) -> Result<Option<i64>, SparkError> {
    let Some(text) = options.get(name) else { return Ok(None) };
    let zone = match options.get("timeZone") {
        Some(id) => id.parse().map_err(|_| illegal_argument(format!("Unknown time-zone ID: {id}")))?,
        None => settings::zone(conf)?,
    };
    millstream_formats::text::parse_timestamp(text, &zone, 0).map(|us| Some(us / 1000)).ok_or_else(|| {
        SparkError::plain(
            ExceptionClass::Analysis,
            format!(
                "The timestamp provided for the '{name}' option is invalid. The expected format is 'YYYY-MM-DDTHH:mm:ss', but the \
                 provided timestamp: {text}"
            ),
        )
    })
}
