//! Millstream: a stream processing engine with the meaning of Spark Structured Streaming.
//!
//! An [`Engine`] holds [`Session`]s; a session holds settings, views and queries, and takes plans in the unresolved form of
//! `millstream_plan::ir`, from whichever door they come. [`prelude`] is the Rust API on top.
//!
//! ```no_run
//! use millstream::prelude::*;
//!
//! # fn main() -> Result<(), SparkError> {
//! let session = local_session()?;
//! let lines = session.read_stream().format("text").path("/var/log/in").load();
//! let counts = lines.group_by([col("value")]).count();
//! let query = counts.write_stream().output_mode("complete").format("console").start()?;
//! query.process_all_available()?;
//! query.stop();
//! # Ok(())
//! # }
//! ```

mod analysis;
mod batch;
mod cache;
mod catalog_query;
mod command;
pub mod conf;
mod engine;
mod frame;
mod function_names;
mod join_order;
mod scan;
mod session;
mod state_source;
mod stream;
mod tables;
mod write;

pub use batch::BatchStream;
pub use engine::{Engine, EngineOptions};
pub use frame::{
    DataFrame, Grouped, Reader, StreamWriter, call, col, explode, expr, lit, local_session, split, window,
};
pub use millstream_engine::{Progress, QueryEvent, QueryManager, QueryStatus, StreamingQuery, started_event_json};
pub use millstream_formats::condition::{ExceptionClass, SparkError};
pub use millstream_plan::ir;
pub use millstream_runtime::{EndpointError, EndpointOptions};
pub use session::{Rows, Session, SqlResult};

/// What a program that builds queries in Rust needs.
pub mod prelude {
    pub use crate::ir::{JoinKind, TriggerSpec};
    pub use crate::{
        DataFrame, Engine, EngineOptions, Session, SparkError, StreamingQuery, call, col, explode, expr, lit,
        local_session, split, window,
    };
}
