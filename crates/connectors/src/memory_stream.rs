//! A source that the program itself fills: rows in memory, as batches that it adds.
//!
//! It is no format of `readStream`: a program (or a test) makes one, keeps a clone of it and hands another one to a front as an
//! [`Origin`].
//!
//! # Offsets
//! Number of the newest batch that was added, from 0, as in Spark's `MemoryStream`.
//!
//! # Guarantee
//! As long as the process lives: a range is kept until it is committed, and a source that is opened anew on the same stream reads
//! the same rows. A range that is not in memory (committed, or of another process) is an error.
//!
//! # Memory
//! What is not committed, without a bound: [`MemoryStream::add`] never waits.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_formats::condition::{ExceptionClass, SparkError};
use parking_lot::Mutex;

use crate::errors::{bad_offset, illegal_argument};
use crate::source::{Offset, OpenContext, Origin, Rows, Source};

/// The rows. A clone is the same stream.
#[derive(Clone)]
pub struct MemoryStream(Arc<Shared>);

struct Shared {
    schema: SchemaRef,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// Number of the first batch that is here.
    first: i64,
    batches: VecDeque<RecordBatch>,
    wake: Option<Box<dyn Fn() + Send + Sync>>,
}

impl Held {
    /// Number of the newest batch that was added; −1 before the first.
    fn latest(&self) -> i64 {
        self.first + self.batches.len() as i64 - 1
    }
}

impl MemoryStream {
    /// A stream of rows with these columns, empty.
    pub fn new(schema: SchemaRef) -> Self {
        MemoryStream(Arc::new(Shared { schema, held: Mutex::default() }))
    }

    /// Adds rows and gives the offset that they end at.
    ///
    /// # Errors
    /// The columns are not those of the stream.
    pub fn add(&self, rows: RecordBatch) -> Result<Offset, SparkError> {
        if rows.schema().fields() != self.0.schema.fields() {
            return Err(illegal_argument(format!(
                "Rows with the columns {:?} cannot be added to a stream with the columns {:?}",
                names(&rows.schema()),
                names(&self.0.schema)
            )));
        }
        let mut held = self.0.held.lock();
        held.batches.push_back(rows);
        if let Some(wake) = &held.wake {
            wake();
        }
        Ok(held.latest().to_string())
    }
}

fn names(schema: &SchemaRef) -> Vec<&str> {
    schema.fields().iter().map(|field| field.name().as_str()).collect()
}

impl Origin for MemoryStream {
    fn name(&self) -> String {
        "MemoryStream".into()
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.0.schema)
    }

    fn open(&self, context: OpenContext) -> Result<Box<dyn Source>, SparkError> {
        let indices = context.columns.as_ref().map(|columns| {
            let index = |name: &String| self.0.schema.index_of(name).map_err(|e| SparkError::internal(e.to_string()));
            columns.iter().map(index).collect::<Result<Vec<usize>, SparkError>>()
        });
        let indices = indices.transpose()?;
        let schema = match &indices {
            Some(indices) => Arc::new(self.0.schema.project(indices).map_err(|e| SparkError::internal(e.to_string()))?),
            None => Arc::clone(&self.0.schema),
        };
        Ok(Box::new(MemorySource { shared: Arc::clone(&self.0), indices, schema, end: Mutex::new(None) }))
    }
}

struct MemorySource {
    shared: Arc<Shared>,
    /// Columns that are wanted, if not all.
    indices: Option<Vec<usize>>,
    schema: SchemaRef,
    /// The fixed end.
    end: Mutex<Option<i64>>,
}

fn parse(offset: &Offset) -> Result<i64, SparkError> {
    offset.trim().parse().map_err(|_| bad_offset("memory", offset))
}

