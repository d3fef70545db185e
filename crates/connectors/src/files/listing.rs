//! Which files a path stands for: directories, wildcards, hidden names, recursion, partition directories.
//!
//! A directory stands for the files right in it, and, if its subdirectories are named `column=value`, for those below. A
//! directory that a file sink has written stands for the files in its log. Not here: the values of partition columns
//! (`partition`).

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use glob::Pattern;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::url::file_url;

use super::sink_log;
use super::url::{display, user_path};
use crate::errors::io_error;

/// A file that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DataFile {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Modification time, ms.
    pub modified_ms: i64,
    /// The directory from which on names `column=value` are partition columns.
    pub base: PathBuf,
    /// The part that is read, from byte to byte; none means all. Records belong to the part in which they begin.
    pub part: Option<(u64, u64)>,
}

impl DataFile {
    /// How logs know the file.
    pub fn url(&self) -> String {
        file_url(&self.path)
    }

    /// Bytes of the part that is read.
    pub fn length(&self) -> u64 {
        self.part.map_or(self.size, |(start, end)| end.saturating_sub(start))
    }
}

/// What restricts a listing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filters {
    /// `recursiveFileLookup`.
    pub recursive: bool,
    /// `pathGlobFilter`, for file names.
    pub name: Option<Pattern>,
    /// `modifiedAfter`, ms, exclusive.
    pub after_ms: Option<i64>,
    /// `modifiedBefore`, ms, exclusive.
    pub before_ms: Option<i64>,
    /// `basePath`.
    pub base: Option<PathBuf>,
}

impl Filters {
    fn admits(&self, file: &DataFile) -> bool {
        let name = file.path.file_name().map(|n| n.to_string_lossy()).unwrap_or_default();
        self.name.as_ref().is_none_or(|pattern| pattern.matches(&name))
            && self.after_ms.is_none_or(|after| file.modified_ms > after)
            && self.before_ms.is_none_or(|before| file.modified_ms < before)
    }
}

/// Whether a path has wildcards.
pub(crate) fn is_glob(path: &str) -> bool {
    path.contains(['*', '?', '[', '{', '\\'])
}

/// The existing paths that a path with or without wildcards stands for; none if it has wildcards and nothing matches.
///
/// # Errors
/// A pattern that does not parse.
pub(crate) fn expand(given: &str) -> Result<Vec<PathBuf>, SparkError> {
    let path = user_path(given);
    if !is_glob(given) {
        return Ok(vec![path]);
    }
    let mut found = Vec::new();
    for pattern in alternatives(&path.to_string_lossy()) {
        let matches = glob::glob(&pattern).map_err(|e| {
            SparkError::plain(
                ExceptionClass::IllegalArgument,
                format!("Illegal file pattern: {} near index {}", e.msg, e.pos),
            )
        })?;
        // A directory that cannot be read has nothing to list, as in Hadoop's globbing.
        found.extend(matches.filter_map(Result::ok));
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Hadoop's `{a,b}` written out, for a matcher that does not know it.
fn alternatives(pattern: &str) -> Vec<String> {
    let Some(open) = pattern.find('{') else { return vec![pattern.to_string()] };
    let Some(length) = pattern.get(open..).and_then(|rest| rest.find('}')) else { return vec![pattern.to_string()] };
    let (head, tail) = (pattern.get(..open).unwrap_or_default(), pattern.get(open + length + 1..).unwrap_or_default());
    let choices = pattern.get(open + 1..open + length).unwrap_or_default().split(',');
    choices.flat_map(|choice| alternatives(&format!("{head}{choice}{tail}"))).collect()
}

/// The files of the given paths, those of one path sorted by name.
///
/// # Errors
/// `PATH_NOT_FOUND`; what the file system says.
pub(crate) fn list(paths: &[String], filters: &Filters) -> Result<Vec<DataFile>, SparkError> {
    let mut files = Vec::new();
    for given in paths {
        let roots = expand(given)?;
        let missing = || path_not_found(&display(&user_path(given)));
        if roots.is_empty() {
            return Err(missing());
        }
        for root in roots {
            if !root.exists() {
                return Err(missing());
            }
            files.extend(list_root(&root, filters)?);
        }
    }
    Ok(files)
}

/// The files below one path; none if it does not exist.
pub(crate) fn list_root(root: &Path, filters: &Filters) -> Result<Vec<DataFile>, SparkError> {
    let Ok(metadata) = std::fs::metadata(root) else { return Ok(Vec::new()) };
    let mut files = Vec::new();
    if metadata.is_file() {
        let base = filters.base.clone().or_else(|| root.parent().map(Path::to_path_buf)).unwrap_or_default();
        if !is_hidden(root) {
            files.push(data_file(root, &metadata, &base));
        }
    } else if let Some(logged) = sink_log::files(root)? {
        files = logged;
    } else {
        let base = filters.base.clone().unwrap_or_else(|| root.to_path_buf());
        walk(root, &base, &mut files)?;
        if !filters.recursive && !partitioned(&files) {
            files.retain(|file| file.path.parent() == Some(root));
        }
    }
    files.retain(|file| filters.admits(file));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Whether directories between base and file are named `column=value`.
fn partitioned(files: &[DataFile]) -> bool {
    let is_partition = |file: &DataFile| {
        let below = file.path.parent().and_then(|dir| dir.strip_prefix(&file.base).ok());
        below.is_some_and(|dirs| dirs.iter().next_back().is_some_and(|name| name.to_string_lossy().contains('=')))
    };
    files.iter().any(is_partition)
}

fn walk(dir: &Path, base: &Path, files: &mut Vec<DataFile>) -> Result<(), SparkError> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        // A directory may go while it is listed.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error("list", dir, &error)),
    };
    for entry in entries {
        let path = entry.map_err(|e| io_error("list", dir, &e))?.path();
        if is_hidden(&path) {
            continue;
        }
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => walk(&path, base, files)?,
            Ok(metadata) => files.push(data_file(&path, &metadata, base)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error("read the attributes of", &path, &error)),
        }
    }
    Ok(())
}

