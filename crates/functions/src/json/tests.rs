//! Functions on JSON and CSV over a column of texts.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field};
use datafusion::scalar::ScalarValue;
use millstream_formats::text::cast_to_string;
use millstream_formats::zone::Zone;

use crate::kernel::tests::{run, run_constant};
use crate::{Function, Typed, lookup};

fn call(name: &str, arguments: &[Typed]) -> Result<Typed, millstream_formats::condition::SparkError> {
    match lookup(name) {
        Some(Function::Scalar(build) | Function::Generator(build)) => {
            build(name, arguments, &crate::test_context::ansi())
        }
        _ => panic!("{name} is not known"),
    }
}

fn column() -> Typed {
    Typed::new(datafusion::prelude::col("t"), DataType::Utf8, true)
}

fn text(value: &str) -> Typed {
    Typed::literal(ScalarValue::from(value))
}

fn schema(data_type: DataType) -> Typed {
    Typed::literal(ScalarValue::try_new_null(&data_type).unwrap())
}

fn map(pairs: &[&str]) -> Typed {
    let arguments: Vec<Typed> = pairs.iter().map(|p| text(p)).collect();
    call("map", &arguments).unwrap()
}

fn over(value: &Typed, texts: &[Option<&str>]) -> Vec<String> {
    let batch = RecordBatch::try_from_iter([("t", Arc::new(StringArray::from(texts.to_vec())) as ArrayRef)]).unwrap();
    let shown = cast_to_string(run(value, &batch).unwrap().as_ref(), &Zone::UTC).unwrap();
    shown.iter().map(|t| t.unwrap_or("NULL").to_string()).collect()
}

fn a_int() -> DataType {
    DataType::Struct(vec![Field::new("a", DataType::Int32, true), Field::new("s", DataType::Utf8, true)].into())
}

#[test]
fn from_json_and_to_json_follow_the_mode_and_the_options() {
    let texts = [Some(r#"{"a": 1, "s": [1.50, "x" ]}"#), Some(r#"{"a": "bad"}"#), Some("{"), None, Some("")];
    let parsed = call("from_json", &[column(), schema(a_int())]).unwrap();
    assert_eq!(over(&parsed, &texts), ["{1, [1.5,\"x\"]}", "{null, null}", "{null, null}", "NULL", "NULL"]);
    let back = call("to_json", std::slice::from_ref(&parsed)).unwrap();
    assert_eq!(over(&back, &texts), [r#"{"a":1,"s":"[1.5,\"x\"]"}"#, "{}", "{}", "NULL", "NULL"]);
    let full = call("to_json", &[parsed, map(&["ignoreNullFields", "false"])]).unwrap();
    assert_eq!(over(&full, &texts)[1], r#"{"a":null,"s":null}"#);
    let strict = call("from_json", &[column(), schema(a_int()), map(&["mode", "FAILFAST"])]).unwrap();
    let batch = RecordBatch::try_from_iter([("t", Arc::new(StringArray::from(vec!["{"])) as ArrayRef)]).unwrap();
    let error = run(&strict, &batch).unwrap_err();
    assert_eq!(error.condition(), Some("MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION"));
    let dropping = call("from_json", &[column(), schema(a_int()), map(&["mode", "DROPMALFORMED"])]).unwrap_err();
    assert_eq!(dropping.condition(), Some("PARSE_MODE_UNSUPPORTED"));
    let wrong = call("from_json", &[column(), schema(DataType::Int32)]).unwrap_err();
    assert_eq!(wrong.condition(), Some("DATATYPE_MISMATCH.INVALID_JSON_SCHEMA"));
}

#[test]
fn parts_of_documents_are_found_and_bad_documents_have_none() {
    let texts = [Some(r#"{"a": 1, "b": ["x", "y"]}"#), Some("broken"), Some("[1, 2, 3]")];
    let element = call("get_json_object", &[column(), text("$.b[1]")]).unwrap();
    assert_eq!(over(&element, &texts), ["y", "NULL", "NULL"]);
    assert_eq!(over(&call("json_array_length", &[column()]).unwrap(), &texts), ["NULL", "NULL", "3"]);
    assert_eq!(over(&call("json_object_keys", &[column()]).unwrap(), &texts), ["[a, b]", "NULL", "NULL"]);
    let tuple = call("json_tuple", &[column(), text("b"), text("zz")]).unwrap();
    assert_eq!(over(&tuple, &texts), ["[{[\"x\",\"y\"], null}]", "[{null, null}]", "[{null, null}]"]);
}

#[test]
fn schemas_of_texts_are_ddl() {
    let of = |name: &str, value: &str| run_constant(&call(name, &[text(value)]).unwrap()).unwrap();
    let expected = "STRUCT<a: BIGINT, b: ARRAY<DOUBLE>>";
    assert_eq!(of("schema_of_json", r#"{"a": 1, "b": [0.5]}"#), ScalarValue::from(expected));
    assert_eq!(of("schema_of_csv", "1,abc"), ScalarValue::from("STRUCT<_c0: INT, _c1: STRING>"));
    assert!(call("schema_of_json", &[column()]).is_err());
}

#[test]
fn csv_texts_go_both_ways() {
    let texts = [Some("1,x y"), Some("bad,z"), None];
    let parsed = call("from_csv", &[column(), schema(a_int())]).unwrap();
    assert_eq!(over(&parsed, &texts), ["{1, x y}", "{null, z}", "NULL"]);
    assert_eq!(over(&call("to_csv", &[parsed]).unwrap(), &texts), ["1,x y", ",z", "NULL"]);
}
