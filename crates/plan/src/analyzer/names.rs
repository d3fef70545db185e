//! Expressions as Spark writes them: the text that names a column without an alias, and that messages quote.

use arrow::datatypes::DataType;
use arrow::temporal_conversions::{date32_to_datetime, timestamp_us_to_datetime};
use datafusion::scalar::ScalarValue;
use millstream_formats::types::sql_name;

/// A call: operators between their operands, `CASE`, `IN` and `LIKE` in their own form, other functions by name.
pub fn call(name: &str, arguments: &[String], distinct: bool) -> String {
    let lower = name.to_ascii_lowercase();
    match (lower.as_str(), arguments) {
        ("when", _) => case_when(arguments),
        ("in", [value, list @ ..]) => format!("({value} IN ({}))", list.join(", ")),
        ("and" | "or", [a, b]) => format!("({a} {} {b})", lower.to_ascii_uppercase()),
        ("not" | "!", [a]) => format!("(NOT {a})"),
        ("!=" | "<>", [a, b]) => format!("(NOT ({a} = {b}))"),
        ("==", [a, b]) => format!("({a} = {b})"),
        ("%" | "mod", [a, b]) if lower == "%" => format!("({a} % {b})"),
        (
            "+" | "-" | "*" | "/" | "div" | "=" | "<" | "<=" | ">" | ">=" | "<=>" | "&" | "|" | "^" | "<<" | ">>"
            | ">>>",
            [a, b],
        ) => {
            format!("({a} {lower} {b})")
        }
        ("||", [a, b]) => format!("concat({a}, {b})"),
        ("-" | "negative", [a]) if lower == "-" => format!("(- {a})"),
        ("+", [a]) => format!("(+ {a})"),
        ("~", [a]) => format!("~{a}"),
        ("isnull", [a]) => format!("({a} IS NULL)"),
        ("isnotnull", [a]) => format!("({a} IS NOT NULL)"),
        ("like" | "ilike", [a, b]) => {
            if lower == "like" {
                format!("{a} LIKE {b}")
            } else {
                format!("ilike({a}, {b})")
            }
        }
        ("like", [a, b, escape]) => format!("{a} LIKE {b} ESCAPE '{escape}'"),
        ("rlike", [a, b]) => format!("RLIKE({a}, {b})"),
        ("[", [a, b]) => format!("{a}[{b}]"),
        ("count", []) => "count(1)".to_string(),
        _ => {
            let distinct = if distinct { "DISTINCT " } else { "" };
            format!("{}({distinct}{})", function(&lower, name), arguments.join(", "))
        }
    }
}

/// The name under which a function is shown; most keep the name by which they were called.
fn function(lower: &str, written: &str) -> String {
    match lower {
        "power" => "POWER",
        "signum" => "SIGNUM",
        "acos" | "acosh" | "asin" | "asinh" | "atan" | "atan2" | "atanh" | "cbrt" | "cos" | "cosh" | "exp"
        | "expm1" | "hypot" | "log10" | "log1p" | "log2" | "rint" | "sin" | "sinh" | "sqrt" | "tan" | "tanh"
        | "degrees" | "radians" | "cot" | "csc" | "sec" => return upper_math(lower),
        "ceil" => "CEIL",
        "floor" => "FLOOR",
        "regexp" | "regexp_like" => return lower.to_ascii_uppercase(),
        "approx_count_distinct" => "approx_count_distinct",
        "approx_percentile" => "approx_percentile",
        "stddev_samp" | "stddev" | "std" => return lower.to_string(),
        "substr" => "substr",
        "to_varchar" => "to_char",
        "dayofmonth" => "dayofmonth",
        "timestamp_seconds" => "timestamp_seconds",
        "now" => "now",
        "shiftleft" | "shiftright" | "shiftrightunsigned" => return lower.to_string(),
        "md5" | "sha1" | "sha2" | "crc32" => return lower.to_string(),
        "bool_and" | "every" | "bool_or" | "any" | "some" => return lower.to_string(),
        "countdistinct" => "count",
        _ => return lowered_function(lower, written),
    }
    .to_string()
}

/// Math functions of one argument show their name in capitals.
fn upper_math(lower: &str) -> String {
    match lower {
        "degrees" | "radians" | "cot" | "csc" | "sec" | "acos" | "asin" | "atan" | "cos" | "sin" | "tan" | "cosh"
        | "sinh" | "tanh" | "acosh" | "asinh" | "atanh" | "atan2" | "cbrt" | "exp" | "expm1" | "hypot" | "log10"
        | "log1p" | "log2" | "sqrt" => lower.to_ascii_uppercase(),
        other => other.to_string(),
    }
}

fn lowered_function(lower: &str, _written: &str) -> String {
    lower.to_string()
}

