//! `percentile_approx`: the summary of Greenwald and Khanna as Spark keeps it. The buffer is Spark's serialised digest.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Field, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, IntervalYearMonthType, TimestampMicrosecondType,
};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use millstream_formats::condition::SparkError;

use super::rows::{column, for_each_valid, rows_as_groups, wrong_column};
use super::udaf::{Aggregation, Bound, not_coerced};
use crate::kernel::into_datafusion;
use crate::types;

/// Values that wait before they are put into the summary.
const HEAD_MAX: usize = 50_000;
/// Samples above which the summary is compressed.
const COMPRESS_THRESHOLD: usize = 10_000;

/// `percentile_approx`.
#[derive(Debug, Clone, PartialEq)]
pub struct ApproxPercentile {
    /// From 0 to 1.
    pub fractions: Vec<f64>,
    /// An array even of one fraction.
    pub array: bool,
    /// 1 / relative error.
    pub accuracy: i64,
}

impl Aggregation for ApproxPercentile {
    fn name(&self) -> &str {
        "percentile_approx"
    }

    fn parameters(&self) -> String {
        format!("{self:?}")
    }

    fn bind(&self, arguments: &[DataType]) -> Result<Bound, SparkError> {
        let [of] = arguments else { return Err(not_coerced(self.name(), arguments)) };
        let result = if self.array { types::array(of.clone(), false) } else { of.clone() };
        let state = vec![Field::new("buf", DataType::Binary, true)];
        let (call, of) = (Arc::new(self.clone()), of.clone());
        Ok(Bound::new(result, true, state, move || ApproxGroups {
            call: Arc::clone(&call),
            of: of.clone(),
            groups: Vec::new(),
        }))
    }
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    value: f64,
    g: i64,
    delta: i64,
}

/// A summary of values within a relative error of rank.
#[derive(Debug, Clone)]
struct Summary {
    error: f64,
    count: i64,
    samples: Vec<Sample>,
    head: Vec<f64>,
}

impl Summary {
    fn new(error: f64) -> Self {
        Self { error, count: 0, samples: Vec::new(), head: Vec::new() }
    }

    fn insert(&mut self, value: f64) {
        self.head.push(value);
        if self.head.len() >= HEAD_MAX {
            self.flush();
            if self.samples.len() >= COMPRESS_THRESHOLD {
                self.compress();
            }
        }
    }

    /// Puts the waiting values into the samples.
    fn flush(&mut self) {
        if self.head.is_empty() {
            return;
        }
        let mut sorted = std::mem::take(&mut self.head);
        sorted.sort_unstable_by(super::extremum::compare_f64);
        let mut merged: Vec<Sample> = Vec::with_capacity(self.samples.len() + sorted.len());
        let mut next = 0;
        for (i, value) in sorted.iter().enumerate() {
            while let Some(sample) = self.samples.get(next).filter(|s| s.value <= *value) {
                merged.push(*sample);
                next += 1;
            }
            self.count += 1;
            let at_an_end = merged.is_empty() || (next == self.samples.len() && i == sorted.len() - 1);
            let delta = if at_an_end { 0 } else { (2.0 * self.error * self.count as f64).floor() as i64 };
            merged.push(Sample { value: *value, g: 1, delta });
        }
        merged.extend_from_slice(&self.samples[next..]);
        self.samples = merged;
    }

    fn compress(&mut self) {
        self.flush();
        self.samples = compressed(&self.samples, 2.0 * self.error * self.count as f64);
    }

