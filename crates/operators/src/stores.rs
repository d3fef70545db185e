//! The state of one stateful operator: its stores by partition, and its figures.
//!
//! A batch works on version `n` and, committed, is version `n + 1`. Every store of every partition writes a file for every
//! version, also if nothing changed, as Spark requires. Schema and metadata files are written with the first commit.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use arrow::datatypes::{DataType, Field, Fields};
use millstream_formats::condition::SparkError;
use millstream_formats::files::FileError;
use millstream_formats::row::{KeyPrefix, slot};
use millstream_formats::statefile::{OperatorMetadata, StateSchema, store_dir};
use millstream_state::{Maintenance, StateStore, StoreLocation, StoreOptions, TimeOf};
use parking_lot::Mutex;

use crate::stream_plan::{OperatorProgress, StreamSettings};

/// The watermarks of an operator in a batch, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Watermarks {
    /// Rows at or before it are late.
    pub late_ms: i64,
    /// State at or before it is closed.
    pub eviction_ms: i64,
}

/// Stores that one thread commits in less time than it takes to start another.
const COMMITS_PER_THREAD: usize = 8;

/// When an operator asks for a batch without data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoDataBatch {
    /// Never.
    Never,
    /// When the watermark has moved.
    WatermarkMoved,
}

/// From when on an entry may be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// Never by time.
    Never,
    /// The event time in a field of the key: a timestamp, or the end of a window.
    ByKey(usize),
    /// The event time in a field of the value.
    ByValue(usize),
}

/// What is fixed of a store.
#[derive(Debug, Clone)]
pub struct StoreFields {
    /// `default`, or its name among several.
    pub name: &'static str,
    /// Fields of its keys.
    pub key: Fields,
    /// Fields of its values.
    pub value: Fields,
    /// When entries may go.
    pub expiry: Expiry,
    /// First fields of the key by which entries are looked for together; 0 for none.
    pub prefix: usize,
    /// Whether its entries count as rows of the operator.
    pub counted: bool,
}

impl StoreFields {
    /// The only store of an operator.
    pub fn only(key: Fields, value: Fields, expiry: Expiry) -> Self {
        Self { name: millstream_formats::statefile::DEFAULT_STORE, key, value, expiry, prefix: 0, counted: true }
    }
}

/// What is fixed of an operator's state.
#[derive(Debug, Clone)]
pub struct StoreSpec {
    /// Id in the plan.
    pub operator: u32,
    /// Spark's name of the operator.
    pub name: &'static str,
    /// Its stores.
    pub stores: Vec<StoreFields>,
    /// Number of state partitions.
    pub partitions: usize,
    /// When the operator asks for a batch without data.
    pub no_data_batch: NoDataBatch,
    /// A metric of its own ([`Counters::custom`]).
    pub custom: Option<&'static str>,
}

/// Fields of a state row, all nullable as they are declared in files.
pub fn fields<'a>(columns: impl IntoIterator<Item = (&'a str, DataType)>) -> Fields {
    columns.into_iter().map(|(name, data_type)| Field::new(name, data_type, true)).collect()
}

/// Types of the fields.
pub fn types(fields: &Fields) -> Vec<DataType> {
    fields.iter().map(|f| f.data_type().clone()).collect()
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
    /// The operator's own metric.
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

    /// Adds the time since `start` to a counter of ns.
    pub fn add_time(counter: &AtomicU64, start: Instant) {
        counter.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }
}

/// The stores of one partition.
pub type Partition = Vec<StateStore>;

/// The only store of a partition.
pub fn only(partition: &mut Partition) -> Result<&mut StateStore, SparkError> {
    partition.first_mut().ok_or_else(|| SparkError::internal("an operator without a store"))
}

/// The state of one operator.
pub struct OperatorState {
    spec: StoreSpec,
    settings: StreamSettings,
    partitions: Vec<Mutex<Partition>>,
    /// Whether schema and metadata files are known to be there.
    described: AtomicBool,
    /// Figures of the batch that runs.
    pub counters: Counters,
    watermarks: Mutex<Watermarks>,
}

impl OperatorState {
    /// State at version 0.
    pub fn new(spec: StoreSpec, settings: &StreamSettings) -> Self {
        let open = |partition: usize| {
            spec.stores.iter().map(|store| open(&spec, store, partition, settings)).collect::<Partition>()
        };
        let partitions = (0..spec.partitions).map(|partition| Mutex::new(open(partition))).collect();
        Self {
            partitions,
            spec,
            settings: settings.clone(),
            described: AtomicBool::new(false),
            counters: Counters::default(),
            watermarks: Mutex::default(),
        }
    }

