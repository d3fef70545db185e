use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int32Array, RecordBatch};
use arrow::datatypes::Float64Type;
use datafusion::scalar::ScalarValue;

use crate::kernel::tests::run;
use crate::operators::tests::outcome;
use crate::test_context::ansi;
use crate::{Function, Typed, lookup};

#[test]
fn hashes_and_encodings_agree_with_spark() {
    let text = |t: &str| ScalarValue::from(t);
    let cases: &[(&str, Vec<ScalarValue>, &str)] = &[
        ("md5", vec![text("Spark")], "string 8cde774d6f7333752ed72cacddb05126"),
        ("sha", vec![text("Spark")], "string 85f5955f4b27a9a4c2aab6ffe5d7189fc298b92c"),
        ("sha2", vec![text("Spark"), 224i32.into()], "string dbeab94971678d36af2195851c0f7485775a2a7c60073d62fc04549c"),
        ("sha2", vec![text("Spark"), 1i32.into()], "string NULL"),
        ("crc32", vec![text("Spark")], "bigint 1557323817"),
        ("hash", vec![text("ABC"), text("DEF")], "int 599895104"),
        ("xxhash64", vec![text("ABC"), text("DEF")], "bigint 3233247871021311208"),
        ("md5", vec![1i32.into()], "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("base64", vec![text("Spark SQL")], "string U3BhcmsgU1FM"),
        ("unbase64", vec![text("U3Bh!!")], "binary Spa"),
        ("unbase64", vec![text("YQ==")], "binary a"),
        ("unbase64", vec![text("a")], "?"),
        ("to_binary", vec![text("414243")], "binary ABC"),
        ("to_binary", vec![text("YW"), text("base64")], "binary a"),
        ("to_binary", vec![text("Y!Jj"), text("base64")], "CONVERSION_INVALID_INPUT"),
        ("to_binary", vec![text("abc"), text("xx")], "DATATYPE_MISMATCH.INVALID_ARG_VALUE"),
        ("try_to_binary", vec![text("zz"), text("hex")], "binary NULL"),
        ("encode", vec![text("a€"), text("US-ASCII")], "MALFORMED_CHARACTER_CODING"),
        ("encode", vec![text("a"), text("windows-1252")], "INVALID_PARAMETER_VALUE.CHARSET"),
        ("decode", vec![ScalarValue::Binary(Some(vec![0xfe, 0xff, 0, 0x61])), text("utf-16")], "string a"),
        ("decode", vec![2i32.into(), 1i32.into(), text("a"), 2i32.into(), text("b"), text("c")], "string b"),
        ("bitmap_bit_position", vec![123i32.into()], "bigint 122"),
        ("bitmap_bit_position", vec![(-1i32).into()], "bigint 1"),
        ("bitmap_bucket_number", vec![123i32.into()], "bigint 1"),
        ("bitmap_count", vec![ScalarValue::Binary(Some(vec![0x10, 0x10]))], "bigint 2"),
        ("current_user", vec![], "string tester"),
        ("current_database", vec![], "string default"),
        ("rand", vec![42i32.into()], "double 0.619189370225301"),
        ("randn", vec![42i32.into()], "double 2.384479054241165"),
        ("rand", vec![text("a")], "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("randstr", vec![16i32.into(), 3i32.into()], "string nurJIpH4cmmMnsCG"),
        ("uuid", vec![123i32.into()], "string 4c99192d-23d6-4d88-b814-a634398120f0"),
        ("uniform", vec![5i32.into(), 105i32.into(), 3i32.into()], "int 30"),
        ("uniform", vec![ScalarValue::Decimal128(Some(15), 2, 1), 10i32.into(), 3i32.into()], "decimal(2,1) 3.7"),
    ];
    for (name, arguments, wanted) in cases {
        assert_eq!(outcome(name, arguments, &ansi()), *wanted, "{name} {arguments:?}");
    }
}

#[test]
fn a_seed_gives_one_sequence_over_the_rows() {
    let Some(Function::Scalar(build)) = lookup("rand") else { panic!("no rand") };
    let rand = build("rand", &[Typed::literal(42i32.into())], &ansi()).unwrap();
    let x: ArrayRef = Arc::new(Int32Array::from(vec![0, 1]));
    let batch = RecordBatch::try_from_iter([("x", x)]).unwrap();
    let values = run(&rand, &batch).unwrap();
    assert_eq!(values.as_primitive::<Float64Type>().values()[..], [0.619189370225301, 0.5096018842446481]);
}
