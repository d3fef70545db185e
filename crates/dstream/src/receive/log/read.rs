//! The bytes of the log, and what they say.
//!
//! ```text
//! segment  "mstrecvd" │ form: u32 │ record START │ records
//! record   length of the payload: u32 │ CRC-32 of the payload: u32 │ CRC-32 of these eight bytes: u32 │ payload
//! payload  START (2) │ length and text of the context's name │ segment │ per input: input, allotted, next
//!          BLOCK (0) │ input │ number │ elements │ the block's bytes
//!          BATCH (1) │ time in ms │ per input: input, number of the first block, how many
//! ```
//! Numbers without a length are `u64`; all are little-endian.
//!
//! A number that comes again takes back what was said of it before: that could not be brought to the disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Position, Reached, Segments};
use crate::{StreamError, Time};

const MAGIC: &[u8; 8] = b"mstrecvd";
/// Form of the segments.
const VERSION: u32 = 2;
const BLOCK: u8 = 0;
const BATCH: u8 = 1;
const START: u8 = 2;
const GONE: &str =
    "rows are gone from the write-ahead log; `spark.millstream.receiver.writeAheadLog.ignoreLoss` goes on without them";
const HEAD_BYTES: usize = 12;
/// The least that a disk writes.
const SECTOR_BYTES: usize = 512;

/// What the log of an earlier process holds.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// Per input: blocks by their numbers, as elements and bytes.
    pub blocks: BTreeMap<usize, BTreeMap<u64, (u64, Vec<u8>)>>,
    /// Per batch and input: the first number and how many.
    pub batches: BTreeMap<Time, BTreeMap<usize, (u64, u64)>>,
    /// How far the log has come.
    pub reached: Position,
}

pub(super) fn start(context: &str, segment: u64, reached: &Position) -> Result<Vec<u8>, StreamError> {
    let mut payload = vec![START];
    payload.extend_from_slice(&(context.len() as u64).to_le_bytes());
    payload.extend_from_slice(context.as_bytes());
    payload.extend_from_slice(&segment.to_le_bytes());
    for (input, reached) in reached {
        for number in [*input as u64, reached.allotted, reached.next] {
            payload.extend_from_slice(&number.to_le_bytes());
        }
    }
    let mut bytes = [MAGIC.as_slice(), &VERSION.to_le_bytes()].concat();
    bytes.extend(record(&payload, &[])?);
    Ok(bytes)
}

pub(super) fn block(input: usize, number: u64, records: u64) -> Vec<u8> {
    let mut head = vec![BLOCK];
    [input as u64, number, records].iter().for_each(|number| head.extend_from_slice(&number.to_le_bytes()));
    head
}

pub(super) fn allotment(time: Time, ranges: &[(usize, u64, u64)]) -> Vec<u8> {
    let mut head = vec![BATCH];
    head.extend_from_slice(&time.as_ms().to_le_bytes());
    for (input, first, count) in ranges {
        [*input as u64, *first, *count].iter().for_each(|number| head.extend_from_slice(&number.to_le_bytes()));
    }
    head
}

/// A record whose payload is in two parts.
pub(super) fn record(head: &[u8], body: &[u8]) -> Result<Vec<u8>, StreamError> {
    let length = u32::try_from(head.len() + body.len())
        .map_err(|_| StreamError::Receiver("A block is too long for the write-ahead log".to_owned()))?;
    let mut crc = crc32fast::Hasher::new();
    crc.update(head);
    crc.update(body);
    let mut record = Vec::with_capacity(HEAD_BYTES + head.len() + body.len());
    record.extend_from_slice(&length.to_le_bytes());
    record.extend_from_slice(&crc.finalize().to_le_bytes());
    let check = crc32fast::hash(&record);
    record.extend_from_slice(&check.to_le_bytes());
    record.extend_from_slice(head);
    record.extend_from_slice(body);
    Ok(record)
}

/// Reads segment after segment.
pub(super) struct Reading<'a> {
    context: &'a str,
    /// Rows that are gone are no error.
    ignores_loss: bool,
    segments: Segments,
    replay: Replay,
    /// How far the log had come where the oldest segment begins. `None`: there is no segment.
    oldest: Option<Position>,
}

impl<'a> Reading<'a> {
    pub fn of(context: &'a str, ignores_loss: bool) -> Self {
        Reading { context, ignores_loss, segments: Segments::new(), replay: Replay::default(), oldest: None }
    }

