//! Operators that change columns one by one: rename, add, replace, drop, fit to a schema.

use std::collections::HashMap;

use arrow::datatypes::SchemaRef;
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;
use millstream_functions::Typed;
use millstream_functions::coerce::{can_store_assign, cast_to};

use super::expression::Resolved;
use super::rel::{Metadata, Rel, new_attribute, planner_error};
use super::scope::Scope;
use super::select::Select;
use super::{Analyzer, errors};
use crate::ir::{self, Relation};
use crate::resolved::Attribute;

/// Column metadata from the JSON object in which clients send it.
///
/// # Errors
/// If it is no JSON object.
pub fn parse_metadata(text: &str) -> Result<Metadata, SparkError> {
    let parsed: HashMap<String, serde_json::Value> = serde_json::from_str(text).map_err(|e| {
        SparkError::plain(
            millstream_formats::condition::ExceptionClass::IllegalArgument,
            format!("Column metadata is no JSON object: {e}"),
        )
    })?;
    Ok(parsed.into_iter().map(|(key, value)| (key, value.to_string())).collect())
}

/// The parts of a name: split at dots, except within back-quotes.
///
/// # Errors
/// `INVALID_ATTRIBUTE_NAME_SYNTAX`.
pub fn name_parts(name: &str) -> Result<Vec<String>, SparkError> {
    let invalid = || {
        errors::analysis(
            "INVALID_ATTRIBUTE_NAME_SYNTAX",
            "42601",
            format!("Syntax error in the attribute name: {name}. Check that backticks appear in pairs, a quoted string is a complete name part and use a backtick only inside quoted name parts."),
        )
        .with("name", name)
    };
    let (mut parts, mut part, mut quoted, mut was_quoted) = (Vec::new(), String::new(), false, false);
    let mut chars = name.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '`' if quoted && chars.peek() == Some(&'`') => {
                chars.next();
                part.push('`');
            }
            '`' if quoted => {
                quoted = false;
                if chars.peek().is_some_and(|next| *next != '.') {
                    return Err(invalid());
                }
            }
            '`' if part.is_empty() && !was_quoted => (quoted, was_quoted) = (true, true),
            '`' => return Err(invalid()),
            '.' if !quoted => {
                if part.is_empty() && !was_quoted {
                    return Err(invalid());
                }
                parts.push(std::mem::take(&mut part));
                was_quoted = false;
            }
            other => part.push(other),
        }
    }
    if quoted || (part.is_empty() && !was_quoted) {
        return Err(invalid());
    }
    parts.push(part);
    Ok(parts)
}

