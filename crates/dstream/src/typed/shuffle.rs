//! Pairs brought together by key.
//!
//! A key lies in the partition that its hash says. Within a partition keys have the order in which they first came, reading the
//! partitions before the shuffle in turn, whatever the number of threads. Hashes are fixed: the same program gives the same order.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::grouped::{Grouped, Waiting};
use super::parallel::{self, NEXT};
use super::rdd::{Data, Once, Rdd};
use crate::StreamError;

/// A key with all its values on both sides.
pub type Cogrouped<K, V, W> = (K, (Vec<V>, Vec<W>));
/// A key with a value of either side or both.
pub type OuterJoined<K, V, W> = (K, (Option<V>, Option<W>));

/// What keys of pairs can be.
pub trait Key: Data + Hash + Eq {}
impl<K: Data + Hash + Eq> Key for K {}

/// Hash of a key.
#[inline]
pub(crate) fn hash<K: Hash>(key: &K) -> u64 {
    FixedState::default().hash_one(key)
}

/// The partition of a hash. Takes bits that the tables within a partition do not use.
#[inline]
pub(crate) fn partition_of(hash: u64, partitions: usize) -> usize {
    ((((hash >> 16) & 0xFFFF_FFFF) * partitions as u64) >> 32) as usize
}

/// How values of a key are combined.
pub(crate) struct Combine<V, C> {
    pub create: Arc<dyn Fn(V) -> C + Send + Sync>,
    pub merge_value: Arc<dyn Fn(C, V) -> C + Send + Sync>,
    pub merge: Arc<dyn Fn(C, C) -> C + Send + Sync>,
}

impl<V, C> Clone for Combine<V, C> {
    fn clone(&self) -> Self {
        Combine {
            create: Arc::clone(&self.create),
            merge_value: Arc::clone(&self.merge_value),
            merge: Arc::clone(&self.merge),
        }
    }
}

/// Runs of partitions that are combined before the shuffle, per core: few, so that little is merged, but enough to share the work.
const RUNS_PER_CORE: usize = 4;

/// Reads all pairs and gives, for each partition after the shuffle, what each run of partitions before it has for it, in order.
///
/// `add` is given many pairs at once and takes them all.
fn scatter<K: Key, V: Data, S: Send>(
    rdd: &Rdd<(K, V)>,
    partitions: usize,
    new: impl Fn() -> S + Sync,
    add: impl Fn(&mut S, &mut Waiting<K, V>) + Sync,
) -> Result<Vec<Vec<S>>, StreamError> {
    rdd.prepare()?;
    let runs = parallel::runs(rdd.partitions(), parallel::cores() * RUNS_PER_CORE);
    let scattered = parallel::run(runs.len(), |run| {
        let mut parts: Vec<(S, Waiting<K, V>)> = (0..partitions).map(|_| (new(), Waiting::new())).collect();
        for partition in runs.get(run).cloned().into_iter().flatten() {
            let _complete = rdd.run(partition, &mut |(key, value)| {
                let hash = hash(&key);
                if let Some((part, waiting)) = parts.get_mut(partition_of(hash, partitions))
                    && waiting.push(hash, key, value)
                {
                    add(part, waiting);
                }
                NEXT
            })?;
        }
        parts.iter_mut().for_each(|(part, waiting)| add(part, waiting));
        Ok(parts.into_iter().map(|(part, _)| part).collect::<Vec<S>>())
    })?;
    let mut gathered: Vec<Vec<S>> = (0..partitions).map(|_| Vec::with_capacity(scattered.len())).collect();
    for parts in scattered {
        gathered.iter_mut().zip(parts).for_each(|(all, part)| all.push(part));
    }
    Ok(gathered)
}

/// Runs `compute` for each of `items` on all cores, each item once.
pub(crate) fn consume<S: Send, R: Send>(
    items: Vec<S>,
    compute: impl Fn(S) -> Result<R, StreamError> + Sync,
) -> Result<Vec<R>, StreamError> {
    let items: Vec<parking_lot::Mutex<Option<S>>> =
        items.into_iter().map(|item| parking_lot::Mutex::new(Some(item))).collect();
    parallel::run(items.len(), |index| {
        let item = items.get(index).and_then(|item| item.lock().take());
        compute(item.ok_or_else(|| StreamError::Graph("a part of a shuffle was used twice".to_owned()))?)
    })
}

