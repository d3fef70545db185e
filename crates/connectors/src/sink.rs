//! What a sink promises: writing batch N a second time has no second effect.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_formats::condition::SparkError;

use crate::memory::MemoryTable;
use crate::options::Options;
use crate::source::Conf;

pub use millstream_formats::output_mode::OutputMode;

/// What a query that starts says of its sink.
#[derive(Clone)]
pub struct SinkSpec {
    /// `console`, `memory`, `parquet`, …, in any case.
    pub format: String,
    /// Options of the writer.
    pub options: Options,
    /// Where `start(path)` or the option `path` says; wins over the option.
    pub path: Option<String>,
    /// `partitionBy`.
    pub partition_by: Vec<String>,
    /// Columns of the result, with Spark's names and nullability.
    pub schema: SchemaRef,
    /// Output mode.
    pub mode: OutputMode,
    /// Name of the query.
    pub query_name: Option<String>,
    /// Settings of the session.
    pub conf: Conf,
}

/// Where the rows of a query go.
pub trait Sink: Send + Sync {
    /// As in the progress: `MemorySink`, `FileSink[/out]`.
    fn description(&self) -> String;

    /// Begins batch `batch_id` with rows of `schema`; none if the sink has that batch already, and its rows are not wanted.
    fn begin(
        &self,
        batch_id: i64,
        schema: SchemaRef,
        mode: OutputMode,
    ) -> Result<Option<Box<dyn BatchWriter>>, SparkError>;

    /// Whether the progress says how many rows a batch gave to the sink; Spark reports -1 for its older kind of sinks (files).
    fn counts_rows(&self) -> bool {
        true
    }

    /// The table to be registered under the query's name, if the sink makes one.
    fn table(&self) -> Option<Arc<MemoryTable>> {
        None
    }

    /// Releases what the sink holds.
    fn stop(&self) {}
}

/// The rows of one batch on their way into a sink. Dropped without [`BatchWriter::commit`], the batch leaves no trace.
pub trait BatchWriter: Send {
    /// Takes rows of one partition; rows of a partition come in order.
    fn write(&mut self, partition: usize, rows: RecordBatch) -> Result<(), SparkError>;

    /// Makes the batch visible, all at once.
    fn commit(self: Box<Self>) -> Result<(), SparkError>;
}
