//! Functions that choose between values: `when`, `if`, `coalesce` and their like, `greatest`, `least`; and those that raise.
//!
//! A value is evaluated only for the rows that take it, see [`crate::operators::lazy`].

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, NullArray, make_comparator};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{SortOptions, cast as arrow_cast};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::logical_expr::Expr;
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::types::{simple_name, sql_name};

use crate::aggregate::canonical::canonical;
use crate::arguments::{exactly, expect_at_least, expect_count, no_common_type, type_mismatch, wrong_count};
use crate::coerce::{Expected, argument, cast_to, common_type_without_strings, to_common_type};
use crate::kernel::{Kernel, boolean, from_datafusion, primitive, string};
use crate::operators::{comparison, condition, is_orderable, lazy};
use crate::registry::{BuildScalar, Function};
use crate::sql_text::sql_text;
use crate::{FunctionContext, Typed};

/// The function of this name, in lower case.
pub(crate) fn lookup(name: &str) -> Option<Function> {
    let build: BuildScalar = match name {
        "when" => when,
        "if" | "iff" => choose,
        "coalesce" => coalesce,
        "ifnull" | "nvl" => if_null,
        "nvl2" => nvl2,
        "nullif" => null_if,
        "nanvl" => nanvl,
        "zeroifnull" => zero_if_null,
        "nullifzero" => null_if_zero,
        "greatest" | "least" => extreme,
        "assert_true" => assert_true,
        "raise_error" => raise_error,
        "typeof" => type_of,
        _ => return None,
    };
    Some(Function::Scalar(build))
}

/// `when(c1, v1, c2, v2, …[, otherwise])`.
fn when(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_at_least(name, arguments, 2)?;
    let conditions = arguments.len() / 2;
    let values: Vec<Typed> = arguments
        .iter()
        .enumerate()
        .filter(|(i, _)| i % 2 == 1 || i / 2 == conditions)
        .map(|(_, value)| value.clone())
        .collect();
    let otherwise = arguments.len() % 2 == 1;
    // A condition that is the constant true ends the choice.
    let is_true = |i: usize| arguments.get(2 * i).and_then(Typed::as_literal) == Some(&ScalarValue::from(true));
    let nullable = match (0..conditions).find(|i| is_true(*i)) {
        Some(last) => values.iter().take(last + 1).any(|v| v.nullable),
        None => values.iter().any(|v| v.nullable) || !otherwise,
    };
    let (mut values, _) = to_common_type(name, &values, context)?;
    let otherwise = if otherwise { values.pop() } else { None };
    let branches = values
        .into_iter()
        .enumerate()
        .map(|(i, value)| Ok((condition(name, arguments, 2 * i)?, value)))
        .collect::<Result<Vec<_>, SparkError>>()?;
    Ok(lazy(branches, otherwise, nullable))
}

/// `if(c, a, b)`.
fn choose(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let [_, yes, no] = exactly::<3>(name, arguments)?;
    let condition = condition(name, arguments, 0)?;
    either(name, condition, yes, no, context)
}

fn either(name: &str, when: Expr, yes: &Typed, no: &Typed, context: &FunctionContext) -> Result<Typed, SparkError> {
    let nullable = yes.nullable || no.nullable;
    let (mut values, _) = to_common_type(name, &[yes.clone(), no.clone()], context)?;
    let no = values.pop();
    let yes = values.pop().ok_or_else(|| SparkError::internal("a choice without values"))?;
    Ok(lazy(vec![(when, yes)], no, nullable))
}

/// `coalesce(a, b, …)`.
fn coalesce(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_at_least(name, arguments, 1)?;
    let nullable = arguments.iter().all(|a| a.nullable);
    let (mut values, common) = to_common_type(name, arguments, context)?;
    let last = values.pop();
    if common == DataType::Null {
        return Ok(Typed::literal(ScalarValue::Null));
    }
    let branches = values.into_iter().map(|v| (Expr::IsNotNull(Box::new(v.expr.clone())), v)).collect();
    Ok(lazy(branches, last, nullable))
}

fn if_null(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<2>(name, arguments)?;
    coalesce("coalesce", arguments, context)
}

