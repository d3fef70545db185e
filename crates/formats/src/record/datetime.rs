//! Dates and times of the text formats: read and written by the options `dateFormat`, `timestampFormat`, `timestampNTZFormat`,
//! `timeFormat` and `timeZone`, or as casts do where no format is given.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Settings;
use crate::condition::{ExceptionClass, SparkError};
use crate::options::Options;
use crate::pattern::{Pattern, Purpose};
use crate::text;
use crate::zone::Zone;

/// How dates and times are read.
#[derive(Debug, Clone)]
pub struct DateTimeReaders {
    zone: Zone,
    timestamp: Option<Pattern>,
    timestamp_ntz: Option<Pattern>,
    date: Option<Pattern>,
    time: Option<Pattern>,
    /// What no format fits is read as a cast does.
    timestamp_fallback: bool,
    date_fallback: bool,
}

impl DateTimeReaders {
    /// Takes the options apart.
    ///
    /// # Errors
    /// A format or a time zone that does not exist.
    pub fn parse(options: &Options, settings: &Settings) -> Result<Self, SparkError> {
        let pattern = |name| pattern(options, name, Purpose::Parse);
        let (timestamp, date) = (pattern("timestampFormat")?, pattern("dateFormat")?);
        let fallback = options.contains("enableDateTimeParsingFallback");
        let fallback = if fallback { Some(options.format_bool("enableDateTimeParsingFallback", false)?) } else { None };
        Ok(Self {
            zone: zone(options, settings)?,
            timestamp_fallback: fallback.unwrap_or(timestamp.is_none()),
            date_fallback: fallback.unwrap_or(date.is_none()),
            timestamp,
            date,
            timestamp_ntz: pattern("timestampNTZFormat")?,
            time: pattern("timeFormat")?,
        })
    }

    /// The zone of texts without one.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// A timestamp, µs.
    pub fn timestamp(&self, text: &str) -> Option<i64> {
        self.strict_timestamp(text).or_else(|| {
            let legacy = || text::parse_timestamp(&without_gmt(text)?, &self.zone, now_us());
            if self.timestamp_fallback { self.cast_timestamp(text).or_else(legacy) } else { None }
        })
    }

    /// A timestamp by the format alone, as schema inference asks.
    pub fn strict_timestamp(&self, text: &str) -> Option<i64> {
        match &self.timestamp {
            Some(pattern) => pattern.parse(text).ok()?.utc_us(&self.zone),
            None => self.cast_timestamp(text),
        }
    }

    fn cast_timestamp(&self, text: &str) -> Option<i64> {
        text::parse_timestamp(text, &self.zone, now_us())
    }

    /// A timestamp without time zone, local µs.
    pub fn timestamp_ntz(&self, text: &str) -> Option<i64> {
        match &self.timestamp_ntz {
            Some(pattern) => pattern.parse(text).ok().filter(|parsed| parsed.zone.is_none())?.local_us(),
            None => text::parse_timestamp_ntz(text, false),
        }
    }

    /// A date, days.
    pub fn date(&self, text: &str) -> Option<i32> {
        self.strict_date(text).or_else(|| {
            let legacy = || without_gmt(text).and_then(|t| text::parse_date(&t)).or_else(|| text.parse().ok());
            if self.date_fallback { text::parse_date(text).or_else(legacy) } else { None }
        })
    }

    /// A date by the format alone.
    pub fn strict_date(&self, text: &str) -> Option<i32> {
        match &self.date {
            Some(pattern) => pattern.parse(text).ok().map(|parsed| parsed.days),
            None => text::parse_date(text),
        }
    }

    /// A time of day, ns.
    pub fn time(&self, text: &str) -> Option<i64> {
        match &self.time {
            Some(pattern) => pattern.parse(text).ok()?.us_of_day.checked_mul(1000),
            None => text::parse_time(text)?.checked_mul(1000),
        }
    }
}

/// A time as old versions wrote it: `2015-01-01T00:00:00GMT+01:00`.
fn without_gmt(text: &str) -> Option<String> {
    text.contains("GMT").then(|| text.replacen("GMT", "", 1))
}

fn now_us() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX)
}

/// How dates and times are written.
#[derive(Debug, Clone)]
pub struct DateTimeWriters {
    zone: Zone,
    timestamp: Pattern,
    timestamp_ntz: Pattern,
    date: Option<Pattern>,
    time: Option<Pattern>,
}

impl DateTimeWriters {
    /// Takes the options apart.
    ///
    /// # Errors
    /// A format or a time zone that does not exist.
    pub fn parse(options: &Options, settings: &Settings) -> Result<Self, SparkError> {
        let default = |text: &str| Pattern::new(text, Purpose::Format);
        let pattern = |name| pattern(options, name, Purpose::Format);
        let (timestamp, timestamp_ntz) = (pattern("timestampFormat")?, pattern("timestampNTZFormat")?);
        Ok(Self {
            zone: zone(options, settings)?,
            timestamp: timestamp.map_or_else(|| default("yyyy-MM-dd'T'HH:mm:ss[.SSS][XXX]"), Ok)?,
            timestamp_ntz: timestamp_ntz.map_or_else(|| default("yyyy-MM-dd'T'HH:mm:ss[.SSS]"), Ok)?,
            date: pattern("dateFormat")?,
            time: pattern("timeFormat")?,
        })
    }

    /// The zone in which times are written.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Writes a timestamp.
    pub fn timestamp(&self, us: i64, out: &mut String) {
        self.timestamp.format(us, &self.zone, out);
    }

    /// Writes a timestamp without time zone.
    pub fn timestamp_ntz(&self, us: i64, out: &mut String) {
        self.timestamp_ntz.format(us, &Zone::UTC, out);
    }

    /// Writes a date.
    pub fn date(&self, days: i32, out: &mut String) {
        match &self.date {
            Some(pattern) => pattern.format(i64::from(days).saturating_mul(86_400_000_000), &Zone::UTC, out),
            None => text::write_date(days, out),
        }
    }

    /// Writes a time of day.
    pub fn time(&self, nanos: i64, out: &mut String) {
        match &self.time {
            Some(pattern) => pattern.format(nanos / 1000, &Zone::UTC, out),
            None => text::write_time(nanos / 1000, out),
        }
    }
}

/// The pattern of an option. Names of months and days are English ones.
fn pattern(options: &Options, name: &str, purpose: Purpose) -> Result<Option<Pattern>, SparkError> {
    let Some(text) = options.get(name) else { return Ok(None) };
    match options.get("locale").filter(|tag| !is_english(tag)) {
        Some(tag) => Err(SparkError::unsupported(format!("The locale '{tag}' for dates and times by a pattern"))),
        None => Pattern::new(text, purpose).map(Some),
    }
}

fn is_english(tag: &str) -> bool {
    tag.split(['-', '_']).next().is_some_and(|language| language.eq_ignore_ascii_case("en"))
}

fn zone(options: &Options, settings: &Settings) -> Result<Zone, SparkError> {
    let Some(id) = options.get_any(&["timeZone", "timestampZone"]) else { return Ok(settings.time_zone) };
    id.parse().map_err(|_| SparkError::plain(ExceptionClass::DateTime, format!("Unknown time-zone ID: {id}")))
}
