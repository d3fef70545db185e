//! Windows reduced by key with an inverse function: a batch costs as much as enters and leaves.

use std::any::Any;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::grouped::Grouped;
use super::parallel;
use super::rdd::{Data, Plan, Rdd, Sink};
use super::shuffle::{Key, hash};
use super::versions::Version;
use crate::StreamError;

/// Which keys stay in a window.
pub type KeepFn<K, V> = Arc<dyn Fn(&K, &V) -> bool + Send + Sync>;

/// The functions of such a window.
pub(crate) struct WindowReduce<K, V> {
    pub reduce: Arc<dyn Fn(V, V) -> V + Send + Sync>,
    pub inverse: Arc<dyn Fn(V, V) -> V + Send + Sync>,
    pub filter: Option<KeepFn<K, V>>,
}

impl<K, V> Clone for WindowReduce<K, V> {
    fn clone(&self) -> Self {
        WindowReduce {
            reduce: Arc::clone(&self.reduce),
            inverse: Arc::clone(&self.inverse),
            filter: self.filter.clone(),
        }
    }
}

/// One version of a keyed table, all partitions.
pub(crate) type Versions<K, V> = Vec<Arc<Version<K, V>>>;

/// What a window is made of. All are partitioned alike.
pub(crate) struct Step<K, V> {
    pub before: Option<Rdd<(K, V)>>,
    pub left: Vec<Rdd<(K, V)>>,
    pub entered: Vec<Rdd<(K, V)>>,
}

/// A step that is not taken yet.
type Waiting<K, V> = Mutex<Option<(Step<K, V>, WindowReduce<K, V>)>>;

/// A reduced window, made from the one before when it is needed.
pub(crate) struct WindowPlan<K, V> {
    partitions: usize,
    step: Waiting<K, V>,
    built: Arc<OnceLock<Result<Versions<K, V>, StreamError>>>,
}

impl<K: Key, V: Data> WindowPlan<K, V> {
    pub fn new(partitions: usize, step: Step<K, V>, functions: WindowReduce<K, V>) -> Self {
        WindowPlan { partitions, step: Mutex::new(Some((step, functions))), built: Arc::default() }
    }

    fn build(&self, step: Step<K, V>, functions: &WindowReduce<K, V>) -> Result<Versions<K, V>, StreamError> {
        let before = match step.before {
            None => (0..self.partitions).map(|_| Version::first([])).collect(),
            Some(before) => versions_of(&before, self.partitions)?,
        };
        let prepared = |rdds: Vec<Rdd<(K, V)>>| -> Result<Vec<Rdd<(K, V)>>, StreamError> {
            let rdds: Vec<Rdd<(K, V)>> = rdds.iter().map(|rdd| rdd.partition_by(self.partitions)).collect();
            rdds.iter().try_for_each(Rdd::prepare)?;
            Ok(rdds)
        };
        let (left, entered) = (prepared(step.left)?, prepared(step.entered)?);
        parallel::run(self.partitions, |partition| {
            let left = reduced(&left, partition, functions)?;
            let entered = reduced(&entered, partition, functions)?;
            let before = before.get(partition).cloned().unwrap_or_else(|| Version::first([]));
            before.next(|changes| {
                let mut entered = entered;
                let keep = |key: &K, value: V| match &functions.filter {
                    Some(filter) if !filter(key, &value) => None,
                    _ => Some(value),
                };
                for (hash, key, gone) in left.into_entries() {
                    let Some(value) = changes.get(&key).cloned() else { continue };
                    let mut value = (functions.inverse)(value, gone);
                    if let Some(new) = entered.take(hash, &key) {
                        value = (functions.reduce)(value, new);
                    }
                    let kept = keep(&key, value);
                    changes.set(key, kept);
                }
                for (_, key, new) in entered.into_entries() {
                    let value = match changes.get(&key).cloned() {
                        Some(value) => (functions.reduce)(value, new),
                        None => new,
                    };
                    let kept = keep(&key, value);
                    changes.set(key, kept);
                }
                Ok(())
            })
        })
    }
}

fn reduced<K: Key, V: Data>(
    rdds: &[Rdd<(K, V)>],
    partition: usize,
    functions: &WindowReduce<K, V>,
) -> Result<Grouped<K, V>, StreamError> {
    let mut values = Grouped::new();
    for rdd in rdds {
        let _complete = rdd.run(partition, &mut |(key, value)| {
            values.add(hash(&key), key, value, |v| v, |a, b| (functions.reduce)(a, b));
            parallel::NEXT
        })?;
    }
    Ok(values)
}

/// The table of a dataset: the one that it was made with, or a new one of its pairs.
pub(crate) fn versions_of<K: Key, V: Data>(
    rdd: &Rdd<(K, V)>,
    partitions: usize,
) -> Result<Versions<K, V>, StreamError> {
    rdd.prepare()?;
    let built = rdd.detail().and_then(|detail| detail.downcast::<OnceLock<Result<Versions<K, V>, StreamError>>>().ok());
    if let Some(Ok(versions)) = built.as_ref().and_then(|built| built.get())
        && versions.len() == partitions
    {
        return Ok(versions.clone());
    }
    let rdd = rdd.partition_by(partitions);
    rdd.each_partition(|partition, rdd| Ok(Version::first(rdd.partition(partition)?)))
}

impl<K: Key, V: Data> Plan<(K, V)> for WindowPlan<K, V> {
    fn keeps_itself(&self) -> bool {
        true
    }

    fn partitions(&self) -> usize {
        self.partitions
    }

    fn prepare(&self) -> Result<(), StreamError> {
        let mut step = self.step.lock();
        if let Some((step, functions)) = step.take() {
            let _only_once = self.built.set(self.build(step, &functions));
        }
        match self.built.get() {
            Some(Err(error)) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    fn run(&self, partition: usize, sink: &mut Sink<'_, (K, V)>) -> Result<ControlFlow<()>, StreamError> {
        let version = match self.built.get() {
            Some(Ok(versions)) => versions.get(partition),
            Some(Err(error)) => return Err(error.clone()),
            None => return Err(StreamError::Graph("a window was used before it was prepared".to_owned())),
        };
        let mut flow = parallel::NEXT;
        if let Some(version) = version {
            version.for_each(|key, value| {
                flow = sink((key.clone(), value.clone()));
                flow.is_continue()
            });
        }
        Ok(flow)
    }

    fn hashed(&self) -> Option<usize> {
        Some(self.partitions)
    }

    fn detail(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        let built: Arc<dyn Any + Send + Sync> = Arc::clone(&self.built) as Arc<dyn Any + Send + Sync>;
        Some(built)
    }
}
