//! The figures of a query for whoever scrapes the process: those of its reports, updated once a batch.
//!
//! What Spark registers with `spark.sql.streaming.metricsEnabled` is there under names with units, and more; it needs no setting, because
//! a batch pays only some atomic stores. They go when the query ends.

use std::time::Duration;

use millstream_operators::stream_plan::OperatorProgress;
use millstream_runtime::Registry;
use millstream_runtime::metrics::{BATCH_SECONDS, Counter, Gauge, Group, Histogram, Metric};

use crate::progress::{Progress, SourceProgress, per_second};
use crate::query::QueryIdentity;

const BATCH_ID: Metric = Metric::new("millstream_query_batch_id", "Number of the last batch that ran.");
const BATCHES: Metric = Metric::new("millstream_query_batches_total", "Batches that ran.");
const BATCH_TIME: Metric =
    Metric::new("millstream_query_last_batch_timestamp_seconds", "When the trigger of the last batch began.");
const DURATION: Metric = Metric::new("millstream_query_batch_duration_seconds", "Durations of batches.");
const LATENCY: Metric = Metric::new("millstream_query_latency_seconds", "Duration of the last batch.");
const PHASE: Metric = Metric::new("millstream_query_phase_seconds", "Durations of the phases of the last batch.");
const INPUT_ROWS: Metric = Metric::new("millstream_query_input_rows_total", "Rows read from the source.");
const INPUT_RATE: Metric = Metric::new(
    "millstream_query_input_rows_per_second",
    "Rows of the last batch over the time since the trigger before it.",
);
const PROCESSED_RATE: Metric =
    Metric::new("millstream_query_processed_rows_per_second", "Rows of the last batch over its duration.");
const OUTPUT_ROWS: Metric = Metric::new("millstream_query_output_rows_total", "Rows given to the sink.");
const WATERMARK: Metric =
    Metric::new("millstream_query_watermark_timestamp_seconds", "Watermark of the last batch in event time.");
const STATE_ROWS: Metric = Metric::new("millstream_query_state_rows", "Rows in the state of the operator.");
const STATE_BYTES: Metric = Metric::new("millstream_query_state_bytes", "Bytes of the state of the operator.");
const STATE_SPILLED: Metric =
    Metric::new("millstream_query_state_spilled_bytes", "Bytes of the state of the operator in scratch files.");
const STATE_UPDATED: Metric =
    Metric::new("millstream_query_state_rows_updated_total", "Rows put into the state of the operator.");
const STATE_REMOVED: Metric =
    Metric::new("millstream_query_state_rows_removed_total", "Rows removed from the state of the operator.");
const LATE_ROWS: Metric =
    Metric::new("millstream_query_rows_dropped_by_watermark_total", "Rows that came too late for the operator.");

const TERMINATIONS: Metric =
    Metric::new("millstream_query_terminations_total", "Queries of the process that have ended, by how they did.");

/// Counts the end of a query, which is to be seen when its own figures are gone.
pub(crate) fn count_end(registry: &Registry, failed: bool) {
    let result = if failed { "failed" } else { "stopped" };
    registry.counter(TERMINATIONS, &[("result", result)]).add(1);
}

/// All phases that a batch reports.
const PHASES: [&str; 6] = ["latestOffset", "walCommit", "getBatch", "queryPlanning", "addBatch", "commitOffsets"];

