//! A disk that is full, a directory that became read-only: the query ends with an error that says what and where, other queries
//! go on, and once the disk is usable again a restart goes on as if nothing had been.

use millstream::prelude::*;
use millstream_formats::faults::{Fault, FaultPlan};

use crate::crashes::scratch;
use crate::workload::{World, drain, session, start};

/// `ENOSPC` and `EROFS`.
const ERRORS: [(i32, &str); 2] = [(28, "No space left on device"), (30, "Read-only file system")];

/// The steps that write, by what fails first on a full disk.
const STEPS: [&str; 8] = [
    "metadata::create",
    "source_log::write",
    "offsets::create",
    "data::create",
    "data::write",
    "sink_log::write",
    "delta::write",
    "commits::write",
];

#[test]
fn a_full_or_read_only_disk_ends_one_query_with_a_clear_error_and_a_restart_goes_on() {
    let (session, healthy) = (session(false), scratch());
    let mut other = World::new(healthy.path(), 3);
    other.add_file(false);
    let going_on = start(&session, healthy.path(), "copy", TriggerSpec::Default).unwrap();
    for ((code, text), step) in ERRORS.iter().flat_map(|error| STEPS.iter().map(move |step| (error, step))) {
        let dir = scratch();
        let mut world = World::new(dir.path(), 5);
        world.add_file(false);
        let plan = FaultPlan::below(dir.path());
        // The first batch runs, the second does not.
        let hit = if step.starts_with("metadata") { 1 } else { 2 };
        plan.arm(step, hit, Fault::Fails(*code));
        world.add_file(false);
        let error = drain(&session, dir.path(), "totals").unwrap_err();
        let message = error.to_string();
        assert!(message.contains(text) && message.contains(dir.path().to_str().unwrap()), "{step}: {message}");
        if hit == 2 {
            assert_eq!(error.condition(), Some("STREAM_FAILED"), "{message}");
            assert!(message.contains("The query totals was at batch "), "{step}: {message}");
        }
        plan.clear();
        world.close();
        drain(&session, dir.path(), "totals").unwrap();
        world.verify("totals", true).unwrap();
    }
    other.add_file(false);
    going_on.process_all_available().unwrap();
    other.verify("copy", true).unwrap();
    going_on.stop();
}

#[test]
fn state_beyond_the_limit_of_memory_gives_the_same_rows_and_is_reported() {
    let (session, dir, scratch_dir) = (session(false), scratch(), scratch());
    session.conf().set("spark.millstream.state.memoryLimit", "1k").unwrap();
    session.conf().set("spark.local.dir", scratch_dir.path().to_str().unwrap()).unwrap();
    let mut world = World::new(dir.path(), 11);
    (0..5).for_each(|_| world.add_file(false));
    world.close();
    let query = start(&session, dir.path(), "totals", TriggerSpec::AvailableNow).unwrap();
    query.await_termination(None).unwrap();
    world.verify("totals", true).unwrap();
    let progress = query.last_progress().unwrap();
    assert_eq!(progress.operators.len(), 2);
    for operator in &progress.operators {
        let spilled = operator.custom.get("spilledSizeBytes").copied().unwrap_or(0);
        assert!(spilled > 0 && operator.memory_bytes < 64 << 10, "{operator:?}");
    }

    // Without scratch space the query ends, and goes on when it has some.
    session.conf().set("spark.local.dir", "/proc/none").unwrap();
    world.add_file(true);
    let error = drain(&session, dir.path(), "totals").unwrap_err().to_string();
    assert!(error.contains("the scratch file /proc/none/.scratch-"), "{error}");
    session.conf().set("spark.local.dir", scratch_dir.path().to_str().unwrap()).unwrap();
    drain(&session, dir.path(), "totals").unwrap();
    world.verify("totals", true).unwrap();
}
