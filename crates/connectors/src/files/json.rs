//! The `json` format: a document a line, or a document a file.

use std::sync::Arc;

use arrow::datatypes::{DataType, Fields};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::json::{JsonReadOptions, RecordReader, SchemaInference};

use super::encoding;
use super::format::{BATCH_ROWS, Block, Blocks, FileFormat, ReadError, check_types};
use super::input::{self, Records, Separator};
use super::listing::DataFile;
use super::settings;
use crate::options::Options;
use crate::source::Conf;

/// Options of the format.
#[derive(Debug)]
pub(crate) struct JsonFormat {
    options: Arc<JsonReadOptions>,
    separator: Separator,
}

impl JsonFormat {
    /// Takes the options apart.
    pub fn new(options: &Options, conf: &Conf) -> Result<Self, SparkError> {
        let options = JsonReadOptions::parse(options, &settings::text_settings(conf)?)?;
        encoding::check(options.encoding.as_deref(), "JSONOptionsInRead")?;
        let separator = Separator::new(options.line_separator.as_deref());
        Ok(Self { options: Arc::new(options), separator })
    }

    /// The documents of a file one by one, `false` to stop.
    fn each(
        &self,
        file: &DataFile,
        mut use_record: impl FnMut(&[u8]) -> Result<bool, SparkError>,
    ) -> Result<(), ReadError> {
        let mut records = self.records(file)?;
        while let Some(record) = records.next()? {
            if !use_record(&record)? {
                break;
            }
        }
        Ok(())
    }

    fn records(&self, file: &DataFile) -> std::io::Result<Source> {
        let encoding = self.options.encoding.as_deref();
        if self.options.multi_line {
            let bytes = input::read_whole(&file.path)?;
            return Ok(Source::Whole(Some(encoding::decode(encoding, bytes))));
        }
        if encoding::is_utf8(encoding) {
            return Ok(Source::Lines(input::open_records(file, &self.separator)?));
        }
        let text = encoding::decode(encoding, input::read_whole(&file.path)?);
        Ok(Source::Lines(Records::new(Box::new(std::io::Cursor::new(text)), self.separator.clone())))
    }
}

/// Where documents come from.
enum Source {
    Lines(Records<Box<dyn std::io::Read + Send>>),
    Whole(Option<Vec<u8>>),
}

impl Source {
    fn next(&mut self) -> std::io::Result<Option<std::borrow::Cow<'_, [u8]>>> {
        match self {
            Self::Lines(records) => Ok(records.next()?.map(std::borrow::Cow::Borrowed)),
            Self::Whole(bytes) => Ok(bytes.take().map(std::borrow::Cow::Owned)),
        }
    }
}

impl FileFormat for JsonFormat {
    fn name(&self) -> &'static str {
        "JSON"
    }

    fn read(&self, file: &DataFile, wanted: &Fields, _all: &Fields) -> Result<Blocks, ReadError> {
        if let [only] = wanted.as_ref()
            && only.name() == &self.options.corrupt_column
        {
            return Err(only_corrupt_column().into());
        }
        let mut reader = RecordReader::new(wanted, Arc::clone(&self.options), true)?;
        let mut records = self.records(file)?;
        let mut ended = false;
        Ok(Box::new(std::iter::from_fn(move || {
            if ended {
                return None;
            }
            while reader.rows() < BATCH_ROWS {
                let record = match records.next() {
                    Ok(Some(record)) => record,
                    Ok(None) => {
                        ended = true;
                        break;
                    }
                    Err(error) => {
                        ended = true;
                        return Some(Err(SparkError::plain(ExceptionClass::Runtime, error.to_string())));
                    }
                };
                let pushed = match std::str::from_utf8(&record) {
                    Ok(text) => reader.push(text),
                    Err(_) => reader.push_undecodable(&record),
                };
                if let Err(error) = pushed {
                    ended = true;
                    return Some(Err(error));
                }
            }
            let rows = reader.rows();
            (rows > 0).then(|| reader.finish().map(|columns| Block { columns, rows }))
        })))
    }

    fn splits(&self) -> bool {
        !self.options.multi_line && encoding::is_utf8(self.options.encoding.as_deref())
    }

    fn infer(&self, files: &[DataFile]) -> Result<Option<Fields>, SparkError> {
        if files.is_empty() {
            return Ok(None);
        }
        let mut inference = SchemaInference::new(Arc::clone(&self.options));
        let mut sample = settings::Sample::new(self.options.sampling_ratio);
        for file in files {
            let looked = self.each(file, |record| {
                if sample.take() {
                    match std::str::from_utf8(record) {
                        Ok(text) => inference.add(text)?,
                        // Not text: as bad as a document can be.
                        Err(_) => inference.add("\u{0}")?,
                    }
                }
                Ok(true)
            });
            looked.map_err(|e| super::read::failed(file, e))?;
        }
        Ok(Some(inference.finish()))
    }

    fn check(&self, fields: &Fields) -> Result<(), SparkError> {
        check_types(self.name(), fields, &supported)
    }
}

fn supported(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => fields.iter().all(|f| supported(f.data_type())),
        DataType::List(item) => supported(item.data_type()),
        DataType::Map(entries, _) => {
            millstream_formats::types::key_and_value(entries).is_some_and(|(_, value)| supported(value.data_type()))
        }
        _ => true,
    }
}

/// `UNSUPPORTED_FEATURE.QUERY_ONLY_CORRUPT_RECORD_COLUMN`.
pub(crate) fn only_corrupt_column() -> SparkError {
    SparkError::new(
        ExceptionClass::Analysis,
        "UNSUPPORTED_FEATURE.QUERY_ONLY_CORRUPT_RECORD_COLUMN",
        "0A000",
        "The feature is not supported: Queries from raw JSON/CSV/XML files are disallowed when the referenced columns only include \
         the internal corrupt record column (named `_corrupt_record` by default).",
    )
}
