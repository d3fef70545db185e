//! The Rust API: a lazy table over rows at rest or in motion, built as Spark's DataFrame is.
//!
//! ```no_run
//! use millstream::prelude::*;
//!
//! # fn main() -> Result<(), SparkError> {
//! let session = local_session()?;
//! let lines = session.read_stream().format("socket").option("host", "localhost").option("port", "9999").load();
//! let words = lines.select([explode(split(col("value"), lit(" "))).alias("word")]);
//! let counts = words.group_by([col("word")]).count();
//! let query = counts.write_stream().output_mode("complete").format("console").start()?;
//! query.await_termination(None)?;
//! # Ok(())
//! # }
//! ```

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::scalar::ScalarValue;
use millstream_engine::StreamingQuery;
use millstream_formats::condition::SparkError;
use millstream_plan::ir::{
    Aggregate, DataSourceRead, Expr, Grouping, Join, JoinKind, Relation, RelationOp, SortOrder, TriggerSpec,
    WriteStream,
};
use millstream_plan::sql;

use crate::engine::{Engine, EngineOptions};
use crate::session::Session;

/// A session of an engine of its own, with the defaults of this machine.
///
/// # Errors
/// If the system has no threads left.
pub fn local_session() -> Result<Arc<Session>, SparkError> {
    Ok(Engine::new(EngineOptions::default())?.session("", "local"))
}

/// A column by name; dots separate its parts.
pub fn col(name: &str) -> Expr {
    match sql::parse_identifier(name) {
        Ok(parts) => Expr::attribute(parts),
        // The analyzer reports the name as it was given.
        Err(_) => Expr::attribute([name]),
    }
}

/// A constant.
pub fn lit(value: impl Into<ScalarValue>) -> Expr {
    Expr::Literal(value.into())
}

/// Any function by name.
pub fn call(name: &str, arguments: impl IntoIterator<Item = Expr>) -> Expr {
    Expr::call(name, arguments.into_iter().collect())
}

/// Any expression in Spark's SQL.
pub fn expr(text: &str) -> Expr {
    Expr::SqlText(text.to_string())
}

/// A row for each element of an array.
pub fn explode(array: Expr) -> Expr {
    call("explode", [array])
}

/// A text cut where a regular expression matches.
pub fn split(text: Expr, pattern: Expr) -> Expr {
    call("split", [text, pattern])
}

/// Windows of time: length, and the distance of their beginnings if they overlap, as intervals (`10 seconds`).
pub fn window(time: Expr, length: &str, slide: Option<&str>) -> Expr {
    let texts = [Some(length), slide].into_iter().flatten().map(lit);
    call("window", [time].into_iter().chain(texts))
}

impl Session {
    /// Begins to read a table at rest.
    pub fn read(self: &Arc<Self>) -> Reader {
        Reader { session: Arc::clone(self), read: DataSourceRead::default() }
    }

    /// Begins to read a stream.
    pub fn read_stream(self: &Arc<Self>) -> Reader {
        let read = DataSourceRead { streaming: true, ..DataSourceRead::default() };
        Reader { session: Arc::clone(self), read }
    }

    /// A table or view by name.
    pub fn table(self: &Arc<Self>, name: &str) -> Result<DataFrame, SparkError> {
        let name = sql::parse_identifier(name)?;
        Ok(self.frame(RelationOp::Table { name, options: Default::default(), streaming: false }))
    }

    /// A query in Spark's SQL. Commands are for [`Session::sql`].
    pub fn query(self: &Arc<Self>, text: &str) -> DataFrame {
        self.frame(RelationOp::Sql { text: text.into(), named: Default::default(), positional: Vec::new() })
    }

    fn frame(self: &Arc<Self>, op: RelationOp) -> DataFrame {
        DataFrame { session: Arc::clone(self), relation: op.into() }
    }
}

/// What is to be read.
#[derive(Clone)]
pub struct Reader {
    session: Arc<Session>,
    read: DataSourceRead,
}

impl Reader {
    /// `socket`, `rate`, `json`, `csv`, `parquet`, `text`, ….
    #[must_use]
    pub fn format(mut self, format: &str) -> Self {
        self.read.format = Some(format.into());
        self
    }

    /// Columns in DDL: `time TIMESTAMP, word STRING`.
    #[must_use]
    pub fn schema(mut self, ddl: &str) -> Self {
        self.read.schema = Some(ddl.into());
        self
    }

    /// An option of the format.
    #[must_use]
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.read.options.insert(name.into(), value.into());
        self
    }

    /// A directory or file; may hold wildcards.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        self.read.paths.push(path.into());
        self
    }

    /// The table.
    pub fn load(self) -> DataFrame {
        DataFrame { relation: RelationOp::DataSource(self.read).into(), session: self.session }
    }
}

/// A lazy table. Nothing is looked up or computed before an action.
#[derive(Clone)]
pub struct DataFrame {
    session: Arc<Session>,
    relation: Relation,
}

impl DataFrame {
    fn with(self, op: impl FnOnce(Relation) -> RelationOp) -> Self {
        Self { relation: op(self.relation).into(), session: self.session }
    }

    /// The unresolved plan.
    pub fn relation(&self) -> &Relation {
        &self.relation
    }

    /// These columns.
    #[must_use]
    pub fn select(self, expressions: impl IntoIterator<Item = Expr>) -> Self {
        let expressions = expressions.into_iter().collect();
        self.with(|input| RelationOp::Project { input, expressions })
    }

