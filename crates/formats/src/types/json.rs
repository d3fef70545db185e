//! Types and schemas as Spark's JSON, in both directions.
//!
//! The text is the very text Spark writes (order of members, no spaces), since state schema files and clients hold it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, IntervalUnit};
use serde_json::{Map, Value, json};

use super::{
    DECLARED_TYPE, array, declared, is_variant, key_and_value, map, time, timestamp, timestamp_ntz, type_name, variant,
};
use crate::condition::{ExceptionClass, SparkError};

/// A type as JSON: `"integer"` with its quotes, `{"type":"array",…}`.
pub fn to_json(data_type: &DataType) -> String {
    type_value(data_type, None).to_string()
}

/// Columns as the JSON of a `StructType`.
pub fn schema_to_json(fields: &Fields) -> String {
    struct_value(fields).to_string()
}

/// Reads [`to_json`]'s text; also accepts a bare type name without quotes.
///
/// # Errors
/// `INVALID_JSON_DATA_TYPE` if the text is no type.
pub fn from_json(text: &str) -> Result<DataType, SparkError> {
    let value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(_) if text.starts_with(|c: char| c.is_ascii_alphabetic()) => Value::String(text.to_string()),
        Err(_) => return Err(invalid(text)),
    };
    Ok(parse_type(&value)?.0)
}

/// Reads the JSON of a `StructType`.
///
/// # Errors
/// `INVALID_JSON_DATA_TYPE` if the text is no struct type.
pub fn schema_from_json(text: &str) -> Result<Fields, SparkError> {
    match from_json(text)? {
        DataType::Struct(fields) => Ok(fields),
        _ => Err(invalid(text)),
    }
}

fn invalid(text: &str) -> SparkError {
    SparkError::new(
        ExceptionClass::IllegalArgument,
        "INVALID_JSON_DATA_TYPE",
        "2203G",
        format!("Failed to convert the JSON string '{text}' to a data type. Please enter a valid data type."),
    )
    .with("invalidType", text)
}

fn type_value(data_type: &DataType, declared_type: Option<&str>) -> Value {
    if let Some(name) = declared_type {
        return Value::String(name.to_string());
    }
    let of = |field: &Field| type_value(field.data_type(), declared(field));
    match data_type {
        DataType::List(element) => {
            json!({"type": "array", "elementType": of(element), "containsNull": element.is_nullable()})
        }
        DataType::Map(entries, _) => match key_and_value(entries) {
            Some((key, value)) => json!({
                "type": "map",
                "keyType": of(key),
                "valueType": of(value),
                "valueContainsNull": value.is_nullable(),
            }),
            None => Value::String("map".to_string()),
        },
        DataType::Struct(fields) if !is_variant(fields) => struct_value(fields),
        other => Value::String(type_name(other)),
    }
}

fn struct_value(fields: &Fields) -> Value {
    let fields: Vec<Value> = fields
        .iter()
        .map(|field| {
            json!({
                "name": field.name(),
                "type": type_value(field.data_type(), declared(field)),
                "nullable": field.is_nullable(),
                "metadata": metadata_value(field.metadata()),
            })
        })
        .collect();
    json!({"type": "struct", "fields": fields})
}

/// Spark's entries in order of their keys (Arrow keeps no order); keys of Arrow, Parquet and this project are not shown.
fn metadata_value(metadata: &HashMap<String, String>) -> Value {
    let foreign = |key: &str| key == DECLARED_TYPE || key.starts_with("ARROW:") || key.starts_with("PARQUET:");
    let mut keys: Vec<&String> = metadata.keys().filter(|key| !foreign(key)).collect();
    keys.sort();
    let entry = |key: &String| {
        let text = &metadata[key];
        (key.clone(), serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone())))
    };
    Value::Object(keys.into_iter().map(entry).collect())
}

/// The Arrow type, and the declared name if Arrow's is wider.
fn parse_type(value: &Value) -> Result<(DataType, Option<String>), SparkError> {
    match value {
        Value::String(name) => parse_name(name),
        Value::Object(object) => Ok((parse_object(object, value)?, None)),
        other => Err(invalid(&other.to_string())),
    }
}

