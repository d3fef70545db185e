//! `pivot`: the values of a column become columns.
//!
//! As in Spark, rows are first aggregated by the keys and the pivot column; then each group picks the result of each value,
//! null where there were no rows.

use arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;

use super::super::expression::{Resolved, columns_of, has_aggregate, strip_alias};
use super::super::rel::{Rel, planner_error};
use super::super::scope::Scope;
use super::super::{Analyzer, errors};
use super::{cast, reference};
use crate::ir::{self, Aggregate, Expr, SortOrder};
use crate::resolved::Attribute;

const VALUES_MAX: &str = "spark.sql.pivotMaxValues";
const VALUES_MAX_DEFAULT: usize = 10_000;

/// A value of the pivot column and what its columns are called after.
struct PivotValue {
    value: Expr,
    name: String,
}

impl Analyzer<'_> {
    /// `groupBy(…).pivot(column, values).agg(…)`, or `PIVOT` of SQL.
    pub fn pivot(&self, aggregate: &Aggregate, column: &Expr, values: &[Expr]) -> Result<Rel, SparkError> {
        let rel = self.relation(&aggregate.input)?;
        let explicit = aggregate.keys_first || !aggregate.keys.is_empty();
        let (rel, (pivot, results, keys)) = self.over_time_windows(rel, |rel| {
            let pivot = self.resolve_scalar(column, &Scope::of(rel), "Pivot")?;
            let results = self.select_list(rel, &aggregate.expressions)?;
            let keys = match explicit {
                true => self.select_list(rel, &aggregate.keys)?,
                false => other_columns(rel, &pivot, &results),
            };
            Ok((pivot, results, keys))
        })?;
        if let Some(wrong) = results.iter().find(|r| !has_aggregate(&r.typed.expr)) {
            let text = strip_alias(wrong);
            let sentence = format!("Non-aggregate expression '{text}' used in pivot.");
            return Err(errors::analysis("_LEGACY_ERROR_TEMP_1006", "", sentence));
        }
        let values = match values {
            [] => self.pivot_values(&rel, &pivot)?,
            given => self.given_values(given, &pivot)?,
        };
        let (inner, parts) = self.group_by_value(rel, keys, pivot, &results)?;
        self.pick_values(inner, &parts, &results, &values)
    }

    /// The aggregates by the keys and the pivot column.
    fn group_by_value(
        &self,
        rel: Rel,
        mut keys: Vec<Resolved>,
        pivot: Resolved,
        results: &[Resolved],
    ) -> Result<(Rel, PivotParts), SparkError> {
        let key_count = keys.len();
        keys.push(Resolved { attribute: None, ..pivot });
        let grouped = self.group(rel, keys, None, results.to_vec(), true, None)?;
        let (keys, rest) = grouped.output.split_at(key_count);
        let Some((pivot, results)) = rest.split_first() else {
            return Err(SparkError::internal("a pivot without its column"));
        };
        let parts = PivotParts { keys: keys.to_vec(), pivot: pivot.clone(), results: results.to_vec() };
        Ok((grouped, parts))
    }

    /// Groups by the keys alone; each value's results are picked into columns.
    fn pick_values(
        &self,
        inner: Rel,
        parts: &PivotParts,
        results: &[Resolved],
        values: &[PivotValue],
    ) -> Result<Rel, SparkError> {
        let scope = Scope::of(&inner);
        let mut list = Vec::with_capacity(values.len() * results.len());
        for value in values {
            let is_value = Expr::call("<=>", vec![reference(&parts.pivot), value.value.clone()]);
            for (attribute, result) in parts.results.iter().zip(results) {
                let picked = Expr::call("when", vec![is_value.clone(), reference(attribute)]);
                let first = ir::Function {
                    name: "first".to_string(),
                    arguments: vec![picked],
                    ignore_nulls: Some(true),
                    ..ir::Function::default()
                };
                let mut cell = Expr::Function(first);
                if matches!(attribute.data_type, DataType::List(_)) && !attribute.nullable {
                    // A list of no rows is empty, as that of other groups without values.
                    let empty = cast(Expr::call("array", vec![]), attribute.data_type.clone());
                    cell = Expr::call("coalesce", vec![cell, empty]);
                }
                let name = match results.len() {
                    1 => value.name.clone(),
                    _ => format!("{}_{}", value.name, result.output_name()),
                };
                list.push(self.resolve(&cell.alias(name), &scope)?);
            }
        }
        let keys = parts.keys.iter().map(Resolved::column).collect();
        let mut rel = self.group(inner, keys, None, list, true, None)?;
        for attribute in rel.output.iter_mut().skip(parts.keys.len()) {
            attribute.nullable = true;
        }
        Ok(rel)
    }

    /// Values as written, cast to the type of the column.
    fn given_values(&self, values: &[Expr], pivot: &Resolved) -> Result<Vec<PivotValue>, SparkError> {
        values
            .iter()
            .map(|value| {
                let (value, alias) = match value {
                    Expr::Alias { expr, names, .. } => (expr.as_ref(), names.first().cloned()),
                    other => (other, None),
                };
                let constant = self.constant(&cast(value.clone(), pivot.typed.data_type.clone())).map_err(|error| {
                    if !errors::is_unresolved_column(&error) {
                        return error;
                    }
                    errors::analysis(
                        "NON_LITERAL_PIVOT_VALUES",
                        "42K08",
                        "Literal expressions required for pivot values.",
                    )
                })?;
                let name = match alias {
                    Some(alias) => alias,
                    None => self.value_name(&constant)?,
                };
                Ok(PivotValue { value: Expr::Literal(constant), name })
            })
            .collect()
    }

    /// The values in the data, in order, null first.
    fn pivot_values(&self, rel: &Rel, pivot: &Resolved) -> Result<Vec<PivotValue>, SparkError> {
        if rel.streaming {
            let sentence = "pivot is not supported on a streaming DataFrames/Datasets";
            return Err(errors::analysis("_LEGACY_ERROR_TEMP_3063", "", sentence));
        }
        let max = self.catalog.conf(VALUES_MAX).and_then(|v| v.parse().ok()).unwrap_or(VALUES_MAX_DEFAULT);
        let only = Resolved { attribute: None, ..pivot.clone() };
        let grouped = self.group(rel.clone(), vec![only], None, Vec::new(), true, None)?;
        let Some(attribute) = grouped.output.first() else {
            return Err(SparkError::internal("a pivot without its column"));
        };
        let order = SortOrder { expr: reference(attribute), ascending: true, nulls_first: true };
        let sorted = self.sorted(grouped, &[order])?;
        let mut values = Vec::new();
        for batch in self.catalog.collect(&sorted.finish()?)? {
            for row in 0..batch.num_rows() {
                let value = ScalarValue::try_from_array(batch.column(0), row).map_err(planner_error)?;
                let name = self.value_name(&value)?;
                values.push(PivotValue { value: Expr::Literal(value), name });
            }
        }
        if values.len() > max {
            let sentence = format!(
                "The pivot column {} has more than {max} distinct values, this could indicate an error. If this was intended, set \
                 \"{VALUES_MAX}\" to at least the number of distinct values of the pivot column.",
                pivot.sql
            );
            return Err(errors::analysis("_LEGACY_ERROR_TEMP_1324", "", sentence));
        }
        Ok(values)
    }

    /// A value as the name of a column.
    fn value_name(&self, value: &ScalarValue) -> Result<String, SparkError> {
        if value.is_null() {
            return Ok("null".to_string());
        }
        let text = self.constant(&cast(Expr::Literal(value.clone()), DataType::Utf8))?;
        Ok(match text {
            ScalarValue::Utf8(Some(text)) => text,
            other => other.to_string(),
        })
    }
}

/// The columns of the first aggregation.
struct PivotParts {
    keys: Vec<Attribute>,
    pivot: Attribute,
    results: Vec<Attribute>,
}

/// All columns that neither the pivot column nor the aggregates mention: the keys of SQL's `PIVOT`.
fn other_columns(rel: &Rel, pivot: &Resolved, results: &[Resolved]) -> Vec<Resolved> {
    let mut mentioned = columns_of(&pivot.typed.expr);
    mentioned.extend(results.iter().flat_map(|result| columns_of(&result.typed.expr)));
    rel.output.iter().filter(|a| !mentioned.contains(&a.column)).map(Resolved::column).collect()
}
