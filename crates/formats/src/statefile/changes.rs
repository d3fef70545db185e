//! The content of deltas and snapshots.
//!
//! ```text
//! put:     key length │ key │ value length │ value        lengths int32 BE
//! remove:  key length │ key │ -1
//! end:     -1
//! ```
//!
//! A snapshot has only puts. Changes are applied in order, so a key may occur more than once.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use crate::files::{self, FileError};
use crate::lz4block::{self, EMPTY_STATE_FILE, Lz4Error};
use crate::side_file::Check;

/// One entry of a state file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// The key has this value from now on.
    Put(&'a [u8], &'a [u8]),
    /// The key is gone.
    Remove(&'a [u8]),
}

/// The entries of a state file, given its content without compression. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Changes<'a> {
    rest: &'a [u8],
    done: bool,
}

impl<'a> Changes<'a> {
    /// The entries in `content`.
    pub fn new(content: &'a [u8]) -> Self {
        Self { rest: content, done: false }
    }

    fn read(&mut self) -> Result<Option<Change<'a>>, String> {
        match parse(self.rest)? {
            Parsed::Change(change, bytes) => {
                self.rest = self.rest.get(bytes..).unwrap_or_default();
                Ok(Some(change))
            }
            Parsed::End if self.rest.len() > INT_BYTES => Err(trailing(self.rest.len() - INT_BYTES)),
            Parsed::End => Ok(None),
            Parsed::Incomplete(reason) => Err(reason.to_string()),
        }
    }
}

impl<'a> Iterator for Changes<'a> {
    type Item = Result<Change<'a>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let read = self.read();
        self.done = !matches!(read, Ok(Some(_)));
        read.transpose()
    }
}

const INT_BYTES: usize = 4;

/// What content begins with.
enum Parsed<'a> {
    /// An entry of so many bytes.
    Change(Change<'a>, usize),
    /// The end mark.
    End,
    /// Less than an entry; what that means if nothing follows.
    Incomplete(&'static str),
}

fn trailing(bytes: usize) -> String {
    format!("{bytes} bytes follow the end mark")
}

fn int_at(content: &[u8], at: usize) -> Option<i32> {
    content.get(at..)?.first_chunk::<INT_BYTES>().map(|int| i32::from_be_bytes(*int))
}

fn parse(content: &[u8]) -> Result<Parsed<'_>, String> {
    const NO_END: &str = "it ends before its end mark";
    let key_length = match int_at(content, 0) {
        None => return Ok(Parsed::Incomplete(NO_END)),
        Some(-1) => return Ok(Parsed::End),
        Some(length) => usize::try_from(length).map_err(|_| format!("key size cannot be {length}"))?,
    };
    let key_end = INT_BYTES + key_length;
    let Some(key) = content.get(INT_BYTES..key_end) else { return Ok(Parsed::Incomplete("it ends inside a key")) };
    let value_start = key_end + INT_BYTES;
    let value_length = match int_at(content, key_end) {
        None => return Ok(Parsed::Incomplete(NO_END)),
        Some(length) if length < 0 => return Ok(Parsed::Change(Change::Remove(key), value_start)),
        Some(length) => length as usize,
    };
    match content.get(value_start..value_start + value_length) {
        None => Ok(Parsed::Incomplete("it ends inside a value")),
        Some(value) => Ok(Parsed::Change(Change::Put(key, value), value_start + value_length)),
    }
}

/// Builds the content of a state file.
#[derive(Debug, Default)]
pub struct ChangesWriter {
    content: Vec<u8>,
}

