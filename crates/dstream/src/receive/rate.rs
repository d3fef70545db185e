//! Elements per second that a receiver may store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use millstream_runtime::Signal;

/// The limit in force, which a rate estimator may change while the receiver runs.
pub(crate) struct RateLimit {
    /// Bits of an `f64`; infinite if there is no limit.
    per_second: AtomicU64,
    /// `spark.streaming.receiver.maxRate`; infinite if it is not set.
    max: f64,
}

impl RateLimit {
    /// `max`: upper bound for ever. `initial`: limit until the first estimate.
    pub fn new(max: Option<f64>, initial: Option<f64>) -> Self {
        let max = max.filter(|rate| *rate > 0.0).unwrap_or(f64::INFINITY);
        let initial = initial.filter(|rate| *rate > 0.0).map_or(max, |rate| rate.min(max));
        RateLimit { per_second: AtomicU64::new(initial.to_bits()), max }
    }

    pub fn set(&self, per_second: f64) {
        // Whole elements, as the estimate of Spark is passed on.
        let rate = per_second.floor();
        if rate > 0.0 {
            self.per_second.store(rate.min(self.max).to_bits(), Ordering::Relaxed);
        }
    }

    fn get(&self) -> f64 {
        f64::from_bits(self.per_second.load(Ordering::Relaxed))
    }
}

/// Portions per second that a limited receiver stores, at most: fine enough to be even, coarse enough to be cheap.
const PORTIONS_PER_SECOND: f64 = 50.0;

/// The receiver's own account of what it has stored.
#[derive(Default)]
pub(crate) struct Limiter {
    /// Nothing is stored before.
    free_at: Option<Instant>,
}

impl Limiter {
    /// How many of `records` elements may be stored at once.
    pub fn portion(&self, limit: &RateLimit, records: u64) -> u64 {
        let rate = limit.get();
        if rate.is_infinite() { records } else { records.min((rate / PORTIONS_PER_SECOND).max(1.0) as u64) }
    }

    /// Waits for the turn of `records` elements; true if it was stopped.
    pub fn wait(&mut self, limit: &RateLimit, records: u64, signal: &Signal) -> bool {
        let rate = limit.get();
        if rate.is_infinite() {
            self.free_at = None;
            return false;
        }
        let now = Instant::now();
        let turn = self.free_at.map_or(now, |free_at| free_at.max(now));
        self.free_at = Some(turn + Duration::from_secs_f64(records as f64 / rate));
        turn > now && signal.wait(turn - now)
    }
}
