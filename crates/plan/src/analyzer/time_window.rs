//! `window()`, `session_window()` and `window_time()`.
//!
//! A call becomes a column of the operator's input: a tumbling window is a projection over the rows that have a time, a
//! sliding one a generator. The operator then refers to that column. Times are µs since the epoch, windows are aligned to
//! the epoch whatever the session time zone.

use std::cell::RefCell;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, PrimitiveArray, StructArray, TimestampMicrosecondArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Fields, TimeUnit, TimestampMicrosecondType};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::types;
use millstream_functions::datetime::interval::parse_duration;
use millstream_functions::kernel::{Kernel, primitive, structs};
use millstream_functions::{Typed, cast};

use super::expression::{Resolved, strip_alias};
use super::rel::{Metadata, Rel, alias, column, new_attribute, planner_error, project_plan};
use super::scope::Scope;
use super::select::generate;
use super::{Analyzer, errors};
use crate::ir;
use crate::resolved::Attribute;

/// Metadata key of a column made by `window()`.
pub const TIME_WINDOW: &str = "spark.timeWindow";
/// Metadata key of a column made by `session_window()`.
pub const SESSION_WINDOW: &str = "spark.sessionWindow";

/// A window wanted by an expression, and the column it becomes.
#[derive(Debug, Clone)]
pub struct Request {
    time: Typed,
    shape: Shape,
    attribute: Attribute,
}

#[derive(Debug, Clone, PartialEq)]
enum Shape {
    /// Length, slide and offset, µs.
    Fixed { length_us: i64, slide_us: i64, start_us: i64 },
    /// The session a row opens on its own: from its time to the gap after it.
    Session { end: Typed },
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

    /// `window(time, length [, slide [, start]])`.
    pub fn resolve_time_window(&self, call: &ir::Function, scope: &Scope) -> Result<Resolved, SparkError> {
        let arguments = self.arguments(call, scope)?;
        let (Some(time), 2..=4) = (arguments.first(), arguments.len()) else {
            return Err(millstream_functions::arguments::wrong_count("window", "[2, 3, 4]", arguments.len()));
        };
        let length_us = self.duration(&arguments[1])?;
        let slide_us = arguments.get(2).map_or(Ok(length_us), |a| self.duration(a))?;
        let start_us = arguments.get(3).map_or(Ok(0), |a| self.duration(a))?;
        let sql = format!("window({}, {length_us}, {slide_us}, {start_us})", strip_alias(time));
        let metadata = time_metadata(time, TIME_WINDOW);
        let value = self.window_time_value(time, &sql)?;
        check_durations(&sql, length_us, slide_us, start_us)?;
        let shape = Shape::Fixed { length_us, slide_us, start_us };
        self.request("window", value, shape, slide_us != length_us, metadata)
    }

    /// `session_window(time, gap)`; the gap may depend on the row.
    pub fn resolve_session_window(&self, call: &ir::Function, scope: &Scope) -> Result<Resolved, SparkError> {
        let arguments = self.arguments(call, scope)?;
        let [time, gap] = arguments.as_slice() else {
            return Err(millstream_functions::arguments::wrong_count("session_window", "2", arguments.len()));
        };
        let sql = format!("session_window({}, {})", strip_alias(time), strip_alias(gap));
        let metadata = time_metadata(time, SESSION_WINDOW);
        let value = self.window_time_value(time, &sql)?;
        let end = self.session_end(&value, gap)?;
        self.request("session_window", value, Shape::Session { end }, false, metadata)
    }

