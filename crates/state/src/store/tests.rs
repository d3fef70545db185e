use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::DataType;
use millstream_formats::row::{KeyPrefix, RowBuffer, RowEncoder, slot};
use millstream_formats::statefile::read_changes;
use proptest::prelude::*;

use super::*;

fn open(dir: &Path, options: StoreOptions) -> StateStore {
    StateStore::open(StoreLocation::new(dir, 0, 0, "default"), options)
}

/// Options with every index; the time of an entry is the first 8 bytes of its value.
fn indexed() -> StoreOptions {
    let time_of: TimeOf = Arc::new(|_, value| Some(time(value)));
    let prefix = Some(KeyPrefix::new(&[DataType::Int64, DataType::Int64], 1));
    StoreOptions { time_of: Some(time_of), prefix, ..StoreOptions::default() }
}

/// A row of two longs; one in 8 share the first.
fn key(number: u8) -> Vec<u8> {
    row(&[i64::from(number % 8), i64::from(number)])
}

fn row(values: &[i64]) -> Vec<u8> {
    let columns: Vec<ArrayRef> = values.iter().map(|v| Arc::new(Int64Array::from(vec![*v])) as ArrayRef).collect();
    let mut rows = RowBuffer::new();
    let types = vec![DataType::Int64; values.len()];
    RowEncoder::for_keys(&types).unwrap().encode(&columns, 0..1, &mut rows).unwrap();
    rows.row(0).to_vec()
}

/// A value of `words` words, the first being its time.
fn value(time: i64, words: usize) -> Vec<u8> {
    let mut value = vec![words as u8; words.max(1) * 8];
    value[..8].copy_from_slice(&time.to_le_bytes());
    value
}

fn time(value: &[u8]) -> i64 {
    i64::from_le_bytes(value[..8].try_into().unwrap())
}

fn contents(store: &StateStore) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let all: Vec<_> = store.iter().map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
    let map: BTreeMap<_, _> = all.iter().cloned().collect();
    assert_eq!((map.len(), store.len()), (all.len(), all.len()), "every key once");
    map
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, i64, usize),
    Touch(u8, i64),
    Upsert(u8, i64),
    Remove(u8),
    Expire(i64),
    Commit,
    Abort,
    Reopen,
    Rollback,
    Maintain,
}

fn step() -> impl Strategy<Value = Step> {
    let time = -3_000_000i64..3_000_000;
    prop_oneof![
        8 => (0..40u8, time.clone(), 1..6usize).prop_map(|(k, t, w)| Step::Put(k, t, w)),
        4 => (0..40u8, time.clone()).prop_map(|(k, t)| Step::Touch(k, t)),
        3 => (0..40u8, time.clone()).prop_map(|(k, t)| Step::Upsert(k, t)),
        4 => (0..40u8).prop_map(Step::Remove),
        2 => time.prop_map(Step::Expire),
        4 => Just(Step::Commit),
        1 => Just(Step::Abort),
        1 => Just(Step::Reopen),
        1 => Just(Step::Rollback),
        1 => Just(Step::Maintain),
    ]
}

