//! Streaming aggregation (`stateStoreSave`): merges each batch's partial aggregates into the state and gives out rows by output mode.
//!
//! The input is DataFusion's partial aggregation: one row of grouping keys and buffers per key and input partition. State holds,
//! per key, Spark's buffers as one row. A batch
//!
//! 1. brings rows of a key together ([`Exchange`]) and finds the distinct keys,
//! 2. drops late keys (append and update),
//! 3. merges the stored buffers, then the new ones, and puts the result, for the touched keys only,
//! 4. gives out all groups (complete), the touched ones (update), or those that the watermark has closed (append), and removes
//!    closed ones (append and update).
//!
//! Without grouping keys there is one group, in state partition 0, also in a batch without rows.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take};
use datafusion::common::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::GroupsAccumulator;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties};
use hashbrown::HashTable;
use millstream_formats::condition::SparkError;
use millstream_formats::row::{RowBuffer, RowDecoder, RowEncoder};
use millstream_state::StateStore;

use crate::event_time::event_times_us;
use crate::exchange::{Exchange, Placed};
use crate::exec::{batches_later, external, one_input, properties};
use crate::layout::{Layout, Results, missing_buffers};
use crate::stores::{Counters, OperatorState};
use crate::stream_plan::OutputMode;

/// How keys and buffers lie in the state.
struct Codec {
    keys: RowEncoder,
    values: RowEncoder,
    key_rows: RowDecoder,
    value_rows: RowDecoder,
}

/// The distinct keys of the rows of an output partition.
struct Groups {
    /// All rows: keys, then buffers.
    rows: Vec<ArrayRef>,
    /// Group of each row; `usize::MAX` for rows of late keys.
    group_of_row: Vec<usize>,
    /// First row of each group.
    first_rows: Vec<u32>,
    /// State partition of each group.
    partitions: Vec<u32>,
    /// Key bytes of each row.
    keys: RowBuffer,
}

impl Groups {
    fn key(&self, group: usize) -> &[u8] {
        self.keys.row(self.first_rows[group] as usize)
    }

    fn len(&self) -> usize {
        self.first_rows.len()
    }

    /// One value per group.
    fn of_groups(&self, column: &ArrayRef) -> Result<ArrayRef> {
        Ok(take(column, &UInt32Array::from(self.first_rows.clone()), None)?)
    }

    /// Leaves out the groups that are late; returns how many they are.
    fn drop_late(&mut self, event_time_key: usize, late_until_us: i64) -> Result<usize> {
        if self.len() == 0 {
            return Ok(0);
        }
        let times = event_times_us(&self.of_groups(&self.rows[event_time_key])?)?;
        let is_late = |group: usize| times.is_valid(group) && times.value(group) <= late_until_us;
        let late = (0..self.len()).filter(|g| is_late(*g)).count();
        if late == 0 {
            return Ok(0);
        }
        let mut renamed = vec![usize::MAX; self.len()];
        let kept = (0..self.len()).filter(|g| !is_late(*g));
        kept.enumerate().for_each(|(new, old)| renamed[old] = new);
        let keep = |(group, value): (usize, &u32)| (renamed[group] != usize::MAX).then_some(*value);
        self.first_rows = self.first_rows.iter().enumerate().filter_map(keep).collect();
        self.partitions = self.partitions.iter().enumerate().filter_map(keep).collect();
        let rows_kept: Vec<u32> = (0..self.group_of_row.len() as u32)
            .filter(|r| renamed[self.group_of_row[*r as usize]] != usize::MAX)
            .collect();
        let group_of_row: Vec<usize> = rows_kept.iter().map(|r| renamed[self.group_of_row[*r as usize]]).collect();
        self.keep_rows(&rows_kept, group_of_row)?;
        Ok(late)
    }

    fn keep_rows(&mut self, kept: &[u32], group_of_row: Vec<usize>) -> Result<()> {
        let mut position = vec![u32::MAX; self.group_of_row.len()];
        kept.iter().enumerate().for_each(|(new, old)| position[*old as usize] = new as u32);
        let mut keys = RowBuffer::new();
        kept.iter().for_each(|row| keys.push(self.keys.row(*row as usize)));
        let indices = UInt32Array::from(kept.to_vec());
        self.rows = self.rows.iter().map(|c| Ok(take(c, &indices, None)?)).collect::<Result<_>>()?;
        self.first_rows.iter_mut().for_each(|row| *row = position[*row as usize]);
        self.keys = keys;
        self.group_of_row = group_of_row;
        Ok(())
    }
}

/// Placed rows as one batch: its columns, and the state partition of each row.
pub(crate) fn together(placed: &[Placed]) -> Result<(Vec<ArrayRef>, Vec<u32>)> {
    let partitions = placed.iter().flat_map(|p| p.partitions.iter().copied()).collect();
    let rows = match placed {
        [] => vec![],
        [one] => one.rows.columns().to_vec(),
        [first, ..] => concat_batches(&first.rows.schema(), placed.iter().map(|p| &p.rows))?.columns().to_vec(),
    };
    Ok((rows, partitions))
}

