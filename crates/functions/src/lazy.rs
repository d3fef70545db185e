//! `AND` and `OR` whose right side runs only for the rows that the left side does not decide.
//!
//! Spark evaluates them row by row and stops early, so `x <> 0 AND 1 / x > 2` never divides by zero, nor do two filters one
//! after the other. DataFusion evaluates both sides over most batches, and its optimizer merges filters. [`make_lazy`] is the
//! last step of planning: a right side that ordinary values make fail ([`crate::kernel::is_fallible`]) goes behind a `CASE`,
//! whose branches DataFusion does evaluate only for their rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, PrimitiveArray};
use arrow::compute::{and_kleene, or_kleene};
use arrow::datatypes::{DataType, Int8Type};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{BinaryExpr, Case, Expr, LogicalPlan, Operator};
use datafusion::scalar::ScalarValue;

use crate::Typed;
use crate::kernel::{Kernel, boolean, is_fallible, primitive};

/// The plan with lazy conditions. To be called once, after the optimizer: it would take the `CASE` apart again.
///
/// # Errors
/// If the plan cannot be rewritten, which is a bug.
pub fn make_lazy(plan: LogicalPlan) -> Result<LogicalPlan> {
    let lazy = plan.transform_up_with_subqueries(|plan| {
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(lazy_expr(expr)?.update_data(|expr| name.restore(expr)))
        })
    })?;
    Ok(lazy.data)
}

/// The expression with lazy conditions.
pub(crate) fn lazy_expr(expr: Expr) -> Result<Transformed<Expr>> {
    if !is_fallible(&expr) {
        return Ok(Transformed::no(expr));
    }
    expr.transform_up(|expr| match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right })
            if is_fallible(&right) =>
        {
            Ok(Transformed::yes(guarded(*left, op, *right)))
        }
        other => Ok(Transformed::no(other)),
    })
}

/// `left AND right` or `left OR right`, its right side behind the left one. A boolean `CASE` could be turned into `AND` and
/// `OR` again, so it gives numbers here.
fn guarded(left: Expr, op: Operator, right: Expr) -> Expr {
    let and = op == Operator::And;
    let decided = if and { left.clone().is_false() } else { left.clone().is_true() };
    let decision = Expr::Literal(ScalarValue::Int8(Some(i8::from(!and))), None);
    let operands = [left, right].map(|expr| Typed::new(expr, DataType::Boolean, true));
    let rest = Kernel::new(if and { "and" } else { "or" }, DataType::Int8, true).arrays(&operands, move |arrays, _| {
        let (left, right) = (boolean(&arrays[0])?, boolean(&arrays[1])?);
        let result = if and { and_kleene(left, right)? } else { or_kleene(left, right)? };
        let flags: PrimitiveArray<Int8Type> = result.iter().map(|v| v.map(i8::from)).collect();
        Ok(Arc::new(flags) as ArrayRef)
    });
    let case = Expr::Case(Case::new(None, vec![(Box::new(decided), Box::new(decision))], Some(Box::new(rest.expr))));
    let chosen = Typed::new(case, DataType::Int8, true);
    let condition = Kernel::new("condition", DataType::Boolean, true).arrays(&[chosen], |arrays, _| {
        Ok(Arc::new(BooleanArray::from_unary(primitive::<Int8Type>(&arrays[0])?, |v| v != 0)) as ArrayRef)
    });
    condition.expr
}
