//! Union, intersection and difference.
//!
//! An intersection is a semi join and a difference an anti join on all columns with nulls equal; no other join has nulls
//! equal before optimization, which is how [`crate::unsupported`] tells them. With `ALL` equal rows are numbered first.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, JoinConstraint, JoinType, NullEquality};
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{Distinct, Expr, Join, LogicalPlan, Union, Window, WindowFunctionDefinition};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;
use millstream_functions::Typed;
use millstream_functions::coerce::{cast_to, common_type};

use super::expression::Resolved;
use super::rel::{Metadata, Origin, Rel, alias, column, fresh_name, planner_error, project_plan, sink_nodes};
use super::{Analyzer, errors};
use crate::ir::{SetKind, SetOperation};
use crate::resolved::Attribute;

impl Analyzer<'_> {
    /// A set operation.
    pub fn set_operation(&self, operation: &SetOperation) -> Result<Rel, SparkError> {
        let mut left = self.relation(&operation.left)?;
        let mut right = self.relation(&operation.right)?;
        if operation.by_name {
            (left, right) = self.match_names(left, right, operation.allow_missing)?;
        }
        let name = match operation.kind {
            SetKind::Union => "UNION",
            SetKind::Intersect => "INTERSECT",
            SetKind::Except => "EXCEPT",
        };
        if left.output.len() != right.output.len() {
            return Err(errors::num_columns_mismatch(name, left.output.len(), right.output.len()));
        }
        let columns = self.common_columns(name, &left, &right)?;
        let sides = [self.cast_side(&left, &columns)?, self.cast_side(&right, &columns)?];
        match operation.kind {
            SetKind::Union => union(&left, &right, sides, columns, operation.all),
            kind => matched(&left, &right, sides, columns, kind, operation.all),
        }
    }

    /// Brings the right side into the order of the left one.
    fn match_names(&self, left: Rel, right: Rel, allow_missing: bool) -> Result<(Rel, Rel), SparkError> {
        let names = |rel: &Rel| rel.output.iter().map(|a| a.name.clone()).collect::<Vec<_>>();
        let null = |like: &Attribute| Resolved {
            name: Some(like.name.clone()),
            ..Resolved::value(Typed::literal(ScalarValue::Null), like.name.clone())
        };
        let mut list: Vec<Resolved> = Vec::with_capacity(left.output.len());
        for attribute in &left.output {
            match self.names.find(std::slice::from_ref(&attribute.name), &right.output)? {
                Some(found) => list.push(Resolved::column(found.attribute)),
                None if allow_missing => list.push(null(attribute)),
                None => return Err(errors::unresolved_among_fields(&attribute.name, &names(&right))),
            }
        }
        let extra: Vec<Attribute> = right
            .output
            .iter()
            .filter(|r| !left.output.iter().any(|l| self.names.same(&l.name, &r.name)))
            .cloned()
            .collect();
        let mut left = left;
        if allow_missing && !extra.is_empty() {
            list.extend(extra.iter().map(Resolved::column));
            let widened = left.output.iter().map(Resolved::column).chain(extra.iter().map(null)).collect();
            left = self.list(left, widened)?;
        } else if right.output.len() != left.output.len() {
            return Err(errors::num_columns_mismatch("UNION", left.output.len(), right.output.len()));
        }
        Ok((left, self.list(right, list)?))
    }

    /// The columns of the result: names and metadata of the left, common types.
    fn common_columns(&self, name: &str, left: &Rel, right: &Rel) -> Result<Vec<Attribute>, SparkError> {
        let pairs = left.output.iter().zip(&right.output).enumerate();
        pairs
            .map(|(i, (l, r))| {
                let types = [l.data_type.clone(), r.data_type.clone()];
                let data_type = common_type(&types, self.context.ansi).ok_or_else(|| {
                    let (right, left) = (Self::type_name(&r.data_type), Self::type_name(&l.data_type));
                    errors::incompatible_column_type(name, i, &right, &left)
                })?;
                if name != "UNION" && matches!(data_type, DataType::Map(..)) {
                    return Err(unsupported_map(&l.name, &data_type));
                }
                let nullable = l.nullable || r.nullable;
                Ok(Attribute { column: fresh_name(), data_type, nullable, qualifier: vec![], ..l.clone() })
            })
            .collect()
    }

    /// A side with the result's types, under the result's internal names.
    fn cast_side(&self, rel: &Rel, columns: &[Attribute]) -> Result<LogicalPlan, SparkError> {
        let exprs = rel.output.iter().zip(columns).map(|(from, to)| {
            let typed = cast_to(Resolved::column(from).typed, &to.data_type, &self.context)?;
            Ok(alias(typed.expr, &to.column, &to.metadata))
        });
        project_plan(rel.plan.clone(), exprs.collect::<Result<_, SparkError>>()?)
    }
}

