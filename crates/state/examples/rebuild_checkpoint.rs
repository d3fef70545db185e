//! Writes a checkpoint anew from the values that another holds: every row is decoded and encoded again, every file written by
//! this project. If a real Spark goes on from the copy as it would have from the original, the two write the same format.
//!
//! ```text
//! cargo run -p millstream-state --example rebuild_checkpoint -- FROM TO
//! ```

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use arrow::datatypes::{DataType, Fields};
use millstream_formats::condition::SparkError;
use millstream_formats::files::{self, Writer, names};
use millstream_formats::log::{CommitLog, OffsetLog};
use millstream_formats::row::{RowBuffer, RowDecoder, RowEncoder};
use millstream_formats::statefile::{ChangesWriter, OperatorMetadata, StateFileKind, StateSchema, state_file_path};
use millstream_state::inspect::{OperatorState, StoreState, committed_version, operators, verify};
use millstream_state::{StateStore, StoreLocation, StoreOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let (Some(from), Some(to)) = (arguments.next(), arguments.next()) else {
        return Err("usage: rebuild_checkpoint FROM TO".into());
    };
    rebuild_logs(&from, &to)?;
    let version = committed_version(&from)?;
    for operator in operators(&from)? {
        rebuild_operator(&to, &operator, version)?;
    }
    let report = verify(&to);
    report.findings.iter().for_each(|finding| eprintln!("{finding}"));
    println!("{} files, {} rows at version {version}", report.files, report.rows);
    if report.is_good() { Ok(()) } else { Err("the copy is not good".into()) }
}

fn rebuild_logs(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    let writer = Writer { role: "rebuild", fsync: false };
    writer.create(&to.join("metadata"), &files::read(&from.join("metadata"))?)?;
    let (offsets, new_offsets) =
        (OffsetLog::open(from.join("offsets"), false)?, OffsetLog::open(to.join("offsets"), false)?);
    for id in offsets.ids() {
        new_offsets.add(id, &offsets.get(id)?)?;
    }
    let (commits, new_commits) =
        (CommitLog::open(from.join("commits"), false)?, CommitLog::open(to.join("commits"), false)?);
    for id in commits.ids() {
        new_commits.add(id, &commits.get(id)?)?;
    }
    for source in names(&from.join("sources"))? {
        for name in names(&from.join("sources").join(&source))?.iter().filter(|name| !name.starts_with('.')) {
            let file = Path::new("sources").join(&source).join(name);
            writer.create(&to.join(&file), &files::read(&from.join(&file))?)?;
        }
    }
    Ok(())
}

fn rebuild_operator(to: &Path, operator: &OperatorState, version: u64) -> Result<(), Box<dyn Error>> {
    let state = to.join("state");
    for store in &operator.stores {
        let schema = StoreLocation::new(&state, operator.id, 0, &store.name).dir().join("_metadata/schema");
        StateSchema::of(&store.key, &store.value).write_if_missing(&schema, false)?;
        for partition in &operator.partitions {
            let location = StoreLocation::new(&state, operator.id, *partition, &store.name);
            let all_deltas = (1..=version)
                .all(|v| store.files(*partition).is_ok_and(|files| files.contains(&(v, StateFileKind::Delta))));
            if all_deltas {
                rebuild_deltas(store, *partition, version, location)?;
            } else {
                rebuild_snapshot(store, *partition, version, &location)?;
            }
        }
    }
    if let Some(metadata) = &operator.metadata {
        metadata.write_if_missing(&OperatorMetadata::path(&state.join(operator.id.to_string())), false)?;
    }
    Ok(())
}

/// Makes the changes of each version again and commits them.
fn rebuild_deltas(store: &StoreState, partition: usize, version: u64, to: StoreLocation) -> Result<(), SparkError> {
    let mut copy = StateStore::open(to, StoreOptions::default());
    for version in 1..=version {
        for (key, value) in store.file_entries(partition, version, StateFileKind::Delta)? {
            let key = again(&store.key, &[&key], true)?;
            match value {
                Some(value) => copy.put(key.row(0), again(&store.value, &[&value], false)?.row(0))?,
                None => drop(copy.remove(key.row(0))),
            }
        }
        copy.commit()?;
    }
    Ok(())
}

fn rebuild_snapshot(store: &StoreState, partition: usize, version: u64, to: &StoreLocation) -> Result<(), SparkError> {
    let loaded = store.load(partition, version)?;
    let (keys, values): (Vec<&[u8]>, Vec<&[u8]>) = loaded.iter().unzip();
    let (keys, values) = (again(&store.key, &keys, true)?, again(&store.value, &values, false)?);
    let (mut writer, mut content) = (ChangesWriter::new(), Vec::new());
    keys.iter().zip(values.iter()).for_each(|(key, value)| writer.put(key, value));
    writer.finish(&mut content);
    fs::create_dir_all(to.dir()).map_err(|e| SparkError::internal(e.to_string()))?;
    let path = state_file_path(to.dir(), version, StateFileKind::Snapshot);
    Ok(Writer { role: "rebuild", fsync: false }.replace(&path, &content)?)
}

/// The rows decoded and encoded again.
fn again(fields: &Fields, rows: &[&[u8]], keys: bool) -> Result<RowBuffer, SparkError> {
    let types: Vec<DataType> = fields.iter().map(|field| field.data_type().clone()).collect();
    let mut encoded = RowBuffer::new();
    if types.is_empty() {
        rows.iter().for_each(|row| encoded.push(row));
        return Ok(encoded);
    }
    let columns = RowDecoder::new(&types).decode(rows.iter().copied())?;
    let encoder = if keys { RowEncoder::for_keys(&types)? } else { RowEncoder::for_values(&types)? };
    encoder.encode(&columns, 0..rows.len(), &mut encoded)?;
    Ok(encoded)
}
