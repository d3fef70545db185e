//! Expressions as Spark writes them: the text that names a column without an alias, and that messages quote.

use arrow::array::Array;
use arrow::datatypes::DataType;
use arrow::temporal_conversions::{date32_to_datetime, timestamp_us_to_datetime};
use datafusion::scalar::ScalarValue;
use millstream_formats::text::write_decimal_plain;
use millstream_formats::types::sql_name;

/// A call: operators between their operands, `CASE`, `IN` and `LIKE` in their own form, other functions by name.
pub fn call(name: &str, arguments: &[String], distinct: bool) -> String {
    let lower = name.to_ascii_lowercase();
    if let Some(text) = operator(&lower, arguments).or_else(|| special(&lower, arguments)) {
        return text;
    }
    let mut shown = arguments.to_vec();
    if shows_first_argument_only(&lower) {
        shown.truncate(1);
    }
    shown.extend(default_arguments(&lower, arguments.len()).iter().map(|a| (*a).to_string()));
    let distinct = if distinct { "DISTINCT " } else { "" };
    format!("{}({distinct}{})", function(&lower), shown.join(", "))
}

/// Operators and what else is not written as a call.
fn operator(lower: &str, arguments: &[String]) -> Option<String> {
    Some(match (lower, arguments) {
        ("when", _) => case_when(arguments),
        ("if", [condition, then, otherwise]) => format!("(IF({condition}, {then}, {otherwise}))"),
        ("in", [value, list @ ..]) => format!("({value} IN ({}))", list.join(", ")),
        ("and" | "or", [a, b]) => format!("({a} {} {b})", lower.to_ascii_uppercase()),
        ("not" | "!", [a]) => format!("(NOT {a})"),
        ("!=" | "<>", [a, b]) => format!("(NOT ({a} = {b}))"),
        ("==", [a, b]) => format!("({a} = {b})"),
        (
            "+" | "-" | "*" | "/" | "%" | "div" | "=" | "<" | "<=" | ">" | ">=" | "<=>" | "&" | "|" | "^" | "<<" | ">>"
            | ">>>",
            [a, b],
        ) => format!("({a} {lower} {b})"),
        ("||", [a, b]) => format!("concat({a}, {b})"),
        ("-", [a]) => format!("(- {a})"),
        ("+" | "positive", [a]) => format!("(+ {a})"),
        ("~", [a]) => format!("~{a}"),
        ("isnull", [a]) => format!("({a} IS NULL)"),
        ("isnotnull", [a]) => format!("({a} IS NOT NULL)"),
        ("like", [a, b]) => format!("{a} LIKE {b}"),
        ("like", [a, b, escape]) => format!("{a} LIKE {b} ESCAPE '{escape}'"),
        ("ilike", [a, b, _]) => format!("ilike({a}, {b})"),
        ("trim", [characters, a]) => format!("TRIM(BOTH {characters} FROM {a})"),
        ("ltrim", [characters, a]) => format!("TRIM(LEADING {characters} FROM {a})"),
        ("rtrim", [characters, a]) => format!("TRIM(TRAILING {characters} FROM {a})"),
        ("[", [a, b]) => format!("{a}[{b}]"),
        _ => return None,
    })
}

/// The comparison by which `array_sort` sorts without one: nulls last.
const DEFAULT_ORDER: &str = "lambdafunction((IF(((namedlambdavariable() IS NULL) AND (namedlambdavariable() IS NULL)), 0, \
    (IF((namedlambdavariable() IS NULL), 1, (IF((namedlambdavariable() IS NULL), -1, (IF((namedlambdavariable() < \
    namedlambdavariable()), -1, (IF((namedlambdavariable() > namedlambdavariable()), 1, 0)))))))))), namedlambdavariable(), \
    namedlambdavariable())";

/// Functions whose text is not their call with defaults filled in.
fn special(lower: &str, arguments: &[String]) -> Option<String> {
    const LAST_FIELD: &str = "0.000000";
    Some(match (lower, arguments) {
        ("count", []) => "count(1)".to_string(),
        ("log", [a]) => format!("LOG(E(), {a})"),
        ("extract", [field, source]) => format!("extract({field} FROM {source})"),
        ("datepart", [field, source]) => format!("datepart({field} FROM {source})"),
        ("assert_true", [a]) => format!("assert_true({a}, '{a}' is not true!)"),
        ("raise_error", [a]) => format!("raise_error(USER_RAISED_EXCEPTION, map(errorMessage, {a}))"),
        ("ceil" | "floor", [a, scale]) => format!("{lower}({a}, {scale})"),
        ("array_sort", [a]) => format!("array_sort({a}, {DEFAULT_ORDER})"),
        ("make_timestamp_ltz", [_, _] | [_, _, _]) => format!("make_timestamp({})", arguments.join(", ")),
        ("convert_timezone", [to, time]) => format!("convert_timezone(current_timezone(), {to}, {time})"),
        ("mode", [a, reversed]) if reversed == "true" => format!("mode() WITHIN GROUP (ORDER BY {a} DESC)"),
        ("unix_timestamp", []) => "unix_timestamp(current_timestamp(), yyyy-MM-dd HH:mm:ss)".to_string(),
        ("aggregate" | "reduce", [a, b, c]) => {
            format!("{lower}({a}, {b}, {c}, lambdafunction(namedlambdavariable(), namedlambdavariable()))")
        }
        ("try_make_timestamp", [fields @ .., _zone]) if fields.len() == 6 => format!("{lower}({})", fields.join(", ")),
        ("make_interval" | "try_make_interval", given) if given.len() < 7 => padded(lower, given, 7, LAST_FIELD),
        ("make_dt_interval", given) if given.len() < 4 => padded(lower, given, 4, LAST_FIELD),
        ("make_ym_interval", given) if given.len() < 2 => padded(lower, given, 2, "0"),
        _ => return None,
    })
}

