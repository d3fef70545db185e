//! Aggregates that count how often each value occurs: `percentile`, `percentile_cont`, `percentile_disc`, `median`, `mode`.
//!
//! The buffer is Spark's: for each value its length (int32 BE) and an `UnsafeRow` of value and count, then -1.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array, Int64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, DurationMicrosecondType, Field, Float64Type, Int64Type, IntervalUnit, IntervalYearMonthType,
};
use arrow::row::{RowConverter, SortField};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use hashbrown::HashMap;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::row::{RowBuffer, RowDecoder, RowEncoder};

use super::canonical::canonical;
use super::rows::{column, for_each_valid, primitive, rows_as_groups, wrong_column};
use super::udaf::{Aggregation, Bound, not_coerced};
use crate::kernel::into_datafusion;
use crate::types;

/// What is made of the counted values.
#[derive(Debug, Clone, PartialEq)]
pub enum Counted {
    /// Percentiles, interpolated between values (`percentile`) or one of the values (`percentile_disc`).
    Percentile {
        /// From 0 to 1.
        fractions: Vec<f64>,
        /// An array even of one fraction.
        array: bool,
        /// One of the values.
        discrete: bool,
        /// Values are ordered from the largest.
        descending: bool,
    },
    /// The most frequent value; of several the smallest, the largest if `largest`.
    Mode {
        /// Of several equally frequent values the largest.
        largest: bool,
    },
}

impl Aggregation for Counted {
    fn name(&self) -> &str {
        match self {
            Counted::Percentile { discrete: true, .. } => "percentile_disc",
            Counted::Percentile { .. } => "percentile",
            Counted::Mode { .. } => "mode",
        }
    }

    fn parameters(&self) -> String {
        format!("{self:?}")
    }

    fn bind(&self, arguments: &[DataType]) -> Result<Bound, SparkError> {
        let Some(of) = arguments.first() else { return Err(not_coerced(self.name(), arguments)) };
        let single = match (self, of) {
            (Counted::Mode { .. }, _) => of.clone(),
            (_, DataType::Duration(_) | DataType::Interval(IntervalUnit::YearMonth)) => of.clone(),
            _ => DataType::Float64,
        };
        let result = match self {
            Counted::Percentile { array: true, .. } => types::array(single, false),
            _ => single,
        };
        let state = vec![Field::new("buf", DataType::Binary, true)];
        let (call, of, out) = (Arc::new(self.clone()), of.clone(), result.clone());
        Ok(Bound::new(result, true, state, move || CountedGroups::new(Arc::clone(&call), of.clone(), out.clone())))
    }
}

struct CountedGroups {
    call: Arc<Counted>,
    of: DataType,
    result: DataType,
    /// Counts of values in comparable form.
    groups: Vec<HashMap<Box<[u8]>, i64>>,
}

impl CountedGroups {
    fn new(call: Arc<Counted>, of: DataType, result: DataType) -> Self {
        Self { call, of, result, groups: Vec::new() }
    }

    fn converter(&self) -> Result<RowConverter> {
        Ok(RowConverter::new(vec![SortField::new(self.of.clone())])?)
    }

    fn count(&mut self, group: usize, value: &[u8], times: i64) {
        match self.groups[group].get_mut(value) {
            Some(count) => *count += times,
            None => drop(self.groups[group].insert(value.into(), times)),
        }
    }

    /// The values of a group in order and how often each occurs.
    fn sorted(&self, group: HashMap<Box<[u8]>, i64>, converter: &RowConverter) -> Result<(ArrayRef, Vec<i64>)> {
        let mut entries: Vec<(Box<[u8]>, i64)> = group.into_iter().collect();
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        if matches!(&*self.call, Counted::Percentile { descending: true, .. }) {
            entries.reverse();
        }
        let parser = converter.parser();
        let columns = converter.convert_rows(entries.iter().map(|(value, _)| parser.parse(value)))?;
        Ok((Arc::clone(column(&columns, 0)?), entries.into_iter().map(|(_, n)| n).collect()))
    }

