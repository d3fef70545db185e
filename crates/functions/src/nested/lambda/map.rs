//! Functions with lambdas over the entries of maps.

use arrow::array::{Array, ArrayRef};
use arrow::buffer::OffsetBuffer;
use arrow::compute::take;
use arrow::datatypes::DataType;
use millstream_formats::condition::SparkError;
use millstream_formats::types;

use super::super::map::{build, entry_fields};
use super::body::{Flat, call_one, for_entries, those_kept};
use super::{condition, one};
use crate::arguments::unexpected_input;
use crate::kernel::map;
use crate::{FunctionContext, Lambda, Typed};

/// A map for each map. `entries` makes the new ones of the keys and values, and of what the lambda says of each.
fn over_entries(
    name: &str,
    argument: &Typed,
    lambda: &Lambda,
    result: DataType,
    entries: impl Fn([ArrayRef; 3], Flat) -> Result<(OffsetBuffer<i32>, ArrayRef, ArrayRef), SparkError>
    + Send
    + Sync
    + 'static,
) -> Typed {
    let bound = result.clone();
    call_one(name, (result, argument.nullable), [argument], lambda, move |batch, body| {
        let map = map(batch.arguments[0].as_ref())?;
        let (flat, keys, values, made) = for_entries(body, map, batch.outer)?;
        let (offsets, keys, values) = entries([keys, values, made], flat)?;
        build(&bound, offsets, keys, values, map.nulls().cloned())
    })
}

pub(super) fn map_filter(
    name: &str,
    arguments: &[Typed],
    lambdas: &[Lambda],
    _: &FunctionContext,
) -> Result<Typed, SparkError> {
    let ([argument], lambda) = condition(name, arguments, lambdas)?;
    Ok(over_entries(name, argument, lambda, argument.data_type.clone(), |[keys, values, kept], flat| {
        let (kept, offsets) = those_kept(&kept, &flat);
        Ok((offsets, take(&keys, &kept, None)?, take(&values, &kept, None)?))
    }))
}

fn transform_entries(name: &str, arguments: &[Typed], lambdas: &[Lambda], of_keys: bool) -> Result<Typed, SparkError> {
    let ([argument], lambda) = one(name, arguments, lambdas)?;
    let entry = entry_fields(&argument.data_type);
    let (key, value) = entry.ok_or_else(|| unexpected_input(name, arguments, 0, "\"MAP\""))?;
    let result = match of_keys {
        true => types::map(lambda.body.data_type.clone(), value.data_type().clone(), value.is_nullable()),
        false => types::map(key.data_type().clone(), lambda.body.data_type.clone(), lambda.body.nullable),
    };
    Ok(over_entries(name, argument, lambda, result, move |[keys, values, made], flat| {
        let (keys, values) = if of_keys { (made, values) } else { (keys, made) };
        Ok((OffsetBuffer::from_lengths(flat.lengths), keys, values))
    }))
}

pub(super) fn transform_keys(
    name: &str,
    arguments: &[Typed],
    lambdas: &[Lambda],
    _: &FunctionContext,
) -> Result<Typed, SparkError> {
    transform_entries(name, arguments, lambdas, true)
}

pub(super) fn transform_values(
    name: &str,
    arguments: &[Typed],
    lambdas: &[Lambda],
    _: &FunctionContext,
) -> Result<Typed, SparkError> {
    transform_entries(name, arguments, lambdas, false)
}
