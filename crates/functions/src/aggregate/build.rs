//! Builds aggregate calls: checks and coerces arguments by Spark's rules.

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, IntervalUnit, TimeUnit};
use datafusion::logical_expr::{Expr, when};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::{ExceptionClass, SparkError};

use crate::arguments::{exactly, expect_at_least, expect_count, not_constant, type_mismatch};
use crate::coerce::{Expected, argument, cast_to, is_numeric};
use crate::types::sql_name;
use crate::{AggregateCall, Function, FunctionContext, Typed};

use super::avg::{Avg, DOUBLE_AVERAGE_DIGITS};
use super::bitmap::Bitmap;
use super::bits::Bits;
use super::collect::{Collect, ListAgg};
use super::count::Count;
use super::count_min::CountMin;
use super::extremum::Extremum;
use super::extremum_by::ExtremumBy;
use super::first_last::Pick;
use super::histogram::Histogram;
use super::hll::{ApproxCountDistinct, precision};
use super::moments::{Central, Joint, Line, Moments, MomentsAggregate, Product};
use super::percentile::Counted;
use super::quantiles::ApproxPercentile;
use super::sum::{LONG_SUM_DIGITS, Overflow, Sum};
use super::udaf::call;

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
        "first" | "first_value" | "any_value" | "last" | "last_value" => pick,
        "stddev" | "std" | "stddev_samp" | "stddev_pop" | "variance" | "var_samp" | "var_pop" | "skewness"
        | "kurtosis" => central,
        "covar_pop" | "covar_samp" | "corr" => joint,
        "regr_count" | "regr_avgx" | "regr_avgy" | "regr_sxx" | "regr_syy" | "regr_sxy" | "regr_r2" | "regr_slope"
        | "regr_intercept" => regression,
        "product" => product,
        "bit_and" | "bit_or" | "bit_xor" => bits,
        "max_by" | "min_by" => extremum_by,
        "collect_list" | "array_agg" | "collect_set" => collect,
        "listagg" | "string_agg" => listagg,
        "approx_count_distinct" => approx_count_distinct,
        "percentile" | "percentile_cont" | "percentile_disc" => percentile,
        "median" => median,
        "mode" => mode,
        "percentile_approx" | "approx_percentile" => percentile_approx,
        "histogram_numeric" => histogram,
        "count_min_sketch" => count_min_sketch,
        "bitmap_construct_agg" | "bitmap_or_agg" | "bitmap_and_agg" => bitmap,
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
            ExceptionClass::Analysis,
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
        ExceptionClass::Analysis,
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
    let summand = summand(name, wanted, context)?;
    let name = without_try(name, &summand.data_type, LONG_SUM_DIGITS);
    call(Sum { overflow: overflow(name, context) }, &[summand], wanted.distinct)
}

fn avg(name: &str, wanted: &AggregateCall, context: &FunctionContext) -> Result<Typed, SparkError> {
    let summand = summand(name, wanted, context)?;
    let name = without_try(name, &summand.data_type, DOUBLE_AVERAGE_DIGITS);
    call(Avg { overflow: overflow(name, context) }, &[summand], wanted.distinct)
}

/// Spark sums short decimals by their digits, and forgets `try_` in doing so: the buffer is that of the plain function, and
/// one buffer serves both.
fn without_try<'a>(name: &'a str, summand: &DataType, digits: u8) -> &'a str {
    match summand {
        DataType::Decimal128(precision, _) if *precision <= digits => name.trim_start_matches("try_"),
        _ => name,
    }
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

/// The constant argument at `index` as a boolean; absent if there is no such argument.
fn constant_boolean(
    name: &str,
    arguments: &[Typed],
    index: usize,
    parameter: &str,
) -> Result<Option<bool>, SparkError> {
    match arguments.get(index).map(Typed::as_literal) {
        None => Ok(None),
        Some(Some(ScalarValue::Boolean(Some(value)))) => Ok(Some(*value)),
        Some(_) => Err(not_constant(name, arguments, index, parameter, "BOOLEAN")),
    }
}

