//! Spark's implicit casts: common types of several values, and what a function's parameter accepts.
//!
//! Both rule sets are here: ANSI (`AnsiTypeCoercion`, the default) and legacy (`TypeCoercion`). A type here carries the
//! nullability of its parts; where two types differ only in it, the common type is the looser one.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use millstream_formats::condition::SparkError;
use millstream_formats::types::{self, key_and_value, sql_name};

use crate::arguments::{no_common_type, unexpected_input};
use crate::{FunctionContext, Typed, cast};

/// What a parameter accepts.
#[derive(Debug, Clone)]
pub enum Expected {
    /// This type, whatever the nullability of its parts.
    Exactly(DataType),
    /// Any number; the type to cast to is double.
    Numeric,
    /// `tinyint` to `bigint`; the type to cast to is bigint.
    Integral,
    /// Any decimal; the type to cast to is decimal(38,18).
    Decimal,
    /// `timestamp` or `timestamp_ntz`; the type to cast to is `timestamp`.
    AnyTimestamp,
    /// Any array.
    Array,
    /// An array whose elements are accepted.
    ArrayOf(Box<Expected>),
    /// Any map.
    Map,
    /// Any struct.
    Struct,
    /// Everything.
    Any,
    /// The first that accepts the type, else the first it can be cast to.
    OneOf(Vec<Expected>),
}

impl Expected {
    /// `string`.
    pub const STRING: Expected = Expected::Exactly(DataType::Utf8);
    /// `binary`.
    pub const BINARY: Expected = Expected::Exactly(DataType::Binary);
    /// `boolean`.
    pub const BOOLEAN: Expected = Expected::Exactly(DataType::Boolean);
    /// `int`.
    pub const INT: Expected = Expected::Exactly(DataType::Int32);
    /// `bigint`.
    pub const LONG: Expected = Expected::Exactly(DataType::Int64);
    /// `double`.
    pub const DOUBLE: Expected = Expected::Exactly(DataType::Float64);
    /// `date`.
    pub const DATE: Expected = Expected::Exactly(DataType::Date32);

    /// `timestamp`.
    pub fn timestamp() -> Self {
        Expected::Exactly(types::timestamp())
    }

    /// Whether a value of the type needs no cast.
    pub fn accepts(&self, data_type: &DataType) -> bool {
        match self {
            Expected::Exactly(wanted) => same_type(wanted, data_type),
            Expected::Numeric => is_numeric(data_type),
            Expected::Integral => data_type.is_signed_integer(),
            Expected::Decimal => is_decimal(data_type),
            Expected::AnyTimestamp => matches!(data_type, DataType::Timestamp(..)),
            Expected::Array => matches!(data_type, DataType::List(_)),
            Expected::ArrayOf(element) => matches!(data_type, DataType::List(f) if element.accepts(f.data_type())),
            Expected::Map => matches!(data_type, DataType::Map(..)),
            Expected::Struct => matches!(data_type, DataType::Struct(_)),
            Expected::Any => true,
            Expected::OneOf(choices) => choices.iter().any(|c| c.accepts(data_type)),
        }
    }

    /// The type that stands for all it accepts.
    fn concrete(&self) -> DataType {
        match self {
            Expected::Exactly(wanted) => wanted.clone(),
            Expected::Numeric => DataType::Float64,
            Expected::Integral => DataType::Int64,
            Expected::Decimal => DataType::Decimal128(38, 18),
            Expected::AnyTimestamp => types::timestamp(),
            Expected::Array => types::array(DataType::Null, true),
            Expected::ArrayOf(element) => types::array(element.concrete(), true),
            Expected::Map => types::map(DataType::Null, DataType::Null, true),
            Expected::Struct => DataType::Struct(Default::default()),
            Expected::Any => DataType::Null,
            Expected::OneOf(choices) => choices.first().map_or(DataType::Null, Expected::concrete),
        }
    }

