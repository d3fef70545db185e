//! Options of readers, writers and functions: names without regard to case, values as text, bad values as Spark's errors.
//!
//! Not here: what the options mean.

use std::collections::BTreeMap;

use crate::condition::{ExceptionClass, SparkError};

/// Options by name; names differing in case only are the same option.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options(BTreeMap<String, String>);

impl<K: AsRef<str>, V: Into<String>> FromIterator<(K, V)> for Options {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(k, v)| (k.as_ref().to_lowercase(), v.into())).collect())
    }
}

impl Options {
    /// The value of an option, as given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(&name.to_lowercase()).map(String::as_str)
    }

    /// The value of an option under its first name or another one.
    pub fn get_any(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.get(name))
    }

    /// Whether the option was given.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Sets an option.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_lowercase(), value.into());
    }

    /// The options, names in lower case.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// `true` or `false` in any case.
    ///
    /// # Errors
    /// `IllegalArgumentException` for any other text.
    pub fn bool(&self, name: &str, default: bool) -> Result<bool, SparkError> {
        match self.get(name) {
            None => Ok(default),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(text) => {
                Err(SparkError::plain(ExceptionClass::IllegalArgument, format!("{text} is not a boolean string.")))
            }
        }
    }

    /// `true` or `false`, for options of the file formats, which word the error otherwise.
    ///
    /// # Errors
    /// `IllegalArgumentException` for any other text.
    pub fn format_bool(&self, name: &str, default: bool) -> Result<bool, SparkError> {
        self.bool(name, default).map_err(|_| {
            let text = self.get(name).unwrap_or_default();
            SparkError::plain(ExceptionClass::IllegalArgument, format!("For input string: \"{text}\""))
        })
    }

    /// A 32-bit integer.
    ///
    /// # Errors
    /// `NumberFormatException` for text that is none.
    pub fn int(&self, name: &str, default: i32) -> Result<i32, SparkError> {
        self.number(name, default)
    }

    /// A 64-bit integer.
    ///
    /// # Errors
    /// `NumberFormatException` for text that is none.
    pub fn long(&self, name: &str, default: i64) -> Result<i64, SparkError> {
        self.number(name, default)
    }

    /// A number with a fraction.
    ///
    /// # Errors
    /// `NumberFormatException` for text that is none.
    pub fn double(&self, name: &str, default: f64) -> Result<f64, SparkError> {
        self.number(name, default)
    }

    fn number<T: std::str::FromStr>(&self, name: &str, default: T) -> Result<T, SparkError> {
        match self.get(name) {
            None => Ok(default),
            Some(text) => text
                .parse()
                .map_err(|_| SparkError::plain(ExceptionClass::NumberFormat, format!("For input string: \"{text}\""))),
        }
    }
}

/// Refuses an option that Spark knows and that is not served yet: ignoring it would give other results.
///
/// # Errors
/// If the option was given.
pub fn refuse_unserved(options: &Options, name: &str) -> Result<(), SparkError> {
    match options.contains(name) {
        true => Err(SparkError::unsupported(format!("The option {name}"))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_without_regard_to_case_and_bad_values_are_named() {
        let options: Options = [("includeTimestamp", "TRUE"), ("numPartitions", "x")].into_iter().collect();
        assert!(options.bool("INCLUDETIMESTAMP", false).unwrap());
        assert_eq!(options.int("numPartitions", 1).unwrap_err().to_string(), "For input string: \"x\"");
        assert_eq!(options.int("rows", 20).unwrap(), 20);
    }
}
