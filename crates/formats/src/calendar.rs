//! The proleptic Gregorian calendar on days since 1970-01-01, for every day an `i32` can count.
//!
//! Not here: time of day and zones ([`crate::zone`]), text.

/// A day by year, month (1 to 12) and day of the month (1 to 31).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Civil {
    /// Year; 0 is 1 BC.
    pub year: i32,
    /// Month, 1 to 12.
    pub month: u32,
    /// Day of the month, from 1.
    pub day: u32,
}

/// The day so many days after 1970-01-01.
pub fn civil_of_days(days: i32) -> Civil {
    // Years begin in March here, so that the leap day is the last of its year; eras of 400 years repeat exactly.
    let shifted = i64::from(days) + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * march_month + 2) / 5 + 1) as u32;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 } as u32;
    let year = (year_of_era + era * 400 + i64::from(month <= 2)) as i32;
    Civil { year, month, day }
}

/// Days from 1970-01-01 to a day whose month and day are in range; none if the count does not fit.
pub fn days_of_civil(year: i32, month: u32, day: u32) -> Option<i32> {
    let year = i64::from(year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let march_month = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * march_month + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    i32::try_from(era * 146_097 + day_of_era - 719_468).ok()
}

/// Days from 1970-01-01 to a day that may not exist (`2023-02-29`), in which case there is none.
pub fn days_of_checked(year: i32, month: u32, day: u32) -> Option<i32> {
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    days_of_civil(year, month, day)
}

/// Whether a year has a 29th of February.
pub fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Number of days in a month (1 to 12).
pub fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        2 => 28 + u32::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Day of the year, from 1.
pub fn day_of_year(days: i32) -> i32 {
    let civil = civil_of_days(days);
    days_of_civil(civil.year, 1, 1).map_or(1, |first| days - first + 1)
}

/// Day of the week, Monday is 0.
pub fn weekday(days: i32) -> i32 {
    (i64::from(days) + 3).rem_euclid(7) as i32
}

/// The year an ISO week belongs to and its number: weeks begin on Monday, week 1 has the year's first Thursday.
pub fn iso_week(days: i32) -> (i32, i32) {
    let thursday = days.saturating_add(3 - weekday(days));
    (civil_of_days(thursday).year, (day_of_year(thursday) - 1) / 7 + 1)
}

/// The day so many months later; the day of the month is cut to the length of the month. None if it does not fit.
pub fn add_months(days: i32, months: i32) -> Option<i32> {
    let civil = civil_of_days(days);
    let index = i64::from(civil.year) * 12 + i64::from(civil.month) - 1 + i64::from(months);
    let year = i32::try_from(index.div_euclid(12)).ok()?;
    let month = index.rem_euclid(12) as u32 + 1;
    days_of_civil(year, month, civil.day.min(days_in_month(year, month)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_civil_dates_are_inverse() {
        for days in (-800_000..800_000).step_by(37).chain([i32::MIN, i32::MAX, 0, -1]) {
            let civil = civil_of_days(days);
            assert_eq!(days_of_civil(civil.year, civil.month, civil.day), Some(days), "{civil:?}");
        }
        assert_eq!(civil_of_days(0), Civil { year: 1970, month: 1, day: 1 });
        assert_eq!(civil_of_days(19_782), Civil { year: 2024, month: 2, day: 29 });
        assert_eq!(days_of_checked(2023, 2, 29), None);
    }

    #[test]
    fn iso_weeks_follow_the_first_thursday() {
        let week = |y, m, d| days_of_civil(y, m, d).map(iso_week);
        assert_eq!(week(2021, 1, 3), Some((2020, 53)));
        assert_eq!(week(2021, 1, 4), Some((2021, 1)));
        assert_eq!(week(2024, 12, 30), Some((2025, 1)));
    }
}
