//! The state of one stateful operator: its stores by partition, an index of their keys by event time, and its figures.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::Array;
use arrow::datatypes::DataType;
use millstream_formats::condition::SparkError;
use millstream_formats::row::RowDecoder;
use parking_lot::{Mutex, RwLock};

use crate::event_time::event_times_us;
use crate::exec::spark_error;
use crate::stream_plan::{Batch, OperatorProgress, StreamSettings};

/// The batch that runs, shared by the operators of a query.
pub type CurrentBatch = Arc<RwLock<Batch>>;

/// When an operator asks for a batch without data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoDataBatch {
    /// Never.
    Never,
    /// When the watermark has moved.
    WatermarkMoved,
}

/// What is fixed of an operator's state.
#[derive(Debug, Clone)]
pub struct StoreSpec {
    /// Id in the plan.
    pub operator: u32,
    /// Spark's name of the operator.
    pub name: &'static str,
    /// Types of the key's fields.
    pub key_types: Vec<(String, DataType)>,
    /// Types of the value's fields.
    pub value_types: Vec<(String, DataType)>,
    /// Number of state partitions.
    pub partitions: usize,
    /// Field of the key that is the event time.
    pub event_time_key: Option<usize>,
    /// When the operator asks for a batch without data.
    pub no_data_batch: NoDataBatch,
    /// Metrics of its own, zero unless it says otherwise.
    pub custom: &'static [&'static str],
}

/// Counts of the batch that runs.
#[derive(Debug, Default)]
pub struct Counters {
    /// Rows put.
    pub updated: AtomicU64,
    /// Rows removed.
    pub removed: AtomicU64,
    /// Late rows dropped.
    pub late: AtomicU64,
    /// First metric of the operator's own.
    pub custom: AtomicU64,
    /// Time spent putting, ns.
    pub updates_ns: AtomicU64,
    /// Time spent removing, ns.
    pub removals_ns: AtomicU64,
    /// Time of the commit, ns.
    pub commit_ns: AtomicU64,
}

impl Counters {
    fn clear(&self) {
        let all = [
            &self.updated,
            &self.removed,
            &self.late,
            &self.custom,
            &self.updates_ns,
            &self.removals_ns,
            &self.commit_ns,
        ];
        all.iter().for_each(|counter| counter.store(0, Ordering::Relaxed));
    }

    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, more: usize) {
        counter.fetch_add(more as u64, Ordering::Relaxed);
    }
}

/// One partition of an operator's state.
pub struct Partition {
    store: Store,
    /// Keys by event time, µs; only if the operator evicts by its key.
    times: Option<BTreeMap<i64, Vec<Box<[u8]>>>>,
}

impl Partition {
    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.store.get(key)
    }

    /// Sets the value of a key. `time_us` is the key's event time; `known` says that the key is there already.
    pub fn put(&mut self, key: &[u8], value: &[u8], time_us: Option<i64>, known: bool) {
        if let (Some(times), Some(time), false) = (&mut self.times, time_us, known) {
            times.entry(time).or_default().push(key.into());
        }
        self.store.put(key, value);
    }

    /// Removes the keys whose event time is at or before `until_us` and hands over each key and value.
    pub fn evict(&mut self, until_us: i64, mut each: impl FnMut(&[u8], &[u8])) -> usize {
        let Some(times) = &mut self.times else { return 0 };
        let later = until_us.checked_add(1).map(|after| times.split_off(&after)).unwrap_or_default();
        let expired = std::mem::replace(times, later);
        let mut removed = 0;
        for key in expired.into_values().flatten() {
            if let Some(value) = self.store.get(&key) {
                each(&key, value);
                removed += 1;
            }
            self.store.remove(&key);
        }
        removed
    }

    /// All keys and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.store.iter()
    }

    /// The store itself, for operators that evict in ways of their own.
    pub fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }
}

/// The state of one operator.
pub struct OperatorState {
    spec: StoreSpec,
    settings: StreamSettings,
    partitions: Vec<Mutex<Option<Partition>>>,
    /// Figures of the batch that runs.
    pub counters: Counters,
    /// The batch that runs.
    pub batch: CurrentBatch,
}

impl OperatorState {
    /// State that is not loaded yet.
    pub fn new(spec: StoreSpec, settings: &StreamSettings, batch: CurrentBatch) -> Self {
        let partitions = (0..spec.partitions).map(|_| Mutex::new(None)).collect();
        Self { spec, settings: settings.clone(), partitions, counters: Counters::default(), batch }
    }

    /// What is fixed.
    pub fn spec(&self) -> &StoreSpec {
        &self.spec
    }

    /// The state partitions that one of `outputs` output partitions serves.
    pub fn served_by(&self, output: usize, outputs: usize) -> impl Iterator<Item = usize> + use<> {
        (output..self.spec.partitions).step_by(outputs.max(1))
    }

