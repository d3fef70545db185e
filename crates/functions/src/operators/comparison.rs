//! `= <=> <> < <= > >= in between` and the test for NaN.
//!
//! NaN equals NaN and is larger than every number; `-0.0` equals `0.0`. Strings and binary values compare by their bytes; arrays
//! and structs part by part, null first. Maps and calendar intervals have no order.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Datum, Scalar};
use arrow::compute::SortOptions;
use arrow::compute::kernels::cmp;
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type, IntervalUnit};
use datafusion::logical_expr::{Expr, Operator, binary_expr};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;
use millstream_formats::types::sql_name;

use super::arithmetic::beside_decimal;
use super::logic;
use crate::aggregate::canonical::{canonical, needs_canonical};
use crate::arguments::{different_operands, exactly, expect_at_least, type_mismatch};
use crate::coerce::{
    Expected, ansi_string_promotion, argument, cast_to, is_decimal, tightest_common_type, to_common_type, wider_decimal,
};
use crate::kernel::{Kernel, from_datafusion, primitive};
use crate::{FunctionContext, Typed};

/// `= == <> != < <= > >= <=>`.
pub fn comparison(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let symbol = match name {
        "==" => "=",
        "!=" => "<>",
        other => other,
    };
    let [left, right] = exactly::<2>(symbol, arguments)?;
    let (left, right) = comparands(symbol, left, right, context)?;
    compare(symbol, left, right)
}

/// `equal_null(a, b)`: `a <=> b`.
pub fn equal_null(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<2>(name, arguments)?;
    comparison("<=>", arguments, context)
}

/// `a = b` for two values of one type.
///
/// # Errors
/// If the type has no equality.
pub fn equal(left: Typed, right: Typed) -> Result<Typed, SparkError> {
    compare("=", left, right)
}

/// The values in the type in which they are compared.
fn comparands(
    name: &str,
    left: &Typed,
    right: &Typed,
    context: &FunctionContext,
) -> Result<(Typed, Typed), SparkError> {
    let both = || (left.clone(), right.clone());
    let (left, right) = match (is_decimal(&left.data_type), is_decimal(&right.data_type)) {
        (true, false) if right.data_type != DataType::Utf8 => {
            beside_decimal(right.clone(), left.clone(), context).map(|(r, l)| (l, r))?
        }
        (false, true) if left.data_type != DataType::Utf8 => beside_decimal(left.clone(), right.clone(), context)?,
        _ => both(),
    };
    let common = comparison_type(&left.data_type, &right.data_type, context.ansi)
        .ok_or_else(|| different_operands(name, &[left.clone(), right.clone()]))?;
    Ok((cast_to(left, &common, context)?, cast_to(right, &common, context)?))
}

/// The type in which two types are compared.
fn comparison_type(a: &DataType, b: &DataType, ansi: bool) -> Option<DataType> {
    if let Some(common) = tightest_common_type(a, b, ansi) {
        return Some(common);
    }
    match (a, b) {
        // Structs of the same types are compared whatever their fields are called.
        (DataType::Struct(_), DataType::Struct(_)) => with_names_of(a, b),
        (DataType::Utf8, other) | (other, DataType::Utf8) if !ansi => match other {
            DataType::Decimal128(..) => Some(DataType::Float64),
            other if other.is_nested() => None,
            other => Some(other.clone()),
        },
        // Legacy: a boolean is compared with a number as 1 or 0.
        (DataType::Boolean, number) | (number, DataType::Boolean) if !ansi && crate::coerce::is_numeric(number) => {
            Some(number.clone())
        }
        _ => wider_decimal(a, b).or_else(|| ansi_string_promotion(a, b)),
    }
}

/// A type that holds values of both, with the names of the first; none if they differ in more than names and nullability.
fn with_names_of(a: &DataType, b: &DataType) -> Option<DataType> {
    match (a, b) {
        (DataType::Struct(a), DataType::Struct(b)) if a.len() == b.len() => {
            let field = |(a, b): (&FieldRef, &FieldRef)| {
                let data_type = with_names_of(a.data_type(), b.data_type())?;
                Some(Field::clone(a).with_data_type(data_type).with_nullable(a.is_nullable() || b.is_nullable()))
            };
            let fields: Option<Vec<Field>> = a.iter().zip(b).map(field).collect();
            Some(DataType::Struct(fields?.into()))
        }
        (DataType::List(a), DataType::List(b)) => {
            let element = with_names_of(a.data_type(), b.data_type())?;
            Some(crate::types::array(element, a.is_nullable() || b.is_nullable()))
        }
        _ => (a == b).then(|| a.clone()),
    }
}

/// Whether values of the type have an order.
pub(crate) fn is_orderable(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(..) | DataType::Interval(IntervalUnit::MonthDayNano) => false,
        DataType::List(element) => is_orderable(element.data_type()),
        DataType::Struct(fields) => {
            !millstream_formats::types::is_variant(fields) && fields.iter().all(|f| is_orderable(f.data_type()))
        }
        _ => true,
    }
}

