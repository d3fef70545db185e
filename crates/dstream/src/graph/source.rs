//! Streams of what the connectors read: sources that are asked for ranges of offsets, as Spark's direct streams do.
//!
//! At each batch time the source says how far the batch may go, by its own limits. The range from where the batch before ended belongs
//! to this batch for ever: it is in the checkpoint before an output of the batch runs, and after a restart the same range is read again.
//! So a source that can be read again loses nothing and gives nothing twice to outputs that know a batch by its time. Rows are read
//! when a job wants them, on the computing threads, and as often as it wants them.
//!
//! # What a source is told
//! `open` once, when the context starts, and `stop` when it has ended. `commit` for each range in turn, when no later batch can ask for
//! it, its batch is done, and no checkpoint that is kept names it. A source that another process cannot read again (socket) is in no
//! checkpoint: it begins anew, and its ranges are committed when no batch of this process asks for them.
//!
//! # Failures
//! If the source cannot say how far it may go, the batch is not made, and the next one begins at the same place; what other sources gave
//! to it comes with a recovery, which makes it again. If rows cannot be read, the outputs of that batch fail, later batches go on behind
//! it, and a recovery runs it again, as it does every batch that failed.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use millstream_connectors::source::{Conf, Offset, OpenContext, Origin, Rows, Source};
use millstream_formats::condition::SparkError;
use parking_lot::Mutex;

use super::operator::{Opening, RangeProgress, SourceProgress};
use super::{At, Operator};
use crate::checkpoint::KEPT;
use crate::{Datasets, StreamError, Time};

/// Makes the dataset of a range.
pub(crate) type RangeFn<B> =
    Box<dyn Fn(&B, Arc<SourceRange>) -> Result<<B as Datasets>::Dataset, StreamError> + Send + Sync>;

/// What is fixed of a source.
pub(crate) struct SourceSettings {
    pub origin: Arc<dyn Origin>,
    /// Columns to read, if not all.
    pub columns: Option<Vec<String>>,
    pub conf: Conf,
    /// Partitions of a batch, at most.
    pub partitions: usize,
}

/// The stream of a source.
pub(crate) struct SourceStream<B: Datasets> {
    settings: SourceSettings,
    to_dataset: RangeFn<B>,
    running: OnceLock<Running>,
    state: Mutex<Ranges>,
}

struct Running {
    source: Arc<OpenSource>,
    /// Whether checkpoints are written from which another process may read the ranges again.
    durable: bool,
    batch_seconds: f64,
}

/// A source that is open, until the context ends.
struct OpenSource {
    name: String,
    partitions: usize,
    /// One call at a time. `None`: stopped.
    source: Mutex<Option<Box<dyn Source>>>,
}

impl OpenSource {
    fn with<T>(
        &self,
        range: impl FnOnce() -> String,
        call: impl FnOnce(&dyn Source) -> Result<T, SparkError>,
    ) -> Result<T, StreamError> {
        let source = self.source.lock();
        let source = source
            .as_ref()
            .ok_or_else(|| StreamError::IllegalState(format!("`{}` was stopped with its context", self.name)))?;
        call(source.as_ref()).map_err(|cause| self.failed(range(), cause))
    }

    fn failed(&self, range: String, cause: SparkError) -> StreamError {
        StreamError::Source { name: self.name.clone(), range, cause }
    }
}

/// Which offsets belong to which batch.
#[derive(Default)]
struct Ranges {
    /// Where the next range begins.
    position: Option<Offset>,
    /// The latest time that has a range.
    newest: Option<Time>,
    /// Number of the next range.
    next: u64,
    /// Ranges that may be asked for again, by number: in the order of the source and of their times.
    kept: BTreeMap<u64, Range>,
    /// Ends of ranges that nobody will ask for, but that are not committed.
    done: BTreeMap<u64, Offset>,
    /// Least number that the last [`Operator::progress`] told of.
    told: u64,
    /// The same of the checkpoints that exist, the oldest first.
    written: VecDeque<u64>,
    /// Whether the source was read: some connect only then.
    read: bool,
}

#[derive(Clone)]
struct Range {
    time: Time,
    start: Option<Offset>,
    end: Option<Offset>,
}

