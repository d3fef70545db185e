//! What a session, a task or a file says of itself.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array};
use arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;

use crate::arguments::exactly;
use crate::kernel::Kernel;
use crate::task::{PerTask, TaskScope};
use crate::{FunctionContext, Typed};

/// The Spark release whose semantics these are, then this crate's own version.
const VERSION: &str = concat!("4.2.0 millstream-", env!("CARGO_PKG_VERSION"));

/// `version()`, `current_user()`, `current_database()` and their like: constants.
pub fn constant(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<0>(name, arguments)?;
    let value = match name {
        "version" => VERSION.to_string(),
        "current_catalog" => "spark_catalog".to_string(),
        "current_database" | "current_schema" => context.database.to_string(),
        "current_path" => format!("system.builtin,system.session,spark_catalog.{}", context.database),
        _ => context.user.to_string(),
    };
    Ok(Typed::literal(ScalarValue::from(value)))
}

/// `input_file_name()` is empty and the block functions are -1 where rows come from no file.
pub fn input_file(name: &str, arguments: &[Typed], _context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<0>(name, arguments)?;
    Ok(Typed::literal(if name == "input_file_name" { ScalarValue::from("") } else { ScalarValue::from(-1i64) }))
}

/// `monotonically_increasing_id()`: the partition in the upper 31 bits, the row within it in the lower 33.
pub fn increasing_id(name: &str, arguments: &[Typed], _context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<0>(name, arguments)?;
    let next = PerTask::new(|partition| (partition as i64) << 33);
    Ok(Kernel::new(name, DataType::Int64, false).volatile().per_task().arrays(&[], move |_, rows| {
        let first = next.with(|next| {
            let first = *next;
            *next += rows as i64;
            first
        });
        Ok(Arc::new(Int64Array::from_iter_values(first..first + rows as i64)) as ArrayRef)
    }))
}

/// `spark_partition_id()`.
pub fn partition_id(name: &str, arguments: &[Typed], _context: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<0>(name, arguments)?;
    Ok(Kernel::new(name, DataType::Int32, false).volatile().per_task().arrays(&[], |_, rows| {
        Ok(Arc::new(Int32Array::from(vec![TaskScope::current_partition() as i32; rows])) as ArrayRef)
    }))
}
