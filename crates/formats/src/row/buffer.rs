//! Rows one after the other in one piece of memory.

use std::ops::Range;

/// Encoded rows in one contiguous buffer. Clearing keeps the memory, so a buffer reused from batch to batch settles at
/// the size of the largest.
#[derive(Debug, Default, Clone)]
pub struct RowBuffer {
    pub(crate) bytes: Vec<u8>,
    /// Where each row ends; it begins where the one before ends.
    pub(crate) ends: Vec<usize>,
    /// While encoding: where the next variable-length part of each new row goes.
    pub(crate) cursors: Vec<usize>,
}

impl RowBuffer {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Forgets the rows and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Row `index`; empty if there is none.
    pub fn row(&self, index: usize) -> &[u8] {
        self.bytes.get(self.range(index)).unwrap_or_default()
    }

    /// Row `index` for updates in place; empty if there is none.
    pub fn row_mut(&mut self, index: usize) -> &mut [u8] {
        let range = self.range(index);
        self.bytes.get_mut(range).unwrap_or_default()
    }

    /// The rows in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.row(index))
    }

    /// Appends a row that is already encoded.
    pub fn push(&mut self, row: &[u8]) {
        self.bytes.extend_from_slice(row);
        self.ends.push(self.bytes.len());
    }

    /// Bytes of memory held.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + (self.ends.capacity() + self.cursors.capacity()) * size_of::<usize>()
    }

    fn range(&self, index: usize) -> Range<usize> {
        match self.ends.get(index) {
            Some(end) => self.start(index)..*end,
            None => 0..0,
        }
    }

    pub(crate) fn start(&self, index: usize) -> usize {
        index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0)
    }
}
