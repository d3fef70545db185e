//! Between the types of Parquet columns, as Arrow reads them, and Spark's.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, new_null_array};
use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::types;
use parquet::schema::types::SchemaDescriptor;

/// Whether Parquet has a type of Spark's.
pub(super) fn supported(data_type: &DataType) -> bool {
    match data_type {
        DataType::Null => true,
        DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano) => false,
        DataType::Struct(fields) => fields.iter().all(|f| supported(f.data_type())),
        DataType::List(item) => supported(item.data_type()),
        DataType::Map(entries, _) => supported(entries.data_type()),
        _ => true,
    }
}

/// Spark's type of a column without Spark's own schema.
///
/// # Errors
/// A type that Spark does not have.
pub(super) fn spark_type(field: &Field) -> Result<DataType, SparkError> {
    let child = |f: &Field| spark_type(f);
    Ok(match field.data_type() {
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Timestamp(_, Some(_)) => types::timestamp(),
        // INT96 comes as nanoseconds without zone, but means an instant.
        DataType::Timestamp(TimeUnit::Nanosecond, None) => types::timestamp(),
        DataType::Timestamp(_, None) => types::timestamp_ntz(),
        DataType::Time64(_) => DataType::Time64(TimeUnit::Nanosecond),
        DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|f| Ok(Field::new(f.name(), child(f)?, true)));
            DataType::Struct(fields.collect::<Result<Vec<Field>, SparkError>>()?.into())
        }
        DataType::List(item) => types::array(child(item)?, true),
        DataType::Map(entries, _) => match types::key_and_value(entries) {
            Some((key, value)) => types::map(child(key)?, child(value)?, true),
            None => return Err(SparkError::internal("a map without key and value")),
        },
        plain @ (DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Utf8
        | DataType::Binary
        | DataType::Date32
        | DataType::Null) => plain.clone(),
        other => {
            let message = format!("Illegal Parquet type: {other}.");
            return Err(SparkError::new(ExceptionClass::Analysis, "PARQUET_TYPE_ILLEGAL", "42846", message));
        }
    })
}

/// Whether Spark reads values of one type as another.
pub(super) fn converts(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Binary, Date32, Decimal128, Duration, FixedSizeBinary, Float32, Float64, Int8, Int16, Int32, Int64, Interval,
        List, Map, Null, Struct, Time64, Timestamp, UInt8, UInt16, UInt32, UInt64, Utf8,
    };
    match (from, to) {
        (from, to) if from == to => true,
        (_, Null) => true,
        (Int8 | Int16 | Int32 | UInt8 | UInt16, Int8 | Int16 | Int32 | Int64 | Float64) => true,
        (Int32, Date32 | Interval(_)) | (UInt32, Int64) | (Int64, Duration(_)) => true,
        (Int8 | Int16 | Int32, Decimal128(p, s)) => i32::from(*p) - i32::from(*s) >= 10,
        (Int64, Decimal128(p, s)) => i32::from(*p) - i32::from(*s) >= 20,
        (UInt64, Decimal128(p, s)) => i32::from(*p) - i32::from(*s) >= 20,
        (Float32, Float64) | (Utf8 | FixedSizeBinary(_), Binary) | (Binary, Utf8) => true,
        (Decimal128(p1, s1), Decimal128(p2, s2)) => {
            s2 >= s1 && i32::from(*p2) - i32::from(*s2) >= i32::from(*p1) - i32::from(*s1)
        }
        (Date32, Timestamp(TimeUnit::Microsecond, None)) => true,
        (Timestamp(..), Timestamp(TimeUnit::Microsecond, _)) | (Time64(_), Time64(_)) => true,
        (Struct(from), Struct(to)) => {
            to.iter().all(|f| find(from, f.name()).is_none_or(|(_, found)| converts(found.data_type(), f.data_type())))
        }
        (List(from), List(to)) => converts(from.data_type(), to.data_type()),
        (Map(from, _), Map(to, _)) => match (types::key_and_value(from), types::key_and_value(to)) {
            (Some((k1, v1)), Some((k2, v2))) => {
                converts(k1.data_type(), k2.data_type()) && converts(v1.data_type(), v2.data_type())
            }
            _ => false,
        },
        _ => false,
    }
}

