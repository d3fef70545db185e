//! Spark's types in protocol messages, both ways.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, Schema, TimeUnit};
use millstream_formats::condition::SparkError;
use millstream_formats::types::{
    DECLARED_TYPE, array, declared, is_variant, key_and_value, map, timestamp, timestamp_ntz, variant,
};
use spark_connect_proto as pb;
use spark_connect_proto::data_type::Kind;

use super::{Convert, required};

/// The units of an interval's fields, as the protocol numbers them.
const DAY_TIME_FIELDS: [&str; 4] = ["day", "hour", "minute", "second"];
const YEAR_MONTH_FIELDS: [&str; 2] = ["year", "month"];

impl Convert<'_> {
    /// A type.
    pub fn data_type(&self, message: &pb::DataType) -> Result<DataType, SparkError> {
        let pb::DataType { kind } = message;
        Ok(match required(kind.as_ref(), "the kind of a type")? {
            Kind::Null(_) => DataType::Null,
            Kind::Binary(_) => DataType::Binary,
            Kind::Boolean(_) => DataType::Boolean,
            Kind::Byte(_) => DataType::Int8,
            Kind::Short(_) => DataType::Int16,
            Kind::Integer(_) => DataType::Int32,
            Kind::Long(_) => DataType::Int64,
            Kind::Float(_) => DataType::Float32,
            Kind::Double(_) => DataType::Float64,
            Kind::Decimal(decimal) => decimal_type(decimal)?,
            Kind::String(pb::data_type::String { collation, type_variation_reference: _ }) => string_type(collation)?,
            Kind::Char(_) | Kind::VarChar(_) => DataType::Utf8,
            Kind::Date(_) => DataType::Date32,
            Kind::Timestamp(_) => timestamp(),
            Kind::TimestampNtz(_) => timestamp_ntz(),
            Kind::Time(_) => DataType::Time64(TimeUnit::Nanosecond),
            Kind::CalendarInterval(_) => DataType::Interval(IntervalUnit::MonthDayNano),
            Kind::YearMonthInterval(_) => DataType::Interval(IntervalUnit::YearMonth),
            Kind::DayTimeInterval(_) => DataType::Duration(TimeUnit::Microsecond),
            Kind::Array(inner) => {
                let pb::data_type::Array { element_type, contains_null, type_variation_reference: _ } = inner.as_ref();
                DataType::List(self.item("element", element_type.as_deref(), *contains_null)?)
            }
            Kind::Map(inner) => self.map_type(inner)?,
            Kind::Struct(pb::data_type::Struct { fields, type_variation_reference: _ }) => {
                DataType::Struct(fields.iter().map(|field| self.field(field)).collect::<Result<Fields, _>>()?)
            }
            Kind::Variant(_) => variant(),
            Kind::Unparsed(pb::data_type::Unparsed { data_type_string }) => {
                self.environment.parse_type(data_type_string)?
            }
            Kind::Udt(_) => return Err(SparkError::unsupported("A user-defined type")),
            Kind::Geometry(_) => return Err(SparkError::unsupported("The type GEOMETRY")),
            Kind::Geography(_) => return Err(SparkError::unsupported("The type GEOGRAPHY")),
            Kind::TimestampNtzNanos(_) | Kind::TimestampLtzNanos(_) => {
                return Err(SparkError::unsupported("A timestamp type with nanoseconds"));
            }
        })
    }

    /// A type, which must be there.
    pub fn required_type(&self, message: Option<&pb::DataType>) -> Result<DataType, SparkError> {
        self.data_type(required(message, "a type")?)
    }

    fn field(&self, message: &pb::data_type::StructField) -> Result<FieldRef, SparkError> {
        let pb::data_type::StructField { name, data_type, nullable, metadata } = message;
        let data_type = required(data_type.as_ref(), "the type of a field")?;
        let mut all = metadata_entries(metadata.as_deref());
        all.extend(declared_name(data_type).map(|name| (DECLARED_TYPE.to_string(), name)));
        Ok(Arc::new(Field::new(name, self.data_type(data_type)?, *nullable).with_metadata(all)))
    }

    fn item(&self, name: &str, message: Option<&pb::DataType>, nullable: bool) -> Result<FieldRef, SparkError> {
        let data_type = required(message, "the type of an element")?;
        let declared = declared_name(data_type).map(|name| (DECLARED_TYPE.to_string(), name));
        let field = Field::new(name, self.data_type(data_type)?, nullable);
        Ok(Arc::new(field.with_metadata(declared.into_iter().collect())))
    }

    fn map_type(&self, message: &pb::data_type::Map) -> Result<DataType, SparkError> {
        let pb::data_type::Map { key_type, value_type, value_contains_null, type_variation_reference: _ } = message;
        let key = self.item("key", key_type.as_deref(), false)?;
        let value = self.item("value", value_type.as_deref(), *value_contains_null)?;
        let entries = DataType::Struct(vec![key, value].into());
        Ok(DataType::Map(Arc::new(Field::new("entries", entries, false)), false))
    }
}

