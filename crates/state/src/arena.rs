//! The memory of a store: entries one after the other in large chunks, addressed by 32 bits.
//!
//! ```text
//! entry:  key length │ value length │ value room │ mark │ key, padded to 8 │ value, padded to 8     lengths u32
//! ```
//!
//! An address counts 8-byte words: its low bits within a chunk of 1 MiB, the rest the chunk. The first chunk grows with its
//! contents, so that a small store is small. An address is never given out twice until [`Arena::is_full`] calls for a rebuild,
//! and a freed chunk stays empty; so whoever keeps an address can ask whether the entry still lives. Chunks lie in memory, or in
//! scratch space when the limit of memory is reached ([`StateMemory`]).

use std::io;

use crate::memory::{Region, StateMemory};

/// Words of a chunk's address range.
const CHUNK_WORDS: usize = 1 << CHUNK_WORD_BITS;
const CHUNK_WORD_BITS: u32 = 17;
/// Bytes of a chunk; a larger entry has a chunk of its own that takes up the range of several.
const CHUNK_BYTES: usize = CHUNK_WORDS * 8;
const CHUNKS_MAX: usize = 1 << (32 - CHUNK_WORD_BITS);
const FIRST_CHUNK_BYTES: usize = 1024;
const HEADER_BYTES: usize = 16;

/// Where an entry begins.
pub(crate) type Address = u32;

/// What an entry's `mark` says.
pub(crate) mod mark {
    /// Unchanged since the version was committed. Between this and `HIDDEN`: the number of its change, plus one.
    pub(crate) const CLEAN: u32 = 0;
    /// Removed or replaced since, kept so that the change can be undone.
    pub(crate) const HIDDEN: u32 = u32::MAX - 1;
    /// Gone.
    pub(crate) const DEAD: u32 = u32::MAX;
}

/// Why an entry has no place.
#[derive(Debug)]
pub(crate) enum Full {
    /// More than an arena can address.
    Addresses,
    /// The limit of memory is reached, and there is no scratch space.
    Scratch(io::Error),
}

#[derive(Debug)]
pub(crate) struct Arena {
    memory: StateMemory,
    chunks: Vec<Chunk>,
    /// Bytes of memory and of scratch space that the chunks take.
    held: (usize, usize),
    /// Bytes of entries that are not dead.
    live_bytes: usize,
    /// Bytes of dead entries in chunks not yet freed.
    dead_bytes: usize,
}

#[derive(Debug, Default)]
struct Chunk {
    /// None in a range that a larger entry before it takes up, and after the chunk was freed.
    region: Option<Region>,
    dead_bytes: usize,
}

impl Chunk {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self.region.as_ref().map_or(&[], Region::bytes)
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        self.region.as_mut().map_or(&mut [], Region::bytes_mut)
    }

    fn held(&self) -> (usize, usize) {
        self.region.as_ref().map_or((0, 0), Region::held)
    }
}

fn padded(length: usize) -> usize {
    length.next_multiple_of(8)
}

fn entry_bytes(key: usize, value_room: usize) -> usize {
    HEADER_BYTES + padded(key) + value_room
}

impl Arena {
    pub(crate) fn new(memory: StateMemory) -> Self {
        Self { memory, chunks: Vec::new(), held: (0, 0), live_bytes: 0, dead_bytes: 0 }
    }

    /// Appends an entry.
    pub(crate) fn push(&mut self, key: &[u8], value: &[u8], mark: u32) -> Result<Address, Full> {
        let room = padded(value.len());
        let size = entry_bytes(key.len(), room);
        let chunk = self.chunk_for(size)?;
        let Some(region) = &mut self.chunks[chunk].region else { return Err(Full::Addresses) };
        let start = region.len();
        let (header, rest) = region.append(size).split_at_mut(HEADER_BYTES);
        for (place, word) in header.chunks_exact_mut(4).zip([key.len() as u32, value.len() as u32, room as u32, mark]) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let (key_place, value_place) = rest.split_at_mut(padded(key.len()));
        key_place[..key.len()].copy_from_slice(key);
        value_place[..value.len()].copy_from_slice(value);
        self.live_bytes += size;
        Ok(((chunk * CHUNK_WORDS) + start / 8) as Address)
    }

    /// The chunk into which `size` bytes go, with room for them.
    fn chunk_for(&mut self, size: usize) -> Result<usize, Full> {
        if let Some(last) = self.chunks.last_mut()
            && let Some(region) = &mut last.region
            && region.len() + size <= CHUNK_BYTES
        {
            let before = region.held();
            region.reserve(size, CHUNK_BYTES).map_err(Full::Scratch)?;
            let after = region.held();
            self.held = (self.held.0 + after.0 - before.0, self.held.1 + after.1 - before.1);
            return Ok(self.chunks.len() - 1);
        }
        let ranges = size.div_ceil(CHUNK_BYTES).max(1);
        if self.chunks.len() + ranges > CHUNKS_MAX {
            return Err(Full::Addresses);
        }
        let chunk = self.chunks.len();
        let capacity = if chunk == 0 { FIRST_CHUNK_BYTES.max(size) } else { CHUNK_BYTES.max(size) };
        let region = Region::new(&self.memory, capacity, CHUNK_BYTES).map_err(Full::Scratch)?;
        let held = region.held();
        self.held = (self.held.0 + held.0, self.held.1 + held.1);
        self.chunks.push(Chunk { region: Some(region), dead_bytes: 0 });
        self.chunks.resize_with(chunk + ranges, Chunk::default);
        Ok(chunk)
    }

    fn split(address: Address) -> (usize, usize) {
        (address as usize / CHUNK_WORDS, address as usize % CHUNK_WORDS * 8)
    }

