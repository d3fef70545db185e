//! `sum`, `try_sum`: the buffer of a sum of integers is `sum: long`, of floating numbers `sum: double`, of short decimals `sum: long`
//! (unscaled), of longer ones `sum: decimal, isEmpty: boolean`, of intervals `sum` of their type; `try_sum` of integers adds
//! `isEmpty`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowNativeType, DataType, Decimal128Type, DurationMicrosecondType, Field, Float64Type, Int64Type, IntervalUnit,
    IntervalYearMonthType, TimeUnit,
};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use millstream_formats::condition::{ExceptionClass, SparkError};

use super::rows::{GroupBits, boolean, buffer_is_result, column, for_each_valid, primitive, rows_as_groups};
use super::udaf::{Aggregation, Bound, not_coerced};
use crate::kernel::into_datafusion;

/// What a sum does when it leaves the range of its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// An error.
    Fail,
    /// Null.
    Null,
    /// Integers wrap around, decimals become null.
    Wrap,
}

/// Digits of a decimal whose sum Spark keeps as a long.
pub const LONG_SUM_DIGITS: u8 = 8;

/// `sum`, `try_sum`.
#[derive(Debug, Clone, Copy)]
pub struct Sum {
    /// What happens on overflow.
    pub overflow: Overflow,
}

impl Aggregation for Sum {
    fn name(&self) -> &str {
        if self.overflow == Overflow::Null { "try_sum" } else { "sum" }
    }

    fn parameters(&self) -> String {
        format!("{:?}", self.overflow)
    }

    fn bind(&self, arguments: &[DataType]) -> Result<Bound, SparkError> {
        let overflow = self.overflow;
        let one = |data_type: DataType| vec![Field::new("sum", data_type, true)];
        let tracked = |data_type: DataType| {
            vec![Field::new("sum", data_type, true), Field::new("isEmpty", DataType::Boolean, false)]
        };
        let whole = |result: DataType| move || WholeSum::<Int64Type>::new(result.clone(), overflow, false);
        Ok(match arguments {
            [DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64] => match overflow {
                Overflow::Null => Bound::new(DataType::Int64, true, tracked(DataType::Int64), move || {
                    WholeSum::<Int64Type>::new(DataType::Int64, overflow, true)
                }),
                _ => Bound::new(DataType::Int64, true, one(DataType::Int64), whole(DataType::Int64)),
            },
            [DataType::Float32 | DataType::Float64 | DataType::Null] => {
                Bound::new(DataType::Float64, true, one(DataType::Float64), DoubleSum::default)
            }
            [DataType::Decimal128(p, s)] => {
                let result = DataType::Decimal128((p + 10).min(38), *s);
                if *p <= LONG_SUM_DIGITS {
                    Bound::new(result.clone(), true, one(DataType::Int64), move || {
                        WholeSum::<Int64Type>::new(result.clone(), overflow, false)
                    })
                } else {
                    Bound::new(result.clone(), true, tracked(result.clone()), move || {
                        DecimalSum::new(result.clone(), overflow)
                    })
                }
            }
            [interval @ DataType::Duration(TimeUnit::Microsecond)] => {
                let (result, fail) = (interval.clone(), interval_overflow(overflow));
                Bound::new(interval.clone(), true, one(interval.clone()), move || {
                    WholeSum::<DurationMicrosecondType>::new(result.clone(), fail, false)
                })
            }
            [interval @ DataType::Interval(IntervalUnit::YearMonth)] => {
                let (result, fail) = (interval.clone(), interval_overflow(overflow));
                Bound::new(interval.clone(), true, one(interval.clone()), move || {
                    WholeSum::<IntervalYearMonthType>::new(result.clone(), fail, false)
                })
            }
            other => return Err(not_coerced(self.name(), other)),
        })
    }
}

/// Intervals fail on overflow also without ANSI mode.
fn interval_overflow(overflow: Overflow) -> Overflow {
    if overflow == Overflow::Null { Overflow::Null } else { Overflow::Fail }
}

/// `ARITHMETIC_OVERFLOW`; `what` is `long overflow` or the like.
pub fn arithmetic_overflow(what: &str, alternative: &str) -> datafusion::common::DataFusionError {
    let hint = if alternative.is_empty() {
        String::new()
    } else {
        format!(" Use '{alternative}' to tolerate overflow and return NULL instead.")
    };
    into_datafusion(
        SparkError::new(
            ExceptionClass::Arithmetic,
            "ARITHMETIC_OVERFLOW",
            "22003",
            format!("{what}.{hint} If necessary set \"spark.sql.ansi.enabled\" to \"false\" to bypass this error."),
        )
        .with("message", what)
        .with("alternative", hint)
        .with("config", "\"spark.sql.ansi.enabled\""),
    )
}

/// A whole number that sums are kept in.
pub trait Whole: ArrowNativeType {
    /// The sum, if it is in range.
    fn add(self, other: Self) -> Option<Self>;
    /// The sum, wrapped around.
    fn add_wrapping(self, other: Self) -> Self;
}

