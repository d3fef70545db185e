//! A context whose clock the test moves, and channels that say what each batch held.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use millstream_dstream::typed::{DStream, Data, StreamingContext};
use millstream_dstream::{Clock, Conf, ManualClock, Span, StreamError, Time};

/// The batch interval of tests.
pub const INTERVAL: Duration = Duration::from_millis(1000);
/// When tests begin.
pub const START: Time = Time::from_ms(1_000_000);
/// A batch that takes longer will not come.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Bench {
    pub ssc: StreamingContext,
    pub clock: Arc<ManualClock>,
}

impl Bench {
    pub fn new() -> Self {
        Self::with_conf(Conf::new())
    }

    pub fn with_conf(conf: Conf) -> Self {
        let clock = ManualClock::new(START);
        let ssc = StreamingContext::with_conf(INTERVAL, conf, Clock::Manual(Arc::clone(&clock))).unwrap();
        Bench { ssc, clock }
    }

    /// Moves the clock to batch `n`, counted from 1.
    pub fn to_batch(&self, n: i64) {
        self.clock.advance_to(batch(n));
    }
}

/// Time of batch `n`.
pub fn batch(n: i64) -> Time {
    START + Span::from(INTERVAL) * n
}

/// What each batch of a stream held.
pub struct Seen<T>(Receiver<(Time, Vec<T>)>);

impl<T> Seen<T> {
    /// The next batch.
    pub fn next(&self) -> (Time, Vec<T>) {
        self.0.recv_timeout(PATIENCE).expect("a batch")
    }

    /// Elements of the next batch.
    pub fn elements(&self) -> Vec<T> {
        self.next().1
    }

    /// Elements of the next batch, sorted.
    pub fn sorted(&self) -> Vec<T>
    where
        T: Ord,
    {
        let mut elements = self.elements();
        elements.sort();
        elements
    }

    /// Elements of the next batch, if it has come.
    pub fn try_next(&self) -> Option<Vec<T>> {
        self.0.try_recv().ok().map(|(_, elements)| elements)
    }

    /// Whether nothing has come.
    pub fn is_empty(&self) -> bool {
        self.0.try_recv().is_err()
    }
}

pub fn see<T: Data>(stream: &DStream<T>) -> Result<Seen<T>, StreamError> {
    let (sender, receiver) = channel();
    stream.for_each_rdd(move |time, rdd| {
        // The test may be over.
        let _nobody_listens = sender.send((time, rdd.collect()?));
        Ok(())
    })?;
    Ok(Seen(receiver))
}

/// Waits until something is so.
pub fn until(what: &str, so: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !so() {
        assert!(std::time::Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
