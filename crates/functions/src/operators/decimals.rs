//! Arithmetic of decimals: exact result types and values rounded half up.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, PrimitiveArray};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, i256};
use millstream_formats::condition::SparkError;

use super::Operation;
use super::integers::{overflow, zero_divisor};
use crate::Typed;
use crate::cast::{Mode, decimal_out_of_range};
use crate::kernel::{Kernel, primitive};
use crate::rows::{nulls_of, numbers};

/// Precision and scale cut to 38 digits; at most six digits behind the point are kept if the whole part needs the room
/// (`DecimalType.adjustPrecisionScale`).
fn adjusted(precision: i32, scale: i32) -> (u8, i8) {
    if precision <= 38 {
        return (precision as u8, scale as i8);
    }
    let whole = precision - scale;
    (38, (38 - whole).max(scale.min(6)) as i8)
}

/// Precision and scale of a result.
fn result_of(operation: Operation, (p1, s1): (i32, i32), (p2, s2): (i32, i32)) -> (u8, i8) {
    match operation {
        Operation::Add | Operation::Subtract => {
            let scale = s1.max(s2);
            adjusted((p1 - s1).max(p2 - s2) + scale + 1, scale)
        }
        Operation::Multiply => adjusted(p1 + p2 + 1, s1 + s2),
        Operation::Divide => {
            let scale = (s1 + p2 + 1).max(6);
            adjusted(p1 - s1 + s2 + scale, scale)
        }
        Operation::IntegralDivide => {
            let whole = p1 - s1 + s2;
            adjusted(if whole == 0 { 1 } else { whole }, 0)
        }
        Operation::Remainder | Operation::PositiveModulo => {
            let scale = s1.max(s2);
            adjusted((p1 - s1).min(p2 - s2) + scale, scale)
        }
    }
}

/// Arithmetic of two decimals.
pub fn build(operation: Operation, left: &Typed, right: &Typed, mode: Mode) -> Result<Typed, SparkError> {
    let (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)) = (&left.data_type, &right.data_type) else {
        return Err(SparkError::internal("decimal arithmetic of other types"));
    };
    let (s1, s2) = (*s1, *s2);
    let (precision, scale) = result_of(operation, (i32::from(*p1), i32::from(s1)), (i32::from(*p2), i32::from(s2)));
    let nullable = left.nullable || right.nullable || operation.divides() || mode != Mode::Ansi;
    let whole = operation == Operation::IntegralDivide;
    let result_type = if whole { DataType::Int64 } else { DataType::Decimal128(precision, scale) };
    let mut kernel = Kernel::new(operation.symbol(), result_type, nullable).bound_to(format!("{mode:?}"));
    if operation.divides() && mode == Mode::Ansi {
        kernel = kernel.fallible();
    }
    let run = DecimalRun { operation, mode, s1, s2, precision, scale };
    Ok(kernel.arrays(&[left.clone(), right.clone()], move |arrays, _| run.run(&arrays[0], &arrays[1])))
}

/// An operation bound to its types.
struct DecimalRun {
    operation: Operation,
    mode: Mode,
    s1: i8,
    s2: i8,
    precision: u8,
    scale: i8,
}

/// A value in units of 10^-scale that may be too large for its type.
struct Exact {
    value: i256,
    scale: i8,
}

