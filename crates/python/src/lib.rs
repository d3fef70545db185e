//! The native half of the Python package `millstream`: the engine and its Spark Connect server, inside the Python process.
//!
//! Thin on purpose: the commands, the launcher and the shell are Python (`python/millstream`). Every call that may take
//! long lets other Python threads run meanwhile.

// The macros of `pyo3` make items of their own.
#![allow(missing_docs, reason = "documented in `python/millstream/_native.pyi`")]

mod checkpoint;
mod lambda;
mod log;
mod server;
mod streaming;
mod streaming_datasets;
mod streaming_events;

use pyo3::prelude::*;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    log::start();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("SPARK_VERSION", millstream_connect::SPARK_VERSION)?;
    module.add_class::<lambda::CombineStage>()?;
    module.add_class::<server::Server>()?;
    module.add_class::<streaming::StreamingCheckpoint>()?;
    module.add_class::<streaming::StreamingGraph>()?;
    module.add_function(wrap_pyfunction!(streaming::read_streaming_checkpoint, module)?)?;
    module.add_function(wrap_pyfunction!(streaming_datasets::streaming_calls, module)?)?;
    module.add_function(wrap_pyfunction!(checkpoint::checkpoint_summary, module)?)?;
    module.add_function(wrap_pyfunction!(checkpoint::checkpoint_rows, module)?)?;
    module.add_function(wrap_pyfunction!(checkpoint::checkpoint_verify, module)?)?;
    module.add_function(wrap_pyfunction!(log::set_log_level, module)?)?;
    Ok(())
}
