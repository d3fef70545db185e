//! A checkpoint as text for people, and its rows as JSON for programs.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StructArray};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::json::{JsonWriteOptions, JsonWriter};
use millstream_formats::log::{CommitLog, OffsetLog, read_query_id};
use millstream_formats::options::Options;
use millstream_formats::record::Settings;
use millstream_formats::show::{Cells, Layout};
use millstream_formats::statefile::StateFileKind;
use millstream_formats::text::write_timestamp;
use millstream_formats::types::simple_name;
use millstream_formats::zone::Zone;

use super::operators::{OperatorState, StoreState, committed_version, operators};

/// Fails if a directory is none of a query's checkpoint.
///
/// # Errors
/// Names what is missing.
pub fn check_is_checkpoint(dir: &Path) -> Result<(), SparkError> {
    let problem = if !dir.exists() {
        "does not exist"
    } else if !dir.is_dir() {
        "is no directory"
    } else if ["metadata", "offsets", "commits", "state"].iter().all(|name| !dir.join(name).exists()) {
        "is no checkpoint: there is neither `metadata` nor `offsets`, `commits` or `state` in it"
    } else {
        return Ok(());
    };
    Err(argument(format!("{} {problem}", dir.display())))
}

fn argument(message: String) -> SparkError {
    SparkError::plain(ExceptionClass::IllegalArgument, message)
}

/// What a checkpoint holds: query, newest offsets and commit, watermark, operators, and the keys and bytes of each partition at
/// the newest committed version.
///
/// # Errors
/// If a file is missing or damaged; it is named.
pub fn summary(checkpoint: &Path) -> Result<String, SparkError> {
    let mut text = String::new();
    line(&mut text, "query", &read_query_id(checkpoint)?.to_string());
    show_logs(checkpoint, &mut text)?;
    let version = committed_version(checkpoint)?;
    for operator in operators(checkpoint)? {
        check_described(&operator)?;
        let name = if operator.name().is_empty() { "of unknown name" } else { operator.name() };
        let _ = writeln!(text, "\noperator {}: {name}, version {version}", operator.id);
        for store in &operator.stores {
            show_store(&operator, store, version, &mut text)?;
        }
    }
    Ok(text)
}

/// Fails if what describes an operator is damaged.
fn check_described(operator: &OperatorState) -> Result<(), SparkError> {
    match operator.problems.first() {
        Some((_, error)) => Err(error.clone()),
        None => Ok(()),
    }
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
    let committed = match &commits {
        Some((id, _)) if *id >= batch => ", committed".to_string(),
        Some((id, _)) => format!(", begun but not committed; the last commit is of batch {id}"),
        None => ", begun but not committed; no batch is".to_string(),
    };
    line(text, "batch", &format!("{batch}{committed}"));
    let watermark = commits.map_or(0, |(_, commit)| commit.next_batch_watermark_ms).max(offsets.batch_watermark_ms);
    line(text, "watermark", &if watermark == 0 { "none yet".to_string() } else { time(watermark) });
    line(text, "batch time", &time(offsets.batch_timestamp_ms));
    for (source, offset) in offsets.offsets.iter().enumerate() {
        line(text, &format!("source {source}"), offset.as_deref().unwrap_or("no offset yet"));
    }
    if let Some(partitions) = offsets.conf.get("spark.sql.shuffle.partitions") {
        line(text, "partitions", partitions);
    }
    Ok(())
}

fn time(ms: i64) -> String {
    let mut time = String::new();
    write_timestamp(ms.saturating_mul(1000), &Zone::UTC, &mut time);
    format!("{time} UTC ({ms} ms)")
}

