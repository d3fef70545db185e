use std::sync::Arc;

use arrow::array::{
    BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array, ListArray, StringArray,
    StructArray,
};
use arrow::datatypes::{DataType, Field, Int32Type};

use super::*;

fn of(column: ArrayRef) -> Vec<i32> {
    let rows = column.len();
    murmur3(&[column], rows, SEED).unwrap()
}

/// The figures are what Spark's `hash` gives.
#[test]
fn murmur3_is_sparks_for_every_kind_of_value() {
    assert_eq!(
        of(Arc::new(Int32Array::from(vec![Some(0), Some(1), Some(-1), None]))),
        [933211791, -559580957, -1604776387, 42]
    );
    assert_eq!(of(Arc::new(Int64Array::from(vec![1]))), [-1712319331]);
    let texts = StringArray::from(vec!["", "a", "ab", "abc", "abcd", "é", "日本"]);
    assert_eq!(of(Arc::new(texts)), [142593372, 1485273170, -97053317, 1322437556, -396302900, 2119106806, -336983209]);
    assert_eq!(of(Arc::new(Float64Array::from(vec![0.0, -0.0, 1.5]))), [-1670924195, -1670924195, 1290763749]);
    assert_eq!(of(Arc::new(BooleanArray::from(vec![true]))), [-559580957]);
    let decimal = |value, precision, scale| -> ArrayRef {
        Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(precision, scale).unwrap())
    };
    assert_eq!(of(decimal(1234, 9, 2)), [-1028144669]);
    assert_eq!(of(decimal(-10_000_000_000, 38, 10)), [1628110857]);
    assert_eq!(of(Arc::new(BinaryArray::from(vec![&[0u8, 0xff][..]]))), [1246198977]);
}

#[test]
fn columns_and_fields_of_structs_seed_each_other() {
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    let number: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    assert_eq!(murmur3(&[text.clone(), number.clone()], 1, SEED).unwrap(), [532252686]);
    let fields = vec![Field::new("a", DataType::Utf8, true), Field::new("b", DataType::Int32, true)];
    let both = StructArray::new(fields.into(), vec![text, number], None);
    assert_eq!(of(Arc::new(both)), [532252686]);
}

#[test]
fn a_list_hashes_as_its_elements_one_after_the_other() {
    let lists =
        ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None, Some(2)]), None, Some(vec![])]);
    let (one, two): (ArrayRef, ArrayRef) = (Arc::new(Int32Array::from(vec![1])), Arc::new(Int32Array::from(vec![2])));
    assert_eq!(of(Arc::new(lists)), [murmur3(&[one, two], 1, SEED).unwrap()[0], 42, 42]);
}

#[test]
fn partitions_of_negative_hashes_are_not_negative() {
    assert_eq!(partition_of(-559580957, 200), (-559580957i64).rem_euclid(200) as usize);
    let (mut scratch, mut ids) = (Vec::new(), Vec::new());
    let keys: ArrayRef = Arc::new(Int32Array::from(vec![0, 1, -1]));
    partition_ids(&[keys], 3, 5, &mut scratch, &mut ids).unwrap();
    assert_eq!(ids, [1, 3, 3]);
}

/// The examples of Spark's documentation of `hash` and `xxhash64`.
#[test]
fn both_hashes_agree_with_spark_on_mixed_columns() {
    let text: ArrayRef = Arc::new(StringArray::from(vec!["Spark"]));
    let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(123)])]));
    let number: ArrayRef = Arc::new(Int32Array::from(vec![2]));
    let columns = [text, list, number];
    assert_eq!(murmur3(&columns, 1, SEED).unwrap(), [-1321691492]);
    assert_eq!(xxhash64(&columns, 1, i64::from(SEED)).unwrap(), [5602566077635097486]);
}
