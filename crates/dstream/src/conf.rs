//! Settings of a context: texts by name, read when they are needed.

use std::collections::BTreeMap;

use crate::{Span, StreamError};

/// Settings by their names (`spark.streaming.…`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conf(BTreeMap<String, String>);

impl Conf {
    /// No settings: defaults everywhere.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more setting.
    #[must_use]
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.insert(key.into(), value.into());
        self
    }

    /// The text of a setting.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// All settings.
    pub fn all(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    pub(crate) fn flag(&self, key: &str, default: bool) -> Result<bool, StreamError> {
        match self.get(key).map(str::trim) {
            None => Ok(default),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(text) => Err(setting(key, text, "truth value")),
        }
    }

    pub(crate) fn number<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>, StreamError> {
        self.get(key).map(|text| text.trim().parse().map_err(|_| setting(key, text, "number"))).transpose()
    }

    /// A time such as `200ms`, `5s`, `2m`; a plain number counts milliseconds.
    pub(crate) fn span(&self, key: &str) -> Result<Option<Span>, StreamError> {
        self.get(key).map(|text| parse_span(text).ok_or_else(|| setting(key, text, "time"))).transpose()
    }

    /// A size such as `64m`; a plain number counts bytes.
    pub(crate) fn bytes(&self, key: &str) -> Result<Option<usize>, StreamError> {
        self.get(key).map(|text| parse_bytes(text).ok_or_else(|| setting(key, text, "size"))).transpose()
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Conf {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(iter: I) -> Self {
        Conf(iter.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}

fn setting(key: &str, value: &str, wanted: &'static str) -> StreamError {
    StreamError::Setting { key: key.to_owned(), value: value.to_owned(), wanted }
}

fn split_unit(text: &str) -> (&str, String) {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    (number, unit.trim().to_ascii_lowercase())
}

fn parse_span(text: &str) -> Option<Span> {
    let (number, unit) = split_unit(text);
    let number: i64 = number.parse().ok()?;
    let ms = match unit.as_str() {
        "us" => return Some(Span::from_ms(number / 1000)),
        "" | "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(ms).map(Span::from_ms)
}

fn parse_bytes(text: &str) -> Option<usize> {
    let (number, unit) = split_unit(text);
    let number: usize = number.parse().ok()?;
    let shift = match unit.as_str() {
        "" | "b" => 0,
        "k" | "kb" => 10,
        "m" | "mb" => 20,
        "g" | "gb" => 30,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_have_units_and_wrong_ones_are_refused() {
        let conf = Conf::new().set("a", "200ms").set("b", "3s").set("c", "64m").set("d", "much");
        assert_eq!(conf.span("a").unwrap(), Some(Span::from_ms(200)));
        assert_eq!(conf.span("b").unwrap(), Some(Span::from_ms(3000)));
        assert_eq!(conf.bytes("c").unwrap(), Some(64 << 20));
        assert!(conf.span("d").is_err() && conf.flag("d", true).is_err() && conf.number::<f64>("d").is_err());
        assert_eq!(conf.span("e").unwrap(), None);
    }
}
