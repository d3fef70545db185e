//! Fixed-width fields read and written where they lie in a row, for state that is updated in place.
//!
//! `fields` is the number of fields of the row, `index` counts from 0. A row that is too short reads as null and is left
//! alone when written; rows of a store that were checked when it was loaded never are.

use super::{null_bit, null_bits_width};

/// Whether a field is null.
pub fn is_null(row: &[u8], index: usize) -> bool {
    null_bit(row, index)
}

/// Makes a field null; its slot becomes 0, as in every null field of at most 8 bytes.
pub fn set_null(row: &mut [u8], fields: usize, index: usize) {
    if put(row, fields, index, [0; 8]) {
        super::set_null_bit(row, index);
    }
}

/// A long, timestamp, small decimal (unscaled) or day-time interval.
pub fn get_i64(row: &[u8], fields: usize, index: usize) -> Option<i64> {
    get(row, fields, index).map(i64::from_le_bytes)
}

/// Writes a long, timestamp, small decimal (unscaled) or day-time interval.
pub fn set_i64(row: &mut [u8], fields: usize, index: usize, value: i64) {
    set(row, fields, index, value.to_le_bytes());
}

/// An int, date or year-month interval.
pub fn get_i32(row: &[u8], fields: usize, index: usize) -> Option<i32> {
    get(row, fields, index).map(|bytes| u64::from_le_bytes(bytes) as i32)
}

/// Writes an int, date or year-month interval.
pub fn set_i32(row: &mut [u8], fields: usize, index: usize, value: i32) {
    set(row, fields, index, u64::from(value as u32).to_le_bytes());
}

/// A double.
pub fn get_f64(row: &[u8], fields: usize, index: usize) -> Option<f64> {
    get(row, fields, index).map(f64::from_le_bytes)
}

/// Writes a double.
pub fn set_f64(row: &mut [u8], fields: usize, index: usize, value: f64) {
    set(row, fields, index, value.to_le_bytes());
}

/// A boolean.
pub fn get_bool(row: &[u8], fields: usize, index: usize) -> Option<bool> {
    get(row, fields, index).map(|bytes| bytes[0] != 0)
}

/// Writes a boolean.
pub fn set_bool(row: &mut [u8], fields: usize, index: usize, value: bool) {
    set(row, fields, index, u64::from(value).to_le_bytes());
}

/// The bytes of a string, binary or nested value; `None` if it is null or lies outside the row.
pub fn get_bytes(row: &[u8], fields: usize, index: usize) -> Option<&[u8]> {
    let word = get(row, fields, index).map(u64::from_le_bytes)?;
    let (start, size) = ((word >> 32) as usize, word as u32 as usize);
    row.get(start..start.checked_add(size)?)
}

fn get(row: &[u8], fields: usize, index: usize) -> Option<[u8; 8]> {
    if null_bit(row, index) {
        return None;
    }
    let slot = null_bits_width(fields) + index * 8;
    row.get(slot..slot + 8)?.try_into().ok()
}

fn set(row: &mut [u8], fields: usize, index: usize, bytes: [u8; 8]) {
    if put(row, fields, index, bytes)
        && let Some(byte) = row.get_mut(index / 8)
    {
        *byte &= !(1 << (index % 8));
    }
}

fn put(row: &mut [u8], fields: usize, index: usize, bytes: [u8; 8]) -> bool {
    let slot = null_bits_width(fields) + index * 8;
    row.get_mut(slot..slot + 8).map(|at| at.copy_from_slice(&bytes)).is_some()
}
