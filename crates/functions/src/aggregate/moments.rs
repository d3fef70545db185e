//! Aggregates whose buffer is a few doubles: variance and its kin, covariance, correlation, regression, product.
//!
//! Updates and merges follow Spark's formulas step by step, so that rounding agrees.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array};
use arrow::datatypes::{DataType, Field, Float64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use millstream_formats::condition::SparkError;

use super::rows::{for_each_valid_pair, primitive, rows_as_groups};
use super::udaf::{Aggregation, Bound};

/// A buffer of doubles and what is done with it. All kinds begin with a count `n`, but [`Product`].
pub trait Moments: fmt::Debug + Copy + Send + Sync + 'static {
    /// Names of the buffer's fields.
    fn fields(self) -> &'static [&'static str];
    /// What each field of the buffer is at first.
    fn initial(self) -> f64 {
        0.0
    }
    /// Adds a row; `y` is `x` for aggregates of one argument.
    fn update(self, buffer: &mut [f64], x: f64, y: f64);
    /// Adds another buffer.
    fn merge(self, buffer: &mut [f64], other: &[f64]);
    /// The result.
    fn evaluate(self, buffer: &[f64]) -> Option<f64>;
}

/// An aggregate over a [`Moments`] buffer.
#[derive(Debug)]
pub struct MomentsAggregate<M> {
    /// Name, for `explain`.
    pub name: String,
    /// What is computed.
    pub moments: M,
}

impl<M: Moments> Aggregation for MomentsAggregate<M> {
    fn name(&self) -> &str {
        &self.name
    }

    fn parameters(&self) -> String {
        format!("{:?}", self.moments)
    }

    fn bind(&self, _arguments: &[DataType]) -> Result<Bound, SparkError> {
        let (moments, fields) = (self.moments, self.moments.fields());
        let state = fields.iter().map(|name| Field::new(*name, DataType::Float64, true)).collect();
        Ok(Bound::new(DataType::Float64, true, state, move || MomentsGroups {
            moments,
            width: fields.len(),
            buffers: Vec::new(),
        }))
    }
}

struct MomentsGroups<M> {
    moments: M,
    width: usize,
    /// The groups' buffers, one after the other.
    buffers: Vec<f64>,
}

impl<M: Moments> MomentsGroups<M> {
    fn grow(&mut self, total: usize) {
        self.buffers.resize(total * self.width, self.moments.initial());
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<f64> {
        match emit_to {
            EmitTo::All => std::mem::take(&mut self.buffers),
            EmitTo::First(n) => {
                let rest = self.buffers.split_off((n * self.width).min(self.buffers.len()));
                std::mem::replace(&mut self.buffers, rest)
            }
        }
    }
}

impl<M: Moments> GroupsAccumulator for MomentsGroups<M> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.grow(total);
        let x = primitive::<Float64Type>(values, 0)?;
        let y = if values.len() > 1 { primitive::<Float64Type>(values, 1)? } else { x };
        let (width, moments, buffers) = (self.width, self.moments, &mut self.buffers);
        for_each_valid_pair(groups, x.nulls(), y.nulls(), filter, |row, group| {
            moments.update(&mut buffers[group * width..(group + 1) * width], x.value(row), y.value(row));
        });
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let buffers = self.take(emit_to);
        let values: Float64Array =
            buffers.chunks_exact(self.width).map(|buffer| self.moments.evaluate(buffer)).collect();
        Ok(Arc::new(values))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let buffers = self.take(emit_to);
        let column = |field: usize| -> ArrayRef {
            let values = buffers.iter().skip(field).step_by(self.width);
            Arc::new(values.map(|v| (v.to_bits() != EMPTY_PRODUCT.to_bits()).then_some(*v)).collect::<Float64Array>())
        };
        Ok((0..self.width).map(column).collect())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        let columns = (0..self.width).map(|i| primitive::<Float64Type>(values, i)).collect::<Result<Vec<_>>>()?;
        let mut other = vec![0.0; self.width];
        for (row, group) in groups.iter().enumerate() {
            if columns.iter().any(|c| c.is_null(row)) {
                continue;
            }
            other.iter_mut().zip(&columns).for_each(|(value, column)| *value = column.value(row));
            self.moments.merge(&mut self.buffers[group * self.width..(group + 1) * self.width], &other);
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        rows_as_groups(Self { moments: self.moments, width: self.width, buffers: Vec::new() }, values, filter)
    }

