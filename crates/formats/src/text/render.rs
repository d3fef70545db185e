//! Whole columns as text: `CAST(… AS STRING)` and what `show()` prints.

use std::fmt::Write;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeListArray, ListArray, MapArray, StringArray, StringBuilder,
    StructArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, Time64NanosecondType,
    TimeUnit, TimestampMicrosecondType,
};

use super::datetime::{write_date, write_local_timestamp, write_time, write_timestamp};
use super::interval::{CalendarInterval, write_calendar, write_day_time, write_year_month};
use super::number::{write_decimal, write_decimal_plain, write_f32, write_f64};
use crate::condition::SparkError;
use crate::types::{is_variant, simple_name};
use crate::zone::Zone;

/// How values become text.
#[derive(Debug, Clone, Copy)]
pub struct TextOptions {
    /// Zone of timestamps.
    pub time_zone: Zone,
    /// What stands for null inside arrays, maps and structs.
    pub null: &'static str,
    /// Decimals with all their digits; else with an exponent if they are small (`0E-18`), as in legacy mode.
    pub plain_decimals: bool,
    /// Binary values as `[61 62]`; else their bytes as UTF-8.
    pub hex_binary: bool,
}

impl TextOptions {
    /// As `CAST(… AS STRING)` writes values in ANSI mode.
    pub fn cast(time_zone: Zone) -> Self {
        Self { time_zone, null: "null", plain_decimals: true, hex_binary: false }
    }

    /// As `show()` prints values.
    pub fn show(time_zone: Zone) -> Self {
        Self { time_zone, null: "NULL", plain_decimals: true, hex_binary: true }
    }
}

/// Every value as text; null stays null.
///
/// # Errors
/// If the array is of a type that has no text form here (`variant`, and types outside of [`crate::types`]).
pub fn to_text(array: &dyn Array, options: &TextOptions) -> Result<StringArray, SparkError> {
    let renderer = Renderer::new(array, options)?;
    let mut out = StringBuilder::with_capacity(array.len(), array.len() * 8);
    let mut value = String::new();
    for row in 0..array.len() {
        if renderer.is_null(row) {
            out.append_null();
            continue;
        }
        value.clear();
        renderer.write(row, &mut value);
        out.append_value(&value);
    }
    Ok(out.finish())
}

/// `CAST(… AS STRING)` in ANSI mode.
///
/// # Errors
/// As [`to_text`].
pub fn cast_to_string(array: &dyn Array, time_zone: &Zone) -> Result<StringArray, SparkError> {
    to_text(array, &TextOptions::cast(*time_zone))
}

/// What `show()` prints: as a cast, but binary as `[61 62]` and null as `NULL`; no result is null.
///
/// # Errors
/// As [`to_text`].
pub fn show_strings(array: &dyn Array, time_zone: &Zone) -> Result<StringArray, SparkError> {
    let options = TextOptions::show(*time_zone);
    let texts = to_text(array, &options)?;
    Ok(texts.iter().map(|t| Some(t.unwrap_or(options.null))).collect())
}

/// Writes single values of one array; made once per array.
pub struct Renderer<'a> {
    array: &'a dyn Array,
    kind: Kind<'a>,
    options: TextOptions,
}

