//! Logical nodes for stateful operators, put in place of ordinary ones once a streaming plan has been optimised.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use datafusion::common::{DFSchemaRef, Result, plan_err};
use datafusion::logical_expr::{Aggregate, Expr, Join, LogicalPlan, UserDefinedLogicalNodeCore};
use millstream_plan::nodes::{Deduplicate, SessionAggregate};

/// A stateful operator and its id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stateful {
    /// Id in the plan, in pre-order from the sink.
    pub operator: u32,
    /// What it does.
    pub kind: StatefulKind,
}

/// What a stateful operator does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StatefulKind {
    /// `stateStoreSave`.
    Aggregate(Aggregate),
    /// `sessionWindowStateStoreSaveExec`.
    Session(SessionAggregate),
    /// `dedupe`, `dedupeWithinWatermark`.
    Deduplicate(Deduplicate),
    /// `symmetricHashJoin`.
    Join(Join),
    /// `globalLimit`.
    Limit {
        /// Input.
        input: Arc<LogicalPlan>,
        /// How many rows in all.
        rows: usize,
    },
}

impl PartialOrd for Stateful {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.operator.partial_cmp(&other.operator)
    }
}

impl UserDefinedLogicalNodeCore for Stateful {
    fn name(&self) -> &str {
        "Stateful"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        match &self.kind {
            StatefulKind::Aggregate(aggregate) => vec![&aggregate.input],
            StatefulKind::Session(session) => vec![&session.input],
            StatefulKind::Deduplicate(deduplicate) => vec![&deduplicate.input],
            StatefulKind::Join(join) => vec![&join.left, &join.right],
            StatefulKind::Limit { input, .. } => vec![input],
        }
    }

    fn schema(&self) -> &DFSchemaRef {
        match &self.kind {
            StatefulKind::Aggregate(aggregate) => &aggregate.schema,
            StatefulKind::Session(session) => UserDefinedLogicalNodeCore::schema(session),
            StatefulKind::Deduplicate(deduplicate) => deduplicate.input.schema(),
            StatefulKind::Join(join) => &join.schema,
            StatefulKind::Limit { input, .. } => input.schema(),
        }
    }

    fn expressions(&self) -> Vec<Expr> {
        match &self.kind {
            StatefulKind::Aggregate(a) => a.group_expr.iter().chain(&a.aggr_expr).cloned().collect(),
            StatefulKind::Session(session) => UserDefinedLogicalNodeCore::expressions(session),
            StatefulKind::Deduplicate(deduplicate) => deduplicate.keys.iter().cloned().map(Expr::Column).collect(),
            StatefulKind::Join(join) => {
                let keys = join.on.iter().flat_map(|(left, right)| [left.clone(), right.clone()]);
                keys.chain(join.filter.clone()).collect()
            }
            StatefulKind::Limit { .. } => vec![],
        }
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.kind {
            StatefulKind::Aggregate(_) => write!(f, "StatefulAggregate: operator={}", self.operator),
            StatefulKind::Session(_) => write!(f, "StatefulSession: operator={}", self.operator),
            StatefulKind::Deduplicate(_) => write!(f, "StatefulDeduplicate: operator={}", self.operator),
            StatefulKind::Join(join) => write!(f, "StatefulJoin: operator={}, {}", self.operator, join.join_type),
            StatefulKind::Limit { rows, .. } => write!(f, "StatefulLimit: operator={}, rows={rows}", self.operator),
        }
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        if exprs != self.expressions() {
            return plan_err!("the expressions of a stateful operator do not change");
        }
        let Some(input) = inputs.pop().map(Arc::new) else { return plan_err!("a stateful operator has an input") };
        let kind = match self.kind.clone() {
            StatefulKind::Join(mut join) => {
                let Some(left) = inputs.pop() else { return plan_err!("a join has two inputs") };
                (join.left, join.right) = (Arc::new(left), input);
                StatefulKind::Join(join)
            }
            StatefulKind::Aggregate(mut aggregate) => {
                aggregate.input = input;
                StatefulKind::Aggregate(aggregate)
            }
            StatefulKind::Session(mut session) => {
                session.input = input;
                StatefulKind::Session(session)
            }
            StatefulKind::Deduplicate(deduplicate) => StatefulKind::Deduplicate(Deduplicate { input, ..deduplicate }),
            StatefulKind::Limit { rows, .. } => StatefulKind::Limit { input, rows },
        };
        Ok(Self { operator: self.operator, kind })
    }
}
