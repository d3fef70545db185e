//! Dates, timestamps, times and intervals made of their parts: `make_date`, `make_timestamp`, `make_interval` and their kin.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float64Type, Int32Type, Int64Type,
    IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, Time64NanosecondType,
    TimeUnit,
};
use datafusion::scalar::ScalarValue;
use millstream_formats::calendar;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::text::join_days;
use millstream_formats::zone::Zone;

use super::columns::{NANOS_PER_MICRO, TIME, ZoneColumn, build_timestamps, expected_time, out_of_bounds};
use super::interval::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND};
use super::session_zone;
use crate::arguments::expect_count;
use crate::bind::{Call, Nullable};
use crate::coerce::{self, Expected};
use crate::kernel;
use crate::rows::{nulls_of, numbers};
use crate::{FunctionContext, Typed, types};

/// A day by its parts, or what is wrong with them.
fn day_of(year: i32, month: i32, day: i32) -> Result<i32, String> {
    let bound = |field: &str, value: i32, most: i32| match (1..=most).contains(&value) {
        true => Ok(value as u32),
        false => Err(format!("Invalid value for {field} (valid values 1 - {most}): {value}")),
    };
    let (month, day_number) = (bound("MonthOfYear", month, 12)?, bound("DayOfMonth", day, 31)?);
    calendar::days_of_checked(year, month, day_number).ok_or_else(|| match (month, day) {
        (2, 29) => format!("Invalid date 'February 29' as '{year}' is not a leap year"),
        _ => {
            const MONTHS: [&str; 12] = [
                "JANUARY",
                "FEBRUARY",
                "MARCH",
                "APRIL",
                "MAY",
                "JUNE",
                "JULY",
                "AUGUST",
                "SEPTEMBER",
                "OCTOBER",
                "NOVEMBER",
                "DECEMBER",
            ];
            format!("Invalid date '{} {day}'", MONTHS.get(month as usize - 1).copied().unwrap_or_default())
        }
    })
}

fn int_columns(a: &[ArrayRef]) -> Result<Vec<&arrow::array::Int32Array>, SparkError> {
    a.iter().map(|array| kernel::primitive::<Int32Type>(array)).collect()
}

/// Builds `make_date(year, month, day)`.
pub(super) fn make_date(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let ansi = context.ansi;
    let nullable = if ansi { Nullable::ByArguments } else { Nullable::Always };
    let call = Call::new(name, arguments, context, &vec![Expected::INT; 3], 3)?.nullable(nullable).fallible();
    Ok(call.kernel(DataType::Date32).bound_to(ansi).arrays(&call.arguments, move |a, rows| {
        let parts = int_columns(a)?;
        let value = |row| match day_of(parts[0].value(row), parts[1].value(row), parts[2].value(row)) {
            Ok(days) => Ok(Some(days)),
            Err(message) if ansi => Err(out_of_bounds(&message, true)),
            Err(_) => Ok(None),
        };
        Ok(Arc::new(numbers::<Date32Type>(rows, nulls_of(a), value)?))
    }))
}

/// Why a time cannot be made.
enum Fault {
    Field(String),
    /// Seconds of 60 with a fraction, in µs.
    Fraction(i128),
}

impl Fault {
    fn error(self, ansi_hint: bool) -> SparkError {
        match self {
            Fault::Field(message) => out_of_bounds(&message, ansi_hint),
            Fault::Fraction(us) => SparkError::new(
                ExceptionClass::DateTime,
                "INVALID_FRACTION_OF_SECOND",
                "22023",
                format!(
                    "Valid range for seconds is [0, 60] (inclusive), but the provided value is {}.{:06}. To avoid this \
                     error, use `try_make_timestamp`, which returns NULL on error. If you do not want to use the session \
                     default timestamp version of this function, use `try_make_timestamp_ntz` or `try_make_timestamp_ltz`.",
                    us / 1_000_000,
                    us % 1_000_000
                ),
            )
            .with("secAndMicros", format!("{}.{:06}", us / 1_000_000, us % 1_000_000)),
        }
    }
}

