//! How a context starts, goes on from a checkpoint, and ends.
//!
//! The order of a start: the graph is checked and, after a recovery, filled; listeners; receivers; the batches that a recovery must run
//! again; the clock. A stop goes the same way: no more is received, then no more batches are made, then those that wait are run or,
//! if it is not graceful, given two seconds.

use std::path::Path;
use std::sync::Arc;

use millstream_runtime::metrics::Gauge;
use millstream_runtime::{Endpoint, EndpointOptions, Registry, Signal};
use parking_lot::Mutex;

use crate::checkpoint::{Checkpoint, Standing, Writer};
use crate::context::{Launch, ReceiverEntry, Shared};
use crate::error::require;
use crate::listener::Event;
use crate::metrics::StreamMetrics;
use crate::receive::log::{IGNORE_LOSS, Log, LogOptions, Replay};
use crate::receive::{
    BlockCodec, HELD_BYTES_MAX, IntakeSettings, PidEstimator, RateLimit, Running, Supervisor, WriteAhead,
};
use crate::schedule::spawn;
use crate::{Conf, ContextState, Datasets, Span, StreamError, Time};

/// Batch intervals that a graceful stop waits for its last batch, unless `spark.streaming.gracefulStopTimeout` says otherwise.
const GRACEFUL_INTERVALS: i64 = 10;

impl<B: Datasets> Shared<B> {
    pub(crate) fn start(self: &Arc<Self>) -> Result<(), StreamError> {
        let _transition = self.transition.lock();
        let state = *self.state.lock();
        match state {
            ContextState::Active => {
                tracing::warn!("the streaming context has already been started");
                return Ok(());
            }
            ContextState::Stopped => {
                return Err(StreamError::IllegalState("StreamingContext has already been stopped".to_owned()));
            }
            ContextState::Initialized => self.graph.validate()?,
        }
        if let Err(error) = self.start_all() {
            self.stop_all(None);
            *self.state.lock() = ContextState::Stopped;
            return Err(error);
        }
        Ok(())
    }

    fn start_all(self: &Arc<Self>) -> Result<(), StreamError> {
        let recovered = self.recovered.lock().take();
        let now = self.clock.now();
        let epoch = Time::from_ms(0);
        let (zero, first) = match &recovered {
            None => (now.floor(self.interval, epoch), now.next(self.interval, epoch)),
            Some(checkpoint) => (checkpoint.body.zero, now.next(self.interval, checkpoint.body.zero)),
        };
        self.graceful_stop_timeout()?;
        let (directory, datasets) = {
            let checkpointing = self.checkpointing.lock();
            (checkpointing.directory.clone(), checkpointing.datasets.clone())
        };
        self.graph.start(zero, directory.is_some() || datasets.is_some())?;
        self.open_sources(directory.as_deref(), recovered.is_some())?;
        if let Some(checkpoint) = &recovered {
            self.restore(checkpoint)?;
        }
        if let Some(directory) = &directory {
            let checkpointing = self.checkpointing.lock();
            let interval = checkpointing.interval.unwrap_or(self.interval);
            let writer = Writer::new(directory, interval, &checkpointing.program, &self.conf, recovered.as_ref())?;
            *self.writer.lock() = Some(writer);
        }
        let failed = |e: std::io::Error| StreamError::IllegalState(format!("Cannot start a thread: {e}"));
        self.listeners.start().map_err(failed)?;
        self.serve_metrics()?;
        let metrics = Arc::new(StreamMetrics::new(&Registry::process(), &self.conf));
        *self.metrics.lock() = Some(Arc::clone(&metrics));
        let launches = self.prepare_receivers(directory.as_deref(), recovered.as_ref(), &metrics)?;
        if recovered.is_none() {
            self.write_first_checkpoint(first)?;
        }
        *self.state.lock() = ContextState::Active;
        self.tell(Event::StreamingStarted { time: self.clock.now() });
        let supervisor = self.supervisor()?;
        for launch in launches {
            self.running.lock().push(launch(supervisor.clone()).map_err(failed)?);
        }
        self.start_workers(self.conf.number("spark.streaming.concurrentJobs")?.unwrap_or(1))?;
        if let Some(checkpoint) = &recovered {
            self.run_again(checkpoint, first)?;
        }
        self.start_generating(first)
    }

