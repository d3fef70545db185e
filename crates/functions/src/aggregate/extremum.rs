//! `min`, `max`, `bool_and`, `bool_or`: one buffer field of the argument's type.
//!
//! Order is Spark's: NaN is above every number, `-0.0` equals `0.0` (the first one seen stays), strings and binaries compare
//! by bytes, structs and arrays field by field with nulls first.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, PrimitiveArray, StringArray, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowNativeType, DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Field, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, IntervalUnit, IntervalYearMonthType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType,
};
use arrow::row::{RowConverter, SortField};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use millstream_formats::condition::SparkError;

use super::canonical::canonical;
use super::rows::{
    GroupBits, boolean, buffer_is_result, column, for_each_bytes, for_each_valid, primitive, wrong_column,
};
use super::udaf::{Aggregation, Bound, MakeGroups, not_coerced};

/// Which end of the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extremum {
    /// The smallest.
    Min,
    /// The largest.
    Max,
}

impl Extremum {
    /// Whether a value that compares like this with the one kept takes its place.
    #[inline]
    pub fn wins(self, new_to_kept: Ordering) -> bool {
        new_to_kept == if self == Extremum::Min { Ordering::Less } else { Ordering::Greater }
    }
}

impl Aggregation for Extremum {
    fn name(&self) -> &str {
        if *self == Extremum::Min { "min" } else { "max" }
    }

    fn bind(&self, arguments: &[DataType]) -> Result<Bound, SparkError> {
        let [data_type] = arguments else { return Err(not_coerced(self.name(), arguments)) };
        let state = vec![Field::new(self.name(), data_type.clone(), true)];
        Ok(Bound { result: data_type.clone(), nullable: true, state, make: make(*self, data_type) })
    }
}

fn make(end: Extremum, data_type: &DataType) -> MakeGroups {
    let of = data_type.clone();
    macro_rules! ordered {
        ($t:ty) => {
            Arc::new(move || Box::new(PrimitiveExtremum::<$t>::new(end, of.clone(), Ord::cmp)))
        };
    }
    match data_type {
        DataType::Int8 => ordered!(Int8Type),
        DataType::Int16 => ordered!(Int16Type),
        DataType::Int32 => ordered!(Int32Type),
        DataType::Int64 => ordered!(Int64Type),
        DataType::Date32 => ordered!(Date32Type),
        DataType::Timestamp(TimeUnit::Microsecond, _) => ordered!(TimestampMicrosecondType),
        DataType::Time64(TimeUnit::Nanosecond) => ordered!(Time64NanosecondType),
        DataType::Duration(TimeUnit::Microsecond) => ordered!(DurationMicrosecondType),
        DataType::Interval(IntervalUnit::YearMonth) => ordered!(IntervalYearMonthType),
        DataType::Decimal128(..) => ordered!(Decimal128Type),
        DataType::Float32 => {
            Arc::new(move || Box::new(PrimitiveExtremum::<Float32Type>::new(end, of.clone(), compare_f32)))
        }
        DataType::Float64 => {
            Arc::new(move || Box::new(PrimitiveExtremum::<Float64Type>::new(end, of.clone(), compare_f64)))
        }
        DataType::Boolean => Arc::new(move || {
            Box::new(BooleanExtremum { end, values: GroupBits::default(), seen: GroupBits::default() })
        }),
        DataType::Utf8 | DataType::Binary => {
            Arc::new(move || Box::new(BytesExtremum { end, of: of.clone(), values: Vec::new() }))
        }
        _ => Arc::new(move || Box::new(RowExtremum { end, of: of.clone(), values: Vec::new() })),
    }
}

/// Spark's order of doubles.
pub fn compare_f64(left: &f64, right: &f64) -> Ordering {
    left.partial_cmp(right).unwrap_or_else(|| left.is_nan().cmp(&right.is_nan()))
}

/// Spark's order of floats.
pub fn compare_f32(left: &f32, right: &f32) -> Ordering {
    left.partial_cmp(right).unwrap_or_else(|| left.is_nan().cmp(&right.is_nan()))
}

struct PrimitiveExtremum<T: ArrowPrimitiveType> {
    end: Extremum,
    of: DataType,
    compare: fn(&T::Native, &T::Native) -> Ordering,
    values: Vec<T::Native>,
    seen: GroupBits,
}

impl<T: ArrowPrimitiveType> PrimitiveExtremum<T> {
    fn new(end: Extremum, of: DataType, compare: fn(&T::Native, &T::Native) -> Ordering) -> Self {
        Self { end, of, compare, values: Vec::new(), seen: GroupBits::default() }
    }
}

