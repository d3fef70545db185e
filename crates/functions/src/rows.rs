//! Building result arrays row by row, without allocation per row.
//!
//! The builders here append every row to the buffers of the result; a closure gives the value of a row and says whether it
//! is null. Rows that are null in `nulls` (the union of the arguments' nulls, see [`nulls_of`]) are not computed.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, BooleanBufferBuilder, ListArray, PrimitiveArray,
    StringArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field};
use millstream_formats::condition::{ExceptionClass, SparkError};

/// The rows in which any of the arrays is null.
pub fn nulls_of(arrays: &[ArrayRef]) -> Option<NullBuffer> {
    arrays.iter().fold(None, |all, array| NullBuffer::union(all.as_ref(), array.logical_nulls().as_ref()))
}

/// Collects which rows are null; costs nothing as long as none is.
struct Validity {
    given: Option<NullBuffer>,
    found: Option<BooleanBufferBuilder>,
}

impl Validity {
    fn new(given: Option<NullBuffer>) -> Self {
        Self { given: given.filter(|n| n.null_count() > 0), found: None }
    }

    fn is_null(&self, row: usize) -> bool {
        self.given.as_ref().is_some_and(|n| n.is_null(row))
    }

    fn set_null(&mut self, row: usize, rows: usize) {
        let found = self.found.get_or_insert_with(|| {
            let mut bits = BooleanBufferBuilder::new(rows);
            bits.append_n(rows, true);
            bits
        });
        found.set_bit(row, false);
    }

    fn finish(self) -> Option<NullBuffer> {
        let found = self.found.map(|mut bits| NullBuffer::new(bits.finish()));
        NullBuffer::union(self.given.as_ref(), found.as_ref())
    }
}

/// A value that does not fit into one batch's buffers of 2 GiB.
fn too_large() -> SparkError {
    SparkError::new(
        ExceptionClass::Runtime,
        "COLLECTION_SIZE_LIMIT_EXCEEDED.FUNCTION",
        "54000",
        "The strings of one batch exceed 2147483647 bytes.",
    )
}

/// The end of a value in a buffer of 32-bit offsets.
pub fn offset(length: usize) -> Result<i32, SparkError> {
    i32::try_from(length).map_err(|_| too_large())
}

/// What a value is taken to need before it is known.
const VALUE_BYTES: usize = 16;

/// Strings: `value` appends the value of a row to the buffer and tells whether there is one.
pub fn strings(
    rows: usize,
    nulls: Option<NullBuffer>,
    mut value: impl FnMut(usize, &mut String) -> Result<bool, SparkError>,
) -> Result<ArrayRef, SparkError> {
    let mut values = String::with_capacity(rows * VALUE_BYTES);
    let (offsets, nulls) = delimited(rows, nulls, |row| {
        let start = values.len();
        let there = value(row, &mut values)?;
        if !there {
            values.truncate(start);
        }
        Ok((there, values.len()))
    })?;
    Ok(Arc::new(StringArray::try_new(offsets, Buffer::from_vec(values.into_bytes()), nulls)?))
}

/// Binary values: as [`strings`].
pub fn binaries(
    rows: usize,
    nulls: Option<NullBuffer>,
    mut value: impl FnMut(usize, &mut Vec<u8>) -> Result<bool, SparkError>,
) -> Result<ArrayRef, SparkError> {
    let mut values = Vec::new();
    let (offsets, nulls) = delimited(rows, nulls, |row| {
        let start = values.len();
        let there = value(row, &mut values)?;
        if !there {
            values.truncate(start);
        }
        Ok((there, values.len()))
    })?;
    Ok(Arc::new(BinaryArray::try_new(offsets, Buffer::from_vec(values), nulls)?))
}

