//! The current date and time: one value for a batch, read from the context when the batch runs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::datatypes::DataType;
use datafusion::logical_expr::ColumnarValue;
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;

use super::columns::{NANOS_PER_MICRO, TIME, text};
use super::interval::MICROS_PER_DAY;
use super::{fields, session_zone};
use crate::arguments::expect_count;
use crate::kernel::Kernel;
use crate::{FunctionContext, Typed, types};

/// A function of the current instant, µs. It must not be folded when the query is planned, since a stream plans once.
fn of_now(
    name: &str,
    result: DataType,
    context: &FunctionContext,
    value: impl Fn(i64) -> ScalarValue + Send + Sync + 'static,
) -> Typed {
    let now = Arc::clone(&context.now_us);
    Kernel::new(name, result, false)
        .bound_to(&context.time_zone)
        .volatile()
        .columnar(&[], move |_, _| Ok(ColumnarValue::Scalar(value(now.load(Ordering::Acquire)))))
}

/// Builds `current_timestamp`, `now`.
pub(super) fn current_timestamp(
    name: &str,
    arguments: &[Typed],
    context: &FunctionContext,
) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[0])?;
    Ok(of_now(name, types::timestamp(), context, |now| {
        ScalarValue::TimestampMicrosecond(Some(now), Some("UTC".into()))
    }))
}

/// Builds `localtimestamp`.
pub(super) fn local_timestamp(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[0])?;
    let zone = session_zone(context)?;
    Ok(of_now(name, types::timestamp_ntz(), context, move |now| {
        ScalarValue::TimestampMicrosecond(Some(zone.to_local(now)), None)
    }))
}

/// Builds `current_date`, `curdate`.
pub(super) fn current_date(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[0])?;
    let zone = session_zone(context)?;
    Ok(of_now(name, DataType::Date32, context, move |now| ScalarValue::Date32(Some(fields::local_day(now, &zone)))))
}

/// Builds `current_time([precision])`; the precision, 0 to 6 digits, cuts the fraction.
pub(super) fn current_time(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[0, 1])?;
    let precision = match arguments.first().map(Typed::as_literal) {
        None => 6,
        Some(Some(ScalarValue::Int32(Some(digits)))) if (0..=6).contains(digits) => *digits as u32,
        Some(_) => {
            return Err(crate::arguments::type_mismatch(
                "VALUE_OUT_OF_RANGE",
                name,
                arguments,
                "The `precision` must be between [0, 6].",
            ));
        }
    };
    let zone = session_zone(context)?;
    let unit_us = 10_i64.pow(6 - precision);
    Ok(of_now(name, TIME, context, move |now| {
        let us = zone.to_local(now).rem_euclid(MICROS_PER_DAY);
        ScalarValue::Time64Nanosecond(Some((us - us % unit_us) * NANOS_PER_MICRO))
    }))
}

/// Builds `current_timezone()`.
pub(super) fn current_timezone(
    name: &str,
    arguments: &[Typed],
    context: &FunctionContext,
) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[0])?;
    Ok(text(&context.time_zone))
}
