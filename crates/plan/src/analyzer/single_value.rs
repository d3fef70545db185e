//! The value of a scalar subquery: that of its only row, null without rows, an error with several.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::kernels::aggregate::sum;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::{ExceptionClass, SparkError};

/// The only value of a column.
pub fn single_value(column: Expr) -> Expr {
    AggregateUDF::from(SingleValue { signature: Signature::any(1, Volatility::Immutable) }).call(vec![column])
}

fn too_many_rows() -> DataFusionError {
    DataFusionError::External(Box::new(SparkError::new(
        ExceptionClass::Spark,
        "SCALAR_SUBQUERY_TOO_MANY_ROWS",
        "21000",
        "More than one row returned by a subquery used as an expression.",
    )))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SingleValue {
    signature: Signature,
}

impl AggregateUDFImpl for SingleValue {
    fn name(&self) -> &str {
        "single_value"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [only] => Ok(only.clone()),
            _ => internal_err!("single_value takes one argument"),
        }
    }

    fn state_fields(&self, arguments: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let value = Field::new("value", arguments.return_field.data_type().clone(), true);
        Ok(vec![Arc::new(value), Arc::new(Field::new("rows", DataType::Int64, false))])
    }

    fn accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Only { value: ScalarValue::try_from(arguments.return_field.data_type())?, rows: 0 }))
    }
}

/// The row seen so far.
#[derive(Debug)]
struct Only {
    value: ScalarValue,
    rows: i64,
}

impl Only {
    fn take(&mut self, values: &ArrayRef, rows: i64, at: usize) -> Result<()> {
        self.rows += rows;
        if self.rows > 1 {
            return Err(too_many_rows());
        }
        if rows > 0 {
            self.value = ScalarValue::try_from_array(values, at)?;
        }
        Ok(())
    }
}

impl Accumulator for Only {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values] = values else { return internal_err!("single_value takes one argument") };
        self.take(values, values.len() as i64, 0)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.value.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.value.clone(), ScalarValue::Int64(Some(self.rows))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [values, rows] = states else { return internal_err!("single_value has two state columns") };
        let counts = rows.as_primitive::<Int64Type>();
        let at = counts.values().iter().position(|n| *n > 0).unwrap_or(0);
        self.take(values, sum(counts).unwrap_or(0), at)
    }
}
