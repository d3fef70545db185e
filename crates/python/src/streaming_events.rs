//! Events for listeners of a Python program: the name of the listener's method, and the facts as a dictionary.
//!
//! The names of the facts are those of Spark's accessors; `millstream.streaming.events` dresses them. Unknown times are left out.

use millstream_dstream::{BatchInfo, Event, InputInfo, Listener, OutputInfo, ReceiverInfo, Span, Time};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::streaming_datasets::with_python;

/// A callable that is given each event.
pub(crate) struct PyListener(pub(crate) Py<PyAny>);

impl Listener for PyListener {
    fn on_event(&self, event: &Event) {
        with_python(|py| {
            let told = facts_of(py, event).and_then(|told| match told {
                Some((method, facts)) => self.0.bind(py).call1((method, facts)).map(drop),
                None => Ok(()),
            });
            if let Err(error) = told {
                error.print(py);
            }
        });
    }
}

/// The method that the event is for, and what it is told; nothing for kinds of events that no method is for.
fn facts_of<'py>(py: Python<'py>, event: &Event) -> PyResult<Option<(&'static str, Bound<'py, PyDict>)>> {
    Ok(Some(match event {
        Event::StreamingStarted { time } => {
            let facts = PyDict::new(py);
            facts.set_item("time", time.as_ms())?;
            ("onStreamingStarted", facts)
        }
        Event::ReceiverStarted(info) => ("onReceiverStarted", receiver(py, info)?),
        Event::ReceiverError(info) => ("onReceiverError", receiver(py, info)?),
        Event::ReceiverStopped(info) => ("onReceiverStopped", receiver(py, info)?),
        Event::BatchSubmitted(info) => ("onBatchSubmitted", batch(py, info)?),
        Event::BatchStarted(info) => ("onBatchStarted", batch(py, info)?),
        Event::BatchCompleted(info) => ("onBatchCompleted", batch(py, info)?),
        Event::OutputOperationStarted(info) => ("onOutputOperationStarted", output(py, info)?),
        Event::OutputOperationCompleted(info) => ("onOutputOperationCompleted", output(py, info)?),
        _ => return Ok(None),
    }))
}

fn batch<'py>(py: Python<'py>, info: &BatchInfo) -> PyResult<Bound<'py, PyDict>> {
    let facts = PyDict::new(py);
    facts.set_item("batchTime", info.time.as_ms())?;
    facts.set_item("submissionTime", info.submitted.as_ms())?;
    facts.set_item("processingStartTime", info.started.map(Time::as_ms))?;
    facts.set_item("processingEndTime", info.ended.map(Time::as_ms))?;
    facts.set_item("schedulingDelay", info.scheduling_delay().map(Span::as_ms))?;
    facts.set_item("processingDelay", info.processing_delay().map(Span::as_ms))?;
    facts.set_item("totalDelay", info.total_delay().map(Span::as_ms))?;
    facts.set_item("numRecords", info.records())?;
    facts.set_item("inputs", info.inputs.iter().map(|info| input(py, info)).collect::<PyResult<Vec<_>>>()?)?;
    facts.set_item("outputs", info.outputs.iter().map(|info| output(py, info)).collect::<PyResult<Vec<_>>>()?)?;
    Ok(facts)
}

fn input<'py>(py: Python<'py>, info: &InputInfo) -> PyResult<Bound<'py, PyDict>> {
    let facts = PyDict::new(py);
    facts.set_item("inputStreamId", info.input)?;
    facts.set_item("numRecords", info.records)?;
    let metadata = PyDict::new(py);
    if let Some(description) = &info.description {
        metadata.set_item("Description", description)?;
    }
    facts.set_item("metadata", metadata)?;
    Ok(facts)
}

fn output<'py>(py: Python<'py>, info: &OutputInfo) -> PyResult<Bound<'py, PyDict>> {
    let facts = PyDict::new(py);
    facts.set_item("batchTime", info.batch.as_ms())?;
    facts.set_item("id", info.id)?;
    facts.set_item("name", &info.name)?;
    facts.set_item("description", &info.description)?;
    facts.set_item("startTime", info.started.map(Time::as_ms))?;
    facts.set_item("endTime", info.ended.map(Time::as_ms))?;
    facts.set_item("failureReason", info.failure.as_deref())?;
    Ok(facts)
}

fn receiver<'py>(py: Python<'py>, info: &ReceiverInfo) -> PyResult<Bound<'py, PyDict>> {
    let facts = PyDict::new(py);
    facts.set_item("streamId", info.input)?;
    facts.set_item("name", &info.name)?;
    facts.set_item("active", info.active)?;
    facts.set_item("location", &info.location)?;
    facts.set_item("executorId", &info.executor)?;
    facts.set_item("lastErrorMessage", &info.last_error_message)?;
    facts.set_item("lastError", &info.last_error)?;
    let time = info.last_error_time.as_ms();
    facts.set_item("lastErrorTime", if time < 0 { -1 } else { time })?;
    Ok(facts)
}
