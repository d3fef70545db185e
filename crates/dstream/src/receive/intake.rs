//! Where a receiver puts its elements and batches take them from.

use std::collections::VecDeque;
use std::sync::Arc;

use millstream_runtime::Signal;
use millstream_runtime::metrics::Gauge;
use parking_lot::{Condvar, Mutex};

use super::rate::{Limiter, RateLimit};
use super::tracker::WriteAhead;
use super::{BLOCK_BYTES_MAX, ReceiverControl};
use crate::{Block, Clock, Span, StreamError};

/// A block that is being filled.
pub trait OpenBlock: Default + Send + 'static {
    /// What is stored at once.
    type Part: Send;

    /// Adds a part.
    fn append(&mut self, part: Self::Part);
    /// Number of elements.
    fn records(&self) -> u64;
    /// Bytes, or an estimate.
    fn bytes(&self) -> usize;
    /// Ends the block.
    fn close(self) -> Block;
    /// Bytes of a part, or an estimate.
    fn part_bytes(part: &Self::Part) -> usize;
    /// Elements of a part.
    fn part_records(part: &Self::Part) -> u64;
    /// Cuts off all but the first `records` elements of a part.
    fn split_part(part: &mut Self::Part, records: u64) -> Self::Part;
}

/// Block interval, bound on memory and limits of the rate.
#[derive(Clone)]
pub(crate) struct IntakeSettings {
    pub block_interval: Span,
    pub held_bytes_max: usize,
    pub clock: Clock,
    /// Shows what is held in memory.
    pub buffered_bytes: Gauge,
}

/// Shared by the receiver, the tracker and the supervisor.
pub(crate) struct Intake<O: OpenBlock> {
    state: Mutex<State<O>>,
    /// The receiver waits here for room.
    room: Condvar,
    pub signal: Signal,
    pub rate: RateLimit,
    settings: IntakeSettings,
    log: Option<WriteAhead>,
    on_stop: Mutex<Option<Box<dyn Fn() + Send>>>,
}

struct State<O> {
    open: O,
    /// Number of the block interval that `open` was begun in.
    open_since: i64,
    /// Closed, but not yet in the log: it could not be written. They keep their order.
    unlogged: VecDeque<Block>,
    /// Closed and not allotted to a batch.
    closed: VecDeque<Block>,
    /// Bytes in `open`, `unlogged` and `closed`, and in batches that are not done.
    held_bytes: usize,
    stopped: bool,
}

/// What the tracker asks of an intake, whatever its elements are.
pub(crate) trait Shelf: Send + Sync {
    /// All blocks that no batch has.
    ///
    /// # Errors
    /// One cannot be written to the log; then none is taken.
    fn take(&self) -> Result<Vec<Block>, StreamError>;
    /// Puts back what was taken.
    fn give_back(&self, blocks: Vec<Block>);
    /// Puts blocks of an earlier process in front.
    fn restore(&self, blocks: Vec<Block>);
    /// The batches that had so many bytes are done.
    fn release(&self, bytes: usize);
    /// Closes the open block if its interval is over.
    fn tick(&self) -> Result<(), StreamError>;
    fn stop(&self);
    /// New limit of elements per second.
    fn set_rate(&self, per_second: f64);
}

impl<O: OpenBlock> Intake<O> {
    pub fn new(settings: IntakeSettings, rate: RateLimit, log: Option<WriteAhead>) -> Self {
        let state = State {
            open: O::default(),
            open_since: 0,
            unlogged: VecDeque::new(),
            closed: VecDeque::new(),
            held_bytes: 0,
            stopped: false,
        };
        Intake {
            state: Mutex::new(state),
            room: Condvar::new(),
            signal: Signal::default(),
            rate,
            settings,
            log,
            on_stop: Mutex::default(),
        }
    }

    fn interval_now(&self) -> i64 {
        self.settings.clock.now().as_ms().div_euclid(self.settings.block_interval.as_ms().max(1))
    }

    fn hold(&self, state: &mut State<O>, bytes: usize) {
        state.held_bytes += bytes;
        self.settings.buffered_bytes.set(state.held_bytes as f64);
    }

    /// Closes the open block and writes it to the log. What cannot be written stays, and the receiver is held up when that is too
    /// much; the batch that should have it fails.
    fn close_open(&self, state: &mut State<O>) -> Result<(), StreamError> {
        if state.open.records() > 0 {
            let block = std::mem::take(&mut state.open).close();
            state.unlogged.push_back(block);
        }
        while let Some(block) = state.unlogged.front() {
            if let Some(log) = &self.log {
                log.store(block)?;
            }
            state.closed.extend(state.unlogged.pop_front());
        }
        Ok(())
    }