    fn merge(&mut self, mut other: Summary) {
        self.compress();
        other.compress();
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = other;
            return;
        }
        let own_more = (2.0 * other.error * other.count as f64).floor() as i64;
        let other_more = (2.0 * self.error * self.count as f64).floor() as i64;
        let mut merged = Vec::with_capacity(self.samples.len() + other.samples.len());
        let (mut i, mut j) = (0, 0);
        while let (Some(own), Some(theirs)) = (self.samples.get(i), other.samples.get(j)) {
            let (sample, more) = if own.value < theirs.value {
                i += 1;
                (own, if j > 0 { own_more } else { 0 })
            } else {
                j += 1;
                (theirs, if i > 0 { other_more } else { 0 })
            };
            merged.push(Sample { delta: sample.delta + more, ..*sample });
        }
        merged.extend_from_slice(&self.samples[i..]);
        merged.extend_from_slice(&other.samples[j..]);
        self.error = self.error.max(other.error);
        self.count += other.count;
        self.samples = compressed(&merged, 2.0 * self.error * self.count as f64);
    }

    /// The values at these fractions; none if there are no values.
    fn query(&self, fractions: &[f64]) -> Option<Vec<f64>> {
        let (first, last) = (self.samples.first()?, self.samples.last()?);
        let target_error = self.samples.iter().map(|s| s.delta + s.g).max()? / 2;
        let mut order: Vec<usize> = (0..fractions.len()).collect();
        order.sort_by(|a, b| fractions[*a].total_cmp(&fractions[*b]));
        let mut found = vec![0.0; fractions.len()];
        let (mut index, mut rank_min) = (0, first.g);
        for position in order {
            let fraction = fractions[position];
            found[position] = if fraction <= self.error || self.samples.len() == 1 {
                first.value
            } else if fraction >= 1.0 - self.error {
                last.value
            } else {
                self.find(&mut index, &mut rank_min, target_error, fraction)
            };
        }
        Some(found)
    }

    fn find(&self, index: &mut usize, rank_min: &mut i64, target_error: i64, fraction: f64) -> f64 {
        let rank = (fraction * self.count as f64).ceil() as i64;
        let mut sample = self.samples[*index];
        while *index < self.samples.len() - 1 {
            let rank_max = *rank_min + sample.delta;
            if rank_max - target_error <= rank && rank <= *rank_min + target_error {
                return sample.value;
            }
            *index += 1;
            sample = self.samples[*index];
            *rank_min += sample.g;
        }
        *rank_min = 0;
        sample.value
    }

    fn into_bytes(mut self) -> Vec<u8> {
        self.compress();
        let mut bytes = Vec::with_capacity(24 + self.samples.len() * 24);
        bytes.extend_from_slice(&(COMPRESS_THRESHOLD as i32).to_be_bytes());
        bytes.extend_from_slice(&self.error.to_be_bytes());
        bytes.extend_from_slice(&self.count.to_be_bytes());
        bytes.extend_from_slice(&(self.samples.len() as i32).to_be_bytes());
        for sample in &self.samples {
            bytes.extend_from_slice(&sample.value.to_be_bytes());
            bytes.extend_from_slice(&sample.g.to_be_bytes());
            bytes.extend_from_slice(&sample.delta.to_be_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (_, rest) = bytes.split_first_chunk::<4>()?;
        let (error, rest) = rest.split_first_chunk::<8>()?;
        let (count, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
        let sample = |chunk: &[u8]| {
            let (value, rest) = chunk.split_first_chunk::<8>()?;
            let (g, rest) = rest.split_first_chunk::<8>()?;
            let delta = rest.first_chunk::<8>()?;
            Some(Sample {
                value: f64::from_be_bytes(*value),
                g: i64::from_be_bytes(*g),
                delta: i64::from_be_bytes(*delta),
            })
        };
        let samples = rest.get(..length.checked_mul(24)?)?.chunks_exact(24).map(sample).collect::<Option<Vec<_>>>()?;
        Some(Self { error: f64::from_be_bytes(*error), count: i64::from_be_bytes(*count), samples, head: Vec::new() })
    }
}

/// Joins neighbouring samples as long as the error allows; first and last stay.
fn compressed(samples: &[Sample], threshold: f64) -> Vec<Sample> {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Vec::new() };
    let mut kept = Vec::new();
    let mut head = *last;
    for sample in samples.iter().take(samples.len() - 1).skip(1).rev() {
        if ((sample.g + head.g + head.delta) as f64) < threshold {
            head.g += sample.g;
        } else {
            kept.push(head);
            head = *sample;
        }
    }
    kept.push(head);
    if first.value <= head.value && samples.len() > 1 {
        kept.push(*first);
    }
    kept.reverse();
    kept
}

struct ApproxGroups {
    call: Arc<ApproxPercentile>,
    of: DataType,
    groups: Vec<Summary>,
}

impl ApproxGroups {
    fn grow(&mut self, total: usize) {
        let error = 1.0 / self.call.accuracy as f64;
        self.groups.resize_with(total, || Summary::new(error));
    }
}

/// Values as doubles: numbers, and the units of dates, times and intervals.
pub(super) fn doubles(values: &ArrayRef) -> Result<Float64Array> {
    Ok(match values.data_type() {
        DataType::Date32 => values.as_primitive::<Date32Type>().unary(f64::from),
        DataType::Timestamp(..) => values.as_primitive::<TimestampMicrosecondType>().unary(|v| v as f64),
        DataType::Duration(_) => values.as_primitive::<DurationMicrosecondType>().unary(|v| v as f64),
        DataType::Interval(_) => values.as_primitive::<IntervalYearMonthType>().unary(f64::from),
        _ => cast(values, &DataType::Float64)?.as_primitive::<Float64Type>().clone(),
    })
}

/// Doubles back in the type they came from.
pub(super) fn typed(values: Float64Array, of: &DataType) -> ArrayRef {
    match of {
        DataType::Int8 => Arc::new(values.unary::<_, Int8Type>(|v| v as i8)),
        DataType::Int16 => Arc::new(values.unary::<_, Int16Type>(|v| v as i16)),
        DataType::Int32 => Arc::new(values.unary::<_, Int32Type>(|v| v as i32)),
        DataType::Int64 => Arc::new(values.unary::<_, Int64Type>(|v| v as i64)),
        DataType::Float32 => Arc::new(values.unary::<_, Float32Type>(|v| v as f32)),
        DataType::Date32 => Arc::new(values.unary::<_, Date32Type>(|v| v as i32)),
        DataType::Timestamp(..) => {
            Arc::new(values.unary::<_, TimestampMicrosecondType>(|v| v as i64).with_data_type(of.clone()))
        }
        DataType::Duration(_) => Arc::new(values.unary::<_, DurationMicrosecondType>(|v| v as i64)),
        DataType::Interval(_) => Arc::new(values.unary::<_, IntervalYearMonthType>(|v| v as i32)),
        DataType::Decimal128(_, scale) => {
            let factor = 10f64.powi((*scale).into());
            Arc::new(values.unary::<_, Decimal128Type>(|v| (v * factor).round() as i128).with_data_type(of.clone()))
        }
        _ => Arc::new(values),
    }
}

impl GroupsAccumulator for ApproxGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.grow(total);
        let values = doubles(column(values, 0)?)?;
        for_each_valid(groups, values.nulls(), filter, |row, group| self.groups[group].insert(values.value(row)));
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = emit_to.take_needed(&mut self.groups);
        let mut results: Vec<Option<f64>> = Vec::new();
        let mut valid = Vec::with_capacity(groups.len());
        for mut group in groups {
            group.compress();
            let found = group.query(&self.call.fractions);
            valid.push(found.is_some());
            match (found, self.call.array) {
                (Some(found), _) => results.extend(found.into_iter().map(Some)),
                (None, false) => results.push(None),
                (None, true) => {}
            }
        }
        let values = typed(Float64Array::from(results), &self.of);
        if !self.call.array {
            return Ok(values);
        }
        let lengths = valid.iter().map(|v| if *v { self.call.fractions.len() } else { 0 });
        let item = Arc::new(Field::new("element", self.of.clone(), false));
        Ok(Arc::new(ListArray::try_new(item, OffsetBuffer::from_lengths(lengths), values, Some(valid.into()))?))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = emit_to.take_needed(&mut self.groups);
        Ok(vec![Arc::new(BinaryArray::from_iter_values(groups.into_iter().map(Summary::into_bytes)))])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        let state = column(values, 0)?;
        let buffers = state.as_binary_opt::<i32>().ok_or_else(|| wrong_column(state, 0))?;
        for (row, group) in groups.iter().enumerate().filter(|(row, _)| buffers.is_valid(*row)) {
            let damaged = || into_datafusion(SparkError::internal("a summary of quantiles is damaged"));
            let summary = Summary::from_bytes(buffers.value(row)).ok_or_else(damaged)?;
            self.groups[*group].merge(summary);
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        rows_as_groups(Self { call: Arc::clone(&self.call), of: self.of.clone(), groups: Vec::new() }, values, filter)
    }

    fn size(&self) -> usize {
        self.groups.iter().map(|g| 64 + g.samples.capacity() * 24 + g.head.capacity() * 8).sum()
    }
}
