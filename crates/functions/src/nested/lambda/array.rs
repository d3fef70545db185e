//! Functions with lambdas over the elements of arrays.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray, ListArray, UInt32Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{interleave, take};
use arrow::datatypes::{DataType, Field};
use millstream_formats::condition::SparkError;
use millstream_formats::types;

use super::body::{booleans, call, call_one, for_elements, take_all, those_kept};
use super::{condition, item_of, one};
use crate::arguments::{type_mismatch, wrong_count};
use crate::kernel::list;
use crate::{FunctionContext, Lambda, Typed, coerce};

pub(super) fn transform(
    name: &str,
    arguments: &[Typed],
    lambdas: &[Lambda],
    _: &FunctionContext,
) -> Result<Typed, SparkError> {
    let ([array], lambda) = one(name, arguments, lambdas)?;
    item_of(name, arguments, 0)?;
    let item = Arc::new(Field::new("element", lambda.body.data_type.clone(), lambda.body.nullable));
    let with_position = lambda.parameters.len() == 2;
    let result = (DataType::List(Arc::clone(&item)), array.nullable);
    Ok(call_one(name, result, [array], lambda, move |batch, body| {
        let list = list(batch.arguments[0].as_ref())?;
        let (flat, values) = for_elements(body, list, batch.outer, with_position)?;
        let offsets = OffsetBuffer::from_lengths(flat.lengths);
        Ok(Arc::new(ListArray::try_new(Arc::clone(&item), offsets, values, list.nulls().cloned())?))
    }))
}

pub(super) fn filter(
    name: &str,
    arguments: &[Typed],
    lambdas: &[Lambda],
    _: &FunctionContext,
) -> Result<Typed, SparkError> {
    let ([array], lambda) = condition(name, arguments, lambdas)?;
    let item = item_of(name, arguments, 0)?;
    let with_position = lambda.parameters.len() == 2;
    let result = (DataType::List(Arc::clone(&item)), array.nullable);
    Ok(call_one(name, result, [array], lambda, move |batch, body| {
        let list = list(batch.arguments[0].as_ref())?;
        let (flat, kept) = for_elements(body, list, batch.outer, with_position)?;
        let (kept, offsets) = those_kept(&kept, &flat);
        let places = take(&flat.places, &kept, None)?;
        let values = take(list.values(), &places, None)?;
        Ok(Arc::new(ListArray::try_new(Arc::clone(&item), offsets, values, list.nulls().cloned())?))
    }))
}

/// Three-valued logic over the elements: `decisive` is the answer that one element settles.
fn quantifier(name: &str, arguments: &[Typed], lambdas: &[Lambda], decisive: bool) -> Result<Typed, SparkError> {
    let ([array], lambda) = condition(name, arguments, lambdas)?;
    item_of(name, arguments, 0)?;
    let result = (DataType::Boolean, array.nullable || lambda.body.nullable);
    Ok(call_one(name, result, [array], lambda, move |batch, body| {
        let list = list(batch.arguments[0].as_ref())?;
        let (flat, found) = for_elements(body, list, batch.outer, false)?;
        let found = booleans(&found);
        let mut next = 0;
        let answers = (0..batch.rows).map(|row| {
            let elements = next..next + flat.lengths.get(row).copied().unwrap_or_default();
            next = elements.end;
            if list.is_null(row) {
                return None;
            }
            if elements.clone().any(|at| found.is_valid(at) && found.value(at) == decisive) {
                return Some(decisive);
            }
            elements.clone().all(|at| found.is_valid(at)).then_some(!decisive)
        });
        Ok(Arc::new(answers.collect::<BooleanArray>()))
    }))
}

pub(super) fn exists(
    name: &str,
    arguments: &[Typed],
    lambdas: &[Lambda],
    _: &FunctionContext,
) -> Result<Typed, SparkError> {
    quantifier(name, arguments, lambdas, true)
}

pub(super) fn forall(
    name: &str,
    arguments: &[Typed],
    lambdas: &[Lambda],
    _: &FunctionContext,
) -> Result<Typed, SparkError> {
    quantifier(name, arguments, lambdas, false)
}

