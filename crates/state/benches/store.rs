//! Cost of puts, updates and commits. Read beside each other, the groups show that a commit costs what changed.

#![allow(clippy::unwrap_used, reason = "a bench that cannot set up has nothing to measure")]

use std::hint::black_box;
use std::path::Path;

use divan::Bencher;
use divan::counter::ItemsCount;
use millstream_state::{StateMemory, StateStore, StoreLocation, StoreOptions};

fn main() {
    divan::main();
}

/// A row of one short string.
fn key(number: u64) -> [u8; 24] {
    let mut key = [0; 24];
    key[8..16].copy_from_slice(&(16u64 << 32 | 8).to_le_bytes());
    key[16..].copy_from_slice(&number.to_le_bytes());
    key
}

/// A row of one long.
fn value(number: u64) -> [u8; 16] {
    let mut value = [0; 16];
    value[8..].copy_from_slice(&number.to_le_bytes());
    value
}

fn filled(dir: &Path, partition: usize, keys: u64, options: StoreOptions) -> StateStore {
    let mut store = StateStore::open(StoreLocation::new(dir, 0, partition, "default"), options);
    (0..keys).for_each(|number| store.put(&key(number), &value(0)).unwrap());
    store.commit().unwrap();
    store
}

/// How many keys one sample of look-ups or updates asks for.
const KEYS_ASKED: u64 = 10_000;

/// Keys below `keys` in no order, without end.
fn in_no_order(keys: u64) -> impl Iterator<Item = [u8; 24]> {
    (1u64..).map(move |turn| key(turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) % keys))
}

/// Updates in place of keys in no order, and their undoing.
#[divan::bench(args = [1_000, 1_000_000, 5_000_000], sample_count = 100)]
fn update_and_abort(bencher: Bencher, keys: u64) {
    measure_updates(bencher, keys, |_| StateMemory::default());
}

/// As [`update_and_abort`], everything beyond the limit of memory.
#[divan::bench(args = [1_000_000, 5_000_000], sample_count = 100)]
fn update_and_abort_in_scratch_space(bencher: Bencher, keys: u64) {
    measure_updates(bencher, keys, |dir| StateMemory::limited(0, dir));
}

fn measure_updates(bencher: Bencher, keys: u64, memory: impl Fn(&Path) -> StateMemory) {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { memory: memory(dir.path()), ..StoreOptions::default() };
    let mut store = filled(dir.path(), 0, keys, options);
    let mut asked = in_no_order(keys);
    bencher.counter(ItemsCount::new(KEYS_ASKED)).bench_local(|| {
        for key in asked.by_ref().take(KEYS_ASKED as usize) {
            let (found, _) = store.upsert(&key, &value(0)).unwrap();
            found[8] = found[8].wrapping_add(1);
        }
        store.abort();
    });
}

/// Look-ups of keys in no order.
#[divan::bench(args = [1_000, 1_000_000], sample_count = 300)]
fn get(bencher: Bencher, keys: u64) {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path(), 0, keys, StoreOptions::default());
    let mut asked = in_no_order(keys);
    bencher.counter(ItemsCount::new(KEYS_ASKED)).bench_local(|| {
        let found = asked.by_ref().take(KEYS_ASKED as usize).filter(|key| store.get(key).is_some()).count();
        assert_eq!(found as u64, KEYS_ASKED);
    });
}

/// One batch that changes 100 keys, its delta included.
#[divan::bench(args = [1_000, 1_000_000], consts = [false, true], sample_count = 200)]
fn commit_100_changes<const FSYNC: bool>(bencher: Bencher, keys: u64) {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { fsync: FSYNC, ..StoreOptions::default() };
    let mut store = filled(dir.path(), 0, keys, options);
    let mut batch = 0u64;
    bencher.bench_local(|| {
        batch += 1;
        for i in 0..100 {
            store.put(&key((batch * 7919 + i * 104_729) % keys), &value(batch)).unwrap();
        }
        store.commit().unwrap();
    });
}

/// One batch over all partitions of which few have changes.
#[divan::bench(args = [2, 200], sample_count = 50)]
fn commit_ten_rows_in_partitions(bencher: Bencher, partitions: usize) {
    let dir = tempfile::tempdir().unwrap();
    let mut stores: Vec<StateStore> =
        (0..partitions).map(|p| filled(dir.path(), p, 100, StoreOptions::default())).collect();
    let mut batch = 0u64;
    bencher.bench_local(|| {
        batch += 1;
        for i in 0..10 {
            let store = &mut stores[(batch as usize * 31 + i * 17) % partitions];
            store.put(&key(i as u64), &value(batch)).unwrap();
        }
        for store in &mut stores {
            black_box(store.commit().unwrap());
        }
    });
}

/// Restart from one snapshot or one large delta.
#[divan::bench(args = [1_000, 1_000_000], sample_count = 5)]
fn load(bencher: Bencher, keys: u64) {
    let dir = tempfile::tempdir().unwrap();
    let location = filled(dir.path(), 0, keys, StoreOptions::default()).location().clone();
    bencher.bench_local(|| {
        let mut store = StateStore::open(location.clone(), StoreOptions::default());
        store.load(1).unwrap();
        store.len()
    });
}
