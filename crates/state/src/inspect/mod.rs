//! State read for people and tools: which operators a checkpoint holds, their rows as columns, and whether Spark would go on
//! from it.
//!
//! Everything is read from the files, by the schema and metadata beside them; no query need exist.

mod operators;
mod show;
mod verify;

pub use operators::{FileEntry, OperatorState, PartitionState, StoreState, committed_version, operators, rows_schema};
pub use show::{RowsWanted, check_is_checkpoint, state_json, state_table, summary};
pub use verify::{Finding, Verification, verify, verify_sink};

#[cfg(test)]
mod tests;
