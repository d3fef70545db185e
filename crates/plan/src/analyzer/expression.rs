//! Unresolved expressions become typed ones.
//!
//! Each arm calls a function of the module for its subject. Not here: select lists, aggregation, join conditions; they
//! call [`Analyzer::resolve`] for each of their expressions and take aggregates, window functions and generators out of
//! the result.

use arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::create_physical_expr;
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;
use millstream_formats::types::sql_name;
use millstream_functions::{Function, Typed, cast, lookup};

use super::rel::{Metadata, column, planner_error};
use super::scope::{Found, Scope};
use super::{Analyzer, errors, names, with_stack};
use crate::ir;
use crate::resolved::Attribute;

/// A resolved expression with what the analyzer needs to know of it beyond its type.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// Value, type, nullability.
    pub typed: Typed,
    /// Spark's text of it.
    pub sql: String,
    /// Its name if it has one (a column, a field, an alias); else the text is the name.
    pub name: Option<String>,
    /// Column metadata that a select list takes over.
    pub metadata: Metadata,
    /// The column, if it is nothing else.
    pub attribute: Option<Attribute>,
    /// Set if this is a generator; the value is then its list of structs.
    pub generator: Option<Generator>,
}

/// What is known of a generator beside its list.
#[derive(Debug, Clone)]
pub struct Generator {
    /// A row of nulls where there is none.
    pub outer: bool,
    /// Names of the columns, if given.
    pub names: Vec<String>,
}

impl Resolved {
    /// A value without a name of its own.
    pub fn value(typed: Typed, sql: String) -> Self {
        Self { typed, sql, name: None, metadata: Metadata::new(), attribute: None, generator: None }
    }

    /// A column.
    pub fn column(attribute: &Attribute) -> Self {
        Self {
            typed: Typed::new(column(&attribute.column), attribute.data_type.clone(), attribute.nullable),
            sql: attribute.name.clone(),
            name: Some(attribute.name.clone()),
            metadata: attribute.metadata.clone(),
            attribute: Some(attribute.clone()),
            generator: None,
        }
    }

    /// What a select list calls it.
    pub fn output_name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.sql.clone())
    }
}

/// Plan id of references that the analyzer makes itself: their name is an internal column.
pub const INTERNAL: i64 = i64::MIN;

/// The operator of select lists, where generators may stand.
pub const PROJECT: &str = "Project";

