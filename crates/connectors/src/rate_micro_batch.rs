//! The `rate-micro-batch` source: the same number of rows in every batch, times that advance by a fixed step.
//!
//! # Offsets
//! `{"offset":6,"timestamp":2000}`: the first number and the time of the next batch. Nothing is kept beside the offset log.
//!
//! | option | default |
//! |---|---|
//! | `rowsPerBatch` | required |
//! | `numPartitions` | cores |
//! | `startTimestamp` | 0 (ms) |
//! | `advanceMillisPerBatch` | 1000 |

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use millstream_formats::condition::{ExceptionClass, SparkError};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::errors::{bad_offset, illegal_argument, must_be_positive, user_schema_refused};
use crate::options::{Options, warn_unknown};
use crate::rate;
use crate::source::{Offset, OpenContext, Origin, Rows, Source, SourceSpec};

#[derive(Debug, Clone, Copy)]
struct RateOptions {
    rows_per_batch: i64,
    partitions: i32,
    start_ms: i64,
    advance_ms: i32,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Position {
    offset: i64,
    timestamp: i64,
}

/// Checks the options of a `rate-micro-batch` stream.
pub(crate) fn load(spec: SourceSpec) -> Result<Arc<dyn Origin>, SparkError> {
    if spec.schema.is_some() {
        return Err(user_schema_refused("RatePerMicroBatchProvider"));
    }
    let rows_per_batch = spec.options.long("rowsPerBatch", 0)?;
    if rows_per_batch <= 0 {
        return Err(must_be_positive("rowsPerBatch", rows_per_batch));
    }
    let partitions = spec.options.int("numPartitions", i32::try_from(spec.parallelism).unwrap_or(1))?;
    if partitions <= 0 {
        return Err(must_be_positive("numPartitions", partitions));
    }
    let start_ms = spec.options.long("startTimestamp", 0)?;
    let advance_ms = spec.options.int("advanceMillisPerBatch", 1000)?;
    for (name, value) in [("startTimestamp", start_ms), ("advanceMillisPerBatch", i64::from(advance_ms))] {
        if value < 0 {
            return Err(illegal_argument(format!("Invalid value '{value}'. The option '{name}' must be non-negative")));
        }
    }
    Ok(Arc::new(RateOrigin(RateOptions { rows_per_batch, partitions, start_ms, advance_ms }, spec.options)))
}

struct RateOrigin(RateOptions, Options);

impl Origin for RateOrigin {
    fn name(&self) -> String {
        "rate-micro-batch".into()
    }

    fn schema(&self) -> SchemaRef {
        rate::schema()
    }

    fn open(&self, _context: OpenContext) -> Result<Box<dyn Source>, SparkError> {
        let known = ["rowsPerBatch", "numPartitions", "startTimestamp", "advanceMillisPerBatch", "path"];
        warn_unknown(&self.1, "rate-micro-batch source", &known);
        Ok(Box::new(RateSource { options: self.0, end: Mutex::new(End::Open) }))
    }
}

struct RateSource {
    options: RateOptions,
    end: Mutex<End>,
}

/// Where the source ends.
enum End {
    /// Nowhere.
    Open,
    /// After the next batch, wherever that begins.
    AfterNext,
    /// Here.
    At(Offset),
}

impl RateSource {
    fn position(&self, offset: Option<&Offset>) -> Result<Position, SparkError> {
        match offset {
            None => Ok(Position { offset: 0, timestamp: self.options.start_ms }),
            Some(text) => serde_json::from_str(text).map_err(|_| bad_offset("rate-micro-batch", text)),
        }
    }

    fn after(&self, start: Position) -> Offset {
        let offset = start.offset.saturating_add(self.options.rows_per_batch);
        let timestamp = start.timestamp.saturating_add(i64::from(self.options.advance_ms));
        format!("{{\"offset\":{offset},\"timestamp\":{timestamp}}}")
    }
}

impl Source for RateSource {
    fn schema(&self) -> SchemaRef {
        rate::schema()
    }

    fn description(&self) -> String {
        let RateOptions { rows_per_batch, partitions, start_ms, advance_ms } = self.options;
        format!(
            "RatePerMicroBatchStream[rowsPerBatch={rows_per_batch}, numPartitions={partitions}, startTimestamp={start_ms}, \
             advanceMsPerBatch={advance_ms}]"
        )
    }

