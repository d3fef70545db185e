//! Relations that choose, order and group rows and columns.

use millstream_formats::condition::SparkError;
use millstream_plan::ir::{Aggregate, Expr, Grouping, RelationOp};
use spark_connect_proto as pb;

use crate::convert::{Convert, invalid, required};

impl Convert<'_> {
    pub(super) fn project(&self, message: &pb::Project) -> Result<RelationOp, SparkError> {
        let pb::Project { input, expressions } = message;
        let input = match input {
            Some(_) => self.input(input)?,
            None => RelationOp::OneRow.into(),
        };
        Ok(RelationOp::Project { input, expressions: self.exprs(expressions)? })
    }

    pub(super) fn filter(&self, message: &pb::Filter) -> Result<RelationOp, SparkError> {
        let pb::Filter { input, condition } = message;
        let condition = self.expr(required(condition.as_ref(), "the condition of a filter")?)?;
        Ok(RelationOp::Filter { input: self.input(input)?, condition })
    }

    pub(super) fn sort(&self, message: &pb::Sort) -> Result<RelationOp, SparkError> {
        let pb::Sort { input, order, is_global } = message;
        Ok(RelationOp::Sort {
            input: self.input(input)?,
            order: self.sort_orders(order)?,
            global: is_global.unwrap_or(true),
        })
    }

    pub(super) fn limit(&self, message: &pb::Limit) -> Result<RelationOp, SparkError> {
        let pb::Limit { input, limit } = message;
        Ok(RelationOp::Limit { input: self.input(input)?, limit: int(*limit) })
    }

    pub(super) fn offset(&self, message: &pb::Offset) -> Result<RelationOp, SparkError> {
        let pb::Offset { input, offset } = message;
        Ok(RelationOp::Offset { input: self.input(input)?, offset: int(*offset) })
    }

    pub(super) fn tail(&self, message: &pb::Tail) -> Result<RelationOp, SparkError> {
        let pb::Tail { input, limit } = message;
        Ok(RelationOp::Tail { input: self.input(input)?, limit: i64::from(*limit) })
    }

    pub(super) fn aggregate(&self, message: &pb::Aggregate) -> Result<RelationOp, SparkError> {
        use pb::aggregate::GroupType;
        let pb::Aggregate { input, group_type, grouping_expressions, aggregate_expressions, pivot, grouping_sets } =
            message;
        let grouping = match GroupType::try_from(*group_type) {
            Ok(GroupType::Groupby) => Grouping::Keys,
            Ok(GroupType::Rollup) => Grouping::Rollup,
            Ok(GroupType::Cube) => Grouping::Cube,
            Ok(GroupType::Pivot) => self.pivot(required(pivot.as_ref(), "the column of a pivot")?)?,
            Ok(GroupType::GroupingSets) => Grouping::Sets(self.grouping_sets(grouping_sets)?),
            _ => return Err(invalid("An aggregate has no kind of grouping.")),
        };
        Ok(RelationOp::Aggregate(Aggregate {
            input: self.input(input)?,
            grouping,
            keys: self.exprs(grouping_expressions)?,
            expressions: self.exprs(aggregate_expressions)?,
            keys_first: true,
            having: None,
        }))
    }

    fn pivot(&self, message: &pb::aggregate::Pivot) -> Result<Grouping, SparkError> {
        let pb::aggregate::Pivot { col, values } = message;
        Ok(Grouping::Pivot {
            column: Box::new(self.expr(required(col.as_ref(), "the column of a pivot")?)?),
            values: values.iter().map(|value| self.literal_expr(value)).collect::<Result<_, _>>()?,
        })
    }

    fn grouping_sets(&self, messages: &[pb::aggregate::GroupingSets]) -> Result<Vec<Vec<Expr>>, SparkError> {
        messages.iter().map(|pb::aggregate::GroupingSets { grouping_set }| self.exprs(grouping_set)).collect()
    }

    pub(super) fn deduplicate(&self, message: &pb::Deduplicate) -> Result<RelationOp, SparkError> {
        let pb::Deduplicate { input, column_names, all_columns_as_keys, within_watermark } = message;
        let all = all_columns_as_keys.unwrap_or(false);
        if all != column_names.is_empty() {
            return Err(invalid("Deduplicate requires to either deduplicate on all columns or a subset of columns."));
        }
        Ok(RelationOp::Deduplicate {
            input: self.input(input)?,
            columns: column_names.clone(),
            within_watermark: within_watermark.unwrap_or(false),
        })
    }

    pub(super) fn sample(&self, message: &pb::Sample) -> Result<RelationOp, SparkError> {
        let pb::Sample { input, lower_bound, upper_bound, with_replacement, seed, deterministic_order } = message;
        Ok(RelationOp::Sample {
            input: self.input(input)?,
            lower: *lower_bound,
            upper: *upper_bound,
            with_replacement: with_replacement.unwrap_or(false),
            seed: *seed,
            deterministic_order: *deterministic_order,
        })
    }

    pub(super) fn with_watermark(&self, message: &pb::WithWatermark) -> Result<RelationOp, SparkError> {
        let pb::WithWatermark { input, event_time, delay_threshold } = message;
        Ok(RelationOp::WithWatermark {
            input: self.input(input)?,
            event_time: event_time.clone(),
            delay: delay_threshold.clone(),
        })
    }

    pub(super) fn collect_metrics(&self, message: &pb::CollectMetrics) -> Result<RelationOp, SparkError> {
        let pb::CollectMetrics { input, name, metrics } = message;
        Ok(RelationOp::CollectMetrics { input: self.input(input)?, name: name.clone(), metrics: self.exprs(metrics)? })
    }
}

fn int(value: i32) -> Expr {
    Expr::Literal(datafusion::scalar::ScalarValue::Int32(Some(value)))
}
