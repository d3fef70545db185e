//! Records of a file, or texts of a column, as rows; what becomes of bad records.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Fields};

use super::convert::{Converter, Row, data_fields};
use super::options::JsonReadOptions;
use super::tape::{Kind, Tape};
use crate::condition::{ExceptionClass, SparkError};
use crate::record::{Column, Fit, ParseMode, as_nullable};

/// Reads one JSON document after the other into rows of a schema.
///
/// A document is an object (one row) or, where that is allowed, an array of objects (a row each). Bad records are treated by
/// the mode of the options. The rows are held until [`RecordReader::finish`].
#[derive(Debug)]
pub struct RecordReader {
    options: Arc<JsonReadOptions>,
    tape: Tape,
    row: Row,
    /// Text of bad records and where its column stands in the schema.
    corrupt: Option<(usize, Column)>,
    arrays: bool,
}

impl RecordReader {
    /// A reader of rows with these fields; `arrays` allows arrays of objects at the root.
    ///
    /// # Errors
    /// A type that cannot be read, a corrupt-record column that is no string.
    pub fn new(fields: &Fields, options: Arc<JsonReadOptions>, arrays: bool) -> Result<Self, SparkError> {
        let corrupt = corrupt_column(fields, &options.corrupt_column)?;
        let row = Row::new(data_fields(fields, &options.corrupt_column))?;
        Ok(Self { options, tape: Tape::default(), row, corrupt, arrays })
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.row.rows()
    }

    /// Adds the rows of a record; a blank one has none.
    ///
    /// # Errors
    /// A bad record, in mode `FAILFAST`.
    pub fn push(&mut self, record: &str) -> Result<(), SparkError> {
        let before = self.row.rows();
        let good = match self.tape.read(record, &self.options.syntax) {
            Ok(false) => return Ok(()),
            Ok(true) => self.push_root(record),
            Err(_) => None,
        };
        match good {
            Some(true) => self.note(before, None),
            Some(false) => return self.bad(before, record),
            None => {
                self.row.truncate(before);
                self.row.push_null();
                return self.bad(before, record);
            }
        }
        Ok(())
    }

    /// Adds a record whose bytes are not text.
    ///
    /// # Errors
    /// Mode `FAILFAST`.
    pub fn push_undecodable(&mut self, record: &[u8]) -> Result<(), SparkError> {
        let before = self.row.rows();
        self.row.push_null();
        self.bad(before, &String::from_utf8_lossy(record))
    }

    /// Whether the document that was read is wholly good; absent if it has no rows to keep.
    fn push_root(&mut self, record: &str) -> Option<bool> {
        let converter = Converter { tape: &self.tape, source: record, options: &self.options };
        match self.tape.node(0).kind {
            Kind::Object => Some(self.row.push_object(&converter, 0) == Fit::Whole),
            Kind::Array if self.arrays => {
                let mut whole = true;
                for element in self.tape.elements(0) {
                    if self.tape.node(element).kind != Kind::Object {
                        return None;
                    }
                    whole &= self.row.push_object(&converter, element) == Fit::Whole;
                }
                Some(whole)
            }
            _ => None,
        }
    }

    /// Fills the corrupt-record column for the rows from `before` on.
    fn note(&mut self, before: usize, text: Option<&str>) {
        if let Some((_, column)) = &mut self.corrupt {
            for _ in before..self.row.rows() {
                match (&mut *column, text) {
                    (Column::String(texts), Some(text)) => texts.push(text.as_bytes()),
                    (column, _) => column.push_null(),
                }
            }
        }
    }

    fn bad(&mut self, before: usize, record: &str) -> Result<(), SparkError> {
        match self.options.mode {
            ParseMode::Permissive => self.note(before, Some(record)),
            ParseMode::DropMalformed => self.row.truncate(before),
            ParseMode::FailFast => return Err(malformed_record(record, self.options.mode)),
        }
        Ok(())
    }

