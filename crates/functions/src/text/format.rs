//! `format_string`, `printf`, `format_number`.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use millstream_formats::condition::SparkError;

use super::java_format::{Format, Value};
use crate::arguments::{expect_at_least, expect_count, unexpected_input};
use crate::bind::{Call, Nullable};
use crate::coerce::{self, Expected};
use crate::kernel;
use crate::rows::{nulls_of, strings};
use crate::{FunctionContext, Typed, types};

/// Builds `format_string(format, value, …)`, `printf`.
pub(super) fn format_string(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_at_least(name, arguments, 1)?;
    let mut parameters = vec![Expected::Any; arguments.len()];
    parameters[0] = Expected::STRING;
    let mut values = coerce::arguments(name, arguments, &parameters, context)?;
    for value in values.iter_mut().filter(|v| v.data_type == DataType::Null) {
        *value = coerce::cast_to(value.clone(), &DataType::Utf8, context)?;
    }
    if let Some(other) = values.iter().find(|v| reader_of(&v.data_type).is_none()) {
        return Err(SparkError::unsupported(format!("`{name}` of {}", types::sql_name(&other.data_type))));
    }
    Call::checked(name, values).nullable(Nullable::ByFirst).fallible().with(DataType::Utf8, |a, rows| {
        let formats = kernel::string(&a[0])?;
        let readers: Vec<(Reader, &ArrayRef)> =
            a[1..].iter().filter_map(|array| reader_of(array.data_type()).map(|reader| (reader, array))).collect();
        let mut last: Option<(&str, Format)> = None;
        let mut values = Vec::with_capacity(readers.len());
        strings(rows, formats.nulls().cloned(), |row, out| {
            let format = formats.value(row);
            if last.as_ref().is_none_or(|(seen, _)| *seen != format) {
                last = Some((format, Format::new(format)?));
            }
            values.clear();
            values.extend(
                readers.iter().map(|(read, array)| if array.is_null(row) { Value::Null } else { read(array, row) }),
            );
            if let Some((_, parsed)) = &last {
                parsed.write(&values, out)?;
            }
            Ok(true)
        })
    })
}

type Reader = for<'a> fn(&'a ArrayRef, usize) -> Value<'a>;

/// How values of a type are read; dates and timestamps show as the numbers they are kept as, as in Spark.
fn reader_of(data_type: &DataType) -> Option<Reader> {
    Some(match data_type {
        DataType::Utf8 => |a, row| Value::Text(a.as_string::<i32>().value(row)),
        DataType::Boolean => |a, row| Value::Boolean(a.as_boolean().value(row)),
        DataType::Int8 => |a, row| Value::Integer(a.as_primitive::<Int8Type>().value(row).into(), 8),
        DataType::Int16 => |a, row| Value::Integer(a.as_primitive::<Int16Type>().value(row).into(), 16),
        DataType::Int32 => |a, row| Value::Integer(a.as_primitive::<Int32Type>().value(row).into(), 32),
        DataType::Int64 => |a, row| Value::Integer(a.as_primitive::<Int64Type>().value(row), 64),
        DataType::Float32 => |a, row| Value::Float(a.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => |a, row| Value::Double(a.as_primitive::<Float64Type>().value(row)),
        DataType::Date32 => |a, row| Value::Integer(a.as_primitive::<Date32Type>().value(row).into(), 32),
        DataType::Timestamp(..) => |a, row| Value::Integer(a.as_primitive::<TimestampMicrosecondType>().value(row), 64),
        DataType::Decimal128(..) => |a, row| {
            let scale = if let DataType::Decimal128(_, scale) = a.data_type() { *scale } else { 0 };
            Value::Decimal(a.as_primitive::<Decimal128Type>().value(row), scale)
        },
        _ => return None,
    })
}

/// The digits of a number in English: how many at least and at most, and how they are grouped.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NumberFormat {
    prefix: String,
    suffix: String,
    whole_min: usize,
    fraction_min: usize,
    fraction_max: usize,
    group: usize,
}

