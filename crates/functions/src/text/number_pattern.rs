//! Number patterns of `to_number` and `to_char`: `$99,999.00MI`.
//!
//! `0` and `9` are digits (a group before the point that begins with `0` demands all its digits), `,` and `G` separate
//! thousands, `.` and `D` are the point, `S` and `MI` signs, `PR` angle brackets around a negative number.

use arrow::datatypes::DataType;
use millstream_formats::condition::{ExceptionClass, SparkError};

/// Part of a run of digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Digits {
    /// Exactly so many.
    Exactly(usize),
    /// At most so many.
    AtMost(usize),
    Separator,
}

impl Digits {
    fn count(self) -> usize {
        match self {
            Digits::Exactly(n) | Digits::AtMost(n) => n,
            Digits::Separator => 0,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Digits(Vec<Digits>),
    Point,
    Dollar,
    Sign,
    Minus,
    Open,
    Close,
    Unknown(char),
}

/// A pattern taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NumberPattern {
    tokens: Vec<Token>,
    whole_digits: usize,
    fraction_digits: usize,
}

impl NumberPattern {
    /// Takes a pattern apart.
    ///
    /// # Errors
    /// `INVALID_FORMAT.*`.
    pub(super) fn new(pattern: &str) -> Result<Self, SparkError> {
        let tokens = tokens_of(&pattern.to_uppercase());
        let point = tokens.iter().position(|t| *t == Token::Point).unwrap_or(tokens.len());
        let digits = |tokens: &[Token]| -> usize {
            tokens.iter().map(|t| if let Token::Digits(d) = t { d.iter().map(|d| d.count()).sum() } else { 0 }).sum()
        };
        let (before, after) = tokens.split_at(point);
        let (whole_digits, fraction_digits) = (digits(before), digits(after));
        check(pattern, &tokens, point)?;
        Ok(Self { tokens, whole_digits, fraction_digits })
    }

    /// The type of the numbers it reads.
    pub(super) fn decimal(&self) -> DataType {
        let precision = (self.whole_digits + self.fraction_digits).min(38) as u8;
        DataType::Decimal128(precision, self.fraction_digits.min(38) as i8)
    }

    /// Reads a number as an integer of the scale of [`Self::decimal`].
    pub(super) fn parse(&self, text: &str) -> Option<i128> {
        let mut reader = Reader {
            chars: text.chars().peekable(),
            whole: String::new(),
            fraction: String::new(),
            in_fraction: false,
        };
        let (mut negative, mut opened, mut closed) = (false, false, false);
        for token in &self.tokens {
            match token {
                Token::Digits(groups) => reader.digits(groups)?,
                Token::Point => reader.in_fraction |= reader.chars.next_if_eq(&'.').is_some(),
                Token::Dollar => {
                    if reader.chars.peek().is_some() {
                        reader.chars.next_if_eq(&'$')?;
                    }
                }
                Token::Sign if reader.chars.next_if_eq(&'+').is_some() => {}
                Token::Sign | Token::Minus => negative ^= reader.chars.next_if_eq(&'-').is_some(),
                Token::Open => opened |= reader.chars.next_if_eq(&'<').is_some(),
                Token::Close => {
                    if reader.chars.next_if_eq(&'>').is_some() {
                        closed = true;
                        negative = !negative;
                    }
                }
                Token::Unknown(_) => return None,
            }
        }
        if reader.chars.next().is_some() || opened != closed || (reader.whole.is_empty() && reader.fraction.is_empty())
        {
            return None;
        }
        let digits = format!("{}{:0<width$}", reader.whole, reader.fraction, width = self.fraction_digits);
        let value: i128 = digits.parse().ok()?;
        Some(if negative { -value } else { value })
    }

    /// Writes a decimal; digits that do not fit make it `##.##`.
    pub(super) fn format(&self, value: i128, scale: i8) -> String {
        let (whole, fraction) = self.split(value, scale);
        let mut writer = Writer { whole: whole.chars(), fraction: fraction.chars(), in_fraction: false, out: vec![] };
        for token in &self.tokens {
            writer.token(token, value < 0);
        }
        writer.strip_point();
        let text: String = writer.out.into_iter().collect();
        if matches!(text.as_str(), "" | "+" | "-") { "0".to_string() } else { text }
    }

