//! Names in scope: how a name as written becomes a column, a field of one, or an error.
//!
//! The rules are Spark's: qualified names before plain ones, columns before hidden columns, then earlier aliases of the
//! same select list, then enclosing queries. `df.col` looks only into the sub-plan it was taken from.

use std::cell::RefCell;

use arrow::datatypes::FieldRef;
use millstream_formats::condition::SparkError;

use super::errors;
use super::expression::Resolved;
use super::rel::{PlanNode, Rel, qualified_name};
use crate::resolved::Attribute;

/// What an expression may refer to.
#[derive(Clone, Default)]
pub struct Scope<'a> {
    /// Visible columns.
    pub output: &'a [Attribute],
    /// Columns found if no visible one fits.
    pub hidden: &'a [Attribute],
    /// Sub-plans.
    pub nodes: &'a [PlanNode],
    /// Parameters of enclosing lambdas, innermost last: name as written and field under its internal name.
    pub lambda: Vec<(String, FieldRef)>,
    /// Earlier values of the same select list, by alias.
    pub aliases: Option<&'a RefCell<Vec<(String, Resolved)>>>,
    /// Whether the call being resolved stands before `OVER`, so that aggregates may be among its arguments.
    pub before_over: bool,
    /// Values that are tried before columns, by name (`HAVING` and `ORDER BY` see the select list first).
    pub first: &'a [(Attribute, Resolved)],
}

impl<'a> Scope<'a> {
    /// The columns of a relation.
    pub fn of(rel: &'a Rel) -> Self {
        Scope { output: &rel.output, hidden: &rel.hidden, nodes: &rel.nodes, ..Scope::default() }
    }

    /// A column found in a sub-plan as the relation knows it now (joins above may have made it nullable).
    pub fn current<'b>(&'b self, found: Found<'b>) -> Found<'b> {
        let now = self.output.iter().chain(self.hidden).find(|a| a.column == found.attribute.column);
        Found { attribute: now.unwrap_or(found.attribute), fields: found.fields }
    }

    /// Names of the visible columns, for suggestions.
    pub fn names(&self) -> Vec<Vec<String>> {
        self.output.iter().map(qualified_name).collect()
    }
}

/// A column and the fields taken from it.
pub struct Found<'a> {
    /// The column.
    pub attribute: &'a Attribute,
    /// Field names that follow.
    pub fields: Vec<String>,
}

/// Compares names.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    /// `spark.sql.caseSensitive`.
    pub case_sensitive: bool,
}

impl Names {
    /// Whether two names are the same.
    pub fn same(self, a: &str, b: &str) -> bool {
        if self.case_sensitive { a == b } else { a == b || a.to_lowercase() == b.to_lowercase() }
    }

    /// Finds a name among columns: with the longest qualifier first, then plain.
    ///
    /// # Errors
    /// `AMBIGUOUS_REFERENCE`.
    pub fn find<'a>(self, name: &[String], columns: &'a [Attribute]) -> Result<Option<Found<'a>>, SparkError> {
        for qualifier_parts in (0..name.len().min(4)).rev() {
            let (qualifier, rest) = name.split_at(qualifier_parts);
            let Some((head, fields)) = rest.split_first() else { continue };
            let mut candidates: Vec<&Attribute> = Vec::new();
            for column in columns {
                let fits = self.same(&column.name, head) && self.qualifies(qualifier, &column.qualifier);
                if fits && !candidates.iter().any(|c| c.column == column.column) {
                    candidates.push(column);
                }
            }
            match candidates.as_slice() {
                [] => {}
                [attribute] => return Ok(Some(Found { attribute, fields: fields.to_vec() })),
                several => {
                    let names: Vec<Vec<String>> = several.iter().map(|a| qualified_name(a)).collect();
                    return Err(errors::ambiguous_reference(name, &names));
                }
            }
        }
        Ok(None)
    }

    /// Whether a written qualifier is a suffix of a column's.
    pub fn qualifies(self, written: &[String], qualifier: &[String]) -> bool {
        written.len() <= qualifier.len()
            && written.iter().rev().zip(qualifier.iter().rev()).all(|(a, b)| self.same(a, b))
    }

    /// Finds `df.col`; none if the sub-plan is there but its column is not.
    ///
    /// # Errors
    /// `CANNOT_RESOLVE_DATAFRAME_COLUMN`, `AMBIGUOUS_COLUMN_REFERENCE`.
    pub fn find_in_node<'a>(
        self,
        id: i64,
        name: &[String],
        nodes: &'a [PlanNode],
    ) -> Result<Option<Found<'a>>, SparkError> {
        let mut best: Option<(usize, Found<'a>)> = None;
        let mut matched = false;
        for node in nodes.iter().filter(|n| n.id == id) {
            matched = true;
            let (visible, hidden) = node.columns.split_at(node.visible.min(node.columns.len()));
            let found = match self.find(name, visible)? {
                Some(found) => Some(found),
                None => self.find(name, hidden)?,
            };
            let Some(found) = found else { continue };
            if !node.alive.contains(&found.attribute.column) {
                continue;
            }
            match &best {
                Some((depth, _)) if *depth == node.depth => return Err(errors::ambiguous_column_reference(name)),
                Some((depth, _)) if *depth < node.depth => {}
                _ => best = Some((node.depth, found)),
            }
        }
        if !matched {
            return Err(errors::cannot_resolve_dataframe_column(name));
        }
        Ok(best.map(|(_, found)| found))
    }
}
