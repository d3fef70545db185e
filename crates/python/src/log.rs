//! What the engine logs, on standard error: warnings, unless the environment variable `MILLSTREAM_LOG` (a filter such as
//! `info` or `millstream_engine=debug`) or `sparkContext.setLogLevel` asks for more or less.

use std::sync::OnceLock;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tracing_subscriber::EnvFilter;

type SetFilter = Box<dyn Fn(EnvFilter) + Send + Sync>;

static SET_FILTER: OnceLock<SetFilter> = OnceLock::new();

/// Begins to log; a second call changes nothing.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_env("MILLSTREAM_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let logger = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_env_filter(filter)
        .with_filter_reloading();
    let handle = logger.reload_handle();
    SET_FILTER.get_or_init(|| {
        Box::new(move |filter| {
            // Fails only if the logger has gone, and then there is nothing to set.
            let _set = handle.reload(filter);
        })
    });
    // Another logger in this process takes precedence.
    let _installed = logger.try_init();
}

/// Logs from this level of Spark's on: `ALL`, `DEBUG`, `ERROR`, `FATAL`, `INFO`, `OFF`, `TRACE` or `WARN`.
#[pyfunction]
pub(crate) fn set_log_level(level: &str) -> PyResult<()> {
    let directive = match level.to_ascii_uppercase().as_str() {
        "ALL" | "TRACE" => "trace",
        "DEBUG" => "debug",
        "INFO" => "info",
        "WARN" => "warn",
        "ERROR" | "FATAL" => "error",
        "OFF" => "off",
        _ => return Err(PyValueError::new_err(format!("{level} is no log level"))),
    };
    if let Some(set) = SET_FILTER.get() {
        set(EnvFilter::new(directive));
    }
    Ok(())
}
