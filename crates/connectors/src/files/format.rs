//! What a file format gives to the readers of directories and streams.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Fields};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::types;

use super::listing::DataFile;
use super::{csv, json, parquet, text};
use crate::errors;
use crate::options::Options;
use crate::source::Conf;

/// Rows of one record batch.
pub(crate) const BATCH_ROWS: usize = 8192;

/// Some rows of a file: a column for each field asked for.
pub(crate) struct Block {
    pub columns: Vec<ArrayRef>,
    pub rows: usize,
}

/// The rows of a file.
pub(crate) type Blocks = Box<dyn Iterator<Item = Result<Block, SparkError>> + Send>;

/// A format of files, its options taken apart.
pub(crate) trait FileFormat: Send + Sync {
    /// As Spark names it in messages: `JSON`, `CSV`, `Text`, `Parquet`.
    fn name(&self) -> &'static str;

    /// Reads the columns `wanted` of a file whose rows have the columns `all`.
    ///
    /// # Errors
    /// What the file system says, as an `io::Error` inside; a bad record in mode `FAILFAST`.
    fn read(&self, file: &DataFile, wanted: &Fields, all: &Fields) -> Result<Blocks, ReadError>;

    /// Whether parts of a file can be read on their own.
    fn splits(&self) -> bool {
        false
    }

    /// The columns of the files, found by looking at them; none if there is nothing to look at.
    ///
    /// # Errors
    /// As [`FileFormat::read`].
    fn infer(&self, files: &[DataFile]) -> Result<Option<Fields>, SparkError>;

    /// Checks that the format has these columns.
    ///
    /// # Errors
    /// `UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE` and the format's own.
    fn check(&self, fields: &Fields) -> Result<(), SparkError> {
        check_types(self.name(), fields, &|_| true)
    }
}

/// Why a file cannot be opened.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The file system.
    Io(std::io::Error),
    /// Anything else.
    Spark(SparkError),
}

impl From<std::io::Error> for ReadError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<SparkError> for ReadError {
    fn from(error: SparkError) -> Self {
        Self::Spark(error)
    }
}

/// The names of file formats.
const NAMES: [&str; 4] = ["json", "text", "csv", "parquet"];

/// The options that the reader of a format knows.
pub(crate) fn known_options(name: &str) -> &'static [&'static str] {
    match short_name(name).as_str() {
        "json" => &[
            "primitivesAsString",
            "prefersDecimal",
            "allowComments",
            "allowUnquotedFieldNames",
            "allowSingleQuotes",
            "allowNumericLeadingZeros",
            "allowNonNumericNumbers",
            "allowBackslashEscapingAnyCharacter",
            "allowUnquotedControlChars",
            "mode",
            "columnNameOfCorruptRecord",
            "dateFormat",
            "timestampFormat",
            "timestampNTZFormat",
            "timeFormat",
            "multiLine",
            "lineSep",
            "encoding",
            "charset",
            "samplingRatio",
            "dropFieldIfAllNull",
            "locale",
            "timeZone",
            "inferTimestamp",
            "enableDateTimeParsingFallback",
            "compression",
        ],
        "csv" => &[
            "sep",
            "delimiter",
            "quote",
            "escape",
            "charToEscapeQuoteEscaping",
            "comment",
            "header",
            "inferSchema",
            "preferDate",
            "enforceSchema",
            "ignoreLeadingWhiteSpace",
            "ignoreTrailingWhiteSpace",
            "nullValue",
            "nanValue",
            "positiveInf",
            "negativeInf",
            "dateFormat",
            "timestampFormat",
            "timestampNTZFormat",
            "timeFormat",
            "enableDateTimeParsingFallback",
            "maxColumns",
            "maxCharsPerColumn",
            "mode",
            "columnNameOfCorruptRecord",
            "multiLine",
            "samplingRatio",
            "emptyValue",
            "locale",
            "lineSep",
            "encoding",
            "charset",
            "timeZone",
            "columnPruning",
            "unescapedQuoteHandling",
            "compression",
        ],
        "text" => &["wholetext", "lineSep", "compression"],
        _ => &["mergeSchema", "datetimeRebaseMode", "int96RebaseMode"],
    }
}

/// Whether a format is one of files, also by the name of Spark's class.
pub(crate) fn is_file_format(name: &str) -> bool {
    NAMES.contains(&short_name(name).as_str())
}

/// `json` for `JSON` and `org.apache.spark.sql.execution.datasources.json.JsonFileFormat`.
pub(crate) fn short_name(name: &str) -> String {
    let lower = name.to_lowercase();
    match lower.strip_prefix("org.apache.spark.sql.execution.datasources.") {
        Some(rest) => rest.split('.').next().unwrap_or(rest).to_string(),
        None => lower,
    }
}

/// Takes the options of a format apart.
///
/// # Errors
/// `DATA_SOURCE_NOT_FOUND`, a bad option.
pub(crate) fn open(name: &str, options: &Options, conf: &Conf) -> Result<Arc<dyn FileFormat>, SparkError> {
    match short_name(name).as_str() {
        "csv" => Ok(Arc::new(csv::CsvFormat::new(options, conf)?)),
        "json" => Ok(Arc::new(json::JsonFormat::new(options, conf)?)),
        "text" => Ok(Arc::new(text::TextFormat::new(options)?)),
        "parquet" => Ok(Arc::new(parquet::ParquetFormat::new(options, conf)?)),
        _ => Err(errors::data_source_not_found(name)),
    }
}

/// Refuses columns of types that `supported` does not name, nested ones included.
pub(crate) fn check_types(
    format: &str,
    fields: &Fields,
    supported: &dyn Fn(&DataType) -> bool,
) -> Result<(), SparkError> {
    for field in fields {
        let data_type = field.data_type();
        let variant = matches!(data_type, DataType::Struct(fields) if types::is_variant(fields));
        if variant || !supported(data_type) {
            return Err(unsupported_type(format, field.name(), data_type));
        }
    }
    Ok(())
}

/// `UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE`.
pub(crate) fn unsupported_type(format: &str, column: &str, data_type: &DataType) -> SparkError {
    let data_type = types::sql_name(data_type);
    SparkError::new(
        ExceptionClass::Analysis,
        "UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE",
        "0A000",
        format!("The {format} datasource doesn't support the column `{column}` of the type \"{data_type}\"."),
    )
    .with("format", format)
    .with("columnName", format!("`{column}`"))
    .with("columnType", format!("\"{data_type}\""))
}
