//! `EXISTS` and `IN` over a subquery as values of a select list.
//!
//! DataFusion takes such subqueries apart in filters only. Here each becomes a join that adds a column which is true for the
//! rows that have a match; as in Spark it is false, not null, for a row that would match if a null were known.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinConstraint, JoinType, NullEquality};
use datafusion::logical_expr::logical_plan::Subquery;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Expr, Join, LogicalPlan, lit};
use millstream_formats::condition::SparkError;

use super::limit::filter_plan;
use super::rel::{Metadata, Rel, alias, column, fresh_name, planner_error, project_plan};

/// The column that DataFusion's mark joins add.
const MARK: &str = "mark";

/// Puts joins over `input` for the subqueries in `exprs`, and rewrites `exprs` over the result.
pub fn existence_stage(input: Rel, exprs: Vec<Expr>) -> Result<(Rel, Vec<Expr>), SparkError> {
    let mut tests: Vec<(Expr, String)> = Vec::new();
    let mut rewritten = Vec::with_capacity(exprs.len());
    for expr in exprs {
        let replaced = expr.transform_down(|e| {
            let negated = match &e {
                Expr::InSubquery(test) => test.negated,
                Expr::Exists(test) => test.negated,
                _ => return Ok(Transformed::no(e)),
            };
            let known = tests.iter().find(|(test, _)| *test == e).map(|(_, name)| name.clone());
            let name = known.unwrap_or_else(|| {
                let name = fresh_name();
                tests.push((e, name.clone()));
                name
            });
            let mark = if negated { Expr::Not(Box::new(column(&name))) } else { column(&name) };
            Ok(Transformed::new(mark, true, TreeNodeRecursion::Jump))
        });
        rewritten.push(replaced.map_err(planner_error)?.data);
    }
    let mut plan = input.plan.clone();
    for (test, name) in tests {
        plan = marked(plan, test, &name)?;
    }
    Ok((Rel { plan, ..input }, rewritten))
}

/// The plan with a column that says which rows pass the test.
fn marked(left: LogicalPlan, test: Expr, name: &str) -> Result<LogicalPlan, SparkError> {
    let (subquery, value) = match test {
        Expr::InSubquery(test) => (test.subquery, Some(*test.expr)),
        Expr::Exists(test) => (test.subquery, None),
        _ => return Err(SparkError::internal("no test of existence")),
    };
    let Match { right, wanted, mut conditions } = Match::of(&subquery)?;
    if let Some(value) = value {
        let wanted = wanted.ok_or_else(|| SparkError::internal("an IN subquery without a column"))?;
        conditions.push(value.eq(wanted));
    }
    let condition = conjunction(conditions).unwrap_or_else(|| lit(true));
    let mut exprs: Vec<Expr> = left.schema().columns().into_iter().map(Expr::Column).collect();
    exprs.push(alias(column(MARK), name, &Metadata::new()));
    let join = Join::try_new(
        Arc::new(left),
        Arc::new(right),
        vec![],
        Some(condition),
        JoinType::LeftMark,
        JoinConstraint::On,
        NullEquality::NullEqualsNothing,
        false,
    )
    .map_err(planner_error)?;
    project_plan(LogicalPlan::Join(join), exprs)
}

/// A subquery as the right side of a join.
struct Match {
    right: LogicalPlan,
    /// Its first column.
    wanted: Option<Expr>,
    /// What of its filter looks at the query around.
    conditions: Vec<Expr>,
}

impl Match {
    fn of(subquery: &Subquery) -> Result<Self, SparkError> {
        let plan = subquery.subquery.as_ref();
        let first = plan.schema().columns().into_iter().next().map(Expr::Column);
        if subquery.outer_ref_columns.is_empty() {
            return Ok(Self { right: plan.clone(), wanted: first, conditions: vec![] });
        }
        let (mut plan, mut wanted) = (plan, first);
        loop {
            match plan {
                LogicalPlan::Projection(projection) => {
                    wanted = wanted.map(|w| through(&w, &projection.expr));
                    plan = &projection.input;
                }
                LogicalPlan::Filter(filter) => {
                    let (outer, inner): (Vec<&Expr>, Vec<&Expr>) =
                        split_conjunction(&filter.predicate).into_iter().partition(|e| e.contains_outer());
                    let rest = conjunction(inner.into_iter().cloned());
                    let right = match rest {
                        Some(rest) => filter_plan(filter.input.as_ref().clone(), rest)?,
                        None => filter.input.as_ref().clone(),
                    };
                    if !right.all_out_ref_exprs().is_empty() || wanted.as_ref().is_some_and(Expr::contains_outer) {
                        break;
                    }
                    let conditions = outer.into_iter().cloned().map(without_outer).collect::<Result<_, _>>()?;
                    return Ok(Self { right, wanted, conditions });
                }
                _ => break,
            }
        }
        Err(SparkError::unsupported("A correlated subquery of this form in a select list"))
    }
}

/// A column of a projection as an expression over its input.
fn through(wanted: &Expr, projected: &[Expr]) -> Expr {
    let Expr::Column(wanted_column) = wanted else { return wanted.clone() };
    let found = projected.iter().find_map(|e| match e {
        Expr::Alias(a) if a.name == wanted_column.name => Some(a.expr.as_ref().clone()),
        Expr::Column(c) if c.name == wanted_column.name => Some(e.clone()),
        _ => None,
    });
    found.unwrap_or_else(|| wanted.clone())
}

/// References to the query around become columns of the left side.
fn without_outer(expr: Expr) -> Result<Expr, SparkError> {
    let replaced = expr.transform_up(|e| {
        Ok(match e {
            Expr::OuterReferenceColumn(_, column) => Transformed::yes(Expr::Column(column)),
            other => Transformed::no(other),
        })
    });
    replaced.map(|t| t.data).map_err(planner_error)
}
