//! The analyzer: from the unresolved plan to a DataFusion plan with Spark's names, types, nullability and errors.
//!
//! To follow a relation, start at [`Analyzer::relation`]; to follow an expression, at [`Analyzer::resolve`].
//!
//! # Invariants
//! Every column of a DataFusion plan made here has an internal name that is unique in the process (see [`rel`]); names
//! as users know them exist in [`Attribute`](crate::resolved::Attribute)s only. Coercions stand in the expressions:
//! DataFusion's own type coercion finds nothing to do.
//!
//! Not here: which streaming plans Spark refuses ([`crate::unsupported`]), functions (`millstream_functions`).

mod aggregate;
mod aggregate_stage;
mod call;
mod columns;
mod derived;
pub mod errors;
mod existence;
mod expression;
mod join;
mod lambda;
mod limit;
mod named;
mod names;
mod rel;
mod sample;
mod scope;
mod select;
mod set_operation;
mod single_value;
mod source;
mod star;
mod streaming;
mod structs;
mod subquery;
mod time_window;
mod window;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use millstream_formats::condition::SparkError;
use millstream_functions::{FunctionContext, Typed};

pub use rel::Metadata;
use rel::Rel;
pub use sample::SAMPLER;
use scope::{Names, Scope};

use crate::catalog::Catalog;
use crate::ir::{self, Relation, RelationOp};
use crate::resolved::ResolvedPlan;

/// Resolves a relation.
///
/// # Errors
/// Spark's analysis errors; what the catalog cannot give; what is not supported.
pub fn analyze(relation: &Relation, catalog: &dyn Catalog) -> Result<ResolvedPlan, SparkError> {
    let analyzer = Analyzer::new(catalog);
    let resolved = analyzer.relation(relation)?.finish()?;
    Ok(ResolvedPlan { names: Arc::new(analyzer.column_names.into_inner()), ..resolved })
}

/// Resolves an expression that refers to no columns.
///
/// # Errors
/// As [`analyze`].
pub fn analyze_expression(expr: &ir::Expr, catalog: &dyn Catalog) -> Result<Typed, SparkError> {
    let analyzer = Analyzer::new(catalog);
    analyzer.resolve(expr, &Scope::default()).map(|r| r.typed)
}

/// Runs a step of a recursion over a plan or an expression, on a new piece of stack if this one is nearly used up: programs
/// build plans of any depth.
fn with_stack<T>(step: impl FnOnce() -> T) -> T {
    const LEFT_BYTES_MIN: usize = 256 * 1024;
    const PIECE_BYTES: usize = 4 * 1024 * 1024;
    stacker::maybe_grow(LEFT_BYTES_MIN, PIECE_BYTES, step)
}

/// The state of one analysis.
pub(crate) struct Analyzer<'a> {
    catalog: &'a dyn Catalog,
    context: FunctionContext,
    names: Names,
    /// Common table expressions in scope, innermost last.
    tables: RefCell<Vec<(String, Rc<ResolvedPlan>)>>,
    /// Relations that subquery expressions refer to by plan id.
    references: RefCell<HashMap<i64, Rc<Relation>>>,
    /// Relations around the subquery being resolved, innermost last.
    outer: RefCell<Vec<subquery::Outer>>,
    /// Parameters of the SQL text being resolved, innermost last.
    parameters: RefCell<Vec<source::Parameters>>,
    /// Time windows wanted by the operator being resolved.
    windows: time_window::Frames,
    /// The names that internal columns were made with.
    column_names: RefCell<HashMap<String, String>>,
}

impl<'a> Analyzer<'a> {
    fn new(catalog: &'a dyn Catalog) -> Self {
        let case_sensitive = catalog.conf("spark.sql.caseSensitive").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        Self {
            catalog,
            context: catalog.function_context(),
            names: Names { case_sensitive },
            tables: RefCell::default(),
            references: RefCell::default(),
            outer: RefCell::default(),
            parameters: RefCell::default(),
            windows: RefCell::default(),
            column_names: RefCell::default(),
        }
    }

