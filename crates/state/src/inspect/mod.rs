//! State read for people and tools: which operators a checkpoint holds, their rows as columns, and whether Spark would go on
//! from it.
//!
//! Everything is read from the files, by the schema and metadata beside them; no query need exist.

mod operators;
mod show;
mod verify;

pub use operators::{FileEntry, OperatorState, PartitionState, StoreState, committed_version, operators};
pub use show::{state_rows, state_table, summary};
pub use verify::{Finding, Verification, verify};

#[cfg(test)]
mod tests;
