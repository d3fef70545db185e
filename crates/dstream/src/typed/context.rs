//! The context of typed streams.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::Codec;
use super::engine::{Dataset, Engine};
use super::rdd::{Data, Rdd};
use super::stream::DStream;
use super::text::Text;
use crate::receive::BlockCodec;
use crate::{
    BatchInfo, Block, Checkpoint, Clock, Conf, Context, ContextState, FileSelection, Listener, NodeId, OpenBlock,
    OpenText, Queue, Receiver, Span, Store, StreamError,
};

/// Makes typed streams, starts and stops them. Stopped when it is dropped.
///
/// ```
/// # use std::time::Duration;
/// # use millstream_dstream::typed::StreamingContext;
/// # fn main() -> Result<(), millstream_dstream::StreamError> {
/// let ssc = StreamingContext::new(Duration::from_millis(50))?;
/// let numbers = ssc.queue_stream([vec![1, 2, 3], vec![4]])?;
/// let (sender, receiver) = std::sync::mpsc::channel();
/// numbers.map(|n| n * 2)?.for_each_rdd(move |_time, rdd| {
///     let _nobody_listens_any_more = sender.send(rdd.collect()?);
///     Ok(())
/// })?;
/// ssc.start()?;
/// assert_eq!(receiver.recv().ok(), Some(vec![2, 4, 6]));
/// ssc.stop(false)
/// # }
/// ```
pub struct StreamingContext {
    pub(super) context: Context<Engine>,
    program: Program,
    recovered: Option<Vec<u8>>,
}

/// A line for each stream: what makes the checkpoint of another program known.
#[derive(Clone, Default)]
pub(super) struct Program(Arc<Mutex<Vec<String>>>);

impl Program {
    pub fn note(&self, operation: &str, of: &str) {
        self.0.lock().push(format!("{operation} {of}"));
    }
}

impl StreamingContext {
    /// A context whose batches are `interval` apart.
    ///
    /// # Errors
    /// The interval is less than a millisecond.
    pub fn new(interval: Duration) -> Result<Self, StreamError> {
        Self::with_conf(interval, Conf::new(), Clock::System)
    }

    /// A context with settings (`spark.streaming.…`) and a clock.
    ///
    /// # Errors
    /// The interval is less than a millisecond; a setting cannot be read.
    pub fn with_conf(interval: Duration, conf: Conf, clock: Clock) -> Result<Self, StreamError> {
        let context = Context::new(Arc::new(Engine), Span::from(interval), conf, clock)?;
        Ok(StreamingContext { context, program: Program::default(), recovered: None })
    }

    /// A context that goes on from the newest checkpoint in `directory`, or a new one if there is none. In both cases `setup` makes
    /// its streams, which must be the same ones each time, and checkpoints are written to `directory`.
    ///
    /// # Errors
    /// The checkpoint cannot be read; those of `setup`. A checkpoint of another program is refused by [`StreamingContext::start`].
    pub fn get_or_create(
        directory: impl AsRef<Path>,
        interval: Duration,
        conf: Conf,
        clock: Clock,
        setup: impl FnOnce(&StreamingContext) -> Result<(), StreamError>,
    ) -> Result<Self, StreamError> {
        let context = match Checkpoint::read(directory.as_ref())? {
            None => {
                let created = Self::with_conf(interval, conf, clock)?;
                created.checkpoint(directory);
                created
            }
            Some(checkpoint) => {
                let recovered = Some(checkpoint.program().to_vec());
                let context = Context::recover(Arc::new(Engine), checkpoint, conf, clock)?;
                StreamingContext { context, program: Program::default(), recovered }
            }
        };
        setup(&context)?;
        Ok(context)
    }

    pub(super) fn stream<T: Data>(&self, node: NodeId, operation: &str, codec: Option<Codec<T>>) -> DStream<T> {
        self.program.note(operation, std::any::type_name::<T>());
        DStream::new(self.context.handle(), self.program.clone(), node, codec)
    }

    /// A stream of these lists, one a batch; then batches are empty.
    ///
    /// # Errors
    /// The context was started or stopped.
    pub fn queue_stream<T: Data>(&self, lists: impl IntoIterator<Item = Vec<T>>) -> Result<DStream<T>, StreamError> {
        self.rdd_queue_stream(
            &Queue::new(lists.into_iter().map(|list| Dataset::of(Rdd::parallelize(list)))),
            true,
            None,
        )
    }

    /// A stream of what the program puts into a queue, see [`Dataset`]'s `From<Rdd<T>>`: one dataset a batch or all that are there.
    ///
    /// # Errors
    /// The context was started or stopped.
    pub fn rdd_queue_stream<T: Data>(
        &self,
        queue: &Queue<Dataset>,
        one_at_a_time: bool,
        default: Option<Rdd<T>>,
    ) -> Result<DStream<T>, StreamError> {
        let node = self.context.queue(queue.clone(), one_at_a_time, default.map(Dataset::of))?;
        Ok(self.stream(node, "queue", None))
    }

