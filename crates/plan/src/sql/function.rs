//! Calls: the general form with its clauses, forms with words between the arguments, `CASE`, windows.

use std::collections::BTreeMap;

use datafusion::scalar::ScalarValue;

use super::parser::{Parsed, Parser};
use super::token::TokenKind;
use crate::ir::{Expr, FrameBound, Function, SortOrder, WindowFrame};

/// Units of `TIMESTAMPADD` and its kin.
const DATETIME_UNITS: [&str; 11] =
    ["YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "DAYOFYEAR", "HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND"];

/// What stands behind `OVER`.
#[derive(Debug, Clone, Default)]
pub(super) struct WindowDefinition {
    partition_by: Vec<Expr>,
    order_by: Vec<SortOrder>,
    frame: Option<WindowFrame>,
}

/// Windows by name, from the `WINDOW` clause of the query around.
pub(super) type Windows = BTreeMap<String, WindowDefinition>;

impl Parser<'_> {
    /// A call whose name has been read.
    pub(super) fn call(&mut self, name: &[String]) -> Parsed<Expr> {
        self.expect_symbol("(")?;
        let mut function = Function { name: function_name(name), ..Function::default() };
        if !self.eat_symbol(")") {
            function.distinct = self.eat(&["DISTINCT"]);
            if !function.distinct && self.is(&["ALL"]) && !self.is_symbol_at(1, ",") && !self.is_symbol_at(1, ")") {
                self.advance();
            }
            function.arguments = self.comma_list(Self::argument)?;
            // FIRST(x IGNORE NULLS): inside the parentheses too.
            function.ignore_nulls = self.nulls_option();
            self.expect_symbol(")")?;
        }
        self.call_clauses(function)
    }

    fn argument(&mut self) -> Parsed<Expr> {
        if self.is_name_at(0) && self.is_symbol_at(1, "=>") {
            let name = self.name()?;
            self.advance();
            return Ok(Expr::NamedArgument { name, value: Box::new(self.expression()?) });
        }
        self.expression()
    }

    fn nulls_option(&mut self) -> Option<bool> {
        if self.eat(&["IGNORE", "NULLS"]) {
            Some(true)
        } else if self.eat(&["RESPECT", "NULLS"]) {
            Some(false)
        } else {
            None
        }
    }

    /// What may follow the arguments.
    fn call_clauses(&mut self, mut function: Function) -> Parsed<Expr> {
        if self.eat(&["WITHIN", "GROUP"]) {
            self.expect_symbol("(")?;
            self.expect(&["ORDER", "BY"])?;
            function.within_group = self.comma_list(Self::sort_item)?;
            self.expect_symbol(")")?;
        }
        if self.is(&["FILTER"]) && self.is_symbol_at(1, "(") && self.is_word_at(2, "WHERE") {
            (0..3).for_each(|_| self.advance());
            function.filter = Some(Box::new(self.expression()?));
            self.expect_symbol(")")?;
        }
        if let Some(ignore) = self.nulls_option() {
            function.ignore_nulls = Some(ignore);
        }
        let function = Expr::Function(function);
        if self.is(&["OVER"]) && (self.is_symbol_at(1, "(") || self.is_name_at(1)) {
            self.advance();
            let window = self.window_spec()?;
            return Ok(Expr::Window {
                function: Box::new(function),
                partition_by: window.partition_by,
                order_by: window.order_by,
                frame: window.frame,
            });
        }
        Ok(function)
    }

    /// Forms of calls that have words between their arguments, or a fixed meaning; none for ordinary calls.
    pub(super) fn special_call(&mut self) -> Parsed<Option<Expr>> {
        let call = match self.token_text(0).to_ascii_uppercase().as_str() {
            "CAST" => self.cast(false),
            "TRY_CAST" => self.cast(true),
            "STRUCT" => self.struct_call(),
            "EXTRACT" if self.is_word_at(3, "FROM") => self.extract(),
            "SUBSTRING" | "SUBSTR" => self.substring(),
            "TRIM" => return self.trim(),
            "POSITION" => return self.position(),
            "OVERLAY" => return self.overlay(),
            "TIMESTAMPADD" | "DATEADD" | "DATE_ADD" if self.is_datetime_unit() => self.unit_call("timestampadd"),
            "TIMESTAMPDIFF" | "DATEDIFF" | "DATE_DIFF" | "TIMEDIFF" if self.is_datetime_unit() => {
                self.unit_call("timestampdiff")
            }
            "IDENTIFIER" => return self.identifier_clause(),
            _ => return Ok(None),
        };
        call.map(Some)
    }

    fn cast(&mut self, try_cast: bool) -> Parsed<Expr> {
        self.advance();
        self.expect_symbol("(")?;
        let expr = Box::new(self.expression()?);
        self.expect(&["AS"])?;
        let to = self.data_type()?;
        self.expect_symbol(")")?;
        Ok(Expr::Cast { expr, to, try_cast })
    }

    /// `struct(1 AS a, b)`.
    fn struct_call(&mut self) -> Parsed<Expr> {
        self.advance();
        self.expect_symbol("(")?;
        let arguments = if self.is_symbol(")") { Vec::new() } else { self.comma_list(Self::named_expression)? };
        self.expect_symbol(")")?;
        self.call_clauses(Function { name: "struct".to_string(), arguments, ..Function::default() })
    }

    fn extract(&mut self) -> Parsed<Expr> {
        self.advance();
        self.expect_symbol("(")?;
        let field = self.name()?;
        self.expect(&["FROM"])?;
        let source = self.value_expression(0)?;
        self.expect_symbol(")")?;
        Ok(Expr::call("extract", vec![Expr::string(field), source]))
    }

    /// `SUBSTRING(a FROM 1 FOR 2)`, or with commas.
    fn substring(&mut self) -> Parsed<Expr> {
        let name = self.name()?.to_ascii_lowercase();
        self.expect_symbol("(")?;
        if self.eat_symbol(")") {
            return Ok(Expr::call(&name, Vec::new()));
        }
        let mut arguments = vec![self.argument()?];
        let words = self.eat(&["FROM"]);
        if words {
            arguments.push(self.value_expression(0)?);
            if self.eat(&["FOR"]) {
                arguments.push(self.value_expression(0)?);
            }
        }
        while self.eat_symbol(",") {
            arguments.push(self.argument()?);
        }
        self.expect_symbol(")")?;
        Ok(Expr::call(if words { "substring" } else { &name }, arguments))
    }

    /// `TRIM(BOTH 'x' FROM a)`: the text to cut off comes first in the call that it becomes.
    fn trim(&mut self) -> Parsed<Option<Expr>> {
        let sides = self.is_one_of_at(2, &["BOTH", "LEADING", "TRAILING"]);
        let side =
            if sides && !self.is_symbol_at(3, ")") && !self.is_symbol_at(3, ",") { self.token_text(2) } else { "" };
        let name = match side.to_ascii_uppercase().as_str() {
            "LEADING" => "ltrim",
            "TRAILING" => "rtrim",
            _ => "trim",
        };
        self.advance();
        self.expect_symbol("(")?;
        if !side.is_empty() {
            self.advance();
        }
        let mut arguments = Vec::new();
        if side.is_empty() || !self.is(&["FROM"]) {
            if self.eat_symbol(")") {
                return Ok(Some(Expr::call("trim", arguments)));
            }
            arguments.push(self.argument()?);
        }
        if self.eat(&["FROM"]) {
            arguments.push(self.value_expression(0)?);
        } else if !side.is_empty() {
            return Err(self.unexpected());
        }
        while self.eat_symbol(",") {
            arguments.push(self.argument()?);
        }
        self.expect_symbol(")")?;
        Ok(Some(Expr::call(name, arguments)))
    }

    /// `POSITION('a' IN b)`; without `IN` it is an ordinary function.
    fn position(&mut self) -> Parsed<Option<Expr>> {
        self.advance();
        self.expect_symbol("(")?;
        if self.eat_symbol(")") {
            return Ok(Some(Expr::call("position", Vec::new())));
        }
        if self.is_name_at(0) && self.is_symbol_at(1, "=>") {
            let arguments = self.comma_list(Self::argument)?;
            self.expect_symbol(")")?;
            return Ok(Some(Expr::call("position", arguments)));
        }
        let mut arguments = vec![self.value_expression(0)?];
        if self.eat(&["IN"]) {
            arguments.push(self.value_expression(0)?);
            self.expect_symbol(")")?;
            arguments.push(Expr::Literal(ScalarValue::Int32(Some(1))));
            return Ok(Some(Expr::call("locate", arguments)));
        }
        while self.eat_symbol(",") {
            arguments.push(self.argument()?);
        }
        self.expect_symbol(")")?;
        Ok(Some(Expr::call("position", arguments)))
    }

    /// `OVERLAY(a PLACING 'x' FROM 2 FOR 1)`, or with commas.
    fn overlay(&mut self) -> Parsed<Option<Expr>> {
        self.advance();
        self.expect_symbol("(")?;
        if self.eat_symbol(")") {
            return Ok(Some(Expr::call("overlay", Vec::new())));
        }
        let mut arguments = vec![self.argument()?];
        if self.eat(&["PLACING"]) {
            arguments.push(self.value_expression(0)?);
            self.expect(&["FROM"])?;
            arguments.push(self.value_expression(0)?);
            let length = if self.eat(&["FOR"]) {
                self.value_expression(0)?
            } else {
                Expr::Literal(ScalarValue::Int32(Some(-1)))
            };
            arguments.push(length);
        }
        while self.eat_symbol(",") {
            arguments.push(self.argument()?);
        }
        self.expect_symbol(")")?;
        Ok(Some(Expr::call("overlay", arguments)))
    }

    /// Whether the first argument is a unit of time and two others follow.
    fn is_datetime_unit(&self) -> bool {
        self.is_one_of_at(2, &DATETIME_UNITS)
            && self.is_symbol_at(3, ",")
            && self.closing(1).is_some_and(|end| self.commas_before(end) == 2)
    }

    /// Commas between the first parenthesis of a call and the one at `end`, not counting those inside others.
    fn commas_before(&self, end: usize) -> usize {
        let (mut at, mut commas) = (2, 0);
        while at < end {
            if self.is_symbol_at(at, "(") {
                at = self.closing(at).unwrap_or(at);
            } else if self.is_symbol_at(at, ",") {
                commas += 1;
            }
            at += 1;
        }
        commas
    }

    fn unit_call(&mut self, name: &str) -> Parsed<Expr> {
        self.advance();
        self.expect_symbol("(")?;
        let mut arguments = vec![Expr::string(self.name()?)];
        while self.eat_symbol(",") {
            arguments.push(self.value_expression(0)?);
        }
        self.expect_symbol(")")?;
        Ok(Expr::call(name, arguments))
    }

    /// `IDENTIFIER('a.b')` as a column or as the name of a function.
    fn identifier_clause(&mut self) -> Parsed<Option<Expr>> {
        let name = self.identifier_name()?;
        if self.is_symbol("(") {
            return self.call(&name).map(Some);
        }
        Ok(Some(Expr::attribute(name)))
    }

    /// The parts of the name that `IDENTIFIER(…)`, which comes next, stands for: its argument is a constant text.
    pub(super) fn identifier_name(&mut self) -> Parsed<Vec<String>> {
        let mark = self.mark();
        self.advance();
        self.expect_symbol("(")?;
        let value = self.expression()?;
        self.expect_symbol(")")?;
        match constant_text(&value) {
            Some(text) => super::parse_identifier(&text),
            None => {
                let sentence = "The expression of IDENTIFIER must be a constant string.";
                Err(self.invalid(mark, "NOT_A_CONSTANT_STRING.NOT_CONSTANT", "42601", sentence))
            }
        }
    }

    /// `CASE WHEN … THEN … ELSE … END`, with or without a value to compare.
    pub(super) fn case(&mut self) -> Parsed<Expr> {
        self.expect(&["CASE"])?;
        let value = if self.is(&["WHEN"]) { None } else { Some(self.expression()?) };
        let mut arguments = Vec::new();
        if !self.is(&["WHEN"]) {
            return Err(self.unexpected());
        }
        while self.eat(&["WHEN"]) {
            let condition = self.expression()?;
            arguments.push(match &value {
                Some(value) => Expr::call("==", vec![value.clone(), condition]),
                None => condition,
            });
            self.expect(&["THEN"])?;
            arguments.push(self.expression()?);
        }
        if self.eat(&["ELSE"]) {
            arguments.push(self.expression()?);
        }
        self.expect(&["END"])?;
        Ok(Expr::call("when", arguments))
    }

    /// What follows `OVER`: the name of a window, or a definition.
    fn window_spec(&mut self) -> Parsed<WindowDefinition> {
        let mark = self.mark();
        let reference = self.is_symbol("(") && self.is_name_at(1) && self.is_symbol_at(2, ")");
        if !self.is_symbol("(") || reference {
            let parenthesised = self.eat_symbol("(");
            let name = self.plain_name()?;
            if parenthesised {
                self.expect_symbol(")")?;
            }
            return match self.windows.get(&name) {
                Some(window) => Ok(window.clone()),
                None => {
                    let sentence = format!("Window specification is not defined in the WINDOW clause for `{name}`.");
                    Err(self.invalid(mark, "MISSING_WINDOW_SPECIFICATION", "42P20", sentence).with("windowName", name))
                }
            };
        }
        self.window_definition()
    }

    fn window_definition(&mut self) -> Parsed<WindowDefinition> {
        let mut window = WindowDefinition::default();
        self.expect_symbol("(")?;
        if self.eat(&["CLUSTER", "BY"]) {
            window.partition_by = self.comma_list(Self::expression)?;
        } else {
            if self.eat(&["PARTITION", "BY"]) || self.eat(&["DISTRIBUTE", "BY"]) {
                window.partition_by = self.comma_list(Self::expression)?;
            }
            if self.eat(&["ORDER", "BY"]) || self.eat(&["SORT", "BY"]) {
                window.order_by = self.comma_list(Self::sort_item)?;
            }
        }
        if let Some(unit) = self.eat_one_of(&["ROWS", "RANGE"]) {
            window.frame = Some(self.window_frame(unit == "ROWS")?);
        }
        self.expect_symbol(")")?;
        Ok(window)
    }

    fn window_frame(&mut self, rows: bool) -> Parsed<WindowFrame> {
        if !self.eat(&["BETWEEN"]) {
            return Ok(WindowFrame { rows, lower: self.frame_bound()?, upper: FrameBound::CurrentRow });
        }
        let lower = self.frame_bound()?;
        self.expect(&["AND"])?;
        Ok(WindowFrame { rows, lower, upper: self.frame_bound()? })
    }

    fn frame_bound(&mut self) -> Parsed<FrameBound> {
        if self.eat(&["CURRENT", "ROW"]) {
            return Ok(FrameBound::CurrentRow);
        }
        if self.is(&["UNBOUNDED"]) && self.is_one_of_at(1, &["PRECEDING", "FOLLOWING"]) {
            self.advance();
            self.advance();
            return Ok(FrameBound::Unbounded);
        }
        let value = self.expression()?;
        match self.eat_one_of(&["PRECEDING", "FOLLOWING"]) {
            Some("PRECEDING") => Ok(FrameBound::Value(Box::new(negative(value)))),
            Some(_) => Ok(FrameBound::Value(Box::new(value))),
            None => Err(self.unexpected()),
        }
    }

    /// Makes the windows of the query that begins here known before it is read, because they are defined at its end.
    pub(super) fn look_for_windows(&mut self) -> Parsed<()> {
        self.windows.clear();
        let mut ahead = 0;
        loop {
            match self.kind(ahead) {
                TokenKind::End | TokenKind::Symbol(")" | ";" | "|>") => return Ok(()),
                TokenKind::Symbol("(") => ahead = self.closing(ahead).unwrap_or(ahead),
                TokenKind::Word
                    if self.is_one_of_at(ahead, &["UNION", "INTERSECT", "EXCEPT", "MINUS"])
                        && !self.is_symbol_at(ahead + 1, "(") =>
                {
                    return Ok(());
                }
                TokenKind::Word if self.is_window_clause_at(ahead) => break,
                _ => {}
            }
            ahead += 1;
        }
        let here = self.mark();
        (0..ahead).for_each(|_| self.advance());
        let windows = self.window_clause();
        self.rewind(here);
        self.windows = windows?;
        Ok(())
    }

    /// `WINDOW name AS …`.
    pub(super) fn is_window_clause_at(&self, ahead: usize) -> bool {
        self.is_word_at(ahead, "WINDOW") && self.is_name_at(ahead + 1) && self.is_word_at(ahead + 2, "AS")
    }

    /// The definitions of the `WINDOW` clause that comes next.
    pub(super) fn window_clause(&mut self) -> Parsed<Windows> {
        self.expect(&["WINDOW"])?;
        let definitions = self.comma_list(|p| {
            let name = p.plain_name()?;
            p.expect(&["AS"])?;
            let window = p.window_spec()?;
            p.windows.insert(name, window);
            Ok(())
        });
        definitions?;
        Ok(self.windows.clone())
    }
}

/// The name of a function without the catalogs of functions that are always searched.
fn function_name(parts: &[String]) -> String {
    let lower: Vec<String> = parts.iter().map(|p| p.to_ascii_lowercase()).collect();
    let known = match lower.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["system", "builtin" | "session", _] => 2,
        ["builtin" | "session", _] => 1,
        _ => 0,
    };
    parts.get(known..).unwrap_or(parts).join(".")
}

/// A constant text, also one put together by `||`.
fn constant_text(value: &Expr) -> Option<String> {
    match value {
        Expr::Literal(ScalarValue::Utf8(Some(text))) => Some(text.clone()),
        Expr::Function(call) if matches!(call.name.as_str(), "||" | "concat") => {
            call.arguments.iter().map(constant_text).collect()
        }
        _ => None,
    }
}

/// The opposite number.
fn negative(value: Expr) -> Expr {
    match &value {
        Expr::Literal(literal) => match literal.arithmetic_negate() {
            Ok(negated) => Expr::Literal(negated),
            Err(_) => Expr::call("-", vec![value]),
        },
        _ => Expr::call("-", vec![value]),
    }
}
