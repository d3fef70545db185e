//! Batches by the clock: one thread makes them, others run their output operations.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use millstream_runtime::{Signal, Worker};
use parking_lot::{Condvar, Mutex};

use crate::checkpoint::Standing;
use crate::checkpoint::saved::SaveTo;
use crate::context::Shared;
use crate::graph::{Input, OutputJob};
use crate::listener::{BatchInfo, Event, OutputInfo};
use crate::{Datasets, StreamError, Time};

/// Output operations that wait and that run.
///
/// The queue has no bound: a late batch is never left out. What a batch holds is bounded by its receivers.
pub(crate) struct Scheduler<B: Datasets> {
    jobs: Mutex<Jobs<B>>,
    changed: Condvar,
    /// Batches that are made and not done.
    sets: Mutex<BTreeMap<Time, Arc<JobSet>>>,
    /// Batches whose time has come, but that are not made.
    due: Mutex<VecDeque<Time>>,
    /// Jobs of batches that are made, but wait for a checkpoint that says what they are made of.
    held: Mutex<Vec<Job<B>>>,
    workers: Mutex<Vec<Worker>>,
    worker_ids: Mutex<Vec<ThreadId>>,
    generator: Mutex<Option<Worker>>,
    /// Ends the making of batches at once.
    signal: Signal,
    /// Ends it after the next batch.
    last: Mutex<bool>,
}

struct Jobs<B: Datasets> {
    queue: VecDeque<Job<B>>,
    running: usize,
    closed: bool,
}

struct Job<B: Datasets> {
    set: Arc<JobSet>,
    job: OutputJob<B>,
}

/// The output operations of one batch.
struct JobSet {
    time: Time,
    inputs: Vec<Input>,
    submitted: Time,
    progress: Mutex<Progress>,
}

struct Progress {
    started: Option<Time>,
    ended: Option<Time>,
    outputs: Vec<OutputInfo>,
}

impl JobSet {
    fn info(&self) -> BatchInfo {
        let progress = self.progress.lock();
        BatchInfo {
            time: self.time,
            inputs: self.inputs.iter().map(Input::info).collect(),
            submitted: self.submitted,
            started: progress.started,
            ended: progress.ended,
            outputs: progress.outputs.clone(),
        }
    }
}

impl<B: Datasets> Default for Scheduler<B> {
    fn default() -> Self {
        Scheduler {
            jobs: Mutex::new(Jobs { queue: VecDeque::new(), running: 0, closed: false }),
            changed: Condvar::new(),
            sets: Mutex::default(),
            due: Mutex::default(),
            held: Mutex::new(Vec::new()),
            workers: Mutex::default(),
            worker_ids: Mutex::default(),
            generator: Mutex::default(),
            signal: Signal::default(),
            last: Mutex::new(false),
        }
    }
}

/// How long queued output operations may go on after a stop that is not graceful.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// How long a graceful stop waits for them.
const GRACEFUL_MAX: Duration = Duration::from_secs(3600);

impl<B: Datasets> Scheduler<B> {
    /// Times of the batches that are due and not done.
    pub fn pending(&self) -> Vec<Time> {
        let due: Vec<Time> = self.due.lock().iter().copied().collect();
        self.sets.lock().keys().copied().chain(due).collect()
    }

    fn called_by_worker(&self) -> bool {
        self.worker_ids.lock().contains(&std::thread::current().id())
    }

    /// No further batch is made. With `last_within`, one more is, if it can be made within that time.
    pub fn stop_generating(&self, last_within: Option<Duration>) {
        if last_within.is_some() {
            *self.last.lock() = true;
        } else {
            self.signal.stop();
        }
        let Some(worker) = self.generator.lock().take().filter(|worker| !worker.is_current()) else { return };
        if last_within.is_some() && worker.wait(last_within) == Ok(false) {
            tracing::warn!("the last batch could not be made in time: what was received for it is not processed");
            self.signal.stop();
            if worker.wait(Some(STOP_GRACE)) == Ok(false) {
                // It is inside a function of the program, and ends after it.
                return;
            }
        }
        if let Err(panic) = worker.join() {
            tracing::error!(panic, "the thread that makes batches panicked");
        }
    }

