//! Generators: several rows for one. Each is an expression that gives a list of structs, whose fields are the columns of its rows.
//!
//! `explode` and its kin copy nothing: the list keeps the offsets of the array or map, and the values become fields.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Array, ListArray, StructArray, new_null_array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::is_not_null;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;

use super::construct::row_by_row;
use crate::arguments::{exactly, expect_at_least, not_constant, unexpected_input};
use crate::kernel::{Kernel, from_datafusion, list, map, structs};
use crate::{Function, FunctionContext, Typed, coerce};

pub(super) fn lookup(name: &str) -> Option<Function> {
    Some(Function::Generator(match name {
        "explode" => explode,
        "posexplode" => posexplode,
        "inline" => inline,
        "stack" => stack,
        _ => return None,
    }))
}

/// The type of a generator whose rows have these columns.
fn rows_type(columns: impl Into<Fields>) -> DataType {
    DataType::List(Arc::new(Field::new("element", DataType::Struct(columns.into()), true)))
}

/// Columns of the elements of an array (`col`) or of the entries of a map (`key`, `value`).
fn element_columns(name: &str, argument: &Typed) -> Result<Vec<FieldRef>, SparkError> {
    match &argument.data_type {
        DataType::List(element) => {
            Ok(vec![Arc::new(Field::new("col", element.data_type().clone(), element.is_nullable()))])
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => Ok(fields.iter().cloned().collect()),
            _ => Err(SparkError::internal("a map without entries")),
        },
        _ => Err(unexpected_input(name, std::slice::from_ref(argument), 0, "(\"ARRAY\" or \"MAP\")")),
    }
}

/// Offsets, nulls and the columns of all elements of an array or map.
type Elements = (OffsetBuffer<i32>, Option<NullBuffer>, Vec<ArrayRef>);

fn elements(array: &ArrayRef) -> Result<Elements, SparkError> {
    if matches!(array.data_type(), DataType::Map(..)) {
        let map = map(array.as_ref())?;
        return Ok((map.offsets().clone(), map.nulls().cloned(), map.entries().columns().to_vec()));
    }
    let list = list(array.as_ref())?;
    Ok((list.offsets().clone(), list.nulls().cloned(), vec![Arc::clone(list.values())]))
}

/// A list with these offsets whose elements are structs of these columns.
fn list_of_rows(
    result: &DataType,
    offsets: OffsetBuffer<i32>,
    nulls: Option<NullBuffer>,
    columns: Vec<ArrayRef>,
) -> Result<ArrayRef, SparkError> {
    let DataType::List(item) = result else { return Err(SparkError::internal("a generator gives a list")) };
    let DataType::Struct(fields) = item.data_type() else { return Err(SparkError::internal("a generator gives rows")) };
    let rows = StructArray::try_new(fields.clone(), columns, None)?;
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, Arc::new(rows), nulls)?))
}

fn explode(name: &str, arguments: &[Typed], _: &FunctionContext) -> Result<Typed, SparkError> {
    let [argument] = exactly(name, arguments)?;
    let result = rows_type(element_columns(name, argument)?);
    let bound = result.clone();
    Ok(Kernel::new("explode", result, argument.nullable).arrays(arguments, move |arrays, _| {
        let [array] = arrays else { return Err(SparkError::internal("explode has one argument")) };
        let (offsets, nulls, columns) = elements(array)?;
        list_of_rows(&bound, offsets, nulls, columns)
    }))
}

fn posexplode(name: &str, arguments: &[Typed], _: &FunctionContext) -> Result<Typed, SparkError> {
    let [argument] = exactly(name, arguments)?;
    let mut columns = vec![Arc::new(Field::new("pos", DataType::Int32, false))];
    columns.extend(element_columns(name, argument)?);
    let result = rows_type(columns);
    let bound = result.clone();
    Ok(Kernel::new("posexplode", result, argument.nullable).arrays(arguments, move |arrays, _| {
        let [array] = arrays else { return Err(SparkError::internal("posexplode has one argument")) };
        let (offsets, nulls, columns) = elements(array)?;
        let length = columns.first().map_or(0, |c| c.len());
        let mut positions = vec![0_i32; length];
        for window in offsets.windows(2) {
            if let [begin, end] = *window
                && let Some(slots) = positions.get_mut(begin as usize..end as usize)
            {
                slots.iter_mut().zip(0..).for_each(|(slot, position)| *slot = position);
            }
        }
        let mut all: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(positions))];
        all.extend(columns);
        list_of_rows(&bound, offsets, nulls, all)
    }))
}