    fn modes(&self, groups: Vec<HashMap<Box<[u8]>, i64>>, largest: bool) -> Result<ArrayRef> {
        let best = |group: HashMap<Box<[u8]>, i64>| {
            let order = |a: &(Box<[u8]>, i64), b: &(Box<[u8]>, i64)| {
                let by_value = if largest { a.0.cmp(&b.0) } else { b.0.cmp(&a.0) };
                a.1.cmp(&b.1).then(by_value)
            };
            group.into_iter().max_by(order).map(|(value, _)| value)
        };
        super::extremum::rows_to_array(&self.of, groups.into_iter().map(best).collect())
    }
}

/// The percentile of sorted values at a fraction.
fn percentile(values: &Float64Array, counts: &[i64], fraction: f64, discrete: bool) -> f64 {
    let total: i64 = counts.iter().sum();
    let at = |position: i64| {
        let mut before = 0;
        let index = counts.iter().position(|n| {
            before += n;
            before > position
        });
        values.value(index.unwrap_or(values.len() - 1))
    };
    if discrete {
        // The first value whose share of all rows, with those before it, reaches the fraction.
        let wanted = fraction * total as f64;
        let mut before = 0;
        let index = counts.iter().position(|n| {
            before += n;
            before as f64 >= wanted
        });
        return values.value(index.unwrap_or(values.len() - 1));
    }
    let position = (total - 1) as f64 * fraction;
    let (lower, higher) = (position.floor(), position.ceil());
    let (low, high) = (at(lower as i64), at(higher as i64));
    if lower == higher || low == high { low } else { (higher - position) * low + (position - lower) * high }
}

fn to_double(values: &ArrayRef) -> Result<ArrayRef> {
    Ok(match values.data_type() {
        DataType::Duration(_) => {
            Arc::new(values.as_primitive::<DurationMicrosecondType>().unary::<_, Float64Type>(|v| v as f64))
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            Arc::new(values.as_primitive::<IntervalYearMonthType>().unary::<_, Float64Type>(f64::from))
        }
        _ => cast(values, &DataType::Float64)?,
    })
}

/// Doubles in the type of a result, intervals cut off to whole units.
fn from_double(values: Float64Array, data_type: &DataType) -> ArrayRef {
    match data_type {
        DataType::Duration(_) => Arc::new(values.unary::<_, DurationMicrosecondType>(|v| v as i64)),
        DataType::Interval(_) => Arc::new(values.unary::<_, IntervalYearMonthType>(|v| v as i32)),
        _ => Arc::new(values),
    }
}

fn negative_frequency(count: i64) -> DataFusionError {
    into_datafusion(SparkError::new(
        ExceptionClass::Runtime,
        "INTERNAL_ERROR",
        "XX000",
        format!("Negative values found in frequency: {count}"),
    ))
}

