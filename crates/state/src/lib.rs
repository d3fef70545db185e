//! Versioned state of stateful operators: one [`StateStore`] per operator partition, kept in memory as the bytes its files
//! hold and made durable as Spark's `<version>.delta` and `<version>.snapshot`.
//!
//! Not here: what rows mean (`operators`), when a batch commits (`engine`), the layout of bytes (`formats`).

mod arena;
mod error;
mod expiry;
mod files;
pub mod inspect;
mod location;
mod maintainer;
mod maintenance;
mod memory;
mod operators;
mod prefix;
mod rows;
mod store;

pub use location::StoreLocation;
pub use maintainer::Maintainer;
pub use maintenance::{Maintenance, MaintenanceReport};
pub use memory::StateMemory;
pub use operators::check_operators;
pub use store::{StateStore, StoreMetrics, StoreOptions, TimeOf};