    fn session_end(&self, time: &Typed, gap: &Resolved) -> Result<Typed, SparkError> {
        let gap = match gap.typed.as_literal() {
            Some(ScalarValue::Utf8(Some(text))) => {
                Typed::literal(ScalarValue::DurationMicrosecond(Some(parse_duration(text)?)))
            }
            _ if gap.typed.data_type == DataType::Utf8 => {
                let interval = DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano);
                cast(gap.typed.clone(), &interval, false, &self.context)?
            }
            _ => gap.typed.clone(),
        };
        self.build("+", &[time.clone(), gap])
    }

    /// `window_time(window)`: the last time that lies in the window.
    pub fn resolve_window_time(&self, call: &ir::Function, scope: &Scope) -> Result<Resolved, SparkError> {
        let arguments = self.arguments(call, scope)?;
        let [window] = arguments.as_slice() else {
            return Err(millstream_functions::arguments::wrong_count("window_time", "1", arguments.len()));
        };
        let sql = format!("window_time({})", strip_alias(window));
        let marked = |key: &str| window.metadata.contains_key(key);
        if !is_window(&window.typed.data_type) || !(marked(TIME_WINDOW) || marked(SESSION_WINDOW)) {
            return Err(errors::analysis("_LEGACY_ERROR_TEMP_3230", "", "The input is not a correct window column."));
        }
        let mut metadata = window.metadata.clone();
        metadata.remove(TIME_WINDOW);
        metadata.remove(SESSION_WINDOW);
        Ok(Resolved { metadata, ..Resolved::value(last_time_of(&window.typed), sql) })
    }

    /// The time of a window call as a timestamp.
    fn window_time_value(&self, time: &Resolved, sql: &str) -> Result<Typed, SparkError> {
        match &time.typed.data_type {
            DataType::Timestamp(..) => Ok(time.typed.clone()),
            DataType::Utf8 | DataType::Date32 | DataType::Null => {
                cast(time.typed.clone(), &types::timestamp(), false, &self.context)
            }
            window if is_window(window) => Ok(last_time_of(&time.typed)),
            other => Err(wrong_time_type(sql, &strip_alias(time), other)),
        }
    }

    /// A constant length of time in µs.
    fn duration(&self, argument: &Resolved) -> Result<i64, SparkError> {
        match self.fold(&argument.typed)? {
            ScalarValue::Utf8(Some(text)) => parse_duration(&text),
            ScalarValue::Int32(Some(us)) => Ok(us.into()),
            ScalarValue::Int64(Some(us)) | ScalarValue::DurationMicrosecond(Some(us)) => Ok(us),
            ScalarValue::IntervalMonthDayNano(Some(i)) if i.months == 0 => {
                Ok(i64::from(i.days) * 86_400_000_000 + i.nanoseconds / 1000)
            }
            _ => Err(SparkError::plain(
                ExceptionClass::IllegalArgument,
                format!("The duration of a window is no constant interval: {}", strip_alias(argument)),
            )),
        }
    }

    fn request(
        &self,
        name: &str,
        time: Typed,
        shape: Shape,
        nullable: bool,
        metadata: Metadata,
    ) -> Result<Resolved, SparkError> {
        let mut windows = self.windows.borrow_mut();
        let Some(requests) = windows.last_mut() else {
            return Err(SparkError::unsupported(format!(
                "The function `{name}` outside of a select list, filter or GROUP BY"
            )));
        };
        if let Some(known) = requests.iter().find(|r| r.time.expr == time.expr && r.shape == shape) {
            return Ok(Resolved::column(&known.attribute));
        }
        let value = Typed::new(column(""), window_type(&time.data_type), nullable);
        let attribute = new_attribute(name, &value, metadata);
        requests.push(Request { time, shape, attribute: attribute.clone() });
        Ok(Resolved::column(&attribute))
    }
}

impl Request {
    /// Adds the window's column to a relation. Rows without a time are left out.
    fn apply(&self, rel: Rel) -> Result<Rel, SparkError> {
        let plan = match &self.shape {
            Shape::Fixed { length_us, slide_us, start_us } if length_us == slide_us => {
                let plan = filtered(rel.plan.clone(), self.time.expr.clone().is_not_null())?;
                self.add(plan, tumbling(&self.time, *length_us, *start_us).expr)?
            }
            Shape::Fixed { length_us, slide_us, start_us } => {
                let windows = sliding(&self.time, *length_us, *slide_us, *start_us);
                generate(rel.plan.clone(), windows.expr, false, std::slice::from_ref(&self.attribute))
                    .and_then(|plan| self.mark(plan))?
            }
            Shape::Session { end } => {
                let positive = end.expr.clone().gt(self.time.expr.clone());
                let plan = filtered(rel.plan.clone(), self.time.expr.clone().is_not_null().and(positive))?;
                self.add(plan, window_of(&self.time, end).expr)?
            }
        };
        // The column is no part of `*`; nodes below stay as near as they are.
        Ok(Rel { plan, ..rel })
    }

    fn add(&self, plan: LogicalPlan, window: Expr) -> Result<LogicalPlan, SparkError> {
        let mut exprs: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
        exprs.push(alias(window, &self.attribute.column, &self.attribute.metadata));
        project_plan(plan, exprs)
    }

    /// Puts the column's metadata on a plan that has the column already.
    fn mark(&self, plan: LogicalPlan) -> Result<LogicalPlan, SparkError> {
        let mut exprs: Vec<Expr> = Vec::new();
        for c in plan.schema().columns() {
            let marked = c.name == self.attribute.column;
            let metadata = if marked { self.attribute.metadata.clone() } else { Metadata::new() };
            let name = c.name.clone();
            exprs.push(alias(Expr::Column(c), &name, &metadata));
        }
        project_plan(plan, exprs)
    }
}

