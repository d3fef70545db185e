//! The embedded server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream::{EndpointOptions, Engine, EngineOptions};
use millstream_connect::{ServerError, ServerOptions};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

/// An engine and its server; both run until `stop`.
#[pyclass(frozen, module = "millstream._native")]
pub(crate) struct Server {
    address: SocketAddr,
    engine: Arc<Engine>,
    running: Arc<Mutex<Option<millstream_connect::Server>>>,
}

#[pymethods]
impl Server {
    #[new]
    #[pyo3(signature = (host="127.0.0.1", port=0, token=None, *, warehouse=None, cores=None, metrics=None))]
    fn new(
        py: Python<'_>,
        host: &str,
        port: u16,
        token: Option<String>,
        warehouse: Option<PathBuf>,
        cores: Option<usize>,
        metrics: Option<(Option<String>, u16)>,
    ) -> PyResult<Self> {
        let options = ServerOptions { host: host.to_string(), port, token };
        let metrics = metrics.map(|(host, port)| EndpointOptions { host, port });
        py.detach(|| start(&options, warehouse, cores, metrics.as_ref()))
    }

    #[getter]
    fn host(&self) -> String {
        self.address.ip().to_string()
    }

    #[getter]
    fn port(&self) -> u16 {
        self.address.port()
    }

    /// Stops the queries of all sessions and ends their listeners' streams; clients may go on talking to the server.
    /// Whether that was done within `timeout` seconds.
    fn stop_queries(&self, py: Python<'_>, timeout: f64) -> PyResult<bool> {
        let running = Arc::clone(&self.running);
        within(py, timeout, move || {
            if let Ok(guard) = running.lock()
                && let Some(server) = guard.as_ref()
            {
                server.stop_queries();
            }
        })
    }

    /// Ends sessions, server and engine. Whether that was done within `timeout` seconds; if not, it goes on behind.
    fn stop(&self, py: Python<'_>, timeout: f64) -> PyResult<bool> {
        let running = Arc::clone(&self.running);
        let engine = Arc::clone(&self.engine);
        within(py, timeout, move || {
            let server = running.lock().ok().and_then(|mut running| running.take());
            if let Some(mut server) = server {
                server.stop();
                engine.shutdown();
            }
        })
    }
}

fn start(
    options: &ServerOptions,
    warehouse: Option<PathBuf>,
    cores: Option<usize>,
    metrics: Option<&EndpointOptions>,
) -> PyResult<Server> {
    let mut engine_options = EngineOptions::default();
    if let Some(warehouse) = warehouse {
        engine_options.warehouse = warehouse;
    }
    if let Some(cores) = cores {
        engine_options.cores = cores.max(1);
    }
    let engine = Engine::new(engine_options).map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    if let Some(metrics) = metrics {
        engine.serve_metrics(metrics).map_err(|error| PyOSError::new_err(error.to_string()))?;
    }
    let server = millstream_connect::Server::start(Arc::clone(&engine), options).map_err(|error| match error {
        ServerError::Bind { .. } | ServerError::Host { .. } => PyOSError::new_err(error.to_string()),
        ServerError::TokenNeeded { .. } => PyValueError::new_err(error.to_string()),
        _ => PyRuntimeError::new_err(error.to_string()),
    })?;
    Ok(Server { address: server.address(), engine, running: Arc::new(Mutex::new(Some(server))) })
}

/// Does the work on a thread of its own and waits for it so long.
fn within(py: Python<'_>, seconds: f64, work: impl FnOnce() + Send + 'static) -> PyResult<bool> {
    let timeout = Duration::try_from_secs_f64(seconds).map_err(|error| PyValueError::new_err(error.to_string()))?;
    let (done, end) = mpsc::channel();
    std::thread::spawn(move || {
        work();
        // Nobody listens after the timeout.
        let _heard = done.send(());
    });
    Ok(py.detach(move || end.recv_timeout(timeout).is_ok()))
}
