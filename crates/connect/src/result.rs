//! Rows as the protocol carries them: one Arrow stream with one record batch in each message.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use millstream_formats::condition::SparkError;
use spark_connect_proto::execute_plan_response::ArrowBatch;

/// Bytes of rows in one message; a batch of more is divided.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// Bytes of one piece of a batch that cannot be divided because a single row is that long.
const CHUNK_BYTES: usize = 32 << 20;

/// Makes the messages of one result.
pub struct ResultWriter {
    schema: SchemaRef,
    rows_written: i64,
    chunking: bool,
}

impl ResultWriter {
    /// For rows of this schema; timestamps are labelled with `time_zone`, as the session sees them. With `chunking` the
    /// client puts the pieces of a batch together.
    pub fn new(schema: &Schema, time_zone: &str, chunking: bool) -> Self {
        let fields: Fields = schema.fields().iter().map(|field| in_zone(field, &Arc::from(time_zone))).collect();
        Self { schema: Arc::new(Schema::new(fields)), rows_written: 0, chunking }
    }

    /// Messages for a batch, in order; none if it is empty.
    ///
    /// # Errors
    /// An internal error if the rows do not have the schema.
    pub fn messages(&mut self, batch: &RecordBatch) -> Result<Vec<ArrowBatch>, SparkError> {
        let batch = self.labelled(batch)?;
        let rows = batch.num_rows();
        let bytes: usize =
            batch.columns().iter().map(|c| c.to_data().get_slice_memory_size().unwrap_or_default()).sum();
        let pieces = bytes.div_ceil(BATCH_BYTES_MAX).clamp(1, rows.max(1));
        let step = rows.div_ceil(pieces).max(1);
        let mut messages = Vec::new();
        for start in (0..rows).step_by(step) {
            messages.extend(self.write(&batch.slice(start, step.min(rows - start)))?);
        }
        Ok(messages)
    }

    /// The message of a result without rows, if none has been written; clients need one batch at least.
    ///
    /// # Errors
    /// An internal error if the schema cannot be written.
    pub fn finish(&mut self) -> Result<Vec<ArrowBatch>, SparkError> {
        if self.rows_written > 0 {
            return Ok(Vec::new());
        }
        let empty = RecordBatch::new_empty(Arc::clone(&self.schema));
        self.write(&empty)
    }

