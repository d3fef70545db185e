//! One file being written, in any of the formats.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Fields, Schema, SchemaRef};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::csv::{CsvWriteOptions, CsvWriter};
use millstream_formats::faults;
use millstream_formats::files::create_dirs;
use millstream_formats::json::{JsonWriteOptions, JsonWriter};

use super::format::{self, FileFormat};
use super::parquet::ParquetOutput;
use super::settings;
use crate::errors::{self, io_error};
use crate::options::{Options, refuse_unserved};
use crate::source::Conf;

/// What the files are for, to [`faults`].
pub(super) const ROLE: &str = "data";

/// How files of a format are written, its options taken apart.
pub(crate) struct OutputFormat {
    kind: Kind,
    packing: Packing,
    /// Checks columns.
    format: Arc<dyn FileFormat>,
}

enum Kind {
    Json(JsonWriteOptions),
    Csv(CsvWriteOptions),
    Text { line_separator: String },
    Parquet { compression: parquet::basic::Compression, ending: &'static str },
}

#[derive(Debug, Clone, Copy)]
enum Packing {
    None,
    Gzip,
    Deflate,
}

impl OutputFormat {
    /// Takes the options apart.
    ///
    /// # Errors
    /// `DATA_SOURCE_NOT_FOUND`, a bad option.
    pub fn new(name: &str, options: &Options, conf: &Conf) -> Result<Self, SparkError> {
        refuse_unserved(options, "maxRecordsPerFile")?;
        let format = format::open(name, options, conf)?;
        let settings = settings::text_settings(conf)?;
        let (kind, packing) = match format::short_name(name).as_str() {
            "json" => {
                let options_read = JsonWriteOptions::parse(options, &settings)?;
                super::encoding::check_output(options_read.encoding.as_deref())?;
                (Kind::Json(options_read), packing(options)?)
            }
            "csv" => {
                let options_read = CsvWriteOptions::parse(options, &settings)?;
                super::encoding::check_output(options_read.encoding.as_deref())?;
                (Kind::Csv(options_read), packing(options)?)
            }
            "text" => {
                let line_separator = options.get("lineSep").unwrap_or("\n").to_string();
                (Kind::Text { line_separator }, packing(options)?)
            }
            "parquet" => {
                let given = options.get_any(&["compression", "parquet.compression"]).map(str::to_string);
                let name =
                    given.or_else(|| conf("spark.sql.parquet.compression.codec")).unwrap_or_else(|| "snappy".into());
                let (compression, ending) = ParquetOutput::compression(&name)?;
                (Kind::Parquet { compression, ending }, Packing::None)
            }
            _ => return Err(errors::data_source_not_found(name)),
        };
        Ok(Self { kind, packing, format })
    }

    /// Checks that the format can hold these columns.
    ///
    /// # Errors
    /// `UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE` and the format's own.
    pub fn check(&self, fields: &Fields) -> Result<(), SparkError> {
        self.format.check(fields)?;
        if fields.is_empty()
            || fields.iter().any(|f| matches!(f.data_type(), DataType::Struct(inner) if inner.is_empty()))
        {
            let name = self.format.name();
            return Err(SparkError::new(
                ExceptionClass::Analysis,
                "EMPTY_SCHEMA_NOT_SUPPORTED_FOR_DATASOURCE",
                "0A000",
                format!(
                    "The {name} datasource does not support writing empty or nested empty schemas. Please make sure the data schema \
                     has at least one or more column(s)."
                ),
            )
            .with("format", name));
        }
        Ok(())
    }

    /// What file names end with: `.json.gz`, `.snappy.parquet`.
    pub fn ending(&self) -> String {
        let packing = match self.packing {
            Packing::None => "",
            Packing::Gzip => ".gz",
            Packing::Deflate => ".deflate",
        };
        match &self.kind {
            Kind::Json(_) => format!(".json{packing}"),
            Kind::Csv(_) => format!(".csv{packing}"),
            Kind::Text { .. } => format!(".txt{packing}"),
            Kind::Parquet { ending, .. } => format!("{ending}.parquet"),
        }
    }

    /// Begins a file.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(self: &Arc<Self>, path: &Path, schema: &SchemaRef, fsync: bool) -> Result<FileOutput, SparkError> {
        let created = faults::step(ROLE, "create", path)
            .and_then(|()| path.parent().map_or(Ok(()), |dir| create_dirs(ROLE, dir, fsync)))
            .and_then(|()| File::create_new(path));
        let file = created.map_err(|e| io_error("create", path, &e))?;
        let sink = match &self.kind {
            Kind::Parquet { compression, .. } => {
                Sink::Parquet(Box::new(ParquetOutput::new(file, path, schema, *compression)?))
            }
            _ => Sink::Text(self.pack(file)),
        };
        let mut output = FileOutput { format: Arc::clone(self), sink, path: path.to_path_buf(), line: String::new() };
        output.begin(schema)?;
        Ok(output)
    }

    fn pack(&self, file: File) -> TextSink {
        let file = BufWriter::with_capacity(256 << 10, file);
        match self.packing {
            Packing::None => TextSink::Plain(file),
            Packing::Gzip => TextSink::Gzip(GzEncoder::new(file, Compression::default())),
            Packing::Deflate => TextSink::Deflate(ZlibEncoder::new(file, Compression::default())),
        }
    }
}

