//! Streams of the connectors: what a batch takes, what a restart reads again, and what is said when something is wrong.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "each file of tests uses a part")]
mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use millstream_connectors::MemoryStream;
use millstream_connectors::source::{OpenContext, Origin, Rows, Source};
use millstream_dstream::typed::{DStream, StreamingContext};
use millstream_dstream::{BatchInfo, Clock, Conf, Event, ManualClock, SparkError, StreamError, Time};
use serde::Deserialize;

use support::{Bench, INTERVAL, START, Seen, batch, see, until};

#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Reading {
    sensor: String,
    value: i64,
}

fn reading(sensor: &str, value: i64) -> Reading {
    Reading { sensor: sensor.to_owned(), value }
}

/// A file, `age` seconds older than now, so that files have an order.
fn put(directory: &Path, name: &str, text: &str, age: u64) {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    let modified = std::time::SystemTime::now() - Duration::from_secs(age);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
}

fn put_reading(directory: &Path, value: i64) {
    put(directory, &format!("{value}.json"), &format!("{{\"sensor\":\"s\",\"value\":{value}}}\n"), 1000 - value as u64);
}

fn readings(ssc: &StreamingContext, directory: &Path) -> Result<DStream<Reading>, StreamError> {
    let reader = ssc.read_stream("json").schema_of::<Reading>()?.option("maxFilesPerTrigger", 1);
    reader.option("cleanSource", "delete").load(directory.to_str())?.rows::<Reading>()
}

fn completed(ssc: &StreamingContext) -> Receiver<BatchInfo> {
    let (sender, receiver) = channel();
    ssc.add_listener(move |event: &Event| {
        if let Event::BatchCompleted(info) = event {
            let _nobody_listens = sender.send(info.clone());
        }
    });
    receiver
}

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn files_come_by_their_limit_batch_after_batch_and_listeners_hear_which() {
    let dir = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let bench = Bench::with_conf(Conf::new().set("spark.local.dir", scratch.path().to_str().unwrap()));
    let seen = see(&readings(&bench.ssc, dir.path()).unwrap()).unwrap();
    let infos = completed(&bench.ssc);
    put(dir.path(), "a", "{\"sensor\":\"x\",\"value\":1}\n{\"sensor\":\"y\",\"value\":2}\n", 20);
    put(dir.path(), "b", "{\"sensor\":\"x\",\"value\":3}\n", 10);
    bench.ssc.start().unwrap();
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1, "the source's own log has a place");
    bench.to_batch(1);
    assert_eq!(seen.elements(), [reading("x", 1), reading("y", 2)]);
    bench.to_batch(2);
    assert_eq!(seen.elements(), [reading("x", 3)]);
    bench.to_batch(3);
    assert_eq!(seen.elements(), []);
    put(dir.path(), "c", "{\"sensor\":\"z\",\"value\":4}\n", 5);
    bench.to_batch(4);
    assert_eq!(seen.elements(), [reading("z", 4)]);

    let told: Vec<BatchInfo> = (0..4).map(|_| infos.recv_timeout(PATIENCE).unwrap()).collect();
    assert_eq!(told.iter().map(BatchInfo::records).collect::<Vec<_>>(), [2, 1, 0, 1]);
    let described: Vec<Option<&str>> = told.iter().map(|info| info.inputs[0].description.as_deref()).collect();
    let name = format!("FileSource[{}]", dir.path().display());
    assert_eq!(described[0], Some(&*format!("{name}: after the beginning up to {{\"logOffset\":0}}")));
    assert_eq!(described[1], Some(&*format!("{name}: after {{\"logOffset\":0}} up to {{\"logOffset\":1}}")));
    assert_eq!(described[2], None);
    bench.ssc.stop(false).unwrap();
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "the scratch directory goes with the context");
}

