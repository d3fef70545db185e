//! Options of the CSV format, for reading and writing, taken apart once.

use crate::condition::{ExceptionClass, SparkError};
use crate::options::{Options, refuse_unserved};
use crate::record::{DateTimeReaders, DateTimeWriters, ParseMode, Settings};

/// What stands for what in a record.
#[derive(Debug, Clone)]
pub(crate) struct Dialect {
    pub separator: String,
    pub quote: Option<char>,
    pub escape: Option<char>,
    /// Escapes the escape character in front of a quote.
    pub escape_escape: Option<char>,
    pub comment: Option<char>,
    pub trim_leading: bool,
    pub trim_trailing: bool,
}

/// Options for reading CSV.
#[derive(Debug, Clone)]
pub struct CsvReadOptions {
    pub(crate) dialect: Dialect,
    pub(crate) readers: DateTimeReaders,
    /// What becomes of bad records.
    pub mode: ParseMode,
    /// Name of the column for bad records.
    pub corrupt_column: String,
    /// The first record of each file has the names of the columns.
    pub header: bool,
    /// The names in the header need not be those of the schema.
    pub enforce_schema: bool,
    /// Types are inferred, else all columns are strings.
    pub infer_schema: bool,
    /// Records may span lines.
    pub multi_line: bool,
    /// What ends a record; none means `\n`, `\r` and `\r\n`.
    pub line_separator: Option<String>,
    /// Character set; none means UTF-8.
    pub encoding: Option<String>,
    /// Part of the records that is looked at to find the schema.
    pub sampling_ratio: f64,
    /// Columns that the query does not use are not looked at.
    pub column_pruning: bool,
    pub(crate) null_value: String,
    pub(crate) empty_value: String,
    pub(crate) nan: String,
    pub(crate) positive_infinity: String,
    pub(crate) negative_infinity: String,
    pub(crate) prefer_date: bool,
    pub(crate) columns_max: usize,
    pub(crate) value_length_max: Option<usize>,
    pub(crate) timestamps_without_zone: bool,
}

impl CsvReadOptions {
    /// Takes options apart, with the session's settings behind them.
    ///
    /// # Errors
    /// A value that Spark refuses.
    pub fn parse(options: &Options, settings: &Settings) -> Result<Self, SparkError> {
        let line_separator = options.get("lineSep").map(str::to_string);
        if line_separator.as_deref().is_some_and(|s| s.is_empty()) {
            return Err(refused("requirement failed: 'lineSep' cannot be an empty string."));
        }
        refuse_unserved(options, "singleVariantColumn")?;
        match options.get("unescapedQuoteHandling").map(str::to_uppercase).as_deref() {
            None | Some("STOP_AT_DELIMITER") => {}
            Some(other) => {
                return Err(SparkError::unsupported(format!("The CSV option unescapedQuoteHandling={other}")));
            }
        }
        let text = |name: &str, default: &str| options.get(name).unwrap_or(default).to_string();
        let length_max = options.int("maxCharsPerColumn", -1)?;
        Ok(Self {
            dialect: dialect(options, false)?,
            readers: DateTimeReaders::parse(options, settings)?,
            mode: ParseMode::parse(options),
            corrupt_column: settings.corrupt_column(options),
            header: csv_bool(options, "header", false)?,
            enforce_schema: csv_bool(options, "enforceSchema", true)?,
            infer_schema: csv_bool(options, "inferSchema", false)?,
            multi_line: csv_bool(options, "multiLine", false)?,
            line_separator,
            encoding: options.get_any(&["encoding", "charset"]).map(str::to_string),
            sampling_ratio: options.double("samplingRatio", 1.0)?,
            column_pruning: csv_bool(options, "columnPruning", true)?,
            null_value: text("nullValue", ""),
            empty_value: text("emptyValue", ""),
            nan: text("nanValue", "NaN"),
            positive_infinity: text("positiveInf", "Inf"),
            negative_infinity: text("negativeInf", "-Inf"),
            prefer_date: csv_bool(options, "preferDate", true)?,
            columns_max: usize::try_from(options.int("maxColumns", 20480)?).unwrap_or(20480),
            value_length_max: usize::try_from(length_max).ok(),
            timestamps_without_zone: settings.timestamps_without_zone,
        })
    }
}

/// Options for writing CSV.
#[derive(Debug, Clone)]
pub struct CsvWriteOptions {
    pub(crate) dialect: Dialect,
    pub(crate) writers: DateTimeWriters,
    /// Each file begins with the names of the columns.
    pub header: bool,
    pub(crate) null_value: String,
    pub(crate) empty_value: String,
    pub(crate) quote_all: bool,
    pub(crate) escape_quotes: bool,
    /// What ends a record.
    pub line_separator: String,
    /// Character set; none means UTF-8.
    pub encoding: Option<String>,
}

