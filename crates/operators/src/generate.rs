//! Joins each row with the rows of its generator (`explode`).
//!
//! The generator's list is flattened as it lies; input columns are repeated by one `take` each, and only those that something
//! above wants are (see [`GenerateExec::try_swapping_with_projection`]).

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, RecordBatch, RecordBatchOptions, StructArray, UInt32Array, new_null_array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties};
use futures::StreamExt;

use crate::exec::{one_input, row_by_row};

/// Gives, for each row and each element of its list, the wanted input columns and the element's fields.
#[derive(Clone)]
pub struct GenerateExec {
    input: Arc<dyn ExecutionPlan>,
    /// A list of structs.
    generator: Arc<dyn PhysicalExpr>,
    /// A row of nulls where the list is null or empty.
    outer: bool,
    /// Output columns: input columns by index, then fields of the generator, counted on from the input's width.
    output: Vec<usize>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl GenerateExec {
    /// A generator over `input` that gives all input columns and all fields; `schema` names them.
    pub fn new(
        input: Arc<dyn ExecutionPlan>,
        generator: Arc<dyn PhysicalExpr>,
        outer: bool,
        schema: SchemaRef,
    ) -> Self {
        let properties = row_by_row(&schema, &input);
        let output = (0..schema.fields().len()).collect();
        Self { input, generator, outer, output, schema, properties }
    }

    fn with_input(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Ok(Self { properties: row_by_row(&self.schema, &input), input, ..self.clone() })
    }
}

impl fmt::Debug for GenerateExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GenerateExec({})", self.generator)
    }
}

impl DisplayAs for GenerateExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let columns: Vec<&str> = self.schema.fields().iter().map(|f| f.name().as_str()).collect();
        write!(f, "GenerateExec: {}, outer={}, [{}]", self.generator, self.outer, columns.join(", "))
    }
}

impl ExecutionPlan for GenerateExec {
    one_input!("GenerateExec");

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let this = self.clone();
        let stream = input.map(move |batch| this.generate(&batch?));
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream)))
    }

    /// A projection that only picks columns is done here, so that columns nobody wants are not repeated.
    fn try_swapping_with_projection(&self, projection: &ProjectionExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let mut output = Vec::new();
        let mut fields = Vec::new();
        for wanted in projection.expr() {
            let Some(column) = wanted.expr.downcast_ref::<Column>() else { return Ok(None) };
            let (Some(source), Some(field)) =
                (self.output.get(column.index()), self.schema.fields().get(column.index()))
            else {
                return Ok(None);
            };
            output.push(*source);
            fields.push(field.as_ref().clone().with_name(&wanted.alias));
        }
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let properties = row_by_row(&schema, &self.input);
        Ok(Some(Arc::new(Self { output, schema, properties, ..self.clone() })))
    }
}

