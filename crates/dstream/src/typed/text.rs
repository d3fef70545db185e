//! A string that is cheap to make and to move: up to 22 bytes lie in the value itself.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes that need no allocation.
const INLINE_MAX: usize = 22;

/// UTF-8 text that never changes. As large as a `String`, but words need no allocation and a clone never does.
#[derive(Clone)]
pub struct Text(Repr);

/// The layout is that of `repr(u8)`: the variant's number, then its fields as in C.
#[derive(Clone)]
#[repr(u8)]
enum Repr {
    /// The first `length` bytes are UTF-8, the others 0.
    Inline {
        length: u8,
        bytes: [u8; INLINE_MAX],
    } = 0,
    Shared(Arc<str>) = 1,
}

const _: () = assert!(size_of::<Repr>() == 24);

/// What an inline text is in memory: 0, its length, its bytes. It is written in two pieces and read in parts of these: what is stored in
/// small pieces and loaded in larger ones makes the processor wait.
#[repr(C)]
struct Bytes {
    front: [u8; 16],
    back: [u8; 8],
}

impl Text {
    /// Its `&str`.
    #[inline]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Inline { length, bytes } => {
                let bytes = bytes.get(..usize::from(*length)).unwrap_or_default();
                debug_assert!(std::str::from_utf8(bytes).is_ok());
                // SAFETY: `Inline` is only made by `From<&str>`, which copies the `length` bytes of a `str`.
                unsafe { std::str::from_utf8_unchecked(bytes) }
            }
            Repr::Shared(text) => text,
        }
    }

    /// The parts between `separator`s, as Python's and Scala's `split` give them: between two separators is an empty one.
    #[inline]
    pub fn split_owned(self, separator: u8) -> impl Iterator<Item = Text> {
        debug_assert!(separator.is_ascii());
        let mut rest = Some(0);
        std::iter::from_fn(move || {
            let start = rest?;
            let tail = self.as_str().get(start..)?;
            let end = find(tail.as_bytes(), separator);
            rest = end.map(|end| start + end + 1);
            Some(Text::part(self.as_str(), start, end.unwrap_or(tail.len())))
        })
    }

    /// `length` bytes of a text, which must begin and end at characters.
    #[inline]
    fn part(text: &str, start: usize, length: usize) -> Text {
        // Where enough stands around them, two bytes more before and all that may follow are taken and what is too much is cleared: there
        // is nothing to mispredict then.
        let around = start.checked_sub(2).and_then(|before| text.as_bytes().get(before..)?.first_chunk::<24>());
        let (Some(window), Some(frame)) = (around, FRAMES.get(length)) else {
            return Text::from(text.get(start..start + length).unwrap_or_default());
        };
        let (Some(front), Some(back)) = (window.first_chunk::<16>(), window.last_chunk::<8>()) else {
            return Text::default();
        };
        let front = std::array::from_fn(|at| front[at] & frame.front[at] | frame.head[at]);
        let back = std::array::from_fn(|at| back[at] & frame.back[at]);
        Text(Repr::from_bytes(Bytes { front, back }))
    }

    /// The words of a short text.
    #[inline]
    fn words(&self) -> Option<[u64; 3]> {
        match &self.0 {
            Repr::Inline { .. } => {
                // SAFETY: `Inline` is 24 bytes without gaps, see `Bytes`.
                let words: [[u8; 8]; 3] = unsafe { std::mem::transmute_copy(&self.0) };
                Some(words.map(u64::from_le_bytes))
            }
            Repr::Shared(_) => None,
        }
    }
}

impl Repr {
    /// An inline text as it is in memory.
    #[inline]
    fn from_bytes(bytes: Bytes) -> Repr {
        debug_assert!(bytes.front[0] == 0 && usize::from(bytes.front[1]) <= INLINE_MAX);
        // SAFETY: with 0 in front these are the bytes of `Inline`, all of which may have any value, see `Bytes`.
        unsafe { std::mem::transmute(bytes) }
    }
}

/// What is kept of 24 bytes around a text, and what stands in front of it.
struct Frame {
    front: [u8; 16],
    back: [u8; 8],
    head: [u8; 16],
}

