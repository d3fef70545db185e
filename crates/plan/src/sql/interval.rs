//! Interval literals: `INTERVAL 1 DAY 2 HOURS`, `INTERVAL '1-2' YEAR TO MONTH`, `INTERVAL '10 seconds'`.
//!
//! Months and everything shorter do not mix: a literal is either a year-month or a day-time interval.

use datafusion::scalar::ScalarValue;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_functions::datetime::interval::{self, CalendarInterval};

use super::parser::{Parsed, Parser};
use super::token::TokenKind;
use crate::ir::Expr;

/// Units of `1 unit`, singular; each may have an `s` behind it.
const UNITS: [&str; 10] =
    ["NANOSECOND", "MICROSECOND", "MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "YEAR"];
/// Units of `unit TO unit`, longest first, and how many of the next one are in each.
const DAY_TIME: [(&str, i64); 4] = [("DAY", 24), ("HOUR", 60), ("MINUTE", 60), ("SECOND", 1)];

impl Parser<'_> {
    /// Whether the word `INTERVAL`, which comes next, begins a literal.
    pub(super) fn is_interval(&self) -> bool {
        let value = 1 + usize::from(self.is_symbol_at(1, "-") || self.is_symbol_at(1, "+"));
        match self.kind(value) {
            TokenKind::String(_) => true,
            TokenKind::Number => *self.kind(value + 1) == TokenKind::Word,
            _ => false,
        }
    }

    /// An interval literal.
    pub(super) fn interval(&mut self) -> Parsed<Expr> {
        let mark = self.mark();
        let (value, year_month) = self.interval_value()?;
        let fixed = if year_month { None } else { value.fixed_micros() };
        match fixed {
            None if year_month => Ok(Expr::Literal(ScalarValue::IntervalYearMonth(Some(value.months)))),
            Some(micros) => Ok(Expr::Literal(ScalarValue::DurationMicrosecond(Some(micros)))),
            None => Err(self.bad_interval(mark, "long overflow")),
        }
    }

    /// The same, and whether it is one of years and months.
    pub(super) fn interval_value(&mut self) -> Parsed<(CalendarInterval, bool)> {
        let mark = self.mark();
        self.expect(&["INTERVAL"])?;
        if self.is_string_at(0) && self.unit_at(1).is_none() {
            return self.interval_text(mark);
        }
        let sign = self.eat_sign();
        if let (Some(from), true) = (self.unit_at(1), self.is_word_at(2, "TO")) {
            return self.unit_to_unit(mark, sign, from);
        }
        self.units(mark, sign)
    }

    fn eat_sign(&mut self) -> &'static str {
        if self.eat_symbol("-") {
            "-"
        } else {
            self.eat_symbol("+");
            ""
        }
    }

    /// The unit at a token, in capitals and singular.
    fn unit_at(&self, ahead: usize) -> Option<&'static str> {
        if *self.kind(ahead) != TokenKind::Word {
            return None;
        }
        let word = self.token_text(ahead).to_ascii_uppercase();
        UNITS.into_iter().find(|unit| word == *unit || word.strip_suffix('S') == Some(unit))
    }

    /// `INTERVAL '1 day 2 hours'`.
    fn interval_text(&mut self, mark: usize) -> Parsed<(CalendarInterval, bool)> {
        let text = match self.kind(0) {
            TokenKind::String(text) => text.clone(),
            _ => return Err(self.unexpected()),
        };
        self.advance();
        let value = interval::parse(&text).map_err(|_| self.invalid_typed_literal(mark, "INTERVAL", &text))?;
        let lower = text.to_ascii_lowercase();
        let words = lower.split(|c: char| !c.is_ascii_alphabetic()).filter(|w| !w.is_empty() && *w != "interval");
        let units: Vec<String> = words.map(|w| w.trim_end_matches('s').to_ascii_uppercase()).collect();
        let year_month = self.one_kind(mark, units.iter().map(String::as_str))?;
        Ok((value, year_month))
    }

    /// `1 DAY 2 HOURS`, from the number on.
    fn units(&mut self, mark: usize, mut sign: &'static str) -> Parsed<(CalendarInterval, bool)> {
        let (mut text, mut units, mut nanos) = (String::new(), Vec::new(), 0i64);
        loop {
            let value = match self.kind(0) {
                TokenKind::Number => self.token_text(0).to_string(),
                TokenKind::String(value) => value.clone(),
                _ => return Err(self.unexpected()),
            };
            self.advance();
            let Some(unit) = self.unit_at(0) else { return Err(self.unexpected()) };
            self.advance();
            units.push(unit);
            if unit == "NANOSECOND" {
                let value: i64 =
                    format!("{sign}{}", value.trim()).parse().map_err(|_| self.bad_interval(mark, "invalid value"))?;
                nanos = nanos.checked_add(value).ok_or_else(|| self.bad_interval(mark, "long overflow"))?;
            } else {
                text.push_str(&format!(" {sign}{value} {unit}"));
            }
            let signed = usize::from(self.is_symbol("-") || self.is_symbol("+"));
            let another = matches!(self.kind(signed), TokenKind::Number | TokenKind::String(_));
            if !another || self.unit_at(signed + 1).is_none() {
                break;
            }
            sign = self.eat_sign();
        }
        let year_month = self.one_kind(mark, units.into_iter())?;
        let mut value = if text.is_empty() {
            CalendarInterval::default()
        } else {
            interval::parse(&text)
                .map_err(|why| self.bad_interval(mark, &format!("Error parsing '{text}' to interval, {why}")))?
        };
        value.micros =
            value.micros.checked_add(nanos / 1000).ok_or_else(|| self.bad_interval(mark, "long overflow"))?;
        Ok((value, year_month))
    }

    /// Whether the units are years and months; fails if there are both these and shorter ones.
    fn one_kind<'u>(&self, mark: usize, units: impl Iterator<Item = &'u str>) -> Parsed<bool> {
        let (year_month, day_time): (Vec<&str>, Vec<&str>) = units.partition(|u| matches!(*u, "YEAR" | "MONTH"));
        if !year_month.is_empty() && !day_time.is_empty() {
            let text = self.slice_from(mark);
            return Err(self.plain_error(mark, format!("Cannot mix year-month and day-time fields: {text}.")));
        }
        Ok(!year_month.is_empty())
    }

    /// `'1-2' YEAR TO MONTH`, from the string on.
    fn unit_to_unit(&mut self, mark: usize, sign: &str, from: &'static str) -> Parsed<(CalendarInterval, bool)> {
        let text = match self.kind(0) {
            TokenKind::String(text) => text.trim().to_string(),
            TokenKind::Number => self.token_text(0).to_string(),
            _ => return Err(self.unexpected()),
        };
        self.advance();
        self.advance();
        self.expect(&["TO"])?;
        let Some(to) = self.unit_at(0) else { return Err(self.unexpected()) };
        self.advance();
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (sign.is_empty(), rest),
            None => (!sign.is_empty(), text.strip_prefix('+').unwrap_or(&text)),
        };
        let signum = if negative { -1 } else { 1 };
        if (from, to) == ("YEAR", "MONTH") {
            let months =
                year_to_month(digits).ok_or_else(|| self.no_match(mark, &text, "[+|-]y-m", "year to month"))?;
            return Ok((CalendarInterval { months: signum * months, ..CalendarInterval::default() }, true));
        }
        let rank = |unit: &str| DAY_TIME.iter().position(|(u, _)| *u == unit);
        let (Some(first), Some(last)) = (rank(from), rank(to)) else {
            return Err(self.unsupported_range(mark, from, to));
        };
        if first >= last {
            return Err(self.unsupported_range(mark, from, to));
        }
        let kind = format!("{} to {}", from.to_ascii_lowercase(), to.to_ascii_lowercase());
        let micros =
            day_to_time(digits, first, last).ok_or_else(|| self.no_match(mark, &text, pattern(first, last), &kind))?;
        Ok((CalendarInterval { micros: i64::from(signum) * micros, ..CalendarInterval::default() }, false))
    }

    fn unsupported_range(&self, mark: usize, from: &str, to: &str) -> SparkError {
        let sentence =
            format!("Intervals FROM {} TO {} are not supported.", from.to_ascii_lowercase(), to.to_ascii_lowercase());
        self.plain_error(mark, sentence)
    }

    fn no_match(&self, mark: usize, text: &str, pattern: &str, kind: &str) -> SparkError {
        let sentence = format!(
            "Interval string does not match {kind} format of `{pattern}` when cast to interval {kind}: {text}."
        );
        let condition = "INVALID_INTERVAL_FORMAT.UNMATCHED_FORMAT_STRING";
        self.invalid(mark, condition, "22006", format!("Error parsing '{text}' to interval. {sentence}"))
    }

    fn bad_interval(&self, mark: usize, why: &str) -> SparkError {
        self.plain_error(mark, why.to_string())
    }

    /// An error for which Spark has no public condition.
    fn plain_error(&self, mark: usize, sentence: String) -> SparkError {
        SparkError::plain(ExceptionClass::Parse, sentence).at(self.fragment_from(mark))
    }
}

