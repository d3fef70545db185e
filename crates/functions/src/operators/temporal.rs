//! Arithmetic with dates, timestamps and intervals.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, PrimitiveArray};
use arrow::datatypes::{
    DataType, Date32Type, DurationMicrosecondType, Float64Type, Int32Type, Int64Type, IntervalMonthDayNano,
    IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, TimestampMicrosecondType,
};
use datafusion::scalar::ScalarValue;
use millstream_formats::calendar::add_months;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::types;
use millstream_formats::zone::Zone;

use super::Operation;
use crate::cast::Mode;
use crate::coerce::{cast_to, is_numeric};
use crate::datetime::arithmetic::{add_day_time, add_interval, add_year_month, overflow as datetime_overflow};
use crate::datetime::interval::{CalendarInterval, MICROS_PER_DAY};
use crate::datetime::session_zone;
use crate::kernel::{Kernel, primitive};
use crate::rows::{nulls_of, numbers};
use crate::{FunctionContext, Typed};

/// What of the calendar a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Date,
    Timestamp,
    LocalTimestamp,
    DayTime,
    YearMonth,
    Calendar,
    /// A whole number that can count days.
    Days,
    Number,
    Other,
}

fn kind(data_type: &DataType) -> Kind {
    match data_type {
        DataType::Date32 => Kind::Date,
        DataType::Timestamp(_, Some(_)) => Kind::Timestamp,
        DataType::Timestamp(_, None) => Kind::LocalTimestamp,
        DataType::Duration(_) => Kind::DayTime,
        DataType::Interval(IntervalUnit::YearMonth) => Kind::YearMonth,
        DataType::Interval(_) => Kind::Calendar,
        DataType::Int8 | DataType::Int16 | DataType::Int32 => Kind::Days,
        number if is_numeric(number) => Kind::Number,
        _ => Kind::Other,
    }
}

/// The operation, if a date, timestamp or interval is among its operands and the pair makes sense.
pub fn build(
    operation: Operation,
    left: &Typed,
    right: &Typed,
    mode: Mode,
    context: &FunctionContext,
) -> Result<Option<Typed>, SparkError> {
    use Kind::{Calendar, Date, DayTime, Days, LocalTimestamp, Number, Timestamp, YearMonth};
    let call = Call { operation, mode, zone: session_zone(context)? };
    let result = match (operation, kind(&left.data_type), kind(&right.data_type)) {
        (Operation::Subtract, Date, Date) => call.subtract_dates(left, right),
        (Operation::Subtract, Date | Timestamp | LocalTimestamp, Date | Timestamp | LocalTimestamp) => {
            call.subtract_timestamps(left, right, context)?
        }
        (Operation::Add, Days | DayTime | YearMonth | Calendar, Date | Timestamp | LocalTimestamp) => {
            call.move_by(right, left, context)?
        }
        (Operation::Add | Operation::Subtract, Date, Days)
        | (Operation::Add | Operation::Subtract, Date | Timestamp | LocalTimestamp, DayTime | YearMonth | Calendar) => {
            call.move_by(left, right, context)?
        }
        (Operation::Add | Operation::Subtract, DayTime, DayTime) => call.combine_day_time(left, right),
        (Operation::Add | Operation::Subtract, YearMonth, YearMonth) => call.combine_year_month(left, right),
        (Operation::Add | Operation::Subtract, Calendar, Calendar) => call.combine_calendar(left, right),
        (Operation::Multiply, DayTime | YearMonth | Calendar, Days | Number) => call.scale(left, right, context)?,
        (Operation::Multiply, Days | Number, DayTime | YearMonth | Calendar) => call.scale(right, left, context)?,
        (Operation::Divide, DayTime | YearMonth | Calendar, Days | Number) => call.scale(left, right, context)?,
        _ => return Ok(None),
    };
    Ok(Some(result))
}

/// An operation bound to its settings.
#[derive(Clone, Copy)]
struct Call {
    operation: Operation,
    mode: Mode,
    zone: Zone,
}

impl Call {
    fn kernel(&self, result: DataType, left: &Typed, right: &Typed) -> Kernel {
        let nullable = left.nullable || right.nullable || self.mode == Mode::Try;
        Kernel::new(self.operation.symbol(), result, nullable).bound_to(format!("{:?}", self.mode)).bound_to(self.zone)
    }

