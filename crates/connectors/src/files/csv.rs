//! The `csv` format: a record a line, or records that span lines.

use std::io::Read;
use std::sync::Arc;

use arrow::datatypes::{DataType, Fields, IntervalUnit};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::csv::{CsvReadOptions, RecordReader, SchemaInference, Tokenizer, Tokens, header_names};

use super::encoding;
use super::format::{BATCH_ROWS, Block, Blocks, FileFormat, ReadError, check_types};
use super::input::{self, Records, Separator};
use super::json::only_corrupt_column;
use super::listing::DataFile;
use super::settings;
use crate::errors::illegal_argument;
use crate::options::Options;
use crate::source::Conf;

/// Options of the format.
#[derive(Debug)]
pub(crate) struct CsvFormat {
    options: Arc<CsvReadOptions>,
    separator: Separator,
    case_sensitive: bool,
}

impl CsvFormat {
    /// Takes the options apart.
    pub fn new(options: &Options, conf: &Conf) -> Result<Self, SparkError> {
        let options = CsvReadOptions::parse(options, &settings::text_settings(conf)?)?;
        encoding::check(options.encoding.as_deref(), "CSVOptions")?;
        let separator = Separator::new(options.line_separator.as_deref());
        let case_sensitive = settings::flag(conf, "spark.sql.caseSensitive", false);
        Ok(Self { options: Arc::new(options), separator, case_sensitive })
    }

    fn lines(&self, file: &DataFile) -> std::io::Result<Records<Box<dyn Read + Send>>> {
        let encoding = self.options.encoding.as_deref();
        if encoding::is_utf8(encoding) {
            return input::open_records(file, &self.separator);
        }
        let text = encoding::decode(encoding, input::read_whole(&file.path)?);
        Ok(Records::new(Box::new(std::io::Cursor::new(text)), self.separator.clone()))
    }

    fn whole(&self, file: &DataFile) -> std::io::Result<String> {
        let bytes = encoding::decode(self.options.encoding.as_deref(), input::read_whole(&file.path)?);
        let text = String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
        Ok(text.strip_prefix('\u{feff}').map(str::to_string).unwrap_or(text))
    }

    /// The rows of a file whose records may span lines.
    fn read_whole(&self, file: &DataFile, mut reader: RecordReader, all: &Fields) -> Result<Blocks, ReadError> {
        let text = self.whole(file)?;
        let mut at = 0;
        if self.options.header {
            let mut tokens = Tokens::default();
            if Tokenizer::new(&self.options).next(&text, &mut at, &mut tokens) {
                self.check_header(&tokens, all, file)?;
            }
        }
        let mut ended = false;
        Ok(Box::new(std::iter::from_fn(move || {
            while !ended && reader.rows() < BATCH_ROWS {
                match reader.push_next(&text, &mut at) {
                    Ok(more) => ended = !more,
                    Err(error) => {
                        ended = true;
                        return Some(Err(error));
                    }
                }
            }
            finish(&mut reader)
        })))
    }

    /// Compares the header with the schema, if that is wanted.
    fn check_header(&self, tokens: &Tokens, all: &Fields, file: &DataFile) -> Result<(), SparkError> {
        if self.options.enforce_schema {
            return Ok(());
        }
        let found: Vec<&str> = (0..tokens.len()).filter_map(|i| tokens.get(i, "", "")).collect();
        let expected: Vec<&str> =
            all.iter().map(|f| f.name().as_str()).filter(|n| *n != self.options.corrupt_column).collect();
        let (header, schema) = (found.join(", "), expected.join(", "));
        let path = file.url();
        if found.len() != expected.len() {
            return Err(illegal_argument(format!(
                "Number of column in CSV header is not equal to number of fields in the schema:\n Header length: {}, schema size: \
                 {}\nCSV file: {path}",
                found.len(),
                expected.len()
            )));
        }
        let same = |(a, b): (&&str, &&str)| if self.case_sensitive { a == b } else { a.eq_ignore_ascii_case(b) };
        if !found.iter().zip(&expected).all(same) {
            return Err(illegal_argument(format!(
                "CSV header does not conform to the schema.\n Header: {header}\n Schema: {schema}\nCSV file: {path}"
            )));
        }
        Ok(())
    }