impl GenerateExec {
    fn generate(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let lists = self.generator.evaluate(batch)?.into_array(batch.num_rows())?;
        let expanded = Expanded::of(&lists, self.outer)?;
        let width = self.input.schema().fields().len();
        let mut origins = None;
        let mut columns = Vec::with_capacity(self.output.len());
        for wanted in &self.output {
            columns.push(if *wanted < width {
                let origins = origins.get_or_insert_with(|| expanded.origins());
                take(batch.column(*wanted), origins, None)?
            } else {
                expanded.field(wanted - width)?
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(expanded.rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

/// The elements of a column of lists as rows.
struct Expanded {
    elements: StructArray,
    /// Element of each row, none where an outer generator has none; absent if rows are the elements as they lie.
    picks: Option<UInt32Array>,
    /// Rows that come from each input row.
    lengths: Vec<u32>,
    rows: usize,
}

impl Expanded {
    fn of(lists: &ArrayRef, outer: bool) -> Result<Self> {
        let wrong = || DataFusionError::Internal(format!("a generator gave {}", lists.data_type()));
        if lists.data_type() == &DataType::Null {
            return Err(wrong());
        }
        let lists: &ListArray = lists.as_list_opt().ok_or_else(wrong)?;
        let elements = lists.values().as_struct_opt().ok_or_else(wrong)?;
        let offsets = lists.value_offsets();
        let length = |row: usize| if lists.is_null(row) { 0 } else { (offsets[row + 1] - offsets[row]) as u32 };
        let lengths: Vec<u32> = (0..lists.len()).map(length).collect();
        let count = lengths.iter().map(|n| *n as usize).sum::<usize>();
        let start = offsets.first().copied().unwrap_or(0) as usize;
        let end = offsets.last().copied().unwrap_or(0) as usize;
        let gaps = end - start != count;
        let empty = lengths.iter().filter(|n| **n == 0).count();
        if !gaps && (!outer || empty == 0) {
            // The usual case: elements are used where they lie.
            return Ok(Self { elements: elements.slice(start, count), picks: None, lengths, rows: count });
        }
        let mut picks: Vec<Option<u32>> = Vec::with_capacity(count + empty);
        let mut per_row = Vec::with_capacity(lengths.len());
        for (row, n) in lengths.iter().enumerate() {
            let first = offsets[row] as u32;
            picks.extend((first..first + n).map(Some));
            if *n == 0 && outer {
                picks.push(None);
            }
            per_row.push(if outer { (*n).max(1) } else { *n });
        }
        let rows = picks.len();
        Ok(Self { elements: elements.clone(), picks: Some(UInt32Array::from(picks)), lengths: per_row, rows })
    }

    /// The input row of each row.
    fn origins(&self) -> UInt32Array {
        let mut origins = Vec::with_capacity(self.rows);
        for (row, n) in self.lengths.iter().enumerate() {
            origins.resize(origins.len() + *n as usize, row as u32);
        }
        UInt32Array::from(origins)
    }

    /// The `index`-th field of the elements.
    fn field(&self, index: usize) -> Result<ArrayRef> {
        let missing = || DataFusionError::Internal(format!("a generator has no column {index}"));
        let field = self.elements.columns().get(index).ok_or_else(missing)?;
        // An element that is null is a row of nulls.
        let field = match self.elements.nulls() {
            Some(nulls) if nulls.null_count() > 0 => {
                let nulls = arrow::buffer::NullBuffer::union(field.nulls(), Some(nulls));
                arrow::array::make_array(field.to_data().into_builder().nulls(nulls).build()?)
            }
            _ => Arc::clone(field),
        };
        Ok(match &self.picks {
            None => field,
            Some(picks) if field.is_empty() => new_null_array(field.data_type(), picks.len()),
            Some(picks) => take(&field, picks, None)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int32Array, StringArray};
    use arrow::buffer::{NullBuffer, OffsetBuffer};
    use arrow::datatypes::Field;

    fn words(lengths: Vec<usize>, nulls: Option<Vec<bool>>, words: Vec<&str>) -> ArrayRef {
        let field = Arc::new(Field::new("col", DataType::Utf8, true));
        let elements = StructArray::from(vec![(field, Arc::new(StringArray::from(words)) as ArrayRef)]);
        let item = Arc::new(Field::new("element", elements.data_type().clone(), false));
        Arc::new(ListArray::new(
            item,
            OffsetBuffer::from_lengths(lengths),
            Arc::new(elements),
            nulls.map(NullBuffer::from),
        ))
    }

    #[test]
    fn lists_become_rows_in_order() {
        let expanded = Expanded::of(&words(vec![2, 0, 1], None, vec!["a", "b", "c"]), false).unwrap();
        assert_eq!(expanded.field(0).unwrap().as_ref(), &StringArray::from(vec!["a", "b", "c"]));
        assert_eq!(expanded.origins(), UInt32Array::from(vec![0, 0, 2]));
    }

    #[test]
    fn an_outer_generator_keeps_rows_without_elements() {
        let lists = words(vec![1, 1, 0], Some(vec![true, false, true]), vec!["a", "hidden"]);
        let expanded = Expanded::of(&lists, true).unwrap();
        assert_eq!(expanded.field(0).unwrap().as_ref(), &StringArray::from(vec![Some("a"), None, None]));
        assert_eq!(expanded.origins(), UInt32Array::from(vec![0, 1, 2]));
        assert_eq!(Expanded::of(&lists, false).unwrap().rows, 1);
    }

    #[test]
    fn a_part_of_a_larger_list_array_is_used_where_it_lies() {
        let lists = words(vec![2, 1, 2], None, vec!["a", "b", "c", "d", "e"]).slice(1, 2);
        let expanded = Expanded::of(&lists, false).unwrap();
        assert_eq!(expanded.field(0).unwrap().as_ref(), &StringArray::from(vec!["c", "d", "e"]));
        let numbers = Int32Array::from(vec![7, 8]);
        assert_eq!(take(&numbers, &expanded.origins(), None).unwrap().as_ref(), &Int32Array::from(vec![7, 8, 8]));
    }
}
