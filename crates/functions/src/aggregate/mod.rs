//! Aggregate functions: one implementation for batches, streams and windows.
//!
//! Buffers are exactly Spark's, since they are the value rows of a streaming aggregation's state. Not here: grouping
//! (DataFusion's aggregation, `operators`), `FILTER` (the analyzer puts it on the expression).

mod avg;
pub mod canonical;
mod count;
mod distinct;
mod extremum;
mod rows;
mod sum;
mod udaf;

use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;

use crate::arguments::{exactly, expect_at_least, type_mismatch};
use crate::coerce::{Expected, argument};
use crate::types::sql_name;
use crate::{AggregateCall, Function, FunctionContext, Typed};
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use avg::Avg;
use count::Count;
use extremum::Extremum;
use sum::{Overflow, Sum};
use udaf::call;
pub use udaf::{SparkAggregate, as_spark};

type Build = fn(&str, &AggregateCall, &FunctionContext) -> Result<Typed, SparkError>;

/// The aggregate of this name, in lower case.
pub(crate) fn find(name: &str) -> Option<Function> {
    let build: Build = match name {
        "count" => count,
        "count_if" => count_if,
        "sum" | "try_sum" => sum,
        "avg" | "mean" | "try_avg" => avg,
        "min" | "max" => extremum,
        "bool_and" | "every" | "bool_or" | "some" | "any" => boolean,
        _ => return None,
    };
    Some(Function::Aggregate(build))
}

/// Fails if an aggregate without distinct, null handling or order is called with one.
fn plain(name: &str, call: &AggregateCall) -> Result<(), SparkError> {
    if call.ignore_nulls {
        return Err(unsupported_clause(name, "IGNORE NULLS"));
    }
    if !call.within_group.is_empty() {
        return Err(SparkError::new(
            millstream_formats::condition::ExceptionClass::Analysis,
            "INVALID_WITHIN_GROUP_EXPRESSION.WITHIN_GROUP_UNSUPPORTED",
            "42K0K",
            format!("Invalid function `{name}` with WITHIN GROUP. The function does not support WITHIN GROUP (ORDER BY ...)."),
        )
        .with("funcName", format!("`{name}`")));
    }
    Ok(())
}

fn unsupported_clause(name: &str, clause: &str) -> SparkError {
    SparkError::new(
        millstream_formats::condition::ExceptionClass::Analysis,
        "INVALID_SQL_SYNTAX.FUNCTION_WITH_UNSUPPORTED_SYNTAX",
        "42000",
        format!("Invalid SQL syntax: The function `{name}` does not support {clause}."),
    )
    .with("prettyName", format!("`{name}`"))
    .with("syntax", clause)
}

fn count(name: &str, wanted: &AggregateCall, _context: &FunctionContext) -> Result<Typed, SparkError> {
    plain(name, wanted)?;
    expect_at_least(name, &wanted.arguments, 1)?;
    // Arguments that are never null need not be looked at.
    let mut arguments: Vec<Typed> = wanted.arguments.clone();
    if !wanted.distinct && arguments.iter().all(|a| !a.nullable) {
        arguments = vec![Typed::literal(ScalarValue::Int32(Some(1)))];
    }
    call(Count::NotNull, &arguments, wanted.distinct)
}

fn count_if(name: &str, wanted: &AggregateCall, context: &FunctionContext) -> Result<Typed, SparkError> {
    plain(name, wanted)?;
    exactly::<1>(name, &wanted.arguments)?;
    let condition = argument(name, &wanted.arguments, 0, &Expected::BOOLEAN, context)?;
    call(Count::True, &[condition], wanted.distinct)
}

/// The one argument of a sum or average: a number or an interval.
fn summand(name: &str, wanted: &AggregateCall, context: &FunctionContext) -> Result<Typed, SparkError> {
    plain(name, wanted)?;
    exactly::<1>(name, &wanted.arguments)?;
    let intervals = [DataType::Interval(IntervalUnit::YearMonth), DataType::Duration(TimeUnit::Microsecond)];
    let mut accepted = vec![Expected::Numeric];
    accepted.extend(intervals.map(Expected::Exactly));
    let found = &wanted.arguments[0];
    argument(name, &wanted.arguments, 0, &Expected::OneOf(accepted), context).map_err(|_| {
        let text = format!(
            "The first parameter requires the (\"NUMERIC\" or \"INTERVAL DAY TO SECOND\" or \"INTERVAL YEAR TO MONTH\") type, however \
             \"{}\" has the type \"{}\".",
            crate::sql_text(&found.expr),
            sql_name(&found.data_type)
        );
        type_mismatch("UNEXPECTED_INPUT_TYPE", name, &wanted.arguments, text)
    })
}

fn overflow(name: &str, context: &FunctionContext) -> Overflow {
    match (name.starts_with("try_"), context.ansi) {
        (true, _) => Overflow::Null,
        (false, true) => Overflow::Fail,
        (false, false) => Overflow::Wrap,
    }
}

fn sum(name: &str, wanted: &AggregateCall, context: &FunctionContext) -> Result<Typed, SparkError> {
    call(Sum { overflow: overflow(name, context) }, &[summand(name, wanted, context)?], wanted.distinct)
}

fn avg(name: &str, wanted: &AggregateCall, context: &FunctionContext) -> Result<Typed, SparkError> {
    call(Avg { overflow: overflow(name, context) }, &[summand(name, wanted, context)?], wanted.distinct)
}

fn extremum(name: &str, wanted: &AggregateCall, _context: &FunctionContext) -> Result<Typed, SparkError> {
    plain(name, wanted)?;
    let [value] = exactly::<1>(name, &wanted.arguments)?;
    if !orderable(&value.data_type) {
        let text = format!("The `{name}` does not support ordering on type \"{}\".", sql_name(&value.data_type));
        return Err(type_mismatch("INVALID_ORDERING_TYPE", name, &wanted.arguments, text));
    }
    call(if name == "min" { Extremum::Min } else { Extremum::Max }, std::slice::from_ref(value), false)
}

/// Whether values of the type can be ordered.
fn orderable(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(..) | DataType::Interval(IntervalUnit::MonthDayNano) => false,
        DataType::List(item) => orderable(item.data_type()),
        DataType::Struct(fields) => !is_variant(data_type) && fields.iter().all(|f| orderable(f.data_type())),
        _ => true,
    }
}

fn is_variant(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => {
            let names: Vec<&str> = fields.iter().map(|f| f.name().as_str()).collect();
            names == ["value", "metadata"] && fields.iter().all(|f| *f.data_type() == DataType::Binary)
        }
        _ => false,
    }
}

fn boolean(name: &str, wanted: &AggregateCall, context: &FunctionContext) -> Result<Typed, SparkError> {
    plain(name, wanted)?;
    exactly::<1>(name, &wanted.arguments)?;
    let value = argument(name, &wanted.arguments, 0, &Expected::BOOLEAN, context)?;
    let end = if matches!(name, "bool_and" | "every") { Extremum::Min } else { Extremum::Max };
    call(end, &[value], false)
}