fn decimal_type(message: &pb::data_type::Decimal) -> Result<DataType, SparkError> {
    let pb::data_type::Decimal { scale, precision, type_variation_reference: _ } = message;
    let (precision, scale) = (precision.unwrap_or(10), scale.unwrap_or(0));
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(p @ 1..=38), Ok(s)) if s >= 0 && s.unsigned_abs() <= p => Ok(DataType::Decimal128(p, s)),
        _ => Err(super::invalid(format!("decimal({precision},{scale}) is no decimal type."))),
    }
}

fn string_type(collation: &str) -> Result<DataType, SparkError> {
    match collation {
        "" | "UTF8_BINARY" => Ok(DataType::Utf8),
        other => Err(SparkError::unsupported(format_args!("The collation {other}"))),
    }
}

/// Spark's name of a type that Arrow cannot tell from a wider one, see [`DECLARED_TYPE`].
fn declared_name(message: &pb::DataType) -> Option<String> {
    match message.kind.as_ref()? {
        Kind::Char(pb::data_type::Char { length, type_variation_reference: _ }) => Some(format!("char({length})")),
        Kind::VarChar(pb::data_type::VarChar { length, type_variation_reference: _ }) => {
            Some(format!("varchar({length})"))
        }
        Kind::Time(pb::data_type::Time { precision, type_variation_reference: _ }) => {
            precision.filter(|&precision| precision != 6).map(|precision| format!("time({precision})"))
        }
        Kind::DayTimeInterval(pb::data_type::DayTimeInterval {
            start_field,
            end_field,
            type_variation_reference: _,
        }) => interval_name(&DAY_TIME_FIELDS, *start_field, *end_field),
        Kind::YearMonthInterval(pb::data_type::YearMonthInterval {
            start_field,
            end_field,
            type_variation_reference: _,
        }) => interval_name(&YEAR_MONTH_FIELDS, *start_field, *end_field),
        _ => None,
    }
}

/// `interval hour to minute`; none for the widest interval.
fn interval_name(fields: &[&str], start: Option<i32>, end: Option<i32>) -> Option<String> {
    let last = i32::try_from(fields.len()).ok()? - 1;
    let (start, end) = (start.unwrap_or(0), end.unwrap_or(last));
    if (start, end) == (0, last) {
        return None;
    }
    let name = |field: i32| fields.get(usize::try_from(field).ok()?);
    let (start, end) = (name(start)?, name(end)?);
    Some(if start == end { format!("interval {start}") } else { format!("interval {start} to {end}") })
}

/// The type that a declared name stands for; none if the name says nothing that Arrow does not.
fn declared_message(name: &str) -> Option<pb::DataType> {
    use pb::data_type as t;
    let number = |prefix: &str| name.strip_prefix(prefix)?.strip_suffix(')')?.trim().parse::<i32>().ok();
    let kind = if let Some(length) = number("char(") {
        Kind::Char(t::Char { length, type_variation_reference: 0 })
    } else if let Some(length) = number("varchar(") {
        Kind::VarChar(t::VarChar { length, type_variation_reference: 0 })
    } else if let Some(precision) = number("time(") {
        Kind::Time(t::Time { precision: Some(precision), type_variation_reference: 0 })
    } else if let Some(collation) = name.strip_prefix("string collate ") {
        Kind::String(t::String { collation: collation.to_string(), type_variation_reference: 0 })
    } else {
        let fields = name.strip_prefix("interval ")?;
        let (start, end) = fields.split_once(" to ").unwrap_or((fields, fields));
        let place = |all: &[&str]| {
            let place = |field: &str| all.iter().position(|known| *known == field).and_then(|i| i32::try_from(i).ok());
            Some((place(start)?, place(end)?))
        };
        if let Some((start, end)) = place(&DAY_TIME_FIELDS) {
            day_time_interval(start, end)
        } else {
            let (start, end) = place(&YEAR_MONTH_FIELDS)?;
            year_month_interval(start, end)
        }
    };
    Some(pb::DataType { kind: Some(kind) })
}

