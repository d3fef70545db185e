//! Finding text in text: `instr`, `locate`, `contains`, `startswith`, `endswith`, `find_in_set`, and lengths.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Int32Type};
use millstream_formats::condition::SparkError;

use super::cut::{int, string_or_binary};
use crate::arguments::different_operands;
use crate::bind::{Body, Call, Nullable};
use crate::coerce::Expected;
use crate::kernel;
use crate::rows::{booleans, nulls_of, numbers};
use crate::{FunctionContext, Typed};

/// Position of `needle` in characters from 0, at `start` or later.
fn index_of(text: &str, needle: &str, start: usize) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    let from = if text.is_ascii() {
        start.min(text.len())
    } else {
        text.char_indices().nth(start).map_or(text.len(), |(at, _)| at)
    };
    let at = from + memchr::memmem::find(text.as_bytes().get(from..)?, needle.as_bytes())?;
    Some(if text.is_ascii() { at } else { text.get(..at)?.chars().count() })
}

fn position(found: Option<usize>) -> Option<i32> {
    Some(found.map_or(0, |at| i32::try_from(at + 1).unwrap_or(i32::MAX)))
}

/// Builds `instr(text, needle)`.
pub(super) fn instr(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    Call::new(name, arguments, context, &[Expected::STRING, Expected::STRING], 2)?.with(DataType::Int32, |a, rows| {
        let (texts, needles) = (kernel::string(&a[0])?, kernel::string(&a[1])?);
        let found = |row| Ok(position(index_of(texts.value(row), needles.value(row), 0)));
        Ok(Arc::new(numbers::<Int32Type>(rows, nulls_of(a), found)?))
    })
}

/// Builds `locate(needle, text[, start])`, `position`; a null start finds nothing.
pub(super) fn locate(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let parameters = [Expected::STRING, Expected::STRING, Expected::INT];
    let call = Call::new(name, arguments, context, &parameters, 2)?.default_from(2, &[int(1)]);
    let nullable = call.arguments.iter().take(2).any(|a| a.nullable);
    let kernel = kernel::Kernel::new(name, DataType::Int32, nullable);
    Ok(kernel.arrays(&call.arguments, |a, rows| {
        let (needles, texts) = (kernel::string(&a[0])?, kernel::string(&a[1])?);
        let starts = kernel::primitive::<Int32Type>(&a[2])?;
        let value = |row| {
            if starts.is_null(row) {
                return Ok(Some(0));
            }
            if needles.is_null(row) || texts.is_null(row) {
                return Ok(None);
            }
            let start = usize::try_from(starts.value(row)).ok().and_then(|s| s.checked_sub(1));
            Ok(position(start.and_then(|start| index_of(texts.value(row), needles.value(row), start))))
        };
        Ok(Arc::new(numbers::<Int32Type>(rows, None, value)?))
    }))
}

fn test_bytes(name: &str, arguments: &[Typed], context: &FunctionContext, body: Body) -> Result<Typed, SparkError> {
    let call = Call::new(name, arguments, context, &[string_or_binary(), string_or_binary()], 2)?;
    if call.arguments[0].data_type != call.arguments[1].data_type {
        return Err(different_operands(name, &call.arguments));
    }
    // Spark evaluates these for binary values in another way, which it always takes for nullable.
    let binary = call.arguments[0].data_type == DataType::Binary;
    call.nullable(if binary { Nullable::Always } else { Nullable::ByArguments }).with(DataType::Boolean, body)
}

/// Applies a test to the bytes of two strings or two binary values.
fn over_bytes(a: &[ArrayRef], rows: usize, test: impl Fn(&[u8], &[u8]) -> bool) -> Result<ArrayRef, SparkError> {
    if *a[0].data_type() == DataType::Binary {
        let (left, right) = (kernel::binary(&a[0])?, kernel::binary(&a[1])?);
        return booleans(rows, nulls_of(a), |row| Ok(Some(test(left.value(row), right.value(row)))));
    }
    let (left, right) = (kernel::string(&a[0])?, kernel::string(&a[1])?);
    booleans(rows, nulls_of(a), |row| Ok(Some(test(left.value(row).as_bytes(), right.value(row).as_bytes()))))
}

/// Builds `contains(value, part)`.
pub(super) fn contains(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    test_bytes(name, arguments, context, |a, rows| {
        over_bytes(a, rows, |value, part| memchr::memmem::find(value, part).is_some())
    })
}

/// Builds `startswith(value, part)`.
pub(super) fn starts_with(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    test_bytes(name, arguments, context, |a, rows| over_bytes(a, rows, <[u8]>::starts_with))
}

/// Builds `endswith(value, part)`.
pub(super) fn ends_with(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    test_bytes(name, arguments, context, |a, rows| over_bytes(a, rows, <[u8]>::ends_with))
}

/// Builds `find_in_set(word, list)`: place of the word among the parts between commas, 0 if it is not there.
pub(super) fn find_in_set(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    Call::new(name, arguments, context, &[Expected::STRING, Expected::STRING], 2)?.with(DataType::Int32, |a, rows| {
        let (words, lists) = (kernel::string(&a[0])?, kernel::string(&a[1])?);
        let value = |row| {
            let word = words.value(row);
            let found =
                if word.contains(',') { None } else { lists.value(row).split(',').position(|part| part == word) };
            Ok(position(found))
        };
        Ok(Arc::new(numbers::<Int32Type>(rows, nulls_of(a), value)?))
    })
}

fn measure(
    a: &[ArrayRef],
    rows: usize,
    of_text: fn(&str) -> usize,
    of_bytes: fn(&[u8]) -> usize,
) -> Result<ArrayRef, SparkError> {
    let fit = |length: usize| Ok(i32::try_from(length).ok());
    if *a[0].data_type() == DataType::Binary {
        let values = kernel::binary(&a[0])?;
        return Ok(Arc::new(numbers::<Int32Type>(rows, nulls_of(a), |row| fit(of_bytes(values.value(row))))?));
    }
    let values = kernel::string(&a[0])?;
    Ok(Arc::new(numbers::<Int32Type>(rows, nulls_of(a), |row| fit(of_text(values.value(row))))?))
}

fn length_like(name: &str, arguments: &[Typed], context: &FunctionContext, body: Body) -> Result<Typed, SparkError> {
    Call::new(name, arguments, context, &[string_or_binary()], 1)?.with(DataType::Int32, body)
}

/// Builds `length`, `len`, `char_length`, `character_length`: characters of a string, bytes of a binary value.
pub(super) fn length(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    length_like(name, arguments, context, |a, rows| {
        measure(a, rows, |text| if text.is_ascii() { text.len() } else { text.chars().count() }, <[u8]>::len)
    })
}

/// Builds `octet_length`.
pub(super) fn octet_length(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    length_like(name, arguments, context, |a, rows| measure(a, rows, str::len, <[u8]>::len))
}

/// Builds `bit_length`.
pub(super) fn bit_length(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    length_like(name, arguments, context, |a, rows| measure(a, rows, |text| text.len() * 8, |bytes| bytes.len() * 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters() {
        assert_eq!(index_of("h\u{e9}llo", "l", 0), Some(2));
        assert_eq!(index_of("abcab", "b", 2), Some(4));
        assert_eq!(index_of("abc", "", 2), Some(0));
        assert_eq!(index_of("abc", "c", 9), None);
    }
}
