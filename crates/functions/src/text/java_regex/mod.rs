//! Java's regular expressions on top of Rust's.
//!
//! A pattern is translated construct by construct: classes of Java are ASCII (`\d`, `\w`, `\s`, `\p{Alpha}`), `.` stops at every
//! line terminator of Unicode, `\Q…\E` quotes, and so on. Matching takes linear time. Only patterns with look-around,
//! back-references, atomic groups or possessive quantifiers run on a backtracking engine ([`super::backtracking`]).
//!
//! Known differences: `(?i)` folds all of Unicode, not only ASCII; canonical equivalence does not exist.

mod translate;

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use hashbrown::HashMap;
use millstream_formats::condition::{ExceptionClass, SparkError};

use super::backtracking::{Backtracking, TooMuch};
use translate::Translator;

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
