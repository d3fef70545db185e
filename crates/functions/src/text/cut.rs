//! Parts of strings and binary values: `substring`, `left`, `right`, `substring_index`, `split_part`, `overlay`, `elt`.
//!
//! Positions count characters of a string and bytes of a binary value, from 1; negative ones count from the end.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Int32Type};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::{ExceptionClass, SparkError};

use crate::arguments::expect_at_least;
use crate::bind::{Call, Nullable};
use crate::coerce::{self, Expected};
use crate::kernel;
use crate::rows::{binaries, nulls_of, strings};
use crate::{FunctionContext, Typed};

/// String or binary, whichever it is.
pub(super) fn string_or_binary() -> Expected {
    Expected::OneOf(vec![Expected::STRING, Expected::BINARY])
}

pub(super) fn int(value: i32) -> Typed {
    Typed::literal(ScalarValue::Int32(Some(value)))
}

pub(super) fn text(value: &str) -> Typed {
    Typed::literal(ScalarValue::Utf8(Some(value.to_string())))
}

/// The characters from `start` to before `end`, both from 0 and possibly outside.
pub(super) fn characters(text: &str, start: i64, end: i64) -> &str {
    if end <= start || end <= 0 {
        return "";
    }
    let (start, end) = (start.max(0) as usize, end as usize);
    if text.is_ascii() {
        let end = end.min(text.len());
        return text.get(start.min(end)..end).unwrap_or("");
    }
    let mut bounds = text.char_indices().map(|(at, _)| at);
    let Some(from) = bounds.nth(start) else { return "" };
    let to = bounds.nth(end - start - 1).unwrap_or(text.len());
    text.get(from..to).unwrap_or("")
}

/// Start and end, from 0, of a piece of SQL's `substring` in something of `length` units.
fn sql_bounds(position: i32, piece: i32, length: impl Fn() -> usize) -> (i64, i64) {
    let start = match position {
        1.. => i64::from(position) - 1,
        0 => 0,
        _ => i64::try_from(length()).unwrap_or(i64::MAX) + i64::from(position),
    };
    (start, start + i64::from(piece))
}

/// SQL's `substring` of a text.
fn substring_of(text: &str, position: i32, length: i32) -> &str {
    let (start, end) = sql_bounds(position, length, || text.chars().count());
    characters(text, start, end)
}

fn bytes_of(bytes: &[u8], position: i32, length: i32) -> &[u8] {
    let (start, end) = sql_bounds(position, length, || bytes.len());
    let end = end.clamp(0, bytes.len() as i64) as usize;
    let start = (start.max(0) as usize).min(end);
    &bytes[start..end]
}

/// Builds `substring`, `substr`: `(value, position[, length])`.
pub(super) fn substring(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let parameters = [string_or_binary(), Expected::INT, Expected::INT];
    let call = Call::new(name, arguments, context, &parameters, 2)?.default_from(2, &[int(i32::MAX)]);
    let result = call.arguments[0].data_type.clone();
    call.with(result, |a, rows| {
        let (position, length) = (kernel::primitive::<Int32Type>(&a[1])?, kernel::primitive::<Int32Type>(&a[2])?);
        if *a[0].data_type() == DataType::Binary {
            let values = kernel::binary(&a[0])?;
            return binaries(rows, nulls_of(a), |row, out| {
                out.extend_from_slice(bytes_of(values.value(row), position.value(row), length.value(row)));
                Ok(true)
            });
        }
        let values = kernel::string(&a[0])?;
        strings(rows, nulls_of(a), |row, out| {
            out.push_str(substring_of(values.value(row), position.value(row), length.value(row)));
            Ok(true)
        })
    })
}

/// Builds `left(value, length)`.
pub(super) fn left(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let call = Call::new(name, arguments, context, &[string_or_binary(), Expected::INT], 2)?;
    let [value, length] = <[Typed; 2]>::try_from(call.arguments).map_err(|_| SparkError::internal("left"))?;
    substring(name, &[value, int(1), length], context)
}

/// Builds `right(text, length)`.
pub(super) fn right(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let call = Call::new(name, arguments, context, &[Expected::STRING, Expected::INT], 2)?.nullable(Nullable::Always);
    call.with(DataType::Utf8, |a, rows| {
        let (texts, lengths) = (kernel::string(&a[0])?, kernel::primitive::<Int32Type>(&a[1])?);
        strings(rows, nulls_of(a), |row, out| {
            let length = lengths.value(row);
            if length > 0 {
                out.push_str(substring_of(texts.value(row), -length, i32::MAX));
            }
            Ok(true)
        })
    })
}

