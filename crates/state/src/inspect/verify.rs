//! Would Spark go on from this checkpoint?
//!
//! Everything a restart reads is read, and more: every row is decoded and encoded again, since keys whose bytes are not exactly
//! Spark's are the one fault that Spark itself does not notice.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use millstream_formats::condition::SparkError;
use millstream_formats::filelog::{FileLogOptions, SourceFileLog};
use millstream_formats::files::{self, names};
use millstream_formats::log::{CommitLog, OffsetLog, check_state_settings};
use millstream_formats::row::{RowBuffer, RowDecoder, RowEncoder};
use millstream_formats::statefile::StateFileKind;

use super::operators::{OperatorState, StoreState, operators};

const PARTITIONS: &str = "spark.sql.shuffle.partitions";
/// Something wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file or directory.
    pub path: PathBuf,
    /// What is wrong with it, a sentence without its full stop.
    pub problem: String,
    /// Whether Spark would refuse to start or give wrong results; otherwise only what it tolerates.
    pub fatal: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.fatal { "error" } else { "warning" };
        write!(f, "{kind}: {}: {}", self.path.display(), self.problem)
    }
}

/// What was read and what is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// Files read.
    pub files: u64,
    /// Rows of state at the version after the newest commit.
    pub rows: u64,
    /// In the order they were found.
    pub findings: Vec<Finding>,
}

impl Verification {
    /// Whether Spark goes on from this checkpoint with the right results.
    pub fn is_good(&self) -> bool {
        !self.findings.iter().any(|finding| finding.fatal)
    }

    fn find(&mut self, path: &Path, problem: impl ToString) {
        self.findings.push(Finding { path: path.to_path_buf(), problem: problem.to_string(), fatal: true });
    }

    fn warn(&mut self, path: &Path, problem: impl ToString) {
        self.findings.push(Finding { path: path.to_path_buf(), problem: problem.to_string(), fatal: false });
    }

    /// The value, or a finding.
    fn check<T>(&mut self, path: &Path, read: Result<T, SparkError>) -> Option<T> {
        read.map_err(|error| self.find(path, error)).ok()
    }
}

/// Reads a whole checkpoint. Faults are findings, not errors.
pub fn verify(checkpoint: &Path) -> Verification {
    let mut report = Verification::default();
    check_metadata(checkpoint, &mut report);
    let version = check_logs(checkpoint, &mut report);
    check_sources(&checkpoint.join("sources"), &mut report);
    check_side_files(checkpoint, &mut report);
    let state = checkpoint.join("state");
    for operator in report.check(&state, operators(checkpoint)).unwrap_or_default() {
        check_operator(checkpoint, &operator, version, &mut report);
    }
    report
}

fn check_metadata(checkpoint: &Path, report: &mut Verification) {
    let path = checkpoint.join("metadata");
    let Some(text) = report.check(&path, files::read_text(&path).map_err(SparkError::from)) else { return };
    report.files += 1;
    let parts = text.trim().strip_prefix("{\"id\":\"").and_then(|rest| rest.strip_suffix("\"}"));
    let hex = |part: &str, length| part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit());
    let is_uuid = |id: &str| {
        let parts: Vec<&str> = id.split('-').collect();
        parts.len() == 5 && parts.iter().zip([8, 4, 4, 4, 12]).all(|(part, length)| hex(part, length))
    };
    if !parts.is_some_and(is_uuid) {
        report.find(&path, "it does not hold the id of a query");
    }
}

/// Checks offsets and commits and returns the version of state at which a restart begins.
fn check_logs(checkpoint: &Path, report: &mut Verification) -> u64 {
    let (offsets_dir, commits_dir) = (checkpoint.join("offsets"), checkpoint.join("commits"));
    let offsets = report.check(&offsets_dir, OffsetLog::open(offsets_dir.clone(), false));
    let commits = report.check(&commits_dir, CommitLog::open(commits_dir.clone(), false));
    let (Some(offsets), Some(commits)) = (offsets, commits) else { return 0 };
    let (offset_ids, commit_ids) = (offsets.ids(), commits.ids());
    for id in &offset_ids {
        report.files += u64::from(report.check(&offsets_dir.join(id.to_string()), offsets.get(*id)).is_some());
    }
    for id in &commit_ids {
        report.files += u64::from(report.check(&commits_dir.join(id.to_string()), commits.get(*id)).is_some());
    }
    let committed = commit_ids.last().map_or(0, |id| u64::try_from(id + 1).unwrap_or(0));
    let Some(latest) = offset_ids.last().copied() else {
        if committed > 0 {
            report.find(&offsets_dir, "there are commits but no offsets");
        }
        return committed;
    };
    if latest > 0 && !offset_ids.contains(&(latest - 1)) {
        report.find(&offsets_dir, format!("batch {} doesn't exist", latest - 1));
    }
    match commit_ids.last() {
        Some(commit) if *commit > latest => report.find(&commits_dir, "a batch is committed that has no offsets"),
        Some(commit) if *commit < latest - 1 => {
            report.warn(
                &commits_dir,
                format!("only batch {latest} is repeated although {} too is not committed", latest - 1),
            );
        }
        _ => {}
    }
    check_settings(&offsets, latest, &offsets_dir, report);
    committed
}

fn check_settings(offsets: &OffsetLog, latest: i64, dir: &Path, report: &mut Verification) {
    let Ok(record) = offsets.get(latest) else { return };
    let path = dir.join(latest.to_string());
    // A stateless query needs none of them.
    if checkpoint_has_state(dir) {
        report.check(&path, check_state_settings(&record.conf));
    }
    if !record.conf.contains_key(PARTITIONS) {
        report.warn(&path, format!("{PARTITIONS} is not recorded"));
    }
}

