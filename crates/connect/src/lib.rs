//! Spark Connect: the gRPC service that an unmodified PySpark client talks to.

pub mod codec;
pub mod convert;
