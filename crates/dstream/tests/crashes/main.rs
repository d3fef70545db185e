//! Crashes, power cuts, full disks and damaged files under a stateful program whose receiver writes ahead.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod crash;
mod damage;
mod program;
mod storage;
