//! Streams of pairs.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::Codec;
use super::engine::Dataset;
use super::engine::Engine;
use super::rdd::{Data, Rdd};
use super::shuffle::{Cogrouped, Combine, Key, OuterJoined};
use super::stream::{DStream, Derived};
use super::window::{KeepFn, Step, WindowPlan, WindowReduce};
use crate::{AdvanceFn, Span, StorageLevel, StreamError};

impl<K: Key, V: Data> DStream<(K, V)> {
    /// Values of each key of a batch combined. The function must be associative and commutative.
    pub fn reduce_by_key(&self, function: impl Fn(V, V) -> V + Send + Sync + 'static) -> Derived<(K, V)> {
        let (function, partitions) = (Arc::new(function), self.default_partitions());
        self.derive("reduce_by_key", self.codec.clone(), move |_, rdd| {
            let function = Arc::clone(&function);
            Ok(rdd.reduce_by_key(move |a, b| function(a, b), partitions))
        })
    }

    /// Values of each key of a batch combined to something else: begun by `create`, gone on with by `merge_value`, and brought together
    /// by `merge`.
    pub fn combine_by_key<C: Data>(
        &self,
        create: impl Fn(V) -> C + Send + Sync + 'static,
        merge_value: impl Fn(C, V) -> C + Send + Sync + 'static,
        merge: impl Fn(C, C) -> C + Send + Sync + 'static,
    ) -> Derived<(K, C)> {
        let functions =
            Combine { create: Arc::new(create), merge_value: Arc::new(merge_value), merge: Arc::new(merge) };
        let partitions = self.default_partitions();
        self.derive("combine_by_key", None, move |_, rdd| Ok(rdd.combine_by_key(functions.clone(), partitions)))
    }

    /// All values of each key of a batch.
    pub fn group_by_key(&self) -> Derived<(K, Vec<V>)> {
        let partitions = self.default_partitions();
        self.derive("group_by_key", None, move |_, rdd| Ok(rdd.group_by_key(partitions)))
    }

    /// A function of each value.
    pub fn map_values<W: Data>(&self, function: impl Fn(V) -> W + Send + Sync + 'static) -> Derived<(K, W)> {
        let function = Arc::new(function);
        self.derive("map_values", None, move |_, rdd| {
            let function = Arc::clone(&function);
            Ok(rdd.map_values(move |value| function(value)))
        })
    }

    /// The elements of a function of each value, each with the key.
    pub fn flat_map_values<I: IntoIterator>(
        &self,
        function: impl Fn(V) -> I + Send + Sync + 'static,
    ) -> Derived<(K, I::Item)>
    where
        I::Item: Data,
    {
        let function = Arc::new(function);
        self.derive("flat_map_values", None, move |_, rdd| {
            let function = Arc::clone(&function);
            Ok(rdd.flat_map_values(move |value| function(value)))
        })
    }

    /// The same pairs in the partitions that the hashes of their keys say.
    pub fn partition_by(&self, partitions: usize) -> Derived<(K, V)> {
        self.derive("partition_by", self.codec.clone(), move |_, rdd| Ok(rdd.partition_by(partitions)))
    }

    /// For each key of either, all its values in this stream and in `other`.
    pub fn cogroup<W: Data>(&self, other: &DStream<(K, W)>) -> Derived<Cogrouped<K, V, W>> {
        let partitions = self.default_partitions();
        self.transform_with(other, move |_, left, right| Ok(left.cogroup(&right, partitions)))
    }

    /// Each pair of values of a key that both streams have.
    pub fn join<W: Data>(&self, other: &DStream<(K, W)>) -> Derived<(K, (V, W))> {
        let partitions = self.default_partitions();
        self.transform_with(other, move |_, left, right| Ok(left.join(&right, partitions)))
    }

    /// As [`DStream::join`], and values of this stream that have no partner.
    pub fn left_outer_join<W: Data>(&self, other: &DStream<(K, W)>) -> Derived<(K, (V, Option<W>))> {
        let partitions = self.default_partitions();
        self.transform_with(other, move |_, left, right| Ok(left.left_outer_join(&right, partitions)))
    }

    /// As [`DStream::join`], and values of `other` that have no partner.
    pub fn right_outer_join<W: Data>(&self, other: &DStream<(K, W)>) -> Derived<(K, (Option<V>, W))> {
        let partitions = self.default_partitions();
        self.transform_with(other, move |_, left, right| Ok(left.right_outer_join(&right, partitions)))
    }

