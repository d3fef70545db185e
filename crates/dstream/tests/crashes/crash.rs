//! A crash at each step that changes a file, and another while the first is recovered from; a power cut at each step.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use millstream_formats::faults::crashes::copy_dir;
use millstream_formats::faults::{Fault, FaultPlan, power_cut};

use crate::program::{Ended, Mode, Screen, all_steps, crash, logged, run, scratch, verify};

/// Without `MILLSTREAM_CRASHES=all`, one pair of crashes in so many is tried.
const PAIRS_SKIPPED: usize = 40;
/// A run waits more than it computes.
const THREADS: usize = 4;

fn pairs_skipped() -> usize {
    if std::env::var("MILLSTREAM_CRASHES").is_ok_and(|which| which == "all") { 1 } else { PAIRS_SKIPPED }
}

/// Prints past the capture of the test harness: whoever waits for long wants to see something.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Does something with each of these, on several threads.
fn for_each<T: Sync>(cases: &[T], each: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    each(case);
                }
            });
        }
    });
}

/// Step and hit of each place where a run can crash.
fn places(mode: Mode) -> Vec<(String, usize)> {
    let steps = all_steps(mode);
    let list: Vec<String> = steps.iter().map(|(name, hits)| format!("{name}×{hits}")).collect();
    say(&format!("crashes at {}", list.join(" ")));
    for role in ["program", "checkpoint", "saved", "received", "data"] {
        assert!(steps.keys().any(|name| name.starts_with(role)), "no crash at {role}");
    }
    steps.iter().flat_map(|(name, hits)| (1..=*hits).map(|hit| (name.clone(), hit))).collect()
}

#[test]
fn a_stateful_program_survives_a_crash_anywhere_and_another_while_it_recovers() {
    crash_everywhere(Mode::Plain, pairs_skipped());
}

#[test]
fn a_program_that_maps_with_state_survives_a_crash_anywhere_and_another_while_it_recovers() {
    crash_everywhere(Mode::Mapped, pairs_skipped() * 2);
}

fn crash_everywhere(mode: Mode, pairs_skipped: usize) {
    let places = places(mode);
    let names: BTreeSet<&String> = places.iter().map(|(name, _)| name).collect();
    let numbered: Vec<(usize, &(String, usize))> = places.iter().enumerate().collect();
    let (reached, pairs) = (AtomicUsize::new(0), AtomicUsize::new(0));
    for_each(&numbered, |(number, (step, hit))| {
        let Some(crashed) = crash(step, *hit, mode) else { return };
        reached.fetch_add(1, Ordering::Relaxed);
        let mut promised = crashed.screen.shown().all_numbers();
        promised.extend(logged(crashed.dir.path()));
        for (second_number, second) in names.iter().enumerate() {
            if (number + second_number * 7) % pairs_skipped != 0 {
                continue;
            }
            let what = format!("a crash in {step} at its hit {hit}, then in {second}");
            let (again, screen) = (scratch(), crashed.screen.copy());
            copy_dir(crashed.dir.path(), again.path()).unwrap();
            let plan = FaultPlan::below(again.path());
            plan.arm(second, 1, Fault::Crash);
            let ended = run(again.path(), crashed.batch + 1, &screen, mode, &promised, Some(&plan));
            drop(plan);
            match ended.unwrap_or_else(|error| panic!("{what}: {error}")) {
                Ended::Complete => {}
                Ended::Struck(batch) => {
                    pairs.fetch_add(1, Ordering::Relaxed);
                    finish(again.path(), batch, &screen, mode, &promised, &what);
                }
            }
            verify(again.path(), &screen, &what);
        }
        let what = format!("a crash in {step} at its hit {hit}");
        finish(crashed.dir.path(), crashed.batch, &crashed.screen, mode, &promised, &what);
        verify(crashed.dir.path(), &crashed.screen, &what);
    });
    let (reached, pairs) = (reached.into_inner(), pairs.into_inner());
    say(&format!("{reached} crashes, {pairs} pairs"));
    // Threads take turns, so the last hits of a step need not come.
    assert!(reached * 10 >= places.len() * 9 && pairs > 0, "{reached} of {}", places.len());
}

fn finish(dir: &std::path::Path, batch: i64, screen: &Screen, mode: Mode, promised: &BTreeSet<u64>, what: &str) {
    match run(dir, batch + 1, screen, mode, promised, None) {
        Ok(Ended::Complete) => {}
        Ok(Ended::Struck(_)) => unreachable!("{what}: without a plan"),
        Err(error) => panic!("{what}: {error}"),
    }
}

/// What was shown is promised: it was in the log, on the disk, before any batch had it.
#[test]
fn a_power_cut_anywhere_loses_nothing_that_was_shown_if_everything_is_synced() {
    let places = places(Mode::Synced);
    let thinned: Vec<&(String, usize)> =
        places.iter().enumerate().filter(|(n, _)| pairs_skipped() == 1 || n % 3 == 0).map(|(_, place)| place).collect();
    for_each(&thinned, |(step, hit)| {
        let Some(crashed) = crash(step, *hit, Mode::Synced) else { return };
        let what = format!("a power cut in {step} at its hit {hit}");
        let left = scratch();
        power_cut(crashed.dir.path(), &crashed.steps, left.path()).unwrap();
        let promised = crashed.screen.shown().all_numbers();
        let screen = crashed.screen.copy();
        finish(left.path(), crashed.batch, &screen, Mode::Synced, &promised, &what);
        screen.shown().check(&what);
    });
}

/// Without syncing nothing is promised, but what is gone is known to be.
#[test]
fn a_power_cut_without_syncing_is_an_error_or_a_state_of_what_is_left_but_never_a_wrong_one() {
    for batches in [3, 4, 6] {
        let crashed = crash("checkpoint::write", batches * 2, Mode::Plain).unwrap();
        let log = crashed.dir.path().join("checkpoint/receivedData");
        for entry in std::fs::read_dir(&log).unwrap() {
            // Of unsynced files a power cut may leave the names.
            std::fs::write(entry.unwrap().path(), "").unwrap();
        }
        let error = run(crashed.dir.path(), crashed.batch + 1, &Screen::default(), Mode::Plain, &BTreeSet::new(), None);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("receivedData/log-") && error.contains("rows are gone"), "{error}");
        let screen = Screen::default();
        finish(crashed.dir.path(), crashed.batch, &screen, Mode::IgnoringLoss, &BTreeSet::new(), "ignoring loss");
        assert!(screen.shown().counts_none_twice(), "{:?}", screen.shown());
    }
}