/// `nvl2(a, b, c)`: b if a is not null, else c.
fn nvl2(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let [tested, yes, no] = exactly::<3>(name, arguments)?;
    either(name, Expr::IsNotNull(Box::new(tested.expr.clone())), yes, no, context)
}

/// `nullif(a, b)`: null if they are equal, else a.
fn null_if(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let [value, other] = exactly::<2>(name, arguments)?;
    let same = comparison("=", &[value.clone(), other.clone()], context)?;
    either(name, same.expr, &Typed::literal(ScalarValue::Null), value, context)
}

fn zero_if_null(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let [value] = exactly::<1>(name, arguments)?;
    coalesce(name, &[value.clone(), Typed::literal(ScalarValue::from(0i32))], context)
}

fn null_if_zero(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let [value] = exactly::<1>(name, arguments)?;
    null_if(name, &[value.clone(), Typed::literal(ScalarValue::from(0i32))], context)
}

/// `nanvl(a, b)`: b if a is NaN, else a.
fn nanvl(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<2>(name, arguments)?;
    let expected = Expected::OneOf(vec![Expected::DOUBLE, Expected::Exactly(DataType::Float32)]);
    let values: Vec<Typed> =
        (0..2).map(|i| argument(name, arguments, i, &expected, context)).collect::<Result<_, _>>()?;
    let (values, common) = to_common_type(name, &values, context)?;
    let kernel = Kernel::new(name, common, values.iter().any(|v| v.nullable));
    Ok(kernel.arrays(&values, |arrays, _| {
        let doubles = arrow_cast(&arrays[0], &DataType::Float64)?;
        let nan: BooleanArray =
            primitive::<Float64Type>(&doubles)?.iter().map(|v| Some(v.is_some_and(f64::is_nan))).collect();
        Ok(zip(&nan, &arrays[1], &arrays[0])?)
    }))
}

/// `greatest(a, b, …)`, `least(a, b, …)`: nulls are passed over.
fn extreme(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    if arguments.len() < 2 {
        return Err(wrong_count(name, "> 1", arguments.len()));
    }
    let types: Vec<DataType> = arguments.iter().map(|a| a.data_type.clone()).collect();
    let common = common_type_without_strings(&types, context.ansi).ok_or_else(|| no_common_type(name, arguments))?;
    if !is_orderable(&common) {
        let found = sql_name(&common);
        let text = format!("The `{name}` does not support ordering on type \"{found}\".");
        return Err(type_mismatch("INVALID_ORDERING_TYPE", name, arguments, text));
    }
    let nullable = arguments.iter().all(|a| a.nullable);
    let values: Vec<Typed> =
        arguments.iter().map(|a| cast_to(a.clone(), &common, context)).collect::<Result<_, _>>()?;
    let wanted = if name == "greatest" { Ordering::Greater } else { Ordering::Less };
    Ok(Kernel::new(name, common, nullable).arrays(&values, move |arrays, _| extreme_of(arrays, wanted)))
}

fn extreme_of(arrays: &[ArrayRef], wanted: Ordering) -> Result<ArrayRef, SparkError> {
    let (first, rest) = arrays.split_first().ok_or_else(|| SparkError::internal("nothing to choose from"))?;
    let mut best = Arc::clone(first);
    for next in rest {
        let (left, right) = (canonical(next).map_err(from_datafusion)?, canonical(&best).map_err(from_datafusion)?);
        let order = make_comparator(&left, &right, SortOptions::default())?;
        let (next_nulls, best_nulls) = (next.logical_nulls(), best.logical_nulls());
        let is_null = |nulls: &Option<arrow::buffer::NullBuffer>, row| nulls.as_ref().is_some_and(|n| n.is_null(row));
        let better: BooleanArray = (0..next.len())
            .map(|row| Some(!is_null(&next_nulls, row) && (is_null(&best_nulls, row) || order(row, row) == wanted)))
            .collect();
        best = zip(&better, next, &best)?;
    }
    Ok(best)
}

fn raised(message: &str) -> SparkError {
    SparkError::new(ExceptionClass::Runtime, "USER_RAISED_EXCEPTION", "P0001", message).with("errorMessage", message)
}

