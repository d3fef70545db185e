//! The aggregate below a select list.
//!
//! Keys become plain columns of a projection below the aggregate, so that its grouping expressions are columns only; each
//! distinct aggregate call gets a column of its own. What stands in the select list is rewritten over these columns.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, BinaryExpr, Expr, Extension, GroupingSet, LogicalPlan, Operator, cast, lit};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;

use super::errors;
use super::expression::columns_of;
use super::rel::{Metadata, Rel, alias, column, fresh_name, planner_error, project_plan};
use super::time_window::SESSION_WINDOW;
use crate::nodes::SessionAggregate;
use crate::resolved::Attribute;

/// How rows are grouped.
#[derive(Debug, Clone)]
pub struct Grouping {
    /// Keys: the column each becomes, and its value over the input.
    pub keys: Vec<(Attribute, Expr)>,
    /// Grouping sets as indices of keys.
    pub sets: Option<Vec<Vec<usize>>>,
    /// Whether there is a `GROUP BY`.
    pub explicit: bool,
    /// Columns that aggregate calls have been given, the same each time the aggregate is built.
    pub calls: Calls,
}

/// Aggregate calls and the columns they become.
pub type Calls = Rc<RefCell<Vec<(Expr, String)>>>;

impl Grouping {
    /// One group of all rows, since the select list holds aggregates.
    pub fn global() -> Self {
        Self { keys: Vec::new(), sets: None, explicit: false, calls: Calls::default() }
    }

    fn column_of(&self, call: &Expr) -> String {
        let mut calls = self.calls.borrow_mut();
        if let Some((_, name)) = calls.iter().find(|(known, _)| known == call) {
            return name.clone();
        }
        let name = fresh_name();
        calls.push((call.clone(), name.clone()));
        name
    }

    fn key_for(&self, expr: &Expr) -> Option<&Attribute> {
        // A constant is its own value, whether it is a key or not.
        if matches!(expr, Expr::Literal(..)) {
            return None;
        }
        self.keys.iter().find(|(_, key)| key == expr).map(|(attribute, _)| attribute)
    }
}

/// Puts an aggregate over `input` and rewrites `exprs`, which are over the input, to expressions over its result. Columns that
/// the input does not have belong to the operator above and are let through.
///
/// # Errors
/// `MISSING_AGGREGATION`, `MISSING_GROUP_BY`.
pub fn aggregate_stage(input: Rel, grouping: &Grouping, exprs: Vec<Expr>) -> Result<(Rel, Vec<Expr>), SparkError> {
    let mut calls: Vec<(Expr, String)> = Vec::new();
    let rewritten =
        exprs.into_iter().map(|e| rewrite(e, grouping, &mut calls)).collect::<Result<Vec<_>, SparkError>>()?;
    check_columns(&rewritten, &input, grouping, &calls)?;

    let keyed = compute_keys(&input, grouping)?;
    let mut aggregates: Vec<Expr> =
        calls.iter().map(|(call, name)| alias(call.clone(), name, &Metadata::new())).collect();
    if aggregates.is_empty() && grouping.keys.is_empty() {
        aggregates.push(alias(row_count(), &fresh_name(), &Metadata::new()));
    }
    let plan = aggregate_plan(keyed, grouping, aggregates)?;
    let output: Vec<Attribute> = grouping
        .keys
        .iter()
        .map(|(a, _)| Attribute { nullable: a.nullable || grouping.sets.is_some(), ..a.clone() })
        .collect();
    let mut rel = input.with_columns(plan, output, Vec::new());
    rel = with_ungrouped_keys(rel, grouping)?;
    Ok((rel, rewritten))
}

