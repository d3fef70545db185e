//! What a kind of stream has to say for itself.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Graph, Node};
use crate::listener::InputInfo;
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

    /// No time up to `time` is asked for any more.
    fn forget_until(&self, _time: Time) {}

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

/// How far a source of files has come.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceProgress {
    /// What is not newer is never taken.
    pub since: Time,
    /// The files of each batch that is remembered.
    pub batches: Vec<(Time, Vec<PathBuf>)>,
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
        if let Some(input) = self.node.input {
            self.graph.report_input(self.time, InputInfo { input, records, description });
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
