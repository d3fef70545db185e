//! A checkpoint as text for people.

use std::fmt::Write;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::files::read_text;
use millstream_formats::log::{CommitLog, OffsetLog};
use millstream_formats::show::{Cells, Layout};
use millstream_formats::statefile::StateFileKind;
use millstream_formats::text::write_timestamp;
use millstream_formats::types::simple_name;
use millstream_formats::zone::Zone;

use super::operators::{OperatorState, StoreState, committed_version, operators};

/// What a checkpoint holds: query, newest offsets and commit, watermark, operators, and the rows and bytes of each partition at
/// the newest committed version.
///
/// # Errors
/// If a file is missing or damaged; it is named.
pub fn summary(checkpoint: &Path) -> Result<String, SparkError> {
    let mut text = String::new();
    let query = read_text(&checkpoint.join("metadata"))?;
    line(&mut text, "query", query.trim());
    show_logs(checkpoint, &mut text)?;
    let version = committed_version(checkpoint)?;
    for operator in operators(checkpoint)? {
        line(&mut text, &format!("operator {}", operator.id), &format!("{}, version {version}", operator.name()));
        for store in &operator.stores {
            show_store(&operator, store, version, &mut text)?;
        }
    }
    Ok(text)
}

/// Writing into a String cannot fail.
fn line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "{name:<12} {value}");
}

fn show_logs(checkpoint: &Path, text: &mut String) -> Result<(), SparkError> {
    let commits = CommitLog::open(checkpoint.join("commits"), false)?.latest()?;
    let Some((batch, offsets)) = OffsetLog::open(checkpoint.join("offsets"), false)?.latest()? else {
        line(text, "batch", "none");
        return Ok(());
    };
    let committed = commits.as_ref().map_or(-1, |(id, _)| *id);
    let state = if committed >= batch { "committed" } else { "begun, to be run again" };
    line(text, "batch", &format!("{batch}, {state}"));
    let watermark = commits.map_or(0, |(_, commit)| commit.next_batch_watermark_ms).max(offsets.batch_watermark_ms);
    let mut time = String::new();
    write_timestamp(watermark.saturating_mul(1000), &Zone::UTC, &mut time);
    line(text, "watermark", &format!("{watermark} ms ({time} UTC)"));
    for (source, offset) in offsets.offsets.iter().enumerate() {
        line(text, &format!("source {source}"), offset.as_deref().unwrap_or("no offset yet"));
    }
    if let Some(partitions) = offsets.conf.get("spark.sql.shuffle.partitions") {
        line(text, "partitions", partitions);
    }
    Ok(())
}

fn show_store(operator: &OperatorState, store: &StoreState, version: u64, text: &mut String) -> Result<(), SparkError> {
    let name = |fields: &arrow::datatypes::Fields| simple_name(&DataType::Struct(fields.clone()));
    line(text, &format!("  {}", store.name), &format!("{} -> {}", name(&store.key), name(&store.value)));
    for partition in &operator.partitions {
        let figures = store.partition(*partition, version)?;
        let count = |wanted| figures.files.iter().filter(|(_, kind)| *kind == wanted).count();
        let value = format!(
            "{} rows, {} bytes, {} deltas, {} snapshots",
            figures.rows,
            figures.bytes,
            count(StateFileKind::Delta),
            count(StateFileKind::Snapshot)
        );
        line(text, &format!("    {partition}"), &value);
    }
    Ok(())
}

/// The rows of a store in all its partitions: columns `key`, `value` and `partition_id`, as Spark's source `statestore` has
/// them. Without a version at the newest committed one.
///
/// # Errors
/// If there is no such operator or store; if a file is missing or damaged.
pub fn state_rows(
    checkpoint: &Path,
    operator: usize,
    store: &str,
    version: Option<u64>,
) -> Result<RecordBatch, SparkError> {
    let version = version.map_or_else(|| committed_version(checkpoint), Ok)?;
    let found = operators(checkpoint)?.into_iter().find(|o| o.id == operator);
    let Some(operator_state) = found else {
        return Err(argument(format!("The checkpoint {} has no operator {operator}.", checkpoint.display())));
    };
    let Some(store_state) = operator_state.stores.iter().find(|s| s.name == store) else {
        let names: Vec<&str> = operator_state.stores.iter().map(|s| s.name.as_str()).collect();
        let known = names.join(", ");
        return Err(argument(format!("Operator {operator} has no store {store}, but {known}.")));
    };
    let rows = |partition: &usize| store_state.rows(*partition, version);
    let batches = operator_state.partitions.iter().map(rows).collect::<Result<Vec<_>, _>>()?;
    match batches.first() {
        Some(first) => Ok(concat_batches(&first.schema(), &batches)?),
        None => store_state.rows(0, 0),
    }
}

fn argument(message: String) -> SparkError {
    SparkError::plain(ExceptionClass::IllegalArgument, message)
}

/// The rows of a store as a table of at most `rows_max` rows, times in UTC.
///
/// # Errors
/// As [`state_rows`].
pub fn state_table(
    checkpoint: &Path,
    operator: usize,
    store: &str,
    version: Option<u64>,
    rows_max: usize,
) -> Result<String, SparkError> {
    let rows = state_rows(checkpoint, operator, store, version)?;
    let layout = Layout { rows_max, truncate: 0, vertical: false };
    Ok(Cells::of(&rows.schema(), &[rows], &Zone::UTC, &layout)?.text(&layout))
}
