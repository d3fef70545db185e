//! Patterns of dates and times (`yyyy-MM-dd HH:mm:ss`), as `java.time` and Spark understand them, for reading and writing.
//!
//! A pattern is taken apart once ([`Pattern::parse_pattern`]) and used for many values. Reading is strict: the whole text must fit
//! and the date must exist. Locales other than English give English names. Not here: the forms that casts read
//! ([`crate::text`]).

mod format;
mod names;
mod read;

pub use read::ParsedDateTime;

use crate::condition::{ExceptionClass, SparkError};

/// The language of names, as the option `locale` says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locale(String);

impl Locale {
    /// By its language tag (`en-US`).
    pub fn new(tag: &str) -> Self {
        Self(tag.to_string())
    }
}

impl Default for Locale {
    fn default() -> Self {
        Self::new("en-US")
    }
}

/// How a number is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    /// As many digits as it has.
    Free,
    /// Exactly so many, zeros in front.
    Fixed(usize),
    /// At least so many; more only with a sign.
    AtLeast(usize),
    /// The last two digits, from 2000 on.
    TwoDigits,
}

/// A field of a date or time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Year,
    Quarter,
    Month,
    Day,
    DayOfYear,
    /// 0–23.
    Hour,
    /// 1–24.
    HourFromOne,
    /// 0–11.
    HourOfHalf,
    /// 1–12.
    HourOfHalfFromOne,
    Minute,
    Second,
    AlignedWeekOfMonth,
}

/// One part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    Literal(String),
    Number(Field, Width),
    /// `MMM` (false) or `MMMM` (true).
    MonthName(bool),
    /// `E` (false) or `EEEE` (true).
    DayName(bool),
    /// `QQQ` (false) or `QQQQ` (true).
    QuarterName(bool),
    /// Digits of the fraction of a second.
    Fraction(usize),
    HalfDay,
    Era(bool),
    /// `VV`.
    ZoneId,
    /// `z`; `zzzz` if true.
    ZoneName(bool),
    /// `x` and `X` with their length; `X` writes `Z` for 0.
    Offset {
        length: usize,
        zero_as_z: bool,
    },
    /// `O`; `OOOO` if true: `GMT+8`.
    GmtOffset(bool),
    /// What is left out if it does not fit.
    Optional(Vec<Item>),
}

/// A pattern, taken apart.
#[derive(Debug, Clone)]
pub struct Pattern {
    pub(crate) items: Vec<Item>,
}

impl Pattern {
    /// Takes a pattern apart.
    ///
    /// # Errors
    /// `INVALID_DATETIME_PATTERN…` for letters that have no meaning or too many of them;
    /// `INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_PATTERN_RECOGNITION` if they had one in Spark 2.
    pub fn parse_pattern(text: &str, _locale: Locale) -> Result<Self, SparkError> {
        let characters: Vec<char> = text.chars().collect();
        let mut compiler = Compiler { text, characters: &characters, at: 0 };
        let items = compiler.items(false)?;
        Ok(Self { items })
    }
}

struct Compiler<'a> {
    text: &'a str,
    characters: &'a [char],
    at: usize,
}

