//! A session: settings, views, cached relations, functions and queries of one user. Sessions cannot see each other.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::LogicalPlan;
use millstream_engine::QueryManager;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_functions::kernel::from_datafusion;
use millstream_plan::ir::{Command, Expr, PythonUdf, Relation, RelationOp, Statement};
use millstream_plan::resolved::ResolvedPlan;
use millstream_plan::{sql, unsupported};
use parking_lot::RwLock;

use crate::analysis::Analysis;
use crate::batch::BatchStream;
use crate::cache::TableCache;
use crate::conf::Conf;
use crate::engine::Engine;
use crate::scan::files_of;
use crate::tables::View;

/// A session.
pub struct Session {
    pub(crate) engine: Arc<Engine>,
    user: Arc<str>,
    conf: Conf,
    /// Temporary views by name in lower case.
    pub(crate) views: RwLock<BTreeMap<String, View>>,
    pub(crate) view_cache: TableCache,
    /// Relations kept by id (`foreachBatch`, `checkpoint`).
    cached: RwLock<HashMap<String, Arc<ResolvedPlan>>>,
    /// Functions registered from Python, by name in lower case.
    functions: RwLock<HashMap<String, PythonUdf>>,
    database: RwLock<String>,
    streams: Arc<QueryManager>,
}

/// Rows of a command.
pub type Rows = (SchemaRef, Vec<RecordBatch>);

/// What a text of SQL came to.
pub enum SqlResult {
    /// A query, not yet run.
    Query(Relation),
    /// A command that was run, and its rows.
    Done(Rows),
}

impl Session {
    pub(crate) fn new(engine: Arc<Engine>, user: &str, conf: Conf) -> Arc<Self> {
        Arc::new(Self {
            engine,
            user: user.into(),
            conf,
            views: RwLock::default(),
            view_cache: TableCache::default(),
            cached: RwLock::default(),
            functions: RwLock::default(),
            database: RwLock::new("default".into()),
            streams: Arc::default(),
        })
    }

    /// A session with the same settings, views and functions, from now on apart. Queries stay behind.
    pub(crate) fn fork(&self) -> Arc<Self> {
        let session = Self::new(Arc::clone(&self.engine), &self.user, self.conf.fork());
        session.views.write().clone_from(&self.views.read());
        session.functions.write().clone_from(&self.functions.read());
        session.database.write().clone_from(&self.database.read());
        session
    }

    /// Settings.
    pub fn conf(&self) -> &Conf {
        &self.conf
    }

    /// Whose session it is.
    pub fn user(&self) -> &Arc<str> {
        &self.user
    }

    /// Name of the current database.
    pub fn database(&self) -> String {
        self.database.read().clone()
    }

    pub(crate) fn set_database(&self, name: String) {
        *self.database.write() = name;
    }

    /// Streaming queries.
    pub fn streams(&self) -> &Arc<QueryManager> {
        &self.streams
    }

    /// Settles names, types and errors of a relation. Blocks: it may list files or run parts of the relation.
    ///
    /// # Errors
    /// Spark's analysis errors.
    pub fn analyze(&self, relation: &Relation) -> Result<ResolvedPlan, SparkError> {
        millstream_plan::analyze(relation, &Analysis::new(self))
    }

    /// The files a relation would read, as `file:` URLs, in order, each once.
    ///
    /// # Errors
    /// Spark's analysis errors.
    pub fn input_files(&self, relation: &Relation) -> Result<Vec<String>, SparkError> {
        files_in(&self.analyze(relation)?)
    }

    /// Starts a batch query; its rows come out of the stream.
    ///
    /// # Errors
    /// Spark's analysis errors, also for a relation that is a stream.
    pub fn execute(&self, relation: &Relation) -> Result<BatchStream, SparkError> {
        let resolved = self.analyze(relation)?;
        self.execute_resolved(&resolved)
    }

    pub(crate) fn execute_resolved(&self, resolved: &ResolvedPlan) -> Result<BatchStream, SparkError> {
        unsupported::check_batch(resolved)?;
        BatchStream::start(&self.engine, resolved)
    }

    /// Runs a command; its rows, if it has any.
    ///
    /// # Errors
    /// What the command says.
    pub fn run(&self, command: Command) -> Result<Option<Rows>, SparkError> {
        crate::command::run(self, command)
    }

    /// Takes a text of SQL: a query is returned to be run later, a command is run at once.
    ///
    /// # Errors
    /// Syntax and analysis errors, and what a command says.
    pub fn sql(
        &self,
        text: &str,
        named: BTreeMap<String, Expr>,
        positional: Vec<Expr>,
    ) -> Result<SqlResult, SparkError> {
        match sql::parse_statement(text)? {
            Statement::Query(_) => {
                let query = Relation::new(RelationOp::Sql { text: text.to_string(), named, positional });
                // A query is analyzed when it is made, so that `spark.sql` raises as Spark does.
                self.analyze(&query)?;
                Ok(SqlResult::Query(query))
            }
            Statement::Command(command) => {
                let empty = || (Arc::new(arrow::datatypes::Schema::empty()) as SchemaRef, Vec::new());
                Ok(SqlResult::Done(self.run(command)?.unwrap_or_else(empty)))
            }
            Statement::Expression(_) => Err(SparkError::internal("a statement was parsed as an expression")),
        }
    }

    /// Reads a type or a schema from DDL or JSON text.
    ///
    /// # Errors
    /// `PARSE_SYNTAX_ERROR`, `UNSUPPORTED_DATATYPE`.
    pub fn parse_ddl(&self, text: &str) -> Result<DataType, SparkError> {
        sql::parse_ddl(text)
    }

    /// Keeps a relation under an id until it is removed.
    pub fn keep(&self, id: &str, plan: ResolvedPlan) {
        self.cached.write().insert(id.to_string(), Arc::new(plan));
    }

    /// Forgets a kept relation.
    pub fn forget(&self, id: &str) {
        self.cached.write().remove(id);
    }

    pub(crate) fn cached(&self, id: &str) -> Result<Arc<ResolvedPlan>, SparkError> {
        self.cached.read().get(id).cloned().ok_or_else(|| {
            SparkError::plain(ExceptionClass::Spark, format!("No DataFrame with id {id} is found in the session."))
        })
    }

    /// Registers a Python function under a name.
    pub fn register_function(&self, name: &str, function: PythonUdf) {
        self.functions.write().insert(name.to_lowercase(), function);
    }

    /// Names of the functions registered from Python, in lower case.
    pub(crate) fn python_functions(&self) -> Vec<String> {
        self.functions.read().keys().cloned().collect()
    }

    pub(crate) fn python_function(&self, name: &str) -> Option<PythonUdf> {
        self.functions.read().get(&name.to_lowercase()).cloned()
    }
}

/// The files a plan reads, as `file:` URLs, in order, each once.
pub(crate) fn files_in(resolved: &ResolvedPlan) -> Result<Vec<String>, SparkError> {
    let mut files = std::collections::BTreeSet::new();
    let walked = resolved.plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(provider) = source_as_provider(&scan.source)
        {
            files.extend(files_of(provider.as_ref()).into_iter().flatten());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.map_err(from_datafusion)?;
    Ok(files.into_iter().collect())
}
