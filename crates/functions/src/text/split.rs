//! `split(text, pattern[, limit])`.
//!
//! The word count spends its time here, so a separator without operators runs on `memchr`, and elements go straight into the
//! buffers of the result.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Int32Type};
use datafusion::logical_expr::ColumnarValue;
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::{ExceptionClass, SparkError};

use super::java_regex::{Pattern, PatternColumn, next_start};
use crate::arguments::expect_count;
use crate::coerce::{self, Expected};
use crate::kernel::{self, Kernel, from_datafusion};
use crate::rows::{StringElements, nulls_of, offset, string_lists};
use crate::{FunctionContext, Typed, types};

/// Builds `split`.
pub fn split(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[2, 3])?;
    let mut arguments =
        coerce::arguments(name, arguments, &[Expected::STRING, Expected::STRING, Expected::INT], context)?;
    if arguments.len() == 2 {
        arguments.push(Typed::literal(ScalarValue::Int32(Some(-1))));
    }
    let nullable = arguments.iter().any(|a| a.nullable);
    let kernel = Kernel::new(name, types::array(DataType::Utf8, false), nullable);
    Ok(kernel.columnar(&arguments, |values, rows| {
        let constant = values.iter().all(|v| matches!(v, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { rows };
        let result = split_columns(values, rows)?;
        if constant {
            return ScalarValue::try_from_array(&result, 0).map(ColumnarValue::Scalar).map_err(from_datafusion);
        }
        Ok(ColumnarValue::Array(result))
    }))
}

fn split_columns(values: &[ColumnarValue], rows: usize) -> Result<ArrayRef, SparkError> {
    let [texts, patterns, limits] = values else { return Err(SparkError::internal("split has three arguments")) };
    let texts = texts.to_array(rows).map_err(from_datafusion)?;
    if let (
        ColumnarValue::Scalar(ScalarValue::Utf8(Some(pattern))),
        ColumnarValue::Scalar(ScalarValue::Int32(Some(limit))),
    ) = (patterns, limits)
    {
        let limit = *limit;
        let strings = kernel::string(&texts)?;
        let mut compiled = PatternColumn::default();
        // An invalid pattern shows when there is a row to split, as in Spark.
        if strings.len() == strings.null_count() {
            return string_lists(rows, texts.logical_nulls(), |_, _| Ok(()));
        }
        let separator = Separator::new(pattern, limit, &mut compiled)?;
        match (&separator, limit) {
            (Separator::Byte(byte), ..=0) => {
                let pieces_max = memchr::memchr_iter(*byte, used_bytes(strings)).count();
                return split_column(strings, pieces_max, |text| memchr::memchr_iter(*byte, text).map(|at| at..at + 1));
            }
            (Separator::Run(separates), ..=0) => return split_column(strings, 0, |text| runs(text, *separates)),
            _ => {}
        }
        return string_lists(rows, texts.logical_nulls(), |row, out| separator.split(strings.value(row), limit, out));
    }
    let patterns = patterns.to_array(rows).map_err(from_datafusion)?;
    let limits = limits.to_array(rows).map_err(from_datafusion)?;
    split_rows(&texts, &patterns, &limits, rows)
}

/// The part of a column's bytes that its rows cover.
fn used_bytes(texts: &StringArray) -> &[u8] {
    let offsets = texts.value_offsets();
    let (first, last) = (offsets.first().copied().unwrap_or(0), offsets.last().copied().unwrap_or(0));
    texts.value_data().get(first as usize..last as usize).unwrap_or_default()
}

/// The runs of bytes that separate, in order.
fn runs(text: &[u8], separates: fn(u8) -> bool) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + text.get(at..)?.iter().position(|b| separates(*b))?;
        let length = text[start..].iter().position(|b| !separates(*b)).unwrap_or(text.len() - start);
        at = start + length;
        Some(start..at)
    })
}

