//! The life of a query, with a source, a plan and a sink in memory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use millstream_connectors::sink::{BatchWriter, OutputMode, Sink};
use millstream_connectors::source::{Offset, Rows, Source};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_operators::stream_plan::{Batch, EventTimeStats, OperatorProgress, Output, StreamPlan};
use millstream_plan::resolved::{StreamOrigin, StreamTable};
use millstream_runtime::{Clock, ManualClock, Registry, Time};
use parking_lot::Mutex;

use crate::{QueryDefinition, QueryEvent, QueryManager, QuerySettings, StreamingQuery, Trigger, start};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("value", DataType::Int64, true)]))
}

fn rows(values: Vec<i64>) -> RecordBatch {
    RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(values))]).unwrap()
}

/// Numbers in memory; an offset is how many have been read. Two at a time unless unlimited.
#[derive(Clone, Default)]
struct Numbers(Arc<Mutex<Vec<i64>>>);

impl Numbers {
    fn add(&self, values: &[i64]) {
        self.0.lock().extend(values);
    }
}

struct NumberSource {
    numbers: Numbers,
    end: Mutex<Option<usize>>,
}

fn position(offset: Option<&Offset>) -> usize {
    offset.map_or(0, |o| o.parse().unwrap())
}

impl Source for NumberSource {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn description(&self) -> String {
        "Numbers".into()
    }

    fn latest_offset(&self, start: Option<&Offset>, unlimited: bool) -> Result<Option<Offset>, SparkError> {
        let known = self.end.lock().unwrap_or(self.numbers.0.lock().len());
        let begin = position(start);
        let end = if unlimited { known } else { known.min(begin + 2) };
        Ok(if end > begin { Some(end.to_string()) } else { start.cloned() })
    }

    fn read(&self, start: Option<&Offset>, end: &Offset, _: usize) -> Result<Vec<Rows>, SparkError> {
        let values = self.numbers.0.lock()[position(start)..position(Some(end))].to_vec();
        if values.contains(&-1) {
            return Err(SparkError::new(ExceptionClass::Arithmetic, "DIVIDE_BY_ZERO", "22012", "Division by zero."));
        }
        Ok(vec![Box::new(std::iter::once(Ok(rows(values))))])
    }

    fn fix_end(&self) -> Result<(), SparkError> {
        *self.end.lock() = Some(self.numbers.0.lock().len());
        Ok(())
    }

    fn stop(&self) {}
}

#[derive(Debug)]
struct NumberOrigin;

impl StreamOrigin for NumberOrigin {
    fn name(&self) -> String {
        "numbers".into()
    }

    fn as_any(&self) -> &(dyn std::any::Any + Send + Sync) {
        self
    }
}

/// Gives its input unchanged.
struct Identity {
    table: Arc<StreamTable>,
    input: Mutex<Vec<Rows>>,
    count: AtomicI64,
}

impl StreamPlan for Identity {
    fn sources(&self) -> Vec<Arc<StreamTable>> {
        vec![Arc::clone(&self.table)]
    }

    fn columns(&self, _: usize) -> Vec<String> {
        vec!["value".into()]
    }

    fn restore(&self, _: i64) -> Result<(), SparkError> {
        Ok(())
    }

    fn set_rows(&self, _: usize, rows: Vec<Rows>) {
        *self.input.lock() = rows;
    }

    fn run(&self, _: Batch, output: Output<'_>) -> Result<(), SparkError> {
        self.count.store(0, Ordering::Relaxed);
        for batch in std::mem::take(&mut *self.input.lock()).into_iter().flatten() {
            let batch = batch?;
            self.count.fetch_add(batch.num_rows() as i64, Ordering::Relaxed);
            output(0, batch)?;
        }
        Ok(())
    }

    fn commit(&self, _: Batch) -> Result<(), SparkError> {
        Ok(())
    }

    fn input_rows(&self) -> Vec<u64> {
        vec![self.count.load(Ordering::Relaxed) as u64]
    }

    fn event_times(&self) -> Vec<EventTimeStats> {
        Vec::new()
    }

    fn wants_batch(&self, _: i64, _: Batch) -> bool {
        false
    }

    fn progress(&self) -> Vec<OperatorProgress> {
        Vec::new()
    }

    fn observed(&self) -> BTreeMap<String, RecordBatch> {
        BTreeMap::new()
    }

    fn explain(&self, _: bool) -> String {
        "Identity".into()
    }
}

