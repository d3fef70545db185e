//! Options of file streams. Spark looks at them when the query starts, so a bad value fails the query.

use std::path::PathBuf;

use glob::Pattern;
use millstream_formats::condition::{ExceptionClass, SparkError};

use super::listing::Filters;
use super::url::user_path;
use crate::errors::illegal_argument;
use crate::options::{Options, duration_us};

/// The options that a file stream of any format knows.
pub(crate) const KNOWN: &[&str] = &[
    "path",
    "maxFilesPerTrigger",
    "maxBytesPerTrigger",
    "maxFileAge",
    "latestFirst",
    "fileNameOnly",
    "cleanSource",
    "sourceArchiveDir",
    "maxCachedFiles",
    "discardCachedInputRatio",
    "pathGlobFilter",
    "recursiveFileLookup",
    "basePath",
    "ignoreMissingFiles",
    "ignoreCorruptFiles",
];

/// What one batch takes at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Everything.
    None,
    /// So many files.
    Files(usize),
    /// So many bytes, but at least one file.
    Bytes(u64),
}

/// What becomes of files that are done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Clean {
    Off,
    Delete,
    Archive(PathBuf),
}

/// The options.
#[derive(Debug, Clone)]
pub(crate) struct StreamOptions {
    pub limit: Limit,
    /// Files older than the newest by more than this are not read, ms.
    pub age_max_ms: i64,
    pub latest_first: bool,
    pub file_name_only: bool,
    pub clean: Clean,
    /// Listed files kept for later batches.
    pub cached_files_max: usize,
    /// Below this share of the limit what is left of a listing is dropped.
    pub discard_ratio: f64,
    pub filters: Filters,
}

impl StreamOptions {
    /// Takes the options apart, in the order in which Spark checks them.
    ///
    /// # Errors
    /// A bad value.
    pub fn parse(options: &Options) -> Result<Self, SparkError> {
        for name in ["modifiedbefore", "modifiedafter"] {
            if options.contains(name) {
                return Err(illegal_argument(format!("option '{name}' is not allowed in file stream sources")));
            }
        }
        let files =
            positive(options, "maxFilesPerTrigger")?.map(|n| Limit::Files(usize::try_from(n).unwrap_or(usize::MAX)));
        let bytes = positive(options, "maxBytesPerTrigger")?.map(|n| Limit::Bytes(n.unsigned_abs()));
        if files.is_some() && bytes.is_some() {
            let message = "Options 'maxFilesPerTrigger' and 'maxBytesPerTrigger' can't be both set at the same time";
            return Err(illegal_argument(message));
        }
        let age_max_ms = duration_us(options.get("maxFileAge").unwrap_or("7d"), "ms")? / 1000;
        let latest_first = flag(options, "latestFirst")?;
        let file_name_only = flag(options, "fileNameOnly")?;
        let clean = clean(options)?;
        let cached_files_max = match options.get("maxCachedFiles") {
            None => 10_000,
            Some(text) => text.parse().map_err(|_| {
                illegal_argument(format!(
                    "Invalid value '{text}' for option 'maxCachedFiles', must be an integer greater than or equal to 0"
                ))
            })?,
        };
        let discard_ratio = match options.get("discardCachedInputRatio") {
            None => 0.2,
            Some(text) => text.parse().ok().filter(|r| (0.0..=1.0).contains(r)).ok_or_else(|| {
                illegal_argument(format!(
                    "Invalid value '{text}' for option 'discardCachedInputRatio', must be a positive floating point number between \
                     0.0 and 1.0"
                ))
            })?,
        };
        let limit = files.or(bytes).unwrap_or(Limit::None);
        // Newest files first with a limit: old ones must not be forgotten before their turn comes.
        let unlimited_age = latest_first && limit != Limit::None;
        Ok(Self {
            limit,
            age_max_ms: if unlimited_age { i64::MAX } else { age_max_ms },
            latest_first,
            file_name_only,
            clean,
            cached_files_max,
            discard_ratio,
            filters: filters(options)?,
        })
    }
}

/// The options that restrict listings, of streams and batches.
///
/// # Errors
/// A bad value.
pub(crate) fn filters(options: &Options) -> Result<Filters, SparkError> {
    let name = options.get("pathGlobFilter").map(Pattern::new).transpose().map_err(|e| {
        SparkError::plain(
            ExceptionClass::IllegalArgument,
            format!("Illegal file pattern: {} near index {}", e.msg, e.pos),
        )
    })?;
    let base = options.get("basePath").map(user_path);
    Ok(Filters {
        recursive: options.format_bool("recursiveFileLookup", false)?,
        name,
        after_ms: None,
        before_ms: None,
        base,
    })
}

fn positive(options: &Options, name: &str) -> Result<Option<i64>, SparkError> {
    let Some(text) = options.get(name) else { return Ok(None) };
    match text.parse::<i64>() {
        Ok(number) if number > 0 => Ok(Some(number)),
        _ => Err(illegal_argument(format!("Invalid value '{text}' for option '{name}', must be a positive integer"))),
    }
}

fn flag(options: &Options, name: &str) -> Result<bool, SparkError> {
    options.bool(name, false).map_err(|_| {
        let text = options.get(name).unwrap_or_default();
        illegal_argument(format!("Invalid value '{text}' for option '{name}', must be 'true' or 'false'"))
    })
}

fn clean(options: &Options) -> Result<Clean, SparkError> {
    let Some(text) = options.get("cleanSource") else { return Ok(Clean::Off) };
    match text.to_uppercase().as_str() {
        "OFF" => Ok(Clean::Off),
        "DELETE" => Ok(Clean::Delete),
        "ARCHIVE" => match options.get("sourceArchiveDir") {
            Some(dir) => Ok(Clean::Archive(user_path(dir))),
            None => Err(illegal_argument("Archive mode must be used with 'sourceArchiveDir' option.")),
        },
        _ => Err(illegal_argument(format!(
            "Invalid mode for clean source option Some({text}). Must be one of ARCHIVE,DELETE,OFF"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(pairs: &[(&str, &str)]) -> String {
        StreamOptions::parse(&pairs.iter().copied().collect()).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn bad_values_are_named_in_sparks_words() {
        for bad in ["0", "-1", "many"] {
            let expected = format!("Invalid value '{bad}' for option 'maxFilesPerTrigger', must be a positive integer");
            assert_eq!(error(&[("maxFilesPerTrigger", bad)]), expected);
        }
        assert_eq!(
            error(&[("latestFirst", "maybe")]),
            "Invalid value 'maybe' for option 'latestFirst', must be 'true' or 'false'"
        );
        assert_eq!(error(&[("modifiedAfter", "x")]), "option 'modifiedafter' is not allowed in file stream sources");
        assert_eq!(error(&[("cleanSource", "archive")]), "Archive mode must be used with 'sourceArchiveDir' option.");
        assert!(error(&[("cleanSource", "burn")]).starts_with("Invalid mode for clean source option Some(burn)."));
        assert!(error(&[("maxFilesPerTrigger", "1"), ("maxBytesPerTrigger", "1")]).contains("can't be both set"));
        assert!(error(&[("maxFileAge", "old")]).starts_with("Time must be specified as"));
        assert_eq!(error(&[("maxFileAge", "1h"), ("cleanSource", "delete")]), "");
    }
}
