//! What an aggregation keeps per group, and how buffers become results.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use millstream_formats::condition::SparkError;
use millstream_formats::row::RowBuffer;

/// Rows of one output batch.
const OUTPUT_ROWS: usize = 8192;

/// Keys, buffers and functions of an aggregation.
pub struct Layout {
    /// Grouping keys first, then one column per aggregate.
    pub output: SchemaRef,
    /// The functions.
    pub aggregates: Vec<Arc<AggregateFunctionExpr>>,
    /// Number of buffer fields of each aggregate.
    widths: Vec<usize>,
    /// Types of the grouping keys.
    pub key_types: Vec<DataType>,
    /// Types of the buffers.
    pub buffer_types: Vec<DataType>,
    /// Which key is the event time.
    pub event_time_key: Option<usize>,
}

impl Layout {
    /// The layout of an aggregation with these results.
    ///
    /// # Errors
    /// If a function does not tell its buffer.
    pub fn try_new(
        output: SchemaRef,
        aggregates: Vec<Arc<AggregateFunctionExpr>>,
        event_time_key: Option<usize>,
    ) -> Result<Self> {
        let width = output.fields().len() - aggregates.len();
        let key_types: Vec<DataType> = output.fields().iter().take(width).map(|f| f.data_type().clone()).collect();
        let mut widths = Vec::new();
        let mut buffer_types = Vec::new();
        for aggregate in &aggregates {
            let fields = aggregate.state_fields()?;
            widths.push(fields.len());
            buffer_types.extend(fields.iter().map(|f| f.data_type().clone()));
        }
        Ok(Self { output, aggregates, widths, key_types, buffer_types, event_time_key })
    }

    /// Fresh accumulators.
    pub fn accumulators(&self) -> Result<Vec<Box<dyn GroupsAccumulator>>> {
        self.aggregates.iter().map(|a| a.create_groups_accumulator()).collect()
    }

    /// Merges rows of buffers into groups.
    pub fn merge(
        &self,
        into: &mut [Box<dyn GroupsAccumulator>],
        buffers: &[ArrayRef],
        groups: &[usize],
        total: usize,
    ) -> Result<()> {
        let mut rest = buffers;
        for (accumulator, width) in into.iter_mut().zip(&self.widths) {
            let (own, others) = rest.split_at_checked(*width).ok_or_else(missing_buffers)?;
            accumulator.merge_batch(own, groups, total)?;
            rest = others;
        }
        Ok(())
    }

    /// The buffers of all groups.
    pub fn buffers(&self, mut groups: Vec<Box<dyn GroupsAccumulator>>) -> Result<Vec<ArrayRef>> {
        let mut buffers = Vec::new();
        for group in &mut groups {
            buffers.extend(group.state(EmitTo::All)?);
        }
        Ok(buffers)
    }

    /// Result rows: each row of keys and buffers is a group of its own.
    pub fn results(&self, keys: Vec<ArrayRef>, buffers: &[ArrayRef], rows: usize) -> Result<RecordBatch> {
        let groups: Vec<usize> = (0..rows).collect();
        let mut accumulators = self.accumulators()?;
        self.merge(&mut accumulators, buffers, &groups, rows)?;
        let mut columns = keys;
        for accumulator in &mut accumulators {
            columns.push(accumulator.evaluate(EmitTo::All)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.output), columns, &options)?)
    }
}

/// An error for input that does not fit the functions.
pub fn missing_buffers() -> DataFusionError {
    DataFusionError::Internal("an aggregation has fewer buffers than its functions want".into())
}

/// Result rows of stored groups, made in batches of bounded size.
pub struct Results<F> {
    finish: F,
    keys: RowBuffer,
    values: RowBuffer,
    batches: Vec<RecordBatch>,
}

impl<F: Fn(&RowBuffer, &RowBuffer) -> Result<RecordBatch>> Results<F> {
    /// Result rows that `finish` makes of rows of keys and of values.
    pub fn new(finish: F) -> Self {
        Self { finish, keys: RowBuffer::new(), values: RowBuffer::new(), batches: Vec::new() }
    }

    /// Adds a stored group.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), SparkError> {
        self.keys.push(key);
        self.values.push(value);
        if self.keys.len() == OUTPUT_ROWS {
            self.flush().map_err(|e| crate::exec::spark_error(&e))?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if !self.keys.is_empty() {
            self.batches.push((self.finish)(&self.keys, &self.values)?);
            self.keys.clear();
            self.values.clear();
        }
        Ok(())
    }

    /// The batches.
    pub fn finish(mut self) -> Result<Vec<RecordBatch>> {
        self.flush()?;
        Ok(self.batches)
    }
}
