//! An expression with what Spark knows of it.

use arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;
use datafusion::scalar::ScalarValue;

/// A resolved expression, its type and its nullability as Spark reports them.
///
/// `expr` is complete: all coercions stand in it, and DataFusion must evaluate it as it is, to an array of exactly
/// `data_type`. `nullable` may be stricter or looser than what DataFusion derives; Spark's word counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Typed {
    /// The expression.
    pub expr: Expr,
    /// Its type, see [`crate::types`].
    pub data_type: DataType,
    /// Whether it may be null.
    pub nullable: bool,
}

impl Typed {
    /// A typed expression.
    pub fn new(expr: Expr, data_type: DataType, nullable: bool) -> Self {
        Self { expr, data_type, nullable }
    }

    /// A constant; nullable only if it is null.
    pub fn literal(value: ScalarValue) -> Self {
        let (data_type, nullable) = (value.data_type(), value.is_null());
        Self { expr: Expr::Literal(value, None), data_type, nullable }
    }

    /// The constant, if it is one (aliases looked through).
    pub fn as_literal(&self) -> Option<&ScalarValue> {
        match &self.expr {
            Expr::Literal(value, _) => Some(value),
            _ => None,
        }
    }
}
