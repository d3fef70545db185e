//! Constants in protocol messages, both ways.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray, MapArray, StructArray, new_empty_array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalMonthDayNano};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;
use millstream_formats::text::write_decimal_plain;
use millstream_plan::ir::Expr;
use spark_connect_proto as pb;
use spark_connect_proto::data_type::Kind;
use spark_connect_proto::expression::Literal;
use spark_connect_proto::expression::literal::{self as lit, LiteralType};

use super::types::{array_type, map_type, type_message};
use super::{Convert, invalid, required};

impl Convert<'_> {
    /// A constant as an expression.
    pub fn literal_expr(&self, message: &Literal) -> Result<Expr, SparkError> {
        self.literal(message).map(Expr::Literal)
    }

    /// A constant.
    pub fn literal(&self, message: &Literal) -> Result<ScalarValue, SparkError> {
        let Literal { literal_type, data_type } = message;
        let data_type = data_type.as_ref();
        Ok(match required(literal_type.as_ref(), "the value of a literal")? {
            LiteralType::Null(null_type) => null(&self.null_type(null_type, data_type)?)?,
            LiteralType::Binary(bytes) => ScalarValue::Binary(Some(bytes.to_vec())),
            LiteralType::Boolean(value) => ScalarValue::Boolean(Some(*value)),
            LiteralType::Byte(value) => ScalarValue::Int8(Some(narrow(*value, "tinyint")?)),
            LiteralType::Short(value) => ScalarValue::Int16(Some(narrow(*value, "smallint")?)),
            LiteralType::Integer(value) => ScalarValue::Int32(Some(*value)),
            LiteralType::Long(value) => ScalarValue::Int64(Some(*value)),
            LiteralType::Float(value) => ScalarValue::Float32(Some(*value)),
            LiteralType::Double(value) => ScalarValue::Float64(Some(*value)),
            LiteralType::Decimal(value) => decimal(value)?,
            LiteralType::String(value) => ScalarValue::Utf8(Some(value.clone())),
            LiteralType::Date(days) => ScalarValue::Date32(Some(*days)),
            LiteralType::Timestamp(micros) => ScalarValue::TimestampMicrosecond(Some(*micros), Some("UTC".into())),
            LiteralType::TimestampNtz(micros) => ScalarValue::TimestampMicrosecond(Some(*micros), None),
            LiteralType::Time(lit::Time { nano, precision: _ }) => ScalarValue::Time64Nanosecond(Some(*nano)),
            LiteralType::CalendarInterval(value) => calendar_interval(value)?,
            LiteralType::YearMonthInterval(months) => ScalarValue::IntervalYearMonth(Some(*months)),
            LiteralType::DayTimeInterval(micros) => ScalarValue::DurationMicrosecond(Some(*micros)),
            LiteralType::Array(value) => self.array(value, data_type)?,
            LiteralType::Map(value) => self.map(value, data_type)?,
            LiteralType::Struct(value) => self.structure(value, data_type)?,
            LiteralType::SpecializedArray(value) => specialized_array(value)?,
            LiteralType::TimestampNtzNanos(_) | LiteralType::TimestampLtzNanos(_) => {
                return Err(SparkError::unsupported("A timestamp literal with nanoseconds"));
            }
        })
    }

    fn null_type(&self, own: &pb::DataType, outer: Option<&pb::DataType>) -> Result<DataType, SparkError> {
        match (&own.kind, outer) {
            (Some(_), _) => self.data_type(own),
            (None, Some(outer)) => self.data_type(outer),
            (None, None) => Ok(DataType::Null),
        }
    }

    #[expect(deprecated, reason = "clients before 4.1 send the type of the elements")]
    fn array(&self, message: &lit::Array, data_type: Option<&pb::DataType>) -> Result<ScalarValue, SparkError> {
        let lit::Array { element_type, elements } = message;
        let declared = match data_type.and_then(|t| t.kind.as_ref()) {
            Some(Kind::Array(array)) => array.element_type.as_deref(),
            _ => element_type.as_ref(),
        };
        let (element_type, values) = self.column(declared, elements)?;
        let DataType::List(item) = array_type(element_type) else {
            return Err(SparkError::internal("An array type is no list."));
        };
        Ok(ScalarValue::List(Arc::new(one_list(item, values))))
    }

    #[expect(deprecated, reason = "clients before 4.1 send the types of keys and values")]
    fn map(&self, message: &lit::Map, data_type: Option<&pb::DataType>) -> Result<ScalarValue, SparkError> {
        let lit::Map { key_type, value_type, keys, values } = message;
        let (key_type, value_type) = match data_type.and_then(|t| t.kind.as_ref()) {
            Some(Kind::Map(map)) => (map.key_type.as_deref(), map.value_type.as_deref()),
            _ => (key_type.as_ref(), value_type.as_ref()),
        };
        if keys.len() != values.len() {
            return Err(invalid("A map literal has not as many values as keys."));
        }
        let (key_type, keys) = self.column(key_type, keys)?;
        let (value_type, values) = self.column(value_type, values)?;
        let DataType::Map(entries, _) = map_type(key_type, value_type) else {
            return Err(SparkError::internal("A map type is no map."));
        };
        let DataType::Struct(fields) = entries.data_type().clone() else {
            return Err(SparkError::internal("The entries of a map are no struct."));
        };
        let offsets = OffsetBuffer::from_lengths([keys.len()]);
        let pairs = StructArray::try_new(fields, vec![keys, values], None).map_err(unfit)?;
        Ok(ScalarValue::Map(Arc::new(MapArray::try_new(entries, offsets, pairs, None, false).map_err(unfit)?)))
    }

    #[expect(deprecated, reason = "clients before 4.1 send the type of the struct beside its values")]
    fn structure(&self, message: &lit::Struct, data_type: Option<&pb::DataType>) -> Result<ScalarValue, SparkError> {
        let lit::Struct { struct_type, elements } = message;
        let declared = data_type.filter(|t| t.kind.is_some()).or(struct_type.as_ref());
        let values = elements.iter().map(|e| self.literal(e)).collect::<Result<Vec<_>, _>>()?;
        let fields = match declared.map(|t| self.data_type(t)).transpose()? {
            Some(DataType::Struct(fields)) => fields,
            Some(other) => return Err(invalid(format!("A struct literal has the type {other}."))),
            None => values.iter().enumerate().map(|(i, v)| column_field(i, &v.data_type())).collect(),
        };
        if fields.len() != values.len() {
            return Err(invalid("A struct literal has not as many values as its type has fields."));
        }
        let columns = fields
            .iter()
            .zip(values)
            .map(|(field, value)| as_type(value, field.data_type())?.to_array().map_err(unfit));
        let columns = columns.collect::<Result<Vec<_>, SparkError>>()?;
        Ok(ScalarValue::Struct(Arc::new(struct_row(fields, columns)?)))
    }

    /// Literals as an array of their common type: the declared one, else that of the first that is not null.
    fn column(
        &self,
        declared: Option<&pb::DataType>,
        elements: &[Literal],
    ) -> Result<(DataType, ArrayRef), SparkError> {
        let values = elements.iter().map(|element| self.literal(element)).collect::<Result<Vec<_>, _>>()?;
        let data_type = match declared.filter(|t| t.kind.is_some()) {
            Some(declared) => self.data_type(declared)?,
            None => values.iter().map(ScalarValue::data_type).find(|t| !t.is_null()).unwrap_or(DataType::Null),
        };
        let values = values.into_iter().map(|v| as_type(v, &data_type)).collect::<Result<Vec<_>, _>>()?;
        let array = if values.is_empty() {
            new_empty_array(&data_type)
        } else {
            ScalarValue::iter_to_array(values).map_err(unfit)?
        };
        Ok((data_type, array))
    }
}

