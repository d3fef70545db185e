//! `first`, `last`, `any_value`: the buffer is the value and whether it is set.
//!
//! Rows count in the order in which they come; merged buffers come in the order of their partitions.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field};
use arrow::row::{RowConverter, SortField};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use millstream_formats::condition::SparkError;

use super::extremum::rows_to_array;
use super::rows::{GroupBits, boolean, column, for_each_valid, rows_as_groups};
use super::udaf::{Aggregation, Bound, not_coerced};

/// `first`, `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pick {
    /// The last row's value, not the first one's.
    pub last: bool,
    /// Rows with null do not count.
    pub ignore_nulls: bool,
}

impl Aggregation for Pick {
    fn name(&self) -> &str {
        if self.last { "last" } else { "first" }
    }

    fn parameters(&self) -> String {
        if self.ignore_nulls { "ignore nulls".into() } else { String::new() }
    }

    fn bind(&self, arguments: &[DataType]) -> Result<Bound, SparkError> {
        let [data_type] = arguments else { return Err(not_coerced(self.name(), arguments)) };
        let state =
            vec![Field::new(self.name(), data_type.clone(), true), Field::new("valueSet", DataType::Boolean, true)];
        let (pick, of) = (*self, data_type.clone());
        Ok(Bound::new(data_type.clone(), true, state, move || PickGroups::new(pick, of.clone())))
    }
}

struct PickGroups {
    pick: Pick,
    of: DataType,
    /// Values in their row form; none is null.
    values: Vec<Option<Box<[u8]>>>,
    set: GroupBits,
}

impl PickGroups {
    fn new(pick: Pick, of: DataType) -> Self {
        Self { pick, of, values: Vec::new(), set: GroupBits::default() }
    }

    fn grow(&mut self, total: usize) {
        self.values.resize(total, None);
        self.set.grow(total);
    }

    /// Offers rows; of each group one at most is looked at.
    fn offer(&mut self, values: &ArrayRef, rows: impl FnOnce(&mut dyn FnMut(usize, usize))) -> Result<()> {
        let mut winners: hashbrown::HashMap<usize, u32, foldhash::fast::RandomState> = hashbrown::HashMap::default();
        let (last, set) = (self.pick.last, &self.set);
        rows(&mut |row, group| {
            if last {
                winners.insert(group, row as u32);
            } else if !set.get(group) {
                winners.entry(group).or_insert(row as u32);
            }
        });
        let (groups, rows): (Vec<usize>, Vec<u32>) = winners.into_iter().unzip();
        let taken = take(values, &UInt32Array::from(rows), None)?;
        let nulls = taken.logical_nulls();
        let converter = RowConverter::new(vec![SortField::new(self.of.clone())])?;
        let bytes = converter.convert_columns(&[taken])?;
        for (row, group) in groups.into_iter().enumerate() {
            let valid = nulls.as_ref().is_none_or(|n| n.is_valid(row));
            self.values[group] = valid.then(|| bytes.row(row).as_ref().into());
            self.set.set(group, true);
        }
        Ok(())
    }
}

impl GroupsAccumulator for PickGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.grow(total);
        let array = column(values, 0)?;
        let nulls = if self.pick.ignore_nulls { array.logical_nulls() } else { None };
        self.offer(array, |each| for_each_valid(groups, nulls.as_ref(), filter, each))
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.set.emit(emit_to);
        rows_to_array(&self.of, emit_to.take_needed(&mut self.values))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let set = BooleanArray::new(self.set.emit(emit_to), None);
        Ok(vec![rows_to_array(&self.of, emit_to.take_needed(&mut self.values))?, Arc::new(set)])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        let set = boolean(values, 1)?;
        self.offer(column(values, 0)?, |each| for_each_valid(groups, None, Some(set), each))
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        rows_as_groups(Self::new(self.pick, self.of.clone()), values, filter)
    }

    fn size(&self) -> usize {
        self.values.iter().map(|v| 16 + v.as_ref().map_or(0, |b| b.len())).sum::<usize>() + self.set.size()
    }
}