impl Compiler<'_> {
    fn items(&mut self, nested: bool) -> Result<Vec<Item>, SparkError> {
        let mut items = Vec::new();
        while let Some(&character) = self.characters.get(self.at) {
            match character {
                '[' => {
                    self.at += 1;
                    items.push(Item::Optional(self.items(true)?));
                }
                ']' if nested => {
                    self.at += 1;
                    return Ok(items);
                }
                ']' => return Err(self.invalid()),
                '\'' => literal(&mut items, &self.quoted()?),
                '#' | '{' | '}' => return Err(self.illegal(character)),
                c if c.is_ascii_alphabetic() => {
                    let rest = self.characters.get(self.at..).unwrap_or_default();
                    let count = rest.iter().take_while(|x| **x == c).count();
                    self.at += count;
                    items.push(self.letter(c, count)?);
                }
                c => {
                    self.at += 1;
                    literal(&mut items, c.encode_utf8(&mut [0; 4]));
                }
            }
        }
        Ok(items)
    }

    /// Text in quotes; two quotes are one.
    fn quoted(&mut self) -> Result<String, SparkError> {
        let mut out = String::new();
        self.at += 1;
        if self.characters.get(self.at) == Some(&'\'') {
            self.at += 1;
            return Ok("'".into());
        }
        while let Some(&character) = self.characters.get(self.at) {
            self.at += 1;
            if character != '\'' {
                out.push(character);
            } else if self.characters.get(self.at) == Some(&'\'') {
                self.at += 1;
                out.push('\'');
            } else {
                return Ok(out);
            }
        }
        Err(self.invalid())
    }

    fn letter(&self, letter: char, count: usize) -> Result<Item, SparkError> {
        let up_to_two = |field| match count {
            1 => Ok(Item::Number(field, Width::Free)),
            2 => Ok(Item::Number(field, Width::Fixed(2))),
            _ => Err(self.known_to_spark_2()),
        };
        match (letter, count) {
            ('y' | 'u', 2) => Ok(Item::Number(Field::Year, Width::TwoDigits)),
            ('y' | 'u', 1) => Ok(Item::Number(Field::Year, Width::Free)),
            ('y' | 'u', 3..=6) => Ok(Item::Number(Field::Year, Width::AtLeast(count))),
            ('M' | 'L', 1 | 2) => up_to_two(Field::Month),
            ('M' | 'L', 3 | 4) => Ok(Item::MonthName(count == 4)),
            ('Q' | 'q', 1 | 2) => up_to_two(Field::Quarter),
            ('Q' | 'q', 3 | 4) => Ok(Item::QuarterName(count == 4)),
            ('d', _) => up_to_two(Field::Day),
            ('D', 1) => Ok(Item::Number(Field::DayOfYear, Width::Free)),
            ('D', 2 | 3) => Ok(Item::Number(Field::DayOfYear, Width::Fixed(count))),
            ('H', _) => up_to_two(Field::Hour),
            ('k', _) => up_to_two(Field::HourFromOne),
            ('K', _) => up_to_two(Field::HourOfHalf),
            ('h', _) => up_to_two(Field::HourOfHalfFromOne),
            ('m', _) => up_to_two(Field::Minute),
            ('s', _) => up_to_two(Field::Second),
            ('F', 1) => Ok(Item::Number(Field::AlignedWeekOfMonth, Width::Free)),
            ('S', 1..=9) => Ok(Item::Fraction(count)),
            ('a', 1) => Ok(Item::HalfDay),
            ('E', 1..=4) => Ok(Item::DayName(count == 4)),
            ('G', 1..=4) => Ok(Item::Era(count == 4)),
            ('V', 2) => Ok(Item::ZoneId),
            ('z', 1..=4) => Ok(Item::ZoneName(count == 4)),
            ('O', 1 | 4) => Ok(Item::GmtOffset(count == 4)),
            ('x', 1..=5) => Ok(Item::Offset { length: count, zero_as_z: false }),
            ('X', 1..=5) => Ok(Item::Offset { length: count, zero_as_z: true }),
            // `Z` is `xx`, `ZZZZZ` is `XXXXX`.
            ('Z', 1..=3) => Ok(Item::Offset { length: 2, zero_as_z: false }),
            ('Z', 4) => Ok(Item::GmtOffset(true)),
            ('Z', 5) => Ok(Item::Offset { length: 5, zero_as_z: true }),
            (letter, _) if "GyYMLwWDdFEuaHkKhmsSzZX".contains(letter) => Err(self.known_to_spark_2()),
            ('Q' | 'q' | 'V' | 'O' | 'x', _) => Err(self.too_long()),
            _ => Err(self.illegal(letter)),
        }
    }

    fn illegal(&self, character: char) -> SparkError {
        pattern_error(
            "INVALID_DATETIME_PATTERN.ILLEGAL_CHARACTER",
            self.text,
            &format!(
                "Illegal pattern character found in datetime pattern: {character}. Please provide legal character."
            ),
        )
    }

    /// The pattern is one of `java.text.SimpleDateFormat`, which Spark 2 used.
    fn known_to_spark_2(&self) -> SparkError {
        SparkError::new(
            ExceptionClass::Upgrade,
            "INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_PATTERN_RECOGNITION",
            "42K0B",
            format!(
                "You may get a different result due to the upgrading to Spark >= 3.0:\nFail to recognize '{}' pattern in the \
                 DateTimeFormatter.\n1) You can set \"spark.sql.legacy.timeParserPolicy\" to \"LEGACY\" to restore the behavior \
                 before Spark 3.0.\n2) You can form a valid datetime pattern with the guide from \
                 'https://spark.apache.org/docs/latest/sql-ref-datetime-pattern.html'.",
                self.text
            ),
        )
        .with("pattern", format!("'{}'", self.text))
        .with("config", "\"spark.sql.legacy.timeParserPolicy\"")
        .with("docroot", "https://spark.apache.org/docs/latest")
    }

    fn too_long(&self) -> SparkError {
        let message = format!("Too many letters in datetime pattern: {}. Please reduce pattern length.", self.text);
        pattern_error("INVALID_DATETIME_PATTERN.LENGTH", self.text, &message)
    }

    fn invalid(&self) -> SparkError {
        pattern_error("INVALID_DATETIME_PATTERN", self.text, "")
    }
}