    /// As [`DStream::join`], and values of either that have no partner.
    pub fn full_outer_join<W: Data>(&self, other: &DStream<(K, W)>) -> Derived<OuterJoined<K, V, W>> {
        let partitions = self.default_partitions();
        self.transform_with(other, move |_, left, right| Ok(left.full_outer_join(&right, partitions)))
    }

    /// All values of each key of the last `window`, every `slide`.
    ///
    /// # Errors
    /// They are no multiples of this stream's slide; the context was started or stopped.
    pub fn group_by_key_and_window(&self, window: Duration, slide: Duration) -> Derived<(K, Vec<V>)> {
        let partitions = self.default_partitions();
        let grouped = self.group_by_key()?.window(window, slide)?;
        grouped.derive("group_windows", None, move |_, rdd| {
            let merge = Arc::new(|mut values: Vec<V>, mut more: Vec<V>| {
                values.append(&mut more);
                values
            });
            let functions = Combine { create: Arc::new(|values| values), merge_value: merge.clone(), merge };
            Ok(rdd.combine_by_key(functions, partitions))
        })
    }

    /// Values of each key of the last `window` combined, every `slide`, each window anew.
    ///
    /// # Errors
    /// They are no multiples of this stream's slide; the context was started or stopped.
    pub fn reduce_by_key_and_window(
        &self,
        function: impl Fn(V, V) -> V + Send + Sync + Clone + 'static,
        window: Duration,
        slide: Duration,
    ) -> Derived<(K, V)> {
        self.reduce_by_key(function.clone())?.window(window, slide)?.reduce_by_key(function)
    }

    /// As [`DStream::reduce_by_key_and_window`], from the window before by what has come and, by `inverse`, what has left. A batch costs
    /// as much as that, however large the window is. Keys stay in it for ever, unless `keep` says that they need not.
    ///
    /// # Errors
    /// As [`DStream::reduce_by_key_and_window`]. It needs a checkpoint directory when the context starts.
    pub fn reduce_by_key_and_window_with_inverse(
        &self,
        function: impl Fn(V, V) -> V + Send + Sync + 'static,
        inverse: impl Fn(V, V) -> V + Send + Sync + 'static,
        window: Duration,
        slide: Duration,
        keep: Option<KeepFn<K, V>>,
    ) -> Derived<(K, V)>
    where
        K: Serialize + DeserializeOwned,
        V: Serialize + DeserializeOwned,
    {
        self.reduce_by_key_and_window_with(function, inverse, window, slide, None, keep)
    }

    pub(super) fn reduce_by_key_and_window_with(
        &self,
        function: impl Fn(V, V) -> V + Send + Sync + 'static,
        inverse: impl Fn(V, V) -> V + Send + Sync + 'static,
        window: Duration,
        slide: Duration,
        partitions: Option<usize>,
        filter: Option<KeepFn<K, V>>,
    ) -> Derived<(K, V)>
    where
        K: Serialize + DeserializeOwned,
        V: Serialize + DeserializeOwned,
    {
        let partitions = partitions.unwrap_or_else(|| self.default_partitions());
        let functions = WindowReduce { reduce: Arc::new(function), inverse: Arc::new(inverse), filter };
        let reduce = Arc::clone(&functions.reduce);
        let reduced = self.derive("reduce_by_key", Some(Codec::serde()), move |_, rdd: Rdd<(K, V)>| {
            let reduce = Arc::clone(&reduce);
            Ok(rdd.reduce_by_key(move |a, b| reduce(a, b), partitions))
        })?;
        self.context.persist(reduced.node, Some(StorageLevel::MEMORY_ONLY))?;
        let codec: Codec<(K, V)> = Codec::serde();
        let own = codec.clone();
        let advance: AdvanceFn<Engine> = Box::new(move |_, _, before, left, entered| {
            let typed = |datasets: Vec<Dataset>| -> Result<Vec<Rdd<(K, V)>>, StreamError> {
                datasets.iter().map(|dataset| dataset.typed(Some(&own))).collect()
            };
            let before = before.map(|before| before.typed(Some(&own))).transpose()?;
            let step = Step { before, left: typed(left)?, entered: typed(entered)? };
            let rdd = Rdd::new(WindowPlan::new(partitions, step, functions.clone()));
            Ok(Some(Dataset::of(rdd.with_codec(Some(own.clone())))))
        });
        let node =
            self.context.advancing_window(reduced.node, Span::from(window), Span::from(slide), Some(1), advance)?;
        Ok(reduced.sibling(node, "reduce_window", Some(codec)))
    }
}
