//! Discretised streams: batch after batch of datasets, by a clock.
//!
//! A [`Context`] holds a graph of streams and runs it: every interval it makes the jobs of a batch, queues them, and runs them one after
//! another. No batch is skipped and none are merged, however late they are. What a batch consists of is the business of the
//! [`Datasets`] that the context was made for; there are two: the typed `DStream<T>` of this crate, and Python's RDDs.
//!
//! Kept from Spark: batch times are multiples of the interval since the epoch; slides count from one interval before the first batch;
//! what a window or a state remembers; when it is saved; what is run again after a restart. Not here: what happens to elements
//! (`typed`, and for Python the package `millstream`).
//!
//! # Threads
//! One makes batches, one runs output operations (`spark.streaming.concurrentJobs`), one tells listeners, and each receiver has one. All
//! end with [`Context::stop`] or when the last handle of the context is dropped.

mod checkpoint;
mod conf;
mod context;
mod datasets;
mod error;
mod graph;
mod lifecycle;
mod listener;
mod metrics;
mod receive;
mod schedule;
pub mod typed;

pub use checkpoint::Checkpoint;
pub use conf::Conf;
pub use context::{Context, ContextState, InverseFn, OutputName, WindowFunctions};
pub use datasets::{Block, Datasets, StorageLevel, TextBlock};
pub use error::StreamError;
pub use graph::NodeId;
pub use graph::files::{FileFilter, FileSelection};
pub use graph::operator::{Absent, At, Operator, SourceProgress};
pub use graph::queue::Queue;
pub use graph::transform::{InitialFn, StateFn, TransformFn};
pub use graph::window::AdvanceFn;
pub use listener::{BatchInfo, Event, InputInfo, Listener, OutputInfo, ReceiverInfo};
pub use millstream_runtime::{Clock, ManualClock, Span, Time};
pub use receive::{Lines, OpenBlock, OpenText, Receiver, ReceiverControl, Store};
