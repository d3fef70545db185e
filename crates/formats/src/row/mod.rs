//! Spark's `UnsafeRow`: the bytes of a row at rest, as state files hold them and keys are compared.
//!
//! ```text
//! null bits (8 bytes per 64 fields) │ one 8-byte slot per field │ variable-length parts in field order, padded to 8
//! ```
//!
//! All little endian. Values up to 8 bytes lie in the slot, others behind, and the slot holds `offset << 32 | size`, the
//! offset counted from the start of the row. Rows are always a multiple of 8 bytes long and unused bytes are zero, so that
//! equal values are equal bytes.
//!
//! [`RowEncoder`] turns columns into rows and [`RowDecoder`] rows into columns, a column at a time; [`slot`] reads and
//! updates fixed-width fields where they lie. Bytes that are no row give a [`RowError`], never a panic.

mod array;
mod blob;
mod buffer;
mod decode;
mod encode;
mod error;
mod prefix;
pub mod slot;
mod validate;

pub use buffer::RowBuffer;
pub use decode::RowDecoder;
pub use encode::RowEncoder;
pub use error::RowError;
pub use prefix::KeyPrefix;
pub use validate::validate;

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

/// Largest precision of a decimal that fits a slot.
const SMALL_DECIMAL_PRECISION_MAX: u8 = 18;

/// Whether a decimal of this precision is held as its unscaled value in the slot.
pub fn is_small_decimal(precision: u8) -> bool {
    precision <= SMALL_DECIMAL_PRECISION_MAX
}

/// An unscaled value as Java's `BigInteger.toByteArray`: the shortest big-endian two's complement, at the front of the
/// array, and its length.
pub fn decimal_bytes(value: i128) -> ([u8; 16], usize) {
    // Leading bytes that only repeat the sign carry nothing; one bit of sign must stay.
    let magnitude = if value < 0 { !value } else { value };
    let length = (128 - magnitude.leading_zeros() as usize) / 8 + 1;
    let mut bytes = [0; 16];
    let shifted = value << (8 * (16 - length));
    bytes.copy_from_slice(&shifted.to_be_bytes());
    (bytes, length)
}

/// Bytes of a value that fits a slot, or `None` for types with a variable-length part. Elements of arrays are packed at
/// this width.
pub(crate) fn fixed_width(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::Boolean | DataType::Int8 => Some(1),
        DataType::Int16 => Some(2),
        DataType::Int32 | DataType::Date32 | DataType::Float32 => Some(4),
        DataType::Interval(IntervalUnit::YearMonth) => Some(4),
        DataType::Int64 | DataType::Float64 | DataType::Null => Some(8),
        DataType::Timestamp(TimeUnit::Microsecond, _)
        | DataType::Duration(TimeUnit::Microsecond)
        | DataType::Time64(TimeUnit::Nanosecond) => Some(8),
        DataType::Decimal128(precision, _) if is_small_decimal(*precision) => Some(8),
        _ => None,
    }
}

/// Types whose 16 bytes are reserved in a row even where the value is null, so that they can be updated in place.
pub(crate) fn reserves_16_bytes(data_type: &DataType) -> bool {
    match data_type {
        DataType::Decimal128(precision, _) => !is_small_decimal(*precision),
        DataType::Interval(IntervalUnit::MonthDayNano) => true,
        _ => false,
    }
}

/// Bytes of the null bits of `fields` fields (or elements).
pub(crate) const fn null_bits_width(fields: usize) -> usize {
    fields.div_ceil(64) * 8
}

/// Bytes of the null bits and slots of a row of `fields` fields; the variable-length part begins there.
pub const fn fixed_part_width(fields: usize) -> usize {
    null_bits_width(fields) + fields * 8
}

/// `length` rounded up to whole words.
pub(crate) const fn padded(length: usize) -> usize {
    length.next_multiple_of(8)
}

/// Sets null bit `index` in the bits at the start of `bits`.
pub(crate) fn set_null_bit(bits: &mut [u8], index: usize) {
    // Bit i of little-endian words is bit i % 8 of byte i / 8.
    if let Some(byte) = bits.get_mut(index / 8) {
        *byte |= 1 << (index % 8);
    }
}

/// Null bit `index` in the bits at the start of `bits`.
pub(crate) fn null_bit(bits: &[u8], index: usize) -> bool {
    bits.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

#[cfg(test)]
mod tests;
