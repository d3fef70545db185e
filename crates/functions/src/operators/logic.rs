//! `and or not`, tests for null, and choices whose values are evaluated only for the rows that take them.
//!
//! Not here: what keeps the right operand of `and` and `or` from running where the left one decides ([`crate::lazy`]).

use arrow::datatypes::DataType;
use datafusion::logical_expr::{Case, Expr, lit};
use millstream_formats::condition::SparkError;

use crate::arguments::{different_operands, exactly, wrong_operand};
use crate::coerce::{Expected, argument, cast_to};
use crate::{FunctionContext, Typed};

/// `and`, `or`.
pub fn connective(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let [left, right] = exactly::<2>(name, arguments)?;
    let as_boolean = |value: &Typed| match value.data_type {
        DataType::Boolean => Ok(value.clone()),
        DataType::Null => cast_to(value.clone(), &DataType::Boolean, context),
        DataType::Utf8 if context.ansi => cast_to(value.clone(), &DataType::Boolean, context),
        _ if left.data_type == right.data_type => Err(wrong_operand(name, arguments, "\"BOOLEAN\"")),
        _ => Err(different_operands(name, arguments)),
    };
    let (left, right) = (as_boolean(left)?, as_boolean(right)?);
    let nullable = left.nullable || right.nullable;
    let both = if name == "and" { left.expr.and(right.expr) } else { left.expr.or(right.expr) };
    Ok(Typed::new(both, DataType::Boolean, nullable))
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
    let branches = branches.into_iter().map(|(when, then)| (Box::new(when), Box::new(then.expr))).collect();
    let case = Expr::Case(Case::new(None, branches, otherwise.map(|value| Box::new(value.expr))));
    Typed::new(case, data_type, nullable)
}
