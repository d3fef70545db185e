//! Results and buffers of aggregates: over all rows at once, and merged from the buffers of two halves.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::logical_expr::{EmitTo, Expr};
use datafusion::prelude::col;
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;

use super::udaf::{Bound, as_spark};
use crate::kernel::from_datafusion;
use crate::{AggregateCall, Function, FunctionContext, Typed, lookup};

fn context(ansi: bool) -> FunctionContext {
    FunctionContext { ansi, time_zone: "UTC".into(), now_us: Arc::default(), user: "u".into(), database: "d".into() }
}

fn bound(name: &str, columns: &[ArrayRef], constants: &[ScalarValue], ansi: bool) -> Result<Bound, SparkError> {
    let typed = columns.iter().enumerate().map(|(i, c)| Typed::new(col(format!("c{i}")), c.data_type().clone(), true));
    let arguments: Vec<Typed> = typed.chain(constants.iter().cloned().map(Typed::literal)).collect();
    let call = AggregateCall { arguments, distinct: false, ignore_nulls: false, within_group: vec![] };
    let Some(Function::Aggregate(build)) = lookup(name) else { panic!("no aggregate {name}") };
    let Expr::AggregateFunction(call) = build(name, &call, &context(ansi))?.expr else { panic!("{name} is no call") };
    let fields: Vec<_> = columns.iter().map(|c| Arc::new(Field::new("c", c.data_type().clone(), true))).collect();
    as_spark(&call.func).unwrap().bind(&fields[..call.params.args.len()]).map_err(from_datafusion)
}

fn text(array: &ArrayRef) -> String {
    let options = FormatOptions::default().with_null("null");
    ArrayFormatter::try_new(array, &options).unwrap().value(0).to_string()
}

/// The result over all rows and the types of the buffer; merging the buffers of two halves must give the same result.
fn run(
    name: &str,
    columns: &[ArrayRef],
    constants: &[ScalarValue],
    ansi: bool,
) -> Result<(String, String), SparkError> {
    let bound = bound(name, columns, constants, ansi)?;
    let rows = columns[0].len();
    let update = |from: usize, to: usize| {
        let mut groups = (bound.make)();
        let values: Vec<ArrayRef> = columns.iter().map(|c| c.slice(from, to - from)).collect();
        groups.update_batch(&values, &vec![0; to - from], None, 1).map_err(from_datafusion)?;
        Ok::<_, SparkError>(groups)
    };
    let whole = update(0, rows)?.evaluate(EmitTo::All).map_err(from_datafusion)?;
    let mut merged = (bound.make)();
    for (from, to) in [(0, rows / 2), (rows / 2, rows)] {
        let state = update(from, to)?.state(EmitTo::All).map_err(from_datafusion)?;
        let types: Vec<&DataType> = state.iter().map(|s| s.data_type()).collect();
        assert_eq!(types, bound.state.iter().map(|f| f.data_type()).collect::<Vec<_>>(), "buffer of {name}");
        merged.merge_batch(&state, &[0], 1).map_err(from_datafusion)?;
    }
    let merged = merged.evaluate(EmitTo::All).map_err(from_datafusion)?;
    assert_eq!(text(&merged), text(&whole), "{name} merged");
    assert_eq!(whole.data_type(), &bound.result, "type of {name}");
    let fields = bound.state.iter().map(|f| format!("{}: {}", f.name(), f.data_type())).collect::<Vec<_>>().join(", ");
    Ok((text(&whole), fields))
}

fn ints() -> ArrayRef {
    Arc::new(Int32Array::from(vec![Some(5), None, Some(1), Some(5), Some(9), Some(4)]))
}

fn decimals(precision: u8) -> ArrayRef {
    let values = Decimal128Array::from(vec![Some(125), None, Some(-25), Some(300)]);
    Arc::new(values.with_precision_and_scale(precision, 2).unwrap())
}