/// A store beside a map; `committed` has every version.
struct Model {
    scratch: tempfile::TempDir,
    dir: tempfile::TempDir,
    store: StateStore,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    committed: Vec<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl Model {
    fn new(memory_bytes_max: usize) -> Self {
        let (dir, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let memory = StateMemory::limited(memory_bytes_max, scratch.path());
        let store = open(dir.path(), StoreOptions { min_deltas_for_snapshot: 2, memory, ..indexed() });
        Self { scratch, dir, store, rows: BTreeMap::new(), committed: vec![BTreeMap::new()] }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Put(k, t, words) => {
                self.store.put(&key(k), &value(t, words)).unwrap();
                self.rows.insert(key(k), value(t, words));
            }
            Step::Touch(k, t) => {
                let found = self.store.get_mut(&key(k));
                let expected = self.rows.get_mut(&key(k));
                assert_eq!(found.is_some(), expected.is_some());
                found
                    .into_iter()
                    .chain(expected.map(Vec::as_mut_slice))
                    .for_each(|v| v[..8].copy_from_slice(&t.to_le_bytes()));
            }
            Step::Upsert(k, t) => {
                let (found, new) = self.store.upsert(&key(k), &value(0, 2)).unwrap();
                assert_eq!(new, !self.rows.contains_key(&key(k)));
                let expected = self.rows.entry(key(k)).or_insert_with(|| value(0, 2));
                [found, expected].into_iter().for_each(|v| v[..8].copy_from_slice(&t.to_le_bytes()));
            }
            Step::Remove(k) => assert_eq!(self.store.remove(&key(k)), self.rows.remove(&key(k)).is_some()),
            Step::Expire(bound) => self.expire(bound),
            Step::Commit => {
                assert_eq!(self.store.commit().unwrap() as usize, self.committed.len());
                self.committed.push(self.rows.clone());
            }
            Step::Abort => self.store.abort(),
            Step::Reopen => self.store = open(self.dir.path(), self.store.options.clone()),
            Step::Rollback => {
                self.committed.truncate((self.committed.len() - 1).max(1));
            }
            Step::Maintain => {
                let mut maintenance = self.store.maintenance();
                maintenance.delta_bytes_max = 300;
                maintenance.run().unwrap();
            }
        }
        if matches!(step, Step::Abort | Step::Reopen | Step::Rollback) {
            self.store.load(self.committed.len() as u64 - 1).unwrap();
            self.rows = self.committed.last().unwrap().clone();
        }
        self.check();
    }

    fn expire(&mut self, bound: i64) {
        let due = |value: &[u8]| time(value) <= bound;
        let expected: BTreeMap<_, _> =
            self.rows.iter().filter(|(_, v)| due(v)).map(|(k, v)| (k.clone(), v.clone())).collect();
        let (mut seen, mut removed) = (Vec::new(), BTreeMap::new());
        self.store.visit_expired(bound, |k, v| seen.push((k.to_vec(), v.to_vec())));
        assert_eq!(seen.len(), expected.len());
        assert_eq!(seen.into_iter().collect::<BTreeMap<_, _>>(), expected);
        let count = self.store.remove_expired(bound, |k, v| assert!(removed.insert(k.to_vec(), v.to_vec()).is_none()));
        assert_eq!((count, &removed), (expected.len(), &expected));
        self.rows.retain(|_, v| !due(v));
    }

    fn check(&self) {
        assert_eq!(contents(&self.store), self.rows);
        for first in 0..8 {
            let prefix = row(&[first]);
            let found: Vec<_> = self.store.scan_prefix(&prefix).map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
            let expected: BTreeMap<_, _> = self
                .rows
                .iter()
                .filter(|(k, _)| slot::get_i64(k, 2, 0) == Some(first))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect();
            assert_eq!(found.len(), expected.len());
            assert_eq!(found.into_iter().collect::<BTreeMap<_, _>>(), expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_is_a_map_with_versions_whatever_the_limit_of_memory(
        steps in prop::collection::vec(step(), 1..120),
        memory_bytes_max in prop_oneof![Just(usize::MAX), 0..4096usize],
    ) {
        let mut model = Model::new(memory_bytes_max);
        steps.into_iter().for_each(|step| model.apply(step));
        for (version, rows) in model.committed.iter().enumerate().skip(1) {
            let mut store = open(model.dir.path(), StoreOptions::default());
            store.load(version as u64).unwrap();
            prop_assert_eq!(&contents(&store), rows, "version {}", version);
        }
        prop_assert_eq!(fs::read_dir(model.scratch.path()).unwrap().count(), 0, "scratch files have no names");
    }
}

#[test]
fn state_beyond_the_limit_lies_in_scratch_space_and_in_the_same_files() {
    let (dir, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let memory = StateMemory::limited(256 << 10, scratch.path());
    let number = |i: i64| row(&[i % 7, i]);
    let options = StoreOptions { memory: memory.clone(), min_deltas_for_snapshot: 1, ..StoreOptions::default() };
    let mut store = open(dir.path(), options.clone());
    for batch in 0..3 {
        for i in 0..40_000 {
            store.put(&number(i), &value(i + batch, 4)).unwrap();
        }
        store.commit().unwrap();
    }
    store.maintenance().run().unwrap();
    let metrics = store.metrics();
    assert!(memory.used_bytes() <= 256 << 10, "{memory:?}");
    assert_eq!(metrics.spilled_bytes, memory.spilled_bytes() as u64);
    assert!(metrics.spilled_bytes > 3 << 20, "{metrics:?}");
    let mut limited = open(dir.path(), options);
    limited.load(3).unwrap();
    let mut unlimited = open(dir.path(), StoreOptions::default());
    unlimited.load(3).unwrap();
    for i in 0..40_000 {
        let expected = value(i + 2, 4);
        for store in [&store, &limited, &unlimited] {
            assert_eq!(store.get(&number(i)), Some(expected.as_slice()));
        }
    }
    drop((store, limited));
    assert_eq!((memory.used_bytes(), memory.spilled_bytes()), (0, 0));
}

#[test]
fn without_scratch_space_a_batch_fails_and_the_state_is_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let memory = StateMemory::limited(2 << 20, Path::new("/proc/none"));
    let mut store = open(dir.path(), StoreOptions { memory, ..StoreOptions::default() });
    store.put(&key(1), &value(1, 1)).unwrap();
    store.commit().unwrap();
    let failed = (0..100_000).find_map(|i| store.put(&row(&[i, i]), &value(i, 20)).err()).unwrap();
    assert_eq!(failed.condition(), Some("CANNOT_WRITE_STATE_STORE.CANNOT_COMMIT"));
    assert!(failed.to_string().contains("/proc/none/.scratch-"), "{failed}");
    store.abort();
    assert_eq!(contents(&store).into_keys().collect::<Vec<_>>(), [key(1)]);
    store.put(&key(2), &value(1, 1)).unwrap();
    store.commit().unwrap();
}

#[test]
fn memory_stays_in_proportion_to_what_lives() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), indexed());
    let number = |i: u64| row(&[0, i as i64]);
    for batch in 0..60u64 {
        for i in 0..2000 {
            store.put(&number(batch * 1000 + i), &value(batch as i64, 1 + (i % 30) as usize)).unwrap();
            if batch > 0 {
                store.remove(&number((batch - 1) * 1000 + i % 1000));
            }
        }
        store.rows.commit();
        assert!((1000..=2000).contains(&store.len()));
    }
    assert!(store.memory_bytes() < 5 << 20, "{} bytes for {} live", store.memory_bytes(), store.rows.live_bytes());
    let live = contents(&store);
    assert!(live.iter().all(|(k, v)| store.get(k) == Some(v.as_slice())));
}

#[test]
fn entries_larger_than_a_chunk_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), StoreOptions::default());
    let large = vec![7; 3 << 20];
    store.put(b"large", &large).unwrap();
    store.put(b"small", b"12345").unwrap();
    store.commit().unwrap();
    store.put(b"large", b"now small").unwrap();
    store.abort();
    let mut again = open(dir.path(), StoreOptions::default());
    again.load(1).unwrap();
    for store in [&store, &again] {
        assert_eq!((store.get(b"large"), store.get(b"small")), (Some(large.as_slice()), Some(&b"12345"[..])));
    }
}

