//! What a store says of its memory is what the allocator has given out for it.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use millstream_state::{StateStore, StoreLocation, StoreOptions, TimeOf};

/// The system's allocator, counting.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are the same.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn the_memory_reported_is_the_memory_held() {
    let dir = tempfile::tempdir().unwrap();
    let time_of: TimeOf = Arc::new(|_, value| Some(i64::from_le_bytes(*value.first_chunk().unwrap()) << 14));
    let options = StoreOptions { time_of: Some(time_of), ..StoreOptions::default() };
    let before = HELD.load(Ordering::Relaxed);
    let mut store = StateStore::open(StoreLocation::new(dir.path(), 0, 0, "default"), options);
    let key = |i: u64| (i * 0x9e37_79b9).to_le_bytes();
    for round in 0..3u64 {
        for i in 0..100_000u64 {
            store.put(&key(i + round * 50_000), &[i.to_le_bytes(), [7; 8]].concat()).unwrap();
        }
        store.commit().unwrap();
        store.remove_expired((10_000 * round as i64) << 14, |_, _| {});
        store.commit().unwrap();
        let (held, reported) = (HELD.load(Ordering::Relaxed) - before, store.memory_bytes());
        assert!(reported.abs_diff(held) < held / 20, "{reported} bytes reported, {held} held");
    }
}