    /// As error messages quote it: `"STRING"`, `("STRING" or "BINARY")`.
    pub fn describe(&self) -> String {
        match self {
            Expected::Exactly(wanted) => format!("\"{}\"", sql_name(wanted)),
            Expected::Numeric => "\"NUMERIC\"".to_string(),
            Expected::Integral => "\"INTEGRAL\"".to_string(),
            Expected::Decimal => "\"DECIMAL\"".to_string(),
            Expected::AnyTimestamp => "(\"TIMESTAMP_NTZ\" or \"TIMESTAMP\")".to_string(),
            Expected::Array => "\"ARRAY\"".to_string(),
            Expected::ArrayOf(element) => format!("\"ARRAY<{}>\"", element.describe().replace('"', "")),
            Expected::Map => "\"MAP\"".to_string(),
            Expected::Struct => "\"STRUCT\"".to_string(),
            Expected::Any => "\"ANY\"".to_string(),
            Expected::OneOf(choices) => {
                let choices: Vec<String> = choices.iter().map(Expected::describe).collect();
                format!("({})", choices.join(" or "))
            }
        }
    }
}

/// The argument at `index` (from 0) as its parameter wants it, or `DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE`.
pub fn argument(
    name: &str,
    arguments: &[Typed],
    index: usize,
    expected: &Expected,
    context: &FunctionContext,
) -> Result<Typed, SparkError> {
    let found = arguments.get(index).ok_or_else(|| SparkError::internal(format!("{name} has no argument {index}")))?;
    match implicit_type(&found.data_type, expected, context.ansi) {
        Some(to) => cast_to(found.clone(), &to, context),
        None => Err(unexpected_input(name, arguments, index, &expected.describe())),
    }
}

/// All arguments, each by its parameter; the numbers must agree (see [`crate::arguments::expect_count`]). Parameters beyond the arguments are ignored.
pub fn arguments(
    name: &str,
    arguments: &[Typed],
    expected: &[Expected],
    context: &FunctionContext,
) -> Result<Vec<Typed>, SparkError> {
    expected.iter().take(arguments.len()).enumerate().map(|(i, e)| argument(name, arguments, i, e, context)).collect()
}

/// All arguments in their common type, or `DATATYPE_MISMATCH.DATA_DIFF_TYPES`.
pub fn to_common_type(
    name: &str,
    arguments: &[Typed],
    context: &FunctionContext,
) -> Result<(Vec<Typed>, DataType), SparkError> {
    let types: Vec<DataType> = arguments.iter().map(|a| a.data_type.clone()).collect();
    let common = common_type(&types, context.ansi).ok_or_else(|| no_common_type(name, arguments))?;
    let values = arguments.iter().map(|a| cast_to(a.clone(), &common, context)).collect::<Result<_, _>>()?;
    Ok((values, common))
}

/// The value as another type, by an implicit cast that the rules allow; the same if it has the type already.
pub fn cast_to(value: Typed, to: &DataType, context: &FunctionContext) -> Result<Typed, SparkError> {
    if value.data_type == *to { Ok(value) } else { cast::cast(value, to, false, context) }
}

/// The type a value of type `from` is cast to where a parameter expects `expected`; absent if the rules do not allow it.
pub fn implicit_type(from: &DataType, expected: &Expected, ansi: bool) -> Option<DataType> {
    if expected.accepts(from) {
        return Some(from.clone());
    }
    if let Expected::OneOf(choices) = expected {
        return choices.iter().find_map(|c| implicit_type(from, c, ansi));
    }
    if matches!(from, DataType::Null) {
        return Some(expected.concrete());
    }
    if ansi { ansi_implicit_type(from, expected) } else { legacy_implicit_type(from, expected) }
}

