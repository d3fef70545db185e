//! Which keys begin with the same fields.

use std::collections::BTreeSet;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use millstream_formats::row::KeyPrefix;

use crate::arena::Address;

/// Addresses ordered by the hash of their key's first fields: without memory of its own per key.
#[derive(Debug)]
pub(crate) struct PrefixIndex {
    prefix: KeyPrefix,
    hasher: RandomState,
    entries: BTreeSet<(u32, Address)>,
    scratch: Vec<u8>,
}

impl PrefixIndex {
    pub(crate) fn new(prefix: KeyPrefix) -> Self {
        Self { prefix, hasher: RandomState::default(), entries: BTreeSet::new(), scratch: Vec::new() }
    }

    /// The same index without entries.
    pub(crate) fn emptied(&self) -> Self {
        Self::new(self.prefix.clone())
    }

    fn hash(&self, prefix: &[u8]) -> u32 {
        (self.hasher.hash_one(prefix) >> 32) as u32
    }

    /// The hash of a key's prefix; a key that is no row of the types has none and is found by no scan.
    fn hash_of_key(&mut self, key: &[u8]) -> Option<u32> {
        let cut = self.prefix.cut(key, &mut self.scratch);
        cut.then(|| self.hash(&self.scratch))
    }

    pub(crate) fn add(&mut self, key: &[u8], address: Address) {
        if let Some(hash) = self.hash_of_key(key) {
            self.entries.insert((hash, address));
        }
    }

    pub(crate) fn remove(&mut self, key: &[u8], address: Address) {
        if let Some(hash) = self.hash_of_key(key) {
            self.entries.remove(&(hash, address));
        }
    }

    /// Addresses of keys with this prefix, and perhaps of others with the same hash.
    pub(crate) fn candidates(&self, prefix: &[u8]) -> impl Iterator<Item = Address> + '_ {
        let hash = self.hash(prefix);
        self.entries.range((hash, 0)..=(hash, Address::MAX)).map(|(_, address)| *address)
    }

    pub(crate) fn begins(&self, key: &[u8], prefix: &[u8]) -> bool {
        self.prefix.begins(key, prefix)
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        // A B-tree is about three quarters full.
        self.entries.len() * size_of::<(u32, Address)>() * 4 / 3
    }
}
