//! JSON in and out of columns. Documents are read and written by `millstream_formats::json`, as files are.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Array, ListArray, ListBuilder, StringArray, StringBuilder, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::json::{JsonReadOptions, JsonWriteOptions, JsonWriter, SchemaInference, from_json};
use millstream_formats::options::Options;
use millstream_formats::record::{ParseMode, Settings};
use millstream_formats::types;
use serde_json::Value;

use super::json_path::Path;
use crate::arguments::{exactly, expect_at_least, expect_count, not_constant, type_mismatch, unexpected_input};
use crate::coerce;
use crate::datetime::session_zone;
use crate::kernel::{Kernel, string};
use crate::{Function, FunctionContext, Typed};

pub(super) fn lookup(name: &str) -> Option<Function> {
    Some(match name {
        "from_json" => Function::Scalar(read),
        "to_json" => Function::Scalar(write),
        "schema_of_json" => Function::Scalar(schema_of),
        "get_json_object" => Function::Scalar(object),
        "json_array_length" => Function::Scalar(array_length),
        "json_object_keys" => Function::Scalar(object_keys),
        "json_tuple" => Function::Generator(tuple),
        _ => return None,
    })
}

fn internal(error: arrow::error::ArrowError) -> SparkError {
    SparkError::internal(error.to_string())
}

/// Options given as a map of constants.
pub(super) fn options(name: &str, arguments: &[Typed], index: usize) -> Result<Options, SparkError> {
    let Some(argument) = arguments.get(index) else { return Ok(Options::default()) };
    let not_a_map = || {
        SparkError::new(
            ExceptionClass::Analysis,
            "INVALID_OPTIONS.NON_MAP_FUNCTION",
            "42K06",
            "Invalid options: Must use the `map()` function for options.",
        )
    };
    let value =
        constant(argument).ok_or_else(|| not_constant(name, arguments, index, "options", "\"MAP<STRING, STRING>\""))?;
    let ScalarValue::Map(map) = value else { return Err(not_a_map()) };
    let (Ok(keys), Ok(values)) = (string(map.keys().as_ref()), string(map.values().as_ref())) else {
        return Err(SparkError::new(
            ExceptionClass::Analysis,
            "INVALID_OPTIONS.NON_STRING_TYPE",
            "42K06",
            format!(
                "Invalid options: A type of keys and values in `map()` must be string, but got \"{}\".",
                types::sql_name(&argument.data_type)
            ),
        ));
    };
    Ok(keys.iter().zip(values).filter_map(|(k, v)| Some((k?.to_string(), v?.to_string()))).collect())
}

/// The value of an expression without columns.
pub(super) fn constant(argument: &Typed) -> Option<ScalarValue> {
    if let Some(value) = argument.as_literal() {
        return Some(value.clone());
    }
    if !argument.expr.column_refs().is_empty() {
        return None;
    }
    let schema = datafusion::common::DFSchema::empty();
    let props = datafusion::logical_expr::execution_props::ExecutionProps::new();
    let expr =
        datafusion::physical_expr::create_physical_expr(&argument.expr, &schema, &props, &Default::default()).ok()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(1));
    let row =
        arrow::array::RecordBatch::try_new_with_options(Arc::new(arrow::datatypes::Schema::empty()), vec![], &options)
            .ok()?;
    ScalarValue::try_from_array(&expr.evaluate(&row).ok()?.into_array(1).ok()?, 0).ok()
}

fn settings(context: &FunctionContext) -> Result<Settings, SparkError> {
    Ok(Settings::new(session_zone(context)?))
}

fn text_argument(
    name: &str,
    arguments: &[Typed],
    index: usize,
    context: &FunctionContext,
) -> Result<Typed, SparkError> {
    coerce::argument(name, arguments, index, &coerce::Expected::Exactly(DataType::Utf8), context)
}

