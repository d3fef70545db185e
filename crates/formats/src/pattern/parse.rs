//! Texts as values by a pattern, as strictly as Java's `ResolverStyle.STRICT`: fields must be in range, agree with one
//! another, and the whole text must be used. Fields that the pattern does not have are those of 1970-01-01T00:00:00.

use crate::calendar;
use crate::text::join_days;
use crate::zone::Zone;

use super::{Field, Item, Number, OffsetForm, Pattern, Sign, Style, names};

/// A text as its pattern reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed {
    /// Days since 1970-01-01.
    pub days: i32,
    /// µs since midnight.
    pub us_of_day: i64,
    /// The zone or offset in the text.
    pub zone: Option<Zone>,
}

impl Parsed {
    /// The local time in µs; none if it does not fit.
    pub fn local_us(&self) -> Option<i64> {
        join_days(self.days, self.us_of_day)
    }

    /// The instant, in the session's zone if the text has none.
    pub fn utc_us(&self, session: &Zone) -> Option<i64> {
        Some(self.zone.as_ref().unwrap_or(session).to_utc(self.local_us()?))
    }
}

const FIELDS: usize = Field::Second as usize + 1;

/// Fields read so far.
#[derive(Debug, Clone, Default)]
struct State {
    values: [Option<i64>; FIELDS],
    nanos: Option<i64>,
    zone: Option<Zone>,
}

impl Pattern {
    /// Reads a text.
    ///
    /// # Errors
    /// What is wrong with it, as Java says it.
    pub fn parse(&self, text: &str) -> Result<Parsed, String> {
        let mut state = State::default();
        let end = state
            .items(&self.items, text, 0)
            .map_err(|at| format!("Text '{text}' could not be parsed at index {at}"))?;
        if end < text.len() {
            return Err(format!("Text '{text}' could not be parsed, unparsed text found at index {end}"));
        }
        state.resolve().map_err(|why| format!("Text '{text}' could not be parsed: {why}"))
    }
}

/// The position behind what was read, or that of the fault.
type Position = Result<usize, usize>;

impl State {
    fn items(&mut self, items: &[Item], text: &str, start: usize) -> Position {
        items.iter().try_fold(start, |at, item| self.item(item, text, at))
    }

    fn item(&mut self, item: &Item, text: &str, at: usize) -> Position {
        let rest = text.get(at..).ok_or(at)?;
        match item {
            Item::Literal(literal) => match rest.get(..literal.len()) {
                Some(front) if front.eq_ignore_ascii_case(literal) => Ok(at + literal.len()),
                _ => Err(at),
            },
            Item::Number(number) => self.number(number, rest, at),
            Item::Name(field, style) => {
                let (value, length) = names::value_at(*field, *style, rest).ok_or(at)?;
                self.set(*field, value).ok_or(at)?;
                Ok(at + length)
            }
            Item::Fraction { digits_min, digits_max } => {
                let digits = rest.bytes().take(*digits_max).take_while(u8::is_ascii_digit).count();
                if digits < *digits_min {
                    return Err(at);
                }
                let value: i64 = rest.get(..digits).and_then(|d| d.parse().ok()).ok_or(at)?;
                self.nanos = Some(value * 10_i64.pow(9 - digits as u32));
                Ok(at + digits)
            }
            Item::Optional(items) => {
                let before = self.clone();
                self.items(items, text, at).or_else(|_| {
                    *self = before;
                    Ok(at)
                })
            }
            Item::Offset(form) => {
                let (seconds, length) = offset_at(form, rest).ok_or(at)?;
                self.zone = Some(Zone::Fixed(seconds));
                Ok(at + length)
            }
            Item::ZoneId | Item::ZoneName | Item::GmtOffset(_) => {
                let (zone, length) = zone_at(item, rest).ok_or(at)?;
                self.zone = Some(zone);
                Ok(at + length)
            }
        }
    }

    /// Sets a field; none if it has another value already.
    fn set(&mut self, field: Field, value: i64) -> Option<()> {
        let slot = self.values.get_mut(field as usize)?;
        if slot.is_some_and(|old| old != value) {
            return None;
        }
        *slot = Some(value);
        Some(())
    }

    fn get(&self, field: Field) -> Option<i64> {
        self.values.get(field as usize).copied().flatten()
    }

