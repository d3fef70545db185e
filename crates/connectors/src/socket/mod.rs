//! The `socket` source: lines of text from a TCP server, one row each.
//!
//! # Guarantee
//! None across a restart: a line that was read is gone from the network. Within a run a range is kept until it is committed, so a
//! repeated batch has the same rows.
//!
//! # Offsets
//! Rows seen minus 1, a bare number; −1 before the first row. The connection is made when the first batch is read, so batch 0 is
//! empty, as in Spark.
//!
//! | option | default |
//! |---|---|
//! | `host`, `port` | required |
//! | `includeTimestamp` | false: a second column `timestamp` with the time of arrival (ms) |
//! | `numPartitions` | cores |
//!
//! # Failures
//! No connection fails the query. A connection that ends only ends the data. A line longer than [`millstream_intake::LINE_BYTES_MAX`] fails
//! the query. Lines end with `\n`, `\r` or both; what is not UTF-8 becomes U+FFFD.
//!
//! # Memory
//! At most 256 MiB are held; beyond that nothing is read from the socket, so the sender waits.

mod buffer;
mod lines;
mod source;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::types;

use crate::errors::user_schema_refused;
use crate::options::{Options, warn_unknown};
use crate::source::{OpenContext, Origin, Source, SourceSpec};

/// Checks the options of a `socket` stream. Nothing is connected yet.
pub(crate) fn load(spec: SourceSpec) -> Result<Arc<dyn Origin>, SparkError> {
    if spec.schema.is_some() {
        return Err(user_schema_refused("TextSocketSourceProvider"));
    }
    let missing = |condition: &str, message: &str| SparkError::new(ExceptionClass::Analysis, condition, "", message);
    let Some(host) = spec.options.get("host") else {
        return Err(missing("_LEGACY_ERROR_TEMP_1295", "Set a host to read from with option(\"host\", ...)."));
    };
    if !spec.options.contains("port") {
        return Err(missing("_LEGACY_ERROR_TEMP_1296", "Set a port to read from with option(\"port\", ...)."));
    }
    let include_timestamp = spec.options.bool("includeTimestamp", false).map_err(|_| {
        missing("_LEGACY_ERROR_TEMP_1297", "IncludeTimestamp must be set to either \"true\" or \"false\".")
    })?;
    let port = spec.options.int("port", -1)?;
    spec.options.int("numPartitions", 1)?;
    let host = host.to_string();
    Ok(Arc::new(SocketOrigin { host, port, include_timestamp, options: spec.options }))
}

struct SocketOrigin {
    options: Options,
    host: String,
    port: i32,
    include_timestamp: bool,
}

impl Origin for SocketOrigin {
    fn name(&self) -> String {
        "socket".into()
    }

    fn schema(&self) -> SchemaRef {
        let mut fields = vec![Field::new("value", DataType::Utf8, true)];
        if self.include_timestamp {
            fields.push(Field::new("timestamp", types::timestamp(), true));
        }
        Arc::new(Schema::new(fields))
    }

    fn open(&self, _context: OpenContext) -> Result<Box<dyn Source>, SparkError> {
        tracing::warn!(
            "The socket source should not be used for production applications! It does not support recovery."
        );
        warn_unknown(&self.options, "socket source", &["host", "port", "includeTimestamp", "numPartitions", "path"]);
        Ok(Box::new(source::SocketSource::new(self.host.clone(), self.port, self.schema())))
    }
}
