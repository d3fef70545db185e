//! State by key: the whole state anew each batch, or only the keys that come.

use std::any::Any;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::codec::Codec;
use super::engine::{Dataset, Engine};
use super::grouped::Grouped;
use super::parallel::{self, NEXT};
use super::rdd::{Data, Once, Plan, Rdd, Sink};
use super::shuffle::{Key, hash};
use super::stream::{DStream, Derived};
use super::versions::{Changes, Version};
use super::window::Versions;
use crate::{Absent, At, InitialFn, Operator, Span, StateFn, StorageLevel, StreamError, Time};

impl<K: Key, V: Data> DStream<(K, V)> {
    /// A state for each key. Each batch gives, for every key that has a state or a value, its values and its state to `update`, whose
    /// result is the new state, or nothing: then the key is gone.
    ///
    /// # Errors
    /// The context was started or stopped. It needs a checkpoint directory when the context starts.
    pub fn update_state_by_key<S>(
        &self,
        update: impl Fn(Vec<V>, Option<S>) -> Option<S> + Send + Sync + 'static,
    ) -> Derived<(K, S)>
    where
        K: Serialize + DeserializeOwned,
        S: Data + Serialize + DeserializeOwned,
    {
        self.update_state_from(Vec::new(), update)
    }

    /// As [`DStream::update_state_by_key`], with states before the first batch.
    ///
    /// # Errors
    /// As [`DStream::update_state_by_key`].
    pub fn update_state_from<S>(
        &self,
        initial: Vec<(K, S)>,
        update: impl Fn(Vec<V>, Option<S>) -> Option<S> + Send + Sync + 'static,
    ) -> Derived<(K, S)>
    where
        K: Serialize + DeserializeOwned,
        S: Data + Serialize + DeserializeOwned,
    {
        let (partitions, update) = (self.default_partitions(), Arc::new(update));
        let (values, codec) = (self.codec.clone(), Codec::<(K, S)>::serde());
        let own = codec.clone();
        let step: StateFn<Dataset> = Box::new(move |_, before, current| {
            let current = current.typed(values.as_ref())?;
            let before = before.map_or_else(|| Ok(Rdd::empty()), |before| before.typed(Some(&own)))?;
            let update = Arc::clone(&update);
            let build = move || updated(&before, &current, partitions, update.as_ref());
            Ok(Some(Dataset::of(
                Rdd::new(Once::new(partitions, Some(partitions), build)).with_codec(Some(own.clone())),
            )))
        });
        let initial: Option<InitialFn<Dataset>> = if initial.is_empty() {
            None
        } else {
            Some(Box::new(move || Ok(Dataset::of(Rdd::parallelize(initial.clone())))))
        };
        let node = self.context.stateful(self.node, step, initial)?;
        Ok(self.sibling(node, "update_state_by_key", Some(codec)))
    }

    /// A state for each key, of which a batch touches only those that come: `spec` says what is done with each value and what the
    /// resulting stream holds. See [`DStream::map_with_state_snapshots`] for the states themselves.
    ///
    /// # Errors
    /// As [`DStream::update_state_by_key`].
    pub fn map_with_state<S, E>(&self, spec: StateSpec<K, V, S, E>) -> Derived<E>
    where
        K: Serialize + DeserializeOwned,
        S: Data + Serialize + DeserializeOwned,
        E: Data + Serialize + DeserializeOwned,
    {
        Ok(self.map_with_state_snapshots(spec)?.0)
    }

    /// As [`DStream::map_with_state`], and with it the stream of all states after each batch.
    ///
    /// # Errors
    /// As [`DStream::update_state_by_key`].
    pub fn map_with_state_snapshots<S, E>(&self, spec: StateSpec<K, V, S, E>) -> MappedWithStates<K, S, E>
    where
        K: Serialize + DeserializeOwned,
        S: Data + Serialize + DeserializeOwned,
        E: Data + Serialize + DeserializeOwned,
    {
        let partitions = spec.partitions.unwrap_or_else(|| self.default_partitions());
        let slide = self.slide()?;
        let (codec, interval) = (Codec::serde(), slide * CHECKPOINT_SLIDES);
        let operator = MapWithState {
            spec: Arc::new(spec),
            values: self.codec.clone(),
            codec: codec.clone(),
            partitions,
            scan_interval: interval,
        };
        let node = self.context.add(&[self.node], slide, operator)?;
        self.context.checkpoint_stream(node, interval)?;
        let own: Codec<Row<K, S, E>> = codec.clone();
        let mapped = self.context.transformed(
            &[node],
            Absent::Skip,
            Box::new(move |_, datasets| {
                let Some(dataset) = datasets.first() else { return Ok(None) };
                Ok(Some(Dataset::of(Rdd::new(Mapped(dataset.typed(Some(&own))?)).with_codec(Some(Codec::serde())))))
            }),
        )?;
        let mapped = self.sibling(mapped, "map_with_state", Some(Codec::serde()));
        let states: DStream<Row<K, S, E>> = self.sibling(node, "states", Some(codec));
        let snapshots = states.derive("snapshots", Some(Codec::serde()), |_, rdd| {
            Ok(rdd.flat_map(|row| match row {
                Row::State(key, state, _) => Some((key, state)),
                Row::Mapped(_) => None,
            }))
        })?;
        Ok((mapped, snapshots))
    }
}

