//! Tables of rows at rest.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use millstream_formats::condition::SparkError;

/// Rows in memory as a table.
pub(crate) fn table_of(schema: SchemaRef, rows: Vec<RecordBatch>) -> Result<Arc<dyn TableProvider>, SparkError> {
    let table = MemTable::try_new(schema, vec![rows]).map_err(millstream_functions::kernel::from_datafusion)?;
    Ok(Arc::new(table))
}
