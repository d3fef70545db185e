//! `avg`, `try_avg`: the buffer of an average of numbers is `sum: double, count: long`, also of short decimals (unscaled), of longer
//! decimals `sum: decimal, count: long`, of intervals `sum` of their type and `count: long`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Decimal128Type, DurationMicrosecondType, Field, Float64Type, Int64Type, IntervalUnit,
    IntervalYearMonthType, TimeUnit,
};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use millstream_formats::condition::SparkError;

use super::rows::{column, for_each_valid, primitive, rows_as_groups};
use super::sum::{DecimalSums, Overflow, arithmetic_overflow};
use super::udaf::{Aggregation, Bound, not_coerced};

/// Digits of a decimal whose average Spark keeps as a double.
pub const DOUBLE_AVERAGE_DIGITS: u8 = 11;

/// `avg`, `try_avg`.
#[derive(Debug, Clone, Copy)]
pub struct Avg {
    /// What happens on overflow of a decimal or an interval.
    pub overflow: Overflow,
}

impl Aggregation for Avg {
    fn name(&self) -> &str {
        if self.overflow == Overflow::Null { "try_avg" } else { "avg" }
    }

    fn parameters(&self) -> String {
        format!("{:?}", self.overflow)
    }

    fn bind(&self, arguments: &[DataType]) -> Result<Bound, SparkError> {
        let overflow = self.overflow;
        let state = |sum: DataType| vec![Field::new("sum", sum, true), Field::new("count", DataType::Int64, true)];
        Ok(match arguments {
            [
                DataType::Int8
                | DataType::Int16
                | DataType::Int32
                | DataType::Int64
                | DataType::Float32
                | DataType::Float64
                | DataType::Null,
            ] => Bound::new(DataType::Float64, true, state(DataType::Float64), || DoubleAvg::new(DataType::Float64, 0)),
            [DataType::Decimal128(p, s)] => {
                let result = DataType::Decimal128((p + 4).min(38), (s + 4).min(38));
                let scale = *s;
                if *p <= DOUBLE_AVERAGE_DIGITS {
                    Bound::new(result.clone(), true, state(DataType::Float64), move || {
                        DoubleAvg::new(result.clone(), scale)
                    })
                } else {
                    let sum = DataType::Decimal128((p + 10).min(38), *s);
                    Bound::new(result.clone(), true, state(sum.clone()), move || DecimalAvg {
                        sum: sum.clone(),
                        result: result.clone(),
                        overflow,
                        sums: DecimalSums::default(),
                        counts: Vec::new(),
                    })
                }
            }
            [interval @ (DataType::Duration(TimeUnit::Microsecond) | DataType::Interval(IntervalUnit::YearMonth))] => {
                let result = interval.clone();
                Bound::new(interval.clone(), true, state(interval.clone()), move || IntervalAvg {
                    result: result.clone(),
                    overflow,
                    sums: Vec::new(),
                    counts: Vec::new(),
                })
            }
            other => return Err(not_coerced(self.name(), other)),
        })
    }
}

/// Quotient rounded half up (away from zero).
fn divide_half_up(dividend: i128, divisor: i128) -> i128 {
    let (quotient, remainder) = (dividend / divisor, dividend % divisor);
    if remainder.unsigned_abs() * 2 >= divisor.unsigned_abs() { quotient + dividend.signum() } else { quotient }
}

/// An average kept as a sum of doubles; of unscaled values if the result is a decimal.
struct DoubleAvg {
    result: DataType,
    scale: i8,
    sums: Vec<f64>,
    counts: Vec<i64>,
}

impl DoubleAvg {
    fn new(result: DataType, scale: i8) -> Self {
        Self { result, scale, sums: Vec::new(), counts: Vec::new() }
    }

    fn grow(&mut self, total: usize) {
        self.sums.resize(total, 0.0);
        self.counts.resize(total, 0);
    }

    /// `sum / count` in the type of the result; decimals as Spark: divide by the scale as doubles, then cast.
    fn finish(&self, sum: f64, count: i64) -> f64 {
        match self.result {
            DataType::Decimal128(..) => sum / count as f64 / 10f64.powi(self.scale.into()),
            _ => sum / count as f64,
        }
    }
}

