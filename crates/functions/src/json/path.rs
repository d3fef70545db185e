//! Parts of documents: `get_json_object`, `json_tuple`, `json_object_keys`, `json_array_length`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Builder, ListArray, ListBuilder, StringArray, StringBuilder, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::json::{Document, JsonPath};
use millstream_formats::types;

use crate::arguments::{exactly, wrong_count};
use crate::coerce::{self, Expected};
use crate::kernel::{Kernel, string};
use crate::{FunctionContext, Typed};

pub(super) fn get_json_object(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<2>(name, arguments)?;
    let values = coerce::arguments(name, arguments, &[Expected::STRING, Expected::STRING], context)?;
    Ok(Kernel::new(name, DataType::Utf8, true).arrays(&values, |arrays, _| {
        let [texts, paths] = arrays else { return Err(SparkError::internal("get_json_object has two arguments")) };
        let (texts, paths) = (string(texts.as_ref())?, string(paths.as_ref())?);
        let mut builder = StringBuilder::with_capacity(texts.len(), texts.len() * 16);
        let (mut document, mut found) = (Document::default(), String::new());
        // The path is mostly the same for all rows.
        let mut known: Option<(String, Option<JsonPath>)> = None;
        for (text, path) in texts.iter().zip(paths) {
            let (Some(text), Some(path)) = (text, path) else {
                builder.append_null();
                continue;
            };
            if known.as_ref().is_none_or(|(before, _)| before != path) {
                known = Some((path.to_string(), JsonPath::parse(path)));
            }
            found.clear();
            match known.as_ref().and_then(|(_, path)| path.as_ref()) {
                Some(path) if document.read(text) && document.get(text, path, &mut found) => {
                    builder.append_value(&found)
                }
                _ => builder.append_null(),
            }
        }
        Ok(Arc::new(builder.finish()))
    }))
}

pub(super) fn json_array_length(
    name: &str,
    arguments: &[Typed],
    context: &FunctionContext,
) -> Result<Typed, SparkError> {
    exactly::<1>(name, arguments)?;
    let values = coerce::arguments(name, arguments, &[Expected::STRING], context)?;
    Ok(Kernel::new(name, DataType::Int32, true).arrays(&values, |arrays, _| {
        let texts = only(arrays)?;
        let (mut document, mut builder) = (Document::default(), Int32Builder::with_capacity(texts.len()));
        for text in texts {
            let length = text.filter(|text| document.read(text)).and_then(|_| document.array_length());
            builder.append_option(length.and_then(|length| i32::try_from(length).ok()));
        }
        Ok(Arc::new(builder.finish()))
    }))
}

pub(super) fn json_object_keys(
    name: &str,
    arguments: &[Typed],
    context: &FunctionContext,
) -> Result<Typed, SparkError> {
    exactly::<1>(name, arguments)?;
    let values = coerce::arguments(name, arguments, &[Expected::STRING], context)?;
    Ok(Kernel::new(name, types::array(DataType::Utf8, true), true).arrays(&values, |arrays, _| {
        let texts = only(arrays)?;
        let mut document = Document::default();
        let mut builder =
            ListBuilder::new(StringBuilder::new()).with_field(Field::new("element", DataType::Utf8, true));
        for text in texts {
            let keys = text.filter(|text| document.read(text)).and_then(|text| document.keys(text));
            let valid = keys.is_some();
            keys.into_iter().flatten().for_each(|key| builder.values().append_value(key));
            builder.append(valid);
        }
        Ok(Arc::new(builder.finish()))
    }))
}

fn only(arrays: &[ArrayRef]) -> Result<&StringArray, SparkError> {
    match arrays {
        [texts] => string(texts.as_ref()),
        _ => Err(SparkError::internal("a function of one document")),
    }
}

/// One row with a column `c0`, `c1`, … for each name.
pub(super) fn json_tuple(name: &str, arguments: &[Typed], _: &FunctionContext) -> Result<Typed, SparkError> {
    if arguments.len() < 2 {
        return Err(wrong_count(name, "> 1", arguments.len()));
    }
    if let Some(argument) = arguments.iter().find(|a| !matches!(a.data_type, DataType::Utf8 | DataType::Null)) {
        let found = types::sql_name(&argument.data_type);
        return Err(SparkError::new(
            ExceptionClass::Analysis,
            "DATATYPE_MISMATCH.NON_STRING_TYPE",
            "42K09",
            format!(
                "Cannot resolve \"{}\" due to data type mismatch: all arguments of the function `json_tuple` must be strings.",
                crate::sql_text::failed_call(name, arguments)
            ),
        )
        .with("funcName", "`json_tuple`")
        .with("actualType", found));
    }
    let width = arguments.len() - 1;
    let fields: Vec<Field> = (0..width).map(|i| Field::new(format!("c{i}"), DataType::Utf8, true)).collect();
    let item = Arc::new(Field::new("element", DataType::Struct(fields.into()), true));
    let bound = Arc::clone(&item);
    Ok(Kernel::new(name, DataType::List(item), false).arrays(arguments, move |arrays, rows| {
        let DataType::Struct(fields) = bound.data_type() else { return Err(SparkError::internal("rows are structs")) };
        let columns = tuple_columns(arrays, rows)?;
        let structs = StructArray::try_new_with_length(fields.clone(), columns, None, rows)?;
        let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(1, rows));
        Ok(Arc::new(ListArray::try_new(Arc::clone(&bound), offsets, Arc::new(structs), None)?))
    }))
}

fn tuple_columns(arrays: &[ArrayRef], rows: usize) -> Result<Vec<ArrayRef>, SparkError> {
    let strings = |array: &ArrayRef| match array.data_type() {
        DataType::Null => Ok(StringArray::new_null(rows)),
        _ => string(array.as_ref()).cloned(),
    };
    let columns = arrays.iter().map(strings).collect::<Result<Vec<_>, _>>()?;
    let Some((texts, names)) = columns.split_first() else { return Ok(Vec::new()) };
    let mut builders: Vec<StringBuilder> = names.iter().map(|_| StringBuilder::new()).collect();
    let (mut document, mut found) = (Document::default(), String::new());
    for (row, text) in texts.iter().enumerate() {
        let text = text.filter(|text| document.read(text));
        for (name, builder) in names.iter().zip(&mut builders) {
            found.clear();
            let name = if name.is_null(row) { None } else { Some(name.value(row)) };
            match (text, name) {
                (Some(text), Some(name)) if document.field(text, name, &mut found) => builder.append_value(&found),
                _ => builder.append_null(),
            }
        }
    }
    Ok(builders.iter_mut().map(|b| Arc::new(b.finish()) as ArrayRef).collect())
}
