//! Intervals as text: Spark's casts both ways.

use std::fmt::Write;

use super::datetime::{write_fraction, write_two};
use super::day_time::{MICROS_PER_DAY, MICROS_PER_SECOND};
use super::number::trim_all;

/// Months, days and microseconds, which do not convert into one another: a month has 28 to 31 days, a day 23 to 25 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Hash, Default)]
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

    /// In ms, a month counted as 31 days as Spark does for watermark delays.
    pub fn delay_ms(&self) -> i64 {
        self.micros / 1000 + (i64::from(self.days) + i64::from(self.months) * 31) * 86_400_000
    }
}

/// Writes `1-2` for 14 months.
pub fn write_year_month(months: i32, out: &mut String) {
    let size = i64::from(months).abs();
    let _ = write!(out, "INTERVAL '{}{}-{}' YEAR TO MONTH", if months < 0 { "-" } else { "" }, size / 12, size % 12);
}

/// Writes `INTERVAL '1 02:03:04.5' DAY TO SECOND`.
pub fn write_day_time(us: i64, out: &mut String) {
    let size = us.unsigned_abs();
    let (day, second) = (MICROS_PER_DAY as u64, MICROS_PER_SECOND as u64);
    let _ = write!(out, "INTERVAL '{}{} ", if us < 0 { "-" } else { "" }, size / day);
    let seconds = size % day / second;
    write_two((seconds / 3600) as u32, out);
    out.push(':');
    write_two((seconds / 60 % 60) as u32, out);
    out.push(':');
    write_two((seconds % 60) as u32, out);
    write_fraction((size % second) as u32, out);
    out.push_str("' DAY TO SECOND");
}

/// Writes `1 years 2 months 3 days 4 hours 5 minutes 6.7 seconds`, zero parts left out.
pub fn write_calendar(interval: CalendarInterval, out: &mut String) {
    let start = out.len();
    let mut part = |value: i64, unit: &str| {
        if value != 0 {
            let gap = if out.len() > start { " " } else { "" };
            let _ = write!(out, "{gap}{value} {unit}");
        }
    };
    part(i64::from(interval.months / 12), "years");
    part(i64::from(interval.months % 12), "months");
    part(i64::from(interval.days), "days");
    let minutes = interval.micros / (60 * MICROS_PER_SECOND);
    part(minutes / 60, "hours");
    part(minutes % 60, "minutes");
    let rest = interval.micros % (60 * MICROS_PER_SECOND);
    if rest != 0 {
        let (gap, sign) = (if out.len() > start { " " } else { "" }, if rest < 0 { "-" } else { "" });
        let _ = write!(out, "{gap}{sign}{}", (rest / MICROS_PER_SECOND).abs());
        write_fraction((rest % MICROS_PER_SECOND).unsigned_abs() as u32, out);
        out.push_str(" seconds");
    }
    if out.len() == start {
        out.push_str("0 seconds");
    }
}

/// Reads `[interval] 1 year 2 days -3.5 seconds`, in any case, with or without the word `interval` in front.
///
/// # Errors
/// A sentence on what is wrong.
pub fn parse_calendar(text: &str) -> Result<CalendarInterval, String> {
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
        "hour" => 3600 * MICROS_PER_SECOND,
        "minute" => 60 * MICROS_PER_SECOND,
        "second" => MICROS_PER_SECOND,
        "millisecond" => 1000,
        _ => 1,
    };
    let micros = term.value.checked_mul(micros_per_unit)?;
    let fraction = term.fraction_nanos.unwrap_or(0) / 1000;
    interval.micros = interval.micros.checked_add(micros)?.checked_add(fraction)?;
    Some(())
}

/// µs of seconds with a fraction of at most nine digits, of which six count.
fn parse_seconds(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.len() > 9 {
        return None;
    }
    let seconds: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    if !fraction.bytes().all(|b| b.is_ascii_digit()) || digits.starts_with(['-', '+']) {
        return None;
    }
    let us: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    let total = seconds.checked_mul(MICROS_PER_SECOND)?.checked_add(us)?;
    Some(if negative { -total } else { total })
}

