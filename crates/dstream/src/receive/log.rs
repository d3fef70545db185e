//! The write-ahead log of received blocks.
//!
//! Records are appended to numbered segments in `receivedData` below the checkpoint directory: blocks, numbered per input, and which
//! numbers each batch was given. Every process begins a segment of its own. A segment goes when no batch that may be asked for again,
//! and no block without batch, lies in it or in one before it.
//!
//! # Durability
//! A record is with the operating system when the call returns: it outlives `kill -9`. With
//! `spark.streaming.receiver.writeAheadLog.closeFileAfterWrite` it is on the disk, too.
//!
//! # Format
//! Per record: length of the payload and its CRC-32 (both `u32`, little-endian), then the payload. A record that ends after its file
//! was being written when the process died and counts as not there; any other damage is an error.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::{StreamError, Time};

/// A segment is closed at this size.
const SEGMENT_BYTES_MAX: u64 = 64 << 20;
const BLOCK: u8 = 0;
const BATCH: u8 = 1;

/// The log of a context.
pub(crate) struct Log {
    directory: PathBuf,
    sync: bool,
    state: Mutex<LogState>,
}

struct LogState {
    current: Option<(File, u64)>,
    number: u64,
    /// Per segment and input: the highest number of a block in it.
    segments: BTreeMap<u64, BTreeMap<usize, u64>>,
    /// Per input: number of the next block.
    next: BTreeMap<usize, u64>,
}

/// What the log of an earlier process holds.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// Per input: blocks by their numbers, as elements and bytes.
    pub blocks: BTreeMap<usize, BTreeMap<u64, (u64, Vec<u8>)>>,
    /// Per batch and input: the first number and how many.
    pub batches: BTreeMap<Time, BTreeMap<usize, (u64, u64)>>,
}

impl Log {
    /// Opens the log below `checkpoint_dir` and reads what is there; if it is `fresh`, that is of no use and is deleted.
    pub fn open(checkpoint_dir: &Path, sync: bool, fresh: bool) -> Result<(Self, Replay), StreamError> {
        let directory = checkpoint_dir.join("receivedData");
        std::fs::create_dir_all(&directory).map_err(|e| StreamError::io("create", &directory, e))?;
        let mut replay = Replay::default();
        let mut segments = BTreeMap::new();
        for (number, path) in segment_files(&directory)? {
            if fresh {
                std::fs::remove_file(&path).map_err(|e| StreamError::io("delete", &path, e))?;
                continue;
            }
            segments.insert(number, read_segment(&path, &mut replay)?);
        }
        let number = segments.last_key_value().map_or(0, |(number, _)| number + 1);
        let mut next = BTreeMap::new();
        for (input, last) in segments.values().flatten() {
            let after = next.entry(*input).or_insert(0);
            *after = (*after).max(last + 1);
        }
        let state = Mutex::new(LogState { current: None, number, segments, next });
        Ok((Log { directory, sync, state }, replay))
    }

    /// Appends a block.
    pub fn store(&self, input: usize, records: u64, bytes: &[u8]) -> Result<(), StreamError> {
        let mut state = self.state.lock();
        let number = *state.next.get(&input).unwrap_or(&0);
        let mut head = vec![BLOCK];
        head.extend_from_slice(&(input as u64).to_le_bytes());
        head.extend_from_slice(&number.to_le_bytes());
        head.extend_from_slice(&records.to_le_bytes());
        self.append(&mut state, &head, bytes)?;
        let segment = state.number;
        state.segments.entry(segment).or_default().insert(input, number);
        state.next.insert(input, number + 1);
        Ok(())
    }

    /// Says that a batch has the blocks `first..first + count` of an input.
    pub fn allot(&self, time: Time, input: usize, first: u64, count: u64) -> Result<(), StreamError> {
        let mut head = vec![BATCH];
        head.extend_from_slice(&time.as_ms().to_le_bytes());
        head.extend_from_slice(&(input as u64).to_le_bytes());
        head.extend_from_slice(&first.to_le_bytes());
        head.extend_from_slice(&count.to_le_bytes());
        self.append(&mut self.state.lock(), &head, &[])
    }

    /// Deletes what is not needed if only blocks from these numbers on are.
    pub fn clean(&self, needed_from: &BTreeMap<usize, u64>) -> Result<(), StreamError> {
        let mut state = self.state.lock();
        while let Some((number, last)) = state.segments.first_key_value() {
            let needed = last.iter().any(|(input, last)| needed_from.get(input).is_none_or(|from| last >= from));
            if needed || *number == state.number {
                return Ok(());
            }
            let path = self.path(*number);
            std::fs::remove_file(&path).map_err(|e| StreamError::io("delete", &path, e))?;
            state.segments.pop_first();
        }
        Ok(())
    }

    fn path(&self, number: u64) -> PathBuf {
        self.directory.join(format!("log-{number}"))
    }

