//! The program, what it says of its batches, and what they must hold.
//!
//! A receiver is given numbers, each once. The program gives for each batch the numbers themselves, per key how many came in all and which
//! (a state), the same by `map_with_state`, the sum of the last three batches (a window with inverse), and saves the numbers as text files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use millstream_dstream::typed::{DStream, ItemReceiver, ItemStore, State, StateSpec, StreamingContext};
use millstream_dstream::{Clock, Conf, ManualClock, ReceiverControl, Span, StreamError, Time};
use millstream_formats::faults::crashes::fast_temp_dir;
use millstream_formats::faults::{Fault, FaultPlan, Step};

pub const INTERVAL: Duration = Duration::from_millis(1000);
const START: Time = Time::from_ms(1_000_000);
/// Numbers that are sent in all, and how many of them for a batch.
pub const NUMBERS: u64 = 8;
const PORTION: usize = 2;
const KEYS: u64 = 3;
const WINDOW_BATCHES: i64 = 3;
const PATIENCE: Duration = Duration::from_secs(20);

/// Time of batch `n`, counted from 1.
pub fn batch(n: i64) -> Time {
    START + Span::from(INTERVAL) * n
}

pub fn number(time: Time) -> i64 {
    (time - START).as_ms() / Span::from(INTERVAL).as_ms()
}

/// Gives what it is sent, and says when it has stored it.
struct Fed {
    numbers: Receiver<Vec<u64>>,
    stored: Sender<()>,
}

impl ItemReceiver<u64> for Fed {
    fn name(&self) -> &str {
        "Fed"
    }

    fn receive(&mut self, store: &mut ItemStore<'_, u64>) -> ReceiverControl {
        loop {
            match self.numbers.recv_timeout(Duration::from_millis(1)) {
                Ok(numbers) => match store.store(numbers) {
                    Ok(()) => drop(self.stored.send(())),
                    Err(control) => return control,
                },
                Err(RecvTimeoutError::Timeout) if !store.stopped() => {}
                Err(_) => return ReceiverControl::Stop { message: "the end".to_owned() },
            }
        }
    }
}

/// State of a key: how many numbers came, and which, as bits.
type Seen = (u64, u64);

/// What the outputs have shown, by batch.
#[derive(Debug, Default, Clone)]
pub struct Shown {
    pub numbers: BTreeMap<Time, BTreeSet<u64>>,
    pub states: BTreeMap<Time, BTreeMap<u64, Seen>>,
    /// The states of `map_with_state`, which must be the same.
    pub mapped: BTreeMap<Time, BTreeMap<u64, Seen>>,
    pub windows: BTreeMap<Time, BTreeMap<u64, u64>>,
}

impl Shown {
    /// All numbers of a state.
    pub fn counted(&self, time: Time) -> BTreeSet<u64> {
        let bits = self.states.get(&time).into_iter().flatten().fold(0, |bits, (_, seen)| bits | seen.1);
        (0..NUMBERS).filter(|n| bits & (1 << n) != 0).collect()
    }

    /// Whether no number is in the last state twice.
    pub fn counts_none_twice(&self) -> bool {
        let last = self.states.last_key_value().map(|(_, state)| state);
        last.into_iter().flatten().all(|(_, (count, bits))| *count == u64::from(bits.count_ones()))
    }

    pub fn all_numbers(&self) -> BTreeSet<u64> {
        self.numbers.values().flatten().copied().collect()
    }

    /// Compares the states and windows with what the numbers of the batches say.
    pub fn check(&self, what: &str) {
        for (time, state) in &self.states {
            let mut expected: BTreeMap<u64, Seen> = BTreeMap::new();
            for number in self.numbers.range(..=*time).flat_map(|(_, numbers)| numbers) {
                let seen = expected.entry(number % KEYS).or_default();
                *seen = (seen.0 + 1, seen.1 | 1 << number);
            }
            assert_eq!(*state, expected, "{what}: state of batch {}", number(*time));
        }
        for (time, mapped) in &self.mapped {
            assert_eq!(Some(mapped), self.states.get(time), "{what}: batch {}", number(*time));
        }
        for (time, window) in &self.windows {
            let from = *time - Span::from(INTERVAL) * (WINDOW_BATCHES - 1);
            let mut expected: BTreeMap<u64, u64> = BTreeMap::new();
            for number in self.numbers.range(from..=*time).flat_map(|(_, numbers)| numbers) {
                *expected.entry(number % KEYS).or_default() += number;
            }
            let window: BTreeMap<u64, u64> =
                window.iter().map(|(key, sum)| (*key, *sum)).filter(|(_, sum)| *sum > 0).collect();
            expected.retain(|_, sum| *sum > 0);
            assert_eq!(window, expected, "{what}: window of batch {}", number(*time));
        }
    }
}