    fn word(&self, address: Address, index: usize) -> u32 {
        let (chunk, start) = Self::split(address);
        let at = start + index * 4;
        let bytes = &self.chunks[chunk].bytes()[at..at + 4];
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    fn set_word(&mut self, address: Address, index: usize, word: u32) {
        let (chunk, start) = Self::split(address);
        let at = start + index * 4;
        self.chunks[chunk].bytes_mut()[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }

    pub(crate) fn mark(&self, address: Address) -> u32 {
        self.word(address, 3)
    }

    pub(crate) fn set_mark(&mut self, address: Address, mark: u32) {
        self.set_word(address, 3, mark);
    }

    /// Whether there is an entry at an address once given out that is neither hidden nor dead.
    pub(crate) fn is_live(&self, address: Address) -> bool {
        let (chunk, start) = Self::split(address);
        let present = self.chunks.get(chunk).is_some_and(|chunk| start < chunk.bytes().len());
        present && self.mark(address) < mark::HIDDEN
    }

    pub(crate) fn key(&self, address: Address) -> &[u8] {
        let (chunk, start) = Self::split(address);
        let start = start + HEADER_BYTES;
        &self.chunks[chunk].bytes()[start..start + self.word(address, 0) as usize]
    }

    fn value_start(&self, address: Address) -> (usize, usize) {
        let (chunk, start) = Self::split(address);
        (chunk, start + HEADER_BYTES + padded(self.word(address, 0) as usize))
    }

    pub(crate) fn value(&self, address: Address) -> &[u8] {
        let (chunk, start) = self.value_start(address);
        &self.chunks[chunk].bytes()[start..start + self.word(address, 1) as usize]
    }

    pub(crate) fn value_mut(&mut self, address: Address) -> &mut [u8] {
        let (chunk, start) = self.value_start(address);
        let length = self.word(address, 1) as usize;
        &mut self.chunks[chunk].bytes_mut()[start..start + length]
    }

    /// Bytes a value may have to stay where it lies.
    pub(crate) fn room(&self, address: Address) -> usize {
        self.word(address, 2) as usize
    }

    /// Overwrites the value where it lies; it must fit its room.
    pub(crate) fn set_value(&mut self, address: Address, value: &[u8]) {
        debug_assert!(value.len() <= self.room(address));
        self.set_word(address, 1, value.len() as u32);
        self.value_mut(address).copy_from_slice(value);
    }

    /// Marks an entry dead.
    pub(crate) fn kill(&mut self, address: Address) {
        let size = entry_bytes(self.word(address, 0) as usize, self.word(address, 2) as usize);
        self.set_mark(address, mark::DEAD);
        self.chunks[Self::split(address).0].dead_bytes += size;
        self.dead_bytes += size;
        self.live_bytes -= size;
    }

    /// The addresses of all entries in the order of their making, dead and hidden ones too.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = Address> + '_ {
        (0..self.chunks.len()).flat_map(|chunk| self.chunk_addresses(chunk))
    }

    fn chunk_addresses(&self, chunk: usize) -> impl Iterator<Item = Address> + '_ {
        let end = self.chunks[chunk].bytes().len();
        let mut start = 0;
        std::iter::from_fn(move || {
            if start >= end {
                return None;
            }
            let address = (chunk * CHUNK_WORDS + start / 8) as Address;
            start += entry_bytes(self.word(address, 0) as usize, self.word(address, 2) as usize);
            Some(address)
        })
    }

    /// The chunk with the most dead bytes, if there is more dead than half of what lives; not the one being filled.
    pub(crate) fn worst_chunk(&self) -> Option<usize> {
        if self.dead_bytes < 2 * CHUNK_BYTES.min(64 * 1024) || self.dead_bytes < self.live_bytes / 2 {
            return None;
        }
        let filled = self.chunks.len().saturating_sub(1);
        let worst = self.chunks.iter().enumerate().take(filled).max_by_key(|(_, chunk)| chunk.dead_bytes);
        worst.filter(|(_, chunk)| chunk.dead_bytes > 0).map(|(index, _)| index)
    }

    /// Whether the only chunk is mostly dead, so that a rebuild is cheap and pays.
    pub(crate) fn is_small_and_mostly_dead(&self) -> bool {
        self.chunks.len() == 1 && self.dead_bytes > 64 * 1024 && self.dead_bytes > self.live_bytes
    }

    /// Whether so many addresses are used that a rebuild is due.
    pub(crate) fn is_full(&self) -> bool {
        self.chunks.len() > CHUNKS_MAX / 8 * 7
    }

    /// The live entries of a chunk.
    pub(crate) fn live_in_chunk(&self, chunk: usize) -> Vec<Address> {
        self.chunk_addresses(chunk).filter(|address| self.mark(*address) < mark::HIDDEN).collect()
    }

    /// Copies an entry to the end.
    pub(crate) fn copy(&mut self, address: Address) -> Result<Address, Full> {
        let (key, value, mark) = (self.key(address).to_vec(), self.value(address).to_vec(), self.mark(address));
        self.push(&key, &value, mark)
    }

    /// Gives back the memory of a chunk whose entries are all dead.
    pub(crate) fn free_chunk(&mut self, chunk: usize) {
        self.dead_bytes -= self.chunks[chunk].dead_bytes;
        let held = self.chunks[chunk].held();
        self.held = (self.held.0 - held.0, self.held.1 - held.1);
        self.chunks[chunk] = Chunk::default();
    }

    /// Bytes of memory held.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.held.0 + self.chunks.capacity() * size_of::<Chunk>()
    }

    /// Bytes of scratch space held.
    pub(crate) fn spilled_bytes(&self) -> usize {
        self.held.1
    }

    /// Bytes of the entries that are not dead.
    pub(crate) fn live_bytes(&self) -> usize {
        self.live_bytes
    }
}
