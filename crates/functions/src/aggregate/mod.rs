//! Aggregate functions: one implementation for batches, streams and windows.
//!
//! Buffers are exactly Spark's, since they are the value rows of a streaming aggregation's state. Not here: grouping
//! (DataFusion's aggregation, `operators`), `FILTER` (the analyzer puts it on the expression).

mod avg;
mod bitmap;
mod bits;
pub(crate) mod build;
pub mod canonical;
mod collect;
mod count;
mod count_min;
mod distinct;
mod extremum;
mod extremum_by;
mod first_last;
mod histogram;
mod hll;
mod java_random;
mod moments;
mod percentile;
mod quantiles;
mod rows;
mod set_order;
mod sum;
#[cfg(test)]
mod tests;
mod udaf;

pub(crate) use build::find;
pub use udaf::{SparkAggregate, as_spark};
