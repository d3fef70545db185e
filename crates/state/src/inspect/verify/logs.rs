//! The logs: who owns the checkpoint, what its batches read, which are done, what its sources have seen.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use millstream_formats::filelog::{self, FileLogOptions, LogEntry, SinkFile, SourceFile};
use millstream_formats::files::{self, names};
use millstream_formats::log::{CommitLog, CommitRecord, OffsetLog, OffsetRecord, check_state_settings, read_query_id};
use millstream_formats::url;

use super::{Finding, Verification};

const PARTITIONS: &str = "spark.sql.shuffle.partitions";

/// Where a restart would begin.
#[derive(Debug, Default)]
pub(super) struct Position {
    /// The version of state it loads.
    pub version: u64,
    /// Why state cannot be read at all, if there is any.
    pub unreadable_state: Option<Finding>,
}

/// Checks all logs of a checkpoint.
pub(super) fn check(checkpoint: &Path, report: &mut Verification) -> Position {
    report.file(read_query_id(checkpoint));
    let offsets = read_offsets(&checkpoint.join("offsets"), report);
    let commits = read_commits(&checkpoint.join("commits"), report);
    check_order(&offsets, &checkpoint.join("offsets"), report);
    let position = check_position(checkpoint, &offsets, &commits, report);
    check_sources(&checkpoint.join("sources"), offsets.last_key_value().map(|(_, record)| record), report);
    position
}

/// The offsets that can be read; one of none for those that cannot.
fn read_offsets(dir: &Path, report: &mut Verification) -> BTreeMap<i64, OffsetRecord> {
    let Some(log) = report.check(dir, OffsetLog::open(dir.to_path_buf(), false)) else { return BTreeMap::new() };
    check_gaps(&log.ids(), &|id| dir.join(id.to_string()), report);
    let read = |id: i64| (id, report.file(OffsetRecord::read(&dir.join(id.to_string()))).unwrap_or_default());
    log.ids().into_iter().map(read).collect()
}

fn read_commits(dir: &Path, report: &mut Verification) -> BTreeMap<i64, CommitRecord> {
    let Some(log) = report.check(dir, CommitLog::open(dir.to_path_buf(), false)) else { return BTreeMap::new() };
    check_gaps(&log.ids(), &|id| dir.join(id.to_string()), report);
    let read = |id: i64| (id, report.file(CommitRecord::read(&dir.join(id.to_string()))).unwrap_or_default());
    log.ids().into_iter().map(read).collect()
}

fn check_gaps(ids: &[i64], path: &dyn Fn(i64) -> PathBuf, report: &mut Verification) {
    for pair in ids.windows(2) {
        if let [before, after] = pair
            && after - before > 1
        {
            report.find(&path(before + 1), "it is missing between older and newer ones");
        }
    }
}

/// Watermarks, times and offsets of file sources never go back, and the number of sources stays.
fn check_order(offsets: &BTreeMap<i64, OffsetRecord>, dir: &Path, report: &mut Verification) {
    let known: Vec<(&i64, &OffsetRecord)> = offsets.iter().filter(|(_, r)| **r != OffsetRecord::default()).collect();
    for pair in known.windows(2) {
        let [(_, before), (id, record)] = pair else { continue };
        let path = dir.join(id.to_string());
        if record.batch_watermark_ms < before.batch_watermark_ms {
            report.find(&path, "its watermark is older than that of the batch before");
        }
        if record.offsets.len() != before.offsets.len() {
            let (found, expected) = (record.offsets.len(), before.offsets.len());
            report.find(&path, format!("it is of {found} sources where the batch before has {expected}"));
        }
        let goes_back = |(new, old): (&Option<String>, &Option<String>)| {
            let [new, old] = [new, old].map(|offset| offset.as_deref().and_then(log_offset));
            new.zip(old).is_some_and(|(new, old)| new < old)
        };
        if record.offsets.iter().zip(&before.offsets).any(goes_back) {
            report.find(&path, "a source has gone back behind the batch before");
        }
    }
}

/// The newest entry of a file source's log that `{"logOffset":3}` names.
fn log_offset(offset: &str) -> Option<i64> {
    offset.strip_prefix("{\"logOffset\":")?.strip_suffix('}')?.trim().parse().ok()
}

fn check_position(
    checkpoint: &Path,
    offsets: &BTreeMap<i64, OffsetRecord>,
    commits: &BTreeMap<i64, CommitRecord>,
    report: &mut Verification,
) -> Position {
    let (offsets_dir, commits_dir) = (checkpoint.join("offsets"), checkpoint.join("commits"));
    let committed = commits.last_key_value().map(|(id, _)| *id);
    let Some((latest, record)) = offsets.last_key_value() else {
        if committed.is_some() {
            report.find(&offsets_dir, "there are commits but no offsets");
        }
        return Position::default();
    };
    if *latest > 0 && !offsets.contains_key(&(latest - 1)) {
        report.find(&offsets_dir.join((latest - 1).to_string()), format!("batch {} doesn't exist", latest - 1));
    }
    match committed {
        Some(commit) if commit > *latest => {
            report.find(&commits_dir.join(commit.to_string()), "the batch is committed but has no offsets");
        }
        Some(commit) if commit < latest - 1 => {
            let problem = format!("only batch {latest} is repeated although {} too is not committed", latest - 1);
            report.warn(&commits_dir, problem);
        }
        _ => {}
    }
    let path = offsets_dir.join(latest.to_string());
    if !record.conf.contains_key(PARTITIONS) {
        report.warn(&path, format!("{PARTITIONS} is not recorded"));
    }
    let problem = check_state_settings(&record.conf).err();
    let next = if committed == Some(*latest) { latest + 1 } else { *latest };
    Position {
        version: u64::try_from(next).unwrap_or(0),
        unreadable_state: problem.map(|error| Finding { path, problem: error.to_string(), fatal: true }),
    }
}

