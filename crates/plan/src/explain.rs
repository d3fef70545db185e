//! Plans as text, in the form of Spark's `explain`.
//!
//! Operators carry Spark's names and columns are written `name#id`. The text is for people: it shows what will run and in
//! which order, and promises no more. Column names inside a plan are internal; a name is shown where it can be told from
//! the leaves or from the result.

use std::collections::HashMap;
use std::fmt::Write;

use datafusion::common::JoinType;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};
use millstream_formats::types::simple_name;

use crate::resolved::{ResolvedPlan, StreamTable};

/// What `explain` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExplainMode {
    /// The physical plan.
    #[default]
    Simple,
    /// Parsed, analyzed, optimized and physical plan.
    Extended,
    /// Generated code; there is none.
    Codegen,
    /// The optimized plan with statistics, and the physical plan.
    Cost,
    /// The physical plan as an outline, then its operators one by one.
    Formatted,
}

impl ExplainMode {
    /// The mode of this name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "simple" => ExplainMode::Simple,
            "extended" => ExplainMode::Extended,
            "codegen" => ExplainMode::Codegen,
            "cost" => ExplainMode::Cost,
            "formatted" => ExplainMode::Formatted,
            _ => return None,
        })
    }
}

/// The plan as text; `optimized` is what DataFusion's optimizer made of it.
pub fn explain(plan: &ResolvedPlan, optimized: &LogicalPlan, mode: ExplainMode) -> String {
    let names = Names::of(plan);
    let physical = || format!("== Physical Plan ==\n{}", tree(optimized, &names, Form::Physical));
    match mode {
        ExplainMode::Simple => physical(),
        ExplainMode::Extended => {
            let columns: Vec<String> =
                plan.output.iter().map(|a| format!("{}: {}", a.name, simple_name(&a.data_type))).collect();
            let logical = tree(&plan.plan, &names, Form::Logical);
            format!(
                "== Parsed Logical Plan ==\n{logical}\n== Analyzed Logical Plan ==\n{}\n{logical}\n== Optimized Logical Plan \
                 ==\n{}\n{}",
                columns.join(", "),
                tree(optimized, &names, Form::Logical),
                physical()
            )
        }
        ExplainMode::Codegen => "Found 0 WholeStageCodegen subtrees.\n".to_string(),
        ExplainMode::Cost => {
            format!("== Optimized Logical Plan ==\n{}\n{}", tree(optimized, &names, Form::Cost), physical())
        }
        ExplainMode::Formatted => formatted(optimized, &names),
    }
}

/// What the nodes of a tree show.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Logical,
    Physical,
    Cost,
}

/// Names of internal columns as far as they can be told.
struct Names(HashMap<String, String>);

impl Names {
    fn of(plan: &ResolvedPlan) -> Self {
        let mut names = HashMap::new();
        collect_names(&plan.plan, &mut names);
        names.extend(plan.output.iter().map(|a| (a.column.clone(), a.name.clone())));
        Names(names)
    }

    /// Puts `name#id` for `#id`.
    fn readable(&self, text: &str) -> String {
        let mut result = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('#') {
            let (before, tail) = rest.split_at(at);
            let digits = tail[1..].bytes().take_while(u8::is_ascii_digit).count();
            let (token, after) = tail.split_at(1 + digits);
            result.push_str(before);
            if let Some(name) = self.0.get(token) {
                result.push_str(name);
            }
            result.push_str(token);
            rest = after;
        }
        result.push_str(rest);
        result
    }

    fn list<'a>(&self, exprs: impl IntoIterator<Item = &'a Expr>) -> String {
        let texts: Vec<String> = exprs.into_iter().map(|e| self.readable(&e.to_string())).collect();
        format!("[{}]", texts.join(", "))
    }
}