    /// Ends the threads that run output operations, when all queued ones are done or time is up. True if all were done.
    pub fn stop_running(&self, gracefully: bool, cancel: impl FnOnce()) -> bool {
        let deadline = Instant::now() + if gracefully { GRACEFUL_MAX } else { STOP_GRACE };
        let own = usize::from(self.called_by_worker());
        let mut jobs = self.jobs.lock();
        jobs.closed = true;
        self.changed.notify_all();
        if own == 1 {
            // The caller is an output operation: what is queued behind it cannot run before it returns.
            if !gracefully {
                jobs.queue.clear();
            }
            return false;
        }
        while (jobs.running > 0 || !jobs.queue.is_empty()) && Instant::now() < deadline {
            self.changed.wait_until(&mut jobs, deadline);
        }
        let done = jobs.running == 0 && jobs.queue.is_empty();
        jobs.queue.clear();
        drop(jobs);
        if done {
            for worker in self.workers.lock().drain(..) {
                if let Err(panic) = worker.join() {
                    tracing::error!(panic, "a thread of output operations panicked");
                }
            }
        } else {
            cancel();
        }
        done
    }

    /// Queues the jobs that were held.
    fn release(&self) {
        let mut jobs = self.jobs.lock();
        jobs.queue.append(&mut self.held.lock().drain(..).collect());
        self.changed.notify_all();
    }

    fn next_job(&self) -> Option<Job<B>> {
        let mut jobs = self.jobs.lock();
        loop {
            if let Some(job) = jobs.queue.pop_front() {
                jobs.running += 1;
                return Some(job);
            }
            if jobs.closed {
                return None;
            }
            self.changed.wait(&mut jobs);
        }
    }

    fn job_done(&self) {
        self.jobs.lock().running -= 1;
        self.changed.notify_all();
    }
}

impl<B: Datasets> Shared<B> {
    /// Starts the threads that run output operations.
    pub(crate) fn start_workers(self: &Arc<Self>, count: usize) -> Result<(), StreamError> {
        for _ in 0..count.max(1) {
            let shared = Arc::clone(self);
            let worker = spawn("stream-jobs", move || {
                while let Some(job) = shared.scheduler.next_job() {
                    shared.run(job);
                    shared.scheduler.job_done();
                }
            })?;
            self.scheduler.worker_ids.lock().push(worker.id());
            self.scheduler.workers.lock().push(worker);
        }
        Ok(())
    }

    /// Starts the thread that makes batches, from `first` on.
    pub(crate) fn start_generating(self: &Arc<Self>, first: Time) -> Result<(), StreamError> {
        let shared = Arc::clone(self);
        let worker = spawn("stream-batches", move || {
            let mut time = first;
            while shared.clock.wait_until(time, &shared.scheduler.signal) {
                let last = *shared.scheduler.last.lock();
                shared.scheduler.due.lock().push_back(time);
                shared.generate_due();
                if last {
                    return;
                }
                time = time + shared.interval;
            }
        })?;
        *self.scheduler.generator.lock() = Some(worker);
        Ok(())
    }

    /// Makes the batches that are due. While the log of receivers cannot be written they wait, for their rows are not known to be
    /// theirs: none is left out, and none has other rows when it is run again.
    fn generate_due(&self) {
        loop {
            let Some(time) = self.scheduler.due.lock().front().copied() else { return };
            if let Err(error) = self.allot(time) {
                tracing::error!(%error, "a batch has to wait");
                self.termination.fail(error);
                return;
            }
            self.scheduler.due.lock().pop_front();
            self.generate(time);
        }
    }

    fn allot(&self, time: Time) -> Result<(), StreamError> {
        self.tracker.allot(time).map_err(|error| error.in_batch(time, "give it what was received"))
    }

    fn generate(&self, time: Time) {
        let made = self.try_generate(time);
        if let Err(error) = made.clone() {
            tracing::error!(%error, batch = time.as_ms(), "cannot make a batch");
            self.termination.fail(error);
            self.keep_unmade(time);
        }
        if made.is_err() || !self.graph.has_ranges() {
            self.write_checkpoint(time, false);
        }
    }

    /// A batch that could not be made is not run. What sources that are read by ranges gave to it is theirs to give again: a recovery makes it.
    fn keep_unmade(&self, time: Time) {
        if self.graph.has_ranges() {
            let inputs = self.graph.take_inputs(time);
            let progress = Mutex::new(Progress { started: None, ended: None, outputs: Vec::new() });
            let set = JobSet { time, inputs, submitted: self.clock.now(), progress };
            self.scheduler.sets.lock().insert(time, Arc::new(set));
        }
    }

