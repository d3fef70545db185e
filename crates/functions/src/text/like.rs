//! `LIKE` patterns: `%` for any text, `_` for one character, an escape character for both and itself.

use memchr::memmem;
use millstream_formats::condition::{ExceptionClass, SparkError};

/// A pattern in the cheapest form that decides it.
#[derive(Debug)]
pub(super) struct LikePattern {
    shape: Shape,
    /// Compare in lower case.
    fold: bool,
}

#[derive(Debug)]
enum Shape {
    Equal(String),
    Prefix(String),
    Suffix(String),
    Contains(Box<memmem::Finder<'static>>),
    General(regex::Regex),
}

#[derive(Debug, PartialEq)]
enum Token {
    Char(char),
    One,
    Many,
}

impl LikePattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// `INVALID_FORMAT.ESC_IN_THE_MIDDLE`, `INVALID_FORMAT.ESC_AT_THE_END`.
    pub(super) fn new(pattern: &str, escape: char, fold: bool) -> Result<Self, SparkError> {
        let folded;
        let pattern = if fold {
            folded = pattern.to_lowercase();
            &folded
        } else {
            pattern
        };
        let tokens = tokens(pattern, escape)?;
        Ok(Self { shape: shape_of(&tokens)?, fold })
    }

    /// Whether the whole text fits.
    pub(super) fn matches(&self, text: &str) -> bool {
        if self.fold { self.matches_folded(&text.to_lowercase()) } else { self.matches_folded(text) }
    }

    fn matches_folded(&self, text: &str) -> bool {
        match &self.shape {
            Shape::Equal(wanted) => text == wanted,
            Shape::Prefix(prefix) => text.starts_with(prefix),
            Shape::Suffix(suffix) => text.ends_with(suffix),
            Shape::Contains(finder) => finder.find(text.as_bytes()).is_some(),
            Shape::General(regex) => regex.is_match(text),
        }
    }
}

fn tokens(pattern: &str, escape: char) -> Result<Vec<Token>, SparkError> {
    let mut tokens = vec![];
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        tokens.push(match c {
            _ if c == escape => match rest.next() {
                Some(next) if next == '_' || next == '%' || next == escape => Token::Char(next),
                Some(next) => {
                    return Err(invalid(
                        pattern,
                        "ESC_IN_THE_MIDDLE",
                        &format!("the escape character is not allowed to precede '{next}'"),
                    ));
                }
                None => {
                    return Err(invalid(pattern, "ESC_AT_THE_END", "the escape character is not allowed to end with"));
                }
            },
            '%' => Token::Many,
            '_' => Token::One,
            _ => Token::Char(c),
        });
    }
    tokens.dedup_by(|a, b| *a == Token::Many && *b == Token::Many);
    Ok(tokens)
}

fn invalid(pattern: &str, subclass: &str, why: &str) -> SparkError {
    SparkError::new(
        ExceptionClass::Analysis,
        &format!("INVALID_FORMAT.{subclass}"),
        "42601",
        format!("The format is invalid: '{pattern}'. {}{}.", why[..1].to_uppercase(), &why[1..]),
    )
    .with("format", format!("'{pattern}'"))
}

fn shape_of(tokens: &[Token]) -> Result<Shape, SparkError> {
    let plain = |tokens: &[Token]| -> Option<String> {
        tokens.iter().map(|t| if let Token::Char(c) = t { Some(*c) } else { None }).collect()
    };
    if let Some(text) = plain(tokens) {
        return Ok(Shape::Equal(text));
    }
    let shape = match tokens {
        [Token::Many, middle @ .., Token::Many] => {
            plain(middle).map(|m| Shape::Contains(Box::new(memmem::Finder::new(&m).into_owned())))
        }
        [Token::Many, rest @ ..] => plain(rest).map(Shape::Suffix),
        [rest @ .., Token::Many] => plain(rest).map(Shape::Prefix),
        _ => None,
    };
    if let Some(shape) = shape {
        return Ok(shape);
    }
    let mut regex = String::from(r"(?s)\A");
    for token in tokens {
        match token {
            Token::Char(c) => regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
            Token::One => regex.push('.'),
            Token::Many => regex.push_str(".*"),
        }
    }
    regex.push_str(r"\z");
    let compiled =
        regex::Regex::new(&regex).map_err(|e| SparkError::internal(format!("a LIKE pattern failed: {e}")))?;
    Ok(Shape::General(compiled))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like(text: &str, pattern: &str) -> bool {
        LikePattern::new(pattern, '\\', false).unwrap_or_else(|e| panic!("{e}")).matches(text)
    }

    #[test]
    fn patterns_fit_whole_texts() {
        for (text, pattern) in [
            ("abc", "abc"),
            ("abc", "a%"),
            ("abc", "%c"),
            ("abc", "%b%"),
            ("abc", "a_c"),
            ("a\nc", "a%c"),
            ("10%", r"10\%"),
            ("", "%"),
            ("a.c", "a._"),
        ] {
            assert!(like(text, pattern), "{text:?} like {pattern:?}");
        }
        for (text, pattern) in [("abc", "b%"), ("abc", "ab"), ("abc", r"a\_c"), ("abc", "_"), ("axc", "a.c")] {
            assert!(!like(text, pattern), "{text:?} like {pattern:?}");
        }
        assert!(LikePattern::new("%ABC", '\\', true).is_ok_and(|p| p.matches("xaBc")));
    }

    #[test]
    fn a_stray_escape_is_refused() {
        let condition = |p| LikePattern::new(p, '\\', false).err().and_then(|e| e.condition().map(str::to_string));
        assert_eq!(condition(r"a\bc").as_deref(), Some("INVALID_FORMAT.ESC_IN_THE_MIDDLE"));
        assert_eq!(condition("a\\").as_deref(), Some("INVALID_FORMAT.ESC_AT_THE_END"));
    }
}
