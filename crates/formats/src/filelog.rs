//! The logs of files: what a file source has seen (`sources/<i>/`) and what a file sink has written (`_spark_metadata/`).
//!
//! Each entry is a file `<id>` that begins with `v1` and has one JSON object per line. Where `(id + 1) % interval` is 0 the file
//! is `<id>.compact` instead and holds all entries so far; the log is then read from the newest of those on. Ids have no gaps.
//! A file is never overwritten: one that exists means that two queries use the log.

use std::collections::BTreeMap;
use std::fs;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::condition::{ExceptionClass, SparkError};
use crate::files::{self, FileError, Writer};

const VERSION: &str = "v1";
const COMPACT: &str = ".compact";

/// A line of a log.
pub trait LogEntry: Serialize + DeserializeOwned + Clone {
    /// What the files of its log are for, see [`crate::faults::ROLES`].
    const ROLE: &'static str;
    /// The setting that is [`FileLogOptions::compact_interval`].
    const COMPACT_INTERVAL: &'static str;

    /// The id under which it was added, if it tells; those that do are told apart in a compact file.
    fn id(&self) -> Option<i64>;
}

/// A file that a source has seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceFile {
    /// Its URL, see [`crate::url`].
    pub path: String,
    /// When it was modified, ms since 1970.
    #[serde(rename = "timestamp")]
    pub modified_ms: i64,
    /// The id of the entry, which counts entries of the log and not batches.
    pub batch_id: i64,
}

impl LogEntry for SourceFile {
    const ROLE: &'static str = "source_log";
    const COMPACT_INTERVAL: &'static str = "spark.sql.streaming.fileSource.log.compactInterval";

    fn id(&self) -> Option<i64> {
        Some(self.batch_id)
    }
}

/// A file that a sink has written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SinkFile {
    /// Its URL, see [`crate::url`].
    pub path: String,
    /// Bytes.
    pub size: i64,
    /// Whether it is a directory; never, as Spark writes it.
    pub is_dir: bool,
    /// When it was modified, ms since 1970.
    #[serde(rename = "modificationTime")]
    pub modified_ms: i64,
    /// Copies the file system keeps: 1.
    pub block_replication: i32,
    /// Bytes of a block of the file system.
    pub block_size: i64,
    /// `add`, or `delete` in logs of old versions.
    pub action: String,
}

impl SinkFile {
    /// The block size Spark sees on a local file system.
    const LOCAL_BLOCK_BYTES: i64 = 32 << 20;

    /// A file that was added.
    pub fn added(url: String, size: i64, modified_ms: i64) -> Self {
        let block_size = Self::LOCAL_BLOCK_BYTES;
        Self {
            path: url,
            size,
            is_dir: false,
            modified_ms,
            block_replication: 1,
            block_size,
            action: "add".to_string(),
        }
    }

    /// Whether it says that a file of before no longer counts.
    pub fn is_deletion(&self) -> bool {
        self.action == "delete"
    }
}

impl LogEntry for SinkFile {
    const ROLE: &'static str = "sink_log";
    const COMPACT_INTERVAL: &'static str = "spark.sql.streaming.fileSink.log.compactInterval";

    fn id(&self) -> Option<i64> {
        None
    }
}

/// How a log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLogOptions {
    /// Every so many entries all are compacted ([`LogEntry::COMPACT_INTERVAL`]). An existing log keeps the interval it has.
    pub compact_interval: i64,
    /// Entries that are kept apart from what compact files hold (`spark.sql.streaming.minBatchesToRetain`).
    pub batches_retained: i64,
    /// Whether files that a compact file replaces are removed (`….log.deletion`).
    pub delete_expired: bool,
    /// How long they stay for readers that are at work (`….log.cleanupDelay`).
    pub cleanup_delay: Duration,
    /// Whether a file is on disk when adding it returns.
    pub fsync: bool,
}

impl Default for FileLogOptions {
    /// Spark's settings.
    fn default() -> Self {
        Self {
            compact_interval: 10,
            batches_retained: 100,
            delete_expired: true,
            cleanup_delay: Duration::from_secs(600),
            fsync: false,
        }
    }
}

/// Id of each entry, and whether its file is a compact one.
pub type Ids = BTreeMap<i64, bool>;

/// A log of files. This process is the only writer; listings are taken once, when it is opened.
#[derive(Debug)]
pub struct FileLog<E> {
    dir: PathBuf,
    writer: Writer,
    options: FileLogOptions,
    interval: i64,
    ids: Mutex<Ids>,
    entry: PhantomData<fn() -> E>,
}

