//! A checkpoint survives a crash at every write, sync, link, rename and removal, and another crash while it recovers.
//!
//! A crash is a step after which nothing more happens to the files ([`millstream_formats::faults`]). The driver does what a query
//! does, in its order: source log, offsets, state, commit, maintenance. The same for whole queries: `millstream/tests/recovery/crashes.rs`.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field, Fields};
use millstream_formats::faults::crashes::{Aftermath, Crashes, Left, Recovers, fast_temp_dir};
use millstream_formats::faults::{Fault, FaultPlan, STEPS};
use millstream_formats::filelog::{FileLogOptions, SourceFile, SourceFileLog};
use millstream_formats::log::{CommitLog, CommitRecord, OffsetLog, OffsetRecord, query_id};
use millstream_formats::row::{RowBuffer, RowEncoder};
use millstream_formats::statefile::{OperatorMetadata, StateSchema};
use millstream_state::inspect::verify;
use millstream_state::{StateStore, StoreLocation, StoreOptions};

const BATCHES: i64 = 5;
type Outcome = Result<(), Box<dyn std::error::Error>>;
type Rows = BTreeMap<i64, i64>;

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(fast_temp_dir()).unwrap()
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
fn run(dir: &Path) -> Outcome {
    query_id(dir, true)?;
    let log_options = FileLogOptions { compact_interval: 2, fsync: true, ..FileLogOptions::default() };
    let sources = SourceFileLog::open(dir.join("sources/0"), log_options)?;
    let offsets = OffsetLog::open(dir.join("offsets"), true)?;
    let commits = CommitLog::open(dir.join("commits"), true)?;
    let latest = offsets.latest()?.map_or(-1, |(id, _)| id);
    let committed = commits.latest()?.map_or(-1, |(id, _)| id);
    let mut store = open_store(dir);
    let first = if committed == latest { latest + 1 } else { latest };
    store.load(first as u64)?;
    for id in first..BATCHES {
        if sources.latest().unwrap_or(-1) < id {
            sources.add(id, &[SourceFile { path: format!("file:///in/{id}"), modified_ms: id, batch_id: id }])?;
        }
        if latest < id {
            let offset = Some(format!("{{\"logOffset\":{id}}}"));
            offsets.add(id, &OffsetRecord { conf: settings(), offsets: vec![offset], ..OffsetRecord::default() })?;
        }
        for (key, value) in changes(id) {
            let before = store.get(&row(key)).map_or(0, long);
            match value {
                Some(value) => store.put(&row(key), &row(before + value))?,
                None => drop(store.remove(&row(key))),
            }
        }
        describe(dir)?;
        store.commit()?;
        commits.add(id, &CommitRecord::default())?;
        store.maintenance().run()?;
    }
    Ok(())
}

fn describe(dir: &Path) -> Outcome {
    let fields = Fields::from(vec![Field::new("n", DataType::Int64, true)]);
    let state = dir.join("state/0");
    StateSchema::of(&fields, &fields).write_if_missing(&state.join("0/_metadata/schema"), true)?;
    let metadata = OperatorMetadata::new(0, "stateStoreSave", &["default"], 0, 1);
    Ok(metadata.write_if_missing(&OperatorMetadata::path(&state), true)?)
}

/// Runs of the query below a directory.
struct Query<'d>(&'d Path);

impl Recovers for Query<'_> {
    type Error = Box<dyn std::error::Error>;

    fn run(&self) -> Outcome {
        run(self.0)
    }

    fn check(&self, what: &str) {
        let mut store = open_store(self.0);
        store.load(BATCHES as u64).unwrap();
        let rows: Rows = store.iter().map(|(key, value)| (long(key), long(value))).collect();
        assert_eq!(rows, expected(), "{what}");
        let report = verify(self.0);
        // What a crash leaves behind may be mentioned.
        assert!(report.is_good(), "{what}: {:?}", report.findings);
    }

    fn aftermaths(&self) -> &[Aftermath] {
        &[Aftermath::Crash, Aftermath::PowerCut]
    }

    fn left(&self, left: &Left<'_>) {
        // The first names the directory in its parent, the last was not seen to end.
        let synced = left.before.iter().filter(|step| step.name == "commits::sync_dir").count();
        if let Some(acknowledged) = synced.checked_sub(2) {
            assert!(committed(self.0) >= Some(acknowledged as i64 - 1), "{left:?}");
        }
    }
}

/// The newest batch in the commit log of a checkpoint.
fn committed(dir: &Path) -> Option<i64> {
    fs::read_dir(dir.join("commits")).ok()?.flatten().filter_map(|f| f.file_name().to_str()?.parse().ok()).max()
}

#[test]
fn a_checkpoint_survives_a_crash_or_a_power_cut_anywhere_and_another_while_it_recovers() {
    let (dir, aside) = (scratch(), scratch());
    let crashes = Crashes::below(dir.path(), &["checkpoint"], aside.path());
    let checkpoint = dir.path().join("checkpoint");
    let query = Query(&checkpoint);
    let steps = crashes.steps(&query).unwrap();
    let names: Vec<&str> = steps.keys().map(String::as_str).collect();
    writeln!(
        std::io::stderr(),
        "{} crashes at {} steps: {}",
        steps.values().sum::<usize>(),
        steps.len(),
        names.join(" ")
    )
    .unwrap();
    for role in ["metadata", "source_log", "offsets", "state_schema", "operator_metadata", "delta", "snapshot", "state"]
    {
        assert!(names.iter().any(|name| name.starts_with(role)), "no crash at {role}");
    }
    crashes.everywhere(&query, &steps).unwrap();
}

#[test]
fn a_commit_that_fails_can_be_tried_again_or_given_up() {
    const NO_SPACE: i32 = 28;
    for step in STEPS {
        let dir = scratch();
        let plan = FaultPlan::below(dir.path());
        let mut store = open_store(dir.path());
        store.put(&row(1), &row(1)).unwrap();
        store.commit().unwrap();
        store.put(&row(2), &row(2)).unwrap();
        plan.arm(&format!("delta::{step}"), 1, Fault::Fails(NO_SPACE));
        if let Err(error) = store.commit() {
            assert_eq!(error.condition(), Some("CANNOT_WRITE_STATE_STORE.CANNOT_COMMIT"));
            assert!(error.to_string().contains("No space left on device"), "{error}");
            assert_eq!((store.version(), store.len()), (1, 2));
            plan.clear();
            store.commit().unwrap();
        }
        plan.clear();
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
