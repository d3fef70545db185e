//! State read for people and tools: which operators a checkpoint holds, their rows as columns, and whether Spark would go on
//! from it.
//!
//! Everything is read from the files, by the schema and metadata beside them; no query need exist. Not here: how it is shown.

mod operators;
mod verify;

pub use operators::{FileEntry, OperatorState, PartitionState, StoreState, committed_version, operators};
pub use verify::{Finding, Verification, verify};

#[cfg(test)]
mod tests;
