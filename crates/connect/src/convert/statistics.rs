//! Statistics of a relation, and the relations that mend nulls and values.

use millstream_formats::condition::SparkError;
use millstream_plan::ir::{RelationOp, Statistics};
use spark_connect_proto as pb;

use super::{Convert, invalid};

impl Convert<'_> {
    fn statistics(&self, input: &Option<Box<pb::Relation>>, kind: Statistics) -> Result<RelationOp, SparkError> {
        Ok(RelationOp::Statistics { input: self.input(input)?, kind })
    }

    pub(super) fn summary(&self, message: &pb::StatSummary) -> Result<RelationOp, SparkError> {
        let pb::StatSummary { input, statistics } = message;
        self.statistics(input, Statistics::Summary(statistics.clone()))
    }

    pub(super) fn describe(&self, message: &pb::StatDescribe) -> Result<RelationOp, SparkError> {
        let pb::StatDescribe { input, cols } = message;
        self.statistics(input, Statistics::Describe(cols.clone()))
    }

    pub(super) fn crosstab(&self, message: &pb::StatCrosstab) -> Result<RelationOp, SparkError> {
        let pb::StatCrosstab { input, col1, col2 } = message;
        self.statistics(input, Statistics::Crosstab(col1.clone(), col2.clone()))
    }

    pub(super) fn covariance(&self, message: &pb::StatCov) -> Result<RelationOp, SparkError> {
        let pb::StatCov { input, col1, col2 } = message;
        self.statistics(input, Statistics::Covariance(col1.clone(), col2.clone()))
    }

    pub(super) fn correlation(&self, message: &pb::StatCorr) -> Result<RelationOp, SparkError> {
        let pb::StatCorr { input, col1, col2, method } = message;
        self.statistics(input, Statistics::Correlation(col1.clone(), col2.clone(), method.clone()))
    }

    pub(super) fn approx_quantile(&self, message: &pb::StatApproxQuantile) -> Result<RelationOp, SparkError> {
        let pb::StatApproxQuantile { input, cols, probabilities, relative_error } = message;
        self.statistics(input, Statistics::ApproxQuantile(cols.clone(), probabilities.clone(), *relative_error))
    }

    pub(super) fn frequent_items(&self, message: &pb::StatFreqItems) -> Result<RelationOp, SparkError> {
        let pb::StatFreqItems { input, cols, support } = message;
        self.statistics(input, Statistics::FrequentItems(cols.clone(), *support))
    }

    pub(super) fn sample_by(&self, message: &pb::StatSampleBy) -> Result<RelationOp, SparkError> {
        let pb::StatSampleBy { input, col, fractions, seed } = message;
        let fractions = fractions.iter().map(|pb::stat_sample_by::Fraction { stratum, fraction }| {
            Ok((self.literal_expr(super::required(stratum.as_ref(), "the value of a stratum")?)?, *fraction))
        });
        let fractions = fractions.collect::<Result<Vec<_>, SparkError>>()?;
        let column = self.expr(super::required(col.as_ref(), "the column of the strata")?)?;
        self.statistics(input, Statistics::SampleBy(Box::new(column), fractions, *seed))
    }

    pub(super) fn fill_na(&self, message: &pb::NaFill) -> Result<RelationOp, SparkError> {
        let pb::NaFill { input, cols, values } = message;
        let values = values.iter().map(|value| self.literal_expr(value)).collect::<Result<Vec<_>, _>>()?;
        if values.is_empty() || (values.len() > 1 && values.len() != cols.len()) {
            return Err(invalid("fillna needs one value, or one for each column."));
        }
        Ok(RelationOp::FillNa { input: self.input(input)?, columns: cols.clone(), values })
    }

    pub(super) fn drop_na(&self, message: &pb::NaDrop) -> Result<RelationOp, SparkError> {
        let pb::NaDrop { input, cols, min_non_nulls } = message;
        let min_non_nulls = min_non_nulls.map(|n| usize::try_from(n).unwrap_or(0));
        Ok(RelationOp::DropNa { input: self.input(input)?, columns: cols.clone(), min_non_nulls })
    }

    pub(super) fn replace(&self, message: &pb::NaReplace) -> Result<RelationOp, SparkError> {
        let pb::NaReplace { input, cols, replacements } = message;
        let replacements = replacements.iter().map(|pb::na_replace::Replacement { old_value, new_value }| {
            let old = self.literal_expr(super::required(old_value.as_ref(), "a value to replace")?)?;
            let new = self.literal_expr(super::required(new_value.as_ref(), "a replacement")?)?;
            Ok((old, new))
        });
        let replacements = replacements.collect::<Result<Vec<_>, SparkError>>()?;
        Ok(RelationOp::Replace { input: self.input(input)?, columns: cols.clone(), replacements })
    }
}
