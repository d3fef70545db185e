//! Files and data that clients upload into a session.
//!
//! Kept in memory by name until the session ends, at most [`SESSION_BYTES_MAX`] for each session. Names are never used as
//! paths here.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use millstream_formats::condition::{ExceptionClass, SparkError};
use parking_lot::Mutex;
use spark_connect_proto::add_artifacts_request::{
    ArtifactChunk, Batch, BeginChunkedArtifact, Payload, SingleChunkArtifact,
};
use spark_connect_proto::add_artifacts_response::ArtifactSummary;

/// Bytes of artifacts a session may hold; `spark.sql.session.localRelationSizeLimit` is the same number.
pub const SESSION_BYTES_MAX: usize = 3 << 30;

/// The artifacts of a session.
#[derive(Default)]
pub struct Artifacts {
    by_name: Mutex<HashMap<String, Bytes>>,
}

impl Artifacts {
    /// The bytes of an artifact.
    pub fn get(&self, name: &str) -> Option<Bytes> {
        self.by_name.lock().get(name).cloned()
    }

    /// Whether there is one of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.by_name.lock().contains_key(name)
    }

    /// The same artifacts, from now on apart.
    pub fn fork(&self) -> Self {
        Self { by_name: Mutex::new(self.by_name.lock().clone()) }
    }

    fn put(&self, name: String, bytes: Bytes) -> Result<(), SparkError> {
        let mut all = self.by_name.lock();
        let held: usize = all.iter().filter(|(known, _)| **known != name).map(|(_, bytes)| bytes.len()).sum();
        if held.saturating_add(bytes.len()) > SESSION_BYTES_MAX {
            let text = format!("The artifacts of a session may not exceed {SESSION_BYTES_MAX} bytes.");
            return Err(SparkError::plain(ExceptionClass::Spark, text));
        }
        // The name may be a slice of a whole message; the bytes are copied so that the message can go.
        all.insert(name, Bytes::copy_from_slice(&bytes));
        Ok(())
    }
}

/// One call of `AddArtifacts`: takes its messages in order and stores what is whole and sound.
pub struct Upload<'a> {
    artifacts: &'a Artifacts,
    summaries: Vec<ArtifactSummary>,
    open: Option<Chunked>,
}

struct Chunked {
    name: String,
    bytes: BytesMut,
    bytes_expected: usize,
    chunks_missing: i64,
    sound: bool,
}

impl<'a> Upload<'a> {
    /// An upload into these artifacts.
    pub fn new(artifacts: &'a Artifacts) -> Self {
        Self { artifacts, summaries: Vec::new(), open: None }
    }

    /// Takes the payload of one message.
    ///
    /// # Errors
    /// Chunks that do not belong together, or more than a session may hold.
    pub fn add(&mut self, payload: Payload) -> Result<(), SparkError> {
        match payload {
            Payload::Batch(_) | Payload::BeginChunk(_) if self.open.is_some() => {
                Err(wrong("A new artifact begins before the last one has ended."))
            }
            Payload::Batch(Batch { artifacts }) => artifacts.into_iter().try_for_each(|artifact| self.single(artifact)),
            Payload::BeginChunk(begin) => self.begin(begin),
            Payload::Chunk(chunk) => self.chunk(chunk),
        }
    }

    /// One summary for each artifact, in order.
    ///
    /// # Errors
    /// If the last artifact is not whole.
    pub fn finish(self) -> Result<Vec<ArtifactSummary>, SparkError> {
        match self.open {
            Some(open) => Err(wrong(format!("The artifact {} is not whole.", open.name))),
            None => Ok(self.summaries),
        }
    }

    fn single(&mut self, artifact: SingleChunkArtifact) -> Result<(), SparkError> {
        let SingleChunkArtifact { name, data } = artifact;
        let ArtifactChunk { data, crc } = data.unwrap_or_default();
        let sound = matches_crc(&data, crc);
        self.store(name, data, sound)
    }

