use arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;
use millstream_formats::types;

use crate::kernel::tests::run_constant;
use crate::test_context::{ansi, legacy};
use crate::{FunctionContext, Typed, cast};

/// The result as `CAST(… AS STRING)` shows it, or the condition of the error.
fn outcome(value: ScalarValue, to: &DataType, try_cast: bool, context: &FunctionContext) -> String {
    let shown = cast(Typed::literal(value), to, try_cast, context)
        .and_then(|v| cast(v, &DataType::Utf8, false, context))
        .and_then(|v| run_constant(&v));
    match shown {
        Ok(ScalarValue::Utf8(text)) => text.unwrap_or_else(|| "NULL".to_string()),
        Ok(other) => format!("not a string: {other:?}"),
        Err(error) => error.condition().unwrap_or("?").to_string(),
    }
}

#[test]
fn values_that_do_not_fit_fail_are_null_or_are_cut() {
    let cases = [
        (ScalarValue::from("abc"), DataType::Int32, "CAST_INVALID_INPUT", "NULL", "NULL"),
        (ScalarValue::from("12.9"), DataType::Int32, "CAST_INVALID_INPUT", "NULL", "12"),
        (ScalarValue::from("300"), DataType::Int8, "CAST_INVALID_INPUT", "NULL", "NULL"),
        (ScalarValue::from(300i32), DataType::Int8, "CAST_OVERFLOW", "NULL", "44"),
        (ScalarValue::from(1e20), DataType::Int32, "CAST_OVERFLOW", "NULL", "2147483647"),
        (ScalarValue::from(f64::NAN), DataType::Int64, "CAST_OVERFLOW", "NULL", "0"),
        (ScalarValue::from(-1.9), DataType::Int64, "-1", "-1", "-1"),
        (ScalarValue::from("2020-13-01"), DataType::Date32, "CAST_INVALID_INPUT", "NULL", "NULL"),
        (
            ScalarValue::from("12345.678"),
            DataType::Decimal128(5, 2),
            "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION",
            "NULL",
            "NULL",
        ),
        (ScalarValue::from(f64::NAN), DataType::Decimal128(5, 2), "NULL", "NULL", "NULL"),
        (ScalarValue::Decimal128(Some(12345), 5, 2), DataType::Decimal128(4, 1), "123.5", "123.5", "123.5"),
        (ScalarValue::from("yes"), DataType::Boolean, "true", "true", "true"),
        (
            ScalarValue::from("1 02:03:04"),
            types::day_time_interval(),
            "INTERVAL '1 02:03:04' DAY TO SECOND",
            "INTERVAL '1 02:03:04' DAY TO SECOND",
            "INTERVAL '1 02:03:04' DAY TO SECOND",
        ),
        (
            ScalarValue::from(1.25),
            types::timestamp(),
            "1970-01-01 01:00:01.25",
            "1970-01-01 01:00:01.25",
            "1970-01-01 01:00:01.25",
        ),
        (
            ScalarValue::from(true),
            DataType::Date32,
            "DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION",
            "DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION",
            "DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION",
        ),
        (
            ScalarValue::from(1i32),
            DataType::Date32,
            "DATATYPE_MISMATCH.CAST_WITH_FUNC_SUGGESTION",
            "DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION",
            "DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION",
        ),
    ];
    for (value, to, in_ansi, with_try, in_legacy) in cases {
        assert_eq!(outcome(value.clone(), &to, false, &ansi()), in_ansi, "{value:?} to {to}");
        assert_eq!(outcome(value.clone(), &to, true, &ansi()), with_try, "try {value:?} to {to}");
        assert_eq!(outcome(value.clone(), &to, false, &legacy()), in_legacy, "legacy {value:?} to {to}");
    }
}

#[test]
fn a_widening_cast_is_visible_to_the_optimizer() {
    let column = Typed::new(datafusion::prelude::col("a"), DataType::Int32, false);
    let wide = cast(column, &DataType::Int64, false, &ansi()).unwrap();
    assert!(matches!(wide.expr, datafusion::logical_expr::Expr::Cast(_)));
    assert!(!wide.nullable);
}
