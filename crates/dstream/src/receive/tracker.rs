//! Which blocks belong to which batch.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Shelf;
use super::log::{Log, Position, Replay};
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
            decode: Arc::new(|bytes, lines| match TextBlock::checked(bytes, lines) {
                Some(block) => Ok(Block::Text(block)),
                None => {
                    Err(StreamError::Receiver("The write-ahead log has something else than lines of text".to_owned()))
                }
            }),
        }
    }
}

/// Takes all blocks that wait, and says in the log whose they are.
fn take_all(
    inputs: &BTreeMap<usize, Input>,
    log: Option<&Log>,
    time: Time,
    taken: &mut BTreeMap<usize, Vec<Block>>,
) -> Result<(), StreamError> {
    for (number, input) in inputs {
        taken.insert(*number, input.shelf.take()?);
    }
    // Also that it has none: run again, it must not be given what came later.
    let counts = taken.iter().map(|(number, blocks)| (*number, blocks.len() as u64)).collect();
    log.map_or(Ok(()), |log| log.allot(time, &counts))
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
        let next = replay.reached.get(&input).map_or(0, |reached| reached.allotted);
        let waiting = blocks.split_off(&next);
        let decode = |blocks: BTreeMap<u64, (u64, Vec<u8>)>| -> Result<Vec<Block>, StreamError> {
            blocks.into_values().map(|(records, bytes)| (codec.decode)(bytes, records)).collect()
        };
        let mut state = self.state.lock();
        for (time, batch) in &replay.batches {
            let Some((first, count)) = batch.get(&input).copied() else { continue };
            let later = blocks.split_off(&(first + count));
            // What is before belongs to batches whose own records are gone: nobody asks for it.
            let of_batch = std::mem::replace(&mut blocks, later).split_off(&first);
            let empty = || Batch { blocks: BTreeMap::new(), first: BTreeMap::new(), held: false };
            let batch = state.batches.entry(*time).or_insert_with(empty);
            batch.blocks.insert(input, decode(of_batch)?);
            batch.first.insert(input, first);
        }
        shelf.restore(decode(waiting)?);
        state.inputs.insert(input, Input { shelf, next });
        Ok(())
    }

    /// Gives a batch all blocks that no batch has. A batch that has its blocks keeps them.
    ///
    /// # Errors
    /// The log cannot be written: the blocks wait for the next batch.
    pub fn allot(&self, time: Time) -> Result<(), StreamError> {
        let mut state = self.state.lock();
        if state.inputs.is_empty() || state.batches.last_key_value().is_some_and(|(last, _)| *last >= time) {
            return Ok(());
        }
        let State { log, inputs, batches } = &mut *state;
        let mut taken: BTreeMap<usize, Vec<Block>> = BTreeMap::new();
        let logged = take_all(inputs, log.as_deref(), time, &mut taken);
        if let Err(error) = logged {
            for (number, blocks) in taken {
                if let Some(input) = inputs.get(&number) {
                    input.shelf.give_back(blocks);
                }
            }
            return Err(error);
        }
        let mut batch = Batch { blocks: BTreeMap::new(), first: BTreeMap::new(), held: true };
        for (number, input) in inputs {
            let blocks = taken.remove(number).unwrap_or_default();
            batch.first.insert(*number, input.next);
            input.next += blocks.len() as u64;
            batch.blocks.insert(*number, blocks);
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

    /// Lets go of the blocks of batches up to `time`. What the log has of them it keeps, see [`Tracker::clean_log`].
    pub fn forget_until(&self, time: Time) {
        let mut state = self.state.lock();
        if state.log.is_some() {
            let batches = state.batches.range_mut(..=time).map(|(_, batch)| batch);
            batches.filter(|batch| !batch.held).for_each(|batch| batch.blocks = BTreeMap::new());
            return;
        }
        while state.batches.first_key_value().is_some_and(|(first, batch)| *first <= time && !batch.held) {
            state.batches.pop_first();
        }
    }

    /// How far the log has come and, by `until`, what a recovery may ask for: the blocks of batches after it. `None`: there is no log.
    pub fn position(&self, until: Option<Time>) -> Option<Position> {
        let state = self.state.lock();
        let mut position = state.log.as_ref()?.position();
        let after = until.map_or(Bound::Unbounded, Bound::Excluded);
        let oldest = state.batches.range((after, Bound::Unbounded)).next().map(|(_, batch)| &batch.first);
        for (number, reached) in &mut position {
            reached.needed = oldest.and_then(|first| first.get(number).copied()).unwrap_or(reached.allotted);
        }
        Some(position)
    }

    /// Deletes what the log has of batches up to `time`: no recovery will ask for it.
    pub fn clean_log(&self, time: Time) -> Result<(), StreamError> {
        let mut state = self.state.lock();
        let State { log, inputs, batches } = &mut *state;
        let Some(log) = log else { return Ok(()) };
        while batches.first_key_value().is_some_and(|(first, batch)| *first <= time && !batch.held) {
            batches.pop_first();
        }
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