/// Cuts a whole column at separators that fall on character boundaries. The buffer of the pieces is allocated once, at its
/// final size at most; that of their ends for `separators` of them.
fn split_column<'a, I: Iterator<Item = Range<usize>>>(
    texts: &'a StringArray,
    separators: usize,
    find: impl Fn(&'a [u8]) -> I,
) -> Result<ArrayRef, SparkError> {
    let mut values: Vec<u8> = Vec::with_capacity(used_bytes(texts).len());
    let mut ends = Vec::with_capacity(separators + texts.len() + 1);
    let mut lists = Vec::with_capacity(texts.len() + 1);
    ends.push(0);
    lists.push(0);
    for row in 0..texts.len() {
        if texts.is_valid(row) {
            let text = texts.value(row).as_bytes();
            let mut start = 0;
            for separator in find(text) {
                values.extend_from_slice(&text[start..separator.start]);
                // No piece is longer than its text, so offsets that fitted the texts fit the pieces.
                ends.push(values.len() as i32);
                start = separator.end;
            }
            values.extend_from_slice(&text[start..]);
            ends.push(values.len() as i32);
        }
        lists.push(offset(ends.len() - 1)?);
    }
    let pieces = StringArray::try_new(OffsetBuffer::new(ScalarBuffer::from(ends)), Buffer::from_vec(values), None)?;
    let field = Arc::new(Field::new("element", DataType::Utf8, false));
    let lists = OffsetBuffer::new(ScalarBuffer::from(lists));
    Ok(Arc::new(ListArray::try_new(field, lists, Arc::new(pieces), texts.nulls().cloned())?))
}

/// Every row with a pattern and a limit of its own.
fn split_rows(texts: &ArrayRef, patterns: &ArrayRef, limits: &ArrayRef, rows: usize) -> Result<ArrayRef, SparkError> {
    let nulls = nulls_of(&[Arc::clone(texts), Arc::clone(patterns), Arc::clone(limits)]);
    let (texts, patterns): (&StringArray, &StringArray) = (kernel::string(texts)?, kernel::string(patterns)?);
    let limits = kernel::primitive::<Int32Type>(limits)?;
    let mut compiled = PatternColumn::default();
    string_lists(rows, nulls, |row, out| {
        let limit = limits.value(row);
        Separator::new(patterns.value(row), limit, &mut compiled)?.split(texts.value(row), limit, out)
    })
}

