//! Partition columns out of directory names: `…/day=2024-01-01/kind=a/…`.
//!
//! A column's type is the user's if the schema has it, else the narrowest that all values fit (if
//! `spark.sql.sources.partitionColumnTypeInference.enabled` is not false). `__HIVE_DEFAULT_PARTITION__` is null.

use std::path::Path;

use arrow::array::{ArrayRef, new_null_array};
use arrow::datatypes::{DataType, Field, TimeUnit};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::pattern::{Pattern, Purpose};
use millstream_formats::text::{self, ParsedDecimal};
use millstream_formats::types;
use millstream_formats::zone::Zone;
use percent_encoding::percent_decode_str;

use super::listing::DataFile;
use super::scalar;

/// The directory name of a null.
pub(crate) const NULL_NAME: &str = "__HIVE_DEFAULT_PARTITION__";

/// Names and texts of the partition values of a file, outermost first.
pub(crate) fn values(file: &DataFile) -> Vec<(String, String)> {
    let below = file.path.parent().and_then(|dir| dir.strip_prefix(&file.base).ok()).unwrap_or(Path::new(""));
    let parts = below.iter().map(|part| part.to_string_lossy().into_owned());
    let parts: Vec<String> = parts.collect();
    // From the file upwards as long as the names are those of partitions.
    let first = parts.iter().rposition(|part| !part.contains('=')).map_or(0, |at| at + 1);
    let pairs = parts.iter().skip(first).filter_map(|part| part.split_once('='));
    pairs.map(|(name, value)| (unescape(name), unescape(value))).collect()
}

fn unescape(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// `a b%2Fc`: a value as the name of a directory.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let escaped = character < ' '
            || matches!(
                character,
                '"' | '#' | '%' | '\'' | '*' | '/' | ':' | '=' | '?' | '\\' | '\u{7f}' | '{' | '[' | ']' | '^'
            );
        if escaped {
            out.push_str(&format!("%{:02X}", u32::from(character)));
        } else {
            out.push(character);
        }
    }
    out
}

/// The partition columns of files; none unless all that have partitions have the same.
///
/// # Errors
/// `CONFLICTING_PARTITION_COLUMN_NAMES`.
pub(crate) fn columns(
    files: &[DataFile],
    user: Option<&[Field]>,
    infer: bool,
    zone: &Zone,
) -> Result<Vec<Field>, SparkError> {
    let all: Vec<Vec<(String, String)>> = files.iter().map(values).filter(|v| !v.is_empty()).collect();
    let Some(first) = all.first() else { return Ok(Vec::new()) };
    let names: Vec<&String> = first.iter().map(|(name, _)| name).collect();
    if let Some(other) = all.iter().find(|v| v.iter().map(|(name, _)| name).ne(names.iter().copied())) {
        return Err(conflict(first, other));
    }
    let column = |(index, name): (usize, &&String)| {
        let given = user.and_then(|fields| fields.iter().find(|f| f.name().eq_ignore_ascii_case(name)));
        if let Some(field) = given {
            return Field::new(field.name(), field.data_type().clone(), true);
        }
        let texts = all.iter().filter_map(|v| v.get(index)).map(|(_, text)| text.as_str());
        Field::new(name.as_str(), if infer { infer_type(texts, zone) } else { DataType::Utf8 }, true)
    };
    Ok(names.iter().enumerate().map(column).collect())
}

fn conflict(a: &[(String, String)], b: &[(String, String)]) -> SparkError {
    let list = |v: &[(String, String)]| v.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    SparkError::new(
        ExceptionClass::Spark,
        "CONFLICTING_PARTITION_COLUMN_NAMES",
        "KD009",
        format!(
            "Conflicting partition column names detected:\n\n\tPartition column name list #0: {}\n\tPartition column name list \
             #1: {}\n\nFor partitioned table directories, data files should only live in leaf directories.",
            list(a),
            list(b)
        ),
    )
}

fn infer_type<'a>(texts: impl Iterator<Item = &'a str>, zone: &Zone) -> DataType {
    let merged = texts.filter(|t| *t != NULL_NAME).map(|t| type_of(t, zone)).reduce(wider);
    merged.unwrap_or(DataType::Utf8)
}

fn type_of(text: &str, zone: &Zone) -> DataType {
    let digits = text.trim_start_matches(['-', '+']);
    if text.parse::<i32>().is_ok() {
        return DataType::Int32;
    }
    if text.parse::<i64>().is_ok() {
        return DataType::Int64;
    }
    if !digits.is_empty() && digits.len() <= 38 && digits.bytes().all(|b| b.is_ascii_digit()) {
        return DataType::Decimal128(digits.trim_start_matches('0').len().max(1) as u8, 0);
    }
    if text::parse_f64(text).is_some() {
        return DataType::Float64;
    }
    if pattern("yyyy-MM-dd").is_some_and(|p| p.parse(text).is_ok()) {
        return DataType::Date32;
    }
    let timestamp = |p: Pattern| p.parse(text).is_ok_and(|t| t.utc_us(zone).is_some());
    if pattern("yyyy-MM-dd HH:mm:ss[.S]").is_some_and(timestamp) {
        return types::timestamp();
    }
    DataType::Utf8
}

