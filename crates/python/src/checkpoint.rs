//! What `millstream checkpoint` shows.

use std::path::PathBuf;

use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_state::inspect::{self, RowsWanted};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

/// `ValueError` for what the caller has asked for wrongly, `OSError` for what the files hold.
fn raised(error: &SparkError) -> PyErr {
    match error.class() {
        ExceptionClass::IllegalArgument => PyValueError::new_err(error.to_string()),
        _ => PyOSError::new_err(error.to_string()),
    }
}

/// What a checkpoint holds, as text.
#[pyfunction]
pub(crate) fn checkpoint_summary(py: Python<'_>, path: PathBuf) -> PyResult<String> {
    py.detach(|| inspect::check_is_checkpoint(&path).and_then(|()| inspect::summary(&path))).map_err(|e| raised(&e))
}

/// Rows of state, as tables or one JSON object a line.
#[pyfunction]
#[pyo3(signature = (path, *, operator=None, store=None, batch=None, limit=None, json=false))]
pub(crate) fn checkpoint_rows(
    py: Python<'_>,
    path: PathBuf,
    operator: Option<usize>,
    store: Option<String>,
    batch: Option<u64>,
    limit: Option<usize>,
    json: bool,
) -> PyResult<String> {
    let wanted = RowsWanted { operator, store, batch, limit };
    let show = || match json {
        true => inspect::state_json(&path, &wanted),
        false => inspect::state_table(&path, &wanted),
    };
    py.detach(|| inspect::check_is_checkpoint(&path).and_then(|()| show())).map_err(|e| raised(&e))
}

/// What is wrong with a checkpoint and with the log of a file sink: files and rows that were read, and for each fault whether it
/// is fatal, its file and what is wrong.
#[pyfunction]
#[pyo3(signature = (path, sink=None))]
#[expect(clippy::type_complexity, reason = "a tuple in Python")]
pub(crate) fn checkpoint_verify(
    py: Python<'_>,
    path: PathBuf,
    sink: Option<PathBuf>,
) -> PyResult<(u64, u64, Vec<(bool, PathBuf, String)>)> {
    let verified = py.detach(|| {
        inspect::check_is_checkpoint(&path)?;
        let mut found = inspect::verify(&path);
        if let Some(sink) = &sink {
            let of_sink = inspect::verify_sink(&path, sink);
            found.files += of_sink.files;
            found.findings.extend(of_sink.findings);
        }
        Ok::<_, SparkError>(found)
    });
    let verified = verified.map_err(|e| raised(&e))?;
    let findings = verified.findings.into_iter().map(|f| (f.fatal, f.path, f.problem)).collect();
    Ok((verified.files, verified.rows, findings))
}