    fn append(&self, state: &mut LogState, head: &[u8], body: &[u8]) -> Result<(), StreamError> {
        let length = u32::try_from(head.len() + body.len())
            .map_err(|_| StreamError::Receiver("A block is too long for the write-ahead log".to_owned()))?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(head);
        crc.update(body);
        let mut record = Vec::with_capacity(8 + head.len() + body.len());
        record.extend_from_slice(&length.to_le_bytes());
        record.extend_from_slice(&crc.finalize().to_le_bytes());
        record.extend_from_slice(head);
        record.extend_from_slice(body);
        if state.current.as_ref().is_some_and(|(_, size)| *size > SEGMENT_BYTES_MAX) {
            state.current = None;
            state.number += 1;
        }
        let path = self.path(state.number);
        let failed = |e| StreamError::io("write", &path, e);
        if state.current.is_none() {
            let file = OpenOptions::new().create_new(true).append(true).open(&path).map_err(failed)?;
            state.current = Some((file, 0));
            let number = state.number;
            state.segments.entry(number).or_default();
        }
        let Some((file, size)) = state.current.as_mut() else { return Ok(()) };
        let written = file.write_all(&record).and_then(|()| if self.sync { file.sync_data() } else { Ok(()) });
        if let Err(error) = written {
            // Half a record may be there: nothing must follow it.
            state.current = None;
            state.number += 1;
            return Err(failed(error));
        }
        *size += record.len() as u64;
        Ok(())
    }
}

fn segment_files(directory: &Path) -> Result<BTreeMap<u64, PathBuf>, StreamError> {
    let entries = std::fs::read_dir(directory).map_err(|e| StreamError::io("read", directory, e))?;
    let number = |path: &Path| path.file_name()?.to_str()?.strip_prefix("log-")?.parse::<u64>().ok();
    Ok(entries.flatten().map(|entry| entry.path()).filter_map(|path| Some((number(&path)?, path))).collect())
}

fn read_segment(path: &Path, replay: &mut Replay) -> Result<BTreeMap<usize, u64>, StreamError> {
    let bytes = std::fs::read(path).map_err(|e| StreamError::io("read", path, e))?;
    let mut last = BTreeMap::new();
    let mut rest = Reader(&bytes);
    while !rest.0.is_empty() {
        let (Some(length), Some(crc)) = (rest.u32(), rest.u32()) else { return Ok(last) };
        let Some(payload) = rest.take(length as usize) else { return Ok(last) };
        if crc32fast::hash(payload) != crc {
            if rest.0.is_empty() {
                return Ok(last);
            }
            return Err(StreamError::checkpoint(path, "a record of the write-ahead log is damaged"));
        }
        let known = read_record(payload, replay, &mut last);
        known.ok_or_else(|| StreamError::checkpoint(path, "a record of the write-ahead log has an unknown form"))?;
    }
    Ok(last)
}

fn read_record(payload: &[u8], replay: &mut Replay, last: &mut BTreeMap<usize, u64>) -> Option<()> {
    let mut reader = Reader(payload);
    match *reader.take(1)?.first()? {
        BLOCK => {
            let (input, number, records) = (usize::try_from(reader.u64()?).ok()?, reader.u64()?, reader.u64()?);
            replay.blocks.entry(input).or_default().insert(number, (records, reader.0.to_vec()));
            last.insert(input, number);
        }
        BATCH => {
            let (time, input) = (reader.u64()? as i64, usize::try_from(reader.u64()?).ok()?);
            let batch = replay.batches.entry(Time::from_ms(time)).or_default();
            batch.insert(input, (reader.u64()?, reader.u64()?));
        }
        _ => return None,
    }
    Some(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_batches_are_read_again_and_a_torn_end_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let (log, replay) = Log::open(dir.path(), true, true).unwrap();
        assert!(replay.blocks.is_empty());
        log.store(0, 2, b"a\nb\n").unwrap();
        log.allot(Time::from_ms(1000), 0, 0, 1).unwrap();
        log.store(0, 1, b"c\n").unwrap();
        let path = dir.path().join("receivedData/log-0");
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();

        let (log, replay) = Log::open(dir.path(), false, false).unwrap();
        assert_eq!(replay.blocks[&0].iter().map(|(n, b)| (*n, b.0)).collect::<Vec<_>>(), [(0, 2)]);
        assert_eq!(replay.batches[&Time::from_ms(1000)][&0], (0, 1));
        log.store(0, 1, b"d\n").unwrap();
        log.clean(&BTreeMap::from([(0, 1)])).unwrap();
        assert!(!path.exists(), "nothing in it is needed");

        let mut damaged = whole.clone();
        damaged[12] ^= 1;
        std::fs::write(&path, damaged).unwrap();
        assert!(Log::open(dir.path(), false, false).is_err());
    }
}