/// The constant argument at `index` as doubles, and whether it is an array.
fn constant_doubles(
    name: &str,
    arguments: &[Typed],
    index: usize,
    parameter: &str,
) -> Result<(Vec<f64>, bool), SparkError> {
    let wrong = || not_constant(name, arguments, index, parameter, "DOUBLE");
    let constant = arguments.get(index).and_then(constant).ok_or_else(wrong)?;
    let array = constant.to_array().map_err(|_| wrong())?;
    let (values, is_array) = match array.as_list_opt::<i32>() {
        Some(list) => (list.value(0), true),
        None => (array, false),
    };
    let doubles = cast(&values, &DataType::Float64).map_err(|_| wrong())?;
    let doubles = doubles.as_primitive::<Float64Type>();
    if doubles.null_count() > 0 {
        let text = format!("The {parameter} must not be null.");
        return Err(type_mismatch("UNEXPECTED_NULL", name, arguments, text).with("exprName", parameter));
    }
    Ok((doubles.values().to_vec(), is_array))
}

/// The value of an expression over constants only.
pub(crate) fn constant(value: &Typed) -> Option<ScalarValue> {
    if let Some(literal) = value.as_literal() {
        return Some(literal.clone());
    }
    if !value.expr.column_refs().is_empty() || value.expr.is_volatile() {
        return None;
    }
    let schema = datafusion::common::DFSchema::empty();
    let properties = datafusion::logical_expr::execution_props::ExecutionProps::new();
    let planning = Default::default();
    let physical =
        datafusion::physical_expr::create_physical_expr(&value.expr, &schema, &properties, &planning).ok()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(1));
    let row = arrow::array::RecordBatch::try_new_with_options(
        std::sync::Arc::new(arrow::datatypes::Schema::empty()),
        vec![],
        &options,
    );
    let result = physical.evaluate(&row.ok()?).ok()?.into_array(1).ok()?;
    ScalarValue::try_from_array(&result, 0).ok()
}

/// Fractions from 0 to 1.
fn fractions(name: &str, arguments: &[Typed], index: usize) -> Result<(Vec<f64>, bool), SparkError> {
    let (fractions, array) = constant_doubles(name, arguments, index, "percentage")?;
    match fractions.iter().find(|f| !(0.0..=1.0).contains(*f)) {
        None => Ok((fractions, array)),
        Some(wrong) => {
            let text = format!("The `percentage` must be between [0.0, 1.0] (current value = {wrong:?}).");
            Err(type_mismatch("VALUE_OUT_OF_RANGE", name, arguments, text)
                .with("exprName", "percentage")
                .with("valueRange", "[0.0, 1.0]")
                .with("currentValue", format!("{wrong:?}")))
        }
    }
}

fn pick(name: &str, wanted: &AggregateCall, _context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, &wanted.arguments, &[1, 2])?;
    let ignore = constant_boolean(name, &wanted.arguments, 1, "ignoreNulls")?.unwrap_or(false);
    let pick = Pick { last: name.starts_with("last"), ignore_nulls: ignore || wanted.ignore_nulls };
    call(pick, &wanted.arguments[..1], false)
}

fn doubles(
    name: &str,
    wanted: &AggregateCall,
    count: usize,
    context: &FunctionContext,
) -> Result<Vec<Typed>, SparkError> {
    plain(name, wanted)?;
    expect_count(name, &wanted.arguments, &[count])?;
    (0..count).map(|i| argument(name, &wanted.arguments, i, &Expected::DOUBLE, context)).collect()
}

fn moments<M: Moments>(name: &str, moments: M, arguments: &[Typed], distinct: bool) -> Result<Typed, SparkError> {
    call(MomentsAggregate { name: name.to_string(), moments }, arguments, distinct)
}

fn central(name: &str, wanted: &AggregateCall, context: &FunctionContext) -> Result<Typed, SparkError> {
    let kind = match name {
        "stddev_pop" => Central::StddevPop,
        "var_pop" => Central::VarPop,
        "variance" | "var_samp" => Central::VarSamp,
        "skewness" => Central::Skewness,
        "kurtosis" => Central::Kurtosis,
        _ => Central::StddevSamp,
    };
    moments(name, kind, &doubles(name, wanted, 1, context)?, wanted.distinct)
}

fn joint(name: &str, wanted: &AggregateCall, context: &FunctionContext) -> Result<Typed, SparkError> {
    let kind = match name {
        "covar_pop" => Joint::CovarPop,
        "covar_samp" => Joint::CovarSamp,
        _ => Joint::Corr,
    };
    moments(name, kind, &doubles(name, wanted, 2, context)?, wanted.distinct)
}

