//! Writes the checkpoints of a context, and deletes what none of them needs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use millstream_formats::{faults, files};

use super::saved::{self, SaveTo};
use super::{Body, Checkpoint, KEPT, StreamBody, VERSION, checkpoint_files, program_name, read_body};
use crate::graph::{Graph, Node};
use crate::receive::log::Position;
use crate::{Conf, Datasets, Span, StreamError, Time};

/// Roles in [`millstream_formats::faults`].
const CHECKPOINT: &str = "checkpoint";
const PROGRAM: &str = "program";

/// Writes the checkpoints of a context.
pub(crate) struct Writer {
    /// Where datasets are saved.
    pub save_to: SaveTo,
    pub interval: Span,
    /// Name of the context, see [`Body::context`].
    pub context: String,
    program_name: String,
    conf: BTreeMap<String, String>,
    latest: Option<Time>,
    /// The newest batch that is done.
    finished: Option<Time>,
    /// Files that are kept, the oldest first.
    kept: VecDeque<Kept>,
}

/// A checkpoint on disk.
struct Kept {
    path: PathBuf,
    names: BTreeSet<String>,
    /// The newest batch that was done when it was written. Going on from it needs what batches after this one need.
    finished: Option<Time>,
}

/// What a checkpoint is written of, beside the graph.
pub(crate) struct Standing {
    /// The batch that it is written for.
    pub time: Time,
    /// Batches that are made and not done.
    pub pending: Vec<Time>,
    /// How far the write-ahead log has come, if there is one.
    pub received: Option<Position>,
}

impl Writer {
    /// Prepares the directory; what no checkpoint in it names is deleted.
    ///
    /// # Errors
    /// The directory or the program cannot be written; the setting cannot be read.
    pub fn new(
        directory: &Path,
        interval: Span,
        program: &[u8],
        conf: &Conf,
        recovered: Option<&Checkpoint>,
    ) -> Result<Self, StreamError> {
        let sync = conf.flag("spark.millstream.checkpoint.fsync", false)?;
        make_dir(CHECKPOINT, directory, sync)?;
        let mut writer = Writer {
            save_to: SaveTo { directory: directory.to_owned(), sync },
            interval,
            context: recovered.map_or_else(|| uuid::Uuid::new_v4().to_string(), |from| from.body.context.clone()),
            program_name: program_name(program),
            conf: conf.all().clone(),
            latest: recovered.map(Checkpoint::time),
            finished: recovered.map(|checkpoint| undone(&checkpoint.body) - checkpoint.interval()),
            kept: VecDeque::new(),
        };
        for (time, path) in checkpoint_files(directory)? {
            // What this context writes must be newer than what is there, readable or not.
            writer.latest = writer.latest.max(Some(Time::from_ms(time)));
            let (names, finished) = match read_body(&path) {
                Ok(body) => (names_of(&body), Some(undone(&body) - body.interval)),
                Err(_) => (BTreeSet::new(), None),
            };
            writer.kept.push_back(Kept { path, names, finished });
        }
        let path = directory.join(&writer.program_name);
        if files::read(&path).is_ok_and(|there| there == program) {
            return writer.delete_unnamed().map(|()| writer);
        }
        files::Writer { role: PROGRAM, fsync: sync }.replace(&path, program)?;
        writer.delete_unnamed()?;
        Ok(writer)
    }

    /// Deletes what an earlier process has left behind.
    fn delete_unnamed(&self) -> Result<(), StreamError> {
        let directory = &self.save_to.directory;
        let named: BTreeSet<&str> = self.kept.iter().flat_map(|kept| &kept.names).map(String::as_str).collect();
        for name in files::names(directory)? {
            let path = directory.join(&name);
            let known = named.contains(name.as_str()) || name == self.program_name;
            let draft = name.starts_with(".checkpoint-") || name.starts_with(".program-");
            if (name.starts_with("rdd-") || name.starts_with("program-")) && !known {
                self.remove_named(&name)?;
            } else if draft && name.ends_with(".tmp") {
                self.writer(CHECKPOINT).remove(&path)?;
            }
        }
        Ok(())
    }

    fn writer(&self, role: &'static str) -> files::Writer {
        files::Writer { role, fsync: self.save_to.sync }
    }