fn ansi_implicit_type(from: &DataType, expected: &Expected) -> Option<DataType> {
    let to = expected.concrete();
    match expected {
        Expected::Decimal if is_numeric(from) => Some(decimal_for(from)),
        Expected::Integral if is_fractional(from) => None,
        Expected::Numeric | Expected::Decimal | Expected::AnyTimestamp | Expected::Exactly(_)
            if matches!(from, DataType::Utf8) && is_atomic(&to) =>
        {
            Some(to)
        }
        Expected::ArrayOf(element) => match from {
            DataType::List(field) => Some(types::array(implicit_type(field.data_type(), element, true)?, true)),
            _ => None,
        },
        Expected::Array | Expected::Map | Expected::Struct | Expected::Any => None,
        _ => can_store_assign(from, &to).then_some(to),
    }
}

fn legacy_implicit_type(from: &DataType, expected: &Expected) -> Option<DataType> {
    let to = expected.concrete();
    let allowed = match (from, expected) {
        (_, Expected::Decimal) if is_numeric(from) => return Some(decimal_for(from)),
        (DataType::Utf8, Expected::Numeric | Expected::Decimal | Expected::AnyTimestamp) => true,
        (DataType::Date32, Expected::AnyTimestamp) => true,
        (DataType::Utf8, Expected::Exactly(wanted)) => {
            is_numeric(wanted) || is_datetime(wanted) || *wanted == DataType::Binary
        }
        (_, Expected::Exactly(DataType::Utf8)) => is_atomic(from),
        (_, Expected::Exactly(wanted)) if is_numeric(from) => is_numeric(wanted),
        (DataType::Date32, Expected::Exactly(DataType::Timestamp(..))) => true,
        (DataType::Timestamp(..), Expected::Exactly(DataType::Date32 | DataType::Timestamp(..))) => true,
        (DataType::List(field), Expected::ArrayOf(element)) => {
            return Some(types::array(implicit_type(field.data_type(), element, false)?, true));
        }
        _ => false,
    };
    allowed.then_some(to)
}

/// Whether an `INSERT` may store `from` in a column of type `to` (ANSI store assignment).
pub fn can_store_assign(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (a, b) if same_type(a, b) => true,
        (DataType::Null, _) => true,
        (a, b) if is_numeric(a) && is_numeric(b) => true,
        (a, DataType::Utf8) => is_atomic(a) || matches!(a, DataType::Interval(_)),
        (DataType::Time64(_), _) | (_, DataType::Time64(_)) => false,
        (a, b) if is_datetime(a) && is_datetime(b) => true,
        (DataType::List(a), DataType::List(b)) => can_store_assign(a.data_type(), b.data_type()),
        (DataType::Struct(a), DataType::Struct(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| can_store_assign(a.data_type(), b.data_type()))
        }
        (DataType::Map(a, _), DataType::Map(b, _)) => can_store_assign(a.data_type(), b.data_type()),
        _ => false,
    }
}

/// The common type of all, with promotion of strings and loss of decimal digits if need be (`findWiderCommonType`).
pub fn common_type(types: &[DataType], ansi: bool) -> Option<DataType> {
    if ansi {
        return types.iter().try_fold(DataType::Null, |common, next| wider_type(&common, next, true));
    }
    // The legacy rules are not associative where strings are concerned, so these come first.
    let (strings, others): (Vec<_>, Vec<_>) = types.iter().partition(|t| has_string(t));
    strings.into_iter().chain(others).try_fold(DataType::Null, |common, next| wider_type(&common, next, false))
}

/// As [`common_type`], but a string does not mix with other types (`greatest`, `least`).
pub fn common_type_without_strings(types: &[DataType], ansi: bool) -> Option<DataType> {
    fn wider(a: &DataType, b: &DataType, ansi: bool) -> Option<DataType> {
        tightest_common_type(a, b, ansi)
            .or_else(|| wider_decimal(a, b))
            .or_else(|| complex_type(a, b, &|a, b| wider(a, b, ansi)))
    }
    types.iter().try_fold(DataType::Null, |common, next| wider(&common, next, ansi))
}

/// The common type of two (`findWiderTypeForTwo`).
pub fn wider_type(a: &DataType, b: &DataType, ansi: bool) -> Option<DataType> {
    tightest_common_type(a, b, ansi)
        .or_else(|| wider_decimal(a, b))
        .or_else(|| if ansi { ansi_string_promotion(a, b) } else { legacy_string_promotion(a, b) })
        .or_else(|| complex_type(a, b, &|a, b| wider_type(a, b, ansi)))
}

