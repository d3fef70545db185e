//! `schema_of_json`, `schema_of_csv`: the type of one constant text, as DDL.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;
use millstream_formats::csv::{self, CsvReadOptions, Tokenizer, Tokens};
use millstream_formats::json::{self, JsonReadOptions};
use millstream_formats::types;

use super::options::{constant_text, options, settings};
use crate::arguments::expect_count;
use crate::{FunctionContext, Typed};

pub(super) fn schema_of_json(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[1, 2])?;
    let text = constant_text(name, arguments, 0, "json")?;
    let read = JsonReadOptions::parse(&options(arguments, 1)?, &settings(context)?)?;
    let found = json::schema_of(&text, Arc::new(read))?.unwrap_or(DataType::Utf8);
    Ok(Typed::literal(ScalarValue::Utf8(Some(types::sql_name(&found)))))
}

pub(super) fn schema_of_csv(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[1, 2])?;
    let text = constant_text(name, arguments, 0, "csv")?;
    let mut read = CsvReadOptions::parse(&options(arguments, 1)?, &settings(context)?)?;
    (read.header, read.infer_schema) = (false, true);
    let read = Arc::new(read);
    let mut tokens = Tokens::default();
    Tokenizer::new(&read).line(&text, &mut tokens);
    let mut inference = csv::SchemaInference::new(csv::header_names(&tokens, &read, true), Arc::clone(&read));
    inference.add_line(&text);
    let found = DataType::Struct(inference.finish());
    Ok(Typed::literal(ScalarValue::Utf8(Some(types::sql_name(&found)))))
}