impl Ranges {
    fn of(&self, time: Time) -> Option<&Range> {
        self.kept.values().find(|range| range.time == time)
    }

    fn take(&mut self, time: Time, end: Option<Offset>) -> Range {
        let end = end.or_else(|| self.position.clone());
        let range = Range { time, start: std::mem::replace(&mut self.position, end.clone()), end };
        self.keep(range.clone());
        range
    }

    fn keep(&mut self, range: Range) {
        self.newest = self.newest.max(Some(range.time));
        self.kept.insert(self.next, range);
        self.next += 1;
    }

    /// Number of the first range that may be asked for again.
    fn least(&self) -> u64 {
        self.kept.first_key_value().map_or(self.next, |(number, _)| *number)
    }
}

impl<B: Datasets> SourceStream<B> {
    pub fn new(settings: SourceSettings, to_dataset: RangeFn<B>) -> Self {
        SourceStream { settings, to_dataset, running: OnceLock::new(), state: Mutex::default() }
    }

    fn running(&self) -> Result<&Running, StreamError> {
        let name = || format!("`{}` is not open", self.settings.origin.name());
        self.running.get().ok_or_else(|| StreamError::IllegalState(name()))
    }

    /// The range of a time, which is new if no batch as late was made yet.
    fn range(&self, running: &Running, time: Time) -> Result<Range, StreamError> {
        let mut state = self.state.lock();
        let position = state.position.clone();
        if state.newest.is_some_and(|newest| time <= newest) {
            // Rows come in order: what is asked for too late has none.
            let none = || Range { time, start: position.clone(), end: position.clone() };
            return Ok(state.of(time).cloned().unwrap_or_else(none));
        }
        let place = || format!("after {}", shown(position.as_ref()));
        let end = running.source.with(place, |source| source.latest_offset(position.as_ref(), false))?;
        Ok(state.take(time, end))
    }

    fn dataset_of(&self, datasets: &B, range: Range) -> Result<(Arc<SourceRange>, B::Dataset), StreamError> {
        let range = Arc::new(SourceRange {
            source: Arc::clone(&self.running()?.source),
            range,
            parts: Mutex::new(Parts::Unread),
            counts: OnceLock::new(),
            records: Arc::default(),
        });
        let dataset = (self.to_dataset)(datasets, Arc::clone(&range))?;
        Ok((range, dataset))
    }
}

