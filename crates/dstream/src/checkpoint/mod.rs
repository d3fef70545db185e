//! The checkpoint of a context: what it needs to go on in another process.
//!
//! A checkpoint is a file `checkpoint-<ms>` in the checkpoint directory. It names the batches that are not done, per stream the datasets
//! that are saved (directories `rdd-<stream>-<ms>`, see [`saved`]) and the files that batches were made of, how far the write-ahead
//! log had come, and the program's own description (`program-<crc>`). It appears whole or not at all. The newest [`KEPT`] are kept, with
//! all that they name; the rest is deleted.
//!
//! # Durability
//! All that a checkpoint needs is with the operating system before it appears: it outlives `kill -9`. With
//! `spark.millstream.checkpoint.fsync` it is on the disk, too; that costs a disk flush twice a batch.
//!
//! # Damage
//! Everything that a checkpoint names is compared with its checksum when it is read. One that is damaged, or names something that is, is
//! passed over for the one before. One of a newer form is an error: going on from an older one would undo it.

pub(crate) mod saved;
mod writer;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use millstream_formats::files;
use serde::{Deserialize, Serialize};

use self::saved::Saved;
pub(crate) use self::writer::{Standing, Writer, make_dir};
use crate::graph::operator::SourceProgress;
use crate::receive::log::Position;
use crate::{Conf, Span, StreamError, Time};

/// Checkpoints that are kept.
pub(crate) const KEPT: usize = 2;
/// Form of the file.
const VERSION: u32 = 2;

/// A checkpoint that was read.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    pub(crate) directory: PathBuf,
    pub(crate) body: Body,
    pub(crate) program: Vec<u8>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Body {
    pub version: u32,
    /// Name of the file. In another one's place it does not count.
    pub file: String,
    /// Name of the context that has written it, the same through all recoveries.
    pub context: String,
    pub time: Time,
    pub interval: Span,
    pub zero: Time,
    pub checkpoint_interval: Span,
    pub pending: Vec<Time>,
    pub conf: BTreeMap<String, String>,
    pub program: String,
    /// How far the write-ahead log had come, if there is one.
    pub received: Option<Position>,
    pub streams: Vec<StreamBody>,
}

#[derive(Deserialize)]
struct Form {
    version: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StreamBody {
    pub class_name: String,
    pub slide: Span,
    pub saved: BTreeMap<i64, Saved>,
    pub progress: Option<SourceProgress>,
}

/// Why a checkpoint is not taken.
enum Unusable {
    /// The one before may do.
    Damaged(StreamError),
    /// None before it may be taken.
    Refused(StreamError),
}

impl Checkpoint {
    /// The newest checkpoint in a directory that can be read; nothing if there is none or no directory.
    ///
    /// # Errors
    /// There are checkpoints, but none that can be read (the error is that of the newest), one is of a newer form, or access is denied.
    pub fn read(directory: impl AsRef<Path>) -> Result<Option<Self>, StreamError> {
        let directory = local_path(directory.as_ref());
        let mut first_error = None;
        for (_, path) in checkpoint_files(&directory)?.into_iter().rev() {
            match read_whole(&directory, &path) {
                Ok(checkpoint) => return Ok(Some(checkpoint)),
                Err(Unusable::Refused(error)) => return Err(error),
                Err(Unusable::Damaged(error)) => {
                    tracing::warn!(%error, path = %path.display(), "cannot read a checkpoint");
                    first_error.get_or_insert(error);
                }
            }
        }
        first_error.map_or(Ok(None), Err)
    }

    /// The batch that it was written for.
    pub fn time(&self) -> Time {
        self.body.time
    }

    /// The batch interval.
    pub fn interval(&self) -> Span {
        self.body.interval
    }

    /// The settings of the context.
    pub fn conf(&self) -> Conf {
        self.body.conf.iter().map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// What the program said of itself, see [`crate::Context::set_program`].
    pub fn program(&self) -> &[u8] {
        &self.program
    }

    /// The directory that it was read from.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn refuse(&self, reason: impl Into<String>) -> StreamError {
        StreamError::checkpoint(&self.directory.join(&self.body.file), reason)
    }
}

/// A path as the file system wants it.
pub(crate) fn local_path(path: &Path) -> PathBuf {
    let text = path.to_string_lossy();
    let text = text.strip_prefix("file://").or_else(|| text.strip_prefix("file:")).unwrap_or(&text);
    PathBuf::from(text)
}

/// Checkpoints of a directory, damaged ones too, by the time in their name.
fn checkpoint_files(directory: &Path) -> Result<BTreeMap<i64, PathBuf>, StreamError> {
    let time = |name: &str| name.strip_prefix("checkpoint-")?.parse::<i64>().ok();
    let names = files::names(directory)?;
    Ok(names.iter().filter_map(|name| Some((time(name)?, directory.join(name)))).collect())
}

fn unusable(error: StreamError) -> Unusable {
    match &error {
        StreamError::Io { source, .. } if source.kind() == ErrorKind::PermissionDenied => Unusable::Refused(error),
        _ => Unusable::Damaged(error),
    }
}

/// A checkpoint and all that it names, compared with the checksums.
fn read_whole(directory: &Path, path: &Path) -> Result<Checkpoint, Unusable> {
    let body = read_body(path)?;
    let program_path = directory.join(&body.program);
    let program = files::read(&program_path).map_err(|error| unusable(error.into()))?;
    if program_name(&program) != body.program {
        return Err(Unusable::Damaged(StreamError::checkpoint(&program_path, "wrong checksum: the file is damaged")));
    }
    for saved in body.streams.iter().flat_map(|stream| stream.saved.values()) {
        saved.verify(directory).map_err(unusable)?;
    }
    Ok(Checkpoint { directory: directory.to_owned(), body, program })
}

fn read_body(path: &Path) -> Result<Body, Unusable> {
    let damaged = |what: &str| Unusable::Damaged(StreamError::checkpoint(path, format!("{what}: the file is damaged")));
    let text = files::read_text(path).map_err(|error| unusable(error.into()))?;
    let (crc, json) = text.split_once('\n').ok_or_else(|| damaged("no checksum"))?;
    if crc != format!("{:08x}", crc32fast::hash(json.as_bytes())) {
        return Err(damaged("wrong checksum"));
    }
    let Form { version } = serde_json::from_str(json).map_err(|e| damaged(&e.to_string()))?;
    if version != VERSION {
        let reason = format!("it has form {version}, this build reads form {VERSION}");
        return Err(Unusable::Refused(StreamError::checkpoint(path, reason)));
    }
    let body: Body = serde_json::from_str(json).map_err(|e| damaged(&e.to_string()))?;
    if path.file_name().is_none_or(|name| name != body.file.as_str()) {
        return Err(damaged(&format!("it was written as `{}`", body.file)));
    }
    Ok(body)
}

fn program_name(program: &[u8]) -> String {
    format!("program-{:08x}-{}", crc32fast::hash(program), program.len())
}
