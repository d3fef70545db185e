use arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;

use crate::analyze;
use crate::ir::{Expr, JoinKind, Relation, RelationOp, Star};
use crate::testing::*;

#[test]
fn a_star_gives_all_columns_and_names_are_found_without_regard_to_case() {
    let relation = select(pairs(1), vec![Expr::Star(Star::default()), col("V").alias("w")]);
    assert_eq!(rows(&relation), "k,v,w / a,1,1 / a,3,3 / b,2,2");
}

#[test]
fn a_column_taken_twice_is_given_twice() {
    assert_eq!(rows(&select(pairs(1), vec![col("v"), col("v")])), "v,v / 1,1 / 2,2 / 3,3");
}

#[test]
fn an_unknown_column_is_answered_with_the_nearest_names() {
    let error = analyze(&select(pairs(1), vec![col("kk")]), &TestCatalog::default()).unwrap_err();
    assert_eq!(error.condition(), Some("UNRESOLVED_COLUMN.WITH_SUGGESTION"));
    assert_eq!(error.parameters()["proposal"], "`k`, `v`");
}

#[test]
fn groups_are_counted_under_their_keys() {
    let count = Expr::call("count", vec![int(1)]).alias("count");
    assert_eq!(rows(&group(pairs(1), vec![col("k")], vec![count])), "k,count / a,2 / b,1");
}

#[test]
fn an_aggregate_without_an_alias_is_named_after_itself() {
    let relation = group(
        pairs(1),
        vec![],
        vec![Expr::call("count", vec![Expr::Star(Star::default())]), Expr::call("SUM", vec![col("v")])],
    );
    assert_eq!(rows(&relation), "count(1),sum(v) / 3,6");
    assert!(!schema(&relation).field(0).is_nullable());
}

#[test]
fn a_column_that_is_no_key_is_refused() {
    assert_eq!(condition(&group(pairs(1), vec![col("k")], vec![col("v")])), "MISSING_AGGREGATION 42803");
    let list = vec![col("v"), Expr::call("max", vec![col("v")])];
    assert_eq!(condition(&select(pairs(1), list)), "MISSING_GROUP_BY 42803");
}

#[test]
fn rows_are_ordered_by_a_column_that_is_not_selected() {
    let relation = select(sort(select(pairs(1), vec![col("k")]), col("v")), vec![col("k")]);
    assert_eq!(rows(&relation), "k / a / a / b");
    let plan = analyze(&relation, &TestCatalog::default()).unwrap();
    assert_eq!(plan.plan.schema().fields().len(), 1);
}

#[test]
fn rows_are_ordered_by_an_aggregate_that_is_not_selected() {
    let grouped = group(pairs(1), vec![col("k")], vec![]);
    assert_eq!(rows(&sort(grouped, Expr::call("sum", vec![col("v")]))), "k / a / b");
}

#[test]
fn a_filter_and_a_sort_look_below_a_select_list_for_different_columns() {
    let three = select(pairs(1), vec![col("k"), col("v"), col("v").alias("w")]);
    let listed = select(three, vec![col("k")]);
    let condition = Expr::call("<", vec![col("v"), int(3)]);
    let filtered: Relation = RelationOp::Filter { input: listed, condition }.into();
    assert_eq!(rows(&sort(filtered, col("w"))), "k / a / b");
    let grouped = group(pairs(1), vec![col("k")], vec![]);
    let condition = Expr::call(">", vec![Expr::call("count", vec![int(1)]), int(0)]);
    let filtered: Relation = RelationOp::Filter { input: grouped, condition }.into();
    assert_eq!(rows(&sort(filtered, Expr::call("max", vec![col("v")]))), "k / a / b");
}

#[test]
fn a_reference_to_a_data_frame_holds_through_operators_that_pass_the_column_on() {
    let renamed = select(pairs(1), vec![col("k"), col("v").alias("k2")]);
    let relation = select(renamed.clone(), vec![of(1, "k")]);
    assert_eq!(rows(&relation), "k / a / a / b");
    assert_eq!(condition(&select(renamed, vec![of(1, "v")])), "CANNOT_RESOLVE_DATAFRAME_COLUMN 42704");
}

#[test]
fn a_join_using_a_key_gives_it_once_and_keeps_both_sides_within_reach() {
    let relation = join(pairs(1), pairs(2), None, &["k"], JoinKind::Inner);
    assert_eq!(rows(&relation), "k,v,v / a,1,1 / a,1,3 / a,3,1 / a,3,3 / b,2,2");
    let named = Relation { plan_id: Some(3), ..relation.clone() };
    assert_eq!(rows(&select(named, vec![of(3, "k")])), "k / a / a / a / a / b");
    let taken = select(relation, vec![of(2, "k"), of(1, "v")]);
    assert_eq!(rows(&taken), "k,v / a,1 / a,1 / a,3 / a,3 / b,2");
}

