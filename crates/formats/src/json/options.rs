//! Options of the JSON format, for reading and writing, taken apart once.

use crate::condition::{ExceptionClass, SparkError};
use crate::options::{Options, refuse_unserved};
use crate::record::{DateTimeReaders, DateTimeWriters, ParseMode, Settings};

/// Where the grammar may be left.
#[derive(Debug, Clone)]
pub(crate) struct Syntax {
    pub comments: bool,
    pub unquoted_names: bool,
    pub single_quotes: bool,
    pub leading_zeros: bool,
    pub non_numeric_numbers: bool,
    pub any_escape: bool,
    pub control_characters: bool,
}

impl Default for Syntax {
    fn default() -> Self {
        Self {
            comments: false,
            unquoted_names: false,
            single_quotes: true,
            leading_zeros: false,
            non_numeric_numbers: true,
            any_escape: false,
            control_characters: false,
        }
    }
}

/// Options for reading JSON.
#[derive(Debug, Clone)]
pub struct JsonReadOptions {
    pub(crate) syntax: Syntax,
    pub(crate) readers: DateTimeReaders,
    /// What becomes of bad records.
    pub mode: ParseMode,
    /// Name of the column for bad records.
    pub corrupt_column: String,
    /// One document per file.
    pub multi_line: bool,
    /// What ends a record; none means `\n`, `\r` and `\r\n`.
    pub line_separator: Option<String>,
    /// Character set; none means UTF-8.
    pub encoding: Option<String>,
    /// Part of the records that is looked at to find the schema.
    pub sampling_ratio: f64,
    /// A string field takes a value that is no string as it stands, blanks and digits included; else as JSON written anew.
    pub exact_strings: bool,
    pub(crate) allow_nan: bool,
    pub(crate) partial_results: bool,
    pub(crate) primitives_as_string: bool,
    pub(crate) prefers_decimal: bool,
    pub(crate) drop_all_null: bool,
    pub(crate) infer_timestamp: bool,
    pub(crate) timestamps_without_zone: bool,
}

impl JsonReadOptions {
    /// Takes options apart, with the session's settings behind them.
    ///
    /// # Errors
    /// A value that Spark refuses.
    pub fn parse(options: &Options, settings: &Settings) -> Result<Self, SparkError> {
        let line_separator = options.get_any(&["lineSep"]).map(str::to_string);
        if line_separator.as_deref() == Some("") {
            return Err(requirement("'lineSep' cannot be an empty string."));
        }
        refuse_unserved(options, "singleVariantColumn")?;
        refuse_unserved(options, "explodeEmbeddedArray")?;
        let non_numeric_numbers = options.format_bool("allowNonNumericNumbers", true)?;
        Ok(Self {
            syntax: Syntax {
                comments: options.format_bool("allowComments", false)?,
                unquoted_names: options.format_bool("allowUnquotedFieldNames", false)?,
                single_quotes: options.format_bool("allowSingleQuotes", true)?,
                leading_zeros: options.format_bool("allowNumericLeadingZeros", false)?,
                non_numeric_numbers,
                any_escape: options.format_bool("allowBackslashEscapingAnyCharacter", false)?,
                control_characters: options.format_bool("allowUnquotedControlChars", false)?,
            },
            readers: DateTimeReaders::parse(options, settings)?,
            mode: ParseMode::parse(options),
            corrupt_column: settings.corrupt_column(options),
            multi_line: options.format_bool("multiLine", false)?,
            line_separator,
            encoding: options.get_any(&["encoding", "charset"]).map(str::to_string),
            sampling_ratio: options.double("samplingRatio", 1.0)?,
            exact_strings: true,
            allow_nan: non_numeric_numbers,
            partial_results: settings.json_partial_results,
            primitives_as_string: options.format_bool("primitivesAsString", false)?,
            prefers_decimal: options.format_bool("prefersDecimal", false)?,
            drop_all_null: options.format_bool("dropFieldIfAllNull", false)?,
            infer_timestamp: options.format_bool("inferTimestamp", false)?,
            timestamps_without_zone: settings.timestamps_without_zone,
        })
    }
}

/// Options for writing JSON.
#[derive(Debug, Clone)]
pub struct JsonWriteOptions {
    pub(crate) writers: DateTimeWriters,
    /// Fields that are null are left out.
    pub ignore_null_fields: bool,
    /// Several lines, indented.
    pub pretty: bool,
    pub(crate) write_non_ascii_as_code_points: bool,
    /// What ends a record.
    pub line_separator: String,
    /// Character set; none means UTF-8.
    pub encoding: Option<String>,
}

impl JsonWriteOptions {
    /// Takes options apart, with the session's settings behind them.
    ///
    /// # Errors
    /// A value that Spark refuses.
    pub fn parse(options: &Options, settings: &Settings) -> Result<Self, SparkError> {
        Ok(Self {
            writers: DateTimeWriters::parse(options, settings)?,
            ignore_null_fields: options.format_bool("ignoreNullFields", settings.json_ignore_null_fields)?,
            pretty: options.format_bool("pretty", false)?,
            write_non_ascii_as_code_points: options.format_bool("writeNonAsciiCharacterAsCodePoint", false)?,
            line_separator: options.get("lineSep").unwrap_or("\n").to_string(),
            encoding: options.get_any(&["encoding", "charset"]).map(str::to_string),
        })
    }
}

pub(crate) fn requirement(message: &str) -> SparkError {
    SparkError::plain(ExceptionClass::IllegalArgument, format!("requirement failed: {message}"))
}
