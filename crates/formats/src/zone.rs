//! Time zones by their Java ids, and the way between instants and local times.
//!
//! Instants and local times are µs since 1970-01-01T00:00:00, of UTC or of the zone. Where local time jumps forward a
//! time in the gap is moved on by the length of the gap; where it jumps back the first of the two instants is taken:
//! that is what `java.time` does.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeZone};
use chrono_tz::{OffsetComponents, OffsetName, Tz};

use crate::calendar;

const SECOND: i64 = 1_000_000;

/// A time zone: a fixed offset or a region with its history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// Seconds east of UTC.
    Fixed(i32),
    /// A region of the IANA database.
    Region(Tz),
}

/// A text that names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown time zone `{0}`")]
pub struct UnknownZone(pub String);

/// Java's three-letter ids.
const SHORT_IDS: [(&str, &str); 28] = [
    ("ACT", "Australia/Darwin"),
    ("AET", "Australia/Sydney"),
    ("AGT", "America/Argentina/Buenos_Aires"),
    ("ART", "Africa/Cairo"),
    ("AST", "America/Anchorage"),
    ("BET", "America/Sao_Paulo"),
    ("BST", "Asia/Dhaka"),
    ("CAT", "Africa/Harare"),
    ("CNT", "America/St_Johns"),
    ("CST", "America/Chicago"),
    ("CTT", "Asia/Shanghai"),
    ("EAT", "Africa/Addis_Ababa"),
    ("ECT", "Europe/Paris"),
    ("IET", "America/Indiana/Indianapolis"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("MIT", "Pacific/Apia"),
    ("NET", "Asia/Yerevan"),
    ("NST", "Pacific/Auckland"),
    ("PLT", "Asia/Karachi"),
    ("PNT", "America/Phoenix"),
    ("PRT", "America/Puerto_Rico"),
    ("PST", "America/Los_Angeles"),
    ("SST", "Pacific/Guadalcanal"),
    ("VST", "Asia/Ho_Chi_Minh"),
    ("EST", "-05:00"),
    ("MST", "-07:00"),
    ("HST", "-10:00"),
];

impl Zone {
    /// UTC.
    pub const UTC: Zone = Zone::Fixed(0);

    /// Seconds east of UTC at an instant.
    pub fn offset_at(&self, utc_us: i64) -> i32 {
        match self {
            Zone::Fixed(offset) => *offset,
            Zone::Region(tz) => tz.offset_from_utc_datetime(&tabled(utc_us)).fix().local_minus_utc(),
        }
    }

    /// The local time at an instant. Saturates at the ends of `i64`.
    pub fn to_local(&self, utc_us: i64) -> i64 {
        utc_us.saturating_add(i64::from(self.offset_at(utc_us)) * SECOND)
    }

    /// The instant of a local time. Saturates at the ends of `i64`.
    pub fn to_utc(&self, local_us: i64) -> i64 {
        local_us.saturating_sub(i64::from(self.offset_of_local(local_us)) * SECOND)
    }

    /// The instant of a local time, with this offset if it is one of those that hold then: what becomes of a time that
    /// is moved by whole days or months.
    pub fn to_utc_preferring(&self, local_us: i64, offset: i32) -> i64 {
        let candidate = local_us.saturating_sub(i64::from(offset) * SECOND);
        if self.offset_at(candidate) == offset { candidate } else { self.to_utc(local_us) }
    }

    /// Seconds east of UTC that hold for a local time: in an overlap the earlier ones, in a gap those before the jump.
    fn offset_of_local(&self, local_us: i64) -> i32 {
        let tz = match self {
            Zone::Fixed(offset) => return *offset,
            Zone::Region(tz) => tz,
        };
        match tz.offset_from_local_datetime(&tabled(local_us)) {
            LocalResult::Single(offset) => offset.fix().local_minus_utc(),
            LocalResult::Ambiguous(first, _) => first.fix().local_minus_utc(),
            // An instant a day earlier lies before the jump; no zone jumps twice within two days.
            LocalResult::None => self.offset_at(local_us.saturating_sub(86_400 * SECOND)),
        }
    }

    /// The abbreviation at an instant (`CET`), or the offset as text. A zone has one for its standard and one for its summer
    /// time, those of today, as in Java: wartime and local mean time have none of their own.
    pub fn abbreviation_at(&self, utc_us: i64) -> String {
        let Zone::Region(tz) = self else { return self.to_string() };
        let then = tz.offset_from_utc_datetime(&tabled(utc_us));
        let today = [TODAY_WINTER_US, TODAY_SUMMER_US].map(|us| tz.offset_from_utc_datetime(&tabled(us)));
        let same = today.iter().find(|offset| offset.dst_offset().is_zero() == then.dst_offset().is_zero());
        same.unwrap_or(&then).abbreviation().map_or_else(|| self.to_string(), str::to_string)
    }
}

/// 2024-01-01 and 2024-07-01.
const TODAY_WINTER_US: i64 = 1_704_067_200 * SECOND;
const TODAY_SUMMER_US: i64 = 1_719_792_000 * SECOND;
/// 2099-01-01: the tables of the regions end with that year.
const TABLES_END_US: i64 = 4_070_908_800 * SECOND;

/// A time that the tables hold and that has the same offset. The last rules of a region hold for ever, so a late year stands
/// for one of the last 28 with the same days of the week. Before all tables there is local mean time.
fn tabled(us: i64) -> NaiveDateTime {
    let us = if us >= TABLES_END_US { us - years_after_tables(us) } else { us };
    DateTime::from_timestamp_micros(us).map(|t| t.naive_utc()).unwrap_or(NaiveDateTime::MIN)
}

/// µs from the year that stands for the year of `us` to that year.
fn years_after_tables(us: i64) -> i64 {
    let first = |year: i32| calendar::days_of_civil(year, 1, 1).unwrap_or(0);
    let year = calendar::civil_of_days(us.div_euclid(86_400 * SECOND) as i32).year;
    let alike = |candidate: &i32| {
        calendar::is_leap(*candidate) == calendar::is_leap(year)
            && calendar::weekday(first(*candidate)) == calendar::weekday(first(year))
    };
    let stands = (2071..2099).rev().find(alike).unwrap_or(2098);
    i64::from(first(year) - first(stands)) * 86_400 * SECOND
}

impl fmt::Display for Zone {
    /// Java's id: `Europe/Berlin`, `Z`, `+02:00`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Zone::Region(tz) => f.write_str(tz.name()),
            Zone::Fixed(0) => f.write_str("Z"),
            Zone::Fixed(offset) => {
                let seconds = offset.unsigned_abs();
                let sign = if *offset < 0 { '-' } else { '+' };
                write!(f, "{sign}{:02}:{:02}", seconds / 3600, seconds / 60 % 60)?;
                if seconds % 60 != 0 {
                    write!(f, ":{:02}", seconds % 60)?;
                }
                Ok(())
            }
        }
    }
}

