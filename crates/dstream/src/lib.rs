//! Discretised streams: batch after batch of datasets, by a clock.
//!
//! A [`Context`] holds a graph of streams and runs it: every interval it makes the jobs of a batch, queues them, and runs them one after
//! another. No batch is skipped and none are merged, however late they are. What a batch consists of is the business of the
//! [`Datasets`] that the context was made for; there are two: the typed `DStream<T>` of this crate, and Python's RDDs.
//!
//! # A program
//! A Rust program begins with a [`typed::StreamingContext`], makes streams, says what is done with each batch, and starts:
//!
//! ```
//! use std::time::Duration;
//! use millstream_dstream::typed::StreamingContext;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let ssc = StreamingContext::new(Duration::from_millis(50))?;
//! let lines = ssc.queue_stream([vec!["to be or", "not to be"], vec!["to do"]])?;
//! let words = lines.flat_map(|line| line.split(' '))?;
//! let counts = words.map(|word| (word, 1))?.reduce_by_key(|a, b| a + b)?;
//! // The two batches of the last 100 ms, every 50 ms.
//! let lately = counts.window(Duration::from_millis(100), Duration::from_millis(50))?.reduce_by_key(|a, b| a + b)?;
//!
//! let (sender, batches) = std::sync::mpsc::channel();
//! lately.for_each_rdd(move |_time, rdd| {
//!     let _nobody_listens_any_more = sender.send(rdd.top_by(1, |(_, count)| *count)?);
//!     Ok(())
//! })?;
//! ssc.start()?;
//! assert_eq!(batches.recv()?.len(), 1);
//! assert_eq!(batches.recv()?, [("to", 3)]);
//! ssc.stop(false)?;
//! # Ok(())
//! # }
//! ```
//!
//! Real programs read a socket ([`typed::StreamingContext::socket_text_stream`]), files, whatever Structured Streaming reads
//! ([`typed::StreamingContext::read_stream`]) or a receiver of their own; keep states ([`typed::DStream::update_state_by_key`],
//! [`typed::DStream::map_with_state`]); and go on after a crash ([`typed::StreamingContext::get_or_create`]).
//!
//! | Spark's Scala API | here |
//! |---|---|
//! | `ssc.socketTextStream`, `textFileStream`, `binaryRecordsStream`, `queueStream`, `receiverStream` | the same in snake case; a converter is a `map` behind it |
//! | `KafkaUtils.createDirectStream` and the like: sources by offsets | `ssc.read_stream(format)…load(path)`, `ssc.source_stream(origin)` |
//! | `ssc.union(Seq)`, `ssc.transform(Seq, f)` | `ssc.union(&[…])`, `ssc.transform(&[…], f)` |
//! | `ds.map`, `flatMap`, `filter`, `glom`, `repartition`, `count`, `reduce`, `union`, `transform`, `foreachRDD`, … | the same; each gives a `Result`, because a context that was started takes no more |
//! | a function that throws | `try_map`, or an error in `transform` and `for_each_rdd`; a panic fails the batch, too |
//! | `ds.window(length)`, with the slide of the stream | `ds.window(length, slide)`: the slide is always said |
//! | `ds.print()` | `ds.print(10)` |
//! | `reduceByKeyAndWindow(f, inverse, …)` | `reduce_by_key_and_window_with_inverse` |
//! | `mapWithState(StateSpec.function(f).timeout(d))` | `map_with_state(StateSpec::new(f).timeout(d))` |
//! | `ds.checkpoint(d)`, `persist` | the same, of a stream that is [`typed::DStream::durable`]; `cache`: there is one storage level, memory |
//! | `saveAsTextFiles`, `saveAsObjectFiles` | the same; objects in a form of their own, read by `Rdd::load_object_file`. Hadoop's formats: none |
//! | `rdd.sortBy`, `top`, `takeOrdered`, `distinct`, `first`, `isEmpty` in `transform` and `foreachRDD` | `sort_by`, `top_by`, `take_ordered_by`, `distinct`, `first`, `is_empty` of [`typed::Rdd`] |
//!
//! # What is kept from Spark
//! Batch times are multiples of the interval since the epoch; slides count from one interval before the first batch;
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
mod sources;
pub mod typed;

/// Columns and rows of [`typed::StreamingContext::read_stream`], in the version that this crate uses.
pub use arrow;
pub use checkpoint::Checkpoint;
pub use conf::Conf;
pub use context::{Context, ContextState, InverseFn, OutputName, WindowFunctions};
pub use datasets::{Block, Datasets, StorageLevel, TextBlock};
pub use error::StreamError;
pub use graph::NodeId;
pub use graph::files::{FileFilter, FileSelection};
pub use graph::operator::{Absent, At, FileProgress, Opening, Operator, RangeProgress, SourceProgress};
pub use graph::queue::Queue;
pub use graph::transform::{InitialFn, StateFn, TransformFn};
pub use graph::window::AdvanceFn;
pub use listener::{BatchInfo, Event, InputInfo, Listener, OutputInfo, ReceiverInfo};
/// Sources, for [`typed::StreamingContext::source_stream`].
pub use millstream_connectors as connectors;
pub use millstream_formats::condition::SparkError;
pub use millstream_runtime::{Clock, ManualClock, Span, Time};
pub use receive::{Lines, OpenBlock, OpenText, Receiver, ReceiverControl, Store};
