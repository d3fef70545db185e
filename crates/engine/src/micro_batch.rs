//! The thread of a query: one micro-batch after the other.
//!
//! ```text
//! latest offsets ─► offsets/N ─► source rows ─► plan ─► sink ─► state N+1 ─► commits/N ─► progress
//! ```
//!
//! The order is the promise: what is in `commits` is never run again; what is in `offsets` but not in `commits` is run again
//! from the same offsets, with the same batch time and watermark, into a sink that knows batch numbers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use chrono::Utc;
use millstream_connectors::sink::{OutputMode, Sink};
use millstream_connectors::source::{Offset, Rows, Source};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::log::{CommitLog, CommitRecord, OffsetLog, OffsetRecord, check_state_settings};
use millstream_operators::stream_plan::{Batch, EventTimeStats, StreamPlan, StreamSettings};
use millstream_plan::resolved::StreamTable;
use uuid::Uuid;

use crate::manager::{QueryEvent, QueryManager};
use crate::progress::{Durations, Progress, SourceProgress};
use crate::query::{QueryIdentity, Shared, StreamingQuery, stream_failed};
use crate::trigger::Trigger;
use crate::watermark::{WatermarkPolicy, WatermarkTracker};

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
    /// Whether files are synced to disk before they count as written.
    pub fsync: bool,
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
    /// What `current_timestamp()` reads, µs.
    pub now_us: Arc<AtomicI64>,
    /// Makes the plan.
    pub plan: Planner,
    /// Opens the sources.
    pub open: SourceOpener,
}

const PARTITIONS_KEY: &str = "spark.sql.shuffle.partitions";
const POLICY_KEY: &str = "spark.sql.streaming.multipleWatermarkPolicy";

/// Starts a query on a thread of its own.
///
/// # Errors
/// If the checkpoint cannot be read or written, or a query of that name or checkpoint is active. What fails later ends the query
/// and is found in [`StreamingQuery::exception`].
pub fn start(definition: QueryDefinition, manager: &Arc<QueryManager>) -> Result<Arc<StreamingQuery>, SparkError> {
    let id = millstream_formats::log::query_id(&definition.checkpoint, definition.settings.fsync)?;
    let identity = QueryIdentity { id, run_id: Uuid::new_v4(), name: definition.name.clone() };
    let shared = Arc::new(Shared::new(definition.settings.recent_progress_max));
    let query = Arc::new(StreamingQuery::new(identity.clone(), Arc::clone(&shared)));
    if let Some(active) = manager.get(id).filter(|_| definition.settings.stop_active_run) {
        tracing::warn!(query = %id, "the run {} is stopped: another one starts from its checkpoint", active.run_id());
        active.stop();
    }
    manager.add(&query)?;
    let (thread_query, thread_manager) = (Arc::clone(&query), Arc::clone(manager));
    let name = format!("query {}", identity.name.as_deref().unwrap_or(&identity.run_id.to_string()[..8]));
    let spawned = std::thread::Builder::new().name(name).spawn(move || {
        let failure = run_to_end(definition, &identity, &shared, &thread_manager);
        thread_manager.ended(&thread_query, || shared.finish(failure));
    });
    match spawned {
        Ok(_) => Ok(query),
        Err(error) => {
            query.request_stop();
            manager.forget(&query);
            Err(SparkError::plain(ExceptionClass::Spark, format!("Cannot start a thread for the query: {error}")))
        }
    }
}

/// Runs the query; the error it ended with, if any. A panic of the engine is such an error and leaves other queries alone.
fn run_to_end(
    definition: QueryDefinition,
    identity: &QueryIdentity,
    shared: &Arc<Shared>,
    manager: &Arc<QueryManager>,
) -> Option<SparkError> {
    let temporary = definition.checkpoint_is_temporary.then(|| definition.checkpoint.clone());
    let run = std::panic::AssertUnwindSafe(|| {
        let mut execution = Execution::open(definition, identity.clone(), Arc::clone(shared), Arc::clone(manager))?;
        let result = execution.run();
        execution.close();
        result
    });
    let result = std::panic::catch_unwind(run).unwrap_or_else(|_| Err(SparkError::internal("the query panicked")));
    match result {
        Err(error) if !shared.stopping() => {
            tracing::error!(query = %identity.id, run = %identity.run_id, "query failed: {error}");
            Some(stream_failed(identity, &error))
        }
        _ => {
            if let Some(dir) = temporary
                && let Err(error) = std::fs::remove_dir_all(&dir)
            {
                tracing::warn!("cannot remove the temporary checkpoint {}: {error}", dir.display());
            }
            None
        }
    }
}

