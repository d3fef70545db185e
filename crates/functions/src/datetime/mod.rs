//! Dates, timestamps, times, intervals and event-time windows.

pub mod arithmetic;
pub mod interval;
pub mod window;

use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::zone::Zone;

use crate::{Function, FunctionContext};

/// The functions of this module, by name in lower case.
pub(crate) fn lookup(name: &str) -> Option<Function> {
    Some(Function::Scalar(match name {
        "window_time" => window::window_time,
        _ => return None,
    }))
}

/// The session time zone, or `INVALID_CONF_VALUE.TIME_ZONE`.
pub fn session_zone(context: &FunctionContext) -> Result<Zone, SparkError> {
    context.time_zone.parse().map_err(|_| {
        SparkError::new(
            ExceptionClass::IllegalArgument,
            "INVALID_CONF_VALUE.TIME_ZONE",
            "22022",
            format!(
                "The value '{}' in the config \"spark.sql.session.timeZone\" is invalid. Cannot resolve the given timezone.",
                context.time_zone
            ),
        )
        .with("confName", "spark.sql.session.timeZone")
        .with("confValue", context.time_zone.as_ref())
    })
}