impl GroupsAccumulator for DoubleAvg {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.grow(total);
        let values = column(values, 0)?;
        let wide: ArrayRef = match values.data_type() {
            DataType::Decimal128(..) => {
                Arc::new(values.as_primitive::<Decimal128Type>().unary::<_, Float64Type>(|v| v as f64))
            }
            _ => cast(values, &DataType::Float64)?,
        };
        let wide = wide.as_primitive::<Float64Type>();
        for_each_valid(groups, wide.nulls(), filter, |row, group| {
            self.sums[group] += wide.value(row);
            self.counts[group] += 1;
        });
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (sums, counts) = (emit_to.take_needed(&mut self.sums), emit_to.take_needed(&mut self.counts));
        let averages = sums.iter().zip(&counts).map(|(sum, n)| (*n != 0).then(|| self.finish(*sum, *n)));
        Ok(match self.result {
            DataType::Decimal128(precision, scale) => {
                let values = averages.map(|v| v.and_then(|v| decimal_of_double(v, precision, scale)));
                Arc::new(values.collect::<PrimitiveArray<Decimal128Type>>().with_data_type(self.result.clone()))
            }
            _ => Arc::new(averages.collect::<PrimitiveArray<Float64Type>>()),
        })
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (sums, counts) = (emit_to.take_needed(&mut self.sums), emit_to.take_needed(&mut self.counts));
        Ok(vec![Arc::new(PrimitiveArray::<Float64Type>::from(sums)), Arc::new(Int64Array::from(counts))])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        let (sums, counts) = (primitive::<Float64Type>(values, 0)?, primitive::<Int64Type>(values, 1)?);
        for (row, group) in groups.iter().enumerate() {
            self.sums[*group] += sums.value(row);
            self.counts[*group] += counts.value(row);
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        rows_as_groups(Self::new(self.result.clone(), self.scale), values, filter)
    }

    fn size(&self) -> usize {
        (self.sums.capacity() + self.counts.capacity()) * 8
    }
}

