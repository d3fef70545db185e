//! Dates and timestamps moved and compared: `date_add`, `add_months`, `datediff`, `months_between`, `timestampadd`,
//! `timestampdiff`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{
    DataType, Date32Type, DurationMicrosecondType, Float64Type, Int32Type, Int64Type, IntervalUnit,
    IntervalYearMonthType, TimeUnit,
};
use datafusion::scalar::ScalarValue;
use millstream_formats::calendar;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::zone::Zone;

use super::arithmetic::{self, add_interval};
use super::columns::{LocalClock, build_timestamps, timestamps, zone_for};
use super::interval::{CalendarInterval, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE};
use super::session_zone;
use crate::arguments::{type_mismatch, unexpected_input};
use crate::bind::Call;
use crate::coerce::{self, Expected};
use crate::kernel;
use crate::rows::{nulls_of, numbers};
use crate::{FunctionContext, Typed};

fn small_integer() -> Expected {
    Expected::OneOf(vec![Expected::INT, Expected::Exactly(DataType::Int16), Expected::Exactly(DataType::Int8)])
}

/// Builds `date_add`, `dateadd`, `date_sub`: `(date, days)`. `dateadd(unit, quantity, time)` is `timestampadd`.
pub(super) fn date_add(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    if arguments.len() == 3 {
        return timestamp_add(name, arguments, context);
    }
    if arguments.get(1).is_some_and(|days| coerce::is_fractional(&days.data_type)) {
        return Err(unexpected_input(name, arguments, 1, &small_integer().describe()));
    }
    let mut call = Call::new(name, arguments, context, &[Expected::DATE, small_integer()], 2)?;
    let days = coerce::cast_to(call.arguments[1].clone(), &DataType::Int32, context)?;
    call.arguments[1] = days;
    let backwards = name == "date_sub";
    Ok(call.kernel(DataType::Date32).bound_to(backwards).arrays(&call.arguments, move |a, rows| {
        let (dates, days) = (kernel::primitive::<Date32Type>(&a[0])?, kernel::primitive::<Int32Type>(&a[1])?);
        let value = |row| {
            let (date, days): (i32, i32) = (dates.value(row), days.value(row));
            Ok(Some(if backwards { date.wrapping_sub(days) } else { date.wrapping_add(days) }))
        };
        Ok(Arc::new(numbers::<Date32Type>(rows, nulls_of(a), value)?))
    }))
}

/// Builds `datediff`, `date_diff`: `(end, start)`. `datediff(unit, start, end)` is `timestampdiff`.
pub(super) fn date_diff(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    if arguments.len() == 3 {
        return timestamp_diff(name, arguments, context);
    }
    Call::new(name, arguments, context, &[Expected::DATE, Expected::DATE], 2)?.with(DataType::Int32, |a, rows| {
        let (ends, starts) = (kernel::primitive::<Date32Type>(&a[0])?, kernel::primitive::<Date32Type>(&a[1])?);
        let value = |row| Ok(Some(ends.value(row).wrapping_sub(starts.value(row))));
        Ok(Arc::new(numbers::<Int32Type>(rows, nulls_of(a), value)?))
    })
}

/// Builds `add_months(date, months)`.
pub(super) fn add_months(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let call = Call::new(name, arguments, context, &[Expected::DATE, Expected::INT], 2)?.fallible();
    call.with(DataType::Date32, |a, rows| {
        let (dates, months) = (kernel::primitive::<Date32Type>(&a[0])?, kernel::primitive::<Int32Type>(&a[1])?);
        let value = |row| {
            let moved = calendar::add_months(dates.value(row), months.value(row));
            moved.map(Some).ok_or_else(date_overflow)
        };
        Ok(Arc::new(numbers::<Date32Type>(rows, nulls_of(a), value)?))
    })
}

fn date_overflow() -> SparkError {
    let text = "overflow. If necessary set \"spark.sql.ansi.enabled\" to \"false\" to bypass this error.";
    SparkError::new(ExceptionClass::Arithmetic, "ARITHMETIC_OVERFLOW", "22003", text)
}

