//! Rows into a Parquet file, with Spark's schema beside Parquet's.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::types;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::SPARK_SCHEMA;

/// A file under construction.
pub(crate) struct ParquetOutput {
    writer: ArrowWriter<File>,
    path: PathBuf,
}

impl ParquetOutput {
    /// The compressions by Spark's names, and how they show in file names.
    ///
    /// # Errors
    /// A compression that does not exist or is not built in.
    pub fn compression(name: &str) -> Result<(Compression, &'static str), SparkError> {
        match name.to_lowercase().as_str() {
            "none" | "uncompressed" => Ok((Compression::UNCOMPRESSED, "")),
            "snappy" => Ok((Compression::SNAPPY, ".snappy")),
            "zstd" => Ok((Compression::ZSTD(ZstdLevel::default()), ".zstd")),
            "gzip" | "lz4" | "lz4_raw" | "lz4raw" | "brotli" | "lzo" => {
                Err(SparkError::unsupported(format!("Writing Parquet with the compression {name}")))
            }
            _ => Err(SparkError::new(
                ExceptionClass::IllegalArgument,
                "CODEC_NOT_AVAILABLE.WITH_AVAILABLE_CODECS_SUGGESTION",
                "56038",
                format!(
                    "The codec {name} is not available. Available codecs are brotli, uncompressed, lzo, snappy, lz4_raw, none, zstd, \
                     lz4, gzip."
                ),
            )),
        }
    }

    /// Begins a file of rows with these columns.
    ///
    /// # Errors
    /// A column that Parquet does not have.
    pub fn new(file: File, path: &Path, schema: &Schema, compression: Compression) -> Result<Self, SparkError> {
        let text = types::schema_to_json(schema.fields());
        let pairs = vec![
            KeyValue::new("org.apache.spark.version".to_string(), "4.2.1".to_string()),
            KeyValue::new(SPARK_SCHEMA.to_string(), text),
        ];
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_key_value_metadata(Some(pairs))
            .set_created_by("millstream".to_string())
            .set_coerce_types(true)
            .build();
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(file, Arc::new(plain(schema)), options);
        Ok(Self { writer: writer.map_err(|e| failed(path, &e))?, path: path.to_path_buf() })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<(), SparkError> {
        let schema = Arc::new(plain(rows.schema_ref()));
        let rows = RecordBatch::try_new(schema, rows.columns().to_vec())?;
        self.writer.write(&rows).map_err(|e| failed(&self.path, &e))
    }

    /// Ends the file.
    ///
    /// # Errors
    /// What the file system says.
    pub fn finish(self) -> Result<File, SparkError> {
        self.writer.into_inner().map_err(|e| failed(&self.path, &e))
    }
}

/// The schema without Spark's metadata, every column nullable, as Spark writes files.
fn plain(schema: &Schema) -> Schema {
    let fields = schema.fields().iter();
    Schema::new(
        fields.map(|f| f.as_ref().clone().with_metadata(Default::default()).with_nullable(true)).collect::<Vec<_>>(),
    )
}

fn failed(path: &Path, error: &parquet::errors::ParquetError) -> SparkError {
    SparkError::plain(ExceptionClass::Runtime, format!("Cannot write the Parquet file {}: {error}", path.display()))
        .of_storage()
}
