//! State: every file, every row, and whether the version that a restart reads can be loaded.

use std::collections::BTreeSet;
use std::path::Path;

use arrow::datatypes::DataType;
use millstream_formats::condition::SparkError;
use millstream_formats::row::{RowBuffer, RowDecoder, RowEncoder};
use millstream_formats::statefile::{Change, OperatorMetadata, StateFileKind, read_changes, state_file_path};

use super::super::operators::{OperatorState, StoreState};
use super::Verification;

/// Checks an operator.
pub(super) fn check(checkpoint: &Path, operator: &OperatorState, version: u64, report: &mut Verification) {
    let dir = checkpoint.join("state").join(operator.id.to_string());
    let metadata_path = OperatorMetadata::path(&dir);
    for (path, error) in &operator.problems {
        let problem = error.to_string();
        // Spark warns of bad metadata and goes on; the schema it would refuse.
        if *path == metadata_path { report.warn(path, problem) } else { report.find(path, problem) }
    }
    match &operator.metadata {
        Some(metadata) => check_metadata(operator, metadata, &dir, report),
        None if operator.problems.iter().any(|(path, _)| *path == metadata_path) => {}
        None => report.warn(&metadata_path, "it is missing, so Spark does not notice if the operator is another one"),
    }
    for store in &operator.stores {
        report.files += 1;
        for partition in &operator.partitions {
            check_partition(store, *partition, version, report);
        }
    }
}

fn check_metadata(operator: &OperatorState, metadata: &OperatorMetadata, dir: &Path, report: &mut Verification) {
    report.files += 1;
    let path = OperatorMetadata::path(dir);
    if metadata.operator_info.operator_id != operator.id as u64 {
        report.find(&path, format!("it belongs to operator {}", metadata.operator_info.operator_id));
    }
    let described: BTreeSet<&str> = operator.stores.iter().map(|store| store.name.as_str()).collect();
    for info in &metadata.state_store_info {
        let schema =
            super::super::operators::schema_path(dir.parent().unwrap_or(dir), operator.id, info.store_name.as_str());
        let known = operator.problems.iter().any(|(path, _)| *path == schema);
        if !known && !described.contains(info.store_name.as_str()) {
            report
                .warn(&schema, format!("it is missing, so the rows of the store {} are not checked", info.store_name));
        }
        let (expected, found) = (info.num_partitions, operator.partitions.len() as u64);
        if expected != found && operator.partitions != [0] {
            report.find(dir, format!("it has {found} partitions where there were {expected}"));
        }
    }
}

fn check_partition(store: &StoreState, partition: usize, version: u64, report: &mut Verification) {
    let dir = store.location(partition).dir().to_path_buf();
    let Some(found) = report.check(&dir, store.files(partition)) else { return };
    for (of, kind) in &found {
        check_file(store, partition, *of, *kind, *of <= version, report);
    }
    if let Some((stale, _)) = found.iter().find(|(of, kind)| *of > version && *kind == StateFileKind::Snapshot) {
        let path = dir.join(format!("{stale}.snapshot"));
        report.find(&path, "it is of a version that is not committed; Spark would take it for the state");
    }
    match store.load(partition, version) {
        Ok(loaded) => report.rows += loaded.len() as u64,
        Err(_) if report.has_error_below(&dir) => {
            report.find(&dir, format!("version {version} cannot be loaded for that reason"));
        }
        Err(error) => report.find(&dir, format!("version {version} cannot be loaded: {error}")),
    }
}

/// A row of a file.
struct Row {
    bytes: Vec<u8>,
    /// Where it begins in the content of the file, compression aside.
    at: usize,
}

/// Reads one file and all its rows. What is wrong with a version that is not committed will be written anew.
fn check_file(
    store: &StoreState,
    partition: usize,
    version: u64,
    kind: StateFileKind,
    committed: bool,
    report: &mut Verification,
) {
    const LENGTH_BYTES: usize = 4;
    let path = state_file_path(store.location(partition).dir(), version, kind);
    let (mut keys, mut values, mut at) = (Vec::new(), Vec::new(), 0);
    let read = read_changes(&path, |change| {
        let (key, value) = match change {
            Change::Put(key, value) => (key, Some(value)),
            Change::Remove(key) => (key, None),
        };
        keys.push(Row { bytes: key.to_vec(), at: at + LENGTH_BYTES });
        at += LENGTH_BYTES + key.len() + LENGTH_BYTES;
        if let Some(value) = value {
            values.push(Row { bytes: value.to_vec(), at });
            at += value.len();
        }
    });
    report.files += 1;
    if let Err(error) = read {
        if report.has_error_below(&path) {
            return;
        }
        let problem = format!("{}; {} entries before are whole", error.problem(), keys.len());
        return report.add(&path, problem, committed);
    }
    let (key_types, value_types) = store.types();
    for (what, types, rows) in [("key", key_types, &keys), ("value", value_types, &values)] {
        if let Some((at, problem)) = first_bad_row(&types, rows, what == "key") {
            report.add(&path, format!("the {what} at byte {at} of its content {problem}"), committed);
        }
    }
    let bytes: Vec<&[u8]> = keys.iter().map(|key| key.bytes.as_slice()).collect();
    let Ok(placement) = store.placement(&bytes) else { return };
    let misplaced: Vec<_> = placement.iter().zip(&keys).filter(|(of, _)| **of as usize != partition).collect();
    if let Some((of, key)) = misplaced.first() {
        let problem = format!(
            "the key at byte {} of its content belongs in partition {of}, where Spark looks for it ({} such keys)",
            key.at,
            misplaced.len()
        );
        report.add(&path, problem, committed);
    }
}

/// The first row that is malformed or not encoded as Spark encodes its values.
fn first_bad_row(types: &[DataType], rows: &[Row], keys: bool) -> Option<(usize, String)> {
    let reason = |row: &Row| match is_canonical(types, &[row], keys) {
        Ok(true) => None,
        Ok(false) => Some("is not encoded as Spark encodes it".to_string()),
        Err(error) => Some(format!("is malformed: {error}")),
    };
    // One row at a time only where something is wrong.
    if is_canonical(types, &rows.iter().collect::<Vec<_>>(), keys).unwrap_or(false) {
        return None;
    }
    rows.iter().find_map(|row| reason(row).map(|reason| (row.at, reason)))
}

/// Whether all rows are, byte for byte, what encoding their values gives.
fn is_canonical(types: &[DataType], rows: &[&Row], keys: bool) -> Result<bool, SparkError> {
    if types.is_empty() {
        return Ok(rows.iter().all(|row| row.bytes.is_empty()));
    }
    let columns = RowDecoder::new(types).decode(rows.iter().map(|row| row.bytes.as_slice()))?;
    let encoder = if keys { RowEncoder::for_keys(types)? } else { RowEncoder::for_values(types)? };
    let mut encoded = RowBuffer::new();
    encoder.encode(&columns, 0..rows.len(), &mut encoded)?;
    Ok(encoded.iter().zip(rows).all(|(ours, theirs)| ours == theirs.bytes))
}