/// Missing fields of an interval are zero.
fn padded(name: &str, given: &[String], width: usize, last: &str) -> String {
    let mut fields = given.to_vec();
    while fields.len() < width {
        fields.push(if fields.len() + 1 == width { last.to_string() } else { "0".to_string() });
    }
    format!("{name}({})", fields.join(", "))
}

/// What Spark fills in for arguments that are not given.
fn default_arguments(lower: &str, given: usize) -> &'static [&'static str] {
    match (lower, given) {
        ("locate" | "position", 2) => &["1"],
        ("substr" | "substring", 2) => &["2147483647"],
        ("round" | "bround", 1) => &["0"],
        ("lpad" | "rpad", 2) => &[" "],
        ("replace", 2) => &[""],
        ("split", 2) => &["-1"],
        ("regexp_replace", 3) | ("regexp_extract" | "regexp_extract_all", 2) => &["1"],
        ("regexp_instr", 2) => &["0"],
        ("months_between", 2) | ("sort_array", 1) => &["true"],
        ("to_unix_timestamp" | "unix_timestamp" | "from_unixtime", 1) => &["yyyy-MM-dd HH:mm:ss"],
        ("str_to_map", 1) => &[",", ":"],
        ("str_to_map", 2) => &[":"],
        ("overlay", 3) => &["-1"],
        ("lag" | "lead", 1) => &["1", "NULL"],
        ("lag" | "lead", 2) | ("listagg" | "string_agg", 1) => &["NULL"],
        ("percentile", 2) => &["1"],
        ("percentile_approx" | "approx_percentile", 2) => &["10000"],
        ("sentences", 1) => &["", ""],
        ("sentences", 2) => &[""],
        ("mask", 1) => &["X", "x", "n", "NULL"],
        ("mask", 2) => &["x", "n", "NULL"],
        ("mask", 3) => &["n", "NULL"],
        ("mask", 4) => &["NULL"],
        ("current_time", 0) => &["6"],
        _ => &[],
    }
}

/// Functions with options, a schema or a flag for nulls show their value only.
fn shows_first_argument_only(lower: &str) -> bool {
    matches!(
        lower,
        "approx_count_distinct"
            | "first"
            | "first_value"
            | "last"
            | "last_value"
            | "any_value"
            | "mode"
            | "from_json"
            | "from_csv"
            | "from_xml"
            | "to_json"
            | "to_csv"
            | "to_xml"
            | "schema_of_json"
            | "schema_of_csv"
            | "schema_of_xml"
            | "likeany"
            | "likeall"
            | "notlikeany"
            | "notlikeall"
    )
}

