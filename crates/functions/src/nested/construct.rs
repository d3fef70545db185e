//! Making arrays, maps and structs of values.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::interleave;
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;
use millstream_formats::types;

use crate::arguments::{no_common_type, not_constant, wrong_count};
use crate::kernel::Kernel;
use crate::{Function, FunctionContext, Typed, coerce};

pub(super) fn lookup(name: &str) -> Option<Function> {
    Some(Function::Scalar(match name {
        "array" => array,
        "named_struct" => named_struct,
        _ => return None,
    }))
}

/// Values of one column of calls, row by row: `cells[0][0], cells[1][0], …, cells[0][1], …`.
pub(super) fn row_by_row(cells: &[ArrayRef], rows: usize) -> Result<ArrayRef, SparkError> {
    let arrays: Vec<&dyn Array> = cells.iter().map(AsRef::as_ref).collect();
    let order: Vec<(usize, usize)> = (0..rows).flat_map(|row| (0..cells.len()).map(move |cell| (cell, row))).collect();
    Ok(interleave(&arrays, &order)?)
}

/// `array(a, b, …)`: of the common type of its elements; without arguments an empty array of `void`.
fn array(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let element = match arguments {
        [] => DataType::Null,
        _ => {
            let types: Vec<DataType> = arguments.iter().map(|a| a.data_type.clone()).collect();
            coerce::common_type(&types, context.ansi).ok_or_else(|| no_common_type(name, arguments))?
        }
    };
    let cells =
        arguments.iter().map(|a| coerce::cast_to(a.clone(), &element, context)).collect::<Result<Vec<_>, _>>()?;
    let field = Arc::new(Field::new("element", element, cells.iter().any(|c| c.nullable)));
    let result = DataType::List(Arc::clone(&field));
    let width = cells.len();
    Ok(Kernel::new(name, result, false).arrays(&cells, move |arrays, rows| {
        let values = match arrays {
            [] => arrow::array::new_empty_array(field.data_type()),
            _ => row_by_row(arrays, rows)?,
        };
        let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(width, rows));
        Ok(Arc::new(ListArray::try_new(Arc::clone(&field), offsets, values, None)?))
    }))
}

/// `named_struct('a', x, 'b', y, …)`.
fn named_struct(name: &str, arguments: &[Typed], _: &FunctionContext) -> Result<Typed, SparkError> {
    if arguments.is_empty() || !arguments.len().is_multiple_of(2) {
        return Err(wrong_count(name, "2n (n > 0)", arguments.len()));
    }
    let mut fields = Vec::new();
    let mut values = Vec::new();
    for (index, pair) in arguments.chunks_exact(2).enumerate() {
        let [key, value] = pair else { continue };
        let Some(ScalarValue::Utf8(Some(key))) = key.as_literal() else {
            return Err(not_constant(name, arguments, 2 * index, "name", &types::sql_name(&DataType::Utf8)));
        };
        fields.push(Field::new(key, value.data_type.clone(), value.nullable));
        values.push(value.clone());
    }
    let fields = Fields::from(fields);
    let bound = fields.clone();
    Ok(Kernel::new(name, DataType::Struct(fields), false)
        .arrays(&values, move |arrays, _| Ok(Arc::new(StructArray::try_new(bound.clone(), arrays.to_vec(), None)?))))
}