impl CsvWriteOptions {
    /// Takes options apart, with the session's settings behind them.
    ///
    /// # Errors
    /// A value that Spark refuses.
    pub fn parse(options: &Options, settings: &Settings) -> Result<Self, SparkError> {
        Ok(Self {
            dialect: dialect(options, true)?,
            writers: DateTimeWriters::parse(options, settings)?,
            header: csv_bool(options, "header", false)?,
            null_value: options.get("nullValue").unwrap_or("").to_string(),
            empty_value: options.get("emptyValue").unwrap_or("\"\"").to_string(),
            quote_all: csv_bool(options, "quoteAll", false)?,
            escape_quotes: csv_bool(options, "escapeQuotes", true)?,
            line_separator: options.get("lineSep").unwrap_or("\n").to_string(),
            encoding: options.get_any(&["encoding", "charset"]).map(str::to_string),
        })
    }
}

fn dialect(options: &Options, writing: bool) -> Result<Dialect, SparkError> {
    let quote = character(options, "quote", Some('"'))?;
    Ok(Dialect {
        separator: separator(options.get_any(&["sep", "delimiter"]).unwrap_or(","))?,
        quote,
        escape: character(options, "escape", Some('\\'))?,
        escape_escape: match options.contains("charToEscapeQuoteEscaping") {
            true => character(options, "charToEscapeQuoteEscaping", None)?,
            false => {
                let escape = character(options, "escape", Some('\\'))?;
                if escape == quote { None } else { escape }
            }
        },
        comment: character(options, "comment", None)?,
        trim_leading: csv_bool(options, "ignoreLeadingWhiteSpace", writing)?,
        trim_trailing: csv_bool(options, "ignoreTrailingWhiteSpace", writing)?,
    })
}

/// A character; empty text means that there is none.
fn character(options: &Options, name: &str, default: Option<char>) -> Result<Option<char>, SparkError> {
    let Some(text) = options.get(name) else { return Ok(default) };
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (None, _) | (Some('\0'), None) => Ok(None),
        (one, None) => Ok(one),
        _ => Err(SparkError::new(
            ExceptionClass::Runtime,
            "OPTION_VALUE_EXCEEDS_ONE_CHARACTER",
            "22023",
            format!("The value of {name} cannot be more than one character, but got {text}."),
        )
        .with("paramName", name)
        .with("actualValue", text)),
    }
}

/// The option `sep`, with the escapes `\t`, `\\` and the like.
fn separator(text: &str) -> Result<String, SparkError> {
    if text.is_empty() {
        return Err(SparkError::new(
            ExceptionClass::IllegalArgument,
            "INVALID_DELIMITER_VALUE.EMPTY_STRING",
            "42602",
            "Invalid value for delimiter. Delimiter cannot be empty string.",
        ));
    }
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some(c @ ('"' | '\'' | '\\')) => out.push(c),
            Some('u') => {
                let digits: String = characters.by_ref().take(4).collect();
                out.push(u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32).unwrap_or('\0'));
            }
            None => {
                return Err(SparkError::new(
                    ExceptionClass::IllegalArgument,
                    "INVALID_DELIMITER_VALUE.SINGLE_BACKSLASH",
                    "42602",
                    "Invalid value for delimiter. Single backslash is prohibited. It has special meaning as beginning of an escape \
                     sequence. To get the backslash character, pass a string with two backslashes as the delimiter.",
                ));
            }
            Some(_) => {
                return Err(SparkError::new(
                    ExceptionClass::IllegalArgument,
                    "INVALID_DELIMITER_VALUE.UNSUPPORTED_SPECIAL_CHARACTER",
                    "42602",
                    format!("Invalid value for delimiter. Unsupported special character for delimiter: {text}."),
                ));
            }
        }
    }
    Ok(out)
}

/// `true` or `false`; the error is CSV's own.
fn csv_bool(options: &Options, name: &str, default: bool) -> Result<bool, SparkError> {
    options.bool(name, default).map_err(|_| {
        SparkError::new(
            ExceptionClass::Spark,
            "_LEGACY_ERROR_TEMP_2147",
            "",
            format!("{name} flag can be true or false."),
        )
    })
}

fn refused(message: &str) -> SparkError {
    SparkError::plain(ExceptionClass::IllegalArgument, message)
}
