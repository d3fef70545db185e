//! Rows as CSV records, as Spark writes them.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Date32Type, Schema, Time64NanosecondType, TimeUnit, TimestampMicrosecondType};

use super::options::CsvWriteOptions;
use crate::condition::SparkError;
use crate::text::{Renderer, TextOptions};

/// Writes rows of record batches.
#[derive(Debug)]
pub struct CsvWriter<'o> {
    options: &'o CsvWriteOptions,
}

impl<'o> CsvWriter<'o> {
    /// A writer with these options.
    pub fn new(options: &'o CsvWriteOptions) -> Self {
        Self { options }
    }

    /// Appends the names of the columns, without a line end.
    pub fn header(&self, schema: &Schema, out: &mut String) {
        for (number, field) in schema.fields().iter().enumerate() {
            self.separate(number, out);
            self.value(number, field.name(), out);
        }
    }

    /// The rows of a batch, to be written one by one.
    ///
    /// # Errors
    /// A type that has no text.
    pub fn rows<'b>(&self, batch: &'b RecordBatch) -> Result<CsvRows<'b>, SparkError>
    where
        'o: 'b,
    {
        let column = |array: &'b ArrayRef| Cell::new(array, self.options);
        let columns = batch.columns().iter().map(column).collect::<Result<Vec<_>, _>>()?;
        Ok(CsvRows { columns, options: self.options })
    }

    fn separate(&self, number: usize, out: &mut String) {
        if number > 0 {
            out.push_str(&self.options.dialect.separator);
        }
    }

    /// Appends a value that is not null, of the column `number`.
    fn value(&self, number: usize, value: &str, out: &mut String) {
        if value.is_empty() {
            return self.plain_or_quoted(&self.options.empty_value, out);
        }
        let dialect = &self.options.dialect;
        let blank = |c: char| c <= ' ';
        let mut trimmed = value;
        if dialect.trim_leading {
            trimmed = trimmed.trim_start_matches(blank);
        }
        if dialect.trim_trailing {
            trimmed = trimmed.trim_end_matches(blank);
        }
        let Some(quote) = dialect.quote else { return out.push_str(trimmed) };
        // What has to be quoted is told by the value as it was, not as it is written.
        let special = |c: char| c == quote && self.options.escape_quotes || matches!(c, '\n' | '\r');
        let quoted = self.options.quote_all
            || value.contains(dialect.separator.as_str())
            || value.contains(special)
            || value.starts_with(quote)
            || (number == 0 && value.starts_with(dialect.comment.unwrap_or('#')));
        if !quoted {
            return out.push_str(trimmed);
        }
        out.push(quote);
        for character in trimmed.chars() {
            if character == quote {
                out.extend(dialect.escape.or(Some(quote)));
            } else if Some(character) == dialect.escape && dialect.escape_escape.is_some() {
                out.extend(dialect.escape_escape);
            }
            out.push(character);
        }
        out.push(quote);
    }

    /// Appends a stand-in for null or empty; it is quoted only if everything is.
    fn plain_or_quoted(&self, text: &str, out: &mut String) {
        match self.options.dialect.quote.filter(|q| self.options.quote_all && !text.starts_with(*q)) {
            Some(quote) => {
                out.push(quote);
                out.push_str(text);
                out.push(quote);
            }
            None => out.push_str(text),
        }
    }
}

/// The rows of a batch.
pub struct CsvRows<'a> {
    columns: Vec<Cell<'a>>,
    options: &'a CsvWriteOptions,
}

impl CsvRows<'_> {
    /// Appends a row, without a line end; `scratch` is used for single values. False if nothing was appended: a row whose only
    /// value is null has no line.
    pub fn write(&self, row: usize, scratch: &mut String, out: &mut String) -> bool {
        let before = out.len();
        let writer = CsvWriter::new(self.options);
        for (number, cell) in self.columns.iter().enumerate() {
            writer.separate(number, out);
            if cell.array.is_null(row) || cell.array.data_type() == &DataType::Null {
                writer.plain_or_quoted(&self.options.null_value, out);
                continue;
            }
            scratch.clear();
            cell.write(row, self.options, scratch);
            writer.value(number, scratch, out);
        }
        out.len() > before
    }
}

