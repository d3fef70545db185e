//! Runs a function of all rows at once (`millstream_plan::whole`): `show()`, statistics.
//!
//! Memory: what the function keeps.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Distribution, OrderingRequirements};
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use millstream_plan::whole::WholeFunction;

use crate::exec::{batches_later, collect_partition, external, one_input, properties};

/// Gives what a function makes of all rows of its input.
pub struct WholeExec {
    input: Arc<dyn ExecutionPlan>,
    function: Arc<dyn WholeFunction>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl WholeExec {
    /// The function over all rows of `input`; `schema` is that of its result.
    pub fn new(input: Arc<dyn ExecutionPlan>, function: Arc<dyn WholeFunction>, schema: SchemaRef) -> Self {
        let properties = properties(&schema, 1, EmissionType::Final);
        Self { input, function, schema, properties }
    }

    fn with_input(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Ok(Self::new(input, Arc::clone(&self.function), Arc::clone(&self.schema)))
    }
}

impl fmt::Debug for WholeExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WholeExec({:?})", self.function)
    }
}

impl DisplayAs for WholeExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.function.name())
    }
}

impl ExecutionPlan for WholeExec {
    one_input!("WholeExec");

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
    }

    /// Partitions are merged in the order of the input, if it has one.
    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![self.input.output_ordering().cloned().map(OrderingRequirements::from)]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (input, mut collector) = (Arc::clone(&self.input), self.function.collector());
        let schema = Arc::clone(&self.schema);
        Ok(batches_later(Arc::clone(&self.schema), async move {
            collect_partition(input, partition, context, |batch| collector.push(&batch).map_err(external)).await?;
            let rows = collector.finish().map_err(external)?;
            Ok(vec![RecordBatch::try_new(schema, rows.columns().to_vec())?])
        }))
    }
}
