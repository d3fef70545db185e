//! Calls of functions: lookup, star arguments, `DISTINCT` and `FILTER`, aggregates, generators, higher-order functions.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::Expr;
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;
use millstream_formats::types;
use millstream_functions::arguments::wrong_count;
use millstream_functions::{AggregateCall, Function, Typed, cast, lookup};

use super::expression::{Generator, Resolved, has_aggregate, strip_alias};
use super::rel::planner_error;
use super::scope::Scope;
use super::{Analyzer, errors, named, names};
use crate::ir;

impl Analyzer<'_> {
    /// Resolves a call.
    pub fn resolve_call(&self, call: &ir::Function, scope: &Scope) -> Result<Resolved, SparkError> {
        let lower = builtin_name(&call.name);
        if let Some(call) = with_parsed_stars(call)? {
            return self.resolve_call(&call, scope);
        }
        if call.arguments.iter().any(|a| matches!(a, ir::Expr::NamedArgument { .. })) {
            return self.resolve_call(&named::by_position(&lower, call)?, scope);
        }
        match lower.as_str() {
            "window" => return self.resolve_time_window(call, scope),
            "session_window" => return self.resolve_session_window(call, scope),
            "window_time" => return self.resolve_window_time(call, scope),
            "grouping" | "grouping_id" => return self.resolve_grouping(&lower, call, scope),
            "not" | "!" if is_subquery_of_columns(&call.arguments) => {
                return Err(SparkError::unsupported("NOT IN over a subquery of several columns"));
            }
            "outer" => return self.resolve_outer(call),
            "struct" => return self.resolve_struct(call, scope),
            "input_file_name" | "input_file_block_start" | "input_file_block_length" => {
                if let Some(found) = self.resolve_input_file(&lower, call, scope)? {
                    return Ok(found);
                }
            }
            _ => {}
        }
        if let Some(to) = cast_function(&lower) {
            return self.resolve_cast_function(call, &to, scope);
        }
        if let Some((name, function)) = find_function(&lower) {
            return match function {
                Function::Scalar(build) => {
                    let arguments = self.arguments(call, scope)?;
                    let mut typed = typed_of(&arguments);
                    if matches!(name, "from_json" | "from_csv" | "from_xml") {
                        self.read_schema(&mut typed)?;
                    }
                    let typed = build(name, &typed, &self.context).map_err(|e| self.readable(e, scope))?;
                    reject_distinct(call, name)?;
                    Ok(Resolved::value(typed, call_text(&lower, call, &arguments)))
                }
                Function::Window(build) => {
                    let arguments = self.arguments(call, scope)?;
                    let typed =
                        build(name, &typed_of(&arguments), &self.context).map_err(|e| self.readable(e, scope))?;
                    let typed = with_null_treatment(typed, call.ignore_nulls)?;
                    Ok(Resolved::value(typed, call_text(&lower, call, &arguments)))
                }
                Function::Aggregate(_) => self.resolve_aggregate(name, &lower, call, scope),
                Function::Generator(build) => {
                    let arguments = self.arguments(call, scope)?;
                    let typed =
                        build(name, &typed_of(&arguments), &self.context).map_err(|e| self.readable(e, scope))?;
                    let sql = call_text(&lower, call, &arguments);
                    let generator = Generator { outer: lower.ends_with("_outer"), names: Vec::new() };
                    Ok(Resolved { generator: Some(generator), ..Resolved::value(typed, sql) })
                }
                Function::HigherOrder(higher) => self.resolve_higher_order(&higher, name, call, scope),
            };
        }
        if self.catalog.python_function(&call.name).is_some() {
            return Err(SparkError::unsupported(format!("The Python user-defined function `{}`", call.name)));
        }
        Err(errors::unresolved_routine(&call.name))
    }

    /// Resolves arguments; a star among them stands for all columns.
    pub fn arguments(&self, call: &ir::Function, scope: &Scope) -> Result<Vec<Resolved>, SparkError> {
        let mut resolved = Vec::with_capacity(call.arguments.len());
        for argument in &call.arguments {
            match argument {
                ir::Expr::Star(star) => resolved.extend(self.expand_star(star, scope)?),
                ir::Expr::Regex { pattern, plan_id } => resolved.extend(self.expand_regex(pattern, *plan_id, scope)?),
                other => resolved.push(self.resolve(other, scope)?),
            }
        }
        if resolved.iter().any(|r| r.generator.is_some()) {
            let text = call_text(&builtin_name(&call.name), call, &resolved);
            return Err(errors::unsupported_generator("NESTED_IN_EXPRESSIONS", text));
        }
        Ok(resolved)
    }

    /// `int(x)`: a cast that names its column after `x`.
    fn resolve_cast_function(&self, call: &ir::Function, to: &DataType, scope: &Scope) -> Result<Resolved, SparkError> {
        let arguments = self.arguments(call, scope)?;
        let [value] = arguments.as_slice() else {
            return Err(wrong_count(&call.name, "1", arguments.len()));
        };
        let typed = cast(value.typed.clone(), to, false, &self.context).map_err(|e| self.readable(e, scope))?;
        Ok(Resolved { name: value.name.clone(), ..Resolved::value(typed, strip_alias(value)) })
    }

    /// `input_file_name()` and its kin, where the rows come from files: fields of the hidden column of the files. None elsewhere:
    /// the functions of these names then answer that there is no file.
    fn resolve_input_file(
        &self,
        lower: &str,
        call: &ir::Function,
        scope: &Scope,
    ) -> Result<Option<Resolved>, SparkError> {
        let of_files =
            |a: &crate::resolved::Attribute| a.name == "_metadata" && matches!(a.data_type, DataType::Struct(_));
        if !call.arguments.is_empty() || !scope.hidden.iter().any(of_files) {
            return Ok(None);
        }
        let field = match lower {
            "input_file_name" => "file_path",
            "input_file_block_start" => "file_block_start",
            _ => "file_block_length",
        };
        let found = self.resolve(&ir::Expr::attribute(["_metadata", field]), scope)?;
        Ok(Some(Resolved::value(found.typed, call_text(lower, call, &[]))))
    }

    /// Puts a null of the type in place of the text of a schema.
    fn read_schema(&self, arguments: &mut [Typed]) -> Result<(), SparkError> {
        let Some(schema) = arguments.get_mut(1).filter(|a| a.data_type == DataType::Utf8) else { return Ok(()) };
        let ScalarValue::Utf8(Some(text)) = self.fold(schema)? else { return Ok(()) };
        let data_type = if text.trim_start().starts_with(['{', '"']) {
            types::from_json(&text)?
        } else {
            crate::sql::parse_ddl(&text)?
        };
        *schema = Typed::literal(ScalarValue::try_new_null(&data_type).map_err(planner_error)?);
        Ok(())
    }

    fn resolve_aggregate(
        &self,
        name: &str,
        lower: &str,
        call: &ir::Function,
        scope: &Scope,
    ) -> Result<Resolved, SparkError> {
        let Some(Function::Aggregate(build)) = lookup(name) else { return Err(errors::unresolved_routine(name)) };
        let one = [ir::Expr::Literal(ScalarValue::Int32(Some(1)))];
        let plain_star = |e: &ir::Expr| matches!(e, ir::Expr::Star(s) if s.target.is_none() && s.except.is_empty());
        let counts_rows =
            lower == "count" && !call.distinct && matches!(call.arguments.as_slice(), [star] if plain_star(star));
        let call_of_one = ir::Function { arguments: one.to_vec(), ..call.clone() };
        let call = if counts_rows { &call_of_one } else { call };

        let inner = Scope { before_over: false, ..scope.clone() };
        let arguments = self.arguments(call, &inner)?;
        if !scope.before_over && arguments.iter().any(|a| has_aggregate(&a.typed.expr)) {
            return Err(errors::nested_aggregate());
        }
        let mut text = call_text(lower, call, &arguments);
        if let Some(volatile) = arguments.iter().find(|a| is_nondeterministic(&a.typed.expr)) {
            let _ = volatile;
            return Err(errors::nondeterministic_aggregate(&text));
        }
        let mut within_group = Vec::with_capacity(call.within_group.len());
        for order in &call.within_group {
            let key = self.resolve_scalar(&order.expr, scope, "Aggregate")?;
            text.push_str(&names::within_group(lower, &strip_alias(&key), order.ascending, order.nulls_first));
            within_group.push((key.typed, order.ascending, order.nulls_first));
        }
        let aggregate = AggregateCall {
            arguments: typed_of(&arguments),
            distinct: call.distinct,
            ignore_nulls: call.ignore_nulls.unwrap_or(false),
            within_group,
        };
        let mut typed = build(name, &aggregate, &self.context).map_err(|e| self.readable(e, scope))?;
        if let Some(filter) = &call.filter {
            let filter = self.resolve_condition(filter, scope)?;
            text.push_str(&format!(" FILTER (WHERE {})", strip_alias(&filter)));
            typed = with_filter(typed, &filter.typed.expr)?;
        }
        Ok(Resolved::value(typed, text))
    }

    /// `struct(a, b + 1)`: fields are named after columns, others `col2` by position.
    fn resolve_struct(&self, call: &ir::Function, scope: &Scope) -> Result<Resolved, SparkError> {
        let arguments = self.arguments(call, scope)?;
        let text = call_text("struct", call, &arguments);
        let named = arguments.iter().enumerate().flat_map(|(i, a)| {
            let name = a.name.clone().unwrap_or_else(|| format!("col{}", i + 1));
            [Typed::literal(ScalarValue::Utf8(Some(name))), a.typed.clone()]
        });
        let typed = self.build("named_struct", &named.collect::<Vec<_>>())?;
        Ok(Resolved::value(typed, text))
    }

    /// Builds a scalar function that the analyzer itself needs.
    pub fn build(&self, name: &str, arguments: &[Typed]) -> Result<Typed, SparkError> {
        match lookup(name) {
            Some(Function::Scalar(build)) => build(name, arguments, &self.context),
            _ => Err(errors::unresolved_routine(name)),
        }
    }
}

