//! Client sessions: what the protocol keeps beside the engine's session, and how long.
//!
//! A session begins with the first call that names it and ends when the client releases it, or after
//! [`SESSION_IDLE`] without a call, a running operation or an active streaming query. Its queries end with it. Ids of ended
//! sessions are remembered for a while, so that a late call does not bring an empty session to life.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::DataType;
use bytes::Bytes;
use millstream::{Engine, Session};
use millstream_formats::condition::SparkError;
use parking_lot::Mutex;
use spark_connect_proto::{StorageLevel, UserContext};
use tokio::sync::watch;
use tonic::Status;
use uuid::Uuid;

use crate::artifact::Artifacts;
use crate::convert::{Convert, Environment};
use crate::operation::Operation;
use crate::status::{ErrorLog, invalid_handle, status};

/// A session without a sign of life for so long ends.
const SESSION_IDLE: Duration = Duration::from_secs(60 * 60);
/// An operation without a stream for so long ends.
const OPERATION_GRACE: Duration = Duration::from_secs(5 * 60);
/// How often sessions and operations are looked through.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(10);
/// Ended sessions that are remembered.
const ENDED_KEPT: usize = 10_000;

/// A session of a client.
pub struct ClientSession {
    id: String,
    user: String,
    server_side_id: String,
    engine_session: Arc<Session>,
    /// What clients have uploaded.
    pub artifacts: Artifacts,
    /// Errors whose details may still be asked for.
    pub errors: ErrorLog,
    operations: Mutex<HashMap<String, Arc<Operation>>>,
    last_used: Mutex<Instant>,
    /// Ends the stream of listener events that is open, if one is.
    listener: Mutex<Option<watch::Sender<bool>>>,
    /// Storage levels of persisted relations by their semantic hash.
    pub storage_levels: Mutex<HashMap<i32, StorageLevel>>,
}

impl ClientSession {
    fn new(user: &str, id: &str, engine_session: Arc<Session>) -> Self {
        Self {
            id: id.to_string(),
            user: user.to_string(),
            server_side_id: Uuid::new_v4().to_string(),
            engine_session,
            artifacts: Artifacts::default(),
            errors: ErrorLog::default(),
            operations: Mutex::default(),
            last_used: Mutex::new(Instant::now()),
            listener: Mutex::default(),
            storage_levels: Mutex::default(),
        }
    }

    /// The id the client gave it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The id by which the client sees whether it still talks to the same session.
    pub fn server_side_id(&self) -> &str {
        &self.server_side_id
    }

    /// The engine's session.
    pub fn engine_session(&self) -> &Arc<Session> {
        &self.engine_session
    }

