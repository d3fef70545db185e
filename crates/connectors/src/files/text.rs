//! The `text` format: each line, or each file, is a row with one column `value`.

use std::sync::Arc;

use arrow::array::{Array, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field, Fields};
use millstream_formats::condition::{ExceptionClass, SparkError};

use super::format::{BATCH_ROWS, Block, Blocks, FileFormat, ReadError, check_types};
use super::input::{self, Records, Separator};
use super::listing::DataFile;
use crate::options::Options;

/// Bytes of text after which a batch of rows is closed.
const BATCH_BYTES: usize = 4 << 20;

/// Options of the format.
#[derive(Debug)]
pub(crate) struct TextFormat {
    separator: Separator,
    whole: bool,
}

impl TextFormat {
    /// Takes the options apart.
    pub fn new(options: &Options) -> Result<Self, SparkError> {
        if options.get("lineSep") == Some("") {
            return Err(SparkError::plain(
                ExceptionClass::IllegalArgument,
                "requirement failed: 'lineSep' cannot be an empty string.",
            ));
        }
        Ok(Self { separator: Separator::new(options.get("lineSep")), whole: options.format_bool("wholetext", false)? })
    }
}

impl FileFormat for TextFormat {
    fn name(&self) -> &'static str {
        "Text"
    }

    fn read(&self, file: &DataFile, wanted: &Fields, _all: &Fields) -> Result<Blocks, ReadError> {
        let with_value = !wanted.is_empty();
        if self.whole {
            let bytes = input::read_whole(&file.path)?;
            let text = StringArray::from(vec![String::from_utf8_lossy(&bytes).into_owned()]);
            return Ok(Box::new(std::iter::once(Ok(block(text, with_value)))));
        }
        let mut records = input::open_records(file, &self.separator)?;
        Ok(Box::new(std::iter::from_fn(move || match next_texts(&mut records) {
            Ok(texts) if texts.is_empty() => None,
            Ok(texts) => Some(Ok(block(texts, with_value))),
            Err(error) => Some(Err(SparkError::plain(ExceptionClass::Runtime, error.to_string()))),
        })))
    }

    fn splits(&self) -> bool {
        !self.whole
    }

    fn infer(&self, _files: &[DataFile]) -> Result<Option<Fields>, SparkError> {
        Ok(Some(vec![Field::new("value", DataType::Utf8, true)].into()))
    }

    fn check(&self, fields: &Fields) -> Result<(), SparkError> {
        check_types(self.name(), fields, &|t| t == &DataType::Utf8)?;
        if fields.len() != 1 {
            return Err(SparkError::new(
                ExceptionClass::Analysis,
                "_LEGACY_ERROR_TEMP_1290",
                "",
                format!("Text data source supports only a single column, and you have {} columns.", fields.len()),
            ));
        }
        Ok(())
    }
}

fn block(texts: StringArray, with_value: bool) -> Block {
    let rows = texts.len();
    Block { columns: if with_value { vec![Arc::new(texts)] } else { Vec::new() }, rows }
}

fn next_texts<R: std::io::Read>(records: &mut Records<R>) -> std::io::Result<StringArray> {
    let mut builder = StringBuilder::with_capacity(1024, 64 << 10);
    let mut bytes = 0;
    let mut rows = 0;
    while rows < BATCH_ROWS
        && bytes < BATCH_BYTES
        && let Some(record) = records.next()?
    {
        builder.append_value(String::from_utf8_lossy(record));
        bytes += record.len();
        rows += 1;
    }
    Ok(builder.finish())
}