/// Finds the distinct keys of placed rows.
fn group(layout: &Layout, codec: &Codec, placed: Vec<Placed>) -> Result<Groups> {
    let (rows, partitions_of_rows) = together(&placed)?;
    let count = partitions_of_rows.len();
    let mut keys = RowBuffer::new();
    let key_columns = rows.get(..layout.key_types.len()).unwrap_or_default();
    if count > 0 {
        codec.keys.encode(key_columns, 0..count, &mut keys).map_err(external)?;
    }
    let mut groups =
        Groups { rows, group_of_row: Vec::with_capacity(count), first_rows: vec![], partitions: vec![], keys };
    let hasher = foldhash::fast::RandomState::default();
    let hash = |bytes: &[u8]| std::hash::BuildHasher::hash_one(&hasher, bytes);
    let mut table: HashTable<usize> = HashTable::with_capacity(count);
    for (row, partition) in partitions_of_rows.iter().enumerate() {
        let key = groups.keys.row(row);
        let entry = table.entry(
            hash(key),
            |g| groups.key(*g) == key,
            |g| hash(groups.keys.row(groups.first_rows[*g] as usize)),
        );
        let group = match entry {
            hashbrown::hash_table::Entry::Occupied(found) => *found.get(),
            hashbrown::hash_table::Entry::Vacant(free) => *free.insert(groups.first_rows.len()).get(),
        };
        if group == groups.first_rows.len() {
            groups.first_rows.push(row as u32);
            groups.partitions.push(*partition);
        }
        groups.group_of_row.push(group);
    }
    Ok(groups)
}

/// Merges partial aggregates into the state of an operator.
#[derive(Clone)]
pub struct StateAggregateExec {
    input: Arc<dyn ExecutionPlan>,
    layout: Arc<Layout>,
    codec: Arc<Codec>,
    state: Arc<OperatorState>,
    mode: OutputMode,
    exchange: Arc<Exchange>,
    properties: Arc<PlanProperties>,
}

impl StateAggregateExec {
    /// An aggregation over partial aggregates.
    ///
    /// # Errors
    /// If a key or a buffer has a type that cannot be stored.
    pub fn try_new(
        input: Arc<dyn ExecutionPlan>,
        layout: Arc<Layout>,
        state: Arc<OperatorState>,
        mode: OutputMode,
    ) -> Result<Self> {
        let codec = Arc::new(Codec {
            keys: RowEncoder::for_keys(&layout.key_types).map_err(external)?,
            values: RowEncoder::for_values(&layout.buffer_types).map_err(external)?,
            key_rows: RowDecoder::new(&layout.key_types),
            value_rows: RowDecoder::new(&layout.buffer_types),
        });
        let outputs = state.outputs();
        let exchange = Arc::new(Exchange::new(state.spec().partitions, outputs));
        let properties = properties(&layout.output, outputs, EmissionType::Final);
        Ok(Self { input, layout, codec, state, mode, exchange, properties })
    }

    /// The operator's state.
    pub fn state(&self) -> &Arc<OperatorState> {
        &self.state
    }

    fn with_input(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Ok(Self { input, exchange: Arc::new(self.exchange.fresh()), ..self.clone() })
    }

    fn keys(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        let name = |i: usize| self.layout.output.field(i).name().clone();
        (0..self.layout.key_types.len()).map(|i| Arc::new(Column::new(&name(i), i)) as Arc<dyn PhysicalExpr>).collect()
    }

    async fn run(self, output: usize, context: Arc<TaskContext>) -> Result<Vec<RecordBatch>> {
        let placed = self.exchange.rows(output, &self.input, &self.keys(), &context).await?;
        let watermarks = self.state.watermarks();
        let mut groups = group(&self.layout, &self.codec, placed)?;
        if let (Some(key), true) = (self.layout.event_time_key, self.mode != OutputMode::Complete) {
            let late = groups.drop_late(key, watermarks.late_ms.saturating_mul(1000))?;
            Counters::add(&self.state.counters.late, late);
        }
        let updated = self.update(&groups)?;
        match self.mode {
            OutputMode::Complete => self.all_groups(output),
            OutputMode::Update => {
                self.evict(output, watermarks.eviction_ms, false)?;
                updated.into_iter().map(Ok).collect()
            }
            OutputMode::Append => self.evict(output, watermarks.eviction_ms, true),
        }
    }

