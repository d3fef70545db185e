//! Casts from numbers and booleans to numbers, booleans and binary.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, PrimitiveArray};
use arrow::compute::cast as lossless;
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use millstream_formats::condition::SparkError;
use millstream_formats::text::{ParsedDecimal, parse_decimal, write_decimal_plain, write_f64};

use super::failure::{decimal_out_of_range, overflow};
use super::{CastRun, Mode};
use crate::kernel::{boolean, primitive};

/// A number or boolean as a number, a boolean or, in legacy mode, binary.
pub fn cast_number(array: &ArrayRef, to: &DataType, run: &CastRun) -> Result<ArrayRef, SparkError> {
    match (array.data_type(), to) {
        (DataType::Boolean, _) => {
            let ones: PrimitiveArray<Int32Type> = boolean(array)?.iter().map(|v| v.map(i32::from)).collect();
            let ones: ArrayRef = Arc::new(ones);
            if *to == DataType::Int32 { Ok(ones) } else { cast_number(&ones, to, run) }
        }
        (_, DataType::Boolean) => to_boolean(array),
        (_, DataType::Binary) => to_big_endian(array),
        (DataType::Decimal128(_, scale), DataType::Float64) => {
            let scale = *scale;
            Ok(Arc::new(primitive::<Decimal128Type>(array)?.unary::<_, Float64Type>(|v| decimal_to_f64(v, scale))))
        }
        (DataType::Decimal128(_, scale), DataType::Float32) => {
            let scale = *scale;
            Ok(Arc::new(primitive::<Decimal128Type>(array)?.unary::<_, Float32Type>(|v| decimal_to_f32(v, scale))))
        }
        (DataType::Decimal128(..), DataType::Decimal128(precision, scale)) => rescale(array, *precision, *scale, run),
        (DataType::Float32 | DataType::Float64, DataType::Decimal128(precision, scale)) => {
            float_to_decimal(array, *precision, *scale, run)
        }
        (_, DataType::Decimal128(precision, scale)) => integer_to_decimal(array, *precision, *scale, run),
        (_, DataType::Float32 | DataType::Float64) => Ok(lossless(array, to)?),
        (_, DataType::Int8) => to_integer::<Int8Type>(array, run),
        (_, DataType::Int16) => to_integer::<Int16Type>(array, run),
        (_, DataType::Int32) => to_integer::<Int32Type>(array, run),
        (_, DataType::Int64) => to_integer::<Int64Type>(array, run),
        (from, to) => Err(SparkError::internal(format!("no cast from {from} to {to}"))),
    }
}

fn to_boolean(array: &ArrayRef) -> Result<ArrayRef, SparkError> {
    let result = match array.data_type() {
        DataType::Float32 => BooleanArray::from_unary(primitive::<Float32Type>(array)?, |v| v != 0.0),
        DataType::Float64 => BooleanArray::from_unary(primitive::<Float64Type>(array)?, |v| v != 0.0),
        DataType::Decimal128(..) => BooleanArray::from_unary(primitive::<Decimal128Type>(array)?, |v| v != 0),
        _ => {
            let wide = lossless(array, &DataType::Int64)?;
            BooleanArray::from_unary(primitive::<Int64Type>(&wide)?, |v| v != 0)
        }
    };
    Ok(Arc::new(result))
}

fn to_big_endian(array: &ArrayRef) -> Result<ArrayRef, SparkError> {
    let width = array.data_type().primitive_width().unwrap_or(8);
    let wide = lossless(array, &DataType::Int64)?;
    let bytes = primitive::<Int64Type>(&wide)?.iter().map(|v| v.map(i64::to_be_bytes));
    Ok(Arc::new(bytes.map(|v| v.map(|b| b.into_iter().skip(8 - width).collect::<Vec<u8>>())).collect::<BinaryArray>()))
}

/// Whole numbers to which others are cast.
trait Whole: ArrowPrimitiveType {
    /// The value, if it is in range.
    fn checked(value: i128) -> Option<Self::Native>;
    /// The low bits of a `bigint`.
    fn wrapped(value: i64) -> Self::Native;
    /// Java's conversion of a double: towards zero, saturated (bytes and shorts by way of `int`).
    fn saturated(value: f64) -> Self::Native;
}

macro_rules! whole {
    ($($arrow:ty, $native:ty, by way of $saturated:ty;)*) => {$(
        impl Whole for $arrow {
            fn checked(value: i128) -> Option<$native> {
                value.try_into().ok()
            }
            fn wrapped(value: i64) -> $native {
                value as $native
            }
            fn saturated(value: f64) -> $native {
                value as $saturated as $native
            }
        }
    )*};
}

whole! {
    Int8Type, i8, by way of i32;
    Int16Type, i16, by way of i32;
    Int32Type, i32, by way of i32;
    Int64Type, i64, by way of i64;
}

fn to_integer<T: Whole>(array: &ArrayRef, run: &CastRun) -> Result<ArrayRef, SparkError> {
    match array.data_type() {
        DataType::Float32 | DataType::Float64 => {
            let wide = lossless(array, &DataType::Float64)?;
            let values = primitive::<Float64Type>(&wide)?;
            // Beyond i128 a double saturates, which no whole type holds; NaN must not become 0.
            convert::<_, T>(array, values, run, T::saturated, |v| if v.is_nan() { None } else { T::checked(v as i128) })
        }
        DataType::Decimal128(_, scale) => {
            let values = primitive::<Decimal128Type>(array)?;
            let unit = 10i128.pow((*scale).max(0) as u32);
            convert::<_, T>(array, values, run, |v| T::wrapped((v / unit) as i64), |v| T::checked(v / unit))
        }
        _ => {
            let wide = lossless(array, &DataType::Int64)?;
            convert::<_, T>(array, primitive::<Int64Type>(&wide)?, run, T::wrapped, |v| T::checked(i128::from(v)))
        }
    }
}

