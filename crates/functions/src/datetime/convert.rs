//! Dates and timestamps to and from texts with a pattern, and to and from counts since 1970.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, Time64NanosecondType};
use datafusion::logical_expr::ColumnarValue;
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::pattern::{Parsed, Pattern, Purpose};
use millstream_formats::text::parse_time;
use millstream_formats::zone::Zone;

use super::columns::{NANOS_PER_MICRO, TIME, build_timestamps, text, timestamps};
use super::fields::local_day;
use super::interval::MICROS_PER_SECOND;
use super::session_zone;
use crate::arguments::expect_count;
use crate::bind::{Call, Nullable};
use crate::coerce::{self, Expected};
use crate::kernel::{self, Kernel};
use crate::rows::{nulls_of, numbers, strings};
use crate::{FunctionContext, Typed, cast, types};

/// The pattern of functions that were given none.
const DEFAULT_PATTERN: &str = "yyyy-MM-dd HH:mm:ss";

/// Patterns of one column; takes a pattern apart again only if it differs from that of the row before.
struct PatternColumn {
    purpose: Purpose,
    last: Option<(String, Pattern)>,
}

impl PatternColumn {
    fn new(purpose: Purpose) -> Self {
        Self { purpose, last: None }
    }

    fn get(&mut self, pattern: &str) -> Result<&Pattern, SparkError> {
        if !matches!(&self.last, Some((seen, _)) if seen == pattern) {
            self.last = Some((pattern.to_string(), Pattern::new(pattern, self.purpose)?));
        }
        self.last.as_ref().map(|(_, parsed)| parsed).ok_or_else(|| SparkError::internal("a pattern was lost"))
    }
}

fn cannot_parse(message: &str, function: &str) -> SparkError {
    SparkError::new(
        ExceptionClass::DateTime,
        "CANNOT_PARSE_TIMESTAMP",
        "22007",
        format!("{message}. Use `{function}` to tolerate invalid input string and return NULL instead."),
    )
    .with("message", message)
    .with("func", format!("`{function}`"))
}

/// Builds `date_format(time, pattern)`.
pub(super) fn date_format(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let call = Call::new(name, arguments, context, &[Expected::timestamp(), Expected::STRING], 2)?.fallible();
    let zone = session_zone(context)?;
    Ok(call.kernel(DataType::Utf8).bound_to(zone).arrays(&call.arguments, move |a, rows| {
        let (times, patterns) = (timestamps(&a[0])?, kernel::string(&a[1])?);
        let mut column = PatternColumn::new(Purpose::Format);
        strings(rows, nulls_of(a), |row, out| {
            column.get(patterns.value(row))?.format(times.value(row), &zone, out);
            Ok(true)
        })
    }))
}

/// Builds `from_unixtime(seconds[, pattern])`.
pub(super) fn from_unixtime(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let call = Call::new(name, arguments, context, &[Expected::LONG, Expected::STRING], 1)?
        .default_from(1, &[text(DEFAULT_PATTERN)])
        .nullable(Nullable::Always)
        .fallible();
    let zone = session_zone(context)?;
    Ok(call.kernel(DataType::Utf8).bound_to(zone).arrays(&call.arguments, move |a, rows| {
        let (seconds, patterns) = (kernel::primitive::<Int64Type>(&a[0])?, kernel::string(&a[1])?);
        let mut column = PatternColumn::new(Purpose::Format);
        strings(rows, nulls_of(a), |row, out| {
            let us = seconds.value(row).saturating_mul(MICROS_PER_SECOND);
            column.get(patterns.value(row))?.format(us, &zone, out);
            Ok(true)
        })
    }))
}

/// What a reading function gives, and what happens to texts that cannot be read.
#[derive(Debug, Clone, Copy)]
struct Reading {
    zone: Zone,
    /// Fails where it is set, else null.
    fail: bool,
    /// The function that the error recommends.
    lenient: &'static str,
}

