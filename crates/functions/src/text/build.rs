//! Strings made of strings: `concat`, `concat_ws`, `repeat`, `space`, padding, trimming, replacement.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::{ExceptionClass, SparkError};

use super::cut::{characters, string_or_binary, text};
use crate::arguments::{expect_at_least, expect_count};
use crate::bind::{Body, Call, Nullable};
use crate::coerce::{self, Expected};
use crate::kernel;
use crate::rows::{binaries, nulls_of, strings};
use crate::{FunctionContext, Typed};

/// Builds `concat` and `||` of strings or binary values; a mixture becomes a string.
pub(super) fn concat(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    if arguments.is_empty() {
        return Ok(text(""));
    }
    if arguments.iter().any(|a| matches!(a.data_type, DataType::List(_))) {
        return crate::nested::concat(name, arguments, context);
    }
    let binary = arguments.iter().all(|a| a.data_type == DataType::Binary);
    let (parameter, result) =
        if binary { (Expected::BINARY, DataType::Binary) } else { (Expected::STRING, DataType::Utf8) };
    let arguments = coerce::arguments(name, arguments, &vec![parameter; arguments.len()], context)?;
    Call::checked(name, arguments).with(result, |a, rows| {
        if *a[0].data_type() == DataType::Binary {
            let values = a.iter().map(|array| kernel::binary(array)).collect::<Result<Vec<_>, _>>()?;
            return binaries(rows, nulls_of(a), |row, out| {
                values.iter().for_each(|v| out.extend_from_slice(v.value(row)));
                Ok(true)
            });
        }
        let values = a.iter().map(|array| kernel::string(array)).collect::<Result<Vec<_>, _>>()?;
        strings(rows, nulls_of(a), |row, out| {
            values.iter().for_each(|v| out.push_str(v.value(row)));
            Ok(true)
        })
    })
}

/// Builds `concat_ws(separator, value, …)`: strings and arrays of strings; nulls are left out.
pub(super) fn concat_ws(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_at_least(name, arguments, 1)?;
    let value = Expected::OneOf(vec![Expected::STRING, Expected::ArrayOf(Box::new(Expected::STRING))]);
    let mut parameters = vec![value; arguments.len()];
    parameters[0] = Expected::STRING;
    let arguments = coerce::arguments(name, arguments, &parameters, context)?;
    Call::checked(name, arguments).nullable(Nullable::ByFirst).with(DataType::Utf8, |a, rows| {
        let separators = kernel::string(&a[0])?;
        strings(rows, separators.nulls().cloned(), |row, out| {
            let mut joiner = Joiner { separator: separators.value(row), first: true, out };
            for array in a[1..].iter().filter(|array| array.is_valid(row)) {
                joiner.add(array, row)?;
            }
            Ok(true)
        })
    })
}

/// Joins what is not null.
struct Joiner<'a> {
    separator: &'a str,
    first: bool,
    out: &'a mut String,
}

impl Joiner<'_> {
    fn add(&mut self, array: &ArrayRef, row: usize) -> Result<(), SparkError> {
        if let DataType::List(_) = array.data_type() {
            let elements = kernel::list(array)?.value(row);
            for i in (0..elements.len()).filter(|i| elements.is_valid(*i)) {
                self.push(kernel::string(&elements)?.value(i));
            }
        } else {
            self.push(kernel::string(array)?.value(row));
        }
        Ok(())
    }

    fn push(&mut self, part: &str) {
        if !std::mem::replace(&mut self.first, false) {
            self.out.push_str(self.separator);
        }
        self.out.push_str(part);
    }
}

/// Refuses a value that no batch could hold, before it takes the memory.
fn check_size(bytes: usize, count: usize) -> Result<(), SparkError> {
    match bytes.checked_mul(count) {
        Some(size) if size <= i32::MAX as usize => Ok(()),
        _ => Err(SparkError::new(
            ExceptionClass::Runtime,
            "COLLECTION_SIZE_LIMIT_EXCEEDED.FUNCTION",
            "54000",
            "A string would exceed 2147483647 bytes.",
        )),
    }
}

/// Builds `repeat(text, count)`.
pub(super) fn repeat(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    Call::new(name, arguments, context, &[Expected::STRING, Expected::INT], 2)?.with(DataType::Utf8, |a, rows| {
        let (texts, counts) = (kernel::string(&a[0])?, kernel::primitive::<Int32Type>(&a[1])?);
        strings(rows, nulls_of(a), |row, out| {
            let (text, count) = (texts.value(row), usize::try_from(counts.value(row)).unwrap_or(0));
            check_size(text.len(), count)?;
            (0..count).for_each(|_| out.push_str(text));
            Ok(true)
        })
    })
}

/// Builds `space(count)`.
pub(super) fn space(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    Call::new(name, arguments, context, &[Expected::INT], 1)?.with(DataType::Utf8, |a, rows| {
        let counts = kernel::primitive::<Int32Type>(&a[0])?;
        strings(rows, nulls_of(a), |row, out| {
            let count = usize::try_from(counts.value(row)).unwrap_or(0);
            out.extend(std::iter::repeat_n(' ', count));
            Ok(true)
        })
    })
}