/// A column, its type settled once for all rows.
struct Cell<'a> {
    array: &'a dyn Array,
    kind: CellKind<'a>,
}

enum CellKind<'a> {
    Date,
    Timestamp,
    TimestampNtz,
    Time,
    Other(Renderer<'a>),
}

impl<'a> Cell<'a> {
    fn new(array: &'a ArrayRef, options: &CsvWriteOptions) -> Result<Self, SparkError> {
        let kind = match array.data_type() {
            DataType::Date32 => CellKind::Date,
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => CellKind::Timestamp,
            DataType::Timestamp(TimeUnit::Microsecond, None) => CellKind::TimestampNtz,
            DataType::Time64(TimeUnit::Nanosecond) => CellKind::Time,
            _ => {
                let text = TextOptions { plain_decimals: false, ..TextOptions::cast(*options.writers.zone()) };
                CellKind::Other(Renderer::new(array.as_ref(), &text)?)
            }
        };
        Ok(Self { array: array.as_ref(), kind })
    }

    fn write(&self, row: usize, options: &CsvWriteOptions, out: &mut String) {
        let array = self.array;
        match &self.kind {
            CellKind::Date => options.writers.date(array.as_primitive::<Date32Type>().value(row), out),
            CellKind::Timestamp => {
                options.writers.timestamp(array.as_primitive::<TimestampMicrosecondType>().value(row), out);
            }
            CellKind::TimestampNtz => {
                options.writers.timestamp_ntz(array.as_primitive::<TimestampMicrosecondType>().value(row), out);
            }
            CellKind::Time => options.writers.time(array.as_primitive::<Time64NanosecondType>().value(row), out),
            CellKind::Other(renderer) => renderer.write(row, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Decimal128Array, Float64Array, Int32Array, StringArray, TimestampMicrosecondArray};

    use super::*;
    use crate::options::Options;
    use crate::record::Settings;
    use crate::zone::Zone;

    fn write(pairs: &[(&str, &str)]) -> Vec<String> {
        let options: Options = pairs.iter().copied().collect();
        let options = CsvWriteOptions::parse(&options, &Settings::new(Zone::UTC)).unwrap();
        let decimals = Decimal128Array::from(vec![Some(12_500), None, None]).with_precision_and_scale(8, 3).unwrap();
        let times = TimestampMicrosecondArray::from(vec![Some(1_709_168_523_456_000), None, None]).with_timezone("UTC");
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("i", Arc::new(Int32Array::from(vec![Some(1), None, None]))),
            ("d", Arc::new(Float64Array::from(vec![Some(1.5), None, Some(1e20)]))),
            ("dec", Arc::new(decimals)),
            ("s", Arc::new(StringArray::from(vec!["x,\"y\" z", "", "ü\n\t"]))),
            ("ts", Arc::new(times)),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
        let writer = CsvWriter::new(&options);
        let rows = writer.rows(&batch).unwrap();
        let mut lines = vec![String::new()];
        writer.header(batch.schema_ref(), &mut lines[0]);
        let line = |row| {
            let mut out = String::new();
            rows.write(row, &mut String::new(), &mut out);
            out
        };
        lines.extend((0..3).map(line));
        lines
    }

    #[test]
    fn records_are_written_as_spark_writes_them() {
        let expected =
            ["i,d,dec,s,ts", "1,1.5,12.500,\"x,\\\"y\\\" z\",2024-02-29T01:02:03.456Z", ",,,\"\",", ",1.0E20,,\"ü\","];
        assert_eq!(write(&[]), expected);
        let options =
            [("sep", ";"), ("nullValue", "NULL"), ("quoteAll", "true"), ("timestampFormat", "yyyy-MM-dd HH:mm:ss")];
        let expected = [
            "\"i\";\"d\";\"dec\";\"s\";\"ts\"",
            "\"1\";\"1.5\";\"12.500\";\"x,\\\"y\\\" z\";\"2024-02-29 01:02:03\"",
            "\"NULL\";\"NULL\";\"NULL\";\"\";\"NULL\"",
            "\"NULL\";\"1.0E20\";\"NULL\";\"ü\";\"NULL\"",
        ];
        assert_eq!(write(&options), expected);
    }
}
