//! Columns that are filled row by row and can take back their last rows: what a parser needs that meets errors half way.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, ListArray, MapArray, NullArray, PrimitiveArray, StringArray, StructArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Field, FieldRef, Fields,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit,
    IntervalYearMonthType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
};

use crate::condition::SparkError;

/// Values of a primitive type and which of them are there.
#[derive(Debug)]
pub(crate) struct Fill<T> {
    values: Vec<T>,
    valid: Vec<bool>,
}

impl<T> Default for Fill<T> {
    fn default() -> Self {
        Self { values: Vec::new(), valid: Vec::new() }
    }
}

impl<T: Default> Fill<T> {
    /// Adds a value.
    pub fn push(&mut self, value: T) {
        self.values.push(value);
        self.valid.push(true);
    }

    fn push_null(&mut self) {
        self.values.push(T::default());
        self.valid.push(false);
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.valid.truncate(rows);
    }

    fn len(&self) -> usize {
        self.valid.len()
    }
}

/// Texts or bytes end to end.
#[derive(Debug)]
pub(crate) struct Bytes {
    data: Vec<u8>,
    offsets: Vec<i32>,
    valid: Vec<bool>,
}

impl Bytes {
    fn new() -> Self {
        Self { data: Vec::new(), offsets: vec![0], valid: Vec::new() }
    }

    /// Adds a value.
    pub fn push(&mut self, value: &[u8]) {
        self.data.extend_from_slice(value);
        self.close(true);
    }

    fn close(&mut self, valid: bool) {
        self.offsets.push(i32::try_from(self.data.len()).unwrap_or(i32::MAX));
        self.valid.push(valid);
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.valid.truncate(rows);
        self.data.truncate(self.offsets.last().map_or(0, |end| *end as usize));
    }
}

/// A column under construction.
#[derive(Debug)]
pub(crate) enum Column {
    Null(usize),
    Boolean(Fill<bool>),
    Byte(Fill<i8>),
    Short(Fill<i16>),
    Int(Fill<i32>),
    Long(Fill<i64>),
    Float(Fill<f32>),
    Double(Fill<f64>),
    Decimal(Fill<i128>, u8, i8),
    Date(Fill<i32>),
    /// With time zone.
    Timestamp(Fill<i64>),
    /// Without time zone.
    TimestampNtz(Fill<i64>),
    Time(Fill<i64>),
    DayTime(Fill<i64>),
    YearMonth(Fill<i32>),
    Interval(Fill<arrow::datatypes::IntervalMonthDayNano>),
    String(Bytes),
    Binary(Bytes),
    Struct {
        fields: Fields,
        children: Vec<Column>,
        valid: Vec<bool>,
    },
    List {
        item: FieldRef,
        child: Box<Column>,
        offsets: Vec<i32>,
        valid: Vec<bool>,
    },
    Map {
        entries: FieldRef,
        keys: Box<Column>,
        values: Box<Column>,
        offsets: Vec<i32>,
        valid: Vec<bool>,
    },
}