fn aggregate_plan(input: LogicalPlan, grouping: &Grouping, aggregates: Vec<Expr>) -> Result<LogicalPlan, SparkError> {
    let input = Arc::new(input);
    let session = grouping.keys.iter().position(|(a, _)| a.metadata.contains_key(SESSION_WINDOW));
    match session {
        Some(session) if is_new_session(&input, &grouping.keys[session].0) => {
            if grouping.sets.is_some() {
                return Err(SparkError::unsupported("session_window() with grouping sets"));
            }
            let keys = grouping.keys.iter().map(|(a, _)| Column::new_unqualified(&a.column)).collect();
            let node = SessionAggregate::try_new(input, keys, session, aggregates).map_err(planner_error)?;
            Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
        }
        _ => Aggregate::try_new(input, group_exprs(grouping), aggregates)
            .map(LogicalPlan::Aggregate)
            .map_err(planner_error),
    }
}

/// Whether the sessions of a key are still those of single rows: made right below, not by an aggregation further down.
fn is_new_session(input: &LogicalPlan, key: &Attribute) -> bool {
    match input {
        LogicalPlan::Projection(projection) => {
            let made = projection.expr.iter().find_map(|e| match e {
                Expr::Alias(a) if a.name == key.column => Some(a.expr.as_ref()),
                _ => None,
            });
            match made {
                Some(Expr::Column(_)) | None => is_new_session(&projection.input, key),
                Some(_) => true,
            }
        }
        LogicalPlan::Filter(filter) => is_new_session(&filter.input, key),
        _ => false,
    }
}

fn row_count() -> Expr {
    datafusion::functions_aggregate::count::count_udaf().call(vec![lit(1_i64)])
}

/// Keys that no grouping set holds are null in all rows.
fn with_ungrouped_keys(rel: Rel, grouping: &Grouping) -> Result<Rel, SparkError> {
    let schema = rel.plan.schema();
    let missing: Vec<&Attribute> =
        grouping.keys.iter().map(|(a, _)| a).filter(|a| !schema.has_column_with_unqualified_name(&a.column)).collect();
    if missing.is_empty() {
        return Ok(rel);
    }
    let mut exprs: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
    for attribute in missing {
        let null = ScalarValue::try_new_null(&attribute.data_type).map_err(planner_error)?;
        exprs.push(alias(Expr::Literal(null, None), &attribute.column, &attribute.metadata));
    }
    let plan = project_plan(rel.plan.clone(), exprs)?;
    Ok(Rel { plan, ..rel })
}

/// Replaces keys and aggregate calls by the columns they become.
fn rewrite(expr: Expr, grouping: &Grouping, calls: &mut Vec<(Expr, String)>) -> Result<Expr, SparkError> {
    let transformed = expr.transform_down(|e| {
        if let Some(key) = grouping.key_for(&e) {
            return Ok(Transformed::new(column(&key.column), true, TreeNodeRecursion::Jump));
        }
        match &e {
            Expr::AggregateFunction(call) if is_grouping_marker(call) => {
                let value = grouping_value(call, grouping)?;
                Ok(Transformed::new(value, true, TreeNodeRecursion::Jump))
            }
            Expr::AggregateFunction(_) => {
                let known = calls.iter().find(|(call, _)| *call == e).map(|(_, name)| name.clone());
                let name = known.unwrap_or_else(|| {
                    let name = grouping.column_of(&e);
                    calls.push((e.clone(), name.clone()));
                    name
                });
                Ok(Transformed::new(column(&name), true, TreeNodeRecursion::Jump))
            }
            _ => Ok(Transformed::no(e)),
        }
    });
    transformed.map(|t| t.data).map_err(planner_error)
}

/// Fails for a column of the input that is left although it is no key.
fn check_columns(exprs: &[Expr], input: &Rel, grouping: &Grouping, calls: &[(Expr, String)]) -> Result<(), SparkError> {
    let is_key = |name: &String| grouping.keys.iter().any(|(a, _)| a.column == *name);
    for name in exprs.iter().flat_map(columns_of) {
        let made_here = is_key(&name) || calls.iter().any(|(_, call)| *call == name);
        let of_input = input.plan.schema().has_column_with_unqualified_name(&name);
        if made_here || !of_input {
            continue;
        }
        if !grouping.explicit {
            return Err(errors::missing_group_by());
        }
        let shown =
            input.output.iter().chain(&input.hidden).find(|a| a.column == name).map_or(name.as_str(), |a| &a.name);
        return Err(errors::missing_aggregation(shown));
    }
    Ok(())
}

