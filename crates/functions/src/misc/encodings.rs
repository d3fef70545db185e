//! Bytes as text and back: `base64`, `unbase64`, `encode`, `decode`, `to_binary`.

use arrow::array::StringArray;
use arrow::datatypes::DataType;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::{ExceptionClass, SparkError};

use crate::arguments::{exactly, expect_count, not_constant, type_mismatch};
use crate::coerce::{Expected, argument, to_common_type};
use crate::kernel::{Kernel, binary, string};
use crate::math::parse_hex;
use crate::operators::{comparison, lazy};
use crate::rows::{binaries, nulls_of, strings};
use crate::{FunctionContext, Typed};

/// `base64(bytes)`.
pub fn base64(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<1>(name, arguments)?;
    let value = argument(name, arguments, 0, &Expected::BINARY, context)?;
    let nullable = value.nullable;
    Ok(Kernel::new(name, DataType::Utf8, nullable).arrays(&[value], |arrays, rows| {
        let bytes = binary(&arrays[0])?;
        strings(rows, nulls_of(arrays), |row, out| {
            STANDARD.encode_string(bytes.value(row), out);
            Ok(true)
        })
    }))
}

/// `unbase64(text)`: characters outside of the alphabet are passed over.
pub fn unbase64(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<1>(name, arguments)?;
    let value = argument(name, arguments, 0, &Expected::STRING, context)?;
    let kernel = Kernel::new(name, DataType::Binary, value.nullable).fallible();
    Ok(kernel.arrays(&[value], |arrays, rows| {
        let texts = string(&arrays[0])?;
        binaries(rows, nulls_of(arrays), |row, out| {
            let failed = |text: &str| SparkError::plain(ExceptionClass::IllegalArgument, text);
            decode_mime(texts.value(row), out).map_err(failed).map(|()| true)
        })
    }))
}

fn sextet(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

/// Decodes as Java's MIME decoder does.
fn decode_mime(text: &str, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let (mut bits, mut count) = (0u32, 0);
    let mut bytes = text.bytes();
    let mut padded = false;
    while let Some(byte) = bytes.next() {
        if byte == b'=' {
            // Padding closes a group of two or three characters; a group of two takes another sign.
            let closes =
                count == 3 || (count == 2 && bytes.by_ref().find(|b| *b == b'=' || sextet(*b).is_some()) == Some(b'='));
            if !closes {
                return Err("Input byte array has wrong 4-byte ending unit");
            }
            padded = true;
            break;
        }
        let Some(value) = sextet(byte) else { continue };
        bits = bits << 6 | value;
        count += 1;
        if count == 4 {
            out.extend([(bits >> 16) as u8, (bits >> 8) as u8, bits as u8]);
            (bits, count) = (0, 0);
        }
    }
    match count {
        2 => out.push((bits >> 4) as u8),
        3 => out.extend([(bits >> 10) as u8, (bits >> 2) as u8]),
        1 => return Err("Last unit does not have enough valid bits"),
        _ => {}
    }
    if padded && bytes.any(|b| sextet(b).is_some()) {
        return Err("Input byte array has incorrect ending byte");
    }
    Ok(())
}

/// Whether a text is base64 by RFC 4648, white space aside, with or without padding.
fn is_base64(text: &str) -> bool {
    let bytes: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let body = bytes.iter().rposition(|b| *b != b'=').map_or(0, |last| last + 1);
    let padding = bytes.len() - body;
    let valid = bytes.iter().take(body).all(|b| sextet(*b).is_some());
    valid && padding <= 2 && body % 4 != 1 && (padding == 0 || bytes.len().is_multiple_of(4))
}

/// How characters become bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charset {
    Utf8,
    Ascii,
    Latin1,
    Utf16 { little: bool, mark: bool },
    Utf32,
}

