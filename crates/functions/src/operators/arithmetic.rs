//! `+ - * / % div pmod` and their `try_` twins: operand types, result types, nullability.

use arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;

use super::{decimals, integers, negation, temporal};
use crate::arguments::{different_operands, exactly, wrong_operand};
use crate::cast::Mode;
use crate::coerce::{cast_to, decimal_for, is_decimal, is_float, is_numeric, tightest_common_type};
use crate::kernel::{Kernel, primitive};
use crate::{FunctionContext, Typed};

/// What is done to two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    IntegralDivide,
    PositiveModulo,
}

impl Operation {
    fn of(name: &str) -> Option<Self> {
        Some(match name.strip_prefix("try_").unwrap_or(name) {
            "+" | "add" => Operation::Add,
            "-" | "subtract" => Operation::Subtract,
            "*" | "multiply" => Operation::Multiply,
            "/" | "divide" => Operation::Divide,
            "%" | "mod" => Operation::Remainder,
            "div" => Operation::IntegralDivide,
            "pmod" => Operation::PositiveModulo,
            _ => return None,
        })
    }

    /// The sign between the operands.
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Operation::Add => "+",
            Operation::Subtract => "-",
            Operation::Multiply => "*",
            Operation::Divide => "/",
            Operation::Remainder => "%",
            Operation::IntegralDivide => "div",
            Operation::PositiveModulo => "pmod",
        }
    }

    /// Whether a divisor of zero is possible.
    pub(crate) fn divides(self) -> bool {
        !matches!(self, Operation::Add | Operation::Subtract | Operation::Multiply)
    }

    fn required(self) -> &'static str {
        match self {
            Operation::Add | Operation::Subtract => {
                "(\"NUMERIC\" or \"INTERVAL DAY TO SECOND\" or \"INTERVAL YEAR TO MONTH\" or \"INTERVAL\")"
            }
            Operation::Divide => "(\"DOUBLE\" or \"DECIMAL\")",
            Operation::IntegralDivide => {
                "(\"BIGINT\" or \"DECIMAL\" or \"INTERVAL YEAR TO MONTH\" or \"INTERVAL DAY TO SECOND\")"
            }
            _ => "\"NUMERIC\"",
        }
    }
}

/// `+ - * / % div mod pmod`; `+` and `-` with one operand are signs.
pub fn arithmetic(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    match (name, arguments) {
        ("-", [_]) => return negation::negative(name, arguments, context),
        ("+", [_]) => return negation::positive(name, arguments, context),
        _ => {}
    }
    let mode = if context.ansi { Mode::Ansi } else { Mode::Legacy };
    arithmetic_with(name, arguments, mode, context)
}

/// `try_add` and so on: null where the operator fails.
pub fn try_arithmetic(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    arithmetic_with(name, arguments, Mode::Try, context)
}

/// An operator by its name or its function's name, in a mode.
fn arithmetic_with(
    name: &str,
    arguments: &[Typed],
    mode: Mode,
    context: &FunctionContext,
) -> Result<Typed, SparkError> {
    let operation = Operation::of(name).ok_or_else(|| SparkError::internal(format!("no operator {name}")))?;
    let [left, right] = exactly::<2>(name, arguments)?;
    if let Some(result) = temporal::build(operation, left, right, mode, context)? {
        return Ok(result);
    }
    let (left, right) = operands(operation, left.clone(), right.clone(), context)?;
    let both = [left, right];
    let [left, right] = &both;
    if left.data_type != right.data_type && !(is_decimal(&left.data_type) && is_decimal(&right.data_type)) {
        return Err(different_operands(operation.symbol(), arguments));
    }
    let accepted = match operation {
        Operation::IntegralDivide => left.data_type == DataType::Int64 || is_decimal(&left.data_type),
        _ => is_numeric(&left.data_type),
    };
    if !accepted {
        return Err(wrong_operand(operation.symbol(), &both, operation.required()));
    }
    if is_decimal(&left.data_type) {
        return decimals::build(operation, left, right, mode);
    }
    Ok(plain(operation, left, right, mode))
}

/// Arithmetic of two numbers of one type that is no decimal.
fn plain(operation: Operation, left: &Typed, right: &Typed, mode: Mode) -> Typed {
    let data_type = left.data_type.clone();
    let nullable = left.nullable || right.nullable || operation.divides() || mode == Mode::Try;
    let mut kernel = Kernel::new(operation.symbol(), data_type.clone(), nullable).bound_to(format!("{mode:?}"));
    if operation.divides() && mode == Mode::Ansi && !is_nonzero_literal(right) {
        kernel = kernel.fallible();
    }
    let operands = [left.clone(), right.clone()];
    if operation.divides() {
        return kernel.arrays(&operands, move |arrays, _| integers::divide(operation, &arrays[0], &arrays[1], mode));
    }
    kernel.datums(&operands, move |left, right| integers::combine(operation, left, right, mode))
}

