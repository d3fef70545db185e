//! Reaching into values: elements of arrays, values of maps, fields of structs.

use std::sync::Arc;

use arrow::array::{Array, ListArray, UInt32Array, make_comparator};
use arrow::compute::{SortOptions, take};
use arrow::datatypes::{DataType, Field, Int32Type};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::{ExceptionClass, SparkError};

use super::generate::under_nulls_of;
use crate::arguments::{exactly, expect_count, type_mismatch, unexpected_input};
use crate::coerce::{self, Expected};
use crate::kernel::{Kernel, list, map, primitive, structs};
use crate::{Function, FunctionContext, Typed};

pub(super) fn lookup(name: &str) -> Option<Function> {
    Some(Function::Scalar(match name {
        "[" => extract,
        "get" => get,
        "element_at" => element_at,
        "try_element_at" => try_element_at,
        _ => return None,
    }))
}

/// `value[key]`; the analyzer gives field names of structs as constants, exactly as they stand in the type.
fn extract(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let [value, key] = exactly(name, arguments)?;
    match (&value.data_type, key.as_literal()) {
        (DataType::Struct(_), Some(ScalarValue::Utf8(Some(field)))) => struct_field(value, field),
        (DataType::List(item), Some(ScalarValue::Utf8(Some(field))))
            if matches!(item.data_type(), DataType::Struct(_)) =>
        {
            field_of_elements(value, field)
        }
        (DataType::List(item), _) => {
            let index = integral(name, arguments, key, context)?;
            let out_of_range = if context.ansi { OutOfRange::Fails("INVALID_ARRAY_INDEX") } else { OutOfRange::Null };
            Ok(element(value, &index, item, Base::Zero, out_of_range))
        }
        (DataType::Map(..), _) => map_value(name, arguments, value, key, context),
        _ => Err(unexpected_input(name, arguments, 0, "(\"ARRAY\" or \"MAP\" or \"STRUCT\")")),
    }
}

fn struct_field(value: &Typed, field: &str) -> Result<Typed, SparkError> {
    let DataType::Struct(fields) = &value.data_type else { return Err(SparkError::internal("a field of no struct")) };
    let found = fields.iter().position(|f| f.name() == field);
    let (index, found) = found
        .and_then(|i| Some((i, fields.get(i)?)))
        .ok_or_else(|| SparkError::internal(format!("no field {field}")))?;
    let kernel = Kernel::new("[", found.data_type().clone(), value.nullable || found.is_nullable()).bound_to(field);
    Ok(kernel.arrays(std::slice::from_ref(value), move |arrays, _| {
        let [array] = arrays else { return Err(SparkError::internal("a field has one argument")) };
        let rows = structs(array.as_ref())?;
        under_nulls_of(rows, rows.column(index))
    }))
}

/// The array of a field of each element.
fn field_of_elements(value: &Typed, field: &str) -> Result<Typed, SparkError> {
    let DataType::List(item) = &value.data_type else { return Err(SparkError::internal("elements of no array")) };
    let DataType::Struct(fields) = item.data_type() else { return Err(SparkError::internal("a field of no struct")) };
    let found = fields.iter().position(|f| f.name() == field);
    let (index, found) = found
        .and_then(|i| Some((i, fields.get(i)?)))
        .ok_or_else(|| SparkError::internal(format!("no field {field}")))?;
    let element = Arc::new(Field::new("element", found.data_type().clone(), item.is_nullable() || found.is_nullable()));
    let kernel = Kernel::new("[", DataType::List(Arc::clone(&element)), value.nullable).bound_to(field);
    Ok(kernel.arrays(std::slice::from_ref(value), move |arrays, _| {
        let [array] = arrays else { return Err(SparkError::internal("a field has one argument")) };
        let list = list(array.as_ref())?;
        let rows = structs(list.values().as_ref())?;
        let values = under_nulls_of(rows, rows.column(index))?;
        let nulls = list.nulls().cloned();
        Ok(Arc::new(ListArray::try_new(Arc::clone(&element), list.offsets().clone(), values, nulls)?))
    }))
}

/// From where elements are counted.
#[derive(Clone, Copy, PartialEq)]
enum Base {
    /// From 0; there is nothing before it.
    Zero,
    /// From 1; negative numbers count from the end, 0 is an error.
    One,
}

/// What an index without an element gives.
#[derive(Clone, Copy, PartialEq)]
enum OutOfRange {
    Null,
    /// An error of this condition.
    Fails(&'static str),
}

fn integral(name: &str, arguments: &[Typed], key: &Typed, context: &FunctionContext) -> Result<Typed, SparkError> {
    match key.data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Null => {
            coerce::cast_to(key.clone(), &DataType::Int32, context)
        }
        DataType::Int64 => coerce::cast_to(key.clone(), &DataType::Int32, context),
        _ => Err(unexpected_input(name, arguments, 1, "\"INTEGRAL\"")),
    }
}

