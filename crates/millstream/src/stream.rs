//! Starting a streaming query: from `writeStream` to the engine.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use millstream_connectors::sink::{OutputMode, SinkSpec};
use millstream_connectors::source::{Conf as ConnectorConf, OpenContext, Origin};
use millstream_engine::{QueryDefinition, QuerySettings, StreamingQuery, Trigger};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_plan::ir::WriteStream;
use millstream_plan::resolved::{StreamOrigin, StreamTable};
use millstream_plan::unsupported;
use millstream_runtime::{Clock, EndpointOptions, Registry};
use uuid::Uuid;

use crate::analysis::{Analysis, connector_conf};
use crate::conf::Conf;
use crate::session::Session;
use crate::tables::View;

/// A source that was loaded, inside the plan.
pub(crate) struct SourceOrigin(pub(crate) Arc<dyn Origin>);

impl std::fmt::Debug for SourceOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.name())
    }
}

impl StreamOrigin for SourceOrigin {
    fn name(&self) -> String {
        self.0.name()
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}

impl Session {
    /// Starts a streaming query.
    ///
    /// # Errors
    /// Spark's analysis errors; what streams do not allow; a name or checkpoint in use; a checkpoint that cannot be read.
    pub fn start_stream(&self, write: &WriteStream) -> Result<Arc<StreamingQuery>, SparkError> {
        if write.foreach_batch.is_some() || write.foreach_writer.is_some() {
            return Err(SparkError::unsupported("A streaming sink in Python (foreachBatch, foreach)"));
        }
        let analysis = Analysis::new(self);
        let resolved = millstream_plan::analyze(&write.input, &analysis)?;
        if !resolved.streaming {
            return Err(SparkError::new(
                ExceptionClass::Analysis,
                "WRITE_STREAM_NOT_ALLOWED",
                "42601",
                "`writeStream` can be called only on streaming Dataset/DataFrame.",
            ));
        }
        let mode = write.output_mode.parse::<OutputMode>()?;
        let trigger = Trigger::parse(&write.trigger)?;
        let name = Some(write.query_name.clone()).filter(|n| !n.is_empty());
        let target = self.stream_target(write, &resolved.schema())?;
        let (checkpoint, checkpoint_is_temporary) = self.checkpoint(write, name.as_deref(), &target.format, mode)?;
        let sink = millstream_connectors::open_sink(SinkSpec {
            format: target.format.clone(),
            options: write.options.iter().collect(),
            path: target.path,
            partition_by: write.partition_by.clone(),
            schema: resolved.schema(),
            mode,
            query_name: name.clone(),
            conf: connector_conf(self),
        })?;
        let correctness = self.conf().get_option("spark.sql.streaming.statefulOperator.checkCorrectness.enabled");
        unsupported::check_streaming(&resolved, mode, correctness.as_deref() != Some("false"))?;
        if let (Some(table), Some(name)) = (sink.table(), &name) {
            self.views.write().insert(name.to_lowercase(), View::Memory(table));
        }
        let conf = connector_conf(self);
        let schema = resolved.schema();
        let now_us = analysis.clock();
        let definition = QueryDefinition {
            name,
            mode,
            trigger,
            sink,
            schema,
            checkpoint,
            checkpoint_is_temporary,
            settings: settings(self.conf(), self.engine.options().cores)?,
            clock: Clock::System,
            metrics: Registry::process(),
            now_us,
            plan: Box::new(move |settings| {
                unsupported::check_execution(&resolved, mode)?;
                millstream_operators::plan_stream(&resolved, mode, settings)
            }),
            open: Box::new(move |table, dir, columns| open_source(table, dir, columns, &conf)),
        };
        self.serve_metrics()?;
        millstream_engine::start(definition, self.streams())
    }

    /// Opens the door to the figures of the process, if this session wants it.
    fn serve_metrics(&self) -> Result<(), SparkError> {
        let Some(port) = self.conf().get_option("spark.millstream.metrics.port") else { return Ok(()) };
        let port = port.trim().parse().map_err(|_| {
            let text = format!("spark.millstream.metrics.port should be a port, from 0 to 65535, but was {port}");
            SparkError::plain(ExceptionClass::IllegalArgument, text)
        })?;
        let host = self.conf().get_option("spark.millstream.metrics.host");
        let served = self.engine.serve_metrics(&EndpointOptions { host, port });
        served.map(drop).map_err(|error| SparkError::plain(ExceptionClass::Spark, error.to_string()))
    }

    fn stream_target(&self, write: &WriteStream, schema: &arrow::datatypes::SchemaRef) -> Result<Target, SparkError> {
        let default = || self.conf().get_option("spark.sql.sources.default").unwrap_or_else(|| "parquet".into());
        let format = Some(write.format.clone()).filter(|f| !f.is_empty());
        if let Some(table) = &write.table {
            let format = format.unwrap_or_else(default);
            let path = crate::tables::stream_target(self, table, &format, schema, write)?;
            return Ok(Target { format, path: Some(path) });
        }
        Ok(Target { format: format.unwrap_or_else(default), path: write.path.clone() })
    }

