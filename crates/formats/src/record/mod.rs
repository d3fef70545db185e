//! What the text formats share: settings, parse modes, dates and times by option, columns that are filled row by row.
//!
//! Not here: the grammar of a format ([`crate::json`], [`crate::csv`]), files.

mod column;
mod datetime;

pub(crate) use column::Column;
pub use column::as_nullable;
pub use datetime::{DateTimeReaders, DateTimeWriters};

use crate::options::Options;
use crate::zone::Zone;

/// What becomes of a record that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParseMode {
    /// Its fields are null, its text goes into the corrupt-record column if the schema has it.
    Permissive,
    /// It is left out.
    DropMalformed,
    /// It fails the query.
    FailFast,
}

impl ParseMode {
    /// The option `mode`, in any case; as in Spark an unknown mode counts as `PERMISSIVE`.
    pub fn parse(options: &Options) -> Self {
        match options.get("mode").map(str::to_uppercase).as_deref() {
            Some("DROPMALFORMED") => Self::DropMalformed,
            Some("FAILFAST") => Self::FailFast,
            _ => Self::Permissive,
        }
    }

    /// As Spark names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Permissive => "PERMISSIVE",
            Self::DropMalformed => "DROPMALFORMED",
            Self::FailFast => "FAILFAST",
        }
    }
}

/// The session's settings that stand behind the options of the text formats.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `spark.sql.session.timeZone`.
    pub time_zone: Zone,
    /// `spark.sql.columnNameOfCorruptRecord`.
    pub corrupt_column: String,
    /// `spark.sql.json.enablePartialResults`.
    pub json_partial_results: bool,
    /// `spark.sql.jsonGenerator.ignoreNullFields`.
    pub json_ignore_null_fields: bool,
    /// `spark.sql.timestampType` is `TIMESTAMP_NTZ`.
    pub timestamps_without_zone: bool,
}

impl Settings {
    /// Spark's defaults in a time zone.
    pub fn new(time_zone: Zone) -> Self {
        Self {
            time_zone,
            corrupt_column: "_corrupt_record".into(),
            json_partial_results: true,
            json_ignore_null_fields: true,
            timestamps_without_zone: false,
        }
    }

    pub(crate) fn corrupt_column(&self, options: &Options) -> String {
        options.get("columnNameOfCorruptRecord").unwrap_or(&self.corrupt_column).to_string()
    }
}

/// How well a value fitted its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It did.
    Whole,
    /// Something in it did not and is null now.
    Partial,
    /// Not at all.
    None,
}
