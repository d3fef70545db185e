//! The operators, stores and rows of a checkpoint.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use millstream_formats::condition::SparkError;
use millstream_formats::files::{FileError, names};
use millstream_formats::hash::partition_ids;
use millstream_formats::log::CommitLog;
use millstream_formats::row::RowDecoder;
use millstream_formats::statefile::{
    Change, DEFAULT_STORE, OperatorMetadata, StateFileKind, StateSchema, parse_state_file_name, read_changes,
    state_file_path,
};

use crate::error;
use crate::location::StoreLocation;
use crate::store::{StateStore, StoreOptions};

/// The version of state after the newest committed batch; 0 if there is none.
///
/// # Errors
/// If the commit log cannot be read.
pub fn committed_version(checkpoint: &Path) -> Result<u64, SparkError> {
    let latest = CommitLog::open(checkpoint.join("commits"), false)?.latest()?;
    Ok(latest.and_then(|(id, _)| u64::try_from(id + 1).ok()).unwrap_or(0))
}

/// The stateful operators of a checkpoint in order of their numbers; none for a stateless query. What describes an operator
/// and cannot be read is in [`OperatorState::problems`].
///
/// # Errors
/// If a directory cannot be read.
pub fn operators(checkpoint: &Path) -> Result<Vec<OperatorState>, SparkError> {
    let state_dir = checkpoint.join("state");
    numbers(&state_dir)?.into_iter().map(|id| OperatorState::open(&state_dir, id)).collect()
}

/// The entries of a directory that are plain numbers, in order.
fn numbers(dir: &Path) -> Result<Vec<usize>, FileError> {
    let mut numbers: Vec<usize> = names(dir)?.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// One stateful operator.
#[derive(Debug, Clone)]
pub struct OperatorState {
    /// Its number.
    pub id: usize,
    /// Its name and stores; absent if the file is missing or damaged, as Spark tolerates.
    pub metadata: Option<OperatorMetadata>,
    /// The partitions that have a directory.
    pub partitions: Vec<usize>,
    /// Its stores by name.
    pub stores: Vec<StoreState>,
    /// Files with metadata or schemas that are damaged, and how.
    pub problems: Vec<(PathBuf, SparkError)>,
}

impl OperatorState {
    fn open(state_dir: &Path, id: usize) -> Result<Self, SparkError> {
        let dir = state_dir.join(id.to_string());
        let mut problems = Vec::new();
        let path = OperatorMetadata::path(&dir);
        let metadata = match OperatorMetadata::read(&path) {
            Ok(metadata) => Some(metadata),
            Err(FileError::Missing { .. }) => None,
            Err(error) => {
                problems.push((path, error.into()));
                None
            }
        };
        let partitions = numbers(&dir)?;
        let mut stores = Vec::new();
        for name in store_names(state_dir, id)? {
            match StoreState::open(state_dir, id, &name, placed_in(&partitions, metadata.as_ref())) {
                Ok(store) => stores.push(store),
                Err(error) => problems.push((schema_path(state_dir, id, &name), error)),
            }
        }
        Ok(Self { id, metadata, partitions, stores, problems })
    }

    /// `stateStoreSave`, `dedupe`, …; empty if the metadata is missing.
    pub fn name(&self) -> &str {
        self.metadata.as_ref().map_or("", |metadata| &metadata.operator_info.operator_name)
    }
}

/// Over how many partitions keys are spread: all of them, also where one has lost its directory.
fn placed_in(partitions: &[usize], metadata: Option<&OperatorMetadata>) -> usize {
    let found = partitions.last().map_or(0, |last| last + 1);
    let said = metadata.and_then(|metadata| metadata.state_store_info.first()).map_or(0, |store| store.num_partitions);
    if found == 1 { 1 } else { found.max(usize::try_from(said).unwrap_or(0)) }
}

/// The stores of an operator, told by the schemas under partition 0.
fn store_names(state_dir: &Path, operator: usize) -> Result<Vec<String>, FileError> {
    let has_schema = |name: &str| schema_path(state_dir, operator, name).exists();
    let mut found: Vec<String> = names(StoreLocation::new(state_dir, operator, 0, DEFAULT_STORE).dir())?
        .into_iter()
        .filter(|name| has_schema(name))
        .collect();
    found.sort_unstable();
    if has_schema(DEFAULT_STORE) {
        found.insert(0, DEFAULT_STORE.to_string());
    }
    Ok(found)
}

pub(super) fn schema_path(state_dir: &Path, operator: usize, store: &str) -> PathBuf {
    StoreLocation::new(state_dir, operator, 0, store).dir().join("_metadata").join("schema")
}

/// A key and its value in a state file; `None` is a removal.
pub type FileEntry = (Vec<u8>, Option<Vec<u8>>);

/// One store of an operator, in all its partitions.
#[derive(Debug, Clone)]
pub struct StoreState {
    state_dir: PathBuf,
    operator: usize,
    /// How many of the key's fields decide the partition; `None` if there is only one by nature.
    placed_by: Option<usize>,
    partitions: usize,
    /// `default`, or the name of its directory.
    pub name: String,
    /// The schema as its file has it.
    pub schema: StateSchema,
    /// Fields of the keys.
    pub key: Fields,
    /// Fields of the values.
    pub value: Fields,
}

/// Figures of one partition of a store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartitionState {
    /// Number of the partition.
    pub partition: usize,
    /// Entries at the version asked for.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Versions with a delta or a snapshot, in order.
    pub files: Vec<(u64, StateFileKind)>,
}

