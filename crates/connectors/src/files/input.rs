//! The bytes of a file, unpacked by the ending of its name, and cut into records.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use millstream_formats::condition::SparkError;

use super::listing::DataFile;

/// Bytes asked of the file at once.
const CHUNK_BYTES: usize = 256 << 10;
/// Longest record; a larger one would not fit an Arrow string column.
const RECORD_BYTES_MAX: usize = 1 << 30;

/// Opens a file; `.gz` and `.deflate` are unpacked.
///
/// # Errors
/// What the file system says; [`std::io::ErrorKind::Unsupported`] for packings that are not known here.
pub(crate) fn open(path: &Path) -> std::io::Result<Box<dyn Read + Send>> {
    let file = File::open(path)?;
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    Ok(match ending.as_str() {
        "gz" => Box::new(MultiGzDecoder::new(BufReader::with_capacity(CHUNK_BYTES, file))),
        "deflate" => Box::new(ZlibDecoder::new(BufReader::with_capacity(CHUNK_BYTES, file))),
        "bz2" | "zst" | "lz4" | "snappy" => {
            let error = SparkError::unsupported(format!("Reading files with the ending .{ending}"));
            return Err(std::io::Error::new(std::io::ErrorKind::Unsupported, error));
        }
        _ => Box::new(file),
    })
}

/// Whether parts of a file can be read: not if it is packed.
pub(crate) fn is_splittable(path: &Path) -> bool {
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    !matches!(ending.as_str(), "gz" | "deflate" | "bz2" | "zst" | "lz4" | "snappy")
}

/// The records that begin in the part of a file.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_records(file: &DataFile, separator: &Separator) -> std::io::Result<Records<Box<dyn Read + Send>>> {
    let Some((start, end)) = file.part else { return Ok(Records::new(open(&file.path)?, separator.clone())) };
    let mut input = File::open(&file.path)?;
    // One separator before the part begins the first record of it.
    let before = start.saturating_sub(separator.length() as u64);
    input.seek(SeekFrom::Start(before))?;
    let mut records = Records::new(Box::new(input) as Box<dyn Read + Send>, separator.clone());
    records.position = before;
    records.limit = end;
    if start > 0 {
        records.first = false;
        records.next()?;
    }
    Ok(records)
}

/// What ends a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Separator {
    /// `\n`, `\r` or `\r\n`.
    AnyLineEnd,
    /// These bytes.
    Text(Vec<u8>),
}

impl Separator {
    /// Bytes.
    fn length(&self) -> usize {
        match self {
            Self::AnyLineEnd => 1,
            Self::Text(text) => text.len(),
        }
    }

    /// By the option `lineSep`.
    pub fn new(option: Option<&str>) -> Self {
        option.map_or(Self::AnyLineEnd, |text| Self::Text(text.as_bytes().to_vec()))
    }
}

/// Cuts a stream of bytes into records. A byte order mark at the beginning is skipped.
pub(crate) struct Records<R> {
    input: R,
    separator: Separator,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were handed out.
    start: usize,
    /// Bytes of `buffer` that hold data.
    filled: usize,
    ended: bool,
    first: bool,
    /// Position of `start` in the input.
    position: u64,
    /// No record begins here or behind.
    limit: u64,
}

impl<R: Read> Records<R> {
    /// The records of `input`.
    pub fn new(input: R, separator: Separator) -> Self {
        Self {
            input,
            separator,
            buffer: Vec::new(),
            start: 0,
            filled: 0,
            ended: false,
            first: true,
            position: 0,
            limit: u64::MAX,
        }
    }

    /// The next record, without what ends it. An end right at the end of the file begins no further record.
    ///
    /// # Errors
    /// What the input says; a record of more than 1 GiB.
    pub fn next(&mut self) -> std::io::Result<Option<&[u8]>> {
        if std::mem::take(&mut self.first) {
            self.fill()?;
            if self.data().starts_with(b"\xef\xbb\xbf") {
                self.start = 3;
                self.position += 3;
            }
        }
        if self.position >= self.limit {
            return Ok(None);
        }
        let mut searched = 0;
        loop {
            if let Some((length, skip)) = self.find(searched) {
                let begin = self.start;
                self.start += length + skip;
                self.position += (length + skip) as u64;
                return Ok(self.buffer.get(begin..begin + length));
            }
            if self.ended {
                let (begin, end) = (self.start, self.filled);
                self.start = end;
                self.position += (end - begin) as u64;
                return Ok(if begin == end { None } else { self.buffer.get(begin..end) });
            }
            let held = self.filled - self.start;
            // A separator may have been cut in two.
            searched = match &self.separator {
                Separator::AnyLineEnd => held.saturating_sub(1),
                Separator::Text(text) => held.saturating_sub(text.len()),
            };
            if held > RECORD_BYTES_MAX {
                return Err(std::io::Error::other(format!("a record has more than {RECORD_BYTES_MAX} bytes")));
            }
            self.fill()?;
        }
    }

