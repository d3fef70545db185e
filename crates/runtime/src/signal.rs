//! How a thread is told to stop or to look again, and where it waits for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Stops or wakes who waits here. Clones are the same signal.
///
/// The stop is for ever. A wake-up that comes while nobody waits ends the next wait for one. To ask whether it was stopped costs one
/// load of an atomic.
#[derive(Clone, Default)]
pub struct Signal(Arc<Inner>);

#[derive(Default)]
struct Inner {
    stopped: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    woken: bool,
    /// How often a clock has said that a time has come.
    dues: u64,
}

impl Signal {
    /// Stops whoever waits here, now and later.
    pub fn stop(&self) {
        let _state = self.0.state.lock();
        self.0.stopped.store(true, Ordering::Release);
        self.0.changed.notify_all();
    }

    /// Whether it was stopped.
    pub fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::Acquire)
    }

    /// Ends [`Signal::wait_for_wake`]: something may have come.
    pub fn wake(&self) {
        self.0.state.lock().woken = true;
        self.0.changed.notify_all();
    }

    /// Waits for the stop; true if it came.
    pub fn wait(&self, at_most: Duration) -> bool {
        self.park(at_most, |_| false)
    }

    /// Waits for a wake-up or the stop; true if it was stopped. Wake-ups so far are used up.
    pub fn wait_for_wake(&self, at_most: Duration) -> bool {
        let stopped = self.park(at_most, |state| state.woken);
        self.0.state.lock().woken = false;
        stopped
    }

    /// Whether both are the same signal.
    pub(crate) fn is(&self, other: &Signal) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Number of the times that have come so far, for [`Signal::wait_for_due`].
    pub(crate) fn dues(&self) -> u64 {
        self.0.state.lock().dues
    }

    /// A time has come.
    pub(crate) fn due(&self) {
        self.0.state.lock().dues += 1;
        self.0.changed.notify_all();
    }

    /// Waits until more than `seen` times have come; true if it was stopped.
    pub(crate) fn wait_for_due(&self, seen: u64) -> bool {
        self.park(Duration::MAX, |state| state.dues > seen)
    }

    fn park(&self, at_most: Duration, enough: impl Fn(&State) -> bool) -> bool {
        // No deadline: later than the machine can say.
        let deadline = Instant::now().checked_add(at_most);
        let mut state = self.0.state.lock();
        while !self.is_stopped() && !enough(&state) {
            match deadline {
                None => self.0.changed.wait(&mut state),
                Some(deadline) => {
                    if self.0.changed.wait_until(&mut state, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        self.is_stopped()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_up_before_the_wait_counts_once() {
        let signal = Signal::default();
        signal.wake();
        let begin = Instant::now();
        assert!(!signal.wait_for_wake(Duration::from_secs(60)));
        assert!(begin.elapsed() < Duration::from_secs(30));
        assert!(!signal.wait_for_wake(Duration::from_millis(1)), "used up: this one ends by its time");
    }

    #[test]
    fn a_stop_ends_every_wait_also_later() {
        let signal = Signal::default();
        let other = signal.clone();
        let waiting = std::thread::spawn(move || other.wait(Duration::MAX));
        signal.stop();
        assert!(waiting.join().unwrap());
        assert!(signal.is_stopped() && signal.wait_for_wake(Duration::MAX) && signal.wait(Duration::ZERO));
    }
}
