//! A limit over all batches of a stream (`globalLimit`, append mode): the state is the number of rows given out so far.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use millstream_formats::row::slot;

use crate::exchange::Exchange;
use crate::exec::{batches_later, external, one_input, properties};
use crate::stores::{Counters, OperatorState};

/// The key of the only entry: one void field.
const KEY: [u8; 16] = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Gives out the first rows of all batches.
#[derive(Clone)]
pub struct StateLimitExec {
    input: Arc<dyn ExecutionPlan>,
    rows: usize,
    state: Arc<OperatorState>,
    exchange: Arc<Exchange>,
    properties: Arc<PlanProperties>,
}

impl StateLimitExec {
    /// A limit of `rows` rows.
    pub fn new(input: Arc<dyn ExecutionPlan>, rows: usize, state: Arc<OperatorState>) -> Self {
        let properties = properties(&input.schema(), 1, EmissionType::Final);
        Self { input, rows, state, exchange: Arc::new(Exchange::new(1, 1)), properties }
    }

    /// The operator's state.
    pub fn state(&self) -> &Arc<OperatorState> {
        &self.state
    }

    fn with_input(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Ok(Self { input, exchange: Arc::new(self.exchange.fresh()), ..self.clone() })
    }

    async fn run(self, context: Arc<TaskContext>) -> Result<Vec<RecordBatch>> {
        let placed = self.exchange.rows(0, &self.input, &[], &context).await?;
        let stored = self
            .state
            .with_store(0, |store| Ok(store.get(&KEY).and_then(|row| slot::get_i64(row, 1, 0))))
            .map_err(external)?;
        let before = stored.unwrap_or(0).max(0) as usize;
        let mut left = self.rows.saturating_sub(before);
        let mut given = Vec::new();
        for placed in placed {
            let rows = placed.rows.num_rows().min(left);
            left -= rows;
            given.push(placed.rows.slice(0, rows));
        }
        let count: usize = given.iter().map(RecordBatch::num_rows).sum();
        if count > 0 {
            let mut value = [0; 16];
            value[8..].copy_from_slice(&((before + count) as i64).to_le_bytes());
            self.state.with_store(0, |store| store.put(&KEY, &value)).map_err(external)?;
            Counters::add(&self.state.counters.updated, 1);
        }
        Ok(given)
    }
}

impl fmt::Debug for StateLimitExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateLimitExec({})", self.state.spec().operator)
    }
}

impl DisplayAs for StateLimitExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "StateLimitExec: operator={}, rows={}", self.state.spec().operator, self.rows)
    }
}

impl ExecutionPlan for StateLimitExec {
    one_input!("StateLimitExec");

    fn execute(&self, _partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Ok(batches_later(self.input.schema(), self.clone().run(context)))
    }
}
