//! The cursor over the tokens: looking ahead, taking, naming what was expected; and names.
//!
//! Each rule of the grammar is a method of [`Parser`] in the file of its subject. Rules decide by looking ahead and never
//! go back, so that time is linear in the length of the text.

use std::collections::BTreeMap;

use millstream_formats::condition::SparkError;

use super::error;
use super::function::Windows;
use super::lexer::tokenize;
use super::token::{Token, TokenKind};
use crate::ir;

/// Levels of nesting, the links of a chain such as `a + b + c` counted too: later stages walk the tree by recursion.
const NESTING_MAX: usize = 500;
/// Stack that is left free when a rule nests, and what is added if less is.
const STACK_RED_ZONE_BYTES: usize = 128 * 1024;
const STACK_GROWTH_BYTES: usize = 2 * 1024 * 1024;

/// What a rule gives.
pub(super) type Parsed<T> = Result<T, SparkError>;

/// Values for the parameters of a text: `:name` and `?`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parameters {
    /// By name.
    pub named: BTreeMap<String, ir::Expr>,
    /// By position.
    pub positional: Vec<ir::Expr>,
}

/// A cursor over the tokens of one text.
pub(super) struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    /// For each `(`, the index of the `)` that closes it.
    closing: BTreeMap<usize, usize>,
    at: usize,
    depth: usize,
    pub(super) parameters: Option<&'a Parameters>,
    /// How many `?` have been met.
    pub(super) positions_seen: usize,
    /// Windows that the query around defines.
    pub(super) windows: Windows,
}

impl<'a> Parser<'a> {
    /// A cursor at the start of `text`.
    pub(super) fn new(text: &'a str, parameters: Option<&'a Parameters>) -> Parsed<Self> {
        let tokens = tokenize(text)?;
        let closing = matching_parentheses(&tokens);
        Ok(Self { text, tokens, closing, at: 0, depth: 0, parameters, positions_seen: 0, windows: Windows::new() })
    }

    /// Applies `rule` to the whole text.
    pub(super) fn whole<T>(
        text: &'a str,
        parameters: Option<&'a Parameters>,
        rule: impl FnOnce(&mut Self) -> Parsed<T>,
    ) -> Parsed<T> {
        let mut parser = Self::new(text, parameters)?;
        let value = rule(&mut parser)?;
        parser.expect_end()?;
        Ok(value)
    }

    /// Runs a rule that may contain itself, within the limit of nesting and of the stack.
    pub(super) fn nested<T>(&mut self, rule: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.check_depth(1)?;
        self.depth += 1;
        let value = stacker::maybe_grow(STACK_RED_ZONE_BYTES, STACK_GROWTH_BYTES, || rule(self));
        self.depth -= 1;
        value
    }

    /// Fails if a chain of `links` makes the tree too deep here.
    pub(super) fn check_depth(&self, links: usize) -> Parsed<()> {
        if self.depth + links > NESTING_MAX { Err(error::too_complex()) } else { Ok(()) }
    }

    // Where we are.

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// Index of the next token; see [`Self::slice_from`].
    pub(super) fn mark(&self) -> usize {
        self.at
    }

    /// Goes back to a mark.
    pub(super) fn rewind(&mut self, mark: usize) {
        self.at = mark;
    }

    /// Whether what was taken since `mark` is one row of several values, `(a, b)`.
    pub(super) fn is_row_since(&self, mark: usize) -> bool {
        let Some(&close) = self.closing.get(&mark) else { return false };
        let mut at = mark + 1;
        while at < close && close + 1 == self.at {
            match self.tokens.get(at).map(|t| &t.kind) {
                Some(TokenKind::Symbol("(")) => at = self.closing.get(&at).copied().unwrap_or(at),
                Some(TokenKind::Symbol(",")) => return true,
                _ => {}
            }
            at += 1;
        }
        false
    }

