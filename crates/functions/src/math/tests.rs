use datafusion::scalar::ScalarValue;

use crate::operators::tests::outcome;
use crate::test_context::{ansi, legacy};

fn decimal(value: i128, precision: u8, scale: i8) -> ScalarValue {
    ScalarValue::Decimal128(Some(value), precision, scale)
}

#[test]
fn mathematics_agrees_with_spark() {
    let int = |v: i32| ScalarValue::from(v);
    let cases: &[(&str, Vec<ScalarValue>, &str)] = &[
        ("ceil", vec![decimal(15, 2, 1)], "decimal(2,0) 2"),
        ("ceil", vec![1.5.into()], "bigint 2"),
        ("ceil", vec![1e19.into()], "bigint 9223372036854775807"),
        ("ceil", vec![decimal(2345, 4, 3), int(1)], "decimal(3,1) 2.4"),
        ("ceil", vec![int(-12345), int(-2)], "decimal(11,0) -12300"),
        ("floor", vec![decimal(-2345, 4, 3), int(1)], "decimal(3,1) -2.4"),
        ("floor", vec![(-1.5).into()], "bigint -2"),
        ("round", vec![decimal(25, 2, 1)], "decimal(2,0) 3"),
        ("round", vec![decimal(2345, 4, 3), int(2)], "decimal(4,2) 2.35"),
        ("round", vec![2.345.into(), int(2)], "double 2.35"),
        ("round", vec![int(25), int(-1)], "int 30"),
        ("round", vec![127i8.into(), int(-2)], "tinyint 100"),
        ("round", vec![(-127i8).into(), int(-1)], "ARITHMETIC_OVERFLOW"),
        ("round", vec![12345.678.into(), int(-2)], "double 12300.0"),
        ("round", vec![decimal(15, 10, 1), int(-1)], "decimal(10,0) 0"),
        ("round", vec![1e300.into(), int(2)], "double 1.0E300"),
        ("bround", vec![decimal(25, 2, 1), int(0)], "decimal(2,0) 2"),
        ("bround", vec![int(25), int(-1)], "int 20"),
        ("bround", vec![2.1267.into(), int(2)], "double 2.13"),
        ("rint", vec![2.5.into()], "double 2.0"),
        ("sqrt", vec![int(-1)], "double NaN"),
        ("log", vec![int(10)], "double 2.302585092994046"),
        ("log", vec![int(2), int(8)], "double 3.0"),
        ("log", vec![int(-1)], "double NULL"),
        ("log1p", vec![int(-2)], "double NULL"),
        ("exp", vec![int(1)], "double 2.7182818284590455"),
        ("expm1", vec![1e-10.into()], "double 1.00000000005E-10"),
        ("pow", vec![int(2), 0.5.into()], "double 1.4142135623730951"),
        ("hypot", vec![int(3), int(4)], "double 5.0"),
        ("signum", vec![decimal(-25, 2, 1)], "double -1.0"),
        ("factorial", vec![int(5)], "bigint 120"),
        ("factorial", vec![int(21)], "bigint NULL"),
        ("hex", vec![int(-1)], "string FFFFFFFFFFFFFFFF"),
        ("hex", vec!["Spark".into()], "string 537061726B"),
        ("unhex", vec!["4142".into()], "binary AB"),
        ("unhex", vec!["zz".into()], "binary NULL"),
        ("bin", vec![int(13)], "string 1101"),
        ("conv", vec!["100".into(), int(2), int(10)], "string 4"),
        ("conv", vec!["-10".into(), int(16), int(-10)], "string -16"),
        ("conv", vec!["-10".into(), int(16), int(10)], "string 18446744073709551600"),
        ("conv", vec!["ffffffffffffffffff".into(), int(16), int(10)], "ARITHMETIC_OVERFLOW"),
        ("conv", vec!["abc".into(), int(40), int(10)], "string NULL"),
        ("shiftleft", vec![2i64.into(), int(65)], "bigint 4"),
        ("shiftrightunsigned", vec![int(-4), int(1)], "int 2147483646"),
        ("bit_count", vec![int(-1)], "int 64"),
        ("getbit", vec![int(11), int(0)], "tinyint 1"),
        ("getbit", vec![int(11), int(64)], "INVALID_PARAMETER_VALUE.BIT_POSITION_RANGE"),
        ("width_bucket", vec![5.3.into(), 0.2.into(), 10.6.into(), int(5)], "bigint 3"),
        ("width_bucket", vec![2.1.into(), 3.4.into(), 1.3.into(), int(3)], "bigint 2"),
        ("width_bucket", vec![(-0.9).into(), 5.2.into(), 0.5.into(), int(2)], "bigint 3"),
        ("degrees", vec![2.0.into()], "double 114.59155902616465"),
        ("cot", vec![int(1)], "double 0.6420926159343306"),
        ("asinh", vec![int(1)], "double 0.881373587019543"),
        ("sec", vec![int(1)], "double 1.8508157176809255"),
    ];
    for (name, arguments, wanted) in cases {
        assert_eq!(outcome(name, arguments, &ansi()), *wanted, "{name} {arguments:?}");
    }
    assert_eq!(outcome("round", &[(-127i8).into(), int(-1)], &legacy()), "tinyint 126");
}
