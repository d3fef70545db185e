//! What Spark refuses of a plan because it is or is not a stream, with Spark's conditions.
//!
//! [`check_streaming`] is for `writeStream.start()`, [`check_batch`] for everything that runs a plan at once,
//! [`check_execution`] for what Spark notices only when the query plans its first batch: the query then fails, `start()`
//! does not. All three look at the plan as the analyzer made it, before any optimization.
//!
//! Not here: refusals of sinks and triggers (`engine`).

mod join;
mod streams;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{ExprSchema, JoinType, NullEquality};
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{Aggregate, Distinct, Expr, Join, LogicalPlan, Window};
use millstream_formats::condition::{ExceptionClass, SparkError};

use crate::analyzer::SAMPLER;
use crate::nodes::{Deduplicate, EventTime, SessionAggregate};
use crate::resolved::ResolvedPlan;
use streams::{has_event_time, is_streaming, node};

pub use millstream_formats::output_mode::OutputMode;

/// Fails if a streaming query cannot run this plan.
///
/// `check_correctness` is `spark.sql.streaming.statefulOperator.checkCorrectness.enabled`.
///
/// # Errors
/// `STREAMING_OUTPUT_MODE.UNSUPPORTED_OPERATION`, `_LEGACY_ERROR_TEMP_3102`,
/// `NON_TIME_WINDOW_NOT_SUPPORTED_IN_STREAMING`.
pub fn check_streaming(plan: &ResolvedPlan, mode: OutputMode, check_correctness: bool) -> Result<(), SparkError> {
    if !plan.streaming {
        return Err(legacy("Queries without streaming sources cannot be executed with writeStream.start();"));
    }
    check_output_mode(&plan.plan, mode)?;
    for_each_up(&plan.plan, &mut |operator| check_operator(operator, mode))?;
    if check_correctness { check_global_watermark(&plan.plan, mode) } else { Ok(()) }
}

/// Fails if a plan cannot run at once.
///
/// # Errors
/// `_LEGACY_ERROR_TEMP_3102`.
pub fn check_batch(plan: &ResolvedPlan) -> Result<(), SparkError> {
    if plan.streaming {
        return Err(batch_only());
    }
    for_each_up(&plan.plan, &mut |operator| match node::<Deduplicate>(operator) {
        Some(d) if d.within_watermark => {
            Err(legacy("dropDuplicatesWithinWatermark is not supported with batch DataFrames/DataSets;"))
        }
        _ => Ok(()),
    })
}

/// Fails if a streaming query that has started cannot be run after all.
///
/// # Errors
/// `UNSUPPORTED_STREAMING_OPERATOR_WITHOUT_WATERMARK`; a redefined watermark.
pub fn check_execution(plan: &ResolvedPlan, mode: OutputMode) -> Result<(), SparkError> {
    for_each_up(&plan.plan, &mut |operator| {
        if let Some(time) = node::<EventTime>(operator)
            && contains(&time.input, &|p| node::<EventTime>(p).is_some())
        {
            return Err(SparkError::plain(
                ExceptionClass::Spark,
                "Redefining watermark is disallowed. You can set the config \
                 'spark.sql.streaming.statefulOperator.allowMultiple' to 'false' to restore the previous behavior. Note that \
                 multiple stateful operators will be disallowed.",
            ));
        }
        let numbered = matches!(operator, LogicalPlan::Window(w) if is_streaming(&w.input) && numbers_equal_rows(w));
        let grouped = numbered || is_streaming_aggregate(operator) || is_streaming_distinct(operator);
        if mode == OutputMode::Append && grouped && !has_watermarked_key(operator) {
            return Err(SparkError::new(
                ExceptionClass::Analysis,
                "UNSUPPORTED_STREAMING_OPERATOR_WITHOUT_WATERMARK",
                "0A000",
                "Append output mode not supported for aggregations on streaming DataFrames/DataSets without watermark.",
            )
            .with("outputMode", "Append")
            .with("statefulOperator", "aggregations"));
        }
        Ok(())
    })
}

/// The error for a stream where rows at rest are needed.
pub fn batch_only() -> SparkError {
    legacy(
        "Queries with streaming sources must be executed with writeStream.start(), or from a streaming table or flow definition \
         within a Spark Declarative Pipeline.;",
    )
}

fn legacy(message: impl Into<String>) -> SparkError {
    SparkError::new(ExceptionClass::Analysis, "_LEGACY_ERROR_TEMP_3102", "", message)
}

fn unsupported_mode(mode: OutputMode, operation: &str) -> SparkError {
    SparkError::new(
        ExceptionClass::Analysis,
        "STREAMING_OUTPUT_MODE.UNSUPPORTED_OPERATION",
        "42KDE",
        format!(
            "Invalid streaming output mode: {}. This output mode is not supported for {operation} on streaming \
             DataFrames/DataSets.",
            mode.name()
        ),
    )
    .with("outputMode", mode.name())
    .with("operation", operation)
}