fn updated<K: Key, V: Data, S: Data>(
    before: &Rdd<(K, S)>,
    current: &Rdd<(K, V)>,
    partitions: usize,
    update: &(impl Fn(Vec<V>, Option<S>) -> Option<S> + Sync),
) -> Result<Vec<Vec<(K, S)>>, StreamError> {
    let (before, current) = (before.partition_by(partitions), current.group_by_key(partitions));
    before.prepare()?;
    current.prepare()?;
    parallel::run(partitions, |partition| {
        let mut groups = Grouped::new();
        for (key, values) in current.partition(partition)? {
            groups.add(hash(&key), key, values, |values| values, |_, values| values);
        }
        let mut states = Vec::with_capacity(groups.len());
        let _complete = before.run(partition, &mut |(key, state)| {
            let values = groups.take(hash(&key), &key).unwrap_or_default();
            states.extend(update(values, Some(state)).map(|state| (key, state)));
            NEXT
        })?;
        for (_, key, values) in groups.into_entries() {
            states.extend(update(values, None).map(|state| (key, state)));
        }
        Ok(states)
    })
}

/// Spark saves the states of `map_with_state` every so many slides, and looks for those that have timed out then.
const CHECKPOINT_SLIDES: i64 = 10;

/// The stream of what a function gave, and that of all states.
pub type MappedWithStates<K, S, E> = Result<(DStream<E>, DStream<(K, S)>), StreamError>;

/// What is done with a value and the state of its key.
type MapFn<K, V, S, E> = dyn Fn(&K, Option<V>, &mut State<S>) -> Option<E> + Send + Sync;

/// How [`DStream::map_with_state`] works.
pub struct StateSpec<K, V, S, E> {
    function: Box<MapFn<K, V, S, E>>,
    initial: Vec<(K, S)>,
    timeout: Option<Span>,
    partitions: Option<usize>,
}

impl<K, V, S, E> StateSpec<K, V, S, E> {
    /// `function` is given each value with the state of its key, and what it gives is in the resulting stream. A key that has timed out
    /// it is given without value.
    pub fn new(function: impl Fn(&K, Option<V>, &mut State<S>) -> Option<E> + Send + Sync + 'static) -> Self {
        StateSpec { function: Box::new(function), initial: Vec::new(), timeout: None, partitions: None }
    }

    /// States before the first batch.
    #[must_use]
    pub fn initial(mut self, states: Vec<(K, S)>) -> Self {
        self.initial = states;
        self
    }

    /// Keys without values for so long are given up, every tenth slide.
    #[must_use]
    pub fn timeout(mut self, idle: Duration) -> Self {
        self.timeout = Some(Span::from(idle));
        self
    }

    /// Partitions of the state.
    #[must_use]
    pub fn partitions(mut self, partitions: usize) -> Self {
        self.partitions = Some(partitions.max(1));
        self
    }
}

/// The state of a key.
pub struct State<S> {
    value: Option<S>,
    change: Change,
    timing_out: bool,
    misused: Option<&'static str>,
}

#[derive(PartialEq)]
enum Change {
    None,
    Updated,
    Removed,
}

impl<S> State<S> {
    /// The state, if there is one.
    pub fn get(&self) -> Option<&S> {
        self.value.as_ref()
    }

    /// Whether there is one.
    pub fn exists(&self) -> bool {
        self.value.is_some()
    }

    /// Whether the key is given up after this call.
    pub fn is_timing_out(&self) -> bool {
        self.timing_out
    }

    /// Sets it. The batch fails if the key is timing out, or was removed in this call.
    pub fn update(&mut self, value: S) {
        if self.change == Change::Removed {
            self.misused = Some("Cannot update the state after it has been removed");
        } else if self.timing_out {
            self.misused = Some("Cannot update the state that is timing out");
        } else {
            self.value = Some(value);
            self.change = Change::Updated;
        }
    }

