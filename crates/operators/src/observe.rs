//! Aggregates over the rows that pass (`observe`): each partition aggregates for itself and adds its buffers when it ends.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Accumulator;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties};
use futures::StreamExt;
use parking_lot::Mutex;

use crate::exec::{one_input, row_by_row};

/// An observation: its aggregates, the metrics made of them, and what was seen.
pub struct Observation {
    /// Name.
    pub name: String,
    aggregates: Vec<Arc<AggregateFunctionExpr>>,
    /// One column per aggregate.
    aggregated: SchemaRef,
    /// Over `aggregated`, with their names.
    metrics: Vec<(Arc<dyn PhysicalExpr>, String)>,
    totals: Mutex<Vec<Box<dyn Accumulator>>>,
}

impl Observation {
    /// An observation that has seen nothing.
    ///
    /// # Errors
    /// If an aggregate cannot be computed.
    pub fn try_new(
        name: String,
        aggregates: Vec<Arc<AggregateFunctionExpr>>,
        aggregated: SchemaRef,
        metrics: Vec<(Arc<dyn PhysicalExpr>, String)>,
    ) -> Result<Self> {
        let this = Self { name, aggregates, aggregated, metrics, totals: Mutex::default() };
        this.clear()?;
        Ok(this)
    }

    /// Forgets what was seen.
    pub fn clear(&self) -> Result<()> {
        *self.totals.lock() = self.accumulators()?;
        Ok(())
    }

    fn accumulators(&self) -> Result<Vec<Box<dyn Accumulator>>> {
        self.aggregates.iter().map(|a| a.create_accumulator()).collect()
    }

    fn update(&self, accumulators: &mut [Box<dyn Accumulator>], batch: &RecordBatch) -> Result<()> {
        for (aggregate, accumulator) in self.aggregates.iter().zip(accumulators) {
            let values: Vec<ArrayRef> = aggregate
                .expressions()
                .iter()
                .map(|e| e.evaluate(batch)?.into_array(batch.num_rows()))
                .collect::<Result<_>>()?;
            accumulator.update_batch(&values)?;
        }
        Ok(())
    }

    fn merge(&self, accumulators: &mut [Box<dyn Accumulator>]) -> Result<()> {
        for (total, part) in self.totals.lock().iter_mut().zip(accumulators) {
            let state: Vec<ArrayRef> = part.state()?.iter().map(|v| v.to_array()).collect::<Result<_>>()?;
            total.merge_batch(&state)?;
        }
        Ok(())
    }

    /// The metrics of what was seen: one row.
    pub fn metrics(&self) -> Result<RecordBatch> {
        let values: Vec<ArrayRef> =
            self.totals.lock().iter_mut().map(|total| total.evaluate()?.to_array()).collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let row = RecordBatch::try_new_with_options(Arc::clone(&self.aggregated), values, &options)?;
        let mut fields = Vec::new();
        let mut columns = Vec::new();
        for (metric, name) in &self.metrics {
            let value = metric.evaluate(&row)?.into_array(1)?;
            fields.push(Field::new(name, value.data_type().clone(), true));
            columns.push(value);
        }
        Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
    }
}

/// Gives rows on unchanged and observes them.
pub struct ObserveExec {
    input: Arc<dyn ExecutionPlan>,
    observation: Arc<Observation>,
    properties: Arc<PlanProperties>,
}

impl ObserveExec {
    /// Observes the rows of `input`.
    pub fn new(input: Arc<dyn ExecutionPlan>, observation: Arc<Observation>) -> Self {
        let properties = row_by_row(&input.schema(), &input);
        Self { input, observation, properties }
    }

    fn with_input(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Ok(Self::new(input, Arc::clone(&self.observation)))
    }

    /// What is observed.
    pub fn observation(&self) -> &Arc<Observation> {
        &self.observation
    }
}

impl fmt::Debug for ObserveExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObserveExec({})", self.observation.name)
    }
}

impl DisplayAs for ObserveExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "CollectMetricsExec: {}", self.observation.name)
    }
}

impl ExecutionPlan for ObserveExec {
    one_input!("ObserveExec");

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let observation = Arc::clone(&self.observation);
        let accumulators = observation.accumulators()?;
        let observed = futures::stream::unfold(Some((input, accumulators)), move |state| {
            let observation = Arc::clone(&observation);
            async move {
                let (mut input, mut accumulators) = state?;
                match input.next().await {
                    Some(Ok(batch)) => match observation.update(&mut accumulators, &batch) {
                        Ok(()) => Some((Ok(batch), Some((input, accumulators)))),
                        Err(error) => Some((Err(error), None)),
                    },
                    Some(Err(error)) => Some((Err(error), None)),
                    None => observation.merge(&mut accumulators).err().map(|error| (Err(error), None)),
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.input.schema(), observed)))
    }
}
