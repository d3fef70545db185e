//! Streams of a type: a sequence of datasets, one for each of its times.
//!
//! Methods that derive a stream give an error if the context was started or stopped.

use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::io::Write;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millstream_formats::faults;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::Codec;
use super::context::Program;
use super::engine::{Dataset, Engine};
use super::parallel;
use super::rdd::{Data, Rdd};
use crate::{Absent, Context, NodeId, OutputName, Span, StorageLevel, StreamError, Time};

/// A stream of elements of type `T`. A clone is the same stream.
pub struct DStream<T> {
    pub(super) context: Context<Engine>,
    pub(super) program: Program,
    pub(super) node: NodeId,
    pub(super) codec: Option<Codec<T>>,
    marker: PhantomData<fn() -> T>,
}

impl<T> Clone for DStream<T> {
    fn clone(&self) -> Self {
        DStream {
            context: self.context.clone(),
            program: self.program.clone(),
            node: self.node,
            codec: self.codec.clone(),
            marker: PhantomData,
        }
    }
}

/// What methods that derive a stream give.
pub type Derived<T> = Result<DStream<T>, StreamError>;

impl<T: Data> DStream<T> {
    pub(super) fn new(context: Context<Engine>, program: Program, node: NodeId, codec: Option<Codec<T>>) -> Self {
        DStream { context, program, node, codec, marker: PhantomData }
    }

    pub(super) fn sibling<U: Data>(&self, node: NodeId, operation: &str, codec: Option<Codec<U>>) -> DStream<U> {
        self.program.note(operation, std::any::type_name::<U>());
        DStream::new(self.context.clone(), self.program.clone(), node, codec)
    }

    pub(super) fn derive<U: Data>(
        &self,
        operation: &str,
        codec: Option<Codec<U>>,
        function: impl Fn(Time, Rdd<T>) -> Result<Rdd<U>, StreamError> + Send + Sync + 'static,
    ) -> Derived<U> {
        let (own, result) = (self.codec.clone(), codec.clone());
        let node = self.context.transformed(
            &[self.node],
            Absent::Skip,
            Box::new(move |time, datasets| {
                let Some(dataset) = datasets.first() else { return Ok(None) };
                let rdd = function(time, dataset.typed(own.as_ref())?)?;
                Ok(Some(Dataset::of(rdd.with_codec(result.clone()))))
            }),
        )?;
        Ok(self.sibling(node, operation, codec))
    }

    /// The same elements, which checkpoints can hold: needed for [`DStream::checkpoint`].
    ///
    /// # Errors
    /// The context was started or stopped.
    pub fn durable(&self) -> Derived<T>
    where
        T: Serialize + DeserializeOwned,
    {
        self.derive("durable", Some(Codec::serde()), |_, rdd| Ok(rdd.map(|element| element)))
    }

    /// A function of each element.
    pub fn map<U: Data>(&self, function: impl Fn(T) -> U + Send + Sync + 'static) -> Derived<U> {
        let function = Arc::new(function);
        self.derive("map", None, move |_, rdd| {
            let function = Arc::clone(&function);
            Ok(rdd.map(move |element| function(element)))
        })
    }