/// Months of `1-2`.
fn year_to_month(text: &str) -> Option<i32> {
    let (years, months) = text.split_once('-')?;
    let months: i32 = plain_number(months)?.try_into().ok().filter(|m| (0..12).contains(m))?;
    let years: i32 = plain_number(years)?.try_into().ok()?;
    years.checked_mul(12)?.checked_add(months)
}

/// Microseconds of `1 02:03:04.5`, of which the fields from unit `first` to unit `last` are there.
fn day_to_time(text: &str, first: usize, last: usize) -> Option<i64> {
    let (text, fraction) = if last == 3 { split_fraction(text)? } else { (text, 0) };
    let mut fields = Vec::new();
    let clock = if first == 0 {
        let (days, clock) = text.split_once(' ')?;
        fields.push(days);
        clock
    } else {
        text
    };
    fields.extend(clock.split(':'));
    if fields.len() != last - first + 1 {
        return None;
    }
    let mut total = 0i64;
    for (i, (field, (_, next))) in fields.iter().zip(DAY_TIME.iter().skip(first)).enumerate() {
        let value = plain_number(field)?;
        let limit = match (i, first + i) {
            (0, _) => i64::MAX,
            (_, 1) => 24,
            _ => 60,
        };
        if value >= limit {
            return None;
        }
        total = total.checked_add(value)?;
        if first + i < last {
            total = total.checked_mul(*next)?;
        }
    }
    let seconds = DAY_TIME.iter().take(3).skip(last).try_fold(total, |n, (_, next)| n.checked_mul(*next))?;
    seconds.checked_mul(1_000_000)?.checked_add(fraction)
}

/// The text before the point, and the µs behind it.
fn split_fraction(text: &str) -> Option<(&str, i64)> {
    let Some((whole, fraction)) = text.split_once('.') else { return Some((text, 0)) };
    if fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let nanos = plain_number(&format!("{fraction:0<9}"))?;
    Some((whole, nanos / 1000))
}

fn plain_number(text: &str) -> Option<i64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) { None } else { text.parse().ok() }
}

fn pattern(first: usize, last: usize) -> &'static str {
    match (first, last) {
        (0, 1) => "[+|-]d h",
        (0, 2) => "[+|-]d h:m",
        (0, _) => "[+|-]d h:m:s.n",
        (1, 2) => "[+|-]h:m",
        (1, _) => "[+|-]h:m:s.n",
        _ => "[+|-]m:s.n",
    }
}