    fn begin(&mut self, begin: BeginChunkedArtifact) -> Result<(), SparkError> {
        let BeginChunkedArtifact { name, total_bytes, num_chunks, initial_chunk } = begin;
        let bytes_expected = usize::try_from(total_bytes).ok().filter(|&bytes| bytes <= SESSION_BYTES_MAX);
        let bytes_expected = bytes_expected.ok_or_else(|| wrong(format!("{total_bytes} bytes are too many.")))?;
        self.open =
            Some(Chunked { name, bytes: BytesMut::new(), bytes_expected, chunks_missing: num_chunks, sound: true });
        self.chunk(initial_chunk.unwrap_or_default())
    }

    fn chunk(&mut self, chunk: ArtifactChunk) -> Result<(), SparkError> {
        let open = self.open.as_mut().ok_or_else(|| wrong("A chunk belongs to no artifact."))?;
        let ArtifactChunk { data, crc } = chunk;
        if open.bytes.len() + data.len() > open.bytes_expected {
            return Err(wrong(format!("The artifact {} is longer than announced.", open.name)));
        }
        open.sound &= matches_crc(&data, crc);
        open.bytes.extend_from_slice(&data);
        open.chunks_missing -= 1;
        if open.chunks_missing > 0 {
            return Ok(());
        }
        match self.open.take() {
            Some(Chunked { name, bytes, bytes_expected, sound, .. }) => {
                let whole = bytes.len() == bytes_expected;
                self.store(name, bytes.freeze(), sound && whole)
            }
            None => Ok(()),
        }
    }

    fn store(&mut self, name: String, bytes: Bytes, sound: bool) -> Result<(), SparkError> {
        if sound {
            self.artifacts.put(name.clone(), bytes)?;
        }
        self.summaries.push(ArtifactSummary { name, is_crc_successful: sound });
        Ok(())
    }
}

fn matches_crc(bytes: &[u8], crc: i64) -> bool {
    i64::from(crc32fast::hash(bytes)) == crc
}

fn wrong(text: impl Into<String>) -> SparkError {
    SparkError::plain(ExceptionClass::IllegalArgument, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(data: &'static [u8]) -> ArtifactChunk {
        ArtifactChunk { data: Bytes::from_static(data), crc: i64::from(crc32fast::hash(data)) }
    }

    #[test]
    fn chunks_are_put_together_and_damaged_ones_are_told_and_not_kept() {
        let artifacts = Artifacts::default();
        let mut upload = Upload::new(&artifacts);
        let begin = BeginChunkedArtifact {
            name: "cache/a".into(),
            total_bytes: 6,
            num_chunks: 2,
            initial_chunk: Some(chunk(b"abc")),
        };
        upload.add(Payload::BeginChunk(begin)).expect("begin");
        upload.add(Payload::Chunk(chunk(b"def"))).expect("chunk");
        let damaged = ArtifactChunk { crc: 1, ..chunk(b"x") };
        let batch = Batch { artifacts: vec![SingleChunkArtifact { name: "files/b".into(), data: Some(damaged) }] };
        upload.add(Payload::Batch(batch)).expect("batch");
        let summaries = upload.finish().expect("whole");
        assert_eq!(summaries.iter().map(|s| s.is_crc_successful).collect::<Vec<_>>(), [true, false]);
        assert_eq!(artifacts.get("cache/a").as_deref(), Some(b"abcdef".as_slice()));
        assert!(!artifacts.contains("files/b"));
    }

    #[test]
    fn an_artifact_that_breaks_off_is_an_error() {
        let artifacts = Artifacts::default();
        let mut upload = Upload::new(&artifacts);
        let begin = BeginChunkedArtifact {
            name: "a".into(),
            total_bytes: 6,
            num_chunks: 2,
            initial_chunk: Some(chunk(b"abc")),
        };
        upload.add(Payload::BeginChunk(begin)).expect("begin");
        assert!(upload.finish().is_err());
        assert!(Upload::new(&artifacts).add(Payload::Chunk(chunk(b"x"))).is_err());
    }
}
