//! Functions with lambdas: `transform`, `filter`, `aggregate` and their kin.
//!
//! A body is evaluated once for all elements of a batch: its parameters are columns of the flattened elements, columns of the outer
//! row are repeated beside them. Only `aggregate` goes element by element, over all rows at once.

use std::sync::{Arc, OnceLock};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, ListArray, MapArray, RecordBatch, RecordBatchOptions,
    UInt32Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{interleave, take};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use millstream_formats::condition::SparkError;
use millstream_formats::types;

use super::internal;
use super::map::entry_fields;
use crate::arguments::{type_mismatch, unexpected_input, wrong_count};
use crate::kernel::{Kernel, from_datafusion, list, map};
use crate::{Function, FunctionContext, HigherOrder, Lambda, Typed, coerce};

pub(super) fn lookup(name: &str) -> Option<Function> {
    let build = match name {
        "transform" => transform,
        "filter" => filter,
        "exists" | "any_match" => exists,
        "forall" | "all_match" => forall,
        "aggregate" | "reduce" => aggregate,
        "zip_with" => zip_with,
        "map_filter" => map_filter,
        "transform_keys" => transform_keys,
        "transform_values" => transform_values,
        "array_sort" => array_sort,
        _ => return None,
    };
    Some(Function::HigherOrder(HigherOrder { parameters, build }))
}

fn item_of(name: &str, arguments: &[Typed], index: usize) -> Result<FieldRef, SparkError> {
    match arguments.get(index).map(|a| &a.data_type) {
        Some(DataType::List(item)) => Ok(Arc::clone(item)),
        _ => Err(unexpected_input(name, arguments, index, "\"ARRAY\"")),
    }
}

/// Types of a lambda's parameters.
fn parameters(
    name: &str,
    arguments: &[Typed],
    before: &[Lambda],
    index: usize,
    arity: usize,
) -> Result<Vec<FieldRef>, SparkError> {
    let wrong = || {
        SparkError::new(
            millstream_formats::condition::ExceptionClass::Analysis,
            "INVALID_LAMBDA_FUNCTION_CALL.NUM_ARGS_MISMATCH",
            "42K0D",
            format!(
                "Invalid lambda function call. A higher order function expects another number of arguments, but got {arity}."
            ),
        )
    };
    let field = |data_type: &DataType, nullable| Arc::new(Field::new("x", data_type.clone(), nullable));
    let position = || Arc::new(Field::new("i", DataType::Int32, false));
    match name {
        "transform" | "filter" => {
            let item = item_of(name, arguments, 0)?;
            match arity {
                1 => Ok(vec![item]),
                2 => Ok(vec![item, position()]),
                _ => Err(wrong()),
            }
        }
        "exists" | "forall" | "any_match" | "all_match" if arity == 1 => Ok(vec![item_of(name, arguments, 0)?]),
        "array_sort" if arity == 2 => {
            let item = item_of(name, arguments, 0)?;
            Ok(vec![Arc::clone(&item), item])
        }
        "aggregate" | "reduce" => {
            let item = item_of(name, arguments, 0)?;
            let start = arguments.get(1).ok_or_else(|| wrong_count(name, "[3, 4]", arguments.len()))?;
            // The result of the merge may be null even if the start is not.
            match (index, arity, before.first()) {
                (0, 2, _) => Ok(vec![field(&start.data_type, true), item]),
                (1, 1, Some(merge)) => Ok(vec![field(&merge.body.data_type, true)]),
                _ => Err(wrong()),
            }
        }
        "zip_with" if arity == 2 => {
            let (a, b) = (item_of(name, arguments, 0)?, item_of(name, arguments, 1)?);
            Ok(vec![field(a.data_type(), true), field(b.data_type(), true)])
        }
        "map_filter" | "transform_keys" | "transform_values" if arity == 2 => {
            let entry = arguments.first().and_then(|a| entry_fields(&a.data_type));
            let (key, value) = entry.ok_or_else(|| unexpected_input(name, arguments, 0, "\"MAP\""))?;
            Ok(vec![Arc::clone(key), Arc::clone(value)])
        }
        _ => Err(wrong()),
    }
}

