//! Going on from a checkpoint: after a stop, and after `kill -9` at any moment.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "each file of tests uses a part")]
mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use millstream_dstream::typed::{DStream, Rdd, StreamingContext, Text};
use millstream_dstream::{Clock, Conf, FileSelection, ManualClock, Span, StreamError, Time};

use support::{Bench, INTERVAL, START, Seen, batch, see, until};

fn put(directory: &Path, name: &str, text: &str, at: Time) {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    let modified = std::time::UNIX_EPOCH + Duration::from_millis(at.as_ms().try_into().unwrap());
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
}

fn totals(lines: &DStream<Text>) -> Result<DStream<(Text, u64)>, StreamError> {
    let words = lines.flat_map(|line| line.split_owned(b' '))?.map(|word| (word, 1_u64))?;
    words.update_state_by_key(|values: Vec<u64>, state: Option<u64>| {
        Some(state.unwrap_or(0) + values.iter().sum::<u64>())
    })
}

/// A program that counts the words of files, started at some time.
struct Files {
    ssc: StreamingContext,
    clock: Arc<ManualClock>,
    totals: Seen<(Text, u64)>,
    window: Seen<(Text, u64)>,
}

fn files(dir: &Path, now: Time) -> Result<Files, StreamError> {
    let clock = ManualClock::new(now);
    let mut seen = None;
    let ssc = StreamingContext::get_or_create(
        dir.join("checkpoint"),
        INTERVAL,
        Conf::new(),
        Clock::Manual(Arc::clone(&clock)),
        |ssc| {
            let lines = ssc.file_stream(FileSelection::new(dir.join("in").to_str().unwrap()))?;
            let words = lines.flat_map(|line| line.split_owned(b' '))?.map(|word| (word, 1_u64))?;
            let window = words.reduce_by_key_and_window_with_inverse(
                |a, b| a + b,
                |a, b| a - b,
                INTERVAL * 30,
                INTERVAL,
                None,
            )?;
            seen = Some((see(&totals(&lines)?)?, see(&window)?));
            Ok(())
        },
    )?;
    let (totals, window) = seen.unwrap();
    Ok(Files { ssc, clock, totals, window })
}

fn pairs(pairs: &[(&str, u64)]) -> Vec<(Text, u64)> {
    pairs.iter().map(|(word, count)| (Text::from(*word), *count)).collect()
}

#[test]
fn state_and_windows_go_on_and_batches_of_the_missed_time_are_run_first() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in");
    std::fs::create_dir(&input).unwrap();

    let first = files(dir.path(), START).unwrap();
    first.ssc.start().unwrap();
    put(&input, "1", "a b a\n", batch(1));
    first.clock.advance_to(batch(1));
    assert_eq!(
        (first.totals.sorted(), first.window.sorted()),
        (pairs(&[("a", 2), ("b", 1)]), pairs(&[("a", 2), ("b", 1)]))
    );
    // Beyond the first save of the state, after ten seconds, and beyond what is kept of checkpoints.
    for n in 2..=14 {
        if n == 12 {
            put(&input, "2", "a\n", batch(12));
        }
        first.clock.advance_to(batch(n));
        let expected = pairs(&[("a", if n < 12 { 2 } else { 3 }), ("b", 1)]);
        assert_eq!((first.totals.sorted(), first.window.sorted()), (expected.clone(), expected));
    }
    first.ssc.stop(false).unwrap();
    drop(first);

    put(&input, "3", "c\n", batch(16));
    let second = files(dir.path(), batch(18)).unwrap();
    second.ssc.start().unwrap();
    second.clock.advance_to(batch(20));
    let mut last = None;
    while last.as_ref().is_none_or(|(time, _)| *time < batch(20)) {
        let (time, mut elements) = second.totals.next();
        elements.sort();
        let expected =
            if time < batch(16) { pairs(&[("a", 3), ("b", 1)]) } else { pairs(&[("a", 3), ("b", 1), ("c", 1)]) };
        assert_eq!(elements, expected, "at {time}");
        if let Some((before, _)) = last {
            assert_eq!(time - before, INTERVAL.into(), "no batch is left out");
        }
        let (window_time, mut window) = second.window.next();
        window.sort();
        assert_eq!((window_time, &window), (time, &elements));
        last = Some((time, elements));
    }
    let left: Vec<String> = std::fs::read_dir(dir.path().join("checkpoint"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(left.iter().filter(|name| name.starts_with("checkpoint-")).count(), 2, "{left:?}");
    second.ssc.stop(false).unwrap();
}

#[test]
fn the_checkpoint_of_another_program_is_refused_and_a_damaged_one_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("in")).unwrap();
    let first = files(dir.path(), START).unwrap();
    first.ssc.start().unwrap();
    first.clock.advance_to(batch(3));
    (0..3).for_each(|_| drop(first.totals.next()));
    let checkpoints = || {
        let entries = std::fs::read_dir(dir.path().join("checkpoint")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        names.retain(|path| path.file_name().unwrap().to_string_lossy().starts_with("checkpoint-"));
        names.sort();
        names
    };
    until("two checkpoints", || checkpoints().len() == 2);
    first.ssc.stop(false).unwrap();
    drop(first);

    let clock = || Clock::Manual(ManualClock::new(batch(5)));
    let other = StreamingContext::get_or_create(dir.path().join("checkpoint"), INTERVAL, Conf::new(), clock(), |ssc| {
        ssc.queue_stream([vec![1]])?.for_each_rdd(|_, _: Rdd<i32>| Ok(()))
    });
    let error = other.unwrap().start().unwrap_err().to_string();
    assert!(error.contains("another program"), "{error}");

    std::fs::write(checkpoints().pop().unwrap(), "half of").unwrap();
    files(dir.path(), batch(5)).unwrap().ssc.start().unwrap();
    checkpoints().iter().for_each(|path| std::fs::write(path, "nothing").unwrap());
    assert!(files(dir.path(), batch(6)).is_err());
}

