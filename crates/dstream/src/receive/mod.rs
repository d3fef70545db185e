//! Receivers: threads that take elements from the world and store them as blocks, which batches are made of.
//!
//! Elements that come within one block interval are a block, and a block is a partition. When a batch is made, all blocks that are
//! there (also the one that is being filled) are allotted to it, once and for all.
//!
//! # Memory
//! A receiver that is ahead of the batches by [`HELD_BYTES_MAX`] bytes waits, which in the end holds up the peer's socket. What is
//! counted are elements whose batch is not done; what windows and the program's own `remember` keep afterwards is theirs.
//!
//! # Loss
//! Without the write-ahead log blocks are gone with the process. With it (`spark.streaming.receiver.writeAheadLog.enable`) a block is
//! in the log before a batch can have it; what came since the last block (200 ms) is not.

mod intake;
pub(crate) mod lines;
pub(crate) mod log;
mod pid;
mod rate;
mod socket;
mod supervisor;
mod tracker;

pub(crate) use self::intake::{Intake, IntakeSettings, Shelf};
pub use self::intake::{OpenBlock, Store};
pub use self::lines::OpenText;
pub(crate) use self::pid::PidEstimator;
pub(crate) use self::rate::RateLimit;
pub(crate) use self::socket::SocketReceiver;
pub(crate) use self::supervisor::{Running, Supervisor};
pub(crate) use self::tracker::{BlockCodec, Tracker, WriteAhead};
pub use millstream_intake::Lines;

/// Bytes that a receiver may be ahead of the batches, unless `spark.millstream.receiver.bufferBytes` says otherwise.
pub(crate) const HELD_BYTES_MAX: usize = 512 << 20;
/// A block is closed at this size even before its interval is over, so that fast streams are cut finely enough for all cores.
pub(crate) const BLOCK_BYTES_MAX: usize = 4 << 20;

/// Takes elements from somewhere and stores them.
pub trait Receiver<O: OpenBlock>: Send + 'static {
    /// Name in events, such as `SocketReceiver`.
    fn name(&self) -> &str;

    /// Receives until there is no more, something fails, or [`Store::stopped`]. Called anew after [`ReceiverControl::Restart`].
    fn receive(&mut self, store: &mut Store<O>) -> ReceiverControl;
}

/// Why a receiver has returned, and what shall be done.
#[derive(Debug)]
pub enum ReceiverControl {
    /// Start again after `spark.streaming.receiverRestartDelay` (2 s).
    Restart {
        /// What happened.
        message: String,
        /// The error behind it.
        error: Option<String>,
    },
    /// It is done, or was told to stop.
    Stop {
        /// Why.
        message: String,
    },
    /// It cannot go on, and who waits for the context is to know.
    Fail {
        /// Why.
        message: String,
    },
}
