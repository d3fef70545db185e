//! File streams, tables and sinks from end to end.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::array::{Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millstream_formats::zone::Zone;
use tempfile::TempDir;

use super::*;
use crate::sink::{OutputMode, SinkSpec};
use crate::source::Rows;

fn kv() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("k", DataType::Utf8, true), Field::new("v", DataType::Int32, true)]))
}

fn conf(pairs: &[(&str, &str)]) -> Conf {
    let pairs: Vec<(String, String)> = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    Arc::new(move |key| pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone()))
}

fn spec(format: &str, path: &Path, schema: Option<SchemaRef>, options: &[(&str, &str)]) -> SourceSpec {
    SourceSpec {
        format: format.into(),
        schema,
        options: options.iter().copied().collect(),
        paths: vec![path.display().to_string()],
        conf: conf(&[]),
        parallelism: 2,
    }
}

/// Writes a file whose modification time is `age` × 10 s after a fixed time.
fn put(dir: &Path, name: &str, content: &str, age: u64) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, content).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + age * 10);
    std::fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

fn texts(batches: &[RecordBatch]) -> Vec<String> {
    let mut rows = Vec::new();
    for batch in batches {
        let texts = |c: &arrow::array::ArrayRef| millstream_formats::text::cast_to_string(c, &Zone::UTC).unwrap();
        let columns: Vec<StringArray> = batch.columns().iter().map(texts).collect();
        let cell = |c: &StringArray, r| if c.is_null(r) { "null".to_string() } else { c.value(r).to_string() };
        let row = |r| columns.iter().map(|c| cell(c, r)).collect::<Vec<_>>().join("|");
        rows.extend((0..batch.num_rows()).map(row));
    }
    rows
}

fn collect(parts: Vec<Rows>) -> Result<Vec<String>, SparkError> {
    Ok(texts(&parts.into_iter().flatten().collect::<Result<Vec<_>, _>>()?))
}

/// A stream and where it has come to.
struct Stream {
    source: Box<dyn Source>,
    at: Option<String>,
}

impl Stream {
    fn open(spec: SourceSpec, log: &Path, columns: Option<&[&str]>) -> Self {
        let columns = columns.map(|names| names.iter().map(|n| n.to_string()).collect());
        let conf = Arc::clone(&spec.conf);
        let context = OpenContext { metadata_dir: log.to_path_buf(), columns, conf };
        Self { source: load_stream(spec).unwrap().open(context).unwrap(), at: None }
    }

    /// The rows of the next batch; none if there is nothing new.
    fn batch(&mut self) -> Option<Vec<String>> {
        let end = self.source.latest_offset(self.at.as_ref(), false).unwrap();
        if end == self.at {
            return None;
        }
        let rows = collect(self.source.read(self.at.as_ref(), end.as_ref().unwrap(), 2).unwrap()).unwrap();
        self.source.commit(end.as_ref().unwrap()).unwrap();
        self.at = end;
        Some(rows)
    }
}

#[test]
fn files_come_once_in_the_order_of_their_times_and_a_restart_goes_on() {
    let dir = TempDir::new().unwrap();
    let (input, log) = (dir.path().join("in"), dir.path().join("log"));
    put(&input, "z.json", "{\"k\":\"old\",\"v\":1}\n", 1);
    put(&input, "a.json", "{\"k\":\"new\",\"v\":3}\n", 3);
    put(&input, "m.json", "{\"k\":\"mid\",\"v\":2}\n", 2);
    let spec = || spec("json", &input, Some(kv()), &[("maxFilesPerTrigger", "1")]);
    let mut stream = Stream::open(spec(), &log, None);
    assert_eq!(stream.batch().unwrap(), ["old|1"]);
    assert_eq!(stream.at.as_deref(), Some("{\"logOffset\":0}"));
    assert_eq!(stream.batch().unwrap(), ["mid|2"]);
    let mut again = Stream::open(spec(), &log, None);
    again.at = stream.at;
    assert_eq!(again.batch().unwrap(), ["new|3"]);
    assert_eq!(again.batch(), None);
    put(&input, "z.json", "{\"k\":\"rewritten\"}\n", 9);
    assert_eq!(again.batch(), None);
    let entry = std::fs::read_to_string(log.join("0")).unwrap();
    assert_eq!(
        entry,
        format!("v1\n{{\"path\":\"file://{}/z.json\",\"timestamp\":1700000010000,\"batchId\":0}}", input.display())
    );
}

