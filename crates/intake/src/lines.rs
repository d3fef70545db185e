//! Cuts a stream of bytes into whole lines.
//!
//! A line ends with `\n`, `\r` or `\r\n`, wherever the chunks were cut; here each ends with one `\n`. What is not UTF-8 is replaced by
//! U+FFFD. Text that is fine already is looked at but not rewritten.

use memchr::{memchr, memchr_iter, memrchr, memrchr2};

/// Whole lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lines {
    text: Vec<u8>,
    count: u64,
}

impl Lines {
    /// Lines of a text, each ended by `\n`, `\r` or `\r\n`; what follows the last end is a line, too.
    pub fn from_text(text: &[u8]) -> Self {
        let mut cutter = LineCutter::default();
        let mut lines = cutter.cut(text);
        lines.append(cutter.finish());
        lines
    }

    /// UTF-8; every line, also the last, ends with one `\n`.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// As [`Lines::text`].
    pub fn into_text(self) -> Vec<u8> {
        self.text
    }

    /// Number of lines.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Adds further lines.
    pub fn append(&mut self, mut more: Lines) {
        if self.text.is_empty() {
            *self = more;
        } else {
            self.text.append(&mut more.text);
            self.count += more.count;
        }
    }

    /// Keeps the first `count` lines and gives the others.
    #[must_use]
    pub fn split_off(&mut self, count: u64) -> Lines {
        let nth = usize::try_from(count).unwrap_or(usize::MAX);
        let end = if nth == 0 { Some(0) } else { memchr_iter(b'\n', &self.text).nth(nth - 1).map(|at| at + 1) };
        let Some(end) = end else { return Lines::default() };
        let rest = Lines { text: self.text.split_off(end), count: self.count - count };
        self.count = count;
        rest
    }
}

/// Keeps what is needed from chunk to chunk.
#[derive(Debug, Default)]
pub struct LineCutter {
    /// The beginning of a line whose end has not come.
    carry: Vec<u8>,
    /// The last chunk ended with `\r`: a `\n` that follows belongs to it.
    after_carriage_return: bool,
}

impl LineCutter {
    /// The lines that `chunk` completes.
    pub fn cut(&mut self, mut chunk: &[u8]) -> Lines {
        if chunk.is_empty() {
            return Lines::default();
        }
        if std::mem::take(&mut self.after_carriage_return) && chunk.first() == Some(&b'\n') {
            chunk = chunk.get(1..).unwrap_or_default();
        }
        let plain = memchr(b'\r', chunk).is_none();
        let last = if plain { memrchr(b'\n', chunk) } else { memrchr2(b'\n', b'\r', chunk) };
        let Some(last) = last else {
            self.carry.extend_from_slice(chunk);
            return Lines::default();
        };
        let (whole, rest) = chunk.split_at(last + 1);
        let mut bytes = std::mem::take(&mut self.carry);
        self.carry.extend_from_slice(rest);
        if plain {
            bytes.extend_from_slice(whole);
        } else {
            self.after_carriage_return = rest.is_empty() && whole.last() == Some(&b'\r');
            append_with_plain_ends(&mut bytes, whole);
        }
        finish_lines(bytes)
    }

    /// The last line, if the stream ended without a line end.
    pub fn finish(&mut self) -> Lines {
        self.after_carriage_return = false;
        if self.carry.is_empty() {
            return Lines::default();
        }
        let mut bytes = std::mem::take(&mut self.carry);
        bytes.push(b'\n');
        finish_lines(bytes)
    }

    /// Bytes of the unfinished line.
    pub fn carried_bytes(&self) -> usize {
        self.carry.len()
    }
}

fn append_with_plain_ends(to: &mut Vec<u8>, text: &[u8]) {
    to.reserve(text.len());
    let mut rest = text;
    while let Some(at) = memchr(b'\r', rest) {
        let (line, after) = rest.split_at(at);
        to.extend_from_slice(line);
        to.push(b'\n');
        rest = after.strip_prefix(b"\r\n").or_else(|| after.get(1..)).unwrap_or_default();
    }
    to.extend_from_slice(rest);
}

/// A line end is never part of a longer character, so that whole lines can be repaired together.
fn finish_lines(bytes: Vec<u8>) -> Lines {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => text.into_bytes(),
        Err(error) => replaced(error.as_bytes()),
    };
    let count = memchr_iter(b'\n', &bytes).count() as u64;
    Lines { text: bytes, count }
}

/// Text with U+FFFD for what is not UTF-8, as a JVM decodes it: once for an encoded surrogate, which is none in Rust, too.
fn replaced(mut bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len() + 16);
    while let Err(error) = std::str::from_utf8(bytes) {
        let (valid, wrong) = bytes.split_at(error.valid_up_to());
        text.extend_from_slice(valid);
        text.extend_from_slice("\u{FFFD}".as_bytes());
        let length = match wrong {
            [0xED, 0xA0..=0xBF, 0x80..=0xBF, ..] => 3,
            _ => error.error_len().unwrap_or(wrong.len()),
        };
        bytes = wrong.get(length..).unwrap_or_default();
    }
    text.extend_from_slice(bytes);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(text: &[u8]) -> Vec<String> {
        let text = String::from_utf8_lossy(text).replace("\r\n", "\n").replace('\r', "\n");
        let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
        if lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }

    fn texts(lines: &Lines) -> Vec<String> {
        let text = String::from_utf8(lines.text().to_vec()).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        let texts: Vec<String> = text.lines().map(str::to_owned).collect();
        assert_eq!(texts.len() as u64, lines.count());
        texts
    }

    proptest! {
        #[test]
        fn lines_are_the_same_wherever_the_chunks_are_cut(
            text in proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'\n'), Just(b'\r'), Just(0xC3), Just(0xA4)], 0..40),
            size in 1_usize..5,
        ) {
            let mut cutter = LineCutter::default();
            let mut lines: Vec<String> = text.chunks(size).flat_map(|chunk| texts(&cutter.cut(chunk))).collect();
            lines.extend(texts(&cutter.finish()));
            prop_assert_eq!(lines, naive(&text));
        }
    }

    #[test]
    fn a_part_is_split_after_so_many_lines() {
        let mut part = Lines::from_text(b"a\nbb\nc");
        let rest = part.split_off(2);
        assert_eq!((texts(&part), texts(&rest)), (vec!["a".to_owned(), "bb".to_owned()], vec!["c".to_owned()]));
    }

    #[test]
    fn what_is_not_utf_8_is_replaced_as_a_jvm_does() {
        let cut = |bytes: &[u8]| String::from_utf8(Lines::from_text(bytes).into_text()).unwrap();
        assert_eq!(cut(b"a\xFF\xFEb\n\xC3(\n"), "a\u{FFFD}\u{FFFD}b\n\u{FFFD}(\n");
        assert_eq!(cut(b"\xED\xA0\x80!\n\xE2\x82\n\xE0\x80\x80\n"), "\u{FFFD}!\n\u{FFFD}\n\u{FFFD}\u{FFFD}\u{FFFD}\n");
    }
}
