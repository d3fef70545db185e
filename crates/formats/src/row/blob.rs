//! The values of a column on their way into rows: fixed-width ones as words, others as the bytes of their variable part.

use std::ops::Range;

use arrow::array::{
    Array, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, Decimal128Array, IntervalMonthDayNanoArray,
    StringArray, StructArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, IntervalUnit, IntervalYearMonthType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType,
};

use super::array::{encode_arrays, encode_maps};
use super::encode::encode_rows;
use super::{RowBuffer, decimal_bytes, is_small_decimal, padded};
use crate::condition::SparkError;
use crate::types::{is_variant, sql_name};

/// A column of values of at most 8 bytes.
pub(crate) struct Fixed<'a> {
    values: Words<'a>,
    nulls: Option<&'a NullBuffer>,
    /// One zero and one NaN.
    canonical: bool,
}

enum Words<'a> {
    Bits(&'a BooleanArray),
    I8(&'a [i8]),
    I16(&'a [i16]),
    I32(&'a [i32]),
    I64(&'a [i64]),
    F32(&'a [f32]),
    F64(&'a [f64]),
    Decimal(&'a [i128]),
}

impl<'a> Fixed<'a> {
    /// `None` if the type is not one of fixed width.
    pub(crate) fn bind(column: &'a dyn Array, canonical: bool) -> Option<Self> {
        fn of<T: ArrowPrimitiveType>(column: &dyn Array) -> &[T::Native] {
            column.as_primitive::<T>().values()
        }
        let values = match column.data_type() {
            DataType::Boolean => Words::Bits(column.as_boolean()),
            DataType::Int8 => Words::I8(of::<Int8Type>(column)),
            DataType::Int16 => Words::I16(of::<Int16Type>(column)),
            DataType::Int32 => Words::I32(of::<Int32Type>(column)),
            DataType::Date32 => Words::I32(of::<Date32Type>(column)),
            DataType::Interval(IntervalUnit::YearMonth) => Words::I32(of::<IntervalYearMonthType>(column)),
            DataType::Int64 => Words::I64(of::<Int64Type>(column)),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Words::I64(of::<TimestampMicrosecondType>(column)),
            DataType::Duration(TimeUnit::Microsecond) => Words::I64(of::<DurationMicrosecondType>(column)),
            DataType::Time64(TimeUnit::Nanosecond) => Words::I64(of::<Time64NanosecondType>(column)),
            DataType::Float32 => Words::F32(of::<Float32Type>(column)),
            DataType::Float64 => Words::F64(of::<Float64Type>(column)),
            DataType::Decimal128(p, _) if is_small_decimal(*p) => Words::Decimal(of::<Decimal128Type>(column)),
            _ => return None,
        };
        Some(Self { values, nulls: column.nulls().filter(|nulls| nulls.null_count() > 0), canonical })
    }

    /// Calls `put` with the position in `rows` (from 0) and the value of each row: its bytes, little endian, in the low
    /// bytes of a word.
    pub(crate) fn for_each(&self, rows: Range<usize>, mut put: impl FnMut(usize, Option<u64>)) {
        match self.values {
            Words::Bits(values) => {
                for (n, row) in rows.enumerate() {
                    put(n, values.is_valid(row).then(|| u64::from(values.value(row))));
                }
            }
            Words::I8(values) => self.words(values, rows, |v| u64::from(v as u8), put),
            Words::I16(values) => self.words(values, rows, |v| u64::from(v as u16), put),
            Words::I32(values) => self.words(values, rows, |v| u64::from(v as u32), put),
            Words::I64(values) => self.words(values, rows, |v| v as u64, put),
            Words::F32(values) if self.canonical => self.words(values, rows, |v| canonical_float(v).into(), put),
            Words::F32(values) => self.words(values, rows, |v| v.to_bits().into(), put),
            Words::F64(values) if self.canonical => self.words(values, rows, canonical_double, put),
            Words::F64(values) => self.words(values, rows, f64::to_bits, put),
            Words::Decimal(values) => self.words(values, rows, |v| v as i64 as u64, put),
        }
    }

    fn words<T: Copy>(
        &self,
        values: &[T],
        rows: Range<usize>,
        word: impl Fn(T) -> u64,
        mut put: impl FnMut(usize, Option<u64>),
    ) {
        let first = rows.start;
        let values = values.get(rows).unwrap_or_default().iter().enumerate();
        match self.nulls {
            None => values.for_each(|(n, value)| put(n, Some(word(*value)))),
            Some(nulls) => values.for_each(|(n, value)| put(n, nulls.is_valid(first + n).then(|| word(*value)))),
        }
    }
}

fn canonical_float(value: f32) -> u32 {
    if value == 0.0 {
        0
    } else if value.is_nan() {
        0x7fc0_0000
    } else {
        value.to_bits()
    }
}

fn canonical_double(value: f64) -> u64 {
    if value == 0.0 {
        0
    } else if value.is_nan() {
        0x7ff8_0000_0000_0000
    } else {
        value.to_bits()
    }
}

/// A column of values with a variable-length part.
pub(crate) enum Blobs<'a> {
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    Decimal(&'a Decimal128Array),
    Interval(&'a IntervalMonthDayNanoArray),
    /// Nested values, encoded when bound; row `r` is `rows.row(r - first)`.
    Encoded {
        rows: RowBuffer,
        first: usize,
        nulls: Option<&'a NullBuffer>,
    },
}

impl<'a> Blobs<'a> {
    /// Only the rows in `rows` may be asked for later.
    pub(crate) fn bind(column: &'a dyn Array, rows: &Range<usize>, canonical: bool) -> Result<Self, SparkError> {
        let mut buffer = RowBuffer::new();
        match column.data_type() {
            DataType::Utf8 => return Ok(Self::Text(column.as_string())),
            DataType::Binary => return Ok(Self::Bytes(column.as_binary())),
            DataType::Decimal128(..) => return Ok(Self::Decimal(column.as_primitive())),
            DataType::Interval(IntervalUnit::MonthDayNano) => return Ok(Self::Interval(column.as_primitive())),
            DataType::Struct(fields) if is_variant(fields) => encode_variants(column.as_struct(), rows, &mut buffer),
            DataType::Struct(_) => encode_rows(column.as_struct().columns(), rows.clone(), canonical, &mut buffer)?,
            DataType::List(_) => {
                let lists = column.as_list::<i32>();
                encode_arrays(lists.value_offsets(), lists.nulls(), lists.values(), rows, canonical, &mut buffer)?;
            }
            DataType::Map(..) => encode_maps(column.as_map(), rows, canonical, &mut buffer)?,
            other => return Err(SparkError::unsupported(format!("The type {} in a row at rest", sql_name(other)))),
        }
        Ok(Self::Encoded { rows: buffer, first: rows.start, nulls: column.nulls() })
    }

    /// Adds the padded length of each value to its row's length.
    pub(crate) fn lengths<'b>(&self, rows: Range<usize>, ends: impl Iterator<Item = &'b mut usize>) {
        match self {
            // Without nulls the offsets alone tell the lengths.
            Self::Text(texts) if texts.null_count() == 0 => {
                let offsets = texts.value_offsets().get(rows.start..=rows.end).unwrap_or_default();
                for (end, pair) in ends.zip(offsets.windows(2)) {
                    if let [start, stop] = *pair {
                        *end += padded((stop - start) as usize);
                    }
                }
            }
            _ => {
                let mut scratch = [0; 16];
                for (end, row) in ends.zip(rows) {
                    *end += self.value(row, &mut scratch).map_or(0, |value| padded(value.len()));
                }
            }
        }
    }

    /// The value of a row; `scratch` holds values that are made on the way.
    #[inline]
    pub(crate) fn value<'b>(&'b self, row: usize, scratch: &'b mut [u8; 16]) -> Option<&'b [u8]> {
        match self {
            Self::Text(texts) => texts.is_valid(row).then(|| texts.value(row).as_bytes()),
            Self::Bytes(values) => values.is_valid(row).then(|| values.value(row)),
            Self::Decimal(values) => {
                let (bytes, length) = values.is_valid(row).then(|| decimal_bytes(values.value(row)))?;
                *scratch = bytes;
                scratch.get(..length)
            }
            Self::Interval(values) => {
                let value = values.is_valid(row).then(|| values.value(row))?;
                scratch[0..4].copy_from_slice(&value.months.to_le_bytes());
                scratch[4..8].copy_from_slice(&value.days.to_le_bytes());
                scratch[8..16].copy_from_slice(&(value.nanoseconds / 1000).to_le_bytes());
                Some(scratch)
            }
            Self::Encoded { rows, first, nulls } => {
                let valid = nulls.is_none_or(|nulls| nulls.is_valid(row));
                valid.then(|| rows.row(row - first))
            }
        }
    }

    /// The size a row's slot shows: an interval's is 16 even when it is null.
    pub(crate) fn slot_size(&self, size: usize) -> usize {
        if matches!(self, Self::Interval(_)) { 16 } else { size }
    }
}

/// Each variant as the length of its value (int32), the value, the metadata.
fn encode_variants(column: &StructArray, rows: &Range<usize>, out: &mut RowBuffer) {
    let part = |name: &str| column.column_by_name(name).map(|part| part.as_binary::<i32>());
    for row in rows.clone() {
        if let (Some(value), Some(metadata)) = (part("value"), part("metadata"))
            && column.is_valid(row)
        {
            let value = value.value(row);
            out.bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
            out.bytes.extend_from_slice(value);
            out.bytes.extend_from_slice(metadata.value(row));
        }
        out.ends.push(out.bytes.len());
    }
}
