//! `df.stat`: contingency tables, covariance, correlation, quantiles, frequent items, stratified samples.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_empty_array};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::types;
use millstream_functions::coerce::is_numeric;

use super::super::Analyzer;
use super::super::rel::{Rel, planner_error};
use super::{cast, reference};
use crate::ir::{Aggregate, Expr, Grouping, Relation, RelationOp, Statistics};
use crate::resolved::Attribute;
use crate::whole::{Collector, WholeFunction};

/// Items that are more frequent than this are kept by default.
const SUPPORT_DEFAULT: f64 = 0.01;
const SUPPORT_MIN: f64 = 1e-4;

impl Analyzer<'_> {
    /// Statistics of a relation.
    pub(super) fn statistics(&self, input: &Relation, kind: &Statistics) -> Result<Rel, SparkError> {
        match kind {
            Statistics::Summary(statistics) => self.summary(input, statistics),
            Statistics::Describe(columns) => self.describe(input, columns),
            Statistics::Crosstab(first, second) => self.crosstab(input, first, second),
            Statistics::Covariance(first, second) => self.joint(input, "cov", "covar_samp", first, second),
            Statistics::Correlation(first, second, method) => match method.as_deref() {
                None | Some("pearson") => self.joint(input, "corr", "corr", first, second),
                Some(other) => Err(illegal(format!(
                    "requirement failed: Currently only the calculation of the Pearson Correlation coefficient is supported, not {other}."
                ))),
            },
            Statistics::ApproxQuantile(columns, probabilities, error) => {
                self.approx_quantile(input, columns, probabilities, *error)
            }
            Statistics::FrequentItems(columns, support) => self.frequent_items(input, columns, *support),
            Statistics::SampleBy(column, fractions, seed) => self.sample_by(input, column, fractions, *seed),
        }
    }

    /// How often the values of two columns meet: a row per value of the first, a column per value of the second.
    fn crosstab(&self, input: &Relation, first: &str, second: &str) -> Result<Rel, SparkError> {
        let text = |name: &str| -> Result<Expr, SparkError> {
            let column = Expr::attribute(super::name_parts(name)?);
            let shown = cast(column.clone(), DataType::Utf8);
            Ok(Expr::call("when", vec![Expr::call("isnull", vec![column]), Expr::string("null"), shown]))
        };
        let aggregate = Aggregate {
            input: input.clone(),
            grouping: Grouping::Pivot { column: Box::new(text(second)?), values: Vec::new() },
            keys: vec![text(first)?.alias(format!("{first}_{second}"))],
            expressions: vec![Expr::call("count", vec![Expr::Literal(ScalarValue::Int32(Some(1)))])],
            keys_first: true,
            having: None,
        };
        let counts = RelationOp::Aggregate(aggregate).into();
        let zero = Expr::Literal(ScalarValue::Int64(Some(0)));
        self.fill_na(&counts, &[], &[zero])
    }

    /// One number of two columns.
    fn joint(
        &self,
        input: &Relation,
        name: &str,
        function: &str,
        first: &str,
        second: &str,
    ) -> Result<Rel, SparkError> {
        let rel = self.relation(input)?;
        let mut arguments = Vec::with_capacity(2);
        for column in [first, second] {
            let attribute = self.column_named(&rel, column)?;
            if !is_numeric(&attribute.data_type) {
                let what = if name == "cov" { "Covariance" } else { "Correlation" };
                let kind = types::simple_string(&attribute.data_type);
                return Err(illegal(format!(
                    "requirement failed: Currently {what} calculation for columns with dataType {kind} not supported."
                )));
            }
            arguments.push(cast(reference(attribute), DataType::Float64));
        }
        let missing = Expr::Literal(ScalarValue::Float64(Some(f64::NAN)));
        let value = Expr::call("coalesce", vec![Expr::call(function, arguments), missing]);
        self.select(rel, &[value.alias(name)])
    }

    /// Quantiles: one row with a list per column.
    fn approx_quantile(
        &self,
        input: &Relation,
        columns: &[String],
        probabilities: &[f64],
        error: f64,
    ) -> Result<Rel, SparkError> {
        if let Some(wrong) = probabilities.iter().find(|p| !(0.0..=1.0).contains(*p)) {
            return Err(illegal(format!(
                "requirement failed: percentile should be in the range [0.0, 1.0], got {wrong}"
            )));
        }
        if error < 0.0 || error.is_nan() {
            return Err(illegal(format!("requirement failed: Relative Error must be non-negative but got {error}")));
        }
        let accuracy = if error < 1.0 / f64::from(i32::MAX) { i32::MAX } else { (1.0 / error).max(1.0) as i32 };
        let double = |value: f64| Expr::Literal(ScalarValue::Float64(Some(value)));
        let rel = self.relation(input)?;
        let mut lists = Vec::with_capacity(columns.len());
        for name in columns {
            let attribute = self.column_named(&rel, name)?;
            if !is_numeric(&attribute.data_type) {
                let kind = types::simple_string(&attribute.data_type);
                return Err(illegal(format!(
                    "requirement failed: Quantile calculation for column {name} with data type {kind} is not supported."
                )));
            }
            let wanted = Expr::call("array", probabilities.iter().copied().map(double).collect());
            let number = cast(reference(attribute), DataType::Float64);
            // NaN is no number to count.
            let present = Expr::call("nanvl", vec![number, cast(Expr::Literal(ScalarValue::Null), DataType::Float64)]);
            let quantiles = Expr::call(
                "percentile_approx",
                vec![present, wanted, Expr::Literal(ScalarValue::Int32(Some(accuracy)))],
            );
            let none = cast(Expr::call("array", vec![]), types::array(DataType::Float64, false));
            lists.push(Expr::call("coalesce", vec![quantiles, none]));
        }
        self.select(rel, &[Expr::call("array", lists).alias("approx_quantile")])
    }

    /// Values that may make up more than a part of the rows: one row with a list per column.
    fn frequent_items(&self, input: &Relation, columns: &[String], support: Option<f64>) -> Result<Rel, SparkError> {
        let support = support.unwrap_or(SUPPORT_DEFAULT);
        if !(SUPPORT_MIN..=1.0).contains(&support) {
            return Err(illegal(format!("requirement failed: Support must be in [1e-4, 1], but got {support}.")));
        }
        let rel = self.relation(input)?;
        let chosen: Vec<Attribute> =
            columns.iter().map(|c| self.column_named(&rel, c).cloned()).collect::<Result<_, _>>()?;
        let field =
            |a: &Attribute| Field::new(format!("{}_freqItems", a.name), types::array(a.data_type.clone(), true), false);
        let fields: Vec<Field> = chosen.iter().map(field).collect();
        let function = FrequentItems {
            types: chosen.iter().map(|a| a.data_type.clone()).collect(),
            counters: (1.0 / support) as usize,
        };
        let picked = rel.pick(chosen)?;
        self.whole(Rel { hidden: Vec::new(), ..picked }, Arc::new(function), fields)
    }

    /// A random part of the rows of each stratum; strata without a fraction give none.
    fn sample_by(
        &self,
        input: &Relation,
        column: &Expr,
        fractions: &[(Expr, f64)],
        seed: Option<i64>,
    ) -> Result<Rel, SparkError> {
        let double = |value: f64| Expr::Literal(ScalarValue::Float64(Some(value)));
        if let Some((stratum, wrong)) = fractions.iter().find(|(_, fraction)| !(0.0..=1.0).contains(fraction)) {
            let shown = self.constant(stratum)?;
            return Err(illegal(format!(
                "requirement failed: Fractions must be in [0, 1], but got {wrong} for {shown}."
            )));
        }
        let mut arguments = Vec::with_capacity(fractions.len() * 2 + 1);
        for (stratum, fraction) in fractions {
            arguments.push(Expr::call("==", vec![column.clone(), stratum.clone()]));
            arguments.push(double(*fraction));
        }
        arguments.push(double(0.0));
        let limit = if fractions.is_empty() { double(0.0) } else { Expr::call("when", arguments) };
        let seed = seed.map(|seed| Expr::Literal(ScalarValue::Int64(Some(seed)))).into_iter().collect();
        let condition = Expr::call("<", vec![Expr::call("rand", seed), limit]);
        self.filter(input, &condition)
    }
}

