//! Unresolved relations.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::{Expr, PythonUdf, SortOrder};

/// A relation: an operator and the number by which `df.col` refers to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Relation {
    /// Unique within one request; means nothing outside it.
    pub plan_id: Option<i64>,
    /// The operator.
    pub op: Box<RelationOp>,
}

impl Relation {
    /// A relation without an id.
    pub fn new(op: RelationOp) -> Self {
        Self { plan_id: None, op: Box::new(op) }
    }
}

impl From<RelationOp> for Relation {
    fn from(op: RelationOp) -> Self {
        Self::new(op)
    }
}

/// Options of a reader or writer; Spark compares their names without regard to case.
pub type Options = BTreeMap<String, String>;

/// The operators.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RelationOp {
    /// One row without columns (`SELECT 1`).
    OneRow,
    /// A table or view by name.
    Table {
        /// Parts of the name.
        name: Vec<String>,
        /// Reader options.
        options: Options,
        /// `readStream.table`.
        streaming: bool,
    },
    /// A data source by format.
    DataSource(DataSourceRead),
    /// Rows that came with the plan.
    Local {
        /// The rows; all batches have `schema`.
        batches: Vec<RecordBatch>,
        /// Names, types and nullability.
        schema: SchemaRef,
    },
    /// `VALUES (…), (…)`, columns `col1`, `col2`, ….
    Values(Vec<Vec<Expr>>),
    /// Numbers from `start` (inclusive) to `end` (exclusive), column `id: long not null`.
    Range {
        /// First number.
        start: i64,
        /// Border, not included.
        end: i64,
        /// Difference, not 0.
        step: i64,
        /// Wanted number of partitions.
        partitions: Option<usize>,
    },
    /// A table function: `range(…)`, `explode(…)` and other generators.
    TableFunction {
        /// Name.
        name: String,
        /// Arguments.
        arguments: Vec<Expr>,
    },
    /// SQL text of a query, parsed when it is analyzed.
    Sql {
        /// Text.
        text: String,
        /// `:name` parameters.
        named: BTreeMap<String, Expr>,
        /// `?` parameters.
        positional: Vec<Expr>,
    },
    /// A relation kept by the session (`foreachBatch`, `checkpoint`).
    Cached(String),
    /// `SELECT`.
    Project {
        /// Input.
        input: Relation,
        /// Columns; may hold one generator and aggregates.
        expressions: Vec<Expr>,
    },
    /// `WHERE`.
    Filter {
        /// Input.
        input: Relation,
        /// Kept where true.
        condition: Expr,
    },
    /// A join.
    Join(Join),
    /// Union, intersection, difference.
    SetOperation(SetOperation),
    /// `ORDER BY` (global) or `SORT BY` (within partitions).
    Sort {
        /// Input.
        input: Relation,
        /// Keys.
        order: Vec<SortOrder>,
        /// Over all rows.
        global: bool,
    },
    /// The first rows.
    Limit {
        /// Input.
        input: Relation,
        /// How many, a constant.
        limit: Expr,
    },
    /// All but the first rows.
    Offset {
        /// Input.
        input: Relation,
        /// How many, a constant.
        offset: Expr,
    },
    /// The last rows.
    Tail {
        /// Input.
        input: Relation,
        /// How many.
        limit: i64,
    },
    /// `GROUP BY`.
    Aggregate(Aggregate),
    /// `SELECT DISTINCT`: over a stream an aggregation, not a deduplication.
    Distinct {
        /// Input.
        input: Relation,
    },
    /// `dropDuplicates`, `dropDuplicatesWithinWatermark`.
    Deduplicate {
        /// Input.
        input: Relation,
        /// Keys; none means all columns.
        columns: Vec<String>,
        /// State is kept only as long as the watermark delay.
        within_watermark: bool,
    },
    /// `AS alias (c1, c2)`.
    SubqueryAlias {
        /// Input.
        input: Relation,
        /// Qualifier of its columns.
        alias: String,
        /// New column names; none keeps them.
        columns: Vec<String>,
    },
    /// Common table expressions in scope of `input`, in order.
    With {
        /// Name, column names, relation.
        tables: Vec<(String, Vec<String>, Relation)>,
        /// `WITH RECURSIVE`.
        recursive: bool,
        /// The query.
        input: Relation,
    },
    /// Relations referred to by plan id from subquery expressions of `root`.
    WithRelations {
        /// The query.
        root: Relation,
        /// Referenced relations; a [`RelationOp::SubqueryAlias`] among them is a temporary name for SQL text.
        references: Vec<Relation>,
    },
    /// A generator joined to each row (`LATERAL VIEW`).
    LateralView {
        /// Input.
        input: Relation,
        /// The generator call.
        generator: Expr,
        /// `OUTER`: a row of nulls where there is none.
        outer: bool,
        /// Qualifier of the new columns.
        alias: Option<String>,
        /// Names of the new columns.
        columns: Vec<String>,
    },
    /// Named window definitions are resolved by the SQL parser. New column names by position.
    ToDf {
        /// Input.
        input: Relation,
        /// As many as there are columns.
        names: Vec<String>,
    },
    /// Renamed columns; unknown names are ignored.
    WithColumnsRenamed {
        /// Input.
        input: Relation,
        /// Old and new name, applied in order.
        renames: Vec<(String, String)>,
    },
    /// Added or replaced columns; each an [`Expr::Alias`].
    WithColumns {
        /// Input.
        input: Relation,
        /// Columns.
        columns: Vec<Expr>,
    },
    /// Without some columns.
    Drop {
        /// Input.
        input: Relation,
        /// By reference; unknown ones are ignored.
        columns: Vec<Expr>,
        /// By name; unknown ones are ignored.
        names: Vec<String>,
    },
    /// `df.to(schema)`: columns by name, cast.
    ToSchema {
        /// Input.
        input: Relation,
        /// Wanted schema.
        schema: SchemaRef,
    },
    /// Round-robin `repartition(n)`, `coalesce(n)` or by expressions: no change of rows.
    Repartition {
        /// Input.
        input: Relation,
        /// How many.
        partitions: Option<usize>,
        /// Keys.
        expressions: Vec<Expr>,
        /// False for `coalesce`.
        shuffle: bool,
    },
    /// An advice to the planner.
    Hint {
        /// Input.
        input: Relation,
        /// Name.
        name: String,
    },
    /// A random part of the rows.
    Sample {
        /// Input.
        input: Relation,
        /// From, inclusive, of `[0, 1)`.
        lower: f64,
        /// To, exclusive.
        upper: f64,
        /// A row may be taken several times.
        with_replacement: bool,
        /// Seed of the random numbers.
        seed: Option<i64>,
        /// Rows are sorted by all columns first, so that parts of `randomSplit` do not overlap.
        deterministic_order: bool,
    },
    /// Columns to rows.
    Unpivot {
        /// Input.
        input: Relation,
        /// Kept columns.
        ids: Vec<Expr>,
        /// Columns that become rows; none means all others.
        values: Option<Vec<Expr>>,
        /// Name of the column of names.
        variable_name: String,
        /// Name of the column of values.
        value_name: String,
    },
    /// `UNPIVOT` of SQL: columns to rows, possibly several at once; columns that are not named stay.
    UnpivotColumns {
        /// Input.
        input: Relation,
        /// Rows whose values are all null are kept.
        include_nulls: bool,
        /// Name of the column of names.
        variable_name: String,
        /// Names of the columns of values.
        value_names: Vec<String>,
        /// Per row: as many columns as there are value names, and what stands in the column of names.
        groups: Vec<(Vec<Expr>, Option<String>)>,
    },
    /// Rows to columns.
    Transpose {
        /// Input.
        input: Relation,
        /// The column whose values name the new columns.
        index: Vec<Expr>,
    },
    /// Metrics of the rows that pass (`observe`).
    CollectMetrics {
        /// Input.
        input: Relation,
        /// Name.
        name: String,
        /// Aggregates.
        metrics: Vec<Expr>,
    },
    /// An event-time column and how late its rows may be.
    WithWatermark {
        /// Input.
        input: Relation,
        /// Column.
        event_time: String,
        /// An interval, `10 seconds`.
        delay: String,
    },
    /// Nulls replaced.
    FillNa {
        /// Input.
        input: Relation,
        /// Columns; none means all of a fitting type.
        columns: Vec<String>,
        /// One value for all, or one per column.
        values: Vec<Expr>,
    },
    /// Rows with nulls left out.
    DropNa {
        /// Input.
        input: Relation,
        /// Columns; none means all.
        columns: Vec<String>,
        /// A row stays with at least this many non-null values; none means all.
        min_non_nulls: Option<usize>,
    },
    /// Values replaced.
    Replace {
        /// Input.
        input: Relation,
        /// Columns; none means all of a fitting type.
        columns: Vec<String>,
        /// Old and new value.
        replacements: Vec<(Expr, Expr)>,
    },
    /// Statistics of a relation as a relation.
    Statistics {
        /// Input.
        input: Relation,
        /// Which.
        kind: Statistics,
    },
    /// Text as a table: one string column `value`, laid out as `show()` prints it.
    ShowString {
        /// Input.
        input: Relation,
        /// At most this many rows.
        rows: i32,
        /// Longer values are cut; 0 keeps them.
        truncate: i32,
        /// One line per value.
        vertical: bool,
    },
    /// The same as HTML.
    HtmlString {
        /// Input.
        input: Relation,
        /// At most this many rows.
        rows: i32,
        /// Longer values are cut; 0 keeps them.
        truncate: i32,
    },
    /// JSON or CSV documents in a string column, as a table.
    Parse {
        /// One string column.
        input: Relation,
        /// `json` or `csv`.
        format: String,
        /// Schema, inferred if absent.
        schema: Option<SchemaRef>,
        /// Reader options.
        options: Options,
    },
    /// A relation for each row of the left side.
    LateralJoin {
        /// Left.
        left: Relation,
        /// Right, may refer to columns of the left.
        right: Relation,
        /// Condition.
        condition: Option<Expr>,
        /// `Inner`, `LeftOuter` or `Cross`.
        kind: JoinKind,
    },
    /// `mapInPandas`, `mapInArrow`.
    MapPartitions {
        /// Input.
        input: Relation,
        /// The function.
        function: PythonUdf,
    },
    /// Grouped Python functions: `applyInPandas`, `applyInArrow`, `transformWithState`, `applyInPandasWithState`.
    GroupMap {
        /// Input.
        input: Relation,
        /// Keys.
        keys: Vec<Expr>,
        /// The function.
        function: PythonUdf,
        /// What kind, for messages.
        method: String,
    },
    /// An answer of the catalog as a relation (`spark.catalog.listTables()`, `SHOW TABLES`).
    Catalog(CatalogQuery),
}

