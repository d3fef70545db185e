//! Operators: arithmetic, comparison, logic, bits, and the functions that are written as such.
//!
//! Comparisons of types that DataFusion orders as Spark does, `and`, `or`, `not` and the tests for null are DataFusion's own
//! expressions, so that its optimizer sees through them. Everything else is a kernel.

mod arithmetic;
mod bits;
mod comparison;
mod decimals;
mod integers;
mod logic;
mod negation;
mod temporal;

use crate::registry::{BuildScalar, Function};

use arithmetic::Operation;
pub use comparison::equal;
pub(crate) use comparison::{comparison, is_orderable};
pub(crate) use integers::overflow;
pub(crate) use logic::{condition, lazy};

/// The operator of this name, in lower case.
pub(crate) fn lookup(name: &str) -> Option<Function> {
    let build: BuildScalar = match name {
        "+" | "-" | "*" | "/" | "%" | "div" | "mod" | "pmod" => arithmetic::arithmetic,
        "try_add" | "try_subtract" | "try_multiply" | "try_divide" | "try_mod" => arithmetic::try_arithmetic,
        "negative" => negation::negative,
        "positive" => negation::positive,
        "abs" => negation::abs,
        "=" | "==" | "!=" | "<>" | "<" | "<=" | ">" | ">=" | "<=>" => comparison::comparison,
        "equal_null" => comparison::equal_null,
        "in" => comparison::in_list,
        "between" => comparison::between,
        "isnull" | "isnotnull" => logic::null_test,
        "isnan" => comparison::is_nan,
        "and" | "or" => logic::connective,
        "not" | "!" => logic::not,
        "&" | "|" | "^" => bits::binary,
        "~" => bits::not,
        "||" => concat,
        _ => return None,
    };
    Some(Function::Scalar(build))
}

fn concat(
    _name: &str,
    arguments: &[crate::Typed],
    context: &crate::FunctionContext,
) -> Result<crate::Typed, millstream_formats::condition::SparkError> {
    match crate::lookup("concat") {
        Some(Function::Scalar(build)) => build("concat", arguments, context),
        _ => Err(millstream_formats::condition::SparkError::unsupported("The operator ||")),
    }
}

#[cfg(test)]
pub(crate) mod tests;
