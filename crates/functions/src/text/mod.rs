//! Strings: cutting, searching, patterns, formatting, URLs.

pub mod java_regex;
mod split;

use crate::Function;

/// The functions of this module, by name in lower case.
pub(crate) fn lookup(name: &str) -> Option<Function> {
    Some(Function::Scalar(match name {
        "split" => split::split,
        _ => return None,
    }))
}
