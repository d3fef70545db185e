//! `fillna`, `dropna` and `replace`.
//!
//! NaN counts as missing. Columns whose type does not fit the value are left as they are.

use arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_functions::coerce::{is_float, is_numeric};

use super::super::Analyzer;
use super::super::expression::Resolved;
use super::super::rel::Rel;
use super::super::scope::Scope;
use super::{cast, reference};
use crate::ir::{Expr, Relation};
use crate::resolved::Attribute;

impl Analyzer<'_> {
    /// Nulls and NaNs replaced: by one value in all columns of its kind, or by a value per column.
    pub(super) fn fill_na(&self, input: &Relation, columns: &[String], values: &[Expr]) -> Result<Rel, SparkError> {
        let rel = self.relation(input)?;
        let values = values.iter().map(|v| self.constant(v)).collect::<Result<Vec<_>, _>>()?;
        let targets = self.columns_named(&rel, columns)?;
        let mut chosen: Vec<(String, ScalarValue)> = Vec::new();
        for (i, target) in targets.iter().enumerate() {
            let value = match values.as_slice() {
                [value] => value,
                several => {
                    several.get(i).ok_or_else(|| SparkError::internal("fillna with fewer values than columns"))?
                }
            };
            if values.len() > 1 || fits(value, &target.data_type) {
                chosen.push((target.column.clone(), value.clone()));
            }
        }
        self.changed(rel, |attribute| {
            let (_, value) = chosen.iter().find(|(column, _)| *column == attribute.column)?;
            let present = match is_float(&attribute.data_type) {
                true => Expr::call("nanvl", vec![reference(attribute), cast(null(), attribute.data_type.clone())]),
                false => reference(attribute),
            };
            let replacement = cast(Expr::Literal(value.clone()), attribute.data_type.clone());
            Some(Expr::call("coalesce", vec![present, replacement]))
        })
    }

    /// Rows with fewer than `least` present values left out; without `least` all must be present.
    pub(super) fn drop_na(
        &self,
        input: &Relation,
        columns: &[String],
        least: Option<usize>,
    ) -> Result<Rel, SparkError> {
        let rel = self.relation(input)?;
        let targets = self.columns_named(&rel, columns)?;
        let present = targets.iter().map(|attribute| {
            let there = Expr::call("isnotnull", vec![reference(attribute)]);
            if !is_float(&attribute.data_type) {
                return there;
            }
            let number = Expr::call("not", vec![Expr::call("isnan", vec![reference(attribute)])]);
            Expr::call("and", vec![there, number])
        });
        let condition = match least {
            Some(least) if least < targets.len() => {
                let one = |test| Expr::call("when", vec![test, int(1), int(0)]);
                let count = present.map(one).reduce(|sum, next| Expr::call("+", vec![sum, next]));
                let least = i32::try_from(least).unwrap_or(i32::MAX);
                count.map(|count| Expr::call(">=", vec![count, int(least)]))
            }
            // More than there are columns: no row has them.
            Some(least) if least > targets.len() => Some(Expr::Literal(ScalarValue::Boolean(Some(false)))),
            _ => present.reduce(|all, next| Expr::call("and", vec![all, next])),
        };
        match condition {
            Some(condition) => self.filtered(rel, &condition),
            None => Ok(rel),
        }
    }

    /// Values replaced by others in all columns of their kind.
    pub(super) fn replace(
        &self,
        input: &Relation,
        columns: &[String],
        replacements: &[(Expr, Expr)],
    ) -> Result<Rel, SparkError> {
        let rel = self.relation(input)?;
        let mut pairs = Vec::with_capacity(replacements.len());
        for (old, new) in replacements {
            pairs.push((widened(self.constant(old)?)?, widened(self.constant(new)?)?));
        }
        let Some(kind) = pairs.iter().map(|(old, _)| old.data_type()).find(|kind| *kind != DataType::Null) else {
            return Ok(rel);
        };
        let targets: Vec<String> = self.columns_named(&rel, columns)?.iter().map(|a| a.column.clone()).collect();
        self.changed(rel, |attribute| {
            let fits = attribute.data_type == kind || is_numeric(&attribute.data_type) && is_numeric(&kind);
            if !fits || !targets.contains(&attribute.column) {
                return None;
            }
            let mut arguments = Vec::with_capacity(pairs.len() * 2 + 1);
            for (old, new) in &pairs {
                arguments.push(Expr::call("==", vec![reference(attribute), Expr::Literal(old.clone())]));
                arguments.push(cast(Expr::Literal(new.clone()), attribute.data_type.clone()));
            }
            arguments.push(reference(attribute));
            Some(Expr::call("when", arguments))
        })
    }

    /// The relation with some columns computed anew; they keep their names and places.
    pub(super) fn changed(&self, rel: Rel, change: impl Fn(&Attribute) -> Option<Expr>) -> Result<Rel, SparkError> {
        let scope = Scope::of(&rel);
        let mut list = Vec::with_capacity(rel.output.len());
        for attribute in &rel.output {
            list.push(match change(attribute) {
                None => Resolved::column(attribute),
                Some(expr) => self.resolve(&expr.alias(&attribute.name), &scope)?,
            });
        }
        self.list(rel, list)
    }
}

fn null() -> Expr {
    Expr::Literal(ScalarValue::Null)
}

fn int(value: i32) -> Expr {
    Expr::Literal(ScalarValue::Int32(Some(value)))
}

/// Whether a value fills nulls of a type.
fn fits(value: &ScalarValue, column: &DataType) -> bool {
    match value.data_type() {
        kind if is_numeric(&kind) => is_numeric(column),
        kind => kind == *column,
    }
}

/// Numbers as doubles; texts, booleans and nulls as they are.
fn widened(value: ScalarValue) -> Result<ScalarValue, SparkError> {
    match value.data_type() {
        kind if is_numeric(&kind) => value.cast_to(&DataType::Float64).map_err(super::super::rel::planner_error),
        DataType::Utf8 | DataType::Boolean | DataType::Null => Ok(value),
        other => Err(SparkError::plain(
            ExceptionClass::IllegalArgument,
            format!("Unsupported value type {other} in replace."),
        )),
    }
}