/// For each length.
static FRAMES: [Frame; INLINE_MAX + 1] = {
    const NOTHING: Frame = Frame { front: [0; 16], back: [0; 8], head: [0; 16] };
    let mut frames = [NOTHING; INLINE_MAX + 1];
    let mut length = 0;
    while length <= INLINE_MAX {
        let mut at = 2;
        while at < 2 + length {
            if at < 16 {
                frames[length].front[at] = 0xFF;
            } else {
                frames[length].back[at - 16] = 0xFF;
            }
            at += 1;
        }
        frames[length].head[1] = length as u8;
        length += 1;
    }
    frames
};

/// The first place of an ASCII character. Made for words, which are short: sixteen bytes at once, and no call.
#[inline]
fn find(text: &[u8], byte: u8) -> Option<usize> {
    const LOW: u128 = u128::MAX / 0xFF;
    const HIGH: u128 = LOW << 7;
    let mut at = 0;
    while let Some(window) = text.get(at..).and_then(|rest| rest.first_chunk::<16>()) {
        let differences = u128::from_le_bytes(*window) ^ (LOW * u128::from(byte));
        // A byte that is 0 borrows from above it: the lowest mark is right.
        let marks = differences.wrapping_sub(LOW) & !differences & HIGH;
        if marks != 0 {
            return Some(at + marks.trailing_zeros() as usize / 8);
        }
        at += 16;
    }
    let rest = text.get(at..)?;
    rest.iter().position(|other| *other == byte).map(|place| at + place)
}

/// Copies short text by few moves of fixed length, which is what makes words cheap.
#[inline]
fn copy_short(text: &[u8], to: &mut [u8; INLINE_MAX]) {
    fn ends<const N: usize>(text: &[u8], to: &mut [u8; INLINE_MAX]) {
        if let (Some(first), Some(last)) = (text.first_chunk::<N>(), text.last_chunk::<N>()) {
            if let Some(place) = to.first_chunk_mut::<N>() {
                *place = *first;
            }
            if let Some(place) = to.get_mut(text.len() - N..text.len()) {
                place.copy_from_slice(last);
            }
        }
    }
    match text.len() {
        16.. => ends::<16>(text, to),
        8.. => ends::<8>(text, to),
        4.. => ends::<4>(text, to),
        _ => to.iter_mut().zip(text).for_each(|(to, byte)| *to = *byte),
    }
}

impl From<&str> for Text {
    #[inline]
    fn from(text: &str) -> Self {
        if text.len() > INLINE_MAX {
            return Text(Repr::Shared(Arc::from(text)));
        }
        let mut bytes = [0; INLINE_MAX];
        copy_short(text.as_bytes(), &mut bytes);
        // At most 22.
        Text(Repr::Inline { length: text.len() as u8, bytes })
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Text::from(text.as_str())
    }
}

impl Default for Text {
    fn default() -> Self {
        Text::from("")
    }
}

impl Deref for Text {
    type Target = str;
    #[inline]
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for Text {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (self.words(), other.words()) {
            (Some(words), Some(others)) => words == others,
            // One text is always kept in one way.
            (None, None) => self.as_str() == other.as_str(),
            _ => false,
        }
    }
}

impl Eq for Text {}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

/// Not the hash of the `str`: short texts are hashed as three numbers.
impl Hash for Text {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.words() {
            Some(words) => words.into_iter().for_each(|word| state.write_u64(word)),
            None => self.as_str().hash(state),
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Text::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_texts_are_what_they_were_made_of() {
        for length in [0, 1, 22, 23, 100] {
            let text = "ä".repeat(length / 2) + if length % 2 == 1 { "x" } else { "" };
            assert_eq!(Text::from(text.as_str()), text.as_str());
        }
        assert_eq!(size_of::<Text>(), 24);
    }

    #[test]
    fn splitting_keeps_empty_parts() {
        let parts: Vec<Text> = Text::from(" a  b").split_owned(b' ').collect();
        assert_eq!(parts, ["", "a", "", "b"]);
        assert_eq!(Text::default().split_owned(b' ').count(), 1);
    }

    proptest::proptest! {
        #[test]
        fn splitting_gives_what_the_standard_library_gives(line in "[ab\u{0120}\u{2020} !]{0,90}") {
            let expected: Vec<Text> = line.split(' ').map(Text::from).collect();
            let parts: Vec<Text> = Text::from(line.as_str()).split_owned(b' ').collect();
            proptest::prop_assert_eq!(parts, expected);
        }
    }
}
