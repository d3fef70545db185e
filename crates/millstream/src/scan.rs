//! Tables of rows at rest: files, and rows in memory.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics};
use datafusion::datasource::MemTable;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties,
};
use millstream_connectors::FileScan;
use millstream_connectors::source::Rows;
use millstream_formats::condition::SparkError;
use millstream_functions::kernel::into_datafusion;
use parking_lot::Mutex;

use crate::analysis::with_metadata_column;

/// Rows in memory as a table.
pub(crate) fn table_of(schema: SchemaRef, rows: Vec<RecordBatch>) -> Result<Arc<dyn TableProvider>, SparkError> {
    let table = MemTable::try_new(schema, vec![rows]).map_err(millstream_functions::kernel::from_datafusion)?;
    Ok(Arc::new(table))
}

/// Files as a table; they were listed when it was made.
pub(crate) struct FileTable {
    scan: Arc<FileScan>,
    /// Columns of the files and the hidden `_metadata`.
    schema: SchemaRef,
}

impl fmt::Debug for FileTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileTable({} files)", self.files().len())
    }
}

impl FileTable {
    pub(crate) fn new(scan: FileScan) -> Self {
        let schema = with_metadata_column(&scan.schema(), Some(scan.metadata_column()));
        Self { scan: Arc::new(scan), schema }
    }

    pub(crate) fn files(&self) -> Vec<String> {
        self.scan.input_files()
    }
}

#[async_trait]
impl TableProvider for FileTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        let bytes = usize::try_from(self.scan.size()).unwrap_or(usize::MAX);
        Some(Statistics { total_byte_size: Precision::Inexact(bytes), ..Statistics::new_unknown(&self.schema) })
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => Arc::clone(&self.schema),
        };
        let columns: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
        let wanted = state.config().target_partitions();
        let parts = self.scan.rows(Some(&columns), wanted).map_err(into_datafusion)?;
        let partitions = parts.len().max(1);
        Ok(Arc::new(FileScanExec {
            scan: Arc::clone(&self.scan),
            columns,
            wanted,
            parts: Mutex::new(parts.into_iter().map(Some).collect()),
            properties: Arc::new(PlanProperties::new(
                EquivalenceProperties::new(schema),
                Partitioning::UnknownPartitioning(partitions),
                EmissionType::Incremental,
                Boundedness::Bounded,
            )),
        }))
    }
}

/// Reads files; partitions are shares of the list of files.
struct FileScanExec {
    scan: Arc<FileScan>,
    columns: Vec<String>,
    /// How many parts were asked for.
    wanted: usize,
    /// Parts that have not been read; a plan that runs again (a static side of a stream) takes new ones.
    parts: Mutex<Vec<Option<Rows>>>,
    properties: Arc<PlanProperties>,
}

impl FileScanExec {
    fn take(&self, partition: usize) -> Result<Option<Rows>> {
        let mut parts = self.parts.lock();
        if parts.get(partition).is_some_and(Option::is_none) {
            let again = self.scan.rows(Some(&self.columns), self.wanted).map_err(into_datafusion)?;
            *parts = again.into_iter().map(Some).collect();
        }
        Ok(parts.get_mut(partition).and_then(Option::take))
    }
}

impl fmt::Debug for FileScanExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileScanExec {:?}", self.columns)
    }
}

impl DisplayAs for FileScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "FileScan [{}], {} files", self.columns.join(", "), self.scan.input_files().len())
    }
}

impl ExecutionPlan for FileScanExec {
    fn name(&self) -> &str {
        "FileScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (rows, schema) = (self.take(partition)?.into_iter().flatten(), self.schema());
        // Reading blocks a computing thread for the time of one batch, which is what those threads are for.
        let fields = Arc::clone(&schema);
        let rows =
            futures::stream::iter(rows.map(move |batch| under_fields(&batch.map_err(into_datafusion)?, &fields)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

/// The same columns with the metadata of the plan's fields.
fn under_fields(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), rows.columns().to_vec(), &options)?)
}

/// The files behind a table, if it is made of files.
pub(crate) fn files_of(provider: &dyn TableProvider) -> Option<Vec<String>> {
    (provider as &dyn Any).downcast_ref::<FileTable>().map(FileTable::files)
}
