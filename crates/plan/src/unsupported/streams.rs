//! Questions about parts of a plan: is it a stream, which of our operators is it, is a column event time.

use std::any::Any;

use arrow::datatypes::Field;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::LogicalPlan;

use crate::nodes::WATERMARK_DELAY_MS;
use crate::resolved::StreamTable;

/// Whether any leaf is a stream.
pub fn is_streaming(plan: &LogicalPlan) -> bool {
    let mut found = false;
    // The closure never fails.
    let _ = plan.apply(|p| {
        found = found || is_stream_leaf(p);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}

fn is_stream_leaf(plan: &LogicalPlan) -> bool {
    let LogicalPlan::TableScan(scan) = plan else { return false };
    source_as_provider(&scan.source).is_ok_and(|provider| {
        let provider: &dyn Any = provider.as_ref();
        provider.is::<StreamTable>()
    })
}

/// The operator of ours that this is.
pub fn node<T: 'static>(plan: &LogicalPlan) -> Option<&T> {
    let LogicalPlan::Extension(extension) = plan else { return None };
    extension.node.as_any().downcast_ref::<T>()
}

/// Whether a column is event time with a watermark.
pub fn has_event_time(field: &Field) -> bool {
    field.metadata().contains_key(WATERMARK_DELAY_MS)
}
