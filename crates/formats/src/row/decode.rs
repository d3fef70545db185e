//! Rows to columns.
//!
//! A column is gathered as one slice of bytes per value ("cell"), whether it lay in a row or in an array, and then built by
//! its type; nested columns gather their own cells from those. Every slice is checked against what holds it.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanBuilder, Decimal128Builder, ListArray, MapArray, NullArray,
    PrimitiveBuilder, StringBuilder, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Date32Type, DurationMicrosecondType, FieldRef, Fields, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType,
    Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
};
use arrow::error::ArrowError;

use super::{RowError, fixed_part_width, fixed_width, is_small_decimal, null_bit, null_bits_width};
use crate::condition::SparkError;
use crate::types::{is_variant, key_and_value};

/// The bytes of each value of a column, `None` where it is null.
type Cells<'a> = Vec<Option<&'a [u8]>>;

/// Turns `UnsafeRow` bytes into columns of fixed types.
#[derive(Debug, Clone)]
pub struct RowDecoder {
    types: Vec<DataType>,
}

impl RowDecoder {
    /// A decoder of rows with fields of these types.
    pub fn new(types: &[DataType]) -> Self {
        Self { types: types.to_vec() }
    }

    /// The types of the fields.
    pub fn types(&self) -> &[DataType] {
        &self.types
    }

    /// One column per field. Bytes behind the last value of a row are ignored.
    ///
    /// # Errors
    /// If a row is malformed, or holds a null inside a struct or array that allows none.
    pub fn decode<'a>(&self, rows: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>, SparkError> {
        let rows: Cells = rows.into_iter().map(Some).collect();
        let columns = self.types.iter().enumerate();
        columns.map(|(i, data_type)| decode_field(&rows, i, self.types.len(), data_type)).collect()
    }
}

/// Field `index` of rows of `fields` fields; a missing row has a null.
fn decode_field(rows: &Cells, index: usize, fields: usize, data_type: &DataType) -> Result<ArrayRef, SparkError> {
    let width = fixed_width(data_type);
    let mut cells = Cells::with_capacity(rows.len());
    for row in rows {
        cells.push(row.map_or(Ok(None), |row| field_cell(row, index, fields, width))?);
    }
    build(data_type, &cells)
}

fn field_cell(row: &[u8], index: usize, fields: usize, width: Option<usize>) -> Result<Option<&[u8]>, RowError> {
    if row.len() < fixed_part_width(fields) {
        return Err(RowError::Short { fields, length: row.len() });
    }
    if null_bit(row, index) {
        return Ok(None);
    }
    slot_cell(row, null_bits_width(fields) + index * 8, width).map(Some).ok_or(RowError::OutOfBounds { field: index })
}

/// The value at a slot: in it, or where it points within `whole`.
fn slot_cell(whole: &[u8], slot: usize, width: Option<usize>) -> Option<&[u8]> {
    if let Some(width) = width {
        return whole.get(slot..slot.checked_add(width)?);
    }
    let word = read_u64(whole, slot)?;
    let (start, size) = ((word >> 32) as usize, word as u32 as usize);
    whole.get(start..start.checked_add(size)?)
}

fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    let word = bytes.get(at..at.checked_add(8)?)?;
    word.try_into().ok().map(u64::from_le_bytes)
}

/// The column of these values.
fn build(data_type: &DataType, cells: &Cells) -> Result<ArrayRef, SparkError> {
    fn int<T: ArrowPrimitiveType, const N: usize>(
        data_type: &DataType,
        cells: &Cells,
        read: fn([u8; N]) -> T::Native,
    ) -> Result<ArrayRef, SparkError> {
        primitives::<T>(data_type, cells, |cell| cell.try_into().ok().map(read))
    }
    match data_type {
        DataType::Null => Ok(Arc::new(NullArray::new(cells.len()))),
        DataType::Boolean => booleans(cells),
        DataType::Int8 => int::<Int8Type, 1>(data_type, cells, i8::from_le_bytes),
        DataType::Int16 => int::<Int16Type, 2>(data_type, cells, i16::from_le_bytes),
        DataType::Int32 => int::<Int32Type, 4>(data_type, cells, i32::from_le_bytes),
        DataType::Date32 => int::<Date32Type, 4>(data_type, cells, i32::from_le_bytes),
        DataType::Interval(IntervalUnit::YearMonth) => {
            int::<IntervalYearMonthType, 4>(data_type, cells, i32::from_le_bytes)
        }
        DataType::Int64 => int::<Int64Type, 8>(data_type, cells, i64::from_le_bytes),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            int::<TimestampMicrosecondType, 8>(data_type, cells, i64::from_le_bytes)
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            int::<DurationMicrosecondType, 8>(data_type, cells, i64::from_le_bytes)
        }
        DataType::Time64(TimeUnit::Nanosecond) => int::<Time64NanosecondType, 8>(data_type, cells, i64::from_le_bytes),
        DataType::Float32 => int::<Float32Type, 4>(data_type, cells, f32::from_le_bytes),
        DataType::Float64 => int::<Float64Type, 8>(data_type, cells, f64::from_le_bytes),
        DataType::Decimal128(precision, scale) => decimals(data_type, cells, *precision, *scale),
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            primitives::<IntervalMonthDayNanoType>(data_type, cells, calendar_interval)
        }
        DataType::Utf8 => texts(data_type, cells),
        DataType::Binary => Ok(Arc::new(cells.iter().copied().collect::<BinaryArray>())),
        DataType::Struct(fields) if is_variant(fields) => variants(data_type, fields, cells),
        DataType::Struct(fields) => structs(fields, cells),
        DataType::List(element) => lists(data_type, element, cells),
        DataType::Map(entries, _) => maps(data_type, entries, cells),
        other => Err(RowError::value(other).into()),
    }
}