impl NumberFormat {
    /// With thousands and so many places.
    fn places(places: usize) -> Self {
        Self {
            prefix: String::new(),
            suffix: String::new(),
            whole_min: 1,
            fraction_min: places,
            fraction_max: places,
            group: 3,
        }
    }

    /// Of a pattern of `DecimalFormat`: `#,##0.00##`, with plain text around it.
    fn of_pattern(pattern: &str) -> Result<Self, SparkError> {
        if pattern.is_empty() {
            return Ok(Self::places(0));
        }
        let unsupported = || SparkError::unsupported(format!("the number pattern '{pattern}'"));
        let digit = |c: char| matches!(c, '#' | '0' | ',' | '.');
        let start = pattern.find(digit).ok_or_else(unsupported)?;
        let end = pattern.rfind(digit).ok_or_else(unsupported)? + 1;
        let (prefix, digits, suffix) = (&pattern[..start], &pattern[start..end], &pattern[end..]);
        if !digits.chars().all(digit)
            || [prefix, suffix].iter().any(|t| t.contains(['%', '\u{2030}', ';', 'E', '\'', '\u{a4}']))
        {
            return Err(unsupported());
        }
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if fraction.contains(['.', ',']) {
            return Err(unsupported());
        }
        Ok(Self {
            prefix: prefix.to_string(),
            suffix: suffix.to_string(),
            whole_min: whole.matches('0').count(),
            fraction_min: fraction.matches('0').count(),
            fraction_max: fraction.len(),
            group: whole.rsplit_once(',').map_or(0, |(_, last)| last.len()),
        })
    }

    /// Appends a number given as `-123.4500`, its fraction of `fraction_max` digits.
    fn write(&self, rounded: &str, out: &mut String) {
        let (negative, digits) = rounded.strip_prefix('-').map_or((false, rounded), |digits| (true, digits));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let whole = format!("{:0>width$}", whole.trim_start_matches('0'), width = self.whole_min);
        let keep = fraction.trim_end_matches('0').len().max(self.fraction_min).min(fraction.len());
        if negative {
            out.push('-');
        }
        out.push_str(&self.prefix);
        for (i, digit) in whole.chars().enumerate() {
            if self.group > 0 && i > 0 && (whole.len() - i) % self.group == 0 {
                out.push(',');
            }
            out.push(digit);
        }
        if whole.is_empty() && keep == 0 {
            out.push('0');
        }
        if keep > 0 {
            out.push('.');
            out.push_str(&fraction[..keep]);
        }
        out.push_str(&self.suffix);
    }
}

/// Places behind the point beyond which a number has only zeros; more make no sense and would cost memory.
const PLACES_MAX: usize = 340;

/// Builds `format_number(value, places)` and `format_number(value, pattern)`.
pub(super) fn format_number(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[2])?;
    if arguments[0].data_type == DataType::Utf8 {
        return Err(unexpected_input(name, arguments, 0, "\"NUMERIC\""));
    }
    let format = Expected::OneOf(vec![Expected::INT, Expected::STRING]);
    let call =
        Call::new(name, arguments, context, &[Expected::Numeric, format], 2)?.nullable(Nullable::Always).fallible();
    call.with(DataType::Utf8, |a, rows| {
        let round = rounder_of(&a[0])?;
        let mut number = String::new();
        if *a[1].data_type() == DataType::Utf8 {
            let patterns = kernel::string(&a[1])?;
            return strings(rows, nulls_of(a), |row, out| {
                let format = NumberFormat::of_pattern(patterns.value(row))?;
                round(row, format.fraction_max.min(PLACES_MAX), &mut number);
                push_number(&format, &number, out);
                Ok(true)
            });
        }
        let places = kernel::primitive::<Int32Type>(&a[1])?;
        strings(rows, nulls_of(a), |row, out| {
            let Ok(places) = usize::try_from(places.value(row)) else { return Ok(false) };
            let format = NumberFormat::places(places.min(PLACES_MAX));
            round(row, format.fraction_max, &mut number);
            push_number(&format, &number, out);
            Ok(true)
        })
    })
}

