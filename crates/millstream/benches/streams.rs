//! Whole queries: words per second of the word count from a socket, and the time of a stateful batch of ten rows.
//!
//! `cargo bench -p millstream`. What is measured is what a program waits for: from the moment the data is there until the
//! batch is committed, its checkpoint on disk.
#![expect(clippy::unwrap_used, reason = "a bench may panic")]

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use millstream::prelude::*;

const WORDS_PER_LINE: usize = 10;
const WORDS: usize = 2_000_000;
const VOCABULARY: u64 = 50_000;

fn main() {
    divan::main();
}

/// Lines of words whose frequency falls with their rank, as in natural text (Zipf).
fn lines() -> Vec<u8> {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut text = Vec::new();
    for word in 0..WORDS {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        // exp of a uniform number: rank r has a share in proportion to 1/r.
        let uniform = (seed >> 11) as f64 / (1_u64 << 53) as f64;
        let rank = (VOCABULARY as f64).powf(uniform) as u64;
        let end = if (word + 1) % WORDS_PER_LINE == 0 { '\n' } else { ' ' };
        write!(text, "w{rank}{end}").unwrap();
    }
    text
}

struct WordCount {
    _session: Arc<Session>,
    query: Arc<StreamingQuery>,
    peer: TcpStream,
    lines: u64,
    _checkpoint: tempfile::TempDir,
}

impl WordCount {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let session = local_session().unwrap();
        session.conf().set("spark.sql.shuffle.partitions", "2").unwrap();
        let checkpoint = tempfile::tempdir().unwrap();
        let lines = session.read_stream().format("socket").option("host", "127.0.0.1").option("port", &port).load();
        let words = lines.select([explode(split(col("value"), lit(" "))).alias("word")]);
        let query = words
            .group_by([col("word")])
            .count()
            .write_stream()
            .output_mode("update")
            .format("noop")
            .option("checkpointLocation", checkpoint.path().to_str().unwrap())
            .start()
            .unwrap();
        let (peer, _) = listener.accept().unwrap();
        Self { _session: session, query, peer, lines: 0, _checkpoint: checkpoint }
    }

    fn feed(&mut self, text: &[u8]) {
        self.lines += (WORDS / WORDS_PER_LINE) as u64;
        self.peer.write_all(text).unwrap();
        let mut seen = 0;
        while seen < self.lines {
            self.query.process_all_available().unwrap();
            seen = self.query.last_progress().map_or(0, |p| end_offset(&p) + 1);
        }
    }
}

/// Number of the last row read, from 0.
fn end_offset(progress: &millstream::Progress) -> u64 {
    progress.sources[0].end_offset.as_deref().and_then(|o| o.parse().ok()).unwrap_or(0)
}

#[divan::bench(sample_count = 10)]
fn word_count_from_a_socket(bencher: Bencher) {
    let text = lines();
    let mut query = WordCount::start();
    query.feed(&text);
    bencher.counter(ItemsCount::new(WORDS)).bench_local(|| query.feed(&text));
}

/// The median time of a batch is in the output as the time of one item.
#[divan::bench(args = [2, 200], consts = [false, true], sample_count = 5)]
fn ten_rows_with_state<const FSYNC: bool>(bencher: Bencher, partitions: u32) {
    const BATCHES: i64 = 20;
    let session = local_session().unwrap();
    session.conf().set("spark.sql.shuffle.partitions", &partitions.to_string()).unwrap();
    session.conf().set("spark.millstream.checkpoint.fsync", &FSYNC.to_string()).unwrap();
    let checkpoint = tempfile::tempdir().unwrap();
    let rows = session.read_stream().format("rate-micro-batch").option("rowsPerBatch", "10").load();
    let query = rows
        .group_by([expr("value % 1000")])
        .count()
        .write_stream()
        .output_mode("update")
        .format("noop")
        .option("checkpointLocation", checkpoint.path().to_str().unwrap())
        .start()
        .unwrap();
    let wait = |batch: i64| {
        while query.last_progress().is_none_or(|p| p.batch_id < batch) {
            std::thread::yield_now();
        }
    };
    wait(5);
    bencher.counter(ItemsCount::new(BATCHES as usize)).bench_local(|| {
        let begin = query.last_progress().map_or(0, |p| p.batch_id);
        wait(begin + BATCHES);
    });
    query.stop();
}

/// A count by key over numbered rows, so many of them a batch.
fn counts_by_key(session: &Arc<Session>, checkpoint: &Path, keys: u32, rows_per_batch: u32) -> Arc<StreamingQuery> {
    let rows = session.read_stream().format("rate-micro-batch").option("rowsPerBatch", &rows_per_batch.to_string());
    let query = rows.load().group_by([expr(&format!("(value * 7919) % {keys}"))]).count().write_stream();
    let query = query.output_mode("update").format("noop");
    query.option("checkpointLocation", checkpoint.to_str().unwrap()).start().unwrap()
}

/// A checkpoint with state of so many keys in two partitions.
fn filled(keys: u32) -> (Arc<Session>, tempfile::TempDir) {
    let session = local_session().unwrap();
    session.conf().set("spark.sql.shuffle.partitions", "2").unwrap();
    let checkpoint = tempfile::tempdir().unwrap();
    let query = counts_by_key(&session, checkpoint.path(), keys, keys);
    wait_for(&query, 0);
    query.stop();
    (session, checkpoint)
}

fn wait_for(query: &StreamingQuery, batch: i64) {
    while query.last_progress().is_none_or(|p| p.batch_id < batch) {
        std::thread::yield_now();
    }
}

/// Batches that change 100 keys each, beside how many others there are.
#[divan::bench(args = [1_000, 1_000_000], sample_count = 10)]
fn a_hundred_keys_of(bencher: Bencher, keys: u32) {
    const BATCHES: i64 = 20;
    let (session, checkpoint) = filled(keys);
    let query = counts_by_key(&session, checkpoint.path(), keys, 100);
    let last = || query.last_progress().map_or(0, |p| p.batch_id);
    wait_for(&query, 10);
    bencher.counter(ItemsCount::new(BATCHES as usize)).bench_local(|| wait_for(&query, last() + BATCHES));
    query.stop();
}

/// From the start to the first batch of a query whose state is on disk.
#[divan::bench(args = [1_000, 1_000_000], sample_count = 5, sample_size = 1)]
fn restart_with_keys(bencher: Bencher, keys: u32) {
    let (session, checkpoint) = filled(keys);
    bencher.bench_local(|| {
        let query = counts_by_key(&session, checkpoint.path(), keys, 100);
        wait_for(&query, 0);
        query.stop();
    });
}