impl ChangesWriter {
    /// No entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a put. Keys and values are shorter than 2 GiB, as rows are.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.bytes(key);
        self.bytes(value);
    }

    /// Appends a removal.
    pub fn remove(&mut self, key: &[u8]) {
        self.bytes(key);
        self.content.extend_from_slice(&(-1i32).to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.content.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        self.content.extend_from_slice(bytes);
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.content.is_empty()
    }

    /// Appends the compressed file to `out` and forgets the entries, keeping the memory.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.content.is_empty() {
            out.extend_from_slice(EMPTY_STATE_FILE);
            return;
        }
        self.content.extend_from_slice(&(-1i32).to_be_bytes());
        lz4block::compress(&self.content, out);
        self.content.clear();
    }

    /// Bytes of memory held.
    pub fn memory_bytes(&self) -> usize {
        self.content.capacity()
    }

    /// Gives memory back to the system if more than `bytes_max` is held.
    pub fn shrink(&mut self, bytes_max: usize) {
        self.content.shrink_to(bytes_max);
    }
}

fn check_codec(path: &Path, stream: &[u8]) -> Result<(), FileError> {
    let codec = match stream.get(..4) {
        Some([0x28, 0xb5, 0x2f, 0xfd]) => "zstd",
        Some([0x82, b'S', b'N', b'A']) => "snappy",
        Some([b'Z', b'V', ..]) => "lzf",
        _ => return Ok(()),
    };
    Err(FileError::unsupported(path, format!("it is compressed with {codec}")))
}

/// Reads and decompresses a state file.
///
/// # Errors
/// If it is missing, cannot be read, is compressed otherwise or damaged.
pub fn read_content(path: &Path) -> Result<Vec<u8>, FileError> {
    let stream = files::read(path)?;
    check_codec(path, &stream)?;
    let mut content = Vec::with_capacity(stream.len() * 3);
    lz4block::decompress(&stream, &mut content).map_err(|e| FileError::damaged(path, e))?;
    Ok(content)
}

