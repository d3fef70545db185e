//! The "LZ4Block" stream that Spark's `lz4` codec puts around state files.
//!
//! ```text
//! block:  "LZ4Block" │ token │ compressed length │ length │ checksum │ payload       lengths and checksum int32 LE
//! end:    the same with all three 0 and no payload
//! ```
//!
//! The token's high nibble is the method (0x10 stored, 0x20 LZ4), its low nibble L bounds a block to 2^(10+L) bytes. Written as
//! Spark does: blocks of 32 KiB, stored where compression does not help. Read as Spark reads: any block size, streams one
//! after the other, a missing end block. Every checksum is verified.

use xxhash_rust::xxh32::xxh32;

const MAGIC: &[u8; 8] = b"LZ4Block";
const HEADER_BYTES: usize = 21;
const STORED: u8 = 0x10;
const COMPRESSED: u8 = 0x20;
const BLOCK_BYTES: usize = 32 * 1024;
/// `BLOCK_BYTES` = 2^(10 + 5).
const LEVEL: u8 = 5;
const CHECKSUM_SEED: u32 = 0x9747_b28c;
const CHECKSUM_MASK: u32 = 0x0fff_ffff;

/// The stream of four 0xff bytes: a state file without changes, by far the most common one.
pub const EMPTY_STATE_FILE: &[u8; 46] =
    b"LZ4Block\x15\x04\0\0\0\x04\0\0\0\xdb\x80\x4d\x08\xff\xff\xff\xffLZ4Block\x15\0\0\0\0\0\0\0\0\0\0\0\0";

/// Why bytes are no LZ4Block stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Lz4Error {
    /// No block begins at this offset.
    #[error("no LZ4 block begins at byte {at}")]
    Magic {
        /// Offset in the file.
        at: usize,
    },
    /// The stream ends inside a block.
    #[error("the file ends inside the LZ4 block at byte {at}")]
    Truncated {
        /// Offset of the block.
        at: usize,
    },
    /// Lengths, method or payload of a block make no sense.
    #[error("the LZ4 block at byte {at} is corrupted")]
    Block {
        /// Offset of the block.
        at: usize,
    },
    /// The content of a block is not what was written.
    #[error("the checksum of the LZ4 block at byte {at} does not match")]
    Checksum {
        /// Offset of the block.
        at: usize,
    },
}

fn checksum(data: &[u8]) -> u32 {
    xxh32(data, CHECKSUM_SEED) & CHECKSUM_MASK
}

/// Appends `data` as a stream to `out`.
pub fn compress(data: &[u8], out: &mut Vec<u8>) {
    data.chunks(BLOCK_BYTES).for_each(|block| compress_block(block, out));
    end(out);
}

/// Appends the whole blocks of `data` to `out`, without an end; how many bytes of `data` they hold.
pub(crate) fn compress_whole_blocks(data: &[u8], out: &mut Vec<u8>) -> usize {
    let blocks = data.chunks_exact(BLOCK_BYTES);
    let taken = data.len() - blocks.remainder().len();
    blocks.for_each(|block| compress_block(block, out));
    taken
}

fn compress_block(block: &[u8], out: &mut Vec<u8>) {
    let header = out.len();
    let room = lz4_flex::block::get_maximum_output_size(block.len());
    out.resize(header + HEADER_BYTES + room, 0);
    // The room is what the compressor may need at worst, so it cannot fail; a block it did not shrink is stored.
    let written = lz4_flex::block::compress_into(block, &mut out[header + HEADER_BYTES..]);
    let (method, length) = match written {
        Ok(length) if length < block.len() => (COMPRESSED, length),
        _ => {
            out[header + HEADER_BYTES..][..block.len()].copy_from_slice(block);
            (STORED, block.len())
        }
    };
    out.truncate(header + HEADER_BYTES + length);
    put_header(&mut out[header..][..HEADER_BYTES], method, length, block.len(), checksum(block));
}

fn end(out: &mut Vec<u8>) {
    let end = out.len();
    out.resize(end + HEADER_BYTES, 0);
    put_header(&mut out[end..], STORED, 0, 0, 0);
}

fn put_header(header: &mut [u8], method: u8, compressed: usize, length: usize, checksum: u32) {
    header[0..8].copy_from_slice(MAGIC);
    header[8] = method | LEVEL;
    header[9..13].copy_from_slice(&(compressed as u32).to_le_bytes());
    header[13..17].copy_from_slice(&(length as u32).to_le_bytes());
    header[17..21].copy_from_slice(&checksum.to_le_bytes());
}