    /// The elements of a function of each element.
    pub fn flat_map<I: IntoIterator>(&self, function: impl Fn(T) -> I + Send + Sync + 'static) -> Derived<I::Item>
    where
        I::Item: Data,
    {
        let function = Arc::new(function);
        self.derive("flat_map", None, move |_, rdd| {
            let function = Arc::clone(&function);
            Ok(rdd.flat_map(move |element| function(element)))
        })
    }

    /// The elements for which a function is true.
    pub fn filter(&self, function: impl Fn(&T) -> bool + Send + Sync + 'static) -> Derived<T> {
        let function = Arc::new(function);
        self.derive("filter", self.codec.clone(), move |_, rdd| {
            let function = Arc::clone(&function);
            Ok(rdd.filter(move |element| function(element)))
        })
    }

    /// A function of each partition.
    pub fn map_partitions<I: IntoIterator>(
        &self,
        function: impl Fn(Vec<T>) -> I + Send + Sync + 'static,
    ) -> Derived<I::Item>
    where
        I::Item: Data,
    {
        let function = Arc::new(function);
        self.derive("map_partitions", None, move |_, rdd| {
            let function = Arc::clone(&function);
            Ok(rdd.map_partitions(move |partition| function(partition)))
        })
    }

    /// Each partition as one element.
    pub fn glom(&self) -> Derived<Vec<T>> {
        self.derive("glom", None, |_, rdd| Ok(rdd.glom()))
    }

    /// The same elements in `partitions` partitions of about the same size.
    pub fn repartition(&self, partitions: usize) -> Derived<T> {
        self.derive("repartition", self.codec.clone(), move |_, rdd| Ok(rdd.repartition(partitions)))
    }

    /// Number of elements of each batch: one element, also for empty batches.
    pub fn count(&self) -> Derived<u64> {
        self.derive("count", Some(Codec::serde()), |_, rdd| Ok(Rdd::once(1, move || Ok(vec![vec![rdd.count()?]]))))
    }

    /// How often each element occurs.
    pub fn count_by_value(&self) -> Derived<(T, u64)>
    where
        T: Hash + Eq,
    {
        self.map(|element| (element, 1))?.reduce_by_key(|a, b| a + b)
    }

    /// All elements of a batch combined; no element for empty batches.
    pub fn reduce(&self, function: impl Fn(T, T) -> T + Send + Sync + 'static) -> Derived<T> {
        let function = Arc::new(function);
        self.derive("reduce", self.codec.clone(), move |_, rdd| {
            let function = Arc::clone(&function);
            Ok(Rdd::once(1, move || Ok(vec![rdd.reduce(|a, b| function(a, b))?.into_iter().collect()])))
        })
    }

    /// The elements of both. They must have the same slide.
    pub fn union(&self, other: &DStream<T>) -> Derived<T> {
        let node = self.context.union(&[self.node, other.node])?;
        Ok(self.sibling(node, "union", self.codec.clone()))
    }

    /// A function of each batch.
    pub fn transform<U: Data>(
        &self,
        function: impl Fn(Time, Rdd<T>) -> Result<Rdd<U>, StreamError> + Send + Sync + 'static,
    ) -> Derived<U> {
        self.derive("transform", None, function)
    }

    /// A function of each batch of this stream and of another one of the same slide.
    pub fn transform_with<W: Data, U: Data>(
        &self,
        other: &DStream<W>,
        function: impl Fn(Time, Rdd<T>, Rdd<W>) -> Result<Rdd<U>, StreamError> + Send + Sync + 'static,
    ) -> Derived<U> {
        let (left, right) = (self.codec.clone(), other.codec.clone());
        let node = self.context.transformed(
            &[self.node, other.node],
            Absent::Fail,
            Box::new(move |time, datasets| {
                let [a, b] = datasets.as_slice() else { return Ok(None) };
                let rdd = function(time, a.typed(left.as_ref())?, b.typed(right.as_ref())?)?;
                Ok(Some(Dataset::of(rdd)))
            }),
        )?;
        Ok(self.sibling(node, "transform_with", None))
    }

    /// Does something with each batch.
    pub fn for_each_rdd(
        &self,
        action: impl Fn(Time, Rdd<T>) -> Result<(), StreamError> + Send + Sync + 'static,
    ) -> Result<(), StreamError> {
        self.output("for_each_rdd", action)
    }

    fn output(
        &self,
        name: &str,
        action: impl Fn(Time, Rdd<T>) -> Result<(), StreamError> + Send + Sync + 'static,
    ) -> Result<(), StreamError> {
        let codec = self.codec.clone();
        self.program.note(name, std::any::type_name::<T>());
        let name = OutputName { name: name.to_owned(), description: String::new() };
        self.context.for_each(self.node, name, move |time, dataset| action(time, dataset.typed(codec.as_ref())?))
    }

    /// Prints the first `count` elements of each batch to standard output, after a header with its time.
    pub fn print(&self, count: usize) -> Result<(), StreamError>
    where
        T: Debug,
    {
        self.output("print", move |time, rdd| {
            let elements = rdd.take(count.saturating_add(1))?;
            let mut out = std::io::stdout().lock();
            let rule = "-".repeat(43);
            let mut text = format!("{rule}\nTime: {time}\n{rule}\n");
            for element in elements.iter().take(count) {
                text.push_str(&format!("{element:?}\n"));
            }
            if elements.len() > count {
                text.push_str("...\n");
            }
            text.push('\n');
            out.write_all(text.as_bytes()).map_err(|e| StreamError::io("write", Path::new("standard output"), e))
        })
    }

    /// Writes each batch to a directory `PREFIX-MILLISECONDS[.SUFFIX]`, a file a partition and a line an element.
    pub fn save_as_text_files(&self, prefix: &str, suffix: Option<&str>) -> Result<(), StreamError>
    where
        T: Display,
    {
        let prefix = prefix.to_owned();
        let suffix = suffix.filter(|suffix| !suffix.is_empty()).map(|suffix| format!(".{suffix}")).unwrap_or_default();
        self.output("save_as_text_files", move |time, rdd| {
            let directory = crate::checkpoint::local_path(Path::new(&format!("{prefix}-{}{suffix}", time.as_ms())));
            // A batch that is run again after a recovery writes its output again.
            if directory.is_dir() {
                let removed = faults::step("data", "remove", &directory);
                let removed = removed.and_then(|()| std::fs::remove_dir_all(&directory));
                removed.map_err(|e| StreamError::io("delete", &directory, e))?;
            }
            rdd.save_as_text_file(directory)
        })
    }

    /// Keeps the elements of each batch once they are computed.
    ///
    /// # Errors
    /// The context was started.
    pub fn cache(&self) -> Result<Self, StreamError> {
        self.context.persist(self.node, Some(StorageLevel::MEMORY_ONLY))?;
        Ok(self.clone())
    }

    /// Saves the batches of this stream every `interval`, so that a recovery need not go further back. The stream must be
    /// [`DStream::durable`] or be one that saves itself.
    ///
    /// # Errors
    /// The context was started; elements cannot be saved.
    pub fn checkpoint(&self, interval: Duration) -> Result<Self, StreamError> {
        if self.codec.is_none() {
            let name = std::any::type_name::<T>();
            return Err(StreamError::Requirement(format!(
                "A stream of `{name}` cannot be saved before it is `durable`"
            )));
        }
        self.context.checkpoint_stream(self.node, Span::from(interval))?;
        Ok(self.clone())
    }

    /// Time between two batches of this stream.
    ///
    /// # Errors
    /// None that depends on the caller.
    pub fn slide(&self) -> Result<Span, StreamError> {
        self.context.slide(self.node)
    }

    /// The batches from `from` to `to`, both included, as far as they are remembered.
    ///
    /// # Errors
    /// The context was not started, or no output needs this stream.
    pub fn slice(&self, from: Time, to: Time) -> Result<Vec<Rdd<T>>, StreamError> {
        let datasets = self.context.slice(self.node, from, to)?;
        datasets.iter().map(|dataset| dataset.typed(self.codec.as_ref())).collect()
    }

    /// The elements of the last `window`, every `slide`.
    ///
    /// # Errors
    /// They are no multiples of this stream's slide; the context was started or stopped.
    pub fn window(&self, window: Duration, slide: Duration) -> Derived<T> {
        let node = self.context.windowed(self.node, Span::from(window), Span::from(slide))?;
        Ok(self.sibling(node, "window", self.codec.clone()))
    }

    /// All elements of the last `window` combined, every `slide`.
    ///
    /// # Errors
    /// As [`DStream::window`].
    pub fn reduce_by_window(
        &self,
        function: impl Fn(T, T) -> T + Send + Sync + Clone + 'static,
        window: Duration,
        slide: Duration,
    ) -> Derived<T> {
        self.reduce(function.clone())?.window(window, slide)?.reduce(function)
    }

    /// As [`DStream::reduce_by_window`], from the window before by what has come and, by `inverse`, what has left.
    ///
    /// # Errors
    /// As [`DStream::window`]. It needs a checkpoint directory when the context starts.
    pub fn reduce_by_window_with_inverse(
        &self,
        function: impl Fn(T, T) -> T + Send + Sync + 'static,
        inverse: impl Fn(T, T) -> T + Send + Sync + 'static,
        window: Duration,
        slide: Duration,
    ) -> Derived<T>
    where
        T: Serialize + DeserializeOwned,
    {
        let single = self.map(|element| ((), element))?;
        let reduced = single.reduce_by_key_and_window_with(function, inverse, window, slide, Some(1), None)?;
        reduced.map(|(_, element)| element)
    }

    /// Number of elements of the last `window`, every `slide`.
    ///
    /// # Errors
    /// As [`DStream::window`]. It needs a checkpoint directory when the context starts.
    pub fn count_by_window(&self, window: Duration, slide: Duration) -> Derived<u64> {
        self.map(|_| 1_u64)?.reduce_by_window_with_inverse(|a, b| a + b, |a, b| a - b, window, slide)
    }

    /// How often each element occurs in the last `window`, every `slide`.
    ///
    /// # Errors
    /// As [`DStream::window`]. It needs a checkpoint directory when the context starts.
    pub fn count_by_value_and_window(&self, window: Duration, slide: Duration) -> Derived<(T, u64)>
    where
        T: Hash + Eq + Serialize + DeserializeOwned,
    {
        self.map(|element| (element, 1_u64))?.reduce_by_key_and_window_with(
            |a, b| a + b,
            |a, b| a - b,
            window,
            slide,
            None,
            Some(Arc::new(|_, count| *count != 0)),
        )
    }

    /// Partitions that shuffles make if nobody says how many.
    pub(super) fn default_partitions(&self) -> usize {
        let set = self.context.conf().get("spark.default.parallelism").and_then(|text| text.trim().parse().ok());
        set.filter(|partitions| *partitions > 0).unwrap_or_else(parallel::cores)
    }
}
