//! Java's regular expressions on top of Rust's.
//!
//! A pattern is translated construct by construct: classes of Java are ASCII (`\d`, `\w`, `\s`, `\p{Alpha}`), `.` stops at every
//! line terminator of Unicode, `\Q…\E` quotes, and so on. Matching takes linear time. Only patterns with look-around,
//! back-references, atomic groups or possessive quantifiers run on a backtracking engine ([`super::backtracking`]).
//!
//! Known differences: `(?i)` folds all of Unicode, not only ASCII; canonical equivalence does not exist.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::ops::Range;
use std::rc::Rc;

use hashbrown::HashMap;
use millstream_formats::condition::{ExceptionClass, SparkError};

use super::backtracking::{Backtracking, TooMuch};

/// A compiled pattern.
#[derive(Debug)]
pub enum Pattern {
    /// Plain text without any operator.
    Literal(String),
    /// A regular expression proper.
    Linear {
        /// The translated pattern.
        regex: regex::Regex,
        /// Whether it has a `$` or `\Z`, which also match before a line terminator at the end.
        end_anchor: bool,
    },
    /// One that needs backtracking.
    Backtracking(Backtracking),
}

/// Where groups matched: group 0 is the whole match; absent if the group took no part.
pub type Groups = Vec<Option<Range<usize>>>;

impl Pattern {
    /// Compiles a pattern of Java's syntax.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn compile(pattern: &str) -> Result<Self, String> {
        let translation = Translator::new(pattern).run()?;
        if translation.backtracking {
            return Backtracking::new(pattern).map(Pattern::Backtracking);
        }
        if let Some(literal) = translation.literal {
            return Ok(Pattern::Literal(literal));
        }
        let regex = regex::Regex::new(&translation.text).map_err(|e| e.to_string())?;
        Ok(Pattern::Linear { regex, end_anchor: translation.end_anchor })
    }

    /// The first match that begins at `start` or later.
    pub fn find_at(&self, text: &str, start: usize) -> Result<Option<Range<usize>>, SparkError> {
        match self {
            Pattern::Literal(literal) => {
                let found = text.get(start..).and_then(|t| t.find(literal.as_str()));
                Ok(found.map(|at| start + at..start + at + literal.len()))
            }
            Pattern::Linear { regex, end_anchor } => {
                let found = regex.find_at(text, start).map(|m| m.range());
                let Some(body) = without_terminator(text, *end_anchor, start) else { return Ok(found) };
                let earlier = regex.find_at(body, start).map(|m| m.range());
                Ok(first_of(found, earlier, |range| range.start))
            }
            Pattern::Backtracking(pattern) => pattern.find_at(text, start).map_err(too_much),
        }
    }

    /// Whether there is a match anywhere.
    pub fn is_match(&self, text: &str) -> Result<bool, SparkError> {
        match self {
            Pattern::Linear { regex, end_anchor: false } => Ok(regex.is_match(text)),
            _ => Ok(self.find_at(text, 0)?.is_some()),
        }
    }

    /// The groups of the first match that begins at `start` or later.
    pub fn groups_at(&self, text: &str, start: usize) -> Result<Option<Groups>, SparkError> {
        match self {
            Pattern::Literal(_) => Ok(self.find_at(text, start)?.map(|found| vec![Some(found)])),
            Pattern::Linear { regex, end_anchor } => {
                let groups = |text| -> Option<Groups> {
                    regex.captures_at(text, start).map(|c| c.iter().map(|g| g.map(|g| g.range())).collect())
                };
                let found = groups(text);
                let Some(body) = without_terminator(text, *end_anchor, start) else { return Ok(found) };
                let begin = |groups: &Groups| groups.first().cloned().flatten().map_or(usize::MAX, |range| range.start);
                Ok(first_of(found, groups(body), begin))
            }
            Pattern::Backtracking(pattern) => pattern.groups_at(text, start).map_err(too_much),
        }
    }

    /// Number of groups, the whole match not counted.
    pub fn group_count(&self) -> usize {
        match self {
            Pattern::Literal(_) => 0,
            Pattern::Linear { regex, .. } => regex.captures_len() - 1,
            Pattern::Backtracking(pattern) => pattern.group_count(),
        }
    }

    /// Number of the group of this name.
    pub fn group_named(&self, name: &str) -> Option<usize> {
        match self {
            Pattern::Literal(_) => None,
            Pattern::Linear { regex, .. } => regex.capture_names().position(|n| n == Some(name)),
            Pattern::Backtracking(pattern) => pattern.group_named(name),
        }
    }

    /// Calls `each` with every match in turn, as `Matcher.find` gives them: an empty match may follow right behind another
    /// match. Ends early when `each` gives false.
    pub fn for_each_match(
        &self,
        text: &str,
        mut each: impl FnMut(Range<usize>) -> Result<bool, SparkError>,
    ) -> Result<(), SparkError> {
        let mut start = 0;
        while start <= text.len() {
            let Some(found) = self.find_at(text, start)? else { break };
            start = next_start(text, &found);
            if !each(found)? {
                break;
            }
        }
        Ok(())
    }
}

