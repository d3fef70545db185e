//! A checkpoint survives a crash at every write, sync, link, rename and removal, and another crash while it recovers.
//!
//! Runs with `--features failpoints`. A crash is a panic at a fail point: whatever is on disk then stays as it is. The driver
//! does what a query does, in its order: source log, offsets, state, commit, maintenance.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field, Fields};
use millstream_formats::filelog::{FileLogOptions, SourceFile, SourceFileLog};
use millstream_formats::log::{CommitLog, CommitRecord, OffsetLog, OffsetRecord, query_id};
use millstream_formats::row::{RowBuffer, RowEncoder};
use millstream_formats::statefile::{OperatorMetadata, StateSchema};
use millstream_state::inspect::verify;
use millstream_state::{StateStore, StoreLocation, StoreOptions};

const BATCHES: i64 = 5;
const STEPS: [&str; 7] = ["create", "write", "sync", "rename", "sync_dir", "link", "remove"];
const ROLES: [&str; 9] =
    ["metadata", "source_log", "offsets", "state_schema", "operator_metadata", "delta", "snapshot", "state", "commits"];

type Rows = BTreeMap<i64, i64>;

/// A directory in memory where there is one: a run syncs dozens of files, and there are thousands of runs.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// What batch `id` does: batches 2 and 3 change nothing.
fn changes(id: i64) -> Vec<(i64, Option<i64>)> {
    match id {
        2 | 3 => vec![],
        _ => vec![(id % 3, Some(id)), (id + 10, Some(id)), (id + 9, None)],
    }
}

fn expected() -> Rows {
    let mut rows = Rows::new();
    for (key, value) in (0..BATCHES).flat_map(changes) {
        match value {
            Some(value) => *rows.entry(key).or_default() += value,
            None => drop(rows.remove(&key)),
        }
    }
    rows
}

fn row(value: i64) -> Vec<u8> {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![value]));
    let mut rows = RowBuffer::new();
    RowEncoder::for_keys(&[DataType::Int64]).unwrap().encode(&[column], 0..1, &mut rows).unwrap();
    rows.row(0).to_vec()
}

fn long(row: &[u8]) -> i64 {
    i64::from_le_bytes(row[8..16].try_into().unwrap())
}

fn settings() -> BTreeMap<String, String> {
    [
        ("shuffle.partitions", "1"),
        ("streaming.aggregation.stateFormatVersion", "2"),
        ("streaming.join.stateFormatVersion", "2"),
        ("streaming.flatMapGroupsWithState.stateFormatVersion", "2"),
        ("streaming.statefulOperator.useStrictDistribution", "true"),
    ]
    .map(|(key, value)| (format!("spark.sql.{key}"), value.to_string()))
    .into()
}

fn open_store(dir: &Path) -> StateStore {
    let options =
        StoreOptions { versions_retained: 1, fsync: true, min_deltas_for_snapshot: 1, ..StoreOptions::default() };
    StateStore::open(StoreLocation::new(&dir.join("state"), 0, 0, "default"), options)
}

/// Runs the query from wherever the checkpoint stands to its last batch.
fn run(dir: &Path) {
    query_id(dir, true).unwrap();
    let log_options = FileLogOptions { compact_interval: 2, fsync: true, ..FileLogOptions::default() };
    let sources = SourceFileLog::open_source(dir.join("sources/0"), log_options).unwrap();
    let offsets = OffsetLog::open(dir.join("offsets"), true).unwrap();
    let commits = CommitLog::open(dir.join("commits"), true).unwrap();
    let latest = offsets.latest().unwrap().map_or(-1, |(id, _)| id);
    let committed = commits.latest().unwrap().map_or(-1, |(id, _)| id);
    let mut store = open_store(dir);
    let first = if committed == latest { latest + 1 } else { latest };
    store.load(first as u64).unwrap();
    for id in first..BATCHES {
        if sources.latest().unwrap_or(-1) < id {
            let file = SourceFile { path: format!("file:///in/{id}"), modified_ms: id, batch_id: id };
            sources.add(id, &[file]).unwrap();
        }
        if latest < id {
            let offset = Some(format!("{{\"logOffset\":{id}}}"));
            offsets
                .add(id, &OffsetRecord { conf: settings(), offsets: vec![offset], ..OffsetRecord::default() })
                .unwrap();
        }
        for (key, value) in changes(id) {
            let before = store.get(&row(key)).map_or(0, long);
            match value {
                Some(value) => store.put(&row(key), &row(before + value)).unwrap(),
                None => drop(store.remove(&row(key))),
            }
        }
        describe(dir);
        store.commit().unwrap();
        commits.add(id, &CommitRecord::default()).unwrap();
        store.maintenance().run().unwrap();
    }
}

