//! Joins of two streams (`symmetricHashJoin`): the rows of each side are kept, and matched with the rows of the other as they come.
//!
//! A batch
//!
//! 1. brings the rows of both sides together by their keys,
//! 2. matches the new left rows with the right rows at rest and keeps them,
//! 3. matches the new right rows with the left rows at rest, the new ones among them, and keeps those that are still needed
//!    (a semi join begins with the right rows),
//! 4. removes what the watermark has closed; rows of an outer side that nothing has matched are given out with nulls.
//!
//! A row at rest carries a flag that says whether anything has matched it, so that an outer row comes out once; a row of a semi
//! join comes out at its first match and is kept no longer. Late rows are dropped first, and rows of a side that is not outer
//! if a null keeps the condition from holding. Keys are equal when their bytes are: in a full outer join, as in Spark, null is
//! equal to null.

mod bounds;
mod side;

pub use bounds::bounds;
pub use side::{Cleanup, Side, both};

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array,
};
use arrow::compute::{take, take_record_batch};
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{JoinType, Result, internal_datafusion_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
};
use hashbrown::HashSet;
use millstream_formats::row::RowBuffer;

use crate::event_time::event_times_us;
use crate::exchange::{Exchange, Placed};
use crate::exec::{batches_later, external, properties};
use crate::stores::{Counters, OperatorState};

/// What is fixed of a join.
pub struct JoinSpec {
    /// Left side.
    pub left: Side,
    /// Right side.
    pub right: Side,
    /// Kind: inner, left, right, full or left semi.
    pub kind: JoinType,
    /// Over the columns of both sides.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
    /// Columns of both sides.
    pub both: SchemaRef,
    /// Columns given out.
    pub output: SchemaRef,
}

/// Which side new rows belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum New {
    Left,
    Right,
}

/// Joins two streams.
#[derive(Clone)]
pub struct StateJoinExec {
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    spec: Arc<JoinSpec>,
    state: Arc<OperatorState>,
    exchanges: [Arc<Exchange>; 2],
    properties: Arc<PlanProperties>,
}

/// New rows that are neither late nor out of question, with their keys.
struct Arrivals {
    rows: RecordBatch,
    partitions: Vec<u32>,
    /// Key bytes without a number.
    plain: RowBuffer,
    /// Key bytes with a number.
    numbered: RowBuffer,
    /// Event time of the key that cleans up, if one does.
    key_times: Option<arrow::array::Int64Array>,
}

/// Pairs of a new row and a row at rest of the same key.
#[derive(Default)]
struct Candidates {
    rows: Vec<u32>,
    numbers: Vec<i64>,
    matched: Vec<bool>,
    values: RowBuffer,
}

impl StateJoinExec {
    /// A join of these inputs.
    pub fn new(
        left: Arc<dyn ExecutionPlan>,
        right: Arc<dyn ExecutionPlan>,
        spec: Arc<JoinSpec>,
        state: Arc<OperatorState>,
    ) -> Self {
        let outputs = state.outputs();
        let exchange = || Arc::new(Exchange::new(state.spec().partitions, outputs));
        let exchanges = [exchange(), exchange()];
        let properties = properties(&spec.output, outputs, EmissionType::Final);
        Self { left, right, spec, state, exchanges, properties }
    }

    /// The operator's state.
    pub fn state(&self) -> &Arc<OperatorState> {
        &self.state
    }

    /// The watermark of what comes out, ms: the least border up to which rows of a side have been removed.
    pub fn output_watermark_ms(&self, watermark_ms: i64) -> Option<i64> {
        let sides = [&self.spec.left, &self.spec.right];
        sides.into_iter().filter_map(|side| side.expired_until_ms(watermark_ms)).min()
    }

    async fn run(self, output: usize, context: Arc<TaskContext>) -> Result<Vec<RecordBatch>> {
        let [left, right] = &self.exchanges;
        let left = left.rows(output, &self.left, &self.spec.left.keys, &context).await?;
        let right = right.rows(output, &self.right, &self.spec.right.keys, &context).await?;
        let start = Instant::now();
        let mut given = Vec::new();
        let (mut first, mut second) = ((New::Left, left), (New::Right, right));
        if self.first() == New::Right {
            std::mem::swap(&mut first, &mut second);
        }
        for (side, rows) in [first, second] {
            rows.iter().try_for_each(|placed| self.arrive(side, placed, &mut given))?;
        }
        Counters::add_time(&self.state.counters.updates_ns, start);
        let start = Instant::now();
        for partition in self.state.served_by(output) {
            self.clean_up(New::Left, partition, &mut given)?;
            self.clean_up(New::Right, partition, &mut given)?;
        }
        Counters::add_time(&self.state.counters.removals_ns, start);
        Ok(given)
    }

