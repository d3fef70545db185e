//! One JSON document as a flat list of its values, read by the rules of Spark's parser (Jackson).
//!
//! A syntax error anywhere in the document fails it as a whole, text behind the document is not looked at. The tape holds
//! positions in the text, nothing is copied but strings with escapes. Not here: what a value means for a type (`convert`).

use super::options::Syntax;

/// Deepest nesting.
const DEPTH_MAX: usize = 1000;
/// Longest number, in characters.
const NUMBER_LENGTH_MAX: usize = 1000;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    True,
    False,
    /// A number without point and exponent.
    Integer,
    /// A number with point or exponent, or `NaN` and the like.
    Float,
    String,
    Object,
    Array,
}

/// A value or the name of a field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    pub kind: Kind,
    /// The string has escapes: `text` is a range of [`Tape::unescaped`].
    escaped: bool,
    /// Position of the first character, of a string its quote.
    start: u32,
    /// Position after the last character.
    end: u32,
    /// Text of a string, between the quotes.
    text: (u32, u32),
    /// Index of the node after this value and all that is in it.
    pub next: u32,
}

/// A document's values in order; a name stands before the value of its field.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    nodes: Vec<Node>,
    unescaped: String,
    open: Vec<Container>,
}

#[derive(Debug, Clone, Copy)]
struct Container {
    node: usize,
    object: bool,
}

/// The document does not follow JSON's grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SyntaxError;

impl Tape {
    /// Reads the document at the beginning of `source`; false if there is only blank space.
    pub fn read(&mut self, source: &str, syntax: &Syntax) -> Result<bool, SyntaxError> {
        self.nodes.clear();
        self.unescaped.clear();
        self.open.clear();
        if u32::try_from(source.len()).is_err() {
            return Err(SyntaxError);
        }
        Reader { bytes: source.as_bytes(), source, at: 0, syntax, tape: self }.document()
    }

    /// The node at an index; a null behind the end.
    pub fn node(&self, index: usize) -> Node {
        self.nodes.get(index).copied().unwrap_or(Node {
            kind: Kind::Null,
            escaped: false,
            start: 0,
            end: 0,
            text: (0, 0),
            next: u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1),
        })
    }

    /// The text of a string, without quotes and escapes.
    pub fn string<'a>(&'a self, node: &Node, source: &'a str) -> &'a str {
        let (start, end) = (node.text.0 as usize, node.text.1 as usize);
        let from = if node.escaped { self.unescaped.as_str() } else { source };
        from.get(start..end).unwrap_or_default()
    }

    /// The value as it stands in the document.
    pub fn raw<'a>(&self, node: &Node, source: &'a str) -> &'a str {
        source.get(node.start as usize..node.end as usize).unwrap_or_default()
    }

    /// Indexes of the elements of an array.
    pub fn elements(&self, array: usize) -> Elements<'_> {
        Elements { tape: self, at: array + 1, end: self.node(array).next as usize }
    }

    /// Indexes of the names and values of an object's fields.
    pub fn fields(&self, object: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let mut nodes = self.elements(object);
        std::iter::from_fn(move || Some((nodes.next()?, nodes.next()?)))
    }
}

/// See [`Tape::elements`].
pub(crate) struct Elements<'a> {
    tape: &'a Tape,
    at: usize,
    end: usize,
}

impl Iterator for Elements<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let at = self.at;
        if at >= self.end {
            return None;
        }
        self.at = self.tape.node(at).next as usize;
        Some(at)
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    source: &'a str,
    at: usize,
    syntax: &'a Syntax,
    tape: &'a mut Tape,
}

