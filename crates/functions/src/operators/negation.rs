//! `-x`, `+x` and `abs`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, PrimitiveArray};
use arrow::datatypes::{
    DataType, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType,
};
use millstream_formats::condition::SparkError;
use millstream_formats::types;

use super::integers::overflow;
use crate::arguments::exactly;
use crate::coerce::{Expected, argument};
use crate::kernel::{Kernel, primitive};
use crate::{FunctionContext, Typed};

fn number_or_interval() -> Expected {
    Expected::OneOf(vec![
        Expected::Numeric,
        Expected::Exactly(types::day_time_interval()),
        Expected::Exactly(DataType::Interval(IntervalUnit::YearMonth)),
        Expected::Exactly(DataType::Interval(IntervalUnit::MonthDayNano)),
    ])
}

/// `+x`: the value itself.
pub fn positive(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<1>(name, arguments)?;
    argument(name, arguments, 0, &number_or_interval(), context)
}

/// `-x`.
pub fn negative(_name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<1>("negative", arguments)?;
    let value = argument("negative", arguments, 0, &number_or_interval(), context)?;
    let ansi = context.ansi;
    let kernel = Kernel::new("negative", value.data_type.clone(), value.nullable).bound_to(ansi);
    Ok(kernel.arrays(&[value], move |arrays, _| sign(&arrays[0], ansi, Sign::Turned)))
}

/// `abs(x)`.
pub fn abs(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<1>(name, arguments)?;
    let choices = vec![
        Expected::Numeric,
        Expected::Exactly(types::day_time_interval()),
        Expected::Exactly(DataType::Interval(IntervalUnit::YearMonth)),
    ];
    let value = argument(name, arguments, 0, &Expected::OneOf(choices), context)?;
    let ansi = context.ansi;
    let kernel = Kernel::new("abs", value.data_type.clone(), value.nullable).bound_to(ansi);
    Ok(kernel.arrays(&[value], move |arrays, _| sign(&arrays[0], ansi, Sign::Dropped)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Turned,
    Dropped,
}

fn sign(array: &ArrayRef, ansi: bool, how: Sign) -> Result<ArrayRef, SparkError> {
    match array.data_type() {
        DataType::Int8 => sign_of::<Int8Type>(array, ansi, how),
        DataType::Int16 => sign_of::<Int16Type>(array, ansi, how),
        DataType::Int32 => sign_of::<Int32Type>(array, ansi, how),
        DataType::Int64 => sign_of::<Int64Type>(array, ansi, how),
        DataType::Decimal128(..) => sign_of::<Decimal128Type>(array, false, how),
        DataType::Duration(_) => sign_of::<DurationMicrosecondType>(array, true, how),
        DataType::Interval(IntervalUnit::YearMonth) => sign_of::<IntervalYearMonthType>(array, true, how),
        DataType::Float32 => {
            let turn = |v: f32| if how == Sign::Turned { -v } else { v.abs() };
            Ok(Arc::new(primitive::<Float32Type>(array)?.unary::<_, Float32Type>(turn)))
        }
        DataType::Float64 => {
            let turn = |v: f64| if how == Sign::Turned { -v } else { v.abs() };
            Ok(Arc::new(primitive::<Float64Type>(array)?.unary::<_, Float64Type>(turn)))
        }
        DataType::Interval(_) => {
            let turn = |v: IntervalMonthDayNano| {
                IntervalMonthDayNano::new(v.months.wrapping_neg(), v.days.wrapping_neg(), v.nanoseconds.wrapping_neg())
            };
            let values = primitive::<IntervalMonthDayNanoType>(array)?;
            Ok(Arc::new(values.unary::<_, IntervalMonthDayNanoType>(turn)))
        }
        other => Err(SparkError::internal(format!("no sign of {other}"))),
    }
}

fn sign_of<T: ArrowPrimitiveType>(array: &ArrayRef, checked: bool, how: Sign) -> Result<ArrayRef, SparkError>
where
    T::Native: ArrowNativeTypeOp,
{
    let values: &PrimitiveArray<T> = primitive(array)?;
    let turns = |v: T::Native| how == Sign::Turned || v.is_lt(T::Native::ZERO);
    // The smallest value has no negative.
    if checked
        && (0..values.len())
            .any(|i| values.is_valid(i) && turns(values.value(i)) && values.value(i).neg_checked().is_err())
    {
        return Err(overflow("overflow", None));
    }
    let result: PrimitiveArray<T> = values.unary(|v| if turns(v) { v.neg_wrapping() } else { v });
    Ok(Arc::new(result.with_data_type(array.data_type().clone())))
}
