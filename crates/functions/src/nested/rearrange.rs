//! Arrays made of arrays: one behind the other, backwards, side by side, with an element put in, in random order.

use std::sync::Arc;

use arrow::array::{Array, ListArray, StructArray, UInt32Array, new_null_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{interleave, take};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int32Type};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::types;

use super::array::{item_of, picked, range, rearranged};
use crate::arguments::{exactly, expect_count, no_common_type, unexpected_input};
use crate::coerce;
use crate::kernel::{Kernel, list, primitive};
use crate::{Function, FunctionContext, Typed};

pub(super) fn lookup(name: &str) -> Option<Function> {
    Some(Function::Scalar(match name {
        "arrays_zip" => zip,
        "array_insert" => insert,
        "shuffle" => shuffle,
        _ => return None,
    }))
}

/// `concat` of arrays: null if one of them is.
pub(crate) fn concat(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let types: Vec<DataType> = arguments.iter().map(|a| a.data_type.clone()).collect();
    let result = coerce::common_type(&types, context.ansi).ok_or_else(|| no_common_type(name, arguments))?;
    let DataType::List(item) = result.clone() else { return Err(no_common_type(name, arguments)) };
    let cells =
        arguments.iter().map(|a| coerce::cast_to(a.clone(), &result, context)).collect::<Result<Vec<_>, _>>()?;
    let nullable = cells.iter().any(|c| c.nullable);
    Ok(Kernel::new(name, result, nullable).arrays(&cells, move |arrays, rows| {
        let lists = arrays.iter().map(|a| list(a.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let nulls = crate::rows::nulls_of(arrays);
        let (mut order, mut lengths) = (Vec::new(), Vec::with_capacity(rows));
        for row in 0..rows {
            let before = order.len();
            if nulls.as_ref().is_none_or(|n| n.is_valid(row)) {
                for (which, list) in lists.iter().enumerate() {
                    order.extend(range(list, row).map(|at| (which, at)));
                }
            }
            lengths.push(order.len() - before);
        }
        let values: Vec<&dyn Array> = lists.iter().map(|l| l.values().as_ref()).collect();
        let values = interleave(&values, &order)?;
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(Arc::new(ListArray::try_new(Arc::clone(&item), offsets, values, nulls)?))
    }))
}

/// `reverse` of an array.
pub(crate) fn reverse(name: &str, arguments: &[Typed]) -> Result<Typed, SparkError> {
    let [argument] = exactly(name, arguments)?;
    let item = item_of(name, arguments, 0)?;
    Ok(rearranged(name, argument, item, |list, row, places| {
        places.extend(range(list, row).rev().map(|at| at as u32));
        Ok(())
    }))
}

/// `arrays_zip(a, b, …)`: structs of the elements at one position, nulls where an array is shorter. The analyzer names the
/// fields; by themselves they are numbered from 0.
fn zip(name: &str, arguments: &[Typed], _: &FunctionContext) -> Result<Typed, SparkError> {
    let mut fields: Vec<FieldRef> = Vec::new();
    for (index, argument) in arguments.iter().enumerate() {
        let item = item_of(name, arguments, index)?;
        let named = match &argument.expr {
            datafusion::logical_expr::Expr::Alias(alias) => alias.name.clone(),
            _ => index.to_string(),
        };
        fields.push(Arc::new(Field::new(named, item.data_type().clone(), true)));
    }
    let fields = Fields::from(fields);
    let item = Arc::new(Field::new("element", DataType::Struct(fields.clone()), false));
    let nullable = arguments.iter().any(|a| a.nullable);
    Ok(Kernel::new(name, DataType::List(Arc::clone(&item)), nullable).arrays(arguments, move |arrays, rows| {
        let lists = arrays.iter().map(|a| list(a.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let nulls = crate::rows::nulls_of(arrays);
        let mut lengths = Vec::with_capacity(rows);
        let mut places: Vec<Vec<Option<u32>>> = vec![Vec::new(); lists.len()];
        for row in 0..rows {
            let known = nulls.as_ref().is_none_or(|n| n.is_valid(row));
            let longest = lists.iter().map(|l| range(l, row).len()).max().filter(|_| known).unwrap_or(0);
            for (places, list) in places.iter_mut().zip(&lists) {
                let elements = range(list, row);
                places.extend((0..longest).map(|at| (at < elements.len()).then(|| (elements.start + at) as u32)));
            }
            lengths.push(longest);
        }
        let column =
            |(list, places): (&&ListArray, Vec<Option<u32>>)| take(list.values(), &UInt32Array::from(places), None);
        let total = lengths.iter().sum();
        let columns = lists.iter().zip(places).map(column).collect::<Result<Vec<_>, _>>()?;
        let values = StructArray::try_new_with_length(fields.clone(), columns, None, total)?;
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(Arc::new(ListArray::try_new(Arc::clone(&item), offsets, Arc::new(values), nulls)?))
    }))
}

/// `array_insert(array, position, value)`: from 1, from the end if negative; a gap is filled with nulls.
fn insert(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let [array, position, value] = exactly(name, arguments)?;
    let item = item_of(name, arguments, 0)?;
    let common = coerce::common_type(&[item.data_type().clone(), value.data_type.clone()], context.ansi)
        .ok_or_else(|| no_common_type(name, arguments))?;
    if !matches!(position.data_type, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Null) {
        return Err(unexpected_input(name, arguments, 1, "\"INT\""));
    }
    let cells = [
        coerce::cast_to(array.clone(), &types::array(common.clone(), item.is_nullable()), context)?,
        coerce::cast_to(position.clone(), &DataType::Int32, context)?,
        coerce::cast_to(value.clone(), &common, context)?,
    ];
    let item = Arc::new(Field::new("element", common.clone(), true));
    let kernel =
        Kernel::new(name, DataType::List(Arc::clone(&item)), cells[0].nullable || cells[1].nullable).fallible();
    Ok(kernel.arrays(&cells, move |arrays, rows| {
        let [array, position, value] = arrays else {
            return Err(SparkError::internal("array_insert has three arguments"));
        };
        let (list, position) = (list(array.as_ref())?, primitive::<Int32Type>(position.as_ref())?);
        let filler = new_null_array(&common, 1);
        let nulls = crate::rows::nulls_of(&arrays[..2]);
        let (mut order, mut lengths) = (Vec::new(), Vec::with_capacity(rows));
        for row in 0..rows {
            let before = order.len();
            if nulls.as_ref().is_none_or(|n| n.is_valid(row)) {
                place(&range(list, row).collect::<Vec<_>>(), position.value(row), row, &mut order)?;
            }
            lengths.push(order.len() - before);
        }
        let values = interleave(&[list.values().as_ref(), value.as_ref(), filler.as_ref()], &order)?;
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(Arc::new(ListArray::try_new(Arc::clone(&item), offsets, values, nulls)?))
    }))
}

/// The new array of one row: elements are (0, place), the value (1, row), a null (2, 0).
fn place(elements: &[usize], position: i32, row: usize, order: &mut Vec<(usize, usize)>) -> Result<(), SparkError> {
    let old = |at: &usize| (0, *at);
    let distance = position.unsigned_abs() as usize;
    if position == 0 {
        return Err(SparkError::new(
            ExceptionClass::Runtime,
            "INVALID_INDEX_OF_ZERO",
            "22003",
            "The index 0 is invalid. An index shall be either < 0 or > 0 (the first element has index 1).",
        ));
    }
    if position > 0 {
        let (head, tail) = elements.split_at(elements.len().min(distance - 1));
        order.extend(head.iter().map(old));
        order.extend(std::iter::repeat_n((2, 0), distance - 1 - head.len()));
        order.push((1, row));
        order.extend(tail.iter().map(old));
    } else {
        // -1 puts the value behind the last element.
        let behind = distance - 1;
        let (head, tail) = elements.split_at(elements.len().saturating_sub(behind));
        if behind > elements.len() {
            order.push((1, row));
            order.extend(std::iter::repeat_n((2, 0), behind - elements.len()));
        } else {
            order.extend(head.iter().map(old));
            order.push((1, row));
        }
        order.extend(if behind > elements.len() { elements } else { tail }.iter().map(old));
    }
    Ok(())
}

/// `shuffle(array[, seed])`.
fn shuffle(name: &str, arguments: &[Typed], _: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[1, 2])?;
    let item = item_of(name, arguments, 0)?;
    let seed = match arguments.get(1).and_then(|a| a.as_literal()) {
        Some(datafusion::scalar::ScalarValue::Int32(Some(seed))) => i64::from(*seed) as u64,
        Some(datafusion::scalar::ScalarValue::Int64(Some(seed))) => *seed as u64,
        _ => uuid::Uuid::new_v4().as_u64_pair().0,
    };
    let [argument, ..] = arguments else { return Err(SparkError::internal("shuffle has an argument")) };
    let kernel = Kernel::new(name, DataType::List(Arc::clone(&item)), argument.nullable).bound_to(seed).volatile();
    Ok(kernel.arrays(std::slice::from_ref(argument), move |arrays, rows| {
        let [array] = arrays else { return Err(SparkError::internal("shuffle has one argument")) };
        let list = list(array.as_ref())?;
        let mut state = seed | 1;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        let (mut places, mut lengths) = (Vec::with_capacity(list.values().len()), Vec::with_capacity(rows));
        for row in 0..rows {
            let first = places.len();
            if list.is_valid(row) {
                places.extend(range(list, row).map(|at| at as u32));
            }
            for at in (first + 1..places.len()).rev() {
                places.swap(at, first + random(at - first + 1));
            }
            lengths.push(places.len() - first);
        }
        picked(&item, list.values(), places, lengths, list.nulls().cloned())
    }))
}