    /// The side whose new rows come first. In a semi join it is the right one, so that a left row that has a match already
    /// need not be kept.
    fn first(&self) -> New {
        if self.spec.kind == JoinType::LeftSemi { New::Right } else { New::Left }
    }

    fn sides(&self, new: New) -> (&Side, &Side) {
        match new {
            New::Left => (&self.spec.left, &self.spec.right),
            New::Right => (&self.spec.right, &self.spec.left),
        }
    }

    /// Takes in the new rows of one side.
    fn arrive(&self, new: New, placed: &Placed, given: &mut Vec<RecordBatch>) -> Result<()> {
        let (own, other) = self.sides(new);
        let Some(arrivals) = self.arrivals(new, placed, given)? else { return Ok(()) };
        let candidates = self.candidates(other, &arrivals)?;
        let (has_match, pairs) = self.matches(new, &arrivals, &candidates, other)?;
        given.extend(pairs);
        self.keep(new, own, &arrivals, has_match)
    }

    /// Drops late rows and rows that can never match; rows of an outer side that cannot are given out at once.
    fn arrivals(&self, new: New, placed: &Placed, given: &mut Vec<RecordBatch>) -> Result<Option<Arrivals>> {
        let (own, _) = self.sides(new);
        let count = placed.rows.num_rows();
        let keys = own.key_columns(&placed.rows)?;
        let known = own.known(&keys, &placed.rows);
        let times = own.event_time.map(|column| event_times_us(placed.rows.column(column))).transpose()?;
        let late_until_us = self.state.watermarks().late_ms.saturating_mul(1000);
        let is_late = |row: usize| times.as_ref().is_some_and(|t| t.is_valid(row) && t.value(row) <= late_until_us);
        let is_known = |row: usize| known.as_ref().is_none_or(|known| known.is_valid(row));
        let wanted: Vec<u32> = (0..count as u32).filter(|r| is_known(*r as usize)).collect();
        let (late, in_time): (Vec<u32>, Vec<u32>) = wanted.into_iter().partition(|r| is_late(*r as usize));
        Counters::add(&self.state.counters.late, late.len());
        let passes = self.passing(own, &placed.rows)?;
        let (kept, failing): (Vec<u32>, Vec<u32>) = in_time.into_iter().partition(|r| passes[*r as usize]);
        if own.outer && !failing.is_empty() {
            let rows = take_record_batch(&placed.rows, &UInt32Array::from(failing))?;
            given.push(self.with_nulls(new, rows.columns().to_vec(), rows.num_rows())?);
        }
        if kept.is_empty() {
            return Ok(None);
        }
        let partitions = kept.iter().map(|r| placed.partitions.get(*r as usize).copied().unwrap_or(0)).collect();
        let indices = UInt32Array::from(kept);
        let rows = take_record_batch(&placed.rows, &indices)?;
        let keys: Vec<ArrayRef> = keys.iter().map(|k| Ok(take(k, &indices, None)?)).collect::<Result<_>>()?;
        let key_times = match own.cleanup {
            Cleanup::Key(key) => keys.get(key).map(event_times_us).transpose()?,
            _ => None,
        };
        let (plain, numbered) = own.encode_keys(&keys, rows.num_rows())?;
        Ok(Some(Arrivals { rows, partitions, plain, numbered, key_times }))
    }

    /// Which rows pass the conditions that concern their side only.
    fn passing(&self, own: &Side, rows: &RecordBatch) -> Result<Vec<bool>> {
        let mut passes = vec![true; rows.num_rows()];
        for filter in &own.own_filters {
            let result = filter.evaluate(rows)?.into_array(rows.num_rows())?;
            let result =
                result.as_boolean_opt().ok_or_else(|| internal_datafusion_err!("a join condition is no boolean"))?;
            passes.iter_mut().enumerate().for_each(|(row, p)| *p &= result.is_valid(row) && result.value(row));
        }
        Ok(passes)
    }

