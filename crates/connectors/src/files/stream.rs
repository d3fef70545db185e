//! Files as a stream: each file once, in the order of their modification times.
//!
//! # Offsets
//! `{"logOffset":n}`: number of the newest entry of the source's own log `sources/<i>/`, which says which files belong to which
//! entry. An entry is written before the offset log of the query; after a crash between the two, the next batch reads up to it.
//! A range is read again from the log, so it has the same files.
//!
//! # Failures
//! A file that has gone between its listing and its batch is passed over with a warning, as Spark does; one that goes while the
//! batch runs fails it unless missing files are ignored. Not here: rows of files (`read`), which files there are (`listing`).

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::filelog::{SourceFile, SourceFileLog};
use parking_lot::Mutex;
use serde::Deserialize;

use super::clean;
use super::listing::{self, DataFile};
use super::read::ReadPlan;
use super::settings;
use super::stream_options::{Limit, StreamOptions};
use super::url::{display, path_of_url, user_path};
use crate::errors::{bad_offset, illegal_argument};
use crate::source::{Conf, Offset, Rows, Source};

/// A running file stream.
pub(crate) struct FileStream {
    /// As the user gave it, absolute.
    path: PathBuf,
    given: String,
    options: StreamOptions,
    plan: Arc<ReadPlan>,
    state: Mutex<State>,
}

struct State {
    log: SourceFileLog,
    /// Newest entry of the log, −1 if there is none.
    latest: i64,
    seen: SeenFiles,
    /// Files of an earlier listing whose turn has not come.
    unread: VecDeque<DataFile>,
    /// All files there will be, if the end is fixed.
    fixed: Option<Vec<DataFile>>,
    /// Entries of the log by number, as far as they may be read.
    recent: HashMap<i64, Vec<SourceFile>>,
}

/// Which files have been taken, as far back as their age allows.
#[derive(Debug)]
struct SeenFiles {
    names: HashMap<String, i64>,
    file_name_only: bool,
    age_max_ms: i64,
    newest_ms: i64,
    oldest_ms: i64,
}

impl SeenFiles {
    fn new(options: &StreamOptions) -> Self {
        let (file_name_only, age_max_ms) = (options.file_name_only, options.age_max_ms);
        Self { names: HashMap::new(), file_name_only, age_max_ms, newest_ms: 0, oldest_ms: 0 }
    }

    fn key(&self, url: &str) -> String {
        match self.file_name_only {
            true => url.rsplit('/').next().unwrap_or(url).to_string(),
            false => url.to_string(),
        }
    }

    fn add(&mut self, url: &str, modified_ms: i64) {
        self.names.insert(self.key(url), modified_ms);
        self.newest_ms = self.newest_ms.max(modified_ms);
    }

    fn is_new(&self, url: &str, modified_ms: i64) -> bool {
        modified_ms >= self.oldest_ms && !self.names.contains_key(&self.key(url))
    }

    /// Forgets files that are too old to be looked at again.
    fn purge(&mut self) {
        let oldest = self.newest_ms.saturating_sub(self.age_max_ms);
        // Only a border that moved can have let something go.
        if oldest > self.oldest_ms {
            self.oldest_ms = oldest;
            self.names.retain(|_, modified| *modified >= oldest);
        }
    }
}

impl FileStream {
    /// Opens the stream of a path with its log.
    ///
    /// # Errors
    /// A damaged log.
    pub fn open(
        given: &str,
        options: StreamOptions,
        plan: ReadPlan,
        metadata_dir: PathBuf,
        conf: &Conf,
    ) -> Result<Self, SparkError> {
        let log = SourceFileLog::open(metadata_dir, settings::file_log(conf, "fileSource"))?;
        let mut seen = SeenFiles::new(&options);
        for entry in log.all()? {
            seen.add(&entry.path, entry.modified_ms);
        }
        seen.purge();
        let latest = log.latest().unwrap_or(-1);
        let state = State { log, latest, seen, unread: VecDeque::new(), fixed: None, recent: HashMap::new() };
        let path = user_path(given);
        Ok(Self { path, given: given.to_string(), options, plan: Arc::new(plan), state: Mutex::new(state) })
    }

    /// All files there are, in the order in which they are read.
    fn list(&self) -> Result<Vec<DataFile>, SparkError> {
        let mut files = Vec::new();
        for root in listing::expand(&self.given)? {
            files.extend(listing::list_root(&root, &self.options.filters)?);
        }
        // The sort is stable: files of one time keep the order of their names.
        files.sort_by_key(|file| file.modified_ms);
        if self.options.latest_first {
            files.reverse();
        }
        Ok(files)
    }

