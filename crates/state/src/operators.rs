//! Whether the operators of a plan are those whose state a checkpoint holds.

use std::collections::BTreeMap;
use std::path::Path;

use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::files::{FileError, names};
use millstream_formats::statefile::OperatorMetadata;

/// Compares the stateful operators of a plan, by number and name, with those in `<checkpoint>/state`. A checkpoint without any
/// readable metadata is taken as it is, as Spark does; its schemas still tell.
///
/// # Errors
/// `STREAMING_STATEFUL_OPERATOR_NOT_MATCH_IN_STATE_METADATA` if an operator was added, removed or renamed; if a directory
/// cannot be read.
pub fn check_operators<'a>(state_dir: &Path, plan: impl IntoIterator<Item = (u64, &'a str)>) -> Result<(), SparkError> {
    let plan: BTreeMap<u64, String> = plan.into_iter().map(|(id, name)| (id, name.to_string())).collect();
    let mut stored = BTreeMap::new();
    for id in names(state_dir)?.iter().filter_map(|name| name.parse::<u64>().ok()) {
        match OperatorMetadata::read(&OperatorMetadata::path(&state_dir.join(id.to_string()))) {
            Ok(metadata) => {
                stored.insert(id, metadata.operator_info.operator_name);
            }
            Err(FileError::Missing { .. }) => {}
            Err(error) => tracing::warn!(%error, "the metadata of an operator is ignored"),
        }
    }
    if stored.is_empty() || stored == plan {
        return Ok(());
    }
    Err(mismatch(&list(&stored), &list(&plan)))
}

fn list(operators: &BTreeMap<u64, String>) -> String {
    let pair = |(id, name): (&u64, &String)| format!("(OperatorId: {id} -> OperatorName: {name})");
    operators.iter().map(pair).collect::<Vec<_>>().join(", ")
}

fn mismatch(stored: &str, plan: &str) -> SparkError {
    SparkError::new(
        ExceptionClass::Runtime,
        "STREAMING_STATEFUL_OPERATOR_NOT_MATCH_IN_STATE_METADATA",
        "42K03",
        format!(
            "Streaming stateful operator name does not match with the operator in state metadata. This likely to happen when \
             user adds/removes/changes stateful operator of existing streaming query.\nStateful operators in the metadata: \
             [{stored}]; Stateful operators in current batch: [{plan}]."
        ),
    )
    .with("OpsInMetadataSeq", stored)
    .with("OpsInCurBatchSeq", plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_may_not_be_added_removed_or_renamed() {
        let dir = tempfile::tempdir().unwrap();
        check_operators(dir.path(), [(0, "dedupe")]).unwrap();
        for (id, name) in [(0, "stateStoreSave"), (1, "dedupe")] {
            let path = OperatorMetadata::path(&dir.path().join(id.to_string()));
            OperatorMetadata::new(id, name, &["default"], 0, 2).write_if_missing(&path, false).unwrap();
        }
        check_operators(dir.path(), [(1, "dedupe"), (0, "stateStoreSave")]).unwrap();
        let plans: [&[(u64, &str)]; 3] = [&[(0, "stateStoreSave")], &[(0, "stateStoreSave"), (1, "globalLimit")], &[]];
        for plan in plans {
            let error = check_operators(dir.path(), plan.iter().copied()).unwrap_err();
            assert_eq!(error.condition(), Some("STREAMING_STATEFUL_OPERATOR_NOT_MATCH_IN_STATE_METADATA"));
            assert!(error.to_string().contains("(OperatorId: 1 -> OperatorName: dedupe)"), "{error}");
        }
    }
}
