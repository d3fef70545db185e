//! One value out of a text, as a cast reads it: for partition directories.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array,
    Int16Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, TimeUnit};
use millstream_formats::text;
use millstream_formats::zone::Zone;

use super::partition;

/// An array of one value; absent if the text does not fit the type.
pub(crate) fn one(text: &str, data_type: &DataType, zone: &Zone) -> Option<ArrayRef> {
    let integer = || text::parse_integer(text, false);
    Some(match data_type {
        DataType::Utf8 => Arc::new(StringArray::from(vec![text])),
        DataType::Binary => Arc::new(BinaryArray::from(vec![text.as_bytes()])),
        DataType::Boolean => Arc::new(BooleanArray::from(vec![text::parse_boolean(text)?])),
        DataType::Int8 => Arc::new(Int8Array::from(vec![i8::try_from(integer()?).ok()?])),
        DataType::Int16 => Arc::new(Int16Array::from(vec![i16::try_from(integer()?).ok()?])),
        DataType::Int32 => Arc::new(Int32Array::from(vec![i32::try_from(integer()?).ok()?])),
        DataType::Int64 => Arc::new(Int64Array::from(vec![integer()?])),
        DataType::Float32 => Arc::new(Float32Array::from(vec![text::parse_f32(text)?])),
        DataType::Float64 => Arc::new(Float64Array::from(vec![text::parse_f64(text)?])),
        DataType::Decimal128(precision, scale) => {
            let value = partition::decimal(text, *precision, *scale)?;
            Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(*precision, *scale).ok()?)
        }
        DataType::Date32 => Arc::new(Date32Array::from(vec![text::parse_date(text)?])),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            let us = text::parse_timestamp(text, zone, 0)?;
            Arc::new(TimestampMicrosecondArray::from(vec![us]).with_timezone("UTC"))
        }
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            Arc::new(TimestampMicrosecondArray::from(vec![text::parse_timestamp_ntz(text, true)?]))
        }
        _ => return None,
    })
}
