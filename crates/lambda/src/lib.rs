//! Pure Python functions as expressions, run over lines of text without Python.
//!
//! Many functions of streaming programs are tiny and pure: `lambda line: line.split(" ")`, `lambda w: (w, 1)`, `lambda a, b: a + b`.
//! The front end recognises them by their byte code and hands them here as [`Expr`]s; a [`CombineStage`] runs a chain of
//! them that ends in a reduction by key.
//!
//! The promise: the result is the one that Python gives, or there is none. Whatever is not sure to be the same (a type that an
//! operator does not know here, an overflow, a division by zero, letters whose case is not ASCII, …) is a [`Surprise`], and
//! the caller runs the same functions in Python over the same lines. Pure functions may run twice.

mod expr;
mod stage;
mod value;

pub use expr::{Comparison, Expr, Method, Operator};
pub use stage::{CombineStage, Step};
pub use value::Value;

/// Something that only Python can answer; never an error by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surprise;
