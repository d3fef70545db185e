//! Physical plans for the logical nodes of `plan` and of this crate.
//!
//! [`NodePlanner`] is all that a batch query needs: install it in a session's planner. A streaming query uses the same one
//! with a [`StreamBuild`], which makes the stateful operators.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Fields, Schema};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, plan_err};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::aggregate::{AggregateFunctionExpr, LoweredAggregateBuilder};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use millstream_functions::Typed;
use millstream_functions::aggregate::canonical::canonical_expr;
use millstream_plan::nodes::{Deduplicate, EventTime, Generate, Observe, SessionAggregate, Tail, WATERMARK_DELAY_MS};
use millstream_plan::whole::Whole;

use crate::build::StreamBuild;
use crate::canonical::CanonicalExpr;
use crate::deduplicate::FirstRowsExec;
use crate::event_time::{EventTimeExec, EventTimes};
use crate::generate::GenerateExec;
use crate::layout::Layout;
use crate::logical::{Stateful, StatefulKind};
use crate::observe::{Observation, ObserveExec};
use crate::session::{SessionExec, Sessions};
use crate::stores::fields;
use crate::tail::TailExec;
use crate::whole::WholeExec;

/// Plans the nodes of `millstream_plan::nodes`.
#[derive(Default)]
pub struct NodePlanner {
    stream: Option<Arc<StreamBuild>>,
}

/// What an extension is planned with.
pub(crate) struct Context<'a> {
    planner: &'a dyn PhysicalPlanner,
    session: &'a dyn Session,
    planning: &'a PhysicalPlanningContext,
}

impl Context<'_> {
    /// An expression over columns of a logical schema.
    pub fn expr(&self, expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
        self.planner.create_physical_expr(expr, schema, self.session, self.planning)
    }
}

impl NodePlanner {
    /// A planner for streaming queries.
    pub fn for_stream(build: Arc<StreamBuild>) -> Self {
        Self { stream: Some(build) }
    }

    /// DataFusion's planner with this one installed.
    pub fn into_physical_planner(self) -> DefaultPhysicalPlanner {
        DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(self)])
    }
}

#[async_trait]
impl ExtensionPlanner for NodePlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        planning: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let context = Context { planner, session, planning };
        if let (Some(node), [left, right]) = (node.as_any().downcast_ref::<Stateful>(), physical_inputs) {
            let (Some(build), StatefulKind::Join(join)) = (&self.stream, &node.kind) else { return Ok(None) };
            return build.join(node.operator, join, left, right, &context).map(Some);
        }
        let [input] = physical_inputs else { return Ok(None) };
        let [logical_input] = logical_inputs else { return Ok(None) };
        if let Some(node) = node.as_any().downcast_ref::<Generate>() {
            return generate(node, input, &context).map(Some);
        }
        if let Some(node) = node.as_any().downcast_ref::<EventTime>() {
            return event_time(node, input).map(Some);
        }
        if let Some(node) = node.as_any().downcast_ref::<Tail>() {
            return Ok(Some(Arc::new(TailExec::new(Arc::clone(input), node.rows))));
        }
        if let Some(node) = node.as_any().downcast_ref::<SessionAggregate>() {
            let partial = session_partial(node, logical_input, input, &context)?;
            let sessions = Arc::new(Sessions::try_new(partial.layout, node.session)?);
            return Ok(Some(Arc::new(SessionExec::new(partial.plan, sessions))));
        }
        if let Some(node) = node.as_any().downcast_ref::<Whole>() {
            let schema = Arc::new(node.schema.as_arrow().clone());
            return Ok(Some(Arc::new(WholeExec::new(Arc::clone(input), Arc::clone(&node.function), schema))));
        }
        if let Some(node) = node.as_any().downcast_ref::<Stateful>() {
            let Some(build) = &self.stream else { return plan_err!("a stateful operator in a batch query") };
            return match &node.kind {
                StatefulKind::Aggregate(aggregate) => {
                    build.aggregate(node.operator, aggregate, logical_input, input, &context).map(Some)
                }
                StatefulKind::Session(session) => {
                    build.session(node.operator, session, logical_input, input, &context).map(Some)
                }
                StatefulKind::Deduplicate(keys) => build.deduplicate(node.operator, keys, input, &context).map(Some),
                StatefulKind::Limit { rows, .. } => Ok(Some(build.limit(node.operator, *rows, input))),
                StatefulKind::Join(_) => plan_err!("a join has two inputs"),
            };
        }
        if let Some(node) = node.as_any().downcast_ref::<Observe>() {
            return observe(node, logical_input, input, &context).map(Some);
        }
        if let Some(node) = node.as_any().downcast_ref::<Deduplicate>() {
            let keys = dedup_keys(node, &context)?;
            return Ok(Some(Arc::new(FirstRowsExec::try_new(Arc::clone(input), keys)?)));
        }
        Ok(None)
    }
}

