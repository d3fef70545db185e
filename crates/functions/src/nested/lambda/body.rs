//! The bodies of lambdas, evaluated over all elements of a batch at once.

use std::sync::{Arc, OnceLock};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, ListArray, MapArray, RecordBatch, RecordBatchOptions,
    UInt32Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use millstream_formats::condition::SparkError;

use crate::kernel::{Kernel, from_datafusion};
use crate::{Lambda, Typed};

/// A body with what it needs to run: its parameters and the columns of the outer row come as columns of one batch.
pub(super) struct Body {
    expr: Expr,
    /// Names of the parameters, then of the columns of the outer row.
    names: Vec<String>,
    /// Made when the types of the outer columns are seen for the first time.
    physical: OnceLock<Arc<dyn PhysicalExpr>>,
}

impl Body {
    fn new(lambda: &Lambda, outer: &[Column]) -> Self {
        let parameters = lambda.parameters.iter().map(|p| p.name().clone());
        let names = parameters.chain(outer.iter().map(|c| c.name.clone())).collect();
        Self { expr: lambda.body.expr.clone(), names, physical: OnceLock::new() }
    }

    /// The value of the body for each row of its parameters.
    pub fn evaluate(&self, parameters: Vec<ArrayRef>, outer: &[ArrayRef], rows: usize) -> Result<ArrayRef, SparkError> {
        let columns: Vec<ArrayRef> = parameters.into_iter().chain(outer.iter().cloned()).collect();
        let fields =
            self.names.iter().zip(&columns).map(|(name, column)| Field::new(name, column.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let physical = match self.physical.get() {
            Some(physical) => Arc::clone(physical),
            None => {
                let names = DFSchema::try_from(schema.as_ref().clone()).map_err(from_datafusion)?;
                let made = create_physical_expr(&self.expr, &names, &ExecutionProps::new(), &Default::default());
                Arc::clone(self.physical.get_or_init({
                    let made = made.map_err(from_datafusion)?;
                    move || made
                }))
            }
        };
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(schema, columns, &options)?;
        physical.evaluate(&batch).and_then(|v| v.into_array(rows)).map_err(from_datafusion)
    }
}

/// Columns of the outer row that bodies use, which become further arguments of the kernel.
fn outer_columns(lambdas: &[Lambda]) -> Vec<Column> {
    let own = |column: &Column| lambdas.iter().flat_map(|l| &l.parameters).any(|p| p.name() == &column.name);
    let mut columns: Vec<Column> = Vec::new();
    for column in lambdas.iter().flat_map(|l| l.body.expr.column_refs()) {
        if !own(column) && !columns.contains(column) {
            columns.push(column.clone());
        }
    }
    columns.sort_by(|a, b| a.name.cmp(&b.name));
    columns
}

/// What a call is evaluated with: a batch of its arguments, and of the columns of the outer row that its bodies use.
pub(super) struct Batch<'b, const ARGUMENTS: usize> {
    pub arguments: &'b [ArrayRef; ARGUMENTS],
    pub outer: &'b [ArrayRef],
    pub rows: usize,
}

/// A call as an expression. `run` gets a body for each lambda.
pub(super) fn call<const ARGUMENTS: usize>(
    name: &str,
    (result, nullable): (DataType, bool),
    arguments: [&Typed; ARGUMENTS],
    lambdas: &[Lambda],
    run: impl Fn(Batch<'_, ARGUMENTS>, &[Body]) -> Result<ArrayRef, SparkError> + Send + Sync + 'static,
) -> Typed {
    let outer = outer_columns(lambdas);
    let column = |c: &Column| Typed::new(Expr::Column(c.clone()), DataType::Null, true);
    let cells: Vec<Typed> = arguments.into_iter().cloned().chain(outer.iter().map(column)).collect();
    let bodies: Vec<Body> = lambdas.iter().map(|l| Body::new(l, &outer)).collect();
    // Tells this call from others with the same arguments.
    let text = lambdas.iter().map(|l| {
        let names: Vec<&str> = l.parameters.iter().map(|p| p.name().as_str()).collect();
        format!("{}->{}", names.join(","), l.body.expr)
    });
    let text = text.collect::<Vec<_>>().join(";");
    Kernel::new(name, result, nullable).bound_to(text).fallible().arrays(&cells, move |arrays, rows| {
        let Some((arguments, outer)) = arrays.split_first_chunk() else {
            return Err(SparkError::internal("too few arguments"));
        };
        run(Batch { arguments, outer, rows }, &bodies)
    })
}

/// A call with one lambda.
pub(super) fn call_one<const ARGUMENTS: usize>(
    name: &str,
    result: (DataType, bool),
    arguments: [&Typed; ARGUMENTS],
    lambda: &Lambda,
    run: impl Fn(Batch<'_, ARGUMENTS>, &Body) -> Result<ArrayRef, SparkError> + Send + Sync + 'static,
) -> Typed {
    call(name, result, arguments, std::slice::from_ref(lambda), move |batch, bodies| match bodies {
        [body] => run(batch, body),
        _ => Err(SparkError::internal("a function with a lambda has none")),
    })
}

/// The elements of all arrays of a batch in one column, and where they came from.
pub(super) struct Flat {
    /// Places in the values of the list.
    pub places: UInt32Array,
    /// Row of each element.
    rows: UInt32Array,
    /// Position of each element in its array.
    positions: ArrayRef,
    pub lengths: Vec<usize>,
}

fn flat(offsets: &OffsetBuffer<i32>, nulls: Option<&NullBuffer>) -> Flat {
    let (mut places, mut rows, mut positions, mut lengths) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (row, window) in offsets.windows(2).enumerate() {
        let [begin, end] = *window else { continue };
        let end = if nulls.is_some_and(|n| n.is_null(row)) { begin } else { end };
        places.extend(begin.unsigned_abs()..end.unsigned_abs());
        positions.extend(0..end - begin);
        let length = (end - begin).unsigned_abs() as usize;
        rows.extend(std::iter::repeat_n(row as u32, length));
        lengths.push(length);
    }
    Flat {
        places: UInt32Array::from(places),
        rows: UInt32Array::from(rows),
        positions: Arc::new(Int32Array::from(positions)),
        lengths,
    }
}

pub(super) fn take_all(arrays: &[ArrayRef], places: &UInt32Array) -> Result<Vec<ArrayRef>, SparkError> {
    Ok(arrays.iter().map(|a| take(a, places, None)).collect::<Result<_, _>>()?)
}

/// Evaluates a body of one or two parameters (element, position) for all elements.
pub(super) fn for_elements(
    body: &Body,
    list: &ListArray,
    outer: &[ArrayRef],
    with_position: bool,
) -> Result<(Flat, ArrayRef), SparkError> {
    let flat = flat(list.offsets(), list.nulls());
    let mut parameters = vec![take(list.values(), &flat.places, None)?];
    if with_position {
        parameters.push(Arc::clone(&flat.positions));
    }
    let values = body.evaluate(parameters, &take_all(outer, &flat.rows)?, flat.places.len())?;
    Ok((flat, values))
}

/// What a lambda makes of each entry of the maps, and the entries themselves in the same order.
pub(super) fn for_entries(
    body: &Body,
    map: &MapArray,
    outer: &[ArrayRef],
) -> Result<(Flat, ArrayRef, ArrayRef, ArrayRef), SparkError> {
    let flat = flat(map.offsets(), map.nulls());
    let keys = take(map.keys(), &flat.places, None)?;
    let values = take(map.values(), &flat.places, None)?;
    let parameters = vec![Arc::clone(&keys), Arc::clone(&values)];
    let made = body.evaluate(parameters, &take_all(outer, &flat.rows)?, flat.places.len())?;
    Ok((flat, keys, values, made))
}

/// The answers of a condition; a condition that is null says nothing.
pub(super) fn booleans(array: &ArrayRef) -> BooleanArray {
    match array.as_boolean_opt() {
        Some(values) => values.clone(),
        None => BooleanArray::new_null(array.len()),
    }
}

/// The places of flat elements whose condition is true, and the offsets of what is left of each row.
pub(super) fn those_kept(condition: &ArrayRef, flat: &Flat) -> (UInt32Array, OffsetBuffer<i32>) {
    let condition = booleans(condition);
    let keep = |at: usize| condition.is_valid(at) && condition.value(at);
    let mut next = 0;
    let lengths = flat.lengths.iter().map(|length| {
        let count = (next..next + length).filter(|at| keep(*at)).count();
        next += length;
        count
    });
    let offsets = OffsetBuffer::from_lengths(lengths);
    ((0..condition.len()).filter(|at| keep(*at)).map(|at| Some(at as u32)).collect(), offsets)
}
