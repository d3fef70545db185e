//! Whole queries that crash, are killed, or find the disk full: nothing is lost and nothing is there twice.
//!
//! Three queries read the same growing directory of files and write with the file sink: deduplication with aggregation by window,
//! a join of two streams, and a plain copy. `workload` knows the input and reads what came out by itself, as Spark reads it.
//!
//! `MILLSTREAM_TORTURE_RUNS` and `MILLSTREAM_TORTURE_SEED` set how often `torture` kills and when; with `MILLSTREAM_CRASHES=all`
//! `crashes` tries every pair of crashes, and not one in so many.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod crashes;
mod storage;
mod torture;
mod workload;
