//! The schema of JSON documents: the narrowest types that hold all values seen.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};

use super::options::JsonReadOptions;
use super::reader::malformed_record;
use super::tape::{Kind, Tape};
use crate::condition::SparkError;
use crate::record::ParseMode;
use crate::types;

/// Looks at documents one after the other.
#[derive(Debug)]
pub struct SchemaInference {
    options: Arc<JsonReadOptions>,
    tape: Tape,
    /// Type of the root of all documents so far.
    root: DataType,
}

impl SchemaInference {
    /// Has seen nothing.
    pub fn new(options: Arc<JsonReadOptions>) -> Self {
        Self { options, tape: Tape::default(), root: DataType::Struct(Fields::empty()) }
    }

    /// Looks at a document.
    ///
    /// # Errors
    /// A bad record, in mode `FAILFAST`.
    pub fn add(&mut self, record: &str) -> Result<(), SparkError> {
        let found = match self.tape.read(record, &self.options.syntax) {
            Ok(false) => DataType::Null,
            Ok(true) => self.type_of(0, record),
            Err(_) => match self.options.mode {
                ParseMode::Permissive => corrupt(&self.options.corrupt_column),
                ParseMode::DropMalformed => return Ok(()),
                ParseMode::FailFast => return Err(malformed_record(record, ParseMode::FailFast)),
            },
        };
        let root = std::mem::replace(&mut self.root, DataType::Null);
        let merged = self.merge_roots(root, found);
        self.root = merged.ok_or_else(|| malformed_record(record, ParseMode::FailFast))?;
        Ok(())
    }

    /// The fields, sorted by name.
    pub fn finish(self) -> Fields {
        match self.canonical(&self.root) {
            Some(DataType::Struct(fields)) => fields,
            _ => Fields::empty(),
        }
    }

    fn type_of(&self, index: usize, source: &str) -> DataType {
        let node = self.tape.node(index);
        match node.kind {
            Kind::Null => DataType::Null,
            Kind::True | Kind::False if self.options.primitives_as_string => DataType::Utf8,
            Kind::True | Kind::False => DataType::Boolean,
            Kind::Integer | Kind::Float if self.options.primitives_as_string => DataType::Utf8,
            Kind::Integer => integer_type(self.tape.raw(&node, source)),
            Kind::Float if self.options.prefers_decimal => decimal_type(self.tape.raw(&node, source)),
            Kind::Float => DataType::Float64,
            Kind::String => self.string_type(self.tape.string(&node, source)),
            Kind::Array => {
                let elements = self.tape.elements(index);
                let element = elements.fold(DataType::Null, |all, e| merge(all, self.type_of(e, source)));
                types::array(element, true)
            }
            Kind::Object => {
                let mut fields: Vec<Field> = Vec::new();
                for (name, value) in self.tape.fields(index) {
                    let name = self.tape.node(name);
                    fields.push(Field::new(self.tape.string(&name, source), self.type_of(value, source), true));
                }
                fields.sort_by(|a, b| java_order(a.name(), b.name()));
                // A name that comes twice stays twice: the caller refuses such columns.
                DataType::Struct(fields.into())
            }
        }
    }

    fn string_type(&self, text: &str) -> DataType {
        if text.is_empty() {
            return DataType::Null;
        }
        if self.options.prefers_decimal {
            let found = decimal_type(&text.replace(',', ""));
            if found != DataType::Float64 {
                return found;
            }
        }
        let readers = &self.options.readers;
        if self.options.infer_timestamp && readers.timestamp_ntz(text).is_some() {
            return match self.options.timestamps_without_zone {
                true => types::timestamp_ntz(),
                false => types::timestamp(),
            };
        }
        if self.options.infer_timestamp && readers.strict_timestamp(text).is_some() {
            return types::timestamp();
        }
        DataType::Utf8
    }