/// Builds `substring_index(text, delimiter, count)`.
pub(super) fn substring_index(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let parameters = [Expected::STRING, Expected::STRING, Expected::INT];
    Call::new(name, arguments, context, &parameters, 3)?.with(DataType::Utf8, |a, rows| {
        let (texts, delimiters) = (kernel::string(&a[0])?, kernel::string(&a[1])?);
        let counts = kernel::primitive::<Int32Type>(&a[2])?;
        strings(rows, nulls_of(a), |row, out| {
            out.push_str(before_delimiter(texts.value(row), delimiters.value(row), counts.value(row)));
            Ok(true)
        })
    })
}

/// What stands before the `count`-th delimiter, or behind it counted from the end. Occurrences may overlap.
fn before_delimiter<'a>(text: &'a str, delimiter: &str, count: i32) -> &'a str {
    if delimiter.is_empty() || count == 0 {
        return "";
    }
    let (bytes, needle) = (text.as_bytes(), delimiter.as_bytes());
    if count > 0 {
        let (mut from, mut at) = (0, 0);
        for _ in 0..count {
            let Some(found) = bytes.get(from..).and_then(|b| memchr::memmem::find(b, needle)) else { return text };
            at = from + found;
            from = at + 1;
        }
        return text.get(..at).unwrap_or("");
    }
    let mut until = bytes.len();
    let mut at = 0;
    for _ in 0..count.unsigned_abs() {
        let Some(found) = bytes.get(..until).and_then(|b| memchr::memmem::rfind(b, needle)) else { return text };
        at = found;
        until = (found + needle.len()).saturating_sub(1);
    }
    text.get(at + needle.len()..).unwrap_or("")
}

/// Builds `split_part(text, delimiter, part)`: the part, from 1 or from the end; an empty text if there are fewer.
pub(super) fn split_part(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let parameters = [Expected::STRING, Expected::STRING, Expected::INT];
    Call::new(name, arguments, context, &parameters, 3)?.nullable(Nullable::Always).fallible().with(
        DataType::Utf8,
        |a, rows| {
            let (texts, delimiters) = (kernel::string(&a[0])?, kernel::string(&a[1])?);
            let parts = kernel::primitive::<Int32Type>(&a[2])?;
            strings(rows, nulls_of(a), |row, out| {
                out.push_str(part_of(texts.value(row), delimiters.value(row), parts.value(row))?);
                Ok(true)
            })
        },
    )
}

fn part_of<'a>(text: &'a str, delimiter: &str, part: i32) -> Result<&'a str, SparkError> {
    if part == 0 {
        let text = "The index 0 is invalid. An index shall be either < 0 or > 0 (the first element has index 1).";
        return Err(SparkError::new(ExceptionClass::Runtime, "INVALID_INDEX_OF_ZERO", "22003", text));
    }
    let index = part.unsigned_abs() as usize - 1;
    if delimiter.is_empty() {
        return Ok(if index == 0 { text } else { "" });
    }
    if part > 0 {
        return Ok(text.split(delimiter).nth(index).unwrap_or(""));
    }
    // Delimiters are taken from the left; only the parts are counted from the right.
    let count = text.matches(delimiter).count() + 1;
    Ok(count.checked_sub(index + 1).and_then(|i| text.split(delimiter).nth(i)).unwrap_or(""))
}

/// Builds `overlay(value, replacement, position[, length])`.
pub(super) fn overlay(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let parameters = [string_or_binary(), string_or_binary(), Expected::INT, Expected::INT];
    let call = Call::new(name, arguments, context, &parameters, 3)?.default_from(3, &[int(-1)]);
    let result = call.arguments[0].data_type.clone();
    if call.arguments[1].data_type != result {
        return Err(crate::arguments::different_operands(name, &call.arguments));
    }
    call.with(result, |a, rows| {
        let (position, length) = (kernel::primitive::<Int32Type>(&a[2])?, kernel::primitive::<Int32Type>(&a[3])?);
        if *a[0].data_type() == DataType::Binary {
            let (values, replacements) = (kernel::binary(&a[0])?, kernel::binary(&a[1])?);
            return binaries(rows, nulls_of(a), |row, out| {
                let (value, replacement, at) = (values.value(row), replacements.value(row), position.value(row));
                let behind = behind_overlay(at, length.value(row), replacement.len());
                out.extend_from_slice(bytes_of(value, 1, at.saturating_sub(1)));
                out.extend_from_slice(replacement);
                out.extend_from_slice(bytes_of(value, behind, i32::MAX));
                Ok(true)
            });
        }
        let (values, replacements) = (kernel::string(&a[0])?, kernel::string(&a[1])?);
        strings(rows, nulls_of(a), |row, out| {
            let (value, replacement, at) = (values.value(row), replacements.value(row), position.value(row));
            let behind = behind_overlay(at, length.value(row), replacement.chars().count());
            out.push_str(substring_of(value, 1, at.saturating_sub(1)));
            out.push_str(replacement);
            out.push_str(substring_of(value, behind, i32::MAX));
            Ok(true)
        })
    })
}

