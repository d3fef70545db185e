//! Java's pattern syntax rewritten as that of the regex crate.
//!
//! Also tells what decides on the engine: whether the pattern is plain text, and whether it needs backtracking. Not here:
//! matching ([`super::Pattern`]).

use std::fmt::Write as _;

const DOT: &str = r"[^\n\r\u{85}\u{2028}\u{2029}]";
const LINE_BREAK: &str = r"(?:\r\n|[\n\x0B\x0C\r\u{85}\u{2028}\u{2029}])";
const HORIZONTAL: &str = r" \t\u{A0}\u{1680}\u{180e}\u{2000}-\u{200a}\u{202f}\u{205f}\u{3000}";
const VERTICAL: &str = r"\n\x0B\x0C\r\u{85}\u{2028}\u{2029}";

/// A translated pattern.
pub(super) struct Translation {
    pub(super) text: String,
    pub(super) literal: Option<String>,
    pub(super) backtracking: bool,
    pub(super) end_anchor: bool,
}

/// Walks over a Java pattern and writes the Rust pattern.
pub(super) struct Translator<'a> {
    pattern: &'a str,
    rest: &'a str,
    out: String,
    /// The pattern as plain text, as long as no operator has been met.
    literal: Option<String>,
    /// Whether a construct that needs backtracking has been met.
    backtracking: bool,
    /// `(?s)` in force, for each open group.
    dot_all: Vec<bool>,
    end_anchor: bool,
    /// Depth of `[`.
    class_depth: usize,
    /// Whether the last thing written was a quantifier, which a `+` then makes possessive.
    after_quantifier: bool,
}

impl<'a> Translator<'a> {
    pub(super) fn new(pattern: &'a str) -> Self {
        Self {
            pattern,
            rest: pattern,
            out: String::new(),
            literal: Some(String::new()),
            backtracking: false,
            dot_all: vec![false],
            end_anchor: false,
            class_depth: 0,
            after_quantifier: false,
        }
    }

