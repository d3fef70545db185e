//! Functions on JSON and CSV texts. The reading and writing itself is that of the file formats (`millstream_formats::json`, `csv`).

mod options;
mod path;
mod read;
mod schema;
mod write;

use crate::Function;

/// The function of this name in lower case.
pub(crate) fn lookup(name: &str) -> Option<Function> {
    Some(match name {
        "from_json" => Function::Scalar(read::from_json),
        "from_csv" => Function::Scalar(read::from_csv),
        "to_json" => Function::Scalar(write::to_json),
        "to_csv" => Function::Scalar(write::to_csv),
        "schema_of_json" => Function::Scalar(schema::schema_of_json),
        "schema_of_csv" => Function::Scalar(schema::schema_of_csv),
        "get_json_object" => Function::Scalar(path::get_json_object),
        "json_array_length" => Function::Scalar(path::json_array_length),
        "json_object_keys" => Function::Scalar(path::json_object_keys),
        "json_tuple" => Function::Generator(path::json_tuple),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
