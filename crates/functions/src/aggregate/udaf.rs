//! How a Spark aggregate becomes a DataFusion one.
//!
//! An [`Aggregation`] says, for the types of its arguments, what it gives, which buffer it keeps (exactly Spark's, because
//! buffers are the value rows of a checkpoint) and how to make a [`GroupsAccumulator`]. That accumulator is the only
//! implementation: one without groups, one over a sliding frame and one over distinct values are made from it here.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, new_empty_array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, Expr, GroupsAccumulator, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;

use super::distinct::{DistinctGroups, DistinctRows, distinct_state};
use crate::Typed;
use crate::kernel::into_datafusion;

/// Makes accumulators of one bound aggregation.
pub type MakeGroups = Arc<dyn Fn() -> Box<dyn GroupsAccumulator> + Send + Sync>;

/// An aggregation over arguments of known types.
#[derive(Clone)]
pub struct Bound {
    /// Type of the result.
    pub result: DataType,
    /// Whether the result may be null.
    pub nullable: bool,
    /// The buffer, in Spark's order.
    pub state: Vec<Field>,
    /// Makes accumulators; they are given the arguments as they are.
    pub make: MakeGroups,
}

impl Bound {
    /// An aggregation whose accumulators `make` makes.
    pub fn new<A: GroupsAccumulator + 'static>(
        result: DataType,
        nullable: bool,
        state: Vec<Field>,
        make: impl Fn() -> A + Send + Sync + 'static,
    ) -> Self {
        Self { result, nullable, state, make: Arc::new(move || Box::new(make())) }
    }
}

/// An aggregate function and its constant parameters.
pub trait Aggregation: fmt::Debug + Send + Sync + 'static {
    /// Name, for `explain`.
    fn name(&self) -> &str;

    /// Everything but the arguments that tells two calls apart.
    fn parameters(&self) -> String {
        String::new()
    }

    /// Binds to types of arguments. The analyzer has coerced them; others are an internal error.
    fn bind(&self, arguments: &[DataType]) -> Result<Bound, SparkError>;
}

/// A call of an aggregation over typed arguments.
///
/// # Errors
/// If the aggregation does not take these types.
pub fn call(aggregation: impl Aggregation, arguments: &[Typed], distinct: bool) -> Result<Typed, SparkError> {
    let types: Vec<DataType> = arguments.iter().map(|a| a.data_type.clone()).collect();
    let bound = aggregation.bind(&types)?;
    let function = Arc::new(AggregateUDF::from(SparkAggregate::new(Arc::new(aggregation))));
    let expressions = arguments.iter().map(|a| a.expr.clone()).collect();
    let call = AggregateFunction::new_udf(function, expressions, distinct, None, vec![], None);
    Ok(Typed::new(Expr::AggregateFunction(call), bound.result, bound.nullable))
}

/// An error for argument types that the analyzer should have coerced.
pub fn not_coerced(name: &str, arguments: &[DataType]) -> SparkError {
    SparkError::internal(format!("{name} is bound to arguments of types {arguments:?}"))
}

/// An [`Aggregation`] as DataFusion sees it.
#[derive(Debug)]
pub struct SparkAggregate {
    aggregation: Arc<dyn Aggregation>,
    parameters: String,
    signature: Signature,
}

impl SparkAggregate {
    fn new(aggregation: Arc<dyn Aggregation>) -> Self {
        let parameters = aggregation.parameters();
        Self { aggregation, parameters, signature: Signature::user_defined(Volatility::Immutable) }
    }

    pub(super) fn bind(&self, fields: &[FieldRef]) -> Result<Bound> {
        let types: Vec<DataType> = fields.iter().map(|f| f.data_type().clone()).collect();
        self.aggregation.bind(&types).map_err(into_datafusion)
    }

    fn make(&self, arguments: &AccumulatorArgs) -> Result<MakeGroups> {
        self.make_with_state(arguments).map(|(make, _)| make)
    }

