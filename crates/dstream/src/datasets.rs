//! What the graph needs to know of the contents of a batch: nearly nothing.
//!
//! The graph decides *when* a dataset is made, kept, saved and forgotten. What it is, is the front's: a typed `Rdd<T>` in Rust, an RDD
//! object in Python.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::StreamError;

/// The engine that runs what the batches of a stream hold.
///
/// All methods may be called from several threads. Those that give a dataset may be lazy: what fails later fails in the job that uses
/// the dataset, and there the batch fails.
pub trait Datasets: Send + Sync + 'static {
    /// The contents of one batch of one stream. A clone is the same dataset, not a copy of its elements.
    type Dataset: Clone + Send + Sync + 'static;

    /// A dataset of no partition: past the end of a queue, or a union of nothing.
    fn empty(&self) -> Result<Self::Dataset, StreamError>;

    /// The parts one after another, each with its partitions.
    fn union(&self, parts: Vec<Self::Dataset>) -> Result<Self::Dataset, StreamError>;

    /// Lines that a receiver took, one partition a block. No block: no partition.
    fn text(&self, blocks: Vec<TextBlock>) -> Result<Self::Dataset, StreamError>;

    /// The lines of text files, file after file.
    fn text_files(&self, files: &[PathBuf]) -> Result<Self::Dataset, StreamError>;

    /// Records of `record_bytes` bytes each. A file whose length is no multiple of it is an error of the batch.
    fn record_files(&self, files: &[PathBuf], record_bytes: usize) -> Result<Self::Dataset, StreamError>;

    /// Keeps the elements once they are computed.
    fn remember(&self, dataset: &Self::Dataset, level: StorageLevel);

    /// Lets the kept elements go: no later batch will ask for them.
    fn forget(&self, dataset: &Self::Dataset);

    /// Writes all elements to files in the directory `dir`, which does not exist yet, so that [`Datasets::load`] gives them back with
    /// the same partitions. Computes what is not computed. Afterwards the dataset should no longer hold on to what it was
    /// computed from. The directory counts only when this has returned: the graph then notes checksums of all files in it, and
    /// brings them to the disk if that is wanted. Names that begin with `_manifest` are the graph's.
    fn save(&self, dataset: &Self::Dataset, dir: &Path) -> Result<(), StreamError>;

    /// What [`Datasets::save`] wrote. It is read when it is used, or now.
    fn load(&self, dir: &Path) -> Result<Self::Dataset, StreamError>;

    /// Ends what runs of the datasets now, as far as that is possible: the context stops and does not wait any longer.
    fn cancel(&self) {}
}

/// Spark's storage level. An engine may treat levels alike; the graph only asks whether there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageLevel {
    /// May lie on disk.
    pub disk: bool,
    /// May lie in memory.
    pub memory: bool,
    /// May lie outside of the heap.
    pub off_heap: bool,
    /// Kept as objects, not as bytes.
    pub deserialized: bool,
    /// Number of copies.
    pub replication: u32,
}

impl StorageLevel {
    /// Memory, as objects.
    pub const MEMORY_ONLY: StorageLevel =
        StorageLevel { disk: false, memory: true, off_heap: false, deserialized: true, replication: 1 };
    /// Memory, as bytes: the default of streams.
    pub const MEMORY_ONLY_SER: StorageLevel = StorageLevel { deserialized: false, ..Self::MEMORY_ONLY };
    /// Memory and disk as bytes, two copies: the default of receivers.
    pub const MEMORY_AND_DISK_SER_2: StorageLevel =
        StorageLevel { disk: true, replication: 2, ..Self::MEMORY_ONLY_SER };
}

/// Whole lines, as a receiver took them.
///
/// The text is UTF-8 (what was not is replaced by U+FFFD) and every line, also the last, ends with one `\n`, whatever ended it on the
/// wire.
#[derive(Clone, Debug)]
pub struct TextBlock {
    bytes: Arc<Vec<u8>>,
    lines: u64,
}

impl TextBlock {
    /// A block of `lines` lines. `bytes` must be as the type says.
    pub(crate) fn new(bytes: Vec<u8>, lines: u64) -> Self {
        TextBlock { bytes: Arc::new(bytes), lines }
    }

    /// A block of bytes that come from elsewhere; nothing if they are not as the type says.
    pub(crate) fn checked(bytes: Vec<u8>, lines: u64) -> Option<Self> {
        let ends = memchr::memchr_iter(b'\n', &bytes).count() as u64;
        let whole = bytes.is_empty() || bytes.ends_with(b"\n");
        (whole && ends == lines && std::str::from_utf8(&bytes).is_ok()).then(|| Self::new(bytes, lines))
    }

    /// The text: UTF-8, each line with its `\n`.
    pub fn bytes(&self) -> &Arc<Vec<u8>> {
        &self.bytes
    }

    /// Number of lines.
    pub fn lines(&self) -> u64 {
        self.lines
    }
}

/// What a receiver stored in one block interval.
#[derive(Clone)]
pub enum Block {
    /// Lines.
    Text(TextBlock),
    /// Elements of a receiver of the program's own: a `Vec` of its type.
    Items {
        /// The `Vec`.
        items: Arc<dyn Any + Send + Sync>,
        /// Its length.
        records: u64,
        /// Estimate of its bytes, for the bound on memory.
        bytes: usize,
    },
}

impl Block {
    /// Number of elements.
    pub fn records(&self) -> u64 {
        match self {
            Block::Text(text) => text.lines(),
            Block::Items { records, .. } => *records,
        }
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        match self {
            Block::Text(text) => text.bytes().len(),
            Block::Items { bytes, .. } => *bytes,
        }
    }
}
