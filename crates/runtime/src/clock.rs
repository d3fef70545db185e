//! The clock that batches go by: that of the machine, or one that a test moves.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};

use crate::{Signal, Span, Time};

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
    state: Mutex<Manual>,
    /// Signalled when somebody begins to wait.
    enrolled: Condvar,
}

struct Manual {
    now: Time,
    waiting: Vec<(Time, Signal)>,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Time) -> Arc<Self> {
        Arc::new(ManualClock { state: Mutex::new(Manual { now, waiting: Vec::new() }), enrolled: Condvar::new() })
    }

    /// Moves the clock; it does not go back.
    pub fn advance_to(&self, to: Time) {
        let mut state = self.state.lock();
        state.now = to.max(state.now);
        let now = state.now;
        state.waiting.retain(|(time, signal)| {
            let due = *time <= now;
            if due {
                signal.due();
            }
            !due
        });
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Span) {
        let now = self.state.lock().now;
        self.advance_to(now + by);
    }

    /// Waits, in the machine's time, until a thread waits for exactly `time`: then it has done all that was to be done before. False if
    /// none does within `at_most`.
    pub fn await_waiter(&self, time: Time, at_most: Duration) -> bool {
        let deadline = Instant::now() + at_most;
        let mut state = self.state.lock();
        while !state.waiting.iter().any(|(wanted, _)| *wanted == time) {
            if self.enrolled.wait_until(&mut state, deadline).timed_out() {
                return false;
            }
        }
        true
    }

    /// How many threads wait for a time that has not come.
    pub fn waiters(&self) -> usize {
        self.state.lock().waiting.len()
    }

    fn wait_until(&self, time: Time, signal: &Signal) -> bool {
        loop {
            let seen = signal.dues();
            {
                let mut state = self.state.lock();
                if signal.is_stopped() {
                    return false;
                }
                if state.now >= time {
                    return true;
                }
                if !state.waiting.iter().any(|(wanted, own)| *wanted == time && own.is(signal)) {
                    state.waiting.push((time, signal.clone()));
                    self.enrolled.notify_all();
                }
            }
            if signal.wait_for_due(seen) {
                self.state.lock().waiting.retain(|(_, own)| !own.is(signal));
                return false;
            }
        }
    }
}

impl Clock {
    /// Now.
    pub fn now(&self) -> Time {
        match self {
            Clock::System => Time::from_ms(since_epoch().as_millis().try_into().unwrap_or(i64::MAX)),
            Clock::Manual(clock) => clock.state.lock().now,
        }
    }

    /// Waits until `time`; false if it was stopped before.
    pub fn wait_until(&self, time: Time, signal: &Signal) -> bool {
        match self {
            Clock::System => {
                let target = Duration::from_millis(u64::try_from(time.as_ms()).unwrap_or(0));
                // Again, because the machine's clock may have been set back meanwhile.
                loop {
                    let left = target.saturating_sub(since_epoch());
                    if signal.wait(left) {
                        return false;
                    }
                    if since_epoch() >= target {
                        return true;
                    }
                }
            }
            Clock::Manual(clock) => clock.wait_until(time, signal),
        }
    }
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(20);

    #[test]
    fn a_manual_clock_lets_go_who_is_due_and_no_one_else() {
        let clock = ManualClock::new(Time::from_ms(500));
        let (early, late) = (Signal::default(), Signal::default());
        let wait = |ms, signal: &Signal| {
            let (clock, signal) = (Clock::Manual(Arc::clone(&clock)), signal.clone());
            thread::spawn(move || clock.wait_until(Time::from_ms(ms), &signal))
        };
        let (first, second) = (wait(1000, &early), wait(2000, &late));
        assert!(clock.await_waiter(Time::from_ms(1000), DEADLINE) && clock.await_waiter(Time::from_ms(2000), DEADLINE));
        clock.advance(Span::from_ms(500));
        assert!(first.join().unwrap());
        assert!(!second.is_finished());
        late.stop();
        assert!(!second.join().unwrap(), "it was stopped before its time");
        assert!(!clock.await_waiter(Time::from_ms(2000), Duration::ZERO), "nobody waits any longer");
        clock.advance_to(Time::from_ms(700));
        assert_eq!(Clock::Manual(clock).now(), Time::from_ms(1000), "it does not go back");
    }

    #[test]
    fn a_time_that_is_over_is_not_waited_for_but_a_stop_is_heard() {
        let (clock, signal) = (Clock::System, Signal::default());
        assert!(clock.wait_until(clock.now() - Span::from_ms(5), &signal));
        signal.stop();
        assert!(!clock.wait_until(clock.now() + Span::from_ms(86_400_000), &signal));
    }
}