fn struct_row(fields: Fields, columns: Vec<ArrayRef>) -> Result<StructArray, SparkError> {
    if fields.is_empty() {
        return Ok(StructArray::new_empty_fields(1, None));
    }
    StructArray::try_new(fields, columns, None).map_err(unfit)
}

fn column_field(index: usize, data_type: &DataType) -> FieldRef {
    Arc::new(Field::new(format!("col{}", index + 1), data_type.clone(), true))
}

fn one_list(item: FieldRef, values: ArrayRef) -> ListArray {
    ListArray::new(item, OffsetBuffer::from_lengths([values.len()]), values, None)
}

fn null(data_type: &DataType) -> Result<ScalarValue, SparkError> {
    ScalarValue::try_new_null(data_type).map_err(unfit)
}

fn as_type(value: ScalarValue, data_type: &DataType) -> Result<ScalarValue, SparkError> {
    if value.data_type() == *data_type { Ok(value) } else { value.cast_to(data_type).map_err(unfit) }
}

fn narrow<T: TryFrom<i32>>(value: i32, name: &str) -> Result<T, SparkError> {
    T::try_from(value).map_err(|_| invalid(format!("{value} is no {name}.")))
}

fn unfit(error: impl std::fmt::Display) -> SparkError {
    invalid(format!("A literal does not fit its type: {error}"))
}

