//! Functions on arrays that look at elements one by one: size, search, order, sets.
//!
//! Elements are compared as Spark orders values: nulls are equal to one another where a function keeps them, NaN is the largest.

mod order;
mod reshape;
mod search;
mod sets;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Array, ListArray, UInt32Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field};
use millstream_formats::condition::SparkError;
use millstream_formats::types;

use crate::arguments::{exactly, type_mismatch, unexpected_input};
use crate::kernel::{Kernel, list, map};
use crate::{Function, FunctionContext, Typed, coerce};

pub(super) use order::sort_nulls_last;

pub(super) fn lookup(name: &str) -> Option<Function> {
    Some(Function::Scalar(match name {
        "size" | "cardinality" => size,
        "array_size" => array_size,
        "sort_array" => order::sort,
        "array_contains" => search::contains,
        "array_position" => search::position,
        "array_distinct" => sets::distinct,
        "array_union" => sets::union,
        "array_intersect" => sets::intersect,
        "array_except" => sets::except,
        "arrays_overlap" => sets::overlap,
        "array_compact" => compact,
        "array_remove" => search::remove,
        "array_max" | "array_min" => order::extremum,
        "array_join" => reshape::join,
        "flatten" => reshape::flatten,
        "slice" => reshape::slice,
        "array_repeat" => reshape::repeat,
        "array_append" | "array_prepend" => reshape::add,
        _ => return None,
    }))
}

pub(in crate::nested) fn item_of(name: &str, arguments: &[Typed], index: usize) -> Result<Arc<Field>, SparkError> {
    match arguments.get(index).map(|a| &a.data_type) {
        Some(DataType::List(item)) => Ok(Arc::clone(item)),
        _ => Err(unexpected_input(name, arguments, index, "\"ARRAY\"")),
    }
}

/// Where the elements of a row lie.
pub(in crate::nested) fn range(list: &ListArray, row: usize) -> std::ops::Range<usize> {
    let offsets = list.value_offsets();
    offsets[row].unsigned_abs() as usize..offsets[row + 1].unsigned_abs() as usize
}

/// Arrays of elements picked from `values`, `picked` of them per row.
pub(in crate::nested) fn picked(
    item: &Arc<Field>,
    values: &ArrayRef,
    places: Vec<u32>,
    lengths: Vec<usize>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, SparkError> {
    let values = take(values, &UInt32Array::from(places), None)?;
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), OffsetBuffer::from_lengths(lengths), values, nulls)?))
}

/// A function from one array to another of its elements: `choose` pushes their places.
pub(in crate::nested) fn rearranged(
    name: &str,
    argument: &Typed,
    item: Arc<Field>,
    choose: impl Fn(&ListArray, usize, &mut Vec<u32>) -> Result<(), SparkError> + Send + Sync + 'static,
) -> Typed {
    let kernel = Kernel::new(name, DataType::List(Arc::clone(&item)), argument.nullable);
    kernel.arrays(std::slice::from_ref(argument), move |arrays, rows| {
        let [array] = arrays else { return Err(SparkError::internal("a function of one array")) };
        let list = list(array.as_ref())?;
        let (mut places, mut lengths) = (Vec::with_capacity(list.values().len()), Vec::with_capacity(rows));
        for row in 0..rows {
            let before = places.len();
            if list.is_valid(row) {
                choose(list, row, &mut places)?;
            }
            lengths.push(places.len() - before);
        }
        picked(&item, list.values(), places, lengths, list.nulls().cloned())
    })
}

/// Number of elements or entries; null is null, or -1 in legacy mode.
fn size(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let [argument] = exactly(name, arguments)?;
    if !matches!(argument.data_type, DataType::List(_) | DataType::Map(..)) {
        return Err(unexpected_input(name, arguments, 0, "(\"ARRAY\" or \"MAP\")"));
    }
    let null_is_null = context.ansi;
    let kernel = Kernel::new("size", DataType::Int32, argument.nullable && null_is_null).bound_to(null_is_null);
    Ok(kernel.arrays(arguments, move |arrays, _| {
        let [array] = arrays else { return Err(SparkError::internal("size has one argument")) };
        let offsets = match array.data_type() {
            DataType::Map(..) => map(array.as_ref())?.offsets().clone(),
            _ => list(array.as_ref())?.offsets().clone(),
        };
        let lengths = offsets.lengths().enumerate().map(|(row, length)| match array.is_null(row) {
            true => (!null_is_null).then_some(-1),
            false => i32::try_from(length).ok(),
        });
        Ok(Arc::new(lengths.collect::<Int32Array>()))
    }))
}

fn array_size(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    item_of(name, arguments, 0)?;
    size(name, arguments, &FunctionContext { ansi: true, ..context.clone() })
}

fn compact(name: &str, arguments: &[Typed], _: &FunctionContext) -> Result<Typed, SparkError> {
    let [argument] = exactly(name, arguments)?;
    let item = Arc::new(item_of(name, arguments, 0)?.as_ref().clone().with_nullable(false));
    Ok(rearranged(name, argument, item, |list, row, places| {
        places.extend(range(list, row).filter(|at| list.values().is_valid(*at)).map(|at| at as u32));
        Ok(())
    }))
}

/// An array and a value of a common type.
fn with_value(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<[Typed; 2], SparkError> {
    let [array, value] = exactly(name, arguments)?;
    let item = item_of(name, arguments, 0)?;
    let common = coerce::common_type(&[item.data_type().clone(), value.data_type.clone()], context.ansi).ok_or_else(|| {
        let text = format!(
            "Input to `{name}` should have been \"ARRAY\" followed by a value with same element type, but it's [\"{}\", \"{}\"].",
            types::sql_name(&array.data_type),
            types::sql_name(&value.data_type)
        );
        type_mismatch("ARRAY_FUNCTION_DIFF_TYPES", name, arguments, text)
    })?;
    let array = coerce::cast_to(array.clone(), &types::array(common.clone(), item.is_nullable()), context)?;
    Ok([array, coerce::cast_to(value.clone(), &common, context)?])
}