#[test]
fn a_range_can_be_read_again_after_compaction() {
    let dir = TempDir::new().unwrap();
    let (input, log) = (dir.path().join("in"), dir.path().join("log"));
    for i in 0..12 {
        put(&input, &format!("{i:02}.json"), &format!("{{\"k\":\"f{i:02}\"}}\n"), i);
    }
    let spec = || spec("json", &input, Some(kv()), &[("maxFilesPerTrigger", "1")]);
    let mut stream = Stream::open(spec(), &log, Some(&["k"]));
    while stream.batch().is_some() {}
    assert!(log.join("9.compact").exists());
    let again = Stream::open(spec(), &log, Some(&["k"]));
    let range = again.source.read(Some(&"{\"logOffset\":8}".into()), &"{\"logOffset\":10}".into(), 2).unwrap();
    assert_eq!(collect(range).unwrap(), ["f09", "f10"]);
}

#[test]
fn limits_latest_first_and_a_fixed_end_choose_files() {
    let dir = TempDir::new().unwrap();
    for i in 0..4 {
        put(dir.path(), &format!("{i}.json"), &format!("{{\"k\":\"f{i}\"}}\n"), i);
    }
    let open = |options: &[(&str, &str)], log: &str| {
        Stream::open(spec("json", dir.path(), Some(kv()), options), &dir.path().join(log), Some(&["k"]))
    };
    assert_eq!(open(&[("maxBytesPerTrigger", "25")], "_a").batch().unwrap(), ["f0", "f1"]);
    assert_eq!(open(&[("maxBytesPerTrigger", "1")], "_b").batch().unwrap(), ["f0"]);
    let mut latest = open(&[("latestFirst", "true"), ("maxFilesPerTrigger", "1")], "_c");
    assert_eq!((latest.batch().unwrap(), latest.batch().unwrap()), (vec!["f3".to_string()], vec!["f2".to_string()]));
    let mut fixed = open(&[], "_d");
    fixed.source.fix_end().unwrap();
    put(dir.path(), "9.json", "{\"k\":\"late\"}\n", 9);
    assert_eq!(fixed.batch().unwrap(), ["f0", "f1", "f2", "f3"]);
    assert_eq!(fixed.batch(), None);
}

#[test]
fn partition_columns_and_metadata_come_with_the_rows() {
    let dir = TempDir::new().unwrap();
    let (input, log) = (dir.path().join("in"), dir.path().join("log"));
    put(&input, "p=1/two words.json", "{\"k\":\"a\",\"v\":1}\n", 0);
    let spec = spec("json", &input, Some(kv()), &[]);
    let origin = load_stream(spec.clone()).unwrap();
    assert_eq!(origin.schema().field(2), &Field::new("p", DataType::Int32, true));
    let mut stream = Stream::open(spec, &log, Some(&["p", "_metadata", "k"]));
    let rows = stream.batch().unwrap();
    assert!(rows[0].starts_with("1|{file://") && rows[0].ends_with("|a"), "{rows:?}");
    assert!(rows[0].contains(", two%20words.json, 16, 0, 16, 2023-11-14 22:13:20}"), "{rows:?}");
    put(&input, "p=2/b.json", "{\"k\":\"b\",\"v\":2}\n", 1);
    assert!(stream.batch().unwrap()[0].starts_with("2|"));
}

