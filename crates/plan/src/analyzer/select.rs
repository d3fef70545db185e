//! Select lists: from resolved expressions to aggregate, filter, window, generator and projection, in this order.
//!
//! A [`Select`] keeps its parts, so that an operator above (`ORDER BY`, `HAVING`, a filter of the DataFrame API) can ask for
//! values that the list itself does not give: see [`Select::build`].

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::logical_expr::{Expr, Extension, Filter, LogicalPlan};
use millstream_formats::condition::SparkError;

use super::aggregate_stage::{Grouping, aggregate_stage};
use super::existence::existence_stage;
use super::expression::{Resolved, columns_of, has_aggregate, has_subquery, strip_alias};
use super::rel::{Origin, Rel, alias, column, fresh_name, new_attribute, planner_error, project_plan};
use super::scope::Scope;
use super::window::window_stage;
use super::{Analyzer, errors};
use crate::ir::{self, Relation};
use crate::nodes::Generate;
use crate::resolved::Attribute;

/// One entry of a select list.
#[derive(Debug, Clone)]
pub enum Item {
    /// A value.
    Value(Attribute, Expr),
    /// A generator and the columns it gives.
    Generator {
        /// Its list of structs.
        expr: Expr,
        /// A row of nulls where there is none.
        outer: bool,
        /// Its columns.
        attributes: Vec<Attribute>,
    },
}

impl Item {
    /// The columns this entry gives.
    pub fn attributes(&self) -> &[Attribute] {
        match self {
            Item::Value(attribute, _) => std::slice::from_ref(attribute),
            Item::Generator { attributes, .. } => attributes,
        }
    }

    /// The expression over the input.
    pub fn expr(&self) -> &Expr {
        match self {
            Item::Value(_, expr) | Item::Generator { expr, .. } => expr,
        }
    }
}

/// A select list over an input.
#[derive(Debug, Clone)]
pub struct Select {
    /// Input.
    pub input: Rel,
    /// Set if this is an aggregation.
    pub grouping: Option<Grouping>,
    /// The list.
    pub items: Vec<Item>,
    /// `HAVING`, over the input.
    pub having: Option<Expr>,
    /// What operators above have asked for before: its columns are in the plan as well.
    pub carried: Vec<Expr>,
}

impl Select {
    /// Builds the relation. `extras` are expressions over the input or the list's own columns; they come back as expressions
    /// over the result, whose plan then holds what they need beside the list's columns.
    ///
    /// # Errors
    /// Columns outside aggregates that are no keys.
    pub fn build(mut self, extras: Vec<Expr>) -> Result<(Rel, Vec<Expr>), SparkError> {
        let mut exprs: Vec<Expr> = self.items.iter().map(|i| i.expr().clone()).collect();
        let (listed, before) = (exprs.len(), self.carried.len());
        exprs.extend(self.carried.iter().cloned().chain(extras.iter().cloned()));
        self.carried.extend(extras);
        let mut rel = self.input.clone();
        if let Some(grouping) = &self.grouping {
            exprs.extend(self.having.clone());
            (rel, exprs) = aggregate_stage(rel, grouping, exprs)?;
            if self.having.is_some()
                && let Some(having) = exprs.pop()
            {
                let filter = Filter::try_new(having, Arc::new(rel.plan.clone())).map_err(planner_error)?;
                rel = rel.with_plan(LogicalPlan::Filter(filter));
            }
        }
        if exprs.iter().any(has_subquery) {
            (rel, exprs) = existence_stage(rel, exprs)?;
        }
        (rel, exprs) = window_stage(rel, exprs)?;
        let mut carried = exprs.split_off(listed);
        let items = generate_stage(&mut rel, &self.items, exprs)?;
        let mut result = project_with_extras(&rel, items, &carried)?;
        result.origin = Origin::Select(Rc::new(self));
        Ok((result, carried.split_off(before)))
    }
}

/// Joins the rows of a generator among the items; its columns become plain ones.
fn generate_stage(rel: &mut Rel, items: &[Item], exprs: Vec<Expr>) -> Result<Vec<(Attribute, Expr)>, SparkError> {
    let mut result = Vec::with_capacity(items.len());
    for (item, expr) in items.iter().zip(exprs) {
        match item {
            Item::Value(attribute, _) => result.push((attribute.clone(), expr)),
            Item::Generator { outer, attributes, .. } => {
                let plan = generate(rel.plan.clone(), expr, *outer, attributes)?;
                *rel = rel.with_plan(plan);
                result.extend(attributes.iter().map(|a| (a.clone(), column(&a.column))));
            }
        }
    }
    Ok(result)
}