    fn candidates(&self, other: &Side, arrivals: &Arrivals) -> Result<Candidates> {
        let mut found = Candidates::default();
        for row in 0..arrivals.rows.num_rows() {
            let (plain, numbered) = (arrivals.plain.row(row), arrivals.numbered.row(row));
            let visit = |partition: &mut crate::stores::Partition| {
                other.visit(partition, plain, numbered, |stored| {
                    found.rows.push(row as u32);
                    found.numbers.push(stored.number);
                    found.matched.push(other.is_matched(stored.value));
                    found.values.push(stored.value);
                })
            };
            self.state.with(arrivals.partitions[row] as usize, visit).map_err(external)?;
        }
        Ok(found)
    }

    /// Tests the candidates; says which new rows have a match, and gives the rows that come out.
    fn matches(
        &self,
        new: New,
        arrivals: &Arrivals,
        candidates: &Candidates,
        other: &Side,
    ) -> Result<(Vec<bool>, Option<RecordBatch>)> {
        let mut has_match = vec![false; arrivals.rows.num_rows()];
        if candidates.rows.is_empty() {
            return Ok((has_match, None));
        }
        let indices = UInt32Array::from(candidates.rows.clone());
        let own_columns =
            arrivals.rows.columns().iter().map(|c| Ok(take(c, &indices, None)?)).collect::<Result<Vec<_>>>()?;
        let other_columns = other.decode(candidates.values.iter())?;
        let columns: Vec<ArrayRef> = match new {
            New::Left => own_columns.iter().chain(&other_columns).cloned().collect(),
            New::Right => other_columns.iter().chain(&own_columns).cloned().collect(),
        };
        let pairs = self.batch(&self.spec.both, columns, candidates.rows.len())?;
        let holds = self.holds(&pairs)?;
        let semi = self.spec.kind == JoinType::LeftSemi;
        let mut seen: HashSet<(&[u8], i64)> = HashSet::new();
        let mut chosen: Vec<u32> = Vec::new();
        let mut done: Vec<(u32, i64)> = Vec::new();
        for (i, row) in candidates.rows.iter().enumerate().filter(|(i, _)| holds[*i]) {
            let (row, number) = (*row as usize, candidates.numbers[i]);
            let fresh = seen.insert((arrivals.plain.row(row), number)) && !candidates.matched[i];
            if semi && new == New::Right && !fresh {
                continue;
            }
            if !(semi && new == New::Left && has_match[row]) {
                chosen.push(i as u32);
            }
            has_match[row] = true;
            if semi && new == New::Right {
                done.push((row as u32, number));
            } else if fresh {
                let mark = |p: &mut crate::stores::Partition| other.mark_matched(p, arrivals.numbered.row(row), number);
                self.state.with(arrivals.partitions[row] as usize, mark).map_err(external)?;
            }
        }
        self.remove_done(other, arrivals, done)?;
        let chosen = UInt32Array::from(chosen);
        let count = chosen.len();
        let pairs = take_record_batch(&pairs, &chosen)?;
        let width = self.spec.output.fields().len();
        let columns = pairs.columns().iter().take(width).cloned().collect();
        Ok((has_match, (count > 0).then(|| self.batch(&self.spec.output, columns, count)).transpose()?))
    }

    /// Removes rows at rest of a semi join that have come out.
    fn remove_done(&self, other: &Side, arrivals: &Arrivals, mut done: Vec<(u32, i64)>) -> Result<()> {
        // From the last row of a key to the first, so that the row that takes a number is never one that goes.
        done.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
        for (row, number) in &done {
            let row = *row as usize;
            let (plain, numbered) = (arrivals.plain.row(row), arrivals.numbered.row(row));
            let remove = |p: &mut crate::stores::Partition| other.remove(p, plain, numbered, *number);
            self.state.with(arrivals.partitions[row] as usize, remove).map_err(external)?;
        }
        Counters::add(&self.state.counters.removed, done.len());
        Ok(())
    }

    fn holds(&self, pairs: &RecordBatch) -> Result<Vec<bool>> {
        let Some(filter) = &self.spec.filter else { return Ok(vec![true; pairs.num_rows()]) };
        let result = filter.evaluate(pairs)?.into_array(pairs.num_rows())?;
        let result: &BooleanArray =
            result.as_boolean_opt().ok_or_else(|| internal_datafusion_err!("a join condition is no boolean"))?;
        Ok((0..result.len()).map(|row| result.is_valid(row) && result.value(row)).collect())
    }

