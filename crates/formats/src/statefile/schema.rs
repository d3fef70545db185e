//! `_metadata/schema`: the types of a store's keys and values.
//!
//! Version 2 in Java's `DataOutput` encoding: the text `v2`, then for key and value each the number of chunks (int32 BE) and
//! the chunks of the JSON of a struct type; a text is its bytes' length (uint16 BE) and modified UTF-8. Version 1 (two plain
//! texts) is read too.

use std::path::Path;

use arrow::datatypes::{DataType, Fields};

use crate::condition::{ExceptionClass, SparkError};
use crate::files::{self, FileError, Writer};
use crate::types;

/// Most characters of a chunk; only ASCII is written, so that they are as many bytes.
const CHUNK_CHARS_MAX: usize = 65535;

/// The schema of a store as the JSON texts in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateSchema {
    /// JSON of the key's struct type.
    pub key: String,
    /// JSON of the value's struct type.
    pub value: String,
}

impl StateSchema {
    /// The schema of keys and values with these fields. Every part is declared nullable, which Spark accepts for any plan;
    /// the true flags depend on rules of its optimizer.
    pub fn of(key: &Fields, value: &Fields) -> Self {
        let json = |fields: &Fields| ascii(&types::schema_to_json(&all_nullable(fields)));
        Self { key: json(key), value: json(value) }
    }

    /// Reads a schema file.
    ///
    /// # Errors
    /// If it is missing, damaged, or of a version of another store provider.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let bytes = files::read(path)?;
        let mut input = JavaInput { rest: &bytes };
        let damaged = |()| FileError::damaged(path, "it is no state schema");
        let version = input.text().map_err(damaged)?;
        let (key, value) = match version.as_str() {
            "v1" => (input.text().map_err(damaged)?, input.text().map_err(damaged)?),
            "v2" => (input.chunks().map_err(damaged)?, input.chunks().map_err(damaged)?),
            other => return Err(FileError::unsupported(path, format!("its version is {other}"))),
        };
        Ok(Self { key, value })
    }

    /// The file's content, version 2.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.key.len() + self.value.len() + 32);
        put_text(&mut out, "v2");
        for json in [&self.key, &self.value] {
            let chunks: Vec<String> = chunks_of(&ascii(json));
            out.extend_from_slice(&(chunks.len() as u32).to_be_bytes());
            chunks.iter().for_each(|chunk| put_text(&mut out, chunk));
        }
        out
    }

    /// Writes the file if it does not exist.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_if_missing(&self, path: &Path, fsync: bool) -> Result<(), FileError> {
        match (Writer { role: "state_schema", fsync }).create(path, &self.to_bytes()) {
            Err(FileError::Exists { .. }) => Ok(()),
            written => written,
        }
    }

    /// The fields of keys and of values.
    ///
    /// # Errors
    /// `INVALID_JSON_DATA_TYPE` if a text is no struct type.
    pub fn fields(&self) -> Result<(Fields, Fields), SparkError> {
        Ok((types::schema_from_json(&self.key)?, types::schema_from_json(&self.value)?))
    }

    /// Whether state of this schema can go on with rows of `key` and `value`: the same types in the same order, whatever the
    /// names. Spark also refuses a null where its plan allowed none; which flags its optimizer would have set is not known
    /// here, so they are not compared.
    ///
    /// # Errors
    /// `STATE_STORE_KEY_SCHEMA_NOT_COMPATIBLE` or `STATE_STORE_VALUE_SCHEMA_NOT_COMPATIBLE` if not.
    pub fn check(&self, key: &Fields, value: &Fields) -> Result<(), SparkError> {
        let (stored_key, stored_value) = self.fields()?;
        for (what, stored, new) in [("key", stored_key, key), ("value", stored_value, value)] {
            let (stored, new) = (DataType::Struct(stored), DataType::Struct(new.clone()));
            if !compatible(&stored, &new) {
                return Err(incompatible(what, &stored, &new));
            }
        }
        Ok(())
    }
}