#[test]
fn a_commit_writes_what_changed_and_only_that() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), StoreOptions::default());
    (0..100).for_each(|k| store.put(&key(k), &value(1, 1)).unwrap());
    store.commit().unwrap();
    store.put(&key(3), &value(2, 1)).unwrap();
    store.put(&key(200), &value(0, 1)).unwrap();
    store.remove(&key(200));
    store.remove(&key(4));
    assert_eq!(store.updated().collect::<Vec<_>>(), [(key(3).as_slice(), value(2, 1).as_slice())]);
    store.commit().unwrap();
    store.commit().unwrap();
    let read = |version| {
        let mut changes = Vec::new();
        let path = state_file_path(store.location().dir(), version, StateFileKind::Delta);
        read_changes(&path, |change| changes.push(format!("{change:?}"))).unwrap();
        changes
    };
    let expected = [Change::Put(&key(3), &value(2, 1)), Change::Remove(&key(4))].map(|c| format!("{c:?}"));
    assert_eq!(read(2), expected);
    assert!(read(3).is_empty());
}

#[test]
fn a_rolled_back_future_is_not_taken_for_the_truth() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { min_deltas_for_snapshot: 0, ..StoreOptions::default() };
    let mut store = open(dir.path(), options.clone());
    for k in 0..3 {
        store.put(&key(k), &value(1, 1)).unwrap();
        store.commit().unwrap();
        assert_eq!(store.maintenance().run().unwrap().snapshot, Some(store.version()));
    }
    let mut again = open(dir.path(), options.clone());
    again.load(1).unwrap();
    again.put(&key(9), &value(1, 1)).unwrap();
    again.commit().unwrap();
    let mut third = open(dir.path(), options);
    third.load(2).unwrap();
    assert_eq!(contents(&third).into_keys().collect::<Vec<_>>(), [key(0), key(9)]);
}

