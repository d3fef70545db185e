//! Values as text by a pattern.

use std::fmt::Write;

use crate::calendar::{self, Civil};
use crate::text::split_days;
use crate::zone::Zone;

use super::{Field, Item, Number, OffsetForm, Pattern, Sign, Style, names};

/// A local time with its zone, taken apart.
struct Moment<'a> {
    civil: Civil,
    days: i32,
    us_of_day: i64,
    offset: i32,
    utc_us: i64,
    zone: &'a Zone,
}

impl Pattern {
    /// Appends the text of an instant in a zone.
    pub fn format(&self, utc_us: i64, zone: &Zone, out: &mut String) {
        let offset = zone.offset_at(utc_us);
        let (days, us_of_day) = split_days(utc_us.saturating_add(i64::from(offset) * 1_000_000));
        let moment = Moment { civil: calendar::civil_of_days(days), days, us_of_day, offset, utc_us, zone };
        self.items.iter().for_each(|item| moment.write(item, out));
    }
}

impl Moment<'_> {
    fn write(&self, item: &Item, out: &mut String) {
        match item {
            Item::Literal(text) => out.push_str(text),
            Item::Number(number) => self.write_number(number, out),
            Item::Name(field, style) => out.push_str(names::name_of(*field, *style, self.value(*field))),
            Item::Fraction { digits_max, .. } => {
                let nanos = format!("{:09}", self.us_of_day % 1_000_000 * 1000);
                out.push_str(nanos.get(..*digits_max).unwrap_or(&nanos));
            }
            Item::ZoneId => match self.zone {
                Zone::Fixed(0) => out.push('Z'),
                zone => out.push_str(&zone.to_string()),
            },
            Item::ZoneName => match self.zone {
                Zone::Fixed(0) => out.push_str("UTC"),
                zone => out.push_str(&zone.abbreviation_at(self.utc_us)),
            },
            Item::Offset(form) => self.write_offset(form, out),
            Item::GmtOffset(style) => self.write_gmt_offset(*style, out),
            Item::Optional(items) => items.iter().for_each(|item| self.write(item, out)),
        }
    }

    fn value(&self, field: Field) -> i64 {
        let seconds = self.us_of_day / 1_000_000;
        let hour = seconds / 3600;
        match field {
            Field::Era => i64::from(self.civil.year > 0),
            Field::Year => i64::from(self.civil.year),
            Field::YearOfEra if self.civil.year > 0 => i64::from(self.civil.year),
            Field::YearOfEra => 1 - i64::from(self.civil.year),
            Field::Quarter => i64::from((self.civil.month - 1) / 3 + 1),
            Field::Month => i64::from(self.civil.month),
            Field::Day => i64::from(self.civil.day),
            Field::DayOfYear => i64::from(calendar::day_of_year(self.days)),
            Field::DayOfWeek => i64::from(calendar::weekday(self.days)) + 1,
            Field::AlignedDayOfWeek => i64::from((self.civil.day - 1) % 7 + 1),
            Field::AmPm => hour / 12,
            Field::Hour => hour,
            Field::ClockHour => {
                if hour == 0 {
                    24
                } else {
                    hour
                }
            }
            Field::HourOfAmPm => hour % 12,
            Field::ClockHourOfAmPm => (hour + 11) % 12 + 1,
            Field::Minute => seconds / 60 % 60,
            Field::Second => seconds % 60,
        }
    }

    fn write_number(&self, number: &Number, out: &mut String) {
        let value = self.value(number.field);
        let size = if number.reduced { value.unsigned_abs() % 100 } else { value.unsigned_abs() };
        let digits = size.checked_ilog10().unwrap_or(0) as usize + 1;
        if value < 0 {
            out.push('-');
        } else if number.sign == Sign::ExceedsPad && digits > number.digits_min {
            out.push('+');
        }
        out.extend(std::iter::repeat_n('0', number.digits_min.saturating_sub(digits)));
        // Writing to a string cannot fail.
        let _ = write!(out, "{size}");
    }

    fn write_offset(&self, form: &OffsetForm, out: &mut String) {
        let seconds = self.offset.unsigned_abs();
        let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        if seconds == 0 || (!form.seconds && hours == 0 && minutes == 0) {
            return out.push_str(form.zero);
        }
        out.push(if self.offset < 0 { '-' } else { '+' });
        let colon = if form.colon { ":" } else { "" };
        let _ = write!(out, "{hours:02}");
        if !form.minutes_optional || minutes != 0 {
            let _ = write!(out, "{colon}{minutes:02}");
        }
        if form.seconds && rest != 0 {
            let _ = write!(out, "{colon}{rest:02}");
        }
    }

    fn write_gmt_offset(&self, style: Style, out: &mut String) {
        out.push_str("GMT");
        let seconds = self.offset.unsigned_abs();
        if seconds == 0 {
            return;
        }
        let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        out.push(if self.offset < 0 { '-' } else { '+' });
        let _ = match style {
            Style::Full => write!(out, "{hours:02}:{minutes:02}"),
            Style::Short if minutes != 0 || rest != 0 => write!(out, "{hours}:{minutes:02}"),
            Style::Short => write!(out, "{hours}"),
        };
        if rest != 0 {
            let _ = write!(out, ":{rest:02}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Purpose;
    use super::*;

    fn shown(pattern: &str, utc_us: i64, zone: &str) -> String {
        let pattern = Pattern::new(pattern, Purpose::Format).unwrap_or_else(|e| panic!("{e}"));
        let mut out = String::new();
        pattern.format(utc_us, &zone.parse().unwrap_or(Zone::UTC), &mut out);
        out
    }

    #[test]
    fn every_letter_shows_its_field() {
        // 2024-02-29 13:04:05.678901 in UTC, a Thursday.
        let us = 1_709_211_845_678_901;
        let cases = [
            ("yyyy-MM-dd HH:mm:ss.SSS", "2024-02-29 13:04:05.678"),
            ("y yy yyy yyyyy", "2024 24 2024 02024"),
            ("M MM MMM MMMM LLL", "2 02 Feb February Feb"),
            ("E EEE EEEE D DDD F", "Thu Thu Thursday 60 060 1"),
            ("h hh K k a", "1 01 1 13 PM"),
            ("Q QQ QQQ QQQQ", "1 01 Q1 1st quarter"),
            ("G GGGG", "AD Anno Domini"),
            ("yyyy'T'HH ''q'' SSSSSSSSS", "2024T13 '1' 678901000"),
            ("XXX x xx xxx Z VV z O", "Z +00 +0000 +00:00 +0000 Z UTC GMT"),
        ];
        for (pattern, expected) in cases {
            assert_eq!(shown(pattern, us, "UTC"), expected, "{pattern}");
        }
        assert_eq!(
            shown("HH:mm X XX XXX VV z O OOOO", us, "Europe/Berlin"),
            "14:04 +01 +0100 +01:00 Europe/Berlin CET GMT+1 GMT+01:00"
        );
    }

    #[test]
    fn years_beyond_four_digits_have_a_sign() {
        assert_eq!(shown("yyyy-MM-dd", 253_402_300_800_000_000, "UTC"), "+10000-01-01");
        assert_eq!(shown("yyyy G", -62_135_596_800_000_001, "UTC"), "0001 BC");
    }

    #[test]
    fn patterns_that_spark_refuses_are_refused() {
        let condition = |p| Pattern::new(p, Purpose::Format).err().and_then(|e| e.condition().map(str::to_string));
        assert!(condition("YYYY").is_some_and(|c| c.ends_with("DATETIME_PATTERN_RECOGNITION")));
        assert!(condition("B").is_some_and(|c| c.ends_with("ILLEGAL_CHARACTER")));
        assert!(condition("c").is_some_and(|c| c.ends_with("DATETIME_WEEK_BASED_PATTERN")));
        assert!(condition("yyyy]").is_some());
    }
}