    /// The digits before and after the point, as many as the pattern has.
    fn split(&self, value: i128, scale: i8) -> (String, String) {
        let mut plain = String::new();
        millstream_formats::text::write_decimal_plain(value, scale, &mut plain);
        let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
        let (whole, fraction) = (whole.trim_start_matches(['-', '0']), fraction.trim_end_matches('0'));
        if whole.len() > self.whole_digits || fraction.len() > self.fraction_digits {
            return ("#".repeat(self.whole_digits), "#".repeat(self.fraction_digits));
        }
        (
            format!("{whole:>width$}", width = self.whole_digits),
            format!("{fraction:0<width$}", width = self.fraction_digits),
        )
    }
}

fn tokens_of(pattern: &str) -> Vec<Token> {
    let mut tokens = vec![];
    let mut rest = pattern;
    let mut after_point = false;
    let mut groups: Vec<Digits> = vec![];
    while let Some(c) = rest.chars().next() {
        if matches!(c, '0' | '9') {
            let count = rest.bytes().take_while(|b| matches!(b, b'0' | b'9')).count();
            groups.push(if c == '0' && !after_point { Digits::Exactly(count) } else { Digits::AtMost(count) });
            rest = &rest[count..];
            continue;
        }
        if matches!(c, ',' | 'G') {
            groups.push(Digits::Separator);
            rest = &rest[1..];
            continue;
        }
        if !groups.is_empty() {
            tokens.push(Token::Digits(std::mem::take(&mut groups)));
        }
        let (token, length) = match c {
            '.' | 'D' => (Token::Point, 1),
            '$' => (Token::Dollar, 1),
            'S' => (Token::Sign, 1),
            'M' if rest.starts_with("MI") => (Token::Minus, 2),
            'P' if rest.starts_with("PR") => {
                tokens.insert(0, Token::Open);
                (Token::Close, 2)
            }
            other => (Token::Unknown(other), other.len_utf8()),
        };
        after_point |= token == Token::Point;
        tokens.push(token);
        rest = &rest[length..];
    }
    if !groups.is_empty() {
        tokens.push(Token::Digits(groups));
    }
    tokens
}

fn invalid(pattern: &str, subclass: &str, why: &str) -> SparkError {
    SparkError::new(
        ExceptionClass::Analysis,
        &format!("INVALID_FORMAT.{subclass}"),
        "42601",
        format!("The format is invalid: '{pattern}'. {why}"),
    )
    .with("format", format!("'{pattern}'"))
}

fn check(pattern: &str, tokens: &[Token], point: usize) -> Result<(), SparkError> {
    if pattern.is_empty() {
        return Err(invalid(pattern, "EMPTY", "The number format string cannot be empty."));
    }
    let first = |wanted: fn(&Token) -> bool| tokens.iter().position(wanted);
    let Some(first_digits) = first(|t| matches!(t, Token::Digits(d) if d.iter().any(|d| d.count() > 0))) else {
        return Err(invalid(pattern, "WRONG_NUM_DIGIT", "The format string requires at least one number digit."));
    };
    if let Some(dollar) = first(|t| *t == Token::Dollar) {
        if dollar > first_digits {
            let why = "Currency characters must appear before digits in the number format.";
            return Err(invalid(pattern, "CUR_MUST_BEFORE_DIGIT", why));
        }
        if dollar > point {
            let why = "Currency characters must appear before any decimal point in the number format.";
            return Err(invalid(pattern, "CUR_MUST_BEFORE_DEC", why));
        }
    }
    check_separators(pattern, tokens, point)?;
    check_order(pattern, tokens)
}

fn check_separators(pattern: &str, tokens: &[Token], point: usize) -> Result<(), SparkError> {
    for (i, token) in tokens.iter().enumerate() {
        let Token::Digits(groups) = token else { continue };
        let separator = |d: Option<&Digits>| d == Some(&Digits::Separator);
        let loose = separator(groups.first())
            || separator(groups.last())
            || groups.windows(2).any(|pair| pair == [Digits::Separator, Digits::Separator]);
        if i < point && loose {
            let why = "Thousands separators (, or G) must have digits in between them in the number format.";
            return Err(invalid(pattern, "CONT_THOUSANDS_SEPS", why));
        }
        if i > point && groups.contains(&Digits::Separator) {
            let why = "Thousands separators (, or G) may not appear after the decimal point in the number format.";
            return Err(invalid(pattern, "THOUSANDS_SEPS_MUST_BEFORE_DEC", why));
        }
    }
    Ok(())
}

fn describe(token: &Token) -> String {
    match token {
        Token::Digits(_) => "digit sequence".to_string(),
        Token::Point => "'.' or 'D'".to_string(),
        Token::Dollar => "'$'".to_string(),
        Token::Sign => "'S'".to_string(),
        Token::Minus => "'MI'".to_string(),
        Token::Open | Token::Close => "'PR'".to_string(),
        Token::Unknown(c) => format!("character '{c}'"),
    }
}

/// `[MI|S] [$] digits [.] digits [$] [PR|MI|S]`, none of them twice.
fn check_order(pattern: &str, tokens: &[Token]) -> Result<(), SparkError> {
    for token in [Token::Point, Token::Sign, Token::Minus, Token::Dollar, Token::Close] {
        if tokens.iter().filter(|t| **t == token).count() > 1 {
            let why = format!("At most one {} is allowed in the number format.", describe(&token));
            return Err(invalid(pattern, "WRONG_NUM_TOKEN", &why).with("token", describe(&token)));
        }
    }
    const ORDER: [fn(&Token) -> bool; 8] = [
        |t| *t == Token::Open,
        |t| matches!(t, Token::Minus | Token::Sign),
        |t| *t == Token::Dollar,
        |t| matches!(t, Token::Digits(_)),
        |t| *t == Token::Point,
        |t| matches!(t, Token::Digits(_)),
        |t| *t == Token::Dollar,
        |t| matches!(t, Token::Minus | Token::Sign | Token::Close),
    ];
    let mut rest = tokens.iter().peekable();
    for allowed in ORDER {
        rest.next_if(|t| allowed(t));
    }
    match rest.next() {
        None => Ok(()),
        Some(token) => {
            let why = format!(
                "Found the unexpected {} in the format string; the structure of the format string must match: `[MI|S]` `[$]` \
                 `[0|9|G|,]*` `[.|D]` `[0|9]*` `[$]` `[PR|MI|S]`.",
                describe(token)
            );
            Err(invalid(pattern, "UNEXPECTED_TOKEN", &why).with("token", describe(token)))
        }
    }
}

/// The text of a number being read.
struct Reader<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    whole: String,
    fraction: String,
    in_fraction: bool,
}

