//! What the functions of this module share: columns of times, local time row by row, constants and units.

use std::cell::Cell;
use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::zone::Zone;

use super::session_zone;
use crate::coerce::Expected;
use crate::kernel;
use crate::rows::numbers;
use crate::{FunctionContext, Typed};

/// `time`.
pub(super) const TIME: DataType = DataType::Time64(TimeUnit::Nanosecond);
/// Nanoseconds in a microsecond.
pub(super) const NANOS_PER_MICRO: i64 = 1000;

/// A parameter that takes `time`.
pub(super) fn expected_time() -> Expected {
    Expected::Exactly(TIME)
}

/// A constant text.
pub(super) fn text(value: &str) -> Typed {
    Typed::literal(ScalarValue::Utf8(Some(value.to_string())))
}

/// The array as timestamps, of either kind.
pub(super) fn timestamps(array: &ArrayRef) -> Result<&TimestampMicrosecondArray, SparkError> {
    kernel::primitive::<TimestampMicrosecondType>(array)
}

/// Timestamps of the given type, row by row.
pub(super) fn build_timestamps(
    rows: usize,
    nulls: Option<arrow::buffer::NullBuffer>,
    data_type: &DataType,
    value: impl FnMut(usize) -> Result<Option<i64>, SparkError>,
) -> Result<ArrayRef, SparkError> {
    let array = numbers::<TimestampMicrosecondType>(rows, nulls, value)?;
    Ok(Arc::new(array.with_data_type(data_type.clone())))
}

/// The zone in which timestamps of this type have their local time: the session's, or UTC for `timestamp_ntz`.
pub(super) fn zone_for(data_type: &DataType, context: &FunctionContext) -> Result<Zone, SparkError> {
    match data_type {
        DataType::Timestamp(_, None) => Ok(Zone::UTC),
        _ => session_zone(context),
    }
}

/// Local times of one column; remembers the last offset, since neighbouring rows mostly share it.
pub(super) struct LocalClock {
    zone: Zone,
    /// The last quarter of an hour seen and its offset in µs.
    last: Cell<(i64, i64)>,
}

/// Offsets change at full quarters of an hour since 1972; earlier ones are always looked up.
const QUARTER_US: i64 = 900_000_000;
const ORDERLY_SINCE_US: i64 = 63_072_000_000_000;

impl LocalClock {
    pub(super) fn new(zone: Zone) -> Self {
        Self { zone, last: Cell::new((i64::MIN, 0)) }
    }

    /// The local time of an instant.
    pub(super) fn local(&self, utc_us: i64) -> i64 {
        let quarter = utc_us.div_euclid(QUARTER_US);
        let (seen, mut offset_us) = self.last.get();
        if utc_us < ORDERLY_SINCE_US || quarter != seen {
            offset_us = i64::from(self.zone.offset_at(utc_us)) * 1_000_000;
            self.last.set((quarter, offset_us));
        }
        utc_us.saturating_add(offset_us)
    }
}

/// Zones named in a column; parses a name again only if it differs from that of the row before.
#[derive(Default)]
pub(super) struct ZoneColumn {
    last: Option<(String, Zone)>,
}

impl ZoneColumn {
    /// The zone, or `INVALID_TIMEZONE`.
    pub(super) fn get(&mut self, id: &str) -> Result<Zone, SparkError> {
        if let Some((seen, zone)) = &self.last
            && seen == id
        {
            return Ok(*zone);
        }
        let zone = id.parse().map_err(|_| invalid_zone(id))?;
        self.last = Some((id.to_string(), zone));
        Ok(zone)
    }
}

fn invalid_zone(id: &str) -> SparkError {
    SparkError::new(
        ExceptionClass::DateTime,
        "INVALID_TIMEZONE",
        "22009",
        format!(
            "The timezone: {id} is invalid. The timezone must be either a region-based zone ID or a zone offset. Region IDs \
             must have the form 'area/city', such as 'America/Los_Angeles'. Zone offsets must be in the format '(+|-)HH', \
             '(+|-)HH:mm’ or '(+|-)HH:mm:ss', e.g '-08' , '+01:00' or '-13:33:33', and must be in the range from -18:00 to \
             +18:00. 'Z' and 'UTC' are accepted as synonyms for '+00:00'."
        ),
    )
    .with("timeZone", id)
}

/// A value that a date, time or interval field cannot have.
pub(super) fn out_of_bounds(range_message: &str, ansi_hint: bool) -> SparkError {
    let (subclass, hint) = match ansi_hint {
        true => ("WITH_SUGGESTION", " If necessary set \"spark.sql.ansi.enabled\" to \"false\" to bypass this error."),
        false => ("WITHOUT_SUGGESTION", ""),
    };
    SparkError::new(
        ExceptionClass::DateTime,
        &format!("DATETIME_FIELD_OUT_OF_BOUNDS.{subclass}"),
        "22023",
        format!("{range_message}.{hint}"),
    )
    .with("rangeMessage", range_message)
}
