//! Casts between arrays, between maps and between structs: part by part.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray, MapArray, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Fields};
use millstream_formats::condition::{ExceptionClass, SparkError};

use super::{CastRun, cast_array};
use crate::kernel::{list, map, structs};

/// An array, map or struct as another of its kind.
pub fn cast_nested(array: &ArrayRef, to: &DataType, run: &CastRun) -> Result<ArrayRef, SparkError> {
    match to {
        DataType::List(element) => {
            let list = list(array)?;
            let values = cast_array(list.values(), element.data_type(), run)?;
            refuse_new_nulls(&values, element.is_nullable())?;
            Ok(Arc::new(ListArray::try_new(
                Arc::clone(element),
                list.offsets().clone(),
                values,
                list.nulls().cloned(),
            )?))
        }
        DataType::Map(entries, sorted) => {
            let map = map(array)?;
            let DataType::Struct(fields) = entries.data_type() else {
                return Err(SparkError::internal("a map without entries"));
            };
            let entry_array = cast_fields(map.entries(), fields, run, map.entries().nulls().cloned())?;
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, entry_array, nulls, *sorted)?))
        }
        DataType::Struct(fields) => {
            let values = structs(array)?;
            Ok(Arc::new(cast_fields(values, fields, run, values.nulls().cloned())?))
        }
        other => Err(SparkError::internal(format!("no cast from {} to {other}", array.data_type()))),
    }
}

fn cast_fields(
    values: &StructArray,
    to: &Fields,
    run: &CastRun,
    nulls: Option<NullBuffer>,
) -> Result<StructArray, SparkError> {
    let columns = values
        .columns()
        .iter()
        .zip(to)
        .map(|(c, f)| cast_array(c, f.data_type(), run))
        .collect::<Result<Vec<_>, _>>()?;
    if columns.is_empty() {
        return Ok(StructArray::new_empty_fields(values.len(), nulls));
    }
    Ok(StructArray::try_new(to.clone(), columns, nulls)?)
}

fn refuse_new_nulls(values: &dyn Array, nullable: bool) -> Result<(), SparkError> {
    if nullable || values.logical_null_count() == 0 {
        return Ok(());
    }
    let text = "A cast gave null for an element that must not be null.";
    Err(SparkError::plain(ExceptionClass::Runtime, text))
}