    fn data(&self) -> &[u8] {
        self.buffer.get(self.start..self.filled).unwrap_or_default()
    }

    /// Length of the next record and of what ends it, if both are here.
    fn find(&self, searched: usize) -> Option<(usize, usize)> {
        let data = self.data();
        let rest = data.get(searched..)?;
        match &self.separator {
            Separator::Text(text) => memchr::memmem::find(rest, text).map(|at| (searched + at, text.len())),
            Separator::AnyLineEnd => {
                let at = searched + memchr::memchr2(b'\n', b'\r', rest)?;
                match (data.get(at), data.get(at + 1)) {
                    (Some(b'\r'), Some(b'\n')) => Some((at, 2)),
                    // Whether `\n` follows is not known yet.
                    (Some(b'\r'), None) if !self.ended => None,
                    _ => Some((at, 1)),
                }
            }
        }
    }

    /// Reads more; moves what is not handed out yet to the front.
    fn fill(&mut self) -> std::io::Result<()> {
        self.buffer.copy_within(self.start..self.filled, 0);
        (self.start, self.filled) = (0, self.filled - self.start);
        if self.buffer.len() < self.filled + CHUNK_BYTES {
            // Doubling keeps a long record from being moved again and again.
            self.buffer.resize((self.filled * 2).max(self.filled + CHUNK_BYTES), 0);
        }
        loop {
            match self.input.read(self.buffer.get_mut(self.filled..).unwrap_or_default()) {
                Ok(0) => self.ended = true,
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            return Ok(());
        }
    }
}

/// A whole file.
///
/// # Errors
/// What the file system says; more than 1 GiB.
pub(crate) fn read_whole(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(RECORD_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > RECORD_BYTES_MAX {
        return Err(std::io::Error::other(format!("a record has more than {RECORD_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives one byte at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = 1.min(buffer.len());
            self.0.read(buffer.get_mut(..count).unwrap_or_default())
        }
    }

    fn records(input: impl Read, separator: Separator) -> Vec<String> {
        let mut records = Records::new(input, separator);
        let mut all = Vec::new();
        while let Some(record) = records.next().unwrap() {
            all.push(String::from_utf8_lossy(record).into_owned());
        }
        all
    }

    #[test]
    fn records_end_at_line_ends_or_at_the_text_asked_for() {
        assert_eq!(records(&b"\xef\xbb\xbfa\nb\r\nc\rd\n\n"[..], Separator::AnyLineEnd), ["a", "b", "c", "d", ""]);
        assert_eq!(records(&b"a;b\n;c"[..], Separator::Text(b";".to_vec())), ["a", "b\n", "c"]);
        assert!(records(&b""[..], Separator::AnyLineEnd).is_empty());
    }

    proptest! {
        #[test]
        fn the_parts_of_a_file_have_each_record_once(
            bytes in prop::collection::vec(prop::sample::select(vec![b'a', b'b', b'\n', b'\r', b';']), 0..40),
            cut in 0u64..40,
        ) {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &bytes).unwrap();
            let size = bytes.len() as u64;
            let cut = cut.min(size);
            for separator in [Separator::AnyLineEnd, Separator::Text(b";".to_vec())] {
                let mut parts = Vec::new();
                for part in [(0, cut), (cut, size)] {
                    let file = DataFile { path: file.path().into(), size, modified_ms: 0, base: "/".into(), part: Some(part) };
                    let mut records = open_records(&file, &separator).unwrap();
                    while let Some(record) = records.next().unwrap() {
                        parts.push(String::from_utf8_lossy(record).into_owned());
                    }
                }
                prop_assert_eq!(parts, records(&bytes[..], separator));
            }
        }

        #[test]
        fn records_do_not_depend_on_how_the_input_comes(
            bytes in prop::collection::vec(prop::sample::select(vec![b'a', b'\n', b'\r', b';']), 0..40),
        ) {
            for separator in [Separator::AnyLineEnd, Separator::Text(b";\n".to_vec())] {
                prop_assert_eq!(records(Slow(&bytes), separator.clone()), records(&bytes[..], separator));
            }
        }
    }
}
