//! Dates, timestamps and times cut to a unit: `trunc`, `date_trunc`, `time_trunc`, `time_diff`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Date32Type, Int64Type, Time64NanosecondType};
use millstream_formats::calendar::{self, Civil};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::zone::Zone;

use super::columns::{TIME, build_timestamps, expected_time, timestamps};
use super::interval::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND};
use super::session_zone;
use crate::bind::{Call, Nullable};
use crate::coerce::Expected;
use crate::kernel;
use crate::rows::{nulls_of, numbers};
use crate::{FunctionContext, Typed, types};

/// A unit of whole days or longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DateUnit {
    Week,
    Month,
    Quarter,
    Year,
}

fn date_unit(name: &str) -> Option<DateUnit> {
    Some(match name {
        "WEEK" => DateUnit::Week,
        "MON" | "MONTH" | "MM" => DateUnit::Month,
        "QUARTER" => DateUnit::Quarter,
        "YEAR" | "YYYY" | "YY" => DateUnit::Year,
        _ => return None,
    })
}

/// The first day of the unit that holds a day.
fn first_day(days: i32, unit: DateUnit) -> i32 {
    let Civil { year, month, .. } = calendar::civil_of_days(days);
    let month = match unit {
        DateUnit::Week => return days.saturating_sub(calendar::weekday(days)),
        DateUnit::Month => month,
        DateUnit::Quarter => (month - 1) / 3 * 3 + 1,
        DateUnit::Year => 1,
    };
    calendar::days_of_civil(year, month, 1).unwrap_or(days)
}

/// Builds `trunc(date, unit)`; null for a unit that is shorter than a week or unknown.
pub(super) fn trunc(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let call = Call::new(name, arguments, context, &[Expected::DATE, Expected::STRING], 2)?.nullable(Nullable::Always);
    call.with(DataType::Date32, |a, rows| {
        let (dates, units) = (kernel::primitive::<Date32Type>(&a[0])?, kernel::string(&a[1])?);
        let mut last: Option<(&str, Option<DateUnit>)> = None;
        let value = |row| {
            let name = units.value(row);
            if last.is_none_or(|(seen, _)| seen != name) {
                last = Some((name, date_unit(&name.to_uppercase())));
            }
            Ok(last.and_then(|(_, unit)| unit).map(|unit| first_day(dates.value(row), unit)))
        };
        Ok(Arc::new(numbers::<Date32Type>(rows, nulls_of(a), value)?))
    })
}

/// A unit a timestamp is cut to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TimeUnit {
    /// Cut the instant; right for units that divide every offset.
    Instant(i64),
    /// Cut the local time.
    Local(i64),
    Date(DateUnit),
}

fn time_unit(name: &str) -> Option<TimeUnit> {
    let name = name.to_uppercase();
    Some(match name.as_str() {
        "MICROSECOND" => TimeUnit::Instant(1),
        "MILLISECOND" => TimeUnit::Instant(1000),
        "SECOND" => TimeUnit::Instant(MICROS_PER_SECOND),
        "MINUTE" => TimeUnit::Local(MICROS_PER_MINUTE),
        "HOUR" => TimeUnit::Local(MICROS_PER_HOUR),
        "DAY" | "DD" => TimeUnit::Local(MICROS_PER_DAY),
        other => TimeUnit::Date(date_unit(other)?),
    })
}

/// Cuts an instant to a unit of its local time.
fn cut(us: i64, unit: TimeUnit, zone: &Zone) -> i64 {
    match unit {
        TimeUnit::Instant(unit) => us - us.rem_euclid(unit),
        TimeUnit::Local(MICROS_PER_DAY) => {
            let local = zone.to_local(us);
            zone.to_utc(local - local.rem_euclid(MICROS_PER_DAY))
        }
        // Within an hour that occurs twice the result stays in the same one of the two.
        TimeUnit::Local(unit) => us - zone.to_local(us).rem_euclid(unit),
        TimeUnit::Date(unit) => {
            let day = zone.to_local(us).div_euclid(MICROS_PER_DAY) as i32;
            zone.to_utc(i64::from(first_day(day, unit)) * MICROS_PER_DAY)
        }
    }
}

