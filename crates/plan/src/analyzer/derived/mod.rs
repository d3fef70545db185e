//! Relations that are made of others: nulls filled or dropped, values replaced, statistics, pivots, text of a table.

use millstream_formats::condition::SparkError;

use super::Analyzer;
use super::rel::Rel;
use crate::ir::{Aggregate, Expr, RelationOp};

impl Analyzer<'_> {
    /// Dispatch of the derived relations.
    pub fn derived(&self, op: &RelationOp) -> Result<Rel, SparkError> {
        let feature = match op {
            RelationOp::FillNa { .. } => "DataFrame.fillna",
            RelationOp::DropNa { .. } => "DataFrame.dropna",
            RelationOp::Replace { .. } => "DataFrame.replace",
            RelationOp::Statistics { .. } => "Statistics of a DataFrame",
            RelationOp::Unpivot { .. } => "DataFrame.unpivot",
            RelationOp::Transpose { .. } => "DataFrame.transpose",
            RelationOp::ShowString { .. } => "DataFrame.show",
            RelationOp::HtmlString { .. } => "The HTML form of a DataFrame",
            RelationOp::Parse { .. } => "Reading json or csv from a DataFrame",
            RelationOp::MapPartitions { .. } => "A Python function over batches",
            RelationOp::GroupMap { .. } => "A Python function over groups",
            _ => "This relation",
        };
        Err(SparkError::unsupported(feature))
    }

    /// `pivot`.
    pub fn pivot(&self, aggregate: &Aggregate, column: &Expr, values: &[Expr]) -> Result<Rel, SparkError> {
        let _ = (aggregate, column, values);
        Err(SparkError::unsupported("pivot"))
    }
}
