//! What receivers take, how they start anew, and how they are held back.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "each file of tests uses a part")]
mod support;

use std::io::Write;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use millstream_dstream::typed::{DStream, ItemReceiver, ItemStore, StreamingContext, Text};
use millstream_dstream::{Clock, Conf, ContextState, Event, ReceiverControl};
use millstream_runtime::Registry;

use support::{Bench, see, until};

const FAST: Duration = Duration::from_millis(20);

fn context(conf: Conf) -> StreamingContext {
    StreamingContext::with_conf(FAST, conf, Clock::System).unwrap()
}

/// All elements that a stream has given so far.
fn gather(stream: &DStream<Text>) -> Arc<Mutex<Vec<String>>> {
    let (all, sink) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(())));
    let gathered = Arc::clone(&all);
    stream
        .for_each_rdd(move |_, rdd| {
            let _one_batch_at_a_time = sink.lock().unwrap();
            gathered.lock().unwrap().extend(rdd.collect()?.into_iter().map(|line| line.to_string()));
            Ok(())
        })
        .unwrap();
    all
}

fn server() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[test]
fn lines_end_in_any_way_and_a_lost_connection_is_made_again() {
    let (listener, port) = server();
    let ssc = context(Conf::new().set("spark.streaming.receiverRestartDelay", "30ms"));
    let lines = gather(&ssc.socket_text_stream("127.0.0.1", port).unwrap());
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&events);
    ssc.add_listener(move |event: &Event| {
        heard.lock().unwrap().extend(match event {
            Event::ReceiverStarted(info) => Some(format!("{} started", info.name)),
            Event::ReceiverStopped(info) => Some(info.last_error_message.clone()),
            _ => None,
        });
    });
    ssc.start().unwrap();
    let (mut first, _) = listener.accept().unwrap();
    first.write_all(b"one\r\ntwo\nb\xffd\n\nlast").unwrap();
    drop(first);
    let (mut second, _) = listener.accept().unwrap();
    second.write_all(b"three\rfour\n").unwrap();
    until("all lines", || lines.lock().unwrap().len() == 7);
    assert_eq!(*lines.lock().unwrap(), ["one", "two", "b\u{fffd}d", "", "last", "three", "four"]);
    ssc.stop(true).unwrap();
    assert_eq!(
        *events.lock().unwrap(),
        [
            "SocketReceiver-0 started",
            "Restarting receiver with delay 30ms: Socket data stream had no more data",
            "SocketReceiver-0 started",
            "Stopped by driver"
        ]
    );
}

#[test]
fn nobody_listening_is_no_error_and_a_stop_does_not_wait_for_the_restart() {
    let (listener, port) = server();
    drop(listener);
    let ssc = context(Conf::new());
    let lines = gather(&ssc.socket_text_stream("127.0.0.1", port).unwrap());
    ssc.start().unwrap();
    assert!(!ssc.await_termination(Some(FAST * 4)).unwrap());
    let begun = Instant::now();
    ssc.stop(false).unwrap();
    assert!(begun.elapsed() < Duration::from_millis(1900), "{:?}", begun.elapsed());
    assert!(lines.lock().unwrap().is_empty());
    assert!(ssc.await_termination(None).unwrap());
    assert_eq!(ssc.state(), ContextState::Stopped);
    assert_eq!(ssc.start().unwrap_err().to_string(), "StreamingContext has already been stopped");
}

#[test]
fn a_graceful_stop_processes_all_that_was_received() {
    let (listener, port) = server();
    let ssc = context(Conf::new());
    let lines = gather(&ssc.socket_text_stream("127.0.0.1", port).unwrap());
    let last = lines.clone();
    ssc.start().unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    for n in 0..20_000 {
        peer.write_all(format!("{n}\n").as_bytes()).unwrap();
    }
    until("the first line", || !last.lock().unwrap().is_empty());
    ssc.stop(true).unwrap();
    // What the receiver had not read from the socket yet is not received.
    let lines = lines.lock().unwrap();
    assert!(lines.iter().enumerate().all(|(n, line)| *line == n.to_string()));
}

