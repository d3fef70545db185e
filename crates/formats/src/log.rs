//! The logs of a query: `metadata`, `offsets/<batch>` and `commits/<batch>`, in Spark's form (checkpoint.md 2 to 4).
//!
//! A log is never overwritten: a batch that is there already means that another query uses the checkpoint. Listings are taken once,
//! when a log is opened; after that this process is the only writer. Not here: the logs of file sources and sinks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::condition::{ExceptionClass, SparkError};
use crate::files::{self, FileError, Writer};

/// The id of the query that owns a checkpoint; a new one is written if there is none.
///
/// # Errors
/// If the file holds no id, or is missing although there are offsets or commits
/// (`STREAMING_CHECKPOINT_MISSING_METADATA_FILE`).
pub fn query_id(checkpoint: &Path, fsync: bool) -> Result<Uuid, SparkError> {
    let path = checkpoint.join("metadata");
    match read_query_id(checkpoint) {
        Ok(id) => Ok(id),
        Err(FileError::Missing { .. }) => {
            let used = ["offsets", "commits"].iter().any(|log| {
                files::names(&checkpoint.join(log)).is_ok_and(|names| names.iter().any(|n| n.parse::<i64>().is_ok()))
            });
            if used {
                return Err(missing_metadata(checkpoint));
            }
            let id = Uuid::new_v4();
            let content = json!({ "id": id.to_string() }).to_string();
            Writer { role: "metadata", fsync }.create(&path, content.as_bytes())?;
            Ok(id)
        }
        Err(error) => Err(error.into()),
    }
}

/// The id of the query that owns a checkpoint.
///
/// # Errors
/// If the file is missing, cannot be read or holds no id.
pub fn read_query_id(checkpoint: &Path) -> Result<Uuid, FileError> {
    let path = checkpoint.join("metadata");
    let text = files::read_text(&path)?;
    let json: Value = serde_json::from_str(&text).map_err(|e| FileError::damaged(&path, e))?;
    let id = json.get("id").and_then(Value::as_str).unwrap_or_default();
    id.parse().map_err(|_| FileError::damaged(&path, format!("Invalid UUID string: {id}")))
}

fn missing_metadata(checkpoint: &Path) -> SparkError {
    SparkError::new(
        ExceptionClass::Runtime,
        "STREAMING_CHECKPOINT_MISSING_METADATA_FILE",
        "42K03",
        format!(
            "Checkpoint location file:{} is in an inconsistent state: the metadata file is missing but offset and/or commit logs \
             contain data. Please restore the metadata file or create a new checkpoint directory.",
            checkpoint.display()
        ),
    )
    .with("checkpointLocation", checkpoint.display().to_string())
}

/// What a batch reads, written before it runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OffsetRecord {
    /// Watermark that the batch uses, ms.
    pub batch_watermark_ms: i64,
    /// Time of the batch (`current_timestamp()`), ms.
    pub batch_timestamp_ms: i64,
    /// Settings that a restart takes over, full keys.
    pub conf: BTreeMap<String, String>,
    /// Per source of the plan, left to right, its JSON; none where it has no offset yet.
    pub offsets: Vec<Option<String>>,
}

/// Settings in the order in which Spark writes them; others follow by name. It means nothing, but makes the same record the
/// same file.
const CONF_ORDER: [&str; 15] = [
    "spark.sql.streaming.stateStore.providerClass",
    "spark.sql.streaming.stateStore.rocksdb.mergeOperatorVersion",
    "spark.sql.streaming.stateStore.rocksdb.formatVersion",
    "spark.sql.streaming.queryEvolution.enableSourceEvolution",
    "spark.sql.streaming.stateStore.encodingFormat",
    "spark.sql.streaming.statefulOperator.useStrictDistribution",
    "spark.sql.streaming.flatMapGroupsWithState.stateFormatVersion",
    "spark.sql.streaming.multipleWatermarkPolicy",
    "spark.sql.streaming.stateStore.rowChecksum.enabled",
    "spark.sql.streaming.aggregation.stateFormatVersion",
    "spark.sql.function.protobufExtensions.enabled",
    "spark.sql.shuffle.partitions",
    "spark.sql.streaming.join.stateFormatVersion",
    "spark.sql.streaming.stateStore.compression.codec",
    "spark.sql.optimizer.pruneFiltersCanPruneStreamingSubplan",
];