/// A program whose output fails as long as it is told to, and what its batches held when they did not fail.
struct Failing {
    ssc: StreamingContext,
    clock: Arc<ManualClock>,
    fail: Arc<AtomicBool>,
    seen: Receiver<(Time, Vec<i64>)>,
}

fn failing(dir: &Path, now: Time) -> Failing {
    let (clock, fail) = (ManualClock::new(now), Arc::new(AtomicBool::new(false)));
    let (sender, seen) = channel();
    let (manual, told) = (Clock::Manual(Arc::clone(&clock)), Arc::clone(&fail));
    let directory = dir.join("checkpoint");
    let ssc = StreamingContext::get_or_create(directory, INTERVAL, Conf::new(), manual, |ssc| {
        readings(ssc, &dir.join("in"))?.for_each_rdd(move |time, rdd| {
            let values: Vec<i64> = rdd.collect()?.into_iter().map(|reading| reading.value).collect();
            if told.load(Ordering::SeqCst) {
                return Err(StreamError::Invalid("as told".to_owned()));
            }
            let _nobody_listens = sender.send((time, values));
            Ok(())
        })
    });
    Failing { ssc: ssc.unwrap(), clock, fail, seen }
}

#[test]
fn after_a_restart_a_batch_that_was_not_done_reads_its_own_range_again_and_nothing_comes_twice() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in");
    std::fs::create_dir(&input).unwrap();
    (1..=4).for_each(|value| put_reading(&input, value));

    let first = failing(dir.path(), START);
    first.ssc.start().unwrap();
    first.clock.advance_to(batch(1));
    assert_eq!(first.seen.recv_timeout(PATIENCE).unwrap(), (batch(1), vec![1]));
    first.fail.store(true, Ordering::SeqCst);
    first.clock.advance_to(batch(2));
    let error = first.ssc.await_termination(Some(PATIENCE)).unwrap_err();
    assert_eq!(error.to_string(), "as told");
    first.fail.store(false, Ordering::SeqCst);
    first.clock.advance_to(batch(3));
    assert_eq!(first.seen.recv_timeout(PATIENCE).unwrap(), (batch(3), vec![3]), "later batches go on behind it");
    let infos = completed(&first.ssc);
    first.clock.advance_to(batch(5));
    let rest: Vec<_> = (0..2).map(|_| first.seen.recv_timeout(PATIENCE).unwrap()).collect();
    assert_eq!(rest, [(batch(4), vec![4]), (batch(5), vec![])]);
    while infos.recv_timeout(PATIENCE).unwrap().time < batch(5) {}
    first.ssc.stop(false).unwrap();
    drop(first);

    let there = |value: i64| input.join(format!("{value}.json")).exists();
    assert!(!there(1), "what no batch and no checkpoint can ask for is cleaned");
    assert!(there(2) && there(3) && there(4), "what comes behind a batch that failed is not");

    (5..=6).for_each(|value| put_reading(&input, value));
    let second = failing(dir.path(), batch(7));
    second.ssc.start().unwrap();
    second.clock.advance_to(batch(9));
    let mut seen = BTreeMap::new();
    while seen.last_key_value().is_none_or(|(time, _)| *time < batch(9)) {
        let (time, values) = second.seen.recv_timeout(PATIENCE).unwrap();
        assert_eq!(seen.insert(time, values), None, "a batch is run once");
    }
    assert_eq!(seen[&batch(2)], [2], "the batch that failed has the file that it had");
    assert!(!seen.contains_key(&batch(1)) && !seen.contains_key(&batch(3)), "{seen:?}");
    let after: Vec<i64> = seen.range(batch(5)..).flat_map(|(_, values)| values.clone()).collect();
    assert_eq!(after, [5, 6]);
    second.ssc.stop(false).unwrap();
}

