//! Subqueries in expressions, and references from them to the queries around.

use std::rc::Rc;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::logical_plan::Subquery;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use millstream_formats::condition::SparkError;
use millstream_functions::Typed;
use millstream_functions::coerce::{cast_to, common_type};

use super::expression::{Resolved, strip_alias};
use super::rel::{PlanNode, Rel, alias, fresh_name, planner_error, project_plan};
use super::scope::{Found, Scope};
use super::single_value::single_value;
use super::{Analyzer, errors};
use crate::ir::{self, Relation, RelationOp, SubqueryKind, SubqueryRelation};
use crate::resolved::Attribute;

/// A relation around a subquery.
pub struct Outer {
    columns: Vec<Attribute>,
    nodes: Vec<PlanNode>,
}

impl Analyzer<'_> {
    /// Resolves something inside a subquery of an expression over `rel`.
    pub fn with_outer<T>(&self, rel: &Rel, resolve: impl FnOnce() -> Result<T, SparkError>) -> Result<T, SparkError> {
        self.with_outer_scope(&Scope::of(rel), resolve)
    }

    fn with_outer_scope<T>(
        &self,
        scope: &Scope,
        resolve: impl FnOnce() -> Result<T, SparkError>,
    ) -> Result<T, SparkError> {
        let columns = scope.output.iter().chain(scope.hidden).cloned().collect();
        self.outer.borrow_mut().push(Outer { columns, nodes: scope.nodes.to_vec() });
        let result = resolve();
        self.outer.borrow_mut().pop();
        result
    }

    /// A name of a query around, innermost first.
    pub fn outer_reference(&self, name: &[String]) -> Result<Option<Resolved>, SparkError> {
        let outer = self.outer.borrow();
        for frame in outer.iter().rev() {
            if let Some(found) = self.names.find(name, &frame.columns)? {
                return self.outer_value(&found).map(Some);
            }
        }
        Ok(None)
    }

    /// `df.col` where `df` is a query around.
    pub fn outer_node_reference(&self, id: i64, name: &[String]) -> Result<Option<Resolved>, SparkError> {
        let outer = self.outer.borrow();
        for frame in outer.iter().rev() {
            if !frame.nodes.iter().any(|n| n.id == id) {
                continue;
            }
            if let Some(found) = self.names.find_in_node(id, name, &frame.nodes)? {
                return self.outer_value(&found).map(Some);
            }
        }
        Ok(None)
    }

    fn outer_value(&self, found: &Found) -> Result<Resolved, SparkError> {
        let attribute = found.attribute;
        let field = Arc::new(Field::new(&attribute.column, attribute.data_type.clone(), true));
        let mut value = Resolved::column(attribute);
        value.typed.expr = Expr::OuterReferenceColumn(field, Column::new_unqualified(&attribute.column));
        value.sql = format!("outer({})", errors::quoted(&super::rel::qualified_name(attribute)).replace('`', ""));
        value.attribute = None;
        self.fields_of(value, &found.fields)
    }

    /// `col.outer()`.
    pub fn resolve_outer(&self, call: &ir::Function) -> Result<Resolved, SparkError> {
        let [ir::Expr::Attribute(attribute)] = call.arguments.as_slice() else {
            return Err(SparkError::unsupported("outer() of anything but a column"));
        };
        let found = match attribute.plan_id {
            Some(id) => self.outer_node_reference(id, &attribute.name)?,
            None => self.outer_reference(&attribute.name)?,
        };
        found.ok_or_else(|| errors::unresolved_column(&attribute.name, &[]))
    }

    /// A subquery expression.
    pub fn resolve_subquery(
        &self,
        kind: &SubqueryKind,
        relation: &SubqueryRelation,
        scope: &Scope,
    ) -> Result<Resolved, SparkError> {
        let relation: Rc<Relation> = match relation {
            SubqueryRelation::Inline(relation) => Rc::new(relation.as_ref().clone()),
            SubqueryRelation::PlanId(id) => self
                .references
                .borrow()
                .get(id)
                .cloned()
                .ok_or_else(|| SparkError::internal(format!("no relation has the plan id {id} of a subquery")))?,
        };
        let rel = self.with_outer_scope(scope, || self.relation(&relation))?;
        if rel.streaming {
            return Err(errors::analysis(
                "INVALID_SUBQUERY_EXPRESSION.STREAMING_QUERY",
                "42823",
                "Invalid subquery: Streaming query is not allowed in subquery expressions.",
            ));
        }
        match kind {
            SubqueryKind::Scalar => self.scalar_subquery(rel),
            SubqueryKind::Exists => {
                let subquery = subquery_of(rel.plan);
                let typed = Typed::new(Expr::Exists(Exists::new(subquery, false)), DataType::Boolean, false);
                Ok(Resolved::value(typed, "exists()".to_string()))
            }
            SubqueryKind::In(values) => self.in_subquery(values, rel, scope),
        }
    }

    fn scalar_subquery(&self, rel: Rel) -> Result<Resolved, SparkError> {
        let [only] = rel.output.as_slice() else {
            return Err(errors::analysis(
                "INVALID_SUBQUERY_EXPRESSION.SCALAR_SUBQUERY_RETURN_MORE_THAN_ONE_OUTPUT_COLUMN",
                "42823",
                format!("Invalid subquery: Scalar subquery must return only one column, but got {}.", rel.output.len()),
            )
            .with("number", rel.output.len().to_string()));
        };
        let (data_type, value) = (only.data_type.clone(), super::rel::column(&only.column));
        let plan = if gives_one_row(&rel.plan) {
            project_plan(rel.plan.clone(), vec![value])?
        } else {
            let only = alias(single_value(value), &fresh_name(), &Default::default());
            let aggregate =
                Aggregate::try_new(Arc::new(rel.plan.clone()), vec![], vec![only]).map_err(planner_error)?;
            LogicalPlan::Aggregate(aggregate)
        };
        let typed = Typed::new(Expr::ScalarSubquery(subquery_of(plan)), data_type, true);
        Ok(Resolved::value(typed, "scalarsubquery()".to_string()))
    }

    fn in_subquery(&self, values: &[ir::Expr], rel: Rel, scope: &Scope) -> Result<Resolved, SparkError> {
        // `struct(a, b) IN (SELECT x, y …)` compares part by part.
        let values = match values {
            [ir::Expr::Function(call)] if rel.output.len() > 1 && call.name.eq_ignore_ascii_case("struct") => {
                &call.arguments
            }
            _ => values,
        };
        if values.len() != rel.output.len() {
            return Err(errors::analysis(
                "DATATYPE_MISMATCH.IN_SUBQUERY_LENGTH_MISMATCH",
                "42K09",
                format!(
                    "Cannot resolve the IN subquery due to data type mismatch: The number of columns in the left hand side of an IN \
                     subquery does not match the number of columns in the output of subquery. Left hand side columns(length: {}), \
                     right hand side columns(length: {}).",
                    values.len(),
                    rel.output.len()
                ),
            ));
        }
        let ([value], [only]) = (values, rel.output.as_slice()) else {
            return self.in_several_columns(values, rel, scope);
        };
        let value = self.resolve_scalar(value, scope, "Filter")?;
        let types = [value.typed.data_type.clone(), only.data_type.clone()];
        let common = common_type(&types, self.context.ansi).ok_or_else(|| {
            errors::analysis(
                "DATATYPE_MISMATCH.IN_SUBQUERY_DATA_TYPE_MISMATCH",
                "42K09",
                "Cannot resolve the IN subquery due to data type mismatch: The data type of one or more elements in the left hand \
                 side of an IN subquery is not compatible with the data type of the output of the subquery.",
            )
        })?;
        let text = strip_alias(&value);
        let nullable = value.typed.nullable || only.nullable;
        let left = cast_to(value.typed, &common, &self.context)?;
        let cast = cast_to(Resolved::column(only).typed, &common, &self.context)?;
        let plan = project_plan(rel.plan.clone(), vec![alias(cast.expr, &fresh_name(), &Default::default())])?;
        let subquery = subquery_of(plan);
        let expr = Expr::InSubquery(InSubquery::new(Box::new(left.expr), subquery, false));
        Ok(Resolved::value(Typed::new(expr, DataType::Boolean, nullable), format!("({text} IN (listquery()))")))
    }

    /// `(a, b) IN (SELECT x, y …)`, where it stands for true or not true: a row exists whose values are equal.
    fn in_several_columns(&self, values: &[ir::Expr], rel: Rel, scope: &Scope) -> Result<Resolved, SparkError> {
        let (mut condition, mut texts): (Option<Typed>, Vec<String>) = (None, Vec::new());
        for (value, column) in values.iter().zip(&rel.output) {
            let value = self.resolve_scalar(value, scope, "Filter")?;
            texts.push(strip_alias(&value));
            let outer = Typed { expr: as_outer(value.typed.expr, scope)?, ..value.typed };
            let equal = self.build("=", &[outer, Resolved::column(column).typed])?;
            condition = Some(match condition {
                Some(before) => self.build("and", &[before, equal])?,
                None => equal,
            });
        }
        let plan = match condition {
            Some(condition) => super::limit::filter_plan(rel.plan, condition.expr)?,
            None => rel.plan,
        };
        let typed = Typed::new(Expr::Exists(Exists::new(subquery_of(plan), false)), DataType::Boolean, true);
        let text = format!("(named_struct({}) IN (listquery()))", texts.join(", "));
        Ok(Resolved::value(typed, text))
    }

    /// Relations that expressions of `root` refer to.
    pub fn with_relations(&self, root: &Relation, references: &[Relation]) -> Result<Rel, SparkError> {
        let before = self.tables.borrow().len();
        let result = (|| {
            for reference in references {
                if let RelationOp::SubqueryAlias { input, alias, columns } = reference.op.as_ref()
                    && columns.is_empty()
                {
                    let plan = self.relation(input)?.finish()?;
                    self.tables.borrow_mut().push((alias.clone(), Rc::new(plan)));
                }
                if let Some(id) = reference.plan_id {
                    self.references.borrow_mut().insert(id, Rc::new(reference.clone()));
                }
            }
            self.relation(root)
        })();
        self.tables.borrow_mut().truncate(before);
        result
    }
}

/// An expression over the query around as it stands within the subquery.
fn as_outer(expr: Expr, scope: &Scope) -> Result<Expr, SparkError> {
    let transformed = expr.transform_up(|e| {
        let Expr::Column(column) = &e else { return Ok(Transformed::no(e)) };
        let known = scope.output.iter().chain(scope.hidden).find(|a| a.column == column.name);
        Ok(match known {
            Some(attribute) => {
                let field = Arc::new(Field::new(&attribute.column, attribute.data_type.clone(), true));
                Transformed::yes(Expr::OuterReferenceColumn(field, column.clone()))
            }
            None => Transformed::no(e),
        })
    });
    transformed.map(|t| t.data).map_err(planner_error)
}

/// Whether a plan is an aggregate without keys, maybe below projections.
fn gives_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => gives_one_row(&projection.input),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        _ => false,
    }
}

fn subquery_of(plan: LogicalPlan) -> Subquery {
    Subquery { outer_ref_columns: plan.all_out_ref_exprs(), subquery: Arc::new(plan), spans: Default::default() }
}