/// An array of structs: a row for each, a column for each field. A null struct gives a row of nulls.
fn inline(name: &str, arguments: &[Typed], _: &FunctionContext) -> Result<Typed, SparkError> {
    let [argument] = exactly(name, arguments)?;
    let DataType::List(element) = &argument.data_type else {
        return Err(unexpected_input(name, arguments, 0, "\"ARRAY<STRUCT>\""));
    };
    let DataType::Struct(fields) = element.data_type() else {
        return Err(unexpected_input(name, arguments, 0, "\"ARRAY<STRUCT>\""));
    };
    let nullable = |f: &FieldRef| Arc::new(f.as_ref().clone().with_nullable(f.is_nullable() || element.is_nullable()));
    let result = rows_type(fields.iter().map(nullable).collect::<Vec<_>>());
    let bound = result.clone();
    Ok(Kernel::new("inline", result, argument.nullable).arrays(arguments, move |arrays, _| {
        let [array] = arrays else { return Err(SparkError::internal("inline has one argument")) };
        let list = list(array.as_ref())?;
        let rows = structs(list.values().as_ref())?;
        let columns = rows.columns().iter().map(|column| under_nulls_of(rows, column)).collect::<Result<_, _>>()?;
        list_of_rows(&bound, list.offsets().clone(), list.nulls().cloned(), columns)
    }))
}

/// A field of structs, null where the struct is.
pub(super) fn under_nulls_of(rows: &StructArray, column: &ArrayRef) -> Result<ArrayRef, SparkError> {
    if rows.null_count() == 0 {
        return Ok(Arc::clone(column));
    }
    let kept = is_not_null(rows)?;
    let nulls = new_null_array(column.data_type(), 1);
    Ok(arrow::compute::kernels::zip::zip(&kept, column, &arrow::array::Scalar::new(nulls))?)
}

/// `stack(n, v1, v2, …)`: n rows of the values in order; missing ones are null.
fn stack(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_at_least(name, arguments, 2)?;
    let (Some(count), Some(values)) = (arguments.first(), arguments.get(1..)) else {
        return Err(SparkError::internal("stack has at least two arguments"));
    };
    let rows = match count.as_literal() {
        Some(ScalarValue::Int32(Some(n))) if *n > 0 => *n as usize,
        _ => return Err(not_constant(name, arguments, 0, "n", "\"INT\"")),
    };
    let width = values.len().div_ceil(rows);
    let mut cells = Vec::with_capacity(rows * width);
    let mut columns = Vec::with_capacity(width);
    for column in 0..width {
        let in_column: Vec<&Typed> = values.iter().skip(column).step_by(width).collect();
        let types: Vec<DataType> = in_column.iter().map(|v| v.data_type.clone()).collect();
        let data_type = coerce::common_type(&types, context.ansi)
            .ok_or_else(|| crate::arguments::no_common_type(name, arguments))?;
        let nullable = in_column.len() < rows || in_column.iter().any(|v| v.nullable);
        columns.push(Arc::new(Field::new(format!("col{column}"), data_type.clone(), nullable)));
        let missing = rows - in_column.len();
        for value in in_column {
            cells.push(coerce::cast_to(value.clone(), &data_type, context)?);
        }
        let null = ScalarValue::try_from(&data_type).map_err(from_datafusion)?;
        cells.extend(std::iter::repeat_n(Typed::literal(null), missing));
    }
    let result = rows_type(columns);
    let bound = result.clone();
    Ok(Kernel::new("stack", result, false).bound_to(rows).arrays(&cells, move |arrays, length| {
        let stacked = arrays.chunks(rows).map(|cells| row_by_row(cells, length)).collect::<Result<_, _>>()?;
        list_of_rows(&bound, OffsetBuffer::from_lengths(std::iter::repeat_n(rows, length)), None, stacked)
    }))
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, StringArray};
    use arrow::datatypes::Int32Type;

    use super::*;

    fn run(call: &Typed, columns: Vec<(&str, ArrayRef)>) -> ArrayRef {
        use datafusion::physical_expr::create_physical_expr;
        let batch = arrow::array::RecordBatch::try_from_iter(columns).unwrap();
        let schema = datafusion::common::DFSchema::try_from(batch.schema().as_ref().clone()).unwrap();
        let props = datafusion::logical_expr::execution_props::ExecutionProps::new();
        let expr = create_physical_expr(&call.expr, &schema, &props, &Default::default()).unwrap();
        expr.evaluate(&batch).unwrap().into_array(batch.num_rows()).unwrap()
    }

    #[test]
    fn stack_fills_rows_in_order_and_pads_with_nulls() {
        let context = crate::test_context::ansi();
        let column = |name: &str, t: DataType| Typed::new(datafusion::prelude::col(name), t, true);
        let arguments = [
            Typed::literal(ScalarValue::Int32(Some(2))),
            column("a", DataType::Int32),
            column("b", DataType::Utf8),
            column("a", DataType::Int32),
        ];
        let call = stack("stack", &arguments, &context).unwrap();
        let rows =
            run(&call, vec![("a", Arc::new(Int32Array::from(vec![7]))), ("b", Arc::new(StringArray::from(vec!["x"])))]);
        let rows = rows.as_list::<i32>().values().as_struct().clone();
        assert_eq!(rows.column(0).as_primitive::<Int32Type>().values(), &[7, 7]);
        assert_eq!(rows.column(1).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("x"), None]);
    }
}
