//! Datasets of what receivers took and of files.

use std::ops::ControlFlow;
use std::path::PathBuf;

use super::parallel::NEXT;
use super::rdd::{Plan, Sink};
use super::text::Text;
use crate::StreamError;

/// Lines of received blocks.
pub(crate) struct TextBlocks(pub Vec<crate::TextBlock>);

impl Plan<Text> for TextBlocks {
    fn keeps_itself(&self) -> bool {
        true
    }

    fn partitions(&self) -> usize {
        self.0.len()
    }

    fn run(&self, partition: usize, sink: &mut Sink<'_, Text>) -> Result<ControlFlow<()>, StreamError> {
        let Some(block) = self.0.get(partition) else { return Ok(NEXT) };
        let bytes = block.bytes();
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            let line = bytes.get(start..end).unwrap_or_default();
            // SAFETY: a `TextBlock` is UTF-8, and a line end is never within a character.
            let line = unsafe { std::str::from_utf8_unchecked(line) };
            if sink(Text::from(line)).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            start = end + 1;
        }
        Ok(NEXT)
    }
}

/// Bytes of one partition of a text file: about what a block has.
const SPLIT_BYTES: u64 = 32 << 20;

/// Lines of files: cut into partitions of about [`SPLIT_BYTES`].
pub(crate) struct TextFiles {
    splits: Vec<(PathBuf, u64, u64)>,
}

impl TextFiles {
    pub fn new(files: &[PathBuf]) -> Self {
        let mut splits = Vec::new();
        for path in files {
            // A file that is gone fails when it is read.
            let length = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
            let count = length.div_ceil(SPLIT_BYTES).max(1);
            splits.extend((0..count).map(|i| (path.clone(), i * SPLIT_BYTES, ((i + 1) * SPLIT_BYTES).min(length))));
        }
        TextFiles { splits }
    }
}

impl Plan<Text> for TextFiles {
    fn partitions(&self) -> usize {
        self.splits.len()
    }

    fn run(&self, partition: usize, sink: &mut Sink<'_, Text>) -> Result<ControlFlow<()>, StreamError> {
        use std::io::{BufRead, BufReader, Seek, SeekFrom};
        let Some((path, start, end)) = self.splits.get(partition) else { return Ok(NEXT) };
        let failed = |e| StreamError::io("read", path, e);
        let mut file = BufReader::with_capacity(1 << 18, std::fs::File::open(path).map_err(failed)?);
        let mut at = *start;
        let mut line = Vec::new();
        if at > 0 {
            // The line that runs over the border belongs to the split before.
            file.seek(SeekFrom::Start(at - 1)).map_err(failed)?;
            at = at - 1 + file.read_until(b'\n', &mut line).map_err(failed)? as u64;
        }
        while at < *end {
            line.clear();
            let size = file.read_until(b'\n', &mut line).map_err(failed)?;
            if size == 0 {
                break;
            }
            at += size as u64;
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            if sink(Text::from(String::from_utf8_lossy(text).as_ref())).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(NEXT)
    }
}

/// Records of one length, a file a partition.
pub(crate) struct RecordFiles {
    pub files: Vec<PathBuf>,
    pub record_bytes: usize,
}

impl Plan<Vec<u8>> for RecordFiles {
    fn partitions(&self) -> usize {
        self.files.len()
    }

    fn run(&self, partition: usize, sink: &mut Sink<'_, Vec<u8>>) -> Result<ControlFlow<()>, StreamError> {
        use std::io::Read;
        let Some(path) = self.files.get(partition) else { return Ok(NEXT) };
        let failed = |e| StreamError::io("read", path, e);
        let mut file = std::io::BufReader::new(std::fs::File::open(path).map_err(failed)?);
        let length = file.get_ref().metadata().map_err(failed)?.len();
        if length % self.record_bytes as u64 != 0 {
            return Err(StreamError::Invalid(format!(
                "`{}` has {length} bytes, which is no multiple of the record length {}",
                path.display(),
                self.record_bytes
            )));
        }
        for _ in 0..length / self.record_bytes as u64 {
            let mut record = vec![0; self.record_bytes];
            file.read_exact(&mut record).map_err(failed)?;
            if sink(record).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(NEXT)
    }
}
