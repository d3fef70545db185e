//! Streams of what the connectors read: `ssc.read_stream("json")….load("/in")`.
//!
//! A batch is a dataset of Arrow record batches, read lazily and partition by partition when an output wants it; what each batch is made of,
//! and what a restart does, is said in `graph/source.rs`. [`DStream::rows`](super::DStream::rows) makes Rust values of the rows.
//!
//! Which formats there are, their options, columns and errors are those of `spark.readStream` (`connectors`), with Spark's defaults; settings
//! (`spark.sql.…`) are taken from the context's [`crate::Conf`]. A format that is added there can be read here.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use millstream_connectors::source::{Conf, Origin, SourceSpec};
use millstream_formats::options::Options;
use millstream_formats::zone;
use serde::de::DeserializeOwned;

use super::codec::Codec;
use super::context::StreamingContext;
use super::engine::Dataset;
use super::parallel::{self, NEXT};
use super::rdd::{Plan, Rdd, Sink};
use super::rows::schema_of;
use super::stream::Derived;
use crate::StreamError;
use crate::graph::source::{SourceRange, SourceSettings, SourceStream};

/// What is said of a source before it is loaded, see [`StreamingContext::read_stream`].
#[must_use = "nothing is read before `load`"]
pub struct SourceReader<'a> {
    context: &'a StreamingContext,
    format: String,
    schema: Option<SchemaRef>,
    options: Options,
    columns: Option<Vec<String>>,
}

impl StreamingContext {
    /// Reads a source by the name of its format, as `spark.readStream.format(…)` does: `json`, `csv`, `text`, `parquet` (files that appear
    /// in a directory), `rate`, `rate-micro-batch`, `socket`, and what else the connectors know.
    ///
    /// Each batch takes what the source lets it have by its own options (`maxFilesPerTrigger`, …). Which rows belong to which batch is
    /// in the checkpoint before the outputs of the batch run: after a restart the same batch has the same rows, and nothing is lost. Only
    /// a source that Spark calls not recoverable (`socket`) begins anew; [`StreamingContext::socket_text_stream`] is the receiver that
    /// reconnects and has a write-ahead log.
    ///
    /// With `spark.streaming.backpressure.enabled` a source that can count rows ahead (`socket`) gets the estimated rate; others only have the
    /// limits of their options, and batches that are late queue.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream_dstream::typed::StreamingContext;
    /// #[derive(Clone, serde::Deserialize)]
    /// struct Order {
    ///     item: String,
    ///     price: f64,
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let directory = directory.path().to_str().ok_or("a path")?;
    /// # std::fs::write(format!("{directory}/1.json"), "{\"item\":\"tea\",\"price\":3.5}\n{\"item\":\"tea\",\"price\":4}\n")?;
    /// let ssc = StreamingContext::new(Duration::from_millis(50))?;
    /// let orders = ssc.read_stream("json").schema_of::<Order>()?.option("maxFilesPerTrigger", 10).load(directory)?;
    /// let totals = orders.rows::<Order>()?.map(|order| (order.item, order.price))?.reduce_by_key(|a, b| a + b)?;
    /// # let (sender, receiver) = std::sync::mpsc::channel();
    /// totals.for_each_rdd(move |_time, rdd| {
    /// #   let _nobody_listens_any_more = sender.send(rdd.collect()?);
    ///     println!("{:?}", rdd.collect()?);
    ///     Ok(())
    /// })?;
    /// ssc.start()?;
    /// # assert_eq!(receiver.recv()?, [("tea".to_owned(), 7.5)]);
    /// # ssc.stop(false)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn read_stream(&self, format: &str) -> SourceReader<'_> {
        let (schema, columns) = (None, None);
        SourceReader { context: self, format: format.to_owned(), schema, options: Options::default(), columns }
    }

    /// A stream of any source of the connectors or of the program's own, such as a [`MemoryStream`](crate::connectors::MemoryStream).
    ///
    /// # Errors
    /// The source refuses its options; the context was started or stopped.
    pub fn source_stream(&self, origin: Arc<dyn Origin>) -> Derived<RecordBatch> {
        self.connected(origin, None)
    }

    fn connected(&self, origin: Arc<dyn Origin>, columns: Option<Vec<String>>) -> Derived<RecordBatch> {
        let conf = connector_conf(self.context.conf());
        origin.check(&conf)?;
        let settings = SourceSettings { origin, columns, conf, partitions: parallel::cores() };
        let codec = Codec::arrow();
        let own = codec.clone();
        let node = self.context.add_source(SourceStream::new(
            settings,
            Box::new(move |_, range| Ok(Dataset::of(Rdd::new(Connected(range)).with_codec(Some(own.clone()))))),
        ))?;
        Ok(self.stream(node, "source", Some(codec)))
    }
}

/// The settings of a context, for the connectors: they know Spark's defaults themselves, except for what the machine says.
fn connector_conf(conf: &crate::Conf) -> Conf {
    let conf = conf.clone();
    let zone = zone::of_this_machine();
    Arc::new(move |key| {
        let set = conf.get(key).map(str::to_owned);
        set.or_else(|| (key == "spark.sql.session.timeZone").then(|| zone.clone()))
    })
}

