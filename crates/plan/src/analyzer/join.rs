//! Joins.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinConstraint, JoinType, NullEquality};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::{Expr, Join, LogicalPlan, TableScan};
use millstream_formats::condition::SparkError;
use millstream_functions::Typed;

use super::expression::{Resolved, has_aggregate, strip_alias};
use super::rel::{Rel, new_attribute, planner_error, sink_nodes};
use super::scope::Scope;
use super::{Analyzer, errors};
use crate::ir::{self, JoinKind, Relation};
use crate::resolved::{Attribute, StreamTable};

/// The right side of a join, with streams of its own: what the left side reads too is read once more, as in Spark, where a
/// relation that is joined with itself becomes two.
fn read_apart(left: &Rel, right: Rel) -> Result<Rel, SparkError> {
    if !left.streaming || !right.streaming {
        return Ok(right);
    }
    let mut known = HashSet::new();
    each_stream(&left.plan, |table| {
        known.insert(table.id);
    });
    let mut renewed: HashMap<u64, Arc<StreamTable>> = HashMap::new();
    let plan = right.plan.clone().transform_down(|node| {
        let LogicalPlan::TableScan(scan) = node else { return Ok(Transformed::no(node)) };
        let Some(table) = stream_table(&scan).filter(|table| known.contains(&table.id)) else {
            return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
        };
        let again = renewed.entry(table.id).or_insert_with(|| Arc::new(table.again()));
        let source = provider_as_source(Arc::clone(again) as Arc<dyn TableProvider>);
        Ok(Transformed::yes(LogicalPlan::TableScan(TableScan { source, ..scan })))
    });
    Ok(Rel { plan: plan.map_err(planner_error)?.data, ..right })
}

fn each_stream(plan: &LogicalPlan, mut visit: impl FnMut(&StreamTable)) {
    // The closure never fails.
    let _ = plan.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(table) = stream_table(scan)
        {
            visit(&table);
        }
        Ok(TreeNodeRecursion::Continue)
    });
}

fn stream_table(scan: &TableScan) -> Option<Arc<StreamTable>> {
    let provider = source_as_provider(&scan.source).ok()?;
    let any: Arc<dyn std::any::Any + Send + Sync> = provider;
    any.downcast::<StreamTable>().ok()
}