#[test]
fn a_file_of_the_millisecond_in_which_its_stream_was_made_is_new_and_an_older_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::new();
    let seen = see(&bench.ssc.file_stream(FileSelection::new(dir.path().to_str().unwrap())).unwrap()).unwrap();
    put(dir.path(), "old", "old\n", START - Span::from_ms(1));
    put(dir.path(), "new", "new\n", START);
    bench.ssc.start().unwrap();
    bench.to_batch(1);
    assert_eq!(seen.elements(), ["new"].map(Text::from));
    bench.ssc.stop(false).unwrap();
}

#[test]
fn sources_and_unions_can_be_saved_and_are_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in");
    std::fs::create_dir(&input).unwrap();
    let program = |now: Time| {
        let clock = ManualClock::new(now);
        let mut seen = None;
        let manual = Clock::Manual(Arc::clone(&clock));
        let ssc = StreamingContext::get_or_create(dir.path().join("cp"), INTERVAL, Conf::new(), manual, |ssc| {
            let lines = ssc.file_stream(FileSelection::new(input.to_str().unwrap()))?.checkpoint(INTERVAL * 2)?;
            let both = lines.union(&lines)?.checkpoint(INTERVAL * 2)?;
            seen = Some(see(&both.window(INTERVAL * 4, INTERVAL)?)?);
            Ok(())
        });
        let ssc = ssc.unwrap();
        ssc.start().unwrap();
        (ssc, clock, seen.unwrap())
    };
    let saved = || {
        let names = std::fs::read_dir(dir.path().join("cp")).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_str().unwrap().starts_with("rdd-")).count()
    };
    let (ssc, clock, seen) = program(START);
    for n in 1..=4 {
        put(&input, &n.to_string(), &format!("{n}\n"), batch(n));
        clock.advance_to(batch(n));
        let expected: Vec<Text> = (1..=n).flat_map(|n| [n, n]).map(|n| Text::from(n.to_string().as_str())).collect();
        assert_eq!(seen.sorted(), expected);
    }
    until("both are saved", || saved() >= 4);
    assert!(!ssc.await_termination(Some(Duration::ZERO)).unwrap());
    ssc.stop(false).unwrap();
    drop(ssc);
    // What is saved is not read from the files again.
    std::fs::write(input.join("4"), "changed\n").unwrap();
    let (ssc, clock, seen) = program(batch(5));
    clock.advance_to(batch(6));
    let mut last = seen.next();
    while last.0 < batch(6) {
        last = seen.next();
    }
    assert_eq!(last.1, ["3", "3", "4", "4"].map(Text::from));
    ssc.stop(false).unwrap();
}

const PROGRAM: &str = "MILLSTREAM_TEST_PROGRAM";

/// The program that is killed: prints the sum of all numbers that came, and how many there were, after each batch.
#[test]
#[ignore = "is run by the test that kills it"]
fn the_program_that_is_killed() {
    let Ok(arguments) = std::env::var(PROGRAM) else { return };
    let (directory, port) = arguments.rsplit_once(' ').unwrap();
    let conf = Conf::new()
        .set("spark.streaming.receiver.writeAheadLog.enable", "true")
        .set("spark.streaming.receiverRestartDelay", "20ms")
        .set("spark.streaming.blockInterval", "10ms");
    let interval = Duration::from_millis(40);
    let ssc = StreamingContext::get_or_create(directory, interval, conf, Clock::System, |ssc| {
        let lines = ssc.socket_text_stream("127.0.0.1", port.parse().unwrap())?;
        let numbers = lines.map(|line| ((), line.parse::<u64>().unwrap_or(0)))?;
        let totals = numbers.update_state_by_key(|values: Vec<u64>, state: Option<(u64, u64)>| {
            let (count, sum) = state.unwrap_or((0, 0));
            Some((count + values.len() as u64, sum + values.iter().sum::<u64>()))
        })?;
        totals.for_each_rdd(|_, rdd| {
            for ((), (count, sum)) in rdd.collect()? {
                println!("total {count} {sum}");
            }
            Ok(())
        })
    });
    let ssc = ssc.unwrap();
    ssc.start().unwrap();
    let error = ssc.await_termination(None).unwrap_err();
    println!("failed {error}");
}