    /// Takes the files of the next batch and writes them into the log.
    fn advance(&self, state: &mut State, limit: Limit) -> Result<(), SparkError> {
        let mut new: VecDeque<DataFile> = std::mem::take(&mut state.unread);
        if new.is_empty() {
            let all = match &state.fixed {
                Some(files) => files.clone(),
                None => self.list()?,
            };
            new = all.into_iter().filter(|f| state.seen.is_new(&f.url(), f.modified_ms)).collect();
        }
        let count = take_count(&new, limit);
        let rest = new.split_off(count);
        let wanted = match limit {
            Limit::Files(files) => (files as f64 * self.options.discard_ratio) as usize,
            _ => 0,
        };
        let keep = limit != Limit::None && !self.options.latest_first && !rest.is_empty() && rest.len() >= wanted;
        if keep {
            state.unread = rest.into_iter().take(self.options.cached_files_max).collect();
        }
        if new.is_empty() {
            return Ok(());
        }
        let id = state.latest + 1;
        let entry = |file: &DataFile| SourceFile { path: file.url(), modified_ms: file.modified_ms, batch_id: id };
        let entries: Vec<SourceFile> = new.iter().map(entry).collect();
        state.log.add(id, &entries)?;
        for entry in &entries {
            state.seen.add(&entry.path, entry.modified_ms);
        }
        state.seen.purge();
        state.latest = id;
        state.recent.insert(id, entries);
        Ok(())
    }

    /// Files of the log's entries after `start` up to `end`.
    fn entries(&self, start: i64, end: i64) -> Result<Vec<SourceFile>, SparkError> {
        let state = self.state.lock();
        let mut found = Vec::new();
        for id in start + 1..=end {
            match state.recent.get(&id) {
                Some(entries) => found.extend(entries.iter().cloned()),
                None => found.extend(state.log.get(id)?),
            }
        }
        Ok(found)
    }

    fn base(&self, path: &Path) -> PathBuf {
        match listing::is_glob(&self.given) {
            true => path.parent().map(Path::to_path_buf).unwrap_or_default(),
            false => self.options.filters.base.clone().unwrap_or_else(|| self.path.clone()),
        }
    }
}

/// How many of the files the next batch takes.
fn take_count(files: &VecDeque<DataFile>, limit: Limit) -> usize {
    match limit {
        Limit::None => files.len(),
        Limit::Files(most) => most.min(files.len()),
        Limit::Bytes(most) => {
            let mut total = 0u64;
            let fits = |file: &&DataFile| {
                let first = total == 0;
                total = total.saturating_add(file.size);
                first || total <= most
            };
            files.iter().take_while(fits).count().max(1).min(files.len())
        }
    }
}

fn parse(offset: &Offset) -> Result<i64, SparkError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct FileOffset {
        log_offset: i64,
    }
    let parsed = serde_json::from_str::<FileOffset>(offset).map(|o| o.log_offset);
    // Very old checkpoints have a bare number.
    parsed.or_else(|_| offset.trim().parse()).map_err(|_| bad_offset("file", offset))
}

impl Source for FileStream {
    fn schema(&self) -> SchemaRef {
        self.plan.schema()
    }

    fn description(&self) -> String {
        format!("FileStreamSource[{}]", display(&self.path))
    }

    fn latest_offset(&self, start: Option<&Offset>, unlimited: bool) -> Result<Option<Offset>, SparkError> {
        let mut state = self.state.lock();
        // What a batch has read is in the log; an entry that has gone would be given to other files.
        if let Some(start) = start.map(parse).transpose()?.filter(|start| *start > state.latest) {
            return Err(state.log.missing(start));
        }
        self.advance(&mut state, if unlimited { Limit::None } else { self.options.limit })?;
        Ok((state.latest >= 0).then(|| format!("{{\"logOffset\":{}}}", state.latest)))
    }

    fn read(&self, start: Option<&Offset>, end: &Offset, partitions: usize) -> Result<Vec<Rows>, SparkError> {
        let start = start.map_or(Ok(-1), parse)?;
        let entries = self.entries(start, parse(end)?)?;
        if !listing::is_glob(&self.given) && self.path.is_file() {
            return Err(illegal_argument("Option 'basePath' must be a directory"));
        }
        let mut files = Vec::with_capacity(entries.len());
        for entry in entries {
            let path = path_of_url(&entry.path);
            match std::fs::metadata(&path) {
                Ok(metadata) => {
                    let base = self.base(&path);
                    files.push(DataFile {
                        path,
                        size: metadata.len(),
                        modified_ms: entry.modified_ms,
                        base,
                        part: None,
                    });
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    tracing::warn!("The file {} has gone since it was listed; it is passed over", entry.path);
                }
                Err(error) => {
                    return Err(SparkError::plain(
                        ExceptionClass::Runtime,
                        format!("Cannot read {}: {error}", entry.path),
                    ));
                }
            }
        }
        Ok(self.plan.rows(files, partitions))
    }

    fn commit(&self, end: &Offset) -> Result<(), SparkError> {
        let end = parse(end)?;
        let done = self.entries(end - 1, end)?;
        clean::clean(&self.options.clean, &self.path, &done);
        self.state.lock().recent.retain(|id, _| *id >= end);
        Ok(())
    }

    fn fix_end(&self) -> Result<(), SparkError> {
        let files = self.list()?;
        self.state.lock().fixed = Some(files);
        Ok(())
    }

    fn stop(&self) {}
}
