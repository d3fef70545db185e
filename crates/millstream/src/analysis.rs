//! The session as the analyzer sees it, for the time of one analysis.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use chrono::Utc;
use datafusion::catalog::TableProvider;
use millstream_connectors::source::{Conf as ConnectorConf, SourceSpec};
use millstream_formats::condition::SparkError;
use millstream_functions::FunctionContext;
use millstream_plan::catalog::{Catalog, METADATA_COLUMN, Table};
use millstream_plan::ir::{CatalogQuery, DataSourceRead, Options, PythonUdf};
use millstream_plan::resolved::{ResolvedPlan, StreamTable};
use millstream_plan::sql;
use parking_lot::Mutex;

use crate::scan::FileTable;
use crate::session::Session;
use crate::state_source;
use crate::stream::SourceOrigin;

/// What is read, by which DataFrame of the client, and the stream it is.
type OpenStream = (DataSourceRead, Option<i64>, Arc<StreamTable>);

/// One analysis. What `current_timestamp()` reads belongs to it; a streaming query takes it over.
pub(crate) struct Analysis<'a> {
    session: &'a Session,
    now_us: Arc<AtomicI64>,
    /// A DataFrame used twice in one query is one source, as in Spark.
    streams: Mutex<Vec<OpenStream>>,
}

impl<'a> Analysis<'a> {
    pub(crate) fn new(session: &'a Session) -> Self {
        let now_us = Arc::new(AtomicI64::new(Utc::now().timestamp_micros()));
        Self { session, now_us, streams: Mutex::default() }
    }

    /// The clock that functions of this analysis read, µs.
    pub(crate) fn clock(&self) -> Arc<AtomicI64> {
        Arc::clone(&self.now_us)
    }

    fn open_stream(&self, read: &DataSourceRead, plan_id: Option<i64>) -> Result<Arc<StreamTable>, SparkError> {
        let same = |(known, id, _): &&OpenStream| *id == plan_id && known == read;
        if let Some((_, _, table)) = self.streams.lock().iter().find(same) {
            return Ok(Arc::clone(table));
        }
        let origin = millstream_connectors::open_source(source_spec(self.session, read)?)?;
        let schema = with_metadata_column(&origin.schema(), origin.metadata_column());
        let table = Arc::new(StreamTable::new(schema, Arc::new(SourceOrigin(origin))));
        self.streams.lock().push((read.clone(), plan_id, Arc::clone(&table)));
        Ok(table)
    }
}

impl Catalog for Analysis<'_> {
    fn table(
        &self,
        name: &[String],
        options: &Options,
        streaming: bool,
    ) -> Result<Option<(Vec<String>, Table)>, SparkError> {
        crate::tables::resolve(self.session, self, name, options, streaming)
    }

    fn data_source(&self, read: &DataSourceRead, plan_id: Option<i64>) -> Result<Table, SparkError> {
        let format = read.format.as_deref().unwrap_or_default();
        if state_source::is_state_source(format) {
            return Ok(Table::Static(state_source::open(&source_spec(self.session, read)?, read.streaming)?));
        }
        if read.streaming {
            return Ok(Table::Stream(self.open_stream(read, plan_id)?));
        }
        let scan = millstream_connectors::file_scan(&source_spec(self.session, read)?)?;
        Ok(Table::Static(Arc::new(FileTable::new(scan))))
    }

    fn cached(&self, id: &str) -> Result<Arc<ResolvedPlan>, SparkError> {
        self.session.cached(id)
    }

    fn query(&self, query: &CatalogQuery) -> Result<Arc<dyn TableProvider>, SparkError> {
        let (schema, rows) = crate::catalog_query::answer(self.session, query)?;
        crate::scan::table_of(schema, rows)
    }

    fn python_function(&self, name: &str) -> Option<PythonUdf> {
        self.session.python_function(name)
    }

    fn collect(&self, plan: &ResolvedPlan) -> Result<Vec<RecordBatch>, SparkError> {
        self.session.execute_resolved(plan)?.collect()
    }

    fn conf(&self, key: &str) -> Option<String> {
        self.session.conf().get_option(key)
    }

    fn function_context(&self) -> FunctionContext {
        let conf = self.session.conf();
        FunctionContext {
            ansi: conf.boolean("spark.sql.ansi.enabled"),
            time_zone: conf.get_option("spark.sql.session.timeZone").unwrap_or_else(|| "UTC".into()).into(),
            now_us: Arc::clone(&self.now_us),
            user: Arc::clone(self.session.user()),
            database: self.session.database().into(),
        }
    }
}

/// A schema with the hidden column behind its columns.
pub(crate) fn with_metadata_column(schema: &SchemaRef, hidden: Option<FieldRef>) -> SchemaRef {
    let mark = |field: FieldRef| {
        let metadata = HashMap::from([(METADATA_COLUMN.to_string(), "true".to_string())]);
        Arc::new(field.as_ref().clone().with_metadata(metadata))
    };
    Arc::new(Schema::new(schema.fields().iter().cloned().chain(hidden.map(mark)).collect::<Vec<_>>()))
}

/// The session's settings as they are now, for a connector.
pub(crate) fn connector_conf(session: &Session) -> ConnectorConf {
    let conf = session.conf().fork();
    Arc::new(move |key: &str| conf.get_option(key))
}

/// What a reader said, for the connectors.
pub(crate) fn source_spec(session: &Session, read: &DataSourceRead) -> Result<SourceSpec, SparkError> {
    let default = || session.conf().get_option("spark.sql.sources.default").unwrap_or_else(|| "parquet".into());
    let schema = read.schema.as_deref().filter(|s| !s.is_empty()).map(sql::parse_schema).transpose()?;
    let format = read.format.clone().filter(|f| !f.is_empty()).unwrap_or_else(default);
    let spec = SourceSpec {
        format,
        schema,
        options: read.options.iter().collect(),
        paths: read.paths.clone(),
        conf: connector_conf(session),
        parallelism: session.engine.options().cores,
    };
    spec.with_one_path()
}
