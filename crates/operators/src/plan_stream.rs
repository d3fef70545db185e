//! From a resolved streaming relation to a [`StreamPlan`].
//!
//! The plan is optimised by DataFusion's rules (without its type coercion: expressions are complete), streaming leaves get their
//! slots, aggregations and the like over streams become stateful operators with ids in pre-order from the sink, as Spark
//! numbers them, and DataFusion plans the rest.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::execution::context::SessionState;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::{
    Aggregate, Expr, Extension, FetchType, LogicalPlan, Projection, SkipType, TableScan, lit,
};
use datafusion::optimizer::{Optimizer, OptimizerContext, OptimizerRule};
use datafusion::physical_planner::PhysicalPlanner;
use datafusion::prelude::SessionConfig;
use millstream_formats::condition::SparkError;
use millstream_functions::lazy::make_lazy;
use millstream_plan::nodes::{Deduplicate, SessionAggregate};
use millstream_plan::resolved::{ResolvedPlan, StreamTable};
use millstream_state::Maintainer;
use parking_lot::Mutex;

use crate::build::StreamBuild;
use crate::exec::{external, spark_error};
use crate::grouping_sets;
use crate::logical::{Stateful, StatefulKind};
use crate::planner::NodePlanner;
use crate::query::{ComputeRuntime, StreamQuery};
use crate::scan::{ScanSlot, StreamLeaf};
use crate::stream_plan::{OutputMode, StreamPlan, StreamSettings};
use crate::task::ScopeTasks;

/// Rules that would take a streaming leaf out of the plan, or change what an aggregation keeps.
const RULES_LEFT_OUT: &[&str] = &[
    "propagate_empty_relation",
    "eliminate_filter",
    "eliminate_join",
    "single_distinct_aggregation_to_group_by",
    "eliminate_group_by_constant",
];

/// Plans a streaming query.
///
/// # Errors
/// If the query uses a feature that is not supported over streams.
pub fn plan_stream(
    resolved: &ResolvedPlan,
    mode: OutputMode,
    settings: StreamSettings,
) -> Result<Box<dyn StreamPlan>, SparkError> {
    let limited =
        limits_over_streams(resolved.plan.clone(), mode == OutputMode::Append).map_err(|e| spark_error(&e))?;
    let mut names = resolved.names.as_ref().clone();
    let expanded = grouping_sets::expand(limited, &mut names).map_err(|e| spark_error(&e))?;
    let optimised = without_constant_keys(expanded).and_then(optimise).map_err(|e| spark_error(&e))?;
    let (bound, leaves) = bind_leaves(optimised, settings.parallelism).map_err(|e| spark_error(&e))?;
    let stateful = place_operators(bound)?;
    let runtime = ComputeRuntime::try_new(settings.parallelism)?;
    let session = session(&settings);
    let build = Arc::new(StreamBuild {
        mode,
        settings: settings.clone(),
        names: Arc::new(names),
        operators: Mutex::new(Vec::new()),
    });
    let planner = NodePlanner::for_stream(Arc::clone(&build)).into_physical_planner();
    let plan =
        on_own_thread(&runtime, planner.create_physical_plan(&stateful, &session))?.map_err(|e| spark_error(&e))?;
    let mut operators = std::mem::take(&mut *build.operators.lock());
    operators.sort_by_key(|operator| operator.spec().operator);
    let (sources, slots) = leaves.into_iter().unzip();
    Ok(Box::new(StreamQuery {
        plan,
        sources,
        slots,
        operators,
        context: session.task_ctx(),
        runtime,
        observed: Mutex::default(),
        maintainer: Mutex::new(Maintainer::new(settings.min_deltas_for_snapshot)),
        settings,
    }))
}

/// Waits for a future on a thread of its own, because the caller may already be one of a runtime.
fn on_own_thread<T: Send>(runtime: &ComputeRuntime, future: impl Future<Output = T> + Send) -> Result<T, SparkError> {
    let runtime = runtime.get()?;
    std::thread::scope(|scope| scope.spawn(|| runtime.block_on(future)).join())
        .map_err(|_| SparkError::internal("the planner panicked"))
}

