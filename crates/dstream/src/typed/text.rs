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

#[derive(Clone)]
enum Repr {
    /// The first `length` bytes are UTF-8, the others 0.
    Inline {
        length: u8,
        bytes: [u8; INLINE_MAX],
    },
    Shared(Arc<str>),
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
            let end = tail.bytes().position(|byte| byte == separator);
            rest = end.map(|end| start + end + 1);
            Some(Text::from(end.and_then(|end| tail.get(..end)).unwrap_or(tail)))
        })
    }
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
        match (&self.0, &other.0) {
            (Repr::Inline { length, bytes }, Repr::Inline { length: other_length, bytes: other_bytes }) => {
                length == other_length && bytes == other_bytes
            }
            // One text is always kept in one way.
            (Repr::Shared(text), Repr::Shared(other)) => text == other,
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
        match &self.0 {
            Repr::Inline { length, bytes } => {
                let word = |at: usize| {
                    bytes.get(at..at + 8).and_then(|word| word.try_into().ok()).map_or(0, u64::from_le_bytes)
                };
                // The last six bytes leave room for the length.
                state.write_u64(word(0));
                state.write_u64(word(8));
                state.write_u64((word(14) >> 16) | u64::from(*length) << 56);
            }
            Repr::Shared(text) => text.hash(state),
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
}
