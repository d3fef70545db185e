//! Functions on arrays that look at elements one by one: size, search, order, sets.
//!
//! Elements are compared as Spark orders values: nulls are equal to one another where a function keeps them, NaN is the largest.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Int32Array, Int64Array, ListArray, StringArray, UInt32Array, make_comparator,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{SortOptions, interleave, take};
use arrow::datatypes::{DataType, Field};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;
use millstream_formats::types;

use super::internal;
use crate::arguments::{exactly, expect_count, no_common_type, not_constant, type_mismatch, unexpected_input};
use crate::coerce::{self, Expected};
use crate::kernel::{Kernel, list, map, string};
use crate::{Function, FunctionContext, Typed};

pub(super) fn lookup(name: &str) -> Option<Function> {
    Some(Function::Scalar(match name {
        "size" | "cardinality" => size,
        "array_size" => array_size,
        "sort_array" => sort,
        "array_contains" => contains,
        "array_position" => position,
        "array_distinct" => distinct,
        "array_union" => union,
        "array_intersect" => intersect,
        "array_except" => except,
        "arrays_overlap" => overlap,
        "array_compact" => compact,
        "array_remove" => remove,
        "array_max" | "array_min" => extremum,
        "array_join" => join,
        "flatten" => flatten,
        "slice" => slice,
        "array_repeat" => repeat,
        "array_append" | "array_prepend" => add,
        _ => return None,
    }))
}

pub(super) fn item_of(name: &str, arguments: &[Typed], index: usize) -> Result<Arc<Field>, SparkError> {
    match arguments.get(index).map(|a| &a.data_type) {
        Some(DataType::List(item)) => Ok(Arc::clone(item)),
        _ => Err(unexpected_input(name, arguments, index, "\"ARRAY\"")),
    }
}

/// Where the elements of a row lie.
pub(super) fn range(list: &ListArray, row: usize) -> std::ops::Range<usize> {
    let offsets = list.value_offsets();
    offsets[row].unsigned_abs() as usize..offsets[row + 1].unsigned_abs() as usize
}

