//! Java's `Formatter`: `%5d`, `%-10s`, `%,.2f`, `%2$x`.
//!
//! Numbers, strings and booleans are formatted as `java.util.Formatter` does, in English. Not here: dates (`%t`) and hash codes
//! (`%h`), which are refused.

use std::fmt::Write;

use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::text::{write_decimal, write_f32, write_f64};

/// An argument.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Text(&'a str),
    Boolean(bool),
    /// An integer of so many bits.
    Integer(i64, u32),
    Float(f32),
    Double(f64),
    Decimal(i128, i8),
}

impl Value<'_> {
    fn class(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Text(_) => "org.apache.spark.unsafe.types.UTF8String",
            Value::Boolean(_) => "java.lang.Boolean",
            Value::Integer(_, 8) => "java.lang.Byte",
            Value::Integer(_, 16) => "java.lang.Short",
            Value::Integer(_, 32) => "java.lang.Integer",
            Value::Integer(..) => "java.lang.Long",
            Value::Float(_) => "java.lang.Float",
            Value::Double(_) => "java.lang.Double",
            Value::Decimal(..) => "org.apache.spark.sql.types.Decimal",
        }
    }
}

/// Which argument a specifier takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Argument {
    Next,
    Previous,
    /// From 1.
    Number(usize),
}

/// One `%…`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Specifier {
    source: String,
    argument: Argument,
    left: bool,
    alternate: bool,
    plus: bool,
    blank: bool,
    zero: bool,
    group: bool,
    parentheses: bool,
    width: usize,
    precision: Option<usize>,
    conversion: char,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Specifier(Specifier),
}

/// A format taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Format {
    pieces: Vec<Piece>,
}

fn illegal(message: String) -> SparkError {
    SparkError::plain(ExceptionClass::IllegalArgument, message)
}

fn zero_index() -> SparkError {
    SparkError::new(
        ExceptionClass::Analysis,
        "INVALID_PARAMETER_VALUE.ZERO_INDEX",
        "22023",
        "The value of parameter(s) `strfmt` in `format_string` is invalid: expects %1$, %2$ and so on, but got %0$.",
    )
    .with("parameter", "`strfmt`")
    .with("functionName", "`format_string`")
}

/// Widths and precisions beyond this are refused, so that a format cannot ask for gigabytes.
const WIDTH_MAX: usize = 1 << 20;

impl Format {
    /// Takes a format apart.
    ///
    /// # Errors
    /// What Java says of a specifier it does not know.
    pub(super) fn new(format: &str) -> Result<Self, SparkError> {
        let mut pieces = vec![];
        let mut rest = format;
        while let Some((text, behind)) = rest.split_once('%') {
            if !text.is_empty() {
                pieces.push(Piece::Text(text.to_string()));
            }
            let (specifier, behind) = Specifier::read(behind)?;
            pieces.push(Piece::Specifier(specifier));
            rest = behind;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_string()));
        }
        Ok(Self { pieces })
    }

    /// Appends the text of the arguments.
    ///
    /// # Errors
    /// A missing argument, or one that does not suit its conversion.
    pub(super) fn write(&self, arguments: &[Value], out: &mut String) -> Result<(), SparkError> {
        let (mut next, mut previous) = (0, None);
        for piece in &self.pieces {
            let specifier = match piece {
                Piece::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Piece::Specifier(specifier) => specifier,
            };
            if matches!(specifier.conversion, '%' | 'n') {
                specifier.pad(if specifier.conversion == '%' { "%" } else { "\n" }, out);
                continue;
            }
            let index = match specifier.argument {
                Argument::Number(number) => number.checked_sub(1),
                Argument::Previous => previous,
                Argument::Next => {
                    next += 1;
                    Some(next - 1)
                }
            };
            let value = index.and_then(|i| arguments.get(i));
            previous = index;
            let value = value.ok_or_else(|| illegal(format!("Format specifier '{}'", specifier.source)))?;
            specifier.write(*value, out)?;
        }
        Ok(())
    }
}