/// The option `compression` of the text formats.
fn packing(options: &Options) -> Result<Packing, SparkError> {
    let Some(name) = options.get_any(&["compression", "codec"]) else { return Ok(Packing::None) };
    match name.to_lowercase().as_str() {
        "none" | "uncompressed" => Ok(Packing::None),
        "gzip" => Ok(Packing::Gzip),
        "deflate" => Ok(Packing::Deflate),
        "bzip2" | "lz4" | "snappy" => {
            Err(SparkError::unsupported(format!("Writing text files with the compression {name}")))
        }
        _ => Err(SparkError::new(
            ExceptionClass::IllegalArgument,
            "CODEC_NOT_AVAILABLE.WITH_AVAILABLE_CODECS_SUGGESTION",
            "56038",
            format!(
                "The codec {name} is not available. Available codecs are bzip2, deflate, uncompressed, snappy, none, lz4, gzip."
            ),
        )
        .with("codecName", name)),
    }
}

enum Sink {
    Text(TextSink),
    Parquet(Box<ParquetOutput>),
}

enum TextSink {
    Plain(BufWriter<File>),
    Gzip(GzEncoder<BufWriter<File>>),
    Deflate(ZlibEncoder<BufWriter<File>>),
}

impl TextSink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Plain(file) => file.write_all(bytes),
            Self::Gzip(file) => file.write_all(bytes),
            Self::Deflate(file) => file.write_all(bytes),
        }
    }

    fn finish(self) -> std::io::Result<File> {
        let file = match self {
            Self::Plain(file) => file,
            Self::Gzip(file) => file.finish()?,
            Self::Deflate(file) => file.finish()?,
        };
        file.into_inner().map_err(std::io::IntoInnerError::into_error)
    }
}

/// A file under construction.
pub(crate) struct FileOutput {
    format: Arc<OutputFormat>,
    sink: Sink,
    path: std::path::PathBuf,
    line: String,
}

/// Bytes of text that are collected before they go to the file.
const TEXT_BYTES: usize = 64 << 10;

impl FileOutput {
    /// Writes the header, if the format has one.
    fn begin(&mut self, schema: &Schema) -> Result<(), SparkError> {
        match (&self.format.kind, &mut self.sink) {
            (Kind::Csv(options), Sink::Text(text)) if options.header => {
                let mut line = String::new();
                CsvWriter::new(options).header(schema, &mut line);
                line.push_str(&options.line_separator);
                text.write(line.as_bytes()).map_err(|e| io_error("write", &self.path, &e))
            }
            _ => Ok(()),
        }
    }

    /// Adds rows.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<(), SparkError> {
        faults::step(ROLE, "write", &self.path).map_err(|e| io_error("write", &self.path, &e))?;
        let text = match &mut self.sink {
            Sink::Parquet(output) => return output.write(rows),
            Sink::Text(text) => text,
        };
        let (line, path) = (&mut self.line, &self.path);
        let mut flush = |line: &mut String, least: usize| {
            if line.len() < least {
                return Ok(());
            }
            let written = text.write(line.as_bytes()).map_err(|e| io_error("write", path, &e));
            line.clear();
            written
        };
        match &self.format.kind {
            Kind::Json(options) => {
                let writer = JsonWriter::new(options);
                let objects = writer.rows(rows)?;
                for row in 0..rows.num_rows() {
                    objects.write(row, line);
                    line.push_str(&options.line_separator);
                    flush(line, TEXT_BYTES)?;
                }
            }
            Kind::Csv(options) => {
                let writer = CsvWriter::new(options);
                let records = writer.rows(rows)?;
                let mut scratch = String::new();
                for row in 0..rows.num_rows() {
                    if records.write(row, &mut scratch, line) {
                        line.push_str(&options.line_separator);
                    }
                    flush(line, TEXT_BYTES)?;
                }
            }
            Kind::Text { line_separator } => {
                let column =
                    rows.columns().first().ok_or_else(|| SparkError::internal("a text file without column"))?;
                let texts = column.as_string::<i32>();
                for row in 0..rows.num_rows() {
                    if texts.is_valid(row) {
                        line.push_str(texts.value(row));
                    }
                    line.push_str(line_separator);
                    flush(line, TEXT_BYTES)?;
                }
            }
            Kind::Parquet { .. } => {}
        }
        flush(line, 0)
    }

    /// Ends the file; its bytes are on disk if `fsync`. Gives the number of bytes.
    ///
    /// # Errors
    /// What the file system says.
    pub fn finish(self, fsync: bool) -> Result<u64, SparkError> {
        let path = self.path;
        faults::step(ROLE, "write", &path).map_err(|e| io_error("write", &path, &e))?;
        let file = match self.sink {
            Sink::Parquet(output) => output.finish()?,
            Sink::Text(text) => text.finish().map_err(|e| io_error("write", &path, &e))?,
        };
        if fsync {
            let synced = faults::step(ROLE, "sync", &path).and_then(|()| file.sync_data());
            synced.map_err(|e| io_error("sync", &path, &e))?;
        }
        Ok(file.metadata().map_err(|e| io_error("read the attributes of", &path, &e))?.len())
    }
}
