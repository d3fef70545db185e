//! The file sinks: every batch adds files to a directory, and a log says which files count.
//!
//! # Guarantee
//! Exactly once: files of a batch count when the batch's entry is in `_spark_metadata`, and a batch that is there already is not
//! written again. Files of a batch that failed are removed, or, after a crash, ignored by all readers that know the log.
//! Only append mode, as in Spark.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::filelog::{SinkFile, SinkFileLog};
use millstream_formats::url::file_url;

use super::output::OutputFormat;
use super::sink_log;
use super::url::{display, user_path};
use super::writer::{Layout, TableWriter};
use super::{path_not_specified, settings};
use crate::options::refuse_unserved;
use crate::sink::{BatchWriter, OutputMode, Sink, SinkSpec};

/// A directory that a query adds to.
pub(crate) struct FileSink {
    path: PathBuf,
    layout: Arc<Layout>,
    log: Arc<SinkFileLog>,
}

/// Opens the sink of a query that starts.
///
/// # Errors
/// No path, a mode other than append, bad options.
pub(crate) fn open(spec: SinkSpec) -> Result<Arc<dyn Sink>, SparkError> {
    let Some(path) = spec.path.as_deref().or(spec.options.get("path")) else { return Err(path_not_specified()) };
    if spec.mode != OutputMode::Append {
        return Err(wrong_mode(spec.mode, &spec.format));
    }
    refuse_unserved(&spec.options, "retention")?;
    let path = user_path(path);
    let format = OutputFormat::new(&spec.format, &spec.options, &spec.conf)?;
    let fsync = settings::flag(&spec.conf, "spark.millstream.checkpoint.fsync", false);
    let zone = settings::zone(&spec.conf)?;
    let layout = Arc::new(Layout::new(format, &spec.schema, &spec.partition_by, zone, fsync)?);
    let log = Arc::new(sink_log::open(&path, settings::file_log(&spec.conf, "fileSink"))?);
    Ok(Arc::new(FileSink { path, layout, log }))
}

fn wrong_mode(mode: OutputMode, format: &str) -> SparkError {
    SparkError::new(
        ExceptionClass::Analysis,
        "STREAMING_OUTPUT_MODE.UNSUPPORTED_DATASOURCE",
        "42KDE",
        format!(
            "Invalid streaming output mode: {}. This output mode is not supported in Data Source {format}.",
            mode.name()
        ),
    )
    .with("className", format)
    .with("outputMode", mode.name())
}

impl Sink for FileSink {
    fn description(&self) -> String {
        format!("FileSink[{}]", display(&self.path))
    }

    fn counts_rows(&self) -> bool {
        false
    }

    fn begin(
        &self,
        batch_id: i64,
        _schema: SchemaRef,
        _mode: OutputMode,
    ) -> Result<Option<Box<dyn BatchWriter>>, SparkError> {
        if self.log.latest().is_some_and(|latest| batch_id <= latest) {
            tracing::info!("Skipping already committed batch {batch_id}");
            return Ok(None);
        }
        self.layout.check()?;
        let writer = TableWriter::new(Arc::clone(&self.layout), &self.path, None);
        Ok(Some(Box::new(FileBatch { writer, path: self.path.clone(), log: Arc::clone(&self.log), batch_id })))
    }
}

struct FileBatch {
    writer: TableWriter,
    path: PathBuf,
    log: Arc<SinkFileLog>,
    batch_id: i64,
}

impl BatchWriter for FileBatch {
    fn write(&mut self, partition: usize, rows: RecordBatch) -> Result<(), SparkError> {
        self.writer.write(partition, &rows)
    }

    fn commit(self: Box<Self>) -> Result<(), SparkError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        let files = self.writer.finish()?;
        let entry = |file: &super::writer::WrittenFile| {
            let path = self.path.join(&file.relative);
            let modified = std::fs::metadata(&path).and_then(|m| m.modified()).ok();
            let modified_ms =
                modified.and_then(|t| t.duration_since(UNIX_EPOCH).ok()).map_or(now_ms, |t| t.as_millis() as i64);
            SinkFile::added(file_url(&path), file.size.cast_signed(), modified_ms)
        };
        let entries: Vec<SinkFile> = files.iter().map(entry).collect();
        self.log.add(self.batch_id, &entries)
    }
}
