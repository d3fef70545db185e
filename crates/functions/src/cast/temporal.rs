//! Casts from and to dates, timestamps, times and intervals, strings excepted.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, PrimitiveArray, new_null_array};
use arrow::compute::cast as lossless;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float64Type, Int64Type, IntervalUnit,
    IntervalYearMonthType, Time64NanosecondType, TimestampMicrosecondType,
};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::text::{MICROS_PER_SECOND, join_days, split_days};

use super::failure::{invalid_input, overflow, sql_value};
use super::numbers::{cast_number, rescale_value};
use super::{CastRun, Mode};
use crate::kernel::{boolean, primitive};

type Micros = PrimitiveArray<TimestampMicrosecondType>;

/// Dates, timestamps, times and intervals as another type.
pub fn cast_temporal(array: &ArrayRef, to: &DataType, run: &CastRun) -> Result<ArrayRef, SparkError> {
    match (array.data_type(), to) {
        (DataType::Date32, DataType::Timestamp(_, zone)) => {
            let zoned = zone.is_some();
            let midnight = |days: i32| {
                let local = join_days(days, 0)?;
                Some(if zoned { run.zone.to_utc(local) } else { local })
            };
            checked(array, primitive::<Date32Type>(array)?.unary_opt::<_, TimestampMicrosecondType>(midnight), to, run)
        }
        (DataType::Date32, DataType::Boolean) => Ok(Arc::new(BooleanArray::new_null(array.len()))),
        (DataType::Date32, _) => Ok(new_null_array(to, array.len())),
        (DataType::Timestamp(_, zone), _) => timestamp(primitive(array)?, zone.is_some(), array, to, run),
        (DataType::Duration(_), _) => {
            let micros = primitive::<DurationMicrosecondType>(array)?;
            units_to_number(array, micros.unary::<_, Int64Type>(|v| v), 6, to, run)
        }
        (DataType::Interval(IntervalUnit::YearMonth), _) => {
            let months = primitive::<IntervalYearMonthType>(array)?;
            units_to_number(array, months.unary::<_, Int64Type>(i64::from), 0, to, run)
        }
        (from, to) => Err(SparkError::internal(format!("no cast from {from} to {to}"))),
    }
}

fn timestamp(
    values: &Micros,
    zoned: bool,
    array: &ArrayRef,
    to: &DataType,
    run: &CastRun,
) -> Result<ArrayRef, SparkError> {
    let local = |us: i64| if zoned { run.zone.to_local(us) } else { us };
    match to {
        DataType::Date32 => Ok(Arc::new(values.unary::<_, Date32Type>(|v| split_days(local(v)).0))),
        DataType::Time64(_) => Ok(Arc::new(values.unary::<_, Time64NanosecondType>(|v| split_days(local(v)).1 * 1000))),
        DataType::Timestamp(_, None) => Ok(Arc::new(values.unary::<_, TimestampMicrosecondType>(local))),
        DataType::Timestamp(_, Some(_)) => {
            let moments: Micros = values.unary(|v| run.zone.to_utc(v));
            Ok(Arc::new(moments.with_data_type(to.clone())))
        }
        DataType::Boolean => Ok(Arc::new(BooleanArray::from_unary(values, |v| v != 0))),
        DataType::Float32 | DataType::Float64 => {
            let seconds: ArrayRef = Arc::new(values.unary::<_, Float64Type>(|v| v as f64 / 1e6));
            Ok(lossless(&seconds, to)?)
        }
        DataType::Decimal128(..) => {
            let seconds: ArrayRef = Arc::new(values.unary::<_, Float64Type>(|v| v as f64 / 1e6));
            cast_number(&seconds, to, run)
        }
        _ => {
            let seconds: ArrayRef = Arc::new(values.unary::<_, Int64Type>(|v| v.div_euclid(MICROS_PER_SECOND)));
            narrow(&seconds, array, to, run)
        }
    }
}

/// Whole numbers to a narrower type; an overflow names the value they came from.
fn narrow(numbers: &ArrayRef, source: &ArrayRef, to: &DataType, run: &CastRun) -> Result<ArrayRef, SparkError> {
    match run.mode {
        Mode::Ansi => {
            let lenient = CastRun { mode: Mode::Try, ..run.clone() };
            let result = cast_number(numbers, to, &lenient)?;
            match (0..source.len()).find(|i| result.is_null(*i) && source.is_valid(*i)) {
                Some(row) => Err(overflow(source, row, to)),
                None => Ok(result),
            }
        }
        _ => cast_number(numbers, to, run),
    }
}

