//! Brings all rows of a key together: every input partition's rows are split by Spark's Murmur3 of their keys into state
//! partitions, of which each output partition serves every `n`-th.
//!
//! Input partitions run as tasks of their own, once per batch, when the first output partition asks. Rows of a state
//! partition keep the order of their input partition; input partitions come in their order.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use millstream_formats::hash::partition_ids;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::exec::{collect_partition, external, partitions};

/// Rows of some state partitions.
#[derive(Debug)]
pub struct Placed {
    /// The rows.
    pub rows: RecordBatch,
    /// The state partition of each row.
    pub partitions: Vec<u32>,
}

/// Rows by output partition.
type Outputs = Vec<Mutex<Vec<Placed>>>;

/// Where the rows of one batch meet. Fresh for each run of the plan.
#[derive(Debug)]
pub struct Exchange {
    /// Number of state partitions.
    state_partitions: usize,
    /// Number of output partitions.
    outputs: usize,
    /// Rows by output partition, taken once by each.
    ready: OnceCell<std::result::Result<Outputs, Arc<DataFusionError>>>,
}

impl Exchange {
    /// An exchange into `state_partitions` that are served by `outputs` output partitions.
    pub fn new(state_partitions: usize, outputs: usize) -> Self {
        Self { state_partitions, outputs, ready: OnceCell::new() }
    }

    /// The same, for another run.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self::new(self.state_partitions, self.outputs)
    }

    /// The rows for one output partition, once the whole input has been read. No keys means one state partition.
    pub async fn rows(
        &self,
        output: usize,
        input: &Arc<dyn ExecutionPlan>,
        keys: &[Arc<dyn PhysicalExpr>],
        context: &Arc<TaskContext>,
    ) -> Result<Vec<Placed>> {
        let ready = self.ready.get_or_init(|| async { self.read(input, keys, context).await.map_err(Arc::new) }).await;
        match ready {
            Ok(outputs) => Ok(outputs.get(output).map(|rows| std::mem::take(&mut *rows.lock())).unwrap_or_default()),
            Err(error) => Err(DataFusionError::Shared(Arc::clone(error))),
        }
    }

    async fn read(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        keys: &[Arc<dyn PhysicalExpr>],
        context: &Arc<TaskContext>,
    ) -> Result<Outputs> {
        let tasks: Vec<_> = (0..partitions(input))
            .map(|partition| {
                let (input, keys, context) = (Arc::clone(input), keys.to_vec(), Arc::clone(context));
                let (state_partitions, outputs) = (self.state_partitions, self.outputs);
                SpawnedTask::spawn(async move {
                    let mut split: Vec<Vec<Placed>> = (0..outputs).map(|_| Vec::new()).collect();
                    collect_partition(input, partition, context, |rows| {
                        place(rows, &keys, state_partitions, &mut split)
                    })
                    .await?;
                    Ok::<_, DataFusionError>(split)
                })
            })
            .collect();
        let mut all: Vec<Vec<Placed>> = (0..self.outputs).map(|_| Vec::new()).collect();
        for task in tasks {
            let split = task.join().await.map_err(|e| DataFusionError::ExecutionJoin(Box::new(e)))??;
            all.iter_mut().zip(split).for_each(|(all, more)| all.extend(more));
        }
        Ok(all.into_iter().map(Mutex::new).collect())
    }
}

/// Splits a batch by the output partition that serves its rows.
fn place(
    rows: RecordBatch,
    keys: &[Arc<dyn PhysicalExpr>],
    state_partitions: usize,
    split: &mut [Vec<Placed>],
) -> Result<()> {
    if rows.num_rows() == 0 {
        return Ok(());
    }
    let columns: Vec<ArrayRef> =
        keys.iter().map(|key| key.evaluate(&rows)?.into_array(rows.num_rows())).collect::<Result<_>>()?;
    let mut ids = Vec::with_capacity(rows.num_rows());
    match columns.is_empty() {
        true => ids.resize(rows.num_rows(), 0),
        false => {
            partition_ids(&columns, rows.num_rows(), state_partitions, &mut Vec::new(), &mut ids).map_err(external)?
        }
    }
    let outputs = split.len();
    if outputs == 1 {
        split
            .iter_mut()
            .for_each(|only| only.push(Placed { rows: rows.clone(), partitions: std::mem::take(&mut ids) }));
        return Ok(());
    }
    let mut indices: Vec<Vec<u32>> = vec![Vec::new(); outputs];
    ids.iter().enumerate().for_each(|(row, id)| indices[*id as usize % outputs].push(row as u32));
    for (output, indices) in indices.into_iter().enumerate().filter(|(_, indices)| !indices.is_empty()) {
        let partitions = indices.iter().map(|row| ids[*row as usize]).collect();
        let rows = match indices.len() == rows.num_rows() {
            true => rows.clone(),
            false => take_record_batch(&rows, &UInt32Array::from(indices))?,
        };
        split[output].push(Placed { rows, partitions });
    }
    Ok(())
}