    /// Keeps the new rows that may still be needed.
    fn keep(&self, new: New, own: &Side, arrivals: &Arrivals, has_match: Vec<bool>) -> Result<()> {
        let values = own.encode(&arrivals.rows, has_match.clone())?;
        let closed = self.closed(own, arrivals)?;
        let semi = self.spec.kind == JoinType::LeftSemi;
        let mut added = 0;
        for (row, matched) in has_match.into_iter().enumerate() {
            // The rows of the first side are needed until those of the second have come, even if the watermark closes them.
            let wanted = !(semi && new == New::Left && matched)
                && (new == self.first() || !closed[row] || (own.outer && !matched));
            if wanted {
                let (plain, numbered) = (arrivals.plain.row(row), arrivals.numbered.row(row));
                let append = |p: &mut crate::stores::Partition| own.append(p, plain, numbered, values.row(row));
                self.state.with(arrivals.partitions[row] as usize, append).map_err(external)?;
                added += 1;
            }
        }
        Counters::add(&self.state.counters.updated, added);
        Ok(())
    }

    /// Which new rows the watermark of this batch closes already.
    fn closed(&self, own: &Side, arrivals: &Arrivals) -> Result<Vec<bool>> {
        let rows = arrivals.rows.num_rows();
        let Some(until_ms) = own.expired_until_ms(self.state.watermarks().eviction_ms) else {
            return Ok(vec![false; rows]);
        };
        let times = match (&arrivals.key_times, own.event_time) {
            (Some(times), _) => times.clone(),
            (None, Some(column)) => event_times_us(arrivals.rows.column(column))?,
            (None, None) => return Ok(vec![false; rows]),
        };
        let until_us = until_ms.saturating_mul(1000);
        Ok((0..rows).map(|row| times.is_valid(row) && times.value(row) <= until_us).collect())
    }

    /// Removes closed rows of a side; unmatched ones of an outer side are given out.
    fn clean_up(&self, side: New, partition: usize, given: &mut Vec<RecordBatch>) -> Result<()> {
        let (own, _) = self.sides(side);
        let watermark_ms = self.state.watermarks().eviction_ms;
        let mut unmatched = RowBuffer::new();
        let remove = |p: &mut crate::stores::Partition| {
            own.remove_expired(p, watermark_ms, |value| {
                if own.outer && !own.is_matched(value) {
                    unmatched.push(value);
                }
            })
        };
        let removed = self.state.with(partition, remove).map_err(external)?;
        if !own.outer {
            // Spark does not count what it removes while it gives out outer rows.
            Counters::add(&self.state.counters.removed, removed);
        }
        if !unmatched.is_empty() {
            given.push(self.with_nulls(side, own.decode(unmatched.iter())?, unmatched.len())?);
        }
        Ok(())
    }

    /// Rows of one side beside nulls for the other.
    fn with_nulls(&self, side: New, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let (_, other) = self.sides(side);
        let nulls = other.schema.fields().iter().map(|f| new_null_array(f.data_type(), rows));
        let columns = match side {
            New::Left => columns.into_iter().chain(nulls).collect(),
            New::Right => nulls.chain(columns).collect(),
        };
        self.batch(&self.spec.output, columns, rows)
    }

    fn batch(&self, schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
    }

    fn with_inputs(&self, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let [left, right] = <[Arc<dyn ExecutionPlan>; 2]>::try_from(children)
            .map_err(|_| internal_datafusion_err!("a join has two children"))?;
        let exchanges = self.exchanges.each_ref().map(|exchange| Arc::new(exchange.fresh()));
        Ok(Arc::new(Self { left, right, exchanges, ..self.clone() }))
    }
}

impl fmt::Debug for StateJoinExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateJoinExec({})", self.state.spec().operator)
    }
}

impl DisplayAs for StateJoinExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let spec = self.state.spec();
        write!(f, "StateJoinExec: operator={}, {}, state partitions={}", spec.operator, self.spec.kind, spec.partitions)
    }
}

impl ExecutionPlan for StateJoinExec {
    fn name(&self) -> &str {
        "StateJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.left, &self.right]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.with_inputs(children)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.with_inputs(children)
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false, false]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Ok(batches_later(Arc::clone(&self.spec.output), self.clone().run(partition, context)))
    }
}
