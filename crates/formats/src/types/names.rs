//! The names of a type: in JSON and trees (`integer`), in catalogs (`int`), in SQL (`INT`), and the text of
//! `printSchema`. Not here: reading such names back (JSON is in `json`, DDL is the SQL parser's).

use std::fmt::Write;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit};

use super::{declared, is_variant, key_and_value};

/// `spark.sql.debug.maxToStringFields`: so many fields of a struct are named by [`simple_string`].
const STRUCT_FIELDS_SHOWN_MAX: usize = 25;

/// Spark's `typeName`: `integer`, `decimal(10,2)`, `timestamp_ntz`; of nested types only `struct`, `array`, `map`.
/// A type that no plan holds is shown as Arrow names it.
pub fn type_name(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::Null => "void",
        DataType::Boolean => "boolean",
        DataType::Int8 => "byte",
        DataType::Int16 => "short",
        DataType::Int32 => "integer",
        DataType::Int64 => "long",
        DataType::Float32 => "float",
        DataType::Float64 => "double",
        DataType::Utf8 => "string",
        DataType::Binary => "binary",
        DataType::Date32 => "date",
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => "timestamp",
        DataType::Timestamp(TimeUnit::Microsecond, None) => "timestamp_ntz",
        DataType::Time64(TimeUnit::Nanosecond) => "time(6)",
        DataType::Duration(TimeUnit::Microsecond) => "interval day to second",
        DataType::Interval(IntervalUnit::YearMonth) => "interval year to month",
        DataType::Interval(IntervalUnit::MonthDayNano) => "interval",
        DataType::Decimal128(precision, scale) => return format!("decimal({precision},{scale})"),
        DataType::List(_) => "array",
        DataType::Map(..) => "map",
        DataType::Struct(fields) if is_variant(fields) => "variant",
        DataType::Struct(_) => "struct",
        other => return other.to_string().to_lowercase(),
    };
    name.to_string()
}

/// Spark's `simpleString`: `struct<a:int,b:array<string>>`, of long structs the first 25 fields.
pub fn simple_string(data_type: &DataType) -> String {
    short_name(data_type, None, STRUCT_FIELDS_SHOWN_MAX)
}

/// Spark's `catalogString` and `typeof`: as [`simple_string`], with every field.
pub fn simple_name(data_type: &DataType) -> String {
    short_name(data_type, None, usize::MAX)
}

fn short_name(data_type: &DataType, declared_type: Option<&str>, fields_max: usize) -> String {
    if let Some(name) = declared_type {
        return name.to_string();
    }
    let of = |field: &FieldRef| short_name(field.data_type(), declared(field), fields_max);
    match data_type {
        DataType::Int8 => "tinyint".to_string(),
        DataType::Int16 => "smallint".to_string(),
        DataType::Int32 => "int".to_string(),
        DataType::Int64 => "bigint".to_string(),
        DataType::List(element) => format!("array<{}>", of(element)),
        DataType::Map(entries, _) => match key_and_value(entries) {
            Some((key, value)) => format!("map<{},{}>", of(key), of(value)),
            None => "map".to_string(),
        },
        DataType::Struct(fields) if !is_variant(fields) => {
            let mut parts: Vec<String> =
                fields.iter().take(fields_max).map(|f| format!("{}:{}", f.name(), of(f))).collect();
            if fields.len() > fields_max {
                parts.push(format!("... {} more fields", fields.len() - fields_max));
            }
            format!("struct<{}>", parts.join(","))
        }
        other => type_name(other),
    }
}

/// Spark's `sql`: `STRUCT<a: INT NOT NULL, b: ARRAY<STRING>>`, `DECIMAL(10,2)`.
pub fn sql_name(data_type: &DataType) -> String {
    sql_of(data_type, None)
}