fn filtered(plan: LogicalPlan, predicate: Expr) -> Result<LogicalPlan, SparkError> {
    Filter::try_new(predicate, Arc::new(plan)).map(LogicalPlan::Filter).map_err(planner_error)
}

fn time_metadata(time: &Resolved, marker: &str) -> Metadata {
    let mut metadata = if time.attribute.is_some() { time.metadata.clone() } else { Metadata::new() };
    metadata.remove(TIME_WINDOW);
    metadata.remove(SESSION_WINDOW);
    metadata.insert(marker.to_string(), "true".to_string());
    metadata
}

fn wrong_time_type(sql: &str, time: &str, found: &DataType) -> SparkError {
    let (required, found) = (
        "(\"(TIMESTAMP OR TIMESTAMP WITHOUT TIME ZONE)\" or \"STRUCT<start: TIMESTAMP, end: TIMESTAMP>\" or \"STRUCT<start: \
         TIMESTAMP_NTZ, end: TIMESTAMP_NTZ>\")",
        Analyzer::type_name(found),
    );
    errors::analysis(
        "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
        "42K09",
        format!(
            "Cannot resolve \"{sql}\" due to data type mismatch: The first parameter requires the {required} type, however \
             \"{time}\" has the type \"{found}\"."
        ),
    )
    .with("sqlExpr", format!("\"{sql}\""))
    .with("paramIndex", "first")
    .with("requiredType", required)
    .with("inputSql", format!("\"{time}\""))
    .with("inputType", format!("\"{found}\""))
}

fn check_durations(sql: &str, length_us: i64, slide_us: i64, start_us: i64) -> Result<(), SparkError> {
    for (name, value) in [("window_duration", length_us), ("slide_duration", slide_us)] {
        if value <= 0 {
            return Err(errors::analysis(
                "DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE",
                "42K09",
                format!(
                    "Cannot resolve \"{sql}\" due to data type mismatch: The `{name}` must be between (0, {}] (current value = \
                     {value}L).",
                    i64::MAX
                ),
            )
            .with("sqlExpr", format!("\"{sql}\""))
            .with("exprName", format!("`{name}`"))
            .with("valueRange", format!("(0, {}]", i64::MAX))
            .with("currentValue", format!("{value}L")));
        }
    }
    let violation = |left: &str, left_value: i64, constraint: &str, right: &str, right_value: i64| {
        errors::analysis(
            "DATATYPE_MISMATCH.PARAMETER_CONSTRAINT_VIOLATION",
            "42K09",
            format!(
                "Cannot resolve \"{sql}\" due to data type mismatch: The `{left}`({left_value}L) must be {constraint} the \
                 `{right}`({right_value}L)."
            ),
        )
        .with("sqlExpr", format!("\"{sql}\""))
        .with("leftExprName", format!("`{left}`"))
        .with("leftExprValue", format!("{left_value}L"))
        .with("constraint", constraint)
        .with("rightExprName", format!("`{right}`"))
        .with("rightExprValue", format!("{right_value}L"))
    };
    if slide_us > length_us {
        return Err(violation("slide_duration", slide_us, "<=", "window_duration", length_us));
    }
    if start_us.unsigned_abs() >= slide_us.unsigned_abs() {
        let absolute = start_us.checked_abs().unwrap_or(i64::MAX);
        return Err(violation("abs(start_time)", absolute, "<", "slide_duration", slide_us));
    }
    Ok(())
}

/// Whether a type is `struct<start, end>` of timestamps.
fn is_window(data_type: &DataType) -> bool {
    let DataType::Struct(fields) = data_type else { return false };
    matches!(
        fields.iter().map(|f| (f.name().as_str(), f.data_type())).collect::<Vec<_>>().as_slice(),
        [("start", DataType::Timestamp(..)), ("end", DataType::Timestamp(..))]
    )
}

fn window_fields(time: &DataType) -> Fields {
    vec![Field::new("start", time.clone(), true), Field::new("end", time.clone(), true)].into()
}

fn window_type(time: &DataType) -> DataType {
    DataType::Struct(window_fields(time))
}

/// A column of times of the given type.
fn times(values: Vec<i64>, nulls: Option<NullBuffer>, data_type: &DataType) -> ArrayRef {
    let array: TimestampMicrosecondArray = PrimitiveArray::new(ScalarBuffer::from(values), nulls);
    match data_type {
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) => Arc::new(array.with_timezone(Arc::clone(zone))),
        _ => Arc::new(array),
    }
}

