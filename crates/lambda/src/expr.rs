//! Expressions over the arguments of a function.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use crate::{Surprise, Value};

/// What a pure function gives back, as an expression of its arguments.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// An argument, counted from 0.
    Argument(usize),
    /// A constant.
    Constant(Value<'static>),
    /// `(a, b, …)`.
    Tuple(Vec<Expr>),
    /// `a[i]` with a constant place; negative ones count from the end.
    Item(Box<Expr>, i64),
    /// `a + b` and its like.
    Binary(Operator, Box<Expr>, Box<Expr>),
    /// `a < b` and its like.
    Compare(Comparison, Box<Expr>, Box<Expr>),
    /// `not a`.
    Not(Box<Expr>),
    /// `-a`.
    Negative(Box<Expr>),
    /// A method of `str`, or a function of one value that is like one.
    Call(Method, Vec<Expr>),
}

/// Arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `+`, also of texts and tuples.
    Add,
    /// `-`.
    Subtract,
    /// `*`.
    Multiply,
    /// `/`.
    Divide,
    /// `//`.
    FloorDivide,
    /// `%` of numbers.
    Modulo,
}

/// Comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `==`.
    Equal,
    /// `!=`.
    NotEqual,
    /// `<`.
    Less,
    /// `<=`.
    LessOrEqual,
    /// `>`.
    Greater,
    /// `>=`.
    GreaterOrEqual,
    /// `a in b` of texts.
    In,
}

/// Methods of `str` and functions of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `s.split()` and `s.split(sep)`.
    Split,
    /// `s.strip()`.
    Strip,
    /// `s.lower()`.
    Lower,
    /// `s.upper()`.
    Upper,
    /// `s.startswith(t)`.
    StartsWith,
    /// `s.endswith(t)`.
    EndsWith,
    /// `len(x)`.
    Len,
    /// `int(x)` of a text or a whole number.
    Int,
    /// `str(x)` of a text or a whole number.
    Str,
}

type Answer<'a> = Result<Value<'a>, Surprise>;

impl Expr {
    /// The value for these arguments.
    ///
    /// # Errors
    /// A [`Surprise`] where the answer is left to Python.
    pub fn evaluate<'a>(&self, arguments: &[Value<'a>]) -> Answer<'a> {
        match self {
            Self::Argument(at) => arguments.get(*at).cloned().ok_or(Surprise),
            Self::Constant(value) => Ok(value.clone()),
            Self::Tuple(items) => {
                items.iter().map(|item| item.evaluate(arguments)).collect::<Result<_, _>>().map(Value::Tuple)
            }
            Self::Item(of, at) => item(&of.evaluate(arguments)?, *at),
            Self::Binary(operator, a, b) => match (a.whole_at_hand(arguments), b.whole_at_hand(arguments)) {
                (Some(a), Some(b)) => whole(*operator, a, b),
                _ => binary(*operator, a.evaluate(arguments)?, b.evaluate(arguments)?),
            },
            Self::Compare(comparison, a, b) => {
                compare(*comparison, &a.evaluate(arguments)?, &b.evaluate(arguments)?).map(Value::Bool)
            }
            Self::Not(of) => Ok(Value::Bool(!of.evaluate(arguments)?.is_true())),
            Self::Negative(of) => match of.evaluate(arguments)? {
                Value::Int(value) => value.checked_neg().map(Value::Int).ok_or(Surprise),
                Value::Float(value) => Ok(Value::Float(-value)),
                _ => Err(Surprise),
            },
            Self::Call(method, operands) => match &operands[..] {
                [of] => call(*method, of.evaluate(arguments)?),
                [of, with] => call_with(*method, &of.evaluate(arguments)?, &with.evaluate(arguments)?),
                _ => Err(Surprise),
            },
        }
    }

    /// A whole number that is an argument or a constant: sums of counts are most of what is ever merged.
    fn whole_at_hand(&self, arguments: &[Value<'_>]) -> Option<i64> {
        match self {
            Self::Argument(at) => match arguments.get(*at) {
                Some(Value::Int(value)) => Some(*value),
                _ => None,
            },
            Self::Constant(Value::Int(value)) => Some(*value),
            _ => None,
        }
    }
}

fn item<'a>(of: &Value<'a>, at: i64) -> Answer<'a> {
    let (Value::Tuple(items) | Value::List(items)) = of else { return Err(Surprise) };
    let at = if at < 0 { at.checked_add_unsigned(items.len() as u64) } else { Some(at) };
    at.and_then(|at| items.get(usize::try_from(at).ok()?)).cloned().ok_or(Surprise)
}

