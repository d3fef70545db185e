use arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch};
use arrow::datatypes::DataType;
use datafusion::prelude::col;
use datafusion::scalar::ScalarValue;
use std::sync::Arc;

use crate::kernel::tests::{run, run_constant};
use crate::test_context::{ansi, legacy};
use crate::{Function, FunctionContext, Typed, cast, lookup};

fn call(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, String> {
    let Some(Function::Scalar(build)) = lookup(name) else { return Err(format!("no function {name}")) };
    build(name, arguments, context).map_err(|e| e.condition().unwrap_or("?").to_string())
}

/// Type and value as text, or the condition of the error.
pub(crate) fn outcome(name: &str, arguments: &[ScalarValue], context: &FunctionContext) -> String {
    let arguments: Vec<Typed> = arguments.iter().cloned().map(Typed::literal).collect();
    let result = match call(name, &arguments, context) {
        Ok(result) => result,
        Err(condition) => return condition,
    };
    let data_type = millstream_formats::types::simple_name(&result.data_type);
    match cast(result, &DataType::Utf8, false, context).and_then(|v| run_constant(&v)) {
        Ok(ScalarValue::Utf8(text)) => format!("{data_type} {}", text.unwrap_or_else(|| "NULL".to_string())),
        Ok(other) => format!("{other:?}"),
        Err(error) => error.condition().unwrap_or("?").to_string(),
    }
}

fn decimal(value: i128, precision: u8, scale: i8) -> ScalarValue {
    ScalarValue::Decimal128(Some(value), precision, scale)
}

#[test]
fn arithmetic_has_sparks_types_and_errors() {
    let cases: &[(&str, [ScalarValue; 2], &str, &str)] = &[
        ("+", [1i32.into(), 2i64.into()], "bigint 3", "bigint 3"),
        ("+", [i32::MAX.into(), 1i32.into()], "ARITHMETIC_OVERFLOW", "int -2147483648"),
        ("+", [127i8.into(), 1i8.into()], "BINARY_ARITHMETIC_OVERFLOW", "tinyint -128"),
        ("*", [i64::MAX.into(), 2i64.into()], "ARITHMETIC_OVERFLOW", "bigint -2"),
        ("try_multiply", [i64::MAX.into(), 2i64.into()], "bigint NULL", "bigint NULL"),
        ("/", [1i32.into(), 2i32.into()], "double 0.5", "double 0.5"),
        ("/", [1i32.into(), 0i32.into()], "DIVIDE_BY_ZERO", "double NULL"),
        ("try_divide", [1i32.into(), 0i32.into()], "double NULL", "double NULL"),
        ("%", [7i32.into(), 0i32.into()], "REMAINDER_BY_ZERO", "int NULL"),
        ("%", [(-7i32).into(), 3i32.into()], "int -1", "int -1"),
        ("%", [i32::MIN.into(), (-1i32).into()], "int 0", "int 0"),
        ("pmod", [(-7i32).into(), 3i32.into()], "int 2", "int 2"),
        ("div", [7i32.into(), 2i32.into()], "bigint 3", "bigint 3"),
        ("div", [i64::MIN.into(), (-1i64).into()], "ARITHMETIC_OVERFLOW", "bigint -9223372036854775808"),
        ("+", [1i32.into(), "2".into()], "bigint 3", "double 3.0"),
        (
            "+",
            [true.into(), 2i32.into()],
            "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES",
            "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES",
        ),
        ("+", [decimal(15, 2, 1), 2i32.into()], "decimal(3,1) 3.5", "decimal(3,1) 3.5"),
        ("*", [decimal(123, 3, 2), decimal(4567, 4, 3)], "decimal(8,5) 5.61741", "decimal(8,5) 5.61741"),
        ("/", [decimal(123, 3, 2), decimal(4567, 4, 3)], "decimal(11,7) 0.2693234", "decimal(11,7) 0.2693234"),
        (
            "/",
            [decimal(10i128.pow(10), 38, 10), decimal(3 * 10i128.pow(10), 38, 10)],
            "decimal(38,6) 0.333333",
            "decimal(38,6) 0.333333",
        ),
        (
            "+",
            [decimal(10i128.pow(38) - 1, 38, 0), decimal(1, 1, 0)],
            "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION",
            "decimal(38,0) NULL",
        ),
        ("%", [decimal(75, 2, 1), decimal(2, 1, 0)], "decimal(2,1) 1.5", "decimal(2,1) 1.5"),
        (
            "-",
            [ScalarValue::Date32(Some(10)), ScalarValue::Date32(Some(8))],
            "interval day to second INTERVAL '2 00:00:00' DAY TO SECOND",
            "interval day to second INTERVAL '2 00:00:00' DAY TO SECOND",
        ),
        ("-", [ScalarValue::Date32(Some(10)), 8i32.into()], "date 1970-01-03", "date 1970-01-03"),
        (
            "*",
            [ScalarValue::DurationMicrosecond(Some(3_000_000)), decimal(15, 2, 1)],
            "interval day to second INTERVAL '0 00:00:04.5' DAY TO SECOND",
            "interval day to second INTERVAL '0 00:00:04.5' DAY TO SECOND",
        ),
        ("&", [6i32.into(), 3i64.into()], "bigint 2", "bigint 2"),
    ];
    for (name, arguments, in_ansi, in_legacy) in cases {
        assert_eq!(outcome(name, arguments, &ansi()), *in_ansi, "{name} {arguments:?}");
        assert_eq!(outcome(name, arguments, &legacy()), *in_legacy, "{name} {arguments:?}, legacy");
    }
    assert_eq!(outcome("negative", &[i32::MIN.into()], &ansi()), "ARITHMETIC_OVERFLOW");
    assert_eq!(outcome("-", &[3i32.into()], &ansi()), "int -3");
    assert_eq!(outcome("abs", &[decimal(-15, 2, 1)], &ansi()), "decimal(2,1) 1.5");
}

#[test]
fn nan_is_equal_to_itself_and_largest_and_zeros_are_equal() {
    let nan = f64::NAN;
    for (name, a, b, wanted) in
        [("=", nan, nan, true), (">", nan, f64::INFINITY, true), ("=", 0.0, -0.0, true), ("<", -0.0, 0.0, false)]
    {
        assert_eq!(outcome(name, &[a.into(), b.into()], &ansi()), format!("boolean {wanted}"), "{a} {name} {b}");
    }
    assert_eq!(outcome("<=>", &[ScalarValue::Float64(None), 1.0.into()], &ansi()), "boolean false");
    assert_eq!(outcome("in", &[1i32.into(), 2i64.into(), ScalarValue::Null], &ansi()), "boolean NULL");
    assert_eq!(outcome("between", &[5i32.into(), "1".into(), 9i64.into()], &ansi()), "boolean true");
}

#[test]
fn a_guard_keeps_a_division_by_zero_from_happening() {
    let x: ArrayRef = Arc::new(Int32Array::from(vec![0, 1, 2, 5, 8]));
    let batch = RecordBatch::try_from_iter([("x", x)]).unwrap();
    let x = Typed::new(col("x"), DataType::Int32, false);
    let number = |v: i32| Typed::literal(v.into());
    let context = ansi();
    let nonzero = call("<>", &[x.clone(), number(0)], &context).unwrap();
    let large = call(">", &[call("/", &[number(4), x], &context).unwrap(), number(1)], &context).unwrap();
    let both = call("and", &[nonzero, large], &context).unwrap();
    assert_eq!(run(&both, &batch).unwrap_err().condition(), Some("DIVIDE_BY_ZERO"));
    let guarded = Typed { expr: crate::lazy::lazy_expr(both.expr).unwrap().data, ..both };
    let result = run(&guarded, &batch).unwrap();
    assert_eq!(result.as_ref(), &arrow::array::BooleanArray::from(vec![false, true, true, false, false]));
}

#[test]
fn a_column_and_a_constant_meet_without_copies_of_the_constant() {
    let x: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.5), None]));
    let batch = RecordBatch::try_from_iter([("x", x)]).unwrap();
    let x = Typed::new(col("x"), DataType::Float64, true);
    let sum = call("+", &[x, Typed::literal(1i32.into())], &ansi()).unwrap();
    assert_eq!(run(&sum, &batch).unwrap().as_ref(), &Float64Array::from(vec![Some(2.5), None]));
}