    /// Says that a batch is done.
    pub fn note_done(&mut self, batch: Time) {
        self.finished = self.finished.max(Some(batch));
    }

    /// The newest batch that is done.
    pub fn finished(&self) -> Option<Time> {
        self.finished
    }

    /// Writes the state of the graph as it is now, and deletes checkpoints that are too old.
    ///
    /// # Errors
    /// It cannot be written: those before are still there.
    pub fn write<B: Datasets>(&mut self, graph: &Graph<B>, standing: Standing) -> Result<(), StreamError> {
        let Standing { time, pending, received } = standing;
        // A batch may be done after a later one was made; what is written last knows most and must be the newest.
        let latest = self.latest.map_or(time, |latest| latest.max(time));
        let file = format!("checkpoint-{}", latest.as_ms());
        let body = Body {
            version: VERSION,
            file: file.clone(),
            context: self.context.clone(),
            time,
            interval: graph.interval,
            zero: graph.zero.get().copied().unwrap_or(time),
            checkpoint_interval: self.interval,
            pending,
            conf: self.conf.clone(),
            program: self.program_name.clone(),
            received,
            streams: graph.nodes().iter().map(|node| stream_body(node)).collect(),
        };
        let path = self.save_to.directory.join(&file);
        let json = serde_json::to_string(&body).map_err(|e| StreamError::checkpoint(&path, e.to_string()))?;
        let text = format!("{:08x}\n{json}", crc32fast::hash(json.as_bytes()));
        self.writer(CHECKPOINT).replace(&path, text.as_bytes())?;
        self.latest = Some(latest);
        self.kept.retain(|kept| kept.path != path);
        self.kept.push_back(Kept { path, names: names_of(&body), finished: self.finished });
        self.delete_old();
        Ok(())
    }

    /// A batch up to which all were done when the oldest of the kept checkpoints was written: whatever only batches before it need, no
    /// recovery will ask for.
    pub fn done_for_all(&self) -> Option<Time> {
        self.kept.iter().filter(|kept| !kept.names.is_empty()).map(|kept| kept.finished).min().flatten()
    }

    fn remove_named(&self, name: &str) -> Result<(), StreamError> {
        let path = self.save_to.directory.join(name);
        if name.starts_with("program-") {
            return Ok(self.writer(PROGRAM).remove(&path)?);
        }
        saved::remove(&path)
    }

    /// What cannot be deleted now is deleted by the next process.
    fn delete_old(&mut self) {
        while self.kept.len() > KEPT {
            let Some(Kept { path, names, .. }) = self.kept.pop_front() else { return };
            if let Err(error) = self.writer(CHECKPOINT).remove(&path) {
                tracing::warn!(%error, "cannot delete an old checkpoint");
                continue;
            }
            for name in names {
                if self.kept.iter().any(|kept| kept.names.contains(&name)) || name == self.program_name {
                    continue;
                }
                if let Err(error) = self.remove_named(&name) {
                    tracing::warn!(%error, "cannot delete what only an old checkpoint has named");
                }
            }
        }
    }
}

/// Makes a directory that is not there.
pub(crate) fn make_dir(role: &str, directory: &Path, sync: bool) -> Result<(), StreamError> {
    if directory.is_dir() {
        return Ok(());
    }
    let made = faults::step(role, "create", directory).and_then(|()| files::create_dirs(role, directory, sync));
    made.map_err(|e| StreamError::io("create", directory, e))
}

/// The first batch that going on from a checkpoint may run again.
fn undone(body: &Body) -> Time {
    body.pending.iter().copied().fold(body.time, Time::min)
}

fn stream_body<B: Datasets>(node: &Node<B>) -> StreamBody {
    StreamBody {
        class_name: node.operator.class_name().to_owned(),
        slide: node.slide,
        saved: node.state.lock().saved.iter().map(|(time, saved)| (time.as_ms(), saved.clone())).collect(),
        progress: node.operator.progress(),
    }
}

fn names_of(body: &Body) -> BTreeSet<String> {
    let saved = body.streams.iter().flat_map(|stream| stream.saved.values().map(|saved| saved.name.clone()));
    saved.chain([body.program.clone()]).collect()
}