fn primitives<T: ArrowPrimitiveType>(
    data_type: &DataType,
    cells: &Cells,
    read: impl Fn(&[u8]) -> Option<T::Native>,
) -> Result<ArrayRef, SparkError> {
    let mut builder = PrimitiveBuilder::<T>::with_capacity(cells.len()).with_data_type(data_type.clone());
    for cell in cells {
        match cell {
            Some(cell) => builder.append_value(read(cell).ok_or_else(|| RowError::value(data_type))?),
            None => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn booleans(cells: &Cells) -> Result<ArrayRef, SparkError> {
    let mut builder = BooleanBuilder::with_capacity(cells.len());
    for cell in cells {
        builder.append_option(cell.map(|cell| cell.first().is_some_and(|byte| *byte != 0)));
    }
    Ok(Arc::new(builder.finish()))
}

fn decimals(data_type: &DataType, cells: &Cells, precision: u8, scale: i8) -> Result<ArrayRef, SparkError> {
    let small = is_small_decimal(precision);
    let mut builder = Decimal128Builder::with_capacity(cells.len());
    for cell in cells {
        let value = cell.map(|cell| {
            if small {
                return cell.try_into().ok().map(|bytes| i128::from(i64::from_le_bytes(bytes)));
            }
            big_endian(cell)
        });
        match value {
            None => builder.append_null(),
            Some(Some(value)) => builder.append_value(value),
            Some(None) => return Err(RowError::value(data_type).into()),
        }
    }
    Ok(Arc::new(builder.finish().with_precision_and_scale(precision, scale).map_err(malformed)?))
}

/// The shortest big-endian two's complement, extended by its sign.
fn big_endian(bytes: &[u8]) -> Option<i128> {
    let negative = bytes.first()? & 0x80 != 0;
    let mut whole = if negative { [0xff; 16] } else { [0; 16] };
    whole.get_mut(16usize.checked_sub(bytes.len())?..)?.copy_from_slice(bytes);
    Some(i128::from_be_bytes(whole))
}

fn calendar_interval(cell: &[u8]) -> Option<IntervalMonthDayNano> {
    let months = i32::from_le_bytes(cell.get(0..4)?.try_into().ok()?);
    let days = i32::from_le_bytes(cell.get(4..8)?.try_into().ok()?);
    let micros = i64::from_le_bytes(cell.get(8..16)?.try_into().ok()?);
    Some(IntervalMonthDayNano::new(months, days, micros.checked_mul(1000)?))
}

fn texts(data_type: &DataType, cells: &Cells) -> Result<ArrayRef, SparkError> {
    let bytes = cells.iter().flatten().map(|cell| cell.len()).sum();
    let mut builder = StringBuilder::with_capacity(cells.len(), bytes);
    for cell in cells {
        match cell {
            Some(cell) => builder.append_value(std::str::from_utf8(cell).map_err(|_| RowError::value(data_type))?),
            None => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn nulls_of(cells: &Cells) -> Option<NullBuffer> {
    cells.iter().any(Option::is_none).then(|| cells.iter().map(Option::is_some).collect())
}

fn structs(fields: &Fields, cells: &Cells) -> Result<ArrayRef, SparkError> {
    if fields.is_empty() {
        return Ok(Arc::new(StructArray::new_empty_fields(cells.len(), nulls_of(cells))));
    }
    let column = |(i, field): (usize, &FieldRef)| decode_field(cells, i, fields.len(), field.data_type());
    let columns = fields.iter().enumerate().map(column).collect::<Result<_, _>>()?;
    Ok(Arc::new(StructArray::try_new(fields.clone(), columns, nulls_of(cells)).map_err(malformed)?))
}

fn variants(data_type: &DataType, fields: &Fields, cells: &Cells) -> Result<ArrayRef, SparkError> {
    let (mut values, mut metadata) = (Vec::with_capacity(cells.len()), Vec::with_capacity(cells.len()));
    for cell in cells {
        let split = |cell: &'_ [u8]| {
            let (length, rest) = cell.split_first_chunk::<4>()?;
            let length = u32::from_le_bytes(*length) as usize;
            rest.split_at_checked(length).map(|(value, _)| (4..4 + value.len(), 4 + value.len()..cell.len()))
        };
        let ranges = cell.map(|cell| split(cell).ok_or_else(|| RowError::value(data_type))).transpose()?;
        let (value, rest) = ranges.unwrap_or_default();
        values.push(cell.and_then(|cell| cell.get(value)).unwrap_or_default());
        metadata.push(cell.and_then(|cell| cell.get(rest)).unwrap_or_default());
    }
    let columns: Vec<ArrayRef> =
        vec![Arc::new(BinaryArray::from_vec(values)), Arc::new(BinaryArray::from_vec(metadata))];
    Ok(Arc::new(StructArray::try_new(fields.clone(), columns, nulls_of(cells)).map_err(malformed)?))
}

/// Appends the elements of one array to `elements` and returns their number.
fn array_cells<'a>(array: &'a [u8], width: Option<usize>, elements: &mut Cells<'a>) -> Option<usize> {
    let count = usize::try_from(read_u64(array, 0)?).ok()?;
    // The null bits alone bound the count by the bytes at hand, before anything is reserved for it.
    let bits = array.get(8..8usize.checked_add(null_bits_width(count.min(array.len() * 64)))?)?;
    let body = 8 + bits.len();
    for n in 0..count {
        if null_bit(bits, n) {
            elements.push(None);
        } else {
            let slot = body.checked_add(n.checked_mul(width.unwrap_or(8))?)?;
            elements.push(Some(slot_cell(array, slot, width)?));
        }
    }
    Some(count)
}

/// The elements of all arrays, and where each array begins.
fn gather<'a>(
    data_type: &DataType,
    element: &DataType,
    arrays: &Cells<'a>,
) -> Result<(Cells<'a>, OffsetBuffer<i32>), SparkError> {
    let (mut elements, mut lengths) = (Cells::new(), Vec::with_capacity(arrays.len()));
    for array in arrays {
        let count = array.map_or(Some(0), |array| array_cells(array, fixed_width(element), &mut elements));
        lengths.push(count.ok_or_else(|| RowError::value(data_type))?);
    }
    if i32::try_from(elements.len()).is_err() {
        return Err(SparkError::unsupported("A batch of arrays with more than 2^31 elements"));
    }
    Ok((elements, OffsetBuffer::from_lengths(lengths)))
}

fn lists(data_type: &DataType, element: &FieldRef, cells: &Cells) -> Result<ArrayRef, SparkError> {
    let (elements, offsets) = gather(data_type, element.data_type(), cells)?;
    let values = build(element.data_type(), &elements)?;
    Ok(Arc::new(ListArray::try_new(element.clone(), offsets, values, nulls_of(cells)).map_err(malformed)?))
}

fn maps(data_type: &DataType, entries: &FieldRef, cells: &Cells) -> Result<ArrayRef, SparkError> {
    let Some((key, value)) = key_and_value(entries) else { return Err(RowError::value(data_type).into()) };
    let (mut key_arrays, mut value_arrays) = (Cells::with_capacity(cells.len()), Cells::with_capacity(cells.len()));
    for cell in cells {
        let halves = cell.map(|cell| split_map(cell).ok_or_else(|| RowError::value(data_type))).transpose()?;
        key_arrays.push(halves.map(|(keys, _)| keys));
        value_arrays.push(halves.map(|(_, values)| values));
    }
    let (keys, offsets) = gather(data_type, key.data_type(), &key_arrays)?;
    let (values, value_offsets) = gather(data_type, value.data_type(), &value_arrays)?;
    if offsets != value_offsets {
        return Err(RowError::value(data_type).into());
    }
    let columns = vec![build(key.data_type(), &keys)?, build(value.data_type(), &values)?];
    let fields = Fields::from(vec![key.clone(), value.clone()]);
    let both = StructArray::try_new(fields, columns, None).map_err(malformed)?;
    Ok(Arc::new(MapArray::try_new(entries.clone(), offsets, both, nulls_of(cells), false).map_err(malformed)?))
}

fn split_map(cell: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = cell.split_first_chunk::<8>()?;
    rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)
}

fn malformed(error: ArrowError) -> SparkError {
    SparkError::internal(format!("State holds a malformed row: {error}"))
}
