//! `function OVER (…)`.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::{AggregateFunction, Sort, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    Expr, LogicalPlan, Window, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition,
};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;
use millstream_functions::Typed;

use super::expression::{Resolved, has_aggregate, strip_alias};
use super::rel::{Metadata, Rel, alias, column, fresh_name, planner_error};
use super::scope::Scope;
use super::{Analyzer, errors, names};
use crate::ir::{self, FrameBound};

/// Puts window operators over `input` for the calls in `exprs`, one per partitioning and order, and rewrites `exprs` to
/// expressions over the result.
pub fn window_stage(input: Rel, exprs: Vec<Expr>) -> Result<(Rel, Vec<Expr>), SparkError> {
    let mut calls: Vec<(WindowFunction, String)> = Vec::new();
    let exprs = exprs
        .into_iter()
        .map(|expr| {
            let replaced = expr.transform_down(|e| match e {
                Expr::WindowFunction(call) => {
                    let known = calls.iter().find(|(c, _)| *c == *call).map(|(_, name)| name.clone());
                    let name = known.unwrap_or_else(|| {
                        let name = fresh_name();
                        calls.push((*call, name.clone()));
                        name
                    });
                    Ok(Transformed::new(column(&name), true, TreeNodeRecursion::Jump))
                }
                other => Ok(Transformed::no(other)),
            });
            replaced.map(|t| t.data).map_err(planner_error)
        })
        .collect::<Result<Vec<_>, SparkError>>()?;
    let mut plan = input.plan.clone();
    while let Some((first, _)) = calls.first() {
        let key = (first.params.partition_by.clone(), first.params.order_by.clone());
        let same = |c: &WindowFunction| c.params.partition_by == key.0 && c.params.order_by == key.1;
        let (group, rest): (Vec<_>, Vec<_>) = calls.into_iter().partition(|(c, _)| same(c));
        let group = group
            .into_iter()
            .map(|(call, name)| alias(Expr::WindowFunction(Box::new(call)), &name, &Metadata::new()))
            .collect();
        plan = LogicalPlan::Window(Window::try_new(group, Arc::new(plan)).map_err(planner_error)?);
        calls = rest;
    }
    let rel = Rel { plan, ..input };
    Ok((rel, exprs))
}