    /// A reader of plans for this session.
    pub fn convert(&self) -> Convert<'_> {
        Convert::new(self)
    }

    /// The session's time zone.
    pub fn time_zone(&self) -> String {
        self.engine_session.conf().get_option("spark.sql.session.timeZone").unwrap_or_else(|| "UTC".to_string())
    }

    /// Enters an operation.
    ///
    /// # Errors
    /// `INVALID_HANDLE.OPERATION_ALREADY_EXISTS`.
    pub fn begin(&self, operation: &Arc<Operation>) -> Result<(), SparkError> {
        let mut operations = self.operations.lock();
        if operations.contains_key(operation.id()) {
            return Err(invalid_handle("OPERATION_ALREADY_EXISTS", operation.id(), "Operation already exists."));
        }
        operations.insert(operation.id().to_string(), Arc::clone(operation));
        Ok(())
    }

    /// An operation by its id.
    ///
    /// # Errors
    /// `INVALID_HANDLE.OPERATION_NOT_FOUND`.
    pub fn operation(&self, id: &str) -> Result<Arc<Operation>, SparkError> {
        let found = self.operations.lock().get(id).cloned();
        found.ok_or_else(|| invalid_handle("OPERATION_NOT_FOUND", id, "Operation not found."))
    }

    /// All operations that are kept.
    pub fn operations(&self) -> Vec<Arc<Operation>> {
        self.operations.lock().values().cloned().collect()
    }

    /// Ends an operation and forgets it.
    pub fn release(&self, id: &str) {
        let operation = self.operations.lock().remove(id);
        if let Some(operation) = operation {
            operation.cancel();
        }
    }

    /// Cancels the running operations that `chosen` names; their ids.
    pub fn interrupt(&self, chosen: impl Fn(&Operation) -> bool) -> Vec<String> {
        let operations = self.operations();
        let interrupted = operations.iter().filter(|operation| chosen(operation) && operation.cancel());
        interrupted.map(|operation| operation.id().to_string()).collect()
    }

    /// Opens the stream of listener events: the receiver turns true when it shall end. An older stream ends.
    pub fn open_listener(&self) -> watch::Receiver<bool> {
        let (sender, receiver) = watch::channel(false);
        if let Some(older) = self.listener.lock().replace(sender) {
            older.send_replace(true);
        }
        receiver
    }

    /// Ends the stream of listener events.
    pub fn close_listener(&self) {
        if let Some(listener) = self.listener.lock().take() {
            listener.send_replace(true);
        }
    }

    fn touch(&self) {
        *self.last_used.lock() = Instant::now();
    }

    /// Ends operations that no client waits for, forgets those that have ended unseen.
    fn clean_up(&self) {
        let stale = |operation: &Arc<Operation>| {
            operation.abandoned(OPERATION_GRACE) || (!operation.reattachable() && !operation.running())
        };
        let stale: Vec<_> = self.operations().into_iter().filter(stale).collect();
        stale.iter().for_each(|operation| self.release(operation.id()));
    }

    fn idle(&self) -> bool {
        self.last_used.lock().elapsed() > SESSION_IDLE
            && self.operations.lock().is_empty()
            && self.engine_session.streams().active().is_empty()
    }

    fn end(&self) {
        self.close_listener();
        let ids: Vec<_> = self.operations.lock().keys().cloned().collect();
        ids.iter().for_each(|id| self.release(id));
    }
}

impl Environment for ClientSession {
    fn parse_type(&self, text: &str) -> Result<DataType, SparkError> {
        if text.trim_start().starts_with(['{', '"']) {
            return millstream_formats::types::from_json(text);
        }
        self.engine_session.parse_ddl(text)
    }

    fn artifact(&self, name: &str) -> Option<Bytes> {
        self.artifacts.get(name)
    }
}

/// User and session id.
type Key = (String, String);

#[derive(Default)]
struct State {
    open: HashMap<Key, Arc<ClientSession>>,
    /// Ended ones, oldest first.
    ended: VecDeque<Key>,
}

/// The sessions of a server.
pub struct Sessions {
    engine: Arc<Engine>,
    state: Mutex<State>,
}