#[test]
fn what_spark_refuses_when_loading_or_running_is_refused() {
    let dir = TempDir::new().unwrap();
    put(dir.path(), "a.json", "{}\n", 0);
    let load = |s: SourceSpec| load_stream(s).err().and_then(|e| e.condition().map(str::to_string)).unwrap_or_default();
    assert_eq!(load(spec("json", &dir.path().join("nowhere"), Some(kv()), &[])), "PATH_NOT_FOUND");
    assert_eq!(load(spec("json", dir.path(), None, &[])), "_LEGACY_ERROR_TEMP_2048");
    assert_eq!(load(spec("no_such", dir.path(), Some(kv()), &[])), "DATA_SOURCE_NOT_FOUND");
    let open = |schema: &SchemaRef, format: &str, options: &[(&str, &str)]| {
        let context = OpenContext { metadata_dir: dir.path().join("_log"), columns: None, conf: conf(&[]) };
        load_stream(spec(format, dir.path(), Some(Arc::clone(schema)), options))
            .unwrap()
            .open(context)
            .err()
            .unwrap()
            .to_string()
    };
    let twice =
        Arc::new(Schema::new(vec![Field::new("k", DataType::Utf8, true), Field::new("K", DataType::Utf8, true)]));
    assert!(open(&twice, "json", &[]).starts_with("[COLUMN_ALREADY_EXISTS] The column `k` already exists."));
    assert!(open(&twice, "text", &[]).starts_with("[COLUMN_ALREADY_EXISTS]"));
    assert!(
        open(&kv(), "text", &[]).contains("The Text datasource doesn't support the column `v` of the type \"INT\".")
    );
    assert!(open(&kv(), "json", &[("maxFilesPerTrigger", "0")]).starts_with("Invalid value '0'"));
}

#[test]
fn a_file_that_has_gone_is_passed_over_and_done_files_are_removed() {
    let dir = TempDir::new().unwrap();
    let (input, log) = (dir.path().join("in"), dir.path().join("log"));
    put(&input, "a.json", "{\"k\":\"a\"}\n", 0);
    put(&input, "b.json", "{\"k\":\"b\"}\n", 1);
    let mut stream = Stream::open(spec("json", &input, Some(kv()), &[("cleanSource", "delete")]), &log, Some(&["k"]));
    let end = stream.source.latest_offset(None, false).unwrap().unwrap();
    std::fs::remove_file(input.join("a.json")).unwrap();
    assert_eq!(collect(stream.source.read(None, &end, 1).unwrap()).unwrap(), ["b"]);
    stream.source.commit(&end).unwrap();
    assert!(!input.join("b.json").exists());
    stream.at = Some(end);
    assert_eq!(stream.batch(), None);
}

fn rows() -> RecordBatch {
    let columns: Vec<arrow::array::ArrayRef> = vec![
        Arc::new(arrow::array::StringArray::from(vec![Some("a"), Some("x/y"), None])),
        Arc::new(arrow::array::Int32Array::from(vec![Some(1), None, Some(3)])),
    ];
    RecordBatch::try_new(kv(), columns).unwrap()
}

fn sink(
    format: &str,
    path: &Path,
    partition_by: &[&str],
    mode: OutputMode,
) -> Result<Arc<dyn crate::sink::Sink>, SparkError> {
    open_sink(SinkSpec {
        format: format.into(),
        options: Options::default(),
        path: Some(path.display().to_string()),
        partition_by: partition_by.iter().map(|s| s.to_string()).collect(),
        schema: kv(),
        mode,
        query_name: None,
        conf: conf(&[]),
    })
}

fn give(sink: &dyn crate::sink::Sink, batch_id: i64) -> bool {
    let Some(mut writer) = sink.begin(batch_id, kv(), OutputMode::Append).unwrap() else { return false };
    writer.write(0, rows()).unwrap();
    writer.commit().unwrap();
    true
}

