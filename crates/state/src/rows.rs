//! The entries of a store in memory, and what has changed since the version they were loaded or committed at.
//!
//! A change of an entry is noted once per version, so a commit costs what changed and not what is held. Until then the old
//! state is kept beside it: values overwritten in place in an undo buffer, replaced and removed entries in the arena, hidden.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::arena::{Address, Arena, Full, mark};
use crate::expiry::ExpiryIndex;
use crate::memory::{StateMemory, TableAllocator};
use crate::prefix::PrefixIndex;

/// An entry of the hash table. The hash spares a look into the arena for most keys that do not match.
#[derive(Debug, Clone, Copy)]
struct Slot {
    address: Address,
    hash: u32,
}

/// Spreads 32 bits over the 64 of which the table uses the lowest and the highest.
fn table_hash(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

/// What an entry was when its version was committed.
#[derive(Debug, Clone, Copy)]
enum Before {
    /// It was not there.
    Absent,
    /// It lay at `address` with the value that is now in the undo buffer.
    Overwritten { address: Address, start: usize, length: usize },
    /// It lies at the address, hidden.
    Hidden(Address),
}

impl Before {
    fn address(self) -> Option<Address> {
        match self {
            Self::Absent => None,
            Self::Overwritten { address, .. } | Self::Hidden(address) => Some(address),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct ChangeNote {
    /// Where the entry is now; `None` if it was removed.
    now: Option<Address>,
    before: Before,
    /// The time under which the expiry index knows the entry since it changed.
    indexed: Option<i64>,
}

impl ChangeNote {
    fn new(now: Option<Address>, before: Before) -> Self {
        Self { now, before, indexed: None }
    }
}

#[derive(Debug)]
pub(crate) struct Rows {
    memory: StateMemory,
    table: HashTable<Slot, TableAllocator>,
    hasher: RandomState,
    arena: Arena,
    changes: Vec<ChangeNote>,
    undo: Vec<u8>,
    expiry: Option<ExpiryIndex>,
    prefix: Option<PrefixIndex>,
}

/// What [`Rows::changes`] tells of an entry that changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Changed<'a> {
    pub(crate) key: &'a [u8],
    /// `None` if it was removed.
    pub(crate) value: Option<&'a [u8]>,
    /// Whether there is something to remove in the version before.
    pub(crate) existed: bool,
}

impl Rows {
    pub(crate) fn new(memory: StateMemory, expiry: Option<ExpiryIndex>, prefix: Option<PrefixIndex>) -> Self {
        Self {
            table: HashTable::new_in(TableAllocator::new(memory.clone())),
            hasher: RandomState::default(),
            arena: Arena::new(memory.clone()),
            memory,
            changes: Vec::new(),
            undo: Vec::new(),
            expiry,
            prefix,
        }
    }

    fn hash(&self, key: &[u8]) -> u32 {
        (self.hasher.hash_one(key) >> 32) as u32
    }

    fn find(&self, key: &[u8], hash: u32) -> Option<Address> {
        let Self { table, arena, .. } = self;
        let same = |slot: &Slot| slot.hash == hash && arena.key(slot.address) == key;
        table.find(table_hash(hash), same).map(|slot| slot.address)
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.find(key, self.hash(key)).map(|address| self.arena.value(address))
    }

    /// The value for an update in place; the entry counts as changed.
    pub(crate) fn get_mut(&mut self, key: &[u8]) -> Option<&mut [u8]> {
        let address = self.find(key, self.hash(key))?;
        self.note_overwrite(address);
        Some(self.arena.value_mut(address))
    }

    /// The value for an update in place, with `initial` put first if there is none.
    pub(crate) fn upsert(&mut self, key: &[u8], initial: &[u8]) -> Result<(&mut [u8], bool), Full> {
        let hash = self.hash(key);
        if let Some(address) = self.find(key, hash) {
            self.note_overwrite(address);
            return Ok((self.arena.value_mut(address), false));
        }
        let address = self.insert(key, initial, hash)?;
        Ok((self.arena.value_mut(address), true))
    }

    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Full> {
        let hash = self.hash(key);
        let Some(address) = self.find(key, hash) else {
            return self.insert(key, value, hash).map(drop);
        };
        if self.fits(address, value) {
            self.note_overwrite(address);
            self.arena.set_value(address, value);
            return Ok(());
        }
        self.relocate(address, key, value, hash)
    }

    fn fits(&self, address: Address, value: &[u8]) -> bool {
        value.len() <= self.arena.room(address)
    }

    /// Puts an entry that is not there.
    fn insert(&mut self, key: &[u8], value: &[u8], hash: u32) -> Result<Address, Full> {
        let mark = self.changes.len() as u32 + 1;
        let address = self.arena.push(key, value, mark)?;
        self.changes.push(ChangeNote::new(Some(address), Before::Absent));
        self.link(address, hash);
        Ok(address)
    }

    /// Moves an entry whose value outgrew its room.
    fn relocate(&mut self, old: Address, key: &[u8], value: &[u8], hash: u32) -> Result<(), Full> {
        let noted = self.arena.mark(old);
        let mark = if noted == mark::CLEAN { self.changes.len() as u32 + 1 } else { noted };
        let new = self.arena.push(key, value, mark)?;
        self.unlink(old, hash);
        self.link(new, hash);
        if noted == mark::CLEAN {
            self.arena.set_mark(old, mark::HIDDEN);
            self.changes.push(ChangeNote::new(Some(new), Before::Hidden(old)));
        } else {
            let change = &mut self.changes[noted as usize - 1];
            change.now = Some(new);
            // The index knows the old address only.
            change.indexed = None;
            let before = change.before;
            self.retire(old, before);
        }
        Ok(())
    }

    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        let hash = self.hash(key);
        let Some(address) = self.find(key, hash) else { return false };
        self.remove_at(address, hash);
        true
    }

    fn remove_at(&mut self, address: Address, hash: u32) {
        self.unlink(address, hash);
        match self.arena.mark(address) {
            mark::CLEAN => {
                self.arena.set_mark(address, mark::HIDDEN);
                self.changes.push(ChangeNote::new(None, Before::Hidden(address)));
            }
            noted => {
                let change = &mut self.changes[noted as usize - 1];
                change.now = None;
                let before = change.before;
                self.retire(address, before);
            }
        }
    }

    /// Takes an entry that is no longer the current one out of use: hidden if it is what the change is undone to.
    fn retire(&mut self, address: Address, before: Before) {
        if before.address() == Some(address) {
            self.arena.set_mark(address, mark::HIDDEN);
        } else {
            self.arena.kill(address);
        }
    }

    fn note_overwrite(&mut self, address: Address) {
        if self.arena.mark(address) != mark::CLEAN {
            return;
        }
        let (start, value) = (self.undo.len(), self.arena.value(address));
        let before = Before::Overwritten { address, start, length: value.len() };
        self.undo.extend_from_slice(value);
        self.changes.push(ChangeNote::new(Some(address), before));
        self.arena.set_mark(address, self.changes.len() as u32);
    }

    fn link(&mut self, address: Address, hash: u32) {
        self.table.insert_unique(table_hash(hash), Slot { address, hash }, |slot| table_hash(slot.hash));
        if let Some(prefix) = &mut self.prefix {
            prefix.add(self.arena.key(address), address);
        }
    }

    fn unlink(&mut self, address: Address, hash: u32) {
        if let Ok(entry) = self.table.find_entry(table_hash(hash), |slot| slot.address == address) {
            entry.remove();
        }
        if let Some(prefix) = &mut self.prefix {
            prefix.remove(self.arena.key(address), address);
        }
    }

    /// The entries in the order of their making.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let live = self.arena.addresses().filter(|address| self.arena.mark(*address) < mark::HIDDEN);
        live.map(|address| (self.arena.key(address), self.arena.value(address)))
    }

    /// The entries whose keys begin with the fields of `prefix`, in no order; none without a prefix index.
    pub(crate) fn scan_prefix<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let found = self.prefix.iter().flat_map(move |index| index.candidates(prefix));
        let live = found.filter(move |address| {
            self.prefix.as_ref().is_some_and(|index| index.begins(self.arena.key(*address), prefix))
        });
        live.map(|address| (self.arena.key(address), self.arena.value(address)))
    }

    /// What changed since the version was committed, in order; a key removed and put again occurs twice.
    pub(crate) fn changes(&self) -> impl Iterator<Item = Changed<'_>> {
        self.changes.iter().filter_map(|change| {
            let address = change.now.or(change.before.address())?;
            Some(Changed {
                key: self.arena.key(address),
                value: change.now.map(|address| self.arena.value(address)),
                existed: !matches!(change.before, Before::Absent),
            })
        })
    }

    pub(crate) fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// Brings the expiry index up to date with the changes.
    fn index_changes(&mut self) {
        let Self { expiry: Some(expiry), arena, changes, undo, .. } = self else { return };
        for change in changes {
            let Some(address) = change.now else { continue };
            let (key, value) = (arena.key(address), arena.value(address));
            let time = expiry.time(key, value);
            let known = match change.before {
                Before::Overwritten { address: old, start, length } if old == address && change.indexed.is_none() => {
                    expiry.time(key, &undo[start..start + length])
                }
                _ => change.indexed,
            };
            if time != known {
                expiry.add(key, value, address);
                change.indexed = time;
            }
        }
    }

    /// Removes the entries whose time is at most `bound`, handing each to `visit` first.
    pub(crate) fn remove_expired(&mut self, bound: i64, mut visit: impl FnMut(&[u8], &[u8])) -> usize {
        self.index_changes();
        let Some(mut due) = self.expiry.as_mut().map(|expiry| expiry.take_due(bound)) else { return 0 };
        due.sort_unstable();
        due.dedup();
        let mut removed = 0;
        due.retain(|address| {
            if !self.arena.is_live(*address) {
                return false;
            }
            let (key, value) = (self.arena.key(*address), self.arena.value(*address));
            let time = self.expiry.as_ref().and_then(|expiry| expiry.time(key, value));
            if time.is_none_or(|time| time > bound) {
                return time.is_some();
            }
            visit(key, value);
            let hash = self.hash(key);
            self.remove_at(*address, hash);
            removed += 1;
            false
        });
        self.restore_to_expiry(&due);
        removed
    }

    /// Hands the entries whose time is at most `bound` to `visit`.
    pub(crate) fn visit_expired(&mut self, bound: i64, mut visit: impl FnMut(&[u8], &[u8])) {
        self.index_changes();
        let Some(mut due) = self.expiry.as_mut().map(|expiry| expiry.take_due(bound)) else { return };
        due.sort_unstable();
        due.dedup();
        due.retain(|address| self.arena.is_live(*address));
        for address in &due {
            let (key, value) = (self.arena.key(*address), self.arena.value(*address));
            if self.expiry.as_ref().and_then(|expiry| expiry.time(key, value)).is_some_and(|time| time <= bound) {
                visit(key, value);
            }
        }
        self.restore_to_expiry(&due);
    }

    fn restore_to_expiry(&mut self, addresses: &[Address]) {
        let Self { expiry: Some(expiry), arena, .. } = self else { return };
        addresses.iter().for_each(|address| expiry.add(arena.key(*address), arena.value(*address), *address));
    }

    /// Makes the changes the committed state. Costs what changed, plus at most a few chunks of tidying up.
    pub(crate) fn commit(&mut self) {
        self.index_changes();
        for change in std::mem::take(&mut self.changes) {
            if let Some(now) = change.now {
                self.arena.set_mark(now, mark::CLEAN);
            }
            if let Some(old) = change.before.address().filter(|old| Some(*old) != change.now) {
                self.arena.kill(old);
            }
        }
        self.undo.clear();
        self.undo.shrink_to(64 * 1024);
        self.tidy();
    }

    /// Goes back to the committed state.
    pub(crate) fn abort(&mut self) {
        for change in std::mem::take(&mut self.changes).into_iter().rev() {
            if let Some(now) = change.now {
                let hash = self.hash(self.arena.key(now));
                self.unlink(now, hash);
                self.retire(now, change.before);
            }
            if let Before::Overwritten { address, start, length } = change.before {
                // It lay in this room before, so it fits.
                self.arena.set_value(address, &self.undo[start..start + length]);
            }
            if let Some(old) = change.before.address() {
                self.arena.set_mark(old, mark::CLEAN);
                let hash = self.hash(self.arena.key(old));
                self.link(old, hash);
                self.restore_to_expiry(&[old]);
            }
        }
        self.undo.clear();
    }

    /// Moves what lives out of chunks that are mostly dead. Called with no changes noted.
    fn tidy(&mut self) {
        if self.arena.is_full() || self.arena.is_small_and_mostly_dead() {
            self.rebuild();
        }
        // Two chunks per commit outrun what one commit of ordinary size kills, and bound the time it takes.
        for _ in 0..2 {
            let Some(chunk) = self.arena.worst_chunk() else { return };
            for old in self.arena.live_in_chunk(chunk) {
                let Ok(new) = self.arena.copy(old) else { return };
                let hash = self.hash(self.arena.key(old));
                self.unlink(old, hash);
                self.arena.kill(old);
                self.link(new, hash);
                self.restore_to_expiry(&[new]);
            }
            self.arena.free_chunk(chunk);
        }
    }

    /// Copies what lives into a new arena; leaves everything as it is if there is no room for it.
    fn rebuild(&mut self) {
        let (expiry, prefix) = (&self.expiry, &self.prefix);
        let (expiry, prefix) = (expiry.as_ref().map(ExpiryIndex::emptied), prefix.as_ref().map(PrefixIndex::emptied));
        let mut rebuilt = Self::new(self.memory.clone(), expiry, prefix);
        if self.iter().all(|(key, value)| rebuilt.load(key, value).is_ok()) {
            *self = rebuilt;
        }
    }

    /// Makes room for entries to come.
    pub(crate) fn reserve(&mut self, entries: usize) {
        self.table.reserve(entries, |slot| table_hash(slot.hash));
    }

    /// Puts an entry of a version being loaded, which is no change.
    pub(crate) fn load(&mut self, key: &[u8], value: &[u8]) -> Result<(), Full> {
        let hash = self.hash(key);
        let Self { table, arena, prefix, expiry, .. } = self;
        let same = |slot: &Slot| slot.hash == hash && arena.key(slot.address) == key;
        let address = match table.entry(table_hash(hash), same, |slot| table_hash(slot.hash)) {
            Entry::Vacant(vacant) => {
                let address = arena.push(key, value, mark::CLEAN)?;
                vacant.insert(Slot { address, hash });
                address
            }
            Entry::Occupied(mut occupied) => {
                let old = occupied.get().address;
                if value.len() <= arena.room(old) {
                    arena.set_value(old, value);
                    old
                } else {
                    let address = arena.push(key, value, mark::CLEAN)?;
                    occupied.get_mut().address = address;
                    arena.kill(old);
                    if let Some(prefix) = prefix {
                        prefix.remove(key, old);
                    }
                    address
                }
            }
        };
        if let Some(prefix) = prefix {
            prefix.add(key, address);
        }
        if let Some(expiry) = expiry {
            expiry.add(key, value, address);
        }
        Ok(())
    }

    /// Removes an entry of a version being loaded, which is no change.
    pub(crate) fn unload(&mut self, key: &[u8]) {
        let hash = self.hash(key);
        if let Some(address) = self.find(key, hash) {
            self.unlink(address, hash);
            self.arena.kill(address);
        }
    }

    /// Forgets everything, indexes included.
    pub(crate) fn clear(&mut self) {
        self.table = HashTable::new_in(TableAllocator::new(self.memory.clone()));
        self.arena = Arena::new(self.memory.clone());
        self.changes.clear();
        self.undo.clear();
        if let Some(expiry) = &mut self.expiry {
            expiry.clear();
        }
        if let Some(prefix) = &mut self.prefix {
            prefix.clear();
        }
    }

    /// Bytes of memory held.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.arena.memory_bytes()
            + (self.table.allocation_size().saturating_sub(self.table.allocator().spilled_bytes()))
            + self.changes.capacity() * size_of::<ChangeNote>()
            + self.undo.capacity()
            + self.expiry.as_ref().map_or(0, ExpiryIndex::memory_bytes)
            + self.prefix.as_ref().map_or(0, PrefixIndex::memory_bytes)
    }

    /// Bytes of scratch space held.
    pub(crate) fn spilled_bytes(&self) -> usize {
        self.arena.spilled_bytes() + self.table.allocator().spilled_bytes()
    }

    /// Bytes of keys, values and their headers.
    pub(crate) fn live_bytes(&self) -> usize {
        self.arena.live_bytes()
    }
}
