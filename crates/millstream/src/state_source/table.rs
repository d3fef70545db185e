//! State as a table whose partitions are loaded when they are read.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_functions::kernel::{from_datafusion, into_datafusion};
use millstream_state::inspect::StoreState;

use super::options::{JoinSide, StateOptions};

/// Rows that are handed on at once.
const BATCH_ROWS: usize = 8192;

/// The table of these partitions of a store.
pub(super) fn state_table(
    schema: SchemaRef,
    options: StateOptions,
    store: StoreState,
    partitions: Vec<usize>,
) -> Result<Arc<dyn TableProvider>, SparkError> {
    let (options, store) = (Arc::new(options), Arc::new(store));
    let part = |partition: usize| {
        let (schema, options, store) = (Arc::clone(&schema), Arc::clone(&options), Arc::clone(&store));
        Arc::new(StatePart { schema, options, store, partition }) as Arc<dyn PartitionStream>
    };
    let parts = partitions.into_iter().map(part).collect();
    Ok(Arc::new(StreamingTable::try_new(Arc::clone(&schema), parts).map_err(from_datafusion)?))
}

struct StatePart {
    schema: SchemaRef,
    options: Arc<StateOptions>,
    store: Arc<StoreState>,
    partition: usize,
}

impl fmt::Debug for StatePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, partition {}", self.options, self.partition)
    }
}

impl PartitionStream for StatePart {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        // Loading blocks a computing thread, which is what those threads are for.
        let batches: Vec<_> = match self.read() {
            Ok(rows) => (0..rows.num_rows())
                .step_by(BATCH_ROWS)
                .map(|at| Ok(rows.slice(at, BATCH_ROWS.min(rows.num_rows() - at))))
                .collect(),
            Err(error) => vec![Err(into_datafusion(error))],
        };
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), futures::stream::iter(batches)))
    }
}

impl StatePart {
    fn read(&self) -> Result<RecordBatch, SparkError> {
        let version = |batch: i64| u64::try_from(batch).unwrap_or(0) + 1;
        let (options, store) = (&self.options, &self.store);
        let rows = match (options.changes, &options.snapshot) {
            (Some((start, end)), _) => store.changes(self.partition, version(start), version(end))?,
            (None, Some(snapshot)) => {
                let (base, version) = (version(snapshot.start), version(options.batch));
                store.rows_from_snapshot(self.partition, base, version)?
            }
            (None, None) => store.rows(self.partition, version(options.batch))?,
        };
        let rows = if options.join_side == JoinSide::None { rows } else { self.without_own_fields(&rows)? };
        if rows.schema().fields() != self.schema.fields() {
            let dir = store.location(self.partition).dir().display().to_string();
            let text = format!("State in {dir} holds a null where its schema allows none.");
            return Err(SparkError::plain(ExceptionClass::Spark, text));
        }
        Ok(rows)
    }

    /// Rows of a join as they came in: without their number, and without whether they have matched.
    fn without_own_fields(&self, rows: &RecordBatch) -> Result<RecordBatch, SparkError> {
        let mut columns = rows.columns().to_vec();
        let mut fields: Vec<_> = rows.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
        for (at, field) in self.schema.fields().iter().enumerate().take(2) {
            let (Some(column), DataType::Struct(kept)) = (columns.get_mut(at), field.data_type()) else { continue };
            let of = column.as_any().downcast_ref::<StructArray>();
            let of = of.ok_or_else(|| SparkError::internal("a key or value that is no struct"))?;
            let children: Vec<ArrayRef> = of.columns().iter().take(kept.len()).cloned().collect();
            let made = match kept.is_empty() {
                true => StructArray::new_empty_fields(of.len(), None),
                false => StructArray::try_new(kept.clone(), children, None)?,
            };
            *column = Arc::new(made);
            if let Some(own) = fields.get_mut(at) {
                *own = own.clone().with_data_type(field.data_type().clone());
            }
        }
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
    }
}
