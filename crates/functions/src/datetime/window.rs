//! Event-time windows: `window`, `session_window`, `window_time`.
//!
//! These functions change the number of rows, so they are not among the functions that [`crate::lookup`] knows (but for
//! `window_time`): the analyzer calls [`window`] and [`session_window`] and puts filter, projection or `explode` in place.
//! Windows are aligned to the epoch in UTC whatever the session time zone; sessions are merged by an operator.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, ListArray, StructArray, TimestampMicrosecondArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Fields, IntervalMonthDayNanoType, IntervalUnit, TimestampMicrosecondType};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::types;
use millstream_formats::zone::Zone;

use super::interval::{self, CalendarInterval};
use super::{arithmetic, session_zone};
use crate::arguments::{expect_count, type_mismatch, unexpected_input};
use crate::coerce::{self, Expected};
use crate::kernel::{self, Kernel};
use crate::rows::offset;
use crate::{FunctionContext, Typed};

/// What stands in place of `window(…)` or `session_window(…)`.
#[derive(Debug, Clone)]
pub struct TimeWindow {
    /// The event time, a `timestamp` or `timestamp_ntz`.
    pub time: Typed,
    /// For one window per row a `Struct{start, end}` of the type of `time`, never null once `keep` has been applied; for
    /// several windows per row a list of such structs, to be exploded, without the rows that have none.
    pub value: Typed,
    /// Whether `value` is a list.
    pub sliding: bool,
    /// Only rows for which this is true have a window; absent if all have, or if `value` is a list.
    pub keep: Option<Typed>,
}

/// Lengths of a window in µs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Grid {
    length: i64,
    slide: i64,
    start: i64,
}

/// The type of a window over times of this type.
pub fn window_type(time: &DataType) -> DataType {
    DataType::Struct(window_fields(time))
}

fn window_fields(time: &DataType) -> Fields {
    vec![Field::new("start", time.clone(), true), Field::new("end", time.clone(), true)].into()
}

/// `window(time, length[, slide[, start]])`.
///
/// # Errors
/// `CANNOT_PARSE_INTERVAL`, `DATATYPE_MISMATCH.*` for lengths that make no windows and for a `time` that is none.
pub fn window(arguments: &[Typed], context: &FunctionContext) -> Result<TimeWindow, SparkError> {
    expect_count("window", arguments, &[2, 3, 4])?;
    let length = duration_argument(arguments, 1)?.unwrap_or_default();
    let slide = duration_argument(arguments, 2)?.unwrap_or(length);
    let grid = Grid { length, slide, start: duration_argument(arguments, 3)?.unwrap_or(0) };
    let lengths = [grid.length, grid.slide, grid.start].map(|us| Typed::literal(ScalarValue::Int64(Some(us))));
    let shown: Vec<Typed> = arguments.iter().take(1).cloned().chain(lengths).collect();
    let time = event_time("window", &shown, context)?;
    check_grid(&grid, &shown)?;
    let sliding = grid.slide < grid.length;
    let window = window_type(&time.data_type);
    if sliding {
        let kernel = Kernel::new("windows", types::array(window, false), time.nullable);
        let value =
            bind_grid(kernel, &grid).arrays(std::slice::from_ref(&time), move |a, _| sliding_windows(&a[0], &grid));
        return Ok(TimeWindow { time, value, sliding, keep: None });
    }
    let kernel = bind_grid(Kernel::new("window", window, false), &grid);
    let value = kernel.arrays(std::slice::from_ref(&time), move |a, _| tumbling_windows(&a[0], &grid));
    let keep = time.nullable.then(|| not_null(&time));
    Ok(TimeWindow { time, value, sliding, keep })
}

fn bind_grid(kernel: Kernel, grid: &Grid) -> Kernel {
    kernel.bound_to(grid.length).bound_to(grid.slide).bound_to(grid.start)
}

fn not_null(value: &Typed) -> Typed {
    Typed::new(value.expr.clone().is_not_null(), DataType::Boolean, false)
}

/// A duration in µs: a constant text or number.
fn duration_argument(arguments: &[Typed], index: usize) -> Result<Option<i64>, SparkError> {
    let Some(argument) = arguments.get(index) else { return Ok(None) };
    match argument.as_literal() {
        Some(ScalarValue::Utf8(Some(text))) => interval::parse_duration(text).map(Some),
        Some(ScalarValue::Int32(Some(us))) => Ok(Some(i64::from(*us))),
        Some(ScalarValue::Int64(Some(us))) => Ok(Some(*us)),
        _ => Err(SparkError::new(
            ExceptionClass::Analysis,
            "_LEGACY_ERROR_TEMP_1207",
            "",
            "The duration and time inputs to window must be an integer, long or string literal.",
        )),
    }
}

