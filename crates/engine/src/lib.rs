//! A streaming query: trigger, offsets, micro-batch, watermark, commit, progress, recovery, and the queries of a session.
//!
//! Each query runs on a thread of its own, which is the only one to touch its plan, sources, sink and logs. Handles
//! ([`StreamingQuery`]) and the [`QueryManager`] may be used from any thread.
//!
//! Invariants: a batch in `commits` is never run again; a batch in `offsets` but not in `commits` is run again with the same
//! offsets; the watermark never goes back.

mod definition;
mod manager;
mod metrics;
mod micro_batch;
mod progress;
mod query;
mod recovery;
mod start;
mod trigger;
mod watermark;

#[cfg(test)]
mod tests;

pub use definition::{Planner, QueryDefinition, QuerySettings, SourceOpener};
pub use manager::{QueryEvent, QueryManager, started_event_json};
pub use progress::{Durations, Progress, SourceProgress};
pub use query::{QueryIdentity, QueryStatus, StreamingQuery};
pub use start::start;
pub use trigger::Trigger;
pub use watermark::{WatermarkPolicy, WatermarkTracker};