/// The common type of two without any loss (`findTightestCommonType`).
pub fn tightest_common_type(a: &DataType, b: &DataType, ansi: bool) -> Option<DataType> {
    use DataType::{Date32, Decimal128, Float32, Float64, Null, Timestamp};
    match (a, b) {
        (a, b) if a == b => Some(a.clone()),
        (Null, other) | (other, Null) => Some(other.clone()),
        (integral, decimal @ Decimal128(p, s)) | (decimal @ Decimal128(p, s), integral)
            if integral.is_signed_integer() && decimal_holds(*p, *s, integral) =>
        {
            Some(decimal.clone())
        }
        (a, b) if is_plain_number(a) && is_plain_number(b) => {
            let wider = if number_rank(a) > number_rank(b) { a } else { b };
            Some(if ansi && *wider == Float32 { Float64 } else { wider.clone() })
        }
        (Date32, Timestamp(_, Some(_))) | (Timestamp(_, Some(_)), Date32) => Some(types::timestamp()),
        (Timestamp(_, Some(_)), Timestamp(_, None)) | (Timestamp(_, None), Timestamp(_, Some(_))) => {
            Some(types::timestamp())
        }
        (Date32, Timestamp(_, None)) | (Timestamp(_, None), Date32) => Some(types::timestamp_ntz()),
        _ => complex_type(a, b, &|a, b| tightest_common_type(a, b, ansi)),
    }
}

fn complex_type(
    a: &DataType,
    b: &DataType,
    find: &dyn Fn(&DataType, &DataType) -> Option<DataType>,
) -> Option<DataType> {
    match (a, b) {
        (DataType::List(a), DataType::List(b)) => {
            let element = find(a.data_type(), b.data_type())?;
            let nullable = part_nullable(a, b, &element);
            Some(types::array(element, nullable))
        }
        (DataType::Map(a, _), DataType::Map(b, _)) => {
            let ((a_key, a_value), (b_key, b_value)) = (key_and_value(a)?, key_and_value(b)?);
            let key = find(a_key.data_type(), b_key.data_type())?;
            if force_nullable(a_key.data_type(), &key) || force_nullable(b_key.data_type(), &key) {
                return None;
            }
            let value = find(a_value.data_type(), b_value.data_type())?;
            let nullable = part_nullable(a_value, b_value, &value);
            Some(types::map(key, value, nullable))
        }
        (DataType::Struct(a), DataType::Struct(b)) if a.len() == b.len() => {
            let fields = a.iter().zip(b).map(|(a, b)| struct_field(a, b, find)).collect::<Option<Vec<FieldRef>>>()?;
            Some(DataType::Struct(fields.into()))
        }
        _ => None,
    }
}

fn struct_field(a: &Field, b: &Field, find: &dyn Fn(&DataType, &DataType) -> Option<DataType>) -> Option<FieldRef> {
    if !a.name().eq_ignore_ascii_case(b.name()) {
        return None;
    }
    let data_type = find(a.data_type(), b.data_type())?;
    let nullable = part_nullable(a, b, &data_type);
    Some(Arc::new(Field::new(a.name(), data_type, nullable).with_metadata(a.metadata().clone())))
}

fn part_nullable(a: &Field, b: &Field, to: &DataType) -> bool {
    a.is_nullable() || b.is_nullable() || force_nullable(a.data_type(), to) || force_nullable(b.data_type(), to)
}