impl Specifier {
    /// Reads what stands behind a `%`.
    fn read(text: &str) -> Result<(Self, &str), SparkError> {
        let mut specifier = Specifier {
            source: String::new(),
            argument: Argument::Next,
            left: false,
            alternate: false,
            plus: false,
            blank: false,
            zero: false,
            group: false,
            parentheses: false,
            width: 0,
            precision: None,
            conversion: ' ',
        };
        let mut rest = text;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 && rest[digits..].starts_with('$') {
            let number = rest[..digits]
                .parse()
                .map_err(|_| illegal(format!("Illegal format argument index = {}", &rest[..digits])))?;
            if number == 0 {
                return Err(zero_index());
            }
            specifier.argument = Argument::Number(number);
            rest = &rest[digits + 1..];
        }
        while let Some(c) = rest.chars().next() {
            match c {
                '<' => specifier.argument = Argument::Previous,
                '-' => specifier.left = true,
                '#' => specifier.alternate = true,
                '+' => specifier.plus = true,
                ' ' => specifier.blank = true,
                '0' => specifier.zero = true,
                ',' => specifier.group = true,
                '(' => specifier.parentheses = true,
                _ => break,
            }
            rest = &rest[1..];
        }
        let number = |rest: &mut &str| -> Result<Option<usize>, SparkError> {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, behind) = rest.split_at(digits);
            *rest = behind;
            if digits == 0 {
                return Ok(None);
            }
            match number.parse() {
                Ok(value) if value <= WIDTH_MAX => Ok(Some(value)),
                _ => Err(illegal(number.to_string())),
            }
        };
        specifier.width = number(&mut rest)?.unwrap_or(0);
        if let Some(behind) = rest.strip_prefix('.') {
            rest = behind;
            let found = number(&mut rest)?;
            specifier.precision = Some(found.ok_or_else(|| illegal("Conversion = '.'".into()))?);
        }
        specifier.conversion = rest.chars().next().ok_or_else(|| illegal("Conversion = '%'".into()))?;
        rest = &rest[specifier.conversion.len_utf8()..];
        specifier.source = format!("%{}", &text[..text.len() - rest.len()]);
        specifier.check()?;
        Ok((specifier, rest))
    }

    fn check(&self) -> Result<(), SparkError> {
        match self.conversion {
            'b' | 'B' | 's' | 'S' | 'c' | 'C' | 'd' | 'o' | 'x' | 'X' | 'e' | 'E' | 'f' | 'g' | 'G' | '%' | 'n' => {}
            'h' | 'H' | 't' | 'T' | 'a' | 'A' => {
                return Err(SparkError::unsupported(format!("the conversion `{}` of format_string", self.source)));
            }
            other => return Err(illegal(format!("Conversion = '{other}'"))),
        }
        if (self.left || self.zero) && self.width == 0 {
            return Err(illegal(self.source.clone()));
        }
        if self.precision.is_some() && matches!(self.conversion, 'd' | 'o' | 'x' | 'X' | 'c' | 'C') {
            return Err(illegal(self.precision.unwrap_or_default().to_string()));
        }
        Ok(())
    }

    /// Appends a text in the width of the specifier, in capitals for a conversion in capitals.
    fn pad(&self, text: &str, out: &mut String) {
        let upper;
        let text = if self.conversion.is_ascii_uppercase() {
            upper = text.to_uppercase();
            &upper
        } else {
            text
        };
        let missing = self.width.saturating_sub(text.chars().count());
        let blanks = std::iter::repeat_n(' ', missing);
        if self.left {
            out.push_str(text);
            out.extend(blanks);
        } else {
            out.extend(blanks);
            out.push_str(text);
        }
    }

    fn cut<'a>(&self, text: &'a str) -> &'a str {
        match self.precision.and_then(|p| text.char_indices().nth(p)) {
            Some((end, _)) => &text[..end],
            None => text,
        }
    }

    fn write(&self, value: Value, out: &mut String) -> Result<(), SparkError> {
        let mismatch = || illegal(format!("{} != {}", self.conversion, value.class()));
        match (self.conversion, value) {
            ('b' | 'B', Value::Boolean(value)) => self.pad(self.cut(if value { "true" } else { "false" }), out),
            ('b' | 'B', value) => self.pad(self.cut(if value == Value::Null { "false" } else { "true" }), out),
            ('s' | 'S', value) => self.pad(self.cut(&text_of(value)), out),
            (_, Value::Null) => self.pad(self.cut("null"), out),
            ('c' | 'C', Value::Integer(code, bits)) if bits <= 32 => {
                let c = u32::try_from(code).ok().and_then(char::from_u32);
                let c = c.ok_or_else(|| illegal(format!("Code point = 0x{code:x}")))?;
                self.pad(c.encode_utf8(&mut [0; 4]), out);
            }
            ('d', Value::Integer(value, _)) => self.number(value < 0, &value.unsigned_abs().to_string(), "", out),
            ('o', Value::Integer(value, bits)) => self.bits(&format!("{:o}", unsigned(value, bits)), "0", out),
            ('x' | 'X', Value::Integer(value, bits)) => self.bits(&format!("{:x}", unsigned(value, bits)), "0x", out),
            ('e' | 'E' | 'f' | 'g' | 'G', Value::Float(value)) => self.float(f64::from(value), out),
            ('e' | 'E' | 'f' | 'g' | 'G', Value::Double(value)) => self.float(value, out),
            _ => return Err(mismatch()),
        }
        Ok(())
    }

    /// Digits of base 8 or 16.
    fn bits(&self, digits: &str, prefix: &str, out: &mut String) {
        let prefix = if self.alternate { prefix } else { "" };
        let zeros = if self.zero { self.width.saturating_sub(prefix.len() + digits.len()) } else { 0 };
        self.pad(&format!("{prefix}{}{digits}", "0".repeat(zeros)), out);
    }

    /// A number of base 10 with its sign, thousands and zeros.
    fn number(&self, negative: bool, whole: &str, fraction: &str, out: &mut String) {
        let mut grouped = String::new();
        for (i, digit) in whole.chars().enumerate() {
            if self.group && i > 0 && (whole.len() - i).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        let (before, after) = match (negative, self.parentheses) {
            (true, true) => ("(", ")"),
            (true, false) => ("-", ""),
            (false, _) if self.plus => ("+", ""),
            (false, _) if self.blank => (" ", ""),
            _ => ("", ""),
        };
        let length = before.len() + grouped.len() + fraction.len() + after.len();
        let zeros = if self.zero { "0".repeat(self.width.saturating_sub(length)) } else { String::new() };
        self.pad(&format!("{before}{zeros}{grouped}{fraction}{after}"), out);
    }

    fn float(&self, value: f64, out: &mut String) {
        if value.is_nan() {
            return self.pad("NaN", out);
        }
        let negative = value.is_sign_negative();
        if value.is_infinite() {
            let text = match (negative, self.parentheses) {
                (true, true) => "(Infinity)",
                (true, false) => "-Infinity",
                (false, _) if self.plus => "+Infinity",
                _ => "Infinity",
            };
            return self.pad(text, out);
        }
        self.decimal(negative, &Decimal::of_double(value.abs()), out);
    }

    fn decimal(&self, negative: bool, value: &Decimal, out: &mut String) {
        let precision = self.precision.unwrap_or(6);
        match self.conversion {
            'f' => self.fixed(negative, value, precision, out),
            'e' | 'E' => self.scientific(negative, value, precision, out),
            _ => {
                let precision = precision.max(1);
                let rounded = value.rounded_to_digits(precision);
                let exponent = rounded.exponent();
                if rounded.is_zero() || (-4..precision as i64).contains(&exponent) {
                    let places = if rounded.is_zero() {
                        precision - 1
                    } else {
                        (precision as i64 - 1 - exponent).max(0) as usize
                    };
                    self.fixed(negative, value, places, out);
                } else {
                    self.scientific(negative, value, precision - 1, out);
                }
            }
        }
    }

    fn fixed(&self, negative: bool, value: &Decimal, places: usize, out: &mut String) {
        let (whole, fraction) = value.rounded_to_places(places).split(places);
        let point = if places > 0 || self.alternate { "." } else { "" };
        self.number(negative, &whole, &format!("{point}{fraction}"), out);
    }

    fn scientific(&self, negative: bool, value: &Decimal, places: usize, out: &mut String) {
        let rounded = value.rounded_to_digits(places + 1);
        let exponent = if rounded.is_zero() { 0 } else { rounded.exponent() };
        let mut digits = rounded.digits.clone();
        digits.extend(std::iter::repeat_n('0', (places + 1).saturating_sub(rounded.digits.len())));
        let (whole, fraction) = digits.split_at(1.min(digits.len()));
        let point = if places > 0 || self.alternate { "." } else { "" };
        let sign = if exponent < 0 { '-' } else { '+' };
        let tail = format!("{point}{}e{sign}{:02}", &fraction[..places.min(fraction.len())], exponent.abs());
        let ungrouped = Specifier { group: false, ..self.clone() };
        ungrouped.number(negative, if whole.is_empty() { "0" } else { whole }, &tail, out);
    }
}

