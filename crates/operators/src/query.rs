//! A streaming query, planned once and driven batch by batch.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, displayable, execution_plan::reset_plan_states};
use futures::StreamExt;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::files::sync_filesystem;
use millstream_plan::resolved::StreamTable;
use millstream_state::{Maintainer, check_operators};
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::event_time::{EventTimeExec, EventTimes};
use crate::exec::{partitions, spark_error};
use crate::observe::ObserveExec;
use crate::planner::{find, observed};
use crate::scan::ScanSlot;
use crate::stores::{OperatorState, Watermarks};
use crate::stream_plan::{Batch, EventTimeStats, OperatorProgress, Output, Rows, StreamPlan, StreamSettings};
use crate::watermarks::operator_watermarks;

/// Result batches that wait for the sink, per partition.
const WAITING_BATCHES: usize = 4;

/// Batches with the partition they come from.
type Results = mpsc::Receiver<Result<(usize, RecordBatch)>>;

/// A planned streaming query.
pub(crate) struct StreamQuery {
    pub plan: Arc<dyn ExecutionPlan>,
    pub sources: Vec<Arc<StreamTable>>,
    pub slots: Vec<Arc<ScanSlot>>,
    /// By operator id.
    pub operators: Vec<Arc<OperatorState>>,
    pub context: Arc<TaskContext>,
    pub runtime: ComputeRuntime,
    /// Metrics of the observations in the batch that ran.
    pub observed: Mutex<BTreeMap<String, RecordBatch>>,
    pub settings: StreamSettings,
    pub maintainer: Mutex<Maintainer>,
}

/// Threads that only compute. Dropping it does not wait for them, so that it may be dropped anywhere.
pub(crate) struct ComputeRuntime(Option<Runtime>);

impl ComputeRuntime {
    /// So many threads.
    pub fn try_new(threads: usize) -> Result<Self, SparkError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("compute")
            .enable_all()
            .build()
            .map_err(|e| SparkError::internal(format!("cannot start computing threads: {e}")))?;
        Ok(Self(Some(runtime)))
    }

    pub fn get(&self) -> Result<&Runtime, SparkError> {
        self.0.as_ref().ok_or_else(|| SparkError::internal("the computing threads have ended"))
    }
}

impl Drop for ComputeRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl StreamQuery {
    /// Fails if the state was written by other operators than those of this query, or there is none at all.
    fn check_operators(&self) -> Result<(), SparkError> {
        let own = || self.operators.iter().map(|operator| (u64::from(operator.spec().operator), operator.spec().name));
        check_operators(&self.settings.state_dir, own())?;
        if !self.operators.is_empty() && self.operators.iter().all(|operator| !operator.dir().is_dir()) {
            return Err(missing_state(own()));
        }
        Ok(())
    }

    fn watermarks(&self) -> Vec<(Arc<EventTimes>, i64)> {
        let found = find::<EventTimeExec>(&self.plan);
        found
            .iter()
            .filter_map(|plan| plan.downcast_ref::<EventTimeExec>())
            .map(|exec| (Arc::clone(exec.times()), exec.delay_ms()))
            .collect()
    }

    /// Starts one task per partition of the plan; each sends its batches to the receiver.
    fn start(&self) -> Result<(JoinSet<()>, Results), SparkError> {
        let plan = reset_plan_states(Arc::clone(&self.plan)).map_err(|e| spark_error(&e))?;
        let count = partitions(&plan);
        let (sender, receiver) = mpsc::channel(count.max(1) * WAITING_BATCHES);
        let mut tasks = JoinSet::new();
        let handle = self.runtime.get()?.handle();
        for partition in 0..count {
            let (plan, context, sender) = (Arc::clone(&plan), Arc::clone(&self.context), sender.clone());
            tasks.spawn_on(
                async move {
                    let mut stream = match plan.execute(partition, context) {
                        Ok(stream) => stream,
                        Err(error) => return drop(sender.send(Err(error)).await),
                    };
                    while let Some(batch) = stream.next().await {
                        let failed = batch.is_err();
                        if sender.send(batch.map(|b| (partition, b))).await.is_err() || failed {
                            return;
                        }
                    }
                },
                handle,
            );
        }
        Ok((tasks, receiver))
    }
}

/// A restart with stateful operators where there is no state at all.
fn missing_state<'o>(operators: impl Iterator<Item = (u64, &'o str)>) -> SparkError {
    let each = |(id, name)| format!("(OperatorId: {id} -> OperatorName: {name})");
    let operators = operators.map(each).collect::<Vec<_>>().join(", ");
    SparkError::new(
        ExceptionClass::Spark,
        "STREAMING_STATEFUL_OPERATOR_MISSING_STATE_DIRECTORY",
        "42K03",
        format!(
            "Cannot restart streaming query with stateful operators because the state directory is empty or missing.\nStateful \
             operators in current batch: [{operators}].\nThis typically occurs when state files have been deleted or the streaming \
             query was previously run without stateful operators but restarted with stateful operators.\nPlease remove the \
             stateful operators, use a new checkpoint location, or restore the missing state files."
        ),
    )
    .with("OpsInCurBatchSeq", operators)
}