    fn number(&mut self, number: &Number, rest: &str, at: usize) -> Position {
        let (sign, digits_at) = match rest.as_bytes().first() {
            Some(b'+') if number.sign == Sign::ExceedsPad => (Some('+'), 1),
            Some(b'-') if number.sign != Sign::NotNegative => (Some('-'), 1),
            _ => (None, 0),
        };
        let rest = rest.get(digits_at..).ok_or(at)?;
        let most = if number.fixed { number.digits_min } else { number.digits_max };
        let run = rest.bytes().take(most + number.reserved).take_while(u8::is_ascii_digit).count();
        // Numbers of fixed width that follow without a gap get their digits first.
        let digits =
            if number.reserved > 0 { run.saturating_sub(number.reserved).max(number.digits_min).min(run) } else { run };
        if digits < number.digits_min {
            return Err(at);
        }
        let exceeds = digits > number.digits_min;
        if number.sign == Sign::ExceedsPad && ((sign == Some('+')) != exceeds) && sign != Some('-') {
            return Err(at);
        }
        let value: i64 = rest.get(..digits).and_then(|d| d.parse().ok()).ok_or(at)?;
        if sign == Some('-') && value == 0 {
            return Err(at);
        }
        let value = if sign == Some('-') { -value } else { value };
        self.set(number.field, if number.reduced { 2000 + value } else { value }).ok_or(at)?;
        Ok(at + digits_at + digits)
    }

    fn resolve(&self) -> Result<Parsed, String> {
        for (field, name, least, most) in RANGES {
            if let Some(value) = self.get(field)
                && !(least..=most).contains(&value)
            {
                return Err(format!("Invalid value for {name} (valid values {least} - {most}): {value}"));
            }
        }
        let (days, us_of_day) = (self.days()?, self.us_of_day());
        Ok(Parsed { days, us_of_day, zone: self.zone })
    }

    fn days(&self) -> Result<i32, String> {
        let year_of_era = self.get(Field::YearOfEra).filter(|_| self.get(Field::Era).is_some());
        let year = match (year_of_era, self.get(Field::Era)) {
            (Some(year), Some(0)) => 1 - year,
            (Some(year), _) => year,
            (None, _) => self.get(Field::Year).unwrap_or(1970),
        };
        let year = i32::try_from(year).map_err(|_| format!("Invalid value for Year: {year}"))?;
        let (month, day) = (self.get(Field::Month), self.get(Field::Day));
        let too_far = || format!("year {year} is out of range");
        if let Some(day_of_year) = self.get(Field::DayOfYear) {
            if day_of_year == 366 && !calendar::is_leap(year) {
                return Err(format!("Invalid date 'DayOfYear 366' as '{year}' is not a leap year"));
            }
            let first = calendar::days_of_civil(year, 1, 1).ok_or_else(too_far)?;
            let days = first.checked_add(day_of_year as i32 - 1).ok_or_else(too_far)?;
            let civil = calendar::civil_of_days(days);
            let agrees = |given: Option<i64>, found: u32| given.is_none_or(|value| value == i64::from(found));
            if !agrees(month, civil.month) || !agrees(day, civil.day) {
                return Err(format!("the day of the year {day_of_year} is another day"));
            }
            return Ok(days);
        }
        let (month, day) = (month.unwrap_or(1) as u32, day.unwrap_or(1) as u32);
        if day > calendar::days_in_month(year, month) {
            let name = names::name_of(Field::Month, Style::Full, i64::from(month)).to_uppercase();
            return Err(match (month, day) {
                (2, 29) => format!("Invalid date 'February 29' as '{year}' is not a leap year"),
                _ => format!("Invalid date '{name} {day}'"),
            });
        }
        calendar::days_of_civil(year, month, day).ok_or_else(too_far)
    }

    fn us_of_day(&self) -> i64 {
        let half = self.get(Field::AmPm);
        let of_half = self.get(Field::HourOfAmPm).or_else(|| self.get(Field::ClockHourOfAmPm).map(|h| h % 12));
        let hour = self
            .get(Field::Hour)
            .or_else(|| self.get(Field::ClockHour).map(|h| h % 24))
            .or_else(|| of_half.map(|h| h + 12 * half.unwrap_or(0)))
            .unwrap_or(12 * half.unwrap_or(0));
        let (minute, second) = (self.get(Field::Minute).unwrap_or(0), self.get(Field::Second).unwrap_or(0));
        (hour * 3600 + minute * 60 + second) * 1_000_000 + self.nanos.unwrap_or(0) / 1000
    }
}

const RANGES: [(Field, &str, i64, i64); 10] = [
    (Field::Month, "MonthOfYear", 1, 12),
    (Field::Day, "DayOfMonth", 1, 31),
    (Field::DayOfYear, "DayOfYear", 1, 366),
    (Field::Hour, "HourOfDay", 0, 23),
    (Field::ClockHour, "ClockHourOfDay", 1, 24),
    (Field::HourOfAmPm, "HourOfAmPm", 0, 11),
    (Field::ClockHourOfAmPm, "ClockHourOfAmPm", 1, 12),
    (Field::Minute, "MinuteOfHour", 0, 59),
    (Field::Second, "SecondOfMinute", 0, 59),
    (Field::YearOfEra, "YearOfEra", 1, 999_999_999),
];

fn two_digits(text: &str, most: i32) -> Option<i32> {
    let digits = text.get(..2).filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok().filter(|value| *value <= most)
}