    pub(super) fn run(mut self) -> Result<Translation, String> {
        while let Some(c) = self.next() {
            let was_quantifier = std::mem::take(&mut self.after_quantifier);
            match c {
                '\\' => self.escape()?,
                _ if self.class_depth > 0 => self.in_class(c),
                _ => self.outside_class(c, was_quantifier),
            }
        }
        let literal = self.literal.filter(|l| !l.is_empty());
        Ok(Translation { text: self.out, literal, backtracking: self.backtracking, end_anchor: self.end_anchor })
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    /// An operator: the pattern is no plain text.
    fn operator(&mut self, text: &str) {
        self.literal = None;
        self.out.push_str(text);
    }

    /// A character that stands for itself.
    fn plain(&mut self, c: char) {
        if let Some(literal) = &mut self.literal {
            literal.push(c);
        }
        if c.is_ascii_punctuation() {
            self.out.push('\\');
        }
        // `\<` and `\>` are word boundaries for Rust.
        if matches!(c, '<' | '>') {
            self.out.pop();
        }
        self.out.push(c);
    }

    fn in_class(&mut self, c: char) {
        match c {
            '[' => {
                self.class_depth += 1;
                self.out.push('[');
                self.negation();
            }
            ']' => {
                self.class_depth -= 1;
                self.out.push(']');
            }
            '&' if self.rest.starts_with('&') => {
                self.next();
                self.out.push_str("&&");
            }
            '-' => self.out.push('-'),
            '~' | '&' => {
                self.out.push('\\');
                self.out.push(c);
            }
            _ => self.out.push(c),
        }
    }

    fn negation(&mut self) {
        if let Some(rest) = self.rest.strip_prefix('^') {
            self.rest = rest;
            self.out.push('^');
        }
    }

    fn outside_class(&mut self, c: char, was_quantifier: bool) {
        match c {
            '[' => {
                self.class_depth = 1;
                self.operator("[");
                self.negation();
            }
            '.' => {
                let dot = if self.dot_all.last() == Some(&true) { "." } else { DOT };
                self.operator(dot);
            }
            '(' => self.open_group(),
            ')' => {
                if self.dot_all.len() > 1 {
                    self.dot_all.pop();
                }
                self.operator(")");
            }
            '+' if was_quantifier => {
                self.backtracking = true;
                self.operator("+");
            }
            '*' | '+' | '?' => {
                self.operator(c.encode_utf8(&mut [0; 4]));
                self.after_quantifier = !was_quantifier;
            }
            '{' => {
                let end = self.rest.find('}').map_or(self.rest.len(), |at| at + 1);
                let (bounds, rest) = self.rest.split_at(end);
                self.rest = rest;
                self.operator("{");
                self.out.push_str(bounds);
                self.after_quantifier = true;
            }
            '$' => {
                self.end_anchor = true;
                self.operator("$");
            }
            '^' | '|' => self.operator(c.encode_utf8(&mut [0; 4])),
            _ => self.plain(c),
        }
    }

    fn open_group(&mut self) {
        let dot_all = self.dot_all.last().copied().unwrap_or_default();
        let Some(after) = self.rest.strip_prefix('?') else {
            self.dot_all.push(dot_all);
            return self.operator("(");
        };
        if after.starts_with(['=', '!', '>']) || after.starts_with("<=") || after.starts_with("<!") {
            self.backtracking = true;
        }
        let flags = after.find(|c: char| !c.is_ascii_alphabetic() && c != '-').unwrap_or(after.len());
        let (flags, behind) = after.split_at(flags);
        match behind.chars().next() {
            Some(end @ (':' | ')')) if !flags.is_empty() => {
                self.rest = &behind[1..];
                let now = self.flags(flags, dot_all);
                match (end, self.dot_all.last_mut()) {
                    (')', Some(current)) => *current = now,
                    _ => self.dot_all.push(now),
                }
                self.out.push(end);
            }
            _ => {
                self.dot_all.push(dot_all);
                self.rest = after;
                self.operator("(?");
                // The operators right behind (`=`, `<name>`) need no translation.
                let end = match after.chars().next() {
                    Some('<') if !after.starts_with("<=") && !after.starts_with("<!") => {
                        after.find('>').map_or(0, |at| at + 1)
                    }
                    Some('<') => 2,
                    Some(':' | '=' | '!' | '>') => 1,
                    _ => 0,
                };
                let (operator, rest) = after.split_at(end);
                self.out.push_str(operator);
                self.rest = rest;
            }
        }
    }

    /// Writes `(?` and the flags that Rust knows; returns whether `.` matches line terminators with them.
    fn flags(&mut self, flags: &str, mut dot_all: bool) -> bool {
        self.operator("(?");
        let mut on = true;
        let (mut set, mut unset) = (String::new(), String::new());
        for flag in flags.chars() {
            match flag {
                '-' => on = false,
                'd' | 'u' | 'U' => {}
                _ => {
                    if flag == 's' {
                        dot_all = on;
                    }
                    if on { &mut set } else { &mut unset }.push(flag);
                }
            }
        }
        self.out.push_str(&set);
        if !unset.is_empty() {
            self.out.push('-');
            self.out.push_str(&unset);
        }
        if set.is_empty() && unset.is_empty() {
            // `(?)` is no group of Rust; a flag that is always on stands in.
            self.out.push('u');
        }
        dot_all
    }

    fn escape(&mut self) -> Result<(), String> {
        let c = self.next().ok_or_else(|| format!("`{}` ends with a backslash", self.pattern))?;
        match c {
            'd' => self.class("0-9", false),
            'D' => self.class("0-9", true),
            'w' => self.class("a-zA-Z_0-9", false),
            'W' => self.class("a-zA-Z_0-9", true),
            's' => self.class(r"\t\n\x0B\x0C\r ", false),
            'S' => self.class(r"\t\n\x0B\x0C\r ", true),
            'h' => self.class(HORIZONTAL, false),
            'H' => self.class(HORIZONTAL, true),
            'v' => self.class(VERTICAL, false),
            'V' => self.class(VERTICAL, true),
            'p' | 'P' => self.property(c == 'P')?,
            'b' | 'B' | 'A' | 'z' => {
                self.operator("\\");
                self.out.push(c);
            }
            'Z' => {
                self.end_anchor = true;
                self.operator("$");
            }
            'G' => return Err(r"`\G` is not supported".into()),
            'R' => self.operator(LINE_BREAK),
            'X' => return Err(r"`\X` is not supported".into()),
            'Q' => self.quote(),
            'E' => {}
            'k' | '1'..='9' => {
                self.backtracking = true;
                self.operator("\\");
                self.out.push(c);
            }
            _ => {
                let plain = self.character(c)?;
                self.plain(plain);
            }
        }
        Ok(())
    }

    /// The character that an escape of one character stands for.
    fn character(&mut self, c: char) -> Result<char, String> {
        let code = match c {
            't' => 9,
            'n' => 10,
            'r' => 13,
            'f' => 12,
            'a' => 7,
            'e' => 27,
            'c' => self.next().map_or(0, |c| u32::from(c) ^ 64),
            'u' => self.digits(4, 4, 16)?,
            'x' => match self.rest.strip_prefix('{') {
                Some(rest) => {
                    self.rest = rest;
                    let code = self.digits(1, 8, 16)?;
                    self.rest = self.rest.strip_prefix('}').ok_or("an escape is not closed")?;
                    code
                }
                None => self.digits(2, 2, 16)?,
            },
            '0' => self.digits(1, 3, 8)?,
            _ if c.is_ascii_alphanumeric() => return Err(format!("unknown escape `\\{c}`")),
            _ => return Ok(c),
        };
        char::from_u32(code).ok_or_else(|| format!("U+{code:04X} is no character"))
    }

    fn digits(&mut self, least: usize, most: usize, radix: u32) -> Result<u32, String> {
        let count = self.rest.chars().take(most).take_while(|c| c.is_digit(radix)).count();
        if count < least {
            return Err("digits are missing in an escape".into());
        }
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        u32::from_str_radix(digits, radix).map_err(|e| e.to_string())
    }

    fn quote(&mut self) {
        let (quoted, rest) = self.rest.split_once("\\E").unwrap_or((self.rest, ""));
        self.rest = rest;
        for c in quoted.chars() {
            self.plain(c);
        }
    }

    /// A set of characters, in a class or as one.
    fn class(&mut self, set: &str, negated: bool) {
        self.literal = None;
        let _ = match (self.class_depth > 0, negated) {
            (true, false) => write!(self.out, "{set}"),
            (_, true) => write!(self.out, "[^{set}]"),
            (false, false) => write!(self.out, "[{set}]"),
        };
    }

    fn property(&mut self, negated: bool) -> Result<(), String> {
        let name = match self.rest.strip_prefix('{') {
            Some(rest) => {
                let (name, rest) = rest.split_once('}').ok_or("a property is not closed")?;
                self.rest = rest;
                name.to_string()
            }
            None => self.next().map(String::from).unwrap_or_default(),
        };
        if let Some(set) = posix_class(&name) {
            self.class(set, negated);
            return Ok(());
        }
        let name = match name.strip_prefix("Is").or_else(|| name.strip_prefix("In")).unwrap_or(&name) {
            "javaLowerCase" => "Lowercase",
            "javaUpperCase" => "Uppercase",
            "javaWhitespace" => "White_Space",
            "L1" => return Err("`L1` is not supported".into()),
            other => other,
        };
        self.literal = None;
        let letter = if negated { 'P' } else { 'p' };
        let name = name.trim_start_matches("general_category=").trim_start_matches("gc=");
        write!(self.out, "\\{letter}{{{name}}}").map_err(|e| e.to_string())
    }
}

fn posix_class(name: &str) -> Option<&'static str> {
    Some(match name {
        "Lower" => "a-z",
        "Upper" => "A-Z",
        "ASCII" => r"\x00-\x7F",
        "Alpha" => "a-zA-Z",
        "Digit" => "0-9",
        "Alnum" => "a-zA-Z0-9",
        "Punct" => r"!-/:-@\[-`\{-\~",
        "Graph" => r"!-\~",
        "Print" => r"\x20-\x7E",
        "Blank" => r" \t",
        "Cntrl" => r"\x00-\x1F\x7F",
        "XDigit" => "0-9a-fA-F",
        "Space" => r" \t\n\x0B\x0C\r",
        _ => return None,
    })
}
