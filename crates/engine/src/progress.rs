//! What a query reports after each batch: Spark's `StreamingQueryProgress` as JSON, with true figures.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use chrono::{DateTime, SecondsFormat, Utc};
use millstream_formats::text;
use millstream_formats::zone::Zone;
use millstream_operators::stream_plan::{EventTimeStats, OperatorProgress};
use serde_json::{Map, Value, json};

use crate::query::QueryIdentity;

/// Durations of the phases of a trigger, ms, in the order in which they are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Durations(BTreeMap<&'static str, u64>);

impl Durations {
    /// Adds to a phase.
    pub fn add(&mut self, phase: &'static str, ms: u64) {
        *self.0.entry(phase).or_default() += ms;
    }

    /// A phase, ms; 0 if it did not occur.
    pub fn get(&self, phase: &str) -> u64 {
        self.0.get(phase).copied().unwrap_or_default()
    }
}

/// One source in a batch. Offsets are the source's JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceProgress {
    /// `FileStreamSource[file:/data/in]`.
    pub description: String,
    /// Where the batch began; none for the first.
    pub start_offset: Option<String>,
    /// Where it ended.
    pub end_offset: Option<String>,
    /// The newest known.
    pub latest_offset: Option<String>,
    /// Rows.
    pub input_rows: u64,
}

/// A batch that ran.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// The query.
    pub query: QueryIdentity,
    /// Number of the batch.
    pub batch_id: i64,
    /// When the trigger began, ms since the epoch.
    pub timestamp_ms: i64,
    /// ms between this trigger's begin and that of the one before; none for the first.
    pub since_last_ms: Option<i64>,
    /// Phases.
    pub durations: Durations,
    /// Watermark of the batch, ms, and what was seen, if the query has an event time.
    pub event_time: Option<(i64, EventTimeStats)>,
    /// Stateful operators.
    pub operators: Vec<OperatorProgress>,
    /// Sources.
    pub sources: Vec<SourceProgress>,
    /// Description of the sink.
    pub sink: String,
    /// Rows given to the sink; -1 where Spark does not count them.
    pub output_rows: i64,
    /// Observed metrics, one row each.
    pub observed: BTreeMap<String, RecordBatch>,
}

/// A time as Spark writes it into JSON: `2024-01-01T00:00:00.000Z`.
pub fn json_time(ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}

impl Progress {
    /// Rows of all sources.
    pub fn input_rows(&self) -> u64 {
        self.sources.iter().map(|s| s.input_rows).sum()
    }

    /// The JSON text, on one line. Offsets are strings that hold JSON, as Spark Connect sends them.
    pub fn to_json(&self) -> String {
        let mut out = Map::new();
        out.insert("id".into(), self.query.id.to_string().into());
        out.insert("runId".into(), self.query.run_id.to_string().into());
        out.insert("name".into(), self.query.name.clone().into());
        out.insert("timestamp".into(), json_time(self.timestamp_ms).into());
        out.insert("batchId".into(), self.batch_id.into());
        out.insert("batchDuration".into(), self.durations.get("triggerExecution").into());
        let rows = self.input_rows();
        out.insert("numInputRows".into(), rows.into());
        self.insert_rates(&mut out, rows);
        out.insert("durationMs".into(), json!(self.durations.0));
        if let Some((watermark, stats)) = &self.event_time {
            out.insert("eventTime".into(), event_time_json(*watermark, stats));
        }
        out.insert("stateOperators".into(), self.operators.iter().map(operator_json).collect());
        out.insert("sources".into(), self.sources.iter().map(|s| self.source_json(s)).collect());
        out.insert("sink".into(), json!({"description": self.sink, "numOutputRows": self.output_rows}));
        let observed: Map<String, Value> =
            self.observed.iter().map(|(name, row)| (name.clone(), row_json(row))).collect();
        out.insert("observedMetrics".into(), observed.into());
        Value::Object(out).to_string()
    }

    fn insert_rates(&self, out: &mut Map<String, Value>, rows: u64) {
        let input = self.since_last_ms.map_or(0.0, |ms| per_second(rows, ms));
        let processed = per_second(rows, i64::try_from(self.durations.get("triggerExecution")).unwrap_or(i64::MAX));
        out.insert("inputRowsPerSecond".into(), input.into());
        out.insert("processedRowsPerSecond".into(), processed.into());
    }

    fn source_json(&self, source: &SourceProgress) -> Value {
        let mut out = Map::new();
        out.insert("description".into(), source.description.clone().into());
        out.insert("startOffset".into(), source.start_offset.clone().into());
        out.insert("endOffset".into(), source.end_offset.clone().into());
        out.insert("latestOffset".into(), source.latest_offset.clone().into());
        out.insert("numInputRows".into(), source.input_rows.into());
        self.insert_rates(&mut out, source.input_rows);
        out.into()
    }
}

pub(crate) fn per_second(rows: u64, ms: i64) -> f64 {
    // Spark divides by at least 1 ms, so that a rate is always finite.
    rows as f64 * 1000.0 / ms.max(1) as f64
}

fn event_time_json(watermark_ms: i64, stats: &EventTimeStats) -> Value {
    let mut out = Map::new();
    if stats.count > 0 {
        out.insert("avg".into(), json_time(stats.avg_ms as i64).into());
        out.insert("max".into(), json_time(stats.max_ms).into());
        out.insert("min".into(), json_time(stats.min_ms).into());
    }
    out.insert("watermark".into(), json_time(watermark_ms).into());
    out.into()
}

fn operator_json(operator: &OperatorProgress) -> Value {
    json!({
        "operatorName": operator.name,
        "numRowsTotal": operator.rows_total,
        "numRowsUpdated": operator.rows_updated,
        "allUpdatesTimeMs": operator.updates_ms,
        "numRowsRemoved": operator.rows_removed,
        "allRemovalsTimeMs": operator.removals_ms,
        "commitTimeMs": operator.commit_ms,
        "memoryUsedBytes": operator.memory_bytes,
        "numRowsDroppedByWatermark": operator.rows_dropped_by_watermark,
        "numShufflePartitions": operator.partitions,
        "numStateStoreInstances": operator.store_instances,
        "customMetrics": operator.custom,
    })
}

/// The first row of a batch as a JSON object.
fn row_json(row: &RecordBatch) -> Value {
    let schema = row.schema();
    let fields = schema.fields().iter().zip(row.columns());
    Value::Object(fields.map(|(field, column)| (field.name().clone(), value_json(column))).collect())
}

/// The first value of a column; types without a JSON form as Spark's text.
fn value_json(column: &ArrayRef) -> Value {
    if column.is_empty() || column.is_null(0) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Boolean => column.as_boolean().value(0).into(),
        DataType::Int8 => column.as_primitive::<Int8Type>().value(0).into(),
        DataType::Int16 => column.as_primitive::<Int16Type>().value(0).into(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(0).into(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(0).into(),
        DataType::Float32 => column.as_primitive::<Float32Type>().value(0).into(),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(0).into(),
        _ => match text::cast_to_string(&column.slice(0, 1), &Zone::UTC) {
            Ok(text) => text.value(0).into(),
            Err(_) => Value::Null,
        },
    }
}
