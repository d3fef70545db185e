//! Spark SQL functions and their exact semantics, as DataFusion expressions.
//!
//! A function is looked up by name and *built*: given typed arguments it checks and coerces them by Spark's rules and
//! returns a typed expression whose kernel is bound to the settings in force (ANSI mode, time zone). Types are Arrow
//! types that stand for Spark's: see [`types`]. Kernels never panic on data; they fail with a
//! [`millstream_formats::condition::SparkError`].
//!
//! Not here: names and scopes (`plan`), which functions a user registered, streaming state (`operators`).

pub mod aggregate;
pub mod arguments;
mod bind;
mod cast;
pub mod coerce;
mod conditional;
pub mod datetime;
mod json;
pub mod kernel;
pub mod lazy;
mod math;
mod misc;
mod nested;
pub mod operators;
mod registry;
pub mod rows;
mod sql_text;
pub mod task;
#[cfg(test)]
pub(crate) mod test_context;
pub mod text;
mod typed;
mod window;
pub use millstream_formats::types;

pub use cast::{cast, sql_value};
pub use registry::{AggregateCall, Function, FunctionContext, HigherOrder, Lambda, lookup};
pub use sql_text::{call_text, sql_text};
pub use typed::Typed;