fn regression(name: &str, wanted: &AggregateCall, context: &FunctionContext) -> Result<Typed, SparkError> {
    plain(name, wanted)?;
    expect_count(name, &wanted.arguments, &[2])?;
    let both = |value: &Typed, other: &Typed| -> Result<Typed, SparkError> {
        let known = value.expr.clone().is_not_null().and(other.expr.clone().is_not_null());
        let null = ScalarValue::try_new_null(&value.data_type).map_err(crate::kernel::from_datafusion)?;
        let guarded = when(known, value.expr.clone()).otherwise(Expr::Literal(null, None));
        Ok(Typed::new(guarded.map_err(crate::kernel::from_datafusion)?, value.data_type.clone(), true))
    };
    if name == "regr_count" {
        return call(Count::NotNull, &wanted.arguments, wanted.distinct);
    }
    let arguments = doubles(name, wanted, 2, context)?;
    let [y, x] = exactly::<2>(name, &arguments)?;
    match name {
        // An average of the values as they are: that of decimals is a decimal.
        "regr_avgx" | "regr_avgy" => {
            let at = usize::from(name == "regr_avgx");
            let numbers = exactly::<2>(name, &wanted.arguments)?.iter().zip(&arguments);
            let numbers: Vec<&Typed> =
                numbers.map(|(own, wide)| if is_numeric(&own.data_type) { own } else { wide }).collect();
            call(Avg { overflow: overflow(name, context) }, &[both(numbers[at], numbers[1 - at])?], wanted.distinct)
        }
        "regr_sxx" => moments(name, Central::SumOfSquares, &[both(x, y)?], wanted.distinct),
        "regr_syy" => moments(name, Central::SumOfSquares, &[both(y, x)?], wanted.distinct),
        "regr_sxy" => moments(name, Joint::SumOfProducts, &arguments, wanted.distinct),
        "regr_r2" => moments(name, Joint::R2, &arguments, wanted.distinct),
        "regr_slope" => moments(name, Line::Slope, &[x.clone(), y.clone()], wanted.distinct),
        _ => moments(name, Line::Intercept, &[x.clone(), y.clone()], wanted.distinct),
    }
}

fn product(name: &str, wanted: &AggregateCall, context: &FunctionContext) -> Result<Typed, SparkError> {
    moments(name, Product, &doubles(name, wanted, 1, context)?, wanted.distinct)
}

fn bits(name: &str, wanted: &AggregateCall, context: &FunctionContext) -> Result<Typed, SparkError> {
    plain(name, wanted)?;
    exactly::<1>(name, &wanted.arguments)?;
    let value = argument(name, &wanted.arguments, 0, &Expected::Integral, context)?;
    let bits = match name {
        "bit_and" => Bits::And,
        "bit_or" => Bits::Or,
        _ => Bits::Xor,
    };
    call(bits, &[value], wanted.distinct)
}

fn extremum_by(name: &str, wanted: &AggregateCall, _context: &FunctionContext) -> Result<Typed, SparkError> {
    plain(name, wanted)?;
    let [_, order] = exactly::<2>(name, &wanted.arguments)?;
    if !orderable(&order.data_type) {
        let text = format!("The `{name}` does not support ordering on type \"{}\".", sql_name(&order.data_type));
        return Err(type_mismatch("INVALID_ORDERING_TYPE", name, &wanted.arguments, text));
    }
    call(ExtremumBy(if name == "min_by" { Extremum::Min } else { Extremum::Max }), &wanted.arguments, wanted.distinct)
}

fn collect(name: &str, wanted: &AggregateCall, _context: &FunctionContext) -> Result<Typed, SparkError> {
    plain(name, wanted)?;
    exactly::<1>(name, &wanted.arguments)?;
    call(Collect { set: name == "collect_set" }, &wanted.arguments, wanted.distinct)
}

fn listagg(name: &str, wanted: &AggregateCall, context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, &wanted.arguments, &[1, 2])?;
    let accepted = Expected::OneOf(vec![Expected::STRING, Expected::BINARY]);
    let value = argument(name, &wanted.arguments, 0, &accepted, context)?;
    let delimiter = match wanted.arguments.get(1) {
        None => Vec::new(),
        Some(given) => match constant(given) {
            Some(ScalarValue::Utf8(Some(text))) => text.into_bytes(),
            Some(ScalarValue::Binary(Some(bytes))) => bytes,
            Some(other) if other.is_null() => Vec::new(),
            _ => return Err(not_constant(name, &wanted.arguments, 1, "delimiter", "STRING")),
        },
    };
    let mut arguments = vec![value];
    let mut order = Vec::new();
    for (key, ascending, nulls_first) in &wanted.within_group {
        order.push((*ascending, *nulls_first));
        arguments.push(key.clone());
    }
    call(ListAgg { delimiter, order }, &arguments, wanted.distinct)
}

