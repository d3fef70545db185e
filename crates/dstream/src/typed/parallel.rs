//! Computes partitions on all cores.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::StreamError;

/// Threads that compute at once, and partitions that a shuffle makes if nobody says how many.
pub(crate) fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// The results of `compute` for `0..count`, in order. The first error ends the others as soon as they are done with what they have.
pub(crate) fn run<R: Send>(
    count: usize,
    compute: impl Fn(usize) -> Result<R, StreamError> + Sync,
) -> Result<Vec<R>, StreamError> {
    let guarded = |index| {
        catch_unwind(AssertUnwindSafe(|| compute(index)))
            .unwrap_or_else(|payload| Err(StreamError::panic(payload.as_ref())))
    };
    let threads = cores().min(count);
    if threads <= 1 {
        return (0..count).map(guarded).collect();
    }
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
    let results: Vec<Mutex<Option<R>>> = (0..count).map(|_| Mutex::new(None)).collect();
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(slot) = results.get(index) else { return };
            match guarded(index) {
                Ok(result) => *slot.lock() = Some(result),
                Err(error) => {
                    failed.lock().get_or_insert(error);
                    next.store(count, Ordering::Relaxed);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    if let Some(error) = failed.into_inner() {
        return Err(error);
    }
    Ok(results.into_iter().filter_map(Mutex::into_inner).collect())
}

/// Splits `0..count` into at most `parts` runs of about equal length.
pub(crate) fn runs(count: usize, parts: usize) -> Vec<std::ops::Range<usize>> {
    let parts = parts.clamp(1, count.max(1));
    (0..parts).map(|part| part * count / parts..(part + 1) * count / parts).filter(|run| !run.is_empty()).collect()
}

/// Goes on.
pub(crate) const NEXT: ControlFlow<()> = ControlFlow::Continue(());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_a_panic_is_an_error() {
        assert_eq!(run(100, |i| Ok(i * 2)).unwrap(), (0..100).map(|i| i * 2).collect::<Vec<_>>());
        let error = run(10, |i| if i == 7 { panic!("seven") } else { Ok(i) }).unwrap_err();
        assert_eq!(error.to_string(), "seven");
        assert_eq!(runs(5, 2), [0..2, 2..5]);
        assert_eq!(runs(0, 2).len(), 0);
    }
}
