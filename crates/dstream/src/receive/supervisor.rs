//! Runs a receiver in a thread of its own, and starts it anew when it asks for that.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use millstream_runtime::Worker;
use parking_lot::Mutex;

use super::{Intake, OpenBlock, Receiver, ReceiverControl, Shelf, Store};
use crate::listener::{Event, ReceiverInfo};
use crate::{Clock, StreamError, Time};

/// Where a receiver's news go.
#[derive(Clone)]
pub(crate) struct Supervisor {
    pub post: Arc<dyn Fn(Event) + Send + Sync>,
    pub fail: Arc<dyn Fn(StreamError) + Send + Sync>,
    pub restart_delay: Duration,
    pub clock: Clock,
}

/// A receiver that runs.
pub(crate) struct Running {
    shelf: Arc<dyn Shelf>,
    worker: Worker,
}

/// A receiver that does not end within this time after it was told to is left alone.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

impl Running {
    pub fn ask_to_stop(&self) {
        self.shelf.stop();
    }

    /// Waits until it has stored its last element.
    pub fn join(self) {
        if self.worker.wait(Some(STOP_TIMEOUT)) == Ok(false) {
            tracing::warn!("a receiver did not stop in time");
            return;
        }
        if let Err(panic) = self.worker.join() {
            tracing::error!(panic, "the thread of a receiver panicked");
        }
    }
}

impl Supervisor {
    /// Starts a receiver.
    pub fn start<O: OpenBlock>(
        self,
        input: usize,
        receiver: Box<dyn Receiver<O>>,
        intake: Arc<Intake<O>>,
    ) -> std::io::Result<Running> {
        let shelf: Arc<dyn Shelf> = Arc::clone(&intake) as Arc<dyn Shelf>;
        let name = format!("stream-receiver-{input}");
        let worker = Worker::spawn(&name, None, move || self.run(input, receiver, &intake))?;
        Ok(Running { shelf, worker })
    }

    fn run<O: OpenBlock>(self, input: usize, mut receiver: Box<dyn Receiver<O>>, intake: &Arc<Intake<O>>) {
        let info = Arc::new(Mutex::new(ReceiverInfo {
            input,
            name: format!("{}-{input}", receiver.name()),
            active: false,
            location: "localhost".to_owned(),
            executor: "driver".to_owned(),
            last_error_message: String::new(),
            last_error: String::new(),
            last_error_time: Time::from_ms(-1),
        }));
        while !intake.signal.is_stopped() {
            info.lock().active = true;
            (self.post)(Event::ReceiverStarted(info.lock().clone()));
            let control = self.receive_once(receiver.as_mut(), intake, &info);
            intake.set_on_stop(None);
            let control = if intake.signal.is_stopped() {
                ReceiverControl::Stop { message: STOPPED.to_owned() }
            } else {
                control
            };
            let (message, error, again) = match control {
                ReceiverControl::Restart { message, error } => {
                    let delay = self.restart_delay.as_millis();
                    (format!("Restarting receiver with delay {delay}ms: {message}"), error, true)
                }
                ReceiverControl::Stop { message } => (message, None, false),
                ReceiverControl::Fail { message } => {
                    self.note_error(&info, message.clone(), None);
                    (self.post)(Event::ReceiverError(info.lock().clone()));
                    (self.fail)(StreamError::Receiver(message.clone()));
                    (message, None, false)
                }
            };
            tracing::info!(input, message, error, "receiver stopped");
            info.lock().active = false;
            self.note_error(&info, message, error);
            (self.post)(Event::ReceiverStopped(info.lock().clone()));
            if !again || intake.signal.wait(self.restart_delay) {
                return;
            }
        }
    }

    fn receive_once<O: OpenBlock>(
        &self,
        receiver: &mut dyn Receiver<O>,
        intake: &Arc<Intake<O>>,
        info: &Arc<Mutex<ReceiverInfo>>,
    ) -> ReceiverControl {
        let (supervisor, reported) = (self.clone(), Arc::clone(info));
        let report = move |message: String, error: Option<String>| {
            supervisor.note_error(&reported, message, error);
            (supervisor.post)(Event::ReceiverError(reported.lock().clone()));
        };
        let mut store = Store::new(Arc::clone(intake), Box::new(report));
        catch_unwind(AssertUnwindSafe(|| receiver.receive(&mut store))).unwrap_or_else(|payload| {
            ReceiverControl::Restart {
                message: "The receiver panicked".to_owned(),
                error: Some(StreamError::panic(payload.as_ref()).to_string()),
            }
        })
    }

    fn note_error(&self, info: &Mutex<ReceiverInfo>, message: String, error: Option<String>) {
        let mut info = info.lock();
        info.last_error_message = message;
        info.last_error = error.unwrap_or_default();
        info.last_error_time = self.clock.now();
    }
}

const STOPPED: &str = "Stopped by driver";
