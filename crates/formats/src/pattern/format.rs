//! Writing by a pattern.

use std::fmt::Write;

use super::names::{DAYS, MONTHS, QUARTERS, shown};
use super::{Field, Item, Pattern, Width};
use crate::calendar::{civil_of_days, day_of_year};
use crate::zone::Zone;

const DAY_US: i64 = 86_400_000_000;

/// A local time taken apart.
struct Local {
    year: i32,
    month: u32,
    day: u32,
    days: i32,
    us_of_day: i64,
    utc_us: i64,
    offset: i32,
}

impl Pattern {
    /// Appends the time of a zone at an instant.
    pub fn format_instant(&self, utc_us: i64, zone: &Zone, out: &mut String) {
        let local = zone.to_local(utc_us);
        let days = i32::try_from(local.div_euclid(DAY_US)).unwrap_or(0);
        let civil = civil_of_days(days);
        let offset = zone.offset_at(utc_us);
        let us_of_day = local.rem_euclid(DAY_US);
        let local = Local { year: civil.year, month: civil.month, day: civil.day, days, us_of_day, utc_us, offset };
        for item in &self.items {
            write(item, &local, zone, out);
        }
    }
}

fn write(item: &Item, local: &Local, zone: &Zone, out: &mut String) {
    match item {
        Item::Literal(text) => out.push_str(text),
        Item::Number(field, width) => number(value(*field, local), *width, out),
        Item::MonthName(whole) => out.push_str(name(&MONTHS, local.month as usize - 1, *whole)),
        Item::DayName(whole) => out.push_str(name(&DAYS, weekday_index(local.days), *whole)),
        Item::QuarterName(true) => out.push_str(name(&QUARTERS, (local.month as usize - 1) / 3, true)),
        Item::QuarterName(false) => {
            let _ = write!(out, "Q{}", local.month.div_ceil(3));
        }
        Item::Fraction(digits) => {
            let nanos = format!("{:09}", local.us_of_day % 1_000_000 * 1000);
            out.push_str(nanos.get(..*digits).unwrap_or(&nanos));
        }
        Item::HalfDay => out.push_str(if local.us_of_day < DAY_US / 2 { "AM" } else { "PM" }),
        Item::Era(whole) => out.push_str(match (local.year > 0, whole) {
            (true, false) => "AD",
            (false, false) => "BC",
            (true, true) => "Anno Domini",
            (false, true) => "Before Christ",
        }),
        Item::ZoneId => {
            let _ = write!(out, "{zone}");
        }
        Item::ZoneName(_) => out.push_str(&zone.abbreviation_at(local.utc_us)),
        Item::Offset { length, zero_as_z } => offset(local.offset, *length, *zero_as_z, out),
        Item::GmtOffset(whole) => gmt(local.offset, *whole, out),
        Item::Optional(items) => items.iter().for_each(|item| write(item, local, zone, out)),
    }
}

fn name(names: &[&'static str], index: usize, whole: bool) -> &'static str {
    names.get(index).map_or("", |n| shown(n, whole))
}

/// 0 for Monday.
fn weekday_index(days: i32) -> usize {
    // 1970-01-01 was a Thursday.
    (i64::from(days) + 3).rem_euclid(7) as usize
}

fn value(field: Field, local: &Local) -> i64 {
    let hour = local.us_of_day / 3_600_000_000;
    match field {
        Field::Year => i64::from(local.year),
        Field::Quarter => i64::from(local.month.div_ceil(3)),
        Field::Month => i64::from(local.month),
        Field::Day => i64::from(local.day),
        Field::DayOfYear => i64::from(day_of_year(local.days)),
        Field::Hour => hour,
        Field::HourFromOne => {
            if hour == 0 {
                24
            } else {
                hour
            }
        }
        Field::HourOfHalf => hour % 12,
        Field::HourOfHalfFromOne => {
            if hour % 12 == 0 {
                12
            } else {
                hour % 12
            }
        }
        Field::Minute => local.us_of_day / 60_000_000 % 60,
        Field::Second => local.us_of_day / 1_000_000 % 60,
        Field::AlignedWeekOfMonth => i64::from((local.day - 1) % 7 + 1),
    }
}

fn number(value: i64, width: Width, out: &mut String) {
    let sign = if value < 0 { "-" } else { "" };
    let size = value.unsigned_abs();
    let _ = match width {
        Width::Free => write!(out, "{value}"),
        Width::Fixed(digits) => write!(out, "{sign}{size:0digits$}"),
        Width::AtLeast(digits) => {
            let sign = if value >= 0 && size.checked_ilog10().unwrap_or(0) as usize >= digits { "+" } else { sign };
            write!(out, "{sign}{size:0digits$}")
        }
        Width::TwoDigits => write!(out, "{:02}", value.rem_euclid(100)),
    };
}

fn offset(seconds: i32, length: usize, zero_as_z: bool, out: &mut String) {
    if zero_as_z && seconds == 0 {
        return out.push('Z');
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let size = seconds.abs();
    let (hours, minutes, rest) = (size / 3600, size / 60 % 60, size % 60);
    let _ = write!(out, "{sign}{hours:02}");
    let colon = if length == 3 || length == 5 { ":" } else { "" };
    if length > 1 || minutes != 0 {
        let _ = write!(out, "{colon}{minutes:02}");
    }
    if length > 3 && rest != 0 {
        let _ = write!(out, "{colon}{rest:02}");
    }
}

fn gmt(seconds: i32, whole: bool, out: &mut String) {
    out.push_str("GMT");
    if seconds == 0 {
        return;
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let size = seconds.abs();
    let (hours, minutes) = (size / 3600, size / 60 % 60);
    let _ = match (whole, minutes) {
        (true, _) => write!(out, "{sign}{hours:02}:{minutes:02}"),
        (false, 0) => write!(out, "{sign}{hours}"),
        (false, _) => write!(out, "{sign}{hours}:{minutes:02}"),
    };
}