fn too_much(error: TooMuch) -> SparkError {
    SparkError::plain(ExceptionClass::Runtime, error.to_string())
}

/// The pattern in the syntax of the regex crate.
pub(super) fn rust_text(pattern: &str) -> Result<String, String> {
    Translator::new(pattern).run().map(|translation| translation.text)
}

/// The text before a line terminator at its end, if the search may end there.
fn without_terminator(text: &str, end_anchor: bool, start: usize) -> Option<&str> {
    if !end_anchor {
        return None;
    }
    let body =
        text.strip_suffix("\r\n").or_else(|| text.strip_suffix(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']))?;
    (start <= body.len()).then_some(body)
}

/// The match that begins first; of two that begin at one place the one in the whole text.
fn first_of<T>(whole: Option<T>, body: Option<T>, start: impl Fn(&T) -> usize) -> Option<T> {
    match (whole, body) {
        (Some(whole), Some(body)) if start(&body) < start(&whole) => Some(body),
        (None, body) => body,
        (whole, _) => whole,
    }
}

/// Where the search goes on behind a match.
pub fn next_start(text: &str, found: &Range<usize>) -> usize {
    if found.start < found.end {
        return found.end;
    }
    found.end + text.get(found.end..).and_then(|t| t.chars().next()).map_or(1, char::len_utf8)
}

/// `INVALID_PARAMETER_VALUE.PATTERN`.
pub fn invalid_pattern(function: &str, pattern: &str) -> SparkError {
    SparkError::new(
        ExceptionClass::Runtime,
        "INVALID_PARAMETER_VALUE.PATTERN",
        "22023",
        format!("The value of parameter(s) `regexp` in `{function}` is invalid: '{pattern}'."),
    )
    .with("parameter", "`regexp`")
    .with("functionName", format!("`{function}`"))
    .with("value", format!("'{pattern}'"))
}

/// Patterns kept compiled for each thread; more than that many are forgotten all at once.
const KEPT_PATTERNS_MAX: usize = 64;

thread_local! {
    static KEPT: RefCell<HashMap<String, Rc<Pattern>>> = RefCell::new(HashMap::new());
}

/// The patterns of one column: compiles a pattern when it differs from that of the row before.
#[derive(Debug, Default)]
pub struct PatternColumn {
    last: Option<(String, Rc<Pattern>)>,
}

impl PatternColumn {
    /// The compiled form, or `INVALID_PARAMETER_VALUE.PATTERN`.
    pub fn get(&mut self, function: &str, pattern: &str) -> Result<&Pattern, SparkError> {
        if !matches!(&self.last, Some((text, _)) if text == pattern) {
            self.last = Some((pattern.to_string(), kept(function, pattern)?));
        }
        match &self.last {
            Some((_, compiled)) => Ok(compiled),
            None => Err(SparkError::internal("a pattern was lost")),
        }
    }
}

/// Compiles a pattern, or takes it from those that this thread has seen.
pub fn kept(function: &str, pattern: &str) -> Result<Rc<Pattern>, SparkError> {
    KEPT.with_borrow_mut(|kept| {
        if let Some(found) = kept.get(pattern) {
            return Ok(Rc::clone(found));
        }
        let compiled = Rc::new(Pattern::compile(pattern).map_err(|_| invalid_pattern(function, pattern))?);
        if kept.len() >= KEPT_PATTERNS_MAX {
            kept.clear();
        }
        kept.insert(pattern.to_string(), Rc::clone(&compiled));
        Ok(compiled)
    })
}

const DOT: &str = r"[^\n\r\u{85}\u{2028}\u{2029}]";
const LINE_BREAK: &str = r"(?:\r\n|[\n\x0B\x0C\r\u{85}\u{2028}\u{2029}])";
const HORIZONTAL: &str = r" \t\u{A0}\u{1680}\u{180e}\u{2000}-\u{200a}\u{202f}\u{205f}\u{3000}";
const VERTICAL: &str = r"\n\x0B\x0C\r\u{85}\u{2028}\u{2029}";

struct Translation {
    text: String,
    literal: Option<String>,
    backtracking: bool,
    end_anchor: bool,
}

/// Walks over a Java pattern and writes the Rust pattern.
struct Translator<'a> {
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
    fn new(pattern: &'a str) -> Self {
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

    fn run(mut self) -> Result<Translation, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> Vec<String> {
        let pattern = Pattern::compile(pattern).unwrap_or_else(|e| panic!("{e}"));
        let mut found = vec![];
        let _ = pattern.for_each_match(text, |m| {
            found.push(text[m].to_string());
            Ok(true)
        });
        found
    }

    #[test]
    fn classes_are_those_of_java() {
        assert_eq!(matches(r"\d+", "12 ٣4"), ["12", "4"]);
        assert_eq!(matches(r"[\w&&[^a-c]]+", "abcdé_9"), ["d", "_9"]);
        assert_eq!(matches(r"\p{Punct}", "a~[b"), ["~", "["]);
        assert_eq!(matches(r"[^\s,]+", "a b,c\u{a0}d"), ["a", "b", "c\u{a0}d"]);
        assert_eq!(matches("a.b", "a\rb a-b"), ["a-b"]);
        assert_eq!(matches("(?s)a.b", "a\nb"), ["a\nb"]);
        assert_eq!(matches(r"\u0041\x42\0103\Q.*\E", "ABC.*"), ["ABC.*"]);
        assert_eq!(matches(r"\p{IsAlphabetic}+", "aé1"), ["aé"]);
    }

    #[test]
    fn constructs_that_need_backtracking_have_their_engine() {
        for pattern in [r"(?<=a)b", r"(\w)\1", "a++a", "a{1,2}+b", "a(?!b)"] {
            assert!(matches!(Pattern::compile(pattern), Ok(Pattern::Backtracking(_))), "{pattern}");
        }
        assert_eq!(matches(r"(?<=a)b(?!c)", "abc ab"), ["b"]);
    }

    #[test]
    fn an_empty_match_may_follow_a_match() {
        assert_eq!(matches("a*", "baab"), ["", "aa", "", ""]);
    }

    #[test]
    fn the_end_is_also_before_a_final_line_terminator() {
        assert_eq!(matches("a$", "a\n"), ["a"]);
        assert_eq!(matches("a\n?$", "a\n"), ["a\n"]);
        assert_eq!(matches(r"a\Z", "a\r\n"), ["a"]);
        assert!(matches("a$", "a\nb").is_empty());
    }

    #[test]
    fn plain_text_is_recognised() {
        for (pattern, text) in [("abc", "abc"), (r"\.", "."), (r"\|\|", "||"), (r"\Qa.b\E", "a.b"), (r"\t", "\t")] {
            assert!(matches!(Pattern::compile(pattern), Ok(Pattern::Literal(l)) if l == text), "{pattern}");
        }
        assert!(!matches!(Pattern::compile("a|b"), Ok(Pattern::Literal(_))));
    }

    #[test]
    fn wrong_patterns_are_refused() {
        for pattern in ["(", "[a", "a{2", "*", "\\", r"\y"] {
            assert!(Pattern::compile(pattern).is_err(), "{pattern}");
        }
    }
}
