//! Which relations a relation stands on.

use super::{Relation, RelationOp, SetOperation};

impl Relation {
    /// The direct inputs from left to right; not those of subqueries in expressions.
    pub fn inputs(&self) -> Vec<&Relation> {
        match self.op.as_ref() {
            RelationOp::OneRow
            | RelationOp::Table { .. }
            | RelationOp::DataSource(_)
            | RelationOp::Local { .. }
            | RelationOp::Values(_)
            | RelationOp::Range { .. }
            | RelationOp::TableFunction { .. }
            | RelationOp::Sql { .. }
            | RelationOp::Cached(_)
            | RelationOp::Catalog(_) => Vec::new(),
            RelationOp::Join(join) => vec![&join.left, &join.right],
            RelationOp::SetOperation(SetOperation { left, right, .. })
            | RelationOp::LateralJoin { left, right, .. } => {
                vec![left, right]
            }
            RelationOp::With { tables, input, .. } => {
                tables.iter().map(|(_, _, relation)| relation).chain([input]).collect()
            }
            RelationOp::WithRelations { root, references } => [root].into_iter().chain(references).collect(),
            RelationOp::Aggregate(aggregate) => vec![&aggregate.input],
            RelationOp::Project { input, .. }
            | RelationOp::Filter { input, .. }
            | RelationOp::Sort { input, .. }
            | RelationOp::Limit { input, .. }
            | RelationOp::Offset { input, .. }
            | RelationOp::Tail { input, .. }
            | RelationOp::Distinct { input }
            | RelationOp::Deduplicate { input, .. }
            | RelationOp::SubqueryAlias { input, .. }
            | RelationOp::LateralView { input, .. }
            | RelationOp::ToDf { input, .. }
            | RelationOp::WithColumnsRenamed { input, .. }
            | RelationOp::WithColumns { input, .. }
            | RelationOp::Drop { input, .. }
            | RelationOp::ToSchema { input, .. }
            | RelationOp::Repartition { input, .. }
            | RelationOp::Hint { input, .. }
            | RelationOp::Sample { input, .. }
            | RelationOp::Unpivot { input, .. }
            | RelationOp::UnpivotColumns { input, .. }
            | RelationOp::Transpose { input, .. }
            | RelationOp::CollectMetrics { input, .. }
            | RelationOp::WithWatermark { input, .. }
            | RelationOp::FillNa { input, .. }
            | RelationOp::DropNa { input, .. }
            | RelationOp::Replace { input, .. }
            | RelationOp::Statistics { input, .. }
            | RelationOp::ShowString { input, .. }
            | RelationOp::HtmlString { input, .. }
            | RelationOp::Parse { input, .. }
            | RelationOp::MapPartitions { input, .. }
            | RelationOp::GroupMap { input, .. } => vec![input],
        }
    }
}
