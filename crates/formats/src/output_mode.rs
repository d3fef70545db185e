//! Which rows of its result a streaming query gives out.

use std::fmt::{Display, Formatter};
use std::str::FromStr;

use crate::condition::{ExceptionClass, SparkError};

/// Which rows of the result table a batch gives to the sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutputMode {
    /// New rows that never change.
    Append,
    /// New and changed rows.
    Update,
    /// All rows, in place of those before.
    Complete,
}

impl OutputMode {
    /// As in Spark's messages, in the middle of a sentence: `append`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Update => "update",
            Self::Complete => "complete",
        }
    }
}

/// As Spark's type of output modes shows itself: `Append`.
impl Display for OutputMode {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Append => "Append",
            Self::Update => "Update",
            Self::Complete => "Complete",
        })
    }
}

/// Reads what a program says, in any case; nothing is `append`.
impl FromStr for OutputMode {
    type Err = SparkError;

    fn from_str(text: &str) -> Result<Self, SparkError> {
        match text.to_lowercase().as_str() {
            "" | "append" => Ok(Self::Append),
            "update" => Ok(Self::Update),
            "complete" => Ok(Self::Complete),
            _ => Err(SparkError::new(
                ExceptionClass::IllegalArgument,
                "STREAMING_OUTPUT_MODE.INVALID",
                "42KDE",
                format!(
                    "Invalid streaming output mode: {text}. Accepted output modes are 'Append', 'Complete', 'Update'."
                ),
            )
            .with("outputMode", text)),
        }
    }
}
