//! The elements of one batch of a typed stream, in partitions; computed when they are needed.
//!
//! Elements are pushed: a partition hands each element to a sink, which hands it on, so that a chain of `map`, `filter` and `flat_map`
//! makes no lists in between. What must be computed as a whole before (a shuffle, a state) is computed by [`Rdd::prepare`], once, on all
//! cores, and then lets go of what it was made of.

use std::any::Any;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use millstream_formats::{faults, files};
use parking_lot::Mutex;

use super::codec::{Codec, part};
use super::parallel::{self, NEXT};
use crate::StreamError;

/// What elements of streams can be.
pub trait Data: Clone + Send + Sync + 'static {}
impl<T: Clone + Send + Sync + 'static> Data for T {}

/// Takes elements; `Break` if it wants no more.
pub type Sink<'a, T> = dyn FnMut(T) -> ControlFlow<()> + 'a;

/// How the partitions of a dataset are computed.
pub(crate) trait Plan<T>: Send + Sync {
    fn partitions(&self) -> usize;
    /// Computes what must be there before a partition can run.
    fn prepare(&self) -> Result<(), StreamError> {
        Ok(())
    }
    /// Pushes the elements of a partition.
    fn run(&self, partition: usize, sink: &mut Sink<'_, T>) -> Result<ControlFlow<()>, StreamError>;
    /// Number of partitions, if the elements are pairs that lie where the hash of their key says.
    fn hashed(&self) -> Option<usize> {
        None
    }
    /// Whether elements stay where they are once they are computed, so that there is nothing to gain from keeping them again.
    fn keeps_itself(&self) -> bool {
        false
    }
    /// Something that an operator of the same kind looks for in the dataset before.
    fn detail(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        None
    }
}

/// Elements of one batch. A clone is the same dataset.
pub struct Rdd<T>(Arc<Node<T>>);

struct Node<T> {
    plan: Box<dyn Plan<T>>,
    remembered: AtomicBool,
    kept: Mutex<Option<Kept<T>>>,
    codec: OnceLock<Codec<T>>,
}

/// A partition that was computed, or will be.
type Kept<T> = Arc<Vec<OnceLock<Arc<Vec<T>>>>>;

impl<T> Clone for Rdd<T> {
    fn clone(&self) -> Self {
        Rdd(Arc::clone(&self.0))
    }
}

impl<T: Data> Rdd<T> {
    pub(crate) fn new(plan: impl Plan<T> + 'static) -> Self {
        let (remembered, kept) = (AtomicBool::new(false), Mutex::new(None));
        Rdd(Arc::new(Node { plan: Box::new(plan), remembered, kept, codec: OnceLock::new() }))
    }

    /// No partitions.
    pub fn empty() -> Self {
        Self::from_partitions(Vec::new())
    }

    /// These partitions.
    pub fn from_partitions(partitions: Vec<Vec<T>>) -> Self {
        Self::new(Lists(partitions.into_iter().map(Arc::new).collect()))
    }

    pub(crate) fn from_shared(partitions: Vec<Arc<Vec<T>>>) -> Self {
        Self::new(Lists(partitions))
    }

    /// Partitions that are computed together, once.
    pub(crate) fn once(
        partitions: usize,
        build: impl FnOnce() -> Result<Vec<Vec<T>>, StreamError> + Send + 'static,
    ) -> Self {
        Self::new(Once::new(partitions, None, build))
    }

    /// The elements in as many partitions as there are cores.
    pub fn parallelize(elements: Vec<T>) -> Self {
        let mut rest = elements.into_iter();
        let (count, cores) = (rest.len(), parallel::cores());
        let ends = (0..cores).map(|i| (i + 1) * count / cores - i * count / cores);
        Self::from_partitions(ends.map(|length| rest.by_ref().take(length).collect()).collect())
    }

    /// One after another, each with its partitions.
    pub fn union(parts: Vec<Rdd<T>>) -> Self {
        Self::new(Union { parts })
    }

    /// Number of partitions.
    pub fn partitions(&self) -> usize {
        self.0.plan.partitions()
    }

    pub(crate) fn hashed(&self) -> Option<usize> {
        self.0.plan.hashed()
    }

    pub(crate) fn detail(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.0.plan.detail()
    }

    pub(crate) fn with_codec(self, codec: Option<Codec<T>>) -> Self {
        if let Some(codec) = codec {
            let _already_set = self.0.codec.set(codec);
        }
        self
    }

    /// Keeps the elements when they are computed.
    pub fn cache(&self) {
        self.0.remembered.store(!self.0.plan.keeps_itself(), Ordering::Relaxed);
    }

    /// Lets kept elements go.
    pub fn unpersist(&self) {
        self.0.remembered.store(false, Ordering::Relaxed);
        *self.0.kept.lock() = None;
    }

