//! Relations: which function reads which message.

mod join;
mod python;
pub(crate) mod read;
mod reshape;
mod select;
mod show;

use millstream_formats::condition::SparkError;
use millstream_plan::ir::{Relation, RelationOp};
use spark_connect_proto as pb;
use spark_connect_proto::relation::RelType;

use super::{Convert, required};

impl Convert<'_> {
    /// A relation with its plan id.
    pub fn relation(&self, message: &pb::Relation) -> Result<Relation, SparkError> {
        let pb::Relation { common, rel_type } = message;
        let op = self.relation_op(required(rel_type.as_ref(), "the kind of a relation")?)?;
        Ok(Relation { plan_id: common.as_ref().and_then(plan_id), op: Box::new(op) })
    }

    /// The input of a relation.
    pub(super) fn input(&self, message: &Option<Box<pb::Relation>>) -> Result<Relation, SparkError> {
        self.relation(required(message.as_deref(), "the input of a relation")?)
    }

    fn relation_op(&self, message: &RelType) -> Result<RelationOp, SparkError> {
        match message {
            RelType::Read(m) => self.read(m),
            RelType::Project(m) => self.project(m),
            RelType::Filter(m) => self.filter(m),
            RelType::Join(m) => self.join(m),
            RelType::SetOp(m) => self.set_operation(m),
            RelType::Sort(m) => self.sort(m),
            RelType::Limit(m) => self.limit(m),
            RelType::Aggregate(m) => self.aggregate(m),
            RelType::Sql(m) => self.sql(m),
            RelType::LocalRelation(m) => self.local_relation(m),
            RelType::Sample(m) => self.sample(m),
            RelType::Offset(m) => self.offset(m),
            RelType::Deduplicate(m) => self.deduplicate(m),
            RelType::Range(m) => range(m),
            RelType::SubqueryAlias(m) => self.subquery_alias(m),
            RelType::Repartition(m) => self.repartition(m),
            RelType::ToDf(m) => self.renamed_columns(m),
            RelType::WithColumnsRenamed(m) => self.with_columns_renamed(m),
            RelType::ShowString(m) => self.show_string(m),
            RelType::Drop(m) => self.drop_columns(m),
            RelType::Tail(m) => self.tail(m),
            RelType::WithColumns(m) => self.with_columns(m),
            RelType::Hint(m) => self.hint(m),
            RelType::Unpivot(m) => self.unpivot(m),
            RelType::ToSchema(m) => self.under_schema(m),
            RelType::RepartitionByExpression(m) => self.repartition_by_expression(m),
            RelType::MapPartitions(m) => self.map_partitions(m),
            RelType::CollectMetrics(m) => self.collect_metrics(m),
            RelType::Parse(m) => self.parse(m),
            RelType::GroupMap(m) => self.group_map(m),
            RelType::WithWatermark(m) => self.with_watermark(m),
            RelType::ApplyInPandasWithState(m) => self.apply_in_pandas_with_state(m),
            RelType::HtmlString(m) => self.html_string(m),
            RelType::CachedLocalRelation(m) => self.cached_local_relation(m),
            RelType::ChunkedCachedLocalRelation(m) => self.chunked_local_relation(m),
            RelType::CachedRemoteRelation(pb::CachedRemoteRelation { relation_id }) => {
                Ok(RelationOp::Cached(relation_id.clone()))
            }
            RelType::WithRelations(m) => self.with_relations(m),
            RelType::Transpose(m) => self.transpose(m),
            RelType::UnresolvedTableValuedFunction(m) => self.table_function(m),
            RelType::LateralJoin(m) => self.lateral_join(m),
            RelType::FillNa(m) => self.fill_na(m),
            RelType::DropNa(m) => self.drop_na(m),
            RelType::Replace(m) => self.replace(m),
            RelType::Summary(m) => self.summary(m),
            RelType::Crosstab(m) => self.crosstab(m),
            RelType::Describe(m) => self.describe(m),
            RelType::Cov(m) => self.covariance(m),
            RelType::Corr(m) => self.correlation(m),
            RelType::ApproxQuantile(m) => self.approx_quantile(m),
            RelType::FreqItems(m) => self.frequent_items(m),
            RelType::SampleBy(m) => self.sample_by(m),
            RelType::Catalog(m) => self.catalog(m).map(RelationOp::Catalog),
            other => Err(SparkError::unsupported(unserved(other))),
        }
    }
}

