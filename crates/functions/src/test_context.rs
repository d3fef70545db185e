//! Settings for tests.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use crate::FunctionContext;

/// ANSI mode, one hour east of Greenwich.
pub fn ansi() -> FunctionContext {
    FunctionContext {
        ansi: true,
        time_zone: "+01:00".into(),
        now_us: Arc::new(AtomicI64::new(0)),
        user: "tester".into(),
        database: "default".into(),
    }
}

/// The same in legacy mode.
pub fn legacy() -> FunctionContext {
    FunctionContext { ansi: false, ..ansi() }
}