impl<B: Datasets> Operator<B> for SourceStream<B> {
    fn class_name(&self) -> &'static str {
        "DirectInputDStream"
    }

    fn compute(&self, at: &At<'_, B>) -> Result<Option<B::Dataset>, StreamError> {
        let range = self.range(self.running()?, at.time())?;
        let is_empty = range.start == range.end;
        let (range, dataset) = self.dataset_of(at.datasets(), range)?;
        let first = !std::mem::replace(&mut self.state.lock().read, true);
        if !is_empty || first {
            // Errors are those of the job that wants the rows.
            if let Err(error) = range.load() {
                tracing::debug!(%error, "a source cannot be read");
                self.state.lock().read = !first;
            }
        }
        at.report_reading(Arc::clone(&range.records), (!is_empty).then(|| range.describe()));
        Ok(Some(dataset))
    }

    fn open(&self, opening: &Opening<'_>) -> Result<(), StreamError> {
        let SourceSettings { origin, columns, conf, partitions } = &self.settings;
        let context = OpenContext {
            metadata_dir: opening.directory.to_owned(),
            columns: columns.clone(),
            conf: Arc::clone(conf),
        };
        let source = origin.open(context)?;
        let durable = opening.checkpointed && source.recoverable();
        let source = OpenSource { name: origin.name(), partitions: *partitions, source: Mutex::new(Some(source)) };
        let batch_seconds = opening.interval.as_ms() as f64 / 1000.0;
        let _only_once = self.running.set(Running { source: Arc::new(source), durable, batch_seconds });
        Ok(())
    }

    fn close(&self) {
        let source = self.running.get().and_then(|running| running.source.source.lock().take());
        if let Some(source) = source {
            source.stop();
        }
    }

    fn limit(&self, records_per_second: f64) -> bool {
        let Some(running) = self.running.get() else { return false };
        // At least one row, so that a batch gets on.
        let rows = (records_per_second * running.batch_seconds).floor().max(1.0) as u64;
        running.source.source.lock().as_ref().is_some_and(|source| source.limit_rows(rows))
    }

    fn has_ranges(&self) -> bool {
        true
    }

    fn forget_until(&self, time: Time, unfinished: &[Time]) {
        let durable = self.running.get().is_some_and(|running| running.durable);
        let mut state = self.state.lock();
        let old = state.kept.iter().take_while(|(_, range)| range.time <= time);
        let old = old.filter(|(_, range)| !(durable && unfinished.contains(&range.time)));
        let numbers: Vec<u64> = old.map(|(number, _)| *number).collect();
        for number in numbers {
            let Some(range) = state.kept.remove(&number) else { continue };
            if let (true, Some(end)) = (range.start != range.end, range.end) {
                state.done.insert(number, end);
            }
        }
    }

    fn settled(&self) -> Result<(), StreamError> {
        let Some(running) = self.running.get() else { return Ok(()) };
        let ends = {
            let mut state = self.state.lock();
            let mut least = state.least();
            if running.durable {
                let told = state.told;
                state.written.push_back(told);
                while state.written.len() > KEPT {
                    state.written.pop_front();
                }
                least = state.written.front().map_or(least, |written| least.min(*written));
            }
            let later = state.done.split_off(&least);
            std::mem::replace(&mut state.done, later)
        };
        // In turn: what a source does for an end it may do for that end alone.
        ends.into_values()
            .try_for_each(|end| running.source.with(|| format!("commit up to {end}"), |source| source.commit(&end)))
    }

    fn progress(&self) -> Option<SourceProgress> {
        let running = self.running.get().filter(|running| running.durable)?;
        let mut state = self.state.lock();
        state.told = state.least();
        let batches = state.kept.values().map(|range| (range.time, range.start.clone(), range.end.clone()));
        Some(SourceProgress::Ranges(RangeProgress {
            source: running.source.name.clone(),
            position: state.position.clone(),
            batches: batches.collect(),
        }))
    }

    fn restore(&self, datasets: &B, progress: SourceProgress) -> Result<Vec<(Time, B::Dataset)>, StreamError> {
        let running = self.running()?;
        let SourceProgress::Ranges(progress) = progress else { return Ok(Vec::new()) };
        if progress.source != running.source.name {
            return Err(StreamError::Requirement(format!(
                "The checkpoint has offsets of `{}`, but the stream now reads `{}`",
                progress.source, running.source.name
            )));
        }
        let mut restored = Vec::new();
        let mut state = self.state.lock();
        state.position = progress.position;
        for (time, start, end) in progress.batches {
            let range = Range { time, start, end };
            restored.push((time, self.dataset_of(datasets, range.clone())?.1));
            state.keep(range);
        }
        state.written.push_back(0);
        Ok(restored)
    }
}

fn shown(offset: Option<&Offset>) -> &str {
    offset.map_or("the beginning", String::as_str)
}

/// The rows of one batch: those of a range of offsets, in partitions.
pub(crate) struct SourceRange {
    source: Arc<OpenSource>,
    range: Range,
    parts: Mutex<Parts>,
    /// Rows of each partition, as far as they were read.
    counts: OnceLock<Vec<AtomicU64>>,
    /// All of them.
    records: Arc<AtomicU64>,
}

enum Parts {
    Unread,
    /// Rows of each partition, until somebody takes them.
    Ready(Vec<Option<Rows>>),
    /// The partitions are not known, and never will be: a dataset does not change.
    Failed(StreamError),
}

impl SourceRange {
    /// Number of partitions. One, if the source fails: whoever asks for its rows gets the error.
    pub fn partitions(&self) -> usize {
        match (self.load(), &*self.parts.lock()) {
            (Ok(()), Parts::Ready(parts)) => parts.len(),
            _ => 1,
        }
    }