    /// The type of both; none if one is no object and that is an error.
    fn merge_roots(&self, a: DataType, b: DataType) -> Option<DataType> {
        Some(match (a, b) {
            (DataType::List(item), other) => self.merge_roots(item.data_type().clone(), other)?,
            (other, DataType::List(item)) => self.merge_roots(other, item.data_type().clone())?,
            (DataType::Struct(fields), DataType::Null) | (DataType::Null, DataType::Struct(fields)) => {
                DataType::Struct(fields)
            }
            (DataType::Struct(a), DataType::Struct(b)) => merge(DataType::Struct(a), DataType::Struct(b)),
            (DataType::Struct(fields), _) | (_, DataType::Struct(fields)) => match self.options.mode {
                ParseMode::Permissive => merge(DataType::Struct(fields), corrupt(&self.options.corrupt_column)),
                ParseMode::DropMalformed => DataType::Struct(fields),
                ParseMode::FailFast => return None,
            },
            (a, b) => merge(a, b),
        })
    }

    /// Without empty structs; nulls become strings or go.
    fn canonical(&self, data_type: &DataType) -> Option<DataType> {
        match data_type {
            DataType::Null if self.options.drop_all_null => None,
            DataType::Null => Some(DataType::Utf8),
            DataType::List(item) => Some(types::array(self.canonical(item.data_type())?, true)),
            DataType::Struct(fields) => {
                let named = fields.iter().filter(|f| !f.name().is_empty());
                let kept = named.filter_map(|f| Some(Field::new(f.name(), self.canonical(f.data_type())?, true)));
                let kept: Vec<Field> = kept.collect();
                (!kept.is_empty()).then(|| DataType::Struct(kept.into()))
            }
            other => Some(other.clone()),
        }
    }
}

/// The type of one document (`schema_of_json`); none if it is blank.
///
/// # Errors
/// A document that is none.
pub fn schema_of(record: &str, options: Arc<JsonReadOptions>) -> Result<Option<DataType>, SparkError> {
    let mut inference = SchemaInference::new(options);
    match inference.tape.read(record, &inference.options.syntax) {
        Ok(false) => Ok(None),
        Ok(true) => {
            let found = inference.type_of(0, record);
            Ok(Some(inference.canonical(&found).unwrap_or(DataType::Utf8)))
        }
        Err(_) => Err(malformed_record(record, ParseMode::FailFast)),
    }
}

fn corrupt(name: &str) -> DataType {
    DataType::Struct(vec![Field::new(name, DataType::Utf8, true)].into())
}

/// By UTF-16 units, as Java compares strings.
fn java_order(a: &str, b: &str) -> std::cmp::Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

fn integer_type(text: &str) -> DataType {
    if text.parse::<i64>().is_ok() { DataType::Int64 } else { decimal_type(text) }
}

/// The decimal type of a number as it is written; double if it has more than 38 digits or is none.
pub(crate) fn decimal_type(text: &str) -> DataType {
    let unsigned = text.trim_start_matches(['-', '+']);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => match exponent.parse::<i32>() {
            Ok(exponent) => (mantissa, exponent),
            Err(_) => return DataType::Float64,
        },
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !digits(whole) || !digits(fraction) {
        return DataType::Float64;
    }
    let significant = format!("{whole}{fraction}");
    let precision = significant.trim_start_matches('0').len().max(1) as i32;
    let scale = (fraction.len() as i32).saturating_sub(exponent);
    let precision = precision.max(scale);
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(precision @ ..=38), Ok(scale)) if scale >= 0 => DataType::Decimal128(precision, scale),
        // A negative scale: as many digits in front of the point.
        (Ok(precision), Ok(scale)) if i32::from(precision) - i32::from(scale) <= 38 && scale < 0 => {
            DataType::Decimal128(precision + scale.unsigned_abs(), 0)
        }
        _ => DataType::Float64,
    }
}

