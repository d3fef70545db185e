//! Rows and values as JSON text, as Spark writes them.
//!
//! Nulls are left out of objects unless asked for; numbers are in Java's format, times in the format of the options.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, Time64NanosecondType,
    TimeUnit, TimestampMicrosecondType,
};

use super::options::JsonWriteOptions;
use crate::condition::SparkError;
use crate::text;

/// Writes rows of record batches.
#[derive(Debug)]
pub struct JsonWriter<'a> {
    options: &'a JsonWriteOptions,
}

impl<'a> JsonWriter<'a> {
    /// A writer with these options.
    pub fn new(options: &'a JsonWriteOptions) -> Self {
        Self { options }
    }

    /// The rows of a batch, to be written one by one.
    ///
    /// # Errors
    /// A type that JSON cannot hold here.
    pub fn rows<'b>(&self, batch: &'b RecordBatch) -> Result<RowWriter<'b>, SparkError>
    where
        'a: 'b,
    {
        let schema = batch.schema_ref();
        let names = schema.fields().iter().map(|f| escaped(f.name(), self.options));
        let children = batch.columns().iter().map(|c| Value::new(c, self.options)).collect::<Result<Vec<_>, _>>()?;
        Ok(RowWriter { object: Object { fields: names.zip(children).collect() }, options: self.options })
    }

    /// The values of a struct, array or map column, to be written one by one.
    ///
    /// # Errors
    /// A type that JSON cannot hold here.
    pub fn values<'b>(&self, array: &'b ArrayRef) -> Result<ValueWriter<'b>, SparkError>
    where
        'a: 'b,
    {
        Ok(ValueWriter { value: Value::new(array, self.options)?, options: self.options })
    }
}

/// The rows of a batch.
pub struct RowWriter<'a> {
    object: Object<'a>,
    options: &'a JsonWriteOptions,
}

impl RowWriter<'_> {
    /// Appends a row as an object, without a line end.
    pub fn write(&self, row: usize, out: &mut String) {
        Output { out, options: self.options, depth: 0 }.object(&self.object, row);
    }
}

/// The values of a column.
pub struct ValueWriter<'a> {
    value: Value<'a>,
    options: &'a JsonWriteOptions,
}

impl ValueWriter<'_> {
    /// Appends a value.
    pub fn write(&self, row: usize, out: &mut String) {
        Output { out, options: self.options, depth: 0 }.value(&self.value, row);
    }
}

/// Names, ready to be written, and columns of an object.
struct Object<'a> {
    fields: Vec<(String, Value<'a>)>,
}

/// A column, its type settled once for all rows.
struct Value<'a> {
    array: &'a dyn Array,
    kind: ValueKind<'a>,
}

