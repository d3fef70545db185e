//! A relation under analysis: a DataFusion plan, its columns as Spark knows them, and where `df.col` may find them.
//!
//! Internal column names play the part of Spark's expression ids: a column that passes through an operator keeps its
//! name (`#17`), a new value gets a new one. So a reference to a sub-plan's column holds as long as every operator
//! above it passes the column on. Names are unique in the process, so plans can be put together freely.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::common::metadata::FieldMetadata;
use datafusion::common::{Column, DataFusionError};
use datafusion::logical_expr::expr::Alias;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection};
use millstream_formats::condition::SparkError;
use millstream_functions::Typed;

use super::select::Select;
use super::time_window::WINDOW_SCOPE;
use crate::resolved::{Attribute, ResolvedPlan};

/// Column metadata: values are JSON texts.
pub type Metadata = HashMap<String, String>;

/// A new internal column name.
pub fn fresh_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("#{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A reference to an internal column.
pub fn column(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

/// `expr AS name`, with column metadata in the field.
pub fn alias(expr: Expr, name: &str, metadata: &Metadata) -> Expr {
    if matches!(&expr, Expr::Column(c) if c.relation.is_none() && c.name == name) && metadata.is_empty() {
        return expr;
    }
    let alias = Alias::new(expr, None::<&str>, name);
    let metadata = (!metadata.is_empty()).then(|| FieldMetadata::from(metadata.clone()));
    Expr::Alias(alias.with_metadata(metadata))
}

/// An error of DataFusion's planner: the user's if one is inside, else a broken invariant.
pub fn planner_error(error: DataFusionError) -> SparkError {
    SparkError::find(&error).cloned().unwrap_or_else(|| SparkError::internal(error.strip_backtrace()))
}

/// A node that `df.col` may refer to.
#[derive(Debug, Clone)]
pub struct PlanNode {
    /// The id the client gave it.
    pub id: i64,
    /// How far below the top of the relation.
    pub depth: usize,
    /// Its columns, hidden ones last.
    pub columns: Rc<Vec<Attribute>>,
    /// How many of them are not hidden.
    pub visible: usize,
    /// Internal names that every operator above passes on.
    pub alive: Rc<HashSet<String>>,
}

/// How an operator lets columns of its input be seen that it does not pass on (`ORDER BY` a column that is not selected).
#[derive(Debug, Clone)]
pub enum Origin {
    /// Nothing below can be seen.
    Opaque,
    /// A select list.
    Select(Rc<Select>),
    /// A filter, which can be put upon a wider input.
    Filter(Rc<Rel>, Expr),
}

/// A relation under analysis.
#[derive(Debug, Clone)]
pub struct Rel {
    /// Holds at least the columns of `output` and `hidden`, in any order, each once.
    pub plan: LogicalPlan,
    /// Columns the user sees; the same internal column may occur twice.
    pub output: Vec<Attribute>,
    /// Columns that are found by name but no part of `*` (metadata columns, keys of `USING` on either side).
    pub hidden: Vec<Attribute>,
    /// Whether any input is a stream.
    pub streaming: bool,
    /// Sub-plans that can be referred to.
    pub nodes: Vec<PlanNode>,
    /// What lies below.
    pub origin: Origin,
}

impl Rel {
    /// A leaf.
    pub fn leaf(plan: LogicalPlan, output: Vec<Attribute>, streaming: bool) -> Self {
        Self { plan, output, hidden: Vec::new(), streaming, nodes: Vec::new(), origin: Origin::Opaque }
    }

    /// An operator over this relation that passes all columns on.
    pub fn with_plan(&self, plan: LogicalPlan) -> Self {
        Self {
            plan,
            output: self.output.clone(),
            hidden: self.hidden.clone(),
            streaming: self.streaming,
            nodes: sink_nodes(&self.nodes, None),
            origin: Origin::Opaque,
        }
    }

    /// An operator over this relation with other columns. Hidden columns stay only if given.
    pub fn with_columns(&self, plan: LogicalPlan, output: Vec<Attribute>, hidden: Vec<Attribute>) -> Self {
        let kept: HashSet<String> = output.iter().chain(&hidden).map(|a| a.column.clone()).collect();
        Self {
            plan,
            output,
            hidden,
            streaming: self.streaming,
            nodes: sink_nodes(&self.nodes, Some(&kept)),
            origin: Origin::Opaque,
        }
    }

    /// Marks this relation as the one that a client's plan id stands for.
    #[must_use]
    pub fn named(mut self, plan_id: Option<i64>) -> Self {
        if let Some(id) = plan_id {
            let columns: Vec<Attribute> = self.output.iter().chain(&self.hidden).cloned().collect();
            let alive = columns.iter().map(|a| a.column.clone()).collect();
            // The search for a plan id stops at the first node that has it.
            self.nodes.retain(|n| n.id != id);
            let visible = self.output.len();
            self.nodes.push(PlanNode { id, depth: 0, columns: Rc::new(columns), visible, alive: Rc::new(alive) });
        }
        self
    }

    /// A projection to these columns: attribute and value. Hidden columns of the input are carried along.
    pub fn project(&self, items: Vec<(Attribute, Expr)>) -> Result<Self, SparkError> {
        let mut seen = HashSet::new();
        let mut exprs = Vec::with_capacity(items.len());
        let mut output = Vec::with_capacity(items.len());
        for (attribute, expr) in items {
            if seen.insert(attribute.column.clone()) {
                exprs.push(alias(expr, &attribute.column, &attribute.metadata));
            }
            output.push(attribute);
        }
        let hidden = self.lasting_hidden();
        for attribute in &hidden {
            if seen.insert(attribute.column.clone()) {
                exprs.push(column(&attribute.column));
            }
        }
        let plan = project_plan(self.plan.clone(), exprs)?;
        Ok(self.with_columns(plan, output, hidden))
    }

    /// Hidden columns that stay hidden columns above a select list.
    pub fn lasting_hidden(&self) -> Vec<Attribute> {
        let lasts = |a: &&Attribute| a.qualifier.first().is_none_or(|q| q != WINDOW_SCOPE);
        self.hidden.iter().filter(lasts).cloned().collect()
    }

    /// The same relation with only these columns of its own (no new values).
    pub fn pick(&self, output: Vec<Attribute>) -> Result<Self, SparkError> {
        let items = output
            .into_iter()
            .map(|a| {
                let e = column(&a.column);
                (a, e)
            })
            .collect();
        self.project(items)
    }

    /// This relation's result: the plan gives exactly the columns of `output`, each under a name of its own.
    pub fn finish(self) -> Result<ResolvedPlan, SparkError> {
        let mut seen = HashSet::new();
        let mut output = self.output;
        let mut exprs = Vec::with_capacity(output.len());
        for attribute in &mut output {
            let source = attribute.column.clone();
            if !seen.insert(source.clone()) {
                attribute.column = fresh_name();
            }
            exprs.push(alias(column(&source), &attribute.column, &Metadata::new()));
        }
        let fields = self.plan.schema().fields();
        let same = fields.len() == output.len() && fields.iter().zip(&output).all(|(f, a)| *f.name() == a.column);
        let plan = if same { self.plan } else { project_plan(self.plan, exprs)? };
        Ok(ResolvedPlan { plan, output, streaming: self.streaming, names: Arc::default() })
    }

    /// A resolved plan used as a relation; its columns get new internal names.
    pub fn from_resolved(resolved: &ResolvedPlan) -> Result<Self, SparkError> {
        let mut output = resolved.output.clone();
        let mut exprs = Vec::with_capacity(output.len());
        for attribute in &mut output {
            let source = std::mem::replace(&mut attribute.column, fresh_name());
            exprs.push(alias(column(&source), &attribute.column, &attribute.metadata));
        }
        let plan = project_plan(resolved.plan.clone(), exprs)?;
        Ok(Self::leaf(plan, output, resolved.streaming))
    }

    /// Qualified names of the columns, for suggestions.
    pub fn names(&self) -> Vec<Vec<String>> {
        self.output.iter().map(qualified_name).collect()
    }
}

/// `a.t.c` in parts.
pub fn qualified_name(attribute: &Attribute) -> Vec<String> {
    attribute.qualifier.iter().cloned().chain([attribute.name.clone()]).collect()
}

/// A projection.
pub fn project_plan(input: LogicalPlan, exprs: Vec<Expr>) -> Result<LogicalPlan, SparkError> {
    Projection::try_new(exprs, Arc::new(input)).map(LogicalPlan::Projection).map_err(planner_error)
}

/// Nodes of an input as seen from an operator above it that passes on `kept`, or all columns.
pub fn sink_nodes(nodes: &[PlanNode], kept: Option<&HashSet<String>>) -> Vec<PlanNode> {
    nodes
        .iter()
        .map(|node| {
            let alive = match kept {
                Some(kept) if node.alive.iter().any(|c| !kept.contains(c)) => {
                    Rc::new(node.alive.iter().filter(|c| kept.contains(*c)).cloned().collect())
                }
                _ => Rc::clone(&node.alive),
            };
            PlanNode { depth: node.depth + 1, alive, ..node.clone() }
        })
        .collect()
}

/// A new column of this value.
pub fn new_attribute(name: impl Into<String>, typed: &Typed, metadata: Metadata) -> Attribute {
    Attribute {
        column: fresh_name(),
        name: name.into(),
        data_type: typed.data_type.clone(),
        nullable: typed.nullable,
        metadata,
        qualifier: Vec::new(),
    }
}
