//! Values as text, as Spark's casts, `show()`, CSV and JSON write and read them: numbers in Java's format, dates and timestamps in a
//! time zone, intervals, arrays `[1, 2]`, maps `{a -> 1}`, structs `{1, a}`.
//!
//! Single values are written into a `String` that the caller reuses (`write_…`) and read from `&str` (`parse_…`, absent if the
//! text is no such value); whole columns go through [`to_text`]. Not here: date patterns and formats with options, which belong
//! to the functions and connectors that have them.

mod datetime;
mod day_time;
mod interval;
mod number;
mod render;

pub use datetime::{
    ParsedTimestamp, parse_date, parse_time, parse_timestamp, parse_timestamp_ntz, parse_timestamp_parts, write_date,
    write_fraction, write_local_timestamp, write_time, write_timestamp, write_two,
};
pub use day_time::{MICROS_PER_DAY, MICROS_PER_SECOND, join_days, split_days};
pub use interval::{
    CalendarInterval, parse_calendar, parse_day_time, parse_year_month, write_calendar, write_day_time,
    write_year_month,
};
pub use number::{
    ParsedDecimal, parse_boolean, parse_decimal, parse_f32, parse_f64, parse_integer, trim_all, write_decimal,
    write_decimal_plain, write_f32, write_f64,
};
pub use render::{Renderer, TextOptions, cast_to_string, show_strings, to_text};
