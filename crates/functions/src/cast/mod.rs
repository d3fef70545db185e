//! `CAST` and `TRY_CAST` between all of Spark's types, in ANSI and in legacy mode.

use std::sync::Arc;

use arrow::array::{ArrayRef, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use millstream_formats::condition::SparkError;

use crate::coerce::{force_nullable, is_numeric};
use crate::kernel::Kernel;
use crate::{FunctionContext, Typed};

/// The value as another type. An impossible pair of types is `DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION`; a value that does
/// not fit fails the query in ANSI mode and is null in legacy mode and with `try_cast`.
pub fn cast(value: Typed, to: &DataType, try_cast: bool, context: &FunctionContext) -> Result<Typed, SparkError> {
    if value.data_type == *to {
        return Ok(value);
    }
    let nullable = try_cast || value.nullable || force_nullable(&value.data_type, to);
    let (target, ansi) = (to.clone(), context.ansi && !try_cast);
    let kernel = Kernel::new("cast", to.clone(), nullable).bound_to(ansi).bound_to(&context.time_zone).fallible();
    Ok(kernel.arrays(&[value], move |arrays, _| cast_array(&arrays[0], &target, ansi)))
}

fn cast_array(array: &ArrayRef, to: &DataType, ansi: bool) -> Result<ArrayRef, SparkError> {
    match (array.data_type(), to) {
        (from, to) if from == to => Ok(Arc::clone(array)),
        (DataType::Null, to) => Ok(new_null_array(to, array.len())),
        (from, to) if is_numeric(from) && is_numeric(to) => {
            Ok(cast_with_options(array, to, &CastOptions { safe: !ansi, ..Default::default() })?)
        }
        (from, to) => Err(SparkError::unsupported(format!("a cast from {from} to {to}"))),
    }
}
