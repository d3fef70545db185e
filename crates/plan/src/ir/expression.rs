//! Unresolved expressions.

use arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;

use super::Relation;

/// An expression over the columns of a relation.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// A constant.
    Literal(ScalarValue),
    /// A constant by type and text (`DATE'2024-01-01'`, `TIMESTAMP'…'`), cast when it is analyzed because its value may depend on
    /// the session time zone. Text that does not fit is `INVALID_TYPED_LITERAL`.
    TypedLiteral {
        /// Date, time, timestamp or timestamp_ntz. A `TIMESTAMP'…'` without zone is what `spark.sql.timestampType` says.
        data_type: DataType,
        /// The text.
        text: String,
    },
    /// A column, or a field of one: `a`, `t.a`, `a.b.c`, split at the dots and without back-quotes.
    Attribute(Attribute),
    /// `*`, `t.*`, `s.*` (a struct), with what is left out or put in its place.
    Star(Star),
    /// All columns whose name matches a pattern (`df.colRegex`).
    Regex {
        /// The Java pattern, back-quotes kept.
        pattern: String,
        /// The relation it was taken from.
        plan_id: Option<i64>,
    },
    /// A call of a function by name: scalar, aggregate, window or generator; operators are functions too (`+`, `and`).
    Function(Function),
    /// A name for the value, or several for a generator's columns.
    Alias {
        /// The value.
        expr: Box<Expr>,
        /// One name, or one per column of a generator.
        names: Vec<String>,
        /// Column metadata as a JSON object.
        metadata: Option<String>,
    },
    /// A change of type.
    Cast {
        /// The value.
        expr: Box<Expr>,
        /// The new type.
        to: DataType,
        /// `try_cast`: null instead of an error.
        try_cast: bool,
    },
    /// An ordering; only where an ordering may stand.
    SortOrder(Box<SortOrder>),
    /// `(x, y) -> body`.
    Lambda {
        /// The body; parameters occur as [`Expr::LambdaVariable`].
        body: Box<Expr>,
        /// Names of the parameters.
        parameters: Vec<String>,
    },
    /// A parameter of an enclosing lambda; the parser of SQL text leaves these as attributes, the analyzer finds them.
    LambdaVariable(String),
    /// `function OVER (…)`.
    Window {
        /// The function.
        function: Box<Expr>,
        /// `PARTITION BY`.
        partition_by: Vec<Expr>,
        /// `ORDER BY`.
        order_by: Vec<SortOrder>,
        /// The frame, absent for the default one.
        frame: Option<WindowFrame>,
    },
    /// `child[key]`: element of an array or map, field of a struct (also of an array of structs).
    ExtractValue {
        /// The collection or struct.
        child: Box<Expr>,
        /// Index, key or field name.
        key: Box<Expr>,
    },
    /// `withField`, or `dropFields` if there is no value.
    UpdateField {
        /// The struct.
        child: Box<Expr>,
        /// Field, may be dotted.
        field: String,
        /// The new value.
        value: Option<Box<Expr>>,
    },
    /// `name => value`.
    NamedArgument {
        /// Parameter.
        name: String,
        /// Argument.
        value: Box<Expr>,
    },
    /// SQL text of one expression (`expr("…")`), parsed when it is analyzed.
    SqlText(String),
    /// A subquery.
    Subquery {
        /// How its rows become a value.
        kind: SubqueryKind,
        /// The relation, or a reference to one of [`super::RelationOp::WithRelations`] by plan id.
        relation: SubqueryRelation,
    },
    /// A parameter of `spark.sql(text, args)`: `:name`, or `?` by position.
    Parameter(Parameter),
    /// User code in Python, run by a worker.
    PythonUdf(Box<PythonUdf>),
}

/// A reference to a column.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// Parts of the name.
    pub name: Vec<String>,
    /// `df.col`: the relation it must come from.
    pub plan_id: Option<i64>,
    /// `df.metadataColumn(…)`.
    pub metadata: bool,
}

