//! What the analyzer asks of the session: tables, views, data sources and settings.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use millstream_formats::condition::SparkError;
use millstream_functions::FunctionContext;

use crate::ir::{CatalogQuery, DataSourceRead, Options, PythonUdf};
use crate::resolved::{ResolvedPlan, StreamTable};

/// What a name or a data source stands for.
pub enum Table {
    /// A view or cached relation; its columns get new internal names at each use.
    View(Arc<ResolvedPlan>),
    /// Rows at rest. Field metadata of the provider's schema is column metadata.
    Static(Arc<dyn TableProvider>),
    /// Rows in motion.
    Stream(Arc<StreamTable>),
}

/// The session, as the analyzer sees it.
pub trait Catalog: Send + Sync {
    /// The table or view of this name, with the full name that qualifies its columns; none if there is none (the analyzer raises
    /// `TABLE_OR_VIEW_NOT_FOUND`).
    fn table(
        &self,
        name: &[String],
        options: &Options,
        streaming: bool,
    ) -> Result<Option<(Vec<String>, Table)>, SparkError>;

    /// Opens a data source: finds its schema, lists its files. Streams that are read by one DataFrame, by its id in the
    /// client, are one.
    fn data_source(&self, read: &DataSourceRead, plan_id: Option<i64>) -> Result<Table, SparkError>;

    /// A relation kept by the session.
    fn cached(&self, id: &str) -> Result<Arc<ResolvedPlan>, SparkError>;

    /// Answers a question to the catalog with rows at rest.
    fn query(&self, query: &CatalogQuery) -> Result<Arc<dyn TableProvider>, SparkError>;

    /// A function registered from Python, by name; `arguments` are left empty.
    fn python_function(&self, name: &str) -> Option<PythonUdf>;

    /// Runs a plan while another is analyzed (values of a pivot, schema inference): all rows, few.
    fn collect(&self, plan: &ResolvedPlan) -> Result<Vec<arrow::array::RecordBatch>, SparkError>;

    /// A setting, with Spark's default if it is not set.
    fn conf(&self, key: &str) -> Option<String>;

    /// What functions are bound to.
    fn function_context(&self) -> FunctionContext;
}

/// Metadata key of a field of a table's schema that marks a metadata column (`_metadata`): it is found by name, but is no
/// part of `*`. The value does not matter.
pub const METADATA_COLUMN: &str = "__metadata_col";
