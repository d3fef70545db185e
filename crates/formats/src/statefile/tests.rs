use arrow::datatypes::{DataType, Field, Fields};

use super::*;
use crate::files::FileError;
use crate::types;

fn fields(columns: &[(&str, DataType, bool)]) -> Fields {
    columns.iter().map(|(name, data_type, nullable)| Field::new(*name, data_type.clone(), *nullable)).collect()
}

#[test]
fn a_schema_goes_through_its_file_in_chunks_and_beyond_ascii() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("0/_metadata/schema");
    let many: Fields = (0..2000).map(|i| Field::new(format!("日本{i}"), DataType::Int64, false)).collect();
    let one = fields(&[("é\u{1f600}", types::array(DataType::Utf8, false), true)]);
    let schema = StateSchema::of(&one, &many);
    schema.write_if_missing(&path, false).unwrap();
    schema.write_if_missing(&path, false).unwrap();
    let read = StateSchema::read(&path).unwrap();
    assert!(read.value.len() > 2 * 65535 && read.key.is_ascii());
    let (key, value) = read.fields().unwrap();
    assert_eq!(key, fields(&[("é\u{1f600}", types::array(DataType::Utf8, true), true)]));
    assert_eq!((value.len(), value[1999].name().as_str(), value[0].is_nullable()), (2000, "日本1999", true));
}

#[test]
fn modified_utf8_and_version_1_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("schema");
    let mut bytes = b"\0\x02v1\0\x0b\"".to_vec();
    bytes.extend_from_slice(b"\xc0\x80\xed\xa0\xbd\xed\xb8\x80\xc3\xa9\0\x02{}");
    bytes[5] = 11;
    std::fs::write(&path, bytes).unwrap();
    let schema = StateSchema::read(&path).unwrap();
    assert_eq!((schema.key.as_str(), schema.value.as_str()), ("\"\0\u{1f600}é", "{}"));
    for damaged in [&b""[..], b"\0\x02v2\0\0\0\x09", b"\0\x02v3", b"\0\x05v1"] {
        std::fs::write(&path, damaged).unwrap();
        assert_eq!(StateSchema::read(&path).unwrap_err().path(), path);
    }
}

#[test]
fn state_goes_on_under_other_names_and_flags_but_not_with_other_types() {
    let stored = fields(&[("word", DataType::Utf8, false), ("n", DataType::Int32, true)]);
    let value = fields(&[("count", DataType::Int64, false)]);
    let json = |fields: &Fields| types::schema_to_json(fields);
    let schema = StateSchema { key: json(&stored), value: json(&value) };
    schema.check(&fields(&[("#1", DataType::Utf8, true), ("#2", DataType::Int32, false)]), &value).unwrap();
    let swapped = fields(&[("n", DataType::Int32, true), ("word", DataType::Utf8, true)]);
    let error = schema.check(&swapped, &value).unwrap_err();
    assert_eq!(error.condition(), Some("STATE_STORE_KEY_SCHEMA_NOT_COMPATIBLE"));
    let text = "Existing key_schema=StructType(StructField(word,StringType,false),StructField(n,IntegerType,true))";
    assert!(error.to_string().contains(text), "{error}");
    let error = schema.check(&stored, &fields(&[("sum", DataType::Float64, true)])).unwrap_err();
    assert_eq!(error.condition(), Some("STATE_STORE_VALUE_SCHEMA_NOT_COMPATIBLE"));
}

#[test]
fn operator_metadata_of_other_versions_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = OperatorMetadata::path(dir.path());
    let metadata = OperatorMetadata::new(3, "dedupe", &["default"], 0, 5);
    metadata.write_if_missing(&path, false).unwrap();
    assert_eq!(OperatorMetadata::read(&path).unwrap(), metadata);
    for (text, unsupported) in [("v2\n{}", true), ("v1\n{}", false), ("", false)] {
        std::fs::remove_file(path.with_file_name(".metadata.crc")).unwrap_or_default();
        std::fs::write(&path, text).unwrap();
        let error = OperatorMetadata::read(&path).unwrap_err();
        assert_eq!(matches!(error, FileError::Unsupported { .. }), unsupported, "{text}: {error}");
    }
}

#[test]
fn names_of_state_files_tell_version_and_kind() {
    assert_eq!(parse_state_file_name("12.delta"), Some((12, StateFileKind::Delta)));
    assert_eq!(parse_state_file_name("7.snapshot"), Some((7, StateFileKind::Snapshot)));
    for other in
        [".12.delta.crc", "12.delta.crc", "_metadata", "x.delta", "12.zip", "+1.delta", "99999999999999999999.delta"]
    {
        assert_eq!(parse_state_file_name(other), None, "{other}");
    }
}

#[test]
fn damaged_entries_are_told_and_end_the_list() {
    let mut writer = ChangesWriter::new();
    writer.put(b"key", b"value");
    writer.remove(b"gone");
    let mut file = Vec::new();
    writer.finish(&mut file);
    let mut content = Vec::new();
    crate::lz4block::decompress(&file, &mut content).unwrap();
    let all: Vec<Change> = Changes::new(&content).map(Result::unwrap).collect();
    assert_eq!(all, [Change::Put(b"key", b"value"), Change::Remove(b"gone")]);
    for length in 0..content.len() {
        let last = Changes::new(&content[..length]).last().unwrap();
        assert!(last.is_err(), "{length} bytes");
    }
    let more: Vec<u8> = content.iter().copied().chain([0]).collect();
    assert_eq!(Changes::new(&more).last().unwrap(), Err("1 bytes follow the end mark".to_string()));
    let negative = Changes::new(&[0xff, 0xff, 0xff, 0xfe]).next().unwrap();
    assert_eq!(negative, Err("key size cannot be -2".to_string()));
}
