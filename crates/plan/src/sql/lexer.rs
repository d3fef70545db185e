//! Text to tokens.
//!
//! Never fails on odd characters: those become [`TokenKind::Unknown`], so that the parser reports the first error in
//! reading order. The one exception is a comment that is not closed.

use std::str::Chars;

use millstream_formats::condition::{ExceptionClass, SparkError};

use super::token::{Token, TokenKind};

/// Symbols, longer ones before their prefixes.
const SYMBOLS: [&str; 38] = [
    "/*+", "<=>", "*/", "==", "<>", "!=", "!>", "!<", "<=", ">=", "<<", "||", "|>", "::", "->", "=>", "=", "<", ">",
    "+", "-", "*", "/", "%", "~", "&", "|", "^", ":", "?", "(", ")", "[", "]", ",", ".", ";", "!",
];

/// All tokens of `text`; the last one is [`TokenKind::End`].
pub(super) fn tokenize(text: &str) -> Result<Vec<Token>, SparkError> {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::with_capacity(text.len() / 4 + 1);
    loop {
        lexer.skip_blank()?;
        let start = lexer.at;
        let kind = lexer.next_kind();
        let end = lexer.at;
        let done = kind == TokenKind::End;
        tokens.push(Token { kind, start, end });
        if done {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    /// Byte offset of the next character, always on a border of characters.
    at: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Whitespace and comments.
    fn skip_blank(&mut self) -> Result<(), SparkError> {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start_matches(is_blank).len();
            if blank > 0 {
                self.at += blank;
            } else if rest.starts_with("--") {
                self.at += line_comment(rest);
            } else if rest.starts_with("/*") && !rest.starts_with("/*+") {
                self.at += bracketed_comment(rest).ok_or_else(|| unclosed_comment(self.text))?;
            } else {
                return Ok(());
            }
        }
    }

    fn next_kind(&mut self) -> TokenKind {
        let Some(first) = self.peek() else { return TokenKind::End };
        if matches!(first, 'r' | 'R')
            && let Some(text) = self.raw_string()
        {
            return TokenKind::String(text);
        }
        if matches!(first, '\'' | '"') {
            return self.string(first);
        }
        if first == '`' {
            return self.quoted_name();
        }
        let number = number_length(self.rest());
        let word = word_length(self.rest());
        if number > 0 && number >= word {
            self.at += number;
            return TokenKind::Number;
        }
        if word > 0 {
            self.at += word;
            return TokenKind::Word;
        }
        match SYMBOLS.iter().find(|symbol| self.rest().starts_with(**symbol)) {
            Some(symbol) => {
                self.at += symbol.len();
                TokenKind::Symbol(symbol)
            }
            None => {
                self.at += first.len_utf8();
                TokenKind::Unknown
            }
        }
    }

    /// `r'…'`: no escapes.
    fn raw_string(&mut self) -> Option<String> {
        let body = self.rest().get(1..)?;
        let quote = body.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let inner = body.get(1..)?;
        let length = inner.find(quote)?;
        let text = inner.get(..length)?.to_string();
        self.at += length + 3;
        Some(text)
    }

    /// A string between `quote`s; a doubled quote inside stands for one.
    fn string(&mut self, quote: char) -> TokenKind {
        let start = self.at;
        let mut text = String::new();
        let mut chars = self.text.get(start + 1..).unwrap_or("").chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => unescape(&mut chars, &mut text),
                c if c == quote => {
                    if !chars.as_str().starts_with(quote) {
                        self.at = self.text.len() - chars.as_str().len();
                        return TokenKind::String(text);
                    }
                    chars.next();
                    text.push(quote);
                }
                c => text.push(c),
            }
        }
        self.at = start + 1;
        TokenKind::Unknown
    }

    fn quoted_name(&mut self) -> TokenKind {
        let start = self.at;
        let mut name = String::new();
        let mut chars = self.text.get(start + 1..).unwrap_or("").chars();
        while let Some(c) = chars.next() {
            if c != '`' {
                name.push(c);
            } else if chars.as_str().starts_with('`') {
                chars.next();
                name.push('`');
            } else {
                self.at = self.text.len() - chars.as_str().len();
                return TokenKind::Quoted(name);
            }
        }
        self.at = start + 1;
        TokenKind::Unknown
    }
}

fn is_blank(c: char) -> bool {
    matches!(
        c,
        ' ' | '\t' | '\n' | '\u{c}' | '\r' | '\u{b}' | '\u{a0}' | '\u{1680}' | '\u{2000}'
            ..='\u{200a}' | '\u{2028}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
    )
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_ascii_digit() || c.is_alphabetic()
}

fn word_length(text: &str) -> usize {
    text.len() - text.trim_start_matches(is_word).len()
}

/// Length of a `--` comment: to the end of the line, or further if that is escaped.
fn line_comment(text: &str) -> usize {
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        end += line.len();
        if !line.ends_with("\\\n") {
            break;
        }
    }
    end
}

/// Length of a comment in brackets, which may hold others; none if it is not closed.
fn bracketed_comment(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0usize, 0usize);
    while let Some(pair) = bytes.get(at..at + 2) {
        match pair {
            b"/*" if bytes.get(at + 2) != Some(&b'+') || depth == 0 => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => at += 1,
        }
    }
    None
}

