//! Checks of a function's arguments, with Spark's errors.
//!
//! Not here: which implicit cast is allowed ([`crate::coerce`]).

use std::fmt;

use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::types::sql_name;

use crate::Typed;
use crate::sql_text::{failed_call, sql_text};

/// Checks the number of arguments; `allowed` lists every number that is right.
pub fn expect_count(name: &str, arguments: &[Typed], allowed: &[usize]) -> Result<(), SparkError> {
    if allowed.contains(&arguments.len()) {
        return Ok(());
    }
    Err(wrong_count(name, &count_list(allowed), arguments.len()))
}

/// Checks that there are at least so many arguments.
pub fn expect_at_least(name: &str, arguments: &[Typed], least: usize) -> Result<(), SparkError> {
    if arguments.len() >= least {
        return Ok(());
    }
    Err(wrong_count(name, &format!("> {}", least.saturating_sub(1)), arguments.len()))
}

/// Exactly `N` arguments.
pub fn exactly<'a, const N: usize>(name: &str, arguments: &'a [Typed]) -> Result<&'a [Typed; N], SparkError> {
    arguments.try_into().map_err(|_| wrong_count(name, &N.to_string(), arguments.len()))
}

fn count_list(allowed: &[usize]) -> String {
    match allowed {
        [one] => one.to_string(),
        many => format!("[{}]", many.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// `WRONG_NUM_ARGS.WITHOUT_SUGGESTION`; `expected` is a number, `[1, 2]` or `> 1`.
pub fn wrong_count(name: &str, expected: &str, actual: usize) -> SparkError {
    let text = format!(
        "The `{name}` requires {expected} parameters but the actual number is {actual}. Please, refer to \
         'https://spark.apache.org/docs/latest/sql-ref-functions.html' for a fix."
    );
    SparkError::new(ExceptionClass::Analysis, "WRONG_NUM_ARGS.WITHOUT_SUGGESTION", "42605", text)
        .with("functionName", format!("`{name}`"))
        .with("expectedNum", expected)
        .with("actualNum", actual.to_string())
        .with("docroot", "https://spark.apache.org/docs/latest")
}

/// A `DATATYPE_MISMATCH` of this subclass for a call; `text` says why, its parameters are added by the caller.
pub fn type_mismatch(subclass: &str, name: &str, arguments: &[Typed], text: impl fmt::Display) -> SparkError {
    let call = failed_call(name, arguments);
    SparkError::new(
        ExceptionClass::Analysis,
        &format!("DATATYPE_MISMATCH.{subclass}"),
        "42K09",
        format!("Cannot resolve \"{call}\" due to data type mismatch: {text}"),
    )
    .with("sqlExpr", format!("\"{call}\""))
}

/// `DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE` for the argument at `index`, from 0; `required` is a type or a choice as Spark quotes
/// them: `"STRING"`, `("STRING" or "BINARY")`.
pub fn unexpected_input(name: &str, arguments: &[Typed], index: usize, required: &str) -> SparkError {
    let (input, found) = match arguments.get(index) {
        Some(argument) => (sql_text(&argument.expr), sql_name(&argument.data_type)),
        None => (String::new(), String::new()),
    };
    let text = format!(
        "The {} parameter requires the {required} type, however \"{input}\" has the type \"{found}\".",
        ordinal(index)
    );
    type_mismatch("UNEXPECTED_INPUT_TYPE", name, arguments, text)
        .with("paramIndex", ordinal(index))
        .with("requiredType", required)
        .with("inputSql", format!("\"{input}\""))
        .with("inputType", format!("\"{found}\""))
}

/// `DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES`.
pub fn different_operands(name: &str, arguments: &[Typed]) -> SparkError {
    let type_at = |i: usize| arguments.get(i).map(|a| sql_name(&a.data_type)).unwrap_or_default();
    let (left, right) = (type_at(0), type_at(1));
    let text = format!(
        "the left and right operands of the binary operator have incompatible types (\"{left}\" and \"{right}\")."
    );
    type_mismatch("BINARY_OP_DIFF_TYPES", name, arguments, text)
        .with("left", format!("\"{left}\""))
        .with("right", format!("\"{right}\""))
}

/// `DATATYPE_MISMATCH.BINARY_OP_WRONG_TYPE`: both operands have the type of the first, which the operator does not take.
pub fn wrong_operand(name: &str, arguments: &[Typed], required: &str) -> SparkError {
    let found = arguments.first().map(|a| sql_name(&a.data_type)).unwrap_or_default();
    let text = format!("the binary operator requires the input type {required}, not \"{found}\".");
    type_mismatch("BINARY_OP_WRONG_TYPE", name, arguments, text)
        .with("inputType", required)
        .with("actualDataType", format!("\"{found}\""))
}

/// `DATATYPE_MISMATCH.DATA_DIFF_TYPES`: the arguments have no common type.
pub fn no_common_type(name: &str, arguments: &[Typed]) -> SparkError {
    let types: Vec<String> = arguments.iter().map(|a| format!("\"{}\"", sql_name(&a.data_type))).collect();
    let types = format!("[{}]", types.join(", "));
    let text = format!("Input to `{name}` should all be the same type, but it's {types}.");
    type_mismatch("DATA_DIFF_TYPES", name, arguments, text)
        .with("functionName", format!("`{name}`"))
        .with("dataType", types)
}

/// `DATATYPE_MISMATCH.NON_FOLDABLE_INPUT`: the argument must be a constant.
pub fn not_constant(name: &str, arguments: &[Typed], index: usize, parameter: &str, required: &str) -> SparkError {
    let input = arguments.get(index).map(|a| sql_text(&a.expr)).unwrap_or_default();
    let text =
        format!("the input `{parameter}` should be a foldable \"{required}\" expression; however, got \"{input}\".");
    type_mismatch("NON_FOLDABLE_INPUT", name, arguments, text)
        .with("inputName", format!("`{parameter}`"))
        .with("inputType", format!("\"{required}\""))
        .with("inputExpr", format!("\"{input}\""))
}

/// `first`, `second`, …, for a position from 0.
pub fn ordinal(index: usize) -> String {
    const NAMES: [&str; 10] =
        ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];
    NAMES.get(index).map_or_else(|| format!("{}th", index + 1), |name| (*name).to_string())
}
