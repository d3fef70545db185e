//! `array_sort`, with and without a comparator.

use std::sync::Arc;

use arrow::array::{Array, ListArray, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Int32Type};
use millstream_formats::condition::{ExceptionClass, SparkError};

use super::super::array::sort_nulls_last;
use super::body::{call_one, take_all};
use super::item_of;
use crate::arguments::wrong_count;
use crate::kernel::{list, primitive};
use crate::{FunctionContext, Lambda, Typed, coerce};

/// `array_sort(array[, comparator])`: without one ascending, nulls last. A comparator is asked for all pairs of a row at once.
pub(super) fn array_sort(
    name: &str,
    arguments: &[Typed],
    lambdas: &[Lambda],
    context: &FunctionContext,
) -> Result<Typed, SparkError> {
    let item = item_of(name, arguments, 0)?;
    let (argument, lambda) = match (arguments, lambdas) {
        ([argument], []) => return sort_nulls_last(argument, item),
        ([argument], [lambda]) => (argument, lambda),
        _ => return Err(wrong_count(name, "[1, 2]", arguments.len() + lambdas.len())),
    };
    let comparison = coerce::cast_to(lambda.body.clone(), &DataType::Int32, context)?;
    let lambda = Lambda { parameters: lambda.parameters.clone(), body: comparison };
    let result = (DataType::List(Arc::clone(&item)), argument.nullable);
    Ok(call_one(name, result, [argument], &lambda, move |batch, body| {
        let (outer, rows) = (batch.outer, batch.rows);
        let list = list(batch.arguments[0].as_ref())?;
        let (mut places, mut lengths) = (Vec::new(), Vec::with_capacity(rows));
        for row in 0..rows {
            let count = if list.is_null(row) { 0 } else { list.value_length(row).unsigned_abs() };
            let begin = list.value_offsets()[row].unsigned_abs();
            let pairs = |pick: &dyn Fn(u32, u32) -> u32| -> UInt32Array {
                (0..count * count).map(|at| Some(begin + pick(at / count.max(1), at % count.max(1)))).collect()
            };
            let parameters =
                vec![take(list.values(), &pairs(&|a, _| a), None)?, take(list.values(), &pairs(&|_, b| b), None)?];
            let repeated = UInt32Array::from(vec![row as u32; (count * count) as usize]);
            let answers = body.evaluate(parameters, &take_all(outer, &repeated)?, repeated.len())?;
            let answers = primitive::<Int32Type>(answers.as_ref())?;
            if answers.null_count() > 0 {
                return Err(SparkError::new(
                    ExceptionClass::Runtime,
                    "COMPARATOR_RETURNS_NULL",
                    "22004",
                    "The comparator has returned a NULL for a comparison. It should return a positive integer for \"greater than\", 0 \
                     for \"equal\" and a negative integer for \"less than\".",
                ));
            }
            let mut order: Vec<u32> = (0..count).collect();
            order.sort_by(|a, b| answers.value((a * count + b) as usize).cmp(&0));
            places.extend(order.into_iter().map(|at| begin + at));
            lengths.push(count as usize);
        }
        let values = take(list.values(), &UInt32Array::from(places), None)?;
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(Arc::new(ListArray::try_new(Arc::clone(&item), offsets, values, list.nulls().cloned())?))
    }))
}
