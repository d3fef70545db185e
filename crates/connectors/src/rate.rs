//! The `rate` source: `rowsPerSecond` numbers a second, with the time at which each would have arrived.
//!
//! # Offsets
//! Whole seconds since the start of the query, a bare number. The start is kept in `<sources/i>/0`, so a restart goes on with the
//! same numbers and times.
//!
//! | option | default |
//! |---|---|
//! | `rowsPerSecond` | 1 |
//! | `rampUpTime` | `0s` |
//! | `numPartitions` | cores |

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::{Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::files::Writer;
use millstream_formats::types;

use crate::errors::{bad_offset, illegal_argument, must_be_positive, user_schema_refused};
use crate::options::{Options, duration_us, warn_unknown};
use crate::source::{Conf, Offset, OpenContext, Origin, Rows, Source, SourceSpec};

/// Rows of one record batch.
const BATCH_ROWS: i64 = 8192;

#[derive(Debug, Clone, Copy)]
struct RateOptions {
    rows_per_second: i64,
    ramp_up_seconds: i64,
    partitions: i32,
    /// Whether `numPartitions` was given; the description says `default` if not.
    partitions_given: bool,
}

/// Checks the options of a `rate` stream.
pub(crate) fn load(spec: SourceSpec) -> Result<Arc<dyn Origin>, SparkError> {
    if spec.schema.is_some() {
        return Err(user_schema_refused("RateStreamProvider"));
    }
    let rows_per_second = spec.options.long("rowsPerSecond", 1)?;
    if rows_per_second <= 0 {
        return Err(must_be_positive("rowsPerSecond", rows_per_second));
    }
    let ramp_up_seconds =
        spec.options.get("rampUpTime").map(|t| duration_us(t, "s")).transpose()?.unwrap_or(0) / 1_000_000;
    if ramp_up_seconds < 0 {
        let message = format!("Invalid value '{ramp_up_seconds}'. The option 'rampUpTime' must not be negative");
        return Err(illegal_argument(message));
    }
    let partitions = spec.options.int("numPartitions", i32::try_from(spec.parallelism).unwrap_or(1))?;
    if partitions <= 0 {
        return Err(must_be_positive("numPartitions", partitions));
    }
    let partitions_given = spec.options.contains("numPartitions");
    let rate = RateOptions { rows_per_second, ramp_up_seconds, partitions, partitions_given };
    Ok(Arc::new(RateOrigin(rate, spec.options)))
}

struct RateOrigin(RateOptions, Options);

impl Origin for RateOrigin {
    fn name(&self) -> String {
        "rate".into()
    }

    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn check(&self, _conf: &Conf) -> Result<(), SparkError> {
        let seconds_max = i64::MAX / self.0.rows_per_second;
        if self.0.ramp_up_seconds > seconds_max {
            return Err(rate_overflow(self.0.rows_per_second, seconds_max, self.0.ramp_up_seconds));
        }
        Ok(())
    }

    fn open(&self, context: OpenContext) -> Result<Box<dyn Source>, SparkError> {
        warn_unknown(&self.1, "rate source", &["rowsPerSecond", "rampUpTime", "numPartitions", "path"]);
        self.check(&context.conf)?;
        let fsync = (context.conf)("spark.millstream.checkpoint.fsync").is_some_and(|t| t == "true");
        let start_ms = start_of_query(&context.metadata_dir, Writer { role: "source_log", fsync })?;
        Ok(Box::new(RateSource {
            options: self.0,
            start_ms,
            latest_ms: AtomicI64::new(start_ms),
            end: AtomicI64::new(-1),
        }))
    }
}

fn rate_overflow(rows: i64, seconds_max: i64, ramp: i64) -> SparkError {
    SparkError::new(
        ExceptionClass::Spark,
        "INCORRECT_RAMP_UP_RATE",
        "22003",
        format!("Max offset with {rows} rowsPerSecond is {seconds_max}, but 'rampUpTimeSeconds' is {ramp}."),
    )
}

/// `timestamp`, `value`: the columns of both rate sources.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("timestamp", types::timestamp(), true),
        Field::new("value", DataType::Int64, true),
    ]))
}