/// A source and the leaves of the plan that read it.
struct SourceSlot {
    source: Box<dyn Source>,
    leaves: Vec<usize>,
    /// Up to where the last committed batch read.
    committed: Option<Offset>,
    /// Up to where the batch in work reads.
    available: Option<Offset>,
}

impl SourceSlot {
    fn has_new_data(&self) -> bool {
        self.available.is_some() && self.available != self.committed
    }
}

struct Execution {
    identity: QueryIdentity,
    shared: Arc<Shared>,
    manager: Arc<QueryManager>,
    settings: QuerySettings,
    mode: OutputMode,
    trigger: Trigger,
    sink: Arc<dyn Sink>,
    schema: SchemaRef,
    now_us: Arc<AtomicI64>,
    plan: Box<dyn StreamPlan>,
    sources: Vec<SourceSlot>,
    leaf_count: usize,
    offsets: OffsetLog,
    commits: CommitLog,
    tracker: WatermarkTracker,
    /// Number of the batch in work, or of the next one.
    batch_id: i64,
    /// The batch in work is in the offset log, with this watermark and time.
    constructed: Option<(i64, i64)>,
    /// Watermark of the batch before, ms.
    previous_watermark_ms: Option<i64>,
    /// The last batch that ran in this run.
    last_batch: Option<Batch>,
    last_trigger_ms: Option<i64>,
    last_idle: Option<Instant>,
}

/// What the checkpoint says about where to go on.
struct Recovered {
    batch_id: i64,
    constructed: Option<(i64, i64)>,
    watermark_ms: i64,
    previous_watermark_ms: Option<i64>,
    committed: Option<Vec<Option<Offset>>>,
    available: Option<Vec<Option<Offset>>>,
    conf: Option<BTreeMap<String, String>>,
}

impl Recovered {
    /// Reads the logs as Spark does at a restart (checkpoint.md 4.1).
    fn read(offsets: &OffsetLog, commits: &CommitLog) -> Result<Self, SparkError> {
        let Some((last, record)) = offsets.latest()? else {
            return Ok(Self {
                batch_id: 0,
                constructed: None,
                watermark_ms: 0,
                previous_watermark_ms: None,
                committed: None,
                available: None,
                conf: None,
            });
        };
        let before = if last > 0 { Some(offsets.get(last - 1)?) } else { None };
        let commit = commits.latest()?;
        let conf = Some(record.conf.clone());
        match commit {
            Some((committed, _)) if committed > last => Err(SparkError::new(
                ExceptionClass::Spark,
                "CONCURRENT_STREAM_LOG_UPDATE",
                "40000",
                format!("Concurrent update to the log. Multiple streaming jobs detected for {committed}."),
            )
            .with("batchId", committed.to_string())),
            Some((committed, commit)) if committed == last => Ok(Self {
                batch_id: last + 1,
                constructed: None,
                watermark_ms: record.batch_watermark_ms.max(commit.next_batch_watermark_ms),
                previous_watermark_ms: Some(record.batch_watermark_ms),
                committed: Some(record.offsets.clone()),
                available: Some(record.offsets),
                conf,
            }),
            _ => Ok(Self {
                batch_id: last,
                constructed: Some((record.batch_watermark_ms, record.batch_timestamp_ms)),
                watermark_ms: record.batch_watermark_ms,
                previous_watermark_ms: before.as_ref().map(|b| b.batch_watermark_ms),
                committed: before.map(|b| b.offsets),
                available: Some(record.offsets),
                conf,
            }),
        }
    }
}

