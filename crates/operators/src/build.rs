//! Makes the stateful operators of a streaming query and their state.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema};
use datafusion::common::{Column, DFSchema, ExprSchema, JoinType, NullEquality, Result, plan_err};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, Join, LogicalPlan, Operator, lit, when};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_plan::nodes::{Deduplicate, SessionAggregate, WATERMARK_DELAY_MS};
use parking_lot::Mutex;

use crate::aggregate::StateAggregateExec;
use crate::deduplicate::{Keep, Keys, StateDeduplicateExec};
use crate::exec::external;
use crate::join::{Cleanup, JoinSpec, Side, StateJoinExec, both, bounds};
use crate::limit::StateLimitExec;
use crate::planner::{Context, dedup_keys, partial, session_partial};
use crate::session::{Sessions, StateSessionExec};
use crate::stores::{Expiry, NoDataBatch, OperatorState, StoreFields, StoreSpec, fields, types};
use crate::stream_plan::{OutputMode, StreamSettings};

/// What the stateful operators of a streaming query need to be made, and those that were.
pub struct StreamBuild {
    /// Output mode of the query.
    pub mode: OutputMode,
    /// Settings of the query.
    pub settings: StreamSettings,
    /// Spark's names of the plan's internal columns.
    pub names: Arc<HashMap<String, String>>,
    /// The stateful operators made so far.
    pub operators: Mutex<Vec<Arc<OperatorState>>>,
}

impl StreamBuild {
    /// `dedupe`, `dedupeWithinWatermark`.
    pub(crate) fn deduplicate(
        &self,
        operator: u32,
        node: &Deduplicate,
        input: &Arc<dyn ExecutionPlan>,
        context: &Context,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = dedup_keys(node, context)?;
        let schema = node.input.schema();
        let delay_ms = |field: &Field| field.metadata().get(WATERMARK_DELAY_MS).and_then(|ms| ms.parse::<i64>().ok());
        let event_time = schema.fields().iter().position(|f| delay_ms(f).is_some());
        let key_field = |key: &Column| Ok(schema.field_from_column(key)?.clone());
        let key: Fields = node.keys.iter().map(key_field).collect::<Result<Vec<_>>>()?.into();
        let event_time_key =
            event_time.and_then(|time| node.keys.iter().position(|key| schema.index_of_column(key).ok() == Some(time)));
        let delay = event_time.and_then(|time| delay_ms(schema.field(time)));
        let keep = match (node.within_watermark, delay) {
            (false, _) => Keep::UntilKeyExpires,
            (true, Some(ms)) => Keep::ForDelay(ms.saturating_mul(1000)),
            (true, None) => {
                return plan_err!(
                    "dropDuplicatesWithinWatermark is not supported on streaming DataFrames/DataSets without watermark"
                );
            }
        };
        let (value, expiry) = match (node.within_watermark, event_time_key) {
            (true, _) => (("expiresAtMicros", DataType::Int64), Expiry::ByValue(0)),
            (false, Some(key)) => (("__dummy__", DataType::Null), Expiry::ByKey(key)),
            (false, None) => (("__dummy__", DataType::Null), Expiry::Never),
        };
        let keys = Arc::new(Keys::try_new(columns, &types(&key), event_time, event_time_key, keep)?);
        let state = self.state(StoreSpec {
            operator,
            name: if node.within_watermark { "dedupeWithinWatermark" } else { "dedupe" },
            stores: vec![StoreFields::only(key, fields([value]), expiry)],
            partitions: self.settings.state_partitions.max(1),
            no_data_batch: NoDataBatch::WatermarkMoved,
            custom: Some("numDroppedDuplicateRows"),
        });
        Ok(Arc::new(StateDeduplicateExec::new(Arc::clone(input), keys, state)))
    }

    /// `globalLimit`.
    pub(crate) fn limit(&self, operator: u32, rows: usize, input: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        let (key, value) = (fields([("key", DataType::Null)]), fields([("value", DataType::Int64)]));
        let state = self.state(StoreSpec {
            operator,
            name: "globalLimit",
            stores: vec![StoreFields::only(key, value, Expiry::Never)],
            partitions: 1,
            no_data_batch: NoDataBatch::Never,
            custom: None,
        });
        Arc::new(StateLimitExec::new(Arc::clone(input), rows, state))
    }

    /// Makes and registers the state of an operator.
    pub(crate) fn state(&self, mut spec: StoreSpec) -> Arc<OperatorState> {
        for store in &mut spec.stores {
            store.key = self.named(&store.key);
            store.value = self.named(&store.value);
        }
        let state = Arc::new(OperatorState::new(spec, &self.settings));
        self.operators.lock().push(Arc::clone(&state));
        state
    }

