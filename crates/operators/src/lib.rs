//! Stateful physical operators, and the planner that puts them into a streaming query.
//!
//! [`plan_stream`] is called once per query. Each micro-batch then hands the same plan new rows and a [`stream_plan::Batch`].
//! [`planner::NodePlanner`] plans the nodes of `plan` that DataFusion does not have, in batch queries too.

mod aggregate;
mod build;
mod canonical;
mod deduplicate;
mod event_time;
mod exchange;
mod exec;
mod generate;
mod grouping_sets;
mod join;
mod layout;
mod limit;
mod logical;
mod observe;
mod plan_stream;
pub mod planner;
mod query;
pub mod row_order;
mod scan;
mod session;
mod stores;
pub mod stream_plan;
mod tail;
pub mod task;
#[cfg(test)]
mod tests;
mod watermarks;
mod whole;

pub use plan_stream::plan_stream;