impl Analyzer<'_> {
    /// New names by position.
    pub fn to_df(&self, input: &Relation, names: &[String]) -> Result<Rel, SparkError> {
        let rel = self.relation(input)?;
        if names.len() != rel.output.len() {
            let old: Vec<&str> = rel.output.iter().map(|a| a.name.as_str()).collect();
            return Err(SparkError::plain(
                millstream_formats::condition::ExceptionClass::IllegalArgument,
                format!(
                    "requirement failed: The number of columns doesn't match.\nOld column names ({}): {}\nNew column names ({}): {}",
                    old.len(),
                    old.join(", "),
                    names.len(),
                    names.join(", ")
                ),
            ));
        }
        self.renamed(rel, names)
    }

    /// Renamed columns, in order; unknown names are ignored.
    pub fn with_columns_renamed(&self, input: &Relation, renames: &[(String, String)]) -> Result<Rel, SparkError> {
        let rel = self.relation(input)?;
        let mut list: Vec<Resolved> = rel.output.iter().map(Resolved::column).collect();
        for (old, new) in renames {
            for entry in &mut list {
                if entry.name.as_ref().is_some_and(|n| self.names.same(n, old)) {
                    entry.name = Some(new.clone());
                    entry.attribute = None;
                }
            }
        }
        self.list(rel, list)
    }

    /// Added or replaced columns.
    pub fn with_columns(&self, input: &Relation, columns: &[ir::Expr]) -> Result<Rel, SparkError> {
        let rel = self.relation(input)?;
        let (rel, new) = self.over_time_windows(rel, |rel| {
            let scope = Scope::of(rel);
            columns.iter().map(|c| self.resolve(c, &scope)).collect::<Result<Vec<_>, _>>()
        })?;
        let name_of = |r: &Resolved| match &r.generator {
            Some(g) => g.names.first().cloned().unwrap_or_else(|| r.output_name()),
            None => r.output_name(),
        };
        for (i, column) in new.iter().enumerate() {
            let name = name_of(column);
            if new[..i].iter().any(|other| self.names.same(&name_of(other), &name)) {
                return Err(errors::duplicate_column(&name.to_lowercase()));
            }
        }
        let mut used = vec![false; new.len()];
        let mut list: Vec<Resolved> = Vec::with_capacity(rel.output.len() + new.len());
        for attribute in &rel.output {
            match new.iter().position(|c| self.names.same(&name_of(c), &attribute.name)) {
                Some(at) => {
                    used[at] = true;
                    list.push(new[at].clone());
                }
                None => list.push(Resolved::column(attribute)),
            }
        }
        list.extend(new.into_iter().zip(used).filter(|(_, used)| !used).map(|(column, _)| column));
        self.list(rel, list)
    }

    /// A select list that is resolved already.
    pub fn list(&self, rel: Rel, list: Vec<Resolved>) -> Result<Rel, SparkError> {
        let items = self.items(list)?;
        let aggregates = items.iter().any(|i| super::expression::has_aggregate(i.expr()));
        let grouping = aggregates.then(super::aggregate_stage::Grouping::global);
        Ok(Select { input: rel, grouping, items, having: None, carried: vec![] }.build(vec![])?.0)
    }

    /// Without some columns; unknown ones are ignored.
    pub fn drop(&self, input: &Relation, columns: &[ir::Expr], names: &[String]) -> Result<Rel, SparkError> {
        let rel = self.relation(input)?;
        let mut dropped: Vec<String> = Vec::new();
        for column in columns {
            match self.resolve(column, &Scope::of(&rel)) {
                Ok(resolved) => dropped.extend(resolved.attribute.map(|a| a.column)),
                Err(error) if errors::is_unresolved_column(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let named = |a: &Attribute| names.iter().any(|n| self.names.same(n, &a.name));
        let kept: Vec<Attribute> =
            rel.output.iter().filter(|a| !dropped.contains(&a.column) && !named(a)).cloned().collect();
        if kept.len() == rel.output.len() {
            return Ok(rel);
        }
        self.list(rel, kept.iter().map(Resolved::column).collect())
    }

    /// Columns by name in the order of a schema, cast to its types.
    pub fn to_schema(&self, input: &Relation, schema: &SchemaRef) -> Result<Rel, SparkError> {
        let rel = self.relation(input)?;
        let mut items = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            let name = std::slice::from_ref(field.name());
            let value = match self.names.find(name, &rel.output)? {
                Some(found) => Resolved::column(found.attribute),
                None if field.is_nullable() => {
                    let null = ScalarValue::try_new_null(field.data_type()).map_err(planner_error)?;
                    Resolved::value(Typed::literal(null), field.name().clone())
                }
                None => return Err(errors::unresolved_column(name, &rel.names())),
            };
            if !can_store_assign(&value.typed.data_type, field.data_type()) {
                let (from, to) = (Self::type_name(&value.typed.data_type), Self::type_name(field.data_type()));
                return Err(errors::analysis(
                    "INVALID_COLUMN_OR_FIELD_DATA_TYPE",
                    "42000",
                    format!(
                        "Column or field {} is of type \"{from}\" while it's required to be \"{to}\".",
                        errors::quoted(name)
                    ),
                )
                .with("name", errors::quoted(name))
                .with("type", format!("\"{from}\""))
                .with("expectedType", format!("\"{to}\"")));
            }
            if value.typed.nullable && !field.is_nullable() {
                return Err(errors::analysis(
                    "NULLABLE_COLUMN_OR_FIELD",
                    "42000",
                    format!(
                        "Column or field {} is nullable while it's required to be non-nullable.",
                        errors::quoted(name)
                    ),
                )
                .with("name", errors::quoted(name)));
            }
            let typed = cast_to(value.typed, field.data_type(), &self.context)?;
            let typed = Typed { nullable: field.is_nullable(), ..typed };
            let metadata = if field.metadata().is_empty() { value.metadata } else { field.metadata().clone() };
            items.push((new_attribute(field.name(), &typed, metadata), typed.expr));
        }
        rel.project(items)
    }
}
