//! The sink that drops its rows (`format("noop")`).

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_formats::condition::SparkError;

use crate::sink::{BatchWriter, OutputMode, Sink, SinkSpec};

/// Takes everything, keeps nothing.
#[derive(Debug)]
pub struct NoopSink;

/// Opens the sink; every option is ignored, as Spark does.
pub(crate) fn open(_spec: SinkSpec) -> Result<Arc<dyn Sink>, SparkError> {
    Ok(Arc::new(NoopSink))
}

impl Sink for NoopSink {
    fn description(&self) -> String {
        "NoopTable".into()
    }

    fn begin(&self, _: i64, _: SchemaRef, _: OutputMode) -> Result<Option<Box<dyn BatchWriter>>, SparkError> {
        Ok(Some(Box::new(NoopWriter)))
    }
}

struct NoopWriter;

impl BatchWriter for NoopWriter {
    fn write(&mut self, _: usize, _: RecordBatch) -> Result<(), SparkError> {
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<(), SparkError> {
        Ok(())
    }
}
