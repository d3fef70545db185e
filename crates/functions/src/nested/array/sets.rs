//! Arrays as sets: each value once, common values, differences.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray, make_comparator};
use arrow::buffer::NullBuffer;
use arrow::compute::SortOptions;
use arrow::datatypes::DataType;
use millstream_formats::condition::SparkError;
use millstream_formats::types;

use super::{item_of, picked, range, rearranged};
use crate::arguments::{exactly, no_common_type};
use crate::kernel::{Kernel, list};
use crate::{FunctionContext, Typed, coerce};

/// Places of `candidates` in the order they come, each value once.
fn once(same: &dyn Fn(usize, usize) -> bool, candidates: impl Iterator<Item = usize>, places: &mut Vec<u32>) {
    let first = places.len();
    for at in candidates {
        if !places.iter().skip(first).any(|known| same(*known as usize, at)) {
            places.push(at as u32);
        }
    }
}

pub(super) fn distinct(name: &str, arguments: &[Typed], _: &FunctionContext) -> Result<Typed, SparkError> {
    let [argument] = exactly(name, arguments)?;
    let item = item_of(name, arguments, 0)?;
    Ok(rearranged(name, argument, item, |list, row, places| {
        let order = make_comparator(list.values().as_ref(), list.values().as_ref(), SortOptions::default())?;
        once(&|a, b| order(a, b).is_eq(), range(list, row), places);
        Ok(())
    }))
}

/// Two arrays of one type.
fn two_arrays(
    name: &str,
    arguments: &[Typed],
    context: &FunctionContext,
) -> Result<([Typed; 2], bool, bool), SparkError> {
    let [left, right] = exactly(name, arguments)?;
    let (a, b) = (item_of(name, arguments, 0)?, item_of(name, arguments, 1)?);
    let common = coerce::common_type(&[a.data_type().clone(), b.data_type().clone()], context.ansi)
        .ok_or_else(|| no_common_type(name, arguments))?;
    let to = |typed: &Typed, nullable| coerce::cast_to(typed.clone(), &types::array(common.clone(), nullable), context);
    Ok(([to(left, a.is_nullable())?, to(right, b.is_nullable())?], a.is_nullable(), b.is_nullable()))
}

/// Which elements of two arrays a set operation keeps.
#[derive(Clone, Copy, PartialEq)]
enum Keep {
    Both,
    Shared,
    LeftOnly,
}

fn set_operation(name: &str, arguments: &[Typed], context: &FunctionContext, keep: Keep) -> Result<Typed, SparkError> {
    let (arguments, left_null, right_null) = two_arrays(name, arguments, context)?;
    let contains_null = match keep {
        Keep::Both => left_null || right_null,
        Keep::Shared => left_null && right_null,
        Keep::LeftOnly => left_null,
    };
    let [left, _] = &arguments;
    let DataType::List(item) = &left.data_type else { return Err(SparkError::internal("an array")) };
    let item = Arc::new(item.as_ref().clone().with_nullable(contains_null));
    let nullable = arguments.iter().any(|a| a.nullable);
    Ok(Kernel::new(name, DataType::List(Arc::clone(&item)), nullable).arrays(&arguments, move |arrays, rows| {
        let [left, right] = arrays else { return Err(SparkError::internal("a function of two arrays")) };
        let (left, right) = (list(left.as_ref())?, list(right.as_ref())?);
        let values = arrow::compute::concat(&[left.values().as_ref(), right.values().as_ref()])?;
        let shift = left.values().len();
        let order = make_comparator(values.as_ref(), values.as_ref(), SortOptions::default())?;
        let same = |a: usize, b: usize| order(a, b).is_eq();
        let nulls = NullBuffer::union(left.nulls(), right.nulls());
        let (mut places, mut lengths) = (Vec::new(), Vec::with_capacity(rows));
        for row in 0..rows {
            let before = places.len();
            if nulls.as_ref().is_none_or(|n| n.is_valid(row)) {
                let second = || range(right, row).map(|at| at + shift);
                let shared = |at: &usize| second().any(|other| same(*at, other));
                match keep {
                    Keep::Both => once(&same, range(left, row).chain(second()), &mut places),
                    Keep::Shared => once(&same, range(left, row).filter(shared), &mut places),
                    Keep::LeftOnly => once(&same, range(left, row).filter(|at| !shared(at)), &mut places),
                }
            }
            lengths.push(places.len() - before);
        }
        picked(&item, &values, places, lengths, nulls)
    }))
}

pub(super) fn union(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    set_operation(name, arguments, context, Keep::Both)
}

pub(super) fn intersect(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    set_operation(name, arguments, context, Keep::Shared)
}

pub(super) fn except(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    set_operation(name, arguments, context, Keep::LeftOnly)
}

/// `arrays_overlap`: null if they share nothing but one of them (neither empty) has a null.
pub(super) fn overlap(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let (arguments, left_null, right_null) = two_arrays(name, arguments, context)?;
    let nullable = left_null || right_null || arguments.iter().any(|a| a.nullable);
    Ok(Kernel::new(name, DataType::Boolean, nullable).arrays(&arguments, move |arrays, rows| {
        let [left, right] = arrays else { return Err(SparkError::internal("a function of two arrays")) };
        let (left, right) = (list(left.as_ref())?, list(right.as_ref())?);
        let same = make_comparator(left.values().as_ref(), right.values().as_ref(), SortOptions::default())?;
        let found = (0..rows).map(|row| {
            if left.is_null(row) || right.is_null(row) {
                return None;
            }
            let (a, b) = (range(left, row), range(right, row));
            let known = |at: &usize| left.values().is_valid(*at);
            if a.clone().filter(known).any(|x| b.clone().any(|y| right.values().is_valid(y) && same(x, y).is_eq())) {
                return Some(true);
            }
            let has_null =
                a.clone().any(|at| left.values().is_null(at)) || b.clone().any(|at| right.values().is_null(at));
            (!has_null || a.is_empty() || b.is_empty()).then_some(false)
        });
        Ok(Arc::new(found.collect::<BooleanArray>()))
    }))
}