impl OffsetRecord {
    /// The file's content.
    pub fn to_text(&self) -> String {
        let mut conf = Map::new();
        let known = CONF_ORDER.iter().filter_map(|key| self.conf.get_key_value(*key));
        for (key, value) in known.chain(self.conf.iter().filter(|(key, _)| !CONF_ORDER.contains(&key.as_str()))) {
            conf.insert(key.clone(), value.clone().into());
        }
        let mut head = Map::new();
        head.insert("batchWatermarkMs".into(), self.batch_watermark_ms.into());
        head.insert("batchTimestampMs".into(), self.batch_timestamp_ms.into());
        head.insert("conf".into(), conf.into());
        let mut text = format!("v1\n{}", Value::Object(head));
        for offset in &self.offsets {
            text.push('\n');
            text.push_str(offset.as_deref().unwrap_or("-"));
        }
        text
    }

    /// Reads a file of the log.
    ///
    /// # Errors
    /// If it is missing, cannot be read or is damaged.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        Self::from_text(path, &files::read_text(path)?)
    }

    fn from_text(path: &Path, text: &str) -> Result<Self, FileError> {
        let mut lines = text.lines();
        version(path, lines.next())?;
        let head = object(path, lines.next())?;
        let conf = head.get("conf").and_then(Value::as_object).into_iter().flatten();
        let conf = conf.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_string()))).collect();
        let offsets = lines.map(|line| (line != "-").then(|| line.to_string())).collect();
        Ok(Self {
            batch_watermark_ms: number(path, &head, "batchWatermarkMs")?,
            batch_timestamp_ms: number(path, &head, "batchTimestampMs")?,
            conf,
            offsets,
        })
    }
}

/// Settings of an offset log, the values with which state can be read, and what a missing key means to Spark where that is
/// something else.
const READABLE: [(&str, &str, Option<&str>); 8] = [
    ("spark.sql.streaming.stateStore.compression.codec", "lz4", None),
    ("spark.sql.streaming.stateStore.encodingFormat", "unsaferow", None),
    ("spark.sql.streaming.stateStore.rowChecksum.enabled", "false", None),
    ("spark.sql.streaming.aggregation.stateFormatVersion", "2", Some("1")),
    ("spark.sql.streaming.join.stateFormatVersion", "2", Some("1")),
    ("spark.sql.streaming.flatMapGroupsWithState.stateFormatVersion", "2", Some("1")),
    ("spark.sql.streaming.statefulOperator.useStrictDistribution", "true", Some("false")),
    (
        "spark.sql.streaming.stateStore.providerClass",
        "org.apache.spark.sql.execution.streaming.state.HDFSBackedStateStoreProvider",
        None,
    ),
];

/// Checks that state written with the settings of an offset log can be read.
///
/// # Errors
/// `UNSUPPORTED_FEATURE` naming the first setting that forbids it.
pub fn check_state_settings(conf: &BTreeMap<String, String>) -> Result<(), SparkError> {
    for (key, readable, missing) in READABLE {
        let value = conf.get(key).map(String::as_str).or(missing).unwrap_or(readable);
        if value != readable {
            return Err(SparkError::unsupported(format!("State that was written with {key}={value}")));
        }
    }
    Ok(())
}

/// What a batch came to, written after it ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CommitRecord {
    /// Watermark of the next batch, ms.
    pub next_batch_watermark_ms: i64,
}

impl CommitRecord {
    /// The file's content.
    pub fn to_text(self) -> String {
        format!("v1\n{{\"nextBatchWatermarkMs\":{}}}", self.next_batch_watermark_ms)
    }

    /// Reads a file of the log.
    ///
    /// # Errors
    /// If it is missing, cannot be read or is damaged.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        Self::from_text(path, &files::read_text(path)?)
    }

    fn from_text(path: &Path, text: &str) -> Result<Self, FileError> {
        let mut lines = text.lines();
        version(path, lines.next())?;
        // Spark accepts a commit without a second line, and one without the key.
        let head = match lines.next() {
            None => Map::new(),
            line => object(path, line)?,
        };
        Ok(Self { next_batch_watermark_ms: number(path, &head, "nextBatchWatermarkMs")? })
    }
}

fn version(path: &Path, line: Option<&str>) -> Result<(), FileError> {
    match line {
        Some("v1") => Ok(()),
        Some(other) if other.starts_with('v') => {
            Err(FileError::unsupported(path, format!("it has log version {other}, and only v1 is supported")))
        }
        _ => Err(FileError::damaged(path, "Incomplete log file: it does not begin with a version")),
    }
}

fn object(path: &Path, line: Option<&str>) -> Result<Map<String, Value>, FileError> {
    let line = line.ok_or_else(|| FileError::damaged(path, "Incomplete log file"))?;
    match serde_json::from_str(line) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(FileError::damaged(path, "its second line is no JSON object")),
        Err(error) => Err(FileError::damaged(path, format!("its second line is no JSON object: {error}"))),
    }
}

