//! Snapshots and the removal of files no longer needed, without the store: from its files alone, so that a batch never waits.

use std::collections::HashMap;
use std::fs;
use std::hash::BuildHasher;
use std::io;
use std::time::{Duration, SystemTime};

use foldhash::fast::RandomState;
use millstream_formats::condition::SparkError;
use millstream_formats::files::{FileError, Summed, Writer, names};
use millstream_formats::statefile::{Change, StateFileKind, StateFileWriter, read_changes, state_file_path};

use crate::error;
use crate::files::StateFiles;
use crate::location::StoreLocation;
use crate::store::StoreOptions;

/// With this many deltas after a snapshot the next one is due whatever their size, to bound a restart.
const DELTAS_MAX: u64 = 1000;
/// How much of the deltas is held at a time, uncompressed, as far as their size tells.
const DELTA_BYTES_MAX: u64 = 64 << 20;
const COMPRESSION_RATIO: u64 = 3;
/// Temporary files this old are left from a crash.
const TEMPORARY_AGE: Duration = Duration::from_secs(600);

/// The work on the files of one store, up to a version whose batch is committed.
#[derive(Debug, Clone)]
pub struct Maintenance {
    location: StoreLocation,
    options: StoreOptions,
    version: u64,
    /// Bytes of deltas that are held at a time.
    pub(crate) delta_bytes_max: u64,
    hasher: RandomState,
}

/// A share of the keys.
#[derive(Debug, Clone, Copy)]
struct Pass<'a> {
    number: u64,
    of: u64,
    hasher: &'a RandomState,
}

impl Pass<'_> {
    fn takes(&self, key: &[u8]) -> bool {
        self.of == 1 || self.hasher.hash_one(key) % self.of == self.number
    }
}

/// The changes of several deltas, one after the other.
#[derive(Debug, Default)]
struct Deltas {
    bytes: Vec<u8>,
    /// Where in `bytes` a key begins, its length, and the length of the value that follows it; none for a removal.
    entries: Vec<(usize, usize, Option<usize>)>,
}

impl Deltas {
    fn add(&mut self, pass: Pass<'_>, change: Change<'_>) {
        let (key, value) = match change {
            Change::Put(key, value) => (key, Some(value)),
            Change::Remove(key) => (key, None),
        };
        if pass.takes(key) {
            self.entries.push((self.bytes.len(), key.len(), value.map(<[u8]>::len)));
            self.bytes.extend_from_slice(key);
            self.bytes.extend_from_slice(value.unwrap_or_default());
        }
    }

    /// The last value of each key; none if it was removed.
    fn newest(&self) -> HashMap<&[u8], Option<&[u8]>> {
        let entries = self.entries.iter().map(|(start, key, value)| {
            let (key, rest) = self.bytes[*start..].split_at(*key);
            (key, value.map(|length| &rest[..length]))
        });
        entries.collect()
    }
}

/// Why entries cannot be merged.
enum MergeError {
    Read(SparkError),
    Write(io::Error),
}

impl From<io::Error> for MergeError {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

/// What maintenance did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MaintenanceReport {
    /// The version a snapshot was written of.
    pub snapshot: Option<u64>,
    /// Files removed.
    pub files_removed: usize,
}

impl Maintenance {
    pub(crate) fn new(location: StoreLocation, options: StoreOptions, version: u64) -> Self {
        Self { location, options, version, delta_bytes_max: DELTA_BYTES_MAX, hasher: RandomState::default() }
    }

    /// Writes a snapshot if one is due, then removes what no retained version needs. May run while the store goes on, but not
    /// twice at a time for one store.
    ///
    /// # Errors
    /// `CANNOT_LOAD_STATE_STORE` or `CANNOT_WRITE_STATE_STORE` naming the file. Nothing is removed then.
    pub fn run(&self) -> Result<MaintenanceReport, SparkError> {
        let mut files = self.list()?;
        let snapshot = self.is_snapshot_due(&files).then_some(self.version);
        if let Some(version) = snapshot {
            self.write_snapshot(&files, version)?;
            files = self.list()?;
        }
        let files_removed = self.clean_up(&files).map_err(|e| error::unwritable(&self.location, e))?;
        Ok(MaintenanceReport { snapshot, files_removed })
    }

    fn list(&self) -> Result<StateFiles, SparkError> {
        StateFiles::list(self.location.dir()).map_err(|e| error::unreadable(&self.location, StateFileKind::Delta, e))
    }

