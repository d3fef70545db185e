//! A source of the files that appear in a directory.
//!
//! A batch takes the files whose modification time is at most its own time, not before the source was made (if only new files are
//! wanted) and within the last `remember` span, and that no batch of that span has taken. The path may be a pattern of directories.
//! Files whose name begins with a dot are left out. A directory that appears is taken as a file would be, once: with the files that it
//! has then.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use parking_lot::Mutex;

use super::operator::{FileProgress, SourceProgress};
use super::{At, Operator};
use crate::{Datasets, Span, StreamError, Time};

/// Makes the dataset of the files of a batch.
pub(crate) type FilesFn<B> = Box<dyn Fn(&B, &[PathBuf]) -> Result<<B as Datasets>::Dataset, StreamError> + Send + Sync>;

/// Whether a file is wanted.
pub type FileFilter = Box<dyn Fn(&Path) -> bool + Send + Sync>;

/// Which files a directory stream takes.
pub struct FileSelection {
    /// Directory, or a pattern of directories.
    pub directory: String,
    /// Only files that appear after the start; otherwise also what is there and not older than the span that is remembered.
    pub new_files_only: bool,
    /// Whether a path is wanted. `None`: all whose name does not begin with a dot.
    pub filter: Option<FileFilter>,
}

impl FileSelection {
    /// New files of a directory whose names do not begin with a dot.
    pub fn new(directory: impl Into<String>) -> Self {
        FileSelection { directory: directory.into(), new_files_only: true, filter: None }
    }
}

pub(crate) struct FileStream<B: Datasets> {
    selection: FileSelection,
    read: FilesFn<B>,
    remember: Span,
    state: Mutex<Taken>,
}

struct Taken {
    /// Files that are not newer than this are never taken.
    ignore_until: Time,
    by_batch: BTreeMap<Time, Vec<PathBuf>>,
    recent: HashSet<PathBuf>,
}

impl<B: Datasets> FileStream<B> {
    /// `remember_least`: `spark.streaming.fileStream.minRememberDuration`.
    pub fn new(selection: FileSelection, read: FilesFn<B>, interval: Span, remember_least: Span, now: Time) -> Self {
        // A file of this very millisecond may be new: a program can be quick enough to start and to write it within one.
        let ignore_until = if selection.new_files_only { now - Span::from_ms(1) } else { Time::from_ms(0) };
        let state = Taken { ignore_until, by_batch: BTreeMap::new(), recent: HashSet::new() };
        FileStream { selection, read, remember: interval.at_least(remember_least), state: Mutex::new(state) }
    }

    fn find(&self, batch: Time) -> Vec<PathBuf> {
        let state = self.state.lock();
        let ignore_until = state.ignore_until.max(batch - self.remember);
        let mut found = Vec::new();
        for directory in self.directories() {
            // A directory may vanish or be closed to us for a while: the next batch looks again.
            let entries = match std::fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) => {
                    tracing::warn!(%error, directory = %directory.display(), "cannot look for new files");
                    continue;
                }
            };
            let files = entries.flatten().filter(|entry| self.wanted(entry, batch, ignore_until));
            found.extend(files.map(|entry| entry.path()).filter(|path| !state.recent.contains(path)));
        }
        found.sort();
        found
    }

    fn directories(&self) -> Vec<PathBuf> {
        let path = self.selection.directory.strip_prefix("file://").unwrap_or(&self.selection.directory);
        let path = path.strip_prefix("file:").unwrap_or(path);
        let is_pattern = path.contains(['*', '?', '[', '{']);
        let directories = if is_pattern {
            glob::glob(path).map(|paths| paths.flatten().collect()).unwrap_or_default()
        } else {
            vec![PathBuf::from(path)]
        };
        directories.into_iter().filter(|path| path.is_dir()).collect()
    }

    fn wanted(&self, entry: &std::fs::DirEntry, batch: Time, ignore_until: Time) -> bool {
        let path = entry.path();
        let by_name = match &self.selection.filter {
            Some(filter) => filter(&path),
            None => !entry.file_name().to_string_lossy().starts_with('.'),
        };
        if !by_name {
            return false;
        }
        // Follows links, as a reader would.
        let Ok(metadata) = std::fs::metadata(&path) else { return false };
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified = Time::from_ms(modified.map_or(0, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX)));
        modified > ignore_until && modified <= batch
    }

    fn dataset_of(&self, datasets: &B, taken: &[PathBuf]) -> Result<B::Dataset, StreamError> {
        let files: Vec<PathBuf> = taken.iter().flat_map(|path| files_of(path)).collect();
        (self.read)(datasets, &files)
    }
}

/// A file itself, or the files of a directory, in order.
fn files_of(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_path_buf()];
    }
    // One that cannot be read now is left to the reader, whose error says why.
    let Ok(entries) = std::fs::read_dir(path) else { return vec![path.to_path_buf()] };
    let visible = entries.flatten().filter(|entry| !entry.file_name().to_string_lossy().starts_with(['.', '_']));
    let mut files: Vec<PathBuf> = visible.map(|entry| entry.path()).collect();
    files.sort();
    files
}

impl<B: Datasets> Operator<B> for FileStream<B> {
    fn class_name(&self) -> &'static str {
        "FileInputDStream"
    }

    fn compute(&self, at: &At<'_, B>) -> Result<Option<B::Dataset>, StreamError> {
        let files = self.find(at.time());
        {
            let mut state = self.state.lock();
            state.recent.extend(files.iter().cloned());
            state.by_batch.insert(at.time(), files.clone());
        }
        let names: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
        at.report_input(0, (!names.is_empty()).then(|| names.join("\n")));
        self.dataset_of(at.datasets(), &files).map(Some)
    }

    fn remember_least(&self) -> Option<Span> {
        Some(self.remember)
    }

    fn forget_until(&self, time: Time, _unfinished: &[Time]) {
        let mut state = self.state.lock();
        let kept = state.by_batch.split_off(&(time + Span::from_ms(1)));
        let old = std::mem::replace(&mut state.by_batch, kept);
        for path in old.into_values().flatten() {
            state.recent.remove(&path);
        }
    }

    fn progress(&self) -> Option<SourceProgress> {
        let state = self.state.lock();
        let batches = state.by_batch.iter().map(|(time, files)| (*time, files.clone())).collect();
        Some(SourceProgress::Files(FileProgress { since: state.ignore_until, batches }))
    }

    fn restore(&self, datasets: &B, progress: SourceProgress) -> Result<Vec<(Time, B::Dataset)>, StreamError> {
        let SourceProgress::Files(progress) = progress else { return Ok(Vec::new()) };
        let mut state = self.state.lock();
        state.ignore_until = progress.since;
        let mut restored = Vec::new();
        for (time, files) in progress.batches {
            restored.push((time, self.dataset_of(datasets, &files)?));
            state.recent.extend(files.iter().cloned());
            state.by_batch.insert(time, files);
        }
        Ok(restored)
    }
}
