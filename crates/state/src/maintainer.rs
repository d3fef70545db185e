//! Maintenance in the background of a query.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::maintenance::Maintenance;

/// Two rounds begin at least so far apart, however short the batches: a round looks at every partition.
const PAUSE: Duration = Duration::from_secs(2);

/// Runs [`Maintenance`] on a thread of its own, one round at a time. Dropping it ends a round after the store it is at and
/// waits for nothing: every step leaves the files in order, also beside the next query on the same checkpoint.
#[derive(Debug)]
pub struct Maintainer {
    min_deltas_for_snapshot: u64,
    /// Begin of the last round, and the version it was for.
    last: Option<(Instant, u64)>,
    /// Held by the thread of a round.
    running: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl Maintainer {
    /// A maintainer of stores that make a snapshot when more than so many deltas follow the last one.
    pub fn new(min_deltas_for_snapshot: u64) -> Self {
        let (running, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        Self { min_deltas_for_snapshot, last: None, running, stop }
    }

    /// Starts a round if one is due at `version`, which must be committed; `work` tells what the stores need and is asked only
    /// then.
    pub fn at_version(&mut self, version: u64, work: impl FnOnce() -> Vec<Maintenance>) {
        let due = self.last.is_none_or(|(begin, done)| {
            version > done.saturating_add(self.min_deltas_for_snapshot) && begin.elapsed() >= PAUSE
        });
        if !due || self.running.swap(true, Ordering::AcqRel) {
            return;
        }
        self.last = Some((Instant::now(), version));
        let (running, stop, work) = (Arc::clone(&self.running), Arc::clone(&self.stop), work());
        let round = move || {
            for store in work {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                // What cannot be done now is tried again in the next round; batches do not depend on it.
                if let Err(error) = store.run() {
                    tracing::warn!(%error, "maintenance of state failed");
                }
            }
            running.store(false, Ordering::Release);
        };
        if let Err(error) = std::thread::Builder::new().name("state-maintenance".to_string()).spawn(round) {
            self.running.store(false, Ordering::Release);
            tracing::warn!(%error, "no thread for the maintenance of state");
        }
    }
}

impl Drop for Maintainer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{StateStore, StoreLocation, StoreOptions};

    #[test]
    fn a_round_runs_when_enough_versions_have_passed() {
        let dir = tempfile::tempdir().unwrap();
        let options = StoreOptions { min_deltas_for_snapshot: 2, ..StoreOptions::default() };
        let mut store = StateStore::open(StoreLocation::new(dir.path(), 0, 0, "default"), options);
        let mut maintainer = Maintainer::new(2);
        let snapshot = |version: u64| store_snapshot(dir.path(), version);
        for version in 1..=4u64 {
            store.put(&version.to_be_bytes(), b"12345678").unwrap();
            store.commit().unwrap();
            maintainer.at_version(version, || vec![store.maintenance()]);
            while maintainer.running.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            maintainer.last = maintainer.last.map(|(begin, done)| (begin - PAUSE, done));
        }
        // The first round had one delta, the second, at version 4, had four.
        assert!(!snapshot(1) && !snapshot(3) && snapshot(4));
    }

    fn store_snapshot(state: &std::path::Path, version: u64) -> bool {
        state.join(format!("0/0/{version}.snapshot")).exists()
    }
}