impl Column {
    /// An empty column of a type.
    ///
    /// # Errors
    /// `variant` and types outside of [`crate::types`], which no text format reads here.
    pub fn new(data_type: &DataType) -> Result<Self, SparkError> {
        Ok(match data_type {
            DataType::Null => Self::Null(0),
            DataType::Boolean => Self::Boolean(Fill::default()),
            DataType::Int8 => Self::Byte(Fill::default()),
            DataType::Int16 => Self::Short(Fill::default()),
            DataType::Int32 => Self::Int(Fill::default()),
            DataType::Int64 => Self::Long(Fill::default()),
            DataType::Float32 => Self::Float(Fill::default()),
            DataType::Float64 => Self::Double(Fill::default()),
            DataType::Decimal128(precision, scale) => Self::Decimal(Fill::default(), *precision, *scale),
            DataType::Date32 => Self::Date(Fill::default()),
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Self::Timestamp(Fill::default()),
            DataType::Timestamp(TimeUnit::Microsecond, None) => Self::TimestampNtz(Fill::default()),
            DataType::Time64(TimeUnit::Nanosecond) => Self::Time(Fill::default()),
            DataType::Duration(TimeUnit::Microsecond) => Self::DayTime(Fill::default()),
            DataType::Interval(IntervalUnit::YearMonth) => Self::YearMonth(Fill::default()),
            DataType::Interval(IntervalUnit::MonthDayNano) => Self::Interval(Fill::default()),
            DataType::Utf8 => Self::String(Bytes::new()),
            DataType::Binary => Self::Binary(Bytes::new()),
            DataType::Struct(fields) if !crate::types::is_variant(fields) => Self::Struct {
                fields: nullable(fields),
                children: fields.iter().map(|f| Self::new(f.data_type())).collect::<Result<_, _>>()?,
                valid: Vec::new(),
            },
            DataType::List(item) => Self::List {
                item: nullable_field(item),
                child: Box::new(Self::new(item.data_type())?),
                offsets: vec![0],
                valid: Vec::new(),
            },
            DataType::Map(entries, _) => match crate::types::key_and_value(entries) {
                Some((key, value)) => Self::Map {
                    entries: Arc::new(entries_field(key, value)),
                    keys: Box::new(Self::new(key.data_type())?),
                    values: Box::new(Self::new(value.data_type())?),
                    offsets: vec![0],
                    valid: Vec::new(),
                },
                None => return Err(SparkError::internal(format!("a map of {entries}"))),
            },
            other => {
                return Err(SparkError::unsupported(format!(
                    "Reading {} from text",
                    crate::types::simple_string(other)
                )));
            }
        })
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        match self {
            Self::Null(rows) => *rows,
            Self::Boolean(fill) => fill.len(),
            Self::Byte(fill) => fill.len(),
            Self::Short(fill) => fill.len(),
            Self::Int(fill) | Self::Date(fill) | Self::YearMonth(fill) => fill.len(),
            Self::Long(fill)
            | Self::Timestamp(fill)
            | Self::TimestampNtz(fill)
            | Self::Time(fill)
            | Self::DayTime(fill) => fill.len(),
            Self::Float(fill) => fill.len(),
            Self::Double(fill) => fill.len(),
            Self::Decimal(fill, ..) => fill.len(),
            Self::Interval(fill) => fill.len(),
            Self::String(bytes) | Self::Binary(bytes) => bytes.valid.len(),
            Self::Struct { valid, .. } | Self::List { valid, .. } | Self::Map { valid, .. } => valid.len(),
        }
    }

    /// Adds a null.
    pub fn push_null(&mut self) {
        match self {
            Self::Null(rows) => *rows += 1,
            Self::Boolean(fill) => fill.push_null(),
            Self::Byte(fill) => fill.push_null(),
            Self::Short(fill) => fill.push_null(),
            Self::Int(fill) | Self::Date(fill) | Self::YearMonth(fill) => fill.push_null(),
            Self::Long(fill)
            | Self::Timestamp(fill)
            | Self::TimestampNtz(fill)
            | Self::Time(fill)
            | Self::DayTime(fill) => {
                fill.push_null();
            }
            Self::Float(fill) => fill.push_null(),
            Self::Double(fill) => fill.push_null(),
            Self::Decimal(fill, ..) => fill.push_null(),
            Self::Interval(fill) => fill.push_null(),
            Self::String(bytes) | Self::Binary(bytes) => bytes.close(false),
            Self::Struct { children, valid, .. } => {
                children.iter_mut().for_each(Self::push_null);
                valid.push(false);
            }
            Self::List { offsets, valid, .. } | Self::Map { offsets, valid, .. } => {
                offsets.push(offsets.last().copied().unwrap_or(0));
                valid.push(false);
            }
        }
    }

    /// Takes back all rows but the first `rows`.
    pub fn truncate(&mut self, rows: usize) {
        match self {
            Self::Null(count) => *count = rows.min(*count),
            Self::Boolean(fill) => fill.truncate(rows),
            Self::Byte(fill) => fill.truncate(rows),
            Self::Short(fill) => fill.truncate(rows),
            Self::Int(fill) | Self::Date(fill) | Self::YearMonth(fill) => fill.truncate(rows),
            Self::Long(fill)
            | Self::Timestamp(fill)
            | Self::TimestampNtz(fill)
            | Self::Time(fill)
            | Self::DayTime(fill) => {
                fill.truncate(rows);
            }
            Self::Float(fill) => fill.truncate(rows),
            Self::Double(fill) => fill.truncate(rows),
            Self::Decimal(fill, ..) => fill.truncate(rows),
            Self::Interval(fill) => fill.truncate(rows),
            Self::String(bytes) | Self::Binary(bytes) => bytes.truncate(rows),
            Self::Struct { children, valid, .. } => {
                children.iter_mut().for_each(|child| child.truncate(rows));
                valid.truncate(rows);
            }
            Self::List { child, offsets, valid, .. } => {
                offsets.truncate(rows + 1);
                valid.truncate(rows);
                child.truncate(offsets.last().map_or(0, |end| *end as usize));
            }
            Self::Map { keys, values, offsets, valid, .. } => {
                offsets.truncate(rows + 1);
                valid.truncate(rows);
                let end = offsets.last().map_or(0, |end| *end as usize);
                keys.truncate(end);
                values.truncate(end);
            }
        }
    }