fn binary<'a>(operator: Operator, a: Value<'a>, b: Value<'a>) -> Answer<'a> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => whole(operator, a, b),
        (a @ (Value::Int(_) | Value::Float(_)), b @ (Value::Int(_) | Value::Float(_))) => {
            let (a, b) = (a.widened()?, b.widened()?);
            match operator {
                Operator::Add => Ok(Value::Float(a + b)),
                Operator::Subtract => Ok(Value::Float(a - b)),
                Operator::Multiply => Ok(Value::Float(a * b)),
                Operator::Divide if b != 0.0 => Ok(Value::Float(a / b)),
                _ => Err(Surprise),
            }
        }
        (Value::Str(a), Value::Str(b)) if operator == Operator::Add => Ok(Value::Str(Cow::Owned(a.into_owned() + &b))),
        (Value::Tuple(a), Value::Tuple(b)) if operator == Operator::Add => {
            Ok(Value::Tuple(a.iter().chain(b.iter()).cloned().collect::<Arc<[_]>>()))
        }
        _ => Err(Surprise),
    }
}

fn whole<'a>(operator: Operator, a: i64, b: i64) -> Answer<'a> {
    let result = match operator {
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        Operator::Multiply => a.checked_mul(b),
        Operator::Divide => {
            let (a, b) = (Value::Int(a).widened()?, Value::Int(b).widened()?);
            return if b == 0.0 { Err(Surprise) } else { Ok(Value::Float(a / b)) };
        }
        // Python rounds down and gives a remainder the sign of the divisor.
        Operator::FloorDivide => a.checked_div(b).map(|q| if a % b != 0 && (a < 0) != (b < 0) { q - 1 } else { q }),
        Operator::Modulo => a.checked_rem(b).map(|r| if r != 0 && (r < 0) != (b < 0) { r + b } else { r }),
    };
    result.map(Value::Int).ok_or(Surprise)
}

fn compare(comparison: Comparison, a: &Value<'_>, b: &Value<'_>) -> Result<bool, Surprise> {
    let order = match (a, b) {
        (Value::Str(a), Value::Str(b)) if comparison == Comparison::In => return Ok(b.contains(a.as_ref())),
        (Value::Str(a), Value::Str(b)) => Some(a.cmp(b)),
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => a.widened()?.partial_cmp(&b.widened()?),
        _ => return Err(Surprise),
    };
    match comparison {
        Comparison::Equal => Ok(order == Some(Ordering::Equal)),
        Comparison::NotEqual => Ok(order != Some(Ordering::Equal)),
        Comparison::Less => Ok(order == Some(Ordering::Less)),
        Comparison::LessOrEqual => Ok(matches!(order, Some(Ordering::Less | Ordering::Equal))),
        Comparison::Greater => Ok(order == Some(Ordering::Greater)),
        Comparison::GreaterOrEqual => Ok(matches!(order, Some(Ordering::Greater | Ordering::Equal))),
        Comparison::In => Err(Surprise),
    }
}

fn call(method: Method, of: Value<'_>) -> Answer<'_> {
    match (method, of) {
        (Method::Split, Value::Str(text)) => match text {
            Cow::Borrowed(text) => Ok(list(words(text)?.map(Cow::Borrowed))),
            Cow::Owned(text) => Ok(list(words(&text)?.map(|word| Cow::Owned(word.to_string())))),
        },
        (Method::Strip, Value::Str(text)) if text.is_ascii() => Ok(Value::Str(match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim_matches(is_space)),
            Cow::Owned(text) => Cow::Owned(text.trim_matches(is_space).to_string()),
        })),
        (Method::Lower, Value::Str(text)) if text.is_ascii() => Ok(Value::Str(match text {
            Cow::Borrowed(text) if !text.bytes().any(|b| b.is_ascii_uppercase()) => Cow::Borrowed(text),
            text => Cow::Owned(text.to_ascii_lowercase()),
        })),
        (Method::Upper, Value::Str(text)) if text.is_ascii() => Ok(Value::Str(match text {
            Cow::Borrowed(text) if !text.bytes().any(|b| b.is_ascii_lowercase()) => Cow::Borrowed(text),
            text => Cow::Owned(text.to_ascii_uppercase()),
        })),
        (Method::Len, Value::Str(text)) => Ok(length(text.chars().count())),
        (Method::Len, Value::List(items) | Value::Tuple(items)) => Ok(length(items.len())),
        (Method::Int, Value::Str(text)) => digits(&text).map(Value::Int),
        (Method::Int | Method::Str, same @ Value::Int(_)) if method == Method::Int => Ok(same),
        (Method::Str, Value::Int(value)) => Ok(Value::Str(Cow::Owned(value.to_string()))),
        (Method::Str, same @ Value::Str(_)) => Ok(same),
        _ => Err(Surprise),
    }
}

fn call_with<'a>(method: Method, of: &Value<'a>, with: &Value<'a>) -> Answer<'a> {
    let (Value::Str(text), Value::Str(with)) = (of, with) else { return Err(Surprise) };
    match method {
        Method::Split if with.is_empty() => Err(Surprise),
        Method::Split => match text {
            Cow::Borrowed(text) => Ok(list(text.split(with.as_ref()).map(Cow::Borrowed))),
            Cow::Owned(text) => Ok(list(text.split(with.as_ref()).map(|part| Cow::Owned(part.to_string())))),
        },
        Method::StartsWith => Ok(Value::Bool(text.starts_with(with.as_ref()))),
        Method::EndsWith => Ok(Value::Bool(text.ends_with(with.as_ref()))),
        _ => Err(Surprise),
    }
}

