//! Hashes of whole columns: one pass per column, the type looked at once.

use std::ops::Range;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Decimal128Array, GenericByteArray, ListArray, MapArray,
    PrimitiveArray, StructArray,
};
use arrow::datatypes::{
    ByteArrayType, DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType,
    Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
};

use super::RowHash;
use crate::condition::SparkError;
use crate::row::{decimal_bytes, is_small_decimal};
use crate::types::{is_variant, sql_name};

/// Mixes one column after the other into the hashes of the rows, one hash per row.
///
/// # Errors
/// If a column's type has no hash, or a column is shorter than `hashes`.
pub fn hash_columns<H: RowHash>(columns: &[ArrayRef], hashes: &mut [H::Hash]) -> Result<(), SparkError> {
    columns.iter().try_for_each(|column| hash_column::<H>(column, hashes))
}

/// Mixes one column into the hashes of the rows.
///
/// # Errors
/// If the column's type has no hash, or the column is shorter than `hashes`.
pub fn hash_column<H: RowHash>(column: &dyn Array, hashes: &mut [H::Hash]) -> Result<(), SparkError> {
    if column.len() < hashes.len() {
        return Err(SparkError::internal("a column is shorter than the rows to hash"));
    }
    match column.data_type() {
        DataType::Null => {}
        DataType::Boolean => booleans::<H>(column.as_boolean(), hashes),
        DataType::Int8 => primitives::<H, Int8Type>(column, hashes, |v, h| H::int(i32::from(v), h)),
        DataType::Int16 => primitives::<H, Int16Type>(column, hashes, |v, h| H::int(i32::from(v), h)),
        DataType::Int32 => primitives::<H, Int32Type>(column, hashes, H::int),
        DataType::Date32 => primitives::<H, Date32Type>(column, hashes, H::int),
        DataType::Interval(IntervalUnit::YearMonth) => primitives::<H, IntervalYearMonthType>(column, hashes, H::int),
        DataType::Int64 => primitives::<H, Int64Type>(column, hashes, H::long),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            primitives::<H, TimestampMicrosecondType>(column, hashes, H::long);
        }
        DataType::Duration(TimeUnit::Microsecond) => primitives::<H, DurationMicrosecondType>(column, hashes, H::long),
        DataType::Time64(TimeUnit::Nanosecond) => primitives::<H, Time64NanosecondType>(column, hashes, H::long),
        DataType::Float32 => primitives::<H, Float32Type>(column, hashes, |v, h| H::int(float_bits(v), h)),
        DataType::Float64 => primitives::<H, Float64Type>(column, hashes, |v, h| H::long(double_bits(v), h)),
        DataType::Decimal128(precision, _) => decimals::<H>(column.as_primitive(), *precision, hashes),
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            primitives::<H, IntervalMonthDayNanoType>(column, hashes, |v, h| {
                H::int(v.months, H::int(v.days, H::long(v.nanoseconds / 1000, h)))
            });
        }
        DataType::Utf8 => byte_strings::<H, _>(column.as_string::<i32>(), hashes),
        DataType::Binary => byte_strings::<H, _>(column.as_binary::<i32>(), hashes),
        DataType::Struct(fields) if !is_variant(fields) => structs::<H>(column.as_struct(), hashes)?,
        DataType::List(_) => lists::<H>(column.as_list(), hashes)?,
        DataType::Map(..) => maps::<H>(column.as_map(), hashes)?,
        other => return Err(SparkError::unsupported(format!("A hash of the type {}", sql_name(other)))),
    }
    Ok(())
}

/// The bits Spark hashes: one zero, one NaN.
fn float_bits(value: f32) -> i32 {
    let canonical = if value == 0.0 {
        0.0
    } else if value.is_nan() {
        f32::from_bits(0x7fc0_0000)
    } else {
        value
    };
    canonical.to_bits() as i32
}