fn table(format: &str, path: &Path, schema: Option<SchemaRef>) -> Vec<String> {
    let scan = file_scan(&spec(format, path, schema, &[])).unwrap();
    let mut rows = collect(scan.rows(None, 2).unwrap()).unwrap();
    rows.sort();
    rows
}

#[test]
fn a_batch_repeated_or_given_up_has_no_second_effect() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("out");
    let sink_a = sink("json", &out, &[], OutputMode::Append).unwrap();
    assert!(give(sink_a.as_ref(), 0));
    let mut abandoned = sink_a.begin(1, kv(), OutputMode::Append).unwrap().unwrap();
    abandoned.write(0, rows()).unwrap();
    drop(abandoned);
    let reopened = sink("json", &out, &[], OutputMode::Append).unwrap();
    assert!(!give(reopened.as_ref(), 0));
    std::fs::write(out.join("part-00000-left-behind.json"), "{\"k\":\"ghost\"}\n").unwrap();
    assert_eq!(table("json", &out, Some(kv())), ["a|1", "null|3", "x/y|null"]);
    assert!(give(reopened.as_ref(), 1));
    assert_eq!(table("json", &out, Some(kv())).len(), 6);
    let error = sink("json", &out, &[], OutputMode::Update).err().unwrap();
    assert_eq!(error.condition(), Some("STREAMING_OUTPUT_MODE.UNSUPPORTED_DATASOURCE"));
}

#[test]
fn every_format_gives_back_what_it_took() {
    let dir = TempDir::new().unwrap();
    for format in ["json", "parquet"] {
        let out = dir.path().join(format);
        give(sink(format, &out, &[], OutputMode::Append).unwrap().as_ref(), 0);
        assert_eq!(table(format, &out, Some(kv())), ["a|1", "null|3", "x/y|null"], "{format}");
        let inferred = file_scan(&spec(format, &out, None, &[("inferSchema", "true")])).unwrap().schema();
        let expected = if format == "json" { DataType::Int64 } else { DataType::Int32 };
        assert_eq!(inferred.field(1).data_type(), &expected);
        let partitioned = dir.path().join(format!("{format}-by-k"));
        give(sink(format, &partitioned, &["k"], OutputMode::Append).unwrap().as_ref(), 0);
        assert!(partitioned.join("k=x%2Fy").is_dir() && partitioned.join("k=__HIVE_DEFAULT_PARTITION__").is_dir());
        assert_eq!(table(format, &partitioned, None), ["1|a", "3|null", "null|x/y"], "{format}");
        assert_eq!(table(format, &partitioned, Some(kv())), ["a|1", "null|3", "x/y|null"], "{format}");
    }
}

#[test]
fn a_parquet_column_of_another_type_fails_and_a_missing_one_is_null() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("out");
    give(sink("parquet", &out, &[], OutputMode::Append).unwrap().as_ref(), 0);
    let schema = |fields: Vec<Field>| Some(Arc::new(Schema::new(fields)));
    let other = schema(vec![Field::new("missing", DataType::Float64, true), Field::new("V", DataType::Int64, true)]);
    assert_eq!(table("parquet", &out, other), ["null|1", "null|3", "null|null"]);
    let wrong = schema(vec![Field::new("k", DataType::Int32, true)]);
    let scan = file_scan(&spec("parquet", &out, wrong, &[])).unwrap();
    let error = collect(scan.rows(None, 1).unwrap()).unwrap_err();
    assert_eq!(error.condition(), Some("FAILED_READ_FILE.PARQUET_COLUMN_DATA_TYPE_MISMATCH"));
    std::fs::write(dir.path().join("bad.parquet"), "PAR1 and nothing else").unwrap();
    let error = file_scan(&spec("parquet", &dir.path().join("bad.parquet"), None, &[])).err().unwrap();
    assert_eq!(error.condition(), Some("FAILED_READ_FILE.CANNOT_READ_FILE_FOOTER"));
}

