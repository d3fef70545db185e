//! `and or not`, tests for null, and expressions that are evaluated only for the rows that need them.
//!
//! Spark evaluates the right operand of `and` and `or` only where the left one does not decide. DataFusion evaluates both in most
//! batches, so a right operand that ordinary values make fail ([`crate::kernel::is_fallible`]) is put behind a `CASE`.

use std::sync::Arc;

use arrow::array::{BooleanArray, PrimitiveArray};
use arrow::datatypes::{DataType, Int8Type};
use datafusion::logical_expr::{Case, Expr, lit};
use millstream_formats::condition::SparkError;

use crate::arguments::{different_operands, exactly, wrong_operand};
use crate::coerce::{Expected, argument, cast_to};
use crate::kernel::{Kernel, boolean, is_fallible, primitive};
use crate::{FunctionContext, Typed};

/// `and`, `or`.
pub fn connective(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let [left, right] = exactly::<2>(name, arguments)?;
    let as_boolean = |value: &Typed| match value.data_type {
        DataType::Boolean => Ok(value.clone()),
        DataType::Null | DataType::Utf8 => cast_to(value.clone(), &DataType::Boolean, context),
        _ if left.data_type == right.data_type => Err(wrong_operand(name, arguments, "\"BOOLEAN\"")),
        _ => Err(different_operands(name, arguments)),
    };
    let (left, right) = (as_boolean(left)?, as_boolean(right)?);
    let nullable = left.nullable || right.nullable;
    let both = |l: Expr, r: Expr| if name == "and" { l.and(r) } else { l.or(r) };
    if !is_fallible(&right.expr) {
        return Ok(Typed::new(both(left.expr, right.expr), DataType::Boolean, nullable));
    }
    let decided = if name == "and" { left.expr.clone().is_false() } else { left.expr.clone().is_true() };
    let rest = Typed::new(both(left.expr, right.expr), DataType::Boolean, nullable);
    Ok(lazy(vec![(decided, Typed::literal((name == "or").into()))], Some(rest), nullable))
}

/// `not x`, `!x`.
pub fn not(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<1>(name, arguments)?;
    let value = argument("not", arguments, 0, &Expected::BOOLEAN, context)?;
    Ok(Typed::new(Expr::Not(Box::new(value.expr)), DataType::Boolean, value.nullable))
}

/// `isnull(x)`, `isnotnull(x)`.
pub fn null_test(name: &str, arguments: &[Typed], _context: &FunctionContext) -> Result<Typed, SparkError> {
    let [value] = exactly::<1>(name, arguments)?;
    let value = Box::new(value.expr.clone());
    let expr = if name == "isnull" { Expr::IsNull(value) } else { Expr::IsNotNull(value) };
    Ok(Typed::new(expr, DataType::Boolean, false))
}

/// A condition of `when`, `if` and their like, which must be boolean.
pub(crate) fn condition(name: &str, arguments: &[Typed], index: usize) -> Result<Expr, SparkError> {
    match arguments.get(index) {
        Some(found) if found.data_type == DataType::Boolean => Ok(found.expr.clone()),
        Some(found) if found.data_type == DataType::Null => Ok(lit(datafusion::scalar::ScalarValue::Boolean(None))),
        _ => Err(crate::arguments::unexpected_input(name, arguments, index, "\"BOOLEAN\"")),
    }
}

/// `CASE WHEN … THEN … ELSE … END` over values of one type, each evaluated only for its rows.
pub(crate) fn lazy(branches: Vec<(Expr, Typed)>, otherwise: Option<Typed>, nullable: bool) -> Typed {
    let Some(data_type) = branches.first().map(|(_, value)| value.data_type.clone()) else {
        return otherwise.unwrap_or_else(|| Typed::literal(datafusion::scalar::ScalarValue::Null));
    };
    // The optimizer rewrites a boolean CASE into AND and OR, which are not lazy; a number it leaves alone.
    let hide = data_type == DataType::Boolean
        && branches.iter().map(|(_, v)| v).chain(otherwise.as_ref()).any(|v| is_fallible(&v.expr));
    let wrap = |value: Typed| if hide { Box::new(flag(value).expr) } else { Box::new(value.expr) };
    let branches = branches.into_iter().map(|(when, then)| (Box::new(when), wrap(then))).collect();
    let case = Expr::Case(Case::new(None, branches, otherwise.map(wrap)));
    if hide { unflag(Typed::new(case, DataType::Int8, nullable)) } else { Typed::new(case, data_type, nullable) }
}

/// A boolean as 1 or 0.
fn flag(value: Typed) -> Typed {
    Kernel::new("flag", DataType::Int8, value.nullable).arrays(&[value], |arrays, _| {
        let flags: PrimitiveArray<Int8Type> = boolean(&arrays[0])?.iter().map(|v| v.map(i8::from)).collect();
        Ok(Arc::new(flags))
    })
}

/// 1 or 0 as a boolean.
fn unflag(value: Typed) -> Typed {
    let nullable = value.nullable;
    Kernel::new("unflag", DataType::Boolean, nullable).arrays(&[value], |arrays, _| {
        Ok(Arc::new(BooleanArray::from_unary(primitive::<Int8Type>(&arrays[0])?, |v| v != 0)))
    })
}