/// The outputs of all processes so far. A batch that is run again must show the same.
#[derive(Clone, Default)]
pub struct Screen(Arc<Mutex<(Shown, Vec<String>)>>);

impl Screen {
    pub fn shown(&self) -> Shown {
        self.0.lock().unwrap().0.clone()
    }

    /// What was shown so far, on a screen of its own.
    pub fn copy(&self) -> Self {
        Screen(Arc::new(Mutex::new(self.0.lock().unwrap().clone())))
    }

    fn note<T: PartialEq + std::fmt::Debug>(
        &self,
        time: Time,
        of: impl FnOnce(&mut Shown) -> &mut BTreeMap<Time, T>,
        value: T,
    ) {
        let mut screen = self.0.lock().unwrap();
        let (shown, differences) = &mut *screen;
        let shown = of(shown);
        if let Some(before) = shown.get(&time).filter(|before| **before != value) {
            differences.push(format!("batch {}: {before:?}, then {value:?}", number(time)));
        }
        shown.insert(time, value);
    }

    /// What a batch has shown differently when it was run again.
    fn differences(&self) -> Vec<String> {
        self.0.lock().unwrap().1.clone()
    }
}

/// What kind of program it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Plain,
    /// Everything is brought to the disk.
    Synced,
    /// With `map_with_state`, for which the log is kept longer.
    Mapped,
    /// It goes on when rows are gone from the log.
    IgnoringLoss,
}

pub fn conf(mode: Mode) -> Conf {
    let sync = mode == Mode::Synced;
    Conf::new()
        .set("spark.streaming.receiver.writeAheadLog.enable", "true")
        .set("spark.streaming.receiver.writeAheadLog.closeFileAfterWrite", sync.to_string())
        .set("spark.streaming.receiver.writeAheadLog.rollingIntervalSecs", "2")
        .set("spark.millstream.checkpoint.fsync", sync.to_string())
        .set("spark.default.parallelism", "1")
        .set("spark.millstream.receiver.writeAheadLog.ignoreLoss", (mode == Mode::IgnoringLoss).to_string())
        .set("test.mapped", (mode == Mode::Mapped).to_string())
}

/// A process: the program from its start or from its checkpoint on.
pub struct Process {
    pub ssc: StreamingContext,
    clock: Arc<ManualClock>,
    feed: Sender<Vec<u64>>,
    stored: Receiver<()>,
    pub screen: Screen,
    batch: i64,
}

/// How a run of a process has ended.
#[derive(Debug)]
pub enum Ended {
    /// All numbers were sent and their batches are done.
    Complete,
    /// A fault has struck. The last batch that was begun.
    Struck(i64),
}

impl Process {
    /// Starts at the time of batch `now`.
    pub fn start(dir: &Path, now: i64, screen: &Screen, conf: Conf) -> Result<Self, StreamError> {
        let clock = ManualClock::new(batch(now));
        let (feed, numbers) = mpsc::channel();
        let (sender, stored) = mpsc::channel();
        let fed = Fed { numbers, stored: sender };
        let manual = Clock::Manual(Arc::clone(&clock));
        let mapped = conf.get("test.mapped") == Some("true");
        let ssc = StreamingContext::get_or_create(dir.join("checkpoint"), INTERVAL, conf, manual, |ssc| {
            streams(ssc, fed, dir, screen, mapped)
        })?;
        ssc.start()?;
        Ok(Process { ssc, clock, feed, stored, screen: screen.clone(), batch: now })
    }

    /// Sends numbers and waits until the receiver has them.
    pub fn send(&self, numbers: &[u64]) {
        self.feed.send(numbers.to_vec()).unwrap();
        self.stored.recv_timeout(PATIENCE).unwrap();
    }

    /// Moves the clock to the next batch.
    pub fn next_batch(&mut self) -> i64 {
        self.batch += 1;
        self.clock.advance_to(batch(self.batch));
        self.batch
    }