struct Program {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Program {
    fn start(directory: &Path, port: u16) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_program_that_is_killed", "--ignored", "--nocapture"])
            .env(PROGRAM, format!("{} {port}", directory.display()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Program { child, lines }
    }

    /// Reads totals until one has at least `count` numbers.
    fn total(&mut self, count: u64) -> (u64, u64) {
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            assert!(!line.starts_with("failed"), "{line}");
            let Some((_, total)) = line.split_once("total ") else { continue };
            let (found, sum) = total.split_once(' ').unwrap();
            let found = (found.parse().unwrap(), sum.parse().unwrap());
            if found.0 >= count {
                return found;
            }
        }
        panic!("the program ended");
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn send(peer: &mut TcpStream, numbers: std::ops::Range<u64>) {
    let text: String = numbers.map(|n| format!("{n}\n")).collect();
    peer.write_all(text.as_bytes()).unwrap();
}

#[test]
fn with_the_write_ahead_log_what_was_counted_before_kill_9_is_counted_once_after() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (mut sent, mut counted) = (0, (0, 0));
    for round in 0..4_u64 {
        let mut program = Program::start(dir.path(), port);
        let (mut peer, _) = listener.accept().unwrap();
        send(&mut peer, sent..sent + 1000);
        sent += 1000;
        // All is counted: the sum says that no number is missing and none is there twice.
        let total = program.total(sent);
        assert_eq!(total, (sent, (0..sent).sum::<u64>()), "after {counted:?}");
        counted = total;
        std::thread::sleep(Duration::from_millis(round * 13));
        program.kill();
    }
}

#[test]
fn a_state_that_was_never_saved_is_computed_through_all_batches_since_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in");
    std::fs::create_dir(&input).unwrap();
    let interval = Duration::from_millis(5);
    let program = |now: Time| {
        let clock = ManualClock::new(now);
        let mut seen = None;
        let directory = dir.path().join("checkpoint");
        let manual = Clock::Manual(Arc::clone(&clock));
        let ssc = StreamingContext::get_or_create(directory, interval, Conf::new(), manual, |ssc| {
            let selection = FileSelection::new(input.to_str().unwrap());
            seen = Some(see(&totals(&ssc.file_stream(selection)?)?)?);
            Ok(())
        });
        let ssc = ssc.unwrap();
        ssc.start().unwrap();
        (ssc, clock, seen.unwrap())
    };
    let time = |n: i64| START + Span::from(interval) * n;
    let (first, clock, seen) = program(START);
    put(&input, "1", "a\n", time(1));
    clock.advance_to(time(1));
    assert_eq!(seen.elements(), pairs(&[("a", 1)]));
    clock.advance_to(time(1900));
    (2..=1900).for_each(|_| drop(seen.next()));
    first.stop(false).unwrap();
    drop(first);
    let (second, clock, seen) = program(time(1901));
    clock.advance_to(time(1902));
    while seen.next() != (time(1902), pairs(&[("a", 1)])) {}
    second.stop(false).unwrap();
}

#[test]
fn a_setting_names_the_directory_of_checkpoints() {
    let dir = tempfile::tempdir().unwrap();
    let directory = dir.path().join("checkpoint");
    let conf = Conf::new().set("spark.streaming.checkpoint.directory", format!("file:{}", directory.display()));
    let bench = support::Bench::with_conf(conf);
    let words = bench.ssc.queue_stream([vec![("a", 1)], vec![("a", 2)]]).unwrap();
    // Without a directory a state is refused.
    let state = words.map(|(word, n)| (word.to_owned(), n)).unwrap();
    let state =
        state.update_state_by_key(|new: Vec<i32>, old: Option<i32>| Some(old.unwrap_or(0) + new.iter().sum::<i32>()));
    let seen = see(&state.unwrap()).unwrap();
    bench.ssc.start().unwrap();
    bench.to_batch(2);
    assert_eq!(seen.elements(), [("a".to_owned(), 1)]);
    assert_eq!(seen.elements(), [("a".to_owned(), 3)]);
    bench.ssc.stop(false).unwrap();
    assert!(std::fs::read_dir(&directory).unwrap().count() > 0);
}