fn push_number(format: &NumberFormat, number: &str, out: &mut String) {
    match number {
        "NaN" => out.push_str("NaN"),
        "inf" => out.push('\u{221e}'),
        "-inf" => out.push_str("-\u{221e}"),
        digits => format.write(digits, out),
    }
}

type Round<'a> = Box<dyn Fn(usize, usize, &mut String) + 'a>;

/// Writes the value of a row rounded half to even to so many places, in plain digits.
fn rounder_of(array: &ArrayRef) -> Result<Round<'_>, SparkError> {
    use std::fmt::Write;
    fn put(out: &mut String, value: impl std::fmt::Display, places: usize) {
        out.clear();
        // Writing to a string cannot fail.
        let _ = write!(out, "{value:.places$}");
    }
    fn put_integer(out: &mut String, value: i64) {
        out.clear();
        let _ = write!(out, "{value}");
    }
    fn pad(out: &mut String, places: usize) {
        if places > 0 {
            out.push('.');
            out.extend(std::iter::repeat_n('0', places));
        }
    }
    Ok(match array.data_type() {
        DataType::Float32 => {
            let values = kernel::primitive::<Float32Type>(array)?;
            Box::new(move |row, places, out| put(out, f64::from(values.value(row)), places))
        }
        DataType::Float64 => {
            let values = kernel::primitive::<Float64Type>(array)?;
            Box::new(move |row, places, out| put(out, values.value(row), places))
        }
        DataType::Decimal128(_, scale) => {
            let (values, scale) = (kernel::primitive::<Decimal128Type>(array)?, *scale);
            Box::new(move |row, places, out| {
                out.clear();
                let (value, kept) = half_even(values.value(row), scale, places);
                millstream_formats::text::write_decimal_plain(value, kept, out);
                let have = out.split_once('.').map_or(0, |(_, fraction)| fraction.len());
                if have == 0 {
                    pad(out, places);
                } else {
                    out.extend(std::iter::repeat_n('0', places.saturating_sub(have)));
                }
            })
        }
        _ => {
            let whole = arrow::compute::cast(array, &DataType::Int64)?;
            let values = whole.as_primitive::<Int64Type>().clone();
            Box::new(move |row, places, out| {
                put_integer(out, values.value(row));
                pad(out, places);
            })
        }
    })
}

/// A decimal with at most so many places, and the scale it then has.
fn half_even(value: i128, scale: i8, places: usize) -> (i128, i8) {
    let excess = i32::from(scale) - i32::try_from(places).unwrap_or(i32::MAX);
    if excess <= 0 {
        return (value, scale);
    }
    let unit = 10_i128.pow(excess.unsigned_abs().min(38));
    let (quotient, rest) = (value / unit, (value % unit).abs());
    let up = rest > unit / 2 || (rest == unit / 2 && quotient % 2 != 0);
    (quotient + if up { value.signum() } else { 0 }, places as i8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(pattern: &str, number: &str) -> String {
        let mut out = String::new();
        NumberFormat::of_pattern(pattern).unwrap_or_else(|e| panic!("{e}")).write(number, &mut out);
        out
    }

    #[test]
    fn numbers_follow_their_pattern() {
        assert_eq!(shown("#,##0.00", "1234567.89"), "1,234,567.89");
        assert_eq!(shown("##################.###", "12332.123"), "12332.123");
        assert_eq!(shown("0000", "-12"), "-0012");
        assert_eq!(shown("$#,##0.0#", "5.50"), "$5.5");
        assert_eq!(shown("#", "0"), "0");
    }

    #[test]
    fn decimals_are_rounded_half_to_even() {
        assert_eq!(half_even(125, 2, 1), (12, 1));
        assert_eq!(half_even(-135, 2, 1), (-14, 1));
        assert_eq!(half_even(126, 2, 3), (126, 2));
    }
}
