//! Physical plans for the logical nodes of `plan` and of this crate.
//!
//! [`NodePlanner`] is all that a batch query needs: install it in a session's planner. A streaming query uses the same one
//! with a [`StreamBuild`], which makes the stateful operators.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Fields, Schema};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ExprSchema, Result, plan_err};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::aggregate::{AggregateFunctionExpr, LoweredAggregateBuilder};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use millstream_plan::nodes::{Deduplicate, EventTime, Generate, Observe, Tail, WATERMARK_DELAY_MS};
use parking_lot::Mutex;

use crate::aggregate::{Layout, StateAggregateExec};
use crate::canonical::CanonicalExpr;
use crate::deduplicate::{FirstRowsExec, Keep, Keys, StateDeduplicateExec};
use crate::event_time::{EventTimeExec, EventTimes};
use crate::generate::GenerateExec;
use crate::limit::StateLimitExec;
use crate::logical::{Stateful, StatefulKind};
use crate::observe::{Observation, ObserveExec};
use crate::stores::{CurrentBatch, Expiry, NoDataBatch, OperatorState, StoreFields, StoreSpec, fields, types};
use crate::stream_plan::{OutputMode, StreamSettings};
use crate::tail::TailExec;

/// Plans the nodes of `millstream_plan::nodes`.
#[derive(Default)]
pub struct NodePlanner {
    stream: Option<Arc<StreamBuild>>,
}

/// What the stateful operators of a streaming query need to be made, and those that were.
pub struct StreamBuild {
    /// Output mode of the query.
    pub mode: OutputMode,
    /// Settings of the query.
    pub settings: StreamSettings,
    /// The batch that runs.
    pub batch: CurrentBatch,
    /// The stateful operators made so far.
    pub operators: Mutex<Vec<Arc<OperatorState>>>,
}

/// What an extension is planned with.
struct Context<'a> {
    planner: &'a dyn PhysicalPlanner,
    session: &'a dyn Session,
    planning: &'a PhysicalPlanningContext,
}

