//! How long rows of one side of a join must be kept, from the condition and the watermark of the other side.
//!
//! A comparison is brought to the form `other time + constants < this time`; the watermark in place of the other time gives the
//! border up to which rows of this side can match no more. Of several comparisons the one that keeps most counts.

use datafusion::common::Column;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::scalar::ScalarValue;

/// A border for the event time of one side: rows at or before `watermark + offset` are not needed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    /// µs.
    offset_us: f64,
    /// Rows exactly at the border are still needed.
    inclusive: bool,
}

impl Bound {
    /// The border at a watermark, ms.
    fn at_ms(self, watermark_ms: i64) -> i64 {
        let border = ((watermark_ms as f64 * 1000.0 + self.offset_us) / 1000.0) as i64;
        if self.inclusive { border - 1 } else { border }
    }
}

/// The lowest of the borders at a watermark, ms; none if there is none.
pub fn lowest_ms(bounds: &[Bound], watermark_ms: i64) -> Option<i64> {
    bounds.iter().map(|bound| bound.at_ms(watermark_ms)).min()
}

/// The borders for a side whose columns `own` tells, given the other side's event-time column.
pub fn bounds(conjuncts: &[Expr], own: impl Fn(&Column) -> bool, other_time: &Column) -> Vec<Bound> {
    let bound = |expr: &Expr| {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return None };
        let (less, more, inclusive) = match op {
            Operator::Lt => (left, right, false),
            Operator::LtEq => (left, right, true),
            Operator::Gt => (right, left, false),
            Operator::GtEq => (right, left, true),
            _ => return None,
        };
        solve(less, more, &own, other_time).map(|offset_us| Bound { offset_us, inclusive })
    };
    conjuncts.iter().filter_map(bound).collect()
}

/// Solves `less < more` for the one column of this side; gives the constants beside the other side's time.
fn solve(less: &Expr, more: &Expr, own: impl Fn(&Column) -> bool, other_time: &Column) -> Option<f64> {
    let mut terms = Terms::default();
    collect(less, 1.0, &mut terms)?;
    collect(more, -1.0, &mut terms)?;
    let (ours, others): (Vec<_>, Vec<_>) = terms.columns.iter().partition(|(column, _)| own(column));
    match (ours.as_slice(), others.as_slice()) {
        // This side's time must be on the greater side, the other's time on the lesser.
        ([(_, sign)], [(column, _)]) if *sign < 0.0 && column.name == other_time.name => Some(terms.constant_us),
        _ => None,
    }
}

#[derive(Default)]
struct Terms {
    columns: Vec<(Column, f64)>,
    constant_us: f64,
}

/// Splits sums and differences of columns and constants; none if there is anything else.
fn collect(expr: &Expr, sign: f64, terms: &mut Terms) -> Option<()> {
    match expr {
        Expr::Column(column) => terms.columns.push((column.clone(), sign)),
        Expr::Literal(value, _) => terms.constant_us += sign * constant_us(value)?,
        Expr::Negative(inner) => collect(inner, -sign, terms)?,
        Expr::Cast(cast) => collect(&cast.expr, sign, terms)?,
        Expr::Alias(alias) => collect(&alias.expr, sign, terms)?,
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            collect(left, sign, terms)?;
            collect(right, if *op == Operator::Minus { -sign } else { sign }, terms)?;
            matches!(op, Operator::Plus | Operator::Minus).then_some(())?;
        }
        Expr::ScalarFunction(call) => match (call.func.name(), call.args.as_slice()) {
            ("+", [left, right]) => {
                collect(left, sign, terms)?;
                collect(right, sign, terms)?;
            }
            ("-", [left, right]) => {
                collect(left, sign, terms)?;
                collect(right, -sign, terms)?;
            }
            ("cast", [value]) => collect(value, sign, terms)?,
            ("negative", [value]) => collect(value, -sign, terms)?,
            _ => return None,
        },
        _ => return None,
    }
    Some(())
}

/// A constant as µs: intervals without months as they are, numbers as seconds.
fn constant_us(value: &ScalarValue) -> Option<f64> {
    const DAY_US: f64 = 86_400_000_000.0;
    match value {
        ScalarValue::DurationMicrosecond(Some(us)) => Some(*us as f64),
        ScalarValue::IntervalMonthDayNano(Some(i)) => {
            (i.months == 0).then(|| f64::from(i.days) * DAY_US + (i.nanoseconds / 1000) as f64)
        }
        ScalarValue::TimestampMicrosecond(Some(us), _) => Some(*us as f64),
        other => match other.cast_to(&arrow::datatypes::DataType::Float64).ok()? {
            ScalarValue::Float64(Some(seconds)) => Some(seconds * 1_000_000.0),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::{col, lit};

    fn interval(us: i64) -> Expr {
        lit(ScalarValue::DurationMicrosecond(Some(us)))
    }

    #[test]
    fn a_range_keeps_each_side_as_long_as_it_can_match() {
        // right >= left - 5 s and right <= left + 10 s
        let conjuncts = [
            col("right").gt_eq(col("left") - interval(5_000_000)),
            col("right").lt_eq(col("left") + interval(10_000_000)),
        ];
        let left = bounds(&conjuncts, |c| c.name == "left", &Column::new_unqualified("right"));
        assert_eq!(lowest_ms(&left, 100_000), Some(89_999));
        let right = bounds(&conjuncts, |c| c.name == "right", &Column::new_unqualified("left"));
        assert_eq!(lowest_ms(&right, 100_000), Some(94_999));
    }

    #[test]
    fn a_condition_that_bounds_the_other_side_only_gives_no_border() {
        let conjuncts = [col("right").gt(col("left"))];
        assert!(bounds(&conjuncts, |c| c.name == "left", &Column::new_unqualified("right")).is_empty());
        let right = bounds(&conjuncts, |c| c.name == "right", &Column::new_unqualified("left"));
        assert_eq!(lowest_ms(&right, 7), Some(7));
    }
}
