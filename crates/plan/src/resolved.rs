//! What the analyzer makes: a DataFusion plan and what Spark says of its columns.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::logical_expr::LogicalPlan;

/// A column of a resolved relation.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// Name of the column in the DataFusion plan: `#` and a number that is unique in the query.
    pub column: String,
    /// Name as the user sees it; not unique.
    pub name: String,
    /// Type, see `millstream_formats::types`.
    pub data_type: DataType,
    /// Whether it may be null, as Spark reports it.
    pub nullable: bool,
    /// Spark's column metadata, values as JSON text (`spark.watermarkDelayMs` → `10000`).
    pub metadata: HashMap<String, String>,
    /// Alias or table it can be qualified with, outermost first: `["spark_catalog", "default", "t"]`, `["a"]`.
    pub qualifier: Vec<String>,
}

/// A relation whose names, types and errors have been settled.
#[derive(Debug, Clone)]
pub struct ResolvedPlan {
    /// Gives the columns of `output`, in that order, under their internal names.
    pub plan: LogicalPlan,
    /// The columns.
    pub output: Vec<Attribute>,
    /// Whether any input is a stream.
    pub streaming: bool,
    /// Names by which Spark knows the internal columns inside the plan: what it writes into the schemas of state. A column that
    /// is not listed has none.
    pub names: Arc<HashMap<String, String>>,
}

impl ResolvedPlan {
    /// Schema as the user sees it: names, Spark's nullability, metadata.
    pub fn schema(&self) -> SchemaRef {
        let fields = self
            .output
            .iter()
            .map(|a| Field::new(&a.name, a.data_type.clone(), a.nullable).with_metadata(a.metadata.clone()));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

/// A streaming leaf, known to the layer that can open it.
///
/// The plan only carries it; the engine takes it out of the [`StreamTable`] and opens a source.
pub trait StreamOrigin: fmt::Debug + Send + Sync {
    /// For `explain`: `socket`, `FileStreamSource[…]`.
    fn name(&self) -> String;
    /// To get back at the concrete type.
    fn as_any(&self) -> &(dyn Any + Send + Sync);
}

/// The leaf of a streaming plan: a DataFusion table that cannot be scanned, only planned by `operators`.
#[derive(Debug)]
pub struct StreamTable {
    /// Columns.
    pub schema: SchemaRef,
    /// Distinguishes two reads of the same data.
    pub id: u64,
    /// What it is.
    pub origin: Arc<dyn StreamOrigin>,
}

static STREAM_IDS: AtomicU64 = AtomicU64::new(0);

impl StreamTable {
    /// A read of its own.
    pub fn new(schema: SchemaRef, origin: Arc<dyn StreamOrigin>) -> Self {
        Self { schema, id: STREAM_IDS.fetch_add(1, Ordering::Relaxed), origin }
    }

    /// Another read of the same data.
    pub fn again(&self) -> Self {
        Self::new(Arc::clone(&self.schema), Arc::clone(&self.origin))
    }
}

#[async_trait::async_trait]
impl datafusion::catalog::TableProvider for StreamTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> datafusion::logical_expr::TableType {
        datafusion::logical_expr::TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn datafusion::catalog::Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[datafusion::logical_expr::Expr],
        _limit: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn datafusion::physical_plan::ExecutionPlan>> {
        Err(datafusion::common::DataFusionError::Internal("a stream is scanned as if it were a table".into()))
    }
}
