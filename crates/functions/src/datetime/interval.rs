//! Calendar intervals and their text: `10 seconds`, `interval 1 day -2 hours 0.5 seconds`.
//!
//! The text form is the one that window durations, watermark delays, triggers and `CAST(… AS INTERVAL)` take. Not here:
//! the ANSI forms `INTERVAL '1-2' YEAR TO MONTH` of SQL text (the parser's), arithmetic with dates
//! ([`super::arithmetic`]).

use millstream_formats::condition::{ExceptionClass, SparkError};

/// Microseconds in a second.
pub const MICROS_PER_SECOND: i64 = 1_000_000;
/// Microseconds in a minute.
pub const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
/// Microseconds in an hour.
pub const MICROS_PER_HOUR: i64 = 60 * MICROS_PER_MINUTE;
/// Microseconds in a day of 24 hours.
pub const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

/// Months, days and microseconds, which do not convert into one another: a month has 28 to 31 days, a day 23 to 25 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CalendarInterval {
    /// Months, years folded in.
    pub months: i32,
    /// Days, weeks folded in.
    pub days: i32,
    /// Hours and everything shorter, µs.
    pub micros: i64,
}

impl CalendarInterval {
    /// The length in µs with days of 24 hours; none if there are months in it or it does not fit.
    pub fn fixed_micros(&self) -> Option<i64> {
        if self.months != 0 {
            return None;
        }
        i64::from(self.days).checked_mul(MICROS_PER_DAY)?.checked_add(self.micros)
    }
}

/// Parses an interval, in any case, with or without the word `interval` in front.
///
/// # Errors
/// `INVALID_INTERVAL_FORMAT…`-like sentence of what is wrong, without condition: callers give it theirs, see
/// [`cannot_parse`] and [`parse_duration`].
pub fn parse(text: &str) -> Result<CalendarInterval, String> {
    let trimmed = text.trim_matches(|c: char| c.is_ascii_whitespace() || c.is_control());
    let lower = trimmed.to_ascii_lowercase();
    if lower.is_empty() {
        return Err("interval string cannot be empty".into());
    }
    let mut rest = lower.as_str();
    if let Some(after) = rest.strip_prefix("interval") {
        if after.is_empty() {
            return Err("interval string cannot be empty".into());
        }
        if !after.starts_with(is_space) {
            return Err(format!("invalid interval prefix {}", word_of(rest)));
        }
        rest = after;
    }
    let mut interval = CalendarInterval::default();
    rest = rest.trim_start_matches(is_space);
    // Only a prefix followed by blanks can bring us here, and blanks at the end have been cut off.
    while !rest.is_empty() {
        rest = parse_term(rest, &mut interval)?.trim_start_matches(is_space);
    }
    Ok(interval)
}

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

fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c) || c == '\u{b}'
}

fn word_of(rest: &str) -> &str {
    rest.split(is_space).find(|w| !w.is_empty()).unwrap_or(rest)
}

/// A number with its unit, as they are read.
struct Term {
    value: i64,
    /// Nanoseconds behind the decimal point, present if there was one.
    fraction_nanos: Option<i64>,
}

/// Takes one `[+|-] number unit` off the front of `text`.
fn parse_term<'a>(text: &'a str, interval: &mut CalendarInterval) -> Result<&'a str, String> {
    let (negative, rest) = match text.as_bytes().first() {
        Some(b'-') => (true, text[1..].trim_start_matches(is_space)),
        Some(b'+') => (false, text[1..].trim_start_matches(is_space)),
        Some(b'0'..=b'9' | b'.') => (false, text),
        _ => return Err(format!("unrecognized number '{}'", word_of(text))),
    };
    if rest.is_empty() {
        return Err(format!("expect a number after '{}' but hit EOL", word_of(text)));
    }
    let signed = rest.len() != text.len();
    let (mut term, after) = parse_number(rest, signed)?;
    let unit = after.trim_start_matches(is_space);
    if unit.is_empty() {
        return Err(format!("expect a unit name after '{}' but hit EOL", word_of(text)));
    }
    if !unit.starts_with('s') && term.fraction_nanos.is_some() {
        return Err(format!("'{}' cannot have fractional part", word_of(rest)));
    }
    if negative {
        term.value = -term.value;
        term.fraction_nanos = term.fraction_nanos.map(|f| -f);
    }
    apply_unit(unit, &term, interval)
}

