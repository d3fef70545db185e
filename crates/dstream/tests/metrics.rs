//! What a scrape of the process shows of a context.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "each file of tests uses a part")]
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, mpsc};

use millstream_dstream::Conf;
use millstream_runtime::{Endpoint, EndpointOptions, Span};

use support::{Bench, batch, see, until};

/// The figures of an app: `name{labels without app and context}` and value.
struct Scrape(String);

impl Scrape {
    /// Asks over HTTP.
    fn of(port: u16, app: &str) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let own = format!("{{app=\"{app}\",");
        Scrape(answer.lines().filter(|line| line.contains(&own)).collect::<Vec<_>>().join("\n"))
    }

    fn value(&self, name: &str, label: &str) -> Option<f64> {
        let sample = |line: &&str| line.starts_with(&format!("millstream_dstream_{name}{{")) && line.contains(label);
        self.0.lines().find(sample)?.rsplit(' ').next()?.parse().ok()
    }
}

/// The endpoint of the process.
fn door() -> (Arc<Endpoint>, u16) {
    let endpoint = Endpoint::of_process(&EndpointOptions { host: None, port: 0 }).unwrap();
    let port = endpoint.address().port();
    (endpoint, port)
}

#[test]
fn the_figures_of_batches_are_there_until_the_context_ends() {
    let (_endpoint, port) = door();
    let app = "figures of batches";
    let bench = Bench::with_conf(Conf::new().set("spark.app.name", app).set("spark.streaming.ui.retainedBatches", "1"));
    let numbers = bench.ssc.queue_stream([vec![1, 2], vec![3]]).unwrap();
    let (clock, (open, gate)) = (Arc::clone(&bench.clock), mpsc::channel::<()>());
    let gate = Mutex::new(gate);
    numbers
        .for_each_rdd(move |time, _| {
            gate.lock().unwrap().recv().unwrap();
            clock.advance_to(time + Span::from_ms(1250));
            if time == batch(2) { Err(millstream_dstream::StreamError::Graph("no".to_owned())) } else { Ok(()) }
        })
        .unwrap();
    assert_eq!(Scrape::of(port, app).0, "", "it does not run yet");
    bench.ssc.start().unwrap();
    bench.to_batch(1);
    let value = |name: &str| Scrape::of(port, app).value(name, "");
    until("the first batch runs", || value("running_batches") == Some(1.0));
    assert_eq!(value("processing_delay_seconds"), None, "no batch has ended yet");
    assert_eq!(value("last_received_batch_processing_end_timestamp_seconds"), None);
    // The first batch takes 1.25 s, so the second waits 0.25 s.
    open.send(()).unwrap();
    until("the second batch runs", || {
        value("completed_batches_total") == Some(1.0) && value("running_batches") == Some(1.0)
    });
    let begin = batch(1).as_ms() as f64 / 1000.0;
    assert_eq!(value("processing_delay_seconds"), Some(1.25));
    assert_eq!(value("total_delay_seconds"), Some(1.25));
    assert_eq!(value("last_completed_batch_submission_timestamp_seconds"), Some(begin));
    assert_eq!(value("last_completed_batch_processing_end_timestamp_seconds"), Some(begin + 1.25));
    assert_eq!((value("waiting_batches"), value("unprocessed_batches")), (Some(0.0), Some(1.0)));
    open.send(()).unwrap();
    until("the second batch has ended", || value("completed_batches_total") == Some(2.0));
    assert_eq!(value("failed_output_operations_total"), Some(1.0));
    assert_eq!(value("batch_duration_seconds_count"), Some(2.0));
    assert_eq!(value("retained_batches"), Some(1.0));
    assert_eq!(bench.ssc.recent_batches().iter().map(|batch| batch.time).collect::<Vec<_>>(), [batch(2)]);
    drop(open);
    bench.ssc.stop(false).unwrap();
    assert_eq!(Scrape::of(port, app).0, "");
}

#[test]
fn a_receiver_shows_what_it_holds_and_whether_it_runs() {
    let (_endpoint, port) = door();
    let app = "figures of a receiver";
    let conf = Conf::new().set("spark.app.name", app).set("spark.streaming.receiver.maxRate", "100000");
    let bench = Bench::with_conf(conf);
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let lines = bench.ssc.socket_text_stream("127.0.0.1", server.local_addr().unwrap().port()).unwrap();
    let seen = see(&lines).unwrap();
    bench.ssc.start().unwrap();
    let (mut peer, _) = server.accept().unwrap();
    peer.write_all(b"one\ntwo\n").unwrap();
    let value = |name: &str| Scrape::of(port, app).value(name, "stream=\"0\"");
    until("the lines are held", || value("receiver_buffered_bytes") == Some(8.0));
    assert_eq!(Scrape::of(port, app).value("receiver_active", "receiver=\"SocketReceiver-0\""), Some(1.0));
    assert_eq!(value("receiver_rate_limit_records_per_second"), Some(100_000.0));
    assert_eq!(value("input_records_total"), None, "no batch was made");
    bench.to_batch(1);
    assert_eq!(seen.elements().len(), 2);
    until("the batch is done", || value("receiver_buffered_bytes") == Some(0.0));
    assert_eq!(value("input_records_total"), Some(2.0));
    assert_eq!(Scrape::of(port, app).value("processed_records_total", ""), Some(2.0));
    drop(peer);
    until("the receiver has ended", || value("receiver_active") == Some(0.0));
    bench.ssc.stop(false).unwrap();
}

#[test]
fn a_context_opens_the_door_to_the_figures_itself_if_it_is_told_to() {
    // Another test may have opened it already; then it is the same door.
    let app = "a context with a door";
    let conf = Conf::new().set("spark.app.name", app).set("spark.millstream.metrics.port", "0");
    let bench = Bench::with_conf(conf);
    let _seen = see(&bench.ssc.queue_stream([vec![1]]).unwrap()).unwrap();
    bench.ssc.start().unwrap();
    let (_endpoint, port) = door();
    assert_eq!(Scrape::of(port, app).value("waiting_batches", ""), Some(0.0));
    bench.ssc.stop(false).unwrap();

    let bench = Bench::with_conf(Conf::new().set("spark.millstream.metrics.port", "many"));
    let _seen = see(&bench.ssc.queue_stream([vec![1]]).unwrap()).unwrap();
    let error = bench.ssc.start().unwrap_err().to_string();
    assert_eq!(error, "The value 'many' of `spark.millstream.metrics.port` is no number");
}