    /// The text from token `mark` to the last one taken.
    pub(super) fn slice_from(&self, mark: usize) -> &'a str {
        let (start, end) = self.span_from(mark);
        self.text.get(start..end).unwrap_or("")
    }

    fn span_from(&self, mark: usize) -> (usize, usize) {
        let start = self.tokens.get(mark).map_or(self.text.len(), |t| t.start);
        let end = self.at.checked_sub(1).and_then(|last| self.tokens.get(last)).map_or(start, |t| t.end);
        (start, end.max(start))
    }

    /// Byte offset where the next token starts.
    pub(super) fn offset(&self) -> usize {
        self.tokens.get(self.at).map_or(self.text.len(), |t| t.start)
    }

    /// Goes on at the first token that starts at or behind a byte offset.
    pub(super) fn skip_to(&mut self, offset: usize) {
        while self.tokens.get(self.at).is_some_and(|t| t.start < offset && t.kind != TokenKind::End) {
            self.at += 1;
        }
    }

    // Looking.

    /// The token `ahead` of the next one; the last one stands for all behind it.
    pub(super) fn token(&self, ahead: usize) -> &Token {
        static END: Token = Token { kind: TokenKind::End, start: usize::MAX, end: usize::MAX };
        self.tokens.get(self.at + ahead).or(self.tokens.last()).unwrap_or(&END)
    }

    pub(super) fn kind(&self, ahead: usize) -> &TokenKind {
        &self.token(ahead).kind
    }

    /// The text of a token.
    pub(super) fn token_text(&self, ahead: usize) -> &'a str {
        let token = self.token(ahead);
        self.text.get(token.start..token.end).unwrap_or("")
    }

    /// Whether a token is this keyword.
    pub(super) fn is_word_at(&self, ahead: usize, keyword: &str) -> bool {
        *self.kind(ahead) == TokenKind::Word && self.token_text(ahead).eq_ignore_ascii_case(keyword)
    }

    pub(super) fn is_one_of_at(&self, ahead: usize, keywords: &[&str]) -> bool {
        *self.kind(ahead) == TokenKind::Word && keywords.iter().any(|k| self.token_text(ahead).eq_ignore_ascii_case(k))
    }

    pub(super) fn is_symbol_at(&self, ahead: usize, symbol: &str) -> bool {
        matches!(self.kind(ahead), TokenKind::Symbol(s) if *s == symbol)
    }

    /// Whether the next tokens are these keywords.
    pub(super) fn is(&self, keywords: &[&str]) -> bool {
        keywords.iter().enumerate().all(|(i, k)| self.is_word_at(i, k))
    }

    pub(super) fn is_symbol(&self, symbol: &str) -> bool {
        self.is_symbol_at(0, symbol)
    }

    /// Whether a token can be a name.
    pub(super) fn is_name_at(&self, ahead: usize) -> bool {
        matches!(self.kind(ahead), TokenKind::Word | TokenKind::Quoted(_))
    }

    pub(super) fn is_string_at(&self, ahead: usize) -> bool {
        matches!(self.kind(ahead), TokenKind::String(_))
    }

    pub(super) fn is_end(&self) -> bool {
        *self.kind(0) == TokenKind::End
    }

    /// How far ahead the `)` stands that closes the `(` that is `ahead`.
    pub(super) fn closing(&self, ahead: usize) -> Option<usize> {
        self.closing.get(&(self.at + ahead)).map(|close| close - self.at)
    }

    // Taking.

    pub(super) fn advance(&mut self) {
        if !self.is_end() {
            self.at += 1;
        }
    }

    /// Takes these keywords if they come next.
    pub(super) fn eat(&mut self, keywords: &[&str]) -> bool {
        let found = self.is(keywords);
        if found {
            self.at += keywords.len();
        }
        found
    }

    /// Takes one of these keywords, and says which.
    pub(super) fn eat_one_of<'k>(&mut self, keywords: &[&'k str]) -> Option<&'k str> {
        let found = keywords.iter().find(|k| self.is_word_at(0, k)).copied();
        if found.is_some() {
            self.at += 1;
        }
        found
    }

    pub(super) fn eat_symbol(&mut self, symbol: &str) -> bool {
        let found = self.is_symbol(symbol);
        if found {
            self.at += 1;
        }
        found
    }

    pub(super) fn expect(&mut self, keywords: &[&str]) -> Parsed<()> {
        for keyword in keywords {
            if !self.eat(&[keyword]) {
                return Err(self.unexpected());
            }
        }
        Ok(())
    }

    pub(super) fn expect_symbol(&mut self, symbol: &str) -> Parsed<()> {
        if self.eat_symbol(symbol) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Nothing more may follow.
    pub(super) fn expect_end(&self) -> Parsed<()> {
        if self.is_end() {
            return Ok(());
        }
        let hint = match self.kind(1) {
            TokenKind::End => format!(": extra input '{}'", self.token_text(0)),
            _ => String::new(),
        };
        let token = self.token(0);
        Err(error::syntax(self.text, token.start, token.end, &hint))
    }

    // Saying what is wrong.

    /// The next token has no place here.
    pub(super) fn unexpected(&self) -> SparkError {
        let token = self.token(0);
        error::syntax(self.text, token.start, token.end, "")
    }

    /// What was taken since `mark` means nothing.
    pub(super) fn invalid(&self, mark: usize, condition: &str, state: &str, sentence: impl Into<String>) -> SparkError {
        let (start, end) = self.span_from(mark);
        error::invalid(self.text, start, end, condition, state, sentence)
    }

    /// The lines of what was taken since `mark`, marked.
    pub(super) fn fragment_from(&self, mark: usize) -> String {
        let (start, end) = self.span_from(mark);
        error::fragment(self.text, start, end)
    }

    // Lists and names.

    /// One or more, between commas.
    pub(super) fn comma_list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.eat_symbol(",") {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// One or more, between commas, in parentheses.
    pub(super) fn parenthesised_list<T>(&mut self, item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        self.expect_symbol("(")?;
        let items = self.comma_list(item)?;
        self.expect_symbol(")")?;
        Ok(items)
    }

    /// A name, with or without quotes. One with a hyphen in it needs quotes.
    pub(super) fn name(&mut self) -> Parsed<String> {
        let mark = self.mark();
        let name = match self.kind(0) {
            TokenKind::Word => self.token_text(0).to_string(),
            TokenKind::Quoted(name) => name.clone(),
            _ => return Err(self.unexpected()),
        };
        self.advance();
        if !name.is_ascii() && self.is_plain_word(mark) {
            return Err(self.invalid_identifier(mark, &name));
        }
        Ok(name)
    }

    fn is_plain_word(&self, mark: usize) -> bool {
        self.tokens.get(mark).is_some_and(|t| t.kind == TokenKind::Word)
    }

    fn invalid_identifier(&self, mark: usize, name: &str) -> SparkError {
        let sentence = format!(
            "The unquoted identifier {name} is invalid and must be back quoted as: `{name}`.\nUnquoted identifiers can only contain ASCII letters \
             ('a' - 'z', 'A' - 'Z'), digits ('0' - '9'), and underbar ('_').\nUnquoted identifiers must also not start with a digit.\nDifferent \
             data sources and meta stores may impose additional restrictions on valid identifiers."
        );
        self.invalid(mark, "INVALID_IDENTIFIER", "42602", sentence).with("ident", name)
    }

    /// A name where no expression could stand, so that a hyphen in it is an error that can be named.
    pub(super) fn plain_name(&mut self) -> Parsed<String> {
        let mark = self.mark();
        let name = self.name()?;
        if self.is_symbol("-") && self.is_name_at(1) {
            while self.is_symbol("-") && self.is_name_at(1) {
                self.advance();
                self.advance();
            }
            let whole = self.slice_from(mark).to_string();
            return Err(self.invalid_identifier(mark, &whole));
        }
        Ok(name)
    }

    /// `a.b.c`.
    pub(super) fn multipart_name(&mut self) -> Parsed<Vec<String>> {
        let mut parts = vec![self.plain_name()?];
        while self.eat_symbol(".") {
            parts.push(self.plain_name()?);
        }
        Ok(parts)
    }

    /// `(a, b)`, or nothing.
    pub(super) fn optional_names(&mut self) -> Parsed<Vec<String>> {
        if self.is_symbol("(") { self.parenthesised_list(Self::plain_name) } else { Ok(Vec::new()) }
    }

    /// A string, or several that become one.
    pub(super) fn string(&mut self) -> Parsed<String> {
        let mut text = match self.kind(0) {
            TokenKind::String(text) => text.clone(),
            _ => return Err(self.unexpected()),
        };
        self.advance();
        while let TokenKind::String(more) = self.kind(0) {
            text.push_str(more);
            self.at += 1;
        }
        Ok(text)
    }

    /// A whole number without suffix.
    pub(super) fn integer(&mut self) -> Parsed<i64> {
        if *self.kind(0) != TokenKind::Number {
            return Err(self.unexpected());
        }
        let value = self.token_text(0).parse().map_err(|_| self.unexpected())?;
        self.advance();
        Ok(value)
    }
}

fn matching_parentheses(tokens: &[Token]) -> BTreeMap<usize, usize> {
    let mut open = Vec::new();
    let mut closing = BTreeMap::new();
    for (i, token) in tokens.iter().enumerate() {
        match token.kind {
            TokenKind::Symbol("(") => open.push(i),
            TokenKind::Symbol(")") => {
                if let Some(start) = open.pop() {
                    closing.insert(start, i);
                }
            }
            _ => {}
        }
    }
    closing
}
