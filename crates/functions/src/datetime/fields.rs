//! Fields of dates, timestamps, times and intervals: `year`, `hour`, `extract`, `date_part`, `dayname` and so on.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Int8Type, Int32Type, IntervalMonthDayNanoType,
    IntervalUnit, IntervalYearMonthType, Time64NanosecondType,
};
use datafusion::scalar::ScalarValue;
use millstream_formats::calendar;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::pattern;
use millstream_formats::zone::Zone;

use super::columns::{LocalClock, TIME, timestamps, zone_for};
use super::interval::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE};
use crate::bind::{Call, Nullable};
use crate::coerce::{self, Expected};
use crate::kernel::{self, Kernel};
use crate::rows::{nulls_of, numbers, strings};
use crate::{FunctionContext, Typed};

/// A number read off a day.
type OfDay = fn(i32) -> i32;

fn of_day(name: &str) -> Option<OfDay> {
    Some(match name {
        "year" => |days| calendar::civil_of_days(days).year,
        "quarter" => |days| ((calendar::civil_of_days(days).month - 1) / 3 + 1) as i32,
        "month" => |days| calendar::civil_of_days(days).month as i32,
        "day" | "dayofmonth" => |days| calendar::civil_of_days(days).day as i32,
        "dayofyear" => calendar::day_of_year,
        "dayofweek" => |days| (calendar::weekday(days) + 1) % 7 + 1,
        "weekday" => calendar::weekday,
        "dayofweek_iso" => |days| calendar::weekday(days) + 1,
        "weekofyear" => |days| calendar::iso_week(days).1,
        "yearofweek" => |days| calendar::iso_week(days).0,
        _ => return None,
    })
}

/// Builds the functions that read a number off a date: `year`, `month`, `dayofweek`, …
pub(super) fn date_field(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let call = Call::new(name, arguments, context, &[Expected::DATE], 1)?;
    let field = of_day(name).ok_or_else(|| SparkError::internal(format!("{name} is no field of a date")))?;
    Ok(call.kernel(DataType::Int32).arrays(&call.arguments, move |a, _| {
        Ok(Arc::new(kernel::primitive::<Date32Type>(&a[0])?.unary::<_, Int32Type>(field)))
    }))
}

fn time_unit(name: &str) -> (i64, i64) {
    match name {
        "hour" => (MICROS_PER_HOUR, 24),
        "minute" => (MICROS_PER_MINUTE, 60),
        _ => (1_000_000, 60),
    }
}

/// Builds `hour`, `minute`, `second` of a timestamp in the session time zone, or of a time.
pub(super) fn time_field(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let (unit_us, modulus) = time_unit(name);
    if matches!(arguments, [a] if a.data_type == TIME) {
        let call = Call::new(name, arguments, context, &[Expected::Exactly(TIME)], 1)?.nullable(Nullable::Always);
        return Ok(call.kernel(DataType::Int32).arrays(&call.arguments, move |a, _| {
            let times = kernel::primitive::<Time64NanosecondType>(&a[0])?;
            Ok(Arc::new(times.unary::<_, Int32Type>(|ns| (ns / 1000 / unit_us % modulus) as i32)))
        }));
    }
    let call = Call::new(name, arguments, context, &[Expected::AnyTimestamp], 1)?;
    let zone = zone_for(&call.arguments[0].data_type, context)?;
    Ok(call.kernel(DataType::Int32).bound_to(zone).arrays(&call.arguments, move |a, _| {
        let clock = LocalClock::new(zone);
        let field = |us| (clock.local(us).rem_euclid(MICROS_PER_DAY) / unit_us % modulus) as i32;
        Ok(Arc::new(timestamps(&a[0])?.unary::<_, Int32Type>(field)))
    }))
}

/// Seconds with their fraction, decimal(8,6), as `extract(SECOND FROM …)` gives them.
fn seconds_with_fraction(source: &Typed, context: &FunctionContext) -> Result<Typed, SparkError> {
    let result = DataType::Decimal128(8, 6);
    if source.data_type == TIME {
        let kernel = Kernel::new("extract_second", result, true);
        return Ok(kernel.arrays(std::slice::from_ref(source), |a, _| {
            let times = kernel::primitive::<Time64NanosecondType>(&a[0])?;
            decimal(times.unary::<_, Decimal128Type>(|ns| i128::from(ns / 1000 % MICROS_PER_MINUTE)), 8, 6)
        }));
    }
    let call = Call::new("extract", std::slice::from_ref(source), context, &[Expected::AnyTimestamp], 1)?;
    let zone = zone_for(&call.arguments[0].data_type, context)?;
    Ok(call.kernel(result).bound_to("second").bound_to(zone).arrays(&call.arguments, move |a, _| {
        let clock = LocalClock::new(zone);
        let seconds = |us| i128::from(clock.local(us).rem_euclid(MICROS_PER_MINUTE));
        decimal(timestamps(&a[0])?.unary::<_, Decimal128Type>(seconds), 8, 6)
    }))
}

fn decimal(values: Decimal128Array, precision: u8, scale: i8) -> Result<ArrayRef, SparkError> {
    Ok(Arc::new(values.with_precision_and_scale(precision, scale)?))
}

