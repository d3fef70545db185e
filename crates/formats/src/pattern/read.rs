//! Reading by a pattern.

use super::names::{DAYS, MONTHS, shown};
use super::{Field, Item, Pattern, Width};
use crate::calendar::days_of_checked;
use crate::zone::Zone;

const DAY_US: i64 = 86_400_000_000;

/// What a text said of a date and time. What it did not say is that of 1970-01-01T00:00.
#[derive(Debug, Clone, Default)]
pub struct ParsedDateTime {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    quarter: Option<i64>,
    hour: Option<i64>,
    hour_of_half: Option<i64>,
    afternoon: Option<bool>,
    before_christ: bool,
    minute: Option<i64>,
    second: Option<i64>,
    nanos: Option<i64>,
    weekday: Option<usize>,
    zone: Option<Zone>,
}

impl ParsedDateTime {
    /// Days since 1970-01-01; absent if there is no such date.
    pub fn days(&self) -> Option<i32> {
        let mut year = i32::try_from(self.year.unwrap_or(1970)).ok()?;
        if self.before_christ {
            year = 1 - year;
        }
        let days = match (self.day_of_year, self.month, self.day) {
            (Some(day), None, None) => {
                let last = if crate::calendar::is_leap(year) { 366 } else { 365 };
                let first = days_of_checked(year, 1, 1)?;
                (1..=last).contains(&day).then(|| first.checked_add(i32::try_from(day - 1).ok()?))??
            }
            (_, month, day) => {
                let from_quarter = self.quarter.map(|q| q * 3 - 2);
                let month = month.or(from_quarter).unwrap_or(1);
                days_of_checked(year, u32::try_from(month).ok()?, u32::try_from(day.unwrap_or(1)).ok()?)?
            }
        };
        // 1970-01-01 was a Thursday.
        let weekday = (i64::from(days) + 3).rem_euclid(7) as usize;
        self.weekday.is_none_or(|said| said == weekday).then_some(days)
    }

    /// ns since midnight.
    pub fn nanos_of_day(&self) -> Option<i64> {
        let hour = match (self.hour, self.hour_of_half) {
            (Some(hour), _) => hour,
            (None, Some(hour)) => hour + if self.afternoon.unwrap_or(false) { 12 } else { 0 },
            (None, None) => {
                if self.afternoon.unwrap_or(false) {
                    12
                } else {
                    0
                }
            }
        };
        let (minute, second) = (self.minute.unwrap_or(0), self.second.unwrap_or(0));
        let fits = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..60).contains(&second);
        fits.then(|| ((hour * 60 + minute) * 60 + second) * 1_000_000_000 + self.nanos.unwrap_or(0))
    }

    /// Local µs.
    pub fn local_us(&self) -> Option<i64> {
        i64::from(self.days()?).checked_mul(DAY_US)?.checked_add(self.nanos_of_day()? / 1000)
    }

    /// Local µs; absent if the text named a zone.
    pub fn local_us_without_zone(&self) -> Option<i64> {
        if self.zone.is_some() { None } else { self.local_us() }
    }

    /// The instant, in the zone of the text or else in `zone`.
    pub fn instant_us(&self, zone: &Zone) -> Option<i64> {
        Some(self.zone.as_ref().unwrap_or(zone).to_utc(self.local_us()?))
    }
}

impl Pattern {
    /// Reads a whole text; absent if it does not fit the pattern.
    pub fn parse(&self, text: &str) -> Option<ParsedDateTime> {
        let mut reader = Reader { rest: text, found: ParsedDateTime::default() };
        reader.items(&self.items)?;
        reader.rest.is_empty().then_some(reader.found)
    }
}

#[derive(Clone)]
struct Reader<'a> {
    rest: &'a str,
    found: ParsedDateTime,
}