fn collect_names(plan: &LogicalPlan, names: &mut HashMap<String, String>) {
    for input in plan.inputs() {
        collect_names(input, names);
    }
    let LogicalPlan::Projection(projection) = plan else { return };
    for expr in &projection.expr {
        if let Expr::Alias(alias) = expr
            && let Expr::Column(column) = alias.expr.as_ref()
        {
            let name =
                if column.relation.is_some() { Some(column.name.clone()) } else { names.get(&column.name).cloned() };
            names.extend(name.map(|name| (alias.name.clone(), name)));
        }
    }
}

fn tree(plan: &LogicalPlan, names: &Names, form: Form) -> String {
    let mut text = String::new();
    write_tree(plan, names, form, "", "", &mut text);
    text
}

fn write_tree(plan: &LogicalPlan, names: &Names, form: Form, first: &str, rest: &str, text: &mut String) {
    let statistics = if form == Form::Cost { ", Statistics(sizeInBytes=8.0 EiB)" } else { "" };
    text.push_str(first);
    text.push_str(&describe(plan, names, form));
    text.push_str(statistics);
    text.push('\n');
    let inputs = plan.inputs();
    for (i, input) in inputs.iter().enumerate() {
        let (branch, under) = if i + 1 == inputs.len() { ("+- ", "   ") } else { (":- ", ":  ") };
        write_tree(input, names, form, &format!("{rest}{branch}"), &format!("{rest}{under}"), text);
    }
}

/// An operator's name and arguments.
fn describe(plan: &LogicalPlan, names: &Names, form: Form) -> String {
    let arguments = match plan {
        LogicalPlan::Projection(p) => names.list(&p.expr),
        LogicalPlan::Filter(f) => names.readable(&f.predicate.to_string()),
        LogicalPlan::Aggregate(a) => {
            let (keys, functions) = (names.list(&a.group_expr), names.list(&a.aggr_expr));
            if form == Form::Physical {
                format!("(keys={keys}, functions={functions})")
            } else {
                format!("{keys}, {functions}")
            }
        }
        LogicalPlan::Sort(s) => {
            let keys: Vec<String> = s.expr.iter().map(|k| names.readable(&k.to_string())).collect();
            format!("[{}], true", keys.join(", "))
        }
        LogicalPlan::Join(j) => {
            let on = j.on.iter().map(|(l, r)| names.readable(&format!("({l} = {r})")));
            let filter = j.filter.iter().map(|f| names.readable(&f.to_string()));
            let conditions: Vec<String> = on.chain(filter).collect();
            format!(
                "{}{}{}",
                join_name(j.join_type),
                if conditions.is_empty() { "" } else { ", " },
                conditions.join(" AND ")
            )
        }
        LogicalPlan::Window(w) => names.list(&w.window_expr),
        LogicalPlan::Limit(l) => l.fetch.iter().chain(&l.skip).map(|n| n.to_string()).collect::<Vec<_>>().join(", "),
        LogicalPlan::TableScan(_) => columns(plan, names),
        LogicalPlan::Values(_) => columns(plan, names),
        LogicalPlan::Extension(e) => {
            let mut shown = String::new();
            // Writing to a string cannot fail.
            let _ = write!(shown, "{}", Shown(e.node.as_ref()));
            return names.readable(&shown);
        }
        _ => String::new(),
    };
    let name = operator_name(plan, form);
    let separator = if arguments.is_empty() || arguments.starts_with('(') && form == Form::Physical { "" } else { " " };
    format!("{name}{separator}{arguments}")
}

struct Shown<'a>(&'a dyn datafusion::logical_expr::UserDefinedLogicalNode);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt_for_explain(f)
    }
}

fn columns(plan: &LogicalPlan, names: &Names) -> String {
    let columns: Vec<String> = plan.schema().fields().iter().map(|f| names.readable(f.name())).collect();
    format!("[{}]", columns.join(", "))
}