fn element(value: &Typed, index: &Typed, item: &Field, base: Base, out_of_range: OutOfRange) -> Typed {
    let mut kernel = Kernel::new("[", item.data_type().clone(), true);
    kernel = kernel.bound_to(if base == Base::One { "1" } else { "0" });
    if let OutOfRange::Fails(condition) = out_of_range {
        kernel = kernel.bound_to(condition).fallible();
    }
    kernel.arrays(&[value.clone(), index.clone()], move |arrays, rows| {
        let [array, index] = arrays else { return Err(SparkError::internal("an element has two arguments")) };
        let (list, index) = (list(array.as_ref())?, primitive::<Int32Type>(index.as_ref())?);
        let mut places = Vec::with_capacity(rows);
        for row in 0..rows {
            if list.is_null(row) || index.is_null(row) {
                places.push(None);
                continue;
            }
            let (wanted, length) = (index.value(row), list.value_length(row));
            let at = place(wanted, length, base)?;
            match (at, out_of_range) {
                (Some(at), _) => places.push(Some(list.value_offsets()[row].unsigned_abs() + at)),
                (None, OutOfRange::Null) => places.push(None),
                (None, OutOfRange::Fails(condition)) => return Err(invalid_index(condition, wanted, length)),
            }
        }
        Ok(take(list.values(), &UInt32Array::from(places), None)?)
    })
}

/// Where in an array of `length` an index points.
fn place(wanted: i32, length: i32, base: Base) -> Result<Option<u32>, SparkError> {
    let at = match base {
        Base::Zero => wanted,
        Base::One if wanted == 0 => {
            return Err(SparkError::new(
                ExceptionClass::Runtime,
                "INVALID_INDEX_OF_ZERO",
                "22003",
                "The index 0 is invalid. An index shall be either < 0 or > 0 (the first element has index 1).",
            ));
        }
        Base::One if wanted < 0 => length.saturating_add(wanted),
        Base::One => wanted - 1,
    };
    Ok(u32::try_from(at).ok().filter(|_| at < length))
}

fn invalid_index(condition: &str, index: i32, length: i32) -> SparkError {
    let hint = if condition == "INVALID_ARRAY_INDEX" {
        "Use the SQL function `get()` to tolerate accessing element at invalid index and return NULL instead."
    } else {
        "Use `try_element_at` to tolerate accessing element at invalid index and return NULL instead."
    };
    SparkError::new(
        ExceptionClass::ArrayIndexOutOfBounds,
        condition,
        "22003",
        format!("The index {index} is out of bounds. The array has {length} elements. {hint}"),
    )
    .with("indexValue", index.to_string())
    .with("arraySize", length.to_string())
}

fn map_value(
    name: &str,
    arguments: &[Typed],
    value: &Typed,
    key: &Typed,
    context: &FunctionContext,
) -> Result<Typed, SparkError> {
    let (key_type, item) = match &value.data_type {
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => match &fields[..] {
                [key, value] => (key.data_type().clone(), value.data_type().clone()),
                _ => return Err(SparkError::internal("a map without entries")),
            },
            _ => return Err(SparkError::internal("a map without entries")),
        },
        _ => return Err(SparkError::internal("a key of no map")),
    };
    if !coerce::same_type(&key.data_type, &key_type)
        && coerce::implicit_type(&key.data_type, &Expected::Exactly(key_type.clone()), context.ansi).is_none()
    {
        let wanted = millstream_formats::types::sql_name(&key_type);
        return match name {
            "[" => Err(unexpected_input(name, arguments, 1, &format!("\"{wanted}\""))),
            _ => Err(type_mismatch(
                "MAP_FUNCTION_DIFF_TYPES",
                name,
                arguments,
                "the key is of another type than those of the map",
            )),
        };
    }
    let key = coerce::cast_to(key.clone(), &key_type, context)?;
    Ok(Kernel::new("[", item, true).arrays(&[value.clone(), key], move |arrays, rows| {
        let [array, key] = arrays else { return Err(SparkError::internal("a value has two arguments")) };
        let map = map(array.as_ref())?;
        let same = make_comparator(map.keys().as_ref(), key.as_ref(), SortOptions::default())?;
        let offsets = map.value_offsets();
        let find = |row: usize| {
            if map.is_null(row) || key.is_null(row) {
                return None;
            }
            let (begin, end) = (offsets[row].unsigned_abs(), offsets[row + 1].unsigned_abs());
            (begin..end).find(|at| same(*at as usize, row).is_eq())
        };
        let places: UInt32Array = (0..rows).map(find).collect();
        Ok(take(map.values(), &places, None)?)
    }))
}

