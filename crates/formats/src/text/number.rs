//! Numbers as text: Java's formats, and what Spark's casts read.

use std::fmt::Write;

/// Writes a double as Java does: `1.0`, `1.0E10`, `NaN`, `-Infinity`.
pub fn write_f64(value: f64, out: &mut String) {
    if let Some(special) = special(value) {
        return out.push_str(special);
    }
    let mut digits = ryu_digits(&format_args!("{value:e}"));
    write_java(&mut digits, out);
}

/// Writes a float as Java does.
pub fn write_f32(value: f32, out: &mut String) {
    if let Some(special) = special(f64::from(value)) {
        return out.push_str(special);
    }
    let mut digits = ryu_digits(&format_args!("{value:e}"));
    write_java(&mut digits, out);
}

fn special(value: f64) -> Option<&'static str> {
    match value {
        v if v.is_nan() => Some("NaN"),
        f64::INFINITY => Some("Infinity"),
        f64::NEG_INFINITY => Some("-Infinity"),
        _ => None,
    }
}

/// Sign, digits without a point, and the power of ten of the first digit.
struct Digits {
    text: StackText,
    negative: bool,
    exponent: i32,
}

/// A text of at most 40 bytes, so that no number costs an allocation.
struct StackText {
    bytes: [u8; 40],
    length: usize,
}

impl StackText {
    fn as_str(&self) -> &str {
        self.bytes.get(..self.length).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default()
    }
}

impl Write for StackText {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        let end = self.length + s.len();
        self.bytes.get_mut(self.length..end).ok_or(std::fmt::Error)?.copy_from_slice(s.as_bytes());
        self.length = end;
        Ok(())
    }
}

fn ryu_digits(shortest: &std::fmt::Arguments) -> Digits {
    let mut all = StackText { bytes: [0; 40], length: 0 };
    // The shortest text of a number has at most 17 digits, a sign, a point and an exponent of three.
    let _ = all.write_fmt(*shortest);
    let negative = all.as_str().starts_with('-');
    let (mantissa, exponent) = all.as_str().split_once('e').unwrap_or((all.as_str(), "0"));
    let mut text = StackText { bytes: [0; 40], length: 0 };
    for c in mantissa.chars().filter(char::is_ascii_digit) {
        let _ = text.write_char(c);
    }
    Digits { negative, exponent: exponent.parse().unwrap_or(0), text }
}

fn write_java(number: &mut Digits, out: &mut String) {
    let digits = number.text.as_str();
    if number.negative {
        out.push('-');
    }
    let zero = digits.bytes().all(|b| b == b'0');
    if zero || (-3..7).contains(&number.exponent) {
        let point = number.exponent + 1;
        if point <= 0 {
            out.push_str("0.");
            (point..0).for_each(|_| out.push('0'));
            return out.push_str(digits);
        }
        let point = point as usize;
        let (whole, fraction) = digits.split_at(point.min(digits.len()));
        out.push_str(whole);
        (whole.len()..point).for_each(|_| out.push('0'));
        out.push('.');
        out.push_str(if fraction.is_empty() { "0" } else { fraction });
    } else {
        let (first, rest) = digits.split_at(1.min(digits.len()));
        let rest = if rest.is_empty() { "0" } else { rest };
        let _ = write!(out, "{first}.{rest}E{}", number.exponent);
    }
}

/// Writes a decimal of this scale with all its digits: `0.000000010`.
pub fn write_decimal_plain(value: i128, scale: i8, out: &mut String) {
    if value < 0 {
        out.push('-');
    }
    let digits = value.unsigned_abs();
    if scale <= 0 {
        let _ = write!(out, "{digits}");
        if value != 0 {
            (scale..0).for_each(|_| out.push('0'));
        }
        return;
    }
    let one = 10u128.pow(scale as u32);
    let _ = write!(out, "{}.{:0width$}", digits / one, digits % one, width = scale as usize);
}

