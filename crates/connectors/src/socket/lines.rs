//! Cuts a stream of bytes into lines and lays their text end to end, ready to be an Arrow string array.
//!
//! A line ends with `\n`, `\r` or `\r\n`, wherever the chunks were cut. What is not UTF-8 is replaced by U+FFFD.

use memchr::memchr2_iter;

/// Text of whole lines without their ends, and where each line ends in it.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// UTF-8.
    pub text: Vec<u8>,
    /// One entry a line; the last is the length of `text`.
    pub ends: Vec<i32>,
}

impl Lines {
    fn close_line(&mut self) {
        // A chunk and a carried line are far below 2 GiB.
        self.ends.push(i32::try_from(self.text.len()).unwrap_or(i32::MAX));
    }

    /// Makes the text UTF-8; free of copies where it is already.
    fn repair(&mut self) {
        // Each line must be valid alone: two halves of a character on both sides of an end would pass as one text.
        if std::str::from_utf8(&self.text)
            .is_ok_and(|text| self.ends.iter().all(|end| text.is_char_boundary(*end as usize)))
        {
            return;
        }
        let mut repaired =
            Lines { text: Vec::with_capacity(self.text.len()), ends: Vec::with_capacity(self.ends.len()) };
        let mut start = 0;
        for end in &self.ends {
            let end = *end as usize;
            let line = self.text.get(start..end).unwrap_or_default();
            repaired.text.extend_from_slice(String::from_utf8_lossy(line).as_bytes());
            repaired.close_line();
            start = end;
        }
        *self = repaired;
    }
}

/// Keeps what is needed from chunk to chunk.
#[derive(Debug, Default)]
pub(super) struct LineCutter {
    /// The beginning of a line whose end has not come.
    carry: Vec<u8>,
    /// The last chunk ended with `\r`: a `\n` that follows belongs to it.
    after_carriage_return: bool,
}

impl LineCutter {
    /// The lines that `chunk` completes.
    pub fn cut(&mut self, chunk: &[u8]) -> Lines {
        let mut lines = Lines::default();
        let mut start = 0;
        if std::mem::take(&mut self.after_carriage_return) && chunk.first() == Some(&b'\n') {
            start = 1;
        }
        for at in memchr2_iter(b'\n', b'\r', chunk) {
            if at < start {
                continue;
            }
            if lines.ends.is_empty() {
                lines.text.reserve(self.carry.len() + chunk.len());
                lines.text.append(&mut self.carry);
            }
            lines.text.extend_from_slice(chunk.get(start..at).unwrap_or_default());
            lines.close_line();
            start = at + 1;
            if chunk.get(at) == Some(&b'\r') {
                match chunk.get(start) {
                    Some(b'\n') => start += 1,
                    Some(_) => {}
                    None => self.after_carriage_return = true,
                }
            }
        }
        self.carry.extend_from_slice(chunk.get(start..).unwrap_or_default());
        lines.repair();
        lines
    }

    /// The last line, if the stream ended without a line end.
    pub fn finish(&mut self) -> Lines {
        let mut lines = Lines::default();
        if !self.carry.is_empty() {
            lines.text = std::mem::take(&mut self.carry);
            lines.close_line();
            lines.repair();
        }
        lines
    }

    /// Bytes of the unfinished line.
    pub fn carried_bytes(&self) -> usize {
        self.carry.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(lines: &Lines) -> Vec<String> {
        let mut start = 0;
        let text = |end: &i32| {
            let line = std::str::from_utf8(&lines.text[start..*end as usize]).unwrap().to_string();
            start = *end as usize;
            line
        };
        lines.ends.iter().map(text).collect()
    }

    fn cut_all(chunks: &[&[u8]]) -> Vec<String> {
        let mut cutter = LineCutter::default();
        let mut all: Vec<String> = chunks.iter().flat_map(|c| texts(&cutter.cut(c))).collect();
        all.extend(texts(&cutter.finish()));
        all
    }

    #[test]
    fn every_kind_of_line_end_counts_once() {
        assert_eq!(cut_all(&[b"a\nb\r\nc\rd\n\ne"]), ["a", "b", "c", "d", "", "e"]);
        assert_eq!(cut_all(&[b"a\r", b"\nb\r", b"c", b"\n"]), ["a", "b", "c"]);
        assert_eq!(cut_all(&[b"", b"\n"]), [""]);
    }

    #[test]
    fn bytes_that_are_no_text_become_replacement_characters_within_their_line() {
        assert_eq!(cut_all(&[b"ok\n\xc3\n\xa9x\n"]), ["ok", "\u{fffd}", "\u{fffd}x"]);
        assert_eq!(cut_all(&[b"\xc3", b"\xa9\n"]), ["é"]);
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_the_stream_was_cut(
            bytes in prop::collection::vec(prop::sample::select(vec![b'a', b'\n', b'\r', 0xc3, 0xa9]), 0..40),
            at in 0usize..40,
        ) {
            let (left, right) = bytes.split_at(at.min(bytes.len()));
            prop_assert_eq!(cut_all(&[left, right]), cut_all(&[&bytes]));
        }
    }
}