/// `from_json(text, schema[, options])`; the analyzer has made the schema a null of its type.
fn read(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[2, 3])?;
    let text = text_argument(name, arguments, 0, context)?;
    let wanted = match arguments.get(1) {
        Some(schema) if !matches!(schema.data_type, DataType::Utf8) => schema.data_type.clone(),
        _ => return Err(not_constant(name, arguments, 1, "schema", "\"STRING\"")),
    };
    if !matches!(wanted, DataType::Struct(_) | DataType::List(_) | DataType::Map(..)) {
        let text =
            format!("Input schema \"{}\" must be a struct, an array, a map or a variant.", types::sql_name(&wanted));
        return Err(
            type_mismatch("INVALID_JSON_SCHEMA", name, arguments, text).with("schema", types::sql_name(&wanted))
        );
    }
    let given = options(name, arguments, 2)?;
    let parsed = Arc::new(JsonReadOptions::parse(&given, &settings(context)?)?);
    if parsed.mode == ParseMode::DropMalformed {
        return Err(SparkError::new(
            ExceptionClass::Analysis,
            "PARSE_MODE_UNSUPPORTED",
            "42601",
            format!(
                "The function `{name}` doesn't support the DROPMALFORMED mode. Acceptable modes are PERMISSIVE and FAILFAST."
            ),
        ));
    }
    let bound: Vec<String> = given.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let empty: ArrayRef = Arc::new(StringArray::new_null(0));
    let result = from_json(string(empty.as_ref())?, &wanted, Arc::clone(&parsed))?.data_type().clone();
    let kernel = Kernel::new(name, result, true).bound_to(bound.join("\u{1}")).bound_to(&context.time_zone).fallible();
    Ok(kernel.arrays(&[text], move |arrays, _| {
        let [text] = arrays else { return Err(SparkError::internal("from_json reads one text")) };
        from_json(string(text.as_ref())?, &wanted, Arc::clone(&parsed))
    }))
}

/// `to_json(struct, array or map[, options])`.
fn write(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[1, 2])?;
    let [value, ..] = arguments else { return Err(SparkError::internal("to_json has an argument")) };
    if !matches!(value.data_type, DataType::Struct(_) | DataType::List(_) | DataType::Map(..)) {
        return Err(unexpected_input(name, arguments, 0, "(\"STRUCT\" or \"ARRAY\" or \"MAP\" or \"VARIANT\")"));
    }
    let given = options(name, arguments, 1)?;
    let parsed = JsonWriteOptions::parse(&given, &settings(context)?)?;
    let bound: Vec<String> = given.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let kernel =
        Kernel::new(name, DataType::Utf8, value.nullable).bound_to(bound.join("\u{1}")).bound_to(&context.time_zone);
    Ok(kernel.arrays(std::slice::from_ref(value), move |arrays, rows| {
        let [value] = arrays else { return Err(SparkError::internal("to_json writes one value")) };
        let writer = JsonWriter::new(&parsed).values(value)?;
        let mut texts = StringBuilder::with_capacity(rows, rows * 16);
        let mut text = String::new();
        for row in 0..rows {
            if value.is_null(row) {
                texts.append_null();
                continue;
            }
            text.clear();
            writer.write(row, &mut text);
            texts.append_value(&text);
        }
        Ok(Arc::new(texts.finish()))
    }))
}

/// `schema_of_json(constant[, options])`: a type in DDL.
fn schema_of(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[1, 2])?;
    let text = match arguments.first().and_then(constant) {
        Some(ScalarValue::Utf8(Some(text))) => text,
        Some(ScalarValue::Utf8(None)) => {
            return Err(type_mismatch("UNEXPECTED_NULL", name, arguments, "The `json` must not be null."));
        }
        _ => return Err(not_constant(name, arguments, 0, "json", "\"STRING\"")),
    };
    let parsed = Arc::new(JsonReadOptions::parse(&options(name, arguments, 1)?, &settings(context)?)?);
    // A document that is no object is looked at as the only field of one.
    let is_object = text.trim_start().starts_with('{');
    let record = if is_object { text } else { format!("{{\"v\":{text}}}") };
    let mut inference = SchemaInference::new(parsed);
    inference.add(&record)?;
    let fields: Fields = inference.finish();
    let data_type = match (is_object, fields.first()) {
        (false, Some(field)) => field.data_type().clone(),
        _ => DataType::Struct(fields),
    };
    Ok(Typed::literal(ScalarValue::Utf8(Some(types::sql_name(&data_type)))))
}