/// A line is received, then the context is stopped gracefully while the clock stands still.
fn stop_gracefully_with_a_line(conf: Conf) -> (Bench, support::Seen<u64>) {
    let (listener, port) = server();
    let bench = Bench::with_conf(conf.set("spark.app.name", format!("graceful {port}")));
    let lines = bench.ssc.socket_text_stream("127.0.0.1", port).unwrap();
    let sizes = see(&lines.map(|line| line.len() as u64).unwrap()).unwrap();
    bench.ssc.start().unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"four\n").unwrap();
    let held = format!("receiver_buffered_bytes{{app=\"graceful {port}\"");
    until("the line is received", || {
        Registry::process().text().lines().any(|line| line.contains(&held) && line.ends_with(" 5"))
    });
    (bench, sizes)
}

#[test]
fn a_graceful_stop_waits_for_what_was_received_to_be_in_a_batch() {
    let (bench, sizes) = stop_gracefully_with_a_line(Conf::new());
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| bench.ssc.stop(true));
        // By default there is time for ten; the last one comes when the receiver has stopped.
        let next = std::cell::Cell::new(0);
        until("the last batch is made", || {
            next.set(next.get() + 1);
            bench.to_batch(next.get());
            stopping.is_finished()
        });
        stopping.join().unwrap().unwrap();
    });
    assert!(std::iter::from_fn(|| sizes.try_next()).flatten().eq([4]));
}

#[test]
fn a_graceful_stop_gives_up_what_is_in_no_batch_after_its_timeout() {
    let (bench, sizes) = stop_gracefully_with_a_line(Conf::new().set("spark.streaming.gracefulStopTimeout", "50ms"));
    let begun = Instant::now();
    bench.ssc.stop(true).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(50), "{:?}", begun.elapsed());
    assert!(sizes.try_next().is_none());
    assert_eq!(bench.ssc.state(), ContextState::Stopped);

    let bench = Bench::with_conf(Conf::new().set("spark.streaming.gracefulStopTimeout", "long"));
    let _seen = see(&bench.ssc.queue_stream([vec![1]]).unwrap()).unwrap();
    let error = bench.ssc.start().unwrap_err().to_string();
    assert_eq!(error, "The value 'long' of `spark.streaming.gracefulStopTimeout` is no time");
}

#[test]
fn a_peer_that_is_faster_than_the_batches_is_held_back() {
    let (listener, port) = server();
    let conf = Conf::new().set("spark.millstream.receiver.bufferBytes", "1m");
    let bench = Bench::with_conf(conf);
    let lines = bench.ssc.socket_text_stream("127.0.0.1", port).unwrap();
    let sizes = see(&lines.map(|line| line.len() as u64).unwrap()).unwrap();
    bench.ssc.start().unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let total: u64 = 40 << 20;
    let sender = std::thread::spawn(move || {
        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        while counted.load(Ordering::SeqCst) < total {
            peer.write_all(&line).unwrap();
            counted.fetch_add(line.len() as u64, Ordering::SeqCst);
        }
    });
    // No batch is made: the sender comes to a halt when the buffer here and those of the system are full.
    let last = AtomicU64::new(0);
    until("the sender is held back", || {
        std::thread::sleep(Duration::from_millis(100));
        let now = sent.load(Ordering::SeqCst);
        last.swap(now, Ordering::SeqCst) == now && now > 0
    });
    let mut received = 0;
    assert!(sent.load(Ordering::SeqCst) < total / 2, "{} of {total}", sent.load(Ordering::SeqCst));
    for n in 1.. {
        bench.to_batch(n);
        received += sizes.elements().iter().map(|size| size + 1).sum::<u64>();
        if received == total {
            break;
        }
    }
    sender.join().unwrap();
    bench.ssc.stop(false).unwrap();
}

#[test]
fn a_line_without_end_ends_the_receiver_with_an_error() {
    let (listener, port) = server();
    let ssc = context(Conf::new());
    let lines = gather(&ssc.socket_text_stream("127.0.0.1", port).unwrap());
    ssc.start().unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    let chunk = b"x".repeat(1 << 20);
    let sender = std::thread::spawn(move || while peer.write_all(&chunk).is_ok() {});
    let error = ssc.await_termination(None).unwrap_err().to_string();
    assert!(error.contains("is longer than 67108864 bytes"), "{error}");
    sender.join().unwrap();
    ssc.stop(false).unwrap();
    assert!(lines.lock().unwrap().is_empty());
}

/// Counts up as fast as it may.
struct Counter(u64);

impl ItemReceiver<u64> for Counter {
    fn name(&self) -> &str {
        "Counter"
    }