impl StreamPlan for StreamQuery {
    fn sources(&self) -> Vec<Arc<StreamTable>> {
        self.sources.clone()
    }

    fn columns(&self, index: usize) -> Vec<String> {
        self.slots.get(index).map(|slot| slot.columns()).unwrap_or_default()
    }

    fn restore(&self, batch_id: i64) -> Result<(), SparkError> {
        let version = u64::try_from(batch_id).map_err(|_| SparkError::internal("a batch with a negative number"))?;
        if version > 0 {
            self.check_operators()?;
        }
        self.operators.iter().try_for_each(|operator| operator.restore(version))
    }

    fn set_rows(&self, index: usize, rows: Vec<Rows>) {
        if let Some(slot) = self.slots.get(index) {
            slot.set(rows);
        }
    }

    fn run(&self, batch: Batch, output: Output<'_>) -> Result<(), SparkError> {
        let late = operator_watermarks(&self.plan, batch.late_watermark_ms);
        let eviction = operator_watermarks(&self.plan, batch.eviction_watermark_ms);
        for operator in &self.operators {
            let of = |watermarks: &BTreeMap<u32, i64>| watermarks.get(&operator.spec().operator).copied().unwrap_or(0);
            operator.begin(Watermarks { late_ms: of(&late), eviction_ms: of(&eviction) });
        }
        self.slots.iter().for_each(|slot| slot.begin());
        self.watermarks().iter().for_each(|(times, _)| times.clear());
        for node in find::<ObserveExec>(&self.plan) {
            let Some(node) = node.downcast_ref::<ObserveExec>() else { continue };
            node.observation().clear().map_err(|e| spark_error(&e))?;
        }
        let (mut tasks, mut receiver) = self.start()?;
        let mut result = Ok(());
        while let Some(next) = receiver.blocking_recv() {
            let written = match next {
                Ok((_, rows)) if rows.num_rows() == 0 => Ok(()),
                Ok((partition, rows)) => output(partition, rows),
                Err(error) => Err(spark_error(&error)),
            };
            if written.is_err() {
                result = written;
                break;
            }
        }
        drop(receiver);
        let runtime = self.runtime.get()?;
        if result.is_err() {
            runtime.block_on(tasks.shutdown());
        }
        while let Some(ended) = runtime.block_on(tasks.join_next()) {
            if let Err(error) = ended {
                result = result.and(Err(SparkError::internal(format!("a task of the batch ended: {error}"))));
            }
        }
        // Leaves that were not read must not be read in the next batch.
        self.slots.iter().for_each(|slot| slot.discard());
        result?;
        *self.observed.lock() = observed(&self.plan).map_err(|e| spark_error(&e))?;
        Ok(())
    }

    fn commit(&self, batch: Batch) -> Result<(), SparkError> {
        // The version this batch read is committed; the one it writes is not until the engine says so.
        let committed = u64::try_from(batch.id).unwrap_or(0);
        let work = || self.operators.iter().flat_map(|operator| operator.maintenance()).collect();
        self.maintainer.lock().at_version(committed, work);
        self.operators.iter().try_for_each(|operator| operator.commit())?;
        if self.settings.fsync && !self.operators.is_empty() {
            sync_filesystem(&self.settings.state_dir)?;
        }
        Ok(())
    }

    fn input_rows(&self) -> Vec<u64> {
        self.slots.iter().map(|slot| slot.count()).collect()
    }

    fn event_times(&self) -> Vec<EventTimeStats> {
        self.watermarks().into_iter().map(|(times, delay_ms)| EventTimeStats { delay_ms, ..times.get() }).collect()
    }

    fn wants_batch(&self, next_eviction_watermark_ms: i64, last: Batch) -> bool {
        let next = operator_watermarks(&self.plan, next_eviction_watermark_ms);
        let before = operator_watermarks(&self.plan, last.eviction_watermark_ms);
        self.operators.iter().any(|operator| {
            let of = |watermarks: &BTreeMap<u32, i64>| watermarks.get(&operator.spec().operator).copied().unwrap_or(0);
            operator.wants_batch(of(&next), of(&before))
        })
    }

    fn progress(&self) -> Vec<OperatorProgress> {
        self.operators.iter().map(|operator| operator.progress()).collect()
    }

    fn observed(&self) -> BTreeMap<String, RecordBatch> {
        self.observed.lock().clone()
    }

    fn explain(&self, extended: bool) -> String {
        displayable(self.plan.as_ref()).indent(extended).to_string()
    }
}
