//! The context: makes streams, starts and stops them.

mod derived;
mod inputs;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use millstream_runtime::{Endpoint, History, Signal, Termination, Worker};
use parking_lot::Mutex;

use crate::checkpoint::{Checkpoint, Writer, local_path};
use crate::error::require;
use crate::graph::Graph;
use crate::graph::source::MetadataDir;
use crate::listener::{BatchInfo, Listener, ListenerBus};
use crate::metrics::StreamMetrics;
use crate::receive::{
    BlockCodec, IntakeSettings, PidEstimator, RateLimit, Running, Shelf, Supervisor, Tracker, WriteAhead,
};
use crate::schedule::Scheduler;
use crate::{Clock, Conf, Datasets, Span, StateFn, StreamError, Time};

/// How far a context has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextState {
    /// Streams can be added.
    Initialized,
    /// It runs.
    Active,
    /// It has ended, for ever.
    Stopped,
}

/// Name of an output operation, for listeners.
#[derive(Clone, Debug, Default)]
pub struct OutputName {
    /// Short, such as `foreachRDD at program.py:7`.
    pub name: String,
    /// Where it was declared.
    pub description: String,
}

/// A window without what has left, if there still is one.
pub type InverseFn<D> = Box<dyn Fn(Time, D, D) -> Result<Option<D>, StreamError> + Send + Sync>;

/// How a window is reduced by functions on datasets.
pub struct WindowFunctions<D> {
    /// The window so far, if there is one, with all datasets that came, as one.
    pub reduce: StateFn<D>,
    /// The window without what has left, as one. `None`: every window is reduced anew.
    pub inverse: Option<InverseFn<D>>,
    /// The inverse is used for windows of at least so many slides. Spark's rule for Python is 5.
    pub slides_least: u32,
}

/// Streams, and what runs them. Clones are the same context. It is stopped when the last one is dropped that is no
/// [`Context::handle`].
pub struct Context<B: Datasets> {
    shared: Arc<Shared<B>>,
    owner: Option<Arc<Owner<B>>>,
}

impl<B: Datasets> Clone for Context<B> {
    fn clone(&self) -> Self {
        Context { shared: Arc::clone(&self.shared), owner: self.owner.clone() }
    }
}

/// Stops the context when it is dropped.
struct Owner<B: Datasets>(Arc<Shared<B>>);

impl<B: Datasets> Drop for Owner<B> {
    fn drop(&mut self) {
        if let Err(error) = self.0.stop(false) {
            tracing::error!(%error, "cannot stop a streaming context");
        }
    }
}

/// What all threads of a context share.
pub(crate) struct Shared<B: Datasets> {
    pub conf: Conf,
    pub clock: Clock,
    pub interval: Span,
    pub graph: Graph<B>,
    pub tracker: Arc<Tracker>,
    pub listeners: ListenerBus,
    /// Batches that have ended.
    pub history: History<Arc<BatchInfo>>,
    /// There while it runs.
    pub metrics: Mutex<Option<Arc<StreamMetrics>>>,
    /// The door to the figures of the process, while it runs and if it is wanted.
    pub endpoint: Mutex<Option<Arc<Endpoint>>>,
    pub scheduler: Scheduler<B>,
    pub termination: Termination<StreamError>,
    pub writer: Mutex<Option<Writer>>,
    pub estimators: Mutex<BTreeMap<usize, PidEstimator>>,
    pub state: Mutex<ContextState>,
    /// Held by `start` and `stop`.
    pub transition: Mutex<()>,
    pub checkpointing: Mutex<Checkpointing>,
    pub recovered: Mutex<Option<Checkpoint>>,
    pub receivers: Mutex<Vec<ReceiverEntry>>,
    pub running: Mutex<Vec<Running>>,
    /// Closes blocks whose interval is over.
    pub ticker: Mutex<Option<(Signal, Worker)>>,
    /// Where sources keep files of their own.
    pub metadata: Mutex<Option<MetadataDir>>,
}

#[derive(Default)]
pub(crate) struct Checkpointing {
    pub directory: Option<PathBuf>,
    pub interval: Option<Span>,
    pub program: Vec<u8>,
    /// Where datasets are saved if there is no directory of checkpoints.
    pub datasets: Option<PathBuf>,
}

/// Starts the thread of a receiver.
pub(crate) type Launch = Box<dyn FnOnce(Supervisor) -> std::io::Result<Running> + Send>;
type Prepare = Box<dyn FnOnce(IntakeSettings, RateLimit, Option<WriteAhead>) -> (Arc<dyn Shelf>, Launch) + Send>;

/// A receiver that waits for the start.
pub(crate) struct ReceiverEntry {
    pub input: usize,
    /// `None`: its blocks cannot be written to a log.
    pub codec: Option<BlockCodec>,
    pub prepare: Prepare,
}

/// Reports of completed batches that are kept, unless `spark.streaming.ui.retainedBatches` says otherwise.
const RETAINED_BATCHES: usize = 1000;