/// Reads a column of texts by a column of patterns, as µs.
fn read_texts<T>(
    a: &[ArrayRef],
    reading: &Reading,
    value: impl Fn(&Parsed) -> Option<T>,
    mut each: impl FnMut(usize, Option<T>),
) -> Result<(), SparkError> {
    let (texts, patterns) = (kernel::string(&a[0])?, kernel::string(&a[1])?);
    let mut column = PatternColumn::new(Purpose::Parse);
    for row in 0..texts.len() {
        if texts.is_null(row) || patterns.is_null(row) {
            each(row, None);
            continue;
        }
        let parsed = column.get(patterns.value(row))?.parse(texts.value(row));
        let found =
            parsed.and_then(|p| value(&p).ok_or_else(|| format!("Text '{}' is out of range", texts.value(row))));
        match found {
            Ok(found) => each(row, Some(found)),
            Err(message) if reading.fail => return Err(cannot_parse(&message, reading.lenient)),
            Err(_) => each(row, None),
        }
    }
    Ok(())
}

fn reads_texts(argument: &Typed) -> bool {
    matches!(argument.data_type, DataType::Utf8 | DataType::Null)
}

/// What can be cast to a date or time; anything else goes by way of a string.
fn castable_to(result: &DataType) -> Expected {
    let mut types = vec![Expected::STRING, Expected::DATE, Expected::AnyTimestamp];
    if matches!(result, DataType::Timestamp(_, Some(_))) {
        types.push(Expected::Numeric);
    }
    Expected::OneOf(types)
}

/// Builds a timestamp of the given type from `(value[, pattern])`.
fn to_time_type(
    name: &str,
    arguments: &[Typed],
    context: &FunctionContext,
    result: DataType,
) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[1, 2])?;
    let lenient = name.starts_with("try_");
    let with_pattern = arguments.len() == 2 && arguments.first().is_some_and(reads_texts);
    if !with_pattern {
        return cast(coerce::argument(name, arguments, 0, &castable_to(&result), context)?, &result, lenient, context);
    }
    let fail = context.ansi && !lenient;
    let suggestion = if result == DataType::Date32 { "try_to_date" } else { "try_to_timestamp" };
    let reading = Reading { zone: session_zone(context)?, fail, lenient: suggestion };
    let nullable = if fail { Nullable::ByArguments } else { Nullable::Always };
    let call =
        Call::new(name, arguments, context, &[Expected::STRING, Expected::STRING], 2)?.nullable(nullable).fallible();
    let kernel = call.kernel(result.clone()).bound_to(reading.zone).bound_to(fail);
    Ok(kernel.arrays(&call.arguments, move |a, rows| {
        let mut found: Vec<Option<i64>> = Vec::with_capacity(rows);
        let zone = reading.zone;
        match &result {
            DataType::Date32 => {
                read_texts(
                    a,
                    &reading,
                    |p| p.utc_us(&zone).map(|us| i64::from(local_day(us, &zone))),
                    |_, v| found.push(v),
                )?;
                let days = |row: usize| Ok(found.get(row).copied().flatten().and_then(|d| i32::try_from(d).ok()));
                Ok(Arc::new(numbers::<Date32Type>(rows, None, days)?))
            }
            DataType::Timestamp(_, Some(_)) => {
                read_texts(a, &reading, |p| p.utc_us(&zone), |_, v| found.push(v))?;
                build_timestamps(rows, None, &result, |row| Ok(found.get(row).copied().flatten()))
            }
            _ => {
                read_texts(a, &reading, Parsed::local_us, |_, v| found.push(v))?;
                build_timestamps(rows, None, &result, |row| Ok(found.get(row).copied().flatten()))
            }
        }
    }))
}

/// Builds `to_date`, `try_to_date`: `(value[, pattern])`.
pub(super) fn to_date(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    to_time_type(name, arguments, context, DataType::Date32)
}

/// Builds `to_timestamp`, `try_to_timestamp`, `to_timestamp_ltz`: `(value[, pattern])`.
pub(super) fn to_timestamp(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    to_time_type(name, arguments, context, types::timestamp())
}

/// Builds `to_timestamp_ntz(value[, pattern])`.
pub(super) fn to_timestamp_ntz(
    name: &str,
    arguments: &[Typed],
    context: &FunctionContext,
) -> Result<Typed, SparkError> {
    to_time_type(name, arguments, context, types::timestamp_ntz())
}