/// The narrowest type for values of both.
pub(crate) fn merge(a: DataType, b: DataType) -> DataType {
    use DataType::{Boolean, Decimal128, Float64, Int64, List, Null, Struct, Timestamp, Utf8};
    match (a, b) {
        (a, b) if a == b => a,
        (Null, other) | (other, Null) => other,
        (Int64, Float64) | (Float64, Int64 | Decimal128(..)) | (Decimal128(..), Float64) => Float64,
        (Decimal128(p1, s1), Decimal128(p2, s2)) => wider_decimal(p1, s1, p2, s2),
        (Int64, Decimal128(p, s)) | (Decimal128(p, s), Int64) => wider_decimal(p, s, 20, 0),
        (Struct(a), Struct(b)) => Struct(merge_fields(&a, &b)),
        (List(a), List(b)) => types::array(merge(a.data_type().clone(), b.data_type().clone()), true),
        (Timestamp(..), Timestamp(..)) => types::timestamp(),
        (Boolean | Utf8, _) | (_, Boolean | Utf8) => Utf8,
        _ => Utf8,
    }
}

fn wider_decimal(p1: u8, s1: i8, p2: u8, s2: i8) -> DataType {
    let scale = s1.max(s2);
    let whole = (i32::from(p1) - i32::from(s1)).max(i32::from(p2) - i32::from(s2));
    match u8::try_from(whole + i32::from(scale)) {
        Ok(precision @ ..=38) => DataType::Decimal128(precision, scale),
        _ => DataType::Float64,
    }
}

/// Both are sorted by name, and so is the result.
fn merge_fields(a: &Fields, b: &Fields) -> Fields {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut merged = Vec::new();
    loop {
        let order = match (a.peek(), b.peek()) {
            (Some(x), Some(y)) => java_order(x.name(), y.name()),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => return merged.into(),
        };
        match order {
            std::cmp::Ordering::Less => merged.extend(a.next().cloned()),
            std::cmp::Ordering::Greater => merged.extend(b.next().cloned()),
            std::cmp::Ordering::Equal => {
                if let (Some(x), Some(y)) = (a.next(), b.next()) {
                    let data_type = merge(x.data_type().clone(), y.data_type().clone());
                    merged.push(Arc::new(Field::new(x.name(), data_type, true)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use crate::record::Settings;
    use crate::zone::Zone;

    fn schema(pairs: &[(&str, &str)], records: &[&str]) -> String {
        let options: Options = pairs.iter().copied().collect();
        let options = JsonReadOptions::parse(&options, &Settings::new(Zone::UTC)).unwrap();
        let mut inference = SchemaInference::new(Arc::new(options));
        for record in records {
            inference.add(record).unwrap();
        }
        types::simple_string(&DataType::Struct(inference.finish()))
    }

    #[test]
    fn types_widen_to_hold_every_value() {
        let records = [
            r#"{"b": 1, "a": "x", "c": null, "d": [], "e": {"y": true}}"#,
            r#"{"b": 1.5, "a": 2, "d": [1, 2.5], "e": {"x": 1}, "f": 12345678901234567890}"#,
        ];
        let expected =
            "struct<a:string,b:double,c:string,d:array<double>,e:struct<x:bigint,y:boolean>,f:decimal(20,0)>";
        assert_eq!(schema(&[], &records), expected);
        assert_eq!(schema(&[("primitivesAsString", "true")], &[r#"{"a": 1, "b": true}"#]), "struct<a:string,b:string>");
        assert_eq!(
            schema(&[("prefersDecimal", "true")], &[r#"{"a": 1.25}"#, r#"{"a": 10}"#]),
            "struct<a:decimal(22,2)>"
        );
        assert_eq!(schema(&[("dropFieldIfAllNull", "true")], &[r#"{"a": null, "b": 1, "c": []}"#]), "struct<b:bigint>");
    }

    #[test]
    fn bad_records_add_the_corrupt_record_column() {
        assert_eq!(schema(&[], &[r#"{"a": 1}"#, "{", "[{\"a\": 2}]"]), "struct<_corrupt_record:string,a:bigint>");
        assert_eq!(schema(&[("mode", "DROPMALFORMED")], &[r#"{"a": 1}"#, "{"]), "struct<a:bigint>");
    }
}
