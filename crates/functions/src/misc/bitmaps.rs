//! Bitmaps of 4096 bytes: where a number stands in them, and how many bits are set.

use std::sync::Arc;

use arrow::datatypes::{DataType, Int64Type};
use millstream_formats::condition::SparkError;

use crate::arguments::{exactly, unexpected_input};
use crate::coerce::{Expected, argument};
use crate::kernel::{Kernel, binary, primitive};
use crate::rows::{nulls_of, numbers};
use crate::{FunctionContext, Typed};

/// Bits of one bitmap.
const BITS: i64 = 8 * 4096;

/// `bitmap_bit_position(n)`, `bitmap_bucket_number(n)`: numbers above zero begin with bit 0 of bucket 1.
pub fn position(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<1>(name, arguments)?;
    let value = argument(name, arguments, 0, &Expected::LONG, context)?;
    let nullable = value.nullable;
    let of: fn(i64) -> i64 = if name == "bitmap_bit_position" { bit_position } else { bucket_number };
    Ok(Kernel::new(name, DataType::Int64, nullable)
        .arrays(&[value], move |arrays, _| Ok(Arc::new(primitive::<Int64Type>(&arrays[0])?.unary::<_, Int64Type>(of)))))
}

fn bit_position(value: i64) -> i64 {
    if value > 0 { (value - 1) % BITS } else { value.wrapping_neg().wrapping_rem(BITS) }
}

fn bucket_number(value: i64) -> i64 {
    if value > 0 { 1 + (value - 1) / BITS } else { value / BITS }
}

/// `bitmap_count(bitmap)`: the number of bits set.
pub fn count(name: &str, arguments: &[Typed], _context: &FunctionContext) -> Result<Typed, SparkError> {
    let [value] = exactly::<1>(name, arguments)?;
    if value.data_type != DataType::Binary {
        return Err(unexpected_input(name, arguments, 0, "\"BINARY\""));
    }
    Ok(Kernel::new(name, DataType::Int64, value.nullable).arrays(arguments, |arrays, rows| {
        let bytes = binary(&arrays[0])?;
        let ones = |row| Ok(Some(bytes.value(row).iter().map(|b| i64::from(b.count_ones())).sum()));
        Ok(Arc::new(numbers::<Int64Type>(rows, nulls_of(arrays), ones)?))
    }))
}
