//! The first fields of a key as a row of their own, without decoding: session windows and other prefix scans group the keys
//! of a store by them.

use arrow::datatypes::DataType;

use super::{fixed_part_width, fixed_width, null_bit, null_bits_width, padded, reserves_16_bytes, set_null_bit};

/// Cuts the first `prefix` fields out of rows of `types`.
#[derive(Debug, Clone)]
pub struct KeyPrefix {
    types: Vec<DataType>,
    prefix: usize,
}

impl KeyPrefix {
    /// The first `prefix` of the fields; at most all of them.
    pub fn new(types: &[DataType], prefix: usize) -> Self {
        Self { types: types.to_vec(), prefix: prefix.min(types.len()) }
    }

    /// Replaces the contents of `out` by the row of the first fields of `row`: the very bytes an encoder makes of them.
    /// Returns false, with `out` undefined, if the row is malformed.
    pub fn cut(&self, row: &[u8], out: &mut Vec<u8>) -> bool {
        self.try_cut(row, out).is_some()
    }

    fn try_cut(&self, row: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let (slots_in, slots_out) = (null_bits_width(self.types.len()), null_bits_width(self.prefix));
        out.clear();
        out.resize(fixed_part_width(self.prefix), 0);
        for (index, data_type) in self.types.iter().take(self.prefix).enumerate() {
            let null = null_bit(row, index);
            if null {
                set_null_bit(out, index);
            }
            let word = row.get(slots_in + index * 8..slots_in + index * 8 + 8)?;
            let slot = slots_out + index * 8..slots_out + index * 8 + 8;
            let reserved = reserves_16_bytes(data_type);
            if fixed_width(data_type).is_some() || (null && !reserved) {
                out.get_mut(slot)?.copy_from_slice(word);
                continue;
            }
            let at = u64::from_le_bytes(word.try_into().ok()?);
            let (start, size) = ((at >> 32) as usize, at as u32 as usize);
            let to = ((out.len() as u64) << 32) | size as u64;
            out.get_mut(slot)?.copy_from_slice(&to.to_le_bytes());
            let length = if reserved { 16 } else { padded(size) };
            out.extend_from_slice(row.get(start..start.checked_add(length)?)?);
        }
        Some(())
    }

    /// Whether the first fields of `row` are those of `prefix`, a row that [`KeyPrefix::cut`] or an encoder made.
    pub fn begins(&self, row: &[u8], prefix: &[u8]) -> bool {
        self.types.iter().take(self.prefix).enumerate().all(|(index, data_type)| {
            let null = null_bit(row, index);
            if null != null_bit(prefix, index) {
                return false;
            }
            let ours = field_bytes(data_type, row, self.types.len(), index);
            null || (ours.is_some() && ours == field_bytes(data_type, prefix, self.prefix, index))
        })
    }
}

/// The bytes of a value that is not null.
fn field_bytes<'a>(data_type: &DataType, row: &'a [u8], fields: usize, index: usize) -> Option<&'a [u8]> {
    if fixed_width(data_type).is_none() {
        return super::slot::get_bytes(row, fields, index);
    }
    let slot = null_bits_width(fields) + index * 8;
    row.get(slot..slot + 8)
}
