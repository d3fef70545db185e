//! Spark Connect: the gRPC service that an unmodified PySpark client talks to.
//!
//! ```text
//! client ─► service (one function a call) ─► session ─► convert (messages → unresolved plan) ─► millstream::Session
//!        ◄─ operation (kept responses)    ◄─ execute ◄─ result (rows → Arrow streams)         ◄┘
//! ```
//!
//! A call finds its session, an execution becomes an [`operation`] that outlives the connection, and whatever goes wrong
//! leaves as a [`status`] that the client turns into Spark's exception. Not here: what a plan means (`millstream_plan`),
//! and settings, tables and queries (`millstream`).

mod analyze;
pub mod artifact;
pub mod auth;
pub mod codec;
mod config;
pub mod convert;
mod execute;
pub mod operation;
mod plan;
pub mod result;
mod server;
mod service;
pub mod session;
pub mod status;

pub use analyze::SPARK_VERSION;
pub use server::{STACK_BYTES, Server, ServerError, ServerOptions};
