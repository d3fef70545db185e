//! The context: makes streams, starts and stops them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use millstream_runtime::{Endpoint, History, Signal, Termination, Worker};
use parking_lot::Mutex;

use crate::checkpoint::{Checkpoint, Writer, local_path};
use crate::error::require;
use crate::graph::files::FileStream;
use crate::graph::queue::QueueStream;
use crate::graph::received::Received;
use crate::graph::transform::{State, Transformed, Union};
use crate::graph::window::{ReducedWindow, Windowed, check};
use crate::graph::{Graph, NodeId, Output};
use crate::listener::{BatchInfo, Listener, ListenerBus};
use crate::metrics::StreamMetrics;
use crate::receive::{
    BlockCodec, Intake, IntakeSettings, OpenBlock, OpenText, PidEstimator, RateLimit, Receiver, Running, Shelf,
    SocketReceiver, Supervisor, Tracker, WriteAhead,
};
use crate::schedule::Scheduler;
use crate::{
    Absent, AdvanceFn, Block, Clock, Conf, Datasets, FileSelection, InitialFn, Operator, Queue, Span, StateFn,
    StorageLevel, StreamError, Time, TransformFn,
};

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

    // ---- Streams ------------------------------------------------------------------------------------------------------------

    /// Adds a stream of a kind of the program's own, made of others.
    ///
    /// # Errors
    /// The context was started or stopped; a parent is not of this context; the slide is no multiple of the batch interval.
    pub fn add(
        &self,
        parents: &[NodeId],
        slide: Span,
        operator: impl Operator<B> + 'static,
    ) -> Result<NodeId, StreamError> {
        self.check_initialized()?;
        for parent in parents {
            self.shared.graph.node(*parent)?;
        }
        require(slide > Span::ZERO && slide.is_multiple_of(self.interval()), || {
            format!("The slide duration ({slide}) must be a multiple of the batch interval ({})", self.interval())
        })?;
        Ok(self.shared.graph.add(parents.to_vec(), slide, false, |_, _| Box::new(operator)))
    }

    /// Adds a source of a kind of the program's own.
    ///
    /// # Errors
    /// The context was started or stopped.
    pub fn add_source(&self, operator: impl Operator<B> + 'static) -> Result<NodeId, StreamError> {
        self.check_initialized()?;
        Ok(self.shared.graph.add(Vec::new(), self.interval(), true, |_, _| Box::new(operator)))
    }

    /// A stream of datasets from a queue: one a batch, or all that are there. When there is none, `default`, or an empty dataset.
    ///
    /// # Errors
    /// The context was started or stopped.
    pub fn queue(
        &self,
        queue: Queue<B::Dataset>,
        one_at_a_time: bool,
        default: Option<B::Dataset>,
    ) -> Result<NodeId, StreamError> {
        self.add_source(QueueStream { queue, one_at_a_time, default })
    }

    /// A stream of the lines that a server sends.
    ///
    /// # Errors
    /// The context was started or stopped.
    pub fn socket_text(&self, host: &str, port: u16) -> Result<NodeId, StreamError> {
        self.text("SocketInputDStream", SocketReceiver { host: host.to_owned(), port })
    }

    /// A stream of lines from a receiver of the program's own.
    ///
    /// # Errors
    /// The context was started or stopped.
    pub fn text_receiver(&self, receiver: impl Receiver<OpenText>) -> Result<NodeId, StreamError> {
        self.text("PluggableInputDStream", receiver)
    }

    fn text(&self, class_name: &'static str, receiver: impl Receiver<OpenText>) -> Result<NodeId, StreamError> {
        let text = |block| match block {
            Block::Text(text) => Some(text),
            Block::Items { .. } => None,
        };
        self.receiver::<OpenText>(class_name, Box::new(receiver), Some(BlockCodec::text()), move |datasets, blocks| {
            datasets.text(blocks.into_iter().filter_map(text).collect())
        })
    }

    /// A stream of what a receiver stores. Without `codec` it cannot be had with the write-ahead log.
    pub(crate) fn receiver<O: OpenBlock>(
        &self,
        class_name: &'static str,
        receiver: Box<dyn Receiver<O>>,
        codec: Option<BlockCodec>,
        to_dataset: impl Fn(&B, Vec<Block>) -> Result<B::Dataset, StreamError> + Send + Sync + 'static,
    ) -> Result<NodeId, StreamError> {
        let tracker = Arc::clone(&self.shared.tracker);
        let id = self.add_source(Received { class_name, tracker, to_dataset: Box::new(to_dataset) })?;
        let input = self.shared.graph.node(id)?.input.unwrap_or(0);
        let prepare: Prepare = Box::new(move |settings, rate, log| {
            let intake = Arc::new(Intake::<O>::new(settings, rate, log));
            let shelf: Arc<dyn Shelf> = Arc::clone(&intake) as Arc<dyn Shelf>;
            let launch: Launch = Box::new(move |supervisor| supervisor.start(input, receiver, intake));
            (shelf, launch)
        });
        self.shared.receivers.lock().push(ReceiverEntry { input, codec, prepare });
        Ok(id)
    }

    /// A stream of the lines of the files that appear in a directory.
    ///
    /// # Errors
    /// The context was started or stopped; `spark.streaming.fileStream.minRememberDuration` cannot be read.
    pub fn text_files(&self, selection: FileSelection) -> Result<NodeId, StreamError> {
        self.files(selection, |datasets, files| datasets.text_files(files))
    }

    /// A stream of the records of `record_bytes` bytes of the files that appear in a directory.
    ///
    /// # Errors
    /// As [`Context::text_files`].
    pub fn record_files(&self, selection: FileSelection, record_bytes: usize) -> Result<NodeId, StreamError> {
        require(record_bytes > 0, || format!("The length of a record must be positive, not {record_bytes}"))?;
        self.files(selection, move |datasets, files| datasets.record_files(files, record_bytes))
    }

    fn files(
        &self,
        selection: FileSelection,
        read: impl Fn(&B, &[PathBuf]) -> Result<B::Dataset, StreamError> + Send + Sync + 'static,
    ) -> Result<NodeId, StreamError> {
        let least = self.conf().span("spark.streaming.fileStream.minRememberDuration")?;
        let least = least.unwrap_or(Span::from_ms(60_000));
        let now = self.shared.clock.now();
        self.add_source(FileStream::new(selection, Box::new(read), self.interval(), least, now))
    }

    /// A stream of a function of its parents' datasets. Parents must have the same slide.
    ///
    /// # Errors
    /// No parents, or of different slides; the context was started or stopped.
    pub fn transformed(
        &self,
        parents: &[NodeId],
        absent: Absent,
        function: TransformFn<B::Dataset>,
    ) -> Result<NodeId, StreamError> {
        let slide = self.common_slide(parents)?;
        self.add(parents, slide, Transformed { absent, function })
    }

    /// The parents' datasets one after another.
    ///
    /// # Errors
    /// No parents, or of different slides; the context was started or stopped.
    pub fn union(&self, parents: &[NodeId]) -> Result<NodeId, StreamError> {
        let slide = self.common_slide(parents)?;
        self.add(parents, slide, Union)
    }

    /// The last `window` of a stream, each `slide` anew.
    ///
    /// # Errors
    /// They are no multiples of the parent's slide; the context was started or stopped.
    pub fn windowed(&self, parent: NodeId, window: Span, slide: Span) -> Result<NodeId, StreamError> {
        let node = self.shared.graph.node(parent)?;
        check("windowed DStream", window, slide, node.slide)?;
        let id = self.add(&[parent], slide, Windowed { window })?;
        // A window takes each batch several times; a level that the program chose is kept.
        node.state.lock().level.get_or_insert(StorageLevel::MEMORY_ONLY_SER);
        Ok(id)
    }

    /// The last `window` of a stream, reduced by functions on datasets.
    ///
    /// # Errors
    /// As [`Context::windowed`].
    pub fn reduced_window(
        &self,
        parent: NodeId,
        window: Span,
        slide: Span,
        functions: WindowFunctions<B::Dataset>,
    ) -> Result<NodeId, StreamError> {
        let slides_least = functions.inverse.is_some().then_some(functions.slides_least);
        let advance: AdvanceFn<B> = Box::new(move |datasets, time, before, left, entered| {
            let mut before = before;
            if let (Some(inverse), false) = (&functions.inverse, left.is_empty()) {
                before = match before {
                    Some(whole) => inverse(time, whole, datasets.union(left)?)?,
                    None => None,
                };
            }
            if entered.is_empty() { Ok(before) } else { (functions.reduce)(time, before, datasets.union(entered)?) }
        });
        self.advancing_window(parent, window, slide, slides_least, advance)
    }

    /// The last `window` of a stream, made of the window before by a function of all that has left and entered.
    ///
    /// # Errors
    /// As [`Context::windowed`].
    pub fn advancing_window(
        &self,
        parent: NodeId,
        window: Span,
        slide: Span,
        slides_least: Option<u32>,
        advance: AdvanceFn<B>,
    ) -> Result<NodeId, StreamError> {
        check("ReducedWindowedDStream", window, slide, self.shared.graph.node(parent)?.slide)?;
        self.add(&[parent], slide, ReducedWindow { window, slides_least, advance })
    }

    /// A stream of a state that each batch makes of the one before.
    ///
    /// # Errors
    /// The context was started or stopped.
    pub fn stateful(
        &self,
        parent: NodeId,
        update: StateFn<B::Dataset>,
        initial: Option<InitialFn<B::Dataset>>,
    ) -> Result<NodeId, StreamError> {
        let slide = self.shared.graph.node(parent)?.slide;
        self.add(&[parent], slide, State { update, initial })
    }

    /// Does something with each batch of a stream: an output operation, which is what batches are made for.
    ///
    /// # Errors
    /// The context was started or stopped.
    pub fn for_each(
        &self,
        parent: NodeId,
        name: OutputName,
        action: impl Fn(Time, B::Dataset) -> Result<(), StreamError> + Send + Sync + 'static,
    ) -> Result<(), StreamError> {
        self.check_initialized()?;
        self.shared.graph.node(parent)?;
        let OutputName { name, description } = name;
        self.shared.graph.add_output(Output { parent, name, description, action: Arc::new(action) });
        Ok(())
    }

    fn common_slide(&self, parents: &[NodeId]) -> Result<Span, StreamError> {
        let slides: Result<Vec<Span>, StreamError> =
            parents.iter().map(|parent| Ok(self.shared.graph.node(*parent)?.slide)).collect();
        let slides = slides?;
        let first = slides.first().copied();
        let first =
            first.ok_or_else(|| StreamError::Requirement("List of DStreams to transform is empty".to_owned()))?;
        require(slides.iter().all(|slide| *slide == first), || {
            "Some of the DStreams have different slide durations".to_owned()
        })?;
        Ok(first)
    }

    fn check_initialized(&self) -> Result<(), StreamError> {
        let when = match self.state() {
            ContextState::Initialized => return Ok(()),
            ContextState::Active => "starting",
            ContextState::Stopped => "stopping",
        };
        Err(StreamError::IllegalState(format!(
            "Adding new inputs, transformations, and output operations after {when} a context is not supported"
        )))
    }

    // ---- Properties of streams ----------------------------------------------------------------------------------------------

    /// Time between two datasets of a stream.
    ///
    /// # Errors
    /// It is not of this context.
    pub fn slide(&self, stream: NodeId) -> Result<Span, StreamError> {
        Ok(self.shared.graph.node(stream)?.slide)
    }

    /// Keeps the datasets of a stream once they are computed; `None`: no longer. For windows it is the parent's that are kept.
    ///
    /// # Errors
    /// The context was started.
    pub fn persist(&self, stream: NodeId, level: Option<StorageLevel>) -> Result<(), StreamError> {
        let node = self.shared.graph.node(stream)?;
        if let (true, Some(parent)) = (node.operator.persists_parent(), node.parents.first()) {
            return self.persist(*parent, level);
        }
        let mut state = node.state.lock();
        if state.initialized {
            return Err(StreamError::UnsupportedOperation(
                "Cannot change storage level of a DStream after streaming context has started".to_owned(),
            ));
        }
        state.level = level;
        Ok(())
    }

    /// Saves the datasets of a stream every `interval`.
    ///
    /// # Errors
    /// The context was started. Whether the interval fits is checked by [`Context::start`].
    pub fn checkpoint_stream(&self, stream: NodeId, interval: Span) -> Result<(), StreamError> {
        let node = self.shared.graph.node(stream)?;
        if node.state.lock().initialized {
            return Err(StreamError::UnsupportedOperation(
                "Cannot change checkpoint interval of a DStream after streaming context has started".to_owned(),
            ));
        }
        self.persist(stream, Some(StorageLevel::MEMORY_ONLY_SER))?;
        node.state.lock().checkpoint = Some(interval);
        Ok(())
    }

    /// The datasets of a stream from `from` to `to`, both included.
    ///
    /// # Errors
    /// The context was not started, or no output needs the stream; those of computing the datasets.
    pub fn slice(&self, stream: NodeId, from: Time, to: Time) -> Result<Vec<B::Dataset>, StreamError> {
        let _generation = self.shared.graph.generation.lock();
        self.shared.graph.slice(stream, from, to)
    }

    /// All streams remember at least so long.
    ///
    /// # Errors
    /// It was said before.
    pub fn remember(&self, span: Span) -> Result<(), StreamError> {
        self.shared.graph.remember(span)
    }

    // ---- Life ---------------------------------------------------------------------------------------------------------------

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
