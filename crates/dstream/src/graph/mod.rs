//! The graph of streams: nodes that give a dataset for each of their times, and outputs that make jobs of them.
//!
//! A node is asked for a time by those that depend on it; nobody asks for batches that no output needs. What was given once is kept for
//! the node's remember duration, so that a time is computed once. A time is valid if it is after the zero time and a whole number of
//! the node's slides away from it; for others a node gives nothing.
//!
//! # Locks
//! `generation` is held while jobs of a batch are made, while old data is dropped and while a checkpoint is taken; it may be entered
//! again by the thread that has it. The lock of a node's own state is never held while anything else is called.

pub(crate) mod files;
pub(crate) mod operator;
pub(crate) mod queue;
pub(crate) mod received;
pub(crate) mod source;
pub(crate) mod transform;
pub(crate) mod window;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, ReentrantMutex, RwLock};

pub use self::operator::{Absent, At, Operator};
use crate::checkpoint::saved::Saved;
use crate::error::require;
use crate::listener::InputInfo;
use crate::{Datasets, Span, StorageLevel, StreamError, Time};

/// Name of a node within its context: nodes count from 0 in the order in which they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// A stream.
pub(crate) struct Node<B: Datasets> {
    pub id: NodeId,
    pub operator: Box<dyn Operator<B>>,
    pub parents: Vec<NodeId>,
    pub slide: Span,
    /// The number among the inputs, for sources.
    pub input: Option<usize>,
    pub state: Mutex<NodeState<B::Dataset>>,
}

/// What changes in a node.
pub(crate) struct NodeState<D> {
    /// Set for nodes that an output needs.
    pub initialized: bool,
    pub remember: Option<Span>,
    pub checkpoint: Option<Span>,
    pub level: Option<StorageLevel>,
    pub generated: BTreeMap<Time, D>,
    /// Times of `generated` that a checkpoint shall hold, but that are not yet saved.
    pub to_save: Vec<Time>,
    /// Where the datasets of `generated` are saved.
    pub saved: BTreeMap<Time, Saved>,
}

impl<D> NodeState<D> {
    fn remember_at_least(&mut self, span: Span) {
        self.remember = Some(self.remember.map_or(span, |own| own.max(span)));
    }
}

/// What is done with each batch of a stream.
pub(crate) type Action<D> = Arc<dyn Fn(Time, D) -> Result<(), StreamError> + Send + Sync>;

/// An output operation.
pub(crate) struct Output<B: Datasets> {
    pub parent: NodeId,
    pub name: String,
    pub description: String,
    pub action: Action<B::Dataset>,
}

/// An output operation of one batch.
pub(crate) struct OutputJob<B: Datasets> {
    pub index: usize,
    pub output: Arc<Output<B>>,
    pub dataset: B::Dataset,
}

/// What a source gives to a batch.
pub(crate) struct Input {
    /// Number among the inputs.
    pub number: usize,
    /// May grow while the batch runs.
    pub records: Arc<AtomicU64>,
    pub description: Option<String>,
}

impl Input {
    /// As it is now.
    pub fn info(&self) -> InputInfo {
        let (input, description) = (self.number, self.description.clone());
        InputInfo { input, records: self.records.load(Ordering::Relaxed), description }
    }
}

/// All streams of a context.
pub(crate) struct Graph<B: Datasets> {
    pub datasets: Arc<B>,
    pub interval: Span,
    pub zero: OnceLock<Time>,
    pub generation: ReentrantMutex<()>,
    nodes: RwLock<Vec<Arc<Node<B>>>>,
    outputs: RwLock<Vec<Arc<Output<B>>>>,
    remember: Mutex<Option<Span>>,
    /// What sources reported of batches that are not submitted yet.
    inputs: Mutex<BTreeMap<Time, BTreeMap<usize, Input>>>,
    /// `spark.streaming.unpersist`.
    unpersist: bool,
}

/// A checkpoint interval that nobody chose is the least multiple of the slide of at least this.
const CHECKPOINT_LEAST: Span = Span::from_ms(10_000);

impl<B: Datasets> Graph<B> {
    pub fn new(datasets: Arc<B>, interval: Span, unpersist: bool) -> Self {
        Graph {
            datasets,
            interval,
            zero: OnceLock::new(),
            generation: ReentrantMutex::new(()),
            nodes: RwLock::default(),
            outputs: RwLock::default(),
            remember: Mutex::default(),
            inputs: Mutex::default(),
            unpersist,
        }
    }

