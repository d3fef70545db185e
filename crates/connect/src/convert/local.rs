//! Rows that come with a plan (`createDataFrame`): Arrow streams and their schema.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, Schema, SchemaRef, TimeUnit};
use arrow::ipc::reader::StreamReader;
use bytes::Bytes;
use millstream_formats::condition::SparkError;
use millstream_formats::types::{array, map, timestamp, timestamp_ntz};
use millstream_plan::ir::RelationOp;
use spark_connect_proto as pb;

use super::{Convert, invalid, required, schema_of};
use crate::codec;

impl Convert<'_> {
    /// Rows inside the plan.
    pub(super) fn local_relation(&self, message: &pb::LocalRelation) -> Result<RelationOp, SparkError> {
        let pb::LocalRelation { data, schema } = message;
        let schema =
            schema.as_deref().filter(|text| !text.is_empty()).map(|text| self.local_schema(text)).transpose()?;
        local(data.as_slice_of_streams(), schema)
    }

    /// Rows uploaded as one `LocalRelation` (clients up to 4.0).
    pub(super) fn cached_local_relation(&self, message: &pb::CachedLocalRelation) -> Result<RelationOp, SparkError> {
        let pb::CachedLocalRelation { hash } = message;
        let relation = codec::decode(self.cache(hash)?).map_err(|status| invalid(status.message()))?;
        self.local_relation(&relation)
    }

    /// Rows and schema uploaded in pieces.
    pub(super) fn chunked_local_relation(
        &self,
        message: &pb::ChunkedCachedLocalRelation,
    ) -> Result<RelationOp, SparkError> {
        let pb::ChunkedCachedLocalRelation { data_hashes, schema_hash } = message;
        let schema = match schema_hash {
            Some(hash) => {
                let bytes = self.cache(hash)?;
                let text = std::str::from_utf8(&bytes).map_err(|_| invalid("A cached schema is no text."))?;
                Some(self.local_schema(text)?)
            }
            None => None,
        };
        let chunks = data_hashes.iter().map(|hash| self.cache(hash)).collect::<Result<Vec<_>, _>>()?;
        local(&chunks, schema)
    }

    fn local_schema(&self, text: &str) -> Result<SchemaRef, SparkError> {
        schema_of(self.environment.parse_type(text)?)
    }

    fn cache(&self, hash: &str) -> Result<Bytes, SparkError> {
        let bytes = self.environment.artifact(&format!("cache/{hash}"));
        required(bytes, &format!("the cached local relation {hash}"))
    }
}

trait Streams {
    fn as_slice_of_streams(&self) -> &[Bytes];
}

impl Streams for Option<Bytes> {
    fn as_slice_of_streams(&self) -> &[Bytes] {
        self.as_slice()
    }
}

/// The rows of Arrow streams under `schema`, else under their own, in types of the house.
fn local(streams: &[Bytes], schema: Option<SchemaRef>) -> Result<RelationOp, SparkError> {
    let mut schema = schema;
    let mut batches = Vec::new();
    for stream in streams {
        let reader = StreamReader::try_new(Cursor::new(stream), None).map_err(unreadable)?;
        let target = match &schema {
            Some(target) => target.clone(),
            None => schema.insert(own_schema(&reader.schema())?).clone(),
        };
        for batch in reader {
            batches.push(conform(&batch.map_err(unreadable)?, &target)?);
        }
    }
    let schema = required(schema, "the rows and the schema of a local relation")?;
    Ok(RelationOp::Local { batches, schema })
}

fn unreadable(error: arrow::error::ArrowError) -> SparkError {
    invalid(format!("The rows of a local relation cannot be read: {error}"))
}

/// Columns by position, in the types of `target`.
fn conform(batch: &RecordBatch, target: &SchemaRef) -> Result<RecordBatch, SparkError> {
    if batch.num_columns() != target.fields().len() {
        return Err(invalid(format!(
            "A local relation has {} columns, its schema {}.",
            batch.num_columns(),
            target.fields().len()
        )));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let columns = batch.columns().iter().zip(target.fields()).map(|(column, field)| {
        if column.data_type() == field.data_type() {
            return Ok(Arc::clone(column));
        }
        cast_with_options(column, field.data_type(), &options).map_err(unreadable)
    });
    let columns = columns.collect::<Result<Vec<ArrayRef>, _>>()?;
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(target), columns, &rows).map_err(unreadable)
}

fn own_schema(schema: &Schema) -> Result<SchemaRef, SparkError> {
    let fields = schema.fields().iter().map(own_field).collect::<Result<Fields, _>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

fn own_field(field: &FieldRef) -> Result<FieldRef, SparkError> {
    Ok(Arc::new(Field::new(field.name(), own_type(field.data_type())?, field.is_nullable())))
}

/// The type of the house for a type that a client's Arrow library may send.
fn own_type(data_type: &DataType) -> Result<DataType, SparkError> {
    Ok(match data_type {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, Some(_)) => timestamp(),
        DataType::Timestamp(_, None) => timestamp_ntz(),
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Nanosecond),
        DataType::Duration(_) => DataType::Duration(TimeUnit::Microsecond),
        DataType::Interval(IntervalUnit::DayTime) => DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Dictionary(_, value) => own_type(value)?,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            array(own_type(item.data_type())?, item.is_nullable())
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(own_field).collect::<Result<Fields, _>>()?),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                let (key, value) = (&fields[0], &fields[1]);
                map(own_type(key.data_type())?, own_type(value.data_type())?, value.is_nullable())
            }
            other => return Err(invalid(format!("{other} are no entries of a map."))),
        },
        plain if super::types::type_message(plain).is_ok() => plain.clone(),
        other => return Err(SparkError::unsupported(format_args!("The Arrow type {other} in a local relation"))),
    })
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, LargeStringArray, TimestampMicrosecondArray};
    use arrow::ipc::writer::StreamWriter;

    use super::*;

    #[test]
    fn rows_take_the_types_of_the_house() {
        let zoned = TimestampMicrosecondArray::from(vec![1, 2]).with_timezone("Europe/Berlin");
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("a", Arc::new(LargeStringArray::from(vec!["x", "y"]))),
            ("b", Arc::new(zoned)),
            ("c", Arc::new(Int64Array::from(vec![Some(1), None]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).expect("batch");
        let mut stream = Vec::new();
        let mut writer = StreamWriter::try_new(&mut stream, &batch.schema()).expect("writer");
        writer.write(&batch).expect("write");
        writer.finish().expect("finish");
        drop(writer);
        let RelationOp::Local { batches, schema } = local(&[stream.into()], None).expect("local") else {
            panic!("no local relation");
        };
        let types: Vec<_> = schema.fields().iter().map(|f| f.data_type().clone()).collect();
        assert_eq!(types, [DataType::Utf8, timestamp(), DataType::Int64]);
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
    }
}
