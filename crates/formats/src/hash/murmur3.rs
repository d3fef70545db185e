//! Murmur3 (x86, 32 bits) as Spark computes it.

use super::RowHash;

/// Spark's `hash`. The bytes after the last whole word are mixed in one by one, sign-extended, each as a word of its own;
/// standard Murmur3 differs there.
#[derive(Debug)]
pub struct Murmur3;

fn mix(hash: u32, word: u32) -> u32 {
    let word = word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    (hash ^ word).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
}

fn finish(hash: u32, bytes: u32) -> i32 {
    let mut hash = hash ^ bytes;
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85eb_ca6b);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xc2b2_ae35);
    (hash ^ (hash >> 16)) as i32
}

impl RowHash for Murmur3 {
    type Hash = i32;

    #[inline]
    fn int(value: i32, seed: i32) -> i32 {
        finish(mix(seed as u32, value as u32), 4)
    }

    #[inline]
    fn long(value: i64, seed: i32) -> i32 {
        finish(mix(mix(seed as u32, value as u32), (value >> 32) as u32), 8)
    }

    #[inline]
    fn bytes(value: &[u8], seed: i32) -> i32 {
        let mut words = value.chunks_exact(4);
        let mut hash = seed as u32;
        for word in &mut words {
            // A chunk of exactly four bytes.
            hash = mix(hash, word.try_into().map_or(0, u32::from_le_bytes));
        }
        for byte in words.remainder() {
            hash = mix(hash, *byte as i8 as u32);
        }
        finish(hash, value.len() as u32)
    }
}