    pub(crate) fn prepare(&self) -> Result<(), StreamError> {
        if self.0.remembered.load(Ordering::Relaxed) {
            let mut kept = self.0.kept.lock();
            let kept = kept.get_or_insert_with(|| Arc::new((0..self.partitions()).map(|_| OnceLock::new()).collect()));
            if !kept.is_empty() && kept.iter().all(|partition| partition.get().is_some()) {
                return Ok(());
            }
        }
        self.0.plan.prepare()
    }

    pub(crate) fn run(&self, partition: usize, sink: &mut Sink<'_, T>) -> Result<ControlFlow<()>, StreamError> {
        let kept = self.0.kept.lock().clone();
        let Some(slot) = kept.as_ref().and_then(|kept| kept.get(partition)) else {
            return self.0.plan.run(partition, sink);
        };
        let elements = match slot.get() {
            Some(elements) => Arc::clone(elements),
            None => {
                let mut elements = Vec::new();
                let _complete = self.0.plan.run(partition, &mut |element| {
                    elements.push(element);
                    NEXT
                })?;
                Arc::clone(slot.get_or_init(|| Arc::new(elements)))
            }
        };
        Ok(push_all(&elements, sink))
    }

    /// What `compute` makes of each partition, in order. Runs on all cores.
    ///
    /// # Errors
    /// Those of computing the elements, and panics of the program's functions.
    pub(crate) fn each_partition<R: Send>(
        &self,
        compute: impl Fn(usize, &Self) -> Result<R, StreamError> + Sync,
    ) -> Result<Vec<R>, StreamError> {
        self.prepare()?;
        parallel::run(self.partitions(), |partition| compute(partition, self))
    }

    pub(crate) fn partition(&self, partition: usize) -> Result<Vec<T>, StreamError> {
        let mut elements = Vec::new();
        let _complete = self.run(partition, &mut |element| {
            elements.push(element);
            NEXT
        })?;
        Ok(elements)
    }

    /// The elements of each partition.
    ///
    /// # Errors
    /// Those of computing them.
    pub fn collect_partitions(&self) -> Result<Vec<Vec<T>>, StreamError> {
        self.each_partition(|partition, rdd| rdd.partition(partition))
    }

    /// All elements.
    ///
    /// # Errors
    /// Those of computing them.
    pub fn collect(&self) -> Result<Vec<T>, StreamError> {
        Ok(self.collect_partitions()?.into_iter().flatten().collect())
    }

    /// The first `count` elements. Computes no more partitions than it needs.
    ///
    /// # Errors
    /// Those of computing them.
    pub fn take(&self, count: usize) -> Result<Vec<T>, StreamError> {
        self.prepare()?;
        let mut elements = Vec::new();
        for partition in 0..self.partitions() {
            if elements.len() >= count {
                break;
            }
            let _may_be_cut = self.run(partition, &mut |element| {
                elements.push(element);
                if elements.len() >= count { ControlFlow::Break(()) } else { NEXT }
            })?;
        }
        Ok(elements)
    }

    /// Number of elements.
    ///
    /// # Errors
    /// Those of computing them.
    pub fn count(&self) -> Result<u64, StreamError> {
        let counts = self.each_partition(|partition, rdd| {
            let mut count = 0_u64;
            let _complete = rdd.run(partition, &mut |_| {
                count += 1;
                NEXT
            })?;
            Ok(count)
        })?;
        Ok(counts.into_iter().sum())
    }

    /// Does something with each element, on all cores.
    ///
    /// # Errors
    /// Those of computing them.
    pub fn for_each(&self, action: impl Fn(T) + Sync) -> Result<(), StreamError> {
        let done = self.each_partition(|partition, rdd| {
            let _complete = rdd.run(partition, &mut |element| {
                action(element);
                NEXT
            })?;
            Ok(())
        });
        done.map(|_| ())
    }

    /// All elements combined, or nothing if there are none.
    ///
    /// # Errors
    /// Those of computing them.
    pub fn reduce(&self, function: impl Fn(T, T) -> T + Sync) -> Result<Option<T>, StreamError> {
        let parts = self.each_partition(|partition, rdd| {
            let mut whole: Option<T> = None;
            let _complete = rdd.run(partition, &mut |element| {
                whole = Some(match whole.take() {
                    Some(before) => function(before, element),
                    None => element,
                });
                NEXT
            })?;
            Ok(whole)
        })?;
        Ok(parts.into_iter().flatten().reduce(function))
    }

    /// A function of each element.
    pub fn map<U: Data>(&self, function: impl Fn(T) -> U + Send + Sync + 'static) -> Rdd<U> {
        self.narrow(false, move |element, sink| sink(function(element)))
    }