fn approx_count_distinct(name: &str, wanted: &AggregateCall, _context: &FunctionContext) -> Result<Typed, SparkError> {
    plain(name, wanted)?;
    expect_count(name, &wanted.arguments, &[1, 2])?;
    let relative_sd = match wanted.arguments.get(1) {
        None => 0.05,
        Some(_) => constant_doubles(name, &wanted.arguments, 1, "relativeSD")?.0.first().copied().unwrap_or(0.05),
    };
    let precision = precision(relative_sd);
    if relative_sd <= 0.0 || !(4..=30).contains(&precision) {
        return Err(SparkError::plain(
            ExceptionClass::IllegalArgument,
            "requirement failed: HLL++ requires at least 4 bits for addressing. Use a lower error, at most 39%.",
        ));
    }
    call(ApproxCountDistinct { precision }, &wanted.arguments[..1], false)
}

/// Numbers and intervals as they are, other values as doubles.
fn measured(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    match arguments.first().map(|a| &a.data_type) {
        Some(DataType::Interval(IntervalUnit::YearMonth) | DataType::Duration(_)) => Ok(arguments[0].clone()),
        _ => argument(name, arguments, 0, &Expected::Numeric, context),
    }
}

fn percentile(name: &str, wanted: &AggregateCall, context: &FunctionContext) -> Result<Typed, SparkError> {
    let mut arguments = wanted.arguments.clone();
    let mut descending = false;
    if name != "percentile" {
        let [(key, ascending, _)] = wanted.within_group.as_slice() else {
            return Err(SparkError::new(
                ExceptionClass::Analysis,
                "INVALID_WITHIN_GROUP_EXPRESSION.WITHIN_GROUP_MISSING",
                "42K0K",
                format!("Invalid function `{name}` with WITHIN GROUP. WITHIN GROUP is required for the function."),
            )
            .with("funcName", format!("`{name}`")));
        };
        expect_count(name, &arguments, &[1])?;
        arguments.insert(0, key.clone());
        descending = !ascending;
    } else {
        plain(name, wanted)?;
        expect_count(name, &arguments, &[2, 3])?;
    }
    let value = measured(name, &arguments, context)?;
    let (fractions, array) = fractions(name, &arguments, 1)?;
    let mut columns = vec![value];
    if arguments.len() > 2 {
        columns.push(argument(name, &arguments, 2, &Expected::Integral, context)?);
    }
    let counted = Counted::Percentile { fractions, array, discrete: name == "percentile_disc", descending };
    call(counted, &columns, wanted.distinct)
}

fn median(name: &str, wanted: &AggregateCall, context: &FunctionContext) -> Result<Typed, SparkError> {
    plain(name, wanted)?;
    exactly::<1>(name, &wanted.arguments)?;
    let value = measured(name, &wanted.arguments, context)?;
    let counted = Counted::Percentile { fractions: vec![0.5], array: false, discrete: false, descending: false };
    call(counted, &[value], wanted.distinct)
}

fn mode(name: &str, wanted: &AggregateCall, _context: &FunctionContext) -> Result<Typed, SparkError> {
    if let [(key, ascending, _)] = wanted.within_group.as_slice() {
        expect_count(name, &wanted.arguments, &[0])?;
        return call(Counted::Mode { largest: !ascending }, std::slice::from_ref(key), wanted.distinct);
    }
    plain(name, wanted)?;
    expect_count(name, &wanted.arguments, &[1, 2])?;
    constant_boolean(name, &wanted.arguments, 1, "deterministic")?;
    call(Counted::Mode { largest: false }, &wanted.arguments[..1], wanted.distinct)
}

