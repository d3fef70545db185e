//! The unresolved plan: what a program asked for, before any name or type in it is looked up.
//!
//! Every front door ends here: the protocol (`connect`), SQL text (`crate::sql`) and the Rust API. Nothing below knows
//! which door was used. Names are as the user wrote them; types are Arrow types that stand for Spark's (see
//! [`crate::types`]); nothing in here is validated yet.

mod command;
mod expression;
mod inputs;
mod relation;

pub use command::*;
pub use expression::*;
pub use relation::*;
