//! English names of months, days, quarters, eras and halves of the day.

use super::{Field, Style};
use crate::calendar;

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// The days of the week, from Monday on.
pub const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const QUARTERS_SHORT: [&str; 4] = ["Q1", "Q2", "Q3", "Q4"];
const QUARTERS_FULL: [&str; 4] = ["1st quarter", "2nd quarter", "3rd quarter", "4th quarter"];
const ERAS_SHORT: [&str; 2] = ["BC", "AD"];
const ERAS_FULL: [&str; 2] = ["Before Christ", "Anno Domini"];
const HALVES: [&str; 2] = ["AM", "PM"];

/// The name of a day's day of the week.
pub fn day_name(days: i32) -> &'static str {
    name_of(Field::DayOfWeek, Style::Full, i64::from(calendar::weekday(days)) + 1)
}

/// The name of a day's month.
pub fn month_name(days: i32) -> &'static str {
    name_of(Field::Month, Style::Full, i64::from(calendar::civil_of_days(days).month))
}

/// The full names of a field and the value of the first one.
fn table(field: Field, style: Style) -> (&'static [&'static str], i64) {
    match (field, style) {
        (Field::Month, _) => (&MONTHS, 1),
        (Field::DayOfWeek, _) => (&DAYS, 1),
        (Field::Quarter, Style::Short) => (&QUARTERS_SHORT, 1),
        (Field::Quarter, Style::Full) => (&QUARTERS_FULL, 1),
        (Field::Era, Style::Short) => (&ERAS_SHORT, 0),
        (Field::Era, Style::Full) => (&ERAS_FULL, 0),
        (Field::AmPm, _) => (&HALVES, 0),
        _ => (&[], 0),
    }
}

/// Short names of months and days are the first three letters.
fn cut(field: Field, style: Style, name: &'static str) -> &'static str {
    match (field, style) {
        (Field::Month | Field::DayOfWeek, Style::Short) => name.get(..3).unwrap_or(name),
        _ => name,
    }
}

/// The name of a value, empty for one that has none.
pub(super) fn name_of(field: Field, style: Style, value: i64) -> &'static str {
    let (names, first) = table(field, style);
    let index = usize::try_from(value - first).unwrap_or(usize::MAX);
    names.get(index).map_or("", |name| cut(field, style, name))
}

/// The value whose name stands at the front of `text`, in any case, and the length of the name.
pub(super) fn value_at(field: Field, style: Style, text: &str) -> Option<(i64, usize)> {
    let (names, first) = table(field, style);
    (first..).zip(names).find_map(|(value, name)| {
        let name = cut(field, style, name);
        let front = text.get(..name.len())?;
        front.eq_ignore_ascii_case(name).then_some((value, name.len()))
    })
}
