//! `spark.read.json(texts)`: documents in a string column as a table.
//!
//! Memory: all rows of the result. Not here: CSV, files (`connectors`).

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion::common::DataFusionError;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::json::{JsonReadOptions, RecordReader, SchemaInference};
use millstream_formats::options::Options as ReadOptions;
use millstream_formats::record::Settings;
use millstream_functions::datetime::session_zone;

use super::super::Analyzer;
use super::super::rel::Rel;
use crate::ir::{Options, Relation};
use crate::whole::{Collector, WholeFunction};

/// Reads each text as a document.
#[derive(Debug, Clone)]
struct ReadJson {
    fields: Fields,
    options: Arc<JsonReadOptions>,
}

impl Analyzer<'_> {
    /// Texts of `format` as rows.
    pub(super) fn parse(
        &self,
        input: &Relation,
        format: &str,
        schema: Option<&SchemaRef>,
        options: &Options,
    ) -> Result<Rel, SparkError> {
        let rel = self.relation(input)?;
        if rel.streaming {
            return Err(crate::unsupported::batch_only());
        }
        if !matches!(rel.output.as_slice(), [only] if only.data_type == DataType::Utf8) {
            let sentence = "The documents to read must be in one string column.";
            return Err(SparkError::plain(ExceptionClass::IllegalArgument, sentence));
        }
        if !format.eq_ignore_ascii_case("json") {
            return Err(SparkError::unsupported(format!("Reading {format} from a DataFrame")));
        }
        let options: ReadOptions = options.iter().map(|(k, v)| (k, v.as_str())).collect();
        let options = Arc::new(JsonReadOptions::parse(&options, &self.text_settings()?)?);
        let fields = match schema {
            Some(schema) => schema.fields().clone(),
            None => self.infer_json(&rel, &options)?,
        };
        let nullable = fields.iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
        self.whole(rel, Arc::new(ReadJson { fields, options }), nullable)
    }

    fn text_settings(&self) -> Result<Settings, SparkError> {
        let mut settings = Settings::new(session_zone(&self.context)?);
        if let Some(name) = self.catalog.conf("spark.sql.columnNameOfCorruptRecord") {
            settings.corrupt_column = name;
        }
        Ok(settings)
    }

    /// The schema of all documents.
    fn infer_json(&self, rel: &Rel, options: &Arc<JsonReadOptions>) -> Result<Fields, SparkError> {
        let mut inference = SchemaInference::new(Arc::clone(options));
        for batch in self.catalog.collect(&rel.clone().finish()?)? {
            for text in texts(&batch)? {
                inference.add(text)?;
            }
        }
        Ok(inference.finish())
    }
}

/// The texts of the only column, nulls left out.
fn texts(batch: &RecordBatch) -> Result<impl Iterator<Item = &str>, SparkError> {
    let column = batch.columns().first().and_then(|c| c.as_string_opt::<i32>());
    column.map(|c| c.iter().flatten()).ok_or_else(|| SparkError::internal("documents that are no texts"))
}

impl WholeFunction for ReadJson {
    fn name(&self) -> &'static str {
        "ReadJson"
    }

    fn collector(&self) -> Box<dyn Collector> {
        Box::new(Documents { function: self.clone(), reader: None })
    }
}

struct Documents {
    function: ReadJson,
    reader: Option<RecordReader>,
}

impl Documents {
    fn reader(&mut self) -> Result<&mut RecordReader, SparkError> {
        if self.reader.is_none() {
            let ReadJson { fields, options } = &self.function;
            self.reader = Some(RecordReader::new(fields, Arc::clone(options), true)?);
        }
        self.reader.as_mut().ok_or_else(|| SparkError::internal("no reader"))
    }
}

impl Collector for Documents {
    fn push(&mut self, rows: &RecordBatch) -> Result<(), SparkError> {
        let reader = self.reader()?;
        texts(rows)?.try_for_each(|text| reader.push(text))
    }

    fn finish(mut self: Box<Self>) -> Result<RecordBatch, SparkError> {
        let columns = self.reader()?.finish()?;
        let fields: Vec<Field> = self.function.fields.iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns);
        batch.map_err(|e| SparkError::internal(DataFusionError::from(e).to_string()))
    }
}