impl Reader<'_> {
    fn items(&mut self, items: &[Item]) -> Option<()> {
        for (number, item) in items.iter().enumerate() {
            match item {
                Item::Optional(inner) => {
                    let mut attempt = self.clone();
                    if attempt.items(inner).is_some() {
                        *self = attempt;
                    }
                }
                Item::Number(field, width) => {
                    let reserved = adjacent_digits(items.get(number + 1..).unwrap_or_default());
                    self.number(*field, *width, reserved)?;
                }
                item => self.item(item)?,
            }
        }
        Some(())
    }

    fn item(&mut self, item: &Item) -> Option<()> {
        match item {
            Item::Literal(text) => self.rest = self.rest.strip_prefix(text.as_str())?,
            Item::MonthName(whole) => self.found.month = Some(self.name(&MONTHS, *whole)? as i64 + 1),
            Item::DayName(whole) => self.found.weekday = Some(self.name(&DAYS, *whole)?),
            Item::QuarterName(_) => {
                self.rest = self.rest.strip_prefix('Q')?;
                self.number(Field::Quarter, Width::Fixed(1), 0)?;
            }
            Item::Fraction(digits) => {
                let text = self.digits(*digits, *digits)?;
                self.found.nanos = Some(text * 10i64.pow(9 - *digits as u32));
            }
            Item::HalfDay => self.found.afternoon = Some(self.word(&["AM", "PM"])? == 1),
            Item::Era(true) => self.found.before_christ = self.word(&["Anno Domini", "Before Christ"])? == 1,
            Item::Era(false) => self.found.before_christ = self.word(&["AD", "BC"])? == 1,
            Item::ZoneId | Item::ZoneName(_) => self.zone()?,
            Item::Offset { length, zero_as_z } => self.offset(*length, *zero_as_z)?,
            Item::GmtOffset(_) => {
                self.rest = self.rest.strip_prefix("GMT")?;
                self.found.zone = Some(Zone::UTC);
                if self.rest.starts_with(['+', '-']) {
                    self.short_offset()?;
                }
            }
            Item::Number(..) | Item::Optional(_) => return None,
        }
        Some(())
    }

    fn take(&mut self, bytes: usize) -> Option<&str> {
        let (head, tail) = self.rest.split_at_checked(bytes)?;
        self.rest = tail;
        Some(head)
    }

    /// A number of `least` to `most` digits.
    fn digits(&mut self, least: usize, most: usize) -> Option<i64> {
        let count = self.rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if count < least {
            return None;
        }
        self.take(count)?.parse().ok()
    }

    fn number(&mut self, field: Field, width: Width, reserved: usize) -> Option<()> {
        let negative = field == Field::Year && width != Width::TwoDigits && self.rest.starts_with('-');
        let plus = field == Field::Year && matches!(width, Width::AtLeast(_)) && self.rest.starts_with('+');
        if negative || plus {
            self.take(1)?;
        }
        let available = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let most = available.saturating_sub(reserved).min(18);
        let size = match width {
            Width::Free => self.digits(1, most.max(1))?,
            Width::Fixed(digits) => self.digits(digits, digits)?,
            Width::TwoDigits => 2000 + self.digits(2, 2)?,
            // More digits than the pattern has need a sign.
            Width::AtLeast(digits) => {
                let value = self.digits(digits, if plus || negative || reserved > 0 { most } else { digits })?;
                if plus && value < 10i64.pow(digits as u32) {
                    return None;
                }
                value
            }
        };
        self.set(field, if negative { -size } else { size })
    }

    fn set(&mut self, field: Field, value: i64) -> Option<()> {
        let within = |range: std::ops::RangeInclusive<i64>| range.contains(&value).then_some(value);
        let found = &mut self.found;
        match field {
            Field::Year => found.year = Some(value),
            Field::Quarter => found.quarter = Some(within(1..=4)?),
            Field::Month => found.month = Some(within(1..=12)?),
            Field::Day => found.day = Some(within(1..=31)?),
            Field::DayOfYear => found.day_of_year = Some(within(1..=366)?),
            Field::Hour => found.hour = Some(within(0..=23)?),
            Field::HourFromOne => found.hour = Some(within(1..=24)? % 24),
            Field::HourOfHalf => found.hour_of_half = Some(within(0..=11)?),
            Field::HourOfHalfFromOne => found.hour_of_half = Some(within(1..=12)? % 12),
            Field::Minute => found.minute = Some(within(0..=59)?),
            Field::Second => found.second = Some(within(0..=59)?),
            Field::AlignedWeekOfMonth => {}
        }
        Some(())
    }

    /// Index of the name that comes next.
    fn name(&mut self, names: &[&'static str], whole: bool) -> Option<usize> {
        let index = names.iter().position(|n| self.rest.starts_with(shown(n, whole)))?;
        self.take(names.get(index).map(|n| shown(n, whole).len())?)?;
        Some(index)
    }

    fn word(&mut self, words: &[&str]) -> Option<usize> {
        let index = words.iter().position(|w| self.rest.starts_with(w))?;
        self.take(words.get(index)?.len())?;
        Some(index)
    }

    fn zone(&mut self) -> Option<()> {
        let is_zone = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+' | ':');
        let length = self.rest.find(|c| !is_zone(c)).unwrap_or(self.rest.len());
        let id = self.take(length)?;
        self.found.zone = Some(id.parse().ok()?);
        Some(())
    }

    fn offset(&mut self, length: usize, zero_as_z: bool) -> Option<()> {
        if zero_as_z && self.rest.starts_with('Z') {
            self.take(1)?;
            self.found.zone = Some(Zone::UTC);
            return Some(());
        }
        let negative = match self.take(1)? {
            "+" => false,
            "-" => true,
            _ => return None,
        };
        let colon = length == 3 || length == 5;
        let mut seconds = self.digits(2, 2)? * 3600;
        let more = length > 1 || self.rest.starts_with(|c: char| c.is_ascii_digit());
        if more {
            if colon {
                self.rest = self.rest.strip_prefix(':')?;
            }
            seconds += self.digits(2, 2)? * 60;
        }
        if length > 3 && (!colon || self.rest.starts_with(':')) && !self.rest.is_empty() {
            if colon {
                self.rest = self.rest.strip_prefix(':')?;
            }
            seconds += self.digits(2, 2)?;
        }
        self.set_offset(negative, seconds)
    }

    /// `+8`, `+08:00`.
    fn short_offset(&mut self) -> Option<()> {
        let negative = self.take(1)? == "-";
        let mut seconds = self.digits(1, 2)? * 3600;
        if let Some(rest) = self.rest.strip_prefix(':') {
            self.rest = rest;
            seconds += self.digits(2, 2)? * 60;
        }
        self.set_offset(negative, seconds)
    }

    fn set_offset(&mut self, negative: bool, seconds: i64) -> Option<()> {
        let seconds = i32::try_from(seconds).ok().filter(|s| *s <= 18 * 3600)?;
        self.found.zone = Some(Zone::Fixed(if negative { -seconds } else { seconds }));
        Some(())
    }
}

/// Digits that fixed-width numbers right behind a number need for themselves.
fn adjacent_digits(items: &[Item]) -> usize {
    let widths = items.iter().map_while(|item| match item {
        Item::Number(_, Width::Fixed(digits)) => Some(*digits),
        Item::Number(_, Width::TwoDigits) => Some(2),
        Item::Fraction(digits) => Some(*digits),
        _ => None,
    });
    widths.sum()
}