/// Start of the last window that begins at or before `time`. Ends of the number line wrap, as in Spark without ANSI checks.
fn last_start(time: i64, slide_us: i64, start_us: i64) -> i64 {
    time.wrapping_sub(time.wrapping_sub(start_us).rem_euclid(slide_us))
}

fn tumbling(time: &Typed, length_us: i64, start_us: i64) -> Typed {
    let time_type = time.data_type.clone();
    let fields = window_fields(&time_type);
    Kernel::new("time_window", DataType::Struct(fields.clone()), false).bound_to(length_us).bound_to(start_us).arrays(
        std::slice::from_ref(time),
        move |arguments, _| {
            let input = primitive::<TimestampMicrosecondType>(&arguments[0])?;
            let starts: Vec<i64> = input.values().iter().map(|t| last_start(*t, length_us, start_us)).collect();
            let ends = starts.iter().map(|s| s.wrapping_add(length_us)).collect();
            let nulls = input.nulls().cloned();
            let columns = vec![times(starts, nulls.clone(), &time_type), times(ends, nulls.clone(), &time_type)];
            Ok(Arc::new(StructArray::try_new(fields.clone(), columns, nulls)?) as ArrayRef)
        },
    )
}

fn sliding(time: &Typed, length_us: i64, slide_us: i64, start_us: i64) -> Typed {
    let time_type = time.data_type.clone();
    let fields = window_fields(&time_type);
    let column = Field::new("window", DataType::Struct(fields.clone()), true);
    let row: Fields = vec![column].into();
    let item = Arc::new(Field::new("element", DataType::Struct(row.clone()), false));
    Kernel::new("time_windows", DataType::List(Arc::clone(&item)), true)
        .bound_to(length_us)
        .bound_to(slide_us)
        .bound_to(start_us)
        .arrays(std::slice::from_ref(time), move |arguments, _| {
            let input = primitive::<TimestampMicrosecondType>(&arguments[0])?;
            let (mut starts, mut offsets) = (Vec::new(), Vec::with_capacity(input.len() + 1));
            offsets.push(0_i32);
            for i in 0..input.len() {
                if input.is_valid(i) {
                    let time = input.value(i);
                    let mut start = last_start(time, slide_us, start_us);
                    while start.wrapping_add(length_us) > time {
                        starts.push(start);
                        start = start.wrapping_sub(slide_us);
                    }
                }
                offsets.push(
                    i32::try_from(starts.len()).map_err(|_| SparkError::internal("a batch has too many windows"))?,
                );
            }
            let ends = starts.iter().map(|s| s.wrapping_add(length_us)).collect();
            let columns = vec![times(starts, None, &time_type), times(ends, None, &time_type)];
            let windows = Arc::new(StructArray::try_new(fields.clone(), columns, None)?) as ArrayRef;
            let rows = Arc::new(StructArray::try_new(row.clone(), vec![windows], None)?) as ArrayRef;
            let offsets = OffsetBuffer::new(offsets.into());
            Ok(Arc::new(ListArray::try_new(Arc::clone(&item), offsets, rows, input.nulls().cloned())?) as ArrayRef)
        })
}

/// `struct<start, end>` of two columns.
fn window_of(start: &Typed, end: &Typed) -> Typed {
    let fields = window_fields(&start.data_type);
    Kernel::new("session_of", DataType::Struct(fields.clone()), false)
        .arrays(&[start.clone(), end.clone()], move |arguments, _| {
            Ok(Arc::new(StructArray::try_new(fields.clone(), arguments.to_vec(), None)?) as ArrayRef)
        })
}

/// The end of a window less 1 µs.
fn last_time_of(window: &Typed) -> Typed {
    let time_type = match &window.data_type {
        DataType::Struct(fields) => fields.get(1).map_or_else(types::timestamp, |f| f.data_type().clone()),
        _ => types::timestamp(),
    };
    let result = time_type.clone();
    Kernel::new("window_time", time_type, true).arrays(std::slice::from_ref(window), move |arguments, _| {
        let windows = structs(&arguments[0])?;
        let ends = windows.column(1).as_primitive::<TimestampMicrosecondType>();
        let nulls = NullBuffer::union(windows.nulls(), ends.nulls());
        let values = ends.values().iter().map(|end| end.wrapping_sub(1)).collect();
        Ok(times(values, nulls, &result))
    })
}

/// Frames of the windows wanted by the operators being resolved, innermost last.
pub type Frames = RefCell<Vec<Vec<Request>>>;
