//! Date and time patterns: `yyyy-MM-dd HH:mm:ss.SSS XXX`.
//!
//! The letters are those of Java's `DateTimeFormatter` that Spark admits; names of months, days and eras are English.
//! [`Pattern::new`] takes a pattern apart once; [`Pattern::format`] and [`Pattern::parse`] then run per value. Not here:
//! texts without a pattern (`crate::text`).

mod format;
mod names;
mod parse;

use crate::condition::{ExceptionClass, SparkError};

pub use names::{DAYS, day_name, month_name};
pub use parse::Parsed;

/// A number that a pattern shows or reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Era,
    Year,
    YearOfEra,
    Quarter,
    Month,
    Day,
    DayOfYear,
    DayOfWeek,
    /// Day of the week counted from the first of the month, 1 to 7.
    AlignedDayOfWeek,
    AmPm,
    Hour,
    ClockHour,
    HourOfAmPm,
    ClockHourOfAmPm,
    Minute,
    Second,
}

/// Which signs a number may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// A minus.
    Normal,
    /// None.
    NotNegative,
    /// A minus, and a plus exactly if there are more digits than the least.
    ExceedsPad,
}

/// Length of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Short,
    Full,
}

/// Width of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Number {
    field: Field,
    digits_min: usize,
    digits_max: usize,
    sign: Sign,
    /// Only the last two digits of a year from 2000 on.
    reduced: bool,
    /// Digits of the numbers of fixed width that follow without a gap.
    reserved: usize,
    /// Follows another number without a gap.
    fixed: bool,
}

/// How an offset from UTC is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OffsetForm {
    colon: bool,
    /// Minutes may be left out if they are zero.
    minutes_optional: bool,
    /// Seconds are written if they are not zero.
    seconds: bool,
    /// Text for an offset of zero.
    zero: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Literal(String),
    Number(Number),
    Name(Field, Style),
    Fraction {
        digits_min: usize,
        digits_max: usize,
    },
    ZoneId,
    ZoneName,
    Offset(OffsetForm),
    /// `GMT+8`, `GMT+08:00`.
    GmtOffset(Style),
    /// `[…]`: read if it is there.
    Optional(Vec<Item>),
}

/// A pattern taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    items: Vec<Item>,
}

/// What a pattern is for: reading admits fewer letters, and fractions of a second of any length up to the given one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Values become texts.
    Format,
    /// Texts become values.
    Parse,
}

/// Why a pattern is refused.
enum Fault {
    WeekBased(char),
    Illegal(char),
    TooLong(String),
    /// Java knows it, this engine does not.
    Unsupported(&'static str),
    Other,
}

impl Pattern {
    /// Takes a pattern apart.
    ///
    /// # Errors
    /// `INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_PATTERN_RECOGNITION` if Spark 2 knew the pattern,
    /// `INVALID_DATETIME_PATTERN.*` otherwise.
    pub fn new(pattern: &str, purpose: Purpose) -> Result<Self, SparkError> {
        check_letters(pattern, purpose)
            .and_then(|()| Compiler::new(pattern, purpose).run())
            .map(|items| Self { items })
            .map_err(|fault| refuse(pattern, &fault))
    }
}

/// The parts of a pattern outside of quotes.
fn unquoted(pattern: &str) -> impl Iterator<Item = &str> {
    pattern.split('\'').step_by(2)
}

fn check_letters(pattern: &str, purpose: Purpose) -> Result<(), Fault> {
    for part in unquoted(pattern) {
        for c in part.chars() {
            match c {
                'Y' | 'W' | 'w' | 'u' | 'e' | 'c' => return Err(Fault::WeekBased(c)),
                'A' | 'B' | 'n' | 'N' | 'p' => return Err(Fault::Illegal(c)),
                'E' | 'F' | 'q' | 'Q' if purpose == Purpose::Parse => return Err(Fault::Illegal(c)),
                _ => {}
            }
        }
        let long = ["GGGGG", "MMMMM", "LLLLL", "EEEEE", "QQQQQ", "qqqqq", "yyyyyyy"];
        if let Some(style) = long.iter().find(|style| part.contains(*style)) {
            return Err(Fault::TooLong((*style).to_string()));
        }
    }
    Ok(())
}

fn refuse(pattern: &str, fault: &Fault) -> SparkError {
    if let Fault::Unsupported(what) = fault {
        return SparkError::unsupported(format!("{what} in the pattern '{pattern}'"));
    }
    let known_before = unquoted(pattern)
        .flat_map(str::chars)
        .all(|c| !c.is_ascii_alphabetic() || "GyMwWDdFEaHkKhmsSzZYuXL".contains(c));
    if known_before && pattern.matches('\'').count().is_multiple_of(2) {
        return recognised_before(pattern);
    }
    let class = if matches!(fault, Fault::Other) { ExceptionClass::Runtime } else { ExceptionClass::IllegalArgument };
    let invalid = |subclass: &str, text: String| {
        SparkError::new(
            class,
            &format!("INVALID_DATETIME_PATTERN.{subclass}"),
            "22007",
            format!("Unrecognized datetime pattern: {pattern}. {text}"),
        )
        .with("pattern", pattern)
    };
    match fault {
        Fault::WeekBased(c) => SparkError::new(
            ExceptionClass::IllegalArgument,
            "INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_WEEK_BASED_PATTERN",
            "42K0B",
            format!(
                "You may get a different result due to the upgrading to Spark >= 3.0: All week-based patterns are \
                 unsupported since Spark 3.0, detected week-based character: {c}. Please use the SQL function EXTRACT instead."
            ),
        )
        .with("c", c.to_string()),
        Fault::Illegal(c) => {
            let text = format!("Illegal pattern character found in datetime pattern: {c}. Please provide legal character.");
            invalid("ILLEGAL_CHARACTER", text).with("c", c.to_string())
        }
        Fault::TooLong(style) => {
            let text = format!("Too many letters in datetime pattern: {style}. Please reduce pattern length.");
            invalid("LENGTH", text)
        }
        Fault::Unsupported(_) | Fault::Other => invalid(
            "WITH_SUGGESTION",
            "You can form a valid datetime pattern with the guide from \
             'https://spark.apache.org/docs/latest/sql-ref-datetime-pattern.html'."
                .to_string(),
        ),
    }
}

fn recognised_before(pattern: &str) -> SparkError {
    SparkError::new(
        ExceptionClass::Upgrade,
        "INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_PATTERN_RECOGNITION",
        "42K0B",
        format!(
            "You may get a different result due to the upgrading to Spark >= 3.0: Fail to recognize '{pattern}' pattern in \
             the DateTimeFormatter. 1) You can set \"spark.sql.legacy.timeParserPolicy\" to \"LEGACY\" to restore the \
             behavior before Spark 3.0. 2) You can form a valid datetime pattern with the guide from \
             'https://spark.apache.org/docs/latest/sql-ref-datetime-pattern.html'."
        ),
    )
    .with("pattern", format!("'{pattern}'"))
    .with("config", "\"spark.sql.legacy.timeParserPolicy\"")
    .with("docroot", "https://spark.apache.org/docs/latest")
}

/// Reads a pattern from the left.
struct Compiler<'a> {
    rest: &'a str,
    purpose: Purpose,
    /// With an era in the pattern `y` is the year of the era.
    has_era: bool,
    /// The items of each open `[`, outermost first.
    open: Vec<Vec<Item>>,
    /// Whether the last item is a number that the next one may follow without a gap.
    adjacent: bool,
}