/// The name under which a field of `extract` is known here.
fn canonical(field: &str) -> Option<&'static str> {
    Some(match field.to_uppercase().as_str() {
        "YEAR" | "Y" | "YEARS" | "YR" | "YRS" => "year",
        "YEAROFWEEK" => "yearofweek",
        "QUARTER" | "QTR" => "quarter",
        "MONTH" | "MON" | "MONS" | "MONTHS" => "month",
        "WEEK" | "W" | "WEEKS" => "weekofyear",
        "DAY" | "D" | "DAYS" => "day",
        "DAYOFWEEK" | "DOW" => "dayofweek",
        "DAYOFWEEK_ISO" | "DOW_ISO" => "dayofweek_iso",
        "DOY" => "dayofyear",
        "HOUR" | "H" | "HOURS" | "HR" | "HRS" => "hour",
        "MINUTE" | "M" | "MIN" | "MINS" | "MINUTES" => "minute",
        "SECOND" | "S" | "SEC" | "SECONDS" | "SECS" => "second",
        _ => return None,
    })
}

/// Builds `extract(field FROM source)`, `date_part`, `datepart`: `(field, source)`, the field a constant.
pub(super) fn extract(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let [field, source] = crate::arguments::exactly::<2>(name, arguments)?;
    let field_name = match field.as_literal() {
        Some(ScalarValue::Utf8(Some(text))) => text.clone(),
        Some(value) if value.is_null() => {
            return coerce::cast_to(Typed::literal(ScalarValue::Null), &DataType::Float64, context);
        }
        _ => return Err(crate::arguments::not_constant(name, arguments, 0, "field", "STRING")),
    };
    let unknown = || invalid_field(&field_name, source);
    let field = canonical(&field_name).ok_or_else(unknown)?;
    let source = std::slice::from_ref(source);
    match (&source[0].data_type, field) {
        (DataType::Interval(_) | DataType::Duration(_), _) => interval_field(field, &source[0]).ok_or_else(unknown)?,
        (_, "second") => seconds_with_fraction(&source[0], context),
        (_, "hour" | "minute") => time_field(field, source, context),
        (data_type, _) if *data_type == TIME => Err(unknown()),
        _ => date_field(field, source, context),
    }
}

fn invalid_field(field: &str, source: &Typed) -> SparkError {
    let source = crate::sql_text(&source.expr);
    SparkError::new(
        ExceptionClass::Analysis,
        "INVALID_EXTRACT_FIELD",
        "42601",
        format!("Cannot extract `{field}` from \"{source}\"."),
    )
    .with("field", format!("`{field}`"))
    .with("expr", format!("\"{source}\""))
}

/// A field of an interval, if its type has it.
fn interval_field(field: &str, source: &Typed) -> Option<Result<Typed, SparkError>> {
    let kernel = |result: DataType| Kernel::new("extract_interval", result, source.nullable).bound_to(field);
    let source = std::slice::from_ref(source);
    let in_months = |field: &str| -> Option<fn(i32) -> i32> {
        match field {
            "year" => Some(|months| months / 12),
            "month" => Some(|months| months % 12),
            _ => None,
        }
    };
    Some(Ok(match &source[0].data_type {
        DataType::Interval(IntervalUnit::YearMonth) => {
            let part = in_months(field)?;
            if field == "month" {
                kernel(DataType::Int8).arrays(source, move |a, _| {
                    let months = kernel::primitive::<IntervalYearMonthType>(&a[0])?;
                    Ok(Arc::new(months.unary::<_, Int8Type>(|m| part(m) as i8)))
                })
            } else {
                kernel(DataType::Int32).arrays(source, move |a, _| {
                    let months = kernel::primitive::<IntervalYearMonthType>(&a[0])?;
                    Ok(Arc::new(months.unary::<_, Int32Type>(part)))
                })
            }
        }
        DataType::Duration(_) => return day_time_field(field, source, &kernel).map(Ok),
        _ => return calendar_field(field, source, &kernel, in_months(field)).map(Ok),
    }))
}

fn day_time_field(field: &str, source: &[Typed], kernel: &dyn Fn(DataType) -> Kernel) -> Option<Typed> {
    let (unit_us, modulus) = match field {
        "day" => {
            return Some(kernel(DataType::Int32).arrays(source, |a, _| {
                let values = kernel::primitive::<DurationMicrosecondType>(&a[0])?;
                Ok(Arc::new(values.unary::<_, Int32Type>(|us| (us / MICROS_PER_DAY) as i32)))
            }));
        }
        "second" => {
            return Some(kernel(DataType::Decimal128(8, 6)).arrays(source, |a, _| {
                let values = kernel::primitive::<DurationMicrosecondType>(&a[0])?;
                decimal(values.unary::<_, Decimal128Type>(|us| i128::from(us % MICROS_PER_MINUTE)), 8, 6)
            }));
        }
        "hour" | "minute" => time_unit(field),
        _ => return None,
    };
    Some(kernel(DataType::Int8).arrays(source, move |a, _| {
        let values = kernel::primitive::<DurationMicrosecondType>(&a[0])?;
        Ok(Arc::new(values.unary::<_, Int8Type>(|us| (us / unit_us % modulus) as i8)))
    }))
}