/// The first argument as a time: what casts to `timestamp`, or another window, which stands for its last microsecond.
fn event_time(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    const REQUIRED: &str = "(\"(TIMESTAMP OR TIMESTAMP WITHOUT TIME ZONE)\" or \"STRUCT<start: TIMESTAMP, end: TIMESTAMP>\" \
                            or \"STRUCT<start: TIMESTAMP_NTZ, end: TIMESTAMP_NTZ>\")";
    let [time, ..] = arguments else { return Err(SparkError::internal("a window without a time")) };
    if is_window(&time.data_type) {
        return Ok(last_instant(time));
    }
    match coerce::implicit_type(&time.data_type, &Expected::AnyTimestamp, context.ansi) {
        Some(to) => coerce::cast_to(time.clone(), &to, context),
        None => Err(unexpected_input(name, arguments, 0, REQUIRED)),
    }
}

fn is_window(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Struct(fields) if matches!(fields.as_ref(), [start, end]
        if start.name() == "start" && end.name() == "end"
            && matches!(start.data_type(), DataType::Timestamp(..)) && start.data_type() == end.data_type()))
}

fn check_grid(grid: &Grid, shown: &[Typed]) -> Result<(), SparkError> {
    let Grid { length, slide, start } = *grid;
    if length <= 0 {
        return Err(out_of_range("window_duration", length, shown));
    }
    if slide <= 0 {
        return Err(out_of_range("slide_duration", slide, shown));
    }
    if slide > length {
        return Err(constraint("slide_duration", slide, "<=", "window_duration", length, shown));
    }
    let distance = start.checked_abs().unwrap_or(i64::MAX);
    if distance >= slide {
        return Err(constraint("abs(start_time)", distance, "<", "slide_duration", slide, shown));
    }
    Ok(())
}

fn out_of_range(parameter: &str, value: i64, shown: &[Typed]) -> SparkError {
    let text = format!("The `{parameter}` must be between (0, {}] (current value = {value}L).", i64::MAX);
    type_mismatch("VALUE_OUT_OF_RANGE", "window", shown, text)
        .with("exprName", format!("`{parameter}`"))
        .with("valueRange", format!("(0, {}]", i64::MAX))
        .with("currentValue", format!("{value}L"))
}

fn constraint(
    left: &str,
    left_value: i64,
    relation: &str,
    right: &str,
    right_value: i64,
    shown: &[Typed],
) -> SparkError {
    let text = format!("The `{left}`({left_value}L) must be {relation} the `{right}`({right_value}L).");
    type_mismatch("PARAMETER_CONSTRAINT_VIOLATION", "window", shown, text)
        .with("leftExprName", format!("`{left}`"))
        .with("leftExprValue", format!("{left_value}L"))
        .with("constraint", relation)
        .with("rightExprName", format!("`{right}`"))
        .with("rightExprValue", format!("{right_value}L"))
}

/// Start of the latest window that begins at or before `time`.
fn last_start(time: i64, grid: &Grid) -> i64 {
    time.wrapping_sub(time.wrapping_sub(grid.start).rem_euclid(grid.slide))
}

fn times(array: &ArrayRef) -> Result<&TimestampMicrosecondArray, SparkError> {
    kernel::primitive::<TimestampMicrosecondType>(array)
}

/// Columns of starts and ends as structs of the times' type.
fn windows(
    starts: Vec<i64>,
    ends: Vec<i64>,
    nulls: Option<NullBuffer>,
    time: &DataType,
) -> Result<StructArray, SparkError> {
    let column = |values: Vec<i64>| -> Result<ArrayRef, SparkError> {
        let values = Int64Array::try_new(ScalarBuffer::from(values), nulls.clone())?;
        Ok(Arc::new(values.reinterpret_cast::<TimestampMicrosecondType>().with_data_type(time.clone())))
    };
    Ok(StructArray::try_new(window_fields(time), vec![column(starts)?, column(ends)?], nulls.clone())?)
}