    /// The columns of all rows since the last call, in the order of the schema.
    ///
    /// # Errors
    /// More than 2 GiB of text.
    pub fn finish(&mut self) -> Result<Vec<ArrayRef>, SparkError> {
        let mut arrays = self.row.columns_mut().iter_mut().map(Column::finish).collect::<Result<Vec<_>, _>>()?;
        if let Some((index, column)) = &mut self.corrupt {
            arrays.insert((*index).min(arrays.len()), column.finish()?);
        }
        Ok(arrays)
    }
}

/// Where the corrupt-record column stands, if the schema has one.
pub(crate) fn corrupt_column(fields: &Fields, name: &str) -> Result<Option<(usize, Column)>, SparkError> {
    let Some((index, field)) = fields.iter().enumerate().find(|(_, f)| f.name() == name) else { return Ok(None) };
    if field.data_type() != &DataType::Utf8 || !field.is_nullable() {
        let actual = crate::types::sql_name(field.data_type());
        return Err(SparkError::new(
            ExceptionClass::Analysis,
            "INVALID_CORRUPT_RECORD_TYPE",
            "42804",
            format!(
                "The column `{name}` for corrupt records must have the nullable STRING type, but got \"{actual}\"."
            ),
        )
        .with("columnName", format!("`{name}`"))
        .with("actualType", format!("\"{actual}\"")));
    }
    Ok(Some((index, Column::new(&DataType::Utf8)?)))
}

/// `MALFORMED_RECORD_IN_PARSING`.
pub(crate) fn malformed_record(record: &str, mode: ParseMode) -> SparkError {
    SparkError::new(
        ExceptionClass::Spark,
        "MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION",
        "22023",
        format!(
            "Malformed records are detected in record parsing: {record}.\nParse Mode: {}. To process malformed records as null \
             result, try setting the option 'mode' as 'PERMISSIVE'.",
            mode.name()
        ),
    )
    .with("badRecord", record)
    .with("failFastMode", mode.name())
}

/// `from_json`: each text as a value of a struct, array or map type.
///
/// # Errors
/// A type that cannot be read; a bad record in mode `FAILFAST`.
pub fn from_json(
    texts: &StringArray,
    data_type: &DataType,
    options: Arc<JsonReadOptions>,
) -> Result<ArrayRef, SparkError> {
    match data_type {
        DataType::Struct(fields) => structs(texts, fields, options),
        _ => collections(texts, data_type, &options),
    }
}

fn structs(texts: &StringArray, fields: &Fields, options: Arc<JsonReadOptions>) -> Result<ArrayRef, SparkError> {
    let mut reader = RecordReader::new(fields, options, false)?;
    let mut valid = Vec::with_capacity(texts.len());
    for text in texts {
        let before = reader.rows();
        if let Some(text) = text {
            reader.push(text)?;
        }
        valid.push(reader.rows() > before);
        if reader.rows() == before {
            reader.row.push_null();
            reader.note(before, None);
        }
    }
    let DataType::Struct(fields) = as_nullable(&DataType::Struct(fields.clone())) else {
        return Err(SparkError::internal("a struct that is none"));
    };
    let rows = valid.len();
    Ok(Arc::new(StructArray::try_new_with_length(fields, reader.finish()?, Some(NullBuffer::from(valid)), rows)?))
}

fn collections(texts: &StringArray, data_type: &DataType, options: &JsonReadOptions) -> Result<ArrayRef, SparkError> {
    let mut column = Column::new(data_type)?;
    let mut tape = Tape::default();
    for text in texts {
        let Some(text) = text else {
            column.push_null();
            continue;
        };
        let fit = match tape.read(text, &options.syntax) {
            Ok(false) => {
                column.push_null();
                continue;
            }
            Ok(true) => {
                let converter = Converter { tape: &tape, source: text, options };
                root_collection(&converter, &mut column)
            }
            Err(_) => {
                column.push_null();
                Fit::None
            }
        };
        if fit != Fit::Whole && options.mode == ParseMode::FailFast {
            return Err(malformed_record(text, options.mode));
        }
    }
    column.finish()
}