fn case_when(arguments: &[String]) -> String {
    let mut text = String::from("CASE");
    let mut rest = arguments;
    while let [condition, value, tail @ ..] = rest {
        text.push_str(&format!(" WHEN {condition} THEN {value}"));
        rest = tail;
    }
    if let [otherwise] = rest {
        text.push_str(&format!(" ELSE {otherwise}"));
    }
    text.push_str(" END");
    text
}

/// `CAST(x AS T)`.
pub fn cast(child: &str, to: &DataType, try_cast: bool) -> String {
    format!("{}({child} AS {})", if try_cast { "TRY_CAST" } else { "CAST" }, sql_name(to))
}

/// A constant in a column name: strings without quotes.
pub fn literal(value: &ScalarValue) -> String {
    if value.is_null() {
        return "NULL".to_string();
    }
    match value {
        ScalarValue::Utf8(Some(text)) => text.clone(),
        ScalarValue::Boolean(Some(b)) => b.to_string(),
        ScalarValue::Int8(Some(v)) => v.to_string(),
        ScalarValue::Int16(Some(v)) => v.to_string(),
        ScalarValue::Int32(Some(v)) => v.to_string(),
        ScalarValue::Int64(Some(v)) => v.to_string(),
        ScalarValue::Float32(Some(v)) => double(f64::from(*v), v.to_string()),
        ScalarValue::Float64(Some(v)) => double(*v, v.to_string()),
        ScalarValue::Decimal128(Some(v), _, scale) => decimal(*v, *scale),
        ScalarValue::Binary(Some(bytes)) => {
            format!("X'{}'", bytes.iter().map(|b| format!("{b:02X}")).collect::<String>())
        }
        ScalarValue::Date32(Some(days)) => match date32_to_datetime(*days) {
            Some(date) => format!("DATE '{}'", date.format("%Y-%m-%d")),
            None => format!("DATE '{days}'"),
        },
        ScalarValue::TimestampMicrosecond(Some(us), zone) => {
            let word = if zone.is_some() { "TIMESTAMP" } else { "TIMESTAMP_NTZ" };
            match timestamp_us_to_datetime(*us) {
                Some(time) => format!("{word} '{}'", trim_fraction(&time.format("%Y-%m-%d %H:%M:%S%.6f").to_string())),
                None => format!("{word} '{us}'"),
            }
        }
        ScalarValue::DurationMicrosecond(Some(us)) => day_time_interval(*us),
        ScalarValue::IntervalYearMonth(Some(months)) => {
            let sign = if *months < 0 { "-" } else { "" };
            let months = months.unsigned_abs();
            format!("INTERVAL '{sign}{}-{}' YEAR TO MONTH", months / 12, months % 12)
        }
        ScalarValue::List(list) => {
            let items = list.value(0);
            let texts = (0..items.len())
                .map(|i| ScalarValue::try_from_array(&items, i).map_or_else(|_| String::new(), |v| literal(&v)));
            format!("ARRAY({})", texts.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

use arrow::array::Array;

fn trim_fraction(text: &str) -> &str {
    text.trim_end_matches('0').trim_end_matches('.')
}

fn day_time_interval(us: i64) -> String {
    let sign = if us < 0 { "-" } else { "" };
    let us = us.unsigned_abs();
    let (seconds, micros) = (us / 1_000_000, us % 1_000_000);
    let fraction = if micros == 0 { String::new() } else { trim_fraction(&format!(".{micros:06}")).to_string() };
    format!(
        "INTERVAL '{sign}{} {:02}:{:02}:{:02}{fraction}' DAY TO SECOND",
        seconds / 86_400,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// Java's text of a double; Rust's differs for whole and for very large or small numbers.
fn double(value: f64, plain: String) -> String {
    if value.is_nan() {
        "NaN".to_string()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity".to_string() } else { "-Infinity".to_string() }
    } else if value != 0.0 && !(1e-3..1e7).contains(&value.abs()) {
        let text = format!("{value:E}");
        match text.split_once('E') {
            Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0E{exponent}"),
            _ => text,
        }
    } else if plain.contains('.') {
        plain
    } else {
        format!("{plain}.0")
    }
}

fn decimal(unscaled: i128, scale: i8) -> String {
    let Ok(scale) = usize::try_from(scale) else { return unscaled.to_string() };
    if scale == 0 {
        return unscaled.to_string();
    }
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{}{whole}.{fraction}", if unscaled < 0 { "-" } else { "" })
}

/// A sort key: `a ASC NULLS FIRST`.
pub fn sort_order(key: &str, ascending: bool, nulls_first: bool) -> String {
    format!("{key} {} NULLS {}", if ascending { "ASC" } else { "DESC" }, if nulls_first { "FIRST" } else { "LAST" })
}