    /// What is in the write-ahead log is promised from the first row on, so there must be a checkpoint to go on from.
    fn write_first_checkpoint(&self, first: Time) -> Result<(), StreamError> {
        let Some(received) = self.tracker.position(None) else { return Ok(()) };
        match self.writer.lock().as_mut() {
            Some(writer) => {
                writer.write(&self.graph, Standing { time: first, pending: Vec::new(), received: Some(received) })
            }
            None => Ok(()),
        }
    }

    /// Makes the batches that were not done and those of the time that was missed, up to `first`. What fails here fails the start.
    fn run_again(self: &Arc<Self>, checkpoint: &Checkpoint, first: Time) -> Result<(), StreamError> {
        let down = checkpoint.body.time.to(first - Span::from_ms(1), self.interval);
        let mut times: Vec<Time> = checkpoint.body.pending.iter().copied().chain(down).collect();
        times.retain(|time| *time < first);
        times.sort();
        times.dedup();
        let (shared, made) = (Arc::clone(self), Arc::new(Mutex::new(Ok(()))));
        let result = Arc::clone(&made);
        let worker = spawn("stream-start", move || {
            *result.lock() = times.into_iter().try_for_each(|time| shared.try_generate(time));
        })?;
        worker.join().map_err(StreamError::Panic)?;
        made.lock().clone()
    }

    /// Takes up what a checkpoint holds of the streams.
    fn restore(&self, checkpoint: &Checkpoint) -> Result<(), StreamError> {
        let nodes = self.graph.nodes();
        let same = nodes.len() == checkpoint.body.streams.len()
            && nodes
                .iter()
                .zip(&checkpoint.body.streams)
                .all(|(node, saved)| node.operator.class_name() == saved.class_name && node.slide == saved.slide);
        if !same {
            return Err(checkpoint.refuse("it is that of another program: the streams are not the same"));
        }
        for (node, saved) in nodes.iter().zip(&checkpoint.body.streams) {
            let datasets = self.graph.datasets.as_ref();
            let mut restored = match &saved.progress {
                Some(progress) => node.operator.restore(datasets, progress.clone())?,
                None => Vec::new(),
            };
            for (time, saved) in &saved.saved {
                restored.push((Time::from_ms(*time), datasets.load(&checkpoint.directory.join(&saved.name))?));
            }
            let mut state = node.state.lock();
            state.saved.extend(saved.saved.iter().map(|(time, saved)| (Time::from_ms(*time), saved.clone())));
            let level = state.level;
            for (time, dataset) in restored {
                if let Some(level) = level {
                    datasets.remember(&dataset, level);
                }
                state.generated.insert(time, dataset);
            }
        }
        Ok(())
    }

    fn supervisor(self: &Arc<Self>) -> Result<Supervisor, StreamError> {
        let delay = self.conf.span("spark.streaming.receiverRestartDelay")?.unwrap_or(Span::from_ms(2000));
        // Weak, so that receivers do not keep a context alive that nobody holds.
        let (posting, failing) = (Arc::downgrade(self), Arc::downgrade(self));
        Ok(Supervisor {
            post: Arc::new(move |event| {
                if let Some(shared) = posting.upgrade() {
                    shared.tell(event);
                }
            }),
            fail: Arc::new(move |error| {
                if let Some(shared) = failing.upgrade() {
                    shared.termination.fail(error);
                }
            }),
            restart_delay: delay.to_std(),
            clock: self.clock.clone(),
        })
    }

