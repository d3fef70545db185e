//! Local µs as a day and a time of day.

/// µs in a second.
pub const MICROS_PER_SECOND: i64 = 1_000_000;
/// µs in a day.
pub const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// The day a local time falls on, and the µs since its midnight.
pub fn split_days(local_us: i64) -> (i32, i64) {
    (local_us.div_euclid(MICROS_PER_DAY) as i32, local_us.rem_euclid(MICROS_PER_DAY))
}

/// µs of a day number's midnight plus µs within the day; absent on overflow.
pub fn join_days(days: i32, us_of_day: i64) -> Option<i64> {
    let whole = i128::from(days) * i128::from(MICROS_PER_DAY) + i128::from(us_of_day);
    i64::try_from(whole).ok()
}