/// What the relations that are not served are called by users; a new one of the protocol breaks the build here.
fn unserved(message: &RelType) -> &'static str {
    match message {
        RelType::CoGroupMap(_) => "A cogrouped map (cogroup().applyInPandas)",
        RelType::CommonInlineUserDefinedTableFunction(_) => "A user-defined table function",
        RelType::CommonInlineUserDefinedDataSource(_) => "A data source written in Python",
        RelType::AsOfJoin(_) => "An as-of join",
        RelType::NearestByJoin(_) => "A nearest-by join",
        RelType::RelationChanges(_) => "Reading the changes of a table",
        RelType::Zip(_) => "zip of DataFrames",
        RelType::MlRelation(_) => "Spark ML",
        RelType::Extension(_) => "A relation of a protocol extension",
        RelType::Unknown(_) => "An unknown relation",
        RelType::Read(_)
        | RelType::Project(_)
        | RelType::Filter(_)
        | RelType::Join(_)
        | RelType::SetOp(_)
        | RelType::Sort(_)
        | RelType::Limit(_)
        | RelType::Aggregate(_)
        | RelType::Sql(_)
        | RelType::LocalRelation(_)
        | RelType::Sample(_)
        | RelType::Offset(_)
        | RelType::Deduplicate(_)
        | RelType::Range(_)
        | RelType::SubqueryAlias(_)
        | RelType::Repartition(_)
        | RelType::ToDf(_)
        | RelType::WithColumnsRenamed(_)
        | RelType::ShowString(_)
        | RelType::Drop(_)
        | RelType::Tail(_)
        | RelType::WithColumns(_)
        | RelType::Hint(_)
        | RelType::Unpivot(_)
        | RelType::ToSchema(_)
        | RelType::RepartitionByExpression(_)
        | RelType::MapPartitions(_)
        | RelType::CollectMetrics(_)
        | RelType::Parse(_)
        | RelType::GroupMap(_)
        | RelType::WithWatermark(_)
        | RelType::ApplyInPandasWithState(_)
        | RelType::HtmlString(_)
        | RelType::CachedLocalRelation(_)
        | RelType::ChunkedCachedLocalRelation(_)
        | RelType::CachedRemoteRelation(_)
        | RelType::WithRelations(_)
        | RelType::Transpose(_)
        | RelType::UnresolvedTableValuedFunction(_)
        | RelType::LateralJoin(_)
        | RelType::FillNa(_)
        | RelType::DropNa(_)
        | RelType::Replace(_)
        | RelType::Summary(_)
        | RelType::Crosstab(_)
        | RelType::Describe(_)
        | RelType::Cov(_)
        | RelType::Corr(_)
        | RelType::ApproxQuantile(_)
        | RelType::FreqItems(_)
        | RelType::SampleBy(_)
        | RelType::Catalog(_) => "This relation",
    }
}

#[expect(deprecated, reason = "older clients describe where a relation was written there; nothing here needs it")]
fn plan_id(message: &pb::RelationCommon) -> Option<i64> {
    let pb::RelationCommon { source_info: _, plan_id, origin: _ } = message;
    *plan_id
}

fn range(message: &pb::Range) -> Result<RelationOp, SparkError> {
    let pb::Range { start, end, step, num_partitions } = message;
    Ok(RelationOp::Range {
        start: start.unwrap_or(0),
        end: *end,
        step: *step,
        partitions: num_partitions.and_then(|n| usize::try_from(n).ok()),
    })
}
