//! `transpose`: the values of one column name the new columns, each other column becomes a row.
//!
//! The rows decide the columns, so the relation is run while it is analyzed; it must be small.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;
use millstream_functions::coerce::common_type;

use super::super::rel::{Rel, planner_error};
use super::super::{Analyzer, errors, source};
use super::{cast, reference};
use crate::ir::{Expr, Relation, SortOrder};
use crate::resolved::Attribute;

const ROWS_MAX: &str = "spark.sql.transposeMaxValues";
const ROWS_MAX_DEFAULT: usize = 500;

impl Analyzer<'_> {
    /// Rows to columns.
    pub(super) fn transpose(&self, input: &Relation, index: &[Expr]) -> Result<Rel, SparkError> {
        let rel = self.relation(input)?;
        if rel.streaming {
            return Err(crate::unsupported::batch_only());
        }
        let index = self.index_column(&rel, index)?;
        let others: Vec<Attribute> = rel.output.iter().filter(|a| a.column != index.column).cloned().collect();
        let value_type = value_type(&others, self.context.ansi)?;
        let rows = self.rows_by_index(rel, &index, &others, &value_type)?;
        let (names, columns) = transposed(&rows, &others, &value_type)?;
        let mut fields = vec![Field::new("key", DataType::Utf8, false)];
        fields.extend(names.into_iter().map(|name| Field::new(name, value_type.clone(), true)));
        let keys: ArrayRef = Arc::new(others.iter().map(|a| Some(a.name.as_str())).collect::<StringArray>());
        let schema = Arc::new(Schema::new(fields));
        let columns = std::iter::once(keys).chain(columns).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
        source::local(&[batch], &schema)
    }

    /// The given column, or the first one.
    fn index_column(&self, rel: &Rel, index: &[Expr]) -> Result<Attribute, SparkError> {
        let invalid = |reason: &str| {
            errors::analysis(
                "TRANSPOSE_INVALID_INDEX_COLUMN",
                "42804",
                format!("Invalid index column for TRANSPOSE because: {reason}"),
            )
            .with("reason", reason)
        };
        let column = match index {
            [] => rel.output.first().cloned(),
            [one] => self.select_list(rel, std::slice::from_ref(one))?.pop().and_then(|r| r.attribute),
            _ => None,
        };
        let column = column.ok_or_else(|| invalid("Index column must be an atomic attribute"))?;
        match column.data_type {
            DataType::Struct(_) | DataType::List(_) | DataType::Map(..) => Err(invalid(&format!(
                "Index column must be of atomic type, but found: {}",
                Analyzer::type_name(&column.data_type)
            ))),
            _ => Ok(column),
        }
    }

    /// Name and values of each row, in the order of the index; rows without index are left out.
    fn rows_by_index(
        &self,
        rel: Rel,
        index: &Attribute,
        others: &[Attribute],
        value_type: &DataType,
    ) -> Result<RecordBatch, SparkError> {
        let present = self.filtered(rel, &Expr::call("isnotnull", vec![reference(index)]))?;
        let sorted =
            self.sorted(present, &[SortOrder { expr: reference(index), ascending: true, nulls_first: true }])?;
        let mut list = vec![cast(reference(index), DataType::Utf8).alias("key")];
        list.extend(others.iter().map(|a| cast(reference(a), value_type.clone()).alias(&a.name)));
        let resolved = self.select(sorted, &list)?.finish()?;
        let batches = self.catalog.collect(&resolved)?;
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let max = self.catalog.conf(ROWS_MAX).and_then(|v| v.parse().ok()).unwrap_or(ROWS_MAX_DEFAULT);
        if rows > max {
            let sentence = format!(
                "Number of rows exceeds the allowed limit of {max} for TRANSPOSE. If this was intended, set {ROWS_MAX} to at least the current row count."
            );
            return Err(errors::analysis("TRANSPOSE_EXCEED_ROW_LIMIT", "54006", sentence));
        }
        let schema =
            batches.first().map_or_else(|| Arc::new(resolved.plan.schema().as_arrow().clone()), RecordBatch::schema);
        Ok(arrow::compute::concat_batches(&schema, &batches)?)
    }
}

fn value_type(columns: &[Attribute], ansi: bool) -> Result<DataType, SparkError> {
    let types: Vec<DataType> = columns.iter().map(|a| a.data_type.clone()).collect();
    if types.is_empty() {
        return Ok(DataType::Utf8);
    }
    common_type(&types, ansi).ok_or_else(|| {
        let kinds: Vec<String> = types.iter().take(2).map(|t| format!("\"{}\"", Analyzer::type_name(t))).collect();
        let sentence = format!(
            "Transpose requires non-index columns to share a least common type, but {} do not.",
            kinds.join(" and ")
        );
        errors::analysis("TRANSPOSE_NO_LEAST_COMMON_TYPE", "42K09", sentence)
    })
}

/// Names of the new columns and their values.
fn transposed(
    rows: &RecordBatch,
    others: &[Attribute],
    value_type: &DataType,
) -> Result<(Vec<String>, Vec<ArrayRef>), SparkError> {
    let (mut names, mut columns) = (Vec::new(), Vec::new());
    for row in 0..rows.num_rows() {
        let name = ScalarValue::try_from_array(rows.column(0), row).map_err(planner_error)?;
        names.push(match name {
            ScalarValue::Utf8(Some(name)) => name,
            other => other.to_string(),
        });
        let cells: Vec<ArrayRef> = rows.columns().iter().skip(1).take(others.len()).map(|c| c.slice(row, 1)).collect();
        let cells: Vec<&dyn arrow::array::Array> = cells.iter().map(AsRef::as_ref).collect();
        columns.push(match cells.is_empty() {
            true => arrow::array::new_empty_array(value_type),
            false => concat(&cells)?,
        });
    }
    Ok((names, columns))
}
