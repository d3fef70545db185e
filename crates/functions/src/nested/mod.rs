//! Functions on arrays, maps and structs, and the generators that make rows of them.

mod array;
mod construct;
mod extract;
mod generate;
mod lambda;
mod map;
mod rearrange;
mod str_to_map;

use crate::Function;

pub(crate) use rearrange::{concat, reverse};

/// Every part of this module.
const PARTS: &[fn(&str) -> Option<Function>] = &[
    array::lookup,
    construct::lookup,
    extract::lookup,
    generate::lookup,
    lambda::lookup,
    map::lookup,
    rearrange::lookup,
    str_to_map::lookup,
];

/// The function of this name in lower case.
pub(crate) fn lookup(name: &str) -> Option<Function> {
    PARTS.iter().find_map(|part| part(name))
}
