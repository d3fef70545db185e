//! Snapshots and the removal of files no longer needed, without the store: from its files alone, so that a batch never waits.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, SystemTime};

use millstream_formats::condition::SparkError;
use millstream_formats::files::{FileError, Writer, names};
use millstream_formats::statefile::{Change, Changes, ChangesWriter, StateFileKind, read_content, state_file_path};

use crate::error;
use crate::files::StateFiles;
use crate::location::StoreLocation;
use crate::store::StoreOptions;

/// With this many deltas after a snapshot the next one is due whatever their size, to bound a restart.
const DELTAS_MAX: u64 = 1000;
/// Temporary files this old are left from a crash.
const TEMPORARY_AGE: Duration = Duration::from_secs(600);

/// The work on the files of one store, up to a version whose batch is committed.
#[derive(Debug, Clone)]
pub struct Maintenance {
    location: StoreLocation,
    options: StoreOptions,
    version: u64,
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
        Self { location, options, version }
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

    fn write_snapshot(&self, files: &StateFiles, version: u64) -> Result<(), SparkError> {
        let base = files.bases(version).first().copied().unwrap_or(0);
        let content = |version, kind| {
            let path = state_file_path(self.location.dir(), version, kind);
            read_content(&path).map_err(|e| error::unreadable(&self.location, kind, e))
        };
        let deltas: Vec<Vec<u8>> =
            (base + 1..=version).map(|version| content(version, StateFileKind::Delta)).collect::<Result<_, _>>()?;
        let mut changed: HashMap<&[u8], Option<&[u8]>> = HashMap::new();
        for (delta, version) in deltas.iter().zip(base + 1..) {
            for change in self.changes(delta, version, StateFileKind::Delta) {
                match change? {
                    Change::Put(key, value) => changed.insert(key, Some(value)),
                    Change::Remove(key) => changed.insert(key, None),
                };
            }
        }
        let mut writer = ChangesWriter::new();
        if base > 0 {
            let snapshot = content(base, StateFileKind::Snapshot)?;
            for change in self.changes(&snapshot, base, StateFileKind::Snapshot) {
                if let Change::Put(key, value) = change?
                    && !changed.contains_key(key)
                {
                    writer.put(key, value);
                }
            }
        }
        changed.iter().for_each(|(key, value)| {
            if let Some(value) = value {
                writer.put(key, value);
            }
        });
        let mut compressed = Vec::new();
        writer.finish(&mut compressed);
        let path = state_file_path(self.location.dir(), version, StateFileKind::Snapshot);
        let written = Writer { role: "snapshot", fsync: self.options.fsync }.replace(&path, &compressed);
        written.map_err(|e| error::unwritable(&self.location, e))
    }

    fn changes<'a>(
        &'a self,
        content: &'a [u8],
        version: u64,
        kind: StateFileKind,
    ) -> impl Iterator<Item = Result<Change<'a>, SparkError>> + 'a {
        Changes::new(content).map(move |change| {
            change.map_err(|reason| {
                let path = state_file_path(self.location.dir(), version, kind);
                error::unreadable(&self.location, kind, FileError::Damaged { path, reason })
            })
        })
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
