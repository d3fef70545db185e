//! The order in which Spark gives out the elements of a set: that of a hash table of Scala.
//!
//! Strings, integers, floating numbers, booleans and times come in Spark's order. Not here: values of other types, whose hash
//! is that of their Java object; they stay in the order in which they came.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::Result;
use millstream_formats::hash::murmur3;

use crate::kernel::into_datafusion;

/// Seed of the hash of a string.
const STRING_SEED: i32 = 42;
/// Buckets of an empty set.
const BUCKETS_MIN: usize = 16;

/// The elements of sets, which lie one after the other with so many each, in Spark's order.
///
/// # Errors
/// If the lengths do not fit the elements.
pub fn in_set_order(elements: ArrayRef, lengths: &[usize]) -> Result<ArrayRef> {
    let Some(hashes) = hashes(&elements)? else { return Ok(elements) };
    let mut order: Vec<u32> = (0..elements.len() as u32).collect();
    let mut rest = order.as_mut_slice();
    for length in lengths {
        let (set, behind) = rest.split_at_mut((*length).min(rest.len()));
        let mask = buckets(set.len()) as u32 - 1;
        // Spread as Scala spreads it; elements of one bucket are ordered by their hash.
        let place = |element: &u32| {
            let hash = hashes.get(*element as usize).copied().unwrap_or_default() as u32;
            let spread = hash ^ (hash >> 16);
            (spread & mask, spread as i32)
        };
        set.sort_by_key(place);
        rest = behind;
    }
    Ok(take(&elements, &UInt32Array::from(order), None)?)
}

/// Buckets of a set of so many elements: it doubles before it is three quarters full.
fn buckets(elements: usize) -> usize {
    let mut buckets = BUCKETS_MIN;
    while elements >= buckets / 4 * 3 {
        buckets *= 2;
    }
    buckets
}

/// Scala's hashes of the values (`##`), where they are known.
fn hashes(values: &ArrayRef) -> Result<Option<Vec<i32>>> {
    let whole = |values: &ArrayRef| -> Result<Vec<i32>> {
        let wide = cast(values, &DataType::Int64)?;
        Ok(wide.as_primitive::<Int64Type>().values().iter().map(|v| of_long(*v)).collect())
    };
    Ok(Some(match values.data_type() {
        DataType::Utf8 => murmur3(&[Arc::clone(values)], values.len(), STRING_SEED).map_err(into_datafusion)?,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => whole(values)?,
        DataType::Date32 => whole(&cast(values, &DataType::Int32)?)?,
        DataType::Timestamp(..) => whole(values)?,
        DataType::Float32 | DataType::Float64 => {
            let wide = cast(values, &DataType::Float64)?;
            wide.as_primitive::<Float64Type>().values().iter().map(|v| of_double(*v)).collect()
        }
        DataType::Boolean => values.as_boolean().values().iter().map(|v| if v { 1231 } else { 1237 }).collect(),
        _ => return Ok(None),
    }))
}

fn of_long(value: i64) -> i32 {
    i32::try_from(value).unwrap_or((value ^ ((value as u64) >> 32) as i64) as i32)
}

/// Whole floating numbers have the hash of the integer they are equal to.
fn of_double(value: f64) -> i32 {
    if f64::from(value as i32) == value {
        return value as i32;
    }
    if (value as i64) as f64 == value {
        return of_long(value as i64);
    }
    // A double that is a float exactly has the float's hash.
    let short = value as f32;
    if f64::from(short) == value {
        return if short.is_nan() { 0x7fc0_0000 } else { short.to_bits() as i32 };
    }
    let bits = if value.is_nan() { 0x7ff8_0000_0000_0000 } else { value.to_bits() };
    (bits ^ (bits >> 32)) as i32
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, StringArray};

    use super::*;

    /// As Spark 4.2 shows `collect_set` of these.
    #[test]
    fn a_set_comes_in_the_order_of_sparks_hash_table() {
        let words = StringArray::from(vec!["b", "a", "日本 naïve", "", "c", "a"]);
        let ordered = in_set_order(Arc::new(words), &[4, 2]).unwrap();
        let shown: Vec<&str> = ordered.as_string::<i32>().iter().flatten().collect();
        assert_eq!(shown, ["日本 naïve", "", "a", "b", "a", "c"]);
        let numbers: Int32Array = (0..30).rev().collect();
        let ordered = in_set_order(Arc::new(numbers), &[30]).unwrap();
        assert_eq!(*ordered, *(Arc::new((0..30).collect::<Int32Array>()) as ArrayRef));
    }
}
