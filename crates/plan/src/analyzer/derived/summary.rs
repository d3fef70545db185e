//! `summary()` and `describe()`: a row per statistic, a column of texts per column.
//!
//! All statistics are one aggregation whose single row is then laid out anew.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_functions::coerce::is_numeric;

use super::super::Analyzer;
use super::super::rel::Rel;
use super::reference;
use crate::ir::{Expr, Relation};
use crate::resolved::Attribute;
use crate::whole::{Collector, WholeFunction};

const SUMMARY: [&str; 8] = ["count", "mean", "stddev", "min", "25%", "50%", "75%", "max"];
const DESCRIBE: [&str; 5] = ["count", "mean", "stddev", "min", "max"];
/// Accuracy of percentiles, Spark's default.
const ACCURACY: i32 = 10_000;

impl Analyzer<'_> {
    /// `summary(statistics)`.
    pub(super) fn summary(&self, input: &Relation, statistics: &[String]) -> Result<Rel, SparkError> {
        let rel = self.relation(input)?;
        let columns: Vec<Attribute> = rel.output.iter().filter(|a| is_summed_up(a)).cloned().collect();
        let own = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let statistics: Vec<String> = if statistics.is_empty() { own(&SUMMARY) } else { statistics.to_vec() };
        self.summary_of(rel, &columns, statistics)
    }

    /// `describe(columns)`.
    pub(super) fn describe(&self, input: &Relation, columns: &[String]) -> Result<Rel, SparkError> {
        let rel = self.relation(input)?;
        let columns: Vec<Attribute> =
            self.columns_named(&rel, columns)?.into_iter().filter(|a| is_summed_up(a)).cloned().collect();
        self.summary_of(rel, &columns, DESCRIBE.iter().map(ToString::to_string).collect())
    }

    fn summary_of(&self, rel: Rel, columns: &[Attribute], statistics: Vec<String>) -> Result<Rel, SparkError> {
        let mut cells = Vec::with_capacity(statistics.len() * columns.len());
        for statistic in &statistics {
            for column in columns {
                let value = statistic_of(statistic, column)?;
                let text = Expr::Cast { expr: Box::new(value), to: DataType::Utf8, try_cast: false };
                cells.push(text.alias(format!("c{}", cells.len())));
            }
        }
        if cells.is_empty() {
            // Nothing to aggregate, yet one row to lay out.
            cells.push(Expr::call("count", vec![Expr::Literal(ScalarValue::Int32(Some(1)))]));
        }
        let aggregated = self.select(rel, &cells)?;
        let names = std::iter::once("summary").chain(columns.iter().map(|a| a.name.as_str()));
        let fields = names.map(|name| Field::new(name, DataType::Utf8, true)).collect();
        self.whole(aggregated, Arc::new(Layout { statistics, columns: columns.len() }), fields)
    }
}

fn is_summed_up(attribute: &Attribute) -> bool {
    is_numeric(&attribute.data_type) || attribute.data_type == DataType::Utf8
}

/// One statistic of a column; `75%` is a percentile.
fn statistic_of(statistic: &str, column: &Attribute) -> Result<Expr, SparkError> {
    let value = || reference(column);
    let number = || match is_numeric(&column.data_type) {
        true => value(),
        // A text that is no number does not count.
        false => Expr::Cast { expr: Box::new(value()), to: DataType::Float64, try_cast: true },
    };
    if let Some(percent) = statistic.strip_suffix('%') {
        let fraction = percent.trim().parse::<f64>().ok().map(|p| p / 100.0).filter(|p| (0.0..=1.0).contains(p));
        let fraction = fraction.ok_or_else(|| illegal(format!("Unable to parse {statistic} as a percentile")))?;
        let literal = |value| Expr::Literal(value);
        let arguments =
            vec![number(), literal(ScalarValue::Float64(Some(fraction))), literal(ScalarValue::Int32(Some(ACCURACY)))];
        return Ok(Expr::call("percentile_approx", arguments));
    }
    match statistic.to_ascii_lowercase().as_str() {
        "count" => Ok(Expr::call("count", vec![value()])),
        "count_distinct" => Ok(Expr::Function(crate::ir::Function {
            name: "count".to_string(),
            arguments: vec![value()],
            distinct: true,
            ..Default::default()
        })),
        "approx_count_distinct" => Ok(Expr::call("approx_count_distinct", vec![value()])),
        "mean" => Ok(Expr::call("avg", vec![number()])),
        "stddev" => Ok(Expr::call("stddev_samp", vec![number()])),
        "min" => Ok(Expr::call("min", vec![value()])),
        "max" => Ok(Expr::call("max", vec![value()])),
        _ => Err(illegal(format!("{statistic} is not a recognised statistic"))),
    }
}

fn illegal(sentence: String) -> SparkError {
    SparkError::plain(ExceptionClass::IllegalArgument, sentence)
}

/// Cuts one row of `statistics × columns` texts into rows.
#[derive(Debug, Clone)]
struct Layout {
    statistics: Vec<String>,
    columns: usize,
}

impl WholeFunction for Layout {
    fn name(&self) -> &'static str {
        "Summary"
    }

    fn collector(&self) -> Box<dyn Collector> {
        let cells = vec![None; self.statistics.len() * self.columns];
        Box::new(Cells { layout: self.clone(), cells })
    }
}

struct Cells {
    layout: Layout,
    cells: Vec<Option<String>>,
}

impl Collector for Cells {
    fn push(&mut self, rows: &RecordBatch) -> Result<(), SparkError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        for (cell, column) in self.cells.iter_mut().zip(rows.columns()) {
            let texts =
                column.as_string_opt::<i32>().ok_or_else(|| SparkError::internal("a statistic that is no text"))?;
            *cell = (!texts.is_null(0)).then(|| texts.value(0).to_string());
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<RecordBatch, SparkError> {
        let Layout { statistics, columns } = self.layout;
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(StringArray::from(statistics))];
        for column in 0..columns {
            let texts = self.cells.iter().skip(column).step_by(columns).map(Option::as_deref);
            arrays.push(Arc::new(texts.collect::<StringArray>()));
        }
        let fields: Vec<Field> = (0..=columns).map(|i| Field::new(format!("c{i}"), DataType::Utf8, true)).collect();
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
    }
}
