//! The handle of a streaming query: what a program can ask of it and tell it, from any thread.
//!
//! The query itself runs on a thread of its own (`micro_batch`). That thread is the only writer of [`Shared`]; handles read it,
//! signal to it, and wait for its end.

use std::sync::Arc;
use std::time::Duration;

use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_runtime::{History, Signal, Termination, Worker};
use parking_lot::{Condvar, Mutex};
use uuid::Uuid;

use crate::progress::Progress;

/// What distinguishes a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryIdentity {
    /// The same in every run from one checkpoint.
    pub id: Uuid,
    /// New in every run.
    pub run_id: Uuid,
    /// As the user named it; unique among the active queries of a session.
    pub name: Option<String>,
}

/// What a query is doing right now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryStatus {
    /// A sentence, as Spark words it: `Waiting for data to arrive`, `Stopped`, ….
    pub message: String,
    /// Whether the last look at the sources found something new.
    pub data_available: bool,
    /// Whether a trigger is being served.
    pub trigger_active: bool,
}

/// What the thread of the query and its handles share.
pub(crate) struct Shared {
    /// Stops the query, and wakes it when data may have arrived.
    pub signal: Signal,
    /// The newest reports.
    pub recent: History<Arc<Progress>>,
    termination: Termination<SparkError>,
    state: Mutex<State>,
    /// A trigger found nothing to do, or the query has ended.
    quiet: Condvar,
}

struct State {
    status: QueryStatus,
    explain: Option<(String, String)>,
    /// Triggers that have begun, and the newest of them that found nothing to do.
    triggers_begun: u64,
    quiet_trigger: u64,
}

impl Shared {
    pub(crate) fn new(recent_max: usize) -> Self {
        let status =
            QueryStatus { message: "Initializing sources".into(), data_available: false, trigger_active: false };
        Self {
            signal: Signal::default(),
            recent: History::new(recent_max),
            termination: Termination::default(),
            state: Mutex::new(State { status, explain: None, triggers_begun: 0, quiet_trigger: 0 }),
            quiet: Condvar::new(),
        }
    }

    pub(crate) fn set_status(&self, message: &str, data_available: bool, trigger_active: bool) {
        self.state.lock().status = QueryStatus { message: message.into(), data_available, trigger_active };
    }

    pub(crate) fn set_explain(&self, simple: String, extended: String) {
        self.state.lock().explain = Some((simple, extended));
    }

    pub(crate) fn begin_trigger(&self) -> u64 {
        let mut state = self.state.lock();
        state.triggers_begun += 1;
        state.triggers_begun
    }

    /// The trigger found nothing to do.
    pub(crate) fn quiet(&self, trigger: u64) {
        self.state.lock().quiet_trigger = trigger;
        self.quiet.notify_all();
    }

    pub(crate) fn finish(&self, failure: Option<SparkError>) {
        let message = match &failure {
            Some(error) => format!("Terminated with exception: {error}"),
            None => "Stopped".to_string(),
        };
        let mut state = self.state.lock();
        state.status = QueryStatus { message, data_available: false, trigger_active: false };
        self.termination.end(failure);
        self.quiet.notify_all();
    }
}

/// A streaming query that was started.
pub struct StreamingQuery {
    identity: QueryIdentity,
    shared: Arc<Shared>,
    /// Its thread, until somebody has waited for it.
    worker: Mutex<Option<Worker>>,
}

impl StreamingQuery {
    pub(crate) fn new(identity: QueryIdentity, shared: Arc<Shared>) -> Self {
        Self { identity, shared, worker: Mutex::default() }
    }

    /// Runs the query on a thread of its own.
    pub(crate) fn run(&self, body: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let name = self.name().map_or_else(|| self.run_id().to_string().chars().take(8).collect(), str::to_string);
        *self.worker.lock() = Some(Worker::spawn(&format!("query {name}"), None, body)?);
        Ok(())
    }