enum ValueKind<'a> {
    Null,
    Boolean,
    Byte,
    Short,
    Int,
    Long,
    Float,
    Double,
    Decimal(i8),
    String,
    Binary,
    Date,
    Timestamp,
    TimestampNtz,
    Time,
    DayTime,
    YearMonth,
    Interval,
    Struct(Object<'a>),
    List(Box<Value<'a>>),
    Map { keys: Box<Value<'a>>, values: Box<Value<'a>> },
}

impl<'a> Value<'a> {
    fn new(array: &'a ArrayRef, options: &JsonWriteOptions) -> Result<Self, SparkError> {
        let kind = match array.data_type() {
            DataType::Null => ValueKind::Null,
            DataType::Boolean => ValueKind::Boolean,
            DataType::Int8 => ValueKind::Byte,
            DataType::Int16 => ValueKind::Short,
            DataType::Int32 => ValueKind::Int,
            DataType::Int64 => ValueKind::Long,
            DataType::Float32 => ValueKind::Float,
            DataType::Float64 => ValueKind::Double,
            DataType::Decimal128(_, scale) => ValueKind::Decimal(*scale),
            DataType::Utf8 => ValueKind::String,
            DataType::Binary => ValueKind::Binary,
            DataType::Date32 => ValueKind::Date,
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => ValueKind::Timestamp,
            DataType::Timestamp(TimeUnit::Microsecond, None) => ValueKind::TimestampNtz,
            DataType::Time64(TimeUnit::Nanosecond) => ValueKind::Time,
            DataType::Duration(TimeUnit::Microsecond) => ValueKind::DayTime,
            DataType::Interval(IntervalUnit::YearMonth) => ValueKind::YearMonth,
            DataType::Interval(IntervalUnit::MonthDayNano) => ValueKind::Interval,
            DataType::Struct(fields) if !crate::types::is_variant(fields) => {
                let columns = array.as_struct().columns().iter().map(|c| Self::new(c, options));
                let columns = columns.collect::<Result<Vec<_>, _>>()?;
                let names = fields.iter().map(|f| escaped(f.name(), options));
                ValueKind::Struct(Object { fields: names.zip(columns).collect() })
            }
            DataType::List(_) => ValueKind::List(Box::new(Self::new(array.as_list::<i32>().values(), options)?)),
            DataType::Map(..) => {
                let map = array.as_map();
                let (keys, values) = (Self::new(map.keys(), options)?, Self::new(map.values(), options)?);
                ValueKind::Map { keys: Box::new(keys), values: Box::new(values) }
            }
            other => {
                return Err(SparkError::unsupported(format!("Writing {} as JSON", crate::types::simple_string(other))));
            }
        };
        Ok(Self { array: array.as_ref(), kind })
    }

    fn is_null(&self, row: usize) -> bool {
        matches!(self.kind, ValueKind::Null) || self.array.is_null(row)
    }
}

struct Output<'o> {
    out: &'o mut String,
    options: &'o JsonWriteOptions,
    depth: usize,
}

impl Output<'_> {
    fn line(&mut self) {
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n("  ", self.depth));
    }

    fn name(&mut self, escaped: &str, first: &mut bool) {
        if !std::mem::take(first) {
            self.out.push(',');
        }
        if self.options.pretty {
            self.line();
        }
        self.out.push_str(escaped);
        self.out.push_str(if self.options.pretty { " : " } else { ":" });
    }

    fn close_object(&mut self, empty: bool) {
        self.depth -= 1;
        match (self.options.pretty, empty) {
            (true, true) => self.out.push(' '),
            (true, false) => self.line(),
            (false, _) => {}
        }
        self.out.push('}');
    }

    fn object(&mut self, object: &Object<'_>, row: usize) {
        self.out.push('{');
        self.depth += 1;
        let mut first = true;
        for (name, value) in &object.fields {
            if value.is_null(row) && self.options.ignore_null_fields {
                continue;
            }
            self.name(name, &mut first);
            self.value(value, row);
        }
        self.close_object(first);
    }

    fn list(&mut self, values: &Value<'_>, range: std::ops::Range<usize>) {
        let gap = if self.options.pretty { " " } else { "" };
        self.out.push('[');
        self.out.push_str(gap);
        for (number, element) in range.enumerate() {
            if number > 0 {
                self.out.push(',');
                self.out.push_str(gap);
            }
            self.value(values, element);
        }
        self.out.push_str(gap);
        self.out.push(']');
    }

    fn map(&mut self, keys: &Value<'_>, values: &Value<'_>, range: std::ops::Range<usize>) {
        self.out.push('{');
        self.depth += 1;
        let mut first = true;
        for entry in range {
            let name = key_text(keys, entry);
            self.name(&escaped(&name, self.options), &mut first);
            self.value(values, entry);
        }
        self.close_object(first);
    }

    fn value(&mut self, value: &Value<'_>, row: usize) {
        if value.is_null(row) {
            return self.out.push_str("null");
        }
        let array = value.array;
        match &value.kind {
            ValueKind::Struct(object) => self.object(object, row),
            ValueKind::List(child) => self.list(child, range(array.as_list::<i32>().value_offsets(), row)),
            ValueKind::Map { keys, values } => self.map(keys, values, range(array.as_map().value_offsets(), row)),
            ValueKind::String => self.string(array.as_string::<i32>().value(row)),
            ValueKind::Binary => self.quoted(|out, _| write_base64(array.as_binary::<i32>().value(row), out)),
            ValueKind::Float => self.float(f64::from(array.as_primitive::<Float32Type>().value(row)), |out| {
                text::write_f32(array.as_primitive::<Float32Type>().value(row), out);
            }),
            ValueKind::Double => {
                let double = array.as_primitive::<Float64Type>().value(row);
                self.float(double, |out| text::write_f64(double, out));
            }
            ValueKind::Date => self.quoted(|out, o| o.writers.date(array.as_primitive::<Date32Type>().value(row), out)),
            ValueKind::Timestamp => {
                let us = array.as_primitive::<TimestampMicrosecondType>().value(row);
                self.quoted(|out, o| o.writers.timestamp(us, out));
            }
            ValueKind::TimestampNtz => {
                let us = array.as_primitive::<TimestampMicrosecondType>().value(row);
                self.quoted(|out, o| o.writers.timestamp_ntz(us, out));
            }
            ValueKind::Time => {
                let nanos = array.as_primitive::<Time64NanosecondType>().value(row);
                self.quoted(|out, o| o.writers.time(nanos, out));
            }
            ValueKind::DayTime | ValueKind::YearMonth | ValueKind::Interval => {
                self.quoted(|out, _| out.push_str(&key_text(value, row)));
            }
            ValueKind::Decimal(scale) => {
                text::write_decimal(array.as_primitive::<Decimal128Type>().value(row), *scale, self.out);
            }
            _ => self.out.push_str(&key_text(value, row)),
        }
    }

    fn float(&mut self, value: f64, write: impl Fn(&mut String)) {
        if value.is_finite() { write(self.out) } else { self.quoted(|out, _| write(out)) }
    }

    fn quoted(&mut self, write: impl FnOnce(&mut String, &JsonWriteOptions)) {
        self.out.push('"');
        write(self.out, self.options);
        self.out.push('"');
    }

    fn string(&mut self, text: &str) {
        write_string(text, self.options.write_non_ascii_as_code_points, self.out);
    }
}

fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |i: usize| offsets.get(i).map_or(0, |o| *o as usize);
    at(row)..at(row + 1)
}

/// A value as the name of a map's entry: that of Spark's internal value, so dates are numbers.
fn key_text(value: &Value<'_>, row: usize) -> String {
    let array = value.array;
    let mut out = String::new();
    match &value.kind {
        ValueKind::Boolean => return array.as_boolean().value(row).to_string(),
        ValueKind::Byte => return array.as_primitive::<Int8Type>().value(row).to_string(),
        ValueKind::Short => return array.as_primitive::<Int16Type>().value(row).to_string(),
        ValueKind::Int => return array.as_primitive::<Int32Type>().value(row).to_string(),
        ValueKind::Long => return array.as_primitive::<Int64Type>().value(row).to_string(),
        ValueKind::Date => return array.as_primitive::<Date32Type>().value(row).to_string(),
        ValueKind::Timestamp | ValueKind::TimestampNtz => {
            return array.as_primitive::<TimestampMicrosecondType>().value(row).to_string();
        }
        ValueKind::Time => return array.as_primitive::<Time64NanosecondType>().value(row).to_string(),
        ValueKind::String => return array.as_string::<i32>().value(row).to_string(),
        ValueKind::Float => text::write_f32(array.as_primitive::<Float32Type>().value(row), &mut out),
        ValueKind::Double => text::write_f64(array.as_primitive::<Float64Type>().value(row), &mut out),
        ValueKind::Decimal(scale) => {
            text::write_decimal(array.as_primitive::<Decimal128Type>().value(row), *scale, &mut out);
        }
        ValueKind::DayTime => {
            text::write_day_time(array.as_primitive::<DurationMicrosecondType>().value(row), &mut out)
        }
        ValueKind::YearMonth => {
            text::write_year_month(array.as_primitive::<IntervalYearMonthType>().value(row), &mut out);
        }
        ValueKind::Interval => {
            let interval = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            let micros = interval.nanoseconds / 1000;
            text::write_calendar(
                text::CalendarInterval { months: interval.months, days: interval.days, micros },
                &mut out,
            );
        }
        ValueKind::Null | ValueKind::Binary | ValueKind::Struct(_) | ValueKind::List(_) | ValueKind::Map { .. } => {
            write_value_debug(value, row, &mut out);
        }
    }
    out
}

