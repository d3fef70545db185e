//! Dates, timestamps and times as text: Spark's casts both ways.
//!
//! Not here: patterns (`yyyy-MM-dd`), which belong to the functions and options that take them.

use super::day_time::{MICROS_PER_SECOND, join_days, split_days};
use super::number::trim_all;
use crate::calendar::{Civil, civil_of_days, days_of_checked};
use crate::zone::Zone;

/// Writes a date: `2024-01-31`, `-0044-03-15`, `+10000-01-01`.
pub fn write_date(days: i32, out: &mut String) {
    let Civil { year, month, day } = civil_of_days(days);
    write_year(year, out);
    out.push('-');
    write_two(month, out);
    out.push('-');
    write_two(day, out);
}

/// Writes a local time: `2024-01-31 12:00:00.5`, without the zeros at the end of the fraction.
pub fn write_local_timestamp(local_us: i64, out: &mut String) {
    let (days, us_of_day) = split_days(local_us);
    write_date(days, out);
    out.push(' ');
    write_time(us_of_day, out);
}

/// Writes a moment as local time of a zone.
pub fn write_timestamp(utc_us: i64, zone: &Zone, out: &mut String) {
    write_local_timestamp(zone.to_local(utc_us), out);
}

/// Writes a time of day, given in µs since midnight: `12:00:00.5`.
pub fn write_time(us_of_day: i64, out: &mut String) {
    let seconds = us_of_day / MICROS_PER_SECOND;
    write_two((seconds / 3600) as u32, out);
    out.push(':');
    write_two((seconds / 60 % 60) as u32, out);
    out.push(':');
    write_two((seconds % 60) as u32, out);
    write_fraction((us_of_day % MICROS_PER_SECOND) as u32, out);
}

/// Writes `.5` for 500000 µs, nothing for 0.
pub fn write_fraction(us: u32, out: &mut String) {
    if us == 0 {
        return;
    }
    out.push('.');
    let (mut rest, mut unit) = (us, 100_000);
    while rest > 0 && unit > 0 {
        out.push(digit(rest / unit));
        rest %= unit;
        unit /= 10;
    }
}

fn write_year(year: i32, out: &mut String) {
    let (size, width) = (year.unsigned_abs(), 1000);
    if year < 0 {
        out.push('-');
    } else if year > 9999 {
        out.push('+');
    }
    if size > 9999 {
        return out.push_str(&size.to_string());
    }
    let mut unit = width;
    while unit > 0 {
        out.push(digit(size / unit % 10));
        unit /= 10;
    }
}

/// Writes a number below 100 with two digits.
pub fn write_two(value: u32, out: &mut String) {
    out.push(digit(value / 10));
    out.push(digit(value % 10));
}

fn digit(value: u32) -> char {
    char::from(b'0' + (value % 10) as u8)
}

/// Reads a date: `yyyy`, `yyyy-[m]m`, `yyyy-[m]m-[d]d`, the last one also with a blank or `T` and anything behind it.
pub fn parse_date(text: &str) -> Option<i32> {
    let bytes = trim_all(text).as_bytes();
    let (sign, start) = match bytes.first()? {
        b'-' => (-1, 1),
        b'+' => (1, 1),
        _ => (1, 0),
    };
    let valid = |segment: usize, digits: usize| {
        if segment == 0 { (4..=7).contains(&digits) } else { (1..=2).contains(&digits) }
    };
    let (mut segments, mut segment, mut value, mut digits) = ([1i32; 3], 0usize, 0i32, 0usize);
    let mut used = start;
    for byte in bytes.get(start..)? {
        match byte {
            b' ' | b'T' if segment == 2 => break,
            b'-' if segment < 2 => {
                if !valid(segment, digits) {
                    return None;
                }
                *segments.get_mut(segment)? = value;
                (segment, value, digits) = (segment + 1, 0, 0);
            }
            b'0'..=b'9' => {
                value = value.checked_mul(10)?.checked_add(i32::from(byte - b'0'))?;
                digits += 1;
            }
            _ => return None,
        }
        used += 1;
    }
    if !valid(segment, digits) || (segment < 2 && used < bytes.len()) {
        return None;
    }
    *segments.get_mut(segment)? = value;
    days_of_checked(sign * segments[0], segments[1] as u32, segments[2] as u32)
}

/// A timestamp as read: what its text said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParsedTimestamp {
    /// The day, absent if there was only a time (`12:30`, `T12:30:00`).
    pub days: Option<i32>,
    /// µs since midnight.
    pub us_of_day: i64,
    /// The zone at its end.
    pub zone: Option<Zone>,
}

impl ParsedTimestamp {
    /// Local µs; absent without a day and on overflow.
    pub fn local_us(&self) -> Option<i64> {
        join_days(self.days?, self.us_of_day)
    }
}

/// Reads `[+-]yyyy*[-[m]m[-[d]d]]`, then after a blank or `T` `[h]h:[m]m[:[s]s[.f*]][zone]`, or a time alone. Digits beyond µs are
/// cut off.
pub fn parse_timestamp_parts(text: &str) -> Option<ParsedTimestamp> {
    TimestampReader::default().read(trim_all(text))
}

/// Reads a timestamp; a text without a zone is local time of `zone`, a time alone is that of the day of `now_us`.
pub fn parse_timestamp(text: &str, zone: &Zone, now_us: i64) -> Option<i64> {
    let parsed = parse_timestamp_parts(text)?;
    let zone = parsed.zone.unwrap_or(*zone);
    let days = parsed.days.unwrap_or_else(|| split_days(zone.to_local(now_us)).0);
    Some(zone.to_utc(join_days(days, parsed.us_of_day)?))
}

