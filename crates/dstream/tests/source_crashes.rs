//! A crash at each step that changes a file, under a stateful program that reads files through the connectors: no row is lost, none is
//! counted twice, and a batch that is run again has the rows that it had.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use millstream_dstream::typed::StreamingContext;
use millstream_dstream::{Clock, Conf, ManualClock, Span, StreamError, Time};
use millstream_formats::faults::{Fault, FaultPlan};
use serde::Deserialize;

const INTERVAL: Duration = Duration::from_millis(1000);
const START: Time = Time::from_ms(1_000_000);
const PATIENCE: Duration = Duration::from_secs(20);
/// One a file, and a file a batch.
const NUMBERS: u64 = 5;
const KEYS: u64 = 2;

fn batch(n: i64) -> Time {
    START + Span::from(INTERVAL) * n
}

#[derive(Clone, Deserialize)]
struct Row {
    number: u64,
}

/// What the outputs of all processes have shown, by batch.
#[derive(Default)]
struct Shown {
    numbers: BTreeMap<Time, Vec<u64>>,
    /// Per key the numbers so far.
    states: BTreeMap<Time, BTreeMap<u64, Vec<u64>>>,
    differences: Vec<String>,
}

type Screen = Arc<Mutex<Shown>>;

fn note<T: PartialEq + std::fmt::Debug>(of: &mut BTreeMap<Time, T>, time: Time, value: T) -> Option<String> {
    let before = of.get(&time).filter(|before| **before != value);
    let difference = before.map(|before| format!("batch {time}: {before:?}, then {value:?}"));
    of.insert(time, value);
    difference
}

fn streams(ssc: &StreamingContext, dir: &Path, screen: &Screen) -> Result<(), StreamError> {
    let reader = ssc.read_stream("json").schema_of::<Row>()?.option("maxFilesPerTrigger", 1);
    let numbers = reader.load(dir.join("in").to_str())?.rows::<Row>()?.map(|row| row.number)?;
    let keyed = numbers.map(|number| (number % KEYS, number))?;
    let states = keyed.update_state_by_key(|new: Vec<u64>, before: Option<Vec<u64>>| {
        Some(before.unwrap_or_default().into_iter().chain(new).collect())
    })?;
    let states = states.checkpoint(INTERVAL * 2)?;
    let of_numbers = Arc::clone(screen);
    numbers.for_each_rdd(move |time, rdd| {
        let numbers = rdd.collect()?;
        let mut shown = of_numbers.lock().unwrap();
        let difference = note(&mut shown.numbers, time, numbers);
        shown.differences.extend(difference);
        Ok(())
    })?;
    let of_states = Arc::clone(screen);
    states.for_each_rdd(move |time, rdd| {
        let states = rdd.collect()?.into_iter().collect();
        let mut shown = of_states.lock().unwrap();
        let difference = note(&mut shown.states, time, states);
        shown.differences.extend(difference);
        Ok(())
    })
}

/// Runs a process from batch `from` on for as many batches as there are files, and two more; the last batch that was begun. It ends
/// earlier if the fault strikes.
fn run(dir: &Path, from: i64, screen: &Screen, plan: Option<&FaultPlan>) -> Result<i64, StreamError> {
    let struck = || plan.is_some_and(FaultPlan::struck);
    let clock = ManualClock::new(batch(from));
    let manual = Clock::Manual(Arc::clone(&clock));
    let conf = Conf::new().set("spark.default.parallelism", "1");
    let started = StreamingContext::get_or_create(dir.join("checkpoint"), INTERVAL, conf, manual, |ssc| {
        streams(ssc, dir, screen)
    });
    let started = started.and_then(|ssc| ssc.start().map(|()| ssc));
    let ssc = match started {
        Err(_) if struck() => return Ok(from),
        started => started?,
    };
    let mut last = from;
    while last < from + NUMBERS as i64 + 2 && !struck() {
        last += 1;
        clock.advance_to(batch(last));
        let checkpoint = dir.join(format!("checkpoint/checkpoint-{}", batch(last).as_ms()));
        let deadline = Instant::now() + PATIENCE;
        let done = || std::fs::read_to_string(&checkpoint).is_ok_and(|text| text.contains("\"pending\":[]"));
        while !struck() && !done() {
            let ended = ssc.await_termination(Some(Duration::from_millis(1)));
            assert!(ended.is_ok() || struck(), "{ended:?}");
            assert!(Instant::now() < deadline, "batch {last} is not done");
        }
    }
    ssc.stop(false)?;
    Ok(last)
}