    /// Adds a part; waits while too much is held. False if it was stopped meanwhile: the part is not stored.
    fn append(&self, part: O::Part) -> bool {
        let mut state = self.state.lock();
        while state.held_bytes >= self.settings.held_bytes_max && !state.stopped {
            self.room.wait(&mut state);
        }
        if state.stopped {
            return false;
        }
        let now = self.interval_now();
        let bytes = O::part_bytes(&part);
        if state.open_since != now || state.open.bytes() + bytes > BLOCK_BYTES_MAX {
            if let Err(error) = self.close_open(&mut state) {
                tracing::error!(%error, "cannot write to the write-ahead log");
            }
            state.open_since = now;
        }
        self.hold(&mut state, bytes);
        state.open.append(part);
        true
    }

    pub fn set_on_stop(&self, action: Option<Box<dyn Fn() + Send>>) {
        // Under the lock, so that a stop at this moment finds the action or is seen here.
        let mut on_stop = self.on_stop.lock();
        if let (Some(action), true) = (&action, self.signal.is_stopped()) {
            action();
        }
        *on_stop = action;
    }
}

impl<O: OpenBlock> Shelf for Intake<O> {
    fn take(&self) -> Result<Vec<Block>, StreamError> {
        let mut state = self.state.lock();
        self.close_open(&mut state)?;
        Ok(state.closed.drain(..).collect())
    }

    fn give_back(&self, blocks: Vec<Block>) {
        let mut state = self.state.lock();
        blocks.into_iter().rev().for_each(|block| state.closed.push_front(block));
    }

    fn restore(&self, blocks: Vec<Block>) {
        let mut state = self.state.lock();
        self.hold(&mut state, blocks.iter().map(Block::bytes).sum());
        state.closed.extend(blocks);
    }

    fn release(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.held_bytes = state.held_bytes.saturating_sub(bytes);
        self.settings.buffered_bytes.set(state.held_bytes as f64);
        self.room.notify_all();
    }

    fn tick(&self) -> Result<(), StreamError> {
        let mut state = self.state.lock();
        if state.open_since == self.interval_now() { Ok(()) } else { self.close_open(&mut state) }
    }

    fn stop(&self) {
        self.signal.stop();
        self.state.lock().stopped = true;
        self.room.notify_all();
        if let Some(action) = self.on_stop.lock().as_ref() {
            action();
        }
    }

    fn set_rate(&self, per_second: f64) {
        self.rate.set(per_second);
    }
}

/// What a receiver stores its elements in.
pub struct Store<O: OpenBlock> {
    intake: Arc<Intake<O>>,
    limiter: Limiter,
    report: Box<dyn Fn(String, Option<String>) + Send>,
}

impl<O: OpenBlock> Store<O> {
    pub(super) fn new(intake: Arc<Intake<O>>, report: Box<dyn Fn(String, Option<String>) + Send>) -> Self {
        Store { intake, limiter: Limiter::default(), report }
    }

    /// Stores elements, at the rate that is allowed, and waits while the batches are too far behind.
    ///
    /// # Errors
    /// What [`Receiver::receive`](super::Receiver::receive) must return now: the context stops.
    pub fn store(&mut self, mut part: O::Part) -> Result<(), ReceiverControl> {
        loop {
            let records = O::part_records(&part);
            if records == 0 {
                return Ok(());
            }
            let portion = self.limiter.portion(&self.intake.rate, records);
            let rest = (portion < records).then(|| O::split_part(&mut part, portion));
            let clock = &self.intake.settings.clock;
            if self.limiter.wait(&self.intake.rate, clock, portion, &self.intake.signal) {
                return Err(stopped());
            }
            if !self.intake.append(part) {
                return Err(stopped());
            }
            match rest {
                Some(rest) => part = rest,
                None => return Ok(()),
            }
        }
    }

    /// Whether the receiver should return.
    pub fn stopped(&self) -> bool {
        self.intake.signal.is_stopped()
    }

    /// Waits; true if the receiver should return.
    pub fn wait(&self, at_most: std::time::Duration) -> bool {
        self.intake.signal.wait(at_most)
    }

    /// What is done when the receiver shall stop, such as closing what it waits for. Called by another thread, or now if it is
    /// stopped already.
    pub fn on_stop(&self, action: impl Fn() + Send + 'static) {
        self.intake.set_on_stop(Some(Box::new(action)));
    }

    /// Tells listeners that something is wrong, and goes on.
    pub fn report_error(&self, message: impl Into<String>, error: Option<String>) {
        (self.report)(message.into(), error);
    }
}

fn stopped() -> ReceiverControl {
    ReceiverControl::Stop { message: "Stopped by driver".to_owned() }
}