/// Reading from a data source.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DataSourceRead {
    /// `json`, `csv`, `rate`, …; none means `parquet`.
    pub format: Option<String>,
    /// DDL or JSON text, as the user gave it.
    pub schema: Option<String>,
    /// Options.
    pub options: Options,
    /// Paths, may hold wildcards.
    pub paths: Vec<String>,
    /// `readStream`.
    pub streaming: bool,
}

/// A join.
#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    /// Left side.
    pub left: Relation,
    /// Right side.
    pub right: Relation,
    /// `ON`.
    pub condition: Option<Expr>,
    /// `USING`: these columns occur once in the result.
    pub using: Vec<String>,
    /// `NATURAL`: `USING` all shared names.
    pub natural: bool,
    /// Which rows.
    pub kind: JoinKind,
}

/// Which rows a join gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    /// Pairs.
    Inner,
    /// All pairs.
    Cross,
    /// And left rows without a partner.
    LeftOuter,
    /// And right rows without a partner.
    RightOuter,
    /// And both.
    FullOuter,
    /// Left rows with a partner.
    LeftSemi,
    /// Left rows without one.
    LeftAnti,
}

/// Union, intersection, difference.
#[derive(Debug, Clone, PartialEq)]
pub struct SetOperation {
    /// Left side.
    pub left: Relation,
    /// Right side.
    pub right: Relation,
    /// Which.
    pub kind: SetKind,
    /// Duplicates kept.
    pub all: bool,
    /// Columns matched by name.
    pub by_name: bool,
    /// Missing columns become null (with `by_name`).
    pub allow_missing: bool,
}