impl Reader<'_> {
    fn document(mut self) -> Result<bool, SyntaxError> {
        if self.source.starts_with('\u{feff}') {
            self.at = '\u{feff}'.len_utf8();
        }
        self.skip_blank()?;
        if self.peek().is_none() {
            return Ok(false);
        }
        self.value()?;
        while let Some(container) = self.tape.open.last().copied() {
            self.step(container)?;
        }
        Ok(true)
    }

    /// Reads the next field or element of the innermost open container, or closes it.
    fn step(&mut self, container: Container) -> Result<(), SyntaxError> {
        self.skip_blank()?;
        let first = self.tape.nodes.len() == container.node + 1;
        let close = if container.object { b'}' } else { b']' };
        if self.peek() == Some(close) {
            self.at += 1;
            return self.close(container);
        }
        if !first {
            self.expect(b',')?;
            self.skip_blank()?;
        }
        if container.object {
            self.name()?;
            self.skip_blank()?;
            self.expect(b':')?;
            self.skip_blank()?;
        }
        self.value()
    }

    fn close(&mut self, container: Container) -> Result<(), SyntaxError> {
        self.tape.open.pop();
        let next = self.tape.nodes.len() as u32;
        if let Some(node) = self.tape.nodes.get_mut(container.node) {
            (node.end, node.next) = (self.at as u32, next);
        }
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Result<(), SyntaxError> {
        if self.peek() != Some(byte) {
            return Err(SyntaxError);
        }
        self.at += 1;
        Ok(())
    }

    fn skip_blank(&mut self) -> Result<(), SyntaxError> {
        loop {
            match self.peek() {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(b'/') if self.syntax.comments => self.skip_comment()?,
                _ => return Ok(()),
            }
        }
    }

    fn skip_comment(&mut self) -> Result<(), SyntaxError> {
        let rest = self.bytes.get(self.at + 2..).unwrap_or_default();
        match self.bytes.get(self.at + 1) {
            Some(b'/') => self.at += 2 + memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len()),
            Some(b'*') => self.at += 4 + memchr::memmem::find(rest, b"*/").ok_or(SyntaxError)?,
            _ => return Err(SyntaxError),
        }
        Ok(())
    }

    fn push(&mut self, kind: Kind, start: usize) {
        let next = self.tape.nodes.len() as u32 + 1;
        let (start, end) = (start as u32, self.at as u32);
        self.tape.nodes.push(Node { kind, escaped: false, start, end, text: (start, end), next });
    }

    fn value(&mut self) -> Result<(), SyntaxError> {
        match self.peek().ok_or(SyntaxError)? {
            b'{' => self.open(Kind::Object),
            b'[' => self.open(Kind::Array),
            b'"' => self.string(b'"'),
            b'\'' if self.syntax.single_quotes => self.string(b'\''),
            b'-' | b'0'..=b'9' => self.number(),
            b'+' if self.syntax.non_numeric_numbers => self.word(),
            _ => self.word(),
        }
    }

    fn open(&mut self, kind: Kind) -> Result<(), SyntaxError> {
        if self.tape.open.len() >= DEPTH_MAX {
            return Err(SyntaxError);
        }
        self.at += 1;
        self.tape.open.push(Container { node: self.tape.nodes.len(), object: kind == Kind::Object });
        self.push(kind, self.at - 1);
        Ok(())
    }

    /// `true`, `false`, `null` and, if allowed, `NaN` and infinities.
    fn word(&mut self) -> Result<(), SyntaxError> {
        let start = self.at;
        let is_word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$' | b'+' | b'-') || *b >= 0x80;
        let rest = self.bytes.get(start..).unwrap_or_default();
        self.at += rest.iter().position(|b| !is_word(b)).unwrap_or(rest.len());
        let kind = match self.bytes.get(start..self.at).unwrap_or_default() {
            b"true" => Kind::True,
            b"false" => Kind::False,
            b"null" => Kind::Null,
            b"NaN" | b"Infinity" | b"+Infinity" | b"-Infinity" | b"INF" | b"+INF" | b"-INF"
                if self.syntax.non_numeric_numbers =>
            {
                Kind::Float
            }
            _ => return Err(SyntaxError),
        };
        self.push(kind, start);
        Ok(())
    }

    fn digits(&mut self) -> usize {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let count = rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
        self.at += count;
        count
    }

    fn number(&mut self) -> Result<(), SyntaxError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
            if self.peek() == Some(b'I') {
                self.at = start;
                return self.word();
            }
        }
        let first = self.at;
        let count = self.digits();
        let zeros = count > 1 && self.bytes.get(first) == Some(&b'0');
        if count == 0 || (zeros && !self.syntax.leading_zeros) {
            return Err(SyntaxError);
        }
        let mut kind = Kind::Integer;
        if self.peek() == Some(b'.') {
            self.at += 1;
            kind = Kind::Float;
            if self.digits() == 0 {
                return Err(SyntaxError);
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            kind = Kind::Float;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(SyntaxError);
            }
        }
        if self.at - start > NUMBER_LENGTH_MAX || self.peek().is_some_and(|b| b.is_ascii_alphanumeric()) {
            return Err(SyntaxError);
        }
        self.push(kind, start);
        Ok(())
    }

    fn name(&mut self) -> Result<(), SyntaxError> {
        match self.peek().ok_or(SyntaxError)? {
            b'"' => self.string(b'"'),
            b'\'' if self.syntax.single_quotes => self.string(b'\''),
            _ if self.syntax.unquoted_names => {
                let start = self.at;
                let is_name = |b: &u8| {
                    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$' | b'-' | b'@' | b'#' | b'*') || *b >= 0x80
                };
                let rest = self.bytes.get(start..).unwrap_or_default();
                self.at += rest.iter().position(|b| !is_name(b)).unwrap_or(rest.len());
                if self.at == start {
                    return Err(SyntaxError);
                }
                self.push(Kind::String, start);
                Ok(())
            }
            _ => Err(SyntaxError),
        }
    }

    fn string(&mut self, quote: u8) -> Result<(), SyntaxError> {
        let start = self.at;
        self.at += 1;
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = memchr::memchr2(quote, b'\\', rest).ok_or(SyntaxError)?;
        let plain = rest.get(..length).unwrap_or_default();
        if !self.syntax.control_characters && plain.iter().any(|b| *b < 0x20) {
            return Err(SyntaxError);
        }
        self.at += length;
        if self.peek() == Some(b'\\') {
            return self.escaped_string(quote, start);
        }
        self.at += 1;
        self.push(Kind::String, start);
        self.set_text(start + 1, self.at - 1, false);
        Ok(())
    }

    fn set_text(&mut self, start: usize, end: usize, escaped: bool) {
        if let Some(node) = self.tape.nodes.last_mut() {
            (node.text, node.escaped) = ((start as u32, end as u32), escaped);
        }
    }

    /// A string from its first escape on; `self.at` is at the backslash.
    fn escaped_string(&mut self, quote: u8, start: usize) -> Result<(), SyntaxError> {
        let text_start = self.tape.unescaped.len();
        let mut run = start + 1;
        loop {
            let byte = self.peek().ok_or(SyntaxError)?;
            if byte != quote && byte != b'\\' {
                if byte < 0x20 && !self.syntax.control_characters {
                    return Err(SyntaxError);
                }
                self.at += 1;
                continue;
            }
            self.tape.unescaped.push_str(self.source.get(run..self.at).ok_or(SyntaxError)?);
            self.at += 1;
            if byte == quote {
                break;
            }
            let character = self.escape()?;
            self.tape.unescaped.push(character);
            run = self.at;
        }
        self.push(Kind::String, start);
        self.set_text(text_start, self.tape.unescaped.len(), true);
        Ok(())
    }

    /// The character of an escape; `self.at` is behind the backslash.
    fn escape(&mut self) -> Result<char, SyntaxError> {
        let character = self.source.get(self.at..).and_then(|rest| rest.chars().next()).ok_or(SyntaxError)?;
        self.at += character.len_utf8();
        Ok(match character {
            '"' | '\\' | '/' => character,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.unicode_escape(),
            '\'' if self.syntax.single_quotes => '\'',
            other if self.syntax.any_escape => other,
            _ => return Err(SyntaxError),
        })
    }

    fn hex(&mut self) -> Result<u32, SyntaxError> {
        let digits = self.source.get(self.at..self.at + 4).ok_or(SyntaxError)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(SyntaxError);
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| SyntaxError)
    }

    fn unicode_escape(&mut self) -> Result<char, SyntaxError> {
        let unit = self.hex()?;
        if (0xd800..0xdc00).contains(&unit) && self.source.get(self.at..).is_some_and(|rest| rest.starts_with("\\u")) {
            let before = self.at;
            self.at += 2;
            let low = self.hex()?;
            if (0xdc00..0xe000).contains(&low) {
                let code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                return char::from_u32(code).ok_or(SyntaxError);
            }
            self.at = before;
        }
        // Half of a pair: Java keeps it and writes `?`.
        Ok(char::from_u32(unit).unwrap_or('?'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, syntax: &Syntax) -> Result<Vec<String>, SyntaxError> {
        let mut tape = Tape::default();
        tape.read(text, syntax)?;
        let show = |n: &Node| match n.kind {
            Kind::String => format!("'{}'", tape.string(n, text)),
            _ => tape.raw(n, text).to_string(),
        };
        Ok(tape.nodes.iter().map(show).collect())
    }

    #[test]
    fn a_document_becomes_its_values_in_order_and_what_follows_is_ignored() {
        let nodes = read(r#" {"a": [1, -2.5e3], "b" : "x\"\u00e9\ud83d\ude00"} trailing"#, &Syntax::default()).unwrap();
        assert_eq!(nodes[1..], ["'a'", "[1, -2.5e3]", "1", "-2.5e3", "'b'", "'x\"é😀'"]);
    }

    #[test]
    fn what_json_forbids_is_an_error_unless_allowed() {
        let strict = Syntax { single_quotes: false, non_numeric_numbers: false, ..Syntax::default() };
        let lenient = Syntax {
            comments: true,
            unquoted_names: true,
            leading_zeros: true,
            any_escape: true,
            control_characters: true,
            ..Syntax::default()
        };
        for text in
            ["{'a':1}", "{a:1}", "[007]", "[NaN]", r#"["\q"]"#, "[\"\t\"]", "[1 /* x */]", "[-Infinity]", "// x\n[1]"]
        {
            assert_eq!(read(text, &strict).err(), Some(SyntaxError), "{text}");
            assert!(read(text, &lenient).is_ok(), "{text}");
        }
        for text in ["{", "[1,]", "{\"a\"}", "tru", "01x", "1.", "-", "\"", "[1 2]", "{,}", "1e", "\"\\u12\"", "}"] {
            assert_eq!(read(text, &lenient).err(), Some(SyntaxError), "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        assert!(read(&"[".repeat(1_000_000), &Syntax::default()).is_err());
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        assert!(read(&deep, &Syntax::default()).is_ok());
    }
}
