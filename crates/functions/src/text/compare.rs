//! Likeness and checks of text: `levenshtein`, `soundex`, `luhn_check`, UTF-8 validity, `sentences`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray, StringArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Int32Type};
use millstream_formats::condition::{ExceptionClass, SparkError};

use super::cut::{string_or_binary, text};
use crate::bind::{Call, Nullable};
use crate::coerce::Expected;
use crate::kernel;
use crate::rows::{booleans, nulls_of, numbers, offset, strings};
use crate::{FunctionContext, Typed, types};

/// Builds `levenshtein(left, right[, threshold])`: the number of edits, -1 if it exceeds the threshold.
pub(super) fn levenshtein(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let parameters = [Expected::STRING, Expected::STRING, Expected::INT];
    Call::new(name, arguments, context, &parameters, 2)?.with(DataType::Int32, |a, rows| {
        let (left, right) = (kernel::string(&a[0])?, kernel::string(&a[1])?);
        let thresholds = a.get(2).map(|t| kernel::primitive::<Int32Type>(t)).transpose()?;
        let mut costs = vec![];
        let value = |row| {
            let edits = i32::try_from(edits(left.value(row), right.value(row), &mut costs)).unwrap_or(i32::MAX);
            Ok(Some(if thresholds.is_some_and(|t| edits > t.value(row)) { -1 } else { edits }))
        };
        Ok(Arc::new(numbers::<Int32Type>(rows, nulls_of(a), value)?))
    })
}

/// Edit distance; `costs` is scratch space.
fn edits(left: &str, right: &str, costs: &mut Vec<usize>) -> usize {
    costs.clear();
    costs.extend(0..=right.chars().count());
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = i;
        if let Some(first) = costs.first_mut() {
            *first = i + 1;
        }
        for (j, r) in right.chars().enumerate() {
            let substituted = diagonal + usize::from(l != r);
            diagonal = costs[j + 1];
            costs[j + 1] = substituted.min(diagonal + 1).min(costs[j] + 1);
        }
    }
    costs.last().copied().unwrap_or(0)
}

/// Codes of `A` to `Z`: `0` separates equal codes, `7` does not.
const SOUNDEX_CODES: &[u8; 26] = b"01230127022455012623017202";

/// Builds `soundex(text)`; a text that begins with no letter is left as it is.
pub(super) fn soundex(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    Call::new(name, arguments, context, &[Expected::STRING], 1)?.with(DataType::Utf8, |a, rows| {
        let texts = kernel::string(&a[0])?;
        strings(rows, nulls_of(a), |row, out| {
            let text = texts.value(row);
            match text.bytes().next() {
                Some(first) if first.is_ascii_alphabetic() => {
                    out.extend(soundex_of(text.as_bytes(), first).map(char::from))
                }
                _ => out.push_str(text),
            }
            Ok(true)
        })
    })
}

fn soundex_code(letter: u8) -> Option<u8> {
    SOUNDEX_CODES.get(usize::from(letter.to_ascii_uppercase().checked_sub(b'A')?)).copied()
}

fn soundex_of(bytes: &[u8], first: u8) -> [u8; 4] {
    let mut code = [first.to_ascii_uppercase(), b'0', b'0', b'0'];
    let mut length = 1;
    let mut last = soundex_code(first).unwrap_or(b'0');
    for byte in bytes.iter().skip(1) {
        match soundex_code(*byte) {
            None => last = b'0',
            Some(b'7') => {}
            Some(found) => {
                if found != b'0' && found != last {
                    code[length] = found;
                    length += 1;
                    if length == code.len() {
                        break;
                    }
                }
                last = found;
            }
        }
    }
    code
}

/// Builds `luhn_check(digits)`.
pub(super) fn luhn_check(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    Call::new(name, arguments, context, &[Expected::STRING], 1)?.nullable(Nullable::Always).with(
        DataType::Boolean,
        |a, rows| {
            let texts = kernel::string(&a[0])?;
            booleans(rows, nulls_of(a), |row| Ok(Some(has_luhn_digit(texts.value(row)))))
        },
    )
}

fn has_luhn_digit(text: &str) -> bool {
    let mut sum = 0;
    for (i, byte) in text.bytes().rev().enumerate() {
        if !byte.is_ascii_digit() {
            return false;
        }
        let digit = u64::from(byte - b'0') * if i % 2 == 1 { 2 } else { 1 };
        sum += if digit > 9 { digit - 9 } else { digit };
    }
    !text.is_empty() && sum % 10 == 0
}

/// Builds `is_valid_utf8(value)`. Strings are always valid here; a binary value is looked at as it is.
pub(super) fn is_valid_utf8(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    Call::new(name, arguments, context, &[string_or_binary()], 1)?.nullable(Nullable::Always).with(
        DataType::Boolean,
        |a, rows| {
            if *a[0].data_type() == DataType::Utf8 {
                return booleans(rows, nulls_of(a), |_| Ok(Some(true)));
            }
            let values = kernel::binary(&a[0])?;
            booleans(rows, nulls_of(a), |row| Ok(Some(std::str::from_utf8(values.value(row)).is_ok())))
        },
    )
}