/// µs since midnight; a full 60 seconds are the next minute if `leap` allows them.
fn time_of(hour: i32, minute: i32, second_us: i128, leap: bool) -> Result<i64, Fault> {
    let bound = |field: &str, value: i64, most: i64| match (0..=most).contains(&value) {
        true => Ok(value),
        false => Err(Fault::Field(format!("Invalid value for {field} (valid values 0 - {most}): {value}"))),
    };
    let (hour, minute) = (bound("HourOfDay", hour.into(), 23)?, bound("MinuteOfHour", minute.into(), 59)?);
    let whole = second_us.div_euclid(1_000_000);
    if leap && whole == 60 {
        if second_us % 1_000_000 != 0 {
            return Err(Fault::Fraction(second_us));
        }
    } else {
        bound("SecondOfMinute", i64::try_from(whole).unwrap_or(i64::MAX), 59)?;
    }
    Ok(hour * MICROS_PER_HOUR + minute * MICROS_PER_MINUTE + second_us as i64)
}

fn seconds_expected(precision: u8) -> Expected {
    Expected::Exactly(DataType::Decimal128(precision, 6))
}

/// Builds `make_timestamp`, `make_timestamp_ltz`, `make_timestamp_ntz` and their `try_` twins: `(year, month, day, hour,
/// minute, second[, zone])` or `(date[, time[, zone]])`.
pub(super) fn make_timestamp(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let result = if name.ends_with("_ntz") { types::timestamp_ntz() } else { types::timestamp() };
    let zoned = !name.ends_with("_ntz");
    let allowed: &[usize] = if zoned { &[1, 2, 3, 6, 7] } else { &[1, 2, 6] };
    expect_count(name, arguments, allowed)?;
    let lenient = name.starts_with("try_");
    let fail = context.ansi && !lenient;
    let zone = if zoned { session_zone(context)? } else { Zone::UTC };
    let of_date = arguments.len() < 4;
    let nullable = match (of_date, zoned) {
        (true, true) => Nullable::ByArguments,
        (true, false) => Nullable::Always,
        (false, _) if fail => Nullable::ByArguments,
        (false, _) => Nullable::Always,
    };
    let parameters = if of_date {
        vec![Expected::DATE, expected_time(), Expected::STRING]
    } else {
        let int = Expected::INT;
        vec![int.clone(), int.clone(), int.clone(), int.clone(), int, seconds_expected(16), Expected::STRING]
    };
    let required = if of_date { 2 } else { 6 };
    let midnight = Typed::literal(ScalarValue::Time64Nanosecond(Some(0)));
    let call = Call::new(name, arguments, context, &parameters, required.min(arguments.len()))?
        .default_from(1, &if of_date { vec![midnight] } else { vec![] })
        .nullable(nullable)
        .fallible();
    let kernel = call.kernel(result.clone()).bound_to(zone).bound_to(fail).bound_to(lenient);
    Ok(kernel.arrays(&call.arguments, move |a, rows| {
        let local = local_times(a, of_date)?;
        let ids = a.get(required).map(|array| kernel::string(array)).transpose()?;
        let mut zones = ZoneColumn::default();
        build_timestamps(rows, nulls_of(a), &result, |row| {
            let zone = match ids.map(|ids| zones.get(ids.value(row))) {
                None => zone,
                Some(Ok(zone)) => zone,
                Some(Err(_)) if lenient => return Ok(None),
                // An unknown zone is an error in legacy mode, too.
                Some(Err(error)) => return Err(error),
            };
            match local(row) {
                Ok(us) => Ok(Some(zone.to_utc(us))),
                Err(fault) if fail => Err(fault.error(true)),
                Err(_) => Ok(None),
            }
        })
    }))
}

type LocalTimes<'a> = Box<dyn Fn(usize) -> Result<i64, Fault> + 'a>;

fn local_times(a: &[ArrayRef], of_date: bool) -> Result<LocalTimes<'_>, SparkError> {
    let too_far = || Fault::Field("the timestamp is out of range".to_string());
    if of_date {
        let dates = kernel::primitive::<Date32Type>(&a[0])?;
        let times = kernel::primitive::<Time64NanosecondType>(&a[1])?;
        return Ok(Box::new(move |row| {
            join_days(dates.value(row), times.value(row) / NANOS_PER_MICRO).ok_or_else(too_far)
        }));
    }
    let parts = int_columns(&a[..5])?;
    let seconds = kernel::primitive::<Decimal128Type>(&a[5])?;
    Ok(Box::new(move |row| {
        let part = |i: usize| parts[i].value(row);
        let day = day_of(part(0), part(1), part(2)).map_err(Fault::Field)?;
        let time = time_of(part(3), part(4), seconds.value(row), true)?;
        join_days(day, time).ok_or_else(too_far)
    }))
}