fn unclosed_comment(text: &str) -> SparkError {
    let sentence = "Found an unclosed bracketed comment. Please, append */ at the end of the comment.";
    SparkError::new(ExceptionClass::Parse, "UNCLOSED_BRACKETED_COMMENT", "42601", sentence)
        .at(format!("\n== SQL ==\n{text}"))
}

/// Length of the number at the start of `text`, 0 if there is none; a shorter number is taken if the longer is none.
fn number_length(text: &str) -> usize {
    let whole = digits(text);
    let after = text.get(whole..).unwrap_or("");
    if let Some(fraction) = after.strip_prefix('.') {
        let point = whole + 1 + digits(fraction);
        if whole > 0 || point > 1 {
            let mantissa = text.get(point..).unwrap_or("");
            let longest = point + exponent(mantissa);
            for length in [longest + suffix(text.get(longest..).unwrap_or("")), longest, point] {
                if !text.get(length..).is_some_and(|rest| rest.starts_with(is_word)) {
                    return length;
                }
            }
        }
    }
    if whole == 0 {
        return 0;
    }
    let with_exponent = whole + exponent(after);
    with_exponent + suffix_of_whole(text.get(with_exponent..).unwrap_or(""), with_exponent == whole)
}

fn digits(text: &str) -> usize {
    text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len()
}

/// Length of `E+10`.
fn exponent(text: &str) -> usize {
    let Some(rest) = text.strip_prefix(['e', 'E']) else { return 0 };
    let unsigned = rest.strip_prefix(['+', '-']).unwrap_or(rest);
    match digits(unsigned) {
        0 => 0,
        n => text.len() - unsigned.len() + n,
    }
}

/// Length of a suffix that may follow a fraction or exponent.
fn suffix(text: &str) -> usize {
    let mut chars = text.chars().map(|c| c.to_ascii_uppercase());
    match (chars.next(), chars.next()) {
        (Some('B'), Some('D')) => 2,
        (Some('D' | 'F'), _) => 1,
        _ => 0,
    }
}

/// Length of a suffix of a number without fraction.
fn suffix_of_whole(text: &str, no_exponent: bool) -> usize {
    match text.chars().next().map(|c| c.to_ascii_uppercase()) {
        Some('L' | 'S' | 'Y') if no_exponent => 1,
        _ => suffix(text),
    }
}

/// One escape, its backslash already read.
fn unescape(chars: &mut Chars, text: &mut String) {
    let rest = chars.as_str();
    let coded = match rest.chars().next() {
        Some('u') => code(rest, 1, 4, 16),
        Some('U') => code(rest, 1, 8, 16),
        Some('0'..='3') => code(rest, 0, 3, 8),
        _ => None,
    };
    if let Some((c, length)) = coded {
        text.push(c);
        *chars = rest.get(length..).unwrap_or("").chars();
        return;
    }
    match chars.next() {
        Some('0') => text.push('\0'),
        Some('b') => text.push('\u{8}'),
        Some('n') => text.push('\n'),
        Some('r') => text.push('\r'),
        Some('t') => text.push('\t'),
        Some('Z') => text.push('\u{1a}'),
        // Kept for LIKE, which undoes them itself.
        Some('%') => text.push_str("\\%"),
        Some('_') => text.push_str("\\_"),
        Some(other) => text.push(other),
        None => {}
    }
}

/// The character whose number stands in `length` digits from byte `from`, and where they end.
fn code(text: &str, from: usize, length: usize, radix: u32) -> Option<(char, usize)> {
    let digits = text.get(from..from + length)?;
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let c = char::from_u32(u32::from_str_radix(digits, radix).ok()?)?;
    Some((c, from + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lex(text: &str) -> Vec<String> {
        let tokens = tokenize(text).expect("no unclosed comment");
        tokens
            .iter()
            .map(|t| match &t.kind {
                TokenKind::String(s) => format!("'{s}'"),
                TokenKind::Quoted(s) => format!("`{s}`"),
                TokenKind::Number => format!("#{}", &text[t.start..t.end]),
                TokenKind::Unknown => format!("?{}", &text[t.start..t.end]),
                _ => text[t.start..t.end].to_string(),
            })
            .collect()
    }

    #[test]
    fn numbers_take_the_longest_valid_form() {
        assert_eq!(
            lex("1L 1.5BD .5 1e3 1.e-2D 2F 1abc a.1b t1.x 3.e"),
            [
                "#1L", "#1.5BD", "#.5", "#1e3", "#1.e-2D", "#2F", "1abc", "a", ".", "1b", "t1", ".", "x", "#3", ".",
                "e", ""
            ]
        );
    }

    #[test]
    fn strings_undo_escapes_and_doubled_quotes() {
        assert_eq!(
            lex(r"'It''s' 'a\n\u0041\101\%\x' r'\n' R'a\' 'x"),
            ["'It's'", "'a\nAA\\%x'", "'\\n'", "'a\\'", "?'", "x", ""]
        );
    }

    #[test]
    fn comments_vanish_and_nest() {
        assert_eq!(lex("a -- b\n/* c /* d */ e */ f /*+ g */"), ["a", "f", "/*+", "g", "*/", ""]);
        assert_eq!(tokenize("a /* b").unwrap_err().condition(), Some("UNCLOSED_BRACKETED_COMMENT"));
    }
}