/// The log of a file source, in `sources/<i>`.
pub type SourceFileLog = FileLog<SourceFile>;
/// The log of a file sink, in `_spark_metadata` of its path.
pub type SinkFileLog = FileLog<SinkFile>;

impl<E: LogEntry> FileLog<E> {
    /// Opens a log; the directory need not exist.
    ///
    /// # Errors
    /// If the directory cannot be read, or the interval is not positive.
    pub fn open(dir: PathBuf, options: FileLogOptions) -> Result<Self, SparkError> {
        if options.compact_interval <= 0 {
            let (key, given) = (E::COMPACT_INTERVAL, options.compact_interval);
            return Err(SparkError::plain(
                ExceptionClass::IllegalArgument,
                format!("requirement failed: Please set {key} (was {given}) to a positive value."),
            ));
        }
        let ids = ids(&dir)?;
        let interval = interval(options.compact_interval, &ids);
        let writer = Writer { role: E::ROLE, fsync: options.fsync };
        Ok(Self { dir, writer, options, interval, ids: Mutex::new(ids), entry: PhantomData })
    }

    /// The directory of the log.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The newest id.
    pub fn latest(&self) -> Option<i64> {
        self.ids.lock().last_key_value().map(|(id, _)| *id)
    }

    fn is_compact(&self, id: i64) -> bool {
        (id + 1) % self.interval == 0
    }

    fn path(&self, id: i64, compact: bool) -> PathBuf {
        self.dir.join(file_name(id, compact))
    }

    /// What was added under an id. A sink's compact file does not tell and gives all.
    ///
    /// # Errors
    /// `BATCH_METADATA_NOT_FOUND` if the id is unknown; if the file cannot be read or is damaged.
    pub fn get(&self, id: i64) -> Result<Vec<E>, SparkError> {
        let mut entries = self.entries_from(id, id)?;
        entries.retain(|entry| entry.id().is_none_or(|of| of == id));
        Ok(entries)
    }

    /// Every entry, oldest first.
    ///
    /// # Errors
    /// `BATCH_METADATA_NOT_FOUND` if an id is missing between the newest compact file and the newest id; if a file cannot be
    /// read or is damaged.
    pub fn all(&self) -> Result<Vec<E>, SparkError> {
        let Some(latest) = self.latest() else { return Ok(Vec::new()) };
        self.entries_from(self.newest_compact(), latest)
    }

    /// The newest compact file, which holds all up to itself; the beginning if there is none. The interval does not tell: it may
    /// have been another when the files were written.
    fn newest_compact(&self) -> i64 {
        self.ids.lock().iter().rev().find(|(_, compact)| **compact).map_or(0, |(id, _)| *id)
    }

    fn entries_from(&self, first: i64, last: i64) -> Result<Vec<E>, SparkError> {
        let mut entries = Vec::new();
        for id in first..=last {
            let Some(compact) = self.ids.lock().get(&id).copied() else {
                return Err(self.missing(id));
            };
            entries.extend(self.read(id, compact)?);
        }
        Ok(entries)
    }

    /// The error for an entry that should be there and is not.
    pub fn missing(&self, id: i64) -> SparkError {
        let file = self.path(id, self.is_compact(id)).display().to_string();
        let message = format!("Unable to find batch {file}.");
        SparkError::new(ExceptionClass::Runtime, "BATCH_METADATA_NOT_FOUND", "42K03", message)
            .with("batchMetadataFile", file)
    }

    fn read(&self, id: i64, compact: bool) -> Result<Vec<E>, SparkError> {
        let path = self.path(id, compact);
        let text = match files::read_text(&path) {
            Err(FileError::Missing { .. }) => return Err(self.missing(id)),
            read => read?,
        };
        Ok(parse(&path, &text)?)
    }

    /// Adds the entries of an id, the one after [`FileLog::latest`].
    ///
    /// # Errors
    /// `CONCURRENT_STREAM_LOG_UPDATE` if the id exists; `BATCH_METADATA_NOT_FOUND` if entries to be compacted are missing; if
    /// the file cannot be written.
    pub fn add(&self, id: i64, entries: &[E]) -> Result<(), SparkError> {
        let compact = self.is_compact(id);
        if self.ids.lock().contains_key(&id) {
            return Err(concurrent(id));
        }
        let text = if compact {
            let mut all = self.entries_from(self.newest_compact(), id - 1)?;
            all.extend_from_slice(entries);
            to_text(&all)
        } else {
            to_text(entries)
        };
        match self.writer.create(&self.path(id, compact), text.as_bytes()) {
            Err(FileError::Exists { .. }) => return Err(concurrent(id)),
            written => written?,
        }
        self.ids.lock().insert(id, compact);
        if self.options.delete_expired {
            self.delete_expired(id);
        }
        Ok(())
    }