impl<'a> Compiler<'a> {
    fn new(pattern: &'a str, purpose: Purpose) -> Self {
        let has_era = unquoted(pattern).any(|part| part.contains('G'));
        Self { rest: pattern, purpose, has_era, open: vec![vec![]], adjacent: false }
    }

    fn run(mut self) -> Result<Vec<Item>, Fault> {
        while let Some(c) = self.rest.chars().next() {
            let count = self.rest.chars().take_while(|next| *next == c).count();
            match c {
                _ if c.is_ascii_alphabetic() => {
                    self.rest = &self.rest[count..];
                    self.letter(c, count)?;
                }
                '\'' => self.quoted()?,
                '[' => {
                    self.rest = &self.rest[1..];
                    self.open.push(vec![]);
                    self.adjacent = false;
                }
                ']' => {
                    self.rest = &self.rest[1..];
                    self.close()?;
                }
                '{' | '}' | '#' => return Err(Fault::Other),
                _ => {
                    self.rest = &self.rest[c.len_utf8()..];
                    self.literal(c.encode_utf8(&mut [0; 4]));
                }
            }
        }
        // A section that is not closed reaches to the end.
        while self.open.len() > 1 {
            self.close()?;
        }
        self.open.pop().ok_or(Fault::Other)
    }

    fn close(&mut self) -> Result<(), Fault> {
        if self.open.len() < 2 {
            return Err(Fault::Other);
        }
        let section = self.open.pop().unwrap_or_default();
        self.push(Item::Optional(section));
        Ok(())
    }

    fn push(&mut self, item: Item) {
        self.adjacent = false;
        if let Some(items) = self.open.last_mut() {
            items.push(item);
        }
    }

    fn literal(&mut self, text: &str) {
        if let Some(Item::Literal(last)) = self.open.last_mut().and_then(|items| items.last_mut()) {
            last.push_str(text);
        } else {
            self.push(Item::Literal(text.to_string()));
        }
    }

    fn quoted(&mut self) -> Result<(), Fault> {
        let mut rest = &self.rest[1..];
        let mut text = String::new();
        if let Some(behind) = rest.strip_prefix('\'') {
            self.rest = behind;
            self.literal("'");
            return Ok(());
        }
        loop {
            let (inside, behind) = rest.split_once('\'').ok_or(Fault::Other)?;
            text.push_str(inside);
            rest = behind;
            match rest.strip_prefix('\'') {
                Some(behind) => {
                    text.push('\'');
                    rest = behind;
                }
                None => break,
            }
        }
        self.rest = rest;
        self.literal(&text);
        Ok(())
    }

