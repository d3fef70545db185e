//! Checkpoints made by Spark 4.2.1, read and written again. Three lie in `testdata`; more are found in `golden/checkpoints` of the
//! directory that `MILLSTREAM_SHARED` names or of `../shared` beside the checkout.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use millstream_formats::faults::crashes::copy_dir;
use millstream_formats::filelog::{self, SinkFile, SourceFile};
use millstream_formats::files::read;
use millstream_formats::log::{CommitLog, OffsetLog};
use millstream_formats::row::{RowBuffer, RowDecoder, RowEncoder};
use millstream_formats::statefile::ChangesWriter;
use serde_json::{Map, Value, json};

use arrow::datatypes::DataType;
use millstream_formats::statefile::{OperatorMetadata, StateSchema, read_content, state_file_path};

use super::operators::schema_path;
use super::*;

/// Every sample there is: its name and directory.
fn samples() -> Vec<(String, PathBuf)> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = env::var_os("MILLSTREAM_SHARED").map_or_else(|| manifest.join("../../../shared"), PathBuf::from);
    let (own, golden) = (manifest.join("testdata"), shared.join("golden/checkpoints"));
    if !golden.is_dir() {
        eprintln!("{} is not there: only the samples in testdata are read", golden.display());
    }
    let mut samples = BTreeMap::new();
    for dir in [own, golden].iter().filter(|dir| dir.is_dir()) {
        for entry in fs::read_dir(dir).unwrap().flatten().filter(|entry| entry.path().join("checkpoint").is_dir()) {
            samples.insert(entry.file_name().into_string().unwrap(), entry.path());
        }
    }
    assert!(samples.len() >= 3, "the samples in testdata are missing");
    samples.into_iter().collect()
}

fn checkpoint(sample: &Path) -> PathBuf {
    sample.join("checkpoint")
}

