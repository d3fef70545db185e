//! What a join of streams must fulfil: its output mode, and event times by which the state of its sides ends.

use std::collections::HashSet;

use datafusion::common::{DFSchema, ExprSchema, JoinType};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, Join, Operator};
use millstream_formats::condition::SparkError;

use super::streams::{has_event_time, is_streaming};
use super::{OutputMode, legacy};

/// Fails for a join that no streaming query can run.
pub fn check(join: &Join, mode: OutputMode) -> Result<(), SparkError> {
    let (left, right) = (is_streaming(&join.left), is_streaming(&join.right));
    if left && right {
        return check_two_streams(join, mode);
    }
    let message = match (join.join_type, left, right) {
        (JoinType::Full, true, false) => {
            "FullOuter joins with streaming DataFrames/Datasets on the left and a static DataFrame/Dataset on the right is not \
             supported;"
        }
        (JoinType::Full, false, true) => {
            "FullOuter joins with streaming DataFrames/Datasets on the right and a static DataFrame/Dataset on the left is not \
             supported;"
        }
        (JoinType::LeftAnti, _, true) => return Err(anti_join()),
        (JoinType::Left | JoinType::LeftSemi, false, true) => {
            let name = name(join.join_type);
            return Err(legacy(format!(
                "{name} join with a streaming DataFrame/Dataset on the right and a static DataFrame/Dataset on the left is not \
                 supported;"
            )));
        }
        (JoinType::Right, true, false) => {
            "RightOuter join with a streaming DataFrame/Dataset on the left and a static DataFrame/DataSet on the right not \
             supported;"
        }
        _ => return Ok(()),
    };
    Err(legacy(message))
}

fn anti_join() -> SparkError {
    legacy("LeftAnti joins with a streaming DataFrame/Dataset on the right are not supported;")
}

fn name(join_type: JoinType) -> &'static str {
    match join_type {
        JoinType::Left => "LeftOuter",
        JoinType::Right => "RightOuter",
        JoinType::Full => "FullOuter",
        JoinType::LeftSemi => "LeftSemi",
        JoinType::LeftAnti => "LeftAnti",
        _ => "Inner",
    }
}

fn check_two_streams(join: &Join, mode: OutputMode) -> Result<(), SparkError> {
    let name = name(join.join_type);
    match join.join_type {
        JoinType::LeftAnti => return Err(anti_join()),
        JoinType::Inner if mode == OutputMode::Complete => {
            return Err(legacy(format!(
                "{name} join between two streaming DataFrames/Datasets is not supported in {} output mode, only in Append and \
                 Update output modes;",
                mode
            )));
        }
        JoinType::Inner => return Ok(()),
        _ if mode != OutputMode::Append => {
            return Err(legacy(format!(
                "{name} join between two streaming DataFrames/Datasets is not supported in {} output mode, only in Append output \
                 mode;",
                mode
            )));
        }
        _ => {}
    }
    let (left, right) = (join.left.schema(), join.right.schema());
    let bounded = match join.join_type {
        JoinType::Left | JoinType::LeftSemi => is_bounded(join, left, right),
        JoinType::Right => is_bounded(join, right, left),
        _ => is_bounded(join, left, right) || is_bounded(join, right, left),
    };
    if bounded || has_time_in_keys(join) {
        return Ok(());
    }
    Err(legacy(format!(
        "Stream-stream {name} join between two streaming DataFrame/Datasets is not supported without a watermark in the join \
         keys, or a watermark on the nullable side and an appropriate range condition;"
    )))
}

fn conditions(join: &Join) -> Vec<&Expr> {
    join.filter.iter().flat_map(split_conjunction).collect()
}

