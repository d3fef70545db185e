//! `to_json`, `to_csv`.

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringBuilder, StructArray};
use arrow::datatypes::{DataType, IntervalUnit, Schema};
use millstream_formats::condition::SparkError;
use millstream_formats::csv::{CsvWriteOptions, CsvWriter};
use millstream_formats::json::{JsonWriteOptions, JsonWriter};
use millstream_formats::types;
use std::sync::Arc;

use super::options::{options, settings, text};
use crate::arguments::{expect_count, type_mismatch, unexpected_input};
use crate::kernel::{Kernel, structs};
use crate::{FunctionContext, Typed};

fn value<'a>(name: &str, arguments: &'a [Typed]) -> Result<&'a Typed, SparkError> {
    expect_count(name, arguments, &[1, 2])?;
    arguments.first().ok_or_else(|| SparkError::internal("a value is missing"))
}

pub(super) fn to_json(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let argument = value(name, arguments)?;
    match &argument.data_type {
        DataType::Struct(fields) if types::is_variant(fields) => {
            return Err(SparkError::unsupported("to_json of a variant"));
        }
        DataType::Struct(_) | DataType::List(_) | DataType::Map(..) => {}
        _ => {
            let required = "(\"STRUCT\" or \"ARRAY\" or \"MAP\" or \"VARIANT\")";
            return Err(unexpected_input(name, arguments, 0, required));
        }
    }
    let given = options(arguments, 1)?;
    let write = JsonWriteOptions::parse(&given, &settings(context)?)?;
    let kernel =
        Kernel::new(name, DataType::Utf8, argument.nullable).bound_to(&context.time_zone).bound_to(text(&given));
    Ok(kernel.arrays(std::slice::from_ref(argument), move |arrays, _| {
        let [array] = arrays else { return Err(SparkError::internal("to_json writes one column")) };
        let writer = JsonWriter::new(&write);
        let values = writer.values(array)?;
        Ok(texts(array, |row, out| values.write(row, out)))
    }))
}

pub(super) fn to_csv(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let argument = value(name, arguments)?;
    let DataType::Struct(fields) = &argument.data_type else {
        return Err(unexpected_input(name, arguments, 0, "\"STRUCT\""));
    };
    if let Some(field) = fields.iter().find(|f| !is_atomic(f.data_type())) {
        let found = types::sql_name(field.data_type());
        let text = format!("The to_csv function does not take a column of the type \"{found}\".");
        return Err(type_mismatch("UNSUPPORTED_INPUT_TYPE", name, arguments, text).with("dataType", found));
    }
    let given = options(arguments, 1)?;
    let write = CsvWriteOptions::parse(&given, &settings(context)?)?;
    let kernel =
        Kernel::new(name, DataType::Utf8, argument.nullable).bound_to(&context.time_zone).bound_to(text(&given));
    Ok(kernel.arrays(std::slice::from_ref(argument), move |arrays, _| {
        let [array] = arrays else { return Err(SparkError::internal("to_csv writes one column")) };
        let rows = batch(structs(array.as_ref())?)?;
        let writer = CsvWriter::new(&write);
        let records = writer.rows(&rows)?;
        let mut scratch = String::new();
        Ok(texts(array, |row, out| {
            records.write(row, &mut scratch, out);
        }))
    }))
}

fn is_atomic(data_type: &DataType) -> bool {
    !matches!(
        data_type,
        DataType::Struct(_) | DataType::List(_) | DataType::Map(..) | DataType::Interval(IntervalUnit::MonthDayNano)
    )
}

fn batch(array: &StructArray) -> Result<RecordBatch, SparkError> {
    let schema = Arc::new(Schema::new(array.fields().clone()));
    let fields = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect::<Vec<_>>();
    let rows = RecordBatchOptions::new().with_row_count(Some(array.len()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), array.columns().to_vec(), &rows)?)
}

/// A text for each value; null stays null.
fn texts(array: &ArrayRef, mut write: impl FnMut(usize, &mut String)) -> ArrayRef {
    let mut builder = StringBuilder::with_capacity(array.len(), array.len() * 32);
    let mut text = String::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            builder.append_null();
            continue;
        }
        text.clear();
        write(row, &mut text);
        builder.append_value(&text);
    }
    Arc::new(builder.finish())
}