fn data_file(path: &Path, metadata: &Metadata, base: &Path) -> DataFile {
    let modified = metadata.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    DataFile {
        path: path.to_path_buf(),
        size: metadata.len(),
        modified_ms: i64::try_from(modified.as_millis()).unwrap_or(i64::MAX),
        base: base.to_path_buf(),
        part: None,
    }
}

/// Spark's rule: names that begin with `.` or `_`, but for partition directories, and copies under way.
fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy()).unwrap_or_default();
    name.starts_with('.') || (name.starts_with('_') && !name.contains('=')) || name.ends_with("._COPYING_")
}

/// `PATH_NOT_FOUND`.
pub(crate) fn path_not_found(path: &str) -> SparkError {
    SparkError::new(ExceptionClass::Analysis, "PATH_NOT_FOUND", "42K03", format!("Path does not exist: {path}."))
        .with("path", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(dir: &Path, names: &[&str]) {
        for name in names {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
    }

    fn names(root: &Path, filters: &Filters) -> Vec<String> {
        let files = list_root(root, filters).unwrap();
        files.iter().map(|f| f.path.strip_prefix(root).unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn hidden_names_and_plain_subdirectories_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), &["b.json", "a.json", "_x.json", ".y.json", "z._COPYING_", "sub/c.json", "_sub/d.json"]);
        assert_eq!(names(dir.path(), &Filters::default()), ["a.json", "b.json"]);
        let recursive = Filters { recursive: true, ..Filters::default() };
        assert_eq!(names(dir.path(), &recursive), ["a.json", "b.json", "sub/c.json"]);
        let only_b = Filters { name: Some(Pattern::new("b*").unwrap()), ..Filters::default() };
        assert_eq!(names(dir.path(), &only_b), ["b.json"]);
    }

    #[test]
    fn partition_directories_are_entered() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), &["p=1/q=a/x.json", "p=2/q=b/y.json", "_p=3/q=c/z.json"]);
        assert_eq!(names(dir.path(), &Filters::default()), ["_p=3/q=c/z.json", "p=1/q=a/x.json", "p=2/q=b/y.json"]);
    }

    #[test]
    fn wildcards_and_choices_are_expanded() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), &["a/x.json", "b/x.json", "c/x.json"]);
        let pattern = format!("{}/{{a,c}}", dir.path().display());
        assert_eq!(expand(&pattern).unwrap(), [dir.path().join("a"), dir.path().join("c")]);
        assert_eq!(list(&[pattern], &Filters::default()).unwrap().len(), 2);
        let error = list(&[format!("{}/no*", dir.path().display())], &Filters::default()).unwrap_err();
        assert_eq!(error.condition(), Some("PATH_NOT_FOUND"));
    }
}
