use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array,
    Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, ListArray, MapArray, NullArray, StringArray,
    StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, Int32Type, IntervalMonthDayNano};

use super::*;
use crate::types;

fn encode(columns: &[ArrayRef], canonical: bool) -> RowBuffer {
    let types: Vec<DataType> = columns.iter().map(|c| c.data_type().clone()).collect();
    let encoder = if canonical { RowEncoder::for_keys(&types) } else { RowEncoder::for_values(&types) }.unwrap();
    let mut rows = RowBuffer::new();
    encoder.encode(columns, 0..columns[0].len(), &mut rows).unwrap();
    rows
}

fn words(row: &[u8]) -> Vec<u64> {
    row.chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect()
}

/// Three rows of every type: values, nulls, values.
fn every_type() -> Vec<ArrayRef> {
    let decimal = |values: Vec<Option<i128>>, precision| -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, 2).unwrap())
    };
    let ints =
        ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(7), None, Some(9)]), None, Some(vec![])]);
    let (_, offsets, values, nulls) = ints.into_parts();
    let ints = ListArray::new(Arc::new(Field::new("element", DataType::Int32, true)), offsets, values, nulls);
    let big: ArrayRef = decimal(vec![Some(-5), None, Some(1 << 90)], 38);
    let inner =
        Fields::from(vec![Field::new("t", DataType::Utf8, true), Field::new("d", big.data_type().clone(), true)]);
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("längere Zeichenkette"), None, Some("")]));
    let nested: ArrayRef = Arc::new(StructArray::new(
        inner.clone(),
        vec![texts.clone(), big.clone()],
        Some(NullBuffer::from(vec![true, false, true])),
    ));
    let list_of_structs = ListArray::new(
        Arc::new(Field::new("element", nested.data_type().clone(), true)),
        OffsetBuffer::from_lengths([2, 0, 1]),
        nested.clone(),
        None,
    );
    let DataType::Map(entries, _) = types::map(DataType::Utf8, DataType::Int64, true) else { unreachable!() };
    let DataType::Struct(kv) = entries.data_type() else { unreachable!() };
    let pairs = StructArray::new(
        kv.clone(),
        vec![Arc::new(StringArray::from(vec!["a", "b"])), Arc::new(Int64Array::from(vec![Some(1), None]))],
        None,
    );
    let nulls = NullBuffer::from(vec![true, false, true]);
    let map = MapArray::new(entries.clone(), OffsetBuffer::from_lengths([2, 0, 0]), pairs, Some(nulls.clone()), false);
    let DataType::Struct(parts) = types::variant() else { unreachable!() };
    let variant = StructArray::new(
        parts,
        vec![
            Arc::new(BinaryArray::from(vec![&b"\x0c\x05"[..], b"", b"\0"])),
            Arc::new(BinaryArray::from(vec![&b"\x01\0\0"[..], b"", b"\x01"])),
        ],
        Some(nulls),
    );
    let interval = IntervalMonthDayNano::new(14, -3, 5_000);
    vec![
        Arc::new(NullArray::new(3)),
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        Arc::new(Int8Array::from(vec![Some(-1), None, Some(1)])),
        Arc::new(Int16Array::from(vec![Some(-2), None, Some(2)])),
        Arc::new(Int32Array::from(vec![Some(-3), None, Some(3)])),
        Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(4)])),
        Arc::new(Float32Array::from(vec![Some(1.5), None, Some(f32::INFINITY)])),
        Arc::new(Float64Array::from(vec![Some(-2.5), None, Some(1e300)])),
        Arc::new(Date32Array::from(vec![Some(-1), None, Some(20000)])),
        Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), None, Some(1)]).with_timezone("UTC")),
        decimal(vec![Some(-1234), None, Some(1)], 9),
        big,
        Arc::new(IntervalMonthDayNanoArray::from(vec![Some(interval), None, Some(interval)])),
        texts,
        Arc::new(BinaryArray::from(vec![Some(&b"12345678"[..]), None, Some(b"\0")])),
        nested,
        Arc::new(ints),
        Arc::new(list_of_structs),
        Arc::new(map),
        Arc::new(variant),
    ]
}

#[test]
fn a_string_and_a_long_lie_as_spark_lays_them() {
    let columns: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from(vec![Some("abcdefghi"), None])), Arc::new(Int64Array::from(vec![2, -1]))];
    let rows = encode(&columns, false);
    let text = u64::from_le_bytes(*b"abcdefgh");
    assert_eq!(words(rows.row(0)), [0, 24 << 32 | 9, 2, text, u64::from(b'i')]);
    assert_eq!(words(rows.row(1)), [1, 0, u64::MAX]);
}

#[test]
fn a_null_large_decimal_keeps_its_sixteen_bytes() {
    let decimals = Decimal128Array::from(vec![Some(-1), None]).with_precision_and_scale(38, 10).unwrap();
    let rows = encode(&[Arc::new(decimals)], false);
    assert_eq!(words(rows.row(0)), [0, 16 << 32 | 1, 0xff, 0]);
    assert_eq!(words(rows.row(1)), [1, 16 << 32, 0, 0]);
}