/// `aggregate(array, start, merge[, finish])`: element by element, over all rows at once.
pub(super) fn aggregate(
    name: &str,
    arguments: &[Typed],
    lambdas: &[Lambda],
    context: &FunctionContext,
) -> Result<Typed, SparkError> {
    let ([array, start], [merge, rest @ ..]) = (arguments, lambdas) else {
        return Err(wrong_count(name, "[3, 4]", arguments.len() + lambdas.len()));
    };
    item_of(name, arguments, 0)?;
    let result = rest.first().unwrap_or(merge).body.data_type.clone();
    if !coerce::same_type(&merge.body.data_type, &start.data_type) {
        let text = format!(
            "The third parameter requires the \"{}\" type, however the lambda has the type \"{}\".",
            types::sql_name(&start.data_type),
            types::sql_name(&merge.body.data_type)
        );
        return Err(type_mismatch("UNEXPECTED_INPUT_TYPE", name, arguments, text));
    }
    // Types may differ in the nullability of their parts only.
    let start = coerce::cast_to(start.clone(), &merge.body.data_type, context)?;
    Ok(call(name, (result, true), [array, &start], lambdas, |batch, bodies| {
        let [merge, finish @ ..] = bodies else { return Err(SparkError::internal("an aggregate has a merge")) };
        let ([array, start], outer, rows) = (batch.arguments, batch.outer, batch.rows);
        let list = list(array.as_ref())?;
        let mut state = Arc::clone(start);
        let length = |row: usize| if list.is_null(row) { 0 } else { list.value_length(row) };
        let longest = (0..rows).map(length).max().unwrap_or(0);
        for position in 0..longest {
            let active: Vec<u32> = (0..rows).filter(|row| length(*row) > position).map(|row| row as u32).collect();
            let place = |row: &u32| list.value_offsets()[*row as usize].unsigned_abs() + position.unsigned_abs();
            let places = UInt32Array::from(active.iter().map(place).collect::<Vec<_>>());
            let rows_active = UInt32Array::from(active);
            let parameters = vec![take(&state, &rows_active, None)?, take(list.values(), &places, None)?];
            let merged = merge.evaluate(parameters, &take_all(outer, &rows_active)?, rows_active.len())?;
            let mut order: Vec<(usize, usize)> = (0..rows).map(|row| (0, row)).collect();
            for (at, row) in rows_active.values().iter().enumerate() {
                if let Some(slot) = order.get_mut(*row as usize) {
                    *slot = (1, at);
                }
            }
            state = interleave(&[state.as_ref(), merged.as_ref()], &order)?;
        }
        if let Some(finish) = finish.first() {
            state = finish.evaluate(vec![state], outer, rows)?;
        }
        if list.null_count() == 0 {
            return Ok(state);
        }
        let kept: UInt32Array = (0..rows).map(|row| list.is_valid(row).then_some(row as u32)).collect();
        Ok(take(&state, &kept, None)?)
    }))
}

/// `zip_with(a, b, f)`: the shorter array is filled up with nulls.
pub(super) fn zip_with(
    name: &str,
    arguments: &[Typed],
    lambdas: &[Lambda],
    _: &FunctionContext,
) -> Result<Typed, SparkError> {
    let ([left, right], [lambda]) = (arguments, lambdas) else {
        return Err(wrong_count(name, "3", arguments.len() + lambdas.len()));
    };
    let item = Arc::new(Field::new("element", lambda.body.data_type.clone(), lambda.body.nullable));
    let result = (DataType::List(Arc::clone(&item)), left.nullable || right.nullable);
    Ok(call_one(name, result, [left, right], lambda, move |batch, body| {
        let ([left, right], outer, rows) = (batch.arguments, batch.outer, batch.rows);
        let (left, right) = (list(left.as_ref())?, list(right.as_ref())?);
        let nulls = NullBuffer::union(left.nulls(), right.nulls());
        let (mut lengths, mut row_of) = (Vec::with_capacity(rows), Vec::new());
        let (mut left_places, mut right_places) = (Vec::new(), Vec::new());
        for row in 0..rows {
            let known = nulls.as_ref().is_none_or(|n| n.is_valid(row));
            let (a, b) = (left.value_length(row), right.value_length(row));
            let length = if known { a.max(b) } else { 0 };
            let place = |list: &ListArray, at: i32, length: i32| {
                (at < length).then(|| list.value_offsets()[row].unsigned_abs() + at.unsigned_abs())
            };
            left_places.extend((0..length).map(|at| place(left, at, a)));
            right_places.extend((0..length).map(|at| place(right, at, b)));
            row_of.extend(std::iter::repeat_n(row as u32, length.unsigned_abs() as usize));
            lengths.push(length.unsigned_abs() as usize);
        }
        let parameters = vec![
            take(left.values(), &UInt32Array::from(left_places), None)?,
            take(right.values(), &UInt32Array::from(right_places), None)?,
        ];
        let row_of = UInt32Array::from(row_of);
        let values = body.evaluate(parameters, &take_all(outer, &row_of)?, row_of.len())?;
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(Arc::new(ListArray::try_new(Arc::clone(&item), offsets, values, nulls)?))
    }))
}
