//! Options of the source `statestore`, taken apart and checked in Spark's order.

use std::fmt;
use std::path::PathBuf;

use millstream_connectors::options::Options;
use millstream_connectors::source::SourceSpec;
use millstream_formats::condition::SparkError;
use millstream_formats::log::CommitLog;
use millstream_formats::statefile::DEFAULT_STORE;
use millstream_formats::url::file_url;

use super::errors;

/// Which side of a join is read as rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JoinSide {
    None,
    Left,
    Right,
}

/// State is built from the snapshot of one batch on, in one partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct FromSnapshot {
    pub start: i64,
    pub partition: usize,
}

/// What was asked for.
#[derive(Debug, Clone)]
pub(super) struct StateOptions {
    pub checkpoint: PathBuf,
    /// The checkpoint as a URL.
    pub location: String,
    /// State after this batch is read.
    pub batch: i64,
    pub operator: usize,
    pub store: String,
    pub join_side: JoinSide,
    pub snapshot: Option<FromSnapshot>,
    /// Changes of these batches are read, not state.
    pub changes: Option<(i64, i64)>,
    /// A variable of `transformWithState` is asked for.
    pub state_variable: bool,
    /// Its timers are.
    pub timers: bool,
    variable: Option<String>,
    flatten: bool,
}

/// The checkpoint that a reader names.
pub(super) fn checkpoint_path(spec: &SourceSpec) -> Result<PathBuf, SparkError> {
    let given = match spec.paths.as_slice() {
        [] => spec.options.get("path"),
        [path] => Some(path.as_str()),
        _ => None,
    };
    let path = crate::stream::local_path(given.ok_or_else(|| errors::required("path"))?)?;
    Ok(std::path::absolute(&path).unwrap_or(path))
}

impl StateOptions {
    pub(super) fn parse(spec: &SourceSpec) -> Result<Self, SparkError> {
        let options = &spec.options;
        let checkpoint = checkpoint_path(spec)?;
        let location = file_url(&checkpoint);
        let operator = options.int("operatorId", 0)?;
        let operator = usize::try_from(operator).map_err(|_| errors::negative("operatorId"))?;
        let store = options.get("storeName").map_or(DEFAULT_STORE, str::trim).to_string();
        if store.is_empty() {
            return Err(errors::empty("storeName"));
        }
        let variable = options.get("stateVarName").map(|name| name.trim().to_string());
        let timers = boolean(options, "readRegisteredTimers", false)?;
        let flatten = boolean(options, "flattenCollectionTypes", true)?;
        if variable.is_some() && timers {
            return Err(errors::conflict(&["stateVarName", "readRegisteredTimers"]));
        }
        let join_side = match options.get("joinSide") {
            None | Some("none") => JoinSide::None,
            Some("left") => JoinSide::Left,
            Some("right") => JoinSide::Right,
            Some(_) => return Err(errors::invalid("joinSide", "Valid values are left,right,none")),
        };
        if join_side != JoinSide::None && store != DEFAULT_STORE {
            return Err(errors::conflict(&["joinSide", "storeName"]));
        }
        let mut parsed = Self {
            checkpoint,
            location,
            batch: 0,
            operator,
            store,
            join_side,
            snapshot: None,
            changes: None,
            state_variable: variable.is_some(),
            timers,
            variable,
            flatten,
        };
        match options.format_bool("readChangeFeed", false)? {
            true => parsed.parse_changes(options)?,
            false => parsed.parse_rows(options)?,
        }
        parsed.check_committed()?;
        Ok(parsed)
    }

    fn parse_changes(&mut self, options: &Options) -> Result<(), SparkError> {
        if self.join_side != JoinSide::None {
            return Err(errors::conflict(&["joinSide", "readChangeFeed"]));
        }
        for other in ["batchId", "snapshotStartBatchId", "snapshotPartitionId"] {
            if long(options, other)?.is_some() {
                return Err(errors::conflict(&[other, "readChangeFeed"]));
            }
        }
        let start = long(options, "changeStartBatchId")?.ok_or_else(|| errors::required("changeStartBatchId"))?;
        let end = long(options, "changeEndBatchId")?.map_or_else(|| self.last_committed(), Ok)?;
        if start < 0 {
            return Err(errors::negative("changeStartBatchId"));
        }
        if end < start {
            let message = format!(
                "changeEndBatchId cannot be smaller than changeStartBatchId. Please check the input to changeEndBatchId, or if \
                 you are using its default value, make sure that changeStartBatchId is less than {end}."
            );
            return Err(errors::invalid("changeEndBatchId", &message));
        }
        self.batch = end;
        self.changes = Some((start, end));
        Ok(())
    }

