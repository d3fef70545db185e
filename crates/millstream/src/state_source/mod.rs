//! The data sources `statestore` and `state-metadata`: the state of a streaming query as rows, read from its checkpoint.
//!
//! What there is to read is found when the query is analyzed; a partition of state is loaded when it is read. Not here: what
//! the files hold (`millstream_state::inspect`).

mod errors;
mod options;
mod table;

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use millstream_connectors::source::SourceSpec;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::files::names;
use millstream_formats::log::{OffsetRecord, check_state_settings};
use millstream_state::inspect::{OperatorState, StoreState, operators, rows_schema};

use crate::analysis::with_metadata_column;
use crate::scan::table_of;
use options::{JoinSide, StateOptions, checkpoint_path};

const STATE: &str = "statestore";
const METADATA: &str = "state-metadata";

/// Whether a format is one of these sources.
pub(crate) fn is_state_source(format: &str) -> bool {
    [STATE, METADATA].iter().any(|name| name.eq_ignore_ascii_case(format))
}

/// The table of a reader of one of these sources.
///
/// # Errors
/// `STDS_…`: options that do not fit, a batch or a store that is not there; what is damaged.
pub(crate) fn open(spec: &SourceSpec, streaming: bool) -> Result<Arc<dyn TableProvider>, SparkError> {
    let is_metadata = spec.format.eq_ignore_ascii_case(METADATA);
    if streaming {
        return Err(errors::no_stream(&spec.format));
    }
    if spec.schema.is_some() {
        return Err(errors::user_schema(if is_metadata { "StateMetadataSource" } else { "StateDataSource" }));
    }
    if is_metadata { metadata_table(&checkpoint_path(spec)?) } else { state_table(spec) }
}

/// The stores that the options name.
struct Wanted {
    operator: OperatorState,
    store: StoreState,
    /// Key and value as they are given out.
    key: DataType,
    value: DataType,
}

fn state_table(spec: &SourceSpec) -> Result<Arc<dyn TableProvider>, SparkError> {
    let options = StateOptions::parse(spec)?;
    let wanted = find_store(&options)?;
    check_settings(&options)?;
    let partitions = partitions(&options, &wanted.operator)?;
    let schema = match options.changes {
        Some(_) => changes_schema(wanted.key, wanted.value),
        None => rows_schema(wanted.key, wanted.value),
    };
    table::state_table(schema, options, wanted.store, partitions)
}

fn find_store(options: &StateOptions) -> Result<Wanted, SparkError> {
    let unreadable = || errors::state_schema(options);
    let all = operators(&options.checkpoint)?;
    let operator = all.into_iter().find(|operator| operator.id == options.operator).ok_or_else(unreadable)?;
    check_operator(options, &operator)?;
    let store = |name: &str| {
        if let Some(store) = operator.stores.iter().find(|store| store.name == name) {
            return Ok(store.clone());
        }
        let damaged = operator.problems.iter().find(|(path, _)| path.ends_with("_metadata/schema"));
        Err(damaged.map_or_else(unreadable, |(_, cause)| unreadable().caused_by(cause.clone())))
    };
    let side = match options.join_side {
        JoinSide::None => {
            let store = store(&options.store)?;
            let (key, value) = (DataType::Struct(store.key.clone()), DataType::Struct(store.value.clone()));
            return Ok(Wanted { operator, store, key, value });
        }
        JoinSide::Left => "left",
        JoinSide::Right => "right",
    };
    let key = DataType::Struct(store(&format!("{side}-keyToNumValues"))?.key);
    let store = store(&format!("{side}-keyWithIndexToValue"))?;
    // What the operator keeps for itself is no part of the rows that were joined.
    let kept = store.value.iter().filter(|field| field.name() != "matched").cloned().collect();
    Ok(Wanted { operator, store, key, value: DataType::Struct(kept) })
}

/// State of Spark's operators with variables of their own lies in another provider.
fn check_operator(options: &StateOptions, operator: &OperatorState) -> Result<(), SparkError> {
    let Some(metadata) = &operator.metadata else { return Ok(()) };
    let known = metadata.state_store_info.iter().any(|info| info.store_name == options.store);
    let several = metadata.state_store_info.len() > 1;
    if options.state_variable || !known && !several {
        return Err(errors::no_variables("stateVarName", "Providing state variable names", operator.name()));
    }
    if options.timers {
        return Err(errors::no_variables(
            "readRegisteredTimers",
            "Providing readRegisteredTimers=true",
            operator.name(),
        ));
    }
    Ok(())
}