    fn sign(&self) -> i64 {
        if self.operation == Operation::Subtract { -1 } else { 1 }
    }

    /// A value, or what stands for one that does not fit.
    fn fit<T>(&self, value: Option<T>, error: impl Fn() -> SparkError) -> Result<Option<T>, SparkError> {
        match value {
            None if self.mode != Mode::Try => Err(error()),
            other => Ok(other),
        }
    }

    fn subtract_dates(self, left: &Typed, right: &Typed) -> Typed {
        let kernel = self.kernel(types::day_time_interval(), left, right);
        kernel.arrays(&[left.clone(), right.clone()], |arrays, _| {
            let (a, b) = (primitive::<Date32Type>(&arrays[0])?, primitive::<Date32Type>(&arrays[1])?);
            let days = |a: i32, b: i32| (i64::from(a) - i64::from(b)) * MICROS_PER_DAY;
            Ok(Arc::new(arrow::compute::binary::<_, _, _, DurationMicrosecondType>(a, b, days)?))
        })
    }

    fn subtract_timestamps(self, left: &Typed, right: &Typed, context: &FunctionContext) -> Result<Typed, SparkError> {
        let zoned = [left, right].iter().all(|t| kind(&t.data_type) != Kind::LocalTimestamp);
        let common = if zoned { types::timestamp() } else { types::timestamp_ntz() };
        let (left, right) = (cast_to(left.clone(), &common, context)?, cast_to(right.clone(), &common, context)?);
        let kernel = self.kernel(types::day_time_interval(), &left, &right);
        Ok(kernel.arrays(&[left, right], move |arrays, rows| {
            let a = primitive::<TimestampMicrosecondType>(&arrays[0])?;
            let b = primitive::<TimestampMicrosecondType>(&arrays[1])?;
            // The difference of local times, so that a day with a change of clocks is a day.
            let local = |us: i64| if zoned { self.zone.to_local(us) } else { us };
            let result = numbers::<DurationMicrosecondType>(rows, nulls_of(arrays), |row| {
                let difference = local(a.value(row)).checked_sub(local(b.value(row)));
                self.fit(difference, || interval_overflow(None))
            })?;
            Ok(Arc::new(result))
        }))
    }

    /// A date or timestamp moved by an interval or by days.
    fn move_by(self, start: &Typed, by: &Typed, context: &FunctionContext) -> Result<Typed, SparkError> {
        match (kind(&start.data_type), kind(&by.data_type)) {
            (Kind::Date, Kind::Days) => {
                let days = cast_to(by.clone(), &DataType::Int32, context)?;
                Ok(self.move_date(start, &days, days_of))
            }
            (Kind::Date, Kind::YearMonth) => Ok(self.move_date(start, by, months_of)),
            (Kind::Date, Kind::Calendar) => Ok(self.move_date(start, by, calendar_of)),
            (Kind::Date, Kind::DayTime) if whole_days(by) => Ok(self.move_date(start, by, duration_of)),
            (Kind::Date, _) => {
                let start = cast_to(start.clone(), &types::timestamp(), context)?;
                Ok(self.move_timestamp(&start, by))
            }
            _ => Ok(self.move_timestamp(start, by)),
        }
    }

    fn move_date(self, start: &Typed, by: &Typed, read: fn(&ArrayRef) -> Result<Moves, SparkError>) -> Typed {
        let kernel = self.kernel(DataType::Date32, start, by);
        kernel.arrays(&[start.clone(), by.clone()], move |arrays, rows| {
            let (dates, moves) = (primitive::<Date32Type>(&arrays[0])?, read(&arrays[1])?);
            let result = numbers::<Date32Type>(rows, nulls_of(arrays), |row| {
                let interval = moves.get(row);
                if interval.micros % MICROS_PER_DAY != 0 && self.mode == Mode::Ansi {
                    return Err(time_in_date_interval());
                }
                let moved = signed(interval, self.sign()).and_then(|i| move_day(dates.value(row), &i));
                self.fit(moved, || datetime_overflow("add an interval to a date"))
            })?;
            Ok(Arc::new(result))
        })
    }

