//! Leaves: tables, views, data sources, rows that came with the plan, `VALUES`, `range`, table functions, SQL text.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::{Column, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{EmptyRelation, Expr, LogicalPlan, TableScanBuilder, Values};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;
use millstream_functions::coerce::{cast_to, common_type};
use millstream_functions::{Function, Typed, lookup};

use super::expression::Resolved;
use super::rel::{Rel, alias, fresh_name, planner_error, project_plan};
use super::scope::Scope;
use super::select::{generate, generator_attributes};
use super::{Analyzer, errors};
use crate::catalog::{METADATA_COLUMN, Table};
use crate::ir::{self, CatalogQuery, DataSourceRead, Options, Relation, Statement};
use crate::local::LocalTable;
use crate::resolved::{Attribute, ResolvedPlan};

/// Parameters of one SQL text.
pub type Parameters = (BTreeMap<String, ir::Expr>, Vec<ir::Expr>);

/// One row without columns.
pub fn one_row() -> Result<Rel, SparkError> {
    let schema = Arc::new(datafusion::common::DFSchema::empty());
    let plan = LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: true, schema });
    Ok(Rel::leaf(plan, vec![], false))
}

/// Rows that came with the plan.
pub fn local(batches: &[RecordBatch], schema: &SchemaRef) -> Result<Rel, SparkError> {
    // Column names of a local relation need not be unique; internal ones are.
    let internal: Vec<String> = schema.fields().iter().map(|_| fresh_name()).collect();
    let renamed = |fields: &arrow::datatypes::Fields| -> SchemaRef {
        let fields = fields.iter().zip(&internal).map(|(f, name)| f.as_ref().clone().with_name(name));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    };
    let table_schema = renamed(schema.fields());
    let batches = batches
        .iter()
        .map(|b| {
            let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(b.num_rows()));
            RecordBatch::try_new_with_options(Arc::clone(&table_schema), b.columns().to_vec(), &options)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let table = LocalTable::try_new(table_schema, batches).map_err(planner_error)?;
    let mut rel = scan(Arc::new(table), &[], false)?;
    for (attribute, field) in rel.output.iter_mut().zip(schema.fields()) {
        attribute.name.clone_from(field.name());
    }
    Ok(rel)
}

/// A table as a relation; its columns are qualified by `qualifier`, metadata columns are hidden.
pub fn scan(provider: Arc<dyn TableProvider>, qualifier: &[String], streaming: bool) -> Result<Rel, SparkError> {
    let table = TableReference::bare(fresh_name());
    let schema = provider.schema();
    let plan = TableScanBuilder::new(table.clone(), provider_as_source(provider)).build().map_err(planner_error)?;
    let (mut output, mut hidden, mut exprs) = (Vec::new(), Vec::new(), Vec::new());
    for field in schema.fields() {
        let mut metadata = field.metadata().clone();
        let is_hidden = metadata.remove(METADATA_COLUMN).is_some();
        let attribute = Attribute {
            column: fresh_name(),
            name: field.name().clone(),
            data_type: field.data_type().clone(),
            nullable: field.is_nullable(),
            metadata,
            qualifier: qualifier.to_vec(),
        };
        let source = Expr::Column(Column::new(Some(table.clone()), field.name()));
        exprs.push(alias(source, &attribute.column, &attribute.metadata));
        if is_hidden { hidden.push(attribute) } else { output.push(attribute) }
    }
    let plan = project_plan(LogicalPlan::TableScan(plan), exprs)?;
    Ok(Rel { hidden, ..Rel::leaf(plan, output, streaming) })
}

/// `spark.range`: `id: bigint not null`.
pub fn range(start: i64, end: i64, step: i64) -> Result<Rel, SparkError> {
    if step == 0 {
        return Err(SparkError::plain(
            millstream_formats::condition::ExceptionClass::IllegalArgument,
            "requirement failed: step (0) cannot be 0",
        ));
    }
    scan(Arc::new(crate::range::RangeTable::new(start, end, step)), &[], false)
}

/// Parses an expression.
pub fn parse_expression(text: &str) -> Result<ir::Expr, SparkError> {
    crate::sql::parse_expression(text)
}

impl Analyzer<'_> {
    /// A table, view or common table expression by name.
    pub fn table(&self, name: &[String], options: &Options, streaming: bool) -> Result<Rel, SparkError> {
        if let [single] = name {
            let tables = self.tables.borrow();
            if let Some((_, plan)) = tables.iter().rev().find(|(n, _)| self.names.same(n, single)) {
                let rel = Rel::from_resolved(plan)?;
                return Ok(qualified(rel, std::slice::from_ref(single)));
            }
        }
        match self.catalog.table(name, options, streaming)? {
            Some((full_name, table)) => self.open(table, &full_name),
            None => Err(errors::table_not_found(name)),
        }
    }

    fn open(&self, table: Table, qualifier: &[String]) -> Result<Rel, SparkError> {
        match table {
            Table::View(plan) => Ok(qualified(self.resolved(&plan)?, qualifier)),
            Table::Static(provider) => scan(provider, qualifier, false),
            Table::Stream(table) => scan(table, qualifier, true),
        }
    }

    /// A data source.
    pub fn data_source(&self, read: &DataSourceRead, plan_id: Option<i64>) -> Result<Rel, SparkError> {
        self.open(self.catalog.data_source(read, plan_id)?, &[])
    }

    /// An answer of the catalog.
    pub fn catalog_query(&self, query: &CatalogQuery) -> Result<Rel, SparkError> {
        scan(self.catalog.query(query)?, &[], false)
    }

    /// `VALUES`.
    pub fn values(&self, rows: &[Vec<ir::Expr>]) -> Result<Rel, SparkError> {
        let width = rows.first().map_or(0, Vec::len);
        let mut resolved: Vec<Vec<Typed>> = Vec::with_capacity(rows.len());
        for row in rows {
            if row.len() != width {
                return Err(errors::analysis(
                    "INVALID_INLINE_TABLE.NUM_COLUMNS_MISMATCH",
                    "42000",
                    format!(
                        "Invalid inline table. Inline table expected {width} columns but found {} columns in row.",
                        row.len()
                    ),
                ));
            }
            let scope = Scope::default();
            resolved.push(
                row.iter()
                    .map(|e| self.resolve_scalar(e, &scope, "Values").map(|r| r.typed))
                    .collect::<Result<_, _>>()?,
            );
        }
        let mut output = Vec::with_capacity(width);
        for i in 0..width {
            let types: Vec<DataType> = resolved.iter().filter_map(|r| r.get(i)).map(|t| t.data_type.clone()).collect();
            let Some(data_type) = common_type(&types, self.context.ansi) else {
                return Err(errors::analysis(
                    "INVALID_INLINE_TABLE.INCOMPATIBLE_TYPES_IN_INLINE_TABLE",
                    "42000",
                    format!(
                        "Invalid inline table. Found incompatible types in the column `col{}` for inline table.",
                        i + 1
                    ),
                ));
            };
            for row in &mut resolved {
                if let Some(value) = row.get_mut(i) {
                    *value = cast_to(value.clone(), &data_type, &self.context)?;
                }
            }
            let nullable = resolved.iter().filter_map(|r| r.get(i)).any(|t| t.nullable);
            output.push(Attribute {
                column: fresh_name(),
                name: format!("col{}", i + 1),
                data_type,
                nullable,
                metadata: Default::default(),
                qualifier: vec![],
            });
        }
        let fields: Vec<Field> =
            output.iter().map(|a| Field::new(&a.column, a.data_type.clone(), a.nullable)).collect();
        let schema = datafusion::common::DFSchema::try_from(Schema::new(fields)).map_err(planner_error)?;
        let values = resolved.into_iter().map(|row| row.into_iter().map(|t| t.expr).collect()).collect();
        let plan = LogicalPlan::Values(Values { schema: Arc::new(schema), values });
        Ok(Rel::leaf(plan, output, false))
    }

    /// A table function.
    pub fn table_function(&self, name: &str, arguments: &[ir::Expr]) -> Result<Rel, SparkError> {
        let lower = super::call::builtin_name(name);
        if lower == "range" {
            return self.range_function(arguments);
        }
        let stem = lower.strip_suffix("_outer").unwrap_or(&lower);
        if !matches!(lookup(&lower).or_else(|| lookup(stem)), Some(Function::Generator(_))) {
            return Err(errors::analysis(
                "UNRESOLVABLE_TABLE_VALUED_FUNCTION",
                "42883",
                format!(
                    "Could not resolve {} to a table-valued function.\nPlease make sure that {} is defined as a table-valued \
                     function and that all required parameters are provided correctly.",
                    errors::quoted_one(name),
                    errors::quoted_one(name)
                ),
            )
            .with("name", errors::quoted_one(name)));
        }
        let rel = one_row()?;
        let call = ir::Expr::call(name, arguments.to_vec());
        let resolved = self.resolve(&call, &Scope::of(&rel))?;
        let outer = resolved.generator.as_ref().is_some_and(|g| g.outer);
        let attributes = generator_attributes(&resolved, &[], outer)?;
        let plan = generate(rel.plan.clone(), resolved.typed.expr, outer, &attributes)?;
        Ok(Rel::leaf(plan, attributes, false))
    }

    fn range_function(&self, arguments: &[ir::Expr]) -> Result<Rel, SparkError> {
        let mut numbers = Vec::with_capacity(arguments.len());
        for argument in arguments {
            let value = self.constant(argument)?.cast_to(&DataType::Int64).map_err(planner_error)?;
            match value {
                ScalarValue::Int64(Some(n)) => numbers.push(n),
                _ => return Err(errors::analysis("UNEXPECTED_INPUT_TYPE", "42K09", "A bound of range is null.")),
            }
        }
        match numbers.as_slice() {
            [end] => range(0, *end, 1),
            [start, end] => range(*start, *end, 1),
            [start, end, step] | [start, end, step, _] => range(*start, *end, *step),
            _ => Err(millstream_functions::arguments::wrong_count("range", "[1, 2, 3, 4]", numbers.len())),
        }
    }

    /// SQL text.
    pub fn sql(
        &self,
        text: &str,
        named: &BTreeMap<String, ir::Expr>,
        positional: &[ir::Expr],
    ) -> Result<Rel, SparkError> {
        let statement = crate::sql::parse_statement(text)?;
        match statement {
            Statement::Query(relation) => {
                self.parameters.borrow_mut().push((named.clone(), positional.to_vec()));
                let result = self.relation(&relation);
                self.parameters.borrow_mut().pop();
                result
            }
            _ => Err(SparkError::unsupported("A statement that is no query inside a query")),
        }
    }

    /// The value of a parameter of the SQL text being resolved.
    pub fn parameter(&self, parameter: &ir::Parameter) -> Result<ir::Expr, SparkError> {
        let parameters = self.parameters.borrow();
        let found = parameters.last().and_then(|(named, positional)| match parameter {
            ir::Parameter::Named(name) => named.get(name),
            ir::Parameter::Position(at) => positional.get(*at),
        });
        found.cloned().ok_or_else(|| {
            let name = match parameter {
                ir::Parameter::Named(name) => name.clone(),
                ir::Parameter::Position(at) => format!("_{at}"),
            };
            errors::analysis(
                "UNBOUND_SQL_PARAMETER",
                "42P02",
                format!("Found the unbound parameter: {name}. Please, fix `args` and provide a mapping of the parameter to either a SQL literal or collection constructor functions such as `map()`, `array()`, `struct()`."),
            )
            .with("name", name)
        })
    }

    /// `AS alias (c1, c2)`.
    pub fn subquery_alias(&self, input: &Relation, alias: &str, columns: &[String]) -> Result<Rel, SparkError> {
        let mut rel = self.relation(input)?;
        if !columns.is_empty() {
            rel = self.renamed(rel, columns)?;
        }
        Ok(qualified(rel, std::slice::from_ref(&alias.to_string())))
    }

    /// Common table expressions in scope of a query.
    pub fn with(
        &self,
        tables: &[(String, Vec<String>, Relation)],
        recursive: bool,
        input: &Relation,
    ) -> Result<Rel, SparkError> {
        if recursive {
            return Err(SparkError::unsupported("WITH RECURSIVE"));
        }
        let before = self.tables.borrow().len();
        let result = (|| {
            for (name, columns, relation) in tables {
                let mut rel = self.relation(relation)?;
                if !columns.is_empty() {
                    rel = self.renamed(rel, columns)?;
                }
                let plan: ResolvedPlan = rel.finish()?;
                self.tables.borrow_mut().push((name.clone(), Rc::new(plan)));
            }
            self.relation(input)
        })();
        self.tables.borrow_mut().truncate(before);
        result
    }

    /// Columns under new names, by position.
    pub fn renamed(&self, rel: Rel, names: &[String]) -> Result<Rel, SparkError> {
        if names.len() != rel.output.len() {
            return Err(errors::analysis(
                "ASSIGNMENT_ARITY_MISMATCH",
                "42802",
                format!(
                    "The number of columns or variables assigned or aliased: {} does not match the number of source expressions: {}.",
                    names.len(),
                    rel.output.len()
                ),
            )
            .with("numTarget", names.len().to_string())
            .with("numExpr", rel.output.len().to_string()));
        }
        let items = rel
            .output
            .iter()
            .zip(names)
            .map(|(attribute, name)| {
                let resolved = Resolved::column(attribute);
                let renamed = super::rel::new_attribute(name, &resolved.typed, attribute.metadata.clone());
                (renamed, resolved.typed.expr)
            })
            .collect();
        rel.project(items)
    }
}

/// The relation with its columns under another qualifier; hidden columns lose theirs, as they cannot be reached any more.
fn qualified(mut rel: Rel, qualifier: &[String]) -> Rel {
    for attribute in rel.output.iter_mut().chain(&mut rel.hidden) {
        attribute.qualifier = qualifier.to_vec();
    }
    rel
}
