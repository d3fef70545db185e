//! `CREATE TABLE`, `INSERT`, `TRUNCATE`.

use millstream_formats::condition::SparkError;

use super::catalog_query;
use crate::ir::{Command, Expr, Options, Relation, RelationOp, SaveMode, Star, Write, WriteTarget};
use crate::sql::parser::{Parsed, Parser};
use crate::sql::quoted;

/// The clauses behind the name and columns of a new table.
#[derive(Default)]
struct TableClauses {
    format: Option<String>,
    options: Options,
    partition_by: Vec<String>,
    /// Partition columns given with their types; they belong to the schema.
    partition_columns: Vec<String>,
}

impl Parser<'_> {
    /// `REPLACE TABLE …`.
    pub(super) fn replace_table(&mut self) -> Parsed<Command> {
        self.advance();
        self.advance();
        self.create_table(true)
    }

    /// What follows `CREATE TABLE`.
    pub(super) fn create_table(&mut self, replace: bool) -> Parsed<Command> {
        let if_not_exists = self.eat_if_not_exists();
        let name = self.table_name()?;
        if self.is(&["LIKE"]) {
            return Err(SparkError::unsupported("The statement CREATE TABLE LIKE"));
        }
        let mut schema = String::new();
        if self.is_symbol("(") && !self.is_query_at(1) {
            self.advance();
            schema = self.table_columns()?;
            self.expect_symbol(")")?;
        }
        let clauses = self.table_clauses()?;
        let has_query = self.eat(&["AS"]) || self.is_query_at(0);
        let input = if has_query { Some(self.query()?) } else { None };
        for column in &clauses.partition_columns {
            schema = if schema.is_empty() { column.clone() } else { format!("{schema}, {column}") };
        }
        let TableClauses { format, options, partition_by, .. } = clauses;
        Ok(Command::CreateTable { name, schema, format, options, partition_by, if_not_exists, replace, input })
    }

    /// The text of the columns.
    fn table_columns(&mut self) -> Parsed<String> {
        let mark = self.mark();
        self.columns()?;
        if self.is_one_of_at(0, &["DEFAULT", "GENERATED", "CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "REFERENCES"]) {
            let clause = self.token_text(0).to_ascii_uppercase();
            return Err(SparkError::unsupported(format!("{clause} in CREATE TABLE")));
        }
        Ok(self.slice_from(mark).to_string())
    }

    fn table_clauses(&mut self) -> Parsed<TableClauses> {
        let mut clauses = TableClauses::default();
        loop {
            if self.eat(&["USING"]) {
                clauses.format = Some(self.multipart_name()?.join("."));
            } else if self.eat(&["OPTIONS"]) || self.eat(&["TBLPROPERTIES"]) {
                clauses.options.extend(self.properties()?);
            } else if self.eat(&["LOCATION"]) {
                clauses.options.insert("path".to_string(), self.string()?);
            } else if self.eat(&["COMMENT"]) {
                clauses.options.insert("comment".to_string(), self.string()?);
            } else if self.eat(&["PARTITIONED", "BY"]) {
                self.partitioned_by(&mut clauses)?;
            } else if self.is_one_of_at(0, &["CLUSTERED", "CLUSTER", "SKEWED", "ROW", "STORED"]) {
                let clause = self.token_text(0).to_ascii_uppercase();
                return Err(SparkError::unsupported(format!("{clause} in CREATE TABLE")));
            } else {
                return Ok(clauses);
            }
        }
    }

    /// `PARTITIONED BY (a, b INT)`.
    fn partitioned_by(&mut self, clauses: &mut TableClauses) -> Parsed<()> {
        self.expect_symbol("(")?;
        loop {
            if self.is_name_at(0) && self.is_symbol_at(1, "(") {
                return Err(SparkError::unsupported("PARTITIONED BY a function of a column"));
            }
            let mark = self.mark();
            let name = self.plain_name()?;
            if !self.is_symbol(",") && !self.is_symbol(")") {
                self.rewind(mark);
                self.one_column()?;
                clauses.partition_columns.push(self.slice_from(mark).to_string());
            }
            clauses.partition_by.push(name);
            if !self.eat_symbol(",") {
                return self.expect_symbol(")");
            }
        }
    }

    /// What follows `INSERT`; `wrap` puts the rows under common table expressions that stood before.
    pub(super) fn insert(&mut self, wrap: impl FnOnce(Relation) -> Relation) -> Parsed<Command> {
        let overwrite = match self.eat_one_of(&["INTO", "OVERWRITE"]) {
            Some(word) => word == "OVERWRITE",
            None => return Err(self.unexpected()),
        };
        let local = overwrite && self.is(&["LOCAL", "DIRECTORY"]) && self.eat(&["LOCAL"]);
        if local || overwrite && self.is(&["DIRECTORY"]) && (self.is_string_at(1) || self.is_word_at(1, "USING")) {
            self.expect(&["DIRECTORY"])?;
            return self.insert_directory(wrap);
        }
        self.eat(&["TABLE"]);
        let table = self.table_name()?;
        let values = self.partition_values(overwrite)?;
        if self.eat(&["BY", "NAME"]) {
            return Err(SparkError::unsupported("INSERT … BY NAME"));
        }
        if self.is(&["REPLACE"]) {
            return Err(SparkError::unsupported("INSERT INTO … REPLACE"));
        }
        let columns = if self.is_symbol("(") && !self.is_query_at(0) { self.optional_names()? } else { Vec::new() };
        let mut input = wrap(self.query()?);
        if !values.is_empty() {
            let mut expressions = vec![Expr::Star(Star::default())];
            expressions.extend(values.iter().map(|(name, value)| value.clone().alias(name)));
            input = RelationOp::Project { input, expressions }.into();
        }
        let columns = if columns.is_empty() {
            columns
        } else {
            columns.into_iter().chain(values.into_iter().map(|(name, _)| name)).collect()
        };
        Ok(Command::Insert { table, columns, input, overwrite })
    }

    /// `PARTITION (a = 1, b)`: the columns with a value, which are the last ones of the table.
    fn partition_values(&mut self, overwrite: bool) -> Parsed<Vec<(String, Expr)>> {
        if !(self.is(&["PARTITION"]) && self.is_symbol_at(1, "(")) {
            return Ok(Vec::new());
        }
        if overwrite {
            return Err(SparkError::unsupported("INSERT OVERWRITE of a partition"));
        }
        self.advance();
        let given = self.parenthesised_list(|p| {
            let name = p.plain_name()?;
            Ok((name, if p.eat_symbol("=") { Some(p.primary()?) } else { None }))
        })?;
        let dynamic = given.iter().filter(|(_, value)| value.is_none()).count();
        if dynamic > 0 && dynamic < given.len() {
            return Err(SparkError::unsupported("A PARTITION clause with and without values"));
        }
        Ok(given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
    }

    /// `INSERT OVERWRITE DIRECTORY 'path' USING format OPTIONS (…) query`, from the path on.
    fn insert_directory(&mut self, wrap: impl FnOnce(Relation) -> Relation) -> Parsed<Command> {
        let mut path = if self.is_string_at(0) { Some(self.string()?) } else { None };
        if !self.eat(&["USING"]) {
            return Err(SparkError::unsupported("INSERT OVERWRITE DIRECTORY without USING"));
        }
        let format = Some(self.multipart_name()?.join("."));
        let mut options = if self.eat(&["OPTIONS"]) { self.properties()? } else { Options::new() };
        path = path.or_else(|| options.remove("path"));
        let Some(path) = path else { return Err(self.unexpected()) };
        let input = wrap(self.query()?);
        Ok(Command::Write(Write {
            input,
            format,
            target: WriteTarget::Path(path),
            mode: SaveMode::Overwrite,
            options,
            partition_by: Vec::new(),
            sort_by: Vec::new(),
            bucket_by: None,
        }))
    }

    /// `TRUNCATE TABLE name`.
    pub(super) fn truncate(&mut self) -> Parsed<Command> {
        self.expect(&["TRUNCATE", "TABLE"])?;
        let name = quoted(&self.table_name()?);
        if self.is(&["PARTITION"]) {
            return Err(SparkError::unsupported("TRUNCATE of a partition"));
        }
        Ok(catalog_query("truncate_table", [("table_name", Some(name))]))
    }
}
