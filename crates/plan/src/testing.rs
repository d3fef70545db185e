//! A catalog and relations to test with.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::TableProvider;
use datafusion::prelude::SessionContext;
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;
use millstream_formats::types;
use millstream_functions::FunctionContext;

use crate::analyze;
use crate::catalog::{Catalog, Table};
use crate::ir::{
    Aggregate, CatalogQuery, DataSourceRead, Expr, Grouping, Join, JoinKind, Options, PythonUdf, Relation, RelationOp,
    SortOrder,
};
use crate::resolved::{ResolvedPlan, StreamOrigin, StreamTable};

/// A catalog of views and streams by name.
#[derive(Default)]
pub struct TestCatalog {
    /// Views by name.
    pub views: HashMap<String, Arc<ResolvedPlan>>,
}

#[derive(Debug)]
struct TestOrigin;

impl StreamOrigin for TestOrigin {
    fn name(&self) -> String {
        "test".to_string()
    }

    fn as_any(&self) -> &(dyn std::any::Any + Send + Sync) {
        self
    }
}

impl Catalog for TestCatalog {
    fn table(&self, name: &[String], _: &Options, _: bool) -> Result<Option<(Vec<String>, Table)>, SparkError> {
        let found = name.last().and_then(|n| self.views.get(n));
        Ok(found.map(|plan| (name.to_vec(), Table::View(Arc::clone(plan)))))
    }

    fn data_source(&self, _: &DataSourceRead, _: Option<i64>) -> Result<Table, SparkError> {
        let schema = Arc::new(Schema::new(vec![
            Field::new("ts", types::timestamp(), true),
            Field::new("k", DataType::Utf8, true),
            Field::new("v", DataType::Int32, true),
        ]));
        Ok(Table::Stream(Arc::new(StreamTable { schema, id: 0, origin: Arc::new(TestOrigin) })))
    }

    fn cached(&self, id: &str) -> Result<Arc<ResolvedPlan>, SparkError> {
        Err(SparkError::internal(id))
    }

    fn query(&self, query: &CatalogQuery) -> Result<Arc<dyn TableProvider>, SparkError> {
        Err(SparkError::internal(&query.method))
    }

    fn python_function(&self, _: &str) -> Option<PythonUdf> {
        None
    }

    fn collect(&self, plan: &ResolvedPlan) -> Result<Vec<RecordBatch>, SparkError> {
        Ok(run(plan))
    }

    fn conf(&self, _: &str) -> Option<String> {
        None
    }

    fn function_context(&self) -> FunctionContext {
        FunctionContext {
            ansi: true,
            time_zone: "UTC".into(),
            now_us: Arc::new(AtomicI64::new(0)),
            user: "user".into(),
            database: "default".into(),
        }
    }
}

pub fn run(plan: &ResolvedPlan) -> Vec<RecordBatch> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let context = SessionContext::new();
        let frame = context.execute_logical_plan(plan.plan.clone()).await.unwrap();
        frame.collect().await.unwrap()
    })
}

/// The rows of a relation under the names users see, sorted as text.
pub fn rows(relation: &Relation) -> String {
    let plan = analyze(relation, &TestCatalog::default()).unwrap();
    let batches: Vec<RecordBatch> = run(&plan)
        .into_iter()
        .map(|b| {
            let fields: Vec<Field> = b
                .schema()
                .fields()
                .iter()
                .zip(&plan.output)
                .map(|(f, a)| Field::new(&a.name, f.data_type().clone(), true))
                .collect();
            RecordBatch::try_new(Arc::new(Schema::new(fields)), b.columns().to_vec()).unwrap()
        })
        .collect();
    let text = pretty_format_batches(&batches).unwrap().to_string();
    let lines: Vec<&str> = text.lines().collect();
    let (head, body) = lines.split_at(3.min(lines.len()));
    let mut body: Vec<&str> = body.iter().filter(|l| l.starts_with('|')).copied().collect();
    body.sort_unstable();
    let cells = |l: &str| l.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join(",");
    head.get(1).into_iter().map(|l| cells(l)).chain(body.into_iter().map(cells)).collect::<Vec<_>>().join(" / ")
}

pub fn schema(relation: &Relation) -> SchemaRef {
    analyze(relation, &TestCatalog::default()).unwrap().schema()
}

pub fn condition(relation: &Relation) -> String {
    let error = analyze(relation, &TestCatalog::default()).unwrap_err();
    format!("{} {}", error.condition().unwrap_or_default(), error.sql_state().unwrap_or_default())
}

/// `k: string, v: int` with three rows.
pub fn pairs(plan_id: i64) -> Relation {
    let schema =
        Arc::new(Schema::new(vec![Field::new("k", DataType::Utf8, true), Field::new("v", DataType::Int32, true)]));
    let columns: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from(vec!["a", "b", "a"])), Arc::new(Int32Array::from(vec![1, 2, 3]))];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    Relation { plan_id: Some(plan_id), op: Box::new(RelationOp::Local { batches: vec![batch], schema }) }
}

pub fn events() -> Relation {
    let schema = Arc::new(Schema::new(vec![Field::new("ts", types::timestamp(), true)]));
    let times = TimestampMicrosecondArray::from(vec![Some(1_000_000), Some(7_000_000), None]).with_timezone("UTC");
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(times)]).unwrap();
    RelationOp::Local { batches: vec![batch], schema }.into()
}

pub fn stream() -> Relation {
    RelationOp::DataSource(DataSourceRead { streaming: true, ..Default::default() }).into()
}

pub fn col(name: &str) -> Expr {
    Expr::attribute(name.split('.'))
}

pub fn of(plan_id: i64, name: &str) -> Expr {
    Expr::Attribute(crate::ir::Attribute { name: vec![name.into()], plan_id: Some(plan_id), metadata: false })
}

pub fn int(value: i32) -> Expr {
    Expr::Literal(ScalarValue::Int32(Some(value)))
}

pub fn select(input: Relation, expressions: Vec<Expr>) -> Relation {
    RelationOp::Project { input, expressions }.into()
}

pub fn group(input: Relation, keys: Vec<Expr>, expressions: Vec<Expr>) -> Relation {
    RelationOp::Aggregate(Aggregate {
        input,
        grouping: Grouping::Keys,
        keys,
        expressions,
        keys_first: true,
        having: None,
    })
    .into()
}

pub fn sort(input: Relation, expr: Expr) -> Relation {
    let order = vec![SortOrder { expr, ascending: true, nulls_first: true }];
    RelationOp::Sort { input, order, global: true }.into()
}

pub fn join(left: Relation, right: Relation, condition: Option<Expr>, using: &[&str], kind: JoinKind) -> Relation {
    let using = using.iter().map(|s| (*s).to_string()).collect();
    RelationOp::Join(Join { left, right, condition, using, natural: false, kind }).into()
}
