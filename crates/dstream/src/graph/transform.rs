//! Streams that are made of their parents' datasets of the same time, and state, which is made of the one before, too.

use super::{Absent, At, Operator};
use crate::{Datasets, StorageLevel, StreamError, Time};

/// A function on the datasets of all parents at one time.
pub type TransformFn<D> = Box<dyn Fn(Time, Vec<D>) -> Result<Option<D>, StreamError> + Send + Sync>;
/// A function on the state before, if there was one, and the dataset of the batch.
pub type StateFn<D> = Box<dyn Fn(Time, Option<D>, D) -> Result<Option<D>, StreamError> + Send + Sync>;
/// Gives the state before the first batch. Called when it is needed, which may be more than once after a recovery.
pub type InitialFn<D> = Box<dyn Fn() -> Result<D, StreamError> + Send + Sync>;

pub(crate) struct Transformed<D> {
    pub absent: Absent,
    pub function: TransformFn<D>,
}

impl<B: Datasets> Operator<B> for Transformed<B::Dataset> {
    fn class_name(&self) -> &'static str {
        "TransformedDStream"
    }

    fn compute(&self, at: &At<'_, B>) -> Result<Option<B::Dataset>, StreamError> {
        let mut datasets = Vec::new();
        for parent in at.parents()? {
            match (parent, self.absent) {
                (Some(dataset), _) => datasets.push(dataset),
                (None, Absent::Skip) => return Ok(None),
                (None, Absent::Empty) => datasets.push(at.datasets().empty()?),
                (None, Absent::Fail) => {
                    let text = format!("Couldn't generate RDD from parent at time {}", at.time());
                    return Err(StreamError::Graph(text));
                }
            }
        }
        (self.function)(at.time(), datasets)
    }
}

pub(crate) struct Union;

impl<B: Datasets> Operator<B> for Union {
    fn class_name(&self) -> &'static str {
        "UnionDStream"
    }

    fn compute(&self, at: &At<'_, B>) -> Result<Option<B::Dataset>, StreamError> {
        let datasets: Option<Vec<B::Dataset>> = at.parents()?.into_iter().collect();
        let datasets = datasets.ok_or_else(|| {
            StreamError::Graph(format!("Could not generate RDD from a parent for unifying at time {}", at.time()))
        })?;
        at.datasets().union(datasets).map(Some)
    }
}

pub(crate) struct State<D> {
    pub update: StateFn<D>,
    pub initial: Option<InitialFn<D>>,
}

impl<B: Datasets> Operator<B> for State<B::Dataset> {
    fn class_name(&self) -> &'static str {
        "StateDStream"
    }

    fn compute(&self, at: &At<'_, B>) -> Result<Option<B::Dataset>, StreamError> {
        let before = at.own(at.time() - at.slide())?;
        let Some(current) = at.parents()?.into_iter().next().flatten() else {
            return Ok(before);
        };
        let before = match (before, &self.initial) {
            (None, Some(initial)) => Some(initial()?),
            (before, _) => before,
        };
        (self.update)(at.time(), before, current)
    }

    fn level(&self) -> Option<StorageLevel> {
        Some(StorageLevel::MEMORY_ONLY)
    }

    fn must_checkpoint(&self) -> bool {
        true
    }
}