    /// Makes a batch and queues its output operations.
    pub(crate) fn try_generate(&self, time: Time) -> Result<(), StreamError> {
        self.allot(time)?;
        let made = catch_unwind(AssertUnwindSafe(|| self.graph.generate_jobs(time)));
        let jobs = made.unwrap_or_else(|payload| Err(StreamError::panic(payload.as_ref())))?;
        let inputs = self.graph.take_inputs(time);
        if jobs.is_empty() {
            self.promise(time);
            return Ok(());
        }
        let outputs = jobs.iter().map(|job| OutputInfo {
            batch: time,
            id: job.index,
            name: job.output.name.clone(),
            description: job.output.description.clone(),
            started: None,
            ended: None,
            failure: None,
        });
        let progress = Progress { started: None, ended: None, outputs: outputs.collect() };
        let set = JobSet { time, inputs, submitted: self.clock.now(), progress: Mutex::new(progress) };
        let set = Arc::new(set);
        self.tell(Event::BatchSubmitted(set.info()));
        self.scheduler.sets.lock().insert(time, Arc::clone(&set));
        self.scheduler.held.lock().extend(jobs.into_iter().map(|job| Job { set: Arc::clone(&set), job }));
        self.promise(time);
        Ok(())
    }

    /// What a batch is made of must not change once an output has seen it. If sources say it only in the checkpoint, that comes first, and
    /// the jobs wait for one that can be written: see [`Shared::write_checkpoint`].
    fn promise(&self, time: Time) {
        if self.graph.has_ranges() {
            self.write_checkpoint(time, false);
        } else {
            self.scheduler.release();
        }
    }

    fn run(&self, job: Job<B>) {
        let Job { set, job } = job;
        self.note_start(&set, job.index);
        let action = Arc::clone(&job.output.action);
        let result = catch_unwind(AssertUnwindSafe(|| action(set.time, job.dataset)));
        let result = result.unwrap_or_else(|payload| Err(StreamError::panic(payload.as_ref())));
        let done = self.note_end(&set, job.index, result.as_ref().err());
        if done {
            // Before anyone is told: whoever has seen the end of the batch sees the rate that follows from it.
            self.update_rates(&set);
            self.tell(Event::BatchCompleted(set.info()));
            self.tracker.release(set.time);
        }
        match result.map_err(|error| error.in_batch(set.time, "run an output operation")) {
            Err(error) => {
                tracing::error!(%error, batch = set.time.as_ms(), output = job.output.name, "an output operation failed");
                self.termination.fail(error);
            }
            Ok(()) if done => self.finish_batch(set.time),
            Ok(()) => {}
        }
    }

    fn note_start(&self, set: &JobSet, index: usize) {
        let now = self.clock.now();
        let mut progress = set.progress.lock();
        let first = progress.started.is_none();
        progress.started.get_or_insert(now);
        let output = progress.outputs.iter_mut().find(|output| output.id == index).map(|output| {
            output.started = Some(now);
            output.clone()
        });
        drop(progress);
        if first {
            self.tell(Event::BatchStarted(set.info()));
        }
        if let Some(output) = output {
            self.tell(Event::OutputOperationStarted(output));
        }
    }

    /// True if it was the last output operation of its batch.
    fn note_end(&self, set: &JobSet, index: usize, error: Option<&StreamError>) -> bool {
        let now = self.clock.now();
        let mut progress = set.progress.lock();
        let output = progress.outputs.iter_mut().find(|output| output.id == index).map(|output| {
            output.ended = Some(now);
            output.failure = error.map(ToString::to_string);
            output.clone()
        });
        let done = progress.outputs.iter().all(|output| output.ended.is_some());
        if done {
            progress.ended = Some(now);
        }
        drop(progress);
        if let Some(output) = output {
            self.tell(Event::OutputOperationCompleted(output));
        }
        done
    }

    fn update_rates(&self, set: &JobSet) {
        let mut estimators = self.estimators.lock();
        let info = set.info();
        let (Some(ended), Some(processing), Some(scheduling)) =
            (info.ended, info.processing_delay(), info.scheduling_delay())
        else {
            return;
        };
        for input in &info.inputs {
            let Some(estimator) = estimators.get_mut(&input.input) else { continue };
            if let Some(rate) = estimator.compute(ended, input.records, processing, scheduling) {
                self.tracker.set_rate(input.input, rate);
                self.limit_source(input.input, rate);
            }
        }
    }

