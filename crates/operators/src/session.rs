//! Aggregation by session windows: rows of the same other keys whose sessions overlap or touch are one group.
//!
//! The input is DataFusion's partial aggregation by all keys, the session of the single row among them. Over a stream
//! ([`StateSessionExec`]: `sessionWindowStateStoreSaveExec`) a state entry is one session: its key the other keys and the session's
//! start, its value all keys at their places and the buffers. A batch
//!
//! 1. brings rows of the same other keys together and drops those whose session is late,
//! 2. puts them in order of their start among the sessions stored for these keys, and merges,
//! 3. puts every session of the touched keys and removes those that were merged away,
//! 4. gives out all sessions (complete), the touched ones (update), or those that the watermark has closed (append).
//!
//! Over rows at rest ([`SessionExec`]) there is only the merging.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StructArray, UInt32Array, new_empty_array};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::Distribution;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties};
use hashbrown::{HashMap, HashSet};
use millstream_formats::condition::SparkError;
use millstream_formats::row::{RowBuffer, RowDecoder, RowEncoder};
use millstream_state::StateStore;

use crate::aggregate::together;
use crate::exchange::Exchange;
use crate::exec::{batches_later, collect_partition, external, one_input, properties};
use crate::layout::{Layout, Results, missing_buffers};
use crate::stores::{Counters, OperatorState};
use crate::stream_plan::OutputMode;

/// An aggregation one of whose keys is the session.
pub struct Sessions {
    layout: Arc<Layout>,
    /// Which key is the session.
    session: usize,
    /// Other keys.
    others: RowEncoder,
    /// Other keys and the start: the key of a state entry.
    keys: RowEncoder,
    /// All keys and the buffers: the value of a state entry.
    values: RowEncoder,
    value_rows: RowDecoder,
}

impl Sessions {
    /// Sessions of an aggregation whose `session`-th key is the session.
    ///
    /// # Errors
    /// If a key or a buffer has a type that cannot be stored, or the session is no struct of two timestamps.
    pub fn try_new(layout: Arc<Layout>, session: usize) -> Result<Self> {
        let wrong = || DataFusionError::Internal("a session is a struct of start and end".into());
        let DataType::Struct(fields) = layout.key_types.get(session).ok_or_else(wrong)? else { return Err(wrong()) };
        let start = fields.first().ok_or_else(wrong)?.data_type().clone();
        let mut others = layout.key_types.clone();
        others.remove(session);
        let keys: Vec<DataType> = others.iter().cloned().chain([start]).collect();
        let value_types: Vec<DataType> = layout.key_types.iter().chain(&layout.buffer_types).cloned().collect();
        Ok(Self {
            others: RowEncoder::for_keys(&others).map_err(external)?,
            keys: RowEncoder::for_keys(&keys).map_err(external)?,
            values: RowEncoder::for_values(&value_types).map_err(external)?,
            value_rows: RowDecoder::new(&value_types),
            layout,
            session,
        })
    }

    /// Types of the key of a state entry.
    pub fn key_types(&self) -> &[DataType] {
        self.keys.types()
    }

    fn other_columns(&self, rows: &[ArrayRef]) -> Vec<ArrayRef> {
        let keys = rows.iter().take(self.layout.key_types.len()).enumerate();
        keys.filter(|(i, _)| *i != self.session).map(|(_, column)| Arc::clone(column)).collect()
    }

    /// Starts and ends of the sessions of rows, µs.
    fn bounds(&self, rows: &[ArrayRef]) -> Result<(Int64Array, Int64Array)> {
        let wrong = || DataFusionError::Internal("a session is a struct of start and end".into());
        let session = rows.get(self.session).and_then(|c| c.as_struct_opt()).ok_or_else(wrong)?;
        let bound = |i: usize| -> Result<Int64Array> {
            let times = session.columns().get(i).and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
            Ok(times.ok_or_else(wrong)?.reinterpret_cast())
        };
        Ok((bound(0)?, bound(1)?))
    }

