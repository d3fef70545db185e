//! Text in Spark's SQL dialect to the unresolved plan.
//!
//! Own lexer and recursive descent after Spark's grammar (keywords are not reserved, precedences, defaults): names are
//! left as written, nothing is looked up. Errors are Spark's, with line and position. Any text gives a value or an error;
//! nesting is bounded. Not here: what names and types mean (`analyzer`), Spark's scripting (`BEGIN … END`).

mod command;
mod data_type;
mod error;
mod expression;
mod from;
mod function;
mod grouping;
mod interval;
mod lexer;
mod literal;
mod parser;
mod pipe;
mod query;
mod token;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millstream_formats::condition::SparkError;
use millstream_functions::types;

use crate::ir::{Expr, Statement};
use parser::Parser;

pub use parser::Parameters;

/// A query or command. Parameters stay in it for the analyzer.
///
/// # Errors
/// A `ParseException`; `UNSUPPORTED_FEATURE` for statements that are not served.
pub fn parse_statement(text: &str) -> Result<Statement, SparkError> {
    Parser::whole(text, None, Parser::statement)
}

/// The same with the values of its parameters in their places, also in `IDENTIFIER(:name)`.
///
/// # Errors
/// As [`parse_statement`]; `UNBOUND_SQL_PARAMETER` for a parameter without value.
pub fn parse_statement_with(text: &str, parameters: &Parameters) -> Result<Statement, SparkError> {
    Parser::whole(text, Some(parameters), Parser::statement)
}

/// An expression with or without a name (`a + 1 AS b`), as `expr` and `selectExpr` take it.
///
/// # Errors
/// A `ParseException`.
pub fn parse_expression(text: &str) -> Result<Expr, SparkError> {
    Parser::whole(text, None, Parser::named_expression)
}

/// A type: `array<int>`.
///
/// # Errors
/// A `ParseException`.
pub fn parse_data_type(text: &str) -> Result<DataType, SparkError> {
    Parser::whole(text, None, Parser::data_type)
}

/// A table schema (`a INT, b STRING`), else a type (`int`, `struct<a: int>`), else fields with colons (`a: int`): what
/// `from_json` and `DataType.fromDDL` take.
///
/// # Errors
/// A `ParseException`, of the last attempt.
pub fn parse_ddl(text: &str) -> Result<DataType, SparkError> {
    if let Ok(fields) = Parser::whole(text, None, Parser::columns) {
        return Ok(DataType::Struct(fields));
    }
    parse_data_type(text).or_else(|error| {
        Parser::whole(text, None, Parser::columns_with_colons).map(DataType::Struct).map_err(|_| error)
    })
}

/// A schema as DDL or, if it begins with a brace, as Spark's JSON; a type that is no struct becomes the only column `value`.
///
/// # Errors
/// A `ParseException`; for JSON what [`types::schema_from_json`] gives.
pub fn parse_schema(text: &str) -> Result<SchemaRef, SparkError> {
    if text.trim_start().starts_with('{') {
        return Ok(Arc::new(Schema::new(types::schema_from_json(text)?)));
    }
    let fields = match parse_ddl(text)? {
        DataType::Struct(fields) => fields,
        other => vec![Field::new("value", other, true)].into(),
    };
    Ok(Arc::new(Schema::new(fields)))
}

/// The parts of a name: `` a.`b.c` `` is `a` and `b.c`.
///
/// # Errors
/// A `ParseException`.
pub fn parse_identifier(text: &str) -> Result<Vec<String>, SparkError> {
    Parser::whole(text, None, Parser::multipart_name)
}

/// A name of several parts as text that [`parse_identifier`] splits again: quoted where it must be.
pub fn quoted(parts: &[String]) -> String {
    let plain = |part: &str| !part.is_empty() && part.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
    let shown =
        parts.iter().map(|part| if plain(part) { part.clone() } else { format!("`{}`", part.replace('`', "``")) });
    shown.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests;
