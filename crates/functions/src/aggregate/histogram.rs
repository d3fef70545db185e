//! `histogram_numeric`: bins of changing width (Ben-Haim and Tom-Tov). The buffer is Spark's: number of bins, bins used, then each bin.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use millstream_formats::condition::SparkError;

use super::java_random::JavaRandom;
use super::quantiles::{doubles, typed};
use super::rows::{column, for_each_valid, rows_as_groups, wrong_column};
use super::udaf::{Aggregation, Bound, not_coerced};
use crate::kernel::into_datafusion;

/// Seed with which Spark breaks ties.
const TIE_SEED: i64 = 31183;

/// `histogram_numeric`.
#[derive(Debug, Clone, Copy)]
pub struct Histogram {
    /// Most bins, at least 2.
    pub bins: usize,
}

impl Aggregation for Histogram {
    fn name(&self) -> &str {
        "histogram_numeric"
    }

    fn parameters(&self) -> String {
        self.bins.to_string()
    }

    fn bind(&self, arguments: &[DataType]) -> Result<Bound, SparkError> {
        let [of] = arguments else { return Err(not_coerced(self.name(), arguments)) };
        let bin = Fields::from(vec![Field::new("x", of.clone(), true), Field::new("y", DataType::Float64, true)]);
        let result = crate::types::array(DataType::Struct(bin.clone()), true);
        let (bins, of) = (self.bins, of.clone());
        Ok(Bound::new(result, true, vec![Field::new("buf", DataType::Binary, true)], move || HistogramGroups {
            bins,
            of: of.clone(),
            bin: bin.clone(),
            groups: Vec::new(),
        }))
    }
}

/// The bins of a group, by their place.
struct Bins {
    bins: Vec<(f64, f64)>,
    ties: JavaRandom,
}

impl Bins {
    fn new() -> Self {
        Self { bins: Vec::new(), ties: JavaRandom::new(TIE_SEED) }
    }

    fn add(&mut self, value: f64, most: usize) {
        let at = self.bins.partition_point(|(x, _)| *x < value);
        match self.bins.get_mut(at) {
            Some((x, y)) if *x == value => *y += 1.0,
            _ => {
                self.bins.insert(at, (value, 1.0));
                self.trim(most);
            }
        }
    }

    fn merge(&mut self, other: Vec<(f64, f64)>, most: usize) {
        self.bins.extend(other);
        self.bins.sort_by(|a, b| super::extremum::compare_f64(&a.0, &b.0));
        self.trim(most);
    }

    /// Joins the nearest two bins until there are no more than `most`.
    fn trim(&mut self, most: usize) {
        while self.bins.len() > most.max(1) {
            let (mut least, mut place, mut ties) = (self.bins[1].0 - self.bins[0].0, 0, 1.0);
            for i in 1..self.bins.len() - 1 {
                let gap = self.bins[i + 1].0 - self.bins[i].0;
                if gap < least {
                    (least, place, ties) = (gap, i, 1.0);
                } else if gap == least {
                    ties += 1.0;
                    if self.ties.next_double() <= 1.0 / ties {
                        place = i;
                    }
                }
            }
            let ((x1, y1), (x2, y2)) = (self.bins[place], self.bins[place + 1]);
            let height = y1 + y2;
            self.bins[place] = (x1 * (y1 / height) + x2 / height * y2, height);
            self.bins.remove(place + 1);
        }
    }

    fn to_bytes(&self, most: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + self.bins.len() * 16);
        bytes.extend_from_slice(&(most as i32).to_be_bytes());
        bytes.extend_from_slice(&(self.bins.len() as i32).to_be_bytes());
        for (x, y) in &self.bins {
            bytes.extend_from_slice(&x.to_be_bytes());
            bytes.extend_from_slice(&y.to_be_bytes());
        }
        bytes
    }
}

/// The bins in a buffer.
fn from_bytes(bytes: &[u8]) -> Option<Vec<(f64, f64)>> {
    let (_, rest) = bytes.split_first_chunk::<4>()?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let count = usize::try_from(i32::from_be_bytes(*count)).ok()?;
    let number = |bytes: &[u8]| Some(f64::from_be_bytes(*bytes.first_chunk::<8>()?));
    rest.get(..count.checked_mul(16)?)?
        .chunks_exact(16)
        .map(|bin| Some((number(bin)?, number(bin.get(8..)?)?)))
        .collect()
}

struct HistogramGroups {
    bins: usize,
    of: DataType,
    bin: Fields,
    groups: Vec<Bins>,
}

impl GroupsAccumulator for HistogramGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.groups.resize_with(total, Bins::new);
        let values = doubles(column(values, 0)?)?;
        for_each_valid(groups, values.nulls(), filter, |row, group| {
            self.groups[group].add(values.value(row), self.bins)
        });
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = emit_to.take_needed(&mut self.groups);
        let x: Float64Array = groups.iter().flat_map(|g| g.bins.iter().map(|b| Some(b.0))).collect();
        let y: Float64Array = groups.iter().flat_map(|g| g.bins.iter().map(|b| Some(b.1))).collect();
        let bins = StructArray::try_new(self.bin.clone(), vec![typed(x, &self.of), Arc::new(y)], None)?;
        let valid: Vec<bool> = groups.iter().map(|g| !g.bins.is_empty()).collect();
        let item = Arc::new(Field::new("element", bins.data_type().clone(), true));
        let offsets = OffsetBuffer::from_lengths(groups.iter().map(|g| g.bins.len()));
        Ok(Arc::new(ListArray::try_new(item, offsets, Arc::new(bins), Some(valid.into()))?))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = emit_to.take_needed(&mut self.groups);
        Ok(vec![Arc::new(BinaryArray::from_iter_values(groups.iter().map(|g| g.to_bytes(self.bins))))])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.groups.resize_with(total, Bins::new);
        let state = column(values, 0)?;
        let buffers = state.as_binary_opt::<i32>().ok_or_else(|| wrong_column(state, 0))?;
        for (row, group) in groups.iter().enumerate().filter(|(row, _)| buffers.is_valid(*row)) {
            let damaged = || into_datafusion(SparkError::internal("the buffer of a histogram is damaged"));
            self.groups[*group].merge(from_bytes(buffers.value(row)).ok_or_else(damaged)?, self.bins);
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let fresh = Self { bins: self.bins, of: self.of.clone(), bin: self.bin.clone(), groups: Vec::new() };
        rows_as_groups(fresh, values, filter)
    }

    fn size(&self) -> usize {
        self.groups.iter().map(|g| 40 + g.bins.capacity() * 16).sum()
    }
}
