//! Records as rows; what becomes of bad records.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Fields, IntervalMonthDayNano};

use super::options::CsvReadOptions;
use super::tokens::{Tokenizer, Tokens};
use crate::condition::{ExceptionClass, SparkError};
use crate::json::{corrupt_column, malformed_record};
use crate::record::{Column, ParseMode, as_nullable};
use crate::text::{self, ParsedDecimal};

/// Reads one record after the other into rows of a schema.
///
/// A value that does not fit its type makes the field null and the record bad; so does a number of values other than that of the
/// columns, unless only some columns are read. Bad records are treated by the mode of the options.
#[derive(Debug)]
pub struct RecordReader {
    options: Arc<CsvReadOptions>,
    tokens: Tokens,
    columns: Vec<Column>,
    /// Which value of a record goes into which column.
    positions: Vec<usize>,
    /// Values that a record must have; not checked if none.
    expected: Option<usize>,
    corrupt: Option<(usize, Column)>,
    rows: usize,
}

impl RecordReader {
    /// A reader of the columns `wanted` out of records with the columns `all`.
    ///
    /// # Errors
    /// A type that cannot be read, a corrupt-record column that is no string.
    pub fn new(wanted: &Fields, all: &Fields, options: Arc<CsvReadOptions>) -> Result<Self, SparkError> {
        let name = options.corrupt_column.as_str();
        let corrupt = corrupt_column(wanted, name)?;
        // The corrupt-record column is in no file.
        let in_file: Vec<_> = all.iter().filter(|f| f.name() != name).collect();
        let read: Vec<_> = wanted.iter().filter(|f| f.name() != name).collect();
        let position = |f: &&Arc<arrow::datatypes::Field>| in_file.iter().position(|x| x.name() == f.name());
        let positions = read.iter().map(|f| position(f).unwrap_or(usize::MAX)).collect();
        let pruned = options.column_pruning && corrupt.is_none() && read.len() < in_file.len();
        Ok(Self {
            columns: read.iter().map(|f| Column::new(f.data_type())).collect::<Result<_, _>>()?,
            positions,
            expected: (!pruned).then_some(in_file.len()),
            corrupt,
            tokens: Tokens::default(),
            rows: 0,
            options,
        })
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Adds the row of a line; blank lines and comments have none.
    ///
    /// # Errors
    /// A bad record, in mode `FAILFAST`.
    pub fn push_line(&mut self, line: &str) -> Result<(), SparkError> {
        let options = Arc::clone(&self.options);
        let tokenizer = Tokenizer::new(&options);
        if tokenizer.skips(line) {
            return Ok(());
        }
        tokenizer.line(line, &mut self.tokens);
        self.push_tokens(line)
    }

    /// Adds the row of the record at `at` of a whole file and moves on; false if there is none.
    ///
    /// # Errors
    /// A bad record, in mode `FAILFAST`.
    pub fn push_next(&mut self, text: &str, at: &mut usize) -> Result<bool, SparkError> {
        let options = Arc::clone(&self.options);
        let start = *at;
        if !Tokenizer::new(&options).next(text, at, &mut self.tokens) {
            return Ok(false);
        }
        let record = text.get(start..*at).unwrap_or_default().trim_matches(['\n', '\r']);
        self.push_tokens(record)?;
        Ok(true)
    }

    fn push_tokens(&mut self, record: &str) -> Result<(), SparkError> {
        let longest = self.options.value_length_max.filter(|most| self.tokens.longest() > *most);
        if longest.is_some() || self.tokens.len() > self.options.columns_max {
            return Err(too_large(record));
        }
        let mut good = self.expected.is_none_or(|expected| expected == self.tokens.len());
        let (missing, empty) = (self.options.null_value.as_str(), self.options.empty_value.as_str());
        for (column, position) in self.columns.iter_mut().zip(&self.positions) {
            let value = self.tokens.get(*position, missing, empty).filter(|value| *value != missing);
            match value {
                None => column.push_null(),
                Some(value) if fill(column, value, &self.options).is_none() => {
                    column.push_null();
                    good = false;
                }
                Some(_) => {}
            }
        }
        self.rows += 1;
        self.finish_record(good, record)
    }

    fn finish_record(&mut self, good: bool, record: &str) -> Result<(), SparkError> {
        match (good, self.options.mode) {
            (false, ParseMode::FailFast) => return Err(malformed_record(record, ParseMode::FailFast)),
            (false, ParseMode::DropMalformed) => {
                self.rows -= 1;
                let rows = self.rows;
                self.columns.iter_mut().for_each(|c| c.truncate(rows));
                return Ok(());
            }
            _ => {}
        }
        match &mut self.corrupt {
            Some((_, Column::String(texts))) if !good => texts.push(record.as_bytes()),
            Some((_, column)) => column.push_null(),
            None => {}
        }
        Ok(())
    }

    fn push_null(&mut self) {
        self.columns.iter_mut().for_each(Column::push_null);
        if let Some((_, column)) = &mut self.corrupt {
            column.push_null();
        }
        self.rows += 1;
    }

    /// The columns of all rows since the last call.
    ///
    /// # Errors
    /// More than 2 GiB of text.
    pub fn finish(&mut self) -> Result<Vec<ArrayRef>, SparkError> {
        let mut arrays = self.columns.iter_mut().map(Column::finish).collect::<Result<Vec<_>, _>>()?;
        if let Some((index, column)) = &mut self.corrupt {
            arrays.insert((*index).min(arrays.len()), column.finish()?);
        }
        self.rows = 0;
        Ok(arrays)
    }
}

/// A record beyond `maxColumns` or `maxCharsPerColumn`: an error in every mode.
fn too_large(record: &str) -> SparkError {
    let shown: String = record.chars().take(1000).collect();
    let message = format!("Malformed CSV record: {shown}");
    SparkError::new(ExceptionClass::Runtime, "MALFORMED_CSV_RECORD", "KD000", message).with("badRecord", shown)
}

/// Adds a value; absent if it does not fit, and then nothing was added.
fn fill(column: &mut Column, value: &str, options: &CsvReadOptions) -> Option<()> {
    let float = |value: &str| match value {
        _ if value == options.nan => Some(f64::NAN),
        _ if value == options.negative_infinity => Some(f64::NEG_INFINITY),
        _ if value == options.positive_infinity => Some(f64::INFINITY),
        _ => text::parse_f64(value),
    };
    match column {
        Column::String(texts) => texts.push(value.as_bytes()),
        Column::Boolean(fill) if value.eq_ignore_ascii_case("true") => fill.push(true),
        Column::Boolean(fill) if value.eq_ignore_ascii_case("false") => fill.push(false),
        Column::Byte(fill) => fill.push(value.parse().ok()?),
        Column::Short(fill) => fill.push(value.parse().ok()?),
        Column::Int(fill) => fill.push(value.parse().ok()?),
        Column::Long(fill) => fill.push(value.parse().ok()?),
        Column::Double(fill) => fill.push(float(value)?),
        Column::Float(fill) => match text::parse_f32(value) {
            Some(number) if value != options.nan => fill.push(number),
            _ => fill.push(float(value)? as f32),
        },
        Column::Decimal(fill, precision, scale) => {
            match text::parse_decimal(&value.replace(',', ""), *precision, *scale) {
                ParsedDecimal::Value(number) => fill.push(number),
                _ => return None,
            }
        }
        Column::Date(fill) => fill.push(options.readers.date(value)?),
        Column::Timestamp(fill) => fill.push(options.readers.timestamp(value)?),
        Column::TimestampNtz(fill) => fill.push(options.readers.timestamp_ntz(value)?),
        Column::Time(fill) => fill.push(options.readers.time(value)?),
        Column::Binary(bytes) => bytes.push(value.as_bytes()),
        Column::YearMonth(fill) => fill.push(text::parse_year_month(value)?),
        Column::DayTime(fill) => fill.push(text::parse_day_time(value)?),
        Column::Interval(fill) => {
            let interval = text::parse_calendar(value).ok()?;
            let nanoseconds = interval.micros.checked_mul(1000)?;
            fill.push(IntervalMonthDayNano::new(interval.months, interval.days, nanoseconds));
        }
        Column::Null(rows) => *rows += 1,
        Column::Boolean(_) | Column::Struct { .. } | Column::List { .. } | Column::Map { .. } => return None,
    }
    Some(())
}

/// `from_csv`: each text as a struct.
///
/// # Errors
/// A type that cannot be read; a bad record in mode `FAILFAST`.
pub fn from_csv(texts: &StringArray, fields: &Fields, options: Arc<CsvReadOptions>) -> Result<ArrayRef, SparkError> {
    let mut reader = RecordReader::new(fields, fields, options)?;
    let mut valid = Vec::with_capacity(texts.len());
    for text in texts {
        let before = reader.rows();
        if let Some(text) = text {
            reader.push_line(text)?;
        }
        valid.push(text.is_some());
        if reader.rows() == before {
            reader.push_null();
        }
    }
    let DataType::Struct(fields) = as_nullable(&DataType::Struct(fields.clone())) else {
        return Err(SparkError::internal("a struct that is none"));
    };
    let rows = valid.len();
    Ok(Arc::new(StructArray::try_new_with_length(fields, reader.finish()?, Some(NullBuffer::from(valid)), rows)?))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;

    use super::*;
    use crate::options::Options;
    use crate::record::Settings;
    use crate::zone::Zone;

    fn rows(names: &str, pairs: &[(&str, &str)], lines: &[&str]) -> Result<Vec<String>, SparkError> {
        let options: Options = pairs.iter().copied().collect();
        let options = Arc::new(CsvReadOptions::parse(&options, &Settings::new(Zone::UTC))?);
        let field = |pair: &str| {
            let (name, kind) = pair.split_once(':').unwrap_or((pair, "s"));
            let data_type = match kind {
                "i" => DataType::Int32,
                "d" => DataType::Float64,
                "date" => DataType::Date32,
                _ => DataType::Utf8,
            };
            Field::new(name, data_type, true)
        };
        let fields: Fields = names.split(' ').map(field).collect::<Vec<_>>().into();
        let mut reader = RecordReader::new(&fields, &fields, options)?;
        for line in lines {
            reader.push_line(line)?;
        }
        let count = reader.rows();
        let columns = reader.finish()?;
        let texts: Vec<_> = columns.iter().map(|c| text::cast_to_string(c.as_ref(), &Zone::UTC).unwrap()).collect();
        let cell = |c: &StringArray, r| if c.is_null(r) { "null".to_string() } else { c.value(r).to_string() };
        Ok((0..count).map(|r| texts.iter().map(|c| cell(c, r)).collect::<Vec<_>>().join("|")).collect())
    }

    #[test]
    fn short_long_and_ill_typed_records_are_bad() {
        let lines = ["1,x,2", "1,x", "1,x,2,extra", "z,x,2", ",,", "\"open,x,2", "", "  "];
        let kept = rows("a:i b c:i _corrupt_record", &[], &lines).unwrap();
        let expected = [
            "1|x|2|null",
            "1|x|null|1,x",
            "1|x|2|1,x,2,extra",
            "null|x|2|z,x,2",
            "null|null|null|null",
            "null|null|null|\"open,x,2",
        ];
        assert_eq!(kept, expected);
        assert_eq!(rows("a:i b c:i", &[("mode", "DROPMALFORMED")], &lines).unwrap(), ["1|x|2", "null|null|null"]);
        let error = rows("a:i b c:i", &[("mode", "FAILFAST")], &lines).unwrap_err();
        assert_eq!(error.condition(), Some("MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION"));
    }

    #[test]
    fn types_nulls_and_blanks_are_read_as_spark_reads_them() {
        let lines = [
            "1,plain,1.5,2024-01-01",
            "3,\"a \"\"b\"\" c\",,",
            "4,\"\",4.0,2024-01-04",
            "6,  spaces  , 6.5 ,2024-01-06",
            "7,m,7,bad",
        ];
        let expected = [
            "1|plain|1.5|2024-01-01",
            "3|\"a \"\"b\"\" c\"|null|null",
            "4|null|4.0|2024-01-04",
            "6|  spaces  |6.5|2024-01-06",
            "7|m|7.0|null",
        ];
        assert_eq!(rows("id:i name price:d day:date", &[], &lines).unwrap(), expected);
        let options = [
            ("sep", "|"),
            ("comment", "#"),
            ("nullValue", "NA"),
            ("emptyValue", "EMPTY"),
            ("quote", "'"),
            ("ignoreLeadingWhiteSpace", "true"),
            ("ignoreTrailingWhiteSpace", "true"),
        ];
        let lines = ["# a comment", "x | y | 1", "NA|z|NA", "'q|q'|''|2", r#"'it\'s'|"d"|3"#];
        assert_eq!(rows("a b c:i", &options, &lines).unwrap(), ["x|y|1", "null|z|null", "q|q|EMPTY|2", "it's|\"d\"|3"]);
    }
}