/// How rows are cut.
enum Separator<'a> {
    /// Into characters.
    Empty,
    /// At a byte.
    Byte(u8),
    /// At a text of several bytes.
    Text(Box<memchr::memmem::Finder<'a>>),
    /// At runs of bytes: `\s+` and the like.
    Run(fn(u8) -> bool),
    /// At the matches of a pattern.
    Pattern(&'a Pattern),
}

impl<'a> Separator<'a> {
    fn new(pattern: &str, _limit: i32, compiled: &'a mut PatternColumn) -> Result<Self, SparkError> {
        if pattern.is_empty() {
            return Ok(Separator::Empty);
        }
        if let Some(separates) = run_of_bytes(pattern) {
            return Ok(Separator::Run(separates));
        }
        // `split` alone lets Java's own exception through.
        let invalid = |error: SparkError| match error.condition() {
            Some("INVALID_PARAMETER_VALUE.PATTERN") => {
                SparkError::plain(ExceptionClass::IllegalArgument, format!("Invalid regular expression '{pattern}'"))
            }
            _ => error,
        };
        Ok(match compiled.get("split", pattern).map_err(invalid)? {
            Pattern::Literal(literal) => match literal.as_bytes() {
                [byte] => Separator::Byte(*byte),
                bytes => Separator::Text(Box::new(memchr::memmem::Finder::new(bytes))),
            },
            other => Separator::Pattern(other),
        })
    }

    /// At most `limit` elements if it is positive; the last one then holds the rest.
    fn split(&self, text: &str, limit: i32, out: &mut StringElements) -> Result<(), SparkError> {
        let pieces_max = usize::try_from(limit).ok().filter(|l| *l > 0).unwrap_or(usize::MAX);
        match self {
            Separator::Empty => characters(text, pieces_max, out),
            Separator::Byte(byte) => {
                let ends = memchr::memchr_iter(*byte, text.as_bytes()).map(|at| at..at + 1);
                cut(text, ends.take(pieces_max - 1), out)
            }
            Separator::Text(finder) => {
                let width = finder.needle().len();
                let ends = finder.find_iter(text.as_bytes()).map(|at| at..at + width);
                cut(text, ends.take(pieces_max - 1), out)
            }
            Separator::Run(separates) => cut(text, runs(text.as_bytes(), *separates).take(pieces_max - 1), out),
            Separator::Pattern(pattern) => at_matches(pattern, text, pieces_max, out),
        }
    }
}

/// The common patterns that match runs of bytes; characters beyond ASCII are no words for Java and never cut in two.
fn run_of_bytes(pattern: &str) -> Option<fn(u8) -> bool> {
    Some(match pattern {
        r"\s+" | "[\\s]+" => |byte| matches!(byte, b' ' | b'\t'..=b'\r'),
        " +" | "[ ]+" => |byte| byte == b' ',
        r"\W+" | r"[^\w]+" | "[^a-zA-Z0-9_]+" => |byte| !(byte.is_ascii_alphanumeric() || byte == b'_'),
        _ => return None,
    })
}

/// Pushes what lies between the separators, which fall on character boundaries.
fn cut(text: &str, separators: impl Iterator<Item = Range<usize>>, out: &mut StringElements) -> Result<(), SparkError> {
    let mut start = 0;
    for separator in separators {
        out.push(&text[start..separator.start])?;
        start = separator.end;
    }
    out.push(&text[start..])
}

/// One element per character, without an empty one at the end; an empty text gives itself.
fn characters(text: &str, pieces_max: usize, out: &mut StringElements) -> Result<(), SparkError> {
    let mut rest = text;
    for _ in 1..pieces_max {
        let Some(first) = rest.chars().next() else { break };
        if first.len_utf8() == rest.len() {
            break;
        }
        let (character, behind) = rest.split_at(first.len_utf8());
        out.push(character)?;
        rest = behind;
    }
    out.push(rest)
}

fn at_matches(pattern: &Pattern, text: &str, pieces_max: usize, out: &mut StringElements) -> Result<(), SparkError> {
    let (mut piece, mut search, mut pieces) = (0, 0, 1);
    while pieces < pieces_max && search <= text.len() {
        let Some(found) = pattern.find_at(text, search)? else { break };
        search = next_start(text, &found);
        // An empty match at the very beginning gives no empty first element.
        if found.end == 0 {
            continue;
        }
        out.push(&text[piece..found.start])?;
        piece = found.end;
        pieces += 1;
    }
    out.push(&text[piece..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;

    fn pieces(text: &str, pattern: &str, limit: i32) -> Vec<String> {
        let mut compiled = PatternColumn::default();
        let separator = Separator::new(pattern, limit, &mut compiled).unwrap_or_else(|e| panic!("{e}"));
        let lists = string_lists(1, None, |_, out| separator.split(text, limit, out)).unwrap_or_else(|e| panic!("{e}"));
        lists.as_list::<i32>().value(0).as_string::<i32>().iter().flatten().map(str::to_string).collect()
    }

    #[test]
    fn elements_are_those_of_java() {
        assert_eq!(pieces("a b  c ", " ", -1), ["a", "b", "", "c", ""]);
        assert_eq!(pieces("", " ", -1), [""]);
        assert_eq!(pieces("a, b,  c", r",\s*", 2), ["a", "b,  c"]);
        assert_eq!(pieces("oneAtwoBthree", "[ABC]", 0), ["one", "two", "three"]);
        assert_eq!(pieces("a||b||", r"\|\|", -1), ["a", "b", ""]);
        assert_eq!(pieces("baab", "a*", -1), ["b", "", "b", ""]);
        assert_eq!(pieces("aXbX", "X", 1), ["aXbX"]);
        assert_eq!(pieces(" a \t b\n", r"\s+", -1), ["", "a", "b", ""]);
        assert_eq!(pieces("a, é b!c", r"\W+", 3), ["a", "b", "c"]);
    }

    #[test]
    fn a_column_cut_at_a_byte_is_cut_as_row_by_row() {
        let texts = StringArray::from(vec![Some("a b  c"), None, Some(""), Some(" é "), Some("x")]);
        let at_blanks = |texts: &StringArray| {
            split_column(texts, 0, |t| memchr::memchr_iter(b' ', t).map(|at| at..at + 1)).unwrap()
        };
        let whole = at_blanks(&texts);
        let rows = string_lists(texts.len(), texts.logical_nulls(), |row, out| {
            Separator::Byte(b' ').split(texts.value(row), -1, out)
        });
        assert_eq!(&whole, &rows.unwrap());
        assert_eq!(&at_blanks(&texts.slice(2, 2)), &whole.slice(2, 2));
    }

    #[test]
    fn an_empty_pattern_gives_characters() {
        assert_eq!(pieces("aé世", "", -1), ["a", "é", "世"]);
        assert_eq!(pieces("abcab", "", 2), ["a", "bcab"]);
        assert_eq!(pieces("", "", -1), [""]);
    }
}
