//! One unresolved plan (the IR), SQL text that ends in it, and the analyzer that turns it into DataFusion plans with
//! Spark's names, types, nullability and errors.

pub mod analyzer;
pub mod catalog;
pub mod explain;
pub mod ir;
mod local;
pub mod nodes;
mod range;
pub mod resolved;
pub mod sql;
#[cfg(test)]
#[allow(missing_docs, reason = "helpers of tests")]
mod testing;
pub mod unsupported;
pub mod whole;

pub use analyzer::{analyze, analyze_expression};