fn literal(items: &mut Vec<Item>, text: &str) {
    match items.last_mut() {
        Some(Item::Literal(before)) => before.push_str(text),
        _ => items.push(Item::Literal(text.to_string())),
    }
}

fn pattern_error(condition: &str, pattern: &str, reason: &str) -> SparkError {
    let sentence = format!("Unrecognized datetime pattern: {pattern}. {reason}");
    SparkError::new(ExceptionClass::IllegalArgument, condition, "22007", sentence.trim_end()).with("pattern", pattern)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone::Zone;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse_pattern(text, Locale::default()).unwrap()
    }

    fn format(text: &str, us: i64, zone: &str) -> String {
        let mut out = String::new();
        pattern(text).format_instant(us, &zone.parse::<Zone>().unwrap(), &mut out);
        out
    }

    /// 2024-02-29T13:04:05.678901Z.
    const LEAP: i64 = 1_709_211_845_678_901;

    #[test]
    fn times_are_written_by_their_pattern() {
        assert_eq!(format("yyyy-MM-dd'T'HH:mm:ss[.SSS][XXX]", LEAP, "UTC"), "2024-02-29T13:04:05.678Z");
        assert_eq!(format("yyyy-MM-dd'T'HH:mm:ss[.SSS][XXX]", LEAP, "+05:30"), "2024-02-29T18:34:05.678+05:30");
        assert_eq!(format("dd/MMM/yy h:mm a, EEEE", LEAP, "UTC"), "29/Feb/24 1:04 PM, Thursday");
        assert_eq!(format("D QQQ MMMM E k 'o''clock' SSSSSS", LEAP, "UTC"), "60 Q1 February Thu 13 o'clock 678901");
        assert_eq!(format("VV O OOOO x xx Z", LEAP, "Europe/Berlin"), "Europe/Berlin GMT+1 GMT+01:00 +01 +0100 +0100");
    }

    #[test]
    fn texts_are_read_strictly() {
        let instant = |p: &str, t: &str| pattern(p).parse(t).and_then(|d| d.instant_us(&Zone::UTC));
        assert_eq!(instant("yyyy-MM-dd HH:mm:ss.SSSSSS", "2024-02-29 13:04:05.678901"), Some(LEAP));
        assert_eq!(instant("dd/MM/yyyy hh:mm a", "29/02/2024 01:04 PM"), Some(LEAP / 60_000_000 * 60_000_000));
        assert_eq!(instant("yyyyMMdd", "20240229"), Some(1_709_164_800_000_000));
        assert_eq!(instant("yyyy-MM-dd'T'HH:mm[XXX]", "2024-02-29T13:04+01:00"), Some(1_709_208_240_000_000));
        assert_eq!(instant("yyyy", "2024"), Some(1_704_067_200_000_000));
        assert_eq!(instant("d MMM yy", "1 Jan 24"), Some(1_704_067_200_000_000));
        for (p, t) in [
            ("yyyy-MM-dd", "2023-02-29"),
            ("yyyy-MM-dd", "2024-2-9"),
            ("yyyy-MM-dd", "2024-02-29 "),
            ("HH:mm", "24:00"),
            ("yyyy", "99999"),
            ("MM", ""),
            ("d MMM", "1 Foo"),
        ] {
            assert_eq!(instant(p, t), None, "{p} {t}");
        }
    }

    #[test]
    fn letters_without_meaning_are_refused() {
        let error = |t: &str| Pattern::parse_pattern(t, Locale::default()).unwrap_err().condition().map(str::to_string);
        let changed = Some("INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_PATTERN_RECOGNITION");
        assert_eq!(error("YYYY").as_deref(), changed);
        assert_eq!(error("yyyyyyy").as_deref(), changed);
        assert_eq!(error("ee").as_deref(), Some("INVALID_DATETIME_PATTERN.ILLEGAL_CHARACTER"));
        assert_eq!(error("OO").as_deref(), Some("INVALID_DATETIME_PATTERN.LENGTH"));
        assert_eq!(error("yyyy]").as_deref(), Some("INVALID_DATETIME_PATTERN"));
    }

    proptest::proptest! {
        #[test]
        fn no_pattern_and_no_text_is_too_odd(
            pattern in "[yMdHhmsSaEXxZzVOQDkKG'\\[\\] :/.T-]{0,14}",
            text in "[0-9A-Za-z:/. +-]{0,20}",
            us in proptest::num::i64::ANY,
        ) {
            if let Ok(pattern) = Pattern::parse_pattern(&pattern, Locale::default()) {
                let mut out = String::new();
                pattern.format_instant(us, &"Europe/Berlin".parse::<Zone>().unwrap(), &mut out);
                if let Some(parsed) = pattern.parse(&text) {
                    let _ = (parsed.days(), parsed.instant_us(&Zone::UTC), parsed.nanos_of_day());
                }
            }
        }
    }
}
