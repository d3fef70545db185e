//! CSV as Spark reads and writes it: records to columns, columns to records, and the schema of records.
//!
//! The grammar is that of Spark's parser (univocity) with the settings Spark gives it: an escape character of its own, quotes in
//! the middle of a value kept as they stand. Not here: how a file is cut into lines, headers of files.

mod infer;
mod options;
mod reader;
mod tokens;
mod write;

pub use infer::{SchemaInference, header_names};
pub use options::{CsvReadOptions, CsvWriteOptions};
pub use reader::{RecordReader, from_csv};
pub use tokens::{Tokenizer, Tokens};
pub use write::{CsvRows, CsvWriter};