fn verify(screen: &Screen, what: &str) {
    let shown = screen.lock().unwrap();
    assert!(shown.differences.is_empty(), "{what}: {:?}", shown.differences);
    let all: Vec<u64> = shown.numbers.values().flatten().copied().collect();
    assert_eq!(all, (0..NUMBERS).collect::<Vec<_>>(), "{what}: each once, in their order: {:?}", shown.numbers);
    for (time, states) in &shown.states {
        let so_far = shown.numbers.range(..=*time).flat_map(|(_, numbers)| numbers.iter().copied());
        let mut expected: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        so_far.for_each(|number| expected.entry(number % KEYS).or_default().push(number));
        assert_eq!(*states, expected, "{what}: batch {time}");
    }
}

fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let input = dir.path().join("in");
    std::fs::create_dir(&input).unwrap();
    for number in 0..NUMBERS {
        let path = input.join(format!("{number}.json"));
        std::fs::write(&path, format!("{{\"number\":{number}}}\n")).unwrap();
        let modified = std::time::SystemTime::now() - Duration::from_secs(1000 - number);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    }
    dir
}

#[test]
fn a_crash_anywhere_loses_no_row_and_gives_none_twice() {
    let (dir, screen) = (scratch(), Screen::default());
    let plan = FaultPlan::below(dir.path());
    run(dir.path(), 0, &screen, None).unwrap();
    verify(&screen, "without faults");
    let mut places: BTreeSet<(String, usize)> = BTreeSet::new();
    let mut hits: BTreeMap<String, usize> = BTreeMap::new();
    for step in plan.take_steps() {
        let hit = hits.entry(step.name.clone()).or_default();
        *hit += 1;
        places.insert((step.name, *hit));
    }
    drop(plan);
    for role in ["source_log", "checkpoint", "saved"] {
        assert!(hits.keys().any(|name| name.starts_with(role)), "no crash at {role}: {hits:?}");
    }
    let places: Vec<(String, usize)> = places.into_iter().collect();
    let (next, reached) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((step, hit)) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let what = format!("a crash in {step} at its hit {hit}");
                    let (dir, screen) = (scratch(), Screen::default());
                    let plan = FaultPlan::below(dir.path());
                    plan.arm(step, *hit, Fault::Crash);
                    let last = run(dir.path(), 0, &screen, Some(&plan)).unwrap_or_else(|e| panic!("{what}: {e}"));
                    reached.fetch_add(usize::from(plan.struck()), Ordering::Relaxed);
                    drop(plan);
                    run(dir.path(), last + 1, &screen, None).unwrap_or_else(|e| panic!("{what}, then: {e}"));
                    verify(&screen, &what);
                }
            });
        }
    });
    let reached = reached.into_inner();
    assert!(reached * 10 >= places.len() * 9, "{reached} of {}", places.len());
}

/// While the checkpoint cannot say what a batch is made of, its outputs wait; then they run, with nothing lost.
#[test]
fn a_disk_that_is_full_for_a_while_holds_the_batches_back() {
    let (dir, screen) = (scratch(), Screen::default());
    let clock = ManualClock::new(START);
    let manual = Clock::Manual(Arc::clone(&clock));
    let ssc = StreamingContext::get_or_create(dir.path().join("checkpoint"), INTERVAL, Conf::new(), manual, |ssc| {
        streams(ssc, dir.path(), &screen)
    });
    let ssc = ssc.unwrap();
    ssc.start().unwrap();
    let until = |what: &str, so: &dyn Fn() -> bool| {
        let deadline = Instant::now() + PATIENCE;
        while !so() {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    let shown = |n: i64| screen.lock().unwrap().states.contains_key(&batch(n));
    clock.advance_to(batch(1));
    until("the first batch", &|| shown(1));
    let done = dir.path().join(format!("checkpoint/checkpoint-{}", batch(1).as_ms()));
    until("its checkpoint", &|| std::fs::read_to_string(&done).is_ok_and(|text| text.contains("\"pending\":[]")));
    let plan = FaultPlan::below(&dir.path().join("checkpoint"));
    plan.arm("checkpoint::write", 1, Fault::Fails(28));
    clock.advance_to(batch(2));
    let error = ssc.await_termination(Some(PATIENCE)).unwrap_err().to_string();
    assert!(error.starts_with(&format!("Batch {}: write the checkpoint: ", batch(2))), "{error}");
    assert!(error.contains("No space left on device") && !shown(2), "{error}");
    plan.clear();
    clock.advance_to(batch(NUMBERS as i64 + 1));
    until("all batches", &|| shown(NUMBERS as i64 + 1));
    ssc.stop(false).unwrap();
    verify(&screen, "a full disk");
}
