//! Arrays by the order of their elements: sorted, and their largest and smallest.

use std::sync::Arc;

use arrow::array::{Array, UInt32Array, make_comparator};
use arrow::compute::{SortOptions, take};
use arrow::datatypes::Field;
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;

use super::{item_of, range, rearranged};
use crate::arguments::{exactly, expect_count, not_constant};
use crate::kernel::{Kernel, list};
use crate::{FunctionContext, Typed};

/// `sort_array(array[, ascending])`: nulls first when ascending, last when descending.
pub(super) fn sort(name: &str, arguments: &[Typed], _: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[1, 2])?;
    let item = item_of(name, arguments, 0)?;
    let ascending = match arguments.get(1).map(|a| a.as_literal()) {
        None => true,
        Some(Some(ScalarValue::Boolean(Some(ascending)))) => *ascending,
        Some(_) => return Err(not_constant(name, arguments, 1, "ascendingOrder", "\"BOOLEAN\"")),
    };
    let options = SortOptions { descending: !ascending, nulls_first: ascending };
    let [argument, ..] = arguments else { return Err(SparkError::internal("sort_array has an argument")) };
    Ok(sorted(if ascending { "sort_array" } else { "sort_array_desc" }, argument, item, options))
}

/// Ascending, null elements last: `array_sort` without a comparator. Nulls inside of elements come first, as Spark orders values.
pub(in crate::nested) fn sort_nulls_last(argument: &Typed, item: Arc<Field>) -> Result<Typed, SparkError> {
    Ok(rearranged("array_sort", argument, item, |list, row, places| {
        let values = list.values();
        let order = make_comparator(values.as_ref(), values.as_ref(), SortOptions::default())?;
        let first = places.len();
        places.extend(range(list, row).map(|at| at as u32));
        if let Some(row) = places.get_mut(first..) {
            row.sort_by(|a, b| {
                let (a, b) = (*a as usize, *b as usize);
                values.is_null(a).cmp(&values.is_null(b)).then_with(|| order(a, b))
            });
        }
        Ok(())
    }))
}

fn sorted(name: &str, argument: &Typed, item: Arc<Field>, options: SortOptions) -> Typed {
    rearranged(name, argument, item, move |list, row, places| {
        let order = make_comparator(list.values().as_ref(), list.values().as_ref(), options)?;
        let first = places.len();
        places.extend(range(list, row).map(|at| at as u32));
        if let Some(row) = places.get_mut(first..) {
            row.sort_by(|a, b| order(*a as usize, *b as usize));
        }
        Ok(())
    })
}

/// `array_max`, `array_min`: nulls are left out, NaN is the largest.
pub(super) fn extremum(name: &str, arguments: &[Typed], _: &FunctionContext) -> Result<Typed, SparkError> {
    exactly::<1>(name, arguments)?;
    let item = item_of(name, arguments, 0)?;
    let largest = name.eq_ignore_ascii_case("array_max");
    Ok(Kernel::new(name, item.data_type().clone(), true).arrays(arguments, move |arrays, rows| {
        let [array] = arrays else { return Err(SparkError::internal("a function of one array")) };
        let list = list(array.as_ref())?;
        let order = make_comparator(list.values().as_ref(), list.values().as_ref(), SortOptions::default())?;
        let best = |row: usize| {
            let known = range(list, row).filter(|at| list.is_valid(row) && list.values().is_valid(*at));
            let best = if largest { known.max_by(|a, b| order(*a, *b)) } else { known.min_by(|a, b| order(*a, *b)) };
            best.map(|at| at as u32)
        };
        Ok(take(list.values(), &(0..rows).map(best).collect::<UInt32Array>(), None)?)
    }))
}