fn pattern(text: &str) -> Option<Pattern> {
    Pattern::new(text, Purpose::Parse).ok()
}

fn wider(a: DataType, b: DataType) -> DataType {
    use DataType::{Date32, Decimal128, Float64, Int32, Int64, Timestamp, Utf8};
    match (a, b) {
        (a, b) if a == b => a,
        (Int32, Int64) | (Int64, Int32) => Int64,
        (Decimal128(p, _), Decimal128(q, _)) => Decimal128(p.max(q), 0),
        (Decimal128(p, _), Int32) | (Int32, Decimal128(p, _)) => Decimal128(p.max(10), 0),
        (Decimal128(p, _), Int64) | (Int64, Decimal128(p, _)) => Decimal128(p.max(20), 0),
        (Float64, Int32) | (Int32, Float64) => Float64,
        (Date32, Timestamp(unit, zone)) | (Timestamp(unit, zone), Date32) => Timestamp(unit, zone),
        _ => Utf8,
    }
}

/// A partition value as a column of one row.
///
/// # Errors
/// `INVALID_PARTITION_VALUE`: the text does not fit the type the user gave.
pub(crate) fn value(text: Option<&str>, field: &Field, zone: &Zone) -> Result<ArrayRef, SparkError> {
    let Some(text) = text.filter(|t| *t != NULL_NAME) else { return Ok(new_null_array(field.data_type(), 1)) };
    scalar::one(text, field.data_type(), zone).ok_or_else(|| {
        let data_type = types::sql_name(field.data_type());
        SparkError::new(
            ExceptionClass::Runtime,
            "INVALID_PARTITION_VALUE",
            "42846",
            format!(
                "Failed to cast value '{text}' to data type \"{data_type}\" for partition column `{}`. Ensure the value matches the \
                 expected data type for this partition column.",
                field.name()
            ),
        )
        .with("value", text)
        .with("dataType", data_type)
        .with("columnName", field.name())
    })
}

/// Whether a type may partition a sink.
pub(crate) fn is_partition_type(data_type: &DataType) -> bool {
    !matches!(
        data_type,
        DataType::Struct(_) | DataType::List(_) | DataType::Map(..) | DataType::Binary | DataType::Null
    ) && !matches!(data_type, DataType::Interval(_) | DataType::Duration(TimeUnit::Microsecond))
}

/// Whether the text is a decimal of the type.
pub(crate) fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    match text::parse_decimal(text, precision, scale) {
        ParsedDecimal::Value(value) => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> DataFile {
        DataFile { path: path.into(), size: 1, modified_ms: 0, base: "/in".into(), part: None }
    }

    fn types_of(paths: &[&str]) -> Vec<(String, DataType)> {
        let files: Vec<DataFile> = paths.iter().map(|p| file(p)).collect();
        let columns = columns(&files, None, true, &Zone::UTC).unwrap();
        columns.iter().map(|f| (f.name().clone(), f.data_type().clone())).collect()
    }

    #[test]
    fn types_are_the_narrowest_that_fit() {
        let found = types_of(&["/in/p=1/d=2024-01-01/x", "/in/p=__HIVE_DEFAULT_PARTITION__/d=2024-01-02/x"]);
        assert_eq!(found, [("p".into(), DataType::Int32), ("d".into(), DataType::Date32)]);
        assert_eq!(types_of(&["/in/p=1/x", "/in/p=5000000000/x"])[0].1, DataType::Int64);
        assert_eq!(types_of(&["/in/p=1/x", "/in/p=a b/x"])[0].1, DataType::Utf8);
        assert!(types_of(&["/in/x"]).is_empty());
        let files = [file("/in/p=1/x"), file("/in/q=1/x")];
        let error = columns(&files, None, true, &Zone::UTC).unwrap_err();
        assert_eq!(error.condition(), Some("CONFLICTING_PARTITION_COLUMN_NAMES"));
    }

    #[test]
    fn names_are_escaped_both_ways() {
        for text in ["a b", "x/y", "p=q", "50%", "c:d", "é", "~", "#h", "*"] {
            let escaped = escape(text);
            assert_eq!(unescape(&escaped), text);
            assert_eq!(values(&file(&format!("/in/k={escaped}/x")))[0].1, text);
        }
        assert_eq!(escape("50% a"), "50%25 a");
    }
}