impl Analyzer<'_> {
    /// A join.
    pub fn join(&self, join: &ir::Join) -> Result<Rel, SparkError> {
        let left = self.relation(&join.left)?;
        let right = read_apart(&left, self.relation(&join.right)?)?;
        if join.natural {
            let shared: Vec<String> = left
                .output
                .iter()
                .filter(|l| right.output.iter().any(|r| self.names.same(&l.name, &r.name)))
                .map(|l| l.name.clone())
                .collect();
            return self.join_using(left, right, &shared, join.kind);
        }
        if !join.using.is_empty() {
            return self.join_using(left, right, &join.using, join.kind);
        }
        let both = side_by_side(&left, &right);
        let condition = join.condition.as_ref().map(|c| self.join_condition(c, &both)).transpose()?;
        joined(left, right, condition, join.kind)
    }

    fn join_condition(&self, condition: &ir::Expr, both: &Rel) -> Result<Expr, SparkError> {
        let resolved = self.resolve_scalar(condition, &Scope::of(both), "Join")?;
        if !matches!(resolved.typed.data_type, DataType::Boolean | DataType::Null) {
            let found = Self::type_name(&resolved.typed.data_type);
            return Err(errors::not_boolean("JOIN", &strip_alias(&resolved), &found));
        }
        if has_aggregate(&resolved.typed.expr) {
            return Err(errors::invalid_where(&strip_alias(&resolved), &strip_alias(&resolved)));
        }
        Ok(resolved.typed.expr)
    }

    /// Each key occurs once in the result; the sides' own keys can still be reached by qualifier or sub-plan.
    fn join_using(&self, left: Rel, right: Rel, keys: &[String], kind: JoinKind) -> Result<Rel, SparkError> {
        let (mut pairs, mut condition): (Vec<(Attribute, Attribute)>, Option<Typed>) = (Vec::new(), None);
        for key in keys {
            let name = std::slice::from_ref(key);
            let side = |rel: &Rel, side: &str| {
                let found = self.names.find(name, &rel.output)?;
                found
                    .map(|f| f.attribute.clone())
                    .ok_or_else(|| errors::using_column_not_found(key, side, &rel.names()))
            };
            let (l, r) = (side(&left, "left")?, side(&right, "right")?);
            let equal = self.build("=", &[Resolved::column(&l).typed, Resolved::column(&r).typed])?;
            condition = Some(match condition {
                Some(before) => self.build("and", &[before, equal])?,
                None => equal,
            });
            pairs.push((l, r));
        }
        let rel = joined(left, right, condition.map(|c| c.expr), kind)?;
        self.merge_keys(rel, &pairs, kind)
    }

    /// Puts the keys in front and hides those of the sides.
    fn merge_keys(&self, rel: Rel, pairs: &[(Attribute, Attribute)], kind: JoinKind) -> Result<Rel, SparkError> {
        let current = |a: &Attribute| rel.output.iter().find(|o| o.column == a.column).unwrap_or(a).clone();
        let (mut items, mut hidden): (Vec<(Attribute, Expr)>, Vec<Attribute>) = (Vec::new(), Vec::new());
        for (l, r) in pairs {
            let (l, r) = (current(l), current(r));
            match kind {
                JoinKind::LeftSemi | JoinKind::LeftAnti => items.push((l.clone(), Resolved::column(&l).typed.expr)),
                JoinKind::RightOuter => {
                    items.push((r.clone(), Resolved::column(&r).typed.expr));
                    hidden.push(l);
                }
                JoinKind::FullOuter => {
                    let typed = self.build("coalesce", &[Resolved::column(&l).typed, Resolved::column(&r).typed])?;
                    items.push((new_attribute(l.name.clone(), &typed, Default::default()), typed.expr));
                    hidden.extend([l, r]);
                }
                _ => {
                    items.push((l.clone(), Resolved::column(&l).typed.expr));
                    hidden.push(r);
                }
            }
        }
        let is_key = |a: &&Attribute| !pairs.iter().any(|(l, r)| l.column == a.column || r.column == a.column);
        items.extend(rel.output.iter().filter(is_key).map(|a| (a.clone(), Resolved::column(a).typed.expr)));
        let mut rel = rel;
        rel.hidden.extend(hidden);
        rel.project(items)
    }

    /// A join whose right side sees the columns of the left.
    pub fn lateral_join(
        &self,
        left: &Relation,
        right: &Relation,
        condition: Option<&ir::Expr>,
        kind: JoinKind,
    ) -> Result<Rel, SparkError> {
        let left = self.relation(left)?;
        if let ir::RelationOp::TableFunction { name, arguments } = right.op.as_ref()
            && condition.is_none()
        {
            return self.lateral_generator(left, name, arguments, None, kind);
        }
        if let ir::RelationOp::SubqueryAlias { input, alias, columns } = right.op.as_ref()
            && let ir::RelationOp::TableFunction { name, arguments } = input.op.as_ref()
            && condition.is_none()
        {
            return self.lateral_generator(left, name, arguments, Some((alias, columns)), kind);
        }
        if let ir::RelationOp::Project { input, expressions } = right.op.as_ref()
            && let ir::RelationOp::TableFunction { name, arguments } = input.op.as_ref()
            && condition.is_none()
        {
            return self.lateral_select(left, (name, arguments), expressions, kind);
        }
        self.correlated_join(left, right, condition, kind)
    }

    /// `LATERAL (SELECT … FROM explode(…))`: a generator over the left side, then the list over what it gives.
    fn lateral_select(
        &self,
        left: Rel,
        (name, arguments): (&str, &[ir::Expr]),
        expressions: &[ir::Expr],
        kind: JoinKind,
    ) -> Result<Rel, SparkError> {
        let width = left.output.len();
        let joined = self.lateral_generator(left, name, arguments, None, kind)?;
        let (outer, own) = joined.output.split_at(width);
        let generated = Rel { output: own.to_vec(), hidden: outer.to_vec(), ..joined.clone() };
        let expressions: Vec<ir::Expr> = expressions.iter().map(without_outer_calls).collect();
        let mut list: Vec<Resolved> = outer.iter().map(Resolved::column).collect();
        list.extend(self.select_list(&generated, &expressions)?);
        self.list(joined, list)
    }

    /// `, LATERAL explode(…)` is a generator over the left side.
    fn lateral_generator(
        &self,
        left: Rel,
        name: &str,
        arguments: &[ir::Expr],
        alias: Option<(&String, &Vec<String>)>,
        kind: JoinKind,
    ) -> Result<Rel, SparkError> {
        // The arguments see the left side only, so `col.outer()` is just the column.
        let arguments = arguments.iter().map(without_outer_calls).collect();
        let resolved = self.resolve(&ir::Expr::call(name, arguments), &Scope::of(&left))?;
        let Some(generator) = &resolved.generator else {
            return Err(errors::unsupported_generator("NOT_GENERATOR", errors::quoted_one(name)));
        };
        let outer = generator.outer || kind == JoinKind::LeftOuter;
        let names = alias.map(|(_, columns)| columns.as_slice()).unwrap_or_default();
        let mut attributes = super::select::generator_attributes(&resolved, names, outer)?;
        for attribute in &mut attributes {
            attribute.qualifier = alias.map(|(a, _)| a.clone()).into_iter().collect();
        }
        let plan = super::select::generate(left.plan.clone(), resolved.typed.expr, outer, &attributes)?;
        let output = left.output.iter().cloned().chain(attributes).collect();
        Ok(left.with_columns(plan, output, left.hidden.clone()))
    }

    fn correlated_join(
        &self,
        left: Rel,
        right: &Relation,
        condition: Option<&ir::Expr>,
        kind: JoinKind,
    ) -> Result<Rel, SparkError> {
        use datafusion::logical_expr::LogicalPlanBuilder;
        use datafusion::logical_expr::logical_plan::Subquery;
        let right = self.with_outer(&left, || self.relation(right))?;
        let outer_ref_columns = right.plan.all_out_ref_exprs();
        if outer_ref_columns.is_empty() {
            let both = side_by_side(&left, &right);
            let condition = condition.map(|c| self.join_condition(c, &both)).transpose()?;
            return joined(left, right, condition, kind);
        }
        let both = side_by_side(&left, &right);
        let condition = condition.map(|c| self.join_condition(c, &both)).transpose()?;
        let subquery =
            Subquery { subquery: Arc::new(right.plan.clone()), outer_ref_columns, spans: Default::default() };
        let plan = LogicalPlanBuilder::from(LogicalPlan::Subquery(subquery)).build().map_err(planner_error)?;
        joined(left, Rel { plan, ..right }, condition, kind)
    }
}

