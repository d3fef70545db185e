//! Walks over the rows of a batch that count for an aggregate, and per-group columns.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, BooleanBufferBuilder, PrimitiveArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use millstream_formats::condition::SparkError;

use crate::kernel::into_datafusion;

/// The rows that pass a filter: null and false leave a row out. None if all pass.
pub fn passing(filter: Option<&BooleanArray>) -> Option<NullBuffer> {
    let filter = filter?;
    let passes = match filter.nulls() {
        Some(nulls) => filter.values() & nulls.inner(),
        None => filter.values().clone(),
    };
    Some(NullBuffer::new(passes))
}

/// Calls `each(row, group)` for every row that is valid in `nulls` and passes the filter.
#[inline]
pub fn for_each_valid(
    groups: &[usize],
    nulls: Option<&NullBuffer>,
    filter: Option<&BooleanArray>,
    mut each: impl FnMut(usize, usize),
) {
    let passing = passing(filter);
    match NullBuffer::union(nulls, passing.as_ref()) {
        None => groups.iter().enumerate().for_each(|(row, group)| each(row, *group)),
        Some(valid) => valid.valid_indices().for_each(|row| each(row, groups[row])),
    }
}

/// The same for two columns that must both be valid.
#[inline]
pub fn for_each_valid_pair(
    groups: &[usize],
    left: Option<&NullBuffer>,
    right: Option<&NullBuffer>,
    filter: Option<&BooleanArray>,
    each: impl FnMut(usize, usize),
) {
    for_each_valid(groups, NullBuffer::union(left, right).as_ref(), filter, each);
}

/// The `index`-th column of a batch.
pub fn column(values: &[ArrayRef], index: usize) -> Result<&ArrayRef> {
    values.get(index).ok_or_else(|| {
        into_datafusion(SparkError::internal(format!("an aggregate wants column {index} of {}", values.len())))
    })
}

/// The `index`-th column of a batch as one of primitive type `T`.
pub fn primitive<T: ArrowPrimitiveType>(values: &[ArrayRef], index: usize) -> Result<&PrimitiveArray<T>> {
    let array = column(values, index)?;
    array.as_primitive_opt::<T>().ok_or_else(|| wrong_column(array, index))
}

/// The `index`-th column of a batch as booleans.
pub fn boolean(values: &[ArrayRef], index: usize) -> Result<&BooleanArray> {
    let array = column(values, index)?;
    array.as_boolean_opt().ok_or_else(|| wrong_column(array, index))
}

/// An error for a column of an unexpected type.
pub fn wrong_column(array: &ArrayRef, index: usize) -> datafusion::common::DataFusionError {
    into_datafusion(SparkError::internal(format!("an aggregate got {} as column {index}", array.data_type())))
}

/// The buffers of rows that are each a group of their own; `fresh` is an accumulator without groups.
pub fn rows_as_groups(
    mut fresh: impl GroupsAccumulator,
    values: &[ArrayRef],
    filter: Option<&BooleanArray>,
) -> Result<Vec<ArrayRef>> {
    let rows = column(values, 0)?.len();
    let groups: Vec<usize> = (0..rows).collect();
    fresh.update_batch(values, &groups, filter, rows)?;
    fresh.state(EmitTo::All)
}

/// Three methods of an accumulator whose buffer is its result and is merged as values are added: a minimum, a sum of doubles. The
/// argument makes one without groups from the one at hand.
macro_rules! buffer_is_result {
    (|$this:pat_param| $fresh:expr) => {
        fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
            Ok(vec![self.evaluate(emit_to)?])
        }

        fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
            self.update_batch(values, groups, None, total)
        }

        fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
            let $this = self;
            $crate::aggregate::rows::rows_as_groups($fresh, values, filter)
        }
    };
}
pub(super) use buffer_is_result;

/// Calls `each(group, bytes)` for every string or binary value that passes the filter; false for a column of another type.
pub fn for_each_bytes(
    array: &ArrayRef,
    groups: &[usize],
    filter: Option<&BooleanArray>,
    mut each: impl FnMut(usize, &[u8]),
) -> bool {
    if let Some(strings) = array.as_string_opt::<i32>() {
        for_each_valid(groups, strings.nulls(), filter, |row, group| each(group, strings.value(row).as_bytes()));
    } else if let Some(binaries) = array.as_binary_opt::<i32>() {
        for_each_valid(groups, binaries.nulls(), filter, |row, group| each(group, binaries.value(row)));
    } else {
        return false;
    }
    true
}

/// One bit per group.
#[derive(Debug)]
pub struct GroupBits(BooleanBufferBuilder);

impl Default for GroupBits {
    fn default() -> Self {
        Self(BooleanBufferBuilder::new(0))
    }
}

impl GroupBits {
    /// Adds groups, unset, up to `groups`.
    pub fn grow(&mut self, groups: usize) {
        if self.0.len() < groups {
            self.0.append_n(groups - self.0.len(), false);
        }
    }

    /// Sets the bit of a group.
    #[inline]
    pub fn set(&mut self, group: usize, value: bool) {
        self.0.set_bit(group, value);
    }

    /// The bit of a group.
    #[inline]
    pub fn get(&self, group: usize) -> bool {
        self.0.get_bit(group)
    }

    /// Takes the bits of the groups that are given out.
    pub fn emit(&mut self, emit_to: EmitTo) -> BooleanBuffer {
        let all = self.0.finish();
        match emit_to {
            EmitTo::All => all,
            EmitTo::First(n) => {
                let mut rest = BooleanBufferBuilder::new(all.len() - n);
                rest.append_buffer(&all.slice(n, all.len() - n));
                self.0 = rest;
                all.slice(0, n)
            }
        }
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        self.0.capacity() / 8
    }
}