    fn move_timestamp(self, start: &Typed, by: &Typed) -> Typed {
        let zoned = kind(&start.data_type) == Kind::Timestamp;
        let zone = if zoned { self.zone } else { Zone::UTC };
        let kernel = self.kernel(start.data_type.clone(), start, by);
        let by_kind = kind(&by.data_type);
        kernel.arrays(&[start.clone(), by.clone()], move |arrays, rows| {
            let starts = primitive::<TimestampMicrosecondType>(&arrays[0])?;
            let moves = match by_kind {
                Kind::DayTime => duration_of(&arrays[1])?,
                Kind::YearMonth => months_of(&arrays[1])?,
                _ => calendar_of(&arrays[1])?,
            };
            let result = numbers::<TimestampMicrosecondType>(rows, nulls_of(arrays), |row| {
                let moved = signed(moves.get(row), self.sign()).and_then(|by| match by_kind {
                    Kind::DayTime => add_day_time(starts.value(row), by.micros, &zone),
                    Kind::YearMonth => add_year_month(starts.value(row), by.months, &zone),
                    _ => add_interval(starts.value(row), &by, &zone),
                });
                self.fit(moved, || datetime_overflow("add an interval to a timestamp"))
            })?;
            Ok(Arc::new(result.with_data_type(arrays[0].data_type().clone())))
        })
    }

    fn combine_day_time(self, left: &Typed, right: &Typed) -> Typed {
        let kernel = self.kernel(left.data_type.clone(), left, right);
        kernel.arrays(&[left.clone(), right.clone()], move |arrays, rows| {
            let a = primitive::<DurationMicrosecondType>(&arrays[0])?;
            let b = primitive::<DurationMicrosecondType>(&arrays[1])?;
            let result = numbers::<DurationMicrosecondType>(rows, nulls_of(arrays), |row| {
                let by = b.value(row).checked_mul(self.sign());
                self.fit(by.and_then(|by| a.value(row).checked_add(by)), || interval_overflow(self.hint()))
            })?;
            Ok(Arc::new(result))
        })
    }

    fn combine_year_month(self, left: &Typed, right: &Typed) -> Typed {
        let kernel = self.kernel(left.data_type.clone(), left, right);
        kernel.arrays(&[left.clone(), right.clone()], move |arrays, rows| {
            let a = primitive::<IntervalYearMonthType>(&arrays[0])?;
            let b = primitive::<IntervalYearMonthType>(&arrays[1])?;
            let result = numbers::<IntervalYearMonthType>(rows, nulls_of(arrays), |row| {
                let sum = i64::from(a.value(row)) + self.sign() * i64::from(b.value(row));
                self.fit(i32::try_from(sum).ok(), || interval_overflow(self.hint()))
            })?;
            Ok(Arc::new(result))
        })
    }

    fn combine_calendar(self, left: &Typed, right: &Typed) -> Typed {
        let kernel = self.kernel(left.data_type.clone(), left, right);
        kernel.arrays(&[left.clone(), right.clone()], move |arrays, rows| {
            let (a, b) = (calendar_of(&arrays[0])?, calendar_of(&arrays[1])?);
            let result = numbers::<IntervalMonthDayNanoType>(rows, nulls_of(arrays), |row| {
                let sum = signed(b.get(row), self.sign()).and_then(|b| calendar_sum(a.get(row), b));
                self.fit(sum.and_then(to_arrow), || interval_overflow(self.hint()))
            })?;
            Ok(Arc::new(result))
        })
    }