impl Analyzer<'_> {
    /// Resolves a call over a window.
    pub fn resolve_window(
        &self,
        function: &ir::Expr,
        partition_by: &[ir::Expr],
        order_by: &[ir::SortOrder],
        frame: Option<&ir::WindowFrame>,
        scope: &Scope,
    ) -> Result<Resolved, SparkError> {
        let call = self.resolve_scalar(function, &Scope { before_over: true, ..scope.clone() }, "Window")?;
        let partition =
            partition_by.iter().map(|e| self.resolve_scalar(e, scope, "Window")).collect::<Result<Vec<_>, _>>()?;
        let order = order_by
            .iter()
            .map(|o| Ok((self.resolve_scalar(&o.expr, scope, "Window")?, o)))
            .collect::<Result<Vec<_>, SparkError>>()?;
        let over = Over {
            partition_by: partition.iter().map(|p| p.typed.expr.clone()).collect(),
            order_by: order.iter().map(|(r, o)| Sort::new(r.typed.expr.clone(), o.ascending, o.nulls_first)).collect(),
            frame: self.frame(frame, &order)?,
            given: frame.is_some(),
        };
        let name = match function {
            ir::Expr::Function(f) => f.name.to_ascii_lowercase(),
            _ => String::new(),
        };
        let (typed, frame) = over.apply(call.typed.clone(), &name)?;
        let frame = match function {
            ir::Expr::Function(f) if matches!(name.as_str(), "lag" | "lead") => self.offset_text(f, &name),
            _ => frame_text(&frame),
        };
        let sql = format!("{} OVER ({})", strip_alias(&call), over_text(&partition, &order, &frame));
        Ok(Resolved::value(typed, sql))
    }

    /// The frame that Spark shows of `lag` and `lead`: the one row they look at.
    fn offset_text(&self, call: &ir::Function, name: &str) -> String {
        let offset = call
            .arguments
            .get(1)
            .and_then(|e| self.constant(e).ok())
            .map_or_else(|| "1".to_string(), |v| names::literal(&v));
        let offset = match (name, offset.strip_prefix('-')) {
            ("lead", _) => offset,
            (_, Some(ahead)) => ahead.to_string(),
            _ => format!("-{offset}"),
        };
        format!("ROWS BETWEEN {offset} FOLLOWING AND {offset} FOLLOWING")
    }

    /// The frame: as given, else Spark's default (all rows of the partition, or up to the peers of this row if ordered).
    fn frame(
        &self,
        frame: Option<&ir::WindowFrame>,
        order: &[(Resolved, &ir::SortOrder)],
    ) -> Result<WindowFrame, SparkError> {
        let Some(frame) = frame else {
            let unbounded = WindowFrameBound::Preceding(ScalarValue::UInt64(None));
            return Ok(if order.is_empty() {
                let all = WindowFrameBound::Following(ScalarValue::UInt64(None));
                WindowFrame::new_bounds(WindowFrameUnits::Rows, unbounded, all)
            } else {
                WindowFrame::new_bounds(
                    WindowFrameUnits::Range,
                    WindowFrameBound::Preceding(ScalarValue::Null),
                    WindowFrameBound::CurrentRow,
                )
            });
        };
        let key = order.first().map(|(r, _)| &r.typed.data_type);
        let lower = self.bound(&frame.lower, frame.rows, key, true)?;
        let upper = self.bound(&frame.upper, frame.rows, key, false)?;
        let units = if frame.rows { WindowFrameUnits::Rows } else { WindowFrameUnits::Range };
        if !frame.rows
            && order.is_empty()
            && !matches!((&frame.lower, &frame.upper), (FrameBound::Unbounded, FrameBound::Unbounded))
        {
            return Err(errors::analysis(
                "DATATYPE_MISMATCH.RANGE_FRAME_WITHOUT_ORDER",
                "42K09",
                "Cannot resolve the window specification due to data type mismatch: A range window frame cannot be used in an \
                 unordered window specification.",
            ));
        }
        Ok(WindowFrame::new_bounds(units, lower, upper))
    }

    fn bound(
        &self,
        bound: &FrameBound,
        rows: bool,
        key: Option<&DataType>,
        lower: bool,
    ) -> Result<WindowFrameBound, SparkError> {
        let null = if rows { ScalarValue::UInt64(None) } else { ScalarValue::Null };
        let value = match bound {
            FrameBound::Unbounded if lower => return Ok(WindowFrameBound::Preceding(null)),
            FrameBound::Unbounded => return Ok(WindowFrameBound::Following(null)),
            FrameBound::CurrentRow => return Ok(WindowFrameBound::CurrentRow),
            FrameBound::Value(expr) => self.constant(expr)?,
        };
        if !rows {
            return range_bound(value, key);
        }
        let offset = value
            .cast_to(&DataType::Int64)
            .ok()
            .and_then(|v| if let ScalarValue::Int64(Some(n)) = v { Some(n) } else { None })
            .ok_or_else(|| SparkError::unsupported("A row frame whose border is no integer"))?;
        let distance = ScalarValue::UInt64(Some(offset.unsigned_abs()));
        Ok(match offset {
            0 => WindowFrameBound::CurrentRow,
            n if n < 0 => WindowFrameBound::Preceding(distance),
            _ => WindowFrameBound::Following(distance),
        })
    }
}

/// A border by distance of the sort key.
fn range_bound(value: ScalarValue, key: Option<&DataType>) -> Result<WindowFrameBound, SparkError> {
    let typed = match key {
        Some(key) if key.is_numeric() => value.cast_to(key).map_err(planner_error)?,
        _ => value,
    };
    let zero = ScalarValue::new_zero(&typed.data_type()).map_err(planner_error)?;
    if typed == zero {
        return Ok(WindowFrameBound::CurrentRow);
    }
    Ok(if typed < zero {
        WindowFrameBound::Preceding(typed.arithmetic_negate().map_err(planner_error)?)
    } else {
        WindowFrameBound::Following(typed)
    })
}

/// What stands behind `OVER`.
struct Over {
    partition_by: Vec<Expr>,
    order_by: Vec<Sort>,
    frame: WindowFrame,
    given: bool,
}