/// Writes a decimal as Java's `BigDecimal.toString`: with an exponent if it is small, `1E-8`.
pub fn write_decimal(value: i128, scale: i8, out: &mut String) {
    let mut digits = StackText { bytes: [0; 40], length: 0 };
    let _ = write!(digits, "{}", value.unsigned_abs());
    let digits = digits.as_str();
    let adjusted = -i32::from(scale) + digits.len() as i32 - 1;
    if scale >= 0 && adjusted >= -6 {
        return write_decimal_plain(value, scale, out);
    }
    if value < 0 {
        out.push('-');
    }
    let (first, rest) = digits.split_at(1);
    out.push_str(first);
    if !rest.is_empty() {
        out.push('.');
        out.push_str(rest);
    }
    if adjusted != 0 {
        let _ = write!(out, "E{}{adjusted}", if adjusted > 0 { "+" } else { "" });
    }
}

/// Without white space and control characters at both ends, as Spark trims before it casts.
pub fn trim_all(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ' || ('\u{7f}'..='\u{9f}').contains(&c) || c.is_whitespace())
}

/// A whole number of a cast; `decimals` permits and cuts off a fraction (`12.9` is 12), as the legacy mode does.
pub fn parse_integer(text: &str, decimals: bool) -> Option<i64> {
    let text = trim_all(text).as_bytes();
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value: i64 = 0;
    let mut rest = digits.iter();
    for byte in rest.by_ref() {
        if *byte == b'.' && decimals {
            return rest
                .all(u8::is_ascii_digit)
                .then_some(value)
                .and_then(|v| if negative { Some(v) } else { v.checked_neg() });
        }
        if !byte.is_ascii_digit() {
            return None;
        }
        // Collected below zero, where the range is larger by one.
        value = value.checked_mul(10)?.checked_sub(i64::from(byte - b'0'))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// A double of a cast: what Java's `Double.parseDouble` takes, and `inf`, `infinity`, `nan` in any case.
pub fn parse_f64(text: &str) -> Option<f64> {
    let text = text.trim_matches(|c: char| c <= ' ');
    match float_text(text) {
        Some(plain) => plain.parse().ok(),
        None => special_literal(text),
    }
}

/// A float of a cast.
pub fn parse_f32(text: &str) -> Option<f32> {
    let text = text.trim_matches(|c: char| c <= ' ');
    match float_text(text) {
        Some(plain) => plain.parse().ok(),
        None => special_literal(text).map(|v| v as f32),
    }
}

/// The number without Java's suffix, if it is made of a number's characters.
fn float_text(text: &str) -> Option<&str> {
    let plain = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    let ends_well = plain.ends_with(|c: char| c.is_ascii_digit() || c == '.');
    let known = plain.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
    (ends_well && known).then_some(plain)
}

fn special_literal(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        "inf" | "+inf" | "infinity" | "+infinity" => Some(f64::INFINITY),
        "-inf" | "-infinity" => Some(f64::NEG_INFINITY),
        "nan" => Some(f64::NAN),
        _ => None,
    }
}

/// What became of a text read as a decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParsedDecimal {
    /// The value in units of the scale, rounded half up.
    Value(i128),
    /// A number, but too large.
    Overflow,
    /// No number.
    Malformed,
}

/// Reads a decimal(precision, scale), rounded half up; an exponent may follow (`1.5e3`).
pub fn parse_decimal(text: &str, precision: u8, scale: i8) -> ParsedDecimal {
    let text = trim_all(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => match exponent.parse::<i32>() {
            Ok(exponent) => (mantissa, exponent),
            Err(_) => return ParsedDecimal::Malformed,
        },
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        all => (false, all),
    };
    let point = digits.iter().position(|b| *b == b'.').unwrap_or(digits.len());
    let mut count = 0usize;
    for (i, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => count += 1,
            b'.' if i == point => {}
            _ => return ParsedDecimal::Malformed,
        }
    }
    if count == 0 {
        return ParsedDecimal::Malformed;
    }
    // Digits that stand before the new point, which may lie outside of the text.
    let keep = point as i64 + i64::from(exponent) + i64::from(scale);
    match decimal_digits(digits.iter().filter(|b| **b != b'.').map(|b| b - b'0'), count as i64, keep) {
        Some(value) if value < 10i128.pow(u32::from(precision.min(38))) => {
            ParsedDecimal::Value(if negative { -value } else { value })
        }
        _ => ParsedDecimal::Overflow,
    }
}

