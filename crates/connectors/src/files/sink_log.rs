//! `_spark_metadata`: the log by which a file sink says which of the files in its directory count.

use std::path::Path;
use std::time::Duration;

use millstream_formats::condition::SparkError;
use millstream_formats::files::Writer;
use serde::{Deserialize, Serialize};

use super::listing::DataFile;
use super::log::{BatchLog, Retention};
use super::url::{path_of_url, url};
use crate::source::Conf;

/// Name of the directory.
pub(crate) const DIRECTORY: &str = "_spark_metadata";

/// A file written by a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SinkEntry {
    pub path: String,
    pub size: u64,
    pub is_dir: bool,
    pub modification_time: i64,
    pub block_replication: i32,
    pub block_size: u64,
    pub action: String,
}

impl SinkEntry {
    /// The entry of a new file.
    pub fn add(path: &Path, size: u64, modified_ms: i64) -> Self {
        Self {
            path: url(path),
            size,
            is_dir: false,
            modification_time: modified_ms,
            block_replication: 1,
            block_size: 32 << 20,
            action: "add".into(),
        }
    }
}

/// Opens the log of a sink's directory.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn open(directory: &Path, conf: Option<&Conf>) -> Result<BatchLog<SinkEntry>, SparkError> {
    let setting = |key: &str| conf.and_then(|conf| conf(key));
    let number = |key: &str, default: i64| setting(key).and_then(|t| t.parse().ok()).unwrap_or(default);
    let retention = Retention {
        compact_interval: number("spark.sql.streaming.fileSink.log.compactInterval", 10),
        batches_kept: number("spark.sql.streaming.minBatchesToRetain", 100),
        cleanup_delay: Duration::from_secs(600),
        delete: setting("spark.sql.streaming.fileSink.log.deletion").is_none_or(|t| t != "false"),
    };
    let fsync = setting("spark.millstream.checkpoint.fsync").is_some_and(|t| t == "true");
    BatchLog::open(directory.join(DIRECTORY), Writer { role: "sink_log", fsync }, retention)
}

/// Whether a sink has written the directory.
pub(crate) fn is_sink_directory(directory: &Path) -> bool {
    directory.join(DIRECTORY).is_dir()
}

/// The files that count in a directory; none if no sink has written it.
///
/// # Errors
/// A damaged log.
pub(crate) fn files(directory: &Path) -> Result<Option<Vec<DataFile>>, SparkError> {
    if !is_sink_directory(directory) {
        return Ok(None);
    }
    let entries = open(directory, None)?.all()?;
    let removed: std::collections::HashSet<String> =
        entries.iter().filter(|e| e.action == "delete").map(|e| e.path.clone()).collect();
    let files = entries.into_iter().filter(|e| e.action == "add" && !removed.contains(&e.path)).map(|entry| DataFile {
        path: path_of_url(&entry.path),
        size: entry.size,
        modified_ms: entry.modification_time,
        base: directory.to_path_buf(),
        part: None,
    });
    Ok(Some(files.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_logged_files_count() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(files(dir.path()).unwrap(), None);
        let logged = dir.path().join("p=1/part-0 x.json");
        let mut log = open(dir.path(), None).unwrap();
        log.add(0, &[SinkEntry::add(&logged, 5, 7)]).unwrap();
        log.add(1, &[]).unwrap();
        std::fs::write(dir.path().join("other.json"), "{}").unwrap();
        let found = files(dir.path()).unwrap().unwrap();
        assert_eq!(
            found,
            [DataFile { path: logged, size: 5, modified_ms: 7, base: dir.path().to_path_buf(), part: None }]
        );
        let text = std::fs::read_to_string(dir.path().join("_spark_metadata/0")).unwrap();
        assert!(text.starts_with("v1\n{\"path\":\"file:///"), "{text}");
        assert!(text.ends_with(
            "p=1/part-0%20x.json\",\"size\":5,\"isDir\":false,\"modificationTime\":7,\"blockReplication\":1,\"blockSize\":33554432,\
             \"action\":\"add\"}"
        ), "{text}");
    }
}