    /// The merged sessions of rows whose other keys are the numbers `keys`.
    fn merge(&self, rows: &[ArrayRef], keys: &[usize]) -> Result<Merged> {
        let (starts, ends) = self.bounds(rows)?;
        let mut order: Vec<u32> = (0..keys.len() as u32).collect();
        order.sort_by_key(|row| (keys[*row as usize], starts.value(*row as usize)));
        let mut merged = Merged {
            group_of_row: Vec::new(),
            first_rows: vec![],
            keys: vec![],
            starts: vec![],
            ends: vec![],
            order: vec![],
        };
        for row in &order {
            let (key, start, end) = (keys[*row as usize], starts.value(*row as usize), ends.value(*row as usize));
            match (merged.keys.last(), merged.ends.last_mut()) {
                (Some(last_key), Some(last_end)) if *last_key == key && start <= *last_end => {
                    *last_end = end.max(*last_end)
                }
                _ => {
                    merged.first_rows.push(*row);
                    merged.keys.push(key);
                    merged.starts.push(start);
                    merged.ends.push(end);
                }
            }
            merged.group_of_row.push(merged.keys.len() - 1);
        }
        merged.order = order;
        Ok(merged)
    }

    /// Keys and buffers of merged sessions.
    fn columns(&self, rows: &[ArrayRef], merged: &Merged) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>)> {
        let order = UInt32Array::from(merged.order.clone());
        let buffers = rows.get(self.layout.key_types.len()..).ok_or_else(missing_buffers)?;
        let buffers: Vec<ArrayRef> = buffers.iter().map(|c| Ok(take(c, &order, None)?)).collect::<Result<_>>()?;
        let mut accumulators = self.layout.accumulators()?;
        self.layout.merge(&mut accumulators, &buffers, &merged.group_of_row, merged.keys.len())?;
        let first_rows = UInt32Array::from(merged.first_rows.clone());
        let mut keys: Vec<ArrayRef> = rows
            .iter()
            .take(self.layout.key_types.len())
            .map(|c| Ok(take(c, &first_rows, None)?))
            .collect::<Result<_>>()?;
        if let Some(session) = keys.get_mut(self.session) {
            *session = self.windows(merged)?;
        }
        Ok((keys, self.layout.buffers(accumulators)?))
    }

    fn windows(&self, merged: &Merged) -> Result<ArrayRef> {
        let wrong = || DataFusionError::Internal("a session is a struct of start and end".into());
        let DataType::Struct(fields) = self.layout.key_types.get(self.session).ok_or_else(wrong)? else {
            return Err(wrong());
        };
        let times = |us: &[i64], i: usize| -> Result<ArrayRef> {
            let field = fields.get(i).ok_or_else(wrong)?;
            let times = Int64Array::from(us.to_vec()).reinterpret_cast::<TimestampMicrosecondType>();
            Ok(Arc::new(times.with_data_type(field.data_type().clone())))
        };
        let columns = vec![times(&merged.starts, 0)?, times(&merged.ends, 1)?];
        Ok(Arc::new(StructArray::try_new(fields.clone(), columns, None)?))
    }

    /// Numbers the distinct other keys of rows.
    fn number_keys(&self, rows: &[ArrayRef], count: usize) -> Result<Numbered> {
        let mut bytes = RowBuffer::new();
        if count > 0 {
            self.others.encode(&self.other_columns(rows), 0..count, &mut bytes).map_err(external)?;
        }
        let mut numbers: HashMap<Box<[u8]>, usize> = HashMap::new();
        let (mut of_rows, mut first_rows) = (Vec::with_capacity(count), Vec::new());
        for row in 0..count {
            let next = numbers.len();
            let number = *numbers.entry_ref(bytes.row(row)).or_insert(next);
            if number == next {
                first_rows.push(row);
            }
            of_rows.push(number);
        }
        let mut keys = vec![Box::<[u8]>::default(); numbers.len()];
        numbers.into_iter().for_each(|(key, number)| keys[number] = key);
        Ok(Numbered { of_rows, keys, first_rows })
    }

    /// Result rows of state entries.
    fn stored_results(&self, values: &RowBuffer) -> Result<RecordBatch> {
        let mut keys = self.value_rows.decode(values.iter()).map_err(external)?;
        let buffers = keys.split_off(self.layout.key_types.len());
        self.layout.results(keys, &buffers, values.len())
    }
}