impl FromStr for Zone {
    type Err = UnknownZone;

    /// Parses what Spark takes as `spark.sql.session.timeZone`: region ids, `Z`, offsets (`+2`, `+02:00`, `-1:5`,
    /// `+0200`, `+02:00:30`), offsets behind `UTC`, `GMT` and `UT`, and Java's three-letter ids.
    fn from_str(text: &str) -> Result<Self, UnknownZone> {
        let unknown = || UnknownZone(text.to_string());
        let id = SHORT_IDS.iter().find(|(short, _)| *short == text).map_or(text, |(_, long)| *long);
        if id == "Z" || id == "UTC" || id == "GMT" || id == "UT" {
            return Ok(Zone::UTC);
        }
        if id.starts_with(['+', '-']) {
            return parse_offset(id).map(Zone::Fixed).ok_or_else(unknown);
        }
        for prefix in ["UTC", "GMT", "UT"] {
            if let Some(offset) = id.strip_prefix(prefix).filter(|rest| rest.starts_with(['+', '-'])) {
                return parse_offset(offset).map(Zone::Fixed).ok_or_else(unknown);
            }
        }
        Tz::from_str(id).map(Zone::Region).map_err(|_| unknown())
    }
}

/// Seconds of `+h`, `+hh`, `+hhmm`, `+hhmmss` and the forms with colons; at most 18 hours.
fn parse_offset(text: &str) -> Option<i32> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let digits = text.get(1..)?;
    let parts: Vec<&str> = if digits.contains(':') {
        digits.split(':').collect()
    } else {
        match digits.len() {
            1 | 2 => vec![digits],
            4 => vec![digits.get(..2)?, digits.get(2..)?],
            6 => vec![digits.get(..2)?, digits.get(2..4)?, digits.get(4..)?],
            _ => return None,
        }
    };
    if parts.len() > 3 || parts.iter().any(|p| p.is_empty() || p.len() > 2 || !p.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    let number = |i: usize| parts.get(i).map_or(Some(0), |p| p.parse::<i32>().ok());
    let (hours, minutes, seconds) = (number(0)?, number(1)?, number(2)?);
    let total = hours * 3600 + minutes * 60 + seconds;
    (minutes < 60 && seconds < 60 && total <= 18 * 3600).then_some(sign * total)
}

