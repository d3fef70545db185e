//! A keyed table that changes in place and still shows what it was.
//!
//! The newest version holds the table; an older one holds what differs from the next. Making a version costs as much as it changes,
//! reading the newest as much as it has, reading an older one that and the differences on the way. What nobody holds any longer is
//! freed, differences with it.

use std::hash::Hash;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use parking_lot::Mutex;

/// A table.
pub(crate) type Table<K, V> = HashMap<K, V, FixedState>;

/// One version of one partition.
pub(crate) struct Version<K, V>(Mutex<State<K, V>>);

enum State<K, V> {
    Newest(Table<K, V>),
    Older {
        /// Values of this version where the next has others.
        before: Table<K, Option<V>>,
        next: Arc<Version<K, V>>,
    },
}

/// Changes a table and notes what was before.
pub(crate) struct Changes<'a, K, V> {
    table: &'a mut Table<K, V>,
    before: Table<K, Option<V>>,
}

impl<K: Hash + Eq + Clone, V: Clone> Changes<'_, K, V> {
    pub fn get(&self, key: &K) -> Option<&V> {
        self.table.get(key)
    }

    /// Sets or, by `None`, removes a value.
    pub fn set(&mut self, key: K, value: Option<V>) {
        let old = match value {
            Some(value) => self.table.insert(key.clone(), value),
            None => self.table.remove(&key),
        };
        self.before.entry(key).or_insert(old);
    }

    /// Keys and values as they are now.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.table.iter()
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Version<K, V> {
    pub fn first(pairs: impl IntoIterator<Item = (K, V)>) -> Arc<Self> {
        Arc::new(Version(Mutex::new(State::Newest(pairs.into_iter().collect()))))
    }

    /// The version after this one, with what `change` changes. This one stays what it is.
    pub fn next<E>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut Changes<'_, K, V>) -> Result<(), E>,
    ) -> Result<Arc<Self>, E> {
        let mut state = self.0.lock();
        let State::Newest(table) = &mut *state else {
            // There is a next version already: this one begins a line of its own.
            drop(state);
            return Self::first(self.pairs()).next(change);
        };
        let mut changes = Changes { table, before: Table::default() };
        let changed = change(&mut changes);
        let before = changes.before;
        if let Err(error) = changed {
            for (key, old) in before {
                match old {
                    Some(old) => drop(table.insert(key, old)),
                    None => drop(table.remove(&key)),
                }
            }
            return Err(error);
        }
        let next = Arc::new(Version(Mutex::new(State::Newest(std::mem::take(table)))));
        *state = State::Older { before, next: Arc::clone(&next) };
        Ok(next)
    }

    /// Keys and values of this version.
    pub fn pairs(&self) -> Vec<(K, V)> {
        let mut pairs = Vec::new();
        self.for_each(|key, value| {
            pairs.push((key.clone(), value.clone()));
            true
        });
        pairs
    }

    /// Gives each key and value until `see` is false.
    pub fn for_each(&self, mut see: impl FnMut(&K, &V) -> bool) {
        let mut differs: Table<K, Option<V>> = Table::default();
        let mut next = match &*self.0.lock() {
            State::Newest(table) => {
                let _all = table.iter().all(|(key, value)| see(key, value));
                return;
            }
            State::Older { before, next } => {
                differs.extend(before.iter().map(|(key, value)| (key.clone(), value.clone())));
                Arc::clone(next)
            }
        };
        loop {
            let after = match &*next.0.lock() {
                State::Newest(table) => {
                    let same = table.iter().filter(|(key, _)| !differs.contains_key(*key));
                    let own = differs.iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
                    let _all = same.chain(own).all(|(key, value)| see(key, value));
                    return;
                }
                State::Older { before, next } => {
                    for (key, value) in before {
                        differs.entry(key.clone()).or_insert_with(|| value.clone());
                    }
                    Arc::clone(next)
                }
            };
            next = after;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_version_shows_what_it_was(
            steps in proptest::collection::vec(proptest::collection::vec((0_u8..6, proptest::option::of(0_u8..9)), 0..6), 1..8),
            branch in 0_usize..8,
        ) {
            let mut model: Vec<BTreeMap<u8, u8>> = vec![BTreeMap::new()];
            let mut versions = vec![Version::first([])];
            let branch = branch % steps.len();
            for (i, step) in steps.iter().chain([&steps[branch]]).enumerate() {
                let from = if i == steps.len() { branch } else { i };
                let mut now = model[from].clone();
                let next = versions[from].next(|changes| {
                    for (key, value) in step {
                        changes.set(*key, *value);
                        match value { Some(v) => { now.insert(*key, *v); } None => { now.remove(key); } }
                    }
                    Ok::<(), ()>(())
                }).unwrap();
                versions.push(next);
                model.push(now);
            }
            let failed = versions[0].next(|changes| { changes.set(1, Some(1)); Err(()) });
            prop_assert!(failed.is_err());
            for (version, model) in versions.iter().zip(&model) {
                prop_assert_eq!(&version.pairs().into_iter().collect::<BTreeMap<_, _>>(), model);
            }
        }
    }
}