fn describe(dir: &Path) {
    let fields = Fields::from(vec![Field::new("n", DataType::Int64, true)]);
    let state = dir.join("state/0");
    StateSchema::of(&fields, &fields).write_if_missing(&state.join("0/_metadata/schema"), true).unwrap();
    let metadata = OperatorMetadata::new(0, "stateStoreSave", &["default"], 0, 1);
    metadata.write_if_missing(&OperatorMetadata::path(&state), true).unwrap();
}

/// Runs until the fail point is reached for the `hit`-th time; false if it never was.
fn run_until(dir: &Path, point: &str, hit: usize) -> bool {
    let before = if hit > 1 { format!("{}*off->", hit - 1) } else { String::new() };
    fail::cfg(point, &format!("{before}1*panic->off")).unwrap();
    let crashed = catch_unwind(AssertUnwindSafe(|| run(dir))).is_err();
    fail::remove(point);
    crashed
}

fn check(dir: &Path, what: &str) {
    let mut store = open_store(dir);
    store.load(BATCHES as u64).unwrap();
    let rows: Rows = store.iter().map(|(key, value)| (long(key), long(value))).collect();
    assert_eq!(rows, expected(), "{what}");
    let report = verify(dir);
    assert!(report.findings.is_empty(), "{what}: {:?}", report.findings);
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

/// Every fail point there is and every time it is reached in one run.
fn crashes() -> Vec<(String, usize)> {
    let mut crashes = Vec::new();
    for point in ROLES.iter().flat_map(|role| STEPS.iter().map(move |step| format!("{role}::{step}"))) {
        let hits = (1..).take_while(|hit| run_until(scratch().path(), &point, *hit));
        crashes.extend(hits.map(|hit| (point.clone(), hit)));
    }
    crashes
}

#[test]
fn a_checkpoint_survives_a_crash_anywhere_and_another_while_it_recovers() {
    let _scenario = fail::FailScenario::setup();
    std::panic::set_hook(Box::new(|_| {}));
    let crashes = crashes();
    let mut points: Vec<&String> = crashes.iter().map(|(point, _)| point).collect();
    points.dedup();
    let list: Vec<&str> = points.iter().map(|point| point.as_str()).collect();
    writeln!(std::io::stderr(), "{} crashes at {} points: {}", crashes.len(), points.len(), list.join(" ")).unwrap();
    for role in ROLES {
        assert!(list.iter().any(|point| point.starts_with(role)), "no crash at {role}");
    }
    for (point, hit) in &crashes {
        let dir = scratch();
        assert!(run_until(dir.path(), point, *hit));
        for second in &points {
            let again = scratch();
            copy_dir(dir.path(), again.path());
            run_until(again.path(), second, 1);
            run(again.path());
            check(again.path(), &format!("{point} at its hit {hit}, then {second}"));
        }
    }
    drop(std::panic::take_hook());
}

#[test]
fn a_commit_that_fails_can_be_tried_again_or_given_up() {
    let _scenario = fail::FailScenario::setup();
    for step in STEPS {
        let dir = scratch();
        let mut store = open_store(dir.path());
        store.put(&row(1), &row(1)).unwrap();
        store.commit().unwrap();
        store.put(&row(2), &row(2)).unwrap();
        fail::cfg(format!("delta::{step}"), "1*return(No space left on device)->off").unwrap();
        if let Err(error) = store.commit() {
            assert_eq!(error.condition(), Some("CANNOT_WRITE_STATE_STORE.CANNOT_COMMIT"));
            assert!(error.to_string().contains("No space left on device"), "{error}");
            assert_eq!((store.version(), store.len()), (1, 2));
            store.commit().unwrap();
        }
        fail::remove(format!("delta::{step}"));
        store.put(&row(3), &row(3)).unwrap();
        store.abort();
        let mut again = open_store(dir.path());
        again.load(2).unwrap();
        for store in [&store, &again] {
            let keys: Vec<i64> = store.iter().map(|(key, _)| long(key)).collect();
            assert_eq!(keys, [1, 2], "{step}");
        }
    }
}