    /// Fields under Spark's names.
    fn named(&self, fields: &Fields) -> Fields {
        let name = |field: &Arc<Field>| match self.names.get(field.name()) {
            Some(name) => Arc::new(field.as_ref().clone().with_name(name)),
            None => Arc::clone(field),
        };
        fields.iter().map(name).collect()
    }

    /// `stateStoreSave`.
    pub(crate) fn aggregate(
        &self,
        operator: u32,
        node: &Aggregate,
        logical_input: &LogicalPlan,
        input: &Arc<dyn ExecutionPlan>,
        context: &Context,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let partial = partial(&node.group_expr, &node.aggr_expr, &node.schema, logical_input, input, context)?;
        let expiry = partial.layout.event_time_key.map_or(Expiry::Never, Expiry::ByKey);
        let state = self.state(StoreSpec {
            operator,
            name: "stateStoreSave",
            stores: vec![StoreFields::only(partial.key, partial.buffers, expiry)],
            partitions: if node.group_expr.is_empty() { 1 } else { self.settings.state_partitions.max(1) },
            no_data_batch: self.no_data_batch(),
            custom: None,
        });
        Ok(Arc::new(StateAggregateExec::try_new(partial.plan, partial.layout, state, self.mode)?))
    }

    /// Aggregations ask for a batch without data unless they give out everything anyway.
    fn no_data_batch(&self) -> NoDataBatch {
        match self.mode {
            OutputMode::Complete => NoDataBatch::Never,
            _ => NoDataBatch::WatermarkMoved,
        }
    }

    /// `sessionWindowStateStoreSaveExec`.
    pub(crate) fn session(
        &self,
        operator: u32,
        node: &SessionAggregate,
        logical_input: &LogicalPlan,
        input: &Arc<dyn ExecutionPlan>,
        context: &Context,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let partial = session_partial(node, logical_input, input, context)?;
        let value: Fields = partial.key.iter().chain(&partial.buffers).cloned().collect();
        let expiry = partial.layout.event_time_key.map_or(Expiry::Never, Expiry::ByValue);
        let sessions = Arc::new(Sessions::try_new(partial.layout, node.session)?);
        let others = partial.key.iter().enumerate().filter(|(i, _)| *i != node.session);
        let names = others.map(|(_, f)| f.name().as_str()).chain(["sessionStartTime"]);
        let key = fields(names.zip(sessions.key_types().iter().cloned()));
        let prefix = key.len() - 1;
        let state = self.state(StoreSpec {
            operator,
            name: "sessionWindowStateStoreSaveExec",
            stores: vec![StoreFields { prefix, ..StoreFields::only(key, value, expiry) }],
            partitions: self.settings.state_partitions.max(1),
            no_data_batch: self.no_data_batch(),
            custom: None,
        });
        Ok(Arc::new(StateSessionExec::new(partial.plan, sessions, state, self.mode)))
    }

    /// `symmetricHashJoin`.
    pub(crate) fn join(
        &self,
        operator: u32,
        node: &Join,
        left: &Arc<dyn ExecutionPlan>,
        right: &Arc<dyn ExecutionPlan>,
        context: &Context,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let spec = Arc::new(join_spec(node, left, right, context)?);
        let cleans_up = [&spec.left, &spec.right].iter().any(|side| side.cleanup != Cleanup::Never);
        let [left_counts, left_rows] = spec.left.store_fields(["left-keyToNumValues", "left-keyWithIndexToValue"]);
        let [right_counts, right_rows] = spec.right.store_fields(["right-keyToNumValues", "right-keyWithIndexToValue"]);
        let state = self.state(StoreSpec {
            operator,
            name: "symmetricHashJoin",
            stores: vec![left_counts, left_rows, right_counts, right_rows],
            partitions: self.settings.state_partitions.max(1),
            no_data_batch: if cleans_up { NoDataBatch::WatermarkMoved } else { NoDataBatch::Never },
            custom: None,
        });
        Ok(Arc::new(StateJoinExec::new(Arc::clone(left), Arc::clone(right), spec, state)))
    }
}