impl Reader<'_> {
    /// Reads digits, blanks and separators, and compares the sizes of their groups from the right.
    fn digits(&mut self, groups: &[Digits]) -> Option<()> {
        let mut sizes = vec![0usize];
        while let Some(c) = self.chars.next_if(|c| c.is_ascii_digit() || c.is_whitespace() || *c == ',') {
            if c == ',' {
                sizes.push(0);
            } else if c.is_ascii_digit() {
                *sizes.last_mut()? += 1;
                if self.in_fraction { &mut self.fraction } else { &mut self.whole }.push(c);
            }
        }
        let expected: Vec<Digits> = groups.iter().copied().filter(|g| *g != Digits::Separator).collect();
        if sizes.len() > expected.len() {
            return None;
        }
        let found = sizes.into_iter().rev().chain(std::iter::repeat(0));
        let fits = expected.iter().rev().zip(found).all(|(expected, found)| match expected {
            Digits::Exactly(count) => found == *count,
            Digits::AtMost(count) => found <= *count,
            Digits::Separator => true,
        });
        fits.then_some(())
    }
}

/// A number being written.
struct Writer<'a> {
    whole: std::str::Chars<'a>,
    fraction: std::str::Chars<'a>,
    in_fraction: bool,
    out: Vec<char>,
}

