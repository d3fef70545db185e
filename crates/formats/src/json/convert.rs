//! Documents become rows: each value is put into the column of its field by the rules of Spark's parser.
//!
//! A value of another type than its field's makes the field null and the record bad, the other fields keep their values
//! (partial results). A syntax error makes all of them null. Not here: what becomes of a bad record ([`super::RecordReader`]).

use arrow::datatypes::{Field, Fields};

use super::document::write_compact;
use super::options::JsonReadOptions;
use super::tape::{Kind, Node, Tape};
use crate::condition::SparkError;
use crate::record::{Column, Fit};
use crate::text;

/// Puts the values of a tape into columns.
pub(crate) struct Converter<'a> {
    pub tape: &'a Tape,
    pub source: &'a str,
    pub options: &'a JsonReadOptions,
}

/// The columns of an object's fields.
#[derive(Debug)]
pub(crate) struct Row {
    names: Vec<String>,
    columns: Vec<Column>,
    rows: usize,
}

impl Row {
    /// Columns of these fields.
    ///
    /// # Errors
    /// A type that cannot be read.
    pub fn new<'f>(fields: impl Iterator<Item = &'f Field> + Clone) -> Result<Self, SparkError> {
        Ok(Self {
            names: fields.clone().map(|f| f.name().clone()).collect(),
            columns: fields.map(|f| Column::new(f.data_type())).collect::<Result<_, _>>()?,
            rows: 0,
        })
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The columns, to be finished.
    pub fn columns_mut(&mut self) -> &mut [Column] {
        self.rows = 0;
        &mut self.columns
    }

    /// Adds a row without values.
    pub fn push_null(&mut self) {
        self.columns.iter_mut().for_each(Column::push_null);
        self.rows += 1;
    }

    /// Takes back all rows but the first `rows`.
    pub fn truncate(&mut self, rows: usize) {
        self.columns.iter_mut().for_each(|c| c.truncate(rows));
        self.rows = rows;
    }

    /// Adds the fields of an object as a row.
    pub fn push_object(&mut self, converter: &Converter<'_>, object: usize) -> Fit {
        let fit = converter.fields(object, self.names.as_slice(), &mut self.columns, self.rows, true);
        self.rows += 1;
        fit
    }
}

