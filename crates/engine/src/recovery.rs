//! Where a query goes on: what its checkpoint says, its sources at those offsets, and the settings that win over the session's.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use millstream_connectors::source::{Offset, Source};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::log::{CommitLog, OffsetLog};
use millstream_operators::stream_plan::{StreamPlan, StreamSettings};
use millstream_plan::resolved::StreamTable;
use millstream_state::StateMemory;

use crate::definition::{QuerySettings, SourceOpener};

const PARTITIONS_KEY: &str = "spark.sql.shuffle.partitions";
pub(crate) const POLICY_KEY: &str = "spark.sql.streaming.multipleWatermarkPolicy";

/// A source and the leaves of the plan that read it.
pub(crate) struct SourceSlot {
    pub(crate) source: Box<dyn Source>,
    pub(crate) leaves: Vec<usize>,
    /// Up to where the last committed batch read.
    pub(crate) committed: Option<Offset>,
    /// Up to where the batch in work reads.
    pub(crate) available: Option<Offset>,
}

impl SourceSlot {
    pub(crate) fn has_new_data(&self) -> bool {
        self.available.is_some() && self.available != self.committed
    }
}

/// What the checkpoint says about where to go on.
pub(crate) struct Recovered {
    pub(crate) batch_id: i64,
    /// Watermark and time of that batch, if it was begun.
    pub(crate) constructed: Option<(i64, i64)>,
    pub(crate) watermark_ms: i64,
    pub(crate) previous_watermark_ms: Option<i64>,
    committed: Option<Vec<Option<Offset>>>,
    available: Option<Vec<Option<Offset>>>,
    pub(crate) conf: Option<BTreeMap<String, String>>,
}

impl Recovered {
    /// Reads the logs as Spark does at a restart (checkpoint.md 4.1).
    pub(crate) fn read(offsets: &OffsetLog, commits: &CommitLog) -> Result<Self, SparkError> {
        let Some((last, record)) = offsets.latest()? else {
            return Ok(Self {
                batch_id: 0,
                constructed: None,
                watermark_ms: 0,
                previous_watermark_ms: None,
                committed: None,
                available: None,
                conf: None,
            });
        };
        let before = if last > 0 { Some(offsets.get(last - 1)?) } else { None };
        let commit = commits.latest()?;
        let conf = Some(record.conf.clone());
        match commit {
            Some((committed, _)) if committed > last => Err(SparkError::new(
                ExceptionClass::Spark,
                "CONCURRENT_STREAM_LOG_UPDATE",
                "40000",
                format!(
                    "Concurrent update to the log. Multiple streaming jobs detected for {committed}, which is committed although {} \
                     does not exist.",
                    offsets.path(committed).display()
                ),
            )
            .with("batchId", committed.to_string())),
            Some((committed, commit)) if committed == last => Ok(Self {
                batch_id: last + 1,
                constructed: None,
                watermark_ms: record.batch_watermark_ms.max(commit.next_batch_watermark_ms),
                previous_watermark_ms: Some(record.batch_watermark_ms),
                committed: Some(record.offsets.clone()),
                available: Some(record.offsets),
                conf,
            }),
            _ => Ok(Self {
                batch_id: last,
                constructed: Some((record.batch_watermark_ms, record.batch_timestamp_ms)),
                watermark_ms: record.batch_watermark_ms,
                previous_watermark_ms: before.as_ref().map(|b| b.batch_watermark_ms),
                committed: before.map(|b| b.offsets),
                available: Some(record.offsets),
                conf,
            }),
        }
    }
}

pub(crate) fn stream_settings(settings: &QuerySettings, checkpoint: &Path) -> Result<StreamSettings, SparkError> {
    let partitions = settings.pinned.get(PARTITIONS_KEY).map_or("", String::as_str);
    let state_partitions = partitions.parse().ok().filter(|n| *n > 0).ok_or_else(|| {
        SparkError::plain(
            ExceptionClass::IllegalArgument,
            format!("{PARTITIONS_KEY} must be a positive number, not '{partitions}'"),
        )
    })?;
    let provider = settings.pinned.get("spark.sql.streaming.stateStore.providerClass").map_or("", String::as_str);
    if !provider.is_empty() && !provider.ends_with("HDFSBackedStateStoreProvider") {
        return Err(SparkError::unsupported(format!("The state store {provider}")));
    }
    let state_dir = checkpoint.join("state");
    let scratch = settings.scratch_dir.as_ref().unwrap_or(&state_dir);
    let state_memory = settings.state_memory_max.map(|limit| StateMemory::limited(limit, scratch)).unwrap_or_default();
    Ok(StreamSettings {
        state_dir,
        state_memory,
        state_partitions,
        parallelism: settings.parallelism,
        watermark_policy_max: settings.pinned.get(POLICY_KEY).is_some_and(|p| p == "max"),
        versions_retained: u64::try_from(settings.batches_retained).unwrap_or(1),
        min_deltas_for_snapshot: settings.min_deltas_for_snapshot,
        fsync: settings.fsync,
    })
}

/// Opens each source once, in the order in which the leaves of the plan first name it, for the columns that all its leaves read.
pub(crate) fn open_sources(
    plan: &dyn StreamPlan,
    open: &SourceOpener,
    checkpoint: &Path,
) -> Result<Vec<SourceSlot>, SparkError> {
    let mut found: Vec<(Arc<StreamTable>, Vec<usize>)> = Vec::new();
    for (leaf, table) in plan.sources().into_iter().enumerate() {
        match found.iter_mut().find(|(known, _)| known.id == table.id) {
            Some((_, leaves)) => leaves.push(leaf),
            None => found.push((table, vec![leaf])),
        }
    }
    let mut slots = Vec::with_capacity(found.len());
    for (index, (table, leaves)) in found.into_iter().enumerate() {
        let read: Vec<String> = leaves.iter().flat_map(|leaf| plan.columns(*leaf)).collect();
        let columns =
            table.schema.fields().iter().map(|f| f.name()).filter(|name| read.contains(name)).cloned().collect();
        let source = open(&table, &checkpoint.join("sources").join(index.to_string()), columns)?;
        slots.push(SourceSlot { source, leaves, committed: None, available: None });
    }
    Ok(slots)
}

pub(crate) fn assign_offsets(
    sources: &mut [SourceSlot],
    leaf_count: usize,
    recovered: &Recovered,
) -> Result<(), SparkError> {
    for lines in [&recovered.committed, &recovered.available].into_iter().flatten() {
        if lines.len() != leaf_count {
            return Err(SparkError::plain(
                ExceptionClass::Spark,
                format!(
                    "assertion failed: There are [{}] sources in the checkpoint offsets and now there are [{leaf_count}] \
                     sources requested by the query. Cannot continue.",
                    lines.len()
                ),
            ));
        }
    }
    let line =
        |lines: &Option<Vec<Option<Offset>>>, leaf: usize| lines.as_ref().and_then(|l| l.get(leaf).cloned().flatten());
    for slot in sources {
        let leaf = slot.leaves.first().copied().unwrap_or_default();
        slot.committed = line(&recovered.committed, leaf);
        slot.available = line(&recovered.available, leaf);
    }
    Ok(())
}
