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
//! | variant | Struct { value: Binary not null, metadata: Binary not null }, the second with metadata `variant = true` |
//!
//! What Arrow cannot tell (`varchar(5)`, `interval day to hour`, `time(3)`, a collation) is kept beside the field, under
//! [`DECLARED_TYPE`]. Every other metadata entry of a field is one of Spark's, its value as JSON text (`10000`, `"a"`).
//!
//! No other Arrow type (no views, dictionaries, large types, unsigned integers) occurs in a plan.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};

mod json;
mod names;

pub use json::{from_json, schema_from_json, schema_to_json, to_json};
pub(crate) use names::escape_control_characters;
pub use names::{field_ddl, schema_ddl, simple_name, simple_string, sql_name, to_string, tree_string, type_name};

/// Key of the field metadata that holds Spark's name of a type which Arrow cannot tell from a wider one.
pub const DECLARED_TYPE: &str = "millstream.type";

/// What [`DECLARED_TYPE`] says about a field.
pub fn declared(field: &Field) -> Option<&str> {
    field.metadata().get(DECLARED_TYPE).map(String::as_str)
}

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

/// `variant`.
pub fn variant() -> DataType {
    let mark = [("variant".to_string(), "true".to_string())].into();
    let fields: Vec<FieldRef> = vec![
        Arc::new(Field::new("value", DataType::Binary, false)),
        Arc::new(Field::new("metadata", DataType::Binary, false).with_metadata(mark)),
    ];
    DataType::Struct(fields.into())
}

/// `interval day to second`.
pub fn day_time_interval() -> DataType {
    DataType::Duration(TimeUnit::Microsecond)
}

/// `time`.
pub fn time() -> DataType {
    DataType::Time64(TimeUnit::Nanosecond)
}

/// The field with every null allowed: in itself, its elements, its values and its fields.
pub fn nullable_at_any_depth(field: &Field) -> Field {
    let data_type = match field.data_type() {
        DataType::List(element) => DataType::List(Arc::new(nullable_at_any_depth(element))),
        DataType::Map(entries, sorted) => match key_and_value(entries) {
            Some((key, value)) => {
                let key = nullable_at_any_depth(key).with_nullable(false);
                let both = Fields::from(vec![key, nullable_at_any_depth(value)]);
                DataType::Map(Arc::new(entries.as_ref().clone().with_data_type(DataType::Struct(both))), *sorted)
            }
            None => field.data_type().clone(),
        },
        DataType::Struct(fields) if !is_variant(fields) => {
            DataType::Struct(fields.iter().map(|field| nullable_at_any_depth(field)).collect())
        }
        other => other.clone(),
    };
    field.clone().with_data_type(data_type).with_nullable(true)
}
