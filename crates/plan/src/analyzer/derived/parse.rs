//! `spark.read.json(texts)` and `spark.read.csv(texts)`: documents or lines in a string column as a table.
//!
//! Memory: all rows of the result. Not here: files (`connectors`).

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::csv::{self, CsvReadOptions, Tokenizer, Tokens, header_names};
use millstream_formats::json::{self, JsonReadOptions};
use millstream_formats::options::Options as ReadOptions;
use millstream_formats::record::Settings;
use millstream_functions::datetime::session_zone;

use super::super::Analyzer;
use super::super::rel::Rel;
use crate::ir::{Options, Relation};
use crate::whole::{Collector, WholeFunction};

/// Reads each text as a record.
#[derive(Debug, Clone)]
struct ReadTexts {
    fields: Fields,
    format: Format,
}

#[derive(Debug, Clone)]
enum Format {
    Json(Arc<JsonReadOptions>),
    Csv(Arc<CsvReadOptions>),
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
        let options: ReadOptions = options.iter().map(|(k, v)| (k, v.as_str())).collect();
        let settings = self.text_settings()?;
        let format = match format.to_ascii_lowercase().as_str() {
            "json" => Format::Json(Arc::new(JsonReadOptions::parse(&options, &settings)?)),
            "csv" => Format::Csv(Arc::new(CsvReadOptions::parse(&options, &settings)?)),
            other => return Err(SparkError::unsupported(format!("Reading {other} from a DataFrame"))),
        };
        let fields = match schema {
            Some(schema) => schema.fields().clone(),
            None => self.inferred(&rel, &format)?,
        };
        let nullable = fields.iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
        self.whole(rel, Arc::new(ReadTexts { fields, format }), nullable)
    }

    fn text_settings(&self) -> Result<Settings, SparkError> {
        let mut settings = Settings::new(session_zone(&self.context)?);
        if let Some(name) = self.catalog.conf("spark.sql.columnNameOfCorruptRecord") {
            settings.corrupt_column = name;
        }
        let ntz = self.catalog.conf("spark.sql.timestampType");
        settings.timestamps_without_zone = ntz.is_some_and(|t| t.eq_ignore_ascii_case("TIMESTAMP_NTZ"));
        Ok(settings)
    }

    /// The schema of all records.
    fn inferred(&self, rel: &Rel, format: &Format) -> Result<Fields, SparkError> {
        let batches = self.catalog.collect(&rel.clone().finish()?)?;
        let mut records = Vec::new();
        for batch in &batches {
            records.extend(texts(batch)?);
        }
        match format {
            Format::Json(options) => {
                let mut inference = json::SchemaInference::new(Arc::clone(options));
                records.into_iter().try_for_each(|text| inference.add(text))?;
                Ok(inference.finish())
            }
            Format::Csv(options) => Ok(inferred_from_lines(&records, options, self.names.case_sensitive)),
        }
    }
}

fn inferred_from_lines(lines: &[&str], options: &Arc<CsvReadOptions>, case_sensitive: bool) -> Fields {
    let tokenizer = Tokenizer::new(options);
    let Some(first) = lines.iter().find(|line| !tokenizer.skips(line)) else { return Fields::empty() };
    let mut tokens = Tokens::default();
    tokenizer.line(first, &mut tokens);
    let mut inference = csv::SchemaInference::new(header_names(&tokens, options, case_sensitive), Arc::clone(options));
    for line in lines.iter().filter(|line| !options.header || *line != first) {
        inference.add_line(line);
    }
    inference.finish()
}

/// The texts of the only column, nulls left out.
fn texts(batch: &RecordBatch) -> Result<impl Iterator<Item = &str>, SparkError> {
    let column = batch.columns().first().and_then(|c| c.as_string_opt::<i32>());
    column.map(|c| c.iter().flatten()).ok_or_else(|| SparkError::internal("documents that are no texts"))
}

impl WholeFunction for ReadTexts {
    fn name(&self) -> &'static str {
        "ReadTexts"
    }

    fn collector(&self) -> Box<dyn Collector> {
        Box::new(Records { function: self.clone(), reader: None })
    }
}

/// Records read so far; the reader is made when the first ones come, because it may refuse the schema.
struct Records {
    function: ReadTexts,
    reader: Option<Reader>,
}

enum Reader {
    Json(json::RecordReader),
    Csv {
        reader: csv::RecordReader,
        /// The line with the names, which is no record wherever it occurs.
        header: Option<String>,
    },
}

impl Records {
    fn reader(&mut self) -> Result<&mut Reader, SparkError> {
        if self.reader.is_none() {
            let fields = &self.function.fields;
            self.reader = Some(match &self.function.format {
                Format::Json(options) => Reader::Json(json::RecordReader::new(fields, Arc::clone(options), true)?),
                Format::Csv(options) => {
                    Reader::Csv { reader: csv::RecordReader::new(fields, fields, Arc::clone(options))?, header: None }
                }
            });
        }
        self.reader.as_mut().ok_or_else(|| SparkError::internal("no reader"))
    }
}

impl Reader {
    fn push(&mut self, text: &str, has_header: bool) -> Result<(), SparkError> {
        match self {
            Self::Json(reader) => reader.push(text),
            Self::Csv { reader, header } => {
                if has_header {
                    let header = header.get_or_insert_with(|| text.to_string());
                    if header == text {
                        return Ok(());
                    }
                }
                reader.push_line(text)
            }
        }
    }

    fn finish(&mut self) -> Result<Vec<ArrayRef>, SparkError> {
        match self {
            Self::Json(reader) => reader.finish(),
            Self::Csv { reader, .. } => reader.finish(),
        }
    }
}

impl Collector for Records {
    fn push(&mut self, rows: &RecordBatch) -> Result<(), SparkError> {
        let has_header = matches!(&self.function.format, Format::Csv(options) if options.header);
        let reader = self.reader()?;
        texts(rows)?.try_for_each(|text| reader.push(text, has_header))
    }

    fn finish(mut self: Box<Self>) -> Result<RecordBatch, SparkError> {
        let columns = self.reader()?.finish()?;
        let fields: Vec<Field> = self.function.fields.iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
    }
}
