//! A string that is cheap to make and to move: up to 22 bytes lie in the value itself.

use std::borrow::Borrow;
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
    /// The first `length` bytes are UTF-8.
    Inline {
        length: u8,
        bytes: [u8; INLINE_MAX],
    },
    Shared(Arc<str>),
}

impl Text {
    /// Its `&str`.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Inline { length, bytes } => {
                let bytes = bytes.get(..usize::from(*length)).unwrap_or_default();
                debug_assert!(std::str::from_utf8(bytes).is_ok());
                // SAFETY: `Inline` is only made by `From<&str>`, which copies `length` bytes of a `str`.
                unsafe { std::str::from_utf8_unchecked(bytes) }
            }
            Repr::Shared(text) => text,
        }
    }

    /// The parts between `separator`s, as Python's and Scala's `split` give them: between two separators is an empty one.
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

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        let mut bytes = [0; INLINE_MAX];
        match bytes.get_mut(..text.len()) {
            Some(inline) => {
                inline.copy_from_slice(text.as_bytes());
                // At most 22.
                Text(Repr::Inline { length: text.len() as u8, bytes })
            }
            None => Text(Repr::Shared(Arc::from(text))),
        }
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
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
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

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
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