    /// Merges the groups into the state; result rows of them in update mode.
    fn update(&self, groups: &Groups) -> Result<Option<RecordBatch>> {
        if groups.len() == 0 {
            return Ok(None);
        }
        let start = Instant::now();
        let layout = &self.layout;
        let mut accumulators = layout.accumulators()?;
        self.merge_stored(groups, &mut accumulators)?;
        let buffers = groups.rows.get(layout.key_types.len()..).ok_or_else(missing_buffers)?;
        layout.merge(&mut accumulators, buffers, &groups.group_of_row, groups.len())?;
        let merged = layout.buffers(accumulators)?;
        self.put(groups, &merged)?;
        Counters::add(&self.state.counters.updated, groups.len());
        Counters::add_time(&self.state.counters.updates_ns, start);
        if self.mode != OutputMode::Update {
            return Ok(None);
        }
        let keys = groups.rows[..layout.key_types.len()].iter().map(|c| groups.of_groups(c)).collect::<Result<_>>()?;
        layout.results(keys, &merged, groups.len()).map(Some)
    }

    /// Merges what the state holds of the groups.
    fn merge_stored(&self, groups: &Groups, accumulators: &mut [Box<dyn GroupsAccumulator>]) -> Result<()> {
        let mut stored = RowBuffer::new();
        let mut stored_groups = Vec::new();
        for_each_partition(&self.state, &groups.partitions, |store, group| {
            if let Some(value) = store.get(groups.key(group)) {
                stored.push(value);
                stored_groups.push(group);
            }
            Ok(())
        })?;
        let buffers = self.codec.value_rows.decode(stored.iter()).map_err(external)?;
        self.layout.merge(accumulators, &buffers, &stored_groups, groups.len())
    }

    fn put(&self, groups: &Groups, merged: &[ArrayRef]) -> Result<()> {
        let mut values = RowBuffer::new();
        self.codec.values.encode(merged, 0..groups.len(), &mut values).map_err(external)?;
        for_each_partition(&self.state, &groups.partitions, |store, group| {
            store.put(groups.key(group), values.row(group))
        })
    }

    /// Result rows of stored rows.
    fn stored_results(&self, keys: &RowBuffer, values: &RowBuffer) -> Result<RecordBatch> {
        let key_columns = self.codec.key_rows.decode(keys.iter()).map_err(external)?;
        let buffers = self.codec.value_rows.decode(values.iter()).map_err(external)?;
        self.layout.results(key_columns, &buffers, keys.len())
    }

    /// All groups of the state partitions that this output partition serves.
    fn all_groups(&self, output: usize) -> Result<Vec<RecordBatch>> {
        let mut results = Results::new(|keys: &RowBuffer, values: &RowBuffer| self.stored_results(keys, values));
        for partition in self.state.served_by(output) {
            self.state
                .with_store(partition, |store| store.iter().try_for_each(|(key, value)| results.push(key, value)))
                .map_err(external)?;
        }
        results.finish()
    }

    /// Removes closed groups; gives them out if wanted.
    fn evict(&self, output: usize, watermark_ms: i64, give_out: bool) -> Result<Vec<RecordBatch>> {
        let mut results = Results::new(|keys: &RowBuffer, values: &RowBuffer| self.stored_results(keys, values));
        if self.layout.event_time_key.is_some() {
            let each = |key: &[u8], value: &[u8]| if give_out { results.push(key, value) } else { Ok(()) };
            self.state.evict(output, watermark_ms, each).map_err(external)?;
        }
        results.finish()
    }
}

/// Calls `work` for each group with its partition, partition by partition.
fn for_each_partition(
    state: &OperatorState,
    partitions: &[u32],
    mut work: impl FnMut(&mut StateStore, usize) -> Result<(), SparkError>,
) -> Result<()> {
    let mut order: Vec<usize> = (0..partitions.len()).collect();
    order.sort_by_key(|group| partitions[*group]);
    for chunk in order.chunk_by(|a, b| partitions[*a] == partitions[*b]) {
        let Some(first) = chunk.first() else { continue };
        state
            .with_store(partitions[*first] as usize, |store| chunk.iter().try_for_each(|group| work(store, *group)))
            .map_err(external)?;
    }
    Ok(())
}

impl fmt::Debug for StateAggregateExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateAggregateExec({})", self.state.spec().operator)
    }
}

impl DisplayAs for StateAggregateExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let names: Vec<&str> = self.layout.aggregates.iter().map(|a| a.name()).collect();
        let spec = self.state.spec();
        write!(
            f,
            "StateAggregateExec: operator={}, mode={:?}, keys={}, aggregates=[{}], state partitions={}",
            spec.operator,
            self.mode,
            self.layout.key_types.len(),
            names.join(", "),
            spec.partitions
        )
    }
}

impl ExecutionPlan for StateAggregateExec {
    one_input!("StateAggregateExec");

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Ok(batches_later(Arc::clone(&self.layout.output), self.clone().run(partition, context)))
    }
}