    fn receive(&mut self, store: &mut ItemStore<'_, u64>) -> ReceiverControl {
        loop {
            let part = (self.0..self.0 + 50).collect();
            self.0 += 50;
            if let Err(control) = store.store(part) {
                return control;
            }
        }
    }
}

#[test]
fn a_receiver_keeps_to_its_rate_and_loses_nothing_by_it() {
    let ssc = context(Conf::new().set("spark.streaming.receiver.maxRate", "2000"));
    let (sender, receiver) = mpsc::channel();
    let numbers = ssc.receiver_stream(Counter(0)).unwrap();
    let by_partition = numbers.glom().unwrap();
    by_partition
        .for_each_rdd(move |_, rdd| {
            let _nobody_listens = sender.send(rdd.collect()?.concat());
            Ok(())
        })
        .unwrap();
    let begun = Instant::now();
    ssc.start().unwrap();
    let mut seen = Vec::new();
    while seen.len() < 1000 {
        seen.extend(receiver.recv_timeout(Duration::from_secs(20)).unwrap());
    }
    assert!(begun.elapsed() >= Duration::from_millis(450), "{:?}", begun.elapsed());
    assert!(seen.iter().copied().eq(0..seen.len() as u64));
    ssc.stop(false).unwrap();
}

#[test]
fn events_tell_the_life_of_each_batch_in_order() {
    let bench = Bench::new();
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&events);
    bench.ssc.add_listener(move |event: &Event| {
        let text = match event {
            Event::StreamingStarted { .. } => "started".to_owned(),
            Event::BatchSubmitted(batch) => format!("submitted {:?}", batch.total_delay()),
            Event::BatchStarted(batch) => format!("batch {:?}", batch.processing_delay()),
            Event::OutputOperationStarted(output) => format!("output {}", output.id),
            Event::OutputOperationCompleted(output) => format!("output {} done {:?}", output.id, output.failure),
            Event::BatchCompleted(batch) => format!("done {}", batch.total_delay().is_some()),
            _ => return,
        };
        heard.lock().unwrap().push(text);
    });
    let numbers = bench.ssc.queue_stream([vec![1, 2], vec![]]).unwrap();
    let first = see(&numbers).unwrap();
    numbers.for_each_rdd(|_, rdd| rdd.for_each(|n| assert_ne!(n, 2, "two"))).unwrap();
    bench.ssc.start().unwrap();
    bench.to_batch(1);
    first.next();
    until("the batch is done", || events.lock().unwrap().len() == 8);
    bench.ssc.stop(false).unwrap();
    let events = events.lock().unwrap();
    assert_eq!(events[..6], ["started", "submitted None", "batch None", "output 0", "output 0 done None", "output 1"]);
    assert!(events[6].starts_with("output 1 done Some(") && events[6].contains("two"), "{}", events[6]);
    assert_eq!(events[7], "done true");
}

#[test]
fn late_batches_wait_and_are_all_run() {
    let bench = Bench::new();
    let delays = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&delays);
    bench.ssc.add_listener(move |event: &Event| {
        if let Event::BatchCompleted(batch) = event {
            heard.lock().unwrap().push((batch.time, batch.scheduling_delay().unwrap().as_ms()));
        }
    });
    let numbers = bench.ssc.queue_stream((0..5).map(|n| vec![n])).unwrap();
    let (clock, gate) = (Arc::clone(&bench.clock), mpsc::channel::<()>());
    let wait = Mutex::new(gate.1);
    numbers
        .for_each_rdd(move |time, _| {
            if time == support::batch(1) {
                wait.lock().unwrap().recv().unwrap();
                clock.advance_to(support::batch(5));
            }
            Ok(())
        })
        .unwrap();
    let seen = see(&numbers).unwrap();
    bench.ssc.start().unwrap();
    bench.to_batch(4);
    gate.0.send(()).unwrap();
    let elements: Vec<i32> = (0..5).flat_map(|_| seen.elements()).collect();
    assert_eq!(elements, [0, 1, 2, 3, 4]);
    until("all batches are told of", || delays.lock().unwrap().len() == 5);
    bench.ssc.stop(false).unwrap();
    let delays = delays.lock().unwrap();
    assert!(delays.iter().map(|(time, _)| *time).eq((1..=5).map(support::batch)), "in order, none left out");
}
