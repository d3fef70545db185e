//! English names of months, days and eras.

/// January to December.
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

/// Monday to Sunday.
pub(super) const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Quarters, written out.
pub(super) const QUARTERS: [&str; 4] = ["1st quarter", "2nd quarter", "3rd quarter", "4th quarter"];

/// A name as the pattern wants it: whole or its first three letters.
pub(super) fn shown(name: &'static str, whole: bool) -> &'static str {
    if whole { name } else { name.get(..3).unwrap_or(name) }
}
