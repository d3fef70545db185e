//! Observes the event times of the rows that pass a watermark operator.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;
use parking_lot::Mutex;

use crate::exec::{one_input, row_by_row};
use crate::stream_plan::EventTimeStats;

/// Statistics of one watermark operator, gathered by its partitions in the current batch.
#[derive(Debug, Default)]
pub struct EventTimes(Mutex<EventTimeStats>);

impl EventTimes {
    /// Forgets the batch before.
    pub fn clear(&self) {
        *self.0.lock() = EventTimeStats::default();
    }

    /// What was seen since.
    pub fn get(&self) -> EventTimeStats {
        *self.0.lock()
    }

    fn merge(&self, more: &EventTimeStats) {
        if more.count == 0 {
            return;
        }
        let mut all = self.0.lock();
        if all.count == 0 {
            *all = *more;
            return;
        }
        all.min_ms = all.min_ms.min(more.min_ms);
        all.max_ms = all.max_ms.max(more.max_ms);
        let (n, m) = (all.count as f64, more.count as f64);
        all.avg_ms = (all.avg_ms * n + more.avg_ms * m) / (n + m);
        all.count += more.count;
    }
}

/// Adds the times of a column: a timestamp, or a window of which the end counts. As in Spark, no time counts as the epoch.
fn observe(column: &ArrayRef, stats: &mut EventTimeStats) -> Result<()> {
    let times = event_times_us(column)?;
    for row in 0..times.len() {
        let time_ms = if times.is_null(row) { 0 } else { times.value(row).div_euclid(1000) };
        stats.count += 1;
        stats.min_ms = if stats.count == 1 { time_ms } else { stats.min_ms.min(time_ms) };
        stats.max_ms = if stats.count == 1 { time_ms } else { stats.max_ms.max(time_ms) };
        // Step by step as Spark does, for the same rounding.
        stats.avg_ms += (time_ms as f64 - stats.avg_ms) / stats.count as f64;
    }
    Ok(())
}

/// The times of an event-time column, µs: the timestamps, or the ends of the windows.
pub fn event_times_us(column: &ArrayRef) -> Result<arrow::array::Int64Array> {
    let times = match column.data_type() {
        DataType::Struct(_) => {
            let windows = column.as_struct();
            let ends = windows.columns().get(1).ok_or_else(|| wrong_type(column))?;
            let nulls = arrow::buffer::NullBuffer::union(ends.nulls(), windows.nulls());
            let ends = ends.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| wrong_type(column))?;
            return Ok(arrow::array::Int64Array::new(ends.values().clone(), nulls));
        }
        DataType::Timestamp(..) => Arc::clone(column),
        _ => cast(column, &DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None))?,
    };
    let times = times.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| wrong_type(column))?;
    Ok(times.reinterpret_cast())
}

fn wrong_type(column: &ArrayRef) -> DataFusionError {
    DataFusionError::Internal(format!("event times of type {}", column.data_type()))
}

/// Gives rows on unchanged and observes their event times.
pub struct EventTimeExec {
    input: Arc<dyn ExecutionPlan>,
    column: usize,
    delay_ms: i64,
    times: Arc<EventTimes>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl EventTimeExec {
    /// Observes the `column`-th column. `schema` is the input's with the event-time mark.
    pub fn new(
        input: Arc<dyn ExecutionPlan>,
        column: usize,
        delay_ms: i64,
        schema: SchemaRef,
        times: Arc<EventTimes>,
    ) -> Self {
        let properties = row_by_row(&schema, &input);
        Self { input, column, delay_ms, times, schema, properties }
    }

    fn with_input(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Ok(Self::new(input, self.column, self.delay_ms, Arc::clone(&self.schema), Arc::clone(&self.times)))
    }

    /// What this operator has observed.
    pub fn times(&self) -> &Arc<EventTimes> {
        &self.times
    }

    /// How late rows may be, ms.
    pub fn delay_ms(&self) -> i64 {
        self.delay_ms
    }
}

impl fmt::Debug for EventTimeExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventTimeExec")
    }
}

impl DisplayAs for EventTimeExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "EventTimeWatermarkExec: column={}, delay={} ms", self.column, self.delay_ms)
    }
}

/// Merges into the operator's statistics when its partition has ended, or was given up.
struct Partition {
    stats: EventTimeStats,
    times: Arc<EventTimes>,
}

impl Partition {
    fn observe(&mut self, column: &ArrayRef) -> Result<()> {
        observe(column, &mut self.stats)
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        self.times.merge(&self.stats);
    }
}

impl ExecutionPlan for EventTimeExec {
    one_input!("EventTimeExec");

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let (column, schema) = (self.column, Arc::clone(&self.schema));
        let delay_ms = self.delay_ms;
        let mut seen = Partition {
            stats: EventTimeStats { delay_ms, ..EventTimeStats::default() },
            times: Arc::clone(&self.times),
        };
        let stream = input.map(move |batch| {
            let batch = batch?;
            seen.observe(batch.column(column))?;
            rename(batch, &schema)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream)))
    }
}

/// A batch under another schema of the same types.
pub fn rename(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &options)?)
}