/// Builds `make_valid_utf8`, `validate_utf8`, `try_validate_utf8`: what is not valid is replaced, an error or null.
pub(super) fn valid_utf8(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let (repair, fail) = (name == "make_valid_utf8", name == "validate_utf8");
    let call = Call::new(name, arguments, context, &[string_or_binary()], 1)?.nullable(Nullable::Always).fallible();
    Ok(call.kernel(DataType::Utf8).bound_to(repair).bound_to(fail).arrays(&call.arguments, move |a, rows| {
        if *a[0].data_type() == DataType::Utf8 {
            return Ok(Arc::clone(&a[0]));
        }
        let values = kernel::binary(&a[0])?;
        strings(rows, nulls_of(a), |row, out| match std::str::from_utf8(values.value(row)) {
            Ok(text) => {
                out.push_str(text);
                Ok(true)
            }
            Err(_) if repair => {
                out.push_str(&String::from_utf8_lossy(values.value(row)));
                Ok(true)
            }
            Err(_) if fail => Err(invalid_utf8(values.value(row))),
            Err(_) => Ok(false),
        })
    }))
}

fn invalid_utf8(bytes: &[u8]) -> SparkError {
    let hex: String = bytes.iter().map(|b| format!("\\x{b:02X}")).collect();
    SparkError::new(
        ExceptionClass::IllegalArgument,
        "INVALID_UTF8_STRING",
        "22029",
        format!("Invalid UTF8 byte sequence found in string: {hex}."),
    )
    .with("str", hex)
}

/// Builds `sentences(text[, language[, country]])`; the language has no influence.
pub(super) fn sentences(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let call =
        Call::new(name, arguments, context, &vec![Expected::STRING; 3], 1)?.default_from(1, &[text(""), text("")]);
    let result = types::array(types::array(DataType::Utf8, false), false);
    call.nullable(Nullable::Always).with(result, |a, rows| {
        let texts = kernel::string(&a[0])?;
        let (mut words, mut word_ends, mut sentence_ends) = (vec![], vec![0], vec![0]);
        for row in 0..rows {
            if texts.is_valid(row) {
                for sentence in sentences_of(texts.value(row)) {
                    words.extend(words_of(sentence));
                    word_ends.push(offset(words.len())?);
                }
            }
            sentence_ends.push(offset(word_ends.len() - 1)?);
        }
        let list = |field: DataType, ends: Vec<i32>, values: ArrayRef, nulls| {
            let field = Arc::new(Field::new("element", field, false));
            ListArray::try_new(field, OffsetBuffer::new(ScalarBuffer::from(ends)), values, nulls)
        };
        let inner = list(DataType::Utf8, word_ends, Arc::new(StringArray::from(words)), None)?;
        let outer = list(inner.data_type().clone(), sentence_ends, Arc::new(inner), texts.nulls().cloned())?;
        Ok(Arc::new(outer))
    })
}

/// Sentences end behind `.`, `?` or `!` and the blanks that follow; behind a point only if no small letter comes next.
fn sentences_of(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (mut ended, mut blank, mut point) = (false, false, false);
        let end = rest.char_indices().find_map(|(at, c)| {
            let starts_next = ended && blank && !c.is_whitespace() && !(point && c.is_lowercase());
            match c {
                '.' | '?' | '!' => (ended, point) = (true, c == '.'),
                _ if c.is_whitespace() => blank = true,
                '"' | '\'' | ')' => {}
                _ => (ended, blank) = (false, false),
            }
            starts_next.then_some(at)
        });
        let (sentence, behind) = rest.split_at(end.unwrap_or(rest.len()));
        rest = behind;
        Some(sentence)
    })
}

/// Runs of letters and digits; an apostrophe, point, comma or hyphen between two of them does not divide a word.
fn words_of(sentence: &str) -> impl Iterator<Item = &str> {
    let joins = |at: usize, c: char| {
        let before = sentence[..at].chars().next_back().is_some_and(char::is_alphanumeric);
        let after = sentence[at + c.len_utf8()..].chars().next().is_some_and(char::is_alphanumeric);
        c.is_alphanumeric() || c == '_' || (before && after && matches!(c, '\'' | '\u{2019}' | '.' | ',' | '-'))
    };
    let mut bounds = vec![];
    let mut start = None;
    for (at, c) in sentence.char_indices() {
        match (joins(at, c), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                bounds.push(from..at);
                start = None;
            }
            _ => {}
        }
    }
    bounds.extend(start.map(|from| from..sentence.len()));
    bounds.into_iter().map(|range| &sentence[range])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_and_codes_are_the_usual_ones() {
        assert_eq!(edits("kitten", "sitting", &mut vec![]), 3);
        assert_eq!(edits("", "abc", &mut vec![]), 3);
        assert_eq!(&soundex_of(b"Robert", b'R'), b"R163");
        assert_eq!(&soundex_of(b"abcab", b'a'), b"A121");
        assert_eq!(&soundex_of("h\u{e9}llo".as_bytes(), b'h'), b"H400");
        assert!(has_luhn_digit("79927398713") && !has_luhn_digit("79927398714") && !has_luhn_digit(""));
    }

    #[test]
    fn sentences_are_lists_of_words() {
        let found: Vec<Vec<&str>> =
            sentences_of("Hi there! Don't be 3.5, late. Or? ok").map(|s| words_of(s).collect()).collect();
        assert_eq!(found, [vec!["Hi", "there"], vec!["Don't", "be", "3.5", "late"], vec!["Or"], vec!["ok"]]);
    }
}
