//! The write-ahead log of received blocks.
//!
//! Records are appended to numbered segments in `receivedData` below the checkpoint directory: blocks, numbered per input, and which
//! numbers each batch was given. Every process begins a segment of its own, and so does whoever could not write to the last. A segment
//! goes when no batch that may be asked for again, and no block without batch, lies in it or in one before it.
//!
//! # Durability
//! A record is with the operating system when the call returns: it outlives `kill -9`. With
//! `spark.streaming.receiver.writeAheadLog.closeFileAfterWrite` it is on the disk, too.
//!
//! # Damage
//! Numbers leave no gap: each segment begins with how far the log had come, and each checkpoint holds the same ([`Position`]). So rows
//! that are gone are known to be, and are an error. What ends short, or in bytes that a disk has never written, was being
//! written when the process died or the power went, and counts as not there. The format is in `read.rs`.

mod read;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use millstream_formats::{faults, files};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

pub(crate) use self::read::Replay;
use self::read::{Reading, allotment, block, record, start};
use crate::checkpoint::make_dir;
use crate::{Clock, Span, StreamError, Time};

/// A segment is closed at this size even before its time.
const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// Role in [`millstream_formats::faults`].
const RECEIVED: &str = "received";

/// How far the log has come with an input. All are numbers of blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reached {
    /// The first that a recovery may ask for.
    pub needed: u64,
    /// The first that no batch has.
    pub allotted: u64,
    /// That of the next block.
    pub next: u64,
}

impl Reached {
    /// As far as either.
    fn at_least(self, other: Self) -> Self {
        let (allotted, next) = (self.allotted.max(other.allotted), self.next.max(other.next));
        Reached { needed: 0, allotted, next: next.max(allotted) }
    }
}

/// How far the log has come, per input.
pub(crate) type Position = BTreeMap<usize, Reached>;

/// How a log is kept.
pub(crate) struct LogOptions {
    /// Name of the context that it belongs to.
    pub context: String,
    /// Records are on the disk before they count: `spark.streaming.receiver.writeAheadLog.closeFileAfterWrite`.
    pub sync: bool,
    /// It is opened even if rows are gone: [`IGNORE_LOSS`].
    pub ignores_loss: bool,
    /// When a segment is closed: `spark.streaming.receiver.writeAheadLog.rollingIntervalSecs`.
    pub rolling: Span,
    pub clock: Clock,
}

/// The setting that lets a context go on when rows are gone from the log, as after a power cut if it is not synced. It is needed until
/// the segments with the gap are no longer.
pub(crate) const IGNORE_LOSS: &str = "spark.millstream.receiver.writeAheadLog.ignoreLoss";

/// The log of a context.
pub(crate) struct Log {
    directory: PathBuf,
    options: LogOptions,
    state: Mutex<LogState>,
}

/// Per segment and input: the highest number of a block in it.
type Segments = BTreeMap<u64, BTreeMap<usize, u64>>;

struct LogState {
    current: Option<Segment>,
    number: u64,
    segments: Segments,
    reached: Position,
}

/// The segment that is appended to.
struct Segment {
    file: File,
    bytes: u64,
    begun: Time,
}

impl Log {
    /// Opens the log of a context below its checkpoint directory and reads what is there. Without `expected` (the position in the
    /// checkpoint that is gone on from) it begins anew, and what is there is deleted.
    ///
    /// # Errors
    /// It is damaged, that of another context, or holds less than is expected; it cannot be read or written.
    pub fn open(
        checkpoint_dir: &Path,
        options: LogOptions,
        expected: Option<&Position>,
    ) -> Result<(Self, Replay), StreamError> {
        let directory = checkpoint_dir.join("receivedData");
        make_dir(RECEIVED, &directory, options.sync)?;
        let mut reading = Reading::of(&options.context, options.ignores_loss);
        let mut number = 0;
        for (found, path) in segment_files(&directory)? {
            match expected {
                None => remove(&path)?,
                Some(_) => reading.segment(found, &path)?,
            }
            number = found + 1;
        }
        let (segments, replay) = reading.end(&directory, expected)?;
        let reached = replay.reached.clone();
        let state = Mutex::new(LogState { current: None, number, segments, reached });
        let log = Log { directory, options, state };
        // At once: when all older segments have gone, this one knows how far they had come.
        log.begin_segment(&mut log.state.lock())?;
        Ok((log, replay))
    }

