//! Relations made of others, by their rows. What needs operators of this project is tested where they
//! are (`millstream`).

use datafusion::scalar::ScalarValue;

use crate::ir::{Aggregate, Expr, Grouping, Relation, RelationOp, Statistics};
use crate::sql::parse_statement;
use crate::testing::{col, condition, int, pairs, rows};

/// The relation of a query over `VALUES`.
fn query(text: &str) -> Relation {
    match parse_statement(text) {
        Ok(crate::ir::Statement::Query(relation)) => relation,
        other => panic!("{text}: {other:?}"),
    }
}

fn missing() -> Relation {
    query("SELECT * FROM VALUES (1, 'a', 1.5D), (NULL, NULL, double('NaN')), (3, NULL, 2.5D) AS t(n, s, d)")
}

#[test]
fn one_value_fills_the_columns_of_its_kind() {
    let fill = |value| RelationOp::FillNa { input: missing(), columns: vec![], values: vec![value] }.into();
    assert_eq!(rows(&fill(Expr::Literal(ScalarValue::Int64(Some(7))))), "n,s,d / 1,a,1.5 / 3,,2.5 / 7,,7.0");
    assert_eq!(rows(&fill(Expr::string("x"))), "n,s,d / ,x,NaN / 1,a,1.5 / 3,x,2.5");
}

#[test]
fn each_column_is_filled_with_its_own_value() {
    let values = vec![Expr::Literal(ScalarValue::Int64(Some(0))), Expr::string("none")];
    let filled = RelationOp::FillNa { input: missing(), columns: vec!["n".into(), "s".into()], values };
    assert_eq!(rows(&filled.into()), "n,s,d / 0,none,NaN / 1,a,1.5 / 3,none,2.5");
}

#[test]
fn rows_with_too_few_values_are_dropped() {
    let kept = |min_non_nulls| rows(&RelationOp::DropNa { input: missing(), columns: vec![], min_non_nulls }.into());
    assert_eq!(kept(None), "n,s,d / 1,a,1.5");
    assert_eq!(kept(Some(2)), "n,s,d / 1,a,1.5 / 3,,2.5");
    assert_eq!(kept(Some(1)), "n,s,d / 1,a,1.5 / 3,,2.5");
    let unknown = RelationOp::DropNa { input: missing(), columns: vec!["q".into()], min_non_nulls: None };
    assert_eq!(condition(&unknown.into()), "UNRESOLVED_COLUMN.WITH_SUGGESTION 42703");
}

#[test]
fn values_are_replaced_in_columns_of_their_kind() {
    let replaced = |old, new| {
        rows(&RelationOp::Replace { input: missing(), columns: vec![], replacements: vec![(old, new)] }.into())
    };
    assert_eq!(replaced(int(3), int(9)), "n,s,d / ,,NaN / 1,a,1.5 / 9,,2.5");
    assert_eq!(replaced(Expr::string("a"), Expr::Literal(ScalarValue::Null)), "n,s,d / ,,NaN / 1,,1.5 / 3,,2.5");
}

fn pivot(values: Vec<Expr>, expressions: Vec<Expr>) -> Relation {
    RelationOp::Aggregate(Aggregate {
        input: query("SELECT * FROM VALUES ('x', 1, 10), ('x', 2, 20), ('y', 1, 30) AS t(k, a, b)"),
        grouping: Grouping::Pivot { column: Box::new(col("a")), values },
        keys: vec![col("k")],
        expressions,
        keys_first: true,
        having: None,
    })
    .into()
}

#[test]
fn values_of_a_column_become_columns() {
    let sum = || Expr::call("sum", vec![col("b")]);
    assert_eq!(rows(&pivot(vec![], vec![sum()])), "k,1,2 / x,10,20 / y,30,");
    assert_eq!(rows(&pivot(vec![int(2)], vec![sum()])), "k,2 / x,20 / y,");
    let both = vec![sum().alias("s"), Expr::call("count", vec![col("b")])];
    assert_eq!(rows(&pivot(vec![int(1)], both)), "k,1_s,1_count(b) / x,10,1 / y,30,1");
}

#[test]
fn pivot_in_sql_groups_by_what_is_not_mentioned() {
    let text = "SELECT * FROM VALUES ('x', 1, 10), ('y', 1, 30) AS t(k, a, b) PIVOT (sum(b) FOR a IN (1 AS one))";
    assert_eq!(rows(&query(text)), "k,one / x,10 / y,30");
}

#[test]
fn statistics_that_are_aggregations() {
    let input = || query("SELECT * FROM VALUES (1, 2), (2, 4), (3, 6) AS t(a, b)");
    let of = |kind| rows(&RelationOp::Statistics { input: input(), kind }.into());
    assert_eq!(of(Statistics::Correlation("a".into(), "b".into(), None)), "corr / 1.0");
    assert_eq!(of(Statistics::Covariance("a".into(), "b".into())), "cov / 2.0");
    let quantiles = Statistics::ApproxQuantile(vec!["a".into()], vec![0.0, 0.5, 1.0], 0.0);
    assert_eq!(of(quantiles), "approx_quantile / [[1.0, 2.0, 3.0]]");
    let text = RelationOp::Statistics { input: pairs(1), kind: Statistics::Covariance("k".into(), "v".into()) };
    assert_eq!(condition(&text.into()), " ");
}

#[test]
fn a_contingency_table_counts_pairs() {
    let input = query("SELECT * FROM VALUES (1, 'x'), (1, 'y'), (2, NULL), (1, 'x') AS t(a, b)");
    let table = RelationOp::Statistics { input, kind: Statistics::Crosstab("a".into(), "b".into()) };
    assert_eq!(rows(&table.into()), "a_b,null,x,y / 1,0,2,1 / 2,1,0,0");
}
