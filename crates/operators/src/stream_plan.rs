//! A streaming query's physical plan and the handles by which a micro-batch drives it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use millstream_formats::condition::SparkError;
use millstream_plan::resolved::StreamTable;
use millstream_state::StateMemory;

/// Rows of one partition of a source in this batch. Runs on a computing thread; may block.
pub type Rows = Box<dyn Iterator<Item = Result<RecordBatch, SparkError>> + Send>;

/// What is fixed when a query starts (from the session, or from the offset log of its checkpoint).
#[derive(Debug, Clone)]
pub struct StreamSettings {
    /// `<checkpoint>/state`.
    pub state_dir: PathBuf,
    /// `spark.sql.shuffle.partitions` at the first start.
    pub state_partitions: usize,
    /// How many partitions compute at once.
    pub parallelism: usize,
    /// `spark.sql.streaming.multipleWatermarkPolicy` = `max`.
    pub watermark_policy_max: bool,
    /// Versions of state to keep (`spark.sql.streaming.minBatchesToRetain`).
    pub versions_retained: u64,
    /// A snapshot is due when more deltas than this follow the last one (`spark.sql.streaming.stateStore.minDeltasForSnapshot`).
    pub min_deltas_for_snapshot: u64,
    /// Whether state files are synced to disk before a batch counts as written.
    pub fsync: bool,
    /// What the state of all operators of the query may take of the machine's memory.
    pub state_memory: StateMemory,
}

pub use millstream_formats::output_mode::OutputMode;

/// What differs from batch to batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Batch {
    /// Number of the batch; it reads state version `id` and writes `id + 1`.
    pub id: i64,
    /// Rows older than this are late (watermark of the batch before), ms.
    pub late_watermark_ms: i64,
    /// State up to this is closed (watermark of this batch), ms.
    pub eviction_watermark_ms: i64,
    /// Processing time, ms.
    pub timestamp_ms: i64,
}

/// Event times one watermark operator saw in one batch.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct EventTimeStats {
    /// Rows with a time.
    pub count: u64,
    /// Smallest, ms.
    pub min_ms: i64,
    /// Largest, ms.
    pub max_ms: i64,
    /// Mean, ms.
    pub avg_ms: f64,
    /// Delay of the operator, ms.
    pub delay_ms: i64,
}

/// Figures of one stateful operator after a batch, as in Spark's progress.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OperatorProgress {
    /// `stateStoreSave`, `dedupe`, …
    pub name: String,
    /// Rows in state.
    pub rows_total: u64,
    /// Rows put.
    pub rows_updated: u64,
    /// Rows removed.
    pub rows_removed: u64,
    /// Input rows that were late.
    pub rows_dropped_by_watermark: u64,
    /// Time spent putting, ms.
    pub updates_ms: u64,
    /// Time spent removing, ms.
    pub removals_ms: u64,
    /// Time of the commit, ms.
    pub commit_ms: u64,
    /// Memory of the state, bytes.
    pub memory_bytes: u64,
    /// State partitions.
    pub partitions: u64,
    /// Open stores.
    pub store_instances: u64,
    /// Further metrics (`numDroppedDuplicateRows`, `stateOnCurrentVersionSizeBytes`, …).
    pub custom: BTreeMap<String, u64>,
}

/// Rows of the result of a batch, by partition of the plan, in order within a partition.
pub type Output<'a> = &'a mut (dyn FnMut(usize, RecordBatch) -> Result<(), SparkError> + Send);

/// A streaming query, planned once.
///
/// ```text
/// set_rows(i, …) for each source ─► run(batch, output) ─► event_times / progress / observed ─► commit(batch)
/// ```
pub trait StreamPlan: Send + Sync {
    /// The streaming leaves from left to right; the same table may occur twice.
    fn sources(&self) -> Vec<Arc<StreamTable>>;

    /// Names of the columns that the plan reads from the `index`-th leaf.
    fn columns(&self, index: usize) -> Vec<String>;

    /// Loads the state that batch `id` reads; called once after the start and after a failed batch.
    fn restore(&self, batch_id: i64) -> Result<(), SparkError>;

    /// Hands the rows of the next batch to the `index`-th leaf; a leaf without rows reads as empty.
    fn set_rows(&self, index: usize, rows: Vec<Rows>);

    /// Runs the batch to its end on the calling thread and as many computing threads as the settings say. Result rows go to
    /// `output` one call at a time.
    fn run(&self, batch: Batch, output: Output<'_>) -> Result<(), SparkError>;

    /// Writes the state files of the batch that ran: version `batch.id + 1`.
    fn commit(&self, batch: Batch) -> Result<(), SparkError>;

    /// Input rows read by each leaf in the batch that ran.
    fn input_rows(&self) -> Vec<u64>;

    /// What each watermark operator saw in the batch that ran, in plan order.
    fn event_times(&self) -> Vec<EventTimeStats>;

    /// Whether a batch without data would change something, given the watermark it would run with
    /// (Spark's `shouldRunAnotherBatch` of any stateful operator).
    fn wants_batch(&self, next_eviction_watermark_ms: i64, last: Batch) -> bool;

    /// Figures of the stateful operators, in the order of Spark's progress: by operator id, outermost first.
    fn progress(&self) -> Vec<OperatorProgress>;

    /// Observed metrics of the batch that ran, by name: one row each.
    fn observed(&self) -> BTreeMap<String, RecordBatch>;

    /// The physical plan as text.
    fn explain(&self, extended: bool) -> String;
}
