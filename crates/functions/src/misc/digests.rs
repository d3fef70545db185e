//! `md5`, `sha1`, `sha2`, `crc32`, and the row hashes `hash` and `xxhash64`.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use md5::Digest;
use millstream_formats::condition::SparkError;
use millstream_formats::hash::{SEED, murmur3, xxhash64};
use millstream_formats::types::is_variant;

use crate::arguments::{exactly, expect_at_least, type_mismatch};
use crate::coerce::{Expected, argument};
use crate::kernel::{Kernel, binary, primitive};
use crate::rows::{nulls_of, numbers, strings};
use crate::{FunctionContext, Typed};

fn write_hex(bytes: &[u8], out: &mut String) -> bool {
    bytes.iter().all(|b| write!(out, "{b:02x}").is_ok())
}

/// `md5`, `sha`, `sha1` as hexadecimal text, `crc32` as a number.
pub fn digest(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<1>(name, arguments)?;
    let value = argument(name, arguments, 0, &Expected::BINARY, context)?;
    let nullable = value.nullable;
    if name == "crc32" {
        return Ok(Kernel::new(name, DataType::Int64, nullable).arrays(&[value], |arrays, rows| {
            let bytes = binary(&arrays[0])?;
            let checksum = |row| Ok(Some(i64::from(crc32fast::hash(bytes.value(row)))));
            Ok(Arc::new(numbers::<Int64Type>(rows, nulls_of(arrays), checksum)?))
        }));
    }
    let md5 = name == "md5";
    Ok(Kernel::new(name, DataType::Utf8, nullable).arrays(&[value], move |arrays, rows| {
        let bytes = binary(&arrays[0])?;
        strings(rows, nulls_of(arrays), |row, out| {
            let value = bytes.value(row);
            Ok(if md5 { write_hex(&md5::Md5::digest(value), out) } else { write_hex(&sha1::Sha1::digest(value), out) })
        })
    }))
}

/// `sha2(value, bits)`: null unless bits is 0, 224, 256, 384 or 512.
pub fn sha2(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<2>(name, arguments)?;
    let value = argument(name, arguments, 0, &Expected::BINARY, context)?;
    let bits = argument(name, arguments, 1, &Expected::INT, context)?;
    Ok(Kernel::new(name, DataType::Utf8, true).arrays(&[value, bits], |arrays, rows| {
        let (bytes, bits) = (binary(&arrays[0])?, primitive::<Int32Type>(&arrays[1])?);
        strings(rows, nulls_of(arrays), |row, out| {
            let value = bytes.value(row);
            Ok(match bits.value(row) {
                0 | 256 => write_hex(&sha2::Sha256::digest(value), out),
                224 => write_hex(&sha2::Sha224::digest(value), out),
                384 => write_hex(&sha2::Sha384::digest(value), out),
                512 => write_hex(&sha2::Sha512::digest(value), out),
                _ => false,
            })
        })
    }))
}

/// `hash(a, b, …)`, `xxhash64(a, b, …)`: never null.
pub fn hash(name: &str, arguments: &[Typed], _context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_at_least(name, arguments, 1)?;
    for value in arguments {
        refuse(name, arguments, &value.data_type)?;
    }
    if name == "hash" {
        return Ok(Kernel::new(name, DataType::Int32, false).arrays(arguments, |arrays, rows| {
            Ok(Arc::new(Int32Array::from(murmur3(arrays, rows, SEED)?)) as ArrayRef)
        }));
    }
    Ok(Kernel::new(name, DataType::Int64, false).arrays(arguments, |arrays, rows| {
        Ok(Arc::new(Int64Array::from(xxhash64(arrays, rows, i64::from(SEED))?)) as ArrayRef)
    }))
}

/// Fails if the type has no hash.
fn refuse(name: &str, arguments: &[Typed], data_type: &DataType) -> Result<(), SparkError> {
    match data_type {
        DataType::Map(..) => {
            let text = format!(
                "Input to the function `{name}` cannot contain elements of the \"MAP\" type. In Spark, same maps may have different \
                 hashcode, thus hash expressions are prohibited on \"MAP\" elements. To restore previous behavior set \
                 \"spark.sql.legacy.allowHashOnMapType\" to \"true\"."
            );
            Err(type_mismatch("HASH_MAP_TYPE", name, arguments, text).with("functionName", format!("`{name}`")))
        }
        DataType::Struct(fields) if is_variant(fields) => {
            let text = format!("Input to the function `{name}` cannot contain elements of the \"VARIANT\" type yet.");
            Err(type_mismatch("HASH_VARIANT_TYPE", name, arguments, text).with("functionName", format!("`{name}`")))
        }
        DataType::Struct(fields) => fields.iter().try_for_each(|f| refuse(name, arguments, f.data_type())),
        DataType::List(element) => refuse(name, arguments, element.data_type()),
        _ => Ok(()),
    }
}
