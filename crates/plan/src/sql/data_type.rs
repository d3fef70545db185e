//! Types and schemas: `ARRAY<INT>`, `a INT NOT NULL COMMENT 'c', b STRUCT<x: BIGINT>`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit};
use millstream_formats::condition::SparkError;
use millstream_functions::types;

use super::parser::{Parsed, Parser};

const DECIMAL_PRECISION_MAX: i64 = 38;
/// Key of the field metadata that holds a column's comment, as JSON text.
const COMMENT: &str = "comment";

/// A type and, if Arrow cannot tell it from a wider one, its name in Spark.
type Declared = (DataType, Option<String>);

impl Parser<'_> {
    /// A type.
    pub(super) fn data_type(&mut self) -> Parsed<DataType> {
        Ok(self.declared_type()?.0)
    }

    /// A type, and its name if that says more.
    fn declared_type(&mut self) -> Parsed<Declared> {
        self.nested(Self::declared_type_here)
    }

    fn declared_type_here(&mut self) -> Parsed<Declared> {
        let mark = self.mark();
        let name = self.name()?.to_ascii_uppercase();
        match name.as_str() {
            "ARRAY" | "MAP" if !self.is_symbol("<") => Err(self.incomplete(mark, &name)),
            "STRUCT" if !self.is_symbol("<") && !self.is_symbol("<>") => Err(self.incomplete(mark, &name)),
            "ARRAY" => Ok((self.array_type()?, None)),
            "MAP" => Ok((self.map_type()?, None)),
            "STRUCT" => Ok((DataType::Struct(self.struct_fields()?), None)),
            "INTERVAL" => self.interval_type(),
            _ => self.primitive_type(mark, &name),
        }
    }

    fn array_type(&mut self) -> Parsed<DataType> {
        self.expect_symbol("<")?;
        let element = self.declared_type()?;
        self.expect_symbol(">")?;
        Ok(DataType::List(field("element", element, true)))
    }

    fn map_type(&mut self) -> Parsed<DataType> {
        self.expect_symbol("<")?;
        let key = self.declared_type()?;
        self.expect_symbol(",")?;
        let value = self.declared_type()?;
        self.expect_symbol(">")?;
        let entries = DataType::Struct(vec![field("key", key, false), field("value", value, true)].into());
        Ok(DataType::Map(Arc::new(Field::new("entries", entries, false)), false))
    }

    fn struct_fields(&mut self) -> Parsed<Fields> {
        if self.eat_symbol("<>") {
            return Ok(Fields::empty());
        }
        self.expect_symbol("<")?;
        if self.eat_symbol(">") {
            return Ok(Fields::empty());
        }
        let fields = self.comma_list(|p| p.column(true))?;
        self.expect_symbol(">")?;
        Ok(fields.into())
    }

    /// `name type [NOT NULL] [COMMENT 'text']`; inside a struct a colon may follow the name.
    fn column(&mut self, colon: bool) -> Parsed<FieldRef> {
        let name = self.plain_name()?;
        if colon {
            self.eat_symbol(":");
        }
        let declared = self.declared_type()?;
        let nullable =
            !(self.eat(&["NOT", "NULL"]) || self.is_symbol("!") && self.is_word_at(1, "NULL") && self.eat_not_null());
        let column = field(&name, declared, nullable);
        if !self.eat(&["COMMENT"]) {
            return Ok(column);
        }
        let mut metadata = column.metadata().clone();
        metadata.insert(COMMENT.to_string(), serde_json::Value::String(self.string()?).to_string());
        Ok(Arc::new(Field::clone(&column).with_metadata(metadata)))
    }

    fn eat_not_null(&mut self) -> bool {
        self.eat_symbol("!") && self.eat(&["NULL"])
    }

    /// One column of a table.
    pub(super) fn one_column(&mut self) -> Parsed<FieldRef> {
        self.column(false)
    }

    /// The columns of a table.
    pub(super) fn columns(&mut self) -> Parsed<Fields> {
        Ok(self.comma_list(|p| p.column(false))?.into())
    }

    /// The columns of a table where a colon may follow each name.
    pub(super) fn columns_with_colons(&mut self) -> Parsed<Fields> {
        Ok(self.comma_list(|p| p.column(true))?.into())
    }

    /// What follows `INTERVAL`: `YEAR TO MONTH`, `DAY TO SECOND` and their parts, or nothing.
    fn interval_type(&mut self) -> Parsed<Declared> {
        const YEAR_MONTH: [&str; 2] = ["YEAR", "MONTH"];
        const DAY_TIME: [&str; 4] = ["DAY", "HOUR", "MINUTE", "SECOND"];
        let mark = self.mark();
        let (units, data_type): (&[&str], _) = if self.is_one_of_at(0, &YEAR_MONTH) {
            (&YEAR_MONTH, DataType::Interval(IntervalUnit::YearMonth))
        } else if self.is_one_of_at(0, &DAY_TIME) {
            (&DAY_TIME, types::day_time_interval())
        } else {
            return Ok((DataType::Interval(IntervalUnit::MonthDayNano), None));
        };
        let rank = |unit: Option<&str>| units.iter().position(|u| Some(*u) == unit);
        let from = rank(self.eat_one_of(units));
        if self.eat(&["TO"]) {
            let to = self.eat_one_of(units);
            if to.is_none() {
                return Err(self.unexpected());
            }
            if rank(to) <= from {
                let range = self.slice_from(mark).to_ascii_lowercase();
                let sentence = format!("Intervals FROM {} TO {} are not supported.", first(&range), last(&range));
                return Err(self.invalid(mark, "_LEGACY_ERROR_TEMP_0028", "", sentence));
            }
        }
        let range = self.slice_from(mark).to_ascii_lowercase();
        let range = range.split_whitespace().collect::<Vec<_>>().join(" ");
        let widest = matches!(range.as_str(), "year to month" | "day to second");
        Ok((data_type, (!widest).then(|| format!("interval {range}"))))
    }

    fn primitive_type(&mut self, mark: usize, name: &str) -> Parsed<Declared> {
        let sizes = if self.is_symbol("(") { self.parenthesised_list(Self::integer)? } else { Vec::new() };
        let sizes = sizes.as_slice();
        match (name, sizes) {
            ("CHAR" | "CHARACTER", [length]) => return Ok((DataType::Utf8, Some(format!("char({length})")))),
            ("VARCHAR", [length]) => return Ok((DataType::Utf8, Some(format!("varchar({length})")))),
            ("CHAR" | "CHARACTER" | "VARCHAR", []) => return Err(self.missing_size(mark, name)),
            ("TIME", [digits @ 0..=5]) => return Ok((types::time(), Some(format!("time({digits})")))),
            _ => {}
        }
        let data_type = match (name, sizes) {
            ("BOOLEAN", []) => DataType::Boolean,
            ("TINYINT" | "BYTE", []) => DataType::Int8,
            ("SMALLINT" | "SHORT", []) => DataType::Int16,
            ("INT" | "INTEGER", []) => DataType::Int32,
            ("BIGINT" | "LONG", []) => DataType::Int64,
            ("FLOAT" | "REAL", []) => DataType::Float32,
            ("DOUBLE", []) => DataType::Float64,
            ("DATE", []) => DataType::Date32,
            ("TIMESTAMP" | "TIMESTAMP_LTZ", []) => types::timestamp(),
            ("TIMESTAMP_NTZ", []) => types::timestamp_ntz(),
            ("TIME", [] | [6]) => types::time(),
            ("STRING", []) => self.collated_string()?,
            ("BINARY", []) => DataType::Binary,
            ("DECIMAL" | "DEC" | "NUMERIC", sizes) if sizes.len() <= 2 => self.decimal_type(mark, sizes)?,
            ("VOID", []) => DataType::Null,
            ("VARIANT", []) => types::variant(),
            _ => return Err(self.unsupported_type(mark)),
        };
        Ok((data_type, None))
    }

    /// `STRING COLLATE name`: only the collation by bytes.
    fn collated_string(&mut self) -> Parsed<DataType> {
        if self.eat(&["COLLATE"]) {
            self.collation()?;
        }
        Ok(DataType::Utf8)
    }

    /// The name of a collation; all but `UTF8_BINARY` are refused.
    pub(super) fn collation(&mut self) -> Parsed<()> {
        let name = self.multipart_name()?.join(".");
        if name.eq_ignore_ascii_case("UTF8_BINARY") || name.eq_ignore_ascii_case("system.builtin.UTF8_BINARY") {
            Ok(())
        } else {
            Err(SparkError::unsupported(format!("The collation {name}")))
        }
    }

    fn decimal_type(&self, mark: usize, sizes: &[i64]) -> Parsed<DataType> {
        let precision = sizes.first().copied().unwrap_or(10);
        let scale = sizes.get(1).copied().unwrap_or(0);
        if scale > precision {
            let sentence = format!("Decimal scale ({scale}) cannot be greater than precision ({precision}).");
            return Err(self.invalid(mark, "INVALID_DECIMAL_SCALE", "22023", sentence));
        }
        if precision > DECIMAL_PRECISION_MAX {
            let sentence = format!("Decimal precision {precision} exceeds max precision {DECIMAL_PRECISION_MAX}.");
            return Err(self.invalid(mark, "DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION", "22003", sentence));
        }
        match (u8::try_from(precision), i8::try_from(scale)) {
            (Ok(precision), Ok(scale)) => Ok(DataType::Decimal128(precision, scale)),
            _ => Err(self.unsupported_type(mark)),
        }
    }

    fn unsupported_type(&self, mark: usize) -> SparkError {
        let name = format!("\"{}\"", self.slice_from(mark).to_ascii_uppercase());
        let sentence = format!("Unsupported data type {name}.");
        self.invalid(mark, "UNSUPPORTED_DATATYPE", "0A000", sentence).with("typeName", name)
    }

    fn missing_size(&self, mark: usize, name: &str) -> SparkError {
        let sentence = format!(
            "DataType \"{name}\" requires a length parameter, for example \"{name}\"(10). Please specify the length."
        );
        self.invalid(mark, "DATATYPE_MISSING_SIZE", "42K01", sentence).with("type", format!("\"{name}\""))
    }

    fn incomplete(&self, mark: usize, name: &str) -> SparkError {
        let (kind, advice) = match name {
            "ARRAY" => ("ARRAY", "You must provide an element type. For example: \"ARRAY<elementType>\"."),
            "MAP" => ("MAP", "You must provide a key type and a value type. For example: \"MAP<TIMESTAMP, INT>\"."),
            _ => {
                ("STRUCT", "You must provide at least one field type. For example: \"STRUCT<name STRING, count INT>\".")
            }
        };
        let sentence = format!("Incomplete complex type: The definition of \"{kind}\" type is incomplete. {advice}");
        self.invalid(mark, &format!("INCOMPLETE_TYPE_DEFINITION.{kind}"), "42K01", sentence)
    }
}

/// A field; what Arrow cannot tell of its type is kept beside it.
fn field(name: &str, (data_type, declared): Declared, nullable: bool) -> FieldRef {
    let metadata = declared.map(|declared| (types::DECLARED_TYPE.to_string(), declared)).into_iter().collect();
    Arc::new(Field::new(name, data_type, nullable).with_metadata(metadata))
}

fn first(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or("")
}

fn last(text: &str) -> &str {
    text.split_whitespace().last().unwrap_or("")
}
