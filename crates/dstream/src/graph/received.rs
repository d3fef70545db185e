//! Streams of what receivers store.

use std::sync::Arc;

use super::{At, Operator};
use crate::receive::Tracker;
use crate::{Block, Datasets, StreamError};

/// Makes the dataset of the blocks of a batch.
pub(crate) type BlocksFn<B> =
    Box<dyn Fn(&B, Vec<Block>) -> Result<<B as Datasets>::Dataset, StreamError> + Send + Sync>;

pub(crate) struct Received<B: Datasets> {
    pub class_name: &'static str,
    pub tracker: Arc<Tracker>,
    pub to_dataset: BlocksFn<B>,
}

impl<B: Datasets> Operator<B> for Received<B> {
    fn class_name(&self) -> &'static str {
        self.class_name
    }

    fn compute(&self, at: &At<'_, B>) -> Result<Option<B::Dataset>, StreamError> {
        let blocks = at.input().map(|input| self.tracker.blocks(at.time(), input)).unwrap_or_default();
        at.report_input(blocks.iter().map(Block::records).sum(), None);
        (self.to_dataset)(at.datasets(), blocks).map(Some)
    }
}