fn calendar_field(
    field: &str,
    source: &[Typed],
    kernel: &dyn Fn(DataType) -> Kernel,
    in_months: Option<fn(i32) -> i32>,
) -> Option<Typed> {
    if let Some(part) = in_months {
        let result = if field == "month" { DataType::Int8 } else { DataType::Int32 };
        return Some(kernel(result.clone()).arrays(source, move |a, _| {
            let values = kernel::primitive::<IntervalMonthDayNanoType>(&a[0])?;
            Ok(match result {
                DataType::Int8 => Arc::new(values.unary::<_, Int8Type>(|v| part(v.months) as i8)) as ArrayRef,
                _ => Arc::new(values.unary::<_, Int32Type>(|v| part(v.months))),
            })
        }));
    }
    let (unit_us, modulus) = match field {
        "day" => {
            return Some(kernel(DataType::Int32).arrays(source, |a, _| {
                let values = kernel::primitive::<IntervalMonthDayNanoType>(&a[0])?;
                Ok(Arc::new(values.unary::<_, Int32Type>(|v| v.days)))
            }));
        }
        "second" => {
            return Some(kernel(DataType::Decimal128(8, 6)).arrays(source, |a, _| {
                let values = kernel::primitive::<IntervalMonthDayNanoType>(&a[0])?;
                decimal(
                    values.unary::<_, Decimal128Type>(|v| i128::from(v.nanoseconds / 1000 % MICROS_PER_MINUTE)),
                    8,
                    6,
                )
            }));
        }
        "hour" | "minute" => time_unit(field),
        _ => return None,
    };
    Some(kernel(DataType::Int8).arrays(source, move |a, _| {
        let values = kernel::primitive::<IntervalMonthDayNanoType>(&a[0])?;
        Ok(Arc::new(values.unary::<_, Int8Type>(|v| (v.nanoseconds / 1000 / unit_us % modulus) as i8)))
    }))
}

/// Builds `dayname`, `monthname`: three letters, English.
pub(super) fn short_name(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let call = Call::new(name, arguments, context, &[Expected::DATE], 1)?;
    let day = name == "dayname";
    Ok(call.kernel(DataType::Utf8).arrays(&call.arguments, move |a, rows| {
        let dates = kernel::primitive::<Date32Type>(&a[0])?;
        strings(rows, nulls_of(a), |row, out| {
            let days = dates.value(row);
            let name = if day { pattern::day_name(days) } else { pattern::month_name(days) };
            out.push_str(name.get(..3).unwrap_or(name));
            Ok(true)
        })
    }))
}

/// Builds `last_day(date)`.
pub(super) fn last_day(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    Call::new(name, arguments, context, &[Expected::DATE], 1)?.with(DataType::Date32, |a, _| {
        let last = |days| {
            let civil = calendar::civil_of_days(days);
            days.wrapping_add((calendar::days_in_month(civil.year, civil.month) - civil.day) as i32)
        };
        Ok(Arc::new(kernel::primitive::<Date32Type>(&a[0])?.unary::<_, Date32Type>(last)))
    })
}

/// Builds `next_day(date, weekday)`: the first such day after the date.
pub(super) fn next_day(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let call = Call::new(name, arguments, context, &[Expected::DATE, Expected::STRING], 2)?
        .nullable(Nullable::Always)
        .fallible();
    let ansi = context.ansi;
    Ok(call.kernel(DataType::Date32).bound_to(ansi).arrays(&call.arguments, move |a, rows| {
        let (dates, names) = (kernel::primitive::<Date32Type>(&a[0])?, kernel::string(&a[1])?);
        let value = |row| match weekday_named(names.value(row)) {
            Some(weekday) => {
                let days: i32 = dates.value(row);
                Ok(Some(days.wrapping_add((weekday - calendar::weekday(days) + 6).rem_euclid(7) + 1)))
            }
            None if ansi => Err(SparkError::new(
                ExceptionClass::IllegalArgument,
                "ILLEGAL_DAY_OF_WEEK",
                "22009",
                format!("Illegal input for day of week: {}.", names.value(row)),
            )
            .with("string", names.value(row))),
            None => Ok(None),
        };
        Ok(Arc::new(numbers::<Date32Type>(rows, nulls_of(a), value)?))
    }))
}

/// A day by its name or the first two or three letters of it; Monday is 0.
fn weekday_named(name: &str) -> Option<i32> {
    let name = name.to_uppercase();
    let is = |day: &str, length| day.get(..length).is_some_and(|day| day.eq_ignore_ascii_case(&name));
    (0..).zip(pattern::DAYS).find_map(|(number, day)| [2, 3, day.len()].iter().any(|l| is(day, *l)).then_some(number))
}

/// The local day of an instant.
pub(super) fn local_day(us: i64, zone: &Zone) -> i32 {
    zone.to_local(us).div_euclid(MICROS_PER_DAY) as i32
}
