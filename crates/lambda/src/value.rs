//! Python values that expressions know.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::Surprise;

/// A Python value. Texts borrow from the input where they can.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// `None`.
    None,
    /// `bool`.
    Bool(bool),
    /// `int` of 64 bits; longer ones are a surprise.
    Int(i64),
    /// `float`.
    Float(f64),
    /// `str`.
    Str(Cow<'a, str>),
    /// `list`.
    List(Arc<[Value<'a>]>),
    /// `tuple`.
    Tuple(Arc<[Value<'a>]>),
}

impl Value<'_> {
    /// Python's truth of a value.
    pub fn is_true(&self) -> bool {
        match self {
            Self::None => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Str(value) => !value.is_empty(),
            Self::List(items) | Self::Tuple(items) => !items.is_empty(),
        }
    }

    /// Whether it may be the key of a dictionary here. Only texts, whole numbers, `None` and tuples of them: `1`, `1.0` and
    /// `True` are one key in Python, which is left to Python.
    pub fn is_key(&self) -> bool {
        match self {
            Self::None | Self::Int(_) | Self::Str(_) => true,
            Self::Tuple(items) => items.iter().all(Value::is_key),
            Self::Bool(_) | Self::Float(_) | Self::List(_) => false,
        }
    }

    /// Feeds a key to a hasher.
    pub(crate) fn hash_key<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Str(text) => text.as_bytes().hash(state),
            Self::Int(value) => value.hash(state),
            Self::Tuple(items) => items.iter().for_each(|item| item.hash_key(state)),
            Self::None | Self::Bool(_) | Self::Float(_) | Self::List(_) => state.write_u8(0),
        }
    }

    /// The number as a float, as Python widens it for an operation with one; a surprise if that is not exact.
    pub(crate) fn widened(&self) -> Result<f64, Surprise> {
        const EXACT: i64 = 1 << 53;
        match self {
            Self::Float(value) => Ok(*value),
            Self::Int(value) if (-EXACT..=EXACT).contains(value) => Ok(*value as f64),
            _ => Err(Surprise),
        }
    }
}