/// Builds `lpad`, `rpad`: `(value, length[, pad])`. Pads with blanks, a binary value with zeros.
pub(super) fn pad(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[2, 3])?;
    let binary = [arguments.first(), arguments.get(2)].iter().flatten().all(|a| a.data_type == DataType::Binary);
    let left = name == "lpad";
    let (value, result) =
        if binary { (Expected::BINARY, DataType::Binary) } else { (Expected::STRING, DataType::Utf8) };
    let filler = match binary {
        true => Typed::literal(ScalarValue::Binary(Some(vec![0]))),
        false => text(" "),
    };
    let call =
        Call::new(name, arguments, context, &[value.clone(), Expected::INT, value], 2)?.default_from(2, &[filler]);
    Ok(call.kernel(result).bound_to(left).arrays(&call.arguments, move |a, rows| {
        let lengths = kernel::primitive::<Int32Type>(&a[1])?;
        let length_of = |row| usize::try_from(lengths.value(row)).unwrap_or(0);
        if *a[0].data_type() == DataType::Binary {
            let (values, pads) = (kernel::binary(&a[0])?, kernel::binary(&a[2])?);
            return binaries(rows, nulls_of(a), |row, out| {
                pad_bytes(values.value(row), length_of(row), pads.value(row), left, out);
                Ok(true)
            });
        }
        let (values, pads) = (kernel::string(&a[0])?, kernel::string(&a[2])?);
        strings(rows, nulls_of(a), |row, out| {
            pad_text(values.value(row), length_of(row), pads.value(row), left, out);
            Ok(true)
        })
    }))
}

fn pad_text(text: &str, length: usize, pad: &str, left: bool, out: &mut String) {
    let have = text.chars().count();
    if have >= length || pad.is_empty() {
        return out.push_str(characters(text, 0, length as i64));
    }
    let filler = pad.chars().cycle().take(length - have);
    if left {
        out.extend(filler);
        out.push_str(text);
    } else {
        out.push_str(text);
        out.extend(filler);
    }
}

fn pad_bytes(value: &[u8], length: usize, pad: &[u8], left: bool, out: &mut Vec<u8>) {
    if value.len() >= length || pad.is_empty() {
        return out.extend_from_slice(&value[..length.min(value.len())]);
    }
    let filler = pad.iter().copied().cycle().take(length - value.len());
    if left {
        out.extend(filler);
        out.extend_from_slice(value);
    } else {
        out.extend_from_slice(value);
        out.extend(filler);
    }
}

/// Builds `trim`, `ltrim`, `rtrim`: `([characters,] text)`; and `btrim(text[, characters])`. Blanks by default.
pub(super) fn trim(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[1, 2])?;
    let (start, end) = (name != "rtrim", name != "ltrim");
    let mut arguments = coerce::arguments(name, arguments, &[Expected::STRING, Expected::STRING], context)?;
    if arguments.len() == 2 && name != "btrim" {
        arguments.reverse();
    }
    let call = Call::checked(name, arguments).default_from(1, &[text(" ")]);
    Ok(call.kernel(DataType::Utf8).bound_to(start).bound_to(end).arrays(&call.arguments, move |a, rows| {
        let (texts, sets) = (kernel::string(&a[0])?, kernel::string(&a[1])?);
        strings(rows, nulls_of(a), |row, out| {
            let (mut text, set) = (texts.value(row), sets.value(row));
            if start {
                text = text.trim_start_matches(|c| set.contains(c));
            }
            if end {
                text = text.trim_end_matches(|c| set.contains(c));
            }
            out.push_str(text);
            Ok(true)
        })
    }))
}

/// Builds `replace(text, search[, replacement])`.
pub(super) fn replace(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let parameters = [Expected::STRING, Expected::STRING, Expected::STRING];
    let call = Call::new(name, arguments, context, &parameters, 2)?.default_from(2, &[text("")]);
    call.with(DataType::Utf8, |a, rows| {
        let (texts, searches) = (kernel::string(&a[0])?, kernel::string(&a[1])?);
        let replacements = kernel::string(&a[2])?;
        strings(rows, nulls_of(a), |row, out| {
            let (text, search) = (texts.value(row), searches.value(row));
            if search.is_empty() {
                out.push_str(text);
                return Ok(true);
            }
            for (i, piece) in text.split(search).enumerate() {
                if i > 0 {
                    out.push_str(replacements.value(row));
                }
                out.push_str(piece);
            }
            Ok(true)
        })
    })
}

/// Builds `translate(text, from, to)`: each character of `from` becomes the one of `to` at its place, or nothing.
pub(super) fn translate(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let parameters = [Expected::STRING, Expected::STRING, Expected::STRING];
    Call::new(name, arguments, context, &parameters, 3)?.with(DataType::Utf8, |a, rows| {
        let (texts, from, to) = (kernel::string(&a[0])?, kernel::string(&a[1])?, kernel::string(&a[2])?);
        strings(rows, nulls_of(a), |row, out| {
            let (from, to) = (from.value(row), to.value(row));
            for c in texts.value(row).chars() {
                match from.chars().position(|f| f == c) {
                    Some(at) => out.extend(to.chars().nth(at)),
                    None => out.push(c),
                }
            }
            Ok(true)
        })
    })
}

