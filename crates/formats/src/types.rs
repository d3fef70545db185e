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

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};

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