impl Converter<'_> {
    fn string(&self, node: &Node) -> &str {
        self.tape.string(node, self.source)
    }

    /// Adds a value to a column: always one row, null unless the value fits.
    pub fn value(&self, index: usize, column: &mut Column) -> Fit {
        let node = self.tape.node(index);
        let rows = column.len();
        if node.kind == Kind::Null {
            column.push_null();
            return Fit::Whole;
        }
        let fit = match column {
            Column::Struct { .. } | Column::List { .. } | Column::Map { .. } => self.nested(index, &node, column),
            _ => self.scalar(index, &node, column).map_or(Fit::None, |()| Fit::Whole),
        };
        if fit == Fit::None {
            column.truncate(rows);
            column.push_null();
        }
        fit
    }

    fn nested(&self, index: usize, node: &Node, column: &mut Column) -> Fit {
        match (column, node.kind) {
            (Column::Struct { fields, children, valid }, Kind::Object) => {
                let fit = self.fields(index, fields, children, valid.len(), false);
                valid.push(true);
                fit
            }
            (column @ Column::List { .. }, Kind::Array) => self.list(index, column),
            (column @ Column::Map { .. }, Kind::Object) => self.map(index, column),
            _ => Fit::None,
        }
    }

    /// Adds the elements of an array as a row of a list column.
    pub fn list(&self, array: usize, column: &mut Column) -> Fit {
        let mut fit = Fit::Whole;
        let Column::List { child, .. } = column else { return Fit::None };
        for element in self.tape.elements(array) {
            match self.value(element, child) {
                Fit::Whole => {}
                Fit::Partial => fit = Fit::Partial,
                Fit::None => return Fit::None,
            }
        }
        column.close_list();
        fit
    }

    fn map(&self, object: usize, column: &mut Column) -> Fit {
        let mut fit = Fit::Whole;
        let Column::Map { keys, values, .. } = column else { return Fit::None };
        let Column::String(texts) = keys.as_mut() else { return Fit::None };
        for (name, value) in self.tape.fields(object) {
            texts.push(self.string(&self.tape.node(name)).as_bytes());
            match self.value(value, values) {
                Fit::Whole => {}
                Fit::Partial => fit = Fit::Partial,
                Fit::None => return Fit::None,
            }
        }
        column.close_list();
        fit
    }

    /// Adds one row to each of the columns: the fields of an object by name, null where there is none.
    fn fields(
        &self,
        object: usize,
        names: &(impl Names + ?Sized),
        columns: &mut [Column],
        rows: usize,
        root: bool,
    ) -> Fit {
        let mut fit = Fit::Whole;
        // Documents mostly have their fields in the order of the schema, so the search begins after the last field found.
        let mut expected = 0;
        for (name, value) in self.tape.fields(object) {
            let name = self.tape.node(name);
            let name = self.string(&name);
            let found = names.find(expected, name);
            let Some((at, column)) = found.and_then(|at| Some((at, columns.get_mut(at)?))) else { continue };
            expected = at + 1;
            let fits = if column.len() > rows { self.replace(value, column, rows) } else { self.value(value, column) };
            match fits {
                Fit::Whole => {}
                Fit::None if !root && !self.options.partial_results => return self.no_fields(columns, rows),
                Fit::Partial | Fit::None => fit = Fit::Partial,
            }
        }
        for column in columns {
            if column.len() == rows {
                column.push_null();
            }
        }
        fit
    }

    fn no_fields(&self, columns: &mut [Column], rows: usize) -> Fit {
        for column in columns {
            column.truncate(rows);
            column.push_null();
        }
        Fit::None
    }

    /// A field that comes again: the last value that fits counts.
    fn replace(&self, value: usize, column: &mut Column, rows: usize) -> Fit {
        let Ok(mut probe) = Column::new(&column.data_type()) else { return Fit::None };
        let fit = self.value(value, &mut probe);
        if fit != Fit::None {
            column.truncate(rows);
            self.value(value, column);
        }
        fit
    }

    /// Adds a value to a column that is neither struct, list nor map; absent if it does not fit, and then nothing was added.
    fn scalar(&self, index: usize, node: &Node, column: &mut Column) -> Option<()> {
        let raw = || self.tape.raw(node, self.source);
        let integer = || if node.kind == Kind::Integer { raw().parse::<i64>().ok() } else { None };
        let number = matches!(node.kind, Kind::Integer | Kind::Float);
        let string = || if node.kind == Kind::String { Some(self.string(node)) } else { None };
        let filled = || string().filter(|s| !s.is_empty());
        match column {
            Column::String(texts) => match node.kind {
                Kind::String => texts.push(self.string(node).as_bytes()),
                _ if self.options.exact_strings => texts.push(raw().as_bytes()),
                _ => {
                    let mut text = String::new();
                    write_compact(self.tape, index, self.source, &mut text);
                    texts.push(text.as_bytes());
                }
            },
            Column::Int(fill) => fill.push(i32::try_from(integer()?).ok()?),
            Column::Long(fill) => fill.push(integer()?),
            Column::Short(fill) => fill.push(i16::try_from(integer()?).ok()?),
            // Java's parser takes unsigned bytes too.
            Column::Byte(fill) => fill.push(integer().filter(|v| (-128..=255).contains(v))? as i8),
            Column::Boolean(fill) => match node.kind {
                Kind::True => fill.push(true),
                Kind::False => fill.push(false),
                _ => return None,
            },
            Column::Double(fill) => match number {
                true => fill.push(float(raw())?),
                false => fill.push(f64::from(self.special_float(filled()?)?)),
            },
            Column::Float(fill) => match number {
                true if raw().ends_with(|c: char| c.is_ascii_digit()) => fill.push(raw().parse().ok()?),
                true => fill.push(float(raw())? as f32),
                false => fill.push(self.special_float(filled()?)?),
            },
            Column::Decimal(fill, precision, scale) => {
                let text = if number { raw().to_string() } else { filled()?.replace(',', "") };
                fill.push(decimal(&text, *precision, *scale)?);
            }
            Column::Timestamp(fill) => match node.kind {
                Kind::Integer => fill.push(integer()?.wrapping_mul(1_000_000)),
                _ => fill.push(self.options.readers.timestamp(filled()?)?),
            },
            Column::TimestampNtz(fill) => fill.push(self.options.readers.timestamp_ntz(filled()?)?),
            Column::Date(fill) => fill.push(self.options.readers.date(filled()?)?),
            Column::Time(fill) => fill.push(self.options.readers.time(filled()?)?),
            Column::Binary(bytes) => bytes.push(&base64(string()?)?),
            Column::YearMonth(fill) => fill.push(text::parse_year_month(string()?)?),
            Column::DayTime(fill) => fill.push(text::parse_day_time(string()?)?),
            Column::Interval(fill) => {
                let interval = text::parse_calendar(string()?).ok()?;
                let nanoseconds = interval.micros.checked_mul(1000)?;
                fill.push(arrow::datatypes::IntervalMonthDayNano::new(interval.months, interval.days, nanoseconds));
            }
            Column::Null(rows) => *rows += 1,
            Column::Struct { .. } | Column::List { .. } | Column::Map { .. } => return None,
        }
        Some(())
    }

    /// A number that JSON has no literal for, as a string.
    fn special_float(&self, text: &str) -> Option<f32> {
        match text {
            _ if !self.options.allow_nan => None,
            "NaN" => Some(f32::NAN),
            "+INF" | "+Infinity" | "Infinity" => Some(f32::INFINITY),
            "-INF" | "-Infinity" => Some(f32::NEG_INFINITY),
            _ => None,
        }
    }
}