/// The bits Spark hashes: one zero, one NaN.
fn double_bits(value: f64) -> i64 {
    let canonical = if value == 0.0 {
        0.0
    } else if value.is_nan() {
        f64::from_bits(0x7ff8_0000_0000_0000)
    } else {
        value
    };
    canonical.to_bits() as i64
}

fn primitives<H: RowHash, T: ArrowPrimitiveType>(
    column: &dyn Array,
    hashes: &mut [H::Hash],
    mix: impl Fn(T::Native, H::Hash) -> H::Hash,
) {
    let column: &PrimitiveArray<T> = column.as_primitive();
    let values = hashes.iter_mut().zip(column.values().iter());
    match column.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => values.for_each(|(hash, value)| *hash = mix(*value, *hash)),
        Some(nulls) => values.zip(nulls.iter()).for_each(|((hash, value), valid)| {
            if valid {
                *hash = mix(*value, *hash);
            }
        }),
    }
}

fn booleans<H: RowHash>(column: &BooleanArray, hashes: &mut [H::Hash]) {
    for (hash, value) in hashes.iter_mut().zip(column.iter()) {
        if let Some(value) = value {
            *hash = H::int(i32::from(value), *hash);
        }
    }
}

fn decimals<H: RowHash>(column: &Decimal128Array, precision: u8, hashes: &mut [H::Hash]) {
    let small = is_small_decimal(precision);
    primitives::<H, Decimal128Type>(column, hashes, |value, hash| {
        if small {
            return H::long(value as i64, hash);
        }
        let (bytes, length) = decimal_bytes(value);
        H::bytes(bytes.get(..length).unwrap_or_default(), hash)
    });
}

fn byte_strings<H: RowHash, T: ByteArrayType>(column: &GenericByteArray<T>, hashes: &mut [H::Hash]) {
    for (hash, value) in hashes.iter_mut().zip(column.iter()) {
        if let Some(value) = value {
            *hash = H::bytes(value.as_ref(), *hash);
        }
    }
}

fn structs<H: RowHash>(column: &StructArray, hashes: &mut [H::Hash]) -> Result<(), SparkError> {
    let Some(nulls) = column.nulls().filter(|nulls| nulls.null_count() > 0) else {
        return hash_columns::<H>(column.columns(), hashes);
    };
    let before = hashes.to_vec();
    hash_columns::<H>(column.columns(), hashes)?;
    for ((hash, before), valid) in hashes.iter_mut().zip(before).zip(nulls.iter()) {
        if !valid {
            *hash = before;
        }
    }
    Ok(())
}

/// The elements of a list seed each other, so they are mixed in one at a time.
fn lists<H: RowHash>(column: &ListArray, hashes: &mut [H::Hash]) -> Result<(), SparkError> {
    let elements = column.values();
    for (row, (hash, ends)) in hashes.iter_mut().zip(column.value_offsets().windows(2)).enumerate() {
        if let [start, end] = *ends
            && column.is_valid(row)
        {
            list::<H>(elements, start as usize..end as usize, hash)?;
        }
    }
    Ok(())
}

/// The entries of a map in the order in which they lie: each key, then its value.
fn maps<H: RowHash>(column: &MapArray, hashes: &mut [H::Hash]) -> Result<(), SparkError> {
    for (row, (hash, ends)) in hashes.iter_mut().zip(column.value_offsets().windows(2)).enumerate() {
        if let [start, end] = *ends
            && column.is_valid(row)
        {
            for entry in start as usize..end as usize {
                list::<H>(column.keys(), entry..entry + 1, hash)?;
                list::<H>(column.values(), entry..entry + 1, hash)?;
            }
        }
    }
    Ok(())
}

fn list<H: RowHash>(elements: &ArrayRef, range: Range<usize>, hash: &mut H::Hash) -> Result<(), SparkError> {
    for element in range {
        hash_column::<H>(&elements.slice(element, 1), std::slice::from_mut(hash))?;
    }
    Ok(())
}