fn unsupported_map(name: &str, data_type: &DataType) -> SparkError {
    let (column, found) = (errors::quoted_one(name), Analyzer::type_name(data_type));
    errors::analysis(
        "UNSUPPORTED_FEATURE.SET_OPERATION_ON_MAP_TYPE",
        "0A000",
        format!("The feature is not supported: Cannot have MAP type columns in DataFrame which calls set operations (INTERSECT, EXCEPT, etc.), but the type of column {column} is \"{found}\"."),
    )
    .with("colName", column)
    .with("dataType", format!("\"{found}\""))
}

fn result(left: &Rel, right: &Rel, plan: LogicalPlan, output: Vec<Attribute>) -> Rel {
    let streaming = left.streaming || right.streaming;
    // References into the sides of a set operation find nothing.
    let none = std::collections::HashSet::new();
    let nodes = sink_nodes(&left.nodes, Some(&none));
    Rel { plan, output, hidden: vec![], streaming, nodes, origin: Origin::Opaque }
}

fn union(
    left: &Rel,
    right: &Rel,
    [l, r]: [LogicalPlan; 2],
    columns: Vec<Attribute>,
    all: bool,
) -> Result<Rel, SparkError> {
    let fields = l.schema().iter().zip(r.schema().fields()).map(|((q, l), r)| {
        let nullable = l.is_nullable() || r.is_nullable();
        (q.cloned(), Arc::new(l.as_ref().clone().with_nullable(nullable)))
    });
    let schema = DFSchema::new_with_metadata(fields.collect(), Default::default()).map_err(planner_error)?;
    let mut plan = LogicalPlan::Union(Union { inputs: vec![Arc::new(l), Arc::new(r)], schema: Arc::new(schema) });
    if !all {
        plan = LogicalPlan::Distinct(Distinct::All(Arc::new(plan)));
    }
    Ok(result(left, right, plan, columns))
}

fn matched(
    left: &Rel,
    right: &Rel,
    [l, r]: [LogicalPlan; 2],
    columns: Vec<Attribute>,
    kind: SetKind,
    all: bool,
) -> Result<Rel, SparkError> {
    let keys: Vec<String> = columns.iter().map(|a| a.column.clone()).collect();
    let (l, left_number) = if all { numbered(l, &keys)? } else { (distinct(l), None) };
    let (r, right_number) = if all { numbered(r, &keys)? } else { (r, None) };
    // The sides share internal names; the right one gets others for the join.
    let others: Vec<String> = keys.iter().map(|_| fresh_name()).collect();
    let mut exprs: Vec<Expr> =
        keys.iter().zip(&others).map(|(from, to)| alias(column(from), to, &Metadata::new())).collect();
    exprs.extend(right_number.iter().map(|n| column(n)));
    let r = project_plan(r, exprs)?;
    let pairs = keys.iter().zip(&others).map(|(a, b)| (column(a), column(b)));
    let on = pairs.chain(left_number.iter().zip(&right_number).map(|(a, b)| (column(a), column(b)))).collect();
    let join_type = if kind == SetKind::Intersect { JoinType::LeftSemi } else { JoinType::LeftAnti };
    let join = Join::try_new(
        Arc::new(l),
        Arc::new(r),
        on,
        None,
        join_type,
        JoinConstraint::On,
        NullEquality::NullEqualsNull,
        false,
    )
    .map_err(planner_error)?;
    let plan = project_plan(LogicalPlan::Join(join), keys.iter().map(|k| column(k)).collect())?;
    let columns = match kind {
        SetKind::Intersect => {
            let nullable = left.output.iter().zip(&right.output).map(|(l, r)| l.nullable && r.nullable);
            columns.into_iter().zip(nullable).map(|(c, nullable)| Attribute { nullable, ..c }).collect()
        }
        SetKind::Except => {
            columns.into_iter().zip(&left.output).map(|(c, l)| Attribute { nullable: l.nullable, ..c }).collect()
        }
        _ => columns,
    };
    Ok(result(left, right, plan, columns))
}

fn distinct(plan: LogicalPlan) -> LogicalPlan {
    LogicalPlan::Distinct(Distinct::All(Arc::new(plan)))
}

/// Numbers equal rows from 1.
fn numbered(plan: LogicalPlan, keys: &[String]) -> Result<(LogicalPlan, Option<String>), SparkError> {
    let mut call = WindowFunction::new(WindowFunctionDefinition::WindowUDF(row_number_udwf()), vec![]);
    call.params.partition_by = keys.iter().map(|k| column(k)).collect();
    let name = fresh_name();
    let call = alias(Expr::WindowFunction(Box::new(call)), &name, &Metadata::new());
    let window = Window::try_new(vec![call], Arc::new(plan)).map_err(planner_error)?;
    Ok((LogicalPlan::Window(window), Some(name)))
}