#[test]
fn results_and_buffers_are_spark_s() {
    let strings: ArrayRef =
        Arc::new(StringArray::from(vec![Some("b"), Some("a"), None, Some("b"), Some("c"), Some("")]));
    let flags: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true)]));
    let doubles: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.0, 4.0, f64::NAN, -0.0]));
    /// Name, arguments, constants, result, buffers.
    type Case = (&'static str, Vec<ArrayRef>, Vec<ScalarValue>, &'static str, &'static str);
    let cases: Vec<Case> = vec![
        ("count", vec![ints()], vec![], "5", "count: Int64"),
        ("count_if", vec![flags.clone()], vec![], "2", "count: Int64"),
        ("sum", vec![ints()], vec![], "24", "sum: Int64"),
        ("try_sum", vec![ints()], vec![], "24", "sum: Int64, isEmpty: Boolean"),
        ("sum", vec![decimals(8)], vec![], "4.00", "sum: Int64"),
        ("sum", vec![decimals(9)], vec![], "4.00", "sum: Decimal128(19, 2), isEmpty: Boolean"),
        ("avg", vec![ints()], vec![], "4.8", "sum: Float64, count: Int64"),
        ("avg", vec![decimals(11)], vec![], "1.333333", "sum: Float64, count: Int64"),
        ("avg", vec![decimals(12)], vec![], "1.333333", "sum: Decimal128(22, 2), count: Int64"),
        ("max", vec![doubles.clone()], vec![], "NaN", "max: Float64"),
        ("min", vec![strings.clone()], vec![], "", "min: Utf8"),
        ("bool_and", vec![flags], vec![], "false", "min: Boolean"),
        ("first", vec![ints()], vec![], "5", "first: Int32, valueSet: Boolean"),
        ("last", vec![ints()], vec![ScalarValue::Boolean(Some(true))], "4", "last: Int32, valueSet: Boolean"),
        (
            "max_by",
            vec![strings.clone(), ints()],
            vec![],
            "c",
            "valueWithExtremumOrdering: Utf8, extremumOrdering: Int32",
        ),
        ("bit_xor", vec![ints()], vec![], "12", "bit_xor: Int32"),
        ("collect_list", vec![strings.clone()], vec![], "[b, a, b, c, ]", "buf: Binary"),
        ("collect_set", vec![ints()], vec![], "[1, 4, 5, 9]", "buf: Binary"),
        ("listagg", vec![strings.clone()], vec![ScalarValue::from("+")], "b+a+b+c+", "buf: Binary"),
        ("percentile", vec![ints()], vec![ScalarValue::from(0.25)], "4.0", "buf: Binary"),
        ("median", vec![ints()], vec![], "5.0", "buf: Binary"),
        ("mode", vec![ints()], vec![], "5", "buf: Binary"),
        ("percentile_approx", vec![ints()], vec![ScalarValue::from(0.5)], "5", "buf: Binary"),
        ("product", vec![Arc::new(Float64Array::from(vec![2.0, 3.0, 7.0]))], vec![], "42.0", "product: Float64"),
        (
            "var_pop",
            vec![Arc::new(Float64Array::from(vec![1.0, 3.0]))],
            vec![],
            "1.0",
            "n: Float64, avg: Float64, m2: Float64",
        ),
    ];
    for (name, columns, constants, result, buffer) in cases {
        let found = run(name, &columns, &constants, true).unwrap();
        assert_eq!(found, (result.to_string(), buffer.to_string()), "{name}");
    }
}

#[test]
fn a_sum_that_leaves_its_range_fails_wraps_or_becomes_null() {
    let longs: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, 1]));
    let failed = run("sum", std::slice::from_ref(&longs), &[], true).unwrap_err();
    assert_eq!((failed.condition(), failed.sql_state()), (Some("ARITHMETIC_OVERFLOW"), Some("22003")));
    assert_eq!(run("sum", std::slice::from_ref(&longs), &[], false).unwrap().0, i64::MIN.to_string());
    assert_eq!(run("try_sum", &[longs], &[], true).unwrap().0, "null");
}

#[test]
fn distinct_counts_are_estimated_by_registers_of_six_bits() {
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values((0..100_000).map(|i| i % 5000)));
    let (estimate, buffer) = run("approx_count_distinct", &[values], &[], true).unwrap();
    assert_eq!(buffer.split(", ").count(), 52);
    let estimate: f64 = estimate.parse().unwrap();
    assert!((estimate - 5000.0).abs() < 5000.0 * 0.1, "{estimate}");
}

#[test]
fn a_summary_of_quantiles_stays_within_its_error() {
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values((0..120_000).map(|i| (i * 7919) % 120_000)));
    let constants = [ScalarValue::from(0.25), ScalarValue::from(100i32)];
    let bound = bound("percentile_approx", std::slice::from_ref(&values), &constants, true).unwrap();
    let mut groups = (bound.make)();
    groups.update_batch(&[values], &vec![0; 120_000], None, 1).unwrap();
    let found: f64 = text(&groups.evaluate(EmitTo::All).unwrap()).parse().unwrap();
    assert!((found - 30_000.0).abs() <= 1_200.0, "{found}");
}
