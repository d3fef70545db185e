//! Casts from strings.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, PrimitiveArray, StringArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType,
    Time64NanosecondType, TimestampMicrosecondType,
};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::text::{
    ParsedDecimal, parse_boolean, parse_calendar, parse_date, parse_day_time, parse_decimal, parse_f32, parse_f64,
    parse_integer, parse_time, parse_timestamp, parse_timestamp_ntz, parse_year_month,
};

use super::failure::{decimal_out_of_range, malformed};
use super::{CastRun, Mode};
use crate::kernel::string;

/// Strings as another type.
pub fn cast_text(array: &ArrayRef, to: &DataType, run: &CastRun) -> Result<ArrayRef, SparkError> {
    let texts = string(array)?;
    let decimals = run.mode == Mode::Legacy;
    match to {
        DataType::Binary => Ok(Arc::new(BinaryArray::from(texts.clone()))),
        DataType::Boolean => to_boolean(texts, run),
        DataType::Int8 => parse::<Int8Type>(texts, to, run, |t| parse_integer(t, decimals)?.try_into().ok()),
        DataType::Int16 => parse::<Int16Type>(texts, to, run, |t| parse_integer(t, decimals)?.try_into().ok()),
        DataType::Int32 => parse::<Int32Type>(texts, to, run, |t| parse_integer(t, decimals)?.try_into().ok()),
        DataType::Int64 => parse::<Int64Type>(texts, to, run, |t| parse_integer(t, decimals)),
        DataType::Float32 => parse::<Float32Type>(texts, to, run, parse_f32),
        DataType::Float64 => parse::<Float64Type>(texts, to, run, parse_f64),
        DataType::Decimal128(precision, scale) => to_decimal(texts, *precision, *scale, run),
        DataType::Date32 => parse::<Date32Type>(texts, to, run, parse_date),
        DataType::Timestamp(_, Some(_)) => {
            let now_us = run.now_us();
            parse::<TimestampMicrosecondType>(texts, to, run, |t| parse_timestamp(t, &run.zone, now_us))
        }
        DataType::Timestamp(_, None) => {
            parse::<TimestampMicrosecondType>(texts, to, run, |t| parse_timestamp_ntz(t, true))
        }
        DataType::Time64(_) => parse::<Time64NanosecondType>(texts, to, run, |t| parse_time(t).map(|us| us * 1000)),
        DataType::Duration(_) => parse::<DurationMicrosecondType>(texts, to, run, parse_day_time),
        DataType::Interval(IntervalUnit::YearMonth) => parse::<IntervalYearMonthType>(texts, to, run, parse_year_month),
        DataType::Interval(IntervalUnit::MonthDayNano) => parse::<IntervalMonthDayNanoType>(texts, to, run, |t| {
            let parsed = parse_calendar(t).ok()?;
            Some(IntervalMonthDayNano::new(parsed.months, parsed.days, parsed.micros.checked_mul(1000)?))
        }),
        other => Err(SparkError::internal(format!("no cast from a string to {other}"))),
    }
}

fn parse<T: ArrowPrimitiveType>(
    texts: &StringArray,
    to: &DataType,
    run: &CastRun,
    read: impl Fn(&str) -> Option<T::Native>,
) -> Result<ArrayRef, SparkError> {
    let result: PrimitiveArray<T> = texts.iter().map(|text| text.and_then(&read)).collect();
    // A text that is no calendar interval is null in every mode.
    let lenient = matches!(to, DataType::Interval(IntervalUnit::MonthDayNano));
    if (run.mode == Mode::Ansi && !lenient)
        && let Some(row) = first_new_null(&result, texts)
    {
        return Err(refused(texts.value(row), to));
    }
    Ok(Arc::new(result.with_data_type(to.clone())))
}

fn first_new_null(result: &dyn Array, source: &dyn Array) -> Option<usize> {
    (result.null_count() > source.null_count())
        .then(|| (0..source.len()).find(|i| result.is_null(*i) && source.is_valid(*i)))
        .flatten()
}

fn refused(text: &str, to: &DataType) -> SparkError {
    let (subclass, kind) = match to {
        DataType::Duration(_) => ("UNMATCHED_FORMAT_STRING", "day-time"),
        DataType::Interval(_) => ("UNMATCHED_FORMAT_STRING", "year-month"),
        _ => return malformed(text, to),
    };
    let text = format!(
        "Error parsing '{text}' to interval. Please ensure that the value provided is in a valid format for defining an interval. You can \
         reference the documentation for the correct format. Interval string does not match {kind} format."
    );
    SparkError::new(ExceptionClass::IllegalArgument, &format!("INVALID_INTERVAL_FORMAT.{subclass}"), "22006", text)
}

fn to_boolean(texts: &StringArray, run: &CastRun) -> Result<ArrayRef, SparkError> {
    let result: BooleanArray = texts.iter().map(|t| t.and_then(parse_boolean)).collect();
    if run.mode == Mode::Ansi
        && let Some(row) = first_new_null(&result, texts)
    {
        return Err(malformed(texts.value(row), &DataType::Boolean));
    }
    Ok(Arc::new(result))
}

fn to_decimal(texts: &StringArray, precision: u8, scale: i8, run: &CastRun) -> Result<ArrayRef, SparkError> {
    let mut values = PrimitiveArray::<Decimal128Type>::builder(texts.len());
    for text in texts {
        match text.map(|t| (t, parse_decimal(t, precision, scale))) {
            Some((_, ParsedDecimal::Value(value))) => values.append_value(value),
            Some((text, ParsedDecimal::Malformed)) if run.mode == Mode::Ansi => {
                return Err(malformed(text, &DataType::Decimal128(precision, scale)));
            }
            Some((text, ParsedDecimal::Overflow)) if run.mode == Mode::Ansi => {
                return Err(decimal_out_of_range(text.trim(), precision, scale));
            }
            _ => values.append_null(),
        }
    }
    Ok(Arc::new(values.finish().with_precision_and_scale(precision, scale)?))
}