    /// The rows of a partition, from its first on, each time.
    ///
    /// # Errors
    /// The source cannot read the range.
    pub fn rows(&self, partition: usize) -> Result<Rows, StreamError> {
        self.load()?;
        let mut parts = self.parts.lock();
        let Parts::Ready(ready) = &mut *parts else { return Ok(Box::new(std::iter::empty())) };
        match ready.get_mut(partition) {
            None => return Ok(Box::new(std::iter::empty())),
            Some(slot) => {
                if let Some(rows) = slot.take() {
                    return Ok(rows);
                }
            }
        }
        let again = self.read()?;
        if again.len() != ready.len() {
            let text = format!("it had {} partitions before and has {} now", ready.len(), again.len());
            let cause = SparkError::internal(text);
            return Err(self.failed(cause));
        }
        *ready = again;
        let rows = ready.get_mut(partition).and_then(Option::take);
        Ok(rows.unwrap_or_else(|| Box::new(std::iter::empty())))
    }

    fn load(&self) -> Result<(), StreamError> {
        let mut parts = self.parts.lock();
        if let Parts::Unread = *parts {
            *parts = match self.read() {
                Ok(ready) => {
                    let _only_once = self.counts.set(ready.iter().map(|_| AtomicU64::new(0)).collect());
                    Parts::Ready(ready)
                }
                Err(error) => Parts::Failed(error),
            };
        }
        match &*parts {
            Parts::Failed(error) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    fn read(&self) -> Result<Vec<Option<Rows>>, StreamError> {
        let Range { start, end, .. } = &self.range;
        // There is nothing yet, not even an offset.
        let Some(end) = end else { return Ok(Vec::new()) };
        let partitions = self.source.partitions;
        let rows = self.source.with(|| self.place(), |source| source.read(start.as_ref(), end, partitions))?;
        Ok(rows.into_iter().map(Some).collect())
    }

    fn span(&self) -> String {
        format!("after {} up to {}", shown(self.range.start.as_ref()), shown(self.range.end.as_ref()))
    }

    /// For listeners.
    fn describe(&self) -> String {
        format!("{}: {}", self.source.name, self.span())
    }

    /// For errors.
    fn place(&self) -> String {
        format!("batch {}, {}", self.range.time, self.span())
    }

    /// The error of a batch whose rows cannot be read.
    pub fn failed(&self, cause: SparkError) -> StreamError {
        self.source.failed(self.place(), cause)
    }

    /// Notes that a partition has at least so many rows. They count once, however often they are read.
    pub fn count(&self, partition: usize, rows: u64) {
        let Some(count) = self.counts.get().and_then(|counts| counts.get(partition)) else { return };
        let before = count.fetch_max(rows, Ordering::Relaxed);
        self.records.fetch_add(rows.saturating_sub(before), Ordering::Relaxed);
    }
}

/// A directory for what sources keep beside the offsets: below the checkpoint, or one that goes with the context.
pub(crate) enum MetadataDir {
    Checkpoint(PathBuf),
    Scratch(PathBuf),
}

impl MetadataDir {
    /// `recovered`: what is there belongs to the checkpoint. Otherwise it is that of a program that is gone, and is deleted.
    pub fn new(checkpoint: Option<&Path>, recovered: bool, scratch: PathBuf) -> Result<Self, StreamError> {
        let Some(checkpoint) = checkpoint else { return scratch_dir(&scratch).map(MetadataDir::Scratch) };
        // Not `sources`: the checkpoint of a query has that, should somebody take its directory for this one.
        let directory = checkpoint.join("sourceData");
        if !recovered && directory.is_dir() {
            std::fs::remove_dir_all(&directory).map_err(|e| StreamError::io("delete", &directory, e))?;
        }
        Ok(MetadataDir::Checkpoint(directory))
    }

    pub fn path(&self) -> &Path {
        match self {
            MetadataDir::Checkpoint(path) | MetadataDir::Scratch(path) => path,
        }
    }
}

impl Drop for MetadataDir {
    fn drop(&mut self) {
        if let MetadataDir::Scratch(path) = self
            && let Err(error) = std::fs::remove_dir_all(&*path)
        {
            tracing::warn!(%error, path = %path.display(), "cannot delete the scratch directory of sources");
        }
    }
}

/// A new directory that no other process or context has.
fn scratch_dir(parent: &Path) -> Result<PathBuf, StreamError> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    std::fs::create_dir_all(parent).map_err(|e| StreamError::io("create", parent, e))?;
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("millstream-sources-{}-{number}", std::process::id()));
        match std::fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            // Left by a process that had the same id and was killed.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(StreamError::io("create", &path, error)),
        }
    }
}