    /// Ids and name.
    pub fn identity(&self) -> &QueryIdentity {
        &self.identity
    }

    /// The same in every run from one checkpoint.
    pub fn id(&self) -> Uuid {
        self.identity.id
    }

    /// New in every run.
    pub fn run_id(&self) -> Uuid {
        self.identity.run_id
    }

    /// As the user named it.
    pub fn name(&self) -> Option<&str> {
        self.identity.name.as_deref()
    }

    /// Whether it runs.
    pub fn is_active(&self) -> bool {
        !self.shared.termination.is_ended()
    }

    /// What it is doing.
    pub fn status(&self) -> QueryStatus {
        self.shared.state.lock().status.clone()
    }

    /// The newest reports, oldest first; `spark.sql.streaming.numRecentProgressUpdates` of them are kept.
    pub fn recent_progress(&self) -> Vec<Arc<Progress>> {
        self.shared.recent.all()
    }

    /// The newest report.
    pub fn last_progress(&self) -> Option<Arc<Progress>> {
        self.shared.recent.last()
    }

    /// The error it ended with: condition `STREAM_FAILED`, its cause inside.
    pub fn exception(&self) -> Option<SparkError> {
        self.shared.termination.error()
    }

    /// The plan of its batches, or none while no batch has been planned.
    pub fn explain(&self, extended: bool) -> Option<String> {
        let state = self.shared.state.lock();
        state.explain.as_ref().map(|(simple, full)| if extended { full.clone() } else { simple.clone() })
    }

    /// Waits until it ends, or for `timeout`; whether it has ended.
    ///
    /// # Errors
    /// The error it ended with.
    pub fn await_termination(&self, timeout: Option<Duration>) -> Result<bool, SparkError> {
        self.shared.termination.wait(timeout)
    }

    /// Waits until everything that was there when it was called has been processed and committed.
    ///
    /// # Errors
    /// The error the query ended with meanwhile.
    pub fn process_all_available(&self) -> Result<(), SparkError> {
        let mut state = self.shared.state.lock();
        // A trigger that has begun already may have looked at the sources before the data came.
        let enough = state.triggers_begun + 1;
        self.shared.signal.wake();
        while state.quiet_trigger < enough && self.is_active() {
            self.shared.quiet.wait(&mut state);
        }
        self.exception().map_or(Ok(()), Err)
    }

    /// Asks the query to stop, without waiting for it.
    pub fn request_stop(&self) {
        self.shared.signal.stop();
    }

    /// Stops the query and waits until it has ended, listeners have been told, and its thread is gone; the batch in work is given up.
    /// Its failure is not reported here.
    pub fn stop(&self) {
        self.request_stop();
        self.shared.termination.wait_for_end(None);
        let worker = self.worker.lock().take();
        if let Some(Err(panic)) = worker.filter(|worker| !worker.is_current()).map(Worker::join) {
            tracing::error!(query = %self.identity.id, panic, "the thread of a query panicked");
        }
    }
}

/// The error a failed query reports, around its cause.
pub(crate) fn stream_failed(identity: &QueryIdentity, cause: &SparkError, batch: Option<i64>) -> SparkError {
    let (id, run_id) = (identity.id.to_string(), identity.run_id.to_string());
    let mut message = format!("Query [id = {id}, runId = {run_id}] terminated with exception: {cause}");
    if cause.is_of_storage() {
        let name = identity.name.as_deref().unwrap_or("without a name");
        let batch = batch.map_or_else(|| "its start".to_string(), |batch| format!("batch {batch}"));
        message.push_str(&format!(
            " The query {name} was at {batch}. Nothing that was committed is lost: started again from its checkpoint once the \
             file can be used, it goes on there."
        ));
    }
    SparkError::new(ExceptionClass::StreamingQuery, "STREAM_FAILED", "XXKST", message)
        .with("id", id)
        .with("runId", run_id)
        .with("message", cause.to_string())
        .caused_by(cause.clone())
}