    /// An interval times a number or divided by one, rounded half up.
    fn scale(self, interval: &Typed, by: &Typed, context: &FunctionContext) -> Result<Typed, SparkError> {
        let whole = by.data_type.is_signed_integer();
        let by = cast_to(by.clone(), if whole { &DataType::Int64 } else { &DataType::Float64 }, context)?;
        let mut kernel = self.kernel(interval.data_type.clone(), interval, &by);
        if self.operation.divides() && self.mode == Mode::Ansi {
            kernel = kernel.fallible();
        }
        Ok(kernel.arrays(&[interval.clone(), by], move |arrays, rows| {
            let factors = Factors::new(&arrays[1])?;
            if self.operation.divides() && self.mode != Mode::Try && factors.has_zero() {
                return Err(divided_by_zero());
            }
            let nulls = nulls_of(arrays);
            let scaled = |value: i64, row: usize| self.scaled(value, &factors, row);
            Ok(match arrays[0].data_type() {
                DataType::Duration(_) => {
                    let values = primitive::<DurationMicrosecondType>(&arrays[0])?;
                    let scale = |row| self.fit(scaled(values.value(row), row), || interval_overflow(self.hint()));
                    Arc::new(numbers::<DurationMicrosecondType>(rows, nulls, scale)?) as ArrayRef
                }
                DataType::Interval(IntervalUnit::YearMonth) => {
                    let values = primitive::<IntervalYearMonthType>(&arrays[0])?;
                    let months = |row| scaled(i64::from(values.value(row)), row).and_then(|v| v.try_into().ok());
                    let scale = |row| self.fit(months(row), || interval_overflow(self.hint()));
                    Arc::new(numbers::<IntervalYearMonthType>(rows, nulls, scale)?)
                }
                _ => {
                    let values = calendar_of(&arrays[0])?;
                    let scale = |row| {
                        let value = scale_calendar(values.get(row), self.factor(&factors, row));
                        self.fit(value.and_then(to_arrow), || interval_overflow(self.hint()))
                    };
                    Arc::new(numbers::<IntervalMonthDayNanoType>(rows, nulls, scale)?)
                }
            })
        }))
    }

    fn factor(&self, factors: &Factors, row: usize) -> f64 {
        let by = match factors {
            Factors::Whole(values) => values.value(row) as f64,
            Factors::Real(values) => values.value(row),
        };
        if self.operation.divides() { 1.0 / by } else { by }
    }

    fn scaled(&self, value: i64, factors: &Factors, row: usize) -> Option<i64> {
        match (factors, self.operation.divides()) {
            (Factors::Whole(by), false) => value.checked_mul(by.value(row)),
            (Factors::Whole(by), true) => divide_half_up(value, by.value(row)),
            (Factors::Real(by), false) => round_half_up(value as f64 * by.value(row)),
            (Factors::Real(by), true) => round_half_up(value as f64 / by.value(row)),
        }
    }

    fn hint(&self) -> Option<&'static str> {
        Some(match self.operation {
            Operation::Add => "try_add",
            Operation::Subtract => "try_subtract",
            Operation::Multiply => "try_multiply",
            _ => "try_divide",
        })
    }
}