/// Keeps what each batch brought; can be told to fail.
#[derive(Clone, Default)]
struct Kept {
    batches: Arc<Mutex<BTreeMap<i64, Vec<i64>>>>,
    fails: Arc<AtomicBool>,
}

struct KeptWriter {
    kept: Kept,
    id: i64,
    values: Vec<i64>,
}

impl Sink for Kept {
    fn description(&self) -> String {
        "Kept".into()
    }

    fn begin(&self, id: i64, _: SchemaRef, _: OutputMode) -> Result<Option<Box<dyn BatchWriter>>, SparkError> {
        Ok(Some(Box::new(KeptWriter { kept: self.clone(), id, values: Vec::new() })))
    }
}

impl BatchWriter for KeptWriter {
    fn write(&mut self, _: usize, rows: RecordBatch) -> Result<(), SparkError> {
        self.values.extend(rows.column(0).as_primitive::<Int64Type>().values());
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<(), SparkError> {
        if self.kept.fails.load(Ordering::Relaxed) {
            return Err(SparkError::plain(ExceptionClass::Spark, "the disk is full"));
        }
        self.kept.batches.lock().insert(self.id, self.values);
        Ok(())
    }
}

struct World {
    numbers: Numbers,
    kept: Kept,
    manager: Arc<QueryManager>,
    clock: Clock,
    metrics: Registry,
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self {
            numbers: Numbers::default(),
            kept: Kept::default(),
            manager: Arc::default(),
            clock: Clock::System,
            metrics: Registry::default(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn checkpoint(&self) -> PathBuf {
        self.dir.path().join("checkpoint")
    }

    fn start_named(
        &self,
        trigger: Trigger,
        name: Option<&str>,
        checkpoint: &Path,
    ) -> Result<Arc<StreamingQuery>, SparkError> {
        let numbers = self.numbers.clone();
        let table = Arc::new(StreamTable { schema: schema(), id: 0, origin: Arc::new(NumberOrigin) });
        let pinned = BTreeMap::from([("spark.sql.shuffle.partitions".to_string(), "2".to_string())]);
        let definition = QueryDefinition {
            name: name.map(str::to_string),
            mode: OutputMode::Append,
            trigger,
            sink: Arc::new(self.kept.clone()),
            schema: schema(),
            checkpoint: checkpoint.to_path_buf(),
            checkpoint_is_temporary: false,
            settings: QuerySettings {
                polling_delay: Duration::from_millis(1),
                no_data_batches: true,
                idle_interval: Duration::from_secs(10),
                recent_progress_max: 100,
                batches_retained: 100,
                min_deltas_for_snapshot: 10,
                fsync: false,
                state_memory_max: None,
                scratch_dir: None,
                parallelism: 1,
                stop_active_run: true,
                pinned,
            },
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            now_us: Arc::default(),
            plan: Box::new(move |_| {
                Ok(Box::new(Identity { table, input: Mutex::default(), count: AtomicI64::new(0) }))
            }),
            open: Box::new(move |_, _, _| {
                Ok(Box::new(NumberSource { numbers: numbers.clone(), end: Mutex::new(None) }))
            }),
        };
        start(definition, &self.manager)
    }

    fn start(&self, trigger: Trigger) -> Arc<StreamingQuery> {
        self.start_named(trigger, None, &self.checkpoint()).unwrap()
    }

    fn batches(&self) -> Vec<(i64, Vec<i64>)> {
        self.kept.batches.lock().iter().map(|(id, values)| (*id, values.clone())).collect()
    }
}

const AS_SOON_AS_POSSIBLE: Trigger = Trigger::ProcessingTime(Duration::ZERO);

#[test]
fn what_was_there_when_asked_has_been_committed_when_the_call_returns() {
    let world = World::new();
    let query = world.start(AS_SOON_AS_POSSIBLE);
    world.numbers.add(&[1, 2, 3]);
    query.process_all_available().unwrap();
    assert_eq!(world.batches().into_iter().flat_map(|(_, v)| v).collect::<Vec<_>>(), [1, 2, 3]);
    query.stop();
    assert!(!query.is_active());
    assert_eq!(query.status().message, "Stopped");
    assert!(query.exception().is_none());
}

#[test]
fn available_now_respects_limits_and_ends() {
    let world = World::new();
    world.numbers.add(&[1, 2, 3]);
    let query = world.start(Trigger::AvailableNow);
    assert!(query.await_termination(Some(Duration::from_secs(20))).unwrap());
    assert_eq!(world.batches(), [(0, vec![1, 2]), (1, vec![3])]);
}

#[test]
fn once_takes_everything_in_one_batch() {
    let world = World::new();
    world.numbers.add(&[1, 2, 3]);
    assert!(world.start(Trigger::Once).await_termination(Some(Duration::from_secs(20))).unwrap());
    assert_eq!(world.batches(), [(0, vec![1, 2, 3])]);
}

#[test]
fn a_batch_that_was_not_committed_is_run_again_with_the_same_rows() {
    let world = World::new();
    world.numbers.add(&[1]);
    world.kept.fails.store(true, Ordering::Relaxed);
    let failed = world.start(Trigger::AvailableNow).await_termination(Some(Duration::from_secs(20))).unwrap_err();
    assert_eq!(failed.condition(), Some("STREAM_FAILED"));
    assert!(failed.to_string().contains("the disk is full"), "{failed}");

    // More has come meanwhile; the batch keeps its range all the same.
    world.numbers.add(&[2, 3]);
    world.kept.fails.store(false, Ordering::Relaxed);
    world.start(Trigger::AvailableNow).await_termination(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(world.batches(), [(0, vec![1]), (1, vec![2, 3])]);
}

#[test]
fn a_restarted_query_keeps_its_id_and_goes_on_after_the_last_commit() {
    let world = World::new();
    world.numbers.add(&[1, 2]);
    let first = world.start(Trigger::AvailableNow);
    first.await_termination(None).unwrap();
    world.numbers.add(&[3]);
    let second = world.start(Trigger::AvailableNow);
    second.await_termination(None).unwrap();
    assert_eq!(first.id(), second.id());
    assert_ne!(first.run_id(), second.run_id());
    assert_eq!(world.batches(), [(0, vec![1, 2]), (1, vec![3])]);
}

#[test]
fn a_failing_query_names_its_cause_and_the_others_go_on() {
    let world = World::new();
    let failing = world.start_named(AS_SOON_AS_POSSIBLE, Some("a"), &world.dir.path().join("a")).unwrap();
    world.numbers.add(&[-1]);
    let error = failing.process_all_available().unwrap_err();
    assert_eq!(error.cause().and_then(SparkError::condition), Some("DIVIDE_BY_ZERO"));
    assert_eq!(
        world.manager.await_any_termination(Some(Duration::from_secs(20))).unwrap_err().condition(),
        Some("STREAM_FAILED")
    );

    world.numbers.0.lock().clear();
    let healthy = world.start_named(AS_SOON_AS_POSSIBLE, Some("b"), &world.dir.path().join("b")).unwrap();
    world.numbers.add(&[5]);
    healthy.process_all_available().unwrap();
    assert_eq!(world.manager.active().len(), 1);
    healthy.stop();
}

#[test]
fn a_second_run_from_one_checkpoint_takes_the_place_of_the_first() {
    let world = World::new();
    let first = world.start(AS_SOON_AS_POSSIBLE);
    world.numbers.add(&[1]);
    first.process_all_available().unwrap();
    let second = world.start(AS_SOON_AS_POSSIBLE);
    assert!(!first.is_active() && first.exception().is_none());
    world.numbers.add(&[2]);
    second.process_all_available().unwrap();
    second.stop();
    assert_eq!(world.batches(), [(0, vec![1]), (1, vec![2])]);
}

#[test]
fn a_name_in_use_is_refused_until_its_query_has_ended() {
    let world = World::new();
    let first = world.start_named(AS_SOON_AS_POSSIBLE, Some("q"), &world.dir.path().join("1")).unwrap();
    let refused = world.start_named(AS_SOON_AS_POSSIBLE, Some("q"), &world.dir.path().join("2")).err().unwrap();
    assert_eq!(refused.class(), ExceptionClass::IllegalArgument);
    first.stop();
    world.start_named(AS_SOON_AS_POSSIBLE, Some("q"), &world.dir.path().join("2")).unwrap().stop();
}

#[test]
fn the_progress_tells_offsets_rows_and_phases() {
    let world = World::new();
    world.numbers.add(&[1, 2, 3]);
    let query = world.start(Trigger::AvailableNow);
    query.await_termination(None).unwrap();
    let last: serde_json::Value = serde_json::from_str(&query.last_progress().unwrap().to_json()).unwrap();
    assert_eq!(last["batchId"], 1);
    assert_eq!(last["numInputRows"], 1);
    assert_eq!(last["sources"][0]["startOffset"], "2");
    assert_eq!(last["sources"][0]["endOffset"], "3");
    assert_eq!(last["sink"]["numOutputRows"], 1);
    for phase in
        ["addBatch", "commitOffsets", "getBatch", "latestOffset", "queryPlanning", "triggerExecution", "walCommit"]
    {
        assert!(last["durationMs"][phase].is_u64(), "{phase}");
    }
}

#[test]
fn a_checkpoint_with_other_sources_is_refused() {
    let world = World::new();
    world.numbers.add(&[1]);
    world.start(Trigger::AvailableNow).await_termination(None).unwrap();
    let log = world.checkpoint().join("offsets").join("0");
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, format!("{text}\n5")).unwrap();
    let error = world.start(Trigger::AvailableNow).await_termination(None).unwrap_err();
    assert!(error.to_string().contains("offsets/0 is damaged"), "{error}");
    std::fs::remove_file(log.with_file_name(".0.crc")).unwrap();
    let error = world.start(Trigger::AvailableNow).await_termination(None).unwrap_err();
    assert!(error.to_string().contains("There are [2] sources in the checkpoint"), "{error}");
}

#[test]
fn a_processing_time_trigger_fires_at_the_multiples_of_its_interval_and_leaves_out_those_it_is_too_late_for() {
    const DEADLINE: Duration = Duration::from_secs(20);
    let clock = ManualClock::new(Time::from_ms(10_400));
    let world = World { clock: Clock::Manual(Arc::clone(&clock)), ..World::new() };
    world.numbers.add(&[1]);
    let query = world.start(Trigger::ProcessingTime(Duration::from_secs(1)));
    assert!(clock.await_waiter(Time::from_ms(11_000), DEADLINE), "the first batch runs at once");
    world.numbers.add(&[2]);
    clock.advance_to(Time::from_ms(10_999));
    assert_eq!(world.batches(), [(0, vec![1])]);
    clock.advance_to(Time::from_ms(11_000));
    assert!(clock.await_waiter(Time::from_ms(12_000), DEADLINE));
    world.numbers.add(&[3]);
    clock.advance_to(Time::from_ms(14_300));
    assert!(clock.await_waiter(Time::from_ms(15_000), DEADLINE), "12, 13 and 14 s are one trigger");
    assert_eq!(world.batches(), [(0, vec![1]), (1, vec![2]), (2, vec![3])]);
    let begun: Vec<i64> = query.recent_progress().iter().map(|progress| progress.timestamp_ms).collect();
    assert_eq!(begun, [10_400, 11_000, 14_300]);
    query.stop();
    assert!(!clock.await_waiter(Time::from_ms(15_000), Duration::ZERO), "a stop ends the wait");
}

#[test]
fn the_figures_of_a_query_add_up_over_its_batches_and_go_with_it() {
    let world = World::new();
    let query = world.start_named(AS_SOON_AS_POSSIBLE, Some("numbers"), &world.checkpoint()).unwrap();
    world.numbers.add(&[1, 2, 3]);
    query.process_all_available().unwrap();
    let text = world.metrics.text();
    let labels = format!("query=\"numbers\",id=\"{}\",run_id=\"{}\"", query.id(), query.run_id());
    for line in [
        format!("millstream_query_batch_id{{{labels}}} 1"),
        format!("millstream_query_batches_total{{{labels}}} 2"),
        format!("millstream_query_input_rows_total{{{labels},source=\"0\",description=\"Numbers\"}} 3"),
        format!("millstream_query_output_rows_total{{{labels}}} 3"),
        format!("millstream_query_batch_duration_seconds_count{{{labels}}} 2"),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(text.contains(&format!("millstream_query_phase_seconds{{{labels},phase=\"addBatch\"}}")), "{text}");
    query.stop();
    let left = world.metrics.text();
    assert!(!left.contains("numbers") && left.contains("terminations_total{result=\"stopped\"} 1\n"), "{left}");
}

#[test]
fn a_query_without_data_says_so_once_in_its_interval() {
    let clock = ManualClock::new(Time::from_ms(0));
    let world = World { clock: Clock::Manual(Arc::clone(&clock)), ..World::new() };
    let mut events = world.manager.subscribe();
    let query = world.start(Trigger::ProcessingTime(Duration::from_secs(4)));
    for n in 1..=6 {
        assert!(clock.await_waiter(Time::from_ms(n * 4000), Duration::from_secs(20)));
        clock.advance_to(Time::from_ms(n * 4000));
    }
    query.stop();
    let mut idle = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let QueryEvent::Idle(_, ms) = event {
            idle.push(ms);
        }
    }
    assert_eq!(idle.first_chunk(), Some(&[0, 12_000]), "of triggers at 0, 4, 8, 12, … s those that are 10 s apart");
}