/// The distinct other keys of rows.
struct Numbered {
    /// Number of each row's key.
    of_rows: Vec<usize>,
    /// Key bytes by number.
    keys: Vec<Box<[u8]>>,
    /// One row of each key.
    first_rows: Vec<usize>,
}

/// Sessions, in order of key and start.
struct Merged {
    /// Rows by key and start.
    order: Vec<u32>,
    /// Session of each row of `order`.
    group_of_row: Vec<usize>,
    /// First row of each session.
    first_rows: Vec<u32>,
    /// Number of the other keys of each session.
    keys: Vec<usize>,
    /// µs.
    starts: Vec<i64>,
    /// µs.
    ends: Vec<i64>,
}

/// Merges rows into the sessions of an operator's state.
#[derive(Clone)]
pub struct StateSessionExec {
    input: Arc<dyn ExecutionPlan>,
    sessions: Arc<Sessions>,
    state: Arc<OperatorState>,
    mode: OutputMode,
    exchange: Arc<Exchange>,
    properties: Arc<PlanProperties>,
}

/// The touched keys of one batch.
struct Touched {
    /// Rows of the batch that are not late.
    rows: Vec<ArrayRef>,
    count: usize,
    /// Number of the other keys of each row.
    numbers: Vec<usize>,
    /// Bytes of the other keys, by number.
    keys: Vec<Box<[u8]>>,
    /// State partition, by number.
    partitions: Vec<u32>,
}

impl StateSessionExec {
    /// A session aggregation over partial aggregates.
    pub fn new(
        input: Arc<dyn ExecutionPlan>,
        sessions: Arc<Sessions>,
        state: Arc<OperatorState>,
        mode: OutputMode,
    ) -> Self {
        let outputs = state.outputs();
        let exchange = Arc::new(Exchange::new(state.spec().partitions, outputs));
        let properties = properties(&sessions.layout.output, outputs, EmissionType::Final);
        Self { input, sessions, state, mode, exchange, properties }
    }

    /// The operator's state.
    pub fn state(&self) -> &Arc<OperatorState> {
        &self.state
    }

    fn with_input(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Ok(Self { input, exchange: Arc::new(self.exchange.fresh()), ..self.clone() })
    }

    async fn run(self, output: usize, context: Arc<TaskContext>) -> Result<Vec<RecordBatch>> {
        let layout = &self.sessions.layout;
        let keys: Vec<Arc<dyn PhysicalExpr>> = (0..layout.key_types.len())
            .filter(|i| *i != self.sessions.session)
            .map(|i| Arc::new(Column::new(layout.output.field(i).name(), i)) as Arc<dyn PhysicalExpr>)
            .collect();
        let placed = self.exchange.rows(output, &self.input, &keys, &context).await?;
        let (rows, partitions) = together(&placed)?;
        let touched = self.touched(rows, partitions)?;
        let start = Instant::now();
        let updated = self.update(&touched)?;
        Counters::add_time(&self.state.counters.updates_ns, start);
        let watermark_ms = self.state.watermarks().eviction_ms;
        match self.mode {
            OutputMode::Complete => self.all_sessions(output),
            OutputMode::Update => {
                self.evict(output, watermark_ms, false)?;
                Ok(updated.into_iter().collect())
            }
            OutputMode::Append => self.evict(output, watermark_ms, true),
        }
    }

