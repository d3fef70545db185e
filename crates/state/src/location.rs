//! Where the files of a store lie.

use std::fmt;
use std::path::{Path, PathBuf};

use millstream_formats::statefile::store_dir;

/// `<checkpoint>/state/<operator>/<partition>[/<store>]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreLocation {
    dir: PathBuf,
    operator: usize,
    partition: usize,
}

impl StoreLocation {
    /// The store named `store` (`default` for the only one) of a partition of an operator; `state_dir` is
    /// `<checkpoint>/state`.
    pub fn new(state_dir: &Path, operator: usize, partition: usize, store: &str) -> Self {
        Self { dir: store_dir(state_dir, operator, partition, store), operator, partition }
    }

    /// The directory of the files.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Number of the operator.
    pub fn operator(&self) -> usize {
        self.operator
    }

    /// Number of the partition.
    pub fn partition(&self) -> usize {
        self.partition
    }
}

impl fmt::Display for StoreLocation {
    /// As Spark's messages name a store.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dir, operator, partition } = self;
        write!(f, "HDFSStateStoreProvider[id = (op={operator},part={partition}),dir = {}]", dir.display())
    }
}
