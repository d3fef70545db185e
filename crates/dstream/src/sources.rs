//! The sources of a context that are read by ranges: opened when it starts, limited while it runs, stopped when it has ended.

use std::path::{Path, PathBuf};

use crate::context::Shared;
use crate::graph::operator::Opening;
use crate::graph::source::MetadataDir;
use crate::receive::PidEstimator;
use crate::{Datasets, StreamError};

impl<B: Datasets> Shared<B> {
    /// Opens the sources that an output needs.
    pub(crate) fn open_sources(&self, checkpoint: Option<&Path>, recovered: bool) -> Result<(), StreamError> {
        if !self.graph.has_ranges() {
            return Ok(());
        }
        let scratch = self.conf.get("spark.local.dir").and_then(|dirs| dirs.split(',').next()).map(str::trim);
        let scratch = scratch.filter(|dir| !dir.is_empty()).map_or_else(std::env::temp_dir, PathBuf::from);
        let metadata = MetadataDir::new(checkpoint, recovered, scratch)?;
        for node in self.graph.nodes() {
            let Some(input) = node.input.filter(|_| node.state.lock().initialized) else { continue };
            let directory = metadata.path().join(input.to_string());
            let opening =
                Opening { directory: &directory, checkpointed: checkpoint.is_some(), interval: self.interval };
            node.operator.open(&opening)?;
            if node.operator.has_ranges() {
                self.start_backpressure(input)?;
            }
        }
        *self.metadata.lock() = Some(metadata);
        Ok(())
    }

    /// A source that can limit a batch by rows gets the estimated rate, as a receiver does. For others there is only what their own
    /// options say, and the batches queue.
    fn start_backpressure(&self, input: usize) -> Result<(), StreamError> {
        if !self.conf.flag("spark.streaming.backpressure.enabled", false)? {
            return Ok(());
        }
        let initial = self.conf.number::<f64>("spark.streaming.backpressure.initialRate")?;
        if self.limit_source(input, initial.filter(|rate| *rate > 0.0).unwrap_or(f64::MAX)) {
            self.estimators.lock().insert(input, PidEstimator::new(&self.conf, self.interval)?);
        } else {
            tracing::warn!(
                input,
                "back-pressure has no effect on this source, which cannot limit a batch by rows: use the limits among its options"
            );
        }
        Ok(())
    }

    /// Limits a source to so many records a second. False if it has no such limit.
    pub(crate) fn limit_source(&self, input: usize, records_per_second: f64) -> bool {
        let nodes = self.graph.nodes();
        let node = nodes.iter().find(|node| node.input == Some(input));
        node.is_some_and(|node| node.operator.limit(records_per_second))
    }

    /// Stops all sources and deletes what they need not keep.
    pub(crate) fn close_sources(&self) {
        self.graph.nodes().iter().for_each(|node| node.operator.close());
        *self.metadata.lock() = None;
    }
}