    /// Adds a stream; its operator is made by `make`, which is given the number that the input has if it is one.
    pub fn add(
        &self,
        parents: Vec<NodeId>,
        slide: Span,
        is_input: bool,
        make: impl FnOnce(NodeId, usize) -> Box<dyn Operator<B>>,
    ) -> NodeId {
        let mut nodes = self.nodes.write();
        let id = NodeId(nodes.len());
        let number = nodes.iter().filter(|node| node.input.is_some()).count();
        let operator = make(id, number);
        let state = NodeState {
            initialized: false,
            remember: operator.remember_least(),
            checkpoint: None,
            level: operator.level(),
            generated: BTreeMap::new(),
            to_save: Vec::new(),
            saved: BTreeMap::new(),
        };
        let input = is_input.then_some(number);
        nodes.push(Arc::new(Node { id, operator, parents, slide, input, state: Mutex::new(state) }));
        id
    }

    pub fn add_output(&self, output: Output<B>) {
        self.outputs.write().push(Arc::new(output));
    }

    pub fn node(&self, id: NodeId) -> Result<Arc<Node<B>>, StreamError> {
        let node = self.nodes.read().get(id.0).cloned();
        node.ok_or_else(|| StreamError::Graph(format!("Stream {} is not one of this context", id.0)))
    }

    pub fn nodes(&self) -> Vec<Arc<Node<B>>> {
        self.nodes.read().clone()
    }

    pub fn remember(&self, span: Span) -> Result<(), StreamError> {
        let mut remember = self.remember.lock();
        if let Some(before) = *remember {
            return Err(StreamError::Requirement(format!(
                "Remember duration already set as {before}. Cannot set it again."
            )));
        }
        *remember = Some(span);
        Ok(())
    }

    pub fn validate(&self) -> Result<(), StreamError> {
        require(!self.outputs.read().is_empty(), || "No output operations registered, so nothing to execute".to_owned())
    }

    /// Fixes the zero time and with it which times are valid, works out how long each stream is kept, and checks the whole.
    pub fn start(&self, zero: Time, checkpoint_dir_set: bool) -> Result<(), StreamError> {
        require(self.zero.set(zero).is_ok(), || "DStream graph computation already started".to_owned())?;
        let outputs: Vec<NodeId> = self.outputs.read().iter().map(|output| output.parent).collect();
        for output in &outputs {
            self.initialize(*output)?;
        }
        let remember = *self.remember.lock();
        for output in &outputs {
            self.propagate_remember(*output, remember)?;
        }
        for node in self.nodes() {
            if node.state.lock().initialized {
                validate_node(&node, checkpoint_dir_set)?;
            }
        }
        Ok(())
    }

    fn initialize(&self, id: NodeId) -> Result<(), StreamError> {
        let node = self.node(id)?;
        {
            let mut state = node.state.lock();
            if state.initialized {
                return Ok(());
            }
            state.initialized = true;
            if node.operator.must_checkpoint() && state.checkpoint.is_none() {
                state.checkpoint = Some(node.slide.at_least(CHECKPOINT_LEAST));
            }
            // Twice, so that the newest saved dataset is not forgotten while the next one is not saved yet.
            let checkpoint = state.checkpoint.filter(|checkpoint| node.slide <= *checkpoint);
            state.remember_at_least(checkpoint.map_or(node.slide, |checkpoint| checkpoint * 2));
        }
        node.parents.iter().try_for_each(|parent| self.initialize(*parent))
    }

    fn propagate_remember(&self, id: NodeId, span: Option<Span>) -> Result<(), StreamError> {
        let node = self.node(id)?;
        let own = {
            let mut state = node.state.lock();
            if let Some(span) = span {
                state.remember_at_least(span);
            }
            state.remember.unwrap_or(node.slide)
        };
        let of_parents = node.operator.parent_remember(own);
        node.parents.iter().try_for_each(|parent| self.propagate_remember(*parent, Some(of_parents)))
    }

    /// The dataset of a node at a time, from memory or computed now; nothing if the time is not valid for it.
    pub fn get_or_compute(&self, id: NodeId, time: Time) -> Result<Option<B::Dataset>, StreamError> {
        let node = self.node(id)?;
        {
            let state = node.state.lock();
            if let Some(dataset) = state.generated.get(&time) {
                return Ok(Some(dataset.clone()));
            }
            if !state.initialized {
                return Err(not_initialized(&node));
            }
        }
        let zero = self.zero_time(&node)?;
        if time <= zero || !(time - zero).is_multiple_of(node.slide) {
            return Ok(None);
        }
        let Some(dataset) = node.operator.compute(&At { graph: self, node: &node, time })? else {
            return Ok(None);
        };
        let mut state = node.state.lock();
        let level = state.level;
        if state.checkpoint.is_some_and(|interval| (time - zero).is_multiple_of(interval)) {
            state.to_save.push(time);
        }
        state.generated.insert(time, dataset.clone());
        drop(state);
        if let Some(level) = level {
            self.datasets.remember(&dataset, level);
        }
        Ok(Some(dataset))
    }

    fn zero_time(&self, node: &Node<B>) -> Result<Time, StreamError> {
        self.zero.get().copied().ok_or_else(|| not_initialized(node))
    }