/// `*` and its variations.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Star {
    /// What stands before the star: a relation's alias or a struct column.
    pub target: Option<Vec<String>>,
    /// `df["*"]`.
    pub plan_id: Option<i64>,
    /// `EXCEPT (a, b.c)`.
    pub except: Vec<Vec<String>>,
}

/// A call of a function.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Function {
    /// As written; looked up without regard to case.
    pub name: String,
    /// Arguments in order.
    pub arguments: Vec<Expr>,
    /// `f(DISTINCT …)`.
    pub distinct: bool,
    /// `FILTER (WHERE …)`.
    pub filter: Option<Box<Expr>>,
    /// `IGNORE NULLS` / `RESPECT NULLS`.
    pub ignore_nulls: Option<bool>,
    /// `WITHIN GROUP (ORDER BY …)`.
    pub within_group: Vec<SortOrder>,
}

/// One sort key.
#[derive(Debug, Clone, PartialEq)]
pub struct SortOrder {
    /// The key.
    pub expr: Expr,
    /// Smallest first.
    pub ascending: bool,
    /// Nulls before other values; Spark's default is to put them first when ascending, last when descending.
    pub nulls_first: bool,
}

/// Frame of a window function.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowFrame {
    /// `ROWS` (true) or `RANGE`.
    pub rows: bool,
    /// Start.
    pub lower: FrameBound,
    /// End.
    pub upper: FrameBound,
}

/// Border of a frame.
#[derive(Debug, Clone, PartialEq)]
pub enum FrameBound {
    /// `UNBOUNDED PRECEDING` as a lower, `UNBOUNDED FOLLOWING` as an upper border.
    Unbounded,
    /// `CURRENT ROW`.
    CurrentRow,
    /// An offset; negative is preceding.
    Value(Box<Expr>),
}

/// How the rows of a subquery become a value.
#[derive(Debug, Clone, PartialEq)]
pub enum SubqueryKind {
    /// One value; null without rows.
    Scalar,
    /// Whether there is a row.
    Exists,
    /// Whether the values are among the rows.
    In(Vec<Expr>),
}

/// Where a subquery's relation stands.
#[derive(Debug, Clone, PartialEq)]
pub enum SubqueryRelation {
    /// Here.
    Inline(Box<Relation>),
    /// Among the references of the enclosing `WithRelations`.
    PlanId(i64),
}

/// A parameter of SQL text.
#[derive(Debug, Clone, PartialEq)]
pub enum Parameter {
    /// `:name`.
    Named(String),
    /// The n-th `?`, from 0.
    Position(usize),
}

/// A pickled Python function, as the client sends it.
#[derive(Debug, Clone, PartialEq)]
pub struct PythonUdf {
    /// Name for messages and columns.
    pub name: String,
    /// Pickled pair of function and return type.
    pub command: Vec<u8>,
    /// `eval_type` of PySpark's worker protocol.
    pub eval_type: i32,
    /// Python version of the client, `3.11`.
    pub python_version: String,
    /// Type of the result.
    pub output_type: DataType,
    /// Same result for the same arguments.
    pub deterministic: bool,
    /// Arguments.
    pub arguments: Vec<Expr>,
}

impl Expr {
    /// A column by its parts, not bound to a relation.
    pub fn attribute<S: Into<String>>(parts: impl IntoIterator<Item = S>) -> Self {
        Expr::Attribute(Attribute { name: parts.into_iter().map(Into::into).collect(), plan_id: None, metadata: false })
    }

    /// A call of a function by name.
    pub fn call(name: &str, arguments: Vec<Expr>) -> Self {
        Expr::Function(Function { name: name.to_string(), arguments, ..Function::default() })
    }

    /// A string constant.
    pub fn string(value: impl Into<String>) -> Self {
        Expr::Literal(ScalarValue::Utf8(Some(value.into())))
    }

    /// This value under a name.
    #[must_use]
    pub fn alias(self, name: impl Into<String>) -> Self {
        Expr::Alias { expr: Box::new(self), names: vec![name.into()], metadata: None }
    }
}
