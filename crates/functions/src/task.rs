//! What an expression knows of the task that runs it: the partition, and state that lives as long as the task.
//!
//! `rand(seed)`, `monotonically_increasing_id()` and their like count the rows of one partition. DataFusion shares an expression
//! among partitions and tells it nothing of them, so whoever polls the operator that evaluates it says where it runs:
//! [`TaskScope::enter`] around each poll (a physical plan has an operator that puts that into a physical plan). Outside of any scope an
//! expression counts as partition 0 and keeps its state as long as itself.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

thread_local! {
    static CURRENT: RefCell<Option<Arc<TaskScope>>> = const { RefCell::new(None) };
}

/// One task: one partition in one run of a plan.
pub struct TaskScope {
    partition: usize,
    /// State of expressions by their id; locked only while an expression evaluates one batch.
    states: Mutex<HashMap<u64, Box<dyn Any + Send>>>,
}

impl TaskScope {
    /// A task that has not begun.
    pub fn new(partition: usize) -> Arc<Self> {
        Arc::new(Self { partition, states: Mutex::default() })
    }

    /// Makes this the task of the current thread until the guard is dropped.
    pub fn enter(self: &Arc<Self>) -> Entered {
        Entered { before: CURRENT.replace(Some(Arc::clone(self))) }
    }

    /// The partition of the current thread's task.
    pub fn current_partition() -> usize {
        CURRENT.with_borrow(|scope| scope.as_ref().map_or(0, |s| s.partition))
    }
}

/// Keeps a task entered; dropping it brings back the one before.
pub struct Entered {
    before: Option<Arc<TaskScope>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.before.take());
    }
}

/// State of one expression, one per task, made from the partition when it is first used.
pub struct PerTask<S> {
    id: u64,
    begin: Box<dyn Fn(usize) -> S + Send + Sync>,
    alone: Arc<TaskScope>,
}

impl<S: Send + 'static> PerTask<S> {
    /// State that `begin` makes for a partition.
    pub fn new(begin: impl Fn(usize) -> S + Send + Sync + 'static) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), begin: Box::new(begin), alone: TaskScope::new(0) }
    }

    /// Uses the state of the current task.
    pub fn with<R>(&self, use_state: impl FnOnce(&mut S) -> R) -> R {
        let scope = CURRENT.with_borrow(|scope| scope.clone()).unwrap_or_else(|| Arc::clone(&self.alone));
        let mut states = scope.states.lock().unwrap_or_else(PoisonError::into_inner);
        let state = states.entry(self.id).or_insert_with(|| Box::new((self.begin)(scope.partition)));
        match state.downcast_mut::<S>() {
            Some(state) => use_state(state),
            // Ids are unique, so that the type is always right; a fresh state is the harmless answer.
            None => use_state(&mut (self.begin)(scope.partition)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_belongs_to_the_task_that_is_entered() {
        let counter = PerTask::new(|partition| partition * 100);
        let next = || counter.with(|n| std::mem::replace(n, *n + 1));
        let (first, second) = (TaskScope::new(1), TaskScope::new(2));
        {
            let _entered = first.enter();
            assert_eq!((next(), next(), TaskScope::current_partition()), (100, 101, 1));
            let _inner = second.enter();
            assert_eq!(next(), 200);
        }
        assert_eq!((next(), next()), (0, 1));
        let _entered = first.enter();
        assert_eq!(next(), 102);
    }
}
