//! The content of deltas and snapshots.
//!
//! ```text
//! put:     key length │ key │ value length │ value        lengths int32 BE
//! remove:  key length │ key │ -1
//! end:     -1
//! ```
//!
//! A snapshot has only puts. Changes are applied in order, so a key may occur more than once.

use std::path::Path;

use crate::files::{self, FileError};
use crate::lz4block::{self, EMPTY_STATE_FILE};

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

    fn int(&mut self) -> Result<i32, String> {
        let (int, rest) = self.rest.split_first_chunk::<4>().ok_or("it ends before its end mark")?;
        self.rest = rest;
        Ok(i32::from_be_bytes(*int))
    }

    fn bytes(&mut self, length: i32, what: &str) -> Result<&'a [u8], String> {
        let length = usize::try_from(length).map_err(|_| format!("{what} size cannot be {length}"))?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or_else(|| format!("it ends inside a {what}"))?;
        self.rest = rest;
        Ok(bytes)
    }

    fn read(&mut self) -> Result<Option<Change<'a>>, String> {
        let key_length = self.int()?;
        if key_length == -1 {
            let rest = self.rest.len();
            return if rest == 0 { Ok(None) } else { Err(format!("{rest} bytes follow the end mark")) };
        }
        let key = self.bytes(key_length, "key")?;
        match self.int()? {
            length if length < 0 => Ok(Some(Change::Remove(key))),
            length => Ok(Some(Change::Put(key, self.bytes(length, "value")?))),
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

/// Reads and decompresses a state file.
///
/// # Errors
/// If it is missing, cannot be read, is compressed otherwise or damaged.
pub fn read_content(path: &Path) -> Result<Vec<u8>, FileError> {
    let stream = files::read(path)?;
    if stream.as_slice() == EMPTY_STATE_FILE {
        return Ok(vec![0xff; 4]);
    }
    let codec = match stream.get(..4) {
        Some([0x28, 0xb5, 0x2f, 0xfd]) => Some("zstd"),
        Some([0x82, b'S', b'N', b'A']) => Some("snappy"),
        Some([b'Z', b'V', ..]) => Some("lzf"),
        _ => None,
    };
    if let Some(codec) = codec {
        return Err(FileError::unsupported(path, format!("it is compressed with {codec}")));
    }
    let mut content = Vec::with_capacity(stream.len() * 3);
    lz4block::decompress(&stream, &mut content).map_err(|e| FileError::damaged(path, e))?;
    Ok(content)
}

/// Hands each entry in the content of a state file to `visit`.
///
/// # Errors
/// If the content is no list of entries; `path` is named.
pub fn apply_changes(path: &Path, content: &[u8], mut visit: impl FnMut(Change<'_>)) -> Result<(), FileError> {
    for change in Changes::new(content) {
        visit(change.map_err(|reason| FileError::damaged(path, reason))?);
    }
    Ok(())
}

/// Reads a state file and hands each entry to `visit`.
///
/// # Errors
/// As [`read_content`], and if the content is no list of entries.
pub fn read_changes(path: &Path, visit: impl FnMut(Change<'_>)) -> Result<(), FileError> {
    apply_changes(path, &read_content(path)?, visit)
}
