//! `USE`, `SHOW`, `DESCRIBE`, databases, and the cache.

use millstream_formats::condition::SparkError;

use super::{catalog_query, flag, table};
use crate::ir::Command;
use crate::sql::parser::{Parsed, Parser};
use crate::sql::{quoted, token::TokenKind};

impl Parser<'_> {
    /// `CREATE DATABASE name …`, from the name on.
    pub(super) fn create_database(&mut self) -> Parsed<Command> {
        let if_not_exists = self.eat_if_not_exists();
        let name = quoted(&self.table_name()?);
        let (mut comment, mut location) = (None, None);
        loop {
            if self.eat(&["COMMENT"]) {
                comment = Some(self.string()?);
            } else if self.eat(&["LOCATION"]) {
                location = Some(self.string()?);
            } else if self.eat(&["WITH", "DBPROPERTIES"]) || self.eat(&["WITH", "PROPERTIES"]) {
                self.properties()?;
            } else {
                break;
            }
        }
        Ok(catalog_query(
            "create_database",
            [
                ("db_name", Some(name)),
                ("if_not_exists", flag(if_not_exists)),
                ("comment", comment),
                ("location", location),
            ],
        ))
    }

    /// `DROP DATABASE name [CASCADE]`, from the name on.
    pub(super) fn drop_database(&mut self) -> Parsed<Command> {
        let if_exists = self.eat(&["IF", "EXISTS"]);
        let name = quoted(&self.table_name()?);
        let cascade = self.eat_one_of(&["RESTRICT", "CASCADE"]) == Some("CASCADE");
        Ok(catalog_query(
            "drop_database",
            [("db_name", Some(name)), ("if_exists", flag(if_exists)), ("cascade", flag(cascade))],
        ))
    }

    /// `USE [DATABASE] name`.
    pub(super) fn use_statement(&mut self) -> Parsed<Command> {
        self.advance();
        let kind = self.is_one_of_at(0, &["DATABASE", "SCHEMA", "NAMESPACE"]) && self.is_name_at(1);
        if kind {
            self.advance();
        }
        let name = quoted(&self.table_name()?);
        Ok(catalog_query("set_current_database", [("db_name", Some(name))]))
    }

    /// `SHOW …`.
    pub(super) fn show(&mut self) -> Parsed<Command> {
        self.advance();
        if self.eat(&["CREATE", "TABLE"]) {
            return Err(SparkError::unsupported("The statement SHOW CREATE TABLE"));
        }
        if self.is(&["CURRENT"]) && self.is_one_of_at(1, &["NAMESPACE", "DATABASE", "SCHEMA"]) {
            self.advance();
            self.advance();
            return Ok(catalog_query("show_current_namespace", []));
        }
        if self.is(&["TABLE", "EXTENDED"]) {
            return Err(SparkError::unsupported("The statement SHOW TABLE EXTENDED"));
        }
        match self.eat_one_of(&[
            "TABLES",
            "VIEWS",
            "DATABASES",
            "SCHEMAS",
            "NAMESPACES",
            "CATALOGS",
            "COLUMNS",
            "PARTITIONS",
            "TBLPROPERTIES",
        ]) {
            Some(kind @ ("TABLES" | "VIEWS")) => {
                let db_name = self.name_in()?;
                let method = if kind == "TABLES" { "show_tables" } else { "show_views" };
                Ok(catalog_query(method, [("db_name", db_name), ("pattern", self.like_pattern()?)]))
            }
            Some("DATABASES" | "SCHEMAS" | "NAMESPACES") => {
                self.name_in()?;
                Ok(catalog_query("show_databases", [("pattern", self.like_pattern()?)]))
            }
            Some("CATALOGS") => Ok(catalog_query("show_catalogs", [("pattern", self.like_pattern()?)])),
            Some("COLUMNS") => {
                let table_name = self.name_in()?;
                let db_name = self.name_in()?;
                Ok(catalog_query("show_columns", [("table_name", table_name), ("db_name", db_name)]))
            }
            Some(kind) => Err(SparkError::unsupported(format!("The statement SHOW {kind}"))),
            None => self.show_functions(),
        }
    }

    fn name_in(&mut self) -> Parsed<Option<String>> {
        if self.eat_one_of(&["FROM", "IN"]).is_some() { Ok(Some(quoted(&self.table_name()?))) } else { Ok(None) }
    }

    /// `[LIKE] 'pattern'`.
    fn like_pattern(&mut self) -> Parsed<Option<String>> {
        if self.eat(&["LIKE"]) || self.is_string_at(0) { self.string().map(Some) } else { Ok(None) }
    }

    /// `SHOW [USER | SYSTEM | ALL] FUNCTIONS [LIKE name | 'pattern']`.
    fn show_functions(&mut self) -> Parsed<Command> {
        let scope = self.eat_one_of(&["USER", "SYSTEM", "ALL"]).map(str::to_ascii_lowercase);
        self.expect(&["FUNCTIONS"])?;
        let db_name = self.name_in()?;
        let like = self.eat(&["LIKE"]);
        let pattern = if self.is_string_at(0) {
            Some(self.string()?)
        } else if like || self.is_name_at(0) {
            Some(self.multipart_name()?.join("."))
        } else {
            None
        };
        Ok(catalog_query("show_functions", [("db_name", db_name), ("scope", scope), ("pattern", pattern)]))
    }

    /// `DESCRIBE …`.
    pub(super) fn describe(&mut self) -> Parsed<Command> {
        self.advance();
        if self.is(&["FUNCTION"]) && (self.is_name_at(1) || self.is_string_at(1)) {
            self.advance();
            let extended = self.is(&["EXTENDED"]) && !self.is_end() && self.eat(&["EXTENDED"]);
            let name = if self.is_string_at(0) { self.string()? } else { quoted(&self.table_name()?) };
            return Ok(catalog_query(
                "describe_function",
                [("function_name", Some(name)), ("extended", flag(extended))],
            ));
        }
        if self.is_one_of_at(0, &["DATABASE", "SCHEMA", "NAMESPACE"]) && self.is_name_at(1) {
            self.advance();
            let extended = self.is_name_at(1) && self.eat(&["EXTENDED"]);
            let name = quoted(&self.table_name()?);
            return Ok(catalog_query("describe_database", [("db_name", Some(name)), ("extended", flag(extended))]));
        }
        let query = self.is(&["QUERY"]) && self.is_query_at(1) && self.eat(&["QUERY"]);
        if query || self.is_query_at(0) && !self.is_table_word() {
            return Ok(Command::Describe { input: self.query()? });
        }
        self.describe_table()
    }

    /// `TABLE name` behind `DESCRIBE` is no query.
    fn is_table_word(&self) -> bool {
        self.is(&["TABLE"])
    }

    fn describe_table(&mut self) -> Parsed<Command> {
        if self.is(&["TABLE"]) && self.is_name_at(1) {
            self.advance();
        }
        let extended = self.is_one_of_at(0, &["EXTENDED", "FORMATTED"]) && self.is_name_at(1);
        if extended {
            self.advance();
        }
        let name = self.table_name()?;
        if self.is(&["PARTITION"]) && self.is_symbol_at(1, "(") {
            return Err(SparkError::unsupported("DESCRIBE of a partition"));
        }
        if self.is(&["AS", "JSON"]) {
            return Err(SparkError::unsupported("DESCRIBE … AS JSON"));
        }
        let column = if self.is_name_at(0) { Some(quoted(&self.multipart_name()?)) } else { None };
        if extended || column.is_some() {
            let arguments =
                [("table_name", Some(quoted(&name))), ("column_name", column), ("extended", flag(extended))];
            return Ok(catalog_query("describe_table", arguments));
        }
        Ok(Command::Describe { input: table(name) })
    }

    /// `CACHE [LAZY] TABLE name [OPTIONS (…)] [AS query]`.
    pub(super) fn cache(&mut self) -> Parsed<Command> {
        self.advance();
        let lazy = self.eat(&["LAZY"]);
        self.expect(&["TABLE"])?;
        let name = self.table_name()?;
        if self.is(&["OPTIONS"]) && self.is_symbol_at(1, "(") {
            self.advance();
            self.properties()?;
        }
        if self.eat(&["AS"]) || self.is_query_at(0) {
            let input = self.query()?;
            let [name] = name.as_slice() else {
                return Err(SparkError::unsupported("CACHE TABLE with a qualified name"));
            };
            return Ok(Command::CacheQuery { name: name.clone(), input, lazy });
        }
        Ok(catalog_query("cache_table", [("table_name", Some(quoted(&name))), ("lazy", flag(lazy))]))
    }

    /// `UNCACHE TABLE [IF EXISTS] name`.
    pub(super) fn uncache(&mut self) -> Parsed<Command> {
        self.advance();
        self.expect(&["TABLE"])?;
        let if_exists = self.eat(&["IF", "EXISTS"]);
        let name = quoted(&self.table_name()?);
        Ok(catalog_query("uncache_table", [("table_name", Some(name)), ("if_exists", flag(if_exists))]))
    }

    /// `REFRESH [TABLE] name` or `REFRESH 'path'`.
    pub(super) fn refresh(&mut self) -> Parsed<Command> {
        self.advance();
        if self.eat(&["FUNCTION"]) {
            return Err(SparkError::unsupported("The statement REFRESH FUNCTION"));
        }
        if self.eat(&["TABLE"]) {
            let name = quoted(&self.table_name()?);
            return Ok(catalog_query("refresh_table", [("table_name", Some(name))]));
        }
        let path = if self.is_string_at(0) { self.string()? } else { self.rest_of_statement() };
        if path.is_empty() && *self.kind(0) == TokenKind::End {
            return Err(self.unexpected());
        }
        Ok(catalog_query("refresh_by_path", [("path", Some(path))]))
    }
}
