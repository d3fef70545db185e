//! The errors of casts.

use arrow::array::Array;
use arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::text::{TextOptions, to_text, write_f32, write_f64};
use millstream_formats::types::sql_name;
use millstream_formats::zone::Zone;

/// `CAST_INVALID_INPUT` of a text. The class is the one Java's parser throws for the target type.
pub fn malformed(text: &str, to: &DataType) -> SparkError {
    let class = match to {
        DataType::Date32 | DataType::Timestamp(..) | DataType::Time64(_) => ExceptionClass::DateTime,
        DataType::Boolean => ExceptionClass::Runtime,
        _ => ExceptionClass::NumberFormat,
    };
    invalid_input(class, &format!("'{text}'"), &DataType::Utf8, to)
}

/// `CAST_INVALID_INPUT` of any value.
pub fn invalid_input(class: ExceptionClass, value: &str, from: &DataType, to: &DataType) -> SparkError {
    let (from, to) = (sql_name(from), sql_name(to));
    let text = format!(
        "The value {value} of the type \"{from}\" cannot be cast to \"{to}\" because it is malformed. Correct the value as per the \
         syntax, or change its target type. Use `try_cast` to tolerate malformed input and return NULL instead."
    );
    SparkError::new(class, "CAST_INVALID_INPUT", "22018", text)
        .with("expression", value)
        .with("sourceType", format!("\"{from}\""))
        .with("targetType", format!("\"{to}\""))
}

/// `CAST_OVERFLOW` of the value in a row.
pub fn overflow(array: &dyn Array, row: usize, to: &DataType) -> SparkError {
    let (from, to) = (sql_name(array.data_type()), sql_name(to));
    let value = ScalarValue::try_from_array(array, row).map(|v| sql_value(&v)).unwrap_or_default();
    let text = format!(
        "The value {value} of the type \"{from}\" cannot be cast to \"{to}\" due to an overflow. Use `try_cast` to tolerate overflow \
         and return NULL instead."
    );
    SparkError::new(ExceptionClass::Arithmetic, "CAST_OVERFLOW", "22003", text)
        .with("value", value)
        .with("sourceType", format!("\"{from}\""))
        .with("targetType", format!("\"{to}\""))
}

/// `NUMERIC_VALUE_OUT_OF_RANGE` of a number written as `value`.
pub fn decimal_out_of_range(value: &str, precision: u8, scale: i8) -> SparkError {
    let text = format!(
        " {value} cannot be represented as Decimal({precision}, {scale}). If necessary set \"spark.sql.ansi.enabled\" to \"false\" to \
         bypass this error, and return NULL instead."
    );
    SparkError::new(ExceptionClass::Arithmetic, "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION", "22003", text)
        .with("value", value)
        .with("precision", precision.to_string())
        .with("scale", scale.to_string())
        .with("config", "\"spark.sql.ansi.enabled\"")
}

/// A value as SQL text that has its type: `1L`, `1.0E20D`, `'a'`.
pub fn sql_value(value: &ScalarValue) -> String {
    if value.is_null() {
        return "NULL".to_string();
    }
    let mut text = String::new();
    match value {
        ScalarValue::Int8(Some(v)) => return format!("{v}Y"),
        ScalarValue::Int16(Some(v)) => return format!("{v}S"),
        ScalarValue::Int64(Some(v)) => return format!("{v}L"),
        ScalarValue::Float32(Some(v)) => {
            write_f32(*v, &mut text);
            return if v.is_finite() { format!("CAST('{text}' AS FLOAT)") } else { text };
        }
        ScalarValue::Float64(Some(v)) => {
            write_f64(*v, &mut text);
            return if v.is_finite() { format!("{text}D") } else { text };
        }
        _ => {}
    }
    let plain = value.to_array().ok().and_then(|a| to_text(&a, &TextOptions::cast(Zone::UTC)).ok());
    let plain = plain.filter(|p| p.is_valid(0)).map_or_else(|| value.to_string(), |p| p.value(0).to_string());
    match value.data_type() {
        DataType::Utf8 => format!("'{plain}'"),
        DataType::Decimal128(..) => format!("{plain}BD"),
        DataType::Date32 => format!("DATE '{plain}'"),
        DataType::Timestamp(_, Some(_)) => format!("TIMESTAMP '{plain}'"),
        DataType::Timestamp(_, None) => format!("TIMESTAMP_NTZ '{plain}'"),
        _ => plain,
    }
}