fn show_store(operator: &OperatorState, store: &StoreState, version: u64, text: &mut String) -> Result<(), SparkError> {
    let name = |fields: &Fields| {
        let shown = simple_name(&DataType::Struct(fields.clone()));
        shown.strip_prefix("struct<").and_then(|rest| rest.strip_suffix('>')).unwrap_or(&shown).to_string()
    };
    let _ = writeln!(text, "  store {}", store.name);
    let _ = writeln!(text, "    key    ({})", name(&store.key));
    let _ = writeln!(text, "    value  ({})", name(&store.value));
    let mut rows: Vec<[String; 5]> = vec![["partition", "keys", "bytes", "deltas", "snapshots"].map(str::to_string)];
    let mut total = [0_u64; 4];
    for partition in &operator.partitions {
        let figures = store.partition(*partition, version)?;
        let count = |wanted| figures.files.iter().filter(|(_, kind)| *kind == wanted).count() as u64;
        let of = [figures.rows, figures.bytes, count(StateFileKind::Delta), count(StateFileKind::Snapshot)];
        total.iter_mut().zip(of).for_each(|(sum, more)| *sum += more);
        rows.push(row_of(partition.to_string(), of));
    }
    if operator.partitions.len() > 1 {
        rows.push(row_of("total".to_string(), total));
    }
    write_columns(&rows, text);
    Ok(())
}

fn row_of(name: String, figures: [u64; 4]) -> [String; 5] {
    let [a, b, c, d] = figures.map(|figure| figure.to_string());
    [name, a, b, c, d]
}

