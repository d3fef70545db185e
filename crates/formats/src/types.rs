//! Spark's types as Arrow types, one for one, and their names.
//!
//! | Spark | Arrow |
//! |---|---|
//! | boolean, tinyint, smallint, int, bigint | Boolean, Int8, Int16, Int32, Int64 |
//! | float, double, decimal(p,s) | Float32, Float64, Decimal128(p, s) |
//! | string, varchar, char | Utf8 |
//! | binary | Binary |
//! | date | Date32 |
//! | timestamp | Timestamp(Microsecond, Some("UTC")) whatever the session time zone |
//! | timestamp_ntz | Timestamp(Microsecond, None) |
//! | time | Time64(Nanosecond) |
//! | interval day to second, interval year to month | Duration(Microsecond), Interval(YearMonth) |
//! | interval (calendar) | Interval(MonthDayNano), nanoseconds a multiple of 1000 |
//! | array, struct | List (item field named `element`), Struct |
//! | map | Map (entries field `entries`, with `key` and `value`, not sorted) |
//! | void | Null |
//! | variant | Struct { value: Binary not null, metadata: Binary not null } with field metadata `variant = true` |
//!
//! No other Arrow type (no views, dictionaries, large types, unsigned integers) occurs in a plan.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit};

/// `timestamp`.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// `timestamp_ntz`.
pub fn timestamp_ntz() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

/// `array<element>`.
pub fn array(element: DataType, contains_null: bool) -> DataType {
    DataType::List(Arc::new(Field::new("element", element, contains_null)))
}

/// `map<key, value>`.
pub fn map(key: DataType, value: DataType, value_contains_null: bool) -> DataType {
    let entries: Vec<FieldRef> =
        vec![Arc::new(Field::new("key", key, false)), Arc::new(Field::new("value", value, value_contains_null))];
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries.into()), false)), false)
}

/// Whether the type is `variant` in the guise of a struct.
pub fn is_variant(fields: &Fields) -> bool {
    matches!(fields.as_ref(), [value, metadata] if value.name() == "value"
        && metadata.name() == "metadata"
        && value.data_type() == &DataType::Binary
        && metadata.metadata().get("variant").or_else(|| value.metadata().get("variant")).is_some())
}

/// The name as SQL text writes it and error messages quote it: `BIGINT`, `ARRAY<INT>`, `STRUCT<a: INT NOT NULL>`.
pub fn sql_name(data_type: &DataType) -> String {
    match data_type {
        DataType::List(element) => format!("ARRAY<{}>", sql_name(element.data_type())),
        DataType::Struct(fields) if !is_variant(fields) => {
            let fields: Vec<String> = fields.iter().map(|f| sql_field(f)).collect();
            format!("STRUCT<{}>", fields.join(", "))
        }
        DataType::Map(entries, _) => match key_and_value(entries) {
            Some((key, value)) => format!("MAP<{}, {}>", sql_name(key.data_type()), sql_name(value.data_type())),
            None => "MAP".to_string(),
        },
        other => simple_name(other).to_uppercase(),
    }
}

fn sql_field(field: &Field) -> String {
    let plain = field.name().chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let name = if plain { field.name().clone() } else { format!("`{}`", field.name().replace('`', "``")) };
    format!("{name}: {}{}", sql_name(field.data_type()), if field.is_nullable() { "" } else { " NOT NULL" })
}

/// The name as Spark's `simpleString` and `typeof` write it: `bigint`, `array<int>`, `struct<a:int>`.
pub fn simple_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "void".to_string(),
        DataType::Boolean => "boolean".to_string(),
        DataType::Int8 => "tinyint".to_string(),
        DataType::Int16 => "smallint".to_string(),
        DataType::Int32 => "int".to_string(),
        DataType::Int64 => "bigint".to_string(),
        DataType::Float32 => "float".to_string(),
        DataType::Float64 => "double".to_string(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Utf8 => "string".to_string(),
        DataType::Binary => "binary".to_string(),
        DataType::Date32 => "date".to_string(),
        DataType::Timestamp(_, Some(_)) => "timestamp".to_string(),
        DataType::Timestamp(_, None) => "timestamp_ntz".to_string(),
        DataType::Time64(_) => "time(6)".to_string(),
        DataType::Duration(_) => "interval day to second".to_string(),
        DataType::Interval(IntervalUnit::YearMonth) => "interval year to month".to_string(),
        DataType::Interval(_) => "interval".to_string(),
        DataType::List(element) => format!("array<{}>", simple_name(element.data_type())),
        DataType::Struct(fields) if is_variant(fields) => "variant".to_string(),
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|f| format!("{}:{}", f.name(), simple_name(f.data_type()))).collect();
            format!("struct<{}>", fields.join(","))
        }
        DataType::Map(entries, _) => match key_and_value(entries) {
            Some((key, value)) => format!("map<{},{}>", simple_name(key.data_type()), simple_name(value.data_type())),
            None => "map".to_string(),
        },
        other => other.to_string(),
    }
}

/// The fields of a map's keys and values, given the field of its entries.
pub fn key_and_value(entries: &Field) -> Option<(&FieldRef, &FieldRef)> {
    match entries.data_type() {
        DataType::Struct(fields) => match fields.as_ref() {
            [key, value] => Some((key, value)),
            _ => None,
        },
        _ => None,
    }
}