fn calendar_interval(message: &lit::CalendarInterval) -> Result<ScalarValue, SparkError> {
    let lit::CalendarInterval { months, days, microseconds } = message;
    let nanoseconds = microseconds.checked_mul(1000).ok_or_else(|| invalid("An interval literal is too long."))?;
    Ok(ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(*months, *days, nanoseconds))))
}

/// Plain or scientific notation; precision and scale follow from the digits where they are not given.
fn decimal(message: &lit::Decimal) -> Result<ScalarValue, SparkError> {
    let lit::Decimal { value, precision, scale } = message;
    let wrong = || invalid(format!("{value} is no decimal of at most 38 digits."));
    let (unscaled, own_scale) = unscaled(value).ok_or_else(wrong)?;
    let digits = i32::try_from(unscaled.unsigned_abs().to_string().len()).map_err(|_| wrong())?;
    let scale = scale.unwrap_or(own_scale);
    let unscaled = rescale(unscaled, own_scale, scale).ok_or_else(wrong)?;
    let precision = precision.unwrap_or(digits.max(scale));
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(p @ 1..=38), Ok(s)) if s >= 0 => Ok(ScalarValue::Decimal128(Some(unscaled), p, s)),
        _ => Err(wrong()),
    }
}

fn unscaled(text: &str) -> Option<(i128, i32)> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
    if scale >= 0 { Some((digits, scale)) } else { Some((rescale(digits, scale, 0)?, 0)) }
}

fn rescale(value: i128, from: i32, to: i32) -> Option<i128> {
    let power = 10i128.checked_pow(to.abs_diff(from))?;
    if to >= from {
        return value.checked_mul(power);
    }
    // Half up, as Spark's `Decimal` does.
    let (quotient, remainder) = (value / power, value % power);
    Some(if remainder.abs() * 2 >= power { quotient + value.signum() } else { quotient })
}

fn specialized_array(message: &lit::SpecializedArray) -> Result<ScalarValue, SparkError> {
    use arrow::array::{BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, StringArray};
    use lit::specialized_array::ValueType;
    let lit::SpecializedArray { value_type } = message;
    let values: ArrayRef = match required(value_type.as_ref(), "the values of an array")? {
        ValueType::Bools(pb::Bools { values }) => Arc::new(BooleanArray::from(values.clone())),
        ValueType::Ints(pb::Ints { values }) => Arc::new(Int32Array::from(values.clone())),
        ValueType::Longs(pb::Longs { values }) => Arc::new(Int64Array::from(values.clone())),
        ValueType::Floats(pb::Floats { values }) => Arc::new(Float32Array::from(values.clone())),
        ValueType::Doubles(pb::Doubles { values }) => Arc::new(Float64Array::from(values.clone())),
        ValueType::Strings(pb::Strings { values }) => Arc::new(StringArray::from(values.clone())),
    };
    let item = Arc::new(Field::new("element", values.data_type().clone(), false));
    Ok(ScalarValue::List(Arc::new(one_list(item, values))))
}

/// A value of a result (observed metrics) as a message.
pub fn literal_message(value: &ScalarValue) -> Result<Literal, SparkError> {
    let data_type = type_message(&value.data_type())?;
    let literal_type = if value.is_null() { LiteralType::Null(data_type.clone()) } else { value_message(value)? };
    // Clients up to 4.0 know no type beside the value.
    let nested = matches!(literal_type, LiteralType::Array(_) | LiteralType::Map(_) | LiteralType::Struct(_));
    Ok(Literal { literal_type: Some(literal_type), data_type: nested.then_some(data_type) })
}