/// Whether a cast may give null for a value that is not.
pub fn force_nullable(from: &DataType, to: &DataType) -> bool {
    use DataType::{Binary, Date32, Decimal128, Int8, Int16, Int32, Interval, Null, Timestamp, Utf8};
    match (from, to) {
        (Null, _) => false,
        (a, b) if same_type(a, b) => false,
        (Utf8, Binary) | (_, Utf8) => false,
        (Utf8, _) => true,
        (Timestamp(..), Int8 | Int16 | Int32) => true,
        (a, Timestamp(..)) if is_float(a) => true,
        (Timestamp(..), Date32) | (Date32, Timestamp(..)) => false,
        (_, Date32) => true,
        (_, Interval(arrow::datatypes::IntervalUnit::MonthDayNano)) => true,
        (a, Decimal128(p, s)) => !decimal_safe(a, *p, *s),
        (a, b) if is_fractional(a) && b.is_signed_integer() => true,
        _ => false,
    }
}

fn decimal_safe(from: &DataType, precision: u8, scale: i8) -> bool {
    match from {
        DataType::Boolean => precision > scale as u8,
        DataType::Decimal128(p, s) => i16::from(precision) - i16::from(scale) > i16::from(*p) - i16::from(*s),
        a if a.is_signed_integer() => decimal_holds(precision, scale, a),
        _ => false,
    }
}

fn decimal_holds(precision: u8, scale: i8, integral: &DataType) -> bool {
    let digits = match integral {
        DataType::Int8 => 3,
        DataType::Int16 => 5,
        DataType::Int32 => 10,
        _ => 20,
    };
    i16::from(precision) - i16::from(scale) >= digits
}

/// The common type if a decimal is among the two: wide enough for both, cut to 38 digits; double beside a float.
pub(crate) fn wider_decimal(a: &DataType, b: &DataType) -> Option<DataType> {
    match (a, b) {
        (DataType::Decimal128(..), other) | (other, DataType::Decimal128(..)) if is_float(other) => {
            Some(DataType::Float64)
        }
        (DataType::Decimal128(..), other) | (other, DataType::Decimal128(..)) if is_numeric(other) => {
            let (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)) = (decimal_for(a), decimal_for(b)) else {
                return None;
            };
            let (scale, range) = (s1.max(s2), (p1 as i8 - s1).max(p2 as i8 - s2));
            Some(bounded_decimal(i32::from(range) + i32::from(scale), i32::from(scale)))
        }
        _ => None,
    }
}

/// decimal(p,s) cut to 38 digits, integer digits first (`DecimalType.boundedPreferIntegralDigits`).
pub fn bounded_decimal(precision: i32, scale: i32) -> DataType {
    if precision <= 38 {
        return DataType::Decimal128(precision.max(0) as u8, scale as i8);
    }
    DataType::Decimal128(38, (scale - (precision - 38)).max(0) as i8)
}

/// The decimal that holds every value of a type (`DecimalType.forType`).
pub fn decimal_for(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Int8 => DataType::Decimal128(3, 0),
        DataType::Int16 => DataType::Decimal128(5, 0),
        DataType::Int32 => DataType::Decimal128(10, 0),
        DataType::Int64 => DataType::Decimal128(20, 0),
        DataType::Float32 => DataType::Decimal128(14, 7),
        DataType::Float64 => DataType::Decimal128(30, 15),
        DataType::Decimal128(..) => data_type.clone(),
        _ => DataType::Decimal128(38, 18),
    }
}

