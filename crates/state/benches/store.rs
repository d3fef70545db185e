//! Cost of puts, updates and commits. Read beside each other, the groups show that a commit costs what changed.

#![allow(clippy::unwrap_used, reason = "a bench that cannot set up has nothing to measure")]

use std::hint::black_box;

use divan::Bencher;
use millstream_state::{StateStore, StoreLocation, StoreOptions};

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

fn filled(dir: &std::path::Path, partition: usize, keys: u64) -> StateStore {
    let mut store = StateStore::open(StoreLocation::new(dir, 0, partition, "default"), StoreOptions::default());
    for number in 0..keys {
        store.put(&key(number), &value(0)).unwrap();
    }
    store.commit().unwrap();
    store
}

/// A million updates in place, of keys in no order.
#[divan::bench(args = [1_000, 1_000_000], sample_count = 5)]
fn update_a_million_times(bencher: Bencher, keys: u64) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = filled(dir.path(), 0, keys);
    bencher.bench_local(|| {
        for i in 0..1_000_000u64 {
            let (found, _) = store.upsert(&key(i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % keys), &value(0)).unwrap();
            found[8] = found[8].wrapping_add(1);
        }
        store.abort();
    });
}

/// One batch that changes 100 keys, its delta included.
#[divan::bench(args = [1_000, 1_000_000], sample_count = 200)]
fn commit_100_changes(bencher: Bencher, keys: u64) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = filled(dir.path(), 0, keys);
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
    let mut stores: Vec<StateStore> = (0..partitions).map(|p| filled(dir.path(), p, 100)).collect();
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
    let location = filled(dir.path(), 0, keys).location().clone();
    bencher.bench_local(|| {
        let mut store = StateStore::open(location.clone(), StoreOptions::default());
        store.load(1).unwrap();
        store.len()
    });
}
