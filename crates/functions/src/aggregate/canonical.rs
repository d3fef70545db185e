//! One form for values that Spark holds equal: `-0.0` is `0.0`, every NaN is the same, a map's entries are in the order of its keys.
//!
//! Grouping keys, join keys and distinct values go through here before they are hashed, compared or written as keys of state.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, PrimitiveArray, StructArray, UInt32Array};
use arrow::compute::{SortOptions, take};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::row::{RowConverter, SortField};
use datafusion::common::Result;

use crate::Typed;
use crate::kernel::{Kernel, from_datafusion};

/// Whether [`canonical`] may change values of this type.
pub fn needs_canonical(data_type: &DataType) -> bool {
    match data_type {
        DataType::Float32 | DataType::Float64 | DataType::Map(..) => true,
        DataType::List(item) => needs_canonical(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|f| needs_canonical(f.data_type())),
        _ => false,
    }
}

/// The values in their canonical form.
///
/// # Errors
/// If a map has keys that cannot be ordered.
pub fn canonical(array: &ArrayRef) -> Result<ArrayRef> {
    if !needs_canonical(array.data_type()) {
        return Ok(Arc::clone(array));
    }
    Ok(match array.data_type() {
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>();
            let one_form = |v: f32| if v.is_nan() { f32::from_bits(0x7fc0_0000) } else { v + 0.0 };
            Arc::new(values.unary::<_, Float32Type>(one_form)) as ArrayRef
        }
        DataType::Float64 => {
            let values: &PrimitiveArray<Float64Type> = array.as_primitive();
            let one_form = |v: f64| if v.is_nan() { f64::from_bits(0x7ff8_0000_0000_0000) } else { v + 0.0 };
            Arc::new(values.unary::<_, Float64Type>(one_form))
        }
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let values = canonical(list.values())?;
            Arc::new(ListArray::try_new(Arc::clone(item), list.offsets().clone(), values, list.nulls().cloned())?)
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns().iter().map(canonical).collect::<Result<Vec<_>>>()?;
            Arc::new(StructArray::try_new_with_length(fields.clone(), columns, array.nulls().cloned(), array.len())?)
        }
        _ => sorted_map(array.as_map())?,
    })
}

/// [`canonical`] as an expression; the expression itself if its type has only one form.
pub fn canonical_expr(value: &Typed) -> Typed {
    if !needs_canonical(&value.data_type) {
        return value.clone();
    }
    let kernel = Kernel::new("canonical", value.data_type.clone(), value.nullable);
    kernel.arrays(std::slice::from_ref(value), |arrays, _| canonical(&arrays[0]).map_err(from_datafusion))
}

fn sorted_map(map: &MapArray) -> Result<ArrayRef> {
    let (keys, values) = (canonical(map.keys())?, canonical(map.values())?);
    let options = SortOptions::default();
    let converter = RowConverter::new(vec![SortField::new_with_options(keys.data_type().clone(), options)])?;
    let rows = converter.convert_columns(&[Arc::clone(&keys)])?;
    let mut order: Vec<u32> = (0..keys.len() as u32).collect();
    for range in map.value_offsets().windows(2) {
        order[range[0] as usize..range[1] as usize].sort_by_key(|i| rows.row(*i as usize));
    }
    let order = UInt32Array::from(order);
    let DataType::Map(entries_field, sorted) = map.data_type() else {
        return Ok(Arc::new(map.clone()));
    };
    let DataType::Struct(fields) = entries_field.data_type() else {
        return Ok(Arc::new(map.clone()));
    };
    let entries =
        StructArray::try_new(fields.clone(), vec![take(&keys, &order, None)?, take(&values, &order, None)?], None)?;
    Ok(Arc::new(MapArray::try_new(
        Arc::clone(entries_field),
        map.offsets().clone(),
        entries,
        map.nulls().cloned(),
        *sorted,
    )?))
}
