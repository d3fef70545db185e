//! The graph of a DStream program: a thin layer over `millstream_dstream::Context` whose batches are RDD objects.
//!
//! Functions are Python callables that take the time of a batch, in ms, and RDDs or `None`. Whatever may wait or compute does so
//! without the interpreter's lock. Errors are those that `streaming_datasets::exception_of` makes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_dstream::{
    Absent, At, Checkpoint, Clock, Conf, Context, ContextState, Datasets, FileSelection, InitialFn, NodeId, Operator,
    OutputName, Queue, Span, StreamError, Time, WindowFunctions,
};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::streaming_datasets::{Held, Level, PyDatasets, Rdd, exception_of, level_of, raised, with_python};
use crate::streaming_events::PyListener;

/// How long a wait goes on before Ctrl-C is looked for.
const SIGNAL_POLL: Duration = Duration::from_millis(50);

/// PySpark takes what has left a window off only if the window has so many slides.
const INVERSE_SLIDES_LEAST: u32 = 5;

/// A function of the program.
struct Function(Py<PyAny>);

impl Function {
    fn call(&self, time: Time, rdds: &[Option<Rdd>]) -> Result<Option<Rdd>, StreamError> {
        with_python(|py| {
            let mut arguments = vec![time.as_ms().into_pyobject(py)?.into_any()];
            arguments.extend(rdds.iter().map(|rdd| match rdd {
                Some(rdd) => rdd.object(py),
                None => py.None().into_bound(py),
            }));
            let result = self.0.bind(py).call1(PyTuple::new(py, arguments)?)?;
            Ok((!result.is_none()).then(|| Held::shared(result.unbind())))
        })
        .map_err(raised)
    }
}

/// A function of two streams, as PySpark has it: their slides are not compared.
struct TransformedWith(Function);

impl Operator<PyDatasets> for TransformedWith {
    fn class_name(&self) -> &'static str {
        "PythonTransformed2DStream"
    }

    fn compute(&self, at: &At<'_, PyDatasets>) -> Result<Option<Rdd>, StreamError> {
        let mut rdds = Vec::new();
        for rdd in at.parents()? {
            rdds.push(Some(rdd.map_or_else(|| at.datasets().empty(), Ok)?));
        }
        self.0.call(at.time(), &rdds)
    }
}

/// Streams of RDDs, and what runs them.
#[pyclass(frozen, module = "millstream._native")]
pub(crate) struct StreamingGraph {
    /// Always there; taken only to be dropped.
    context: Option<Context<PyDatasets>>,
}

impl StreamingGraph {
    fn new_of(context: Context<PyDatasets>) -> Self {
        StreamingGraph { context: Some(context) }
    }

    /// Calls the context without the interpreter's lock.
    fn run<T: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&Context<PyDatasets>) -> Result<T, StreamError> + Send,
    ) -> PyResult<T> {
        let gone = || StreamError::IllegalState("StreamingContext has already been stopped".to_owned());
        py.detach(|| call(self.context.as_ref().ok_or_else(gone)?)).map_err(exception_of)
    }

    fn add(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&Context<PyDatasets>) -> Result<NodeId, StreamError> + Send,
    ) -> PyResult<usize> {
        Ok(self.run(py, call)?.0)
    }
}

impl Drop for StreamingGraph {
    /// Dropping the context stops it, and its threads may be waiting for the interpreter's lock, which is held here.
    fn drop(&mut self) {
        let context = self.context.take();
        Python::attach(|py| py.detach(|| drop(context)));
    }
}

#[pymethods]
impl StreamingGraph {
    #[new]
    fn new(py: Python<'_>, datasets: Py<PyAny>, batch_ms: i64, settings: BTreeMap<String, String>) -> PyResult<Self> {
        let datasets = Arc::new(PyDatasets::new(datasets));
        let conf: Conf = settings.into_iter().collect();
        py.detach(|| Context::new(datasets, Span::from_ms(batch_ms), conf, Clock::System))
            .map(Self::new_of)
            .map_err(exception_of)
    }

    fn queue(
        &self,
        py: Python<'_>,
        rdds: Vec<Py<PyAny>>,
        one_at_a_time: bool,
        default: Option<Py<PyAny>>,
    ) -> PyResult<usize> {
        let queue = Queue::new(rdds.into_iter().map(Held::shared));
        self.add(py, move |context| context.queue(queue, one_at_a_time, default.map(Held::shared)))
    }