fn generate(node: &Generate, input: &Arc<dyn ExecutionPlan>, context: &Context) -> Result<Arc<dyn ExecutionPlan>> {
    let generator = context.expr(&node.generator, node.input.schema())?;
    let schema = UserDefinedLogicalNode::schema(node).inner();
    let inherited = input.schema().fields().iter().map(|f| f.as_ref().clone()).collect::<Vec<Field>>();
    let new = schema.fields().iter().skip(inherited.len()).map(|f| f.as_ref().clone());
    let fields: Vec<Field> = inherited.iter().cloned().chain(new).collect();
    Ok(Arc::new(GenerateExec::new(Arc::clone(input), generator, node.outer, Arc::new(Schema::new(fields)))))
}

fn event_time(node: &EventTime, input: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let column = node.input.schema().index_of_column(&node.column)?;
    let marks = UserDefinedLogicalNode::schema(node).fields();
    let fields: Vec<Field> = input
        .schema()
        .fields()
        .iter()
        .zip(marks)
        .map(|(field, marked)| field.as_ref().clone().with_metadata(marked.metadata().clone()))
        .collect();
    let (schema, times) = (Arc::new(Schema::new(fields)), Arc::new(EventTimes::default()));
    Ok(Arc::new(EventTimeExec::new(Arc::clone(input), column, node.delay.delay_ms(), schema, times)))
}

/// The key columns of a deduplication.
pub(crate) fn dedup_keys(node: &Deduplicate, context: &Context) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
    node.keys.iter().map(|key| context.expr(&Expr::Column(key.clone()), node.input.schema())).collect()
}

/// Plans the aggregates in the metrics, and the metrics over their results.
fn observe(
    node: &Observe,
    logical_input: &LogicalPlan,
    input: &Arc<dyn ExecutionPlan>,
    context: &Context,
) -> Result<Arc<dyn ExecutionPlan>> {
    let mut aggregates: Vec<Expr> = Vec::new();
    let mut metrics = Vec::new();
    for metric in &node.metrics {
        let over_results = metric.clone().transform_down(|e| {
            let Expr::AggregateFunction(_) = &e else { return Ok(Transformed::no(e)) };
            let index = aggregates.iter().position(|a| *a == e).unwrap_or_else(|| {
                aggregates.push(e.clone());
                aggregates.len() - 1
            });
            let result = Expr::Column(Column::new_unqualified(format!("aggregate{index}")));
            Ok(Transformed::new(result, true, TreeNodeRecursion::Jump))
        })?;
        metrics.push(over_results.data);
    }
    let (functions, _filters) = lower_aggregates(&aggregates, logical_input, input, context)?;
    let result = |(i, f): (usize, &Arc<AggregateFunctionExpr>)| {
        Field::new(format!("aggregate{i}"), f.field().data_type().clone(), true)
    };
    let aggregated = Arc::new(Schema::new(functions.iter().enumerate().map(result).collect::<Vec<_>>()));
    let results = DFSchema::try_from(aggregated.as_ref().clone())?;
    let metrics = metrics
        .iter()
        .zip(&node.names)
        .map(|(metric, name)| Ok((context.expr(metric, &results)?, name.clone())))
        .collect::<Result<Vec<_>>>()?;
    let observation = Observation::try_new(node.observation.clone(), functions, aggregated, metrics)?;
    Ok(Arc::new(ObserveExec::new(Arc::clone(input), Arc::new(observation))))
}