fn check_sources(dir: &Path, latest: Option<&OffsetRecord>, report: &mut Verification) {
    let mut sources: Vec<usize> = names(dir).unwrap_or_default().iter().filter_map(|name| name.parse().ok()).collect();
    sources.sort_unstable();
    let offsets: Vec<Option<i64>> = latest
        .map(|record| record.offsets.iter().map(|offset| offset.as_deref().and_then(log_offset)).collect())
        .unwrap_or_default();
    for source in &sources {
        let dir = dir.join(source.to_string());
        // The lines of the offsets are by occurrence in the plan; only where each has a log of its own do they go together.
        let reached = (offsets.len() == sources.len()).then(|| offsets.get(*source).copied().flatten()).flatten();
        let is_file_log = reached.is_some() || filelog::ids(&dir).unwrap_or_default().values().any(|compact| *compact);
        if is_file_log {
            let newest = check_file_log::<SourceFile>(&dir, report);
            if let Some(reached) = reached.filter(|reached| newest.is_none_or(|newest| newest < *reached)) {
                let problem = "it is missing although a batch has read up to it";
                report.find(&dir.join(reached.to_string()), problem);
            }
        } else {
            for name in names(&dir).unwrap_or_default().iter().filter(|name| !name.starts_with('.')) {
                report.file(files::read(&dir.join(name)).and_then(|content| not_empty(&dir.join(name), &content)));
            }
        }
    }
}

fn not_empty(path: &Path, content: &[u8]) -> Result<(), files::FileError> {
    let (path, reason) = (path.to_path_buf(), "it is empty".to_string());
    if content.is_empty() { Err(files::FileError::Damaged { path, reason }) } else { Ok(()) }
}

/// Reads every file of a log; the newest id.
fn check_file_log<E: LogEntry>(dir: &Path, report: &mut Verification) -> Option<i64> {
    let entries = filelog::ids(dir).unwrap_or_default();
    for (id, compact) in &entries {
        let path = dir.join(filelog::file_name(*id, *compact));
        let read = files::read_text(&path).and_then(|text| filelog::parse::<E>(&path, &text));
        if let Some(of) = report.file(read)
            && !*compact
            && let Some(other) = of.iter().find_map(|entry| entry.id().filter(|of| of != id))
        {
            report.find(&path, format!("it holds the entries of {other}"));
        }
    }
    let newest_compact = entries.iter().rev().find(|(_, compact)| **compact).map(|(id, _)| *id);
    let needed: Vec<i64> = entries.keys().copied().filter(|id| newest_compact.is_none_or(|from| *id >= from)).collect();
    let interval = filelog::interval(FileLogOptions::default().compact_interval, &entries);
    let file = |id: i64| dir.join(filelog::file_name(id, (id + 1) % interval == 0));
    check_gaps(&needed, &file, report);
    if newest_compact.is_none()
        && let Some(first) = needed.first().filter(|first| **first > 0)
    {
        report.find(&file(first - 1), "it is missing: the log does not reach back to its beginning");
    }
    entries.last_key_value().map(|(id, _)| *id)
}

/// Reads the log of the file sink of a query, in `_spark_metadata` of its directory, and looks for the files it names.
pub fn verify_sink(checkpoint: &Path, directory: &Path) -> Verification {
    let mut report = Verification::default();
    let dir = directory.join("_spark_metadata");
    if !dir.is_dir() {
        report.find(&dir, "it does not exist");
        return report;
    }
    super::side_files::check(&dir, &mut report);
    let newest = check_file_log::<SinkFile>(&dir, &mut report);
    let committed =
        names(&checkpoint.join("commits")).unwrap_or_default().iter().filter_map(|id| id.parse().ok()).max();
    if let Some(committed) = committed.filter(|committed| newest.is_none_or(|newest| newest < *committed)) {
        report.find(&dir.join(committed.to_string()), "it is missing although the batch is committed");
    }
    for (id, compact) in filelog::ids(&dir).unwrap_or_default() {
        let path = dir.join(filelog::file_name(id, compact));
        let read = files::read_text(&path).and_then(|text| filelog::parse::<SinkFile>(&path, &text));
        for file in read.unwrap_or_default().into_iter().filter(|file| !file.is_deletion()) {
            let Some(data) = url::local_path(&file.path) else { continue };
            match std::fs::metadata(&data) {
                Ok(found) if found.len() != file.size.unsigned_abs() => {
                    let problem = format!("it has {} bytes where the log says {}", found.len(), file.size);
                    report.find(&data, problem);
                }
                Ok(_) => report.files += 1,
                Err(_) => report.find(&data, "the log names it, but it does not exist"),
            }
        }
    }
    report
}
