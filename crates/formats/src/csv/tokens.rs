//! A record cut into its values.
//!
//! Reading follows univocity's parser state by state, because what it makes of quotes in odd places is visible: a quoted value
//! with a quote in its middle is taken as it stands up to the next separator, its first quote included.

use super::options::{CsvReadOptions, Dialect};

/// What a value was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    Text,
    /// Nothing between separators.
    Missing,
    /// Two quotes.
    Empty,
}

/// The values of a record.
#[derive(Debug, Default)]
pub struct Tokens {
    text: String,
    values: Vec<(usize, Value)>,
}

impl Tokens {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// A value; `missing` and `empty` stand in where there is nothing, or nothing between quotes. None behind the last.
    pub fn get<'a>(&'a self, index: usize, missing: &'a str, empty: &'a str) -> Option<&'a str> {
        let (end, value) = *self.values.get(index)?;
        let start = index.checked_sub(1).and_then(|before| self.values.get(before)).map_or(0, |(end, _)| *end);
        Some(match value {
            Value::Text => self.text.get(start..end).unwrap_or_default(),
            Value::Missing => missing,
            Value::Empty => empty,
        })
    }

    /// Bytes of the longest value.
    pub(crate) fn longest(&self) -> usize {
        let mut start = 0;
        self.values.iter().map(|(end, _)| end - std::mem::replace(&mut start, *end)).max().unwrap_or(0)
    }

    fn clear(&mut self) {
        self.text.clear();
        self.values.clear();
    }

    fn close(&mut self, value: Value) {
        self.values.push((self.text.len(), value));
    }

    fn start(&self) -> usize {
        self.values.last().map_or(0, |(end, _)| *end)
    }
}

/// Cuts records of one dialect.
#[derive(Debug)]
pub struct Tokenizer<'o> {
    dialect: &'o Dialect,
}

impl<'o> Tokenizer<'o> {
    /// A tokenizer by these options.
    pub fn new(options: &'o CsvReadOptions) -> Self {
        Self { dialect: &options.dialect }
    }

    /// Whether a line is none: blank, or a comment.
    pub fn skips(&self, line: &str) -> bool {
        line.chars().all(|c| c <= ' ') || self.dialect.comment.is_some_and(|comment| line.starts_with(comment))
    }

    /// Cuts a line.
    pub fn line(&self, line: &str, tokens: &mut Tokens) {
        tokens.clear();
        Cutter { text: line, at: 0, dialect: self.dialect, tokens, multi_line: false }.record();
    }

    /// Cuts the record that begins at `at` of a whole file, in which values in quotes may span lines, and moves on to the next;
    /// false if there is none.
    pub fn next(&self, text: &str, at: &mut usize, tokens: &mut Tokens) -> bool {
        loop {
            let rest = text.get(*at..).unwrap_or_default();
            if rest.is_empty() {
                return false;
            }
            let length = line_length(rest);
            let line = rest.get(..length).unwrap_or(rest);
            if !line.is_empty() && !self.dialect.comment.is_some_and(|comment| line.starts_with(comment)) {
                break;
            }
            *at += length + end_length(rest.get(length..).unwrap_or_default());
        }
        tokens.clear();
        let mut cutter = Cutter { text, at: *at, dialect: self.dialect, tokens, multi_line: true };
        cutter.record();
        *at = cutter.at;
        *at += end_length(text.get(*at..).unwrap_or_default());
        true
    }
}

/// Characters up to the end of a line.
fn line_length(text: &str) -> usize {
    memchr::memchr2(b'\n', b'\r', text.as_bytes()).unwrap_or(text.len())
}

/// Length of the line end at the beginning.
fn end_length(text: &str) -> usize {
    if text.starts_with("\r\n") { 2 } else { usize::from(text.starts_with(['\n', '\r'])) }
}

struct Cutter<'a> {
    text: &'a str,
    at: usize,
    dialect: &'a Dialect,
    tokens: &'a mut Tokens,
    /// Line ends end records; else the text is one record.
    multi_line: bool,
}