impl Charset {
    fn of(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "UTF-8" => Charset::Utf8,
            "US-ASCII" => Charset::Ascii,
            "ISO-8859-1" => Charset::Latin1,
            "UTF-16" => Charset::Utf16 { little: false, mark: true },
            "UTF-16BE" => Charset::Utf16 { little: false, mark: false },
            "UTF-16LE" => Charset::Utf16 { little: true, mark: false },
            "UTF-32" => Charset::Utf32,
            _ => return None,
        })
    }

    /// Appends the bytes of a text; false if a character has none.
    fn encode(self, text: &str, out: &mut Vec<u8>) -> bool {
        let below = |limit: u32, out: &mut Vec<u8>| {
            text.chars().all(|c| {
                out.push(c as u32 as u8);
                (c as u32) < limit
            })
        };
        match self {
            Charset::Utf8 => out.extend_from_slice(text.as_bytes()),
            Charset::Ascii => return below(0x80, out),
            Charset::Latin1 => return below(0x100, out),
            Charset::Utf16 { little, mark } => {
                if mark && !text.is_empty() {
                    out.extend([0xfe, 0xff]);
                }
                text.encode_utf16()
                    .for_each(|unit| out.extend(if little { unit.to_le_bytes() } else { unit.to_be_bytes() }));
            }
            Charset::Utf32 => text.chars().for_each(|c| out.extend((c as u32).to_be_bytes())),
        }
        true
    }

    /// Appends the text of bytes; false if they are none.
    fn decode(self, bytes: &[u8], out: &mut String) -> bool {
        match self {
            Charset::Utf8 => std::str::from_utf8(bytes).map(|text| out.push_str(text)).is_ok(),
            Charset::Ascii => bytes.is_ascii() && std::str::from_utf8(bytes).map(|text| out.push_str(text)).is_ok(),
            Charset::Latin1 => {
                out.extend(bytes.iter().map(|b| char::from(*b)));
                true
            }
            Charset::Utf16 { little, mark } => {
                let (little, bytes) = match bytes {
                    [0xff, 0xfe, rest @ ..] if mark => (true, rest),
                    [0xfe, 0xff, rest @ ..] if mark => (false, rest),
                    all => (little, all),
                };
                let unit = |pair: &[u8]| match pair {
                    [a, b] if little => u16::from_le_bytes([*a, *b]),
                    [a, b] => u16::from_be_bytes([*a, *b]),
                    _ => 0,
                };
                bytes.len().is_multiple_of(2)
                    && char::decode_utf16(bytes.chunks(2).map(unit)).all(|c| c.map(|c| out.push(c)).is_ok())
            }
            Charset::Utf32 => {
                let bytes = bytes.strip_prefix(&[0, 0, 0xfe, 0xff]).unwrap_or(bytes);
                bytes.len().is_multiple_of(4)
                    && bytes.chunks(4).all(|c| match c {
                        [a, b, c, d] => {
                            char::from_u32(u32::from_be_bytes([*a, *b, *c, *d])).map(|c| out.push(c)).is_some()
                        }
                        _ => false,
                    })
            }
        }
    }
}

fn charset(function: &str, names: &StringArray, row: usize) -> Result<Charset, SparkError> {
    let name = names.value(row);
    Charset::of(name).ok_or_else(|| {
        let known = "iso-8859-1, us-ascii, utf-16, utf-16be, utf-16le, utf-32, utf-8";
        let text = format!(
            "The value of parameter(s) `charset` in `{function}` is invalid: expects one of the {known}, but got {name}."
        );
        SparkError::new(ExceptionClass::IllegalArgument, "INVALID_PARAMETER_VALUE.CHARSET", "22023", text)
            .with("functionName", format!("`{function}`"))
            .with("parameter", "`charset`")
            .with("charset", name)
            .with("charsets", known)
    })
}

fn malformed(function: &str, charset: &str) -> SparkError {
    let text = format!("Invalid value found when performing `{function}` with {charset}");
    SparkError::new(ExceptionClass::Runtime, "MALFORMED_CHARACTER_CODING", "22000", text)
        .with("function", format!("`{function}`"))
        .with("charset", charset)
}

/// `encode(text, charset)`.
pub fn encode(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<2>(name, arguments)?;
    let value = argument(name, arguments, 0, &Expected::STRING, context)?;
    let names = argument(name, arguments, 1, &Expected::STRING, context)?;
    Ok(Kernel::new(name, DataType::Binary, true).fallible().arrays(&[value, names], |arrays, rows| {
        let (texts, names) = (string(&arrays[0])?, string(&arrays[1])?);
        binaries(rows, nulls_of(arrays), |row, out| {
            match charset("encode", names, row)?.encode(texts.value(row), out) {
                true => Ok(true),
                false => Err(malformed("encode", names.value(row))),
            }
        })
    }))
}