    /// The elements of a function of each element.
    pub fn flat_map<I: IntoIterator>(&self, function: impl Fn(T) -> I + Send + Sync + 'static) -> Rdd<I::Item>
    where
        I::Item: Data,
    {
        self.narrow(false, move |element, sink| function(element).into_iter().try_for_each(&mut *sink))
    }

    /// The elements for which a function is true.
    pub fn filter(&self, function: impl Fn(&T) -> bool + Send + Sync + 'static) -> Rdd<T> {
        self.narrow(true, move |element, sink| if function(&element) { sink(element) } else { NEXT })
    }

    /// A function of each partition.
    pub fn map_partitions<I: IntoIterator>(
        &self,
        function: impl Fn(Vec<T>) -> I + Send + Sync + 'static,
    ) -> Rdd<I::Item>
    where
        I::Item: Data,
    {
        Rdd::new(MapPartitions { parent: self.clone(), function })
    }

    /// Each partition as one element.
    pub fn glom(&self) -> Rdd<Vec<T>> {
        self.map_partitions(|partition| [partition])
    }

    /// The same elements in `partitions` partitions, dealt out in turn.
    pub fn repartition(&self, partitions: usize) -> Rdd<T> {
        let parent = self.clone();
        Rdd::new(Once::new(partitions.max(1), None, move || {
            let mut dealt: Vec<Vec<T>> = (0..partitions.max(1)).map(|_| Vec::new()).collect();
            for (index, elements) in parent.collect_partitions()?.into_iter().enumerate() {
                for (at, element) in elements.into_iter().enumerate() {
                    if let Some(partition) = dealt.get_mut((index + at) % partitions.max(1)) {
                        partition.push(element);
                    }
                }
            }
            Ok(dealt)
        }))
    }

    /// `keeps_keys`: elements stay in their partitions, and keys are as they were.
    pub(crate) fn narrow<U: Data>(
        &self,
        keeps_keys: bool,
        step: impl Fn(T, &mut Sink<'_, U>) -> ControlFlow<()> + Send + Sync + 'static,
    ) -> Rdd<U> {
        Rdd::new(Narrow { parent: self.clone(), keeps_keys, step, marker: std::marker::PhantomData })
    }

    /// Writes a file `part-0000N` for each partition and `_SUCCESS`.
    ///
    /// # Errors
    /// The directory exists; it cannot be written; those of computing the elements.
    pub fn save_as_text_file(&self, directory: impl AsRef<Path>) -> Result<(), StreamError>
    where
        T: std::fmt::Display,
    {
        use std::io::Write;
        let directory = crate::checkpoint::local_path(directory.as_ref());
        if directory.exists() {
            let text = format!("Output directory {} already exists", directory.display());
            return Err(StreamError::Invalid(text));
        }
        let failed = |e| StreamError::io("create", &directory, e);
        faults::step(OUTPUT, "create", &directory)
            .and_then(|()| std::fs::create_dir_all(&directory))
            .map_err(failed)?;
        let writer = files::Writer { role: OUTPUT, fsync: false };
        self.each_partition(|partition, rdd| {
            let mut failed = None;
            // A file appears under its name when it is whole.
            let written = writer.replace_with(&directory.join(format!("part-{partition:05}")), |file| {
                let mut file = std::io::BufWriter::new(file);
                let mut error = None;
                let ran = rdd.run(partition, &mut |element| match writeln!(file, "{element}") {
                    Ok(()) => NEXT,
                    Err(e) => {
                        error = Some(e);
                        ControlFlow::Break(())
                    }
                });
                if let Err(e) = ran {
                    failed = Some(e);
                    return Err(std::io::ErrorKind::Other.into());
                }
                error.map_or_else(|| file.flush(), Err)
            });
            failed.map_or_else(|| Ok(written?), Err)
        })?;
        Ok(writer.replace(&directory.join("_SUCCESS"), b"")?)
    }
}

/// Role of files that a program saves, in [`millstream_formats::faults`].
const OUTPUT: &str = "data";

fn push_all<T: Clone>(elements: &[T], sink: &mut Sink<'_, T>) -> ControlFlow<()> {
    elements.iter().cloned().try_for_each(sink)
}

struct Lists<T>(Vec<Arc<Vec<T>>>);

impl<T: Data> Plan<T> for Lists<T> {
    fn keeps_itself(&self) -> bool {
        true
    }

    fn partitions(&self) -> usize {
        self.0.len()
    }

    fn run(&self, partition: usize, sink: &mut Sink<'_, T>) -> Result<ControlFlow<()>, StreamError> {
        Ok(self.0.get(partition).map_or(NEXT, |elements| push_all(elements, sink)))
    }
}

struct Union<T> {
    parts: Vec<Rdd<T>>,
}

impl<T: Data> Plan<T> for Union<T> {
    fn partitions(&self) -> usize {
        self.parts.iter().map(Rdd::partitions).sum()
    }

    fn prepare(&self) -> Result<(), StreamError> {
        self.parts.iter().try_for_each(Rdd::prepare)
    }

    fn run(&self, mut partition: usize, sink: &mut Sink<'_, T>) -> Result<ControlFlow<()>, StreamError> {
        for part in &self.parts {
            if partition < part.partitions() {
                return part.run(partition, sink);
            }
            partition -= part.partitions();
        }
        Ok(NEXT)
    }
}

struct Narrow<T, U, F> {
    parent: Rdd<T>,
    keeps_keys: bool,
    step: F,
    marker: std::marker::PhantomData<fn() -> U>,
}

impl<T: Data, U: Data, F> Plan<U> for Narrow<T, U, F>
where
    F: Fn(T, &mut Sink<'_, U>) -> ControlFlow<()> + Send + Sync,
{
    fn partitions(&self) -> usize {
        self.parent.partitions()
    }

    fn prepare(&self) -> Result<(), StreamError> {
        self.parent.prepare()
    }

    fn run(&self, partition: usize, sink: &mut Sink<'_, U>) -> Result<ControlFlow<()>, StreamError> {
        self.parent.run(partition, &mut |element| (self.step)(element, sink))
    }

    fn hashed(&self) -> Option<usize> {
        self.parent.hashed().filter(|_| self.keeps_keys)
    }
}

struct MapPartitions<T, F> {
    parent: Rdd<T>,
    function: F,
}

impl<T: Data, I: IntoIterator, F: Fn(Vec<T>) -> I + Send + Sync> Plan<I::Item> for MapPartitions<T, F> {
    fn partitions(&self) -> usize {
        self.parent.partitions()
    }

    fn prepare(&self) -> Result<(), StreamError> {
        self.parent.prepare()
    }

    fn run(&self, partition: usize, sink: &mut Sink<'_, I::Item>) -> Result<ControlFlow<()>, StreamError> {
        Ok((self.function)(self.parent.partition(partition)?).into_iter().try_for_each(sink))
    }
}

type Build<T> = Box<dyn FnOnce() -> Result<Vec<Vec<T>>, StreamError> + Send>;

/// Partitions that are computed together, once; then what they were made of is let go.
pub(crate) struct Once<T> {
    partitions: usize,
    hashed: Option<usize>,
    build: Mutex<Option<Build<T>>>,
    built: OnceLock<Result<Vec<Vec<T>>, StreamError>>,
}

impl<T: Data> Once<T> {
    pub fn new(
        partitions: usize,
        hashed: Option<usize>,
        build: impl FnOnce() -> Result<Vec<Vec<T>>, StreamError> + Send + 'static,
    ) -> Self {
        Once { partitions, hashed, build: Mutex::new(Some(Box::new(build))), built: OnceLock::new() }
    }
}

impl<T: Data> Plan<T> for Once<T> {
    fn keeps_itself(&self) -> bool {
        true
    }

    fn partitions(&self) -> usize {
        self.partitions
    }

    fn prepare(&self) -> Result<(), StreamError> {
        let mut build = self.build.lock();
        if let Some(build) = build.take() {
            let _only_once = self.built.set(build());
        }
        match self.built.get() {
            Some(Err(error)) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    fn run(&self, partition: usize, sink: &mut Sink<'_, T>) -> Result<ControlFlow<()>, StreamError> {
        match self.built.get() {
            Some(Ok(partitions)) => Ok(partitions.get(partition).map_or(NEXT, |elements| push_all(elements, sink))),
            Some(Err(error)) => Err(error.clone()),
            None => Err(StreamError::Graph("a dataset was used before it was prepared".to_owned())),
        }
    }

    fn hashed(&self) -> Option<usize> {
        self.hashed
    }
}

/// An [`Rdd`] of whatever type.
pub(crate) trait AnyRdd: Any + Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn remember(&self);
    fn forget(&self);
    /// Writes the partitions as those from `first` on; gives the number after the last.
    fn save(&self, directory: &Path, first: usize) -> Result<usize, StreamError>;
}

impl<T: Data> AnyRdd for Rdd<T> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn remember(&self) {
        self.cache();
    }

    fn forget(&self) {
        self.unpersist();
    }

    fn save(&self, directory: &Path, first: usize) -> Result<usize, StreamError> {
        let codec = self.0.codec.get().ok_or_else(|| {
            let name = std::any::type_name::<T>();
            StreamError::Requirement(format!("A stream of `{name}` is to be saved, but was not made `durable`"))
        })?;
        std::fs::create_dir_all(directory).map_err(|e| StreamError::io("create", directory, e))?;
        self.each_partition(|partition, rdd| {
            codec.write(&part(directory, first + partition), &rdd.partition(partition)?)
        })?;
        Ok(first + self.partitions())
    }
}
