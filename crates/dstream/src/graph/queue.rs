//! A source of datasets that the program itself lines up.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{At, Operator};
use crate::{Datasets, StreamError};

/// The queue that a stream takes from; the program may go on filling it.
pub struct Queue<D>(Arc<Mutex<VecDeque<D>>>);

impl<D> Clone for Queue<D> {
    fn clone(&self) -> Self {
        Queue(Arc::clone(&self.0))
    }
}

impl<D> Queue<D> {
    /// A queue of these, the first first.
    pub fn new(datasets: impl IntoIterator<Item = D>) -> Self {
        Queue(Arc::new(Mutex::new(datasets.into_iter().collect())))
    }

    /// Adds one at the end.
    pub fn push(&self, dataset: D) {
        self.0.lock().push_back(dataset);
    }
}

pub(crate) struct QueueStream<D> {
    pub queue: Queue<D>,
    pub one_at_a_time: bool,
    pub default: Option<D>,
}

impl<B: Datasets> Operator<B> for QueueStream<B::Dataset> {
    fn class_name(&self) -> &'static str {
        "QueueInputDStream"
    }

    fn compute(&self, at: &At<'_, B>) -> Result<Option<B::Dataset>, StreamError> {
        let taken: Vec<B::Dataset> = {
            let mut queue = self.queue.0.lock();
            let count = if self.one_at_a_time { queue.len().min(1) } else { queue.len() };
            queue.drain(..count).collect()
        };
        match (taken.len(), &self.default) {
            (0, Some(default)) => Ok(Some(default.clone())),
            (0, None) => at.datasets().empty().map(Some),
            (1, _) => Ok(taken.into_iter().next()),
            _ => at.datasets().union(taken).map(Some),
        }
    }
}
