//! What stands behind `FROM`: tables, subqueries, table functions, joins, `LATERAL VIEW`, `PIVOT`, `UNPIVOT`, samples,
//! watermarks, and aliases.

use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;

use super::parser::{Parsed, Parser};
use super::token::TokenKind;
use crate::ir::{Aggregate, Expr, Grouping, Join, JoinKind, Options, Relation, RelationOp, Star};

/// Words that cannot name a table, because a join or set operation may begin with them.
const NEVER_TABLE_ALIAS: [&str; 16] = [
    "ANTI",
    "CROSS",
    "EXCEPT",
    "FULL",
    "INNER",
    "INTERSECT",
    "JOIN",
    "LATERAL",
    "LEFT",
    "NATURAL",
    "ON",
    "RIGHT",
    "SEMI",
    "MINUS",
    "UNION",
    "USING",
];
/// Words that begin a clause unless nothing follows that could belong to it.
const BEGINS_CLAUSE: [&str; 18] = [
    "FROM",
    "WHERE",
    "HAVING",
    "LIMIT",
    "OFFSET",
    "FOR",
    "PIVOT",
    "UNPIVOT",
    "TABLESAMPLE",
    "SELECT",
    "INSERT",
    "AS",
    "WITH",
    "WHEN",
    "SET",
    "WATERMARK",
    "WINDOW",
    "DELAY",
];
/// Words that begin a clause if `BY` follows.
const BEGINS_BY_CLAUSE: [&str; 5] = ["GROUP", "ORDER", "SORT", "CLUSTER", "DISTRIBUTE"];
const JOIN_WORDS: [&str; 9] = ["JOIN", "INNER", "CROSS", "LEFT", "RIGHT", "FULL", "SEMI", "ANTI", "NATURAL"];