impl<K: Key, V: Data> Rdd<(K, V)> {
    /// Values of a key combined step by step. The functions must not care for the order of values of different partitions.
    pub(crate) fn combine_by_key<C: Data>(&self, functions: Combine<V, C>, partitions: usize) -> Rdd<(K, C)> {
        let parent = self.clone();
        let partitions = partitions.max(1);
        Rdd::new(Once::new(partitions, Some(partitions), move || {
            let groups = scatter(&parent, partitions, Grouped::new, |group, waiting| {
                group.add_all(waiting, |v| (functions.create)(v), |c, v| (functions.merge_value)(c, v));
            })?;
            consume(groups, |groups| {
                let mut groups = groups.into_iter();
                let Some(mut whole) = groups.next() else { return Ok(Vec::new()) };
                for (hash, key, value) in groups.flat_map(Grouped::into_entries) {
                    whole.add(hash, key, value, |c| c, |a, b| (functions.merge)(a, b));
                }
                Ok(whole.into_pairs())
            })
        }))
    }

    /// Values of a key combined by a function, which is told at compile time: no call through a pointer for each value.
    pub fn reduce_by_key(&self, function: impl Fn(V, V) -> V + Send + Sync + 'static, partitions: usize) -> Self {
        let parent = self.clone();
        let partitions = partitions.max(1);
        Rdd::new(Once::new(partitions, Some(partitions), move || {
            let groups = scatter(&parent, partitions, Grouped::new, |group: &mut Grouped<K, V>, waiting| {
                group.add_all(waiting, |v| v, &function);
            })?;
            consume(groups, |groups| {
                let mut groups = groups.into_iter();
                let Some(mut whole) = groups.next() else { return Ok(Vec::new()) };
                for (hash, key, value) in groups.flat_map(Grouped::into_entries) {
                    whole.add(hash, key, value, |v| v, &function);
                }
                Ok(whole.into_pairs())
            })
        }))
    }

    /// All values of each key, in order.
    pub fn group_by_key(&self, partitions: usize) -> Rdd<(K, Vec<V>)> {
        let functions = Combine {
            create: Arc::new(|value| vec![value]),
            merge_value: Arc::new(|mut values: Vec<V>, value| {
                values.push(value);
                values
            }),
            merge: Arc::new(|mut values: Vec<V>, mut more: Vec<V>| {
                values.append(&mut more);
                values
            }),
        };
        self.combine_by_key(functions, partitions)
    }

    /// The same pairs in the partitions that the hashes of their keys say.
    pub fn partition_by(&self, partitions: usize) -> Self {
        let partitions = partitions.max(1);
        if self.hashed() == Some(partitions) {
            return self.clone();
        }
        let parent = self.clone();
        Rdd::new(Once::new(partitions, Some(partitions), move || {
            let parts = scatter(&parent, partitions, Vec::new, |part: &mut Vec<(K, V)>, waiting| {
                part.extend(waiting.drain());
            })?;
            Ok(parts.into_iter().map(|runs| runs.into_iter().flatten().collect()).collect())
        }))
    }

    /// For each key of either, all its values in this one and in `other`.
    pub fn cogroup<W: Data>(&self, other: &Rdd<(K, W)>, partitions: usize) -> Rdd<Cogrouped<K, V, W>> {
        let partitions = partitions.max(1);
        let (left, right) = (self.clone(), other.clone());
        Rdd::new(Once::new(partitions, Some(partitions), move || {
            let (left, right) = (left.partition_by(partitions), right.partition_by(partitions));
            left.prepare()?;
            right.prepare()?;
            parallel::run(partitions, |partition| {
                let mut groups: Grouped<K, (Vec<V>, Vec<W>)> = Grouped::new();
                for (key, value) in left.partition(partition)? {
                    groups.add(
                        hash(&key),
                        key,
                        value,
                        |v| (vec![v], Vec::new()),
                        |mut both, v| {
                            both.0.push(v);
                            both
                        },
                    );
                }
                for (key, value) in right.partition(partition)? {
                    groups.add(
                        hash(&key),
                        key,
                        value,
                        |w| (Vec::new(), vec![w]),
                        |mut both, w| {
                            both.1.push(w);
                            both
                        },
                    );
                }
                Ok(groups.into_pairs())
            })
        }))
    }