    fn socket_text(&self, py: Python<'_>, host: &str, port: u16) -> PyResult<usize> {
        self.add(py, |context| context.socket_text(host, port))
    }

    fn text_files(&self, py: Python<'_>, directory: &str) -> PyResult<usize> {
        self.add(py, |context| context.text_files(FileSelection::new(directory)))
    }

    fn record_files(&self, py: Python<'_>, directory: &str, record_bytes: usize) -> PyResult<usize> {
        self.add(py, |context| context.record_files(FileSelection::new(directory), record_bytes))
    }

    /// Gives nothing for a time for which its parent has nothing.
    fn transformed(&self, py: Python<'_>, parent: usize, function: Py<PyAny>) -> PyResult<usize> {
        self.transform(py, vec![parent], function, Absent::Skip)
    }

    /// Takes an empty RDD for a parent that has nothing. Goes by the slide of the first, whatever that of the other is.
    fn transformed_with(&self, py: Python<'_>, parent: usize, other: usize, function: Py<PyAny>) -> PyResult<usize> {
        let function = Function(function);
        let parents = [NodeId(parent), NodeId(other)];
        self.add(py, move |context| context.add(&parents, context.slide(NodeId(parent))?, TransformedWith(function)))
    }

    /// Fails for a time for which a parent has nothing.
    fn transformed_all(&self, py: Python<'_>, parents: Vec<usize>, function: Py<PyAny>) -> PyResult<usize> {
        self.transform(py, parents, function, Absent::Fail)
    }

    fn union(&self, py: Python<'_>, parents: Vec<usize>) -> PyResult<usize> {
        let parents: Vec<_> = parents.into_iter().map(NodeId).collect();
        self.add(py, move |context| context.union(&parents))
    }

    fn windowed(&self, py: Python<'_>, parent: usize, window_ms: i64, slide_ms: i64) -> PyResult<usize> {
        self.add(py, |context| context.windowed(NodeId(parent), Span::from_ms(window_ms), Span::from_ms(slide_ms)))
    }

    fn reduced_window(
        &self,
        py: Python<'_>,
        parent: usize,
        add: Py<PyAny>,
        take_off: Py<PyAny>,
        window_ms: i64,
        slide_ms: i64,
    ) -> PyResult<usize> {
        let (add, take_off) = (Function(add), Function(take_off));
        let functions = WindowFunctions {
            reduce: Box::new(move |time, window, entered| add.call(time, &[window, Some(entered)])),
            inverse: Some(Box::new(move |time, window, left| take_off.call(time, &[Some(window), Some(left)]))),
            slides_least: INVERSE_SLIDES_LEAST,
        };
        let (window, slide) = (Span::from_ms(window_ms), Span::from_ms(slide_ms));
        self.add(py, move |context| context.reduced_window(NodeId(parent), window, slide, functions))
    }

    fn state(&self, py: Python<'_>, parent: usize, update: Py<PyAny>, initial: Option<Py<PyAny>>) -> PyResult<usize> {
        let update = Function(update);
        let initial = initial.map(Held::shared);
        let initial = initial.map(|rdd| Box::new(move || Ok(Arc::clone(&rdd))) as InitialFn<Rdd>);
        self.add(py, move |context| {
            let update = Box::new(move |time, state, new| update.call(time, &[state, Some(new)]));
            context.stateful(NodeId(parent), update, initial)
        })
    }

    fn for_each(
        &self,
        py: Python<'_>,
        parent: usize,
        function: Py<PyAny>,
        name: String,
        description: String,
    ) -> PyResult<()> {
        let function = Function(function);
        self.run(py, move |context| {
            let action = move |time, rdd| function.call(time, &[Some(rdd)]).map(drop);
            context.for_each(NodeId(parent), OutputName { name, description }, action)
        })
    }

    fn persist(&self, py: Python<'_>, stream: usize, level: Level) -> PyResult<()> {
        self.run(py, |context| context.persist(NodeId(stream), Some(level_of(level))))
    }

    fn checkpoint_interval(&self, py: Python<'_>, stream: usize, interval_ms: i64) -> PyResult<()> {
        self.run(py, |context| context.checkpoint_stream(NodeId(stream), Span::from_ms(interval_ms)))
    }

    fn remember(&self, py: Python<'_>, span_ms: i64) -> PyResult<()> {
        self.run(py, |context| context.remember(Span::from_ms(span_ms)))
    }

    fn slide_ms(&self, py: Python<'_>, stream: usize) -> PyResult<i64> {
        self.run(py, |context| Ok(context.slide(NodeId(stream))?.as_ms()))
    }