impl Parser<'_> {
    /// A name behind a value or table without `AS`.
    pub(super) fn alias(&mut self, of_table: bool) -> Parsed<Option<String>> {
        let is_alias = match self.kind(0) {
            TokenKind::Quoted(_) => true,
            TokenKind::Word if self.is_one_of_at(0, &NEVER_TABLE_ALIAS) => !of_table && self.ends_item(1),
            TokenKind::Word if self.is_one_of_at(0, &BEGINS_BY_CLAUSE) => !self.is_word_at(1, "BY"),
            TokenKind::Word if self.is_one_of_at(0, &BEGINS_CLAUSE) => {
                self.ends_item(1) || of_table && self.is_one_of_at(1, &JOIN_WORDS)
            }
            TokenKind::Word => true,
            _ => false,
        };
        if is_alias { self.plain_name().map(Some) } else { Ok(None) }
    }

    /// Whether an item of a list ends before a token.
    fn ends_item(&self, ahead: usize) -> bool {
        match self.kind(ahead) {
            TokenKind::End => true,
            TokenKind::Symbol(symbol) => matches!(*symbol, "," | ")" | ";" | "|>"),
            TokenKind::Word => self.is_word_at(ahead, "FROM"),
            _ => false,
        }
    }

    /// A relation with the alias and column names that come next, if any.
    pub(super) fn aliased(&mut self, input: Relation) -> Parsed<Relation> {
        let alias = if self.eat(&["AS"]) { Some(self.plain_name()?) } else { self.alias(true)? };
        let Some(alias) = alias else { return Ok(input) };
        let columns = self.optional_names()?;
        Ok(RelationOp::SubqueryAlias { input, alias, columns }.into())
    }

    /// `FROM a, b …`.
    pub(super) fn relations_of_from(&mut self) -> Parsed<Relation> {
        self.expect(&["FROM"])?;
        let mut left = self.relation(None)?;
        let mut links = 0;
        while self.eat_symbol(",") {
            links += 1;
            self.check_depth(links)?;
            left = self.relation(Some(left))?;
        }
        left = self.lateral_views(left)?;
        left = self.pivots(left)?;
        self.lateral_views(left)
    }

    /// A table with its joins, joined to what stands left of the comma before it.
    fn relation(&mut self, left: Option<Relation>) -> Parsed<Relation> {
        let lateral = self.is(&["LATERAL"]) && !self.is_word_at(1, "VIEW") && self.eat(&["LATERAL"]);
        let right = self.nested(Self::relation_primary)?;
        let mut relation = match (left, lateral) {
            (None, false) => right,
            (left, true) => {
                let left = left.unwrap_or_else(|| RelationOp::OneRow.into());
                return self.joins(lateral_join(left, right, JoinKind::Inner, None));
            }
            (Some(left), false) => {
                // Joins bind tighter than the comma.
                let right = self.joins(right)?;
                return Ok(join(left, right, JoinKind::Inner));
            }
        };
        relation = self.joins(relation)?;
        Ok(relation)
    }

    /// The joins, pivots and unpivots behind a table.
    fn joins(&mut self, mut left: Relation) -> Parsed<Relation> {
        let mut links = 0;
        loop {
            links += 1;
            self.check_depth(links)?;
            left = self.pivots(left)?;
            if !self.is_join() {
                return Ok(left);
            }
            left = self.join(left)?;
        }
    }

    pub(super) fn is_join(&self) -> bool {
        self.is_one_of_at(0, &JOIN_WORDS)
    }

    /// One join with the relation on its left.
    pub(super) fn join(&mut self, left: Relation) -> Parsed<Relation> {
        let natural = self.eat(&["NATURAL"]);
        let kind = self.join_kind();
        self.expect(&["JOIN"])?;
        let lateral = self.eat(&["LATERAL"]);
        let right = self.nested(Self::relation_primary)?;
        let (mut condition, mut using) = (None, Vec::new());
        if !natural && self.eat(&["ON"]) {
            condition = Some(self.expression()?);
        } else if !natural && self.eat(&["USING"]) {
            using = self.parenthesised_list(Self::plain_name)?;
        }
        if !lateral {
            return Ok(RelationOp::Join(Join { left, right, condition, using, natural, kind }).into());
        }
        if natural || !using.is_empty() {
            return Err(SparkError::unsupported("A lateral join with USING or NATURAL"));
        }
        if !matches!(kind, JoinKind::Inner | JoinKind::Cross | JoinKind::LeftOuter) {
            return Err(SparkError::unsupported("A lateral join that is not inner, cross or left outer"));
        }
        Ok(lateral_join(left, right, kind, condition))
    }

    fn join_kind(&mut self) -> JoinKind {
        let kind = match self.eat_one_of(&["INNER", "CROSS", "LEFT", "RIGHT", "FULL", "SEMI", "ANTI"]) {
            Some("CROSS") => JoinKind::Cross,
            Some("SEMI") => JoinKind::LeftSemi,
            Some("ANTI") => JoinKind::LeftAnti,
            Some("LEFT") if self.eat(&["SEMI"]) => JoinKind::LeftSemi,
            Some("LEFT") if self.eat(&["ANTI"]) => JoinKind::LeftAnti,
            Some("LEFT") => JoinKind::LeftOuter,
            Some("RIGHT") => JoinKind::RightOuter,
            Some("FULL") => JoinKind::FullOuter,
            _ => JoinKind::Inner,
        };
        if matches!(kind, JoinKind::LeftOuter | JoinKind::RightOuter | JoinKind::FullOuter) {
            self.eat(&["OUTER"]);
        }
        kind
    }

    fn relation_primary(&mut self) -> Parsed<Relation> {
        if self.is_symbol("(") {
            let inner = if self.is_query_at(1) {
                self.parenthesised_query()?
            } else {
                self.advance();
                let inner = self.relation(None)?;
                self.expect_symbol(")")?;
                inner
            };
            return self.sampled_and_aliased(inner);
        }
        if self.is(&["VALUES"]) && self.is_query_at(0) {
            return self.inline_table();
        }
        let names_table = self.is_name_at(1) && !self.is_one_of_at(1, &["AS", "GROUP", "JOIN", "WHERE"]);
        let streaming = self.is(&["STREAM"]) && (self.is_symbol_at(1, "(") || names_table);
        if streaming {
            self.advance();
        }
        let parenthesised = streaming && self.eat_symbol("(");
        let name = self.table_name()?;
        if parenthesised {
            self.expect_symbol(")")?;
        }
        if !streaming && self.is_symbol("(") {
            return self.table_function(&name);
        }
        if self.is_temporal() {
            return Err(SparkError::unsupported("Time travel"));
        }
        let options = if self.is(&["WITH"]) && self.is_symbol_at(1, "(") {
            self.advance();
            self.properties()?
        } else {
            Options::new()
        };
        self.sampled_and_aliased(RelationOp::Table { name, options, streaming }.into())
    }

    /// A name of a table, plain or by `IDENTIFIER(…)`.
    pub(super) fn table_name(&mut self) -> Parsed<Vec<String>> {
        if self.is(&["IDENTIFIER"]) && self.is_symbol_at(1, "(") {
            self.identifier_name()
        } else {
            self.multipart_name()
        }
    }

    /// `VERSION AS OF …`, `TIMESTAMP AS OF …`.
    fn is_temporal(&self) -> bool {
        let word = usize::from(self.is(&["FOR"]));
        self.is_one_of_at(word, &["VERSION", "SYSTEM_VERSION", "TIMESTAMP", "SYSTEM_TIME"])
            && self.is_word_at(word + 1, "AS")
            && self.is_word_at(word + 2, "OF")
    }

    fn table_function(&mut self, name: &[String]) -> Parsed<Relation> {
        let Expr::Function(call) = self.table_function_call(name)? else { return Err(self.unexpected()) };
        let input = RelationOp::TableFunction { name: call.name, arguments: call.arguments }.into();
        let input = self.watermarked(input)?;
        self.aliased(input)
    }

    fn table_function_call(&mut self, name: &[String]) -> Parsed<Expr> {
        if self.is_word_at(1, "TABLE") && (self.is_symbol_at(2, "(") || self.is_name_at(2)) {
            return Err(SparkError::unsupported("A table argument of a table function"));
        }
        self.call(name)
    }

    fn sampled_and_aliased(&mut self, input: Relation) -> Parsed<Relation> {
        let input = self.sampled(input)?;
        let input = self.watermarked(input)?;
        self.aliased(input)
    }

    /// `TABLESAMPLE (…)`.
    pub(super) fn sampled(&mut self, input: Relation) -> Parsed<Relation> {
        if !(self.is(&["TABLESAMPLE"]) && self.is_symbol_at(1, "(")) {
            return Ok(input);
        }
        self.advance();
        self.advance();
        let mark = self.mark();
        if self.eat(&["BUCKET"]) {
            let bucket = self.integer()?;
            self.expect(&["OUT", "OF"])?;
            let buckets = self.integer()?;
            if self.is(&["ON"]) {
                return Err(SparkError::unsupported("TABLESAMPLE (BUCKET … ON …)"));
            }
            return self.sample(input, mark, bucket as f64 / buckets as f64);
        }
        let negative = self.eat_symbol("-");
        if *self.kind(0) == TokenKind::Number && self.is_word_at(1, "PERCENT") {
            let percent: f64 = self.token_text(0).parse().map_err(|_| self.unexpected())?;
            self.advance();
            self.advance();
            return self.sample(input, mark, if negative { -percent } else { percent } / 100.0);
        }
        let limit = self.expression()?;
        if !self.eat(&["ROWS"]) {
            return Err(SparkError::unsupported("TABLESAMPLE by bytes"));
        }
        self.expect_symbol(")")?;
        Ok(RelationOp::Limit { input, limit }.into())
    }

    /// The end of a sample clause whose fraction has been read.
    fn sample(&mut self, input: Relation, mark: usize, fraction: f64) -> Parsed<Relation> {
        // Spark lets a fraction pass the border by what rounding may do.
        if !(-1e-6..=1.0 + 1e-6).contains(&fraction) {
            let sentence = format!("Sampling fraction ({fraction}) must be on interval [0, 1].");
            return Err(self.invalid(mark, "_LEGACY_ERROR_TEMP_0065", "", sentence));
        }
        self.expect_symbol(")")?;
        let mut seed = None;
        if self.eat(&["REPEATABLE"]) {
            self.expect_symbol("(")?;
            seed = Some(self.integer()?);
            self.expect_symbol(")")?;
        }
        let upper = fraction.clamp(0.0, 1.0);
        Ok(RelationOp::Sample { input, lower: 0.0, upper, with_replacement: false, seed, deterministic_order: false }
            .into())
    }

    /// `WATERMARK ts DELAY OF INTERVAL 10 SECONDS`; a computed column is added first.
    fn watermarked(&mut self, input: Relation) -> Parsed<Relation> {
        if !self.is(&["WATERMARK"]) || self.ends_item(1) || self.is_one_of_at(1, &["WHERE", "AS"]) || self.is_join_at(1)
        {
            return Ok(input);
        }
        self.advance();
        let mark = self.mark();
        let column = self.named_expression()?;
        let (input, event_time) = match column {
            Expr::Attribute(attribute) => (input, super::quoted(&attribute.name)),
            Expr::Alias { ref names, .. } if names.len() == 1 => {
                let name = names.clone();
                let expressions = vec![Expr::Star(Star::default()), column];
                (RelationOp::Project { input, expressions }.into(), super::quoted(&name))
            }
            _ => {
                let sentence = "The event-time column of a WATERMARK clause needs a name: give it one with AS.";
                return Err(self.invalid(mark, "REQUIRES_EXPLICIT_NAME_IN_WATERMARK_CLAUSE", "42000", sentence));
            }
        };
        self.expect(&["DELAY", "OF"])?;
        let (delay, _) = self.interval_value()?;
        let delay = format!("{} months {} days {} microseconds", delay.months, delay.days, delay.micros);
        Ok(RelationOp::WithWatermark { input, event_time, delay }.into())
    }

    fn is_join_at(&self, ahead: usize) -> bool {
        self.is_one_of_at(ahead, &JOIN_WORDS)
    }

    /// `LATERAL VIEW [OUTER] explode(x) t AS a, b`, any number of them.
    pub(super) fn lateral_views(&mut self, mut input: Relation) -> Parsed<Relation> {
        let mut links = 0;
        while self.eat(&["LATERAL", "VIEW"]) {
            links += 1;
            self.check_depth(links)?;
            let outer = self.is(&["OUTER"]) && !self.is_symbol_at(1, "(") && self.eat(&["OUTER"]);
            let mut name = vec![self.name()?];
            while self.eat_symbol(".") {
                name.push(self.name()?);
            }
            let generator = self.call(&name)?;
            let alias = Some(self.name()?);
            let named = self.eat(&["AS"]) || self.is_lateral_column();
            let columns = if named { self.lateral_columns()? } else { Vec::new() };
            input = RelationOp::LateralView { input, generator, outer, alias, columns }.into();
        }
        Ok(input)
    }

    fn is_lateral_column(&self) -> bool {
        matches!(self.kind(0), TokenKind::Quoted(_))
            || *self.kind(0) == TokenKind::Word
                && !self.is_one_of_at(0, &NEVER_TABLE_ALIAS)
                && !self.is_one_of_at(0, &BEGINS_CLAUSE)
                && !self.is_one_of_at(0, &BEGINS_BY_CLAUSE)
    }

    fn lateral_columns(&mut self) -> Parsed<Vec<String>> {
        let mut columns = vec![self.name()?];
        while self.eat_symbol(",") {
            columns.push(self.name()?);
        }
        Ok(columns)
    }

    /// `PIVOT (…)` and `UNPIVOT (…)`, any number of them.
    pub(super) fn pivots(&mut self, mut input: Relation) -> Parsed<Relation> {
        let mut links = 0;
        loop {
            links += 1;
            self.check_depth(links)?;
            if self.is(&["PIVOT"]) && self.is_symbol_at(1, "(") {
                input = self.pivot(input)?;
            } else if self.is(&["UNPIVOT"]) && (self.is_symbol_at(1, "(") || self.is_word_at(2, "NULLS")) {
                input = self.unpivot(input)?;
            } else {
                return Ok(input);
            }
        }
    }

    /// `PIVOT (sum(a) FOR b IN (1 AS x, 2))`.
    fn pivot(&mut self, input: Relation) -> Parsed<Relation> {
        self.advance();
        self.expect_symbol("(")?;
        let expressions = self.comma_list(Self::named_expression)?;
        self.expect(&["FOR"])?;
        let column = if self.is_symbol("(") {
            let names = self.parenthesised_list(Self::plain_name)?;
            Expr::call("struct", names.into_iter().map(|name| Expr::attribute([name])).collect())
        } else {
            Expr::attribute(self.multipart_name()?)
        };
        self.expect(&["IN"])?;
        let values = self.parenthesised_list(Self::named_expression)?;
        self.expect_symbol(")")?;
        let grouping = Grouping::Pivot { column: Box::new(column), values };
        let aggregate = Aggregate { input, grouping, keys: Vec::new(), expressions, keys_first: false, having: None };
        self.aliased(RelationOp::Aggregate(aggregate).into())
    }

    /// `UNPIVOT [INCLUDE NULLS] (v FOR n IN (a AS 'x', b))`.
    fn unpivot(&mut self, input: Relation) -> Parsed<Relation> {
        self.advance();
        let include_nulls = self.eat_one_of(&["INCLUDE", "EXCLUDE"]) == Some("INCLUDE");
        self.eat(&["NULLS"]);
        self.expect_symbol("(")?;
        let several = self.is_symbol("(");
        let value_names = if several { self.parenthesised_list(Self::name)? } else { vec![self.name()?] };
        self.expect(&["FOR"])?;
        let variable_name = self.name()?;
        self.expect(&["IN"])?;
        let column = |p: &mut Self| Ok(Expr::attribute(p.multipart_name()?));
        let groups = self.parenthesised_list(|p| {
            let columns = if several { p.parenthesised_list(column)? } else { vec![column(p)?] };
            let alias = if p.eat(&["AS"]) { Some(p.plain_name()?) } else { p.alias(false)? };
            Ok((columns, alias))
        })?;
        self.expect_symbol(")")?;
        self.aliased(RelationOp::UnpivotColumns { input, include_nulls, variable_name, value_names, groups }.into())
    }

    /// `(key = 'value', 'key' 1, flag)`.
    pub(super) fn properties(&mut self) -> Parsed<Options> {
        let pairs = self.parenthesised_list(|p| {
            let key = if p.is_string_at(0) { p.string()? } else { p.multipart_name()?.join(".") };
            if p.eat_symbol("=") || !(p.is_symbol(",") || p.is_symbol(")")) {
                return Ok((key, p.property_value()?));
            }
            Ok((key, String::new()))
        })?;
        Ok(pairs.into_iter().collect())
    }

    fn property_value(&mut self) -> Parsed<String> {
        let mark = self.mark();
        match self.expression()? {
            Expr::Literal(ScalarValue::Utf8(Some(text))) => Ok(text),
            Expr::Literal(ScalarValue::Boolean(Some(flag))) => Ok(flag.to_string()),
            Expr::Literal(value) if value.is_null() => Ok(String::new()),
            Expr::Literal(_) => Ok(self.slice_from(mark).to_string()),
            _ => Err(self.unexpected()),
        }
    }
}

fn join(left: Relation, right: Relation, kind: JoinKind) -> Relation {
    RelationOp::Join(Join { left, right, condition: None, using: Vec::new(), natural: false, kind }).into()
}

fn lateral_join(left: Relation, right: Relation, kind: JoinKind, condition: Option<Expr>) -> Relation {
    RelationOp::LateralJoin { left, right, condition, kind }.into()
}
