//! The thread of a query: one micro-batch after the other.
//!
//! ```text
//! latest offsets ─► offsets/N ─► source rows ─► plan ─► sink ─► state N+1 ─► commits/N ─► progress
//! ```
//!
//! The order is the promise: what is in `commits` is never run again; what is in `offsets` but not in `commits` is run again
//! from the same offsets, with the same batch time and watermark, into a sink that knows batch numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_connectors::sink::{OutputMode, Sink};
use millstream_connectors::source::{Offset, Rows};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::log::{CommitLog, CommitRecord, OffsetLog, OffsetRecord, check_state_settings};
use millstream_operators::stream_plan::{Batch, EventTimeStats, StreamPlan};
use millstream_runtime::{Clock, Span, Time};

use crate::definition::{QueryDefinition, QuerySettings};
use crate::manager::{QueryEvent, QueryManager};
use crate::metrics::QueryMetrics;
use crate::progress::{Durations, Progress, SourceProgress};
use crate::query::{QueryIdentity, Shared};
use crate::recovery::{POLICY_KEY, Recovered, SourceSlot, assign_offsets, open_sources, stream_settings};
use crate::trigger::Trigger;
use crate::watermark::{WatermarkPolicy, WatermarkTracker};

/// A query that runs.
pub(crate) struct Execution {
    identity: QueryIdentity,
    shared: Arc<Shared>,
    manager: Arc<QueryManager>,
    metrics: QueryMetrics,
    settings: QuerySettings,
    mode: OutputMode,
    trigger: Trigger,
    sink: Arc<dyn Sink>,
    schema: SchemaRef,
    clock: Clock,
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
    last_idle: Option<Time>,
}

impl Execution {
    pub(crate) fn open(
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
            slot.source.on_data(Box::new(move || shared.signal.wake()));
        }
        plan.restore(recovered.batch_id)?;
        let policy = match settings.pinned.get(POLICY_KEY).map(String::as_str) {
            Some("max") => WatermarkPolicy::Max,
            _ => WatermarkPolicy::Min,
        };
        Ok(Self {
            metrics: QueryMetrics::new(&definition.metrics, &identity),
            identity,
            shared,
            manager,
            mode: definition.mode,
            trigger: definition.trigger,
            sink: definition.sink,
            schema: definition.schema,
            clock: definition.clock,
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

    pub(crate) fn close(&self) {
        self.sources.iter().for_each(|slot| slot.source.stop());
        self.sink.stop();
    }

    /// The batch in work, or the next one.
    pub(crate) fn batch_id(&self) -> i64 {
        self.batch_id
    }

    pub(crate) fn run(&mut self) -> Result<(), SparkError> {
        match self.trigger {
            Trigger::Once => self.trigger().map(|_| ()),
            Trigger::AvailableNow => {
                self.sources.iter().try_for_each(|slot| slot.source.fix_end())?;
                while !self.shared.signal.is_stopped() && self.trigger()? {}
                Ok(())
            }
            Trigger::ProcessingTime(interval) if interval.is_zero() => self.run_continually(),
            Trigger::ProcessingTime(interval) => self.run_at_multiples(Span::from(interval).max(Span::from_ms(1))),
        }
    }

    fn run_continually(&mut self) -> Result<(), SparkError> {
        while !self.shared.signal.is_stopped() {
            if !self.trigger()? {
                self.shared.signal.wait_for_wake(self.settings.polling_delay);
            }
        }
        Ok(())
    }

    fn run_at_multiples(&mut self, interval: Span) -> Result<(), SparkError> {
        while !self.shared.signal.is_stopped() {
            let next = self.clock.now().next(interval, Time::EPOCH);
            self.trigger()?;
            let late = self.clock.now() - next;
            if late > Span::ZERO {
                tracing::warn!(query = %self.identity.id, "a batch took {late} longer than the trigger interval of {interval}");
            } else {
                self.clock.wait_until(next, &self.shared.signal);
            }
        }
        Ok(())
    }

    /// Serves one trigger; whether a batch ran.
    fn trigger(&mut self) -> Result<bool, SparkError> {
        let trigger = self.shared.begin_trigger();
        let (begin, begin_ms) = (Instant::now(), self.clock.now().as_ms());
        let mut durations = Durations::default();
        if self.constructed.is_none() && !self.construct(&mut durations)? {
            self.shared.set_status("Waiting for data to arrive", false, false);
            self.shared.quiet(trigger);
            self.report_idle();
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
        let took = begin.elapsed();
        durations.add("triggerExecution", whole_ms(took));
        if self.last_batch.is_none() {
            self.shared.set_explain(physical(&self.plan.explain(false)), physical(&self.plan.explain(true)));
        }
        self.report(batch, begin_ms, took, durations, output_rows);
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
        let timestamp_ms = self.clock.now().as_ms();
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
            if shared.signal.is_stopped() {
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
        Box::new(rows.map(move |rows| if shared.signal.is_stopped() { Err(stopped()) } else { rows }))
    }

    fn report(&mut self, batch: Batch, begin_ms: i64, took: Duration, durations: Durations, output_rows: i64) {
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
        self.last_idle = Some(self.clock.now());
        self.metrics.batch(&progress, took);
        self.shared.recent.add(Arc::clone(&progress));
        self.manager.publish(&QueryEvent::Progress(progress));
    }

    fn report_idle(&mut self) {
        let now = self.clock.now();
        if self.last_idle.is_none_or(|last| now - last >= Span::from(self.settings.idle_interval)) {
            self.last_idle = Some(now);
            self.manager.publish(&QueryEvent::Idle(self.identity.clone(), now.as_ms()));
        }
    }
}

/// Under the heading that Spark gives it.
fn physical(plan: &str) -> String {
    format!("== Physical Plan ==\n{plan}\n")
}

fn under_user_names(schema: &SchemaRef, rows: RecordBatch) -> Result<RecordBatch, SparkError> {
    RecordBatch::try_new(Arc::clone(schema), rows.columns().to_vec()).map_err(|error| {
        SparkError::internal(format!("the rows of a batch do not have the schema of the query: {error}"))
    })
}

fn stopped() -> SparkError {
    SparkError::plain(ExceptionClass::Spark, "The query was stopped.")
}

fn elapsed_ms(since: Instant) -> u64 {
    whole_ms(since.elapsed())
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
