//! Running a batch query: from a resolved plan to rows.
//!
//! Rows come out in the order of the plan's partitions, so that a query gives the same order each time. The query computes on
//! the engine's threads and never runs ahead of its reader by more than a few batches per partition.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::execution::context::{SessionContext, SessionState, TaskContext};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion::physical_planner::PhysicalPlanner;
use datafusion::prelude::SessionConfig;
use futures::StreamExt;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_functions::kernel::from_datafusion;
use millstream_functions::lazy::make_lazy;
use millstream_operators::planner::{NodePlanner, observed, with_canonical_keys};
use millstream_operators::row_order::PartitionsInOrder;
use millstream_operators::task::ScopeTasks;
use millstream_plan::resolved::ResolvedPlan;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::engine::Engine;
use crate::join_order::JoinOrder;

/// Batches a partition may be ahead of the reader.
const BATCHES_AHEAD: usize = 4;

/// From how many input rows, or bytes, on a query is spread over the cores. Below, the exchange costs more than it gains.
const PARALLEL_ROWS: usize = 200_000;
const PARALLEL_BYTES: usize = 16 << 20;

/// The rows of a batch query. Dropping it ends the query.
pub struct BatchStream {
    schema: SchemaRef,
    partitions: std::vec::IntoIter<mpsc::Receiver<Result<RecordBatch, SparkError>>>,
    current: Option<mpsc::Receiver<Result<RecordBatch, SparkError>>>,
    plan: Arc<dyn ExecutionPlan>,
    /// Dropped with the stream: the tasks end.
    _tasks: JoinSet<()>,
}

impl BatchStream {
    pub(crate) fn start(engine: &Arc<Engine>, resolved: &ResolvedPlan) -> Result<Self, SparkError> {
        let runtime = engine.compute()?;
        let state = session_state(parallelism(&resolved.plan, engine.options().cores));
        let optimized = state.optimize(&resolved.plan).and_then(make_lazy).map_err(from_datafusion)?;
        let plan = plan_physically(&runtime, &state, &optimized)?;
        let context = Arc::new(TaskContext::from(&state));
        let mut tasks = JoinSet::new();
        let mut partitions = Vec::new();
        for partition in 0..plan.output_partitioning().partition_count() {
            let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
            partitions.push(receiver);
            tasks.spawn_on(run_partition(Arc::clone(&plan), partition, Arc::clone(&context), sender), &runtime);
        }
        let mut partitions = partitions.into_iter();
        Ok(Self { schema: resolved.schema(), current: partitions.next(), partitions, plan, _tasks: tasks })
    }

    /// Columns as the user sees them.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The next rows, or none at the end, for use on a runtime.
    pub async fn next_async(&mut self) -> Option<Result<RecordBatch, SparkError>> {
        while let Some(receiver) = &mut self.current {
            if let Some(rows) = receiver.recv().await {
                return Some(self.renamed(rows));
            }
            self.current = self.partitions.next();
        }
        None
    }

    /// All rows.
    ///
    /// # Errors
    /// What went wrong while rows were computed.
    pub fn collect(self) -> Result<Vec<RecordBatch>, SparkError> {
        Iterator::collect(self)
    }

    /// Metrics of the rows that passed an observation (`df.observe`), by its name, one row each; complete once the rows have
    /// ended.
    ///
    /// # Errors
    /// If a metric cannot be computed.
    pub fn observed(&self) -> Result<BTreeMap<String, RecordBatch>, SparkError> {
        observed(&self.plan).map_err(from_datafusion)
    }

    fn renamed(&mut self, rows: Result<RecordBatch, SparkError>) -> Result<RecordBatch, SparkError> {
        let rows = rows.and_then(|rows| under_user_names(&self.schema, &rows));
        if rows.is_err() {
            self.current = None;
            self.partitions = Vec::new().into_iter();
        }
        rows
    }
}

/// The rows, waiting for each; not for use on a runtime's thread. What went wrong while rows were computed is the last item.
impl Iterator for BatchStream {
    type Item = Result<RecordBatch, SparkError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(receiver) = &mut self.current {
            if let Some(rows) = receiver.blocking_recv() {
                return Some(self.renamed(rows));
            }
            self.current = self.partitions.next();
        }
        None
    }
}

