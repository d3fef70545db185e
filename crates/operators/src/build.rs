//! Makes the stateful operators of a streaming query and their state.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Column, ExprSchema, Result, plan_err};
use datafusion::logical_expr::{Aggregate, LogicalPlan};
use datafusion::physical_plan::ExecutionPlan;
use millstream_plan::nodes::{Deduplicate, SessionAggregate, WATERMARK_DELAY_MS};
use parking_lot::Mutex;

use crate::aggregate::StateAggregateExec;
use crate::deduplicate::{Keep, Keys, StateDeduplicateExec};
use crate::limit::StateLimitExec;
use crate::planner::{Context, dedup_keys, partial, session_partial};
use crate::session::{Sessions, StateSessionExec};
use crate::stores::{CurrentBatch, Expiry, NoDataBatch, OperatorState, StoreFields, StoreSpec, fields, types};
use crate::stream_plan::{OutputMode, StreamSettings};

/// What the stateful operators of a streaming query need to be made, and those that were.
pub struct StreamBuild {
    /// Output mode of the query.
    pub mode: OutputMode,
    /// Settings of the query.
    pub settings: StreamSettings,
    /// The batch that runs.
    pub batch: CurrentBatch,
    /// The stateful operators made so far.
    pub operators: Mutex<Vec<Arc<OperatorState>>>,
}

impl StreamBuild {
    /// `dedupe`, `dedupeWithinWatermark`.
    pub(crate) fn deduplicate(
        &self,
        operator: u32,
        node: &Deduplicate,
        input: &Arc<dyn ExecutionPlan>,
        context: &Context,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = dedup_keys(node, context)?;
        let schema = node.input.schema();
        let delay_ms = |field: &Field| field.metadata().get(WATERMARK_DELAY_MS).and_then(|ms| ms.parse::<i64>().ok());
        let event_time = schema.fields().iter().position(|f| delay_ms(f).is_some());
        let key_field = |key: &Column| Ok(schema.field_from_column(key)?.clone());
        let key: Fields = node.keys.iter().map(key_field).collect::<Result<Vec<_>>>()?.into();
        let event_time_key =
            event_time.and_then(|time| node.keys.iter().position(|key| schema.index_of_column(key).ok() == Some(time)));
        let delay = event_time.and_then(|time| delay_ms(schema.field(time)));
        let keep = match (node.within_watermark, delay) {
            (false, _) => Keep::UntilKeyExpires,
            (true, Some(ms)) => Keep::ForDelay(ms.saturating_mul(1000)),
            (true, None) => {
                return plan_err!(
                    "dropDuplicatesWithinWatermark is not supported on streaming DataFrames/DataSets without watermark"
                );
            }
        };
        let (value, expiry) = match (node.within_watermark, event_time_key) {
            (true, _) => (("expiresAtMicros", DataType::Int64), Expiry::ByValue(0)),
            (false, Some(key)) => (("__dummy__", DataType::Null), Expiry::ByKey(key)),
            (false, None) => (("__dummy__", DataType::Null), Expiry::Never),
        };
        let keys = Arc::new(Keys::try_new(columns, &types(&key), event_time, event_time_key, keep)?);
        let state = self.state(StoreSpec {
            operator,
            name: if node.within_watermark { "dedupeWithinWatermark" } else { "dedupe" },
            stores: vec![StoreFields::only(key, fields([value]), expiry)],
            partitions: self.settings.state_partitions.max(1),
            no_data_batch: NoDataBatch::WatermarkMoved,
            custom: Some("numDroppedDuplicateRows"),
        });
        Ok(Arc::new(StateDeduplicateExec::new(Arc::clone(input), keys, state)))
    }

    /// `globalLimit`.
    pub(crate) fn limit(&self, operator: u32, rows: usize, input: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        let (key, value) = (fields([("key", DataType::Null)]), fields([("value", DataType::Int64)]));
        let state = self.state(StoreSpec {
            operator,
            name: "globalLimit",
            stores: vec![StoreFields::only(key, value, Expiry::Never)],
            partitions: 1,
            no_data_batch: NoDataBatch::Never,
            custom: None,
        });
        Arc::new(StateLimitExec::new(Arc::clone(input), rows, state))
    }

    /// Makes and registers the state of an operator.
    pub(crate) fn state(&self, spec: StoreSpec) -> Arc<OperatorState> {
        let state = Arc::new(OperatorState::new(spec, &self.settings, Arc::clone(&self.batch)));
        self.operators.lock().push(Arc::clone(&state));
        state
    }

    /// `stateStoreSave`.
    pub(crate) fn aggregate(
        &self,
        operator: u32,
        node: &Aggregate,
        logical_input: &LogicalPlan,
        input: &Arc<dyn ExecutionPlan>,
        context: &Context,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let partial = partial(&node.group_expr, &node.aggr_expr, &node.schema, logical_input, input, context)?;
        let expiry = partial.layout.event_time_key.map_or(Expiry::Never, Expiry::ByKey);
        let state = self.state(StoreSpec {
            operator,
            name: "stateStoreSave",
            stores: vec![StoreFields::only(partial.key, partial.buffers, expiry)],
            partitions: if node.group_expr.is_empty() { 1 } else { self.settings.state_partitions.max(1) },
            no_data_batch: self.no_data_batch(),
            custom: None,
        });
        Ok(Arc::new(StateAggregateExec::try_new(partial.plan, partial.layout, state, self.mode)?))
    }

    /// Aggregations ask for a batch without data unless they give out everything anyway.
    fn no_data_batch(&self) -> NoDataBatch {
        match self.mode {
            OutputMode::Complete => NoDataBatch::Never,
            _ => NoDataBatch::WatermarkMoved,
        }
    }

    /// `sessionWindowStateStoreSaveExec`.
    pub(crate) fn session(
        &self,
        operator: u32,
        node: &SessionAggregate,
        logical_input: &LogicalPlan,
        input: &Arc<dyn ExecutionPlan>,
        context: &Context,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let partial = session_partial(node, logical_input, input, context)?;
        let value: Fields = partial.key.iter().chain(&partial.buffers).cloned().collect();
        let expiry = partial.layout.event_time_key.map_or(Expiry::Never, Expiry::ByValue);
        let sessions = Arc::new(Sessions::try_new(partial.layout, node.session)?);
        let others = partial.key.iter().enumerate().filter(|(i, _)| *i != node.session);
        let names = others.map(|(_, f)| f.name().as_str()).chain(["sessionStartTime"]);
        let key = fields(names.zip(sessions.key_types().iter().cloned()));
        let prefix = key.len() - 1;
        let state = self.state(StoreSpec {
            operator,
            name: "sessionWindowStateStoreSaveExec",
            stores: vec![StoreFields { prefix, ..StoreFields::only(key, value, expiry) }],
            partitions: self.settings.state_partitions.max(1),
            no_data_batch: self.no_data_batch(),
            custom: None,
        });
        Ok(Arc::new(StateSessionExec::new(partial.plan, sessions, state, self.mode)))
    }
}
