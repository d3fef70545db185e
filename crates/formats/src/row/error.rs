//! Why bytes are no row.

use arrow::datatypes::DataType;

use crate::condition::SparkError;
use crate::types::simple_string;

/// Bytes that do not have the layout of the rows expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// The row ends before its slots do.
    #[error("a row of {fields} fields has only {length} bytes")]
    Short {
        /// Fields expected.
        fields: usize,
        /// Bytes found.
        length: usize,
    },
    /// A slot points outside its row, or a length does not fit.
    #[error("field {field} lies outside its row")]
    OutOfBounds {
        /// Position of the field, from 0.
        field: usize,
    },
    /// A value has the wrong number of bytes, or text is no UTF-8.
    #[error("a value of the type {data_type} is malformed")]
    Value {
        /// Name of the type.
        data_type: String,
    },
    /// Bytes that must be zero are not.
    #[error("field {field} has bytes set that must be zero")]
    NotZero {
        /// Position of the field, from 0.
        field: usize,
    },
}

impl RowError {
    pub(crate) fn value(data_type: &DataType) -> Self {
        Self::Value { data_type: simple_string(data_type) }
    }
}

impl From<RowError> for SparkError {
    fn from(error: RowError) -> Self {
        SparkError::internal(format!("State holds a malformed row: {error}"))
    }
}
