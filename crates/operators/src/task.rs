//! Tells expressions which task runs them: `rand(seed)`, `monotonically_increasing_id()`, `spark_partition_id()`.
//!
//! [`ScopeTasks`] puts a [`TaskScopeExec`] above every operator that evaluates such an expression; a run of a partition is
//! one task, so that a streaming query begins anew with each batch, as in Spark. See [`millstream_functions::task`].

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties};
use futures::Stream;
use millstream_functions::kernel::is_per_task;
use millstream_functions::task::TaskScope;

use crate::exec::one_input;

/// The rule of the physical optimizer that lets expressions know their task.
#[derive(Debug, Default)]
pub struct ScopeTasks;

impl PhysicalOptimizerRule for ScopeTasks {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _options: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let scoped = plan.transform_up(|plan| {
            if plan.is::<TaskScopeExec>() || !asks_for_task(plan.as_ref())? {
                return Ok(Transformed::no(plan));
            }
            Ok(Transformed::yes(Arc::new(TaskScopeExec::new(plan)) as Arc<dyn ExecutionPlan>))
        })?;
        Ok(scoped.data)
    }

    fn name(&self) -> &str {
        "scope_tasks"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether the operator itself evaluates an expression that must know its task.
fn asks_for_task(plan: &dyn ExecutionPlan) -> Result<bool> {
    let mut asks = false;
    plan.apply_expressions(&mut |expr: &Arc<dyn PhysicalExpr>| {
        asks = asks
            || expr.exists(|e| Ok(e.downcast_ref::<ScalarFunctionExpr>().is_some_and(|f| is_per_task(f.fun()))))?;
        Ok(if asks { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(asks)
}

/// Polls its child within the scope of a task.
#[derive(Debug)]
pub struct TaskScopeExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl TaskScopeExec {
    /// The scope of a child.
    pub fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        let properties = Arc::clone(input.properties());
        Self { input, properties }
    }

    fn with_input(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Ok(Self::new(input))
    }
}

impl DisplayAs for TaskScopeExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("TaskScopeExec")
    }
}

impl ExecutionPlan for TaskScopeExec {
    one_input!("TaskScopeExec");

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        Ok(Box::pin(ScopedStream { input, scope: TaskScope::new(partition) }))
    }
}

struct ScopedStream {
    input: SendableRecordBatchStream,
    scope: Arc<TaskScope>,
}

impl Stream for ScopedStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // The child evaluates its expressions within its own poll, on this thread.
        let _entered = self.scope.enter();
        self.input.as_mut().poll_next(context)
    }
}

impl RecordBatchStream for ScopedStream {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}