    /// The first record of the files that have one.
    fn first_record(&self, files: &[DataFile], tokens: &mut Tokens) -> Result<bool, SparkError> {
        let tokenizer = Tokenizer::new(&self.options);
        for file in files {
            let found = (|| -> Result<bool, ReadError> {
                if self.options.multi_line {
                    return Ok(tokenizer.next(&self.whole(file)?, &mut 0, tokens));
                }
                let mut lines = self.lines(file)?;
                while let Some(line) = lines.next()? {
                    let line = String::from_utf8_lossy(line);
                    if !tokenizer.skips(&line) {
                        tokenizer.line(&line, tokens);
                        return Ok(true);
                    }
                }
                Ok(false)
            })();
            if found.map_err(|e| super::read::failed(file, e))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn infer_file(
        &self,
        file: &DataFile,
        inference: &mut SchemaInference,
        sample: &mut settings::Sample,
    ) -> Result<(), ReadError> {
        let mut header = self.options.header;
        if self.options.multi_line {
            let (text, mut at) = (self.whole(file)?, 0);
            if header {
                Tokenizer::new(&self.options).next(&text, &mut at, &mut Tokens::default());
            }
            while inference.add_next(&text, &mut at) {}
            return Ok(());
        }
        let tokenizer = Tokenizer::new(&self.options);
        let mut lines = self.lines(file)?;
        while let Some(line) = lines.next()? {
            let line = String::from_utf8_lossy(line);
            if tokenizer.skips(&line) || std::mem::take(&mut header) || !sample.take() {
                continue;
            }
            inference.add_line(&line);
        }
        Ok(())
    }
}

fn finish(reader: &mut RecordReader) -> Option<Result<Block, SparkError>> {
    let rows = reader.rows();
    (rows > 0).then(|| reader.finish().map(|columns| Block { columns, rows }))
}

impl FileFormat for CsvFormat {
    fn name(&self) -> &'static str {
        "CSV"
    }

    fn read(&self, file: &DataFile, wanted: &Fields, all: &Fields) -> Result<Blocks, ReadError> {
        if let [only] = wanted.as_ref()
            && only.name() == &self.options.corrupt_column
        {
            return Err(only_corrupt_column().into());
        }
        let mut reader = RecordReader::new(wanted, all, Arc::clone(&self.options))?;
        if self.options.multi_line {
            return self.read_whole(file, reader, all);
        }
        let mut lines = self.lines(file)?;
        if self.options.header && file.part.is_none_or(|(start, _)| start == 0) {
            let tokenizer = Tokenizer::new(&self.options);
            while let Some(line) = lines.next()? {
                let line = String::from_utf8_lossy(line);
                if !tokenizer.skips(&line) {
                    let mut tokens = Tokens::default();
                    tokenizer.line(&line, &mut tokens);
                    self.check_header(&tokens, all, file)?;
                    break;
                }
            }
        }
        let mut ended = false;
        Ok(Box::new(std::iter::from_fn(move || {
            while !ended && reader.rows() < BATCH_ROWS {
                let pushed = match lines.next() {
                    Ok(Some(line)) => reader.push_line(&String::from_utf8_lossy(line)),
                    Ok(None) => {
                        ended = true;
                        break;
                    }
                    Err(error) => Err(SparkError::plain(ExceptionClass::Runtime, error.to_string())),
                };
                if let Err(error) = pushed {
                    ended = true;
                    return Some(Err(error));
                }
            }
            finish(&mut reader)
        })))
    }

    fn splits(&self) -> bool {
        !self.options.multi_line && encoding::is_utf8(self.options.encoding.as_deref())
    }

    fn infer(&self, files: &[DataFile]) -> Result<Option<Fields>, SparkError> {
        if files.is_empty() {
            return Ok(None);
        }
        let mut first = Tokens::default();
        if !self.first_record(files, &mut first)? {
            return Ok(Some(Fields::empty()));
        }
        let names = header_names(&first, &self.options, self.case_sensitive);
        let mut inference = SchemaInference::new(names, Arc::clone(&self.options));
        if self.options.infer_schema {
            let mut sample = settings::Sample::new(self.options.sampling_ratio);
            for file in files {
                let looked = self.infer_file(file, &mut inference, &mut sample);
                looked.map_err(|e| super::read::failed(file, e))?;
            }
        }
        Ok(Some(inference.finish()))
    }

    fn check(&self, fields: &Fields) -> Result<(), SparkError> {
        check_types(self.name(), fields, &|data_type| {
            !matches!(
                data_type,
                DataType::Struct(_)
                    | DataType::List(_)
                    | DataType::Map(..)
                    | DataType::Binary
                    | DataType::Interval(IntervalUnit::MonthDayNano)
            )
        })
    }
}
