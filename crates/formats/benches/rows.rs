//! Rows per second of what every stateful batch does to its keys: encode, hash, decode.

#![allow(clippy::unwrap_used, reason = "a bench that cannot set up has nothing to measure")]

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::DataType;
use divan::Bencher;
use divan::counter::ItemsCount;
use millstream_formats::hash::partition_ids;
use millstream_formats::lz4block;
use millstream_formats::row::{RowBuffer, RowDecoder, RowEncoder};

const ROWS: usize = 8192;

fn main() {
    divan::main();
}

fn words() -> ArrayRef {
    Arc::new(StringArray::from_iter_values((0..ROWS).map(|i| format!("word{}", i * 7919 % 50_000))))
}

fn longs() -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(0..ROWS as i64))
}

fn columns(kind: &str) -> Vec<ArrayRef> {
    match kind {
        "word" => vec![words()],
        "long" => vec![longs()],
        _ => vec![words(), longs(), longs()],
    }
}

fn types(columns: &[ArrayRef]) -> Vec<DataType> {
    columns.iter().map(|column| column.data_type().clone()).collect()
}

#[divan::bench(args = ["word", "long", "word, long, long"], sample_count = 1000)]
fn encode(bencher: Bencher, kind: &str) {
    let columns = columns(kind);
    let encoder = RowEncoder::for_keys(&types(&columns)).unwrap();
    let mut rows = RowBuffer::new();
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        rows.clear();
        encoder.encode(&columns, 0..ROWS, &mut rows).unwrap();
    });
}

#[divan::bench(args = ["word", "long", "word, long, long"], sample_count = 1000)]
fn decode(bencher: Bencher, kind: &str) {
    let columns = columns(kind);
    let mut rows = RowBuffer::new();
    RowEncoder::for_keys(&types(&columns)).unwrap().encode(&columns, 0..ROWS, &mut rows).unwrap();
    let decoder = RowDecoder::new(&types(&columns));
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| decoder.decode(rows.iter()).unwrap());
}

#[divan::bench(args = ["word", "long", "word, long, long"], sample_count = 1000)]
fn place(bencher: Bencher, kind: &str) {
    let columns = columns(kind);
    let (mut scratch, mut ids) = (Vec::new(), Vec::new());
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        ids.clear();
        partition_ids(&columns, ROWS, 200, &mut scratch, &mut ids).unwrap();
    });
}

/// Framing of the rows, 8192 words and counts.
#[divan::bench(sample_count = 200)]
fn compress(bencher: Bencher) {
    let columns = columns("word, long, long");
    let mut rows = RowBuffer::new();
    RowEncoder::for_values(&types(&columns)).unwrap().encode(&columns, 0..ROWS, &mut rows).unwrap();
    let content: Vec<u8> = rows.iter().flatten().copied().collect();
    let mut out = Vec::new();
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        out.clear();
        lz4block::compress(&content, &mut out);
    });
}
