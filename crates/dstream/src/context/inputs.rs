//! Adds the streams that begin in the world: queues, receivers, files, sources of the program's own.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Context, Launch, Prepare, ReceiverEntry};
use crate::error::require;
use crate::graph::NodeId;
use crate::graph::files::FileStream;
use crate::graph::queue::QueueStream;
use crate::graph::received::Received;
use crate::receive::{BlockCodec, Intake, OpenBlock, OpenText, Receiver, Shelf, SocketReceiver};
use crate::{Block, Datasets, FileSelection, Operator, Queue, Span, StreamError};

impl<B: Datasets> Context<B> {
    /// Adds a source of a kind of the program's own.
    ///
    /// # Errors
    /// The context was started or stopped.
    pub fn add_source(&self, operator: impl Operator<B> + 'static) -> Result<NodeId, StreamError> {
        self.check_initialized()?;
        Ok(self.shared.graph.add(Vec::new(), self.interval(), true, |_, _| Box::new(operator)))
    }

    /// A stream of datasets from a queue: one a batch, or all that are there. When there is none, `default`, or an empty dataset.
    ///
    /// # Errors
    /// The context was started or stopped.
    pub fn queue(
        &self,
        queue: Queue<B::Dataset>,
        one_at_a_time: bool,
        default: Option<B::Dataset>,
    ) -> Result<NodeId, StreamError> {
        self.add_source(QueueStream { queue, one_at_a_time, default })
    }

    /// A stream of the lines that a server sends.
    ///
    /// # Errors
    /// The context was started or stopped.
    pub fn socket_text(&self, host: &str, port: u16) -> Result<NodeId, StreamError> {
        self.text("SocketInputDStream", SocketReceiver { host: host.to_owned(), port })
    }

    /// A stream of lines from a receiver of the program's own.
    ///
    /// # Errors
    /// The context was started or stopped.
    pub fn text_receiver(&self, receiver: impl Receiver<OpenText>) -> Result<NodeId, StreamError> {
        self.text("PluggableInputDStream", receiver)
    }

    fn text(&self, class_name: &'static str, receiver: impl Receiver<OpenText>) -> Result<NodeId, StreamError> {
        let text = |block| match block {
            Block::Text(text) => Some(text),
            Block::Items { .. } => None,
        };
        self.receiver::<OpenText>(class_name, Box::new(receiver), Some(BlockCodec::text()), move |datasets, blocks| {
            datasets.text(blocks.into_iter().filter_map(text).collect())
        })
    }

    /// A stream of what a receiver stores. Without `codec` it cannot be had with the write-ahead log.
    pub(crate) fn receiver<O: OpenBlock>(
        &self,
        class_name: &'static str,
        receiver: Box<dyn Receiver<O>>,
        codec: Option<BlockCodec>,
        to_dataset: impl Fn(&B, Vec<Block>) -> Result<B::Dataset, StreamError> + Send + Sync + 'static,
    ) -> Result<NodeId, StreamError> {
        let tracker = Arc::clone(&self.shared.tracker);
        let id = self.add_source(Received { class_name, tracker, to_dataset: Box::new(to_dataset) })?;
        let input = self.shared.graph.node(id)?.input.unwrap_or(0);
        let prepare: Prepare = Box::new(move |settings, rate, log| {
            let intake = Arc::new(Intake::<O>::new(settings, rate, log));
            let shelf: Arc<dyn Shelf> = Arc::clone(&intake) as Arc<dyn Shelf>;
            let launch: Launch = Box::new(move |supervisor| supervisor.start(input, receiver, intake));
            (shelf, launch)
        });
        self.shared.receivers.lock().push(ReceiverEntry { input, codec, prepare });
        Ok(id)
    }

    /// A stream of the lines of the files that appear in a directory.
    ///
    /// # Errors
    /// The context was started or stopped; `spark.streaming.fileStream.minRememberDuration` cannot be read.
    pub fn text_files(&self, selection: FileSelection) -> Result<NodeId, StreamError> {
        self.files(selection, |datasets, files| datasets.text_files(files))
    }

    /// A stream of the records of `record_bytes` bytes of the files that appear in a directory.
    ///
    /// # Errors
    /// As [`Context::text_files`].
    pub fn record_files(&self, selection: FileSelection, record_bytes: usize) -> Result<NodeId, StreamError> {
        require(record_bytes > 0, || format!("The length of a record must be positive, not {record_bytes}"))?;
        self.files(selection, move |datasets, files| datasets.record_files(files, record_bytes))
    }

    fn files(
        &self,
        selection: FileSelection,
        read: impl Fn(&B, &[PathBuf]) -> Result<B::Dataset, StreamError> + Send + Sync + 'static,
    ) -> Result<NodeId, StreamError> {
        let least = self.conf().span("spark.streaming.fileStream.minRememberDuration")?;
        let least = least.unwrap_or(Span::from_ms(60_000));
        let now = self.shared.clock.now();
        self.add_source(FileStream::new(selection, Box::new(read), self.interval(), least, now))
    }
}