    /// Drops late rows and finds the keys of the others.
    fn touched(&self, mut rows: Vec<ArrayRef>, mut partitions: Vec<u32>) -> Result<Touched> {
        if !partitions.is_empty() && self.mode != OutputMode::Complete && self.sessions.layout.event_time_key.is_some()
        {
            let late_until_us = self.state.watermarks().late_ms.saturating_mul(1000);
            let (_, ends) = self.sessions.bounds(&rows)?;
            let kept: Vec<u32> =
                (0..partitions.len() as u32).filter(|r| ends.value(*r as usize) > late_until_us).collect();
            Counters::add(&self.state.counters.late, partitions.len() - kept.len());
            if kept.len() < partitions.len() {
                partitions = kept.iter().map(|r| partitions[*r as usize]).collect();
                let kept = UInt32Array::from(kept);
                rows = rows.iter().map(|c| Ok(take(c, &kept, None)?)).collect::<Result<_>>()?;
            }
        }
        let count = partitions.len();
        let Numbered { of_rows: numbers, keys, first_rows } = self.sessions.number_keys(&rows, count)?;
        let partitions = first_rows.iter().map(|row| partitions[*row]).collect();
        Ok(Touched { rows, count, numbers, keys, partitions })
    }

    /// Merges the rows into the state; result rows of the touched sessions in update mode.
    fn update(&self, touched: &Touched) -> Result<Option<RecordBatch>> {
        if touched.count == 0 {
            return Ok(None);
        }
        let mut stored = RowBuffer::new();
        let mut stored_numbers = Vec::new();
        let mut stored_keys: Vec<Vec<Box<[u8]>>> = vec![Vec::new(); touched.keys.len()];
        for (number, key) in touched.keys.iter().enumerate() {
            let partition = touched.partitions[number] as usize;
            let collect = |store: &mut StateStore| {
                for (entry, value) in store.scan_prefix(key) {
                    stored.push(value);
                    stored_numbers.push(number);
                    stored_keys[number].push(entry.into());
                }
                Ok(())
            };
            self.state.with_store(partition, collect).map_err(external)?;
        }
        let stored_rows = self.sessions.value_rows.decode(stored.iter()).map_err(external)?;
        let rows: Vec<ArrayRef> = stored_rows
            .iter()
            .zip(&touched.rows)
            .map(|(stored, new)| Ok(concat(&[stored.as_ref(), new.as_ref()])?))
            .collect::<Result<_>>()?;
        let numbers: Vec<usize> = stored_numbers.into_iter().chain(touched.numbers.iter().copied()).collect();
        let merged = self.sessions.merge(&rows, &numbers)?;
        let (keys, buffers) = self.sessions.columns(&rows, &merged)?;
        self.put(touched, &merged, &keys, &buffers, stored_keys)?;
        match self.mode {
            OutputMode::Update => self.sessions.layout.results(keys, &buffers, merged.keys.len()).map(Some),
            _ => Ok(None),
        }
    }

    fn put(
        &self,
        touched: &Touched,
        merged: &Merged,
        keys: &[ArrayRef],
        buffers: &[ArrayRef],
        stored_keys: Vec<Vec<Box<[u8]>>>,
    ) -> Result<()> {
        let count = merged.keys.len();
        let columns: Vec<ArrayRef> = keys.iter().chain(buffers).cloned().collect();
        let (mut entries, mut values) = (RowBuffer::new(), RowBuffer::new());
        self.sessions.values.encode(&columns, 0..count, &mut values).map_err(external)?;
        let mut key_columns = self.sessions.other_columns(keys);
        let start = keys.get(self.sessions.session).and_then(|c| c.as_struct_opt()).map(|s| Arc::clone(s.column(0)));
        key_columns.extend(start);
        self.sessions.keys.encode(&key_columns, 0..count, &mut entries).map_err(external)?;
        for group in 0..count {
            let partition = touched.partitions[merged.keys[group]] as usize;
            let put = |store: &mut StateStore| store.put(entries.row(group), values.row(group));
            self.state.with_store(partition, put).map_err(external)?;
        }
        Counters::add(&self.state.counters.updated, count);
        let kept: HashSet<&[u8]> = entries.iter().collect();
        for (number, stored) in stored_keys.into_iter().enumerate() {
            let gone: Vec<Box<[u8]>> = stored.into_iter().filter(|key| !kept.contains(&**key)).collect();
            let remove =
                |store: &mut StateStore| Ok::<_, SparkError>(gone.iter().filter(|key| store.remove(key)).count());
            let removed = self.state.with_store(touched.partitions[number] as usize, remove).map_err(external)?;
            Counters::add(&self.state.counters.removed, removed);
        }
        Ok(())
    }