/// What the mode asks of the topmost aggregation.
fn check_output_mode(plan: &LogicalPlan, mode: OutputMode) -> Result<(), SparkError> {
    let topmost = find(plan, &is_streaming_aggregate);
    match (mode, topmost) {
        (OutputMode::Append, Some(aggregate)) if !has_watermarked_key(aggregate) => {
            Err(unsupported_mode(mode, "streaming aggregations without watermark"))
        }
        (OutputMode::Update, Some(aggregate)) if node::<SessionAggregate>(aggregate).is_some() => {
            Err(unsupported_mode(mode, "session window streaming aggregations"))
        }
        (OutputMode::Complete, None) => Err(unsupported_mode(mode, "no streaming aggregations")),
        _ => Ok(()),
    }
}

/// What no streaming plan may hold.
fn check_operator(operator: &LogicalPlan, mode: OutputMode) -> Result<(), SparkError> {
    check_expressions(operator)?;
    match operator {
        LogicalPlan::Aggregate(aggregate) => check_aggregate(aggregate),
        LogicalPlan::Union(union) => {
            let streams = union.inputs.iter().filter(|i| is_streaming(i)).count();
            if streams > 0 && streams < union.inputs.len() {
                return Err(legacy("Union between streaming and batch DataFrames/Datasets is not supported;"));
            }
            Ok(())
        }
        LogicalPlan::Join(join) if join.null_equality == NullEquality::NullEqualsNull => check_set_operation(join),
        LogicalPlan::Join(join) => join::check(join, mode),
        LogicalPlan::Limit(limit) if is_streaming(&limit.input) => {
            if limit.skip.is_some() {
                Err(legacy("Offset is not supported on streaming DataFrames/Datasets;"))
            } else if mode == OutputMode::Update {
                Err(legacy("Limits are not supported on streaming DataFrames/Datasets in Update output mode;"))
            } else {
                Ok(())
            }
        }
        LogicalPlan::Sort(sort) if is_streaming(&sort.input) => {
            let complete = mode == OutputMode::Complete && contains(&sort.input, &is_streaming_aggregate);
            if complete {
                return Ok(());
            }
            Err(legacy(
                "Sorting is not supported on streaming DataFrames/Datasets, unless it is on aggregated DataFrame/Dataset in \
                 Complete output mode;",
            ))
        }
        LogicalPlan::Window(window) if is_streaming(&window.input) && !numbers_equal_rows(window) => {
            Err(no_windows(window))
        }
        LogicalPlan::Extension(_) => check_extension(operator),
        _ => Ok(()),
    }
}

fn check_extension(operator: &LogicalPlan) -> Result<(), SparkError> {
    let Some(dedup) = node::<Deduplicate>(operator) else { return Ok(()) };
    let marked = dedup.input.schema().fields().iter().any(|f| has_event_time(f));
    if dedup.within_watermark && is_streaming(&dedup.input) && !marked {
        return Err(legacy(
            "dropDuplicatesWithinWatermark is not supported on streaming DataFrames/DataSets without watermark;",
        ));
    }
    Ok(())
}

fn check_aggregate(aggregate: &Aggregate) -> Result<(), SparkError> {
    if !is_streaming(&aggregate.input) {
        return Ok(());
    }
    let distinct =
        |e: &Expr| e.exists(|e| Ok(matches!(e, Expr::AggregateFunction(a) if a.params.distinct))).unwrap_or(false);
    if aggregate.aggr_expr.iter().any(distinct) {
        return Err(legacy(
            "Distinct aggregations are not supported on streaming DataFrames/Datasets. Consider using approx_count_distinct() \
             instead.;",
        ));
    }
    Ok(())
}

/// Intersection and difference, see [`crate::analyzer`].
fn check_set_operation(join: &Join) -> Result<(), SparkError> {
    let (left, right) = (is_streaming(&join.left), is_streaming(&join.right));
    match join.join_type {
        JoinType::LeftAnti if right => {
            Err(legacy("Except on a streaming DataFrame/Dataset on the right is not supported;"))
        }
        JoinType::LeftSemi if left || right => {
            Err(legacy("Intersect of streaming DataFrames/Datasets is not supported;"))
        }
        _ => Ok(()),
    }
}

fn check_expressions(operator: &LogicalPlan) -> Result<(), SparkError> {
    if operator.inputs().iter().all(|i| !is_streaming(i)) {
        return Ok(());
    }
    let uses = |name: &str| {
        operator.expressions().iter().any(|e| {
            e.exists(|e| Ok(matches!(e, Expr::ScalarFunction(call) if call.func.name() == name))).unwrap_or(false)
        })
    };
    if uses(SAMPLER) {
        return Err(legacy("Sampling is not supported on streaming DataFrames/Datasets;"));
    }
    if uses("monotonically_increasing_id") {
        return Err(legacy(
            "Expression(s): monotonically_increasing_id() is not supported with streaming DataFrames/Datasets;",
        ));
    }
    Ok(())
}

