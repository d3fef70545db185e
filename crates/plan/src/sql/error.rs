//! Parse errors and the place in the text they point at.

use std::fmt::Write;

use millstream_formats::condition::{ExceptionClass, SparkError};

/// Text that is kept on each side of a marked piece.
const CONTEXT_CHARS_MAX: usize = 32;

/// `PARSE_SYNTAX_ERROR` at the token from `start` to `end`; blank text is `PARSE_EMPTY_STATEMENT`.
pub(super) fn syntax(text: &str, start: usize, end: usize, hint: &str) -> SparkError {
    let error = if text.trim().is_empty() {
        SparkError::new(
            ExceptionClass::Parse,
            "PARSE_EMPTY_STATEMENT",
            "42617",
            "Syntax error, unexpected empty statement.",
        )
    } else {
        let found = match text.get(start..end) {
            Some(token) if !token.is_empty() => format!("'{token}'"),
            _ => "end of input".to_string(),
        };
        let sentence = format!("Syntax error at or near {found}{hint}.");
        SparkError::new(ExceptionClass::Parse, "PARSE_SYNTAX_ERROR", "42601", sentence)
            .with("error", found)
            .with("hint", hint)
    };
    error.at(position(text, start))
}

/// ` (line 1, pos 3)` and the text with a mark under the place.
fn position(text: &str, at: usize) -> String {
    let (line, column) = line_and_column(text, at);
    let mut shown = format!(" (line {line}, pos {column})\n\n== SQL ==\n");
    let mut lines = text.split('\n');
    for above in lines.by_ref().take(line) {
        shown.push_str(above);
        shown.push('\n');
    }
    let _ = writeln!(shown, "{}^^^", "-".repeat(column));
    for below in lines {
        shown.push_str(below);
        shown.push('\n');
    }
    shown
}

/// A [`ExceptionClass::Parse`] error about the piece of text from `start` to `end`.
pub(super) fn invalid(
    text: &str,
    start: usize,
    end: usize,
    condition: &str,
    state: &str,
    sentence: impl Into<String>,
) -> SparkError {
    SparkError::new(ExceptionClass::Parse, condition, state, sentence).at(fragment(text, start, end))
}

/// The lines of a piece of text with marks under it.
pub(super) fn fragment(text: &str, start: usize, end: usize) -> String {
    let (line, column) = line_and_column(text, start);
    let before = text.get(..start).unwrap_or("");
    let before = before.rsplit('\n').next().unwrap_or("");
    let after = text.get(end..).unwrap_or("");
    let after = after.split('\n').next().unwrap_or("");
    let left_cut = before.chars().count().saturating_sub(CONTEXT_CHARS_MAX);
    let left: String = before.chars().skip(left_cut).collect();
    let right: String = after.chars().take(CONTEXT_CHARS_MAX).collect();
    let dots = |cut: bool| if cut { "..." } else { "" };
    let lead = format!("{}{left}", dots(left_cut > 0));
    let tail = format!("{right}{}", dots(right.len() < after.len()));

    let mut shown = format!("\n== SQL (line {line}, position {}) ==\n", column + 1);
    let marked = text.get(start..end).unwrap_or("");
    let count = marked.split('\n').count();
    for (i, piece) in marked.split('\n').enumerate() {
        let lead = if i == 0 { lead.as_str() } else { "" };
        let tail = if i + 1 == count { tail.as_str() } else { "" };
        let marks = "^".repeat(piece.chars().count());
        let _ = writeln!(shown, "{lead}{piece}{tail}\n{}{marks}", " ".repeat(lead.chars().count()));
    }
    shown
}

/// Line from 1 and column from 0, in characters.
fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count());
    (line, column)
}

/// The text nests deeper than any program needs.
pub(super) fn too_complex() -> SparkError {
    let sentence = "The statement, including potential SQL functions and referenced views, was too complex to parse. \
                    To mitigate this error divide the statement into multiple, less complex chunks.";
    SparkError::new(ExceptionClass::Parse, "FAILED_TO_PARSE_TOO_COMPLEX", "54001", sentence)
}