/// Builds `months_between(later, earlier[, round])`.
pub(super) fn months_between(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let parameters = [Expected::timestamp(), Expected::timestamp(), Expected::BOOLEAN];
    let call = Call::new(name, arguments, context, &parameters, 2)?
        .default_from(2, &[Typed::literal(ScalarValue::Boolean(Some(true)))]);
    let zone = session_zone(context)?;
    Ok(call.kernel(DataType::Float64).bound_to(zone).arrays(&call.arguments, move |a, rows| {
        let (later, earlier) = (timestamps(&a[0])?, timestamps(&a[1])?);
        let round = kernel::boolean(&a[2])?;
        let clock = LocalClock::new(zone);
        let value = |row| {
            let months = months_apart(clock.local(later.value(row)), clock.local(earlier.value(row)));
            Ok(Some(if round.value(row) { (months * 1e8).round() / 1e8 } else { months }))
        };
        Ok(Arc::new(numbers::<Float64Type>(rows, nulls_of(a), value)?))
    }))
}

/// Months between two local times: whole if the days of the month agree or both are the last, else with 31sts.
fn months_apart(later: i64, earlier: i64) -> f64 {
    let day = |us: i64| us.div_euclid(MICROS_PER_DAY) as i32;
    let (a, b) = (calendar::civil_of_days(day(later)), calendar::civil_of_days(day(earlier)));
    let months = f64::from((a.year - b.year) * 12 + a.month as i32 - b.month as i32);
    let is_last = |c: calendar::Civil| c.day == calendar::days_in_month(c.year, c.month);
    if a.day == b.day || (is_last(a) && is_last(b)) {
        return months;
    }
    let seconds = |us: i64| us.rem_euclid(MICROS_PER_DAY) / 1_000_000;
    let apart = i64::from(a.day as i32 - b.day as i32) * 86_400 + seconds(later) - seconds(earlier);
    months + apart as f64 / (31 * 86_400) as f64
}

/// A unit of `timestampadd` and `timestampdiff`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Micros(i64),
    Days(i64),
    Months(i64),
}

fn unit_named(function: &str, unit: &str) -> Result<Unit, SparkError> {
    Ok(match unit.to_uppercase().as_str() {
        "MICROSECOND" => Unit::Micros(1),
        "MILLISECOND" => Unit::Micros(1000),
        "SECOND" => Unit::Micros(1_000_000),
        "MINUTE" => Unit::Micros(MICROS_PER_MINUTE),
        "HOUR" => Unit::Micros(MICROS_PER_HOUR),
        "DAY" | "DAYOFYEAR" => Unit::Days(1),
        "WEEK" => Unit::Days(7),
        "MONTH" => Unit::Months(1),
        "QUARTER" => Unit::Months(3),
        "YEAR" => Unit::Months(12),
        _ => return Err(invalid_unit(function, unit)),
    })
}

fn invalid_unit(function: &str, unit: &str) -> SparkError {
    SparkError::new(
        ExceptionClass::Analysis,
        "INVALID_PARAMETER_VALUE.DATETIME_UNIT",
        "22023",
        format!(
            "The value of parameter(s) `unit` in `{function}` is invalid: expects one of the units without quotes YEAR, \
             QUARTER, MONTH, WEEK, DAY, DAYOFYEAR, HOUR, MINUTE, SECOND, MILLISECOND, MICROSECOND, but got the string \
             literal '{unit}'."
        ),
    )
    .with("functionName", format!("`{function}`"))
    .with("parameter", "`unit`")
    .with("invalidValue", format!("'{unit}'"))
}

fn unit_argument(name: &str, arguments: &[Typed]) -> Result<Unit, SparkError> {
    match arguments.first().map(Typed::as_literal) {
        Some(Some(ScalarValue::Utf8(Some(unit)))) => unit_named(name, unit),
        _ => Err(crate::arguments::not_constant(name, arguments, 0, "unit", "STRING")),
    }
}

