//! What the parser promises, by example and for any text.

use arrow::datatypes::DataType;

use super::*;

#[test]
fn types_nest() {
    let parsed = parse_data_type("map<string, array<struct<a: int not null, b decimal(12,2)>>>").expect("a type");
    let inner = DataType::Struct(
        vec![Field::new("a", DataType::Int32, false), Field::new("b", DataType::Decimal128(12, 2), true)].into(),
    );
    assert_eq!(parsed, types::map(DataType::Utf8, types::array(inner, true), true));
}

#[test]
fn schemas_take_columns_a_single_type_or_fields_with_colons() {
    let names = |text: &str| {
        let schema = parse_schema(text).expect("a schema");
        schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(names("a INT, b STRING COMMENT 'c'"), "a Int32, b Utf8");
    assert_eq!(names("int"), "value Int32");
    assert_eq!(names("struct<x: bigint>"), "x Int64");
    assert_eq!(names("a: int, b: date"), "a Int32, b Date32");
    let schema = parse_schema("`a b` INT NOT NULL COMMENT 'it''s'").expect("a schema");
    assert!(!schema.field(0).is_nullable());
    assert_eq!(schema.field(0).metadata().get("comment").map(String::as_str), Some("\"it's\""));
}

#[test]
fn bad_types_name_the_condition() {
    let condition = |text: &str| parse_data_type(text).unwrap_err().condition().map(str::to_string).unwrap_or_default();
    assert_eq!(condition("foo"), "UNSUPPORTED_DATATYPE");
    assert_eq!(condition("array"), "INCOMPLETE_TYPE_DEFINITION.ARRAY");
    assert_eq!(condition("decimal(40)"), "DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION");
    assert_eq!(condition("varchar"), "DATATYPE_MISSING_SIZE");
    assert_eq!(condition("int int"), "PARSE_SYNTAX_ERROR");
    assert_eq!(condition(" "), "PARSE_EMPTY_STATEMENT");
}

#[test]
fn identifiers_split_at_dots_outside_quotes() {
    assert_eq!(parse_identifier("a.`b.c`").expect("a name"), ["a", "b.c"]);
    assert_eq!(parse_identifier("a-b").unwrap_err().condition(), Some("INVALID_IDENTIFIER"));
}

#[test]
fn errors_point_at_the_place() {
    let shown = parse_data_type("array<int").unwrap_err().to_string();
    assert_eq!(
        shown,
        "[PARSE_SYNTAX_ERROR] Syntax error at or near end of input. SQLSTATE: 42601 (line 1, pos 9)\n\n== SQL ==\narray<int\n---------^^^\n"
    );
    let shown = parse_data_type("array<foo>").unwrap_err().to_string();
    assert_eq!(
        shown,
        "[UNSUPPORTED_DATATYPE] Unsupported data type \"FOO\". SQLSTATE: 0A000\n== SQL (line 1, position 7) ==\narray<foo>\n      ^^^\n"
    );
}