    fn size(&self) -> usize {
        self.buffers.capacity() * 8
    }
}

/// What is made of the central moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Central {
    /// `stddev_pop`.
    StddevPop,
    /// `stddev`, `stddev_samp`.
    StddevSamp,
    /// `var_pop`.
    VarPop,
    /// `variance`, `var_samp`.
    VarSamp,
    /// `regr_sxx`, `regr_syy`: the sum of squares.
    SumOfSquares,
    /// `skewness`.
    Skewness,
    /// `kurtosis`.
    Kurtosis,
}

impl Moments for Central {
    fn fields(self) -> &'static [&'static str] {
        match self {
            Central::Skewness => &["n", "avg", "m2", "m3"],
            Central::Kurtosis => &["n", "avg", "m2", "m3", "m4"],
            _ => &["n", "avg", "m2"],
        }
    }

    #[inline]
    fn update(self, b: &mut [f64], x: f64, _y: f64) {
        let n = b[0] + 1.0;
        let delta = x - b[1];
        let delta_n = delta / n;
        let m2 = b[2] + delta * (delta - delta_n);
        (b[0], b[1]) = (n, b[1] + delta_n);
        if b.len() > 3 {
            let (delta2, delta_n2) = (delta * delta, delta_n * delta_n);
            let m3 = b[3] - 3.0 * delta_n * m2 + delta * (delta2 - delta_n2);
            if b.len() > 4 {
                b[4] = b[4] - 4.0 * delta_n * m3 - 6.0 * delta_n2 * m2 + delta * (delta * delta2 - delta_n * delta_n2);
            }
            b[3] = m3;
        }
        b[2] = m2;
    }

    fn merge(self, b: &mut [f64], o: &[f64]) {
        let (n1, n2) = (b[0], o[0]);
        let n = n1 + n2;
        let delta = o[1] - b[1];
        let delta_n = if n == 0.0 { 0.0 } else { delta / n };
        if b.len() > 4 {
            b[4] = b[4]
                + o[4]
                + delta_n * delta_n * delta_n * delta * n1 * n2 * (n1 * n1 - n1 * n2 + n2 * n2)
                + 6.0 * delta_n * delta_n * (n1 * n1 * o[2] + n2 * n2 * b[2])
                + 4.0 * delta_n * (n1 * o[3] - n2 * b[3]);
        }
        if b.len() > 3 {
            b[3] =
                b[3] + o[3] + delta_n * delta_n * delta * n1 * n2 * (n1 - n2) + 3.0 * delta_n * (n1 * o[2] - n2 * b[2]);
        }
        b[2] = b[2] + o[2] + delta * delta_n * n1 * n2;
        b[1] += delta_n * n2;
        b[0] = n;
    }

    fn evaluate(self, b: &[f64]) -> Option<f64> {
        let (n, m2) = (b[0], b[2]);
        if n == 0.0 {
            return None;
        }
        match self {
            Central::StddevPop => Some((m2 / n).sqrt()),
            Central::StddevSamp => (n != 1.0).then(|| (m2 / (n - 1.0)).sqrt()),
            Central::VarPop => Some(m2 / n),
            Central::VarSamp => (n != 1.0).then(|| m2 / (n - 1.0)),
            Central::SumOfSquares => Some(m2),
            Central::Skewness => (m2 != 0.0).then(|| n.sqrt() * b[3] / (m2 * m2 * m2).sqrt()),
            Central::Kurtosis => (m2 != 0.0).then(|| n * b[4] / (m2 * m2) - 3.0),
        }
    }
}

/// What is made of the co-moment of two columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joint {
    /// `covar_pop`.
    CovarPop,
    /// `covar_samp`.
    CovarSamp,
    /// `regr_sxy`: the sum of products.
    SumOfProducts,
    /// `corr`.
    Corr,
    /// `regr_r2`.
    R2,
}

fn update_joint(b: &mut [f64], x: f64, y: f64) {
    let n = b[0] + 1.0;
    let (dx, dy) = (x - b[1], y - b[2]);
    let (x_avg, y_avg) = (b[1] + dx / n, b[2] + dy / n);
    b[3] += dx * (y - y_avg);
    if b.len() > 5 {
        b[4] += dx * (x - x_avg);
        b[5] += dy * (y - y_avg);
    }
    (b[0], b[1], b[2]) = (n, x_avg, y_avg);
}