/// The array by what it takes to write it.
enum Kind<'a> {
    Null,
    Boolean(&'a BooleanArray),
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Decimal(&'a [i128], i8),
    String(&'a StringArray),
    Binary(&'a arrow::array::BinaryArray),
    Date(&'a [i32]),
    Timestamp(&'a [i64]),
    LocalTimestamp(&'a [i64]),
    Time(&'a [i64]),
    DayTime(&'a [i64]),
    YearMonth(&'a [i32]),
    Calendar(&'a [arrow::datatypes::IntervalMonthDayNano]),
    List(&'a ListArray, Box<Renderer<'a>>),
    FixedList(&'a FixedSizeListArray, Box<Renderer<'a>>),
    Map(&'a MapArray, Box<Renderer<'a>>, Box<Renderer<'a>>),
    Struct(Vec<Renderer<'a>>),
}

impl<'a> Renderer<'a> {
    /// A renderer of an array.
    ///
    /// # Errors
    /// As [`to_text`].
    pub fn new(array: &'a dyn Array, options: &TextOptions) -> Result<Self, SparkError> {
        let child = |array: &'a ArrayRef| Renderer::new(array.as_ref(), options).map(Box::new);
        let kind = match array.data_type() {
            DataType::Null => Kind::Null,
            DataType::Boolean => Kind::Boolean(array.as_boolean()),
            DataType::Int8 => Kind::Int8(array.as_primitive::<Int8Type>().values()),
            DataType::Int16 => Kind::Int16(array.as_primitive::<Int16Type>().values()),
            DataType::Int32 => Kind::Int32(array.as_primitive::<Int32Type>().values()),
            DataType::Int64 => Kind::Int64(array.as_primitive::<Int64Type>().values()),
            DataType::Float32 => Kind::Float32(array.as_primitive::<Float32Type>().values()),
            DataType::Float64 => Kind::Float64(array.as_primitive::<Float64Type>().values()),
            DataType::Decimal128(_, scale) => Kind::Decimal(array.as_primitive::<Decimal128Type>().values(), *scale),
            DataType::Utf8 => Kind::String(array.as_string()),
            DataType::Binary => Kind::Binary(array.as_binary()),
            DataType::Date32 => Kind::Date(array.as_primitive::<Date32Type>().values()),
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
                Kind::Timestamp(array.as_primitive::<TimestampMicrosecondType>().values())
            }
            DataType::Timestamp(TimeUnit::Microsecond, None) => {
                Kind::LocalTimestamp(array.as_primitive::<TimestampMicrosecondType>().values())
            }
            DataType::Time64(TimeUnit::Nanosecond) => Kind::Time(array.as_primitive::<Time64NanosecondType>().values()),
            DataType::Duration(TimeUnit::Microsecond) => {
                Kind::DayTime(array.as_primitive::<DurationMicrosecondType>().values())
            }
            DataType::Interval(IntervalUnit::YearMonth) => {
                Kind::YearMonth(array.as_primitive::<IntervalYearMonthType>().values())
            }
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                Kind::Calendar(array.as_primitive::<IntervalMonthDayNanoType>().values())
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Kind::List(list, child(list.values())?)
            }
            DataType::FixedSizeList(..) => {
                let list = array.as_fixed_size_list();
                Kind::FixedList(list, child(list.values())?)
            }
            DataType::Map(..) => {
                let map = array.as_map();
                Kind::Map(map, child(map.keys())?, child(map.values())?)
            }
            DataType::Struct(fields) if !is_variant(fields) => {
                Kind::Struct(Self::children(array.as_struct(), options)?)
            }
            other => return Err(SparkError::unsupported(format!("A value of type {} as text", simple_name(other)))),
        };
        Ok(Self { array, kind, options: *options })
    }

    fn children(array: &'a StructArray, options: &TextOptions) -> Result<Vec<Renderer<'a>>, SparkError> {
        array.columns().iter().map(|c| Renderer::new(c.as_ref(), options)).collect()
    }

    /// Whether the value is null.
    pub fn is_null(&self, row: usize) -> bool {
        matches!(self.kind, Kind::Null) || self.array.is_null(row)
    }

    /// Writes the value of a row, which must exist; a null as the options say.
    pub fn write(&self, row: usize, out: &mut String) {
        if self.is_null(row) {
            return out.push_str(self.options.null);
        }
        match &self.kind {
            Kind::Null => {}
            Kind::Boolean(values) => out.push_str(if values.value(row) { "true" } else { "false" }),
            Kind::Int8(values) => write_display(values[row], out),
            Kind::Int16(values) => write_display(values[row], out),
            Kind::Int32(values) => write_display(values[row], out),
            Kind::Int64(values) => write_display(values[row], out),
            Kind::Float32(values) => write_f32(values[row], out),
            Kind::Float64(values) => write_f64(values[row], out),
            Kind::Decimal(values, scale) if self.options.plain_decimals => {
                write_decimal_plain(values[row], *scale, out)
            }
            Kind::Decimal(values, scale) => write_decimal(values[row], *scale, out),
            Kind::String(values) => out.push_str(values.value(row)),
            Kind::Binary(values) => self.write_binary(values.value(row), out),
            Kind::Date(values) => write_date(values[row], out),
            Kind::Timestamp(values) => write_timestamp(values[row], &self.options.time_zone, out),
            Kind::LocalTimestamp(values) => write_local_timestamp(values[row], out),
            Kind::Time(values) => write_time(values[row] / 1000, out),
            Kind::DayTime(values) => write_day_time(values[row], out),
            Kind::YearMonth(values) => write_year_month(values[row], out),
            Kind::Calendar(values) => {
                let v = values[row];
                write_calendar(CalendarInterval { months: v.months, days: v.days, micros: v.nanoseconds / 1000 }, out);
            }
            Kind::List(list, element) => {
                let offsets = list.value_offsets();
                element.write_list(offsets[row] as usize..offsets[row + 1] as usize, out);
            }
            Kind::FixedList(list, element) => {
                let size = list.value_length() as usize;
                element.write_list(row * size..(row + 1) * size, out);
            }
            Kind::Map(map, key, value) => {
                let offsets = map.value_offsets();
                write_map(key, value, offsets[row] as usize..offsets[row + 1] as usize, out);
            }
            Kind::Struct(fields) => write_struct(fields, row, out),
        }
    }

    fn write_list(&self, rows: std::ops::Range<usize>, out: &mut String) {
        out.push('[');
        for (i, row) in rows.enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            self.write(row, out);
        }
        out.push(']');
    }

    fn write_binary(&self, bytes: &[u8], out: &mut String) {
        if !self.options.hex_binary {
            return out.push_str(&String::from_utf8_lossy(bytes));
        }
        out.push('[');
        for (i, byte) in bytes.iter().enumerate() {
            let _ = write!(out, "{}{byte:02X}", if i > 0 { " " } else { "" });
        }
        out.push(']');
    }
}

fn write_display(value: impl std::fmt::Display, out: &mut String) {
    let _ = write!(out, "{value}");
}

fn write_map(key: &Renderer, value: &Renderer, rows: std::ops::Range<usize>, out: &mut String) {
    out.push('{');
    for (i, row) in rows.enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        key.write(row, out);
        out.push_str(" -> ");
        value.write(row, out);
    }
    out.push('}');
}

fn write_struct(fields: &[Renderer], row: usize, out: &mut String) {
    out.push('{');
    for (i, field) in fields.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        field.write(row, out);
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use arrow::array::{BinaryArray, Float64Array, Int32Array};
    use arrow::datatypes::Field;

    #[test]
    fn nested_values_look_as_in_spark() {
        let numbers = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None]);
        let doubles: ArrayRef = Arc::new(Float64Array::from(vec![Some(1e10), None]));
        let fields = vec![
            (Arc::new(Field::new("a", numbers.data_type().clone(), true)), Arc::new(numbers) as ArrayRef),
            (Arc::new(Field::new("b", DataType::Float64, true)), doubles),
        ];
        let rows = StructArray::from(fields);
        let cast = cast_to_string(&rows, &Zone::UTC).unwrap();
        assert_eq!(cast.iter().collect::<Vec<_>>(), [Some("{[1, null], 1.0E10}"), Some("{null, null}")]);
        let shown = show_strings(&rows, &Zone::UTC).unwrap();
        assert_eq!(shown.value(1), "{NULL, NULL}");
    }

    #[test]
    fn show_prints_null_and_bytes() {
        let shown = show_strings(&BinaryArray::from_opt_vec(vec![Some(b"aO"), None]), &Zone::UTC).unwrap();
        assert_eq!(shown.iter().flatten().collect::<Vec<_>>(), ["[61 4F]", "NULL"]);
        let shown = show_strings(&Int32Array::from(vec![Some(-5)]), &Zone::UTC).unwrap();
        assert_eq!(shown.value(0), "-5");
    }
}