macro_rules! whole {
    ($($native:ty),*) => {$(
        impl Whole for $native {
            fn add(self, other: Self) -> Option<Self> { self.checked_add(other) }
            fn add_wrapping(self, other: Self) -> Self { self.wrapping_add(other) }
        }
    )*};
}
whole!(i32, i64);

/// A sum kept as a whole number of type `T`, null for a group without values.
struct WholeSum<T: ArrowPrimitiveType> {
    result: DataType,
    overflow: Overflow,
    /// Whether the buffer has `isEmpty`; a sum that is null and not empty has overflowed.
    tracked: bool,
    sums: Vec<T::Native>,
    seen: GroupBits,
    overflown: GroupBits,
}

impl<T: ArrowPrimitiveType> WholeSum<T>
where
    T::Native: Whole,
{
    fn new(result: DataType, overflow: Overflow, tracked: bool) -> Self {
        Self {
            result,
            overflow,
            tracked,
            sums: Vec::new(),
            seen: GroupBits::default(),
            overflown: GroupBits::default(),
        }
    }

    fn grow(&mut self, total: usize) {
        self.sums.resize(total, T::Native::usize_as(0));
        self.seen.grow(total);
        self.overflown.grow(total);
    }

    fn add(&mut self, values: &PrimitiveArray<T>, groups: &[usize], filter: Option<&BooleanArray>) -> Result<()> {
        let (sums, seen, overflown) = (&mut self.sums, &mut self.seen, &mut self.overflown);
        let data = values.values();
        let mut failed = false;
        match self.overflow {
            Overflow::Wrap => for_each_valid(groups, values.nulls(), filter, |row, group| {
                sums[group] = sums[group].add_wrapping(data[row]);
                seen.set(group, true);
            }),
            Overflow::Fail => for_each_valid(groups, values.nulls(), filter, |row, group| {
                match sums[group].add(data[row]) {
                    Some(sum) => sums[group] = sum,
                    None => failed = true,
                }
                seen.set(group, true);
            }),
            Overflow::Null => for_each_valid(groups, values.nulls(), filter, |row, group| {
                match sums[group].add(data[row]) {
                    Some(sum) => sums[group] = sum,
                    None => overflown.set(group, true),
                }
                seen.set(group, true);
            }),
        }
        match failed {
            true if T::DATA_TYPE == DataType::Int64 => Err(arithmetic_overflow("long overflow", "try_sum")),
            true => Err(arithmetic_overflow("interval overflow", "try_add")),
            false => Ok(()),
        }
    }

    /// Values as the type sums are kept in.
    fn widen(&self, values: &ArrayRef) -> Result<ArrayRef> {
        Ok(match values.data_type() {
            DataType::Int8 | DataType::Int16 | DataType::Int32 => cast(values, &DataType::Int64)?,
            DataType::Decimal128(..) => {
                let decimals = values.as_primitive::<Decimal128Type>();
                Arc::new(decimals.unary::<_, Int64Type>(|v| v as i64))
            }
            _ => Arc::clone(values),
        })
    }

    fn emit(&mut self, emit_to: EmitTo) -> (PrimitiveArray<T>, arrow::buffer::BooleanBuffer) {
        let (seen, overflown) = (self.seen.emit(emit_to), self.overflown.emit(emit_to));
        let valid = NullBuffer::new(&seen & &!&overflown);
        (PrimitiveArray::new(emit_to.take_needed(&mut self.sums).into(), Some(valid)), seen)
    }
}

impl<T: ArrowPrimitiveType> GroupsAccumulator for WholeSum<T>
where
    T::Native: Whole,
{
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.grow(total);
        let wide = self.widen(column(values, 0)?)?;
        self.add(primitive::<T>(&[wide], 0)?, groups, filter)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (sums, _) = self.emit(emit_to);
        Ok(match &self.result {
            DataType::Decimal128(..) => {
                let values: Vec<i128> = sums.values().iter().map(|v| v.to_i64().unwrap_or_default().into()).collect();
                Arc::new(
                    PrimitiveArray::<Decimal128Type>::new(values.into(), sums.nulls().cloned())
                        .with_data_type(self.result.clone()),
                )
            }
            _ => Arc::new(sums),
        })
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        if !self.tracked {
            return Ok(vec![Arc::new(self.emit(emit_to).0)]);
        }
        let (seen, overflown) = (self.seen.emit(emit_to), self.overflown.emit(emit_to));
        // A sum without values is 0 and empty: Spark, which goes on from it, would add to a null in vain.
        let sums =
            PrimitiveArray::<T>::new(emit_to.take_needed(&mut self.sums).into(), Some(NullBuffer::new(!&overflown)));
        Ok(vec![Arc::new(sums), Arc::new(BooleanArray::new(!&seen, None))])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        let sums = primitive::<T>(values, 0)?;
        if !self.tracked {
            return self.add(sums, groups, None);
        }
        let empty = boolean(values, 1)?;
        for (row, group) in groups.iter().enumerate() {
            if sums.is_null(row) && !empty.value(row) {
                self.seen.set(*group, true);
                self.overflown.set(*group, true);
            }
        }
        self.add(sums, groups, Some(&BooleanArray::new(!empty.values(), None)))
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        rows_as_groups(Self::new(self.result.clone(), self.overflow, self.tracked), values, filter)
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<T::Native>() + self.seen.size() + self.overflown.size()
    }
}

