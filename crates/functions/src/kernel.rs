//! How a function over Arrow arrays becomes an expression that DataFusion can plan and run.
//!
//! A [`Kernel`] is a name, a result type and the settings it is bound to; [`Kernel::arrays`] or [`Kernel::columnar`] gives it
//! its arguments and its body. Two kernels are the same expression if name, settings, argument types, result type and
//! nullability agree, so *every* value a body captures must be told to [`Kernel::bound_to`]. The result type is checked
//! when the body has run: a kernel that breaks its word fails the query and never corrupts a batch.
//!
//! Not here: checks and coercions of arguments ([`crate::arguments`], [`crate::coerce`]).

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, Datum, ListArray, MapArray,
    PrimitiveArray, StringArray, StructArray,
};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;

use crate::Typed;

type Body = dyn Fn(&[ColumnarValue], usize) -> Result<ColumnarValue, SparkError> + Send + Sync;

/// A function under construction.
#[derive(Debug, Clone)]
pub struct Kernel {
    name: String,
    parameters: String,
    result_type: DataType,
    nullable: bool,
    volatility: Volatility,
    fallible: bool,
    per_task: bool,
}

impl Kernel {
    /// A kernel of this name whose result has this type and may be null or not, as Spark reports it.
    pub fn new(name: &str, result_type: DataType, nullable: bool) -> Self {
        let volatility = Volatility::Immutable;
        Self {
            name: name.to_string(),
            parameters: String::new(),
            result_type,
            nullable,
            volatility,
            fallible: false,
            per_task: false,
        }
    }

    /// Names a setting that the body captures (ANSI mode, time zone, a pattern), for equality.
    #[must_use]
    pub fn bound_to(mut self, setting: impl fmt::Display) -> Self {
        if !self.parameters.is_empty() {
            self.parameters.push(',');
        }
        self.parameters.push_str(&setting.to_string());
        self
    }

    /// The result differs between calls: never folded, never merged with an equal expression.
    #[must_use]
    pub fn volatile(mut self) -> Self {
        self.volatility = Volatility::Volatile;
        self
    }

    /// Says that ordinary values make the body fail (a zero divisor, a text that is no number), so that a condition before it
    /// (`x <> 0 AND 1 / x > 2`) must guard it. Such expressions cost a detour in `and`, `or` and `when`.
    #[must_use]
    pub fn fallible(mut self) -> Self {
        self.fallible = true;
        self
    }

    /// Says that the body keeps state or asks for its partition, see [`crate::task`].
    #[must_use]
    pub fn per_task(mut self) -> Self {
        self.per_task = true;
        self
    }

    /// The expression, its body over arrays of equal length. The second argument of the body is that length, which counts if
    /// there are no arguments. If all arguments are constants the body sees one row.
    pub fn arrays(
        self,
        arguments: &[Typed],
        body: impl Fn(&[ArrayRef], usize) -> Result<ArrayRef, SparkError> + Send + Sync + 'static,
    ) -> Typed {
        let volatile = self.volatility == Volatility::Volatile;
        self.columnar(arguments, move |values, rows| {
            let constant = !volatile && values.iter().all(|v| matches!(v, ColumnarValue::Scalar(_)));
            let rows = if constant { 1 } else { rows };
            let arrays =
                values.iter().map(|v| v.to_array(rows)).collect::<Result<Vec<_>, _>>().map_err(from_datafusion)?;
            let result = body(&arrays, rows)?;
            match constant {
                true => ScalarValue::try_from_array(&result, 0).map(ColumnarValue::Scalar).map_err(from_datafusion),
                false => Ok(ColumnarValue::Array(result)),
            }
        })
    }

    /// The expression of two operands, its body over columns or constants as Arrow's own kernels take them.
    pub fn datums(
        self,
        arguments: &[Typed; 2],
        body: impl Fn(&dyn Datum, &dyn Datum) -> Result<ArrayRef, SparkError> + Send + Sync + 'static,
    ) -> Typed {
        self.columnar(arguments, move |values, _| {
            let [left, right] = values else {
                return Err(SparkError::internal("a binary kernel without two operands"));
            };
            Ok(match (left, right) {
                (ColumnarValue::Array(left), ColumnarValue::Array(right)) => ColumnarValue::Array(body(left, right)?),
                (ColumnarValue::Array(left), ColumnarValue::Scalar(right)) => {
                    ColumnarValue::Array(body(left, &right.to_scalar().map_err(from_datafusion)?)?)
                }
                (ColumnarValue::Scalar(left), ColumnarValue::Array(right)) => {
                    ColumnarValue::Array(body(&left.to_scalar().map_err(from_datafusion)?, right)?)
                }
                (ColumnarValue::Scalar(left), ColumnarValue::Scalar(right)) => {
                    let left = left.to_array().map_err(from_datafusion)?;
                    let right = right.to_array().map_err(from_datafusion)?;
                    ColumnarValue::Scalar(
                        ScalarValue::try_from_array(&body(&left, &right)?, 0).map_err(from_datafusion)?,
                    )
                }
            })
        })
    }

