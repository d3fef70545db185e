//! The typed datasets as the graph sees them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::{self, Codec};
use super::rdd::{AnyRdd, Data, Plan, Rdd};
use super::sources::{RecordFiles, TextBlocks, TextFiles};
use crate::{Datasets, StorageLevel, StreamError, TextBlock};

/// Runs datasets of Rust types.
pub struct Engine;

/// An [`Rdd`] whose type only the stream knows that it belongs to.
#[derive(Clone)]
pub struct Dataset(pub(crate) Inner);

#[derive(Clone)]
pub(crate) enum Inner {
    Union(Vec<Dataset>),
    /// In a checkpoint.
    Saved(PathBuf),
    Rdd(Arc<dyn AnyRdd>),
}

impl Dataset {
    pub(crate) fn of<T: Data>(rdd: Rdd<T>) -> Self {
        Dataset(Inner::Rdd(Arc::new(rdd)))
    }

    /// With its type.
    pub(crate) fn typed<T: Data>(&self, codec: Option<&Codec<T>>) -> Result<Rdd<T>, StreamError> {
        match &self.0 {
            Inner::Union(parts) => {
                let mut parts: Vec<Rdd<T>> =
                    parts.iter().map(|part| part.typed(codec)).collect::<Result<_, StreamError>>()?;
                Ok(if parts.len() == 1 { parts.swap_remove(0) } else { Rdd::union(parts) })
            }
            Inner::Saved(directory) => match codec {
                Some(codec) => Ok(codec.load(directory)?.with_codec(Some(codec.clone()))),
                None => Err(StreamError::checkpoint(directory, "the stream that it belongs to is not durable")),
            },
            Inner::Rdd(rdd) => rdd.as_any().downcast_ref::<Rdd<T>>().cloned().ok_or_else(|| {
                StreamError::Graph(format!("a stream of `{}` has elements of another type", std::any::type_name::<T>()))
            }),
        }
    }
}

impl<T: Data> From<Rdd<T>> for Dataset {
    fn from(rdd: Rdd<T>) -> Self {
        Dataset::of(rdd)
    }
}

impl Datasets for Engine {
    type Dataset = Dataset;

    fn empty(&self) -> Result<Dataset, StreamError> {
        Ok(Dataset(Inner::Union(Vec::new())))
    }

    fn union(&self, parts: Vec<Dataset>) -> Result<Dataset, StreamError> {
        Ok(Dataset(Inner::Union(parts)))
    }

    fn text(&self, blocks: Vec<TextBlock>) -> Result<Dataset, StreamError> {
        Ok(Dataset::of(durable(TextBlocks(blocks))))
    }

    fn text_files(&self, files: &[PathBuf]) -> Result<Dataset, StreamError> {
        Ok(Dataset::of(durable(TextFiles::new(files))))
    }

    fn record_files(&self, files: &[PathBuf], record_bytes: usize) -> Result<Dataset, StreamError> {
        Ok(Dataset::of(durable(RecordFiles { files: files.to_vec(), record_bytes })))
    }

    fn remember(&self, dataset: &Dataset, _level: StorageLevel) {
        match &dataset.0 {
            Inner::Union(parts) => parts.iter().for_each(|part| self.remember(part, StorageLevel::MEMORY_ONLY)),
            Inner::Saved(_) => {}
            Inner::Rdd(rdd) => rdd.remember(),
        }
    }

    fn forget(&self, dataset: &Dataset) {
        if let Inner::Rdd(rdd) = &dataset.0 {
            rdd.forget();
        }
    }

    fn save(&self, dataset: &Dataset, directory: &Path) -> Result<(), StreamError> {
        std::fs::create_dir_all(directory).map_err(|e| StreamError::io("create", directory, e))?;
        save_from(dataset, directory, 0).map(|_| ())
    }

    fn load(&self, directory: &Path) -> Result<Dataset, StreamError> {
        Ok(Dataset(Inner::Saved(directory.to_owned())))
    }
}

fn durable<T: Data + Serialize + DeserializeOwned>(plan: impl Plan<T> + 'static) -> Rdd<T> {
    Rdd::new(plan).with_codec(Some(Codec::serde()))
}

/// Writes the partitions of a dataset as those from `first` on; gives the number after the last.
fn save_from(dataset: &Dataset, directory: &Path, first: usize) -> Result<usize, StreamError> {
    match &dataset.0 {
        Inner::Rdd(rdd) => rdd.save(directory, first),
        Inner::Union(parts) => parts.iter().try_fold(first, |first, dataset| save_from(dataset, directory, first)),
        Inner::Saved(from) => {
            let partitions = codec::partitions(from)?;
            for partition in 0..partitions {
                let (from, to) = (codec::part(from, partition), codec::part(directory, first + partition));
                std::fs::copy(&from, &to).map_err(|e| StreamError::io("copy", &from, e))?;
            }
            Ok(first + partitions)
        }
    }
}
