//! The checkpoint of a context: what it needs to go on in another process.
//!
//! A checkpoint is a file `checkpoint-<ms>` in the checkpoint directory. It names the batches that are not done, per stream the datasets
//! that are saved (directories `rdd-<stream>-<ms>`) and the files that batches were made of, and the program's own description
//! (`program-<crc>`). It is written under another name and then renamed, so that it is whole or not there. The newest
//! [`KEPT`] are kept, with all that they name; the rest is deleted.
//!
//! # Durability
//! All that a checkpoint needs is with the operating system before it appears: it outlives `kill -9`. With
//! `spark.millstream.checkpoint.fsync` it is on the disk, too; that costs a disk flush twice a batch. A checkpoint that is damaged is
//! passed over for the one before.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::graph::Graph;
use crate::graph::operator::SourceProgress;
use crate::{Conf, Datasets, Span, StreamError, Time};

/// Checkpoints that are kept.
const KEPT: usize = 2;
/// Form of the file.
const VERSION: u32 = 1;

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
    pub time: Time,
    pub interval: Span,
    pub zero: Time,
    pub checkpoint_interval: Span,
    pub pending: Vec<Time>,
    pub conf: BTreeMap<String, String>,
    pub program: String,
    pub streams: Vec<StreamBody>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StreamBody {
    pub class_name: String,
    pub slide: Span,
    /// Names of directories.
    pub saved: BTreeMap<i64, String>,
    pub progress: Option<SourceProgress>,
}

impl Checkpoint {
    /// The newest checkpoint in a directory that can be read; nothing if there is none or no directory.
    ///
    /// # Errors
    /// There are checkpoints, but none that can be read; the error is that of the newest.
    pub fn read(directory: impl AsRef<Path>) -> Result<Option<Self>, StreamError> {
        let directory = local_path(directory.as_ref());
        let mut first_error = None;
        for (_, path) in checkpoint_files(&directory)?.into_iter().rev() {
            match read_file(&directory, &path) {
                Ok(checkpoint) => return Ok(Some(checkpoint)),
                Err(error) => {
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
        StreamError::checkpoint(&self.directory, reason)
    }
}

/// A path as the file system wants it.
pub(crate) fn local_path(path: &Path) -> PathBuf {
    let text = path.to_string_lossy();
    let text = text.strip_prefix("file://").or_else(|| text.strip_prefix("file:")).unwrap_or(&text);
    PathBuf::from(text)
}

fn checkpoint_files(directory: &Path) -> Result<BTreeMap<i64, PathBuf>, StreamError> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(StreamError::io("read", directory, error)),
    };
    let time = |path: &Path| path.file_name()?.to_str()?.strip_prefix("checkpoint-")?.parse::<i64>().ok();
    Ok(entries.flatten().map(|entry| entry.path()).filter_map(|path| Some((time(&path)?, path))).collect())
}

fn read_file(directory: &Path, path: &Path) -> Result<Checkpoint, StreamError> {
    let text = std::fs::read_to_string(path).map_err(|e| StreamError::io("read", path, e))?;
    let damaged = |what: &str| StreamError::checkpoint(path, format!("{what}: the file is damaged"));
    let (crc, json) = text.split_once('\n').ok_or_else(|| damaged("no checksum"))?;
    if crc != format!("{:08x}", crc32fast::hash(json.as_bytes())) {
        return Err(damaged("wrong checksum"));
    }
    let body: Body = serde_json::from_str(json).map_err(|e| damaged(&e.to_string()))?;
    if body.version != VERSION {
        let reason = format!("it has form {}, this build reads form {VERSION}", body.version);
        return Err(StreamError::checkpoint(path, reason));
    }
    let program_path = directory.join(&body.program);
    let program = std::fs::read(&program_path).map_err(|e| StreamError::io("read", &program_path, e))?;
    if program_name(&program) != body.program {
        return Err(StreamError::checkpoint(&program_path, "wrong checksum: the file is damaged"));
    }
    for name in body.streams.iter().flat_map(|stream| stream.saved.values()) {
        if !directory.join(name).is_dir() {
            return Err(StreamError::checkpoint(path, format!("`{name}`, which it names, is missing")));
        }
    }
    Ok(Checkpoint { directory: directory.to_owned(), body, program })
}

fn program_name(program: &[u8]) -> String {
    format!("program-{:08x}-{}", crc32fast::hash(program), program.len())
}

/// Writes the checkpoints of a context.
pub(crate) struct Writer {
    pub directory: PathBuf,
    pub interval: Span,
    sync: bool,
    program_name: String,
    conf: BTreeMap<String, String>,
    latest: Option<Time>,
    /// Files that are kept and what they name, the oldest first.
    kept: VecDeque<(PathBuf, BTreeSet<String>)>,
}

impl Writer {
    /// Prepares the directory; what nothing in `recovered` names is deleted.
    pub fn new(
        directory: &Path,
        interval: Span,
        program: &[u8],
        conf: &Conf,
        recovered: Option<&Checkpoint>,
    ) -> Result<Self, StreamError> {
        std::fs::create_dir_all(directory).map_err(|e| StreamError::io("create", directory, e))?;
        let mut writer = Writer {
            directory: directory.to_owned(),
            interval,
            sync: conf.flag("spark.millstream.checkpoint.fsync", false)?,
            program_name: program_name(program),
            conf: conf.all().clone(),
            latest: recovered.map(Checkpoint::time),
            kept: VecDeque::new(),
        };
        for (_, path) in checkpoint_files(directory)? {
            let names = read_file(directory, &path).map(|checkpoint| names_of(&checkpoint.body)).unwrap_or_default();
            writer.kept.push_back((path, names));
        }
        writer.write_atomically(&writer.program_name, program)?;
        writer.delete_unnamed()?;
        Ok(writer)
    }