/// A session whose plans can be run again and again, and whose parallelism is the query's.
fn session(settings: &StreamSettings) -> SessionState {
    let mut config = SessionConfig::new().with_target_partitions(settings.parallelism.max(1));
    let options = config.options_mut();
    options.optimizer.enable_round_robin_repartition = false;
    options.optimizer.enable_dynamic_filter_pushdown = false;
    options.optimizer.enable_join_dynamic_filter_pushdown = false;
    options.optimizer.enable_topk_dynamic_filter_pushdown = false;
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    options.execution.skip_physical_aggregate_schema_check = true;
    options.execution.collect_statistics = false;
    SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .with_physical_optimizer_rule(Arc::new(ScopeTasks))
        .build()
}

/// Takes constants out of the keys of aggregations over streams, as Spark does before it decides what state holds. Where
/// there are only constants, the one key is the number 0.
fn without_constant_keys(plan: LogicalPlan) -> datafusion::common::Result<LogicalPlan> {
    let changed = plan.transform_up(|node| {
        let LogicalPlan::Aggregate(aggregate) = node else { return Ok(Transformed::no(node)) };
        let constants: Vec<Option<Expr>> =
            aggregate.group_expr.iter().map(|key| constant(&aggregate.input, key)).collect();
        if constants.iter().all(Option::is_none) || !is_streaming(&aggregate.input) {
            return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
        }
        let varying = aggregate.group_expr.iter().zip(&constants).filter(|(_, constant)| constant.is_none());
        let mut keys: Vec<Expr> = varying.map(|(key, _)| key.clone()).collect();
        if keys.is_empty() {
            keys.push(lit(0_i32));
        }
        let shown = aggregate.schema.iter().enumerate().map(|(index, (qualifier, field))| {
            let column = || Expr::Column(Column::new(qualifier.cloned(), field.name()));
            match constants.get(index).cloned().flatten() {
                Some(value) => value.alias_qualified(qualifier.cloned(), field.name()),
                None => column(),
            }
        });
        let shown: Vec<Expr> = shown.collect();
        let grouped = Aggregate::try_new(aggregate.input, keys, aggregate.aggr_expr)?;
        let restored = Projection::try_new(shown, Arc::new(LogicalPlan::Aggregate(grouped)))?;
        Ok(Transformed::yes(LogicalPlan::Projection(restored)))
    })?;
    Ok(changed.data)
}

/// The constant behind a key, if it is one.
fn constant(input: &LogicalPlan, key: &Expr) -> Option<Expr> {
    match (key, input) {
        (Expr::Literal(..), _) => Some(key.clone()),
        (Expr::Alias(alias), _) => constant(input, &alias.expr),
        (Expr::Column(column), LogicalPlan::Projection(projection)) => {
            let index = projection.schema.maybe_index_of_column(column)?;
            constant(&projection.input, projection.expr.get(index)?)
        }
        (Expr::Column(_), LogicalPlan::Filter(filter)) => constant(&filter.input, key),
        _ => None,
    }
}

fn optimise(plan: LogicalPlan) -> datafusion::common::Result<LogicalPlan> {
    let rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> =
        Optimizer::new().rules.into_iter().filter(|rule| !RULES_LEFT_OUT.contains(&rule.name())).collect();
    let context = OptimizerContext::new().without_query_execution_start_time();
    Optimizer::with_rules(rules).optimize(plan, &context, |_, _| {}).and_then(make_lazy)
}

type Leaves = Vec<(Arc<StreamTable>, Arc<ScanSlot>)>;

/// Gives each streaming leaf a slot, from left to right.
fn bind_leaves(plan: LogicalPlan, partitions: usize) -> datafusion::common::Result<(LogicalPlan, Leaves)> {
    let mut leaves = Vec::new();
    let bound = plan.transform_down_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = node else { return Ok(Transformed::no(node)) };
        let Some(table) = stream_table(&scan) else { return Ok(Transformed::no(LogicalPlan::TableScan(scan))) };
        let slot = Arc::new(ScanSlot::default());
        leaves.push((Arc::clone(&table), Arc::clone(&slot)));
        let source = provider_as_source(Arc::new(StreamLeaf { table, slot, partitions: partitions.max(1) }));
        Ok(Transformed::yes(LogicalPlan::TableScan(TableScan { source, ..scan })))
    })?;
    Ok((bound.data, leaves))
}