/// Arrays of elements picked from `values`, `picked` of them per row.
pub(super) fn picked(
    item: &Arc<Field>,
    values: &ArrayRef,
    places: Vec<u32>,
    lengths: Vec<usize>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, SparkError> {
    let values = take(values, &UInt32Array::from(places), None).map_err(internal)?;
    Ok(Arc::new(
        ListArray::try_new(Arc::clone(item), OffsetBuffer::from_lengths(lengths), values, nulls).map_err(internal)?,
    ))
}

/// A function from one array to another of its elements: `choose` pushes their places.
pub(super) fn rearranged(
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

/// `sort_array(array[, ascending])`: nulls first when ascending, last when descending.
fn sort(name: &str, arguments: &[Typed], _: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[1, 2])?;
    let item = item_of(name, arguments, 0)?;
    let ascending = match arguments.get(1).map(|a| a.as_literal()) {
        None => true,
        Some(Some(ScalarValue::Boolean(Some(ascending)))) => *ascending,
        Some(_) => return Err(not_constant(name, arguments, 1, "ascendingOrder", "\"BOOLEAN\"")),
    };
    let options = SortOptions { descending: !ascending, nulls_first: ascending };
    let [argument, ..] = arguments else { return Err(SparkError::internal("sort_array has an argument")) };
    Ok(sorted(if ascending { "sort_array" } else { "sort_array_desc" }, argument, item, options))
}

/// Ascending, null elements last: `array_sort` without a comparator. Nulls inside of elements come first, as Spark orders values.
pub(super) fn sort_nulls_last(argument: &Typed, item: Arc<Field>) -> Result<Typed, SparkError> {
    Ok(rearranged("array_sort", argument, item, |list, row, places| {
        let values = list.values();
        let order = make_comparator(values.as_ref(), values.as_ref(), SortOptions::default()).map_err(internal)?;
        let first = places.len();
        places.extend(range(list, row).map(|at| at as u32));
        if let Some(row) = places.get_mut(first..) {
            row.sort_by(|a, b| {
                let (a, b) = (*a as usize, *b as usize);
                values.is_null(a).cmp(&values.is_null(b)).then_with(|| order(a, b))
            });
        }
        Ok(())
    }))
}

fn sorted(name: &str, argument: &Typed, item: Arc<Field>, options: SortOptions) -> Typed {
    rearranged(name, argument, item, move |list, row, places| {
        let order = make_comparator(list.values().as_ref(), list.values().as_ref(), options).map_err(internal)?;
        let first = places.len();
        places.extend(range(list, row).map(|at| at as u32));
        if let Some(row) = places.get_mut(first..) {
            row.sort_by(|a, b| order(*a as usize, *b as usize));
        }
        Ok(())
    })
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

/// `array_contains`: null if the value is not there but a null is.
fn contains(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
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
        let same = make_comparator(list.values().as_ref(), value.as_ref(), SortOptions::default()).map_err(internal)?;
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
fn position(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let arguments = with_value(name, arguments, context)?;
    let nullable = arguments.iter().any(|a| a.nullable);
    Ok(Kernel::new(name, DataType::Int64, nullable).arrays(&arguments, move |arrays, rows| {
        let [array, value] = arrays else { return Err(SparkError::internal("array_position has two arguments")) };
        let list = list(array.as_ref())?;
        let same = make_comparator(list.values().as_ref(), value.as_ref(), SortOptions::default()).map_err(internal)?;
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

/// Places of `candidates` in the order they come, each value once.
fn once(same: &dyn Fn(usize, usize) -> bool, candidates: impl Iterator<Item = usize>, places: &mut Vec<u32>) {
    let first = places.len();
    for at in candidates {
        if !places.iter().skip(first).any(|known| same(*known as usize, at)) {
            places.push(at as u32);
        }
    }
}

fn distinct(name: &str, arguments: &[Typed], _: &FunctionContext) -> Result<Typed, SparkError> {
    let [argument] = exactly(name, arguments)?;
    let item = item_of(name, arguments, 0)?;
    Ok(rearranged(name, argument, item, |list, row, places| {
        let order = make_comparator(list.values().as_ref(), list.values().as_ref(), SortOptions::default())
            .map_err(internal)?;
        once(&|a, b| order(a, b).is_eq(), range(list, row), places);
        Ok(())
    }))
}

fn compact(name: &str, arguments: &[Typed], _: &FunctionContext) -> Result<Typed, SparkError> {
    let [argument] = exactly(name, arguments)?;
    let item = Arc::new(item_of(name, arguments, 0)?.as_ref().clone().with_nullable(false));
    Ok(rearranged(name, argument, item, |list, row, places| {
        places.extend(range(list, row).filter(|at| list.values().is_valid(*at)).map(|at| at as u32));
        Ok(())
    }))
}

/// `array_remove(array, value)`: without all elements equal to the value; nulls stay.
fn remove(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
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
        let same = make_comparator(list.values().as_ref(), value.as_ref(), SortOptions::default()).map_err(internal)?;
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

/// Two arrays of one type.
fn two_arrays(
    name: &str,
    arguments: &[Typed],
    context: &FunctionContext,
) -> Result<([Typed; 2], bool, bool), SparkError> {
    let [left, right] = exactly(name, arguments)?;
    let (a, b) = (item_of(name, arguments, 0)?, item_of(name, arguments, 1)?);
    let common = coerce::common_type(&[a.data_type().clone(), b.data_type().clone()], context.ansi)
        .ok_or_else(|| no_common_type(name, arguments))?;
    let to = |typed: &Typed, nullable| coerce::cast_to(typed.clone(), &types::array(common.clone(), nullable), context);
    Ok(([to(left, a.is_nullable())?, to(right, b.is_nullable())?], a.is_nullable(), b.is_nullable()))
}

/// Which elements of two arrays a set operation keeps.
#[derive(Clone, Copy, PartialEq)]
enum Keep {
    Both,
    Shared,
    LeftOnly,
}

fn set_operation(name: &str, arguments: &[Typed], context: &FunctionContext, keep: Keep) -> Result<Typed, SparkError> {
    let (arguments, left_null, right_null) = two_arrays(name, arguments, context)?;
    let contains_null = match keep {
        Keep::Both => left_null || right_null,
        Keep::Shared => left_null && right_null,
        Keep::LeftOnly => left_null,
    };
    let [left, _] = &arguments;
    let DataType::List(item) = &left.data_type else { return Err(SparkError::internal("an array")) };
    let item = Arc::new(item.as_ref().clone().with_nullable(contains_null));
    let nullable = arguments.iter().any(|a| a.nullable);
    Ok(Kernel::new(name, DataType::List(Arc::clone(&item)), nullable).arrays(&arguments, move |arrays, rows| {
        let [left, right] = arrays else { return Err(SparkError::internal("a function of two arrays")) };
        let (left, right) = (list(left.as_ref())?, list(right.as_ref())?);
        let values = arrow::compute::concat(&[left.values().as_ref(), right.values().as_ref()]).map_err(internal)?;
        let shift = left.values().len();
        let order = make_comparator(values.as_ref(), values.as_ref(), SortOptions::default()).map_err(internal)?;
        let same = |a: usize, b: usize| order(a, b).is_eq();
        let nulls = NullBuffer::union(left.nulls(), right.nulls());
        let (mut places, mut lengths) = (Vec::new(), Vec::with_capacity(rows));
        for row in 0..rows {
            let before = places.len();
            if nulls.as_ref().is_none_or(|n| n.is_valid(row)) {
                let second = || range(right, row).map(|at| at + shift);
                let shared = |at: &usize| second().any(|other| same(*at, other));
                match keep {
                    Keep::Both => once(&same, range(left, row).chain(second()), &mut places),
                    Keep::Shared => once(&same, range(left, row).filter(shared), &mut places),
                    Keep::LeftOnly => once(&same, range(left, row).filter(|at| !shared(at)), &mut places),
                }
            }
            lengths.push(places.len() - before);
        }
        picked(&item, &values, places, lengths, nulls)
    }))
}

fn union(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    set_operation(name, arguments, context, Keep::Both)
}

fn intersect(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    set_operation(name, arguments, context, Keep::Shared)
}

fn except(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    set_operation(name, arguments, context, Keep::LeftOnly)
}

/// `arrays_overlap`: null if they share nothing but one of them (neither empty) has a null.
fn overlap(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let (arguments, left_null, right_null) = two_arrays(name, arguments, context)?;
    let nullable = left_null || right_null || arguments.iter().any(|a| a.nullable);
    Ok(Kernel::new(name, DataType::Boolean, nullable).arrays(&arguments, move |arrays, rows| {
        let [left, right] = arrays else { return Err(SparkError::internal("a function of two arrays")) };
        let (left, right) = (list(left.as_ref())?, list(right.as_ref())?);
        let same = make_comparator(left.values().as_ref(), right.values().as_ref(), SortOptions::default())
            .map_err(internal)?;
        let found = (0..rows).map(|row| {
            if left.is_null(row) || right.is_null(row) {
                return None;
            }
            let (a, b) = (range(left, row), range(right, row));
            let known = |at: &usize| left.values().is_valid(*at);
            if a.clone().filter(known).any(|x| b.clone().any(|y| right.values().is_valid(y) && same(x, y).is_eq())) {
                return Some(true);
            }
            let has_null =
                a.clone().any(|at| left.values().is_null(at)) || b.clone().any(|at| right.values().is_null(at));
            (!has_null || a.is_empty() || b.is_empty()).then_some(false)
        });
        Ok(Arc::new(found.collect::<BooleanArray>()))
    }))
}

/// `array_max`, `array_min`: nulls are left out, NaN is the largest.
fn extremum(name: &str, arguments: &[Typed], _: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<1>(name, arguments)?;
    let item = item_of(name, arguments, 0)?;
    let largest = name.eq_ignore_ascii_case("array_max");
    Ok(Kernel::new(name, item.data_type().clone(), true).arrays(arguments, move |arrays, rows| {
        let [array] = arrays else { return Err(SparkError::internal("a function of one array")) };
        let list = list(array.as_ref())?;
        let order = make_comparator(list.values().as_ref(), list.values().as_ref(), SortOptions::default())
            .map_err(internal)?;
        let best = |row: usize| {
            let known = range(list, row).filter(|at| list.is_valid(row) && list.values().is_valid(*at));
            let best = if largest { known.max_by(|a, b| order(*a, *b)) } else { known.min_by(|a, b| order(*a, *b)) };
            best.map(|at| at as u32)
        };
        take(list.values(), &(0..rows).map(best).collect::<UInt32Array>(), None).map_err(internal)
    }))
}

/// `array_join(array of strings, delimiter[, replacement of nulls])`.
fn join(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[2, 3])?;
    item_of(name, arguments, 0)?;
    let texts = types::array(DataType::Utf8, true);
    let mut cells = Vec::with_capacity(arguments.len());
    for (index, argument) in arguments.iter().enumerate() {
        let wanted = if index == 0 {
            Expected::ArrayOf(Box::new(Expected::Exactly(DataType::Utf8)))
        } else {
            Expected::Exactly(DataType::Utf8)
        };
        if !wanted.accepts(&argument.data_type)
            && coerce::implicit_type(&argument.data_type, &wanted, context.ansi).is_none()
        {
            return Err(unexpected_input(
                name,
                arguments,
                index,
                if index == 0 { "\"ARRAY<STRING>\"" } else { "\"STRING\"" },
            ));
        }
        cells.push(coerce::cast_to(argument.clone(), if index == 0 { &texts } else { &DataType::Utf8 }, context)?);
    }
    let nullable = cells.iter().any(|c| c.nullable);
    Ok(Kernel::new(name, DataType::Utf8, nullable).arrays(&cells, move |arrays, rows| {
        let [array, rest @ ..] = arrays else { return Err(SparkError::internal("array_join has arguments")) };
        let list = list(array.as_ref())?;
        let values = string(list.values().as_ref())?;
        let rest = rest.iter().map(|a| string(a.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let mut text = String::new();
        let joined = (0..rows).map(|row| {
            let [delimiter, replacement @ ..] = &rest[..] else { return None };
            if list.is_null(row) || rest.iter().any(|r| r.is_null(row)) {
                return None;
            }
            text.clear();
            let replacement = replacement.first().map(|r| r.value(row));
            let parts =
                range(list, row).filter_map(|at| if values.is_null(at) { replacement } else { Some(values.value(at)) });
            for (index, part) in parts.enumerate() {
                if index > 0 {
                    text.push_str(delimiter.value(row));
                }
                text.push_str(part);
            }
            Some(text.clone())
        });
        Ok(Arc::new(joined.collect::<StringArray>()))
    }))
}

/// An array of arrays as one; null if one of them is.
fn flatten(name: &str, arguments: &[Typed], _: &FunctionContext) -> Result<Typed, SparkError> {
    let [argument] = exactly(name, arguments)?;
    let outer = item_of(name, arguments, 0)?;
    let DataType::List(inner) = outer.data_type() else {
        return Err(unexpected_input(name, arguments, 0, "\"ARRAY\" of \"ARRAY\""));
    };
    let item = Arc::clone(inner);
    let nullable = argument.nullable || outer.is_nullable();
    Ok(Kernel::new(name, outer.data_type().clone(), nullable).arrays(arguments, move |arrays, rows| {
        let [array] = arrays else { return Err(SparkError::internal("flatten has one argument")) };
        let outer = list(array.as_ref())?;
        let inner = list(outer.values().as_ref())?;
        let whole = |row: usize| outer.is_valid(row) && range(outer, row).all(|at| inner.is_valid(at));
        let valid: Vec<bool> = (0..rows).map(whole).collect();
        let (mut places, mut lengths) = (Vec::new(), Vec::with_capacity(rows));
        for (row, whole) in valid.iter().enumerate() {
            let before = places.len();
            if *whole {
                places.extend(range(outer, row).flat_map(|at| range(inner, at)).map(|at| at as u32));
            }
            lengths.push(places.len() - before);
        }
        picked(&item, inner.values(), places, lengths, Some(NullBuffer::from(valid)))
    }))
}

/// `slice(array, start, length)`: from 1, from the end if negative.
fn slice(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let [array, start, length] = exactly(name, arguments)?;
    let item = item_of(name, arguments, 0)?;
    let number = |typed: &Typed, index: usize| match coerce::implicit_type(
        &typed.data_type,
        &Expected::Exactly(DataType::Int32),
        context.ansi,
    ) {
        Some(_) => coerce::cast_to(typed.clone(), &DataType::Int32, context),
        None if typed.data_type == DataType::Int32 => Ok(typed.clone()),
        None => Err(unexpected_input(name, arguments, index, "\"INT\"")),
    };
    let cells = [array.clone(), number(start, 1)?, number(length, 2)?];
    let nullable = cells.iter().any(|c| c.nullable);
    let kernel = Kernel::new(name, DataType::List(Arc::clone(&item)), nullable).fallible();
    Ok(kernel.arrays(&cells, move |arrays, rows| {
        use arrow::datatypes::Int32Type;
        let [array, start, length] = arrays else { return Err(SparkError::internal("slice has three arguments")) };
        let list = list(array.as_ref())?;
        let (start, length) = (
            crate::kernel::primitive::<Int32Type>(start.as_ref())?,
            crate::kernel::primitive::<Int32Type>(length.as_ref())?,
        );
        let nulls = crate::rows::nulls_of(arrays);
        let (mut places, mut lengths) = (Vec::new(), Vec::with_capacity(rows));
        for row in 0..rows {
            let before = places.len();
            if nulls.as_ref().is_none_or(|n| n.is_valid(row)) {
                let elements = range(list, row);
                let (start, length) = (i64::from(start.value(row)), i64::from(length.value(row)));
                let bad = |parameter: &str, rule: &str| {
                    SparkError::new(
                        millstream_formats::condition::ExceptionClass::Runtime,
                        &format!("INVALID_PARAMETER_VALUE.{parameter}"),
                        "22023",
                        format!(
                            "The value of parameter(s) `{}` in `slice` is invalid: {rule}",
                            parameter.to_lowercase()
                        ),
                    )
                };
                if start == 0 {
                    return Err(bad("START", "Expects a positive or a negative value for `start`, but got 0."));
                }
                if length < 0 {
                    return Err(bad(
                        "LENGTH",
                        &format!("Expects `length` greater than or equal to 0, but got {length}."),
                    ));
                }
                let count = elements.len() as i64;
                let first = if start < 0 { count + start } else { start - 1 };
                if (0..count).contains(&first) {
                    let end = (first + length).min(count);
                    places.extend((first..end).map(|at| (elements.start as i64 + at) as u32));
                }
            }
            lengths.push(places.len() - before);
        }
        picked(&item, list.values(), places, lengths, nulls)
    }))
}

/// `array_repeat(value, count)`.
fn repeat(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    use arrow::datatypes::Int32Type;
    let [value, count] = exactly(name, arguments)?;
    if !coerce::is_numeric(&count.data_type) && count.data_type != DataType::Null {
        return Err(unexpected_input(name, arguments, 1, "\"INT\""));
    }
    let count = coerce::cast_to(count.clone(), &DataType::Int32, context)?;
    let item = Arc::new(Field::new("element", value.data_type.clone(), value.nullable));
    let kernel = Kernel::new(name, DataType::List(Arc::clone(&item)), count.nullable);
    Ok(kernel.arrays(&[value.clone(), count], move |arrays, rows| {
        let [value, count] = arrays else { return Err(SparkError::internal("array_repeat has two arguments")) };
        let count = crate::kernel::primitive::<Int32Type>(count.as_ref())?;
        let (mut places, mut lengths) = (Vec::new(), Vec::with_capacity(rows));
        for row in 0..rows {
            let times = if count.is_null(row) { 0 } else { usize::try_from(count.value(row)).unwrap_or(0) };
            places.extend(std::iter::repeat_n(row as u32, times));
            lengths.push(times);
        }
        picked(&item, value, places, lengths, count.nulls().cloned())
    }))
}

/// `array_append`, `array_prepend`; the value may be null, a null array gives null.
fn add(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let item = item_of(name, arguments, 0)?;
    let at_end = name.eq_ignore_ascii_case("array_append");
    let arguments = with_value(name, arguments, context)?;
    let [array, value] = &arguments;
    let DataType::List(common) = &array.data_type else { return Err(SparkError::internal("an array")) };
    let item = Arc::new(common.as_ref().clone().with_nullable(item.is_nullable() || value.nullable));
    let kernel = Kernel::new(name, DataType::List(Arc::clone(&item)), array.nullable);
    Ok(kernel.arrays(&arguments, move |arrays, rows| {
        let [array, value] = arrays else { return Err(SparkError::internal("a function of an array and a value")) };
        let list = list(array.as_ref())?;
        let (mut order, mut lengths) = (Vec::with_capacity(list.values().len() + rows), Vec::with_capacity(rows));
        for row in 0..rows {
            let before = order.len();
            if list.is_valid(row) {
                if !at_end {
                    order.push((1, row));
                }
                order.extend(range(list, row).map(|at| (0, at)));
                if at_end {
                    order.push((1, row));
                }
            }
            lengths.push(order.len() - before);
        }
        let values = interleave(&[list.values().as_ref(), value.as_ref()], &order).map_err(internal)?;
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(Arc::new(ListArray::try_new(Arc::clone(&item), offsets, values, list.nulls().cloned()).map_err(internal)?))
    }))
}
