//! Words and symbols of Spark's SQL.
//!
//! A token knows where in the text it stands, so that errors can point at it and commands can take text as it was
//! written. Keywords are no kind of their own: Spark reserves next to nothing, so a word is a keyword only where the
//! grammar has room for one.

/// A token and its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Byte offset of its first character.
    pub start: usize,
    /// Byte offset behind its last character.
    pub end: usize,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    /// A name or keyword without quotes.
    Word,
    /// A name in back-quotes, without them.
    Quoted(String),
    /// A string constant, its escapes undone.
    String(String),
    /// A number with its suffix, without sign.
    Number,
    /// An operator or bracket. `>` is always alone (`>>` also closes two types), `/*+` begins a hint.
    Symbol(&'static str),
    /// A character or unclosed quote that starts no token: an error where the parser meets it.
    Unknown,
    /// The end of the text.
    End,
}
