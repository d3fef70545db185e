//! Elements per second that a receiver may store.

use std::sync::atomic::{AtomicU64, Ordering};

use millstream_runtime::metrics::Gauge;
use millstream_runtime::{Clock, Signal, Time};

/// The limit in force, which a rate estimator may change while the receiver runs.
pub(crate) struct RateLimit {
    /// Bits of an `f64`; infinite if there is no limit.
    per_second: AtomicU64,
    /// `spark.streaming.receiver.maxRate`; infinite if it is not set.
    max: f64,
    /// Shows the limit.
    shown: Gauge,
}

impl RateLimit {
    /// `max`: upper bound for ever. `initial`: limit until the first estimate.
    pub fn new(max: Option<f64>, initial: Option<f64>, shown: Gauge) -> Self {
        let max = max.filter(|rate| *rate > 0.0).unwrap_or(f64::INFINITY);
        let initial = initial.filter(|rate| *rate > 0.0).map_or(max, |rate| rate.min(max));
        let limit = RateLimit { per_second: AtomicU64::new(initial.to_bits()), max, shown };
        limit.show(initial);
        limit
    }

    pub fn set(&self, per_second: f64) {
        // Whole elements, as the estimate of Spark is passed on.
        let rate = per_second.floor();
        if rate > 0.0 {
            let rate = rate.min(self.max);
            self.per_second.store(rate.to_bits(), Ordering::Relaxed);
            self.show(rate);
        }
    }

    fn show(&self, rate: f64) {
        self.shown.set(if rate.is_finite() { rate } else { f64::NAN });
    }

    fn get(&self) -> f64 {
        f64::from_bits(self.per_second.load(Ordering::Relaxed))
    }
}

/// Portions per second that a limited receiver stores, at most: fine enough to be even, coarse enough to be cheap.
const PORTIONS_PER_SECOND: f64 = 50.0;

/// The receiver's own account of what it has stored, by the clock of its batches.
#[derive(Default)]
pub(crate) struct Limiter {
    /// Nothing is stored before, ms since the epoch: finer than the clock, so that single elements add up.
    free_at_ms: Option<f64>,
}

impl Limiter {
    /// How many of `records` elements may be stored at once.
    pub fn portion(&self, limit: &RateLimit, records: u64) -> u64 {
        let rate = limit.get();
        if rate.is_infinite() { records } else { records.min((rate / PORTIONS_PER_SECOND).max(1.0) as u64) }
    }

    /// Waits for the turn of `records` elements; true if it was stopped.
    pub fn wait(&mut self, limit: &RateLimit, clock: &Clock, records: u64, signal: &Signal) -> bool {
        let rate = limit.get();
        if rate.is_infinite() {
            self.free_at_ms = None;
            return false;
        }
        let now = clock.now().as_ms() as f64;
        let turn = self.free_at_ms.map_or(now, |free_at| {
            // Behind by less than a portion it catches up. Ahead by more than one it is the clock that was set back.
            let portion = 1000.0 * (1.0 / PORTIONS_PER_SECOND).max(1.0 / rate);
            free_at.clamp(now - 1000.0 / PORTIONS_PER_SECOND, now + portion)
        });
        self.free_at_ms = Some(turn + 1000.0 * records as f64 / rate);
        turn > now && !clock.wait_until(Time::from_ms(turn.ceil() as i64), signal)
    }
}

#[cfg(test)]
mod tests {
    use millstream_runtime::{ManualClock, Span};

    use super::*;

    #[test]
    fn single_elements_add_up_to_the_rate() {
        let clock = ManualClock::new(Time::from_ms(1_000_000));
        let (now, signal) = (Clock::Manual(clock.clone()), Signal::default());
        let limit = RateLimit::new(Some(10_000.0), None, Gauge::default());
        let mut limiter = Limiter::default();
        // A stopped wait returns at once, so the thread is told by it when its turn is later than now.
        signal.stop();
        let mut stored = 0;
        for _ in 0..1000 {
            // The last one is stored when its turn has come.
            let mut waits = false;
            while !waits {
                waits = limiter.wait(&limit, &now, 1, &signal);
                stored += 1;
            }
            clock.advance(Span::from_ms(1));
        }
        assert!((9_900..=10_100).contains(&stored), "{stored} in a second");
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_hold_up_a_receiver() {
        let limit = RateLimit::new(Some(100.0), None, Gauge::default());
        let mut limiter = Limiter { free_at_ms: Some(9e15) };
        let clock = ManualClock::new(Time::from_ms(1_000_000));
        let (now, signal) = (Clock::Manual(clock), Signal::default());
        signal.stop();
        assert!(limiter.wait(&limit, &now, 1, &signal), "it waits for its turn, which is soon");
        assert_eq!(limiter.free_at_ms, Some(1_000_030.0));
    }
}
