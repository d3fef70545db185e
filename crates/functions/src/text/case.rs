//! Upper, lower and title case, with all of Unicode's mappings.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use millstream_formats::condition::SparkError;

use crate::bind::{Body, Call};
use crate::coerce::Expected;
use crate::kernel;
use crate::rows::{nulls_of, strings};
use crate::{FunctionContext, Typed};

fn string_to_string(
    name: &str,
    arguments: &[Typed],
    context: &FunctionContext,
    body: Body,
) -> Result<Typed, SparkError> {
    Call::new(name, arguments, context, &[Expected::STRING], 1)?.with(DataType::Utf8, body)
}

/// Builds `upper`, `ucase`.
pub(super) fn upper(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    string_to_string(name, arguments, context, |a, rows| {
        each(a, rows, |text, out| {
            let start = out.len();
            if text.is_ascii() {
                out.push_str(text);
                out[start..].make_ascii_uppercase();
            } else {
                out.push_str(&text.to_uppercase());
            }
        })
    })
}

/// Builds `lower`, `lcase`.
pub(super) fn lower(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    string_to_string(name, arguments, context, |a, rows| {
        each(a, rows, |text, out| {
            let start = out.len();
            if text.is_ascii() {
                out.push_str(text);
                out[start..].make_ascii_lowercase();
            } else {
                out.push_str(&text.to_lowercase());
            }
        })
    })
}

/// Builds `initcap`: the first letter behind each blank in title case, all others in lower case.
pub(super) fn initcap(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    string_to_string(name, arguments, context, |a, rows| {
        each(a, rows, |text, out| {
            let mut new_word = true;
            for c in text.to_lowercase().chars() {
                if new_word {
                    push_title(c, out)
                } else {
                    out.push(c)
                }
                new_word = c == ' ';
            }
        })
    })
}

fn each(a: &[ArrayRef], rows: usize, change: impl Fn(&str, &mut String)) -> Result<ArrayRef, SparkError> {
    let texts = kernel::string(&a[0])?;
    strings(rows, nulls_of(a), |row, out| {
        change(texts.value(row), out);
        Ok(true)
    })
}

/// A character in title case: only the first letter of a digraph or ligature is large.
fn push_title(c: char, out: &mut String) {
    match c {
        '\u{1C4}'..='\u{1C6}' => out.push('\u{1C5}'),
        '\u{1C7}'..='\u{1C9}' => out.push('\u{1C8}'),
        '\u{1CA}'..='\u{1CC}' => out.push('\u{1CB}'),
        '\u{1F1}'..='\u{1F3}' => out.push('\u{1F2}'),
        _ => {
            let mut upper = c.to_uppercase();
            out.extend(upper.next());
            out.extend(upper.flat_map(char::to_lowercase));
        }
    }
}