    fn delete_unnamed(&self) -> Result<(), StreamError> {
        let named: BTreeSet<&String> = self.kept.iter().flat_map(|(_, names)| names).collect();
        let entries = std::fs::read_dir(&self.directory).map_err(|e| StreamError::io("read", &self.directory, e))?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if (name.starts_with("rdd-") || name.starts_with(".rdd-")) && !named.contains(&name) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    fn write_atomically(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, StreamError> {
        let (draft, path) = (self.directory.join(format!(".{name}.tmp")), self.directory.join(name));
        let failed = |e| StreamError::io("write", &path, e);
        let mut file = File::create(&draft).map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        if self.sync {
            file.sync_all().map_err(failed)?;
        }
        std::fs::rename(&draft, &path).map_err(failed)?;
        if self.sync {
            File::open(&self.directory).and_then(|dir| dir.sync_all()).map_err(failed)?;
        }
        Ok(path)
    }

    /// Saves a dataset as a whole and gives its name.
    pub fn save<B: Datasets>(
        directory: &Path,
        datasets: &B,
        stream: usize,
        time: Time,
        dataset: &B::Dataset,
    ) -> Result<String, StreamError> {
        let name = format!("rdd-{stream}-{}", time.as_ms());
        let (draft, path) = (directory.join(format!(".{name}.tmp")), directory.join(&name));
        remove(&draft)?;
        datasets.save(dataset, &draft)?;
        // There is one already if the batch is run again after a recovery.
        remove(&path)?;
        std::fs::rename(&draft, &path).map_err(|e| StreamError::io("write", &path, e))?;
        Ok(name)
    }

    /// Writes the state of the graph as it is now, for the batch of `time`.
    pub fn write<B: Datasets>(&mut self, graph: &Graph<B>, time: Time, pending: Vec<Time>) -> Result<(), StreamError> {
        let zero = graph.zero.get().copied().unwrap_or(time);
        let body = Body {
            version: VERSION,
            time,
            interval: graph.interval,
            zero,
            checkpoint_interval: self.interval,
            pending,
            conf: self.conf.clone(),
            program: self.program_name.clone(),
            streams: graph.nodes().iter().map(|node| stream_body(node)).collect(),
        };
        let json = serde_json::to_string(&body).map_err(|e| StreamError::checkpoint(&self.directory, e.to_string()))?;
        let text = format!("{:08x}\n{json}", crc32fast::hash(json.as_bytes()));
        // A batch may be done after a later one was made; what is written last knows most and must be the newest.
        let latest = self.latest.map_or(time, |latest| latest.max(time));
        self.latest = Some(latest);
        let path = self.write_atomically(&format!("checkpoint-{}", latest.as_ms()), text.as_bytes())?;
        self.kept.retain(|(kept, _)| *kept != path);
        self.kept.push_back((path, names_of(&body)));
        self.delete_old()
    }

    fn delete_old(&mut self) -> Result<(), StreamError> {
        while self.kept.len() > KEPT {
            let Some((path, names)) = self.kept.pop_front() else { return Ok(()) };
            remove(&path)?;
            for name in names {
                if !self.kept.iter().any(|(_, kept)| kept.contains(&name)) {
                    remove(&self.directory.join(name))?;
                }
            }
        }
        Ok(())
    }
}

fn stream_body<B: Datasets>(node: &crate::graph::Node<B>) -> StreamBody {
    let saved = node.state.lock().saved.iter().map(|(time, name)| (time.as_ms(), name.clone())).collect();
    StreamBody {
        class_name: node.operator.class_name().to_owned(),
        slide: node.slide,
        saved,
        progress: node.operator.progress(),
    }
}

fn names_of(body: &Body) -> BTreeSet<String> {
    let saved = body.streams.iter().flat_map(|stream| stream.saved.values().cloned());
    saved.chain([body.program.clone()]).collect()
}

fn remove(path: &Path) -> Result<(), StreamError> {
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StreamError::io("delete", path, error)),
        _ => Ok(()),
    }
}
