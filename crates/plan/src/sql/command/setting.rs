//! `SET` and `RESET`: keys and values are taken as text, not as tokens.

use millstream_formats::condition::SparkError;

use super::catalog_query;
use crate::ir::Command;
use crate::sql::parser::{Parsed, Parser};
use crate::sql::token::TokenKind;

const TIME_ZONE: &str = "spark.sql.session.timeZone";

impl Parser<'_> {
    /// The text up to a semicolon or the end, which is taken.
    pub(super) fn rest_of_statement(&mut self) -> String {
        let start = self.offset();
        let rest = self.text().get(start..).unwrap_or("");
        let length = rest.find(';').unwrap_or(rest.len());
        self.skip_to(start + length);
        rest.get(..length).unwrap_or("").trim().to_string()
    }

    /// `SET key = value` and its other forms.
    pub(super) fn set(&mut self) -> Parsed<Command> {
        self.advance();
        if self.is_one_of_at(0, &["VAR", "VARIABLE"]) && *self.kind(1) == TokenKind::Word || self.is(&["ROLE"]) {
            return Err(SparkError::unsupported(format!(
                "The statement SET {}",
                self.token_text(0).to_ascii_uppercase()
            )));
        }
        if self.eat(&["CATALOG"]) {
            let name = if self.is_string_at(0) { self.string()? } else { self.plain_name()? };
            return Ok(catalog_query("set_current_catalog", [("catalog_name", Some(name))]));
        }
        if self.eat(&["TIME", "ZONE"]) {
            return self.set_time_zone();
        }
        let mark = self.mark();
        let text = self.rest_of_statement();
        let pair = match text.split_once('=') {
            None if text.is_empty() || text.eq_ignore_ascii_case("-v") => None,
            None => Some((self.setting_key(mark, &text)?, None)),
            Some((key, value)) => Some((self.setting_key(mark, key.trim())?, Some(unquoted(value.trim())))),
        };
        Ok(Command::Set { pair })
    }

    /// A key: letters, digits and `_.:`, or anything in back-quotes.
    fn setting_key(&self, mark: usize, key: &str) -> Parsed<String> {
        if key.len() > 2 && key.starts_with('`') && key.ends_with('`') {
            return Ok(unquoted(key));
        }
        if !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-')) {
            return Ok(key.to_string());
        }
        let sentence = "Expected format is 'SET', 'SET key', or 'SET key=value'. If you want to include special characters in key, or include \
                        semicolon in value, please use backquotes, e.g., SET `key`=`value`.";
        Err(self.invalid(mark, "INVALID_SET_SYNTAX", "42000", sentence))
    }

    /// `SET TIME ZONE LOCAL`, `'Europe/Berlin'` or an interval of hours.
    fn set_time_zone(&mut self) -> Parsed<Command> {
        let value = if self.is_string_at(0) {
            self.string()?
        } else if self.eat(&["LOCAL"]) {
            // The zone the session started with.
            return Ok(Command::Reset { key: Some(TIME_ZONE.to_string()) });
        } else if self.is(&["INTERVAL"]) {
            let (interval, year_month) = self.interval_value()?;
            let seconds = interval.fixed_micros().filter(|_| !year_month).map(|micros| micros / 1_000_000);
            match seconds.filter(|s| s.abs() <= 18 * 3600) {
                Some(seconds) => offset(seconds),
                None => return Err(self.unexpected()),
            }
        } else {
            return Err(self.unexpected());
        };
        Ok(Command::Set { pair: Some((TIME_ZONE.to_string(), Some(value))) })
    }

    /// `RESET [key]`.
    pub(super) fn reset(&mut self) -> Parsed<Command> {
        self.advance();
        let mark = self.mark();
        let text = self.rest_of_statement();
        let key = if text.is_empty() { None } else { Some(self.setting_key(mark, &text)?) };
        Ok(Command::Reset { key })
    }
}

/// Without back-quotes around it.
fn unquoted(text: &str) -> String {
    match text.strip_prefix('`').and_then(|t| t.strip_suffix('`')) {
        Some(inner) => inner.replace("``", "`"),
        None => text.to_string(),
    }
}

/// `+02:00`.
fn offset(seconds: i64) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let seconds = seconds.abs();
    let base = format!("{sign}{:02}:{:02}", seconds / 3600, seconds / 60 % 60);
    if seconds % 60 == 0 { base } else { format!("{base}:{:02}", seconds % 60) }
}
