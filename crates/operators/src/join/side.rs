//! One side of a join of two streams: its rows at rest in two stores.
//!
//! The first store says how many rows a key has, the second holds them, each under its key and a number from 0. Numbers are
//! dense: when a row goes, the last one takes its number.

use std::cmp::Reverse;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Fields, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::physical_plan::PhysicalExpr;
use millstream_formats::condition::SparkError;
use millstream_formats::row::{KeyPrefix, RowBuffer, RowDecoder, RowEncoder, slot};
use millstream_functions::aggregate::canonical::canonical;
use millstream_state::StateStore;

use super::bounds::{Bound, lowest_ms};
use crate::exec::external;
use crate::stores::{Expiry, Partition, StoreFields, fields, types};

type StoreResult<T> = std::result::Result<T, SparkError>;

/// What is fixed of a side.
pub struct Side {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its join keys.
    pub keys: Vec<Arc<dyn PhysicalExpr>>,
    key_types: Vec<DataType>,
    /// Only rows for which these hold can ever match.
    pub own_filters: Vec<Arc<dyn PhysicalExpr>>,
    /// Its event-time column.
    pub event_time: Option<usize>,
    /// When its rows may go.
    pub cleanup: Cleanup,
    /// Rows are given out with nulls if nothing has matched them.
    pub outer: bool,
    /// Rows with a null among their keys or in one of these columns are dropped, since they can never match and are not given
    /// out; none for an outer side.
    needed: Option<Vec<usize>>,
    /// Position of its count store among the operator's stores; its row store follows.
    stores: usize,
    plain_keys: RowEncoder,
    key_rows: RowEncoder,
    prefix: KeyPrefix,
    values: RowEncoder,
    value_rows: RowDecoder,
}

/// When rows of a side may go.
#[derive(Debug, Clone, PartialEq)]
pub enum Cleanup {
    /// Never.
    Never,
    /// When the watermark passes this key.
    Key(usize),
    /// When a border made of the watermark passes the event time.
    Value(Vec<Bound>),
}

/// A row at rest.
pub struct Stored<'a> {
    /// Number among the rows of its key.
    pub number: i64,
    /// Its bytes.
    pub value: &'a [u8],
}

impl Side {
    /// A side whose stores begin at `stores`.
    ///
    /// # Errors
    /// If a column has a type that cannot be stored.
    #[expect(clippy::too_many_arguments, reason = "each is a fact of its own, known at one place")]
    pub fn try_new(
        schema: SchemaRef,
        keys: Vec<Arc<dyn PhysicalExpr>>,
        own_filters: Vec<Arc<dyn PhysicalExpr>>,
        event_time: Option<usize>,
        cleanup: Cleanup,
        outer: bool,
        needed: Option<Vec<usize>>,
        stores: usize,
    ) -> Result<Self> {
        let key_types = keys.iter().map(|k| k.data_type(&schema)).collect::<Result<Vec<_>>>()?;
        let numbered: Vec<DataType> = key_types.iter().cloned().chain([DataType::Int64]).collect();
        let value_types: Vec<DataType> = types(schema.fields()).into_iter().chain([DataType::Boolean]).collect();
        Ok(Self {
            plain_keys: RowEncoder::for_keys(&key_types).map_err(external)?,
            prefix: KeyPrefix::new(&numbered, key_types.len()),
            key_rows: RowEncoder::for_keys(&numbered).map_err(external)?,
            values: RowEncoder::for_values(&value_types).map_err(external)?,
            value_rows: RowDecoder::new(&value_types),
            schema,
            keys,
            key_types,
            own_filters,
            event_time,
            cleanup,
            outer,
            needed,
            stores,
        })
    }