/// Takes a join apart: conditions of one side, conditions of both, and how long each side is kept.
fn join_spec(
    node: &Join,
    left: &Arc<dyn ExecutionPlan>,
    right: &Arc<dyn ExecutionPlan>,
    context: &Context,
) -> Result<JoinSpec> {
    let supported = [JoinType::Inner, JoinType::Left, JoinType::Right, JoinType::Full, JoinType::LeftSemi];
    if !supported.contains(&node.join_type) {
        return Err(external(SparkError::unsupported(format!("A {} join of two streams", node.join_type))));
    }
    let (left_schema, right_schema) = (node.left.schema(), node.right.schema());
    let conjuncts: Vec<Expr> = node.filter.iter().flat_map(|f| split_conjunction(f)).cloned().collect();
    let of = |schema: &DFSchema, expr: &Expr| expr.column_refs().iter().all(|c| schema.has_column(c));
    let null_safe = node.null_equality == NullEquality::NullEqualsNull;
    let mut equal: Vec<(Expr, Expr, bool)> = node.on.iter().map(|(l, r)| (l.clone(), r.clone(), null_safe)).collect();
    let (equalities, conjuncts): (Vec<Expr>, Vec<Expr>) =
        conjuncts.into_iter().partition(|c| equality(c, &|e| of(left_schema, e), &|e| of(right_schema, e)).is_some());
    equal.extend(equalities.iter().filter_map(|c| equality(c, &|e| of(left_schema, e), &|e| of(right_schema, e))));
    let needed = needed_columns(&equal, &conjuncts);
    let on = keys_of(equal, left_schema)?;
    if on.is_empty() {
        let text = "Stream-stream join without equality predicate is not supported";
        return Err(external(SparkError::plain(ExceptionClass::Analysis, text)));
    }
    let both_columns = left_schema.join(right_schema)?;
    let (mut left_only, mut right_only, mut rest) = (vec![], vec![], vec![]);
    for conjunct in &conjuncts {
        match (of(left_schema, conjunct), of(right_schema, conjunct)) {
            (true, _) => left_only.push(context.expr(conjunct, left_schema)?),
            (_, true) => right_only.push(context.expr(conjunct, right_schema)?),
            _ => rest.push(conjunct.clone()),
        }
    }
    let time = |schema: &DFSchema| schema.fields().iter().position(|f| f.metadata().contains_key(WATERMARK_DELAY_MS));
    let (left_time, right_time) = (time(left_schema), time(right_schema));
    let is_time = |schema: &DFSchema, time: Option<usize>, key: &Expr| match key {
        Expr::Column(column) => time.is_some() && schema.maybe_index_of_column(column) == time,
        _ => false,
    };
    let time_key = on.iter().position(|(l, r)| {
        let marked = |schema: &DFSchema, e: &Expr| {
            e.to_field(schema).is_ok_and(|(_, field)| field.metadata().contains_key(WATERMARK_DELAY_MS))
        };
        is_time(left_schema, left_time, l)
            || is_time(right_schema, right_time, r)
            || marked(left_schema, l)
            || marked(right_schema, r)
    });
    let cleanup = |own: &DFSchema, own_time: Option<usize>, other: &DFSchema, other_time: Option<usize>| {
        if let Some(key) = time_key {
            return Cleanup::Key(key);
        }
        let (Some(_), Some(other_time)) = (own_time, other_time) else { return Cleanup::Never };
        let (qualifier, field) = other.qualified_field(other_time);
        let other_column = Column::new(qualifier.cloned(), field.name());
        match bounds(&conjuncts, |c| own.has_column(c), &other_column) {
            none if none.is_empty() => Cleanup::Never,
            bounds => Cleanup::Value(bounds),
        }
    };
    let keys = |schema: &DFSchema, side: fn(&(Expr, Expr)) -> &Expr| {
        on.iter().map(|pair| context.expr(side(pair), schema)).collect::<Result<Vec<_>>>()
    };
    let kind = node.join_type;
    let left_outer = matches!(kind, JoinType::Left | JoinType::Full);
    let right_outer = matches!(kind, JoinType::Right | JoinType::Full);
    let needed = |schema: &DFSchema, outer: bool| {
        (!outer).then(|| needed.iter().filter_map(|column| schema.maybe_index_of_column(column)).collect())
    };
    let output =
        node.schema.as_arrow().fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect::<Vec<_>>();
    Ok(JoinSpec {
        left: Side::try_new(
            left.schema(),
            keys(left_schema, |pair| &pair.0)?,
            left_only,
            left_time,
            cleanup(left_schema, left_time, right_schema, right_time),
            left_outer,
            needed(left_schema, left_outer),
            0,
        )?,
        right: Side::try_new(
            right.schema(),
            keys(right_schema, |pair| &pair.1)?,
            right_only,
            right_time,
            cleanup(right_schema, right_time, left_schema, left_time),
            right_outer,
            needed(right_schema, right_outer),
            2,
        )?,
        kind,
        filter: conjunction(rest).map(|f| context.expr(&f, &both_columns)).transpose()?,
        both: both(&left.schema(), &right.schema()),
        output: Arc::new(Schema::new(output)),
    })
}

