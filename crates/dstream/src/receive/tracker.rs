//! Which blocks belong to which batch.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Shelf;
use super::log::{Log, Replay};
use crate::{Block, StreamError, TextBlock, Time};

type EncodeBlock = Arc<dyn Fn(&Block) -> Result<Vec<u8>, StreamError> + Send + Sync>;
/// Is given the number of elements, too.
type DecodeBlock = Arc<dyn Fn(Vec<u8>, u64) -> Result<Block, StreamError> + Send + Sync>;

/// Makes bytes of the blocks of an input, for the write-ahead log, and blocks of bytes.
#[derive(Clone)]
pub(crate) struct BlockCodec {
    pub encode: EncodeBlock,
    pub decode: DecodeBlock,
}

impl BlockCodec {
    /// Text as it is.
    pub fn text() -> Self {
        BlockCodec {
            encode: Arc::new(|block| match block {
                Block::Text(text) => Ok(text.bytes().to_vec()),
                Block::Items { .. } => Err(StreamError::Receiver("The elements are no text".to_owned())),
            }),
            decode: Arc::new(|bytes, lines| Ok(Block::Text(TextBlock::new(bytes, lines)))),
        }
    }
}

/// The log as one input uses it.
#[derive(Clone)]
pub(crate) struct WriteAhead {
    pub log: Arc<Log>,
    pub input: usize,
    pub codec: BlockCodec,
}

impl WriteAhead {
    pub fn store(&self, block: &Block) -> Result<(), StreamError> {
        match block {
            Block::Text(text) => self.log.store(self.input, text.lines(), text.bytes()),
            Block::Items { .. } => self.log.store(self.input, block.records(), &(self.codec.encode)(block)?),
        }
    }
}

/// The blocks of all inputs of a context.
#[derive(Default)]
pub(crate) struct Tracker {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    log: Option<Arc<Log>>,
    inputs: BTreeMap<usize, Input>,
    batches: BTreeMap<Time, Batch>,
}

struct Input {
    shelf: Arc<dyn Shelf>,
    /// Number of the next block that is allotted.
    next: u64,
}

struct Batch {
    blocks: BTreeMap<usize, Vec<Block>>,
    /// Per input, the number of the first block.
    first: BTreeMap<usize, u64>,
    /// Counts as held until the batch is done.
    held: bool,
}

impl Tracker {
    pub fn set_log(&self, log: Arc<Log>) {
        self.state.lock().log = Some(log);
    }

    /// Adds an input, with what the log of an earlier process holds of it.
    pub fn add(
        &self,
        input: usize,
        shelf: Arc<dyn Shelf>,
        codec: &BlockCodec,
        replay: &mut Replay,
    ) -> Result<(), StreamError> {
        let mut blocks = replay.blocks.remove(&input).unwrap_or_default();
        let mut state = self.state.lock();
        let mut next = blocks.first_key_value().map_or(0, |(number, _)| *number);
        for (time, batch) in &replay.batches {
            let Some((first, count)) = batch.get(&input).copied() else { continue };
            let later = blocks.split_off(&(first + count));
            let of_batch = std::mem::replace(&mut blocks, later);
            let of_batch = of_batch.into_iter().filter(|(number, _)| *number >= first);
            let decoded: Result<Vec<Block>, StreamError> =
                of_batch.map(|(_, (records, bytes))| (codec.decode)(bytes, records)).collect();
            let empty = || Batch { blocks: BTreeMap::new(), first: BTreeMap::new(), held: false };
            let batch = state.batches.entry(*time).or_insert_with(empty);
            batch.blocks.insert(input, decoded?);
            batch.first.insert(input, first);
            next = next.max(first + count);
        }
        let waiting: Result<Vec<Block>, StreamError> =
            blocks.into_values().map(|(records, bytes)| (codec.decode)(bytes, records)).collect();
        shelf.restore(waiting?);
        state.inputs.insert(input, Input { shelf, next });
        Ok(())
    }

    /// Gives a batch all blocks that no batch has. A batch that has its blocks keeps them.
    pub fn allot(&self, time: Time) -> Result<(), StreamError> {
        let mut state = self.state.lock();
        if state.inputs.is_empty() || state.batches.last_key_value().is_some_and(|(last, _)| *last >= time) {
            return Ok(());
        }
        let State { log, inputs, batches } = &mut *state;
        let mut batch = Batch { blocks: BTreeMap::new(), first: BTreeMap::new(), held: true };
        for (number, input) in inputs {
            let blocks = input.shelf.take()?;
            let count = blocks.len() as u64;
            if let (Some(log), true) = (log.as_ref(), count > 0) {
                log.allot(time, *number, input.next, count)?;
            }
            batch.first.insert(*number, input.next);
            batch.blocks.insert(*number, blocks);
            input.next += count;
        }
        batches.insert(time, batch);
        Ok(())
    }

    /// The blocks that a batch has of an input.
    pub fn blocks(&self, time: Time, input: usize) -> Vec<Block> {
        let state = self.state.lock();
        state.batches.get(&time).and_then(|batch| batch.blocks.get(&input)).cloned().unwrap_or_default()
    }

    /// Batches up to `time` are done: receivers may go on.
    pub fn release(&self, time: Time) {
        let mut state = self.state.lock();
        let State { inputs, batches, .. } = &mut *state;
        for batch in batches.range_mut(..=time).map(|(_, batch)| batch).filter(|batch| batch.held) {
            batch.held = false;
            for (number, blocks) in &batch.blocks {
                if let Some(input) = inputs.get(number) {
                    input.shelf.release(blocks.iter().map(Block::bytes).sum());
                }
            }
        }
    }

    /// Lets go of the blocks of batches up to `time`, here and in the log.
    pub fn forget_until(&self, time: Time) -> Result<(), StreamError> {
        let mut state = self.state.lock();
        let State { log, inputs, batches } = &mut *state;
        while batches.first_key_value().is_some_and(|(first, batch)| *first <= time && !batch.held) {
            batches.pop_first();
        }
        let Some(log) = log else { return Ok(()) };
        let oldest = batches.first_key_value().map(|(_, batch)| &batch.first);
        let needed_from =
            |number: &usize, input: &Input| oldest.and_then(|first| first.get(number).copied()).unwrap_or(input.next);
        log.clean(&inputs.iter().map(|(number, input)| (*number, needed_from(number, input))).collect())
    }

    /// Closes blocks whose interval is over.
    pub fn tick(&self) -> Result<(), StreamError> {
        self.state.lock().inputs.values().try_for_each(|input| input.shelf.tick())
    }

    /// A new limit of elements per second for an input.
    pub fn set_rate(&self, input: usize, per_second: f64) {
        if let Some(input) = self.state.lock().inputs.get(&input) {
            input.shelf.set_rate(per_second);
        }
    }
}
