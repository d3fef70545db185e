//! The memory sink: the rows of a query as a table that the session can query by the query's name.
//!
//! Append and update mode add the rows of each batch, complete mode puts them in place of those before. A batch that the table has
//! already is not taken again. As in Spark the table is not bounded: it is for small results and for tests.
//! Not here: the name, which the session registers as a view of [`MemoryTable`].

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_formats::condition::{ExceptionClass, SparkError};
use parking_lot::Mutex;

use crate::sink::{BatchWriter, OutputMode, Sink, SinkSpec};

/// What the sink has taken so far.
#[derive(Debug)]
pub struct MemoryTable {
    name: String,
    schema: SchemaRef,
    content: Mutex<Content>,
}

#[derive(Debug)]
struct Content {
    latest_batch: i64,
    rows: Vec<RecordBatch>,
}

impl MemoryTable {
    /// An empty table of the query `name`.
    pub fn new(name: impl Into<String>, schema: SchemaRef) -> Self {
        Self { name: name.into(), schema, content: Mutex::new(Content { latest_batch: -1, rows: Vec::new() }) }
    }

    /// Name of the query.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Columns as the query gives them.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// All rows, as they are now; later batches do not change what was returned.
    pub fn rows(&self) -> Vec<RecordBatch> {
        self.content.lock().rows.clone()
    }
}

/// Fills a [`MemoryTable`].
#[derive(Debug)]
pub struct MemorySink {
    table: Arc<MemoryTable>,
}

/// Opens the sink.
pub(crate) fn open(spec: SinkSpec) -> Result<Arc<dyn Sink>, SparkError> {
    let name = spec.query_name.ok_or_else(|| {
        SparkError::new(
            ExceptionClass::Analysis,
            "_LEGACY_ERROR_TEMP_1194",
            "",
            "queryName must be specified for memory sink.",
        )
    })?;
    Ok(Arc::new(MemorySink { table: Arc::new(MemoryTable::new(name, spec.schema)) }))
}

impl Sink for MemorySink {
    fn description(&self) -> String {
        "MemorySink".into()
    }

    fn begin(
        &self,
        batch_id: i64,
        _schema: SchemaRef,
        mode: OutputMode,
    ) -> Result<Option<Box<dyn BatchWriter>>, SparkError> {
        if batch_id <= self.table.content.lock().latest_batch {
            return Ok(None);
        }
        Ok(Some(Box::new(MemoryWriter { table: Arc::clone(&self.table), batch_id, mode, partitions: Vec::new() })))
    }

    fn table(&self) -> Option<Arc<MemoryTable>> {
        Some(Arc::clone(&self.table))
    }
}

struct MemoryWriter {
    table: Arc<MemoryTable>,
    batch_id: i64,
    mode: OutputMode,
    /// Rows by partition, so that the table has them in the order of the partitions however they were interleaved.
    partitions: Vec<Vec<RecordBatch>>,
}

impl BatchWriter for MemoryWriter {
    fn write(&mut self, partition: usize, rows: RecordBatch) -> Result<(), SparkError> {
        if rows.num_rows() > 0 {
            push_partition(&mut self.partitions, partition, rows);
        }
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<(), SparkError> {
        let mut content = self.table.content.lock();
        if self.mode == OutputMode::Complete {
            content.rows.clear();
        }
        content.rows.extend(self.partitions.into_iter().flatten());
        content.latest_batch = self.batch_id;
        Ok(())
    }
}

/// Adds rows to those of a partition.
pub(crate) fn push_partition(partitions: &mut Vec<Vec<RecordBatch>>, partition: usize, rows: RecordBatch) {
    if partitions.len() <= partition {
        partitions.resize_with(partition + 1, Vec::new);
    }
    if let Some(list) = partitions.get_mut(partition) {
        list.push(rows);
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int32Array};
    use arrow::datatypes::{DataType, Field, Int32Type, Schema};

    use super::*;

    fn batch(values: &[i32]) -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int32, true)]));
        RecordBatch::try_new(schema, vec![Arc::new(Int32Array::from(values.to_vec()))]).unwrap()
    }

    fn give(sink: &MemorySink, id: i64, mode: OutputMode, rows: &[(usize, &[i32])]) -> bool {
        let Some(mut writer) = sink.begin(id, batch(&[]).schema(), mode).unwrap() else { return false };
        for (partition, values) in rows {
            writer.write(*partition, batch(values)).unwrap();
        }
        writer.commit().unwrap();
        true
    }

    fn values(sink: &MemorySink) -> Vec<i32> {
        sink.table.rows().iter().flat_map(|b| b.column(0).as_primitive::<Int32Type>().values().to_vec()).collect()
    }

    #[test]
    fn append_adds_complete_replaces_and_a_repeated_batch_is_refused() {
        let sink = MemorySink { table: Arc::new(MemoryTable::new("q", batch(&[]).schema())) };
        assert!(give(&sink, 0, OutputMode::Append, &[(1, &[2]), (0, &[1])]));
        assert!(!give(&sink, 0, OutputMode::Append, &[(0, &[9])]));
        assert!(give(&sink, 1, OutputMode::Update, &[(0, &[3])]));
        assert_eq!(values(&sink), [1, 2, 3]);
        assert!(give(&sink, 2, OutputMode::Complete, &[(0, &[7])]));
        assert_eq!(values(&sink), [7]);
    }

    #[test]
    fn a_batch_that_is_dropped_leaves_no_trace() {
        let sink = MemorySink { table: Arc::new(MemoryTable::new("q", batch(&[]).schema())) };
        let mut writer = sink.begin(0, batch(&[]).schema(), OutputMode::Append).unwrap().unwrap();
        writer.write(0, batch(&[1])).unwrap();
        drop(writer);
        assert!(values(&sink).is_empty());
        assert!(give(&sink, 0, OutputMode::Append, &[(0, &[5])]));
    }
}