impl StoreState {
    fn open(state_dir: &Path, operator: usize, name: &str, partitions: usize) -> Result<Self, SparkError> {
        let schema = StateSchema::read(&schema_path(state_dir, operator, name))?;
        let (key, value) = schema.fields()?;
        let placed_by = match key.last() {
            // A limit, or an aggregation without keys.
            None => None,
            Some(last) if *last.data_type() == DataType::Null && key.len() == 1 => None,
            // The session's start and the index of a joined row are no part of what the rows were exchanged by.
            Some(last) if last.name() == "sessionStartTime" => Some(key.len() - 1),
            Some(_) if name.ends_with("keyWithIndexToValue") => Some(key.len() - 1),
            Some(_) => Some(key.len()),
        };
        let (state_dir, name) = (state_dir.to_path_buf(), name.to_string());
        Ok(Self { state_dir, operator, placed_by, partitions, name, schema, key, value })
    }

    /// Where a partition's files lie.
    pub fn location(&self, partition: usize) -> StoreLocation {
        StoreLocation::new(&self.state_dir, self.operator, partition, &self.name)
    }

    /// Types of keys and values.
    pub(super) fn types(&self) -> (Vec<DataType>, Vec<DataType>) {
        let types = |fields: &Fields| fields.iter().map(|field| field.data_type().clone()).collect();
        (types(&self.key), types(&self.value))
    }

    /// Loads a partition at a version, checked against the schema.
    ///
    /// # Errors
    /// `CANNOT_LOAD_STATE_STORE` naming the file that is missing, damaged or of another schema.
    pub fn load(&self, partition: usize, version: u64) -> Result<StateStore, SparkError> {
        let options = StoreOptions { row_types: Some(self.types()), ..StoreOptions::default() };
        let mut store = StateStore::open(self.location(partition), options);
        store.load(version)?;
        Ok(store)
    }

    /// The rows of a partition at a version: the columns `key` and `value`, structs, and `partition_id`.
    ///
    /// # Errors
    /// As [`StoreState::load`]; if a row is malformed.
    pub fn rows(&self, partition: usize, version: u64) -> Result<RecordBatch, SparkError> {
        let store = self.load(partition, version)?;
        let (keys, values): (Vec<&[u8]>, Vec<&[u8]>) = store.iter().unzip();
        self.batch(partition, keys, values)
    }

    /// As [`StoreState::rows`], by the snapshot of version `base` and the deltas after it and nothing else.
    ///
    /// # Errors
    /// If one of these files is missing or damaged, or a row malformed.
    pub fn rows_from_snapshot(&self, partition: usize, base: u64, version: u64) -> Result<RecordBatch, SparkError> {
        self.replay(partition, base, version).map_err(error::uncategorized)
    }

    fn replay(&self, partition: usize, base: u64, version: u64) -> Result<RecordBatch, SparkError> {
        let mut rows: BTreeMap<Vec<u8>, Vec<u8>> =
            self.file_entries(partition, base, StateFileKind::Snapshot)?.into_iter().filter_map(put).collect();
        for version in base + 1..=version {
            for (key, value) in self.file_entries(partition, version, StateFileKind::Delta)? {
                match value {
                    Some(value) => rows.insert(key, value),
                    None => rows.remove(&key),
                };
            }
        }
        let (keys, values) = rows.iter().map(|(key, value)| (key.as_slice(), value.as_slice())).unzip();
        self.batch(partition, keys, values)
    }