/// A key of a type that Spark itself writes by its internal name; only its being told apart matters.
fn write_value_debug(value: &Value<'_>, row: usize, out: &mut String) {
    match &value.kind {
        ValueKind::Binary => write_base64(value.array.as_binary::<i32>().value(row), out),
        _ => out.push_str("[...]"),
    }
}

fn escaped(name: &str, options: &JsonWriteOptions) -> String {
    let mut out = String::with_capacity(name.len() + 2);
    write_string(name, options.write_non_ascii_as_code_points, &mut out);
    out
}

/// Appends a JSON string with its quotes.
pub(super) fn write_string(text: &str, ascii: bool, out: &mut String) {
    use std::fmt::Write;
    out.push('"');
    let mut run = 0;
    for (at, character) in text.char_indices() {
        let plain = (character.is_ascii() || !ascii) && character >= ' ' && !matches!(character, '"' | '\\');
        if plain {
            continue;
        }
        out.push_str(text.get(run..at).unwrap_or_default());
        run = at + character.len_utf8();
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04X}");
                }
            }
        }
    }
    out.push_str(text.get(run..).unwrap_or_default());
    out.push('"');
}

/// Appends base 64 with padding.
fn write_base64(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let byte = |i: usize| u32::from(group.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = DIGITS.get((bits >> (18 - 6 * place) & 63) as usize).copied().unwrap_or(b'=');
            out.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BinaryArray, Float64Array, Int32Array, StringArray, TimestampMicrosecondArray};

    use super::*;
    use crate::options::Options;
    use crate::record::Settings;
    use crate::zone::Zone;

    fn write(pairs: &[(&str, &str)], columns: Vec<(&str, ArrayRef)>) -> Vec<String> {
        let options: Options = pairs.iter().copied().collect();
        let options = JsonWriteOptions::parse(&options, &Settings::new(Zone::UTC)).unwrap();
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
        let writer = JsonWriter::new(&options);
        let rows = writer.rows(&batch).unwrap();
        let line = |row| {
            let mut out = String::new();
            rows.write(row, &mut out);
            out
        };
        (0..batch.num_rows()).map(line).collect()
    }

    #[test]
    fn values_are_written_as_spark_writes_them() {
        let times = TimestampMicrosecondArray::from(vec![Some(1_704_067_200_123_456), None]).with_timezone("UTC");
        let columns = || -> Vec<(&str, ArrayRef)> {
            vec![
                ("i", Arc::new(Int32Array::from(vec![Some(1), None]))),
                ("d", Arc::new(Float64Array::from(vec![1e20, f64::NAN]))),
                ("s", Arc::new(StringArray::from(vec!["x,\"y\"\n\u{1}ü", ""]))),
                ("ts", Arc::new(times.clone())),
                ("bin", Arc::new(BinaryArray::from_vec(vec![b"hi", b"hello"]))),
            ]
        };
        let expected = [
            r#"{"i":1,"d":1.0E20,"s":"x,\"y\"\n\u0001ü","ts":"2024-01-01T00:00:00.123Z","bin":"aGk="}"#,
            r#"{"d":"NaN","s":"","bin":"aGVsbG8="}"#,
        ];
        assert_eq!(write(&[], columns()), expected);
        let options = [("ignoreNullFields", "false"), ("timestampFormat", "yyyy/MM/dd HH:mm")];
        assert_eq!(write(&options, columns())[1], r#"{"i":null,"d":"NaN","s":"","ts":null,"bin":"aGVsbG8="}"#);
        assert!(write(&options, columns())[0].contains(r#""ts":"2024/01/01 00:00""#));
    }

    #[test]
    fn pretty_objects_have_a_field_a_line() {
        let columns: Vec<(&str, ArrayRef)> =
            vec![("a", Arc::new(Int32Array::from(vec![1]))), ("b", Arc::new(StringArray::from(vec!["x"])))];
        assert_eq!(write(&[("pretty", "true")], columns), ["{\n  \"a\" : 1,\n  \"b\" : \"x\"\n}"]);
    }
}