    /// Ends the list or map whose elements were added.
    pub fn close_list(&mut self) {
        match self {
            Self::List { child, offsets, valid, .. } => {
                offsets.push(i32::try_from(child.len()).unwrap_or(i32::MAX));
                valid.push(true);
            }
            Self::Map { keys, offsets, valid, .. } => {
                offsets.push(i32::try_from(keys.len()).unwrap_or(i32::MAX));
                valid.push(true);
            }
            _ => {}
        }
    }

    /// The column, which is empty afterwards.
    ///
    /// # Errors
    /// More than 2 GiB of text in one batch.
    pub fn finish(&mut self) -> Result<ArrayRef, SparkError> {
        let array: Result<ArrayRef, arrow::error::ArrowError> = match self {
            Self::Null(rows) => Ok(Arc::new(NullArray::new(std::mem::take(rows)))),
            Self::Boolean(fill) => {
                let fill = std::mem::take(fill);
                Ok(Arc::new(BooleanArray::new(BooleanBuffer::from(fill.values), nulls(fill.valid))))
            }
            Self::Byte(fill) => Ok(Arc::new(primitive::<Int8Type>(fill))),
            Self::Short(fill) => Ok(Arc::new(primitive::<Int16Type>(fill))),
            Self::Int(fill) => Ok(Arc::new(primitive::<Int32Type>(fill))),
            Self::Long(fill) => Ok(Arc::new(primitive::<Int64Type>(fill))),
            Self::Float(fill) => Ok(Arc::new(primitive::<Float32Type>(fill))),
            Self::Double(fill) => Ok(Arc::new(primitive::<Float64Type>(fill))),
            Self::Decimal(fill, precision, scale) => primitive::<Decimal128Type>(fill)
                .with_precision_and_scale(*precision, *scale)
                .map(|array| Arc::new(array) as ArrayRef),
            Self::Date(fill) => Ok(Arc::new(primitive::<Date32Type>(fill))),
            Self::Timestamp(fill) => Ok(Arc::new(primitive::<TimestampMicrosecondType>(fill).with_timezone("UTC"))),
            Self::TimestampNtz(fill) => Ok(Arc::new(primitive::<TimestampMicrosecondType>(fill))),
            Self::Time(fill) => Ok(Arc::new(primitive::<Time64NanosecondType>(fill))),
            Self::DayTime(fill) => Ok(Arc::new(primitive::<DurationMicrosecondType>(fill))),
            Self::YearMonth(fill) => Ok(Arc::new(primitive::<IntervalYearMonthType>(fill))),
            Self::Interval(fill) => Ok(Arc::new(primitive::<IntervalMonthDayNanoType>(fill))),
            Self::String(bytes) => {
                let bytes = std::mem::replace(bytes, Bytes::new());
                let offsets = OffsetBuffer::new(ScalarBuffer::from(checked(bytes.offsets)?));
                StringArray::try_new(offsets, bytes.data.into(), nulls(bytes.valid)).map(|a| Arc::new(a) as ArrayRef)
            }
            Self::Binary(bytes) => {
                let bytes = std::mem::replace(bytes, Bytes::new());
                let offsets = OffsetBuffer::new(ScalarBuffer::from(checked(bytes.offsets)?));
                BinaryArray::try_new(offsets, bytes.data.into(), nulls(bytes.valid)).map(|a| Arc::new(a) as ArrayRef)
            }
            Self::Struct { fields, children, valid } => {
                let arrays = children.iter_mut().map(Self::finish).collect::<Result<Vec<_>, _>>()?;
                let valid = std::mem::take(valid);
                let rows = valid.len();
                StructArray::try_new_with_length(fields.clone(), arrays, nulls(valid), rows)
                    .map(|a| Arc::new(a) as ArrayRef)
            }
            Self::List { item, child, offsets, valid } => {
                let offsets = OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(offsets, vec![0])));
                let valid = nulls(std::mem::take(valid));
                ListArray::try_new(Arc::clone(item), offsets, child.finish()?, valid).map(|a| Arc::new(a) as ArrayRef)
            }
            Self::Map { entries, keys, values, offsets, valid } => {
                let DataType::Struct(fields) = entries.data_type() else {
                    return Err(SparkError::internal("the entries of a map are no struct"));
                };
                let rows = StructArray::try_new(fields.clone(), vec![keys.finish()?, values.finish()?], None);
                let offsets = OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(offsets, vec![0])));
                let valid = nulls(std::mem::take(valid));
                rows.and_then(|rows| MapArray::try_new(Arc::clone(entries), offsets, rows, valid, false))
                    .map(|a| Arc::new(a) as ArrayRef)
            }
        };
        Ok(array?)
    }

    /// The type that [`Column::finish`] gives: that asked for, every field of it nullable, as Spark reads files.
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Null(_) => DataType::Null,
            Self::Boolean(_) => DataType::Boolean,
            Self::Byte(_) => DataType::Int8,
            Self::Short(_) => DataType::Int16,
            Self::Int(_) => DataType::Int32,
            Self::Long(_) => DataType::Int64,
            Self::Float(_) => DataType::Float32,
            Self::Double(_) => DataType::Float64,
            Self::Decimal(_, precision, scale) => DataType::Decimal128(*precision, *scale),
            Self::Date(_) => DataType::Date32,
            Self::Timestamp(_) => crate::types::timestamp(),
            Self::TimestampNtz(_) => crate::types::timestamp_ntz(),
            Self::Time(_) => DataType::Time64(TimeUnit::Nanosecond),
            Self::DayTime(_) => DataType::Duration(TimeUnit::Microsecond),
            Self::YearMonth(_) => DataType::Interval(IntervalUnit::YearMonth),
            Self::Interval(_) => DataType::Interval(IntervalUnit::MonthDayNano),
            Self::String(_) => DataType::Utf8,
            Self::Binary(_) => DataType::Binary,
            Self::Struct { fields, .. } => DataType::Struct(fields.clone()),
            Self::List { item, .. } => DataType::List(Arc::clone(item)),
            Self::Map { entries, .. } => DataType::Map(Arc::clone(entries), false),
        }
    }
}