impl Context<'_> {
    fn expr(&self, expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
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
        if let Some(node) = node.as_any().downcast_ref::<Stateful>() {
            let Some(build) = &self.stream else { return plan_err!("a stateful operator in a batch query") };
            return match &node.kind {
                StatefulKind::Aggregate(aggregate) => {
                    build.aggregate(node.operator, aggregate, logical_input, input, &context).map(Some)
                }
                StatefulKind::Deduplicate(keys) => build.deduplicate(node.operator, keys, input, &context).map(Some),
                StatefulKind::Limit { rows, .. } => Ok(Some(build.limit(node.operator, *rows, input))),
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

fn dedup_keys(node: &Deduplicate, context: &Context) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
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

impl StreamBuild {
    fn deduplicate(
        &self,
        operator: u32,
        node: &Deduplicate,
        input: &Arc<dyn ExecutionPlan>,
        context: &Context,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = dedup_keys(node, context)?;
        let schema = node.input.schema();
        let delay_ms = |field: &Field| field.metadata().get(WATERMARK_DELAY_MS).and_then(|ms| ms.parse::<i64>().ok());
        let event_time = schema.fields().iter().position(|f| delay_ms(f).is_some());
        let key_field = |key: &Column| Ok(schema.field_from_column(key)?.clone());
        let key: Fields = node.keys.iter().map(key_field).collect::<Result<Vec<_>>>()?.into();
        let event_time_key =
            event_time.and_then(|time| node.keys.iter().position(|key| schema.index_of_column(key).ok() == Some(time)));
        let delay = event_time.and_then(|time| delay_ms(schema.field(time)));
        let keep = match (node.within_watermark, delay) {
            (false, _) => Keep::UntilKeyExpires,
            (true, Some(ms)) => Keep::ForDelay(ms.saturating_mul(1000)),
            (true, None) => {
                return plan_err!(
                    "dropDuplicatesWithinWatermark is not supported on streaming DataFrames/DataSets without watermark"
                );
            }
        };
        let (value, expiry) = match (node.within_watermark, event_time_key) {
            (true, _) => (("expiresAtMicros", DataType::Int64), Expiry::ByValue(0)),
            (false, Some(key)) => (("__dummy__", DataType::Null), Expiry::ByKey(key)),
            (false, None) => (("__dummy__", DataType::Null), Expiry::Never),
        };
        let keys = Arc::new(Keys::try_new(columns, &types(&key), event_time, event_time_key, keep)?);
        let state = self.state(StoreSpec {
            operator,
            name: if node.within_watermark { "dedupeWithinWatermark" } else { "dedupe" },
            stores: vec![StoreFields::only(key, fields([value]), expiry)],
            partitions: self.settings.state_partitions.max(1),
            no_data_batch: NoDataBatch::WatermarkMoved,
            custom: Some("numDroppedDuplicateRows"),
        });
        Ok(Arc::new(StateDeduplicateExec::new(Arc::clone(input), keys, state)))
    }

    fn limit(&self, operator: u32, rows: usize, input: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        let (key, value) = (fields([("key", DataType::Null)]), fields([("value", DataType::Int64)]));
        let state = self.state(StoreSpec {
            operator,
            name: "globalLimit",
            stores: vec![StoreFields::only(key, value, Expiry::Never)],
            partitions: 1,
            no_data_batch: NoDataBatch::Never,
            custom: None,
        });
        Arc::new(StateLimitExec::new(Arc::clone(input), rows, state))
    }

    /// Makes and registers the state of an operator.
    pub(crate) fn state(&self, spec: StoreSpec) -> Arc<OperatorState> {
        let state = Arc::new(OperatorState::new(spec, &self.settings, Arc::clone(&self.batch)));
        self.operators.lock().push(Arc::clone(&state));
        state
    }

    fn aggregate(
        &self,
        operator: u32,
        node: &Aggregate,
        logical_input: &LogicalPlan,
        input: &Arc<dyn ExecutionPlan>,
        context: &Context,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input_schema = input.schema();
        let mut keys = Vec::new();
        for (expr, field) in node.group_expr.iter().zip(node.schema.fields()) {
            let key = context.expr(expr, logical_input.schema())?;
            keys.push((CanonicalExpr::wrap(key, &input_schema)?, field.name().clone()));
        }
        let (functions, filters) = lower_aggregates(&node.aggr_expr, logical_input, input, context)?;
        let event_time_key =
            node.schema.fields().iter().take(keys.len()).position(|f| f.metadata().contains_key(WATERMARK_DELAY_MS));
        let output = output_schema(node, &keys, &functions, &input_schema)?;
        let group_by = PhysicalGroupBy::new_single(keys);
        let partial = AggregateExec::try_new(
            AggregateMode::Partial,
            group_by,
            functions.clone(),
            filters,
            Arc::clone(input),
            input_schema,
        )?;
        let value_types = functions.iter().map(|f| f.state_fields()).collect::<Result<Vec<_>>>()?;
        let no_data_batch = match self.mode {
            OutputMode::Complete => NoDataBatch::Never,
            _ => NoDataBatch::WatermarkMoved,
        };
        let key: Fields = output.fields().iter().take(node.group_expr.len()).cloned().collect();
        let value = value_types.iter().flatten().map(|f| (state_field_name(f.name()), f.data_type().clone()));
        let expiry = event_time_key.map_or(Expiry::Never, Expiry::ByKey);
        let spec = StoreSpec {
            operator,
            name: "stateStoreSave",
            stores: vec![StoreFields::only(key, fields(value), expiry)],
            partitions: if node.group_expr.is_empty() { 1 } else { self.settings.state_partitions.max(1) },
            no_data_batch,
            custom: None,
        };
        let layout = Arc::new(Layout::try_new(output, functions, event_time_key)?);
        let state = self.state(spec);
        Ok(Arc::new(StateAggregateExec::new(Arc::new(partial), layout, state, self.mode)))
    }
}

/// `sum(x)[sum]` → `sum`.
fn state_field_name(name: &str) -> &str {
    name.rsplit_once('[').map_or(name, |(_, inner)| inner).trim_end_matches(']')
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
    node: &Aggregate,
    keys: &[(Arc<dyn PhysicalExpr>, String)],
    functions: &[Arc<AggregateFunctionExpr>],
    input: &Schema,
) -> Result<Arc<Schema>> {
    let mut fields = Vec::new();
    for ((key, name), logical) in keys.iter().zip(node.schema.fields()) {
        fields.push(Field::new(name, key.data_type(input)?, true).with_metadata(logical.metadata().clone()));
    }
    for (function, logical) in functions.iter().zip(node.schema.fields().iter().skip(keys.len())) {
        let field = function.field();
        fields.push(
            Field::new(logical.name(), field.data_type().clone(), true).with_metadata(logical.metadata().clone()),
        );
    }
    Ok(Arc::new(Schema::new(fields)))
}