    /// Removes what the compact file that covers the retained entries replaces, oldest first, up to the first that is too young
    /// or cannot be removed: nothing is wrong with a log that keeps them, and the next entry tries again.
    fn delete_expired(&self, current: i64) {
        let oldest = current + 1 - self.options.batches_retained;
        if oldest < self.interval {
            return;
        }
        let covering = oldest - oldest % self.interval - 1;
        let mut ids = self.ids.lock();
        while let Some((&id, &compact)) = ids.range(..covering).next() {
            let path = self.path(id, compact);
            if !is_older_than(&path, self.options.cleanup_delay) || self.writer.remove(&path).is_err() {
                return;
            }
            ids.remove(&id);
        }
    }
}

fn is_older_than(path: &Path, delay: Duration) -> bool {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    match modified.map(|time| SystemTime::now().duration_since(time)) {
        Ok(age) => age.is_ok_and(|age| age >= delay),
        // What is gone already need not be kept in the list.
        Err(_) => true,
    }
}

fn concurrent(id: i64) -> SparkError {
    SparkError::new(
        ExceptionClass::Spark,
        "CONCURRENT_STREAM_LOG_UPDATE",
        "40000",
        format!(
            "Concurrent update to the log. Multiple streaming jobs detected for {id}.\nPlease make sure only one streaming job \
             runs on a specific checkpoint location at a time."
        ),
    )
    .with("batchId", id.to_string())
}

/// Name of the file of an entry.
pub fn file_name(id: i64, compact: bool) -> String {
    if compact { format!("{id}{COMPACT}") } else { id.to_string() }
}

fn parse_name(name: &str) -> Option<(i64, bool)> {
    let (id, compact) = match name.strip_suffix(COMPACT) {
        Some(id) => (id, true),
        None => (name, false),
    };
    let plain = !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| id.parse().ok()).flatten().map(|id| (id, compact))
}

/// The entries in the directory of a log; none if there is no directory.
///
/// # Errors
/// If it cannot be read.
pub fn ids(dir: &Path) -> Result<Ids, FileError> {
    let mut ids = Ids::new();
    for (id, compact) in files::names(dir)?.iter().filter_map(|name| parse_name(name)) {
        // A compact file holds what a plain one of the same id does, and more.
        *ids.entry(id).or_insert(compact) |= compact;
    }
    Ok(ids)
}

/// Every how many entries a log is compacted: the distance of its newest compact files, what the only one allows, or, without any,
/// what is configured.
pub fn interval(configured: i64, ids: &Ids) -> i64 {
    let mut compact = ids.iter().rev().filter(|(_, compact)| **compact).map(|(id, _)| *id);
    match (compact.next(), compact.next()) {
        (None, _) => configured,
        (Some(latest), Some(previous)) => latest - previous,
        (Some(latest), None) => {
            let count = latest + 1;
            if count <= configured {
                return count;
            }
            (configured..=count / 2).find(|interval| count % interval == 0).unwrap_or(count)
        }
    }
}

/// The content of a file with these entries.
pub fn to_text<E: LogEntry>(entries: &[E]) -> String {
    let mut text = VERSION.to_string();
    for entry in entries {
        text.push('\n');
        // A struct of numbers and strings always has a JSON form.
        text.push_str(&serde_json::to_string(entry).unwrap_or_default());
    }
    text
}

