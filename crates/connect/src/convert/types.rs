//! Spark's types in protocol messages, both ways.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, Schema, TimeUnit};
use millstream_formats::condition::SparkError;
use millstream_formats::types::{array, map, timestamp, timestamp_ntz};
use spark_connect_proto as pb;
use spark_connect_proto::data_type::Kind;

use super::{Convert, required};

/// Key of the field metadata that marks a struct as a variant, see `millstream_formats::types`.
const VARIANT: &str = "variant";

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
            Kind::Variant(_) => variant_type(),
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
        if matches!(data_type.kind, Some(Kind::Variant(_))) {
            all.insert(VARIANT.into(), "true".into());
        }
        Ok(Arc::new(Field::new(name, self.data_type(data_type)?, *nullable).with_metadata(all)))
    }

    fn item(&self, name: &str, message: Option<&pb::DataType>, nullable: bool) -> Result<FieldRef, SparkError> {
        let data_type = required(message, "the type of an element")?;
        let field = Field::new(name, self.data_type(data_type)?, nullable);
        Ok(Arc::new(if matches!(data_type.kind, Some(Kind::Variant(_))) { mark_variant(field) } else { field }))
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

/// The struct that stands for a variant.
pub fn variant_type() -> DataType {
    DataType::Struct(
        vec![Field::new("value", DataType::Binary, false), Field::new("metadata", DataType::Binary, false)].into(),
    )
}

fn mark_variant(field: Field) -> Field {
    field.with_metadata(HashMap::from([(VARIANT.to_string(), "true".to_string())]))
}

/// Members of a JSON object, each value as JSON text; nothing if it is no object.
fn metadata_entries(json: Option<&str>) -> HashMap<String, String> {
    let object = json.and_then(|json| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json).ok());
    object.into_iter().flatten().map(|(key, value)| (key, value.to_string())).collect()
}

/// Column metadata as one JSON object, keys in order; none if there is none.
fn metadata_json(metadata: &HashMap<String, String>) -> Option<String> {
    let mut keys: Vec<_> = metadata.keys().filter(|key| *key != VARIANT).collect();
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
    if field.metadata().get(VARIANT).is_some_and(|v| v == "true") {
        return Ok(pb::DataType { kind: Some(Kind::Variant(pb::data_type::Variant::default())) });
    }
    type_message(field.data_type())
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
        DataType::Interval(IntervalUnit::YearMonth) => Kind::YearMonthInterval(t::YearMonthInterval {
            start_field: Some(0),
            end_field: Some(1),
            type_variation_reference: 0,
        }),
        DataType::Duration(TimeUnit::Microsecond) => Kind::DayTimeInterval(t::DayTimeInterval {
            start_field: Some(0),
            end_field: Some(3),
            type_variation_reference: 0,
        }),
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
        DataType::Struct(fields) => return struct_message(fields),
        other => return Err(SparkError::internal(format!("{other} is no type of Spark's."))),
    };
    Ok(pb::DataType { kind: Some(kind) })
}

fn map_message(entries: &Field) -> Result<pb::data_type::Map, SparkError> {
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(SparkError::internal("The entries of a map are no struct."));
    };
    let [key, value] = fields.as_ref() else {
        return Err(SparkError::internal("The entries of a map are no pairs."));
    };
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
        let inner: Fields = vec![
            Field::new("b", DataType::Boolean, true),
            mark_variant(Field::new("v", variant_type(), true)),
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
