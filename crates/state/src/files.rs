//! The files of a store's directory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use millstream_formats::files::{FileError, names};
use millstream_formats::statefile::{StateFileKind, parse_state_file_name};

/// Which versions have a delta and which a snapshot.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct StateFiles {
    versions: BTreeMap<u64, (bool, bool)>,
    /// Versions whose delta has a side file, Hadoop's `.<v>.delta.crc` or Spark's `<v>.delta.crc`.
    accompanied: BTreeSet<u64>,
}

impl StateFiles {
    pub(crate) fn list(dir: &Path) -> Result<Self, FileError> {
        let mut files = Self::default();
        for name in names(dir)? {
            if let Some(file) = name.strip_suffix(".crc") {
                let delta = parse_state_file_name(file.strip_prefix('.').unwrap_or(file));
                files.accompanied.extend(delta.map(|(version, _)| version));
            }
            let Some((version, kind)) = parse_state_file_name(&name) else { continue };
            let (delta, snapshot) = files.versions.entry(version).or_default();
            match kind {
                StateFileKind::Delta => *delta = true,
                StateFileKind::Snapshot => *snapshot = true,
            }
        }
        Ok(files)
    }

    /// Versions up to `version` with a snapshot, newest first, and 0, which needs none.
    pub(crate) fn bases(&self, version: u64) -> Vec<u64> {
        let snapshots = self.versions.range(..=version).rev().filter(|(v, (_, snapshot))| **v > 0 && *snapshot);
        snapshots.map(|(version, _)| *version).chain([0]).collect()
    }

    /// Versions after `version` with a snapshot.
    pub(crate) fn snapshots_after(&self, version: u64) -> Vec<u64> {
        let after = version.saturating_add(1);
        self.versions.range(after..).filter(|(_, (_, snapshot))| *snapshot).map(|(version, _)| *version).collect()
    }

    /// The versions whose delta has a side file that must go when the delta is written anew.
    pub(crate) fn into_accompanied(self) -> BTreeSet<u64> {
        self.accompanied
    }

    /// Whether the delta of every version after `base` up to `version` is there.
    pub(crate) fn has_deltas(&self, base: u64, version: u64) -> bool {
        (base + 1..=version).all(|v| self.versions.get(&v).is_some_and(|(delta, _)| *delta))
    }

    /// Every file of a version before `version`.
    pub(crate) fn before(&self, version: u64) -> Vec<(u64, StateFileKind)> {
        let mut files = Vec::new();
        for (version, (delta, snapshot)) in self.versions.range(..version) {
            files.extend(delta.then_some((*version, StateFileKind::Delta)));
            files.extend(snapshot.then_some((*version, StateFileKind::Snapshot)));
        }
        files
    }
}
