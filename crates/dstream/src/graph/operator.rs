//! What a kind of stream has to say for itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use serde::{Deserialize, Serialize};

use super::{Graph, Input, Node};
use crate::{Datasets, Span, StorageLevel, StreamError, Time};

/// A kind of stream: gives the dataset of a time, from those of its parents, its own earlier ones, or the world.
///
/// A new kind is a type with this trait, added by [`crate::Context::add`] or [`crate::Context::add_source`].
pub trait Operator<B: Datasets>: Send + Sync {
    /// Name in messages.
    fn class_name(&self) -> &'static str;

    /// The dataset of `at.time()`, or nothing: then outputs on this stream do not run for that time.
    ///
    /// # Errors
    /// Whatever keeps the batch from being made; the batch is not run then, and later ones are.
    fn compute(&self, at: &At<'_, B>) -> Result<Option<B::Dataset>, StreamError>;

    /// How long parents must remember, if this stream remembers for `own`.
    fn parent_remember(&self, own: Span) -> Span {
        own
    }

    /// Least time that the stream itself remembers, beside what follows from the graph.
    fn remember_least(&self) -> Option<Span> {
        None
    }

    /// Storage level from the start.
    fn level(&self) -> Option<StorageLevel> {
        None
    }

    /// Where [`crate::Context::persist`] sets the level, if not on this stream: on its parent.
    fn persists_parent(&self) -> bool {
        false
    }

    /// Whether its datasets must be saved from time to time, because each is made from the one before.
    fn must_checkpoint(&self) -> bool {
        false
    }

    /// The context starts: a source may open files and connections. Comes before [`Operator::restore`].
    ///
    /// # Errors
    /// The source cannot be opened; the context does not start then.
    fn open(&self, _opening: &Opening<'_>) -> Result<(), StreamError> {
        Ok(())
    }

    /// The context has ended, or did not start: threads, files and connections are let go. May come without [`Operator::open`].
    fn close(&self) {}

    /// The batches keep up with so many records a second (back-pressure). False: this source cannot be limited so.
    fn limit(&self, _records_per_second: f64) -> bool {
        false
    }

    /// Whether the checkpoint of a batch must be written before its outputs run, because only there it says what the batch is made of.
    fn has_ranges(&self) -> bool {
        false
    }

    /// No time up to `time` is asked for any more by later batches. Those of `unfinished` failed or are not done, and are run again if the
    /// context is recovered.
    fn forget_until(&self, _time: Time, _unfinished: &[Time]) {}

    /// What [`Operator::progress`] told last is in the checkpoint that was written just now, or no checkpoints are written.
    ///
    /// # Errors
    /// What was forgotten cannot be given up.
    fn settled(&self) -> Result<(), StreamError> {
        Ok(())
    }

    /// What a checkpoint shall hold of a source.
    fn progress(&self) -> Option<SourceProgress> {
        None
    }

    /// Takes up what [`Operator::progress`] gave when the checkpoint was written, and gives the datasets of those times.
    ///
    /// # Errors
    /// A dataset cannot be made.
    fn restore(&self, _datasets: &B, _progress: SourceProgress) -> Result<Vec<(Time, B::Dataset)>, StreamError> {
        Ok(Vec::new())
    }
}

/// What a source is opened with.
pub struct Opening<'a> {
    /// Where it may keep files of its own; need not exist.
    pub directory: &'a Path,
    /// Whether checkpoints are written.
    pub checkpointed: bool,
    /// The batch interval.
    pub interval: Span,
}

/// How far a source has come.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum SourceProgress {
    /// A directory of files.
    Files(FileProgress),
    /// A source that is read by ranges of offsets.
    Ranges(RangeProgress),
}

/// How far a source of files has come.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FileProgress {
    /// What is not newer is never taken.
    pub since: Time,
    /// The files of each batch that is remembered.
    pub batches: Vec<(Time, Vec<PathBuf>)>,
}

/// How far a source of offsets has come.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RangeProgress {
    /// The source that the offsets are of.
    pub source: String,
    /// Where the next batch begins.
    pub position: Option<String>,
    /// The offsets of each batch that is remembered or not done: those after the first up to and including the second.
    pub batches: Vec<(Time, Option<String>, Option<String>)>,
}

/// The place in the graph and the time that an operator computes for.
pub struct At<'a, B: Datasets> {
    pub(super) graph: &'a Graph<B>,
    pub(super) node: &'a Node<B>,
    pub(super) time: Time,
}

impl<B: Datasets> At<'_, B> {
    /// The time that is asked for.
    pub fn time(&self) -> Time {
        self.time
    }

    /// Zero time of the graph: one interval before the first batch.
    pub fn zero(&self) -> Time {
        self.graph.zero.get().copied().unwrap_or(self.time)
    }

    /// The stream's slide.
    pub fn slide(&self) -> Span {
        self.node.slide
    }

    /// The batch interval.
    pub fn interval(&self) -> Span {
        self.graph.interval
    }

    /// The engine.
    pub fn datasets(&self) -> &B {
        &self.graph.datasets
    }

    /// The stream's own dataset of an earlier time.
    ///
    /// # Errors
    /// Those of computing it.
    pub fn own(&self, time: Time) -> Result<Option<B::Dataset>, StreamError> {
        self.graph.get_or_compute(self.node.id, time)
    }

    /// What each parent has for this time.
    ///
    /// # Errors
    /// Those of computing them.
    pub fn parents(&self) -> Result<Vec<Option<B::Dataset>>, StreamError> {
        self.node.parents.iter().map(|parent| self.graph.get_or_compute(*parent, self.time)).collect()
    }

    /// Slide of the first parent.
    ///
    /// # Errors
    /// There is no parent.
    pub fn parent_slide(&self) -> Result<Span, StreamError> {
        let parent = self.node.parents.first().ok_or_else(|| StreamError::Graph("a stream without parent".to_owned()));
        Ok(self.graph.node(*parent?)?.slide)
    }

    /// Datasets of the first parent from `from` to `to`, both included.
    ///
    /// # Errors
    /// Those of computing them.
    pub fn parent_slice(&self, from: Time, to: Time) -> Result<Vec<B::Dataset>, StreamError> {
        match self.node.parents.first() {
            Some(parent) => self.graph.slice(*parent, from, to),
            None => Ok(Vec::new()),
        }
    }

    /// Number among the inputs.
    pub fn input(&self) -> Option<usize> {
        self.node.input
    }

    /// Says how much this source gives to the batch, for listeners.
    pub fn report_input(&self, records: u64, description: Option<String>) {
        self.report_reading(Arc::new(AtomicU64::new(records)), description);
    }

    /// The same for a source whose records are counted while the batch runs.
    pub fn report_reading(&self, records: Arc<AtomicU64>, description: Option<String>) {
        if let Some(number) = self.node.input {
            self.graph.report_input(self.time, Input { number, records, description });
        }
    }
}

/// What a transformation does at a time for which a parent has nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// It has nothing either.
    Skip,
    /// It takes an empty dataset for it.
    Empty,
    /// It fails: the batch cannot be made.
    Fail,
}
