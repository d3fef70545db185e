//! Chains of recognised functions, for the workers that run functions of Python programs.

use std::borrow::Cow;
use std::sync::Arc;

use millstream_lambda::{CombineStage as Stage, Comparison, Expr, Method, Operator, Step, Value};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyList, PyString, PyTuple};

/// Lines through pure functions into pairs, reduced by key.
#[pyclass(frozen, module = "millstream._native")]
pub(crate) struct CombineStage {
    stage: Stage,
}

#[pymethods]
impl CombineStage {
    #[new]
    fn new(steps: Vec<(String, Bound<'_, PyTuple>)>, merge: &Bound<'_, PyTuple>) -> PyResult<Self> {
        let steps = steps.iter().map(|(kind, function)| step(kind, expression(function)?)).collect::<PyResult<_>>()?;
        Ok(Self { stage: Stage::new(steps, expression(merge)?) })
    }

    /// The pairs of the lines in `text`; nothing if only Python can tell.
    fn run<'py>(&self, py: Python<'py>, text: &Bound<'py, PyBytes>) -> PyResult<Option<Bound<'py, PyList>>> {
        let Ok(text) = std::str::from_utf8(text.as_bytes()) else { return Ok(None) };
        let Ok(pairs) = self.stage.run(text) else { return Ok(None) };
        let list = PyList::empty(py);
        for (key, value) in &pairs {
            list.append((object(py, key)?, object(py, value)?))?;
        }
        Ok(Some(list))
    }
}

fn step(kind: &str, function: Expr) -> PyResult<Step> {
    match kind {
        "map" => Ok(Step::Map(function)),
        "flatMap" => Ok(Step::FlatMap(function)),
        "filter" => Ok(Step::Filter(function)),
        "mapValues" => Ok(Step::MapValues(function)),
        _ => Err(unknown(kind)),
    }
}

fn unknown(what: &str) -> PyErr {
    PyValueError::new_err(format!("not a part of an expression: {what}"))
}

fn expression(form: &Bound<'_, PyTuple>) -> PyResult<Expr> {
    let kind: String = form.get_item(0)?.extract()?;
    let part = |at| form.get_item(at)?.cast_into::<PyTuple>().map_err(PyErr::from).and_then(|part| expression(&part));
    let parts = |at| -> PyResult<Vec<Expr>> {
        form.get_item(at)?.try_iter()?.map(|part| expression(part?.cast::<PyTuple>()?)).collect()
    };
    let name = || form.get_item(1)?.extract::<String>();
    match kind.as_str() {
        "argument" => Ok(Expr::Argument(form.get_item(1)?.extract()?)),
        "constant" => Ok(Expr::Constant(constant(&form.get_item(1)?)?)),
        "tuple" => Ok(Expr::Tuple(parts(1)?)),
        "item" => Ok(Expr::Item(Box::new(part(1)?), form.get_item(2)?.extract()?)),
        "binary" => Ok(Expr::Binary(operator(&name()?)?, Box::new(part(2)?), Box::new(part(3)?))),
        "compare" => Ok(Expr::Compare(comparison(&name()?)?, Box::new(part(2)?), Box::new(part(3)?))),
        "not" => Ok(Expr::Not(Box::new(part(1)?))),
        "negative" => Ok(Expr::Negative(Box::new(part(1)?))),
        "call" => Ok(Expr::Call(method(&name()?)?, parts(2)?)),
        other => Err(unknown(other)),
    }
}

fn operator(sign: &str) -> PyResult<Operator> {
    Ok(match sign {
        "+" => Operator::Add,
        "-" => Operator::Subtract,
        "*" => Operator::Multiply,
        "/" => Operator::Divide,
        "//" => Operator::FloorDivide,
        "%" => Operator::Modulo,
        other => return Err(unknown(other)),
    })
}

fn comparison(sign: &str) -> PyResult<Comparison> {
    Ok(match sign {
        "==" => Comparison::Equal,
        "!=" => Comparison::NotEqual,
        "<" => Comparison::Less,
        "<=" => Comparison::LessOrEqual,
        ">" => Comparison::Greater,
        ">=" => Comparison::GreaterOrEqual,
        "in" => Comparison::In,
        other => return Err(unknown(other)),
    })
}

fn method(name: &str) -> PyResult<Method> {
    Ok(match name {
        "split" => Method::Split,
        "strip" => Method::Strip,
        "lower" => Method::Lower,
        "upper" => Method::Upper,
        "startswith" => Method::StartsWith,
        "endswith" => Method::EndsWith,
        "len" => Method::Len,
        "int" => Method::Int,
        "str" => Method::Str,
        other => return Err(unknown(other)),
    })
}

fn constant(value: &Bound<'_, PyAny>) -> PyResult<Value<'static>> {
    if value.is_none() {
        Ok(Value::None)
    } else if let Ok(value) = value.cast::<PyBool>() {
        Ok(Value::Bool(value.is_true()))
    } else if value.is_instance_of::<PyInt>() {
        Ok(Value::Int(value.extract()?))
    } else if value.is_instance_of::<PyFloat>() {
        Ok(Value::Float(value.extract()?))
    } else {
        Ok(Value::Str(Cow::Owned(value.cast::<PyString>()?.extract()?)))
    }
}

fn object<'py>(py: Python<'py>, value: &Value<'_>) -> PyResult<Bound<'py, PyAny>> {
    let items = |items: &Arc<[Value<'_>]>| items.iter().map(|item| object(py, item)).collect::<PyResult<Vec<_>>>();
    Ok(match value {
        Value::None => py.None().into_bound(py),
        Value::Bool(value) => PyBool::new(py, *value).to_owned().into_any(),
        Value::Int(value) => PyInt::new(py, *value).into_any(),
        Value::Float(value) => PyFloat::new(py, *value).into_any(),
        Value::Str(text) => PyString::new(py, text).into_any(),
        Value::List(of) => PyList::new(py, items(of)?)?.into_any(),
        Value::Tuple(of) => PyTuple::new(py, items(of)?)?.into_any(),
    })
}