fn number(path: &Path, head: &Map<String, Value>, key: &str) -> Result<i64, FileError> {
    match head.get(key) {
        None => Ok(0),
        Some(value) => value.as_i64().ok_or_else(|| FileError::damaged(path, format!("{key} is no number"))),
    }
}

/// Numbered files of one directory.
#[derive(Debug)]
struct Batches {
    dir: PathBuf,
    writer: Writer,
    /// Numbers of the files.
    ids: Mutex<BTreeSet<i64>>,
}

impl Batches {
    fn open(dir: PathBuf, writer: Writer) -> Result<Self, FileError> {
        let ids = files::names(&dir)?.iter().filter_map(|name| name.parse().ok()).collect();
        Ok(Self { dir, writer, ids: Mutex::new(ids) })
    }

    fn latest(&self) -> Option<i64> {
        self.ids.lock().last().copied()
    }

    fn ids(&self) -> Vec<i64> {
        self.ids.lock().iter().copied().collect()
    }

    fn path(&self, id: i64) -> PathBuf {
        self.dir.join(id.to_string())
    }

    fn add(&self, id: i64, text: &str) -> Result<(), SparkError> {
        match self.writer.create(&self.path(id), text.as_bytes()) {
            Ok(()) => {
                self.ids.lock().insert(id);
                Ok(())
            }
            Err(FileError::Exists { path }) => Err(SparkError::new(
                ExceptionClass::Spark,
                "CONCURRENT_STREAM_LOG_UPDATE",
                "40000",
                format!(
                    "Concurrent update to the log. Multiple streaming jobs detected for {id}.\nPlease make sure only one \
                     streaming job runs on a specific checkpoint location at a time ({}).",
                    path.display()
                ),
            )
            .with("batchId", id.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes what is older than `oldest_kept`.
    fn purge(&self, oldest_kept: i64) -> Result<(), FileError> {
        let mut ids = self.ids.lock();
        while let Some(id) = ids.first().copied().filter(|id| *id < oldest_kept) {
            self.writer.remove(&self.path(id))?;
            ids.pop_first();
        }
        Ok(())
    }
}

/// `offsets/`: what each batch reads.
#[derive(Debug)]
pub struct OffsetLog(Batches);

impl OffsetLog {
    /// Opens the log; the directory need not exist.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn open(dir: PathBuf, fsync: bool) -> Result<Self, SparkError> {
        Ok(Self(Batches::open(dir, Writer { role: "offsets", fsync })?))
    }

    /// The newest batch.
    ///
    /// # Errors
    /// If its file cannot be read or is damaged.
    pub fn latest(&self) -> Result<Option<(i64, OffsetRecord)>, SparkError> {
        self.0.latest().map(|id| Ok((id, self.get(id)?))).transpose()
    }

    /// The batches there are, in order.
    pub fn ids(&self) -> Vec<i64> {
        self.0.ids()
    }

    /// The file of a batch, whether it is there or not.
    pub fn path(&self, id: i64) -> PathBuf {
        self.0.path(id)
    }

    /// One batch.
    ///
    /// # Errors
    /// If it does not exist or is damaged.
    pub fn get(&self, id: i64) -> Result<OffsetRecord, SparkError> {
        let path = self.0.path(id);
        match OffsetRecord::read(&path) {
            Ok(record) => Ok(record),
            Err(FileError::Missing { path }) => Err(SparkError::plain(
                ExceptionClass::Spark,
                format!("batch {id} doesn't exist: {} is missing", path.display()),
            )),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes a batch.
    ///
    /// # Errors
    /// `CONCURRENT_STREAM_LOG_UPDATE` if it exists; if it cannot be written.
    pub fn add(&self, id: i64, record: &OffsetRecord) -> Result<(), SparkError> {
        self.0.add(id, &record.to_text())
    }

    /// Removes batches before `oldest_kept`.
    ///
    /// # Errors
    /// If a file cannot be removed.
    pub fn purge(&self, oldest_kept: i64) -> Result<(), SparkError> {
        Ok(self.0.purge(oldest_kept)?)
    }
}

/// `commits/`: which batches are done.
#[derive(Debug)]
pub struct CommitLog(Batches);

impl CommitLog {
    /// Opens the log; the directory need not exist.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn open(dir: PathBuf, fsync: bool) -> Result<Self, SparkError> {
        Ok(Self(Batches::open(dir, Writer { role: "commits", fsync })?))
    }

    /// The newest commit.
    ///
    /// # Errors
    /// If its file cannot be read or is damaged.
    pub fn latest(&self) -> Result<Option<(i64, CommitRecord)>, SparkError> {
        self.0.latest().map(|id| Ok((id, self.get(id)?))).transpose()
    }

    /// The commits there are, in order.
    pub fn ids(&self) -> Vec<i64> {
        self.0.ids()
    }

    /// One commit.
    ///
    /// # Errors
    /// If it does not exist or is damaged.
    pub fn get(&self, id: i64) -> Result<CommitRecord, SparkError> {
        let path = self.0.path(id);
        Ok(CommitRecord::read(&path)?)
    }

    /// Writes a commit.
    ///
    /// # Errors
    /// `CONCURRENT_STREAM_LOG_UPDATE` if it exists; if it cannot be written.
    pub fn add(&self, id: i64, record: &CommitRecord) -> Result<(), SparkError> {
        self.0.add(id, &record.to_text())
    }

    /// Removes commits before `oldest_kept`.
    ///
    /// # Errors
    /// If a file cannot be removed.
    pub fn purge(&self, oldest_kept: i64) -> Result<(), SparkError> {
        Ok(self.0.purge(oldest_kept)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> OffsetRecord {
        OffsetRecord {
            batch_watermark_ms: 5,
            batch_timestamp_ms: 1_795_327_946_098,
            conf: BTreeMap::from([("spark.sql.shuffle.partitions".into(), "2".into())]),
            offsets: vec![Some("{\"logOffset\":3}".into()), None],
        }
    }

    #[test]
    fn an_offset_file_has_sparks_form() {
        let text = "v1\n{\"batchWatermarkMs\":5,\"batchTimestampMs\":1795327946098,\
                    \"conf\":{\"spark.sql.shuffle.partitions\":\"2\"}}\n{\"logOffset\":3}\n-";
        assert_eq!(record().to_text(), text);
        assert_eq!(OffsetRecord::from_text(Path::new("0"), text).unwrap(), record());
    }

    #[test]
    fn state_of_other_providers_codecs_and_layouts_is_refused_by_name() {
        let mut conf: BTreeMap<String, String> =
            READABLE.iter().map(|(key, value, _)| ((*key).to_string(), (*value).to_string())).collect();
        check_state_settings(&conf).unwrap();
        conf.insert("spark.sql.streaming.stateStore.compression.codec".into(), "zstd".into());
        let error = check_state_settings(&conf).unwrap_err();
        assert!(error.to_string().contains("compression.codec=zstd"), "{error}");
        let error = check_state_settings(&BTreeMap::new()).unwrap_err();
        assert!(error.to_string().contains("aggregation.stateFormatVersion=1"), "{error}");
    }

    #[test]
    fn commits_without_a_watermark_are_read_as_zero() {
        for (text, watermark) in [("v1\n{\"nextBatchWatermarkMs\":7}", 7), ("v1\n{}", 0), ("v1", 0)] {
            assert_eq!(CommitRecord::from_text(Path::new("0"), text).unwrap().next_batch_watermark_ms, watermark);
        }
    }

    #[test]
    fn a_damaged_file_is_named() {
        for text in ["", "v1", "v1\nnonsense", "v2\n{}", "v1\n{\"batchWatermarkMs\":\"x\"}"] {
            let error = OffsetRecord::from_text(Path::new("/cp/offsets/4"), text).unwrap_err();
            assert!(error.to_string().contains("/cp/offsets/4"), "{error}");
        }
    }

    #[test]
    fn a_batch_is_written_once_and_old_ones_are_purged() {
        let dir = tempfile::tempdir().unwrap();
        let log = OffsetLog::open(dir.path().join("offsets"), true).unwrap();
        for id in 0..5 {
            log.add(id, &record()).unwrap();
        }
        assert_eq!(log.add(4, &record()).unwrap_err().condition(), Some("CONCURRENT_STREAM_LOG_UPDATE"));
        log.purge(3).unwrap();
        let reopened = OffsetLog::open(dir.path().join("offsets"), false).unwrap();
        assert_eq!(reopened.latest().unwrap(), Some((4, record())));
        assert!(reopened.get(2).is_err());
    }

    #[test]
    fn a_checkpoint_keeps_its_id_and_may_not_lose_it() {
        let dir = tempfile::tempdir().unwrap();
        let id = query_id(dir.path(), false).unwrap();
        assert_eq!(query_id(dir.path(), false).unwrap(), id);
        OffsetLog::open(dir.path().join("offsets"), false).unwrap().add(0, &record()).unwrap();
        std::fs::remove_file(dir.path().join("metadata")).unwrap();
        let error = query_id(dir.path(), false).unwrap_err();
        assert_eq!(error.condition(), Some("STREAMING_CHECKPOINT_MISSING_METADATA_FILE"));
    }
}