#[test]
fn what_a_batch_is_made_of_is_in_the_checkpoint_before_its_output_runs() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in");
    std::fs::create_dir(&input).unwrap();
    put_reading(&input, 1);
    let clock = ManualClock::new(START);
    let (sender, receiver) = channel();
    let checkpoint = dir.path().join("checkpoint");
    let ssc = StreamingContext::with_conf(INTERVAL, Conf::new(), Clock::Manual(Arc::clone(&clock))).unwrap();
    ssc.checkpoint(&checkpoint);
    let look = checkpoint.join(format!("checkpoint-{}", batch(1).as_ms()));
    let values = readings(&ssc, &input).unwrap();
    values
        .for_each_rdd(move |_, _| {
            let _nobody_listens = sender.send(std::fs::read_to_string(&look));
            Ok(())
        })
        .unwrap();
    ssc.start().unwrap();
    clock.advance_to(batch(1));
    let written = receiver.recv_timeout(PATIENCE).unwrap().unwrap();
    assert!(written.contains(r#""position":"{\"logOffset\":0}""#), "{written}");
    assert!(checkpoint.join("sourceData/0/0").is_file(), "the source's own log lies below the checkpoint");
}

#[test]
fn the_checkpoint_of_another_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let program = |input: &str| {
        let input = dir.path().join(input);
        std::fs::create_dir_all(&input).unwrap();
        let clock = ManualClock::new(START);
        let manual = Clock::Manual(Arc::clone(&clock));
        let mut seen = None;
        let ssc = StreamingContext::get_or_create(dir.path().join("c"), INTERVAL, Conf::new(), manual, |ssc| {
            seen = Some(see(&readings(ssc, &input)?)?);
            Ok(())
        });
        (ssc.unwrap(), clock, seen.unwrap())
    };
    let (first, clock, seen) = program("a");
    first.start().unwrap();
    clock.advance_to(batch(1));
    seen.next();
    first.stop(false).unwrap();
    drop(first);
    let error = program("b").0.start().unwrap_err().to_string();
    assert!(error.contains("The checkpoint has offsets of `FileSource[") && error.contains("/b]`"), "{error}");
}

fn values(rows: &[RecordBatch], column: usize) -> Vec<i64> {
    let mut values: Vec<i64> =
        rows.iter().flat_map(|rows| rows.column(column).as_primitive::<Int64Type>().values().to_vec()).collect();
    values.sort_unstable();
    values
}

/// A row of the rate sources.
#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Tick {
    timestamp: i64,
    value: i64,
}

/// A row of text.
#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Line {
    value: String,
}

#[test]
fn every_format_has_its_columns_and_those_that_are_wanted_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::new();
    let read = |format: &str| bench.ssc.read_stream(format);
    let path = dir.path().to_str();
    let lines = see(&read("text").load(path).unwrap().rows::<Line>().unwrap()).unwrap();
    let csv = read("CSV").schema_of::<Reading>().unwrap().option("HEADER", true).select(["value"]);
    let csv = csv.load(path).unwrap();
    let (columns, values) = (csv.map(|rows| rows.num_columns()).unwrap(), csv.rows::<Number>().unwrap());
    let (columns, values) = (see(&columns).unwrap(), see(&values.map(|number| number.value).unwrap()).unwrap());
    let ticks = read("rate-micro-batch").options([("rowsPerBatch", 2), ("numPartitions", 1)]);
    let ticks = see(&ticks.load(None).unwrap().rows::<Tick>().unwrap()).unwrap();
    put(dir.path(), "a.csv", "sensor,value\nx,1\ny,2\n", 10);
    bench.ssc.start().unwrap();
    bench.to_batch(1);
    let expected = ["sensor,value", "x,1", "y,2"].map(|value| Line { value: value.to_owned() });
    assert_eq!(lines.elements(), expected);
    assert_eq!((columns.elements(), values.elements()), (vec![1], vec![1, 2]));
    bench.to_batch(2);
    ticks.next();
    assert_eq!(ticks.elements(), [2, 3].map(|value| Tick { timestamp: 1_000_000, value }));
}