/// The names of columns.
trait Names {
    fn name(&self, index: usize) -> Option<&str>;

    /// Index of a name; tried at `expected` first.
    fn find(&self, expected: usize, name: &str) -> Option<usize> {
        if self.name(expected) == Some(name) {
            return Some(expected);
        }
        (0..).map_while(|i| self.name(i)).position(|n| n == name)
    }
}

impl Names for [String] {
    fn name(&self, index: usize) -> Option<&str> {
        self.get(index).map(String::as_str)
    }
}

impl Names for Fields {
    fn name(&self, index: usize) -> Option<&str> {
        self.get(index).map(|f| f.name().as_str())
    }
}

/// A literal of the tape as a double.
fn float(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "INF" | "+INF" | "Infinity" | "+Infinity" => Some(f64::INFINITY),
        "-INF" | "-Infinity" => Some(f64::NEG_INFINITY),
        other => other.parse().ok(),
    }
}

/// A decimal of a type, rounded half up; absent if it is none or does not fit.
pub(crate) fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    match text::parse_decimal(text, precision, scale) {
        text::ParsedDecimal::Value(value) => Some(value),
        _ => None,
    }
}

/// The bytes of a text in base 64, with padding; absent if it is none.
fn base64(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len() / 4 * 3);
    if !bytes.len().is_multiple_of(4) {
        return None;
    }
    for (number, group) in bytes.chunks(4).enumerate() {
        let last = (number + 1) * 4 == bytes.len();
        let padding = group.iter().rev().take_while(|b| **b == b'=').count();
        if padding > 2 || (padding > 0 && !last) {
            return None;
        }
        let mut bits = 0u32;
        for byte in group.iter().take(4 - padding) {
            bits = bits << 6 | u32::from(sextet(*byte)?);
        }
        bits <<= 6 * padding as u32;
        out.extend_from_slice(bits.to_be_bytes().get(1..4 - padding)?);
    }
    Some(out)
}

fn sextet(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

/// The struct fields that are read: all but the corrupt-record column.
pub(crate) fn data_fields<'a>(fields: &'a Fields, corrupt: &'a str) -> impl Iterator<Item = &'a Field> + Clone {
    fields.iter().map(AsRef::as_ref).filter(move |f: &&Field| f.name() != corrupt)
}
