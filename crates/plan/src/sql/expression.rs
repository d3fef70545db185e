//! Expressions: operators by precedence, predicates, names, lambdas, subqueries.
//!
//! Precedence from loose to tight: `OR`, `AND`, `NOT`, a predicate (`BETWEEN`, `IN`, `LIKE`, `IS`), comparisons, `|`, `^`, `&`,
//! shifts, `+ - ||`, `* / % DIV`, unary signs, then what stands behind an operand (`.field`, `[key]`, `::type`). Operators become calls
//! of functions of the same name.

use datafusion::scalar::ScalarValue;

use super::parser::{Parsed, Parser};
use super::token::TokenKind;
use crate::ir::{Attribute, Expr, Function, Relation, SortOrder, Star, SubqueryKind, SubqueryRelation};

/// How tightly the unary signs bind.
const UNARY: u8 = 8;

impl Parser<'_> {
    /// An expression.
    pub(super) fn expression(&mut self) -> Parsed<Expr> {
        self.nested(|p| p.logical_chain("OR", |p| p.logical_chain("AND", Self::not_expression)))
    }

    /// Operands between the same logical operator; a balanced tree, so that long chains stay flat.
    fn logical_chain(&mut self, operator: &str, mut operand: impl FnMut(&mut Self) -> Parsed<Expr>) -> Parsed<Expr> {
        let mut operands = vec![operand(self)?];
        while self.eat(&[operator]) {
            operands.push(operand(self)?);
        }
        let name = operator.to_ascii_lowercase();
        Ok(balanced(&name, operands))
    }

    fn not_expression(&mut self) -> Parsed<Expr> {
        let is_not = self.is_symbol("!") || self.is(&["NOT"]) && self.begins_operand(1);
        if is_not {
            self.advance();
            let child = self.nested(Self::not_expression)?;
            return Ok(Expr::call("not", vec![child]));
        }
        if self.is(&["EXISTS"]) && self.is_symbol_at(1, "(") && self.is_query_at(2) {
            self.advance();
            let relation = self.parenthesised_query()?;
            return Ok(subquery(SubqueryKind::Exists, relation));
        }
        let mark = self.mark();
        let value = self.value_expression(0)?;
        self.predicate(mark, value)
    }

    /// Whether an operand may begin at a token, as opposed to the end of what stands before it.
    fn begins_operand(&self, ahead: usize) -> bool {
        match self.kind(ahead) {
            TokenKind::End | TokenKind::Unknown => false,
            TokenKind::Symbol(symbol) => matches!(*symbol, "(" | "-" | "+" | "~" | "*" | "!" | "?" | ":"),
            TokenKind::Word => !self.is_one_of_at(ahead, &["FROM", "AS", "AND", "OR", "IS", "IN", "THEN", "END"]),
            _ => true,
        }
    }

    /// An expression without logical operators and predicates; operators that bind looser than `least` end it.
    pub(super) fn value_expression(&mut self, least: u8) -> Parsed<Expr> {
        let mut left = if self.is_symbol("~") || self.is_sign() { self.signed()? } else { self.primary()? };
        let mut links = 0;
        while let Some((name, tokens, strength)) = self.binary_operator() {
            if strength < least {
                break;
            }
            links += 1;
            self.check_depth(links)?;
            (0..tokens).for_each(|_| self.advance());
            let right = self.nested(|p| p.value_expression(strength + 1))?;
            left = Expr::call(name, vec![left, right]);
        }
        Ok(left)
    }

    /// A sign that is no part of a number.
    fn is_sign(&self) -> bool {
        self.is_symbol("+") || self.is_symbol("-") && *self.kind(1) != TokenKind::Number
    }

    fn signed(&mut self) -> Parsed<Expr> {
        let name = match self.kind(0) {
            TokenKind::Symbol("+") => "positive",
            TokenKind::Symbol(symbol) => symbol,
            _ => return Err(self.unexpected()),
        };
        self.advance();
        let child = self.nested(|p| p.value_expression(UNARY))?;
        Ok(Expr::call(name, vec![child]))
    }

    /// The operator that comes next: name of its function, how many tokens it is, how tightly it binds.
    fn binary_operator(&self) -> Option<(&'static str, usize, u8)> {
        if self.is(&["DIV"]) && self.begins_operand(1) {
            return Some(("div", 1, 7));
        }
        let TokenKind::Symbol(symbol) = self.kind(0) else { return None };
        let adjacent =
            |n: usize| (0..n).all(|i| self.is_symbol_at(i + 1, ">") && self.token(i).end == self.token(i + 1).start);
        let found = match *symbol {
            ">" if adjacent(2) => return Some((">>>", 3, 5)),
            ">" if adjacent(1) => return Some((">>", 2, 5)),
            "<<" => ("<<", 5),
            "=" | "==" => ("==", 1),
            "<>" | "!=" => ("!=", 1),
            "<=>" => ("<=>", 1),
            "<" => ("<", 1),
            "<=" | "!>" => ("<=", 1),
            ">" => (">", 1),
            ">=" | "!<" => (">=", 1),
            "|" => ("|", 2),
            "^" => ("^", 3),
            "&" => ("&", 4),
            "+" => ("+", 6),
            "-" => ("-", 6),
            "||" => ("||", 6),
            "*" => ("*", 7),
            "/" => ("/", 7),
            "%" => ("%", 7),
            _ => return None,
        };
        Some((found.0, 1, found.1))
    }

    /// What may stand behind a value: `BETWEEN`, `IN`, `LIKE`, `IS`. `mark` is where the value began.
    fn predicate(&mut self, mark: usize, value: Expr) -> Parsed<Expr> {
        const KINDS: [&str; 6] = ["BETWEEN", "IN", "LIKE", "ILIKE", "RLIKE", "REGEXP"];
        if self.eat(&["IS"]) {
            return self.is_predicate(value);
        }
        let negated = (self.is(&["NOT"]) || self.is_symbol("!")) && self.is_one_of_at(1, &KINDS);
        let is_row = self.is_row_since(mark);
        if negated {
            self.advance();
        }
        let Some(kind) = self.eat_one_of(&KINDS) else { return Ok(value) };
        let test = match kind {
            "BETWEEN" => {
                let lower = self.value_expression(0)?;
                self.expect(&["AND"])?;
                let upper = self.value_expression(0)?;
                Expr::call("between", vec![value, lower, upper])
            }
            "IN" => self.in_predicate(is_row, value)?,
            "LIKE" | "ILIKE" if self.is_one_of_at(0, &["ANY", "SOME", "ALL"]) && self.is_symbol_at(1, "(") => {
                return self.like_list(kind, negated, value);
            }
            "LIKE" | "ILIKE" => {
                let mut arguments = vec![value, self.value_expression(0)?];
                if self.eat(&["ESCAPE"]) {
                    arguments.push(self.escape_character()?);
                }
                Expr::call(&kind.to_ascii_lowercase(), arguments)
            }
            _ => Expr::call("rlike", vec![value, self.value_expression(0)?]),
        };
        Ok(negated_if(negated, test))
    }

    fn escape_character(&mut self) -> Parsed<Expr> {
        let mark = self.mark();
        let text = self.string()?;
        if text.chars().count() == 1 {
            return Ok(Expr::string(text));
        }
        let sentence = format!("`ESCAPE` must be a string literal of one character, found {text}.");
        Err(self.invalid(mark, "INVALID_ESCAPE_CHAR", "42604", sentence))
    }

    fn is_predicate(&mut self, value: Expr) -> Parsed<Expr> {
        let negated = self.eat(&["NOT"]) || self.eat_symbol("!");
        let literal = |value| Expr::Literal(ScalarValue::Boolean(Some(value)));
        let test = if self.eat(&["NULL"]) || self.eat(&["UNKNOWN"]) {
            let name = if negated { "isnotnull" } else { "isnull" };
            return Ok(Expr::call(name, vec![value]));
        } else if self.eat(&["TRUE"]) {
            Expr::call("<=>", vec![value, literal(true)])
        } else if self.eat(&["FALSE"]) {
            Expr::call("<=>", vec![value, literal(false)])
        } else {
            self.expect(&["DISTINCT", "FROM"])?;
            let other = self.value_expression(0)?;
            // Distinct is the opposite of null-safe equal.
            return Ok(negated_if(!negated, Expr::call("<=>", vec![value, other])));
        };
        Ok(negated_if(negated, test))
    }

    fn in_predicate(&mut self, is_row: bool, value: Expr) -> Parsed<Expr> {
        if self.is_symbol("(") && self.is_query_at(1) {
            let values = if is_row { row_values(value) } else { vec![value] };
            let relation = self.parenthesised_query()?;
            return Ok(subquery(SubqueryKind::In(values), relation));
        }
        let mut arguments = vec![value];
        arguments.extend(self.parenthesised_list(Self::expression)?);
        Ok(Expr::call("in", arguments))
    }

    /// `LIKE ANY ('a', 'b')`.
    fn like_list(&mut self, kind: &str, negated: bool, value: Expr) -> Parsed<Expr> {
        let all = self.is(&["ALL"]);
        self.advance();
        let mark = self.mark();
        if self.is_symbol_at(1, ")") {
            self.advance();
            self.advance();
            return Err(self.invalid(mark, "_LEGACY_ERROR_TEMP_0064", "", "Expected something between '(' and ')'."));
        }
        let patterns = self.parenthesised_list(Self::expression)?;
        if kind == "LIKE" {
            let name = match (negated, all) {
                (false, false) => "likeany",
                (false, true) => "likeall",
                (true, false) => "notlikeany",
                (true, true) => "notlikeall",
            };
            return Ok(Expr::call(name, std::iter::once(value).chain(patterns).collect()));
        }
        let tests =
            patterns.into_iter().map(|pattern| negated_if(negated, Expr::call("ilike", vec![value.clone(), pattern])));
        Ok(balanced(if all { "and" } else { "or" }, tests.collect()))
    }

    /// An operand and what stands behind it.
    pub(super) fn primary(&mut self) -> Parsed<Expr> {
        let mut value = self.operand()?;
        let mut links = 0;
        loop {
            links += 1;
            self.check_depth(links)?;
            if self.is_symbol(".") && self.is_name_at(1) {
                self.advance();
                value = field(value, self.name()?);
            } else if self.eat_symbol("[") {
                let key = self.nested(|p| p.value_expression(0))?;
                self.expect_symbol("]")?;
                value = Expr::ExtractValue { child: Box::new(value), key: Box::new(key) };
            } else if self.eat_symbol("::") {
                let to = self.data_type()?;
                value = Expr::Cast { expr: Box::new(value), to, try_cast: false };
            } else if self.eat(&["COLLATE"]) {
                self.collation()?;
            } else {
                return Ok(value);
            }
        }
    }

    fn operand(&mut self) -> Parsed<Expr> {
        if let Some(constant) = self.constant()? {
            return Ok(constant);
        }
        match self.kind(0) {
            TokenKind::Symbol("(") => self.parenthesised(),
            TokenKind::Symbol("*") => {
                self.advance();
                self.star(None)
            }
            TokenKind::Word if self.is(&["CASE"]) && self.begins_operand(1) => self.case(),
            TokenKind::Word if self.is_symbol_at(1, "(") => match self.special_call()? {
                Some(call) => Ok(call),
                None => self.named_operand(),
            },
            TokenKind::Word | TokenKind::Quoted(_) => self.named_operand(),
            _ => Err(self.unexpected()),
        }
    }

    /// A column, `t.*`, a lambda of one parameter, or a call.
    fn named_operand(&mut self) -> Parsed<Expr> {
        if self.is_symbol_at(1, "->") {
            let parameters = vec![self.name()?];
            return self.lambda(parameters);
        }
        let mut name = vec![self.name()?];
        while self.is_symbol(".") {
            if self.is_symbol_at(1, "*") {
                self.advance();
                self.advance();
                return self.star(Some(name));
            }
            if !self.is_name_at(1) {
                break;
            }
            self.advance();
            name.push(self.name()?);
        }
        if self.is_symbol("(") {
            return self.call(&name);
        }
        Ok(Expr::Attribute(Attribute { name, plan_id: None, metadata: false }))
    }

    /// What follows `*`.
    fn star(&mut self, target: Option<Vec<String>>) -> Parsed<Expr> {
        let mut except = Vec::new();
        if self.is(&["EXCEPT"]) && self.is_symbol_at(1, "(") && !self.is_query_at(2) {
            self.advance();
            except = self.parenthesised_list(Self::multipart_name)?;
        }
        Ok(Expr::Star(Star { target, plan_id: None, except }))
    }

    /// What follows the parameters of a lambda.
    fn lambda(&mut self, parameters: Vec<String>) -> Parsed<Expr> {
        self.expect_symbol("->")?;
        let body = Box::new(self.expression()?);
        Ok(Expr::Lambda { body, parameters })
    }

    /// `(…)`: a lambda's parameters, a query, a row, or an expression.
    fn parenthesised(&mut self) -> Parsed<Expr> {
        let arrow = self.closing(0).is_some_and(|close| self.is_symbol_at(close + 1, "->"));
        if arrow {
            let parameters = self.parenthesised_list(Self::name)?;
            return self.lambda(parameters);
        }
        if self.is_query_at(1) {
            let relation = self.parenthesised_query()?;
            return Ok(subquery(SubqueryKind::Scalar, relation));
        }
        self.expect_symbol("(")?;
        let first = self.named_expression()?;
        if !self.is_symbol(",") {
            self.expect_symbol(")")?;
            return Ok(first);
        }
        let mut items = vec![first];
        while self.eat_symbol(",") {
            items.push(self.named_expression()?);
        }
        self.expect_symbol(")")?;
        Ok(row(items))
    }

    pub(super) fn parenthesised_query(&mut self) -> Parsed<Relation> {
        self.expect_symbol("(")?;
        let relation = self.query()?;
        self.expect_symbol(")")?;
        Ok(relation)
    }

    /// An expression with or without a name.
    pub(super) fn named_expression(&mut self) -> Parsed<Expr> {
        let value = self.expression()?;
        let names = if self.eat(&["AS"]) {
            if self.is_symbol("(") { self.optional_names()? } else { vec![self.plain_name()?] }
        } else {
            self.alias(false)?.into_iter().collect()
        };
        if names.is_empty() {
            return Ok(value);
        }
        Ok(Expr::Alias { expr: Box::new(value), names, metadata: None })
    }

    /// `key [ASC | DESC] [NULLS FIRST | LAST]`.
    pub(super) fn sort_item(&mut self) -> Parsed<SortOrder> {
        let expr = self.expression()?;
        let ascending = self.eat_one_of(&["ASC", "DESC"]) != Some("DESC");
        let mut nulls_first = ascending;
        if self.eat(&["NULLS"]) {
            nulls_first = match self.eat_one_of(&["FIRST", "LAST"]) {
                Some(place) => place == "FIRST",
                None => return Err(self.unexpected()),
            };
        }
        Ok(SortOrder { expr, ascending, nulls_first })
    }
}