    /// A stream of the lines that a server sends.
    ///
    /// # Errors
    /// The context was started or stopped.
    pub fn socket_text_stream(&self, host: &str, port: u16) -> Result<DStream<Text>, StreamError> {
        let node = self.context.socket_text(host, port)?;
        Ok(self.stream(node, "socket", Some(Codec::serde())))
    }

    /// A stream of the lines of new files in a directory.
    ///
    /// # Errors
    /// The context was started or stopped.
    pub fn text_file_stream(&self, directory: impl Into<String>) -> Result<DStream<Text>, StreamError> {
        self.file_stream(FileSelection::new(directory))
    }

    /// A stream of the lines of files in a directory.
    ///
    /// # Errors
    /// The context was started or stopped.
    pub fn file_stream(&self, selection: FileSelection) -> Result<DStream<Text>, StreamError> {
        let node = self.context.text_files(selection)?;
        Ok(self.stream(node, "text files", Some(Codec::serde())))
    }

    /// A stream of the records of new files in a directory.
    ///
    /// # Errors
    /// The context was started or stopped; `record_bytes` is 0.
    pub fn binary_records_stream(
        &self,
        directory: impl Into<String>,
        record_bytes: usize,
    ) -> Result<DStream<Vec<u8>>, StreamError> {
        let node = self.context.record_files(FileSelection::new(directory), record_bytes)?;
        Ok(self.stream(node, "records", Some(Codec::serde())))
    }

    /// A stream of lines from a receiver of the program's own.
    ///
    /// # Errors
    /// The context was started or stopped.
    pub fn text_receiver_stream(&self, receiver: impl Receiver<OpenText>) -> Result<DStream<Text>, StreamError> {
        let node = self.context.text_receiver(receiver)?;
        Ok(self.stream(node, "text receiver", Some(Codec::serde())))
    }

    /// A stream of elements from a receiver of the program's own. It cannot be had with the write-ahead log; see
    /// [`StreamingContext::durable_receiver_stream`].
    ///
    /// # Errors
    /// The context was started or stopped.
    pub fn receiver_stream<T: Data>(&self, receiver: impl ItemReceiver<T>) -> Result<DStream<T>, StreamError> {
        self.any_receiver(receiver, None)
    }

    /// A stream of elements from a receiver of the program's own, which the write-ahead log can hold.
    ///
    /// # Errors
    /// The context was started or stopped.
    pub fn durable_receiver_stream<T>(&self, receiver: impl ItemReceiver<T>) -> Result<DStream<T>, StreamError>
    where
        T: Data + Serialize + DeserializeOwned,
    {
        self.any_receiver(receiver, Some(Codec::serde()))
    }

    fn any_receiver<T: Data>(
        &self,
        receiver: impl ItemReceiver<T>,
        codec: Option<Codec<T>>,
    ) -> Result<DStream<T>, StreamError> {
        let (blocks, of_rdds) = (codec.as_ref().map(block_codec), codec.clone());
        let node = self.context.receiver::<Items<T>>(
            "PluggableInputDStream",
            Box::new(ItemAdapter { receiver, marker: PhantomData }),
            blocks,
            move |_: &Engine, blocks| {
                let lists = blocks.iter().map(|block| items::<T>(block).map(Arc::new));
                let rdd = Rdd::from_shared(lists.collect::<Result<_, StreamError>>()?);
                Ok(Dataset::of(rdd.with_codec(of_rdds.clone())))
            },
        )?;
        Ok(self.stream(node, "receiver", codec))
    }

    /// Where checkpoints are written, once a batch. Needed by states and by windows with an inverse function.
    pub fn checkpoint(&self, directory: impl AsRef<Path>) {
        self.context.checkpoint(Some(directory.as_ref()));
    }

    /// The directory of checkpoints.
    pub fn checkpoint_directory(&self) -> Option<PathBuf> {
        self.context.checkpoint_directory()
    }

    /// All streams remember their batches at least so long.
    ///
    /// # Errors
    /// It was said before.
    pub fn remember(&self, duration: Duration) -> Result<(), StreamError> {
        self.context.remember(Span::from(duration))
    }

    /// Adds a listener and gives its number.
    pub fn add_listener(&self, listener: impl Listener + 'static) -> usize {
        self.context.add_listener(listener)
    }

    /// The newest batches that have ended, oldest first.
    pub fn recent_batches(&self) -> Vec<Arc<BatchInfo>> {
        self.context.recent_batches()
    }

    /// Removes a listener by its number.
    pub fn remove_listener(&self, number: usize) {
        self.context.remove_listener(number);
    }

