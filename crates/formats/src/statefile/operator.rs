//! `state/<operator>/_metadata/metadata`: which operator the state belongs to.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::{self, FileError, Writer};

/// Name and stores of a stateful operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperatorMetadata {
    /// Number and name.
    pub operator_info: OperatorInfo,
    /// Its stores, in Spark's order.
    pub state_store_info: Vec<StoreInfo>,
}

/// Number and name of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperatorInfo {
    /// Its directory's name.
    pub operator_id: u64,
    /// `stateStoreSave`, `dedupe`, …
    pub operator_name: String,
}

/// One store of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreInfo {
    /// `default`, or the name of its directory under each partition.
    pub store_name: String,
    /// How many of the key's first columns prefix scans use; 0 without.
    pub num_cols_prefix_key: u64,
    /// State partitions of the query.
    pub num_partitions: u64,
}

impl OperatorMetadata {
    /// Metadata of an operator whose stores have these names.
    pub fn new(id: u64, name: &str, stores: &[&str], prefix_columns: u64, partitions: u64) -> Self {
        let store = |name: &&str| StoreInfo {
            store_name: (*name).to_string(),
            num_cols_prefix_key: prefix_columns,
            num_partitions: partitions,
        };
        Self {
            operator_info: OperatorInfo { operator_id: id, operator_name: name.to_string() },
            state_store_info: stores.iter().map(store).collect(),
        }
    }

    /// The file of an operator's directory.
    pub fn path(operator_dir: &Path) -> PathBuf {
        operator_dir.join("_metadata").join("metadata")
    }

    /// The file's content.
    pub fn to_text(&self) -> String {
        // A struct of numbers and strings always has a JSON form.
        format!("v1\n{}", serde_json::to_string(self).unwrap_or_default())
    }

    /// Reads the file.
    ///
    /// # Errors
    /// If it is missing, damaged, or of another version.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let text = files::read_text(path)?;
        match text.split_once('\n') {
            Some(("v1", json)) => serde_json::from_str(json).map_err(|e| FileError::damaged(path, e)),
            Some((version, _)) if version.starts_with('v') => {
                Err(FileError::unsupported(path, format!("its version is {version}")))
            }
            _ => Err(FileError::damaged(path, "it has no version line")),
        }
    }

    /// Writes the file if it does not exist.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_if_missing(&self, path: &Path, fsync: bool) -> Result<(), FileError> {
        match (Writer { role: "operator_metadata", fsync }).create(path, self.to_text().as_bytes()) {
            Err(FileError::Exists { .. }) => Ok(()),
            written => written,
        }
    }
}