/// `l op r` for `< <= > >= =`, also if the comparison is a function.
fn comparison(expr: &Expr) -> Option<(&str, &Expr, &Expr)> {
    match expr {
        Expr::BinaryExpr(binary) => {
            let op = match binary.op {
                Operator::Lt => "<",
                Operator::LtEq => "<=",
                Operator::Gt => ">",
                Operator::GtEq => ">=",
                Operator::Eq => "=",
                _ => return None,
            };
            Some((op, &binary.left, &binary.right))
        }
        Expr::ScalarFunction(call) => match (call.func.name(), call.args.as_slice()) {
            (op @ ("<" | "<=" | ">" | ">=" | "="), [l, r]) => Some((op, l, r)),
            _ => None,
        },
        _ => None,
    }
}

fn equal_sides(expr: &Expr) -> Option<(&Expr, &Expr)> {
    comparison(expr).filter(|(op, ..)| *op == "=").map(|(_, l, r)| (l, r))
}

/// Whether event time with a watermark is among the keys of either side.
fn has_time_in_keys(join: &Join) -> bool {
    let schemas: [&DFSchema; 2] = [join.left.schema(), join.right.schema()];
    let marked = |e: &Expr| match e {
        Expr::Column(c) => schemas.iter().any(|s| s.field_from_column(c).is_ok_and(|f| has_event_time(f))),
        _ => false,
    };
    let on = join.on.iter().map(|(l, r)| (l, r));
    on.chain(conditions(join).into_iter().filter_map(equal_sides)).any(|(l, r)| marked(l) || marked(r))
}

/// Whether a condition says that a column of `state` is later than event time of `other`, so that the watermark of `other`
/// tells which rows of `state` find no match any more.
fn is_bounded(join: &Join, state: &DFSchema, other: &DFSchema) -> bool {
    conditions(join).into_iter().any(|condition| match comparison(condition) {
        Some(("<" | "<=", smaller, larger)) => bounds(smaller, larger, state, other),
        Some((">" | ">=", larger, smaller)) => bounds(smaller, larger, state, other),
        _ => false,
    })
}

/// Whether `smaller < larger` solves to `other's event time + constant < state's column`.
fn bounds(smaller: &Expr, larger: &Expr, state: &DFSchema, other: &DFSchema) -> bool {
    let mut terms: Vec<(String, bool)> = Vec::new();
    collect_terms(smaller, true, &mut terms);
    collect_terms(larger, false, &mut terms);
    let of = |schema: &DFSchema| -> Vec<(&str, bool)> {
        let mine = |(name, _): &&(String, bool)| schema.has_column_with_unqualified_name(name);
        terms.iter().filter(mine).map(|(name, sign)| (name.as_str(), *sign)).collect()
    };
    let (states, others) = (of(state), of(other));
    let distinct = |terms: &[(&str, bool)]| terms.iter().map(|(name, _)| *name).collect::<HashSet<_>>().len();
    let marked =
        others.iter().any(|(name, _)| other.field_with_unqualified_name(name).is_ok_and(|f| has_event_time(f)));
    distinct(&states) == 1
        && distinct(&others) == 1
        && marked
        && states.len() == 1
        && states.iter().all(|(_, sign)| !sign)
}

/// Columns of a sum with their signs.
fn collect_terms(expr: &Expr, positive: bool, terms: &mut Vec<(String, bool)>) {
    match expr {
        Expr::Column(column) => terms.push((column.name.clone(), positive)),
        Expr::BinaryExpr(binary) => {
            collect_terms(&binary.left, positive, terms);
            collect_terms(&binary.right, positive != (binary.op == Operator::Minus), terms);
        }
        Expr::Negative(child) => collect_terms(child, !positive, terms),
        Expr::Cast(cast) => collect_terms(&cast.expr, positive, terms),
        Expr::Alias(alias) => collect_terms(&alias.expr, positive, terms),
        Expr::ScalarFunction(call) => {
            let negates = |at: usize| match call.func.name() {
                "-" => at == 1 || call.args.len() == 1,
                "negative" => true,
                _ => false,
            };
            for (at, argument) in call.args.iter().enumerate() {
                collect_terms(argument, positive != negates(at), terms);
            }
        }
        _ => {}
    }
}
