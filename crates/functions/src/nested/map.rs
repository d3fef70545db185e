//! Functions on maps. Keys are unique: making a map of equal keys is an error, as with Spark's default
//! `spark.sql.mapKeyDedupPolicy`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, ListArray, MapArray, StructArray, UInt32Array, make_comparator};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{SortOptions, interleave, take};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::types;

use super::construct::row_by_row;
use crate::arguments::{exactly, no_common_type, type_mismatch, unexpected_input, wrong_count};
use crate::kernel::{Kernel, list, map, structs};
use crate::{Function, FunctionContext, Typed, coerce};

pub(super) fn lookup(name: &str) -> Option<Function> {
    Some(Function::Scalar(match name {
        "map" | "create_map" => create,
        "map_from_arrays" => from_arrays,
        "map_from_entries" => from_entries,
        "map_concat" => concatenate,
        "map_keys" => keys,
        "map_values" => values,
        "map_entries" => entries,
        "map_contains_key" => contains_key,
        "mapsort" => sort,
        _ => return None,
    }))
}

/// Key and value of a map's entries.
pub(super) fn entry_fields(data_type: &DataType) -> Option<(&FieldRef, &FieldRef)> {
    let DataType::Map(entries, _) = data_type else { return None };
    let DataType::Struct(fields) = entries.data_type() else { return None };
    match &fields[..] {
        [key, value] => Some((key, value)),
        _ => None,
    }
}

fn duplicated_key(text: &str) -> SparkError {
    SparkError::new(
        ExceptionClass::Runtime,
        "DUPLICATED_MAP_KEY",
        "23505",
        format!(
            "Duplicate map key {text} was found, please check the input data. If you want to remove the duplicated keys, you can \
             set \"spark.sql.mapKeyDedupPolicy\" to \"LAST_WIN\" so that the key inserted at last takes precedence."
        ),
    )
    .with("key", text)
    .with("mapKeyDedupPolicy", "\"spark.sql.mapKeyDedupPolicy\"")
}

fn null_key() -> SparkError {
    SparkError::new(ExceptionClass::Runtime, "NULL_MAP_KEY", "2200E", "Cannot use null as map key.")
}

/// A map of these entries, after a look at its keys.
pub(super) fn build(
    data_type: &DataType,
    offsets: OffsetBuffer<i32>,
    keys: ArrayRef,
    values: ArrayRef,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, SparkError> {
    let DataType::Map(entries, _) = data_type else { return Err(SparkError::internal("a map of no map type")) };
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(SparkError::internal("a map without entries"));
    };
    check_keys(&offsets, &keys, nulls.as_ref())?;
    let entries_array = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
    Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, entries_array, nulls, false)?))
}

/// Maps are small, so that comparing each key with those before it costs less than hashing them.
fn check_keys(offsets: &OffsetBuffer<i32>, keys: &ArrayRef, nulls: Option<&NullBuffer>) -> Result<(), SparkError> {
    let same = make_comparator(keys.as_ref(), keys.as_ref(), SortOptions::default())?;
    for (row, window) in offsets.windows(2).enumerate() {
        let [begin, end] = *window else { continue };
        if nulls.is_some_and(|n| n.is_null(row)) {
            continue;
        }
        for at in begin as usize..end as usize {
            if keys.is_null(at) {
                return Err(null_key());
            }
            if let Some(twin) = (begin as usize..at).find(|before| same(*before, at).is_eq()) {
                let text = millstream_formats::text::cast_to_string(
                    &keys.slice(twin, 1),
                    &millstream_formats::zone::Zone::UTC,
                );
                return Err(duplicated_key(text.as_ref().map_or("", |t| t.value(0))));
            }
        }
    }
    Ok(())
}

