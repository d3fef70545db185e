//! Arguments by name: `mask(lowerChar => 'q', str => s)`.

use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;

use super::errors;
use crate::ir::{Expr, Function};

/// A parameter, and what it is if no argument is given; none if one must be.
type Parameter = (&'static str, Option<Fallback>);

/// A default.
#[derive(Clone, Copy)]
enum Fallback {
    Text(&'static str),
    Null,
    /// The argument is left out together with all after it.
    Absent,
}

impl Fallback {
    fn expr(self) -> Option<Expr> {
        match self {
            Fallback::Text(text) => Some(Expr::string(text)),
            Fallback::Null => Some(Expr::Literal(ScalarValue::Null)),
            Fallback::Absent => None,
        }
    }
}

/// The parameters of the functions that take arguments by name.
fn parameters(function: &str) -> Option<&'static [Parameter]> {
    use Fallback::{Absent, Null, Text};
    Some(match function {
        "mask" => &[
            ("str", None),
            ("upperChar", Some(Text("X"))),
            ("lowerChar", Some(Text("x"))),
            ("digitChar", Some(Text("n"))),
            ("otherChar", Some(Null)),
        ],
        "count_min_sketch" => &[("column", None), ("epsilon", None), ("confidence", None), ("seed", Some(Absent))],
        "explode" | "explode_outer" | "posexplode" | "posexplode_outer" => &[("collection", None)],
        "inline" | "inline_outer" | "variant_explode" | "variant_explode_outer" => &[("input", None)],
        "randstr" => &[("length", None), ("seed", Some(Absent))],
        "uniform" => &[("min", None), ("max", None), ("seed", Some(Absent))],
        _ => return None,
    })
}

/// The call with its arguments by position.
///
/// # Errors
/// `NAMED_PARAMETERS_NOT_SUPPORTED` and what is wrong with the names.
pub fn by_position(function: &str, call: &Function) -> Result<Function, SparkError> {
    let shown = errors::quoted_one(function);
    let parameters = parameters(function).ok_or_else(|| {
        let text = format!(
            "Named parameters are not supported for function {shown}; please retry the query with positional arguments to the \
             function call instead."
        );
        errors::analysis("NAMED_PARAMETERS_NOT_SUPPORTED", "4274K", text).with("functionName", shown.clone())
    })?;
    let mut given: Vec<Option<Expr>> = vec![None; parameters.len()];
    let mut named = false;
    for (at, argument) in call.arguments.iter().enumerate() {
        let (slot, value) = match argument {
            Expr::NamedArgument { name, value } => {
                named = true;
                let slot = parameters.iter().position(|(p, _)| p.eq_ignore_ascii_case(name));
                (slot.ok_or_else(|| unknown_name(&shown, name, parameters))?, value.as_ref())
            }
            _ if named => return Err(positional_after_named(&shown)),
            value => (at, value),
        };
        match given.get_mut(slot) {
            Some(Some(_)) => return Err(given_twice(&shown, parameters[slot].0)),
            Some(empty) => *empty = Some(value.clone()),
            None => {
                return Err(millstream_functions::arguments::wrong_count(
                    function,
                    &parameters.len().to_string(),
                    at + 1,
                ));
            }
        }
    }
    let mut arguments = Vec::with_capacity(parameters.len());
    for (value, (name, default)) in given.into_iter().zip(parameters) {
        match (value, default) {
            (Some(value), _) => arguments.push(value),
            (None, Some(default)) => arguments.extend(default.expr()),
            (None, None) => return Err(missing(&shown, name)),
        }
    }
    Ok(Function { arguments, ..call.clone() })
}

fn unknown_name(function: &str, name: &str, parameters: &[Parameter]) -> SparkError {
    let candidates: Vec<Vec<String>> = parameters.iter().map(|(p, _)| vec![(*p).to_string()]).collect();
    let proposal = errors::suggestions(&[name.to_string()], &candidates).join(" ");
    let name = errors::quoted_one(name);
    errors::analysis(
        "UNRECOGNIZED_PARAMETER_NAME",
        "4274K",
        format!(
            "Cannot invoke routine {function} because the routine call included a named argument reference for the argument named \
             {name}, but this routine does not include any signature containing an argument with this name. Did you mean one of \
             the following? [{proposal}]."
        ),
    )
    .with("routineName", function)
    .with("argumentName", name)
    .with("proposal", proposal)
}

fn positional_after_named(function: &str) -> SparkError {
    errors::analysis(
        "UNEXPECTED_POSITIONAL_ARGUMENT",
        "4274K",
        format!(
            "Cannot invoke routine {function} because it contains positional argument(s) following the named argument; please \
             rearrange them so the positional arguments come first and then retry the query again."
        ),
    )
    .with("routineName", function)
}

fn given_twice(function: &str, parameter: &str) -> SparkError {
    let parameter = errors::quoted_one(parameter);
    errors::analysis(
        "DUPLICATE_ROUTINE_PARAMETER_ASSIGNMENT.DOUBLE_NAMED_ARGUMENT_REFERENCE",
        "4274K",
        format!(
            "Call to routine {function} is invalid because it includes multiple argument assignments to the same parameter name \
             {parameter}. More than one named argument referred to the same parameter. Please assign a value only once."
        ),
    )
    .with("routineName", function)
    .with("parameterName", parameter)
}

fn missing(function: &str, parameter: &str) -> SparkError {
    let parameter = errors::quoted_one(parameter);
    errors::analysis(
        "REQUIRED_PARAMETER_NOT_FOUND",
        "4274K",
        format!(
            "Cannot invoke routine {function} because the parameter named {parameter} is required, but the routine call did not \
             supply a value. Please update the routine call to supply an argument value (either positionally or by name) and \
             retry the query again."
        ),
    )
    .with("routineName", function)
    .with("parameterName", parameter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, value: &str) -> Expr {
        Expr::NamedArgument { name: name.to_string(), value: Box::new(Expr::string(value)) }
    }

    fn call(arguments: Vec<Expr>) -> Function {
        Function { name: "mask".to_string(), arguments, ..Function::default() }
    }

    #[test]
    fn names_put_arguments_in_their_place_and_defaults_fill_the_rest() {
        let call = by_position("mask", &call(vec![named("lowerChar", "q"), named("STR", "s")])).unwrap();
        let expected = [Expr::string("s"), Expr::string("X"), Expr::string("q"), Expr::string("n")];
        assert_eq!(call.arguments[..4], expected);
    }

    #[test]
    fn wrong_names_are_refused() {
        let condition = |function: &str, arguments| {
            by_position(function, &call(arguments)).unwrap_err().condition().unwrap_or_default().to_string()
        };
        assert_eq!(condition("upper", vec![named("a", "b")]), "NAMED_PARAMETERS_NOT_SUPPORTED");
        assert_eq!(condition("mask", vec![named("nope", "b")]), "UNRECOGNIZED_PARAMETER_NAME");
        assert_eq!(condition("mask", vec![named("upperChar", "b")]), "REQUIRED_PARAMETER_NOT_FOUND");
        let twice = vec![named("str", "a"), named("str", "b")];
        assert_eq!(condition("mask", twice), "DUPLICATE_ROUTINE_PARAMETER_ASSIGNMENT.DOUBLE_NAMED_ARGUMENT_REFERENCE");
        assert_eq!(condition("mask", vec![named("str", "a"), Expr::string("b")]), "UNEXPECTED_POSITIONAL_ARGUMENT");
    }
}