/// Builds `unix_timestamp([value[, pattern]])`, `to_unix_timestamp(value[, pattern])`: seconds.
pub(super) fn unix_timestamp(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let least = usize::from(name != "unix_timestamp");
    expect_count(name, arguments, &(least..=2).collect::<Vec<_>>())?;
    let Some(value) = arguments.first() else {
        let now = Arc::clone(&context.now_us);
        return Ok(Kernel::new(name, DataType::Int64, false).volatile().columnar(&[], move |_, _| {
            let seconds = now.load(Ordering::Acquire).div_euclid(MICROS_PER_SECOND);
            Ok(ColumnarValue::Scalar(ScalarValue::Int64(Some(seconds))))
        }));
    };
    if !reads_texts(value) {
        // A `timestamp_ntz` counts as if it were UTC, whatever the session time zone.
        let time = coerce::argument(name, arguments, 0, &Expected::AnyTimestamp, context)?;
        return whole_units(name, time, MICROS_PER_SECOND);
    }
    let reading = Reading { zone: session_zone(context)?, fail: context.ansi, lenient: "try_to_timestamp" };
    let nullable = if reading.fail { Nullable::ByArguments } else { Nullable::Always };
    let call = Call::new(name, arguments, context, &[Expected::STRING, Expected::STRING], 1)?
        .default_from(1, &[text(DEFAULT_PATTERN)])
        .nullable(nullable)
        .fallible();
    let kernel = call.kernel(DataType::Int64).bound_to(reading.zone).bound_to(reading.fail);
    Ok(kernel.arrays(&call.arguments, move |a, rows| {
        let mut found = Vec::with_capacity(rows);
        let zone = reading.zone;
        read_texts(a, &reading, |p| p.utc_us(&zone).map(|us| us.div_euclid(MICROS_PER_SECOND)), |_, v| found.push(v))?;
        Ok(Arc::new(arrow::array::Int64Array::from(found)))
    }))
}

fn whole_units(name: &str, time: Typed, unit_us: i64) -> Result<Typed, SparkError> {
    let kernel = Kernel::new(name, DataType::Int64, time.nullable).bound_to(unit_us);
    Ok(kernel.arrays(&[time], move |a, _| {
        Ok(Arc::new(timestamps(&a[0])?.unary::<_, Int64Type>(|us| us.div_euclid(unit_us))))
    }))
}

/// Builds `unix_seconds`, `unix_millis`, `unix_micros`.
pub(super) fn unix_units(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[1])?;
    let time = coerce::argument(name, arguments, 0, &Expected::timestamp(), context)?;
    let unit_us = match name {
        "unix_seconds" => MICROS_PER_SECOND,
        "unix_millis" => 1000,
        _ => 1,
    };
    whole_units(name, time, unit_us)
}

/// Builds `unix_date(date)`.
pub(super) fn unix_date(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    Call::new(name, arguments, context, &[Expected::DATE], 1)?.with(DataType::Int32, |a, _| {
        Ok(Arc::new(kernel::primitive::<Date32Type>(&a[0])?.unary::<_, Int32Type>(|days| days)))
    })
}

/// Builds `date_from_unix_date(days)`.
pub(super) fn date_from_unix_date(
    name: &str,
    arguments: &[Typed],
    context: &FunctionContext,
) -> Result<Typed, SparkError> {
    Call::new(name, arguments, context, &[Expected::INT], 1)?.with(DataType::Date32, |a, _| {
        Ok(Arc::new(kernel::primitive::<Int32Type>(&a[0])?.unary::<_, Date32Type>(|days| days)))
    })
}

fn long_overflow() -> SparkError {
    SparkError::plain(ExceptionClass::Arithmetic, "long overflow")
}

/// Builds `timestamp_millis`, `timestamp_micros` of whole numbers.
pub(super) fn timestamp_units(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let call = Call::new(name, arguments, context, &[Expected::Integral], 1)?.fallible();
    let value = coerce::cast_to(call.arguments[0].clone(), &DataType::Int64, context)?;
    let unit_us = if name == "timestamp_millis" { 1000 } else { 1 };
    Ok(call.kernel(types::timestamp()).arrays(&[value], move |a, rows| {
        let values = kernel::primitive::<Int64Type>(&a[0])?;
        build_timestamps(rows, nulls_of(a), &types::timestamp(), |row| {
            values.value(row).checked_mul(unit_us).map(Some).ok_or_else(long_overflow)
        })
    }))
}