/// The id of this machine's zone: `TZ`, else what the system's link says, else UTC.
pub fn of_this_machine() -> String {
    let known = |name: &String| name.parse::<Zone>().is_ok();
    let linked = || {
        let target = std::fs::read_link("/etc/localtime").ok()?;
        Some(target.to_str()?.split_once("zoneinfo/")?.1.to_string())
    };
    let written = || Some(std::fs::read_to_string("/etc/timezone").ok()?.trim().to_string());
    let from_environment = std::env::var("TZ").ok().map(|tz| tz.trim_start_matches(':').to_string());
    from_environment
        .filter(known)
        .or_else(|| linked().filter(known))
        .or_else(|| written().filter(known))
        .unwrap_or_else(|| "Etc/UTC".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(id: &str) -> Zone {
        id.parse().unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn ids_of_java_are_understood() {
        assert_eq!(zone("+02:00"), Zone::Fixed(7200));
        assert_eq!(zone("-1:5"), Zone::Fixed(-3900));
        assert_eq!(zone("GMT+0130").to_string(), "+01:30");
        assert_eq!(zone("PST").to_string(), "America/Los_Angeles");
        assert_eq!(zone("UTC"), Zone::UTC);
        for bad in ["", "+", "+19:00", "Mars/Base", "+1:60", "UTC+é"] {
            assert!(bad.parse::<Zone>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_gap_moves_on_and_an_overlap_takes_the_first_instant() {
        let ny = zone("America/New_York");
        // 2024-03-10 02:30 does not exist: it becomes 03:30 EDT, which is 07:30 UTC.
        assert_eq!(ny.to_utc(1_710_037_800 * SECOND), (1_710_037_800 + 5 * 3600) * SECOND);
        assert_eq!(ny.to_local((1_710_037_800 + 5 * 3600) * SECOND), (1_710_037_800 + 3600) * SECOND);
        // So it goes on after the tables: 2106-09-19 12:00 is EDT.
        assert_eq!(ny.to_utc(4_314_340_800 * SECOND), (4_314_340_800 + 4 * 3600) * SECOND);
        assert_eq!(ny.abbreviation_at(4_314_340_800 * SECOND), "EDT");
        assert_eq!(ny.abbreviation_at(-3_000_000_000 * SECOND), "EST");
        // 2024-11-03 01:30 happens twice: EDT comes first.
        assert_eq!(ny.to_utc(1_730_597_400 * SECOND), (1_730_597_400 + 4 * 3600) * SECOND);
    }
}