    fn latest_offset(&self, start: Option<&Offset>, _unlimited: bool) -> Result<Option<Offset>, SparkError> {
        let next = self.after(self.position(start)?);
        let mut end = self.end.lock();
        match &*end {
            End::Open => Ok(Some(next)),
            End::At(offset) => Ok(Some(offset.clone())),
            End::AfterNext => {
                *end = End::At(next.clone());
                Ok(Some(next))
            }
        }
    }

    fn read(&self, start: Option<&Offset>, end: &Offset, _partitions: usize) -> Result<Vec<Rows>, SparkError> {
        let (start, end) = (self.position(start)?, self.position(Some(end))?);
        if start.offset > end.offset || start.timestamp > end.timestamp {
            return Err(malformed_state(start, end));
        }
        if start.offset == end.offset {
            return Ok(Vec::new());
        }
        let partitions = i64::from(self.options.partitions);
        let time_us = start.timestamp.saturating_mul(1000);
        Ok((0..partitions)
            .map(|p| rate::number_rows(start.offset + p, end.offset, partitions, move |_| time_us))
            .collect())
    }

    fn fix_end(&self) -> Result<(), SparkError> {
        *self.end.lock() = End::AfterNext;
        Ok(())
    }

    fn stop(&self) {}
}

fn malformed_state(start: Position, end: Position) -> SparkError {
    let (condition, message) = if start.offset > end.offset {
        (
            "INVALID_OFFSET",
            format!(
                "The offset value is invalid: startOffset should less than or equal to the endOffset, but startOffset({}) > \
                 endOffset({}).",
                start.offset, end.offset
            ),
        )
    } else {
        (
            "INVALID_TIMESTAMP",
            format!(
                "The timestamp value is invalid: startTimestamp should less than or equal to the endTimestamp, but \
                 startTimestamp({}) > endTimestamp({}).\nThis could happen when the streaming query is restarted with a newer \
                 `startingTimestamp` and reprocess the first batch (i.e. batch 0). Please consider using a new checkpoint \
                 location.",
                start.timestamp, end.timestamp
            ),
        )
    };
    SparkError::new(
        ExceptionClass::Runtime,
        &format!("MALFORMED_STATE_IN_RATE_PER_MICRO_BATCH_SOURCE.{condition}"),
        "22000",
        format!("Malformed state in RatePerMicroBatch source. {message}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Box<dyn Source> {
        let options = [("rowsPerBatch", "4"), ("startTimestamp", "1000"), ("advanceMillisPerBatch", "5000")];
        let spec = SourceSpec {
            format: "rate-micro-batch".into(),
            schema: None,
            options: options.into_iter().collect(),
            paths: Vec::new(),
            conf: Arc::new(|_| None),
            parallelism: 3,
        };
        let context = OpenContext { metadata_dir: "unused".into(), columns: None, conf: Arc::new(|_| None) };
        load(spec).unwrap().open(context).unwrap()
    }

    #[test]
    fn every_batch_advances_rows_and_time() {
        let source = source();
        let first = source.latest_offset(None, false).unwrap().unwrap();
        assert_eq!(first, r#"{"offset":4,"timestamp":6000}"#);
        let second = source.latest_offset(Some(&first), false).unwrap().unwrap();
        assert_eq!(second, r#"{"offset":8,"timestamp":11000}"#);
        let rows = source.read(Some(&first), &second, 1).unwrap().into_iter().flatten();
        assert_eq!(rows.map(|b| b.unwrap().num_rows()).sum::<usize>(), 4);
        assert!(source.read(Some(&second), &first, 1).is_err());
    }

    #[test]
    fn a_fixed_end_is_one_batch_away() {
        let source = source();
        source.fix_end().unwrap();
        let end = source.latest_offset(None, false).unwrap().unwrap();
        assert_eq!(source.latest_offset(Some(&end), false).unwrap().unwrap(), end);
    }

    #[test]
    fn an_offset_of_another_source_is_an_error() {
        assert!(source().latest_offset(Some(&"17".to_string()), false).is_err());
    }
}