fn tumbling_windows(array: &ArrayRef, grid: &Grid) -> Result<ArrayRef, SparkError> {
    let times = times(array)?;
    let starts: Vec<i64> = times.values().iter().map(|t| last_start(*t, grid)).collect();
    let ends = starts.iter().map(|s| s.wrapping_add(grid.length)).collect();
    Ok(Arc::new(windows(starts, ends, times.nulls().cloned(), array.data_type())?))
}

/// The windows of each row, the latest first.
fn sliding_windows(array: &ArrayRef, grid: &Grid) -> Result<ArrayRef, SparkError> {
    let times = times(array)?;
    let per_row = grid.length / grid.slide + i64::from(grid.length % grid.slide != 0);
    let mut starts = Vec::with_capacity(times.len().saturating_mul(usize::try_from(per_row).unwrap_or(1).min(64)));
    let mut offsets = Vec::with_capacity(times.len() + 1);
    offsets.push(0);
    for row in 0..times.len() {
        if times.is_valid(row) {
            let mut start = last_start(times.value(row), grid);
            while times.value(row).wrapping_sub(start) < grid.length {
                starts.push(start);
                start = start.wrapping_sub(grid.slide);
            }
        }
        offsets.push(offset(starts.len())?);
    }
    let ends = starts.iter().map(|s: &i64| s.wrapping_add(grid.length)).collect();
    let windows = windows(starts, ends, None, array.data_type())?;
    let field = Arc::new(Field::new("element", windows.data_type().clone(), false));
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok(Arc::new(ListArray::try_new(field, offsets, Arc::new(windows), times.nulls().cloned())?))
}

/// `session_window(time, gap)`: the window `[time, time + gap)` of each single row, which an operator then merges.
///
/// The gap is a text or a calendar interval, constant or not; rows with a gap that is null, unreadable, zero or negative have
/// no session.
pub fn session_window(arguments: &[Typed], context: &FunctionContext) -> Result<TimeWindow, SparkError> {
    expect_count("session_window", arguments, &[2])?;
    let time = event_time("session_window", arguments, context)?;
    let gap = session_gap(arguments, context)?;
    let zone = zone_of_times(&time.data_type, context)?;
    // Null until `keep` has been applied, and the optimizer must not be told otherwise.
    let kernel = Kernel::new("session_window", window_type(&time.data_type), true).bound_to(zone);
    let mut value = kernel.arrays(&[time.clone(), gap], move |a, _| sessions(&a[0], &a[1], &zone));
    let keep = Some(not_null(&value));
    value.nullable = false;
    Ok(TimeWindow { time, value, sliding: false, keep })
}

fn zone_of_times(time: &DataType, context: &FunctionContext) -> Result<Zone, SparkError> {
    match time {
        DataType::Timestamp(_, Some(_)) => session_zone(context),
        _ => Ok(Zone::UTC),
    }
}

fn session_gap(arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let [_, gap, ..] = arguments else { return Err(SparkError::internal("a session without a gap")) };
    match &gap.data_type {
        DataType::Utf8 | DataType::Interval(IntervalUnit::MonthDayNano) => Ok(gap.clone()),
        DataType::Null => coerce::cast_to(gap.clone(), &DataType::Utf8, context),
        other => Err(SparkError::new(
            ExceptionClass::Analysis,
            "_LEGACY_ERROR_TEMP_1040",
            "",
            format!(
                "Gap duration expression used in session window must be CalendarIntervalType, but got {}.",
                types::sql_name(other)
            ),
        )),
    }
}

fn sessions(times_array: &ArrayRef, gaps: &ArrayRef, zone: &Zone) -> Result<ArrayRef, SparkError> {
    let times = times(times_array)?;
    let mut gap_at = gap_reader(gaps)?;
    let (mut ends, mut valid) = (Vec::with_capacity(times.len()), Vec::with_capacity(times.len()));
    for row in 0..times.len() {
        let start = times.value(row);
        let gap = if times.is_valid(row) { gap_at(row) } else { None };
        let end = match gap {
            Some(gap) => {
                arithmetic::add_interval(start, &gap, zone).ok_or_else(|| arithmetic::overflow("add a gap"))?
            }
            None => start,
        };
        ends.push(end);
        valid.push(end > start);
    }
    let nulls = Some(NullBuffer::from(valid)).filter(|n| n.null_count() > 0);
    Ok(Arc::new(windows(times.values().to_vec(), ends, nulls, times_array.data_type())?))
}

