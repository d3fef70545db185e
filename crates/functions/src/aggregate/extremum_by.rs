//! `max_by`, `min_by`: the buffer is the value beside the extremum and the extremum. Of equal extrema the last one counts.

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field};
use arrow::row::{RowConverter, SortField};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use millstream_formats::condition::SparkError;
use std::cmp::Ordering;

use super::canonical::canonical;
use super::extremum::{Extremum, rows_to_array};
use super::rows::{column, for_each_valid, rows_as_groups};
use super::udaf::{Aggregation, Bound, not_coerced};

/// `max_by`, `min_by`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtremumBy(pub Extremum);

impl Aggregation for ExtremumBy {
    fn name(&self) -> &str {
        if self.0 == Extremum::Min { "min_by" } else { "max_by" }
    }

    fn bind(&self, arguments: &[DataType]) -> Result<Bound, SparkError> {
        let [value, order] = arguments else { return Err(not_coerced(self.name(), arguments)) };
        let state = vec![
            Field::new("valueWithExtremumOrdering", value.clone(), true),
            Field::new("extremumOrdering", order.clone(), true),
        ];
        let (end, of, by) = (self.0, value.clone(), order.clone());
        Ok(Bound::new(value.clone(), true, state, move || ByGroups::new(end, of.clone(), by.clone())))
    }
}

struct ByGroups {
    end: Extremum,
    of: DataType,
    by: DataType,
    /// Values in their row form; none is null.
    values: Vec<Option<Box<[u8]>>>,
    /// Extrema in their comparable form; none if nothing was seen.
    orders: Vec<Option<Box<[u8]>>>,
}

impl ByGroups {
    fn new(end: Extremum, of: DataType, by: DataType) -> Self {
        Self { end, of, by, values: Vec::new(), orders: Vec::new() }
    }

    /// Whether a new order takes the place of the one kept: also if they are equal.
    fn wins(&self, new: &[u8], kept: &[u8]) -> bool {
        let order = new.cmp(kept);
        order == Ordering::Equal || self.end.wins(order)
    }
}

impl GroupsAccumulator for ByGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.values.resize(total, None);
        self.orders.resize(total, None);
        let by = column(values, 1)?;
        let converter = RowConverter::new(vec![SortField::new(self.by.clone())])?;
        let orders = converter.convert_columns(&[canonical(by)?])?;
        let mut winners: hashbrown::HashMap<usize, u32, foldhash::fast::RandomState> = hashbrown::HashMap::default();
        for_each_valid(groups, by.logical_nulls().as_ref(), filter, |row, group| {
            let order = orders.row(row);
            let kept = match winners.get(&group) {
                Some(winner) => Some(orders.row(*winner as usize).as_ref().to_vec()),
                None => self.orders[group].as_ref().map(|o| o.to_vec()),
            };
            if kept.is_none_or(|kept| self.wins(order.as_ref(), &kept)) {
                winners.insert(group, row as u32);
            }
        });
        let (groups, rows): (Vec<usize>, Vec<u32>) = winners.into_iter().unzip();
        let taken = take(column(values, 0)?, &UInt32Array::from(rows.clone()), None)?;
        let nulls = taken.logical_nulls();
        let bytes = RowConverter::new(vec![SortField::new(self.of.clone())])?.convert_columns(&[taken])?;
        for (i, group) in groups.into_iter().enumerate() {
            let valid = nulls.as_ref().is_none_or(|n| n.is_valid(i));
            self.values[group] = valid.then(|| bytes.row(i).as_ref().into());
            self.orders[group] = Some(orders.row(rows[i] as usize).as_ref().into());
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        emit_to.take_needed(&mut self.orders);
        rows_to_array(&self.of, emit_to.take_needed(&mut self.values))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (values, orders) = (emit_to.take_needed(&mut self.values), emit_to.take_needed(&mut self.orders));
        Ok(vec![rows_to_array(&self.of, values)?, rows_to_array(&self.by, orders)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.update_batch(values, groups, None, total)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        rows_as_groups(Self::new(self.end, self.of.clone(), self.by.clone()), values, filter)
    }

    fn size(&self) -> usize {
        self.values.iter().chain(&self.orders).map(|v| 16 + v.as_ref().map_or(0, |b| b.len())).sum()
    }
}
