//! Timestamps between time zones: `from_utc_timestamp`, `to_utc_timestamp`, `convert_timezone`.

use millstream_formats::condition::SparkError;

use super::columns::{ZoneColumn, build_timestamps, text, timestamps};
use crate::arguments::expect_count;
use crate::bind::Call;
use crate::coerce::Expected;
use crate::kernel;
use crate::rows::nulls_of;
use crate::{FunctionContext, Typed, types};

/// Builds `from_utc_timestamp`, `to_utc_timestamp`: `(time, zone)`.
pub(super) fn utc_timestamp(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let call = Call::new(name, arguments, context, &[Expected::timestamp(), Expected::STRING], 2)?.fallible();
    let from_utc = name == "from_utc_timestamp";
    Ok(call.kernel(types::timestamp()).bound_to(from_utc).arrays(&call.arguments, move |a, rows| {
        let (times, ids) = (timestamps(&a[0])?, kernel::string(&a[1])?);
        let mut zones = ZoneColumn::default();
        build_timestamps(rows, nulls_of(a), &types::timestamp(), |row| {
            let (us, zone) = (times.value(row), zones.get(ids.value(row))?);
            Ok(Some(if from_utc { zone.to_local(us) } else { zone.to_utc(us) }))
        })
    }))
}

/// Builds `convert_timezone([source,] target, local)`; the source is the session's zone by default.
pub(super) fn convert_timezone(
    name: &str,
    arguments: &[Typed],
    context: &FunctionContext,
) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[2, 3])?;
    let mut arguments = arguments.to_vec();
    if arguments.len() == 2 {
        arguments.insert(0, text(&context.time_zone));
    }
    let parameters = [Expected::STRING, Expected::STRING, Expected::Exactly(types::timestamp_ntz())];
    let call = Call::new(name, &arguments, context, &parameters, 3)?.fallible();
    call.with(types::timestamp_ntz(), |a, rows| {
        let (sources, targets) = (kernel::string(&a[0])?, kernel::string(&a[1])?);
        let times = timestamps(&a[2])?;
        let (mut from, mut to) = (ZoneColumn::default(), ZoneColumn::default());
        build_timestamps(rows, nulls_of(a), &types::timestamp_ntz(), |row| {
            let instant = from.get(sources.value(row))?.to_utc(times.value(row));
            Ok(Some(to.get(targets.value(row))?.to_local(instant)))
        })
    })
}