#[test]
fn decimal_bytes_are_the_shortest_twos_complement() {
    for (value, bytes) in
        [(0, &[0u8][..]), (127, &[127]), (128, &[0, 128]), (-128, &[128]), (-129, &[255, 127]), (-1, &[255])]
    {
        let (all, length) = decimal_bytes(value);
        assert_eq!(&all[..length], bytes, "{value}");
    }
    assert_eq!(decimal_bytes(i128::MIN).1, 16);
}

#[test]
fn every_type_survives_a_row_whole_and_in_slices() {
    let columns = every_type();
    let types: Vec<DataType> = columns.iter().map(|c| c.data_type().clone()).collect();
    let rows = encode(&columns, false);
    assert_eq!(RowDecoder::new(&types).decode(rows.iter()).unwrap(), columns);
    let sliced: Vec<ArrayRef> = columns.iter().map(|c| c.slice(1, 2)).collect();
    let mut part = RowBuffer::new();
    RowEncoder::for_values(&types).unwrap().encode(&sliced, 1..2, &mut part).unwrap();
    RowEncoder::for_values(&types).unwrap().encode(&columns, 0..1, &mut part).unwrap();
    assert_eq!((part.row(0), part.row(1)), (rows.row(2), rows.row(0)));
    rows.iter().for_each(|row| validate(&types, row).unwrap());
}

#[test]
fn keys_have_one_zero_and_one_nan_at_any_depth() {
    let nan = f64::from_bits(0x7ff8_0000_0000_0001);
    let doubles: ArrayRef = Arc::new(Float64Array::from(vec![-0.0, nan]));
    let fields = Fields::from(vec![Field::new("d", DataType::Float64, true)]);
    let nested: ArrayRef = Arc::new(StructArray::new(fields, vec![doubles.clone()], None));
    let keys = encode(&[doubles.clone(), nested.clone()], true);
    assert_eq!(words(keys.row(0)), [0, 0, 24 << 32 | 16, 0, 0]);
    assert_eq!(words(keys.row(1)), [0, 0x7ff8 << 48, 24 << 32 | 16, 0, 0x7ff8 << 48]);
    assert_eq!(words(encode(&[doubles], false).row(1)), [0, nan.to_bits()]);
}

#[test]
fn no_damaged_row_makes_the_decoder_panic() {
    let columns = every_type();
    let types: Vec<DataType> = columns.iter().map(|c| c.data_type().clone()).collect();
    let rows = encode(&columns, false);
    let decoder = RowDecoder::new(&types);
    let whole = rows.row(0);
    assert!((0..whole.len()).any(|length| decoder.decode([&whole[..length]]).is_err()));
    for at in 0..whole.len() {
        for damage in [0x01, 0x80, 0xff] {
            let mut row = whole.to_vec();
            row[at] ^= damage;
            let _ = decoder.decode([row.as_slice()]);
            let _ = validate(&types, &row);
            let _ = KeyPrefix::new(&types, 15).cut(&row, &mut Vec::new());
        }
    }
    assert!(decoder.decode([&[][..]]).is_err());
}

#[test]
fn a_prefix_is_the_row_of_the_first_fields() {
    let columns = every_type();
    let types: Vec<DataType> = columns.iter().map(|c| c.data_type().clone()).collect();
    let rows = encode(&columns, false);
    let mut cut = Vec::new();
    for count in 1..=columns.len() {
        let (prefix, expected) = (KeyPrefix::new(&types, count), encode(&columns[..count], false));
        for row in 0..3 {
            assert!(prefix.cut(rows.row(row), &mut cut));
            assert_eq!(cut, expected.row(row), "{count} fields of row {row}");
            let begins = |other| prefix.begins(rows.row(row), expected.row(other));
            assert!(begins(row) && !(count > 1 && begins((row + 1) % 3)), "{count} fields of row {row}");
        }
    }
}

#[test]
fn slots_are_updated_in_place() {
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![None])), Arc::new(StringArray::from(vec!["x"]))];
    let mut rows = encode(&columns, false);
    let row = rows.row_mut(0);
    assert_eq!(slot::get_i64(row, 2, 0), None);
    slot::set_i64(row, 2, 0, -7);
    assert_eq!((slot::get_i64(row, 2, 0), slot::get_bytes(row, 2, 1)), (Some(-7), Some(&b"x"[..])));
    slot::set_null(row, 2, 0);
    assert_eq!(words(row)[..2], [1, 0]);
}

#[test]
fn validation_notices_foreign_rows() {
    let rows = encode(&[Arc::new(Int32Array::from(vec![-1]))], false);
    assert_eq!(validate(&[DataType::Int32], rows.row(0)), Ok(()));
    assert_eq!(validate(&[DataType::Int16], rows.row(0)), Err(RowError::NotZero { field: 0 }));
    assert_eq!(validate(&[DataType::Utf8], rows.row(0)), Err(RowError::OutOfBounds { field: 0 }));
    assert!(matches!(validate(&[DataType::Int32, DataType::Int32], rows.row(0)), Err(RowError::Short { .. })));
}
