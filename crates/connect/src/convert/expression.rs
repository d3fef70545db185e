//! Expressions.

use millstream_formats::condition::SparkError;
use millstream_plan::ir::{
    Attribute, Expr, FrameBound, Function, SortOrder, Star, SubqueryKind, SubqueryRelation, WindowFrame,
};
use spark_connect_proto as pb;
use spark_connect_proto::expression as ex;
use spark_connect_proto::expression::ExprType;

use super::{Convert, invalid, name, required};

impl Convert<'_> {
    /// An expression.
    pub fn expr(&self, message: &pb::Expression) -> Result<Expr, SparkError> {
        // The origin of an expression (its line in the program) only serves the client's own messages.
        let pb::Expression { common: _, expr_type } = message;
        match required(expr_type.as_ref(), "the kind of an expression")? {
            ExprType::Literal(literal) => self.literal_expr(literal),
            ExprType::UnresolvedAttribute(attribute) => unresolved_attribute(attribute),
            ExprType::UnresolvedFunction(function) => self.unresolved_function(function),
            ExprType::ExpressionString(ex::ExpressionString { expression }) => Ok(Expr::SqlText(expression.clone())),
            ExprType::UnresolvedStar(star) => unresolved_star(star),
            ExprType::Alias(alias) => self.alias(alias),
            ExprType::Cast(cast) => self.cast(cast),
            ExprType::UnresolvedRegex(ex::UnresolvedRegex { col_name, plan_id }) => {
                Ok(Expr::Regex { pattern: col_name.clone(), plan_id: *plan_id })
            }
            ExprType::SortOrder(order) => Ok(Expr::SortOrder(Box::new(self.sort_order(order)?))),
            ExprType::LambdaFunction(lambda) => self.lambda(lambda),
            ExprType::Window(window) => self.window(window),
            ExprType::UnresolvedExtractValue(extract) => self.extract_value(extract),
            ExprType::UpdateFields(update) => self.update_fields(update),
            ExprType::UnresolvedNamedLambdaVariable(variable) => Ok(Expr::LambdaVariable(lambda_variable(variable))),
            ExprType::CommonInlineUserDefinedFunction(function) => {
                Ok(Expr::PythonUdf(Box::new(self.python_udf(function)?)))
            }
            ExprType::CallFunction(call) => self.call_function(call),
            ExprType::NamedArgumentExpression(argument) => {
                let pb::NamedArgumentExpression { key, value } = argument.as_ref();
                Ok(Expr::NamedArgument { name: key.clone(), value: Box::new(self.boxed_expr(value)?) })
            }
            ExprType::SubqueryExpression(subquery) => self.subquery(subquery),
            ExprType::MergeAction(_) => Err(SparkError::unsupported("MERGE INTO")),
            ExprType::TypedAggregateExpression(_) => Err(SparkError::unsupported("A Scala aggregator")),
            ExprType::DirectShufflePartitionId(_) => Err(SparkError::unsupported("repartitionById")),
            ExprType::Extension(_) => Err(SparkError::unsupported("An expression of a protocol extension")),
        }
    }

    /// Expressions in order.
    pub fn exprs(&self, messages: &[pb::Expression]) -> Result<Vec<Expr>, SparkError> {
        messages.iter().map(|message| self.expr(message)).collect()
    }

    /// An expression that must be there.
    pub fn boxed_expr(&self, message: &Option<Box<pb::Expression>>) -> Result<Expr, SparkError> {
        self.expr(required(message.as_deref(), "an expression")?)
    }

    fn unresolved_function(&self, message: &ex::UnresolvedFunction) -> Result<Expr, SparkError> {
        let ex::UnresolvedFunction {
            function_name,
            arguments,
            is_distinct,
            is_user_defined_function: _,
            is_internal: _,
        } = message;
        Ok(Expr::Function(Function {
            name: function_name.clone(),
            arguments: self.exprs(arguments)?,
            distinct: *is_distinct,
            ..Function::default()
        }))
    }

    fn call_function(&self, message: &pb::CallFunction) -> Result<Expr, SparkError> {
        let pb::CallFunction { function_name, arguments } = message;
        Ok(Expr::Function(Function {
            name: name::parts(function_name)?.join("."),
            arguments: self.exprs(arguments)?,
            ..Function::default()
        }))
    }

    pub(super) fn alias(&self, message: &ex::Alias) -> Result<Expr, SparkError> {
        let ex::Alias { expr, name, metadata } = message;
        if name.is_empty() {
            return Err(invalid("An alias has no name."));
        }
        Ok(Expr::Alias { expr: Box::new(self.boxed_expr(expr)?), names: name.clone(), metadata: metadata.clone() })
    }

    fn cast(&self, message: &ex::Cast) -> Result<Expr, SparkError> {
        use ex::cast::{CastToType, EvalMode};
        let ex::Cast { expr, eval_mode, cast_to_type } = message;
        let to = match required(cast_to_type.as_ref(), "the type of a cast")? {
            CastToType::Type(data_type) => self.data_type(data_type)?,
            CastToType::TypeStr(text) => self.environment.parse_type(text)?,
        };
        let try_cast = match EvalMode::try_from(*eval_mode) {
            Ok(EvalMode::Unspecified | EvalMode::Ansi) => false,
            Ok(EvalMode::Try) => true,
            Ok(EvalMode::Legacy) => return Err(SparkError::unsupported("A cast in legacy mode")),
            Err(_) => return Err(invalid(format!("{eval_mode} is no mode of a cast."))),
        };
        Ok(Expr::Cast { expr: Box::new(self.boxed_expr(expr)?), to, try_cast })
    }

    pub(super) fn sort_order(&self, message: &ex::SortOrder) -> Result<SortOrder, SparkError> {
        use ex::sort_order::{NullOrdering, SortDirection};
        let ex::SortOrder { child, direction, null_ordering } = message;
        let ascending = !matches!(SortDirection::try_from(*direction), Ok(SortDirection::Descending));
        let nulls_first = match NullOrdering::try_from(*null_ordering) {
            Ok(NullOrdering::SortNullsFirst) => true,
            Ok(NullOrdering::SortNullsLast) => false,
            _ => ascending,
        };
        Ok(SortOrder { expr: self.boxed_expr(child)?, ascending, nulls_first })
    }

    /// The keys of a sort.
    pub(super) fn sort_orders(&self, messages: &[ex::SortOrder]) -> Result<Vec<SortOrder>, SparkError> {
        messages.iter().map(|message| self.sort_order(message)).collect()
    }

    fn lambda(&self, message: &ex::LambdaFunction) -> Result<Expr, SparkError> {
        let ex::LambdaFunction { function, arguments } = message;
        let parameters = arguments.iter().map(lambda_variable).collect();
        Ok(Expr::Lambda { body: Box::new(self.boxed_expr(function)?), parameters })
    }

    fn window(&self, message: &ex::Window) -> Result<Expr, SparkError> {
        let ex::Window { window_function, partition_spec, order_spec, frame_spec } = message;
        Ok(Expr::Window {
            function: Box::new(self.boxed_expr(window_function)?),
            partition_by: self.exprs(partition_spec)?,
            order_by: self.sort_orders(order_spec)?,
            frame: frame_spec.as_ref().map(|frame| self.window_frame(frame)).transpose()?,
        })
    }

    fn window_frame(&self, message: &ex::window::WindowFrame) -> Result<WindowFrame, SparkError> {
        use ex::window::window_frame::FrameType;
        let ex::window::WindowFrame { frame_type, lower, upper } = message;
        let rows = match FrameType::try_from(*frame_type) {
            Ok(FrameType::Row) => true,
            Ok(FrameType::Range) => false,
            _ => return Err(invalid("A window frame is neither of rows nor of a range.")),
        };
        Ok(WindowFrame { rows, lower: self.frame_bound(lower)?, upper: self.frame_bound(upper)? })
    }

    fn frame_bound(
        &self,
        message: &Option<Box<ex::window::window_frame::FrameBoundary>>,
    ) -> Result<FrameBound, SparkError> {
        use ex::window::window_frame::FrameBoundary;
        use ex::window::window_frame::frame_boundary::Boundary;
        let FrameBoundary { boundary } = required(message.as_deref(), "a border of a window frame")?;
        Ok(match required(boundary.as_ref(), "a border of a window frame")? {
            Boundary::CurrentRow(_) => FrameBound::CurrentRow,
            Boundary::Unbounded(_) => FrameBound::Unbounded,
            Boundary::Value(value) => FrameBound::Value(Box::new(self.expr(value)?)),
        })
    }

    fn extract_value(&self, message: &ex::UnresolvedExtractValue) -> Result<Expr, SparkError> {
        let ex::UnresolvedExtractValue { child, extraction } = message;
        Ok(Expr::ExtractValue { child: Box::new(self.boxed_expr(child)?), key: Box::new(self.boxed_expr(extraction)?) })
    }

    fn update_fields(&self, message: &ex::UpdateFields) -> Result<Expr, SparkError> {
        let ex::UpdateFields { struct_expression, field_name, value_expression } = message;
        let value = value_expression.as_deref().map(|value| self.expr(value)).transpose()?;
        Ok(Expr::UpdateField {
            child: Box::new(self.boxed_expr(struct_expression)?),
            field: field_name.clone(),
            value: value.map(Box::new),
        })
    }

    fn subquery(&self, message: &pb::SubqueryExpression) -> Result<Expr, SparkError> {
        use pb::subquery_expression::SubqueryType;
        let pb::SubqueryExpression { plan_id, subquery_type, table_arg_options: _, in_subquery_values } = message;
        let kind = match SubqueryType::try_from(*subquery_type) {
            Ok(SubqueryType::Scalar) => SubqueryKind::Scalar,
            Ok(SubqueryType::Exists) => SubqueryKind::Exists,
            Ok(SubqueryType::In) => SubqueryKind::In(self.exprs(in_subquery_values)?),
            Ok(SubqueryType::TableArg) => return Err(SparkError::unsupported("A table argument (asTable)")),
            _ => return Err(invalid("A subquery has no kind.")),
        };
        Ok(Expr::Subquery { kind, relation: SubqueryRelation::PlanId(*plan_id) })
    }
}