    fn letter(&mut self, letter: char, count: usize) -> Result<(), Fault> {
        let year = if self.has_era { Field::YearOfEra } else { Field::Year };
        let short_or_full = |count| if count == 4 { Style::Full } else { Style::Short };
        match (letter, count) {
            ('G', 1..=4) => self.push(Item::Name(Field::Era, short_or_full(count))),
            ('y', 2) => self.number(year, 2, 2, Sign::NotNegative, true),
            ('y', 1 | 3) => self.number(year, count, 19, Sign::Normal, false),
            ('y', _) => self.number(year, count, 19, Sign::ExceedsPad, false),
            ('M' | 'L', 1 | 2) => self.plain(Field::Month, count),
            ('M' | 'L', 3 | 4) => self.push(Item::Name(Field::Month, short_or_full(count))),
            ('Q' | 'q', 1 | 2) => self.plain(Field::Quarter, count),
            ('Q' | 'q', 3 | 4) => self.push(Item::Name(Field::Quarter, short_or_full(count))),
            ('E', 1..=4) => self.push(Item::Name(Field::DayOfWeek, short_or_full(count))),
            ('a', 1) => self.push(Item::Name(Field::AmPm, Style::Short)),
            ('D', 1) => self.plain(Field::DayOfYear, 1),
            ('D', 2 | 3) => self.number(Field::DayOfYear, count, 3, Sign::NotNegative, false),
            ('F', 1) => self.plain(Field::AlignedDayOfWeek, 1),
            ('d', 1 | 2) => self.plain(Field::Day, count),
            ('H', 1 | 2) => self.plain(Field::Hour, count),
            ('k', 1 | 2) => self.plain(Field::ClockHour, count),
            ('K', 1 | 2) => self.plain(Field::HourOfAmPm, count),
            ('h', 1 | 2) => self.plain(Field::ClockHourOfAmPm, count),
            ('m', 1 | 2) => self.plain(Field::Minute, count),
            ('s', 1 | 2) => self.plain(Field::Second, count),
            ('S', 1..=9) => {
                let digits_min = if self.purpose == Purpose::Parse { 1 } else { count };
                self.push(Item::Fraction { digits_min, digits_max: count });
            }
            ('V', 2) => self.push(Item::ZoneId),
            ('z', 1..=3) => self.push(Item::ZoneName),
            ('z', 4) => return Err(Fault::Unsupported("the full name of a time zone (`zzzz`)")),
            ('O', 1 | 4) => self.push(Item::GmtOffset(short_or_full(count))),
            ('Z', 4) => self.push(Item::GmtOffset(Style::Full)),
            ('X' | 'x' | 'Z', 1..=5) => self.push(Item::Offset(offset_form(letter, count))),
            _ => return Err(Fault::Other),
        }
        Ok(())
    }

    /// One letter: any width; two: exactly two digits.
    fn plain(&mut self, field: Field, count: usize) {
        match count {
            1 => self.number(field, 1, 19, Sign::Normal, false),
            _ => self.number(field, 2, 2, Sign::NotNegative, false),
        }
    }

    /// Adds a number. Numbers of fixed width right behind another number reserve their digits from it.
    fn number(&mut self, field: Field, digits_min: usize, digits_max: usize, sign: Sign, reduced: bool) {
        let fixed_width = digits_min == digits_max && sign == Sign::NotNegative;
        let follows = self.adjacent;
        let number =
            Number { field, digits_min, digits_max, sign, reduced, reserved: 0, fixed: follows && fixed_width };
        if follows && let Some(items) = self.open.last_mut() {
            let base = items.iter_mut().rev().find_map(|item| match item {
                Item::Number(base) if !base.fixed => Some(base),
                _ => None,
            });
            if let Some(base) = base {
                if fixed_width { base.reserved += digits_max } else { base.fixed = true }
            }
        }
        self.push(Item::Number(number));
        self.adjacent = true;
    }
}

fn offset_form(letter: char, count: usize) -> OffsetForm {
    let zero = match (letter, count) {
        ('X', _) | ('Z', 5) => "Z",
        ('x', 1) => "+00",
        ('x', 3 | 5) => "+00:00",
        _ => "+0000",
    };
    OffsetForm {
        colon: matches!(count, 3 | 5) && letter != 'Z' || (letter == 'Z' && count == 5),
        minutes_optional: letter != 'Z' && count == 1,
        seconds: matches!(count, 4 | 5),
        zero,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone::Zone;

    proptest::proptest! {
        #[test]
        fn no_pattern_and_no_text_is_too_odd(
            pattern in "[yMdHhmsSaEXxZzVOQDkKG'\\[\\] :/.T-]{0,14}",
            text in "[0-9A-Za-z:/. +-]{0,20}",
            us in proptest::num::i64::ANY,
        ) {
            let zone: Zone = "Europe/Berlin".parse().unwrap();
            if let Ok(pattern) = Pattern::new(&pattern, Purpose::Format) {
                pattern.format(us, &zone, &mut String::new());
            }
            if let Ok(pattern) = Pattern::new(&pattern, Purpose::Parse) {
                let _ = pattern.parse(&text).map(|parsed| (parsed.local_us(), parsed.utc_us(&zone)));
            }
        }
    }
}
