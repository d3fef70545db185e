//! Functions with lambdas: `transform`, `filter`, `aggregate` and their kin.
//!
//! A body is evaluated once for all elements of a batch: its parameters are columns of the flattened elements, columns of the outer
//! row are repeated beside them. Only `aggregate` goes element by element, over all rows at once.

mod array;
mod body;
mod map;
mod sort;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::types;

use super::map::entry_fields;
use crate::arguments::{type_mismatch, unexpected_input, wrong_count};
use crate::{Function, HigherOrder, Lambda, Typed};

pub(super) fn lookup(name: &str) -> Option<Function> {
    let build = match name {
        "transform" => array::transform,
        "filter" => array::filter,
        "exists" | "any_match" => array::exists,
        "forall" | "all_match" => array::forall,
        "aggregate" | "reduce" => array::aggregate,
        "zip_with" => array::zip_with,
        "map_filter" => map::map_filter,
        "transform_keys" => map::transform_keys,
        "transform_values" => map::transform_values,
        "array_sort" => sort::array_sort,
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
            ExceptionClass::Analysis,
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

/// The argument of a call and its lambda, if there is one of each.
fn one<'a>(
    name: &str,
    arguments: &'a [Typed],
    lambdas: &'a [Lambda],
) -> Result<([&'a Typed; 1], &'a Lambda), SparkError> {
    match (arguments, lambdas) {
        ([argument], [lambda]) => Ok(([argument], lambda)),
        _ => Err(wrong_count(name, "2", arguments.len() + lambdas.len())),
    }
}

/// As [`one`], and the lambda gives a boolean.
fn condition<'a>(
    name: &str,
    arguments: &'a [Typed],
    lambdas: &'a [Lambda],
) -> Result<([&'a Typed; 1], &'a Lambda), SparkError> {
    let (argument, lambda) = one(name, arguments, lambdas)?;
    match lambda.body.data_type {
        DataType::Boolean | DataType::Null => Ok((argument, lambda)),
        _ => {
            let text = format!(
                "The lambda requires the \"BOOLEAN\" type, however it has the type \"{}\".",
                types::sql_name(&lambda.body.data_type)
            );
            Err(type_mismatch("UNEXPECTED_INPUT_TYPE", name, arguments, text))
        }
    }
}