/// Spark's name of the operator.
fn operator_name(plan: &LogicalPlan, form: Form) -> &'static str {
    let physical = form == Form::Physical;
    match plan {
        LogicalPlan::Projection(_) => "Project",
        LogicalPlan::Filter(_) => "Filter",
        LogicalPlan::Aggregate(_) if physical => "HashAggregate",
        LogicalPlan::Aggregate(_) => "Aggregate",
        LogicalPlan::Sort(_) => "Sort",
        LogicalPlan::Join(j) if physical && j.on.is_empty() => "BroadcastNestedLoopJoin",
        LogicalPlan::Join(_) if physical => "BroadcastHashJoin",
        LogicalPlan::Join(_) => "Join",
        LogicalPlan::Window(_) => "Window",
        LogicalPlan::Union(_) => "Union",
        LogicalPlan::Limit(_) if physical => "CollectLimit",
        LogicalPlan::Limit(_) => "GlobalLimit",
        LogicalPlan::Distinct(Distinct::All(_)) => "Distinct",
        LogicalPlan::Distinct(_) => "Deduplicate",
        LogicalPlan::EmptyRelation(e) if e.produce_one_row => "OneRowRelation",
        LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => {
            if physical {
                "LocalTableScan"
            } else {
                "LocalRelation"
            }
        }
        LogicalPlan::TableScan(scan) => {
            let streaming = source_as_provider(&scan.source).is_ok_and(|provider| {
                let provider: &dyn std::any::Any = provider.as_ref();
                provider.is::<StreamTable>()
            });
            match (streaming, physical) {
                (true, true) => "StreamingRelation",
                (true, false) => "StreamingRelationV2",
                (false, true) => "Scan",
                (false, false) => "Relation",
            }
        }
        LogicalPlan::Subquery(_) => "Subquery",
        _ => "Operator",
    }
}

fn join_name(join_type: JoinType) -> &'static str {
    match join_type {
        JoinType::Left => "LeftOuter",
        JoinType::Right => "RightOuter",
        JoinType::Full => "FullOuter",
        JoinType::LeftSemi | JoinType::RightSemi => "LeftSemi",
        JoinType::LeftAnti | JoinType::RightAnti => "LeftAnti",
        _ => "Inner",
    }
}

/// An outline with numbers, leaves first, and one paragraph per operator.
fn formatted(plan: &LogicalPlan, names: &Names) -> String {
    let mut numbered: Vec<&LogicalPlan> = Vec::new();
    let mut outline = String::new();
    let mut next = count(plan);
    let total = next;
    write_outline(plan, "", "", &mut next, &mut numbered, &mut outline);
    let mut text = format!("== Physical Plan ==\n{outline}\n");
    for (i, operator) in numbered.iter().rev().enumerate() {
        let _ = writeln!(text, "\n({}) {}", i + 1, operator_name(operator, Form::Physical));
        let _ = writeln!(text, "Output [{}]: {}", operator.schema().fields().len(), columns(operator, names));
        let _ = writeln!(text, "Arguments: {}", describe(operator, names, Form::Physical));
    }
    debug_assert_eq!(total, numbered.len());
    text
}

fn count(plan: &LogicalPlan) -> usize {
    1 + plan.inputs().into_iter().map(count).sum::<usize>()
}

fn write_outline<'a>(
    plan: &'a LogicalPlan,
    first: &str,
    rest: &str,
    next: &mut usize,
    numbered: &mut Vec<&'a LogicalPlan>,
    text: &mut String,
) {
    let _ = writeln!(text, "{first}{} ({next})", operator_name(plan, Form::Physical));
    *next -= 1;
    numbered.push(plan);
    let inputs = plan.inputs();
    for (i, input) in inputs.iter().enumerate() {
        let (branch, under) = if i + 1 == inputs.len() { ("+- ", "   ") } else { (":- ", ":  ") };
        write_outline(input, &format!("{rest}{branch}"), &format!("{rest}{under}"), next, numbered, text);
    }
}
