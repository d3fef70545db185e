//! A store: its rows in memory at one version, and the files of its versions.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::DataType;
use millstream_formats::condition::SparkError;
use millstream_formats::files::{FileError, Writer};
use millstream_formats::lz4block::EMPTY_STATE_FILE;
use millstream_formats::row::{KeyPrefix, validate};
use millstream_formats::statefile::{Change, ChangesWriter, StateFileKind, read_changes_expecting, state_file_path};

use crate::arena::Full;
use crate::error;
use crate::expiry::ExpiryIndex;
use crate::files::StateFiles;
use crate::location::StoreLocation;
use crate::maintenance::Maintenance;
use crate::memory::StateMemory;
use crate::prefix::PrefixIndex;
use crate::rows::Rows;

/// The time (µs) from which an entry may be closed, by key and value; `None` if never.
pub type TimeOf = Arc<dyn Fn(&[u8], &[u8]) -> Option<i64> + Send + Sync>;

/// Buffers larger than this are given back after a commit; there may be hundreds of stores.
const BUFFER_BYTES_KEPT: usize = 64 * 1024;

/// What is fixed when a store is opened.
#[derive(Clone)]
pub struct StoreOptions {
    /// How many versions before the newest can still be loaded (`spark.sql.streaming.minBatchesToRetain`).
    pub versions_retained: u64,
    /// Whether files are synced to disk before they count as written.
    pub fsync: bool,
    /// With `fsync`: the caller syncs the deltas of all its stores together
    /// ([`sync_filesystem`](millstream_formats::files::sync_filesystem)) before it relies on them, so that
    /// [`StateStore::commit`] need not. Snapshots are synced one by one, since older files go after them.
    pub deltas_synced_by_caller: bool,
    /// A snapshot is due when more deltas than this follow the last one
    /// (`spark.sql.streaming.stateStore.minDeltasForSnapshot`).
    pub min_deltas_for_snapshot: u64,
    /// Where its entries lie.
    pub memory: StateMemory,
    /// For [`StateStore::remove_expired`] and [`StateStore::visit_expired`].
    pub time_of: Option<TimeOf>,
    /// For [`StateStore::scan_prefix`].
    pub prefix: Option<KeyPrefix>,
    /// Types of keys and values, against which the first row loaded is checked.
    pub row_types: Option<(Vec<DataType>, Vec<DataType>)>,
}

impl Default for StoreOptions {
    /// Spark's settings, no sync, no limit of memory, no index.
    fn default() -> Self {
        Self {
            versions_retained: 100,
            fsync: false,
            deltas_synced_by_caller: false,
            min_deltas_for_snapshot: 10,
            memory: StateMemory::default(),
            time_of: None,
            prefix: None,
            row_types: None,
        }
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions")
            .field("versions_retained", &self.versions_retained)
            .field("fsync", &self.fsync)
            .field("deltas_synced_by_caller", &self.deltas_synced_by_caller)
            .field("min_deltas_for_snapshot", &self.min_deltas_for_snapshot)
            .field("memory", &self.memory)
            .field("time_of", &self.time_of.is_some())
            .field("prefix", &self.prefix)
            .field("row_types", &self.row_types)
            .finish()
    }
}

/// Figures of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreMetrics {
    /// Entries.
    pub rows: u64,
    /// Bytes of memory held, garbage and indexes included.
    pub memory_bytes: u64,
    /// Bytes of scratch space held, beyond the limit of memory.
    pub spilled_bytes: u64,
    /// Bytes of the entries alone.
    pub live_bytes: u64,
}

/// Versioned state of one store of one partition.
///
/// Version `n` is the state after batch `n - 1`; version 0 is empty and has no file. A store holds one version in memory,
/// with the changes of the batch that is running:
///
/// ```text
/// open ─► load(n) ─► put, remove, get_mut, … ─► commit() = n + 1 ─► …
///                                            └► abort() : back to n
/// ```
///
/// A version is never changed once its batch is committed. Committing the same changes to the same version again gives a
/// file of the same content: a batch can be repeated. Between threads a store moves, it is not shared.
#[derive(Debug)]
pub struct StateStore {
    location: StoreLocation,
    options: StoreOptions,
    rows: Rows,
    version: u64,
    /// Snapshots of versions after the one loaded, left by batches that were rolled back. They would be taken for the truth
    /// once the version is reached, so the first commit removes them.
    stale_snapshots: Vec<u64>,
    /// Versions whose delta has a side file, which must not outlive it.
    accompanied: BTreeSet<u64>,
    /// A version without changes that this store wrote: the next such version is a link to its file.
    empty_delta: Option<u64>,
    writer: ChangesWriter,
    compressed: Vec<u8>,
}