fn unsigned(value: i64, bits: u32) -> u64 {
    if bits < 64 { value as u64 & ((1 << bits) - 1) } else { value as u64 }
}

fn text_of(value: Value) -> String {
    let mut out = String::new();
    match value {
        Value::Null => out.push_str("null"),
        Value::Text(text) => out.push_str(text),
        Value::Boolean(value) => out.push_str(if value { "true" } else { "false" }),
        // Writing to a string cannot fail.
        Value::Integer(value, _) => _ = write!(out, "{value}"),
        Value::Float(value) => write_f32(value, &mut out),
        Value::Double(value) => write_f64(value, &mut out),
        Value::Decimal(value, scale) => write_decimal(value, scale, &mut out),
    }
    out
}

/// A number that is not negative: `0.digits × 10^point`, without zeros at either end of the digits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Decimal {
    digits: String,
    point: i64,
}

impl Decimal {
    fn normal(digits: &str, point: i64) -> Self {
        let stripped = digits.trim_start_matches('0');
        let point = point - (digits.len() - stripped.len()) as i64;
        let digits = stripped.trim_end_matches('0').to_string();
        if digits.is_empty() { Self { digits, point: 0 } } else { Self { digits, point } }
    }

    /// The shortest digits that read back as the same double: what Java rounds, too.
    fn of_double(value: f64) -> Self {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i64 = exponent.parse().unwrap_or(0);
        Self::normal(&mantissa.replace('.', ""), exponent + 1)
    }

    fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    /// Power of ten of the first digit.
    fn exponent(&self) -> i64 {
        self.point - 1
    }

    fn rounded_to_places(&self, places: usize) -> Self {
        self.rounded(self.point + places as i64)
    }

    fn rounded_to_digits(&self, digits: usize) -> Self {
        self.rounded(digits as i64)
    }

    /// Rounds half up after so many digits.
    fn rounded(&self, keep: i64) -> Self {
        if keep >= self.digits.len() as i64 {
            return self.clone();
        }
        let Ok(keep) = usize::try_from(keep) else { return Self::normal("", 0) };
        let (kept, rest) = self.digits.split_at(keep);
        if rest.as_bytes().first().is_none_or(|d| *d < b'5') {
            return Self::normal(kept, self.point);
        }
        let mut digits: Vec<u8> = std::iter::once(b'0').chain(kept.bytes()).collect();
        for digit in digits.iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                break;
            }
            *digit = b'0';
        }
        Self::normal(&String::from_utf8_lossy(&digits), self.point + 1)
    }

    /// Digits before the point, and so many behind it.
    fn split(&self, places: usize) -> (String, String) {
        let (point, length) = (self.point.max(0) as usize, self.digits.len());
        let mut whole: String = self.digits.chars().take(point).collect();
        whole.extend(std::iter::repeat_n('0', point.saturating_sub(length)));
        let mut fraction = "0".repeat((-self.point).max(0) as usize);
        fraction.extend(self.digits.chars().skip(point));
        fraction.extend(std::iter::repeat_n('0', places.saturating_sub(fraction.len())));
        fraction.truncate(places);
        (if whole.is_empty() { "0".to_string() } else { whole }, fraction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(format: &str, arguments: &[Value]) -> String {
        let mut out = String::new();
        match Format::new(format).and_then(|f| f.write(arguments, &mut out)) {
            Ok(()) => out,
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn conversions_and_flags_are_those_of_java() {
        let (int, double) = (|v| Value::Integer(v, 32), Value::Double);
        assert_eq!(shown("%05d|%s|%.2f", &[int(1), Value::Text("u"), double(1.0)]), "00001|u|1.00");
        assert_eq!(shown("%,d %+d %(d % d", &[int(1_234_567), int(5), int(-5), int(7)]), "1,234,567 +5 (5)  7");
        assert_eq!(
            shown("%-5s|%5s|%.2s", &[Value::Text("ab"), Value::Text("cd"), Value::Text("efg")]),
            "ab   |   cd|ef"
        );
        assert_eq!(shown("%x %X %#x %o", &[int(-1), int(255), int(255), int(8)]), "ffffffff FF 0xff 10");
        assert_eq!(shown("%.1f %.2f %.0f", &[double(0.25), double(1.005), double(2.5)]), "0.3 1.01 3");
        assert_eq!(
            shown("%e %.2E %g %g", &[double(12.3456), double(0.00012), double(12.5), double(1e-10)]),
            "1.234560e+01 1.20E-04 12.5000 1.00000e-10"
        );
        assert_eq!(shown("%2$s %1$s %<s", &[Value::Text("a"), Value::Text("b")]), "b a a");
        assert_eq!(shown("%b %c %% %s", &[Value::Boolean(true), int(65), Value::Null]), "true A % null");
        assert_eq!(shown("%s %s", &[double(1e10), Value::Decimal(12_345, 3)]), "1.0E10 12.345");
        assert_eq!(shown("%08.2f", &[double(-3.24159)]), "-0003.24");
    }

    #[test]
    fn what_does_not_suit_is_named() {
        assert_eq!(shown("%d", &[Value::Double(1.0)]), "d != java.lang.Double");
        assert_eq!(shown("%s %s", &[Value::Null]), "Format specifier '%s'");
        assert_eq!(shown("%q", &[]), "Conversion = 'q'");
    }
}