/// The time of the first start, from the source's log or now.
fn start_of_query(dir: &std::path::Path, writer: Writer) -> Result<i64, SparkError> {
    let file = dir.join("0");
    match std::fs::read_to_string(&file) {
        Ok(text) => {
            let time = text.strip_prefix("v1\n").and_then(|t| t.trim().parse().ok());
            time.ok_or_else(|| {
                SparkError::plain(
                    ExceptionClass::Runtime,
                    format!("Log file {} was malformed: expected `v1` and a time in milliseconds.", file.display()),
                )
            })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let now = now_ms();
            writer.replace(&file, format!("v1\n{now}").as_bytes())?;
            Ok(now)
        }
        Err(error) => {
            Err(SparkError::plain(ExceptionClass::Runtime, format!("Cannot read {}: {error}", file.display())))
        }
    }
}

fn now_ms() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

struct RateSource {
    options: RateOptions,
    start_ms: i64,
    /// Never goes back, even if the clock does or a restart finds later offsets in the log.
    latest_ms: AtomicI64,
    /// The fixed end in seconds, −1 if there is none.
    end: AtomicI64,
}

impl RateSource {
    fn now_seconds(&self) -> i64 {
        let now = now_ms();
        let latest = self.latest_ms.fetch_max(now, Ordering::AcqRel).max(now);
        latest.saturating_sub(self.start_ms) / 1000
    }

    fn seconds(&self, offset: Option<&Offset>) -> Result<i64, SparkError> {
        offset.map_or(Ok(0), |o| o.trim().parse().map_err(|_| bad_offset("rate", o)))
    }
}

/// The first number that second `seconds` brings, with a linear ramp before `ramp` seconds.
fn value_at_second(seconds: i64, rows_per_second: i64, ramp: i64) -> i64 {
    let delta = rows_per_second / (ramp.saturating_add(1));
    if seconds <= ramp {
        if seconds % 2 == 1 {
            (seconds.saturating_add(1) / 2).saturating_mul(delta).saturating_mul(seconds)
        } else {
            (seconds / 2).saturating_mul(delta).saturating_mul(seconds.saturating_add(1))
        }
    } else {
        let ramped = value_at_second(ramp, rows_per_second, ramp);
        ramped.saturating_add((seconds - ramp).saturating_mul(rows_per_second))
    }
}

impl Source for RateSource {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn description(&self) -> String {
        let partitions =
            if self.options.partitions_given { self.options.partitions.to_string() } else { "default".into() };
        // Spark leaves the bracket open.
        format!(
            "RateStreamV2[rowsPerSecond={}, rampUpTimeSeconds={}, numPartitions={partitions}",
            self.options.rows_per_second, self.options.ramp_up_seconds
        )
    }

    fn latest_offset(&self, _start: Option<&Offset>, _unlimited: bool) -> Result<Option<Offset>, SparkError> {
        let end = self.end.load(Ordering::Acquire);
        Ok(Some(if end >= 0 { end } else { self.now_seconds() }.to_string()))
    }

    fn read(&self, start: Option<&Offset>, end: &Offset, _partitions: usize) -> Result<Vec<Rows>, SparkError> {
        let RateOptions { rows_per_second, ramp_up_seconds, partitions, .. } = self.options;
        let (start, end) = (self.seconds(start)?, self.seconds(Some(end))?);
        if start > end {
            return Err(SparkError::internal(format!("startSeconds({start}) > endSeconds({end})")));
        }
        let seconds_max = i64::MAX / rows_per_second;
        if end > seconds_max {
            return Err(SparkError::new(
                ExceptionClass::Spark,
                "INTERNAL_ERROR",
                "XX000",
                format!("Max offset with {rows_per_second} rowsPerSecond is {seconds_max}, but it's {end} now."),
            ));
        }
        self.latest_ms.fetch_max(self.start_ms.saturating_add(end.saturating_mul(1000)), Ordering::AcqRel);
        let first = value_at_second(start, rows_per_second, ramp_up_seconds);
        let last = value_at_second(end, rows_per_second, ramp_up_seconds);
        if first == last {
            return Ok(Vec::new());
        }
        let start_ms = self.start_ms + start * 1000;
        let ms_per_value = ((end - start) * 1000) as f64 / (last - first) as f64;
        let partition = |p: i32| {
            let time_us = move |v: i64| (((v - first) as f64 * ms_per_value + 0.5).floor() as i64 + start_ms) * 1000;
            number_rows(first + i64::from(p), last, i64::from(partitions), time_us)
        };
        Ok((0..partitions).map(partition).collect())
    }