    /// Waits until the outputs of the batch have run; false if the fault of the plan has struck before.
    pub fn wait(&self, plan: Option<&FaultPlan>) -> Result<bool, StreamError> {
        let time = batch(self.batch);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.screen.shown();
            if shown.windows.contains_key(&time) {
                return Ok(true);
            }
            if plan.is_some_and(FaultPlan::struck) {
                return Ok(false);
            }
            self.ssc.await_termination(Some(Duration::from_millis(1)))?;
            assert!(Instant::now() < deadline, "batch {} does not come", self.batch);
        }
    }

    /// Waits until the checkpoint says that the batch is done, too.
    fn wait_for_checkpoint(&self, dir: &Path, plan: Option<&FaultPlan>) -> Result<bool, StreamError> {
        if !self.wait(plan)? {
            return Ok(false);
        }
        let path = dir.join(format!("checkpoint/checkpoint-{}", batch(self.batch).as_ms()));
        let deadline = Instant::now() + PATIENCE;
        while !std::fs::read_to_string(&path).is_ok_and(|text| text.contains("\"pending\":[]")) {
            if plan.is_some_and(FaultPlan::struck) {
                return Ok(false);
            }
            self.ssc.await_termination(Some(Duration::from_millis(1)))?;
            assert!(Instant::now() < deadline, "batch {} is not done", self.batch);
        }
        Ok(true)
    }

    pub fn stop(self) {
        self.ssc.stop(false).unwrap();
    }
}

fn streams(
    ssc: &StreamingContext,
    fed: Fed,
    dir: &Path,
    screen: &Screen,
    with_mapped: bool,
) -> Result<(), StreamError> {
    let numbers = ssc.durable_receiver_stream(fed)?;
    let keyed = numbers.map(|n: u64| (n % KEYS, n))?;
    let states = keyed.update_state_by_key(|numbers: Vec<u64>, seen: Option<Seen>| {
        let (count, bits) = seen.unwrap_or_default();
        Some((count + numbers.len() as u64, numbers.iter().fold(bits, |bits, n| bits | 1 << n)))
    })?;
    let states = states.checkpoint(INTERVAL * 2)?;
    let window = INTERVAL * WINDOW_BATCHES.try_into().unwrap();
    let sums = keyed.reduce_by_key_and_window_with_inverse(|a, b| a + b, |a, b| a - b, window, INTERVAL, None)?;
    let sums = sums.checkpoint(INTERVAL * 2)?;
    numbers.save_as_text_files(dir.join("out/numbers").to_str().unwrap(), None)?;
    let of_numbers = screen.clone();
    numbers.for_each_rdd(move |time, rdd| {
        of_numbers.note(time, |shown| &mut shown.numbers, rdd.collect()?.into_iter().collect());
        Ok(())
    })?;
    let of_states = screen.clone();
    states.for_each_rdd(move |time, rdd| {
        of_states.note(time, |shown| &mut shown.states, rdd.collect()?.into_iter().collect());
        Ok(())
    })?;
    if with_mapped {
        map_with_state(&keyed, screen)?;
    }
    let of_windows = screen.clone();
    sums.for_each_rdd(move |time, rdd| {
        let sums = rdd.collect()?.into_iter().filter(|(_, sum)| *sum > 0).collect();
        of_windows.note(time, |shown| &mut shown.windows, sums);
        Ok(())
    })
}

/// The same states by the other way to keep them.
fn map_with_state(keyed: &DStream<(u64, u64)>, screen: &Screen) -> Result<(), StreamError> {
    let spec = StateSpec::new(|_, number: Option<u64>, state: &mut State<Seen>| {
        let (count, bits) = state.get().copied().unwrap_or_default();
        let number = number?;
        state.update((count + 1, bits | 1 << number));
        Some(number)
    });
    let (mapped, snapshots) = keyed.map_with_state_snapshots(spec)?;
    mapped.checkpoint(INTERVAL * 3)?;
    let of_mapped = screen.clone();
    snapshots.for_each_rdd(move |time, rdd| {
        of_mapped.note(time, |shown| &mut shown.mapped, rdd.collect()?.into_iter().collect());
        Ok(())
    })?;
    mapped.for_each_rdd(|_, rdd| rdd.count().map(drop))
}

/// Runs a process from the time of batch `from` on until all numbers are counted, or the fault of the plan strikes. Numbers that were
/// promised must be counted before any is sent.
pub fn run(
    dir: &Path,
    from: i64,
    screen: &Screen,
    mode: Mode,
    promised: &BTreeSet<u64>,
    plan: Option<&FaultPlan>,
) -> Result<Ended, StreamError> {
    let struck = || plan.is_some_and(FaultPlan::struck);
    let mut process = match Process::start(dir, from, screen, conf(mode)) {
        Err(_) if struck() => return Ok(Ended::Struck(from)),
        started => started?,
    };
    let ended = batches(dir, &mut process, promised, plan);
    let last = process.batch;
    process.stop();
    match ended {
        Ok(true) if !struck() => Ok(Ended::Complete),
        Err(error) if !struck() => Err(error),
        _ => Ok(Ended::Struck(last)),
    }
}

