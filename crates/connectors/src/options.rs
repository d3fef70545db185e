//! Options of readers and writers, and the warnings for those that nobody knows.
//!
//! Each connector takes its options apart once, when it is loaded. Not here: what the options mean.

use millstream_formats::condition::{ExceptionClass, SparkError};
pub use millstream_formats::options::Options;
pub(crate) use millstream_formats::options::refuse_unserved;

/// Logs one warning for each option that `connector` does not know, with the nearest one it knows.
pub(crate) fn warn_unknown(options: &Options, connector: &str, known: &[&str]) {
    for (name, _) in options.iter() {
        if known.iter().any(|k| k.eq_ignore_ascii_case(name)) {
            continue;
        }
        match nearest(name, known) {
            Some(near) => {
                tracing::warn!("{connector}: the option `{name}` is not known and ignored; is `{near}` meant?")
            }
            None => tracing::warn!("{connector}: the option `{name}` is not known and ignored"),
        }
    }
}

/// A length of time as Spark's configuration writes it (`30s`, `100ms`, `7d`), in µs; `unit` applies where none is given.
///
/// # Errors
/// `NumberFormatException` for other text.
pub(crate) fn duration_us(text: &str, unit: &str) -> Result<i64, SparkError> {
    let lower = text.trim().to_lowercase();
    let is_number = |(i, c): &(usize, char)| c.is_ascii_digit() || (*i == 0 && *c == '-');
    let digits_end = lower.char_indices().find(|at| !is_number(at)).map_or(lower.len(), |(i, _)| i);
    let (digits, suffix) = lower.split_at(digits_end);
    let unit_us = match if suffix.is_empty() { unit } else { suffix } {
        "us" => Some(1),
        "ms" => Some(1_000),
        "s" => Some(1_000_000),
        "m" | "min" => Some(60_000_000),
        "h" => Some(3_600_000_000),
        "d" => Some(86_400_000_000),
        _ => None,
    };
    let parsed = digits.parse::<i64>().ok().zip(unit_us).and_then(|(n, us)| n.checked_mul(us));
    parsed.ok_or_else(|| {
        SparkError::plain(
            ExceptionClass::NumberFormat,
            format!(
                "Time must be specified as seconds (s), milliseconds (ms), microseconds (us), minutes (m or min), hour (h), or \
                 day (d). E.g. 50s, 100ms, or 250us.\nFailed to parse time string: {text}"
            ),
        )
    })
}

/// The known name at most two edits away.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let distances = known.iter().map(|k| (edit_distance(name, &k.to_lowercase()), *k));
    distances.filter(|(d, _)| *d <= 2).min().map(|(_, k)| k)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let above = *cell;
            left = (left + 1).min(above + 1).min(diagonal + usize::from(x != *y));
            diagonal = above;
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_with_their_units() {
        assert_eq!(duration_us("7d", "ms").unwrap(), 7 * 86_400_000_000);
        assert_eq!(duration_us("5", "s").unwrap(), 5_000_000);
        assert_eq!(duration_us("-1s", "s").unwrap(), -1_000_000);
        for bad in ["old", "", "1 s", "1y", "99999999999999999d"] {
            assert!(duration_us(bad, "s").is_err(), "{bad}");
        }
    }

    #[test]
    fn a_misspelt_option_is_recognised() {
        assert_eq!(nearest("maxfilepertrigger", &["maxFilesPerTrigger", "latestFirst"]), Some("maxFilesPerTrigger"));
        assert_eq!(nearest("something", &["maxFilesPerTrigger", "latestFirst"]), None);
    }
}