    fn prepare_receivers(
        self: &Arc<Self>,
        directory: Option<&Path>,
        recovered: Option<&Checkpoint>,
        metrics: &StreamMetrics,
    ) -> Result<Vec<Launch>, StreamError> {
        let conf = &self.conf;
        let settings = IntakeSettings {
            block_interval: conf.span("spark.streaming.blockInterval")?.unwrap_or(Span::from_ms(200)),
            held_bytes_max: conf.bytes("spark.millstream.receiver.bufferBytes")?.unwrap_or(HELD_BYTES_MAX),
            clock: self.clock.clone(),
            buffered_bytes: Gauge::default(),
        };
        require(settings.block_interval > Span::ZERO, || {
            "'spark.streaming.blockInterval' should be a positive value".to_owned()
        })?;
        let receivers: Vec<ReceiverEntry> = self.receivers.lock().drain(..).collect();
        let (log, mut replay) =
            if receivers.is_empty() { (None, Replay::default()) } else { self.open_log(directory, recovered)? };
        let mut launches = Vec::new();
        for ReceiverEntry { input, codec, prepare } in receivers {
            let ahead = match (&log, &codec) {
                (None, _) => None,
                (Some(log), Some(codec)) => Some(WriteAhead { log: Arc::clone(log), input, codec: codec.clone() }),
                (Some(_), None) => {
                    let text = "The elements of this receiver cannot be written to the write-ahead log: use a durable receiver stream";
                    return Err(StreamError::Requirement(text.to_owned()));
                }
            };
            let settings = IntakeSettings { buffered_bytes: metrics.buffered_bytes(input), ..settings.clone() };
            let (shelf, launch) = prepare(settings, self.rate_limit(metrics.rate_limit(input))?, ahead);
            self.tracker.add(input, shelf, &codec.unwrap_or_else(BlockCodec::text), &mut replay)?;
            if conf.flag("spark.streaming.backpressure.enabled", false)? {
                check_rate_estimator(conf)?;
                self.estimators.lock().insert(input, PidEstimator::new(conf, self.interval)?);
            }
            launches.push(launch);
        }
        if log.is_some() {
            self.start_ticker(settings.block_interval)?;
        }
        Ok(launches)
    }

    /// Opens the door to the figures of the process, if that is wanted. It stays open as long as the context runs.
    fn serve_metrics(&self) -> Result<(), StreamError> {
        if let Some(port) = self.conf.number("spark.millstream.metrics.port")? {
            let host = self.conf.get("spark.millstream.metrics.host").map(str::to_owned);
            let endpoint = Endpoint::of_process(&EndpointOptions { host, port });
            *self.endpoint.lock() = Some(endpoint.map_err(|error| StreamError::Graph(error.to_string()))?);
        }
        Ok(())
    }

    /// Counts an event and tells it to listeners.
    pub(crate) fn tell(&self, event: Event) {
        let metrics = self.metrics.lock().clone();
        if let Event::BatchCompleted(batch) = &event {
            self.history.add(Arc::new(batch.clone()));
            if let Some(metrics) = &metrics {
                metrics.set_retained(self.history.len());
            }
        }
        if let Some(metrics) = metrics {
            metrics.on_event(&event);
        }
        self.listeners.post(event);
    }

    fn rate_limit(&self, shown: Gauge) -> Result<RateLimit, StreamError> {
        let max = self.conf.number("spark.streaming.receiver.maxRate")?;
        // In force also without back-pressure, as in Spark: then for ever.
        let initial = self.conf.number("spark.streaming.backpressure.initialRate")?;
        Ok(RateLimit::new(max, initial, shown))
    }