/// The first `keep` digits as a number, rounded half up by the next one; zeros are added if there are fewer.
fn decimal_digits(digits: impl Iterator<Item = u8>, count: i64, keep: i64) -> Option<i128> {
    let mut value: i128 = 0;
    for (i, digit) in (0i64..).zip(digits) {
        if i < keep {
            value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
        } else {
            return Some(value + i128::from(i == keep && digit >= 5));
        }
    }
    if value == 0 {
        return Some(0);
    }
    for _ in count..keep {
        value = value.checked_mul(10)?;
    }
    Some(value)
}

/// A boolean of a cast: `t true y yes 1` and `f false n no 0`, in any case.
pub fn parse_boolean(text: &str) -> Option<bool> {
    match trim_all(text).to_ascii_lowercase().as_str() {
        "t" | "true" | "y" | "yes" | "1" => Some(true),
        "f" | "false" | "n" | "no" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(value: f64) -> String {
        let mut out = String::new();
        write_f64(value, &mut out);
        out
    }

    #[test]
    fn doubles_look_like_javas() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.001, "0.001"),
            (0.00012, "1.2E-4"),
            (1_234_567.5, "1234567.5"),
            (1e7, "1.0E7"),
            (1.5e10, "1.5E10"),
            (-123.456, "-123.456"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, text) in cases {
            assert_eq!(double(value), text);
        }
        let mut out = String::new();
        write_f32(3.4e38, &mut out);
        assert_eq!(out, "3.4E38");
    }

    #[test]
    fn decimals_are_plain_or_javas() {
        let text = |value, scale| {
            let (mut plain, mut java) = (String::new(), String::new());
            write_decimal_plain(value, scale, &mut plain);
            write_decimal(value, scale, &mut java);
            (plain, java)
        };
        assert_eq!(text(-12345, 2), ("-123.45".into(), "-123.45".into()));
        assert_eq!(text(0, 18), ("0.000000000000000000".into(), "0E-18".into()));
        assert_eq!(text(15, 9), ("0.000000015".into(), "1.5E-8".into()));
        assert_eq!(text(5, 0), ("5".into(), "5".into()));
    }

    #[test]
    fn texts_are_numbers_as_spark_reads_them() {
        assert_eq!(parse_integer(" +12 ", false), Some(12));
        assert_eq!(parse_integer("12.9", false), None);
        assert_eq!(parse_integer("12.9", true), Some(12));
        assert_eq!(parse_integer("-9223372036854775808", false), Some(i64::MIN));
        assert_eq!(parse_integer("9223372036854775808", false), None);
        assert_eq!(parse_f64("1e3d"), Some(1000.0));
        assert_eq!(parse_f64("Infinity"), Some(f64::INFINITY));
        assert_eq!(parse_f64("abc"), None);
        assert_eq!(parse_decimal("1.005", 10, 2), ParsedDecimal::Value(101));
        assert_eq!(parse_decimal("-1.5e3", 10, 1), ParsedDecimal::Value(-15_000));
        assert_eq!(parse_decimal("1234", 3, 0), ParsedDecimal::Overflow);
        assert_eq!(parse_decimal("1e-5", 3, 0), ParsedDecimal::Value(0));
        assert_eq!(parse_decimal(".", 3, 0), ParsedDecimal::Malformed);
        assert_eq!(parse_boolean(" Yes"), Some(true));
    }
}