/// Whether a window is part of a set operation with `ALL`: no window of a user numbers rows without an order.
fn numbers_equal_rows(window: &Window) -> bool {
    window.window_expr.iter().all(|e| match e.clone().unalias() {
        Expr::WindowFunction(call) => call.fun.name() == "row_number" && call.params.order_by.is_empty(),
        _ => false,
    })
}

fn no_windows(window: &Window) -> SparkError {
    let shown: Vec<String> = window.window_expr.iter().map(ToString::to_string).collect();
    let function = shown.join(", ");
    SparkError::new(
        ExceptionClass::Analysis,
        "NON_TIME_WINDOW_NOT_SUPPORTED_IN_STREAMING",
        "42KDE",
        format!("Window function is not supported in {function} on streaming DataFrames/Datasets."),
    )
    .with("windowFunc", function)
}

/// A stateful operator must not lie above one whose rows may be late by then.
fn check_global_watermark(plan: &LogicalPlan, mode: OutputMode) -> Result<(), SparkError> {
    for_each_up(plan, &mut |operator| {
        if !is_stateful(operator) {
            return Ok(());
        }
        if operator.inputs().into_iter().any(|input| contains(input, &|p| emits_late_rows(p, mode))) {
            return Err(legacy(
                "Detected pattern of possible 'correctness' issue due to global watermark. The query contains stateful operation \
                 which can emit rows older than the current watermark plus allowed late record delay, which are \"late rows\" in \
                 downstream stateful operations and these rows can be discarded. Please refer the programming guide doc for more \
                 details. If you understand the possible risk of correctness issue and still need to run the query, you can \
                 disable this check by setting the config `spark.sql.streaming.statefulOperator.checkCorrectness.enabled` to \
                 false.;",
            ));
        }
        Ok(())
    })
}

fn is_stateful(operator: &LogicalPlan) -> bool {
    if is_streaming_aggregate(operator) || is_streaming_distinct(operator) {
        return true;
    }
    match operator {
        LogicalPlan::Join(join) => is_streaming(&join.left) && is_streaming(&join.right),
        _ => node::<Deduplicate>(operator).is_some_and(|dedup| {
            let keyed_by_time = dedup
                .keys
                .iter()
                .any(|key| dedup.input.schema().field_from_column(key).is_ok_and(|f| has_event_time(f)));
            is_streaming(&dedup.input) && (dedup.within_watermark || keyed_by_time)
        }),
    }
}

fn emits_late_rows(operator: &LogicalPlan, mode: OutputMode) -> bool {
    mode != OutputMode::Append && (is_streaming_aggregate(operator) || is_streaming_distinct(operator))
}

fn is_streaming_aggregate(operator: &LogicalPlan) -> bool {
    match operator {
        LogicalPlan::Aggregate(aggregate) => is_streaming(&aggregate.input),
        _ => node::<SessionAggregate>(operator).is_some_and(|a| is_streaming(&a.input)),
    }
}

fn is_streaming_distinct(operator: &LogicalPlan) -> bool {
    matches!(operator, LogicalPlan::Distinct(Distinct::All(input)) if is_streaming(input))
}

/// Whether a key of an aggregation or a column of a `DISTINCT` is event time with a watermark.
fn has_watermarked_key(operator: &LogicalPlan) -> bool {
    match operator {
        LogicalPlan::Aggregate(aggregate) => {
            let schema = aggregate.input.schema();
            let marked = |e: &Expr| match e {
                Expr::Column(c) => schema.field_from_column(c).is_ok_and(|f| has_event_time(f)),
                _ => false,
            };
            grouping_set_to_exprlist(&aggregate.group_expr).is_ok_and(|keys| keys.into_iter().any(marked))
        }
        LogicalPlan::Distinct(Distinct::All(input)) => input.schema().fields().iter().any(|f| has_event_time(f)),
        _ => node::<SessionAggregate>(operator).is_some_and(|a| {
            a.keys.iter().any(|k| a.input.schema().field_from_column(k).is_ok_and(|f| has_event_time(f)))
        }),
    }
}

/// Visits inputs before operators.
fn for_each_up(
    plan: &LogicalPlan,
    visit: &mut dyn FnMut(&LogicalPlan) -> Result<(), SparkError>,
) -> Result<(), SparkError> {
    for input in plan.inputs() {
        for_each_up(input, visit)?;
    }
    visit(plan)
}

/// The first operator from the top that fits.
fn find<'a>(plan: &'a LogicalPlan, fits: &dyn Fn(&LogicalPlan) -> bool) -> Option<&'a LogicalPlan> {
    if fits(plan) {
        return Some(plan);
    }
    plan.inputs().into_iter().find_map(|input| find(input, fits))
}

fn contains(plan: &LogicalPlan, fits: &dyn Fn(&LogicalPlan) -> bool) -> bool {
    let mut found = false;
    // The closure never fails.
    let _ = plan.apply(|p| {
        found = found || fits(p);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}

#[cfg(test)]
mod tests;
