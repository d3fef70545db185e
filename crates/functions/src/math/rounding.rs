//! `round`, `bround`, `ceil`, `floor`, with and without a scale.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, PrimitiveArray};
use arrow::compute::cast as arrow_cast;
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;

use crate::arguments::{expect_count, not_constant};
use crate::coerce::{Expected, argument, cast_to, decimal_for};
use crate::kernel::{Kernel, primitive};
use crate::operators::overflow;
use crate::rows::{nulls_of, numbers};
use crate::{FunctionContext, Typed};

/// Which way a number is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    HalfUp,
    HalfEven,
    Ceiling,
    Floor,
}

impl Way {
    fn of(name: &str) -> Self {
        match name {
            "bround" => Way::HalfEven,
            "ceil" | "ceiling" => Way::Ceiling,
            "floor" => Way::Floor,
            _ => Way::HalfUp,
        }
    }

    /// The quotient rounded to a whole number.
    fn divide(self, value: i128, unit: i128) -> i128 {
        let (whole, rest) = (value / unit, value % unit);
        let away = match self {
            Way::HalfUp => rest.abs() >= unit - rest.abs(),
            Way::HalfEven => rest.abs() > unit - rest.abs() || (rest.abs() == unit - rest.abs() && whole % 2 != 0),
            Way::Ceiling => rest > 0,
            Way::Floor => rest < 0,
        };
        if away { whole + value.signum() } else { whole }
    }
}

/// The scale, which must be a constant; absent if it is null.
fn scale(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Option<i32>, SparkError> {
    if arguments.len() < 2 {
        return Ok(Some(0));
    }
    let scale = argument(name, arguments, 1, &Expected::INT, context)?;
    match scale.as_literal() {
        Some(ScalarValue::Int32(scale)) => Ok(*scale),
        _ => Err(not_constant(name, arguments, 1, "scale", "INT")),
    }
}

/// `ceil(x)`, `floor(x)`: a whole number; with a scale a decimal.
pub fn ceil_floor(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[1, 2])?;
    let way = Way::of(name);
    if arguments.len() == 2 {
        let value = argument(name, arguments, 0, &Expected::Decimal, context)?;
        return round_decimal(name, value, scale(name, arguments, context)?, way);
    }
    let expected = Expected::OneOf(vec![Expected::LONG, Expected::DOUBLE, Expected::Decimal]);
    let value = match arguments.first() {
        Some(value) if value.data_type == DataType::Float32 => cast_to(value.clone(), &DataType::Float64, context)?,
        Some(value) if value.data_type == DataType::Utf8 => argument(name, arguments, 0, &Expected::DOUBLE, context)?,
        _ => argument(name, arguments, 0, &expected, context)?,
    };
    match value.data_type {
        DataType::Decimal128(precision, scale) => {
            let precision = (i32::from(precision) - i32::from(scale) + 1).min(38) as u8;
            let to = DataType::Decimal128(precision, 0);
            let unit = 10i128.pow(scale.max(0) as u32);
            Ok(Kernel::new(name, to, true).arrays(&[value], move |arrays, _| {
                let values = primitive::<Decimal128Type>(&arrays[0])?;
                let result = values.unary::<_, Decimal128Type>(|v| way.divide(v, unit));
                Ok(Arc::new(result.with_precision_and_scale(precision, 0)?))
            }))
        }
        DataType::Float64 => Ok(Kernel::new(name, DataType::Int64, true).arrays(&[value], move |arrays, _| {
            let rounded = |v: f64| if way == Way::Ceiling { v.ceil() as i64 } else { v.floor() as i64 };
            Ok(Arc::new(primitive::<Float64Type>(&arrays[0])?.unary::<_, Int64Type>(rounded)))
        })),
        _ => Ok(Typed { nullable: true, ..value }),
    }
}

/// `round(x[, scale])`, `bround(x[, scale])`: half away from zero, half to even.
pub fn round(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[1, 2])?;
    let value = argument(name, arguments, 0, &Expected::Numeric, context)?;
    let (scale, way, ansi) = (scale(name, arguments, context)?, Way::of(name), context.ansi);
    if let DataType::Decimal128(..) = value.data_type {
        return round_decimal(name, value, scale, way);
    }
    let to = value.data_type.clone();
    let Some(scale) = scale else { return null_of(&to) };
    let kernel = Kernel::new(name, to, true).bound_to(scale).bound_to(ansi);
    Ok(kernel.arrays(&[value], move |arrays, _| {
        let array = &arrays[0];
        match array.data_type() {
            DataType::Float32 => {
                let values = primitive::<Float32Type>(array)?;
                Ok(Arc::new(
                    values.unary::<_, Float32Type>(|v| round_text(&format!("{v:e}"), scale, way).unwrap_or(v + 0.0)),
                ) as ArrayRef)
            }
            DataType::Float64 => {
                let values = primitive::<Float64Type>(array)?;
                Ok(Arc::new(values.unary::<_, Float64Type>(|v| round_f64(v, scale, way))))
            }
            _ if scale >= 0 => Ok(Arc::clone(array)),
            DataType::Int8 => round_whole::<Int8Type>(array, scale, way, ansi, |v| v as i8),
            DataType::Int16 => round_whole::<Int16Type>(array, scale, way, ansi, |v| v as i16),
            DataType::Int32 => round_whole::<Int32Type>(array, scale, way, ansi, |v| v as i32),
            _ => round_whole::<Int64Type>(array, scale, way, ansi, |v| v as i64),
        }
    }))
}

