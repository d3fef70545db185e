//! Statements that do something, by their first word; each subject has a file.
//!
//! Questions to the catalog become [`CatalogQuery`]s whose method is the statement in snake case (`show_tables`); names in
//! their arguments are texts that [`crate::sql::parse_identifier`] splits again.

mod catalog;
mod setting;
mod table;
mod view;

use millstream_formats::condition::SparkError;

use super::parser::{Parsed, Parser};
use crate::ir::{CatalogQuery, Command, Options, Relation, RelationOp, Statement};

impl Parser<'_> {
    /// One statement and the semicolons behind it.
    pub(super) fn statement(&mut self) -> Parsed<Statement> {
        let statement =
            if self.is_query_at(0) || self.is(&["FROM"]) { self.query_statement()? } else { self.command_statement()? };
        while self.eat_symbol(";") {}
        Ok(statement)
    }

    /// A query, or `WITH … INSERT`.
    fn query_statement(&mut self) -> Parsed<Statement> {
        if self.is(&["WITH"]) && self.inserts_after_with() {
            let (tables, recursive) = self.common_tables()?;
            self.expect(&["INSERT"])?;
            let wrap = |input| RelationOp::With { tables, recursive, input }.into();
            return self.insert(wrap).map(Statement::Command);
        }
        Ok(Statement::Query(self.query()?))
    }

    /// Whether the main statement behind common table expressions is an `INSERT`.
    fn inserts_after_with(&self) -> bool {
        let mut ahead = 1;
        loop {
            if self.is_symbol_at(ahead, "(") {
                ahead = match self.closing(ahead) {
                    Some(close) => close,
                    None => return false,
                };
            } else if self.is_word_at(ahead, "SELECT") || *self.kind(ahead) == super::token::TokenKind::End {
                return false;
            } else if self.is_word_at(ahead, "INSERT") {
                return true;
            }
            ahead += 1;
        }
    }

    fn command_statement(&mut self) -> Parsed<Statement> {
        let word = self.token_text(0).to_ascii_uppercase();
        let second = self.token_text(1).to_ascii_uppercase();
        let command = match word.as_str() {
            "CREATE" => self.create()?,
            "REPLACE" if second == "TABLE" => self.replace_table()?,
            "DROP" => self.drop_statement()?,
            "INSERT" => {
                self.advance();
                self.insert(|input| input)?
            }
            "TRUNCATE" => self.truncate()?,
            "SET" => self.set()?,
            "RESET" => self.reset()?,
            "USE" => self.use_statement()?,
            "SHOW" => self.show()?,
            "DESCRIBE" | "DESC" => self.describe()?,
            "EXPLAIN" => self.explain()?,
            "CACHE" => self.cache()?,
            "UNCACHE" => self.uncache()?,
            "CLEAR" => {
                self.expect(&["CLEAR", "CACHE"])?;
                catalog_query("clear_cache", [])
            }
            "REFRESH" => self.refresh()?,
            _ => return Err(self.refused_statement(&word, &second)),
        };
        Ok(Statement::Command(command))
    }

    /// A statement that Spark knows is refused by name; anything else is a syntax error.
    fn refused_statement(&self, word: &str, second: &str) -> SparkError {
        const BY_TWO_WORDS: [&str; 3] = ["ALTER", "COMMENT", "LOAD"];
        const BY_ONE_WORD: [&str; 14] = [
            "ADD", "ANALYZE", "BEGIN", "CALL", "DECLARE", "DELETE", "EXECUTE", "GRANT", "LIST", "MERGE", "MSCK",
            "REPAIR", "REVOKE", "UPDATE",
        ];
        if BY_TWO_WORDS.contains(&word) && *self.kind(1) == super::token::TokenKind::Word {
            SparkError::unsupported(format!("The statement {word} {second}"))
        } else if BY_ONE_WORD.contains(&word) && *self.kind(1) != super::token::TokenKind::End {
            SparkError::unsupported(format!("The statement {word}"))
        } else {
            self.unexpected()
        }
    }

    /// What follows `CREATE`.
    fn create(&mut self) -> Parsed<Command> {
        self.advance();
        let replace = self.eat(&["OR", "REPLACE"]);
        let global = self.eat(&["GLOBAL"]);
        let temporary = self.eat_one_of(&["TEMPORARY", "TEMP"]).is_some();
        if self.eat(&["VIEW"]) {
            return if temporary {
                self.temporary_view(global, replace)
            } else {
                Err(SparkError::unsupported("CREATE VIEW without TEMPORARY"))
            };
        }
        self.eat(&["EXTERNAL"]);
        match self.eat_one_of(&["TABLE", "DATABASE", "SCHEMA", "NAMESPACE", "FUNCTION", "INDEX"]) {
            Some("TABLE") if !temporary => self.create_table(replace),
            Some("DATABASE" | "SCHEMA" | "NAMESPACE") => self.create_database(),
            Some(kind) => Err(SparkError::unsupported(format!("The statement CREATE {kind}"))),
            None => Err(self.unexpected()),
        }
    }

    /// What `DROP` drops.
    fn drop_statement(&mut self) -> Parsed<Command> {
        self.advance();
        let temporary = self.eat_one_of(&["TEMPORARY", "TEMP"]).is_some();
        match self.eat_one_of(&["TABLE", "VIEW", "DATABASE", "SCHEMA", "NAMESPACE", "FUNCTION", "INDEX", "VARIABLE"]) {
            Some(kind @ ("TABLE" | "VIEW")) if !temporary => {
                let if_exists = self.eat(&["IF", "EXISTS"]);
                let name = self.table_name()?;
                self.eat(&["PURGE"]);
                Ok(Command::Drop { name, view: kind == "VIEW", if_exists })
            }
            Some("DATABASE" | "SCHEMA" | "NAMESPACE") => self.drop_database(),
            Some(kind) => Err(SparkError::unsupported(format!("The statement DROP {kind}"))),
            None => Err(self.unexpected()),
        }
    }

    /// `EXPLAIN [EXTENDED | …] query`.
    fn explain(&mut self) -> Parsed<Command> {
        self.advance();
        let mode = self.eat_one_of(&["EXTENDED", "FORMATTED", "CODEGEN", "COST", "LOGICAL"]);
        match self.statement()? {
            Statement::Query(input) => Ok(Command::Explain { input, extended: mode.is_some_and(|m| m == "EXTENDED") }),
            _ => Err(SparkError::unsupported("EXPLAIN of a statement that is no query")),
        }
    }

    /// `IF NOT EXISTS`.
    pub(super) fn eat_if_not_exists(&mut self) -> bool {
        self.eat(&["IF", "NOT", "EXISTS"])
    }
}

/// A question to the catalog; absent arguments are left out.
pub(super) fn catalog_query<const N: usize>(method: &str, arguments: [(&str, Option<String>); N]) -> Command {
    let given = arguments.into_iter().filter_map(|(key, value)| Some((key.to_string(), value?)));
    Command::Catalog(CatalogQuery { method: method.to_string(), arguments: given.collect::<Options>(), schema: None })
}

/// `true` as an argument.
pub(super) fn flag(set: bool) -> Option<String> {
    set.then(|| "true".to_string())
}

/// A relation that reads a table by name.
pub(super) fn table(name: Vec<String>) -> Relation {
    RelationOp::Table { name, options: Options::new(), streaming: false }.into()
}