fn illegal(sentence: String) -> SparkError {
    SparkError::plain(ExceptionClass::IllegalArgument, sentence)
}

/// Keeps counters of the most frequent values of each column: as many as could each make up the wanted part of the rows.
/// A new value that finds no free counter lowers all others by one; memory is bounded by the number of counters.
#[derive(Debug, Clone)]
struct FrequentItems {
    types: Vec<DataType>,
    counters: usize,
}

impl WholeFunction for FrequentItems {
    fn name(&self) -> &'static str {
        "FrequentItems"
    }

    fn collector(&self) -> Box<dyn Collector> {
        Box::new(Counters { function: self.clone(), columns: vec![Vec::new(); self.types.len()] })
    }
}

struct Counters {
    function: FrequentItems,
    /// Values and their counts, by column.
    columns: Vec<Vec<(ScalarValue, u64)>>,
}

impl Collector for Counters {
    fn push(&mut self, rows: &RecordBatch) -> Result<(), SparkError> {
        for (counters, column) in self.columns.iter_mut().zip(rows.columns()) {
            for row in 0..column.len() {
                let value = ScalarValue::try_from_array(column, row).map_err(planner_error)?;
                count(counters, value, self.function.counters);
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<RecordBatch, SparkError> {
        let mut fields = Vec::new();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for (i, (counters, data_type)) in self.columns.into_iter().zip(&self.function.types).enumerate() {
            let values: Vec<ScalarValue> = counters.into_iter().map(|(value, _)| value).collect();
            let items = match values.is_empty() {
                true => new_empty_array(data_type),
                false => ScalarValue::iter_to_array(values).map_err(planner_error)?,
            };
            let item = Arc::new(Field::new("element", data_type.clone(), true));
            let list = SingleRowListArrayBuilder::new(items).with_field(&item).build_list_array();
            fields.push(Field::new(format!("c{i}"), types::array(data_type.clone(), true), false));
            arrays.push(Arc::new(list));
        }
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
    }
}

fn count(counters: &mut Vec<(ScalarValue, u64)>, value: ScalarValue, size: usize) {
    if let Some((_, count)) = counters.iter_mut().find(|(known, _)| *known == value) {
        *count += 1;
        return;
    }
    if counters.len() < size {
        counters.push((value, 1));
        return;
    }
    // No counter is free: the new value takes one from each.
    for (_, count) in counters.iter_mut() {
        *count -= 1;
    }
    counters.retain(|(_, count)| *count > 0);
}