/// Builds `date_trunc(unit, time)`, a `timestamp` also for a `timestamp_ntz`; null for an unknown unit.
pub(super) fn date_trunc(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let call =
        Call::new(name, arguments, context, &[Expected::STRING, Expected::timestamp()], 2)?.nullable(Nullable::Always);
    let zone = session_zone(context)?;
    Ok(call.kernel(types::timestamp()).bound_to(zone).arrays(&call.arguments, move |a, rows| {
        let (units, times) = (kernel::string(&a[0])?, timestamps(&a[1])?);
        let mut last: Option<(&str, Option<TimeUnit>)> = None;
        build_timestamps(rows, nulls_of(a), &types::timestamp(), |row| {
            let name = units.value(row);
            if last.is_none_or(|(seen, _)| seen != name) {
                last = Some((name, time_unit(name)));
            }
            Ok(last.and_then(|(_, unit)| unit).map(|unit| cut(times.value(row), unit, &zone)))
        })
    }))
}

/// Nanoseconds of a unit of the day.
fn nanos_of_unit(function: &str, unit: &str) -> Result<i64, SparkError> {
    Ok(match unit.to_uppercase().as_str() {
        "MICROSECOND" => 1000,
        "MILLISECOND" => 1_000_000,
        "SECOND" => MICROS_PER_SECOND * 1000,
        "MINUTE" => MICROS_PER_MINUTE * 1000,
        "HOUR" => MICROS_PER_HOUR * 1000,
        _ => {
            return Err(SparkError::new(
                ExceptionClass::IllegalArgument,
                "INVALID_PARAMETER_VALUE.TIME_UNIT",
                "22023",
                format!(
                    "The value of parameter(s) `unit` in `{function}` is invalid: expects one of the units 'HOUR', 'MINUTE', \
                     'SECOND', 'MILLISECOND', 'MICROSECOND', but got '{unit}'."
                ),
            )
            .with("functionName", format!("`{function}`"))
            .with("parameter", "`unit`")
            .with("invalidValue", format!("'{unit}'")));
        }
    })
}

/// Builds `time_trunc(unit, time)`.
pub(super) fn time_trunc(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let call = Call::new(name, arguments, context, &[Expected::STRING, expected_time()], 2)?
        .nullable(Nullable::Always)
        .fallible();
    call.with(TIME, |a, rows| {
        let (units, times) = (kernel::string(&a[0])?, kernel::primitive::<Time64NanosecondType>(&a[1])?);
        let value = |row| {
            let unit = nanos_of_unit("time_trunc", units.value(row))?;
            Ok(Some(times.value(row) - times.value(row) % unit))
        };
        Ok(Arc::new(numbers::<Time64NanosecondType>(rows, nulls_of(a), value)?))
    })
}

/// Builds `time_diff(unit, start, end)`: whole units, cut toward zero.
pub(super) fn time_diff(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let parameters = [Expected::STRING, expected_time(), expected_time()];
    Call::new(name, arguments, context, &parameters, 3)?.nullable(Nullable::Always).fallible().with(
        DataType::Int64,
        |a, rows| {
            let units = kernel::string(&a[0])?;
            let times = [&a[1], &a[2]].map(|array| kernel::primitive::<Time64NanosecondType>(array));
            let [Ok(starts), Ok(ends)] = times else { return Err(SparkError::internal("time_diff wants times")) };
            let value =
                |row| Ok(Some((ends.value(row) - starts.value(row)) / nanos_of_unit("time_diff", units.value(row))?));
            Ok(Arc::new(numbers::<Int64Type>(rows, nulls_of(a), value)?))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_cut_in_local_time() {
        let zone: Zone = "America/New_York".parse().unwrap_or(Zone::UTC);
        // 2024-03-10 07:30 UTC is 03:30 EDT; the day began at 05:00 UTC, in EST.
        let us = 1_710_055_800_000_000;
        assert_eq!(cut(us, TimeUnit::Local(MICROS_PER_DAY), &zone), us - 2 * MICROS_PER_HOUR - 30 * MICROS_PER_MINUTE);
        assert_eq!(cut(us, TimeUnit::Local(MICROS_PER_HOUR), &zone), us - 30 * MICROS_PER_MINUTE);
        assert_eq!(cut(-1, TimeUnit::Instant(1000), &zone), -1000);
    }

    #[test]
    fn units_begin_on_monday_and_on_the_first() {
        let days = |y, m, d| calendar::days_of_civil(y, m, d).unwrap_or_default();
        let leap_day = days(2024, 2, 29);
        assert_eq!(first_day(leap_day, DateUnit::Week), days(2024, 2, 26));
        assert_eq!(first_day(leap_day, DateUnit::Quarter), days(2024, 1, 1));
        assert_eq!(first_day(days(2024, 12, 31), DateUnit::Quarter), days(2024, 10, 1));
    }
}
