//! Higher-order functions and the parameters of their lambdas.

use std::sync::Arc;

use millstream_formats::condition::SparkError;
use millstream_functions::{HigherOrder, Lambda, Typed};

use super::expression::{PROJECT, Resolved, strip_alias};
use super::rel::{column, fresh_name};
use super::scope::Scope;
use super::{Analyzer, errors, names};
use crate::ir;

impl Analyzer<'_> {
    /// Resolves a call with lambdas among its arguments.
    pub fn resolve_higher_order(
        &self,
        function: &HigherOrder,
        name: &str,
        call: &ir::Function,
        scope: &Scope,
    ) -> Result<Resolved, SparkError> {
        let mut arguments: Vec<Typed> = Vec::new();
        let mut texts: Vec<Option<String>> = Vec::with_capacity(call.arguments.len());
        for argument in &call.arguments {
            if matches!(argument, ir::Expr::Lambda { .. }) {
                texts.push(None);
                continue;
            }
            let resolved = self.resolve_scalar(argument, scope, PROJECT)?;
            texts.push(Some(strip_alias(&resolved)));
            arguments.push(resolved.typed);
        }
        let mut lambdas: Vec<Lambda> = Vec::new();
        for (position, argument) in call.arguments.iter().enumerate() {
            let ir::Expr::Lambda { body, parameters } = argument else { continue };
            let types = (function.parameters)(name, &arguments, &lambdas, lambdas.len(), parameters.len())
                .map_err(|e| self.readable(e, scope))?;
            let fields: Vec<_> =
                types.iter().map(|field| Arc::new(field.as_ref().clone().with_name(fresh_name()))).collect();
            let mut inner = scope.clone();
            inner.lambda.extend(parameters.iter().cloned().zip(fields.iter().cloned()));
            let body = self.resolve_scalar(body, &inner, PROJECT)?;
            let variables = vec!["namedlambdavariable()".to_string(); fields.len()].join(", ");
            texts[position] = Some(format!("lambdafunction({}, {variables})", strip_alias(&body)));
            lambdas.push(Lambda { parameters: fields, body: body.typed });
        }
        let typed = (function.build)(name, &arguments, &lambdas, &self.context).map_err(|e| self.readable(e, scope))?;
        let texts: Vec<String> = texts.into_iter().flatten().collect();
        Ok(Resolved::value(typed, names::call(name, &texts, false)))
    }

    /// A name that is a parameter of an enclosing lambda, with the fields that follow.
    pub fn lambda_variable(&self, name: &[String], scope: &Scope) -> Result<Option<Resolved>, SparkError> {
        let Some((head, fields)) = name.split_first() else { return Ok(None) };
        let found = scope.lambda.iter().rev().find(|(parameter, _)| self.names.same(parameter, head));
        let Some((_, field)) = found else { return Ok(None) };
        let typed = Typed::new(column(field.name()), field.data_type().clone(), field.is_nullable());
        self.fields_of(Resolved::value(typed, "namedlambdavariable()".to_string()), fields).map(Some)
    }

    /// A parameter as the protocol marks it.
    pub fn resolve_lambda_variable(&self, name: &str, scope: &Scope) -> Result<Resolved, SparkError> {
        let parts = [name.to_string()];
        self.lambda_variable(&parts, scope)?.ok_or_else(|| errors::unresolved_column(&parts, &scope.names()))
    }
}