impl Source for MemorySource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn description(&self) -> String {
        let columns: Vec<String> = names(&self.schema).into_iter().map(str::to_string).collect();
        format!("MemoryStream[{}]", columns.join(","))
    }

    fn latest_offset(&self, _start: Option<&Offset>, _unlimited: bool) -> Result<Option<Offset>, SparkError> {
        let latest = self.shared.held.lock().latest();
        let end = self.end.lock().map_or(latest, |end| end.min(latest));
        Ok((end >= 0).then(|| end.to_string()))
    }

    fn read(&self, start: Option<&Offset>, end: &Offset, partitions: usize) -> Result<Vec<Rows>, SparkError> {
        let (start, end) = (start.map_or(Ok(-1), parse)?, parse(end)?);
        let held = self.shared.held.lock();
        let (from, to) = (start + 1 - held.first, end + 1 - held.first);
        let within = usize::try_from(from).ok().zip(usize::try_from(to).ok());
        let within = within.filter(|(from, to)| from <= to && *to <= held.batches.len()).ok_or_else(|| {
            let (first, latest) = (held.first, held.latest());
            SparkError::plain(
                ExceptionClass::Runtime,
                format!("The offsets after {start} up to {end} are not in memory: it has {first} to {latest}."),
            )
        })?;
        let batches: Vec<RecordBatch> = held.batches.range(within.0..within.1).cloned().collect();
        drop(held);
        let share = batches.len().div_ceil(partitions.max(1)).max(1);
        let rows = |batches: &[RecordBatch]| {
            let (batches, indices) = (batches.to_vec(), self.indices.clone());
            Box::new(batches.into_iter().map(move |batch| match &indices {
                Some(indices) => batch.project(indices).map_err(|e| SparkError::internal(e.to_string())),
                None => Ok(batch),
            })) as Rows
        };
        Ok(batches.chunks(share).map(rows).collect())
    }

    fn commit(&self, end: &Offset) -> Result<(), SparkError> {
        let end = parse(end)?;
        let mut held = self.shared.held.lock();
        while held.first <= end && held.batches.pop_front().is_some() {
            held.first += 1;
        }
        Ok(())
    }

    fn fix_end(&self) -> Result<(), SparkError> {
        let latest = self.shared.held.lock().latest();
        *self.end.lock() = Some(latest);
        Ok(())
    }

    fn on_data(&self, wake: Box<dyn Fn() + Send + Sync>) {
        self.shared.held.lock().wake = Some(wake);
    }

    fn stop(&self) {
        self.shared.held.lock().wake = None;
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int32Array};
    use arrow::datatypes::{DataType, Field, Int32Type, Schema};

    use super::*;

    fn schema() -> SchemaRef {
        let field = |name: &str| Field::new(name, DataType::Int32, true);
        Arc::new(Schema::new(vec![field("a"), field("b")]))
    }

    fn rows(values: &[i32]) -> RecordBatch {
        let (a, b) = (Int32Array::from(values.to_vec()), Int32Array::from(vec![0; values.len()]));
        RecordBatch::try_new(schema(), vec![Arc::new(a), Arc::new(b)]).unwrap()
    }

    fn open(stream: &MemoryStream, columns: Option<Vec<String>>) -> Box<dyn Source> {
        let context = OpenContext { metadata_dir: "unused".into(), columns, conf: Arc::new(|_| None) };
        stream.open(context).unwrap()
    }

    fn read(source: &dyn Source, start: Option<&str>, end: &str) -> Result<Vec<i32>, SparkError> {
        let start = start.map(str::to_string);
        let parts = source.read(start.as_ref(), &end.to_string(), 2)?;
        let values = |batch: RecordBatch| batch.column(0).as_primitive::<Int32Type>().values().to_vec();
        Ok(parts.into_iter().flatten().flat_map(|batch| values(batch.unwrap())).collect())
    }

    #[test]
    fn a_range_is_read_as_often_as_wanted_until_it_is_committed() {
        let stream = MemoryStream::new(schema());
        let source = open(&stream, Some(vec!["a".into()]));
        assert_eq!(source.latest_offset(None, false).unwrap(), None);
        for (at, values) in [[1, 2], [3, 4], [5, 6]].iter().enumerate() {
            assert_eq!(stream.add(rows(values)).unwrap(), at.to_string());
        }
        assert_eq!(source.latest_offset(None, false).unwrap().as_deref(), Some("2"));
        assert_eq!(read(source.as_ref(), None, "2").unwrap(), [1, 2, 3, 4, 5, 6]);
        source.commit(&"0".to_string()).unwrap();
        let again = open(&stream, None);
        assert_eq!(read(again.as_ref(), Some("0"), "1").unwrap(), [3, 4]);
        assert_eq!(again.latest_offset(Some(&"2".to_string()), false).unwrap().as_deref(), Some("2"));
        let error = read(again.as_ref(), None, "1").unwrap_err().to_string();
        assert_eq!(error, "The offsets after -1 up to 1 are not in memory: it has 1 to 2.");
        assert_eq!(source.schema().fields().len(), 1);
    }

    #[test]
    fn rows_of_other_columns_are_refused() {
        let other = Arc::new(Schema::new(vec![Field::new("x", DataType::Int32, true)]));
        let error = MemoryStream::new(other).add(rows(&[1])).unwrap_err().to_string();
        assert_eq!(error, r#"Rows with the columns ["a", "b"] cannot be added to a stream with the columns ["x"]"#);
    }
}
