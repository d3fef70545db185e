//! Which entries are old enough to go, without looking at the others.
//!
//! Entries are grouped by the second (2^20 µs) of their time. Nothing is taken out when an entry changes or goes: whoever
//! takes a group asks the arena whether an entry lives and what its time is now. An entry may occur more than once.

use std::collections::BTreeMap;
use std::fmt;

use crate::arena::Address;
use crate::store::TimeOf;

const GROUP_BITS: u32 = 20;

pub(crate) struct ExpiryIndex {
    time_of: TimeOf,
    groups: BTreeMap<i64, Vec<Address>>,
    /// Bytes of the groups.
    bytes: usize,
}

/// Bytes of the map for one group.
const GROUP_BYTES: usize = 48;

impl fmt::Debug for ExpiryIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpiryIndex").field("groups", &self.groups.len()).finish_non_exhaustive()
    }
}

impl ExpiryIndex {
    pub(crate) fn new(time_of: TimeOf) -> Self {
        Self { time_of, groups: BTreeMap::new(), bytes: 0 }
    }

    pub(crate) fn time(&self, key: &[u8], value: &[u8]) -> Option<i64> {
        (self.time_of)(key, value)
    }

    pub(crate) fn add(&mut self, key: &[u8], value: &[u8], address: Address) {
        if let Some(time) = self.time(key, value) {
            let group = self.groups.entry(time >> GROUP_BITS).or_default();
            let before = held(group);
            group.push(address);
            self.bytes += held(group) - before;
        }
    }

    /// Takes out every group that may hold a time of at most `bound`.
    pub(crate) fn take_due(&mut self, bound: i64) -> Vec<Address> {
        let last = bound >> GROUP_BITS;
        let mut due = Vec::new();
        while let Some(group) = self.groups.first_entry().filter(|group| *group.key() <= last) {
            let group = group.remove();
            self.bytes -= held(&group);
            due.extend(group);
        }
        due
    }

    /// The same index without entries.
    pub(crate) fn emptied(&self) -> Self {
        Self::new(TimeOf::clone(&self.time_of))
    }

    pub(crate) fn clear(&mut self) {
        self.groups.clear();
        self.bytes = 0;
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes
    }
}

fn held(group: &Vec<Address>) -> usize {
    if group.capacity() == 0 { 0 } else { group.capacity() * size_of::<Address>() + GROUP_BYTES }
}