/// `get_json_object(text, path)`.
fn object(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<2>(name, arguments)?;
    let cells = [text_argument(name, arguments, 0, context)?, text_argument(name, arguments, 1, context)?];
    let fixed = cells[1].as_literal().and_then(|v| match v {
        ScalarValue::Utf8(Some(text)) => Some(Path::parse(text)),
        _ => None,
    });
    Ok(Kernel::new(name, DataType::Utf8, true).arrays(&cells, move |arrays, rows| {
        let [text, path] = arrays else { return Err(SparkError::internal("get_json_object has two arguments")) };
        let (text, path) = (string(text.as_ref())?, string(path.as_ref())?);
        let found = (0..rows).map(|row| {
            if text.is_null(row) || path.is_null(row) {
                return None;
            }
            let document: Value = serde_json::from_str(text.value(row)).ok()?;
            match &fixed {
                Some(path) => path.as_ref()?.find(&document),
                None => Path::parse(path.value(row))?.find(&document),
            }
        });
        Ok(Arc::new(found.collect::<StringArray>()))
    }))
}

/// A value as `get_json_object` and `json_tuple` give it: strings without quotes, null as none.
pub(super) fn plain_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// `json_tuple(text, f1, f2, …)`: one row of strings.
fn tuple(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_at_least(name, arguments, 2)?;
    let cells =
        (0..arguments.len()).map(|i| text_argument(name, arguments, i, context)).collect::<Result<Vec<_>, _>>()?;
    let fields: Fields = (0..cells.len() - 1).map(|i| Field::new(format!("c{i}"), DataType::Utf8, true)).collect();
    let item = Arc::new(Field::new("element", DataType::Struct(fields.clone()), true));
    let kernel = Kernel::new(name, DataType::List(Arc::clone(&item)), false);
    Ok(kernel.arrays(&cells, move |arrays, rows| {
        let texts = arrays.iter().map(|a| string(a.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let [document, names @ ..] = &texts[..] else { return Err(SparkError::internal("json_tuple has arguments")) };
        let mut columns: Vec<StringBuilder> = names.iter().map(|_| StringBuilder::new()).collect();
        for row in 0..rows {
            let parsed =
                document.is_valid(row).then(|| serde_json::from_str::<Value>(document.value(row)).ok()).flatten();
            for (column, name) in columns.iter_mut().zip(names) {
                let value = match (&parsed, name.is_valid(row)) {
                    (Some(Value::Object(fields)), true) => fields.get(name.value(row)).and_then(plain_text),
                    _ => None,
                };
                column.append_option(value);
            }
        }
        let columns = columns.iter_mut().map(|c| Arc::new(c.finish()) as ArrayRef).collect();
        let values = StructArray::try_new(fields.clone(), columns, None).map_err(internal)?;
        let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(1, rows));
        Ok(Arc::new(ListArray::try_new(Arc::clone(&item), offsets, Arc::new(values), None).map_err(internal)?))
    }))
}

/// `json_array_length`: null for what is no array.
fn array_length(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<1>(name, arguments)?;
    let text = text_argument(name, arguments, 0, context)?;
    Ok(Kernel::new(name, DataType::Int32, true).arrays(&[text], |arrays, _| {
        let [text] = arrays else { return Err(SparkError::internal("a function of one text")) };
        let lengths = string(text.as_ref())?.iter().map(|text| match serde_json::from_str(text?).ok()? {
            Value::Array(items) => i32::try_from(items.len()).ok(),
            _ => None,
        });
        Ok(Arc::new(lengths.collect::<Int32Array>()))
    }))
}

/// `json_object_keys`: those of the outermost object; null for what is none.
fn object_keys(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<1>(name, arguments)?;
    let text = text_argument(name, arguments, 0, context)?;
    let item = Arc::new(Field::new("element", DataType::Utf8, true));
    Ok(Kernel::new(name, DataType::List(Arc::clone(&item)), true).arrays(&[text], move |arrays, _| {
        let [text] = arrays else { return Err(SparkError::internal("a function of one text")) };
        let mut keys = ListBuilder::new(StringBuilder::new()).with_field(Arc::clone(&item));
        for text in string(text.as_ref())? {
            match text.and_then(|text| serde_json::from_str(text).ok()) {
                Some(Value::Object(fields)) => keys.append_value(fields.keys().map(|k| Some(k.clone()))),
                _ => keys.append_null(),
            }
        }
        Ok(Arc::new(keys.finish()))
    }))
}
