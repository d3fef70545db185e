//! The figures of a context for whoever scrapes the process, made of what listeners are told.
//!
//! They are what Spark's `StreamingMetrics` has, under names with units, and those of each input. They are there from the start of the
//! context to its stop. An event costs some atomic stores; the buffers of receivers keep their own two figures.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use millstream_runtime::metrics::{BATCH_SECONDS, Counter, Gauge, Group, Histogram, Metric};
use millstream_runtime::{Registry, Time};
use parking_lot::Mutex;

use crate::listener::{BatchInfo, Event, ReceiverInfo};
use crate::{Conf, Span};

const WAITING: Metric = Metric::new("millstream_dstream_waiting_batches", "Batches that wait for their turn.");
const RUNNING: Metric = Metric::new("millstream_dstream_running_batches", "Batches that run.");
const UNPROCESSED: Metric =
    Metric::new("millstream_dstream_unprocessed_batches", "Batches that wait for their turn or run.");
const RETAINED: Metric =
    Metric::new("millstream_dstream_retained_batches", "Completed batches whose reports are retained.");
const COMPLETED: Metric = Metric::new("millstream_dstream_completed_batches_total", "Batches that have ended.");
const RECEIVED: Metric =
    Metric::new("millstream_dstream_received_records_total", "Records of all inputs in batches that were made.");
const PROCESSED: Metric =
    Metric::new("millstream_dstream_processed_records_total", "Records of all inputs in batches that have ended.");
const FAILED_OUTPUTS: Metric =
    Metric::new("millstream_dstream_failed_output_operations_total", "Output operations that have failed.");
const SCHEDULING: Metric = Metric::new(
    "millstream_dstream_scheduling_delay_seconds",
    "Time that the last completed batch waited for its turn.",
);
const PROCESSING: Metric =
    Metric::new("millstream_dstream_processing_delay_seconds", "Time that the last completed batch ran.");
const TOTAL: Metric = Metric::new(
    "millstream_dstream_total_delay_seconds",
    "Time from the submission of the last completed batch to its end.",
);
const DURATION: Metric = Metric::new("millstream_dstream_batch_duration_seconds", "Times that batches ran.");
const COMPLETED_TIMES: [Metric; 3] = [
    Metric::new(
        "millstream_dstream_last_completed_batch_submission_timestamp_seconds",
        "When the last completed batch was submitted.",
    ),
    Metric::new(
        "millstream_dstream_last_completed_batch_processing_start_timestamp_seconds",
        "When the last completed batch began to run.",
    ),
    Metric::new(
        "millstream_dstream_last_completed_batch_processing_end_timestamp_seconds",
        "When the last completed batch ended.",
    ),
];
const RECEIVED_TIMES: [Metric; 3] = [
    Metric::new(
        "millstream_dstream_last_received_batch_submission_timestamp_seconds",
        "When the newest batch was submitted.",
    ),
    Metric::new(
        "millstream_dstream_last_received_batch_processing_start_timestamp_seconds",
        "When the newest batch began to run, if it has.",
    ),
    Metric::new(
        "millstream_dstream_last_received_batch_processing_end_timestamp_seconds",
        "When the newest batch ended, if it has.",
    ),
];
const RECEIVED_RECORDS: Metric =
    Metric::new("millstream_dstream_last_received_batch_records", "Records of all inputs in the newest batch.");
const INPUT_RECORDS: Metric =
    Metric::new("millstream_dstream_input_records_total", "Records of the input in batches that were made.");
const RECEIVER_ACTIVE: Metric =
    Metric::new("millstream_dstream_receiver_active", "1 if the receiver runs, 0 if it has ended or starts anew.");
const RECEIVER_ERRORS: Metric =
    Metric::new("millstream_dstream_receiver_errors_total", "How often the receiver said that something is wrong.");
const BUFFERED: Metric = Metric::new(
    "millstream_dstream_receiver_buffered_bytes",
    "Bytes of received records whose batch is not done, in memory.",
);
const RATE_LIMIT: Metric = Metric::new(
    "millstream_dstream_receiver_rate_limit_records_per_second",
    "Records that the receiver may store in a second, if there is a limit.",
);

/// Tells contexts of one process apart.
static CONTEXTS: AtomicU64 = AtomicU64::new(0);

pub(crate) struct StreamMetrics {
    group: Group,
    state: Mutex<State>,
    waiting: Gauge,
    running: Gauge,
    unprocessed: Gauge,
    retained: Gauge,
    completed: Counter,
    received: Counter,
    processed: Counter,
    failed_outputs: Counter,
    scheduling: Gauge,
    processing: Gauge,
    total: Gauge,
    duration: Histogram,
    completed_times: Times,
    received_times: Times,
    received_records: Gauge,
}

#[derive(Default)]
struct State {
    waiting: u64,
    running: u64,
    newest: Option<Time>,
    inputs: BTreeMap<usize, Counter>,
    /// Records of batches that are not completed, by batch and input, as far as they are counted.
    counted: BTreeMap<(Time, usize), u64>,
    receivers: BTreeMap<usize, (Gauge, Counter)>,
}

/// Submission, begin and end of a batch.
struct Times([Gauge; 3]);

impl Times {
    fn new(group: &Group, metrics: [Metric; 3]) -> Self {
        Times(metrics.map(|metric| group.gauge(metric, &[])))
    }

    fn set(&self, batch: &BatchInfo) {
        let times = [Some(batch.submitted), batch.started, batch.ended];
        for (gauge, time) in self.0.iter().zip(times) {
            gauge.set(time.map_or(f64::NAN, |time| seconds(time - Time::EPOCH)));
        }
    }
}