/// Converts by the mode: `checked` where a value that does not fit must be seen, else `lenient`.
fn convert<S: ArrowPrimitiveType, T: ArrowPrimitiveType>(
    source: &ArrayRef,
    values: &PrimitiveArray<S>,
    run: &CastRun,
    lenient: impl Fn(S::Native) -> T::Native,
    checked: impl Fn(S::Native) -> Option<T::Native>,
) -> Result<ArrayRef, SparkError> {
    let result: PrimitiveArray<T> = match run.mode {
        Mode::Legacy => values.unary(lenient),
        Mode::Try => values.unary_opt(checked),
        Mode::Ansi => {
            let result: PrimitiveArray<T> = values.unary_opt(checked);
            if result.null_count() > values.null_count()
                && let Some(row) = (0..values.len()).find(|i| result.is_null(*i) && values.is_valid(*i))
            {
                return Err(overflow(source, row, &T::DATA_TYPE));
            }
            result
        }
    };
    Ok(Arc::new(result))
}

/// A decimal as the nearest double.
pub fn decimal_to_f64(value: i128, scale: i8) -> f64 {
    // Both operands are exact and so the quotient is the nearest double.
    if value.unsigned_abs() < 1 << 53 && (0..=22).contains(&scale) {
        return value as f64 / 10f64.powi(i32::from(scale));
    }
    let mut text = String::new();
    write_decimal_plain(value, scale, &mut text);
    text.parse().unwrap_or(f64::NAN)
}

fn decimal_to_f32(value: i128, scale: i8) -> f32 {
    let mut text = String::new();
    write_decimal_plain(value, scale, &mut text);
    text.parse().unwrap_or(f32::NAN)
}

fn with_decimal_type(array: PrimitiveArray<Decimal128Type>, precision: u8, scale: i8) -> Result<ArrayRef, SparkError> {
    Ok(Arc::new(array.with_precision_and_scale(precision, scale)?))
}

/// Makes decimals row by row; a value that does not fit (`Err` with its text) is null or fails the query.
fn decimals<S: ArrowPrimitiveType>(
    values: &PrimitiveArray<S>,
    (precision, scale): (u8, i8),
    run: &CastRun,
    convert: impl Fn(S::Native) -> Option<i128>,
    text: impl Fn(S::Native) -> String,
) -> Result<ArrayRef, SparkError> {
    let limit = 10i128.pow(u32::from(precision.min(38)));
    let fits = |v: S::Native| convert(v).filter(|d| d.abs() < limit);
    let result: PrimitiveArray<Decimal128Type> = values.unary_opt(fits);
    if run.mode == Mode::Ansi
        && result.null_count() > values.null_count()
        && let Some(row) = (0..values.len()).find(|i| result.is_null(*i) && values.is_valid(*i))
    {
        return Err(decimal_out_of_range(&text(values.value(row)), precision, scale));
    }
    with_decimal_type(result, precision, scale)
}

fn integer_to_decimal(array: &ArrayRef, precision: u8, scale: i8, run: &CastRun) -> Result<ArrayRef, SparkError> {
    let wide = lossless(array, &DataType::Int64)?;
    let unit = 10i128.pow(scale.max(0) as u32);
    decimals(
        primitive::<Int64Type>(&wide)?,
        (precision, scale),
        run,
        |v| i128::from(v).checked_mul(unit),
        |v| v.to_string(),
    )
}

/// Rounds half away from zero to a scale; absent on overflow.
pub(crate) fn rescale_value(value: i128, from: i8, to: i8) -> Option<i128> {
    if to >= from {
        return value.checked_mul(10i128.checked_pow((to - from) as u32)?);
    }
    let Some(unit) = 10i128.checked_pow((from - to) as u32) else { return Some(0) };
    let (whole, rest) = (value / unit, value % unit);
    Some(if rest.abs() >= unit - rest.abs() { whole + value.signum() } else { whole })
}

fn rescale(array: &ArrayRef, precision: u8, scale: i8, run: &CastRun) -> Result<ArrayRef, SparkError> {
    let values = array.as_primitive::<Decimal128Type>();
    let from = values.scale();
    if scale == from && precision >= values.precision() {
        return with_decimal_type(values.clone(), precision, scale);
    }
    let text = |v: i128| {
        let mut text = String::new();
        write_decimal_plain(v, from, &mut text);
        text
    };
    decimals(values, (precision, scale), run, |v| rescale_value(v, from, scale), text)
}

fn float_to_decimal(array: &ArrayRef, precision: u8, scale: i8, run: &CastRun) -> Result<ArrayRef, SparkError> {
    let wide = lossless(array, &DataType::Float64)?;
    // No decimal stands for these, and Spark gives null for them in every mode.
    let finite: PrimitiveArray<Float64Type> =
        primitive::<Float64Type>(&wide)?.unary_opt(|v| v.is_finite().then_some(v));
    let convert = |v: f64| match parse_decimal(&java_text(v), precision, scale) {
        ParsedDecimal::Value(value) => Some(value),
        _ => None,
    };
    decimals(&finite, (precision, scale), run, convert, |v| v.to_string())
}

fn java_text(value: f64) -> String {
    let mut text = String::new();
    write_f64(value, &mut text);
    text
}
