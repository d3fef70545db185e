//! The engine of a process: sessions, shared tables, and the threads that compute.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_runtime::{Endpoint, EndpointError, EndpointOptions};
use parking_lot::Mutex;
use tokio::runtime::Runtime;

use crate::conf::Conf;
use crate::session::Session;
use crate::tables::SharedTables;

/// How an engine is set up.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Where `saveAsTable` and `toTable` put their files.
    pub warehouse: PathBuf,
    /// How many threads compute; partitions of a batch run on them.
    pub cores: usize,
    /// Default of `spark.sql.session.timeZone`: a region id.
    pub time_zone: String,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            warehouse: PathBuf::from("spark-warehouse"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            time_zone: millstream_formats::zone::of_this_machine(),
        }
    }
}

/// The engine of a process. Cheap to share; ends with [`Engine::shutdown`] or when the last handle is dropped.
pub struct Engine {
    options: EngineOptions,
    pub(crate) tables: SharedTables,
    /// Threads that compute batch queries. Streaming queries have threads of their own.
    compute: Mutex<Option<Runtime>>,
    sessions: Mutex<HashMap<(String, String), Arc<Session>>>,
    /// The door to the figures of the process, once it is wanted.
    metrics: Mutex<Option<Arc<Endpoint>>>,
}

impl Engine {
    /// Starts the computing threads.
    ///
    /// # Errors
    /// If the system has no threads left.
    pub fn new(options: EngineOptions) -> Result<Arc<Self>, SparkError> {
        let compute = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(options.cores.max(1))
            .thread_name("compute")
            .build()
            .map_err(|e| {
                SparkError::plain(ExceptionClass::Spark, format!("Cannot start the computing threads: {e}"))
            })?;
        Ok(Arc::new(Self {
            tables: SharedTables::new(options.warehouse.clone()),
            options,
            compute: Mutex::new(Some(compute)),
            sessions: Mutex::new(HashMap::new()),
            metrics: Mutex::default(),
        }))
    }

    /// How the engine was set up.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// The session of this user and id, made if there is none.
    pub fn session(self: &Arc<Self>, user: &str, id: &str) -> Arc<Session> {
        let mut sessions = self.sessions.lock();
        let key = (user.to_string(), id.to_string());
        Arc::clone(sessions.entry(key).or_insert_with(|| Session::new(Arc::clone(self), user, self.conf())))
    }

    /// The session of this user and id, if there is one.
    pub fn existing(&self, user: &str, id: &str) -> Option<Arc<Session>> {
        self.sessions.lock().get(&(user.to_string(), id.to_string())).cloned()
    }

    /// A session under a new id that begins with the settings, views and functions of another.
    ///
    /// # Errors
    /// If the new id is taken.
    pub fn clone_session(self: &Arc<Self>, user: &str, from: &Session, id: &str) -> Result<Arc<Session>, SparkError> {
        let mut sessions = self.sessions.lock();
        let key = (user.to_string(), id.to_string());
        if sessions.contains_key(&key) {
            return Err(SparkError::plain(
                ExceptionClass::IllegalArgument,
                format!("The session {id} exists already."),
            ));
        }
        let session = from.fork();
        sessions.insert(key, Arc::clone(&session));
        Ok(session)
    }

    /// Ends a session: its queries stop, its views go. Blocks until they have.
    pub fn release(&self, user: &str, id: &str) {
        let session = self.sessions.lock().remove(&(user.to_string(), id.to_string()));
        if let Some(session) = session {
            session.streams().stop_all();
        }
    }

    /// Serves the figures of all streams of the process over HTTP until the engine ends; the address.
    ///
    /// # Errors
    /// The port is in use, or the host not of this machine.
    pub fn serve_metrics(&self, options: &EndpointOptions) -> Result<SocketAddr, EndpointError> {
        let mut metrics = self.metrics.lock();
        let endpoint = Endpoint::of_process(options)?;
        let address = endpoint.address();
        *metrics = Some(endpoint);
        Ok(address)
    }

    /// Stops all queries and threads. Blocks until the queries have ended.
    pub fn shutdown(&self) {
        let sessions: Vec<Arc<Session>> = self.sessions.lock().drain().map(|(_, s)| s).collect();
        sessions.iter().for_each(|s| s.streams().active().iter().for_each(|q| q.request_stop()));
        sessions.iter().for_each(|s| s.streams().stop_all());
        if let Some(compute) = self.compute.lock().take() {
            compute.shutdown_background();
        }
        *self.metrics.lock() = None;
    }

    /// Where futures that compute are spawned.
    ///
    /// # Errors
    /// If the engine has been shut down.
    pub(crate) fn compute(&self) -> Result<tokio::runtime::Handle, SparkError> {
        let compute = self.compute.lock();
        let runtime =
            compute.as_ref().ok_or_else(|| SparkError::plain(ExceptionClass::Spark, "The engine was stopped."))?;
        Ok(runtime.handle().clone())
    }

    fn conf(&self) -> Conf {
        Conf::new(self.options.time_zone.clone(), self.options.warehouse.display().to_string())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A runtime that is dropped on a thread of another runtime must not wait for its own.
        if let Some(compute) = self.compute.get_mut().take() {
            compute.shutdown_background();
        }
    }
}