    /// Rows for which the condition is true.
    #[must_use]
    pub fn filter(self, condition: Expr) -> Self {
        self.with(|input| RelationOp::Filter { input, condition })
    }

    /// A column added, or replaced if there is one of that name.
    #[must_use]
    pub fn with_column(self, name: &str, value: Expr) -> Self {
        self.with(|input| RelationOp::WithColumns { input, columns: vec![value.alias(name)] })
    }

    /// The event-time column and how late its rows may be (`10 seconds`).
    #[must_use]
    pub fn with_watermark(self, event_time: &str, delay: &str) -> Self {
        let (event_time, delay) = (event_time.into(), delay.into());
        self.with(|input| RelationOp::WithWatermark { input, event_time, delay })
    }

    /// Groups of rows with equal keys.
    #[must_use]
    pub fn group_by(self, keys: impl IntoIterator<Item = Expr>) -> Grouped {
        Grouped { frame: self, keys: keys.into_iter().collect() }
    }

    /// Rows without a row equal to an earlier one.
    #[must_use]
    pub fn distinct(self) -> Self {
        self.with(|input| RelationOp::Deduplicate { input, columns: Vec::new(), within_watermark: false })
    }

    /// Rows without a row equal to an earlier one in these columns.
    #[must_use]
    pub fn drop_duplicates(self, columns: &[&str]) -> Self {
        let columns = columns.iter().map(ToString::to_string).collect();
        self.with(|input| RelationOp::Deduplicate { input, columns, within_watermark: false })
    }

    /// Rows in order of the keys, smallest first.
    #[must_use]
    pub fn order_by(self, keys: impl IntoIterator<Item = Expr>) -> Self {
        let order =
            keys.into_iter().map(|expr| SortOrder { expr, ascending: true, nulls_first: true }).collect::<Vec<_>>();
        self.with(|input| RelationOp::Sort { input, order, global: true })
    }

    /// The first rows.
    #[must_use]
    pub fn limit(self, rows: i32) -> Self {
        self.with(|input| RelationOp::Limit { input, limit: lit(rows) })
    }

    /// Pairs of rows with equal values in the shared columns.
    #[must_use]
    pub fn join(self, right: DataFrame, using: &[&str], kind: JoinKind) -> Self {
        let using = using.iter().map(ToString::to_string).collect();
        self.with(|left| {
            RelationOp::Join(Join { left, right: right.relation, condition: None, using, natural: false, kind })
        })
    }

    /// Columns, types and nullability.
    ///
    /// # Errors
    /// Spark's analysis errors.
    pub fn schema(&self) -> Result<SchemaRef, SparkError> {
        Ok(self.session.analyze(&self.relation)?.schema())
    }

    /// All rows of a table at rest. Blocks.
    ///
    /// # Errors
    /// Spark's analysis errors, and what goes wrong while rows are computed.
    pub fn collect(&self) -> Result<Vec<RecordBatch>, SparkError> {
        self.session.execute(&self.relation)?.collect()
    }

    /// Begins to write a stream.
    pub fn write_stream(self) -> StreamWriter {
        StreamWriter {
            session: self.session,
            write: WriteStream {
                input: self.relation,
                format: String::new(),
                options: Default::default(),
                output_mode: String::new(),
                query_name: String::new(),
                partition_by: Vec::new(),
                trigger: TriggerSpec::Default,
                path: None,
                table: None,
                foreach_batch: None,
                foreach_writer: None,
            },
        }
    }
}

/// Rows by key, waiting for aggregates.
#[derive(Clone)]
pub struct Grouped {
    frame: DataFrame,
    keys: Vec<Expr>,
}

impl Grouped {
    /// The keys and these aggregates.
    #[must_use]
    pub fn agg(self, aggregates: impl IntoIterator<Item = Expr>) -> DataFrame {
        let (keys, expressions) = (self.keys, aggregates.into_iter().collect());
        self.frame.with(|input| {
            RelationOp::Aggregate(Aggregate {
                input,
                grouping: Grouping::Keys,
                keys,
                expressions,
                keys_first: true,
                having: None,
            })
        })
    }

    /// The keys and how many rows they have, in a column `count`.
    #[must_use]
    pub fn count(self) -> DataFrame {
        self.agg([call("count", [lit(1)]).alias("count")])
    }
}

/// Where a stream goes.
pub struct StreamWriter {
    session: Arc<Session>,
    write: WriteStream,
}

impl StreamWriter {
    /// `console`, `memory`, `noop`, `json`, `parquet`, ….
    #[must_use]
    pub fn format(mut self, format: &str) -> Self {
        self.write.format = format.into();
        self
    }

    /// `append`, `update` or `complete`.
    #[must_use]
    pub fn output_mode(mut self, mode: &str) -> Self {
        self.write.output_mode = mode.into();
        self
    }

    /// An option; `checkpointLocation` among them.
    #[must_use]
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.write.options.insert(name.into(), value.into());
        self
    }

    /// Name of the query.
    #[must_use]
    pub fn query_name(mut self, name: &str) -> Self {
        self.write.query_name = name.into();
        self
    }

    /// When batches run.
    #[must_use]
    pub fn trigger(mut self, trigger: TriggerSpec) -> Self {
        self.write.trigger = trigger;
        self
    }

    /// Directory of a file sink.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        self.write.path = Some(path.into());
        self
    }

    /// Starts the query.
    ///
    /// # Errors
    /// As [`Session::start_stream`].
    pub fn start(self) -> Result<Arc<StreamingQuery>, SparkError> {
        self.session.start_stream(&self.write)
    }
}
