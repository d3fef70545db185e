//! What every running stream needs, whatever its batches hold: the clock, the stop, the wait for its end, its last reports
//! and its figures.
//!
//! Structured queries (`engine`) and DStreams (`dstream`) both stand on this crate, so that a batch begins, is told to stop and ends by
//! the same rules in both. Not here: what a batch is, in which order its steps are committed, and what is run again after a crash.
//!
//! # Waiting
//! A thread that works for a stream waits in one place only, its [`Signal`], for a time of the [`Clock`], for a wake-up or for the stop.
//! Whoever waits for the stream itself does so in its [`Termination`].

mod clock;
mod endpoint;
mod history;
pub mod metrics;
mod signal;
mod termination;
mod time;
mod worker;

pub use clock::{Clock, ManualClock};
pub use endpoint::{Endpoint, EndpointError, EndpointOptions};
pub use history::History;
pub use metrics::Registry;
pub use signal::Signal;
pub use termination::Termination;
pub use time::{Span, Time};
pub use worker::Worker;
