//! Arrays and maps inside rows.
//!
//! ```text
//! array: element count (int64) │ null bits │ elements at their natural width, padded to 8 │ variable-length part
//! map:   bytes of the key array (int64) │ key array │ value array
//! ```
//!
//! Elements of variable length have 8-byte slots as in a row, offsets counted from the start of the array.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, MapArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;

use super::blob::{Blobs, Fixed};
use super::{RowBuffer, fixed_width, null_bits_width, padded, set_null_bit};
use crate::condition::SparkError;

/// The elements of all arrays of a column.
enum Elements<'a> {
    Void,
    Fixed { fixed: Fixed<'a>, width: usize },
    Blobs(Blobs<'a>),
}

/// Appends one array per row; nothing for null rows.
pub(crate) fn encode_arrays(
    offsets: &[i32],
    nulls: Option<&NullBuffer>,
    values: &ArrayRef,
    rows: &Range<usize>,
    canonical: bool,
    out: &mut RowBuffer,
) -> Result<(), SparkError> {
    let bounds = offsets.get(rows.start..=rows.end).unwrap_or_default();
    let all = bounds.first().copied().unwrap_or(0) as usize..bounds.last().copied().unwrap_or(0) as usize;
    let elements = match (values.data_type(), fixed_width(values.data_type())) {
        (DataType::Null, _) => Elements::Void,
        (_, Some(width)) => match Fixed::bind(values.as_ref(), canonical) {
            Some(fixed) => Elements::Fixed { fixed, width },
            None => return Err(SparkError::internal("an array of a type of no known width")),
        },
        (_, None) => Elements::Blobs(Blobs::bind(values.as_ref(), &all, canonical)?),
    };
    for (row, pair) in rows.clone().zip(bounds.windows(2)) {
        if let [start, end] = *pair
            && nulls.is_none_or(|nulls| nulls.is_valid(row))
        {
            encode_array(&elements, start as usize..end as usize, &mut out.bytes);
        }
        out.ends.push(out.bytes.len());
    }
    Ok(())
}

fn encode_array(elements: &Elements, range: Range<usize>, bytes: &mut Vec<u8>) {
    let (start, count) = (bytes.len(), range.len());
    let body = start + 8 + null_bits_width(count);
    let width = match elements {
        Elements::Void => 8,
        Elements::Fixed { width, .. } => *width,
        Elements::Blobs(_) => 8,
    };
    bytes.extend_from_slice(&(count as u64).to_le_bytes());
    bytes.resize(body + padded(count * width), 0);
    match elements {
        Elements::Void => (0..count).for_each(|n| set_null_bit(&mut bytes[start + 8..], n)),
        Elements::Fixed { fixed, width } => fixed.for_each(range, |n, value| match value {
            Some(value) => {
                bytes[body + n * width..body + (n + 1) * width].copy_from_slice(&value.to_le_bytes()[..*width])
            }
            None => set_null_bit(&mut bytes[start + 8..], n),
        }),
        Elements::Blobs(blobs) => {
            let mut scratch = [0; 16];
            for (n, element) in range.enumerate() {
                let Some(value) = blobs.value(element, &mut scratch) else {
                    set_null_bit(&mut bytes[start + 8..], n);
                    continue;
                };
                let at = (((bytes.len() - start) as u64) << 32) | value.len() as u64;
                bytes[body + n * 8..body + (n + 1) * 8].copy_from_slice(&at.to_le_bytes());
                bytes.extend_from_slice(value);
                bytes.resize(start + padded(bytes.len() - start), 0);
            }
        }
    }
}

/// Appends one map per row; nothing for null rows.
pub(crate) fn encode_maps(
    maps: &MapArray,
    rows: &Range<usize>,
    canonical: bool,
    out: &mut RowBuffer,
) -> Result<(), SparkError> {
    let (mut keys, mut values) = (RowBuffer::new(), RowBuffer::new());
    encode_arrays(maps.value_offsets(), maps.nulls(), maps.keys(), rows, canonical, &mut keys)?;
    encode_arrays(maps.value_offsets(), maps.nulls(), maps.values(), rows, canonical, &mut values)?;
    for (n, row) in rows.clone().enumerate() {
        if maps.is_valid(row) {
            out.bytes.extend_from_slice(&(keys.row(n).len() as u64).to_le_bytes());
            out.bytes.extend_from_slice(keys.row(n));
            out.bytes.extend_from_slice(values.row(n));
        }
        out.ends.push(out.bytes.len());
    }
    Ok(())
}