impl<B: Datasets> Context<B> {
    /// A context whose batches are `interval` apart.
    ///
    /// # Errors
    /// The interval is not positive; a setting cannot be read.
    pub fn new(datasets: Arc<B>, interval: Span, conf: Conf, clock: Clock) -> Result<Self, StreamError> {
        require(interval > Span::ZERO, || "Batch interval must be positive".to_owned())?;
        let unpersist = conf.flag("spark.streaming.unpersist", true)?;
        let retained = conf.number("spark.streaming.ui.retainedBatches")?.unwrap_or(RETAINED_BATCHES);
        let shared = Arc::new(Shared {
            graph: Graph::new(datasets, interval, unpersist),
            conf,
            clock,
            interval,
            tracker: Arc::default(),
            listeners: ListenerBus::default(),
            history: History::new(retained),
            metrics: Mutex::default(),
            endpoint: Mutex::default(),
            scheduler: Scheduler::default(),
            termination: Termination::default(),
            writer: Mutex::default(),
            estimators: Mutex::default(),
            state: Mutex::new(ContextState::Initialized),
            transition: Mutex::default(),
            checkpointing: Mutex::default(),
            recovered: Mutex::default(),
            receivers: Mutex::default(),
            running: Mutex::default(),
            ticker: Mutex::default(),
            metadata: Mutex::default(),
        });
        if let Some(directory) = shared.conf.get("spark.streaming.checkpoint.directory") {
            shared.checkpointing.lock().directory = Some(local_path(Path::new(directory)));
        }
        let owner = Some(Arc::new(Owner(Arc::clone(&shared))));
        Ok(Context { shared, owner })
    }

    /// A context that goes on from a checkpoint, once the same streams were added in the same order and it is started.
    ///
    /// # Errors
    /// Those of [`Context::new`].
    pub fn recover(datasets: Arc<B>, checkpoint: Checkpoint, conf: Conf, clock: Clock) -> Result<Self, StreamError> {
        let context = Self::new(datasets, checkpoint.interval(), conf, clock)?;
        {
            let mut checkpointing = context.shared.checkpointing.lock();
            checkpointing.directory = Some(checkpoint.directory.clone());
            checkpointing.interval = Some(checkpoint.body.checkpoint_interval);
            checkpointing.program.clone_from(&checkpoint.program);
        }
        *context.shared.recovered.lock() = Some(checkpoint);
        Ok(context)
    }

    /// The same context, without a part in its life: it does not keep it running.
    pub fn handle(&self) -> Self {
        Context { shared: Arc::clone(&self.shared), owner: None }
    }

    /// The engine of its datasets.
    pub fn datasets(&self) -> &Arc<B> {
        &self.shared.graph.datasets
    }

    /// The batch interval.
    pub fn interval(&self) -> Span {
        self.shared.interval
    }

    /// The settings.
    pub fn conf(&self) -> &Conf {
        &self.shared.conf
    }

    /// How far it has come.
    pub fn state(&self) -> ContextState {
        *self.shared.state.lock()
    }

    /// Where checkpoints are; `None`: no checkpoints.
    pub fn checkpoint(&self, directory: Option<&Path>) {
        self.shared.checkpointing.lock().directory = directory.map(local_path);
    }

    /// Where datasets of streams that must be saved from time to time are saved if there are no checkpoints. They cut what later
    /// datasets depend on; nothing can be recovered from them.
    pub fn save_datasets_to(&self, directory: &Path) {
        self.shared.checkpointing.lock().datasets = Some(local_path(directory));
    }

    /// The directory of checkpoints.
    pub fn checkpoint_directory(&self) -> Option<PathBuf> {
        self.shared.checkpointing.lock().directory.clone()
    }

    /// What every checkpoint shall hold of the program itself: what it needs to add the same streams again, or to see that it is
    /// another program.
    pub fn set_program(&self, program: Vec<u8>) {
        self.shared.checkpointing.lock().program = program;
    }

    /// The newest batches that have ended, oldest first; `spark.streaming.ui.retainedBatches` (1000) of them are kept.
    pub fn recent_batches(&self) -> Vec<Arc<BatchInfo>> {
        self.shared.history.all()
    }

    /// Adds a listener and gives its number.
    pub fn add_listener(&self, listener: impl Listener + 'static) -> usize {
        self.shared.listeners.add(Arc::new(listener))
    }

    /// Removes a listener by its number.
    pub fn remove_listener(&self, number: usize) {
        self.shared.listeners.remove(number);
    }

    /// Starts receivers and batches. Does nothing if it runs already.
    ///
    /// # Errors
    /// It was stopped; the graph is not right, or not that of the checkpoint; something could not be started. Then it is stopped.
    pub fn start(&self) -> Result<(), StreamError> {
        self.shared.start()
    }

    /// Checks what [`Context::start`] would check of the graph before anything is started.
    ///
    /// # Errors
    /// There is no output operation.
    pub fn validate(&self) -> Result<(), StreamError> {
        self.shared.graph.validate()
    }

    /// Ends it. Gracefully: when all that was received is processed. May be called again, and by an output operation.
    ///
    /// # Errors
    /// It is called by a listener.
    pub fn stop(&self, gracefully: bool) -> Result<(), StreamError> {
        self.shared.stop(gracefully)
    }

    /// Waits for the end; false if `timeout` has passed.
    ///
    /// # Errors
    /// A batch failed: each call gives the last such error, while later batches go on.
    pub fn await_termination(&self, timeout: Option<Duration>) -> Result<bool, StreamError> {
        self.shared.termination.wait(timeout)
    }
}