fn find<'f>(fields: &'f Fields, name: &str) -> Option<(usize, &'f Arc<Field>)> {
    let exact = fields.iter().enumerate().find(|(_, f)| f.name() == name);
    exact.or_else(|| fields.iter().enumerate().find(|(_, f)| f.name().eq_ignore_ascii_case(name)))
}

/// Values as another type; only for pairs that [`converts`] allows.
///
/// # Errors
/// A value that does not fit.
pub(super) fn convert(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, SparkError> {
    match (array.data_type(), to) {
        (from, to) if from == to => Ok(Arc::clone(array)),
        (_, DataType::Null) => Ok(new_null_array(to, array.len())),
        (DataType::Struct(from), DataType::Struct(fields)) => {
            let parts = array.as_struct();
            let column = |f: &Arc<Field>| match find(from, f.name()).and_then(|(at, _)| parts.columns().get(at)) {
                Some(child) => convert(child, f.data_type()),
                None => Ok(new_null_array(f.data_type(), array.len())),
            };
            let columns = fields.iter().map(column).collect::<Result<Vec<_>, _>>()?;
            let made = StructArray::try_new_with_length(fields.clone(), columns, array.nulls().cloned(), array.len());
            Ok(Arc::new(made?))
        }
        (DataType::List(_), DataType::List(item)) => {
            let list = array.as_list::<i32>();
            let values = convert(list.values(), item.data_type())?;
            let made = ListArray::try_new(Arc::clone(item), list.offsets().clone(), values, list.nulls().cloned());
            Ok(Arc::new(made?))
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => {
            let map = array.as_map();
            let Some((key, value)) = types::key_and_value(entries) else {
                return Err(SparkError::internal("a map without key and value"));
            };
            let columns = vec![convert(map.keys(), key.data_type())?, convert(map.values(), value.data_type())?];
            let fields: Fields = vec![Arc::clone(key), Arc::clone(value)].into();
            let rows = StructArray::try_new(fields, columns, None)?;
            let made =
                MapArray::try_new(Arc::clone(entries), map.offsets().clone(), rows, map.nulls().cloned(), *sorted);
            Ok(Arc::new(made?))
        }
        (DataType::Timestamp(unit, _), DataType::Timestamp(_, zone)) => {
            // An instant stays the instant whether Arrow knew its zone or not; only the unit changes.
            let naive = arrow::compute::cast(array, &DataType::Timestamp(*unit, None))?;
            let micros = arrow::compute::cast(&naive, &types::timestamp_ntz())?;
            let micros = micros.as_primitive::<arrow::datatypes::TimestampMicrosecondType>().clone();
            Ok(Arc::new(micros.with_timezone_opt(zone.clone())))
        }
        (DataType::Binary, DataType::Utf8) => {
            let bytes = array.as_binary::<i32>();
            let texts = bytes.iter().map(|b| b.map(|b| String::from_utf8_lossy(b).into_owned()));
            Ok(Arc::new(texts.collect::<arrow::array::StringArray>()))
        }
        (_, to) => {
            let strict = arrow::compute::CastOptions { safe: false, ..Default::default() };
            arrow::compute::cast_with_options(array, to, &strict)
                .map_err(|e| SparkError::plain(ExceptionClass::Runtime, e.to_string()))
        }
    }
}

/// The physical type of a column as Spark names it in messages.
pub(super) fn physical_name(schema: &SchemaDescriptor, root: usize) -> String {
    let field = schema.root_schema().get_fields().get(root);
    match field {
        Some(field) if field.is_primitive() => field.get_physical_type().to_string(),
        Some(field) => format!("GROUP {}", field.name()),
        None => String::new(),
    }
}
