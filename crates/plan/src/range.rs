//! `spark.range`: numbers that are made when they are read.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DataFusionError, Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};

/// Rows in one batch.
const BATCH_ROWS: u64 = 8192;

/// The numbers `start, start + step, …` before `end`, in one column `id`.
#[derive(Debug, Clone)]
pub struct RangeTable {
    start: i64,
    step: i64,
    count: u64,
    schema: SchemaRef,
}

impl RangeTable {
    /// A range; `step` is not 0.
    pub fn new(start: i64, end: i64, step: i64) -> Self {
        let distance = i128::from(end) - i128::from(start);
        let step_wide = i128::from(step);
        let count = if step_wide == 0 || (distance > 0) != (step_wide > 0) || distance == 0 {
            0
        } else {
            distance.unsigned_abs().div_ceil(step_wide.unsigned_abs())
        };
        let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]));
        Self { start, step, count: u64::try_from(count).unwrap_or(u64::MAX), schema }
    }

    fn batch(&self, first: u64) -> Result<RecordBatch> {
        let last = self.count.min(first.saturating_add(BATCH_ROWS));
        // Every number lies between start and end, so the wrapping sums are exact.
        let numbers = (first..last).map(|i| self.start.wrapping_add((i as i64).wrapping_mul(self.step)));
        let column = Arc::new(Int64Array::from_iter_values(numbers));
        RecordBatch::try_new(Arc::clone(&self.schema), vec![column]).map_err(DataFusionError::from)
    }
}

impl PartitionStream for RangeTable {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let table = self.clone();
        let starts = (0..self.count).step_by(BATCH_ROWS as usize);
        let batches = futures::stream::iter(starts.map(move |first| table.batch(first)));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

impl fmt::Display for RangeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Range ({}, {} numbers, step={})", self.start, self.count, self.step)
    }
}

#[async_trait::async_trait]
impl TableProvider for RangeTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = usize::try_from(self.count).map_or(Precision::Absent, Precision::Exact);
        Some(statistics)
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let stream: Arc<dyn PartitionStream> = Arc::new(self.clone());
        let exec =
            StreamingTableExec::try_new(Arc::clone(&self.schema), vec![stream], projection, Vec::new(), false, limit)?;
        Ok(Arc::new(exec))
    }
}