/// An interval counted in units of which 10^`digits` are a second or a month, as a number of these.
fn units_to_number(
    source: &ArrayRef,
    units: PrimitiveArray<Int64Type>,
    digits: i8,
    to: &DataType,
    run: &CastRun,
) -> Result<ArrayRef, SparkError> {
    if let DataType::Decimal128(..) = to {
        let exact = units.unary::<_, Decimal128Type>(i128::from).with_precision_and_scale(20, digits)?;
        return cast_number(&(Arc::new(exact) as ArrayRef), to, run);
    }
    let unit = 10i64.pow(digits.max(0) as u32);
    narrow(&(Arc::new(units.unary::<_, Int64Type>(|v| v / unit)) as ArrayRef), source, to, run)
}

/// Numbers and booleans as timestamps or intervals.
pub fn cast_to_temporal(array: &ArrayRef, to: &DataType, run: &CastRun) -> Result<ArrayRef, SparkError> {
    match to {
        DataType::Timestamp(..) => to_timestamp(array, to, run),
        DataType::Duration(_) => {
            let us = scaled(array, 6)?;
            checked(array, us.unary_opt::<_, DurationMicrosecondType>(|v| v.try_into().ok()), to, run)
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            let months = scaled(array, 0)?;
            checked(array, months.unary_opt::<_, IntervalYearMonthType>(|v| v.try_into().ok()), to, run)
        }
        other => Err(SparkError::internal(format!("no cast from {} to {other}", array.data_type()))),
    }
}

/// Whole numbers or decimals in units of 10^-`scale`, rounded half up.
fn scaled(array: &ArrayRef, scale: i8) -> Result<PrimitiveArray<Decimal128Type>, SparkError> {
    if let DataType::Decimal128(_, from) = array.data_type() {
        return Ok(primitive::<Decimal128Type>(array)?.unary_opt(|v| rescale_value(v, *from, scale)));
    }
    let wide = lossless(array, &DataType::Int64)?;
    Ok(primitive::<Int64Type>(&wide)?.unary(|v| i128::from(v) * 10i128.pow(scale.max(0) as u32)))
}

fn to_timestamp(array: &ArrayRef, to: &DataType, run: &CastRun) -> Result<ArrayRef, SparkError> {
    let result: Micros = match array.data_type() {
        DataType::Boolean => boolean(array)?.iter().map(|v| v.map(i64::from)).collect(),
        DataType::Float32 | DataType::Float64 => {
            let wide = lossless(array, &DataType::Float64)?;
            let seconds = primitive::<Float64Type>(&wide)?;
            if run.mode == Mode::Ansi
                && let Some(row) = (0..seconds.len()).find(|i| seconds.is_valid(*i) && !seconds.value(*i).is_finite())
            {
                let value = sql_value(&datafusion::scalar::ScalarValue::Float64(Some(seconds.value(row))));
                return Err(invalid_input(ExceptionClass::DateTime, &value, array.data_type(), to));
            }
            seconds.unary_opt(|v| v.is_finite().then_some((v * 1e6) as i64))
        }
        DataType::Decimal128(_, scale) => {
            let unit = 10i128.pow((*scale).max(0) as u32);
            primitive::<Decimal128Type>(array)?.unary(|v| (v.saturating_mul(1_000_000) / unit) as i64)
        }
        _ => {
            let wide = lossless(array, &DataType::Int64)?;
            primitive::<Int64Type>(&wide)?.unary(|v| v.saturating_mul(MICROS_PER_SECOND))
        }
    };
    Ok(Arc::new(result.with_data_type(to.clone())))
}

/// The result in its exact type; in ANSI mode a new null is an overflow.
fn checked<T: arrow::array::ArrowPrimitiveType>(
    source: &ArrayRef,
    result: PrimitiveArray<T>,
    to: &DataType,
    run: &CastRun,
) -> Result<ArrayRef, SparkError> {
    if run.mode == Mode::Ansi
        && result.null_count() > source.null_count()
        && let Some(row) = (0..source.len()).find(|i| result.is_null(*i) && source.is_valid(*i))
    {
        return Err(overflow(source, row, to));
    }
    Ok(Arc::new(result.with_data_type(to.clone())))
}
