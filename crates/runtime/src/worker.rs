//! A named thread with an owner that ends it.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle, ThreadId};
use std::time::Duration;

use crate::Termination;

/// A thread. Its owner tells it to stop in a way of its own (a [`Signal`](crate::Signal), a queue that is closed) and then waits for it.
pub struct Worker {
    thread: JoinHandle<()>,
    /// Its error is the text of a panic.
    ended: Arc<Termination<String>>,
}

impl Worker {
    /// Starts a thread, with so many bytes of stack if that is said.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn spawn(name: &str, stack_bytes: Option<usize>, body: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let ended = Arc::new(Termination::default());
        let end = Arc::clone(&ended);
        let builder = Builder::new().name(name.to_owned());
        let builder = match stack_bytes {
            Some(bytes) => builder.stack_size(bytes),
            None => builder,
        };
        let thread = builder.spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(body));
            end.end(result.err().map(|payload| panic_text(payload.as_ref())));
        })?;
        Ok(Worker { thread, ended })
    }

    /// Which thread it is.
    pub fn id(&self) -> ThreadId {
        self.thread.thread().id()
    }

    /// Whether it is the calling thread, which cannot wait for itself.
    pub fn is_current(&self) -> bool {
        self.id() == std::thread::current().id()
    }

    /// Waits until it has ended, or for `timeout`; whether it has.
    ///
    /// # Errors
    /// The text of its panic.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<bool, String> {
        self.ended.wait(timeout)
    }

    /// Waits until it has ended and its stack is given back.
    ///
    /// # Errors
    /// The text of its panic.
    pub fn join(self) -> Result<(), String> {
        let joined = self.thread.join();
        self.ended.error().map_or(joined.map_err(|payload| panic_text(payload.as_ref())), Err)
    }
}

/// What a panic says.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Signal;

    #[test]
    fn the_owner_stops_it_and_learns_of_its_panic() {
        let signal = Signal::default();
        let other = signal.clone();
        let worker = Worker::spawn("waits", None, move || {
            other.wait(Duration::MAX);
        })
        .unwrap();
        assert_eq!(worker.wait(Some(Duration::from_millis(1))), Ok(false));
        assert!(!worker.is_current());
        signal.stop();
        assert_eq!((worker.wait(None), worker.join()), (Ok(true), Ok(())));
        let worker = Worker::spawn("fails", Some(1 << 20), || panic!("no {}", "way")).unwrap();
        assert_eq!((worker.wait(None), worker.join()), (Err("no way".to_owned()), Err("no way".to_owned())));
    }
}
