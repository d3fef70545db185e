//! The schema of CSV files: names out of the header, types out of the values if asked for.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};

use super::options::CsvReadOptions;
use super::tokens::{Tokenizer, Tokens};
use crate::json::decimal_type;
use crate::text;
use crate::types;

/// Names of the columns, given the first record: its values, or `_c0`, `_c1`, … without a header.
///
/// A missing name becomes `_c<n>`; names that occur twice get their number appended.
pub fn header_names(first: &Tokens, options: &CsvReadOptions, case_sensitive: bool) -> Vec<String> {
    if !options.header {
        return (0..first.len()).map(|i| format!("_c{i}")).collect();
    }
    let missing = options.null_value.as_str();
    let value = |i| first.get(i, missing, &options.empty_value).filter(|v| !v.is_empty() && *v != missing);
    let folded = |name: &str| if case_sensitive { name.to_string() } else { name.to_lowercase() };
    let all: Vec<Option<String>> = (0..first.len()).map(|i| value(i).map(folded)).collect();
    let twice = |name: &str| all.iter().flatten().filter(|n| **n == folded(name)).count() > 1;
    let name = |i| match value(i) {
        None => format!("_c{i}"),
        Some(name) if twice(name) => format!("{name}{i}"),
        Some(name) => name.to_string(),
    };
    (0..first.len()).map(name).collect()
}

/// Looks at records one after the other.
#[derive(Debug)]
pub struct SchemaInference {
    options: Arc<CsvReadOptions>,
    names: Vec<String>,
    found: Vec<DataType>,
    tokens: Tokens,
}

impl SchemaInference {
    /// Has seen nothing; columns have these names.
    pub fn new(names: Vec<String>, options: Arc<CsvReadOptions>) -> Self {
        let found = vec![DataType::Null; names.len()];
        Self { options, names, found, tokens: Tokens::default() }
    }

    /// Looks at a line.
    pub fn add_line(&mut self, line: &str) {
        let options = Arc::clone(&self.options);
        let tokenizer = Tokenizer::new(&options);
        if !tokenizer.skips(line) {
            tokenizer.line(line, &mut self.tokens);
            self.add_tokens();
        }
    }

    /// Looks at the record at `at` of a whole file and moves on; false if there is none.
    pub fn add_next(&mut self, text: &str, at: &mut usize) -> bool {
        let options = Arc::clone(&self.options);
        let found = Tokenizer::new(&options).next(text, at, &mut self.tokens);
        if found {
            self.add_tokens();
        }
        found
    }

    fn add_tokens(&mut self) {
        let options = Arc::clone(&self.options);
        let (missing, empty) = (options.null_value.as_str(), options.empty_value.as_str());
        for (index, found) in self.found.iter_mut().enumerate() {
            let value = self.tokens.get(index, missing, empty);
            let Some(value) = value.filter(|v| !v.is_empty() && *v != missing) else { continue };
            let known = std::mem::replace(found, DataType::Null);
            *found = wider(&known, type_of(value, &known, &options));
        }
    }

    /// The columns; those without any value are strings.
    pub fn finish(self) -> Fields {
        let infer = self.options.infer_schema;
        let data_type = |found: DataType| if !infer || found == DataType::Null { DataType::Utf8 } else { found };
        self.names
            .iter()
            .zip(self.found)
            .map(|(name, found)| Field::new(name, data_type(found), true))
            .collect::<Vec<_>>()
            .into()
    }
}

/// The narrowest type of a value; types narrower than the known one need not be tried.
fn type_of(value: &str, known: &DataType, options: &CsvReadOptions) -> DataType {
    let number = matches!(
        known,
        DataType::Null | DataType::Int32 | DataType::Int64 | DataType::Decimal128(..) | DataType::Float64
    );
    if known == &DataType::Utf8 {
        return DataType::Utf8;
    }
    if number {
        if value.parse::<i32>().is_ok() {
            return DataType::Int32;
        }
        if value.parse::<i64>().is_ok() {
            return DataType::Int64;
        }
        if let DataType::Decimal128(precision, 0) = decimal_type(&value.replace(',', "")) {
            return DataType::Decimal128(precision, 0);
        }
        let special = value == options.nan || value == options.negative_infinity || value == options.positive_infinity;
        if special || text::parse_f64(value).is_some() {
            return DataType::Float64;
        }
    }
    if options.prefer_date
        && known != &types::timestamp()
        && options.readers.strict_date(value).is_some()
        && is_date(value)
    {
        return DataType::Date32;
    }
    if options.readers.timestamp_ntz(value).is_some() && options.timestamps_without_zone {
        return types::timestamp_ntz();
    }
    if options.readers.strict_timestamp(value).is_some() {
        return types::timestamp();
    }
    if value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false") {
        return DataType::Boolean;
    }
    DataType::Utf8
}

/// Whether there is a date only: casts take a date out of a timestamp too.
fn is_date(value: &str) -> bool {
    !value.contains(['T', ':'])
}

fn wider(known: &DataType, found: DataType) -> DataType {
    use DataType::{Date32, Decimal128, Float64, Int32, Int64, Null, Timestamp, Utf8};
    match (known, found) {
        (Null, found) => found,
        (known, found) if *known == found => found,
        (Int64, Int32) | (Int32, Int64) => Int64,
        (Float64, Int32 | Int64 | Decimal128(..)) | (Int32 | Int64 | Decimal128(..), Float64) => Float64,
        (Decimal128(p, s), Decimal128(q, t)) => Decimal128((*p).max(q), (*s).max(t)),
        (Decimal128(p, s), Int32 | Int64) => Decimal128((*p).max(20), *s),
        (Int32 | Int64, Decimal128(p, s)) => Decimal128(p.max(20), s),
        (Date32, found @ Timestamp(..)) => found,
        (known @ Timestamp(..), Date32) => known.clone(),
        _ => Utf8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use crate::record::Settings;
    use crate::zone::Zone;

    fn schema(pairs: &[(&str, &str)], lines: &[&str]) -> String {
        let options: Options = pairs.iter().copied().collect();
        let options = Arc::new(CsvReadOptions::parse(&options, &Settings::new(Zone::UTC)).unwrap());
        let mut tokens = Tokens::default();
        Tokenizer::new(&options).line(lines[0], &mut tokens);
        let names = header_names(&tokens, &options, false);
        let mut inference = SchemaInference::new(names, Arc::clone(&options));
        for line in lines.iter().skip(usize::from(options.header)) {
            inference.add_line(line);
        }
        types::simple_string(&DataType::Struct(inference.finish()))
    }

    #[test]
    fn names_come_from_the_header_and_types_from_the_values() {
        let lines = [
            "a,A,,d,e,f,g",
            "1,1.5,true,2024-01-01,2024-01-01 10:00:00,x,",
            "5000000000,2,false,2024-01-02,2024-01-02,2,",
        ];
        let expected = "struct<a0:bigint,A1:double,_c2:boolean,d:date,e:timestamp,f:string,g:string>";
        assert_eq!(schema(&[("header", "true"), ("inferSchema", "true")], &lines), expected);
        assert_eq!(schema(&[], &["1,2"]), "struct<_c0:string,_c1:string>");
        assert_eq!(
            schema(&[("inferSchema", "true")], &["1,99999999999999999999"]),
            "struct<_c0:int,_c1:decimal(20,0)>"
        );
    }
}
