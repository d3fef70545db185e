//! Running a relation: schema, rows, observed metrics.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use datafusion::scalar::ScalarValue;
use millstream::ir::{Relation, RelationOp};
use millstream_formats::condition::SparkError;
use spark_connect_proto as pb;
use spark_connect_proto::execute_plan_response::{ObservedMetrics, ResponseType};

use super::Execution;
use crate::convert::literal::literal_message;
use crate::convert::types::schema_message;
use crate::result::ResultWriter;

impl Execution {
    pub(super) async fn run_relation(&self, message: pb::Relation) -> Result<(), SparkError> {
        let stream = self.blocking(move |session| {
            let relation = session.convert().relation(&message)?;
            let plan_ids = metric_plan_ids(&relation);
            Ok((session.engine_session().execute(&relation)?, session.time_zone(), plan_ids))
        });
        let (mut rows, time_zone, plan_ids) = stream.await?;
        let mut schema = self.operation.response(None);
        schema.schema = Some(schema_message(rows.schema())?);
        self.operation.send(schema).await;
        let mut writer = ResultWriter::new(rows.schema(), &time_zone, self.chunking);
        while let Some(batch) = rows.next_async().await {
            for message in writer.messages(&batch?)? {
                self.send(ResponseType::ArrowBatch(message)).await;
            }
        }
        for message in writer.finish()? {
            self.send(ResponseType::ArrowBatch(message)).await;
        }
        let observed = rows.observed()?;
        if !observed.is_empty() {
            let mut response = self.operation.response(None);
            response.observed_metrics = observed_metrics(&observed, &plan_ids)?;
            self.operation.send(response).await;
        }
        Ok(())
    }
}

/// Plan ids of the observations in a relation by their names.
fn metric_plan_ids(relation: &Relation) -> BTreeMap<String, i64> {
    let mut ids: BTreeMap<String, i64> = relation.inputs().into_iter().flat_map(metric_plan_ids).collect();
    if let (Some(id), RelationOp::CollectMetrics { name, .. }) = (relation.plan_id, relation.op.as_ref()) {
        ids.insert(name.clone(), id);
    }
    ids
}

fn observed_metrics(
    observed: &BTreeMap<String, RecordBatch>,
    plan_ids: &BTreeMap<String, i64>,
) -> Result<Vec<ObservedMetrics>, SparkError> {
    let metrics = observed.iter().map(|(name, row)| {
        let values = row.columns().iter().map(|column| {
            let value = ScalarValue::try_from_array(column, 0).map_err(|e| SparkError::internal(e.to_string()))?;
            literal_message(&value)
        });
        Ok(ObservedMetrics {
            name: name.clone(),
            values: values.collect::<Result<_, SparkError>>()?,
            keys: row.schema().fields().iter().map(|field| field.name().clone()).collect(),
            plan_id: plan_ids.get(name).copied().unwrap_or_default(),
            root_error_idx: None,
            errors: Vec::new(),
        })
    });
    metrics.collect()
}