    /// What became of keys in versions `first` to `last` of a partition, in order: the columns `batch_id`, `change_type`
    /// (`update` or `delete`), `key`, `value` and `partition_id`.
    ///
    /// # Errors
    /// If a delta is missing or damaged, or a row malformed.
    pub fn changes(&self, partition: usize, first: u64, last: u64) -> Result<RecordBatch, SparkError> {
        let (mut batches, mut entries) = (Vec::new(), Vec::new());
        for version in first..=last {
            let of_version = self.file_entries(partition, version, StateFileKind::Delta)?;
            batches.extend(std::iter::repeat_n(version as i64 - 1, of_version.len()));
            entries.extend(of_version);
        }
        // A removal has no value; in its place stands another one of the right layout, and is masked.
        let some_value = entries.iter().find_map(|(_, value)| value.clone());
        let keys = entries.iter().map(|(key, _)| key.as_slice()).collect();
        let values = entries.iter().filter_map(|(_, value)| value.as_deref().or(some_value.as_deref())).collect();
        let there: Vec<bool> = entries.iter().map(|(_, value)| value.is_some()).collect();
        let values = match &some_value {
            Some(_) => struct_of(&self.value, &decode(&self.types().1, values)?, entries.len())?,
            None => StructArray::new_null(self.value.clone(), entries.len()),
        };
        let (fields, columns, _) = values.into_parts();
        let values = match fields.is_empty() {
            true => StructArray::new_empty_fields(entries.len(), Some(NullBuffer::from(there.clone()))),
            false => StructArray::try_new(fields, columns, Some(NullBuffer::from(there.clone())))?,
        };
        let keys = struct_of(&self.key, &decode(&self.types().0, keys)?, entries.len())?;
        let kinds = there.iter().map(|there| if *there { "update" } else { "delete" });
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(batches)),
            Arc::new(StringArray::from_iter_values(kinds)),
            Arc::new(keys),
            Arc::new(values),
            Arc::new(Int32Array::from(vec![partition as i32; entries.len()])),
        ];
        let names = ["batch_id", "change_type", "key", "value", "partition_id"];
        let fields =
            names.iter().zip(&columns).map(|(name, column)| Field::new(*name, column.data_type().clone(), true));
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns)?)
    }

    /// The columns of rows.
    fn batch(&self, partition: usize, keys: Vec<&[u8]>, values: Vec<&[u8]>) -> Result<RecordBatch, SparkError> {
        let rows = keys.len();
        let (key_types, value_types) = self.types();
        let keys = struct_of(&self.key, &decode(&key_types, keys)?, rows)?;
        let values = struct_of(&self.value, &decode(&value_types, values)?, rows)?;
        let partitions = Int32Array::from(vec![partition as i32; rows]);
        let columns: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(values), Arc::new(partitions)];
        let schema = rows_schema(columns[0].data_type().clone(), columns[1].data_type().clone());
        Ok(RecordBatch::try_new(schema, columns)?)
    }

    /// The entries of one delta or snapshot in order.
    ///
    /// # Errors
    /// `CANNOT_LOAD_STATE_STORE` naming the file if it is missing or damaged.
    pub fn file_entries(
        &self,
        partition: usize,
        version: u64,
        kind: StateFileKind,
    ) -> Result<Vec<FileEntry>, SparkError> {
        let location = self.location(partition);
        let mut entries = Vec::new();
        let read = read_changes(&state_file_path(location.dir(), version, kind), |change| {
            entries.push(match change {
                Change::Put(key, value) => (key.to_vec(), Some(value.to_vec())),
                Change::Remove(key) => (key.to_vec(), None),
            });
        });
        read.map_err(|e| error::unreadable(&location, kind, e))?;
        Ok(entries)
    }

    /// The files of a partition by version.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn files(&self, partition: usize) -> Result<Vec<(u64, StateFileKind)>, SparkError> {
        let mut files: Vec<_> =
            names(self.location(partition).dir())?.iter().filter_map(|name| parse_state_file_name(name)).collect();
        files.sort_unstable();
        Ok(files)
    }

    /// Figures of a partition at a version.
    ///
    /// # Errors
    /// As [`StoreState::load`].
    pub fn partition(&self, partition: usize, version: u64) -> Result<PartitionState, SparkError> {
        let store = self.load(partition, version)?;
        let bytes = store.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum();
        Ok(PartitionState { partition, rows: store.len() as u64, bytes, files: self.files(partition)? })
    }

    /// The partition in which each of these keys belongs, in order.
    ///
    /// # Errors
    /// If a key is malformed or cannot be hashed.
    pub fn placement(&self, keys: &[&[u8]]) -> Result<Vec<u32>, SparkError> {
        let Some(placed_by) = self.placed_by else { return Ok(vec![0; keys.len()]) };
        let mut columns = RowDecoder::new(&self.types().0).decode(keys.iter().copied())?;
        columns.truncate(placed_by);
        let (mut scratch, mut ids) = (Vec::new(), Vec::with_capacity(keys.len()));
        partition_ids(&columns, keys.len(), self.partitions, &mut scratch, &mut ids)?;
        Ok(ids)
    }
}

/// A put of a snapshot, which has nothing else.
fn put((key, value): FileEntry) -> Option<(Vec<u8>, Vec<u8>)> {
    value.map(|value| (key, value))
}

fn decode(types: &[DataType], rows: Vec<&[u8]>) -> Result<Vec<ArrayRef>, SparkError> {
    RowDecoder::new(types).decode(rows)
}

/// The columns that a store's rows are shown in.
pub fn rows_schema(key: DataType, value: DataType) -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", key, true),
        Field::new("value", value, true),
        Field::new("partition_id", DataType::Int32, true),
    ]))
}

/// A struct of these fields; all nullable where the rows are not as strict as the schema says.
fn struct_of(fields: &Fields, columns: &[ArrayRef], rows: usize) -> Result<StructArray, SparkError> {
    if fields.is_empty() {
        return Ok(StructArray::new_empty_fields(rows, None));
    }
    let strict = fields.iter().zip(columns).all(|(field, column)| field.is_nullable() || column.null_count() == 0);
    let fields = match strict {
        true => fields.clone(),
        false => fields.iter().map(|field| field.as_ref().clone().with_nullable(true)).collect(),
    };
    Ok(StructArray::try_new(fields, columns.to_vec(), None)?)
}