/// A double as an unscaled decimal by its shortest decimal text, rounded half up; none if it does not fit.
fn decimal_of_double(value: f64, precision: u8, scale: i8) -> Option<i128> {
    if !value.is_finite() {
        return None;
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e')?;
    let negative = digits.starts_with('-');
    let digits = digits.trim_start_matches('-');
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let unscaled: i128 = format!("{whole}{fraction}").parse().ok()?;
    let shift = exponent.parse::<i32>().ok()? - fraction.len() as i32 + i32::from(scale);
    let magnitude = if shift >= 0 {
        unscaled.checked_mul(10i128.checked_pow(shift.unsigned_abs())?)?
    } else {
        10i128.checked_pow(shift.unsigned_abs()).map_or(0, |divisor| divide_half_up(unscaled, divisor))
    };
    let fits = magnitude < 10i128.checked_pow(precision.into())?;
    fits.then_some(if negative { -magnitude } else { magnitude })
}

/// An average kept as a sum of decimals.
struct DecimalAvg {
    sum: DataType,
    result: DataType,
    overflow: Overflow,
    sums: DecimalSums,
    counts: Vec<i64>,
}

impl DecimalAvg {
    fn grow(&mut self, total: usize) {
        self.sums.grow(total);
        self.counts.resize(total, 0);
    }

    /// `sum / count` at the scale of the result; none if it does not fit.
    fn average(&self, sum: i128, count: i64) -> Option<i128> {
        let (DataType::Decimal128(_, from), DataType::Decimal128(precision, to)) = (&self.sum, &self.result) else {
            return None;
        };
        let scaled = sum.checked_mul(10i128.checked_pow((to - from).try_into().ok()?)?);
        let average = match scaled {
            Some(scaled) => divide_half_up(scaled, count.into()),
            // Too large to scale first: divide, then scale the quotient and the remainder apart.
            None => {
                let factor = 10i128.checked_pow((to - from).try_into().ok()?)?;
                let (quotient, remainder) = (sum / i128::from(count), sum % i128::from(count));
                quotient
                    .checked_mul(factor)?
                    .checked_add(divide_half_up(remainder.checked_mul(factor)?, count.into()))?
            }
        };
        (average.unsigned_abs() < 10u128.checked_pow((*precision).into())?).then_some(average)
    }
}

impl GroupsAccumulator for DecimalAvg {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.grow(total);
        let values = primitive::<Decimal128Type>(values, 0)?;
        for_each_valid(groups, values.nulls(), filter, |row, group| {
            self.sums.add(group, values.value(row));
            self.counts[group] += 1;
        });
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sums = self.sums.emit(emit_to, &self.sum, self.overflow)?;
        let counts = emit_to.take_needed(&mut self.counts);
        let mut averages = Vec::with_capacity(counts.len());
        for (row, count) in counts.iter().enumerate() {
            let known = *count != 0 && sums.is_valid(row);
            let average = if known { self.average(sums.value(row), *count) } else { None };
            if known && average.is_none() && self.overflow == Overflow::Fail {
                return Err(arithmetic_overflow("Overflow in sum of decimals", "try_avg"));
            }
            averages.push(average);
        }
        Ok(Arc::new(PrimitiveArray::<Decimal128Type>::from(averages).with_data_type(self.result.clone())))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let sums = self.sums.emit(emit_to, &self.sum, Overflow::Null)?;
        Ok(vec![Arc::new(sums), Arc::new(Int64Array::from(emit_to.take_needed(&mut self.counts)))])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        let (sums, counts) = (primitive::<Decimal128Type>(values, 0)?, primitive::<Int64Type>(values, 1)?);
        for (row, group) in groups.iter().enumerate() {
            match sums.is_null(row) {
                true => self.sums.overflown.set(*group, true),
                false => self.sums.add(*group, sums.value(row)),
            }
            self.counts[*group] += counts.value(row);
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let fresh = Self {
            sum: self.sum.clone(),
            result: self.result.clone(),
            overflow: self.overflow,
            sums: DecimalSums::default(),
            counts: Vec::new(),
        };
        rows_as_groups(fresh, values, filter)
    }

    fn size(&self) -> usize {
        self.sums.sums.capacity() * 16 + self.counts.capacity() * 8
    }
}

/// An average of intervals, kept in µs or months.
struct IntervalAvg {
    result: DataType,
    overflow: Overflow,
    sums: Vec<Option<i64>>,
    counts: Vec<i64>,
}

impl IntervalAvg {
    fn grow(&mut self, total: usize) {
        self.sums.resize(total, Some(0));
        self.counts.resize(total, 0);
    }

    fn units(&self, values: &[ArrayRef]) -> Result<Int64Array> {
        Ok(match self.result {
            DataType::Duration(_) => primitive::<DurationMicrosecondType>(values, 0)?.reinterpret_cast(),
            _ => primitive::<IntervalYearMonthType>(values, 0)?.unary(i64::from),
        })
    }

    fn add(&mut self, group: usize, units: i64) -> Result<()> {
        let year_month = matches!(self.result, DataType::Interval(_));
        let Some(sum) = self.sums[group] else { return Ok(()) };
        let next = sum.checked_add(units).filter(|v| !year_month || i32::try_from(*v).is_ok());
        if next.is_none() && self.overflow != Overflow::Null {
            return Err(arithmetic_overflow("interval overflow", "try_avg"));
        }
        self.sums[group] = next;
        Ok(())
    }

    fn array(&self, units: impl Iterator<Item = Option<i64>>) -> ArrayRef {
        match self.result {
            DataType::Duration(_) => Arc::new(units.collect::<PrimitiveArray<DurationMicrosecondType>>()),
            _ => Arc::new(
                units.map(|v| v.and_then(|v| i32::try_from(v).ok())).collect::<PrimitiveArray<IntervalYearMonthType>>(),
            ),
        }
    }
}

impl GroupsAccumulator for IntervalAvg {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.grow(total);
        let units = self.units(values)?;
        let mut result = Ok(());
        for_each_valid(groups, units.nulls(), filter, |row, group| {
            self.counts[group] += 1;
            if result.is_ok() {
                result = self.add(group, units.value(row));
            }
        });
        result
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (sums, counts) = (emit_to.take_needed(&mut self.sums), emit_to.take_needed(&mut self.counts));
        let average = |(sum, count): (&Option<i64>, &i64)| match (sum, count) {
            (Some(sum), count) if *count != 0 => i64::try_from(divide_half_up((*sum).into(), (*count).into())).ok(),
            _ => None,
        };
        Ok(self.array(sums.iter().zip(&counts).map(average)))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (sums, counts) = (emit_to.take_needed(&mut self.sums), emit_to.take_needed(&mut self.counts));
        Ok(vec![self.array(sums.into_iter()), Arc::new(Int64Array::from(counts))])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        let (units, counts) = (self.units(values)?, primitive::<Int64Type>(values, 1)?);
        for (row, group) in groups.iter().enumerate() {
            self.counts[*group] += counts.value(row);
            match units.is_null(row) {
                true => self.sums[*group] = None,
                false => self.add(*group, units.value(row))?,
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let fresh = Self { result: self.result.clone(), overflow: self.overflow, sums: Vec::new(), counts: Vec::new() };
        rows_as_groups(fresh, values, filter)
    }

    fn size(&self) -> usize {
        self.sums.capacity() * 16 + self.counts.capacity() * 8
    }
}