/// Takes `interval '…' unit` apart: the text within the quotes, its sign, or the whole text if it is bare.
fn unquote<'a>(text: &'a str, unit: &str) -> Option<(&'a str, bool)> {
    let text = trim_all(text);
    let lower = text.to_ascii_lowercase();
    if !lower.starts_with("interval") {
        return Some((text, false));
    }
    let rest = text.get("interval".len()..)?.trim_start();
    let (negative, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, rest.strip_prefix('+').unwrap_or(rest).trim_start()),
    };
    let (quoted, tail) = rest.strip_prefix('\'')?.split_once('\'')?;
    tail.trim().eq_ignore_ascii_case(unit).then_some((quoted, negative))
}

/// Reads months of `1-2` or `INTERVAL '1-2' YEAR TO MONTH`.
pub fn parse_year_month(text: &str) -> Option<i32> {
    let (text, outer_negative) = unquote(text, "year to month")?;
    let (negative, text) = signed(text);
    let (years, months) = text.split_once('-')?;
    let (years, months) = (digits(years)?, digits(months)?);
    let total = years.checked_mul(12)?.checked_add(months)?;
    if months > 11 {
        return None;
    }
    i32::try_from(if negative != outer_negative { -total } else { total }).ok()
}

/// Reads µs of `1 02:03:04.5` or `INTERVAL '1 02:03:04.5' DAY TO SECOND`.
pub fn parse_day_time(text: &str) -> Option<i64> {
    let (text, outer_negative) = unquote(text, "day to second")?;
    let (negative, text) = signed(text);
    let (days, time) = text.split_once([' ', 'T'])?;
    let mut parts = time.split(':');
    let (hours, minutes, seconds) = (digits(parts.next()?)?, digits(parts.next()?)?, parse_seconds(parts.next()?)?);
    if parts.next().is_some() || hours > 23 || minutes > 59 || !(0..60 * MICROS_PER_SECOND).contains(&seconds) {
        return None;
    }
    let time = (hours * 3600 + minutes * 60) * MICROS_PER_SECOND + seconds;
    let total = digits(days)?.checked_mul(MICROS_PER_DAY)?.checked_add(time)?;
    Some(if negative != outer_negative { -total } else { total })
}

fn signed(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn digits(text: &str) -> Option<i64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(months: i32, days: i32, micros: i64) -> Result<CalendarInterval, String> {
        Ok(CalendarInterval { months, days, micros })
    }

    #[test]
    fn terms_add_up_with_their_signs_and_fractions() {
        assert_eq!(parse_calendar("10 seconds"), interval(0, 0, 10_000_000));
        assert_eq!(parse_calendar(" INTERVAL 1 Year 2 months -1 week +1 day"), interval(14, -6, 0));
        assert_eq!(
            parse_calendar("1 hour - 30 minutes 1.5 seconds 3 milliseconds 7 microseconds"),
            interval(0, 0, 1_801_503_007)
        );
        assert_eq!(parse_calendar("-0.000001 second"), interval(0, 0, -1));
        assert_eq!(parse_calendar("-.5 second"), interval(0, 0, -500_000));
        assert_eq!(parse_calendar(".25 seconds"), interval(0, 0, 250_000));
        assert_eq!(parse_calendar("interval \t 1 day"), interval(0, 1, 0));
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
            assert!(parse_calendar(text).is_err(), "{text:?} was taken for {:?}", parse_calendar(text));
        }
        assert!(parse_calendar("9223372036854775807 hours").is_err());
    }

    #[test]
    fn intervals_are_written_and_read() {
        let mut out = String::new();
        write_day_time(-93_784_500_000, &mut out);
        assert_eq!(out, "INTERVAL '-1 02:03:04.5' DAY TO SECOND");
        assert_eq!(parse_day_time(&out), Some(-93_784_500_000));
        out.clear();
        write_year_month(-14, &mut out);
        assert_eq!(out, "INTERVAL '-1-2' YEAR TO MONTH");
        assert_eq!(parse_year_month(&out), Some(-14));
        out.clear();
        let interval = parse_calendar("interval 1 year 2 Months 3 weeks -3.5 seconds").unwrap();
        write_calendar(interval, &mut out);
        assert_eq!(out, "1 years 2 months 21 days -3.5 seconds");
    }
}