/// Joins operands with `and` or `or`, halves against halves.
fn balanced(name: &str, mut operands: Vec<Expr>) -> Expr {
    if operands.len() > 2 {
        let right = balanced(name, operands.split_off(1 + (operands.len() - 1) / 2));
        let left = balanced(name, operands);
        return Expr::call(name, vec![left, right]);
    }
    match (operands.pop(), operands.pop()) {
        (Some(right), Some(left)) => Expr::call(name, vec![left, right]),
        (Some(only), None) => only,
        _ => Expr::Literal(ScalarValue::Null),
    }
}

fn negated_if(negated: bool, test: Expr) -> Expr {
    if negated { Expr::call("not", vec![test]) } else { test }
}

fn subquery(kind: SubqueryKind, relation: Relation) -> Expr {
    Expr::Subquery { kind, relation: SubqueryRelation::Inline(Box::new(relation)) }
}

/// A field of a value; of a column, one more part of its name.
fn field(value: Expr, name: String) -> Expr {
    match value {
        Expr::Attribute(mut attribute) => {
            attribute.name.push(name);
            Expr::Attribute(attribute)
        }
        value => Expr::ExtractValue { child: Box::new(value), key: Box::new(Expr::string(name)) },
    }
}

/// `(a, b)` as a struct: fields are named after columns and aliases, others by position.
fn row(items: Vec<Expr>) -> Expr {
    let mut arguments = Vec::with_capacity(items.len() * 2);
    for (i, item) in items.into_iter().enumerate() {
        let (name, value) = match item {
            Expr::Alias { expr, mut names, .. } => (names.pop(), *expr),
            Expr::Attribute(attribute) => (attribute.name.last().cloned(), Expr::Attribute(attribute)),
            other => (None, other),
        };
        arguments.push(Expr::string(name.unwrap_or_else(|| format!("col{}", i + 1))));
        arguments.push(value);
    }
    Expr::call("named_struct", arguments)
}

/// The values of a [`row`].
pub(super) fn row_values(row: Expr) -> Vec<Expr> {
    match row {
        Expr::Function(Function { name, arguments, .. }) if name == "named_struct" => {
            arguments.into_iter().skip(1).step_by(2).collect()
        }
        other => vec![other],
    }
}