    fn all_sessions(&self, output: usize) -> Result<Vec<RecordBatch>> {
        let mut results = Results::new(|_: &RowBuffer, values: &RowBuffer| self.sessions.stored_results(values));
        for partition in self.state.served_by(output) {
            let each = |store: &mut StateStore| store.iter().try_for_each(|(key, value)| results.push(key, value));
            self.state.with_store(partition, each).map_err(external)?;
        }
        results.finish()
    }

    fn evict(&self, output: usize, watermark_ms: i64, give_out: bool) -> Result<Vec<RecordBatch>> {
        let mut results = Results::new(|_: &RowBuffer, values: &RowBuffer| self.sessions.stored_results(values));
        if self.sessions.layout.event_time_key.is_some() {
            let each = |key: &[u8], value: &[u8]| if give_out { results.push(key, value) } else { Ok(()) };
            self.state.evict(output, watermark_ms, each).map_err(external)?;
        }
        results.finish()
    }
}

impl fmt::Debug for StateSessionExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateSessionExec({})", self.state.spec().operator)
    }
}

impl DisplayAs for StateSessionExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let spec = self.state.spec();
        write!(
            f,
            "StateSessionExec: operator={}, mode={:?}, state partitions={}",
            spec.operator, self.mode, spec.partitions
        )
    }
}

impl ExecutionPlan for StateSessionExec {
    one_input!("StateSessionExec");

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Ok(batches_later(Arc::clone(&self.sessions.layout.output), self.clone().run(partition, context)))
    }
}

/// Merges partial aggregates into sessions, over rows at rest.
#[derive(Clone)]
pub struct SessionExec {
    input: Arc<dyn ExecutionPlan>,
    sessions: Arc<Sessions>,
    properties: Arc<PlanProperties>,
}

impl SessionExec {
    /// A session aggregation over partial aggregates.
    pub fn new(input: Arc<dyn ExecutionPlan>, sessions: Arc<Sessions>) -> Self {
        let properties = properties(&sessions.layout.output, 1, EmissionType::Final);
        Self { input, sessions, properties }
    }

    fn with_input(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Ok(Self { input, ..self.clone() })
    }

    async fn run(self, partition: usize, context: Arc<TaskContext>) -> Result<Vec<RecordBatch>> {
        let schema: SchemaRef = self.input.schema();
        let mut batches = Vec::new();
        collect_partition(Arc::clone(&self.input), partition, context, |batch| {
            batches.push(batch);
            Ok(())
        })
        .await?;
        let rows = arrow::compute::concat_batches(&schema, &batches)?;
        if rows.num_rows() == 0 {
            let keys = self.sessions.layout.key_types.iter().map(new_empty_array).collect();
            let buffers: Vec<ArrayRef> = self.sessions.layout.buffer_types.iter().map(new_empty_array).collect();
            return Ok(vec![self.sessions.layout.results(keys, &buffers, 0)?]);
        }
        let numbered = self.sessions.number_keys(rows.columns(), rows.num_rows())?;
        let merged = self.sessions.merge(rows.columns(), &numbered.of_rows)?;
        let (keys, buffers) = self.sessions.columns(rows.columns(), &merged)?;
        Ok(vec![self.sessions.layout.results(keys, &buffers, merged.keys.len())?])
    }
}

impl fmt::Debug for SessionExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionExec")
    }
}

impl DisplayAs for SessionExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("SessionExec")
    }
}

impl ExecutionPlan for SessionExec {
    one_input!("SessionExec");

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Ok(batches_later(Arc::clone(&self.sessions.layout.output), self.clone().run(partition, context)))
    }
}