impl Analyzer<'_> {
    /// Resolves an expression against what is in scope.
    ///
    /// # Errors
    /// Unknown or ambiguous names, types that do not fit, what is not supported.
    pub fn resolve(&self, expr: &ir::Expr, scope: &Scope) -> Result<Resolved, SparkError> {
        with_stack(|| self.resolve_here(expr, scope))
    }

    fn resolve_here(&self, expr: &ir::Expr, scope: &Scope) -> Result<Resolved, SparkError> {
        match expr {
            ir::Expr::Literal(value) => Ok(Resolved::value(Typed::literal(value.clone()), names::literal(value))),
            ir::Expr::TypedLiteral { data_type, text } => self.typed_literal(data_type, text),
            ir::Expr::Attribute(attribute) => self.resolve_attribute(attribute, scope),
            ir::Expr::Function(function) => self.resolve_call(function, scope),
            ir::Expr::Alias { expr, names, metadata } => self.resolve_alias(expr, names, metadata.as_deref(), scope),
            ir::Expr::Cast { expr, to, try_cast } => self.resolve_cast(expr, to, *try_cast, scope),
            ir::Expr::Window { function, partition_by, order_by, frame } => {
                self.resolve_window(function, partition_by, order_by, frame.as_ref(), scope)
            }
            ir::Expr::ExtractValue { child, key } => self.resolve_extract(child, key, scope),
            ir::Expr::UpdateField { child, field, value } => self.resolve_update(child, field, value.as_deref(), scope),
            ir::Expr::LambdaVariable(name) => self.resolve_lambda_variable(name, scope),
            ir::Expr::SqlText(text) => self.resolve(&crate::sql::parse_expression(text)?, scope),
            ir::Expr::Subquery { kind, relation } => self.resolve_subquery(kind, relation, scope),
            ir::Expr::Parameter(parameter) => self.resolve(&self.parameter(parameter)?, scope),
            ir::Expr::PythonUdf(_) => Err(SparkError::unsupported("A Python user-defined function")),
            ir::Expr::NamedArgument { name, .. } => {
                Err(SparkError::unsupported(format!("The named argument `{name}` here")))
            }
            ir::Expr::Star(_) | ir::Expr::Regex { .. } => Err(invalid_star()),
            ir::Expr::SortOrder(_) => Err(SparkError::unsupported("A sort order inside an expression")),
            ir::Expr::Lambda { .. } => Err(SparkError::unsupported("A lambda outside a higher-order function")),
        }
    }

    /// `DATE'2024-01-01'`: the text in its type, in the session time zone.
    fn typed_literal(&self, data_type: &DataType, text: &str) -> Result<Resolved, SparkError> {
        let written = Typed::literal(ScalarValue::Utf8(Some(text.to_string())));
        let value = cast(written, data_type, true, &self.context).and_then(|cast| self.fold(&cast))?;
        if value.is_null() {
            return Err(errors::invalid_typed_literal(&sql_name(data_type), text));
        }
        Ok(Resolved::value(Typed::literal(value.clone()), names::literal(&value)))
    }

    /// As [`Analyzer::resolve`], for a place where no generator may stand.
    pub fn resolve_scalar(&self, expr: &ir::Expr, scope: &Scope, place: &str) -> Result<Resolved, SparkError> {
        let outside = |sql: &str| errors::unsupported_generator("OUTSIDE_SELECT", format!("'{place} {sql}"));
        match self.resolve(expr, scope) {
            Ok(resolved) if resolved.generator.is_some() => Err(outside(&resolved.sql)),
            // Where no generator may stand at all, that one is nested is not the point.
            Err(e) if place != PROJECT && e.condition() == Some("UNSUPPORTED_GENERATOR.NESTED_IN_EXPRESSIONS") => {
                Err(outside(e.parameters().get("expression").map_or("", |sql| sql.trim_matches('"'))))
            }
            result => result,
        }
    }

    fn resolve_attribute(&self, attribute: &ir::Attribute, scope: &Scope) -> Result<Resolved, SparkError> {
        let name = &attribute.name;
        if attribute.plan_id == Some(INTERNAL) {
            let own = scope.first.iter().map(|(a, _)| a);
            let column = own.chain(scope.output).find(|a| name.first() == Some(&a.column));
            return column.map(Resolved::column).ok_or_else(|| errors::unresolved_column(name, &scope.names()));
        }
        if let Some(id) = attribute.plan_id {
            return match self.names.find_in_node(id, name, scope.nodes) {
                Ok(Some(found)) => self.take_fields(&scope.current(found)),
                Ok(None) => Err(errors::cannot_resolve_dataframe_column(name)),
                Err(error) if error.condition() == Some("CANNOT_RESOLVE_DATAFRAME_COLUMN") => {
                    self.outer_node_reference(id, name)?.ok_or(error)
                }
                Err(error) => Err(error),
            };
        }
        if let Some(variable) = self.lambda_variable(name, scope)? {
            return Ok(variable);
        }
        if let Some(first) = self.first_value(name, scope)? {
            return Ok(first);
        }
        if !attribute.metadata
            && let Some(found) = self.names.find(name, scope.output)?
        {
            return self.take_fields(&found);
        }
        if let Some(found) = self.names.find(name, scope.hidden)? {
            return self.take_fields(&found);
        }
        if let Some(found) = self.names.find(name, &self.wanted_windows())? {
            return self.take_fields(&found);
        }
        if let Some(value) = self.lateral_alias(name, scope)? {
            return Ok(value);
        }
        if let Some(outer) = self.outer_reference(name)? {
            return Ok(outer);
        }
        if let [single] = name.as_slice()
            && let Some(value) = self.function_without_parentheses(single)?
        {
            return Ok(value);
        }
        Err(errors::unresolved_column(name, &scope.names()))
    }

    /// `HAVING` and `ORDER BY` see the values of the select list before the columns of its input.
    fn first_value(&self, name: &[String], scope: &Scope) -> Result<Option<Resolved>, SparkError> {
        if scope.first.is_empty() {
            return Ok(None);
        }
        let attributes: Vec<Attribute> = scope.first.iter().map(|(a, _)| a.clone()).collect();
        let Some(found) = self.names.find(name, &attributes)? else { return Ok(None) };
        let value = scope.first.iter().find(|(a, _)| a.column == found.attribute.column).map(|(_, r)| r.clone());
        match value {
            Some(value) => self.fields_of(value, &found.fields).map(Some),
            None => Ok(None),
        }
    }

    /// An earlier alias of the same select list.
    fn lateral_alias(&self, name: &[String], scope: &Scope) -> Result<Option<Resolved>, SparkError> {
        let (Some(aliases), Some((head, fields))) = (scope.aliases, name.split_first()) else { return Ok(None) };
        let aliases = aliases.borrow();
        let mut fitting = aliases.iter().filter(|(alias, _)| self.names.same(alias, head));
        let Some((_, value)) = fitting.next() else { return Ok(None) };
        let more = fitting.count();
        if more > 0 {
            let shown = errors::quoted(name);
            return Err(errors::analysis(
                "AMBIGUOUS_LATERAL_COLUMN_ALIAS",
                "42702",
                format!("Lateral column alias {shown} is ambiguous and has {} matches.", more + 1),
            )
            .with("name", shown)
            .with("n", (more + 1).to_string()));
        }
        let mut value = value.clone();
        value.name = Some(head.clone());
        value.sql = format!("lateralAliasReference({head})");
        value.attribute = None;
        self.fields_of(value, fields).map(Some)
    }

    /// The column that was found, with its fields taken out.
    pub fn take_fields(&self, found: &Found) -> Result<Resolved, SparkError> {
        self.fields_of(Resolved::column(found.attribute), &found.fields)
    }

    /// `value.f.g`; the last field names the result.
    pub fn fields_of(&self, value: Resolved, fields: &[String]) -> Result<Resolved, SparkError> {
        let Some(last) = fields.last() else { return Ok(value) };
        let mut value = value;
        for field in fields {
            value = self.field_of(value, field)?;
        }
        value.name = Some(last.clone());
        Ok(value)
    }

    fn resolve_alias(
        &self,
        expr: &ir::Expr,
        names: &[String],
        metadata: Option<&str>,
        scope: &Scope,
    ) -> Result<Resolved, SparkError> {
        let mut resolved = self.resolve(expr, scope)?;
        if let Some(generator) = &mut resolved.generator {
            generator.names = names.to_vec();
            return Ok(resolved);
        }
        let [name] = names else {
            return Err(errors::unsupported_generator("NOT_GENERATOR", resolved.sql));
        };
        if let Some(text) = metadata {
            resolved.metadata = super::columns::parse_metadata(text)?;
        }
        resolved.name = Some(name.clone());
        resolved.sql = format!("{} AS {name}", resolved.sql);
        resolved.attribute = None;
        Ok(resolved)
    }

    fn resolve_cast(
        &self,
        expr: &ir::Expr,
        to: &DataType,
        try_cast: bool,
        scope: &Scope,
    ) -> Result<Resolved, SparkError> {
        let child = self.no_generator(self.resolve(expr, scope)?, |sql| names::cast(sql, to, try_cast))?;
        let sql = names::cast(&strip_alias(&child), to, try_cast);
        // Spark names a cast column after the column.
        let name = child.name.clone();
        let typed = cast(child.typed, to, try_cast, &self.context).map_err(|e| self.readable(e, scope))?;
        Ok(Resolved { name, ..Resolved::value(typed, sql) })
    }

    /// Fails if an operand is a generator; `whole` shows the expression around it.
    pub fn no_generator(&self, operand: Resolved, whole: impl FnOnce(&str) -> String) -> Result<Resolved, SparkError> {
        match operand.generator {
            Some(_) => Err(errors::unsupported_generator("NESTED_IN_EXPRESSIONS", whole(&operand.sql))),
            None => Ok(operand),
        }
    }

    /// A function that SQL text may write without parentheses.
    fn function_without_parentheses(&self, name: &str) -> Result<Option<Resolved>, SparkError> {
        const NAMES: [&str; 8] = [
            "current_date",
            "current_timestamp",
            "current_user",
            "user",
            "session_user",
            "current_time",
            "localtimestamp",
            "current_catalog",
        ];
        let lower = name.to_ascii_lowercase();
        if !NAMES.contains(&lower.as_str()) {
            return Ok(None);
        }
        match lookup(&lower) {
            Some(Function::Scalar(build)) => {
                let typed = build(&lower, &[], &self.context)?;
                Ok(Some(Resolved::value(typed, format!("{lower}()"))))
            }
            _ => Ok(None),
        }
    }

    /// Puts the names users know into the text of an error that quotes internal ones.
    pub fn readable(&self, error: SparkError, scope: &Scope) -> SparkError {
        let names: Vec<(&str, &str)> =
            scope.output.iter().chain(scope.hidden).map(|a| (a.column.as_str(), a.name.as_str())).collect();
        error.map_text(|text| replace_internal(text, &names))
    }

    /// The value of a constant expression.
    ///
    /// # Errors
    /// If it depends on a row or its computation fails.
    pub fn fold(&self, typed: &Typed) -> Result<ScalarValue, SparkError> {
        if let Some(value) = typed.as_literal() {
            return Ok(value.clone());
        }
        let evaluate = || -> Result<ScalarValue, DataFusionError> {
            let schema = DFSchema::empty();
            let physical = create_physical_expr(&typed.expr, &schema, &Default::default(), &Default::default())?;
            let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(1));
            let row = arrow::array::RecordBatch::try_new_with_options(Schema::empty().into(), vec![], &options)?;
            let values = physical.evaluate(&row)?.into_array(1)?;
            ScalarValue::try_from_array(&values, 0)
        };
        evaluate().map_err(planner_error)
    }

    /// The constant an expression stands for, resolved without any columns; an error if it is none.
    pub fn constant(&self, expr: &ir::Expr) -> Result<ScalarValue, SparkError> {
        let resolved = self.resolve(expr, &Scope::default())?;
        self.fold(&resolved.typed)
    }

    /// Type mismatch text of a type.
    pub fn type_name(data_type: &DataType) -> String {
        sql_name(data_type)
    }
}