fn batches(
    dir: &Path,
    process: &mut Process,
    promised: &BTreeSet<u64>,
    plan: Option<&FaultPlan>,
) -> Result<bool, StreamError> {
    process.next_batch();
    if !process.wait_for_checkpoint(dir, plan)? {
        return Ok(false);
    }
    let counted = process.screen.shown().counted(batch(process.batch));
    assert!(promised.is_subset(&counted), "{promised:?} were promised, {counted:?} are counted");
    let missing: Vec<u64> = (0..NUMBERS).filter(|number| !counted.contains(number)).collect();
    for portion in missing.chunks(PORTION).chain([[].as_slice(); 2]) {
        if !portion.is_empty() {
            process.send(portion);
        }
        process.next_batch();
        if !process.wait_for_checkpoint(dir, plan)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Compares all that was shown and saved with the model, when all numbers are counted.
pub fn verify(dir: &Path, screen: &Screen, what: &str) {
    let shown = screen.shown();
    assert!(screen.differences().is_empty(), "{what}: {:?}", screen.differences());
    shown.check(what);
    let (last, _) = shown.states.last_key_value().unwrap();
    assert_eq!(shown.counted(*last), (0..NUMBERS).collect(), "{what}");
    let sent: usize = shown.numbers.values().map(BTreeSet::len).sum();
    assert_eq!(sent as u64, NUMBERS, "{what}: {:?}", shown.numbers);
    let first = shown.numbers.first_key_value().map_or(0, |(time, _)| number(*time));
    assert_eq!(shown.numbers.len() as i64, number(*last) - first + 1, "{what}: no batch is left out");
    for (time, numbers) in &shown.numbers {
        let saved = dir.join(format!("out/numbers-{}", time.as_ms()));
        assert!(saved.join("_SUCCESS").exists(), "{what}: batch {}", number(*time));
        let parts = std::fs::read_dir(&saved).unwrap().map(|entry| entry.unwrap().path());
        let parts = parts.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("part-"));
        let text: String = parts.map(|path| std::fs::read_to_string(path).unwrap()).collect();
        let lines: BTreeSet<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(lines, *numbers, "{what}: batch {}", number(*time));
    }
}

/// The numbers in the write-ahead log.
pub fn logged(dir: &Path) -> BTreeSet<u64> {
    let mut numbers = BTreeSet::new();
    for entry in std::fs::read_dir(dir.join("checkpoint/receivedData")).into_iter().flatten() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let mut at = 12;
        while let Some(length) = bytes.get(at..at + 4) {
            let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
            let Some(payload) = bytes.get(at + 12..at + 12 + length) else { break };
            // A block; after its numbers there is a list of small numbers, each of them one byte.
            if payload[0] == 0 {
                numbers.extend(payload[26..].iter().map(|number| u64::from(*number)));
            }
            at += 12 + length;
        }
    }
    numbers
}

/// Waits until something is so.
pub fn until(what: &str, so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Every step of a run without faults, and how often it is reached.
pub fn all_steps(mode: Mode) -> BTreeMap<String, usize> {
    let dir = scratch();
    let plan = FaultPlan::below(dir.path());
    let screen = Screen::default();
    assert!(matches!(run(dir.path(), 0, &screen, mode, &BTreeSet::new(), None).unwrap(), Ended::Complete));
    verify(dir.path(), &screen, "without faults");
    let mut steps = BTreeMap::new();
    plan.take_steps().into_iter().for_each(|step| *steps.entry(step.name).or_default() += 1);
    steps
}

/// What is left by a crash.
pub struct Crashed {
    pub dir: tempfile::TempDir,
    pub screen: Screen,
    pub steps: Vec<Step>,
    /// The last batch that was begun.
    pub batch: i64,
}

/// Runs a process that crashes when it reaches the step for the `hit`-th time; nothing if it does not.
pub fn crash(step: &str, hit: usize, mode: Mode) -> Option<Crashed> {
    let (dir, screen) = (scratch(), Screen::default());
    let plan = FaultPlan::below(dir.path());
    plan.arm(step, hit, Fault::Crash);
    let ended = run(dir.path(), 0, &screen, mode, &BTreeSet::new(), Some(&plan)).unwrap();
    let Ended::Struck(batch) = ended else { return None };
    let steps = plan.take_steps();
    Some(Crashed { dir, screen, steps, batch })
}

pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(fast_temp_dir()).unwrap()
}