/// Columns aligned right.
fn write_columns(rows: &[[String; 5]], text: &mut String) {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    for row in rows {
        text.push_str("   ");
        row.iter().zip(&widths).for_each(|(cell, width)| {
            let _ = write!(text, " {cell:>width$} ", width = *width);
        });
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
}

/// Which rows are wanted.
#[derive(Debug, Clone, Default)]
pub struct RowsWanted {
    /// Those of one operator; of all if there is none.
    pub operator: Option<usize>,
    /// Those of one store; of all stores of the operator if there is none.
    pub store: Option<String>,
    /// As they were after this batch; after the last committed one if there is none.
    pub batch: Option<u64>,
    /// At most so many of each store; all if there is none.
    pub limit: Option<usize>,
}

/// A store and those of its rows that are wanted.
struct Found {
    operator: OperatorState,
    store: StoreState,
    version: u64,
    rows: RecordBatch,
}

fn find(checkpoint: &Path, wanted: &RowsWanted) -> Result<Vec<Found>, SparkError> {
    let version = match wanted.batch {
        Some(batch) => batch.saturating_add(1),
        None => committed_version(checkpoint)?,
    };
    let mut all = operators(checkpoint)?;
    if let Some(id) = wanted.operator {
        let known: Vec<String> = all.iter().map(|operator| operator.id.to_string()).collect();
        all.retain(|operator| operator.id == id);
        if all.is_empty() {
            let known = if known.is_empty() { "none".to_string() } else { known.join(", ") };
            return Err(argument(format!("the checkpoint has no operator {id}; its operators: {known}")));
        }
    }
    let mut found = Vec::new();
    let mut names = Vec::new();
    for operator in all {
        check_described(&operator)?;
        for store in &operator.stores {
            names.push(store.name.clone());
            if wanted.store.as_ref().is_some_and(|name| *name != store.name) {
                continue;
            }
            let rows = wanted_rows(&operator, store, version, wanted.limit)?;
            found.push(Found { operator: operator.clone(), store: store.clone(), version, rows });
        }
    }
    if let (true, Some(store)) = (found.is_empty(), &wanted.store) {
        names.dedup();
        return Err(argument(format!("there is no store {store}; the stores: {}", names.join(", "))));
    }
    Ok(found)
}

/// Rows of all partitions in order, at most one more than the limit.
fn wanted_rows(
    operator: &OperatorState,
    store: &StoreState,
    version: u64,
    limit: Option<usize>,
) -> Result<RecordBatch, SparkError> {
    let mut batches = Vec::new();
    let mut left = limit.map_or(usize::MAX, |limit| limit.saturating_add(1));
    for partition in &operator.partitions {
        let rows = flat(&store.rows(*partition, version)?)?;
        batches.push(rows.slice(0, rows.num_rows().min(left)));
        left = left.saturating_sub(rows.num_rows());
        if left == 0 {
            break;
        }
    }
    match batches.first() {
        Some(first) => Ok(arrow::compute::concat_batches(&first.schema(), &batches)?),
        None => flat(&store.rows(0, 0)?),
    }
}

/// The fields of key and value as columns of their own, `key.word`, and the partition first; all nullable, since partitions
/// may differ in what they hold.
fn flat(rows: &RecordBatch) -> Result<RecordBatch, SparkError> {
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (name, column) in [("partition", 2), ("key", 0), ("value", 1)].map(|(name, at)| (name, rows.column(at))) {
        match column.as_any().downcast_ref::<StructArray>() {
            Some(of) => {
                for (field, column) in of.fields().iter().zip(of.columns()) {
                    fields.push(Field::new(format!("{name}.{}", field.name()), column.data_type().clone(), true));
                    columns.push(Arc::clone(column));
                }
            }
            None => {
                fields.push(Field::new(name, column.data_type().clone(), true));
                columns.push(Arc::clone(column));
            }
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
}

/// The rows of stores as tables, times in UTC, each under a line that names its store.
///
/// # Errors
/// If there is no such operator or store; if a file is missing or damaged.
pub fn state_table(checkpoint: &Path, wanted: &RowsWanted) -> Result<String, SparkError> {
    let layout = Layout { rows_max: wanted.limit.unwrap_or(usize::MAX - 1), truncate: 0, vertical: false };
    let mut text = String::new();
    for found in find(checkpoint, wanted)? {
        let Found { operator, store, version, rows } = found;
        let space = if text.is_empty() { "" } else { "\n" };
        let _ = writeln!(
            text,
            "{space}operator {} ({}), store {}, version {version}",
            operator.id,
            operator.name(),
            store.name
        );
        text.push_str(&Cells::of(&rows.schema(), &[rows], &Zone::UTC, &layout)?.text(&layout));
    }
    Ok(text)
}

/// The rows of stores, one JSON object a line: `{"operator":0,"store":"default","partition":0,"key":{…},"value":{…}}`. A name
/// that repeats gets `#1`, `#2`, … behind it.
///
/// # Errors
/// As [`state_table`].
pub fn state_json(checkpoint: &Path, wanted: &RowsWanted) -> Result<String, SparkError> {
    let options = Options::from_iter([("ignoreNullFields", "false")]);
    let options = JsonWriteOptions::parse(&options, &Settings::new(Zone::UTC))?;
    let writer = JsonWriter::new(&options);
    let mut text = String::new();
    for Found { operator, store, rows, .. } in find(checkpoint, wanted)? {
        let (partitions, rest) = rows.columns().split_first().ok_or_else(|| SparkError::internal("no partition"))?;
        let (keys, values) = rest.split_at(store.key.len().min(rest.len()));
        let count = rows.num_rows();
        let structs =
            [(&store.key, keys), (&store.value, values)].map(|(fields, columns)| object(fields, columns, count));
        let [keys, values] = structs;
        let columns: Vec<ArrayRef> = vec![Arc::clone(partitions), Arc::new(keys?), Arc::new(values?)];
        let names = ["partition", "key", "value"];
        let fields =
            names.iter().zip(&columns).map(|(name, column)| Field::new(*name, column.data_type().clone(), true));
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns)?;
        let lines = writer.rows(&batch)?;
        for row in 0..count.min(wanted.limit.unwrap_or(usize::MAX)) {
            let _ = write!(text, "{{\"operator\":{},\"store\":\"{}\",", operator.id, store.name);
            let mut line = String::new();
            lines.write(row, &mut line);
            text.push_str(line.strip_prefix('{').unwrap_or(&line));
            text.push('\n');
        }
    }
    Ok(text)
}

fn object(fields: &Fields, columns: &[ArrayRef], rows: usize) -> Result<StructArray, SparkError> {
    if fields.is_empty() {
        return Ok(StructArray::new_empty_fields(rows, None));
    }
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let unique = fields.iter().zip(columns).map(|(field, column)| {
        let count = seen.entry(field.name()).and_modify(|count| *count += 1).or_default();
        let name = if *count == 0 { field.name().clone() } else { format!("{}#{count}", field.name()) };
        Field::new(name, column.data_type().clone(), true)
    });
    let fields: Fields = unique.collect();
    Ok(StructArray::try_new(fields, columns.to_vec(), None)?)
}