/// A body with what it needs to run: its parameters and the columns of the outer row come as columns of one batch.
struct Body {
    expr: datafusion::logical_expr::Expr,
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
    fn evaluate(&self, parameters: Vec<ArrayRef>, outer: &[ArrayRef], rows: usize) -> Result<ArrayRef, SparkError> {
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
        let batch = RecordBatch::try_new_with_options(schema, columns, &options).map_err(internal)?;
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

/// A call in the making: its arguments with the outer columns behind them, and its bodies.
struct Call {
    arguments: Vec<Typed>,
    bodies: Vec<Body>,
    /// Tells this call from others with the same arguments.
    text: String,
}

fn call(arguments: &[Typed], lambdas: &[Lambda]) -> Call {
    let outer = outer_columns(lambdas);
    let column = |c: &Column| Typed::new(datafusion::logical_expr::Expr::Column(c.clone()), DataType::Null, true);
    let all = arguments.iter().cloned().chain(outer.iter().map(column)).collect();
    let text = lambdas.iter().map(|l| {
        let names: Vec<&str> = l.parameters.iter().map(|p| p.name().as_str()).collect();
        format!("{}->{}", names.join(","), l.body.expr)
    });
    Call {
        arguments: all,
        bodies: lambdas.iter().map(|l| Body::new(l, &outer)).collect(),
        text: text.collect::<Vec<_>>().join(";"),
    }
}

fn one(lambdas: &[Lambda], name: &str, arguments: &[Typed]) -> Result<Lambda, SparkError> {
    match lambdas {
        [lambda] => Ok(lambda.clone()),
        _ => Err(wrong_count(name, "2", arguments.len() + lambdas.len())),
    }
}

/// The elements of all arrays of a batch in one column, and where they came from.
struct Flat {
    /// Places in the values of the list.
    places: UInt32Array,
    /// Row of each element.
    rows: UInt32Array,
    /// Position of each element in its array.
    positions: ArrayRef,
    lengths: Vec<usize>,
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

fn take_all(arrays: &[ArrayRef], places: &UInt32Array) -> Result<Vec<ArrayRef>, SparkError> {
    arrays.iter().map(|a| take(a, places, None).map_err(internal)).collect()
}

/// Evaluates a body of one or two parameters (element, position) for all elements.
fn for_elements(
    body: &Body,
    list: &ListArray,
    outer: &[ArrayRef],
    with_position: bool,
) -> Result<(Flat, ArrayRef), SparkError> {
    let flat = flat(list.offsets(), list.nulls());
    let mut parameters = vec![take(list.values(), &flat.places, None).map_err(internal)?];
    if with_position {
        parameters.push(Arc::clone(&flat.positions));
    }
    let values = body.evaluate(parameters, &take_all(outer, &flat.rows)?, flat.places.len())?;
    Ok((flat, values))
}

fn no_body() -> SparkError {
    SparkError::internal("a function with a lambda has none")
}

fn transform(name: &str, arguments: &[Typed], lambdas: &[Lambda], _: &FunctionContext) -> Result<Typed, SparkError> {
    let lambda = one(lambdas, name, arguments)?;
    item_of(name, arguments, 0)?;
    let item = Arc::new(Field::new("element", lambda.body.data_type.clone(), lambda.body.nullable));
    let with_position = lambda.parameters.len() == 2;
    let Call { arguments: cells, bodies, text } = call(arguments, lambdas);
    let kernel = Kernel::new(name, DataType::List(Arc::clone(&item)), arguments.iter().any(|a| a.nullable));
    Ok(kernel.bound_to(text).fallible().arrays(&cells, move |arrays, _| {
        let ([array, outer @ ..], [body, ..]) = (arrays, &bodies[..]) else { return Err(no_body()) };
        let list = list(array.as_ref())?;
        let (flat, values) = for_elements(body, list, outer, with_position)?;
        let offsets = OffsetBuffer::from_lengths(flat.lengths);
        Ok(Arc::new(ListArray::try_new(Arc::clone(&item), offsets, values, list.nulls().cloned()).map_err(internal)?))
    }))
}

/// The lambda gives a boolean.
fn condition(name: &str, arguments: &[Typed], lambdas: &[Lambda]) -> Result<Lambda, SparkError> {
    let lambda = one(lambdas, name, arguments)?;
    match lambda.body.data_type {
        DataType::Boolean | DataType::Null => Ok(lambda),
        _ => {
            let text = format!(
                "The lambda requires the \"BOOLEAN\" type, however it has the type \"{}\".",
                types::sql_name(&lambda.body.data_type)
            );
            Err(type_mismatch("UNEXPECTED_INPUT_TYPE", name, arguments, text))
        }
    }
}

fn booleans(array: &ArrayRef) -> BooleanArray {
    match array.as_boolean_opt() {
        Some(values) => values.clone(),
        None => BooleanArray::new_null(array.len()),
    }
}

/// The places of flat elements whose condition is true, and the offsets of what is left of each row.
fn those_kept(condition: &ArrayRef, flat: &Flat) -> (UInt32Array, OffsetBuffer<i32>) {
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

fn filter(name: &str, arguments: &[Typed], lambdas: &[Lambda], _: &FunctionContext) -> Result<Typed, SparkError> {
    let lambda = condition(name, arguments, lambdas)?;
    let item = item_of(name, arguments, 0)?;
    let with_position = lambda.parameters.len() == 2;
    let Call { arguments: cells, bodies, text } = call(arguments, lambdas);
    let kernel = Kernel::new(name, DataType::List(Arc::clone(&item)), arguments.iter().any(|a| a.nullable));
    Ok(kernel.bound_to(text).fallible().arrays(&cells, move |arrays, _| {
        let ([array, outer @ ..], [body, ..]) = (arrays, &bodies[..]) else { return Err(no_body()) };
        let list = list(array.as_ref())?;
        let (flat, kept) = for_elements(body, list, outer, with_position)?;
        let (kept, offsets) = those_kept(&kept, &flat);
        let places = take(&flat.places, &kept, None).map_err(internal)?;
        let values = take(list.values(), &places, None).map_err(internal)?;
        Ok(Arc::new(ListArray::try_new(Arc::clone(&item), offsets, values, list.nulls().cloned()).map_err(internal)?))
    }))
}

/// Three-valued logic over the elements: `decisive` is the answer that one element settles.
fn quantifier(name: &str, arguments: &[Typed], lambdas: &[Lambda], decisive: bool) -> Result<Typed, SparkError> {
    let lambda = condition(name, arguments, lambdas)?;
    item_of(name, arguments, 0)?;
    let Call { arguments: cells, bodies, text } = call(arguments, lambdas);
    let nullable = arguments.iter().any(|a| a.nullable) || lambda.body.nullable;
    Ok(Kernel::new(name, DataType::Boolean, nullable).bound_to(text).fallible().arrays(&cells, move |arrays, rows| {
        let ([array, outer @ ..], [body, ..]) = (arrays, &bodies[..]) else { return Err(no_body()) };
        let list = list(array.as_ref())?;
        let (flat, found) = for_elements(body, list, outer, false)?;
        let found = booleans(&found);
        let mut next = 0;
        let answers = (0..rows).map(|row| {
            let elements = next..next + flat.lengths.get(row).copied().unwrap_or_default();
            next = elements.end;
            if list.is_null(row) {
                return None;
            }
            if elements.clone().any(|at| found.is_valid(at) && found.value(at) == decisive) {
                return Some(decisive);
            }
            elements.clone().all(|at| found.is_valid(at)).then_some(!decisive)
        });
        Ok(Arc::new(answers.collect::<BooleanArray>()))
    }))
}

fn exists(name: &str, arguments: &[Typed], lambdas: &[Lambda], _: &FunctionContext) -> Result<Typed, SparkError> {
    quantifier(name, arguments, lambdas, true)
}

fn forall(name: &str, arguments: &[Typed], lambdas: &[Lambda], _: &FunctionContext) -> Result<Typed, SparkError> {
    quantifier(name, arguments, lambdas, false)
}

/// `aggregate(array, start, merge[, finish])`: element by element, over all rows at once.
fn aggregate(
    name: &str,
    arguments: &[Typed],
    lambdas: &[Lambda],
    context: &FunctionContext,
) -> Result<Typed, SparkError> {
    let ([array, start], [merge, rest @ ..]) = (arguments, lambdas) else {
        return Err(wrong_count(name, "[3, 4]", arguments.len() + lambdas.len()));
    };
    item_of(name, arguments, 0)?;
    let result = rest.first().unwrap_or(merge).body.data_type.clone();
    if !coerce::same_type(&merge.body.data_type, &start.data_type) {
        let text = format!(
            "The third parameter requires the \"{}\" type, however the lambda has the type \"{}\".",
            types::sql_name(&start.data_type),
            types::sql_name(&merge.body.data_type)
        );
        return Err(type_mismatch("UNEXPECTED_INPUT_TYPE", name, arguments, text));
    }
    // Types may differ in the nullability of their parts only.
    let start = coerce::cast_to(start.clone(), &merge.body.data_type, context)?;
    let Call { arguments: cells, bodies, text } = call(&[array.clone(), start], lambdas);
    Ok(Kernel::new(name, result, true).bound_to(text).fallible().arrays(&cells, move |arrays, rows| {
        let ([array, start, outer @ ..], [merge, finish @ ..]) = (arrays, &bodies[..]) else { return Err(no_body()) };
        let list = list(array.as_ref())?;
        let mut state = Arc::clone(start);
        let length = |row: usize| if list.is_null(row) { 0 } else { list.value_length(row) };
        let longest = (0..rows).map(length).max().unwrap_or(0);
        for position in 0..longest {
            let active: Vec<u32> = (0..rows).filter(|row| length(*row) > position).map(|row| row as u32).collect();
            let place = |row: &u32| list.value_offsets()[*row as usize].unsigned_abs() + position.unsigned_abs();
            let places = UInt32Array::from(active.iter().map(place).collect::<Vec<_>>());
            let rows_active = UInt32Array::from(active);
            let parameters = vec![
                take(&state, &rows_active, None).map_err(internal)?,
                take(list.values(), &places, None).map_err(internal)?,
            ];
            let merged = merge.evaluate(parameters, &take_all(outer, &rows_active)?, rows_active.len())?;
            let mut order: Vec<(usize, usize)> = (0..rows).map(|row| (0, row)).collect();
            for (at, row) in rows_active.values().iter().enumerate() {
                if let Some(slot) = order.get_mut(*row as usize) {
                    *slot = (1, at);
                }
            }
            state = interleave(&[state.as_ref(), merged.as_ref()], &order).map_err(internal)?;
        }
        if let Some(finish) = finish.first() {
            state = finish.evaluate(vec![state], outer, rows)?;
        }
        if list.null_count() == 0 {
            return Ok(state);
        }
        let kept: UInt32Array = (0..rows).map(|row| list.is_valid(row).then_some(row as u32)).collect();
        take(&state, &kept, None).map_err(internal)
    }))
}

/// `zip_with(a, b, f)`: the shorter array is filled up with nulls.
fn zip_with(name: &str, arguments: &[Typed], lambdas: &[Lambda], _: &FunctionContext) -> Result<Typed, SparkError> {
    let lambda = match lambdas {
        [lambda] => lambda,
        _ => return Err(wrong_count(name, "3", arguments.len() + lambdas.len())),
    };
    let item = Arc::new(Field::new("element", lambda.body.data_type.clone(), lambda.body.nullable));
    let Call { arguments: cells, bodies, text } = call(arguments, lambdas);
    let kernel = Kernel::new(name, DataType::List(Arc::clone(&item)), arguments.iter().any(|a| a.nullable));
    Ok(kernel.bound_to(text).fallible().arrays(&cells, move |arrays, rows| {
        let ([left, right, outer @ ..], [body, ..]) = (arrays, &bodies[..]) else { return Err(no_body()) };
        let (left, right) = (list(left.as_ref())?, list(right.as_ref())?);
        let nulls = NullBuffer::union(left.nulls(), right.nulls());
        let (mut lengths, mut row_of) = (Vec::with_capacity(rows), Vec::new());
        let (mut left_places, mut right_places) = (Vec::new(), Vec::new());
        for row in 0..rows {
            let known = nulls.as_ref().is_none_or(|n| n.is_valid(row));
            let (a, b) = (left.value_length(row), right.value_length(row));
            let length = if known { a.max(b) } else { 0 };
            let place = |list: &ListArray, at: i32, length: i32| {
                (at < length).then(|| list.value_offsets()[row].unsigned_abs() + at.unsigned_abs())
            };
            left_places.extend((0..length).map(|at| place(left, at, a)));
            right_places.extend((0..length).map(|at| place(right, at, b)));
            row_of.extend(std::iter::repeat_n(row as u32, length.unsigned_abs() as usize));
            lengths.push(length.unsigned_abs() as usize);
        }
        let parameters = vec![
            take(left.values(), &UInt32Array::from(left_places), None).map_err(internal)?,
            take(right.values(), &UInt32Array::from(right_places), None).map_err(internal)?,
        ];
        let row_of = UInt32Array::from(row_of);
        let values = body.evaluate(parameters, &take_all(outer, &row_of)?, row_of.len())?;
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(Arc::new(ListArray::try_new(Arc::clone(&item), offsets, values, nulls).map_err(internal)?))
    }))
}

/// What a lambda makes of each entry of the maps, and the entries themselves in the same order.
fn for_entries(
    body: &Body,
    map: &MapArray,
    outer: &[ArrayRef],
) -> Result<(Flat, ArrayRef, ArrayRef, ArrayRef), SparkError> {
    let flat = flat(map.offsets(), map.nulls());
    let keys = take(map.keys(), &flat.places, None).map_err(internal)?;
    let values = take(map.values(), &flat.places, None).map_err(internal)?;
    let parameters = vec![Arc::clone(&keys), Arc::clone(&values)];
    let made = body.evaluate(parameters, &take_all(outer, &flat.rows)?, flat.places.len())?;
    Ok((flat, keys, values, made))
}

fn map_filter(name: &str, arguments: &[Typed], lambdas: &[Lambda], _: &FunctionContext) -> Result<Typed, SparkError> {
    condition(name, arguments, lambdas)?;
    let [argument] = arguments else { return Err(wrong_count(name, "2", arguments.len() + lambdas.len())) };
    let result = argument.data_type.clone();
    let bound = result.clone();
    let Call { arguments: cells, bodies, text } = call(arguments, lambdas);
    Ok(Kernel::new(name, result, argument.nullable).bound_to(text).fallible().arrays(&cells, move |arrays, _| {
        let ([array, outer @ ..], [body, ..]) = (arrays, &bodies[..]) else { return Err(no_body()) };
        let map = map(array.as_ref())?;
        let (flat, keys, values, kept) = for_entries(body, map, outer)?;
        let (kept, offsets) = those_kept(&kept, &flat);
        let keys = take(&keys, &kept, None).map_err(internal)?;
        let values = take(&values, &kept, None).map_err(internal)?;
        super::map::build(&bound, offsets, keys, values, map.nulls().cloned())
    }))
}

fn transform_entries(name: &str, arguments: &[Typed], lambdas: &[Lambda], of_keys: bool) -> Result<Typed, SparkError> {
    let lambda = one(lambdas, name, arguments)?;
    let [argument] = arguments else { return Err(wrong_count(name, "2", arguments.len() + lambdas.len())) };
    let entry = entry_fields(&argument.data_type);
    let (key, value) = entry.ok_or_else(|| unexpected_input(name, arguments, 0, "\"MAP\""))?;
    let result = match of_keys {
        true => types::map(lambda.body.data_type.clone(), value.data_type().clone(), value.is_nullable()),
        false => types::map(key.data_type().clone(), lambda.body.data_type.clone(), lambda.body.nullable),
    };
    let bound = result.clone();
    let Call { arguments: cells, bodies, text } = call(arguments, lambdas);
    Ok(Kernel::new(name, result, argument.nullable).bound_to(text).fallible().arrays(&cells, move |arrays, _| {
        let ([array, outer @ ..], [body, ..]) = (arrays, &bodies[..]) else { return Err(no_body()) };
        let map = map(array.as_ref())?;
        let (flat, keys, values, made) = for_entries(body, map, outer)?;
        let (keys, values) = if of_keys { (made, values) } else { (keys, made) };
        super::map::build(&bound, OffsetBuffer::from_lengths(flat.lengths), keys, values, map.nulls().cloned())
    }))
}

fn transform_keys(
    name: &str,
    arguments: &[Typed],
    lambdas: &[Lambda],
    _: &FunctionContext,
) -> Result<Typed, SparkError> {
    transform_entries(name, arguments, lambdas, true)
}

fn transform_values(
    name: &str,
    arguments: &[Typed],
    lambdas: &[Lambda],
    _: &FunctionContext,
) -> Result<Typed, SparkError> {
    transform_entries(name, arguments, lambdas, false)
}

/// `array_sort(array[, comparator])`: without one ascending, nulls last. A comparator is asked for all pairs of a row at once.
fn array_sort(
    name: &str,
    arguments: &[Typed],
    lambdas: &[Lambda],
    context: &FunctionContext,
) -> Result<Typed, SparkError> {
    let item = item_of(name, arguments, 0)?;
    let [argument] = arguments else { return Err(wrong_count(name, "[1, 2]", arguments.len() + lambdas.len())) };
    if lambdas.is_empty() {
        return super::array::sort_nulls_last(argument, item);
    }
    let lambda = one(lambdas, name, arguments)?;
    let comparison = coerce::cast_to(lambda.body.clone(), &DataType::Int32, context)?;
    let lambdas = [Lambda { parameters: lambda.parameters, body: comparison }];
    let Call { arguments: cells, bodies, text } = call(arguments, &lambdas);
    let kernel = Kernel::new(name, DataType::List(Arc::clone(&item)), argument.nullable);
    Ok(kernel.bound_to(text).fallible().arrays(&cells, move |arrays, rows| {
        let ([array, outer @ ..], [body, ..]) = (arrays, &bodies[..]) else { return Err(no_body()) };
        let list = list(array.as_ref())?;
        let (mut places, mut lengths) = (Vec::new(), Vec::with_capacity(rows));
        for row in 0..rows {
            let count = if list.is_null(row) { 0 } else { list.value_length(row).unsigned_abs() };
            let begin = list.value_offsets()[row].unsigned_abs();
            let pairs = |pick: &dyn Fn(u32, u32) -> u32| -> UInt32Array {
                (0..count * count).map(|at| Some(begin + pick(at / count.max(1), at % count.max(1)))).collect()
            };
            let parameters = vec![
                take(list.values(), &pairs(&|a, _| a), None).map_err(internal)?,
                take(list.values(), &pairs(&|_, b| b), None).map_err(internal)?,
            ];
            let repeated = UInt32Array::from(vec![row as u32; (count * count) as usize]);
            let answers = body.evaluate(parameters, &take_all(outer, &repeated)?, repeated.len())?;
            let answers = crate::kernel::primitive::<arrow::datatypes::Int32Type>(answers.as_ref())?;
            if answers.null_count() > 0 {
                return Err(SparkError::new(
                    millstream_formats::condition::ExceptionClass::Runtime,
                    "COMPARATOR_RETURNS_NULL",
                    "22004",
                    "The comparator has returned a NULL for a comparison. It should return a positive integer for \"greater than\", 0 \
                     for \"equal\" and a negative integer for \"less than\".",
                ));
            }
            let mut order: Vec<u32> = (0..count).collect();
            order.sort_by(|a, b| answers.value((a * count + b) as usize).cmp(&0));
            places.extend(order.into_iter().map(|at| begin + at));
            lengths.push(count as usize);
        }
        let values = take(list.values(), &UInt32Array::from(places), None).map_err(internal)?;
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(Arc::new(ListArray::try_new(Arc::clone(&item), offsets, values, list.nulls().cloned()).map_err(internal)?))
    }))
}
