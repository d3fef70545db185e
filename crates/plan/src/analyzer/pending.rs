//! Stands in for the parser of SQL text and of intervals until they are there.

use millstream_formats::condition::SparkError;

use crate::ir;

/// Parses an expression.
pub fn parse_expression(_text: &str) -> Result<ir::Expr, SparkError> {
    Err(SparkError::unsupported("SQL text"))
}

/// Parses a statement.
pub fn parse_statement(_text: &str) -> Result<ir::Statement, SparkError> {
    Err(SparkError::unsupported("SQL text"))
}

/// Intervals.
pub mod interval {
    use super::SparkError;

    /// Months, days, µs.
    pub struct Parsed {
        /// Months.
        pub months: i32,
        /// Days.
        pub days: i32,
        /// µs.
        pub micros: i64,
    }

    /// Parses an interval.
    pub fn parse(_text: &str) -> Result<Parsed, String> {
        Err("not yet".into())
    }

    /// The error.
    pub fn cannot_parse(text: &str) -> SparkError {
        SparkError::unsupported(format!("The interval {text}"))
    }

    /// Parses a duration in µs.
    pub fn parse_duration(text: &str) -> Result<i64, SparkError> {
        Err(cannot_parse(text))
    }
}