/// A generator over a plan.
pub fn generate(
    input: LogicalPlan,
    expr: Expr,
    outer: bool,
    attributes: &[Attribute],
) -> Result<LogicalPlan, SparkError> {
    let columns = attributes.iter().map(|a| a.column.clone()).collect();
    let node = Generate::try_new(Arc::new(input), expr, outer, columns).map_err(planner_error)?;
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

/// Projects to the items, and carries the columns that the extras need.
fn project_with_extras(rel: &Rel, items: Vec<(Attribute, Expr)>, extras: &[Expr]) -> Result<Rel, SparkError> {
    let listed: HashSet<String> = items.iter().map(|(a, _)| a.column.clone()).collect();
    let mut carried: Vec<String> = Vec::new();
    for name in extras.iter().flat_map(columns_of) {
        let available = rel.plan.schema().has_column_with_unqualified_name(&name);
        let hidden = rel.hidden.iter().any(|a| a.column == name);
        if available && !hidden && !listed.contains(&name) && !carried.contains(&name) {
            carried.push(name);
        }
    }
    if carried.is_empty() {
        return rel.project(items);
    }
    let mut seen = HashSet::new();
    let mut exprs: Vec<Expr> = Vec::new();
    let mut output = Vec::new();
    for (attribute, expr) in items {
        if seen.insert(attribute.column.clone()) {
            exprs.push(alias(expr, &attribute.column, &attribute.metadata));
        }
        output.push(attribute);
    }
    let hidden = rel.lasting_hidden();
    let hidden_columns = hidden.iter().map(|a| a.column.clone());
    for name in hidden_columns.chain(carried) {
        if seen.insert(name.clone()) {
            exprs.push(column(&name));
        }
    }
    let plan = project_plan(rel.plan.clone(), exprs)?;
    Ok(rel.with_columns(plan, output, hidden))
}

impl Analyzer<'_> {
    /// `SELECT` without `GROUP BY`.
    pub fn project(&self, input: &Relation, expressions: &[ir::Expr]) -> Result<Rel, SparkError> {
        let rel = self.relation(input)?;
        self.select(rel, expressions)
    }

    /// A select list over a relation.
    pub fn select(&self, rel: Rel, expressions: &[ir::Expr]) -> Result<Rel, SparkError> {
        let (rel, resolved) = self.over_time_windows(rel, |rel| self.select_list(rel, expressions))?;
        let items = self.items(resolved)?;
        let aggregates = items.iter().any(|i| has_aggregate(i.expr()));
        let grouping = aggregates.then(Grouping::global);
        let select = Select { input: rel, grouping, items, having: None, carried: vec![] };
        Ok(select.build(vec![])?.0)
    }

    /// Resolves the expressions of a select list; stars are expanded, later ones see the aliases of earlier ones.
    pub fn select_list(&self, rel: &Rel, expressions: &[ir::Expr]) -> Result<Vec<Resolved>, SparkError> {
        let aliases = RefCell::new(Vec::new());
        let scope = Scope { aliases: Some(&aliases), ..Scope::of(rel) };
        let mut list = Vec::with_capacity(expressions.len());
        for expression in expressions {
            match expression {
                ir::Expr::Star(star) => list.extend(self.expand_star(star, &scope)?),
                ir::Expr::Regex { pattern, plan_id } => list.extend(self.expand_regex(pattern, *plan_id, &scope)?),
                ir::Expr::SqlText(text) => match super::source::parse_expression(text)? {
                    ir::Expr::Star(star) => list.extend(self.expand_star(&star, &scope)?),
                    parsed => list.push(self.list_entry(&parsed, &scope)?),
                },
                other => list.push(self.list_entry(other, &scope)?),
            }
        }
        Ok(list)
    }

    fn list_entry(&self, expression: &ir::Expr, scope: &Scope) -> Result<Resolved, SparkError> {
        let resolved = self.resolve(expression, scope)?;
        if let (ir::Expr::Alias { names, .. }, Some(aliases), None) = (expression, scope.aliases, &resolved.generator)
            && let [name] = names.as_slice()
        {
            aliases.borrow_mut().push((name.clone(), resolved.clone()));
        }
        Ok(resolved)
    }

    /// Entries of a select list, with the columns they give.
    pub fn items(&self, resolved: Vec<Resolved>) -> Result<Vec<Item>, SparkError> {
        let generators: Vec<String> =
            resolved.iter().filter(|r| r.generator.is_some()).map(|r| format!("\"{}\"", r.sql)).collect();
        if generators.len() > 1 {
            let text = format!("{}: {}", generators.len(), generators.join(", "));
            return Err(errors::unsupported_generator("MULTI_GENERATOR", text));
        }
        resolved.into_iter().map(|r| self.item(r)).collect()
    }

    fn item(&self, resolved: Resolved) -> Result<Item, SparkError> {
        if let Some(generator) = &resolved.generator {
            let attributes = generator_attributes(&resolved, &generator.names, generator.outer)?;
            return Ok(Item::Generator { expr: resolved.typed.expr, outer: generator.outer, attributes });
        }
        let attribute = match &resolved.attribute {
            Some(attribute) => attribute.clone(),
            None => new_attribute(resolved.output_name(), &resolved.typed, resolved.metadata.clone()),
        };
        Ok(Item::Value(attribute, resolved.typed.expr))
    }

    /// Resolves a condition: a boolean without generators.
    pub fn resolve_condition(&self, condition: &ir::Expr, scope: &Scope) -> Result<Resolved, SparkError> {
        let resolved = self.resolve_scalar(condition, scope, "Filter")?;
        check_boolean(&resolved)?;
        Ok(resolved)
    }

    /// `LATERAL VIEW`.
    pub fn lateral_view(
        &self,
        input: &Relation,
        generator: &ir::Expr,
        outer: bool,
        alias: Option<&str>,
        columns: &[String],
    ) -> Result<Rel, SparkError> {
        let rel = self.relation(input)?;
        let resolved = self.resolve(generator, &Scope::of(&rel))?;
        let Some(found) = &resolved.generator else {
            return Err(errors::unsupported_generator("NOT_GENERATOR", errors::quoted_one(&resolved.sql)));
        };
        let outer = outer || found.outer;
        let mut attributes = generator_attributes(&resolved, columns, outer)?;
        for attribute in &mut attributes {
            attribute.qualifier = alias.map(str::to_string).into_iter().collect();
        }
        let plan = generate(rel.plan.clone(), resolved.typed.expr, outer, &attributes)?;
        let output = rel.output.iter().cloned().chain(attributes).collect();
        Ok(rel.with_columns(plan, output, rel.hidden.clone()))
    }
}