#[test]
fn the_rate_sources_give_each_number_once() {
    let bench = Bench::new();
    let rate = bench.ssc.read_stream("rate-micro-batch").option("rowsPerBatch", 5).option("advanceMillisPerBatch", 70);
    let rows = see(&rate.load(None).unwrap()).unwrap();
    bench.ssc.start().unwrap();
    for n in 1..=3 {
        bench.to_batch(n);
        let rows = rows.elements();
        assert_eq!(values(&rows, 1), ((n - 1) * 5..n * 5).collect::<Vec<_>>());
        let times = rows.iter().flat_map(|rows| rows.column(0).as_primitive::<TimestampMicrosecondType>().values());
        assert!(times.copied().all(|time| time == (n - 1) * 70_000));
    }

    let ssc = StreamingContext::new(Duration::from_millis(100)).unwrap();
    let rows = see(&ssc.read_stream("rate").option("rowsPerSecond", 4).load(None).unwrap()).unwrap();
    ssc.start().unwrap();
    let mut numbers = Vec::new();
    while numbers.len() < 8 {
        numbers.extend(values(&rows.elements(), 1));
    }
    assert_eq!(numbers, (0..numbers.len() as i64).collect::<Vec<_>>());
}

fn numbers() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("value", DataType::Int64, true)]))
}

fn add(stream: &MemoryStream, values: &[i64]) {
    let column = Arc::new(Int64Array::from(values.to_vec()));
    stream.add(RecordBatch::try_new(numbers(), vec![column]).unwrap()).unwrap();
}

#[derive(Clone, Deserialize)]
struct Number {
    value: i64,
}

#[test]
fn a_source_in_memory_goes_through_windows_unions_and_states_and_is_committed_behind_them() {
    let bench = Bench::new();
    let (a, b) = (MemoryStream::new(numbers()), MemoryStream::new(numbers()));
    let stream = |memory: &MemoryStream| bench.ssc.source_stream(Arc::new(memory.clone())).unwrap();
    let (left, right) = (stream(&a), stream(&b));
    let value = |number: Number| number.value;
    let both = left.union(&right).unwrap().rows::<Number>().unwrap().map(value).unwrap();
    let union: Seen<i64> = see(&both).unwrap();
    let window = see(&left.window(INTERVAL * 2, INTERVAL).unwrap().count_rows().unwrap()).unwrap();
    let max = both.transform(|_, rdd| Ok(rdd.filter(|value| value % 2 == 0))).unwrap().reduce(i64::max).unwrap();
    let max = see(&max).unwrap();
    bench.ssc.start().unwrap();
    // What comes on the left and on the right; then their union, the rows in the window, the greatest even number.
    type Row = (&'static [i64], &'static [i64], &'static [i64], u64, &'static [i64]);
    let expected: [Row; 4] = [
        (&[1, 2], &[3], &[1, 2, 3], 2, &[2]),
        (&[4], &[], &[4], 3, &[4]),
        (&[], &[], &[], 1, &[]),
        (&[5, 6], &[8], &[5, 6, 8], 2, &[8]),
    ];
    for (n, (left, right, all, counted, greatest)) in (1..).zip(expected) {
        [(&a, left), (&b, right)].iter().filter(|(_, rows)| !rows.is_empty()).for_each(|(to, rows)| add(to, rows));
        bench.to_batch(n);
        assert_eq!((union.sorted(), window.elements(), max.elements()), (all.into(), vec![counted], greatest.into()));
    }
    let context = OpenContext { metadata_dir: "unused".into(), columns: None, conf: Arc::new(|_| None) };
    let again = a.open(context).unwrap();
    until("what no window can ask for is committed", || again.read(None, &"0".to_owned(), 1).is_err());
    assert!(again.read(Some(&"1".to_owned()), &"2".to_owned(), 1).is_ok(), "what it can ask for is not");
}

