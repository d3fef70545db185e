//! A process with the queries, killed at random instants.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use millstream::prelude::*;
use millstream_state::inspect::verify;

use crate::workload::{QUERIES, Random, World, drain, session, start};

const ROOT: &str = "MILLSTREAM_TORTURE_ROOT";
const MODE: &str = "MILLSTREAM_TORTURE_MODE";
/// Files that wait to be read, at most.
const BACKLOG: i64 = 12;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Prints past the capture of the test harness: whoever waits for long wants to see something.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The process that is killed: this test by itself, in a process of its own.
#[test]
#[ignore = "the child of the test below"]
fn child() {
    let Ok(root) = std::env::var(ROOT) else { return };
    let (root, mode) = (PathBuf::from(root), std::env::var(MODE).unwrap_or_default());
    let session = session(mode == "drain");
    let ended = if mode == "drain" {
        QUERIES.iter().try_for_each(|query| drain(&session, &root, query))
    } else {
        let started =
            QUERIES.iter().try_for_each(|query| start(&session, &root, query, TriggerSpec::Default).map(drop));
        started.and_then(|()| session.streams().await_any_termination(None)).map(drop)
    };
    if let Err(error) = ended {
        say(&format!("{error}"));
        std::process::exit(3);
    }
    std::process::exit(0);
}

fn spawn(root: &Path, mode: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "torture::child", "--nocapture"])
        .env(ROOT, root)
        .env(MODE, mode)
        .stdout(Stdio::null())
        .stderr(fs::File::create(root.join("stderr")).unwrap())
        .spawn()
        .unwrap()
}

fn newest(log: &Path) -> i64 {
    let entries = fs::read_dir(log).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i64>().ok()).max().unwrap_or(-1)
}

/// Whether a query has begun a batch that it has not committed.
fn is_in_batch(world: &World, query: &str) -> bool {
    let checkpoint = world.checkpoint(query);
    newest(&checkpoint.join("offsets")) > newest(&checkpoint.join("commits"))
}

#[test]
fn a_process_killed_at_any_instant_loses_nothing_and_repeats_nothing() {
    let (runs, seed) = (setting("MILLSTREAM_TORTURE_RUNS", 15), setting("MILLSTREAM_TORTURE_SEED", 20_240_229));
    let dir = crate::crashes::scratch();
    let mut world = World::new(dir.path(), seed);
    let (mut random, begin) = (Random::new(seed), Instant::now());
    say(&format!("{runs} kills, MILLSTREAM_TORTURE_SEED={seed}"));
    // How long a run may last at most: adapted so that some are killed as they start, and others after some batches.
    let (mut longest_ms, mut in_batch, mut before) = (120, 0, -1);
    for run in 1..=runs {
        let read = newest(&world.checkpoint("copy").join("offsets"));
        longest_ms = if read == before { longest_ms * 5 / 4 } else { (longest_ms * 9 / 10).max(40) };
        before = read;
        for _ in 0..=random.below(3) {
            if world.files() - read < BACKLOG {
                world.add_file(false);
            }
        }
        let mut child = spawn(dir.path(), "run");
        std::thread::sleep(Duration::from_micros(random.below(longest_ms * 1000)));
        if let Some(ended) = child.try_wait().unwrap() {
            panic!("run {run} ended by itself, {ended}: {}", fs::read_to_string(dir.path().join("stderr")).unwrap());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        in_batch += QUERIES.iter().filter(|query| is_in_batch(&world, query)).count();
        if run % 50 == 0 || run == runs {
            QUERIES.iter().for_each(|query| world.verify(query, false).unwrap());
            let batches: i64 = QUERIES.iter().map(|query| newest(&world.checkpoint(query).join("commits")) + 1).sum();
            say(&format!(
                "{run} kills in {:.0} s: {in_batch} batches interrupted, {batches} committed, {} files",
                begin.elapsed().as_secs_f64(),
                world.files()
            ));
        }
    }
    world.close();
    let ended = spawn(dir.path(), "drain").wait().unwrap();
    assert!(ended.success(), "{}", fs::read_to_string(dir.path().join("stderr")).unwrap());
    for query in QUERIES {
        world.verify(query, true).unwrap();
        // What a killed process leaves behind may be mentioned.
        let report = verify(&world.checkpoint(query));
        assert!(report.is_good(), "{query}: {:?}", report.findings);
    }
}
