//! Arrays made longer, shorter or flat, and joined to texts.

use std::sync::Arc;

use arrow::array::{Array, ListArray, StringArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, Field};
use millstream_formats::condition::SparkError;
use millstream_formats::types;

use super::{item_of, picked, range, with_value};
use crate::arguments::{exactly, expect_count, unexpected_input};
use crate::coerce::Expected;
use crate::kernel::{Kernel, list, string};
use crate::{FunctionContext, Typed, coerce};

/// `array_join(array of strings, delimiter[, replacement of nulls])`.
pub(super) fn join(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
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
pub(super) fn flatten(name: &str, arguments: &[Typed], _: &FunctionContext) -> Result<Typed, SparkError> {
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
pub(super) fn slice(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
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
pub(super) fn repeat(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
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
pub(super) fn add(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
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
        let values = interleave(&[list.values().as_ref(), value.as_ref()], &order)?;
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(Arc::new(ListArray::try_new(Arc::clone(&item), offsets, values, list.nulls().cloned())?))
    }))
}