    fn make_with_state(&self, arguments: &AccumulatorArgs) -> Result<(MakeGroups, Vec<Field>)> {
        let bound = self.bind(arguments.expr_fields)?;
        if !arguments.is_distinct {
            return Ok((bound.make, bound.state));
        }
        let distinct = Arc::new(DistinctRows::try_new(arguments.expr_fields)?);
        let state = vec![distinct_state(arguments.expr_fields)];
        Ok((Arc::new(move || Box::new(DistinctGroups::new(Arc::clone(&distinct), (bound.make)()))), state))
    }
}

impl PartialEq for SparkAggregate {
    fn eq(&self, other: &Self) -> bool {
        self.aggregation.name() == other.aggregation.name() && self.parameters == other.parameters
    }
}

impl Eq for SparkAggregate {}

impl Hash for SparkAggregate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.aggregation.name().hash(state);
        self.parameters.hash(state);
    }
}

impl AggregateUDFImpl for SparkAggregate {
    fn name(&self) -> &str {
        self.aggregation.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(self.aggregation.bind(arguments).map_err(into_datafusion)?.result)
    }

    fn return_field(&self, arguments: &[FieldRef]) -> Result<FieldRef> {
        let bound = self.bind(arguments)?;
        Ok(Arc::new(Field::new(self.name(), bound.result, bound.nullable)))
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arguments.to_vec())
    }

    fn state_fields(&self, arguments: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let fields = match arguments.is_distinct {
            true => vec![distinct_state(arguments.input_fields)],
            false => self.bind(arguments.input_fields)?.state,
        };
        Ok(fields
            .into_iter()
            .map(|f| Arc::new(Field::new(format!("{}[{}]", arguments.name, f.name()), f.data_type().clone(), true)))
            .collect())
    }

    fn accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let (make, state) = self.make_with_state(&arguments)?;
        Ok(Box::new(OneGroup::try_new(make, &state)?))
    }

    fn groups_accumulator_supported(&self, _arguments: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(self.make(&arguments)?())
    }

    fn create_sliding_accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let (make, state) = self.make_with_state(&arguments)?;
        Ok(Box::new(SlidingFrame { make, state, rows: VecDeque::new() }))
    }

    /// The value over no rows, for a correlated subquery whose outer row matches none.
    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        match self.name() {
            "count" | "count_if" | "regr_count" | "approx_count_distinct" => ScalarValue::new_zero(data_type),
            "collect_list" | "collect_set" | "array_agg" => ScalarValue::new_default(data_type),
            _ => ScalarValue::try_from(data_type),
        }
    }

    fn schema_name(&self, parameters: &datafusion::logical_expr::expr::AggregateFunctionParams) -> Result<String> {
        let arguments: Vec<String> = parameters.args.iter().map(|a| a.schema_name().to_string()).collect();
        let distinct = if parameters.distinct { "DISTINCT " } else { "" };
        let filter = parameters.filter.as_ref().map(|f| format!(" FILTER {}", f.schema_name())).unwrap_or_default();
        Ok(format!("{}[{}]({distinct}{}){filter}", self.name(), self.parameters, arguments.join(",")))
    }
}

/// One group of a [`GroupsAccumulator`].
struct OneGroup {
    make: MakeGroups,
    /// Never locked: the lock only makes the accumulator shareable, as DataFusion wants.
    groups: Mutex<Box<dyn GroupsAccumulator>>,
    /// Always group 0, as long as the longest batch so far.
    zeros: Vec<usize>,
}

impl OneGroup {
    fn try_new(make: MakeGroups, state: &[Field]) -> Result<Self> {
        let mut groups = make();
        // The group exists from the start, also if no row ever comes.
        let nothing: Vec<ArrayRef> = state.iter().map(|f| new_empty_array(f.data_type())).collect();
        groups.merge_batch(&nothing, &[], 1)?;
        Ok(Self { make, groups: Mutex::new(groups), zeros: Vec::new() })
    }