/// Reads a state file and hands each entry to `visit`. Holds a part of it at a time.
///
/// # Errors
/// As [`read_content`], and if the content is no list of entries.
pub fn read_changes(path: &Path, visit: impl FnMut(Change<'_>)) -> Result<(), FileError> {
    read_changes_expecting(path, |_| {}, visit)
}

/// Compressed bytes that are read at a time.
const READ_BYTES: usize = 256 * 1024;
/// Content that is looked at together.
const CONTENT_BYTES: usize = 128 * 1024;

/// As [`read_changes`]; `expect` is told about how many entries there will be, before the first of them.
///
/// # Errors
/// As [`read_changes`].
pub fn read_changes_expecting(
    path: &Path,
    mut expect: impl FnMut(usize),
    mut visit: impl FnMut(Change<'_>),
) -> Result<(), FileError> {
    let mut file = StateFile::open(path)?;
    let (mut content, mut expected) = (Vec::with_capacity(2 * CONTENT_BYTES), false);
    loop {
        let more = file.read(&mut content)?;
        let (mut at, mut entries) = (0, 0);
        let damaged = |reason: String| FileError::damaged(path, reason);
        if !expected {
            expected = true;
            expect(file.estimate(&content).map_err(damaged)?);
        }
        let end = loop {
            match parse(content.get(at..).unwrap_or_default()).map_err(damaged)? {
                Parsed::Change(change, bytes) => {
                    visit(change);
                    at += bytes;
                    entries += 1;
                }
                end => break end,
            }
        };
        match end {
            Parsed::Incomplete(reason) if !more => return Err(damaged(reason.to_string())),
            Parsed::End if content.len() > at + INT_BYTES => {
                return Err(damaged(trailing(content.len() - at - INT_BYTES)));
            }
            // Nothing may follow, and a block that is damaged is one too many.
            Parsed::End if more => {
                content.drain(..at);
                if file.read(&mut content)? || content.len() > INT_BYTES {
                    return Err(damaged(trailing(content.len().saturating_sub(INT_BYTES).max(1))));
                }
                return Ok(());
            }
            Parsed::End => return Ok(()),
            _ => {}
        }
        debug_assert!(entries > 0 || more);
        content.drain(..at);
    }
}

/// A state file being read and decompressed.
struct StateFile<'a> {
    path: &'a Path,
    file: File,
    bytes: u64,
    /// What was read and not yet decompressed, from `start`.
    raw: Vec<u8>,
    start: usize,
    /// Where `raw[start]` is in the file.
    at: usize,
    ended: bool,
    /// What its side file says.
    check: Option<Check>,
}

impl<'a> StateFile<'a> {
    fn open(path: &'a Path) -> Result<Self, FileError> {
        let failed = |e| FileError::io(path, "read", e);
        let file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let mut file =
            Self { path, file, bytes, raw: Vec::new(), start: 0, at: 0, ended: false, check: Check::of(path) };
        file.refill()?;
        check_codec(path, &file.raw)?;
        Ok(file)
    }

    /// Reads on. With the last bytes it shows whether all are those that were written.
    fn refill(&mut self) -> Result<(), FileError> {
        self.raw.drain(..self.start);
        self.start = 0;
        let kept = self.raw.len();
        let wanted = READ_BYTES.max(kept);
        let read = Read::take(&mut self.file, wanted as u64).read_to_end(&mut self.raw);
        let read = read.map_err(|e| FileError::io(self.path, "read", e))?;
        self.ended = read < wanted;
        if let Some(check) = &mut self.check {
            check.update(self.raw.get(kept..).unwrap_or_default());
        }
        match self.check.take_if(|_| self.ended).and_then(Check::finish) {
            Some(at) => Err(files::not_as_written(self.path, self.bytes, at)),
            None => Ok(()),
        }
    }

    /// Appends the content of the next blocks; false if there are no more.
    fn read(&mut self, content: &mut Vec<u8>) -> Result<bool, FileError> {
        let enough = content.len() + CONTENT_BYTES;
        while content.len() < enough {
            let rest = self.raw.get(self.start..).unwrap_or_default();
            if rest.is_empty() && self.ended {
                return Ok(false);
            }
            match lz4block::decompress_block(rest, self.at, content) {
                Ok(bytes) => {
                    self.start += bytes;
                    self.at += bytes;
                }
                Err(Lz4Error::Truncated { .. }) if !self.ended => self.refill()?,
                Err(error) => return Err(FileError::damaged(self.path, error)),
            }
        }
        Ok(true)
    }

    /// About how many entries the file has, by the first of them and by how well their blocks are compressed.
    fn estimate(&self, content: &[u8]) -> Result<usize, String> {
        let Parsed::Change(_, first_bytes) = parse(content)? else { return Ok(0) };
        let ratio = content.len() as f64 / self.at.max(1) as f64;
        let content_bytes = (self.bytes as f64 * ratio) as usize;
        // A first entry smaller than most must not count for more than small entries would.
        Ok((content_bytes / first_bytes.max(1)).min(content_bytes / 32))
    }
}

/// Writes a state file part by part, holding little of it.
#[derive(Debug)]
pub struct StateFileWriter<W: Write> {
    out: W,
    content: ChangesWriter,
    compressed: Vec<u8>,
}

impl<W: Write> StateFileWriter<W> {
    /// A file without entries.
    pub fn new(out: W) -> Self {
        Self { out, content: ChangesWriter::new(), compressed: Vec::new() }
    }

    /// Appends a put.
    ///
    /// # Errors
    /// What `out` says.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.content.put(key, value);
        if self.content.content.len() < CONTENT_BYTES {
            return Ok(());
        }
        self.compressed.clear();
        let taken = lz4block::compress_whole_blocks(&self.content.content, &mut self.compressed);
        self.content.content.drain(..taken);
        self.out.write_all(&self.compressed)
    }

    /// Writes what is left and the end.
    ///
    /// # Errors
    /// What `out` says.
    pub fn finish(mut self) -> io::Result<()> {
        self.compressed.clear();
        // Content that was taken whole leaves an end mark to be written all the same.
        self.content.content.extend_from_slice(&(-1i32).to_be_bytes());
        lz4block::compress(&self.content.content, &mut self.compressed);
        self.out.write_all(&self.compressed)
    }
}