/// A source in memory that does not answer when it is told so.
#[derive(Clone)]
struct Flaky {
    memory: MemoryStream,
    fails: Arc<AtomicBool>,
}

impl Origin for Flaky {
    fn name(&self) -> String {
        "Flaky".to_owned()
    }

    fn schema(&self) -> SchemaRef {
        self.memory.schema()
    }

    fn open(&self, context: OpenContext) -> Result<Box<dyn Source>, SparkError> {
        let source = self.memory.open(context)?;
        Ok(Box::new(FlakySource { source, fails: Arc::clone(&self.fails) }))
    }
}

struct FlakySource {
    source: Box<dyn Source>,
    fails: Arc<AtomicBool>,
}

impl Source for FlakySource {
    fn schema(&self) -> SchemaRef {
        self.source.schema()
    }

    fn description(&self) -> String {
        self.source.description()
    }

    fn latest_offset(&self, start: Option<&String>, unlimited: bool) -> Result<Option<String>, SparkError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(SparkError::unsupported("An answer"));
        }
        self.source.latest_offset(start, unlimited)
    }

    fn read(&self, start: Option<&String>, end: &String, partitions: usize) -> Result<Vec<Rows>, SparkError> {
        self.source.read(start, end, partitions)
    }

    fn commit(&self, end: &String) -> Result<(), SparkError> {
        self.source.commit(end)
    }

    fn fix_end(&self) -> Result<(), SparkError> {
        self.source.fix_end()
    }

    fn stop(&self) {
        self.source.stop();
    }
}

#[test]
fn a_batch_that_a_source_does_not_let_be_made_comes_with_the_recovery() {
    let dir = tempfile::tempdir().unwrap();
    let plain = MemoryStream::new(numbers());
    let flaky = Flaky { memory: MemoryStream::new(numbers()), fails: Arc::default() };
    let program = |now: Time| {
        let clock = ManualClock::new(now);
        let (manual, mut seen) = (Clock::Manual(Arc::clone(&clock)), None);
        let ssc = StreamingContext::get_or_create(dir.path().join("c"), INTERVAL, Conf::new(), manual, |ssc| {
            let left = ssc.source_stream(Arc::new(plain.clone()))?;
            let both = left.union(&ssc.source_stream(Arc::new(flaky.clone()))?)?;
            seen = Some(see(&both.rows::<Number>()?.map(|number| number.value)?)?);
            Ok(())
        });
        (ssc.unwrap(), clock, seen.unwrap())
    };
    let (first, clock, seen) = program(START);
    first.start().unwrap();
    add(&plain, &[1]);
    add(&flaky.memory, &[10]);
    clock.advance_to(batch(1));
    assert_eq!(seen.elements(), [1, 10]);
    add(&plain, &[2]);
    add(&flaky.memory, &[20]);
    flaky.fails.store(true, Ordering::SeqCst);
    clock.advance_to(batch(2));
    let error = first.await_termination(Some(PATIENCE)).unwrap_err().to_string();
    assert!(error.starts_with("Source `Flaky`, after 0: [UNSUPPORTED_FEATURE] An answer is not"), "{error}");
    flaky.fails.store(false, Ordering::SeqCst);
    add(&plain, &[3]);
    clock.advance_to(batch(3));
    assert_eq!(seen.next(), (batch(3), vec![3, 20]), "it begins where it was");
    first.stop(false).unwrap();
    drop(first);

    let (second, _, seen) = program(batch(3));
    second.start().unwrap();
    assert_eq!(seen.next(), (batch(2), vec![2]), "what the other one gave to the batch is not lost");
}

