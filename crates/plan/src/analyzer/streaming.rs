//! Operators that mean something of their own over streams: watermark, deduplication, observed metrics.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::logical_expr::{Aggregate, Distinct, DistinctOn, Expr, Extension, LogicalPlan};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_functions::datetime::interval;

use super::rel::{Rel, column, planner_error};
use super::scope::Scope;
use super::{Analyzer, errors};

use crate::ir::{self, Relation};
use crate::nodes::{CalendarInterval, Deduplicate, EventTime, Observe, WATERMARK_DELAY_MS};
use crate::resolved::Attribute;

/// Above this number of names the order of keys is that of a hash set.
const ORDERED_KEYS_MAX: usize = 4;

impl Analyzer<'_> {
    /// `withWatermark`.
    pub fn with_watermark(&self, input: &Relation, event_time: &str, delay: &str) -> Result<Rel, SparkError> {
        let rel = self.relation(input)?;
        let delay = parse_delay(delay)?;
        let parts = super::columns::name_parts(event_time)?;
        let found =
            self.names.find(&parts, &rel.output)?.ok_or_else(|| errors::unresolved_column(&parts, &rel.names()))?;
        if !found.fields.is_empty() {
            return Err(errors::analysis(
                "EVENT_TIME_MUST_BE_TOP_LEVEL_COLUMN",
                "42K09",
                format!(
                    "The event time in withWatermark must be a top-level column, but '{event_time}' is a nested field. To use it, \
                     alias it to a top-level column in a select before withWatermark."
                ),
            )
            .with("eventExpr", event_time));
        }
        let attribute = found.attribute.clone();
        if !is_event_time(&attribute.data_type) {
            let (name, found) = (errors::quoted_one(&attribute.name), Self::type_name(&attribute.data_type));
            return Err(errors::event_time_type(&name, &found));
        }
        self.watermarked(rel, &attribute, delay)
    }

    fn watermarked(&self, rel: Rel, attribute: &Attribute, delay: CalendarInterval) -> Result<Rel, SparkError> {
        let time = Column::new_unqualified(&attribute.column);
        let node = EventTime::try_new(Arc::new(rel.plan.clone()), time, delay).map_err(planner_error)?;
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        let mut marked = rel.with_plan(plan);
        for column in marked.output.iter_mut().chain(&mut marked.hidden) {
            column.metadata.remove(WATERMARK_DELAY_MS);
            if column.column == attribute.column {
                column.metadata.insert(WATERMARK_DELAY_MS.to_string(), delay.delay_ms().to_string());
            }
        }
        Ok(marked)
    }

    /// The first row of each key.
    pub fn deduplicate(&self, input: &Relation, columns: &[String], within_watermark: bool) -> Result<Rel, SparkError> {
        self.deduplicated(self.relation(input)?, columns, within_watermark)
    }

    /// `SELECT DISTINCT`.
    pub fn distinct(&self, input: &Relation) -> Result<Rel, SparkError> {
        let rel = self.relation(input)?;
        if !rel.streaming {
            return self.deduplicated(rel, &[], false);
        }
        let mut seen = HashSet::new();
        let keys: Vec<Expr> = rel.output.iter().filter(|a| seen.insert(&a.column)).map(|a| column(&a.column)).collect();
        let grouped = Aggregate::try_new(Arc::new(rel.plan.clone()), keys, Vec::new()).map_err(planner_error)?;
        Ok(Rel { plan: LogicalPlan::Aggregate(grouped), hidden: Vec::new(), ..rel })
    }

    fn deduplicated(&self, rel: Rel, columns: &[String], within_watermark: bool) -> Result<Rel, SparkError> {
        let names: Vec<String> =
            if columns.is_empty() { rel.output.iter().map(|a| a.name.clone()).collect() } else { columns.to_vec() };
        let mut keys: Vec<Column> = Vec::with_capacity(names.len());
        for name in spark_set_order(&names) {
            let fitting: Vec<&Attribute> = rel.output.iter().filter(|a| self.names.same(&a.name, &name)).collect();
            if fitting.is_empty() {
                return Err(unknown_key(&name, &rel));
            }
            for attribute in fitting {
                let key = Column::new_unqualified(&attribute.column);
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        let all = keys.len() == rel.output.iter().map(|a| &a.column).collect::<HashSet<_>>().len();
        let plan = if rel.streaming || within_watermark {
            let node = Deduplicate { input: Arc::new(rel.plan.clone()), keys, within_watermark };
            LogicalPlan::Extension(Extension { node: Arc::new(node) })
        } else if all && rel.hidden.is_empty() && rel.plan.schema().fields().len() == keys.len() {
            LogicalPlan::Distinct(Distinct::All(Arc::new(rel.plan.clone())))
        } else {
            distinct_on(&rel, &keys)?
        };
        Ok(rel.with_plan(plan))
    }

    /// `observe`.
    pub fn observe(&self, input: &Relation, name: &str, metrics: &[ir::Expr]) -> Result<Rel, SparkError> {
        let rel = self.relation(input)?;
        let scope = Scope::of(&rel);
        let resolved =
            metrics.iter().map(|m| self.resolve_scalar(m, &scope, "CollectMetrics")).collect::<Result<Vec<_>, _>>()?;
        for metric in &resolved {
            if !super::expression::has_aggregate(&metric.typed.expr)
                && !super::expression::columns_of(&metric.typed.expr).is_empty()
            {
                let text = super::expression::strip_alias(metric);
                return Err(errors::analysis(
                    "INVALID_OBSERVED_METRICS.NON_AGGREGATE_FUNC_ARG_IS_ATTRIBUTE",
                    "42K0E",
                    format!("Invalid observed metrics. Attribute \"{text}\" can only be used as an argument to an aggregate function."),
                )
                .with("expr", format!("\"{text}\"")));
            }
        }
        let node = Observe {
            input: Arc::new(rel.plan.clone()),
            observation: name.to_string(),
            names: resolved.iter().map(super::expression::Resolved::output_name).collect(),
            metrics: resolved.into_iter().map(|r| r.typed.expr).collect(),
        };
        Ok(rel.with_plan(LogicalPlan::Extension(Extension { node: Arc::new(node) })))
    }
}

/// One row per key of rows at rest.
fn distinct_on(rel: &Rel, keys: &[Column]) -> Result<LogicalPlan, SparkError> {
    let on = keys.iter().cloned().map(datafusion::logical_expr::Expr::Column).collect();
    let columns: Vec<_> = rel.plan.schema().fields().iter().map(|f| column(f.name())).collect();
    let distinct = DistinctOn::try_new(on, columns, None, Arc::new(rel.plan.clone())).map_err(planner_error)?;
    Ok(LogicalPlan::Distinct(Distinct::On(distinct)))
}

fn unknown_key(name: &str, rel: &Rel) -> SparkError {
    let fields = rel.output.iter().map(|a| a.name.as_str()).collect::<Vec<_>>().join(", ");
    SparkError::new(
        ExceptionClass::InvalidPlan,
        "CONNECT_INVALID_PLAN.UNRESOLVED_COLUMN_AMONG_FIELD_NAMES",
        "56K00",
        format!("The Spark Connect plan is invalid. Cannot resolve column name \"{name}\" among ({fields})."),
    )
    .with("colName", name)
    .with("fieldNames", fields)
}

/// Whether a column can carry event time: a timestamp, or a window.
fn is_event_time(data_type: &DataType) -> bool {
    let timestamp = |t: &DataType| matches!(t, DataType::Timestamp(_, Some(_)));
    match data_type {
        DataType::Struct(fields) => fields.iter().any(|f| f.name() == "end" && timestamp(f.data_type())),
        other => timestamp(other),
    }
}

/// The delay of a watermark.
fn parse_delay(text: &str) -> Result<CalendarInterval, SparkError> {
    let delay = interval::parse(text).map_err(|_| interval::cannot_parse(text))?;
    // Spark tests the interval with a month of 31 days and the sign of the sum.
    let months_us = i128::from(delay.months) * 31 * 86_400_000_000;
    let total_us = months_us + i128::from(delay.days) * 86_400_000_000 + i128::from(delay.micros);
    if total_us < 0 {
        return Err(SparkError::plain(
            ExceptionClass::IllegalArgument,
            format!("requirement failed: delay threshold ({text}) should not be negative."),
        ));
    }
    Ok(delay)
}

/// The distinct names in the order in which a Scala set of them is walked: as given up to four, else by hash.
fn spark_set_order(names: &[String]) -> Vec<String> {
    let mut distinct: Vec<String> = Vec::with_capacity(names.len());
    for name in names {
        if !distinct.contains(name) {
            distinct.push(name.clone());
        }
    }
    if distinct.len() <= ORDERED_KEYS_MAX {
        return distinct;
    }
    let hashed = distinct.into_iter().map(|name| (spread_hash(&name), name)).collect();
    let mut ordered = Vec::new();
    walk_trie(hashed, 0, &mut ordered);
    ordered
}

/// Java's hash of a string, spread as the hash tries of Scala spread it.
fn spread_hash(name: &str) -> u32 {
    let hash = name.encode_utf16().fold(0_u32, |h, unit| h.wrapping_mul(31).wrapping_add(unit.into()));
    let hash = hash.wrapping_add(!(hash << 9));
    let hash = hash ^ (hash >> 14);
    let hash = hash.wrapping_add(hash << 4);
    hash ^ (hash >> 10)
}

/// A node of the trie has 32 slots by five bits of the hash: first come the names alone in their slot, then the slots that
/// several names share.
fn walk_trie(names: Vec<(u32, String)>, shift: u32, ordered: &mut Vec<String>) {
    const SLOTS: u32 = 32;
    let mut shared = Vec::new();
    for slot in 0..SLOTS {
        let mut here: Vec<(u32, String)> =
            names.iter().filter(|(hash, _)| shift >= 32 || (hash >> shift) % SLOTS == slot).cloned().collect();
        match here.len() {
            0 => {}
            1 => ordered.extend(here.pop().map(|(_, name)| name)),
            _ => shared.push(here),
        }
        if shift >= 32 {
            break;
        }
    }
    for group in shared {
        if shift >= 32 {
            ordered.extend(group.into_iter().map(|(_, name)| name));
        } else {
            walk_trie(group, shift + 5, ordered);
        }
    }
}

#[cfg(test)]
mod order_tests {
    use super::spark_set_order;

    fn names(text: &str) -> Vec<String> {
        text.split(',').map(str::to_string).collect()
    }

    #[test]
    fn up_to_four_keys_stay_as_given() {
        assert_eq!(spark_set_order(&names("d,a,a,c")), names("d,a,c"));
    }

    #[test]
    fn seven_keys_come_in_the_order_of_a_scala_set() {
        assert_eq!(spark_set_order(&names("a,b,c,d,e,f,g")), names("e,f,a,b,g,c,d"));
    }
}