/// Waits for the planner on a thread of its own, because the caller may be one of a runtime.
fn plan_physically(
    runtime: &tokio::runtime::Handle,
    state: &SessionState,
    optimized: &LogicalPlan,
) -> Result<Arc<dyn ExecutionPlan>, SparkError> {
    let planner = NodePlanner::default().into_physical_planner();
    let optimized = with_canonical_keys(optimized.clone()).map_err(from_datafusion)?;
    let planning = planner.create_physical_plan(&optimized, state);
    std::thread::scope(|scope| scope.spawn(|| runtime.block_on(planning)).join())
        .map_err(|_| SparkError::internal("the planner panicked"))?
        .map_err(from_datafusion)
}

async fn run_partition(
    plan: Arc<dyn ExecutionPlan>,
    partition: usize,
    context: Arc<TaskContext>,
    sender: mpsc::Sender<Result<RecordBatch, SparkError>>,
) {
    let mut rows = match plan.execute(partition, context) {
        Ok(rows) => rows,
        Err(error) => {
            // The reader may be gone; then nobody wants the error.
            let _ = sender.send(Err(from_datafusion(error))).await;
            return;
        }
    };
    while let Some(batch) = rows.next().await {
        let failed = batch.is_err();
        if sender.send(batch.map_err(from_datafusion)).await.is_err() || failed {
            return;
        }
    }
}

/// DataFusion's settings and rules, with the operators of this project. Expressions arrive complete, so none of DataFusion's
/// analyzer rules (its type coercion above all) may touch them.
pub(crate) fn session_state(parallelism: usize) -> SessionState {
    let mut config = SessionConfig::new().with_target_partitions(parallelism).with_information_schema(false);
    let options = config.options_mut();
    // Keeps the order of rows that a user gave; see the module documentation.
    options.optimizer.enable_round_robin_repartition = false;
    options.optimizer.repartition_file_scans = false;
    options.sql_parser.enable_ident_normalization = false;
    // Column metadata (the event-time mark) differs between logical and physical schemas.
    options.execution.skip_physical_aggregate_schema_check = true;
    let mut rules = PhysicalOptimizer::new().rules;
    if parallelism == 1 {
        options.optimizer.join_reordering = false;
        // Before the rules that rely on the order of rows.
        let after = rules.iter().position(|rule| rule.name() == "join_selection").map_or(0, |at| at + 1);
        rules.insert(after, Arc::new(JoinOrder));
    }
    rules.push(Arc::new(PartitionsInOrder));
    rules.push(Arc::new(ScopeTasks));
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .with_analyzer_rules(Vec::new())
        .with_physical_optimizer_rules(rules)
        .build();
    SessionContext::new_with_state(state).state()
}

/// The plan after DataFusion's rules, for `explain`; a stream is left as it is.
pub(crate) fn optimize(resolved: &ResolvedPlan) -> Result<LogicalPlan, SparkError> {
    if resolved.streaming {
        return Ok(resolved.plan.clone());
    }
    session_state(1).optimize(&resolved.plan).and_then(make_lazy).map_err(from_datafusion)
}

/// How many partitions a query is worth: one, unless a table it reads is known to be big or of unknown size.
fn parallelism(plan: &LogicalPlan, cores: usize) -> usize {
    let mut big = false;
    let walked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(provider) = datafusion::datasource::source_as_provider(&scan.source)
        {
            big |= provider.statistics().is_none_or(|s| {
                let rows = matches!(s.num_rows, Precision::Exact(n) | Precision::Inexact(n) if n <= PARALLEL_ROWS);
                let bytes =
                    matches!(s.total_byte_size, Precision::Exact(n) | Precision::Inexact(n) if n <= PARALLEL_BYTES);
                !rows && !bytes
            });
        }
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    });
    if walked.is_ok() && !big { 1 } else { cores.max(1) }
}

fn under_user_names(schema: &SchemaRef, rows: &RecordBatch) -> Result<RecordBatch, SparkError> {
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), rows.columns().to_vec(), &options).map_err(|error| {
        SparkError::plain(ExceptionClass::Spark, format!("The rows do not have the schema of the query: {error}"))
    })
}