    /// Each pair of values of a key that both have.
    pub fn join<W: Data>(&self, other: &Rdd<(K, W)>, partitions: usize) -> Rdd<(K, (V, W))> {
        self.cogroup(other, partitions).flat_map_values(|(left, right)| {
            left.into_iter().flat_map(move |v| right.clone().into_iter().map(move |w| (v.clone(), w)))
        })
    }

    /// As [`Rdd::join`], and values of this one that have no partner.
    pub fn left_outer_join<W: Data>(&self, other: &Rdd<(K, W)>, partitions: usize) -> Rdd<(K, (V, Option<W>))> {
        self.cogroup(other, partitions).flat_map_values(|(left, right)| {
            let right = or_none(right);
            left.into_iter().flat_map(move |v| right.clone().into_iter().map(move |w| (v.clone(), w)))
        })
    }

    /// As [`Rdd::join`], and values of `other` that have no partner.
    pub fn right_outer_join<W: Data>(&self, other: &Rdd<(K, W)>, partitions: usize) -> Rdd<(K, (Option<V>, W))> {
        self.cogroup(other, partitions).flat_map_values(|(left, right)| {
            let left = or_none(left);
            left.into_iter().flat_map(move |v| right.clone().into_iter().map(move |w| (v.clone(), w)))
        })
    }

    /// As [`Rdd::join`], and values of either that have no partner.
    pub fn full_outer_join<W: Data>(&self, other: &Rdd<(K, W)>, partitions: usize) -> Rdd<OuterJoined<K, V, W>> {
        self.cogroup(other, partitions).flat_map_values(|(left, right)| {
            let (left, right) = (or_none(left), or_none(right));
            left.into_iter().flat_map(move |v| right.clone().into_iter().map(move |w| (v.clone(), w)))
        })
    }

    /// A function of each value; keys and partitions stay.
    pub fn map_values<W: Data>(&self, function: impl Fn(V) -> W + Send + Sync + 'static) -> Rdd<(K, W)> {
        self.narrow(true, move |(key, value), sink| sink((key, function(value))))
    }

    /// The elements of a function of each value, each with the key.
    pub fn flat_map_values<I: IntoIterator>(
        &self,
        function: impl Fn(V) -> I + Send + Sync + 'static,
    ) -> Rdd<(K, I::Item)>
    where
        I::Item: Data,
    {
        self.narrow(true, move |(key, value), sink| {
            function(value).into_iter().try_for_each(|value| sink((key.clone(), value)))
        })
    }
}

/// `None` for an empty side of an outer join.
fn or_none<T>(values: Vec<T>) -> Vec<Option<T>> {
    if values.is_empty() { vec![None] } else { values.into_iter().map(Some).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_in_the_order_in_which_they_first_came_and_values_in_theirs() {
        let pairs: Vec<(u32, usize)> = (0..1000).map(|i| ((i * 7 % 13) as u32, i)).collect();
        let rdd = Rdd::from_partitions(pairs.chunks(100).map(<[_]>::to_vec).collect());
        let groups = rdd.group_by_key(1).collect().unwrap();
        assert_eq!(
            groups.iter().map(|(key, _)| *key).collect::<Vec<_>>(),
            (0..13).map(|i| i * 7 % 13).collect::<Vec<_>>()
        );
        for (key, values) in groups {
            assert_eq!(values, pairs.iter().filter(|(k, _)| *k == key).map(|(_, v)| *v).collect::<Vec<_>>());
        }
    }

    #[test]
    fn joins_pair_what_has_the_same_key() {
        let left = Rdd::from_partitions(vec![vec![(1, 'a'), (2, 'b')], vec![(1, 'c')]]);
        let right = Rdd::from_partitions(vec![vec![(1, 10), (3, 30)]]);
        let sorted = |mut rows: Vec<OuterJoined<i32, char, i32>>| {
            rows.sort();
            rows
        };
        let full = sorted(left.full_outer_join(&right, 3).collect().unwrap());
        assert_eq!(
            full,
            [(1, (Some('a'), Some(10))), (1, (Some('c'), Some(10))), (2, (Some('b'), None)), (3, (None, Some(30)))]
        );
        assert_eq!(left.join(&right, 2).count().unwrap(), 2);
        assert_eq!(left.left_outer_join(&right, 2).count().unwrap(), 3);
        assert_eq!(left.right_outer_join(&right, 2).count().unwrap(), 3);
    }
}
