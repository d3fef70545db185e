//! `str_to_map(text[, between pairs[, between key and value]])`: `a:1,b:2` as a map of strings. Both separators are regular
//! expressions; a pair without the second one has a null value.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringBuilder};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;
use millstream_formats::types;

use super::map::build;
use crate::arguments::expect_count;
use crate::coerce::{self, Expected};
use crate::kernel::{Kernel, list, string};
use crate::{Function, FunctionContext, Typed};

pub(super) fn lookup(name: &str) -> Option<Function> {
    (name == "str_to_map").then_some(Function::Scalar(str_to_map))
}

fn str_to_map(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_count(name, arguments, &[1, 2, 3])?;
    let text = |index: usize, default: &str| match arguments.get(index) {
        Some(_) => coerce::argument(name, arguments, index, &Expected::Exactly(DataType::Utf8), context),
        None => Ok(Typed::literal(ScalarValue::Utf8(Some(default.to_string())))),
    };
    let (value, pairs, keys) = (text(0, "")?, text(1, ",")?, text(2, ":")?);
    let Some(Function::Scalar(split)) = crate::lookup("split") else {
        return Err(SparkError::internal("there is no function split"));
    };
    let nullable = [&value, &pairs, &keys].iter().any(|a| a.nullable);
    let pairs = split("split", &[value, pairs], context)?;
    // Each pair is cut at its first separator: the same function, over all pairs at once.
    let pair = Typed::new(datafusion::prelude::col("pair"), DataType::Utf8, true);
    let separator = Typed::new(datafusion::prelude::col("separator"), DataType::Utf8, true);
    let separator = keys.as_literal().map_or(separator, |literal| Typed::literal(literal.clone()));
    let cut = split("split", &[pair, separator, Typed::literal(ScalarValue::Int32(Some(2)))], context)?;
    let result = types::map(DataType::Utf8, DataType::Utf8, true);
    let bound = result.clone();
    Ok(Kernel::new(name, result, nullable).fallible().arrays(&[pairs, keys], move |arrays, rows| {
        let [pairs, keys] = arrays else { return Err(SparkError::internal("str_to_map has two arguments")) };
        let (pairs, keys) = (list(pairs.as_ref())?, string(keys.as_ref())?);
        let mut lengths = Vec::with_capacity(rows);
        let mut separators = StringBuilder::new();
        let (first, last) =
            (pairs.value_offsets().first().copied().unwrap_or(0), pairs.value_offsets().last().copied().unwrap_or(0));
        for row in 0..rows {
            let length = pairs.value_length(row).unsigned_abs() as usize;
            lengths.push(length);
            (0..length).for_each(|_| separators.append_option(keys.is_valid(row).then(|| keys.value(row))));
        }
        let covered = pairs.values().slice(first.unsigned_abs() as usize, (last - first).unsigned_abs() as usize);
        let parts = evaluate(&cut, covered, Arc::new(separators.finish()))?;
        let parts = list(parts.as_ref())?;
        let texts = string(parts.values().as_ref())?;
        let (mut names, mut values) = (StringBuilder::new(), StringBuilder::new());
        for at in 0..parts.len() {
            let begin = parts.value_offsets()[at].unsigned_abs() as usize;
            let count = parts.value_length(at);
            names.append_value(if count > 0 { texts.value(begin) } else { "" });
            values.append_option((count > 1).then(|| texts.value(begin + 1)));
        }
        let nulls = crate::rows::nulls_of(arrays);
        build(&bound, OffsetBuffer::from_lengths(lengths), Arc::new(names.finish()), Arc::new(values.finish()), nulls)
    }))
}

fn evaluate(cut: &Typed, pairs: ArrayRef, separators: ArrayRef) -> Result<ArrayRef, SparkError> {
    use datafusion::common::DFSchema;
    use datafusion::logical_expr::execution_props::ExecutionProps;
    use datafusion::physical_expr::create_physical_expr;
    let failed = crate::kernel::from_datafusion;
    let batch = arrow::array::RecordBatch::try_from_iter([("pair", pairs), ("separator", separators)])?;
    let schema = DFSchema::try_from(batch.schema().as_ref().clone()).map_err(failed)?;
    let expr = create_physical_expr(&cut.expr, &schema, &ExecutionProps::new(), &Default::default()).map_err(failed)?;
    expr.evaluate(&batch).and_then(|v| v.into_array(batch.num_rows())).map_err(failed)
}