impl DecimalRun {
    fn run(&self, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef, SparkError> {
        let nulls = nulls_of(&[Arc::clone(left), Arc::clone(right)]);
        let (a, b) = (primitive::<Decimal128Type>(left)?, primitive::<Decimal128Type>(right)?);
        let limit = 10i128.pow(u32::from(self.precision));
        let values: PrimitiveArray<Decimal128Type> = numbers(a.len(), nulls, |row| {
            let (a, b) = (a.value(row), b.value(row));
            if self.operation.divides() && b == 0 {
                return if self.mode == Mode::Ansi { Err(zero_divisor(self.operation)) } else { Ok(None) };
            }
            match self.fast(a, b).filter(|v| v.abs() < limit) {
                Some(value) => Ok(Some(value)),
                None => self.exact_value(a, b, limit),
            }
        })?;
        if self.operation == Operation::IntegralDivide {
            return self.to_long(&values);
        }
        Ok(Arc::new(values.with_precision_and_scale(self.precision, self.scale)?))
    }

    /// The result in 128 bits, if all steps fit.
    fn fast(&self, a: i128, b: i128) -> Option<i128> {
        let (a, b, scale) = match self.operation {
            Operation::Multiply => return narrow(a.checked_mul(b)?, self.s1 + self.s2, self.scale),
            Operation::Divide | Operation::IntegralDivide => return None,
            _ => {
                let scale = self.s1.max(self.s2);
                (widen(a, self.s1, scale)?, widen(b, self.s2, scale)?, scale)
            }
        };
        let result = match self.operation {
            Operation::Add => a.checked_add(b)?,
            Operation::Subtract => a.checked_sub(b)?,
            Operation::Remainder => a.checked_rem(b)?,
            _ => positive_modulo(a.checked_rem(b)?, b)?,
        };
        narrow(result, scale, self.scale)
    }

    fn exact_value(&self, a: i128, b: i128, limit: i128) -> Result<Option<i128>, SparkError> {
        let exact = self.exact(i256::from_i128(a), i256::from_i128(b));
        let fitting =
            exact.as_ref().and_then(|e| rescale(e, self.scale)).and_then(|v| v.to_i128()).filter(|v| v.abs() < limit);
        match (fitting, self.mode) {
            (Some(value), _) => Ok(Some(value)),
            (None, Mode::Ansi) => {
                let text = exact.map_or_else(|| "The result".to_string(), |e| e.to_text());
                Err(decimal_out_of_range(&text, self.precision, self.scale))
            }
            (None, _) => Ok(None),
        }
    }

    fn exact(&self, a: i256, b: i256) -> Option<Exact> {
        let scale = self.s1.max(self.s2);
        match self.operation {
            Operation::Multiply => Some(Exact { value: a.checked_mul(b)?, scale: self.s1 + self.s2 }),
            Operation::Divide => {
                let value = divide_half_up(shift(a, self.scale + self.s2 - self.s1)?, b)?;
                Some(Exact { value, scale: self.scale })
            }
            _ => {
                let (a, b) = (shift(a, scale - self.s1)?, shift(b, scale - self.s2)?);
                let (value, scale) = match self.operation {
                    Operation::Add => (a.checked_add(b)?, scale),
                    Operation::Subtract => (a.checked_sub(b)?, scale),
                    Operation::IntegralDivide => (a.checked_div(b)?, 0),
                    Operation::Remainder => (a.checked_rem(b)?, scale),
                    _ => {
                        let rest = a.checked_rem(b)?;
                        let negative = rest < i256::ZERO;
                        (if negative { rest.checked_add(b)?.checked_rem(b)? } else { rest }, scale)
                    }
                };
                Some(Exact { value, scale })
            }
        }
    }

    fn to_long(&self, values: &PrimitiveArray<Decimal128Type>) -> Result<ArrayRef, SparkError> {
        let longs: PrimitiveArray<Int64Type> = match self.mode {
            Mode::Legacy => values.unary(|v| v as i64),
            _ => values.unary_opt(|v| v.try_into().ok()),
        };
        if self.mode == Mode::Ansi && longs.null_count() > values.null_count() {
            return Err(overflow("Overflow in integral divide", Some("try_divide")));
        }
        Ok(Arc::new(longs))
    }
}

impl Exact {
    fn to_text(&self) -> String {
        let digits = self.value.to_string();
        let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |d| ("-", d));
        let scale = self.scale.max(0) as usize;
        let digits = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
    }
}

fn positive_modulo(rest: i128, b: i128) -> Option<i128> {
    if rest < 0 { rest.checked_add(b)?.checked_rem(b) } else { Some(rest) }
}

fn widen(value: i128, from: i8, to: i8) -> Option<i128> {
    if from == to { Some(value) } else { value.checked_mul(10i128.checked_pow((to - from) as u32)?) }
}

/// Rounds half up to a smaller scale.
fn narrow(value: i128, from: i8, to: i8) -> Option<i128> {
    if from == to {
        return Some(value);
    }
    let unit = 10i128.checked_pow((from - to) as u32)?;
    let (whole, rest) = (value / unit, value % unit);
    Some(if rest.abs() >= unit - rest.abs() { whole + value.signum() } else { whole })
}

fn power(exponent: u32) -> Option<i256> {
    i256::from_i128(10).checked_pow(exponent)
}

/// Times 10^`digits`, or divided by it and rounded half up.
fn shift(value: i256, digits: i8) -> Option<i256> {
    if digits >= 0 {
        value.checked_mul(power(digits as u32)?)
    } else {
        divide_half_up(value, power(digits.unsigned_abs().into())?)
    }
}

fn rescale(exact: &Exact, scale: i8) -> Option<i256> {
    shift(exact.value, scale - exact.scale)
}

fn divide_half_up(a: i256, b: i256) -> Option<i256> {
    let (whole, rest) = (a.checked_div(b)?, a.checked_rem(b)?);
    let magnitude = |v: i256| if v < i256::ZERO { v.wrapping_neg() } else { v };
    let (rest_size, b_size) = (magnitude(rest), magnitude(b));
    if rest_size < b_size.wrapping_sub(rest_size) {
        return Some(whole);
    }
    let one = if (a < i256::ZERO) == (b < i256::ZERO) { i256::ONE } else { i256::MINUS_ONE };
    whole.checked_add(one)
}
