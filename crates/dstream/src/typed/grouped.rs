//! Values by key, in the order in which keys first came.
//!
//! A table of numbers of entries, by open addressing: a slot holds half of the hash, so that nearly every look at an entry is at the right
//! one. What costs is waiting for memory, so pairs are best added many at once: the slots and entries of all of them are looked at
//! before the first is changed, and the processor waits for them together.

use std::hash::Hash;

use super::shuffle::hash;

/// Pairs that [`Grouped::add_all`] takes at once, at most.
const WAITING_MAX: usize = 64;

/// Pairs that wait to be added. By columns: a key that is known already is looked at where it lies and never moved.
pub(crate) struct Waiting<K, V> {
    hashes: Vec<u64>,
    keys: Vec<K>,
    values: Vec<V>,
}

impl<K, V> Waiting<K, V> {
    pub fn new() -> Self {
        Waiting { hashes: Vec::new(), keys: Vec::new(), values: Vec::new() }
    }

    /// Adds a pair with the hash of its key; true if no more may wait.
    #[inline]
    pub fn push(&mut self, hash: u64, key: K, value: V) -> bool {
        self.hashes.push(hash);
        self.keys.push(key);
        self.values.push(value);
        self.hashes.len() >= WAITING_MAX
    }

    /// Takes all pairs, in order.
    pub fn drain(&mut self) -> impl Iterator<Item = (K, V)> {
        self.hashes.clear();
        self.keys.drain(..).zip(self.values.drain(..))
    }
}

/// Slots of the smallest table.
const SLOTS_MIN: usize = 16;

/// Values by key.
pub(crate) struct Grouped<K, C> {
    /// A power of two of them, at most half of them used, or none at all. 0: free. Else the upper half of the hash, then the number of
    /// the entry, counted from 1.
    slots: Vec<u64>,
    entries: Vec<Entry<K, C>>,
}

struct Entry<K, C> {
    key: K,
    /// Always there, but for the moment in which it is combined, and after it was taken.
    value: Option<C>,
}