/// Fails if the offsets of the batch are gone, or say that its state is of a kind that is not read.
fn check_settings(options: &StateOptions) -> Result<(), SparkError> {
    let path = options.checkpoint.join("offsets").join(options.batch.to_string());
    if !path.exists() {
        return Err(errors::no_offsets(options.batch, &options.location));
    }
    let mut conf = OffsetRecord::read(&path)?.conf;
    // The schema beside the state tells its layout, whatever the version of the operator.
    conf.retain(|key, _| key.contains(".stateStore."));
    for operator in ["aggregation", "join", "flatMapGroupsWithState"] {
        conf.insert(format!("spark.sql.streaming.{operator}.stateFormatVersion"), "2".to_string());
    }
    conf.insert("spark.sql.streaming.statefulOperator.useStrictDistribution".to_string(), "true".to_string());
    check_state_settings(&conf)
}

fn partitions(options: &StateOptions, operator: &OperatorState) -> Result<Vec<usize>, SparkError> {
    let found = &operator.partitions;
    if found.is_empty() {
        return Err(errors::no_partitions(options));
    }
    if found.iter().enumerate().any(|(expected, found)| expected != *found) {
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        let text = format!("assertion failed: No continuous partitions in state: Array({})", found.join(", "));
        return Err(SparkError::plain(ExceptionClass::Spark, text));
    }
    match &options.snapshot {
        None => Ok(found.clone()),
        Some(snapshot) if found.contains(&snapshot.partition) => Ok(vec![snapshot.partition]),
        Some(snapshot) => Err(errors::no_snapshot_partition(snapshot.partition, options)),
    }
}

fn changes_schema(key: DataType, value: DataType) -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("batch_id", DataType::Int64, true),
        Field::new("change_type", DataType::Utf8, true),
        Field::new("key", key, true),
        Field::new("value", value, true),
        Field::new("partition_id", DataType::Int32, true),
    ]))
}

/// One row for each store of each operator; the batches are those that are committed. What cannot be read is left out, as
/// Spark does.
fn metadata_table(checkpoint: &Path) -> Result<Arc<dyn TableProvider>, SparkError> {
    let commits = names(&checkpoint.join("commits"))?;
    let batches = || commits.iter().filter_map(|name| name.parse::<i64>().ok());
    let (first, last) = (batches().min().unwrap_or(-1), batches().max().unwrap_or(-1));
    let operators = operators(checkpoint)?;
    let stores = || {
        let described = operators.iter().filter_map(|operator| operator.metadata.as_ref());
        described
            .flat_map(|metadata| metadata.state_store_info.iter().map(move |store| (&metadata.operator_info, store)))
    };
    let count = stores().count();
    let longs = |of: Vec<i64>| Arc::new(Int64Array::from(of)) as ArrayRef;
    let texts = |of: Vec<&str>| Arc::new(StringArray::from(of)) as ArrayRef;
    let ints = |of: Vec<u64>| {
        let ints = of.into_iter().map(|n| i32::try_from(n).unwrap_or(i32::MAX));
        Arc::new(Int32Array::from_iter_values(ints)) as ArrayRef
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("operatorId", longs(stores().map(|(operator, _)| operator.operator_id as i64).collect())),
        ("operatorName", texts(stores().map(|(operator, _)| operator.operator_name.as_str()).collect())),
        ("stateStoreName", texts(stores().map(|(_, store)| store.store_name.as_str()).collect())),
        ("numPartitions", ints(stores().map(|(_, store)| store.num_partitions).collect())),
        ("minBatchId", longs(vec![first; count])),
        ("maxBatchId", longs(vec![last; count])),
        ("operatorProperties", Arc::new(StringArray::new_null(count))),
        ("_numColsPrefixKey", ints(stores().map(|(_, store)| store.num_cols_prefix_key).collect())),
    ];
    let fields: Vec<Field> =
        columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    let (hidden, shown) = fields.split_last().ok_or_else(|| SparkError::internal("a table without columns"))?;
    let schema = with_metadata_column(&Arc::new(Schema::new(shown.to_vec())), Some(Arc::new(hidden.clone())));
    let rows = RecordBatch::try_new(Arc::clone(&schema), columns.into_iter().map(|(_, column)| column).collect())?;
    table_of(schema, vec![rows])
}
