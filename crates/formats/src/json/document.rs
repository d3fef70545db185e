//! Questions to single documents: a value by its path, the names of an object, the length of an array.
//!
//! A document that is not JSON as a whole answers nothing, even if the part asked for is good, as in Spark. Control characters in
//! strings are allowed, single quotes are not.

use std::fmt::Write;

use super::options::Syntax;
use super::tape::{Kind, Tape};
use super::write::write_string;
use crate::text;

/// A document, and the room for the next one.
#[derive(Debug)]
pub struct Document {
    tape: Tape,
    syntax: Syntax,
}

impl Default for Document {
    fn default() -> Self {
        let syntax =
            Syntax { single_quotes: false, non_numeric_numbers: false, control_characters: true, ..Syntax::default() };
        Self { tape: Tape::default(), syntax }
    }
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// `.name`, `['name']`.
    Name(String),
    /// `.*`.
    AnyName,
    /// `[3]`.
    Index(usize),
    /// `[*]`.
    AnyIndex,
}

/// A path such as `$.store.book[0].title`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath(Vec<Step>);

impl JsonPath {
    /// Takes a path apart; none if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text.strip_prefix('$')?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = step(rest)?;
            steps.push(step);
            rest = after;
        }
        Some(Self(steps))
    }
}

fn step(text: &str) -> Option<(Step, &str)> {
    if let Some(rest) = text.strip_prefix(".*").or_else(|| text.strip_prefix("['*']")) {
        return Some((Step::AnyName, rest));
    }
    if let Some(rest) = text.strip_prefix('.') {
        let length = rest.find(['.', '[']).unwrap_or(rest.len());
        let (name, rest) = rest.split_at_checked(length)?;
        return (!name.is_empty()).then(|| (Step::Name(name.to_string()), rest));
    }
    let rest = text.strip_prefix('[')?;
    if let Some(rest) = rest.strip_prefix("*]") {
        return Some((Step::AnyIndex, rest));
    }
    if let Some(rest) = rest.strip_prefix('\'') {
        let (name, rest) = rest.split_once('\'')?;
        return Some((Step::Name(name.to_string()), rest.strip_prefix(']')?));
    }
    let (digits, rest) = rest.split_once(']')?;
    let number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    Some((Step::Index(digits.parse().ok().filter(|_| number)?), rest))
}

/// How strings and arrays are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// A string without its quotes.
    Raw,
    Quoted,
    /// Elements of arrays without the arrays.
    Flat,
}

impl Document {
    /// Reads a document; false if it is blank or no JSON.
    pub fn read(&mut self, text: &str) -> bool {
        self.tape.read(text, &self.syntax) == Ok(true)
    }

    /// Appends the value at a path; false if there is none. Strings come without quotes, everything else as JSON.
    pub fn get(&self, text: &str, path: &JsonPath, out: &mut String) -> bool {
        let mut found = Found { tape: &self.tape, source: text, out };
        found.walk(0, &path.0, Style::Raw)
    }

    /// Appends the value of a field of the root; false if there is none or it is null.
    pub fn field(&self, text: &str, name: &str, out: &mut String) -> bool {
        if self.tape.node(0).kind != Kind::Object {
            return false;
        }
        let named = |(key, _): &(usize, usize)| self.tape.string(&self.tape.node(*key), text) == name;
        // Of equal names the last counts.
        let Some((_, value)) = self.tape.fields(0).filter(named).last() else { return false };
        let node = self.tape.node(value);
        match node.kind {
            Kind::Null => return false,
            Kind::String => out.push_str(self.tape.string(&node, text)),
            _ => write_compact(&self.tape, value, text, out),
        }
        true
    }

    /// The names of the root's fields; none if it is no object.
    pub fn keys<'d>(&'d self, text: &'d str) -> Option<impl Iterator<Item = &'d str>> {
        let names = self.tape.fields(0).map(move |(name, _)| self.tape.string(&self.tape.node(name), text));
        (self.tape.node(0).kind == Kind::Object).then_some(names)
    }

    /// Number of elements of the root; none if it is no array.
    pub fn array_length(&self) -> Option<usize> {
        (self.tape.node(0).kind == Kind::Array).then(|| self.tape.elements(0).count())
    }
}

/// Where the search is, and what was found.
struct Found<'a> {
    tape: &'a Tape,
    source: &'a str,
    out: &'a mut String,
}

