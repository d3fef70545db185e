//! `ROLLUP`, `CUBE`, `GROUPING SETS` over streams: each row is repeated for each set, with nulls for the keys that are not in it
//! and a number for the set, and then grouped by all of them. So state has the keys that Spark's has.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, ListArray, StructArray, UInt32Array, new_null_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{
    Aggregate, Expr, ExprSchemable, Extension, GroupingSet, LogicalPlan, Projection, UserDefinedLogicalNode, cast,
};
use millstream_formats::condition::SparkError;
use millstream_functions::Typed;
use millstream_functions::kernel::Kernel;
use millstream_plan::nodes::Generate;

use crate::exec::external;
use crate::plan_stream::is_streaming;

/// Spark's name of the number of a set.
const GROUPING_ID: &str = "spark_grouping_id";

/// Replaces grouping sets over streams; enters the names of new columns into `names`.
///
/// # Errors
/// If a set occurs twice, which Spark tells apart by a key of its own.
pub fn expand(plan: LogicalPlan, names: &mut HashMap<String, String>) -> Result<LogicalPlan> {
    let expanded = plan.transform_up(|node| {
        let LogicalPlan::Aggregate(aggregate) = &node else { return Ok(Transformed::no(node)) };
        let [Expr::GroupingSet(GroupingSet::GroupingSets(sets))] = aggregate.group_expr.as_slice() else {
            return Ok(Transformed::no(node));
        };
        if !is_streaming(&aggregate.input) {
            return Ok(Transformed::no(node));
        }
        let sets = sets.clone();
        expand_one(aggregate, &sets, names).map(Transformed::yes)
    })?;
    Ok(expanded.data)
}

fn expand_one(aggregate: &Aggregate, sets: &[Vec<Expr>], names: &mut HashMap<String, String>) -> Result<LogicalPlan> {
    if (1..sets.len()).any(|i| sets[..i].contains(&sets[i])) {
        return Err(external(SparkError::unsupported("A grouping set that occurs twice over a stream")));
    }
    let keys: Vec<Expr> = grouping_set_to_exprlist(&aggregate.group_expr)?.into_iter().cloned().collect();
    let schema = aggregate.input.schema();
    let columns: Vec<String> = (0..=keys.len()).map(|i| format!("#set{}-{i}", names.len())).collect();
    let mut fields = Vec::with_capacity(columns.len());
    let mut arguments = Vec::with_capacity(keys.len());
    for (key, name) in keys.iter().zip(&columns) {
        let (_, field) = key.to_field(schema)?;
        let known = names.get(field.name()).cloned();
        names.insert(name.clone(), known.unwrap_or_else(|| field.name().clone()));
        fields.push(field.as_ref().clone().with_name(name).with_nullable(true));
        arguments.push(Typed::new(key.clone(), field.data_type().clone(), field.is_nullable()));
    }
    let id = columns.last().cloned().unwrap_or_default();
    names.insert(id.clone(), GROUPING_ID.to_string());
    fields.push(Field::new(&id, DataType::Int64, false));
    let membership = sets.iter().map(|set| keys.iter().map(|key| set.contains(key)).collect()).collect();
    let generator = generator(&arguments, fields.into(), membership);
    let generate = Generate::try_new(Arc::clone(&aggregate.input), generator, false, columns.clone())?;
    let generated = LogicalPlan::Extension(Extension { node: Arc::new(generate) as Arc<dyn UserDefinedLogicalNode> });
    let all = columns.iter().map(|name| Expr::Column(Column::new_unqualified(name))).collect();
    let grouped = Aggregate::try_new(Arc::new(generated), all, aggregate.aggr_expr.clone())?;
    let given = grouped.schema.columns();
    let shown = aggregate.schema.iter().zip(given).map(|((qualifier, field), column)| {
        let value = Expr::Column(column);
        let value = if value.get_type(&grouped.schema)? == *field.data_type() {
            value
        } else {
            cast(value, field.data_type().clone())
        };
        Ok(value.alias_qualified(qualifier.cloned(), field.name()))
    });
    let shown = shown.collect::<Result<Vec<_>>>()?;
    Ok(LogicalPlan::Projection(Projection::try_new(shown, Arc::new(LogicalPlan::Aggregate(grouped)))?))
}

/// For each row a list with a struct for each set: the keys, and the set's number, whose bits say which keys are not in it, the
/// last key lowest.
fn generator(keys: &[Typed], fields: Fields, membership: Vec<Vec<bool>>) -> Expr {
    let item = Arc::new(Field::new("element", DataType::Struct(fields.clone()), false));
    let kernel = Kernel::new("expand", DataType::List(Arc::clone(&item)), false).bound_to(format!("{membership:?}"));
    let expanded = kernel.arrays(keys, move |arrays, rows| {
        let mut sets: Vec<ArrayRef> = Vec::with_capacity(membership.len());
        for set in &membership {
            let number = set.iter().fold(0_i64, |bits, has| bits << 1 | i64::from(!has));
            let key = |(array, has): (&ArrayRef, &bool)| match has {
                true => Arc::clone(array),
                false => new_null_array(array.data_type(), rows),
            };
            let mut columns: Vec<ArrayRef> = arrays.iter().zip(set).map(key).collect();
            columns.push(Arc::new(Int64Array::from(vec![number; rows])));
            sets.push(Arc::new(StructArray::try_new(fields.clone(), columns, None)?));
        }
        let sets: Vec<&dyn Array> = sets.iter().map(|set| set.as_ref()).collect();
        let by_row: UInt32Array =
            (0..rows).flat_map(|row| (0..sets.len()).map(move |set| (set * rows + row) as u32)).collect();
        let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(sets.len(), rows));
        let elements = take(&concat(&sets)?, &by_row, None)?;
        Ok(Arc::new(ListArray::try_new(Arc::clone(&item), offsets, elements, None)?) as ArrayRef)
    });
    expanded.expr
}