/// What intervals are multiplied with.
enum Factors<'a> {
    Whole(&'a PrimitiveArray<Int64Type>),
    Real(&'a PrimitiveArray<Float64Type>),
}

impl<'a> Factors<'a> {
    fn new(array: &'a ArrayRef) -> Result<Self, SparkError> {
        match array.data_type() {
            DataType::Int64 => primitive(array).map(Factors::Whole),
            _ => primitive(array).map(Factors::Real),
        }
    }

    fn has_zero(&self) -> bool {
        match self {
            Factors::Whole(values) => values.iter().any(|v| v == Some(0)),
            Factors::Real(values) => values.iter().any(|v| v == Some(0.0)),
        }
    }
}

/// A column of intervals of any kind, or of days.
enum Moves {
    Days(PrimitiveArray<Int32Type>),
    Months(PrimitiveArray<IntervalYearMonthType>),
    Micros(PrimitiveArray<DurationMicrosecondType>),
    Calendar(PrimitiveArray<IntervalMonthDayNanoType>),
}

impl Moves {
    fn get(&self, row: usize) -> CalendarInterval {
        match self {
            Moves::Days(values) => CalendarInterval { days: values.value(row), ..Default::default() },
            Moves::Months(values) => CalendarInterval { months: values.value(row), ..Default::default() },
            Moves::Micros(values) => CalendarInterval { micros: values.value(row), ..Default::default() },
            Moves::Calendar(values) => {
                let v = values.value(row);
                CalendarInterval { months: v.months, days: v.days, micros: v.nanoseconds / 1000 }
            }
        }
    }
}

fn days_of(array: &ArrayRef) -> Result<Moves, SparkError> {
    Ok(Moves::Days(primitive(array)?.clone()))
}

fn months_of(array: &ArrayRef) -> Result<Moves, SparkError> {
    Ok(Moves::Months(primitive(array)?.clone()))
}

fn duration_of(array: &ArrayRef) -> Result<Moves, SparkError> {
    Ok(Moves::Micros(primitive(array)?.clone()))
}

fn calendar_of(array: &ArrayRef) -> Result<Moves, SparkError> {
    Ok(Moves::Calendar(primitive(array)?.clone()))
}

fn signed(interval: CalendarInterval, sign: i64) -> Option<CalendarInterval> {
    if sign >= 0 {
        return Some(interval);
    }
    Some(CalendarInterval {
        months: interval.months.checked_neg()?,
        days: interval.days.checked_neg()?,
        micros: interval.micros.checked_neg()?,
    })
}

fn move_day(day: i32, by: &CalendarInterval) -> Option<i32> {
    let moved = if by.months == 0 { day } else { add_months(day, by.months)? };
    let days = i64::from(by.days) + by.micros / MICROS_PER_DAY;
    i32::try_from(i64::from(moved) + days).ok()
}

/// Whether a constant interval is one of days, which leaves a date a date.
fn whole_days(interval: &Typed) -> bool {
    matches!(interval.as_literal(), Some(ScalarValue::DurationMicrosecond(Some(us))) if us % MICROS_PER_DAY == 0)
}

fn calendar_sum(a: CalendarInterval, b: CalendarInterval) -> Option<CalendarInterval> {
    Some(CalendarInterval {
        months: a.months.checked_add(b.months)?,
        days: a.days.checked_add(b.days)?,
        micros: a.micros.checked_add(b.micros)?,
    })
}

fn to_arrow(interval: CalendarInterval) -> Option<IntervalMonthDayNano> {
    Some(IntervalMonthDayNano::new(interval.months, interval.days, interval.micros.checked_mul(1000)?))
}

/// Parts of months are dropped, parts of days become time.
fn scale_calendar(interval: CalendarInterval, factor: f64) -> Option<CalendarInterval> {
    let (months, days) = (f64::from(interval.months) * factor, f64::from(interval.days) * factor);
    let micros = interval.micros as f64 * factor + days.fract() * MICROS_PER_DAY as f64;
    let whole = |v: f64| (v.abs() <= f64::from(i32::MAX)).then_some(v as i32);
    Some(CalendarInterval { months: whole(months)?, days: whole(days)?, micros: round_half_up(micros)? })
}

fn divide_half_up(value: i64, by: i64) -> Option<i64> {
    let (whole, rest) = (value.checked_div(by)?, value.checked_rem(by)?);
    let up = rest.unsigned_abs() >= by.unsigned_abs() - rest.unsigned_abs();
    let one = if (value < 0) == (by < 0) { 1 } else { -1 };
    if up { whole.checked_add(one) } else { Some(whole) }
}

fn round_half_up(value: f64) -> Option<i64> {
    let rounded = value.round();
    (rounded.abs() < 9.223_372_036_854_775e18).then_some(rounded as i64)
}

fn interval_overflow(hint: Option<&str>) -> SparkError {
    let (subclass, advice) = match hint {
        Some(function) => {
            ("WITH_SUGGESTION", format!("Use `{function}` to tolerate overflow and return NULL instead."))
        }
        None => ("WITHOUT_SUGGESTION", "Try devising appropriate values for the interval parameters.".to_string()),
    };
    let text = format!("Integer overflow while operating with intervals. {advice}");
    SparkError::new(ExceptionClass::Arithmetic, &format!("INTERVAL_ARITHMETIC_OVERFLOW.{subclass}"), "22015", text)
}

fn divided_by_zero() -> SparkError {
    let text = "Division by zero. Use `try_divide` to tolerate divisor being 0 and return NULL instead.";
    SparkError::new(ExceptionClass::Arithmetic, "INTERVAL_DIVIDED_BY_ZERO", "22012", text)
}

fn time_in_date_interval() -> SparkError {
    SparkError::plain(
        ExceptionClass::IllegalArgument,
        "Cannot add hours, minutes or seconds, milliseconds, microseconds to a date",
    )
}