/// Kind of a set operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetKind {
    /// Rows of both.
    Union,
    /// Rows in both.
    Intersect,
    /// Rows of the left that are not in the right.
    Except,
}

/// `GROUP BY`.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// Input.
    pub input: Relation,
    /// How keys become groups.
    pub grouping: Grouping,
    /// Keys; in SQL they may be ordinals or aliases of `expressions`.
    pub keys: Vec<Expr>,
    /// Result columns. From the protocol: aggregates only, the keys come first; from SQL: the whole select list.
    pub expressions: Vec<Expr>,
    /// Whether the keys precede `expressions` in the result (protocol) or not (SQL).
    pub keys_first: bool,
    /// `HAVING`.
    pub having: Option<Expr>,
}

/// How keys become groups.
#[derive(Debug, Clone, PartialEq)]
pub enum Grouping {
    /// One group per combination.
    Keys,
    /// Prefixes of the keys.
    Rollup,
    /// Subsets of the keys.
    Cube,
    /// Given subsets.
    Sets(Vec<Vec<Expr>>),
    /// A column's values become columns. Without keys and with `keys_first` unset (SQL), all columns that neither the pivot column
    /// nor the aggregates mention are keys.
    Pivot {
        /// The column.
        column: Box<Expr>,
        /// Its values; looked up if empty.
        values: Vec<Expr>,
    },
    /// `GROUP BY ALL`.
    All,
}

/// Statistics of a relation.
#[derive(Debug, Clone, PartialEq)]
pub enum Statistics {
    /// `summary(…)`.
    Summary(Vec<String>),
    /// `describe(…)`.
    Describe(Vec<String>),
    /// `crosstab`.
    Crosstab(String, String),
    /// `cov`.
    Covariance(String, String),
    /// `corr` with its method.
    Correlation(String, String, Option<String>),
    /// `approxQuantile`: columns, probabilities, relative error.
    ApproxQuantile(Vec<String>, Vec<f64>, f64),
    /// `freqItems`: columns, support.
    FrequentItems(Vec<String>, Option<f64>),
    /// `sampleBy`: column, fraction per value, seed.
    SampleBy(Box<Expr>, Vec<(Expr, f64)>, Option<i64>),
}

/// Questions to the catalog, by the name of the method and its arguments.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogQuery {
    /// The method in snake case: `list_tables`, `current_database`, `table_exists`, `show_tables`, ….
    pub method: String,
    /// Arguments by parameter name.
    pub arguments: Options,
    /// Schema of `create_table`.
    pub schema: Option<SchemaRef>,
}