#[test]
fn a_row_that_is_no_json_fails_its_batch_with_the_range_and_later_batches_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::new();
    let reader = bench.ssc.read_stream("json").schema_of::<Reading>().unwrap();
    let reader = reader.options([("mode", "FAILFAST"), ("maxFilesPerTrigger", "1")]);
    let rows = reader.load(dir.path().to_str()).unwrap().rows::<Reading>().unwrap();
    let seen = see(&rows).unwrap();
    put(dir.path(), "bad", "{\"sensor\": oops\n", 20);
    put(dir.path(), "good", "{\"sensor\":\"x\",\"value\":3}\n", 10);
    bench.ssc.start().unwrap();
    bench.to_batch(1);
    let error = bench.ssc.await_termination(Some(PATIENCE)).unwrap_err().to_string();
    let place = format!(
        "Source `FileSource[{}]`, batch {}, after the beginning up to {{\"logOffset\":0}}: ",
        dir.path().display(),
        batch(1)
    );
    assert!(error.starts_with(&place), "{error}");
    assert!(error.contains("/bad.") && error.contains("; caused by: ") && error.contains("FAILFAST"), "{error}");
    bench.to_batch(2);
    assert_eq!(seen.elements(), [reading("x", 3)]);
}

#[test]
fn what_is_wrong_with_a_source_is_said_when_it_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str();
    let bench = Bench::new();
    let json = || bench.ssc.read_stream("json").schema(numbers());
    let error = |loaded: Result<DStream<RecordBatch>, StreamError>| loaded.err().map(|e| e.to_string()).unwrap();

    let unknown = error(bench.ssc.read_stream("papyrus").load(path));
    assert!(unknown.starts_with("[DATA_SOURCE_NOT_FOUND] Failed to find the data source: papyrus."), "{unknown}");
    let unserved = error(bench.ssc.read_stream("kafka").load(None));
    assert!(unserved.contains("The data source kafka is not supported by Millstream."), "{unserved}");
    assert!(error(bench.ssc.read_stream("json").load(path)).starts_with("[_LEGACY_ERROR_TEMP_2048] Schema must be"));
    let option = error(json().option("maxFilesPerTrigger", "many").load(path));
    assert_eq!(option, "Invalid value 'many' for option 'maxFilesPerTrigger', must be a positive integer");
    let ramp =
        error(bench.ssc.read_stream("rate").option("rowsPerSecond", i64::MAX).option("rampUpTime", "5s").load(None));
    assert!(ramp.starts_with("[INCORRECT_RAMP_UP_RATE]"), "{ramp}");
    assert!(error(json().load(None)).contains("'path' is not specified."));
    assert!(error(json().option("path", "/in").load(path)).contains("Either remove the path option"));
    assert!(error(json().load("/no/such/directory")).starts_with("[PATH_NOT_FOUND]"));
    let column = error(json().select(["values"]).load(path));
    assert!(column.ends_with("has no column `values`; its columns are value"), "{column}");
    let no_struct = bench.ssc.read_stream("json").schema_of::<u8>().err().unwrap().to_string();
    assert!(no_struct.contains("The columns of `u8` cannot be found"), "{no_struct}");
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
enum Kind {
    Home,
    Work,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Address {
    kind: Kind,
    zip: u32,
    lines: Vec<String>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Person {
    name: String,
    age: Option<u8>,
    addresses: Vec<Address>,
    main: Address,
    scores: BTreeMap<String, f64>,
}

const ANN: &str = r#"{"name":"Ann","age":41,"addresses":[{"kind":"Home","zip":8000,"lines":["a","b"]}],"main":{"kind":"Work","zip":1,"lines":[]},"scores":{"x":0.5,"y":2}}"#;

#[test]
fn rows_become_structs_in_structs_and_one_that_does_not_fit_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::new();
    let reader = bench.ssc.read_stream("json").schema_of::<Person>().unwrap().option("maxFilesPerTrigger", 1);
    let people = reader.load(dir.path().to_str()).unwrap().rows::<Person>().unwrap();
    let seen = see(&people).unwrap();
    let bob = ANN.replace("Ann", "Bob").replace("\"age\":41,", "");
    put(dir.path(), "1", &format!("{ANN}\n{bob}\n"), 50);
    put(dir.path(), "2", &format!("{ANN}\n{}\n", ANN.replace("\"zip\":1,", "")), 40);
    put(dir.path(), "3", &format!("{ANN}\n{ANN}\n{}\n", ANN.replace(":8000", ":-1")), 30);
    put(dir.path(), "4", &format!("{}\n", ANN.replace("Work", "Moon")), 20);
    put(dir.path(), "5", &format!("{}\n", ANN.replace(":41", ":300")), 10);
    bench.ssc.start().unwrap();

    bench.to_batch(1);
    let home = Address { kind: Kind::Home, zip: 8000, lines: vec!["a".to_owned(), "b".to_owned()] };
    let main = Address { kind: Kind::Work, zip: 1, lines: Vec::new() };
    let scores = BTreeMap::from([("x".to_owned(), 0.5), ("y".to_owned(), 2.0)]);
    let ann = Person { name: "Ann".to_owned(), age: Some(41), addresses: vec![home], main, scores };
    assert_eq!(seen.elements(), [ann.clone(), Person { name: "Bob".to_owned(), age: None, ..ann }]);

    let mut before = String::new();
    for (n, row, column, reason) in [
        (2, 1, "main.zip", "required array value is null"),
        (3, 2, "addresses.element.zip", "integer conversion failed: out of range integral type conversion attempted"),
        (4, 0, "main.kind", "unknown variant `Moon`, expected `Home` or `Work`"),
        (5, 0, "age", "integer conversion failed: out of range integral type conversion attempted"),
    ] {
        bench.to_batch(n);
        until("the error of the batch", || {
            bench.ssc.await_termination(Some(Duration::ZERO)).is_err_and(|e| e.to_string() != before)
        });
        let error = bench.ssc.await_termination(Some(Duration::ZERO)).unwrap_err();
        before = error.to_string();
        let wanted = std::any::type_name::<Person>();
        let expected =
            format!("Row {row} of partition 0 in the batch {} is no `{wanted}`: column `{column}`: {reason}", batch(n));
        assert_eq!(before, expected);
    }
}

#[test]
fn the_socket_source_is_read_at_the_rate_that_is_allowed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let conf = Conf::new()
        .set("spark.streaming.backpressure.enabled", "true")
        .set("spark.streaming.backpressure.initialRate", "2");
    let bench = Bench::with_conf(conf);
    let socket = bench.ssc.read_stream("socket").option("host", "127.0.0.1").option("port", port);
    let seen = see(&socket.load(None).unwrap().count_rows().unwrap()).unwrap();
    bench.ssc.start().unwrap();
    bench.to_batch(1);
    assert_eq!(seen.elements(), [0], "the first batch only connects");
    let mut peer = listener.accept().unwrap().0;
    peer.write_all(b"a\nb\nc\nd\ne\n").unwrap();
    peer.shutdown(std::net::Shutdown::Both).unwrap();
    let mut counts = Vec::new();
    for n in 2.. {
        bench.to_batch(n);
        counts.push(seen.elements()[0]);
        if counts.iter().sum::<u64>() == 5 {
            break;
        }
    }
    assert!(counts.iter().all(|count| *count <= 2), "{counts:?}");
}

#[test]
fn a_server_that_is_not_there_fails_batches_until_it_is() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let bench = Bench::new();
    let socket = bench.ssc.read_stream("socket").option("host", "127.0.0.1").option("port", port);
    let seen = see(&socket.load(None).unwrap().count_rows().unwrap()).unwrap();
    bench.ssc.start().unwrap();
    bench.to_batch(1);
    let error = bench.ssc.await_termination(Some(PATIENCE)).unwrap_err().to_string();
    assert_eq!(error, format!("Source `socket`, batch {}, after the beginning up to -1: Connection refused", batch(1)));
    let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    bench.to_batch(2);
    assert_eq!(seen.elements(), [0]);
}