    fn zeros(zeros: &mut Vec<usize>, rows: usize) -> &[usize] {
        if zeros.len() < rows {
            zeros.resize(rows, 0);
        }
        &zeros[..rows]
    }

    /// The buffer of the group; it stays in the accumulator.
    fn keep_state(&mut self) -> Result<Vec<ArrayRef>> {
        let groups = exclusive(&mut self.groups);
        let state = groups.state(EmitTo::All)?;
        groups.merge_batch(&state, &[0], 1)?;
        Ok(state)
    }
}

fn exclusive(groups: &mut Mutex<Box<dyn GroupsAccumulator>>) -> &mut dyn GroupsAccumulator {
    groups.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut()
}

impl fmt::Debug for OneGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneGroup")
    }
}

impl Accumulator for OneGroup {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = values.first().map_or(0, |v| v.len());
        exclusive(&mut self.groups).update_batch(values, Self::zeros(&mut self.zeros, rows), None, 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let state = self.keep_state()?;
        let mut last = (self.make)();
        last.merge_batch(&state, &[0], 1)?;
        ScalarValue::try_from_array(&last.evaluate(EmitTo::All)?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.groups.lock().unwrap_or_else(PoisonError::into_inner).size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.keep_state()?.iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let rows = states.first().map_or(0, |v| v.len());
        exclusive(&mut self.groups).merge_batch(states, Self::zeros(&mut self.zeros, rows), 1)
    }
}

/// A frame that slides: as Spark does, the aggregate is computed anew for each frame, so that rounding errors do not pile up.
struct SlidingFrame {
    make: MakeGroups,
    state: Vec<Field>,
    rows: VecDeque<Vec<ArrayRef>>,
}

impl fmt::Debug for SlidingFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SlidingFrame")
    }
}

impl Accumulator for SlidingFrame {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        if values.first().is_some_and(|v| !v.is_empty()) {
            self.rows.push_back(values.to_vec());
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let mut left = values.first().map_or(0, |v| v.len());
        while left > 0 {
            let Some(front) = self.rows.front_mut() else {
                return Err(internal_datafusion_err!("more rows leave a frame than entered it"));
            };
            let rows = front.first().map_or(0, |v| v.len());
            if rows > left {
                front.iter_mut().for_each(|column| *column = column.slice(left, rows - left));
                return Ok(());
            }
            self.rows.pop_front();
            left -= rows;
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.compact()?;
        let mut frame = OneGroup::try_new(Arc::clone(&self.make), &self.state)?;
        self.rows.iter().try_for_each(|values| frame.update_batch(values))?;
        frame.evaluate()
    }

    fn size(&self) -> usize {
        self.rows.iter().flatten().map(|a| a.get_array_memory_size()).sum()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Err(internal_datafusion_err!("a sliding frame has no state"))
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        Err(internal_datafusion_err!("a sliding frame merges no states"))
    }
}

impl SlidingFrame {
    /// Joins the pieces, so that a frame that grows row by row is not walked piece by piece.
    fn compact(&mut self) -> Result<()> {
        if self.rows.len() < 16 {
            return Ok(());
        }
        let columns = self.rows.front().map_or(0, Vec::len);
        let joined = (0..columns)
            .map(|i| {
                let parts: Vec<&dyn Array> = self.rows.iter().filter_map(|r| r.get(i).map(|a| a.as_ref())).collect();
                Ok(concat(&parts)?)
            })
            .collect::<Result<Vec<_>>>()?;
        self.rows = VecDeque::from([joined]);
        Ok(())
    }
}

/// The aggregation behind a function of DataFusion, if it is one of Spark's.
pub fn as_spark(function: &AggregateUDF) -> Option<&SparkAggregate> {
    let inner: &dyn Any = function.inner().as_ref();
    inner.downcast_ref()
}