#[test]
fn a_full_join_merges_the_keys() {
    let left = RelationOp::Limit { input: pairs(1), limit: int(1) }.into();
    let relation = join(left, select(pairs(2), vec![col("k")]), None, &["k"], JoinKind::FullOuter);
    assert_eq!(rows(&relation), "k,v / a,1 / a,1 / b,");
}

#[test]
fn a_self_join_leaves_the_side_of_a_reference_open() {
    let condition_of = |e| join(pairs(1), pairs(1), Some(e), &[], JoinKind::Inner);
    assert_eq!(
        condition(&condition_of(Expr::call("=", vec![of(1, "k"), of(1, "k")]))),
        "AMBIGUOUS_COLUMN_REFERENCE 42702"
    );
}

#[test]
fn a_window_keeps_the_watermark_and_leaves_rows_without_time_out() {
    let marked = RelationOp::WithWatermark { input: events(), event_time: "ts".into(), delay: "10 seconds".into() };
    let window = Expr::call("window", vec![col("ts"), Expr::string("5 seconds")]);
    let count = Expr::call("count", vec![int(1)]).alias("count");
    let relation = group(marked.into(), vec![window], vec![count]);
    let schema = schema(&relation);
    assert_eq!(schema.field(0).name(), "window");
    assert!(!schema.field(0).is_nullable());
    assert_eq!(schema.field(0).metadata()["spark.watermarkDelayMs"], "10000");
    assert_eq!(schema.field(0).metadata()["spark.timeWindow"], "true");
    let plan = analyze(&relation, &TestCatalog::default()).unwrap();
    assert_eq!(plan.plan.schema().field(0).metadata()["spark.watermarkDelayMs"], "10000");
}

#[test]
fn sliding_windows_hold_a_row_each() {
    let window = Expr::call("window", vec![col("ts"), Expr::string("10 seconds"), Expr::string("5 seconds")]);
    let plan = analyze(&select(events(), vec![window]), &TestCatalog::default()).unwrap();
    assert!(plan.output[0].nullable);
    assert!(plan.plan.display_indent().to_string().contains("Generate"), "{}", plan.plan.display_indent());
}

#[test]
fn a_filter_must_be_boolean() {
    let relation = RelationOp::Filter { input: pairs(1), condition: col("v") }.into();
    assert_eq!(condition(&relation), "DATATYPE_MISMATCH.FILTER_NOT_BOOLEAN 42K09");
}

#[test]
fn a_union_widens_types_and_takes_the_names_of_the_left() {
    let one = |e| select(RelationOp::OneRow.into(), vec![e]);
    let union = |left, right, all| {
        Relation::from(RelationOp::SetOperation(crate::ir::SetOperation {
            left,
            right,
            kind: crate::ir::SetKind::Union,
            all,
            by_name: false,
            allow_missing: false,
        }))
    };
    let long = Expr::Literal(ScalarValue::Int64(Some(2)));
    let relation = union(one(int(1).alias("a")), one(long.alias("b")), true);
    assert_eq!(rows(&relation), "a / 1 / 2");
    assert_eq!(schema(&relation).field(0).data_type(), &DataType::Int64);
    assert_eq!(rows(&union(one(int(1)), one(int(1)), false)), "1 / 1");
    assert_eq!(condition(&union(pairs(1), one(int(1)), true)), "NUM_COLUMNS_MISMATCH 42826");
}

#[test]
fn a_difference_drops_equal_rows_and_with_all_one_for_one() {
    let except = |all| {
        Relation::from(RelationOp::SetOperation(crate::ir::SetOperation {
            left: select(pairs(1), vec![col("k")]),
            right: RelationOp::Limit { input: select(pairs(2), vec![col("k")]), limit: int(1) }.into(),
            kind: crate::ir::SetKind::Except,
            all,
            by_name: false,
            allow_missing: false,
        }))
    };
    assert_eq!(rows(&except(false)), "k / b");
    assert_eq!(rows(&except(true)), "k / a / b");
}

#[test]
fn columns_are_added_replaced_renamed_and_dropped() {
    let added =
        RelationOp::WithColumns { input: pairs(1), columns: vec![col("v").alias("K"), int(7).alias("n")] }.into();
    let renamed: Relation =
        RelationOp::WithColumnsRenamed { input: added, renames: vec![("n".into(), "m".into())] }.into();
    assert_eq!(rows(&renamed), "K,v,m / 1,1,7 / 2,2,7 / 3,3,7");
    let dropped = RelationOp::Drop { input: renamed, columns: vec![col("k")], names: vec!["nope".into()] }.into();
    assert_eq!(rows(&dropped), "v,m / 1,7 / 2,7 / 3,7");
}

#[test]
fn a_stream_is_a_leaf_of_a_streaming_plan() {
    let plan = analyze(&select(stream(), vec![col("k")]), &TestCatalog::default()).unwrap();
    assert!(plan.streaming);
}
