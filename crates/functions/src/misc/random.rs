//! `rand`, `randn`, `uniform`, `randstr`, `uuid`: the sequence of a seed is that of Spark's partition of the same number.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Float64Builder};
use arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;
use foldhash::fast::RandomState;
use std::hash::BuildHasher;

use millstream_formats::condition::{ExceptionClass, SparkError};

use super::generators::{MersenneTwister, XorShift};
use crate::arguments::{exactly, expect_count, not_constant, type_mismatch, unexpected_input};
use crate::coerce::{cast_to, is_numeric, tightest_common_type, wider_decimal};
use crate::kernel::{Kernel, primitive};
use crate::rows::strings;
use crate::sql_text::{failed_call, sql_text};
use crate::task::PerTask;
use crate::{FunctionContext, Typed};

/// The seed at `index`, a random one if there is none; null is 0.
fn seed(name: &str, arguments: &[Typed], index: usize, context: &FunctionContext) -> Result<i64, SparkError> {
    let Some(found) = arguments.get(index) else {
        return Ok(RandomState::default().hash_one(name) as i64);
    };
    if !matches!(found.data_type, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Null)
    {
        return Err(unexpected_input(name, arguments, index, "(\"INT\" or \"BIGINT\")"));
    }
    let value = cast_to(found.clone(), &DataType::Int64, context)?;
    match value.as_literal() {
        Some(ScalarValue::Int64(seed)) => Ok(seed.unwrap_or(0)),
        _ => Err(seed_not_constant(name, arguments, found)),
    }
}

fn seed_not_constant(name: &str, arguments: &[Typed], seed: &Typed) -> SparkError {
    let (seed, call) = (sql_text(&seed.expr), failed_call(name, arguments));
    let text = format!("The seed expression \"{seed}\" of the expression \"{call}\" must be foldable.");
    SparkError::new(ExceptionClass::Analysis, "SEED_EXPRESSION_IS_UNFOLDABLE", "42K08", text)
        .with("seedExpr", format!("\"{seed}\""))
        .with("exprWithSeed", format!("\"{call}\""))
}

/// `rand([seed])` in [0, 1), `randn([seed])` of the standard normal distribution.
pub fn rand(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[0, 1])?;
    let seed = seed(name, arguments, 0, context)?;
    let draw = if name == "randn" { XorShift::next_gaussian } else { XorShift::next_double };
    Ok(doubles(name, seed, draw))
}

fn doubles(name: &str, seed: i64, draw: fn(&mut XorShift) -> f64) -> Typed {
    let random = PerTask::new(move |partition| XorShift::new(seed.wrapping_add(partition as i64)));
    Kernel::new(name, DataType::Float64, false).bound_to(seed).volatile().per_task().arrays(&[], move |_, rows| {
        let values = random.with(|random| {
            let mut values = Float64Builder::with_capacity(rows);
            (0..rows).for_each(|_| values.append_value(draw(random)));
            values.finish()
        });
        Ok(Arc::new(values) as ArrayRef)
    })
}

/// `uniform(min, max[, seed])` in [min, max), of their common type.
pub fn uniform(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[2, 3])?;
    for (index, parameter) in ["min", "max"].into_iter().enumerate() {
        let Some(bound) = arguments.get(index) else { continue };
        if !is_numeric(&bound.data_type) && bound.data_type != DataType::Null {
            return Err(unexpected_input(name, arguments, index, "\"NUMERIC\""));
        }
        if bound.as_literal().is_none() {
            let input = sql_text(&bound.expr);
            let text = format!(
                "the input `{parameter}` should be a foldable integer or floating-point expression; however, got \"{input}\"."
            );
            return Err(type_mismatch("NON_FOLDABLE_INPUT", name, arguments, text));
        }
    }
    let seed = seed(name, arguments, 2, context)?;
    let [low, high] = exactly::<2>(name, arguments.get(..2).unwrap_or_default())?;
    let common = uniform_type(&low.data_type, &high.data_type)
        .ok_or_else(|| crate::arguments::no_common_type(name, arguments))?;
    let (low, high) = (double_of(low, context)?, double_of(high, context)?);
    let (Some(low), Some(high)) = (low, high) else {
        return ScalarValue::try_new_null(&common).map(Typed::literal).map_err(crate::kernel::from_datafusion);
    };
    let random = doubles(name, seed, XorShift::next_double);
    let scaled = Kernel::new(name, DataType::Float64, false).bound_to(low).bound_to(high).volatile().arrays(
        &[random],
        move |arrays, _| {
            let values: Float64Array =
                primitive::<arrow::datatypes::Float64Type>(&arrays[0])?.unary(|v| v * (high - low) + low);
            Ok(Arc::new(values) as ArrayRef)
        },
    );
    let value = cast_to(scaled, &common, context)?;
    Ok(Typed { nullable: false, ..value })
}