impl<'a> Cutter<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn at_line_end(&self) -> bool {
        self.multi_line && self.rest().starts_with(['\n', '\r'])
    }

    /// At the end of a value: at a separator, a line end or the end of the text.
    fn at_end(&self) -> bool {
        self.at >= self.text.len() || self.at_line_end() || self.rest().starts_with(self.dialect.separator.as_str())
    }

    fn record(&mut self) {
        loop {
            self.value();
            if self.rest().starts_with(self.dialect.separator.as_str()) {
                self.at += self.dialect.separator.len();
                continue;
            }
            return;
        }
    }

    fn value(&mut self) {
        if self.dialect.trim_leading {
            self.skip_blanks();
        }
        match self.dialect.quote {
            Some(quote) if self.peek() == Some(quote) => self.quoted(quote),
            _ => self.plain(),
        }
    }

    fn skip_blanks(&mut self) {
        while !self.at_end()
            && let Some(blank) = self.peek().filter(|c| *c <= ' ')
        {
            self.at += blank.len_utf8();
        }
    }

    /// Text up to the end of the value.
    fn until_end(&mut self) -> &'a str {
        let rest = self.rest();
        let separator = memchr::memmem::find(rest.as_bytes(), self.dialect.separator.as_bytes()).unwrap_or(rest.len());
        let head = rest.get(..separator).unwrap_or(rest);
        let length = if self.multi_line { line_length(head) } else { head.len() };
        self.at += length;
        rest.get(..length).unwrap_or(rest)
    }

    fn plain(&mut self) {
        let mut text = self.until_end();
        if self.dialect.trim_trailing {
            text = text.trim_end_matches(|c: char| c <= ' ');
        }
        self.tokens.text.push_str(text);
        self.tokens.close(if text.is_empty() { Value::Missing } else { Value::Text });
    }

    /// A value in quotes; `self.at` is at the first one.
    fn quoted(&mut self, quote: char) {
        let begin = self.tokens.start();
        self.at += quote.len_utf8();
        let escape = self.dialect.escape;
        // The character before, as far as it may have a meaning for the next.
        let mut previous = None;
        loop {
            let closed = previous == Some(quote);
            if closed && (self.at_end() || self.peek().is_some_and(|c| c <= ' ')) {
                break;
            }
            let Some(character) = self.peek() else {
                // The text ends within the quotes.
                self.flush_previous(previous, quote);
                return self.close_quoted(begin);
            };
            if character != quote && Some(character) != escape {
                if closed {
                    return self.unescaped(begin, quote);
                }
                self.flush_previous(previous, quote);
                previous = None;
                self.copy_run(quote);
                continue;
            }
            previous = self.quote_or_escape(character, previous, quote);
            self.at += character.len_utf8();
        }
        self.after_quotes(begin, quote);
    }

    /// Text up to the next quote or escape.
    fn copy_run(&mut self, quote: char) {
        let rest = self.rest();
        let special = |c: char| c == quote || Some(c) == self.dialect.escape || Some(c) == self.dialect.escape_escape;
        let length = rest.find(special).unwrap_or(rest.len()).max(rest.chars().next().map_or(0, char::len_utf8));
        self.tokens.text.push_str(rest.get(..length).unwrap_or(rest));
        self.at += length;
    }

    /// An escape character that escaped nothing stands for itself.
    fn flush_previous(&mut self, previous: Option<char>, quote: char) {
        if let Some(escape) = previous.filter(|p| Some(*p) == self.dialect.escape && *p != quote) {
            self.tokens.text.push(escape);
        }
    }

    /// Takes a quote or an escape in; gives what it means for the next character.
    fn quote_or_escape(&mut self, character: char, previous: Option<char>, quote: char) -> Option<char> {
        let (escape, escape_escape) = (self.dialect.escape, self.dialect.escape_escape);
        if Some(character) == escape && previous.is_some() && previous == escape_escape {
            self.tokens.text.push(character);
            return None;
        }
        if previous.is_some() && previous == escape && previous != Some(quote) {
            if character == quote {
                self.tokens.text.push(quote);
                return None;
            }
            self.tokens.text.extend(previous);
        } else if character == quote && previous == Some(quote) {
            self.tokens.text.push(quote);
            // Doubled quotes are one where the quote is its own escape, and two odd ones else.
            return if escape == Some(quote) { None } else { Some(quote) };
        }
        Some(character)
    }

    /// A quote in the middle of a quoted value: the value is what stands there, up to its end.
    fn unescaped(&mut self, begin: usize, quote: char) {
        self.tokens.text.push(quote);
        self.tokens.text.insert(begin, quote);
        let rest = self.until_end();
        let rest = if self.dialect.trim_trailing { rest.trim_end_matches(|c: char| c <= ' ') } else { rest };
        self.tokens.text.push_str(rest);
        self.tokens.close(Value::Text);
    }

    /// Behind the closing quote only blanks may follow; anything else makes the quote one in the middle.
    fn after_quotes(&mut self, begin: usize, quote: char) {
        let before = self.at;
        self.skip_blanks();
        if self.at_end() {
            return self.close_quoted(begin);
        }
        self.at = before;
        self.unescaped(begin, quote);
    }

    fn close_quoted(&mut self, begin: usize) {
        let empty = self.tokens.text.len() == begin;
        self.tokens.close(if empty { Value::Empty } else { Value::Text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use crate::record::Settings;
    use crate::zone::Zone;

    fn options(pairs: &[(&str, &str)]) -> CsvReadOptions {
        let options: Options = pairs.iter().copied().collect();
        CsvReadOptions::parse(&options, &Settings::new(Zone::UTC)).unwrap()
    }

    fn all(tokens: &Tokens) -> Vec<String> {
        (0..tokens.len()).map(|i| tokens.get(i, "<missing>", "<empty>").unwrap().to_string()).collect()
    }

    fn cut(pairs: &[(&str, &str)], line: &str) -> Vec<String> {
        let options = options(pairs);
        let mut tokens = Tokens::default();
        Tokenizer::new(&options).line(line, &mut tokens);
        all(&tokens)
    }

    #[test]
    fn values_are_cut_at_separators_outside_of_quotes() {
        assert_eq!(
            cut(&[], r#"1,plain, x ,"quo,ted","",,"#),
            ["1", "plain", " x ", "quo,ted", "<empty>", "<missing>", "<missing>"]
        );
        assert_eq!(cut(&[("sep", "||")], "a||b|c"), ["a", "b|c"]);
        let trim =
            [("ignoreLeadingWhiteSpace", "true"), ("ignoreTrailingWhiteSpace", "true"), ("sep", "|"), ("quote", "'")];
        assert_eq!(cut(&trim, r#"x | y | 'q|q' |''| "d""#), ["x", "y", "q|q", "<empty>", "\"d\""]);
    }

    #[test]
    fn escapes_and_odd_quotes_are_read_as_sparks_parser_reads_them() {
        assert_eq!(cut(&[], r#"3,"a ""b"" c",x"#), ["3", r#""a ""b"" c""#, "x"]);
        assert_eq!(cut(&[], r#""a \"b\" c",x"#), [r#"a "b" c"#, "x"]);
        assert_eq!(cut(&[("escape", "\"")], r#""a ""b"" c",x"#), [r#"a "b" c"#, "x"]);
        assert_eq!(cut(&[], r#""back\\slash","c:\dir""#), [r"back\slash", r"c:\dir"]);
        assert_eq!(cut(&[], r#""open,x,2"#), ["open,x,2"]);
        assert_eq!(cut(&[("quote", "'")], r"'it\'s',b"), ["it's", "b"]);
        assert_eq!(cut(&[("quote", "")], r#""a,b""#), ["\"a", "b\""]);
    }

    #[test]
    fn values_in_quotes_may_span_lines_of_a_whole_file() {
        let options = options(&[("multiLine", "true"), ("comment", "#")]);
        let tokenizer = Tokenizer::new(&options);
        let (text, mut at, mut tokens) = ("a,\"x\ny\"\r\n\n#no\nb,2\n", 0, Tokens::default());
        let mut records = Vec::new();
        while tokenizer.next(text, &mut at, &mut tokens) {
            records.push(all(&tokens));
        }
        assert_eq!(records, [["a", "x\ny"], ["b", "2"]]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_odd(text in "[a\"\\\\,\n\r é#' ]{0,30}") {
            let options = options(&[("comment", "#"), ("ignoreLeadingWhiteSpace", "true")]);
            let tokenizer = Tokenizer::new(&options);
            let (mut at, mut tokens) = (0, Tokens::default());
            tokenizer.line(&text, &mut tokens);
            proptest::prop_assert!(!tokens.is_empty());
            let mut records = 0;
            while tokenizer.next(&text, &mut at, &mut tokens) {
                records += 1;
                proptest::prop_assert!(records <= text.len() + 1, "no progress");
            }
        }
    }
}