    /// Resolves a relation.
    pub(crate) fn relation(&self, relation: &Relation) -> Result<Rel, SparkError> {
        let rel = with_stack(|| match relation.op.as_ref() {
            RelationOp::DataSource(read) => self.data_source(read, relation.plan_id),
            op => self.operator(op),
        })?;
        rel.output.iter().chain(&rel.hidden).for_each(|a| self.name_column(&a.column, &a.name));
        Ok(rel.named(relation.plan_id))
    }

    /// Remembers the name of an internal column. The first one stays: what is renamed later is a column of its own.
    fn name_column(&self, column: &str, name: &str) {
        let mut names = self.column_names.borrow_mut();
        if !names.contains_key(column) {
            names.insert(column.to_string(), name.to_string());
        }
    }

    /// A plan that was resolved before, as a relation.
    fn resolved(&self, plan: &ResolvedPlan) -> Result<Rel, SparkError> {
        let known = plan.names.iter().map(|(column, name)| (column.clone(), name.clone()));
        self.column_names.borrow_mut().extend(known);
        Rel::from_resolved(plan)
    }

    fn operator(&self, op: &RelationOp) -> Result<Rel, SparkError> {
        match op {
            RelationOp::OneRow => source::one_row(),
            RelationOp::Table { name, options, streaming } => self.table(name, options, *streaming),
            RelationOp::DataSource(read) => self.data_source(read, None),
            RelationOp::Local { batches, schema } => source::local(batches, schema),
            RelationOp::Values(rows) => self.values(rows),
            RelationOp::Range { start, end, step, .. } => source::range(*start, *end, *step),
            RelationOp::TableFunction { name, arguments } => self.table_function(name, arguments),
            RelationOp::Sql { text, named, positional } => self.sql(text, named, positional),
            RelationOp::Cached(id) => self.resolved(self.catalog.cached(id)?.as_ref()),
            RelationOp::Catalog(query) => self.catalog_query(query),
            RelationOp::Project { input, expressions } => self.project(input, expressions),
            RelationOp::Filter { input, condition } => self.filter(input, condition),
            RelationOp::Join(join) => self.join(join),
            RelationOp::LateralJoin { left, right, condition, kind } => {
                self.lateral_join(left, right, condition.as_ref(), *kind)
            }
            RelationOp::SetOperation(operation) => self.set_operation(operation),
            RelationOp::Sort { input, order, global } => self.sort(input, order, *global),
            RelationOp::Limit { input, limit } => self.limit(input, limit),
            RelationOp::Offset { input, offset } => self.offset(input, offset),
            RelationOp::Tail { input, limit } => self.tail(input, *limit),
            RelationOp::Aggregate(aggregate) => self.aggregate(aggregate),
            RelationOp::Distinct { input } => self.distinct(input),
            RelationOp::Deduplicate { input, columns, within_watermark } => {
                self.deduplicate(input, columns, *within_watermark)
            }
            RelationOp::SubqueryAlias { input, alias, columns } => self.subquery_alias(input, alias, columns),
            RelationOp::With { tables, recursive, input } => self.with(tables, *recursive, input),
            RelationOp::WithRelations { root, references } => self.with_relations(root, references),
            RelationOp::LateralView { input, generator, outer, alias, columns } => {
                self.lateral_view(input, generator, *outer, alias.as_deref(), columns)
            }
            RelationOp::ToDf { input, names } => self.to_df(input, names),
            RelationOp::WithColumnsRenamed { input, renames } => self.with_columns_renamed(input, renames),
            RelationOp::WithColumns { input, columns } => self.with_columns(input, columns),
            RelationOp::Drop { input, columns, names } => self.drop(input, columns, names),
            RelationOp::ToSchema { input, schema } => self.to_schema(input, schema),
            RelationOp::Repartition { input, expressions, .. } => self.repartition(input, expressions),
            RelationOp::Hint { input, .. } => self.relation(input),
            RelationOp::Sample { input, lower, upper, with_replacement, seed, deterministic_order } => {
                self.sample(input, (*lower, *upper), *with_replacement, *seed, *deterministic_order)
            }
            RelationOp::CollectMetrics { input, name, metrics } => self.observe(input, name, metrics),
            RelationOp::WithWatermark { input, event_time, delay } => self.with_watermark(input, event_time, delay),
            _ => self.derived(op),
        }
    }
}
