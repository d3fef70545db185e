//! `to_number`, `try_to_number`, `to_char`, `to_varchar`.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Decimal128Type};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::{ExceptionClass, SparkError};

use super::number_pattern::NumberPattern;
use crate::arguments::{expect_count, not_constant};
use crate::bind::{Call, Nullable};
use crate::coerce::{self, Expected};
use crate::kernel;
use crate::rows::{nulls_of, numbers, strings};
use crate::{Function, FunctionContext, Typed, types};

fn pattern_argument(name: &str, arguments: &[Typed]) -> Result<Option<NumberPattern>, SparkError> {
    match arguments.get(1).map(Typed::as_literal) {
        Some(Some(ScalarValue::Utf8(Some(pattern)))) => NumberPattern::new(pattern).map(Some),
        Some(Some(value)) if value.is_null() => Ok(None),
        _ => Err(not_constant(name, arguments, 1, "format", "STRING")),
    }
}

/// Builds `to_number`, `try_to_number`: `(text, pattern)`, the pattern a constant.
pub(super) fn to_number(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let fail = name == "to_number";
    let nullable = if fail { Nullable::ByArguments } else { Nullable::Always };
    let call =
        Call::new(name, arguments, context, &[Expected::STRING, Expected::STRING], 2)?.nullable(nullable).fallible();
    let Some(pattern) = pattern_argument(name, arguments)? else {
        return coerce::cast_to(Typed::literal(ScalarValue::Null), &DataType::Decimal128(38, 0), context);
    };
    let result = pattern.decimal();
    let DataType::Decimal128(precision, scale) = result else { return Err(SparkError::internal("no decimal")) };
    Ok(call.kernel(result).bound_to(fail).arrays(&call.arguments, move |a, rows| {
        let (texts, patterns) = (kernel::string(&a[0])?, kernel::string(&a[1])?);
        let value = |row| match pattern.parse(texts.value(row)) {
            Some(value) => Ok(Some(value)),
            None if fail => Err(mismatch(texts.value(row), patterns.value(row))),
            None => Ok(None),
        };
        let values = numbers::<Decimal128Type>(rows, nulls_of(a), value)?;
        Ok(Arc::new(values.with_precision_and_scale(precision, scale)?))
    }))
}

fn mismatch(input: &str, pattern: &str) -> SparkError {
    SparkError::new(
        ExceptionClass::IllegalArgument,
        "INVALID_FORMAT.MISMATCH_INPUT",
        "42601",
        format!("The format is invalid: '{pattern}'. The input \"STRING\" '{input}' does not match the format."),
    )
    .with("format", format!("'{pattern}'"))
    .with("inputType", "\"STRING\"")
    .with("input", format!("'{input}'"))
}

/// Builds `to_char`, `to_varchar`: `(value, format)` of a number, a date or time, or a binary value.
pub(super) fn to_char(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[2])?;
    match arguments.first().map(|a| &a.data_type) {
        Some(DataType::Date32 | DataType::Timestamp(..)) => other_function("date_format", arguments, context),
        Some(DataType::Binary) => binary_to_char(name, arguments, context),
        _ => number_to_char(name, arguments, context),
    }
}

fn other_function(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    match crate::lookup(name) {
        Some(Function::Scalar(build)) => build(name, arguments, context),
        _ => Err(SparkError::unsupported(format!("The function `{name}`"))),
    }
}

/// `base64`, `hex` or `utf-8`.
fn binary_to_char(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let Some(ScalarValue::Utf8(Some(format))) = arguments[1].as_literal() else {
        return Err(not_constant(name, arguments, 1, "format", "STRING"));
    };
    let value = std::slice::from_ref(&arguments[0]);
    match format.to_lowercase().as_str() {
        "base64" => other_function("base64", value, context),
        "hex" => other_function("hex", value, context),
        "utf-8" => crate::cast(arguments[0].clone(), &DataType::Utf8, false, context),
        _ => Err(SparkError::new(
            ExceptionClass::Analysis,
            "INVALID_PARAMETER_VALUE.BINARY_FORMAT",
            "22023",
            format!(
                "The value of parameter(s) `format` in `{name}` is invalid: expects one of binary formats 'base64', 'hex', \
                 'utf-8', but got '{format}'."
            ),
        )
        .with("functionName", format!("`{name}`"))
        .with("parameter", "`format`")
        .with("invalidFormat", format!("'{format}'"))),
    }
}

fn number_to_char(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let call = Call::new(name, arguments, context, &[Expected::Decimal, Expected::STRING], 2)?.fallible();
    let Some(pattern) = pattern_argument(name, arguments)? else {
        return coerce::cast_to(Typed::literal(ScalarValue::Null), &DataType::Utf8, context);
    };
    let DataType::Decimal128(_, scale) = call.arguments[0].data_type else {
        return Err(SparkError::internal(format!(
            "{name} wants a decimal and got {}",
            types::sql_name(&call.arguments[0].data_type)
        )));
    };
    Ok(call.kernel(DataType::Utf8).arrays(&call.arguments, move |a: &[ArrayRef], rows| {
        let values = kernel::primitive::<Decimal128Type>(&a[0])?;
        strings(rows, nulls_of(a), |row, out| {
            out.push_str(&pattern.format(values.value(row), scale));
            Ok(true)
        })
    }))
}