fn unresolved_attribute(message: &ex::UnresolvedAttribute) -> Result<Expr, SparkError> {
    let ex::UnresolvedAttribute { unparsed_identifier, plan_id, is_metadata_column } = message;
    // `df["*"]` comes as an attribute of that name.
    if unparsed_identifier == "*" {
        return Ok(Expr::Star(Star { plan_id: *plan_id, ..Star::default() }));
    }
    if let Some(target) = unparsed_identifier.strip_suffix(".*") {
        let target = Some(name::parts(target)?);
        return Ok(Expr::Star(Star { target, plan_id: *plan_id, ..Star::default() }));
    }
    Ok(Expr::Attribute(Attribute {
        name: name::parts(unparsed_identifier)?,
        plan_id: *plan_id,
        metadata: is_metadata_column.unwrap_or(false),
    }))
}

fn unresolved_star(message: &ex::UnresolvedStar) -> Result<Expr, SparkError> {
    let ex::UnresolvedStar { unparsed_target, plan_id } = message;
    let target = match unparsed_target {
        Some(target) => {
            let target = target
                .strip_suffix(".*")
                .ok_or_else(|| invalid(format!("The target of a star must end with \".*\": {target}")))?;
            Some(name::parts(target)?)
        }
        None => None,
    };
    Ok(Expr::Star(Star { target, plan_id: *plan_id, ..Star::default() }))
}

fn lambda_variable(message: &ex::UnresolvedNamedLambdaVariable) -> String {
    let ex::UnresolvedNamedLambdaVariable { name_parts } = message;
    name_parts.join(".")
}