/// `map(k1, v1, k2, v2, …)`.
fn create(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    if !arguments.len().is_multiple_of(2) {
        return Err(wrong_count(name, "2n (n > 0)", arguments.len()));
    }
    let side = |first: usize| -> Result<(DataType, Vec<Typed>), SparkError> {
        let given: Vec<&Typed> = arguments.iter().skip(first).step_by(2).collect();
        let types: Vec<DataType> = given.iter().map(|a| a.data_type.clone()).collect();
        let common = if types.is_empty() { Some(DataType::Null) } else { coerce::common_type(&types, context.ansi) };
        let common = common.ok_or_else(|| no_common_type(name, arguments))?;
        let cells =
            given.into_iter().map(|a| coerce::cast_to(a.clone(), &common, context)).collect::<Result<_, _>>()?;
        Ok((common, cells))
    };
    let ((key, keys), (value, values)) = (side(0)?, side(1)?);
    let result = types::map(key, value, values.iter().any(|v| v.nullable));
    let (bound, width) = (result.clone(), keys.len());
    let cells: Vec<Typed> = keys.into_iter().chain(values).collect();
    Ok(Kernel::new("map", result, false).fallible().arrays(&cells, move |arrays, rows| {
        let (keys, values) = arrays.split_at(width);
        let (keys, values) = match width {
            0 => (arrow::array::new_empty_array(&DataType::Null), arrow::array::new_empty_array(&DataType::Null)),
            _ => (row_by_row(keys, rows)?, row_by_row(values, rows)?),
        };
        build(&bound, OffsetBuffer::from_lengths(std::iter::repeat_n(width, rows)), keys, values, None)
    }))
}

/// `map_from_arrays(keys, values)`.
fn from_arrays(name: &str, arguments: &[Typed], _: &FunctionContext) -> Result<Typed, SparkError> {
    let [keys, values] = exactly(name, arguments)?;
    let item = |index: usize, typed: &Typed| match &typed.data_type {
        DataType::List(item) => Ok(Arc::clone(item)),
        _ => Err(unexpected_input(name, arguments, index, "\"ARRAY\"")),
    };
    let (key, value) = (item(0, keys)?, item(1, values)?);
    let result = types::map(key.data_type().clone(), value.data_type().clone(), value.is_nullable());
    let bound = result.clone();
    Ok(Kernel::new(name, result, keys.nullable || values.nullable).fallible().arrays(arguments, move |arrays, rows| {
        let [keys, values] = arrays else { return Err(SparkError::internal("map_from_arrays has two arguments")) };
        let (keys, values) = (list(keys.as_ref())?, list(values.as_ref())?);
        let nulls = NullBuffer::union(keys.nulls(), values.nulls());
        let mut lengths = Vec::with_capacity(rows);
        let (mut key_places, mut value_places) = (Vec::new(), Vec::new());
        for row in 0..rows {
            if nulls.as_ref().is_some_and(|n| n.is_null(row)) {
                lengths.push(0);
                continue;
            }
            let length = keys.value_length(row);
            if length != values.value_length(row) {
                return Err(SparkError::plain(
                    ExceptionClass::Runtime,
                    "The key array and value array of MapData must have the same length.",
                ));
            }
            lengths.push(length.unsigned_abs() as usize);
            let (k, v) = (keys.value_offsets()[row].unsigned_abs(), values.value_offsets()[row].unsigned_abs());
            key_places.extend((0..length.unsigned_abs()).map(|i| k + i));
            value_places.extend((0..length.unsigned_abs()).map(|i| v + i));
        }
        let keys = take(keys.values(), &UInt32Array::from(key_places), None)?;
        let values = take(values.values(), &UInt32Array::from(value_places), None)?;
        build(&bound, OffsetBuffer::from_lengths(lengths), keys, values, nulls)
    }))
}

/// `map_from_entries(array of structs of two fields)`; a null entry makes the map null.
fn from_entries(name: &str, arguments: &[Typed], _: &FunctionContext) -> Result<Typed, SparkError> {
    let [argument] = exactly(name, arguments)?;
    let wanted = || unexpected_input(name, arguments, 0, "\"ARRAY\" of pair \"STRUCT\"");
    let DataType::List(item) = &argument.data_type else { return Err(wanted()) };
    let DataType::Struct(fields) = item.data_type() else { return Err(wanted()) };
    let [key, value] = &fields[..] else { return Err(wanted()) };
    let result = types::map(key.data_type().clone(), value.data_type().clone(), value.is_nullable());
    let bound = result.clone();
    let nullable = argument.nullable || item.is_nullable();
    Ok(Kernel::new(name, result, nullable).fallible().arrays(arguments, move |arrays, rows| {
        let [array] = arrays else { return Err(SparkError::internal("map_from_entries has one argument")) };
        let list = list(array.as_ref())?;
        let pairs = structs(list.values().as_ref())?;
        let offsets = list.value_offsets();
        let whole = |row: usize| {
            list.is_valid(row) && (offsets[row]..offsets[row + 1]).all(|at| pairs.is_valid(at.unsigned_abs() as usize))
        };
        let valid: Vec<bool> = (0..rows).map(whole).collect();
        let lengths = (0..rows).map(|row| if valid[row] { list.value_length(row).unsigned_abs() as usize } else { 0 });
        let places: UInt32Array = (0..rows)
            .filter(|row| valid[*row])
            .flat_map(|row| offsets[row].unsigned_abs()..offsets[row + 1].unsigned_abs())
            .map(Some)
            .collect();
        let keys = take(pairs.column(0), &places, None)?;
        let values = take(pairs.column(1), &places, None)?;
        build(&bound, OffsetBuffer::from_lengths(lengths), keys, values, Some(NullBuffer::from(valid.clone())))
    }))
}