#[test]
fn maintenance_keeps_what_the_retained_versions_need() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { min_deltas_for_snapshot: 2, versions_retained: 4, ..StoreOptions::default() };
    let mut store = open(dir.path(), options);
    for k in 0..12 {
        store.put(&key(k), &value(1, 40)).unwrap();
        store.commit().unwrap();
        store.maintenance().run().unwrap();
    }
    let files = StateFiles::list(store.location().dir()).unwrap();
    let base = files.bases(8)[0];
    assert!(base > 0 && files.before(base).is_empty());
    for version in 8..=12 {
        let mut old = open(dir.path(), StoreOptions::default());
        old.load(version).unwrap();
        assert_eq!(old.len() as u64, version);
    }
}

#[test]
fn a_missing_or_damaged_file_is_named_and_an_older_snapshot_stands_in() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), StoreOptions { min_deltas_for_snapshot: 0, ..StoreOptions::default() });
    for k in 0..3 {
        store.put(&key(k), &value(1, 1)).unwrap();
        store.commit().unwrap();
        store.maintenance().run().unwrap();
    }
    let path = |version, kind| state_file_path(store.location().dir(), version, kind);
    let load = |version| open(dir.path(), StoreOptions::default()).load(version);
    fs::write(path(3, StateFileKind::Snapshot), b"rubbish").unwrap();
    load(3).unwrap();
    let delta = path(3, StateFileKind::Delta);
    let mut bytes = fs::read(&delta).unwrap();
    bytes[30] ^= 1;
    fs::write(&delta, bytes).unwrap();
    let error = load(3).unwrap_err();
    assert_eq!(error.condition(), Some("CANNOT_LOAD_STATE_STORE.UNCATEGORIZED"));
    assert!(error.to_string().contains("3."), "{error}");
    fs::remove_file(path(3, StateFileKind::Snapshot)).unwrap();
    fs::remove_file(&delta).unwrap();
    let error = load(3).unwrap_err();
    assert_eq!(error.condition(), Some("CANNOT_LOAD_STATE_STORE.CANNOT_READ_DELTA_FILE_NOT_EXISTS"));
    assert!(error.to_string().contains(&format!("{} does not exist", delta.display())), "{error}");
}

#[test]
fn rows_of_another_schema_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), StoreOptions::default());
    store.put(&row(&[1, 2]), &row(&[-3])).unwrap();
    store.commit().unwrap();
    let load = |key: Vec<DataType>, value: Vec<DataType>| {
        let options = StoreOptions { row_types: Some((key, value)), ..StoreOptions::default() };
        open(dir.path(), options).load(1).map_err(|e| e.condition().map(ToString::to_string))
    };
    let long = DataType::Int64;
    assert_eq!(load(vec![long.clone(); 2], vec![long.clone()]), Ok(()));
    let failure = |what| Err(Some(format!("CANNOT_LOAD_STATE_STORE.{what}_ROW_FORMAT_VALIDATION_FAILURE")));
    assert_eq!(load(vec![long.clone(); 3], vec![long.clone()]), failure("KEY"));
    assert_eq!(load(vec![long; 2], vec![DataType::Int32]), failure("VALUE"));
}
