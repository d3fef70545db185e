//! `& | ^ ~` on whole numbers.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType};
use arrow::compute::binary as combine;
use arrow::datatypes::{DataType, Int8Type, Int16Type, Int32Type, Int64Type};
use millstream_formats::condition::SparkError;

use crate::arguments::{different_operands, exactly, wrong_operand};
use crate::coerce::{Expected, argument, cast_to, tightest_common_type};
use crate::kernel::{Kernel, primitive};
use crate::{FunctionContext, Typed};

/// `& | ^`.
pub fn binary(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let [left, right] = exactly::<2>(name, arguments)?;
    let common = match (&left.data_type, &right.data_type) {
        (DataType::Utf8, other) | (other, DataType::Utf8) if other.is_signed_integer() => Some(DataType::Int64),
        (DataType::Null, DataType::Null) => Some(DataType::Int64),
        (a, b) => tightest_common_type(a, b, context.ansi),
    };
    let Some(common) = common else { return Err(different_operands(name, arguments)) };
    if !common.is_signed_integer() {
        return Err(wrong_operand(name, arguments, "\"INTEGRAL\""));
    }
    let (left, right) = (cast_to(left.clone(), &common, context)?, cast_to(right.clone(), &common, context)?);
    let kernel = Kernel::new(name, common, left.nullable || right.nullable);
    let operation = name.to_string();
    Ok(kernel.arrays(&[left, right], move |arrays, _| {
        let (left, right) = (&arrays[0], &arrays[1]);
        match left.data_type() {
            DataType::Int8 => bitwise::<Int8Type>(&operation, left, right),
            DataType::Int16 => bitwise::<Int16Type>(&operation, left, right),
            DataType::Int32 => bitwise::<Int32Type>(&operation, left, right),
            _ => bitwise::<Int64Type>(&operation, left, right),
        }
    }))
}

fn bitwise<T: ArrowPrimitiveType>(operation: &str, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef, SparkError>
where
    T::Native: std::ops::BitAnd<Output = T::Native>
        + std::ops::BitOr<Output = T::Native>
        + std::ops::BitXor<Output = T::Native>,
{
    let (left, right) = (primitive::<T>(left)?, primitive::<T>(right)?);
    let result = match operation {
        "&" => combine::<_, _, _, T>(left, right, |a, b| a & b),
        "|" => combine::<_, _, _, T>(left, right, |a, b| a | b),
        _ => combine::<_, _, _, T>(left, right, |a, b| a ^ b),
    };
    Ok(Arc::new(result?))
}

/// `~`.
pub fn not(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<1>(name, arguments)?;
    let value = argument(name, arguments, 0, &Expected::Integral, context)?;
    let kernel = Kernel::new(name, value.data_type.clone(), value.nullable);
    Ok(kernel.arrays(&[value], |arrays, _| {
        let array = &arrays[0];
        Ok(match array.data_type() {
            DataType::Int8 => Arc::new(primitive::<Int8Type>(array)?.unary::<_, Int8Type>(|v| !v)) as ArrayRef,
            DataType::Int16 => Arc::new(primitive::<Int16Type>(array)?.unary::<_, Int16Type>(|v| !v)),
            DataType::Int32 => Arc::new(primitive::<Int32Type>(array)?.unary::<_, Int32Type>(|v| !v)),
            _ => Arc::new(primitive::<Int64Type>(array)?.unary::<_, Int64Type>(|v| !v)),
        })
    }))
}
