//! Intervals as text: Spark's casts both ways.

use std::fmt::Write;

use super::datetime::{write_fraction, write_two};
use super::day_time::{MICROS_PER_DAY, MICROS_PER_SECOND};
use super::number::trim_all;

/// A calendar interval: months, days and µs, which do not convert into each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CalendarInterval {
    /// Months.
    pub months: i32,
    /// Days.
    pub days: i32,
    /// µs.
    pub us: i64,
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
    let minutes = interval.us / (60 * MICROS_PER_SECOND);
    part(minutes / 60, "hours");
    part(minutes % 60, "minutes");
    let rest = interval.us % (60 * MICROS_PER_SECOND);
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

/// Reads `[interval] 1 year 2 days -3.5 seconds` (any case, units in singular or plural).
pub fn parse_calendar(text: &str) -> Option<CalendarInterval> {
    let text = trim_all(text).to_ascii_lowercase();
    let text = match text.strip_prefix("interval") {
        Some(rest) if rest.starts_with(char::is_whitespace) => rest,
        Some(_) => return None,
        None => &text,
    };
    let text = text.replace("- ", "-").replace("+ ", "+");
    let mut words = text.split_whitespace();
    let mut total = CalendarInterval::default();
    let mut any = false;
    while let Some(number) = words.next() {
        // A number may touch its unit (`1day`) only if white space is missing altogether; Spark refuses that.
        add_unit(&mut total, number, words.next()?)?;
        any = true;
    }
    any.then_some(total)
}

fn add_unit(total: &mut CalendarInterval, number: &str, unit: &str) -> Option<()> {
    if let "second" | "seconds" = unit {
        total.us = total.us.checked_add(parse_seconds(number)?)?;
        return Some(());
    }
    let value: i64 = number.parse().ok()?;
    let months = |total: &mut CalendarInterval, factor: i64| {
        total.months = total.months.checked_add(i32::try_from(value.checked_mul(factor)?).ok()?)?;
        Some(())
    };
    let days = |total: &mut CalendarInterval, factor: i64| {
        total.days = total.days.checked_add(i32::try_from(value.checked_mul(factor)?).ok()?)?;
        Some(())
    };
    let us = |total: &mut CalendarInterval, factor: i64| {
        total.us = total.us.checked_add(value.checked_mul(factor)?)?;
        Some(())
    };
    match unit.strip_suffix('s').unwrap_or(unit) {
        "year" => months(total, 12),
        "month" => months(total, 1),
        "week" => days(total, 7),
        "day" => days(total, 1),
        "hour" => us(total, 3600 * MICROS_PER_SECOND),
        "minute" => us(total, 60 * MICROS_PER_SECOND),
        "millisecond" => us(total, 1000),
        "microsecond" => us(total, 1),
        _ => None,
    }
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
        assert_eq!(parse_calendar("1 parsec"), None);
        assert_eq!(parse_calendar("10"), None);
    }
}
