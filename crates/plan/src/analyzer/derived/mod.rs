//! Relations that are made of others: nulls filled or dropped, values replaced, statistics, pivots, text of a table.
//!
//! Most are rewritten into core relations over internal column references; what looks at all rows at once is a
//! [`Whole`] operator. Each kind has a file; this one dispatches and holds what they share.

mod missing;
mod parse;
mod pivot;
mod show;
mod statistics;
mod summary;
#[cfg(test)]
mod tests;
mod transpose;
mod unpivot;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::DFSchema;
use datafusion::logical_expr::{Extension, LogicalPlan};
use millstream_formats::condition::SparkError;

use super::columns::name_parts;
use super::expression::INTERNAL;
use super::rel::{Rel, fresh_name, planner_error};
use super::{Analyzer, errors};
use crate::ir::{self, Expr, RelationOp};
use crate::resolved::Attribute;
use crate::whole::{Whole, WholeFunction};

impl Analyzer<'_> {
    /// Dispatch of the derived relations.
    pub fn derived(&self, op: &RelationOp) -> Result<Rel, SparkError> {
        match op {
            RelationOp::FillNa { input, columns, values } => self.fill_na(input, columns, values),
            RelationOp::DropNa { input, columns, min_non_nulls } => self.drop_na(input, columns, *min_non_nulls),
            RelationOp::Replace { input, columns, replacements } => self.replace(input, columns, replacements),
            RelationOp::Statistics { input, kind } => self.statistics(input, kind),
            RelationOp::Unpivot { input, ids, values, variable_name, value_name } => {
                self.unpivot(input, ids, values.as_deref(), variable_name, value_name)
            }
            RelationOp::UnpivotColumns { input, include_nulls, variable_name, value_names, groups } => {
                self.unpivot_columns(input, *include_nulls, variable_name, value_names, groups)
            }
            RelationOp::Transpose { input, index } => self.transpose(input, index),
            RelationOp::ShowString { input, rows, truncate, vertical } => self.show(input, *rows, *truncate, *vertical),
            RelationOp::HtmlString { input, rows, truncate } => self.html(input, *rows, *truncate),
            RelationOp::Parse { input, format, schema, options } => self.parse(input, format, schema.as_ref(), options),
            RelationOp::MapPartitions { .. } => Err(SparkError::unsupported("A Python function over batches")),
            RelationOp::GroupMap { .. } => Err(SparkError::unsupported("A Python function over groups")),
            _ => Err(SparkError::unsupported("This relation")),
        }
    }

    /// A relation of what a function makes of all rows of another.
    fn whole(&self, input: Rel, function: Arc<dyn WholeFunction>, fields: Vec<Field>) -> Result<Rel, SparkError> {
        if input.streaming {
            return Err(crate::unsupported::batch_only());
        }
        let output: Vec<Attribute> = fields
            .into_iter()
            .map(|field| Attribute {
                column: fresh_name(),
                name: field.name().clone(),
                data_type: field.data_type().clone(),
                nullable: field.is_nullable(),
                metadata: field.metadata().clone(),
                qualifier: Vec::new(),
            })
            .collect();
        let columns = output.iter().map(|a| (None, Arc::new(Field::new(&a.column, a.data_type.clone(), a.nullable))));
        let schema = DFSchema::new_with_metadata(columns.collect(), HashMap::new()).map_err(planner_error)?;
        let input = Arc::new(input.finish()?.plan);
        let node = Whole { input, function, schema: Arc::new(schema) };
        Ok(Rel::leaf(LogicalPlan::Extension(Extension { node: Arc::new(node) }), output, false))
    }

    /// The columns of these names, in order; all columns if there are none.
    fn columns_named<'r>(&self, rel: &'r Rel, names: &[String]) -> Result<Vec<&'r Attribute>, SparkError> {
        if names.is_empty() {
            return Ok(rel.output.iter().collect());
        }
        names.iter().map(|name| self.column_named(rel, name)).collect()
    }

    /// The column of this name, which is no field of one.
    fn column_named<'r>(&self, rel: &'r Rel, name: &str) -> Result<&'r Attribute, SparkError> {
        let parts = name_parts(name)?;
        match self.names.find(&parts, &rel.output)? {
            Some(found) if found.fields.is_empty() => Ok(found.attribute),
            Some(_) => Err(SparkError::unsupported(format!("The nested field {name} here"))),
            None => Err(errors::unresolved_column(&parts, &rel.names())),
        }
    }
}

/// A reference to exactly this column, whatever others are called.
fn reference(attribute: &Attribute) -> Expr {
    Expr::Attribute(ir::Attribute { name: vec![attribute.column.clone()], plan_id: Some(INTERNAL), metadata: false })
}

/// `CAST(expr AS to)`.
fn cast(expr: Expr, to: DataType) -> Expr {
    Expr::Cast { expr: Box::new(expr), to, try_cast: false }
}
