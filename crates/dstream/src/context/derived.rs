//! Adds streams that are made of others and output operations, and sets how streams are kept.

use std::sync::Arc;

use super::{Context, ContextState, OutputName, WindowFunctions};
use crate::error::require;
use crate::graph::transform::{State, Transformed, Union};
use crate::graph::window::{ReducedWindow, Windowed, check};
use crate::graph::{NodeId, Output};
use crate::{
    Absent, AdvanceFn, Datasets, InitialFn, Operator, Span, StateFn, StorageLevel, StreamError, Time, TransformFn,
};

impl<B: Datasets> Context<B> {
    /// Adds a stream of a kind of the program's own, made of others.
    ///
    /// # Errors
    /// The context was started or stopped; a parent is not of this context; the slide is no multiple of the batch interval.
    pub fn add(
        &self,
        parents: &[NodeId],
        slide: Span,
        operator: impl Operator<B> + 'static,
    ) -> Result<NodeId, StreamError> {
        self.check_initialized()?;
        for parent in parents {
            self.shared.graph.node(*parent)?;
        }
        require(slide > Span::ZERO && slide.is_multiple_of(self.interval()), || {
            format!("The slide duration ({slide}) must be a multiple of the batch interval ({})", self.interval())
        })?;
        Ok(self.shared.graph.add(parents.to_vec(), slide, false, |_, _| Box::new(operator)))
    }
    /// A stream of a function of its parents' datasets. Parents must have the same slide.
    ///
    /// # Errors
    /// No parents, or of different slides; the context was started or stopped.
    pub fn transformed(
        &self,
        parents: &[NodeId],
        absent: Absent,
        function: TransformFn<B::Dataset>,
    ) -> Result<NodeId, StreamError> {
        let slide = self.common_slide(parents)?;
        self.add(parents, slide, Transformed { absent, function })
    }

    /// The parents' datasets one after another.
    ///
    /// # Errors
    /// No parents, or of different slides; the context was started or stopped.
    pub fn union(&self, parents: &[NodeId]) -> Result<NodeId, StreamError> {
        let slide = self.common_slide(parents)?;
        self.add(parents, slide, Union)
    }

    /// The last `window` of a stream, each `slide` anew.
    ///
    /// # Errors
    /// They are no multiples of the parent's slide; the context was started or stopped.
    pub fn windowed(&self, parent: NodeId, window: Span, slide: Span) -> Result<NodeId, StreamError> {
        let node = self.shared.graph.node(parent)?;
        check("windowed DStream", window, slide, node.slide)?;
        let id = self.add(&[parent], slide, Windowed { window })?;
        // A window takes each batch several times; a level that the program chose is kept.
        node.state.lock().level.get_or_insert(StorageLevel::MEMORY_ONLY_SER);
        Ok(id)
    }

    /// The last `window` of a stream, reduced by functions on datasets.
    ///
    /// # Errors
    /// As [`Context::windowed`].
    pub fn reduced_window(
        &self,
        parent: NodeId,
        window: Span,
        slide: Span,
        functions: WindowFunctions<B::Dataset>,
    ) -> Result<NodeId, StreamError> {
        let slides_least = functions.inverse.is_some().then_some(functions.slides_least);
        let advance: AdvanceFn<B> = Box::new(move |datasets, time, before, left, entered| {
            let mut before = before;
            if let (Some(inverse), false) = (&functions.inverse, left.is_empty()) {
                before = match before {
                    Some(whole) => inverse(time, whole, datasets.union(left)?)?,
                    None => None,
                };
            }
            if entered.is_empty() { Ok(before) } else { (functions.reduce)(time, before, datasets.union(entered)?) }
        });
        self.advancing_window(parent, window, slide, slides_least, advance)
    }

    /// The last `window` of a stream, made of the window before by a function of all that has left and entered.
    ///
    /// # Errors
    /// As [`Context::windowed`].
    pub fn advancing_window(
        &self,
        parent: NodeId,
        window: Span,
        slide: Span,
        slides_least: Option<u32>,
        advance: AdvanceFn<B>,
    ) -> Result<NodeId, StreamError> {
        check("ReducedWindowedDStream", window, slide, self.shared.graph.node(parent)?.slide)?;
        self.add(&[parent], slide, ReducedWindow { window, slides_least, advance })
    }