/// Builds `reverse` of a text or a binary value.
pub(super) fn reverse(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[1])?;
    if matches!(arguments, [a] if matches!(a.data_type, DataType::List(_))) {
        return crate::nested::reverse(name, arguments);
    }
    let call = Call::new(name, arguments, context, &[string_or_binary()], 1)?;
    let result = call.arguments[0].data_type.clone();
    call.with(result, |a, rows| {
        if *a[0].data_type() == DataType::Binary {
            let values = kernel::binary(&a[0])?;
            return binaries(rows, nulls_of(a), |row, out| {
                out.extend(values.value(row).iter().rev());
                Ok(true)
            });
        }
        let texts = kernel::string(&a[0])?;
        strings(rows, nulls_of(a), |row, out| {
            out.extend(texts.value(row).chars().rev());
            Ok(true)
        })
    })
}

/// Builds `ascii(text)`: the code of the first character, 0 for an empty text.
pub(super) fn ascii(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    Call::new(name, arguments, context, &[Expected::STRING], 1)?.with(DataType::Int32, |a, rows| {
        let texts = kernel::string(&a[0])?;
        let code = |row| Ok(Some(texts.value(row).chars().next().map_or(0, |c| c as i32)));
        Ok(Arc::new(crate::rows::numbers::<Int32Type>(rows, nulls_of(a), code)?))
    })
}

/// Builds `chr`, `char`: the character of a code modulo 256, nothing for a negative one.
pub(super) fn chr(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    Call::new(name, arguments, context, &[Expected::LONG], 1)?.with(DataType::Utf8, |a, rows| {
        let codes = kernel::primitive::<Int64Type>(&a[0])?;
        strings(rows, nulls_of(a), |row, out| {
            let code = codes.value(row);
            if code >= 0 {
                out.push(char::from((code & 0xff) as u8));
            }
            Ok(true)
        })
    })
}

/// Builds `quote(text)`: in single quotes, those inside behind a backslash.
pub(super) fn quote(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    one_string(name, arguments, context, |a, rows| {
        let texts = kernel::string(&a[0])?;
        strings(rows, nulls_of(a), |row, out| {
            out.push('\'');
            for c in texts.value(row).chars() {
                if c == '\'' {
                    out.push('\\');
                }
                out.push(c);
            }
            out.push('\'');
            Ok(true)
        })
    })
}

fn one_string(name: &str, arguments: &[Typed], context: &FunctionContext, body: Body) -> Result<Typed, SparkError> {
    Call::new(name, arguments, context, &[Expected::STRING], 1)?.nullable(Nullable::Always).with(DataType::Utf8, body)
}

/// Builds `mask(text[, upper[, lower[, digit[, other]]]])`: a null for a kind leaves its characters as they are.
pub(super) fn mask(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let parameters = vec![Expected::STRING; 5];
    let defaults = [text("X"), text("x"), text("n"), Typed::literal(ScalarValue::Utf8(None))];
    let call =
        Call::new(name, arguments, context, &parameters, 1)?.default_from(1, &defaults).nullable(Nullable::Always);
    call.with(DataType::Utf8, |a, rows| {
        let columns = a.iter().map(|array| kernel::string(array)).collect::<Result<Vec<_>, _>>()?;
        let [texts, masks @ ..] = columns.as_slice() else { return Err(SparkError::internal("mask has arguments")) };
        strings(rows, texts.nulls().cloned(), |row, out| {
            for c in texts.value(row).chars() {
                let kind = if c.is_uppercase() {
                    0
                } else if c.is_lowercase() {
                    1
                } else if c.is_ascii_digit() {
                    2
                } else {
                    3
                };
                let replacement = masks.get(kind).filter(|m| m.is_valid(row)).and_then(|m| m.value(row).chars().next());
                out.push(replacement.unwrap_or(c));
            }
            Ok(true)
        })
    })
}

/// Builds `collation(text)`, a constant.
pub(super) fn collation(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    Call::new(name, arguments, context, &[Expected::STRING], 1)?;
    Ok(text("SYSTEM.BUILTIN.UTF8_BINARY"))
}

/// Builds `collate(text, name)` for the one collation that there is.
pub(super) fn collate(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let call = Call::new(name, arguments, context, &[Expected::STRING, Expected::STRING], 2)?;
    match call.arguments.as_slice() {
        [value, collation] => match collation.as_literal() {
            Some(ScalarValue::Utf8(Some(wanted))) if wanted.eq_ignore_ascii_case("UTF8_BINARY") => Ok(value.clone()),
            Some(ScalarValue::Utf8(Some(wanted))) => Err(SparkError::unsupported(format!("The collation {wanted}"))),
            _ => Err(crate::arguments::not_constant(name, &call.arguments, 1, "collationName", "STRING")),
        },
        _ => Err(SparkError::internal("collate has two arguments")),
    }
}