fn parse_object(object: &Map<String, Value>, whole: &Value) -> Result<DataType, SparkError> {
    let member = |key: &str| object.get(key).ok_or_else(|| invalid(&whole.to_string()));
    let flag = |key: &str| object.get(key).and_then(Value::as_bool).unwrap_or(true);
    match member("type")?.as_str() {
        Some("struct") => {
            let fields = member("fields")?.as_array().ok_or_else(|| invalid(&whole.to_string()))?;
            Ok(DataType::Struct(fields.iter().map(parse_field).collect::<Result<_, _>>()?))
        }
        Some("array") => {
            let element = parse_type(member("elementType")?)?;
            Ok(match array(DataType::Null, flag("containsNull")) {
                DataType::List(template) => DataType::List(Arc::new(retyped(&template, element))),
                other => other,
            })
        }
        Some("map") => {
            let (key, value) = (parse_type(member("keyType")?)?, parse_type(member("valueType")?)?);
            Ok(parse_map(key, value, flag("valueContainsNull")))
        }
        Some("udt") => Err(SparkError::unsupported("A user-defined type")),
        _ => Err(invalid(&whole.to_string())),
    }
}

fn parse_map(
    key: (DataType, Option<String>),
    value: (DataType, Option<String>),
    value_contains_null: bool,
) -> DataType {
    let template = map(DataType::Null, DataType::Null, value_contains_null);
    if let DataType::Map(entries, sorted) = &template
        && let DataType::Struct(kv) = entries.data_type()
        && let [k, v] = kv.as_ref()
    {
        let kv = Fields::from(vec![retyped(k, key), retyped(v, value)]);
        return DataType::Map(Arc::new(entries.as_ref().clone().with_data_type(DataType::Struct(kv))), *sorted);
    }
    template
}

fn retyped(template: &Field, (data_type, declared_type): (DataType, Option<String>)) -> Field {
    let field = template.clone().with_data_type(data_type);
    match declared_type {
        Some(name) => field.with_metadata([(DECLARED_TYPE.to_string(), name)].into()),
        None => field,
    }
}

fn parse_field(value: &Value) -> Result<Field, SparkError> {
    let member = |key: &str| value.get(key).ok_or_else(|| invalid(&value.to_string()));
    let name = member("name")?.as_str().ok_or_else(|| invalid(&value.to_string()))?;
    let (data_type, declared_type) = parse_type(member("type")?)?;
    let nullable = value.get("nullable").and_then(Value::as_bool).unwrap_or(true);
    let entries = value.get("metadata").and_then(Value::as_object);
    let mut metadata: HashMap<String, String> =
        entries.into_iter().flatten().map(|(key, value)| (key.clone(), value.to_string())).collect();
    metadata.extend(declared_type.map(|name| (DECLARED_TYPE.to_string(), name)));
    Ok(Field::new(name, data_type, nullable).with_metadata(metadata))
}

fn parse_name(name: &str) -> Result<(DataType, Option<String>), SparkError> {
    let plain = match name {
        "void" | "null" => DataType::Null,
        "boolean" => DataType::Boolean,
        "byte" | "tinyint" => DataType::Int8,
        "short" | "smallint" => DataType::Int16,
        "integer" | "int" => DataType::Int32,
        "long" | "bigint" => DataType::Int64,
        "float" => DataType::Float32,
        "double" => DataType::Float64,
        "string" => DataType::Utf8,
        "binary" => DataType::Binary,
        "date" => DataType::Date32,
        "timestamp" | "timestamp_ltz" => timestamp(),
        "timestamp_ntz" => timestamp_ntz(),
        "time" | "time(6)" => time(),
        "interval" => DataType::Interval(IntervalUnit::MonthDayNano),
        "variant" => variant(),
        "decimal" => DataType::Decimal128(10, 0),
        other => return parse_long_name(other),
    };
    Ok((plain, None))
}

/// Names with parameters.
fn parse_long_name(name: &str) -> Result<(DataType, Option<String>), SparkError> {
    if let Some(rest) = name.strip_prefix("interval ") {
        return parse_interval(name, rest);
    }
    if name.starts_with("string collate ") {
        return Ok((DataType::Utf8, Some(name.to_string())));
    }
    let parts = name.strip_suffix(')').and_then(|rest| rest.split_once('(')).ok_or_else(|| invalid(name))?;
    let number = |text: &str| text.trim().parse::<i32>().map_err(|_| invalid(name));
    match parts {
        ("decimal", arguments) => {
            let (precision, scale) = arguments.split_once(',').ok_or_else(|| invalid(name))?;
            let precision = u8::try_from(number(precision)?).ok().filter(|p| (1..=38).contains(p));
            let scale = i8::try_from(number(scale)?).ok().filter(|s| (-38..=38).contains(s));
            match (precision, scale) {
                (Some(precision), Some(scale)) => Ok((DataType::Decimal128(precision, scale), None)),
                _ => Err(invalid(name)),
            }
        }
        ("char" | "varchar", length) => {
            number(length)?;
            Ok((DataType::Utf8, Some(name.to_string())))
        }
        ("time", precision) if (0..6).contains(&number(precision)?) => Ok((time(), Some(name.to_string()))),
        _ => Err(invalid(name)),
    }
}