/// Builds `make_time(hour, minute, second)`.
pub(super) fn make_time(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let parameters = [Expected::INT, Expected::INT, seconds_expected(16)];
    Call::new(name, arguments, context, &parameters, 3)?.nullable(Nullable::Always).fallible().with(TIME, |a, rows| {
        let parts = int_columns(&a[..2])?;
        let seconds = kernel::primitive::<Decimal128Type>(&a[2])?;
        let value = |row| {
            let us = time_of(parts[0].value(row), parts[1].value(row), seconds.value(row), false);
            Ok(Some(us.map_err(|fault| fault.error(false))? * NANOS_PER_MICRO))
        };
        Ok(Arc::new(numbers::<Time64NanosecondType>(rows, nulls_of(a), value)?))
    })
}

/// Builds `time_from_seconds` of any number, `time_from_millis`, `time_from_micros` of whole ones.
pub(super) fn time_from(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let seconds = name == "time_from_seconds";
    let parameter = if seconds { Expected::Numeric } else { Expected::Integral };
    let call = Call::new(name, arguments, context, &[parameter], 1)?.nullable(Nullable::Always).fallible();
    let value = call.arguments[0].clone();
    let float = matches!(value.data_type, DataType::Float32 | DataType::Float64);
    let to = match (&value.data_type, seconds) {
        _ if float => DataType::Float64,
        (DataType::Decimal128(..), true) => DataType::Decimal128(20, 6),
        _ => DataType::Int64,
    };
    let value = coerce::cast_to(value, &to, context)?;
    let unit_us = match name {
        "time_from_seconds" => MICROS_PER_SECOND,
        "time_from_millis" => 1000,
        _ => 1,
    };
    Ok(call.kernel(TIME).arrays(&[value], move |a, rows| {
        let us_at: Box<dyn Fn(usize) -> i128> = match a[0].data_type() {
            DataType::Float64 => {
                let values = kernel::primitive::<Float64Type>(&a[0])?;
                Box::new(move |row| (values.value(row) * 1e6) as i128)
            }
            DataType::Decimal128(..) => {
                let values = kernel::primitive::<Decimal128Type>(&a[0])?;
                Box::new(move |row| values.value(row))
            }
            _ => {
                let values = kernel::primitive::<Int64Type>(&a[0])?;
                Box::new(move |row| i128::from(values.value(row)) * i128::from(unit_us))
            }
        };
        let value = |row| match i64::try_from(us_at(row)) {
            Ok(us) if (0..MICROS_PER_DAY).contains(&us) => Ok(Some(us * NANOS_PER_MICRO)),
            _ => Err(out_of_bounds("Invalid TIME value: it must be at least 00:00:00 and less than 24:00:00", false)),
        };
        Ok(Arc::new(numbers::<Time64NanosecondType>(rows, nulls_of(a), value)?))
    }))
}

/// Builds `time_to_seconds` (decimal(14,6)), `time_to_millis`, `time_to_micros`.
pub(super) fn time_to(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let call = Call::new(name, arguments, context, &[expected_time()], 1)?.nullable(Nullable::Always);
    if name == "time_to_seconds" {
        return call.with(DataType::Decimal128(14, 6), |a, _| {
            let times = kernel::primitive::<Time64NanosecondType>(&a[0])?;
            let micros = times.unary::<_, Decimal128Type>(|ns| i128::from(ns / NANOS_PER_MICRO));
            Ok(Arc::new(micros.with_precision_and_scale(14, 6)?))
        });
    }
    let unit_ns = if name == "time_to_millis" { 1_000_000 } else { 1000 };
    Ok(call.kernel(DataType::Int64).arrays(&call.arguments, move |a, _| {
        let times = kernel::primitive::<Time64NanosecondType>(&a[0])?;
        Ok(Arc::new(times.unary::<_, Int64Type>(|ns| ns / unit_ns)))
    }))
}

fn interval_overflow(name: &str) -> SparkError {
    if name == "make_interval" {
        let text = "overflow. If necessary set \"spark.sql.ansi.enabled\" to \"false\" to bypass this error.";
        return SparkError::new(ExceptionClass::Arithmetic, "ARITHMETIC_OVERFLOW", "22003", text);
    }
    SparkError::new(
        ExceptionClass::Arithmetic,
        "INTERVAL_ARITHMETIC_OVERFLOW.WITHOUT_SUGGESTION",
        "22015",
        "Integer overflow while operating with intervals. Try devising appropriate values for the interval parameters.",
    )
}

