//! Calendar intervals and their text: `10 seconds`, `interval 1 day -2 hours 0.5 seconds`.
//!
//! The text form is the one that window durations, watermark delays, triggers and `CAST(… AS INTERVAL)` take; it is read by
//! `millstream_formats::text`. Not here: the ANSI forms `INTERVAL '1-2' YEAR TO MONTH` of SQL text (the parser's),
//! arithmetic with dates ([`super::arithmetic`]).

use millstream_formats::condition::{ExceptionClass, SparkError};
pub use millstream_formats::text::{CalendarInterval, parse_calendar as parse};

/// Microseconds in a second.
pub const MICROS_PER_SECOND: i64 = 1_000_000;
/// Microseconds in a minute.
pub const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
/// Microseconds in an hour.
pub const MICROS_PER_HOUR: i64 = 60 * MICROS_PER_MINUTE;
/// Microseconds in a day of 24 hours.
pub const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

/// The error of a user who gave `text` where an interval is wanted.
pub fn cannot_parse(text: &str) -> SparkError {
    SparkError::new(
        ExceptionClass::Analysis,
        "CANNOT_PARSE_INTERVAL",
        "22006",
        format!(
            "Unable to parse '{text}'. Please ensure that the value provided is in a valid format for defining an interval. \
             You can reference the documentation for the correct format. If the issue persists, please double check that the \
             input value is not null or empty and try again."
        ),
    )
    .with("intervalString", format!("'{text}'"))
}

/// Parses a duration of a window: an interval without months, in µs, days of 24 hours.
///
/// # Errors
/// `CANNOT_PARSE_INTERVAL`; `_LEGACY_ERROR_TEMP_3231` if there are months in it.
pub fn parse_duration(text: &str) -> Result<i64, SparkError> {
    let interval = parse(text).map_err(|_| cannot_parse(text))?;
    if interval.months != 0 {
        return Err(SparkError::new(
            ExceptionClass::IllegalArgument,
            "_LEGACY_ERROR_TEMP_3231",
            "",
            format!("Intervals greater than a month is not supported ({text})."),
        )
        .with("interval", text));
    }
    interval.fixed_micros().ok_or_else(|| cannot_parse(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_duration_has_no_months() {
        assert_eq!(parse_duration("1 day 1 hour").ok(), Some(25 * MICROS_PER_HOUR));
        let condition = |text| parse_duration(text).err().and_then(|e| e.condition().map(str::to_string));
        assert_eq!(condition("1 month").as_deref(), Some("_LEGACY_ERROR_TEMP_3231"));
        assert_eq!(condition("soon").as_deref(), Some("CANNOT_PARSE_INTERVAL"));
    }
}
