//! Dates, timestamps, times, intervals and event-time windows.

pub mod arithmetic;
mod columns;
mod convert;
mod fields;
pub mod interval;
mod make;
mod now;
mod shift;
mod truncate;
pub mod window;
mod zones;

use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::zone::Zone;

use crate::{Function, FunctionContext};

/// The functions of this module, by name in lower case.
pub(crate) fn lookup(name: &str) -> Option<Function> {
    Some(Function::Scalar(match name {
        "window_time" => window::window_time,
        "current_timestamp" | "now" => now::current_timestamp,
        "localtimestamp" => now::local_timestamp,
        "current_date" | "curdate" => now::current_date,
        "current_time" => now::current_time,
        "current_timezone" => now::current_timezone,
        "year" | "quarter" | "month" | "day" | "dayofmonth" | "dayofyear" | "dayofweek" | "weekday" | "weekofyear" => {
            fields::date_field
        }
        "hour" | "minute" | "second" => fields::time_field,
        "extract" | "date_part" | "datepart" => fields::extract,
        "dayname" | "monthname" => fields::short_name,
        "last_day" => fields::last_day,
        "next_day" => fields::next_day,
        "date_add" | "dateadd" | "date_sub" => shift::date_add,
        "datediff" | "date_diff" => shift::date_diff,
        "add_months" => shift::add_months,
        "months_between" => shift::months_between,
        "timestampadd" | "timestamp_add" => shift::timestamp_add,
        "timestampdiff" | "timestamp_diff" => shift::timestamp_diff,
        "time_bucket" => shift::time_bucket,
        "trunc" => truncate::trunc,
        "date_trunc" => truncate::date_trunc,
        "time_trunc" => truncate::time_trunc,
        "time_diff" => truncate::time_diff,
        "date_format" => convert::date_format,
        "from_unixtime" => convert::from_unixtime,
        "to_date" | "try_to_date" => convert::to_date,
        "to_timestamp" | "to_timestamp_ltz" | "try_to_timestamp" => convert::to_timestamp,
        "to_timestamp_ntz" => convert::to_timestamp_ntz,
        "unix_timestamp" | "to_unix_timestamp" => convert::unix_timestamp,
        "unix_seconds" | "unix_millis" | "unix_micros" => convert::unix_units,
        "unix_date" => convert::unix_date,
        "date_from_unix_date" => convert::date_from_unix_date,
        "timestamp_seconds" => convert::timestamp_seconds,
        "timestamp_millis" | "timestamp_micros" => convert::timestamp_units,
        "to_time" | "try_to_time" => convert::to_time,
        "from_utc_timestamp" | "to_utc_timestamp" => zones::utc_timestamp,
        "convert_timezone" => zones::convert_timezone,
        "make_date" => make::make_date,
        "make_timestamp"
        | "make_timestamp_ltz"
        | "make_timestamp_ntz"
        | "try_make_timestamp"
        | "try_make_timestamp_ltz"
        | "try_make_timestamp_ntz" => make::make_timestamp,
        "make_time" => make::make_time,
        "time_from_seconds" | "time_from_millis" | "time_from_micros" => make::time_from,
        "time_to_seconds" | "time_to_millis" | "time_to_micros" => make::time_to,
        "make_interval" | "try_make_interval" => make::make_interval,
        "make_dt_interval" => make::make_dt_interval,
        "make_ym_interval" => make::make_ym_interval,
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
