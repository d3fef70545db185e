//! Pipe syntax: `FROM t |> WHERE a > 1 |> AGGREGATE sum(a) GROUP BY b`. Each operator takes the relation on its left.

use super::parser::{Parsed, Parser};
use crate::ir::{Aggregate, Expr, Grouping, Relation, RelationOp, Star};

impl Parser<'_> {
    /// What follows `|>`.
    pub(super) fn pipe_operator(&mut self, input: Relation) -> Parsed<Relation> {
        if self.is_join() {
            return self.join(input);
        }
        if self.is(&["PIVOT"]) || self.is(&["UNPIVOT"]) {
            return self.pivots(input);
        }
        if self.is(&["TABLESAMPLE"]) {
            return self.sampled(input);
        }
        if self.is_one_of_at(0, &["ORDER", "SORT", "CLUSTER", "DISTRIBUTE", "LIMIT", "OFFSET"]) {
            return self.query_organization(input);
        }
        if let Some(operator) = self.eat_one_of(&["UNION", "INTERSECT", "EXCEPT", "MINUS"]) {
            return self.piped_set_operation(input, operator);
        }
        match self.eat_one_of(&["WHERE", "SELECT", "EXTEND", "SET", "DROP", "AS", "AGGREGATE"]) {
            Some("WHERE") => Ok(RelationOp::Filter { input, condition: self.expression()? }.into()),
            Some("SELECT") => self.piped_select(input),
            Some("EXTEND") => {
                let mut expressions = vec![Expr::Star(Star::default())];
                expressions.extend(self.comma_list(Self::named_expression)?);
                Ok(RelationOp::Project { input, expressions }.into())
            }
            Some("SET") => self.piped_set(input),
            Some("DROP") => {
                let except = self.comma_list(|p| Ok(vec![p.plain_name()?]))?;
                let star = Expr::Star(Star { except, ..Star::default() });
                Ok(RelationOp::Project { input, expressions: vec![star] }.into())
            }
            Some("AS") => {
                let alias = self.plain_name()?;
                Ok(RelationOp::SubqueryAlias { input, alias, columns: Vec::new() }.into())
            }
            Some(_) => self.piped_aggregate(input),
            None => Err(self.unexpected()),
        }
    }

    fn piped_select(&mut self, input: Relation) -> Parsed<Relation> {
        let distinct = self.eat_one_of(&["DISTINCT", "ALL"]) == Some("DISTINCT");
        let expressions = self.comma_list(Self::named_expression)?;
        let relation = RelationOp::Project { input, expressions }.into();
        if !distinct {
            return Ok(relation);
        }
        Ok(RelationOp::Distinct { input: relation }.into())
    }

    /// `SET a = 1, b = a`: later ones see earlier ones.
    fn piped_set(&mut self, input: Relation) -> Parsed<Relation> {
        let columns = self.comma_list(|p| {
            let name = p.plain_name()?;
            p.expect_symbol("=")?;
            Ok(p.expression()?.alias(name))
        })?;
        let step = |input, column| RelationOp::WithColumns { input, columns: vec![column] }.into();
        self.check_depth(columns.len())?;
        Ok(columns.into_iter().fold(input, step))
    }

    /// `AGGREGATE sum(a) AS s GROUP BY b`: the keys come first.
    fn piped_aggregate(&mut self, input: Relation) -> Parsed<Relation> {
        let expressions = if self.is(&["GROUP", "BY"]) { Vec::new() } else { self.comma_list(Self::named_expression)? };
        let (grouping, keys) = if self.is(&["GROUP", "BY"]) { self.group_by()? } else { (Grouping::Keys, Vec::new()) };
        Ok(RelationOp::Aggregate(Aggregate { input, grouping, keys, expressions, keys_first: true, having: None })
            .into())
    }
}