fn parse_interval(name: &str, rest: &str) -> Result<(DataType, Option<String>), SparkError> {
    let (start, end) = rest.split_once(" to ").unwrap_or((rest, rest));
    let rank = |field: &str, fields: &[&str]| fields.iter().position(|known| *known == field);
    let (months, times) = (["year", "month"], ["day", "hour", "minute", "second"]);
    for (fields, widest, data_type) in [
        (&months[..], "year to month", DataType::Interval(IntervalUnit::YearMonth)),
        (&times[..], "day to second", super::day_time_interval()),
    ] {
        if let (Some(from), Some(to)) = (rank(start, fields), rank(end, fields))
            && from <= to
        {
            return Ok((data_type, (rest != widest).then(|| name.to_string())));
        }
    }
    Err(invalid(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kind of type, as Spark writes it.
    const ALL: &str = r#"{"type":"struct","fields":[{"name":"b","type":"boolean","nullable":true,"metadata":{}},{"name":"by","type":"byte","nullable":true,"metadata":{}},{"name":"sh","type":"short","nullable":true,"metadata":{}},{"name":"i","type":"integer","nullable":false,"metadata":{"comment":"it's"}},{"name":"l","type":"long","nullable":true,"metadata":{}},{"name":"f","type":"float","nullable":true,"metadata":{}},{"name":"d","type":"double","nullable":true,"metadata":{}},{"name":"s","type":"string","nullable":true,"metadata":{}},{"name":"bin","type":"binary","nullable":true,"metadata":{}},{"name":"d3","type":"decimal(38,10)","nullable":true,"metadata":{}},{"name":"dt","type":"date","nullable":true,"metadata":{}},{"name":"ts","type":"timestamp","nullable":true,"metadata":{"spark.watermarkDelayMs":10000}},{"name":"tn","type":"timestamp_ntz","nullable":true,"metadata":{}},{"name":"ym","type":"interval year to month","nullable":true,"metadata":{}},{"name":"y","type":"interval year","nullable":true,"metadata":{}},{"name":"ds","type":"interval day to second","nullable":true,"metadata":{}},{"name":"hm","type":"interval hour to minute","nullable":true,"metadata":{}},{"name":"ci","type":"interval","nullable":true,"metadata":{}},{"name":"t","type":"time(6)","nullable":true,"metadata":{}},{"name":"v","type":"variant","nullable":true,"metadata":{}},{"name":"n","type":"void","nullable":true,"metadata":{}},{"name":"c","type":"char(3)","nullable":true,"metadata":{}},{"name":"st","type":{"type":"struct","fields":[{"name":"z","type":{"type":"array","elementType":"varchar(2)","containsNull":false},"nullable":true,"metadata":{}}]},"nullable":true,"metadata":{}},{"name":"m","type":{"type":"map","keyType":"string","valueType":"long","valueContainsNull":true},"nullable":true,"metadata":{}}]}"#;

    #[test]
    fn every_type_survives_the_way_through_json_and_back() {
        let fields = schema_from_json(ALL).unwrap();
        assert_eq!(schema_to_json(&fields), ALL);
        assert_eq!(schema_from_json(&schema_to_json(&fields)).unwrap(), fields);
    }

    #[test]
    fn a_bare_name_is_a_type_and_nonsense_is_refused_by_name() {
        assert_eq!(from_json("\"integer\"").unwrap(), DataType::Int32);
        assert_eq!(from_json("decimal(9, 2)").unwrap(), DataType::Decimal128(9, 2));
        for text in
            ["integre", "decimal(99,0)", "decimal(9", "{\"type\":\"array\"}", "[1]", "{", "", "interval second to day"]
        {
            let error = from_json(text).unwrap_err();
            assert_eq!(error.condition(), Some("INVALID_JSON_DATA_TYPE"), "{text}");
        }
    }
}
