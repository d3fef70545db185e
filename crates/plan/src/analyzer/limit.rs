//! Filters, sorting and limits; and how they see columns that their input does not give.

use std::rc::Rc;
use std::sync::Arc;

use datafusion::logical_expr::expr::Sort as SortExpr;
use datafusion::logical_expr::{Expr, Filter, Limit, LogicalPlan, Sort, lit};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;

use super::expression::{Resolved, has_aggregate, has_window, strip_alias};
use super::rel::{Origin, Rel, planner_error};
use super::scope::Scope;
use super::select::{Item, check_boolean};
use super::{Analyzer, errors};
use crate::ir::{self, Relation, SortOrder};
use crate::resolved::Attribute;

impl Analyzer<'_> {
    /// `WHERE`.
    pub fn filter(&self, input: &Relation, condition: &ir::Expr) -> Result<Rel, SparkError> {
        let rel = self.relation(input)?;
        self.filtered(rel, condition)
    }

    /// The rows of a relation for which a condition holds.
    pub fn filtered(&self, rel: Rel, condition: &ir::Expr) -> Result<Rel, SparkError> {
        let (rel, (wide, mut resolved)) =
            self.over_time_windows(rel, |rel| self.resolve_wide(rel, &[condition], "Filter"))?;
        let condition = resolved.pop().ok_or_else(|| SparkError::internal("a filter without condition"))?;
        check_boolean(&condition)?;
        if has_aggregate(&condition.typed.expr) || has_window(&condition.typed.expr) {
            let text = strip_alias(&condition);
            return Err(errors::invalid_where(&text, &text));
        }
        let base = wide.unwrap_or(rel);
        let predicate = condition.typed.expr;
        let plan = filter_plan(base.plan.clone(), predicate.clone())?;
        let mut filtered = base.with_plan(plan);
        filtered.origin = Origin::Filter(Rc::new(base), predicate);
        Ok(filtered)
    }

    /// Resolves expressions against a relation; where that fails, also against what lies below its select list. In the second
    /// case the first result is the relation widened by what the expressions need.
    pub fn resolve_wide(
        &self,
        rel: &Rel,
        exprs: &[&ir::Expr],
        place: &str,
    ) -> Result<(Option<Rel>, Vec<Resolved>), SparkError> {
        let scope = Scope::of(rel);
        let direct: Result<Vec<Resolved>, SparkError> =
            exprs.iter().map(|e| self.resolve_scalar(e, &scope, place)).collect();
        let grouped = matches!(&rel.origin, Origin::Select(select) if select.grouping.is_some());
        match direct {
            Ok(resolved) if !(grouped && resolved.iter().any(|r| has_aggregate(&r.typed.expr))) => Ok((None, resolved)),
            Ok(resolved) => match self.resolve_below(rel, exprs, place)? {
                Some((wide, resolved)) => Ok((Some(wide), resolved)),
                None => Ok((None, resolved)),
            },
            Err(error) if errors::is_unresolved_column(&error) => match self.resolve_below(rel, exprs, place) {
                Ok(Some((wide, resolved))) => Ok((Some(wide), resolved)),
                Ok(None) => Err(error),
                // The error that speaks of the columns the user sees is the better one.
                Err(below) if errors::is_unresolved_column(&below) => Err(error),
                Err(below) => Err(below),
            },
            Err(error) => Err(error),
        }
    }

    fn resolve_below(
        &self,
        rel: &Rel,
        exprs: &[&ir::Expr],
        place: &str,
    ) -> Result<Option<(Rel, Vec<Resolved>)>, SparkError> {
        match &rel.origin {
            Origin::Opaque => Ok(None),
            Origin::Filter(input, predicate) => {
                let (wide, resolved) = self.resolve_wide(input, exprs, place)?;
                let Some(wide) = wide else { return Ok(None) };
                let plan = filter_plan(wide.plan.clone(), predicate.clone())?;
                Ok(Some((wide.with_plan(plan), resolved)))
            }
            Origin::Select(select) => {
                let own: Vec<(Attribute, Resolved)> =
                    select.items.iter().flat_map(Item::attributes).map(|a| (a.clone(), Resolved::column(a))).collect();
                let scope = Scope { first: &own, ..Scope::of(&select.input) };
                let resolved: Result<Vec<Resolved>, SparkError> =
                    exprs.iter().map(|e| self.resolve_scalar(e, &scope, place)).collect();
                let (select, mut resolved) = match resolved {
                    Ok(resolved) => (select.as_ref().clone(), resolved),
                    Err(error) if errors::is_unresolved_column(&error) && select.grouping.is_none() => {
                        let Some((wide, resolved)) = self.resolve_below(&select.input, exprs, place)? else {
                            return Err(error);
                        };
                        let mut select = select.as_ref().clone();
                        select.input = wide;
                        (select, resolved)
                    }
                    Err(error) => return Err(error),
                };
                let extras = resolved.iter().map(|r| r.typed.expr.clone()).collect();
                let (wide, extras) = select.build(extras)?;
                for (value, expr) in resolved.iter_mut().zip(extras) {
                    value.typed.expr = expr;
                }
                Ok(Some((wide, resolved)))
            }
        }
    }

    /// `ORDER BY`; within partitions only if not `global`.
    pub fn sort(&self, input: &Relation, order: &[SortOrder], _global: bool) -> Result<Rel, SparkError> {
        let rel = self.relation(input)?;
        self.sorted(rel, order)
    }

    /// A relation in order.
    pub fn sorted(&self, rel: Rel, order: &[SortOrder]) -> Result<Rel, SparkError> {
        let order = self.order_keys(&rel, order)?;
        let exprs: Vec<&ir::Expr> = order.iter().map(|o| &o.expr).collect();
        let (wide, resolved) = self.resolve_wide(&rel, &exprs, "Sort")?;
        let base = wide.as_ref().unwrap_or(&rel);
        let keys = order
            .iter()
            .zip(&resolved)
            .map(|(o, r)| SortExpr::new(r.typed.expr.clone(), o.ascending, o.nulls_first))
            .collect();
        let windowed = resolved.iter().any(|r| has_window(&r.typed.expr));
        if windowed {
            return self.sort_by_windows(base, &rel, &order, resolved);
        }
        let plan = LogicalPlan::Sort(Sort { expr: keys, input: Arc::new(base.plan.clone()), fetch: None });
        let sorted = base.with_plan(plan);
        if wide.is_some() { sorted.pick(rel.output.clone()) } else { Ok(sorted) }
    }

    /// Sort keys that are calls over windows are computed below the sort.
    fn sort_by_windows(
        &self,
        base: &Rel,
        rel: &Rel,
        order: &[SortOrder],
        keys: Vec<Resolved>,
    ) -> Result<Rel, SparkError> {
        let exprs = keys.into_iter().map(|k| k.typed.expr).collect();
        let (windowed, exprs) = super::window::window_stage(base.clone(), exprs)?;
        let keys = order.iter().zip(exprs).map(|(o, e)| SortExpr::new(e, o.ascending, o.nulls_first)).collect();
        let plan = LogicalPlan::Sort(Sort { expr: keys, input: Arc::new(windowed.plan.clone()), fetch: None });
        windowed.with_plan(plan).pick(rel.output.clone())
    }

    /// Ordinals become columns, `ALL` becomes all columns.
    fn order_keys(&self, rel: &Rel, order: &[SortOrder]) -> Result<Vec<SortOrder>, SparkError> {
        let by_column = |o: &SortOrder, a: &Attribute| SortOrder { expr: internal(a), ..o.clone() };
        if let [only] = order
            && let ir::Expr::Attribute(attribute) = &only.expr
            && attribute.plan_id.is_none()
            && matches!(attribute.name.as_slice(), [name] if name.eq_ignore_ascii_case("all"))
            && self.names.find(&attribute.name, &rel.output)?.is_none()
        {
            return Ok(rel.output.iter().map(|a| by_column(only, a)).collect());
        }
        order
            .iter()
            .map(|o| match &o.expr {
                ir::Expr::Literal(ScalarValue::Int32(Some(index))) => {
                    let at = usize::try_from(i64::from(*index) - 1).ok().and_then(|i| rel.output.get(i));
                    let column =
                        at.ok_or_else(|| errors::position_out_of_range("ORDER_BY", (*index).into(), rel.output.len()))?;
                    Ok(by_column(o, column))
                }
                _ => Ok(o.clone()),
            })
            .collect()
    }

    /// The first rows.
    pub fn limit(&self, input: &Relation, limit: &ir::Expr) -> Result<Rel, SparkError> {
        let rel = self.relation(input)?;
        let rows = self.row_count("limit", limit)?;
        Ok(limited(&rel, None, Some(rows)))
    }

    /// All but the first rows.
    pub fn offset(&self, input: &Relation, offset: &ir::Expr) -> Result<Rel, SparkError> {
        let rel = self.relation(input)?;
        let rows = self.row_count("offset", offset)?;
        Ok(limited(&rel, Some(rows), None))
    }

    fn row_count(&self, clause: &str, expr: &ir::Expr) -> Result<i64, SparkError> {
        let resolved = self.resolve(expr, &Scope::default()).map_err(|e| {
            if errors::is_unresolved_column(&e) {
                invalid_limit(clause, "IS_UNFOLDABLE", "the limit", "must fold to a constant")
            } else {
                e
            }
        })?;
        let text = strip_alias(&resolved);
        let value = self.fold(&resolved.typed)?;
        let rows = match value {
            ScalarValue::Int8(Some(n)) => n.into(),
            ScalarValue::Int16(Some(n)) => n.into(),
            ScalarValue::Int32(Some(n)) => n.into(),
            ScalarValue::Int64(Some(n)) => n,
            value if value.is_null() => return Err(invalid_limit(clause, "IS_NULL", &text, "must not be null")),
            _ => {
                let found = Self::type_name(&resolved.typed.data_type);
                return Err(invalid_limit(
                    clause,
                    "DATA_TYPE",
                    &text,
                    &format!("must be integer type, but got \"{found}\""),
                ));
            }
        };
        if rows < 0 {
            return Err(invalid_limit(
                clause,
                "IS_NEGATIVE",
                &text,
                &format!("must be equal to or greater than 0, but got {rows}"),
            ));
        }
        Ok(rows)
    }

    /// The last rows.
    pub fn tail(&self, input: &Relation, limit: i64) -> Result<Rel, SparkError> {
        let rel = self.relation(input)?;
        if rel.streaming {
            return Err(crate::unsupported::batch_only());
        }
        let node = crate::nodes::Tail { input: Arc::new(rel.plan.clone()), rows: usize::try_from(limit).unwrap_or(0) };
        let plan = LogicalPlan::Extension(datafusion::logical_expr::Extension { node: Arc::new(node) });
        Ok(rel.with_plan(plan))
    }

    /// Another partitioning does not change rows; its keys must resolve all the same.
    pub fn repartition(&self, input: &Relation, expressions: &[ir::Expr]) -> Result<Rel, SparkError> {
        let rel = self.relation(input)?;
        for expression in expressions {
            let expression = match expression {
                ir::Expr::SortOrder(order) => &order.expr,
                other => other,
            };
            self.resolve_scalar(expression, &Scope::of(&rel), "RepartitionByExpression")?;
        }
        Ok(rel)
    }
}