    /// Works on one partition.
    ///
    /// # Errors
    /// If the state has not been loaded, or the work fails.
    pub fn with<T>(
        &self,
        partition: usize,
        work: impl FnOnce(&mut Partition) -> Result<T, SparkError>,
    ) -> Result<T, SparkError> {
        let slot = self.partitions.get(partition).ok_or_else(|| SparkError::internal("no such state partition"))?;
        match slot.lock().as_mut() {
            Some(partition) => work(partition),
            None => Err(SparkError::internal("state is used before it is loaded")),
        }
    }

    /// Forgets the figures of the batch before.
    pub fn begin(&self) {
        self.counters.clear();
    }

    /// Loads a version.
    pub fn restore(&self, version: i64) -> Result<(), SparkError> {
        for (index, slot) in self.partitions.iter().enumerate() {
            let store = Store::open(&self.settings, &self.spec, index, version)?;
            let times = self.spec.event_time_key.map(|field| self.index_by_time(&store, field)).transpose()?;
            *slot.lock() = Some(Partition { store, times });
        }
        Ok(())
    }

    fn index_by_time(&self, store: &Store, field: usize) -> Result<BTreeMap<i64, Vec<Box<[u8]>>>, SparkError> {
        let types: Vec<DataType> = self.spec.key_types.iter().map(|(_, t)| t.clone()).collect();
        let keys: Vec<&[u8]> = store.iter().map(|(key, _)| key).collect();
        let columns = RowDecoder::new(&types).decode(keys.iter().copied())?;
        let column = columns.get(field).ok_or_else(|| SparkError::internal("a key has no event time"))?;
        let times = event_times_us(column).map_err(|e| spark_error(&e))?;
        let mut index: BTreeMap<i64, Vec<Box<[u8]>>> = BTreeMap::new();
        for (row, key) in keys.into_iter().enumerate().filter(|(row, _)| times.is_valid(*row)) {
            index.entry(times.value(row)).or_default().push(key.into());
        }
        Ok(index)
    }

    /// Writes the state after a batch as version `version`.
    pub fn commit(&self, version: i64) -> Result<(), SparkError> {
        let start = std::time::Instant::now();
        for slot in &self.partitions {
            match slot.lock().as_mut() {
                Some(partition) => partition.store.commit(version)?,
                None => return Err(SparkError::internal("state is written before it is loaded")),
            }
        }
        self.counters.commit_ns.store(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Whether a batch without data would change something.
    pub fn wants_batch(&self, next_watermark_ms: i64, last_watermark_ms: i64) -> bool {
        self.spec.no_data_batch == NoDataBatch::WatermarkMoved && next_watermark_ms > last_watermark_ms
    }

    /// Figures of the batch that ran.
    pub fn progress(&self) -> OperatorProgress {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let ms = |counter: &AtomicU64| count(counter) / 1_000_000;
        let (mut rows_total, mut memory_bytes) = (0, 0);
        for slot in &self.partitions {
            if let Some(partition) = slot.lock().as_ref() {
                rows_total += partition.store.len() as u64;
                memory_bytes += partition.store.memory_bytes() as u64;
            }
        }
        let mut custom: BTreeMap<String, u64> = [
            ("loadedMapCacheHitCount", 0),
            ("loadedMapCacheMissCount", 0),
            ("stateOnCurrentVersionSizeBytes", memory_bytes),
        ]
        .map(|(name, value)| (name.to_string(), value))
        .into();
        custom.extend(self.spec.custom.iter().map(|name| (name.to_string(), count(&self.counters.custom))));
        OperatorProgress {
            name: self.spec.name.to_string(),
            rows_total,
            rows_updated: count(&self.counters.updated),
            rows_removed: count(&self.counters.removed),
            rows_dropped_by_watermark: count(&self.counters.late),
            updates_ms: ms(&self.counters.updates_ns),
            removals_ms: ms(&self.counters.removals_ns),
            commit_ms: ms(&self.counters.commit_ns),
            memory_bytes,
            partitions: self.spec.partitions as u64,
            store_instances: self.spec.partitions as u64,
            custom,
        }
    }
}

/// One store, until the crate `state` has one.
pub struct Store {
    rows: hashbrown::HashMap<Box<[u8]>, Box<[u8]>>,
}

impl Store {
    fn open(
        _settings: &StreamSettings,
        _spec: &StoreSpec,
        _partition: usize,
        version: i64,
    ) -> Result<Self, SparkError> {
        if version > 0 {
            return Err(SparkError::unsupported("A restart with state"));
        }
        Ok(Self { rows: hashbrown::HashMap::new() })
    }

    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.rows.get(key).map(|v| &**v)
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.rows.insert(key.into(), value.into());
    }

    fn remove(&mut self, key: &[u8]) {
        self.rows.remove(key);
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.rows.iter().map(|(k, v)| (&**k, &**v))
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn memory_bytes(&self) -> usize {
        self.rows.iter().map(|(k, v)| k.len() + v.len() + 32).sum()
    }

    fn commit(&mut self, _version: i64) -> Result<(), SparkError> {
        Ok(())
    }
}
