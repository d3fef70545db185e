use datafusion::scalar::ScalarValue;

use super::{OutputMode, check_batch, check_execution, check_streaming};
use crate::analyze;
use crate::ir::{Expr, JoinKind, Relation, RelationOp, SetKind, SetOperation};
use crate::testing::*;

/// The condition and the first words of the refusal; empty if there is none.
fn refusal(relation: &Relation, mode: OutputMode) -> String {
    let plan = analyze(relation, &TestCatalog::default()).unwrap();
    match check_streaming(&plan, mode, true) {
        Ok(()) => String::new(),
        Err(error) => {
            let text = error.to_string();
            let words: Vec<&str> = text.split_whitespace().take(5).collect();
            words.join(" ")
        }
    }
}

fn marked(delay: &str) -> Relation {
    RelationOp::WithWatermark { input: stream(), event_time: "ts".into(), delay: delay.into() }.into()
}

fn windowed(input: Relation) -> Relation {
    let window = Expr::call("window", vec![col("ts"), Expr::string("5 seconds")]);
    group(input, vec![window], vec![Expr::call("count", vec![int(1)]).alias("n")])
}

fn counted(input: Relation) -> Relation {
    group(input, vec![col("k")], vec![Expr::call("count", vec![int(1)]).alias("n")])
}

fn set(left: Relation, right: Relation, kind: SetKind) -> Relation {
    let operation = SetOperation { left, right, kind, all: false, by_name: false, allow_missing: false };
    RelationOp::SetOperation(operation).into()
}

#[test]
fn complete_mode_wants_an_aggregation_and_append_mode_a_watermark() {
    use OutputMode::{Append, Complete, Update};
    assert!(refusal(&stream(), Complete).starts_with("[STREAMING_OUTPUT_MODE.UNSUPPORTED_OPERATION]"));
    assert_eq!(refusal(&stream(), Update), "");
    assert!(refusal(&counted(stream()), Append).starts_with("[STREAMING_OUTPUT_MODE.UNSUPPORTED_OPERATION]"));
    assert!(refusal(&windowed(stream()), Append).starts_with("[STREAMING_OUTPUT_MODE.UNSUPPORTED_OPERATION]"));
    assert_eq!(refusal(&windowed(marked("1 second")), Append), "");
    assert_eq!(refusal(&counted(stream()), Complete), "");
}

#[test]
fn rows_are_sorted_above_an_aggregation_in_complete_mode_only() {
    assert!(refusal(&sort(stream(), col("v")), OutputMode::Append).contains("Sorting is not"));
    let sorted = sort(counted(stream()), col("n"));
    assert_eq!(refusal(&sorted, OutputMode::Complete), "");
    assert!(refusal(&sorted, OutputMode::Update).contains("Sorting is not"));
    assert!(refusal(&counted(sort(stream(), col("v"))), OutputMode::Complete).contains("Sorting is not"));
}

#[test]
fn an_aggregation_of_an_aggregation_runs_in_append_mode_only() {
    let twice = group(windowed(marked("1 second")), vec![col("n")], vec![Expr::call("count", vec![int(1)])]);
    assert!(refusal(&twice, OutputMode::Update).contains("Detected pattern of possible"));
    let window = Expr::call("window", vec![Expr::call("window_time", vec![col("window")]), Expr::string("10 seconds")]);
    let chained = group(windowed(marked("1 second")), vec![window], vec![Expr::call("sum", vec![col("n")])]);
    assert_eq!(refusal(&chained, OutputMode::Append), "");
}