    fn open_log(
        &self,
        directory: Option<&Path>,
        recovered: Option<&Checkpoint>,
    ) -> Result<(Option<Arc<Log>>, Replay), StreamError> {
        // A log without a checkpoint is that of a process that never came so far as to promise anything.
        if !self.conf.flag("spark.streaming.receiver.writeAheadLog.enable", false)? {
            return Ok((None, Replay::default()));
        }
        let directory = directory.ok_or_else(|| {
            StreamError::Graph(
                "Cannot enable receiver write-ahead log without checkpoint directory set. Please use \
                 streamingContext.checkpoint() to set the checkpoint directory. See documentation for more details."
                    .to_owned(),
            )
        })?;
        let conf = &self.conf;
        let rolling = conf.number("spark.streaming.receiver.writeAheadLog.rollingIntervalSecs")?.unwrap_or(60);
        let options = LogOptions {
            context: self.writer.lock().as_ref().map(|writer| writer.context.clone()).unwrap_or_default(),
            sync: conf.flag("spark.streaming.receiver.writeAheadLog.closeFileAfterWrite", false)?,
            ignores_loss: conf.flag(IGNORE_LOSS, false)?,
            rolling: Span::from_ms(1000) * rolling,
            clock: self.clock.clone(),
        };
        let expected = recovered.and_then(|checkpoint| checkpoint.body.received.as_ref());
        let (log, replay) = Log::open(directory, options, expected)?;
        let log = Arc::new(log);
        self.tracker.set_log(Arc::clone(&log));
        Ok((Some(log), replay))
    }

    /// With a log, blocks are closed when their interval is over even if nothing more comes: then they are safe.
    fn start_ticker(&self, block_interval: Span) -> Result<(), StreamError> {
        let (signal, clock, tracker) = (Signal::default(), self.clock.clone(), Arc::clone(&self.tracker));
        let stopped = signal.clone();
        let worker = spawn("stream-blocks", move || {
            while clock.wait_until(clock.now().next(block_interval, Time::EPOCH), &stopped) {
                if let Err(error) = tracker.tick() {
                    tracing::error!(%error, "cannot write a block to the write-ahead log");
                }
            }
        })?;
        *self.ticker.lock() = Some((signal, worker));
        Ok(())
    }

    pub(crate) fn stop(&self, gracefully: bool) -> Result<(), StreamError> {
        if self.listeners.called_by_listener() {
            let text = "Cannot stop StreamingContext within listener bus thread.";
            return Err(StreamError::Graph(text.to_owned()));
        }
        let _transition = self.transition.lock();
        let state = *self.state.lock();
        if state == ContextState::Active {
            // A setting that cannot be read was refused at the start.
            let within = self.graceful_stop_timeout().unwrap_or_else(|_| self.interval * GRACEFUL_INTERVALS);
            self.stop_all(gracefully.then_some(within));
            self.termination.end(None);
        }
        *self.state.lock() = ContextState::Stopped;
        Ok(())
    }

    /// How long a graceful stop waits until all that was received is in a batch.
    fn graceful_stop_timeout(&self) -> Result<Span, StreamError> {
        let set = self.conf.span("spark.streaming.gracefulStopTimeout")?;
        Ok(set.unwrap_or(self.interval * GRACEFUL_INTERVALS))
    }

    /// `last_within`: it is graceful, and so long it waits for the last batch to be made.
    fn stop_all(&self, last_within: Option<Span>) {
        let running: Vec<Running> = self.running.lock().drain(..).collect();
        running.iter().for_each(Running::ask_to_stop);
        running.into_iter().for_each(Running::join);
        if let Some((signal, worker)) = self.ticker.lock().take() {
            signal.stop();
            drop(worker.join());
        }
        // What was received last is in the next batch.
        self.scheduler.stop_generating(last_within.map(Span::to_std));
        self.scheduler.stop_running(last_within.is_some(), || self.graph.datasets.cancel());
        self.close_sources();
        self.listeners.stop();
        *self.metrics.lock() = None;
        *self.endpoint.lock() = None;
    }
}

/// There is one estimator, as in Spark.
fn check_rate_estimator(conf: &Conf) -> Result<(), StreamError> {
    let key = "spark.streaming.backpressure.rateEstimator";
    match conf.get(key).map(str::trim) {
        None | Some("pid") => Ok(()),
        Some(value) => {
            Err(StreamError::Setting { key: key.to_owned(), value: value.to_owned(), wanted: "rate estimator" })
        }
    }
}