fn stream_table(scan: &TableScan) -> Option<Arc<StreamTable>> {
    let provider = source_as_provider(&scan.source).ok()?;
    let any: Arc<dyn std::any::Any + Send + Sync> = provider;
    any.downcast::<StreamTable>().ok()
}

/// Whether rows of a stream come out of the plan.
pub fn is_streaming(plan: &LogicalPlan) -> bool {
    plan.exists(|node| {
        let LogicalPlan::TableScan(scan) = node else { return Ok(false) };
        let Ok(provider) = source_as_provider(&scan.source) else { return Ok(false) };
        let provider: &dyn std::any::Any = provider.as_ref();
        Ok(provider.is::<StreamLeaf>() || provider.is::<StreamTable>())
    })
    .unwrap_or(false)
}

/// Limits over streams count over all batches, where rows are only ever added: in append mode, and below an aggregation in any.
/// They are put aside before the optimiser can push them into their input.
fn limits_over_streams(plan: LogicalPlan, append: bool) -> datafusion::common::Result<LogicalPlan> {
    let limited = plan.transform_down(|node| {
        let LogicalPlan::Limit(limit) = &node else { return Ok(Transformed::no(node)) };
        if !is_streaming(&limit.input) {
            return Ok(Transformed::new(node, false, TreeNodeRecursion::Jump));
        }
        if !append && aggregates(&limit.input)? {
            return Ok(Transformed::no(node));
        }
        let (SkipType::Literal(0), FetchType::Literal(Some(rows))) = (limit.get_skip_type()?, limit.get_fetch_type()?)
        else {
            return Err(external(SparkError::unsupported("An offset, or a limit that is no constant, over a stream")));
        };
        let kind = StatefulKind::Limit { input: Arc::clone(&limit.input), rows };
        Ok(Transformed::yes(extension(Stateful { operator: 0, kind })))
    })?;
    Ok(limited.data)
}

/// Whether rows of a stream are aggregated somewhere in the plan.
fn aggregates(plan: &LogicalPlan) -> datafusion::common::Result<bool> {
    plan.exists(|node| {
        let grouped = match node {
            LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) => true,
            LogicalPlan::Extension(extension) => extension.node.as_any().is::<SessionAggregate>(),
            _ => false,
        };
        Ok(grouped && is_streaming(node))
    })
}

fn extension(node: Stateful) -> LogicalPlan {
    LogicalPlan::Extension(Extension { node: Arc::new(node) })
}

/// Puts stateful operators in the place of those that need state over a stream.
fn place_operators(plan: LogicalPlan) -> Result<LogicalPlan, SparkError> {
    let mut next = 0;
    let mut operator = |kind: StatefulKind| {
        let node = Stateful { operator: next, kind };
        next += 1;
        Transformed::yes(extension(node))
    };
    let placed = plan.transform_down(|node| {
        if !is_streaming(&node) {
            return Ok(Transformed::new(node, false, TreeNodeRecursion::Jump));
        }
        Ok(match node {
            LogicalPlan::Aggregate(aggregate) => operator(StatefulKind::Aggregate(aggregate)),
            LogicalPlan::Join(join) if is_streaming(&join.left) && is_streaming(&join.right) => {
                operator(StatefulKind::Join(join))
            }
            LogicalPlan::Extension(extension) => {
                let node = extension.node.as_any();
                if let Some(deduplicate) = node.downcast_ref::<Deduplicate>() {
                    operator(StatefulKind::Deduplicate(deduplicate.clone()))
                } else if let Some(session) = node.downcast_ref::<SessionAggregate>() {
                    operator(StatefulKind::Session(session.clone()))
                } else if let Some(limit) = node.downcast_ref::<Stateful>() {
                    operator(limit.kind.clone())
                } else {
                    Transformed::no(LogicalPlan::Extension(extension))
                }
            }
            other => Transformed::no(other),
        })
    });
    placed.map(|t| t.data).map_err(|e| spark_error(&e))
}