fn merge_joint(b: &mut [f64], o: &[f64]) {
    let (n1, n2) = (b[0], o[0]);
    let n = n1 + n2;
    let (dx, dy) = (o[1] - b[1], o[2] - b[2]);
    let (dx_n, dy_n) = if n == 0.0 { (0.0, 0.0) } else { (dx / n, dy / n) };
    b[3] = b[3] + o[3] + dx * dy_n * n1 * n2;
    if b.len() > 5 {
        b[4] = b[4] + o[4] + dx * dx_n * n1 * n2;
        b[5] = b[5] + o[5] + dy * dy_n * n1 * n2;
    }
    (b[0], b[1], b[2]) = (n, b[1] + dx_n * n2, b[2] + dy_n * n2);
}

impl Moments for Joint {
    fn fields(self) -> &'static [&'static str] {
        match self {
            Joint::Corr | Joint::R2 => &["n", "xAvg", "yAvg", "ck", "xMk", "yMk"],
            _ => &["n", "xAvg", "yAvg", "ck"],
        }
    }

    #[inline]
    fn update(self, buffer: &mut [f64], x: f64, y: f64) {
        update_joint(buffer, x, y);
    }

    fn merge(self, buffer: &mut [f64], other: &[f64]) {
        merge_joint(buffer, other);
    }

    fn evaluate(self, b: &[f64]) -> Option<f64> {
        let (n, ck) = (b[0], b[3]);
        if n == 0.0 {
            return None;
        }
        match self {
            Joint::CovarPop => Some(ck / n),
            Joint::CovarSamp => (n != 1.0).then(|| ck / (n - 1.0)),
            Joint::SumOfProducts => Some(ck),
            Joint::Corr => (n != 1.0).then(|| ck / (b[4] * b[5]).sqrt()),
            Joint::R2 if b[5] == 0.0 => None,
            Joint::R2 if b[4] == 0.0 => Some(1.0),
            Joint::R2 => {
                let corr = ck / (b[4] * b[5]).sqrt();
                Some(corr * corr)
            }
        }
    }
}

/// The regression line; the arguments are the independent and the dependent value, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// `regr_slope`.
    Slope,
    /// `regr_intercept`.
    Intercept,
}

impl Moments for Line {
    fn fields(self) -> &'static [&'static str] {
        &["n", "xAvg", "yAvg", "ck", "n", "avg", "m2"]
    }

    #[inline]
    fn update(self, buffer: &mut [f64], x: f64, y: f64) {
        let (joint, own) = buffer.split_at_mut(4);
        update_joint(joint, x, y);
        Central::VarPop.update(own, x, x);
    }

    fn merge(self, buffer: &mut [f64], other: &[f64]) {
        let (joint, own) = buffer.split_at_mut(4);
        merge_joint(joint, &other[..4]);
        Central::VarPop.merge(own, &other[4..]);
    }

    fn evaluate(self, b: &[f64]) -> Option<f64> {
        let (ck, m2) = (b[3], b[6]);
        (m2 != 0.0).then(|| match self {
            Line::Slope => ck / m2,
            Line::Intercept => b[2] - ck / m2 * b[1],
        })
    }
}

/// `product`: null until it has seen a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Product;

/// Marks a product without values: a NaN that no computation gives.
const EMPTY_PRODUCT: f64 = f64::from_bits(0x7ff8_0000_0000_e497);

impl Moments for Product {
    fn fields(self) -> &'static [&'static str] {
        &["product"]
    }

    fn initial(self) -> f64 {
        EMPTY_PRODUCT
    }

    #[inline]
    fn update(self, buffer: &mut [f64], x: f64, _y: f64) {
        buffer[0] = if buffer[0].to_bits() == EMPTY_PRODUCT.to_bits() { x } else { buffer[0] * x };
    }

    fn merge(self, buffer: &mut [f64], other: &[f64]) {
        self.update(buffer, other[0], 0.0);
    }

    fn evaluate(self, buffer: &[f64]) -> Option<f64> {
        (buffer[0].to_bits() != EMPTY_PRODUCT.to_bits()).then_some(buffer[0])
    }
}