    /// What is fixed.
    pub fn spec(&self) -> &StoreSpec {
        &self.spec
    }

    /// `<checkpoint>/state/<operator>`.
    pub fn dir(&self) -> PathBuf {
        self.settings.state_dir.join(self.spec.operator.to_string())
    }

    /// How many output partitions serve the state partitions.
    pub fn outputs(&self) -> usize {
        self.settings.parallelism.min(self.spec.partitions).max(1)
    }

    /// The state partitions that one output partition serves.
    pub fn served_by(&self, output: usize) -> impl Iterator<Item = usize> + use<> {
        (output..self.spec.partitions).step_by(self.outputs())
    }

    /// Works on the stores of one partition.
    ///
    /// # Errors
    /// If there is no such partition, or the work fails.
    pub fn with<T>(
        &self,
        partition: usize,
        work: impl FnOnce(&mut Partition) -> Result<T, SparkError>,
    ) -> Result<T, SparkError> {
        let slot = self.partitions.get(partition).ok_or_else(|| SparkError::internal("no such state partition"))?;
        work(&mut slot.lock())
    }

    /// Works on the only store of one partition.
    ///
    /// # Errors
    /// If there is no such partition, or the work fails.
    pub fn with_store<T>(
        &self,
        partition: usize,
        work: impl FnOnce(&mut StateStore) -> Result<T, SparkError>,
    ) -> Result<T, SparkError> {
        self.with(partition, |stores| work(only(stores)?))
    }

    /// Removes what the watermark has closed in the partitions that an output partition serves, from the only store; each
    /// entry is handed to `visit` first.
    pub fn evict(
        &self,
        output: usize,
        watermark_ms: i64,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), SparkError>,
    ) -> Result<(), SparkError> {
        let start = Instant::now();
        let mut result = Ok(());
        for partition in self.served_by(output) {
            let removed = self.with_store(partition, |store| {
                Ok(store.remove_expired(watermark_ms.saturating_mul(1000), |key, value| {
                    if result.is_ok() {
                        result = visit(key, value);
                    }
                }))
            })?;
            Counters::add(&self.counters.removed, removed);
        }
        Counters::add_time(&self.counters.removals_ns, start);
        result
    }

    /// Begins a batch: forgets the figures of the one before.
    pub fn begin(&self, watermarks: Watermarks) {
        *self.watermarks.lock() = watermarks;
        self.counters.clear();
    }

    /// The watermarks of the batch that runs.
    pub fn watermarks(&self) -> Watermarks {
        *self.watermarks.lock()
    }

    /// Loads a version.
    pub fn restore(&self, version: u64) -> Result<(), SparkError> {
        if version > 0 {
            self.check_schemas()?;
        }
        self.on_all_partitions(1, |stores| stores.iter_mut().try_for_each(|store| store.load(version)))
    }

    /// Writes the state after the batch as the next version.
    pub fn commit(&self) -> Result<(), SparkError> {
        let start = Instant::now();
        if !self.described.load(Ordering::Relaxed) {
            self.describe().map_err(|e| unwritable(&e))?;
            self.described.store(true, Ordering::Relaxed);
        }
        let commit = |stores: &mut Partition| stores.iter_mut().try_for_each(|store| store.commit().map(drop));
        self.on_all_partitions(COMMITS_PER_THREAD, commit)?;
        Counters::add_time(&self.counters.commit_ns, start);
        Ok(())
    }

    /// The work in the background that is due once the newest version is committed.
    pub fn maintenance(&self) -> Vec<Maintenance> {
        self.partitions
            .iter()
            .flat_map(|slot| slot.lock().iter().map(StateStore::maintenance).collect::<Vec<_>>())
            .collect()
    }

    /// Works on all partitions, on several threads if there are more than `per_thread`.
    fn on_all_partitions(
        &self,
        per_thread: usize,
        work: impl Fn(&mut Partition) -> Result<(), SparkError> + Sync,
    ) -> Result<(), SparkError> {
        let threads = self.settings.parallelism.min(self.partitions.len().div_ceil(per_thread));
        if threads <= 1 {
            return self.partitions.iter().try_for_each(|slot| work(&mut slot.lock()));
        }
        let chunk = self.partitions.len().div_ceil(threads);
        std::thread::scope(|scope| {
            let work = &work;
            let run = |slots: &'_ [Mutex<Partition>]| slots.iter().try_for_each(|slot| work(&mut slot.lock()));
            let running: Vec<_> = self.partitions.chunks(chunk).map(|slots| scope.spawn(move || run(slots))).collect();
            running.into_iter().try_for_each(|thread| {
                thread.join().unwrap_or_else(|_| Err(SparkError::internal("a thread that works on state panicked")))
            })
        })
    }

    fn schema_path(&self, store: &StoreFields) -> PathBuf {
        let dir = store_dir(&self.settings.state_dir, self.spec.operator as usize, 0, store.name);
        dir.join("_metadata").join("schema")
    }

    /// Writes schema and metadata files.
    fn describe(&self) -> Result<(), FileError> {
        for store in &self.spec.stores {
            StateSchema::of(&store.key, &store.value)
                .write_if_missing(&self.schema_path(store), self.settings.fsync)?;
        }
        let names: Vec<&str> = self.spec.stores.iter().map(|store| store.name).collect();
        let prefix = self.spec.stores.first().map_or(0, |store| store.prefix as u64);
        // As Spark does, the setting also where the operator has one partition only.
        let partitions = self.settings.state_partitions as u64;
        let metadata = OperatorMetadata::new(self.spec.operator.into(), self.spec.name, &names, prefix, partitions);
        let path = OperatorMetadata::path(&self.dir());
        metadata.write_if_missing(&path, self.settings.fsync)
    }

    /// Fails if the state was written for rows of other types.
    fn check_schemas(&self) -> Result<(), SparkError> {
        for store in &self.spec.stores {
            let path = self.schema_path(store);
            if path.exists() {
                let schema = StateSchema::read(&path).map_err(|e| unreadable(&e))?;
                schema.check(&store.key, &store.value)?;
            }
        }
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
        let (mut rows_total, mut memory_bytes, mut live_bytes, mut spilled_bytes) = (0, 0, 0, 0);
        for slot in &self.partitions {
            for (store, spec) in slot.lock().iter().zip(&self.spec.stores) {
                let metrics = store.metrics();
                rows_total += if spec.counted { metrics.rows } else { 0 };
                memory_bytes += metrics.memory_bytes;
                live_bytes += metrics.live_bytes;
                spilled_bytes += metrics.spilled_bytes;
            }
        }
        let mut custom: BTreeMap<String, u64> = [
            ("loadedMapCacheHitCount", 0),
            ("loadedMapCacheMissCount", 0),
            ("stateOnCurrentVersionSizeBytes", live_bytes),
        ]
        .map(|(name, value)| (name.to_string(), value))
        .into();
        if spilled_bytes > 0 {
            // Not one of Spark's: only a query with a limit of memory has it.
            custom.insert("spilledSizeBytes".to_string(), spilled_bytes);
        }
        custom.extend(self.spec.custom.map(|name| (name.to_string(), count(&self.counters.custom))));
        let stores = (self.spec.partitions * self.spec.stores.len()) as u64;
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
            store_instances: stores,
            custom,
        }
    }
}

