//! `factorial` and `width_bucket`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};
use millstream_formats::condition::SparkError;

use crate::arguments::exactly;
use crate::coerce::{Expected, argument, arguments as coerced};
use crate::kernel::{Kernel, primitive};
use crate::rows::{nulls_of, numbers};
use crate::{FunctionContext, Typed};

/// `factorial(n)`: null unless n is in 0 to 20.
pub fn factorial(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<1>(name, arguments)?;
    let value = argument(name, arguments, 0, &Expected::INT, context)?;
    Ok(Kernel::new(name, DataType::Int64, true).arrays(&[value], |arrays, _| {
        let product = |n: i32| (0..=20).contains(&n).then(|| (1..=i64::from(n)).product());
        Ok(Arc::new(primitive::<Int32Type>(&arrays[0])?.unary_opt::<_, Int64Type>(product)))
    }))
}

/// `width_bucket(value, min, max, buckets)`.
pub fn width_bucket(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<4>(name, arguments)?;
    let expected = [Expected::DOUBLE, Expected::DOUBLE, Expected::DOUBLE, Expected::LONG];
    let values = coerced(name, arguments, &expected, context)?;
    Ok(Kernel::new(name, DataType::Int64, true).arrays(&values, |arrays, rows| {
        let (value, low) = (primitive::<Float64Type>(&arrays[0])?, primitive::<Float64Type>(&arrays[1])?);
        let (high, count) = (primitive::<Float64Type>(&arrays[2])?, primitive::<Int64Type>(&arrays[3])?);
        let result = numbers::<Int64Type>(rows, nulls_of(arrays), |row| {
            Ok(bucket(value.value(row), low.value(row), high.value(row), count.value(row)))
        })?;
        Ok(Arc::new(result))
    }))
}

fn bucket(value: f64, low: f64, high: f64, count: i64) -> Option<i64> {
    if count <= 0 || count == i64::MAX || value.is_nan() || low == high || !low.is_finite() || !high.is_finite() {
        return None;
    }
    let (from, to) = (low.min(high), low.max(high));
    let reversed = low > high;
    if value < from || (reversed && value == from) {
        return Some(if reversed { count + 1 } else { 0 });
    }
    if value > to || (!reversed && value == to) {
        return Some(if reversed { 0 } else { count + 1 });
    }
    let distance = if reversed { to - value } else { value - from };
    Some((count as f64 * distance / (to - from)) as i64 + 1)
}