/// The name to look up: without the qualifiers of built-in functions, in lower case.
pub fn builtin_name(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    ["system.builtin.", "builtin."].iter().find_map(|p| lower.strip_prefix(p)).unwrap_or(&lower).to_string()
}

/// The call with `expr("*")` among its arguments parsed; none if there is no such argument.
fn with_parsed_stars(call: &ir::Function) -> Result<Option<ir::Function>, SparkError> {
    let is_star = |e: &ir::Expr| matches!(e, ir::Expr::SqlText(text) if text.trim_end().ends_with('*'));
    if !call.arguments.iter().any(is_star) {
        return Ok(None);
    }
    let parse = |e: &ir::Expr| match e {
        ir::Expr::SqlText(text) if is_star(e) => crate::sql::parse_expression(text),
        other => Ok(other.clone()),
    };
    let arguments = call.arguments.iter().map(parse).collect::<Result<_, _>>()?;
    Ok(Some(ir::Function { arguments, ..call.clone() }))
}

/// `(a, b) IN (SELECT …)`, whose negation differs from the negation of a test of existence where there are nulls.
fn is_subquery_of_columns(arguments: &[ir::Expr]) -> bool {
    matches!(arguments, [ir::Expr::Subquery { kind: ir::SubqueryKind::In(values), .. }] if values.len() > 1)
}