/// A sum of floating numbers.
#[derive(Default)]
struct DoubleSum {
    sums: Vec<f64>,
    seen: GroupBits,
}

impl GroupsAccumulator for DoubleSum {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.sums.resize(total, 0.0);
        self.seen.grow(total);
        let wide = cast(column(values, 0)?, &DataType::Float64)?;
        let wide = wide.as_primitive::<Float64Type>();
        let (sums, seen) = (&mut self.sums, &mut self.seen);
        for_each_valid(groups, wide.nulls(), filter, |row, group| {
            sums[group] += wide.value(row);
            seen.set(group, true);
        });
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let nulls = NullBuffer::new(self.seen.emit(emit_to));
        Ok(Arc::new(PrimitiveArray::<Float64Type>::new(emit_to.take_needed(&mut self.sums).into(), Some(nulls))))
    }

    buffer_is_result!(|_| Self::default());

    fn size(&self) -> usize {
        self.sums.capacity() * 8 + self.seen.size()
    }
}

/// Sums of decimals, unscaled, null once they have left the range of their type.
#[derive(Default)]
pub(super) struct DecimalSums {
    /// Unscaled sums.
    pub sums: Vec<i128>,
    /// Groups that have overflowed.
    pub overflown: GroupBits,
}

impl DecimalSums {
    pub fn grow(&mut self, total: usize) {
        self.sums.resize(total, 0);
        self.overflown.grow(total);
    }

    #[inline]
    pub fn add(&mut self, group: usize, value: i128) {
        match self.sums[group].checked_add(value) {
            Some(sum) => self.sums[group] = sum,
            None => self.overflown.set(group, true),
        }
    }

    /// Sums of a type; those out of its range are null, or an error if overflow fails.
    pub fn emit(
        &mut self,
        emit_to: EmitTo,
        data_type: &DataType,
        overflow: Overflow,
    ) -> Result<PrimitiveArray<Decimal128Type>> {
        let DataType::Decimal128(precision, _) = data_type else {
            return Err(into_datafusion(SparkError::internal("a sum of decimals is a decimal")));
        };
        let bound = 10i128.checked_pow((*precision).into()).unwrap_or(i128::MAX);
        let overflown = self.overflown.emit(emit_to);
        let sums = emit_to.take_needed(&mut self.sums);
        let valid: Vec<bool> =
            sums.iter().enumerate().map(|(i, v)| !overflown.value(i) && *v < bound && *v > -bound).collect();
        if overflow == Overflow::Fail && valid.contains(&false) {
            return Err(arithmetic_overflow("Overflow in sum of decimals", "try_sum"));
        }
        Ok(PrimitiveArray::new(sums.into(), Some(NullBuffer::from(valid))).with_data_type(data_type.clone()))
    }
}

struct DecimalSum {
    result: DataType,
    overflow: Overflow,
    sums: DecimalSums,
    seen: GroupBits,
}

impl DecimalSum {
    fn new(result: DataType, overflow: Overflow) -> Self {
        Self { result, overflow, sums: DecimalSums::default(), seen: GroupBits::default() }
    }
}

impl GroupsAccumulator for DecimalSum {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.sums.grow(total);
        self.seen.grow(total);
        let values = primitive::<Decimal128Type>(values, 0)?;
        let (sums, seen) = (&mut self.sums, &mut self.seen);
        for_each_valid(groups, values.nulls(), filter, |row, group| {
            sums.add(group, values.value(row));
            seen.set(group, true);
        });
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let seen = self.seen.emit(emit_to);
        let sums = self.sums.emit(emit_to, &self.result, self.overflow)?;
        let nulls = NullBuffer::union(sums.nulls(), Some(&NullBuffer::new(seen)));
        Ok(Arc::new(
            PrimitiveArray::<Decimal128Type>::new(sums.values().clone(), nulls).with_data_type(self.result.clone()),
        ))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let seen = self.seen.emit(emit_to);
        let sums = self.sums.emit(emit_to, &self.result, Overflow::Null)?;
        Ok(vec![Arc::new(sums), Arc::new(BooleanArray::new(!&seen, None))])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.sums.grow(total);
        self.seen.grow(total);
        let (sums, empty) = (primitive::<Decimal128Type>(values, 0)?, boolean(values, 1)?);
        for (row, group) in groups.iter().enumerate() {
            if empty.value(row) {
                continue;
            }
            self.seen.set(*group, true);
            match sums.is_null(row) {
                true => self.sums.overflown.set(*group, true),
                false => self.sums.add(*group, sums.value(row)),
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        rows_as_groups(Self::new(self.result.clone(), self.overflow), values, filter)
    }

    fn size(&self) -> usize {
        self.sums.sums.capacity() * 16 + self.seen.size()
    }
}