    /// The expression, its body over values of which it can tell constants from columns.
    pub fn columnar(
        self,
        arguments: &[Typed],
        body: impl Fn(&[ColumnarValue], usize) -> Result<ColumnarValue, SparkError> + Send + Sync + 'static,
    ) -> Typed {
        let (result_type, nullable) = (self.result_type.clone(), self.nullable);
        let function = KernelFunction {
            argument_types: arguments.iter().map(|a| a.data_type.clone()).collect(),
            signature: Signature::user_defined(self.volatility),
            body: Arc::new(body),
            kernel: self,
        };
        let arguments = arguments.iter().map(|a| a.expr.clone()).collect();
        let call = ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(function)), arguments);
        Typed::new(Expr::ScalarFunction(call), result_type, nullable)
    }
}

/// Whether a guard must be able to keep this expression from running, see [`Kernel::fallible`].
pub fn is_fallible(expr: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    expr.exists(|e| {
        let Expr::ScalarFunction(call) = e else { return Ok(false) };
        Ok(as_kernel(&call.func).is_some_and(|k| k.fallible))
    })
    .unwrap_or(true)
}

/// Whether a function must be told which task runs it, see [`crate::task`].
pub fn is_per_task(function: &ScalarUDF) -> bool {
    as_kernel(function).is_some_and(|k| k.per_task)
}

/// The kernel behind a function of DataFusion, if it is one.
pub(crate) fn as_kernel(function: &ScalarUDF) -> Option<&Kernel> {
    let inner: &dyn Any = function.inner().as_ref();
    inner.downcast_ref::<KernelFunction>().map(|f| &f.kernel)
}

impl Kernel {
    /// The name given to [`Kernel::new`].
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Type of the result.
    pub(crate) fn result_type(&self) -> &DataType {
        &self.result_type
    }
}

/// A kernel with its body, as DataFusion sees it.
struct KernelFunction {
    kernel: Kernel,
    argument_types: Vec<DataType>,
    signature: Signature,
    body: Arc<Body>,
}

impl KernelFunction {
    fn identity(&self) -> (&str, &str, &[DataType], &DataType, bool) {
        let kernel = &self.kernel;
        (&kernel.name, &kernel.parameters, &self.argument_types, &kernel.result_type, kernel.nullable)
    }
}

impl PartialEq for KernelFunction {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for KernelFunction {}

impl Hash for KernelFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl fmt::Debug for KernelFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kernel.fmt(f)
    }
}