/// Builds `timestamp_seconds` of any number; NaN and the infinite are null.
pub(super) fn timestamp_seconds(
    name: &str,
    arguments: &[Typed],
    context: &FunctionContext,
) -> Result<Typed, SparkError> {
    if matches!(arguments, [value] if value.data_type == DataType::Utf8) {
        return Err(crate::arguments::unexpected_input(name, arguments, 0, "\"NUMERIC\""));
    }
    let call = Call::new(name, arguments, context, &[Expected::Numeric], 1)?.fallible();
    let value = call.arguments[0].clone();
    match value.data_type {
        DataType::Float32 | DataType::Float64 => {
            let value = coerce::cast_to(value, &DataType::Float64, context)?;
            Ok(Kernel::new(name, types::timestamp(), true).arrays(&[value], |a, rows| {
                let values = kernel::primitive::<Float64Type>(&a[0])?;
                build_timestamps(rows, nulls_of(a), &types::timestamp(), |row| {
                    let seconds: f64 = values.value(row);
                    Ok(seconds.is_finite().then_some((seconds * 1e6) as i64))
                })
            }))
        }
        DataType::Decimal128(_, scale) => Ok(call.kernel(types::timestamp()).arrays(&[value], move |a, rows| {
            let values = kernel::primitive::<Decimal128Type>(&a[0])?;
            build_timestamps(rows, nulls_of(a), &types::timestamp(), |row| {
                decimal_micros(values.value(row), scale).map(Some)
            })
        })),
        _ => {
            let value = coerce::cast_to(value, &DataType::Int64, context)?;
            Ok(call.kernel(types::timestamp()).arrays(&[value], |a, rows| {
                let values = kernel::primitive::<Int64Type>(&a[0])?;
                build_timestamps(rows, nulls_of(a), &types::timestamp(), |row| {
                    values.value(row).checked_mul(MICROS_PER_SECOND).map(Some).ok_or_else(long_overflow)
                })
            }))
        }
    }
}

/// Seconds of this scale as whole µs; digits beyond are an error.
fn decimal_micros(value: i128, scale: i8) -> Result<i64, SparkError> {
    let exact = match 6 - i32::from(scale) {
        up @ 0.. => value.checked_mul(10_i128.pow(up as u32)),
        down => {
            let unit = 10_i128.pow(down.unsigned_abs());
            if value % unit != 0 {
                return Err(SparkError::plain(ExceptionClass::Arithmetic, "Rounding necessary"));
            }
            Some(value / unit)
        }
    };
    exact.and_then(|us| i64::try_from(us).ok()).ok_or_else(|| SparkError::plain(ExceptionClass::Arithmetic, "Overflow"))
}

/// Builds `to_time`, `try_to_time`: `(text[, pattern])`.
pub(super) fn to_time(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let lenient = name == "try_to_time";
    let parameters = [Expected::STRING, Expected::STRING];
    let call = Call::new(name, arguments, context, &parameters, 1)?.nullable(Nullable::Always).fallible();
    Ok(call.kernel(TIME).bound_to(lenient).arrays(&call.arguments, move |a, rows| {
        let texts = kernel::string(&a[0])?;
        let patterns = a.get(1).map(|array| kernel::string(array)).transpose()?;
        let mut column = PatternColumn::new(Purpose::Parse);
        let value = |row| {
            let text = texts.value(row);
            let us = match patterns {
                Some(patterns) => column.get(patterns.value(row))?.parse(text).ok().map(|p| p.us_of_day),
                None => parse_time(text),
            };
            match us {
                Some(us) => Ok(Some(us * NANOS_PER_MICRO)),
                None if lenient => Ok(None),
                None => Err(cannot_parse_time(text, patterns.map_or("HH:mm:ss.SSSSSS", |p| p.value(row)))),
            }
        };
        Ok(Arc::new(numbers::<Time64NanosecondType>(rows, nulls_of(a), value)?))
    }))
}

fn cannot_parse_time(input: &str, format: &str) -> SparkError {
    SparkError::new(
        ExceptionClass::DateTime,
        "CANNOT_PARSE_TIME",
        "22010",
        format!(
            "The input string '{input}' cannot be parsed to a TIME value because it does not match to the datetime format \
             '{format}'."
        ),
    )
    .with("input", format!("'{input}'"))
    .with("format", format!("'{format}'"))
}