/// Reads the gap of a row; a text is parsed again only when it differs from that of the row before.
fn gap_reader(gaps: &ArrayRef) -> Result<Box<dyn FnMut(usize) -> Option<CalendarInterval> + '_>, SparkError> {
    if *gaps.data_type() == DataType::Utf8 {
        let texts = kernel::string(gaps)?;
        let mut last: Option<(&str, Option<CalendarInterval>)> = None;
        return Ok(Box::new(move |row| {
            let text = texts.is_valid(row).then(|| texts.value(row))?;
            if last.is_none_or(|(seen, _)| seen != text) {
                last = Some((text, interval::parse(text).ok()));
            }
            last.and_then(|(_, parsed)| parsed)
        }));
    }
    let intervals = kernel::primitive::<IntervalMonthDayNanoType>(gaps)?;
    Ok(Box::new(move |row| {
        let value = intervals.is_valid(row).then(|| intervals.value(row))?;
        Some(CalendarInterval { months: value.months, days: value.days, micros: value.nanoseconds / 1000 })
    }))
}

/// Builds `window_time(window)`: the last microsecond of a window.
pub fn window_time(name: &str, arguments: &[Typed], _context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[1])?;
    match arguments {
        [window] if is_window(&window.data_type) => Ok(last_instant(window)),
        _ => Err(unexpected_input(name, arguments, 0, "\"STRUCT\"")),
    }
}

fn last_instant(window: &Typed) -> Typed {
    let time = match &window.data_type {
        DataType::Struct(fields) => fields.first().map_or(DataType::Null, |f| f.data_type().clone()),
        other => other.clone(),
    };
    Kernel::new("window_time", time.clone(), true).arrays(std::slice::from_ref(window), move |a, _| {
        let windows = kernel::structs(&a[0])?;
        let ends = times(windows.column(1))?;
        let nulls = NullBuffer::union(windows.nulls(), ends.nulls());
        let last: Vec<i64> = ends.values().iter().map(|end| end.wrapping_sub(1)).collect();
        let last = TimestampMicrosecondArray::try_new(ScalarBuffer::from(last), nulls)?;
        Ok(Arc::new(last.with_data_type(time.clone())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;

    fn bounds(array: &dyn Array) -> Vec<(i64, i64)> {
        let windows = array.as_struct();
        let column = |i: usize| windows.column(i).as_primitive::<TimestampMicrosecondType>().values().to_vec();
        column(0).into_iter().zip(column(1)).collect()
    }

    fn grid(length: i64, slide: i64, start: i64) -> Grid {
        Grid { length, slide, start }
    }

    fn at(times: Vec<Option<i64>>) -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(times))
    }

    #[test]
    fn tumbling_windows_are_aligned_to_the_epoch_and_the_start() {
        let times = at(vec![Some(0), Some(-1), Some(14), None]);
        let found = tumbling_windows(&times, &grid(10, 10, 0)).unwrap();
        assert_eq!(bounds(&found)[..3], [(0, 10), (-10, 0), (10, 20)]);
        assert!(found.is_null(3));
        assert_eq!(bounds(&tumbling_windows(&at(vec![Some(2)]), &grid(10, 10, 3)).unwrap()), [(-7, 3)]);
    }

    #[test]
    fn a_row_is_in_every_sliding_window_that_covers_it() {
        let found = sliding_windows(&at(vec![Some(12), None, Some(3)]), &grid(10, 4, 0)).unwrap();
        let lists = found.as_list::<i32>();
        assert_eq!(bounds(&lists.value(0)), [(12, 22), (8, 18), (4, 14)]);
        assert!(lists.is_null(1));
        assert_eq!(bounds(&lists.value(2)), [(0, 10), (-4, 6)]);
    }

    #[test]
    fn rows_without_a_positive_gap_have_no_session() {
        let gaps: ArrayRef = Arc::new(arrow::array::StringArray::from(vec![
            Some("5 seconds"),
            Some("0 seconds"),
            Some("-1 second"),
            Some("soon"),
            None,
        ]));
        let found = sessions(&at(vec![Some(0); 5]), &gaps, &Zone::UTC).unwrap();
        assert_eq!(bounds(&found)[0], (0, 5_000_000));
        assert_eq!((0..5).map(|row| found.is_valid(row)).collect::<Vec<_>>(), [true, false, false, false, false]);
    }
}