fn list<'a>(parts: impl Iterator<Item = Cow<'a, str>>) -> Value<'a> {
    Value::List(parts.map(Value::Str).collect())
}

fn length(count: usize) -> Value<'static> {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

/// The words of an ASCII text; Python's white space goes beyond it, which is left to Python.
pub(crate) fn words(text: &str) -> Result<impl Iterator<Item = &str>, Surprise> {
    if !text.is_ascii() {
        return Err(Surprise);
    }
    Ok(text.split(is_space).filter(|word| !word.is_empty()))
}

/// ASCII white space as Python's `str.split` and `str.strip` see it.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r' | '\x1c'..='\x1f')
}

/// `int(text)` for a sign and digits; blanks, underscores and other digits are left to Python.
fn digits(text: &str) -> Result<i64, Surprise> {
    let bare = text.strip_prefix(['-', '+']).unwrap_or(text);
    if bare.is_empty() || !bare.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Surprise);
    }
    text.parse().map_err(|_| Surprise)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(value: i64) -> Expr {
        Expr::Constant(Value::Int(value))
    }

    fn text(value: &'static str) -> Expr {
        Expr::Constant(Value::Str(Cow::Borrowed(value)))
    }

    fn value(expr: &Expr) -> Answer<'static> {
        expr.evaluate(&[])
    }

    fn arithmetic(operator: Operator, a: i64, b: i64) -> Answer<'static> {
        value(&Expr::Binary(operator, Box::new(int(a)), Box::new(int(b))))
    }

    #[test]
    fn division_rounds_down_and_remainders_follow_the_divisor() {
        for (a, b, quotient, remainder) in
            [(7, 2, 3, 1), (-7, 2, -4, 1), (7, -2, -4, -1), (-7, -2, 3, -1), (6, -3, -2, 0)]
        {
            assert_eq!(arithmetic(Operator::FloorDivide, a, b), Ok(Value::Int(quotient)), "{a} // {b}");
            assert_eq!(arithmetic(Operator::Modulo, a, b), Ok(Value::Int(remainder)), "{a} % {b}");
        }
        assert_eq!(arithmetic(Operator::Divide, 7, 2), Ok(Value::Float(3.5)));
    }

    #[test]
    fn what_python_would_refuse_or_widen_is_left_to_it() {
        assert_eq!(arithmetic(Operator::Add, i64::MAX, 1), Err(Surprise));
        assert_eq!(arithmetic(Operator::FloorDivide, i64::MIN, -1), Err(Surprise));
        for operator in [Operator::Divide, Operator::FloorDivide, Operator::Modulo] {
            assert_eq!(arithmetic(operator, 1, 0), Err(Surprise));
        }
        assert_eq!(value(&Expr::Binary(Operator::Add, Box::new(int(1)), Box::new(text("a")))), Err(Surprise));
        assert_eq!(value(&Expr::Item(Box::new(Expr::Tuple(vec![int(1)])), 1)), Err(Surprise));
        assert_eq!(value(&Expr::Call(Method::Split, vec![text("a\u{2003}b")])), Err(Surprise));
        assert_eq!(value(&Expr::Call(Method::Split, vec![text("ab"), text("")])), Err(Surprise));
        assert_eq!(value(&Expr::Call(Method::Lower, vec![text("İ")])), Err(Surprise));
        assert_eq!(value(&Expr::Call(Method::Int, vec![text("1_000")])), Err(Surprise));
    }

    #[test]
    fn texts_are_cut_as_python_cuts_them() {
        let split = |of: &'static str, by: Option<&'static str>| {
            let operands = [Some(of), by].into_iter().flatten().map(text).collect();
            match value(&Expr::Call(Method::Split, operands)) {
                Ok(Value::List(parts)) => parts.iter().map(|p| format!("{p:?}")).collect::<Vec<_>>(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(split(" a  b\tc\x1cd ", None), [r#"Str("a")"#, r#"Str("b")"#, r#"Str("c")"#, r#"Str("d")"#]);
        assert_eq!(split("a  b", Some(" ")), [r#"Str("a")"#, r#"Str("")"#, r#"Str("b")"#]);
        assert_eq!(split("", Some(" ")), [r#"Str("")"#]);
        assert_eq!(split("", None), [""; 0]);
        assert_eq!(value(&Expr::Call(Method::Len, vec![text("äß")])), Ok(Value::Int(2)));
        assert_eq!(value(&Expr::Call(Method::Int, vec![text("-07")])), Ok(Value::Int(-7)));
    }

    #[test]
    fn tuples_are_taken_apart_from_both_ends() {
        let pair = Value::Tuple(Arc::from([Value::Int(1), Value::Int(2)]));
        let last = Expr::Item(Box::new(Expr::Argument(0)), -1);
        assert_eq!(last.evaluate(&[pair]), Ok(Value::Int(2)));
    }
}