/// `get(array, index)`: from 0, null outside.
fn get(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let [value, key] = exactly(name, arguments)?;
    let DataType::List(item) = &value.data_type else { return Err(unexpected_input(name, arguments, 0, "\"ARRAY\"")) };
    Ok(element(value, &integral(name, arguments, key, context)?, item, Base::Zero, OutOfRange::Null))
}

fn element_at(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let fails = if context.ansi { OutOfRange::Fails("INVALID_ARRAY_INDEX_IN_ELEMENT_AT") } else { OutOfRange::Null };
    element_from_one(name, arguments, context, fails)
}

fn try_element_at(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    element_from_one(name, arguments, context, OutOfRange::Null)
}

fn element_from_one(
    name: &str,
    arguments: &[Typed],
    context: &FunctionContext,
    out_of_range: OutOfRange,
) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[2])?;
    let [value, key] = exactly(name, arguments)?;
    match &value.data_type {
        DataType::List(item) => {
            let index = integral(name, arguments, key, context)?;
            Ok(element(value, &index, item, Base::One, out_of_range))
        }
        DataType::Map(..) => map_value(name, arguments, value, key, context),
        _ => Err(unexpected_input(name, arguments, 0, "(\"ARRAY\" or \"MAP\")")),
    }
}

/// The field of a struct as an array, for callers that hold the array.
#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, AsArray, Int32Array, Int32Builder, MapBuilder, StringBuilder};
    use arrow::datatypes::Int32Type as I32;

    use super::*;
    use crate::test_context::{ansi, legacy};

    fn column(name: &str, array: &ArrayRef) -> Typed {
        Typed::new(datafusion::prelude::col(name), array.data_type().clone(), true)
    }

    fn run(call: &Typed, columns: Vec<(&str, ArrayRef)>) -> Result<ArrayRef, SparkError> {
        let batch = arrow::array::RecordBatch::try_from_iter(columns).unwrap();
        let schema = datafusion::common::DFSchema::try_from(batch.schema().as_ref().clone()).unwrap();
        let props = datafusion::logical_expr::execution_props::ExecutionProps::new();
        let expr =
            datafusion::physical_expr::create_physical_expr(&call.expr, &schema, &props, &Default::default()).unwrap();
        let value = expr.evaluate(&batch).map_err(crate::kernel::from_datafusion)?;
        value.into_array(batch.num_rows()).map_err(crate::kernel::from_datafusion)
    }

    fn lists() -> ArrayRef {
        let field = Arc::new(Field::new("element", DataType::Int32, true));
        let offsets = arrow::buffer::OffsetBuffer::from_lengths([2, 0]);
        Arc::new(ListArray::new(field, offsets, Arc::new(Int32Array::from(vec![10, 20])), None))
    }

    #[test]
    fn an_index_outside_fails_in_ansi_mode_and_is_null_otherwise() {
        let (a, i): (ArrayRef, ArrayRef) = (lists(), Arc::new(Int32Array::from(vec![1, 0])));
        let arguments = [column("a", &a), column("i", &i)];
        let strict = extract("[", &arguments, &ansi()).unwrap();
        let error = run(&strict, vec![("a", Arc::clone(&a)), ("i", Arc::clone(&i))]).unwrap_err();
        assert_eq!(error.condition(), Some("INVALID_ARRAY_INDEX"));
        let lenient = extract("[", &arguments, &legacy()).unwrap();
        let values = run(&lenient, vec![("a", a), ("i", i)]).unwrap();
        assert_eq!(values.as_primitive::<I32>().iter().collect::<Vec<_>>(), [Some(20), None]);
    }

    #[test]
    fn element_at_counts_from_one_and_from_the_end() {
        let (a, i): (ArrayRef, ArrayRef) = (lists(), Arc::new(Int32Array::from(vec![-1, 1])));
        let call = try_element_at("try_element_at", &[column("a", &a), column("i", &i)], &ansi()).unwrap();
        let values = run(&call, vec![("a", a), ("i", i)]).unwrap();
        assert_eq!(values.as_primitive::<I32>().iter().collect::<Vec<_>>(), [Some(20), None]);
    }

    #[test]
    fn a_key_that_is_not_in_the_map_gives_null() {
        let names = arrow::array::MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() };
        let mut builder = MapBuilder::new(Some(names), StringBuilder::new(), Int32Builder::new());
        for pairs in [vec![("x", 1), ("y", 2)], vec![]] {
            pairs.iter().for_each(|(k, v)| {
                builder.keys().append_value(k);
                builder.values().append_value(*v);
            });
            builder.append(true).unwrap();
        }
        let m: ArrayRef = Arc::new(builder.finish());
        let key = Typed::literal(ScalarValue::Utf8(Some("y".into())));
        let call = extract("[", &[column("m", &m), key], &ansi()).unwrap();
        let values = run(&call, vec![("m", m)]).unwrap();
        assert_eq!(values.as_primitive::<I32>().iter().collect::<Vec<_>>(), [Some(2), None]);
    }
}
