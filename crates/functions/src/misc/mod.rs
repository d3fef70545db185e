//! Hashes, encodings, random values, bitmaps, and what a session says of itself.

mod bitmaps;
mod digests;
mod encodings;
mod generators;
mod random;
mod session;

use crate::registry::{BuildScalar, Function};

/// The function of this name, in lower case.
pub(crate) fn lookup(name: &str) -> Option<Function> {
    let build: BuildScalar = match name {
        "md5" | "sha" | "sha1" | "crc32" => digests::digest,
        "sha2" => digests::sha2,
        "hash" | "xxhash64" => digests::hash,
        "base64" => encodings::base64,
        "unbase64" => encodings::unbase64,
        "encode" => encodings::encode,
        "decode" => encodings::decode,
        "to_binary" | "try_to_binary" => encodings::to_binary,
        "rand" | "random" | "randn" => random::rand,
        "uniform" => random::uniform,
        "randstr" => random::randstr,
        "uuid" => random::uuid,
        "monotonically_increasing_id" => session::increasing_id,
        "spark_partition_id" => session::partition_id,
        "input_file_name" | "input_file_block_start" | "input_file_block_length" => session::input_file,
        "version" | "current_user" | "user" | "session_user" | "current_catalog" | "current_database"
        | "current_schema" | "current_path" => session::constant,
        "bitmap_bit_position" | "bitmap_bucket_number" => bitmaps::position,
        "bitmap_count" => bitmaps::count,
        _ => return None,
    };
    Some(Function::Scalar(build))
}

#[cfg(test)]
mod tests;