impl StreamMetrics {
    pub fn new(registry: &Registry, conf: &Conf) -> Self {
        let number = CONTEXTS.fetch_add(1, Ordering::Relaxed).to_string();
        let app = conf.get("spark.app.name").unwrap_or_default();
        let group = registry.group(&[("app", app), ("context", &number)]);
        let metrics = StreamMetrics {
            state: Mutex::default(),
            waiting: group.gauge(WAITING, &[]),
            running: group.gauge(RUNNING, &[]),
            unprocessed: group.gauge(UNPROCESSED, &[]),
            retained: group.gauge(RETAINED, &[]),
            completed: group.counter(COMPLETED, &[]),
            received: group.counter(RECEIVED, &[]),
            processed: group.counter(PROCESSED, &[]),
            failed_outputs: group.counter(FAILED_OUTPUTS, &[]),
            scheduling: group.gauge(SCHEDULING, &[]),
            processing: group.gauge(PROCESSING, &[]),
            total: group.gauge(TOTAL, &[]),
            duration: group.histogram(DURATION, &[], BATCH_SECONDS),
            completed_times: Times::new(&group, COMPLETED_TIMES),
            received_times: Times::new(&group, RECEIVED_TIMES),
            received_records: group.gauge(RECEIVED_RECORDS, &[]),
            group,
        };
        metrics.retained.set(0.0);
        metrics.set_counts(&metrics.state.lock());
        metrics
    }

    /// Bytes that the receiver of an input holds.
    pub fn buffered_bytes(&self, input: usize) -> Gauge {
        self.group.gauge(BUFFERED, &[("stream", &input.to_string())])
    }

    /// Records a second that the receiver of an input may store.
    pub fn rate_limit(&self, input: usize) -> Gauge {
        self.group.gauge(RATE_LIMIT, &[("stream", &input.to_string())])
    }

    /// So many reports of completed batches are retained.
    pub fn set_retained(&self, batches: usize) {
        self.retained.set(batches as f64);
    }

    pub fn on_event(&self, event: &Event) {
        match event {
            Event::BatchSubmitted(batch) => self.submitted(batch),
            Event::BatchStarted(batch) => self.started(batch),
            Event::BatchCompleted(batch) => self.completed(batch),
            Event::OutputOperationCompleted(output) if output.failure.is_some() => self.failed_outputs.add(1),
            Event::ReceiverStarted(receiver) | Event::ReceiverStopped(receiver) => self.receiver(receiver, false),
            Event::ReceiverError(receiver) => self.receiver(receiver, true),
            Event::StreamingStarted { .. } | Event::OutputOperationStarted(_) | Event::OutputOperationCompleted(_) => {}
        }
    }

    fn submitted(&self, batch: &BatchInfo) {
        let mut state = self.state.lock();
        state.waiting += 1;
        state.newest = Some(batch.time);
        self.count_records(&mut state, batch);
        self.received_times.set(batch);
        self.set_counts(&state);
    }

    /// Adds the records that were not counted yet: sources that are read by ranges count them while the batch runs.
    fn count_records(&self, state: &mut State, batch: &BatchInfo) {
        for input in &batch.inputs {
            let before = state.counted.insert((batch.time, input.input), input.records).unwrap_or(0);
            let more = input.records.saturating_sub(before);
            let new = || self.group.counter(INPUT_RECORDS, &[("stream", &input.input.to_string())]);
            state.inputs.entry(input.input).or_insert_with(new).add(more);
            self.received.add(more);
        }
        if state.newest == Some(batch.time) {
            self.received_records.set(batch.records() as f64);
        }
    }

    fn started(&self, batch: &BatchInfo) {
        let mut state = self.state.lock();
        state.waiting = state.waiting.saturating_sub(1);
        state.running += 1;
        self.set_counts(&state);
        self.set_newest(&state, batch);
    }

    fn completed(&self, batch: &BatchInfo) {
        let mut state = self.state.lock();
        state.running = state.running.saturating_sub(1);
        self.count_records(&mut state, batch);
        state.counted.retain(|(time, _), _| *time != batch.time);
        self.set_counts(&state);
        self.set_newest(&state, batch);
        self.completed.add(1);
        self.processed.add(batch.records());
        self.completed_times.set(batch);
        let delays = [
            (&self.scheduling, batch.scheduling_delay()),
            (&self.processing, batch.processing_delay()),
            (&self.total, batch.total_delay()),
        ];
        for (gauge, delay) in delays {
            gauge.set(delay.map_or(f64::NAN, seconds));
        }
        if let Some(delay) = batch.processing_delay() {
            self.duration.observe(seconds(delay));
        }
    }

    fn receiver(&self, receiver: &ReceiverInfo, error: bool) {
        let number = receiver.input.to_string();
        let labels = [("stream", number.as_str()), ("receiver", receiver.name.as_str())];
        let new = || (self.group.gauge(RECEIVER_ACTIVE, &labels), self.group.counter(RECEIVER_ERRORS, &labels));
        let mut state = self.state.lock();
        let (active, errors) = state.receivers.entry(receiver.input).or_insert_with(new);
        active.set(f64::from(u8::from(receiver.active)));
        errors.add(u64::from(error));
    }

    fn set_counts(&self, state: &State) {
        self.waiting.set(state.waiting as f64);
        self.running.set(state.running as f64);
        self.unprocessed.set((state.waiting + state.running) as f64);
    }

    fn set_newest(&self, state: &State, batch: &BatchInfo) {
        if state.newest == Some(batch.time) {
            self.received_times.set(batch);
        }
    }
}

fn seconds(span: Span) -> f64 {
    span.as_ms() as f64 / 1000.0
}
