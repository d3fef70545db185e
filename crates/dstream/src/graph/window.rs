//! Windows over the last batches: as a union, or reduced step by step.

use super::{At, Operator};
use crate::error::StreamError;
use crate::{Datasets, Span, StorageLevel, Time};

/// Gives the reduced window of a time. `before` is the window one slide ago; then `left` is what has left since and `entered` what has
/// come. Without `before` the window is reduced anew from `entered`, which is all that it holds.
pub type AdvanceFn<B> = Box<
    dyn Fn(
            &B,
            Time,
            Option<<B as Datasets>::Dataset>,
            Vec<<B as Datasets>::Dataset>,
            Vec<<B as Datasets>::Dataset>,
        ) -> Result<Option<<B as Datasets>::Dataset>, StreamError>
        + Send
        + Sync,
>;

/// Checks Spark's rule that a window and its slide are whole numbers of the parent's slide.
pub(crate) fn check(kind: &str, window: Span, slide: Span, parent: Span) -> Result<(), StreamError> {
    let wrong = |what: &str, span: Span| {
        StreamError::Invalid(format!(
            "The {what} duration of {kind} ({span}) must be a multiple of the slide duration of parent DStream ({parent})"
        ))
    };
    if window <= Span::ZERO || !window.is_multiple_of(parent) {
        return Err(wrong("window", window));
    }
    if slide <= Span::ZERO || !slide.is_multiple_of(parent) {
        return Err(wrong("slide", slide));
    }
    Ok(())
}

pub(crate) struct Windowed {
    pub window: Span,
}

impl<B: Datasets> Operator<B> for Windowed {
    fn class_name(&self) -> &'static str {
        "WindowedDStream"
    }

    fn compute(&self, at: &At<'_, B>) -> Result<Option<B::Dataset>, StreamError> {
        let from = at.time() - self.window + at.parent_slide()?;
        at.datasets().union(at.parent_slice(from, at.time())?).map(Some)
    }

    fn parent_remember(&self, own: Span) -> Span {
        own + self.window
    }

    fn persists_parent(&self) -> bool {
        true
    }
}

pub(crate) struct ReducedWindow<B: Datasets> {
    pub window: Span,
    /// The window goes on from the one before if it has at least so many slides; `None`: never.
    pub slides_least: Option<u32>,
    pub advance: AdvanceFn<B>,
}

impl<B: Datasets> Operator<B> for ReducedWindow<B> {
    fn class_name(&self) -> &'static str {
        "ReducedWindowedDStream"
    }

    fn compute(&self, at: &At<'_, B>) -> Result<Option<B::Dataset>, StreamError> {
        let (time, slide, step) = (at.time(), at.slide(), at.parent_slide()?);
        let before = at.own(time - slide)?;
        let goes_on = self.slides_least.is_some_and(|least| self.window >= slide * i64::from(least));
        match before {
            Some(before) if goes_on => {
                let start = time - self.window;
                let left = at.parent_slice(start - slide + step, start)?;
                let entered = at.parent_slice(time - slide + step, time)?;
                (self.advance)(at.datasets(), time, Some(before), left, entered)
            }
            _ => {
                let entered = at.parent_slice(time - self.window + step, time)?;
                if entered.is_empty() {
                    return Ok(None);
                }
                (self.advance)(at.datasets(), time, None, Vec::new(), entered)
            }
        }
    }

    fn parent_remember(&self, own: Span) -> Span {
        own + self.window
    }

    fn level(&self) -> Option<StorageLevel> {
        Some(StorageLevel::MEMORY_ONLY)
    }

    fn must_checkpoint(&self) -> bool {
        true
    }
}
