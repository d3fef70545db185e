//! Rows between the thread that reads the socket and the batches that use them.
//!
//! Rows are kept from the first that is not committed to the newest. The reading thread waits while the buffer is full, a commit
//! makes room. Rows lie in segments of about [`SEGMENT_BYTES`]; the newest segment is still open and is closed when a batch is cut.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, TimestampMicrosecondArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use millstream_formats::condition::{ExceptionClass, SparkError};
use parking_lot::{Condvar, Mutex};

use super::lines::Lines;

/// Bytes of rows that are held before the socket is left alone.
pub(super) const BUFFER_BYTES_MAX: usize = 256 << 20;
/// Bytes of rows in one batch: half of the buffer, so that reading goes on while the batch runs.
const BATCH_BYTES_MAX: usize = BUFFER_BYTES_MAX / 2;
/// A segment is closed at this size.
const SEGMENT_BYTES: usize = 1 << 20;

/// Tells the engine that rows have come.
pub(super) type Wake = Box<dyn Fn() + Send + Sync>;

/// Shared by the source and its reading thread.
#[derive(Default)]
pub(super) struct LineBuffer {
    state: Mutex<State>,
    /// The reading thread waits here for room.
    room: Condvar,
    wake: Mutex<Option<Wake>>,
}

#[derive(Default)]
struct State {
    closed: VecDeque<Segment>,
    open: OpenSegment,
    /// Rows that have come since the start.
    rows: i64,
    /// Rows that are committed and gone.
    committed: i64,
    /// Bytes in `closed` and `open`.
    bytes: usize,
    failure: Option<SparkError>,
    stopped: bool,
}

/// Rows that no longer change.
#[derive(Clone)]
pub(super) struct Segment {
    /// Number of the first row.
    pub first: i64,
    /// The lines.
    pub values: StringArray,
    /// When they came.
    pub times: TimestampMicrosecondArray,
    bytes: usize,
}

impl Segment {
    fn rows(&self) -> i64 {
        self.times.len() as i64
    }

    fn after(&self) -> i64 {
        self.first + self.rows()
    }

    /// The columns of rows `from..to` of this segment.
    pub fn slice(&self, from: usize, to: usize) -> (ArrayRef, ArrayRef) {
        let length = to.saturating_sub(from);
        (Arc::new(self.values.slice(from, length)), Arc::new(self.times.slice(from, length)))
    }
}

#[derive(Default)]
struct OpenSegment {
    text: Vec<u8>,
    ends: Vec<i32>,
    times_us: Vec<i64>,
}

/// Bytes that a row costs beside its text: offset and time.
const ROW_BYTES: usize = size_of::<i32>() + size_of::<i64>();

impl OpenSegment {
    fn bytes(&self) -> usize {
        self.text.len() + self.ends.len() * ROW_BYTES
    }

    fn append(&mut self, lines: Lines, time_us: i64) {
        self.times_us.resize(self.times_us.len() + lines.ends.len(), time_us);
        if self.ends.is_empty() {
            (self.text, self.ends) = (lines.text, lines.ends);
            return;
        }
        let shift = i32::try_from(self.text.len()).unwrap_or(i32::MAX);
        self.text.extend_from_slice(&lines.text);
        self.ends.extend(lines.ends.iter().map(|end| end.saturating_add(shift)));
    }

    /// The segment, whose first row has number `first`.
    fn close(self, first: i64) -> Result<Segment, SparkError> {
        let bytes = self.bytes();
        let mut offsets = Vec::with_capacity(self.ends.len() + 1);
        offsets.push(0);
        offsets.extend_from_slice(&self.ends);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let values = StringArray::try_new(offsets, Buffer::from_vec(self.text), None)?;
        let times = TimestampMicrosecondArray::from(self.times_us).with_timezone("UTC");
        Ok(Segment { first, values, times, bytes })
    }
}

impl State {
    fn close_open(&mut self) -> Result<(), SparkError> {
        if self.open.ends.is_empty() {
            return Ok(());
        }
        let first = self.closed.back().map_or(self.committed, Segment::after);
        let segment = std::mem::take(&mut self.open).close(first)?;
        self.closed.push_back(segment);
        Ok(())
    }
}

impl LineBuffer {
    /// Adds lines that came at `time_us`; waits while the buffer is full. False if the source was stopped meanwhile.
    pub fn append(&self, lines: Lines, time_us: i64) -> bool {
        if lines.ends.is_empty() {
            return true;
        }
        let mut state = self.state.lock();
        while state.bytes >= BUFFER_BYTES_MAX && !state.stopped {
            self.room.wait(&mut state);
        }
        if state.stopped {
            return false;
        }
        state.rows += lines.ends.len() as i64;
        state.bytes += lines.text.len() + lines.ends.len() * ROW_BYTES;
        if state.open.bytes() + lines.text.len() > SEGMENT_BYTES
            && let Err(error) = state.close_open()
        {
            state.failure = Some(error);
            return false;
        }
        state.open.append(lines, time_us);
        drop(state);
        self.wake();
        true
    }