/// A type whose fields, elements and values are all nullable: what a reader of files gives whatever was declared.
pub fn as_nullable(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Struct(fields) if crate::types::is_variant(fields) => data_type.clone(),
        DataType::Struct(fields) => DataType::Struct(nullable(fields)),
        DataType::List(item) => DataType::List(nullable_field(item)),
        DataType::Map(entries, sorted) => match crate::types::key_and_value(entries) {
            Some((key, value)) => DataType::Map(Arc::new(entries_field(key, value)), *sorted),
            None => data_type.clone(),
        },
        other => other.clone(),
    }
}

fn nullable(fields: &Fields) -> Fields {
    fields.iter().map(nullable_field).collect()
}

fn nullable_field(field: &FieldRef) -> FieldRef {
    let data_type = as_nullable(field.data_type());
    Arc::new(field.as_ref().clone().with_data_type(data_type).with_nullable(true))
}

fn entries_field(key: &FieldRef, value: &FieldRef) -> Field {
    let key = key.as_ref().clone().with_data_type(as_nullable(key.data_type())).with_nullable(false);
    let fields: Vec<FieldRef> = vec![Arc::new(key), nullable_field(value)];
    Field::new("entries", DataType::Struct(fields.into()), false)
}

fn primitive<T: ArrowPrimitiveType>(fill: &mut Fill<T::Native>) -> PrimitiveArray<T> {
    let fill = std::mem::take(fill);
    PrimitiveArray::new(ScalarBuffer::from(fill.values), nulls(fill.valid))
}

fn nulls(valid: Vec<bool>) -> Option<NullBuffer> {
    (!valid.iter().all(|v| *v)).then(|| NullBuffer::from(valid))
}

fn checked(offsets: Vec<i32>) -> Result<Vec<i32>, SparkError> {
    match offsets.last() {
        Some(&i32::MAX) => Err(SparkError::internal("more than 2 GiB of text in one batch of rows")),
        _ => Ok(offsets),
    }
}
