//! A disk that is full, a directory that became read-only.

use std::collections::BTreeSet;

use millstream_formats::faults::{Fault, FaultPlan};

use crate::program::{Ended, Mode, NUMBERS, Process, Screen, batch, conf, run, scratch, until, verify};

/// `ENOSPC` and `EROFS`.
const ERRORS: [(i32, &str); 2] = [(28, "No space left on device"), (30, "Read-only file system")];

/// Steps of a batch that is not done without them.
const OF_A_BATCH: [&str; 4] = ["received::create", "received::write", "saved::create", "saved::write"];
/// Steps of a checkpoint: like Spark, the program goes on with the one before.
const OF_CHECKPOINTS: [&str; 3] = ["checkpoint::create", "checkpoint::write", "checkpoint::rename"];
/// Steps of its outputs. As with Spark, one that fails is run again only after a restart, and only if it kept the batch from its end.
const OF_OUTPUTS: [&str; 2] = ["data::create", "data::rename"];

#[test]
fn a_full_or_read_only_disk_fails_the_batch_with_a_clear_error_and_a_restart_goes_on() {
    let steps: Vec<&str> = OF_A_BATCH.into_iter().chain(OF_OUTPUTS).collect();
    for ((code, text), step) in ERRORS.iter().flat_map(|error| steps.iter().map(move |step| (error, *step))) {
        let (dir, screen) = (scratch(), Screen::default());
        let plan = FaultPlan::below(dir.path());
        plan.arm(step, 3, Fault::Fails(*code));
        let error = run(dir.path(), 0, &screen, Mode::Plain, &BTreeSet::new(), None).unwrap_err().to_string();
        assert!(error.starts_with("Batch ") && error.contains(" ms: "), "{step}: {error}");
        assert!(error.contains(text) && error.contains(dir.path().to_str().unwrap()), "{step}: {error}");
        plan.clear();
        let promised = screen.shown().all_numbers();
        let ended = run(dir.path(), 20, &screen, Mode::Plain, &promised, None);
        assert!(matches!(ended, Ok(Ended::Complete)), "{step}: {ended:?}");
        verify(dir.path(), &screen, step);
    }
}

#[test]
fn a_disk_that_is_full_for_a_while_loses_nothing_of_a_program_that_goes_on() {
    for step in OF_A_BATCH.into_iter().chain(OF_CHECKPOINTS) {
        let (dir, screen) = (scratch(), Screen::default());
        // Only of the checkpoint: the outputs are on another disk.
        let plan = FaultPlan::below(&dir.path().join("checkpoint"));
        let mut process = Process::start(dir.path(), 0, &screen, conf(Mode::Plain)).unwrap();
        for number in 0..NUMBERS {
            process.send(&[number]);
            match number {
                3 => plan.arm(step, 1, Fault::Fails(28)),
                5 => plan.clear(),
                _ => {}
            }
            process.next_batch();
            // The error of a batch is told from then on; those that follow are made when there is room again.
            let waited = process.wait(None);
            assert!(waited.is_ok() || number >= 3, "{step}, number {number}: {waited:?}");
        }
        until("all are counted", || screen.shown().counted(batch(NUMBERS as i64)).len() as u64 == NUMBERS);
        process.stop();
        screen.shown().check(step);
        let ended = run(dir.path(), 20, &screen, Mode::Plain, &(0..NUMBERS).collect(), None);
        assert!(matches!(ended, Ok(Ended::Complete)), "{step}: {ended:?}");
        verify(dir.path(), &screen, step);
    }
}

#[test]
fn a_checkpoint_that_cannot_be_written_is_no_error_of_the_batch() {
    for step in OF_CHECKPOINTS {
        let (dir, screen) = (scratch(), Screen::default());
        let plan = FaultPlan::below(dir.path());
        plan.arm(step, 4, Fault::FailsOnce(28));
        let mut process = Process::start(dir.path(), 0, &screen, conf(Mode::Plain)).unwrap();
        for number in 0..NUMBERS {
            process.send(&[number]);
            process.next_batch();
            assert!(process.wait(None).unwrap(), "{step}");
        }
        process.stop();
        assert!(plan.struck(), "{step}");
        let ended = run(dir.path(), 20, &screen, Mode::Plain, &(0..NUMBERS).collect(), None);
        assert!(matches!(ended, Ok(Ended::Complete)), "{step}: {ended:?}");
        verify(dir.path(), &screen, step);
    }
}

#[test]
fn a_program_that_cannot_write_at_its_start_says_so_and_can_be_started_again() {
    for (code, text) in ERRORS {
        for step in ["program::create", "program::rename", "received::create", "received::write", "checkpoint::create"]
        {
            let (dir, screen) = (scratch(), Screen::default());
            let plan = FaultPlan::below(dir.path());
            plan.arm(step, 1, Fault::Fails(code));
            let error = run(dir.path(), 0, &screen, Mode::Plain, &BTreeSet::new(), None).unwrap_err().to_string();
            assert!(error.contains(text) && error.contains(dir.path().to_str().unwrap()), "{step}: {error}");
            plan.clear();
            let ended = run(dir.path(), 0, &screen, Mode::Plain, &BTreeSet::new(), None);
            assert!(matches!(ended, Ok(Ended::Complete)), "{step}: {ended:?}");
            verify(dir.path(), &screen, step);
        }
    }
}