    /// A stream of a state that each batch makes of the one before.
    ///
    /// # Errors
    /// The context was started or stopped.
    pub fn stateful(
        &self,
        parent: NodeId,
        update: StateFn<B::Dataset>,
        initial: Option<InitialFn<B::Dataset>>,
    ) -> Result<NodeId, StreamError> {
        let slide = self.shared.graph.node(parent)?.slide;
        self.add(&[parent], slide, State { update, initial })
    }

    /// Does something with each batch of a stream: an output operation, which is what batches are made for.
    ///
    /// # Errors
    /// The context was started or stopped.
    pub fn for_each(
        &self,
        parent: NodeId,
        name: OutputName,
        action: impl Fn(Time, B::Dataset) -> Result<(), StreamError> + Send + Sync + 'static,
    ) -> Result<(), StreamError> {
        self.check_initialized()?;
        self.shared.graph.node(parent)?;
        let OutputName { name, description } = name;
        self.shared.graph.add_output(Output { parent, name, description, action: Arc::new(action) });
        Ok(())
    }

    fn common_slide(&self, parents: &[NodeId]) -> Result<Span, StreamError> {
        let slides: Result<Vec<Span>, StreamError> =
            parents.iter().map(|parent| Ok(self.shared.graph.node(*parent)?.slide)).collect();
        let slides = slides?;
        let first = slides.first().copied();
        let first =
            first.ok_or_else(|| StreamError::Requirement("List of DStreams to transform is empty".to_owned()))?;
        require(slides.iter().all(|slide| *slide == first), || {
            "Some of the DStreams have different slide durations".to_owned()
        })?;
        Ok(first)
    }

    pub(super) fn check_initialized(&self) -> Result<(), StreamError> {
        let when = match self.state() {
            ContextState::Initialized => return Ok(()),
            ContextState::Active => "starting",
            ContextState::Stopped => "stopping",
        };
        Err(StreamError::IllegalState(format!(
            "Adding new inputs, transformations, and output operations after {when} a context is not supported"
        )))
    }

    /// Time between two datasets of a stream.
    ///
    /// # Errors
    /// It is not of this context.
    pub fn slide(&self, stream: NodeId) -> Result<Span, StreamError> {
        Ok(self.shared.graph.node(stream)?.slide)
    }

    /// Keeps the datasets of a stream once they are computed; `None`: no longer. For windows it is the parent's that are kept.
    ///
    /// # Errors
    /// The context was started.
    pub fn persist(&self, stream: NodeId, level: Option<StorageLevel>) -> Result<(), StreamError> {
        let node = self.shared.graph.node(stream)?;
        if let (true, Some(parent)) = (node.operator.persists_parent(), node.parents.first()) {
            return self.persist(*parent, level);
        }
        let mut state = node.state.lock();
        if state.initialized {
            return Err(StreamError::UnsupportedOperation(
                "Cannot change storage level of a DStream after streaming context has started".to_owned(),
            ));
        }
        state.level = level;
        Ok(())
    }

    /// Saves the datasets of a stream every `interval`.
    ///
    /// # Errors
    /// The context was started. Whether the interval fits is checked by [`Context::start`].
    pub fn checkpoint_stream(&self, stream: NodeId, interval: Span) -> Result<(), StreamError> {
        let node = self.shared.graph.node(stream)?;
        if node.state.lock().initialized {
            return Err(StreamError::UnsupportedOperation(
                "Cannot change checkpoint interval of a DStream after streaming context has started".to_owned(),
            ));
        }
        self.persist(stream, Some(StorageLevel::MEMORY_ONLY_SER))?;
        node.state.lock().checkpoint = Some(interval);
        Ok(())
    }

    /// The datasets of a stream from `from` to `to`, both included.
    ///
    /// # Errors
    /// The context was not started, or no output needs the stream; those of computing the datasets.
    pub fn slice(&self, stream: NodeId, from: Time, to: Time) -> Result<Vec<B::Dataset>, StreamError> {
        let _generation = self.shared.graph.generation.lock();
        self.shared.graph.slice(stream, from, to)
    }

    /// All streams remember at least so long.
    ///
    /// # Errors
    /// It was said before.
    pub fn remember(&self, span: Span) -> Result<(), StreamError> {
        self.shared.graph.remember(span)
    }
}
