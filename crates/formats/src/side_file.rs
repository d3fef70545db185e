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
    let mut out = Vec::with_capacity(HEADER_BYTES + content.len().div_ceil(PIECE_BYTES) * 4);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&(PIECE_BYTES as u32).to_be_bytes());
    for piece in content.chunks(PIECE_BYTES) {
        out.extend_from_slice(&crc32fast::hash(piece).to_be_bytes());
    }
    out
}

/// Compares a file's content with its side file.
pub fn check(path: &Path, content: &[u8]) -> Checked {
    match side_path(path).map(fs::read) {
        Some(Ok(side)) => compare(&side, content),
        _ => Checked::Absent,
    }
}

fn compare(side: &[u8], content: &[u8]) -> Checked {
    let Some((header, sums)) = side.split_at_checked(HEADER_BYTES) else { return Checked::Meaningless };
    let (magic, piece) = header.split_at(MAGIC.len());
    let piece = piece.try_into().map_or(0, |bytes| u32::from_be_bytes(bytes) as usize);
    if magic != MAGIC || piece == 0 || sums.len() % 4 != 0 {
        return Checked::Meaningless;
    }
    let pieces = content.len().div_ceil(piece);
    let mut sums = sums.chunks_exact(4);
    for (i, piece_of) in content.chunks(piece).enumerate() {
        if sums.next() != Some(&crc32fast::hash(piece_of).to_be_bytes()) {
            return Checked::Different { at: i * piece };
        }
    }
    // Sums of more than there is: the file has been cut at the border of a piece.
    if sums.next().is_some() { Checked::Different { at: pieces * piece } } else { Checked::Same }
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
        assert_eq!(compare(&side, &content), Checked::Same);
        for at in [0, 511, 512, 1499] {
            let mut flipped = content.clone();
            flipped[at] ^= 1;
            assert_eq!(compare(&side, &flipped), Checked::Different { at: at / 512 * 512 });
        }
        assert_eq!(compare(&side, &content[..1024]), Checked::Different { at: 1024 });
        assert_eq!(compare(&side, &[]), Checked::Different { at: 0 });
        let longer = [content.as_slice(), &[0; 600]].concat();
        assert_eq!(compare(&side, &longer), Checked::Different { at: 1024 });
    }

    #[test]
    fn what_is_no_side_file_says_nothing() {
        for side in [&b""[..], b"crc", b"crc\0\0\0\x02\0abc", b"abc\0\0\0\x02\0", b"crc\0\0\0\0\0", &[0; 20]] {
            assert_eq!(compare(side, b"x"), Checked::Meaningless, "{side:?}");
        }
    }
}