fn day_time_interval(start: i32, end: i32) -> Kind {
    Kind::DayTimeInterval(pb::data_type::DayTimeInterval {
        start_field: Some(start),
        end_field: Some(end),
        type_variation_reference: 0,
    })
}

fn year_month_interval(start: i32, end: i32) -> Kind {
    Kind::YearMonthInterval(pb::data_type::YearMonthInterval {
        start_field: Some(start),
        end_field: Some(end),
        type_variation_reference: 0,
    })
}

/// Members of a JSON object, each value as JSON text; nothing if it is no object.
fn metadata_entries(json: Option<&str>) -> HashMap<String, String> {
    let object = json.and_then(|json| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json).ok());
    object.into_iter().flatten().map(|(key, value)| (key, value.to_string())).collect()
}

/// Column metadata as one JSON object, keys in order; none if there is none.
fn metadata_json(metadata: &HashMap<String, String>) -> Option<String> {
    let mut keys: Vec<_> = metadata.keys().filter(|key| *key != DECLARED_TYPE).collect();
    keys.sort();
    let members = keys.into_iter().map(|key| {
        let text = metadata.get(key).cloned().unwrap_or_default();
        (key.clone(), serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text)))
    });
    let object: serde_json::Map<_, _> = members.collect();
    (!object.is_empty()).then(|| serde_json::Value::Object(object).to_string())
}

/// A schema as the struct type that clients expect.
pub fn schema_message(schema: &Schema) -> Result<pb::DataType, SparkError> {
    struct_message(schema.fields())
}

fn struct_message(fields: &Fields) -> Result<pb::DataType, SparkError> {
    let fields = fields.iter().map(|field| field_message(field)).collect::<Result<_, _>>()?;
    Ok(pb::DataType { kind: Some(Kind::Struct(pb::data_type::Struct { fields, type_variation_reference: 0 })) })
}

fn field_message(field: &Field) -> Result<pb::data_type::StructField, SparkError> {
    Ok(pb::data_type::StructField {
        name: field.name().clone(),
        data_type: Some(field_type_message(field)?),
        nullable: field.is_nullable(),
        metadata: metadata_json(field.metadata()),
    })
}

fn field_type_message(field: &Field) -> Result<pb::DataType, SparkError> {
    match declared(field).and_then(declared_message) {
        Some(message) => Ok(message),
        None => type_message(field.data_type()),
    }
}

