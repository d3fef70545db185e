//! The queries of one session: which are active, waiting for any of them, listening to all of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_formats::condition::{ExceptionClass, SparkError};
use parking_lot::{Condvar, Mutex};
use serde_json::json;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::progress::{Progress, json_time};
use crate::query::{QueryIdentity, StreamingQuery};

/// How many events a listener may be behind before it is dropped.
const EVENTS_MAX: usize = 4096;

/// Something that happened to a query, as a `StreamingQueryListener` sees it.
#[derive(Debug, Clone)]
pub enum QueryEvent {
    /// A batch ran.
    Progress(Arc<Progress>),
    /// Nothing to do for a while; when, ms.
    Idle(QueryIdentity, i64),
    /// It ended, with the text and the condition of its error.
    Terminated(QueryIdentity, Option<(String, Option<String>)>),
}

impl QueryEvent {
    /// Spark's JSON of the event.
    pub fn to_json(&self) -> String {
        match self {
            QueryEvent::Progress(progress) => format!("{{\"progress\":{}}}", progress.to_json()),
            QueryEvent::Idle(query, ms) => {
                json!({"id": query.id.to_string(), "runId": query.run_id.to_string(), "timestamp": json_time(*ms)})
                    .to_string()
            }
            QueryEvent::Terminated(query, error) => {
                let (exception, condition) = match error {
                    Some((text, condition)) => (Some(text), condition.as_ref()),
                    None => (None, None),
                };
                json!({"id": query.id.to_string(), "runId": query.run_id.to_string(), "exception": exception, "errorClassOnException": condition})
                    .to_string()
            }
        }
    }
}

/// JSON of the event that announces a start; the client that started the query gets it with the answer.
pub fn started_event_json(query: &QueryIdentity, now_ms: i64) -> String {
    json!({"id": query.id.to_string(), "runId": query.run_id.to_string(), "name": query.name, "timestamp": json_time(now_ms), "jobTags": []})
        .to_string()
}

#[derive(Default)]
struct Queries {
    active: HashMap<Uuid, Arc<StreamingQuery>>,
    /// Ended ones stay reachable by id and run, as long as the session lives.
    ended: HashMap<Uuid, Arc<StreamingQuery>>,
    /// Ends since the last reset: `awaitAnyTermination` returns at once while there is one.
    terminated: Vec<Arc<StreamingQuery>>,
    listeners: Vec<mpsc::Sender<QueryEvent>>,
}

/// The queries of one session.
#[derive(Default)]
pub struct QueryManager {
    queries: Mutex<Queries>,
    ended: Condvar,
}

impl QueryManager {
    /// The active queries.
    pub fn active(&self) -> Vec<Arc<StreamingQuery>> {
        self.queries.lock().active.values().cloned().collect()
    }

    /// An active query by id.
    pub fn get(&self, id: Uuid) -> Option<Arc<StreamingQuery>> {
        self.queries.lock().active.get(&id).cloned()
    }

    /// A query by id and run, also one that has ended.
    pub fn find(&self, id: Uuid, run_id: Uuid) -> Option<Arc<StreamingQuery>> {
        let queries = self.queries.lock();
        queries.ended.get(&run_id).or_else(|| queries.active.get(&id).filter(|q| q.run_id() == run_id)).cloned()
    }

    /// Events of all queries from now on, until the receiver is dropped. One that falls too far behind is cut off.
    pub fn subscribe(&self) -> mpsc::Receiver<QueryEvent> {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        self.queries.lock().listeners.push(sender);
        receiver
    }

    /// Whether anyone listens.
    pub fn has_listeners(&self) -> bool {
        let mut queries = self.queries.lock();
        queries.listeners.retain(|l| !l.is_closed());
        !queries.listeners.is_empty()
    }

    /// Waits until any query has ended since the last reset, or for `timeout`; whether one has.
    ///
    /// # Errors
    /// The error of a query that failed.
    pub fn await_any_termination(&self, timeout: Option<Duration>) -> Result<bool, SparkError> {
        let deadline = timeout.map(|t| Instant::now() + t);
        let mut queries = self.queries.lock();
        while queries.terminated.is_empty() {
            match deadline {
                None => self.ended.wait(&mut queries),
                Some(deadline) => {
                    if self.ended.wait_until(&mut queries, deadline).timed_out() && queries.terminated.is_empty() {
                        return Ok(false);
                    }
                }
            }
        }
        match queries.terminated.iter().find_map(|q| q.exception()) {
            Some(error) => Err(error),
            None => Ok(true),
        }
    }

    /// Forgets the ends so far.
    pub fn reset_terminated(&self) {
        self.queries.lock().terminated.clear();
    }

    /// Stops all queries and waits for them.
    pub fn stop_all(&self) {
        let active = self.active();
        active.iter().for_each(|q| q.request_stop());
        active.iter().for_each(|q| q.stop());
    }

    /// Enters a query that is about to run.
    ///
    /// # Errors
    /// If a query of that name or id is active.
    pub(crate) fn add(&self, query: &Arc<StreamingQuery>) -> Result<(), SparkError> {
        let mut queries = self.queries.lock();
        if let Some(name) = query.name()
            && queries.active.values().any(|q| q.name() == Some(name))
        {
            return Err(SparkError::plain(
                ExceptionClass::IllegalArgument,
                format!(
                    "Cannot start query with name {name} as a query with that name is already active in this SparkSession"
                ),
            ));
        }
        if queries.active.contains_key(&query.id()) {
            let text = format!(
                "Cannot start query with id {} as another query with same id is already active. Perhaps you are attempting to \
                 restart a query from checkpoint that is already active. You may stop the old query by setting the SQL \
                 configuration: spark.conf.set(\"spark.sql.streaming.stopActiveRunOnRestart\", true) and retry.",
                query.id()
            );
            return Err(SparkError::plain(ExceptionClass::IllegalState, text));
        }
        queries.active.insert(query.id(), Arc::clone(query));
        Ok(())
    }

    /// Takes back [`QueryManager::add`] for a query that could not begin.
    pub(crate) fn forget(&self, query: &StreamingQuery) {
        self.queries.lock().active.remove(&query.id());
    }

    /// Takes note of an end and tells the listeners. `finish` tells those who wait for the query: under the lock, so that whoever
    /// has seen the end can start the next run from the same checkpoint.
    pub(crate) fn ended(&self, query: &StreamingQuery, finish: impl FnOnce()) {
        {
            let mut queries = self.queries.lock();
            finish();
            if let Some(handle) = queries.active.remove(&query.id()) {
                queries.ended.insert(handle.run_id(), Arc::clone(&handle));
                queries.terminated.push(handle);
            }
        }
        self.ended.notify_all();
        let error = query.exception().map(|e| {
            let cause = e.cause().unwrap_or(&e);
            (e.to_string(), cause.condition().map(str::to_string))
        });
        self.publish(&QueryEvent::Terminated(query.identity().clone(), error));
    }

    pub(crate) fn publish(&self, event: &QueryEvent) {
        self.queries.lock().listeners.retain(|listener| match listener.try_send(event.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Closed(_)) => false,
            Err(mpsc::error::TrySendError::Full(_)) => {
                tracing::warn!("a streaming query listener is more than {EVENTS_MAX} events behind and is cut off");
                false
            }
        });
    }
}
