//! Constants: numbers with their suffixes, strings, typed literals, parameters.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_functions::types;

use super::parser::{Parsed, Parser};
use super::token::TokenKind;
use crate::ir::{Expr, Parameter};

const DECIMAL_DIGITS_MAX: usize = 38;

impl Parser<'_> {
    /// A constant, if one comes next.
    pub(super) fn constant(&mut self) -> Parsed<Option<Expr>> {
        match self.kind(0) {
            TokenKind::Number => self.number(self.mark()).map(Some),
            TokenKind::String(_) => Ok(Some(Expr::string(self.string()?))),
            TokenKind::Symbol("-") if *self.kind(1) == TokenKind::Number => {
                let mark = self.mark();
                self.advance();
                self.number(mark).map(Some)
            }
            TokenKind::Symbol("?") => {
                self.advance();
                self.positional_parameter().map(Some)
            }
            TokenKind::Symbol(":") if self.is_name_at(1) => {
                self.advance();
                self.named_parameter().map(Some)
            }
            TokenKind::Word => self.word_constant(),
            _ => Ok(None),
        }
    }

    fn word_constant(&mut self) -> Parsed<Option<Expr>> {
        let value = match self.token_text(0).to_ascii_uppercase().as_str() {
            // A call or a qualified name may begin with these words.
            _ if self.is_symbol_at(1, "(") || self.is_symbol_at(1, ".") => return Ok(None),
            "NULL" => ScalarValue::Null,
            "TRUE" => ScalarValue::Boolean(Some(true)),
            "FALSE" => ScalarValue::Boolean(Some(false)),
            "INTERVAL" if self.is_interval() => return self.interval().map(Some),
            _ if self.is_string_at(1) => return self.typed_literal().map(Some),
            _ => return Ok(None),
        };
        self.advance();
        Ok(Some(Expr::Literal(value)))
    }

    /// `DATE'…'`, `X'1F'`.
    fn typed_literal(&mut self) -> Parsed<Expr> {
        let mark = self.mark();
        let kind = self.token_text(0).to_ascii_uppercase();
        self.advance();
        let text = match self.kind(0) {
            TokenKind::String(text) => text.clone(),
            _ => return Err(self.unexpected()),
        };
        self.advance();
        let data_type = match kind.as_str() {
            "DATE" => DataType::Date32,
            "TIME" => DataType::Time64(TimeUnit::Nanosecond),
            "TIMESTAMP" | "TIMESTAMP_LTZ" => types::timestamp(),
            "TIMESTAMP_NTZ" => types::timestamp_ntz(),
            "X" => {
                let bytes = hex(&text).ok_or_else(|| self.invalid_typed_literal(mark, &kind, &text))?;
                return Ok(Expr::Literal(ScalarValue::Binary(Some(bytes))));
            }
            _ => {
                let sentence = format!(
                    "Literals of the type \"{kind}\" are not supported. Supported types are \"DATE\", \"TIMESTAMP_NTZ\", \
                     \"TIMESTAMP_LTZ\", \"TIMESTAMP\", \"INTERVAL\", \"X\", \"TIME\"."
                );
                return Err(self.invalid(mark, "UNSUPPORTED_TYPED_LITERAL", "0A000", sentence));
            }
        };
        Ok(Expr::TypedLiteral { data_type, text })
    }

    /// The text of a literal does not fit its type.
    pub(super) fn invalid_typed_literal(&self, mark: usize, kind: &str, text: &str) -> SparkError {
        let sentence = format!("The value of the typed literal \"{kind}\" is invalid: '{text}'.");
        self.invalid(mark, "INVALID_TYPED_LITERAL", "42604", sentence)
            .with("valueType", format!("\"{kind}\""))
            .with("value", format!("'{text}'"))
    }

    /// A number; a sign between `mark` and it belongs to it.
    fn number(&mut self, mark: usize) -> Parsed<Expr> {
        let negative = self.mark() > mark;
        let token = self.token_text(0).to_ascii_uppercase();
        self.advance();
        let (digits, suffix) = split_suffix(&token);
        let text = if negative { format!("-{digits}") } else { digits.to_string() };
        let value = match suffix {
            "L" => self.whole_number(mark, &text, "bigint", i64::MIN, i64::MAX, ScalarValue::Int64)?,
            "S" => self.whole_number(mark, &text, "smallint", i16::MIN, i16::MAX, ScalarValue::Int16)?,
            "Y" => self.whole_number(mark, &text, "tinyint", i8::MIN, i8::MAX, ScalarValue::Int8)?,
            "BD" => self.decimal(mark, &text)?,
            "F" => ScalarValue::Float32(Some(self.float(mark, &text)?)),
            "D" => ScalarValue::Float64(Some(self.double(mark, &text)?)),
            _ if digits.contains('E') => ScalarValue::Float64(Some(self.double(mark, &text)?)),
            _ if digits.contains('.') => self.decimal(mark, &text)?,
            _ => match (text.parse::<i32>(), text.parse::<i64>()) {
                (Ok(value), _) => ScalarValue::Int32(Some(value)),
                (_, Ok(value)) => ScalarValue::Int64(Some(value)),
                _ => self.decimal(mark, &text)?,
            },
        };
        Ok(Expr::Literal(value))
    }

    fn whole_number<T: std::str::FromStr + std::fmt::Display>(
        &self,
        mark: usize,
        text: &str,
        kind: &str,
        min: T,
        max: T,
        literal: fn(Option<T>) -> ScalarValue,
    ) -> Parsed<ScalarValue> {
        match text.parse() {
            Ok(value) => Ok(literal(Some(value))),
            Err(_) => Err(self.out_of_range(mark, text, kind, &min.to_string(), &max.to_string())),
        }
    }

    fn double(&self, mark: usize, text: &str) -> Parsed<f64> {
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => Err(self.out_of_range(mark, text, "double", "-1.7976931348623157E+308", "1.7976931348623157E+308")),
        }
    }

    fn float(&self, mark: usize, text: &str) -> Parsed<f32> {
        match text.parse::<f32>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => Err(self.out_of_range(mark, text, "float", "-3.4028234663852886E+38", "3.4028234663852886E+38")),
        }
    }

    fn out_of_range(&self, mark: usize, text: &str, kind: &str, min: &str, max: &str) -> SparkError {
        let sentence = format!(
            "Numeric literal {text} is outside the valid range for {kind} with minimum value of {min} and maximum value of {max}. \
             Please adjust the value accordingly."
        );
        self.invalid(mark, "INVALID_NUMERIC_LITERAL_RANGE", "22003", sentence)
    }

    /// A number exactly as written: precision and scale are those of its digits.
    fn decimal(&self, mark: usize, text: &str) -> Parsed<ScalarValue> {
        let too_long = |precision: usize| {
            let sentence = format!("Decimal precision {precision} exceeds max precision {DECIMAL_DIGITS_MAX}.");
            self.invalid(mark, "DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION", "22003", sentence)
        };
        let Some((unscaled, scale)) = unscaled(text) else { return Err(too_long(usize::MAX)) };
        let digits = unscaled.trim_start_matches(['-', '0']).len().max(1);
        let precision = digits.max(scale);
        if precision > DECIMAL_DIGITS_MAX {
            return Err(too_long(precision));
        }
        match (unscaled.parse::<i128>(), u8::try_from(precision), i8::try_from(scale)) {
            (Ok(value), Ok(precision), Ok(scale)) => Ok(ScalarValue::Decimal128(Some(value), precision, scale)),
            _ => Err(too_long(precision)),
        }
    }

    fn positional_parameter(&mut self) -> Parsed<Expr> {
        let index = self.positions_seen;
        self.positions_seen += 1;
        let Some(parameters) = self.parameters else { return Ok(Expr::Parameter(Parameter::Position(index))) };
        let found = parameters.positional.get(index).cloned();
        found.ok_or_else(|| unbound(&format!("_{}", self.offset().saturating_sub(1))))
    }

    fn named_parameter(&mut self) -> Parsed<Expr> {
        let name = self.name()?;
        let Some(parameters) = self.parameters else { return Ok(Expr::Parameter(Parameter::Named(name))) };
        parameters.named.get(&name).cloned().ok_or_else(|| unbound(&name))
    }
}