impl ScalarUDFImpl for KernelFunction {
    fn name(&self) -> &str {
        &self.kernel.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> datafusion::common::Result<DataType> {
        Ok(self.kernel.result_type.clone())
    }

    fn return_field_from_args(&self, _arguments: ReturnFieldArgs) -> datafusion::common::Result<FieldRef> {
        Ok(Arc::new(Field::new(&self.kernel.name, self.kernel.result_type.clone(), self.kernel.nullable)))
    }

    fn coerce_types(&self, arguments: &[DataType]) -> datafusion::common::Result<Vec<DataType>> {
        Ok(arguments.to_vec())
    }

    fn schema_name(&self, arguments: &[Expr]) -> datafusion::common::Result<String> {
        let arguments: Vec<String> = arguments.iter().map(|a| a.schema_name().to_string()).collect();
        let Kernel { name, parameters, result_type, .. } = &self.kernel;
        Ok(format!("{name}[{parameters}]({}):{result_type}", arguments.join(",")))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> datafusion::common::Result<ColumnarValue> {
        let rows = arguments.number_rows;
        let result = (self.body)(&arguments.args, rows).map_err(into_datafusion)?;
        let found = result.data_type();
        if found != self.kernel.result_type {
            let text = format!("{} gave {found} and not {}", self.kernel.name, self.kernel.result_type);
            return Err(into_datafusion(SparkError::internal(text)));
        }
        if let ColumnarValue::Array(array) = &result
            && array.len() != rows
        {
            let text = format!("{} gave {} rows and not {rows}", self.kernel.name, array.len());
            return Err(into_datafusion(SparkError::internal(text)));
        }
        Ok(result)
    }
}

/// A `SparkError` on its way through DataFusion; `SparkError::find` gets it back.
pub fn into_datafusion(error: SparkError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The `SparkError` inside an error of DataFusion, or an internal error.
pub fn from_datafusion(error: DataFusionError) -> SparkError {
    SparkError::find(&error).cloned().unwrap_or_else(|| SparkError::internal(error.to_string()))
}

fn mismatch(array: &dyn Array, wanted: &str) -> SparkError {
    SparkError::internal(format!("a kernel wants {wanted} and got {}", array.data_type()))
}

/// The array as one of primitive type `T`.
pub fn primitive<T: ArrowPrimitiveType>(array: &dyn Array) -> Result<&PrimitiveArray<T>, SparkError> {
    array.as_primitive_opt::<T>().ok_or_else(|| mismatch(array, &T::DATA_TYPE.to_string()))
}

/// The array as strings.
pub fn string(array: &dyn Array) -> Result<&StringArray, SparkError> {
    array.as_string_opt::<i32>().ok_or_else(|| mismatch(array, "Utf8"))
}

/// The array as binary values.
pub fn binary(array: &dyn Array) -> Result<&BinaryArray, SparkError> {
    array.as_binary_opt::<i32>().ok_or_else(|| mismatch(array, "Binary"))
}

/// The array as booleans.
pub fn boolean(array: &dyn Array) -> Result<&BooleanArray, SparkError> {
    array.as_boolean_opt().ok_or_else(|| mismatch(array, "Boolean"))
}

/// The array as lists.
pub fn list(array: &dyn Array) -> Result<&ListArray, SparkError> {
    array.as_list_opt::<i32>().ok_or_else(|| mismatch(array, "List"))
}

/// The array as maps.
pub fn map(array: &dyn Array) -> Result<&MapArray, SparkError> {
    array.as_map_opt().ok_or_else(|| mismatch(array, "Map"))
}

/// The array as structs.
pub fn structs(array: &dyn Array) -> Result<&StructArray, SparkError> {
    array.as_struct_opt().ok_or_else(|| mismatch(array, "Struct"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use arrow::array::{Int64Array, RecordBatch, RecordBatchOptions};
    use arrow::datatypes::{Int64Type, Schema};
    use datafusion::common::{DFSchema, ToDFSchema};
    use datafusion::logical_expr::execution_props::ExecutionProps;
    use datafusion::physical_expr::create_physical_expr;

    /// Runs an expression over one batch.
    pub(crate) fn run(value: &Typed, batch: &RecordBatch) -> Result<ArrayRef, SparkError> {
        let schema: DFSchema = batch.schema().to_dfschema().map_err(from_datafusion)?;
        let physical = create_physical_expr(&value.expr, &schema, &ExecutionProps::new(), &Default::default())
            .map_err(from_datafusion)?;
        let result = physical.evaluate(batch).and_then(|v| v.into_array(batch.num_rows())).map_err(from_datafusion)?;
        assert_eq!(result.data_type(), &value.data_type);
        Ok(result)
    }

    /// Runs a constant expression.
    pub(crate) fn run_constant(value: &Typed) -> Result<ScalarValue, SparkError> {
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)?;
        ScalarValue::try_from_array(&run(value, &batch)?, 0).map_err(from_datafusion)
    }

    fn double(argument: &Typed, factor: i64) -> Typed {
        Kernel::new("times", DataType::Int64, false)
            .bound_to(factor)
            .arrays(std::slice::from_ref(argument), move |arrays, _| {
                Ok(Arc::new(primitive::<Int64Type>(&arrays[0])?.unary::<_, Int64Type>(|v| v * factor)))
            })
    }

    #[test]
    fn kernels_with_other_settings_are_other_expressions() {
        let one = Typed::literal(ScalarValue::from(1i64));
        assert_eq!(double(&one, 2), double(&one, 2));
        assert_ne!(double(&one, 2).expr, double(&one, 3).expr);
    }

    #[test]
    fn a_kernel_runs_over_columns_and_constants() {
        let batch = RecordBatch::try_from_iter([("a", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)]).unwrap();
        let column = Typed::new(datafusion::prelude::col("a"), DataType::Int64, false);
        assert_eq!(run(&double(&column, 2), &batch).unwrap().as_ref(), &Int64Array::from(vec![2, 4]));
        let constant = Typed::literal(ScalarValue::from(4i64));
        assert_eq!(run_constant(&double(&constant, 3)).unwrap(), ScalarValue::from(12i64));
    }

    #[test]
    fn a_kernel_that_gives_another_type_than_promised_fails() {
        let one = Typed::literal(ScalarValue::from(1i64));
        let liar = Kernel::new("liar", DataType::Utf8, false).arrays(&[one], |arrays, _| Ok(Arc::clone(&arrays[0])));
        let wrong = Typed::new(liar.expr, DataType::Int64, false);
        assert_eq!(run_constant(&wrong).unwrap_err().condition(), Some("INTERNAL_ERROR"));
    }
}
