//! What the parser promises, by example and for any text.

use arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;

use super::*;
use crate::ir::RelationOp;

#[test]
fn types_nest() {
    let parsed = parse_data_type("map<string, array<struct<a: int not null, b decimal(12,2)>>>").expect("a type");
    let inner = DataType::Struct(
        vec![Field::new("a", DataType::Int32, false), Field::new("b", DataType::Decimal128(12, 2), true)].into(),
    );
    assert_eq!(parsed, types::map(DataType::Utf8, types::array(inner, true), true));
}

#[test]
fn schemas_take_columns_a_single_type_or_fields_with_colons() {
    let names = |text: &str| {
        let schema = parse_schema(text).expect("a schema");
        schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(names("a INT, b STRING COMMENT 'c'"), "a Int32, b Utf8");
    assert_eq!(names("int"), "value Int32");
    assert_eq!(names("struct<x: bigint>"), "x Int64");
    assert_eq!(names("a: int, b: date"), "a Int32, b Date32");
    let schema = parse_schema("`a b` INT NOT NULL COMMENT 'it''s'").expect("a schema");
    assert!(!schema.field(0).is_nullable());
    assert_eq!(schema.field(0).metadata().get("comment").map(String::as_str), Some("\"it's\""));
}

#[test]
fn bad_types_name_the_condition() {
    let condition = |text: &str| parse_data_type(text).unwrap_err().condition().map(str::to_string).unwrap_or_default();
    assert_eq!(condition("foo"), "UNSUPPORTED_DATATYPE");
    assert_eq!(condition("array"), "INCOMPLETE_TYPE_DEFINITION.ARRAY");
    assert_eq!(condition("decimal(40)"), "DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION");
    assert_eq!(condition("varchar"), "DATATYPE_MISSING_SIZE");
    assert_eq!(condition("int int"), "PARSE_SYNTAX_ERROR");
    assert_eq!(condition(" "), "PARSE_EMPTY_STATEMENT");
}

#[test]
fn identifiers_split_at_dots_outside_quotes() {
    assert_eq!(parse_identifier("a.`b.c`").expect("a name"), ["a", "b.c"]);
    assert_eq!(parse_identifier("a-b").unwrap_err().condition(), Some("INVALID_IDENTIFIER"));
}

#[test]
fn errors_point_at_the_place() {
    let shown = parse_data_type("array<int").unwrap_err().to_string();
    assert_eq!(
        shown,
        "[PARSE_SYNTAX_ERROR] Syntax error at or near end of input. SQLSTATE: 42601 (line 1, pos 9)\n\n== SQL ==\narray<int\n---------^^^\n"
    );
    let shown = parse_data_type("array<foo>").unwrap_err().to_string();
    assert_eq!(
        shown,
        "[UNSUPPORTED_DATATYPE] Unsupported data type \"FOO\". SQLSTATE: 0A000\n== SQL (line 1, position 7) ==\narray<foo>\n      ^^^\n"
    );
}

/// A short form of an expression: calls with their arguments, names with dots, constants as Arrow shows them.
fn short(expr: &Expr) -> String {
    let list = |items: &[Expr]| items.iter().map(short).collect::<Vec<_>>().join(", ");
    match expr {
        Expr::Literal(value) => match value {
            ScalarValue::Utf8(Some(text)) => format!("'{text}'"),
            ScalarValue::Int32(Some(value)) => value.to_string(),
            other => format!("{other:?}"),
        },
        Expr::TypedLiteral { data_type, text } => format!("{data_type}'{text}'"),
        Expr::Attribute(attribute) => attribute.name.join("."),
        Expr::Star(star) => format!("*{:?}{:?}", star.target, star.except),
        Expr::Function(call) => {
            let distinct = if call.distinct { "distinct " } else { "" };
            let filter = call.filter.as_ref().map(|f| format!(" filter {}", short(f))).unwrap_or_default();
            let nulls = call.ignore_nulls.map(|ignore| format!(" ignore_nulls={ignore}")).unwrap_or_default();
            let group: Vec<String> =
                call.within_group.iter().map(|s| format!(" within {} {}", short(&s.expr), s.ascending)).collect();
            format!("{}({distinct}{}){filter}{nulls}{}", call.name, list(&call.arguments), group.concat())
        }
        Expr::Alias { expr, names, .. } => format!("{} as {}", short(expr), names.join("/")),
        Expr::Cast { expr, to, try_cast } => {
            format!("cast{}({} as {to})", if *try_cast { "?" } else { "" }, short(expr))
        }
        Expr::Lambda { body, parameters } => format!("{} -> {}", parameters.join("/"), short(body)),
        Expr::ExtractValue { child, key } => format!("{}[{}]", short(child), short(key)),
        Expr::NamedArgument { name, value } => format!("{name} => {}", short(value)),
        Expr::Window { function, partition_by, order_by, frame } => {
            let order: Vec<String> = order_by.iter().map(|s| format!("{} {}", short(&s.expr), s.ascending)).collect();
            format!("{} over [{}] [{}] {frame:?}", short(function), list(partition_by), order.join(", "))
        }
        other => format!("{other:?}"),
    }
}

/// The short form, or the condition of the error.
fn expression(text: &str) -> String {
    match parse_expression(text) {
        Ok(parsed) => short(&parsed),
        Err(error) => error.to_string(),
    }
}

/// Fails with all texts that are not parsed as expected.
#[track_caller]
fn assert_expressions(cases: &[(&str, &str)]) {
    let found = cases.iter().map(|(text, expected)| (text, expression(text), expected));
    let wrong: Vec<_> = found.filter(|(_, found, expected)| found != *expected).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn operators_bind_as_in_spark() {
    assert_expressions(&[
        ("a + b * c - d", "-(+(a, *(b, c)), d)"),
        ("NOT a = b AND c OR d", "or(and(not(==(a, b)), c), d)"),
        ("a = b IS NULL", "isnull(==(a, b))"),
        ("a | b ^ c & d << 1 + 2", "|(a, ^(b, &(c, <<(d, +(1, 2)))))"),
        ("-a * +b - -1", "-(*(-(a), positive(b)), -1)"),
        ("a >> 1 > b >>> 2", ">(>>(a, 1), >>>(b, 2))"),
        ("!a || 'x' <> b", "not(!=(||(a, 'x'), b))"),
        ("a DIV 2 % 3", "%(div(a, 2), 3)"),
        ("a BETWEEN 1 AND 2 AND b NOT IN (1, 2)", "and(between(a, 1, 2), not(in(b, 1, 2)))"),
        (
            "a NOT LIKE 'x%' ESCAPE '/' OR b RLIKE 'y' OR c ILIKE 'z'",
            "or(or(not(like(a, 'x%', '/')), rlike(b, 'y')), ilike(c, 'z'))",
        ),
        ("a IS NOT DISTINCT FROM b", "<=>(a, b)"),
        ("a IS DISTINCT FROM b", "not(<=>(a, b))"),
        ("a IS NOT TRUE", "not(<=>(a, Boolean(true)))"),
        ("a LIKE ANY ('x', 'y')", "likeany(a, 'x', 'y')"),
        ("a AND b AND c AND d", "and(and(a, b), and(c, d))"),
        ("~a::int + 1", "+(~(cast(a as Int32)), 1)"),
        ("a <=> b", "<=>(a, b)"),
    ]);
}

#[test]
fn names_keys_and_stars() {
    assert_eq!(expression("t.`a b`.c"), "t.a b.c");
    assert_eq!(expression("m['k'][0].f"), "m['k'][0]['f']");
    assert_eq!(expression("f(x).a.b"), "f(x)['a']['b']");
    assert_eq!(expression("t.* EXCEPT (a, b.c)"), "*Some([\"t\"])[[\"a\"], [\"b\", \"c\"]]");
    assert_eq!(expression("a AS `x y`"), "a as x y");
    assert_eq!(expression("explode(m) AS (k, v)"), "explode(m) as k/v");
    assert_eq!(expression("current_date"), "current_date");
    assert_eq!(expression("count(*) n"), "count(*None[]) as n");
    assert_eq!(expression("date"), "date");
    assert_eq!(expression("interval"), "interval");
    assert_eq!(expression("select"), "select");
}

#[test]
fn constants_have_the_types_of_their_form() {
    assert_expressions(&[
        ("1L", "Int64(1)"),
        ("-128Y", "Int8(-128)"),
        ("2147483648", "Int64(2147483648)"),
        ("1.50", "Decimal128(1.50,3,2)"),
        ("0.05", "Decimal128(0.05,2,2)"),
        ("1.5e3BD", "Decimal128(1500,4,0)"),
        ("1e3", "Float64(1000)"),
        ("2F", "Float32(2)"),
        ("X'1F'", "Binary(\"31\")"),
        ("'a' \"b\"", "'ab'"),
        ("DATE'2024-01-01'", "Date32'2024-01-01'"),
        ("TIMESTAMP_NTZ '2024-01-01'", "Timestamp(µs)'2024-01-01'"),
        ("INTERVAL 10 SECONDS 5 MILLISECONDS", "DurationMicrosecond(\"10005000\")"),
        ("INTERVAL '1-2' YEAR TO MONTH", "IntervalYearMonth(\"14\")"),
        ("INTERVAL '-1 02:03:04.5' DAY TO SECOND", "DurationMicrosecond(\"-93784500000\")"),
        ("INTERVAL -'1' DAY", "DurationMicrosecond(\"-86400000000\")"),
        ("INTERVAL '1 day 2 hours'", "DurationMicrosecond(\"93600000000\")"),
        ("INTERVAL '90' MINUTE", "DurationMicrosecond(\"5400000000\")"),
        ("INTERVAL '1:30' HOUR TO MINUTE", "DurationMicrosecond(\"5400000000\")"),
        ("NULL", "NULL"),
    ]);
}

#[test]
fn calls_with_words_between_their_arguments() {
    assert_expressions(&[
        ("CAST(a AS DECIMAL(5,2))", "cast(a as Decimal128(5, 2))"),
        ("try_cast('x' AS int)", "cast?('x' as Int32)"),
        ("EXTRACT(YEAR FROM d)", "extract('YEAR', d)"),
        ("SUBSTRING(a FROM 2 FOR 3)", "substring(a, 2, 3)"),
        ("substr(a, 2)", "substr(a, 2)"),
        ("TRIM(BOTH 'x' FROM a)", "trim('x', a)"),
        ("TRIM(LEADING FROM a)", "ltrim(a)"),
        ("trim(a)", "trim(a)"),
        ("POSITION('a' IN b)", "locate('a', b, 1)"),
        ("OVERLAY(a PLACING 'x' FROM 2)", "overlay(a, 'x', 2, -1)"),
        ("struct(1 AS a, b)", "struct(1 as a, b)"),
        ("(1, b)", "named_struct('col1', 1, 'b', b)"),
        ("CASE WHEN a THEN 1 ELSE 2 END", "when(a, 1, 2)"),
        ("CASE a WHEN 1 THEN 'x' END", "when(==(a, 1), 'x')"),
        ("transform(xs, x -> x + 1)", "transform(xs, x -> +(x, 1))"),
        ("zip_with(a, b, (x, y) -> x)", "zip_with(a, b, x/y -> x)"),
        ("f(a => 1, 2)", "f(a => 1, 2)"),
        ("count(DISTINCT a, b) FILTER (WHERE c > 0)", "count(distinct a, b) filter >(c, 0)"),
        ("first(a) IGNORE NULLS", "first(a) ignore_nulls=true"),
        ("last(a IGNORE NULLS)", "last(a) ignore_nulls=true"),
        ("percentile_cont(0.5) WITHIN GROUP (ORDER BY a DESC)", "percentile_cont(Decimal128(0.5,1,1)) within a false"),
        ("timestampadd(HOUR, 1, t)", "timestampadd('HOUR', 1, t)"),
        ("date_add(d, 1)", "date_add(d, 1)"),
        ("left(a, 1)", "left(a, 1)"),
        ("filter(a, x -> x > 0)", "filter(a, x -> >(x, 0))"),
        ("exists(a, x -> x > 0)", "exists(a, x -> >(x, 0))"),
        ("if(a, 1, 2)", "if(a, 1, 2)"),
        (
            "sum(a) OVER (PARTITION BY b ORDER BY c DESC ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
            "sum(a) over [b] [c false] Some(WindowFrame { rows: true, lower: Value(Literal(Int32(-1))), upper: CurrentRow })",
        ),
    ]);
}

/// Statements of every kind, and the start of what they are parsed to.
#[test]
fn statements_become_queries_and_commands() {
    let mut wrong = Vec::new();
    for (text, expected) in [
        ("SELECT 1", "Query"),
        (
            "SELECT a, sum(b) s FROM t WHERE c > 1 GROUP BY a WITH ROLLUP HAVING sum(b) > 1 ORDER BY s DESC NULLS LAST LIMIT 10 OFFSET 2",
            "Query",
        ),
        (
            "SELECT /*+ BROADCAST(t) */ DISTINCT * FROM t, u x JOIN v USING (id) LEFT SEMI JOIN w ON x.a = w.a NATURAL JOIN y;",
            "Query",
        ),
        (
            "WITH a AS (SELECT 1 AS x), b (y) AS (SELECT * FROM a) SELECT * FROM b UNION ALL SELECT 2 INTERSECT SELECT 3 EXCEPT SELECT 4",
            "Query",
        ),
        ("SELECT k, tag FROM e LATERAL VIEW OUTER explode(tags) l AS tag WHERE tag IS NULL", "Query"),
        ("SELECT * FROM VALUES (1, 'a'), (2, 'b') AS t(x, y)", "Query"),
        ("VALUES 1, 2", "Query"),
        ("SELECT * FROM range(1, 5) r, LATERAL (SELECT r.id + 1)", "Query"),
        ("SELECT * FROM t PIVOT (sum(a) AS s FOR b IN (1 AS x, 2)) UNPIVOT (v FOR n IN (x AS 'y', z))", "Parse"),
        ("SELECT * FROM t PIVOT (sum(a) AS s, avg(c) FOR (b, d) IN ((1, 2) AS x))", "Query"),
        ("SELECT * FROM t UNPIVOT INCLUDE NULLS ((v, w) FOR n IN ((a, b) AS x, (c, d)))", "Query"),
        ("SELECT * FROM t TABLESAMPLE (10 PERCENT) REPEATABLE (3) s", "Query"),
        (
            "SELECT window.start FROM ev WATERMARK ts DELAY OF INTERVAL 5 SECONDS GROUP BY window(ts, '10 seconds')",
            "Query",
        ),
        ("SELECT sum(a) OVER w FROM t WINDOW w AS (PARTITION BY b ORDER BY c)", "Query"),
        (
            "SELECT (SELECT max(a) FROM t) + 1, a IN (SELECT b FROM u), (a, b) NOT IN (SELECT 1, 2) FROM t WHERE NOT EXISTS (SELECT 1)",
            "Query",
        ),
        ("(SELECT 1) UNION (SELECT 2) ORDER BY 1", "Query"),
        ("((SELECT 1))", "Query"),
        ("FROM t |> WHERE a > 1 |> AGGREGATE sum(a) AS s GROUP BY b |> ORDER BY s", "Query"),
        ("FROM t SELECT a", "Query"),
        ("TABLE t", "Query"),
        ("SELECT * FROM t WHERE a = :x AND b = ?", "Query"),
        ("SELECT a FROM IDENTIFIER('db.' || 't')", "Query"),
        ("SELECT GROUPING(a) FROM t GROUP BY GROUPING SETS ((a, b), a, ())", "Query"),
        ("SELECT 1 FROM t GROUP BY a, CUBE (b, c)", "Query"),
        ("SELECT a FROM t GROUP BY ALL DISTRIBUTE BY a SORT BY b", "Query"),
        ("CREATE OR REPLACE TEMPORARY VIEW v AS SELECT 1", "CreateView"),
        ("CREATE GLOBAL TEMP VIEW v (a COMMENT 'x', b) AS SELECT 1, 2", "CreateView"),
        ("CREATE TEMP VIEW v USING csv OPTIONS (path '/x', header true)", "CreateView"),
        (
            "CREATE TABLE IF NOT EXISTS d.t (a INT, b STRING NOT NULL) USING json PARTITIONED BY (b) LOCATION '/x'",
            "CreateTable",
        ),
        ("CREATE TABLE t USING json AS SELECT * FROM s", "CreateTable"),
        ("DROP VIEW IF EXISTS v", "Drop"),
        ("INSERT INTO t VALUES (1, 'a')", "Insert"),
        ("INSERT OVERWRITE TABLE t (a, b) SELECT 1, 2", "Insert"),
        ("INSERT OVERWRITE DIRECTORY '/x' USING json SELECT * FROM s", "Write"),
        ("WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a", "Insert"),
        ("SET spark.sql.shuffle.partitions = 5", "Set"),
        ("SET", "Set"),
        ("SET TIME ZONE 'Europe/Berlin'", "Set"),
        ("RESET spark.x", "Reset"),
        ("USE DATABASE d", "Catalog"),
        ("SHOW TABLES IN d LIKE 'a*'", "Catalog"),
        ("SHOW COLUMNS FROM t", "Catalog"),
        ("SHOW FUNCTIONS LIKE 'a*'", "Catalog"),
        ("DESCRIBE EXTENDED t", "Catalog"),
        ("DESC t", "Describe"),
        ("DESCRIBE QUERY SELECT 1", "Describe"),
        ("EXPLAIN EXTENDED SELECT 1", "Explain"),
        ("CACHE LAZY TABLE t", "Catalog"),
        ("CLEAR CACHE", "Catalog"),
        ("REFRESH TABLE t", "Catalog"),
        ("CREATE DATABASE IF NOT EXISTS d COMMENT 'x'", "Catalog"),
        ("DROP SCHEMA d CASCADE", "Catalog"),
        ("TRUNCATE TABLE t", "Catalog"),
        ("ALTER TABLE t RENAME TO u", "UNSUPPORTED_FEATURE"),
        ("MERGE INTO t USING u ON a = b WHEN MATCHED THEN DELETE", "UNSUPPORTED_FEATURE"),
        ("SELECT a b c", "PARSE_SYNTAX_ERROR"),
        ("SELEC 1", "PARSE_SYNTAX_ERROR"),
        ("SELECT sum(a) OVER w FROM t", "MISSING_WINDOW_SPECIFICATION"),
    ] {
        let found = match parse_statement(text) {
            Ok(Statement::Query(_)) => "Query".to_string(),
            Ok(other) => format!("{other:?}"),
            Err(error) => error.condition().unwrap_or("Parse").to_string(),
        };
        let found = found.strip_prefix("Command(").unwrap_or(&found);
        let kind = found.split([' ', '(']).next().unwrap_or_default();
        // `UNPIVOT … AS 'y'` is no identifier.
        let expected = if expected == "Parse" { "PARSE_SYNTAX_ERROR" } else { expected };
        if kind != expected {
            wrong.push(format!("{text}: {found}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn clauses_wrap_in_the_order_in_which_they_take_effect() {
    let Ok(Statement::Query(query)) = parse_statement("SELECT DISTINCT a FROM t WHERE b ORDER BY a LIMIT 3 OFFSET 1")
    else {
        panic!("a query");
    };
    let mut names = Vec::new();
    let mut next = Some(&query);
    while let Some(relation) = next {
        let (name, input) = match relation.op.as_ref() {
            RelationOp::Limit { input, .. } => ("limit", Some(input)),
            RelationOp::Offset { input, .. } => ("offset", Some(input)),
            RelationOp::Sort { input, .. } => ("sort", Some(input)),
            RelationOp::Distinct { input } => ("distinct", Some(input)),
            RelationOp::Project { input, .. } => ("project", Some(input)),
            RelationOp::Filter { input, .. } => ("filter", Some(input)),
            _ => ("leaf", None),
        };
        names.push(name);
        next = input;
    }
    assert_eq!(names, ["limit", "offset", "sort", "distinct", "project", "filter", "leaf"]);
}

#[test]
fn syntax_errors_are_sparks() {
    let message = |text: &str| parse_statement(text).unwrap_err().to_string().lines().next().unwrap_or("").to_string();
    assert_eq!(
        message("select * form t x"),
        "[PARSE_SYNTAX_ERROR] Syntax error at or near 't'. SQLSTATE: 42601 (line 1, pos 14)"
    );
    assert_eq!(
        message("select 1 2"),
        "[PARSE_SYNTAX_ERROR] Syntax error at or near '2': extra input '2'. SQLSTATE: 42601 (line 1, pos 9)"
    );
    assert_eq!(
        message("select (1"),
        "[PARSE_SYNTAX_ERROR] Syntax error at or near end of input. SQLSTATE: 42601 (line 1, pos 9)"
    );
    assert_eq!(
        message("select 'abc"),
        "[PARSE_SYNTAX_ERROR] Syntax error at or near '''. SQLSTATE: 42601 (line 1, pos 7)"
    );
    assert_eq!(
        message("select 1 # 2"),
        "[PARSE_SYNTAX_ERROR] Syntax error at or near '#'. SQLSTATE: 42601 (line 1, pos 9)"
    );
    assert_eq!(
        message("select interval 1 foo"),
        "[PARSE_SYNTAX_ERROR] Syntax error at or near 'foo'. SQLSTATE: 42601 (line 1, pos 18)"
    );
    assert_eq!(
        message("  "),
        "[PARSE_EMPTY_STATEMENT] Syntax error, unexpected empty statement. SQLSTATE: 42617 (line 1, pos 2)"
    );
    let error = parse_expression("k +").unwrap_err().to_string();
    assert!(
        error.starts_with("[PARSE_SYNTAX_ERROR] Syntax error at or near end of input. SQLSTATE: 42601 (line 1, pos 3)"),
        "{error}"
    );
}

#[test]
fn parameters_take_their_places() {
    let parameters = Parameters { named: [("t".to_string(), Expr::string("db.x"))].into(), positional: Vec::new() };
    let Ok(Statement::Query(query)) = parse_statement_with("TABLE IDENTIFIER(:t)", &parameters) else {
        panic!("a query")
    };
    assert!(matches!(query.op.as_ref(), RelationOp::Table { name, .. } if *name == ["db", "x"]));
    let missing = parse_statement_with("SELECT :u", &parameters).unwrap_err();
    assert_eq!(missing.condition(), Some("UNBOUND_SQL_PARAMETER"));
}

#[test]
fn deep_nesting_is_refused_and_long_chains_are_not() {
    let deep = format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000));
    assert_eq!(parse_expression(&deep).unwrap_err().condition(), Some("FAILED_TO_PARSE_TOO_COMPLEX"));
    let types = format!("{}int{}", "array<".repeat(100_000), ">".repeat(100_000));
    assert_eq!(parse_data_type(&types).unwrap_err().condition(), Some("FAILED_TO_PARSE_TOO_COMPLEX"));
    let long = vec!["a = 1"; 10_000].join(" OR ");
    assert!(parse_expression(&long).is_ok());
    let selects = "SELECT (".repeat(2_000);
    assert!(parse_statement(&selects).is_err());
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    /// Words of the language in any order give a value or an error, never a panic.
    #[test]
    fn any_text_is_parsed_or_refused(words in proptest::collection::vec(0..WORDS.len(), 0..30), odd in ".{0,8}") {
        let text: Vec<&str> = words.iter().filter_map(|i| WORDS.get(*i).copied()).collect();
        let text = format!("{} {odd}", text.join(" "));
        let _ = parse_statement(&text);
        let _ = parse_expression(&text);
        let _ = parse_ddl(&text);
        let _ = parse_identifier(&text);
    }
}

const WORDS: [&str; 70] = [
    "SELECT", "FROM", "WHERE", "GROUP", "BY", "ORDER", "LIMIT", "(", ")", ",", ".", "*", "+", "-", "a", "b", "1",
    "1.5", "'x'", "`q`", "CASE", "WHEN", "THEN", "END", "NOT", "IN", "BETWEEN", "AND", "OR", "LIKE", "IS", "NULL",
    "INTERVAL", "DAY", "TO", "SECOND", "OVER", "WINDOW", "w", "AS", "PIVOT", "FOR", "LATERAL", "VIEW", "JOIN", "ON",
    "USING", "VALUES", "WITH", "UNION", "->", "=>", "::", "int", "array", "<", ">", "[", "]", "CREATE", "TABLE",
    "INSERT", "INTO", "SET", "=", "/*+", "*/", "|>", "?", ":",
];
