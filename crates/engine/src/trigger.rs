//! When batches run.

use std::time::Duration;

use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_functions::datetime::interval;
use millstream_plan::ir::TriggerSpec;

/// When batches run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// At multiples of the interval since the epoch; zero: as soon as there is data.
    ProcessingTime(Duration),
    /// One batch of everything that is there, then the end.
    Once,
    /// What is there now in as many batches as the sources' limits ask for, then the end.
    AvailableNow,
}

impl Trigger {
    /// Reads a trigger as the user gave it.
    ///
    /// # Errors
    /// Spark's for texts that are no interval, hold months or are negative; `_LEGACY_ERROR_TEMP_3102` for continuous
    /// processing, which Spark itself allows for few sources only.
    pub fn parse(spec: &TriggerSpec) -> Result<Self, SparkError> {
        match spec {
            TriggerSpec::Default => Ok(Trigger::ProcessingTime(Duration::ZERO)),
            TriggerSpec::ProcessingTime(text) => Ok(Trigger::ProcessingTime(parse_interval(text)?)),
            TriggerSpec::Once => Ok(Trigger::Once),
            TriggerSpec::AvailableNow => Ok(Trigger::AvailableNow),
            TriggerSpec::Continuous(text) => {
                parse_interval(text)?;
                Err(SparkError::new(
                    ExceptionClass::Analysis,
                    "_LEGACY_ERROR_TEMP_3102",
                    "",
                    "Continuous processing does not support StreamingRelation operations.",
                ))
            }
            TriggerSpec::RealTime(text) => {
                parse_interval(text)?;
                Err(SparkError::unsupported("The trigger realTime"))
            }
        }
    }
}

fn parse_interval(text: &str) -> Result<Duration, SparkError> {
    let parsed = interval::parse(text).map_err(|reason| invalid_interval(text, &reason))?;
    if parsed.months != 0 {
        return Err(SparkError::new(
            ExceptionClass::IllegalArgument,
            "_LEGACY_ERROR_TEMP_3262",
            "",
            format!("Doesn't support month or year interval: {text}"),
        ));
    }
    let micros = i128::from(parsed.days) * i128::from(interval::MICROS_PER_DAY) + i128::from(parsed.micros);
    u64::try_from(micros.div_euclid(1000)).map(Duration::from_millis).map_err(|_| {
        SparkError::plain(
            ExceptionClass::IllegalArgument,
            "requirement failed: the interval of trigger should not be negative",
        )
    })
}

/// What the parser of intervals says, as Spark's conditions have it.
const REASONS: &[(&str, &str)] = &[
    ("interval string cannot be empty", "INPUT_IS_EMPTY"),
    ("invalid interval prefix", "INVALID_PREFIX"),
    ("unrecognized number", "UNRECOGNIZED_NUMBER"),
    ("expect a number", "MISSING_NUMBER"),
    ("expect a unit name", "MISSING_UNIT"),
    ("invalid unit", "INVALID_UNIT"),
    ("invalid value", "INVALID_VALUE"),
];

fn invalid_interval(text: &str, reason: &str) -> SparkError {
    let kind =
        REASONS.iter().find(|(sentence, _)| reason.starts_with(sentence)).map_or("ARITHMETIC_EXCEPTION", |r| r.1);
    SparkError::new(
        ExceptionClass::IllegalArgument,
        &format!("INVALID_INTERVAL_FORMAT.{kind}"),
        "22006",
        format!(
            "Error parsing '{text}' to interval. Please ensure that the value provided is in a valid format for defining an \
             interval. You can reference the documentation for the correct format. {reason}."
        ),
    )
    .with("input", text)
}
