//! The session's settings that the file formats look at.

use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::filelog::FileLogOptions;
use millstream_formats::record::Settings;
use millstream_formats::zone::Zone;

use crate::source::Conf;

/// A setting that is true or false.
pub(crate) fn flag(conf: &Conf, key: &str, default: bool) -> bool {
    conf(key).map_or(default, |text| text.eq_ignore_ascii_case("true"))
}

/// `spark.sql.session.timeZone`.
///
/// # Errors
/// A zone that does not exist.
pub(crate) fn zone(conf: &Conf) -> Result<Zone, SparkError> {
    let Some(id) = conf("spark.sql.session.timeZone") else { return Ok(Zone::UTC) };
    id.parse().map_err(|_| SparkError::plain(ExceptionClass::DateTime, format!("Unknown time-zone ID: {id}")))
}

/// How the log of a file source or sink is written; `kind` is `fileSource` or `fileSink`.
pub(crate) fn file_log(conf: &Conf, kind: &str) -> FileLogOptions {
    let default = FileLogOptions::default();
    let number = |key: &str, default: i64| conf(key).and_then(|text| text.parse().ok()).unwrap_or(default);
    FileLogOptions {
        compact_interval: number(&format!("spark.sql.streaming.{kind}.log.compactInterval"), default.compact_interval),
        batches_retained: number("spark.sql.streaming.minBatchesToRetain", default.batches_retained),
        delete_expired: flag(conf, &format!("spark.sql.streaming.{kind}.log.deletion"), default.delete_expired),
        fsync: flag(conf, "spark.millstream.checkpoint.fsync", default.fsync),
        ..default
    }
}

/// What stands behind the options of the text formats.
///
/// # Errors
/// A zone that does not exist.
pub(crate) fn text_settings(conf: &Conf) -> Result<Settings, SparkError> {
    let mut settings = Settings::new(zone(conf)?);
    if let Some(name) = conf("spark.sql.columnNameOfCorruptRecord") {
        settings.corrupt_column = name;
    }
    settings.json_partial_results = flag(conf, "spark.sql.json.enablePartialResults", true);
    settings.json_ignore_null_fields = flag(conf, "spark.sql.jsonGenerator.ignoreNullFields", true);
    settings.timestamps_without_zone =
        conf("spark.sql.timestampType").is_some_and(|t| t.eq_ignore_ascii_case("TIMESTAMP_NTZ"));
    Ok(settings)
}

/// Which records a schema is inferred from: an even share of them, the first always.
#[derive(Debug)]
pub(crate) struct Sample {
    ratio: f64,
    due: f64,
}

impl Sample {
    /// A share between 0 and 1.
    pub fn new(ratio: f64) -> Self {
        Self { ratio, due: 1.0 - ratio }
    }

    /// Whether to take the next record.
    pub fn take(&mut self) -> bool {
        self.due += self.ratio;
        if self.due >= 1.0 - 1e-9 {
            self.due -= 1.0;
            return true;
        }
        false
    }
}
