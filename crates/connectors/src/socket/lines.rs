//! Text of lines end to end, ready to be an Arrow string array.

use memchr::memchr_iter;

/// Text of whole lines without their ends, and where each line ends in it.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// UTF-8.
    pub text: Vec<u8>,
    /// One entry a line; the last is the length of `text`.
    pub ends: Vec<i32>,
}

impl From<millstream_intake::Lines> for Lines {
    /// Takes the line ends out.
    fn from(lines: millstream_intake::Lines) -> Self {
        let from = lines.text();
        let mut text = Vec::with_capacity(from.len());
        let mut ends = Vec::with_capacity(usize::try_from(lines.count()).unwrap_or(0));
        let mut start = 0;
        for end in memchr_iter(b'\n', from) {
            text.extend_from_slice(from.get(start..end).unwrap_or_default());
            // A chunk and a carried line are far below 2 GiB.
            ends.push(i32::try_from(text.len()).unwrap_or(i32::MAX));
            start = end + 1;
        }
        Lines { text, ends }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lie_end_to_end_without_their_ends() {
        let lines = Lines::from(millstream_intake::Lines::from_text(b"a\r\n\nbc"));
        assert_eq!((lines.text.as_slice(), lines.ends.as_slice()), (&b"abc"[..], &[1, 1, 3][..]));
    }
}