/// The type to which the function of this name casts.
fn cast_function(lower: &str) -> Option<DataType> {
    Some(match lower {
        "boolean" => DataType::Boolean,
        "tinyint" => DataType::Int8,
        "smallint" => DataType::Int16,
        "int" => DataType::Int32,
        "bigint" => DataType::Int64,
        "float" => DataType::Float32,
        "double" => DataType::Float64,
        "decimal" => DataType::Decimal128(10, 0),
        "date" => DataType::Date32,
        "timestamp" => types::timestamp(),
        "binary" => DataType::Binary,
        "string" => DataType::Utf8,
        _ => return None,
    })
}

/// The function of this name, and the name under which it is known: `explode_outer` is `explode`.
fn find_function(lower: &str) -> Option<(&str, Function)> {
    let lower = match lower {
        "<<" => "shiftleft",
        ">>" => "shiftright",
        ">>>" => "shiftrightunsigned",
        other => other,
    };
    if let Some(function) = lookup(lower) {
        return Some((lower, function));
    }
    let stem = lower.strip_suffix("_outer")?;
    match lookup(stem)? {
        generator @ Function::Generator(_) => Some((stem, generator)),
        _ => None,
    }
}

fn reject_distinct(call: &ir::Function, name: &str) -> Result<(), SparkError> {
    let clause = if call.distinct {
        "DISTINCT"
    } else if call.filter.is_some() {
        "FILTER clause"
    } else {
        return Ok(());
    };
    let shown = errors::quoted_one(name);
    Err(errors::analysis(
        "INVALID_SQL_SYNTAX.FUNCTION_WITH_UNSUPPORTED_SYNTAX",
        "42000",
        format!("Invalid SQL syntax: The function {shown} does not support {clause}."),
    )
    .with("prettyName", shown)
    .with("syntax", clause))
}

