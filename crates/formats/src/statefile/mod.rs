//! The files under `state/`: changes and whole versions of a store, the schema of its rows, the name of its operator.

mod changes;
mod operator;
mod schema;

pub use changes::{
    Change, Changes, ChangesWriter, StateFileWriter, read_changes, read_changes_expecting, read_content,
};
pub use operator::{OperatorMetadata, StoreInfo};
pub use schema::StateSchema;

use std::path::{Path, PathBuf};

/// The name under which Spark keeps the only store of an operator, which then has no directory of its own.
pub const DEFAULT_STORE: &str = "default";

/// `<state>/<operator>/<partition>[/<store>]`.
pub fn store_dir(state: &Path, operator: usize, partition: usize, store: &str) -> PathBuf {
    let dir = state.join(operator.to_string()).join(partition.to_string());
    if store == DEFAULT_STORE { dir } else { dir.join(store) }
}

/// What a file of a store's directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StateFileKind {
    /// `<version>.delta`: what changed since the version before.
    Delta,
    /// `<version>.snapshot`: everything.
    Snapshot,
}

/// The version and kind of a file of a store's directory, by its name; `None` for other files.
pub fn parse_state_file_name(name: &str) -> Option<(u64, StateFileKind)> {
    let (version, kind) = name.split_once('.')?;
    let kind = match kind {
        "delta" => StateFileKind::Delta,
        "snapshot" => StateFileKind::Snapshot,
        _ => return None,
    };
    let plain = version.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| version.parse().ok()).flatten().map(|version| (version, kind))
}

/// The path of a file of a store.
pub fn state_file_path(dir: &Path, version: u64, kind: StateFileKind) -> PathBuf {
    dir.join(match kind {
        StateFileKind::Delta => format!("{version}.delta"),
        StateFileKind::Snapshot => format!("{version}.snapshot"),
    })
}

#[cfg(test)]
mod tests;