    /// Where the query keeps its logs, and whether that goes with the query.
    fn checkpoint(
        &self,
        write: &WriteStream,
        name: Option<&str>,
        format: &str,
        mode: OutputMode,
    ) -> Result<(PathBuf, bool), SparkError> {
        let option = write.options.iter().find(|(k, _)| k.eq_ignore_ascii_case("checkpointLocation")).map(|(_, v)| v);
        let given = match option {
            Some(path) => Some(local_path(path)?),
            None => match self.conf().get_option("spark.sql.streaming.checkpointLocation") {
                Some(root) => {
                    let random = || Uuid::new_v4().to_string();
                    Some(local_path(&root)?.join(name.map_or_else(random, str::to_string)))
                }
                None => None,
            },
        };
        let lower = format.to_lowercase();
        let needs_none = matches!(lower.as_str(), "memory" | "console" | "noop") || write.foreach_batch.is_some();
        match given {
            Some(path) => {
                if lower == "memory" && mode != OutputMode::Complete && path.join("offsets").is_dir() {
                    return Err(not_recoverable(&path));
                }
                Ok((path, false))
            }
            None if needs_none => {
                let dir = std::env::temp_dir().join(format!("temporary-{}", Uuid::new_v4()));
                Ok((dir, true))
            }
            None => Err(SparkError::new(
                ExceptionClass::Analysis,
                "_LEGACY_ERROR_TEMP_1298",
                "",
                "checkpointLocation must be specified either through option(\"checkpointLocation\", ...) or \
                 SparkSession.conf.set(\"spark.sql.streaming.checkpointLocation\", ...).",
            )),
        }
    }
}

struct Target {
    format: String,
    path: Option<String>,
}

fn not_recoverable(path: &std::path::Path) -> SparkError {
    SparkError::new(
        ExceptionClass::Analysis,
        "_LEGACY_ERROR_TEMP_1299",
        "",
        format!(
            "This query does not support recovering from checkpoint location. Delete {}/offsets to start over.",
            path.display()
        ),
    )
}

/// A path or `file:` URL on this machine.
pub(crate) fn local_path(text: &str) -> Result<PathBuf, SparkError> {
    match text.split_once("://") {
        Some(("file", rest)) => Ok(PathBuf::from(format!("/{}", rest.trim_start_matches('/')))),
        Some((scheme, _)) => Err(SparkError::unsupported(format!("The file system `{scheme}`"))),
        None => Ok(PathBuf::from(text.strip_prefix("file:").unwrap_or(text))),
    }
}

fn open_source(
    table: &StreamTable,
    metadata_dir: &std::path::Path,
    columns: Vec<String>,
    conf: &ConnectorConf,
) -> Result<Box<dyn millstream_connectors::source::Source>, SparkError> {
    let origin = table.origin.as_any().downcast_ref::<SourceOrigin>();
    let origin = origin.ok_or_else(|| SparkError::internal("a stream that no connector has loaded"))?;
    let context =
        OpenContext { metadata_dir: metadata_dir.to_path_buf(), columns: Some(columns), conf: Arc::clone(conf) };
    origin.0.open(context)
}

fn settings(conf: &Conf, cores: usize) -> Result<QuerySettings, SparkError> {
    let millis = |key: &str, default: u64| Duration::from_millis(conf.millis(key).unwrap_or(default));
    let number = |key: &str, default: i64| conf.integer(key).unwrap_or(default);
    // A list means several disks to Spark; one is enough here.
    let scratch = conf.get_option("spark.local.dir").and_then(|dirs| Some(dirs.split(',').next()?.trim().to_string()));
    Ok(QuerySettings {
        polling_delay: millis("spark.sql.streaming.pollingDelay", 10),
        no_data_batches: conf.boolean("spark.sql.streaming.noDataMicroBatches.enabled"),
        idle_interval: millis("spark.sql.streaming.noDataProgressEventInterval", 10_000),
        recent_progress_max: usize::try_from(number("spark.sql.streaming.numRecentProgressUpdates", 100))
            .unwrap_or(100),
        batches_retained: number("spark.sql.streaming.minBatchesToRetain", 100),
        // Whatever is below zero asks for a snapshot each time, as zero does.
        min_deltas_for_snapshot: u64::try_from(number("spark.sql.streaming.stateStore.minDeltasForSnapshot", 10))
            .unwrap_or(0),
        fsync: conf.boolean("spark.millstream.checkpoint.fsync"),
        state_memory_max: conf.bytes("spark.millstream.state.memoryLimit")?,
        scratch_dir: scratch.filter(|dir| !dir.is_empty()).map(|dir| local_path(&dir)).transpose()?,
        parallelism: cores,
        stop_active_run: conf.boolean("spark.sql.streaming.stopActiveRunOnRestart"),
        pinned: conf.pinned(),
    })
}
