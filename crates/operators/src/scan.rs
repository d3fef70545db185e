//! The leaf of a streaming plan: gives out the rows that the engine hands over for each batch.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
};
use millstream_plan::resolved::StreamTable;
use parking_lot::Mutex;

use crate::exec::{external, properties};
use crate::stream_plan::Rows;

/// The rows of one leaf in the current batch.
#[derive(Default)]
pub struct ScanSlot {
    /// Taken by the scan when it runs.
    rows: Mutex<Vec<Option<Rows>>>,
    /// Rows read in the current batch.
    count: AtomicU64,
    /// Names of the columns that the plan reads, in its order; set when the scan is planned.
    columns: Mutex<Vec<String>>,
}

impl ScanSlot {
    /// Hands over the rows of the next batch.
    pub fn set(&self, rows: Vec<Rows>) {
        *self.rows.lock() = rows.into_iter().map(Some).collect();
    }

    /// Begins a batch.
    pub fn begin(&self) {
        self.count.store(0, Ordering::Relaxed);
    }

    /// Rows read in the batch.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Names of the columns that the plan reads.
    pub fn columns(&self) -> Vec<String> {
        self.columns.lock().clone()
    }

    /// Forgets rows that were not read.
    pub fn discard(&self) {
        self.rows.lock().clear();
    }

    /// The parts that one of `partitions` scans reads.
    fn take(&self, partition: usize, partitions: usize) -> Vec<Rows> {
        self.rows.lock().iter_mut().skip(partition).step_by(partitions.max(1)).filter_map(Option::take).collect()
    }
}

/// A leaf that is bound to its slot; stands in the logical plan in place of the [`StreamTable`].
pub struct StreamLeaf {
    /// The table it stands for.
    pub table: Arc<StreamTable>,
    /// Where its rows come from.
    pub slot: Arc<ScanSlot>,
    /// How many partitions read at once.
    pub partitions: usize,
}

impl fmt::Debug for StreamLeaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamLeaf({})", self.table.origin.name())
    }
}

#[async_trait::async_trait]
impl TableProvider for StreamLeaf {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.table.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(columns) => Arc::new(self.table.schema.project(columns)?),
            None => Arc::clone(&self.table.schema),
        };
        *self.slot.columns.lock() = schema.fields().iter().map(|f| f.name().clone()).collect();
        Ok(Arc::new(StreamScanExec {
            name: self.table.origin.name(),
            properties: properties(&schema, self.partitions, EmissionType::Incremental),
            schema,
            slot: Arc::clone(&self.slot),
        }))
    }
}

/// Reads a [`ScanSlot`]. Partition `p` of `n` reads the parts `p`, `p + n`, …, one after the other.
pub struct StreamScanExec {
    name: String,
    schema: SchemaRef,
    slot: Arc<ScanSlot>,
    properties: Arc<PlanProperties>,
}

impl fmt::Debug for StreamScanExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamScanExec({})", self.name)
    }
}

impl DisplayAs for StreamScanExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "StreamScanExec: {}", self.name)
    }
}

impl ExecutionPlan for StreamScanExec {
    fn name(&self) -> &str {
        "StreamScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, _context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let partitions = self.properties.output_partitioning().partition_count();
        let rows = self.slot.take(partition, partitions).into_iter().flatten();
        let (slot, schema) = (Arc::clone(&self.slot), Arc::clone(&self.schema));
        let batches = rows.map(move |batch| {
            let batch = batch.map_err(external)?;
            slot.count.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
            conform(&batch, &schema)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), futures::stream::iter(batches))))
    }
}

/// The wanted columns, under the fields of the plan. A source may give more than the plan reads, in any order.
fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let column = |name: &str| {
        let missing = || DataFusionError::Internal(format!("a source did not give its column {name}"));
        batch.column_by_name(name).cloned().ok_or_else(missing)
    };
    let columns = schema.fields().iter().map(|f| column(f.name())).collect::<Result<Vec<_>>>()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