    /// Reads a segment.
    pub fn segment(&mut self, number: u64, path: &Path) -> Result<(), StreamError> {
        let bytes = std::fs::read(path).map_err(|e| StreamError::io("read", path, e))?;
        let mut last = BTreeMap::new();
        let read = self.records(number, path, &bytes, &mut last);
        self.segments.insert(number, last);
        read
    }

    fn records(
        &mut self,
        number: u64,
        path: &Path,
        bytes: &[u8],
        last: &mut BTreeMap<usize, u64>,
    ) -> Result<(), StreamError> {
        let damaged = |at: usize, what: &str| {
            StreamError::checkpoint(path, format!("{what} at byte {at}: the write-ahead log is damaged"))
        };
        let mut rest = Reader(bytes);
        let at = |rest: &Reader<'_>| bytes.len() - rest.0.len();
        let (Some(magic), Some(form)) = (rest.take(MAGIC.len()), rest.u32()) else { return Ok(()) };
        if magic != MAGIC {
            return if torn(bytes, 0) { Ok(()) } else { Err(damaged(0, "no segment begins so")) };
        }
        if form != VERSION {
            let reason = format!("it has form {form}, this build reads form {VERSION}");
            return Err(StreamError::checkpoint(path, reason));
        }
        let mut started = false;
        while !rest.0.is_empty() {
            let begin = at(&rest);
            let Some(head) = rest.take(HEAD_BYTES) else { return Ok(()) };
            let mut head = Reader(head);
            let (Some(length), Some(crc), Some(check)) = (head.u32(), head.u32(), head.u32()) else { return Ok(()) };
            if bytes.get(begin..begin + 8).map(crc32fast::hash) != Some(check) {
                return if torn(bytes, begin) { Ok(()) } else { Err(damaged(begin, "the head of a record is wrong")) };
            }
            let Some(payload) = rest.take(length as usize) else { return Ok(()) };
            if crc32fast::hash(payload) != crc {
                return if torn(bytes, begin) { Ok(()) } else { Err(damaged(begin, "a record has a wrong checksum")) };
            }
            let mut payload = Reader(payload);
            let kind = payload.take(1).and_then(|kind| kind.first().copied());
            let known = match kind {
                Some(START) if !started => self.start(number, path, payload)?,
                Some(BLOCK) if started => self.block(path, payload, last)?,
                Some(BATCH) if started => self.batch(path, payload)?,
                _ => None,
            };
            known.ok_or_else(|| damaged(begin, "a record has an unknown form"))?;
            started = true;
        }
        Ok(())
    }

    fn start(&mut self, number: u64, path: &Path, mut payload: Reader<'_>) -> Result<Option<()>, StreamError> {
        let refused = |reason: &str| Err(StreamError::checkpoint(path, reason));
        let name = payload.u64().and_then(|length| payload.take(usize::try_from(length).ok()?));
        if name.is_some_and(|name| name != self.context.as_bytes()) {
            return refused("it is the write-ahead log of another context");
        }
        if payload.u64() != Some(number) {
            return refused("it is another segment of the write-ahead log");
        }
        let mut position = Position::new();
        while !payload.0.is_empty() {
            let (Some(input), Some(allotted), Some(next)) = (payload.u64(), payload.u64(), payload.u64()) else {
                return Ok(None);
            };
            let Ok(input) = usize::try_from(input) else { return Ok(None) };
            position.insert(input, Reached { needed: 0, allotted, next });
        }
        if self.oldest.is_none() {
            self.oldest = Some(position.clone());
            self.replay.reached = position;
            return Ok(Some(()));
        }
        for (input, here) in position {
            let before = self.replay.reached.get(&input).copied().unwrap_or_default();
            if here.next > before.next || here.allotted > before.allotted {
                let reason = format!(
                    "the segments before it end at block {} of input {input}, and it begins at {}: {GONE}",
                    before.next, here.next
                );
                self.lost(StreamError::checkpoint(path, reason))?;
                self.replay.reached.insert(input, before.at_least(here));
            } else if here.next < before.next || here.allotted < before.allotted {
                self.take_back(input, here);
            }
        }
        Ok(Some(()))
    }

    /// Rows are gone: an error, unless that is wanted.
    fn lost(&self, error: StreamError) -> Result<(), StreamError> {
        if self.ignores_loss {
            tracing::warn!(%error, "goes on without rows that are gone");
            return Ok(());
        }
        Err(error)
    }