impl StateStore {
    /// A store at version 0. Touches no file.
    pub fn open(location: StoreLocation, options: StoreOptions) -> Self {
        let expiry = options.time_of.clone().map(ExpiryIndex::new);
        let prefix = options.prefix.clone().map(PrefixIndex::new);
        let rows = Rows::new(options.memory.clone(), expiry, prefix);
        let (writer, compressed) = (ChangesWriter::new(), Vec::new());
        let (stale_snapshots, accompanied) = (Vec::new(), BTreeSet::new());
        Self {
            location,
            options,
            rows,
            version: 0,
            stale_snapshots,
            accompanied,
            empty_delta: None,
            writer,
            compressed,
        }
    }

    /// Where its files lie.
    pub fn location(&self) -> &StoreLocation {
        &self.location
    }

    /// The version that was loaded or committed last.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Makes the store hold `version`: from memory if it does already (changes are then aborted), otherwise from the newest
    /// readable snapshot up to it and the deltas that follow. Changes no file.
    ///
    /// # Errors
    /// `CANNOT_LOAD_STATE_STORE` with Spark's sub-condition, naming the file that is missing or damaged. The store is then
    /// empty, at version 0.
    pub fn load(&mut self, version: u64) -> Result<(), SparkError> {
        if version == self.version && version > 0 {
            self.rows.abort();
            return Ok(());
        }
        let loaded = self.load_files(version);
        if loaded.is_err() {
            self.rows.clear();
            self.version = 0;
        }
        loaded
    }

    fn load_files(&mut self, version: u64) -> Result<(), SparkError> {
        let list = || StateFiles::list(self.location.dir());
        let files = list().map_err(|e| error::unreadable(&self.location, StateFileKind::Delta, e))?;
        self.stale_snapshots = files.snapshots_after(version);
        // What this store wrote before may be written over by whoever loads an older version.
        self.empty_delta = None;
        let mut first_error = None;
        for base in files.bases(version) {
            // An unreadable snapshot is not the end if an older one and the deltas after it are there.
            if first_error.is_some() && !files.has_deltas(base, version) {
                continue;
            }
            match self.load_from(base, version) {
                Ok(()) => {
                    self.version = version;
                    self.accompanied = files.into_accompanied();
                    return self.check_first_row();
                }
                Err((kind, error)) => {
                    let error = error::unreadable(&self.location, kind, error);
                    tracing::warn!(%error, base, version, "a version of state cannot be loaded from this snapshot");
                    first_error.get_or_insert(error);
                    if kind == StateFileKind::Delta {
                        break;
                    }
                }
            }
        }
        Err(first_error.unwrap_or_else(|| error::unexpected_version(version)))
    }

    fn load_from(&mut self, base: u64, version: u64) -> Result<(), (StateFileKind, FileError)> {
        self.rows.clear();
        if base > 0 {
            self.apply(base, StateFileKind::Snapshot)?;
        }
        (base + 1..=version).try_for_each(|version| self.apply(version, StateFileKind::Delta))
    }

    fn apply(&mut self, version: u64, kind: StateFileKind) -> Result<(), (StateFileKind, FileError)> {
        let path = state_file_path(self.location.dir(), version, kind);
        let (mut full, rows) = (None, RefCell::new(&mut self.rows));
        let expect = |entries| rows.borrow_mut().reserve(entries);
        let read = read_changes_expecting(&path, expect, |change| match change {
            Change::Put(key, value) => full = rows.borrow_mut().load(key, value).err().or(full.take()),
            Change::Remove(key) => rows.borrow_mut().unload(key),
        });
        read.map_err(|error| (kind, error))?;
        match full {
            None => Ok(()),
            Some(Full::Addresses) => {
                let reason = "it holds more than a store can address".to_string();
                Err((kind, FileError::Unsupported { path, reason }))
            }
            Some(Full::Scratch(error)) => {
                Err((kind, FileError::Io { path, action: "find a place for", source: error }))
            }
        }
    }

    /// Spark's check of the first row it loads, which notices most changes of the schema.
    fn check_first_row(&self) -> Result<(), SparkError> {
        let (Some((key_types, value_types)), Some((key, value))) = (&self.options.row_types, self.iter().next()) else {
            return Ok(());
        };
        validate(key_types, key).map_err(|e| error::row_format("KEY", &self.location, e))?;
        validate(value_types, value).map_err(|e| error::row_format("VALUE", &self.location, e))
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.rows.get(key)
    }