fn null_of(to: &DataType) -> Result<Typed, SparkError> {
    ScalarValue::try_new_null(to).map(Typed::literal).map_err(crate::kernel::from_datafusion)
}

fn round_decimal(name: &str, value: Typed, scale: Option<i32>, way: Way) -> Result<Typed, SparkError> {
    let DataType::Decimal128(p, s) = decimal_for(&value.data_type) else {
        return Err(SparkError::internal("rounding of another type"));
    };
    let wanted = scale.unwrap_or(0);
    let whole = i32::from(p) - i32::from(s) + 1;
    let (precision, new_scale) = if wanted < 0 {
        (whole.max(1 - wanted), 0)
    } else {
        let new_scale = i32::from(s).min(wanted);
        (whole + new_scale, new_scale)
    };
    let (precision, new_scale) = (precision.min(38) as u8, new_scale as i8);
    let to = DataType::Decimal128(precision, new_scale);
    if scale.is_none() {
        return null_of(&to);
    }
    // A unit beyond 38 digits is larger than twice every value.
    let drop = (i32::from(s) - wanted).clamp(0, 38) as u32;
    let unit = 10i128.pow(drop);
    let restore = 10i128.pow((-wanted).clamp(0, 38) as u32);
    Ok(Kernel::new(name, to, true).bound_to(wanted).arrays(&[value], move |arrays, rows| {
        let values = primitive::<Decimal128Type>(&arrays[0])?;
        let limit = 10i128.pow(u32::from(precision));
        let result = numbers::<Decimal128Type>(rows, nulls_of(arrays), |row| {
            Ok(way.divide(values.value(row), unit).checked_mul(restore).filter(|v| v.abs() < limit))
        })?;
        Ok(Arc::new(result.with_precision_and_scale(precision, new_scale)?))
    }))
}

fn round_whole<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    scale: i32,
    way: Way,
    ansi: bool,
    wrap: fn(i128) -> T::Native,
) -> Result<ArrayRef, SparkError>
where
    T::Native: Into<i64>,
{
    let wide = arrow_cast(array, &DataType::Int64)?;
    let values = primitive::<Int64Type>(&wide)?;
    let unit = 10i128.checked_pow((-scale) as u32).filter(|u| *u <= 10i128.pow(20));
    let result: PrimitiveArray<T> = numbers(values.len(), nulls_of(&[Arc::clone(array)]), |row| {
        let rounded = unit.map_or(0, |unit| way.divide(i128::from(values.value(row)), unit) * unit);
        let wrapped = wrap(rounded);
        if ansi && i128::from(wrapped.into()) != rounded {
            return Err(overflow("Overflow", None));
        }
        Ok(Some(wrapped))
    })?;
    Ok(Arc::new(result))
}

fn round_f64(value: f64, scale: i32, way: Way) -> f64 {
    if !value.is_finite() || (scale >= 0 && value.fract() == 0.0) {
        // A decimal has no negative zero.
        return value + 0.0;
    }
    round_text(&format!("{value:e}"), scale, way).unwrap_or(value)
}

/// Rounds the shortest decimal text of a number, as Java's `BigDecimal` of it is rounded.
fn round_text<N: std::str::FromStr>(shortest: &str, scale: i32, way: Way) -> Option<N> {
    let (mantissa, exponent) = shortest.split_once('e')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let places = fraction.len() as i32 - exponent.parse::<i32>().ok()?;
    if places <= scale {
        return None;
    }
    // 17 digits at most, so that a unit of 20 digits rounds them all away.
    let unit = 10i128.pow((places - scale).min(20) as u32);
    let rounded = way.divide(digits, unit);
    let sign = if rounded == 0 && whole.starts_with('-') { "-" } else { "" };
    let text = if sign.is_empty() { format!("{rounded}e{}", -scale) } else { "0".to_string() };
    text.parse().ok()
}