impl Found<'_> {
    /// Appends what lies at the path below a value; false if nothing does.
    fn walk(&mut self, index: usize, path: &[Step], style: Style) -> bool {
        let node = self.tape.node(index);
        let Some((first, rest)) = path.split_first() else { return self.write(index, style) };
        match (node.kind, first) {
            (Kind::Object, Step::Name(name)) => {
                let tape = self.tape;
                tape.fields(index).any(|(key, value)| {
                    let key = tape.node(key);
                    tape.string(&key, self.source) == name
                        && tape.node(value).kind != Kind::Null
                        && self.walk(value, rest, style)
                })
            }
            (Kind::Object, Step::AnyName) => {
                let tape = self.tape;
                tape.fields(index).any(|(_, value)| self.walk(value, rest, style))
            }
            (Kind::Array, Step::AnyIndex) => match rest.split_first() {
                Some((Step::AnyIndex, deeper)) => self.list(index, deeper, Style::Flat),
                _ if style == Style::Quoted => self.list(index, rest, Style::Quoted),
                _ => self.one_or_list(index, rest, style),
            },
            (Kind::Array, Step::Index(wanted)) => {
                let style = if rest.first() == Some(&Step::AnyIndex) { Style::Quoted } else { style };
                let element = self.tape.elements(index).nth(*wanted);
                element.is_some_and(|element| self.walk(element, rest, style))
            }
            _ => false,
        }
    }

    /// Appends the matches below the elements as an array.
    fn list(&mut self, array: usize, path: &[Step], style: Style) -> bool {
        self.out.push('[');
        let mut any = false;
        for element in self.tape.elements(array) {
            any |= self.element(element, path, style);
        }
        self.out.push(']');
        any
    }

    /// As [`Found::list`], but a single match stands alone.
    fn one_or_list(&mut self, array: usize, path: &[Step], style: Style) -> bool {
        let begin = self.out.len();
        let style = if style == Style::Raw { Style::Quoted } else { style };
        self.out.push('[');
        let matches = self.tape.elements(array).filter(|e| self.element(*e, path, style)).count();
        match matches {
            0 => self.out.truncate(begin),
            1 => {
                self.out.remove(begin);
            }
            _ => self.out.push(']'),
        }
        matches > 0
    }

    /// Appends an element of an array that is being written.
    fn element(&mut self, element: usize, path: &[Step], style: Style) -> bool {
        let before = self.out.len();
        // An element that is an array written flat begins where its first element does.
        if !self.out.ends_with(['[', ',']) {
            self.out.push(',');
        }
        let start = self.out.len();
        let found = self.walk(element, path, style);
        if !found || self.out.len() == start {
            self.out.truncate(before);
        }
        found
    }

    fn write(&mut self, index: usize, style: Style) -> bool {
        let node = self.tape.node(index);
        match (node.kind, style) {
            (Kind::String, Style::Raw) => self.out.push_str(self.tape.string(&node, self.source)),
            (Kind::Array, Style::Flat) => {
                let mut any = false;
                for element in self.tape.elements(index) {
                    any |= self.element(element, &[], Style::Flat);
                }
                return any;
            }
            _ => write_compact(self.tape, index, self.source, self.out),
        }
        true
    }
}

/// Appends a value as JSON without blanks; numbers with a fraction as Java writes doubles.
pub(super) fn write_compact(tape: &Tape, index: usize, source: &str, out: &mut String) {
    let node = tape.node(index);
    match node.kind {
        Kind::Null => out.push_str("null"),
        Kind::True => out.push_str("true"),
        Kind::False => out.push_str("false"),
        Kind::Integer => out.push_str(tape.raw(&node, source)),
        Kind::Float => match tape.raw(&node, source).parse::<f64>() {
            Ok(number) if number.is_finite() => text::write_f64(number, out),
            _ => {
                let _ = write!(out, "\"{}\"", tape.raw(&node, source));
            }
        },
        Kind::String => write_string(tape.string(&node, source), false, out),
        Kind::Array => {
            out.push('[');
            for (number, element) in tape.elements(index).enumerate() {
                if number > 0 {
                    out.push(',');
                }
                write_compact(tape, element, source, out);
            }
            out.push(']');
        }
        Kind::Object => {
            out.push('{');
            for (number, (name, value)) in tape.fields(index).enumerate() {
                if number > 0 {
                    out.push(',');
                }
                write_string(tape.string(&tape.node(name), source), false, out);
                out.push(':');
                write_compact(tape, value, source, out);
            }
            out.push('}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(text: &str, path: &str) -> Option<String> {
        let mut document = Document::default();
        let mut out = String::new();
        let path = JsonPath::parse(path)?;
        (document.read(text) && document.get(text, &path, &mut out)).then_some(out)
    }

    #[test]
    fn values_are_found_by_their_path() {
        let text = r#"{"a": 1.50, "b": ["x", null, {"q": [1, 2]}, {"q": 3}], "c": {"d e": "y\"z"}, "n": null}"#;
        let cases = [
            ("$.a", Some("1.5")),
            ("$.b[0]", Some("x")),
            ("$.b[1]", Some("null")),
            ("$.b[*]", Some(r#"["x",null,{"q":[1,2]},{"q":3}]"#)),
            ("$.b[*].q", Some("[[1,2],3]")),
            ("$.b[2].q[*]", Some("[1,2]")),
            ("$['c']['d e']", Some("y\"z")),
            ("$.c", Some(r#"{"d e":"y\"z"}"#)),
            ("$.n", None),
            ("$.b[9]", None),
            ("$.a.x", None),
            ("a", None),
            ("$.", None),
            ("$.b[x]", None),
        ];
        for (path, expected) in cases {
            assert_eq!(get(text, path).as_deref(), expected, "{path}");
        }
        assert_eq!(get("[[1,[2]],[3]]", "$[*][*]").as_deref(), Some("[1,2,3]"));
        assert_eq!(get("[{\"a\":\"x\"}]", "$[*].a").as_deref(), Some("\"x\""));
        assert_eq!(get("{\"a\": 1, broken", "$.a"), None);
    }

    #[test]
    fn fields_names_and_lengths_are_those_of_the_root() {
        let mut document = Document::default();
        let text = r#"{"a": 1, "b": {"c": [ 1 ]}, "n": null, "s": "t"}"#;
        assert!(document.read(text));
        assert_eq!(document.keys(text).unwrap().collect::<Vec<_>>(), ["a", "b", "n", "s"]);
        let field = |name: &str| {
            let mut out = String::new();
            document.field(text, name, &mut out).then_some(out)
        };
        assert_eq!((field("b").as_deref(), field("s").as_deref()), (Some("{\"c\":[1]}"), Some("t")));
        assert_eq!((field("n"), field("zz"), document.array_length()), (None, None, None));
        assert!(document.read("[1,[2,3]]"));
        assert_eq!(document.array_length(), Some(2));
    }
}