    /// The datasets of a node from `from` to `to`, both included and rounded down to the node's slide.
    pub fn slice(&self, id: NodeId, from: Time, to: Time) -> Result<Vec<B::Dataset>, StreamError> {
        let node = self.node(id)?;
        if !node.state.lock().initialized {
            return Err(not_initialized(&node));
        }
        let zero = self.zero_time(&node)?;
        let (from, to) = (from.floor(node.slide, zero), to.floor(node.slide, zero));
        let mut datasets = Vec::new();
        for time in from.to(to, node.slide).filter(|time| *time >= zero) {
            datasets.extend(self.get_or_compute(id, time)?);
        }
        Ok(datasets)
    }

    /// The output operations of a batch, in the order in which they were declared.
    pub fn generate_jobs(&self, time: Time) -> Result<Vec<OutputJob<B>>, StreamError> {
        let _generation = self.generation.lock();
        let outputs = self.outputs.read().clone();
        let mut jobs = Vec::with_capacity(outputs.len());
        for (index, output) in outputs.into_iter().enumerate() {
            if let Some(dataset) = self.get_or_compute(output.parent, time)? {
                jobs.push(OutputJob { index, output, dataset });
            }
        }
        Ok(jobs)
    }

    pub fn report_input(&self, time: Time, input: Input) {
        self.inputs.lock().entry(time).or_default().insert(input.number, input);
    }

    /// What sources reported for a batch.
    pub fn take_inputs(&self, time: Time) -> Vec<Input> {
        let mut inputs = self.inputs.lock();
        let taken = inputs.remove(&time).unwrap_or_default();
        let later = inputs.split_off(&time);
        *inputs = later;
        taken.into_values().collect()
    }

    /// Whether a batch may only run when it is in a checkpoint.
    pub fn has_ranges(&self) -> bool {
        self.nodes.read().iter().any(|node| node.operator.has_ranges())
    }

    /// Says to all streams that the checkpoint they told their progress for is written, or that there is none.
    pub fn settled(&self) -> Result<(), StreamError> {
        let mut result = Ok(());
        for node in self.nodes() {
            result = node.operator.settled().and(result);
        }
        result
    }

    /// Lets go of what no later batch can ask for, once the batch of `time` is done.
    pub fn clear_metadata(&self, time: Time, unfinished: &[Time]) {
        for node in self.nodes() {
            let (old, until) = {
                let mut state = node.state.lock();
                if !state.initialized {
                    continue;
                }
                let until = time - state.remember.unwrap_or(node.slide);
                let kept = state.generated.split_off(&(until + Span::from_ms(1)));
                let old = std::mem::replace(&mut state.generated, kept);
                let kept = state.saved.split_off(&(until + Span::from_ms(1)));
                state.saved = kept;
                state.to_save.retain(|time| *time > until);
                (old, until)
            };
            if self.unpersist {
                old.values().for_each(|dataset| self.datasets.forget(dataset));
            }
            node.operator.forget_until(until, unfinished);
        }
    }

    /// Longest time that a source is remembered.
    pub fn remember_max_of_inputs(&self) -> Span {
        let nodes = self.nodes();
        let inputs = nodes.iter().filter(|node| node.input.is_some());
        inputs.filter_map(|node| node.state.lock().remember).max().unwrap_or(self.interval)
    }
}

fn not_initialized<B: Datasets>(node: &Node<B>) -> StreamError {
    StreamError::Graph(format!("{} has not been initialized", node.operator.class_name()))
}

fn validate_node<B: Datasets>(node: &Node<B>, checkpoint_dir_set: bool) -> Result<(), StreamError> {
    let state = node.state.lock();
    let Some(checkpoint) = state.checkpoint else { return Ok(()) };
    let (name, slide) = (node.operator.class_name(), node.slide);
    require(checkpoint_dir_set, || {
        "The checkpoint directory has not been set. Please set it by StreamingContext.checkpoint().".to_owned()
    })?;
    require(checkpoint >= slide, || {
        format!(
            "The checkpoint interval for {name} has been set to {checkpoint} which is lower than its slide time ({slide}). \
             Please set it to at least {slide}."
        )
    })?;
    require(checkpoint.is_multiple_of(slide), || {
        format!(
            "The checkpoint interval for {name} has been set to {checkpoint} which not a multiple of its slide time ({slide}). \
             Please set it to a multiple of {slide}."
        )
    })?;
    require(state.level.is_some(), || {
        format!(
            "{name} has been marked for checkpointing but the storage level has not been set to enable persisting. Please use \
             DStream.persist() to set the storage level to use memory for better checkpointing performance."
        )
    })?;
    let remember = state.remember.unwrap_or(slide);
    require(remember > checkpoint, || {
        format!(
            "The remember duration for {name} has been set to {remember} which is not more than the checkpoint interval \
             ({checkpoint}). Please set it to a value higher than {checkpoint}."
        )
    })
}