    /// A snapshot costs as much as the state is large, so beyond the minimum number of deltas it waits until they are
    /// together half as large as the last one.
    fn is_snapshot_due(&self, files: &StateFiles) -> bool {
        let base = files.bases(self.version).first().copied().unwrap_or(0);
        let deltas = self.version - base;
        if deltas <= self.options.min_deltas_for_snapshot || !files.has_deltas(base, self.version) {
            return false;
        }
        let bytes = |version, kind| {
            fs::metadata(state_file_path(self.location.dir(), version, kind)).map_or(0, |metadata| metadata.len())
        };
        let changed: u64 = (base + 1..=self.version).map(|version| bytes(version, StateFileKind::Delta)).sum();
        deltas > DELTAS_MAX || changed >= bytes(base, StateFileKind::Snapshot) / 2
    }

    /// Writes what the last snapshot and the deltas after it come to. Holds so much of the deltas at a time as memory shall be used
    /// for it, and little of anything else: with more deltas, the entries are taken in several passes, parted by hash.
    fn write_snapshot(&self, files: &StateFiles, version: u64) -> Result<(), SparkError> {
        let base = files.bases(version).first().copied().unwrap_or(0);
        let path = |version, kind| state_file_path(self.location.dir(), version, kind);
        let bytes = |version| fs::metadata(path(version, StateFileKind::Delta)).map_or(0, |metadata| metadata.len());
        let compressed: u64 = (base + 1..=version).map(bytes).sum();
        let passes = (compressed * COMPRESSION_RATIO).div_ceil(self.delta_bytes_max).max(1);
        // The reason of a failure that is not the snapshot's own.
        let mut unreadable = None;
        let writer = Writer { role: "snapshot", fsync: self.options.fsync };
        let written = writer.replace_with(&path(version, StateFileKind::Snapshot), |file| {
            let mut snapshot = StateFileWriter::new(file);
            for pass in (0..passes).map(|number| Pass { number, of: passes, hasher: &self.hasher }) {
                let merged = self.merge(pass, base, version, &mut snapshot);
                merged.map_err(|failed| match failed {
                    MergeError::Write(error) => error,
                    MergeError::Read(error) => {
                        let text = error.to_string();
                        unreadable = Some(error);
                        io::Error::other(text)
                    }
                })?;
            }
            snapshot.finish()
        });
        match unreadable {
            Some(error) => Err(error),
            None => written.map_err(|e| error::unwritable(&self.location, e)),
        }
    }

    /// Adds the entries of a pass to a snapshot.
    fn merge(
        &self,
        pass: Pass<'_>,
        base: u64,
        version: u64,
        snapshot: &mut StateFileWriter<&mut Summed>,
    ) -> Result<(), MergeError> {
        let read = |version, kind, visit: &mut dyn FnMut(Change<'_>)| {
            let path = state_file_path(self.location.dir(), version, kind);
            read_changes(&path, visit).map_err(|e| MergeError::Read(error::unreadable(&self.location, kind, e)))
        };
        let mut deltas = Deltas::default();
        for version in base + 1..=version {
            read(version, StateFileKind::Delta, &mut |change| deltas.add(pass, change))?;
        }
        let changed = deltas.newest();
        let mut written = Ok(());
        if base > 0 {
            read(base, StateFileKind::Snapshot, &mut |change| {
                if let Change::Put(key, value) = change
                    && written.is_ok()
                    && pass.takes(key)
                    && !changed.contains_key(key)
                {
                    written = snapshot.put(key, value);
                }
            })?;
        }
        let puts = changed.iter().filter_map(|(key, value)| Some((key, (*value)?)));
        written.and_then(|()| puts.into_iter().try_for_each(|(key, value)| snapshot.put(key, value)))?;
        Ok(())
    }

    /// Removes the files before the newest snapshot from which the oldest retained version can be made, and what crashes left.
    fn clean_up(&self, files: &StateFiles) -> Result<usize, FileError> {
        let oldest = self.version.saturating_sub(self.options.versions_retained);
        let base = files.bases(oldest).first().copied().unwrap_or(0);
        let mut removed = 0;
        if base > 0 {
            let writer = Writer { role: "state", fsync: false };
            for (version, kind) in files.before(base) {
                writer.remove(&state_file_path(self.location.dir(), version, kind))?;
                removed += 1;
            }
        }
        Ok(removed + self.remove_temporary_files()?)
    }

    fn remove_temporary_files(&self) -> Result<usize, FileError> {
        let dir = self.location.dir();
        let mut removed = 0;
        for name in names(dir)?.iter().filter(|name| name.starts_with('.') && name.ends_with(".tmp")) {
            let path = dir.join(name);
            let modified = fs::metadata(&path).and_then(|metadata| metadata.modified());
            let age = modified.ok().and_then(|time| SystemTime::now().duration_since(time).ok());
            if age.is_some_and(|age| age > TEMPORARY_AGE) {
                Writer { role: "state", fsync: false }.remove(&path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}
