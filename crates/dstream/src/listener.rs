//! What a context tells of itself while it runs.
//!
//! Events are given to listeners in the order in which they happened, by a thread of its own: a slow listener holds up other
//! listeners, never a batch. If [`EVENTS_MAX`] events wait, further ones are dropped, with a warning.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

use millstream_runtime::Worker;
use parking_lot::{Mutex, RwLock};

use crate::{Span, Time};

/// Events that wait for listeners, at most.
const EVENTS_MAX: usize = 10_000;

/// Something that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The context runs.
    StreamingStarted {
        /// When.
        time: Time,
    },
    /// A receiver runs, also after it started anew.
    ReceiverStarted(ReceiverInfo),
    /// A receiver says that something is wrong.
    ReceiverError(ReceiverInfo),
    /// A receiver has ended, for ever or to start anew.
    ReceiverStopped(ReceiverInfo),
    /// A batch was made and waits for its turn.
    BatchSubmitted(BatchInfo),
    /// The first output operation of a batch begins.
    BatchStarted(BatchInfo),
    /// The last output operation of a batch has ended, well or not.
    BatchCompleted(BatchInfo),
    /// An output operation begins.
    OutputOperationStarted(OutputInfo),
    /// An output operation has ended, well or not.
    OutputOperationCompleted(OutputInfo),
}

/// Is told what happens. Called by one thread at a time.
pub trait Listener: Send + Sync {
    /// An event.
    fn on_event(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync> Listener for F {
    fn on_event(&self, event: &Event) {
        self(event);
    }
}

/// A receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverInfo {
    /// Number of its input.
    pub input: usize,
    /// Its name, with its number.
    pub name: String,
    /// Whether it runs.
    pub active: bool,
    /// Host that it runs on.
    pub location: String,
    /// Where it runs: always `driver`.
    pub executor: String,
    /// What it said last when something was wrong, or nothing.
    pub last_error_message: String,
    /// The error behind it, or nothing.
    pub last_error: String,
    /// When; before the epoch if never.
    pub last_error_time: Time,
}

/// What an input gave to a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputInfo {
    /// Number of the input.
    pub input: usize,
    /// Records. Sources that are read by ranges count them while the batch runs: none when it is submitted, those that an output has
    /// read when it is completed. 0 for files, which are not counted.
    pub records: u64,
    /// What it is made of, such as names of files.
    pub description: Option<String>,
}

/// A batch.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchInfo {
    /// The time that names it.
    pub time: Time,
    /// What its inputs gave.
    pub inputs: Vec<InputInfo>,
    /// When it was made and queued.
    pub submitted: Time,
    /// When the first output operation began.
    pub started: Option<Time>,
    /// When the last one ended.
    pub ended: Option<Time>,
    /// Its output operations.
    pub outputs: Vec<OutputInfo>,
}

impl BatchInfo {
    /// Time that it waited.
    pub fn scheduling_delay(&self) -> Option<Span> {
        self.started.map(|started| started - self.submitted)
    }

    /// Time that it ran.
    pub fn processing_delay(&self) -> Option<Span> {
        Some(self.ended? - self.started?)
    }

    /// Both.
    pub fn total_delay(&self) -> Option<Span> {
        Some(self.scheduling_delay()? + self.processing_delay()?)
    }

    /// Records of all inputs.
    pub fn records(&self) -> u64 {
        self.inputs.iter().map(|input| input.records).sum()
    }
}

/// An output operation of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputInfo {
    /// Its batch.
    pub batch: Time,
    /// Number in the order in which they were declared.
    pub id: usize,
    /// Short name.
    pub name: String,
    /// Where it was declared.
    pub description: String,
    /// When it began.
    pub started: Option<Time>,
    /// When it ended.
    pub ended: Option<Time>,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

impl OutputInfo {
    /// Time that it ran.
    pub fn duration(&self) -> Option<Span> {
        Some(self.ended? - self.started?)
    }
}

/// Listeners by their numbers.
type Listeners = Arc<RwLock<Vec<(usize, Arc<dyn Listener>)>>>;

/// Hands events to listeners.
#[derive(Default)]
pub(crate) struct ListenerBus {
    listeners: Listeners,
    worker: Mutex<Option<(SyncSender<Event>, Worker)>>,
    next: Mutex<usize>,
}

impl ListenerBus {
    pub fn add(&self, listener: Arc<dyn Listener>) -> usize {
        let mut next = self.next.lock();
        *next += 1;
        self.listeners.write().push((*next, listener));
        *next
    }

    pub fn remove(&self, id: usize) {
        self.listeners.write().retain(|(own, _)| *own != id);
    }

    pub fn start(&self) -> std::io::Result<()> {
        let (sender, receiver) = sync_channel::<Event>(EVENTS_MAX);
        let listeners = Arc::clone(&self.listeners);
        let worker = Worker::spawn("stream-listeners", None, move || {
            for event in receiver {
                let listeners: Vec<Arc<dyn Listener>> = listeners.read().iter().map(|(_, l)| Arc::clone(l)).collect();
                for listener in listeners {
                    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| listener.on_event(&event)));
                    if told.is_err() {
                        tracing::error!(?event, "a streaming listener panicked");
                    }
                }
            }
        })?;
        *self.worker.lock() = Some((sender, worker));
        Ok(())
    }

    pub fn post(&self, event: Event) {
        let worker = self.worker.lock();
        let Some((sender, _)) = worker.as_ref() else { return };
        if let Err(TrySendError::Full(event)) = sender.try_send(event) {
            tracing::warn!(?event, "listeners are too slow: an event is dropped");
        }
    }

    /// Whether this is the thread that tells listeners.
    pub fn called_by_listener(&self) -> bool {
        let worker = self.worker.lock();
        worker.as_ref().is_some_and(|(_, worker)| worker.is_current())
    }

    /// Ends when all events were given, unless it is called by a listener.
    pub fn stop(&self) {
        let Some((sender, worker)) = self.worker.lock().take() else { return };
        drop(sender);
        if !worker.is_current()
            && let Err(panic) = worker.join()
        {
            tracing::error!(panic, "the thread of streaming listeners panicked");
        }
    }
}