fn checkpoint_has_state(offsets: &Path) -> bool {
    offsets.parent().is_some_and(|checkpoint| checkpoint.join("state").is_dir())
}

fn check_sources(dir: &Path, report: &mut Verification) {
    let sources = names(dir).unwrap_or_default();
    for source in sources.iter().filter(|name| name.bytes().all(|b| b.is_ascii_digit())) {
        let dir = dir.join(source);
        let entries = names(&dir).unwrap_or_default();
        let is_file_log = entries.iter().any(|name| name.ends_with(".compact"))
            || files::read_text(&dir.join("0")).is_ok_and(|text| text.contains("\n{\"path\":"));
        if is_file_log {
            let log = SourceFileLog::open_source(dir.clone(), FileLogOptions::default()).and_then(|log| log.all());
            report.check(&dir, log);
            report.files += entries.len() as u64;
        }
    }
}

/// A side file without its file stops Spark when it wants to write that file.
fn check_side_files(checkpoint: &Path, report: &mut Verification) {
    let mut dirs = vec![checkpoint.join("offsets"), checkpoint.join("commits")];
    let sources = checkpoint.join("sources");
    dirs.extend(names(&sources).unwrap_or_default().iter().map(|name| sources.join(name)));
    for dir in dirs {
        let all: BTreeSet<String> = names(&dir).unwrap_or_default().into_iter().collect();
        for name in &all {
            let file = name.strip_prefix('.').and_then(|name| name.strip_suffix(".crc"));
            if file.is_some_and(|file| !file.ends_with(".tmp") && !all.contains(file)) {
                report.find(&dir.join(name), "its file is gone; Spark refuses to write that file again");
            }
        }
    }
}

fn check_operator(checkpoint: &Path, operator: &OperatorState, version: u64, report: &mut Verification) {
    let dir = checkpoint.join("state").join(operator.id.to_string());
    let Some(metadata) = &operator.metadata else {
        report.warn(&dir, "the metadata of the operator is missing");
        return check_stores(operator, version, report);
    };
    report.files += 1;
    let known: BTreeSet<&str> = operator.stores.iter().map(|store| store.name.as_str()).collect();
    for info in &metadata.state_store_info {
        if !known.contains(info.store_name.as_str()) {
            report.warn(
                &dir,
                format!("the schema of the store {} is missing, so its rows are not checked", info.store_name),
            );
        }
        let (expected, found) = (info.num_partitions, operator.partitions.len() as u64);
        let single = operator.partitions == [0];
        if expected != found && !single {
            report.find(&dir, format!("there are {found} partitions where {PARTITIONS} was {expected}"));
        }
    }
    check_stores(operator, version, report);
}

fn check_stores(operator: &OperatorState, version: u64, report: &mut Verification) {
    for store in &operator.stores {
        report.files += 1;
        for partition in &operator.partitions {
            check_partition(store, *partition, version, report);
        }
    }
}

fn check_partition(store: &StoreState, partition: usize, version: u64, report: &mut Verification) {
    let dir = store.location(partition).dir().to_path_buf();
    let Some(found) = report.check(&dir, store.files(partition)) else { return };
    for (of, kind) in &found {
        report.files += u64::from(report.check(&dir, store.file_entries(partition, *of, *kind)).is_some());
    }
    if let Some((stale, _)) = found.iter().find(|(of, kind)| *of > version && *kind == StateFileKind::Snapshot) {
        let path = dir.join(format!("{stale}.snapshot"));
        report.find(&path, "it is of a version that is not committed; Spark would take it for the state");
    }
    let Some(loaded) = report.check(&dir, store.load(partition, version)) else { return };
    report.rows += loaded.len() as u64;
    let (keys, values): (Vec<&[u8]>, Vec<&[u8]>) = loaded.iter().unzip();
    if let Some(placement) = report.check(&dir, store.placement(&keys)) {
        let misplaced = placement.iter().filter(|id| **id as usize != partition).count();
        if misplaced > 0 {
            report.find(&dir, format!("{misplaced} keys belong in another partition, where Spark looks for them"));
        }
    }
    let types = |fields: &arrow::datatypes::Fields| fields.iter().map(|f| f.data_type().clone()).collect::<Vec<_>>();
    for (what, types, rows) in [("keys", types(&store.key), keys), ("values", types(&store.value), values)] {
        if let Some(different) = report.check(&dir, count_non_canonical(&types, &rows, what == "keys"))
            && different > 0
        {
            report.find(&dir, format!("{different} {what} are not encoded as Spark encodes them"));
        }
    }
}

/// How many rows are not, byte for byte, what encoding their values gives.
fn count_non_canonical(types: &[arrow::datatypes::DataType], rows: &[&[u8]], keys: bool) -> Result<usize, SparkError> {
    if types.is_empty() {
        return Ok(rows.iter().filter(|row| !row.is_empty()).count());
    }
    let columns = RowDecoder::new(types).decode(rows.iter().copied())?;
    let encoder = if keys { RowEncoder::for_keys(types)? } else { RowEncoder::for_values(types)? };
    let mut encoded = RowBuffer::new();
    encoder.encode(&columns, 0..rows.len(), &mut encoded)?;
    Ok(encoded.iter().zip(rows).filter(|(ours, theirs)| ours != *theirs).count())
}
