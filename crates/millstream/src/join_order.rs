//! Which side of a join gives its rows their order.
//!
//! A hash join gives rows in the order of the side that it streams. Spark streams the left side of left and semi joins, the
//! right side of right joins and the larger side of inner joins; small results are printed in that order. Rows without a partner
//! still come behind the others of their batch, where Spark leaves them in their places. Not here: joins of large inputs, whose
//! rows have no order in Spark either.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{JoinType, Result};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};

/// Puts the side to be streamed where DataFusion streams it: right.
#[derive(Debug)]
pub(crate) struct JoinOrder;

impl PhysicalOptimizerRule for JoinOrder {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let Some(join) = node.downcast_ref::<HashJoinExec>() else { return Ok(Transformed::no(node)) };
            if join.null_aware || !streams_left(join) {
                return Ok(Transformed::no(node));
            }
            join.swap_inputs(PartitionMode::CollectLeft).map(Transformed::yes)
        })
        .data()
    }

    fn name(&self) -> &str {
        "join_order"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn streams_left(join: &HashJoinExec) -> bool {
    match join.join_type() {
        JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti => true,
        // The smaller side is held; the right one if they are of one size.
        JoinType::Inner => match (size(join.left()), size(join.right())) {
            (Some(left), Some(right)) => right <= left,
            _ => true,
        },
        _ => false,
    }
}

/// Bytes of a side by Spark's estimate: rows by the sizes of their types.
fn size(plan: &Arc<dyn ExecutionPlan>) -> Option<usize> {
    let statistics = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new()).ok()?;
    statistics.num_rows.get_value().map(|rows| rows.saturating_mul(row_size(&plan.schema())))
}

fn row_size(schema: &Schema) -> usize {
    const ROW_HEADER: usize = 8;
    ROW_HEADER + schema.fields().iter().map(|field| type_size(field.data_type())).sum::<usize>()
}

fn type_size(data_type: &DataType) -> usize {
    match data_type {
        DataType::Null | DataType::Boolean | DataType::Int8 => 1,
        DataType::Int16 => 2,
        DataType::Utf8 => 20,
        DataType::Binary => 100,
        DataType::Decimal128(precision, _) if *precision > 18 => 16,
        DataType::Struct(fields) => fields.iter().map(|f| type_size(f.data_type())).sum(),
        DataType::List(element) => type_size(element.data_type()),
        DataType::Map(entries, _) => type_size(entries.data_type()),
        other => other.primitive_width().unwrap_or(8),
    }
}
