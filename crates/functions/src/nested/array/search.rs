//! A value among the elements of an array.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray, Int64Array, make_comparator};
use arrow::buffer::NullBuffer;
use arrow::compute::SortOptions;
use arrow::datatypes::DataType;
use millstream_formats::condition::SparkError;

use super::{item_of, picked, range, with_value};
use crate::arguments::type_mismatch;
use crate::kernel::{Kernel, list};
use crate::{FunctionContext, Typed};

/// `array_contains`: null if the value is not there but a null is.
pub(super) fn contains(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    if arguments.get(1).is_some_and(|a| a.data_type == DataType::Null) {
        return Err(type_mismatch(
            "NULL_TYPE",
            name,
            arguments,
            "Null typed values cannot be used as arguments of `array_contains`.",
        ));
    }
    let contains_null = item_of(name, arguments, 0)?.is_nullable();
    let arguments = with_value(name, arguments, context)?;
    let nullable = contains_null || arguments.iter().any(|a| a.nullable);
    Ok(Kernel::new(name, DataType::Boolean, nullable).arrays(&arguments, move |arrays, rows| {
        let [array, value] = arrays else { return Err(SparkError::internal("array_contains has two arguments")) };
        let list = list(array.as_ref())?;
        let same = make_comparator(list.values().as_ref(), value.as_ref(), SortOptions::default())?;
        let found = (0..rows).map(|row| {
            if list.is_null(row) || value.is_null(row) {
                return None;
            }
            if range(list, row).any(|at| list.values().is_valid(at) && same(at, row).is_eq()) {
                return Some(true);
            }
            (!range(list, row).any(|at| list.values().is_null(at))).then_some(false)
        });
        Ok(Arc::new(found.collect::<BooleanArray>()))
    }))
}

/// `array_position`: from 1, 0 if it is not there.
pub(super) fn position(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let arguments = with_value(name, arguments, context)?;
    let nullable = arguments.iter().any(|a| a.nullable);
    Ok(Kernel::new(name, DataType::Int64, nullable).arrays(&arguments, move |arrays, rows| {
        let [array, value] = arrays else { return Err(SparkError::internal("array_position has two arguments")) };
        let list = list(array.as_ref())?;
        let same = make_comparator(list.values().as_ref(), value.as_ref(), SortOptions::default())?;
        let found = (0..rows).map(|row| {
            if list.is_null(row) || value.is_null(row) {
                return None;
            }
            let at = range(list, row).position(|at| list.values().is_valid(at) && same(at, row).is_eq());
            Some(at.map_or(0, |at| at as i64 + 1))
        });
        Ok(Arc::new(found.collect::<Int64Array>()))
    }))
}

/// `array_remove(array, value)`: without all elements equal to the value; nulls stay.
pub(super) fn remove(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let item = item_of(name, arguments, 0)?;
    let arguments = with_value(name, arguments, context)?;
    let nullable = arguments.iter().any(|a| a.nullable);
    let [array, _] = &arguments;
    let DataType::List(common) = &array.data_type else { return Err(SparkError::internal("an array")) };
    let item = Arc::new(common.as_ref().clone().with_nullable(item.is_nullable()));
    let kernel = Kernel::new(name, DataType::List(Arc::clone(&item)), nullable);
    Ok(kernel.arrays(&arguments, move |arrays, rows| {
        let [array, value] = arrays else { return Err(SparkError::internal("array_remove has two arguments")) };
        let list = list(array.as_ref())?;
        let same = make_comparator(list.values().as_ref(), value.as_ref(), SortOptions::default())?;
        let nulls = NullBuffer::union(list.nulls(), value.logical_nulls().as_ref());
        let (mut places, mut lengths) = (Vec::new(), Vec::with_capacity(rows));
        for row in 0..rows {
            let before = places.len();
            if nulls.as_ref().is_none_or(|n| n.is_valid(row)) {
                let stays = |at: &usize| list.values().is_null(*at) || !same(*at, row).is_eq();
                places.extend(range(list, row).filter(stays).map(|at| at as u32));
            }
            lengths.push(places.len() - before);
        }
        picked(&item, list.values(), places, lengths, nulls)
    }))
}
