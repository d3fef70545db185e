//! Kernels of arithmetic on whole numbers and floats.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, Datum, PrimitiveArray};
use arrow::compute::binary;
use arrow::compute::kernels::numeric::{add, add_wrapping, mul, mul_wrapping, sub, sub_wrapping};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow::error::ArrowError;
use millstream_formats::condition::{ExceptionClass, SparkError};

use super::Operation;
use crate::cast::Mode;
use crate::kernel::primitive;
use crate::rows::{nulls_of, numbers};

/// `+ - *` of two values of one type that is whole or a float.
pub fn combine(operation: Operation, left: &dyn Datum, right: &dyn Datum, mode: Mode) -> Result<ArrayRef, SparkError> {
    let result = match (operation, mode) {
        (Operation::Add, Mode::Legacy) => add_wrapping(left, right),
        (Operation::Subtract, Mode::Legacy) => sub_wrapping(left, right),
        (Operation::Multiply, Mode::Legacy) => mul_wrapping(left, right),
        (Operation::Add, _) => add(left, right),
        (Operation::Subtract, _) => sub(left, right),
        _ => mul(left, right),
    };
    match result {
        Ok(array) => Ok(array),
        Err(ArrowError::ArithmeticOverflow(_)) => overflowing(operation, left, right, mode),
        Err(other) => Err(other.into()),
    }
}

/// The same where some row overflows: null there, or the error that names it.
fn overflowing(operation: Operation, left: &dyn Datum, right: &dyn Datum, mode: Mode) -> Result<ArrayRef, SparkError> {
    match left.get().0.data_type() {
        DataType::Int8 => row_by_row::<Int8Type>(operation, left, right, mode),
        DataType::Int16 => row_by_row::<Int16Type>(operation, left, right, mode),
        DataType::Int32 => row_by_row::<Int32Type>(operation, left, right, mode),
        DataType::Int64 => row_by_row::<Int64Type>(operation, left, right, mode),
        other => Err(SparkError::internal(format!("overflow of {other}"))),
    }
}

fn row_by_row<T: ArrowPrimitiveType>(
    operation: Operation,
    left: &dyn Datum,
    right: &dyn Datum,
    mode: Mode,
) -> Result<ArrayRef, SparkError>
where
    T::Native: ArrowNativeTypeOp,
{
    let ((left, left_scalar), (right, right_scalar)) = (left.get(), right.get());
    let (left, right) = (primitive::<T>(left)?, primitive::<T>(right)?);
    let rows = if left_scalar { right.len() } else { left.len() };
    let at = |array: &PrimitiveArray<T>, scalar: bool, row: usize| {
        let row = if scalar { 0 } else { row };
        array.is_valid(row).then(|| array.value(row))
    };
    let result = numbers::<T>(rows, None, |row| {
        let (Some(a), Some(b)) = (at(left, left_scalar, row), at(right, right_scalar, row)) else { return Ok(None) };
        let value = match operation {
            Operation::Add => a.add_checked(b),
            Operation::Subtract => a.sub_checked(b),
            _ => a.mul_checked(b),
        };
        match value {
            Ok(value) => Ok(Some(value)),
            Err(_) if mode == Mode::Ansi => Err(binary_overflow(operation, a, b, &T::DATA_TYPE)),
            Err(_) => Ok(None),
        }
    })?;
    Ok(Arc::new(result))
}

fn binary_overflow(
    operation: Operation,
    left: impl std::fmt::Debug,
    right: impl std::fmt::Debug,
    of: &DataType,
) -> SparkError {
    let hint = match operation {
        Operation::Add => "try_add",
        Operation::Subtract => "try_subtract",
        _ => "try_multiply",
    };
    if !matches!(of, DataType::Int8 | DataType::Int16) {
        return overflow("overflow", Some(hint));
    }
    let (symbol, function) = (operation.symbol(), format!("`{hint}`"));
    let text = format!(
        "{left:?}S {symbol} {right:?}S caused overflow. Use {function} to ignore overflow problem and return NULL."
    );
    SparkError::new(ExceptionClass::Arithmetic, "BINARY_ARITHMETIC_OVERFLOW", "22003", text)
        .with("value1", format!("{left:?}S"))
        .with("symbol", symbol)
        .with("value2", format!("{right:?}S"))
        .with("functionName", function)
}