fn open(spec: &StoreSpec, store: &StoreFields, partition: usize, settings: &StreamSettings) -> StateStore {
    let (key, value) = (types(&store.key), types(&store.value));
    let options = StoreOptions {
        versions_retained: settings.versions_retained,
        min_deltas_for_snapshot: settings.min_deltas_for_snapshot,
        fsync: settings.fsync,
        deltas_synced_by_caller: true,
        memory: settings.state_memory.clone(),
        time_of: time_of(store),
        prefix: (store.prefix > 0).then(|| KeyPrefix::new(&key, store.prefix)),
        row_types: Some((key, value)),
    };
    StateStore::open(StoreLocation::new(&settings.state_dir, spec.operator as usize, partition, store.name), options)
}

/// How the time of an entry is read from its bytes.
fn time_of(store: &StoreFields) -> Option<TimeOf> {
    let (count, field) = match store.expiry {
        Expiry::Never => return None,
        Expiry::ByKey(field) => (store.key.len(), field),
        Expiry::ByValue(field) => (store.value.len(), field),
    };
    let by_key = matches!(store.expiry, Expiry::ByKey(_));
    let fields = if by_key { &store.key } else { &store.value };
    let window = matches!(fields.get(field).map(|f| f.data_type()), Some(DataType::Struct(_)));
    Some(Arc::new(move |key: &[u8], value: &[u8]| {
        let row = if by_key { key } else { value };
        match window {
            // The second of a window's two fields is its end.
            true => slot::get_bytes(row, count, field).and_then(|window| slot::get_i64(window, 2, 1)),
            false => slot::get_i64(row, count, field),
        }
    }))
}

fn unwritable(error: &FileError) -> SparkError {
    SparkError::internal(format!("the description of a state store cannot be written: {error}")).of_storage()
}

fn unreadable(error: &FileError) -> SparkError {
    SparkError::internal(format!("the description of a state store cannot be read: {error}"))
}