    /// How far it has come.
    pub fn state(&self) -> ContextState {
        self.context.state()
    }

    /// Starts receivers and batches.
    ///
    /// # Errors
    /// Those of [`Context::start`]; the checkpoint is that of another program.
    pub fn start(&self) -> Result<(), StreamError> {
        let program = self.program.0.lock().join("\n").into_bytes();
        if self.recovered.as_ref().is_some_and(|before| *before != program) {
            let directory = self.checkpoint_directory().unwrap_or_default();
            return Err(StreamError::checkpoint(
                &directory,
                "it is that of another program: the streams are not the same",
            ));
        }
        self.context.set_program(program);
        self.context.start()
    }

    /// Ends it. Gracefully: when all that was received is processed.
    ///
    /// # Errors
    /// It is called by a listener.
    pub fn stop(&self, gracefully: bool) -> Result<(), StreamError> {
        self.context.stop(gracefully)
    }

    /// Waits for the end; false if `timeout` has passed.
    ///
    /// # Errors
    /// A batch failed.
    pub fn await_termination(&self, timeout: Option<Duration>) -> Result<bool, StreamError> {
        self.context.await_termination(timeout)
    }
}

/// A receiver of elements of a type.
pub trait ItemReceiver<T: Data>: Send + 'static {
    /// Name in events.
    fn name(&self) -> &str;

    /// As [`Receiver::receive`].
    fn receive(&mut self, store: &mut ItemStore<'_, T>) -> crate::ReceiverControl;
}

/// What an [`ItemReceiver`] stores its elements in.
pub struct ItemStore<'a, T: Data>(&'a mut Store<Items<T>>);

impl<T: Data> ItemStore<'_, T> {
    /// Stores elements, at the rate that is allowed, and waits while the batches are too far behind.
    ///
    /// # Errors
    /// What the receiver must return now.
    pub fn store(&mut self, elements: Vec<T>) -> Result<(), crate::ReceiverControl> {
        self.0.store(elements)
    }

    /// Whether the receiver should return.
    pub fn stopped(&self) -> bool {
        self.0.stopped()
    }

    /// Waits; true if the receiver should return.
    pub fn wait(&self, at_most: Duration) -> bool {
        self.0.wait(at_most)
    }

    /// What is done when the receiver shall stop.
    pub fn on_stop(&self, action: impl Fn() + Send + 'static) {
        self.0.on_stop(action);
    }

    /// Tells listeners that something is wrong, and goes on.
    pub fn report_error(&self, message: impl Into<String>, error: Option<String>) {
        self.0.report_error(message, error);
    }
}

struct ItemAdapter<R, T> {
    receiver: R,
    marker: PhantomData<fn() -> T>,
}

impl<T: Data, R: ItemReceiver<T>> Receiver<Items<T>> for ItemAdapter<R, T> {
    fn name(&self) -> &str {
        self.receiver.name()
    }

    fn receive(&mut self, store: &mut Store<Items<T>>) -> crate::ReceiverControl {
        self.receiver.receive(&mut ItemStore(store))
    }
}

/// Elements of one block interval.
struct Items<T>(Vec<T>);

impl<T> Default for Items<T> {
    fn default() -> Self {
        Items(Vec::new())
    }
}

impl<T: Data> OpenBlock for Items<T> {
    type Part = Vec<T>;

    fn append(&mut self, mut part: Vec<T>) {
        self.0.append(&mut part);
    }

    fn records(&self) -> u64 {
        self.0.len() as u64
    }

    fn bytes(&self) -> usize {
        Self::part_bytes(&self.0)
    }

    fn close(self) -> Block {
        Block::Items { records: self.records(), bytes: self.bytes(), items: Arc::new(self.0) }
    }

    /// What elements own besides is not known.
    fn part_bytes(part: &Vec<T>) -> usize {
        part.len() * size_of::<T>().max(1)
    }

    fn part_records(part: &Vec<T>) -> u64 {
        part.len() as u64
    }

    fn split_part(part: &mut Vec<T>, records: u64) -> Vec<T> {
        part.split_off(usize::try_from(records).unwrap_or(usize::MAX).min(part.len()))
    }
}

fn items<T: Data>(block: &Block) -> Result<Vec<T>, StreamError> {
    let list = match block {
        Block::Items { items, .. } => items.downcast_ref::<Vec<T>>().cloned(),
        Block::Text(_) => None,
    };
    list.ok_or_else(|| StreamError::Receiver("a block has elements of another type".to_owned()))
}

fn block_codec<T: Data>(codec: &Codec<T>) -> BlockCodec {
    let (encode, decode) = (codec.clone(), codec.clone());
    BlockCodec {
        encode: Arc::new(move |block| encode.encode(&items::<T>(block)?)),
        decode: Arc::new(move |bytes, _| Ok(Items(decode.decode(&bytes)?).close())),
    }
}