impl Sessions {
    /// No sessions yet.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine, state: Mutex::default() }
    }

    /// The session a call names, begun if there is none.
    ///
    /// # Errors
    /// `INVALID_HANDLE`: no UUID, a session that has ended, or another one than the client has seen.
    pub fn open(
        &self,
        user: Option<&UserContext>,
        id: &str,
        observed: Option<&str>,
    ) -> Result<Arc<ClientSession>, Status> {
        self.find(user, id, observed, true).map_err(|error| status(&error, None))
    }

    /// The session a call names, which must exist.
    ///
    /// # Errors
    /// As [`Sessions::open`], and `INVALID_HANDLE.SESSION_NOT_FOUND`.
    pub fn existing(
        &self,
        user: Option<&UserContext>,
        id: &str,
        observed: Option<&str>,
    ) -> Result<Arc<ClientSession>, Status> {
        self.find(user, id, observed, false).map_err(|error| status(&error, None))
    }

    fn find(
        &self,
        user: Option<&UserContext>,
        id: &str,
        observed: Option<&str>,
        begin: bool,
    ) -> Result<Arc<ClientSession>, SparkError> {
        if Uuid::parse_str(id).is_err() {
            let sentence = "Handle must be an UUID string of the format '00112233-4455-6677-8899-aabbccddeeff'";
            return Err(invalid_handle("FORMAT", id, sentence));
        }
        let key = (user_id(user), id.to_string());
        let mut state = self.state.lock();
        let session = match state.open.get(&key) {
            Some(session) => Arc::clone(session),
            None if state.ended.contains(&key) => {
                return Err(invalid_handle("SESSION_CLOSED", id, "Session was closed."));
            }
            None if begin => {
                let session = Arc::new(ClientSession::new(&key.0, id, self.engine.session(&key.0, id)));
                state.open.insert(key, Arc::clone(&session));
                session
            }
            None => return Err(invalid_handle("SESSION_NOT_FOUND", id, "Session not found.")),
        };
        drop(state);
        if observed.is_some_and(|observed| !observed.is_empty() && observed != session.server_side_id) {
            let sentence = "The existing Spark server driver instance has restarted. Please reconnect.";
            return Err(invalid_handle("SESSION_CHANGED", id, sentence));
        }
        session.touch();
        Ok(session)
    }

    /// A new session that begins as a copy of another.
    ///
    /// # Errors
    /// `INVALID_HANDLE` if the new id is no UUID or taken.
    pub fn clone_session(&self, from: &ClientSession, new_id: &str) -> Result<Arc<ClientSession>, SparkError> {
        if Uuid::parse_str(new_id).is_err() {
            let sentence = "Handle must be an UUID string of the format '00112233-4455-6677-8899-aabbccddeeff'";
            return Err(invalid_handle("FORMAT", new_id, sentence));
        }
        let key = (from.user.clone(), new_id.to_string());
        let mut state = self.state.lock();
        if state.open.contains_key(&key) || state.ended.contains(&key) {
            return Err(invalid_handle("SESSION_ALREADY_EXISTS", new_id, "Session already exists."));
        }
        let engine_session = self.engine.clone_session(&from.user, &from.engine_session, new_id)?;
        let session = Arc::new(ClientSession {
            artifacts: from.artifacts.fork(),
            ..ClientSession::new(&from.user, new_id, engine_session)
        });
        state.open.insert(key, Arc::clone(&session));
        Ok(session)
    }

    /// Ends a session; its server-side id, if it was open. Blocks until its queries have ended.
    pub fn release(&self, user: Option<&UserContext>, id: &str, allow_reconnect: bool) -> Option<String> {
        self.end(&(user_id(user), id.to_string()), allow_reconnect)
    }

    fn end(&self, key: &Key, allow_reconnect: bool) -> Option<String> {
        let session = {
            let mut state = self.state.lock();
            if !allow_reconnect && !state.ended.contains(key) {
                if state.ended.len() >= ENDED_KEPT {
                    state.ended.pop_front();
                }
                state.ended.push_back(key.clone());
            }
            state.open.remove(key)
        };
        let session = session?;
        session.end();
        self.engine.release(&key.0, &key.1);
        Some(session.server_side_id.clone())
    }

    /// Stops the queries of all sessions and ends the streams of their listeners. Blocks until the queries have ended.
    pub fn stop_queries(&self) {
        let sessions: Vec<_> = self.state.lock().open.values().cloned().collect();
        let queries = sessions.iter().flat_map(|session| session.engine_session.streams().active());
        queries.for_each(|query| query.request_stop());
        sessions.iter().for_each(|session| {
            session.engine_session.streams().stop_all();
            session.close_listener();
        });
    }

    /// Ends all sessions. Blocks until their queries have ended.
    pub fn end_all(&self) {
        let keys: Vec<Key> = self.state.lock().open.keys().cloned().collect();
        keys.iter().for_each(|key| {
            self.end(key, false);
        });
    }

    /// Cleans up from time to time, for ever.
    pub async fn maintain(self: Arc<Self>) {
        loop {
            tokio::time::sleep(MAINTENANCE_INTERVAL).await;
            let sessions: Vec<_> = self.state.lock().open.values().cloned().collect();
            for session in sessions {
                session.clean_up();
                if session.idle() {
                    let all = Arc::clone(&self);
                    let key = (session.user.clone(), session.id.clone());
                    // An idle session has no queries to wait for, but releasing may still take a lock for long.
                    let _ended = tokio::task::spawn_blocking(move || all.end(&key, false)).await;
                }
            }
        }
    }
}

fn user_id(user: Option<&UserContext>) -> String {
    user.map(|user| user.user_id.clone()).unwrap_or_default()
}
