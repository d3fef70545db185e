//! Sums of timestamps and intervals in a time zone: months and days move the local time, hours and less the instant.

use millstream_formats::calendar;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::zone::Zone;

use super::interval::{CalendarInterval, MICROS_PER_DAY};

/// The instant `us` moved by an interval; none if it does not fit.
///
/// Months come first, then days, then the rest. For a `timestamp_ntz` give [`Zone::UTC`].
pub fn add_interval(us: i64, interval: &CalendarInterval, zone: &Zone) -> Option<i64> {
    let mut instant = us;
    if interval.months != 0 {
        instant = move_local(instant, zone, |day| calendar::add_months(day, interval.months))?;
    }
    if interval.days != 0 {
        instant = move_local(instant, zone, |day| day.checked_add(interval.days))?;
    }
    instant.checked_add(interval.micros)
}

/// The instant moved by an interval of days and times: whole days move the local time.
pub fn add_day_time(us: i64, micros: i64, zone: &Zone) -> Option<i64> {
    let days = i32::try_from(micros / MICROS_PER_DAY).ok()?;
    add_interval(us, &CalendarInterval { months: 0, days, micros: micros % MICROS_PER_DAY }, zone)
}

/// The instant moved by months of its local time.
pub fn add_year_month(us: i64, months: i32, zone: &Zone) -> Option<i64> {
    add_interval(us, &CalendarInterval { months, days: 0, micros: 0 }, zone)
}

/// Changes the local day and keeps the time of day.
fn move_local(us: i64, zone: &Zone, day: impl Fn(i32) -> Option<i32>) -> Option<i64> {
    let offset = zone.offset_at(us);
    let local = us.checked_add(i64::from(offset) * 1_000_000)?;
    let moved = day(i32::try_from(local.div_euclid(MICROS_PER_DAY)).ok()?)?;
    let local = i64::from(moved).checked_mul(MICROS_PER_DAY)?.checked_add(local.rem_euclid(MICROS_PER_DAY))?;
    Some(zone.to_utc_preferring(local, offset))
}

/// `DATETIME_OVERFLOW`: the result of `operation` (`add 3 MONTH to …`) does not fit.
pub fn overflow(operation: impl std::fmt::Display) -> SparkError {
    SparkError::new(
        ExceptionClass::Arithmetic,
        "DATETIME_OVERFLOW",
        "22008",
        format!("Datetime operation overflow: {operation}."),
    )
    .with("operation", operation.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datetime::interval::MICROS_PER_HOUR;

    #[test]
    fn a_day_keeps_the_wall_clock_and_24_hours_do_not() {
        let zone: Zone = "America/New_York".parse().unwrap_or(Zone::UTC);
        // 2024-03-09 12:00 EST, the day before clocks go forward.
        let noon = 1_710_003_600_000_000;
        assert_eq!(add_day_time(noon, MICROS_PER_DAY, &zone), Some(noon + 23 * MICROS_PER_HOUR));
        let day = CalendarInterval { micros: MICROS_PER_DAY, ..Default::default() };
        assert_eq!(add_interval(noon, &day, &zone), Some(noon + MICROS_PER_DAY));
        assert_eq!(add_interval(i64::MAX, &day, &zone), None);
    }

    #[test]
    fn months_are_cut_to_the_length_of_the_month() {
        let january_31 = 19_753 * MICROS_PER_DAY;
        assert_eq!(add_year_month(january_31, 1, &Zone::UTC), Some(19_782 * MICROS_PER_DAY));
    }
}