impl GroupsAccumulator for CountedGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.groups.resize_with(total, HashMap::new);
        let array = column(values, 0)?;
        let rows = self.converter()?.convert_columns(&[canonical(array)?])?;
        let frequency = if values.len() > 1 { Some(cast(column(values, 1)?, &DataType::Int64)?) } else { None };
        let frequency = frequency.as_ref().map(|f| f.as_primitive::<Int64Type>());
        let mut negative = None;
        for_each_valid(groups, array.logical_nulls().as_ref(), filter, |row, group| {
            let times = frequency.map_or(1, |f| if f.is_null(row) { 0 } else { f.value(row) });
            if times < 0 {
                negative = Some(times);
            } else if times > 0 {
                self.count(group, rows.row(row).as_ref(), times);
            }
        });
        negative.map_or(Ok(()), |count| Err(negative_frequency(count)))
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = emit_to.take_needed(&mut self.groups);
        let call = Arc::clone(&self.call);
        let (fractions, array, discrete) = match &*call {
            Counted::Mode { largest } => return self.modes(groups, *largest),
            Counted::Percentile { fractions, array, discrete, .. } => (fractions, *array, *discrete),
        };
        let converter = self.converter()?;
        let mut results: Vec<Option<f64>> = Vec::new();
        let mut valid = Vec::with_capacity(groups.len());
        for group in groups {
            valid.push(!group.is_empty());
            let (values, counts) = self.sorted(group, &converter)?;
            let values = to_double(&values)?;
            let values = values.as_primitive::<Float64Type>();
            match (counts.is_empty(), array) {
                (true, true) => {}
                (true, false) => results.push(None),
                (false, _) => results.extend(fractions.iter().map(|f| Some(percentile(values, &counts, *f, discrete)))),
            }
        }
        if !array {
            return Ok(from_double(Float64Array::from(results), &self.result));
        }
        let DataType::List(item) = &self.result else {
            return Err(wrong_column(&arrow::array::new_empty_array(&self.result), 0));
        };
        let lengths = valid.iter().map(|v| if *v { fractions.len() } else { 0 });
        let values = from_double(Float64Array::from(results), item.data_type());
        Ok(Arc::new(ListArray::try_new(
            Arc::clone(item),
            OffsetBuffer::from_lengths(lengths),
            values,
            Some(valid.into()),
        )?))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = emit_to.take_needed(&mut self.groups);
        let encoder = RowEncoder::for_values(&[self.of.clone(), DataType::Int64]).map_err(into_datafusion)?;
        let converter = self.converter()?;
        let mut buffers: Vec<Vec<u8>> = Vec::with_capacity(groups.len());
        let mut rows = RowBuffer::new();
        for group in groups {
            let (values, counts) = self.sorted(group, &converter)?;
            rows.clear();
            let count = counts.len();
            encoder
                .encode(&[values, Arc::new(Int64Array::from(counts))], 0..count, &mut rows)
                .map_err(into_datafusion)?;
            let mut buffer = Vec::new();
            for row in rows.iter() {
                buffer.extend_from_slice(&(row.len() as i32).to_be_bytes());
                buffer.extend_from_slice(row);
            }
            buffer.extend_from_slice(&(-1i32).to_be_bytes());
            buffers.push(buffer);
        }
        Ok(vec![Arc::new(BinaryArray::from_iter_values(buffers))])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.groups.resize_with(total, HashMap::new);
        let state = column(values, 0)?;
        let buffers = state.as_binary_opt::<i32>().ok_or_else(|| wrong_column(state, 0))?;
        let (mut rows, mut of_rows): (Vec<&[u8]>, Vec<usize>) = (Vec::new(), Vec::new());
        for (row, group) in groups.iter().enumerate().filter(|(row, _)| buffers.is_valid(*row)) {
            let mut rest = buffers.value(row);
            while let Some((entry, after)) = next_entry(rest)? {
                rows.push(entry);
                of_rows.push(*group);
                rest = after;
            }
        }
        let columns = RowDecoder::new(&[self.of.clone(), DataType::Int64])
            .decode(rows.iter().copied())
            .map_err(into_datafusion)?;
        let keys = self.converter()?.convert_columns(&[Arc::clone(column(&columns, 0)?)])?;
        let counts = primitive::<Int64Type>(&columns, 1)?;
        for (row, group) in of_rows.into_iter().enumerate() {
            self.count(group, keys.row(row).as_ref(), counts.value(row));
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        rows_as_groups(Self::new(Arc::clone(&self.call), self.of.clone(), self.result.clone()), values, filter)
    }

    fn size(&self) -> usize {
        self.groups.iter().map(|g| 48 + g.iter().map(|(value, _)| value.len() + 32).sum::<usize>()).sum()
    }
}

/// The first entry of a buffer and what follows; none at the end.
fn next_entry(buffer: &[u8]) -> Result<Option<(&[u8], &[u8])>> {
    let damaged = || into_datafusion(SparkError::internal("a buffer of counted values is damaged"));
    let (length, rest) = buffer.split_first_chunk::<4>().ok_or_else(damaged)?;
    match usize::try_from(i32::from_be_bytes(*length)) {
        Err(_) => Ok(None),
        Ok(length) => rest.split_at_checked(length).map(Some).ok_or_else(damaged),
    }
}