/// A value as `expected_state.json` shows it.
fn json_value(column: &dyn Array, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    let float = |value: f64| if value.is_nan() { json!("NaN") } else { json!(value) };
    match column.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => json!(column.as_boolean().value(row)),
        DataType::Int8 => json!(column.as_primitive::<Int8Type>().value(row)),
        DataType::Int16 => json!(column.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => json!(column.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => json!(column.as_primitive::<Int64Type>().value(row)),
        DataType::Date32 => json!(column.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(..) => json!(column.as_primitive::<TimestampMicrosecondType>().value(row)),
        DataType::Float32 => float(f64::from(column.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => float(column.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(_, scale) => json!(decimal(column.as_primitive::<Decimal128Type>().value(row), *scale)),
        DataType::Utf8 => json!(column.as_string::<i32>().value(row)),
        DataType::Binary => {
            let hex: String = column.as_binary::<i32>().value(row).iter().map(|b| format!("{b:02x}")).collect();
            json!(format!("0x{hex}"))
        }
        DataType::Struct(_) => json_struct(column, row),
        DataType::List(_) => {
            let list = column.as_list::<i32>().value(row);
            (0..list.len()).map(|element| json_value(&list, element)).collect()
        }
        DataType::Map(..) => {
            let pairs = column.as_map().value(row);
            let pair = |i| json!([json_value(pairs.column(0), i), json_value(pairs.column(1), i)]);
            (0..pairs.len()).map(pair).collect()
        }
        other => panic!("no sample has a {other}"),
    }
}

/// Repeated names get `#1`, `#2`.
fn json_struct(column: &dyn Array, row: usize) -> Value {
    let column = column.as_struct();
    let (mut object, mut seen) = (Map::new(), BTreeMap::<&str, usize>::new());
    for (name, field) in column.column_names().into_iter().zip(column.columns()) {
        let count = seen.entry(name).or_default();
        let key = if *count == 0 { name.to_string() } else { format!("{name}#{count}") };
        *count += 1;
        object.insert(key, json_value(field, row));
    }
    Value::Object(object)
}

/// As Python's `Decimal` shows it in the samples.
fn decimal(unscaled: i128, scale: i8) -> String {
    let (sign, digits) = (if unscaled < 0 { "-" } else { "" }, unscaled.unsigned_abs().to_string());
    let exponent = digits.len() as i32 - 1 - i32::from(scale);
    if exponent < -6 {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        return format!("{sign}{first}{point}{rest}E{exponent}");
    }
    let digits = format!("{digits:0>width$}", width = scale as usize + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
    let point = if scale == 0 { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

/// Text with sorted members, so that only content counts.
fn sorted(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let members: BTreeMap<&String, String> = object.iter().map(|(k, v)| (k, sorted(v))).collect();
            let members: Vec<String> = members.into_iter().map(|(k, v)| format!("{k}: {v}")).collect();
            format!("{{{}}}", members.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(sorted).collect::<Vec<_>>().join(", ")),
        // Parsing JSON may be off in the last digit.
        Value::Number(number) if number.is_f64() => format!("{:.12e}", number.as_f64().unwrap()),
        other => other.to_string(),
    }
}

#[test]
fn the_state_of_every_sample_is_what_spark_reads_from_it() {
    for (name, dir) in samples() {
        let text = fs::read_to_string(dir.join("expected_state.json")).unwrap();
        // The samples write infinite values as Python does, which JSON does not know.
        let text = text.replace("-Infinity", "null").replace(" Infinity", " null");
        let expected: Value = serde_json::from_str(&text).unwrap();
        let version = expected["stateVersion"].as_u64().unwrap();
        let operators = operators(&checkpoint(&dir)).unwrap();
        let mut found = Vec::new();
        for operator in &operators {
            for store in &operator.stores {
                let head = (operator.id as u64, store.name.clone());
                let mut rows = Vec::new();
                for partition in &operator.partitions {
                    let batch = store.rows(*partition, version).unwrap();
                    rows.extend((0..batch.num_rows()).map(|row| {
                        let (key, value) = (json_value(batch.column(0), row), json_value(batch.column(1), row));
                        sorted(&json!({"partition": partition, "key": key, "value": value}))
                    }));
                }
                rows.sort();
                found.push((head, rows));
            }
        }
        let mut wanted: Vec<_> = expected["stores"]
            .as_array()
            .unwrap()
            .iter()
            .map(|store| {
                let head = (store["operator"].as_u64().unwrap(), store["store"].as_str().unwrap().to_string());
                let mut rows: Vec<String> = store["rows"].as_array().unwrap().iter().map(sorted).collect();
                rows.sort();
                (head, rows)
            })
            .collect();
        found.sort();
        wanted.sort();
        assert_eq!(found.len(), wanted.len(), "{name}");
        for ((head, found), (wanted_head, wanted)) in found.iter().zip(&wanted) {
            assert_eq!((head, found.len()), (wanted_head, wanted.len()), "{name}");
            found.iter().zip(wanted).for_each(|(found, wanted)| assert_eq!(found, wanted, "{name} {head:?}"));
        }
    }
}

#[test]
fn every_row_and_file_of_state_is_written_again_byte_for_byte() {
    let (mut rows, mut same_compression, mut files) = (0, 0, 0);
    for (name, dir) in samples() {
        for operator in operators(&checkpoint(&dir)).unwrap() {
            for store in &operator.stores {
                let (key_types, value_types) = store.types();
                for partition in &operator.partitions {
                    for (version, kind) in store.files(*partition).unwrap() {
                        let entries = store.file_entries(*partition, version, kind).unwrap();
                        let at = format!("{name}, store {}, partition {partition}, {version} {kind:?}", store.name);
                        let keys: Vec<&[u8]> = entries.iter().map(|(key, _)| key.as_slice()).collect();
                        let values: Vec<&[u8]> = entries.iter().filter_map(|(_, v)| v.as_deref()).collect();
                        assert_rows_written_again(&key_types, &keys, true, &at);
                        assert_rows_written_again(&value_types, &values, false, &at);
                        rows += keys.len() + values.len();
                        let mut writer = ChangesWriter::new();
                        for (key, value) in &entries {
                            match value {
                                Some(value) => writer.put(key, value),
                                None => writer.remove(key),
                            }
                        }
                        let mut ours = Vec::new();
                        writer.finish(&mut ours);
                        let path = state_file_path(store.location(*partition).dir(), version, kind);
                        files += 1;
                        same_compression += usize::from(read(&path).unwrap() == ours);
                        let copy = tempfile::NamedTempFile::new().unwrap();
                        fs::write(copy.path(), ours).unwrap();
                        let contents = [path.as_path(), copy.path()].map(|path| read_content(path).unwrap());
                        assert_eq!(contents[0], contents[1], "{at}");
                    }
                }
            }
        }
    }
    eprintln!("{rows} rows; {same_compression} of {files} files are the same also when compressed");
    assert!(rows > 50);
}

fn assert_rows_written_again(types: &[DataType], rows: &[&[u8]], keys: bool, at: &str) {
    if types.is_empty() {
        assert!(rows.iter().all(|row| row.is_empty()), "{at}");
        return;
    }
    let columns = RowDecoder::new(types).decode(rows.iter().copied()).unwrap();
    let encoder = if keys { RowEncoder::for_keys(types) } else { RowEncoder::for_values(types) }.unwrap();
    let mut encoded = RowBuffer::new();
    encoder.encode(&columns, 0..rows.len(), &mut encoded).unwrap();
    for (ours, theirs) in encoded.iter().zip(rows) {
        assert_eq!(ours, *theirs, "{at}");
    }
}

#[test]
fn every_key_lies_in_the_partition_its_hash_gives() {
    for (name, dir) in samples() {
        for operator in operators(&checkpoint(&dir)).unwrap() {
            for store in &operator.stores {
                for partition in &operator.partitions {
                    for (version, kind) in store.files(*partition).unwrap() {
                        let entries = store.file_entries(*partition, version, kind).unwrap();
                        let keys: Vec<&[u8]> = entries.iter().map(|(key, _)| key.as_slice()).collect();
                        let placement = store.placement(&keys).unwrap();
                        assert_eq!(placement, vec![*partition as u32; keys.len()], "{name}, store {}", store.name);
                    }
                }
            }
        }
    }
}

#[test]
fn schemas_and_metadata_are_written_again_byte_for_byte() {
    for (name, dir) in samples() {
        let state_dir = checkpoint(&dir).join("state");
        for operator in operators(&checkpoint(&dir)).unwrap() {
            let metadata = OperatorMetadata::path(&state_dir.join(operator.id.to_string()));
            let text = String::from_utf8(read(&metadata).unwrap()).unwrap();
            assert_eq!(operator.metadata.as_ref().unwrap().to_text(), text, "{name}");
            for store in &operator.stores {
                let bytes = read(&schema_path(&state_dir, operator.id, &store.name)).unwrap();
                assert_eq!(store.schema.to_bytes(), bytes, "{name}");
                store.schema.check(&store.key, &store.value).unwrap();
                StateSchema::of(&store.key, &store.value).check(&store.key, &store.value).unwrap();
            }
        }
    }
}

#[test]
fn the_logs_of_every_sample_are_written_again_byte_for_byte() {
    let text = |path: &Path| fs::read_to_string(path).unwrap();
    let mut file_logs = 0;
    for (name, dir) in samples() {
        let checkpoint = checkpoint(&dir);
        let (offsets, commits) = (checkpoint.join("offsets"), checkpoint.join("commits"));
        let log = OffsetLog::open(offsets.clone(), false).unwrap();
        assert!(!log.ids().is_empty());
        for id in log.ids() {
            assert_eq!(log.get(id).unwrap().to_text(), text(&offsets.join(id.to_string())), "{name}");
        }
        let log = CommitLog::open(commits.clone(), false).unwrap();
        for id in log.ids() {
            assert_eq!(log.get(id).unwrap().to_text(), text(&commits.join(id.to_string())), "{name}");
        }
        for (log, of_sink) in [(checkpoint.join("sources/0"), false), (dir.join("out/_spark_metadata"), true)] {
            let paths = fs::read_dir(log).into_iter().flatten().flatten().map(|entry| entry.path());
            for path in paths.filter(|path| !path.file_name().unwrap().to_str().unwrap().starts_with('.')) {
                let content = text(&path);
                let again = if of_sink {
                    filelog::to_text(&filelog::parse::<SinkFile>(&path, &content).unwrap())
                } else if content.contains("{\"path\"") {
                    filelog::to_text(&filelog::parse::<SourceFile>(&path, &content).unwrap())
                } else {
                    continue;
                };
                file_logs += 1;
                assert_eq!(again, content, "{name}");
            }
        }
    }
    assert!(file_logs >= 3);
}

#[test]
fn a_summary_and_the_rows_of_a_store_are_shown_as_text() {
    let (name, sample) = samples().swap_remove(0);
    assert_eq!(name, "a_wordcount");
    let expected = "\
query        409b33cc-c48b-43f5-a779-a409856d4ea6
batch        4, committed
watermark    none yet
batch time   2026-11-22 07:49:06.566 UTC (1795333746566 ms)
source 0     {\"logOffset\":4}
partitions   2

operator 0: stateStoreSave, version 5
  store default
    key    (word:string)
    value  (count:bigint)
    partition  keys  bytes  deltas  snapshots
            0     8    328       5          0
            1     3    120       5          0
        total    11    448      10          0
";
    assert_eq!(summary(&checkpoint(&sample)).unwrap(), expected);
    let wanted = RowsWanted { batch: Some(0), limit: Some(2), ..RowsWanted::default() };
    let table = state_table(&checkpoint(&sample), &wanted).unwrap();
    let expected = "\
operator 0 (stateStoreSave), store default, version 1
+---------+--------+-----------+
|partition|key.word|value.count|
+---------+--------+-----------+
|0        |a       |2          |
|0        |c       |1          |
+---------+--------+-----------+
only showing top 2 rows
";
    assert_eq!(table, expected);
    let lines = state_json(&checkpoint(&sample), &RowsWanted { limit: Some(1), ..wanted.clone() }).unwrap();
    let expected =
        "{\"operator\":0,\"store\":\"default\",\"partition\":0,\"key\":{\"word\":\"a\"},\"value\":{\"count\":2}}\n";
    assert_eq!(lines, expected);
    let error = state_table(&checkpoint(&sample), &RowsWanted { operator: Some(3), ..wanted }).unwrap_err();
    assert!(error.to_string().contains("has no operator 3"), "{error}");
}

#[test]
fn the_rows_of_every_sample_are_shown_and_told_apart_in_json() {
    for (name, dir) in samples() {
        let wanted = RowsWanted::default();
        let rows = state_json(&checkpoint(&dir), &wanted).unwrap();
        let parsed: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let text = fs::read_to_string(dir.join("expected_state.json")).unwrap();
        assert_eq!(parsed.len(), text.matches("\"partition\"").count(), "{name}");
        assert!(parsed.iter().all(|row| row["key"].is_object() && row["value"].is_object()), "{name}");
        let table = state_table(&checkpoint(&dir), &wanted).unwrap();
        assert_eq!(table.matches("|partition|").count(), table.matches("operator ").count(), "{name}");
        assert!(summary(&checkpoint(&dir)).unwrap().starts_with("query "), "{name}");
    }
}

#[test]
fn every_sample_is_verified_and_damage_to_it_is_found() {
    for (name, dir) in samples() {
        let report = verify(&checkpoint(&dir));
        assert_eq!(report.findings, [], "{name}");
    }
    let (_, sample) = samples().swap_remove(0);
    let copy = tempfile::tempdir().unwrap();
    copy_dir(&checkpoint(&sample), copy.path()).unwrap();
    let state = copy.path().join("state/0/1");
    let good = verify(copy.path());
    assert!(good.is_good() && good.rows > 0);
    let version = committed_version(copy.path()).unwrap();
    fs::write(state.join(format!("{}.snapshot", version + 1)), read(&state.join("1.delta")).unwrap()).unwrap();
    fs::write(copy.path().join("commits/.99.crc"), "x").unwrap();
    let moved = copy.path().join("state/0/0").join(format!("{version}.delta"));
    // With its checksums, the file would be found out by them.
    fs::remove_file(moved.with_file_name(format!(".{version}.delta.crc"))).unwrap();
    fs::copy(state.join(format!("{version}.delta")), moved).unwrap();
    let text: Vec<String> = verify(copy.path()).findings.iter().map(ToString::to_string).collect();
    for fault in ["its file is gone", "of a version that is not committed", "belongs in partition 1"] {
        assert!(text.iter().any(|finding| finding.contains(fault)), "{fault}: {text:?}");
    }
}