fn parse_number(text: &str, signed: bool) -> Result<(Term, &str), String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let point = text[digits..].starts_with('.');
    if digits == 0 && !point {
        return Err(format!("invalid value '{}'", word_of(text)));
    }
    let value = if digits == 0 { 0 } else { text[..digits].parse().map_err(|_| "long overflow".to_string())? };
    let mut rest = &text[digits..];
    let mut fraction_nanos = None;
    if point {
        rest = &rest[1..];
        let places = rest.bytes().take_while(u8::is_ascii_digit).count();
        if places > 9 {
            return Err(format!("interval can only support nanosecond precision, '{}' is out of range", word_of(text)));
        }
        // After a sign a lone point counts as zero; that is Spark's reading.
        if places == 0 && digits == 0 && !signed {
            return Err(format!("invalid value '{}'", word_of(text)));
        }
        let nanos = rest[..places].bytes().fold(0, |n, b| n * 10 + i64::from(b - b'0')) * 10_i64.pow(9 - places as u32);
        fraction_nanos = Some(nanos);
        rest = &rest[places..];
    }
    if !rest.is_empty() && !rest.starts_with(is_space) {
        return Err(format!("invalid value '{}'", word_of(text)));
    }
    Ok((Term { value, fraction_nanos }, rest))
}

const UNITS: [&str; 9] = ["year", "week", "day", "hour", "second", "month", "minute", "millisecond", "microsecond"];

/// Adds the term in the unit at the front of `text`; returns what stands behind the unit and its plural `s`.
fn apply_unit<'a>(text: &'a str, term: &Term, interval: &mut CalendarInterval) -> Result<&'a str, String> {
    let invalid = || format!("invalid unit '{}'", word_of(text));
    let unit = UNITS.into_iter().find(|unit| text.starts_with(unit)).ok_or_else(invalid)?;
    let rest = &text[unit.len()..];
    let rest = rest.strip_prefix('s').unwrap_or(rest);
    if !rest.is_empty() && !rest.starts_with(is_space) {
        return Err(invalid());
    }
    add_term(unit, term, interval).ok_or_else(|| "long overflow".to_string())?;
    Ok(rest)
}

fn add_term(unit: &str, term: &Term, interval: &mut CalendarInterval) -> Option<()> {
    let micros_per_unit = match unit {
        "year" | "month" => {
            let months = term.value.checked_mul(if unit == "year" { 12 } else { 1 })?;
            interval.months = i32::try_from(i64::from(interval.months).checked_add(months)?).ok()?;
            return Some(());
        }
        "week" | "day" => {
            let days = term.value.checked_mul(if unit == "week" { 7 } else { 1 })?;
            interval.days = i32::try_from(i64::from(interval.days).checked_add(days)?).ok()?;
            return Some(());
        }
        "hour" => MICROS_PER_HOUR,
        "minute" => MICROS_PER_MINUTE,
        "second" => MICROS_PER_SECOND,
        "millisecond" => 1000,
        _ => 1,
    };
    let micros = term.value.checked_mul(micros_per_unit)?;
    let fraction = term.fraction_nanos.unwrap_or(0) / 1000;
    interval.micros = interval.micros.checked_add(micros)?.checked_add(fraction)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(months: i32, days: i32, micros: i64) -> Result<CalendarInterval, String> {
        Ok(CalendarInterval { months, days, micros })
    }

    #[test]
    fn terms_add_up_with_their_signs_and_fractions() {
        assert_eq!(parse("10 seconds"), interval(0, 0, 10_000_000));
        assert_eq!(parse(" INTERVAL 1 Year 2 months -1 week +1 day"), interval(14, -6, 0));
        assert_eq!(
            parse("1 hour - 30 minutes 1.5 seconds 3 milliseconds 7 microseconds"),
            interval(0, 0, 1_801_503_007)
        );
        assert_eq!(parse("-0.000001 second"), interval(0, 0, -1));
        assert_eq!(parse("-.5 second"), interval(0, 0, -500_000));
        assert_eq!(parse(".25 seconds"), interval(0, 0, 250_000));
        assert_eq!(parse("interval \t 1 day"), interval(0, 1, 0));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "  ",
            "interval",
            "soon",
            "1",
            "1 fortnight",
            "1.5 hours",
            "- seconds",
            "1second",
            ". second",
            "intervals 1 day",
            "1 days1 hour",
        ] {
            assert!(parse(text).is_err(), "{text:?} was taken for {:?}", parse(text));
        }
        assert!(parse("9223372036854775807 hours").is_err());
    }

    #[test]
    fn a_window_duration_has_no_months() {
        assert_eq!(parse_duration("1 day 1 hour").ok(), Some(25 * MICROS_PER_HOUR));
        let condition = |text| parse_duration(text).err().and_then(|e| e.condition().map(str::to_string));
        assert_eq!(condition("1 month").as_deref(), Some("_LEGACY_ERROR_TEMP_3231"));
        assert_eq!(condition("soon").as_deref(), Some("CANNOT_PARSE_INTERVAL"));
    }
}
