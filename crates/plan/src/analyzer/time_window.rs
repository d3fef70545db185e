//! `window()`, `session_window()` and `window_time()`.
//!
//! A call becomes a column of the operator's input: a tumbling window is a projection over the rows that have a time, a
//! sliding one a generator. The operator then refers to that column. Not here: lengths and alignment of windows
//! (`millstream_functions::datetime::window`), merging of sessions (`operators`).

use std::cell::RefCell;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields, IntervalMonthDayNano};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;
use millstream_functions::Typed;
use millstream_functions::arguments::wrong_count;
use millstream_functions::datetime::window::{self, TimeWindow};
use millstream_functions::kernel::{Kernel, list};

use super::expression::{Resolved, strip_alias};
use super::limit::filter_plan;
use super::rel::{Metadata, Rel, alias, new_attribute, project_plan};
use super::scope::Scope;
use super::select::generate;
use super::{Analyzer, errors};
use crate::ir;
use crate::resolved::Attribute;

/// Metadata key of a column made by `window()`.
pub const TIME_WINDOW: &str = "spark.timeWindow";
/// Metadata key of a column made by `session_window()`.
pub const SESSION_WINDOW: &str = "spark.sessionWindow";

/// Qualifier of a window's column while it can be found by name, which is up to the next select list.
pub const WINDOW_SCOPE: &str = "#window";

/// Frames of the windows wanted by the operators being resolved, innermost last.
pub type Frames = RefCell<Vec<Vec<Request>>>;

/// A window wanted by an expression, and the column it becomes.
#[derive(Debug, Clone)]
pub struct Request {
    window: TimeWindow,
    attribute: Attribute,
}

impl Analyzer<'_> {
    /// Resolves expressions of one operator over `rel`; returns `rel` with the windows that they refer to.
    pub fn over_time_windows<T>(
        &self,
        rel: Rel,
        resolve: impl FnOnce(&Rel) -> Result<T, SparkError>,
    ) -> Result<(Rel, T), SparkError> {
        self.windows.borrow_mut().push(Vec::new());
        let result = resolve(&rel);
        let requests = self.windows.borrow_mut().pop().unwrap_or_default();
        let result = result?;
        match requests.as_slice() {
            [] => Ok((rel, result)),
            [request] => Ok((request.apply(rel)?, result)),
            _ => Err(errors::analysis(
                "_LEGACY_ERROR_TEMP_1039",
                "",
                "Multiple time/session window expressions would result in a cartesian product of rows, therefore they are \
                 currently not supported.",
            )),
        }
    }

    /// Columns of the windows that expressions of the operator being resolved want: `window.start` beside `window(…)`.
    pub fn wanted_windows(&self) -> Vec<Attribute> {
        let windows = self.windows.borrow();
        windows.last().into_iter().flatten().map(|request| request.attribute.clone()).collect()
    }

    /// `window(time, length [, slide [, start]])`.
    pub fn resolve_time_window(&self, call: &ir::Function, scope: &Scope) -> Result<Resolved, SparkError> {
        let arguments = self.arguments(call, scope)?;
        let metadata = time_metadata(&arguments, TIME_WINDOW);
        let mut typed: Vec<Typed> = Vec::with_capacity(arguments.len());
        for (i, argument) in arguments.into_iter().enumerate() {
            typed.push(if i == 0 { argument.typed } else { self.length(argument)? });
        }
        let window = window::window(&typed, &self.context).map_err(|e| self.readable(e, scope))?;
        self.request("window", window, metadata)
    }

    /// `session_window(time, gap)`; the gap may depend on the row.
    pub fn resolve_session_window(&self, call: &ir::Function, scope: &Scope) -> Result<Resolved, SparkError> {
        let arguments = self.arguments(call, scope)?;
        let metadata = time_metadata(&arguments, SESSION_WINDOW);
        let typed: Vec<Typed> = arguments.into_iter().map(|a| calendar_interval(a.typed)).collect();
        let window = window::session_window(&typed, &self.context).map_err(|e| self.readable(e, scope))?;
        self.request("session_window", window, metadata)
    }

    /// A constant length of time, intervals as µs.
    fn length(&self, argument: Resolved) -> Result<Typed, SparkError> {
        let us = match self.fold(&argument.typed)? {
            ScalarValue::DurationMicrosecond(Some(us)) => us,
            ScalarValue::IntervalMonthDayNano(Some(i)) if i.months == 0 => {
                i64::from(i.days) * 86_400_000_000 + i.nanoseconds / 1000
            }
            other => return Ok(Typed::literal(other)),
        };
        Ok(Typed::literal(ScalarValue::Int64(Some(us))))
    }

    /// `window_time(window)`: the last time that lies in the window.
    pub fn resolve_window_time(&self, call: &ir::Function, scope: &Scope) -> Result<Resolved, SparkError> {
        let arguments = self.arguments(call, scope)?;
        let [window] = arguments.as_slice() else {
            return Err(wrong_count("window_time", "1", arguments.len()));
        };
        let typed = window::window_time("window_time", std::slice::from_ref(&window.typed), &self.context)
            .map_err(|e| self.readable(e, scope))?;
        let mut metadata = window.metadata.clone();
        let marked = [TIME_WINDOW, SESSION_WINDOW].map(|key| metadata.remove(key).is_some());
        if !marked.contains(&true) {
            return Err(errors::analysis("_LEGACY_ERROR_TEMP_3230", "", "The input is not a correct window column."));
        }
        let sql = format!("window_time({})", strip_alias(window));
        Ok(Resolved { metadata, ..Resolved::value(typed, sql) })
    }

    fn request(&self, name: &str, window: TimeWindow, metadata: Metadata) -> Result<Resolved, SparkError> {
        let mut windows = self.windows.borrow_mut();
        let Some(requests) = windows.last_mut() else {
            let feature = format!("The function `{name}` outside of a select list, filter or GROUP BY");
            return Err(SparkError::unsupported(feature));
        };
        if let Some(known) = requests.iter().find(|r| r.window.value.expr == window.value.expr) {
            return Ok(Resolved::column(&known.attribute));
        }
        let column = Typed {
            data_type: window::window_type(&window.time.data_type),
            nullable: window.sliding,
            ..window.value.clone()
        };
        let attribute = new_attribute(name, &column, metadata);
        self.name_column(&attribute.column, name);
        requests.push(Request { window, attribute: attribute.clone() });
        Ok(Resolved::column(&attribute))
    }
}