/// The input with a column for each key.
fn compute_keys(input: &Rel, grouping: &Grouping) -> Result<LogicalPlan, SparkError> {
    let is_plain = |(attribute, expr): &&(Attribute, Expr)| *expr == column(&attribute.column);
    let computed: Vec<&(Attribute, Expr)> = grouping.keys.iter().filter(|key| !is_plain(key)).collect();
    if computed.is_empty() {
        return Ok(input.plan.clone());
    }
    let mut exprs: Vec<Expr> = input.plan.schema().columns().into_iter().map(Expr::Column).collect();
    exprs.extend(computed.iter().map(|(a, e)| alias(e.clone(), &a.column, &a.metadata)));
    project_plan(input.plan.clone(), exprs)
}

fn group_exprs(grouping: &Grouping) -> Vec<Expr> {
    let key = |i: &usize| grouping.keys.get(*i).map(|(a, _)| column(&a.column));
    match &grouping.sets {
        Some(sets) => {
            let sets = sets.iter().map(|set| set.iter().filter_map(key).collect()).collect();
            vec![Expr::GroupingSet(GroupingSet::GroupingSets(sets))]
        }
        None => {
            let mut seen = HashSet::new();
            grouping
                .keys
                .iter()
                .filter(|(a, _)| seen.insert(a.column.clone()))
                .map(|(a, _)| column(&a.column))
                .collect()
        }
    }
}

fn is_grouping_marker(call: &AggregateFunction) -> bool {
    call.func.name() == "grouping"
}

/// `grouping(key)` or `grouping_id(keys)` from DataFusion's id of the grouping set: one bit per key in the order of the
/// sets, the last key lowest, set if the key is aggregated away.
fn grouping_value(call: &AggregateFunction, grouping: &Grouping) -> datafusion::common::Result<Expr> {
    let Some(sets) = &grouping.sets else {
        return Err(external(errors::analysis(
            "UNSUPPORTED_GROUPING_EXPRESSION",
            "42K0E",
            "grouping()/grouping_id() can only be used with GroupingSets/Cube/Rollup.",
        )));
    };
    let mut order: Vec<usize> = Vec::new();
    for index in sets.iter().flatten() {
        if !order.contains(index) {
            order.push(*index);
        }
    }
    let id = cast(column(Aggregate::INTERNAL_GROUPING_ID), DataType::Int64);
    let mut value: Option<Expr> = None;
    let wanted: Vec<Expr> = if call.params.args.is_empty() {
        grouping.keys.iter().map(|(_, e)| e.clone()).collect()
    } else {
        call.params.args.clone()
    };
    let count = wanted.len();
    for (i, argument) in wanted.iter().enumerate() {
        let key = grouping.keys.iter().position(|(_, e)| e == argument).ok_or_else(|| {
            external(errors::analysis(
                "GROUPING_COLUMN_MISMATCH",
                "42803",
                "Column of grouping can't be found in grouping columns.",
            ))
        })?;
        // A key that no set holds is always aggregated away.
        let bit = match order.iter().position(|k| *k == key) {
            Some(at) => {
                let shifted = binary(id.clone(), Operator::BitwiseShiftRight, lit((order.len() - 1 - at) as i64));
                binary(shifted, Operator::BitwiseAnd, lit(1_i64))
            }
            None => lit(1_i64),
        };
        let placed = binary(bit, Operator::BitwiseShiftLeft, lit((count - 1 - i) as i64));
        value = Some(match value {
            Some(sum) => binary(sum, Operator::BitwiseOr, placed),
            None => placed,
        });
    }
    let value = value.unwrap_or_else(|| lit(0_i64));
    Ok(if call.params.distinct { cast(value, DataType::Int8) } else { value })
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

fn external(error: SparkError) -> datafusion::common::DataFusionError {
    datafusion::common::DataFusionError::External(Box::new(error))
}
