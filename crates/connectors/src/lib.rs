//! Sources and sinks, one module each, behind the two traits [`source::Source`] and [`sink::Sink`].
//!
//! A front door asks [`open_source`] when a stream is loaded (schema, options and their errors) and opens it when its query
//! starts; [`open_sink`] when a query starts. Not here: triggers, checkpoints of a query, plans.

pub mod console;
mod errors;
pub mod files;
pub mod memory;
mod memory_stream;
pub mod noop;
pub mod options;
pub mod rate;
pub mod rate_micro_batch;
mod registry;
pub mod sink;
pub mod socket;
pub mod source;

pub use files::{FileScan, SaveMode, WriteSpec, file_scan, write_files};
pub use memory_stream::MemoryStream;
pub use registry::{open_sink, open_source};
