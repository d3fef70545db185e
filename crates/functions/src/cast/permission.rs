//! Which casts are possible, and the errors for those that are not.

use arrow::datatypes::{DataType, IntervalUnit};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::types::{key_and_value, sql_name};

use super::Mode;
use crate::Typed;
use crate::coerce::is_numeric;
use crate::sql_text::sql_text;

/// Fails unless the mode allows the cast.
pub fn check(value: &Typed, to: &DataType, mode: Mode) -> Result<(), SparkError> {
    let from = &value.data_type;
    let allowed = if mode == Mode::Legacy { legacy(from, to) } else { ansi(from, to) };
    if allowed { Ok(()) } else { Err(refusal(value, to, mode)) }
}

fn refusal(value: &Typed, to: &DataType, mode: Mode) -> SparkError {
    let (from_name, to_name) = (sql_name(&value.data_type), sql_name(to));
    let call = format!("CAST({} AS {to_name})", sql_text(&value.expr));
    let (subclass, why) = match (&value.data_type, to) {
        (from, DataType::Date32) if mode == Mode::Ansi && is_numeric(from) => {
            function_hint(&from_name, &to_name, "`DATE_FROM_UNIX_DATE`")
        }
        (DataType::Date32, to) if mode == Mode::Ansi && is_numeric(to) => {
            function_hint(&from_name, &to_name, "`UNIX_DATE`")
        }
        (from, to) if mode == Mode::Ansi && legacy(from, to) => (
            "CAST_WITH_CONF_SUGGESTION",
            format!(
                "cannot cast \"{from_name}\" to \"{to_name}\" with ANSI mode on.\nIf you have to cast \"{from_name}\" to \"{to_name}\", \
                 you can set \"spark.sql.ansi.enabled\" as 'false'."
            ),
        ),
        _ => ("CAST_WITHOUT_SUGGESTION", format!("cannot cast \"{from_name}\" to \"{to_name}\".")),
    };
    SparkError::new(
        ExceptionClass::Analysis,
        &format!("DATATYPE_MISMATCH.{subclass}"),
        "42K09",
        format!("Cannot resolve \"{call}\" due to data type mismatch: {why}"),
    )
    .with("sqlExpr", format!("\"{call}\""))
    .with("srcType", format!("\"{from_name}\""))
    .with("targetType", format!("\"{to_name}\""))
}

fn function_hint(from: &str, to: &str, function: &str) -> (&'static str, String) {
    let text = format!(
        "cannot cast \"{from}\" to \"{to}\".\nTo convert values from \"{from}\" to \"{to}\", you can use the functions {function} \
         instead."
    );
    ("CAST_WITH_FUNC_SUGGESTION", text)
}

fn ansi(from: &DataType, to: &DataType) -> bool {
    use DataType::{Binary, Boolean, Date32, Decimal128, Duration, Null, Time64, Timestamp, Utf8};
    match (from, to) {
        (a, b) if a == b => true,
        (Null, _) | (_, Utf8) => true,
        (Utf8, Binary | Boolean | Date32 | Timestamp(..) | Time64(_) | Duration(_) | DataType::Interval(_)) => true,
        (Utf8 | Boolean, b) if is_numeric(b) => true,
        (a, Boolean | Timestamp(_, Some(_))) if is_numeric(a) => true,
        (a, b) if is_numeric(a) && is_numeric(b) => true,
        (Date32, Timestamp(..)) | (Timestamp(..), Date32 | Timestamp(..)) => true,
        (Timestamp(_, Some(_)), b) if is_numeric(b) => true,
        (Timestamp(..), Time64(_)) => true,
        (Duration(_) | DataType::Interval(IntervalUnit::YearMonth), Decimal128(..)) => true,
        (Duration(_) | DataType::Interval(IntervalUnit::YearMonth), b) if b.is_signed_integer() => true,
        (Decimal128(..), Duration(_) | DataType::Interval(IntervalUnit::YearMonth)) => true,
        (a, Duration(_) | DataType::Interval(IntervalUnit::YearMonth)) if a.is_signed_integer() => true,
        _ => nested(from, to, &ansi),
    }
}

fn legacy(from: &DataType, to: &DataType) -> bool {
    use DataType::{Binary, Boolean, Date32, Timestamp};
    match (from, to) {
        (a, Binary) if a.is_signed_integer() => true,
        (Boolean, Timestamp(_, Some(_))) => true,
        (Date32 | Timestamp(_, Some(_)), Boolean) => true,
        (Date32, b) if is_numeric(b) => true,
        _ if ansi(from, to) => true,
        _ => nested(from, to, &legacy),
    }
}

fn nested(from: &DataType, to: &DataType, allowed: &dyn Fn(&DataType, &DataType) -> bool) -> bool {
    match (from, to) {
        (DataType::List(a), DataType::List(b)) => allowed(a.data_type(), b.data_type()),
        (DataType::Map(a, _), DataType::Map(b, _)) => match (key_and_value(a), key_and_value(b)) {
            (Some((ak, av)), Some((bk, bv))) => {
                allowed(ak.data_type(), bk.data_type()) && allowed(av.data_type(), bv.data_type())
            }
            _ => false,
        },
        (DataType::Struct(a), DataType::Struct(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| allowed(a.data_type(), b.data_type()))
        }
        _ => false,
    }
}
