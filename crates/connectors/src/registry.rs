//! Which name stands for which connector: one line each.

use std::sync::Arc;

use millstream_formats::condition::SparkError;

use crate::sink::{Sink, SinkSpec};
use crate::source::{Origin, SourceSpec};
use crate::{console, errors, files, memory, noop, rate, rate_micro_batch, socket};

/// Loads a stream: finds its columns, checks its options.
///
/// # Errors
/// `DATA_SOURCE_NOT_FOUND` and what the connector finds wrong.
pub fn open_source(spec: SourceSpec) -> Result<Arc<dyn Origin>, SparkError> {
    match spec.format.to_lowercase().as_str() {
        "socket" => socket::load(spec),
        "rate" => rate::load(spec),
        "rate-micro-batch" => rate_micro_batch::load(spec),
        name if files::is_file_format(name) => files::load_stream(spec),
        _ => Err(errors::data_source_not_found(&spec.format)),
    }
}

/// Opens the sink of a query that starts.
///
/// # Errors
/// `DATA_SOURCE_NOT_FOUND` and what the connector finds wrong.
pub fn open_sink(spec: SinkSpec) -> Result<Arc<dyn Sink>, SparkError> {
    match spec.format.to_lowercase().as_str() {
        "console" => console::open(spec),
        "memory" => memory::open(spec),
        "noop" => noop::open(spec),
        name if files::is_file_format(name) => files::open_sink(spec),
        _ => Err(errors::data_source_not_found(&spec.format)),
    }
}