/// Brings grouping keys into the form in which Spark's equal values are equal (`-0.0` and `0.0`, maps in any order). For optimised
/// batch plans; streaming aggregations do so themselves.
///
/// # Errors
/// If an aggregation does not fit its input.
pub fn with_canonical_keys(plan: LogicalPlan) -> Result<LogicalPlan> {
    let transformed = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Aggregate(aggregate) = node else { return Ok(Transformed::no(node)) };
        let schema = Arc::clone(aggregate.input.schema());
        let mut changed = false;
        let mut key = |expr: &Expr| -> Result<Expr> {
            if matches!(expr, Expr::GroupingSet(_)) {
                return Ok(expr.clone());
            }
            let (_, field) = expr.to_field(&schema)?;
            let typed = Typed::new(expr.clone(), field.data_type().clone(), field.is_nullable());
            let canonical = canonical_expr(&typed);
            if canonical == typed {
                return Ok(expr.clone());
            }
            changed = true;
            let (qualifier, name) = expr.qualified_name();
            Ok(canonical.expr.alias_qualified(qualifier, name))
        };
        let keys = aggregate.group_expr.iter().map(&mut key).collect::<Result<Vec<_>>>()?;
        if !changed {
            return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
        }
        let aggregate = Aggregate::try_new(aggregate.input, keys, aggregate.aggr_expr)?;
        Ok(Transformed::yes(LogicalPlan::Aggregate(aggregate)))
    })?;
    Ok(transformed.data)
}

/// What the observations of a plan have seen, by name, once it has run: one row each.
///
/// # Errors
/// If a metric cannot be computed.
pub fn observed(plan: &Arc<dyn ExecutionPlan>) -> Result<BTreeMap<String, RecordBatch>> {
    let mut seen = BTreeMap::new();
    for node in find::<ObserveExec>(plan) {
        if let Some(node) = node.downcast_ref::<ObserveExec>() {
            seen.insert(node.observation().name.clone(), node.observation().metrics()?);
        }
    }
    Ok(seen)
}

/// Operators of one kind in a plan, outermost first, left before right.
pub(crate) fn find<T: ExecutionPlan>(plan: &Arc<dyn ExecutionPlan>) -> Vec<Arc<dyn ExecutionPlan>> {
    fn walk<T: ExecutionPlan>(plan: &Arc<dyn ExecutionPlan>, found: &mut Vec<Arc<dyn ExecutionPlan>>) {
        if plan.downcast_ref::<T>().is_some() {
            found.push(Arc::clone(plan));
        }
        plan.children().into_iter().for_each(|child| walk::<T>(child, found));
    }
    let mut found = Vec::new();
    walk::<T>(plan, &mut found);
    found
}

/// The partial aggregation below the merging of sessions.
pub(crate) fn session_partial(
    node: &SessionAggregate,
    logical_input: &LogicalPlan,
    input: &Arc<dyn ExecutionPlan>,
    context: &Context,
) -> Result<Partial> {
    let keys: Vec<Expr> = node.keys.iter().cloned().map(Expr::Column).collect();
    partial(&keys, &node.aggregates, UserDefinedLogicalNode::schema(node), logical_input, input, context)
}

/// A partial aggregation and what becomes of it.
pub(crate) struct Partial {
    /// Gives keys, then buffers.
    pub plan: Arc<dyn ExecutionPlan>,
    /// Functions, buffers, result columns.
    pub layout: Arc<Layout>,
    /// Fields of the keys.
    pub key: Fields,
    /// Fields of the buffers.
    pub buffers: Fields,
}