    fn parse_rows(&mut self, options: &Options) -> Result<(), SparkError> {
        for name in ["changeStartBatchId", "changeEndBatchId"] {
            if long(options, name)?.is_some() {
                return Err(errors::invalid(name, "Only specify this option when readChangeFeed is set to true."));
            }
        }
        let start = long(options, "snapshotStartBatchId")?;
        let partition = match options.contains("snapshotPartitionId") {
            true => Some(options.int("snapshotPartitionId", 0)?),
            false => None,
        };
        self.batch = long(options, "batchId")?.map_or_else(|| self.last_committed(), Ok)?;
        if self.batch < 0 {
            return Err(errors::negative("batchId"));
        }
        if start.is_some_and(|start| start < 0) {
            return Err(errors::negative("snapshotStartBatchId"));
        }
        if start.is_some_and(|start| start > self.batch) {
            let message = format!("value should be less than or equal to {}", self.batch);
            return Err(errors::invalid("snapshotStartBatchId", &message));
        }
        if partition.is_some_and(|partition| partition < 0) {
            return Err(errors::negative("snapshotPartitionId"));
        }
        self.snapshot = match (start, partition) {
            (None, None) => None,
            (None, Some(_)) => return Err(errors::required("snapshotStartBatchId")),
            (Some(_), None) => return Err(errors::required("snapshotPartitionId")),
            (Some(start), Some(partition)) => {
                Some(FromSnapshot { start, partition: usize::try_from(partition).unwrap_or(0) })
            }
        };
        Ok(())
    }

    fn last_committed(&self) -> Result<i64, SparkError> {
        let log = CommitLog::open(self.checkpoint.join("commits"), false)?;
        log.ids().last().copied().ok_or_else(|| errors::no_committed_batch(&self.location))
    }

    /// Every batch that is named must be committed.
    fn check_committed(&self) -> Result<(), SparkError> {
        let log = CommitLog::open(self.checkpoint.join("commits"), false)?;
        let ids = log.ids();
        let start = self.changes.map(|(start, _)| start).or(self.snapshot.map(|snapshot| snapshot.start));
        match [Some(self.batch), start].into_iter().flatten().all(|batch| ids.contains(&batch)) {
            true => Ok(()),
            false => Err(errors::no_committed_batch(&self.location)),
        }
    }
}

fn long(options: &Options, name: &str) -> Result<Option<i64>, SparkError> {
    if options.contains(name) { options.long(name, 0).map(Some) } else { Ok(None) }
}

fn boolean(options: &Options, name: &str, default: bool) -> Result<bool, SparkError> {
    options.bool(name, default).map_err(|_| errors::invalid(name, "Boolean value is expected"))
}

impl fmt::Display for StateOptions {
    /// As Spark's messages show them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.join_side {
            JoinSide::None => "none",
            JoinSide::Left => "left",
            JoinSide::Right => "right",
        };
        write!(
            f,
            "StateSourceOptions(checkpointLocation={}, batchId={}, operatorId={}, storeName={}, joinSide={side}, \
             stateVarName={}, flattenCollectionTypes={}",
            self.location,
            self.batch,
            self.operator,
            self.store,
            self.variable.as_deref().unwrap_or("None"),
            self.flatten
        )?;
        if let Some(FromSnapshot { start, partition }) = self.snapshot {
            write!(f, ", snapshotStartBatchId={start}, snapshotPartitionId={partition}")?;
        }
        if let Some((start, end)) = self.changes {
            write!(f, ", changeStartBatchId={start}, changeEndBatchId={end}")?;
        }
        f.write_str(")")
    }
}