/// `decode(bytes, charset)`, or `decode(value, search, result, …[, otherwise])`.
pub fn decode(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    if arguments.len() > 2 {
        return choose(name, arguments, context);
    }
    exactly::<2>(name, arguments)?;
    let value = argument(name, arguments, 0, &Expected::BINARY, context)?;
    let names = argument(name, arguments, 1, &Expected::STRING, context)?;
    Ok(Kernel::new(name, DataType::Utf8, true).fallible().arrays(&[value, names], |arrays, rows| {
        let (bytes, names) = (binary(&arrays[0])?, string(&arrays[1])?);
        strings(rows, nulls_of(arrays), |row, out| match charset("decode", names, row)?.decode(bytes.value(row), out) {
            true => Ok(true),
            false => Err(malformed("decode", names.value(row))),
        })
    }))
}

fn choose(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let Some((value, rest)) = arguments.split_first() else { return Err(SparkError::internal("decode of nothing")) };
    let pairs = rest.chunks_exact(2);
    let otherwise = pairs.remainder().first().cloned();
    let searches: Vec<&Typed> = rest.chunks_exact(2).filter_map(<[Typed]>::first).collect();
    let mut results: Vec<Typed> = pairs.filter_map(|p| p.get(1).cloned()).collect();
    let has_otherwise = otherwise.is_some();
    results.extend(otherwise);
    let nullable = !has_otherwise || results.iter().any(|r| r.nullable);
    let (mut results, _) = to_common_type(name, &results, context)?;
    let otherwise = if has_otherwise { results.pop() } else { None };
    let branches = searches
        .into_iter()
        .zip(results)
        .map(|(search, result)| Ok((comparison("<=>", &[value.clone(), search.clone()], context)?.expr, result)))
        .collect::<Result<Vec<_>, SparkError>>()?;
    Ok(lazy(branches, otherwise, nullable))
}

/// `to_binary(text[, format])` and `try_to_binary`: the format is `hex` (default), `utf-8`, `utf8` or `base64`, a constant.
pub fn to_binary(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[1, 2])?;
    let strict = name == "to_binary";
    let value = argument(name, arguments, 0, &Expected::STRING, context)?;
    let format = match arguments.get(1).map(|f| f.as_literal()) {
        None => "hex".to_string(),
        Some(Some(ScalarValue::Utf8(Some(format)))) => format.to_lowercase(),
        Some(Some(value)) if value.is_null() => return Ok(Typed::literal(ScalarValue::Binary(None))),
        Some(_) => return Err(not_constant(name, arguments, 1, "fmt", "STRING")),
    };
    let parse: fn(&str, &mut Vec<u8>) -> bool = match format.as_str() {
        "hex" => parse_hex,
        "utf-8" | "utf8" => |text, out| {
            out.extend_from_slice(text.as_bytes());
            true
        },
        "base64" => |text, out| is_base64(text) && decode_mime(text, out).is_ok(),
        _ if !strict => return Ok(Typed::literal(ScalarValue::Binary(None))),
        other => return Err(unknown_format(name, arguments, other)),
    };
    let nullable = value.nullable || !strict || format != "base64";
    let mut kernel = Kernel::new(name, DataType::Binary, nullable).bound_to(&format);
    if strict {
        kernel = kernel.fallible();
    }
    Ok(kernel.arrays(&[value], move |arrays, rows| {
        let texts = string(&arrays[0])?;
        binaries(rows, nulls_of(arrays), |row, out| match parse(texts.value(row), out) {
            false if strict => Err(invalid_binary(texts.value(row), &format)),
            parsed => Ok(parsed),
        })
    }))
}

fn unknown_format(name: &str, arguments: &[Typed], format: &str) -> SparkError {
    let text = format!(
        "The fmt value must to be a case-insensitive \"STRING\" literal of 'hex', 'utf-8', 'utf8', or 'base64', but got '{format}'."
    );
    type_mismatch("INVALID_ARG_VALUE", name, arguments, text)
        .with("inputName", "fmt")
        .with("requireType", "case-insensitive \"STRING\"")
        .with("validValues", "'hex', 'utf-8', 'utf8', or 'base64'")
        .with("inputValue", format!("'{format}'"))
}

fn invalid_binary(text: &str, format: &str) -> SparkError {
    let format = format.to_uppercase();
    let message = format!(
        "The value '{text}' ('{format}') cannot be converted to \"BINARY\" because it is malformed. Correct the value as per the syntax, \
         or change its format. Use `try_to_binary` to tolerate malformed input and return NULL instead."
    );
    SparkError::new(ExceptionClass::IllegalArgument, "CONVERSION_INVALID_INPUT", "22018", message)
        .with("str", format!("'{text}'"))
        .with("fmt", format!("'{format}'"))
        .with("targetType", "\"BINARY\"")
        .with("suggestion", "`try_to_binary`")
}
