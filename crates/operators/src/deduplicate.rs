//! Deduplication: the first row of each key passes.
//!
//! Over a stream ([`StateDeduplicateExec`]: `dedupe`, `dedupeWithinWatermark`) the keys that were seen are the state: a key
//! stays until the watermark passes its event time, or passes its first row's event time plus the delay (`WithinWatermark`), or for
//! good if it has no event time. Rows behind the watermark are dropped first. Over rows at rest ([`FirstRowsExec`]) keys are
//! only remembered while the query runs.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::Distribution;
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties};
use futures::StreamExt;
use hashbrown::HashSet;
use millstream_formats::row::{RowBuffer, RowEncoder};
use millstream_functions::aggregate::canonical::canonical;
use millstream_state::StateStore;

use crate::event_time::event_times_us;
use crate::exchange::{Exchange, Placed};
use crate::exec::{batches_later, external, one_input, properties};
use crate::stores::{Counters, OperatorState};

/// How long a key is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Until the watermark passes the event time in the key; for good if there is none.
    UntilKeyExpires,
    /// Until the watermark passes the event time of its first row plus this delay, µs.
    ForDelay(i64),
}

/// What is fixed of a deduplication.
pub struct Keys {
    columns: Vec<Arc<dyn PhysicalExpr>>,
    encoder: RowEncoder,
    /// The event-time column, if there is one.
    event_time: Option<usize>,
    /// Which key is the event time.
    event_time_key: Option<usize>,
    keep: Keep,
}

impl Keys {
    /// Keys by these expressions.
    ///
    /// # Errors
    /// If a key has a type that cannot be stored.
    pub fn try_new(
        columns: Vec<Arc<dyn PhysicalExpr>>,
        types: &[DataType],
        event_time: Option<usize>,
        event_time_key: Option<usize>,
        keep: Keep,
    ) -> Result<Self> {
        Ok(Self { columns, encoder: RowEncoder::for_keys(types).map_err(external)?, event_time, event_time_key, keep })
    }
}

/// The value of a key that is only remembered: one void field.
const SEEN: [u8; 16] = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// The value of a key that expires: one bigint field, µs.
fn expires_at(time_us: i64) -> [u8; 16] {
    let mut row = [0; 16];
    row[8..].copy_from_slice(&time_us.to_le_bytes());
    row
}

/// Lets the first row of each key pass, and keeps the keys as state.
#[derive(Clone)]
pub struct StateDeduplicateExec {
    input: Arc<dyn ExecutionPlan>,
    keys: Arc<Keys>,
    state: Arc<OperatorState>,
    exchange: Arc<Exchange>,
    properties: Arc<PlanProperties>,
}

impl StateDeduplicateExec {
    /// A deduplication.
    pub fn new(input: Arc<dyn ExecutionPlan>, keys: Arc<Keys>, state: Arc<OperatorState>) -> Self {
        let outputs = state.outputs();
        let exchange = Arc::new(Exchange::new(state.spec().partitions, outputs));
        let properties = properties(&input.schema(), outputs, EmissionType::Final);
        Self { input, keys, state, exchange, properties }
    }

    /// The operator's state.
    pub fn state(&self) -> &Arc<OperatorState> {
        &self.state
    }

    fn with_input(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Ok(Self { input, exchange: Arc::new(self.exchange.fresh()), ..self.clone() })
    }

    async fn run(self, output: usize, context: Arc<TaskContext>) -> Result<Vec<RecordBatch>> {
        let placed = self.exchange.rows(output, &self.input, &self.keys.columns, &context).await?;
        let start = Instant::now();
        let passed = placed.iter().map(|placed| self.first_rows(placed)).collect::<Result<Vec<_>>>()?;
        Counters::add_time(&self.state.counters.updates_ns, start);
        self.evict(output)?;
        Ok(passed)
    }