fn is_nonzero_literal(value: &Typed) -> bool {
    value
        .as_literal()
        .is_some_and(|v| !v.is_null() && ScalarValue::new_zero(&value.data_type).is_ok_and(|zero| zero != *v))
}

/// Brings operands to the types the operator computes in.
fn operands(
    operation: Operation,
    left: Typed,
    right: Typed,
    context: &FunctionContext,
) -> Result<(Typed, Typed), SparkError> {
    let (left, right) = promote_strings(left, right, context)?;
    let (left, right) = match (is_decimal(&left.data_type), is_decimal(&right.data_type)) {
        (true, true) => return Ok((left, right)),
        (true, false) => beside_decimal(right, left, context).map(|(r, l)| (l, r))?,
        (false, true) => beside_decimal(left, right, context)?,
        (false, false) => (left, right),
    };
    if is_decimal(&left.data_type) && is_decimal(&right.data_type) {
        return Ok((left, right));
    }
    let common = match operation {
        Operation::Divide if is_number_or_null(&left) && is_number_or_null(&right) => Some(DataType::Float64),
        Operation::IntegralDivide if is_whole_or_null(&left, context) && is_whole_or_null(&right, context) => {
            Some(DataType::Int64)
        }
        _ => tightest_common_type(&left.data_type, &right.data_type, context.ansi),
    };
    match common {
        Some(DataType::Null) => {
            Ok((cast_to(left, &DataType::Float64, context)?, cast_to(right, &DataType::Float64, context)?))
        }
        Some(common) => Ok((cast_to(left, &common, context)?, cast_to(right, &common, context)?)),
        None => Ok((left, right)),
    }
}

fn is_number_or_null(value: &Typed) -> bool {
    is_numeric(&value.data_type) || value.data_type == DataType::Null
}

fn is_whole_or_null(value: &Typed, context: &FunctionContext) -> bool {
    let data_type = &value.data_type;
    data_type.is_signed_integer() || *data_type == DataType::Null || (!context.ansi && is_float(data_type))
}

/// Strings beside numbers: ANSI reads them as `bigint` or `double`, legacy as `double`.
fn promote_strings(left: Typed, right: Typed, context: &FunctionContext) -> Result<(Typed, Typed), SparkError> {
    let to = |other: &DataType| match other {
        _ if !context.ansi => Some(DataType::Float64),
        other if other.is_signed_integer() => Some(DataType::Int64),
        other if is_numeric(other) => Some(DataType::Float64),
        _ => None,
    };
    match (&left.data_type, &right.data_type) {
        (DataType::Utf8, DataType::Utf8) if context.ansi => Ok((left, right)),
        (DataType::Utf8, other) => match to(other) {
            Some(DataType::Float64) if !context.ansi && *other == DataType::Utf8 => {
                Ok((cast_to(left, &DataType::Float64, context)?, cast_to(right, &DataType::Float64, context)?))
            }
            Some(number) => Ok((cast_to(left, &number, context)?, right)),
            None => Ok((left, right)),
        },
        (other, DataType::Utf8) => match to(other) {
            Some(number) => Ok((left, cast_to(right, &number, context)?)),
            None => Ok((left, right)),
        },
        _ => Ok((left, right)),
    }
}

/// A number beside a decimal: a whole number as the decimal that holds it, a constant in its own digits; a float makes both
/// doubles.
pub(super) fn beside_decimal(
    value: Typed,
    decimal: Typed,
    context: &FunctionContext,
) -> Result<(Typed, Typed), SparkError> {
    if is_float(&value.data_type) {
        return Ok((cast_to(value, &DataType::Float64, context)?, cast_to(decimal, &DataType::Float64, context)?));
    }
    if value.data_type == DataType::Null {
        let to = decimal.data_type.clone();
        return Ok((cast_to(value, &to, context)?, decimal));
    }
    if !value.data_type.is_signed_integer() {
        return Ok((value, decimal));
    }
    let to = match value.as_literal().and_then(whole_digits) {
        Some(digits) => DataType::Decimal128(digits, 0),
        None => decimal_for(&value.data_type),
    };
    Ok((cast_to(value, &to, context)?, decimal))
}

/// How many digits a whole constant has.
fn whole_digits(value: &ScalarValue) -> Option<u8> {
    let array = value.cast_to(&DataType::Int64).ok()?.to_array().ok()?;
    let values = primitive::<arrow::datatypes::Int64Type>(&array).ok()?;
    values.iter().next().flatten().map(|v| v.unsigned_abs().checked_ilog10().map_or(1, |log| log as u8 + 1))
}