impl Execution {
    fn open(
        definition: QueryDefinition,
        identity: QueryIdentity,
        shared: Arc<Shared>,
        manager: Arc<QueryManager>,
    ) -> Result<Self, SparkError> {
        let mut settings = definition.settings;
        let offsets = OffsetLog::open(definition.checkpoint.join("offsets"), settings.fsync)?;
        let commits = CommitLog::open(definition.checkpoint.join("commits"), settings.fsync)?;
        let recovered = Recovered::read(&offsets, &commits)?;
        if let Some(conf) = &recovered.conf {
            if definition.checkpoint.join("state").is_dir() {
                check_state_settings(conf)?;
            }
            settings.pinned.extend(conf.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
        let plan = (definition.plan)(stream_settings(&settings, &definition.checkpoint)?)?;
        let leaves = plan.sources();
        let mut sources = open_sources(plan.as_ref(), &definition.open, &definition.checkpoint)?;
        assign_offsets(&mut sources, leaves.len(), &recovered)?;
        for slot in &sources {
            let shared = Arc::clone(&shared);
            slot.source.on_data(Box::new(move || shared.wake()));
        }
        plan.restore(recovered.batch_id)?;
        let policy = match settings.pinned.get(POLICY_KEY).map(String::as_str) {
            Some("max") => WatermarkPolicy::Max,
            _ => WatermarkPolicy::Min,
        };
        Ok(Self {
            identity,
            shared,
            manager,
            mode: definition.mode,
            trigger: definition.trigger,
            sink: definition.sink,
            schema: definition.schema,
            now_us: definition.now_us,
            plan,
            sources,
            leaf_count: leaves.len(),
            offsets,
            commits,
            tracker: WatermarkTracker::new(policy, recovered.watermark_ms),
            batch_id: recovered.batch_id,
            constructed: recovered.constructed,
            previous_watermark_ms: recovered.previous_watermark_ms,
            last_batch: None,
            last_trigger_ms: None,
            last_idle: None,
            settings,
        })
    }

    fn close(&self) {
        self.sources.iter().for_each(|slot| slot.source.stop());
        self.sink.stop();
    }

    fn run(&mut self) -> Result<(), SparkError> {
        match self.trigger {
            Trigger::Once => self.trigger().map(|_| ()),
            Trigger::AvailableNow => {
                self.sources.iter().try_for_each(|slot| slot.source.fix_end())?;
                while !self.shared.stopping() && self.trigger()? {}
                Ok(())
            }
            Trigger::ProcessingTime(interval) if interval.is_zero() => self.run_continually(),
            Trigger::ProcessingTime(interval) => self.run_at_multiples(interval),
        }
    }

    fn run_continually(&mut self) -> Result<(), SparkError> {
        while !self.shared.stopping() {
            if !self.trigger()? {
                self.shared.pause(Instant::now() + self.settings.polling_delay, true);
            }
        }
        Ok(())
    }

    fn run_at_multiples(&mut self, interval: Duration) -> Result<(), SparkError> {
        let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
        while !self.shared.stopping() {
            let begin_ms = now_ms();
            self.trigger()?;
            let next_ms = (begin_ms / interval_ms).saturating_add(1).saturating_mul(interval_ms);
            let wait_ms = next_ms - now_ms();
            match u64::try_from(wait_ms) {
                // Long waits are cut so that the deadline stays within what the clock can express.
                Ok(ms) => self.pause_for(Duration::from_millis(ms)),
                Err(_) => tracing::warn!(
                    query = %self.identity.id,
                    "a batch took {} ms longer than the trigger interval of {interval_ms} ms", -wait_ms
                ),
            }
        }
        Ok(())
    }

    fn pause_for(&self, wait: Duration) {
        self.shared.pause(Instant::now() + wait.min(Duration::from_secs(86_400 * 365)), false);
    }

    /// Serves one trigger; whether a batch ran.
    fn trigger(&mut self) -> Result<bool, SparkError> {
        let trigger = self.shared.begin_trigger();
        let (begin, begin_ms) = (Instant::now(), now_ms());
        let mut durations = Durations::default();
        if self.constructed.is_none() && !self.construct(&mut durations)? {
            self.shared.set_status("Waiting for data to arrive", false, false);
            self.shared.quiet(trigger);
            self.report_idle(begin_ms);
            return Ok(false);
        }
        let new_data = self.sources.iter().any(SourceSlot::has_new_data);
        self.shared.set_status("Processing new data", new_data, true);
        let Some((watermark_ms, timestamp_ms)) = self.constructed else {
            return Err(SparkError::internal("a batch runs that is not in the offset log"));
        };
        let batch = Batch {
            id: self.batch_id,
            late_watermark_ms: self.previous_watermark_ms.unwrap_or(watermark_ms),
            eviction_watermark_ms: watermark_ms,
            timestamp_ms,
        };
        let output_rows = self.run_batch(batch, &mut durations)?;
        durations.add("triggerExecution", elapsed_ms(begin));
        if self.last_batch.is_none() {
            self.shared.set_explain(physical(&self.plan.explain(false)), physical(&self.plan.explain(true)));
        }
        self.report(batch, begin_ms, durations, output_rows);
        self.previous_watermark_ms = Some(watermark_ms);
        self.last_batch = Some(batch);
        self.batch_id += 1;
        self.constructed = None;
        for slot in &mut self.sources {
            slot.committed.clone_from(&slot.available);
        }
        self.shared.set_status("Waiting for next trigger", new_data, false);
        Ok(true)
    }

    /// Asks the sources how far they are; if there is something to do, writes the batch into the offset log.
    fn construct(&mut self, durations: &mut Durations) -> Result<bool, SparkError> {
        let begin = Instant::now();
        let unlimited = self.trigger == Trigger::Once;
        for slot in &mut self.sources {
            if let Some(offset) = slot.source.latest_offset(slot.committed.as_ref(), unlimited)? {
                slot.available = Some(offset);
            }
        }
        durations.add("latestOffset", elapsed_ms(begin));
        let watermark_ms = self.tracker.current_ms();
        let new_data = self.sources.iter().any(SourceSlot::has_new_data);
        let wanted = self.settings.no_data_batches
            && self.last_batch.is_some_and(|last| self.plan.wants_batch(watermark_ms, last));
        if !new_data && !wanted {
            return Ok(false);
        }
        let begin = Instant::now();
        let timestamp_ms = now_ms();
        self.offsets.add(
            self.batch_id,
            &OffsetRecord {
                batch_watermark_ms: watermark_ms,
                batch_timestamp_ms: timestamp_ms,
                conf: self.settings.pinned.clone(),
                offsets: self.offset_lines(),
            },
        )?;
        if self.batch_id > 0 {
            for slot in &self.sources {
                if let Some(committed) = &slot.committed {
                    slot.source.commit(committed)?;
                }
            }
        }
        let oldest_kept = self.batch_id - self.settings.batches_retained;
        if oldest_kept > 0 {
            self.offsets.purge(oldest_kept)?;
            self.commits.purge(oldest_kept)?;
        }
        durations.add("walCommit", elapsed_ms(begin));
        self.constructed = Some((watermark_ms, timestamp_ms));
        Ok(true)
    }

    /// One line per leaf of the plan: the same source may stand behind several.
    fn offset_lines(&self) -> Vec<Option<Offset>> {
        let mut lines = vec![None; self.leaf_count];
        for slot in &self.sources {
            for leaf in &slot.leaves {
                if let Some(line) = lines.get_mut(*leaf) {
                    line.clone_from(&slot.available);
                }
            }
        }
        lines
    }

    /// Runs the batch to its commit; rows given to the sink.
    fn run_batch(&mut self, batch: Batch, durations: &mut Durations) -> Result<i64, SparkError> {
        self.now_us.store(batch.timestamp_ms.saturating_mul(1000), Ordering::Relaxed);
        let begin = Instant::now();
        for slot in &self.sources {
            for leaf in &slot.leaves {
                let rows = match &slot.available {
                    Some(end) if slot.has_new_data() => {
                        slot.source.read(slot.committed.as_ref(), end, self.settings.parallelism)?
                    }
                    _ => Vec::new(),
                };
                self.plan.set_rows(*leaf, rows.into_iter().map(|rows| self.stoppable(rows)).collect());
            }
        }
        durations.add("getBatch", elapsed_ms(begin));
        // Planned once, when the query started; the phase is reported because programs look for it.
        durations.add("queryPlanning", 0);
        let begin = Instant::now();
        let output_rows = self.add_batch(batch)?;
        durations.add("addBatch", elapsed_ms(begin));
        self.tracker.observe(&self.plan.event_times());
        let begin = Instant::now();
        let record = CommitRecord { next_batch_watermark_ms: self.tracker.current_ms() };
        self.commits.add(batch.id, &record)?;
        durations.add("commitOffsets", elapsed_ms(begin));
        Ok(output_rows)
    }

    fn add_batch(&mut self, batch: Batch) -> Result<i64, SparkError> {
        let mut writer = self.sink.begin(batch.id, Arc::clone(&self.schema), self.mode)?;
        if writer.is_none() && self.plan.progress().is_empty() {
            // The sink has this batch from before a crash, and there is no state to bring up to it: nothing is read again.
            return Ok(if self.sink.counts_rows() { 0 } else { -1 });
        }
        let mut written = 0;
        let (shared, schema) = (&self.shared, &self.schema);
        self.plan.run(batch, &mut |partition, rows| {
            if shared.stopping() {
                return Err(stopped());
            }
            written += i64::try_from(rows.num_rows()).unwrap_or_default();
            match &mut writer {
                Some(writer) => writer.write(partition, under_user_names(schema, rows)?),
                // The sink has this batch from before a crash; it runs again for its state only.
                None => Ok(()),
            }
        })?;
        if let Some(writer) = writer {
            writer.commit()?;
        }
        self.plan.commit(batch)?;
        Ok(if self.sink.counts_rows() { written } else { -1 })
    }

    /// The rows, with an error in their place once the query shall stop.
    fn stoppable(&self, rows: Rows) -> Rows {
        let shared = Arc::clone(&self.shared);
        Box::new(rows.map(move |rows| if shared.stopping() { Err(stopped()) } else { rows }))
    }

    fn report(&mut self, batch: Batch, begin_ms: i64, durations: Durations, output_rows: i64) {
        let seen = self.plan.event_times();
        let event_time = (!seen.is_empty()).then(|| {
            let stats = seen.iter().find(|s| s.count > 0).copied();
            (batch.eviction_watermark_ms, stats.unwrap_or(EventTimeStats::default()))
        });
        let input = self.plan.input_rows();
        let sources = self.sources.iter().map(|slot| SourceProgress {
            description: slot.source.description(),
            start_offset: slot.committed.clone(),
            end_offset: slot.available.clone(),
            latest_offset: slot.source.reported_latest().or_else(|| slot.available.clone()),
            input_rows: slot.leaves.iter().filter_map(|leaf| input.get(*leaf)).sum(),
        });
        let progress = Arc::new(Progress {
            query: self.identity.clone(),
            batch_id: batch.id,
            timestamp_ms: begin_ms,
            since_last_ms: self.last_trigger_ms.map(|last| begin_ms - last),
            durations,
            event_time,
            operators: self.plan.progress(),
            sources: sources.collect(),
            sink: self.sink.description(),
            output_rows,
            observed: self.plan.observed(),
        });
        self.last_trigger_ms = Some(begin_ms);
        self.last_idle = Some(Instant::now());
        self.shared.add_progress(Arc::clone(&progress));
        self.manager.publish(&QueryEvent::Progress(progress));
    }

    fn report_idle(&mut self, now_ms: i64) {
        if self.last_idle.is_none_or(|last| last.elapsed() >= self.settings.idle_interval) {
            self.last_idle = Some(Instant::now());
            self.manager.publish(&QueryEvent::Idle(self.identity.clone(), now_ms));
        }
    }
}

/// Under the heading that Spark gives it.
fn physical(plan: &str) -> String {
    format!("== Physical Plan ==\n{plan}\n")
}

fn stream_settings(settings: &QuerySettings, checkpoint: &Path) -> Result<StreamSettings, SparkError> {
    let partitions = settings.pinned.get(PARTITIONS_KEY).map_or("", String::as_str);
    let state_partitions = partitions.parse().ok().filter(|n| *n > 0).ok_or_else(|| {
        SparkError::plain(
            ExceptionClass::IllegalArgument,
            format!("{PARTITIONS_KEY} must be a positive number, not '{partitions}'"),
        )
    })?;
    let provider = settings.pinned.get("spark.sql.streaming.stateStore.providerClass").map_or("", String::as_str);
    if !provider.is_empty() && !provider.ends_with("HDFSBackedStateStoreProvider") {
        return Err(SparkError::unsupported(format!("The state store {provider}")));
    }
    Ok(StreamSettings {
        state_dir: checkpoint.join("state"),
        state_partitions,
        parallelism: settings.parallelism,
        watermark_policy_max: settings.pinned.get(POLICY_KEY).is_some_and(|p| p == "max"),
        versions_retained: u64::try_from(settings.batches_retained).unwrap_or(1),
        fsync: settings.fsync,
    })
}

/// Opens each source once, in the order in which the leaves of the plan first name it, for the columns that all its leaves read.
fn open_sources(plan: &dyn StreamPlan, open: &SourceOpener, checkpoint: &Path) -> Result<Vec<SourceSlot>, SparkError> {
    let mut found: Vec<(Arc<StreamTable>, Vec<usize>)> = Vec::new();
    for (leaf, table) in plan.sources().into_iter().enumerate() {
        match found.iter_mut().find(|(known, _)| known.id == table.id) {
            Some((_, leaves)) => leaves.push(leaf),
            None => found.push((table, vec![leaf])),
        }
    }
    let mut slots = Vec::with_capacity(found.len());
    for (index, (table, leaves)) in found.into_iter().enumerate() {
        let read: Vec<String> = leaves.iter().flat_map(|leaf| plan.columns(*leaf)).collect();
        let columns =
            table.schema.fields().iter().map(|f| f.name()).filter(|name| read.contains(name)).cloned().collect();
        let source = open(&table, &checkpoint.join("sources").join(index.to_string()), columns)?;
        slots.push(SourceSlot { source, leaves, committed: None, available: None });
    }
    Ok(slots)
}

fn assign_offsets(sources: &mut [SourceSlot], leaf_count: usize, recovered: &Recovered) -> Result<(), SparkError> {
    for lines in [&recovered.committed, &recovered.available].into_iter().flatten() {
        if lines.len() != leaf_count {
            return Err(SparkError::plain(
                ExceptionClass::Spark,
                format!(
                    "assertion failed: There are [{}] sources in the checkpoint offsets and now there are [{leaf_count}] \
                     sources requested by the query. Cannot continue.",
                    lines.len()
                ),
            ));
        }
    }
    let line =
        |lines: &Option<Vec<Option<Offset>>>, leaf: usize| lines.as_ref().and_then(|l| l.get(leaf).cloned().flatten());
    for slot in sources {
        let leaf = slot.leaves.first().copied().unwrap_or_default();
        slot.committed = line(&recovered.committed, leaf);
        slot.available = line(&recovered.available, leaf);
    }
    Ok(())
}

fn under_user_names(schema: &SchemaRef, rows: RecordBatch) -> Result<RecordBatch, SparkError> {
    RecordBatch::try_new(Arc::clone(schema), rows.columns().to_vec()).map_err(|error| {
        SparkError::internal(format!("the rows of a batch do not have the schema of the query: {error}"))
    })
}

fn stopped() -> SparkError {
    SparkError::plain(ExceptionClass::Spark, "The query was stopped.")
}

fn now_ms() -> i64 {
    Utc::now().timestamp_millis()
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
