//! Columns to rows.
//!
//! Two passes per column, the type looked at once: the first adds the length of each value's variable part to its row, the
//! second writes slots and parts. Nested values are encoded once, into a buffer of their own ([`super::blob`]), and copied.

use std::ops::Range;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;

use super::blob::{Blobs, Fixed};
use super::{RowBuffer, fixed_part_width, fixed_width, null_bits_width, padded, reserves_16_bytes, set_null_bit};
use crate::condition::SparkError;
use crate::types::{key_and_value, sql_name};

/// Turns rows of columns of fixed types into `UnsafeRow` bytes.
#[derive(Debug, Clone)]
pub struct RowEncoder {
    types: Vec<DataType>,
    canonical: bool,
}

impl RowEncoder {
    /// An encoder for keys: -0.0 becomes 0.0 and every NaN the same, also inside structs and arrays, so that equal keys are
    /// equal bytes.
    ///
    /// # Errors
    /// If a type has no row form.
    pub fn for_keys(types: &[DataType]) -> Result<Self, SparkError> {
        types.iter().try_for_each(check_type)?;
        Ok(Self { types: types.to_vec(), canonical: true })
    }

    /// An encoder that keeps every value bit for bit.
    ///
    /// # Errors
    /// If a type has no row form.
    pub fn for_values(types: &[DataType]) -> Result<Self, SparkError> {
        types.iter().try_for_each(check_type)?;
        Ok(Self { types: types.to_vec(), canonical: false })
    }

    /// The types of the fields.
    pub fn types(&self) -> &[DataType] {
        &self.types
    }

    /// Appends the rows in `rows` of the columns to `out`.
    ///
    /// # Errors
    /// If number, types or lengths of the columns are not those this encoder is for.
    pub fn encode(&self, columns: &[ArrayRef], rows: Range<usize>, out: &mut RowBuffer) -> Result<(), SparkError> {
        let fits = |(column, data_type): (&ArrayRef, &DataType)| {
            column.data_type().equals_datatype(data_type) && column.len() >= rows.end
        };
        if columns.len() != self.types.len() || !columns.iter().zip(&self.types).all(fits) {
            let found: Vec<String> = columns.iter().map(|column| sql_name(column.data_type())).collect();
            let wanted: Vec<String> = self.types.iter().map(sql_name).collect();
            return Err(SparkError::internal(format!(
                "rows of ({}) were wanted where the columns are ({})",
                wanted.join(", "),
                found.join(", ")
            )));
        }
        encode_rows(columns, rows, self.canonical, out)
    }
}

fn check_type(data_type: &DataType) -> Result<(), SparkError> {
    match data_type {
        DataType::Utf8 | DataType::Binary => Ok(()),
        DataType::Struct(fields) => fields.iter().try_for_each(|field| check_type(field.data_type())),
        DataType::List(element) => check_type(element.data_type()),
        DataType::Map(entries, _) => match key_and_value(entries) {
            Some((key, value)) => check_type(key.data_type()).and_then(|()| check_type(value.data_type())),
            None => Err(SparkError::internal("a map without keys and values")),
        },
        other if fixed_width(other).is_some() || reserves_16_bytes(other) => Ok(()),
        other => Err(SparkError::unsupported(format!("The type {} in a row at rest", sql_name(other)))),
    }
}

/// One field of the rows to write.
enum Field<'a> {
    /// A void column: null in every row.
    Void,
    Fixed(Fixed<'a>),
    /// Variable-length values; with `reserved`, 16 bytes each.
    Blobs {
        blobs: Blobs<'a>,
        reserved: bool,
    },
}

