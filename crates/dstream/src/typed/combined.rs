//! Streams of several others, and batches as files that a program can read again.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::{Codec, part};
use super::context::StreamingContext;
use super::engine::Dataset;
use super::rdd::{Data, Rdd};
use super::stream::{DStream, Derived};
use crate::checkpoint::local_path;
use crate::{Absent, NodeId, StreamError};

/// Written last, with the number of partitions.
const COMPLETE: &str = "_SUCCESS";

impl StreamingContext {
    /// The elements of all streams. They must have the same slide.
    ///
    /// # Errors
    /// No streams, or of different slides; the context was started or stopped.
    pub fn union<T: Data>(&self, streams: &[DStream<T>]) -> Derived<T> {
        let nodes: Vec<NodeId> = streams.iter().map(|stream| stream.node).collect();
        let node = self.context.union(&nodes)?;
        Ok(self.stream(node, "union", streams.first().and_then(|stream| stream.codec.clone())))
    }

    /// A function of the batches of several streams of the same slide. [`DStream::transform_with`] takes two of different types.
    ///
    /// # Errors
    /// No streams, or of different slides; the context was started or stopped.
    pub fn transform<T: Data, U: Data>(
        &self,
        streams: &[DStream<T>],
        function: impl Fn(crate::Time, Vec<Rdd<T>>) -> Result<Rdd<U>, StreamError> + Send + Sync + 'static,
    ) -> Derived<U> {
        let nodes: Vec<NodeId> = streams.iter().map(|stream| stream.node).collect();
        let codecs: Vec<Option<Codec<T>>> = streams.iter().map(|stream| stream.codec.clone()).collect();
        let node = self.context.transformed(
            &nodes,
            Absent::Fail,
            Box::new(move |time, datasets| {
                let typed = datasets.iter().zip(&codecs).map(|(dataset, codec)| dataset.typed(codec.as_ref()));
                let rdd = function(time, typed.collect::<Result<_, StreamError>>()?)?;
                Ok(Some(Dataset::of(rdd)))
            }),
        )?;
        Ok(self.stream(node, "transform", None))
    }
}

impl<T: Data + Serialize + DeserializeOwned> Rdd<T> {
    /// Writes the elements below a directory, a file a partition, so that [`Rdd::load_object_file`] gives them back. A form of its own:
    /// MessagePack with a checksum.
    ///
    /// # Errors
    /// The directory exists; it cannot be written; those of computing the elements.
    pub fn save_as_object_file(&self, directory: impl AsRef<Path>) -> Result<(), StreamError> {
        let directory = local_path(directory.as_ref());
        if directory.exists() {
            return Err(StreamError::Invalid(format!("Output directory {} already exists", directory.display())));
        }
        self.write_objects(&directory)
    }

    fn write_objects(&self, directory: &Path) -> Result<(), StreamError> {
        std::fs::create_dir_all(directory).map_err(|e| StreamError::io("create", directory, e))?;
        let codec = Codec::serde();
        self.each_partition(|partition, rdd| codec.write(&part(directory, partition), &rdd.partition(partition)?))?;
        let path = directory.join(COMPLETE);
        std::fs::write(&path, self.partitions().to_string()).map_err(|e| StreamError::io("write", &path, e))
    }

    /// What [`Rdd::save_as_object_file`] or [`DStream::save_as_object_files`] wrote, with its partitions.
    ///
    /// # Errors
    /// It is not there as a whole, damaged, or of another type.
    pub fn load_object_file(directory: impl AsRef<Path>) -> Result<Self, StreamError> {
        let directory = local_path(directory.as_ref());
        let path = directory.join(COMPLETE);
        let count = std::fs::read_to_string(&path).map_err(|e| StreamError::io("read", &path, e))?;
        let count: usize = count
            .parse()
            .map_err(|_| StreamError::Invalid(format!("`{}` has no number of partitions", path.display())))?;
        let codec = Codec::serde();
        let partitions = (0..count).map(|partition| codec.read(&part(&directory, partition)));
        Ok(Rdd::from_partitions(partitions.collect::<Result<_, StreamError>>()?))
    }
}

impl<T: Data + Serialize + DeserializeOwned> DStream<T> {
    /// Writes each batch to a directory `PREFIX-MILLISECONDS[.SUFFIX]` that [`Rdd::load_object_file`] reads. A batch that is run again
    /// writes its directory again.
    ///
    /// # Errors
    /// The context was started or stopped.
    pub fn save_as_object_files(&self, prefix: &str, suffix: Option<&str>) -> Result<(), StreamError> {
        let prefix = prefix.to_owned();
        let suffix = suffix.filter(|suffix| !suffix.is_empty()).map(|suffix| format!(".{suffix}")).unwrap_or_default();
        self.for_each_rdd(move |time, rdd| {
            let directory = local_path(Path::new(&format!("{prefix}-{}{suffix}", time.as_ms())));
            if directory.is_dir() {
                std::fs::remove_dir_all(&directory).map_err(|e| StreamError::io("delete", &directory, e))?;
            }
            rdd.write_objects(&directory)
        })
    }
}