fn value_message(value: &ScalarValue) -> Result<LiteralType, SparkError> {
    Ok(match value {
        ScalarValue::Boolean(Some(v)) => LiteralType::Boolean(*v),
        ScalarValue::Int8(Some(v)) => LiteralType::Byte(i32::from(*v)),
        ScalarValue::Int16(Some(v)) => LiteralType::Short(i32::from(*v)),
        ScalarValue::Int32(Some(v)) => LiteralType::Integer(*v),
        ScalarValue::Int64(Some(v)) => LiteralType::Long(*v),
        ScalarValue::Float32(Some(v)) => LiteralType::Float(*v),
        ScalarValue::Float64(Some(v)) => LiteralType::Double(*v),
        ScalarValue::Utf8(Some(v)) => LiteralType::String(v.clone()),
        ScalarValue::Binary(Some(v)) => LiteralType::Binary(v.clone().into()),
        ScalarValue::Date32(Some(v)) => LiteralType::Date(*v),
        ScalarValue::TimestampMicrosecond(Some(v), Some(_)) => LiteralType::Timestamp(*v),
        ScalarValue::TimestampMicrosecond(Some(v), None) => LiteralType::TimestampNtz(*v),
        ScalarValue::Time64Nanosecond(Some(nano)) => LiteralType::Time(lit::Time { nano: *nano, precision: Some(6) }),
        ScalarValue::DurationMicrosecond(Some(v)) => LiteralType::DayTimeInterval(*v),
        ScalarValue::IntervalYearMonth(Some(v)) => LiteralType::YearMonthInterval(*v),
        ScalarValue::IntervalMonthDayNano(Some(v)) => LiteralType::CalendarInterval(lit::CalendarInterval {
            months: v.months,
            days: v.days,
            microseconds: v.nanoseconds / 1000,
        }),
        ScalarValue::Decimal128(Some(v), precision, scale) => LiteralType::Decimal(lit::Decimal {
            value: decimal_text(*v, *scale),
            precision: Some(i32::from(*precision)),
            scale: Some(i32::from(*scale)),
        }),
        ScalarValue::List(list) => array_message(list.as_ref())?,
        ScalarValue::Map(map) => map_message(map.as_ref())?,
        ScalarValue::Struct(row) => struct_message(row.as_ref())?,
        other => return Err(SparkError::internal(format!("{other:?} is no value of Spark's."))),
    })
}

fn decimal_text(unscaled: i128, scale: i8) -> String {
    let mut text = String::new();
    write_decimal_plain(unscaled, scale, &mut text);
    text
}

fn messages(values: &dyn Array) -> Result<Vec<Literal>, SparkError> {
    let value = |i| ScalarValue::try_from_array(values, i).map_err(|e| SparkError::internal(e.to_string()));
    (0..values.len()).map(|i| literal_message(&value(i)?)).collect()
}

#[expect(deprecated, reason = "clients read the type of the elements there")]
fn array_message(list: &ListArray) -> Result<LiteralType, SparkError> {
    let values = list.value(0);
    let element_type = Some(type_message(values.data_type())?);
    Ok(LiteralType::Array(lit::Array { element_type, elements: messages(values.as_ref())? }))
}

#[expect(deprecated, reason = "clients read the types of keys and values there")]
fn map_message(map: &MapArray) -> Result<LiteralType, SparkError> {
    let pairs = map.value(0);
    let (keys, values) = (pairs.column(0), pairs.column(1));
    Ok(LiteralType::Map(lit::Map {
        key_type: Some(type_message(keys.data_type())?),
        value_type: Some(type_message(values.data_type())?),
        keys: messages(keys.as_ref())?,
        values: messages(values.as_ref())?,
    }))
}

#[expect(deprecated, reason = "clients read the type of the struct there")]
fn struct_message(row: &StructArray) -> Result<LiteralType, SparkError> {
    let elements = row.columns().iter().map(|column| {
        let value = ScalarValue::try_from_array(column, 0).map_err(|e| SparkError::internal(e.to_string()))?;
        literal_message(&value)
    });
    let elements = elements.collect::<Result<_, _>>()?;
    Ok(LiteralType::Struct(lit::Struct { struct_type: Some(type_message(row.data_type())?), elements }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str, precision: Option<i32>, scale: Option<i32>) -> Option<ScalarValue> {
        decimal(&lit::Decimal { value: value.into(), precision, scale }).ok()
    }

    #[test]
    fn decimals_are_read_in_every_notation() {
        assert_eq!(parse("1.50", None, None), Some(ScalarValue::Decimal128(Some(150), 3, 2)));
        assert_eq!(parse("-0.05", None, None), Some(ScalarValue::Decimal128(Some(-5), 2, 2)));
        assert_eq!(parse("1E+3", None, None), Some(ScalarValue::Decimal128(Some(1000), 4, 0)));
        assert_eq!(parse("1.25", Some(10), Some(1)), Some(ScalarValue::Decimal128(Some(13), 10, 1)));
        assert_eq!(parse("1e99", None, None), None);
        assert_eq!(parse("", None, None), None);
        assert_eq!(decimal_text(-5, 2), "-0.05");
    }
}
