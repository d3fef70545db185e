//! Relations computed by Python functions.

use millstream_formats::condition::SparkError;
use millstream_plan::ir::RelationOp;
use spark_connect_proto as pb;

use crate::convert::{Convert, required};

impl Convert<'_> {
    pub(super) fn map_partitions(&self, message: &pb::MapPartitions) -> Result<RelationOp, SparkError> {
        // A resource profile chooses executors of a cluster; there is one machine here.
        let pb::MapPartitions { input, func, is_barrier, profile_id: _ } = message;
        if is_barrier.unwrap_or(false) {
            return Err(SparkError::unsupported("Barrier execution"));
        }
        let function = self.python_udf(required(func.as_ref(), "the function of a map")?)?;
        Ok(RelationOp::MapPartitions { input: self.input(input)?, function })
    }

    pub(super) fn group_map(&self, message: &pb::GroupMap) -> Result<RelationOp, SparkError> {
        let pb::GroupMap {
            input,
            grouping_expressions,
            func,
            sorting_expressions,
            initial_input,
            initial_grouping_expressions,
            is_map_groups_with_state,
            output_mode: _,
            timeout_conf: _,
            state_schema: _,
            transform_with_state_info,
        } = message;
        if transform_with_state_info.is_some() || initial_input.is_some() || !initial_grouping_expressions.is_empty() {
            return Err(SparkError::unsupported("transformWithState"));
        }
        if is_map_groups_with_state.is_some() || !sorting_expressions.is_empty() {
            return Err(SparkError::unsupported("A grouped map of Scala"));
        }
        Ok(RelationOp::GroupMap {
            input: self.input(input)?,
            keys: self.exprs(grouping_expressions)?,
            function: self.python_udf(required(func.as_ref(), "the function of a grouped map")?)?,
            method: "applyInPandas".to_string(),
        })
    }

    pub(super) fn apply_in_pandas_with_state(
        &self,
        message: &pb::ApplyInPandasWithState,
    ) -> Result<RelationOp, SparkError> {
        let pb::ApplyInPandasWithState {
            input: _,
            grouping_expressions: _,
            func: _,
            output_schema: _,
            state_schema: _,
            output_mode: _,
            timeout_conf: _,
        } = message;
        Err(SparkError::unsupported("applyInPandasWithState"))
    }
}