    /// Saves what a checkpoint shall hold, lets go of what is no longer needed, and writes the checkpoint.
    ///
    /// If something cannot be saved, the batch is not done: it would be run again after a restart, and nothing is let go that it needs.
    fn finish_batch(&self, time: Time) {
        let saved = catch_unwind(AssertUnwindSafe(|| self.save_marked(time)));
        let saved = saved.unwrap_or_else(|payload| Err(StreamError::panic(payload.as_ref())));
        if let Err(error) = saved {
            let error = error.of_batch(time, "save a dataset for the checkpoint");
            tracing::error!(%error, "cannot save a dataset for the checkpoint");
            self.termination.fail(error);
            return;
        }
        self.scheduler.sets.lock().remove(&time);
        {
            let _generation = self.graph.generation.lock();
            self.graph.clear_metadata(time, &self.scheduler.pending());
        }
        // The blocks of a batch may be asked for as long as any source is remembered.
        self.tracker.forget_until(time - self.graph.remember_max_of_inputs());
        self.write_checkpoint(time, true);
    }

    /// Saves what is marked up to `time`. What could not be saved stays marked.
    fn save_marked(&self, time: Time) -> Result<(), StreamError> {
        let of_checkpoints = self.writer.lock().as_ref().map(|writer| writer.save_to.clone());
        let datasets = self.checkpointing.lock().datasets.clone().map(|directory| SaveTo { directory, sync: false });
        let Some(save_to) = of_checkpoints.or(datasets) else {
            return Ok(());
        };
        for node in self.graph.nodes() {
            let marked: Vec<(Time, B::Dataset)> = {
                let state = node.state.lock();
                let now = state.to_save.iter().filter(|marked| **marked <= time);
                now.filter_map(|time| Some((*time, state.generated.get(time)?.clone()))).collect()
            };
            for (time, dataset) in marked {
                let saved = save_to.save(self.graph.datasets.as_ref(), node.id.0, time, &dataset)?;
                let mut state = node.state.lock();
                state.to_save.retain(|marked| *marked != time);
                if state.generated.contains_key(&time) {
                    state.saved.insert(time, saved);
                }
            }
        }
        Ok(())
    }

    /// Writes a checkpoint, if it is time for one, and lets go of what then no recovery needs, and of the jobs that waited for it.
    fn write_checkpoint(&self, time: Time, done: bool) {
        let cleaned = {
            // Held to the end: a job that is released has its batch in this checkpoint.
            let _generation = self.graph.generation.lock();
            match self.try_checkpoint(time, done) {
                Err(error) => {
                    let error = error.in_batch(time, "write the checkpoint");
                    tracing::error!(%error, "cannot write a checkpoint");
                    if self.graph.has_ranges() {
                        self.termination.fail(error);
                    }
                    return;
                }
                Ok(Written::NotDue) => return self.scheduler.release(),
                Ok(Written::All { received_until }) => {
                    self.scheduler.release();
                    if let Err(error) = self.graph.settled() {
                        let error = error.in_batch(time, "commit what sources gave");
                        tracing::error!(%error, "cannot commit the offsets of a source");
                        self.termination.fail(error);
                    }
                    received_until
                }
            }
        };
        let cleaned = cleaned.map_or(Ok(()), |until| self.tracker.clean_log(until));
        if let Err(error) = cleaned {
            tracing::error!(%error, "cannot clean the write-ahead log");
        }
    }

    fn try_checkpoint(&self, time: Time, done: bool) -> Result<Written, StreamError> {
        let mut writer = self.writer.lock();
        let Some(writer) = writer.as_mut() else { return Ok(Written::All { received_until: None }) };
        if done {
            writer.note_done(time);
        }
        let zero = self.graph.zero.get().copied().unwrap_or(time);
        if !(time - zero).is_multiple_of(writer.interval) {
            return Ok(Written::NotDue);
        }
        let remember = self.graph.remember_max_of_inputs();
        let received = self.tracker.position(writer.finished().map(|finished| finished - remember));
        // Batches that are made while this is written are not in it: they are made again from the checkpoint's time on.
        writer.write(&self.graph, Standing { time, pending: self.scheduler.pending(), received })?;
        Ok(Written::All { received_until: writer.done_for_all().map(|time| time - remember) })
    }
}

/// What of the graph is in a checkpoint now.
enum Written {
    /// It is not the time for one.
    NotDue,
    /// All of it, or none are written.
    All {
        /// What receivers took until then no recovery will ask for.
        received_until: Option<Time>,
    },
}

/// Stack of the threads of a context. After a recovery a state may have to be computed through all batches since it was last saved, each
/// inside of the next: ten seconds of short batches. What is not used costs no memory.
const STACK_BYTES: usize = 128 << 20;

pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<Worker, StreamError> {
    let failed = |e: std::io::Error| StreamError::IllegalState(format!("Cannot start the thread `{name}`: {e}"));
    Worker::spawn(name, Some(STACK_BYTES), body).map_err(failed)
}
