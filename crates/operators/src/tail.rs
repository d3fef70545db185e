//! The last rows of rows at rest (`DataFrame.tail`).
//!
//! Memory: the batches that hold the last rows; earlier ones are let go as soon as later rows make up the number.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Distribution, OrderingRequirements};
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};

use crate::exec::{batches_later, collect_partition, one_input, properties};

/// Gives the last `rows` rows of its input, in order.
pub struct TailExec {
    input: Arc<dyn ExecutionPlan>,
    rows: usize,
    properties: Arc<PlanProperties>,
}

impl TailExec {
    /// The last `rows` rows of `input`.
    pub fn new(input: Arc<dyn ExecutionPlan>, rows: usize) -> Self {
        let properties = properties(&input.schema(), 1, EmissionType::Final);
        Self { input, rows, properties }
    }

    fn with_input(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Ok(Self::new(input, self.rows))
    }
}

impl fmt::Debug for TailExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TailExec({})", self.rows)
    }
}

impl DisplayAs for TailExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "TailExec: rows={}", self.rows)
    }
}

impl ExecutionPlan for TailExec {
    one_input!("TailExec");

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
    }

    /// Partitions are merged in the order of the input, if it has one.
    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![self.input.output_ordering().cloned().map(OrderingRequirements::from)]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (input, rows) = (Arc::clone(&self.input), self.rows);
        Ok(batches_later(self.input.schema(), async move {
            let mut tail = Tail::new(rows);
            collect_partition(input, partition, context, |batch| {
                tail.push(batch);
                Ok(())
            })
            .await?;
            Ok(tail.batches.into())
        }))
    }
}

/// The last rows seen so far.
struct Tail {
    wanted: usize,
    held: usize,
    batches: VecDeque<RecordBatch>,
}

impl Tail {
    fn new(wanted: usize) -> Self {
        Self { wanted, held: 0, batches: VecDeque::new() }
    }

    fn push(&mut self, batch: RecordBatch) {
        self.held += batch.num_rows();
        self.batches.push_back(batch);
        while let Some(first) = self.batches.pop_front() {
            let surplus = self.held - self.wanted.min(self.held);
            if surplus >= first.num_rows() {
                self.held -= first.num_rows();
                continue;
            }
            self.held -= surplus;
            self.batches.push_front(first.slice(surplus, first.num_rows() - surplus));
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int32Array, cast::AsArray};
    use arrow::datatypes::Int32Type;

    #[test]
    fn the_last_rows_are_kept_across_batches() {
        let mut tail = Tail::new(3);
        for values in [vec![1, 2], vec![], vec![3, 4], vec![5]] {
            let column = Arc::new(Int32Array::from(values)) as _;
            tail.push(RecordBatch::try_from_iter([("a", column)]).unwrap());
        }
        let kept: Vec<i32> =
            tail.batches.iter().flat_map(|b| b.column(0).as_primitive::<Int32Type>().values().to_vec()).collect();
        assert_eq!(kept, [3, 4, 5]);
    }
}
