//! Spark Connect: the gRPC service that an unmodified PySpark client talks to.

pub mod artifact;
pub mod auth;
pub mod codec;
pub mod convert;
pub mod operation;
pub mod result;
pub mod status;