/// A string beside another atomic type, by ANSI rules.
pub(crate) fn ansi_string_promotion(a: &DataType, b: &DataType) -> Option<DataType> {
    match (a, b) {
        (DataType::Utf8, other) | (other, DataType::Utf8) => match other {
            t if t.is_signed_integer() => Some(DataType::Int64),
            t if is_fractional(t) => Some(DataType::Float64),
            DataType::Duration(_) | DataType::Interval(_) => None,
            t if is_atomic(t) => Some(t.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn legacy_string_promotion(a: &DataType, b: &DataType) -> Option<DataType> {
    match (a, b) {
        (DataType::Utf8, other) | (other, DataType::Utf8) => {
            (is_atomic(other) && !matches!(other, DataType::Binary | DataType::Boolean)).then_some(DataType::Utf8)
        }
        _ => None,
    }
}

fn has_string(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 => true,
        DataType::List(element) => has_string(element.data_type()),
        _ => false,
    }
}

/// Whether two types agree but for the nullability of their parts.
pub fn same_type(a: &DataType, b: &DataType) -> bool {
    match (a, b) {
        (DataType::List(a), DataType::List(b)) => same_type(a.data_type(), b.data_type()),
        (DataType::Map(a, _), DataType::Map(b, _)) => match (key_and_value(a), key_and_value(b)) {
            (Some((ak, av)), Some((bk, bv))) => {
                same_type(ak.data_type(), bk.data_type()) && same_type(av.data_type(), bv.data_type())
            }
            _ => false,
        },
        (DataType::Struct(a), DataType::Struct(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|(a, b)| a.name() == b.name() && same_type(a.data_type(), b.data_type()))
        }
        _ => a == b,
    }
}

/// Numbers, decimals included.
pub fn is_numeric(data_type: &DataType) -> bool {
    is_plain_number(data_type) || is_decimal(data_type)
}

/// `float`, `double`, decimals.
pub fn is_fractional(data_type: &DataType) -> bool {
    is_float(data_type) || is_decimal(data_type)
}

/// `float`, `double`.
pub fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64)
}

/// Decimals.
pub fn is_decimal(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal128(..))
}

fn is_plain_number(data_type: &DataType) -> bool {
    data_type.is_signed_integer() || is_float(data_type)
}

fn number_rank(data_type: &DataType) -> usize {
    use DataType::{Float32, Float64, Int8, Int16, Int32, Int64};
    [Int8, Int16, Int32, Int64, Float32, Float64].iter().position(|t| t == data_type).unwrap_or_default()
}

/// Dates, timestamps, times.
pub fn is_datetime(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Timestamp(..) | DataType::Time64(TimeUnit::Nanosecond))
}

/// Spark's `AtomicType`: no nested type, no calendar interval, no void.
pub fn is_atomic(data_type: &DataType) -> bool {
    !data_type.is_nested()
        && !matches!(data_type, DataType::Null | DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano))
}

#[cfg(test)]
mod tests {
    use super::*;
    use DataType::{Date32, Decimal128, Float32, Float64, Int32, Int64, Null, Utf8};

    #[test]
    fn common_types_follow_ansi_and_legacy_rules() {
        let cases = [
            (Int32, Int64, Some(Int64), Some(Int64)),
            (Int64, Float32, Some(Float64), Some(Float32)),
            (Int32, Utf8, Some(Int64), Some(Utf8)),
            (Date32, Utf8, Some(Date32), Some(Utf8)),
            (Decimal128(10, 2), Int32, Some(Decimal128(12, 2)), Some(Decimal128(12, 2))),
            (Decimal128(38, 10), Decimal128(38, 2), Some(Decimal128(38, 2)), Some(Decimal128(38, 2))),
            (Null, Utf8, Some(Utf8), Some(Utf8)),
            (DataType::Boolean, Int32, None, None),
        ];
        for (a, b, ansi, legacy) in cases {
            assert_eq!(common_type(&[a.clone(), b.clone()], true), ansi, "{a} and {b}");
            assert_eq!(common_type(&[a.clone(), b.clone()], false), legacy, "{a} and {b}, legacy");
        }
    }

    #[test]
    fn arrays_that_differ_in_nullability_have_the_looser_type() {
        let (strict, loose) = (types::array(Int32, false), types::array(Int32, true));
        assert_eq!(common_type(&[strict, loose.clone()], true), Some(loose));
    }

    #[test]
    fn a_parameter_takes_what_can_be_stored_and_strings() {
        assert_eq!(implicit_type(&Utf8, &Expected::DOUBLE, true), Some(Float64));
        assert_eq!(implicit_type(&Float64, &Expected::Integral, true), None);
        assert_eq!(implicit_type(&Int64, &Expected::STRING, true), Some(Utf8));
        assert_eq!(implicit_type(&DataType::Boolean, &Expected::INT, true), None);
        assert_eq!(implicit_type(&types::timestamp(), &Expected::DATE, true), Some(Date32));
    }
}
