//! Elements as bytes, for checkpoints and logs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_formats::files;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::rdd::{Data, Rdd};
use crate::StreamError;
use crate::checkpoint::saved::{SAVED, count_of};

type Encode<T> = Arc<dyn Fn(&[T]) -> Result<Vec<u8>, StreamError> + Send + Sync>;
type Decode<T> = Arc<dyn Fn(&[u8]) -> Result<Vec<T>, StreamError> + Send + Sync>;

/// Makes bytes of elements and back. A file is the bytes and their CRC-32.
pub(crate) struct Codec<T> {
    encode: Encode<T>,
    decode: Decode<T>,
}

impl<T> Clone for Codec<T> {
    fn clone(&self) -> Self {
        Codec { encode: Arc::clone(&self.encode), decode: Arc::clone(&self.decode) }
    }
}

impl<T: Data> Codec<T> {
    /// By functions.
    pub fn new(
        encode: impl Fn(&[T]) -> Result<Vec<u8>, StreamError> + Send + Sync + 'static,
        decode: impl Fn(&[u8]) -> Result<Vec<T>, StreamError> + Send + Sync + 'static,
    ) -> Self {
        Codec { encode: Arc::new(encode), decode: Arc::new(decode) }
    }

    /// By serde.
    pub fn serde() -> Self
    where
        T: Serialize + DeserializeOwned,
    {
        let failed = |e: &dyn std::error::Error| StreamError::Invalid(format!("{}: {e}", std::any::type_name::<T>()));
        Codec {
            encode: Arc::new(move |elements| rmp_serde::to_vec(elements).map_err(|e| failed(&e))),
            decode: Arc::new(move |bytes| rmp_serde::from_slice(bytes).map_err(|e| failed(&e))),
        }
    }

    pub fn encode(&self, elements: &[T]) -> Result<Vec<u8>, StreamError> {
        (self.encode)(elements)
    }

    pub fn decode(&self, bytes: &[u8]) -> Result<Vec<T>, StreamError> {
        (self.decode)(bytes)
    }

    pub fn write(&self, path: &Path, elements: &[T]) -> Result<(), StreamError> {
        let mut bytes = self.encode(elements)?;
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        // Synced with the whole directory, if that is wanted.
        Ok(files::Writer { role: SAVED, fsync: false }.write_in_place(path, &bytes)?)
    }

    pub fn read(&self, path: &Path) -> Result<Vec<T>, StreamError> {
        let bytes = std::fs::read(path).map_err(|e| StreamError::io("read", path, e))?;
        let (body, crc) = bytes.split_last_chunk::<4>().ok_or_else(|| damaged(path))?;
        if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
            return Err(damaged(path));
        }
        self.decode(body)
    }

    /// All partitions that were written to a directory.
    pub fn load(&self, directory: &Path) -> Result<Rdd<T>, StreamError> {
        let partitions = (0..partitions(directory)?).map(|partition| self.read(&part(directory, partition)));
        Ok(Rdd::from_partitions(partitions.collect::<Result<_, StreamError>>()?))
    }
}

const PART: &str = "part-";

/// Number of partitions in the directory of a saved dataset.
pub(crate) fn partitions(directory: &Path) -> Result<usize, StreamError> {
    count_of(directory, PART)
}

/// The file of a partition in the directory of a saved dataset.
pub(crate) fn part(directory: &Path, partition: usize) -> PathBuf {
    directory.join(format!("{PART}{partition:05}"))
}

fn damaged(path: &Path) -> StreamError {
    StreamError::checkpoint(path, "wrong checksum: the file is damaged")
}