/// `ARITHMETIC_OVERFLOW`; `hint` names the function that gives null instead.
pub(crate) fn overflow(message: &str, hint: Option<&str>) -> SparkError {
    let alternative =
        hint.map_or_else(String::new, |f| format!(" Use '{f}' to tolerate overflow and return NULL instead."));
    let text = format!(
        "{message}.{alternative} If necessary set \"spark.sql.ansi.enabled\" to \"false\" to bypass this error."
    );
    SparkError::new(ExceptionClass::Arithmetic, "ARITHMETIC_OVERFLOW", "22003", text)
        .with("message", message)
        .with("alternative", alternative)
        .with("config", "\"spark.sql.ansi.enabled\"")
}

/// `DIVIDE_BY_ZERO`, or `REMAINDER_BY_ZERO` for an operation that gives a rest.
pub(super) fn zero_divisor(operation: Operation) -> SparkError {
    let (condition, what, function) = match operation {
        Operation::Remainder | Operation::PositiveModulo => ("REMAINDER_BY_ZERO", "Remainder", "try_mod"),
        _ => ("DIVIDE_BY_ZERO", "Division", "try_divide"),
    };
    let text = format!(
        "{what} by zero. Use `{function}` to tolerate divisor being 0 and return NULL instead. If necessary set \
         \"spark.sql.ansi.enabled\" to \"false\" to bypass this error."
    );
    SparkError::new(ExceptionClass::Arithmetic, condition, "22012", text).with("config", "\"spark.sql.ansi.enabled\"")
}

/// `/ % div pmod` of two columns of one type that is whole or a float.
pub fn divide(operation: Operation, left: &ArrayRef, right: &ArrayRef, mode: Mode) -> Result<ArrayRef, SparkError> {
    match left.data_type() {
        DataType::Int8 => divide_as::<Int8Type>(operation, left, right, mode),
        DataType::Int16 => divide_as::<Int16Type>(operation, left, right, mode),
        DataType::Int32 => divide_as::<Int32Type>(operation, left, right, mode),
        DataType::Int64 => divide_as::<Int64Type>(operation, left, right, mode),
        DataType::Float32 => divide_as::<Float32Type>(operation, left, right, mode),
        DataType::Float64 => divide_as::<Float64Type>(operation, left, right, mode),
        other => Err(SparkError::internal(format!("division of {other}"))),
    }
}

fn divide_as<T: ArrowPrimitiveType>(
    operation: Operation,
    left: &ArrayRef,
    right: &ArrayRef,
    mode: Mode,
) -> Result<ArrayRef, SparkError>
where
    T::Native: ArrowNativeTypeOp,
{
    let (dividends, divisors) = (primitive::<T>(left)?, primitive::<T>(right)?);
    let zero = T::Native::ZERO;
    let step = |a: T::Native, b: T::Native| match operation {
        Operation::Divide | Operation::IntegralDivide => a.div_wrapping(b),
        Operation::Remainder => a.mod_wrapping(b),
        _ => positive_modulo(a, b),
    };
    // The smallest bigint has no negative; only `div` can meet it, as `/` computes in doubles.
    let may_overflow = operation == Operation::IntegralDivide && mode != Mode::Legacy;
    if !may_overflow && !divisors.values().iter().any(|d| d.is_eq(zero) || is_negative_zero(*d)) {
        return Ok(Arc::new(binary::<_, _, _, T>(dividends, divisors, step)?));
    }
    let nulls = nulls_of(&[Arc::clone(left), Arc::clone(right)]);
    let result = numbers::<T>(dividends.len(), nulls, |row| {
        let (a, b) = (dividends.value(row), divisors.value(row));
        if b.is_eq(zero) || is_negative_zero(b) {
            return if mode == Mode::Ansi { Err(zero_divisor(operation)) } else { Ok(None) };
        }
        if may_overflow && a.div_checked(b).is_err() {
            let error = || overflow("Overflow in integral divide", Some("try_divide"));
            return if mode == Mode::Ansi { Err(error()) } else { Ok(None) };
        }
        Ok(Some(step(a, b)))
    })?;
    Ok(Arc::new(result))
}

/// Whether it is `-0.0`, which total order puts below zero.
fn is_negative_zero<N: ArrowNativeTypeOp>(value: N) -> bool {
    value.neg_wrapping().is_eq(N::ZERO)
}

fn positive_modulo<N: ArrowNativeTypeOp>(a: N, b: N) -> N {
    let rest = a.mod_wrapping(b);
    if rest.is_lt(N::ZERO) && !is_negative_zero(rest) { rest.add_wrapping(b).mod_wrapping(b) } else { rest }
}