/// The text of an operand without its alias.
pub fn strip_alias(resolved: &Resolved) -> String {
    match &resolved.name {
        Some(name) => resolved.sql.strip_suffix(&format!(" AS {name}")).unwrap_or(&resolved.sql).to_string(),
        None => resolved.sql.clone(),
    }
}

fn invalid_star() -> SparkError {
    errors::analysis("INVALID_USAGE_OF_STAR_OR_REGEX", "42000", "Invalid usage of '*' or regular expression here.")
}

/// Replaces `#17` by the name of that column.
fn replace_internal(text: &str, names: &[(&str, &str)]) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('#') {
        let (before, tail) = rest.split_at(at);
        result.push_str(before);
        let digits = tail[1..].bytes().take_while(u8::is_ascii_digit).count();
        let (token, after) = tail.split_at(1 + digits);
        result.push_str(names.iter().find(|(column, _)| *column == token).map_or(token, |(_, name)| name));
        rest = after;
    }
    result.push_str(rest);
    result
}

/// Whether an expression holds an aggregate call (not one over a window).
pub fn has_aggregate(expr: &Expr) -> bool {
    expr.exists(|e| Ok(matches!(e, Expr::AggregateFunction(_)))).unwrap_or(false)
}

/// Whether an expression holds a call over a window.
pub fn has_window(expr: &Expr) -> bool {
    expr.exists(|e| Ok(matches!(e, Expr::WindowFunction(_)))).unwrap_or(false)
}

/// Whether an expression holds a subquery.
pub fn has_subquery(expr: &Expr) -> bool {
    expr.exists(|e| Ok(matches!(e, Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_)))).unwrap_or(false)
}

/// Names of the unqualified columns in an expression.
pub fn columns_of(expr: &Expr) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    // The closure never fails.
    let _ = expr.apply(|e| {
        if let Expr::Column(c) = e
            && !found.contains(&c.name)
        {
            found.push(c.name.clone());
        }
        if let Expr::ScalarSubquery(s)
        | Expr::InSubquery(datafusion::logical_expr::expr::InSubquery { subquery: s, .. }) = e
        {
            collect_outer(s, &mut found);
        }
        if let Expr::Exists(exists) = e {
            collect_outer(&exists.subquery, &mut found);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

fn collect_outer(subquery: &datafusion::logical_expr::logical_plan::Subquery, found: &mut Vec<String>) {
    for outer in &subquery.outer_ref_columns {
        if let Expr::OuterReferenceColumn(_, c) = outer
            && !found.contains(&c.name)
        {
            found.push(c.name.clone());
        }
    }
}
