//! The word count in Rust, from a socket into a table.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use millstream::prelude::*;

fn counts(session: &std::sync::Arc<Session>) -> BTreeMap<String, i64> {
    let rows = session.table("counts").unwrap().collect().unwrap();
    let pairs = rows.iter().flat_map(|batch| {
        let words = batch.column(0).as_string::<i32>().iter().map(|w| w.unwrap().to_string()).collect::<Vec<_>>();
        words.into_iter().zip(batch.column(1).as_primitive::<Int64Type>().values().to_vec())
    });
    pairs.collect()
}

/// Each line that has been sent when `process_all_available` is called is in the table when it returns.
#[test]
fn words_from_a_socket_are_counted_across_batches() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let session = local_session().unwrap();
    session.conf().set("spark.sql.shuffle.partitions", "3").unwrap();
    let lines = session.read_stream().format("socket").option("host", "127.0.0.1").option("port", &port).load();
    let words = lines.select([explode(split(col("value"), lit(" "))).alias("word")]);
    let query = words
        .group_by([col("word")])
        .count()
        .write_stream()
        .output_mode("complete")
        .format("memory")
        .query_name("counts")
        .start()
        .unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"to be or not to be\n").unwrap();
    wait_for_rows(&query, 1);
    assert_eq!(
        counts(&session),
        BTreeMap::from([("be", 2), ("not", 1), ("or", 1), ("to", 2)].map(|(w, n)| (w.to_string(), n)))
    );
    peer.write_all(b"not now\n").unwrap();
    wait_for_rows(&query, 2);
    let all = counts(&session);
    assert_eq!((all["not"], all["now"], all["to"]), (2, 1, 2));
    query.stop();
    assert!(query.exception().is_none());
}

/// What was sent may still be on its way when the query looks; waits until it has read that many lines.
fn wait_for_rows(query: &StreamingQuery, lines: u64) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        query.process_all_available().unwrap();
        let read: u64 = query.recent_progress().iter().map(|p| p.input_rows()).sum();
        if read >= lines {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{read} of {lines} lines after 30 s");
        std::thread::yield_now();
    }
}