/// Fails if a condition is no boolean.
pub fn check_boolean(resolved: &Resolved) -> Result<(), SparkError> {
    match resolved.typed.data_type {
        DataType::Boolean | DataType::Null => Ok(()),
        ref other => Err(errors::not_boolean("FILTER", &strip_alias(resolved), &Analyzer::type_name(other))),
    }
}

/// The columns a generator gives, under given names or its own.
pub fn generator_attributes(resolved: &Resolved, names: &[String], outer: bool) -> Result<Vec<Attribute>, SparkError> {
    let fields = match &resolved.typed.data_type {
        DataType::List(item) => match item.data_type() {
            DataType::Struct(fields) => fields.clone(),
            other => return Err(SparkError::internal(format!("a generator gives a list of {other}"))),
        },
        other => return Err(SparkError::internal(format!("a generator gives {other}"))),
    };
    if !names.is_empty() && names.len() != fields.len() {
        return Err(errors::analysis(
            "UDTF_ALIAS_NUMBER_MISMATCH",
            "42K0E",
            format!(
                "The number of aliases supplied in the AS clause does not match the number of columns output by the UDTF. \
                 Expected {} aliases, but got {}. Please ensure that the number of aliases provided matches the number of \
                 columns output by the UDTF.",
                fields.len(),
                names.join(",")
            ),
        )
        .with("aliasesSize", fields.len().to_string())
        .with("aliasesNames", names.join(",")));
    }
    Ok(fields
        .iter()
        .enumerate()
        .map(|(i, field)| Attribute {
            column: fresh_name(),
            name: names.get(i).unwrap_or(field.name()).clone(),
            data_type: field.data_type().clone(),
            nullable: field.is_nullable() || outer,
            metadata: Default::default(),
            qualifier: Vec::new(),
        })
        .collect())
}
