//! `from_json`, `from_csv`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Fields};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::csv::{self, CsvReadOptions};
use millstream_formats::json::{self, JsonReadOptions};
use millstream_formats::record::{ParseMode, as_nullable};
use millstream_formats::types;

use super::options::{options, settings, text};
use crate::arguments::{expect_count, type_mismatch};
use crate::coerce::{self, Expected};
use crate::kernel::{Kernel, string};
use crate::{FunctionContext, Typed};

/// The type that the second argument stands for, see [`crate::Function::Scalar`].
fn schema<'a>(name: &str, arguments: &'a [Typed]) -> Result<&'a DataType, SparkError> {
    expect_count(name, arguments, &[2, 3])?;
    arguments.get(1).map(|a| &a.data_type).ok_or_else(|| SparkError::internal("a schema is missing"))
}

fn check_mode(name: &str, mode: ParseMode) -> Result<(), SparkError> {
    if mode != ParseMode::DropMalformed {
        return Ok(());
    }
    Err(SparkError::new(
        ExceptionClass::Analysis,
        "PARSE_MODE_UNSUPPORTED",
        "42601",
        format!("The function `{name}` doesn't support the DROPMALFORMED mode. Acceptable modes are PERMISSIVE and FAILFAST."),
    )
    .with("funcName", format!("`{name}`"))
    .with("mode", "DROPMALFORMED"))
}

/// The texts of the first argument.
fn input(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    coerce::argument(name, arguments, 0, &Expected::STRING, context)
}

pub(super) fn from_json(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let data_type = schema(name, arguments)?.clone();
    check_json_type(name, arguments, &data_type)?;
    let given = options(arguments, 2)?;
    let mut read = JsonReadOptions::parse(&given, &settings(context)?)?;
    check_mode(name, read.mode)?;
    read.exact_strings = false;
    let read = Arc::new(read);
    let value = input(name, arguments, context)?;
    let kernel = Kernel::new(name, as_nullable(&data_type), true).bound_to(&context.time_zone).bound_to(text(&given));
    Ok(kernel.arrays(&[value], move |arrays, _| match arrays {
        [texts] => json::from_json(string(texts.as_ref())?, &data_type, Arc::clone(&read)),
        _ => Err(SparkError::internal("from_json reads one column")),
    }))
}

fn check_json_type(name: &str, arguments: &[Typed], data_type: &DataType) -> Result<(), SparkError> {
    let shown = || types::sql_name(data_type);
    match data_type {
        DataType::Struct(fields) if types::is_variant(fields) => {
            Err(SparkError::unsupported("from_json into a variant"))
        }
        DataType::Struct(_) | DataType::List(_) => Ok(()),
        DataType::Map(entries, _) => match types::key_and_value(entries) {
            Some((key, _)) if key.data_type() == &DataType::Utf8 => Ok(()),
            _ => {
                let text = format!("Input schema \"{}\" can only contain STRING as a key type for a MAP.", shown());
                Err(type_mismatch("INVALID_JSON_MAP_KEY_TYPE", name, arguments, text).with("schema", shown()))
            }
        },
        _ => {
            let text = format!("Input schema \"{}\" must be a struct, an array, a map or a variant.", shown());
            Err(type_mismatch("INVALID_JSON_SCHEMA", name, arguments, text).with("schema", shown()))
        }
    }
}

pub(super) fn from_csv(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let data_type = schema(name, arguments)?.clone();
    let DataType::Struct(fields) = &data_type else {
        let found = types::sql_name(&data_type);
        return Err(SparkError::new(
            ExceptionClass::Analysis,
            "INVALID_SCHEMA.NON_STRUCT_TYPE",
            "42K07",
            format!(
                "The input schema \"{found}\" is not a valid schema string. The input expression should be evaluated to struct \
                 type, but got \"{found}\"."
            ),
        ));
    };
    let fields: Fields = fields.clone();
    let given = options(arguments, 2)?;
    let read = Arc::new(CsvReadOptions::parse(&given, &settings(context)?)?);
    check_mode(name, read.mode)?;
    let value = input(name, arguments, context)?;
    let kernel = Kernel::new(name, as_nullable(&data_type), true).bound_to(&context.time_zone).bound_to(text(&given));
    Ok(kernel.arrays(&[value], move |arrays, _| match arrays {
        [texts] => csv::from_csv(string(texts.as_ref())?, &fields, Arc::clone(&read)),
        _ => Err(SparkError::internal("from_csv reads one column")),
    }))
}
