//! Rust values of rows, and columns for Rust types.

use std::any::type_name;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use millstream_formats::types;
use serde::de::DeserializeOwned;
use serde_arrow::Deserializer;
use serde_arrow::schema::{SchemaLike, TracingOptions};

use super::parallel::NEXT;
use super::rdd::{Data, Plan, Rdd, Sink};
use super::stream::{DStream, Derived};
use crate::{StreamError, Time};

impl DStream<RecordBatch> {
    /// A Rust value of each row: fields take the columns of their names, structs take structs, `Vec` lists, maps maps, `Option` what may be
    /// null. Columns that the type does not name are left out. A timestamp becomes an `i64` of microseconds since the epoch or a text, a
    /// date a text, a decimal a text.
    ///
    /// A row that does not fit (a null, a number out of range, a column that is missing) fails the outputs of its batch, with an
    /// error that names batch, row and column ([`StreamError::Row`]).
    ///
    /// # Errors
    /// The context was started or stopped.
    pub fn rows<T: Data + DeserializeOwned>(&self) -> Derived<T> {
        self.derive("rows", None, |batch, rdd| Ok(Rdd::new(Typed { batch, rdd, make: make_rows::<T> })))
    }

    /// Number of rows of each batch: one element, also for empty batches. ([`DStream::count`] counts record batches.)
    ///
    /// # Errors
    /// The context was started or stopped.
    pub fn count_rows(&self) -> Derived<u64> {
        self.map(|batch| batch.num_rows() as u64)?
            .transform(|_, rdd| Ok(Rdd::once(1, move || Ok(vec![vec![rdd.reduce(|a, b| a + b)?.unwrap_or(0)]]))))
    }
}

/// Pushes what is made of the rows of a record batch; an error with the number of the row.
type Make<T> = fn(&RecordBatch, &mut Sink<'_, T>) -> Result<ControlFlow<()>, (usize, serde_arrow::Error)>;

/// Values of the rows of a dataset.
struct Typed<T> {
    batch: Time,
    rdd: Rdd<RecordBatch>,
    make: Make<T>,
}

impl<T: Data> Plan<T> for Typed<T> {
    fn partitions(&self) -> usize {
        self.rdd.partitions()
    }

    fn prepare(&self) -> Result<(), StreamError> {
        self.rdd.prepare()
    }

    fn run(&self, partition: usize, sink: &mut Sink<'_, T>) -> Result<ControlFlow<()>, StreamError> {
        let (mut before, mut failure) = (0_u64, None);
        let flow = self.rdd.run(partition, &mut |rows| match (self.make)(&rows, sink) {
            Ok(flow) => {
                before += rows.num_rows() as u64;
                flow
            }
            Err((row, error)) => {
                failure = Some((before + row as u64, error));
                ControlFlow::Break(())
            }
        })?;
        match failure {
            None => Ok(flow),
            Some((row, error)) => Err(misfit::<T>(self.batch, partition, row, &error)),
        }
    }
}

fn make_rows<T: DeserializeOwned>(
    rows: &RecordBatch,
    sink: &mut Sink<'_, T>,
) -> Result<ControlFlow<()>, (usize, serde_arrow::Error)> {
    let deserializer = Deserializer::from_record_batch(rows).map_err(|error| (0, error))?;
    for (index, row) in deserializer.iter().enumerate() {
        let value = T::deserialize(row).map_err(|error| (index, error))?;
        if sink(value).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(NEXT)
}

fn misfit<T>(batch: Time, partition: usize, row: u64, error: &serde_arrow::Error) -> StreamError {
    let text = error.message();
    let reason = text.strip_prefix("deserialization failed: ").unwrap_or(text).to_owned();
    StreamError::Row { batch, partition, row, column: column_of(&error.to_string()), wanted: type_name::<T>(), reason }
}

/// The column that the library notes behind its message, as `field: "$.a.b"`; the whole row is `$`.
fn column_of(text: &str) -> Option<String> {
    let (_, noted) = text.rsplit_once("field: \"$.")?;
    Some(noted.split_once('"')?.0.to_owned())
}

/// The columns for the fields of a type.
pub(super) fn schema_of<T: DeserializeOwned>() -> Result<SchemaRef, StreamError> {
    let options = TracingOptions::new()
        .map_as_struct(false)
        .sequence_as_large_list(false)
        .strings_as_large_utf8(false)
        .bytes_as_large_binary(false)
        .enums_without_data_as_strings(true);
    let fields = Vec::<FieldRef>::from_type::<T>(options).map_err(|error| {
        let text = error.to_string();
        let text = text.strip_prefix("Error: ").unwrap_or(&text);
        StreamError::Requirement(format!("The columns of `{}` cannot be found: {text}", type_name::<T>()))
    })?;
    let fields = fields.iter().map(|field| spark_field(field)).collect::<Result<Vec<Field>, StreamError>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

/// The same without what only Arrow has. Columns of files may always be null.
fn spark_field(field: &Field) -> Result<Field, StreamError> {
    Ok(Field::new(field.name(), spark_type(field)?, true))
}

fn spark_type(field: &Field) -> Result<DataType, StreamError> {
    let nested = |fields: &Fields| fields.iter().map(|field| spark_field(field)).collect::<Result<Vec<Field>, _>>();
    Ok(match field.data_type() {
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        // Enums without data, by their names.
        DataType::Dictionary(_, _) => DataType::Utf8,
        DataType::Struct(fields) => DataType::Struct(nested(fields)?.into()),
        DataType::List(element) => types::array(spark_type(element)?, true),
        DataType::Map(entries, _) => {
            let (key, value) = types::key_and_value(entries).ok_or_else(|| no_column(field))?;
            types::map(spark_type(key)?, spark_type(value)?, true)
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => types::timestamp(),
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Utf8
        | DataType::Binary
        | DataType::Date32 => field.data_type().clone(),
        _ => return Err(no_column(field)),
    })
}

fn no_column(field: &Field) -> StreamError {
    StreamError::Requirement(format!("No column has the type of the field `{}` ({})", field.name(), field.data_type()))
}
