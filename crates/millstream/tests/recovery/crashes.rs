//! A crash at each step of a query that changes a file, and another while it recovers.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream::Session;
use millstream_formats::faults::{Fault, FaultPlan, Step, power_cut};
use millstream_state::inspect::verify;

use crate::torture::say;
use crate::workload::{World, drain, session};

/// Without `MILLSTREAM_CRASHES=all`, one pair of crashes in so many is tried.
const PAIRS_SKIPPED: usize = 12;

/// A directory in memory where there is one: thousands of runs write dozens of files each.
pub fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
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

/// One query over four files, and everything that crashes need.
struct Case {
    query: &'static str,
    world: World,
    session: Arc<Session>,
    dir: tempfile::TempDir,
    aside: tempfile::TempDir,
}

impl Case {
    fn new(query: &'static str, fsync: bool) -> Self {
        let (dir, aside) = (scratch(), scratch());
        let mut world = World::new(dir.path(), 7);
        (0..2).for_each(|_| world.add_file(false));
        world.close();
        Self { query, world, session: session(fsync), dir, aside }
    }

    fn written(&self) -> [&'static str; 2] {
        ["checkpoint", "out"]
    }

    /// Back to the start, or to what was put aside.
    fn reset(&self, to_aside: bool) {
        for name in self.written() {
            let _ = fs::remove_dir_all(self.dir.path().join(name));
            if to_aside {
                copy_dir(&self.aside.path().join(name), &self.dir.path().join(name));
            } else {
                fs::create_dir_all(self.dir.path().join(name)).unwrap();
            }
        }
    }

    fn put_aside(&self) {
        for name in self.written() {
            let _ = fs::remove_dir_all(self.aside.path().join(name));
            copy_dir(&self.dir.path().join(name), &self.aside.path().join(name));
        }
    }

    /// Every step of a run without faults, and how often it is reached.
    fn steps(&self) -> BTreeMap<String, usize> {
        let plan = FaultPlan::below(self.dir.path());
        self.run("without a crash");
        let mut steps = BTreeMap::new();
        plan.take_steps().into_iter().for_each(|step| *steps.entry(step.name).or_default() += 1);
        steps
    }

    /// Puts aside what a power cut after these steps leaves, at worst.
    fn cut_power(&self, steps: &[Step]) {
        for name in self.written() {
            let aside = self.aside.path().join(name);
            let _ = fs::remove_dir_all(&aside);
            fs::create_dir_all(&aside).unwrap();
            power_cut(&self.dir.path().join(name), steps, &aside).unwrap();
        }
    }

    /// Crashes at the step, if it is reached so often; the steps before it.
    fn crash(&self, step: &str, hit: usize) -> Option<Vec<Step>> {
        let plan = FaultPlan::below(self.dir.path());
        plan.arm(step, hit, Fault::Crash);
        let ended = drain(&self.session, self.dir.path(), self.query);
        // What runs in the background belongs to the process that has crashed.
        wait_for_maintenance();
        assert!(ended.is_ok() || plan.struck(), "{step}: {ended:?}");
        plan.struck().then(|| plan.take_steps())
    }

    /// Runs to the end and checks what came out.
    fn run(&self, what: &str) {
        drain(&self.session, self.dir.path(), self.query).unwrap_or_else(|error| panic!("{what}: {error}"));
        wait_for_maintenance();
        self.world.verify(self.query, true).unwrap_or_else(|error| panic!("{what}: {error}"));
        // What a crash leaves behind may be mentioned.
        let report = verify(&self.world.checkpoint(self.query));
        assert!(report.is_good(), "{what}: {:?}", report.findings);
    }
}

fn crash_everywhere(query: &'static str, fsync: bool, pairs_skipped: usize) {
    let case = Case::new(query, fsync);
    let steps = case.steps();
    let names: Vec<&String> = steps.keys().collect();
    let list: Vec<String> = steps.iter().map(|(name, hits)| format!("{name}×{hits}")).collect();
    say(&format!("{query}: crashes at {}", list.join(" ")));
    for role in ["metadata", "source_log", "offsets", "data", "sink_log", "commits"] {
        assert!(names.iter().any(|name| name.starts_with(role)), "no crash at {role}");
    }
    let mut pairs = 0;
    for (first_number, (first, hits)) in steps.iter().enumerate() {
        for hit in 1..=*hits {
            case.reset(false);
            assert!(case.crash(first, hit).is_some(), "{first} is not reached for the {hit}. time");
            case.put_aside();
            case.run(&format!("a crash in {first} at its hit {hit}"));
            for (second_number, second) in names.iter().enumerate() {
                pairs += 1;
                // Each hit takes its turn with the second crashes.
                if second_number % hits + 1 != hit || (first_number + second_number) % pairs_skipped != 0 {
                    continue;
                }
                case.reset(true);
                case.crash(second, 1);
                case.run(&format!("a crash in {first} at its hit {hit}, then in {second}"));
            }
        }
    }
    assert!(pairs > 0);
}

fn pairs_skipped() -> usize {
    if std::env::var("MILLSTREAM_CRASHES").is_ok_and(|which| which == "all") { 1 } else { PAIRS_SKIPPED }
}

#[test]
fn a_query_with_two_stateful_operators_survives_a_crash_anywhere_and_another_while_it_recovers() {
    crash_everywhere("totals", false, pairs_skipped());
}

#[test]
fn a_join_of_streams_survives_a_crash_anywhere_and_another_while_it_recovers() {
    crash_everywhere("pairs", false, pairs_skipped() * 2);
}

#[test]
fn a_copy_synced_to_disk_survives_a_crash_anywhere_and_another_while_it_recovers() {
    crash_everywhere("copy", true, pairs_skipped());
}

#[test]
fn a_power_cut_at_any_step_of_a_synced_query_loses_nothing_acknowledged() {
    let case = Case::new("totals", true);
    for (step, hits) in case.steps() {
        for hit in (1..=hits).filter(|hit| pairs_skipped() == 1 || [1, hits].contains(hit)) {
            case.reset(false);
            let before = case.crash(&step, hit).unwrap();
            case.cut_power(&before);
            case.reset(true);
            // Whatever comes after the sync of the commit log knows that the batch is committed.
            let commits = case.world.checkpoint("totals").join("commits");
            let synced = before.iter().rposition(|step| step.name == "commits::sync_dir" && step.path == commits);
            let known = synced.filter(|at| at + 1 < before.len()).and_then(|at| {
                let named = before[..at].iter().rev().find(|step| step.name == "commits::rename")?;
                Some(named.path.clone())
            });
            // A log keeps a batch until it is retired.
            let retired = known
                .as_ref()
                .is_some_and(|known| before.iter().any(|step| step.name == "commits::remove" && step.path == *known));
            assert!(known.is_none_or(|known| known.exists()) || retired, "{step} at its hit {hit}");
            case.run(&format!("a power cut in {step} at its hit {hit}"));
        }
    }
}
