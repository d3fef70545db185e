//! Joins of two streams.

use datafusion::common::{Column, JoinType, NullEquality};
use datafusion::logical_expr::{Expr, Join, LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::{col, lit};
use datafusion::scalar::ScalarValue;

use super::{Row, TestQuery, events, with_watermark};
use crate::stream_plan::OutputMode;

fn column(name: &str) -> Expr {
    col(Column::new_unqualified(name))
}

/// Joins two streams on `#k = #rk`, with `#rt` in the five seconds after `#t`; gives `#v` and `#rv`.
fn joined(kind: JoinType) -> LogicalPlanBuilder {
    let left = with_watermark(events(), 0).build().unwrap();
    let renamed = [("#k", "#rk"), ("#v", "#rv"), ("#t", "#rt")].map(|(from, to)| column(from).alias(to));
    let right = with_watermark(events(), 0).project(renamed).unwrap().build().unwrap();
    let gap = lit(ScalarValue::DurationMicrosecond(Some(5_000_000)));
    let range = column("#rt").gt_eq(column("#t")).and(column("#rt").lt_eq(column("#t") + gap));
    let join = Join::try_new(
        std::sync::Arc::new(left),
        std::sync::Arc::new(right),
        vec![(column("#k"), column("#rk"))],
        Some(range),
        kind,
        datafusion::common::JoinConstraint::On,
        NullEquality::NullEqualsNothing,
        false,
    )
    .unwrap();
    let given: &[&str] = if kind == JoinType::LeftSemi { &["#v"] } else { &["#v", "#rv"] };
    LogicalPlanBuilder::from(LogicalPlan::Join(join)).project(given.iter().map(|name| column(name))).unwrap()
}

fn row(key: &'static str, value: i64, time: i64) -> Row {
    (Some(key), Some(value), time)
}

#[test]
fn rows_of_two_streams_match_whichever_comes_first_and_go_behind_the_watermark() {
    let dir = tempfile::tempdir().unwrap();
    let mut query = TestQuery::start(joined(JoinType::Inner), OutputMode::Append, dir.path(), 3);
    assert!(query.batch(&[&[row("a", 1, 10), row("b", 2, 10)], &[]]).unwrap().is_empty());
    assert_eq!(query.batch(&[&[], &[row("a", 11, 12), row("a", 12, 16), (None, Some(13), 12)]]).unwrap(), ["1,11"]);
    assert_eq!(query.batch(&[&[row("a", 3, 8), row("a", 4, 12)], &[]]).unwrap(), ["3,11", "4,11", "4,12"]);
    assert_eq!(query.plan.progress()[0].rows_total, 6);
    // Left rows go when the right side's times have passed them by five seconds, right rows when the left's have reached them.
    query.batch_at(&[&[], &[]], 16_000).unwrap();
    assert_eq!(query.plan.progress()[0].rows_removed, 4);
    query.batch_at(&[&[], &[]], 18_000).unwrap();
    assert_eq!(query.plan.progress()[0].rows_total, 0);
}

#[test]
fn an_outer_row_comes_out_once_and_only_if_nothing_matched_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut query = TestQuery::start(joined(JoinType::Full), OutputMode::Append, dir.path(), 2);
    query.batch(&[&[row("a", 1, 10), row("b", 2, 10), (None, Some(3), 10)], &[row("c", 30, 10)]]).unwrap();
    assert_eq!(query.batch(&[&[], &[row("a", 10, 11)]]).unwrap(), ["1,10"]);
    assert_eq!(query.batch_at(&[&[], &[]], 60_000).unwrap(), [",30", "2,", "3,"]);
    assert!(query.batch_at(&[&[], &[]], 90_000).unwrap().is_empty());
}

#[test]
fn a_row_of_a_semi_join_comes_out_at_its_first_match() {
    let dir = tempfile::tempdir().unwrap();
    let mut query = TestQuery::start(joined(JoinType::LeftSemi), OutputMode::Append, dir.path(), 2);
    query.batch(&[&[row("a", 1, 10), row("b", 2, 10)], &[]]).unwrap();
    assert_eq!(query.batch(&[&[], &[row("a", 10, 11), row("a", 11, 12)]]).unwrap(), ["1"]);
    assert!(query.batch(&[&[], &[row("a", 12, 13)]]).unwrap().is_empty());
    assert_eq!(query.batch(&[&[row("a", 3, 12)], &[]]).unwrap(), ["3"]);
}

#[test]
fn a_join_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut query = TestQuery::start(joined(JoinType::Left), OutputMode::Append, dir.path(), 2);
    query.batch(&[&[row("a", 1, 10), row("b", 2, 10)], &[]]).unwrap();
    drop(query);
    let mut query = TestQuery::start(joined(JoinType::Left), OutputMode::Append, dir.path(), 2);
    query.plan.restore(1).unwrap();
    query.next = 1;
    assert_eq!(query.batch(&[&[], &[row("a", 10, 11)]]).unwrap(), ["1,10"]);
    assert_eq!(query.batch_at(&[&[], &[]], 60_000).unwrap(), ["2,"]);
}