/// The keys that make these equalities one of bytes: where null equals null, Spark has two keys, the value with a default for
/// null, and whether it is null.
fn keys_of(equal: Vec<(Expr, Expr, bool)>, left: &DFSchema) -> Result<Vec<(Expr, Expr)>> {
    let mut keys = Vec::with_capacity(equal.len());
    for (l, r, null_safe) in equal {
        if !null_safe {
            keys.push((l, r));
            continue;
        }
        let default = lit(ScalarValue::new_default(&l.get_type(left)?)?);
        let or_default = |e: &Expr| when(e.clone().is_not_null(), e.clone()).otherwise(default.clone());
        keys.push((or_default(&l)?, or_default(&r)?));
        keys.push((l.is_null(), r.is_null()));
    }
    Ok(keys)
}

/// Columns without whose value the condition cannot hold.
fn needed_columns(equal: &[(Expr, Expr, bool)], conjuncts: &[Expr]) -> HashSet<Column> {
    let mut needed = HashSet::new();
    for (l, r, _) in equal.iter().filter(|(_, _, null_safe)| !null_safe) {
        null_if_null(l, &mut needed);
        null_if_null(r, &mut needed);
    }
    conjuncts.iter().for_each(|conjunct| null_if_null(conjunct, &mut needed));
    needed
}

/// Collects the columns that make the expression null when they are. What is not known to do so is left out: rows are then
/// kept that can never match, which costs space only.
fn null_if_null(expr: &Expr, found: &mut HashSet<Column>) {
    match expr {
        Expr::Column(column) => {
            found.insert(column.clone());
        }
        Expr::Alias(alias) => null_if_null(&alias.expr, found),
        Expr::Cast(cast) => null_if_null(&cast.expr, found),
        Expr::Not(child) | Expr::Negative(child) => null_if_null(child, found),
        Expr::BinaryExpr(binary) => {
            use Operator::{Divide, Eq, Gt, GtEq, Lt, LtEq, Minus, Modulo, Multiply, NotEq, Plus};
            if matches!(binary.op, Divide | Eq | Gt | GtEq | Lt | LtEq | Minus | Modulo | Multiply | NotEq | Plus) {
                null_if_null(&binary.left, found);
                null_if_null(&binary.right, found);
            }
        }
        Expr::ScalarFunction(call) if NULL_IF_NULL.contains(&call.func.name()) => {
            call.args.iter().for_each(|argument| null_if_null(argument, found));
        }
        _ => {}
    }
}

/// Functions that give null whenever an argument is null.
const NULL_IF_NULL: &[&str] = &[
    "=",
    "==",
    "<",
    "<=",
    ">",
    ">=",
    "<>",
    "!=",
    "+",
    "-",
    "*",
    "/",
    "%",
    "div",
    "mod",
    "pmod",
    "negative",
    "abs",
    "cast",
    "upper",
    "ucase",
    "lower",
    "lcase",
    "trim",
    "ltrim",
    "rtrim",
    "length",
    "char_length",
    "substring",
    "substr",
    "startswith",
    "endswith",
    "contains",
    "like",
    "rlike",
    "year",
    "month",
    "day",
    "dayofmonth",
    "hour",
    "minute",
    "second",
    "date_add",
    "date_sub",
    "datediff",
    "date_trunc",
    "floor",
    "ceil",
    "ceiling",
    "timestampadd",
];

/// The two sides of an equality between the sides of a join, and whether null equals null in it. Equalities of types that
/// DataFusion does not compare itself are kernels.
fn equality(
    expr: &Expr,
    of_left: &dyn Fn(&Expr) -> bool,
    of_right: &dyn Fn(&Expr) -> bool,
) -> Option<(Expr, Expr, bool)> {
    let (a, b, null_safe) = match expr {
        Expr::BinaryExpr(e) if e.op == Operator::Eq => (e.left.as_ref(), e.right.as_ref(), false),
        Expr::BinaryExpr(e) if e.op == Operator::IsNotDistinctFrom => (e.left.as_ref(), e.right.as_ref(), true),
        Expr::ScalarFunction(call) => match (call.func.name(), call.args.as_slice()) {
            ("=" | "==", [a, b]) => (a, b, false),
            ("<=>", [a, b]) => (a, b, true),
            _ => return None,
        },
        _ => return None,
    };
    // A side without columns is a constant, and no key.
    let has_columns = |e: &Expr| !e.column_refs().is_empty();
    if !has_columns(a) || !has_columns(b) {
        return None;
    }
    match (of_left(a) && of_right(b), of_left(b) && of_right(a)) {
        (true, _) => Some((a.clone(), b.clone(), null_safe)),
        (_, true) => Some((b.clone(), a.clone(), null_safe)),
        _ => None,
    }
}
