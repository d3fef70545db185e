//! The log of a file source or sink: one file per batch, every tenth with all entries so far (`9.compact`).
//!
//! A file begins with `v1`, then has one JSON object a line (checkpoint.md 5 and 6). A reader starts at the last compact file and
//! needs every file after it. Not here: what the entries mean ([`SourceEntry`] of `stream`, [`SinkEntry`] of `sink_log`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::files::{self, FileError, Writer};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// When the log is compacted and what is removed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    /// Every how many files one holds everything.
    pub compact_interval: i64,
    /// Files of so many batches are kept whatever their age.
    pub batches_kept: i64,
    /// Files younger than this are kept.
    pub cleanup_delay: Duration,
    /// Whether files that compact ones have replaced are removed at all.
    pub delete: bool,
}

/// A log in a directory. This process is its only writer.
#[derive(Debug)]
pub(crate) struct BatchLog<E> {
    dir: PathBuf,
    writer: Writer,
    retention: Retention,
    /// Numbers of the files, and whether they are compact.
    files: BTreeMap<i64, bool>,
    entries: std::marker::PhantomData<fn() -> E>,
}

impl<E: Serialize + DeserializeOwned> BatchLog<E> {
    /// Opens the log; the directory need not exist.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn open(dir: PathBuf, writer: Writer, retention: Retention) -> Result<Self, SparkError> {
        let mut found = BTreeMap::new();
        for name in files::names(&dir)? {
            match name.strip_suffix(".compact") {
                Some(number) => number.parse().ok().map(|id: i64| found.insert(id, true)),
                // Where both are there, the compact one counts.
                None => name.parse().ok().map(|id: i64| found.entry(id).or_insert(false)).map(|_| None),
            };
        }
        let retention = Retention { compact_interval: interval(&found, retention.compact_interval), ..retention };
        Ok(Self { dir, writer, retention, files: found, entries: std::marker::PhantomData })
    }

    /// Number of the newest file.
    pub fn latest(&self) -> Option<i64> {
        self.files.last_key_value().map(|(id, _)| *id)
    }

    fn path(&self, id: i64, compact: bool) -> PathBuf {
        self.dir.join(if compact { format!("{id}.compact") } else { id.to_string() })
    }

    fn is_compact(&self, id: i64) -> bool {
        (id + 1) % self.retention.compact_interval == 0
    }

    /// The entries of one file: those of its batch, or all so far if it is compact. None if there is no such file.
    ///
    /// # Errors
    /// If the file is damaged or of another version.
    pub fn get(&self, id: i64) -> Result<Option<Vec<E>>, SparkError> {
        self.files.get(&id).map(|compact| read(&self.path(id, *compact))).transpose()
    }

    /// All entries.
    ///
    /// # Errors
    /// `BATCH_METADATA_NOT_FOUND` if a file is missing, a damaged file.
    pub fn all(&self) -> Result<Vec<E>, SparkError> {
        let Some(latest) = self.latest() else { return Ok(Vec::new()) };
        let compact = self.files.iter().rev().find(|(_, compact)| **compact).map(|(id, _)| *id);
        let mut entries = Vec::new();
        for id in compact.unwrap_or(0)..=latest {
            match self.get(id)? {
                Some(found) => entries.extend(found),
                None => return Err(self.missing(id)),
            }
        }
        Ok(entries)
    }

    /// An entry that should be there and is not.
    pub fn missing(&self, id: i64) -> SparkError {
        let path = self.path(id, self.is_compact(id)).display().to_string();
        SparkError::new(
            ExceptionClass::Runtime,
            "BATCH_METADATA_NOT_FOUND",
            "42K03",
            format!("Unable to find batch {path}."),
        )
        .with("batchMetadataFile", path)
    }

    /// Writes the entries of a batch; a compact file gets all before it too.
    ///
    /// # Errors
    /// If the batch is there already, if a file before it is missing, if it cannot be written.
    pub fn add(&mut self, id: i64, entries: &[E]) -> Result<(), SparkError> {
        let compact = self.is_compact(id);
        let text = match compact {
            false => text(entries)?,
            true => {
                let before =
                    if self.files.is_empty() && id > 0 { return Err(self.missing(id - 1)) } else { self.all()? };
                if id > 0 && self.latest() != Some(id - 1) {
                    return Err(self.missing(id - 1));
                }
                text(before.iter().chain(entries))?
            }
        };
        match self.writer.create(&self.path(id, compact), text.as_bytes()) {
            Err(FileError::Exists { path }) => {
                return Err(SparkError::new(
                    ExceptionClass::Spark,
                    "CONCURRENT_STREAM_LOG_UPDATE",
                    "40000",
                    format!(
                        "Concurrent update to the log. Multiple streaming jobs detected for {id}.\nPlease make sure only one \
                         streaming job runs on a specific checkpoint location at a time ({}).",
                        path.display()
                    ),
                ));
            }
            written => written?,
        }
        self.files.insert(id, compact);
        if compact && self.retention.delete {
            self.clean(id);
        }
        Ok(())
    }

    /// Removes what the last compact file that still covers the kept batches has replaced. What cannot be removed stays.
    fn clean(&mut self, id: i64) {
        let oldest = id.saturating_sub(self.retention.batches_kept);
        let compact = self.files.range(..=oldest).rev().find(|(_, compact)| **compact).map(|(id, _)| *id);
        let Some(compact) = compact else { return };
        let old: Vec<(i64, bool)> = self.files.range(..compact).map(|(id, compact)| (*id, *compact)).collect();
        for (id, is_compact) in old {
            let path = self.path(id, is_compact);
            if age(&path) >= self.retention.cleanup_delay && self.writer.remove(&path).is_ok() {
                self.files.remove(&id);
            }
        }
    }
}