impl Request {
    /// Adds the window's column to a relation. Rows without a window are left out. The column is no part of `*`.
    fn apply(&self, rel: Rel) -> Result<Rel, SparkError> {
        let mut plan = rel.plan.clone();
        if let Some(keep) = &self.window.keep {
            plan = filter_plan(plan, keep.expr.clone())?;
        }
        let value = self.window.value.expr.clone();
        let column = Expr::Column(datafusion::common::Column::new_unqualified(&self.attribute.column));
        let (plan, value) = if self.window.sliding {
            let rows = one_column_rows(&self.window.value);
            (generate(plan, rows.expr, false, std::slice::from_ref(&self.attribute))?, column)
        } else {
            (plan, value)
        };
        let plan = self.with_column(plan, value)?;
        let mut rel = Rel { plan, ..rel };
        rel.hidden.push(Attribute { qualifier: vec![WINDOW_SCOPE.to_string()], ..self.attribute.clone() });
        Ok(rel)
    }

    /// Adds the column, or its metadata if it is there.
    fn with_column(&self, plan: LogicalPlan, value: Expr) -> Result<LogicalPlan, SparkError> {
        let others = plan.schema().columns().into_iter().filter(|c| c.name != self.attribute.column);
        let mut exprs: Vec<Expr> = others.map(Expr::Column).collect();
        exprs.push(alias(value, &self.attribute.column, &self.attribute.metadata));
        project_plan(plan, exprs)
    }
}

fn time_metadata(arguments: &[Resolved], marker: &str) -> Metadata {
    let mut metadata = arguments.first().map(|time| time.metadata.clone()).unwrap_or_default();
    metadata.remove(TIME_WINDOW);
    metadata.remove(SESSION_WINDOW);
    metadata.insert(marker.to_string(), "true".to_string());
    metadata
}

/// A constant interval of days and µs as a calendar interval.
fn calendar_interval(value: Typed) -> Typed {
    match value.as_literal() {
        Some(ScalarValue::DurationMicrosecond(Some(us))) => {
            let interval = IntervalMonthDayNano::new(0, 0, us.saturating_mul(1000));
            Typed::literal(ScalarValue::IntervalMonthDayNano(Some(interval)))
        }
        _ => value,
    }
}

/// A list of windows as the rows of a generator with one column.
fn one_column_rows(windows: &Typed) -> Typed {
    let window = match &windows.data_type {
        DataType::List(item) => item.data_type().clone(),
        other => other.clone(),
    };
    let row: Fields = vec![Field::new("window", window, true)].into();
    let item = Arc::new(Field::new("element", DataType::Struct(row.clone()), false));
    let kernel = Kernel::new("window_rows", DataType::List(Arc::clone(&item)), windows.nullable);
    kernel.arrays(std::slice::from_ref(windows), move |arguments, _| {
        let windows = list(&arguments[0])?;
        let rows = StructArray::try_new(row.clone(), vec![Arc::clone(windows.values())], None)?;
        let rows =
            ListArray::try_new(Arc::clone(&item), windows.offsets().clone(), Arc::new(rows), windows.nulls().cloned())?;
        Ok(Arc::new(rows) as ArrayRef)
    })
}
