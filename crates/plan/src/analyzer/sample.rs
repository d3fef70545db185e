//! Samples: random parts of a relation.
//!
//! The random numbers are drawn in row order from the seed, so the same rows in the same order give the same sample, and the
//! parts of `randomSplit` do not overlap. They are not Spark's numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, BooleanArray, Int32Array, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::logical_expr::expr::Sort as SortExpr;
use datafusion::logical_expr::{Expr, LogicalPlan, Sort};
use millstream_formats::condition::SparkError;
use millstream_functions::Typed;
use millstream_functions::kernel::Kernel;

use super::Analyzer;
use super::limit::filter_plan;
use super::rel::{Metadata, Rel, column, new_attribute};
use super::select::generate;
use crate::ir::Relation;
use crate::resolved::Attribute;

/// Name of the functions by which a sample is taken.
pub const SAMPLER: &str = "sample";

impl Analyzer<'_> {
    /// A random part of the rows: those whose random number lies in the bounds, or each as often as chance has it.
    pub fn sample(
        &self,
        input: &Relation,
        (lower, upper): (f64, f64),
        with_replacement: bool,
        seed: Option<i64>,
        deterministic_order: bool,
    ) -> Result<Rel, SparkError> {
        let rel = self.relation(input)?;
        let mut plan = rel.plan.clone();
        if deterministic_order && !rel.streaming {
            plan = sorted(plan, &rel.output);
        }
        let seed = seed.unwrap_or_else(random_seed);
        if with_replacement {
            let copy = Typed::new(column(""), DataType::Int32, false);
            let copy = new_attribute("copy", &copy, Metadata::new());
            let plan = generate(plan, repeater(upper - lower, seed), false, std::slice::from_ref(&copy))?;
            return rel.with_plan(plan).pick(rel.output.clone());
        }
        Ok(rel.with_plan(filter_plan(plan, sampler(lower, upper, seed))?))
    }
}

/// The rows in the order of all columns that have one.
fn sorted(plan: LogicalPlan, columns: &[Attribute]) -> LogicalPlan {
    let sortable = |a: &&Attribute| !matches!(a.data_type, DataType::Map(..));
    let keys: Vec<SortExpr> =
        columns.iter().filter(sortable).map(|a| SortExpr::new(column(&a.column), true, true)).collect();
    if keys.is_empty() {
        return plan;
    }
    LogicalPlan::Sort(Sort { expr: keys, input: Arc::new(plan), fetch: None })
}

/// A seed that differs from call to call.
fn random_seed() -> i64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0_u8) as i64
}

/// True for the rows whose random number lies in the bounds.
fn sampler(lower: f64, upper: f64, seed: i64) -> Expr {
    let next = AtomicU64::new(0);
    Kernel::new(SAMPLER, DataType::Boolean, false)
        .bound_to(format!("{lower},{upper},{seed}"))
        .volatile()
        .arrays(&[], move |_, rows| {
            let first = next.fetch_add(rows as u64, Ordering::Relaxed);
            let taken = (first..first + rows as u64).map(|i| Some((lower..upper).contains(&draw(seed, i))));
            Ok(Arc::new(taken.collect::<BooleanArray>()) as ArrayRef)
        })
        .expr
}

/// For each row as many elements as it occurs in the sample: a Poisson number of mean `mean`.
fn repeater(mean: f64, seed: i64) -> Expr {
    let next = AtomicU64::new(0);
    let row: Fields = vec![Field::new("copy", DataType::Int32, false)].into();
    let item = Arc::new(Field::new("element", DataType::Struct(row.clone()), false));
    Kernel::new(SAMPLER, DataType::List(Arc::clone(&item)), false)
        .bound_to(format!("{mean},{seed}"))
        .volatile()
        .arrays(&[], move |_, rows| {
            let first = next.fetch_add(rows as u64, Ordering::Relaxed);
            let counts: Vec<usize> = (first..first + rows as u64).map(|i| poisson(mean, seed, i)).collect();
            let copies = Int32Array::from(vec![0; counts.iter().sum()]);
            let copies = StructArray::try_new(row.clone(), vec![Arc::new(copies)], None)?;
            let offsets = OffsetBuffer::from_lengths(counts);
            Ok(Arc::new(ListArray::try_new(Arc::clone(&item), offsets, Arc::new(copies), None)?) as ArrayRef)
        })
        .expr
}

/// The `index`-th random number of `[0, 1)`.
fn draw(seed: i64, index: u64) -> f64 {
    const BITS: u32 = 53;
    (mix(seed as u64 ^ mix(index)) >> (64 - BITS)) as f64 / (1_u64 << BITS) as f64
}

/// A Poisson number by Knuth's method: how many uniform numbers can be multiplied before their product falls below `e^-mean`.
fn poisson(mean: f64, seed: i64, index: u64) -> usize {
    let limit = (-mean).exp();
    let (mut product, mut count) = (1.0, 0);
    loop {
        product *= draw(seed ^ (count as i64 + 1), index);
        if product <= limit {
            return count;
        }
        count += 1;
    }
}

/// SplitMix64.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spread_evenly_and_repeated_as_often_as_wanted() {
        let rows = 10_000;
        let low = (0..rows).filter(|i| draw(7, *i) < 0.3).count();
        assert!((2_700..3_300).contains(&low), "{low}");
        let copies: usize = (0..rows).map(|i| poisson(0.5, 7, i)).sum();
        assert!((4_600..5_400).contains(&copies), "{copies}");
    }
}