/// Plans the partial aggregation of `input` by these keys. `schema` names keys and aggregates; the first key with a watermark
/// is the event time.
pub(crate) fn partial(
    keys: &[Expr],
    aggregates: &[Expr],
    schema: &DFSchema,
    logical_input: &LogicalPlan,
    input: &Arc<dyn ExecutionPlan>,
    context: &Context,
) -> Result<Partial> {
    let input_schema = input.schema();
    let mut physical_keys = Vec::new();
    for (expr, field) in keys.iter().zip(schema.fields()) {
        let key = context.expr(expr, logical_input.schema())?;
        physical_keys.push((CanonicalExpr::wrap(key, &input_schema)?, field.name().clone()));
    }
    let (functions, filters) = lower_aggregates(aggregates, logical_input, input, context)?;
    let output = output_schema(schema, &physical_keys, &functions, &input_schema)?;
    let key: Fields = output.fields().iter().take(keys.len()).cloned().collect();
    let event_time_key = key.iter().position(|f| f.metadata().contains_key(WATERMARK_DELAY_MS));
    let buffers = functions.iter().map(|f| f.state_fields()).collect::<Result<Vec<_>>>()?;
    let named = functions.iter().zip(&buffers).flat_map(|(function, fields)| {
        fields.iter().map(|f| (state_field_name(f.name(), function.name()), f.data_type().clone()))
    });
    let buffers = fields(named);
    let group_by = PhysicalGroupBy::new_single(physical_keys);
    let input = Arc::clone(input);
    let plan =
        AggregateExec::try_new(AggregateMode::Partial, group_by, functions.clone(), filters, input, input_schema)?;
    let layout = Arc::new(Layout::try_new(output, functions, event_time_key)?);
    Ok(Partial { plan: Arc::new(plan), layout, key, buffers })
}

/// `sum(x)[sum]` of the call `sum(x)` → `sum`.
fn state_field_name<'a>(name: &'a str, call: &str) -> &'a str {
    let inner = name.strip_prefix(call).and_then(|rest| rest.strip_prefix('[')?.strip_suffix(']'));
    inner.unwrap_or(name)
}

type Lowered = (Vec<Arc<AggregateFunctionExpr>>, Vec<Option<Arc<dyn PhysicalExpr>>>);

fn lower_aggregates(
    aggregates: &[Expr],
    logical_input: &LogicalPlan,
    input: &Arc<dyn ExecutionPlan>,
    context: &Context,
) -> Result<Lowered> {
    let properties = context.session.execution_props();
    let physical = input.schema();
    let mut lowered = (Vec::new(), Vec::new());
    for aggregate in aggregates {
        let made =
            LoweredAggregateBuilder::new(aggregate, logical_input.schema(), &physical, properties, context.planning)
                .build()?;
        lowered.0.push(made.aggregate);
        lowered.1.push(made.filter);
    }
    Ok(lowered)
}

/// Names as the logical plan has them, types as the physical expressions give them.
fn output_schema(
    schema: &DFSchema,
    keys: &[(Arc<dyn PhysicalExpr>, String)],
    functions: &[Arc<AggregateFunctionExpr>],
    input: &Schema,
) -> Result<Arc<Schema>> {
    let mut fields = Vec::new();
    for ((key, name), logical) in keys.iter().zip(schema.fields()) {
        fields.push(Field::new(name, key.data_type(input)?, true).with_metadata(logical.metadata().clone()));
    }
    for (function, logical) in functions.iter().zip(schema.fields().iter().skip(keys.len())) {
        let field = function.field();
        fields.push(
            Field::new(logical.name(), field.data_type().clone(), true).with_metadata(logical.metadata().clone()),
        );
    }
    Ok(Arc::new(Schema::new(fields)))
}
