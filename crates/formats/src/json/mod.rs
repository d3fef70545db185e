//! JSON as Spark reads and writes it: documents to columns, columns to documents, and the schema of documents.
//!
//! Reading goes straight from the text of a record into Arrow columns of a known schema ([`RecordReader`] for files,
//! [`from_json`] for a column of texts). Not here: how a file is cut into records.

mod convert;
mod document;
mod infer;
mod options;
mod reader;
mod tape;
mod write;

pub use document::{Document, JsonPath};
pub use infer::{SchemaInference, schema_of};
pub use options::{JsonReadOptions, JsonWriteOptions};
pub use reader::{RecordReader, from_json};
pub use write::{JsonWriter, RowWriter, ValueWriter};

pub(crate) use infer::decimal_type;
pub(crate) use reader::{corrupt_column, malformed_record};
