//! Batches of a Python stream: RDD objects, and what the graph does with them.
//!
//! Every method hands the work to `millstream.streaming.datasets.Datasets`, holding the interpreter's lock only for that call. An
//! exception of Python travels through the graph as it is.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use millstream_dstream::{Datasets, StorageLevel, StreamError, TextBlock};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// An RDD, or whatever stands for one.
pub(crate) type Rdd = Arc<Held>;

/// A Python object that is let go on the thread that drops it. Otherwise the next thread that takes the interpreter's lock would
/// do that, and if it is the main thread, a Ctrl-C could be lost in a finalizer.
pub(crate) struct Held(Option<Py<PyAny>>);

impl Held {
    /// Holds the object.
    pub(crate) fn shared(object: Py<PyAny>) -> Rdd {
        Arc::new(Held(Some(object)))
    }

    /// The object.
    pub(crate) fn object<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.0.as_ref().map_or_else(|| py.None().into_bound(py), |object| object.bind(py).clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let object = self.0.take();
        // Without an interpreter there is nothing to let go of.
        Python::try_attach(|_| drop(object));
    }
}

/// A storage level as plain values: disk, memory, off heap, deserialized, replication.
pub(crate) type Level = (bool, bool, bool, bool, u32);

/// Calls of Python by threads of graphs that have not come back.
static CALLS: AtomicUsize = AtomicUsize::new(0);

/// Calls Python from a thread of a graph.
pub(crate) fn with_python<T>(call: impl FnOnce(Python<'_>) -> T) -> T {
    struct Call;
    impl Drop for Call {
        fn drop(&mut self) {
            CALLS.fetch_sub(1, Ordering::SeqCst);
        }
    }
    CALLS.fetch_add(1, Ordering::SeqCst);
    let _call = Call;
    Python::attach(call)
}

/// How many calls of Python by threads of graphs have not come back. The interpreter must not end while there are any.
#[pyfunction]
pub(crate) fn streaming_calls() -> usize {
    CALLS.load(Ordering::SeqCst)
}

/// The engine that computes RDDs.
pub(crate) struct PyDatasets {
    engine: Py<PyAny>,
}

impl PyDatasets {
    /// Calls this object of `Datasets`.
    pub(crate) fn new(engine: Py<PyAny>) -> Self {
        PyDatasets { engine }
    }

    fn give(&self, call: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<Py<PyAny>>) -> Result<Rdd, StreamError> {
        with_python(|py| call(self.engine.bind(py))).map(Held::shared).map_err(raised)
    }

    /// For what may fail without harm to the batch.
    fn try_to(&self, what: &str, call: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<()>) {
        if let Err(error) = with_python(|py| call(self.engine.bind(py))) {
            tracing::warn!(%error, "{what}");
        }
    }
}

impl Datasets for PyDatasets {
    type Dataset = Rdd;

    fn empty(&self) -> Result<Rdd, StreamError> {
        self.give(|engine| Ok(engine.call_method0("empty")?.unbind()))
    }

    fn union(&self, parts: Vec<Rdd>) -> Result<Rdd, StreamError> {
        self.give(|engine| {
            let parts: Vec<_> = parts.iter().map(|part| part.object(engine.py())).collect();
            Ok(engine.call_method1("union", (parts,))?.unbind())
        })
    }

    fn text(&self, blocks: Vec<TextBlock>) -> Result<Rdd, StreamError> {
        self.give(|engine| {
            let blocks: Vec<_> = blocks.iter().map(|block| PyBytes::new(engine.py(), block.bytes())).collect();
            Ok(engine.call_method1("text", (blocks,))?.unbind())
        })
    }

    fn text_files(&self, files: &[PathBuf]) -> Result<Rdd, StreamError> {
        self.give(|engine| Ok(engine.call_method1("text_files", (files,))?.unbind()))
    }

    fn record_files(&self, files: &[PathBuf], record_bytes: usize) -> Result<Rdd, StreamError> {
        self.give(|engine| Ok(engine.call_method1("record_files", (files, record_bytes))?.unbind()))
    }

    fn remember(&self, dataset: &Rdd, level: StorageLevel) {
        self.try_to("an RDD cannot be kept", |engine| {
            engine.call_method1("remember", (dataset.object(engine.py()), values_of(level))).map(drop)
        });
    }

    fn forget(&self, dataset: &Rdd) {
        self.try_to("an RDD cannot be let go", |engine| {
            engine.call_method1("forget", (dataset.object(engine.py()),)).map(drop)
        });
    }

    fn save(&self, dataset: &Rdd, dir: &Path) -> Result<(), StreamError> {
        with_python(|py| self.engine.bind(py).call_method1("save", (dataset.object(py), dir)).map(drop)).map_err(raised)
    }

    fn load(&self, dir: &Path) -> Result<Rdd, StreamError> {
        self.give(|engine| Ok(engine.call_method1("load", (dir,))?.unbind()))
    }

    fn cancel(&self) {
        self.try_to("running jobs cannot be ended", |engine| engine.call_method0("cancel").map(drop));
    }
}

fn values_of(level: StorageLevel) -> Level {
    (level.disk, level.memory, level.off_heap, level.deserialized, level.replication)
}

/// The storage level with these values.
pub(crate) fn level_of((disk, memory, off_heap, deserialized, replication): Level) -> StorageLevel {
    StorageLevel { disk, memory, off_heap, deserialized, replication }
}

/// An exception of Python on its way through the graph, shown as the text of the exception alone.
#[derive(Debug)]
struct Raised(PyErr);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Python::attach(|py| write!(f, "{}", self.0.value(py)))
    }
}

impl Error for Raised {}

/// Sends an exception through the graph.
pub(crate) fn raised(exception: PyErr) -> StreamError {
    StreamError::user(Raised(exception))
}

/// What the program sees of an error: the exception that a function of its own has raised, or one with Spark's class and text.
pub(crate) fn exception_of(error: StreamError) -> PyErr {
    Python::attach(|py| {
        if let StreamError::User(cause) = &error
            && let Some(raised) = cause.downcast_ref::<Raised>()
        {
            return raised.0.clone_ref(py);
        }
        let made = py
            .import("millstream.streaming.failures")
            .and_then(|module| module.getattr("StreamFailure"))
            .and_then(|class| class.call1((error.java_class(), error.to_string())));
        match made {
            Ok(exception) => PyErr::from_value(exception),
            Err(import) => import,
        }
    })
}