    fn first_rows(&self, placed: &Placed) -> Result<RecordBatch> {
        let rows = placed.rows.num_rows();
        let watermarks = self.state.watermarks();
        let evaluate = |e: &Arc<dyn PhysicalExpr>| e.evaluate(&placed.rows)?.into_array(rows);
        let columns: Vec<ArrayRef> = self.keys.columns.iter().map(evaluate).collect::<Result<_>>()?;
        let columns: Vec<ArrayRef> = columns.iter().map(canonical).collect::<Result<_>>()?;
        let mut keys = RowBuffer::new();
        self.keys.encoder.encode(&columns, 0..rows, &mut keys).map_err(external)?;
        let times: Option<Int64Array> =
            self.keys.event_time.map(|column| event_times_us(placed.rows.column(column))).transpose()?;
        let late_until_us = watermarks.late_ms.saturating_mul(1000);
        let (mut late, mut passing) = (0, Vec::new());
        for row in 0..rows {
            let time = times.as_ref().filter(|t| t.is_valid(row)).map(|t| t.value(row));
            if time.is_some_and(|time| time <= late_until_us) {
                late += 1;
                continue;
            }
            let partition = placed.partitions.get(row).copied().unwrap_or(0) as usize;
            let value = match self.keys.keep {
                Keep::UntilKeyExpires => SEEN,
                Keep::ForDelay(delay_us) => expires_at(time.unwrap_or(0).saturating_add(delay_us)),
            };
            let (key, mut is_first) = (keys.row(row), false);
            let remember = |store: &mut StateStore| match store.contains(key) {
                true => Ok(()),
                false => {
                    is_first = true;
                    store.put(key, &value)
                }
            };
            self.state.with_store(partition, remember).map_err(external)?;
            if is_first {
                passing.push(row as u32);
            }
        }
        let counters = &self.state.counters;
        Counters::add(&counters.late, late);
        Counters::add(&counters.updated, passing.len());
        Counters::add(&counters.custom, rows - late - passing.len());
        Ok(take_record_batch(&placed.rows, &UInt32Array::from(passing))?)
    }

    fn evict(&self, output: usize) -> Result<()> {
        if self.keys.event_time_key.is_none() && self.keys.keep == Keep::UntilKeyExpires {
            return Ok(());
        }
        let watermark_ms = self.state.watermarks().eviction_ms;
        self.state.evict(output, watermark_ms, |_, _| Ok(())).map_err(external)
    }
}

impl fmt::Debug for StateDeduplicateExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateDeduplicateExec({})", self.state.spec().operator)
    }
}

impl DisplayAs for StateDeduplicateExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let keys: Vec<String> = self.keys.columns.iter().map(ToString::to_string).collect();
        let spec = self.state.spec();
        write!(
            f,
            "StateDeduplicateExec: operator={}, {}, keys=[{}], state partitions={}",
            spec.operator,
            spec.name,
            keys.join(", "),
            spec.partitions
        )
    }
}

impl ExecutionPlan for StateDeduplicateExec {
    one_input!("StateDeduplicateExec");

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Ok(batches_later(self.input.schema(), self.clone().run(partition, context)))
    }
}

/// Lets the first row of each key pass, over rows at rest.
pub struct FirstRowsExec {
    input: Arc<dyn ExecutionPlan>,
    columns: Vec<Arc<dyn PhysicalExpr>>,
    encoder: RowEncoder,
    properties: Arc<PlanProperties>,
}

impl FirstRowsExec {
    /// Deduplicates by these expressions.
    ///
    /// # Errors
    /// If a key has a type that cannot be compared.
    pub fn try_new(input: Arc<dyn ExecutionPlan>, columns: Vec<Arc<dyn PhysicalExpr>>) -> Result<Self> {
        let schema = input.schema();
        let types = columns.iter().map(|c| c.data_type(&schema)).collect::<Result<Vec<_>>>()?;
        let encoder = RowEncoder::for_keys(&types).map_err(external)?;
        let properties = properties(&schema, 1, EmissionType::Incremental);
        Ok(Self { input, columns, encoder, properties })
    }

    fn with_input(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Self::try_new(input, self.columns.clone())
    }
}

impl fmt::Debug for FirstRowsExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FirstRowsExec")
    }
}

impl DisplayAs for FirstRowsExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let keys: Vec<String> = self.columns.iter().map(ToString::to_string).collect();
        write!(f, "FirstRowsExec: keys=[{}]", keys.join(", "))
    }
}

impl ExecutionPlan for FirstRowsExec {
    one_input!("FirstRowsExec");

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema: SchemaRef = self.input.schema();
        let input = self.input.execute(partition, context)?;
        let (columns, encoder) = (self.columns.clone(), self.encoder.clone());
        let mut seen: HashSet<Box<[u8]>> = HashSet::new();
        let mut keys = RowBuffer::new();
        let stream = input.map(move |batch| {
            let batch = batch?;
            let evaluate = |e: &Arc<dyn PhysicalExpr>| canonical(&e.evaluate(&batch)?.into_array(batch.num_rows())?);
            let values: Vec<ArrayRef> = columns.iter().map(evaluate).collect::<Result<_>>()?;
            keys.clear();
            encoder.encode(&values, 0..batch.num_rows(), &mut keys).map_err(external)?;
            let mut first = |row: &u32| {
                let key = keys.row(*row as usize);
                !seen.contains(key) && seen.insert(key.into())
            };
            let passing: Vec<u32> = (0..batch.num_rows() as u32).filter(|row| first(row)).collect();
            Ok(take_record_batch(&batch, &UInt32Array::from(passing))?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }
}