pub(crate) struct QueryMetrics {
    group: Group,
    batch_id: Gauge,
    batches: Counter,
    batch_time: Gauge,
    duration: Histogram,
    latency: Gauge,
    phases: Vec<(&'static str, Gauge)>,
    input_rate: Gauge,
    processed_rate: Gauge,
    output_rows: Counter,
    watermark: Gauge,
    /// In the order of the reports. Made by the first one.
    sources: Vec<Counter>,
    operators: Vec<OperatorMetrics>,
}

struct OperatorMetrics {
    rows: Gauge,
    bytes: Gauge,
    spilled: Gauge,
    updated: Counter,
    removed: Counter,
    late: Counter,
}

impl QueryMetrics {
    pub fn new(registry: &Registry, query: &QueryIdentity) -> Self {
        let (id, run_id) = (query.id.to_string(), query.run_id.to_string());
        let name = query.name.as_deref().unwrap_or_default();
        let group = registry.group(&[("query", name), ("id", &id), ("run_id", &run_id)]);
        Self {
            batch_id: group.gauge(BATCH_ID, &[]),
            batches: group.counter(BATCHES, &[]),
            batch_time: group.gauge(BATCH_TIME, &[]),
            duration: group.histogram(DURATION, &[], BATCH_SECONDS),
            latency: group.gauge(LATENCY, &[]),
            phases: PHASES.iter().map(|phase| (*phase, group.gauge(PHASE, &[("phase", phase)]))).collect(),
            input_rate: group.gauge(INPUT_RATE, &[]),
            processed_rate: group.gauge(PROCESSED_RATE, &[]),
            output_rows: group.counter(OUTPUT_ROWS, &[]),
            watermark: group.gauge(WATERMARK, &[]),
            sources: Vec::new(),
            operators: Vec::new(),
            group,
        }
    }

    /// A batch ran for so long.
    pub fn batch(&mut self, progress: &Progress, took: Duration) {
        self.batch_id.set(progress.batch_id as f64);
        self.batches.add(1);
        self.batch_time.set(seconds(progress.timestamp_ms));
        self.duration.observe(took.as_secs_f64());
        self.latency.set(took.as_secs_f64());
        for (phase, gauge) in &self.phases {
            gauge.set(progress.durations.get(phase) as f64 / 1000.0);
        }
        let rows = progress.input_rows();
        if let Some(since_last_ms) = progress.since_last_ms {
            self.input_rate.set(per_second(rows, since_last_ms));
        }
        self.processed_rate.set(rows as f64 / took.as_secs_f64());
        // Negative where the sink does not count.
        self.output_rows.add(u64::try_from(progress.output_rows).unwrap_or_default());
        if let Some((watermark_ms, _)) = progress.event_time {
            self.watermark.set(seconds(watermark_ms));
        }
        self.sources(&progress.sources);
        self.operators(&progress.operators);
    }

    fn sources(&mut self, sources: &[SourceProgress]) {
        for source in sources.iter().skip(self.sources.len()) {
            let number = self.sources.len().to_string();
            let labels = [("source", number.as_str()), ("description", &source.description)];
            self.sources.push(self.group.counter(INPUT_ROWS, &labels));
        }
        for (counter, source) in self.sources.iter().zip(sources) {
            counter.add(source.input_rows);
        }
    }

    fn operators(&mut self, operators: &[OperatorProgress]) {
        for operator in operators.iter().skip(self.operators.len()) {
            let number = self.operators.len().to_string();
            self.operators.push(OperatorMetrics::new(&self.group, &[("operator", &number), ("name", &operator.name)]));
        }
        for (metrics, operator) in self.operators.iter().zip(operators) {
            metrics.batch(operator);
        }
    }
}

impl OperatorMetrics {
    fn new(group: &Group, labels: &[(&str, &str)]) -> Self {
        Self {
            rows: group.gauge(STATE_ROWS, labels),
            bytes: group.gauge(STATE_BYTES, labels),
            spilled: group.gauge(STATE_SPILLED, labels),
            updated: group.counter(STATE_UPDATED, labels),
            removed: group.counter(STATE_REMOVED, labels),
            late: group.counter(LATE_ROWS, labels),
        }
    }

    fn batch(&self, operator: &OperatorProgress) {
        self.rows.set(operator.rows_total as f64);
        self.bytes.set(operator.memory_bytes as f64);
        if let Some(bytes) = operator.custom.get("spilledSizeBytes") {
            self.spilled.set(*bytes as f64);
        }
        self.updated.add(operator.rows_updated);
        self.removed.add(operator.rows_removed);
        self.late.add(operator.rows_dropped_by_watermark);
    }
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}