impl Writer<'_> {
    fn token(&mut self, token: &Token, negative: bool) {
        match token {
            Token::Digits(groups) => groups.iter().for_each(|group| self.digits(*group)),
            Token::Point => {
                if let Some(last) = self.out.last_mut().filter(|c| **c == ' ') {
                    *last = '0';
                }
                self.out.push('.');
                self.in_fraction = true;
            }
            Token::Dollar => self.out.push('$'),
            Token::Sign => {
                self.strip_point();
                self.push_before_blanks(if negative { '-' } else { '+' });
            }
            Token::Minus if negative => {
                self.strip_point();
                self.push_before_blanks('-');
            }
            Token::Minus => self.out.push(' '),
            Token::Open if negative => self.out.push('<'),
            Token::Close => {
                self.strip_point();
                if negative { self.push_before_blanks('>') } else { self.out.extend([' ', ' ']) }
            }
            Token::Open | Token::Unknown(_) => {}
        }
    }

    fn digits(&mut self, group: Digits) {
        if group == Digits::Separator {
            match self.out.last() {
                Some(c) if c.is_ascii_digit() => self.out.push(','),
                _ => self.push_blank(),
            }
            return;
        }
        for _ in 0..group.count() {
            if self.in_fraction {
                self.out.extend(self.fraction.next());
                continue;
            }
            match self.whole.next() {
                Some(' ') if matches!(group, Digits::Exactly(_)) => self.out.push('0'),
                Some(' ') => self.push_blank(),
                other => self.out.extend(other),
            }
        }
    }

    /// Adds a character in front of the blanks at the end.
    fn push_before_blanks(&mut self, c: char) {
        let at = self.out.iter().rposition(|c| *c != ' ').map_or(0, |at| at + 1);
        self.out.insert(at, c);
    }

    /// Adds a blank in front of the signs at the end.
    fn push_blank(&mut self) {
        let at = self.out.iter().rposition(|c| !matches!(c, '+' | '-' | '<')).map_or(0, |at| at + 1);
        self.out.insert(at, ' ');
    }

    /// A point without digits behind it becomes a blank.
    fn strip_point(&mut self) {
        if let Some(at) = self.out.iter().position(|c| *c == '.')
            && matches!(self.out.get(at + 1), None | Some(' '))
        {
            self.out[at] = ' ';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, pattern: &str) -> Option<i128> {
        NumberPattern::new(pattern).unwrap_or_else(|e| panic!("{e}")).parse(text)
    }

    fn shown(value: i128, scale: i8, pattern: &str) -> String {
        NumberPattern::new(pattern).unwrap_or_else(|e| panic!("{e}")).format(value, scale)
    }

    #[test]
    fn numbers_are_read_by_their_pattern() {
        assert_eq!(read("1,234", "9,999"), Some(1234));
        assert_eq!(read("454", "999"), Some(454));
        assert_eq!(read("454.00", "000.00"), Some(45400));
        assert_eq!(read("$78.12", "$99.99"), Some(7812));
        assert_eq!(read("12,454.8-", "99,999.9S"), Some(-124_548));
        assert_eq!(read("<5>", "9PR"), Some(-5));
        assert_eq!(read("12", "000"), None);
        assert_eq!(read("1234", "999"), None);
        assert_eq!(read("x", "9"), None);
    }

    #[test]
    fn numbers_are_written_by_their_pattern() {
        assert_eq!(shown(454, 0, "999"), "454");
        assert_eq!(shown(454, 0, "000D00"), "454.00");
        assert_eq!(shown(12454, 0, "99G999"), "12,454");
        assert_eq!(shown(7812, 2, "$99.99"), "$78.12");
        assert_eq!(shown(-124_548, 1, "99G999D9S"), "12,454.8-");
        assert_eq!(shown(1, 0, "000"), "001");
        assert_eq!(shown(12, 0, "S999"), " +12");
        assert_eq!(shown(1234, 0, "99"), "##");
    }

    #[test]
    fn wrong_patterns_are_named() {
        let condition =
            |p| NumberPattern::new(p).err().and_then(|e| e.condition().map(str::to_string)).unwrap_or_default();
        for (pattern, subclass) in [
            ("", "EMPTY"),
            ("$", "WRONG_NUM_DIGIT"),
            ("9$", "CUR_MUST_BEFORE_DIGIT"),
            ("9,,9", "CONT_THOUSANDS_SEPS"),
            ("9.9,9", "THOUSANDS_SEPS_MUST_BEFORE_DEC"),
            ("9.9.9", "WRONG_NUM_TOKEN"),
            ("9x9", "UNEXPECTED_TOKEN"),
        ] {
            assert_eq!(condition(pattern), format!("INVALID_FORMAT.{subclass}"), "{pattern}");
        }
    }
}
