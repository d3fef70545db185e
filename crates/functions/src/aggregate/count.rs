//! `count`, `count_if`, `regr_count`: buffer `count: long`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use millstream_formats::condition::SparkError;

use super::rows::{boolean, for_each_valid, primitive};
use super::udaf::{Aggregation, Bound};

/// Which rows are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Those in which no argument is null.
    NotNull,
    /// Those whose one argument is true.
    True,
}

impl Aggregation for Count {
    fn name(&self) -> &str {
        match self {
            Count::NotNull => "count",
            Count::True => "count_if",
        }
    }

    fn bind(&self, _arguments: &[DataType]) -> Result<Bound, SparkError> {
        let (state, counted) = (vec![Field::new("count", DataType::Int64, false)], *self);
        Ok(Bound::new(DataType::Int64, false, state, move || CountGroups { counted, counts: Vec::new() }))
    }
}

/// A number per group.
pub struct CountGroups {
    counted: Count,
    counts: Vec<i64>,
}

impl Default for CountGroups {
    fn default() -> Self {
        Self { counted: Count::NotNull, counts: Vec::new() }
    }
}

impl GroupsAccumulator for CountGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.counts.resize(total, 0);
        let counts = &mut self.counts;
        if self.counted == Count::True {
            let condition = boolean(values, 0)?;
            for_each_valid(groups, condition.nulls(), filter, |row, group| {
                counts[group] += i64::from(condition.value(row))
            });
            return Ok(());
        }
        let nulls = values.iter().fold(None, |all, v| NullBuffer::union(all.as_ref(), v.logical_nulls().as_ref()));
        for_each_valid(groups, nulls.as_ref(), filter, |_, group| counts[group] += 1);
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from(emit_to.take_needed(&mut self.counts))))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.counts.resize(total, 0);
        let more = primitive::<Int64Type>(values, 0)?;
        groups.iter().zip(more.values()).for_each(|(group, n)| self.counts[*group] += n);
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        super::rows::rows_as_groups(Self { counted: self.counted, counts: Vec::new() }, values, filter)
    }

    fn size(&self) -> usize {
        self.counts.capacity() * size_of::<i64>()
    }
}
