//! Numbers and bytes in other bases: `conv`, `hex`, `unhex`, `bin`.

use std::fmt::Write;

use arrow::datatypes::{DataType, Int32Type, Int64Type};
use millstream_formats::condition::SparkError;

use crate::arguments::exactly;
use crate::coerce::{Expected, argument, arguments as coerced};
use crate::kernel::{Kernel, binary, primitive, string};
use crate::operators::overflow;
use crate::rows::{binaries, nulls_of, strings};
use crate::{FunctionContext, Typed};

/// `conv(number, from, to)`: unsigned 64 bits, signed if `to` is negative.
pub fn conv(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<3>(name, arguments)?;
    let values = coerced(name, arguments, &[Expected::STRING, Expected::INT, Expected::INT], context)?;
    let ansi = context.ansi;
    let mut kernel = Kernel::new(name, DataType::Utf8, true).bound_to(ansi);
    if ansi {
        kernel = kernel.fallible();
    }
    Ok(kernel.arrays(&values, move |arrays, rows| {
        let texts = string(&arrays[0])?;
        let (from, to) = (primitive::<Int32Type>(&arrays[1])?, primitive::<Int32Type>(&arrays[2])?);
        strings(rows, nulls_of(arrays), |row, out| convert(texts.value(row), from.value(row), to.value(row), ansi, out))
    }))
}

fn convert(text: &str, from: i32, to: i32, ansi: bool, out: &mut String) -> Result<bool, SparkError> {
    let text = text.trim_matches(' ');
    if text.is_empty() || !(2..=36).contains(&from) || !(2..=36).contains(&to.abs()) {
        return Ok(false);
    }
    let (mut negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut value: u64 = 0;
    for digit in digits.chars().map_while(|c| c.to_digit(from as u32)) {
        let next = value.checked_mul(from as u64).and_then(|v| v.checked_add(u64::from(digit)));
        match next {
            Some(next) => value = next,
            None if ansi => return Err(overflow("Overflow in function conv()", None)),
            None => {
                value = u64::MAX;
                break;
            }
        }
    }
    if negative && to > 0 {
        value = if (value as i64) < 0 { u64::MAX } else { value.wrapping_neg() };
    }
    if to < 0 && (value as i64) < 0 {
        value = value.wrapping_neg();
        negative = true;
    }
    if negative && to < 0 {
        out.push('-');
    }
    write_base(value, to.unsigned_abs(), out);
    Ok(true)
}

fn write_base(mut value: u64, base: u32, out: &mut String) {
    let mut digits = [0u8; 64];
    let mut start = digits.len();
    loop {
        start -= 1;
        let digit = char::from_digit((value % u64::from(base)) as u32, base).unwrap_or('0');
        digits[start] = digit.to_ascii_uppercase() as u8;
        value /= u64::from(base);
        if value == 0 {
            break;
        }
    }
    out.extend(digits[start..].iter().map(|b| char::from(*b)));
}

/// `hex(x)` of a whole number, a string or binary.
pub fn hex(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<1>(name, arguments)?;
    let expected = Expected::OneOf(vec![Expected::LONG, Expected::BINARY, Expected::STRING]);
    let value = argument(name, arguments, 0, &expected, context)?;
    let nullable = value.nullable;
    Ok(Kernel::new(name, DataType::Utf8, nullable).arrays(&[value], |arrays, rows| {
        let nulls = nulls_of(arrays);
        match arrays[0].data_type() {
            DataType::Int64 => {
                let values = primitive::<Int64Type>(&arrays[0])?;
                strings(rows, nulls, |row, out| Ok(write!(out, "{:X}", values.value(row)).is_ok()))
            }
            DataType::Utf8 => {
                let values = string(&arrays[0])?;
                strings(rows, nulls, |row, out| Ok(write_hex(values.value(row).as_bytes(), out)))
            }
            _ => {
                let values = binary(&arrays[0])?;
                strings(rows, nulls, |row, out| Ok(write_hex(values.value(row), out)))
            }
        }
    }))
}

fn write_hex(bytes: &[u8], out: &mut String) -> bool {
    bytes.iter().all(|b| write!(out, "{b:02X}").is_ok())
}

/// Bytes of hexadecimal digits, of which the first may stand alone; none if there is another character.
pub fn parse_hex(text: &str, out: &mut Vec<u8>) -> bool {
    let digits = text.as_bytes();
    let value = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
    let (first, pairs) = digits.split_at(digits.len() % 2);
    for pair in first.chunks(1).chain(pairs.chunks(2)) {
        let Some(byte) = pair.iter().try_fold(0u8, |byte, digit| Some(byte << 4 | value(*digit)?)) else {
            return false;
        };
        out.push(byte);
    }
    true
}

/// `unhex(text)`: null if it has another character than hexadecimal digits.
pub fn unhex(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<1>(name, arguments)?;
    let value = argument(name, arguments, 0, &Expected::STRING, context)?;
    Ok(Kernel::new(name, DataType::Binary, true).arrays(&[value], |arrays, rows| {
        let texts = string(&arrays[0])?;
        binaries(rows, nulls_of(arrays), |row, out| Ok(parse_hex(texts.value(row), out)))
    }))
}

/// `bin(x)`: the 64 bits of a whole number without zeros in front.
pub fn bin(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<1>(name, arguments)?;
    let value = argument(name, arguments, 0, &Expected::LONG, context)?;
    let nullable = value.nullable;
    Ok(Kernel::new(name, DataType::Utf8, nullable).arrays(&[value], |arrays, rows| {
        let values = primitive::<Int64Type>(&arrays[0])?;
        strings(rows, nulls_of(arrays), |row, out| Ok(write!(out, "{:b}", values.value(row)).is_ok()))
    }))
}
