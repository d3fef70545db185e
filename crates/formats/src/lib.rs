//! Spark's bytes: types, rows, hashes, logs, state files, text forms and error conditions. Pure encoding and decoding; no
//! engine, no queries, no threads.

pub mod calendar;
pub mod condition;
pub mod csv;
pub mod faults;
pub mod filelog;
pub mod files;
pub mod hash;
pub mod json;
pub mod log;
pub mod lz4block;
pub mod options;
pub mod output_mode;
pub mod pattern;
pub mod record;
pub mod row;
pub mod show;
pub mod side_file;
pub mod statefile;
pub mod text;
pub mod types;
pub mod url;
pub mod zone;
