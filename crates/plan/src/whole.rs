//! A logical operator that turns all rows of its input into few others at once: the text of `show()`, a table of statistics,
//! frequent items.
//!
//! It is for results of bounded size whose rows are no function of single input rows or groups. What it computes is a
//! [`WholeFunction`]; `operators` runs it over one partition. Not here: streams, which have no end.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::{DFSchemaRef, Result, plan_err};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use millstream_formats::condition::SparkError;

/// A function of all rows of a relation.
///
/// Its `Debug` text stands for it: two functions of the same text over the same input are the same.
pub trait WholeFunction: fmt::Debug + Send + Sync {
    /// What `explain` calls it.
    fn name(&self) -> &'static str;

    /// Begins a run.
    fn collector(&self) -> Box<dyn Collector>;
}

/// One run of a [`WholeFunction`].
pub trait Collector: Send {
    /// Takes the next rows, in order.
    ///
    /// # Errors
    /// What the function makes of them.
    fn push(&mut self, rows: &RecordBatch) -> std::result::Result<(), SparkError>;

    /// Gives the result; its columns have the types of the node's schema.
    ///
    /// # Errors
    /// What the function makes of the rows.
    fn finish(self: Box<Self>) -> std::result::Result<RecordBatch, SparkError>;
}

/// The operator.
#[derive(Debug, Clone)]
pub struct Whole {
    /// Input; the function sees its columns by position.
    pub input: Arc<LogicalPlan>,
    /// The function.
    pub function: Arc<dyn WholeFunction>,
    /// Columns of the result.
    pub schema: DFSchemaRef,
}

impl Whole {
    fn identity(&self) -> (&LogicalPlan, String, &DFSchemaRef) {
        (&self.input, format!("{:?}", self.function), &self.schema)
    }
}

impl PartialEq for Whole {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Whole {}

impl Hash for Whole {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl PartialOrd for Whole {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        format!("{:?}", self.function).partial_cmp(&format!("{:?}", other.function))
    }
}

impl UserDefinedLogicalNodeCore for Whole {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.function.name())
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Some(input) = inputs.pop() else { return plan_err!("{} has one input", self.function.name()) };
        Ok(Self { input: Arc::new(input), ..self.clone() })
    }

    fn necessary_children_exprs(&self, _output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![(0..self.input.schema().fields().len()).collect()])
    }
}