    fn fix_end(&self) -> Result<(), SparkError> {
        self.end.store(self.now_seconds(), Ordering::Release);
        Ok(())
    }

    fn stop(&self) {}
}

/// Every `step`-th number from `first` below `end`, with its time.
pub(crate) fn number_rows(first: i64, end: i64, step: i64, time_us: impl Fn(i64) -> i64 + Send + 'static) -> Rows {
    let mut next = first;
    Box::new(std::iter::from_fn(move || {
        if next >= end {
            return None;
        }
        let count = ((end - next - 1) / step + 1).min(BATCH_ROWS);
        let values: Vec<i64> = (0..count).map(|i| next + i * step).collect();
        next = next.saturating_add(count.saturating_mul(step));
        let times =
            TimestampMicrosecondArray::from_iter_values(values.iter().map(|v| time_us(*v))).with_timezone("UTC");
        let batch = RecordBatch::try_new(schema(), vec![Arc::new(times), Arc::new(Int64Array::from(values))]);
        Some(batch.map_err(SparkError::from))
    }))
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::{Int64Type, TimestampMicrosecondType};

    use super::*;

    fn spec(options: &[(&str, &str)]) -> SourceSpec {
        SourceSpec {
            format: "rate".into(),
            schema: None,
            options: options.iter().copied().collect(),
            paths: Vec::new(),
            conf: Arc::new(|_| None),
            parallelism: 2,
        }
    }

    fn open(options: &[(&str, &str)], dir: &std::path::Path) -> Box<dyn Source> {
        let context = OpenContext { metadata_dir: dir.into(), columns: None, conf: Arc::new(|_| None) };
        load(spec(options)).unwrap().open(context).unwrap()
    }

    fn rows(source: &dyn Source, start: &str, end: &str) -> Vec<(i64, i64)> {
        let parts = source.read(Some(&start.to_string()), &end.to_string(), 2).unwrap();
        let mut rows: Vec<(i64, i64)> = parts
            .into_iter()
            .flatten()
            .flat_map(|batch| {
                let batch = batch.unwrap();
                let times = batch.column(0).as_primitive::<TimestampMicrosecondType>().values().to_vec();
                let values = batch.column(1).as_primitive::<Int64Type>().values().to_vec();
                values.into_iter().zip(times).collect::<Vec<_>>()
            })
            .collect();
        rows.sort_unstable();
        rows
    }

    #[test]
    fn the_numbers_of_a_range_of_seconds_are_spread_evenly_and_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let first = rows(open(&[("rowsPerSecond", "4")], dir.path()).as_ref(), "1", "3");
        assert_eq!(first.iter().map(|r| r.0).collect::<Vec<_>>(), (4..12).collect::<Vec<_>>());
        assert!(first.windows(2).all(|w| w[1].1 - w[0].1 == 250_000));
        assert_eq!(rows(open(&[("rowsPerSecond", "4")], dir.path()).as_ref(), "1", "3"), first);
    }

    #[test]
    fn a_ramp_reaches_the_full_rate() {
        let values: Vec<i64> = (0..6).map(|s| value_at_second(s, 10, 4)).collect();
        assert_eq!(values, [0, 2, 6, 12, 20, 30]);
    }

    #[test]
    fn options_out_of_range_are_refused_in_sparks_words() {
        let error = |o: &[(&str, &str)]| load(spec(o)).err().unwrap().to_string();
        assert_eq!(error(&[("rowsPerSecond", "0")]), "Invalid value '0'. The option 'rowsPerSecond' must be positive");
        assert_eq!(error(&[("rampUpTime", "-1s")]), "Invalid value '-1'. The option 'rampUpTime' must not be negative");
        assert_eq!(error(&[("numPartitions", "0")]), "Invalid value '0'. The option 'numPartitions' must be positive");
    }

    #[test]
    fn a_damaged_start_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("0"), "v9\nx").unwrap();
        let context = OpenContext { metadata_dir: dir.path().into(), columns: None, conf: Arc::new(|_| None) };
        assert!(load(spec(&[])).unwrap().open(context).is_err());
    }
}