/// Reads a timestamp without time zone, as local µs; a zone in the text is ignored if `zones` says so, else no timestamp.
pub fn parse_timestamp_ntz(text: &str, zones: bool) -> Option<i64> {
    let parsed = parse_timestamp_parts(text)?;
    if parsed.zone.is_some() && !zones {
        return None;
    }
    parsed.local_us()
}

/// Reads a time of day `[T][h]h:[m]m[:[s]s[.f*]]` as µs since midnight.
pub fn parse_time(text: &str) -> Option<i64> {
    let parsed = parse_timestamp_parts(text)?;
    (parsed.days.is_none() && parsed.zone.is_none()).then_some(parsed.us_of_day)
}

/// The state of reading a timestamp: year, month, day, hour, minute, second, µs in order, then the zone.
#[derive(Default)]
struct TimestampReader {
    segments: [i32; 7],
    segment: usize,
    value: i32,
    digits: usize,
    time_only: bool,
    zone: Option<Zone>,
}

impl TimestampReader {
    fn read(mut self, text: &str) -> Option<ParsedTimestamp> {
        self.segments = [1, 1, 1, 0, 0, 0, 0];
        let (sign, start) = match text.as_bytes().first()? {
            b'-' => (Some(-1), 1),
            b'+' => (Some(1), 1),
            _ => (None, 0),
        };
        for (at, byte) in text.bytes().enumerate().skip(start) {
            match byte {
                b'0'..=b'9' => self.digit(byte)?,
                b'T' if at == 0 => (self.time_only, self.segment) = (true, 3),
                b'-' if self.segment < 2 => self.close()?,
                b':' if self.segment == 0 && sign.is_none() => {
                    (self.time_only, self.segment) = (true, 3);
                    self.close()?;
                }
                b' ' | b'T' if self.segment == 2 => self.close()?,
                b':' if self.segment == 3 || self.segment == 4 => self.close()?,
                b'.' if self.segment == 5 => self.close()?,
                _ if self.segment == 5 || self.segment == 6 => {
                    self.zone = Some(text.get(at..)?.trim().parse().ok()?);
                    break;
                }
                _ => return None,
            }
        }
        self.close()?;
        self.finish(sign.unwrap_or(1))
    }

    fn digit(&mut self, byte: u8) -> Option<()> {
        // Digits beyond µs count as read but have no value.
        if self.segment != 6 || self.digits < 6 {
            self.value = self.value.checked_mul(10)?.checked_add(i32::from(byte - b'0'))?;
        }
        self.digits += 1;
        Some(())
    }

    /// Ends the number being read and goes to the next one.
    fn close(&mut self) -> Option<()> {
        let valid = match self.segment {
            0 => (4..=6).contains(&self.digits),
            6 => true,
            _ => (1..=2).contains(&self.digits),
        };
        if !valid {
            return None;
        }
        if self.segment == 6 {
            self.value *= 10i32.pow(6u32.saturating_sub(self.digits as u32));
        }
        *self.segments.get_mut(self.segment)? = self.value;
        (self.segment, self.value, self.digits) = (self.segment + 1, 0, 0);
        Some(())
    }

    fn finish(self, sign: i32) -> Option<ParsedTimestamp> {
        let [year, month, day, hour, minute, second, us] = self.segments;
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
        let us_of_day = seconds * MICROS_PER_SECOND + i64::from(us);
        let days = match self.time_only {
            true => None,
            false => Some(days_of_checked(sign * year, month as u32, day as u32)?),
        };
        Some(ParsedTimestamp { days, us_of_day, zone: self.zone })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(us: i64) -> String {
        let mut out = String::new();
        write_timestamp(us, &Zone::UTC, &mut out);
        out
    }

    #[test]
    fn timestamps_are_written_without_zeros_at_the_end() {
        assert_eq!(shown(0), "1970-01-01 00:00:00");
        assert_eq!(shown(-1), "1969-12-31 23:59:59.999999");
        assert_eq!(shown(1_500_000), "1970-01-01 00:00:01.5");
        let mut out = String::new();
        write_date(2_932_897, &mut out);
        assert_eq!(out, "+10000-01-01");
    }

    #[test]
    fn timestamps_are_read_in_all_of_sparks_forms() {
        let read = |text| parse_timestamp(text, &Zone::Fixed(3600), 0).map(shown);
        let cases = [
            ("2024", Some("2023-12-31 23:00:00")),
            ("2024-3", Some("2024-02-29 23:00:00")),
            ("2024-03-01 ", Some("2024-02-29 23:00:00")),
            ("2024-03-01T10:11:12.1234567", Some("2024-03-01 09:11:12.123456")),
            ("2024-03-01 10:11:12Z", Some("2024-03-01 10:11:12")),
            ("2024-03-01 10:11:12.5 Europe/Berlin", Some("2024-03-01 09:11:12.5")),
            ("2024-03-01 10:11:12+05:30", Some("2024-03-01 04:41:12")),
            ("10:11", Some("1970-01-01 09:11:00")),
            ("T10:11:12", Some("1970-01-01 09:11:12")),
            ("2024-03-01 10:11", Some("2024-03-01 09:11:00")),
            ("2024-03-01 25:11:12", None),
            ("2024-02-30", None),
            ("24-02-03", None),
            ("2024-03-01 10:11:12 Nowhere", None),
            ("", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(read(text).as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn dates_are_read_in_all_of_sparks_forms() {
        for (text, wanted) in [
            ("1970-01-02", Some(1)),
            ("1970-1-2T99", Some(1)),
            ("1970", Some(0)),
            ("1970-02x", None),
            ("70-01-01", None),
        ] {
            assert_eq!(parse_date(text), wanted, "{text}");
        }
    }
}