    fn slice(&self, py: Python<'_>, stream: usize, from_ms: i64, to_ms: i64) -> PyResult<Vec<Py<PyAny>>> {
        let rdds =
            self.run(py, |context| context.slice(NodeId(stream), Time::from_ms(from_ms), Time::from_ms(to_ms)))?;
        Ok(rdds.iter().map(|rdd| rdd.object(py).unbind()).collect())
    }

    fn checkpoint(&self, py: Python<'_>, directory: Option<PathBuf>) -> PyResult<()> {
        self.run(py, |context| {
            context.checkpoint(directory.as_deref());
            Ok(())
        })
    }

    fn save_datasets_to(&self, py: Python<'_>, directory: PathBuf) -> PyResult<()> {
        self.run(py, |context| {
            context.save_datasets_to(&directory);
            Ok(())
        })
    }

    fn set_program(&self, py: Python<'_>, program: Vec<u8>) -> PyResult<()> {
        self.run(py, |context| {
            context.set_program(program);
            Ok(())
        })
    }

    fn add_listener(&self, py: Python<'_>, listener: Py<PyAny>) -> PyResult<()> {
        self.run(py, |context| {
            context.add_listener(PyListener(listener));
            Ok(())
        })
    }

    /// `initialized`, `active` or `stopped`.
    #[getter]
    fn state_name(&self, py: Python<'_>) -> PyResult<&'static str> {
        self.run(py, |context| {
            Ok(match context.state() {
                ContextState::Initialized => "initialized",
                ContextState::Active => "active",
                ContextState::Stopped => "stopped",
            })
        })
    }

    fn validate(&self, py: Python<'_>) -> PyResult<()> {
        self.run(py, Context::validate)
    }

    fn start(&self, py: Python<'_>) -> PyResult<()> {
        self.run(py, Context::start)
    }

    fn stop(&self, py: Python<'_>, gracefully: bool) -> PyResult<()> {
        self.run(py, |context| context.stop(gracefully))
    }

    /// Whether it has ended within this time; `None`: waits for the end. Ctrl-C ends the wait.
    fn await_termination(&self, py: Python<'_>, timeout_ms: Option<i64>) -> PyResult<bool> {
        let timeout = timeout_ms.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let left = deadline.map_or(SIGNAL_POLL, |end| end.saturating_duration_since(Instant::now()));
            if self.run(py, |context| context.await_termination(Some(left.min(SIGNAL_POLL))))? {
                return Ok(true);
            }
            py.check_signals()?;
            if deadline.is_some_and(|end| Instant::now() >= end) {
                return Ok(false);
            }
        }
    }
}

impl StreamingGraph {
    fn transform(&self, py: Python<'_>, parents: Vec<usize>, function: Py<PyAny>, absent: Absent) -> PyResult<usize> {
        let function = Function(function);
        let parents: Vec<_> = parents.into_iter().map(NodeId).collect();
        self.add(py, move |context| {
            let function = move |time, rdds: Vec<Rdd>| {
                let rdds: Vec<_> = rdds.into_iter().map(Some).collect();
                function.call(time, &rdds)
            };
            context.transformed(&parents, absent, Box::new(function))
        })
    }
}

/// A checkpoint that was read.
#[pyclass(frozen, module = "millstream._native")]
pub(crate) struct StreamingCheckpoint(Checkpoint);

#[pymethods]
impl StreamingCheckpoint {
    /// What the program has said of itself.
    #[getter]
    fn program<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.program())
    }

    /// A graph that goes on from here, once the same streams were added.
    fn restore(
        &self,
        py: Python<'_>,
        datasets: Py<PyAny>,
        settings: BTreeMap<String, String>,
    ) -> PyResult<StreamingGraph> {
        let datasets = Arc::new(PyDatasets::new(datasets));
        let conf: Conf = settings.into_iter().collect();
        py.detach(|| Context::recover(datasets, self.0.clone(), conf, Clock::System))
            .map(StreamingGraph::new_of)
            .map_err(exception_of)
    }
}

/// The newest checkpoint in a directory, or `None`.
#[pyfunction]
pub(crate) fn read_streaming_checkpoint(py: Python<'_>, directory: PathBuf) -> PyResult<Option<StreamingCheckpoint>> {
    let read = py.detach(|| Checkpoint::read(directory)).map_err(exception_of)?;
    Ok(read.map(StreamingCheckpoint))
}