fn unbound(name: &str) -> SparkError {
    let sentence = format!(
        "Found the unbound parameter: {name}. Please, fix `args` and provide a mapping of the parameter to either a SQL literal or collection \
         constructor functions such as `map()`, `array()`, `struct()`."
    );
    SparkError::new(ExceptionClass::Analysis, "UNBOUND_SQL_PARAMETER", "42P02", sentence).with("name", name)
}

/// A number and its suffix, in capitals.
fn split_suffix(token: &str) -> (&str, &str) {
    let suffix = ["BD", "L", "S", "Y", "F", "D"].into_iter().find(|suffix| token.ends_with(suffix)).unwrap_or("");
    (token.strip_suffix(suffix).unwrap_or(token), suffix)
}

/// The digits of `-12.5E3` without point, and how many of them stand behind it; none if the exponent is absurd.
fn unscaled(text: &str) -> Option<(String, usize)> {
    let (mantissa, exponent) = text.split_once('E').unwrap_or((text, "0"));
    let exponent: i64 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = format!("{whole}{fraction}");
    let scale = i64::try_from(fraction.len()).ok()? - exponent;
    if scale.unsigned_abs() > 2 * DECIMAL_DIGITS_MAX as u64 {
        return None;
    }
    // A negative scale is written out in zeros, as there is no type for it.
    digits.extend(std::iter::repeat_n('0', usize::try_from(-scale).unwrap_or(0)));
    Some((digits, usize::try_from(scale).unwrap_or(0)))
}

/// Bytes of hexadecimal digits; an odd first digit is a byte of its own.
fn hex(text: &str) -> Option<Vec<u8>> {
    let padded = if text.len() % 2 == 1 { format!("0{text}") } else { text.to_string() };
    let digits: Vec<u32> = padded.chars().map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    digits.chunks(2).map(|pair| u8::try_from(pair.iter().fold(0, |byte, digit| byte * 16 + digit)).ok()).collect()
}
