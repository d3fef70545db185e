//! Snapshots and the removal of old state files, in the background: a batch never waits for them.
//!
//! Due every minute as in Spark, and after so many batches, so that a query of many small batches keeps few files.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use millstream_state::Maintenance;
use parking_lot::Mutex;
use tokio::runtime::Handle;

/// Time between two rounds.
const INTERVAL: Duration = Duration::from_secs(60);
/// Batches after which a round is due before its time.
const BATCHES_MAX: u32 = 100;

/// When the last round was, and whether it still runs.
pub struct Rounds {
    last: Mutex<(Instant, u32)>,
    running: Arc<AtomicBool>,
}

impl Default for Rounds {
    fn default() -> Self {
        Self { last: Mutex::new((Instant::now(), 0)), running: Arc::default() }
    }
}

impl Rounds {
    /// Counts a batch. If a round is due and none runs, runs the work that `due` gives; it must concern committed versions.
    pub fn batch(&self, runtime: &Handle, due: impl FnOnce() -> Vec<Maintenance>) {
        {
            let mut last = self.last.lock();
            last.1 += 1;
            let is_due = last.0.elapsed() >= INTERVAL || last.1 >= BATCHES_MAX;
            if !is_due || self.running.swap(true, Ordering::AcqRel) {
                return;
            }
            *last = (Instant::now(), 0);
        }
        let (running, work) = (Arc::clone(&self.running), due());
        runtime.spawn_blocking(move || {
            for store in &work {
                // The files stay as they are and the next round tries again.
                if let Err(error) = store.run() {
                    tracing::warn!(%error, "state files cannot be tidied");
                }
            }
            running.store(false, Ordering::Release);
        });
    }
}
