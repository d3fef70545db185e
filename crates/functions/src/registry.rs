//! How a function is found and built.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use arrow::datatypes::FieldRef;
use millstream_formats::condition::SparkError;

use crate::Typed;

/// Settings a function is bound to when it is built.
#[derive(Debug, Clone)]
pub struct FunctionContext {
    /// `spark.sql.ansi.enabled`: overflow, division by zero and bad casts are errors.
    pub ansi: bool,
    /// `spark.sql.session.timeZone`: a region id (`Europe/Berlin`) or an offset (`+02:00`).
    pub time_zone: Arc<str>,
    /// What `current_timestamp()` gives, µs since the epoch. A batch query sets it once; a streaming query before each
    /// micro-batch, so kernels read it when they run, never when they are built.
    pub now_us: Arc<AtomicI64>,
    /// User of the session (`current_user()`).
    pub user: Arc<str>,
    /// `current_database()`.
    pub database: Arc<str>,
}

/// Builds a scalar expression from typed arguments; checks their number and types, and coerces them.
pub type BuildScalar = fn(&str, &[Typed], &FunctionContext) -> Result<Typed, SparkError>;

/// Builds an aggregate call.
pub type BuildAggregate = fn(&str, &AggregateCall, &FunctionContext) -> Result<Typed, SparkError>;

/// A function known by name.
#[derive(Clone, Copy)]
pub enum Function {
    /// One value per row.
    ///
    /// The schema that `from_json`, `from_csv` and `from_xml` take as text comes as a null of the type that the text stands for.
    Scalar(BuildScalar),
    /// One value per group. The result's expression is an `Expr::AggregateFunction`, or a scalar expression over such.
    /// The state fields of its UDAF are exactly Spark's aggregation buffer: number, order, types (see
    /// `shared/spec/checkpoint.md` 13), because they become the value rows of a checkpoint.
    Aggregate(BuildAggregate),
    /// A function over a window that is no aggregate (`row_number`, `lag`); result is an `Expr::WindowFunction` without
    /// partitioning, order or frame, which the analyzer fills in.
    Window(BuildScalar),
    /// Several rows per row. The result is one expression of type `List<Struct<columns…>>`, or null for no rows; the names
    /// and types of the struct's fields are those of the columns (`col`; `key`, `value`; `pos`, `col`; …).
    /// `_outer` variants are not functions of their own: the analyzer strips the suffix.
    Generator(BuildScalar),
    /// A function with lambdas among its arguments.
    HigherOrder(HigherOrder),
}

/// An aggregate as written.
#[derive(Debug, Clone)]
pub struct AggregateCall {
    /// Arguments.
    pub arguments: Vec<Typed>,
    /// `DISTINCT`.
    pub distinct: bool,
    /// `IGNORE NULLS`.
    pub ignore_nulls: bool,
    /// `WITHIN GROUP (ORDER BY …)`: key, ascending, nulls first.
    pub within_group: Vec<(Typed, bool, bool)>,
}

/// A lambda whose body has been resolved.
#[derive(Debug, Clone)]
pub struct Lambda {
    /// Parameters; their names are unique in the query.
    pub parameters: Vec<FieldRef>,
    /// The body. Parameters occur in it as unqualified columns of their names, next to columns of the outer row.
    pub body: Typed,
}

/// Types of the parameters of a lambda: name of the function, its arguments that are no lambdas, the lambdas before, index and arity.
pub type LambdaParameters = fn(&str, &[Typed], &[Lambda], usize, usize) -> Result<Vec<FieldRef>, SparkError>;

/// Builds a call with lambdas.
pub type BuildHigherOrder = fn(&str, &[Typed], &[Lambda], &FunctionContext) -> Result<Typed, SparkError>;

/// A function that takes lambdas (`transform`, `filter`, `aggregate`, `zip_with`, …).
#[derive(Clone, Copy)]
pub struct HigherOrder {
    /// Types of the parameters of the `index`-th lambda that has `arity` of them, given the arguments that are no lambdas and
    /// the lambdas before it. Only type and nullability of the fields count.
    pub parameters: LambdaParameters,
    /// Builds the expression. The kernel gets the outer columns that bodies use as further arguments.
    pub build: BuildHigherOrder,
}

/// Where a module answers for the functions it holds; asked with the name in lower case.
type Lookup = fn(&str) -> Option<Function>;

/// Every module with functions. Names do not overlap, so the order does not matter.
#[rustfmt::skip]
const MODULES: &[Lookup] = &[
    crate::aggregate::find,
    crate::conditional::lookup,
    crate::datetime::lookup,
    crate::json::lookup,
    crate::math::lookup,
    crate::misc::lookup,
    crate::nested::lookup,
    crate::operators::lookup,
    crate::text::lookup,
    crate::window::find,
];

/// The function of this name (any case), operators included: `+ - * / % div = <=> < and or not ! & | ^ ~ || [negative …]`,
/// `when`, `in`, `like`, `cast` excluded (the analyzer calls [`crate::cast`]).
pub fn lookup(name: &str) -> Option<Function> {
    let name = name.to_lowercase();
    MODULES.iter().find_map(|module| module(&name))
}