fn percentile_approx(name: &str, wanted: &AggregateCall, context: &FunctionContext) -> Result<Typed, SparkError> {
    plain(name, wanted)?;
    expect_count(name, &wanted.arguments, &[2, 3])?;
    let value = match wanted.arguments.first() {
        Some(v) if matches!(v.data_type, DataType::Date32 | DataType::Timestamp(..)) => v.clone(),
        _ => measured(name, &wanted.arguments, context)?,
    };
    let (fractions, array) = fractions(name, &wanted.arguments, 1)?;
    let accuracy = match wanted.arguments.get(2) {
        None => 10_000,
        Some(given) => {
            let given = cast_to(given.clone(), &DataType::Int64, context)?;
            match constant(&given) {
                Some(ScalarValue::Int64(Some(n))) if (1..=i64::from(i32::MAX)).contains(&n) => n,
                Some(ScalarValue::Int64(Some(n))) => {
                    let text = format!("The `accuracy` must be between (0, {}] (current value = {n}L).", i32::MAX);
                    return Err(type_mismatch("VALUE_OUT_OF_RANGE", name, &wanted.arguments, text));
                }
                _ => return Err(not_constant(name, &wanted.arguments, 2, "accuracy", "INT")),
            }
        }
    };
    call(ApproxPercentile { fractions, array, accuracy }, &[value], wanted.distinct)
}

fn bitmap(name: &str, wanted: &AggregateCall, context: &FunctionContext) -> Result<Typed, SparkError> {
    plain(name, wanted)?;
    exactly::<1>(name, &wanted.arguments)?;
    let (bitmap, expected) = match name {
        "bitmap_construct_agg" => (Bitmap::Construct, Expected::LONG),
        "bitmap_or_agg" => (Bitmap::Or, Expected::BINARY),
        _ => (Bitmap::And, Expected::BINARY),
    };
    call(bitmap, &[argument(name, &wanted.arguments, 0, &expected, context)?], wanted.distinct)
}

/// A constant argument as a whole number.
fn constant_long(
    name: &str,
    arguments: &[Typed],
    index: usize,
    parameter: &str,
    context: &FunctionContext,
) -> Result<i64, SparkError> {
    let wrong = || not_constant(name, arguments, index, parameter, "INT");
    let given = arguments.get(index).ok_or_else(wrong)?;
    match constant(&cast_to(given.clone(), &DataType::Int64, context)?) {
        Some(ScalarValue::Int64(Some(value))) => Ok(value),
        _ => Err(wrong()),
    }
}

fn out_of_range(
    name: &str,
    arguments: &[Typed],
    parameter: &str,
    range: &str,
    value: impl std::fmt::Display,
) -> SparkError {
    let text = format!("The `{parameter}` must be between {range} (current value = {value}).");
    type_mismatch("VALUE_OUT_OF_RANGE", name, arguments, text)
        .with("exprName", parameter)
        .with("valueRange", range)
        .with("currentValue", value.to_string())
}

fn histogram(name: &str, wanted: &AggregateCall, context: &FunctionContext) -> Result<Typed, SparkError> {
    plain(name, wanted)?;
    expect_count(name, &wanted.arguments, &[2])?;
    let value = match wanted.arguments.first() {
        Some(v) if matches!(v.data_type, DataType::Date32 | DataType::Timestamp(..)) => v.clone(),
        _ => measured(name, &wanted.arguments, context)?,
    };
    let bins = constant_long(name, &wanted.arguments, 1, "nb", context)?;
    if bins < 2 {
        let text = format!("The `nb` must be between [2, {}] (current value = {bins}).", i32::MAX);
        return Err(type_mismatch("VALUE_OUT_OF_RANGE", name, &wanted.arguments, text));
    }
    call(Histogram { bins: bins as usize }, &[value], wanted.distinct)
}

fn count_min_sketch(name: &str, wanted: &AggregateCall, context: &FunctionContext) -> Result<Typed, SparkError> {
    plain(name, wanted)?;
    expect_count(name, &wanted.arguments, &[4])?;
    let accepted = Expected::OneOf(vec![Expected::Integral, Expected::STRING, Expected::BINARY]);
    let value = argument(name, &wanted.arguments, 0, &accepted, context)?;
    let double = |index: usize, parameter: &str| -> Result<f64, SparkError> {
        let (values, _) = constant_doubles(name, &wanted.arguments, index, parameter)?;
        values.first().copied().ok_or_else(|| not_constant(name, &wanted.arguments, index, parameter, "DOUBLE"))
    };
    let (error, confidence) = (double(1, "eps")?, double(2, "confidence")?);
    let seed = constant_long(name, &wanted.arguments, 3, "seed", context)?;
    if error <= 0.0 {
        return Err(out_of_range(name, &wanted.arguments, "eps", &format!("(0.0, {:?}]", f64::MAX), error));
    }
    if confidence <= 0.0 || confidence >= 1.0 {
        return Err(out_of_range(name, &wanted.arguments, "confidence", "(0.0, 1.0)", confidence));
    }
    call(CountMin::try_new(error, confidence, seed)?, &[value], wanted.distinct)
}