    /// Forgets what was written but not brought to the disk.
    fn take_back(&mut self, input: usize, to: Reached) {
        if let Some(blocks) = self.replay.blocks.get_mut(&input) {
            blocks.split_off(&to.next);
        }
        for range in self.replay.batches.values_mut().filter_map(|batch| batch.get_mut(&input)) {
            range.1 = range.1.min(to.allotted.saturating_sub(range.0));
        }
        self.replay.reached.insert(input, Reached { needed: 0, ..to });
    }

    fn block(
        &mut self,
        path: &Path,
        mut payload: Reader<'_>,
        last: &mut BTreeMap<usize, u64>,
    ) -> Result<Option<()>, StreamError> {
        let (Some(input), Some(number), Some(records)) = (payload.u64(), payload.u64(), payload.u64()) else {
            return Ok(None);
        };
        let Ok(input) = usize::try_from(input) else { return Ok(None) };
        let next = self.replay.reached.get(&input).map_or(0, |reached| reached.next);
        if number > next {
            self.lost(gap(path, input, next, number))?;
        }
        self.replay.reached.entry(input).or_default().next = number + 1;
        self.replay.blocks.entry(input).or_default().insert(number, (records, payload.0.to_vec()));
        last.insert(input, number);
        Ok(Some(()))
    }

    fn batch(&mut self, path: &Path, mut payload: Reader<'_>) -> Result<Option<()>, StreamError> {
        let Some(time) = payload.u64() else { return Ok(None) };
        let time = Time::from_ms(time.cast_signed());
        while !payload.0.is_empty() {
            let (Some(input), Some(first), Some(count)) = (payload.u64(), payload.u64(), payload.u64()) else {
                return Ok(None);
            };
            let Ok(input) = usize::try_from(input) else { return Ok(None) };
            let reached = self.replay.reached.get(&input).copied().unwrap_or_default();
            let Some(end) = first.checked_add(count) else { return Ok(None) };
            if end > reached.next {
                self.lost(gap(path, input, reached.next, end))?;
            }
            if first > reached.allotted {
                self.lost(gap(path, input, reached.allotted, first))?;
            }
            if first < reached.allotted {
                self.take_back(input, Reached { allotted: first, ..reached });
            }
            self.replay.batches.entry(time).or_default().insert(input, (first, count));
            self.replay.reached.insert(input, Reached { allotted: end, next: reached.next.max(end), ..reached });
        }
        Ok(Some(()))
    }

    /// What all segments together hold, if it is no less than a checkpoint expects.
    pub fn end(mut self, directory: &Path, expected: Option<&Position>) -> Result<(Segments, Replay), StreamError> {
        let Some(expected) = expected else { return Ok((self.segments, self.replay)) };
        for (input, expected) in expected {
            let found = self.replay.reached.get(input).copied().unwrap_or_default();
            let from = self.oldest.as_ref().and_then(|oldest| oldest.get(input)).map_or(0, |oldest| oldest.next);
            let whole = found.next >= expected.next && found.allotted >= expected.allotted && from <= expected.needed;
            if !whole {
                let reason = format!(
                    "the checkpoint needs blocks {} to {} of input {input} ({} of them in batches), and the write-ahead log has {from} to {} ({}): {GONE}",
                    expected.needed, expected.next, expected.allotted, found.next, found.allotted
                );
                self.lost(StreamError::checkpoint(&newest(directory, &self.segments), reason))?;
                self.replay.reached.insert(*input, found.at_least(*expected));
            }
        }
        Ok((self.segments, self.replay))
    }
}

fn newest(directory: &Path, segments: &Segments) -> PathBuf {
    let number = segments.last_key_value().map(|(number, _)| *number);
    number.map_or_else(|| directory.to_owned(), |number| directory.join(format!("log-{number}")))
}

fn gap(path: &Path, input: usize, end: u64, next: u64) -> StreamError {
    let reason = format!("after block {end} of input {input} comes {next}: {GONE}");
    StreamError::checkpoint(path, reason)
}

/// Whether a record that begins here and is wrong was never written as a whole: a power cut leaves whole sectors of a new part of a file
/// without a byte.
fn torn(bytes: &[u8], begin: usize) -> bool {
    let mut from = begin;
    while from < bytes.len() {
        let to = (from / SECTOR_BYTES + 1) * SECTOR_BYTES;
        if bytes.get(from..to.min(bytes.len())).is_some_and(|sector| sector.iter().all(|byte| *byte == 0)) {
            return true;
        }
        from = to;
    }
    false
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }
}
