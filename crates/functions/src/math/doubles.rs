//! Functions of doubles: trigonometry, logarithms, powers.

use std::f64::consts;
use std::sync::Arc;

use arrow::array::{ArrayRef, PrimitiveArray};
use arrow::compute::binary as combine;
use arrow::datatypes::{DataType, DurationMicrosecondType, Float64Type, IntervalUnit, IntervalYearMonthType};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;
use millstream_formats::types;

use crate::arguments::{exactly, expect_count};
use crate::coerce::{Expected, argument};
use crate::kernel::{Kernel, primitive};
use crate::rows::{nulls_of, numbers};
use crate::{FunctionContext, Typed};

/// A function of one double; `Partial` ones are null outside of their domain.
#[derive(Clone, Copy)]
pub enum Unary {
    Total(fn(f64) -> f64),
    Partial(fn(f64) -> Option<f64>),
}

/// The function of one double of this name.
pub fn unary_of(name: &str) -> Option<Unary> {
    use Unary::{Partial, Total};
    Some(match name {
        "acos" => Total(libm::acos),
        "acosh" => Total(libm::acosh),
        "asin" => Total(libm::asin),
        "asinh" => Total(libm::asinh),
        "atan" => Total(libm::atan),
        "atanh" => Total(|x| 0.5 * (libm::log1p(x) - libm::log1p(-x))),
        "cbrt" => Total(libm::cbrt),
        "cos" => Total(libm::cos),
        "cosh" => Total(libm::cosh),
        "cot" => Total(|x| 1.0 / libm::tan(x)),
        "csc" => Total(|x| 1.0 / libm::sin(x)),
        "degrees" => Total(|x| x * 57.295_779_513_082_32),
        "exp" => Total(libm::exp),
        "expm1" => Total(libm::expm1),
        "ln" => Partial(|x| outside(x <= 0.0, || libm::log(x))),
        "log10" => Partial(|x| outside(x <= 0.0, || libm::log10(x))),
        "log1p" => Partial(|x| outside(x <= -1.0, || libm::log1p(x))),
        "log2" => Partial(|x| outside(x <= 0.0, || libm::log(x) / libm::log(2.0))),
        "radians" => Total(|x| x * 0.017_453_292_519_943_295),
        "rint" => Total(f64::round_ties_even),
        "sec" => Total(|x| 1.0 / libm::cos(x)),
        "sin" => Total(libm::sin),
        "sinh" => Total(libm::sinh),
        "sqrt" => Total(f64::sqrt),
        "tan" => Total(libm::tan),
        "tanh" => Total(libm::tanh),
        _ => return None,
    })
}

fn outside(out: bool, value: impl Fn() -> f64) -> Option<f64> {
    if out { None } else { Some(value()) }
}

/// Functions of one double.
pub fn unary(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<1>(name, arguments)?;
    let value = argument(name, arguments, 0, &Expected::DOUBLE, context)?;
    let function = unary_of(name).ok_or_else(|| SparkError::internal(format!("no function {name}")))?;
    Ok(Kernel::new(name, DataType::Float64, true).arrays(&[value], move |arrays, _| {
        let values = primitive::<Float64Type>(&arrays[0])?;
        let result: PrimitiveArray<Float64Type> = match function {
            Unary::Total(f) => values.unary(f),
            Unary::Partial(f) => values.unary_opt(f),
        };
        Ok(Arc::new(result))
    }))
}

/// `pow`, `hypot`, `atan2`.
pub fn binary(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<2>(name, arguments)?;
    let left = argument(name, arguments, 0, &Expected::DOUBLE, context)?;
    let right = argument(name, arguments, 1, &Expected::DOUBLE, context)?;
    let function: fn(f64, f64) -> f64 = match name {
        "hypot" => libm::hypot,
        "atan2" => |y, x| libm::atan2(y + 0.0, x + 0.0),
        _ => java_pow,
    };
    let kernel = Kernel::new(name, DataType::Float64, left.nullable || right.nullable);
    Ok(kernel.arrays(&[left, right], move |arrays, _| {
        let (left, right) = (primitive::<Float64Type>(&arrays[0])?, primitive::<Float64Type>(&arrays[1])?);
        Ok(Arc::new(combine::<_, _, _, Float64Type>(left, right, function)?))
    }))
}

/// Java's power, which is NaN where C says 1: `1^NaN` and `(±1)^∞`.
fn java_pow(base: f64, exponent: f64) -> f64 {
    if exponent.is_nan() || (base.abs() == 1.0 && exponent.is_infinite()) {
        f64::NAN
    } else {
        libm::pow(base, exponent)
    }
}

/// `log(x)` and `log(base, x)`.
pub fn log(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[1, 2])?;
    if arguments.len() == 1 {
        return unary("ln", arguments, context);
    }
    let base = argument(name, arguments, 0, &Expected::DOUBLE, context)?;
    let value = argument(name, arguments, 1, &Expected::DOUBLE, context)?;
    Ok(Kernel::new(name, DataType::Float64, true).arrays(&[base, value], |arrays, rows| {
        let (bases, values) = (primitive::<Float64Type>(&arrays[0])?, primitive::<Float64Type>(&arrays[1])?);
        let result = numbers::<Float64Type>(rows, nulls_of(arrays), |row| {
            let (base, value) = (bases.value(row), values.value(row));
            Ok(outside(base <= 0.0 || value <= 0.0, || libm::log(value) / libm::log(base)))
        })?;
        Ok(Arc::new(result))
    }))
}

/// `e()`, `pi()`.
pub fn constant(name: &str, arguments: &[Typed], _context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<0>(name, arguments)?;
    Ok(Typed::literal(ScalarValue::from(if name == "e" { consts::E } else { consts::PI })))
}

/// `signum(x)` of a number or an interval: -1.0, 0.0 or 1.0.
pub fn signum(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<1>(name, arguments)?;
    let choices = vec![
        Expected::DOUBLE,
        Expected::Exactly(types::day_time_interval()),
        Expected::Exactly(DataType::Interval(IntervalUnit::YearMonth)),
    ];
    let value = argument(name, arguments, 0, &Expected::OneOf(choices), context)?;
    Ok(Kernel::new(name, DataType::Float64, true).arrays(&[value], |arrays, _| {
        let array = &arrays[0];
        Ok(match array.data_type() {
            DataType::Float64 => {
                let sign = |v: f64| if v == 0.0 || v.is_nan() { v } else { v.signum() };
                Arc::new(primitive::<Float64Type>(array)?.unary::<_, Float64Type>(sign)) as ArrayRef
            }
            DataType::Duration(_) => {
                let values = primitive::<DurationMicrosecondType>(array)?;
                Arc::new(values.unary::<_, Float64Type>(|v| v.signum() as f64))
            }
            _ => {
                let values = primitive::<IntervalYearMonthType>(array)?;
                Arc::new(values.unary::<_, Float64Type>(|v| f64::from(v.signum())))
            }
        })
    }))
}
