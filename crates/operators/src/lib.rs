//! Stateful physical operators, and the planner that puts them into a streaming query.
//!
//! [`plan_stream`] is called once per query. Each micro-batch then hands the same plan new rows and a [`Batch`].

pub mod stream_plan;
