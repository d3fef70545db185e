//! A physical rule by which a batch query gives the rows of its partitions one partition after the other.
//!
//! Nothing promises an order without `ORDER BY`, but programs are read with the order in mind in which Spark's one process
//! gives small results: those of a union one side after the other. The order of joins is chosen elsewhere (`millstream`).

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::Distribution;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;
use tokio::sync::mpsc;

use crate::exec::{one_input, partitions, properties};

/// Batches a partition may be ahead of the one that is read.
const BATCHES_AHEAD: usize = 4;

/// Merges partitions in order; to come after the rules that add merges.
#[derive(Debug)]
pub struct PartitionsInOrder;

impl PhysicalOptimizerRule for PartitionsInOrder {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let Some(merge) = node.downcast_ref::<CoalescePartitionsExec>() else { return Ok(Transformed::no(node)) };
            let in_order = ConcatExec::new(Arc::clone(merge.input()), merge.fetch());
            Ok(Transformed::yes(Arc::new(in_order) as Arc<dyn ExecutionPlan>))
        })
        .map(|t| t.data)
    }

    fn name(&self) -> &str {
        "partitions_in_order"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Gives the rows of all partitions of its input, one partition after the other. All of them compute at once; those whose turn
/// has not come wait when they are a few batches ahead.
pub struct ConcatExec {
    input: Arc<dyn ExecutionPlan>,
    fetch: Option<usize>,
    properties: Arc<PlanProperties>,
}

impl ConcatExec {
    /// The partitions of `input` in order, at most `fetch` rows.
    pub fn new(input: Arc<dyn ExecutionPlan>, fetch: Option<usize>) -> Self {
        let properties = properties(&input.schema(), 1, EmissionType::Incremental);
        Self { input, fetch, properties }
    }

    fn with_input(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Ok(Self::new(input, self.fetch))
    }
}

impl fmt::Debug for ConcatExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConcatExec")
    }
}

impl DisplayAs for ConcatExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        match self.fetch {
            Some(rows) => write!(f, "ConcatExec: fetch={rows}"),
            None => f.write_str("ConcatExec"),
        }
    }
}

impl ExecutionPlan for ConcatExec {
    one_input!("ConcatExec");

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::UnspecifiedDistribution]
    }

    fn execute(&self, _partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let mut streams = RecordBatchReceiverStream::builder(self.input.schema(), BATCHES_AHEAD);
        let output = streams.tx();
        let mut waiting: Vec<mpsc::Receiver<Result<RecordBatch>>> = Vec::new();
        for partition in 0..partitions(&self.input) {
            let mut stream = self.input.execute(partition, Arc::clone(&context))?;
            let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
            waiting.push(receiver);
            streams.spawn(async move {
                while let Some(batch) = stream.next().await {
                    if sender.send(batch).await.is_err() {
                        break;
                    }
                }
                Ok(())
            });
        }
        let fetch = self.fetch;
        streams.spawn(async move {
            let mut left = fetch.unwrap_or(usize::MAX);
            for mut partition in waiting {
                while left > 0
                    && let Some(batch) = partition.recv().await
                {
                    let batch = batch.map(|b| if b.num_rows() > left { b.slice(0, left) } else { b });
                    left -= batch.as_ref().map_or(0, RecordBatch::num_rows);
                    if output.send(batch).await.is_err() {
                        return Ok(());
                    }
                }
            }
            Ok(())
        });
        Ok(streams.build())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int32Array, cast::AsArray};
    use arrow::datatypes::Int32Type;
    use datafusion::datasource::memory::MemorySourceConfig;
    use datafusion::physical_plan::collect;

    async fn merged(fetch: Option<usize>) -> Vec<i32> {
        let batch =
            |values: Vec<i32>| RecordBatch::try_from_iter([("a", Arc::new(Int32Array::from(values)) as _)]).unwrap();
        let parts = [vec![batch(vec![1]), batch(vec![2, 3])], vec![], vec![batch(vec![4])]];
        let input = MemorySourceConfig::try_new_exec(&parts, parts[0][0].schema(), None).unwrap();
        let rows = collect(Arc::new(ConcatExec::new(input, fetch)), Arc::default()).await.unwrap();
        rows.iter().flat_map(|b| b.column(0).as_primitive::<Int32Type>().values().to_vec()).collect()
    }

    #[tokio::test]
    async fn partitions_come_one_after_the_other_up_to_the_limit() {
        assert_eq!(merged(None).await, [1, 2, 3, 4]);
        assert_eq!(merged(Some(2)).await, [1, 2]);
    }
}
