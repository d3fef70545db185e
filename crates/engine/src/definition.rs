//! What a query consists of before it starts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use millstream_connectors::sink::{OutputMode, Sink};
use millstream_connectors::source::Source;
use millstream_formats::condition::SparkError;
use millstream_operators::stream_plan::{StreamPlan, StreamSettings};
use millstream_plan::resolved::StreamTable;
use millstream_runtime::{Clock, Registry};

use crate::trigger::Trigger;

/// Makes the physical plan once the settings are known: those of the checkpoint win over those of the session.
pub type Planner = Box<dyn FnOnce(StreamSettings) -> Result<Box<dyn StreamPlan>, SparkError> + Send>;

/// Opens a source; the path is its private log directory, `<checkpoint>/sources/<i>`, the names are the columns it must give.
pub type SourceOpener = Box<dyn Fn(&StreamTable, &Path, Vec<String>) -> Result<Box<dyn Source>, SparkError> + Send>;

/// Settings of a query, taken from the session when it starts.
#[derive(Debug, Clone)]
pub struct QuerySettings {
    /// How often sources that cannot wake the query are asked (`spark.sql.streaming.pollingDelay`, 10 ms).
    pub polling_delay: Duration,
    /// Whether batches without data run to close state (`spark.sql.streaming.noDataMicroBatches.enabled`).
    pub no_data_batches: bool,
    /// After how long without data an idle event is sent (`spark.sql.streaming.noDataProgressEventInterval`, 10 s).
    pub idle_interval: Duration,
    /// Reports kept (`spark.sql.streaming.numRecentProgressUpdates`, 100).
    pub recent_progress_max: usize,
    /// Batches that stay in the logs and the state (`spark.sql.streaming.minBatchesToRetain`, 100).
    pub batches_retained: i64,
    /// A snapshot of state is due when more deltas than this follow the last one
    /// (`spark.sql.streaming.stateStore.minDeltasForSnapshot`, 10).
    pub min_deltas_for_snapshot: u64,
    /// Whether files are synced to disk before they count as written.
    pub fsync: bool,
    /// Bytes of memory that state may take, if that is limited (`spark.millstream.state.memoryLimit`).
    pub state_memory_max: Option<usize>,
    /// Where state beyond the limit goes (`spark.local.dir`); into the checkpoint's directory if it is not said.
    pub scratch_dir: Option<PathBuf>,
    /// How many partitions compute at once.
    pub parallelism: usize,
    /// An active run from the same checkpoint is stopped in favour of the new one (`spark.sql.streaming.stopActiveRunOnRestart`).
    pub stop_active_run: bool,
    /// The `conf` map of the offset log: what a restart must find unchanged (checkpoint.md 3.1), keys with prefix `spark.sql.`.
    pub pinned: BTreeMap<String, String>,
}

/// A query that can be started.
pub struct QueryDefinition {
    /// Name, unique among the active ones of the session.
    pub name: Option<String>,
    /// Which rows of the result the sink gets.
    pub mode: OutputMode,
    /// When batches run.
    pub trigger: Trigger,
    /// Where the rows go.
    pub sink: Arc<dyn Sink>,
    /// Columns of the result as the user sees them.
    pub schema: SchemaRef,
    /// Checkpoint directory; created if it does not exist.
    pub checkpoint: PathBuf,
    /// Remove the checkpoint when the query ends without an error.
    pub checkpoint_is_temporary: bool,
    /// Settings.
    pub settings: QuerySettings,
    /// What triggers go by, and where batches have their time from.
    pub clock: Clock,
    /// Where its figures are, as long as it runs.
    pub metrics: Registry,
    /// What `current_timestamp()` reads, µs.
    pub now_us: Arc<AtomicI64>,
    /// Makes the plan.
    pub plan: Planner,
    /// Opens the sources.
    pub open: SourceOpener,
}