/// Appends the content of a stream to `out`.
///
/// # Errors
/// What is wrong first; `out` then holds the blocks before it.
pub fn decompress(stream: &[u8], out: &mut Vec<u8>) -> Result<(), Lz4Error> {
    let mut at = 0;
    while at < stream.len() {
        at += decompress_block(stream.get(at..).unwrap_or_default(), at, out)?;
    }
    Ok(())
}

/// Appends the block with which `rest` begins, at `at` in the file, and returns its bytes there.
pub(crate) fn decompress_block(rest: &[u8], at: usize, out: &mut Vec<u8>) -> Result<usize, Lz4Error> {
    if !rest.starts_with(MAGIC) {
        return Err(if MAGIC.starts_with(rest) { Lz4Error::Truncated { at } } else { Lz4Error::Magic { at } });
    }
    let (header, rest) = rest.split_at_checked(HEADER_BYTES).ok_or(Lz4Error::Truncated { at })?;
    let int = |from: usize| u32::from_le_bytes([header[from], header[from + 1], header[from + 2], header[from + 3]]);
    let (method, level_limit) = (header[8] & 0xf0, 1usize << (10 + (header[8] & 0x0f)));
    let (compressed, length, expected) = (int(9) as usize, int(13) as usize, int(17));
    let consistent = match method {
        STORED => compressed == length,
        COMPRESSED => (compressed == 0) == (length == 0),
        _ => false,
    };
    if !consistent || length > level_limit || (length == 0 && expected != 0) {
        return Err(Lz4Error::Block { at });
    }
    let payload = rest.get(..compressed).ok_or(Lz4Error::Truncated { at })?;
    let start = out.len();
    if method == STORED {
        out.extend_from_slice(payload);
    } else {
        out.resize(start + length, 0);
        let written = lz4_flex::block::decompress_into(payload, &mut out[start..]);
        if !matches!(written, Ok(bytes) if bytes == length) {
            out.truncate(start);
            return Err(Lz4Error::Block { at });
        }
    }
    if length > 0 && checksum(&out[start..]) != expected {
        out.truncate(start);
        return Err(Lz4Error::Checksum { at });
    }
    Ok(HEADER_BYTES + compressed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(data: &[u8]) -> Vec<u8> {
        let (mut stream, mut back) = (Vec::new(), Vec::new());
        compress(data, &mut stream);
        decompress(&stream, &mut back).unwrap();
        assert_eq!(back, data);
        stream
    }

    #[test]
    fn the_empty_state_file_is_the_one_that_compressing_it_gives() {
        assert_eq!(round_trip(&[0xff; 4]), EMPTY_STATE_FILE);
    }

    #[test]
    fn content_of_many_blocks_comes_back_and_shrinks_where_it_can() {
        assert!(round_trip(&[7; 100_000]).len() < 2000);
        let mut state = 1u64;
        let noise: Vec<u8> = (0..70_000)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 56) as u8
            })
            .collect();
        assert_eq!(round_trip(&noise).len(), 70_000 + 4 * HEADER_BYTES);
        assert_eq!(round_trip(&[]).len(), HEADER_BYTES);
    }

    #[test]
    fn concatenated_streams_and_a_missing_end_are_read() {
        let mut streams = Vec::new();
        compress(b"one", &mut streams);
        compress(b"two", &mut streams);
        streams.truncate(streams.len() - HEADER_BYTES);
        let mut out = Vec::new();
        decompress(&streams, &mut out).unwrap();
        assert_eq!(out, b"onetwo");
    }

    #[test]
    fn damage_is_noticed_wherever_it_is() {
        let mut stream = Vec::new();
        let data: Vec<u8> = (0..200u8).chain(0..200).collect();
        compress(&data, &mut stream);
        for at in 0..stream.len() {
            let mut damaged = stream.clone();
            damaged[at] ^= 0x40;
            let mut out = Vec::new();
            // The level (its high bit here) only bounds the block; everything else is noticed.
            let harmless = [8, stream.len() - HEADER_BYTES + 8].contains(&at);
            assert!(decompress(&damaged, &mut out).is_err() || harmless, "byte {at}");
        }
        for length in 1..stream.len() {
            let whole_block = length == stream.len() - HEADER_BYTES;
            assert_eq!(decompress(&stream[..length], &mut Vec::new()).is_ok(), whole_block, "length {length}");
        }
    }
}