#[test]
fn save_modes_decide_about_what_is_there() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("out");
    let write = |mode: SaveMode| -> Result<bool, SparkError> {
        let spec = WriteSpec {
            format: "json".into(),
            options: [("compression", "gzip")].into_iter().collect(),
            path: Some(out.display().to_string()),
            partition_by: Vec::new(),
            schema: kv(),
            mode,
            conf: conf(&[]),
        };
        let Some(mut writer) = write_files(&spec)? else { return Ok(false) };
        writer.write(0, rows())?;
        writer.commit()?;
        Ok(true)
    };
    assert!(write(SaveMode::ErrorIfExists).unwrap());
    assert_eq!(write(SaveMode::ErrorIfExists).unwrap_err().condition(), Some("PATH_ALREADY_EXISTS"));
    assert!(!write(SaveMode::Ignore).unwrap());
    assert!(write(SaveMode::Append).unwrap());
    assert_eq!(table("json", &out, Some(kv())).len(), 6);
    assert!(write(SaveMode::Overwrite).unwrap());
    assert_eq!(table("json", &out, Some(kv())).len(), 3);
    assert!(out.join("_SUCCESS").exists() && !out.join("_temporary").exists());
}

#[test]
fn a_failing_record_names_its_file_and_a_directory_without_files_has_no_schema() {
    let dir = TempDir::new().unwrap();
    put(dir.path(), "a.json", "{\"k\": \n", 0);
    let scan = file_scan(&spec("json", dir.path(), Some(kv()), &[("mode", "FAILFAST")])).unwrap();
    let error = collect(scan.rows(None, 1).unwrap()).unwrap_err();
    assert_eq!(error.condition(), Some("FAILED_READ_FILE.NO_HINT"));
    assert!(error.to_string().contains("/a.json") && error.cause().is_some());
    let empty = TempDir::new().unwrap();
    let error = file_scan(&spec("json", empty.path(), None, &[])).err().unwrap();
    assert_eq!(error.condition(), Some("UNABLE_TO_INFER_SCHEMA"));
}

/// A file whose one column is said to be of a dictionary that it does not have: the library panics.
#[test]
fn a_parquet_file_that_contradicts_itself_fails_the_query_by_name() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("out");
    give(sink("parquet", &out, &[], OutputMode::Append).unwrap().as_ref(), 0);
    let file = file_scan(&spec("parquet", &out, None, &[])).unwrap().input_files().pop().unwrap();
    let path = url::path_of_url(&file);
    let whole = std::fs::read(&path).unwrap();
    let mut contradictory = 0;
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] = 9;
        std::fs::write(&path, bytes).unwrap();
        let read = file_scan(&spec("parquet", &out, None, &[])).and_then(|scan| scan.rows(None, 1)).and_then(collect);
        contradictory += usize::from(read.is_err_and(|e| {
            e.condition() == Some("FAILED_READ_FILE.NO_HINT")
                && e.cause().is_some_and(|c| c.to_string().contains("Malformed"))
        }));
    }
    assert!(contradictory > 0);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn a_damaged_parquet_file_is_an_error_or_other_rows(flips in proptest::collection::vec((0usize..2000, proptest::num::u8::ANY), 1..6)) {
        let dir = TempDir::new().unwrap();
        let out = dir.path().join("out");
        give(sink("parquet", &out, &[], OutputMode::Append).unwrap().as_ref(), 0);
        let file = file_scan(&spec("parquet", &out, None, &[])).unwrap().input_files().pop().unwrap();
        let path = url::path_of_url(&file);
        let mut bytes = std::fs::read(&path).unwrap();
        for (at, byte) in flips {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        std::fs::write(&path, bytes).unwrap();
        if let Ok(scan) = file_scan(&spec("parquet", &out, None, &[])) {
            let _ = scan.rows(None, 1).map(collect);
        }
    }
}
