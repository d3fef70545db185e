//! `count_min_sketch`: result and buffer are Spark's serialised sketch: version, total, depth, width, hash factors, table.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use millstream_formats::condition::SparkError;
use millstream_formats::hash::{Murmur3, RowHash};

use super::java_random::JavaRandom;
use super::rows::{column, for_each_bytes, for_each_valid, rows_as_groups, wrong_column};
use super::udaf::{Aggregation, Bound};
use crate::kernel::into_datafusion;

/// `count_min_sketch`.
#[derive(Debug, Clone)]
pub struct CountMin {
    width: i32,
    /// One factor per row of the table.
    factors: Vec<i64>,
    parameters: String,
}

/// Cells beyond which a sketch is refused.
const CELLS_MAX: i64 = 1 << 27;

impl CountMin {
    /// A sketch within a relative error, with a confidence.
    ///
    /// # Errors
    /// If it would be too large.
    pub fn try_new(error: f64, confidence: f64, seed: i64) -> Result<Self, SparkError> {
        let width = (2.0 / error).ceil();
        let depth = (-(-confidence).ln_1p() / 2f64.ln()).ceil();
        if width * depth > CELLS_MAX as f64 {
            return Err(SparkError::unsupported("A sketch of more than a gigabyte"));
        }
        let mut random = JavaRandom::new(seed);
        let factors = (0..depth as usize).map(|_| i64::from(random.next_int(i32::MAX))).collect();
        Ok(Self { width: width as i32, factors, parameters: format!("{error} {confidence} {seed}") })
    }

    /// The column of a whole number in a row of the table.
    fn place_of_long(&self, item: i64, row: usize) -> usize {
        let hash = self.factors[row].wrapping_mul(item);
        let hash = hash.wrapping_add(hash >> 32) & 0x7fff_ffff;
        (hash as i32 % self.width) as usize
    }

    /// The column of bytes in a row of the table.
    fn place_of_bytes(&self, first: i32, second: i32, row: usize) -> usize {
        let hash = first.wrapping_add((row as i32).wrapping_mul(second));
        (hash % self.width).unsigned_abs() as usize
    }
}

impl Aggregation for CountMin {
    fn name(&self) -> &str {
        "count_min_sketch"
    }

    fn parameters(&self) -> String {
        self.parameters.clone()
    }

    fn bind(&self, _arguments: &[DataType]) -> Result<Bound, SparkError> {
        let (state, this) = (vec![Field::new("buf", DataType::Binary, true)], Arc::new(self.clone()));
        Ok(Bound::new(DataType::Binary, false, state, move || CountMinGroups {
            call: Arc::clone(&this),
            groups: Vec::new(),
        }))
    }
}

/// Total and table of a group.
#[derive(Clone)]
struct Sketch {
    total: i64,
    table: Vec<i64>,
}

struct CountMinGroups {
    call: Arc<CountMin>,
    groups: Vec<Sketch>,
}

impl CountMinGroups {
    fn grow(&mut self, total: usize) {
        let cells = self.call.width as usize * self.call.factors.len();
        self.groups.resize_with(total, || Sketch { total: 0, table: vec![0; cells] });
    }

    fn add(&mut self, group: usize, place: impl Fn(&CountMin, usize) -> usize) {
        let width = self.call.width as usize;
        let sketch = &mut self.groups[group];
        sketch.total += 1;
        for row in 0..self.call.factors.len() {
            sketch.table[row * width + place(&self.call, row)] += 1;
        }
    }

    fn add_bytes(&mut self, group: usize, bytes: &[u8]) {
        let first = Murmur3::bytes(bytes, 0);
        let second = Murmur3::bytes(bytes, first);
        self.add(group, |call, row| call.place_of_bytes(first, second, row));
    }

    fn to_bytes(&self, sketch: &Sketch) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(20 + (self.call.factors.len() + sketch.table.len()) * 8);
        bytes.extend_from_slice(&1i32.to_be_bytes());
        bytes.extend_from_slice(&sketch.total.to_be_bytes());
        bytes.extend_from_slice(&(self.call.factors.len() as i32).to_be_bytes());
        bytes.extend_from_slice(&self.call.width.to_be_bytes());
        self.call.factors.iter().chain(&sketch.table).for_each(|v| bytes.extend_from_slice(&v.to_be_bytes()));
        bytes
    }
}

impl GroupsAccumulator for CountMinGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.grow(total);
        let array = column(values, 0)?;
        if !for_each_bytes(array, groups, filter, |group, bytes| self.add_bytes(group, bytes)) {
            let longs = cast(array, &DataType::Int64)?;
            let longs = longs.as_primitive::<Int64Type>();
            for_each_valid(groups, longs.nulls(), filter, |row, group| {
                self.add(group, |call, table_row| call.place_of_long(longs.value(row), table_row));
            });
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = emit_to.take_needed(&mut self.groups);
        Ok(Arc::new(BinaryArray::from_iter_values(groups.iter().map(|sketch| self.to_bytes(sketch)))))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        let state = column(values, 0)?;
        let buffers = state.as_binary_opt::<i32>().ok_or_else(|| wrong_column(state, 0))?;
        let header = 20 + self.call.factors.len() * 8;
        for (row, group) in groups.iter().enumerate().filter(|(row, _)| buffers.is_valid(*row)) {
            let damaged = || into_datafusion(SparkError::internal("the buffer of a sketch is damaged"));
            let bytes = buffers.value(row);
            let sketch = &mut self.groups[*group];
            let table = bytes.get(header..).filter(|t| t.len() == sketch.table.len() * 8).ok_or_else(damaged)?;
            let more = bytes.get(4..12).and_then(|b| b.first_chunk::<8>()).ok_or_else(damaged)?;
            sketch.total += i64::from_be_bytes(*more);
            for (cell, bytes) in sketch.table.iter_mut().zip(table.chunks_exact(8)) {
                *cell += bytes.first_chunk::<8>().map_or(0, |b| i64::from_be_bytes(*b));
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        rows_as_groups(Self { call: Arc::clone(&self.call), groups: Vec::new() }, values, filter)
    }

    fn size(&self) -> usize {
        self.groups.iter().map(|g| 32 + g.table.capacity() * 8).sum()
    }
}
