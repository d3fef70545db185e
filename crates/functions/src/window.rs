//! Functions over a window that are no aggregates: ranks, `ntile`, `lag`, `lead`, `nth_value`.
//!
//! DataFusion computes them; here arguments are checked and results get Spark's types. Partitioning, order and frame are filled
//! in by the analyzer.

use arrow::datatypes::DataType;
use datafusion::functions_window::cume_dist::cume_dist_udwf;
use datafusion::functions_window::lead_lag::{lag_udwf, lead_udwf};
use datafusion::functions_window::nth_value::nth_value_udwf;
use datafusion::functions_window::ntile::ntile_udwf;
use datafusion::functions_window::rank::{dense_rank_udwf, percent_rank_udwf, rank_udwf};
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::{NullTreatment, WindowFunction};
use datafusion::logical_expr::{Expr, WindowFunctionDefinition, cast};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;

use crate::arguments::{expect_count, not_constant, type_mismatch};
use crate::coerce::{cast_to, to_common_type};
use crate::registry::BuildScalar;
use crate::{Function, FunctionContext, Typed};

/// The window function of this name, in lower case.
pub(crate) fn find(name: &str) -> Option<Function> {
    let build: BuildScalar = match name {
        "row_number" | "rank" | "dense_rank" | "percent_rank" | "cume_dist" => rank,
        "ntile" => ntile,
        "lag" | "lead" => offset,
        "nth_value" => nth_value,
        _ => return None,
    };
    Some(Function::Window(build))
}

fn call(function: impl Into<WindowFunctionDefinition>, arguments: Vec<Expr>) -> WindowFunction {
    WindowFunction::new(function, arguments)
}

fn finished(call: WindowFunction) -> Expr {
    Expr::WindowFunction(Box::new(call))
}

fn rank(name: &str, arguments: &[Typed], _context: &FunctionContext) -> Result<Typed, SparkError> {
    // `rank(x)` as in other systems is not Spark's; the order is the window's.
    expect_count(name, arguments, &[0])?;
    let counted =
        |function| Typed::new(cast(finished(call(function, vec![])), DataType::Int32), DataType::Int32, false);
    let share = |function| Typed::new(finished(call(function, vec![])), DataType::Float64, false);
    Ok(match name {
        "row_number" => counted(row_number_udwf()),
        "rank" => counted(rank_udwf()),
        "dense_rank" => counted(dense_rank_udwf()),
        "percent_rank" => share(percent_rank_udwf()),
        _ => share(cume_dist_udwf()),
    })
}

/// A constant integer; a negated literal counts as one.
fn constant(value: &Typed) -> Option<i64> {
    let literal = match &value.expr {
        Expr::Negative(inner) => match inner.as_ref() {
            Expr::Literal(value, _) => value.arithmetic_negate().ok()?,
            _ => return None,
        },
        _ => value.as_literal()?.clone(),
    };
    match literal.cast_to(&DataType::Int64).ok()? {
        ScalarValue::Int64(value) => value,
        _ => None,
    }
}

fn long(value: i64) -> Expr {
    Expr::Literal(ScalarValue::Int64(Some(value)), None)
}

fn ntile(name: &str, arguments: &[Typed], _context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[0, 1])?;
    let buckets = match arguments.first() {
        None => 1,
        Some(given) => constant(given).ok_or_else(|| not_constant(name, arguments, 0, "buckets", "INT"))?,
    };
    if buckets <= 0 {
        let text = format!("The `buckets` must be between [1, {}] (current value = {buckets}).", i32::MAX);
        return Err(type_mismatch("VALUE_OUT_OF_RANGE", name, arguments, text));
    }
    let tile = cast(finished(call(ntile_udwf(), vec![long(buckets)])), DataType::Int32);
    Ok(Typed::new(tile, DataType::Int32, false))
}

fn offset(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[1, 2, 3, 4])?;
    let offset = match arguments.get(1) {
        None => 1,
        Some(given) => constant(given).ok_or_else(|| not_constant(name, arguments, 1, "offset", "INT"))?,
    };
    let default = arguments.get(2).filter(|d| d.as_literal().is_none_or(|v| !v.is_null()));
    let (value, default) = match default {
        None => (arguments[0].clone(), None),
        Some(default) => {
            let (both, common) = to_common_type(name, &[arguments[0].clone(), default.clone()], context)?;
            let default = cast_to(both[1].clone(), &common, context)?;
            (both[0].clone(), Some(default))
        }
    };
    let mut values = vec![value.expr.clone(), long(offset)];
    values.extend(default.as_ref().map(folded));
    let function = if name == "lag" { lag_udwf() } else { lead_udwf() };
    let mut window = call(function, values);
    if arguments.get(3).and_then(Typed::as_literal) == Some(&ScalarValue::Boolean(Some(true))) {
        window.params.null_treatment = Some(NullTreatment::IgnoreNulls);
    }
    let nullable = value.nullable || default.is_none_or(|d| d.nullable);
    Ok(Typed::new(finished(window), value.data_type, nullable))
}

/// A default value as the literal that DataFusion wants: casts of literals are done here.
fn folded(value: &Typed) -> Expr {
    match &value.expr {
        Expr::Cast(inner) => match inner.expr.as_ref() {
            Expr::Literal(literal, _) => match literal.cast_to(&value.data_type) {
                Ok(literal) => Expr::Literal(literal, None),
                Err(_) => value.expr.clone(),
            },
            _ => value.expr.clone(),
        },
        other => other.clone(),
    }
}

fn nth_value(name: &str, arguments: &[Typed], _context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[2, 3])?;
    let n = constant(&arguments[1]).ok_or_else(|| not_constant(name, arguments, 1, "offset", "INT"))?;
    if n <= 0 {
        let text = format!("The `offset` must be between (0, {}] (current value = {n}L).", i64::MAX);
        return Err(type_mismatch("VALUE_OUT_OF_RANGE", name, arguments, text));
    }
    let mut window = call(nth_value_udwf(), vec![arguments[0].expr.clone(), long(n)]);
    if arguments.get(2).and_then(Typed::as_literal) == Some(&ScalarValue::Boolean(Some(true))) {
        window.params.null_treatment = Some(NullTreatment::IgnoreNulls);
    }
    Ok(Typed::new(finished(window), arguments[0].data_type.clone(), true))
}
