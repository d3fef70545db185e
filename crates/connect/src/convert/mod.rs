//! Protocol messages to the unresolved plan, and types and values back.
//!
//! One function per relation, expression and command. Each message is taken apart completely, so that a field added by a
//! newer protocol breaks the build here and nowhere is a field ignored unseen. Nothing is looked up or validated beyond
//! what a message needs to be read; what is not served fails with `UNSUPPORTED_FEATURE` and its name.

pub mod catalog;
pub mod command;
pub mod expression;
pub mod literal;
pub mod local;
pub mod name;
pub mod python;
pub mod relation;
pub mod statistics;
pub mod types;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use bytes::Bytes;
use millstream_formats::condition::{ExceptionClass, SparkError};

/// What of the session a plan is read with.
pub trait Environment {
    /// Parses a type: DDL (`a INT, b STRING`, `array<int>`) or Spark's JSON.
    fn parse_type(&self, text: &str) -> Result<DataType, SparkError>;

    /// The bytes uploaded under a name (`cache/<hash>`).
    fn artifact(&self, name: &str) -> Option<Bytes>;
}

/// Reads messages in an environment.
#[derive(Clone, Copy)]
pub struct Convert<'a> {
    environment: &'a dyn Environment,
}

impl<'a> Convert<'a> {
    /// A reader.
    pub fn new(environment: &'a dyn Environment) -> Self {
        Self { environment }
    }
}

/// A plan that no client of the protocol makes: Spark's `InvalidPlanInput`.
pub(crate) fn invalid(message: impl Into<String>) -> SparkError {
    SparkError::new(ExceptionClass::Spark, "INTERNAL_ERROR", "XX000", message)
}

/// A field that must be there.
pub(crate) fn required<T>(value: Option<T>, what: &str) -> Result<T, SparkError> {
    value.ok_or_else(|| invalid(format!("The plan lacks {what}.")))
}

/// A struct type as a schema.
pub(crate) fn schema_of(data_type: DataType) -> Result<SchemaRef, SparkError> {
    match data_type {
        DataType::Struct(fields) => Ok(SchemaRef::new(Schema::new(fields))),
        // `createDataFrame([1, 2], "int")`: one column named `value`.
        other => Ok(SchemaRef::new(Schema::new(vec![arrow::datatypes::Field::new("value", other, true)]))),
    }
}