/// The name under which a function is shown: mostly the one by which it was called.
fn function(lower: &str) -> String {
    match lower {
        "power" | "signum" | "acos" | "acosh" | "asin" | "asinh" | "atan" | "atan2" | "atanh" | "cbrt" | "ceil"
        | "cos" | "cosh" | "cot" | "csc" | "degrees" | "e" | "exp" | "expm1" | "floor" | "hypot" | "log" | "log10"
        | "log1p" | "log2" | "pi" | "radians" | "sec" | "sin" | "sinh" | "sqrt" | "tan" | "tanh" | "regexp"
        | "regexp_like" | "rlike" | "rank" | "dense_rank" | "percent_rank" | "spark_partition_id" => {
            return lower.to_ascii_uppercase();
        }
        "random" => "rand",
        "array_agg" => "collect_list",
        "curdate" => "current_date",
        "current_database" => "current_schema",
        "dateadd" => "date_add",
        "to_varchar" => "to_char",
        "countdistinct" => "count",
        other => other,
    }
    .to_string()
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
        ScalarValue::IntervalYearMonth(Some(months)) => year_month_interval(*months),
        ScalarValue::Time64Nanosecond(Some(ns)) => format!("TIME '{}'", time_of_day(ns / 1000)),
        ScalarValue::List(list) => {
            let items = list.value(0);
            let texts = (0..items.len())
                .map(|i| ScalarValue::try_from_array(&items, i).map_or_else(|_| String::new(), |v| literal(&v)));
            format!("ARRAY({})", texts.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn trim_fraction(text: &str) -> &str {
    text.trim_end_matches('0').trim_end_matches('.')
}

/// `06:30:45.887`.
fn time_of_day(us: i64) -> String {
    let (seconds, micros) = (us.div_euclid(1_000_000), us.rem_euclid(1_000_000));
    let text = format!("{:02}:{:02}:{:02}.{micros:06}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    trim_fraction(&text).to_string()
}

/// An interval of one unit is written in that unit, as SQL text mostly gives it; Spark keeps the unit, we do not.
fn year_month_interval(months: i32) -> String {
    let sign = if months < 0 { "-" } else { "" };
    let count = months.unsigned_abs();
    match (count / 12, count % 12) {
        (0, months) => format!("INTERVAL '{sign}{months}' MONTH"),
        (years, 0) => format!("INTERVAL '{sign}{years}' YEAR"),
        (years, months) => format!("INTERVAL '{sign}{years}-{months}' YEAR TO MONTH"),
    }
}

/// See [`year_month_interval`].
fn day_time_interval(us: i64) -> String {
    let sign = if us < 0 { "-" } else { "" };
    let us = us.unsigned_abs();
    let (seconds, micros) = (us / 1_000_000, us % 1_000_000);
    let parts = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let fraction = if micros == 0 { String::new() } else { trim_fraction(&format!(".{micros:06}")).to_string() };
    match parts {
        (days, 0, 0, 0) if micros == 0 => format!("INTERVAL '{sign}{days}' DAY"),
        (0, hours, 0, 0) if micros == 0 => format!("INTERVAL '{sign}{hours:02}' HOUR"),
        (0, 0, minutes, 0) if micros == 0 => format!("INTERVAL '{sign}{minutes:02}' MINUTE"),
        (0, 0, 0, seconds) => format!("INTERVAL '{sign}{seconds:02}{fraction}' SECOND"),
        (days, hours, minutes, seconds) => {
            format!("INTERVAL '{sign}{days} {hours:02}:{minutes:02}:{seconds:02}{fraction}' DAY TO SECOND")
        }
    }
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
    let mut text = String::new();
    write_decimal_plain(unscaled, scale, &mut text);
    text
}

/// A sort key: `a ASC NULLS FIRST`.
pub fn sort_order(key: &str, ascending: bool, nulls_first: bool) -> String {
    format!("{key} {} NULLS {}", if ascending { "ASC" } else { "DESC" }, if nulls_first { "FIRST" } else { "LAST" })
}

/// `WITHIN GROUP`, which some functions show in a short or turned form.
pub fn within_group(function: &str, key: &str, ascending: bool, nulls_first: bool) -> String {
    let shown = match function {
        "mode" if ascending => format!("{key} DESC"),
        "percentile_cont" | "percentile_disc" if !ascending => format!("{key} DESC"),
        "mode" | "percentile_cont" | "percentile_disc" => key.to_string(),
        _ => sort_order(key, ascending, nulls_first),
    };
    format!(" WITHIN GROUP (ORDER BY {shown})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, arguments: &[&str]) -> String {
        call(name, &arguments.iter().map(|a| (*a).to_string()).collect::<Vec<_>>(), false)
    }

    #[test]
    fn calls_are_named_as_spark_names_them() {
        for (name, arguments, expected) in [
            ("+", vec!["a", "1"], "(a + 1)"),
            ("!=", vec!["a", "1"], "(NOT (a = 1))"),
            ("in", vec!["a", "1", "2"], "(a IN (1, 2))"),
            ("when", vec!["c", "x", "y"], "CASE WHEN c THEN x ELSE y END"),
            ("sqrt", vec!["4"], "SQRT(4)"),
            ("pow", vec!["2", "3"], "pow(2, 3)"),
            ("power", vec!["2", "3"], "POWER(2, 3)"),
            ("split", vec!["a", "b"], "split(a, b, -1)"),
            ("from_json", vec!["v", "a INT"], "from_json(v)"),
            ("count", vec![], "count(1)"),
            ("make_interval", vec!["1"], "make_interval(1, 0, 0, 0, 0, 0, 0.000000)"),
        ] {
            assert_eq!(shown(name, &arguments), expected);
        }
    }

    #[test]
    fn constants_are_named_as_spark_names_them() {
        for (value, expected) in [
            (ScalarValue::Float64(Some(1e10)), "1.0E10"),
            (ScalarValue::Float64(Some(1.0)), "1.0"),
            (ScalarValue::Decimal128(Some(-15), 3, 2), "-0.15"),
            (ScalarValue::Date32(Some(0)), "DATE '1970-01-01'"),
            (ScalarValue::Utf8(Some("x".into())), "x"),
            (ScalarValue::Int32(None), "NULL"),
        ] {
            assert_eq!(literal(&value), expected);
        }
    }
}
