//! A receiver that is faster than the batches, and how it is held to what they can do. Time is moved by the test, step by step, each
//! only when all threads wait for a later one: nothing depends on the machine.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "each file of tests uses a part")]
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_dstream::typed::{ItemReceiver, ItemStore};
use millstream_dstream::{Clock, Conf, ReceiverControl, Span};
use millstream_runtime::{Registry, Signal};

use support::{Bench, batch};

/// A receiver stores a portion in this time, so a step never passes over one.
const STEP: Span = Span::from_ms(20);
/// What a batch takes for one record: 500 are processed in a second.
const COST: Span = Span::from_ms(2);
const PATIENCE: Duration = Duration::from_secs(60);

/// Always has more.
struct Flood;

impl ItemReceiver<u64> for Flood {
    fn name(&self) -> &str {
        "Flood"
    }

    fn receive(&mut self, store: &mut ItemStore<'_, u64>) -> ReceiverControl {
        loop {
            if let Err(control) = store.store(vec![0; 1000]) {
                return control;
            }
        }
    }
}

/// The end of one second after another.
struct Second {
    /// Rate limit that the metrics show.
    limit: Option<f64>,
    /// Records of the newest batch that has ended.
    records: u64,
    /// How long that batch waited.
    delay: Span,
}

/// Runs so many batches. They begin to be made at once; a batch waits until the one before is done.
fn run(app: &str, conf: Conf, batches: i64) -> Vec<Second> {
    let conf = conf.set("spark.app.name", app).set("spark.streaming.backpressure.enabled", "true");
    let bench = Bench::with_conf(conf);
    let (clock, stop) = (Clock::Manual(Arc::clone(&bench.clock)), Signal::default());
    let stopped = stop.clone();
    let flood = bench.ssc.receiver_stream(Flood).unwrap();
    flood
        .for_each_rdd(move |_, rdd| {
            let records = i64::try_from(rdd.count()?).unwrap_or(i64::MAX);
            clock.wait_until(clock.now() + COST * records, &stopped);
            Ok(())
        })
        .unwrap();
    bench.ssc.start().unwrap();
    let done = || bench.ssc.recent_batches().len();
    let mut seconds = Vec::new();
    for n in 0..batches {
        let mut now = batch(n);
        while now < batch(n + 1) {
            now = now + STEP;
            bench.clock.advance_to(now);
            let made = usize::try_from(if now < batch(n + 1) { n } else { n + 1 }).unwrap();
            settle(app, || bench.clock.waiters() == if done() < made { 3 } else { 2 });
        }
        seconds.push(Second {
            limit: limit_of(app),
            records: bench.ssc.recent_batches().last().map_or(0, |batch| batch.records()),
            delay: bench.ssc.recent_batches().last().map_or(Span::ZERO, |batch| batch.scheduling_delay().unwrap()),
        });
    }
    stop.stop();
    bench.ssc.stop(false).unwrap();
    seconds
}

/// Waits until receiver, maker of batches and, if there is one, the batch wait for a later time.
fn settle(app: &str, settled: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !settled() {
        assert!(Instant::now() < deadline, "{app}: something does not come to rest");
        std::thread::sleep(Duration::from_micros(20));
    }
}

/// The limit as a scrape shows it.
fn limit_of(app: &str) -> Option<f64> {
    let text = Registry::process().text();
    let start = format!("millstream_dstream_receiver_rate_limit_records_per_second{{app=\"{app}\",");
    text.lines().find(|line| line.starts_with(&start))?.rsplit(' ').next()?.parse().ok()
}

#[test]
fn the_rate_converges_to_what_the_batches_can_do() {
    let seconds = run("converges", Conf::new().set("spark.streaming.backpressure.initialRate", "2000"), 70);
    let first = seconds.first().unwrap();
    assert_eq!(first.limit, Some(2000.0));
    assert!(seconds.iter().any(|second| second.records >= 1900), "the first batch has the initial rate");
    assert!(seconds.iter().any(|second| second.delay > Span::from_ms(2000)), "it held up those after it");
    // Within the steps of this test: a batch may end a step late, and a portion may fall to the batch before or after.
    for second in seconds.iter().rev().take(10) {
        assert!((Some(475.0)..=Some(500.0)).contains(&second.limit), "{:?}", second.limit);
        assert!((460..=515).contains(&second.records), "{} records", second.records);
        assert!(second.delay <= STEP * 3, "{}", second.delay);
    }
}

#[test]
fn the_highest_rate_is_a_bound_for_the_estimate_and_for_the_initial_rate() {
    let conf = Conf::new().set("spark.streaming.receiver.maxRate", "300");
    let seconds = run("highest", conf.set("spark.streaming.backpressure.initialRate", "2000"), 8);
    assert!(seconds.iter().all(|second| second.limit == Some(300.0)));
    assert!(seconds.iter().all(|second| second.records <= 310));
}

#[test]
fn the_rate_does_not_fall_below_the_least_however_far_the_batches_are_behind() {
    let conf = Conf::new().set("spark.streaming.backpressure.initialRate", "1500");
    let seconds = run("least", conf.set("spark.streaming.backpressure.pid.minRate", "800"), 20);
    assert_eq!(seconds.last().unwrap().limit, Some(800.0));
    assert!(seconds.iter().all(|second| second.limit >= Some(800.0)));
    assert!(seconds.last().unwrap().delay > Span::from_ms(5000), "800 a second are more than 500");
}
