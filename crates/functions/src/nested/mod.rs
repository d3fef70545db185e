//! Functions on arrays, maps and structs, and the generators that make rows of them.

mod array;
mod construct;
mod extract;
mod generate;
mod map;

use crate::Function;

/// The function of this name in lower case.
pub(crate) fn lookup(name: &str) -> Option<Function> {
    generate::lookup(name)
        .or_else(|| construct::lookup(name))
        .or_else(|| extract::lookup(name))
        .or_else(|| map::lookup(name))
        .or_else(|| array::lookup(name))
}
