//! Hadoop's side files: `.<name>.crc` holds the checksums of `<name>`, so that bits that have changed on disk are noticed.
//!
//! ```text
//! "crc\0" │ bytes per piece: int32 BE, 512 │ CRC32 of each piece: int32 BE
//! ```
//!
//! Written after the file they belong to and removed before it: one left behind without its file stops Spark, a file without
//! one is fine. One that is itself no side file (cut short by a crash, say) says nothing.

use std::fs;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 4] = b"crc\0";
const HEADER_BYTES: usize = 8;
const PIECE_BYTES: usize = 512;

/// What the side file of a file says of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// There is none.
    Absent,
    /// It is no side file of a file of this length.
    Meaningless,
    /// The content is what was written.
    Same,
    /// The content is not what was written, first in the piece that begins at this byte.
    Different {
        /// Offset in the file.
        at: usize,
    },
}

/// The path of the side file that belongs to a file.
pub fn side_path(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    Some(path.with_file_name(format!(".{name}.crc")))
}

/// The content of the side file of a file with this content.
pub fn encode(content: &[u8]) -> Vec<u8> {
    let mut sums = Sums::default();
    sums.update(content);
    sums.finish()
}

/// Makes a side file of content that comes in parts.
#[derive(Debug)]
pub struct Sums {
    out: Vec<u8>,
    piece_bytes: usize,
    /// The piece that is not full, and its bytes so far.
    piece: crc32fast::Hasher,
    filled: usize,
}

impl Default for Sums {
    fn default() -> Self {
        Self::of_pieces(PIECE_BYTES)
    }
}

impl Sums {
    fn of_pieces(piece_bytes: usize) -> Self {
        let out = [MAGIC.as_slice(), &(piece_bytes as u32).to_be_bytes()].concat();
        Self { out, piece_bytes, piece: crc32fast::Hasher::new(), filled: 0 }
    }

    /// Takes the next bytes of the content.
    pub fn update(&mut self, mut content: &[u8]) {
        while !content.is_empty() {
            let (now, later) = content.split_at(content.len().min(self.piece_bytes - self.filled));
            self.piece.update(now);
            self.filled += now.len();
            if self.filled == self.piece_bytes {
                self.end_piece();
            }
            content = later;
        }
    }

    fn end_piece(&mut self) {
        let sum = std::mem::take(&mut self.piece).finalize();
        self.out.extend_from_slice(&sum.to_be_bytes());
        self.filled = 0;
    }

    /// The side file.
    pub fn finish(mut self) -> Vec<u8> {
        if self.filled > 0 {
            self.end_piece();
        }
        self.out
    }
}

/// Compares content that comes in parts with a side file.
#[derive(Debug)]
pub struct Check {
    side: Vec<u8>,
    sums: Sums,
}

impl Check {
    /// Reads the side file of a file; none if there is none, or it says nothing.
    pub fn of(path: &Path) -> Option<Self> {
        Self::with(fs::read(side_path(path)?).ok()?)
    }

    fn with(side: Vec<u8>) -> Option<Self> {
        let (header, sums) = side.split_at_checked(HEADER_BYTES)?;
        let (magic, piece) = header.split_at(MAGIC.len());
        let piece_bytes = piece.try_into().map_or(0, u32::from_be_bytes) as usize;
        let meaningful = magic == MAGIC && piece_bytes > 0 && sums.len() % 4 == 0;
        meaningful.then(|| Self { sums: Sums::of_pieces(piece_bytes), side })
    }

    /// Takes the next bytes of the content.
    pub fn update(&mut self, content: &[u8]) {
        self.sums.update(content);
    }

    /// Where the first piece begins that is not the one that was written; none if there is none.
    pub fn finish(self) -> Option<usize> {
        let (piece_bytes, sums) = (self.sums.piece_bytes, self.sums.finish());
        let pieces = |side: &[u8]| side.chunks_exact(4).skip(HEADER_BYTES / 4).map(<[u8]>::to_vec).collect::<Vec<_>>();
        let (expected, found) = (pieces(&self.side), pieces(&sums));
        let same = expected.iter().zip(&found).take_while(|(expected, found)| expected == found).count();
        // A file may also have been cut, or have grown, at the border of a piece.
        (same < expected.len().max(found.len())).then_some(same * piece_bytes)
    }
}

/// Compares a file's content with its side file.
pub fn check(path: &Path, content: &[u8]) -> Checked {
    match side_path(path).map(fs::read) {
        Some(Ok(side)) => compare(side, content),
        _ => Checked::Absent,
    }
}

fn compare(side: Vec<u8>, content: &[u8]) -> Checked {
    let Some(mut check) = Check::with(side) else { return Checked::Meaningless };
    check.update(content);
    check.finish().map_or(Checked::Same, |at| Checked::Different { at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_file_is_as_hadoop_writes_it() {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../state/testdata/a_wordcount/checkpoint");
        for file in ["metadata", "offsets/3", "state/0/0/2.delta", "state/0/0/_metadata/schema"] {
            let path = sample.join(file);
            let content = fs::read(&path).unwrap();
            assert_eq!(encode(&content), fs::read(side_path(&path).unwrap()).unwrap(), "{file}");
            assert_eq!(check(&path, &content), Checked::Same);
        }
    }

    #[test]
    fn every_change_of_the_content_is_noticed_and_its_piece_named() {
        let content: Vec<u8> = (0..1500_u32).map(|i| i as u8).collect();
        let side = encode(&content);
        assert_eq!(compare(side.clone(), &content), Checked::Same);
        for at in [0, 511, 512, 1499] {
            let mut flipped = content.clone();
            flipped[at] ^= 1;
            assert_eq!(compare(side.clone(), &flipped), Checked::Different { at: at / 512 * 512 });
        }
        assert_eq!(compare(side.clone(), &content[..1024]), Checked::Different { at: 1024 });
        assert_eq!(compare(side.clone(), &[]), Checked::Different { at: 0 });
        let longer = [content.as_slice(), &[0; 600]].concat();
        assert_eq!(compare(side.clone(), &longer), Checked::Different { at: 1024 });
    }

    #[test]
    fn what_is_no_side_file_says_nothing() {
        for side in [&b""[..], b"crc", b"crc\0\0\0\x02\0abc", b"abc\0\0\0\x02\0", b"crc\0\0\0\0\0", &[0; 20]] {
            assert_eq!(compare(side.to_vec(), b"x"), Checked::Meaningless, "{side:?}");
        }
    }
}
