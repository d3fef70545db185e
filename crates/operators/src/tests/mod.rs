//! Streaming queries driven by hand, without engine and sources.

mod join;
mod model;

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::pretty::pretty_format_batches;
use datafusion::common::Column;
use datafusion::common::metadata::FieldMetadata;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::col;
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;
use millstream_formats::types::timestamp;
use millstream_functions::datetime::window::session_window;
use millstream_functions::{AggregateCall, Function, FunctionContext, Typed, lookup};
use millstream_plan::nodes::{CalendarInterval, Deduplicate, EventTime, Observe, SessionAggregate, WATERMARK_DELAY_MS};
use millstream_plan::resolved::{ResolvedPlan, StreamOrigin, StreamTable};

use crate::plan_stream;
use crate::stream_plan::{Batch, OutputMode, Rows, StreamPlan, StreamSettings};

#[derive(Debug)]
struct ByHand;

impl StreamOrigin for ByHand {
    fn name(&self) -> String {
        "by hand".into()
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// A stream of `#k string, #v bigint, #t timestamp`.
pub(crate) fn events() -> LogicalPlanBuilder {
    let fields = vec![
        Field::new("#k", DataType::Utf8, true),
        Field::new("#v", DataType::Int64, true),
        Field::new("#t", timestamp(), true),
    ];
    let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
    let table = StreamTable { schema: Arc::new(Schema::new(fields)), id, origin: Arc::new(ByHand) };
    LogicalPlanBuilder::scan(format!("t{id}"), provider_as_source(Arc::new(table)), None)
        .and_then(|b| {
            let columns: Vec<Expr> = b
                .schema()
                .iter()
                .map(|(q, f)| Expr::Column(Column::new(q.cloned(), f.name())).alias(f.name()))
                .collect();
            b.project(columns)
        })
        .unwrap()
}

/// `withWatermark("#t", delay)`.
pub(crate) fn with_watermark(input: LogicalPlanBuilder, delay_ms: i64) -> LogicalPlanBuilder {
    let delay = CalendarInterval { micros: delay_ms * 1000, ..CalendarInterval::default() };
    let node = EventTime::try_new(Arc::new(input.build().unwrap()), Column::new_unqualified("#t"), delay).unwrap();
    LogicalPlanBuilder::from(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

pub(crate) fn context() -> FunctionContext {
    FunctionContext {
        ansi: true,
        time_zone: "UTC".into(),
        now_us: Arc::default(),
        user: "user".into(),
        database: "default".into(),
    }
}

/// An aggregate over columns, under a name.
pub(crate) fn aggregate(name: &str, arguments: &[(&str, DataType)], alias: &str) -> Expr {
    let arguments =
        arguments.iter().map(|(name, t)| Typed::new(col(Column::new_unqualified(*name)), t.clone(), true)).collect();
    let call = AggregateCall { arguments, distinct: false, ignore_nulls: false, within_group: vec![] };
    let Some(Function::Aggregate(build)) = lookup(name) else { panic!("no aggregate {name}") };
    build(name, &call, &context()).unwrap().expr.alias(alias)
}

pub(crate) type Row = (Option<&'static str>, Option<i64>, i64);

/// Rows of key, value and seconds.
pub(crate) fn rows(schema: &SchemaRef, rows: &[Row]) -> RecordBatch {
    let keys: StringArray = rows.iter().map(|r| r.0).collect();
    let values: Int64Array = rows.iter().map(|r| r.1).collect();
    let times: TimestampMicrosecondArray = rows.iter().map(|r| Some(r.2 * 1_000_000)).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(values), Arc::new(times.with_timezone("UTC"))];
    RecordBatch::try_new(Arc::clone(schema), columns).unwrap()
}

/// A query under test.
pub(crate) struct TestQuery {
    pub plan: Box<dyn StreamPlan>,
    pub next: i64,
    pub watermark_ms: i64,
}

impl TestQuery {
    pub fn start(plan: LogicalPlanBuilder, mode: OutputMode, state_dir: &std::path::Path, partitions: usize) -> Self {
        let settings = StreamSettings {
            state_dir: state_dir.to_path_buf(),
            state_partitions: partitions,
            parallelism: 2,
            watermark_policy_max: false,
            versions_retained: 100,
            min_deltas_for_snapshot: 10,
            fsync: false,
            state_memory: Default::default(),
        };
        let resolved =
            ResolvedPlan { plan: plan.build().unwrap(), output: vec![], streaming: true, names: Arc::default() };
        let plan = plan_stream(&resolved, mode, settings).unwrap();
        plan.restore(0).unwrap();
        Self { plan, next: 0, watermark_ms: 0 }
    }

    /// Runs a batch; one slice of rows per leaf and partition. Gives the sorted lines of the result.
    pub fn batch(&mut self, leaves: &[&[Row]]) -> Result<Vec<String>, SparkError> {
        self.batch_at(leaves, self.watermark_ms)
    }

    pub fn batch_at(&mut self, leaves: &[&[Row]], watermark_ms: i64) -> Result<Vec<String>, SparkError> {
        for (index, (table, leaf)) in self.plan.sources().iter().zip(leaves).enumerate() {
            let parts = leaf.chunks(leaf.len().div_ceil(2).max(1));
            let parts: Vec<Rows> =
                parts.map(|part| Box::new(std::iter::once(Ok(rows(&table.schema, part)))) as Rows).collect();
            self.plan.set_rows(index, parts);
        }
        let batch = Batch {
            id: self.next,
            late_watermark_ms: self.watermark_ms,
            eviction_watermark_ms: watermark_ms,
            timestamp_ms: 0,
        };
        let mut result = Vec::new();
        self.plan.run(batch, &mut |_, rows| {
            result.push(rows);
            Ok(())
        })?;
        self.plan.commit(batch)?;
        self.next += 1;
        self.watermark_ms = watermark_ms;
        Ok(lines(&result))
    }
}

/// Rows as text, sorted.
pub(crate) fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let text = pretty_format_batches(batches).unwrap().to_string();
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(1)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join(","))
        .collect();
    lines.sort();
    lines
}

fn counts() -> Vec<Expr> {
    vec![aggregate("count", &[("#v", DataType::Int64)], "#n"), aggregate("sum", &[("#v", DataType::Int64)], "#s")]
}

#[test]
fn update_mode_gives_out_the_touched_groups() {
    let dir = tempfile::tempdir().unwrap();
    let plan = events().aggregate(vec![col(Column::new_unqualified("#k"))], counts()).unwrap();
    let mut query = TestQuery::start(plan, OutputMode::Update, dir.path(), 3);
    assert_eq!(
        query.batch(&[&[(Some("a"), Some(1), 0), (Some("b"), Some(2), 0), (Some("a"), Some(3), 0)]]).unwrap(),
        ["a,2,4", "b,1,2"]
    );
    assert_eq!(query.batch(&[&[(Some("b"), Some(10), 0), (Some("c"), None, 0)]]).unwrap(), ["b,2,12", "c,0,"]);
    let progress = &query.plan.progress()[0];
    assert_eq!((progress.rows_total, progress.rows_updated), (3, 2));
    assert_eq!(query.plan.input_rows(), [2]);
}

#[test]
fn complete_mode_gives_out_all_groups_and_a_global_aggregate_one_row_without_input() {
    let dir = tempfile::tempdir().unwrap();
    let plan = events().aggregate(vec![col(Column::new_unqualified("#k"))], counts()).unwrap();
    let mut query = TestQuery::start(plan, OutputMode::Complete, dir.path(), 3);
    query.batch(&[&[(Some("a"), Some(1), 0)]]).unwrap();
    assert_eq!(query.batch(&[&[(None, Some(2), 0)]]).unwrap(), [",1,2", "a,1,1"]);

    let dir = tempfile::tempdir().unwrap();
    let mut query =
        TestQuery::start(events().aggregate(Vec::<Expr>::new(), counts()).unwrap(), OutputMode::Update, dir.path(), 3);
    assert_eq!(query.batch(&[&[]]).unwrap(), ["0,"]);
    assert_eq!(query.batch(&[&[(None, Some(2), 0), (None, Some(5), 0)]]).unwrap(), ["2,7"]);
    assert_eq!(query.batch(&[&[]]).unwrap(), ["2,7"]);
}

#[test]
fn append_mode_gives_out_what_the_watermark_has_closed_and_drops_late_rows() {
    let dir = tempfile::tempdir().unwrap();
    let plan = with_watermark(events(), 10_000).aggregate(vec![col(Column::new_unqualified("#t"))], counts()).unwrap();
    let mut query = TestQuery::start(plan, OutputMode::Append, dir.path(), 3);
    assert!(query.batch(&[&[(None, Some(1), 5), (None, Some(2), 20)]]).unwrap().is_empty());
    assert_eq!(query.plan.event_times()[0].max_ms, 20_000);
    assert!(query.plan.wants_batch(10_000, Batch::default()));
    assert_eq!(query.batch_at(&[&[]], 10_000).unwrap(), ["1970-01-01T00:00:05Z,1,1"]);
    assert!(
        query.batch_at(&[&[(None, Some(1), 10), (None, Some(1), 9), (None, Some(7), 20)]], 10_000).unwrap().is_empty()
    );
    let progress = &query.plan.progress()[0];
    assert_eq!((progress.rows_total, progress.rows_updated, progress.rows_dropped_by_watermark), (1, 1, 2));
    assert_eq!(query.batch_at(&[&[]], 20_000).unwrap(), ["1970-01-01T00:00:20Z,2,9"]);
    assert_eq!(query.plan.progress()[0].rows_removed, 1);
}

#[test]
fn an_overflow_fails_the_batch_with_spark_s_condition() {
    let dir = tempfile::tempdir().unwrap();
    let plan = events().aggregate(vec![col(Column::new_unqualified("#k"))], counts()).unwrap();
    let mut query = TestQuery::start(plan, OutputMode::Update, dir.path(), 3);
    query.batch(&[&[(None, Some(i64::MAX), 0)]]).unwrap();
    assert_eq!(query.batch(&[&[(None, Some(1), 0)]]).unwrap_err().condition(), Some("ARITHMETIC_OVERFLOW"));
}

#[test]
fn state_is_taken_up_after_a_restart_and_given_up_after_a_failed_batch() {
    let dir = tempfile::tempdir().unwrap();
    let plan = || events().aggregate(vec![col(Column::new_unqualified("#k"))], counts()).unwrap();
    let mut query = TestQuery::start(plan(), OutputMode::Update, dir.path(), 3);
    query.batch(&[&[(Some("a"), Some(1), 0)]]).unwrap();
    query.batch(&[&[(Some("b"), Some(1), 0)]]).unwrap();
    drop(query);

    let mut query = TestQuery::start(plan(), OutputMode::Update, dir.path(), 3);
    query.plan.restore(2).unwrap();
    query.next = 2;
    assert!(query.batch(&[&[(Some("a"), Some(i64::MAX), 0)]]).is_err());
    query.plan.restore(2).unwrap();
    assert_eq!(query.batch(&[&[(Some("a"), Some(2), 0)]]).unwrap(), ["a,2,3"]);
    assert!(dir.path().join("0/0/_metadata/schema").is_file());
    assert!(dir.path().join("0/_metadata/metadata").is_file());
    assert!((0..3).all(|partition| dir.path().join(format!("0/{partition}/3.delta")).is_file()));
}

#[test]
fn state_of_another_schema_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let plan = |key: &str| events().aggregate(vec![col(Column::new_unqualified(key))], counts()).unwrap();
    TestQuery::start(plan("#k"), OutputMode::Update, dir.path(), 1).batch(&[&[(Some("a"), Some(1), 0)]]).unwrap();
    let query = TestQuery::start(plan("#v"), OutputMode::Update, dir.path(), 1);
    let error = query.plan.restore(1).unwrap_err();
    assert_eq!(error.condition(), Some("STATE_STORE_KEY_SCHEMA_NOT_COMPATIBLE"));
}

fn deduplicated(input: LogicalPlanBuilder, keys: &[&str], within_watermark: bool) -> LogicalPlanBuilder {
    let keys = keys.iter().map(|k| Column::new_unqualified(*k)).collect();
    let node = Deduplicate { input: Arc::new(input.build().unwrap()), keys, within_watermark };
    LogicalPlanBuilder::from(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

#[test]
fn the_first_row_of_a_key_passes_for_good_and_late_rows_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let plan = deduplicated(with_watermark(events(), 10_000), &["#k"], false);
    let mut query = TestQuery::start(plan, OutputMode::Append, dir.path(), 3);
    let rows: &[Row] = &[(Some("a"), Some(1), 50), (Some("a"), Some(2), 50), (None, Some(3), 50)];
    assert_eq!(query.batch(&[rows]).unwrap(), [",3,1970-01-01T00:00:50Z", "a,1,1970-01-01T00:00:50Z"]);
    let rows: &[Row] = &[(Some("a"), Some(4), 60), (Some("b"), Some(5), 60), (Some("c"), Some(6), 40)];
    query.batch_at(&[&[]], 40_000).unwrap();
    assert_eq!(query.batch_at(&[rows], 40_000).unwrap(), ["b,5,1970-01-01T00:01:00Z"]);
    let progress = &query.plan.progress()[0];
    assert_eq!((progress.rows_total, progress.rows_updated, progress.rows_dropped_by_watermark), (3, 1, 1));
    assert_eq!(progress.custom.get("numDroppedDuplicateRows"), Some(&1));
}

#[test]
fn a_key_within_the_watermark_is_forgotten_after_the_delay() {
    let dir = tempfile::tempdir().unwrap();
    let plan = deduplicated(with_watermark(events(), 10_000), &["#k"], true);
    let mut query = TestQuery::start(plan, OutputMode::Append, dir.path(), 2);
    query.batch(&[&[(Some("a"), Some(1), 50)]]).unwrap();
    assert!(query.batch_at(&[&[(Some("a"), Some(2), 69)]], 59_999).unwrap().is_empty());
    query.batch_at(&[&[]], 60_000).unwrap();
    assert_eq!(query.plan.progress()[0].rows_removed, 1);
    assert_eq!(query.batch_at(&[&[(Some("a"), Some(3), 70)]], 60_000).unwrap(), ["a,3,1970-01-01T00:01:10Z"]);
}

#[test]
fn a_limit_counts_over_all_batches() {
    let dir = tempfile::tempdir().unwrap();
    let mut query = TestQuery::start(events().limit(0, Some(3)).unwrap(), OutputMode::Append, dir.path(), 2);
    assert_eq!(query.batch(&[&[(Some("a"), None, 0), (Some("b"), None, 0)]]).unwrap().len(), 2);
    assert_eq!(query.batch(&[&[(Some("c"), None, 0), (Some("d"), None, 0)]]).unwrap().len(), 1);
    assert!(query.batch(&[&[(Some("e"), None, 0)]]).unwrap().is_empty());
    assert_eq!(query.plan.progress()[0].name, "globalLimit");
}

#[test]
fn an_observation_aggregates_the_rows_that_pass() {
    let dir = tempfile::tempdir().unwrap();
    let node = Observe {
        input: Arc::new(events().build().unwrap()),
        observation: "seen".into(),
        metrics: vec![
            aggregate("count", &[("#v", DataType::Int64)], "x"),
            aggregate("max", &[("#v", DataType::Int64)], "y"),
        ],
        names: vec!["n".into(), "top".into()],
    };
    let plan = LogicalPlanBuilder::from(LogicalPlan::Extension(Extension { node: Arc::new(node) }));
    let mut query = TestQuery::start(plan, OutputMode::Append, dir.path(), 2);
    query.batch(&[&[(None, Some(1), 0), (None, Some(7), 0), (None, None, 0)]]).unwrap();
    let observed = query.plan.observed();
    assert_eq!(lines(std::slice::from_ref(&observed["seen"])), ["2,7"]);
    query.batch(&[&[]]).unwrap();
    assert_eq!(lines(std::slice::from_ref(&query.plan.observed()["seen"])), ["0,"]);
}

/// Rows by `#k` and a session with a gap of five seconds after `#t`.
fn sessions(input: LogicalPlanBuilder) -> LogicalPlanBuilder {
    let gap = Typed::literal(ScalarValue::from("5 seconds"));
    let time = Typed::new(col(Column::new_unqualified("#t")), timestamp(), true);
    let window = session_window(&[time, gap], &context()).unwrap().value;
    let metadata = HashMap::from([(WATERMARK_DELAY_MS.to_string(), "10000".to_string())]);
    let session = window.expr.alias_with_metadata("#w", Some(FieldMetadata::from(metadata)));
    let mut columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
    columns.push(session);
    let input = input.project(columns).unwrap().build().unwrap();
    let keys = vec![Column::new_unqualified("#w"), Column::new_unqualified("#k")];
    let node = SessionAggregate::try_new(Arc::new(input), keys, 0, counts()).unwrap();
    LogicalPlanBuilder::from(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

#[test]
fn sessions_grow_and_merge_over_batches_and_close_behind_the_watermark() {
    let dir = tempfile::tempdir().unwrap();
    let mut query = TestQuery::start(sessions(with_watermark(events(), 10_000)), OutputMode::Append, dir.path(), 3);
    let figures = |query: &TestQuery| {
        let p = query.plan.progress().remove(0);
        (p.rows_total, p.rows_updated, p.rows_removed, p.rows_dropped_by_watermark)
    };
    let (a, b, one) = (Some("a"), Some("b"), Some(1));
    assert!(query.batch(&[&[(a, one, 1), (a, one, 8), (b, one, 1)]]).unwrap().is_empty());
    assert_eq!(figures(&query), (3, 3, 0, 0));
    assert!(query.batch(&[&[(a, Some(10), 4), (a, one, 11)]]).unwrap().is_empty());
    assert_eq!(figures(&query), (2, 1, 1, 0));
    assert!(query.batch_at(&[&[(a, one, 30)]], 1_000).unwrap().is_empty());
    assert_eq!(figures(&query), (3, 2, 0, 0));
    let closed = query.batch_at(&[&[]], 20_000).unwrap();
    assert_eq!(
        closed,
        [
            "{start: 1970-01-01T00:00:01Z, end: 1970-01-01T00:00:06Z},b,1,1",
            "{start: 1970-01-01T00:00:01Z, end: 1970-01-01T00:00:16Z},a,4,13"
        ]
    );
    query.batch_at(&[&[(a, Some(99), 12), (a, Some(5), 21)]], 20_000).unwrap();
    assert_eq!(figures(&query), (2, 2, 0, 1));
}

#[test]
fn state_of_other_operators_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let plan = events().aggregate(vec![col(Column::new_unqualified("#k"))], counts()).unwrap();
    TestQuery::start(plan, OutputMode::Update, dir.path(), 1).batch(&[&[(Some("a"), Some(1), 0)]]).unwrap();
    let query = TestQuery::start(deduplicated(events(), &["#k"], false), OutputMode::Append, dir.path(), 1);
    let error = query.plan.restore(1).unwrap_err();
    assert_eq!(error.condition(), Some("STREAMING_STATEFUL_OPERATOR_NOT_MATCH_IN_STATE_METADATA"));
}

#[test]
fn a_restart_without_any_state_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let query = TestQuery::start(deduplicated(events(), &["#k"], false), OutputMode::Append, dir.path(), 1);
    let error = query.plan.restore(3).unwrap_err();
    assert_eq!(error.condition(), Some("STREAMING_STATEFUL_OPERATOR_MISSING_STATE_DIRECTORY"));
}
