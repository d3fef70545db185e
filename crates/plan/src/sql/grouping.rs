//! `GROUP BY`: keys, `ROLLUP`, `CUBE`, `GROUPING SETS` and their products, `ALL`.

use super::expression::row_values;
use super::parser::{Parsed, Parser};
use super::token::TokenKind;
use crate::ir::{Expr, Grouping};

/// A cube has two to this power of sets.
const CUBE_KEYS_MAX: usize = 12;
/// Sets that products of grouping elements may give.
const SETS_MAX: usize = 4096;

/// One element of the list behind `GROUP BY`.
enum Element {
    Key(Expr),
    Rollup(Vec<Vec<Expr>>),
    Cube(Vec<Vec<Expr>>),
    Sets(Vec<Vec<Expr>>),
}

impl Parser<'_> {
    /// `GROUP BY …`: how keys become groups, and the keys.
    pub(super) fn group_by(&mut self) -> Parsed<(Grouping, Vec<Expr>)> {
        self.expect(&["GROUP", "BY"])?;
        if self.is(&["ALL"]) && self.ends_group_by(1) {
            self.advance();
            return Ok((Grouping::All, Vec::new()));
        }
        let elements = self.comma_list(Self::group_element)?;
        let keys = distinct_keys(&elements);
        if self.eat(&["WITH", "ROLLUP"]) {
            return Ok((Grouping::Rollup, keys));
        }
        if self.eat(&["WITH", "CUBE"]) {
            return Ok((Grouping::Cube, keys));
        }
        if self.is(&["GROUPING", "SETS"]) {
            let sets = self.grouping_sets()?;
            return Ok((Grouping::Sets(sets), keys));
        }
        match elements.as_slice() {
            [Element::Rollup(groups)] if groups.iter().all(|g| g.len() == 1) => Ok((Grouping::Rollup, keys)),
            [Element::Cube(groups)] if groups.iter().all(|g| g.len() == 1) => Ok((Grouping::Cube, keys)),
            elements if elements.iter().all(|e| matches!(e, Element::Key(_))) => Ok((Grouping::Keys, keys)),
            _ => Ok((Grouping::Sets(self.product(&elements)?), keys)),
        }
    }

    fn ends_group_by(&self, ahead: usize) -> bool {
        match self.kind(ahead) {
            TokenKind::Symbol(symbol) => matches!(*symbol, ")" | ";" | "|>"),
            TokenKind::Word | TokenKind::End => true,
            _ => false,
        }
    }

    fn group_element(&mut self) -> Parsed<Element> {
        if self.is(&["GROUPING", "SETS"]) && self.is_symbol_at(2, "(") {
            return self.grouping_sets().map(Element::Sets);
        }
        if self.is_one_of_at(0, &["ROLLUP", "CUBE"]) && self.is_symbol_at(1, "(") {
            let rollup = self.is(&["ROLLUP"]);
            self.advance();
            let groups = self.parenthesised_list(Self::grouping_set)?;
            return Ok(if rollup { Element::Rollup(groups) } else { Element::Cube(groups) });
        }
        self.named_expression().map(Element::Key)
    }

    /// `GROUPING SETS ((a, b), a, (), ROLLUP (a))`.
    fn grouping_sets(&mut self) -> Parsed<Vec<Vec<Expr>>> {
        self.expect(&["GROUPING", "SETS"])?;
        let sets = self.parenthesised_list(|p| {
            let analytics = p.is_one_of_at(0, &["ROLLUP", "CUBE", "GROUPING"])
                && (p.is_symbol_at(1, "(") || p.is_word_at(1, "SETS"));
            if analytics {
                let element = p.nested(Self::group_element)?;
                p.sets_of(&element)
            } else {
                Ok(vec![p.grouping_set()?])
            }
        })?;
        Ok(sets.into_iter().flatten().collect())
    }

    /// `a`, `(a, b)` or `()`.
    fn grouping_set(&mut self) -> Parsed<Vec<Expr>> {
        if self.is_symbol("(") && self.is_symbol_at(1, ")") {
            self.advance();
            self.advance();
            return Ok(Vec::new());
        }
        let mark = self.mark();
        let value = self.expression()?;
        Ok(if self.is_row_since(mark) { row_values(value) } else { vec![value] })
    }

    fn sets_of(&self, element: &Element) -> Parsed<Vec<Vec<Expr>>> {
        match element {
            Element::Key(key) => Ok(vec![vec![key.clone()]]),
            Element::Sets(sets) => Ok(sets.clone()),
            Element::Rollup(groups) => {
                Ok((0..=groups.len()).rev().map(|n| groups.iter().take(n).flatten().cloned().collect()).collect())
            }
            Element::Cube(groups) if groups.len() > CUBE_KEYS_MAX => Err(super::error::too_complex()),
            Element::Cube(groups) => {
                // The highest bit stands for the first group, so that the whole set comes first.
                let subset = |mask: usize| {
                    let chosen =
                        groups.iter().enumerate().filter(move |(i, _)| mask >> (groups.len() - 1 - i) & 1 == 1);
                    chosen.flat_map(|(_, group)| group.clone()).collect()
                };
                Ok((0..1usize << groups.len()).rev().map(subset).collect())
            }
        }
    }

    /// Each set of each element joined to each of the others.
    fn product(&self, elements: &[Element]) -> Parsed<Vec<Vec<Expr>>> {
        let mut product: Vec<Vec<Expr>> = vec![Vec::new()];
        for element in elements {
            let sets = self.sets_of(element)?;
            if product.len() * sets.len() > SETS_MAX {
                return Err(super::error::too_complex());
            }
            product =
                product.iter().flat_map(|left| sets.iter().map(|right| [left.as_slice(), right].concat())).collect();
        }
        for set in &mut product {
            *set = without_duplicates(std::mem::take(set));
        }
        Ok(product)
    }
}

fn distinct_keys(elements: &[Element]) -> Vec<Expr> {
    let keys = elements.iter().flat_map(|element| match element {
        Element::Key(key) => vec![key.clone()],
        Element::Rollup(groups) | Element::Cube(groups) | Element::Sets(groups) => {
            groups.iter().flatten().cloned().collect()
        }
    });
    without_duplicates(keys.collect())
}

fn without_duplicates(keys: Vec<Expr>) -> Vec<Expr> {
    let mut distinct: Vec<Expr> = Vec::with_capacity(keys.len());
    for key in keys {
        if !distinct.contains(&key) {
            distinct.push(key);
        }
    }
    distinct
}