impl SourceReader<'_> {
    /// The columns of the source, which formats of files other than `text` need.
    pub fn schema(mut self, schema: SchemaRef) -> Self {
        self.schema = Some(schema);
        self
    }

    /// The columns that the fields of a Rust type need, so that [`DStream::rows`](super::DStream::rows) can make it of each row: texts, numbers, truth values,
    /// `Option`, lists, maps and structs of them. What is not signed becomes the next larger signed type, `u64` a `bigint`.
    ///
    /// # Errors
    /// The type is no struct with names, or has fields that no column has.
    pub fn schema_of<T: DeserializeOwned>(self) -> Result<Self, StreamError> {
        Ok(self.schema(schema_of::<T>()?))
    }

    /// An option of the format, such as `maxFilesPerTrigger`. Names are compared without regard to case.
    pub fn option(mut self, name: &str, value: impl ToString) -> Self {
        self.options.set(name, value.to_string());
        self
    }

    /// Several options.
    pub fn options<K: AsRef<str>, V: ToString>(self, options: impl IntoIterator<Item = (K, V)>) -> Self {
        options.into_iter().fold(self, |reader, (name, value)| reader.option(name.as_ref(), value))
    }

    /// Reads these columns only; the hidden column `_metadata` of files may be among them.
    pub fn select<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.columns = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// The stream: of a path for files (`load("/in")`), without for others (`load(None)`).
    ///
    /// # Errors
    /// Spark's own for an unknown format, wrong options, missing columns or a missing path; a column of [`SourceReader::select`] that the
    /// source does not have; the context was started or stopped.
    pub fn load<'p>(self, path: impl Into<Option<&'p str>>) -> Derived<RecordBatch> {
        let SourceReader { context, format, schema, options, columns } = self;
        let spec = SourceSpec {
            format,
            schema,
            options,
            paths: path.into().map(str::to_owned).into_iter().collect(),
            conf: connector_conf(context.context.conf()),
            parallelism: parallel::cores(),
        };
        let origin = millstream_connectors::open_source(spec.with_one_path()?)?;
        if let Some(columns) = &columns {
            check_columns(origin.as_ref(), columns)?;
        }
        context.connected(origin, columns)
    }
}

fn check_columns(origin: &dyn Origin, columns: &[String]) -> Result<(), StreamError> {
    let schema = origin.schema();
    let hidden = origin.metadata_column();
    let known = |name: &String| {
        schema.column_with_name(name).is_some() || hidden.as_ref().is_some_and(|hidden| hidden.name() == name)
    };
    match columns.iter().find(|name| !known(name)) {
        None => Ok(()),
        Some(name) => {
            let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            Err(StreamError::Requirement(format!(
                "`{}` has no column `{name}`; its columns are {}",
                origin.name(),
                names.join(", ")
            )))
        }
    }
}

/// The rows of one batch, read when they are wanted.
struct Connected(Arc<SourceRange>);

impl Plan<RecordBatch> for Connected {
    fn partitions(&self) -> usize {
        self.0.partitions()
    }

    fn run(&self, partition: usize, sink: &mut Sink<'_, RecordBatch>) -> Result<ControlFlow<()>, StreamError> {
        let mut count = 0;
        for rows in self.0.rows(partition)? {
            let rows = rows.map_err(|cause| self.0.failed(cause))?;
            count += rows.num_rows() as u64;
            self.0.count(partition, count);
            if rows.num_rows() > 0 && sink(rows).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(NEXT)
    }
}

impl Codec<RecordBatch> {
    /// By Arrow's stream format, each record batch as a stream of its own behind its length in bytes.
    pub(super) fn arrow() -> Self {
        Codec::new(encode, decode)
    }
}

fn encode(batches: &[RecordBatch]) -> Result<Vec<u8>, StreamError> {
    let mut bytes = Vec::new();
    for batch in batches {
        let start = bytes.len();
        bytes.extend_from_slice(&[0; 8]);
        let mut writer = StreamWriter::try_new(&mut bytes, &batch.schema()).map_err(StreamError::user)?;
        writer.write(batch).and_then(|()| writer.finish()).map_err(StreamError::user)?;
        drop(writer);
        let length = (bytes.len() - start - 8) as u64;
        if let Some(place) = bytes.get_mut(start..start + 8) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }
    Ok(bytes)
}

fn decode(mut bytes: &[u8]) -> Result<Vec<RecordBatch>, StreamError> {
    let mut batches = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<8>() {
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (stream, rest) = rest
            .split_at_checked(length)
            .ok_or_else(|| StreamError::Invalid("saved record batches are cut short".to_owned()))?;
        for batch in StreamReader::try_new(stream, None).map_err(StreamError::user)? {
            batches.push(batch.map_err(StreamError::user)?);
        }
        bytes = rest;
    }
    Ok(batches)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    #[test]
    fn record_batches_are_saved_and_loaded_with_their_columns() {
        let fields = vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Utf8, true)];
        let schema = Arc::new(Schema::new(fields));
        let (a, b) = (Int32Array::from(vec![Some(1), None]), StringArray::from(vec![None, Some("x")]));
        let batch = RecordBatch::try_new(schema, vec![Arc::new(a), Arc::new(b)]).unwrap();
        let batches = [batch.clone(), batch.slice(1, 1)];
        let bytes = encode(&batches).unwrap();
        assert_eq!(decode(&bytes).unwrap(), batches);
        assert_eq!(decode(&encode(&[]).unwrap()).unwrap(), []);
        assert!(decode(bytes.get(..bytes.len() - 9).unwrap()).is_err());
    }
}
