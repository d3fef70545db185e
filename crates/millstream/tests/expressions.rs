//! Expressions over columns give what Spark 4.2 gives: type, nullability, every value, or the condition of the error.
//!
//! `expressions.golden` holds the results recorded from Spark, in ANSI mode and, where they differ, in legacy mode: a line
//! `## expression => type [null]` or `## expression => error CONDITION`, then the four rows as `show()` prints them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use millstream::prelude::*;
use millstream_formats::text::show_strings;
use millstream_formats::types::simple_name;

const ZONE: &str = "Europe/Berlin";

const ROWS: &str = "values
 (1, 10L, 1Y, 1.5D, cast(2.5 as float), cast(12.34 as decimal(10,2)), 'abc', true, date'2020-02-29',
  timestamp'2020-03-29 01:30:00.5', timestamp_ntz'2020-03-29 02:30:00', array(1,2), named_struct('x',1,'y','a'), '12',
  X'0102', cast(1.234567 as decimal(20,6))),
 (-7, 3L, 5Y, -0.0D, cast('nan' as float), cast(-99.99 as decimal(10,2)), '12.5', false, date'1969-12-31',
  timestamp'1969-12-31 23:59:59.999999', timestamp_ntz'0001-01-01 00:00:00', array(1,null), named_struct('x',2,'y',null),
  ' 2020-01-01 ', X'', cast(-0.000001 as decimal(20,6))),
 (null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null),
 (2147483647, -9223372036854775807L, 127Y, 1e300D, cast('-inf' as float), cast(99999999.99 as decimal(10,2)), '', true,
  date'9999-12-31', timestamp'2020-10-25 02:30:00', timestamp_ntz'9999-12-31 23:59:59.999999', array(),
  named_struct('x',null,'y','z'), '1e3', X'FF', cast(12345678901234.5 as decimal(20,6)))
 as t(i,l,b,d,f,m,s,o,dt,ts,nz,a,st,n,x,m2)";

/// The result in the form of the golden file.
fn outcome(session: &std::sync::Arc<Session>, expression: &str) -> String {
    match rows(session, expression) {
        Ok(text) => format!("## {expression} => {text}"),
        Err(error) => format!("## {expression} => error {}\n", error.condition().unwrap_or("without condition")),
    }
}

fn rows(session: &std::sync::Arc<Session>, expression: &str) -> Result<String, SparkError> {
    let frame = session.query(&format!("select {expression} as c from {ROWS}"));
    let schema = frame.schema()?;
    let field = schema.field(0);
    let mut text = format!("{}{}\n", simple_name(field.data_type()), if field.is_nullable() { " null" } else { "" });
    let zone = ZONE.parse().map_err(|_| SparkError::internal("no such zone"))?;
    for batch in frame.collect()? {
        for value in show_strings(batch.column(0), &zone)?.iter().flatten() {
            text.push_str(value.trim());
            text.push('\n');
        }
    }
    Ok(text)
}

#[test]
fn expressions_give_what_spark_gives() {
    let session = local_session().unwrap();
    session.conf().set("spark.sql.session.timeZone", ZONE).unwrap();
    let golden = include_str!("expressions.golden");
    let (mut checked, mut wrong) = (0, Vec::new());
    for part in golden.split("@legacy\n").enumerate() {
        session.conf().set("spark.sql.ansi.enabled", if part.0 == 0 { "true" } else { "false" }).unwrap();
        for case in part.1.split("## ").filter(|case| !case.is_empty()) {
            let (expression, _) = case.split_once(" => ").unwrap();
            let (wanted, found) = (format!("## {case}"), outcome(&session, expression));
            checked += 1;
            if found != wanted {
                wrong.push(format!("wanted {wanted}found {found}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {checked}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(checked > 150, "only {checked} expressions");
}

/// A filter guards the expressions of the filters after it, and the left side of a condition its right side.
#[test]
fn a_row_that_is_filtered_out_cannot_fail() {
    let session = local_session().unwrap();
    let numbers = session.query("select * from values (0, 'a'), (2, '2'), (5, '5') as t(x, s)");
    let count = |frame: DataFrame| frame.collect().map(|batches| batches.iter().map(|b| b.num_rows()).sum::<usize>());
    let guarded = numbers.clone().filter(expr("x <> 0")).filter(expr("10 / x > 3"));
    assert_eq!(count(guarded).unwrap(), 1);
    let cast = numbers.clone().filter(expr("s rlike '^[0-9]+$' and int(s) > 1"));
    assert_eq!(count(cast).unwrap(), 2);
    let either = numbers.clone().select([expr("x = 0 or 10 / x > 3")]).filter(expr("true"));
    assert_eq!(count(either).unwrap(), 3);
    let error = count(numbers.filter(expr("10 / x > 3"))).unwrap_err();
    assert_eq!(error.condition(), Some("DIVIDE_BY_ZERO"));
}
