//! Queries: `WITH`, set operations, `SELECT` and its clauses, `VALUES`, order and limits.

use super::expression::row_values;
use super::parser::{Parsed, Parser};
use super::token::TokenKind;
use crate::ir::{Aggregate, Expr, Grouping, Relation, RelationOp, SetKind, SetOperation, SortOrder};

/// A common table expression: name, column names, query.
type NamedQuery = (String, Vec<String>, Relation);

/// Words that go on with a query behind one in parentheses.
const QUERY_CONTINUES: [&str; 11] =
    ["UNION", "INTERSECT", "EXCEPT", "MINUS", "ORDER", "SORT", "CLUSTER", "DISTRIBUTE", "LIMIT", "OFFSET", "WINDOW"];

impl Parser<'_> {
    /// Whether a query begins at a token. Parentheses in front may belong to it or to an expression: what stands behind them decides.
    pub(super) fn is_query_at(&self, ahead: usize) -> bool {
        let mut first = ahead;
        while self.is_symbol_at(first, "(") {
            first += 1;
        }
        let next_is_name = self.is_name_at(first + 1);
        let begins = match self.kind(first) {
            TokenKind::Word => match self.token_text(first).to_ascii_uppercase().as_str() {
                "SELECT" => true,
                "WITH" => next_is_name,
                "VALUES" => self.begins_row(first + 1),
                "FROM" | "TABLE" => next_is_name || self.is_symbol_at(first + 1, "("),
                _ => false,
            },
            _ => false,
        };
        begins && (ahead..first).all(|open| self.closing(open).is_some_and(|close| self.continues_query(close + 1)))
    }

    fn continues_query(&self, ahead: usize) -> bool {
        match self.kind(ahead) {
            TokenKind::End | TokenKind::Symbol(")" | ";" | "|>") => true,
            _ => self.is_one_of_at(ahead, &QUERY_CONTINUES),
        }
    }

    fn begins_row(&self, ahead: usize) -> bool {
        match self.kind(ahead) {
            TokenKind::Symbol(symbol) => matches!(*symbol, "(" | "-" | "+" | "?" | ":"),
            TokenKind::Number | TokenKind::String(_) => true,
            TokenKind::Word => !self.is_one_of_at(ahead, &["AS", "WHERE", "JOIN", "GROUP", "ORDER", "LIMIT"]),
            _ => false,
        }
    }

    /// A query.
    pub(super) fn query(&mut self) -> Parsed<Relation> {
        self.nested(|p| {
            let outer = std::mem::take(&mut p.windows);
            let query = p.query_here();
            p.windows = outer;
            query
        })
    }

    fn query_here(&mut self) -> Parsed<Relation> {
        if !self.is(&["WITH"]) {
            return self.query_body();
        }
        let (tables, recursive) = self.common_tables()?;
        let input = self.query_body()?;
        Ok(RelationOp::With { tables, recursive, input }.into())
    }

    /// `WITH a AS (…), b (x, y) AS (…)`; whether it is recursive.
    pub(super) fn common_tables(&mut self) -> Parsed<(Vec<NamedQuery>, bool)> {
        self.expect(&["WITH"])?;
        let recursive = self.is(&["RECURSIVE"]) && self.is_name_at(1) && self.eat(&["RECURSIVE"]);
        let tables = self.comma_list(|p| {
            let name = p.plain_name()?;
            let columns = if p.is_symbol("(") && !p.is_query_at(1) { p.optional_names()? } else { Vec::new() };
            if p.eat(&["MAX", "RECURSION", "LEVEL"]) {
                p.integer()?;
            }
            p.eat(&["AS"]);
            Ok((name, columns, p.parenthesised_query()?))
        })?;
        Ok((tables, recursive))
    }

    fn query_body(&mut self) -> Parsed<Relation> {
        let mut relation = self.query_term()?;
        relation = self.query_organization(relation)?;
        let mut links = 0;
        while self.eat_symbol("|>") {
            links += 1;
            self.check_depth(links)?;
            relation = self.pipe_operator(relation)?;
        }
        Ok(relation)
    }

    /// Set operations; `INTERSECT` binds tighter than the others.
    fn query_term(&mut self) -> Parsed<Relation> {
        let mut left = self.intersection()?;
        let mut links = 0;
        while let Some(operator) = self.eat_one_of(&["UNION", "EXCEPT", "MINUS"]) {
            links += 1;
            self.check_depth(links)?;
            let kind = if operator == "UNION" { SetKind::Union } else { SetKind::Except };
            let all = self.set_quantifier();
            left = set_operation(left, self.intersection()?, kind, all);
        }
        Ok(left)
    }

    fn intersection(&mut self) -> Parsed<Relation> {
        let mut left = self.query_primary()?;
        let mut links = 0;
        while self.eat(&["INTERSECT"]) {
            links += 1;
            self.check_depth(links)?;
            let all = self.set_quantifier();
            left = set_operation(left, self.query_primary()?, SetKind::Intersect, all);
        }
        Ok(left)
    }

    fn set_quantifier(&mut self) -> bool {
        self.eat_one_of(&["ALL", "DISTINCT"]) == Some("ALL")
    }

    /// A set operation of the pipe syntax: its right side comes next.
    pub(super) fn piped_set_operation(&mut self, left: Relation, operator: &str) -> Parsed<Relation> {
        let kind = match operator {
            "UNION" => SetKind::Union,
            "INTERSECT" => SetKind::Intersect,
            _ => SetKind::Except,
        };
        let all = self.set_quantifier();
        Ok(set_operation(left, self.query_primary()?, kind, all))
    }

    fn query_primary(&mut self) -> Parsed<Relation> {
        if self.is_symbol("(") {
            return self.parenthesised_query();
        }
        if self.is(&["SELECT"]) {
            return self.select();
        }
        if self.is(&["VALUES"]) {
            return self.inline_table();
        }
        if self.eat(&["TABLE"]) {
            let name = self.table_name()?;
            return Ok(RelationOp::Table { name, options: Default::default(), streaming: false }.into());
        }
        if self.is(&["FROM"]) {
            let input = self.relations_of_from()?;
            return if self.is(&["SELECT"]) { self.select_from(Some(input)) } else { Ok(input) };
        }
        Err(self.unexpected())
    }

    fn select(&mut self) -> Parsed<Relation> {
        self.select_from(None)
    }

    /// `SELECT …`, with its `FROM` behind it or read before.
    fn select_from(&mut self, from: Option<Relation>) -> Parsed<Relation> {
        self.look_for_windows()?;
        self.expect(&["SELECT"])?;
        let hints = self.hints()?;
        let distinct = self.eat_distinct();
        let expressions = self.comma_list(Self::named_expression)?;
        let mut input = match from {
            Some(input) => input,
            None if self.is(&["FROM"]) => self.relations_of_from()?,
            None => RelationOp::OneRow.into(),
        };
        input = self.lateral_views(input)?;
        if self.eat(&["WHERE"]) {
            input = RelationOp::Filter { input, condition: self.expression()? }.into();
        }
        let mut relation = self.select_list(input, expressions)?;
        if distinct {
            relation = RelationOp::Distinct { input: relation }.into();
        }
        if self.is_window_clause_at(0) {
            self.window_clause()?;
        }
        Ok(hints.into_iter().fold(relation, |input, name| RelationOp::Hint { input, name }.into()))
    }

    /// `DISTINCT` or `ALL` before a list.
    fn eat_distinct(&mut self) -> bool {
        if self.is_symbol_at(1, ",") || self.is_symbol_at(1, ".") || self.is_word_at(1, "FROM") {
            return false;
        }
        self.eat_one_of(&["DISTINCT", "ALL"]) == Some("DISTINCT")
    }

    /// Names of the hints `/*+ a(t), b */`.
    fn hints(&mut self) -> Parsed<Vec<String>> {
        let mut names = Vec::new();
        while self.eat_symbol("/*+") {
            while !self.eat_symbol("*/") {
                names.push(self.name()?);
                if self.is_symbol("(") {
                    self.parenthesised_list(Self::primary)?;
                }
                self.eat_symbol(",");
            }
        }
        Ok(names)
    }

    /// The select list over its input, with `GROUP BY` and `HAVING`.
    fn select_list(&mut self, input: Relation, expressions: Vec<Expr>) -> Parsed<Relation> {
        let grouped = self.is(&["GROUP", "BY"]);
        let (grouping, keys) = if grouped { self.group_by()? } else { (Grouping::Keys, Vec::new()) };
        let having = if self.eat(&["HAVING"]) { Some(self.expression()?) } else { None };
        if !grouped && having.is_none() {
            return Ok(RelationOp::Project { input, expressions }.into());
        }
        Ok(RelationOp::Aggregate(Aggregate { input, grouping, keys, expressions, keys_first: false, having }).into())
    }

    /// `VALUES (…), (…)` with its alias.
    pub(super) fn inline_table(&mut self) -> Parsed<Relation> {
        self.expect(&["VALUES"])?;
        let rows = self.comma_list(|p| {
            let mark = p.mark();
            let row = p.expression()?;
            Ok(if p.is_row_since(mark) { row_values(row) } else { vec![row] })
        })?;
        self.aliased(RelationOp::Values(rows).into())
    }

    /// `ORDER BY`, `SORT BY`, `LIMIT` and their like, in the order in which they take effect.
    pub(super) fn query_organization(&mut self, mut relation: Relation) -> Parsed<Relation> {
        if self.is(&["ORDER", "BY"]) {
            relation = self.ordered(relation, true)?;
        }
        if self.eat(&["CLUSTER", "BY"]) {
            let keys = self.comma_list(Self::expression)?;
            let order =
                keys.iter().map(|key| SortOrder { expr: key.clone(), ascending: true, nulls_first: true }).collect();
            relation = RelationOp::Sort { input: distributed(relation, keys), order, global: false }.into();
        }
        if self.eat(&["DISTRIBUTE", "BY"]) {
            let keys = self.comma_list(Self::expression)?;
            relation = distributed(relation, keys);
        }
        if self.is(&["SORT", "BY"]) {
            relation = self.ordered(relation, false)?;
        }
        if self.is_window_clause_at(0) {
            self.window_clause()?;
        }
        self.limited(relation)
    }

    fn ordered(&mut self, input: Relation, global: bool) -> Parsed<Relation> {
        self.advance();
        self.advance();
        let order = self.comma_list(Self::sort_item)?;
        Ok(RelationOp::Sort { input, order, global }.into())
    }

    /// `LIMIT` and `OFFSET`; rows are skipped before they are counted.
    fn limited(&mut self, mut relation: Relation) -> Parsed<Relation> {
        let mut limit = None;
        if self.eat(&["LIMIT"]) {
            let all = self.is(&["ALL"]) && !self.is_symbol_at(1, "(");
            if all {
                self.advance();
            } else {
                limit = Some(self.expression()?);
            }
        }
        if self.eat(&["OFFSET"]) {
            relation = RelationOp::Offset { input: relation, offset: self.expression()? }.into();
        }
        Ok(match limit {
            Some(limit) => RelationOp::Limit { input: relation, limit }.into(),
            None => relation,
        })
    }
}

fn set_operation(left: Relation, right: Relation, kind: SetKind, all: bool) -> Relation {
    RelationOp::SetOperation(SetOperation { left, right, kind, all, by_name: false, allow_missing: false }).into()
}

fn distributed(input: Relation, expressions: Vec<Expr>) -> Relation {
    RelationOp::Repartition { input, partitions: None, expressions, shuffle: true }.into()
}