/// `raise_error(message)`: fails for every row.
fn raise_error(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[1])?;
    let message = argument(name, arguments, 0, &Expected::STRING, context)?;
    // Volatile, so that nobody evaluates it before there is a row.
    let kernel = Kernel::new(name, DataType::Null, true).volatile().fallible();
    Ok(kernel.arrays(&[message], |arrays, rows| match rows {
        0 => Ok(Arc::new(NullArray::new(0)) as ArrayRef),
        _ => {
            let messages = string(&arrays[0])?;
            Err(raised(if messages.is_null(0) { "null" } else { messages.value(0) }))
        }
    }))
}

/// `assert_true(condition[, message])`: null, or fails where the condition does not hold.
fn assert_true(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[1, 2])?;
    let tested = argument(name, arguments, 0, &Expected::BOOLEAN, context)?;
    let message = match arguments.len() {
        1 => Typed::literal(ScalarValue::from(format!("'{}' is not true!", sql_text(&tested.expr)))),
        _ => argument(name, arguments, 1, &Expected::STRING, context)?,
    };
    let kernel = Kernel::new(name, DataType::Null, true).volatile().fallible();
    Ok(kernel.arrays(&[tested, message], |arrays, rows| {
        let (tested, messages) = (boolean(&arrays[0])?, string(&arrays[1])?);
        match (0..rows).find(|row| tested.is_null(*row) || !tested.value(*row)) {
            Some(row) => Err(raised(if messages.is_null(row) { "null" } else { messages.value(row) })),
            None => Ok(Arc::new(NullArray::new(rows)) as ArrayRef),
        }
    }))
}

/// `typeof(x)`.
fn type_of(name: &str, arguments: &[Typed], _context: &FunctionContext) -> Result<Typed, SparkError> {
    let [value] = exactly::<1>(name, arguments)?;
    Ok(Typed::literal(ScalarValue::from(simple_name(&value.data_type))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::tests::outcome;
    use crate::test_context::ansi;

    #[test]
    fn choices_have_the_common_type_and_skip_what_they_do_not_take() {
        let null = || ScalarValue::Null;
        let cases: &[(&str, Vec<ScalarValue>, &str)] = &[
            ("when", vec![false.into(), 1i32.into(), true.into(), 2i64.into()], "bigint 2"),
            ("when", vec![false.into(), 1i32.into()], "int NULL"),
            ("if", vec![true.into(), 1i32.into(), 2.5.into()], "double 1.0"),
            ("coalesce", vec![null(), ScalarValue::Int32(None), 3i64.into()], "bigint 3"),
            ("coalesce", vec![null()], "void NULL"),
            ("nvl2", vec![null(), 1i32.into(), 2i32.into()], "int 2"),
            ("nullif", vec![1i32.into(), 1i64.into()], "int NULL"),
            ("nanvl", vec![f64::NAN.into(), 1i32.into()], "double 1.0"),
            ("zeroifnull", vec![ScalarValue::Int64(None)], "bigint 0"),
            ("greatest", vec![1i32.into(), null(), 3i64.into()], "bigint 3"),
            ("greatest", vec![1.0.into(), f64::NAN.into()], "double NaN"),
            ("least", vec!["b".into(), "a".into()], "string a"),
            ("least", vec![1i32.into(), "a".into()], "DATATYPE_MISMATCH.DATA_DIFF_TYPES"),
            ("greatest", vec![1i32.into()], "WRONG_NUM_ARGS.WITHOUT_SUGGESTION"),
            ("raise_error", vec!["x".into()], "USER_RAISED_EXCEPTION"),
            ("assert_true", vec![true.into()], "void NULL"),
            ("assert_true", vec![false.into()], "USER_RAISED_EXCEPTION"),
            ("typeof", vec![1i64.into()], "string bigint"),
        ];
        for (name, arguments, wanted) in cases {
            assert_eq!(outcome(name, arguments, &ansi()), *wanted, "{name} {arguments:?}");
        }
    }

    #[test]
    fn an_error_in_the_other_branch_does_not_happen() {
        let raise = raise_error("raise_error", &[Typed::literal("x".into())], &ansi()).unwrap();
        let chosen = choose("if", &[Typed::literal(true.into()), Typed::literal(1i32.into()), raise], &ansi()).unwrap();
        assert_eq!(crate::kernel::tests::run_constant(&chosen).unwrap(), ScalarValue::from(1i32));
    }
}