impl<K: Hash + Eq, C> Grouped<K, C> {
    pub fn new() -> Self {
        Grouped { slots: Vec::new(), entries: Vec::new() }
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds a value, by `create` if the key is new and by `merge` if it is not.
    #[inline]
    pub fn add<V>(&mut self, hash: u64, key: K, value: V, create: impl FnOnce(V) -> C, merge: impl FnOnce(C, V) -> C) {
        match self.find(hash, &key) {
            Some(at) => self.combine(at, value, create, merge),
            None => self.insert(hash, key, create(value)),
        }
    }

    /// Adds values in order and leaves `waiting` empty.
    pub fn add_all<V>(&mut self, waiting: &mut Waiting<K, V>, create: impl Fn(V) -> C, merge: impl Fn(C, V) -> C) {
        debug_assert!(waiting.hashes.len() <= WAITING_MAX);
        // Numbers of entries that are surely right, counted from 1; 0 for keys that must be searched or are new.
        let mut found = [0_u32; WAITING_MAX];
        for (found, hash) in found.iter_mut().zip(&waiting.hashes) {
            *found = self.slot_of(*hash) as u32;
        }
        let mut all = true;
        for (found, key) in found.iter_mut().zip(&waiting.keys) {
            let entry = self.entries.get((*found as usize).wrapping_sub(1));
            *found = if entry.is_some_and(|entry| entry.key == *key) { *found } else { 0 };
            all &= *found != 0;
        }
        if all {
            for (found, value) in found.iter().zip(waiting.values.drain(..)) {
                self.combine(*found as usize - 1, value, &create, &merge);
            }
            waiting.keys.clear();
        } else {
            let pairs = waiting.keys.drain(..).zip(waiting.values.drain(..));
            for ((found, hash), (key, value)) in found.iter().zip(&waiting.hashes).zip(pairs) {
                match *found {
                    0 => self.add(*hash, key, value, &create, &merge),
                    found => self.combine(found as usize - 1, value, &create, &merge),
                }
            }
        }
        waiting.hashes.clear();
    }

    /// Takes the value of a key out; the key stays, without value.
    pub fn take(&mut self, hash: u64, key: &K) -> Option<C> {
        let at = self.find(hash, key)?;
        self.entries.get_mut(at)?.value.take()
    }

    /// Keys with their values and hashes, in order; without those whose value was taken.
    pub fn into_entries(self) -> impl Iterator<Item = (u64, K, C)> {
        self.entries.into_iter().filter_map(|entry| Some((hash(&entry.key), entry.key, entry.value?)))
    }

    pub fn into_pairs(self) -> Vec<(K, C)> {
        self.entries.into_iter().filter_map(|entry| Some((entry.key, entry.value?))).collect()
    }

    /// Where the search for a hash begins. The lower bits are not those that chose the partition.
    #[inline]
    fn first_slot(&self, hash: u64) -> usize {
        hash as usize & self.slots.len().wrapping_sub(1)
    }

    /// The first slot that has half of a hash, or 0.
    #[inline]
    fn slot_of(&self, hash: u64) -> u64 {
        let mut at = self.first_slot(hash);
        loop {
            let slot = self.slots.get(at).copied().unwrap_or_default();
            if slot == 0 || slot >> 32 == hash >> 32 {
                return slot;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    #[inline]
    fn find(&self, hash: u64, key: &K) -> Option<usize> {
        let mut at = self.first_slot(hash);
        loop {
            let slot = *self.slots.get(at).filter(|slot| **slot != 0)?;
            let entry = (slot as u32 as usize).wrapping_sub(1);
            if slot >> 32 == hash >> 32 && self.entries.get(entry).is_some_and(|entry| entry.key == *key) {
                return Some(entry);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    #[inline]
    fn combine<V>(&mut self, at: usize, value: V, create: impl FnOnce(V) -> C, merge: impl FnOnce(C, V) -> C) {
        if let Some(entry) = self.entries.get_mut(at) {
            entry.value = Some(match entry.value.take() {
                Some(before) => merge(before, value),
                None => create(value),
            });
        }
    }

    /// Adds a key that is not there.
    fn insert(&mut self, hash: u64, key: K, value: C) {
        if (self.entries.len() + 1) * 2 > self.slots.len() {
            self.grow();
        }
        self.entries.push(Entry { key, value: Some(value) });
        // Four thousand million keys in a partition are more than memory holds.
        self.occupy(hash, self.entries.len() as u32);
    }

    fn occupy(&mut self, hash: u64, number: u32) {
        let mut at = self.first_slot(hash);
        while let Some(slot) = self.slots.get_mut(at) {
            if *slot == 0 {
                *slot = hash >> 32 << 32 | u64::from(number);
                return;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    #[cold]
    fn grow(&mut self) {
        self.slots = vec![0; (self.slots.len() * 2).max(SLOTS_MIN)];
        let hashes: Vec<u64> = self.entries.iter().map(|entry| hash(&entry.key)).collect();
        hashes.into_iter().zip(1..).for_each(|(hash, number)| self.occupy(hash, number));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn values_are_combined_as_if_they_were_added_one_by_one(keys in prop::collection::vec(0_u16..300, 0..2000)) {
            let mut expected: Vec<(u16, Vec<usize>)> = Vec::new();
            let mut groups: Grouped<u16, Vec<usize>> = Grouped::new();
            let mut waiting = Waiting::new();
            let combine = |mut values: Vec<usize>, value| {
                values.push(value);
                values
            };
            for (value, key) in keys.into_iter().enumerate() {
                match expected.iter_mut().find(|(other, _)| *other == key) {
                    Some((_, values)) => values.push(value),
                    None => expected.push((key, vec![value])),
                }
                if waiting.push(hash(&key), key, value) {
                    groups.add_all(&mut waiting, |value| vec![value], combine);
                }
            }
            groups.add_all(&mut waiting, |value| vec![value], combine);
            prop_assert_eq!(waiting.drain().count(), 0);
            prop_assert_eq!(groups.len(), expected.len());
            prop_assert_eq!(groups.into_pairs(), expected);
        }
    }

    #[test]
    fn a_key_whose_value_was_taken_can_have_a_new_one() {
        let mut groups: Grouped<u8, u8> = Grouped::new();
        assert_eq!(groups.take(hash(&1_u8), &1), None);
        groups.add(hash(&1_u8), 1, 10, |v| v, |a, b| a + b);
        assert_eq!(groups.take(hash(&1_u8), &1), Some(10));
        groups.add(hash(&1_u8), 1, 20, |v| v, |a, b| a + b);
        assert_eq!(groups.into_entries().map(|(_, key, value)| (key, value)).collect::<Vec<_>>(), [(1, 20)]);
    }

    #[test]
    fn keys_of_one_hash_are_told_apart() {
        #[derive(PartialEq, Eq)]
        struct Same(u32);
        impl Hash for Same {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                state.write_u8(0);
            }
        }
        let mut groups = Grouped::new();
        for round in 1..=2 {
            let mut waiting = Waiting::new();
            for n in 0..WAITING_MAX as u32 {
                assert_eq!(waiting.push(hash(&Same(n)), Same(n), n), n + 1 == WAITING_MAX as u32);
            }
            groups.add_all(&mut waiting, |v| v, |a, b| a + b);
            let sums: Vec<u32> = groups.entries.iter().filter_map(|entry| entry.value).collect();
            assert_eq!(sums, (0..WAITING_MAX as u32).map(|n| n * round).collect::<Vec<_>>());
        }
    }
}