/// Appends rows of columns whose types and lengths have been checked.
pub(crate) fn encode_rows(
    columns: &[ArrayRef],
    rows: Range<usize>,
    canonical: bool,
    out: &mut RowBuffer,
) -> Result<(), SparkError> {
    let fields: Vec<Field> = columns.iter().map(|c| bind(c, &rows, canonical)).collect::<Result<_, _>>()?;
    let first = out.ends.len();
    let base = out.bytes.len();
    let fixed_part = fixed_part_width(columns.len());

    // 1. The length of each row; `ends` holds lengths until they are summed.
    out.ends.resize(first + rows.len(), fixed_part);
    for field in &fields {
        if let Field::Blobs { blobs, reserved } = field {
            let ends = out.ends.iter_mut().skip(first);
            if *reserved {
                ends.for_each(|end| *end += 16);
            } else {
                blobs.lengths(rows.clone(), ends);
            }
        }
    }

    // 2. Where each row starts and its variable-length part begins.
    out.cursors.clear();
    let mut end = base;
    for length in out.ends.iter_mut().skip(first) {
        out.cursors.push(end + fixed_part);
        end += *length;
        *length = end;
    }
    if i32::try_from(end - base).is_err() {
        check_row_lengths(out, first)?;
    }
    out.bytes.resize(end, 0);

    // 3. Slots and parts, field by field.
    let slots = null_bits_width(columns.len());
    for (index, field) in fields.iter().enumerate() {
        write_field(field, index, slots + index * 8, first, &rows, out);
    }
    Ok(())
}

/// Offsets and sizes in a row have 31 bits; many rows together may be longer.
fn check_row_lengths(out: &RowBuffer, first: usize) -> Result<(), SparkError> {
    let too_long = |index: usize| out.ends.get(index).is_some_and(|end| end - out.start(index) > i32::MAX as usize);
    if (first..out.ends.len()).any(too_long) {
        return Err(SparkError::unsupported("A row of more than 2 GiB"));
    }
    Ok(())
}

fn bind<'a>(column: &'a ArrayRef, rows: &Range<usize>, canonical: bool) -> Result<Field<'a>, SparkError> {
    let data_type = column.data_type();
    if data_type == &DataType::Null {
        return Ok(Field::Void);
    }
    if let Some(fixed) = Fixed::bind(column.as_ref(), canonical) {
        return Ok(Field::Fixed(fixed));
    }
    let reserved = reserves_16_bytes(data_type);
    Ok(Field::Blobs { blobs: Blobs::bind(column.as_ref(), rows, canonical)?, reserved })
}

/// Writes one field of every new row. Rows lie where step 2 put them, so the ranges below are inside the buffer.
fn write_field(field: &Field, index: usize, slot: usize, first: usize, rows: &Range<usize>, out: &mut RowBuffer) {
    let RowBuffer { bytes, ends, cursors } = out;
    let start = |n: usize| if first + n == 0 { 0 } else { ends[first + n - 1] };
    match field {
        Field::Void => (0..rows.len()).for_each(|n| set_null_bit(&mut bytes[start(n)..], index)),
        Field::Fixed(fixed) => fixed.for_each(rows.clone(), |n, value| match value {
            Some(value) => put_slot(bytes, start(n) + slot, value),
            None => set_null_bit(&mut bytes[start(n)..], index),
        }),
        Field::Blobs { blobs, reserved } => {
            for (n, (row, cursor)) in rows.clone().zip(cursors.iter_mut()).enumerate() {
                let mut scratch = [0; 16];
                let value = blobs.value(row, &mut scratch);
                let size = value.map_or(0, <[u8]>::len);
                if value.is_none() {
                    set_null_bit(&mut bytes[start(n)..], index);
                }
                if value.is_some() || *reserved {
                    let at = (((*cursor - start(n)) as u64) << 32) | blobs.slot_size(size) as u64;
                    put_slot(bytes, start(n) + slot, at);
                }
                if let Some(value) = value {
                    bytes[*cursor..*cursor + size].copy_from_slice(value);
                }
                *cursor += if *reserved { 16 } else { padded(size) };
            }
        }
    }
}

fn put_slot(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}