/// Builds `timestampadd(unit, quantity, time)`.
pub(super) fn timestamp_add(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let call =
        Call::new(name, arguments, context, &[Expected::STRING, Expected::LONG, Expected::AnyTimestamp], 3)?.fallible();
    let unit = unit_argument(name, arguments)?;
    let result = call.arguments[2].data_type.clone();
    let zone = zone_for(&result, context)?;
    let kernel = call.kernel(result.clone()).bound_to(format!("{unit:?}")).bound_to(zone);
    Ok(kernel.arrays(&call.arguments[1..], move |a, rows| {
        let (quantities, times) = (kernel::primitive::<Int64Type>(&a[0])?, timestamps(&a[1])?);
        build_timestamps(rows, nulls_of(a), &result, |row| {
            let quantity = quantities.value(row);
            let moved = move_by(times.value(row), quantity, unit, &zone);
            moved.map(Some).ok_or_else(|| arithmetic::overflow(format!("add {quantity} {unit:?} to a timestamp")))
        })
    }))
}

fn move_by(us: i64, quantity: i64, unit: Unit, zone: &Zone) -> Option<i64> {
    let interval = match unit {
        Unit::Micros(unit) => CalendarInterval { micros: quantity.checked_mul(unit)?, ..Default::default() },
        Unit::Days(unit) => {
            CalendarInterval { days: quantity.checked_mul(unit)?.try_into().ok()?, ..Default::default() }
        }
        Unit::Months(unit) => {
            CalendarInterval { months: quantity.checked_mul(unit)?.try_into().ok()?, ..Default::default() }
        }
    };
    add_interval(us, &interval, zone)
}

/// Builds `timestampdiff(unit, start, end)`: whole units, cut toward zero.
pub(super) fn timestamp_diff(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let parameters = [Expected::STRING, Expected::timestamp(), Expected::timestamp()];
    let call = Call::new(name, arguments, context, &parameters, 3)?;
    let unit = unit_argument(name, arguments)?;
    let zone = session_zone(context)?;
    let kernel = call.kernel(DataType::Int64).bound_to(format!("{unit:?}")).bound_to(zone);
    Ok(kernel.arrays(&call.arguments[1..], move |a, rows| {
        let (starts, ends) = (timestamps(&a[0])?, timestamps(&a[1])?);
        let value = |row| Ok(Some(units_apart(starts.value(row), ends.value(row), unit, &zone)));
        Ok(Arc::new(numbers::<Int64Type>(rows, nulls_of(a), value)?))
    }))
}

fn units_apart(start: i64, end: i64, unit: Unit, zone: &Zone) -> i64 {
    let (local_start, local_end) = (zone.to_local(start), zone.to_local(end));
    match unit {
        Unit::Micros(unit) => local_end.wrapping_sub(local_start) / unit,
        Unit::Days(unit) => local_end.wrapping_sub(local_start) / MICROS_PER_DAY / unit,
        Unit::Months(unit) => whole_months(local_start, local_end) / unit,
    }
}

fn whole_months(start: i64, end: i64) -> i64 {
    let parts = |us: i64| {
        let civil = calendar::civil_of_days(us.div_euclid(MICROS_PER_DAY) as i32);
        let month = i64::from(civil.year) * 12 + i64::from(civil.month);
        (month, i64::from(civil.day) * MICROS_PER_DAY + us.rem_euclid(MICROS_PER_DAY))
    };
    let ((start_month, start_rest), (end_month, end_rest)) = (parts(start), parts(end));
    let months = end_month - start_month;
    match months {
        1.. if end_rest < start_rest => months - 1,
        ..=-1 if end_rest > start_rest => months + 1,
        _ => months,
    }
}

