//! The clock that batches go by: that of the machine, or one that a test moves.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};

use crate::Time;

/// Where batches take their time from.
#[derive(Clone, Default)]
pub enum Clock {
    /// The machine's.
    #[default]
    System,
    /// One that stands still until it is moved.
    Manual(Arc<ManualClock>),
}

/// Time that only [`ManualClock::advance_to`] moves.
pub struct ManualClock {
    now: Mutex<Time>,
    moved: Condvar,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Time) -> Arc<Self> {
        Arc::new(ManualClock { now: Mutex::new(now), moved: Condvar::new() })
    }

    /// Moves the clock; it does not go back.
    pub fn advance_to(&self, to: Time) {
        let mut now = self.now.lock();
        *now = to.max(*now);
        self.moved.notify_all();
    }
}

/// A switch that is thrown once and wakes who waits for it.
#[derive(Default)]
pub(crate) struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    pub fn set(&self) {
        *self.stopped.lock() = true;
        self.changed.notify_all();
    }

    pub fn is_set(&self) -> bool {
        *self.stopped.lock()
    }

    /// Waits; true if it was stopped meanwhile.
    pub fn wait(&self, at_most: Duration) -> bool {
        let mut stopped = self.stopped.lock();
        if !*stopped {
            self.changed.wait_while_for(&mut stopped, |stopped| !*stopped, at_most);
        }
        *stopped
    }
}

/// How often a stop is looked at while a manual clock stands still.
const MANUAL_POLL: Duration = Duration::from_millis(5);

impl Clock {
    /// Now.
    pub fn now(&self) -> Time {
        match self {
            Clock::System => Time::from_ms(since_epoch().as_millis().try_into().unwrap_or(i64::MAX)),
            Clock::Manual(clock) => *clock.now.lock(),
        }
    }

    /// Waits until `time`; false if it was stopped before.
    pub(crate) fn wait_until(&self, time: Time, stop: &Stop) -> bool {
        match self {
            Clock::System => loop {
                let target = Duration::from_millis(u64::try_from(time.as_ms()).unwrap_or(0));
                let left = target.saturating_sub(since_epoch());
                if stop.wait(left) {
                    return false;
                }
                if since_epoch() >= target {
                    return true;
                }
            },
            Clock::Manual(clock) => loop {
                if stop.is_set() {
                    return false;
                }
                let mut now = clock.now.lock();
                if *now >= time {
                    return true;
                }
                clock.moved.wait_for(&mut now, MANUAL_POLL);
            },
        }
    }
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