/// The expression with `outer(column)` replaced by the column.
fn without_outer_calls(expr: &ir::Expr) -> ir::Expr {
    let inside = |e: &ir::Expr| Box::new(without_outer_calls(e));
    match expr {
        ir::Expr::Function(call) => match call.arguments.as_slice() {
            [column] if call.name.eq_ignore_ascii_case("outer") => column.clone(),
            arguments => {
                let arguments = arguments.iter().map(without_outer_calls).collect();
                ir::Expr::Function(ir::Function { arguments, ..call.clone() })
            }
        },
        ir::Expr::Alias { expr, names, metadata } => {
            ir::Expr::Alias { expr: inside(expr), names: names.clone(), metadata: metadata.clone() }
        }
        ir::Expr::Cast { expr, to, try_cast } => {
            ir::Expr::Cast { expr: inside(expr), to: to.clone(), try_cast: *try_cast }
        }
        ir::Expr::ExtractValue { child, key } => ir::Expr::ExtractValue { child: inside(child), key: inside(key) },
        other => other.clone(),
    }
}

/// Both sides' columns, for the condition.
fn side_by_side(left: &Rel, right: &Rel) -> Rel {
    let mut nodes = sink_nodes(&left.nodes, None);
    nodes.extend(sink_nodes(&right.nodes, None));
    Rel {
        plan: left.plan.clone(),
        output: left.output.iter().chain(&right.output).cloned().collect(),
        hidden: left.hidden.iter().chain(&right.hidden).cloned().collect(),
        streaming: left.streaming || right.streaming,
        nodes,
        origin: super::rel::Origin::Opaque,
    }
}

/// The join, its columns nullable where the kind makes them so.
fn joined(left: Rel, right: Rel, condition: Option<Expr>, kind: JoinKind) -> Result<Rel, SparkError> {
    let join_type = match kind {
        JoinKind::Inner | JoinKind::Cross => JoinType::Inner,
        JoinKind::LeftOuter => JoinType::Left,
        JoinKind::RightOuter => JoinType::Right,
        JoinKind::FullOuter => JoinType::Full,
        JoinKind::LeftSemi => JoinType::LeftSemi,
        JoinKind::LeftAnti => JoinType::LeftAnti,
    };
    let both = side_by_side(&left, &right);
    let plan = Join::try_new(
        Arc::new(left.plan.clone()),
        Arc::new(right.plan.clone()),
        vec![],
        condition,
        join_type,
        JoinConstraint::On,
        NullEquality::NullEqualsNothing,
        false,
    )
    .map_err(planner_error)?;
    let nullable = |attributes: &[Attribute], turns: bool| -> Vec<Attribute> {
        attributes.iter().map(|a| Attribute { nullable: a.nullable || turns, ..a.clone() }).collect()
    };
    let left_turns = matches!(kind, JoinKind::RightOuter | JoinKind::FullOuter);
    let right_turns = matches!(kind, JoinKind::LeftOuter | JoinKind::FullOuter);
    let (mut output, mut hidden) = (nullable(&left.output, left_turns), nullable(&left.hidden, left_turns));
    if !matches!(kind, JoinKind::LeftSemi | JoinKind::LeftAnti) {
        output.extend(nullable(&right.output, right_turns));
        hidden.extend(nullable(&right.hidden, right_turns));
    }
    let mut rel = both.with_columns(LogicalPlan::Join(plan), output, hidden);
    // `side_by_side` has sunk the nodes already.
    for node in &mut rel.nodes {
        node.depth -= 1;
    }
    Ok(rel)
}
