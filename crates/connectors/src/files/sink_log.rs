//! `_spark_metadata`: the log by which a file sink says which of the files in its directory count.

use std::collections::HashSet;
use std::path::Path;

use millstream_formats::condition::SparkError;
use millstream_formats::filelog::{FileLogOptions, SinkFileLog};

use super::listing::DataFile;
use super::url::path_of_url;

/// Name of the directory.
pub(crate) const DIRECTORY: &str = "_spark_metadata";

/// Opens the log of a sink's directory.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn open(directory: &Path, options: FileLogOptions) -> Result<SinkFileLog, SparkError> {
    SinkFileLog::open(directory.join(DIRECTORY), options)
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
    let entries = open(directory, FileLogOptions::default())?.all()?;
    let removed: HashSet<String> = entries.iter().filter(|e| e.is_deletion()).map(|e| e.path.clone()).collect();
    let files = entries.into_iter().filter(|e| !removed.contains(&e.path)).map(|entry| DataFile {
        path: path_of_url(&entry.path),
        size: entry.size.unsigned_abs(),
        modified_ms: entry.modified_ms,
        base: directory.to_path_buf(),
        part: None,
    });
    Ok(Some(files.collect()))
}

#[cfg(test)]
mod tests {
    use millstream_formats::filelog::SinkFile;
    use millstream_formats::url::file_url;

    use super::*;

    #[test]
    fn only_logged_files_count() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(files(dir.path()).unwrap(), None);
        let logged = dir.path().join("p=1/part-0 x.json");
        let log = open(dir.path(), FileLogOptions::default()).unwrap();
        log.add(0, &[SinkFile::added(file_url(&logged), 5, 7)]).unwrap();
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
