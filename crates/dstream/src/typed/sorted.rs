//! What programs ask of the elements of a batch as a whole: order, extremes, differences.

use std::cmp::Reverse;

use super::parallel;
use super::rdd::{Data, Rdd};
use super::shuffle::Key;
use crate::StreamError;

impl<T: Data> Rdd<T> {
    /// Whether there is no element. Computes no more partitions than it needs.
    ///
    /// # Errors
    /// Those of computing them.
    pub fn is_empty(&self) -> Result<bool, StreamError> {
        Ok(self.take(1)?.is_empty())
    }

    /// The first element, if there is one.
    ///
    /// # Errors
    /// Those of computing it.
    pub fn first(&self) -> Result<Option<T>, StreamError> {
        Ok(self.take(1)?.into_iter().next())
    }

    /// All elements, the smallest key first, in as many partitions as before. Elements of equal keys stay in their order.
    pub fn sort_by<K: Ord>(&self, key: impl Fn(&T) -> K + Send + Sync + 'static) -> Rdd<T> {
        let (rdd, partitions) = (self.clone(), self.partitions().max(1));
        Rdd::once(partitions, move || {
            let mut elements = rdd.collect()?;
            elements.sort_by_key(|element| key(element));
            let mut sorted = Vec::with_capacity(partitions);
            for run in parallel::runs(elements.len(), partitions).into_iter().rev() {
                sorted.push(elements.split_off(run.start));
            }
            sorted.reverse();
            sorted.resize_with(partitions, Vec::new);
            Ok(sorted)
        })
    }

    /// The `count` elements with the smallest keys, the smallest first. Holds that many of each partition.
    ///
    /// # Errors
    /// Those of computing the elements.
    pub fn take_ordered_by<K: Ord>(
        &self,
        count: usize,
        key: impl Fn(&T) -> K + Send + Sync,
    ) -> Result<Vec<T>, StreamError> {
        let least = |elements: &mut Vec<T>| {
            elements.sort_by_key(|element| key(element));
            elements.truncate(count);
        };
        let parts = self.each_partition(|partition, rdd| {
            let mut elements = Vec::new();
            let _complete = rdd.run(partition, &mut |element| {
                elements.push(element);
                // Twice what is wanted, so that a sort pays for as many elements as it keeps.
                if elements.len() >= count.saturating_mul(2).max(1024) {
                    least(&mut elements);
                }
                parallel::NEXT
            })?;
            least(&mut elements);
            Ok(elements)
        })?;
        let mut elements = parts.into_iter().flatten().collect();
        least(&mut elements);
        Ok(elements)
    }

    /// The `count` elements with the largest keys, the largest first.
    ///
    /// # Errors
    /// Those of computing the elements.
    pub fn top_by<K: Ord>(&self, count: usize, key: impl Fn(&T) -> K + Send + Sync) -> Result<Vec<T>, StreamError> {
        self.take_ordered_by(count, |element| Reverse(key(element)))
    }

    /// Each element once, in `partitions` partitions.
    pub fn distinct(&self, partitions: usize) -> Rdd<T>
    where
        T: Key,
    {
        self.map(|element| (element, ())).reduce_by_key(|(), ()| (), partitions).map(|(element, ())| element)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_sorted_over_all_partitions_and_the_extremes_found() {
        let rdd = Rdd::from_partitions(vec![vec![5, 1, 9], vec![], vec![4, 1]]);
        assert_eq!(rdd.sort_by(|n| *n).collect_partitions().unwrap(), [vec![1], vec![1, 4], vec![5, 9]]);
        assert_eq!(rdd.sort_by(|n| Reverse(*n)).collect().unwrap(), [9, 5, 4, 1, 1]);
        assert_eq!(rdd.top_by(2, |n| *n).unwrap(), [9, 5]);
        assert_eq!(rdd.take_ordered_by(3, |n| *n).unwrap(), [1, 1, 4]);
        assert_eq!(Rdd::from_partitions(vec![(0..5000).collect()]).top_by(2, |n| *n).unwrap(), [4999, 4998]);
        let mut distinct = rdd.distinct(2).collect().unwrap();
        distinct.sort_unstable();
        assert_eq!(distinct, [1, 4, 5, 9]);
        assert_eq!((rdd.first().unwrap(), rdd.is_empty().unwrap()), (Some(5), false));
        let none = Rdd::<i32>::empty();
        assert_eq!(
            (none.first().unwrap(), none.is_empty().unwrap(), none.sort_by(|n| *n).count().unwrap()),
            (None, true, 0)
        );
    }
}
