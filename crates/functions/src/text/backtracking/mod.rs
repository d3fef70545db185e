//! Regular expressions that only backtracking can match: look-around, back-references, atomic groups, possessive quantifiers.
//!
//! Meaning and order of attempts are those of `java.util.regex`, and so is the worst case: time can grow exponentially with the
//! text, which is why a search gives up after [`STEPS_MAX`] steps instead of standing still. Patterns without these constructs
//! never come here ([`super::java_regex`]).

mod parse;
mod run;

use std::ops::Range;

use super::java_regex::Groups;

/// Steps after which a search gives up: about a second of one core.
pub(super) const STEPS_MAX: usize = 10_000_000;
/// Nested attempts after which a search gives up; they cost about 100 MB of stack, which grows as needed.
pub(super) const DEPTH_MAX: usize = 200_000;

/// A pattern ready to run.
#[derive(Debug)]
pub struct Backtracking {
    root: Node,
    groups: usize,
    names: Vec<(String, usize)>,
}

/// Why a search ended without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a regular expression backtracks too much")]
pub struct TooMuch;

impl Backtracking {
    /// Compiles a pattern of Java's syntax; the error says what is wrong with it.
    pub fn new(pattern: &str) -> Result<Self, String> {
        parse::parse(pattern)
    }

    /// Number of groups, the whole match not counted.
    pub fn group_count(&self) -> usize {
        self.groups
    }

    /// Number of the group of this name.
    pub fn group_named(&self, name: &str) -> Option<usize> {
        self.names.iter().find(|(known, _)| known == name).map(|(_, group)| *group)
    }

    /// The groups of the first match that begins at `start` or later.
    pub fn groups_at(&self, text: &str, start: usize) -> Result<Option<Groups>, TooMuch> {
        run::search(self, text, start)
    }

    /// The first match that begins at `start` or later.
    pub fn find_at(&self, text: &str, start: usize) -> Result<Option<Range<usize>>, TooMuch> {
        Ok(self.groups_at(text, start)?.and_then(|groups| groups.first().cloned().flatten()))
    }
}

/// A set of characters.
#[derive(Debug)]
struct Set {
    ascii: [bool; 128],
    others: regex::Regex,
}

impl Set {
    fn contains(&self, c: char) -> bool {
        match self.ascii.get(c as usize) {
            Some(found) => *found,
            None => self.others.is_match(c.encode_utf8(&mut [0; 4])),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Greed {
    /// As many as possible, then fewer.
    Greedy,
    /// As few as possible, then more.
    Lazy,
    /// As many as possible, and no fewer.
    Possessive,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Anchor {
    Start,
    /// The end, or before a line terminator at the end.
    End,
    VeryEnd,
    LineStart,
    LineEnd,
    WordBoundary,
    NoWordBoundary,
}

#[derive(Debug)]
enum Node {
    Char(char),
    /// A character in either case.
    Folded(char),
    Set(Set),
    Anchor(Anchor),
    Concat(Vec<Node>),
    Alternate(Vec<Node>),
    Group(usize, Box<Node>),
    Atomic(Box<Node>),
    Look {
        ahead: bool,
        negative: bool,
        inner: Box<Node>,
    },
    Repeat {
        inner: Box<Node>,
        least: usize,
        most: usize,
        greed: Greed,
    },
    BackReference(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, text: &str) -> Option<Vec<Option<String>>> {
        let compiled = Backtracking::new(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}"));
        let groups = compiled.groups_at(text, 0).unwrap_or_else(|e| panic!("{e}"))?;
        Some(groups.into_iter().map(|g| g.map(|range| text[range].to_string())).collect())
    }

    fn whole(pattern: &str, text: &str) -> Option<String> {
        found(pattern, text).and_then(|groups| groups.into_iter().next().flatten())
    }

    #[test]
    fn look_around_sees_without_taking() {
        assert_eq!(whole(r"(?<=\$)\d+", "a 5 $42"), Some("42".into()));
        assert_eq!(whole(r"\d+(?= EUR)", "5 USD 7 EUR"), Some("7".into()));
        assert_eq!(whole(r"(?<!a)b(?!c)", "ab bc bd"), Some("b".into()));
        assert_eq!(whole(r"^(?=.*\d)(?=.*[a-z]).{4,}$", "ab1d"), Some("ab1d".into()));
        assert_eq!(whole(r"(?<=é)x", "éx"), Some("x".into()));
        assert_eq!(whole(r"q(?!u)", "quit"), None);
    }

    #[test]
    fn references_repeat_what_a_group_took() {
        assert_eq!(whole(r"(\w)\1", "hello"), Some("ll".into()));
        assert_eq!(whole(r"(?<q>['\x22]).*?\k<q>", "say 'a\"b' now"), Some("'a\"b'".into()));
        assert_eq!(whole(r"(a)|b\1", "b"), None);
        assert_eq!(
            found(r"(a+)(b)?\1", "aabaa"),
            Some(vec![Some("aabaa".into()), Some("aa".into()), Some("b".into())])
        );
    }

    #[test]
    fn atoms_give_nothing_back() {
        assert_eq!(whole("a++a", "aaa"), None);
        assert_eq!(whole("(?>a|ab)c", "abc"), None);
        assert_eq!(whole("[ab]*+c", "abac"), Some("abac".into()));
        assert_eq!(whole("x?+x", "x"), None);
    }

    #[test]
    fn the_rest_of_the_syntax_works_here_too() {
        assert_eq!(whole(r"(?i)(?=S)spark\s*(\d{1,2}?)", "SPARK 42"), Some("SPARK 4".into()));
        assert_eq!(whole(r"(?s)(?=a)a.b", "a\nb"), Some("a\nb".into()));
        assert_eq!(whole(r"(?=a)a.b", "a\nb"), None);
        assert_eq!(whole(r"(?m)(?=b)b$", "a\nb\nc"), Some("b".into()));
        assert_eq!(whole(r"(?=[\w&&[^_]])\bab\b", "_ab ab"), Some("ab".into()));
        assert_eq!(whole(r"(?!x)\Qa.b\E\.(?:c|d)+$", "a.b.cdc\n"), Some("a.b.cdc".into()));
        assert_eq!(found(r"(?!z)(a|b)*", "ab"), Some(vec![Some("ab".into()), Some("b".into())]));
        assert_eq!(whole(r"(?!z)(a*)*c", "aac"), Some("aac".into()));
    }

    #[test]
    fn a_hopeless_search_gives_up_and_a_long_one_does_not_overflow() {
        let hopeless = Backtracking::new(r"(?!x)(a+)+$").unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(hopeless.groups_at(&format!("{}b", "a".repeat(60)), 0), Err(TooMuch));
        let long = "ab".repeat(20_000);
        assert_eq!(whole(r"(?!x)(?:a|b)+$", &long).map(|m| m.len()), Some(long.len()));
    }

    #[test]
    fn wrong_patterns_are_refused() {
        for pattern in ["(?=a", "(?<=a", r"(a)\2(", "a{2,1}(?=b)", "(?<n>a)(?<n>b)(?=c)", r"\k<x>", "[a(?=b)", "(?=a))"]
        {
            assert!(Backtracking::new(pattern).is_err(), "{pattern}");
        }
    }
}