/// `map_concat(m1, m2, …)`.
fn concatenate(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    if let Some(wrong) =
        arguments.iter().position(|a| entry_fields(&a.data_type).is_none() && a.data_type != DataType::Null)
    {
        return Err(unexpected_input(name, arguments, wrong, "\"MAP\""));
    }
    let types: Vec<DataType> = arguments.iter().map(|a| a.data_type.clone()).collect();
    let result = match types.is_empty() {
        true => types::map(DataType::Utf8, DataType::Utf8, false),
        false => coerce::common_type(&types, context.ansi).ok_or_else(|| no_common_type(name, arguments))?,
    };
    let cells =
        arguments.iter().map(|a| coerce::cast_to(a.clone(), &result, context)).collect::<Result<Vec<_>, _>>()?;
    let bound = result.clone();
    Ok(Kernel::new(name, result, cells.iter().any(|c| c.nullable)).fallible().arrays(&cells, move |arrays, rows| {
        let maps = arrays.iter().map(|a| map(a.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let nulls = crate::rows::nulls_of(arrays);
        let mut order = Vec::new();
        let mut lengths = Vec::with_capacity(rows);
        for row in 0..rows {
            let before = order.len();
            if nulls.as_ref().is_none_or(|n| n.is_valid(row)) {
                for (which, map) in maps.iter().enumerate() {
                    let (begin, end) = (map.value_offsets()[row], map.value_offsets()[row + 1]);
                    order.extend((begin..end).map(|at| (which, at.unsigned_abs() as usize)));
                }
            }
            lengths.push(order.len() - before);
        }
        let gather = |columns: Vec<&dyn Array>| interleave(&columns, &order);
        if maps.is_empty() {
            let empty = || arrow::array::new_empty_array(&DataType::Utf8);
            return build(&bound, OffsetBuffer::from_lengths(lengths), empty(), empty(), nulls);
        }
        let keys = gather(maps.iter().map(|m| m.keys().as_ref()).collect())?;
        let values = gather(maps.iter().map(|m| m.values().as_ref()).collect())?;
        build(&bound, OffsetBuffer::from_lengths(lengths), keys, values, nulls)
    }))
}

/// An array of something of each entry.
fn list_of(
    name: &str,
    arguments: &[Typed],
    element: impl Fn(&FieldRef, &FieldRef) -> (DataType, bool),
    part: impl Fn(&MapArray) -> ArrayRef + Send + Sync + 'static,
) -> Result<Typed, SparkError> {
    let [argument] = exactly(name, arguments)?;
    let Some((key, value)) = entry_fields(&argument.data_type) else {
        return Err(unexpected_input(name, arguments, 0, "\"MAP\""));
    };
    let (data_type, contains_null) = element(key, value);
    let item = Arc::new(Field::new("element", data_type, contains_null));
    let kernel = Kernel::new(name, DataType::List(Arc::clone(&item)), argument.nullable);
    Ok(kernel.arrays(arguments, move |arrays, _| {
        let [array] = arrays else { return Err(SparkError::internal("a function of one map")) };
        let map = map(array.as_ref())?;
        let nulls = map.nulls().cloned();
        Ok(Arc::new(ListArray::try_new(Arc::clone(&item), map.offsets().clone(), part(map), nulls)?))
    }))
}

fn keys(name: &str, arguments: &[Typed], _: &FunctionContext) -> Result<Typed, SparkError> {
    list_of(name, arguments, |key, _| (key.data_type().clone(), false), |map| Arc::clone(map.keys()))
}

fn values(name: &str, arguments: &[Typed], _: &FunctionContext) -> Result<Typed, SparkError> {
    list_of(
        name,
        arguments,
        |_, value| (value.data_type().clone(), value.is_nullable()),
        |map| Arc::clone(map.values()),
    )
}

fn entries(name: &str, arguments: &[Typed], _: &FunctionContext) -> Result<Typed, SparkError> {
    let pair = |key: &FieldRef, value: &FieldRef| {
        (DataType::Struct(Fields::from(vec![Arc::clone(key), Arc::clone(value)])), false)
    };
    list_of(name, arguments, pair, |map| Arc::new(map.entries().clone()))
}

fn contains_key(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let [argument, key] = exactly(name, arguments)?;
    let Some((key_field, _)) = entry_fields(&argument.data_type) else {
        return Err(unexpected_input(name, arguments, 0, "\"MAP\""));
    };
    if key.data_type == DataType::Null {
        return Err(type_mismatch(
            "NULL_TYPE",
            name,
            arguments,
            "Null typed values cannot be used as arguments of `map_contains_key`.",
        ));
    }
    let common = coerce::common_type(&[key_field.data_type().clone(), key.data_type.clone()], context.ansi);
    if common.as_ref() != Some(key_field.data_type()) {
        let text = "Input to `map_contains_key` should have been \"MAP\" followed by a value with the same key type.";
        return Err(type_mismatch("MAP_FUNCTION_DIFF_TYPES", name, arguments, text));
    }
    let key = coerce::cast_to(key.clone(), key_field.data_type(), context)?;
    let nullable = argument.nullable || key.nullable;
    Ok(Kernel::new(name, DataType::Boolean, nullable).arrays(&[argument.clone(), key], move |arrays, rows| {
        let [array, key] = arrays else { return Err(SparkError::internal("map_contains_key has two arguments")) };
        let map = map(array.as_ref())?;
        let same = make_comparator(map.keys().as_ref(), key.as_ref(), SortOptions::default())?;
        let found = (0..rows).map(|row| {
            let known = map.is_valid(row) && key.is_valid(row);
            let (begin, end) = (map.value_offsets()[row], map.value_offsets()[row + 1]);
            known.then(|| (begin..end).any(|at| same(at.unsigned_abs() as usize, row).is_eq()))
        });
        Ok(Arc::new(found.collect::<BooleanArray>()))
    }))
}

/// Entries in the order of their keys, so that equal maps are equal bytes: what Spark puts around a map that is a grouping key.
fn sort(name: &str, arguments: &[Typed], _: &FunctionContext) -> Result<Typed, SparkError> {
    let [argument] = exactly(name, arguments)?;
    let Some((key, value)) = entry_fields(&argument.data_type) else {
        return Err(unexpected_input(name, arguments, 0, "\"MAP\""));
    };
    let result = types::map(key.data_type().clone(), value.data_type().clone(), value.is_nullable());
    let bound = result.clone();
    Ok(Kernel::new(name, result, argument.nullable).arrays(arguments, move |arrays, _| {
        let [array] = arrays else { return Err(SparkError::internal("mapsort has one argument")) };
        let map = map(array.as_ref())?;
        let order = make_comparator(map.keys().as_ref(), map.keys().as_ref(), SortOptions::default())?;
        let mut places: Vec<u32> = Vec::with_capacity(map.keys().len());
        let mut lengths = Vec::with_capacity(map.len());
        for window in map.value_offsets().windows(2) {
            let [begin, end] = *window else { continue };
            let first = places.len();
            places.extend(begin.unsigned_abs()..end.unsigned_abs());
            lengths.push(places.len() - first);
            if let Some(row) = places.get_mut(first..) {
                row.sort_by(|a, b| order(*a as usize, *b as usize));
            }
        }
        let places = UInt32Array::from(places);
        let keys = take(map.keys(), &places, None)?;
        let values = take(map.values(), &places, None)?;
        build(&bound, OffsetBuffer::from_lengths(lengths), keys, values, map.nulls().cloned())
    }))
}