fn sql_of(data_type: &DataType, declared_type: Option<&str>) -> String {
    if let Some(name) = declared_type {
        return name.to_uppercase();
    }
    let of = |field: &Field| sql_of(field.data_type(), declared(field));
    match data_type {
        DataType::List(element) => format!("ARRAY<{}>", of(element)),
        DataType::Map(entries, _) => match key_and_value(entries) {
            Some((key, value)) => format!("MAP<{}, {}>", of(key), of(value)),
            None => "MAP".to_string(),
        },
        DataType::Struct(fields) if !is_variant(fields) => {
            let parts: Vec<String> = fields
                .iter()
                .map(|f| format!("{}: {}{}{}", quote_if_needed(f.name()), of(f), null_ddl(f), comment_ddl(f)))
                .collect();
            format!("STRUCT<{}>", parts.join(", "))
        }
        other => short_name(other, None, usize::MAX).to_uppercase(),
    }
}

fn null_ddl(field: &Field) -> &'static str {
    if field.is_nullable() { "" } else { " NOT NULL" }
}

fn comment_ddl(field: &Field) -> String {
    let text = field.metadata().get("comment").and_then(|json| serde_json::from_str::<String>(json).ok());
    text.map(|text| format!(" COMMENT '{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))).unwrap_or_default()
}

/// The name in backquotes unless it is a plain identifier.
fn quote_if_needed(name: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let plain = !name.is_empty() && name.chars().all(word) && !name.chars().all(|c| c.is_ascii_digit());
    if plain { name.to_string() } else { format!("`{}`", name.replace('`', "``")) }
}

/// One column of DDL: `a INT NOT NULL COMMENT 'x'`.
pub fn field_ddl(field: &Field) -> String {
    let sql = sql_of(field.data_type(), declared(field));
    format!("{} {sql}{}{}", quote_if_needed(field.name()), null_ddl(field), comment_ddl(field))
}

/// All columns of DDL, as `StructType.toDDL`: `a INT,b STRING NOT NULL`.
pub fn schema_ddl(fields: &Fields) -> String {
    fields.iter().map(|field| field_ddl(field)).collect::<Vec<_>>().join(",")
}

/// Spark's `toString`, which some error messages show: `StructType(StructField(a,IntegerType,true))`.
pub fn to_string(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::Decimal128(precision, scale) => return format!("DecimalType({precision},{scale})"),
        DataType::Duration(_) => return "DayTimeIntervalType(0,3)".to_string(),
        DataType::Interval(IntervalUnit::YearMonth) => return "YearMonthIntervalType(0,1)".to_string(),
        DataType::Interval(_) => "CalendarInterval",
        DataType::Time64(_) => return "TimeType(6)".to_string(),
        DataType::Null => "Null",
        DataType::Timestamp(_, None) => "TimestampNTZ",
        DataType::List(element) => {
            return format!("ArrayType({},{})", to_string(element.data_type()), element.is_nullable());
        }
        DataType::Map(entries, _) => match key_and_value(entries) {
            Some((key, value)) => {
                let (key, nullable) = (to_string(key.data_type()), value.is_nullable());
                return format!("MapType({key},{},{nullable})", to_string(value.data_type()));
            }
            None => "Map",
        },
        DataType::Struct(fields) if !is_variant(fields) => {
            let field =
                |f: &FieldRef| format!("StructField({},{},{})", f.name(), to_string(f.data_type()), f.is_nullable());
            return format!("StructType({})", fields.iter().map(field).collect::<Vec<_>>().join(","));
        }
        other => {
            let name = type_name(other);
            let mut letters = name.chars();
            let first = letters.next().map(|c| c.to_ascii_uppercase());
            return first.into_iter().chain(letters).chain("Type".chars()).collect();
        }
    };
    format!("{name}Type")
}

/// The text of `printSchema`, ending in a line feed; `depth_max` levels if given and not 0.
pub fn tree_string(fields: &Fields, depth_max: Option<usize>) -> String {
    let depth = depth_max.filter(|depth| *depth > 0).unwrap_or(usize::MAX);
    let mut text = "root\n".to_string();
    tree_fields(&mut text, " |", fields, depth);
    text
}

fn tree_fields(text: &mut String, prefix: &str, fields: &Fields, depth: usize) {
    for field in fields {
        let name = escape_control_characters(field.name());
        tree_line(text, prefix, &name, field, &format!(" (nullable = {})", field.is_nullable()), depth);
    }
}

/// One line and, indented below it, those of the type.
fn tree_line(text: &mut String, prefix: &str, name: &str, field: &Field, flag: &str, depth: usize) {
    if depth == 0 {
        return;
    }
    let type_name = declared(field).map_or_else(|| type_name(field.data_type()), ToString::to_string);
    // Writing into a String cannot fail.
    let _ = writeln!(text, "{prefix}-- {name}: {type_name}{flag}");
    let (prefix, depth) = (format!("{prefix}    |"), depth - 1);
    match field.data_type() {
        DataType::List(element) => {
            let flag = format!(" (containsNull = {})", element.is_nullable());
            tree_line(text, &prefix, "element", element, &flag, depth);
        }
        DataType::Map(entries, _) => {
            if let Some((key, value)) = key_and_value(entries) {
                tree_line(text, &prefix, "key", key, "", depth);
                let flag = format!(" (valueContainsNull = {})", value.is_nullable());
                tree_line(text, &prefix, "value", value, &flag, depth);
            }
        }
        DataType::Struct(fields) if !is_variant(fields) => tree_fields(text, &prefix, fields, depth),
        _ => {}
    }
}

/// Control characters as their escapes, so that a text stays on its line.
pub(crate) fn escape_control_characters(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{c}' => out.push_str("\\f"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{7}' => out.push_str("\\a"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{array, map, schema_from_json};
    use super::*;

    fn nested() -> Fields {
        let inner =
            Fields::from(vec![Field::new("x y", DataType::Int64, false), Field::new("z", DataType::Utf8, true)]);
        Fields::from(vec![
            Field::new("a", array(DataType::Struct(inner), false), true),
            Field::new("m", map(DataType::Utf8, DataType::Decimal128(10, 2), true), false),
        ])
    }

    #[test]
    fn a_tree_shows_elements_keys_and_nullability() {
        let expected = "root\n |-- a: array (nullable = true)\n |    |-- element: struct (containsNull = false)\n \
                        |    |    |-- x y: long (nullable = false)\n |    |    |-- z: string (nullable = true)\n \
                        |-- m: map (nullable = false)\n |    |-- key: string\n \
                        |    |-- value: decimal(10,2) (valueContainsNull = true)\n";
        assert_eq!(tree_string(&nested(), None), expected);
        assert_eq!(tree_string(&nested(), Some(1)).lines().count(), 3);
        assert_eq!(tree_string(&nested(), Some(2)).lines().count(), 6);
    }

    #[test]
    fn names_differ_between_catalog_sql_and_ddl() {
        let data_type = DataType::Struct(nested());
        assert_eq!(
            simple_string(&data_type),
            "struct<a:array<struct<x y:bigint,z:string>>,m:map<string,decimal(10,2)>>"
        );
        assert_eq!(
            sql_name(&data_type),
            "STRUCT<a: ARRAY<STRUCT<`x y`: BIGINT NOT NULL, z: STRING>>, m: MAP<STRING, DECIMAL(10,2)> NOT NULL>"
        );
        assert_eq!(
            schema_ddl(&nested()),
            "a ARRAY<STRUCT<`x y`: BIGINT NOT NULL, z: STRING>>,m MAP<STRING, DECIMAL(10,2)> NOT NULL"
        );
    }

    #[test]
    fn simple_strings_of_wide_structs_are_cut_and_catalog_names_are_not() {
        let wide: Fields = (0..27).map(|i| Field::new(format!("c{i}"), DataType::Int32, true)).collect();
        assert!(simple_string(&DataType::Struct(wide.clone())).ends_with(",c24:int,... 2 more fields>"));
        assert!(simple_name(&DataType::Struct(wide)).ends_with(",c26:int>"));
    }

    #[test]
    fn declared_types_win_over_the_wider_arrow_type() {
        let json = r#"{"type":"struct","fields":[{"name":"v","type":"varchar(5)","nullable":true,"metadata":{}}]}"#;
        let fields = schema_from_json(json).unwrap();
        assert_eq!(tree_string(&fields, None), "root\n |-- v: varchar(5) (nullable = true)\n");
        assert_eq!(schema_ddl(&fields), "v VARCHAR(5)");
    }
}