    /// Removes it. The batch fails if the key is timing out, or was removed in this call.
    pub fn remove(&mut self) {
        if self.timing_out {
            self.misused = Some("Cannot remove the state that is timing out");
        } else if self.change == Change::Removed {
            self.misused = Some("Cannot remove the state that has already been removed");
        } else {
            self.value = None;
            self.change = Change::Removed;
        }
    }
}

/// What is saved of such a state: keys with state and time of the last value, and what the batch gave.
#[derive(Clone, Serialize, Deserialize)]
enum Row<K, S, E> {
    State(K, S, i64),
    Mapped(E),
}

struct Built<K, S, E> {
    versions: Versions<K, (S, i64)>,
    mapped: Vec<Vec<E>>,
}

type BuiltCell<K, S, E> = OnceLock<Result<Built<K, S, E>, StreamError>>;

/// The stream behind [`DStream::map_with_state`].
struct MapWithState<K, V, S, E> {
    spec: Arc<StateSpec<K, V, S, E>>,
    values: Option<Codec<(K, V)>>,
    codec: Codec<Row<K, S, E>>,
    partitions: usize,
    scan_interval: Span,
}

impl<K: Key, V: Data, S: Data, E: Data> Operator<Engine> for MapWithState<K, V, S, E> {
    fn class_name(&self) -> &'static str {
        "InternalMapWithStateDStream"
    }

    fn compute(&self, at: &At<'_, Engine>) -> Result<Option<Dataset>, StreamError> {
        let before = at.own(at.time() - at.slide())?.map(|before| before.typed(Some(&self.codec))).transpose()?;
        let current = at.parents()?.into_iter().next().flatten();
        let current = current.map_or_else(|| Ok(Rdd::empty()), |current| current.typed(self.values.as_ref()))?;
        let step = StateStep {
            before,
            current,
            time: at.time(),
            scan: (at.time() - at.zero()).is_multiple_of(self.scan_interval),
            spec: Arc::clone(&self.spec),
        };
        let plan = StatePlan { partitions: self.partitions, step: Mutex::new(Some(step)), built: Arc::default() };
        Ok(Some(Dataset::of(Rdd::new(plan).with_codec(Some(self.codec.clone())))))
    }

    fn level(&self) -> Option<StorageLevel> {
        Some(StorageLevel::MEMORY_ONLY)
    }

    fn must_checkpoint(&self) -> bool {
        true
    }
}

struct StateStep<K, V, S, E> {
    before: Option<Rdd<Row<K, S, E>>>,
    current: Rdd<(K, V)>,
    time: Time,
    scan: bool,
    spec: Arc<StateSpec<K, V, S, E>>,
}

struct StatePlan<K, V, S, E> {
    partitions: usize,
    step: Mutex<Option<StateStep<K, V, S, E>>>,
    built: Arc<BuiltCell<K, S, E>>,
}

impl<K: Key, V: Data, S: Data, E: Data> StateStep<K, V, S, E> {
    fn build(self, partitions: usize) -> Result<Built<K, S, E>, StreamError> {
        let versions = self.versions_before(partitions)?;
        let current = self.current.partition_by(partitions);
        current.prepare()?;
        let parts = parallel::run(partitions, |partition| {
            let mut mapped = Vec::new();
            let before = versions.get(partition).cloned().unwrap_or_else(|| Version::first([]));
            let version = before.next(|changes| {
                let mut error = None;
                let _complete = current.run(partition, &mut |(key, value)| {
                    match self.apply(changes, key, Some(value)) {
                        Ok(element) => mapped.extend(element),
                        Err(failed) => error = Some(failed),
                    }
                    if error.is_some() { ControlFlow::Break(()) } else { NEXT }
                })?;
                error.map_or(Ok(()), Err)?;
                self.give_up(changes, &mut mapped)
            })?;
            Ok((version, mapped))
        })?;
        let (versions, mapped) = parts.into_iter().unzip();
        Ok(Built { versions, mapped })
    }

    fn versions_before(&self, partitions: usize) -> Result<Versions<K, (S, i64)>, StreamError> {
        let first = |pairs: Rdd<(K, (S, i64))>| {
            let pairs = pairs.partition_by(partitions);
            pairs.each_partition(|partition, pairs| Ok(Version::first(pairs.partition(partition)?)))
        };
        let Some(before) = &self.before else {
            let time = self.time.as_ms();
            let states = self.spec.initial.iter().map(|(key, state)| (key.clone(), (state.clone(), time)));
            return first(Rdd::parallelize(states.collect()));
        };
        before.prepare()?;
        if let Some(detail) = before.detail()
            && let Ok(built) = detail.downcast::<BuiltCell<K, S, E>>()
            && let Some(Ok(built)) = built.get()
        {
            return Ok(built.versions.clone());
        }
        first(before.flat_map(|row| match row {
            Row::State(key, state, time) => Some((key, (state, time))),
            Row::Mapped(_) => None,
        }))
    }

