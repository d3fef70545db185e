//! `CAST` and `TRY_CAST` between all of Spark's types, in ANSI and in legacy mode.
//!
//! Which pairs are possible is decided when the cast is built ([`permission`]); the kernels are ordered by the type they
//! read: [`numbers`], [`texts`], [`temporal`], [`nested`]. Casts without any loss (`int` to `bigint`) are DataFusion's own, so
//! that its optimizer sees through them.

mod failure;
mod nested;
mod numbers;
mod permission;
mod temporal;
mod texts;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::datatypes::DataType;
use datafusion::logical_expr::{Cast, Expr};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;
use millstream_formats::text::{TextOptions, to_text};
use millstream_formats::zone::Zone;

use crate::coerce::{force_nullable, is_numeric};
use crate::datetime::session_zone;
use crate::kernel::{Kernel, from_datafusion};
use crate::{FunctionContext, Typed};

pub(crate) use failure::decimal_out_of_range;
pub use failure::sql_value;

/// What happens to a value that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It fails the query.
    Ansi,
    /// It is null (`try_cast`).
    Try,
    /// It is cut to size or null, as Hive did.
    Legacy,
}

/// How a cast runs.
#[derive(Debug, Clone)]
pub(crate) struct CastRun {
    pub(crate) mode: Mode,
    pub(crate) zone: Zone,
    now_us: Arc<AtomicI64>,
}

impl CastRun {
    /// Of the settings in force.
    pub(crate) fn new(try_cast: bool, context: &FunctionContext) -> Result<Self, SparkError> {
        let mode = match (try_cast, context.ansi) {
            (true, _) => Mode::Try,
            (false, true) => Mode::Ansi,
            (false, false) => Mode::Legacy,
        };
        Ok(Self { mode, zone: session_zone(context)?, now_us: Arc::clone(&context.now_us) })
    }

    fn now_us(&self) -> i64 {
        self.now_us.load(Ordering::Relaxed)
    }
}

/// The value as another type.
///
/// # Errors
/// An impossible pair of types is a `DATATYPE_MISMATCH`. A value that does not fit fails the query in ANSI mode, and is null or
/// cut to size in legacy mode, null with `try_cast`.
pub fn cast(value: Typed, to: &DataType, try_cast: bool, context: &FunctionContext) -> Result<Typed, SparkError> {
    if value.data_type == *to {
        return Ok(value);
    }
    let run = CastRun::new(try_cast, context)?;
    permission::check(&value, to, run.mode)?;
    let never_fails = is_lossless(&value.data_type, to);
    let forced = if try_cast { !never_fails } else { force_nullable(&value.data_type, to) };
    let nullable = value.nullable || forced;
    if let Some(literal) = value.as_literal()
        && let Some(folded) = fold(literal, to, &run)
    {
        return Ok(Typed::new(folded.expr, to.clone(), nullable));
    }
    // DataFusion's own cast of a decimal to a floating number rounds twice.
    let decimal = |t: &DataType| matches!(t, DataType::Decimal128(..));
    if never_fails && is_numeric(to) && !decimal(to) && !decimal(&value.data_type) {
        return Ok(Typed::new(Expr::Cast(Cast::new(Box::new(value.expr), to.clone())), to.clone(), nullable));
    }
    let mut kernel = Kernel::new("cast", to.clone(), nullable).bound_to(format!("{:?}", run.mode)).bound_to(run.zone);
    if run.mode == Mode::Ansi && !never_fails {
        kernel = kernel.fallible();
    }
    let target = to.clone();
    Ok(kernel.arrays(&[value], move |arrays, _| cast_array(&arrays[0], &target, &run)))
}

/// A constant as another type, unless it fails or depends on the time of day: then it is left to run time.
fn fold(value: &ScalarValue, to: &DataType, run: &CastRun) -> Option<Typed> {
    if matches!((value, to), (ScalarValue::Utf8(_), DataType::Timestamp(..) | DataType::Time64(_))) {
        return None;
    }
    let array = value.to_array().ok()?;
    let result = cast_array(&array, to, run).ok()?;
    ScalarValue::try_from_array(&result, 0).map_err(from_datafusion).ok().map(Typed::literal)
}

/// Whether every value fits without loss.
fn is_lossless(from: &DataType, to: &DataType) -> bool {
    use DataType::{Date32, Decimal128, Float32, Float64, Int8, Int16, Int32, Int64, Null, Timestamp, Utf8};
    match (from, to) {
        (Null, _) | (_, Utf8) => true,
        (Utf8, DataType::Binary) => true,
        (Int8, Int16 | Int32 | Int64 | Float32 | Float64) => true,
        (Int16, Int32 | Int64 | Float32 | Float64) => true,
        (Int32, Int64 | Float32 | Float64) => true,
        (Int64, Float32 | Float64) => true,
        (Float32, Float64) => true,
        (Decimal128(..), Float32 | Float64) => true,
        (_, Decimal128(..)) => is_numeric(from) && !force_nullable(from, to),
        (Date32, Timestamp(..)) | (Timestamp(..), Date32 | Timestamp(..)) => true,
        (DataType::List(a), DataType::List(b)) | (DataType::Map(a, _), DataType::Map(b, _)) => {
            a.data_type() == b.data_type() || is_lossless(a.data_type(), b.data_type())
        }
        (DataType::Struct(a), DataType::Struct(b)) => {
            a.iter().zip(b).all(|(a, b)| a.data_type() == b.data_type() || is_lossless(a.data_type(), b.data_type()))
        }
        _ => false,
    }
}

/// An array as another type, which [`permission`] must have allowed.
pub(crate) fn cast_array(array: &ArrayRef, to: &DataType, run: &CastRun) -> Result<ArrayRef, SparkError> {
    let from = array.data_type();
    match (from, to) {
        _ if from == to => Ok(Arc::clone(array)),
        (DataType::Null, _) => Ok(new_null_array(to, array.len())),
        (
            DataType::List(_) | DataType::Map(..) | DataType::Struct(_),
            DataType::List(_) | DataType::Map(..) | DataType::Struct(_),
        ) => nested::cast_nested(array, to, run),
        (_, DataType::Utf8) => to_string(array, run),
        (DataType::Utf8, _) => texts::cast_text(array, to, run),
        (
            DataType::Date32
            | DataType::Timestamp(..)
            | DataType::Time64(_)
            | DataType::Duration(_)
            | DataType::Interval(_),
            _,
        ) => temporal::cast_temporal(array, to, run),
        (_, DataType::Timestamp(..) | DataType::Duration(_) | DataType::Interval(_)) => {
            temporal::cast_to_temporal(array, to, run)
        }
        _ => numbers::cast_number(array, to, run),
    }
}

fn to_string(array: &dyn Array, run: &CastRun) -> Result<ArrayRef, SparkError> {
    let options = TextOptions { plain_decimals: run.mode != Mode::Legacy, ..TextOptions::cast(run.zone) };
    Ok(Arc::new(to_text(array, &options)?))
}

#[cfg(test)]
mod tests;