/// The interval of a log that has compact files already; else the one asked for.
fn interval(files: &BTreeMap<i64, bool>, asked: i64) -> i64 {
    let asked = asked.max(1);
    let mut compact = files.iter().rev().filter(|(_, compact)| **compact).map(|(id, _)| *id);
    match (compact.next(), compact.next()) {
        (Some(last), Some(before)) => last - before,
        // The smallest divisor that is not below the interval asked for.
        (Some(last), None) => (asked..=last + 1).find(|i| (last + 1) % i == 0).unwrap_or(last + 1),
        _ => asked,
    }
}

fn age(path: &Path) -> Duration {
    let modified = std::fs::metadata(path).and_then(|m| m.modified());
    modified.ok().and_then(|time| SystemTime::now().duration_since(time).ok()).unwrap_or_default()
}

fn text<'e, E: Serialize + 'e>(entries: impl IntoIterator<Item = &'e E>) -> Result<String, SparkError> {
    let mut text = "v1".to_string();
    for entry in entries {
        text.push('\n');
        text.push_str(&serde_json::to_string(entry).map_err(|e| SparkError::internal(e.to_string()))?);
    }
    Ok(text)
}

fn read<E: DeserializeOwned>(path: &Path) -> Result<Vec<E>, SparkError> {
    let text = files::read_text(path)?;
    let damaged =
        |reason: String| SparkError::plain(ExceptionClass::Runtime, format!("{} is damaged: {reason}", path.display()));
    let mut lines = text.lines();
    match lines.next() {
        Some("v1") => {}
        Some(other) if other.starts_with('v') => {
            return Err(damaged(format!("it has log version {other}, and only v1 is supported")));
        }
        _ => return Err(damaged("Incomplete log file".into())),
    }
    let entry = |line: &str| serde_json::from_str(line).map_err(|e| damaged(e.to_string()));
    lines.filter(|line| !line.is_empty()).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path) -> BatchLog<String> {
        let retention = Retention { compact_interval: 3, batches_kept: 2, cleanup_delay: Duration::ZERO, delete: true };
        BatchLog::open(dir.to_path_buf(), Writer { role: "source_log", fsync: false }, retention).unwrap()
    }

    #[test]
    fn every_third_file_holds_all_and_old_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path());
        for id in 0..8 {
            log.add(id, &[format!("e{id}")]).unwrap();
        }
        assert!(dir.path().join("5.compact").exists() && !dir.path().join("1").exists());
        assert_eq!(log.get(7).unwrap().unwrap(), ["e7"]);
        let reopened = open(dir.path());
        assert_eq!(reopened.all().unwrap(), (0..8).map(|i| format!("e{i}")).collect::<Vec<_>>());
        assert_eq!(std::fs::read_to_string(dir.path().join("7")).unwrap(), "v1\n\"e7\"");
    }

    #[test]
    fn a_gap_and_a_damaged_file_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path());
        log.add(0, &["a".into()]).unwrap();
        log.add(1, &["b".into()]).unwrap();
        assert!(log.add(1, &["b".into()]).is_err());
        std::fs::remove_file(dir.path().join("0")).unwrap();
        assert_eq!(open(dir.path()).all().unwrap_err().condition(), Some("BATCH_METADATA_NOT_FOUND"));
        std::fs::write(dir.path().join("0"), "v1\n{").unwrap();
        assert!(open(dir.path()).all().is_err());
        std::fs::write(dir.path().join("0"), "").unwrap();
        assert!(open(dir.path()).all().is_err());
    }
}