/// The values of resolved arguments.
pub fn typed_of(arguments: &[Resolved]) -> Vec<Typed> {
    arguments.iter().map(|a| a.typed.clone()).collect()
}

/// The text of a call.
pub fn call_text(lower: &str, call: &ir::Function, arguments: &[Resolved]) -> String {
    let texts: Vec<String> =
        arguments.iter().map(|a| if lower == "struct" { a.sql.clone() } else { strip_alias(a) }).collect();
    names::call(lower, &texts, call.distinct)
}

/// Puts `FILTER` on the aggregate calls of an expression.
fn with_filter(typed: Typed, filter: &Expr) -> Result<Typed, SparkError> {
    let expr = typed
        .expr
        .transform_up(|e| {
            Ok(match e {
                Expr::AggregateFunction(mut call) => {
                    call.params.filter = Some(Box::new(filter.clone()));
                    Transformed::yes(Expr::AggregateFunction(call))
                }
                other => Transformed::no(other),
            })
        })
        .map_err(planner_error)?
        .data;
    Ok(Typed { expr, ..typed })
}

/// Puts `IGNORE NULLS` on a window function.
fn with_null_treatment(typed: Typed, ignore_nulls: Option<bool>) -> Result<Typed, SparkError> {
    use datafusion::logical_expr::expr::NullTreatment;
    let Some(ignore) = ignore_nulls else { return Ok(typed) };
    let treatment = if ignore { NullTreatment::IgnoreNulls } else { NullTreatment::RespectNulls };
    let expr = typed
        .expr
        .transform_up(|e| {
            Ok(match e {
                Expr::WindowFunction(mut call) => {
                    call.params.null_treatment = Some(treatment);
                    Transformed::yes(Expr::WindowFunction(call))
                }
                other => Transformed::no(other),
            })
        })
        .map_err(planner_error)?
        .data;
    Ok(Typed { expr, ..typed })
}

/// Whether an expression may differ between rows with the same values (`rand`); the time of a batch does not.
pub fn is_nondeterministic(expr: &Expr) -> bool {
    const PER_BATCH: [&str; 8] = [
        "current_timestamp",
        "now",
        "current_date",
        "curdate",
        "localtimestamp",
        "current_time",
        "unix_timestamp",
        "current_timezone",
    ];
    expr.exists(|e| {
        Ok(matches!(e, Expr::ScalarFunction(call)
            if call.func.signature().volatility == datafusion::logical_expr::Volatility::Volatile
                && !PER_BATCH.contains(&call.func.name())))
    })
    .unwrap_or(false)
}
