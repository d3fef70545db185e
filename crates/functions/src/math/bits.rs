//! Shifts and single bits.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::{binary, cast as arrow_cast};
use arrow::datatypes::{DataType, Int8Type, Int32Type, Int64Type};
use millstream_formats::condition::{ExceptionClass, SparkError};

use crate::arguments::exactly;
use crate::coerce::{Expected, argument};
use crate::kernel::{Kernel, boolean, primitive};
use crate::rows::{nulls_of, numbers};
use crate::{FunctionContext, Typed};

/// A shift of each width.
type Shifts = (fn(i32, i32) -> i32, fn(i64, i32) -> i64);

/// `shiftleft`, `shiftright`, `shiftrightunsigned`: the distance counts modulo the width.
pub fn shift(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<2>(name, arguments)?;
    let value = argument(name, arguments, 0, &Expected::OneOf(vec![Expected::INT, Expected::LONG]), context)?;
    let distance = argument(name, arguments, 1, &Expected::INT, context)?;
    let (ints, longs): Shifts = match name {
        "shiftleft" | "<<" => (|v, by| v.wrapping_shl(by as u32), |v, by| v.wrapping_shl(by as u32)),
        "shiftright" | ">>" => (|v, by| v.wrapping_shr(by as u32), |v, by| v.wrapping_shr(by as u32)),
        _ => (|v, by| (v as u32).wrapping_shr(by as u32) as i32, |v, by| (v as u64).wrapping_shr(by as u32) as i64),
    };
    let kernel = Kernel::new(name, value.data_type.clone(), value.nullable || distance.nullable);
    Ok(kernel.arrays(&[value, distance], move |arrays, _| {
        let by = primitive::<Int32Type>(&arrays[1])?;
        Ok(match arrays[0].data_type() {
            DataType::Int32 => {
                Arc::new(binary::<_, _, _, Int32Type>(primitive::<Int32Type>(&arrays[0])?, by, ints)?) as ArrayRef
            }
            _ => Arc::new(binary::<_, _, _, Int64Type>(primitive::<Int64Type>(&arrays[0])?, by, longs)?),
        })
    }))
}

/// `bit_count(x)` of a whole number as a `bigint`, or of a boolean.
pub fn bit_count(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<1>(name, arguments)?;
    let value = argument(name, arguments, 0, &Expected::OneOf(vec![Expected::Integral, Expected::BOOLEAN]), context)?;
    let nullable = value.nullable;
    Ok(Kernel::new(name, DataType::Int32, nullable).arrays(&[value], |arrays, _| {
        if arrays[0].data_type() == &DataType::Boolean {
            let ones = boolean(&arrays[0])?.iter().map(|v| v.map(i32::from));
            return Ok(Arc::new(ones.collect::<arrow::array::Int32Array>()) as ArrayRef);
        }
        let wide = arrow_cast(&arrays[0], &DataType::Int64)?;
        Ok(Arc::new(primitive::<Int64Type>(&wide)?.unary::<_, Int32Type>(|v| v.count_ones() as i32)))
    }))
}

/// `getbit(x, position)`: 0 or 1, position 0 is the lowest bit.
pub fn get_bit(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<2>(name, arguments)?;
    let value = argument(name, arguments, 0, &Expected::Integral, context)?;
    let position = argument(name, arguments, 1, &Expected::INT, context)?;
    let width = value.data_type.primitive_width().unwrap_or(8) as i32 * 8;
    let function = name.to_string();
    let kernel = Kernel::new(name, DataType::Int8, value.nullable || position.nullable).fallible();
    Ok(kernel.arrays(&[value, position], move |arrays, rows| {
        let wide = arrow_cast(&arrays[0], &DataType::Int64)?;
        let (values, positions) = (primitive::<Int64Type>(&wide)?, primitive::<Int32Type>(&arrays[1])?);
        let result = numbers::<Int8Type>(rows, nulls_of(arrays), |row| match positions.value(row) {
            at if (0..width).contains(&at) => Ok(Some((values.value(row) >> at & 1) as i8)),
            at => Err(out_of_range(&function, width, at)),
        })?;
        Ok(Arc::new(result))
    }))
}

fn out_of_range(function: &str, width: i32, position: i32) -> SparkError {
    let text = format!(
        "The value of parameter(s) `pos` in `{function}` is invalid: expects an integer value in [0, {width}), but got {position}."
    );
    SparkError::new(ExceptionClass::IllegalArgument, "INVALID_PARAMETER_VALUE.BIT_POSITION_RANGE", "22023", text)
        .with("functionName", format!("`{function}`"))
        .with("parameter", "`pos`")
        .with("upper", width.to_string())
        .with("invalidValue", position.to_string())
}
