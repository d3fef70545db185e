//! Streams of Rust types.

mod codec;
mod combined;
mod connected;
mod context;
mod engine;
mod fallible;
mod grouped;
mod keyed;
mod parallel;
mod rdd;
mod rows;
mod shuffle;
mod sorted;
mod sources;
mod state;
mod stream;
mod text;
mod versions;
mod window;

pub use self::connected::SourceReader;
pub use self::context::{ItemReceiver, ItemStore, StreamingContext};
pub use self::engine::{Dataset, Engine};
pub use self::rdd::{Data, Rdd, Sink};
pub use self::shuffle::{Cogrouped, Key, OuterJoined};
pub use self::state::{MappedWithStates, State, StateSpec};
pub use self::stream::{DStream, Derived};
pub use self::text::Text;
pub use self::window::KeepFn;