fn compare(symbol: &str, left: Typed, right: Typed) -> Result<Typed, SparkError> {
    if !is_orderable(&left.data_type) {
        let name = sql_name(&left.data_type);
        let text = format!("The `{symbol}` does not support ordering on type \"{name}\".");
        return Err(type_mismatch("INVALID_ORDERING_TYPE", symbol, &[left, right], text)
            .with("functionName", format!("`{symbol}`"))
            .with("dataType", format!("\"{name}\"")));
    }
    let nullable = symbol != "<=>" && (left.nullable || right.nullable);
    if left.data_type == DataType::Null {
        let value = if symbol == "<=>" { ScalarValue::from(true) } else { ScalarValue::Boolean(None) };
        return Ok(Typed::new(Expr::Literal(value, None), DataType::Boolean, nullable));
    }
    if !needs_canonical(&left.data_type) && !left.data_type.is_nested() {
        let expr = binary_expr(left.expr, operator(symbol), right.expr);
        return Ok(Typed::new(expr, DataType::Boolean, nullable));
    }
    let kernel = Kernel::new(symbol, DataType::Boolean, nullable);
    let nested = left.data_type.is_nested();
    let symbol = symbol.to_string();
    if !nested {
        return Ok(kernel.datums(&[left, right], move |left, right| {
            compare_plain(&symbol, canonical_datum(left)?.as_ref(), canonical_datum(right)?.as_ref())
        }));
    }
    Ok(kernel.arrays(&[left, right], move |arrays, _| {
        let left = canonical(&arrays[0]).map_err(from_datafusion)?;
        let right = canonical(&arrays[1]).map_err(from_datafusion)?;
        compare_nested(&symbol, &left, &right)
    }))
}

/// A column or a constant in canonical form.
fn canonical_datum(value: &dyn Datum) -> Result<Box<dyn Datum>, SparkError> {
    let (array, is_scalar) = value.get();
    let array = canonical(&array.slice(0, array.len())).map_err(from_datafusion)?;
    Ok(if is_scalar { Box::new(Scalar::new(array)) } else { Box::new(array) })
}

fn operator(symbol: &str) -> Operator {
    match symbol {
        "=" => Operator::Eq,
        "<>" => Operator::NotEq,
        "<" => Operator::Lt,
        "<=" => Operator::LtEq,
        ">" => Operator::Gt,
        ">=" => Operator::GtEq,
        _ => Operator::IsNotDistinctFrom,
    }
}

fn compare_plain(symbol: &str, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef, SparkError> {
    let result = match symbol {
        "=" => cmp::eq(left, right),
        "<>" => cmp::neq(left, right),
        "<" => cmp::lt(left, right),
        "<=" => cmp::lt_eq(left, right),
        ">" => cmp::gt(left, right),
        ">=" => cmp::gt_eq(left, right),
        _ => cmp::not_distinct(left, right),
    };
    Ok(Arc::new(result?))
}

fn compare_nested(symbol: &str, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef, SparkError> {
    let order = arrow::array::make_comparator(left, right, SortOptions { descending: false, nulls_first: true })?;
    let holds = |row: usize| {
        let order = order(row, row);
        match symbol {
            "=" | "<=>" => order == Ordering::Equal,
            "<>" => order != Ordering::Equal,
            "<" => order == Ordering::Less,
            "<=" => order != Ordering::Greater,
            ">" => order == Ordering::Greater,
            _ => order != Ordering::Less,
        }
    };
    let values = arrow::buffer::BooleanBuffer::collect_bool(left.len(), holds);
    let nulls = if symbol == "<=>" { None } else { crate::rows::nulls_of(&[Arc::clone(left), Arc::clone(right)]) };
    Ok(Arc::new(BooleanArray::new(values, nulls)))
}

/// `x IN (a, b, …)`.
pub fn in_list(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_at_least(name, arguments, 1)?;
    let nullable = arguments.iter().any(|a| a.nullable);
    let (mut values, common) = to_common_type(name, arguments, context)?;
    let value = values.remove(0);
    if values.is_empty() {
        return Ok(Typed::literal(ScalarValue::from(false)));
    }
    if common == DataType::Null {
        return Ok(Typed::new(Expr::Literal(ScalarValue::Boolean(None), None), DataType::Boolean, true));
    }
    if !needs_canonical(&common) && !common.is_nested() {
        let list = values.into_iter().map(|v| v.expr).collect();
        return Ok(Typed::new(value.expr.in_list(list, false), DataType::Boolean, nullable));
    }
    let mut found = values.into_iter().map(|other| compare("=", value.clone(), other));
    let first = found.next().unwrap_or_else(|| Err(SparkError::internal("an empty list")))?;
    found.try_fold(first, |any, next| Ok(Typed::new(any.expr.or(next?.expr), DataType::Boolean, nullable)))
}

/// `x BETWEEN low AND high`.
pub fn between(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let [value, low, high] = exactly::<3>(name, arguments)?;
    let above = comparison(">=", &[value.clone(), low.clone()], context)?;
    let below = comparison("<=", &[value.clone(), high.clone()], context)?;
    logic::connective("and", &[above, below], context)
}

/// `isnan(x)`: never null.
pub fn is_nan(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<1>(name, arguments)?;
    let expected = Expected::OneOf(vec![Expected::DOUBLE, Expected::Exactly(DataType::Float32)]);
    let value = argument(name, arguments, 0, &expected, context)?;
    let kernel = Kernel::new(name, DataType::Boolean, false);
    Ok(kernel.arrays(&[value], |arrays, _| {
        let array = &arrays[0];
        let nan: BooleanArray = match array.data_type() {
            DataType::Float32 => {
                primitive::<Float32Type>(array)?.iter().map(|v| Some(v.is_some_and(f32::is_nan))).collect()
            }
            _ => primitive::<Float64Type>(array)?.iter().map(|v| Some(v.is_some_and(f64::is_nan))).collect(),
        };
        Ok(Arc::new(nan))
    }))
}