fn incompatible(what: &str, stored: &DataType, new: &DataType) -> SparkError {
    let (stored, new) = (types::to_string(stored), types::to_string(new));
    let message = format!(
        "Provided {what} schema does not match existing state {what} schema.\nPlease check number and type of fields.\n\
         Existing {what}_schema={stored} and new {what}_schema={new}.\nIf you want to force running the query without schema \
         validation, please set spark.sql.streaming.stateStore.stateSchemaCheck to false.\nHowever, please note that running \
         the query with incompatible schema could cause non-deterministic behavior."
    );
    let (condition, name) = match what {
        "key" => ("STATE_STORE_KEY_SCHEMA_NOT_COMPATIBLE", "Key"),
        _ => ("STATE_STORE_VALUE_SCHEMA_NOT_COMPATIBLE", "Value"),
    };
    SparkError::new(ExceptionClass::UnsupportedOperation, condition, "XXKST", message)
        .with(&format!("stored{name}Schema"), stored)
        .with(&format!("new{name}Schema"), new)
}

/// Whether the types are the same, names and nullability aside.
fn compatible(stored: &DataType, new: &DataType) -> bool {
    match (stored, new) {
        (DataType::Struct(stored), DataType::Struct(new)) => {
            stored.len() == new.len()
                && stored.iter().zip(new).all(|(stored, new)| compatible(stored.data_type(), new.data_type()))
        }
        (DataType::List(stored), DataType::List(new)) => compatible(stored.data_type(), new.data_type()),
        (DataType::Map(stored, _), DataType::Map(new, _)) => compatible(stored.data_type(), new.data_type()),
        (stored, new) => stored == new,
    }
}

fn all_nullable(fields: &Fields) -> Fields {
    fields.iter().map(|field| types::nullable_at_any_depth(field)).collect()
}

/// The same JSON with every character beyond ASCII escaped, since Spark counts characters where it should count bytes.
fn ascii(json: &str) -> String {
    if json.is_ascii() {
        return json.to_string();
    }
    let mut out = String::with_capacity(json.len() + 16);
    let mut units = [0u16; 2];
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        }
    }
    out
}

/// Pieces of ASCII text that fit a chunk each.
fn chunks_of(ascii: &str) -> Vec<String> {
    ascii.as_bytes().chunks(CHUNK_CHARS_MAX).map(|chunk| String::from_utf8_lossy(chunk).into_owned()).collect()
}

/// ASCII text without NUL is its own modified UTF-8.
fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

struct JavaInput<'a> {
    rest: &'a [u8],
}

impl JavaInput<'_> {
    fn text(&mut self) -> Result<String, ()> {
        let (length, rest) = self.rest.split_first_chunk::<2>().ok_or(())?;
        let (text, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(())?;
        self.rest = rest;
        modified_utf8(text)
    }

    fn chunks(&mut self) -> Result<String, ()> {
        let (count, rest) = self.rest.split_first_chunk::<4>().ok_or(())?;
        self.rest = rest;
        (0..u32::from_be_bytes(*count)).map(|_| self.text()).collect()
    }
}

/// Java's encoding: NUL as two bytes, characters beyond the basic plane as two surrogates of three bytes each.
fn modified_utf8(bytes: &[u8]) -> Result<String, ()> {
    if bytes.is_ascii() {
        return String::from_utf8(bytes.to_vec()).map_err(|_| ());
    }
    let mut units = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().map(|byte| u16::from(*byte));
    while let Some(first) = rest.next() {
        let mut tail = || rest.next().filter(|byte| byte & 0xc0 == 0x80).map(|byte| byte & 0x3f).ok_or(());
        units.push(match first {
            0..0x80 => first,
            0xc0..0xe0 => (first & 0x1f) << 6 | tail()?,
            0xe0..0xf0 => (first & 0x0f) << 12 | tail()? << 6 | tail()?,
            _ => return Err(()),
        });
    }
    String::from_utf16(&units).map_err(|_| ())
}