    /// The stores of a side named `left` or `right`.
    pub fn store_fields(&self, names: [&'static str; 2]) -> [StoreFields; 2] {
        let key_names: Vec<String> = (0..self.key_types.len()).map(|i| format!("field{i}")).collect();
        let key = || key_names.iter().map(String::as_str).zip(self.key_types.iter().cloned());
        let value: Fields = self
            .schema
            .fields()
            .iter()
            .cloned()
            .chain(fields([("matched", DataType::Boolean)]).iter().cloned())
            .collect();
        let expiry = match (&self.cleanup, self.event_time) {
            (Cleanup::Key(key), _) => Expiry::ByKey(*key),
            (Cleanup::Value(_), Some(column)) => Expiry::ByValue(column),
            _ => Expiry::Never,
        };
        let store = |name, key, value, expiry, counted| StoreFields { name, key, value, expiry, prefix: 0, counted };
        [
            store(names[0], fields(key()), fields([("value", DataType::Int64)]), Expiry::Never, false),
            store(names[1], fields(key().chain([("index", DataType::Int64)])), value, expiry, true),
        ]
    }

    /// Which rows hold all values without which they can never match; none if no row is in question.
    pub fn known(&self, keys: &[ArrayRef], rows: &RecordBatch) -> Option<NullBuffer> {
        let needed = self.needed.as_ref()?;
        let columns = needed.iter().filter_map(|index| rows.columns().get(*index));
        keys.iter()
            .chain(columns)
            .fold(None, |all, column| NullBuffer::union(all.as_ref(), column.logical_nulls().as_ref()))
    }

    /// Key columns of rows in canonical form.
    pub fn key_columns(&self, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
        self.keys.iter().map(|key| canonical(&key.evaluate(rows)?.into_array(rows.num_rows())?)).collect()
    }

    /// Key bytes of rows: without a number, and with the number 0.
    pub fn encode_keys(&self, columns: &[ArrayRef], rows: usize) -> Result<(RowBuffer, RowBuffer)> {
        let (mut plain, mut numbered) = (RowBuffer::new(), RowBuffer::new());
        self.plain_keys.encode(columns, 0..rows, &mut plain).map_err(external)?;
        let mut columns = columns.to_vec();
        columns.push(Arc::new(arrow::array::Int64Array::from(vec![0; rows])));
        self.key_rows.encode(&columns, 0..rows, &mut numbered).map_err(external)?;
        Ok((plain, numbered))
    }

    /// Bytes of rows as they are stored.
    pub fn encode(&self, rows: &RecordBatch, matched: Vec<bool>) -> Result<RowBuffer> {
        let mut columns = rows.columns().to_vec();
        columns.push(Arc::new(BooleanArray::from(matched)));
        let mut values = RowBuffer::new();
        self.values.encode(&columns, 0..rows.num_rows(), &mut values).map_err(external)?;
        Ok(values)
    }

    /// Rows from their bytes, without `matched`.
    pub fn decode<'a>(&self, values: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        let mut columns = self.value_rows.decode(values).map_err(external)?;
        columns.pop();
        Ok(columns)
    }

    /// Whether something has matched a row at rest.
    pub fn is_matched(&self, value: &[u8]) -> bool {
        let width = self.schema.fields().len();
        slot::get_bool(value, width + 1, width).unwrap_or(false)
    }

    /// Up to which event time rows may go at a watermark, ms.
    pub fn expired_until_ms(&self, watermark_ms: i64) -> Option<i64> {
        match &self.cleanup {
            Cleanup::Never => None,
            Cleanup::Key(_) => Some(watermark_ms),
            Cleanup::Value(bounds) => lowest_ms(bounds, watermark_ms),
        }
    }