/// Position of what is kept behind the replaced piece, which by default is as long as the replacement.
fn behind_overlay(position: i32, length: i32, replacement: usize) -> i32 {
    let length = if length >= 0 { length } else { i32::try_from(replacement).unwrap_or(i32::MAX) };
    position.saturating_add(length)
}

/// Builds `elt(index, first, …)`.
pub(super) fn elt(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_at_least(name, arguments, 2)?;
    let binary = arguments.iter().skip(1).all(|a| a.data_type == DataType::Binary);
    let value = if binary { Expected::BINARY } else { Expected::STRING };
    let result = if binary { DataType::Binary } else { DataType::Utf8 };
    let mut parameters = vec![value; arguments.len()];
    parameters[0] = Expected::INT;
    let arguments = coerce::arguments(name, arguments, &parameters, context)?;
    let ansi = context.ansi;
    let call = Call::checked(name, arguments).nullable(Nullable::Always).fallible();
    Ok(call.kernel(result).bound_to(ansi).arrays(&call.arguments, move |a, rows| {
        let (indices, values) = (kernel::primitive::<Int32Type>(&a[0])?, &a[1..]);
        let chosen = |row: usize| -> Result<Option<&ArrayRef>, SparkError> {
            let index = indices.value(row);
            let found = usize::try_from(index).ok().and_then(|i| i.checked_sub(1)).and_then(|i| values.get(i));
            if found.is_none() && ansi {
                return Err(invalid_index(index, values.len()));
            }
            Ok(found.filter(|array| array.is_valid(row)))
        };
        let nulls = indices.nulls().cloned();
        if values.iter().any(|v| *v.data_type() == DataType::Binary) {
            return binaries(rows, nulls, |row, out| match chosen(row)? {
                Some(array) => {
                    out.extend_from_slice(kernel::binary(array)?.value(row));
                    Ok(true)
                }
                None => Ok(false),
            });
        }
        strings(rows, nulls, |row, out| match chosen(row)? {
            Some(array) => {
                out.push_str(kernel::string(array)?.value(row));
                Ok(true)
            }
            None => Ok(false),
        })
    }))
}

fn invalid_index(index: i32, size: usize) -> SparkError {
    SparkError::new(
        ExceptionClass::ArrayIndexOutOfBounds,
        "INVALID_ARRAY_INDEX",
        "22003",
        format!(
            "The index {index} is out of bounds. The array has {size} elements. Use the SQL function `get()` to tolerate \
             accessing element at invalid index and return NULL instead."
        ),
    )
    .with("indexValue", index.to_string())
    .with("arraySize", size.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn substrings_count_characters_from_either_end() {
        assert_eq!(substring_of("abcab", 2, 3), "bca");
        assert_eq!(substring_of("h\u{e9}llo \u{4e16}\u{1f600}", -2, i32::MAX), "\u{4e16}\u{1f600}");
        assert_eq!(substring_of("Spark", -7, 5), "Spa");
        assert_eq!(substring_of("Spark", 0, 2), "Sp");
        assert_eq!(substring_of("Spark", 5, -1), "");
        assert_eq!(bytes_of(b"Spark", -2, 9), b"rk");
    }

    #[test]
    fn delimiters_count_from_either_end_and_may_overlap() {
        assert_eq!(before_delimiter("a.b.c.d", ".", 2), "a.b");
        assert_eq!(before_delimiter("a.b.c.d", ".", -3), "b.c.d");
        assert_eq!(before_delimiter("a.b", ".", 5), "a.b");
        assert_eq!(before_delimiter("aaaa", "aa", 2), "a");
        assert_eq!(before_delimiter("aaaa", "aa", -2), "a");
        assert_eq!(part_of("11.12.13", ".", -1).ok(), Some("13"));
        assert_eq!(part_of("11.12.13", ".", 4).ok(), Some(""));
        assert!(part_of("11.12.13", ".", 0).is_err());
    }
}