/// The entries in the content of a file.
///
/// # Errors
/// If it is damaged or of another version; `path` is named.
pub fn parse<E: LogEntry>(path: &Path, text: &str) -> Result<Vec<E>, FileError> {
    let mut lines = text.lines();
    match lines.next() {
        Some(VERSION) => {}
        Some(other) if other.starts_with('v') => {
            return Err(FileError::unsupported(path, format!("it has log version {other}, and only v1 is supported")));
        }
        _ => return Err(FileError::damaged(path, "Incomplete log file: it does not begin with a version")),
    }
    let entry = |line: &str| serde_json::from_str(line).map_err(|e| FileError::damaged(path, e));
    lines.filter(|line| !line.is_empty()).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(id: i64) -> SourceFile {
        SourceFile { path: format!("file:///in/{id}"), modified_ms: 1_700_000_000_000 + id, batch_id: id }
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names = files::names(dir).unwrap();
        names.retain(|name| !name.ends_with(".crc"));
        names.sort_by_key(|name| parse_name(name));
        names
    }

    #[test]
    fn a_log_compacts_every_interval_and_reads_back_whole() {
        let dir = tempfile::tempdir().unwrap();
        let options = FileLogOptions { compact_interval: 3, ..FileLogOptions::default() };
        let log = SourceFileLog::open(dir.path().join("0"), options).unwrap();
        (0..7).for_each(|id| log.add(id, &[file(id)]).unwrap());
        assert_eq!(names(log.dir()), ["0", "1", "2.compact", "3", "4", "5.compact", "6"]);
        assert_eq!(
            files::read_text(&log.dir().join("1")).unwrap(),
            "v1\n{\"path\":\"file:///in/1\",\"timestamp\":1700000000001,\"batchId\":1}"
        );
        assert_eq!(log.get(5).unwrap(), [file(5)]);
        assert_eq!(log.get(7).unwrap_err().condition(), Some("BATCH_METADATA_NOT_FOUND"));
        assert_eq!(log.add(6, &[]).unwrap_err().condition(), Some("CONCURRENT_STREAM_LOG_UPDATE"));
        // Another interval in the session changes nothing.
        let again = SourceFileLog::open(dir.path().join("0"), FileLogOptions::default()).unwrap();
        assert_eq!(again.all().unwrap(), (0..7).map(file).collect::<Vec<_>>());
        (7..9).for_each(|id| again.add(id, &[file(id)]).unwrap());
        assert_eq!(names(again.dir()).last().unwrap(), "8.compact");
    }

    #[test]
    fn another_interval_before_the_first_compact_file_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let open = |compact_interval| {
            let options = FileLogOptions { compact_interval, ..FileLogOptions::default() };
            SourceFileLog::open(dir.path().to_path_buf(), options).unwrap()
        };
        (0..8).for_each(|id| open(10).add(id, &[file(id)]).unwrap());
        let log = open(5);
        assert_eq!(log.all().unwrap().len(), 8);
        (8..10).for_each(|id| log.add(id, &[file(id)]).unwrap());
        assert_eq!(names(dir.path()).last().unwrap(), "9.compact");
        assert_eq!(open(5).all().unwrap(), (0..10).map(file).collect::<Vec<_>>());
    }

    #[test]
    fn a_gap_is_found_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let open = || SourceFileLog::open(dir.path().to_path_buf(), FileLogOptions::default()).unwrap();
        (0..4).for_each(|id| open().add(id, &[file(id)]).unwrap());
        fs::remove_file(dir.path().join("2")).unwrap();
        let error = open().all().unwrap_err();
        assert_eq!(error.condition(), Some("BATCH_METADATA_NOT_FOUND"));
        assert!(error.to_string().contains("/2."), "{error}");
    }

    #[test]
    fn expired_files_go_once_a_compact_one_covers_what_is_retained() {
        let dir = tempfile::tempdir().unwrap();
        let options = FileLogOptions {
            compact_interval: 4,
            batches_retained: 4,
            cleanup_delay: Duration::ZERO,
            ..FileLogOptions::default()
        };
        let log = SourceFileLog::open(dir.path().to_path_buf(), options).unwrap();
        (0..16).for_each(|id| log.add(id, &[file(id)]).unwrap());
        assert_eq!(names(log.dir()), ["11.compact", "12", "13", "14", "15.compact"]);
        assert_eq!(log.all().unwrap().len(), 16);
    }

    #[test]
    fn the_interval_follows_from_what_is_there() {
        let of = |compact: &[i64]| interval(10, &compact.iter().map(|id| (*id, true)).collect());
        assert_eq!((of(&[]), of(&[6]), of(&[9]), of(&[2, 5])), (10, 7, 10, 3));
        assert_eq!((of(&[23]), of(&[18])), (12, 19));
    }

    #[test]
    fn a_damaged_log_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "v1\n{", "v9\n{}", "{}"] {
            fs::write(dir.path().join("0"), text).unwrap();
            let log = SinkFileLog::open(dir.path().to_path_buf(), FileLogOptions::default()).unwrap();
            let error = log.all().unwrap_err().to_string();
            assert!(error.contains(&dir.path().join("0").display().to_string()), "{error}");
        }
    }
}