    /// Ends the query with an error at its next batch.
    pub fn fail(&self, error: SparkError) {
        self.state.lock().failure = Some(error);
        self.wake();
    }

    fn wake(&self) {
        if let Some(wake) = self.wake.lock().as_ref() {
            wake();
        }
    }

    /// Whom to wake.
    pub fn on_data(&self, wake: Wake) {
        *self.wake.lock() = Some(wake);
    }

    /// Number of rows that a batch may go up to; all of them if `unlimited`.
    pub fn cut(&self, unlimited: bool) -> Result<i64, SparkError> {
        let mut state = self.state.lock();
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        state.close_open()?;
        if unlimited || state.bytes <= BATCH_BYTES_MAX {
            return Ok(state.rows);
        }
        let mut bytes = 0;
        let within = state.closed.iter().take_while(|segment| {
            let first = bytes == 0;
            bytes += segment.bytes;
            first || bytes <= BATCH_BYTES_MAX
        });
        Ok(within.last().map_or(state.rows, Segment::after))
    }

    /// Rows `from..to` that are here, as slices of segments, in order.
    pub fn rows(&self, from: i64, to: i64) -> Result<Vec<(Segment, usize, usize)>, SparkError> {
        let mut state = self.state.lock();
        state.close_open()?;
        let overlap = |segment: &Segment| {
            let start = from.max(segment.first);
            let end = to.min(segment.after());
            (start < end).then(|| (segment.clone(), (start - segment.first) as usize, (end - segment.first) as usize))
        };
        Ok(state.closed.iter().filter_map(overlap).collect())
    }

    /// Lets go of the rows before number `to`.
    ///
    /// # Errors
    /// The rows were committed before.
    pub fn commit(&self, to: i64) -> Result<(), SparkError> {
        let mut state = self.state.lock();
        if to < state.committed {
            let message = format!("Offsets committed out of order: {} followed by {}", state.committed - 1, to - 1);
            return Err(SparkError::plain(ExceptionClass::Runtime, message));
        }
        state.close_open()?;
        state.committed = to.min(state.rows);
        while let Some(segment) = state.closed.pop_front() {
            if segment.after() > to {
                state.closed.push_front(segment);
                break;
            }
            state.bytes = state.bytes.saturating_sub(segment.bytes);
        }
        self.room.notify_all();
        Ok(())
    }

    /// Whether [`LineBuffer::stop`] was called.
    pub fn stopped(&self) -> bool {
        self.state.lock().stopped
    }

    /// Lets the reading thread go.
    pub fn stop(&self) {
        self.state.lock().stopped = true;
        self.room.notify_all();
        *self.wake.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Lines {
        let mut lines = Lines::default();
        for text in texts {
            lines.text.extend_from_slice(text.as_bytes());
            lines.ends.push(lines.text.len() as i32);
        }
        lines
    }

    fn read(buffer: &LineBuffer, from: i64, to: i64) -> Vec<String> {
        let parts = buffer.rows(from, to).unwrap();
        let text =
            |(s, a, b): (Segment, usize, usize)| (a..b).map(|i| s.values.value(i).to_string()).collect::<Vec<_>>();
        parts.into_iter().flat_map(text).collect()
    }

    #[test]
    fn a_range_is_kept_until_it_is_committed() {
        let buffer = LineBuffer::default();
        buffer.append(lines(&["a", "b"]), 1);
        assert_eq!(buffer.cut(false).unwrap(), 2);
        buffer.append(lines(&["c"]), 2);
        assert_eq!(read(&buffer, 0, 2), ["a", "b"]);
        assert_eq!(read(&buffer, 1, 3), ["b", "c"]);
        buffer.commit(2).unwrap();
        assert_eq!(read(&buffer, 0, 3), ["c"]);
        assert!(buffer.commit(1).is_err());
    }

    #[test]
    fn a_full_buffer_holds_the_reader_back_until_a_commit() {
        let buffer = Arc::new(LineBuffer::default());
        let big = "x".repeat(16 << 20);
        let sender = Arc::clone(&buffer);
        let thread = std::thread::spawn(move || (0..40).filter(|_| sender.append(lines(&[&big]), 0)).count());
        let mut read = 0;
        while read < 40 {
            let end = buffer.cut(false).unwrap();
            assert!(buffer.state.lock().bytes <= BUFFER_BYTES_MAX + (17 << 20));
            assert!(end - read <= 8, "a batch of at most half the buffer");
            buffer.commit(end).unwrap();
            read = end;
        }
        assert_eq!(thread.join().unwrap(), 40);
    }
}
