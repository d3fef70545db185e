//! Expressions as SQL text, as far as error messages quote them (`Cannot resolve "(a + b)" …`).
//!
//! Not here: automatic column names, which the analyzer makes from the unresolved expression.

use datafusion::logical_expr::{Expr, Operator};
use datafusion::scalar::ScalarValue;
use millstream_formats::types::sql_name;

use crate::Typed;
use crate::cast::sql_value;
use crate::kernel::as_kernel;

/// The text of an expression, without quotes around it.
pub fn sql_text(expr: &Expr) -> String {
    match expr {
        Expr::Column(column) => column.name.clone(),
        Expr::Alias(alias) => sql_text(&alias.expr),
        Expr::Literal(value, _) => literal(value),
        Expr::Cast(cast) => format!("CAST({} AS {})", sql_text(&cast.expr), sql_name(cast.field.data_type())),
        Expr::Not(child) => format!("(NOT {})", sql_text(child)),
        Expr::IsNull(child) => format!("({} IS NULL)", sql_text(child)),
        Expr::IsNotNull(child) => format!("({} IS NOT NULL)", sql_text(child)),
        Expr::BinaryExpr(binary) => {
            let operator = match binary.op {
                Operator::IsNotDistinctFrom => "<=>".to_string(),
                other => other.to_string(),
            };
            format!("({} {operator} {})", sql_text(&binary.left), sql_text(&binary.right))
        }
        Expr::ScalarFunction(call) => {
            let arguments: Vec<String> = call.args.iter().map(sql_text).collect();
            match as_kernel(&call.func) {
                Some(kernel) if kernel.name() == "cast" => {
                    format!("CAST({} AS {})", arguments.join(", "), sql_name(kernel.result_type()))
                }
                _ => call_text(call.func.name(), &arguments),
            }
        }
        Expr::AggregateFunction(call) => {
            let arguments: Vec<String> = call.params.args.iter().map(sql_text).collect();
            call_text(call.func.name(), &arguments)
        }
        other => other.schema_name().to_string(),
    }
}

/// A call as Spark writes it: operators between their operands, other functions in front.
pub fn call_text(name: &str, arguments: &[String]) -> String {
    let operator =
        !name.is_empty() && (name.chars().all(|c| c.is_ascii_punctuation()) || matches!(name, "div" | "and" | "or"));
    match arguments {
        [child] if name == "not" => format!("(NOT {child})"),
        [left, right] if name == "and" || name == "or" => format!("({left} {} {right})", name.to_uppercase()),
        [left, right] if operator => format!("({left} {} {right})", if name == "==" { "=" } else { name }),
        [child] if name == "negative" || name == "-" => format!("(- {child})"),
        [child] if operator => format!("{name}{child}"),
        _ => format!("{name}({})", arguments.join(", ")),
    }
}

/// A call of a function that cannot be built, for the message that says so.
pub fn failed_call(name: &str, arguments: &[Typed]) -> String {
    let texts: Vec<String> = arguments.iter().map(|a| sql_text(&a.expr)).collect();
    call_text(name, &texts)
}

fn literal(value: &ScalarValue) -> String {
    match value {
        // A text stands without quotes.
        ScalarValue::Utf8(Some(text)) => text.clone(),
        ScalarValue::Binary(Some(bytes)) => {
            format!("X'{}'", bytes.iter().map(|b| format!("{b:02X}")).collect::<String>())
        }
        ScalarValue::Int8(_) | ScalarValue::Int16(_) | ScalarValue::Int64(_) | ScalarValue::Float64(_)
            if !value.is_null() =>
        {
            sql_value(value).trim_end_matches(|c: char| c.is_ascii_alphabetic()).to_string()
        }
        ScalarValue::Decimal128(Some(_), ..) => sql_value(value).trim_end_matches("BD").to_string(),
        _ => sql_value(value),
    }
}
