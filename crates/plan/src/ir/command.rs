//! Statements that do something.

use super::{CatalogQuery, Expr, Options, Relation};

/// A statement.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Command {
    /// A temporary view.
    CreateView {
        /// Name.
        name: String,
        /// New names of the columns, if given.
        columns: Vec<String>,
        /// The query.
        input: Relation,
        /// In `global_temp`, shared by sessions.
        global: bool,
        /// Take the place of an existing one.
        replace: bool,
    },
    /// `CACHE TABLE name AS query`: a temporary view whose rows are kept in memory.
    CacheQuery {
        /// Name.
        name: String,
        /// The query.
        input: Relation,
        /// It is read when a query asks for it, not now.
        lazy: bool,
    },
    /// `df.write`.
    Write(Write),
    /// `INSERT INTO table query`.
    Insert {
        /// Table.
        table: Vec<String>,
        /// Column names, if given.
        columns: Vec<String>,
        /// Rows.
        input: Relation,
        /// `INSERT OVERWRITE`.
        overwrite: bool,
    },
    /// `CREATE TABLE`, without rows or `AS SELECT`.
    CreateTable {
        /// Name.
        name: Vec<String>,
        /// DDL text of the columns; empty with `AS SELECT`.
        schema: String,
        /// `USING format`; none means the default.
        format: Option<String>,
        /// `OPTIONS`, `LOCATION` (as `path`) and `TBLPROPERTIES`.
        options: Options,
        /// `PARTITIONED BY`.
        partition_by: Vec<String>,
        /// `IF NOT EXISTS`.
        if_not_exists: bool,
        /// `OR REPLACE`.
        replace: bool,
        /// `AS SELECT`.
        input: Option<Relation>,
    },
    /// `DROP TABLE` / `DROP VIEW`.
    Drop {
        /// Name.
        name: Vec<String>,
        /// A view.
        view: bool,
        /// `IF EXISTS`.
        if_exists: bool,
    },
    /// `SET key = value`.
    Set {
        /// Key and value; none lists all; a key alone shows it.
        pair: Option<(String, Option<String>)>,
    },
    /// `RESET key`.
    Reset {
        /// Key; none resets all.
        key: Option<String>,
    },
    /// `EXPLAIN query`.
    Explain {
        /// The query.
        input: Relation,
        /// `EXTENDED`.
        extended: bool,
    },
    /// `DESCRIBE query` or table.
    Describe {
        /// The query.
        input: Relation,
    },
    /// A question to the catalog or a change of it (`USE`, `SHOW TABLES`, `CREATE DATABASE`, `CACHE TABLE`, …).
    Catalog(CatalogQuery),
}

/// `df.write…save()`.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// Rows.
    pub input: Relation,
    /// Format; none means `parquet`.
    pub format: Option<String>,
    /// Where.
    pub target: WriteTarget,
    /// What if it exists.
    pub mode: SaveMode,
    /// Options.
    pub options: Options,
    /// Columns that become directories.
    pub partition_by: Vec<String>,
    /// `sortBy`.
    pub sort_by: Vec<String>,
    /// `bucketBy`: number and columns.
    pub bucket_by: Option<(i32, Vec<String>)>,
}

/// Where rows are written.
#[derive(Debug, Clone, PartialEq)]
pub enum WriteTarget {
    /// `save()` without a path (`noop`).
    None,
    /// A directory.
    Path(String),
    /// `saveAsTable`.
    Table(Vec<String>),
    /// `insertInto`.
    Insert(Vec<String>),
}

/// What to do with what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaveMode {
    /// Fail if it exists.
    ErrorIfExists,
    /// Add.
    Append,
    /// Replace.
    Overwrite,
    /// Do nothing if it exists.
    Ignore,
}

/// What a text of SQL says.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// A query.
    Query(Relation),
    /// A command.
    Command(Command),
    /// An expression, a sort key or a list of columns: see [`crate::sql`].
    Expression(Expr),
}

/// `writeStream…start()`.
#[derive(Debug, Clone, PartialEq)]
pub struct WriteStream {
    /// The streaming relation.
    pub input: Relation,
    /// Format; empty means the default (`parquet`) unless there is a table.
    pub format: String,
    /// Options with their names as written.
    pub options: Options,
    /// `append`, `update`, `complete`, as typed; empty means append.
    pub output_mode: String,
    /// Name; empty means none.
    pub query_name: String,
    /// Columns that become directories.
    pub partition_by: Vec<String>,
    /// When batches run.
    pub trigger: TriggerSpec,
    /// `start(path)`.
    pub path: Option<String>,
    /// `toTable(name)`.
    pub table: Option<Vec<String>>,
    /// `foreachBatch`: pickled function and Python version.
    pub foreach_batch: Option<(Vec<u8>, String)>,
    /// `foreach`: pickled writer and Python version.
    pub foreach_writer: Option<(Vec<u8>, String)>,
}

/// A trigger as given; intervals are parsed by the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TriggerSpec {
    /// As soon as there is data.
    Default,
    /// `processingTime='10 seconds'`.
    ProcessingTime(String),
    /// One batch, then the end.
    Once,
    /// What is there now in as many batches as limits ask for, then the end.
    AvailableNow,
    /// `continuous='1 second'`.
    Continuous(String),
    /// Real-time mode.
    RealTime(String),
}
