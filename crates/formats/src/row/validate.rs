//! Spark's check of the first row it loads from a store, which notices most changes of a state's schema.

use arrow::datatypes::DataType;

use super::{RowError, fixed_part_width, fixed_width, null_bit, null_bits_width, reserves_16_bytes};

/// Checks that `row` has the layout of fields of these types: long enough, null bits only for fields there are, unused bytes
/// of narrow fields and slots of null fields zero, variable-length parts inside.
///
/// # Errors
/// What is wrong first.
pub fn validate(types: &[DataType], row: &[u8]) -> Result<(), RowError> {
    let fields = types.len();
    if row.len() < fixed_part_width(fields) {
        return Err(RowError::Short { fields, length: row.len() });
    }
    if let Some(field) = (fields..null_bits_width(fields) * 8).find(|bit| null_bit(row, *bit)) {
        return Err(RowError::NotZero { field });
    }
    types.iter().enumerate().try_for_each(|(index, data_type)| validate_field(data_type, row, fields, index))
}

fn validate_field(data_type: &DataType, row: &[u8], fields: usize, field: usize) -> Result<(), RowError> {
    let slot = null_bits_width(fields) + field * 8;
    let word = row.get(slot..slot + 8).and_then(|slot| slot.try_into().ok()).map_or(0, u64::from_le_bytes);
    let null = null_bit(row, field);
    if let Some(width) = fixed_width(data_type) {
        let unused = if null { u64::MAX } else { u64::MAX.checked_shl(8 * width as u32).unwrap_or(0) };
        return if word & unused == 0 { Ok(()) } else { Err(RowError::NotZero { field }) };
    }
    if null && !reserves_16_bytes(data_type) {
        return if word == 0 { Ok(()) } else { Err(RowError::NotZero { field }) };
    }
    let (start, size) = ((word >> 32) as usize, word as u32 as usize);
    let inside = start >= fixed_part_width(fields) && start.checked_add(size).is_some_and(|end| end <= row.len());
    if inside { Ok(()) } else { Err(RowError::OutOfBounds { field }) }
}
