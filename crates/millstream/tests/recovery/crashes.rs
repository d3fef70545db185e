//! A crash at each step of a query that changes a file, and another while it recovers.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream::Session;
use millstream_formats::condition::SparkError;
use millstream_formats::faults::crashes::{Aftermath, Crashes, Left, Pair, Recovers, fast_temp_dir};
use millstream_state::inspect::verify;

use crate::torture::say;
use crate::workload::{World, drain, session};

/// Without `MILLSTREAM_CRASHES=all`, one pair of crashes in so many is tried.
const PAIRS_SKIPPED: usize = 12;

pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(fast_temp_dir()).unwrap()
}

/// Waits until no thread of an earlier run works on files of state.
fn wait_for_maintenance() {
    let deadline = Instant::now() + Duration::from_secs(30);
    let is_one = |task: &fs::DirEntry| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.starts_with("state-mainten"))
    };
    while fs::read_dir("/proc/self/task").into_iter().flatten().flatten().any(|task| is_one(&task)) {
        assert!(Instant::now() < deadline, "maintenance does not end");
        std::thread::yield_now();
    }
}

/// What a query writes.
const WRITTEN: &[&str] = &["checkpoint", "out"];

/// One query over three files, and everything that crashes need.
struct Case {
    query: &'static str,
    world: World,
    session: Arc<Session>,
    dir: tempfile::TempDir,
    aside: tempfile::TempDir,
    aftermath: Aftermath,
    pairs_skipped: usize,
}

impl Case {
    fn new(query: &'static str, fsync: bool, aftermath: Aftermath, pairs_skipped: usize) -> Self {
        let (dir, aside) = (scratch(), scratch());
        let mut world = World::new(dir.path(), 7);
        (0..2).for_each(|_| world.add_file(false));
        world.close();
        Self { query, world, session: session(fsync), dir, aside, aftermath, pairs_skipped }
    }

    fn crash_everywhere(&self) {
        let crashes = Crashes::below(self.dir.path(), WRITTEN, self.aside.path());
        let steps = crashes.steps(self).unwrap();
        let list: Vec<String> = steps.iter().map(|(name, hits)| format!("{name}×{hits}")).collect();
        say(&format!("{}: {:?} at {}", self.query, self.aftermath, list.join(" ")));
        for role in ["metadata", "source_log", "offsets", "data", "sink_log", "commits"] {
            assert!(steps.keys().any(|name| name.starts_with(role)), "no crash at {role}");
        }
        assert!(crashes.everywhere(self, &steps).unwrap() >= steps.len());
    }
}

impl Recovers for Case {
    type Error = SparkError;

    fn run(&self) -> Result<(), SparkError> {
        let ended = drain(&self.session, self.dir.path(), self.query);
        // What runs in the background belongs to the process that has crashed.
        wait_for_maintenance();
        ended
    }

    fn check(&self, what: &str) {
        self.world.verify(self.query, true).unwrap_or_else(|error| panic!("{what}: {error}"));
        // What a crash leaves behind may be mentioned.
        let report = verify(&self.world.checkpoint(self.query));
        assert!(report.is_good(), "{what}: {:?}", report.findings);
    }

    fn aftermaths(&self) -> &[Aftermath] {
        std::slice::from_ref(&self.aftermath)
    }

    fn left(&self, left: &Left<'_>) {
        if left.aftermath != Aftermath::PowerCut {
            return;
        }
        // Whatever comes after the sync of the commit log knows that the batch is committed.
        let (before, commits) = (left.before, self.world.checkpoint(self.query).join("commits"));
        let synced = before.iter().rposition(|step| step.name == "commits::sync_dir" && step.path == commits);
        let known = synced.filter(|at| at + 1 < before.len()).and_then(|at| {
            let named = before[..at].iter().rev().find(|step| step.name == "commits::rename")?;
            Some(named.path.clone())
        });
        // A log keeps a batch until it is retired.
        let retired = known
            .as_ref()
            .is_some_and(|known| before.iter().any(|step| step.name == "commits::remove" && step.path == *known));
        assert!(known.is_none_or(|known| known.exists()) || retired, "{} at its hit {}", left.step, left.hit);
    }

    fn fails_wherever_it_crashes(&self) -> bool {
        false
    }

    fn is_tried(&self, hit: usize, hits: usize) -> bool {
        self.aftermath == Aftermath::Crash || self.pairs_skipped == 1 || [1, hits].contains(&hit)
    }

    fn is_tried_again(&self, pair: &Pair) -> bool {
        // Each hit takes its turn with the second crashes.
        self.aftermath == Aftermath::Crash
            && pair.second % pair.hits + 1 == pair.hit
            && (pair.first + pair.second).is_multiple_of(self.pairs_skipped)
    }
}

fn pairs_skipped() -> usize {
    if std::env::var("MILLSTREAM_CRASHES").is_ok_and(|which| which == "all") { 1 } else { PAIRS_SKIPPED }
}

#[test]
fn a_query_with_two_stateful_operators_survives_a_crash_anywhere_and_another_while_it_recovers() {
    Case::new("totals", false, Aftermath::Crash, pairs_skipped()).crash_everywhere();
}

#[test]
fn a_join_of_streams_survives_a_crash_anywhere_and_another_while_it_recovers() {
    Case::new("pairs", false, Aftermath::Crash, pairs_skipped() * 2).crash_everywhere();
}

#[test]
fn a_copy_synced_to_disk_survives_a_crash_anywhere_and_another_while_it_recovers() {
    Case::new("copy", true, Aftermath::Crash, pairs_skipped()).crash_everywhere();
}

#[test]
fn a_power_cut_at_any_step_of_a_synced_query_loses_nothing_acknowledged() {
    Case::new("totals", true, Aftermath::PowerCut, pairs_skipped()).crash_everywhere();
}