#[test]
fn sets_of_streams_and_tables_do_not_mix() {
    let (stream, table) = (select(stream(), vec![col("k")]), select(pairs(1), vec![col("k")]));
    let refused = |l: &Relation, r: &Relation, kind| refusal(&set(l.clone(), r.clone(), kind), OutputMode::Append);
    assert!(refused(&stream, &table, SetKind::Union).contains("Union between streaming"));
    assert!(refused(&table, &stream, SetKind::Except).contains("Except on a streaming"));
    assert!(refused(&stream, &stream, SetKind::Intersect).contains("Intersect of streaming"));
    assert_eq!(refused(&stream, &table, SetKind::Except), "");
    let plan = analyze(&set(stream, table, SetKind::Except), &TestCatalog::default()).unwrap();
    let late = check_execution(&plan, OutputMode::Append).unwrap_err();
    assert_eq!(late.condition(), Some("UNSUPPORTED_STREAMING_OPERATOR_WITHOUT_WATERMARK"));
    let all = |left, right| -> Relation {
        let kind = SetKind::Except;
        RelationOp::SetOperation(SetOperation { left, right, kind, all: true, by_name: false, allow_missing: false })
            .into()
    };
    let (stream, table) = (select(crate::testing::stream(), vec![col("k")]), select(pairs(1), vec![col("k")]));
    assert!(refusal(&all(stream.clone(), stream.clone()), OutputMode::Append).contains("Except on a streaming"));
    let plan = analyze(&all(stream, table), &TestCatalog::default()).unwrap();
    assert!(check_streaming(&plan, OutputMode::Append, true).is_ok());
    assert!(check_execution(&plan, OutputMode::Append).is_err());
}

#[test]
fn the_preserved_side_of_a_join_with_a_table_is_the_stream() {
    for (kind, refused) in
        [(JoinKind::LeftOuter, ""), (JoinKind::RightOuter, "RightOuter"), (JoinKind::FullOuter, "FullOuter")]
    {
        let text = refusal(&join(stream(), pairs(1), None, &["k"], kind), OutputMode::Append);
        assert_eq!(text.contains(refused), !refused.is_empty() || text.is_empty(), "{text}");
    }
    for kind in [JoinKind::LeftOuter, JoinKind::LeftSemi, JoinKind::LeftAnti] {
        assert!(!refusal(&join(pairs(1), stream(), None, &["k"], kind), OutputMode::Append).is_empty());
    }
}

#[test]
fn an_outer_join_of_streams_wants_a_watermark_that_ends_its_state() {
    let side = |time: &str, alias: &str| -> Relation {
        let renamed = select(marked("1 second"), vec![col("ts").alias(time), col("k")]);
        RelationOp::SubqueryAlias { input: renamed, alias: alias.into(), columns: vec![] }.into()
    };
    let equal = Expr::call("=", vec![col("l.k"), col("r.k")]);
    let later = Expr::call(">=", vec![col("lt"), col("rt")]);
    let joined = |condition| join(side("lt", "l"), side("rt", "r"), Some(condition), &[], JoinKind::LeftOuter);
    assert!(refusal(&joined(equal.clone()), OutputMode::Append).contains("Stream-stream LeftOuter join"));
    let ranged = joined(Expr::call("and", vec![equal, later]));
    assert_eq!(refusal(&ranged, OutputMode::Append), "");
    assert!(refusal(&ranged, OutputMode::Update).contains("LeftOuter join between two"));
}

#[test]
fn a_limit_and_an_offset() {
    let limited = RelationOp::Limit { input: stream(), limit: int(1) }.into();
    assert_eq!(refusal(&limited, OutputMode::Append), "");
    assert!(refusal(&limited, OutputMode::Update).contains("Limits are not"));
    let offset = Expr::Literal(ScalarValue::Int32(Some(1)));
    assert!(
        refusal(&RelationOp::Offset { input: stream(), offset }.into(), OutputMode::Append).contains("Offset is not")
    );
}

#[test]
fn a_batch_has_no_streams() {
    let plan = analyze(&stream(), &TestCatalog::default()).unwrap();
    assert_eq!(check_batch(&plan).unwrap_err().condition(), Some("_LEGACY_ERROR_TEMP_3102"));
    let plan = analyze(&pairs(1), &TestCatalog::default()).unwrap();
    assert!(check_batch(&plan).is_ok());
    assert!(check_streaming(&plan, OutputMode::Append, true).is_err());
}

#[test]
fn a_watermark_is_not_defined_twice() {
    let twice =
        RelationOp::WithWatermark { input: marked("1 second"), event_time: "ts".into(), delay: "2 seconds".into() };
    let plan = analyze(&twice.into(), &TestCatalog::default()).unwrap();
    assert!(check_execution(&plan, OutputMode::Append).unwrap_err().to_string().starts_with("Redefining watermark"));
}
