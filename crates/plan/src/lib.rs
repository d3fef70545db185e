//! One unresolved plan (the IR), SQL text that ends in it, and the analyzer that turns it into DataFusion plans with
//! Spark's names, types, nullability and errors.

pub mod catalog;
pub mod ir;
pub mod nodes;
pub mod resolved;
