//! Where a program waits for the end of a stream, and learns what it failed with.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Whether a stream has ended, and its error.
///
/// An error and the end are two things: a query ends with its error, a streaming context reports one and goes on with later batches.
/// Whoever waits is given the newest error at once, and each time again.
pub struct Termination<E> {
    outcome: Mutex<Outcome<E>>,
    changed: Condvar,
}

struct Outcome<E> {
    error: Option<E>,
    ended: bool,
}

impl<E> Default for Termination<E> {
    fn default() -> Self {
        Termination { outcome: Mutex::new(Outcome { error: None, ended: false }), changed: Condvar::new() }
    }
}

impl<E: Clone> Termination<E> {
    /// Reports an error; the stream goes on.
    pub fn fail(&self, error: E) {
        self.outcome.lock().error = Some(error);
        self.changed.notify_all();
    }

    /// The stream has ended, with `error` or with what was reported before.
    pub fn end(&self, error: Option<E>) {
        let mut outcome = self.outcome.lock();
        outcome.ended = true;
        outcome.error = error.or(outcome.error.take());
        self.changed.notify_all();
    }

    /// Whether it has ended.
    pub fn is_ended(&self) -> bool {
        self.outcome.lock().ended
    }

    /// The newest error.
    pub fn error(&self) -> Option<E> {
        self.outcome.lock().error.clone()
    }

    /// Waits for the end or an error, or for `timeout`; whether it has ended.
    ///
    /// # Errors
    /// The newest one.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<bool, E> {
        let ended = self.wait_while(timeout, |outcome| outcome.error.is_none() && !outcome.ended);
        self.error().map_or(Ok(ended), Err)
    }

    /// Waits for the end, whatever errors come, or for `timeout`; whether it has ended.
    pub fn wait_for_end(&self, timeout: Option<Duration>) -> bool {
        self.wait_while(timeout, |outcome| !outcome.ended)
    }

    fn wait_while(&self, timeout: Option<Duration>, go_on: impl Fn(&Outcome<E>) -> bool) -> bool {
        // No deadline: later than the machine can say.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut outcome = self.outcome.lock();
        while go_on(&outcome) {
            match deadline {
                None => self.changed.wait(&mut outcome),
                Some(deadline) => {
                    if self.changed.wait_until(&mut outcome, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        outcome.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Option<Duration> = Some(Duration::from_millis(1));

    #[test]
    fn an_error_is_given_to_each_who_waits_also_after_the_end() {
        let stream = Termination::default();
        assert_eq!(stream.wait(SOON), Ok(false));
        stream.fail("first");
        stream.fail("second");
        assert_eq!((stream.wait(None), stream.wait(None)), (Err("second"), Err("second")));
        assert!(!stream.wait_for_end(SOON), "it goes on");
        stream.end(None);
        assert_eq!(stream.wait(None), Err("second"));
        assert!(stream.wait_for_end(None) && stream.is_ended());
    }

    #[test]
    fn an_end_without_an_error_lets_everyone_go() {
        let stream: std::sync::Arc<Termination<String>> = std::sync::Arc::default();
        let other = std::sync::Arc::clone(&stream);
        let waiting = std::thread::spawn(move || other.wait(None));
        stream.end(None);
        assert_eq!(waiting.join().unwrap(), Ok(true));
    }
}
