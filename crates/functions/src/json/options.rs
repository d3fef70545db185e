//! The options argument of these functions: a constant map of strings.

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::options::Options;
use millstream_formats::record::Settings;
use millstream_formats::types;

use crate::aggregate::build::constant;
use crate::datetime::session_zone;
use crate::{FunctionContext, Typed};

/// The options at an index of the arguments; none given are none.
///
/// # Errors
/// `INVALID_OPTIONS…`
pub(super) fn options(arguments: &[Typed], index: usize) -> Result<Options, SparkError> {
    let Some(argument) = arguments.get(index) else { return Ok(Options::default()) };
    let Some(ScalarValue::Map(map)) = constant(argument) else { return Err(not_a_map()) };
    let (keys, values) = (map.keys(), map.values());
    if keys.data_type() != &DataType::Utf8 || values.data_type() != &DataType::Utf8 {
        return Err(not_strings(&argument.data_type));
    }
    let pairs = keys.as_string::<i32>().iter().zip(values.as_string::<i32>());
    Ok(pairs.filter_map(|(key, value)| Some((key?.to_string(), value?.to_string()))).collect())
}

/// The settings behind the options.
pub(super) fn settings(context: &FunctionContext) -> Result<Settings, SparkError> {
    Ok(Settings::new(session_zone(context)?))
}

/// The options as text, by which two calls are told apart.
pub(super) fn text(options: &Options) -> String {
    options.iter().map(|(key, value)| format!("{key}={value:?};")).collect()
}

fn not_a_map() -> SparkError {
    SparkError::new(
        ExceptionClass::Analysis,
        "INVALID_OPTIONS.NON_MAP_FUNCTION",
        "42K06",
        "Invalid options: Must use the `map()` function for options.",
    )
}

fn not_strings(found: &DataType) -> SparkError {
    let found = types::sql_name(found);
    SparkError::new(
        ExceptionClass::Analysis,
        "INVALID_OPTIONS.NON_STRING_TYPE",
        "42K06",
        format!("Invalid options: A type of keys and values in `map()` must be string, but got \"{found}\"."),
    )
    .with("mapType", format!("\"{found}\""))
}

/// The constant text at an index.
///
/// # Errors
/// `DATATYPE_MISMATCH.NON_FOLDABLE_INPUT`, `UNEXPECTED_NULL`.
pub(super) fn constant_text(
    name: &str,
    arguments: &[Typed],
    index: usize,
    parameter: &str,
) -> Result<String, SparkError> {
    match arguments.get(index).and_then(constant) {
        Some(ScalarValue::Utf8(Some(text))) => Ok(text),
        Some(value) if value.is_null() => {
            let text = format!("The {parameter} must not be null.");
            Err(crate::arguments::type_mismatch("UNEXPECTED_NULL", name, arguments, text).with("exprName", parameter))
        }
        Some(_) => Err(crate::arguments::unexpected_input(name, arguments, index, "\"STRING\"")),
        None => Err(crate::arguments::not_constant(name, arguments, index, parameter, "STRING")),
    }
}
