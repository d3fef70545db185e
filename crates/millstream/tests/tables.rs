//! Queries in SQL and what `show()` prints of them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use arrow::array::AsArray;
use millstream::ir::{RelationOp, Statistics};
use millstream::prelude::*;

/// What `show()` prints of a relation.
fn shown(session: &std::sync::Arc<Session>, input: RelationOp, vertical: bool) -> String {
    let show = RelationOp::ShowString { input: input.into(), rows: 20, truncate: 20, vertical };
    let rows = session.execute(&show.into()).and_then(millstream::BatchStream::collect).unwrap();
    rows[0].column(0).as_string::<i32>().value(0).to_string()
}

fn query(session: &std::sync::Arc<Session>, text: &str) -> RelationOp {
    session.query(text).relation().op.as_ref().clone()
}

#[test]
fn tables_are_printed_as_spark_prints_them() {
    let session = local_session().unwrap();
    let table = query(&session, "SELECT id, repeat('x', 15 + id * 10) AS text FROM range(2)");
    assert_eq!(
        shown(&session, table.clone(), false),
        "+---+--------------------+\n| id|                text|\n+---+--------------------+\n|  0|     xxxxxxxxxxxxxxx|\n\
         |  1|xxxxxxxxxxxxxxxxx...|\n+---+--------------------+\n"
    );
    let one = RelationOp::Limit { input: table.into(), limit: lit(1) };
    assert_eq!(
        shown(&session, one, true),
        "-RECORD 0---------------\n id   | 0               \n text | xxxxxxxxxxxxxxx \n"
    );
}

#[test]
fn a_summary_has_a_row_per_statistic() {
    let session = local_session().unwrap();
    let input = query(&session, "SELECT * FROM VALUES (1, 'a'), (3, NULL) AS t(n, s)").into();
    let summary = RelationOp::Statistics { input, kind: Statistics::Describe(vec![]) };
    let expected = "+-------+------------------+----+\n|summary|                 n|   s|\n+-------+------------------+----+\n\
                    |  count|                 2|   1|\n|   mean|               2.0|NULL|\n| stddev|1.4142135623730951|NULL|\n\
                    |    min|                 1|   a|\n|    max|                 3|   a|\n+-------+------------------+----+\n";
    assert_eq!(shown(&session, summary, false), expected);
}

#[test]
fn columns_become_rows_and_rows_columns() {
    let session = local_session().unwrap();
    let wide = "SELECT * FROM VALUES (1, 2, NULL), (3, 4, 5) AS t(id, a, b)";
    let long = query(&session, &format!("{wide} UNPIVOT (v FOR n IN (a, b AS bee))"));
    let expected =
        "+---+---+---+\n| id|  n|  v|\n+---+---+---+\n|  1|  a|  2|\n|  3|  a|  4|\n|  3|bee|  5|\n+---+---+---+\n";
    assert_eq!(shown(&session, long, false), expected);
    let turned = RelationOp::Transpose { input: query(&session, wide).into(), index: vec![] };
    let expected = "+---+----+---+\n|key|   1|  3|\n+---+----+---+\n|  a|   2|  4|\n|  b|NULL|  5|\n+---+----+---+\n";
    assert_eq!(shown(&session, turned, false), expected);
}

/// Spark streams the left side of left and semi joins and the larger side of inner ones.
#[test]
fn joins_keep_the_order_of_the_side_that_spark_streams() {
    let session = local_session().unwrap();
    let rows = |kind: &str| {
        let text = format!(
            "SELECT a.k AS l, b.k AS r FROM VALUES (3), (1), (2) AS a(k) {kind} JOIN VALUES (1), (9), (3) AS b(k) ON a.k = b.k"
        );
        shown(&session, query(&session, &text), false)
            .lines()
            .skip(3)
            .filter(|l| l.starts_with('|'))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(rows("INNER"), "|  3|  3| |  1|  1|");
    assert_eq!(rows("LEFT"), "|  3|   3| |  1|   1| |  2|NULL|");
}

#[test]
fn documents_in_a_column_become_a_table() {
    let session = local_session().unwrap();
    let parsed = |format: &str, text: &str, options: &[(&str, &str)]| {
        let options = options.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect();
        let input = query(&session, text).into();
        shown(&session, RelationOp::Parse { input, format: format.into(), schema: None, options }, false)
    };
    let json = parsed("json", r#"SELECT * FROM VALUES ('{"a": 1}'), ('{"b": "x"}') AS t(v)"#, &[]);
    assert_eq!(json, "+----+----+\n|   a|   b|\n+----+----+\n|   1|NULL|\n|NULL|   x|\n+----+----+\n");
    let csv =
        parsed("csv", "SELECT * FROM VALUES ('n,s'), ('1,x') AS t(v)", &[("header", "true"), ("inferSchema", "true")]);
    assert_eq!(csv, "+---+---+\n|  n|  s|\n+---+---+\n|  1|  x|\n+---+---+\n");
}
