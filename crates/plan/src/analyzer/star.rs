//! `*`, `t.*`, `s.*`, `EXCEPT` and columns by regular expression.

use arrow::datatypes::DataType;
use millstream_formats::condition::SparkError;
use regex::Regex;

use super::expression::Resolved;
use super::scope::Scope;
use super::{Analyzer, errors};
use crate::ir::Star;
use crate::resolved::Attribute;

impl Analyzer<'_> {
    /// The columns a star stands for.
    ///
    /// # Errors
    /// `CANNOT_RESOLVE_STAR_EXPAND`, unknown columns in `EXCEPT`.
    pub fn expand_star(&self, star: &Star, scope: &Scope) -> Result<Vec<Resolved>, SparkError> {
        let columns = match (&star.target, star.plan_id) {
            (Some(target), _) => self.target_columns(target, scope)?,
            (None, Some(id)) => node_columns(id, scope)?.iter().map(Resolved::column).collect(),
            (None, None) => scope.output.iter().map(Resolved::column).collect(),
        };
        self.without(columns, &star.except, scope)
    }

    fn target_columns(&self, target: &[String], scope: &Scope) -> Result<Vec<Resolved>, SparkError> {
        let qualified = |attributes: &[Attribute]| -> Vec<Resolved> {
            let fits = |a: &&Attribute| !a.qualifier.is_empty() && self.names.qualifies(target, &a.qualifier);
            attributes.iter().filter(fits).map(Resolved::column).collect()
        };
        // The key of `USING` stands in the output once, but each side's star still has it.
        let found = qualified(scope.output);
        if !found.is_empty() {
            return Ok(found);
        }
        if let Some(found) = self.names.find(target, scope.output)? {
            let value = self.take_fields(&found)?;
            if let DataType::Struct(fields) = &value.typed.data_type {
                let names: Vec<String> = fields.iter().map(|f| f.name().clone()).collect();
                return names.iter().map(|name| self.fields_of(value.clone(), std::slice::from_ref(name))).collect();
            }
        }
        let (shown, columns) = (
            errors::quoted(target),
            scope.names().iter().map(|n| errors::quoted(&n[n.len() - 1..])).collect::<Vec<_>>().join(", "),
        );
        Err(errors::analysis(
            "CANNOT_RESOLVE_STAR_EXPAND",
            "42704",
            format!(
                "Cannot resolve {shown}.* given input columns {columns}. Please check that the specified table or struct exists \
                 and is accessible in the input columns."
            ),
        )
        .with("targetString", shown)
        .with("columns", columns))
    }

    fn without(
        &self,
        columns: Vec<Resolved>,
        except: &[Vec<String>],
        scope: &Scope,
    ) -> Result<Vec<Resolved>, SparkError> {
        let mut columns = columns;
        for name in except {
            let attributes: Vec<Attribute> = columns.iter().filter_map(|c| c.attribute.clone()).collect();
            let found =
                self.names.find(name, &attributes)?.ok_or_else(|| errors::unresolved_column(name, &scope.names()))?;
            let (index, dropped) = (found.attribute.column.clone(), found.fields.clone());
            let Some(at) = columns.iter().position(|c| c.attribute.as_ref().is_some_and(|a| a.column == index)) else {
                continue;
            };
            match dropped.as_slice() {
                [] => {
                    columns.remove(at);
                }
                path => {
                    let name = columns[at].output_name();
                    let mut value = self.drop_field(columns[at].clone(), path)?;
                    value.name = Some(name);
                    columns[at] = value;
                }
            }
        }
        Ok(columns)
    }

    /// The columns whose names match a pattern; a back-quoted one is a pattern only if it holds more than a name.
    pub fn expand_regex(
        &self,
        pattern: &str,
        plan_id: Option<i64>,
        scope: &Scope,
    ) -> Result<Vec<Resolved>, SparkError> {
        let inner = pattern.strip_prefix('`').and_then(|p| p.strip_suffix('`')).unwrap_or(pattern);
        let flags = if self.names.case_sensitive { "" } else { "(?i)" };
        let regex = Regex::new(&format!("{flags}^(?:{inner})$")).map_err(|e| {
            SparkError::plain(
                millstream_formats::condition::ExceptionClass::IllegalArgument,
                format!("regular expression {inner}: {e}"),
            )
        })?;
        let columns = match plan_id {
            Some(id) => node_columns(id, scope)?,
            None => scope.output.to_vec(),
        };
        Ok(columns.iter().filter(|a| regex.is_match(&a.name)).map(Resolved::column).collect())
    }
}

/// The visible columns of a sub-plan that are still there.
fn node_columns<'a>(id: i64, scope: &'a Scope<'a>) -> Result<Vec<Attribute>, SparkError> {
    let star = ["*".to_string()];
    let nearest = scope.nodes.iter().filter(|n| n.id == id).min_by_key(|n| n.depth);
    let node = nearest.ok_or_else(|| errors::cannot_resolve_dataframe_column(&star))?;
    let visible = &node.columns[..node.visible.min(node.columns.len())];
    if visible.iter().any(|a| !node.alive.contains(&a.column)) {
        return Err(errors::cannot_resolve_dataframe_column(&star));
    }
    Ok(visible.to_vec())
}