    fn counts<'a>(&self, partition: &'a mut Partition) -> StoreResult<&'a mut StateStore> {
        partition.get_mut(self.stores).ok_or_else(|| SparkError::internal("a join without its stores"))
    }

    fn rows<'a>(&self, partition: &'a mut Partition) -> StoreResult<&'a mut StateStore> {
        partition.get_mut(self.stores + 1).ok_or_else(|| SparkError::internal("a join without its stores"))
    }

    /// How many rows a key has; `plain` is the key without a number.
    fn count(&self, partition: &mut Partition, plain: &[u8]) -> StoreResult<i64> {
        Ok(self.counts(partition)?.get(plain).and_then(|row| slot::get_i64(row, 1, 0)).unwrap_or(0))
    }

    fn set_count(&self, partition: &mut Partition, plain: &[u8], count: i64) -> StoreResult<()> {
        let counts = self.counts(partition)?;
        if count == 0 {
            counts.remove(plain);
            return Ok(());
        }
        let mut value = [0; 16];
        slot::set_i64(&mut value, 1, 0, count);
        counts.put(plain, &value)
    }

    /// Visits the rows of a key.
    pub fn visit(
        &self,
        partition: &mut Partition,
        plain: &[u8],
        numbered: &[u8],
        mut each: impl FnMut(Stored<'_>),
    ) -> StoreResult<()> {
        let count = self.count(partition, plain)?;
        let rows = self.rows(partition)?;
        let mut key = numbered.to_vec();
        for number in 0..count {
            self.set_number(&mut key, number);
            if let Some(value) = rows.get(&key) {
                each(Stored { number, value });
            }
        }
        Ok(())
    }

    fn set_number(&self, key: &mut [u8], number: i64) {
        slot::set_i64(key, self.key_types.len() + 1, self.key_types.len(), number);
    }

    /// Adds a row to a key.
    pub fn append(&self, partition: &mut Partition, plain: &[u8], numbered: &[u8], value: &[u8]) -> StoreResult<()> {
        let count = self.count(partition, plain)?;
        let mut key = numbered.to_vec();
        self.set_number(&mut key, count);
        self.rows(partition)?.put(&key, value)?;
        self.set_count(partition, plain, count + 1)
    }

    /// Notes that something has matched a row.
    pub fn mark_matched(&self, partition: &mut Partition, numbered: &[u8], number: i64) -> StoreResult<()> {
        let mut key = numbered.to_vec();
        self.set_number(&mut key, number);
        let width = self.schema.fields().len();
        if let Some(value) = self.rows(partition)?.get_mut(&key) {
            slot::set_bool(value, width + 1, width, true);
        }
        Ok(())
    }

    /// Removes the rows that the watermark has closed and hands each to `visit`; returns how many they are.
    pub fn remove_expired(
        &self,
        partition: &mut Partition,
        watermark_ms: i64,
        mut visit: impl FnMut(&[u8]),
    ) -> StoreResult<usize> {
        let Some(until_ms) = self.expired_until_ms(watermark_ms) else { return Ok(0) };
        let mut expired: Vec<Expired> = Vec::new();
        let width = self.key_types.len();
        self.rows(partition)?.visit_expired(until_ms.saturating_mul(1000), |key, value| {
            let mut plain = Vec::new();
            if let (Some(number), true) = (slot::get_i64(key, width + 1, width), self.prefix.cut(key, &mut plain)) {
                expired.push(Expired { plain, number: Reverse(number), key: key.to_vec(), value: value.to_vec() });
            }
        });
        // From the last row of a key to the first, so that the row that takes a number is never one that goes.
        expired.sort_unstable();
        for Expired { plain, number, key, value } in &expired {
            visit(value);
            self.remove(partition, plain, key, number.0)?;
        }
        Ok(expired.len())
    }

    /// Removes a row; the last one of its key takes its number.
    pub fn remove(&self, partition: &mut Partition, plain: &[u8], numbered: &[u8], number: i64) -> StoreResult<()> {
        let last = self.count(partition, plain)? - 1;
        let rows = self.rows(partition)?;
        let (mut key, mut last_key) = (numbered.to_vec(), numbered.to_vec());
        self.set_number(&mut key, number);
        self.set_number(&mut last_key, last);
        if number != last
            && let Some(moved) = rows.get(&last_key).map(<[u8]>::to_vec)
        {
            rows.put(&key, &moved)?;
        }
        rows.remove(&last_key);
        self.set_count(partition, plain, last)
    }
}

/// A row that goes, in the order of going.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Expired {
    plain: Vec<u8>,
    number: Reverse<i64>,
    key: Vec<u8>,
    value: Vec<u8>,
}

/// A schema of both sides' columns.
pub fn both(left: &Schema, right: &Schema) -> SchemaRef {
    Arc::new(Schema::new(left.fields().iter().chain(right.fields()).cloned().collect::<Vec<_>>()))
}