    /// Appends a block.
    pub fn store(&self, input: usize, records: u64, bytes: &[u8]) -> Result<(), StreamError> {
        let mut state = self.state.lock();
        let number = state.reached.entry(input).or_default().next;
        self.append(&mut state, &block(input, number, records), bytes)?;
        let segment = state.number;
        state.segments.entry(segment).or_default().insert(input, number);
        state.reached.entry(input).or_default().next = number + 1;
        Ok(())
    }

    /// Says how many blocks a batch has of each input: the first ones that no batch has.
    pub fn allot(&self, time: Time, counts: &BTreeMap<usize, u64>) -> Result<(), StreamError> {
        let mut state = self.state.lock();
        let first = |input: &usize| state.reached.get(input).map_or(0, |reached| reached.allotted);
        let ranges: Vec<(usize, u64, u64)> =
            counts.iter().map(|(input, count)| (*input, first(input), *count)).collect();
        self.append(&mut state, &allotment(time, &ranges), &[])?;
        for (input, first, count) in ranges {
            state.reached.entry(input).or_default().allotted = first + count;
        }
        Ok(())
    }

    /// How far the log has come.
    pub fn position(&self) -> Position {
        self.state.lock().reached.clone()
    }

    /// Deletes what is not needed if only blocks from these numbers on are.
    pub fn clean(&self, needed_from: &BTreeMap<usize, u64>) -> Result<(), StreamError> {
        let mut state = self.state.lock();
        while let Some((number, last)) = state.segments.first_key_value() {
            let needed = last.iter().any(|(input, last)| needed_from.get(input).is_none_or(|from| last >= from));
            if needed || *number == state.number {
                return Ok(());
            }
            remove(&self.path(*number))?;
            state.segments.pop_first();
        }
        Ok(())
    }

    fn path(&self, number: u64) -> PathBuf {
        self.directory.join(format!("log-{number}"))
    }

    fn append(&self, state: &mut LogState, head: &[u8], body: &[u8]) -> Result<(), StreamError> {
        let record = record(head, body)?;
        let now = self.options.clock.now();
        let full = |segment: &Segment| segment.bytes > SEGMENT_BYTES_MAX || now >= segment.begun + self.options.rolling;
        if state.current.as_ref().is_some_and(full) {
            state.current = None;
            state.number += 1;
        }
        if state.current.is_none() {
            self.begin_segment(state)?;
        }
        self.write(state, &record)
    }

    fn begin_segment(&self, state: &mut LogState) -> Result<(), StreamError> {
        let path = self.path(state.number);
        let create = || {
            faults::step(RECEIVED, "create", &path)?;
            OpenOptions::new().create_new(true).append(true).open(&path)
        };
        let file = create().map_err(|e| StreamError::io("create", &path, e))?;
        state.current = Some(Segment { file, bytes: 0, begun: self.options.clock.now() });
        let number = state.number;
        state.segments.entry(number).or_default();
        let head = start(&self.options.context, number, &state.reached)?;
        self.write(state, &head)?;
        if self.options.sync {
            let synced = files::sync_dir(RECEIVED, &self.directory);
            synced.map_err(|e| self.give_up(state, StreamError::io("sync", &self.directory, e)))?;
        }
        Ok(())
    }

    fn write(&self, state: &mut LogState, record: &[u8]) -> Result<(), StreamError> {
        let path = self.path(state.number);
        let Some(segment) = state.current.as_mut() else { return Ok(()) };
        let written = faults::step(RECEIVED, "write", &path).and_then(|()| segment.file.write_all(record));
        let written = written.and_then(|()| {
            if !self.options.sync {
                return Ok(());
            }
            faults::step(RECEIVED, "sync", &path)?;
            segment.file.sync_data()
        });
        segment.bytes += record.len() as u64;
        written.map_err(|e| self.give_up(state, StreamError::io("write", &path, e)))
    }

    /// Half a record may be there: nothing must follow it in this segment.
    fn give_up(&self, state: &mut LogState, error: StreamError) -> StreamError {
        state.current = None;
        state.number += 1;
        error
    }
}

fn remove(path: &Path) -> Result<(), StreamError> {
    let removed = faults::step(RECEIVED, "remove", path).and_then(|()| std::fs::remove_file(path));
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StreamError::io("delete", path, error)),
        _ => Ok(()),
    }
}

fn segment_files(directory: &Path) -> Result<BTreeMap<u64, PathBuf>, StreamError> {
    let number = |name: &str| name.strip_prefix("log-")?.parse::<u64>().ok();
    let names = files::names(directory)?;
    Ok(names.iter().filter_map(|name| Some((number(name)?, directory.join(name)))).collect())
}

#[cfg(test)]
mod tests;