    fn apply(
        &self,
        changes: &mut Changes<'_, K, (S, i64)>,
        key: K,
        value: Option<V>,
    ) -> Result<Option<E>, StreamError> {
        let timing_out = value.is_none();
        let before = changes.get(&key).map(|(state, _)| state.clone());
        let existed = before.is_some();
        let mut state = State { value: before, change: Change::None, timing_out, misused: None };
        let element = (self.spec.function)(&key, value, &mut state);
        if let Some(misused) = state.misused {
            return Err(StreamError::IllegalState(misused.to_owned()));
        }
        if timing_out {
            changes.set(key, None);
        } else if state.change == Change::Removed {
            if existed {
                changes.set(key, None);
            }
        } else if let Some(value) = state.value
            && (state.change == Change::Updated || self.spec.timeout.is_some())
        {
            changes.set(key, Some((value, self.time.as_ms())));
        }
        Ok(element)
    }

    fn give_up(&self, changes: &mut Changes<'_, K, (S, i64)>, mapped: &mut Vec<E>) -> Result<(), StreamError> {
        let Some(timeout) = self.spec.timeout.filter(|_| self.scan) else { return Ok(()) };
        let threshold = (self.time - timeout).as_ms();
        let idle = changes.iter().filter(|(_, (_, updated))| *updated < threshold);
        let idle: Vec<K> = idle.map(|(key, _)| key.clone()).collect();
        for key in idle {
            mapped.extend(self.apply(changes, key, None)?);
        }
        Ok(())
    }
}

impl<K: Key, V: Data, S: Data, E: Data> Plan<Row<K, S, E>> for StatePlan<K, V, S, E> {
    fn partitions(&self) -> usize {
        self.partitions
    }

    fn prepare(&self) -> Result<(), StreamError> {
        let mut step = self.step.lock();
        if let Some(step) = step.take() {
            let _only_once = self.built.set(step.build(self.partitions));
        }
        match self.built.get() {
            Some(Err(error)) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    fn run(&self, partition: usize, sink: &mut Sink<'_, Row<K, S, E>>) -> Result<ControlFlow<()>, StreamError> {
        let built = built(&self.built)?;
        let mut flow = NEXT;
        if let Some(version) = built.versions.get(partition) {
            version.for_each(|key, (state, time)| {
                flow = sink(Row::State(key.clone(), state.clone(), *time));
                flow.is_continue()
            });
        }
        if flow.is_break() {
            return Ok(flow);
        }
        let mapped = built.mapped.get(partition).map(Vec::as_slice).unwrap_or_default();
        Ok(mapped.iter().cloned().try_for_each(|element| sink(Row::Mapped(element))))
    }

    fn keeps_itself(&self) -> bool {
        true
    }

    fn detail(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        let built: Arc<dyn Any + Send + Sync> = Arc::clone(&self.built) as Arc<dyn Any + Send + Sync>;
        Some(built)
    }
}

fn built<K, S, E>(cell: &BuiltCell<K, S, E>) -> Result<&Built<K, S, E>, StreamError> {
    match cell.get() {
        Some(Ok(built)) => Ok(built),
        Some(Err(error)) => Err(error.clone()),
        None => Err(StreamError::Graph("a state was used before it was prepared".to_owned())),
    }
}

/// What the batch gave, without its states.
struct Mapped<K, S, E>(Rdd<Row<K, S, E>>);

impl<K: Key, S: Data, E: Data> Plan<E> for Mapped<K, S, E> {
    fn partitions(&self) -> usize {
        self.0.partitions()
    }

    fn prepare(&self) -> Result<(), StreamError> {
        self.0.prepare()
    }

    fn run(&self, partition: usize, sink: &mut Sink<'_, E>) -> Result<ControlFlow<()>, StreamError> {
        let cell = self.0.detail().and_then(|detail| detail.downcast::<BuiltCell<K, S, E>>().ok());
        if let Some(cell) = cell {
            let mapped = built(&cell)?.mapped.get(partition).map(Vec::as_slice).unwrap_or_default();
            return Ok(mapped.iter().cloned().try_for_each(sink));
        }
        self.0.run(partition, &mut |row| match row {
            Row::State(..) => NEXT,
            Row::Mapped(element) => sink(element),
        })
    }
}