impl<T: ArrowPrimitiveType> GroupsAccumulator for PrimitiveExtremum<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.values.resize(total, T::Native::usize_as(0));
        self.seen.grow(total);
        let array = primitive::<T>(values, 0)?;
        let (kept, seen, end, compare) = (&mut self.values, &mut self.seen, self.end, self.compare);
        let data = array.values();
        for_each_valid(groups, array.nulls(), filter, |row, group| {
            let value = data[row];
            if !seen.get(group) || end.wins(compare(&value, &kept[group])) {
                kept[group] = value;
                seen.set(group, true);
            }
        });
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let nulls = NullBuffer::new(self.seen.emit(emit_to));
        let values = emit_to.take_needed(&mut self.values);
        Ok(Arc::new(PrimitiveArray::<T>::new(values.into(), Some(nulls)).with_data_type(self.of.clone())))
    }

    buffer_is_result!(|s| Self::new(s.end, s.of.clone(), s.compare));

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<T::Native>() + self.seen.size()
    }
}

struct BooleanExtremum {
    end: Extremum,
    values: GroupBits,
    seen: GroupBits,
}

impl GroupsAccumulator for BooleanExtremum {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.values.grow(total);
        self.seen.grow(total);
        let array = boolean(values, 0)?;
        let decisive = self.end == Extremum::Max;
        for_each_valid(groups, array.nulls(), filter, |row, group| {
            let value = array.value(row);
            if !self.seen.get(group) || value == decisive {
                self.values.set(group, value);
                self.seen.set(group, true);
            }
        });
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let nulls = NullBuffer::new(self.seen.emit(emit_to));
        Ok(Arc::new(BooleanArray::new(self.values.emit(emit_to), Some(nulls))))
    }

    buffer_is_result!(|s| Self { end: s.end, values: GroupBits::default(), seen: GroupBits::default() });

    fn size(&self) -> usize {
        self.values.size() + self.seen.size()
    }
}

/// Strings and binaries.
struct BytesExtremum {
    end: Extremum,
    of: DataType,
    values: Vec<Option<Vec<u8>>>,
}

impl BytesExtremum {
    fn offer(&mut self, group: usize, value: &[u8]) {
        match &mut self.values[group] {
            Some(kept) if !self.end.wins(value.cmp(kept.as_slice())) => {}
            Some(kept) => {
                kept.clear();
                kept.extend_from_slice(value);
            }
            none => *none = Some(value.to_vec()),
        }
    }
}

impl GroupsAccumulator for BytesExtremum {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.values.resize(total, None);
        let array = column(values, 0)?;
        let are_bytes = for_each_bytes(array, groups, filter, |group, value| self.offer(group, value));
        if are_bytes { Ok(()) } else { Err(wrong_column(array, 0)) }
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let values = emit_to.take_needed(&mut self.values);
        let binaries: BinaryArray = values.iter().map(|v| v.as_deref()).collect();
        Ok(match self.of {
            DataType::Utf8 => Arc::new(StringArray::try_from_binary(binaries)?),
            _ => Arc::new(binaries),
        })
    }

    buffer_is_result!(|s| Self { end: s.end, of: s.of.clone(), values: Vec::new() });

    fn size(&self) -> usize {
        self.values.iter().map(|v| 24 + v.as_ref().map_or(0, Vec::capacity)).sum()
    }
}

/// Structs and arrays, by their comparable form.
struct RowExtremum {
    end: Extremum,
    of: DataType,
    values: Vec<Option<Box<[u8]>>>,
}

impl GroupsAccumulator for RowExtremum {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.values.resize(total, None);
        let array = column(values, 0)?;
        let converter = RowConverter::new(vec![SortField::new(self.of.clone())])?;
        let rows = converter.convert_columns(&[canonical(array)?])?;
        for_each_valid(groups, array.logical_nulls().as_ref(), filter, |row, group| {
            let value = rows.row(row);
            match &self.values[group] {
                Some(kept) if !self.end.wins(value.as_ref().cmp(kept)) => {}
                _ => self.values[group] = Some(value.as_ref().into()),
            }
        });
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        rows_to_array(&self.of, emit_to.take_needed(&mut self.values))
    }

    buffer_is_result!(|s| Self { end: s.end, of: s.of.clone(), values: Vec::new() });

    fn size(&self) -> usize {
        self.values.iter().map(|v| 16 + v.as_ref().map_or(0, |b| b.len())).sum()
    }
}

/// Values from their comparable form; none becomes null.
pub fn rows_to_array(data_type: &DataType, values: Vec<Option<Box<[u8]>>>) -> Result<ArrayRef> {
    let converter = RowConverter::new(vec![SortField::new(data_type.clone())])?;
    let null = converter.convert_columns(&[new_null_array(data_type, 1)])?;
    let parser = converter.parser();
    let rows = values.iter().map(|v| v.as_deref().map_or_else(|| null.row(0), |bytes| parser.parse(bytes)));
    let mut columns = converter.convert_rows(rows)?;
    columns.pop().ok_or_else(|| super::rows::wrong_column(&new_null_array(data_type, 0), 0))
}