/// Builds `time_bucket(width, time[, origin])`: the start of the bucket of that width that a time falls into. Buckets are
/// counted from the origin, by default 1970-01-01 in the session time zone.
pub(super) fn time_bucket(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let width = Expected::OneOf(vec![
        Expected::Exactly(DataType::Duration(TimeUnit::Microsecond)),
        Expected::Exactly(DataType::Interval(IntervalUnit::YearMonth)),
    ]);
    let call =
        Call::new(name, arguments, context, &[width, Expected::AnyTimestamp, Expected::AnyTimestamp], 2)?.fallible();
    let result = call.arguments[1].data_type.clone();
    let zone = zone_for(&result, context)?;
    let months = matches!(call.arguments[0].data_type, DataType::Interval(_));
    check_width(name, &call.arguments)?;
    Ok(call.kernel(result.clone()).bound_to(zone).arrays(&call.arguments, move |a, rows| {
        let times = timestamps(&a[1])?;
        let origins = a.get(2).map(timestamps).transpose()?;
        let widths = bucket_widths(&a[0], months)?;
        build_timestamps(rows, nulls_of(a), &result, |row| {
            let (width, time) = (widths.value(row), times.value(row));
            let origin = origins.map_or_else(|| zone.to_utc(0), |o| o.value(row));
            if width <= 0 {
                return Err(SparkError::unsupported(
                    "time_bucket with a width that is neither positive nor a constant",
                ));
            }
            let bucket = if months { month_bucket } else { day_time_bucket };
            let start = bucket(time, width, origin, &zone);
            start.map(Some).ok_or_else(|| arithmetic::overflow("find the bucket of a timestamp"))
        })
    }))
}

/// Widths in months, or in µs.
fn bucket_widths(array: &ArrayRef, months: bool) -> Result<Int64Array, SparkError> {
    if months {
        let months = kernel::primitive::<IntervalYearMonthType>(array)?;
        return Ok(months.unary::<_, Int64Type>(i64::from));
    }
    Ok(kernel::primitive::<DurationMicrosecondType>(array)?.reinterpret_cast::<Int64Type>())
}

fn check_width(name: &str, arguments: &[Typed]) -> Result<(), SparkError> {
    let (width, most) = match arguments.first().and_then(Typed::as_literal) {
        Some(ScalarValue::DurationMicrosecond(Some(us))) => (*us, i64::MAX),
        Some(ScalarValue::IntervalYearMonth(Some(months))) => (i64::from(*months), i64::from(i32::MAX)),
        _ => return Ok(()),
    };
    if width > 0 {
        return Ok(());
    }
    let text = format!("The `bucketSize` must be between (0, {most}] (current value = {width}).");
    Err(type_mismatch("VALUE_OUT_OF_RANGE", name, arguments, text)
        .with("exprName", "`bucketSize`")
        .with("valueRange", format!("(0, {most}]"))
        .with("currentValue", width.to_string()))
}

/// Buckets of a day and more follow the local time, shorter ones the instants.
fn day_time_bucket(time: i64, width: i64, origin: i64, zone: &Zone) -> Option<i64> {
    if width < MICROS_PER_DAY {
        return Some(time - time.checked_sub(origin)?.rem_euclid(width));
    }
    let (local, origin) = (zone.to_local(time), zone.to_local(origin));
    Some(zone.to_utc(local - local.checked_sub(origin)?.rem_euclid(width)))
}

fn month_bucket(time: i64, width: i64, origin: i64, zone: &Zone) -> Option<i64> {
    let (local, local_origin) = (zone.to_local(time), zone.to_local(origin));
    let mut count = whole_months(local_origin, local).div_euclid(width);
    let start = |count: i64| arithmetic::add_year_month(local_origin, i32::try_from(count * width).ok()?, &Zone::UTC);
    // Months are cut toward zero, so a time before the origin may lie in the bucket before.
    if start(count)? > local {
        count -= 1;
    }
    Some(zone.to_utc(start(count)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_between_counts_thirty_one_days_a_month() {
        // 1997-02-28 10:30:00 and 1996-10-30.
        let (later, earlier) = (857_125_800_000_000, 846_633_600_000_000);
        assert!((months_apart(later, earlier) - 3.949_596_774_193_548).abs() < 1e-12);
    }

    #[test]
    fn differences_are_cut_toward_zero() {
        // 2016-03-11 09:00:07 and 2024-04-02 09:00:07.
        let (start, end) = (1_457_686_807_000_000, 1_712_048_407_000_000);
        assert_eq!(units_apart(start, end, Unit::Months(12), &Zone::UTC), 8);
        assert_eq!(units_apart(start, end, Unit::Days(7), &Zone::UTC), 420);
        assert_eq!(units_apart(end, start, Unit::Days(1), &Zone::UTC), -2944);
        assert_eq!(units_apart(end, start, Unit::Months(1), &Zone::UTC), -96);
    }
}