/// Where the values of rows end in one buffer, and which are null. `value` says whether a row has one and how long the buffer is
/// after it.
fn delimited(
    rows: usize,
    nulls: Option<NullBuffer>,
    mut value: impl FnMut(usize) -> Result<(bool, usize), SparkError>,
) -> Result<(OffsetBuffer<i32>, Option<NullBuffer>), SparkError> {
    let mut validity = Validity::new(nulls);
    let mut offsets = Vec::with_capacity(rows + 1);
    let mut end = 0;
    offsets.push(end);
    for row in 0..rows {
        if !validity.is_null(row) {
            let (there, length) = value(row)?;
            if !there {
                validity.set_null(row, rows);
            }
            end = offset(length)?;
        }
        offsets.push(end);
    }
    Ok((OffsetBuffer::new(ScalarBuffer::from(offsets)), validity.finish()))
}

/// Numbers, dates and times: `value` gives the value of a row, or none for null.
pub fn numbers<T: ArrowPrimitiveType>(
    rows: usize,
    nulls: Option<NullBuffer>,
    mut value: impl FnMut(usize) -> Result<Option<T::Native>, SparkError>,
) -> Result<PrimitiveArray<T>, SparkError> {
    let mut validity = Validity::new(nulls);
    let mut values = Vec::with_capacity(rows);
    for row in 0..rows {
        let found = if validity.is_null(row) { Some(T::Native::default()) } else { value(row)? };
        if found.is_none() {
            validity.set_null(row, rows);
        }
        values.push(found.unwrap_or_default());
    }
    Ok(PrimitiveArray::try_new(ScalarBuffer::from(values), validity.finish())?)
}

/// Booleans: as [`numbers`].
pub fn booleans(
    rows: usize,
    nulls: Option<NullBuffer>,
    mut value: impl FnMut(usize) -> Result<Option<bool>, SparkError>,
) -> Result<ArrayRef, SparkError> {
    let mut validity = Validity::new(nulls);
    let mut values = BooleanBufferBuilder::new(rows);
    for row in 0..rows {
        let found = if validity.is_null(row) { Some(false) } else { value(row)? };
        if found.is_none() {
            validity.set_null(row, rows);
        }
        values.append(found.unwrap_or_default());
    }
    Ok(Arc::new(BooleanArray::new(values.finish(), validity.finish())))
}

/// The elements of lists of strings that are never null, under construction.
#[derive(Debug)]
pub struct StringElements {
    values: String,
    offsets: Vec<i32>,
}

impl StringElements {
    fn with_capacity(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows * 4 + 1);
        offsets.push(0);
        Self { values: String::new(), offsets }
    }

    /// Adds an element to the list of the current row.
    pub fn push(&mut self, element: &str) -> Result<(), SparkError> {
        self.values.push_str(element);
        self.offsets.push(offset(self.values.len())?);
        Ok(())
    }

    /// Number of elements of all rows so far.
    fn len(&self) -> usize {
        self.offsets.len() - 1
    }
}

/// Lists of strings, elements not null: `value` pushes the elements of a row.
pub fn string_lists(
    rows: usize,
    nulls: Option<NullBuffer>,
    mut value: impl FnMut(usize, &mut StringElements) -> Result<(), SparkError>,
) -> Result<ArrayRef, SparkError> {
    let validity = Validity::new(nulls);
    let mut elements = StringElements::with_capacity(rows);
    let mut offsets = Vec::with_capacity(rows + 1);
    offsets.push(0);
    for row in 0..rows {
        if !validity.is_null(row) {
            value(row, &mut elements)?;
        }
        offsets.push(offset(elements.len())?);
    }
    let element_offsets = OffsetBuffer::new(ScalarBuffer::from(elements.offsets));
    let strings = StringArray::try_new(element_offsets, Buffer::from_vec(elements.values.into_bytes()), None)?;
    let field = Arc::new(Field::new("element", DataType::Utf8, false));
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok(Arc::new(ListArray::try_new(field, offsets, Arc::new(strings), validity.finish())?))
}
