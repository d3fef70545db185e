//! Which watermark each stateful operator of a query works with, given the query's own.
//!
//! Below the first watermark operator there is none. An operator passes on what it gets, the least of several inputs; a join
//! that keeps rows longer than its keys passes on the border up to which it has removed them, so that what comes out later
//! is not late further up.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;

use crate::aggregate::StateAggregateExec;
use crate::deduplicate::StateDeduplicateExec;
use crate::event_time::EventTimeExec;
use crate::join::StateJoinExec;
use crate::limit::StateLimitExec;
use crate::session::StateSessionExec;
use crate::stores::OperatorState;

/// The watermark of each operator by id, ms; 0 where there is none.
pub fn operator_watermarks(plan: &Arc<dyn ExecutionPlan>, watermark_ms: i64) -> BTreeMap<u32, i64> {
    let mut found = BTreeMap::new();
    output_watermark(plan, watermark_ms, &mut found);
    found
}

/// The watermark of a plan's output; enters those of the operators in it.
fn output_watermark(plan: &Arc<dyn ExecutionPlan>, watermark_ms: i64, found: &mut BTreeMap<u32, i64>) -> Option<i64> {
    let inputs: Vec<Option<i64>> =
        plan.children().into_iter().map(|child| output_watermark(child, watermark_ms, found)).collect();
    let input = inputs.into_iter().flatten().min();
    if plan.downcast_ref::<EventTimeExec>().is_some() {
        return Some(watermark_ms);
    }
    if let Some(state) = state_of(plan.as_ref()) {
        found.insert(state.spec().operator, input.unwrap_or(0));
    }
    match plan.downcast_ref::<StateJoinExec>() {
        Some(join) => input.and_then(|watermark_ms| join.output_watermark_ms(watermark_ms)),
        None => input,
    }
}

fn state_of(plan: &dyn ExecutionPlan) -> Option<&Arc<OperatorState>> {
    let aggregate = plan.downcast_ref::<StateAggregateExec>().map(StateAggregateExec::state);
    let session = || plan.downcast_ref::<StateSessionExec>().map(StateSessionExec::state);
    let deduplicate = || plan.downcast_ref::<StateDeduplicateExec>().map(StateDeduplicateExec::state);
    let join = || plan.downcast_ref::<StateJoinExec>().map(StateJoinExec::state);
    let limit = || plan.downcast_ref::<StateLimitExec>().map(StateLimitExec::state);
    aggregate.or_else(session).or_else(deduplicate).or_else(join).or_else(limit)
}