impl Over {
    /// Puts the window on the calls inside an expression; returns also the frame that counts.
    fn apply(&self, typed: Typed, name: &str) -> Result<(Typed, WindowFrame), SparkError> {
        let is_window = typed.expr.exists(|e| Ok(matches!(e, Expr::WindowFunction(_)))).unwrap_or(false);
        if !is_window && !has_aggregate(&typed.expr) {
            return Err(errors::analysis(
                "UNSUPPORTED_EXPR_FOR_WINDOW",
                "42P20",
                format!("Expression \"{name}\" not supported within a window function."),
            )
            .with("sqlExpr", format!("\"{name}\"")));
        }
        let ranking = matches!(name, "row_number" | "rank" | "dense_rank" | "percent_rank" | "ntile");
        let offset = matches!(name, "lag" | "lead");
        if (ranking || offset || name == "cume_dist") && self.order_by.is_empty() {
            return Err(errors::analysis(
                "WINDOW_FUNCTION_WITHOUT_OVER_CLAUSE",
                "42601",
                format!("Window function {name}() requires window to be ordered, please add ORDER BY clause."),
            ));
        }
        let frame = if ranking && !self.given {
            let lower = WindowFrameBound::Preceding(ScalarValue::UInt64(None));
            WindowFrame::new_bounds(WindowFrameUnits::Rows, lower, WindowFrameBound::CurrentRow)
        } else {
            self.frame.clone()
        };
        let expr = typed
            .expr
            .transform_down(|e| {
                // What is among the arguments of the call is an aggregate of the query itself.
                Ok(match e {
                    Expr::AggregateFunction(call) => {
                        Transformed::new(self.aggregate(call, &frame), true, TreeNodeRecursion::Jump)
                    }
                    Expr::WindowFunction(mut call) => {
                        call.params.partition_by.clone_from(&self.partition_by);
                        call.params.order_by.clone_from(&self.order_by);
                        call.params.window_frame = frame.clone();
                        Transformed::new(Expr::WindowFunction(call), true, TreeNodeRecursion::Jump)
                    }
                    other => Transformed::no(other),
                })
            })
            .map_err(planner_error)?
            .data;
        Ok((Typed { expr, ..typed }, frame))
    }

    fn aggregate(&self, call: AggregateFunction, frame: &WindowFrame) -> Expr {
        Expr::WindowFunction(Box::new(WindowFunction {
            fun: WindowFunctionDefinition::AggregateUDF(call.func),
            params: WindowFunctionParams {
                args: call.params.args,
                partition_by: self.partition_by.clone(),
                order_by: self.order_by.clone(),
                window_frame: frame.clone(),
                filter: call.params.filter,
                null_treatment: call.params.null_treatment,
                distinct: call.params.distinct,
            },
        }))
    }
}

fn over_text(partition: &[Resolved], order: &[(Resolved, &ir::SortOrder)], frame: &str) -> String {
    let mut parts = Vec::new();
    if !partition.is_empty() {
        let keys: Vec<String> = partition.iter().map(strip_alias).collect();
        parts.push(format!("PARTITION BY {}", keys.join(", ")));
    }
    if !order.is_empty() {
        let keys: Vec<String> =
            order.iter().map(|(r, o)| names::sort_order(&strip_alias(r), o.ascending, o.nulls_first)).collect();
        parts.push(format!("ORDER BY {}", keys.join(", ")));
    }
    parts.push(frame.to_string());
    parts.join(" ")
}

fn frame_text(frame: &WindowFrame) -> String {
    let units = if frame.units == WindowFrameUnits::Rows { "ROWS" } else { "RANGE" };
    format!("{units} BETWEEN {} AND {}", bound_text(&frame.start_bound), bound_text(&frame.end_bound))
}

fn bound_text(bound: &WindowFrameBound) -> String {
    match bound {
        WindowFrameBound::Preceding(v) if v.is_null() => "UNBOUNDED PRECEDING".to_string(),
        WindowFrameBound::Following(v) if v.is_null() => "UNBOUNDED FOLLOWING".to_string(),
        WindowFrameBound::CurrentRow => "CURRENT ROW".to_string(),
        WindowFrameBound::Preceding(v) => format!("{} PRECEDING", names::literal(v)),
        WindowFrameBound::Following(v) => format!("{} FOLLOWING", names::literal(v)),
    }
}