/// The common type of the bounds; a decimal beside a whole number keeps its own type.
fn uniform_type(low: &DataType, high: &DataType) -> Option<DataType> {
    match (low, high) {
        (DataType::Decimal128(..), DataType::Decimal128(..)) => wider_decimal(low, high),
        (DataType::Decimal128(..), whole) if whole.is_signed_integer() => Some(low.clone()),
        (whole, DataType::Decimal128(..)) if whole.is_signed_integer() => Some(high.clone()),
        (DataType::Decimal128(..), other) | (other, DataType::Decimal128(..)) => Some(other.clone()),
        // Only here a float beside a whole number stays a float.
        _ => tightest_common_type(low, high, false),
    }
}

fn double_of(value: &Typed, context: &FunctionContext) -> Result<Option<f64>, SparkError> {
    match cast_to(value.clone(), &DataType::Float64, context)?.as_literal() {
        Some(ScalarValue::Float64(value)) => Ok(*value),
        _ => Ok(None),
    }
}

/// `randstr(length[, seed])`: characters of 0-9, a-z, A-Z.
pub fn randstr(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[1, 2])?;
    let seed = seed(name, arguments, 1, context)?;
    let length = match arguments.first() {
        Some(length) if length.data_type.is_signed_integer() => cast_to(length.clone(), &DataType::Int32, context)?,
        _ => return Err(unexpected_input(name, arguments, 0, "INT or SMALLINT")),
    };
    let Some(ScalarValue::Int32(length)) = length.as_literal() else {
        return Err(not_constant(name, arguments, 0, "length", "INT"));
    };
    let length = match length {
        Some(length) if *length >= 0 => *length as usize,
        other => return Err(negative_length(name, other.unwrap_or(0))),
    };
    let random = PerTask::new(move |partition| XorShift::new(seed.wrapping_add(partition as i64)));
    let kernel = Kernel::new(name, DataType::Utf8, false).bound_to(length).bound_to(seed).volatile().per_task();
    Ok(kernel.arrays(&[], move |_, rows| {
        random.with(|random| {
            strings(rows, None, |_, out| {
                (0..length).for_each(|_| out.push(character(random.next_int())));
                Ok(true)
            })
        })
    }))
}

fn character(random: i32) -> char {
    const ALPHABET: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    char::from(ALPHABET.get((random % 62).unsigned_abs() as usize).copied().unwrap_or(b'0'))
}

fn negative_length(name: &str, length: i32) -> SparkError {
    let text = format!(
        "The value of parameter(s) `length` in `{name}` is invalid: Expects `length` greater than or equal to 0, but got {length}."
    );
    SparkError::new(ExceptionClass::Runtime, "INVALID_PARAMETER_VALUE.LENGTH", "22023", text)
}

/// `uuid([seed])`: version 4.
pub fn uuid(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[0, 1])?;
    let seed = seed(name, arguments, 0, context)?;
    let random = PerTask::new(move |partition| MersenneTwister::new(seed.wrapping_add(partition as i64)));
    let kernel = Kernel::new(name, DataType::Utf8, false).bound_to(seed).volatile().per_task();
    Ok(kernel
        .arrays(&[], move |_, rows| random.with(|random| strings(rows, None, |_, out| Ok(write_uuid(random, out))))))
}

fn write_uuid(random: &mut MersenneTwister, out: &mut String) -> bool {
    let high = (random.next_long() & 0xffff_ffff_ffff_0fff) | 0x4000;
    let low = (random.next_long() | 0x8000_0000_0000_0000) & 0xbfff_ffff_ffff_ffff;
    let (a, b, c) = (high >> 32, high >> 16 & 0xffff, high & 0xffff);
    write!(out, "{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}", low >> 48, low & 0xffff_ffff_ffff).is_ok()
}