/// A reference to a column of this very relation, whatever its user-visible name.
fn internal(attribute: &Attribute) -> ir::Expr {
    ir::Expr::Attribute(ir::Attribute {
        name: vec![attribute.column.clone()],
        plan_id: Some(super::expression::INTERNAL),
        metadata: false,
    })
}

fn invalid_limit(clause: &str, kind: &str, text: &str, what: &str) -> SparkError {
    errors::analysis(
        &format!("INVALID_LIMIT_LIKE_EXPRESSION.{kind}"),
        "42K0E",
        format!("The limit like expression \"{text}\" is invalid. The {clause} expression {what}."),
    )
    .with("name", clause)
    .with("expr", format!("\"{text}\""))
}

/// A filter over a plan.
pub fn filter_plan(input: LogicalPlan, predicate: Expr) -> Result<LogicalPlan, SparkError> {
    Filter::try_new(predicate, Arc::new(input)).map(LogicalPlan::Filter).map_err(planner_error)
}

fn limited(rel: &Rel, skip: Option<i64>, fetch: Option<i64>) -> Rel {
    let constant = |n: i64| Box::new(lit(n));
    let limit = Limit { skip: skip.map(constant), fetch: fetch.map(constant), input: Arc::new(rel.plan.clone()) };
    rel.with_plan(LogicalPlan::Limit(limit))
}