    /// Whether there is an entry for a key.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.get(key).is_some()
    }

    /// The value of a key for an update in place, which does not change its length. The entry counts as changed.
    pub fn get_mut(&mut self, key: &[u8]) -> Option<&mut [u8]> {
        self.rows.get_mut(key)
    }

    /// The value of a key for an update in place; `initial` is put first if there is none, and `true` returned. The entry
    /// counts as changed.
    ///
    /// # Errors
    /// If the store holds more than 32 GiB, or memory is limited and there is no scratch space.
    pub fn upsert(&mut self, key: &[u8], initial: &[u8]) -> Result<(&mut [u8], bool), SparkError> {
        self.rows.upsert(key, initial).map_err(|full| error::full(&self.location, full))
    }

    /// Puts an entry, in place of the one with the same key if there is one.
    ///
    /// # Errors
    /// If the store holds more than 32 GiB, or memory is limited and there is no scratch space.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), SparkError> {
        self.rows.put(key, value).map_err(|full| error::full(&self.location, full))
    }

    /// Removes an entry; false if there was none.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        self.rows.remove(key)
    }

    /// Every entry, in the order of their making as far as it is known.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.rows.iter()
    }

    /// The entries that were put or updated since the version was loaded or committed, with their values now.
    pub fn updated(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.rows.changes().filter_map(|change| Some((change.key, change.value?)))
    }

    /// The entries whose keys begin with the fields of the row `prefix`, in no order. Needs [`StoreOptions::prefix`], finds
    /// nothing without. Costs what it finds.
    pub fn scan_prefix<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.rows.scan_prefix(prefix)
    }

    /// Removes the entries whose time is at most `bound` (µs), handing each to `visit` first, and returns their number. Needs
    /// [`StoreOptions::time_of`], removes nothing without. Costs what it removes, and the entries of the second of `bound`.
    pub fn remove_expired(&mut self, bound: i64, visit: impl FnMut(&[u8], &[u8])) -> usize {
        self.rows.remove_expired(bound, visit)
    }

    /// Hands the entries whose time is at most `bound` (µs) to `visit`. Needs [`StoreOptions::time_of`].
    pub fn visit_expired(&mut self, bound: i64, visit: impl FnMut(&[u8], &[u8])) {
        self.rows.visit_expired(bound, visit);
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there are changes that are neither committed nor aborted.
    pub fn has_changes(&self) -> bool {
        self.rows.has_changes()
    }

    /// Bytes of memory held.
    pub fn memory_bytes(&self) -> usize {
        self.rows.memory_bytes() + self.writer.memory_bytes() + self.compressed.capacity()
    }

    /// Figures of the store now.
    pub fn metrics(&self) -> StoreMetrics {
        let (rows, memory_bytes) = (self.len() as u64, self.memory_bytes() as u64);
        let (spilled_bytes, live_bytes) = (self.rows.spilled_bytes() as u64, self.rows.live_bytes() as u64);
        StoreMetrics { rows, memory_bytes, spilled_bytes, live_bytes }
    }

    /// Writes the changes as the next version's delta, empty if there are none, and returns that version. Costs what
    /// changed, not what is held.
    ///
    /// # Errors
    /// `CANNOT_WRITE_STATE_STORE` naming the file; the changes are then still there, to be committed again or aborted.
    pub fn commit(&mut self) -> Result<u64, SparkError> {
        let version = self.version + 1;
        self.encode_changes();
        self.write_delta(version).map_err(|e| error::unwritable(&self.location, e))?;
        self.rows.commit();
        self.version = version;
        Ok(version)
    }

    fn encode_changes(&mut self) {
        let Self { rows, writer, compressed, .. } = self;
        for change in rows.changes() {
            match change.value {
                Some(value) => writer.put(change.key, value),
                None if change.existed => writer.remove(change.key),
                None => {}
            }
        }
        compressed.clear();
        writer.finish(compressed);
    }

    fn write_delta(&mut self, version: u64) -> Result<(), FileError> {
        let dir = self.location.dir();
        let snapshots = Writer { role: "snapshot", fsync: self.options.fsync };
        for stale in std::mem::take(&mut self.stale_snapshots) {
            if let Err(error) = snapshots.remove(&state_file_path(dir, stale, StateFileKind::Snapshot)) {
                self.stale_snapshots.push(stale);
                return Err(error);
            }
        }
        let path = state_file_path(dir, version, StateFileKind::Delta);
        let fsync = self.options.fsync && !self.options.deltas_synced_by_caller;
        let writer = Writer { role: "delta", fsync };
        let empty = self.compressed.as_slice() == EMPTY_STATE_FILE;
        if self.accompanied.remove(&version) {
            writer.remove(&dir.join(format!("{version}.delta.crc")))?;
        } else if empty
            && let Some(same) = self.empty_delta
            && writer.link(&state_file_path(dir, same, StateFileKind::Delta), &path).is_ok()
        {
            return Ok(());
        }
        writer.replace(&path, &self.compressed)?;
        self.empty_delta = if empty { Some(version) } else { self.empty_delta };
        self.writer.shrink(BUFFER_BYTES_KEPT);
        self.compressed.shrink_to(BUFFER_BYTES_KEPT);
        Ok(())
    }

    /// Gives up the changes: back to the version that was loaded or committed last.
    pub fn abort(&mut self) {
        self.rows.abort();
    }

    /// The work in the background that is due once the batch of the newest version is committed, for any thread to run.
    pub fn maintenance(&self) -> Maintenance {
        Maintenance::new(self.location.clone(), self.options.clone(), self.version)
    }
}

#[cfg(test)]
mod tests;