fn zero_int() -> Typed {
    Typed::literal(ScalarValue::Int32(Some(0)))
}

fn zero_seconds() -> Typed {
    Typed::literal(ScalarValue::Decimal128(Some(0), 18, 6))
}

/// Builds `make_interval`, `try_make_interval`: years, months, weeks, days, hours, minutes, seconds, all optional.
pub(super) fn make_interval(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let mut parameters = vec![Expected::INT; 6];
    parameters.push(seconds_expected(18));
    let mut defaults = vec![zero_int(); 6];
    defaults.push(zero_seconds());
    let fail = context.ansi && name == "make_interval";
    let nullable = if fail { Nullable::ByArguments } else { Nullable::Always };
    let call =
        Call::new(name, arguments, context, &parameters, 0)?.default_from(0, &defaults).nullable(nullable).fallible();
    let kernel = call.kernel(DataType::Interval(IntervalUnit::MonthDayNano)).bound_to(fail);
    Ok(kernel.arrays(&call.arguments, move |a, rows| {
        let parts = int_columns(&a[..6])?;
        let seconds = kernel::primitive::<Decimal128Type>(&a[6])?;
        let value = |row| {
            let part = |i: usize| parts[i].value(row);
            let made = (|| {
                let months = part(0).checked_mul(12)?.checked_add(part(1))?;
                let days = part(2).checked_mul(7)?.checked_add(part(3))?;
                let us = day_time_micros(0, part(4), part(5), seconds.value(row))?;
                Some(IntervalMonthDayNano::new(months, days, us.checked_mul(1000)?))
            })();
            if made.is_none() && fail { Err(interval_overflow("make_interval")) } else { Ok(made) }
        };
        Ok(Arc::new(numbers::<IntervalMonthDayNanoType>(rows, nulls_of(a), value)?))
    }))
}

fn day_time_micros(days: i32, hours: i32, minutes: i32, second_us: i128) -> Option<i64> {
    i64::from(days)
        .checked_mul(MICROS_PER_DAY)?
        .checked_add(i64::from(hours).checked_mul(MICROS_PER_HOUR)?)?
        .checked_add(i64::from(minutes).checked_mul(MICROS_PER_MINUTE)?)?
        .checked_add(i64::try_from(second_us).ok()?)
}

/// Builds `make_dt_interval([days[, hours[, minutes[, seconds]]]])`.
pub(super) fn make_dt_interval(
    name: &str,
    arguments: &[Typed],
    context: &FunctionContext,
) -> Result<Typed, SparkError> {
    let mut parameters = vec![Expected::INT; 3];
    parameters.push(seconds_expected(18));
    let mut defaults = vec![zero_int(); 3];
    defaults.push(zero_seconds());
    let call = Call::new(name, arguments, context, &parameters, 0)?.default_from(0, &defaults).fallible();
    call.with(DataType::Duration(TimeUnit::Microsecond), |a, rows| {
        let parts = int_columns(&a[..3])?;
        let seconds = kernel::primitive::<Decimal128Type>(&a[3])?;
        let value = |row| {
            let part = |i: usize| parts[i].value(row);
            let us = day_time_micros(part(0), part(1), part(2), seconds.value(row));
            us.map(Some).ok_or_else(|| interval_overflow("make_dt_interval"))
        };
        Ok(Arc::new(numbers::<DurationMicrosecondType>(rows, nulls_of(a), value)?))
    })
}

/// Builds `make_ym_interval([years[, months]])`.
pub(super) fn make_ym_interval(
    name: &str,
    arguments: &[Typed],
    context: &FunctionContext,
) -> Result<Typed, SparkError> {
    let call = Call::new(name, arguments, context, &vec![Expected::INT; 2], 0)?
        .default_from(0, &[zero_int(), zero_int()])
        .fallible();
    call.with(DataType::Interval(IntervalUnit::YearMonth), |a, rows| {
        let parts = int_columns(a)?;
        let value = |row| {
            let months = parts[0].value(row).checked_mul(12).and_then(|m| m.checked_add(parts[1].value(row)));
            months.map(Some).ok_or_else(|| interval_overflow("make_ym_interval"))
        };
        Ok(Arc::new(numbers::<IntervalYearMonthType>(rows, nulls_of(a), value)?))
    })
}
