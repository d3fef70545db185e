//! Spark's row hashes over Arrow columns: Murmur3 (`hash`, state partitions) and XXH64 (`xxhash64`).
//!
//! Each column's hash seeds the next one's; a null leaves the hash as it is. Both are bit for bit Spark's, including its
//! own way with the last bytes of a string in Murmur3. A map's
//! hash depends on the order of its entries, so `hash()` refuses maps as Spark does and grouping keys sort them first; variants
//! have no hash.

mod columns;
mod murmur3;

pub use columns::{hash_column, hash_columns};
pub use murmur3::Murmur3;

use arrow::array::ArrayRef;
use xxhash_rust::xxh64::xxh64;

use crate::condition::SparkError;

/// Seed of `hash`, `xxhash64` and of the placement of rows in partitions.
pub const SEED: i32 = 42;

/// A hash that is made value by value, each hash seeding the next.
pub trait RowHash {
    /// The running hash.
    type Hash: Copy;
    /// Mixes in a boolean, byte, short, int, date, float or year-month interval.
    fn int(value: i32, seed: Self::Hash) -> Self::Hash;
    /// Mixes in a long, double, timestamp, small decimal or day-time interval.
    fn long(value: i64, seed: Self::Hash) -> Self::Hash;
    /// Mixes in a string, binary or large decimal.
    fn bytes(value: &[u8], seed: Self::Hash) -> Self::Hash;
}

/// XXH64, Spark's `xxhash64`.
#[derive(Debug)]
pub struct XxHash64;

impl RowHash for XxHash64 {
    type Hash = i64;

    fn int(value: i32, seed: i64) -> i64 {
        xxh64(&value.to_le_bytes(), seed as u64) as i64
    }

    fn long(value: i64, seed: i64) -> i64 {
        xxh64(&value.to_le_bytes(), seed as u64) as i64
    }

    fn bytes(value: &[u8], seed: i64) -> i64 {
        xxh64(value, seed as u64) as i64
    }
}

/// Spark's `hash` of each row.
///
/// # Errors
/// If a column's type has no hash.
pub fn murmur3(columns: &[ArrayRef], rows: usize, seed: i32) -> Result<Vec<i32>, SparkError> {
    let mut hashes = vec![seed; rows];
    hash_columns::<Murmur3>(columns, &mut hashes)?;
    Ok(hashes)
}

/// Spark's `xxhash64` of each row.
///
/// # Errors
/// If a column's type has no hash.
pub fn xxhash64(columns: &[ArrayRef], rows: usize, seed: i64) -> Result<Vec<i64>, SparkError> {
    let mut hashes = vec![seed; rows];
    hash_columns::<XxHash64>(columns, &mut hashes)?;
    Ok(hashes)
}

/// The partition of `partitions` (at least one) in which Spark places a row with this Murmur3 hash.
pub fn partition_of(hash: i32, partitions: usize) -> usize {
    let count = i64::try_from(partitions.max(1)).unwrap_or(i64::MAX);
    i64::from(hash).rem_euclid(count) as usize
}

/// The partition of each row by its key columns, appended to `ids`; `scratch` is working space kept between calls.
///
/// # Errors
/// If a column's type has no hash.
pub fn partition_ids(
    keys: &[ArrayRef],
    rows: usize,
    partitions: usize,
    scratch: &mut Vec<i32>,
    ids: &mut Vec<u32>,
) -> Result<(), SparkError> {
    if partitions <= 1 {
        ids.resize(ids.len() + rows, 0);
        return Ok(());
    }
    scratch.clear();
    scratch.resize(rows, SEED);
    hash_columns::<Murmur3>(keys, scratch)?;
    ids.extend(scratch.iter().map(|hash| partition_of(*hash, partitions) as u32));
    Ok(())
}

#[cfg(test)]
mod tests;