    fn labelled(&self, batch: &RecordBatch) -> Result<RecordBatch, SparkError> {
        let columns = batch.columns().iter().zip(self.schema.fields()).map(|(column, field)| {
            if column.data_type() == field.data_type() {
                Ok(Arc::clone(column))
            } else {
                cast(column, field.data_type())
            }
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>, _>>().map_err(internal)?;
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &rows).map_err(internal)
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<Vec<ArrowBatch>, SparkError> {
        let data = ipc_stream(&self.schema, std::slice::from_ref(batch))?;
        let row_count = i64::try_from(batch.num_rows()).unwrap_or(i64::MAX);
        let whole = ArrowBatch {
            row_count,
            start_offset: Some(self.rows_written),
            chunk_index: None,
            num_chunks_in_batch: None,
            data: data.clone(),
        };
        self.rows_written += row_count;
        if !self.chunking || data.len() <= CHUNK_BYTES {
            return Ok(vec![whole]);
        }
        let chunks = i64::try_from(data.len().div_ceil(CHUNK_BYTES)).unwrap_or(i64::MAX);
        let chunk = |index: usize| ArrowBatch {
            chunk_index: i64::try_from(index).ok(),
            num_chunks_in_batch: Some(chunks),
            data: data.slice(index * CHUNK_BYTES..data.len().min((index + 1) * CHUNK_BYTES)),
            ..whole.clone()
        };
        Ok((0..data.len().div_ceil(CHUNK_BYTES)).map(chunk).collect())
    }
}

/// Batches as one Arrow stream.
///
/// # Errors
/// An internal error if they do not have the schema.
pub fn ipc_stream(schema: &Schema, batches: &[RecordBatch]) -> Result<Bytes, SparkError> {
    let mut writer = StreamWriter::try_new(Vec::new(), schema).map_err(internal)?;
    batches.iter().try_for_each(|batch| writer.write(batch)).map_err(internal)?;
    writer.into_inner().map(Bytes::from).map_err(internal)
}

fn internal(error: arrow::error::ArrowError) -> SparkError {
    SparkError::internal(format!("The rows of a result do not fit its schema: {error}"))
}

/// The field with the time zone on its timestamps.
fn in_zone(field: &FieldRef, zone: &Arc<str>) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::clone(zone)))
        }
        DataType::List(item) => DataType::List(in_zone(item, zone)),
        DataType::Map(entries, sorted) => DataType::Map(in_zone(entries, zone), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| in_zone(field, zone)).collect()),
        other => other.clone(),
    };
    // Metadata of columns travels in the Spark schema; Arrow's own readers give a meaning to some keys.
    Arc::new(Field::new(field.name(), data_type, field.is_nullable()))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use arrow::array::{Int64Array, StringArray, TimestampMicrosecondArray};
    use arrow::ipc::reader::StreamReader;
    use millstream_formats::types::timestamp;

    use super::*;

    fn read(data: &[u8]) -> Vec<RecordBatch> {
        StreamReader::try_new(Cursor::new(data), None).expect("stream").map(|batch| batch.expect("batch")).collect()
    }

    #[test]
    fn a_result_without_rows_is_one_batch_of_no_rows() {
        let schema = Schema::new(vec![Field::new("a", DataType::Int64, false)]);
        let messages = ResultWriter::new(&schema, "UTC", true).finish().expect("finish");
        assert_eq!(messages.len(), 1);
        assert_eq!((messages[0].row_count, messages[0].start_offset), (0, Some(0)));
        assert_eq!(read(&messages[0].data).len(), 1);
    }

    #[test]
    fn big_batches_are_divided_and_offsets_count_on() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(1 << 20); 40]));
        let batch = RecordBatch::try_from_iter([("a", texts)]).expect("batch");
        let mut writer = ResultWriter::new(&batch.schema(), "UTC", true);
        let messages = writer.messages(&batch).expect("messages");
        assert!(messages.len() >= 3 && messages.iter().all(|m| m.data.len() < 20 << 20), "{}", messages.len());
        let mut rows = 0;
        for message in &messages {
            assert_eq!(message.start_offset, Some(rows));
            let batches = read(&message.data);
            assert_eq!((batches.len(), batches[0].num_rows() as i64), (1, message.row_count));
            rows += message.row_count;
        }
        assert_eq!(rows, 40);
        assert!(writer.finish().expect("finish").is_empty());
    }

    #[test]
    fn one_row_longer_than_a_message_is_cut_in_chunks() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(40 << 20)]));
        let batch = RecordBatch::try_from_iter([("a", texts)]).expect("batch");
        let messages = ResultWriter::new(&batch.schema(), "UTC", true).messages(&batch).expect("messages");
        assert_eq!(messages.iter().map(|m| m.chunk_index).collect::<Vec<_>>(), [Some(0), Some(1)]);
        let data: Vec<u8> = messages.iter().flat_map(|m| m.data.to_vec()).collect();
        assert_eq!(read(&data)[0].num_rows(), 1);
    }

    #[test]
    fn timestamps_are_labelled_with_the_zone_of_the_session() {
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1]).with_timezone("UTC"));
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let batch = RecordBatch::try_from_iter([("t", times), ("i", ids)]).expect("batch");
        assert_eq!(batch.schema().field(0).data_type(), &timestamp());
        let messages = ResultWriter::new(&batch.schema(), "Europe/Berlin", true).messages(&batch).expect("messages");
        let zone = DataType::Timestamp(TimeUnit::Microsecond, Some("Europe/Berlin".into()));
        assert_eq!(read(&messages[0].data)[0].schema().field(0).data_type(), &zone);
    }
}