/// Adds the document; an object stands for an array of one object.
fn root_collection(converter: &Converter<'_>, column: &mut Column) -> Fit {
    let root = converter.tape.node(0).kind;
    if root == Kind::Object
        && let Column::List { child, .. } = column
        && matches!(child.as_ref(), Column::Struct { .. })
    {
        let fit = converter.value(0, child);
        column.close_list();
        return fit;
    }
    let fit = converter.value(0, column);
    if root == Kind::Null { Fit::None } else { fit }
}

#[cfg(test)]
mod tests {
    use arrow::array::{RecordBatch, RecordBatchOptions};
    use arrow::datatypes::{Field, Schema};
    use arrow::util::display::{ArrayFormatter, FormatOptions};

    use super::*;
    use crate::options::Options;
    use crate::record::Settings;
    use crate::zone::Zone;

    fn options(pairs: &[(&str, &str)]) -> Arc<JsonReadOptions> {
        let options: Options = pairs.iter().copied().collect();
        Arc::new(JsonReadOptions::parse(&options, &Settings::new(Zone::UTC)).unwrap())
    }

    /// Each row as text, columns separated by `|`.
    fn rows(fields: Vec<Field>, pairs: &[(&str, &str)], records: &[&str]) -> Vec<String> {
        let fields = Fields::from(fields);
        let mut reader = RecordReader::new(&fields, options(pairs), true).unwrap();
        for record in records {
            reader.push(record).unwrap();
        }
        let count = reader.rows();
        let fields: Fields =
            fields.iter().map(|f| f.as_ref().clone().with_data_type(as_nullable(f.data_type()))).collect();
        let columns = reader.finish().unwrap();
        let row_count = RecordBatchOptions::new().with_row_count(Some(count));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &row_count).unwrap();
        show(&batch)
    }

    fn show(batch: &RecordBatch) -> Vec<String> {
        let format = FormatOptions::new().with_null("null");
        let columns: Vec<_> =
            batch.columns().iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &format).unwrap()).collect();
        let row = |r| columns.iter().map(|c| c.value(r).to_string()).collect::<Vec<_>>().join("|");
        (0..batch.num_rows()).map(row).collect()
    }

    fn field(name: &str, data_type: DataType) -> Field {
        Field::new(name, data_type, true)
    }

    #[test]
    fn a_field_that_does_not_fit_is_null_and_the_others_are_kept() {
        let fields = vec![
            field("a", DataType::Int32),
            field("b", DataType::Utf8),
            field("c", DataType::Float64),
            field("d", DataType::Boolean),
        ];
        let records = [
            r#"{"a": "abc", "b": "keep", "c": 1.0, "d": true}"#,
            r#"{"a": 3000000000, "b": "overflow"}"#,
            r#"{"a": 1.5, "b": 5, "c": "2.5", "d": "true"}"#,
            r#"{"a": 7, "b": {"x": [1, 2]}, "c": 3, "d": 1}"#,
            r#"{"a": 8, "a": "x", "b": "last", "b": "wins"}"#,
        ];
        let expected = [
            "null|keep|1.0|true",
            "null|overflow|null|null",
            "null|5|null|null",
            "7|{\"x\": [1, 2]}|3.0|null",
            "8|wins|null|null",
        ];
        assert_eq!(rows(fields, &[], &records), expected);
    }

    #[test]
    fn bad_records_are_kept_dropped_or_refused_by_mode() {
        let fields =
            || vec![field("k", DataType::Utf8), field("v", DataType::Int32), field("_corrupt_record", DataType::Utf8)];
        let records = [
            r#"{"k": "a", "v": 1}"#,
            r#"{"k": "b", "v": "#,
            r#"{"k": "c", "v": "x"}"#,
            "[1, 2]",
            "",
            "  ",
            "\"s\"",
            r#"{"v": 4} x"#,
        ];
        let kept = [
            "a|1|null",
            "null|null|{\"k\": \"b\", \"v\": ",
            "c|null|{\"k\": \"c\", \"v\": \"x\"}",
            "null|null|[1, 2]",
            "null|null|\"s\"",
            "null|4|null",
        ];
        assert_eq!(rows(fields(), &[], &records), kept);
        assert_eq!(rows(fields(), &[("mode", "dropmalformed")], &records), ["a|1|null", "null|4|null"]);
        let mut reader = RecordReader::new(&fields().into(), options(&[("mode", "FAILFAST")]), true).unwrap();
        reader.push(records[0]).unwrap();
        let error = reader.push(records[2]).unwrap_err();
        assert_eq!(error.condition(), Some("MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION"));
    }

    #[test]
    fn nested_values_keep_what_fits() {
        let inner = DataType::Struct(vec![field("x", DataType::Int32), field("y", DataType::Utf8)].into());
        let fields = vec![
            field("s", inner.clone()),
            field("l", crate::types::array(DataType::Int32, true)),
            field("m", crate::types::map(DataType::Utf8, DataType::Int64, true)),
            field("ls", crate::types::array(inner, true)),
        ];
        let records = [
            r#"{"s": {"x": "bad", "y": "kept"}, "l": [1, null, 2], "m": {"a": 1, "b": null}, "ls": [{"x": 1}, {"x": "bad", "y": "q"}]}"#,
            r#"{"s": [1], "l": [1, "bad", 2], "m": {"a": "bad"}, "ls": [{"x": 5}, 6]}"#,
        ];
        let expected = [
            "{x: null, y: kept}|[1, null, 2]|{a: 1, b: null}|[{x: 1, y: null}, {x: null, y: q}]",
            "null|null|null|null",
        ];
        assert_eq!(rows(fields, &[], &records), expected);
    }

    #[test]
    fn an_array_of_objects_gives_a_row_each() {
        let fields = vec![field("k", DataType::Utf8)];
        assert_eq!(rows(fields, &[], &[r#"[{"k": "a"}, {}, {"k": 1}]"#, "[]"]), ["a", "null", "1"]);
    }

    #[test]
    fn from_json_gives_one_value_for_each_text() {
        let texts = StringArray::from(vec![Some(r#"{"a": 1}"#), Some("bad"), None, Some(""), Some("[{\"a\": 2}]")]);
        let inner = DataType::Struct(vec![field("a", DataType::Int32)].into());
        let structs = from_json(&texts, &inner, options(&[])).unwrap();
        assert_eq!((0..5).map(|i| structs.is_null(i)).collect::<Vec<_>>(), [false, false, true, true, false]);
        let lists = from_json(&texts, &crate::types::array(inner, true), options(&[])).unwrap();
        let batch = RecordBatch::try_from_iter([("l", lists)]).unwrap();
        assert_eq!(show(&batch), ["[{a: 1}]", "null", "null", "null", "[{a: 2}]"]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_odd(
            records in proptest::collection::vec("(\\PC{0,12}|[{}\\[\\]\",:0-9eE+.a-z\\\\u -]{0,40}|\\{\"a\": ?[-0-9.eE]{0,12}, \"l\": \\[[0-9,]{0,8}\\]\\})", 1..6),
        ) {
            let inner = DataType::Struct(vec![field("x", DataType::Int32)].into());
            let fields = vec![
                field("a", DataType::Decimal128(10, 2)),
                field("l", crate::types::array(DataType::Int64, true)),
                field("m", crate::types::map(DataType::Utf8, inner, true)),
                field("t", crate::types::timestamp()),
                field("_corrupt_record", DataType::Utf8),
            ];
            let options = options(&[("allowComments", "true"), ("allowUnquotedFieldNames", "true")]);
            let mut reader = RecordReader::new(&fields.into(), options, true).unwrap();
            for record in &records {
                reader.push(record).unwrap();
            }
            let count = reader.rows();
            let columns = reader.finish().unwrap();
            proptest::prop_assert!(columns.iter().all(|c| c.len() == count));
            let mut document = crate::json::Document::default();
            for record in &records {
                let mut out = String::new();
                if document.read(record) {
                    document.get(record, &crate::json::JsonPath::parse("$.a[*][0].b").unwrap(), &mut out);
                }
            }
        }
    }
}