/// Seconds of an offset at the front of `text`, and its length.
fn offset_at(form: &OffsetForm, text: &str) -> Option<(i32, usize)> {
    if text.get(..form.zero.len()).is_some_and(|front| front.eq_ignore_ascii_case(form.zero)) {
        return Some((0, form.zero.len()));
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let mut length = 3;
    let mut seconds = two_digits(text.get(1..)?, 18)? * 3600;
    let part = |at: &mut usize| -> Option<i32> {
        let rest = text.get(*at..)?;
        let digits = if form.colon { rest.strip_prefix(':')? } else { rest };
        let value = two_digits(digits, 59)?;
        *at += 2 + usize::from(form.colon);
        Some(value)
    };
    match part(&mut length) {
        Some(minutes) => seconds += minutes * 60,
        None if form.minutes_optional => return Some((sign * seconds, length)),
        None => return None,
    }
    if form.seconds {
        seconds += part(&mut length).unwrap_or(0);
    }
    (seconds <= 18 * 3600).then_some((sign * seconds, length))
}

/// Regions that English abbreviations stand for.
const ABBREVIATIONS: [(&str, &str); 14] = [
    ("EST", "America/New_York"),
    ("EDT", "America/New_York"),
    ("CST", "America/Chicago"),
    ("CDT", "America/Chicago"),
    ("MST", "America/Denver"),
    ("MDT", "America/Denver"),
    ("PST", "America/Los_Angeles"),
    ("PDT", "America/Los_Angeles"),
    ("CET", "Europe/Paris"),
    ("CEST", "Europe/Paris"),
    ("EET", "Europe/Helsinki"),
    ("EEST", "Europe/Helsinki"),
    ("WET", "Europe/Lisbon"),
    ("BST", "Europe/London"),
];

/// The zone whose id, name or offset stands at the front of `text`, and its length; the longest that can be read.
fn zone_at(item: &Item, text: &str) -> Option<(Zone, usize)> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '+' | '-' | ':');
    let run = text.find(|c| !legal(c)).unwrap_or(text.len());
    (1..=run).rev().find_map(|length| {
        let id = text.get(..length)?;
        let region = match item {
            Item::ZoneName => {
                ABBREVIATIONS.iter().find(|(short, _)| short.eq_ignore_ascii_case(id)).map(|(_, long)| *long)
            }
            _ => None,
        };
        if matches!(item, Item::GmtOffset(_)) && !id.starts_with("GMT") {
            return None;
        }
        region.unwrap_or(id).parse().ok().map(|zone| (zone, length))
    })
}

#[cfg(test)]
mod tests {
    use super::super::Purpose;
    use super::*;

    fn read(pattern: &str, text: &str) -> Result<String, String> {
        let pattern = Pattern::new(pattern, Purpose::Parse).unwrap_or_else(|e| panic!("{e}"));
        let parsed = pattern.parse(text)?;
        let mut out = String::new();
        crate::text::write_timestamp(parsed.utc_us(&Zone::UTC).ok_or("overflow")?, &Zone::UTC, &mut out);
        Ok(out)
    }

    #[test]
    fn texts_are_read_by_their_patterns() {
        let cases = [
            ("yyyy-MM-dd HH:mm:ss", "2024-02-29 13:04:05", "2024-02-29 13:04:05"),
            ("yyyyMMddHHmmss", "20240229130405", "2024-02-29 13:04:05"),
            ("dd/MM/yy", "01/12/24", "2024-12-01 00:00:00"),
            ("d MMM yyyy h:mm a", "1 feb 2024 12:30 pm", "2024-02-01 12:30:00"),
            ("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "2024-02-29T13:04:05.5+02:00", "2024-02-29 11:04:05.5"),
            ("yyyy-MM-dd HH:mm:ss VV", "2024-02-29 13:04:05 Europe/Berlin", "2024-02-29 12:04:05"),
            ("yyyy-MM-dd[ HH:mm]", "2024-02-29", "2024-02-29 00:00:00"),
            ("yyyy D", "2024 60", "2024-02-29 00:00:00"),
            ("HH", "7", "error"),
            ("H:m", "7:5", "1970-01-01 07:05:00"),
            ("MMMM d, yyyy z", "March 1, 2024 PST", "2024-03-01 08:00:00"),
            ("y", "2024", "2024-01-01 00:00:00"),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(read(pattern, text).unwrap_or_else(|_| "error".into()), expected, "{pattern} of {text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_place() {
        let error = |pattern, text| read(pattern, text).err().unwrap_or_default();
        assert_eq!(
            error("yyyy-MM-dd", "2024-13-01"),
            "Text '2024-13-01' could not be parsed: Invalid value for MonthOfYear (valid values 1 - 12): 13"
        );
        assert!(error("yyyy-MM-dd", "2023-02-29").contains("not a leap year"));
        assert!(error("yyyy-MM-dd", "abc").ends_with("at index 0"));
        assert!(error("yyyy-MM-dd", "2024-01-01 10").ends_with("unparsed text found at index 10"));
        assert!(error("yyyy-MM-dd", "20240-01-01").ends_with("at index 0"));
    }
}