/// A type of the house as a message.
///
/// # Errors
/// An internal error for an Arrow type that stands for none of Spark's.
pub fn type_message(data_type: &DataType) -> Result<pb::DataType, SparkError> {
    use pb::data_type as t;
    let kind = match data_type {
        DataType::Null => Kind::Null(t::Null::default()),
        DataType::Boolean => Kind::Boolean(t::Boolean::default()),
        DataType::Int8 => Kind::Byte(t::Byte::default()),
        DataType::Int16 => Kind::Short(t::Short::default()),
        DataType::Int32 => Kind::Integer(t::Integer::default()),
        DataType::Int64 => Kind::Long(t::Long::default()),
        DataType::Float32 => Kind::Float(t::Float::default()),
        DataType::Float64 => Kind::Double(t::Double::default()),
        DataType::Utf8 => Kind::String(t::String { collation: "UTF8_BINARY".into(), type_variation_reference: 0 }),
        DataType::Binary => Kind::Binary(t::Binary::default()),
        DataType::Date32 => Kind::Date(t::Date::default()),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Kind::Timestamp(t::Timestamp::default()),
        DataType::Timestamp(TimeUnit::Microsecond, None) => Kind::TimestampNtz(t::TimestampNtz::default()),
        DataType::Time64(_) => Kind::Time(t::Time { precision: Some(6), type_variation_reference: 0 }),
        DataType::Interval(IntervalUnit::MonthDayNano) => Kind::CalendarInterval(t::CalendarInterval::default()),
        DataType::Interval(IntervalUnit::YearMonth) => year_month_interval(0, 1),
        DataType::Duration(TimeUnit::Microsecond) => day_time_interval(0, 3),
        DataType::Decimal128(precision, scale) => Kind::Decimal(t::Decimal {
            scale: Some(i32::from(*scale)),
            precision: Some(i32::from(*precision)),
            type_variation_reference: 0,
        }),
        DataType::List(item) => Kind::Array(Box::new(t::Array {
            element_type: Some(Box::new(field_type_message(item)?)),
            contains_null: item.is_nullable(),
            type_variation_reference: 0,
        })),
        DataType::Map(entries, _) => Kind::Map(Box::new(map_message(entries)?)),
        DataType::Struct(fields) if is_variant(fields) => Kind::Variant(t::Variant::default()),
        DataType::Struct(fields) => return struct_message(fields),
        other => return Err(SparkError::internal(format!("{other} is no type of Spark's."))),
    };
    Ok(pb::DataType { kind: Some(kind) })
}

fn map_message(entries: &Field) -> Result<pb::data_type::Map, SparkError> {
    let (key, value) =
        key_and_value(entries).ok_or_else(|| SparkError::internal("The entries of a map are no pairs."))?;
    Ok(pb::data_type::Map {
        key_type: Some(Box::new(field_type_message(key)?)),
        value_type: Some(Box::new(field_type_message(value)?)),
        value_contains_null: value.is_nullable(),
        type_variation_reference: 0,
    })
}

/// `array<element>` and `map<key, value>` of literals, which may hold nulls.
pub(crate) fn array_type(element: DataType) -> DataType {
    array(element, true)
}

/// See [`array_type`].
pub(crate) fn map_type(key: DataType, value: DataType) -> DataType {
    map(key, value, true)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use millstream_formats::condition::SparkError;

    use super::*;
    use crate::convert::Environment;

    struct Nothing;

    impl Environment for Nothing {
        fn parse_type(&self, text: &str) -> Result<DataType, SparkError> {
            Err(SparkError::internal(text))
        }

        fn artifact(&self, _name: &str) -> Option<Bytes> {
            None
        }
    }

    #[test]
    fn a_schema_of_every_type_survives_the_way_there_and_back() {
        let delay = HashMap::from([("spark.watermarkDelayMs".to_string(), "10000".to_string())]);
        let declared = |name: &str| HashMap::from([(DECLARED_TYPE.to_string(), name.to_string())]);
        let inner: Fields = vec![
            Field::new("b", DataType::Boolean, true),
            Field::new("v", variant(), true),
            Field::new("c", DataType::Utf8, true).with_metadata(declared("varchar(5)")),
            Field::new("h", DataType::Duration(TimeUnit::Microsecond), true)
                .with_metadata(declared("interval hour to minute")),
            Field::new("d", DataType::Decimal128(12, 3), false),
        ]
        .into();
        let schema = Schema::new(vec![
            Field::new("void", DataType::Null, true),
            Field::new("ts", timestamp(), true).with_metadata(delay),
            Field::new("ntz", timestamp_ntz(), true),
            Field::new("time", DataType::Time64(TimeUnit::Nanosecond), true),
            Field::new("days", DataType::Duration(TimeUnit::Microsecond), true),
            Field::new("months", DataType::Interval(IntervalUnit::YearMonth), true),
            Field::new("calendar", DataType::Interval(IntervalUnit::MonthDayNano), true),
            Field::new("list", array(DataType::Struct(inner.clone()), false), false),
            Field::new("map", map(DataType::Utf8, DataType::Struct(inner), true), true),
        ]);
        let message = schema_message(&schema).expect("to message");
        let back = Convert::new(&Nothing).data_type(&message).expect("from message");
        assert_eq!(back, DataType::Struct(schema.fields().clone()));
    }
}
